/* wallclock.so, preloaded into a gateway: the wall clock goes wrong by as many seconds as the file WALLCLOCK says, in its first 20 bytes, at any time. The
 * monotonic clock does not. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 20 };

static long wrong_by(void)
{
    static const char *volatile said;
    if (!said) {
        int fd = open(getenv("WALLCLOCK"), O_RDONLY | O_CLOEXEC);
        const char *at = mmap(NULL, ROOM, PROT_READ, MAP_SHARED, fd, 0);
        if (fd < 0 || at == MAP_FAILED) abort();
        close(fd);
        said = at;
    }
    return atol(said);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, t);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += wrong_by();
    return failed;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *tv = (struct timeval){ t.tv_sec, t.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

/* powercut.so, preloaded into a gateway: keeps in the folder POWERCUT what a disk would have if the power went now. A file there is named by the inode of
 * the one it stands for; it is what that was when it was last synced. Of a journal (the newest of the folder POWERCUT_OF), which is mapped and never synced
 * again, single pages follow at random moments, as a kernel writes them back.
 *
 * Whoever plays the power cut kills the gateway and puts these in the place of its ledger and journals (tests/e2e/money.lua). */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, EVERY = 100 /* µs */, LOOK = 200 /* every so many pages: whether there is a newer journal */ };

static const char *shadow(void) { return getenv("POWERCUT"); }

static int open_shadow(const struct stat *s)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%llu", shadow(), (unsigned long long)s->st_ino);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void copy_page(int from, int to, off_t at)
{
    char page[PAGE];
    ssize_t n = pread(from, page, sizeof page, at);
    if (n > 0 && pwrite(to, page, (size_t)n, at) != n) abort();
}

/* A file that is written while it is copied may be torn here, as it may on a disk whose sync has not returned. */
static void keep(int fd)
{
    struct stat s;
    char path[512], link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || fstat(fd, &s) || !S_ISREG(s.st_mode)) return;
    path[n] = 0;
    if (!strstr(path, "ledger") && !strstr(path, "journal")) return;
    int from = open(link, O_RDONLY | O_CLOEXEC), to = open_shadow(&s);
    if (from < 0 || to < 0 || ftruncate(to, s.st_size)) abort();
    for (off_t at = 0; at < s.st_size; at += PAGE) copy_page(from, to, at);
    close(from), close(to);
}

static int synced(int fd, const char *name)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (shadow()) keep(fd);
    return real(fd);
}

int fsync(int fd);
int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd);
int fdatasync(int fd) { return synced(fd, "fdatasync"); }

/* The newest journal below POWERCUT_OF. */
static int open_journal(struct stat *s)
{
    char best[512] = "";
    unsigned long newest = 0;
    DIR *d = opendir(getenv("POWERCUT_OF"));
    for (struct dirent *e; d && (e = readdir(d)); ) {
        char *end;
        if (strncmp(e->d_name, "journal.", 8)) continue;
        unsigned long run = strtoul(e->d_name + 8, &end, 10);
        if (*end || run < newest) continue;
        newest = run;
        snprintf(best, sizeof best, "%s/%s", getenv("POWERCUT_OF"), e->d_name);
    }
    if (d) closedir(d);
    int fd = *best ? open(best, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && fstat(fd, s)) abort();
    return fd;
}

static void *write_back(void *unused)
{
    unsigned seed = (unsigned)getpid();
    struct stat s = {0};
    int from = -1, to = -1;
    (void)unused;
    for (unsigned n = 0;; n++) {
        if (n % LOOK == 0) {
            if (from >= 0) close(from), close(to);
            from = open_journal(&s);
            to = from >= 0 ? open_shadow(&s) : -1;
        }
        struct stat kept;
        off_t pages = s.st_size / PAGE;
        if (from >= 0 && pages > 1 && !fstat(to, &kept) && kept.st_size == s.st_size)       /* it was synced once: before that it is not used */
            copy_page(from, to, (1 + rand_r(&seed) % (pages - 1)) * PAGE);
        usleep(EVERY);
    }
    return NULL;
}

static void begin(void) __attribute__((constructor));
static void begin(void)
{
    pthread_t thread;
    if (shadow() && getenv("POWERCUT_OF") && !pthread_create(&thread, NULL, write_back, NULL)) pthread_detach(thread);
}

#include "state/journal_file.h"
#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct head { char magic[8]; uint32_t run, slots; char owner[40], boot[40]; uint32_t crc, untrusted; };    /* the checksum is of what stands before it */
static const char magic[8] = "LUNJRNL1";

#define FINISHED "journal."
#define MAKING   "making-journal."      /* must not begin like a finished one */

static char *path_of(const char *folder, const char *kind, uint32_t run) { return lun_printf("%s/%s%u", folder, kind, run); }

/* Of an open file description: also against another one of this process, and gone with its last descriptor. */
static bool lock(int fd)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return !fcntl(fd, F_OFD_SETLK, &whole);
}

static void name(char out[40], const char *text) { memcpy(out, text, strnlen(text, 39)); }

static bool fill(int fd, uint32_t run, uint32_t slots, const char *owner, const char *boot_id)
{
    enum { STEP = 1 << 18 };
    struct head h = { .run = run, .slots = slots };
    memcpy(h.magic, magic, sizeof magic);
    name(h.owner, owner), name(h.boot, boot_id);
    h.crc = lun_crc32c(&h, offsetof(struct head, crc));
    unsigned char *zeros = lun_zalloc(STEP);
    size_t left = (size_t)slots * 2 * LUN_JOURNAL_LINE;
    memcpy(zeros, &h, sizeof h);
    bool good = lun_file_write(fd, zeros, LUN_JOURNAL_PAGE);
    memset(zeros, 0, sizeof h);
    for (size_t n; good && left; left -= n) good = lun_file_write(fd, zeros, n = left < STEP ? left : STEP);
    free(zeros);
    return good;
}

static bool map(struct lun_journal *j)
{
    j->map = mmap(NULL, j->size, PROT_READ | PROT_WRITE, MAP_SHARED, j->fd, 0);
    if (j->map == MAP_FAILED) j->map = NULL;
    return j->map;
}

/* Never over another one; some file systems know no second name for a file. */
static bool rename_anew(const char *from, const char *to)
{
    if (!link(from, to)) return !unlink(from);
    return errno != EEXIST && !rename(from, to);
}

static bool make(struct lun_journal *j, const char *making, const char *owner, const char *boot_id)
{
    j->fd = open(making, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool made = j->fd >= 0;
    bool good = made && lock(j->fd) && fill(j->fd, j->run, j->slots, owner, boot_id) && map(j) && !fsync(j->fd) && rename_anew(making, j->path) &&
                lun_folder_sync(j->folder);
    int kept = errno;
    if (made && !good) unlink(making);
    errno = kept;
    return good;
}

struct lun_journal *lun_journal_create(const char *folder, uint32_t run, const char *owner, const char *boot_id, uint32_t slots, char **error)
{
    struct lun_journal *j = lun_zalloc(sizeof *j);
    char *making = path_of(folder, MAKING, run);
    *j = (struct lun_journal){ .fd = -1, .run = run, .slots = slots, .size = LUN_JOURNAL_PAGE + (size_t)slots * 2 * LUN_JOURNAL_LINE,
                               .folder = lun_strdup(folder), .path = path_of(folder, FINISHED, run) };
    *error = NULL;
    if (!make(j, making, owner, boot_id)) {
        *error = lun_printf("the journal %s cannot be made: %s", j->path, strerror(errno));
        lun_journal_close(j);
        j = NULL;
    }
    free(making);
    return j;
}

uint32_t lun_journal_slots(const struct lun_journal *j) { return j->slots; }

void lun_journal_distrust(struct lun_journal *j)
{
    *(volatile uint32_t *)(j->map + offsetof(struct head, untrusted)) = 1;
}

void lun_journal_close(struct lun_journal *j)
{
    if (!j) return;
    if (j->dead) free(j->map);
    else if (j->map) munmap(j->map, j->size);
    if (j->fd >= 0) close(j->fd);
    free(j->path), free(j->folder);
    free(j);
}

void lun_journal_unlink(struct lun_journal *j)
{
    if (!j) return;
    if (!unlink(j->path)) lun_folder_sync(j->folder);
    lun_journal_close(j);
}

/* ---- of the dead ---- */

static bool read_all(int fd, unsigned char *bytes, size_t n)
{
    for (size_t at = 0; at < n; ) {
        ssize_t got = pread(fd, bytes + at, n - at, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += (size_t)got;
    }
    return true;
}

static bool whole_head(const struct lun_journal *j)
{
    struct head h;
    memcpy(&h, j->map, sizeof h);
    return !memcmp(h.magic, magic, sizeof magic) && h.crc == lun_crc32c(&h, offsetof(struct head, crc)) && h.run == j->run && h.slots == j->slots;
}

/* As many slots as the file has; what its head says of them decides only whether it is whole. */
static void read_dead(struct lun_journal *j, off_t length)
{
    enum { MOST = 1 << 24 };
    uint64_t slots = length > LUN_JOURNAL_PAGE ? ((uint64_t)length - LUN_JOURNAL_PAGE) / (2 * LUN_JOURNAL_LINE) : 0;
    j->dead = true;
    j->slots = slots < MOST ? (uint32_t)slots : MOST;
    j->size = LUN_JOURNAL_PAGE + (size_t)j->slots * 2 * LUN_JOURNAL_LINE;
    j->map = lun_zalloc(j->size);
    j->whole = read_all(j->fd, j->map, j->size) && whole_head(j);
}

static bool foreign(const struct lun_journal *j, const char *owner)
{
    struct head h;
    memcpy(&h, j->map, sizeof h);
    return j->whole && strncmp(h.owner, owner, sizeof h.owner - 1);
}

bool lun_journal_there(const char *folder, uint32_t run)
{
    char *path = path_of(folder, FINISHED, run);
    bool there = !access(path, F_OK);
    free(path);
    return there;
}

enum lun_journal_dead lun_journal_open_dead(const char *folder, uint32_t run, const char *owner, struct lun_journal **out)
{
    struct stat s;
    struct lun_journal *j = lun_zalloc(sizeof *j);
    enum lun_journal_dead is = LUN_JOURNAL_DEAD;
    *out = NULL;
    *j = (struct lun_journal){ .run = run, .folder = lun_strdup(folder), .path = path_of(folder, FINISHED, run) };
    j->fd = open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0) is = errno == ENOENT ? LUN_JOURNAL_ABSENT : LUN_JOURNAL_ALIVE;       /* one that cannot be read is left to somebody who can */
    else if (!lock(j->fd)) is = LUN_JOURNAL_ALIVE;
    else if (fstat(j->fd, &s) || !s.st_nlink) is = LUN_JOURNAL_ABSENT;                  /* recovered by another process meanwhile */
    else {
        read_dead(j, s.st_size);
        if (foreign(j, owner)) is = LUN_JOURNAL_ABSENT;
    }
    if (is == LUN_JOURNAL_DEAD) *out = j;
    else lun_journal_close(j);
    return is;
}

bool lun_journal_complete(const struct lun_journal *j, const char *boot_id)
{
    struct head h;
    memcpy(&h, j->map, sizeof h);
    h.boot[sizeof h.boot - 1] = '\0';
    return j->whole && *boot_id && !strcmp(h.boot, boot_id) && !h.untrusted && !fsync(j->fd);
}

static bool number(const char *name, const char *kind, uint32_t *run)
{
    size_t n = strlen(kind), digits = strncmp(name, kind, n) ? 0 : strspn(name + n, "0123456789");
    if (!digits || digits > 10 || name[n + digits] || name[n] == '0') return false;
    unsigned long long value = strtoull(name + n, NULL, 10);
    *run = (uint32_t)value;
    return value <= UINT32_MAX;
}

/* One that nobody is making any more: its lock can be had. */
static void sweep(const char *folder, uint32_t run)
{
    char *path = path_of(folder, MAKING, run);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && lock(fd)) unlink(path);
    if (fd >= 0) close(fd);
    free(path);
}

bool lun_journal_each(const char *folder, void (*found)(void *self, uint32_t run), void *self)
{
    DIR *d = opendir(folder);
    uint32_t run;
    if (!d) return false;
    for (struct dirent *e; (e = readdir(d)); ) {
        if (number(e->d_name, FINISHED, &run)) found(self, run);
        else if (number(e->d_name, MAKING, &run)) sweep(folder, run);
    }
    closedir(d);
    return true;
}

void lun_journal_boot_id(char out[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, 39) : -1;
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\r\n ")] = '\0';
    if (fd >= 0) close(fd);
}

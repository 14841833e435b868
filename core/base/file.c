#include "base/file.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *too_long(size_t most)
{
    return most == LUN_FILE_MOST ? "is over 1 MiB long" : most == LUN_FILE_LARGEST ? "is over 8 MiB long" : "is longer than such a file can be";
}

char *lun_file_slurp(const char *path, size_t *n, const char **why) { return lun_file_slurp_most(path, LUN_FILE_MOST, n, why); }

char *lun_file_slurp_most(const char *path, size_t most, size_t *n, const char **why)
{
    struct stat st;
    char *text = NULL;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *n = 0, *why = NULL;
    if (fd < 0 || fstat(fd, &st)) *why = strerror(errno);
    else if (!S_ISREG(st.st_mode)) *why = "is not a file";
    else if ((size_t)st.st_size > most) *why = too_long(most);
    else {
        size_t room = (size_t)st.st_size + 1;           /* one more than there is, so that its end is seen */
        text = lun_alloc(room);
        while (*n <= most && (got = read(fd, text + *n, room - *n)) > 0)
            if ((*n += (size_t)got) == room) text = lun_realloc(text, room = most + 1);     /* it has grown meanwhile */
        if (got < 0) *why = strerror(errno);
        else if (*n > most) *why = too_long(most);
    }
    if (fd >= 0) close(fd);
    if (*why) free(text), text = NULL;
    if (text) text[*n] = 0;
    return text;
}

bool lun_file_missing(const char *path)
{
    struct stat st;
    return lstat(path, &st) && (errno == ENOENT || errno == ENOTDIR);
}

bool lun_file_write(int fd, const void *bytes, size_t n)
{
    for (size_t at = 0; at < n; ) {
        ssize_t done = write(fd, (const char *)bytes + at, n - at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        at += (size_t)done;
    }
    return true;
}

char *lun_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? lun_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : lun_strdup(".");
}

bool lun_folder_sync(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && (!fsync(fd) || errno == EINVAL);
    int kept = errno;
    if (fd >= 0) close(fd);
    errno = kept;
    return good;
}

static bool sync_folder_of(const char *path)
{
    char *folder = lun_folder_of(path);
    bool good = lun_folder_sync(folder);
    int kept = errno;
    free(folder);
    errno = kept;
    return good;
}

static bool write_new(const char *path, const void *bytes, size_t n, bool sync)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool good = !fchmod(fd, 0600) && lun_file_write(fd, bytes, n) && (!sync || !fsync(fd));
    int kept = errno;
    if (close(fd) && good) return false;
    errno = kept;
    return good;
}

bool lun_file_replace(const char *path, const void *bytes, size_t n, const char **why)
{
    char *beside = lun_printf("%s.new", path);
    bool good = write_new(beside, bytes, n, true) && !rename(beside, path) && sync_folder_of(path);
    *why = good ? NULL : strerror(errno);
    if (!good) unlink(beside);
    free(beside);
    return good;
}

bool lun_file_put(const char *path, const void *bytes, size_t n, const char **why)
{
    bool good = write_new(path, bytes, n, false);
    *why = good ? NULL : strerror(errno);
    return good;
}

bool lun_folder_make(const char *path, const char **why)
{
    struct stat s;
    *why = NULL;
    if (!mkdir(path, 0700)) {
        if (!sync_folder_of(path)) *why = strerror(errno);
    } else if (errno != EEXIST) *why = strerror(errno);
    else if (stat(path, &s)) *why = strerror(errno);
    else if (!S_ISDIR(s.st_mode)) *why = "is not a folder";
    return !*why;
}

int lun_file_lock(const char *path, const char **why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    *why = NULL;
    if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB)) return fd;
    *why = fd >= 0 && errno == EWOULDBLOCK ? "is in use by another process" : strerror(errno);
    if (fd >= 0) close(fd);
    return -1;
}

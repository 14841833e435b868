#include "base/file.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *lun_file_slurp(const char *path, size_t *n, const char **why)
{
    struct stat st;
    char *text = NULL;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *n = 0, *why = NULL;
    if (fd < 0 || fstat(fd, &st)) *why = strerror(errno);
    else if (!S_ISREG(st.st_mode)) *why = "is not a file";
    else if (st.st_size > LUN_FILE_MOST) *why = "is over 1 MiB long";
    else {
        text = lun_alloc(LUN_FILE_MOST + 1);
        while (*n <= LUN_FILE_MOST && (got = read(fd, text + *n, LUN_FILE_MOST + 1 - *n)) > 0) *n += (size_t)got;
        if (got < 0) *why = strerror(errno);
        else if (*n > LUN_FILE_MOST) *why = "is over 1 MiB long";
    }
    if (fd >= 0) close(fd);
    if (*why) free(text), text = NULL;
    return text;
}

/* Small files, read whole. */
#ifndef LUN_BASE_FILE_H
#define LUN_BASE_FILE_H
#include <stddef.h>

enum { LUN_FILE_MOST = 1 << 20 };

/* The bytes of a regular file of at most LUN_FILE_MOST bytes, yours to free. NULL: *why says what happened ("No such file or directory",
 * borrowed). Blocks on the disk. */
char *lun_file_slurp(const char *path, size_t *n, const char **why);
#endif

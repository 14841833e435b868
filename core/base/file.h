/* Small files, read and written whole; and the folder and the lock of who keeps some. All block on the disk. Where there is a `why` it says what
 * happened when it failed ("No such file or directory"), without the path: borrowed, until the thread's next such error. */
#ifndef LUN_BASE_FILE_H
#define LUN_BASE_FILE_H
#include <stdbool.h>
#include <stddef.h>

enum { LUN_FILE_MOST = 1 << 20, LUN_FILE_LARGEST = 8 << 20 };

/* The bytes of a regular file of at most LUN_FILE_MOST bytes, yours to free. NULL: see *why. */
char *lun_file_slurp(const char *path, size_t *n, const char **why);
char *lun_file_slurp_most(const char *path, size_t most, size_t *n, const char **why);      /* the same with another limit */
bool lun_file_missing(const char *path);        /* it is known that there is nothing of that name; what cannot be looked at may be there */

/* Makes `path` a file of these bytes, for its owner alone (0600), so that whoever reads it, also after a crash or a power cut, finds all of the old
 * or all of the new: written beside (`path`.new, a leftover is overwritten), fsync, rename, fsync of the folder. One at a time for a path. False:
 * the old one stands, unless only the last step failed. A symbolic link is replaced, not followed. */
bool lun_file_replace(const char *path, const void *bytes, size_t n, const char **why);

/* Writes a file of its owner's (0600), and does not wait for the disk: after a power cut it may be there in part. For what can be told from its
 * content, or is named by a file that is replaced afterwards. A symbolic link is refused. */
bool lun_file_put(const char *path, const void *bytes, size_t n, const char **why);

/* Writes all of it, however often that takes. False: errno says why. */
bool lun_file_write(int fd, const void *bytes, size_t n);

/* The folder that `path` is in: "." where it names none. Yours to free. */
char *lun_folder_of(const char *path);

/* A new name in a folder, or that one is gone, is on the disk only when the folder is. False: errno says why. */
bool lun_folder_sync(const char *folder);

/* Makes a folder for its owner alone (0700). One that is there is good as it is; the folder around it must be there. */
bool lun_folder_make(const char *path, const char **why);

/* Takes the lock (flock(2)) of a file, which is made if it is not there and never removed. Returns a descriptor: close() gives the lock back, and so
 * does the end of the process, whatever ended it. -1: see *why; another process, or another descriptor of this one, may have it. Not for network
 * file systems. */
int lun_file_lock(const char *path, const char **why);
#endif

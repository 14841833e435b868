/* The request log's writer: a thread that puts lines into a file, so that nobody who has a line to write waits for a disk.
 *
 * A line waits in memory at most LUN_WRITER_WAIT and is then written with those that came meanwhile (and left to the system
 * to bring to the disk: it outlives the process from then on, but not a power cut). Memory is bounded:
 * what does not fit is dropped and counted, never waited for. The file is opened for appending, and a write holds whole
 * lines only, so several processes may share it. Any thread may call any of these at any time, except that nothing may be
 * called during and after lun_writer_free. */
#ifndef LUN_BASE_WRITER_H
#define LUN_BASE_WRITER_H
#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUN_WRITER_WAIT (100 * LUN_MS)
enum { LUN_WRITER_LINE = 1024 * 1024,             /* bytes of one line at most, with its line end */
       LUN_WRITER_ROOM = 8 * 1024 * 1024 };     /* bytes that wait at most, those now being written among them */

struct lun_writer;

/* Opens `path` (made if need be, for its owner to write and its group to read; "-" is stdout) and starts the thread. NULL:
 * it could not be opened, and *error says why, for people; yours to free. */
struct lun_writer *lun_writer_new(const char *path, char **error);

/* Puts a line of `n` bytes without its line end; the bytes are copied. Takes a mutex for the length of that copy, no more.
 * Dropped and counted: a line of LUN_WRITER_LINE bytes and more, one that holds a line feed (it would be two), and one that
 * does not fit any more because the disk is slow. Costs about 0.1 us. */
void lun_writer_put(struct lun_writer *, const char *line, size_t n);
/* The same without a system call. True: lun_writer_wake has to follow, or the line waits for the next one. */
bool lun_writer_lay(struct lun_writer *, const char *line, size_t n);
void lun_writer_wake(struct lun_writer *);

/* Closes the file and opens its path anew, after it was moved away (log rotation): lines put before this call go to the old
 * file, those after to the new one. Returns at once. If the new one cannot be opened the old one is kept, see
 * lun_writer_error. Nothing happens for stdout. */
void lun_writer_reopen(struct lun_writer *);

/* Waits until all that was put (and each reopen that was asked for) before the call is done, or could not be. For tests, and
 * before a hand-over; not for a loop's thread. */
void lun_writer_flush(struct lun_writer *);

/* Lines dropped since the start, whatever the reason (writes that failed, too). Only ever rises. */
uint64_t lun_writer_dropped(const struct lun_writer *);

/* errno of the last write or reopen if it failed, 0 if all is well. */
int lun_writer_error(const struct lun_writer *);

/* Writes what waits, ends the thread, closes the file. A pipe whose reader does not read is given a second, no more. NULL is
 * fine. */
void lun_writer_free(struct lun_writer *);
#endif

/* Files that are watched for changes (inotify(7)), for those who read them once and want to know when to read them again.
 *
 * A change is told once, after `quiet` without a further one: a file written in place, truncated and written, replaced by a rename,
 * removed, made again, made for the first time. Every folder and symbolic link on the way to a file counts as far as it changes where the
 * path leads, so that a folder swapped by one link (Kubernetes' ..data) is one change; afterwards the new files are watched. Permissions
 * are no content. Other names in the same folders cause nothing.
 *
 * A half-written file is none: while one that was modified or made has not been closed by who writes it, the change waits, at most 50
 * times `quiet`; so long waits, too, one that never comes to rest. When the system lost events (IN_Q_OVERFLOW) that is told as a change.
 * Of a path of which a folder is missing the nearest that exists is watched until the rest is there.
 *
 * What this cannot see: changes made by another machine on a network file system, and through mmap() before the file is closed. All on
 * the reactor's thread, between enter and leave. Looking at a path anew costs a few system calls for each folder on its way. */
#ifndef LUN_WIRE_WATCH_H
#define LUN_WIRE_WATCH_H
#include "wire/reactor.h"
#include <stdbool.h>

#define LUN_WATCH_QUIET (200 * LUN_MS)
enum { LUN_WATCH_MOST = 1000 };         /* paths; those beyond are not watched, which is a problem (below) */

struct lun_watch;

/* `changed` is called from a task of the loop; it may call lun_watch_files, and lun_watch_free. Never NULL: a system without inotify is a
 * problem (below), and nothing is ever told. The reactor is borrowed until free. */
struct lun_watch *lun_watch_new(struct lun_reactor *, lun_us quiet, void (*changed)(void *self), void *self);

/* The files to watch, instead of those before; copied. A relative path is relative to the folder the process is in now. One that was
 * watched before keeps what is known of it: a change that was not told yet is told. Whether it exists does not matter. */
void lun_watch_files(struct lun_watch *, const char *const *paths, int n);

/* For the gap between reading files and watching them: those that lun_watch_files adds from now on and that changed at or after `since`
 * count as changed. `since` is lun_watch_clock() before they were read; 0: no longer. */
void   lun_watch_since(struct lun_watch *, lun_us since);
lun_us lun_watch_clock(void);           /* the wall clock that the kernel stamps files with */

/* Whether every *.lua that is made, moved or written in the folders of the files counts too (one that was missing appears), but for
 * hidden ones. From the next lun_watch_files on. At first it does not. */
void lun_watch_any_lua(struct lun_watch *, bool yes);

/* What is not watched, why, and what to do, as a sentence; NULL: all is. After lun_watch_files, and in `changed`. Borrowed until then. */
const char *lun_watch_problem(const struct lun_watch *);

void lun_watch_free(struct lun_watch *);        /* nothing is told any more. NULL is fine */
#endif

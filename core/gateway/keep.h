/* The folder `state`: what of a gateway must survive a restart. `keys.json` (keys made at run time: key_file.h), `state.json` (settings, the list of
 * versions, what was taken back) and, in `versions/HASH/`, the text of the last versions, file by file, with an index that is written last. All of it may be read by its owner alone.
 * The two files are replaced as a whole and on the disk when that is said: a crash, of the machine too, leaves the old or the new one. The text of
 * versions is not waited for: it outlives the process, and a machine without power loses that of the last seconds, which its hash shows. Where
 * somebody removed the folder it is made again. Blocks on the disk: not on a loop. One thread at a time. */
#ifndef LUN_GATEWAY_KEEP_H
#define LUN_GATEWAY_KEEP_H
#include "gateway/versions.h"

struct lun_keep;
/* Makes the folder and takes it for this process. `*lock` is that of a process which hands it over (-1, or NULL: none does): taken, and then -1, where it is
 * this folder's. NULL: `error` (yours to free) says why it cannot be used; another gateway's folder too. */
struct lun_keep *lun_keep_open(const char *folder, int *lock, char **error);
int lun_keep_lock(const struct lun_keep *);     /* to be handed over */
void lun_keep_close(struct lun_keep *);         /* NULL is fine */

char *lun_keep_read(struct lun_keep *, size_t *n);                              /* state.json, yours to free; NULL: there is none */
bool lun_keep_write(struct lun_keep *, const char *text, size_t n, char **error);
/* keys.json: its text, yours to free. NULL: there is none, or it cannot be read: then *error (yours to free) says so. */
char *lun_keep_read_keys(struct lun_keep *, size_t *n, char **error);
bool lun_keep_write_keys(struct lun_keep *, const char *text, size_t n, char **error);
/* Whether a folder that could not be opened has keys in it, as far as is known. */
bool lun_keep_may_have_keys(const char *folder);
bool lun_keep_has_keys(const struct lun_keep *);
/* The text of a version, if it is not there yet, whole; what is there of none of `known` goes. */
bool lun_keep_version(struct lun_keep *, const struct lun_snapshot *, char **error);
void lun_keep_only(struct lun_keep *, const char *const *known, int n);

/* The files of a version as they were, in memory. */
struct lun_kept { const struct lun_file *files; int n; struct lun_arena arena; };       /* the first is gateway.lua (by whatever name) */
/* False: it is not there, or not whole. */
bool lun_kept_read(struct lun_keep *, const char *version, struct lun_kept *);
/* The same of a snapshot that is at hand. */
void lun_kept_copy(const struct lun_snapshot *, struct lun_kept *);
void lun_kept_free(struct lun_kept *);
#endif

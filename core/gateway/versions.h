/* The versions of a configuration that a gateway took over, newest first: who brought each, when, why, and what became of it. As data: nothing is
 * loaded, written or taken over here. One thread. */
#ifndef LUN_GATEWAY_VERSIONS_H
#define LUN_GATEWAY_VERSIONS_H
#include "base/buf.h"
#include "state/snapshot.h"

enum { LUN_VERSIONS_MOST = 8 };         /* kept, and with requests at the same time */

struct lun_version {
    char *name;                         /* "support.lua@a1b2c3d4e5f6", as in snapshot->version */
    struct lun_snapshot *snapshot;      /* with a reference; NULL: known from an earlier run of the program, to be loaded from what was kept */
    int generation;                     /* when it was last taken over */
    lun_us taken;                       /* wall time of that */
    char *by, *why;                     /* who brought it ("files", "admin ann@host", "lunette"), and why */
    uint64_t requests;                  /* that it answered before this snapshot of it */
    uint64_t failures;                  /* of its hooks, likewise */
    lun_us bad;                         /* wall time at which it was taken back; 0: it was not */
    char *bad_by, *bad_why, *bad_files;     /* bad_files: as blame.h has them */
};
struct lun_versions { struct lun_version *items[2 * LUN_VERSIONS_MOST]; int n; int generation; };    /* zero-initialised: none */

struct lun_version *lun_versions_find(const struct lun_versions *, const char *name);       /* NULL: not known */
struct lun_version *lun_versions_current(const struct lun_versions *);      /* the first; NULL: none yet */
/* The one that was taken back which a snapshot is, or whose files it still has; NULL: none. */
struct lun_version *lun_versions_taken_back(const struct lun_versions *, const struct lun_snapshot *);
/* The one before the current that was not taken back; NULL: there is none. */
struct lun_version *lun_versions_previous(const struct lun_versions *);
/* An earlier one than the current that answered requests and was not taken back. */
bool lun_versions_earlier_served(const struct lun_versions *);
/* Makes it the current one, with the next generation (which goes into the snapshot too, where nobody has begun with it yet). The snapshot's
 * reference is taken. Of those that go beyond LUN_VERSIONS_MOST the oldest without requests is forgotten. */
struct lun_version *lun_versions_take(struct lun_versions *, struct lun_snapshot *, lun_us wall, const char *by, const char *why);
void lun_version_mark_bad(struct lun_version *, lun_us wall, const char *by, const char *why, const char *files);
/* One that was taken back elsewhere, and may never have been here. Not the current one. */
void lun_versions_learn_bad(struct lun_versions *, const char *name, lun_us wall, const char *by, const char *why, const char *files);
void lun_versions_forgive(struct lun_versions *, const char *but);  /* all that were taken back, `but` (may be NULL) not */
uint64_t lun_version_requests(const struct lun_version *);          /* answered by it in all */
uint64_t lun_version_failures(const struct lun_version *);          /* of its hooks, in all */
bool lun_version_live(const struct lun_version *);                  /* a worker has it */
int lun_versions_live(const struct lun_versions *);
void lun_versions_free(struct lun_versions *);

/* GET /admin/versions. */
void lun_versions_show(const struct lun_versions *, struct lun_buf *out);
/* What is kept of them, and back: `,"generation":…,"versions":[…]` as members of an object. Those read have no snapshot. False: no such thing. */
void lun_versions_write(const struct lun_versions *, struct lun_buf *out);
bool lun_versions_read(struct lun_versions *, struct lun_json object);
#endif

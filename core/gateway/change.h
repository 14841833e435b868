/* One change under way, and what the two halves of it share: change_build.c, on the builder's thread, and changes.c, on the reactor's. For these
 * two alone. */
#ifndef LUN_GATEWAY_CHANGE_H
#define LUN_GATEWAY_CHANGE_H
#include "gateway/changes.h"
#include "gateway/errand.h"
#include "gateway/rehearsal.h"

enum lun_change_kind { LUN_CHANGE_START, LUN_CHANGE_RELOAD, LUN_CHANGE_ROLLBACK, LUN_CHANGE_SET };

struct lun_change_waiter { struct lun_change_waiter *next; lun_change_told *told; void *self; };
struct lun_known { const char *name; struct lun_snapshot *snapshot; const char *taken_back; };     /* taken_back: by whom, when, why; NULL: it was not */

struct lun_change {
    struct lun_change *next;
    struct lun_changes *of;
    enum lun_change_kind kind;
    bool force;
    const char *by, *why;
    struct lun_change_waiter *waiters;
    struct lun_arena arena;                     /* all texts of it */
    struct lun_change_result result;
    struct lun_job job;
    struct lun_errand errand;
    struct lun_timer limit;                     /* of waiting for room */
    lun_us clock;                               /* before files were read */

    struct lun_known *known; int n_known;       /* the versions, current first; they do not change while it is under way */
    const struct lun_known *back_to;            /* ROLLBACK */
    struct lun_paths looked_at;                 /* RELOAD, START */
    bool outdated;                              /* START: the files are no longer as they were read */
    bool refreshed;                             /* the file holds what was taken back: the current version, with today's secrets */

    struct lun_snapshot *snapshot;              /* to be taken over, with a reference; NULL: nothing is */
    struct lun_kit **kits; int n_kits;          /* one for each worker, in the arena; taken by the workers as they make ready */
    struct lun_tuning *tuning;                  /* of that snapshot, or new ones of the current one */
    char *text; size_t n_text;                  /* of state.json */
    pthread_mutex_t lock; char *prepare_error;  /* the first that a worker had */
};

/* What changes.c lends to the builder's thread: nothing of it changes while a job is under way. */
struct lun_change_means {
    const struct lun_changes_options *options;
    const struct lun_snapshot *running;         /* what the process was started with */
    const char *read;                           /* the version that the files held then */
    struct lun_keep *keep;                      /* NULL: nothing is kept */
    int n_workers;
};
const struct lun_change_means *lun_changes_means(const struct lun_changes *);

void lun_texts_add(struct lun_change *, struct lun_texts *, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Jobs: they leave snapshot and kits, or errors and a status. */
void lun_change_build_start(struct lun_job *);
void lun_change_build_reload(struct lun_job *);
void lun_change_build_rollback(struct lun_job *);
void lun_change_write(struct lun_job *);        /* state.json and the text of the version; a failure is a warning */
#endif

/* One change under way, and what the files change*.c share. For these alone:
 *
 *   changes.c           the queue: who asks, what is next, who is told
 *   change_build.c      the half on the builder's thread: files read, versions loaded and tried, machines made, the state folder written
 *   change_adopt.c      a version is taken over by every worker, or by none
 *   change_canary.c     what becomes of canaries
 *   change_shadow.c     a version that is asked beside the current one, and what becomes of it
 *   change_settings.c   other values for the policy's settings
 *   change_keys.c       keys that are made, changed and revoked
 *   change_report.c     what is logged, counted and audited
 *   change_recall.c     what an earlier run of the program has left
 *
 * All but change_build.c run on the gateway's reactor. */
#ifndef LUN_GATEWAY_CHANGE_H
#define LUN_GATEWAY_CHANGE_H
#include "gateway/admission.h"
#include "gateway/changes.h"
#include "gateway/errand.h"
#include "gateway/key_text.h"
#include "gateway/rehearsal.h"
#include "wire/listen.h"

enum lun_change_kind { LUN_CHANGE_START, LUN_CHANGE_RELOAD, LUN_CHANGE_ROLLBACK, LUN_CHANGE_SET, LUN_CHANGE_CANARY, LUN_CHANGE_KEY,
                       LUN_CHANGE_KEEP, /* nothing changes: what could not be written into the folder `state` is written */
                       LUN_CHANGE_SHADOW, LUN_CHANGE_UNSHADOW, LUN_CHANGE_SHADOW_DUE /* ... which goes on as a reload, or is refused */ };

struct lun_change_waiter { struct lun_change_waiter *next; lun_change_told *told; void *self; };
struct lun_known { const char *name; struct lun_snapshot *snapshot; const char *taken_back, *files; };     /* taken_back: by whom, when, why;
                                           NULL: it was not. files: for which, as blame.h has them */

struct lun_canary_news { const char *name; struct lun_canary_event event; };

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
    bool wrote;                                 /* into the folder `state`, or tried to */
    lun_us clock;                               /* before files were read */

    struct lun_known *known; int n_known;       /* the versions, current first; they do not change while it is under way */
    const struct lun_known *back_to;            /* ROLLBACK */
    int meant;                                  /* ROLLBACK: the generation that was in force when it was asked for: another one is not left. 0: any */
    const char *blame;                          /* ROLLBACK: the files that are taken back by it */
    struct lun_taken_back heard;                /* ROLLBACK: what another gateway tells of a version; of none: NULL */
    struct lun_paths looked_at;                 /* RELOAD, START */
    bool outdated;                              /* START: the files are no longer as they were read */
    bool refreshed;                             /* the file holds what was taken back: the current version, with today's secrets */

    struct lun_snapshot *snapshot;              /* to be taken over, with a reference; NULL: nothing is */
    bool unbound;                               /* it is not tied yet to what outlives it */
    struct lun_kit **kits; int n_kits;          /* one for each worker, in the arena; taken by the workers as they make ready */
    struct lun_tuning *tuning;                  /* of that snapshot, or new ones of the current one */
    const char *canary; enum lun_canary_verb verb;      /* CANARY: what is asked of it; NULL: it has come by itself */
    struct lun_canary_news *news; int n_news;   /* of canaries */
    enum lun_key_verb verb_of_key; const char *key_name; struct lun_json said;      /* KEY: what is asked */
    struct lun_key *key_before, *key;           /* KEY: with references; key: what it becomes; NULL: nothing changes */
    struct lun_key **learned; int n_learned, n_newer;           /* KEY: from another gateway */
    struct lun_keyring *keyring, *keyring_before;       /* KEY: to be in force, and, where keys were learned, the one before; with references */
    char key_text[LUN_KEY_TEXT], *write_error;
    struct lun_buf keys_file;                   /* KEY: the text of keys.json */
    struct lun_shadow_terms *terms; struct lun_shadow *shadow;     /* SHADOW: what is asked, and what was made of it; with a reference */
    int shadow_number;                          /* SHADOW_DUE: whose time is over */
    struct lun_snapshot *tried;                 /* RELOAD: takes over what was a shadow, as it was; with a reference. NULL: the files as they are */
    struct lun_tuning *shadow_tuning;           /* SET: of the shadow there is; NULL: there is none */
    char *text; size_t n_text;                  /* of state.json */
    struct lun_buf audit; bool audited;         /* its lines for the audit log, each with its line end; the builder's thread has written them, or could not */
    pthread_mutex_t lock; char *prepare_error;  /* the first that a worker had */
};

/* What changes.c lends to the builder's thread: nothing of it changes while a job is under way. */
struct lun_change_means {
    const struct lun_changes_options *options;
    const struct lun_snapshot *running;         /* what the process was started with */
    const char *read;                           /* the version that the files held then */
    struct lun_keep *keep;                      /* NULL: nothing is kept */
    struct lun_writer *audit;                   /* NULL: there is none */
    int n_workers;
    char reached[LUN_ADDRESS_TEXT], admin_reached[LUN_ADDRESS_TEXT];   /* where other machines reach it; "": nowhere */
};
const struct lun_change_means *lun_changes_means(const struct lun_changes *);

#define LUN_CHANGE_BY_START "start"             /* who has brought the version that the program begins with */
#define LUN_CHANGE_BY_FILES "files"             /* who asks for a reload when one of them has changed */
#define LUN_STATE_FORMAT 1                      /* of state.json */

/* The shadow there is, or what became of the last one. */
struct lun_shadowing {
    enum lun_shadow_state state;
    int number;                                 /* counts them */
    struct lun_shadow *shadow;                  /* with a reference; NULL: it has ended */
    struct lun_buf figures;                     /* of one that has ended */
    struct lun_shadow_terms terms;
    char *version, *live, *by, *why;            /* why: it ended */
    lun_us began, since, ended;                 /* loop time; wall time */
    struct lun_timer timer;
    struct lun_post ill; bool sick;
};

struct lun_changes {
    struct lun_changes_options options;
    struct lun_config_source source;            /* the options' own, that knows the keys made at run time */
    struct lun_change_means means;
    struct lun_snapshot *first, *current;       /* with references */
    struct lun_versions versions;
    struct lun_tuning *settings, *tuning;       /* all that was ever set; what of it the current version takes */
    struct lun_keyring *keyring;                /* with a reference; NULL: no key was ever made */
    struct lun_keep *keep;
    struct lun_builder *builder;
    struct lun_writer *audit;
    struct lun_watch *watch;
    char *read; lun_us read_at; struct lun_paths looked_at;     /* the version that the files held at the start, and the files */
    struct lun_worker *const *workers; int n_workers;
    struct lun_troubles troubles;
    struct lun_change *now, *first_change, **last_change;
    bool waits_for_room, stopping;
    bool holds; void (*held)(void *self); void *held_self;      /* holds: none begins; held: to be told when none is under way */
    bool again;                         /* the files hold a version that found no room: as soon as there is some they are read again */
    struct lun_timer keeper; lun_us pause;      /* when the folder `state` is written again, where it could not be; pause: 0: all is kept */
    struct lun_post released, sick, canary;
    int alone;                          /* the generation of which it was said that it fails and that there is none to go back to */
    struct lun_shadowing shadow;
};

static inline struct lun_change *lun_change_of(struct lun_job *j)      { return (struct lun_change *)(void *)((char *)j - offsetof(struct lun_change, job)); }
static inline struct lun_change *lun_change_on(struct lun_errand *e)   { return (struct lun_change *)(void *)((char *)e - offsetof(struct lun_change, errand)); }

/* ---- the queue ---- */

void lun_change_finish(struct lun_change *);    /* tells, logs, frees it; the next one begins */
bool lun_change_refuse(struct lun_change *, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));     /* notes why. Always false */
void lun_change_fail(struct lun_change *, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));       /* notes why, finishes */
void lun_change_aside(struct lun_change *, void (*run)(struct lun_job *), void (*done)(struct lun_job *));      /* on the builder's thread */
void lun_change_everywhere(struct lun_change *, void (*visit)(struct lun_errand *, struct lun_worker *, int), void (*done)(struct lun_errand *));
void lun_change_keep(struct lun_change *);      /* writes down what is known now, then finishes it */
void lun_change_state(struct lun_change *);     /* makes the text of state.json */

/* ---- the steps ---- */

void lun_change_take_over(struct lun_change *); /* ch->snapshot, with ch->kits */
void lun_change_room(struct lun_changes *);     /* a worker has let go of a version */
void lun_change_settings(struct lun_change *);  /* ch->result.settings */
void lun_change_key(struct lun_change *);       /* ch->verb_of_key */
void lun_change_homeless(struct lun_change *, const struct lun_snapshot *);      /* warns of keys whose team that version does not have */
void lun_change_keyring(struct lun_changes *, struct lun_keyring *);    /* it is that from now on; a reference is taken */
void lun_change_canary(struct lun_change *);    /* ch->canary */
void lun_change_write_canaries(const struct lun_changes *, struct lun_buf *out);    /* a member of state.json, with the comma before it */
void lun_change_read_canaries(struct lun_changes *, struct lun_json object);
void lun_change_shadow(struct lun_change *);    /* ch->terms */
void lun_change_unshadow(struct lun_change *);
void lun_change_shadow_due(struct lun_change *);
void lun_change_shadow_tune(struct lun_change *, const struct lun_tuning *all);     /* makes ch->shadow_tuning */
void lun_change_shadow_replaced(struct lun_change *);   /* ch has brought another version: the shadow there is has ended with the one before */
void lun_change_shadow_settled(struct lun_change *);    /* ch is over: what became of taking the shadow over */
void lun_change_shadow_cut(struct lun_changes *);       /* the gateway is ending */
void lun_change_shadow_init(struct lun_changes *);
void lun_change_shadow_free(struct lun_changes *);
struct lun_tuning *lun_change_fitting(const struct lun_tuning *all, const struct lun_snapshot *);      /* those that the version takes */
void lun_change_audit(struct lun_change *);     /* makes ch->audit */
void lun_change_audit_failed(struct lun_change *, const char *why);  /* ... of a key of which nothing came, with the reason in place of `after` */
void lun_change_report(struct lun_change *);
void lun_change_audit_shadow(struct lun_changes *, const char *by, const char *why, const char *live, const char *version, const char *state);      /* at once */
bool lun_change_recall(struct lun_changes *, const struct lun_snapshot *, char **error);        /* opens the state folder. False: it was asked for by
                                                                                           name or has keys in it, and cannot be used */
/* What to begin with where the files cannot be used: the newest version that an earlier run has kept and that was not taken back. Opens the state
 * folder, as recall does. NULL: there is none, and nothing was opened or made. */
struct lun_snapshot *lun_change_last_good(struct lun_changes *, char **error);
/* What to begin with: the version that was loaded, which is taken, or where that was taken back, an earlier one. */
struct lun_snapshot *lun_change_choose(struct lun_changes *, struct lun_snapshot *);

void lun_texts_add(struct lun_change *, struct lun_texts *, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Jobs: they leave snapshot and kits, or errors and a status. */
/* Brings ch->audit into the audit log, and waits until it is there. False: `error` (yours to free). For the builder's thread. */
bool lun_change_write_audit(struct lun_change *, char **error);
void lun_change_build_start(struct lun_job *);
void lun_change_build_reload(struct lun_job *);
void lun_change_build_rollback(struct lun_job *);
void lun_change_build_shadow(struct lun_job *);         /* leaves ch->shadow and kits of it */
void lun_change_build_tried(struct lun_job *);          /* ch->tried */
void lun_change_write(struct lun_job *);        /* state.json and the text of the version; a failure is a warning */
void lun_change_write_keys(struct lun_job *);   /* keys.json; leaves result.kept, or write_error */
#endif

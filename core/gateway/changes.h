/* What changes a gateway while it runs: another version of its configuration (a reload), the previous one again (a rollback), other values for the
 * policy's settings, keys. Each is a transaction: built and tried on the builder's thread, made ready on every worker, taken over
 * by all of them between two of their events, written to the folder `state`, and only then answered. What fails on the way changes nothing.
 *
 * One change at a time, in the order they were asked for; reloads that wait behind another change are one. Everything here belongs to the thread of
 * the gateway's reactor; what a change needs of other threads goes there by itself. */
#ifndef LUN_GATEWAY_CHANGES_H
#define LUN_GATEWAY_CHANGES_H
#include "gateway/builder.h"
#include "gateway/comparison.h"
#include "gateway/config_source.h"
#include "gateway/troubles.h"
#include "gateway/worker.h"

struct lun_watch;
struct lun_changes;
/* A version that was taken back: when (wall), by whom, why, and for which files (blame.h). `why` NULL: it was, and is in force again since `at`. */
struct lun_taken_back { const char *version; lun_us at; const char *by, *why, *files; };
struct lun_changes_options {            /* borrowed until free */
    struct lun_reactor *reactor;
    struct lun_registry *registry;
    struct lun_server_shared *shared;
    const struct lun_log *log;
    const struct lun_config_source *source;
    enum lun_policy_limits limits;
    bool watch;                         /* reloads by itself when a file changes */
    void *self; void (*adopted)(void *self, struct lun_snapshot *);     /* another version is in force; NULL: nobody is told, here and below */
    void (*key_changed)(void *self, const struct lun_key *);            /* one is in force, as it was made, changed or revoked here */
    void (*taken_back)(void *self, const struct lun_taken_back *);      /* a version was, here; or one that was is in force again */
    int *state_lock;                    /* of the folder `state`, from the process that this one takes over from: keep.h. NULL: none */
    bool aside;                         /* what takes its time gets a thread; false: it is done on the reactor's, which stands still meanwhile */
};

struct lun_texts { const char **at; int n, room; };
struct lun_setting_change { const char *name; bool was_set, is_set; struct lun_plain before, after; };
struct lun_change_result {              /* borrowed until the function that is told returns */
    int status;                         /* as HTTP has it: 200; 404, 409 nothing to go back to, or to do; 422 refused; 503 cannot be done now */
    bool changed;                       /* another version than before, or the same with other secrets */
    const char *version; int generation;        /* that new requests begin with now */
    const char *from;                   /* the version before; NULL: not changed */
    struct lun_texts errors;            /* "policy.lua:4: …"; there are some where status is not 200 */
    struct lun_texts warnings;
    struct lun_texts restart;           /* settings that have changed and count from the next start only */
    const struct lun_setting_change *settings; int n_settings;
    const struct lun_key *key;          /* as it is now, where a key was asked for; NULL: there is none */
    const char *key_text;               /* of one that was made or rotated: this is the only time that anybody sees it */
    bool kept;                          /* it survives a restart */
};
typedef void lun_change_told(void *self, const struct lun_change_result *);

/* Chooses what to begin with: the source as it is, or, where that was taken back, the last good version that was kept. NULL: `mistakes` says why
 * it cannot be loaded and that no version was kept, or *error (yours to free) what else is wrong. One that was kept goes on in place of files that cannot be
 * loaded: that is logged as an error, and `mistakes` are none. */
struct lun_changes *lun_changes_new(const struct lun_changes_options *, struct lun_mistakes *, char **error);
struct lun_snapshot *lun_changes_first(const struct lun_changes *);             /* bound to the registry; borrowed */
struct lun_tuning *lun_changes_tuning(const struct lun_changes *);              /* what its settings are set to; borrowed */
/* Where other machines reach it, for clients and for admin; "": nowhere. Before lun_changes_begin. */
void lun_changes_reached(struct lun_changes *, const char *clients, const char *admin);
/* The workers are there: tries the first version (what is wrong is a warning), keeps it, begins to watch. */
void lun_changes_begin(struct lun_changes *, struct lun_worker *const *workers, int n);
/* No further change begins until lun_changes_go_on: what is asked waits. `held` is called once none is under way: what is kept stays as it is from then on,
 * so that another process may read it; not when the gateway stops before. Descriptors to hand to that one: lun_changes_state_lock. */
void lun_changes_hold(struct lun_changes *, void (*held)(void *self), void *self);
void lun_changes_go_on(struct lun_changes *);
int lun_changes_state_lock(const struct lun_changes *);         /* -1: nothing is kept */
void lun_changes_stop(struct lun_changes *);    /* the gateway is ending: what is asked from now on, or waits, gets 503 */
void lun_changes_reopen_log(struct lun_changes *);              /* the audit log, after rotation */
void lun_changes_free(struct lun_changes *);    /* no worker runs. NULL is fine */

/* `by`: who asks, for the log and the list of versions; copied. `told` may be NULL. `force`: takes a version that was taken back too, or one whose
 * hooks fail when they are tried. */
void lun_changes_reload(struct lun_changes *, const char *by, bool force, lun_change_told *told, void *self);
void lun_changes_rollback(struct lun_changes *, const char *by, const char *why, lun_change_told *told, void *self);
/* All of them or none. A value of NULL: back to the policy's default. Names and texts are copied. */
struct lun_wanted { const char *name; const struct lun_plain *value; };
void lun_changes_set(struct lun_changes *, const char *by, const struct lun_wanted *, int n, lun_change_told *told, void *self);

/*  id, name, meaning: what has become of the last shadow (shadow.h) */
#define LUN_SHADOW_STATES(X) \
    X(NONE,     "none",     "there was none") \
    X(RUNNING,  "running",  "requests are compared") \
    X(ADOPTING, "adopting", "its time is over and it stayed within its bounds: it is being taken over") \
    X(ADOPTED,  "adopted",  "it was taken over") \
    X(REFUSED,  "refused",  "it was not: `why` says what was out of its bounds, or what went wrong") \
    X(STOPPED,  "stopped",  "somebody has ended it, or the gateway did") \
    X(REPLACED, "replaced", "another version was taken over meanwhile")
#define X(id, ...) LUN_SHADOW_##id,
enum lun_shadow_state { LUN_SHADOW_STATES(X) LUN_SHADOW_STATE_COUNT };
#undef X
const char *lun_shadow_state_name(enum lun_shadow_state);

struct lun_shadow_terms {
    lun_us lasts;
    double share;                       /* of the requests that are compared, above 0 */
    struct lun_comparison_bounds bounds;
    bool force;                         /* as of a reload */
};
#define LUN_SHADOW_TERMS { .share = 1, .bounds = { .errors = 0.01, .cost = 0.05, .requests = 100 } }     /* where nothing is said; `lasts` has to be */
/* Builds the version that the files hold, and has it asked beside the current one: told when every worker does. After its time it is taken over as by a reload,
 * where it stayed within its bounds. 409: the files hold the current version, or there is a shadow already. */
void lun_changes_shadow(struct lun_changes *, const char *by, const struct lun_shadow_terms *, lun_change_told *told, void *self);
void lun_changes_unshadow(struct lun_changes *, const char *by, const char *why, lun_change_told *told, void *self);      /* 409: there is none */
/* Its time is over now: it is taken over, told as a reload is, or refused with 422. 409: there is none. */
void lun_changes_shadow_due(struct lun_changes *, const char *by, lun_change_told *told, void *self);
void lun_changes_show_versions(const struct lun_changes *, struct lun_buf *out);   /* lun_versions_show, with a `shadow` where one is under way */
void lun_changes_show_shadow(const struct lun_changes *, struct lun_buf *out);     /* an object: the present one, or what became of the last */

/* 404: gateway.lua has no such canary; 409: that cannot be done with it now. */
void lun_changes_canary(struct lun_changes *, const char *by, const char *name, enum lun_canary_verb, const char *why, lun_change_told *told, void *self);

/* Keys made at run time. `said`: a JSON object of their fields, copied (script/load_key.h); {0}: none. CREATE: it says the name. 404: there is no such key;
 * 409: its name is taken, it stands in the configuration, it was revoked, or nothing can be kept; 422: what is said is wrong; 503: it cannot be written. */
enum lun_key_verb { LUN_KEY_CREATE, LUN_KEY_CHANGE, LUN_KEY_ROTATE, LUN_KEY_REVOKE, LUN_KEY_LEARN };
void lun_changes_key(struct lun_changes *, const char *by, enum lun_key_verb, const char *name, struct lun_json said, lun_change_told *told, void *self);
/* What another gateway has made of keys (key_file.h reads them): of each name what is newer counts from now on. References are taken. In whatever order
 * gateways learn of one another's changes, they come to the same keys. */
void lun_changes_learn_keys(struct lun_changes *, const char *by, struct lun_key *const *, int n, lun_change_told *told, void *self);
/* A version that another gateway has taken back, or has again; copied. Where it is in use here it is taken back too; otherwise it is remembered, and a reload
 * of it refused. Nothing follows where it was taken over here since. */
void lun_changes_learn_back(struct lun_changes *, const struct lun_taken_back *, lun_change_told *told, void *self);
struct lun_keyring *lun_changes_keyring(const struct lun_changes *);            /* borrowed; NULL: no key was ever made */

const struct lun_versions *lun_changes_versions(const struct lun_changes *);
struct lun_snapshot *lun_changes_current(const struct lun_changes *);           /* borrowed */
const char *lun_changes_state(const struct lun_changes *);                      /* the folder; NULL: nothing is kept */

/* For workers, on their threads; `self` is the changes. */
struct lun_renewal *lun_changes_renew(void *self, struct lun_snapshot *);
void lun_changes_retire(void *self, struct lun_kit *);
void lun_changes_released(void *self);
void lun_changes_canary_moved(void *self);
void lun_changes_trouble(void *self, const struct lun_trouble *);
#endif

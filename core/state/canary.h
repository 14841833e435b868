/* A canary: a new provider, or a new version of a policy, that gets more and more of the requests, stage by stage, and none at all as soon as it does
 * worse than was allowed. What is known of one follows its name over reloads, and over restarts where somebody keeps what lun_canary_write says.
 *
 * It is passed the time, asks nobody and waits for nothing: requests tell how they ended, somebody tells what a probe was answered, somebody looks from
 * time to time whether a stage is over. Any thread; which group a request belongs to is one atomic read, how it ended a short lock. */
#ifndef LUN_STATE_CANARY_H
#define LUN_STATE_CANARY_H
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

#define LUN_CANARY_STAGES  20           /* at most */
#define LUN_CANARY_EVERY   (60 * LUN_SECOND)
#define LUN_CANARY_ERRORS  0.01
#define LUN_CANARY_P99     (500 * LUN_MS)
#define LUN_CANARY_SAMPLES 100          /* the least number of which 1 % is one, and p99 not the slowest */

/*  id, name, meaning */
#define LUN_CANARY_STATES(X) \
    X(WAITING,     "waiting",     "nobody is new: it was never started") \
    X(RUNNING,     "running",     "in one of its stages") \
    X(PAUSED,      "paused",      "in one of its stages, which it will not leave for the next by itself; it is watched all the same") \
    X(WATCHING,    "watching",    "the last stage has passed; it is watched on") \
    X(ROLLED_BACK, "rolled_back", "nobody is new, until somebody asks for it")
#define X(id, ...) LUN_CANARY_##id,
enum lun_canary_state { LUN_CANARY_STATES(X) LUN_CANARY_STATE_COUNT };
#undef X
const char *lun_canary_state_name(enum lun_canary_state);

/*  id, name, what it does */
#define LUN_CANARY_VERBS(X) \
    X(START,    "start",    "begins with the first stage; also what was rolled back") \
    X(PAUSE,    "pause",    "stays in its stage") \
    X(RESUME,   "resume",   "goes on; what was measured counts") \
    X(PROMOTE,  "promote",  "goes to the last stage at once") \
    X(ROLLBACK, "rollback", "nobody is new any more")
#define X(id, ...) LUN_CANARY_DO_##id,
enum lun_canary_verb { LUN_CANARY_VERBS(X) LUN_CANARY_VERB_COUNT };
#undef X
const char *lun_canary_verb_name(enum lun_canary_verb);
bool lun_canary_verb_find(const char *name, enum lun_canary_verb *);

struct lun_provider;
struct lun_canary;
struct lun_canary_rule {                /* an entry of `canaries`; in the snapshot's arena */
    const char *name;
    double stages[LUN_CANARY_STAGES]; int n_stages;     /* percent, rising */
    lun_us every;                       /* a stage lasts so long, and until there are enough samples */
    double errors;                      /* share that may fail; negative: not looked at */
    lun_us p99;                         /* 0: not looked at */
    int samples;                        /* at least so many, before a stage passes */
    bool start;                         /* begins by itself */
    const struct lun_provider *provider; const char *model;     /* what is new: its targets, those that serve the model, those that are both. Both
                                                                   NULL: not a target, but how is decided */
    const struct lun_provider *probe;   /* is asked whether it is well; NULL: nobody is */
    struct lun_canary *state;           /* by the registry */
};

struct lun_canary *lun_canary_new(void);            /* waiting */
void lun_canary_free(struct lun_canary *);
/* What the configuration says of it, from now on. A stage that gets another share begins anew. With another p99 what there was is counted by that, as
 * closely as the p99 that is shown. */
void lun_canary_apply(struct lun_canary *, const struct lun_canary_rule *);
void lun_canary_leave(struct lun_canary *);         /* it says nothing of it any more; a stage begins anew when it does again */

/* Whether somebody at `place`, in [0, 1), is new: who is new at a share is so at every larger one. *run names the present rollout, for _count. */
bool lun_canary_draw(const struct lun_canary *, double place, uint64_t *run);
double lun_canary_share(const struct lun_canary *);     /* percent */

/* A new one has ended: well, with what it took (0: not known), or not. What began in an earlier rollout is passed over. True: it is rolled back by that. */
bool lun_canary_count(struct lun_canary *, uint64_t run, bool good, lun_us latency, lun_us now);
/* Whether a probe is wanted by now; then one is under way. */
bool lun_canary_wants_probe(struct lun_canary *, lun_us now);
/* What it was answered (status 0: nothing), by whom. True: it is rolled back by that. */
bool lun_canary_probed(struct lun_canary *, const char *who, int status);
void lun_canary_unprobed(struct lun_canary *);      /* instead: nobody waits for it any more */
/* Whether a stage is over, or it can be told by now that it fails. True: something has changed. The first look at one that is waiting starts it, if
 * it is to start by itself. */
bool lun_canary_look(struct lun_canary *, lun_us now);
lun_us lun_canary_pace(const struct lun_canary_rule *);     /* how often to look */
/* Somebody asks for something. False: `problem` says why that cannot be. `by` and `why` are copied. */
bool lun_canary_do(struct lun_canary *, enum lun_canary_verb, const char *by, const char *why, lun_us now, char problem[120]);

struct lun_canary_view {
    enum lun_canary_state state;
    int stage, stages;                  /* from 1; 0: in none */
    double share;                       /* percent */
    lun_us lasts;                       /* this stage, or the watch, has lasted */
    int64_t samples, errors; int enough;    /* of this stage; of the last `every` where it watches. enough: samples wanted */
    lun_us p99;                         /* of the good ones; 0: there is none */
    int probe;                          /* the last probe's answer; -1: none yet */
    lun_us at;                          /* wall time of the last change; 0: there was none */
    char by[96], why[200];              /* who brought it to where it is, and why */
};
void lun_canary_view(struct lun_canary *, lun_us now, struct lun_canary_view *);

/* What has changed since this was asked before: state and share then. False: nothing. One thread. `wall`: the time, for the view. */
struct lun_canary_event { enum lun_canary_state from, to; double share_before, share; char by[96], why[200]; };
bool lun_canary_event(struct lun_canary *, lun_us wall, struct lun_canary_event *);

/* What must be kept of it, as an object; and back. A stage that was under way begins anew. False: it is no such thing. */
void lun_canary_write(struct lun_canary *, struct lun_buf *out);
bool lun_canary_read(struct lun_canary *, struct lun_json object);
#endif

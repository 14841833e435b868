/* A policy in its sandbox: one per worker and version. Runs hooks as thoughts: a thought is one hook of one request, in a coroutine of its
 * own; where it must wait it stops with a wish, and goes on when the wish is fulfilled.
 *
 * What it costs: `classify` and a `select` that takes two lists of four targets, healthy ones first by price, 23 thousand instructions or 2 us beside what
 * they look up in the request's text. Lua takes 3.5 of them, its collector 2, eleven look-ups of members 3, nine new objects 2.5.
 *
 * A thought that failed is not counted or logged here: whoever asked knows what becomes of the request, and does that.
 *
 * One thread at a time. Nothing here waits, opens a socket or knows what time it is but by the question's loop. */
#ifndef LUN_SCRIPT_POLICY_H
#define LUN_SCRIPT_POLICY_H
#include "base/buf.h"
#include "state/plan.h"
#include "state/question.h"

enum lun_policy_limits {        /* how CPU time is bounded, see vm.h */
    LUN_BY_SIGNAL,              /* a timer signal per worker: costs nothing while a policy behaves */
    LUN_BY_CLOCK,               /* a count hook that looks at the clock: no signals (inside other programs) */
    LUN_BY_COUNT,               /* a count of instructions: tests, dry runs and replay, so that they repeat */
};

struct lun_policy;
/* Loads the snapshot's policy (none: a policy without hooks). NULL: `error` (yours to free) says what, with file and line. */
struct lun_policy *lun_policy_open(struct lun_snapshot *, struct lun_registry *, enum lun_policy_limits, char **error);
void lun_policy_close(struct lun_policy *);     /* no thought is open any more; those that are, are dropped */
struct lun_log;
void lun_policy_log_to(struct lun_policy *, const struct lun_log *);   /* where lunette.log writes; NULL, as at first: nowhere. Borrowed */
bool lun_policy_has(const struct lun_policy *, enum lun_hook);  /* never pay for a hook that is not there */
void lun_policy_rest(struct lun_policy *);               /* in an idle moment, such as when an answer is out: tidies up a little where that is due */
bool lun_policy_worn(const struct lun_policy *);    /* its VM ran out of memory: open a fresh one, close this when idle */
const struct lun_limits *lun_policy_limits_of(const struct lun_policy *);   /* snapshot's, with the policy's own `limits` where gateway.lua says nothing */

enum lun_wish_kind { LUN_WISH_SLEEP, LUN_WISH_HTTP, LUN_WISH_CHAT };
struct lun_wish {               /* strings borrowed until it is fulfilled */
    enum lun_wish_kind kind;
    lun_us delay;               /* SLEEP */
    struct { const char *method, *url; const struct lun_pair *headers; int n_headers; const char *body; size_t body_n; lun_us timeout; } http;
    struct { const char *model; const char *messages; /* JSON array */ lun_us timeout; int64_t max_tokens; bool pay_total; } chat;
};
struct lun_wish_result {
    const char *error;          /* not NULL: the function answers nil, error */
    int status; const struct lun_pair *headers; int n_headers; const char *body; size_t body_n;     /* HTTP; CHAT: body is the answer's JSON */
};

enum lun_thought_state { LUN_THOUGHT_DONE, LUN_THOUGHT_WISHES, LUN_THOUGHT_FAILED };
struct lun_thought {
    enum lun_thought_state state;
    struct lun_answer answer;   /* DONE; checked: targets exist and are the request's own, numbers are sane */
    struct lun_wish wish;       /* WISHES */
    const char *error;          /* FAILED: "support.lua:12: …", at most 500 bytes, in the question's arena */
    const char *reason;         /* FAILED: error, cpu, memory, time (waited too long), answer (rubbish), stack: static, for metrics */
    lun_us cpu;                 /* used so far by this thought; when instructions are counted, 5 ns for each */
};

/* What `finish` is told. */
struct lun_outcome {
    int status; const struct lun_trial *trial;      /* the one that answered; NULL: none */
    struct lun_usage usage; int64_t cost; lun_us latency, ttft, waited;
    bool fallback, cached;
};

/* Starts a hook. `about`: the attempt (judge, retry); `outcome`: finish. The thought is the policy's, valid until lun_thought_end. A request
 * has one open thought at a time. Objects handed to Lua are usable only while that request's own hooks run. */
struct lun_thought *lun_policy_think(struct lun_policy *, struct lun_question *, enum lun_hook, const struct lun_trial *about, const struct lun_outcome *outcome);
void lun_thought_fulfil(struct lun_thought *, const struct lun_wish_result *);     /* state moves on */
void lun_thought_give_up(struct lun_thought *);     /* WISHES, and it has waited for too long: FAILED */
void lun_thought_end(struct lun_thought *);     /* done with, or no longer wanted */

/* From now on that question's hooks read from the tape, and nothing else: lun_thought_fulfil takes no result, but what is on it. Only where the
 * configuration says log.replay; before its first thought; the tape is borrowed until it is forgotten. Otherwise, there, they are recorded into q->tape. */
struct lun_tape;
void lun_policy_play(struct lun_policy *, struct lun_question *, struct lun_tape *);

/* The request is over: its userdata die, its memory account is closed. Call once per question that had a thought. */
void lun_policy_forget(struct lun_policy *, struct lun_question *);
#endif

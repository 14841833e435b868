/* What request.c and attempt.c share: the two objects of a walk. Nobody else includes this (tests do, to look inside). */
#ifndef LUN_GATEWAY_WALK_H
#define LUN_GATEWAY_WALK_H
#include "gateway/bill.h"
#include "gateway/ports.h"
#include "gateway/shelf.h"
#include "gateway/stream.h"
#include "state/cache_key.h"
#include "state/limit.h"
#include <stdatomic.h>

enum lun_attempt_state {
    LUN_QUEUED,             /* waits for its turn at the limiter, then for its hold */
    LUN_SENT,               /* the call is on its way, nothing good has come yet */
    LUN_GOOD,               /* a stream: its first good event is there (and not taken); a whole answer: is there, and the attempt closed */
    LUN_FAILED,             /* closed, trial.kind says how */
};

/* Who waits for what another thread may do (waiting.c); embedded in what waits. */
struct lun_waiter {
    struct lun_request *request;
    struct lun_waiter *next, **at;
    atomic_bool moved;                  /* told by another thread */
};
void lun_waiter_join(struct lun_waiter *, struct lun_request *);    /* nothing where its request has no list of those who wait */
void lun_waiter_leave(struct lun_waiter *);                         /* again: nothing */
void lun_waiter_move(struct lun_waiter *);                          /* it has news. Any thread, while it is in the list */

/* What an answer is read as. */
enum lun_attempt_form { LUN_UNDECIDED, LUN_AS_WHOLE, LUN_AS_EVENTS };

struct lun_attempt {
    struct lun_trial trial;             /* what the world may know of it */
    struct lun_request *request;        /* outlives every attempt */
    struct lun_attempt *next;           /* in the order they began */
    struct lun_step step;
    int index;                          /* which step of the plan, -1: a try() */
    bool insist;                        /* again() or try(): sent though its target rests */
    bool judged;                        /* and found wanting */
    enum lun_attempt_state state;
    /* facts: written by the world, read by look() */
    bool ended; enum lun_kind end; const char *end_detail;
    bool news;                          /* of its head: limits to pass on */
    int64_t requests_left, tokens_left;
    const char *content_type;
    struct lun_buf in; size_t read;     /* bytes before `read` are dealt with */
    lun_us heard;
    enum lun_attempt_form form;
    struct lun_stream events; bool captured;    /* captured: its events are kept as they are told */
    /* owned until close() */
    struct lun_turn turn; bool queued;  /* in the limiter's hands */
    struct lun_waiter waiter;
    struct lun_bill bill;
    struct lun_money_waiter purse; bool wants_money; lun_us wants_since;    /* it waits for more to be drawn */
    bool begun;                         /* health counts it in flight */
    bool rested;                        /* SKIPPED because of its target, not for want of money */
    struct lun_call asked; void *call;
    /* clocks are fields, not timers */
    lun_us wait_until, look_at;         /* while queued */
    lun_us held_since, held_for;        /* held_since: LUN_NEVER when it is not held */
    uint64_t text_bytes;                /* of a whole answer */
    unsigned finishes;                  /* the same: LUN_FINISH_… */
};

/* The same with the answers that gateways keep together. */
struct lun_far {
    struct lun_shelf_asker asker;       /* has a look while it looks there */
    struct lun_waiter waiter;
    char name[LUN_CACHE_NAME];
    uint64_t epoch;                     /* in which it began */
    lun_us since, until;                /* how old an answer may be; how long it waits */
};

/* A request's part in the response cache (caching.c). */
struct lun_caching {
    enum { LUN_CACHING_NOT_YET, LUN_CACHING_WAITS, LUN_CACHING_LOOKS, LUN_CACHING_ASKS, LUN_CACHING_OVER } state;
    struct lun_cache_visit visit;       /* open while it waits or asks */
    struct lun_waiter waiter;
    struct lun_cache_key key;
    lun_us since;                       /* when it began to wait, or to look */
    struct lun_far *far;                /* NULL: its answers are not kept elsewhere */
    struct lun_cached *answer;          /* its own reference */
    struct lun_buf shown, hidden;       /* a stream's events, as long as they may be kept */
};

enum lun_state { LUN_AT_CLASSIFY, LUN_AT_BUDGET, LUN_AT_CACHE, LUN_AT_SELECT, LUN_AT_NEXT, LUN_AT_RACE, LUN_AT_JUDGE, LUN_AT_RETRY, LUN_AT_REST,
                 LUN_AT_COMMIT, LUN_AT_STREAM, LUN_AT_FINISH, LUN_AT_END };

struct lun_request {
    struct lun_task task;               /* first */
    struct lun_arena own;               /* it, and its attempts: they outlive the question and what is in its arena */
    struct lun_timer timer;             /* the only one a request has */
    struct lun_loop *loop;
    struct lun_ask ask;
    struct lun_question *question;
    const struct lun_limits *limits;
    lun_us deadline;
    enum lun_state state;
    /* facts */
    bool gone, paused, told_all, cut;   /* told_all: it left when [DONE] had been said to it; cut: the gateway stops */
    enum { LUN_IDLE, LUN_ASKING, LUN_ASKED, LUN_ANSWERED } hook; struct lun_answer answer;
    /* the plan */
    struct lun_plan plan; int at;       /* the next step */
    int tried, begun;                   /* attempts that count; all, skipped ones too */
    bool again; struct lun_step once; int once_index;   /* this one first: again(), try() */
    bool allowed;                       /* the retry budget has let the next attempt through */
    bool no_hedge;
    lun_us money_until;                 /* how long it may wait for money, over all steps; 0: it has not yet */
    lun_us rest_until, rests_since;     /* rests_since: 0: it does not */
    struct lun_attempt *attempts, **tail;
    struct lun_attempt *about;          /* judged, or the winner */
    struct lun_attempt *failed;         /* the last to fail, until retry has decided */
    struct lun_attempt *skipped;        /* the last whose hold did not fit */
    struct lun_caching caching;
    /* the client */
    bool headed, ended_events; lun_us spoke;    /* ended_events: [DONE] was said */
    struct lun_done done;
};

struct lun_attempt *lun_attempt_begin(struct lun_request *, const struct lun_step *, int index, bool hedge, bool insist);
void lun_attempt_look(struct lun_attempt *);            /* facts and clocks become state; may send; may close itself */
lun_us lun_attempt_due(const struct lun_attempt *);     /* the next moment at which look() would do something by the clock */
struct lun_event lun_attempt_event(struct lun_attempt *);   /* takes the next event; borrowed until the next fact */
bool lun_attempt_complete(const struct lun_attempt *);  /* of a stream, what was taken of it: it cannot fail any more */
void lun_attempt_pause(struct lun_attempt *, bool paused);
void lun_attempt_fail(struct lun_attempt *, enum lun_kind, const char *detail);     /* closes it; detail is copied, may be NULL */
void lun_attempt_close(struct lun_attempt *, enum lun_kind);    /* once: turn, call, hold, health, record. Again: nothing */
void lun_attempt_free(struct lun_attempt *);

/* How an attempt gets on its way (depart.c). */
void lun_depart_look(struct lun_attempt *);             /* of a QUEUED one: on it goes, or it waits, or it fails */
void lun_depart_leave(struct lun_attempt *);            /* leaves the queue, or gives back a turn not used */

/* Where a walk may go (course.c). */
bool lun_course_narrow(struct lun_question *, const struct lun_answer *);   /* only these targets from now on: what may be used, what was
                                                       asked for, and so the default plan. False: none is left */
bool lun_course_barred(const struct lun_request *, const struct lun_target *);     /* it has said of this request what it would say again */
const struct lun_step *lun_course_step(struct lun_request *);   /* the next step of the plan that can be used (moves `at` to it), or NULL */
bool lun_course_allowed(struct lun_request *);          /* every attempt beyond the first needs leave of the retry budget, once */
const struct lun_step *lun_course_company(struct lun_request *);    /* the next step, to run beside another: where its target does not rest
                                                       and the hedge budget allows it; or NULL */
bool lun_course_other_key(const struct lun_request *, const struct lun_attempt *);  /* the fault is its key's alone, and the provider has
                                                       another one that can be used and was not tried */

/* What the client is told (tell.c). It may leave inside any of these; nothing is said to it after that. */
struct lun_error;
void lun_tell_head(struct lun_request *, const struct lun_trial *, const char *content_type, int64_t length);  /* once; again: nothing.
                                                           content_type NULL, or another form's: the question's own */
void lun_tell_bytes(struct lun_request *, const char *, size_t);
void lun_tell_error(struct lun_request *, const struct lun_error *);    /* status and body; after a head an error event */
lun_us lun_tell_keepalive_due(const struct lun_request *);
void lun_tell_keepalive(struct lun_request *);          /* a comment line, if it is due; the head before it, if there was none */

/* The response cache (caching.c). */
enum lun_caching_look { LUN_CACHING_WAIT, LUN_CACHING_GO, LUN_CACHING_HIT };
enum lun_caching_look lun_caching_look(struct lun_request *);     /* HIT: there is an answer. GO: ask a provider. WAIT: an equal request does, or Redis is asked */
void lun_caching_tell(struct lun_request *);            /* the answer there is goes out, all of it */
void lun_caching_event(struct lun_request *, const struct lun_event *);     /* an event of its stream was taken: it may be kept */
void lun_caching_keep(struct lun_request *, const struct lun_attempt *);    /* that answer is good and all there: kept, if it may be; who waits has it */
void lun_caching_held(struct lun_request *);            /* a client that has not read its stream for a second holds nobody else up: who waits
                                                           for that answer asks for itself */
lun_us lun_caching_due(const struct lun_request *);     /* when that is; or when Redis has been waited for long enough */
void lun_caching_leave(struct lun_request *);           /* there will be none (any more): who waits is not kept. Again: nothing */

/* Adds up what the trials came to: done->usage, cost, latency, upstream_wait. */
void lun_done_add_up(const struct lun_question *, struct lun_done *);
#endif

/* What a walk sees of the world: three tables of functions that it calls, and the facts that the world tells it.
 *
 * THE RULE. The walk calls tables; the world tells facts. A fact (lun_request_*, lun_attempt_*) only writes down what happened and
 * puts the request on the loop's ready list: it calls no table, frees nothing, runs no walk. So any fact may be told at any time, from
 * inside any table function too, on the loop's thread. For the same reason no table function is ever called from inside a port's own
 * callback (curl refuses that): walks run only in lun_loop_drain. */
#ifndef LUN_GATEWAY_PORTS_H
#define LUN_GATEWAY_PORTS_H
#include "base/loop.h"
#include "state/plan.h"
#include "state/question.h"
#include <stddef.h>

struct lun_request;
struct lun_attempt;

enum lun_end { LUN_CLEAN, LUN_TORN };       /* TORN: closes without [DONE] and without the last chunk */

struct lun_head {                           /* borrowed until head() returns */
    int status;
    bool stream;                            /* an event stream follows; otherwise `length` bytes */
    int64_t length;
    const struct lun_pair *headers; int n_headers;
};

/* One per request; the port owns `self` until end() or its own leave. */
struct lun_client {
    void (*head)(void *self, const struct lun_head *);      /* once, before bytes. May tell: leave, pause */
    void (*bytes)(void *self, const char *, size_t);        /* whole events, or a whole body; borrowed until it returns. Takes ALL, also
                                                               while paused. May tell: leave, pause */
    void (*end)(void *self, enum lun_end, const struct lun_pair *trailers, int n_trailers);     /* last call; all is closed and settled by
                                                               now. The port must not touch the request again, not even to leave. Of
                                                               what was only decided: comes without a head, the plan is in the question */
    bool (*takes_trailers)(void *self);                     /* asked before a clean end: whether they are of use to it, or none are made; NULL: they are */
};                                                          /* nothing is called after leave */

struct lun_call {                           /* borrowed until close() */
    struct lun_question *question;
    const struct lun_step *step;            /* target and connect clock */
    const struct lun_trial *trial;
    int key;                                /* index among the provider's keys; -1: none */
    bool stream;
    int64_t cap;                            /* output cap to write into the body; -1: none */
};
struct lun_answer_head { int status; const struct lun_pair *headers; int n_headers; };      /* headers lower case; copied as needed */

struct lun_upstream_port {
    void *(*start)(void *self, const struct lun_call *, struct lun_attempt *);      /* never NULL: failure is a fact. May tell: head, bytes, end */
    void (*pause)(void *call, bool);        /* start..close, also after the end. May tell: bytes, end */
    void (*close)(void *call);              /* exactly once per start, ended or not, never before start has returned: frees the call. May
                                               tell facts while it runs (ignored); none once it has returned */
    bool (*unsent)(void *call);             /* NULL: not known. Before close(): no connection stood yet, so that no byte can have left */
};

struct lun_policy_port {                    /* NULL: no hooks (lunette.chat) */
    /* One at a time. May answer inside, open a chat, or answer later. `about` is closed: its bytes no longer move. A hook that is not
     * there answers LUN_DEFAULT at once. */
    void (*ask)(void *self, struct lun_request *, enum lun_hook, const struct lun_trial *about);
    void (*drop)(void *self, struct lun_request *);         /* the answer is not wanted and must not come; drops wishes, leaves chats */
};

/* ---- facts ---- */

void lun_request_leave(struct lun_request *);               /* client: gone. Its last word; not after end() */
void lun_request_pause(struct lun_request *, bool paused);  /* client: its buffer is full / has room. The last one told counts */
void lun_request_cut(struct lun_request *);                 /* whoever owns it: the gateway stops. 503, or a torn stream, now */
void lun_request_hurry(struct lun_request *);               /* whoever owns it: it is over for its client, and its `finish` is not waited for */
void lun_request_answer(struct lun_request *, const struct lun_answer *);   /* policy: exactly once per ask, unless dropped; copied (arrays
                                                               are in the question's arena) */
void lun_attempt_head(struct lun_attempt *, const struct lun_answer_head *);    /* upstream, in this order: head? bytes* end? */
void lun_attempt_bytes(struct lun_attempt *, const char *, size_t);         /* copied */
void lun_attempt_end(struct lun_attempt *, enum lun_kind, const char *detail);  /* OK: whole. The call lives on until close() */

/* ---- requests ---- */

/* Those of one worker's requests that wait for what another thread may do: for a turn at a rate limit, for an equal request's answer
 * or one from Redis (zero-initialise; set `post`). When it is done, `post` is called, on that thread and under the limiter's, the cache's or the shelf's lock, so it may
 * do nothing but see to it that lun_waiting_look is called soon on the worker's own thread. Several posts before one look are one. */
struct lun_waiting {
    void (*post)(void *self); void *self;
    struct lun_shelf *shelf;                /* where answers are looked for that the cache does not have; NULL: nowhere */
    struct lun_waiter *first;               /* the walks' */
};
void lun_waiting_look(struct lun_waiting *);                /* wakes those that have news; a fact like the others */

/*  id, name, meaning: what the response cache was to a request */
#define LUN_CACHE_RESULTS(X) \
    X(HIT,     "hit",     "an answer that was given before is given again") \
    X(SHARED,  "shared",  "an equal request was under way: its answer is this one's too") \
    X(MISS,    "miss",    "there was none: a provider was asked") \
    X(REFRESH, "refresh", "a provider was asked because the client wanted it anew (`cache-control: no-cache`)") \
    X(BYPASS,  "bypass",  "neither looked for nor kept: the client wanted it so, or it is a request that cannot be answered twice")
#define X(id, ...) LUN_CACHE_##id,
enum lun_cache_result { LUN_CACHE_OFF, LUN_CACHE_RESULTS(X) LUN_CACHE_RESULT_COUNT };     /* OFF: there is no cache, or it did not come to that */
#undef X
const char *lun_cache_result_name(enum lun_cache_result);   /* "hit"; NULL for OFF. Static */
bool lun_cache_answers(enum lun_cache_result);              /* no provider was asked for it: HIT, SHARED */

/* What classify, budget and select have come to. */
struct lun_decided {
    const struct lun_plan *plan;            /* its steps are in the question's arena; NULL: it is refused, */
    enum lun_hook by; int status;           /* by that hook, with that status */
};

struct lun_done;
struct lun_ask {                            /* copied */
    struct lun_question *question;          /* the request's from now on, until `over` is told */
    const struct lun_client *client;           void *client_self;
    const struct lun_upstream_port *upstream;  void *upstream_self;
    const struct lun_policy_port *policy;      void *policy_self;
    struct lun_money *money;                /* where holds come from */
    const struct lun_limits *limits;        /* attempts, retries, hedges, answer; NULL: the snapshot's. Borrowed until `over` */
    struct lun_waiting *waiting;            /* NULL: turns that move up are noticed at their old time only; no equal request is waited for, nor
                                               money */
    /* The request is over and will be freed: log it, free the question. Called once, after `finish`, from its last walk. */
    void (*over)(void *self, struct lun_question *, const struct lun_done *); void *over_self;
    /* It is decided who is asked, or that nobody is; not of what the cache answers. Once at most, before anything is sent; with over_self. NULL: nobody is told. */
    void (*decided)(void *self, struct lun_question *, const struct lun_decided *);
};
struct lun_done {                           /* how it ended, for the log line and metrics */
    int status;                             /* 499: the client left first */
    const char *code, *message;             /* of the error body, or NULL; message: in the question's arena, or static */
    const struct lun_trial *trial;          /* whose answer went out, or NULL. One from the cache is not among the question's */
    enum lun_cache_result cache;
    bool stream_torn; bool fallback;
    struct lun_usage usage; int64_t cost;   /* over all attempts */
    lun_us latency, ttft;                   /* from arrival to the end, and to the first byte said (0: none) */
    lun_us upstream_wait;                   /* of latency: what was spent waiting for providers, slots, between attempts and for an equal request's answer, here or in Redis */
    lun_us shared_wait;                     /* of that: for an equal request's answer, here or in Redis */
    lun_us rested;                          /* of that: between attempts, as a retry was delayed */
    lun_us waited;                          /* rested, and for turns at limiters while nothing else was under way */
};
struct lun_request *lun_request_open(struct lun_loop *, const struct lun_ask *);   /* runs nothing before the next drain; frees itself */
struct lun_question *lun_request_question(struct lun_request *);
const struct lun_done *lun_request_done(const struct lun_request *);        /* from client->end on: what `finish` is told */
#endif

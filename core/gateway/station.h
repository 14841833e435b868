/* What one thread needs to answer requests, whoever asks: the version it works with, its policy, its upstreams, where it writes things
 * down. A worker has one per version in use; a simulation has one. Not thread-safe. */
#ifndef LUN_GATEWAY_STATION_H
#define LUN_GATEWAY_STATION_H
#include "base/log.h"
#include "base/ring.h"
#include "gateway/captured.h"
#include "gateway/reply.h"
#include "script/policy.h"

/* lunette.http: brings something from the web. */
struct lun_web {
    void *self;
    /* Never NULL; `done` is told once, later, unless cancelled. The wish is borrowed until then. */
    void *(*fetch)(void *self, const struct lun_wish *, void (*done)(void *owner, const struct lun_wish_result *), void *owner);
    void (*cancel)(void *fetch);        /* not after done */
};

struct lun_trouble {            /* a hook of a policy failed; borrowed */
    struct lun_snapshot *snapshot;
    enum lun_hook hook;
    const char *reason, *error; /* as of a lun_thought */
};

struct lun_decider;
struct lun_station {                    /* filled in by whoever owns it */
    struct lun_loop *loop;
    struct lun_snapshot *snapshot;      /* with a reference */
    struct lun_registry *registry;
    struct lun_policy *policy;
    struct lun_tuning *tuning;          /* with a reference: what its settings are for requests that begin now; NULL: their defaults */
    struct lun_keyring *keyring;        /* with a reference: keys that were made at run time, for requests that begin now; NULL: there are none */
    const struct lun_upstream_port *upstream; void *upstream_self;
    const struct lun_web *web;          /* NULL: lunette.http answers nil, error */
    struct lun_waiting *waiting;        /* NULL: see lun_ask */
    struct lun_arena_stock *stock;      /* of its requests' memory; NULL: none is kept */
    struct lun_presented *presented;    /* the keys that came lately; NULL: none are remembered */
    const struct lun_log *log;
    lun_us (*wall)(void *self); void *wall_self;            /* the wall clock; NULL: the system's */
    void (*line)(void *self, const char *text, size_t n); void *line_self;  /* takes a line of the request log; NULL: nobody */
    struct lun_ring *recent;            /* keeps the last lines in memory, without message text; NULL: nobody does */
    struct lun_captured *captured; struct lun_redact *redact;       /* keeps bodies, and takes out of them what is not to be kept; NULL: nobody, nothing */
    void (*trouble)(void *self, const struct lun_trouble *); void *trouble_self;    /* told when a hook has failed; NULL: nobody */
    void (*canary)(void *self); void *canary_self;          /* told when one has changed: by a request that ended, or by its clock; NULL: nobody */
    bool rehearsal;                     /* a trial run: functions of the host program are not called */
    bool rehearsal_new;                 /* whose requests are new at every canary */
    /* Told of each request of a client when it is decided, as lun_ask says; NULL: nobody. The question may be held. */
    void (*decided)(void *self, struct lun_question *, const struct lun_decided *); void *decided_self;
    const char *alone; uint64_t unasked;    /* its hooks ask nobody: what `chat` and `http` answer instead; how often. NULL: they do */
    uint64_t random;                    /* state of the generator that seeds each request's own */
    int open;                           /* requests not yet over */
    struct lun_decider *deciders;       /* theirs */
};

/* A fresh question of this station, to be recognised. Yours: lun_question_free, or lun_station_open. */
struct lun_question *lun_station_question(struct lun_station *);

/* The same with a seed that comes from elsewhere. */
struct lun_question *lun_station_question_of(struct lun_station *, uint64_t seed);

/* An id for a request that is refused before there is a question. */
void lun_station_id(struct lun_station *, char out[LUN_REQUEST_ID]);

/* Opens a walk for a recognised question, which is taken. `hooks` false: the policy is not asked (lunette.chat). */
struct lun_request *lun_station_open(struct lun_station *, struct lun_question *, const struct lun_client *, void *client_self, bool hooks);

/* Every request that is open. `tell` must not open or end one. */
void lun_station_each(struct lun_station *, void (*tell)(void *self, struct lun_request *), void *self);

/* A request that was refused before there was a walk: writes it down (metrics, log line) and frees the question. */
void lun_station_refused(struct lun_station *, struct lun_question *, const struct lun_error *);
#endif

/* Answers of the response cache that several gateways keep together in a Redis (`cache.redis`): whoever has none asks there before a provider, and what he
 * keeps he puts there too. What runs in Redis is lua/shelf.lua; how an answer lies there: state/packed.h; what it is called: lun_cache_key_name, behind the
 * program's version and the epoch, which counts the times that the cache was emptied on all gateways.
 *
 * A thread and a connection of its own. Nobody waits for what is put there; for what is looked for, as long as the asker likes. Where Redis is away nobody
 * waits at all. Nothing that Redis does or says is an error to anybody: it comes to a miss, which is counted, and said in the log once per kind until
 * the connection stands anew.
 *
 * How old an answer is goes by Redis' clock alone, so those of the gateways may differ: who puts it there reckons by an answer of Redis that was under way at
 * its latest, who finds it as if the answer had been read at the moment it was asked for. So it is never taken for younger than it is, unless that clock is set back. */
#ifndef LUN_GATEWAY_SHELF_H
#define LUN_GATEWAY_SHELF_H
#include "base/log.h"
#include "state/cache.h"
#include "state/metrics.h"

#define LUN_SHELF_NEWS "cache"          /* the name of its news: the epoch */

/*  id, label, meaning: what came of looking there */
#define LUN_SHELF_LOOKS(X) \
    X(HIT,     "hit",     "there was one") \
    X(MISS,    "miss",    "there was none") \
    X(OLD,     "old",     "older than the request wanted it") \
    X(LATE,    "late",    "no answer within `redis_wait`") \
    X(AWAY,    "away",    "not looked for, as Redis cannot be asked") \
    X(REFUSED, "refused", "Redis answered with an error, or the connection ended") \
    X(DAMAGED, "damaged", "what lies there is no answer of this form")
#define X(id, ...) LUN_SHELF_##id,
enum lun_shelf_look_result { LUN_SHELF_LOOKS(X) LUN_SHELF_LOOK_COUNT };
#undef X

/*  id, label, meaning: what came of putting an answer there */
#define LUN_SHELF_PUTS(X) \
    X(KEPT,    "kept",    "it lies there") \
    X(FULL,    "full",    "three quarters of Redis' `maxmemory` are used") \
    X(PAST,    "old",     "its time was over when it came there") \
    X(UNHEARD, "away",    "Redis cannot be asked") \
    X(DENIED,  "refused", "Redis answered with an error, or the connection ended") \
    X(DROPPED, "dropped", "too much was on its way there")
#define X(id, ...) LUN_SHELF_PUT_##id,
enum lun_shelf_put_result { LUN_SHELF_PUTS(X) LUN_SHELF_PUT_COUNT };
#undef X

struct lun_fleet;
struct lun_shelf;
struct lun_shelf_options {          /* borrowed until free */
    struct lun_cache *cache;        /* emptied when another gateway says so */
    struct lun_fleet *fleet;        /* by which that is told */
    struct lun_metrics *metrics;
    const struct lun_log *log;
    const char *url, *ca, *prefix;  /* of the Redis; ca may be NULL */
    lun_us wait;                    /* what requests wait: a Redis that says nothing for four times as long, and 200 ms at least, is away */
    size_t answer;                  /* bytes of one at most */
};
/* NULL: *error, yours to free. */
struct lun_shelf *lun_shelf_new(const struct lun_shelf_options *, char **error);
void lun_shelf_stop(struct lun_shelf *);        /* its thread ends; all that is looked for is not there. NULL is fine */
void lun_shelf_free(struct lun_shelf *);        /* stops it; nobody looks any more. NULL is fine */

uint64_t lun_shelf_epoch(const struct lun_shelf *);     /* any thread, as is the next */
bool lun_shelf_is_open(const struct lun_shelf *);       /* it can be asked */

/* One who looks; embed it. On his thread, but for `post`. */
struct lun_shelf_look;
struct lun_shelf_asker {
    void (*post)(struct lun_shelf_asker *);     /* it is over: see to it that lun_shelf_ask is called. On any thread and under a lock: nothing else */
    struct lun_shelf_look *look;                /* NULL: none is open */
};
/* Begins to look. False: Redis cannot be asked now, and that is counted. */
bool lun_shelf_begin(struct lun_shelf *, struct lun_shelf_asker *, const char *name, uint64_t epoch);
/* What came of it. False: nothing yet. True: it is over. *out is the answer (a reference is yours; `made` in this process' own time), and who asked counts
 * what that is to him; or NULL, and it is counted. */
bool lun_shelf_ask(struct lun_shelf *, struct lun_shelf_asker *, struct lun_cached **out);
void lun_shelf_end(struct lun_shelf *, struct lun_shelf_asker *);       /* it is given up, and nothing is posted any more. Again: nothing */
void lun_shelf_count(struct lun_shelf *, enum lun_shelf_look_result);

/* Puts an answer there for `ttl` from when it was made (a reference is taken). Any thread. Not where the epoch is another one by now. */
void lun_shelf_put(struct lun_shelf *, const char *name, uint64_t epoch, struct lun_cached *, lun_us ttl);

/* Another epoch begins, here and, as soon as they hear of it, on all gateways. The caller has emptied the cache. Any thread. */
void lun_shelf_empty(void *shelf);
void lun_shelf_heard(struct lun_shelf *, const char *text);     /* what another gateway has told by LUN_SHELF_NEWS */
void lun_shelf_caught_up(struct lun_shelf *);   /* all was heard that others have told: before, nobody looks, since the epoch is not known */

/* Members of a JSON object: "state" (away, open), "why". Any thread. */
void lun_shelf_show(struct lun_shelf *, struct lun_buf *out);
#endif

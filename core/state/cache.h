/* The response cache: answers that were given, by the key of the request that they were given to (state/cache_key.h), and the requests that are
 * asking or waiting for one, so that of several equal ones at once one asks. Bounded in bytes, with what an entry itself takes; the least recently
 * used goes first. It knows neither sockets nor walks: a request takes part in it by a visit that it owns.
 *
 * Any thread. One mutex, held for a look-up, a list operation and the posts to those who waited, never for a copy or a free. */
#ifndef LUN_STATE_CACHE_H
#define LUN_STATE_CACHE_H
#include "base/clock.h"
#include "state/price.h"
#include "state/siphash.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* An answer. Immutable from when it was made, shared by reference. */
struct lun_cached {
    atomic_int references;
    bool events;                        /* an event stream's events, without [DONE]; otherwise a whole body */
    bool usage_shown;                   /* events: they hold the usage that the client had asked for */
    bool fallback;                      /* as of its maker: another than the first step had answered */
    const char *target;                 /* the name of the target that made it */
    const char *content_type;
    const char *provider_request_id;    /* or NULL */
    const char *warning;                /* of the step that it came by, for the client; or NULL */
    struct lun_usage usage;
    const char *bytes; size_t n;
    const char *hidden; size_t hidden_n;        /* events: usage alone, that the client had not asked for */
    size_t size;                        /* bytes, all in all */
    lun_us made;                        /* loop time at which its maker had it whole */
    struct lun_cached *next;            /* the cache's: of those that have left it */
};
/* Copies what it is like, strings and bytes too; one reference, yours. `references`, `size` and `next` of `like` mean nothing. */
struct lun_cached *lun_cached_new(const struct lun_cached *like);
struct lun_cached *lun_cached_ref(struct lun_cached *);
void lun_cached_unref(struct lun_cached *);     /* NULL is fine */

enum lun_cache_state {
    LUN_CACHE_AWAY,         /* takes no part (any more) */
    LUN_CACHE_WAITS,        /* for an equal request's answer */
    LUN_CACHE_ASKS,         /* asks for itself, and others may wait for it: keep or leave must follow */
    LUN_CACHE_SERVED,       /* an equal request was answered, and so is this */
};

struct lun_cache_line;
/* A request's part. Zero-initialise, set post; its owner calls leave before it is freed. One thread calls with it. */
struct lun_cache_visit {
    /* Its state has changed from WAITS: see to it that lun_cache_look is called soon. On any thread, and under the cache's lock, so it may do
     * nothing else. */
    void (*post)(struct lun_cache_visit *);
    /* the cache's */
    enum lun_cache_state state;
    struct lun_cached *served;
    struct lun_cache_line *line;
    struct lun_cache_visit *next, **at;
    uint64_t epoch;
    lun_us since;
};

struct lun_cache;
struct lun_cache *lun_cache_new(void);          /* of size 0: keeps nothing */
void lun_cache_free(struct lun_cache *);        /* no visit is open */
struct lun_siphash lun_cache_secret(const struct lun_cache *);  /* what keys are hashed with: nobody can make two requests that collide */

/* How many bytes it may hold. What is too much goes at once; 0: nothing is kept. */
void lun_cache_resize(struct lun_cache *, size_t bytes);
void lun_cache_purge(struct lun_cache *);       /* Empties it; answers that are under way now are given to those who wait, and not kept */

/* Looks for an answer that was made at `since` or later. SERVED: *out is it, a reference is yours. Otherwise the visit asks (ASKS) or, if somebody
 * asks already and `may_wait`, waits (WAITS). The visit must be AWAY. */
enum lun_cache_state lun_cache_find(struct lun_cache *, struct lun_cache_visit *, struct lun_digest key, lun_us since, bool may_wait, struct lun_cached **out);

/* What has become of one that waits. SERVED: as above, and it is AWAY again. */
enum lun_cache_state lun_cache_look(struct lun_cache *, struct lun_cache_visit *, struct lun_cached **out);

/* One that ASKS has an answer (a reference is taken): all who wait for it are served, but for those to whom it is too old (it may have been found elsewhere), of
 * whom one asks. It stays in the cache if `keep`, if it fits, and unless a newer one is there. AWAY. */
void lun_cache_keep(struct lun_cache *, struct lun_cache_visit *, struct lun_cached *, bool keep);

/* Whether anybody waits for one that ASKS. */
bool lun_cache_awaited(struct lun_cache *, const struct lun_cache_visit *);

enum lun_cache_why {
    LUN_CACHE_LEFT,         /* its client left, or its time was over: the next one asks */
    LUN_CACHE_FAILED,       /* nobody answered: when the last one who asks has failed, those who wait ask, one at first, then twice as many
                               each time, so that they neither all ask at once nor one after another */
    LUN_CACHE_UNFIT,        /* its answer is none that others could be given: all ask for themselves */
};
/* Takes no part any more; whatever it was. Nobody who waits is forgotten. */
void lun_cache_leave(struct lun_cache *, struct lun_cache_visit *, enum lun_cache_why);

struct lun_cache_view {
    size_t size, bytes;                 /* may hold, holds */
    size_t entries, asking, waiting;
    uint64_t evictions;                 /* entries that had to make room, since the start */
};
void lun_cache_look_at(struct lun_cache *, struct lun_cache_view *);
#endif

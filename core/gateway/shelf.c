#include "gateway/shelf.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/thread.h"
#include "gateway/fleet.h"
#include "gateway/stream.h"
#include "gateway/version.h"
#include "script/bundle.h"
#include "state/packed.h"
#include "wire/redis.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SILENCE   (200 * LUN_MS)        /* of Redis, at least, while something is asked of it */
#define WAITS     4                     /* … and so many times what a request waits: one that is slow once is not away */
#define AGAIN     LUN_SECOND            /* when a Redis that refuses is asked anew */
#define TOO_MUCH  ((size_t)8 << 20)     /* bytes on their way there */
#define EPOCH_MOST ((uint64_t)1 << 62)
enum { AT_ONCE = 64, NAMES = 1 << 16 /* bytes of an answer beside its text */, MORE = 1024 /* of what Redis says beside it */ };

#define SHELF_OF(member, at) ((struct lun_shelf *)(void *)((char *)(at) - offsetof(struct lun_shelf, member)))

/* Something to be asked of Redis. The shelf's, until it is over and somebody looks for what came of it. */
struct lun_shelf_look {
    struct lun_shelf_look *next, **at;
    struct lun_shelf *shelf;
    struct lun_shelf_asker *asker;      /* NULL: nobody wants to know (any more) */
    bool over, puts; enum lun_shelf_look_result result;
    struct lun_cached *answer;          /* that was found, or is to be put there */
    lun_us ttl, asked;
    size_t bytes;                       /* counted toward TOO_MUCH */
    char *key;
};
typedef struct lun_shelf_look look;

struct lun_shelf {
    struct lun_shelf_options options;
    struct lun_reactor *reactor;
    pthread_t thread; bool started;
    struct lun_post work, stop;
    struct lun_timer again;
    struct lun_redis *redis; bool connected;
    char most[24];                      /* bytes that are looked for, as Redis is told */
    look *under_way;
    lun_us ahead;                       /* Redis' clock before our own, at the least; known since it was greeted */
    uint64_t said;                      /* kinds of trouble, since it was open last */
    atomic_bool open, caught_up;
    atomic_ullong epoch;
    atomic_size_t putting;
    pthread_mutex_t lock;               /* of what follows, and of askers */
    look *first, **last;
    char why[LUN_REDIS_WHY];
};

uint64_t lun_shelf_epoch(const struct lun_shelf *s) { return atomic_load(&s->epoch); }
bool lun_shelf_is_open(const struct lun_shelf *s)   { return atomic_load(&s->open) && atomic_load(&s->caught_up); }

/* ---- what is counted and said ---- */

static const char *const look_names[] = {
#define X(id, name, ...) name,
    LUN_SHELF_LOOKS(X)
};
static const char *const put_names[] = {
    LUN_SHELF_PUTS(X)
#undef X
};

static void count_put(struct lun_shelf *s, enum lun_shelf_put_result r) { lun_metrics_add(s->options.metrics, LUN_METRIC_CACHE_REDIS_PUTS, &put_names[r], 1); }

void lun_shelf_count(struct lun_shelf *s, enum lun_shelf_look_result r)
{
    lun_metrics_add(s->options.metrics, LUN_METRIC_CACHE_REDIS_LOOKS, &look_names[r], 1);
}

enum saying { AWAY, LOOKING, PUTTING, STRANGE };

static void say(struct lun_shelf *s, enum saying saying, enum lun_redis_error kind, const char *why)
{
    static const char *const then[] = { [AWAY] = "answers are neither found nor kept there meanwhile", [LOOKING] = "what is there is not found", [PUTTING] = "answers are not kept there",
                                        [STRANGE] = "a provider is asked" };
    uint64_t bit = UINT64_C(1) << (saying == AWAY ? 62 : saying == STRANGE ? 63 : saying == PUTTING ? 32 + kind : kind);
    if (!(s->said & bit)) lun_log(s->options.log, LUN_LOG_WARN, "cache: %s; %s", why, then[saying]);
    s->said |= bit;
    pthread_mutex_lock(&s->lock);
    snprintf(s->why, sizeof s->why, "%s", why);
    pthread_mutex_unlock(&s->lock);
}

static void become_open(struct lun_shelf *s, bool reads_only)
{
    atomic_store(&s->open, true);
    if (reads_only) return;
    s->said = 0;
    pthread_mutex_lock(&s->lock);
    *s->why = 0;
    pthread_mutex_unlock(&s->lock);
    lun_log(s->options.log, LUN_LOG_INFO, "cache: answers are kept in Redis too");
}

/* ---- looks ---- */

static void free_look(look *l)
{
    lun_cached_unref(l->answer);
    free(l->key);
    free(l);
}

static look *new_look(struct lun_shelf *s, const char *name, uint64_t epoch)
{
    look *l = lun_zalloc(sizeof *l);
    l->shelf = s;
    l->key = lun_printf("%s:{%s}:cache:%s:%llu:%s", s->options.prefix, s->options.prefix, LUN_VERSION, (unsigned long long)epoch, name);
    return l;
}

static void hand_in(struct lun_shelf *s, look *l)
{
    pthread_mutex_lock(&s->lock);
    *s->last = l, s->last = &l->next;
    pthread_mutex_unlock(&s->lock);
    lun_reactor_post(s->reactor, &s->work);
}

static void fly(struct lun_shelf *s, look *l)
{
    l->at = &s->under_way;
    if ((l->next = s->under_way)) l->next->at = &l->next;
    s->under_way = l;
}

/* It is over; whoever looks has it now. */
static void land(look *l)
{
    struct lun_shelf *s = l->shelf;
    if ((*l->at = l->next)) l->next->at = l->at;
    atomic_fetch_sub(&s->putting, l->bytes);
    pthread_mutex_lock(&s->lock);
    l->over = true;
    struct lun_shelf_asker *asker = l->asker;
    if (asker) asker->post(asker);
    pthread_mutex_unlock(&s->lock);
    if (!asker) free_look(l);
}

bool lun_shelf_begin(struct lun_shelf *s, struct lun_shelf_asker *asker, const char *name, uint64_t epoch)
{
    if (!lun_shelf_is_open(s)) {
        lun_shelf_count(s, LUN_SHELF_AWAY);
        return false;
    }
    look *l = asker->look = new_look(s, name, epoch);
    l->asker = asker;
    hand_in(s, l);
    return true;
}

void lun_shelf_end(struct lun_shelf *s, struct lun_shelf_asker *asker)
{
    look *l = asker->look;
    if (!l) return;
    pthread_mutex_lock(&s->lock);
    bool over = l->over;
    l->asker = NULL;
    pthread_mutex_unlock(&s->lock);
    asker->look = NULL;
    if (over) free_look(l);
}

bool lun_shelf_ask(struct lun_shelf *s, struct lun_shelf_asker *asker, struct lun_cached **out)
{
    look *l = asker->look;
    pthread_mutex_lock(&s->lock);
    bool over = l->over;
    pthread_mutex_unlock(&s->lock);
    if (!over) return false;
    *out = l->answer;
    l->answer = NULL;
    if (!*out) lun_shelf_count(s, l->result);
    lun_shelf_end(s, asker);
    return true;
}

void lun_shelf_put(struct lun_shelf *s, const char *name, uint64_t epoch, struct lun_cached *a, lun_us ttl)
{
    if (epoch != atomic_load(&s->epoch)) return;
    bool open = lun_shelf_is_open(s);
    if (!open || atomic_load(&s->putting) > TOO_MUCH) { count_put(s, open ? LUN_SHELF_PUT_DROPPED : LUN_SHELF_PUT_UNHEARD); return; }
    look *l = new_look(s, name, epoch);
    *l = (look){ .shelf = s, .puts = true, .answer = lun_cached_ref(a), .ttl = ttl, .bytes = a->size, .key = l->key };
    atomic_fetch_add(&s->putting, l->bytes);
    hand_in(s, l);
}

/* ---- what Redis says ---- */

/* Of the script's answers the first item: Redis' clock. */
static bool read_clock(struct lun_shelf *s, const struct lun_redis_reply *r, lun_us *now)
{
    char *end = NULL;
    if (r->n != 2 || !r->items[0] || r->lens[0] > 17) return false;
    *now = strtoll(r->items[0], &end, 10);
    if (!r->lens[0] || *end || *now < 0) return false;
    s->ahead = *now - s->reactor->loop.now - lun_loop_lag(&s->reactor->loop);
    return true;
}

static bool are_events(const char *bytes, size_t n)
{
    struct lun_stream events = { .limit = LUN_STREAM_EVENT_MAX, .choices = 1 };
    struct lun_buf copy = {0};
    size_t at = 0;
    enum lun_event_kind kind;
    lun_buf_add(&copy, bytes, n);
    while ((kind = lun_stream_peek(&events, copy.at + at, copy.n - at, false).kind) == LUN_EVENT_GOOD) at += lun_stream_take(&events);
    lun_buf_free(&copy);
    lun_stream_free(&events);
    return kind == LUN_EVENT_NONE && at == n && n;
}

static enum lun_shelf_look_result read_answer(look *l, const char *at, size_t n, lun_us now)
{
    struct lun_cached like;
    if (!lun_packed_read(at, n, &like) || like.made < 0 || like.made > now || (like.events && !(are_events(like.bytes, like.n) && (!like.hidden_n || are_events(like.hidden, like.hidden_n))))) return LUN_SHELF_DAMAGED;
    like.made = l->asked - (now - like.made);
    l->answer = lun_cached_new(&like);
    return LUN_SHELF_HIT;
}

static void found(void *self, const struct lun_redis_reply *r)
{
    look *l = self;
    struct lun_shelf *s = l->shelf;
    lun_us now;
    if (r->result == LUN_REDIS_OK && read_clock(s, r, &now)) l->result = r->items[1] ? read_answer(l, r->items[1], r->lens[1], now) : LUN_SHELF_MISS;
    else l->result = r->result == LUN_REDIS_OK ? LUN_SHELF_DAMAGED : LUN_SHELF_REFUSED;
    if (l->result == LUN_SHELF_DAMAGED) say(s, STRANGE, 0, "what lies in Redis under the name of an answer is none: who else writes there?");
    if (r->result == LUN_REDIS_ERROR) say(s, LOOKING, r->kind, r->why);
    land(l);
}

static enum lun_shelf_put_result put_result(const char *word)
{
    return !strcmp(word, "KEPT") ? LUN_SHELF_PUT_KEPT : !strcmp(word, "OLD") ? LUN_SHELF_PUT_PAST : !strcmp(word, "FULL") ? LUN_SHELF_PUT_FULL : LUN_SHELF_PUT_DENIED;
}

static void was_put(void *self, const struct lun_redis_reply *r)
{
    look *l = self;
    struct lun_shelf *s = l->shelf;
    lun_us now;
    bool good = r->result == LUN_REDIS_OK && read_clock(s, r, &now) && r->items[1];
    enum lun_shelf_put_result result = good ? put_result(r->items[1]) : LUN_SHELF_PUT_DENIED;
    count_put(s, result);
    if (r->result == LUN_REDIS_ERROR) say(s, PUTTING, r->kind, r->why);
    if (result == LUN_SHELF_PUT_FULL)
        say(s, PUTTING, LUN_REDIS_OOM, "three quarters of Redis' maxmemory are used, and the rest is for budgets: raise it, or say a shorter cache.ttl");
    land(l);
}

static bool put(struct lun_shelf *s, look *l)
{
    const char *script = lun_bundle_find("lua/shelf.lua")->start;
    struct lun_buf bytes = {0};
    lun_us made = l->answer->made + s->ahead;
    bool good = lun_packed_put(&bytes, l->answer, made) && bytes.n <= s->options.answer + NAMES;
    char *until = lun_printf("%lld", (long long)(made + l->ttl));
    const char *const args[] = { "keep", bytes.at, until };
    const size_t lens[] = { 4, bytes.n, strlen(until) };
    good = good && lun_redis_eval(s->redis, script, l->key, args, lens, 3, was_put, l);
    free(until);
    lun_buf_free(&bytes);
    return good;
}

static bool find(struct lun_shelf *s, look *l)
{
    const char *const args[] = { "find", s->most };
    l->asked = s->reactor->loop.now;
    return lun_redis_eval(s->redis, lun_bundle_find("lua/shelf.lua")->start, l->key, args, NULL, 2, found, l);
}

static void on_work(struct lun_post *p)
{
    struct lun_shelf *s = SHELF_OF(work, p);
    pthread_mutex_lock(&s->lock);
    look *list = s->first;
    s->first = NULL, s->last = &s->first;
    pthread_mutex_unlock(&s->lock);
    for (look *l; (l = list); ) {
        list = l->next;
        fly(s, l);
        bool sent = atomic_load(&s->open) && (l->puts ? put : find)(s, l);
        if (sent) continue;
        l->result = LUN_SHELF_AWAY;
        if (l->puts) count_put(s, LUN_SHELF_PUT_DROPPED);
        land(l);
    }
}

/* ---- the connection ---- */

static void greet(struct lun_shelf *s);

/* Whether it can be written to, before anybody relies on it. A replica ends the connection by itself. */
static void greeted_twice(void *self, const struct lun_redis_reply *r)
{
    struct lun_shelf *s = self;
    bool refused = r->result == LUN_REDIS_ERROR;
    if (r->result == LUN_REDIS_GONE || (refused && r->kind == LUN_REDIS_READONLY)) return;
    if (refused) say(s, PUTTING, r->kind, r->why);
    become_open(s, refused);
}

static void greeted(void *self, const struct lun_redis_reply *r)
{
    struct lun_shelf *s = self;
    lun_us now;
    if (r->result == LUN_REDIS_GONE) return;
    if (r->result == LUN_REDIS_OK && read_clock(s, r, &now)) {
        char *until = lun_printf("%lld", (long long)(now + LUN_SECOND)), *key = lun_printf("%s:{%s}:cache:greeting", s->options.prefix, s->options.prefix);
        const char *const args[] = { "keep", "", until };
        lun_redis_eval(s->redis, lun_bundle_find("lua/shelf.lua")->start, key, args, NULL, 3, greeted_twice, s);
        free(until), free(key);
        return;
    }
    say(s, AWAY, r->result == LUN_REDIS_OK ? LUN_REDIS_STRANGE : r->kind, r->result == LUN_REDIS_OK ? "Redis answers what its script does not say" : r->why);
    lun_timer_set(&s->reactor->loop, &s->again, s->reactor->loop.now + AGAIN);
}

static void greet(struct lun_shelf *s)
{
    const char *const args[] = { "find", s->most };
    char *key = lun_printf("%s:{%s}:cache:greeting", s->options.prefix, s->options.prefix);
    lun_redis_eval(s->redis, lun_bundle_find("lua/shelf.lua")->start, key, args, NULL, 2, greeted, s);
    free(key);
}

static void on_again(struct lun_timer *t)
{
    struct lun_shelf *s = SHELF_OF(again, t);
    if (s->connected) greet(s);
}

static void connected(void *self, bool yes, enum lun_redis_error kind, const char *why)
{
    struct lun_shelf *s = self;
    s->connected = yes;
    lun_timer_set(&s->reactor->loop, &s->again, LUN_NEVER);
    if (yes) { greet(s); return; }
    atomic_store(&s->open, false);
    say(s, AWAY, kind, why);
}

/* ---- the epoch ---- */

static void tell_epoch(struct lun_shelf *s)
{
    char *text = lun_printf("%llu", (unsigned long long)atomic_load(&s->epoch));
    lun_fleet_tell(s->options.fleet, LUN_SHELF_NEWS, text);
    free(text);
}

void lun_shelf_empty(void *shelf)
{
    struct lun_shelf *s = shelf;
    unsigned long long before = atomic_load(&s->epoch), wall = (unsigned long long)lun_clock_wall();
    while (!atomic_compare_exchange_weak(&s->epoch, &before, wall > before ? wall : before + 1)) { }
    tell_epoch(s);
}

void lun_shelf_heard(struct lun_shelf *s, const char *text)
{
    char *end = NULL;
    unsigned long long epoch = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0, before = atomic_load(&s->epoch);
    if (!end || *end || epoch > EPOCH_MOST) { lun_log(s->options.log, LUN_LOG_WARN, "from another gateway: what it tells of the cache cannot be understood"); return; }
    while (epoch > before && !atomic_compare_exchange_weak(&s->epoch, &before, epoch)) { }
    if (epoch > before) {
        lun_cache_purge(s->options.cache);
        if (atomic_load(&s->caught_up)) lun_log(s->options.log, LUN_LOG_INFO, "the response cache was emptied by another gateway");
    } else if (epoch < before) tell_epoch(s);
}

void lun_shelf_caught_up(struct lun_shelf *s)
{
    atomic_store(&s->caught_up, true);
    if (atomic_load(&s->epoch)) tell_epoch(s);
}

/* ---- beginning and end ---- */

static void *run(void *self)
{
    lun_reactor_run(((struct lun_shelf *)self)->reactor);
    return NULL;
}

static void on_stop(struct lun_post *p) { lun_reactor_stop(SHELF_OF(stop, p)->reactor); }

static bool open_redis(struct lun_shelf *s, char **error)
{
    const struct lun_shelf_options *o = &s->options;
    lun_us silence = o->wait * WAITS;
    char why[LUN_REDIS_WHY];
    lun_reactor_enter(s->reactor);
    s->redis = lun_redis_new(&(struct lun_redis_options){ .reactor = s->reactor, .url = o->url, .ca = o->ca, .silence = silence > SILENCE ? silence : SILENCE, .at_once = AT_ONCE,
                                                          .answer = o->answer + NAMES + MORE, .state = connected, .self = s }, why);
    lun_reactor_leave_later(s->reactor);
    if (!s->redis) *error = lun_printf("redis: %s", why);
    return s->redis;
}

struct lun_shelf *lun_shelf_new(const struct lun_shelf_options *options, char **error)
{
    struct lun_shelf *s = lun_zalloc(sizeof *s);
    *s = (struct lun_shelf){ .options = *options, .work.run = on_work, .stop.run = on_stop, .again.fire = on_again };
    s->last = &s->first;
    snprintf(s->most, sizeof s->most, "%zu", options->answer + NAMES);
    pthread_mutex_init(&s->lock, NULL);
    *error = NULL;
    if (!(s->reactor = lun_reactor_new(NULL))) *error = lun_strdup("the system gives no event loop for redis: out of file descriptors?");
    else if (open_redis(s, error)) {
        s->started = !lun_thread_start(&s->thread, "lunette cache", 0, run, s);
        if (s->started) return s;
        *error = lun_strdup("the system gives no thread for redis");
    }
    lun_shelf_free(s);
    return NULL;
}

void lun_shelf_stop(struct lun_shelf *s)
{
    if (!s || !s->started) return;
    lun_reactor_post(s->reactor, &s->stop);
    pthread_join(s->thread, NULL);
    s->started = false;
}

void lun_shelf_free(struct lun_shelf *s)
{
    if (!s) return;
    lun_shelf_stop(s);
    lun_redis_free(s->redis);
    for (look *l; (l = s->under_way); free_look(l)) s->under_way = l->next;
    for (look *l; (l = s->first); free_look(l)) s->first = l->next;
    if (s->reactor) lun_reactor_free(s->reactor);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- shown ---- */

void lun_shelf_show(struct lun_shelf *s, struct lun_buf *out)
{
    lun_json_member_text(out, "state", lun_shelf_is_open(s) ? "open" : "away");
    pthread_mutex_lock(&s->lock);
    if (*s->why) lun_json_member_text(out, "why", s->why);
    pthread_mutex_unlock(&s->lock);
}

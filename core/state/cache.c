#include "state/cache.h"
#include "base/alloc.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What is known under one key: an answer, or who is after one; freed when it is neither. */
struct lun_cache_line {
    struct lun_cache_line *chain, *newer, *older;       /* newer, older: among those with an answer */
    struct lun_digest key;
    struct lun_cached *answer;
    int asking, batch;                  /* batch: how many were let go when the last one had failed */
    struct lun_cache_visit *first, **last;              /* who waits, in the order they came */
};
typedef struct lun_cache_line line;

struct lun_cache {
    pthread_mutex_t lock;
    struct lun_siphash secret;
    line **slots;
    size_t room, lines;
    line *newest, *oldest;
    uint64_t epoch;                     /* counts the purges */
    size_t waiting, asking;
    struct lun_cache_view view;
    struct lun_cached *dead;            /* to be freed once the lock is open again */
};
typedef struct lun_cache cache;

/* ---- answers ---- */

static const char *put(char **at, const void *bytes, size_t n)
{
    char *start = *at;
    if (!bytes) return NULL;
    memcpy(start, bytes, n);
    start[n] = 0;
    *at += n + 1;
    return start;
}

static size_t length(const char *text) { return text ? strlen(text) : 0; }

struct lun_cached *lun_cached_new(const struct lun_cached *like)
{
    size_t target = length(like->target), type = length(like->content_type), id = length(like->provider_request_id), warning = length(like->warning);
    size_t size = sizeof *like + target + type + id + warning + like->n + like->hidden_n + 6;
    struct lun_cached *c = lun_alloc(size);
    char *at = (char *)(c + 1);
    *c = *like;
    atomic_init(&c->references, 1);
    c->size = size;
    c->target = put(&at, like->target, target);
    c->content_type = put(&at, like->content_type, type);
    c->provider_request_id = put(&at, like->provider_request_id, id);
    c->warning = put(&at, like->warning, warning);
    c->bytes = put(&at, like->n ? like->bytes : "", like->n);
    c->hidden = put(&at, like->hidden_n ? like->hidden : "", like->hidden_n);
    c->next = NULL;
    return c;
}

struct lun_cached *lun_cached_ref(struct lun_cached *c)
{
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void lun_cached_unref(struct lun_cached *c)
{
    if (c && atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) == 1) free(c);
}

/* ---- life ---- */

cache *lun_cache_new(void)
{
    cache *c = lun_zalloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->secret = lun_siphash_new();
    c->room = 64;
    c->slots = lun_zalloc(c->room * sizeof *c->slots);
    return c;
}

static void lock(cache *c) { pthread_mutex_lock(&c->lock); }

static void unlock(cache *c)
{
    struct lun_cached *dead = c->dead;
    c->dead = NULL;
    pthread_mutex_unlock(&c->lock);
    for (struct lun_cached *next; dead; dead = next) {
        next = dead->next;
        lun_cached_unref(dead);
    }
}

struct lun_siphash lun_cache_secret(const cache *c) { return c->secret; }

/* ---- lines ---- */

static line **slot(cache *c, struct lun_digest key) { return &c->slots[key.a & (c->room - 1)]; }

static line *find(cache *c, struct lun_digest key)
{
    line *l = *slot(c, key);
    while (l && (l->key.a != key.a || l->key.b != key.b)) l = l->chain;
    return l;
}

static void grow(cache *c)
{
    line **before = c->slots;
    size_t n = c->room;
    c->room *= 2;
    c->slots = lun_zalloc(c->room * sizeof *c->slots);
    for (size_t i = 0; i < n; i++)
        for (line *l = before[i], *chain; l; l = chain) {
            chain = l->chain;
            l->chain = *slot(c, l->key);
            *slot(c, l->key) = l;
        }
    free(before);
}

static line *make(cache *c, struct lun_digest key)
{
    line *l = lun_zalloc(sizeof *l);
    if (c->lines++ >= c->room) grow(c);
    l->key = key;
    l->last = &l->first;
    l->chain = *slot(c, key);
    return *slot(c, key) = l;
}

static void drop_if_idle(cache *c, line *l)
{
    if (l->answer || l->asking || l->first) return;
    line **at = slot(c, l->key);
    while (*at != l) at = &(*at)->chain;
    *at = l->chain;
    c->lines--;
    free(l);
}

/* ---- the order of use ---- */

static void unlink_use(cache *c, line *l)
{
    *(l->newer ? &l->newer->older : &c->newest) = l->older;
    *(l->older ? &l->older->newer : &c->oldest) = l->newer;
}

static void link_newest(cache *c, line *l)
{
    l->newer = NULL;
    l->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = l;
    c->newest = l;
}

static size_t size_of(const struct lun_cached *a) { return a->size + sizeof(line); }

/* The line stays: whoever has it in hand drops it if it is idle. */
static void forget(cache *c, line *l)
{
    struct lun_cached *a = l->answer;
    if (!a) return;
    unlink_use(c, l);
    l->answer = NULL;
    c->view.bytes -= size_of(a);
    c->view.entries--;
    a->next = c->dead;
    c->dead = a;
}

static void evict(cache *c, size_t most)
{
    for (line *l; (l = c->oldest) && c->view.bytes > most; drop_if_idle(c, l)) {
        forget(c, l);
        c->view.evictions++;
    }
}

static void store(cache *c, line *l, struct lun_cached *a)
{
    size_t size = size_of(a);
    if (size > c->view.size) return;
    forget(c, l);
    evict(c, c->view.size - size);
    l->answer = lun_cached_ref(a);
    link_newest(c, l);
    c->view.bytes += size;
    c->view.entries++;
}

void lun_cache_resize(cache *c, size_t bytes)
{
    lock(c);
    c->view.size = bytes;
    evict(c, bytes);
    unlock(c);
}

void lun_cache_purge(cache *c)
{
    lock(c);
    c->epoch++;
    for (line *l; (l = c->oldest); drop_if_idle(c, l)) forget(c, l);
    unlock(c);
}

/* ---- who waits and who asks ---- */

static void wait_at(cache *c, line *l, struct lun_cache_visit *v)
{
    v->state = LUN_CACHE_WAITS;
    v->next = NULL;
    v->at = l->last;
    *l->last = v;
    l->last = &v->next;
    c->waiting++;
}

static void stop_waiting(cache *c, struct lun_cache_visit *v)
{
    line *l = v->line;
    if ((*v->at = v->next)) v->next->at = v->at;
    else l->last = v->at;
    c->waiting--;
}

static void let_ask(cache *c, struct lun_cache_visit *v)
{
    v->state = LUN_CACHE_ASKS;
    v->epoch = c->epoch;
    v->line->asking++;
    c->asking++;
}

static void let_go(cache *c, line *l, int n)
{
    for (struct lun_cache_visit *v; n-- > 0 && (v = l->first); v->post(v)) {
        stop_waiting(c, v);
        let_ask(c, v);
    }
}

static void stop_asking(cache *c, line *l)
{
    l->asking--;
    c->asking--;
}

/* One who asked has no answer for those who wait. */
static void pass_on(cache *c, line *l, enum lun_cache_why why)
{
    if (why == LUN_CACHE_UNFIT) let_go(c, l, (int)c->waiting);
    else if (!l->asking && l->first) {
        if (why == LUN_CACHE_FAILED && l->batch < 1 << 20) l->batch = l->batch ? 2 * l->batch : 1;
        let_go(c, l, why == LUN_CACHE_FAILED ? l->batch : 1);
    }
}

enum lun_cache_state lun_cache_find(cache *c, struct lun_cache_visit *v, struct lun_digest key, lun_us since, bool may_wait, struct lun_cached **out)
{
    lock(c);
    line *l = find(c, key);
    enum lun_cache_state found = LUN_CACHE_SERVED;
    if (l && l->answer && l->answer->made >= since) {
        unlink_use(c, l);
        link_newest(c, l);
        *out = lun_cached_ref(l->answer);
    } else {
        v->line = l ? l : (l = make(c, key));
        v->since = since;
        if (may_wait && l->asking) wait_at(c, l, v);
        else let_ask(c, v);
        found = v->state;
    }
    unlock(c);
    return found;
}

bool lun_cache_awaited(cache *c, const struct lun_cache_visit *v)
{
    lock(c);
    bool awaited = v->line->first != NULL;
    unlock(c);
    return awaited;
}

enum lun_cache_state lun_cache_look(cache *c, struct lun_cache_visit *v, struct lun_cached **out)
{
    lock(c);
    enum lun_cache_state state = v->state;
    if (state == LUN_CACHE_SERVED) {
        *out = v->served;
        v->state = LUN_CACHE_AWAY;
    }
    unlock(c);
    return state;
}

void lun_cache_keep(cache *c, struct lun_cache_visit *v, struct lun_cached *a, bool keep)
{
    lock(c);
    line *l = v->line;
    stop_asking(c, l);
    v->state = LUN_CACHE_AWAY;
    l->batch = 0;
    for (struct lun_cache_visit *w = l->first, *next; w; w = next) {
        next = w->next;
        if (a->made < w->since) continue;
        stop_waiting(c, w);
        w->served = lun_cached_ref(a);
        w->state = LUN_CACHE_SERVED;
        w->post(w);
    }
    pass_on(c, l, LUN_CACHE_LEFT);
    if (keep && v->epoch == c->epoch && !(l->answer && l->answer->made > a->made)) store(c, l, a);
    drop_if_idle(c, l);
    unlock(c);
}

void lun_cache_leave(cache *c, struct lun_cache_visit *v, enum lun_cache_why why)
{
    struct lun_cached *served = NULL;
    lock(c);
    enum lun_cache_state state = v->state;
    v->state = LUN_CACHE_AWAY;
    if (state == LUN_CACHE_SERVED) served = v->served;
    else if (state != LUN_CACHE_AWAY) {
        line *l = v->line;
        if (state == LUN_CACHE_WAITS) stop_waiting(c, v);
        else {
            stop_asking(c, l);
            pass_on(c, l, why);
        }
        drop_if_idle(c, l);
    }
    unlock(c);
    lun_cached_unref(served);
}

void lun_cache_look_at(cache *c, struct lun_cache_view *out)
{
    lock(c);
    *out = c->view;
    out->asking = c->asking;
    out->waiting = c->waiting;
    unlock(c);
}

void lun_cache_free(cache *c)
{
    if (!c) return;
    lun_cache_purge(c);
    pthread_mutex_destroy(&c->lock);
    free(c->slots);
    free(c);
}

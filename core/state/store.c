#include "state/store.h"
#include "base/alloc.h"
#include "state/siphash.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MOST   1024
#define VALUE_MOST 65536
#define NUMBER     'n'
#define REMOVED    0            /* in one that lies over another: what stands below does not count */
#define USUAL      128          /* bytes of an entry: the table of slots is made for so many once and for all, since whoever made it larger would hold up all others */

struct entry {
    struct entry *chain, *newer, *older;
    uint64_t hash;
    lun_us ends;                /* LUN_NEVER: does not */
    uint32_t key_n, value_n;
    char type;
    char bytes[];               /* key, then value */
};
struct lun_store {
    pthread_mutex_t lock;
    struct lun_siphash seed;    /* keys may come from clients: nobody may choose where they fall */
    struct entry **slots;
    size_t room, used, most;    /* used, most: bytes, with what an entry itself takes */
    struct entry *newest, *oldest;
    struct lun_store *under;    /* NULL: none */
};

struct lun_store *lun_store_new(size_t max_bytes)
{
    struct lun_store *s = lun_zalloc(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->seed = lun_siphash_new();
    s->most = max_bytes;
    for (s->room = 64; s->room < max_bytes / USUAL; ) s->room *= 2;
    s->slots = lun_zalloc(s->room * sizeof *s->slots);
    return s;
}

struct lun_store *lun_store_over(struct lun_store *under, size_t max_bytes)
{
    struct lun_store *s = lun_store_new(max_bytes);
    s->under = under;
    return s;
}

void lun_store_free(struct lun_store *s)
{
    if (!s) return;
    for (struct entry *e; (e = s->newest); free(e)) s->newest = e->older;
    pthread_mutex_destroy(&s->lock);
    free(s->slots);
    free(s);
}

static size_t size_of(size_t key_n, size_t value_n) { return sizeof(struct entry) + key_n + value_n; }
static char *value_of(struct entry *e)              { return e->bytes + e->key_n; }

static void unlink_use(struct lun_store *s, struct entry *e)
{
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
}

static void link_newest(struct lun_store *s, struct entry *e)
{
    e->newer = NULL;
    e->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
}

static void drop(struct lun_store *s, struct entry *e)
{
    struct entry **at = &s->slots[e->hash & (s->room - 1)];
    while (*at != e) at = &(*at)->chain;
    *at = e->chain;
    unlink_use(s, e);
    s->used -= size_of(e->key_n, e->value_n);
    free(e);
}

static struct entry *look(struct lun_store *s, uint64_t hash, const char *key, size_t n)
{
    struct entry *e = s->slots[hash & (s->room - 1)];
    while (e && (e->hash != hash || e->key_n != n || memcmp(e->bytes, key, n))) e = e->chain;
    return e;
}

static struct entry *find(struct lun_store *s, uint64_t hash, const char *key, size_t n, lun_us now)
{
    struct entry *e = look(s, hash, key, n);
    if (!e || e->ends > now) return e;
    drop(s, e);
    return NULL;
}

/* Leaves all as it is, the order of use too. */
static bool peek(struct lun_store *s, const char *key, size_t n, lun_us now, char *type, struct lun_buf *out)
{
    pthread_mutex_lock(&s->lock);
    struct entry *e = look(s, lun_siphash(s->seed, key, n), key, n);
    bool there = e && e->ends > now;
    if (there) *type = e->type, lun_buf_add(out, value_of(e), e->value_n);
    pthread_mutex_unlock(&s->lock);
    return there;
}

static void put(struct lun_store *s, uint64_t hash, const char *key, size_t n, char type, const void *value, size_t value_n, lun_us ends)
{
    struct entry *e = lun_alloc(size_of(n, value_n));
    *e = (struct entry){ .hash = hash, .ends = ends, .key_n = (uint32_t)n, .value_n = (uint32_t)value_n, .type = type };
    if (n) memcpy(e->bytes, key, n);
    if (value_n) memcpy(value_of(e), value, value_n);
    e->chain = s->slots[hash & (s->room - 1)];
    s->slots[hash & (s->room - 1)] = e;
    link_newest(s, e);
    s->used += size_of(n, value_n);
    while (s->used > s->most) drop(s, s->oldest);
}

static lun_us ends_at(lun_us ttl, lun_us now) { return ttl <= 0 || ttl >= LUN_NEVER - now ? LUN_NEVER : now + ttl; }

bool lun_store_get(struct lun_store *s, const char *key, size_t n, lun_us now, char *type, struct lun_buf *out)
{
    if (n > KEY_MOST) return false;
    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, lun_siphash(s->seed, key, n), key, n, now);
    if (e) {
        unlink_use(s, e);
        link_newest(s, e);
        *type = e->type;
        lun_buf_add(out, value_of(e), e->value_n);
    }
    bool there = e && e->type != REMOVED, below = !e && s->under;
    pthread_mutex_unlock(&s->lock);
    return below ? peek(s->under, key, n, now, type, out) : there;
}

bool lun_store_set(struct lun_store *s, const char *key, size_t n, char type, const void *value, size_t value_n, lun_us ttl, lun_us now)
{
    if (n > KEY_MOST || value_n > VALUE_MOST || size_of(n, value_n) > s->most) return false;
    pthread_mutex_lock(&s->lock);
    uint64_t hash = lun_siphash(s->seed, key, n);
    struct entry *old = find(s, hash, key, n, now);
    if (old) drop(s, old);
    put(s, hash, key, n, type, value, value_n, ends_at(ttl, now));
    pthread_mutex_unlock(&s->lock);
    return true;
}

void lun_store_remove(struct lun_store *s, const char *key, size_t n)
{
    if (n > KEY_MOST) return;
    pthread_mutex_lock(&s->lock);
    uint64_t hash = lun_siphash(s->seed, key, n);
    struct entry *e = find(s, hash, key, n, 0);
    if (e) drop(s, e);
    if (s->under) put(s, hash, key, n, REMOVED, NULL, 0, LUN_NEVER);
    pthread_mutex_unlock(&s->lock);
}

static bool add(struct lun_store *s, struct entry *e, double by, double *out)
{
    if (e->type != NUMBER || e->value_n != sizeof *out) return false;
    memcpy(out, value_of(e), sizeof *out);
    *out += by;
    memcpy(value_of(e), out, sizeof *out);
    unlink_use(s, e);
    link_newest(s, e);
    return true;
}

/* What a number that is not here begins with: nothing, or what stands below. False: that is no number. */
static bool begins_with(struct lun_store *s, const char *key, size_t n, lun_us now, double *value)
{
    struct lun_buf out = {0};
    char type;
    *value = 0;
    bool there = s->under && peek(s->under, key, n, now, &type, &out), good = !there || (type == NUMBER && out.n == sizeof *value);
    if (there && good) memcpy(value, out.at, sizeof *value);
    lun_buf_free(&out);
    return good;
}

bool lun_store_incr(struct lun_store *s, const char *key, size_t n, double by, lun_us ttl, lun_us now, double *out)
{
    double from = 0;
    if (n > KEY_MOST || size_of(n, sizeof by) > s->most) return false;
    pthread_mutex_lock(&s->lock);
    uint64_t hash = lun_siphash(s->seed, key, n);
    struct entry *e = find(s, hash, key, n, now);
    bool removed = e && e->type == REMOVED, fresh = !e || removed;
    bool done = !fresh ? add(s, e, by, out) : removed || begins_with(s, key, n, now, &from);
    if (done && fresh) {
        *out = from + by;
        if (removed) drop(s, e);
        put(s, hash, key, n, NUMBER, out, sizeof *out, ends_at(ttl, now));
    }
    pthread_mutex_unlock(&s->lock);
    return done;
}

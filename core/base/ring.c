#include "base/ring.h"
#include "base/alloc.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry { uint64_t at; size_t n, m; };     /* at: bytes put before it, since the start */

struct lun_ring {
    pthread_mutex_t lock;
    size_t room, most;
    char *bytes;
    struct entry *entries;
    uint64_t put, n;                /* bytes and texts, since the start */
    uint64_t gone;                  /* the last number that was forgotten */
};

struct lun_ring *lun_ring_new(size_t room, size_t most)
{
    struct lun_ring *r = lun_zalloc(sizeof *r);
    *r = (struct lun_ring){ .lock = PTHREAD_MUTEX_INITIALIZER, .room = room, .most = most };
    r->bytes = lun_alloc(room);
    r->entries = lun_zalloc(most * sizeof *r->entries);
    return r;
}

static void add(struct lun_ring *r, const char *bytes, size_t n)
{
    size_t at = r->put % r->room, first = n < r->room - at ? n : r->room - at;
    if (first) memcpy(r->bytes + at, bytes, first);
    if (n > first) memcpy(r->bytes, bytes + first, n - first);
    r->put += n;
}

uint64_t lun_ring_put(struct lun_ring *r, const char *text, size_t n, const char *appendix, size_t m)
{
    if (n > r->room) return 0;
    if (m > r->room - n) m = 0;
    pthread_mutex_lock(&r->lock);
    r->entries[r->n % r->most] = (struct entry){ r->put, n, m };
    add(r, text, n);
    add(r, appendix, m);
    uint64_t number = ++r->n;
    pthread_mutex_unlock(&r->lock);
    return number;
}

uint64_t lun_ring_newest(struct lun_ring *r)
{
    pthread_mutex_lock(&r->lock);
    uint64_t n = r->n;
    pthread_mutex_unlock(&r->lock);
    return n;
}

static bool is_there(const struct lun_ring *r, uint64_t number)
{
    if (number <= r->gone || number > r->n || r->n - number >= r->most) return false;
    return r->put - r->entries[(number - 1) % r->most].at <= r->room;
}

static void copy(const struct lun_ring *r, uint64_t from, size_t n, struct lun_buf *out)
{
    size_t at = from % r->room, first = n < r->room - at ? n : r->room - at;
    if (first) lun_buf_add(out, r->bytes + at, first);
    if (n > first) lun_buf_add(out, r->bytes, n - first);
}

bool lun_ring_get(struct lun_ring *r, uint64_t number, struct lun_buf *text, struct lun_buf *appendix)
{
    pthread_mutex_lock(&r->lock);
    bool there = is_there(r, number);
    const struct entry *e = &r->entries[(number - 1) % r->most];
    if (there) copy(r, e->at, e->n, text);
    if (there && appendix) copy(r, e->at + e->n, e->m, appendix);
    pthread_mutex_unlock(&r->lock);
    return there;
}

static void wipe(struct lun_ring *r, const struct entry *e)
{
    size_t at = e->at % r->room, n = e->n + e->m, first = n < r->room - at ? n : r->room - at;
    explicit_bzero(r->bytes + at, first);
    explicit_bzero(r->bytes, n - first);
}

void lun_ring_forget(struct lun_ring *r, uint64_t number)
{
    pthread_mutex_lock(&r->lock);
    if (number > r->n) number = r->n;
    for (uint64_t i = number; is_there(r, i); i--) wipe(r, &r->entries[(i - 1) % r->most]);
    if (number > r->gone) r->gone = number;
    pthread_mutex_unlock(&r->lock);
}

void lun_ring_free(struct lun_ring *r)
{
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    free(r->bytes);
    free(r->entries);
    free(r);
}

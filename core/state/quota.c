#include "state/limit.h"
#include "base/alloc.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PARTS 10

struct part { _Atomic int64_t slice; atomic_int requests; int taken; };     /* slice: which tenth of a window, counted from time 0 */
struct lun_quota { pthread_mutex_t lock; lun_us length; int at_least; struct part parts[PARTS]; };

struct lun_quota *lun_quota_new(lun_us window, int at_least)
{
    struct lun_quota *q = lun_zalloc(sizeof *q);
    pthread_mutex_init(&q->lock, NULL);
    q->length = window / PARTS > 0 ? window / PARTS : 1;
    q->at_least = at_least;
    for (int i = 0; i < PARTS; i++) q->parts[i].slice = -1;
    return q;
}

void lun_quota_free(struct lun_quota *q)
{
    if (!q) return;
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* Under the lock. */
static struct part *part_at(struct lun_quota *q, lun_us now)
{
    int64_t slice = now / q->length;
    struct part *p = &q->parts[slice % PARTS];
    if (p->slice >= slice) return p;
    p->requests = p->taken = 0;
    p->slice = slice;
    return p;
}

/* Each request comes by here twice: only the first of a tenth takes the lock. (One that is held up for nine tenths on the way counts in a later one.) */
void lun_quota_request(struct lun_quota *q, lun_us now)
{
    int64_t slice = now / q->length;
    struct part *p = &q->parts[slice % PARTS];
    if (p->slice < slice) {
        pthread_mutex_lock(&q->lock);
        part_at(q, now);
        pthread_mutex_unlock(&q->lock);
    }
    atomic_fetch_add_explicit(&p->requests, 1, memory_order_relaxed);
}

static bool fits(const struct lun_quota *q, double share, int64_t slice)
{
    int64_t requests = 0, taken = 0;
    for (int i = 0; i < PARTS; i++) {
        if (q->parts[i].slice <= slice - PARTS) continue;
        requests += q->parts[i].requests;
        taken += q->parts[i].taken;
    }
    return taken < q->at_least || (double)(taken + 1) <= share * (double)requests;
}

bool lun_quota_take(struct lun_quota *q, double share, lun_us now)
{
    pthread_mutex_lock(&q->lock);
    struct part *p = part_at(q, now);
    bool go = share < 0 || (share > 0 && fits(q, share, p->slice));
    p->taken += go;
    pthread_mutex_unlock(&q->lock);
    return go;
}

#include "gateway/errand.h"
#include "base/alloc.h"
#include <stdlib.h>

struct lun_stop { struct lun_post post; struct lun_errand *of; struct lun_worker *worker; int index; };

static void arrive(struct lun_post *p)
{
    struct lun_stop *s = (struct lun_stop *)(void *)p;
    struct lun_errand *e = s->of;
    e->visit(e, s->worker, s->index);
    if (atomic_fetch_sub(&e->left, 1) == 1) lun_reactor_post(e->home, &e->back);
}

static void come_back(struct lun_post *p)
{
    struct lun_errand *e = (struct lun_errand *)(void *)((char *)p - offsetof(struct lun_errand, back));
    lun_errand_drop(e);
    e->done(e);
}

void lun_errand_send(struct lun_errand *e, struct lun_reactor *home, struct lun_worker *const *workers, int n)
{
    e->home = home;
    e->back = (struct lun_post){ .run = come_back };
    e->stops = lun_zalloc((size_t)n * sizeof *e->stops);
    atomic_store(&e->left, n);
    for (int i = 0; i < n; i++) {
        e->stops[i] = (struct lun_stop){ .post.run = arrive, .of = e, .worker = workers[i], .index = i };
        lun_reactor_post(lun_worker_reactor(workers[i]), &e->stops[i].post);
    }
}

void lun_errand_drop(struct lun_errand *e)
{
    free(e->stops);
    e->stops = NULL;
}

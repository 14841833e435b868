#include "gateway/builder.h"
#include "base/alloc.h"
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK (2 << 20)
#define NICE 19
#define SLICE_NS 100000         /* with the usual one, of some ms, a thread that serves and wakes up would wait for its end */

struct lun_builder {
    struct lun_reactor *home;
    bool aside;
    pthread_t thread; bool started;
    pthread_mutex_t lock; pthread_cond_t news;
    struct lun_job *first, **last;
    bool ending;
};

static void come_back(struct lun_post *p)
{
    struct lun_job *j = (struct lun_job *)(void *)((char *)p - offsetof(struct lun_job, back));
    j->done(j);
}

static struct lun_job *next(struct lun_builder *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->first && !b->ending) pthread_cond_wait(&b->news, &b->lock);
    struct lun_job *j = b->first;
    if (j && !(b->first = j->next)) b->last = &b->first;
    pthread_mutex_unlock(&b->lock);
    return j;
}

static void do_it(struct lun_builder *b, struct lun_job *j)
{
    bool told = j->done != NULL;
    j->run(j);
    if (told) lun_reactor_post(b->home, &j->back);
}

/* sched_setattr(2); Linux before 6.12 ignores the slice. */
static void step_back(void)
{
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; } attributes = {
        .size = sizeof attributes, .nice = NICE, .runtime = SLICE_NS };
    if (syscall(SYS_sched_setattr, 0, &attributes, 0)) setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
}

static void *run(void *self)
{
    struct lun_builder *b = self;
    step_back();
    for (struct lun_job *j; (j = next(b)); ) do_it(b, j);
    return NULL;
}

struct lun_builder *lun_builder_new(struct lun_reactor *home, bool aside)
{
    struct lun_builder *b = lun_zalloc(sizeof *b);
    b->home = home;
    b->aside = aside;
    b->last = &b->first;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->news, NULL);
    return b;
}

static bool start(struct lun_builder *b)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (b->started) return true;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    b->started = !pthread_create(&b->thread, &attributes, run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (b->started) pthread_setname_np(b->thread, "lunette builder");
    return b->started;
}

bool lun_builder_do(struct lun_builder *b, struct lun_job *j)
{
    j->next = NULL;
    j->back = (struct lun_post){ .run = come_back };
    if (!b->aside) {
        do_it(b, j);
        return true;
    }
    pthread_mutex_lock(&b->lock);
    bool good = start(b);
    if (good) {
        *b->last = j;
        b->last = &j->next;
        pthread_cond_signal(&b->news);
    }
    pthread_mutex_unlock(&b->lock);
    return good;
}

void lun_builder_free(struct lun_builder *b)
{
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    b->ending = true;
    pthread_cond_signal(&b->news);
    pthread_mutex_unlock(&b->lock);
    if (b->started) pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->news);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

#include "gateway/builder.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK (2 << 20)
#define NICE 19
#define SLICE_NS 100000         /* with the usual one, of some ms, a thread that serves and wakes up would wait for its end */
#define STARVED (200 * LUN_MS)  /* so long a job waited for the processor: there is none to spare */
#define STEADY  (30 * LUN_SECOND)

/* One that runs only where no other thread wants the processor, so that nobody who serves notices it; and one that has its share, however small, for
 * when there is none to spare: a thread may step back further, but not forward again. */
enum { IDLE, SHARING, HANDS };
struct hand {
    struct lun_builder *of;
    pthread_t thread; bool started;
    pthread_cond_t news;
    struct lun_job *first, **last;
};
struct lun_builder {
    struct lun_reactor *home;
    bool aside;
    pthread_mutex_t lock;
    struct hand hands[HANDS];
    _Atomic lun_us steady_until;        /* jobs given until then go to the one that has a share */
    bool ending;
};

static void come_back(struct lun_post *p)
{
    struct lun_job *j = (struct lun_job *)(void *)((char *)p - offsetof(struct lun_job, back));
    j->done(j);
}

static struct lun_job *next(struct hand *h)
{
    struct lun_builder *b = h->of;
    pthread_mutex_lock(&b->lock);
    while (!h->first && !b->ending) pthread_cond_wait(&h->news, &b->lock);
    struct lun_job *j = h->first;
    if (j && !(h->first = j->next)) h->last = &h->first;
    pthread_mutex_unlock(&b->lock);
    return j;
}

static void do_it(struct lun_builder *b, struct lun_job *j)
{
    bool told = j->done != NULL, disk = j->disk;
    lun_us wall = lun_clock_now(), cpu = lun_clock_cpu();
    j->run(j);
    wall = lun_clock_now() - wall, cpu = lun_clock_cpu() - cpu;
    if (!disk && wall - cpu > STARVED) atomic_store(&b->steady_until, lun_clock_now() + STEADY);
    if (told) lun_reactor_post(b->home, &j->back);
}

/* sched_setattr(2); Linux before 6.12 ignores the slice. */
static void step_back(bool idle)
{
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; } attributes = {
        .size = sizeof attributes, .policy = idle ? SCHED_IDLE : SCHED_OTHER, .nice = NICE, .runtime = SLICE_NS };
    if (syscall(SYS_sched_setattr, 0, &attributes, 0)) setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
}

static void *run(void *self)
{
    struct hand *h = self;
    step_back(h == &h->of->hands[IDLE]);
    for (struct lun_job *j; (j = next(h)); ) do_it(h->of, j);
    return NULL;
}

struct lun_builder *lun_builder_new(struct lun_reactor *home, bool aside)
{
    struct lun_builder *b = lun_zalloc(sizeof *b);
    b->home = home;
    b->aside = aside;
    pthread_mutex_init(&b->lock, NULL);
    for (int i = 0; i < HANDS; i++) {
        b->hands[i].of = b;
        b->hands[i].last = &b->hands[i].first;
        pthread_cond_init(&b->hands[i].news, NULL);
    }
    return b;
}

static bool start(struct hand *h)
{
    if (!h->started) h->started = !lun_thread_start(&h->thread, "lunette builder", STACK, run, h);
    return h->started;
}

bool lun_builder_do(struct lun_builder *b, struct lun_job *j)
{
    j->next = NULL;
    j->back = (struct lun_post){ .run = come_back };
    if (!b->aside) {
        do_it(b, j);
        return true;
    }
    struct hand *h = &b->hands[j->soon || lun_clock_now() < atomic_load(&b->steady_until) ? SHARING : IDLE];
    pthread_mutex_lock(&b->lock);
    bool good = start(h);
    if (good) {
        *h->last = j;
        h->last = &j->next;
        pthread_cond_signal(&h->news);
    }
    pthread_mutex_unlock(&b->lock);
    return good;
}

void lun_builder_free(struct lun_builder *b)
{
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    b->ending = true;
    for (int i = 0; i < HANDS; i++) pthread_cond_signal(&b->hands[i].news);
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; i < HANDS; i++) {
        if (b->hands[i].started) pthread_join(b->hands[i].thread, NULL);
        pthread_cond_destroy(&b->hands[i].news);
    }
    pthread_mutex_destroy(&b->lock);
    free(b);
}

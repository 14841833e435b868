#include "wire/reactor.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Thread_local struct lun_reactor *here;      /* the outermost one that this thread is inside of */

/* libevent looks at its clock once in a turn, and tells nobody what the monotonic one said. */
static void look_at_turn(struct lun_reactor *r)
{
    struct timeval of;
    if (event_base_gettimeofday_cached(r->base, &of) || !evutil_timercmp(&of, &r->turn_of, !=)) return;
    r->turn_of = of;
    r->turn = r->loop.now;
}

void lun_reactor_enter(struct lun_reactor *r)
{
    if (r->depth++) return;
    if (!here) here = r;
    r->loop.now = lun_clock_now();
    look_at_turn(r);
}

static void arm(struct lun_reactor *r)
{
    lun_us due = lun_loop_due(&r->loop);
    if (due == r->armed || r->detached) return;
    r->armed = due;
    if (due == LUN_NEVER) { event_del(r->timer); return; }
    lun_us left = due > r->loop.now ? due - r->loop.now : 0;
    struct timeval t = { .tv_sec = left / LUN_SECOND, .tv_usec = left % LUN_SECOND };
    event_add(r->timer, &t);
}

void lun_reactor_afterwards(void (*run)(void *self), void *self)
{
    struct lun_reactor *r = here;
    if (!r || r->n_afterwards == LUN_REACTOR_AFTERWARDS) { run(self); return; }
    for (int i = 0; i < r->n_afterwards; i++) if (r->afterwards[i].run == run && r->afterwards[i].self == self) return;
    r->afterwards[r->n_afterwards++] = (struct lun_afterwards){ run, self };
}

static void be_outside(struct lun_reactor *r)
{
    r->depth = 0;
    if (here != r) return;
    here = NULL;
    for (int i = 0; i < r->n_afterwards; i++) r->afterwards[i].run(r->afterwards[i].self);
    r->n_afterwards = 0;
}

void lun_reactor_leave(struct lun_reactor *r)
{
    if (r->depth > 1) { r->depth--; return; }
    r->together = 0;
    do lun_loop_drain(&r->loop); while (lun_loop_fire(&r->loop));
    arm(r);
    be_outside(r);
}

void lun_reactor_leave_later(struct lun_reactor *r)
{
    if (r->depth > 1) { r->depth--; return; }
    if (!r->later) event_active(r->rest, EV_TIMEOUT, 0);
    r->later = true;
    be_outside(r);
}

/* Another callback of the base is due: one of this kind, or `rest`. */
static bool others_follow(const struct lun_reactor *r) { return r->later || event_base_get_num_events(r->base, EVENT_BASE_COUNT_ACTIVE); }

void lun_reactor_leave_together(struct lun_reactor *r)
{
    if (r->depth > 1 || (++r->together < LUN_REACTOR_TOGETHER && others_follow(r))) lun_reactor_leave_later(r);
    else lun_reactor_leave(r);
}

static void on_timer(evutil_socket_t fd, short what, void *self)
{
    struct lun_reactor *r = self;
    (void)fd, (void)what;
    r->armed = LUN_NEVER;
    lun_reactor_enter(r);
    lun_reactor_leave(r);
}

static void on_rest(evutil_socket_t fd, short what, void *self)
{
    struct lun_reactor *r = self;
    (void)fd, (void)what;
    r->later = false;
    lun_reactor_enter(r);
    lun_reactor_leave(r);
}

static void on_mail(evutil_socket_t fd, short what, void *self)
{
    struct lun_reactor *r = self;
    eventfd_t count;
    (void)what;
    lun_reactor_enter(r);
    eventfd_read(fd, &count);
    pthread_mutex_lock(&r->lock);
    struct lun_post *list = r->posts;
    r->posts = NULL;
    pthread_mutex_unlock(&r->lock);
    for (struct lun_post *p; (p = list); ) {
        list = p->next;
        pthread_mutex_lock(&r->lock);
        p->posted = false;
        pthread_mutex_unlock(&r->lock);
        p->run(p);
    }
    lun_reactor_leave(r);
}

void lun_reactor_post(struct lun_reactor *r, struct lun_post *p)
{
    pthread_mutex_lock(&r->lock);
    if (!p->posted) {
        struct lun_post **last = &r->posts;
        while (*last) last = &(*last)->next;
        p->next = NULL;
        p->posted = true;
        *last = p;
        eventfd_write(r->mail_fd, 1);
    }
    pthread_mutex_unlock(&r->lock);
}

struct lun_reactor *lun_reactor_new(struct event_base *base)
{
    struct lun_reactor *r = lun_zalloc(sizeof *r);
    r->owns_base = !base;
    r->base = base ? base : event_base_new();
    r->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->armed = LUN_NEVER;
    r->loop.clock = lun_clock_now;
    r->loop.now = lun_clock_now();
    pthread_mutex_init(&r->lock, NULL);
    if (r->base && r->mail_fd >= 0) {
        r->timer = event_new(r->base, -1, 0, on_timer, r);
        r->mail = event_new(r->base, r->mail_fd, EV_READ | EV_PERSIST, on_mail, r);
        r->rest = event_new(r->base, -1, 0, on_rest, r);
        if (r->timer && r->mail && r->rest && event_add(r->mail, NULL) == 0) return r;
    }
    lun_reactor_free(r);
    return NULL;
}

void lun_reactor_run(struct lun_reactor *r)
{
    lun_reactor_enter(r);
    lun_reactor_leave(r);
    event_base_loop(r->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void lun_reactor_stop(struct lun_reactor *r) { event_base_loopbreak(r->base); }

void lun_reactor_detach(struct lun_reactor *r)
{
    event_free(r->timer);
    event_free(r->mail);
    event_free(r->rest);
    r->timer = r->mail = r->rest = NULL;
    r->detached = true;
}

void lun_reactor_free(struct lun_reactor *r)
{
    if (!r) return;
    if (r->timer) event_free(r->timer);
    if (r->mail) event_free(r->mail);
    if (r->rest) event_free(r->rest);
    if (r->mail_fd >= 0) close(r->mail_fd);
    if (r->owns_base && r->base) event_base_free(r->base);
    lun_loop_free(&r->loop);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* A reactor on the event base of somebody else. */
#include "wire/reactor.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct world { struct event_base *base; struct lun_reactor *reactor; struct lun_task task; struct lun_timer timer; int ran, rang; };

static void run(struct lun_task *t) { ((struct world *)((char *)t - offsetof(struct world, task)))->ran++; }
static void ring(struct lun_timer *t) { ((struct world *)((char *)t - offsetof(struct world, timer)))->rang++; }

static int set_up(void **state)
{
    static struct world w;
    w = (struct world){ .base = event_base_new(), .task.run = run, .timer.fire = ring };
    w.reactor = lun_reactor_new(w.base);
    *state = &w;
    return !w.reactor;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    lun_reactor_free(w->reactor);
    event_base_free(w->base);
    return 0;
}

static void what_was_woken_runs_inside_leave(void **state)
{
    struct world *w = *state;
    lun_reactor_enter(w->reactor);
    lun_loop_wake(&w->reactor->loop, &w->task);
    assert_int_equal(w->ran, 0);
    lun_reactor_leave(w->reactor);
    assert_int_equal(w->ran, 1);
}

static void leaving_later_runs_nothing_before_the_base_s_next_turn(void **state)
{
    struct world *w = *state;
    lun_reactor_enter(w->reactor);
    lun_loop_wake(&w->reactor->loop, &w->task);
    lun_reactor_leave_later(w->reactor);
    assert_int_equal(w->ran, 0);
    event_base_loop(w->base, EVLOOP_NONBLOCK);
    assert_int_equal(w->ran, 1);
    event_base_loop(w->base, EVLOOP_NONBLOCK);
    assert_int_equal(w->ran, 1);
}

static int called;
static void call(void *self) { (void)self; called++; }
static void ask_in_task(struct lun_task *t) { (void)t; lun_reactor_afterwards(call, &called); lun_reactor_afterwards(call, &called); }

static void what_is_put_off_is_done_once_when_the_outermost_call_has_said_all(void **state)
{
    struct world *w = *state;
    struct lun_reactor *other = lun_reactor_new(w->base);
    called = 0;
    w->task.run = ask_in_task;
    lun_reactor_enter(w->reactor);
    lun_loop_wake(&w->reactor->loop, &w->task);
    lun_reactor_afterwards(call, &called);
    lun_reactor_enter(other);
    lun_reactor_afterwards(call, &called);
    lun_reactor_leave(other);
    assert_int_equal(called, 0);
    lun_reactor_leave(w->reactor);
    assert_int_equal(called, 1);
    lun_reactor_enter(w->reactor);
    lun_reactor_afterwards(call, &called);
    lun_reactor_leave_later(w->reactor);
    assert_int_equal(called, 2);
    lun_reactor_free(other);
}

static void nothing_is_put_off_where_no_call_is_under_way_or_too_much_waits(void **state)
{
    struct world *w = *state;
    int who[LUN_REACTOR_AFTERWARDS + 1];
    called = 0;
    lun_reactor_afterwards(call, &called);
    assert_int_equal(called, 1);
    lun_reactor_enter(w->reactor);
    for (int i = 0; i <= LUN_REACTOR_AFTERWARDS; i++) lun_reactor_afterwards(call, &who[i]);
    assert_int_equal(called, 2);
    lun_reactor_leave(w->reactor);
    assert_int_equal(called, 2 + LUN_REACTOR_AFTERWARDS);
}

struct callback { struct world *w; struct event *event; int had_run, has_run; };

static void on_event(evutil_socket_t fd, short what, void *self)
{
    struct callback *c = self;
    (void)fd, (void)what;
    lun_reactor_enter(c->w->reactor);
    c->had_run = c->w->ran;
    lun_loop_wake(&c->w->reactor->loop, &c->w->task);
    lun_reactor_leave_together(c->w->reactor);
    c->has_run = c->w->ran;
}

static void what_a_callback_leaves_that_no_other_follows_runs_at_once(void **state)
{
    struct world *w = *state;
    struct callback alone = { .w = w, .event = event_new(w->base, -1, 0, on_event, &alone) };
    event_active(alone.event, EV_READ, 0);
    event_base_loop(w->base, EVLOOP_NONBLOCK);
    assert_int_equal(alone.has_run, 1);
    assert_int_equal(w->ran, 1);
    event_free(alone.event);
}

static void what_many_callbacks_leave_together_runs_behind_all_of_them_but_of_no_more_than_so_many(void **state)
{
    enum { N = LUN_REACTOR_TOGETHER + 3 };
    struct world *w = *state;
    struct callback all[N];
    for (int i = 0; i < N; i++) {
        all[i] = (struct callback){ .w = w, .event = event_new(w->base, -1, 0, on_event, &all[i]) };
        event_active(all[i].event, EV_READ, 0);
    }
    event_base_loop(w->base, EVLOOP_NONBLOCK);
    assert_int_equal(all[LUN_REACTOR_TOGETHER - 1].had_run, 0);
    assert_int_equal(all[LUN_REACTOR_TOGETHER].had_run, 1);
    assert_int_equal(all[N - 1].had_run, 1);
    assert_int_equal(w->ran, 2);
    for (int i = 0; i < N; i++) event_free(all[i].event);
}

static void leaving_later_inside_another_call_leaves_the_work_to_that_one(void **state)
{
    struct world *w = *state;
    lun_reactor_enter(w->reactor);
    lun_reactor_enter(w->reactor);
    lun_loop_wake(&w->reactor->loop, &w->task);
    lun_reactor_leave_later(w->reactor);
    assert_int_equal(w->ran, 0);
    lun_reactor_leave(w->reactor);
    assert_int_equal(w->ran, 1);
}

static void timers_that_were_armed_before_ring_all_the_same(void **state)
{
    struct world *w = *state;
    lun_reactor_enter(w->reactor);
    lun_timer_set(&w->reactor->loop, &w->timer, w->reactor->loop.now + 20 * LUN_MS);
    lun_reactor_leave(w->reactor);
    lun_reactor_enter(w->reactor);
    lun_loop_wake(&w->reactor->loop, &w->task);
    lun_reactor_leave_later(w->reactor);
    while (!w->rang) event_base_loop(w->base, EVLOOP_ONCE);
    assert_int_equal(w->ran, 1);
}

static void a_timer_set_before_leaving_later_rings(void **state)
{
    struct world *w = *state;
    lun_reactor_enter(w->reactor);
    lun_timer_set(&w->reactor->loop, &w->timer, w->reactor->loop.now + 5 * LUN_MS);
    lun_reactor_leave_later(w->reactor);
    while (!w->rang) event_base_loop(w->base, EVLOOP_ONCE);
    assert_int_equal(w->rang, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_woken_runs_inside_leave), T(leaving_later_runs_nothing_before_the_base_s_next_turn),
        T(leaving_later_inside_another_call_leaves_the_work_to_that_one), T(timers_that_were_armed_before_ring_all_the_same),
        T(a_timer_set_before_leaving_later_rings), T(what_is_put_off_is_done_once_when_the_outermost_call_has_said_all),
        T(what_a_callback_leaves_that_no_other_follows_runs_at_once),
        T(what_many_callbacks_leave_together_runs_behind_all_of_them_but_of_no_more_than_so_many),
        T(nothing_is_put_off_where_no_call_is_under_way_or_too_much_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The thread for what takes its time. */
#include "gateway/builder.h"
#include "base/alloc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { GIVERS = 4, EACH = 500 };

struct world { struct lun_reactor *reactor; struct lun_builder *builder; pthread_t home; int order[8], n, done; atomic_int ran; };
struct numbered { struct lun_job job; struct world *world; int number; pthread_t where; };

static struct numbered *of(struct lun_job *j) { return (struct numbered *)(void *)j; }

static void note(struct lun_job *j)
{
    of(j)->where = pthread_self();
    of(j)->world->order[of(j)->world->n++] = of(j)->number;
}

static void told(struct lun_job *j)
{
    struct world *w = of(j)->world;
    assert_true(pthread_equal(pthread_self(), w->home));
    if (++w->done == 3) lun_reactor_stop(w->reactor);
}

static struct world make(bool aside)
{
    struct world w = { .reactor = lun_reactor_new(NULL), .home = pthread_self() };
    w.builder = lun_builder_new(w.reactor, aside);
    return w;
}

static void end(struct world *w)
{
    lun_builder_free(w->builder);
    lun_reactor_free(w->reactor);
}

static void three_jobs(bool aside)
{
    struct world w = make(aside);
    struct numbered jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct numbered){ .job = { .run = note, .done = told }, .world = &w, .number = i };
        assert_true(lun_builder_do(w.builder, &jobs[i].job));
    }
    assert_true(aside || (w.n == 3 && !w.done));
    lun_reactor_run(w.reactor);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w.order[i], i);
        assert_int_equal(pthread_equal(jobs[i].where, w.home) != 0, !aside);
    }
    end(&w);
}

static void jobs_are_done_aside_in_their_order_and_told_at_home(void **state)
{
    (void)state;
    three_jobs(true);
}

static void without_a_thread_they_are_done_at_once_and_told_later(void **state)
{
    (void)state;
    three_jobs(false);
}

static void count_and_go(struct lun_job *j)
{
    atomic_fetch_add(&of(j)->world->ran, 1);
    free(j);
}

static void *give(void *self)
{
    struct world *w = self;
    for (int i = 0; i < EACH; i++) {
        struct numbered *n = lun_alloc(sizeof *n);
        *n = (struct numbered){ .job.run = count_and_go, .world = w };
        if (!lun_builder_do(w->builder, &n->job)) free(n);
    }
    return NULL;
}

static void any_thread_may_give_jobs_and_what_was_given_is_done_before_the_end(void **state)
{
    (void)state;
    struct world w = make(true);
    pthread_t givers[GIVERS];
    for (int i = 0; i < GIVERS; i++) assert_int_equal(pthread_create(&givers[i], NULL, give, &w), 0);
    for (int i = 0; i < GIVERS; i++) pthread_join(givers[i], NULL);
    end(&w);
    assert_int_equal(w.ran, GIVERS * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_done_aside_in_their_order_and_told_at_home),
        cmocka_unit_test(without_a_thread_they_are_done_at_once_and_told_later),
        cmocka_unit_test(any_thread_may_give_jobs_and_what_was_given_is_done_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

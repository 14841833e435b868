#include "bound.h"
#include "base/alloc.h"
#include "base/loop.h"
#include "gateway/probe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

/* A provider that answers each GET /models with `status` after 1 s, or never (0). */
struct fake { struct lun_loop *loop; int status, asked, open; char paths[64]; };
struct sent { struct lun_timer timer; struct fake *of; const struct lun_ear *ear; void *self; };

static void answer(struct lun_timer *t)
{
    struct sent *s = (struct sent *)(void *)t;
    s->ear->head(s->self, &(struct lun_answer_head){ .status = s->of->status });
    s->ear->end(s->self, LUN_KIND_OK, "");
}
static void *send_letter(void *self, const struct lun_provider *p, int key, lun_us connect, const struct lun_letter *letter, const struct lun_ear *ear, void *ear_self)
{
    struct fake *f = self;
    struct sent *s = lun_zalloc(sizeof *s);
    (void)p, (void)connect;
    *s = (struct sent){ .timer.fire = answer, .of = f, .ear = ear, .self = ear_self };
    assert_string_equal(letter->path, "/models");
    assert_string_equal(letter->method, "GET");
    assert_int_equal(key, 1);
    f->asked++;
    f->open++;
    if (f->status) lun_timer_set(f->loop, &s->timer, f->loop->now + S);
    return s;
}
static void hold(void *carried, bool paused) { (void)carried, (void)paused; }
static void finish(void *carried)
{
    struct sent *s = carried;
    lun_timer_set(s->of->loop, &s->timer, LUN_NEVER);
    s->of->open--;
    free(s);
}

struct world { struct bound b; struct lun_loop loop; struct fake fake; struct lun_carrier carrier; struct lun_probe *probe; };

static void run_until(struct lun_loop *loop, lun_us time)
{
    while (lun_loop_due(loop) <= time) {
        lun_loop_advance(loop);
        while (lun_loop_fire(loop)) lun_loop_drain(loop);
        lun_loop_drain(loop);
    }
    loop->now = time;
}

static void open_world(struct world *w)
{
    *w = (struct world){ .loop.now = S };
    bound_open(&w->b, &(struct setting){ .keys = 2, .health = lun_health_rules_default });
    w->fake = (struct fake){ .loop = &w->loop };
    w->carrier = (struct lun_carrier){ &w->fake, send_letter, hold, finish };
    w->probe = lun_probe_new(&w->loop, w->b.snapshot, &w->carrier, NULL, NULL);
}
static void close_world(struct world *w)
{
    lun_probe_free(w->probe);
    assert_int_equal(w->fake.open, 0);
    lun_loop_free(&w->loop);
    bound_close(&w->b);
}

static void keys_that_are_fine_are_not_asked_about(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    run_until(&w.loop, 200 * S);
    assert_int_equal(w.fake.asked, 0);
    close_world(&w);
}

static void a_key_comes_back_when_the_provider_takes_it_again(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    lun_health_key_out(w.b.a, 1);
    w.fake.status = 401;
    run_until(&w.loop, 80 * S);
    assert_int_equal(w.fake.asked, 2);
    assert_true(lun_health_key_is_out(w.b.a, 1));
    w.fake.status = 200;
    run_until(&w.loop, 100 * S);
    assert_false(lun_health_key_is_out(w.b.a, 1));
    run_until(&w.loop, 300 * S);
    assert_int_equal(w.fake.asked, 3);
    close_world(&w);
}

static void a_probe_that_is_not_answered_is_given_up_and_tried_again(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    lun_health_key_out(w.b.a, 1);
    run_until(&w.loop, 45 * S);
    assert_int_equal(w.fake.asked, 1);
    assert_int_equal(w.fake.open, 0);
    run_until(&w.loop, 65 * S);
    assert_int_equal(w.fake.asked, 2);
    assert_true(lun_health_key_is_out(w.b.a, 1));
    close_world(&w);                    /* also with one under way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_are_fine_are_not_asked_about), cmocka_unit_test(a_key_comes_back_when_the_provider_takes_it_again),
        cmocka_unit_test(a_probe_that_is_not_answered_is_given_up_and_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

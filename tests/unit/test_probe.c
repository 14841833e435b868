#include "bound.h"
#include "base/alloc.h"
#include "base/loop.h"
#include "gateway/probe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

/* A provider that answers each GET with `status` after 1 s, or never (0); the key `wrong` with 401. */
struct fake { struct lun_loop *loop; int status, asked, open, last_key, wrong; const char *path; lun_us at; };
struct sent { struct lun_timer timer; struct fake *of; int key; const struct lun_ear *ear; void *self; };

static void answer(struct lun_timer *t)
{
    struct sent *s = (struct sent *)(void *)t;
    s->ear->head(s->self, &(struct lun_answer_head){ .status = s->key == s->of->wrong ? 401 : s->of->status });
    s->ear->end(s->self, LUN_KIND_OK, "");
}
static void *send_letter(void *self, const struct lun_provider *p, int key, lun_us connect, const struct lun_letter *letter, const struct lun_ear *ear, void *ear_self)
{
    struct fake *f = self;
    struct sent *s = lun_zalloc(sizeof *s);
    (void)p, (void)connect;
    *s = (struct sent){ .timer.fire = answer, .of = f, .key = key, .ear = ear, .self = ear_self };
    assert_string_equal(letter->path, f->path);
    assert_string_equal(letter->method, "GET");
    assert_string_equal(letter->key_header, "authorization");
    assert_int_equal(letter->n_body, 0);
    f->last_key = key;
    f->at = f->loop->now;
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

struct world { struct bound b; struct lun_loop loop; struct fake fake; struct lun_carrier carrier; struct lun_upstreams upstreams; struct lun_probe *probe; lun_us keys_due; };

static void run_until(struct lun_loop *loop, lun_us time)
{
    while (lun_loop_due(loop) <= time) {
        lun_loop_advance(loop);
        while (lun_loop_fire(loop)) lun_loop_drain(loop);
        lun_loop_drain(loop);
    }
    loop->now = time;
}

static void begin_probing(struct world *w)
{
    w->probe = lun_probe_new(&(struct lun_probe_ways){ .loop = &w->loop, .snapshot = w->b.snapshot, .registry = w->b.registry, .upstreams = &w->upstreams }, NULL, &w->keys_due);
}

static void open_world(struct world *w)
{
    *w = (struct world){ .loop.now = S };
    bound_open(&w->b, &(struct setting){ .keys = 2, .health = lun_health_rules_default });
    w->b.a->dialect = w->b.b->dialect = "openai";
    w->fake = (struct fake){ .loop = &w->loop, .wrong = -2, .path = "/models" };
    w->carrier = (struct lun_carrier){ &w->fake, send_letter, hold, finish };
    w->upstreams = (struct lun_upstreams){ .network = &w->carrier };
    begin_probing(w);
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

static void a_key_comes_back_however_often_machines_are_replaced_meanwhile(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    lun_health_key_out(w.b.a, 1);
    w.fake.status = 200;
    for (int i = 1; i <= 12; i++) {
        run_until(&w.loop, i * 5 * S);
        lun_probe_free(w.probe);
        begin_probing(&w);
    }
    assert_false(lun_health_key_is_out(w.b.a, 1));
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

/* ---- providers that are down ---- */

static void open_down(struct world *w, int status)
{
    open_world(w);
    w->b.a->probe = (struct lun_probe_rules){ .every = 30 * S, .path = "/status", .timeout = 10 * S };
    w->fake.path = "/status";
    w->fake.status = status;
}

static void ask(struct world *w, const struct lun_target *t, enum lun_kind kind)
{
    lun_us now = w->loop.now;
    lun_health_begin(t, now, true);
    lun_health_end(t, &(struct lun_report){ .kind = kind, .key = 0, .began = now }, now);
}

/* Five in a row over both of its targets. */
static void fall(struct world *w, enum lun_kind kind)
{
    for (int i = 0; i < 5; i++) ask(w, i % 2 ? w->b.one : w->b.two, kind);
}

static void four_in_a_row_are_not_down_and_five_are(void **state)
{
    (void)state;
    static const enum lun_kind kinds[] = { LUN_KIND_RATE_LIMITED, LUN_KIND_SERVER_ERROR, LUN_KIND_OVERLOADED, LUN_KIND_FIRST_BYTE_TIMEOUT, LUN_KIND_CONNECT_REFUSED, LUN_KIND_DNS };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct world w;
        open_down(&w, 500);
        for (int n = 0; n < 4; n++) ask(&w, n % 2 ? w.b.one : w.b.two, kinds[i]);
        assert_int_equal(lun_health_down_since(w.b.snapshot, w.b.a), 0);
        ask(&w, w.b.one, LUN_KIND_OK);                          /* any success begins anew */
        for (int n = 0; n < 4; n++) ask(&w, n % 2 ? w.b.one : w.b.two, kinds[i]);
        assert_int_equal(lun_health_down_since(w.b.snapshot, w.b.a), 0);
        ask(&w, w.b.two, kinds[i]);
        assert_true(lun_health_down_since(w.b.snapshot, w.b.a) == w.loop.now);
        assert_int_equal(lun_health_provider(w.b.snapshot, w.b.a, w.loop.now), LUN_DOWN);
        assert_int_equal(lun_health_provider(w.b.snapshot, w.b.b, w.loop.now), LUN_HEALTHY);
        close_world(&w);
    }
}

static void one_that_is_down_is_probed_after_30_s_to_the_microsecond_and_is_back_at_once(void **state)
{
    (void)state;
    struct world w;
    open_down(&w, 200);
    run_until(&w.loop, 4 * S + 123456);
    lun_us down = w.loop.now;
    fall(&w, LUN_KIND_SERVER_ERROR);
    run_until(&w.loop, down + 30 * S - 1);
    assert_int_equal(w.fake.asked, 0);
    run_until(&w.loop, down + 30 * S);
    assert_int_equal(w.fake.asked, 1);
    assert_true(w.fake.at == down + 30 * S);
    assert_true(lun_health_rests(w.b.one, w.loop.now));
    run_until(&w.loop, down + 31 * S);
    assert_false(lun_health_rests(w.b.one, w.loop.now) || lun_health_rests(w.b.two, w.loop.now));
    assert_int_equal(lun_health_provider(w.b.snapshot, w.b.a, w.loop.now), LUN_HEALTHY);
    run_until(&w.loop, down + 300 * S);
    assert_int_equal(w.fake.asked, 1);
    close_world(&w);
}

static void a_probe_that_fails_lets_no_request_through_though_the_rest_is_over(void **state)
{
    (void)state;
    static const int statuses[] = { 0, 408, 429, 500, 503 };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct world w;
        open_down(&w, statuses[i]);
        fall(&w, LUN_KIND_SERVER_ERROR);
        for (lun_us at = 2 * S; at < 600 * S; at += S) {
            run_until(&w.loop, at);
            assert_true(lun_health_rests(w.b.one, w.loop.now) && lun_health_rests(w.b.two, w.loop.now));
        }
        assert_true(w.fake.asked >= 14);
        close_world(&w);
    }
}

static void a_probe_that_can_tell_nothing_leaves_it_to_the_rest(void **state)
{
    (void)state;
    struct world w;
    open_down(&w, 404);
    lun_us down = w.loop.now;
    fall(&w, LUN_KIND_SERVER_ERROR);
    run_until(&w.loop, down + 59 * S);
    assert_int_equal(w.fake.asked, 1);
    assert_int_equal(lun_health_last_probe(w.b.a).result, LUN_PROBE_UNCLEAR);
    assert_true(lun_health_rests(w.b.one, w.loop.now));
    run_until(&w.loop, down + 60 * S);
    assert_false(lun_health_rests(w.b.one, w.loop.now));        /* one request may try */
    assert_int_equal(lun_health_provider(w.b.snapshot, w.b.a, w.loop.now), LUN_DEGRADED);
    close_world(&w);
}

static void a_probe_that_says_401_takes_the_key_out_and_goes_on_with_the_next(void **state)
{
    (void)state;
    struct world w;
    open_down(&w, 200);
    w.fake.wrong = 0;
    fall(&w, LUN_KIND_SERVER_ERROR);
    run_until(&w.loop, 31 * S);
    assert_int_equal(w.fake.asked, 1);
    run_until(&w.loop, 33 * S);
    assert_int_equal(w.fake.asked, 2);
    assert_int_equal(w.fake.last_key, 1);
    assert_true(lun_health_key_is_out(w.b.a, 0));
    assert_false(lun_health_rests(w.b.one, w.loop.now));
    close_world(&w);
}

static void a_reload_during_a_probe_begins_it_again(void **state)
{
    (void)state;
    struct world w;
    open_down(&w, 0);
    fall(&w, LUN_KIND_SERVER_ERROR);
    run_until(&w.loop, 32 * S);
    assert_int_equal(w.fake.open, 1);
    lun_probe_free(w.probe);
    assert_int_equal(w.fake.open, 0);
    w.fake.status = 200;
    begin_probing(&w);
    run_until(&w.loop, 34 * S);
    assert_int_equal(w.fake.asked, 2);
    assert_false(lun_health_rests(w.b.one, w.loop.now));
    close_world(&w);
}

static void a_circuit_that_opened_after_the_probe_went_stays_open(void **state)
{
    (void)state;
    struct world w;
    open_down(&w, 200);
    fall(&w, LUN_KIND_SERVER_ERROR);
    lun_us began = w.loop.now - 1;
    lun_health_probed(w.b.snapshot, w.b.a, LUN_PROBE_GOOD, 200, began, w.loop.now);
    assert_int_equal(lun_health_provider(w.b.snapshot, w.b.a, w.loop.now), LUN_DOWN);
    close_world(&w);
}

static void what_an_answer_means(void **state)
{
    (void)state;
    static const struct { enum lun_kind kind; int status; enum lun_probe_result result; } cases[] = {
        { LUN_KIND_OK, 200, LUN_PROBE_GOOD }, { LUN_KIND_OK, 204, LUN_PROBE_GOOD }, { LUN_KIND_OK, 301, LUN_PROBE_UNCLEAR }, { LUN_KIND_OK, 401, LUN_PROBE_REFUSED },
        { LUN_KIND_OK, 403, LUN_PROBE_UNCLEAR }, { LUN_KIND_OK, 404, LUN_PROBE_UNCLEAR }, { LUN_KIND_OK, 408, LUN_PROBE_FAILED }, { LUN_KIND_OK, 429, LUN_PROBE_FAILED },
        { LUN_KIND_OK, 500, LUN_PROBE_FAILED }, { LUN_KIND_OK, 529, LUN_PROBE_FAILED }, { LUN_KIND_CUT, 200, LUN_PROBE_FAILED }, { LUN_KIND_DNS, 0, LUN_PROBE_FAILED },
        { LUN_KIND_TLS, 0, LUN_PROBE_FAILED }, { LUN_KIND_TOTAL_TIMEOUT, 0, LUN_PROBE_FAILED }, { LUN_KIND_BAD_ANSWER, 200, LUN_PROBE_FAILED },
        { LUN_KIND_POOL_FULL, 0, LUN_PROBE_UNCLEAR }, { LUN_KIND_QUOTA, 402, LUN_PROBE_UNCLEAR }, { LUN_KIND_FILTERED, 200, LUN_PROBE_UNCLEAR },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(lun_probe_result_of(cases[i].kind, cases[i].status), cases[i].result);
}

static void a_new_key_is_asked_about_once_where_that_is_wanted(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.b.a->check_keys = true;
    w.fake.status = 200;
    w.fake.wrong = 1;
    run_until(&w.loop, 10 * S);
    assert_int_equal(w.fake.asked, 2);
    assert_true(lun_health_key_is_out(w.b.a, 1));
    assert_false(lun_health_key_is_out(w.b.a, 0));
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_are_fine_are_not_asked_about), cmocka_unit_test(a_key_comes_back_when_the_provider_takes_it_again),
        cmocka_unit_test(a_key_comes_back_however_often_machines_are_replaced_meanwhile),
        cmocka_unit_test(a_probe_that_is_not_answered_is_given_up_and_tried_again), cmocka_unit_test(four_in_a_row_are_not_down_and_five_are),
        cmocka_unit_test(one_that_is_down_is_probed_after_30_s_to_the_microsecond_and_is_back_at_once),
        cmocka_unit_test(a_probe_that_fails_lets_no_request_through_though_the_rest_is_over), cmocka_unit_test(a_probe_that_can_tell_nothing_leaves_it_to_the_rest),
        cmocka_unit_test(a_probe_that_says_401_takes_the_key_out_and_goes_on_with_the_next), cmocka_unit_test(a_reload_during_a_probe_begins_it_again),
        cmocka_unit_test(a_circuit_that_opened_after_the_probe_went_stays_open), cmocka_unit_test(what_an_answer_means),
        cmocka_unit_test(a_new_key_is_asked_about_once_where_that_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

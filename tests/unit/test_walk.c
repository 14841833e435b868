/* The walk of a request, promise by promise. Each test is one schedule on a virtual clock; what is promised at all times (walk_world.c) is
 * checked in every one of them, and over random schedules (walk_fuzz.c). With arguments: `test_walk SEED N [v|l]` plays N schedules from SEED
 * on; v tells what happens, l rings clocks late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "walk_world.h"

#define TEST(name) static void name(void **unused_state __attribute__((unused)))
#define SECONDS(s) lun_us_from_seconds(s)
#define USD(x) ((int64_t)((x) * 1e9))

static struct world *w;

static void house(int n) { w = world_new(n); }
static void open_house(int n) { house(n); world_open(w); }
static int close_house(void **s) { (void)s; if (w) world_free(w); w = NULL; return 0; }

static struct asked *play(bool stream, const char *a, const char *b, const char *c)
{
    if (a) world_script(w, 'a', a);
    if (b) world_script(w, 'b', b);
    if (c) world_script(w, 'c', c);
    struct asked *q = ask(w, stream);
    world_run(w);
    return q;
}
#define whole(...)  play(false, __VA_ARGS__)
#define stream(...) play(true, __VA_ARGS__)

static const char *got(struct asked *q) { return lun_buf_text(&q->got); }
static void came(struct asked *q, int status, const char *trials)
{
    assert_true(q->over);
    assert_string_equal(q->trials, trials);
    assert_int_equal(q->status, status);
}
static int times(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text++) n++;
    return n;
}
static double metric(enum lun_metric m, const char *label) { return lun_metrics_get(w->registry->metrics, m, label ? &label : NULL); }
static struct lun_account_view budget_view(void)
{
    struct lun_account_view v;
    lun_account_look(w->client.account, 1700000000 * LUN_SECOND, &v);
    return v;
}
static struct lun_health_view health(char t)
{
    struct lun_health_view v;
    lun_health_look(target(w, t), w->loop.now, &v);
    return v;
}

/* ---- several at once ---- */

static char order[64];
static struct lun_answer told_in_order(struct asked *q, enum lun_hook hook, const struct lun_trial *trial)
{
    static const char letters[LUN_HOOK_COUNT] = { [LUN_HOOK_CLASSIFY] = 'c', [LUN_HOOK_SELECT] = 's', [LUN_HOOK_FINISH] = 'f' };
    (void)trial;
    if (letters[hook]) snprintf(order + strlen(order), sizeof order - strlen(order), "%c%d ", letters[hook], q->id);
    return (struct lun_answer){0};
}

TEST(requests_that_come_together_are_classified_together_then_planned_together)
{
    open_house(1);
    world_script(w, 'a', "200 w end");
    *order = 0;
    struct asked *q[3];
    for (int i = 0; i < 3; i++) {
        q[i] = world_prepare(w, false);
        q[i]->answer = told_in_order;
        world_ask(q[i]);
    }
    world_run(w);
    assert_string_equal(order, "c1 c2 c3 s1 s2 s3 f1 f2 f3 ");
    for (int i = 0; i < 3; i++) came(q[i], 200, "a=ok");
}

static struct { struct lun_task task; struct asked *q; bool over; int ran; } sender;
static void send_it(struct lun_task *t) { (void)t; sender.ran++; sender.over = sender.q->over; }
static void wake_sender(struct asked *q) { (void)q; lun_loop_wake(&w->loop, &sender.task); }

TEST(what_is_sent_when_the_walk_has_told_it_is_sent_after_the_request_was_counted)
{
    open_house(1);
    world_script(w, 'a', "200 w end");
    struct asked *q = world_prepare(w, false);
    memset(&sender, 0, sizeof sender);
    sender.task.run = send_it;
    sender.q = q;
    q->told = wake_sender;
    q->answer = told_in_order;                          /* each hook answers at once, finish too */
    world_ask(q);
    world_run(w);
    assert_int_equal(sender.ran, 1);
    assert_true(sender.over);
}

/* ---- answers that go well ---- */

TEST(a_whole_answer_goes_out_byte_for_byte_with_headers_that_say_who_gave_it)
{
    open_house(1);
    struct asked *q = whole("+20 200 +5 w end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_string_equal(got(q), "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"hello\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":3}}");
    assert_string_equal(header(q, "x-lunette-target"), "a");
    assert_string_equal(header(q, "x-lunette-provider"), "pa");
    assert_string_equal(header(q, "x-request-id"), "req_upstream");
    assert_string_equal(header(q, "content-type"), "application/json");
    assert_string_equal(header(q, "x-lunette-cost"), "0.00001");
    assert_int_equal(q->done.usage.input, 4);
    assert_int_equal(q->done.usage.output, 3);
    assert_int_equal(q->done.cost, 4 * 1000 + 3 * 2000);
    assert_int_equal(q->done.latency, 25 * LUN_MS);
    assert_int_equal(q->done.upstream_wait, 25 * LUN_MS);
}

TEST(a_stream_goes_out_byte_for_byte_and_the_usage_nobody_asked_for_stays_inside)
{
    open_house(1);
    struct asked *q = stream("+20 200 p n g/30+5 p f u d end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_false(has(got(q), "usage"));
    assert_int_equal(times(got(q), "data: "), 4);
    assert_int_equal(times(got(q), ": ping"), 1);           /* the one before the first event does not count as an answer */
    assert_int_equal(q->end, LUN_CLEAN);
    assert_int_equal(q->done.usage.output, 3);
    assert_true(has(q->trailers, "x-lunette-cost: 0.00001\n"));
    assert_string_equal(header(q, "content-type"), "text/event-stream; charset=utf-8");
    assert_string_equal(header(q, "x-lunette-cost"), "");
}

TEST(usage_that_was_asked_for_is_shown)
{
    open_house(1);
    world_script(w, 'a', "200 e f u d end");
    struct asked *q = world_prepare(w, true);
    q->q.include_usage = true;
    world_ask(q);
    world_run(w);
    assert_int_equal(times(got(q), "\"usage\""), 1);
}

TEST(usage_of_a_provider_that_was_not_told_to_send_any_is_not_touched)
{
    house(1);
    w->provider[0].usage = false;
    world_open(w);
    struct asked *q = stream("200 e g f u d end", NULL, NULL);
    assert_int_equal(times(got(q), "\"usage\""), 2);
}

TEST(what_comes_after_a_complete_stream_does_no_harm)
{
    open_house(1);
    came(stream("200 e f x end", NULL, NULL), 200, "a=ok");
    w->n_scripts[0] = 0;
    struct asked *q = stream("200 e f d e b end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_int_equal(times(got(q), "data: "), 3);
}

TEST(done_is_added_where_a_complete_stream_lacks_it)
{
    open_house(1);
    struct asked *q = stream("200 e f u end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_int_equal(times(got(q), "data: [DONE]\n\n"), 1);
}

TEST(done_alone_completes_a_stream)
{
    open_house(1);
    struct asked *q = stream("200 e e d end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_int_equal(q->end, LUN_CLEAN);
    assert_int_equal(times(got(q), "data: [DONE]\n\n"), 1);
}

TEST(a_stream_is_complete_only_when_all_of_its_choices_have_finished)
{
    open_house(1);
    world_script(w, 'a', "200 e0 e1 f0 cut");
    struct asked *q = world_prepare(w, true);
    q->q.n = 2;
    world_ask(q);
    world_run(w);
    assert_int_equal(q->end, LUN_TORN);
    assert_string_equal(q->trials, "a=cut");
}

TEST(a_complete_stream_cannot_fail_any_more_neither_by_reset_nor_by_deadline_nor_by_clock)
{
    open_house(1);
    came(stream("200 e f reset", NULL, NULL), 200, "a=ok");
    w->script[0][0] = "200 e f d";                          /* and never ends: it has a second */
    struct asked *q = ask(w, true);
    world_run(w);
    came(q, 200, "a=ok");
    assert_int_equal(q->done.latency, LUN_SECOND);
    w->script[0][0] = "200 e f";
    q = world_prepare(w, true);
    q->q.deadline = q->deadline = w->loop.now + 500 * LUN_MS;
    world_ask(q);
    world_run(w);
    came(q, 200, "a=ok");
    assert_int_equal(q->done.latency, 500 * LUN_MS);
    assert_int_equal(q->end, LUN_CLEAN);
}

/* ---- streams that break ---- */

TEST(a_stream_cut_after_content_ends_torn_after_one_error_event_in_the_endpoints_form)
{
    open_house(2);
    const char *const ways[] = { "200 e e cut", "200 e e end", "200 e e reset", "200 e x", "200 e b e f d end", "200 e e" };
    const char *const kinds[] = { "a=cut", "a=cut", "a=reset", "a=server_error", "a=bad_answer", "a=idle_timeout" };
    for (int i = 0; i < 6; i++) {
        w->n_scripts[0] = 0;
        struct asked *q = stream(ways[i], NULL, NULL);
        came(q, 200, kinds[i]);
        assert_int_equal(q->end, LUN_TORN);
        assert_true(q->done.stream_torn);
        assert_int_equal(times(got(q), "data: {\"error\":{"), 1);
        assert_false(has(got(q), "[DONE]"));
        assert_string_equal(q->trailers, "");
        assert_string_equal(q->code, "upstream_failed");
        lun_health_end(target(w, 'a'), &(struct lun_report){ .kind = LUN_KIND_OK, .key = 0 }, (lun_health_begin(target(w, 'a'), w->loop.now, true), w->loop.now));
    }
    assert_int_equal(calls_to(w, 'b'), 0);
}

TEST(trouble_before_the_first_good_event_falls_over_to_the_next_step)
{
    const char *const ways[] = { "200 end", "200 p end", "200 d end", "200 b e f d end", "200 x", "200 q", "200 o", "200 cut", "reset", "200 html end", "200 type=text/html 200 html end",
                                 "type=application/json 200 w end", "type=application/json 200 j end", "200 j end" };
    const char *const kinds[] = { "bad_answer", "bad_answer", "bad_answer", "bad_answer", "server_error", "rate_limited", "overloaded", "cut", "reset", "bad_answer", "bad_answer",
                                  "bad_answer", "server_error", "server_error" };
    for (int i = 0; i < 14; i++) {
        char trials[64];
        open_house(2);
        struct asked *q = stream(ways[i], "200 e f d end", NULL);
        snprintf(trials, sizeof trials, "a=%s b=ok", kinds[i]);
        came(q, 200, trials);
        assert_int_equal(q->end, LUN_CLEAN);
        assert_true(q->done.fallback);
        close_house(NULL);
    }
}

TEST(an_error_whose_body_does_not_end_is_what_its_status_says)
{
    const char *const ways[] = { "429", "429 j", "503 {\"a" }, *const kinds[] = { "rate_limited", "rate_limited", "overloaded" };
    for (int i = 0; i < 6; i++) {
        char trials[64];
        open_house(2);
        snprintf(trials, sizeof trials, "a=%s b=ok", kinds[i / 2]);
        came(i % 2 ? stream(ways[i / 2], "200 e f d end", NULL) : whole(ways[i / 2], "200 w end", NULL), 200, trials);
        close_house(NULL);
    }
}

TEST(an_error_before_the_head_of_a_stream_is_an_ordinary_error_with_its_status)
{
    open_house(1);
    struct asked *q = stream("503 j end", NULL, NULL);
    came(q, 503, "a=overloaded");
    assert_string_equal(header(q, "content-type"), "application/json");
    assert_int_equal(q->end, LUN_CLEAN);
    assert_string_equal(header(q, "x-should-retry"), "true");
}

/* ---- falling over ---- */

TEST(each_failure_falls_over_in_the_order_of_the_plan_and_the_message_says_each)
{
    open_house(3);
    struct asked *q = whole("connect_refused", "+30 500 m:boom end", "200 {\"a end");
    came(q, 502, "a=connect_refused b=server_error c=bad_answer");
    assert_true(has(got(q), "a: connect_refused"));
    assert_true(has(got(q), "b: server_error (500), boom"));
    assert_true(has(got(q), "c: bad_answer"));
    assert_true(has(got(q), "\"code\":\"upstream_failed\""));
    assert_string_equal(header(q, "x-should-retry"), "false");
    assert_string_equal(header(q, "x-lunette-attempts"), "3");
    assert_int_equal(q->done.status, 502);
    assert_null(q->done.trial);
}

static struct lun_answer always(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)q, (void)t;
    return (struct lun_answer){ .verb = hook == LUN_HOOK_RETRY ? LUN_AGAIN : LUN_DEFAULT };
}

TEST(a_request_makes_no_more_attempts_than_allowed)
{
    house(1);
    w->snapshot->limits.attempts = 3;
    world_open(w);
    world_script(w, 'a', "500 j end");
    struct asked *q = world_prepare(w, false);
    q->answer = always;
    world_ask(q);
    world_run(w);
    came(q, 502, "a=server_error a=server_error a=server_error");
    assert_int_equal(q->n_hooks[LUN_HOOK_RETRY], 2);
}

TEST(status_400_stops_with_the_providers_own_words)
{
    open_house(2);
    struct asked *q = whole("400 m:temperature_must_be_a_number end", NULL, NULL);
    came(q, 400, "a=bad_request");
    assert_true(has(got(q), "temperature_must_be_a_number"));
    assert_true(has(got(q), "\"code\":\"invalid_request\""));
    assert_int_equal(calls_to(w, 'b'), 0);
}

static struct lun_answer twice_the_same(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)t;
    return hook == LUN_HOOK_SELECT ? (struct lun_answer){ .verb = LUN_PLAN, .plan = plan_of(q, "aab") } : (struct lun_answer){0};
}

TEST(what_a_target_would_say_again_is_asked_of_another_one_and_never_of_it_again)
{
    const char *const ways[] = { "404 j end", "400 c:context_length_exceeded end", "400 c:content_filter end", "413 j end" };
    const char *const kinds[] = { "not_found", "too_long", "filtered", "too_long" };
    for (int i = 0; i < 4; i++) {
        char trials[64];
        open_house(2);
        world_script(w, 'a', ways[i]);
        struct asked *q = world_prepare(w, false);
        q->answer = twice_the_same;
        world_ask(q);
        world_run(w);
        snprintf(trials, sizeof trials, "a=%s b=ok", kinds[i]);
        came(q, 200, trials);
        close_house(NULL);
    }
}

TEST(a_key_that_is_not_accepted_gives_way_to_the_next_key_of_its_provider_and_then_to_the_next_step)
{
    house(2);
    w->provider[0].n_keys = 2;
    world_open(w);
    world_script(w, 'a', "401 j end");
    world_script(w, 'a', "200 w end");
    struct asked *q = ask(w, false);
    world_run(w);
    came(q, 200, "a=auth a=ok");
    assert_int_equal(w->calls->key, 1);
    assert_false(q->done.fallback);
    q = whole("401 j end", NULL, NULL);                     /* 200 for the second key, once more */
    came(q, 200, "a=ok");
    w->n_scripts[0] = 0;
    q = whole("401 j end", NULL, NULL);                     /* now the second is out as well */
    came(q, 200, "a=auth b=ok");
    q = whole(NULL, NULL, NULL);
    came(q, 200, "b=ok");
    assert_true(lun_health_key_is_out(&w->provider[0], 0) && lun_health_key_is_out(&w->provider[0], 1));
}

TEST(with_every_key_out_nothing_is_sent_and_the_client_is_told_why)
{
    open_house(1);
    came(whole("401 j end", NULL, NULL), 502, "a=auth");
    struct asked *q = whole(NULL, NULL, NULL);
    assert_int_equal(calls_to(w, 'a'), 1);
    assert_int_equal(q->status, 502);
    assert_string_equal(q->trials, "a=auth");
}

TEST(a_provider_that_repeats_our_key_is_not_repeated)
{
    open_house(2);
    struct asked *q = whole("401 k end", "500 k end", NULL);
    came(q, 502, "a=auth b=server_error");
    assert_false(has(got(q), "secret"));
    assert_true(has(got(q), "you sent *"));
}

TEST(when_all_are_rate_limited_the_client_is_told_when_to_come_back)
{
    open_house(2);
    struct asked *q = whole("retry=30 429 j end", "retry=7 429 j end", NULL);
    came(q, 429, "a=rate_limited b=rate_limited");
    assert_string_equal(header(q, "retry-after"), "7");
    assert_string_equal(header(q, "x-should-retry"), "true");
}

TEST(a_target_that_said_when_to_come_back_is_not_asked_before)
{
    open_house(1);
    whole("retry=30 429 j end", NULL, NULL);
    struct asked *q = whole(NULL, NULL, NULL);
    assert_int_equal(calls_to(w, 'a'), 1);
    assert_int_equal(q->status, 429);
    assert_string_equal(header(q, "retry-after"), "30");
    w->n_scripts[0] = 0;
    w->loop.now += SECONDS(30);
    came(whole(NULL, NULL, NULL), 200, "a=ok");
}

TEST(where_a_wait_rests_the_whole_provider_its_other_targets_are_not_asked_either)
{
    house(2);
    w->target[1].provider = &w->provider[0];
    w->provider[0].health.cooling_provider = true;
    world_open(w);
    struct asked *q = whole("retry=30 429 j end", NULL, NULL);
    came(q, 429, "a=rate_limited b=skipped");
    assert_int_equal(w->n_calls, 1);
    assert_string_equal(header(q, "retry-after"), "30");
}

static struct lun_answer again(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)q, (void)t;
    return (struct lun_answer){ .verb = hook == LUN_HOOK_RETRY ? LUN_AGAIN : LUN_DEFAULT, .delay = SECONDS(0.5) };
}

TEST(again_is_obeyed_though_its_target_rests)
{
    open_house(1);
    world_script(w, 'a', "retry=30 429 j end");
    world_script(w, 'a', "200 w end");
    struct asked *q = world_prepare(w, false);
    q->answer = again;
    world_ask(q);
    world_run(w);
    came(q, 200, "a=rate_limited a=ok");
    assert_int_equal(q->done.latency, SECONDS(0.5));
}

TEST(a_resting_target_is_passed_over_while_another_can_serve_and_is_the_last_resort_when_its_circuit_is_only_our_guess)
{
    open_house(2);
    for (int i = 0; i < 5; i++) {
        lun_health_begin(target(w, 'a'), w->loop.now, true);
        lun_health_end(target(w, 'a'), &(struct lun_report){ .kind = LUN_KIND_SERVER_ERROR, .key = 0 }, w->loop.now);
    }
    came(whole(NULL, NULL, NULL), 200, "b=ok");
    w->n_scripts[1] = 0;
    came(whole(NULL, "retry=5 429 j end", NULL), 429, "b=rate_limited");
    struct asked *q = whole("200 w end", NULL, NULL);
    came(q, 200, "a=ok");
}

TEST(a_retry_that_the_retry_budget_does_not_allow_is_not_made_and_the_last_failure_is_the_answer)
{
    house(2);
    w->snapshot->limits.retries = 0.01;
    world_open(w);
    int denied = 0;
    for (int i = 0; i < 20; i++) {
        struct asked *q = whole(i ? NULL : "500 j end", NULL, NULL);
        if (q->status == 502) denied++;
        lun_health_end(target(w, 'a'), &(struct lun_report){ .kind = LUN_KIND_OK, .key = 0 }, (lun_health_begin(target(w, 'a'), w->loop.now, true), w->loop.now));
    }
    assert_int_equal(denied, 10);
    assert_int_equal((int)metric(LUN_METRIC_RETRIES_DENIED, NULL), 10);
}

TEST(an_answer_larger_than_the_limit_is_refused)
{
    house(2);
    w->snapshot->limits.answer = 50;
    world_open(w);
    world_script(w, 'a', "200 w end");
    w->snapshot->limits.answer = 50;
    struct asked *q = ask(w, false);
    world_run(w);
    came(q, 502, "a=bad_answer b=bad_answer");
    assert_true(has(got(q), "limits.answer"));
}

TEST(a_whole_answer_that_a_filter_emptied_is_an_answer)
{
    open_house(2);
    came(whole("200 wf end", NULL, NULL), 200, "a=ok");
}

/* ---- clocks ---- */

TEST(first_byte_runs_to_the_first_good_event_and_pings_do_not_stop_it)
{
    open_house(2);
    struct asked *q = stream("+10 200 +3000 p +3000 p +3000 p", NULL, NULL);
    came(q, 200, "a=first_byte_timeout b=ok");
    assert_int_equal(q->done.latency, SECONDS(8.01));
}

TEST(first_byte_of_a_whole_answer_is_its_head_and_idle_runs_after_it)
{
    open_house(2);
    struct asked *q = whole("+7900 200 +29000 {\"a +29000 ", NULL, NULL);
    came(q, 200, "a=idle_timeout b=ok");
    assert_int_equal(q->done.latency, SECONDS(7.9 + 29 + 30 + 0.01));
}

TEST(total_bounds_an_attempt_that_never_falls_silent)
{
    house(2);
    w->step.total = SECONDS(10);
    world_open(w);
    came(whole("+4000 200 +4000 {\"a +4000 b", NULL, NULL), 200, "a=total_timeout b=ok");
}

TEST(idle_and_total_stand_still_while_we_hold_the_stream_and_the_deadline_does_not)
{
    house(1);
    w->step.total = SECONDS(10);
    w->step.idle = SECONDS(2);
    world_open(w);
    world_script(w, 'a', "200 e +1000 e f d end");
    struct asked *q = ask(w, true);
    world_until(w, 0);
    pause_client(q, true);
    world_until(w, SECONDS(100));
    pause_client(q, false);
    world_run(w);
    came(q, 200, "a=ok");
    assert_int_equal(q->end, LUN_CLEAN);
    q = world_prepare(w, true);
    q->q.deadline = q->deadline = w->loop.now + SECONDS(5);
    world_ask(q);
    world_settle(w);
    pause_client(q, true);
    world_run(w);
    assert_int_equal(q->done.latency, SECONDS(5));
    assert_int_equal(q->end, LUN_TORN);
    assert_string_equal(q->code, "deadline_exceeded");
}

TEST(bytes_and_the_end_that_come_together_are_read_in_their_order)
{
    open_house(1);
    struct asked *q = stream("200 e +10 e f u d end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_int_equal(times(got(q), "data: "), 4);
}

TEST(the_deadline_stands_over_everything_and_is_504_while_no_head_is_out)
{
    open_house(2);
    world_script(w, 'a', "connect_refused");
    world_script(w, 'b', "+5000 200 w end");
    struct asked *q = world_prepare(w, false);
    q->q.deadline = q->deadline = w->loop.now + SECONDS(2);
    world_ask(q);
    world_run(w);
    came(q, 504, "a=connect_refused b=cancelled");
    assert_int_equal(q->done.latency, SECONDS(2));
    assert_true(has(got(q), "a: connect_refused"));
    assert_string_equal(header(q, "x-should-retry"), "false");
}

TEST(after_seconds_of_silence_a_stream_gets_a_head_and_a_comment_line_and_falling_over_goes_on)
{
    house(3);
    w->snapshot->keepalive = SECONDS(15);
    w->step.first_byte = SECONDS(20);
    world_open(w);
    struct asked *q = stream("+10 200", "+10 200 +12000 e f d end", NULL);
    came(q, 200, "a=first_byte_timeout b=ok");
    assert_int_equal(q->comments, 2);
    assert_int_equal(strncmp(got(q), ":\n:\ndata: ", 10), 0);
    assert_string_equal(header(q, "x-lunette-target"), "");
    assert_true(has(q->trailers, "x-lunette-target: b\n"));
    assert_int_equal(q->end, LUN_CLEAN);
}

TEST(after_a_keep_alive_head_any_refusal_is_an_error_event_and_a_torn_end)
{
    house(1);
    w->snapshot->keepalive = SECONDS(1);
    world_open(w);
    struct asked *q = stream("+2500 400 m:no_such_thing end", NULL, NULL);
    came(q, 200, "a=bad_request");
    assert_int_equal(q->comments, 2);
    assert_int_equal(q->end, LUN_TORN);
    assert_true(has(got(q), "no_such_thing"));
}

TEST(without_keepalive_nothing_is_said_before_an_answer)
{
    house(1);
    w->snapshot->keepalive = 0;
    w->step.first_byte = SECONDS(100);
    world_open(w);
    struct asked *q = stream("+90000 200 e f d end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_int_equal(q->comments, 0);
}

TEST(a_client_that_leaves_closes_the_provider_at_once)
{
    open_house(1);
    world_script(w, 'a', "200 e +1000 e");
    struct asked *q = ask(w, true);
    world_until(w, SECONDS(0.5));
    leave(q);
    world_settle(w);
    assert_true(w->calls->closed);
    assert_true(q->over);
    assert_int_equal(q->done.status, 499);
    assert_string_equal(q->trials, "a=cancelled");
    assert_int_equal((int)health('a').failures, 0);
}

TEST(who_is_cut_is_told_so_at_once_and_has_not_left)
{
    open_house(1);
    world_script(w, 'a', "+5000 200 w end");
    world_script(w, 'a', "200 e +5000 e");
    struct asked *one = ask(w, false), *two = ask(w, true);
    world_until(w, SECONDS(0.5));
    cut(one), cut(two);
    world_settle(w);
    came(one, 503, "a=cancelled");
    assert_int_equal(one->ended_at, one->cut_at);
    assert_true(has(got(one), "stopped"));
    assert_int_equal(two->done.status, 200);
    assert_int_equal(two->end, LUN_TORN);
    assert_string_equal(two->done.code, "overloaded");
}

TEST(a_provider_has_one_second_after_done_to_end_so_that_its_connection_lives)
{
    open_house(1);
    came(stream("200 e f d +900 end", NULL, NULL), 200, "a=ok");
    assert_true(w->calls->ended);
    came(stream(NULL, NULL, NULL), 200, "a=ok");
}

/* ---- hedges ---- */

TEST(a_step_that_is_slow_gets_company_the_first_good_event_wins_and_the_loser_is_no_failure)
{
    house(2);
    w->step.hedge_after = SECONDS(1);
    world_open(w);
    struct asked *q = stream("+3000 200 e f d end", "+500 200 e f d end", NULL);
    came(q, 200, "a=cancelled b=ok");
    assert_int_equal(q->done.latency, SECONDS(1.5));
    assert_int_equal((int)health('a').failures, 0);
    assert_int_equal(q->n_hooks[LUN_HOOK_RETRY], 0);
}

TEST(never_more_than_two_are_in_flight_and_a_companion_that_fails_is_not_replaced)
{
    house(4);
    w->step.hedge_after = SECONDS(1);
    world_open(w);
    struct asked *q = stream("+3000 200 e f d end", "500 j end", NULL);
    came(q, 200, "a=ok b=server_error");
    assert_int_equal(calls_to(w, 'c'), 0);
}

TEST(a_hedge_is_not_begun_where_both_holds_do_not_fit_and_its_step_is_left_for_later)
{
    house(2);
    w->step.hedge_after = SECONDS(1);
    world_open(w);
    world_script(w, 'a', "+3000 429 j end");
    struct asked *q = world_prepare(w, true);
    int64_t bound = lun_question_bound(&q->q, target(w, 'a'), NULL, NULL);
    lun_account_get(w->registry->money, "key app", &(struct lun_budget_rule){ .limit = bound * 3 / 2 });
    world_ask(q);
    world_run(w);
    came(q, 200, "a=rate_limited b=skipped b=ok");
    assert_int_equal(q->done.latency, SECONDS(3.01));
}

TEST(hedges_have_a_budget_of_their_own)
{
    house(2);
    w->step.hedge_after = SECONDS(1);
    w->snapshot->limits.hedges = 0.01;
    world_open(w);
    world_script(w, 'a', "+1500 200 w end");
    for (int i = 0; i < 20; i++) ask(w, false);
    world_run(w);
    assert_int_equal(calls_to(w, 'a'), 20);
    assert_int_equal(calls_to(w, 'b'), 10);
}

static struct lun_answer not_a(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)q;
    return (struct lun_answer){ .verb = hook == LUN_HOOK_JUDGE && !strcmp(t->target->name, "b") ? LUN_NEXT : LUN_DEFAULT };
}

TEST(of_whole_answers_the_first_that_judge_finds_good_wins)
{
    house(2);
    w->step.hedge_after = SECONDS(1);
    world_open(w);
    world_script(w, 'a', "+3000 200 w end");
    struct asked *q = world_prepare(w, false);
    q->answer = not_a;
    world_ask(q);
    world_run(w);
    came(q, 200, "a=ok b=ok");
    assert_int_equal(q->n_hooks[LUN_HOOK_JUDGE], 2);
    assert_int_equal(q->done.latency, SECONDS(3));
}

/* ---- turns ---- */

TEST(a_step_waits_its_turn_and_goes_when_its_slot_comes)
{
    house(1);
    w->target[0].requests_per_minute = 1;
    world_open(w);
    came(whole(NULL, NULL, NULL), 200, "a=ok");
    struct asked *q = whole(NULL, NULL, NULL);
    came(q, 200, "a=ok");
    assert_int_equal(q->done.latency, SECONDS(60));         /* asked 10 ms in, and answered in 10 ms */
}

TEST(a_step_whose_turn_would_come_too_late_is_given_up_at_once)
{
    house(2);
    w->target[0].requests_per_minute = 1;
    w->step.wait = SECONDS(5);
    world_open(w);
    came(whole(NULL, NULL, NULL), 200, "a=ok");
    struct asked *q = whole(NULL, NULL, NULL);
    came(q, 200, "a=pool_full b=ok");
    assert_int_equal(q->done.latency, 10 * LUN_MS);
}

TEST(a_turn_that_moves_up_is_noticed_at_once)
{
    house(1);
    w->target[0].requests_per_minute = 1;
    world_open(w);
    whole(NULL, NULL, NULL);
    struct asked *first = ask(w, false), *second = ask(w, false);
    world_until(w, SECONDS(1));
    leave(first);
    world_run(w);
    came(second, 200, "a=ok");
    assert_true(second->done.latency <= SECONDS(60));
}

TEST(a_turn_is_given_back_when_the_step_does_not_fit_the_budget)
{
    house(1);
    w->target[0].requests_per_minute = 1;
    w->client.budget.limit = 1;
    world_open(w);
    assert_int_equal(whole(NULL, NULL, NULL)->status, 402);
    struct asked *q = world_prepare(w, false);
    q->q.client = NULL;
    world_ask(q);
    world_run(w);
    came(q, 200, "a=ok");
    assert_int_equal(q->done.latency, 10 * LUN_MS);
    q->cost = 0;
}

/* ---- money that has to be drawn first ---- */

static void open_books(int targets, lun_us in)
{
    w = world_new(targets);
    w->client.budget.limit = USD(1);
    w->books_in = in;
    world_open(w);
    world_keep_books(w);
}

TEST(money_that_is_drawn_first_is_waited_for_and_the_wait_is_our_own_not_a_queues)
{
    open_books(1, 30 * LUN_MS);
    struct asked *q = whole("+20 200 +5 w end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_int_equal(q->done.waited, 0);
    assert_true(q->done.latency - q->done.upstream_wait >= 30 * LUN_MS);
    assert_true(q->done.latency < 200 * LUN_MS);
    q = whole("+20 200 +5 w end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_true(q->done.latency == 25 * LUN_MS);        /* the next one finds it there */
}

TEST(money_that_does_not_come_is_waited_for_a_second_over_all_steps_and_then_it_is_503)
{
    open_books(2, LUN_NEVER);
    struct asked *q = whole("200 w end", "200 w end", NULL);
    came(q, 503, "a=skipped b=skipped");
    assert_string_equal(q->code, "overloaded");
    assert_true(has(got(q), "under a hard limit"));
    assert_string_equal(header(q, "retry-after"), "1");
    assert_true(q->done.latency >= LUN_SECOND && q->done.latency < LUN_SECOND + 100 * LUN_MS);
    assert_int_equal(calls_to(w, 'a') + calls_to(w, 'b'), 0);
}

TEST(a_ledger_that_cannot_be_written_refuses_what_is_limited_at_once_with_the_reason)
{
    open_books(1, 10 * LUN_MS);
    came(whole("200 w end", NULL, NULL), 200, "a=ok");
    lun_draw_close(w->registry->money, "the disk is full");
    struct asked *q = whole("200 w end", NULL, NULL);
    came(q, 503, "a=skipped");
    assert_true(has(got(q), "the disk is full"));
    assert_true(q->done.latency == 0);
    lun_draw_close(w->registry->money, NULL);
    came(whole("200 w end", NULL, NULL), 200, "a=ok");
}

TEST(a_client_that_leaves_while_money_is_waited_for_leaves_no_hold_and_gives_its_turn_back)
{
    w = world_new(1);
    w->client.budget.limit = USD(1);
    w->books_in = 300 * LUN_MS;
    w->target[0].requests_per_minute = 1;
    world_open(w);
    world_keep_books(w);
    world_script(w, 'a', "200 w end");
    struct asked *first = ask(w, false);
    world_until(w, 100 * LUN_MS);
    leave(first);
    world_run(w);
    assert_int_equal(held(w), 0);
    came(whole("200 w end", NULL, NULL), 200, "a=ok");   /* its turn was not used up */
}

TEST(a_providers_own_word_on_what_is_left_holds_the_next_one_back)
{
    house(2);
    w->target[0].requests_per_minute = 100;
    w->step.wait = SECONDS(1);
    world_open(w);
    came(whole("left=0 200 w end", NULL, NULL), 200, "a=ok");
    came(whole(NULL, NULL, NULL), 200, "a=pool_full b=ok");
}

/* ---- money ---- */

TEST(a_step_whose_hold_does_not_fit_is_skipped_and_when_none_fits_the_client_is_told_which_budget_and_what_is_left)
{
    house(2);
    w->client.budget = (struct lun_budget_rule){ .limit = USD(0.0000001), .per = LUN_PER_DAY };
    world_open(w);
    struct asked *q = whole(NULL, NULL, NULL);
    came(q, 402, "a=skipped b=skipped");
    assert_int_equal(q->n_trials, 0);
    assert_int_equal(q->n_hooks[LUN_HOOK_RETRY], 0);
    assert_int_equal(w->n_calls, 0);
    assert_true(has(got(q), "\"budget\":\"key app\""));
    assert_true(has(got(q), "\"left\":0.0000001"));
    assert_true(has(got(q), "\"resets_at\":\"20"));
    assert_true(has(got(q), "budget \\\"key app\\\" has 0.0000001 USD left of 0.0000001"));
    assert_string_equal(header(q, "x-should-retry"), "false");
}

TEST(a_cheaper_step_serves_where_the_dearer_does_not_fit)
{
    house(2);
    w->client.budget.limit = USD(0.001);
    w->target[0].price.output = 1000 * LUN_NANO_PER_USD;
    world_open(w);
    came(whole(NULL, NULL, NULL), 200, "a=skipped b=ok");
}

TEST(a_target_without_a_price_is_not_used_under_a_hard_limit)
{
    house(1);
    w->target[0].price = lun_price_unknown;
    w->client.budget.limit = USD(100);
    world_open(w);
    struct asked *q = whole(NULL, NULL, NULL);
    came(q, 402, "a=skipped");
    assert_true(has(got(q), "is not known"));
}

TEST(without_a_limit_a_target_without_a_price_serves)
{
    house(1);
    w->target[0].price = lun_price_unknown;
    world_open(w);
    came(whole(NULL, NULL, NULL), 200, "a=ok");
}

TEST(a_hold_is_settled_at_what_was_used_released_where_nothing_was_billed_and_charged_in_full_where_nobody_knows)
{
    house(3);
    w->client.budget.limit = USD(1);
    world_open(w);
    struct asked *q = world_prepare(w, false);
    int64_t bound = lun_question_bound(&q->q, target(w, 'b'), NULL, NULL);
    world_script(w, 'a', "connect_refused");
    world_script(w, 'b', "500 j end");
    world_ask(q);
    world_run(w);
    came(q, 200, "a=connect_refused b=server_error c=ok");
    assert_int_equal(budget_view().held, 0);
    assert_int_equal(q->done.cost, bound + 4 * 1000 + 3 * 2000);
    assert_int_equal(budget_view().used, q->done.cost);
    w->n_scripts[0] = 0;
    q = whole("200 w- end", NULL, NULL);
    assert_int_equal(q->done.cost, bound);
}

TEST(what_was_streamed_before_an_error_that_costs_nothing_by_itself_costs_its_hold)
{
    house(1);
    w->client.budget.limit = USD(1);
    world_open(w);
    struct asked *q = world_prepare(w, true);
    int64_t bound = lun_question_bound(&q->q, target(w, 'a'), NULL, NULL);
    world_script(w, 'a', "200 e o");
    world_ask(q);
    world_run(w);
    came(q, 200, "a=overloaded");
    assert_true(bound > 0);
    assert_int_equal(q->done.cost, bound);
    w->n_scripts[0] = 0;
    q = stream("200 o", NULL, NULL);                        /* it had not begun */
    came(q, 503, "a=overloaded");
    assert_int_equal(q->done.cost, 0);
}

TEST(where_nothing_is_limited_an_answer_without_usage_costs_what_it_seems_to)
{
    open_house(1);
    struct asked *q = whole("200 w- end", NULL, NULL);
    came(q, 200, "a=ok");
    assert_true(q->done.usage.estimated);
    assert_int_equal(q->done.usage.output, 2);              /* hello: 5 bytes */
    assert_true(q->done.cost > 0);
    w->n_scripts[0] = 0;
    q = whole("500 j end", NULL, NULL);
    assert_int_equal(q->done.cost, 0);
}

TEST(usage_that_came_but_was_not_read_when_the_client_left_is_charged)
{
    house(1);
    w->client.budget.limit = USD(1);
    world_open(w);
    world_script(w, 'a', "200 e e +10 f u");
    struct asked *q = ask(w, true);
    world_until(w, 0);
    lun_loop_advance(&w->loop);
    while (lun_loop_fire(&w->loop)) { }                     /* it comes, and before anybody looks … */
    leave(q);
    world_run(w);
    assert_int_equal(budget_view().used, 4 * 1000 + 3 * 2000);
}

TEST(a_request_without_max_tokens_is_capped_in_its_body_only_under_a_hard_limit)
{
    house(1);
    world_open(w);
    struct asked *q = world_prepare(w, true);
    q->q.max_tokens = -1;
    world_ask(q);
    world_settle(w);
    assert_int_equal(w->calls->a->asked.cap, -1);
    world_run(w);
    close_house(NULL);
    house(1);
    w->client.budget.limit = USD(1);
    world_open(w);
    q = world_prepare(w, true);
    q->q.max_tokens = -1;
    world_ask(q);
    world_settle(w);
    assert_int_equal(w->calls->a->asked.cap, 16384);
    world_run(w);
}

/* ---- policies ---- */

static const char *script_of_answers;       /* for retry: a(gain) n(ext) s(top) t(ry b), one letter an answer */

static struct lun_answer by_letter(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)t;
    if (hook == LUN_HOOK_SELECT) return (struct lun_answer){ .verb = LUN_PLAN, .plan = plan_of(q, "ac") };
    if (hook != LUN_HOOK_RETRY) return (struct lun_answer){0};
    switch (*script_of_answers++) {
    case 'a': return (struct lun_answer){ .verb = LUN_AGAIN, .delay = SECONDS(1) };
    case 'n': return (struct lun_answer){ .verb = LUN_NEXT };
    case 's': return (struct lun_answer){ .verb = LUN_STOP };
    case 't': return (struct lun_answer){ .verb = LUN_TRY, .delay = SECONDS(2), .step = plan_of(q, "b").steps[0] };
    default: return (struct lun_answer){0};
    }
}

static struct asked *answers(const char *letters, const char *a)
{
    open_house(3);
    script_of_answers = letters;
    world_script(w, 'a', a);
    struct asked *q = world_prepare(w, false);
    q->answer = by_letter;
    world_ask(q);
    world_run(w);
    return q;
}

TEST(retry_again_repeats_the_step_after_its_delay)
{
    struct asked *q = answers("aa", "500 j end");
    assert_string_equal(q->trials, "a=server_error a=server_error a=server_error c=ok");
    assert_int_equal(q->done.latency, SECONDS(2.01));
}
TEST(retry_next_goes_on_even_after_a_failure_that_would_stop) { came(answers("n", "400 j end"), 200, "a=bad_request c=ok"); }
TEST(retry_stop_stops)                                        { came(answers("s", "connect_refused"), 502, "a=connect_refused"); }
TEST(retry_try_asks_a_target_that_is_not_in_the_plan_and_then_the_plan_goes_on)
{
    struct asked *q = answers("t", "500 j end");
    came(q, 200, "a=server_error b=ok");
    assert_true(q->done.fallback);
    assert_int_equal(q->done.latency, SECONDS(2.01));
}

static struct lun_answer judging(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)q;
    if (hook != LUN_HOOK_JUDGE) return (struct lun_answer){0};
    if (!strcmp(t->target->name, "a")) return (struct lun_answer){ .verb = LUN_NEXT };
    return (struct lun_answer){ .verb = q->n_hooks[LUN_HOOK_JUDGE] == 2 && q->name ? LUN_REFUSE : LUN_DEFAULT, .status = 502, .message = "not good enough" };
}

TEST(judge_next_goes_on_and_what_it_rejected_is_no_failure_of_its_target)
{
    open_house(2);
    struct asked *q = world_prepare(w, false);
    q->answer = judging;
    world_ask(q);
    world_run(w);
    came(q, 200, "a=ok b=ok");
    assert_int_equal((int)health('a').failures, 0);
    assert_int_equal(q->n_hooks[LUN_HOOK_RETRY], 0);
    assert_true(has(got(q), "c2"));
}

TEST(judge_refuse_is_an_error_of_its_own)
{
    open_house(2);
    struct asked *q = world_prepare(w, false);
    q->answer = judging;
    q->name = "refuse";
    world_ask(q);
    world_run(w);
    came(q, 502, "a=ok b=ok");
    assert_true(has(got(q), "not good enough"));
}

TEST(streams_are_not_judged)
{
    open_house(1);
    struct asked *q = stream(NULL, NULL, NULL);
    assert_int_equal(q->n_hooks[LUN_HOOK_JUDGE], 0);
}

static struct lun_answer refuse(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)t;
    return (struct lun_answer){ .verb = hook == LUN_HOOK_BUDGET ? LUN_REFUSE : LUN_DEFAULT, .status = q->name ? 429 : 0, .message = "come back tomorrow" };
}

TEST(budget_refuse_is_402_or_what_it_says)
{
    open_house(1);
    for (int i = 0; i < 2; i++) {
        struct asked *q = world_prepare(w, false);
        q->answer = refuse;
        q->name = i ? "429" : NULL;
        world_ask(q);
        world_run(w);
        came(q, i ? 429 : 402, "");
        assert_true(has(got(q), "come back tomorrow"));
    }
    assert_int_equal(w->n_calls, 0);
}

static struct lun_answer degrade(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)t;
    if (hook == LUN_HOOK_SELECT) return (struct lun_answer){ .verb = LUN_PLAN };        /* an empty plan is the default plan */
    if (hook != LUN_HOOK_BUDGET) return (struct lun_answer){0};
    const struct lun_target **only = lun_arena_alloc(q->q.arena, 2 * sizeof *only);
    only[0] = target(q->w, 'c');
    return (struct lun_answer){ .verb = LUN_DEGRADE, .targets = only, .n_targets = 1 };
}

TEST(budget_degrade_leaves_only_those_targets_for_the_default_plan)
{
    open_house(3);
    struct asked *q = world_prepare(w, false);
    q->answer = degrade;
    world_ask(q);
    world_run(w);
    came(q, 200, "c=ok");
    assert_int_equal((int)metric(LUN_METRIC_PLAN_EMPTY, NULL), 1);
}

static struct lun_answer refuse_at(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)t;
    return (struct lun_answer){ .verb = !strcmp(lun_hook_name(hook), q->name) ? LUN_REFUSE : LUN_DEFAULT, .status = 403, .message = "not here" };
}

TEST(classify_and_select_may_refuse_too)
{
    open_house(1);
    for (int i = 0; i < 2; i++) {
        struct asked *q = world_prepare(w, true);
        q->answer = refuse_at;
        q->name = i ? "select" : "classify";
        world_ask(q);
        world_run(w);
        came(q, 403, "");
        assert_true(has(got(q), "not here"));
    }
}

static struct lun_answer degrade_to_nothing(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)q, (void)t;
    return (struct lun_answer){ .verb = hook == LUN_HOOK_BUDGET ? LUN_DEGRADE : LUN_DEFAULT };
}

TEST(budget_degrade_to_what_is_not_there_is_a_refusal)
{
    open_house(1);
    struct asked *q = world_prepare(w, true);
    q->answer = degrade_to_nothing;
    world_ask(q);
    world_run(w);
    came(q, 402, "");
}

static struct lun_answer label(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    static const char *labels[] = { "long", "code" };
    (void)q, (void)t;
    return (struct lun_answer){ .labels = labels, .n_labels = hook == LUN_HOOK_CLASSIFY ? 2 : 0 };
}

static struct lun_answer c_then_a(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)t;
    if (hook != LUN_HOOK_SELECT) return (struct lun_answer){0};
    return (struct lun_answer){ .verb = LUN_PLAN, .plan = plan_of(q, "ca") };
}

static struct lun_answer no_money(struct asked *q, enum lun_hook hook, const struct lun_trial *t)
{
    (void)q, (void)t;
    if (hook != LUN_HOOK_BUDGET) return (struct lun_answer){0};
    return (struct lun_answer){ .verb = LUN_REFUSE, .message = "Enough for today." };
}

TEST(labels_of_classify_are_told)
{
    open_house(1);
    struct asked *q = world_prepare(w, false);
    q->answer = label;
    world_ask(q);
    world_run(w);
    assert_string_equal(header(q, "x-lunette-labels"), "long,code");
}

TEST(a_pinned_request_never_falls_over)
{
    open_house(2);
    world_script(w, 'a', "503 j end");
    struct asked *q = world_prepare(w, false);
    q->q.pinned = "resp_1";
    world_ask(q);
    world_run(w);
    came(q, 503, "a=overloaded");
    assert_int_equal(calls_to(w, 'b'), 0);
}

TEST(a_hook_that_waits_keeps_the_deadline_and_is_dropped_at_it)
{
    open_house(1);
    struct asked *q = world_prepare(w, false);
    q->silent[LUN_HOOK_SELECT] = true;
    q->q.deadline = q->deadline = w->loop.now + SECONDS(3);
    world_ask(q);
    world_run(w);
    came(q, 504, "");
    assert_int_equal(q->done.latency, SECONDS(3));
}

TEST(finish_has_ten_seconds_after_the_client_was_told_the_end)
{
    open_house(1);
    struct asked *q = world_prepare(w, false);
    q->silent[LUN_HOOK_FINISH] = true;
    world_ask(q);
    world_until(w, SECONDS(10));
    assert_true(q->ended && !q->over);
    world_until(w, SECONDS(10.01));
    assert_true(q->over);
}

/* ---- deciding only ---- */

static struct asked *decide(struct asked *q)
{
    q->decide_only = true;
    world_ask(q);
    world_run(w);
    assert_true(q->over && q->ended);
    assert_string_equal(q->trials, "");
    assert_int_equal(w->n_calls, 0);
    return q;
}

TEST(what_is_only_decided_ends_with_its_plan_and_sends_nothing)
{
    open_house(2);
    struct asked *q = decide(world_prepare(w, true));
    assert_int_equal(q->heads, 0);
    assert_int_equal(q->end, LUN_CLEAN);
    assert_int_equal(q->done.status, 200);
    assert_int_equal(q->got.n, 0);
    assert_int_equal(strlen(q->planned), 2);
    assert_int_equal(held(w), 0);
}

TEST(what_is_only_decided_runs_classify_budget_select_and_finish)
{
    open_house(3);
    struct asked *q = world_prepare(w, false);
    q->answer = c_then_a;
    decide(q);
    assert_string_equal(q->planned, "ca");
    for (int h = 0; h < LUN_HOOK_COUNT; h++) assert_int_equal(q->n_hooks[h], h != LUN_HOOK_JUDGE && h != LUN_HOOK_RETRY);
}

TEST(what_is_only_decided_can_be_refused_by_a_hook)
{
    open_house(1);
    struct asked *q = world_prepare(w, false);
    q->answer = no_money;
    decide(q);
    assert_int_equal(q->status, 402);
    assert_string_equal(q->code, "budget_exceeded");
    assert_string_equal(q->message, "Enough for today.");
    assert_string_equal(q->planned, "");
}

TEST(what_is_only_decided_needs_no_budget_left_and_no_turn)
{
    house(1);
    w->client.budget.limit = 1;
    w->target[0].requests_per_minute = 1;
    world_open(w);
    assert_string_equal(decide(world_prepare(w, false))->planned, "a");
    assert_string_equal(decide(world_prepare(w, false))->planned, "a");
}

TEST(what_is_only_decided_says_no_keep_alive_while_a_hook_waits)
{
    open_house(1);
    struct asked *q = world_prepare(w, true);
    q->silent[LUN_HOOK_SELECT] = true;
    q->q.deadline = w->loop.now + SECONDS(60);
    decide(q);
    assert_int_equal(q->comments, 0);
    assert_int_equal(q->status, 504);
}

TEST(what_is_only_decided_adds_nothing_to_the_retry_budget)
{
    open_house(1);
    for (int i = 0; i < 100; i++) decide(world_prepare(w, false));
    int taken = 0;
    while (lun_quota_take(w->registry->retries, 0.2, w->loop.now)) taken++;
    assert_int_equal(taken, 10);                            /* the least there is; of 100 requests it would be 20 */
}

TEST(who_only_wanted_a_decision_can_leave_while_a_hook_waits)
{
    open_house(1);
    struct asked *q = world_prepare(w, false);
    q->decide_only = q->silent[LUN_HOOK_CLASSIFY] = true;
    world_ask(q);
    world_until(w, SECONDS(1));
    leave(q);
    world_run(w);
    assert_true(q->over && !q->ended);
    assert_int_equal(q->done.status, 499);
}

TEST(a_chain_of_skipped_and_failed_steps_is_told_in_the_order_they_began)
{
    house(3);
    w->client.budget.limit = USD(0.001);
    w->target[1].price.output = 1000 * LUN_NANO_PER_USD;
    world_open(w);
    struct asked *q = whole("connect_refused", NULL, "connect_refused");
    came(q, 502, "a=connect_refused b=skipped c=connect_refused");
    assert_int_equal(q->n_trials, 2);
    assert_string_equal(header(q, "x-lunette-attempts"), "2");
}

/* ---- the response cache ---- */

static void cached_house(void)
{
    house(1);
    w->snapshot->cache = (struct lun_cache_rules){ .size = 1 << 20, .ttl = SECONDS(60), .answer = 1 << 16 };
}

static struct asked *meanwhile(bool as_stream)
{
    struct asked *q = ask(w, as_stream);
    world_settle(w);
    return q;
}

static void is_cached(struct asked *q, enum lun_cache_result result)
{
    assert_true(q->over);
    assert_int_equal(q->done.cache, result);
    assert_int_equal(q->status, 200);
}

TEST(a_hit_asks_holds_and_waits_for_nothing)
{
    cached_house();
    w->target[0].requests_per_minute = 1;
    w->client.budget.limit = USD(0.0009);               /* one answer is all that can be held */
    world_open(w);
    struct asked *first = whole("+20 200 w end", NULL, NULL);
    is_cached(first, LUN_CACHE_MISS);
    int64_t used = budget_view().used;
    struct asked *second = meanwhile(false);
    is_cached(second, LUN_CACHE_HIT);
    assert_string_equal(got(second), got(first));
    assert_string_equal(header(second, "x-lunette-cache"), "hit");
    assert_string_equal(header(second, "x-lunette-target"), "a");
    assert_string_equal(header(second, "x-lunette-attempts"), "0");
    assert_string_equal(header(second, "x-lunette-cost"), "0");
    assert_string_equal(header(second, "x-request-id"), "req_upstream");
    assert_int_equal(second->n_hooks[LUN_HOOK_BUDGET], 1);
    assert_int_equal(second->n_hooks[LUN_HOOK_SELECT], 0);
    assert_int_equal(second->n_hooks[LUN_HOOK_JUDGE], 0);
    assert_int_equal(budget_view().used, used);
    assert_int_equal(w->n_calls, 1);
}

TEST(an_equal_request_waits_for_the_first_ones_answer)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+500 200 +500 e e f u d end");
    struct asked *first = ask(w, true), *second = meanwhile(true), *third = meanwhile(false);
    world_run(w);
    is_cached(first, LUN_CACHE_MISS);
    is_cached(second, LUN_CACHE_SHARED);
    is_cached(third, LUN_CACHE_SHARED);
    assert_string_equal(got(second), got(first));
    assert_true(has(got(third), "\"content\":\"012\"") && has(got(third), "\"total_tokens\":7"));
    assert_int_equal(second->done.upstream_wait, SECONDS(1));
    assert_int_equal(second->cost + third->cost, 0);
    assert_int_equal(w->n_calls, 1);
}

TEST(when_the_first_ones_client_leaves_the_next_one_asks)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+500 200 w end");
    struct asked *first = ask(w, false), *second = meanwhile(false), *third = meanwhile(false);
    world_until(w, SECONDS(0.2));
    leave(first);
    world_run(w);
    is_cached(second, LUN_CACHE_MISS);
    is_cached(third, LUN_CACHE_SHARED);
    assert_int_equal(w->n_calls, 2);
    assert_int_equal(second->done.latency, SECONDS(0.7));
}

TEST(who_waits_may_leave_and_is_not_waited_for)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+500 200 w end");
    struct asked *first = ask(w, false), *second = meanwhile(false);
    leave(second);
    world_run(w);
    is_cached(first, LUN_CACHE_MISS);
    assert_int_equal(second->done.status, 499);
    assert_int_equal(w->n_calls, 1);
}

TEST(who_waits_has_his_own_deadline)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+5000 200 w end");
    struct asked *first = ask(w, false), *second = world_prepare(w, false);
    second->q.deadline = w->loop.now + SECONDS(1);
    world_ask(second);
    world_until(w, SECONDS(1));
    assert_int_equal(second->status, 504);
    assert_int_equal(second->done.latency, SECONDS(1));
    world_run(w);
    is_cached(first, LUN_CACHE_MISS);
}

TEST(when_the_first_one_fails_who_waits_asks)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+100 400 j end");
    world_script(w, 'a', "+100 200 w end");
    struct asked *first = ask(w, false), *second = meanwhile(false), *third = meanwhile(false);
    world_run(w);
    assert_int_equal(first->status, 400);
    is_cached(second, LUN_CACHE_MISS);
    is_cached(third, LUN_CACHE_SHARED);
    assert_int_equal(w->n_calls, 2);
}

TEST(a_stream_that_breaks_is_nobodys_answer)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+100 200 e cut");
    world_script(w, 'a', "+100 200 e f u d end");
    struct asked *first = ask(w, true), *second = meanwhile(true);
    world_run(w);
    assert_int_equal(first->end, LUN_TORN);
    is_cached(second, LUN_CACHE_MISS);
    assert_int_equal(meanwhile(true)->done.cache, LUN_CACHE_HIT);
    assert_int_equal(w->n_calls, 2);
}

TEST(what_judge_found_wanting_is_nobodys_answer)
{
    house(2);
    w->snapshot->cache = (struct lun_cache_rules){ .size = 1 << 20, .ttl = SECONDS(60), .answer = 1 << 16 };
    world_open(w);
    world_script(w, 'a', "+10 200 w end");
    world_script(w, 'b', "+10 200 w- end");
    struct asked *first = world_prepare(w, false);
    first->answer = judging;
    world_ask(first);
    world_run(w);
    is_cached(first, LUN_CACHE_MISS);
    struct asked *second = meanwhile(false);
    is_cached(second, LUN_CACHE_HIT);
    assert_string_equal(header(second, "x-lunette-target"), "b");
    assert_string_equal(header(second, "x-lunette-fallback"), "true");
}

TEST(what_was_answered_by_what_the_key_was_made_without_is_not_kept)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+10 200 w end");
    struct asked *first = world_prepare(w, false);
    first->q.reads = LUN_READS_USER;
    world_ask(first);
    struct asked *second = meanwhile(false);
    world_run(w);
    is_cached(first, LUN_CACHE_MISS);
    is_cached(second, LUN_CACHE_MISS);
    assert_int_equal(w->n_calls, 2);
}

TEST(a_stream_that_waits_is_kept_alive)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+7000 200 +13000 w end");
    struct asked *first = ask(w, false), *second = meanwhile(true);
    world_run(w);
    is_cached(first, LUN_CACHE_MISS);
    is_cached(second, LUN_CACHE_SHARED);
    assert_int_equal(second->comments, 1);
    assert_true(has(second->trailers, "x-lunette-cache: shared"));
}

TEST(without_a_list_of_those_who_wait_nobody_waits)
{
    cached_house();
    world_open(w);
    world_script(w, 'a', "+10 200 w end");
    struct asked *first = ask(w, false), *second = world_prepare(w, false);
    second->alone = true;
    world_ask(second);
    world_run(w);
    is_cached(first, LUN_CACHE_MISS);
    is_cached(second, LUN_CACHE_MISS);
    assert_int_equal(w->n_calls, 2);
}

/* ---- all of it, at random ---- */

TEST(random_schedules_break_no_promise)
{
    if (getenv("WALK_FUZZ")) return;                        /* somebody plays them by themselves */
    for (uint64_t seed = 1; seed <= 20000; seed++) fuzz_run(seed, ' ');
    for (uint64_t seed = 1; seed <= 2000; seed++) fuzz_run(seed, 'l');
}

#define T(name) cmocka_unit_test_teardown(name, close_house)
int main(int argc, char **argv)
{
    if (argc > 1) return fuzz_main(argc, argv);
    const struct CMUnitTest tests[] = {
        T(a_whole_answer_goes_out_byte_for_byte_with_headers_that_say_who_gave_it),
        T(a_stream_goes_out_byte_for_byte_and_the_usage_nobody_asked_for_stays_inside),
        T(usage_that_was_asked_for_is_shown),
        T(usage_of_a_provider_that_was_not_told_to_send_any_is_not_touched),
        T(what_comes_after_a_complete_stream_does_no_harm),
        T(done_is_added_where_a_complete_stream_lacks_it),
        T(done_alone_completes_a_stream),
        T(a_stream_is_complete_only_when_all_of_its_choices_have_finished),
        T(a_complete_stream_cannot_fail_any_more_neither_by_reset_nor_by_deadline_nor_by_clock),
        T(a_stream_cut_after_content_ends_torn_after_one_error_event_in_the_endpoints_form),
        T(trouble_before_the_first_good_event_falls_over_to_the_next_step),
        T(an_error_whose_body_does_not_end_is_what_its_status_says),
        T(an_error_before_the_head_of_a_stream_is_an_ordinary_error_with_its_status),
        T(each_failure_falls_over_in_the_order_of_the_plan_and_the_message_says_each),
        T(a_request_makes_no_more_attempts_than_allowed),
        T(status_400_stops_with_the_providers_own_words),
        T(what_a_target_would_say_again_is_asked_of_another_one_and_never_of_it_again),
        T(a_key_that_is_not_accepted_gives_way_to_the_next_key_of_its_provider_and_then_to_the_next_step),
        T(with_every_key_out_nothing_is_sent_and_the_client_is_told_why),
        T(a_provider_that_repeats_our_key_is_not_repeated),
        T(when_all_are_rate_limited_the_client_is_told_when_to_come_back),
        T(a_target_that_said_when_to_come_back_is_not_asked_before),
        T(where_a_wait_rests_the_whole_provider_its_other_targets_are_not_asked_either),
        T(again_is_obeyed_though_its_target_rests),
        T(a_resting_target_is_passed_over_while_another_can_serve_and_is_the_last_resort_when_its_circuit_is_only_our_guess),
        T(a_retry_that_the_retry_budget_does_not_allow_is_not_made_and_the_last_failure_is_the_answer),
        T(an_answer_larger_than_the_limit_is_refused),
        T(a_whole_answer_that_a_filter_emptied_is_an_answer),
        T(first_byte_runs_to_the_first_good_event_and_pings_do_not_stop_it),
        T(first_byte_of_a_whole_answer_is_its_head_and_idle_runs_after_it),
        T(total_bounds_an_attempt_that_never_falls_silent),
        T(idle_and_total_stand_still_while_we_hold_the_stream_and_the_deadline_does_not),
        T(bytes_and_the_end_that_come_together_are_read_in_their_order),
        T(the_deadline_stands_over_everything_and_is_504_while_no_head_is_out),
        T(after_seconds_of_silence_a_stream_gets_a_head_and_a_comment_line_and_falling_over_goes_on),
        T(after_a_keep_alive_head_any_refusal_is_an_error_event_and_a_torn_end),
        T(without_keepalive_nothing_is_said_before_an_answer),
        T(a_client_that_leaves_closes_the_provider_at_once), T(who_is_cut_is_told_so_at_once_and_has_not_left),
        T(a_provider_has_one_second_after_done_to_end_so_that_its_connection_lives),
        T(a_step_that_is_slow_gets_company_the_first_good_event_wins_and_the_loser_is_no_failure),
        T(never_more_than_two_are_in_flight_and_a_companion_that_fails_is_not_replaced),
        T(a_hedge_is_not_begun_where_both_holds_do_not_fit_and_its_step_is_left_for_later),
        T(hedges_have_a_budget_of_their_own),
        T(of_whole_answers_the_first_that_judge_finds_good_wins),
        T(a_step_waits_its_turn_and_goes_when_its_slot_comes),
        T(a_step_whose_turn_would_come_too_late_is_given_up_at_once),
        T(a_turn_that_moves_up_is_noticed_at_once),
        T(a_turn_is_given_back_when_the_step_does_not_fit_the_budget),
        T(money_that_is_drawn_first_is_waited_for_and_the_wait_is_our_own_not_a_queues),
        T(money_that_does_not_come_is_waited_for_a_second_over_all_steps_and_then_it_is_503),
        T(a_ledger_that_cannot_be_written_refuses_what_is_limited_at_once_with_the_reason),
        T(a_client_that_leaves_while_money_is_waited_for_leaves_no_hold_and_gives_its_turn_back),
        T(a_providers_own_word_on_what_is_left_holds_the_next_one_back),
        T(a_step_whose_hold_does_not_fit_is_skipped_and_when_none_fits_the_client_is_told_which_budget_and_what_is_left),
        T(a_cheaper_step_serves_where_the_dearer_does_not_fit),
        T(a_target_without_a_price_is_not_used_under_a_hard_limit),
        T(without_a_limit_a_target_without_a_price_serves),
        T(a_hold_is_settled_at_what_was_used_released_where_nothing_was_billed_and_charged_in_full_where_nobody_knows),
        T(what_was_streamed_before_an_error_that_costs_nothing_by_itself_costs_its_hold),
        T(where_nothing_is_limited_an_answer_without_usage_costs_what_it_seems_to),
        T(usage_that_came_but_was_not_read_when_the_client_left_is_charged),
        T(a_request_without_max_tokens_is_capped_in_its_body_only_under_a_hard_limit),
        T(retry_again_repeats_the_step_after_its_delay),
        T(retry_next_goes_on_even_after_a_failure_that_would_stop),
        T(retry_stop_stops),
        T(retry_try_asks_a_target_that_is_not_in_the_plan_and_then_the_plan_goes_on),
        T(judge_next_goes_on_and_what_it_rejected_is_no_failure_of_its_target),
        T(judge_refuse_is_an_error_of_its_own),
        T(streams_are_not_judged),
        T(budget_refuse_is_402_or_what_it_says),
        T(budget_degrade_leaves_only_those_targets_for_the_default_plan),
        T(classify_and_select_may_refuse_too),
        T(budget_degrade_to_what_is_not_there_is_a_refusal),
        T(labels_of_classify_are_told),
        T(a_pinned_request_never_falls_over),
        T(a_hook_that_waits_keeps_the_deadline_and_is_dropped_at_it),
        T(finish_has_ten_seconds_after_the_client_was_told_the_end),
        T(what_is_only_decided_ends_with_its_plan_and_sends_nothing),
        T(what_is_only_decided_runs_classify_budget_select_and_finish),
        T(what_is_only_decided_can_be_refused_by_a_hook),
        T(what_is_only_decided_needs_no_budget_left_and_no_turn),
        T(what_is_only_decided_says_no_keep_alive_while_a_hook_waits),
        T(what_is_only_decided_adds_nothing_to_the_retry_budget),
        T(who_only_wanted_a_decision_can_leave_while_a_hook_waits),
        T(a_chain_of_skipped_and_failed_steps_is_told_in_the_order_they_began),
        T(a_hit_asks_holds_and_waits_for_nothing),
        T(an_equal_request_waits_for_the_first_ones_answer),
        T(when_the_first_ones_client_leaves_the_next_one_asks),
        T(who_waits_may_leave_and_is_not_waited_for),
        T(who_waits_has_his_own_deadline),
        T(when_the_first_one_fails_who_waits_asks),
        T(a_stream_that_breaks_is_nobodys_answer),
        T(what_judge_found_wanting_is_nobodys_answer),
        T(what_was_answered_by_what_the_key_was_made_without_is_not_kept),
        T(a_stream_that_waits_is_kept_alive),
        T(without_a_list_of_those_who_wait_nobody_waits),
        T(what_is_sent_when_the_walk_has_told_it_is_sent_after_the_request_was_counted),
        T(requests_that_come_together_are_classified_together_then_planned_together),
        T(random_schedules_break_no_promise),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}

/* A shadow on one worker: the real walk and policy machines, scripted providers, a virtual clock. What it is asked, and that nothing of it is seen outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "base/loop.h"
#include "gateway/kit.h"
#include "gateway/shadow.h"
#include "gateway/simulate.h"
#include "script/load.h"

#define TEST(name) static void name(void **state)
#define MINUTE (60 * LUN_SECOND)

static const char config[] =
    "return { policy = 'policy.lua', health = { failures = 2, rest = 60 }, limits = { retries = false },\n"
    "  providers = { a = { script = 'a.lua' }, b = { script = 'a.lua' } },\n"
    "  budgets = { total = { limit = 5, per = 'day' }, tags = { tenant = { from = 'policy', limit = 1, per = 'day' } } },\n"
    "  models = { cheap = { { provider = 'a', name = 'cheap', price = { input = 1, output = 2 } } },\n"
    "             dear = { { provider = 'b', name = 'dear', price = { input = 10, output = 20 } } } } }\n";
static const char script[] =
    "return function(request)\n"
    "  if request.text == 'fail' and request.model == 'cheap' then return { status = 500, after = 0.5 } end\n"
    "  return { text = 'hello', after = 0.5 }\n"
    "end\n";

struct house {
    struct lun_simulation *simulation;
    struct lun_station *station;
    struct lun_shadow *shadow;
    struct lun_shadow_desk *desk;
    struct lun_buf lines;
    int sick;
};

static struct lun_snapshot *load(const char *policy, const char *text)
{
    struct lun_file files[] = { { "policy.lua", policy, strlen(policy) }, { "a.lua", script, sizeof script - 1 } };
    struct lun_load_options options = { .environment = (const char *const[]){ NULL }, .cpu = LUN_CPU_STEPS, .files = files, .n_files = 2 };
    struct lun_mistakes mistakes = {0};
    struct lun_buf why = {0};
    struct lun_snapshot *s = lun_load_text("gateway.lua", text, strlen(text), "", &options, &mistakes);
    lun_mistakes_print(&mistakes, &why);
    if (!s) fail_msg("%s", lun_buf_text(&why));
    lun_buf_free(&why);
    lun_mistakes_free(&mistakes);
    return s;
}

static void take_line(void *self, const char *text, size_t n)
{
    struct house *h = self;
    lun_buf_add(&h->lines, text, n);
    lun_buf_putc(&h->lines, '\n');
}

static void is_sick(void *self) { ((struct house *)self)->sick++; }

static void open_house(struct house *h, const char *live)
{
    char *error = NULL;
    *h = (struct house){0};
    h->simulation = lun_simulation_new(load(live, config), &(struct lun_simulation_options){ .line = take_line, .line_self = h }, &error);
    if (!h->simulation) fail_msg("%s", error);
    h->station = lun_simulation_station(h->simulation);
}

static void retire(void *self, struct lun_kit *kit) { (void)self, lun_kit_free(kit); }

static void begin_with(struct house *h, const char *policy, const char *text)
{
    char *error = NULL;
    h->shadow = lun_shadow_new(h->station->registry, load(policy, text));
    h->shadow->sick = is_sick;
    h->shadow->self = h;
    lun_registry_bind_aside(h->shadow->aside, h->shadow->snapshot);
    struct lun_kit *kit = lun_shadow_kit(h->shadow, LUN_BY_COUNT, &error);
    if (!kit) fail_msg("%s", error);
    h->desk = lun_shadow_desk_new(kit, h->station, NULL, retire, NULL);
    lun_shadow_desk_watch(h->desk, h->station);
}

static void begin(struct house *h, const char *policy) { begin_with(h, policy, config); }

static void end_desk(struct house *h)
{
    if (!h->desk) return;
    lun_shadow_desk_ignore(h->station);
    lun_shadow_desk_end(h->desk);
    h->desk = NULL;
    lun_simulation_advance(h->simulation, 0);
}

static void close_house(struct house *h)
{
    end_desk(h);
    lun_shadow_unref(h->shadow);
    lun_simulation_free(h->simulation);
    lun_buf_free(&h->lines);
}

static struct lun_simulated_answer *ask_later(struct house *h, const char *text)
{
    char *body = lun_printf("{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", text);
    struct lun_simulated_answer *a = lun_simulation_ask(h->simulation, &(struct lun_simulated_request){ .endpoint = LUN_ENDPOINT_CHAT, .body = body, .n = strlen(body) });
    free(body);
    return a;
}

static struct lun_simulated_answer *ask(struct house *h, const char *text)
{
    struct lun_simulated_answer *a = ask_later(h, text);
    assert_true(lun_simulation_await(h->simulation, a));
    return a;
}

/* A number of what was compared: "results.same". */
static int64_t figure(struct house *h, const char *object, const char *member)
{
    struct lun_buf out = {0};
    struct lun_json all;
    int64_t n = -1;
    lun_buf_putc(&out, '{');
    lun_comparison_show(h->shadow->comparison, &out);
    lun_buf_putc(&out, '}');
    assert_true(lun_json_check(out.at, out.n, &all, NULL));
    lun_json_int(lun_json_get(object ? lun_json_get(all, object) : all, member), &n);
    lun_buf_free(&out);
    return n;
}

static bool shows(struct house *h, const char *part)
{
    struct lun_buf out = {0};
    lun_comparison_show(h->shadow->comparison, &out);
    bool there = strstr(lun_buf_text(&out), part);
    lun_buf_free(&out);
    return there;
}

/* No hook has failed, in neither version. */
static void whole(struct house *h)
{
    struct lun_buf out = {0};
    lun_comparison_show(h->shadow->comparison, &out);
    if (figure(h, "failed", "live") || figure(h, "failed", "shadow")) fail_msg("%.1000s", lun_buf_text(&out));
    lun_buf_free(&out);
}

#define POLICY(hooks) "local lunette = require 'lunette'\nlocal M = {}\n" hooks "\nreturn M\n"
#define CHEAP "function M.select(request, targets) return targets:of 'cheap' .. targets:of 'dear' end\n"
#define DEAR  "function M.select(request, targets) return targets:of 'dear' .. targets:of 'cheap' end\n"

/* Uses all that a decision can depend on: chance, health, money, the store, time. */
static const char versatile[] = POLICY(
    "function M.classify(request)\n"
    "  lunette.charge { tenant = 'acme' }\n"
    "  return { 'hour ' .. os.date('!%H'), 'turn ' .. tostring(lunette.store.get 'turn'), lunette.random() < 0.5 and 'heads' or 'tails' }\n"
    "end\n"
    "function M.budget(request, spend) if spend.total.used > 0 and spend.tenant.used > 0 then return lunette.degrade 'cheap' end end\n"
    "function M.select(request, targets) return lunette.pick(targets:healthy()) .. targets end\n"
    "function M.finish(request, outcome) lunette.store.incr 'turn' end\n");

TEST(the_same_version_is_asked_the_same_at_the_same_time_and_decides_the_same)
{
    struct house h;
    (void)state;
    open_house(&h, versatile);
    begin(&h, versatile);
    for (int i = 0; i < 200; i++) {
        ask(&h, i % 7 ? "hi" : "fail");
        lun_simulation_advance(h.simulation, 20 * MINUTE * (i % 3));
    }
    whole(&h);
    if (figure(&h, "results", "same") != 200) {
        struct lun_buf out = {0};
        lun_comparison_show(h.shadow->comparison, &out);
        fail_msg("%s", lun_buf_text(&out));
    }
    close_house(&h);
}

static void run_a_day(struct house *h)
{
    for (int i = 0; i < 100; i++) {
        ask(h, i % 9 ? "hi" : "fail");
        lun_simulation_advance(h->simulation, 10 * MINUTE);
    }
}

/* All metrics but its own. */
static void put_metrics(struct house *h, struct lun_buf *out)
{
    struct lun_buf all = {0};
    lun_metrics_write(h->station->registry->metrics, &all);
    char *rest = lun_buf_text(&all);
    for (char *line; (line = strsep(&rest, "\n")); ) if (!strstr(line, "lunette_shadow")) lun_buf_puts(out, line), lun_buf_putc(out, '\n');
    lun_buf_free(&all);
}

static void put_store(struct house *h, const char *key, struct lun_buf *out)
{
    char type = '-';
    lun_store_get(h->station->registry->store, key, strlen(key), lun_simulation_loop_time(h->simulation), &type, out);
    lun_buf_putc(out, type);
}

/* Does whatever it can. */
static const char meddler[] = POLICY(
    "function M.classify(request)\n"
    "  lunette.store.set('turn', 'mine') lunette.store.set('own', 1) lunette.store.incr 'count' lunette.metric('meddled') lunette.note('meddled', true) lunette.log 'meddled'\n"
    "  lunette.charge { tenant = 'meddler' }\n"
    "  assert(select(2, lunette.chat { model = 'cheap', text = 'hi' }) == 'shadow') assert(select(2, lunette.http { url = 'http://127.0.0.1:1/' }) == 'shadow')\n"
    "  lunette.sleep(0.1)\n"
    "  return 'meddled'\n"
    "end\n"
    "function M.budget(request, spend) return lunette.refuse { status = 402 } end\n"
    "function M.finish(request) lunette.store.set('finished', true) end\n");

TEST(with_a_shadow_every_answer_log_line_metric_and_stored_value_is_as_without)
{
    struct house with, without;
    struct lun_buf a = {0}, b = {0};
    (void)state;
    open_house(&with, versatile), open_house(&without, versatile);
    begin(&with, meddler);
    run_a_day(&with), run_a_day(&without);
    whole(&with);
    assert_int_equal(figure(&with, "refused", "alone"), 100);
    assert_int_equal(figure(&with, NULL, "calls_unasked"), 200);
    put_metrics(&with, &a), put_metrics(&without, &b);
    for (size_t i = 0; i < 4; i++) put_store(&with, ((const char *const[]){ "turn", "own", "count", "finished" })[i], &a);
    for (size_t i = 0; i < 4; i++) put_store(&without, ((const char *const[]){ "turn", "own", "count", "finished" })[i], &b);
    assert_string_equal(lun_buf_text(&with.lines), lun_buf_text(&without.lines));
    assert_string_equal(lun_buf_text(&a), lun_buf_text(&b));
    assert_null(lun_account_find(with.station->registry->money, "tag tenant=meddler"));
    lun_buf_free(&a), lun_buf_free(&b);
    close_house(&with), close_house(&without);
}

TEST(limits_prices_and_targets_of_its_own_are_its_own)
{
    static const char other[] =
        "return { policy = 'policy.lua', providers = { a = { script = 'a.lua' }, c = { script = 'a.lua' } }, budgets = { total = { limit = 0.5, per = 'day' } },\n"
        "  clients = { { name = 'app', hash = 'sha256:0000000000000000000000000000000000000000000000000000000000000000' } },\n"
        "  models = { cheap = { { provider = 'a', name = 'cheap', price = { input = 3, output = 6 }, requests_per_minute = 1 } },\n"
        "             fresh = { { provider = 'c', name = 'fresh', price = { input = 1, output = 1 } } } } }\n";
    struct house h;
    struct lun_account_view v;
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin_with(&h, POLICY("function M.select(request, targets) return targets:of 'fresh' .. targets:of 'cheap' end"), other);
    ask(&h, "hi");
    assert_true(shows(&h, "\"refused_by\":\"configuration\",\"status\":401"));     /* it wants a key of everybody */
    lun_account_look(lun_account_find(h.station->registry->money, "total"), 0, &v);
    assert_int_equal(v.limit, 5 * LUN_NANO_PER_USD);
    assert_null(lun_account_find(h.station->registry->money, "key app"));
    for (int i = 0; i < 5; i++) assert_int_equal(ask(&h, "hi")->status, 200);      /* no rate of one a minute holds here */
    close_house(&h);
}

TEST(what_it_expects_to_pay_comes_from_prices)
{
    struct house h;
    struct lun_buf why = {0};
    const struct lun_comparison_bounds b = { .errors = 0, .cost = 0.05, .requests = 3 };
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin(&h, POLICY(DEAR));
    for (int i = 0; i < 3; i++) ask(&h, "hi");
    assert_int_equal(figure(&h, "differences", "first"), 3);
    assert_false(lun_comparison_within(h.shadow->comparison, &b, &why));
    assert_non_null(strstr(lun_buf_text(&why), "expected cost +900.0 % > +5 %"));
    lun_buf_free(&why);
    close_house(&h);
}

TEST(hooks_that_fail_are_told_of_and_three_that_run_out_of_time_in_ten_seconds_are_enough)
{
    struct house h;
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin(&h, POLICY("function M.classify(request) if request.text == 'loop' then while true do end end error 'oh' end\n" CHEAP));
    for (int i = 0; i < 5; i++) ask(&h, "hi");
    assert_int_equal(figure(&h, "results", "failed"), 5);
    assert_true(shows(&h, "policy.lua:3: oh"));
    for (int i = 0; i < 10; i++) ask(&h, "loop"), lun_simulation_advance(h.simulation, 6 * LUN_SECOND);
    assert_int_equal(h.sick, 0);
    lun_simulation_advance(h.simulation, 10 * LUN_SECOND);
    for (int i = 0; i < 3; i++) ask(&h, "loop");
    assert_int_equal(h.sick, 1);
    assert_int_equal(h.station->open, 0);
    close_house(&h);
}

TEST(hooks_that_come_after_the_decision_are_not_called)
{
    struct house h;
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin(&h, POLICY(CHEAP "function M.judge() error 'judge' end function M.retry() error 'retry' end function M.finish() error 'finish' end\n"));
    ask(&h, "hi"), ask(&h, "fail");
    whole(&h);
    assert_false(shows(&h, "\"hook\":"));
    assert_int_equal(figure(&h, "results", "same"), 2);
    close_house(&h);
}

TEST(a_request_that_both_refuse_is_compared_by_hook_and_status)
{
    static const char refuses[] = POLICY(
        "function M.classify(request) if request.text == 'classify' then return lunette.refuse { status = 403 } end end\n"
        "function M.budget(request) if request.text == 'budget' then return lunette.refuse { status = 402 } end if request.text == 'none' then return lunette.degrade(function() return false end) end end\n"
        "function M.select(request) if request.text == 'select' then return lunette.refuse { status = 451 } end end\n");
    static const char otherwise[] = POLICY("function M.budget(request) if request.text ~= 'hi' then return lunette.refuse { status = 402 } end end\n");
    static const char *const texts[] = { "classify", "budget", "none", "select", "hi" };
    (void)state;
    for (int same = 0; same < 2; same++) {
        struct house h;
        open_house(&h, refuses);
        begin(&h, same ? refuses : otherwise);
        for (int i = 0; i < 5; i++) assert_int_equal(ask(&h, texts[i])->status == 200, i == 4);
        whole(&h);
        assert_int_equal(figure(&h, "refused", "shadow"), 4);
        assert_int_equal(figure(&h, "refused", "alone"), 0);
        assert_int_equal(figure(&h, "differences", "refused"), same ? 0 : 2);  /* `budget` with 402 is what the other does with two */
        close_house(&h);
    }
}

TEST(a_part_of_the_requests_is_compared_where_that_was_asked_for)
{
    struct house h;
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin(&h, POLICY(CHEAP));
    h.shadow->share = 0.25;
    for (int i = 0; i < 400; i++) ask(&h, "hi");
    int64_t n = figure(&h, NULL, "requests");
    assert_in_range(n, 70, 130);
    close_house(&h);
}

TEST(who_would_wait_behind_too_many_is_left_out_and_counted)
{
    struct house h;
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin(&h, POLICY("function M.classify(request) lunette.sleep(5) end\n" CHEAP));
    for (int i = 0; i < 100; i++) ask_later(&h, "hi");
    lun_simulation_advance(h.simulation, MINUTE);
    assert_int_equal(figure(&h, "results", "full"), 36);
    assert_int_equal(figure(&h, "results", "same") + figure(&h, "results", "different"), 64);
    assert_int_equal(h.station->open, 0);
    close_house(&h);
}

TEST(a_body_of_more_than_a_mebibyte_is_left_out_and_counted)
{
    struct house h;
    size_t n = 1100 << 10;
    char *text = lun_alloc(n + 1);
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin(&h, POLICY(CHEAP));
    text[n] = 0, memset(text, 'x', n);
    assert_int_equal(ask(&h, text)->status, 200);
    text[1000 << 10] = 0;
    assert_int_equal(ask(&h, text)->status, 200);
    assert_int_equal(figure(&h, "results", "large"), 1);
    assert_int_equal(figure(&h, "results", "same"), 1);
    free(text);
    close_house(&h);
}

TEST(what_comes_from_the_cache_is_not_compared)
{
    struct house h;
    char *text = lun_printf("%.*s, cache = {} }\n", (int)strlen(config) - 3, config);
    char *error = NULL;
    (void)state;
    h = (struct house){0};
    h.simulation = lun_simulation_new(load(POLICY(CHEAP), text), &(struct lun_simulation_options){0}, &error);
    assert_non_null(h.simulation);
    h.station = lun_simulation_station(h.simulation);
    begin_with(&h, POLICY(CHEAP), text);
    for (int i = 0; i < 4; i++) ask(&h, "hi");
    assert_int_equal(figure(&h, NULL, "requests"), 1);
    close_house(&h);
    free(text);
}

TEST(it_ends_at_any_moment_with_requests_waiting_and_under_way)
{
    (void)state;
    for (int at = 0; at < 12; at++) {
        struct house h;
        open_house(&h, POLICY("function M.classify(request) if request.text == 'slow' then lunette.sleep(3) end end\n" CHEAP));
        begin(&h, POLICY("function M.classify(request) if request.text ~= 'quick' then lunette.sleep(2) end end\n" CHEAP));
        for (int i = 0; i < 20; i++) {
            ask_later(&h, i % 3 == 0 ? "slow" : i % 3 == 1 ? "quick" : "hi");
            lun_simulation_advance(h.simulation, 1);
        }
        lun_simulation_advance(h.simulation, at * 500 * LUN_MS);
        end_desk(&h);
        lun_simulation_advance(h.simulation, MINUTE);
        assert_int_equal(h.station->open, 0);
        assert_int_equal(atomic_load(&h.shadow->references), 1);       /* its kit is gone, whatever was under way */
        close_house(&h);
    }
}

TEST(a_client_that_leaves_does_not_take_the_question_with_it)
{
    struct house h;
    (void)state;
    open_house(&h, POLICY(CHEAP));
    begin(&h, POLICY("function M.classify(request) lunette.sleep(1) return request.text end\n" CHEAP));
    struct lun_simulated_answer *a = ask_later(&h, "what he said");
    lun_simulation_leave(h.simulation, a);
    lun_simulation_advance(h.simulation, MINUTE);
    assert_int_equal(figure(&h, "differences", "labels"), 1);
    assert_true(shows(&h, "\"labels\":[\"what he said\"]"));
    close_house(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_version_is_asked_the_same_at_the_same_time_and_decides_the_same),
        cmocka_unit_test(with_a_shadow_every_answer_log_line_metric_and_stored_value_is_as_without),
        cmocka_unit_test(limits_prices_and_targets_of_its_own_are_its_own),
        cmocka_unit_test(what_it_expects_to_pay_comes_from_prices),
        cmocka_unit_test(hooks_that_fail_are_told_of_and_three_that_run_out_of_time_in_ten_seconds_are_enough),
        cmocka_unit_test(hooks_that_come_after_the_decision_are_not_called),
        cmocka_unit_test(a_request_that_both_refuse_is_compared_by_hook_and_status),
        cmocka_unit_test(a_part_of_the_requests_is_compared_where_that_was_asked_for),
        cmocka_unit_test(who_would_wait_behind_too_many_is_left_out_and_counted),
        cmocka_unit_test(a_body_of_more_than_a_mebibyte_is_left_out_and_counted),
        cmocka_unit_test(what_comes_from_the_cache_is_not_compared),
        cmocka_unit_test(it_ends_at_any_moment_with_requests_waiting_and_under_way),
        cmocka_unit_test(a_client_that_leaves_does_not_take_the_question_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

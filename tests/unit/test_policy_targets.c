/* targets, target, provider, price, steps: what policies can choose from, and how they say it. */
#include "policy_world.h"
#include "base/log.h"
#include "state/limit.h"

/* The names of a plan's targets, as `select` answers it. */
static void plan_is(struct world *w, int line, const char *code, const char *names)
{
    char text[4000], got[500] = "";
    snprintf(text, sizeof text, "local lunette = require 'lunette' return { select = function(request, targets)\n%s\nend }", code);
    world_policy(w, text);
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_SELECT);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("line %d: the hook failed (%s): %s", line, t->reason, t->error);
    if (t->answer.verb != LUN_PLAN) fail_msg("line %d: no plan", line);
    for (int i = 0; i < t->answer.plan.n; i++) snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", t->answer.plan.steps[i].target->name);
    if (strcmp(got, names)) fail_msg("line %d: '%s', expected '%s'", line, got, names);
    lun_thought_end(t);
    over(w, q);
}
#define PLAN(code, names) plan_is(w, __LINE__, code, names)

static void sets_are_narrowed_by_name(void **state)
{
    W;
    PLAN("return targets", "a/small b/small a/large c/large c/odd");
    PLAN("return targets:asked()", "a/small b/small");
    PLAN("return targets:of('large')", "a/large c/large");
    PLAN("return targets:of('odd', 'small')", "c/odd a/small b/small");
    PLAN("return targets:of{'odd', 'small'}", "c/odd a/small b/small");
    PLAN("return targets:of('nobody')", "");
    PLAN("return targets:named('c/large')", "c/large");
    PLAN("return targets:named('c/large', 'a/small')", "c/large a/small");
    PLAN("return targets:provider('a')", "a/small a/large");
    PLAN("return targets[3]", "a/large");
    PLAN("return targets:first(2)", "a/small b/small");
    PLAN("return targets:first()", "a/small");
    PLAN("return targets:of('large') .. targets:asked() .. targets:of('large')", "a/large c/large a/small b/small");
    PLAN("return targets[5] .. targets[1]", "c/odd a/small");
    GIVES("return #request.targets .. tostring(request.targets[6]) .. tostring(request.targets[0]) .. tostring(request.targets[1.5])", "5nilnilnil");
    GIVES("local n = '' for i, t in ipairs(request.targets) do n = n .. i .. t.provider.name end return n", "1a2b3a4c5c");
    GIVES("local n = '' for i, t in pairs(request.targets) do n = n .. i .. t.provider.name end return n", "1a2b3a4c5c");
    GIVES("return tostring(request.targets[1] == request.targets:of('small')[1])", "true");
    GIVES("return tostring(request.targets:of('large')):gsub(',', ';')", "targets(a/large; c/large)");
    FAILS("return request.targets:of()", "expected at least one name");
    FAILS("return request.targets:of(5 == 5)", "expected names, got boolean");
    FAILS("return request.targets.of('small')", "call methods with a colon");
}

static void sets_are_narrowed_and_ordered_by_functions_and_fields(void **state)
{
    W;
    PLAN("return targets:where(function(t) return t.provider.name == 'c' end)", "c/large c/odd");
    PLAN("return targets:by('name')", "a/large a/small b/small c/large c/odd");
    PLAN("return targets:by('price.input')", "b/small a/small a/large c/large c/odd");
    PLAN("return targets:by('..price..input.')", "b/small a/small a/large c/large c/odd");
    PLAN("return targets:by('provider.name')", "a/small a/large b/small c/large c/odd");
    PLAN("return targets:by('facts.quality')", "a/large a/small b/small c/large c/odd");
    PLAN("return targets:by('facts.none.at.all')", "a/small b/small a/large c/large c/odd");
    PLAN("return targets:by('latency')", "a/small b/small a/large c/large c/odd");
    PLAN("targets:by('price.input') return targets:by('model')", "a/large c/large c/odd a/small b/small");           /* what was looked up last is kept */
    PLAN("targets:by('price.input') targets:by('model') return targets:by('price.input')", "b/small a/small a/large c/large c/odd");
    FAILS("local s = request.targets:by('price.input') s:by('price.inptu')", "price has no field 'inptu'");
    FAILS("return request.targets:by('price')", "for target 'a/small' it gave a price");
    FAILS("return request.targets:by('')", "for target 'a/small' it gave a target");
    FAILS("return request.targets:by('max_cost')", "for target 'a/small' it gave a function");
    FAILS("local t = request.targets:by('price.inptu') return t", "policies/test.lua:2: price has no field 'inptu' (did you mean 'input'?)");
    FAILS("return request.targets:by('price\\0x')", "target has no field 'price?x'");
    FAILS("return request.targets:by('weight.x.y')", "attempt to index");
    FAILS("return request.targets:by(5)", "expected a function of a target, or the name of a field, got number");
    PLAN("return targets:by(function(t) return -(t.price.output or 0) end)", "c/large a/large b/small a/small c/odd");
    PLAN("return targets:by(function(t) return 1 end)", "a/small b/small a/large c/large c/odd");
    PLAN("return targets:by(function(t) return t.model end)", "a/large c/large c/odd a/small b/small");
    PLAN("return targets:by(function(t) return 0/0 end)", "a/small b/small a/large c/large c/odd");
    FAILS("return request.targets:by(function(t) return {} end)", "for target 'a/small' it gave a table");
    FAILS("return request.targets:by('latecny')", "target has no field 'latecny' (did you mean 'latency'?)");
    FAILS("local t = request.targets:where(5) return t", "policies/test.lua:2: where(f): expected a function");
    FAILS("return request.targets:where(5)", "policies/test.lua:1: where(f): expected a function");
    FAILS("return request.targets:where(function(t) error('x', 0) end)", "x");
}

static void what_a_target_can_do_is_compared_with_what_is_asked(void **state)
{
    W;
    PLAN("return targets:can(request)", "a/small b/small a/large c/large c/odd");
    const char *code = "local lunette = require 'lunette' return { classify = function(request) local n = '' for _, t in ipairs(request.targets:can(request)) do n = n .. t.name .. ' ' end return n end }";
    world_policy(w, code);
    struct lun_question *q = ask(w, HELLO);
    q->max_tokens = 990;                    /* with the input more than the 1000 of a/small */
    check_label(w, q, __LINE__, "b/small a/large c/large c/odd ");
    over(w, q);
    q = ask(w, HELLO);
    q->has_tools = true;                    /* a/small supports nothing, and says so */
    check_label(w, q, __LINE__, "b/small a/large c/large c/odd ");
    over(w, q);
    w->target[3].max_output = 100;
    q = ask(w, HELLO);
    q->max_tokens = 101;
    check_label(w, q, __LINE__, "a/small b/small a/large c/odd ");
    over(w, q);
}

static void fail_often(struct world *w, const struct lun_target *t)
{
    for (int i = 0; i < 5; i++) {
        struct lun_report report = { .kind = LUN_KIND_SERVER_ERROR, .status = 500, .key = -1, .latency = LUN_SECOND };
        lun_health_begin(t, w->loop.now, true);
        lun_health_end(t, &report, w->loop.now);
    }
}

static void answer_in(struct world *w, const struct lun_target *t, lun_us latency)
{
    struct lun_report report = { .kind = LUN_KIND_OK, .status = 200, .key = -1, .latency = latency, .first_byte = latency / 2 };
    lun_health_begin(t, w->loop.now, true);
    lun_health_end(t, &report, w->loop.now);
}

static void a_target_shows_how_it_is_doing(void **state)
{
    W;
    GIVES("local t = request.targets[1] return t.circuit .. tostring(t.healthy) .. t.in_flight .. tostring(t.latency) .. t.success_rate", "closedtrue0nil1");
    answer_in(w, &w->target[0], LUN_SECOND);
    fail_often(w, &w->target[1]);
    lun_health_begin(&w->target[3], w->loop.now, true);
    GIVES("local t = request.targets[1] return t.latency .. ' ' .. t.ttft .. ' ' .. t:mean_latency(5)", "1 0.5 1");
    GIVES("return tostring(request.targets[1]:quantile('latency', 0.5) > 0.9)", "true");
    GIVES("local t = request.targets[2] return t.circuit .. tostring(t.healthy) .. t.failures .. t.success_rate", "openfalse50");
    GIVES("return tostring(request.targets[4].in_flight)", "1");
    PLAN("return targets:healthy()", "a/small a/large c/large c/odd");
    GIVES("return request.targets[2].provider.state .. request.targets[1].provider.state", "downhealthy");
    GIVES("local t = request.targets[3] return t.requests_left .. ' ' .. t.tokens_left", "5 inf");
    FAILS("return request.targets[1]:quantile('speed', 0.5)", "\"latency\" or \"ttft\"");
    FAILS("return request.targets[1]:quantile('latency', 99)", "between 0 and 1");
    FAILS("return request.targets[1]:mean_latency(0)", "1 to 100");
}

static void facts_and_prices_are_read(void **state)
{
    W;
    GIVES("local f = request.targets[3].facts return f.quality .. f.tags[2] .. #f.tags", "0.9eu2");
    FAILS("request.targets[3].facts.quality = 1", "read-only");
    FAILS("request.targets[3].facts.tags[1] = 1", "read-only");
    GIVES("local p = request.targets[1].price return p.input .. ' ' .. p.output .. ' ' .. p.cached_input .. ' ' .. p.reasoning .. ' ' .. p.request", "0.42 0.84 0.42 0.84 0");
    GIVES("return tostring(request.targets[5].price.input)", "nil");
    GIVES("return tostring(request.targets[3].price:cost{ input = 1e6, output = 5e5 })", "20");
    GIVES("local v, why = request.targets[5].price:cost{ input = 1 } return tostring(v) .. why", "nilunknown_price");
    GIVES("local t = request.targets[3] return tostring(t:max_cost(request) > t:expected_cost(request) and t:expected_cost(request) > 0)", "true");
    GIVES("local v, why = request.targets[5]:max_cost(request) return tostring(v) .. why", "nilunknown_price");
    FAILS("request.targets[3].price:cost{ inptu = 5 }", "cost{…} has no option 'inptu' (did you mean 'input'?)");
    FAILS("request.targets[3].price:cost{ input = -1 }", "'input' is to be a number of tokens");
}

static void steps_say_how_a_target_is_asked(void **state)
{
    W;
    world_policy(w, "local lunette = require 'lunette' return { select = function(request, targets)\n"
        "return targets:of('small'):steps{ connect = 0.5, first_byte = 2, idle = 3, total = 9.5, hedge_after = 0.8, wait = 0, warning = 'dear',\n"
        "  set = { temperature = 0, stop = { 'a' }, a = lunette.json.array{} }, drop = { 'user', 'seed' }, rename = { max_tokens = 'max_completion_tokens' } } .. targets end }");
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_SELECT);
    assert_int_equal(t->state, LUN_THOUGHT_DONE);
    assert_int_equal(t->answer.plan.n, 5);
    const struct lun_step *s = t->answer.plan.steps;
    assert_string_equal(s[0].target->name, "a/small");
    assert_int_equal(s[0].connect, LUN_SECOND / 2);
    assert_int_equal(s[0].first_byte, 2 * LUN_SECOND);
    assert_int_equal(s[0].idle, 3 * LUN_SECOND);
    assert_int_equal(s[0].total, 9500 * LUN_MS);
    assert_int_equal(s[0].hedge_after, 800 * LUN_MS);
    assert_int_equal(s[0].wait, 0);
    assert_string_equal(s[0].warning, "dear");
    int seen = 0;
    for (const struct lun_edit *e = s[1].edits; e; e = e->next) {
        if (e->what == LUN_EDIT_SET && !strcmp(e->field, "temperature")) { assert_string_equal(e->value, "0"); seen |= 1; }
        if (e->what == LUN_EDIT_SET && !strcmp(e->field, "stop")) { assert_string_equal(e->value, "[\"a\"]"); seen |= 2; }
        if (e->what == LUN_EDIT_SET && !strcmp(e->field, "a")) { assert_string_equal(e->value, "[]"); seen |= 4; }
        if (e->what == LUN_EDIT_DROP && !strcmp(e->field, "seed")) seen |= 8;
        if (e->what == LUN_EDIT_RENAME && !strcmp(e->field, "max_tokens")) { assert_string_equal(e->value, "max_completion_tokens"); seen |= 16; }
    }
    assert_int_equal(seen, 31);
    assert_string_equal(s[2].target->name, "a/large");
    assert_int_equal(s[2].first_byte, LUN_UNSET);
    assert_null(s[2].edits);
    lun_thought_end(t);
    over(w, q);
}

static void wrong_options_of_steps_are_told_where_they_stand(void **state)
{
    W;
    FAILS("request.targets:steps{ first_bite = 2 }", "policies/test.lua:2: steps: a step has no option 'first_bite' (did you mean 'first_byte'?)");
    FAILS("request.targets:steps{ first_byte = -1 }", "first_byte: expected seconds, more than 0 and at most a day, got -1");
    FAILS("request.targets:steps{ first_byte = 0/0 }", "first_byte: expected seconds");
    FAILS("request.targets:steps{ total = 1e9 }", "total: expected seconds");
    FAILS("request.targets:steps{ total = '5' }", "got string");
    FAILS("request.targets:steps{ 5 }", "a step's options have names");
    FAILS("request.targets:steps{ set = { model = 'x' } }", "'model' belongs to the gateway");
    FAILS("request.targets:steps{ set = { x = 0/0 } }", "set.x: holds a number that JSON has no form for");
    FAILS("request.targets:steps{ set = { x = print or request.targets.where } }", "set.x: holds a function");
    FAILS("local t = {} t.t = t request.targets:steps{ set = { x = t } }", "too deep");
    FAILS("request.targets:steps{ set = { x = { 1, nil, 3, a = 1 } } }", "neither a list");
    FAILS("request.targets:steps{ drop = 5 }", "drop: expected a field's name or a list of them, got 5");
    FAILS("request.targets:steps{ rename = { a = 5 } }", "rename: expected the name of a field, got 5");
    FAILS("request.targets:steps{ warning = 5 }", "warning: expected a text of 1 to 200 bytes");
    FAILS("request.targets:steps{ warning = ('x'):rep(201) }", "warning: expected a text of 1 to 200 bytes");
    FAILS("request.targets:steps(5)", "table expected");
    FAILS("for i = 1, 1e6 do request.targets:steps{ set = { x = ('y'):rep(1000) } } end", "the steps of one request may say 256 KiB in all");
    FAILS("return request.targets .. 5", "joins targets and steps, not a number");
}

static void steps_join_with_targets_without_doubles(void **state)
{
    W;
    PLAN("return targets:of('small'):steps{ total = 5 } .. targets:of('small') .. targets[3]", "a/small b/small a/large");
    PLAN("return targets:of('small') .. targets:of('small'):steps{ total = 5 }", "a/small b/small a/small b/small");
    PLAN("return targets[1]:steps{ total = 5 } .. targets[2]", "a/small b/small");
    PLAN("return targets[1] .. targets[2]:steps{ total = 1 } .. nil", "a/small b/small");
    GIVES("local s = request.targets:of('small'):steps{ total = 5 } return #s .. s[1].target.name .. s[1].total .. tostring(s[1].idle) .. tostring(s[3])", "2a/small5nilnil");
}

static void balanced_puts_every_target_somewhere_and_repeats(void **state)
{
    W;
    world_policy(w, "return { classify = function(request) local b = request.targets:balanced(request) return (tostring(b):gsub(',', ';')) end }");
    char first[65] = "";
    for (int i = 0; i < 3; i++) {
        struct lun_question *q = ask(w, HELLO);
        q->session = "same";
        struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
        assert_int_equal(t->state, LUN_THOUGHT_DONE);
        if (i) assert_string_equal(t->answer.labels[0], first);
        snprintf(first, sizeof first, "%s", t->answer.labels[0]);
        lun_thought_end(t);
        over(w, q);
    }
    GIVES("return tostring(#request.targets:balanced(request)) .. #request.targets:balanced()", "55");
}

static void what_is_looked_at_again_after_waiting_is_fresh(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' return { classify = function(r) local t = r.targets[2] local p = t.provider local a, b = t.in_flight, t.in_flight local c = p.state l.sleep(1)\n"
        "return a .. b .. t.in_flight .. tostring(t.healthy) .. c .. p.state end }");
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    assert_int_equal(t->state, LUN_THOUGHT_WISHES);
    fail_often(w, &w->target[1]);       /* at the same moment of the loop's time */
    lun_health_begin(&w->target[1], w->loop.now, true);
    lun_thought_fulfil(t, &(struct lun_wish_result){ 0 });
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
    assert_string_equal(t->answer.labels[0], "001falsehealthydown");
    lun_thought_end(t);
    over(w, q);
}

static void what_budget_left_is_all_that_select_sees(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' return { budget = function(r) assert(#r.targets == 5) return l.degrade 'large' end, select = function(r, targets) assert(#r.targets == #targets) return targets end }");
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_BUDGET);
    assert_int_equal(t->answer.verb, LUN_DEGRADE);
    q->targets = t->answer.targets;     /* as the walk does */
    q->n_targets = t->answer.n_targets;
    lun_thought_end(t);
    t = think(w, q, LUN_HOOK_SELECT);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
    assert_int_equal(t->answer.plan.n, 2);
    assert_string_equal(t->answer.plan.steps[0].target->name, "a/large");
    lun_thought_end(t);
    over(w, q);
}

/* ---- names that the configuration does not have ---- */

static const char *noted(const struct lun_question *q, const char *key)
{
    for (int i = 0; i < q->n_notes; i++) if (!strcmp(q->notes[i].name, key)) return q->notes[i].value;
    return NULL;
}

/* Runs classify with this body, twice, with a log; what was logged lands in `said`. The second question is yours to end. */
static struct lun_question *run_twice(struct world *w, const char *body, char said[2000])
{
    char *text = lun_printf("return { classify = function(r) local t = r.targets %s end }", body);
    FILE *file = tmpfile();
    struct lun_log log = lun_log_to(fileno(file));
    struct lun_question *q = NULL;
    world_policy(w, text);
    lun_policy_log_to(w->policy, &log);
    for (int i = 0; i < 2; i++) {
        if (q) over(w, q);
        q = ask(w, HELLO);
        struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
        if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
        lun_thought_end(t);
    }
    rewind(file);
    said[fread(said, 1, 1999, file)] = 0;
    fclose(file);
    lun_policy_log_to(w->policy, NULL);
    free(text);
    return q;
}

static int count_of(const char *text, const char *words)
{
    int n = 0;
    while ((text = strstr(text, words))) text++, n++;
    return n;
}

static void a_name_that_nothing_has_is_warned_of_once_and_noted_in_each_line(void **state)
{
    W;
    char said[2000];
    struct lun_question *q = run_twice(w, "assert(#t:of('smal', 'large') == 2) t:of 'smal' t:of 'other' t:named 'a/smal' t:provider 'd'", said);
    assert_int_equal(count_of(said, "policy: of \"smal\": the configuration has no such model (did you mean small?)"), 1);
    assert_int_equal(count_of(said, "policy: of \"other\": the configuration has no such model"), 1);
    assert_int_equal(count_of(said, "policy: named \"a/smal\": the configuration has no such target (did you mean a/small?)"), 1);
    assert_int_equal(count_of(said, "policy: provider \"d\": the configuration has no such provider"), 1);
    assert_int_equal(count_of(said, "\n"), 4);
    assert_string_equal(noted(q, "unknown_model"), "\"smal\"");
    assert_string_equal(noted(q, "unknown_target"), "\"a/smal\"");
    assert_string_equal(noted(q, "unknown_provider"), "\"d\"");
    over(w, q);
}

static void a_name_that_only_this_request_has_not_is_no_mistake(void **state)
{
    W;
    char said[2000];
    struct lun_question *q = run_twice(w, "local large = t:of 'large' assert(#large:of 'small' == 0 and #large:named 'c/odd' == 0 and #large:provider 'b' == 0)", said);
    assert_string_equal(said, "");
    assert_int_equal(q->n_notes, 0);
    over(w, q);
}

static void warnings_of_made_up_names_come_to_an_end(void **state)
{
    W;
    char said[2000];
    struct lun_question *q = run_twice(w, "for i = 1, 100 do t:of('x' .. i) end", said);
    assert_int_equal(count_of(said, "\n"), 16);
    assert_int_equal(q->n_notes, 1);
    over(w, q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(sets_are_narrowed_by_name),
        unit(sets_are_narrowed_and_ordered_by_functions_and_fields),
        unit(what_a_target_can_do_is_compared_with_what_is_asked),
        unit(a_target_shows_how_it_is_doing),
        unit(facts_and_prices_are_read),
        unit(steps_say_how_a_target_is_asked),
        unit(wrong_options_of_steps_are_told_where_they_stand),
        unit(steps_join_with_targets_without_doubles),
        unit(what_is_looked_at_again_after_waiting_is_fresh),
        unit(what_budget_left_is_all_that_select_sees),
        unit(a_name_that_nothing_has_is_warned_of_once_and_noted_in_each_line),
        unit(a_name_that_only_this_request_has_not_is_no_mistake),
        unit(warnings_of_made_up_names_come_to_an_end),
        unit(balanced_puts_every_target_somewhere_and_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

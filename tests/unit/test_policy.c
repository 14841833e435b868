/* Policies as a whole: what hooks are given, how a file is loaded, what it cannot do. */
#include "policy_world.h"
#include "state/metrics.h"

static void a_request_shows_what_the_client_asked(void **state)
{
    W;
    GIVES("return request.model", "small");
    GIVES("return request.endpoint", "chat");
    GIVES("return request.text", "hello my world");
    GIVES("return tostring(request.words)", "3");
    GIVES("return tostring(request.chars)", "14");
    GIVES("return tostring(request.messages)", "2");
    GIVES("return tostring(request.max_tokens)", "nil");
    GIVES("return tostring(request.has_code or request.has_tools or request.has_image or request.has_schema or request.stream)", "false");
    GIVES("return request:message(1).text .. '/' .. request:message(-1).role", "Be kind/user");
    GIVES("return tostring(request:message(3))", "nil");
    GIVES("return request:param('model')", "small");
    GIVES("return tostring(request:param('temperature'))", "nil");
    GIVES("return request:body().messages[2].content", "hello my world");
    GIVES("return request.key.name .. request.key.team .. request.key.tags.tier", "appwebfree");
    GIVES("return tostring(request.deadline)", "60");
    GIVES("return tostring(request.budget)", "nil");
    GIVES("return tostring(#request.attempts)", "0");
}

static void a_name_that_is_not_there_is_told_with_the_nearest(void **state)
{
    W;
    FAILS("return request.wrods", "request has no field 'wrods' (did you mean 'words'?)");
    FAILS("return request.zzzzzz", "request has no field 'zzzzzz'");
    FAILS("return request.targets.latency", "take one of it, targets[1].latency");
    FAILS("return request.wrods", "policies/test.lua:2:");
    FAILS("request.model = 'x'", "request is read-only: 'model' cannot be set");
    FAILS("request.tags.tier = 'x'", "read-only");
    FAILS("request.headers.x = 'x'", "read-only");
}

static void an_attempt_shows_what_came_of_it(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' return {\n"
        "retry = function(request, a) return l.refuse(a.number .. a.try .. a.target.name .. a.status .. a.kind .. a.billed .. a.retry_after .. ' ' .. a.elapsed .. tostring(a.committed)\n"
        "  .. tostring(a.text) .. tostring(a == request.attempts[1]) .. a:body().error.code) end,\n"
        "judge = function(request, a) return l.refuse(a.text .. a.finish_reason .. tostring(a.retry_after) .. select(2, request.attempts[1]:body()) .. #request.attempts) end }");
    struct lun_question *q = ask(w, HELLO);
    struct lun_trial *first = tried(w, q, &w->target[0], LUN_KIND_RATE_LIMITED, 429), *second = tried(w, q, &w->target[2], LUN_KIND_OK, 200);
    first->retry_after = 3 * LUN_SECOND;
    first->body = "{\"error\":{\"code\":\"slow\"}}";
    first->body_n = strlen(first->body);
    second->body = "{\"choices\":[{\"message\":{\"content\":\"hi \\u00fc\"}}]}";
    second->body_n = strlen(second->body);
    second->finish_reason = "stop";
    struct lun_thought *t = lun_policy_think(w->policy, q, LUN_HOOK_RETRY, first, NULL);
    assert_int_equal(t->state, LUN_THOUGHT_FAILED);         /* refuse is no answer of retry; its text was built all the same */
    assert_string_equal(t->reason, "answer");
    lun_thought_end(t);
    first->body = "not json";
    first->body_n = 8;
    t = lun_policy_think(w->policy, q, LUN_HOOK_JUDGE, second, NULL);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
    assert_string_equal(t->answer.message, "hi üstopnilnot_json2");
    lun_thought_end(t);
    over(w, q);
    world_policy(w, "local l = require 'lunette' return { judge = function(request, a) return l.refuse(a.number .. a.try .. a.target.name .. a.status .. a.kind .. a.billed .. a.retry_after .. ' ' .. a.elapsed\n"
        " .. tostring(a.committed) .. tostring(a.text) .. tostring(a == request.attempts[1]) .. a:body().error.code) end }");
    q = ask(w, HELLO);
    first = tried(w, q, &w->target[0], LUN_KIND_RATE_LIMITED, 429);
    first->retry_after = 3 * LUN_SECOND;
    first->body = "{\"error\":{\"code\":\"slow\"}}";
    first->body_n = strlen(first->body);
    t = lun_policy_think(w->policy, q, LUN_HOOK_JUDGE, first, NULL);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
    assert_string_equal(t->answer.message, "11a/small429rate_limitedno3 2falseniltrueslow");
    lun_thought_end(t);
    over(w, q);
}

static void spend_is_there_whether_limited_or_not(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' return { budget = function(request, s)\n"
        "return l.refuse(s.key.limit .. ' ' .. s.key.left .. ' ' .. s.key.soft .. ' ' .. s.team.limit .. ' ' .. s.total.left .. tostring(s.total.limit) .. s.total.share .. ' ' .. s.request.left .. ' ' .. s.request.used .. tostring(s.key.resets_in > 0)) end }");
    struct lun_question *q = ask(w, HELLO);
    tried(w, q, &w->target[0], LUN_KIND_CUT, 0)->cost = usd(0.25);
    struct lun_thought *t = think(w, q, LUN_HOOK_BUDGET);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
    assert_string_equal(t->answer.message, "5 5 0.8 20 infnil0 inf 0.25true");
    lun_thought_end(t);
    over(w, q);
    q = ask(w, HELLO);
    q->client = NULL;                   /* an open gateway */
    world_policy(w, "local l = require 'lunette' return { budget = function(r, s) return l.refuse(s.team.left .. s.key.used .. tostring(r.key.name) .. tostring(r.key.team) .. tostring(r.key.tags.x)) end }");
    t = think(w, q, LUN_HOOK_BUDGET);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
    assert_string_equal(t->answer.message, "inf0nilnilnil");
    lun_thought_end(t);
    over(w, q);
}

static void finish_is_told_the_outcome(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' return { finish = function(request, o)\n"
        "l.note('o', { o.status, o.target.name, #o.attempts, o.usage.input, o.usage.output, o.cost, o.latency, o.ttft, o.fallback, o.cached, o.labels[1] }) return 'anything' end }");
    struct lun_question *q = ask(w, HELLO);
    struct lun_trial *trial = tried(w, q, &w->target[2], LUN_KIND_OK, 200);
    q->labels = (const char *[]){ "long" };
    q->n_labels = 1;
    struct lun_outcome o = { .status = 200, .trial = trial, .usage = { .known = true, .input = 10, .output = 20 }, .cost = usd(0.5), .latency = 2 * LUN_SECOND, .ttft = LUN_SECOND, .fallback = true };
    struct lun_thought *t = lun_policy_think(w->policy, q, LUN_HOOK_FINISH, NULL, &o);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
    lun_thought_end(t);
    assert_string_equal(q->notes[0].value, "[200,\"a/large\",1,10,20,0.5,2,1,true,false,\"long\"]");
    over(w, q);
}

/* ---- loading ---- */

static void refused(struct world *w, int line, const char *text, const char *words)
{
    world_load(w, text);
    if (w->policy) fail_msg("line %d: it was taken", line);
    if (!strstr(w->error, words)) fail_msg("line %d: '%s' does not say '%s'", line, w->error, words);
}
#define REFUSED(text, words) refused(w, __LINE__, text, words)

static void a_wrong_policy_is_refused_with_a_reason(void **state)
{
    W;
    REFUSED("return", "policies/test.lua: a policy returns a table of functions, this returned nothing");
    REFUSED("return 5", "this returned number");
    REFUSED("return {\nselect = = 5 }", "policies/test.lua:2:");
    REFUSED("error('no')", "policies/test.lua:1: no");
    REFUSED("while true do end", "stopped: loading a file may take");
    REFUSED("return { slect = function() end }", "a policy has no 'slect' (did you mean 'select'?)");
    REFUSED("return { select = 5 }", "select is to be a function, not number");
    REFUSED("return { function() end }", "a policy has no 'a key that is a number'");
    REFUSED("return { on_error = 'stop' }", "on_error is to be");
    REFUSED("return { limits = { attempts = 0 } }", "limits.attempts is to be a whole number");
    REFUSED("return { limits = { retries = 2 } }", "limits.retries is to be a share");
    REFUSED("return { limits = { atempts = 2 } }", "limits has no 'atempts' (did you mean 'attempts'?)");
    REFUSED("return { settings = { a = { default = 5, max = 3 } } }", "its default 5 is not between min and max");
    REFUSED("return { settings = { a = { min = 1 } } }", "settings.a needs a default");
    REFUSED("return { settings = { a = { default = 1, mim = {} } } }", "settings.a has no 'mim' (did you mean 'min'?)");
    REFUSED("return { settings = { a = { default = 'x', min = 1 } } }", "min and max are for numbers");
    REFUSED("return { settings = { a = { default = 'x', choices = {} } } }", "settings.a.choices is to be a list of texts");
    REFUSED("return { settings = { a = { default = 'x', choices = { 'x', 5 } } } }", "settings.a.choices is to be a list of texts");
    REFUSED("return { settings = { a = { default = 'x', choices = { 'y' } } } }", "settings.a: its default is none of choices");
    REFUSED("return { settings = { a = { default = 'x', choises = { 'x' } } } }", "settings.a has no 'choises' (did you mean 'choices'?)");
    REFUSED("return { settings = { a = function() end } }", "settings.a is to be");
    REFUSED("return { settings = 5 }", "settings is to be a table");
    REFUSED("return { slect = 1, select = 5, on_error = 1 }", "\n");        /* all at once */
    REFUSED("local x = require 'nothing' return {}", "there is no such module");
    REFUSED("return require('lunette').chain(5)", "chain: argument 1 is to be a policy");
}

static void a_policy_may_limit_itself_where_the_file_says_nothing(void **state)
{
    W;
    world_policy(w, "return { limits = { attempts = 9, retries = false }, on_error = 'refuse' }");
    assert_int_equal(lun_policy_limits_of(w->policy)->attempts, 9);
    assert_true(lun_policy_limits_of(w->policy)->retries < 0);
    w->snapshot->limits.attempts_given = w->snapshot->limits.retries_given = true;
    world_policy(w, "return { limits = { attempts = 9, retries = false } }");
    assert_int_equal(lun_policy_limits_of(w->policy)->attempts, w->snapshot->limits.attempts);
    assert_true(lun_policy_limits_of(w->policy)->retries >= 0);
}

static void no_policy_is_a_policy_without_hooks(void **state)
{
    W;
    w->policy = lun_policy_open(w->snapshot, w->registry, LUN_BY_COUNT, &w->error);
    assert_non_null(w->policy);
    for (int hook = 0; hook < LUN_HOOK_COUNT; hook++) assert_false(lun_policy_has(w->policy, hook));
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_SELECT);
    assert_int_equal(t->state, LUN_THOUGHT_DONE);
    lun_thought_end(t);
    over(w, q);
}

static void a_policy_requires_what_was_read_with_it(void **state)
{
    W;
    struct lun_part part = { .kind = LUN_PART_POLICY_MODULE, .module = "words", .file = { "policies/words.lua", "return { of = function(s) return 'w' .. #s end }", 47 } };
    part.file.n = strlen(part.file.text);
    w->snapshot->parts = &part;
    w->snapshot->n_parts = 1;
    world_policy(w, "local words = require 'words' return { classify = function(request) return words.of(request.text) end }");
    struct lun_question *q = ask(w, HELLO);
    check_label(w, q, __LINE__, "w14");
    over(w, q);
    w->snapshot->parts = NULL;
    w->snapshot->n_parts = 0;
}

static void a_chain_asks_each_until_one_answers(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette'\n"
        "local a = { classify = function(r) if r.words > 100 then return 'long' end end, finish = function() l.metric('a_told') return 1 end, settings = { x = { default = 1 } } }\n"
        "local b = { classify = function(r) return 'b' .. l.setting('x') .. l.setting('y') end, select = function(r, t) return t[2] end, finish = function() l.metric('b_told') end,\n"
        "  settings = { y = { default = 2 } }, limits = { attempts = 7 } }\n"
        "return l.chain(a, l.chain(b, { classify = function() return 'never' end }))");
    struct lun_question *q = ask(w, HELLO);
    check_label(w, q, __LINE__, "b12");
    struct lun_thought *t = think(w, q, LUN_HOOK_SELECT);
    assert_int_equal(t->answer.plan.n, 1);
    lun_thought_end(t);
    struct lun_outcome o = { .status = 200 };
    t = lun_policy_think(w->policy, q, LUN_HOOK_FINISH, NULL, &o);
    assert_int_equal(t->state, LUN_THOUGHT_DONE);
    lun_thought_end(t);
    assert_int_equal(lun_policy_limits_of(w->policy)->attempts, 7);
    struct lun_buf out = { 0 };
    lun_metrics_write(w->registry->metrics, &out);
    assert_non_null(strstr(lun_buf_text(&out), "a_told 1"));
    assert_non_null(strstr(lun_buf_text(&out), "b_told 1"));
    lun_buf_free(&out);
    over(w, q);
    REFUSED("local l = require 'lunette' return l.chain({ slect = function() end }, {})", "a policy has no 'slect'");
    REFUSED("local l = require 'lunette' return l.chain({ settings = { x = 1 } }, { settings = { x = 2 } })", "two of the policies have a setting 'x'");
}

/* ---- what a policy cannot do ---- */

static void fails_for(struct world *w, int line, const char *code, const char *reason)
{
    char text[2000];
    snprintf(text, sizeof text, "local lunette = require 'lunette' local keep = {} return { classify = function(request)\n%s\nend, select = function() return nil end }", code);
    world_policy(w, text);
    struct lun_question *q = ask(w, HELLO), *other = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    if (t->state != LUN_THOUGHT_FAILED) fail_msg("line %d: it did not fail", line);
    if (strcmp(t->reason, reason)) fail_msg("line %d: %s: %s", line, t->reason, t->error);
    if (!t->error[0] || strlen(t->error) > 500) fail_msg("line %d: error '%s'", line, t->error);
    lun_thought_end(t);
    t = think(w, other, LUN_HOOK_SELECT);
    assert_int_equal(t->state, LUN_THOUGHT_DONE);       /* the others notice nothing */
    lun_thought_end(t);
    over(w, q);
    over(w, other);
}
#define STOPS(code, reason) fails_for(w, __LINE__, code, reason)

static void a_hook_that_misbehaves_fails_alone(void **state)
{
    W;
    STOPS("while true do end", "cpu");
    STOPS("while true do pcall(function() while true do end end) end", "cpu");
    STOPS("return pcall(function() while true do end end)", "cpu");
    STOPS("local s = 'x' while true do s = s .. s end", "memory");
    STOPS("for i = 1, 1e7 do keep[i] = {} end", "memory");
    STOPS("local function f() return 1 + f() end return f()", "stack");
    STOPS("error('no')", "error");
    STOPS("error({ secret = 1 })", "error");
    STOPS("error(('x'):rep(5000))", "error");
    STOPS("error('a\\nb\\27[31m')", "error");
    STOPS("return request.targets:where(function() while true do end end)", "cpu");
    STOPS("for i = 1, 1e9 do local x = request.targets .. request.targets end", "cpu");
    STOPS("for i = 1, 1e9 do local x = request.targets:balanced() end", "cpu");
    STOPS("for i = 1, 1e9 do local x = request:body() end", "cpu");
}

static void a_request_has_so_much_cpu_over_all_its_runs(void **state)
{
    W;
    world_policy(w, "local lunette = require 'lunette' return { classify = function() while true do for i = 1, 150000 do local x = i * i end lunette.sleep(1) end end }");
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    int runs = 0;
    for (; t->state == LUN_THOUGHT_WISHES && runs < 1000; runs++) lun_thought_fulfil(t, &(struct lun_wish_result){ 0 });
    assert_int_equal(t->state, LUN_THOUGHT_FAILED);
    assert_string_equal(t->reason, "cpu");
    assert_true(runs > 5 && runs < 100);
    assert_true(t->cpu > 10 * LUN_MS);
    lun_thought_end(t);
    t = think(w, q, LUN_HOOK_CLASSIFY);                 /* nothing left */
    assert_int_equal(t->state, LUN_THOUGHT_FAILED);
    lun_thought_end(t);
    over(w, q);
}

static void globals_are_locked_after_loading(void **state)
{
    W;
    FAILS("x = 5", "global 'x' cannot be set");
    FAILS("lunette.now = nil", "read-only");
    GIVES("return tostring(coroutine) .. tostring(io) .. tostring(debug) .. tostring(load) .. tostring(lunette.native)", "nilnilnilnilnil");
    GIVES("return tostring(getmetatable(request)) .. tostring(request) .. tostring(pcall(setmetatable, request, {}))", "falserequestfalse");
}

static void an_object_is_not_taken_for_another(void **state)
{
    W;
    FAILS("local m = request.message return m(request.targets, 1)", "expected a request, got targets");
    FAILS("return request.targets:can({})", "expected a request, got table");
    FAILS("local f = request.targets.of return f(request, 'x')", "expected a targets, got request");
    FAILS("local f = request.targets[1].max_cost return f(lunette.next())", "expected a target, got decision");
    FAILS("return request.message(nil, 1)", "expected a request, got nil");
    FAILS("return #request", "length of");
    FAILS("for k in pairs(request) do end", "");
}

static void a_body_is_decoded_up_to_256_KiB(void **state)
{
    W;
    size_t n = 300 * 1024;
    char *body = lun_alloc(n + 200);
    sprintf(body, "{\"model\":\"small\",\"extra\":{\"a\":[1,2]},\"messages\":[{\"role\":\"user\",\"content\":\"");
    size_t at = strlen(body);
    memset(body + at, 'x', n);
    strcpy(body + at + n, "\"}]}");
    classify_gives(w, __LINE__, body, "local b, why = request:body() return tostring(b) .. why .. request:param('extra').a[2] .. select(2, request:param('messages')) .. select(2, request:message(1))", "niltoo_large2too_largetoo_large");
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(a_request_shows_what_the_client_asked),
        unit(a_name_that_is_not_there_is_told_with_the_nearest),
        unit(an_attempt_shows_what_came_of_it),
        unit(spend_is_there_whether_limited_or_not),
        unit(finish_is_told_the_outcome),
        unit(a_wrong_policy_is_refused_with_a_reason),
        unit(a_policy_may_limit_itself_where_the_file_says_nothing),
        unit(no_policy_is_a_policy_without_hooks),
        unit(a_policy_requires_what_was_read_with_it),
        unit(a_chain_asks_each_until_one_answers),
        unit(a_hook_that_misbehaves_fails_alone),
        unit(a_request_has_so_much_cpu_over_all_its_runs),
        unit(globals_are_locked_after_loading),
        unit(an_object_is_not_taken_for_another),
        unit(a_body_is_decoded_up_to_256_KiB),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

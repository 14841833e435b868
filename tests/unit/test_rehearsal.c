/* Trying a version's hooks before it is taken over: what is found, what is not asked for outside, and that it ends. */
#include "loading.h"
#include "gateway/rehearsal.h"
#include "script/host.h"

#define AROUND(policy_setting) "return { providers = { p = { base_url = \"http://127.0.0.1:1\" }, q = { base_url = \"http://127.0.0.1:1\" } }, " \
    "models = { m = { { provider = \"p\" }, { provider = \"q\" } } }, policy = \"policy.lua\"" policy_setting " }"

static void put_line(void *self, const char *what) { lun_buf_printf(self, "%s\n", what); }

/* What is told of a policy, line by line; yours to free. "" : nothing. */
static char *told(const char *policy, const char *config, const struct lun_host_function *host)
{
    struct lun_buf out = { 0 };
    put_file("policy.lua", policy);
    struct lun_snapshot *s = load_with(config, no_environment, NULL, NULL);
    s->host = host;
    s->n_host = host ? 1 : 0;
    bool good = lun_rehearse(s, NULL, put_line, &out);
    assert_int_equal(good, out.n == 0);
    assert_int_equal(s->requests, 0);
    lun_snapshot_unref(s);
    lun_buf_text(&out);
    return out.at;
}

static void fine(const char *policy)
{
    char *text = told(policy, AROUND(""), NULL);
    if (*text) fail_msg("%s\n%s", text, policy);
    free(text);
}

static void finds(const char *policy, const char *what)
{
    char *text = told(policy, AROUND(""), NULL);
    if (strcmp(text, what)) fail_msg("expected: %sgot: %s%s", what, text, policy);
    free(text);
}

static void policies_that_do_all_that_they_may_are_fine(void **state)
{
    (void)state;
    cpu = LUN_CPU_STEPS;
    fine("return {}");
    fine("local lunette = require 'lunette'\nreturn { settings = { share = { default = 5 } },\n"
         "classify = function(r) return r.has_code and 'code' or r.words > 1 and 'long' or 'short' end,\n"
         "budget = function(r, spend) if spend.total.left < 1 then return lunette.refuse { message = 'no' } end end,\n"
         "select = function(r, targets) lunette.note('share', lunette.setting 'share') return targets:can(r):healthy():steps { first_byte = 2, hedge_after = 0.1 } end,\n"
         "judge = function(r, a) if a.finish_reason == 'length' then return lunette.next() end end,\n"
         "retry = function(r, a) if a.status == 429 then return lunette.again(a.retry_after or 1) end return lunette.next() end,\n"
         "finish = function(r, o) lunette.metric('seen') lunette.store.incr('n') end }");
    fine("local lunette = require 'lunette' return { classify = function(r) return lunette.split('a', r.user, { x = 5, y = 95 }) end, select = function(r, t) return t:balanced(r) end }");
}

static void each_hooks_first_failure_is_told_with_its_place_and_what_it_was_tried_on(void **state)
{
    (void)state;
    finds("return {\nclassify = function(r) return r.nothing end }", "policy.lua:2: request has no field 'nothing' (hook classify, tried with a chat request)\n");
    finds("return { classify = function(r) if r.stream then error('no') end end }", "policy.lua:1: no (hook classify, tried with a stream)\n");
    finds("return { judge = function(r, a) if a.finish_reason == 'length' then error('short') end end }",
          "policy.lua:1: short (hook judge, tried with a chat request whose answer is cut off by its length)\n");
    finds("return { retry = function(r, a) if a.kind == 'first_byte_timeout' then error('late') end end }",
          "policy.lua:1: late (hook retry, tried with a chat request after a provider that says nothing)\n");
    finds("return { finish = function(r, o) return o.cost + nil end,\nselect = function() return 7 end }",
          "policy.lua:2: select returned number; expected nil, targets, a target, steps, a list of them or refuse{…} (hook select, tried with a chat request)\n"
          "policy.lua:1: attempt to perform arithmetic on a nil value (hook finish, tried with a chat request)\n");
}

/* Its sample requests say no tag that every request must have, and their hooks are tried all the same. */
static void a_tag_that_must_be_said_hides_no_hook(void **state)
{
    (void)state;
    char *text = told("return { select = function() error('no') end }", AROUND(", budgets = { tags = { tenant = { limit = 1, required = true } } }"), NULL);
    assert_string_equal(text, "policy.lua:1: no (hook select, tried with a chat request)\n");
    free(text);
}

static void what_never_ends_is_stopped_and_told(void **state)
{
    char *text;
    (void)state;
    text = told("return { select = function() while true do end end }", AROUND(""), NULL);
    assert_non_null(strstr(text, "stopped"));
    assert_non_null(strstr(text, "hook select"));
    free(text);
    text = told("local t = {} return { select = function() for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end }", AROUND(""), NULL);
    assert_non_null(strstr(text, "hook select"));
    free(text);
    text = told("return { judge = function() error 'no' end,\nretry = function() while true do pcall(error, 'again') end end }", AROUND(""), NULL);
    assert_non_null(strstr(text, "policy.lua:1: no"));
    const char *stopped = strstr(text, "policy.lua:2: stopped: one run");
    assert_non_null(stopped);
    assert_string_equal(strchr(stopped, '\n'), "\n");           /* the last that was tried: one such run takes long enough */
    free(text);
    fine("local lunette = require 'lunette' return { classify = function() lunette.sleep(30) end }");
    fine("local lunette = require 'lunette' return { retry = function() return lunette.again(3600) end }");
}

static void nothing_outside_is_asked(void **state)
{
    (void)state;
    fine("local lunette = require 'lunette' return { classify = function(r)\n"
         "local answer, why = lunette.http { url = 'http://127.0.0.1:1/' } assert(answer == nil and why == 'rehearsal')\n"
         "assert(lunette.store.get('x') == nil)\n"
         "local text = lunette.chat { model = 'm', text = 'a or b?', choices = { 'a', 'b' } } end }");
    finds("local lunette = require 'lunette' return { classify = function(r)\nreturn lunette.http { url = 'http://127.0.0.1:1/' }.status end }",
          "policy.lua:2: attempt to index a nil value (hook classify, tried with a chat request)\n");
}

static int must_not_be_called(void *user, const struct lunette_value *arguments, int n, struct lunette_value *results)
{
    (void)user, (void)arguments, (void)n, (void)results;
    fail_msg("the host was called");
    return 0;
}

static void functions_of_the_host_are_not_called(void **state)
{
    static const struct lun_host_function host = { "classify", must_not_be_called, NULL };
    (void)state;
    char *text = told("local lunette = require 'lunette' return { classify = function(r) local v, why = lunette.host.classify(r.text) assert(v == nil and why == 'rehearsal') end }",
                      AROUND(""), &host);
    assert_string_equal(text, "");
    free(text);
}

static void a_client_with_a_small_rate_and_a_small_budget_is_tried_all_the_same(void **state)
{
    (void)state;
    char *text = told("return { classify = function(r) assert(r.key.name == 'ann' and r.key.team == 'web') end }",
                      AROUND(", teams = { web = {} }, clients = { { name = \"ann\", team = \"web\", requests_per_minute = 1, hash = \"sha256:\" .. string.rep(\"0a\", 32) } }"), NULL);
    assert_string_equal(text, "");
    free(text);
}

#define CANARY AROUND(", canaries = { c = { probe = false, start = false } }")

static void both_sides_of_a_canary_are_tried(void **state)
{
    (void)state;
    char *text = told("return { classify = function(r) if require('lunette').canary('c', 'ann') then return r.nothing end end }", CANARY, NULL);
    assert_string_equal(text, "policy.lua:1: request has no field 'nothing' (hook classify, tried with a chat request)\n");
    free(text);
    text = told("return { classify = function(r) if not require('lunette').canary('c') then return r.nothing end end }", CANARY, NULL);
    assert_string_equal(text, "policy.lua:1: request has no field 'nothing' (hook classify, tried with a chat request)\n");
    free(text);
}

static void files_are_named_as_they_can_be_opened(void **state)
{
    struct lun_buf out = { 0 };
    (void)state;
    put_file("policy.lua", "return { select = function() error 'x' end }");
    struct lun_snapshot *s = load_with(AROUND(""), no_environment, NULL, NULL);
    assert_false(lun_rehearse(s, "conf/gateway.lua", put_line, &out));
    assert_string_equal(lun_buf_text(&out), "conf/policy.lua:1: x (hook select, tried with a chat request)\n");
    lun_buf_free(&out);
    lun_snapshot_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_that_do_all_that_they_may_are_fine),
        cmocka_unit_test(each_hooks_first_failure_is_told_with_its_place_and_what_it_was_tried_on),
        cmocka_unit_test(a_tag_that_must_be_said_hides_no_hook), cmocka_unit_test(what_never_ends_is_stopped_and_told),
        cmocka_unit_test(nothing_outside_is_asked),
        cmocka_unit_test(functions_of_the_host_are_not_called),
        cmocka_unit_test(a_client_with_a_small_rate_and_a_small_budget_is_tried_all_the_same),
        cmocka_unit_test(both_sides_of_a_canary_are_tried),
        cmocka_unit_test(files_are_named_as_they_can_be_opened),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

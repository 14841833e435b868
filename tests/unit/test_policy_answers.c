/* What hooks may answer, what becomes of it, and what they may not. */
#include "policy_world.h"

/* A policy with one hook of that name and body; its arguments are `request` and `about`. */
static struct lun_thought *run_hook(struct world *w, struct lun_question *q, enum lun_hook hook, const char *code)
{
    char text[4000];
    snprintf(text, sizeof text, "local lunette = require 'lunette' local again, next, try, stop = lunette.again, lunette.next, lunette.try, lunette.stop\n"
             "local refuse, degrade = lunette.refuse, lunette.degrade return { %s = function(request, about)\n%s\nend }", lun_hook_name(hook), code);
    world_policy(w, text);              /* closes the one before, and all it knew of the question */
    return lun_policy_think(w->policy, q, hook, q->trials, NULL);
}

static void wrong(struct world *w, struct lun_question *q, int line, enum lun_hook hook, const char *code, const char *words)
{
    struct lun_thought *t = run_hook(w, q, hook, code);
    if (t->state != LUN_THOUGHT_FAILED) fail_msg("line %d: it did not fail", line);
    if (strcmp(t->reason, "answer")) fail_msg("line %d: reason %s: %s", line, t->reason, t->error);
    if (!strstr(t->error, words)) fail_msg("line %d: '%s' does not say '%s'", line, t->error, words);
    if (strncmp(t->error, "policies/test.lua:2: ", 21)) fail_msg("line %d: '%s' has no line", line, t->error);
    assert_int_equal(t->answer.verb, LUN_DEFAULT);
    lun_thought_end(t);
}

static struct lun_answer right(struct world *w, struct lun_question *q, int line, enum lun_hook hook, const char *code, enum lun_verb verb)
{
    struct lun_thought *t = run_hook(w, q, hook, code);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("line %d: it failed (%s): %s", line, t->reason, t->error);
    if (t->answer.verb != verb) fail_msg("line %d: verb %d, expected %d", line, t->answer.verb, verb);
    struct lun_answer a = t->answer;
    lun_thought_end(t);
    return a;
}
#define WRONG(hook, code, words) wrong(w, q, __LINE__, LUN_HOOK_##hook, code, words)
#define RIGHT(hook, code, verb) right(w, q, __LINE__, LUN_HOOK_##hook, code, verb)

static void nil_is_the_default_in_every_hook(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    tried(w, q, &w->target[0], LUN_KIND_CUT, 0);
    for (int hook = 0; hook < LUN_HOOK_COUNT; hook++) right(w, q, __LINE__, hook, "return nil", LUN_DEFAULT);
    for (int hook = 0; hook < LUN_HOOK_COUNT; hook++) right(w, q, __LINE__, hook, "", LUN_DEFAULT);
    over(w, q);
}

static void a_hook_that_is_not_there_answers_the_default_at_once(void **state)
{
    W;
    world_policy(w, "return { classify = function() return 'x' end }");
    assert_true(lun_policy_has(w->policy, LUN_HOOK_CLASSIFY));
    assert_false(lun_policy_has(w->policy, LUN_HOOK_SELECT));
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_SELECT);
    assert_int_equal(t->state, LUN_THOUGHT_DONE);
    assert_int_equal(t->answer.verb, LUN_DEFAULT);
    lun_thought_end(t);
    over(w, q);
}

static void classify_answers_labels(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    struct lun_answer a = RIGHT(CLASSIFY, "return 'long'", LUN_DEFAULT);
    assert_int_equal(a.n_labels, 1);
    assert_string_equal(a.labels[0], "long");
    a = RIGHT(CLASSIFY, "return { 'b', nil, 'a', 'b' }", LUN_DEFAULT);
    assert_int_equal(a.n_labels, 2);
    assert_string_equal(a.labels[0], "b");
    assert_string_equal(a.labels[1], "a");
    assert_int_equal(RIGHT(CLASSIFY, "return {}", LUN_DEFAULT).n_labels, 0);
    assert_int_equal(RIGHT(CLASSIFY, "return refuse{ message = 'no' }", LUN_REFUSE).status, 403);
    WRONG(CLASSIFY, "return 5", "classify returned number; expected nil, a label, a list of labels or refuse{…}");
    WRONG(CLASSIFY, "return true", "classify returned boolean");
    WRONG(CLASSIFY, "return request", "classify returned request");
    WRONG(CLASSIFY, "return { a = 1 }", "a table with names in it");
    WRONG(CLASSIFY, "return { 'a', 5 }", "classify returned number");
    WRONG(CLASSIFY, "return ''", "a label that is empty");
    WRONG(CLASSIFY, "return 'a\\nb'", "control character");
    WRONG(CLASSIFY, "return 'a,b'", "comma");
    WRONG(CLASSIFY, "return ('x'):rep(65)", "over 64 bytes");
    WRONG(CLASSIFY, "return '\\255'", "a label that");
    WRONG(CLASSIFY, "local t = {} for i = 1, 17 do t[i] = 'l' .. i end return t", "more than 16 labels");
    WRONG(CLASSIFY, "local t = {} for i = 1, 2000 do t[i] = 'l' end return t", "a list that is too long");
    WRONG(CLASSIFY, "return next()", "classify returned next()");
    over(w, q);
}

static void a_plan_may_have_holes_and_steps_of_every_form(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    struct lun_answer a = RIGHT(SELECT, "return { nil, about[3], nil, { target = about[1], first_byte = 2 }, about:of('odd'), { about[2] }, about:of('small'):steps{ total = 3 }[2] }", LUN_PLAN);
    assert_int_equal(a.plan.n, 5);
    static const char *const names[] = { "a/large", "a/small", "c/odd", "b/small", "b/small" };
    for (int i = 0; i < 5; i++) assert_string_equal(a.plan.steps[i].target->name, names[i]);
    assert_int_equal(a.plan.steps[1].first_byte, 2 * LUN_SECOND);
    assert_int_equal(a.plan.steps[0].first_byte, LUN_UNSET);
    assert_int_equal(a.plan.steps[4].total, 3 * LUN_SECOND);
    assert_int_equal(RIGHT(SELECT, "return {}", LUN_PLAN).plan.n, 0);
    assert_int_equal(RIGHT(SELECT, "return about:where(function() return false end)", LUN_PLAN).plan.n, 0);
    assert_int_equal(RIGHT(SELECT, "return { target = about:named('c/odd') }", LUN_PLAN).plan.n, 1);
    a = RIGHT(SELECT, "return { { target = about[1], set = { temperature = 0.5 }, drop = 'user' } }", LUN_PLAN);
    assert_string_equal(a.plan.steps[0].edits->field ? "an edit" : "", "an edit");
    over(w, q);
}

/* The order of a table's names is another one in each process. */
static void the_changes_of_a_step_have_one_order_however_they_are_written(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    char got[64] = "";
    struct lun_answer a = RIGHT(SELECT, "return { { target = about[1], rename = { q = 'r', d = 'e' }, drop = { 'y', 'b' }, set = { z = 1, a = 2, m = 3, y = 4 } } }", LUN_PLAN);
    for (const struct lun_edit *e = a.plan.steps[0].edits; e; e = e->next) strcat(strcat(got, e->field), " ");
    assert_string_equal(got, "a m y z b y d q ");
    over(w, q);
}

static void a_plan_longer_than_64_is_cut_and_noted(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    struct lun_answer a = RIGHT(SELECT, "local l = {} for i = 1, 100 do l[i] = { target = about[1 + i % 5], total = i } end return l", LUN_PLAN);
    assert_int_equal(a.plan.n, LUN_STEPS);
    assert_int_equal(q->n_notes, 1);
    assert_string_equal(q->notes[0].name, "plan_cut");
    over(w, q);
}

static void what_is_no_plan_is_refused_with_a_reason(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    WRONG(SELECT, "return 'large'", "select returned the text 'large'; expected targets: targets:of \"large\"");
    WRONG(SELECT, "return { 'large' }", "select returned the text 'large'");
    WRONG(SELECT, "return 5", "select returned number");
    WRONG(SELECT, "return function() end", "select returned function");
    WRONG(SELECT, "return { model = 'x' }", "neither a list nor a step (it has no `target`)");
    WRONG(SELECT, "return { target = about }", "whose target is a set of 5: take one of it, targets[1]");
    WRONG(SELECT, "return { target = 'x' }", "whose target is a string");
    WRONG(SELECT, "return { target = about[1], total = -5 }", "a step for 'a/small' that is wrong: total: expected seconds");
    WRONG(SELECT, "return { { target = about[1], totl = 5 } }", "a step has no option 'totl' (did you mean 'total'?)");
    WRONG(SELECT, "return { { { { { about[1] } } } } }", "lists too deep");
    WRONG(SELECT, "return again(1)", "select returned again(…)");
    WRONG(SELECT, "return request.key", "select returned key");
    over(w, q);
}

static void a_target_that_is_not_the_requests_cannot_be_planned(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    tried(w, q, &w->target[4], LUN_KIND_CUT, 0);
    q->n_targets = 2;
    WRONG(SELECT, "return request.attempts[1].target", "returned target 'c/odd', which this request may not use");
    WRONG(SELECT, "return { target = request.attempts[1].target }", "may not use");
    WRONG(RETRY, "return try(about.target)", "try(…) of a target that this request may not use");
    over(w, q);
}

static void budget_can_degrade_and_refuse(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    struct lun_answer a = RIGHT(BUDGET, "return degrade('odd', 'small')", LUN_DEGRADE);
    assert_int_equal(a.n_targets, 3);
    assert_string_equal(a.targets[0]->name, "c/odd");
    a = RIGHT(BUDGET, "return degrade{ 'large' }", LUN_DEGRADE);
    assert_int_equal(a.n_targets, 2);
    a = RIGHT(BUDGET, "return degrade(function(t) return t.price.input and t.price.input < 1 end)", LUN_DEGRADE);
    assert_int_equal(a.n_targets, 2);
    assert_int_equal(RIGHT(BUDGET, "return degrade 'nobody'", LUN_DEGRADE).n_targets, 0);
    a = RIGHT(BUDGET, "return refuse{ message = 'spent' }", LUN_REFUSE);
    assert_int_equal(a.status, 402);
    assert_string_equal(a.message, "spent");
    assert_int_equal(RIGHT(BUDGET, "return refuse{ status = 429 }", LUN_REFUSE).status, 429);
    assert_null(RIGHT(BUDGET, "return refuse()", LUN_REFUSE).message);
    assert_string_equal(RIGHT(BUDGET, "return refuse 'why'", LUN_REFUSE).message, "why");
    WRONG(BUDGET, "return 'small'", "budget returned string; expected nil, degrade(…) or refuse{…}");
    WRONG(BUDGET, "return stop()", "budget returned stop()");
    over(w, q);
}

static void judge_can_go_on_or_refuse(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    tried(w, q, &w->target[0], LUN_KIND_OK, 200);
    RIGHT(JUDGE, "return next()", LUN_NEXT);
    assert_int_equal(RIGHT(JUDGE, "return refuse{ message = 'bad' }", LUN_REFUSE).status, 502);
    WRONG(JUDGE, "return true", "judge returned boolean; expected nil, next() or refuse{…}");
    WRONG(JUDGE, "return next(1)", "judge returned next(delay), but only `retry` can wait");
    WRONG(JUDGE, "return again()", "judge returned again(…)");
    over(w, q);
}

static void retry_can_try_again_go_on_try_another_and_stop(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    tried(w, q, &w->target[0], LUN_KIND_CUT, 0);
    assert_int_equal(RIGHT(RETRY, "return again(1.5)", LUN_AGAIN).delay, 1500 * LUN_MS);
    assert_int_equal(RIGHT(RETRY, "return again()", LUN_AGAIN).delay, 0);
    assert_int_equal(RIGHT(RETRY, "return next()", LUN_NEXT).delay, 0);
    assert_int_equal(RIGHT(RETRY, "return next(1.5)", LUN_NEXT).delay, 1500 * LUN_MS);
    RIGHT(RETRY, "return stop()", LUN_STOP);
    struct lun_answer a = RIGHT(RETRY, "return try(request.targets[3], 2)", LUN_TRY);
    assert_string_equal(a.step.target->name, "a/large");
    assert_int_equal(a.step.total, LUN_UNSET);
    assert_int_equal(a.delay, 2 * LUN_SECOND);
    assert_string_equal(RIGHT(RETRY, "return try 'c/odd'", LUN_TRY).step.target->name, "c/odd");
    assert_string_equal(RIGHT(RETRY, "return try(request.targets:named 'c/odd')", LUN_TRY).step.target->name, "c/odd");
    assert_string_equal(RIGHT(RETRY, "return try(about.target)", LUN_TRY).step.target->name, "a/small");
    WRONG(RETRY, "return refuse{}", "retry returned refuse{…}; expected nil, again(delay), next(delay), try(target, delay) or stop()");
    WRONG(RETRY, "return request.targets[1]", "retry returned target");
    over(w, q);
}

static void misuse_of_decisions_raises_where_it_stands(void **state)
{
    W;
    FAILS("return lunette.again(-1)", "again(delay): the delay is to be seconds");
    FAILS("return lunette.again(0/0)", "again(delay)");
    FAILS("return lunette.again(1e9)", "again(delay)");
    FAILS("return lunette.try('a/smal')", "this request has no target 'a/smal' (did you mean 'a/small'?)");
    FAILS("return lunette.try(request.targets)", "this is a set of 5");
    FAILS("return lunette.try()", "expected a target, got");
    FAILS("return lunette.refuse{ status = 200 }", "from 400 to 599");
    FAILS("return lunette.refuse{ status = 0/0 }", "from 400 to 599");
    FAILS("return lunette.refuse{ mesage = 'x' }", "refuse has no option 'mesage' (did you mean 'message'?)");
    FAILS("return lunette.refuse{ message = {} }", "the message is to be a text, got table");
    FAILS("local d = lunette.degrade(5) return d", "test.lua:2: degrade: expected names of models");
    FAILS("local d = lunette.next() return d.verb", "decision has no field 'verb'");
}

static void decisions_without_a_request_may_be_made_while_loading(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' local no, go = l.refuse{ status = 451 }, l.next() return { classify = function() return no end, judge = function() return go end }");
    struct lun_question *q = ask(w, HELLO);
    struct lun_trial *trial = tried(w, q, &w->target[0], LUN_KIND_OK, 200);
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    assert_int_equal(t->answer.verb, LUN_REFUSE);
    assert_int_equal(t->answer.status, 451);
    lun_thought_end(t);
    t = lun_policy_think(w->policy, q, LUN_HOOK_JUDGE, trial, NULL);
    assert_int_equal(t->answer.verb, LUN_NEXT);
    lun_thought_end(t);
    over(w, q);
}

static void objects_of_another_request_are_refused(void **state)
{
    W;
    static const char *const uses[] = { "return kept.model", "return kept.targets[1]", "return kept.key", "return tostring(kept.words)" };
    for (size_t i = 0; i < 4; i++) {
        char text[1000];
        snprintf(text, sizeof text, "local kept return { classify = function(request) if not kept then kept = request return end\n%s end }", uses[i]);
        world_policy(w, text);
        struct lun_question *first = ask(w, HELLO), *second = ask(w, HELLO);
        lun_thought_end(think(w, first, LUN_HOOK_CLASSIFY));
        struct lun_thought *t = think(w, second, LUN_HOOK_CLASSIFY);
        assert_int_equal(t->state, LUN_THOUGHT_FAILED);
        assert_non_null(strstr(t->error, "this request belongs to another request"));
        lun_thought_end(t);
        over(w, first);                 /* over, and its memory may be used again: still refused */
        t = think(w, second, LUN_HOOK_CLASSIFY);
        assert_int_equal(t->state, LUN_THOUGHT_FAILED);
        lun_thought_end(t);
        over(w, second);
    }
}

static void steps_of_another_request_are_refused(void **state)
{
    W;
    static const char *const keeps[] = { "targets", "targets[1]", "targets:steps{ total = 1 }", "targets:steps{ total = 1 }[1]", "{ target = targets[1] }", "{ targets[1] }" };
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        char text[1000];
        snprintf(text, sizeof text, "local kept return { select = function(request, targets) kept = kept or %s return kept end }", keeps[i]);
        world_policy(w, text);
        struct lun_question *first = ask(w, HELLO), *second = ask(w, HELLO);
        struct lun_thought *t = think(w, first, LUN_HOOK_SELECT);
        assert_int_equal(t->state, LUN_THOUGHT_DONE);
        lun_thought_end(t);
        t = think(w, second, LUN_HOOK_SELECT);
        assert_int_equal(t->state, LUN_THOUGHT_FAILED);
        assert_string_equal(t->reason, "answer");
        assert_non_null(strstr(t->error, "of another request"));
        lun_thought_end(t);
        over(w, first);
        over(w, second);
    }
}

static void an_answer_cannot_call_back_or_hang(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    RIGHT(SELECT, "return setmetatable({}, { __index = function() while true do end end, __len = function() while true do end end })", LUN_PLAN);
    WRONG(SELECT, "return setmetatable({ target = 5 }, { __tostring = function() while true do end end })", "whose target is a number");
    WRONG(CLASSIFY, "local t = {} for i = 1, 20000 do t['k' .. i] = 1 end return t", "a table with names");
    WRONG(SELECT, "local t = { [1e15] = about[1] } return t", "a list that is too long");
    WRONG(SELECT, "local t = { [0.5] = about[1] } return t", "neither a list");
    WRONG(SELECT, "local t = {} t[1] = t return t", "lists too deep");
    over(w, q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(nil_is_the_default_in_every_hook),
        unit(a_hook_that_is_not_there_answers_the_default_at_once),
        unit(classify_answers_labels),
        unit(a_plan_may_have_holes_and_steps_of_every_form),
        unit(the_changes_of_a_step_have_one_order_however_they_are_written),
        unit(a_plan_longer_than_64_is_cut_and_noted),
        unit(what_is_no_plan_is_refused_with_a_reason),
        unit(a_target_that_is_not_the_requests_cannot_be_planned),
        unit(budget_can_degrade_and_refuse),
        unit(judge_can_go_on_or_refuse),
        unit(retry_can_try_again_go_on_try_another_and_stop),
        unit(misuse_of_decisions_raises_where_it_stands),
        unit(decisions_without_a_request_may_be_made_while_loading),
        unit(objects_of_another_request_are_refused),
        unit(steps_of_another_request_are_refused),
        unit(an_answer_cannot_call_back_or_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a policy's machine keeps from one request to the next: the objects of targets and providers, and the memory that objects lay in. No request may
 * notice but by its time. */
#include "policy_world.h"
#include <malloc.h>

static struct lun_thought *answered(struct world *w, struct lun_question *q, enum lun_hook hook)
{
    struct lun_thought *t = think(w, q, hook);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("the hook failed: %s", t->error ? t->error : "it waits");
    return t;
}

static void labelled(struct world *w, struct lun_question *q, const char *label)
{
    struct lun_thought *t = answered(w, q, LUN_HOOK_CLASSIFY);
    assert_int_equal(t->answer.n_labels, 1);
    assert_string_equal(t->answer.labels[0], label);
    lun_thought_end(t);
}

static void granted(struct lun_thought *t, const char *label)
{
    assert_int_equal(t->state, LUN_THOUGHT_WISHES);
    lun_thought_fulfil(t, &(struct lun_wish_result){ 0 });
    if (t->state != LUN_THOUGHT_DONE) fail_msg("the hook failed: %s", t->error ? t->error : "it waits again");
    assert_string_equal(t->answer.labels[0], label);
    lun_thought_end(t);
}

static void a_target_is_of_use_to_each_request_that_was_given_it(void **state)
{
    W;
    world_policy(w, "local kept, of return { classify = function(r) kept, of = kept or r.targets[1], of or r.targets[1].provider return kept == r.targets[1] and 'same' or 'another' end,\n"
                    "select = function(r, targets)\n"
                    "  if r.model == 'large' then return of.name end\n"
                    "  return r.model == 'small' and targets[1] == kept and targets[1].provider == of and kept or kept end }");
    struct lun_question *one = ask(w, HELLO), *two = ask(w, HELLO), *three = ask(w, "{\"model\":\"odd\",\"messages\":[]}"), *four = ask(w, "{\"model\":\"large\",\"messages\":[]}");
    labelled(w, one, "same");
    labelled(w, two, "same");
    struct lun_thought *t = answered(w, two, LUN_HOOK_SELECT);
    assert_ptr_equal(t->answer.plan.steps[0].target, &w->target[0]);
    lun_thought_end(t);
    t = think(w, three, LUN_HOOK_SELECT);                   /* which never took it from its own targets */
    assert_int_equal(t->state, LUN_THOUGHT_FAILED);
    assert_non_null(strstr(t->error, "a target of another request"));
    lun_thought_end(t);
    t = think(w, four, LUN_HOOK_SELECT);
    assert_int_equal(t->state, LUN_THOUGHT_FAILED);
    assert_non_null(strstr(t->error, "this provider belongs to another request"));
    lun_thought_end(t);
    over(w, one);
    labelled(w, three, "same");                             /* and now it did */
    t = answered(w, three, LUN_HOOK_SELECT);
    assert_ptr_equal(t->answer.plan.steps[0].target, &w->target[0]);
    lun_thought_end(t);
    over(w, two);
    over(w, three);
    over(w, four);
}

static void a_target_that_a_request_may_not_use_stays_out_of_its_plan(void **state)
{
    W;
    world_policy(w, "local kept return { select = function(r, targets) kept = kept or targets[1] local t = targets[1] return kept end }");
    struct lun_question *one = ask(w, HELLO), *two = ask(w, HELLO);
    two->targets++;
    two->n_targets--;
    lun_thought_end(answered(w, one, LUN_HOOK_SELECT));
    struct lun_thought *t = think(w, two, LUN_HOOK_SELECT);
    assert_int_equal(t->state, LUN_THOUGHT_FAILED);
    lun_thought_end(t);
    over(w, one);
    over(w, two);
}

static void two_requests_in_turn_each_see_how_a_target_is_now(void **state)
{
    W;
    world_policy(w, "local lunette = require 'lunette' return { classify = function(r)\n"
                    "local t = r.targets[1] local before = t.in_flight lunette.sleep(1) local between = t.in_flight lunette.sleep(1)\n"
                    "return before .. ' ' .. between .. ' ' .. t.in_flight end }");
    struct lun_question *one = ask(w, HELLO), *two = ask(w, HELLO);
    struct lun_thought *a = think(w, one, LUN_HOOK_CLASSIFY);
    lun_health_begin(&w->target[0], w->loop.now, true);                 /* in the same moment of the loop */
    struct lun_thought *b = think(w, two, LUN_HOOK_CLASSIFY);
    lun_health_begin(&w->target[0], w->loop.now, true);
    lun_thought_fulfil(a, &(struct lun_wish_result){ 0 });
    lun_health_begin(&w->target[0], w->loop.now, true);
    lun_thought_fulfil(b, &(struct lun_wish_result){ 0 });
    granted(b, "1 3 3");
    lun_health_begin(&w->target[0], w->loop.now, true);
    granted(a, "0 2 4");
    over(w, one);
    over(w, two);
}

static void what_a_request_had_is_not_the_next_ones(void **state)
{
    W;
    static const char *const reads[] = { "(r.tags.x or 'none') .. #r.targets", "(r.headers.h or 'none') .. #r.targets", "(r.key.name or 'none') .. #r.targets" };
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        char text[500];
        struct lun_pair tag = { "x", "mine" }, header = { "h", "mine" };
        struct lun_client_rule client = *w->client;
        client.name = "mine";
        snprintf(text, sizeof text, "return { classify = function(r) return %s end }", reads[i]);
        world_policy(w, text);
        for (int n = 0; n < 4; n++) {
            struct lun_question *q = ask(w, HELLO);
            bool has = n % 2 == 0;
            q->tags = &tag, q->headers = &header, q->n_tags = q->n_headers = has;
            q->client = has ? &client : NULL;
            q->n_targets = has ? 2 : 3;
            labelled(w, q, has ? "mine2" : "none3");
            over(w, q);
        }
    }
}

/* More than a machine keeps anything for. */
static void hundreds_at_once_keep_apart(void **state)
{
    W;
    enum { MANY = 300 };
    struct lun_question *q[MANY];
    struct lun_thought *t[MANY];
    char tags[MANY][8];
    struct lun_pair pairs[MANY];
    world_policy(w, "local lunette = require 'lunette' return { classify = function(r) local tags = r.tags lunette.sleep(1) return r.tags == tags and tags.x end }");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(tags[i], sizeof tags[i], "%d", i);
            pairs[i] = (struct lun_pair){ "x", tags[i] };
            q[i] = ask(w, HELLO);
            q[i]->tags = &pairs[i], q[i]->n_tags = 1;
            t[i] = think(w, q[i], LUN_HOOK_CLASSIFY);
        }
        for (int i = MANY - 1; i >= 0; i--) {
            granted(t[i], tags[i]);
            over(w, q[i]);
        }
    }
}

static void a_version_that_is_closed_takes_only_its_own_along(void **state)
{
    W;
    static const char text[] = "local kept return { select = function(r, targets) kept = kept or targets[1] return targets:by 'price.input' end }";
    world_policy(w, text);
    struct lun_policy *old = w->policy, *new = lun_policy_open(w->snapshot, w->registry, LUN_BY_COUNT, &w->error);
    assert_non_null(new);
    struct lun_question *q = ask(w, HELLO);
    for (int i = 0; i < 2; i++) {
        struct lun_policy *p = i ? new : old;
        struct lun_thought *t = lun_policy_think(p, q, LUN_HOOK_SELECT, NULL, NULL);
        assert_int_equal(t->answer.plan.n, 5);
        assert_ptr_equal(t->answer.plan.steps[0].target, &w->target[1]);
        lun_thought_end(t);
        lun_policy_forget(p, q);
    }
    lun_policy_close(old);
    w->policy = new;
    lun_thought_end(answered(w, q, LUN_HOOK_SELECT));
    over(w, q);
}

/* Under ASan nothing is counted here; there the look for leaks says it. */
static void thousands_of_requests_take_no_more_memory_than_hundreds(void **state)
{
    W;
    size_t after[2];
    world_policy(w, "return { classify = function(r) local t = {} for i, target in ipairs(r.targets) do t[i] = target.name .. i end return t[1] .. #r.tags .. r.key.name end,\n"
                    "select = function(r, targets) return targets:healthy():by 'price.input' .. targets:where(function(t) return t.weight > 0 end) end }");
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 3000; n++) {
            struct lun_question *q = ask(w, HELLO);
            lun_thought_end(answered(w, q, LUN_HOOK_CLASSIFY));
            lun_thought_end(answered(w, q, LUN_HOOK_SELECT));
            over(w, q);
        }
        after[i] = mallinfo2().uordblks;
    }
    if (after[1] > after[0] + 300000) fail_msg("%zu bytes after 3,000 requests, %zu after 6,000", after[0], after[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(a_target_is_of_use_to_each_request_that_was_given_it),
        unit(a_target_that_a_request_may_not_use_stays_out_of_its_plan),
        unit(two_requests_in_turn_each_see_how_a_target_is_now),
        unit(what_a_request_had_is_not_the_next_ones),
        unit(hundreds_at_once_keep_apart),
        unit(a_version_that_is_closed_takes_only_its_own_along),
        unit(thousands_of_requests_take_no_more_memory_than_hundreds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How a decision came about, written down: in order, once, and no more than there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/arena.h"
#include "state/trace.h"
#include <stdio.h>
#include <string.h>

#define TEST(name) static void name(void **unused_state __attribute__((unused)))

static struct lun_arena arena;
static struct lun_trace *t;
static const struct lun_target a = { .name = "a" }, b = { .name = "b" };

static int begin(void **state) { (void)state; t = lun_trace_new(&arena); return 0; }
static int end(void **state) { (void)state; lun_arena_free(&arena); return 0; }

TEST(hooks_stand_in_the_order_they_were_asked_in_with_what_they_did)
{
    lun_trace_begin(t, LUN_HOOK_CLASSIFY, 0, "p.lua:1");
    lun_trace_read(t, "request.words", "3", 1, "p.lua:2");
    lun_trace_end(t, "p.lua:3", "{\"labels\":[\"x\"]}", NULL);
    lun_trace_begin(t, LUN_HOOK_RETRY, 2, "p.lua:9");
    lun_trace_end(t, "", NULL, "oh");
    const struct lun_traced_hook *h = t->first;
    assert_int_equal(h->hook, LUN_HOOK_CLASSIFY);
    assert_string_equal(h->at, "p.lua:1"), assert_string_equal(h->returned, "p.lua:3"), assert_string_equal(h->answer, "{\"labels\":[\"x\"]}");
    assert_string_equal(h->first->name, "request.words"), assert_string_equal(h->first->value, "3"), assert_string_equal(h->first->at, "p.lua:2");
    assert_null(h->first->next);
    assert_int_equal(h->next->about, 2);
    assert_string_equal(h->next->error, "oh");
    assert_null(h->next->answer);
    assert_null(h->next->next);
}

TEST(what_is_looked_at_again_in_a_hook_is_told_once)
{
    lun_trace_begin(t, LUN_HOOK_CLASSIFY, 0, "");
    lun_trace_read(t, "request.words", "3", 1, "p.lua:2");
    lun_trace_read(t, "request.words", "4", 1, "p.lua:3");
    lun_trace_end(t, "", NULL, NULL);
    lun_trace_begin(t, LUN_HOOK_SELECT, 0, "");
    lun_trace_read(t, "request.words", "3", 1, "p.lua:9");
    assert_null(t->first->first->next);
    assert_string_equal(t->first->next->first->at, "p.lua:9");
}

TEST(what_left_a_target_out_last_is_found)
{
    enum lun_hook hook = LUN_HOOK_FINISH;
    assert_null(lun_trace_of(t, &a, &hook));
    lun_trace_begin(t, LUN_HOOK_BUDGET, 0, "");
    lun_trace_left_out(t, &a, "where", "p.lua:1");
    lun_trace_end(t, "", NULL, NULL);
    lun_trace_begin(t, LUN_HOOK_SELECT, 0, "");
    lun_trace_left_out(t, &b, "can", "p.lua:2");
    assert_string_equal(lun_trace_of(t, &a, &hook)->name, "where");
    assert_int_equal(hook, LUN_HOOK_BUDGET);
    lun_trace_left_out(t, &a, "healthy", "p.lua:3");
    assert_string_equal(lun_trace_of(t, &a, &hook)->name, "healthy");
    assert_int_equal(hook, LUN_HOOK_SELECT);
    assert_null(lun_trace_of(NULL, &a, &hook));
}

TEST(what_has_no_room_is_counted)
{
    char name[32];
    lun_trace_begin(t, LUN_HOOK_CLASSIFY, 0, "");
    for (int i = 0; i < LUN_TRACED_MOST + 9; i++) {
        snprintf(name, sizeof name, "request.x%d", i);
        lun_trace_read(t, name, NULL, 0, "");
    }
    assert_int_equal(t->n, LUN_TRACED_MOST);
    assert_int_equal(t->more, 10);              /* the hook is one of them */
    lun_trace_end(t, "", NULL, NULL);
    lun_trace_begin(t, LUN_HOOK_SELECT, 0, "");
    lun_trace_left_out(t, &a, "can", "");       /* of a hook that is not told nothing is */
    lun_trace_end(t, "p.lua:1", NULL, NULL);
    assert_null(t->first->next);
    assert_int_equal(t->more, 11);
}

TEST(outside_of_hooks_and_without_a_trace_nothing_happens)
{
    lun_trace_read(t, "request.words", "3", 1, "");
    lun_trace_left_out(t, &a, "can", "");
    lun_trace_end(t, "", NULL, NULL);
    assert_null(t->first);
    lun_trace_begin(NULL, LUN_HOOK_SELECT, 0, "");
    lun_trace_read(NULL, "x", NULL, 0, "");
    lun_trace_left_out(NULL, &a, "can", "");
    lun_trace_end(NULL, "", NULL, NULL);
}

int main(void)
{
#define UNIT(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        UNIT(hooks_stand_in_the_order_they_were_asked_in_with_what_they_did), UNIT(what_is_looked_at_again_in_a_hook_is_told_once),
        UNIT(what_left_a_target_out_last_is_found), UNIT(what_has_no_room_is_counted), UNIT(outside_of_hooks_and_without_a_trace_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

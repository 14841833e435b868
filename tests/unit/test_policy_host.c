/* `lunette.host`: functions of a host program, called by policies. */
#include "policy_world.h"
#include "script/host.h"

static int n_calls, n_released;

static int echo(void *user, const struct lunette_value *in, int n, struct lunette_value *out)
{
    (void)user;
    n_calls++;
    for (int i = 0; i < n && i < LUNETTE_RESULTS; i++) out[i] = in[i];
    return n;
}

static int count(void *user, const struct lunette_value *in, int n, struct lunette_value *out)
{
    (void)user, (void)in;
    out[0] = (struct lunette_value){ .type = LUNETTE_NUMBER, .number = n };
    return 1;
}

static int whose(void *user, const struct lunette_value *in, int n, struct lunette_value *out)
{
    (void)in, (void)n;
    out[0] = (struct lunette_value){ .type = LUNETTE_STRING, .string = user, .length = strlen(user) };
    return 1;
}

static void let_go(void *text) { n_released++; free(text); }

static int made(void *user, const struct lunette_value *in, int n, struct lunette_value *out)
{
    (void)user, (void)in, (void)n;
    for (int i = 0; i < 2; i++) out[i] = (struct lunette_value){ .type = LUNETTE_STRING, .string = strdup(i ? "two" : "one"), .length = 3, .release = let_go };
    return 2;
}

static int refuses(void *user, const struct lunette_value *in, int n, struct lunette_value *out)
{
    (void)user, (void)in, (void)n;
    out[0] = (struct lunette_value){ .type = LUNETTE_STRING, .string = strdup("the classifier is down"), .length = 22, .release = let_go };
    return -1;
}

static int silent(void *user, const struct lunette_value *in, int n, struct lunette_value *out) { (void)user, (void)in, (void)n, (void)out; return -1; }
static int too_many(void *user, const struct lunette_value *in, int n, struct lunette_value *out) { (void)user, (void)in, (void)n, (void)out; return 9; }

static const struct lun_host_function host[] = {
    { "echo", echo, NULL }, { "count", count, NULL }, { "whose", whose, (void *)"the first" }, { "made", made, NULL }, { "refuses", refuses, NULL },
    { "silent", silent, NULL }, { "too_many", too_many, NULL } };

static int setup(void **state)
{
    world_setup(state);
    W;
    w->snapshot->host = host;
    w->snapshot->n_host = sizeof host / sizeof *host;
    n_calls = n_released = 0;
    return 0;
}

static void values_go_in_and_come_out_as_they_are(void **state)
{
    W;
    GIVES("local a, b, c, d, e, f = lunette.host.echo('a\\0b', 1.5, true, nil, false, '')"
          " return (a == 'a\\0b' and b == 1.5 and c == true and d == nil and e == false and f == '') and 'same' or 'other'", "same");
}

static void no_argument_gives_no_result(void **state)
{
    W;
    GIVES("return select('#', lunette.host.echo()) == 0 and 'none' or 'some'", "none");
}

static void a_function_gets_what_the_host_gave_with_it(void **state)
{
    W;
    GIVES("return lunette.host.whose()", "the first");
}

static void texts_are_copied_and_then_released(void **state)
{
    W;
    GIVES("local a, b = lunette.host.made() return a .. b", "onetwo");
    assert_int_equal(n_released, 2);
}

static void an_error_of_the_host_is_raised_where_the_policy_called_it(void **state)
{
    W;
    FAILS("lunette.host.refuses()", "policies/test.lua:2: lunette.host.refuses: the classifier is down");
    assert_int_equal(n_released, 1);
    FAILS("lunette.host.silent()", "it failed and did not say why");
    GIVES("local good, why = pcall(lunette.host.refuses) return good and 'good' or why:match 'down$'", "down");
}

static void at_most_16_arguments_go_in(void **state)
{
    W;
    GIVES("return tostring(lunette.host.count(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16))", "16");
    FAILS("lunette.host.count(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)", "17 arguments, at most 16");
}

static void tables_and_functions_do_not_go_in(void **state)
{
    W;
    FAILS("lunette.host.echo({})", "lunette.host.echo: argument 1 is a table");
    FAILS("lunette.host.echo(1, request)", "argument 2 is a request");
    assert_int_equal(n_calls, 0);
}

static void a_host_that_gives_too_much_is_told_apart(void **state)
{
    W;
    FAILS("lunette.host.too_many()", "a mistake of the host program");
}

static void what_is_not_there_is_nil_and_nothing_can_be_added(void **state)
{
    W;
    GIVES("return lunette.host.nothing == nil and 'nil' or 'something'", "nil");
    FAILS("lunette.host.mine = function() end", "read-only");
    w->snapshot->n_host = 0;
    GIVES("return lunette.host.echo == nil and 'nil' or 'something'", "nil");
}

static void a_rehearsal_does_not_call_the_host(void **state)
{
    W;
    world_policy(w, "local lunette = require 'lunette' return { classify = function() local a, why = lunette.host.echo('x') return a == nil and why or 'called' end }");
    struct lun_question *q = ask(w, HELLO);
    q->rehearsal = true;
    check_label(w, q, __LINE__, "rehearsal");
    assert_int_equal(n_calls, 0);
    over(w, q);
}

static void outside_of_a_hook_it_cannot_be_called(void **state)
{
    W;
    world_load(w, "local lunette = require 'lunette' lunette.host.echo() return {}");
    assert_null(w->policy);
    assert_non_null(strstr(w->error, "only inside a hook"));
    assert_int_equal(n_calls, 0);
}

static void names_are_those_that_lua_can_write(void **state)
{
    (void)state;
    assert_true(lun_host_name_valid("classify") && lun_host_name_valid("_a1"));
    assert_false(lun_host_name_valid("") || lun_host_name_valid("1a") || lun_host_name_valid("a.b") || lun_host_name_valid("a b") || lun_host_name_valid("\xc3\xa4"));
    assert_true(lun_host_name_valid("a234567890123456789012345678901234567890123456789012345678901234"));
    assert_false(lun_host_name_valid("a2345678901234567890123456789012345678901234567890123456789012345"));
}

#define with_host(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        with_host(values_go_in_and_come_out_as_they_are),
        with_host(no_argument_gives_no_result),
        with_host(a_function_gets_what_the_host_gave_with_it),
        with_host(texts_are_copied_and_then_released),
        with_host(an_error_of_the_host_is_raised_where_the_policy_called_it),
        with_host(at_most_16_arguments_go_in),
        with_host(tables_and_functions_do_not_go_in),
        with_host(a_host_that_gives_too_much_is_told_apart),
        with_host(what_is_not_there_is_nil_and_nothing_can_be_added),
        with_host(a_rehearsal_does_not_call_the_host),
        with_host(outside_of_a_hook_it_cannot_be_called),
        cmocka_unit_test(names_are_those_that_lua_can_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is taken out of a captured text: by a function of the operator's, and nothing is kept where that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "script/redact.h"
#include <stdlib.h>
#include <string.h>

#define TEST(name) static void name(void **unused_state __attribute__((unused)))

static struct lun_redact *r;
static char *error;

static int end(void **state) { (void)state; lun_redact_free(r); free(error); r = NULL, error = NULL; return 0; }

static void make(const char *text)
{
    r = lun_redact_new("redact.lua", text, strlen(text), LUN_CPU_STEPS, &error);
    if (!r) fail_msg("%s", error);
}

/* `expected` NULL: nothing may be kept, and `says` is in what is told of that; NULL: the function said so. */
static void gives(const char *text, const char *expected, const char *says)
{
    struct lun_buf out = {0};
    const char *why = "";
    lun_buf_puts(&out, "before ");
    assert_int_equal(lun_redact(r, text, strlen(text), "request", &out, &why), expected != NULL);
    assert_string_equal(lun_buf_text(&out) + 7, expected ? expected : "");
    if (!expected && says && (!why || !strstr(why, says))) fail_msg("\"%s\" does not say \"%s\"", why ? why : "", says);
    if (!expected && !says) assert_null(why);
    lun_buf_free(&out);
}

TEST(it_gives_what_the_function_leaves_of_a_text_with_what_that_is)
{
    make("return function(text, what) return (text:gsub('%d', '#')) .. ' of a ' .. what end");
    gives("call 0151", "call #### of a request", NULL);
    gives("", " of a request", NULL);
    gives("a\001b", "a\001b of a request", NULL);
}

TEST(nothing_is_kept_where_it_says_so_or_fails)
{
    make("return function(text)\n"
         "  if text == 'nil' then return nil end\n"
         "  if text == 'none' then return end\n"
         "  if text == 'false' then return false end\n"
         "  if text == 'number' then return 5 end\n"
         "  if text == 'error' then error 'oh' end\n"
         "  if text == 'loop' then while true do end end\n"
         "  if text == 'memory' then local t = {} while true do t[#t + 1] = text .. #t end end\n"
         "  if text == 'wait' then require('lunette').sleep(1) end\n"
         "  return text\n"
         "end");
    gives("nil", NULL, NULL), gives("none", NULL, NULL);
    gives("false", NULL, "neither"), gives("number", NULL, "neither");
    gives("error", NULL, "redact.lua:6: oh");
    gives("loop", NULL, "redact.lua:7: stopped");
    gives("memory", NULL, "stopped");
    gives("wait", NULL, "");
    gives("fine", "fine", NULL);                /* after all of that */
}

TEST(it_has_no_files_and_no_processes)
{
    make("return function() return tostring(io) .. tostring(os.execute) .. tostring(load) end");
    gives("x", "nilnilnil", NULL);
}

static void refuses(const char *text, const char *says)
{
    assert_null(lun_redact_new("redact.lua", text, strlen(text), LUN_CPU_STEPS, &error));
    if (!strstr(error, says)) fail_msg("\"%s\" does not say \"%s\"", error, says);
    free(error);
    error = NULL;
}

TEST(a_file_that_gives_no_function_is_refused_with_its_name)
{
    refuses("return 5", "redact.lua: it has to return a function(text, what)");
    refuses("", "it has to return a function");
    refuses("\nreturn function(", "redact.lua:2:");
    refuses("error 'early'", "redact.lua:1: early");
    refuses("while true do end", "redact.lua:1: stopped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_gives_what_the_function_leaves_of_a_text_with_what_that_is, end),
        cmocka_unit_test_teardown(nothing_is_kept_where_it_says_so_or_fails, end),
        cmocka_unit_test_teardown(it_has_no_files_and_no_processes, end),
        cmocka_unit_test_teardown(a_file_that_gives_no_function_is_refused_with_its_name, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

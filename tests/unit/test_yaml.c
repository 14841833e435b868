/* YAML as a tree with lines: what stands in it, what is refused and in which line, and that no text makes it large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "cli/yaml.h"
#include <stdlib.h>
#include <string.h>

#define TEST(name) static void name(void **state)

static struct lun_arena arena;
static struct lun_mistakes mistakes, notes;

static int end(void **state)
{
    (void)state;
    lun_arena_free(&arena);
    lun_mistakes_free(&mistakes);
    lun_mistakes_free(&notes);
    return 0;
}

static struct lun_yaml *read_text(const char *text, size_t n) { return lun_yaml_read("c.yaml", text, n, &arena, &mistakes, &notes); }

static struct lun_yaml *reads(const char *text)
{
    struct lun_yaml *v = read_text(text, strlen(text));
    if (!v) fail_msg("line %d: %s", mistakes.n ? mistakes.items[0].line : 0, mistakes.n ? mistakes.items[0].what : "?");
    return v;
}

static void refused(const char *text, int line, const char *what)
{
    assert_null(read_text(text, strlen(text)));
    assert_int_equal(mistakes.n, 1);
    assert_string_equal(mistakes.items[0].file, "c.yaml");
    assert_int_equal(mistakes.items[0].line, line);
    if (!strstr(mistakes.items[0].what, what)) fail_msg("\"%s\" is not in: %s", what, mistakes.items[0].what);
    lun_mistakes_free(&mistakes);
}

static const char *text_of(const struct lun_yaml *map, const char *name)
{
    const struct lun_yaml *v = lun_yaml_get(map, name);
    assert_non_null(v);
    assert_int_equal(v->kind, LUN_YAML_TEXT);
    return v->text;
}

TEST(every_value_knows_its_line)
{
    (void)state;
    struct lun_yaml *v = reads("# first\na: 1\nb:\n  - x\n  - {c: 'two'}\n");
    assert_int_equal(v->kind, LUN_YAML_MAP);
    assert_int_equal(lun_yaml_get(v, "a")->line, 2);
    const struct lun_yaml *b = lun_yaml_get(v, "b");
    assert_int_equal(v->lines[1], 3);
    assert_int_equal(b->n_items, 2);
    assert_int_equal(b->items[1]->line, 5);
    assert_string_equal(text_of(b->items[1], "c"), "two");
    assert_string_equal(b->items[1]->file, "c.yaml");
}

TEST(a_text_in_quotation_marks_is_not_plain)
{
    (void)state;
    struct lun_yaml *v = reads("a: 1\nb: '1'\nc: !!str 1\nd: !!int \"1\"\ne: ! 1\n");
    assert_true(lun_yaml_get(v, "a")->plain);
    assert_false(lun_yaml_get(v, "b")->plain);
    assert_false(lun_yaml_get(v, "c")->plain);
    assert_false(lun_yaml_get(v, "e")->plain);
}

TEST(an_alias_is_what_it_stands_for)
{
    (void)state;
    struct lun_yaml *v = reads("a: &x {k: 1}\nb: *x\nc: &x 2\nd: *x\n");
    assert_ptr_equal(lun_yaml_get(v, "a"), lun_yaml_get(v, "b"));
    assert_string_equal(text_of(v, "d"), "2");
}

TEST(what_is_merged_stands_behind_what_is_said)
{
    (void)state;
    struct lun_yaml *v = reads("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  c: 3\n  <<: [*x, *y]\n");
    const struct lun_yaml *z = lun_yaml_get(v, "z");
    assert_int_equal(z->n_items, 3);
    assert_string_equal(text_of(z, "a"), "1");
    assert_string_equal(text_of(z, "b"), "1");
    assert_string_equal(text_of(z, "c"), "3");
    refused("a:\n  <<: text\n", 2, "`<<` takes a map");
}

TEST(a_name_said_twice_is_noted_and_the_last_counts)
{
    (void)state;
    struct lun_yaml *v = reads("a: 1\nb: 2\na: 3\n");
    assert_string_equal(text_of(v, "a"), "3");
    assert_int_equal(v->n_items, 2);
    assert_int_equal(notes.n, 1);
    assert_int_equal(notes.items[0].line, 3);
    assert_string_equal(notes.items[0].what, "`a` is said twice, in line 1 too: the last one counts");
}

TEST(what_is_no_yaml_is_refused_with_its_line)
{
    (void)state;
    refused("a: 1\nb: [1, 2\nc: 3\n", 3, "is no YAML: did not find expected ',' or ']'");
    refused("a: 1\n\tb: 2\n", 2, "is no YAML");
    refused("a: \"x\n", 2, "is no YAML");
    refused("a: 1\n--- \nb: 2\n", 2, "a second document");
    refused("a: 1\n? [x]\n: 2\n", 2, "a name that is a list or a map");
    refused("a: 1\nb: !!python/object:os.system x\n", 2, "a tag that is not known here");
    refused("a: !mine x\n", 1, "a tag that is not known here");
    refused("a: \"x\\0y\"\n", 1, "byte 0");
}

TEST(bytes_that_are_no_text_are_refused)
{
    (void)state;
    refused("a: 1\nb: \xff\xfe\n", 2, "is no YAML");
    assert_null(read_text("a: \0b\n", 6));
}

TEST(an_alias_of_what_is_not_there_or_holds_it_is_refused)
{
    (void)state;
    refused("a: 1\nb: *x\n", 2, "an alias for what has not been said");
    refused("a: &x\n  b: [*x]\n", 2, "or not to its end");
}

TEST(an_empty_text_is_an_empty_value)
{
    (void)state;
    struct lun_yaml *v = reads("# nothing\n");
    assert_int_equal(v->kind, LUN_YAML_TEXT);
    assert_int_equal(v->n, 0);
}

/* Ten levels of ten aliases: 10^10 values, were they written out. */
TEST(aliases_that_multiply_are_refused)
{
    (void)state;
    struct lun_buf text = {0};
    lun_buf_puts(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
        lun_buf_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++) lun_buf_printf(&text, "%s*a%d", j ? ", " : "", i - 1);
        lun_buf_puts(&text, "]\n");
    }
    refused(lun_buf_text(&text), 5, "with its aliases written out it has more than 100000 values");
    lun_buf_free(&text);
}

TEST(merges_that_multiply_are_refused)
{
    (void)state;
    struct lun_buf text = {0};
    lun_buf_puts(&text, "a: &a\n");
    for (int i = 0; i < 1000; i++) lun_buf_printf(&text, "  k%d: 1\n", i);
    lun_buf_puts(&text, "b:\n");
    for (int i = 0; i < 200; i++) lun_buf_printf(&text, "  m%d: {<<: *a}\n", i);
    assert_null(read_text(lun_buf_text(&text), text.n));
    assert_non_null(strstr(mistakes.items[0].what, "100000 values"));
    lun_buf_free(&text);
}

TEST(what_lies_too_deep_is_refused)
{
    (void)state;
    char text[2 * LUN_YAML_DEEP + 3] = "";
    memset(text, '[', LUN_YAML_DEEP), memset(text + LUN_YAML_DEEP, ']', LUN_YAML_DEEP);
    text[2 * LUN_YAML_DEEP] = 0;
    reads(text);
    memset(text, '[', LUN_YAML_DEEP + 1), memset(text + LUN_YAML_DEEP + 1, ']', LUN_YAML_DEEP + 1);
    refused(text, 1, "more than 64 levels");
}

TEST(lists_and_maps_take_more)
{
    (void)state;
    struct lun_yaml *v = reads("a: [1, 2, 3]\nb: [4]\n"), *a = lun_yaml_get(v, "a"), *b = lun_yaml_get(v, "b");
    lun_yaml_extend(a, b, &arena);
    lun_yaml_extend(a, b, &arena);
    assert_int_equal(a->n_items, 5);
    assert_string_equal(a->items[4]->text, "4");
    lun_yaml_set(v, "b", 7, a, &arena);
    lun_yaml_set(v, "c", 8, b, &arena);
    assert_ptr_equal(lun_yaml_get(v, "b"), a);
    assert_ptr_equal(lun_yaml_get(v, "c"), b);
    assert_int_equal(v->lines[2], 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_value_knows_its_line, end),
        cmocka_unit_test_teardown(a_text_in_quotation_marks_is_not_plain, end),
        cmocka_unit_test_teardown(an_alias_is_what_it_stands_for, end),
        cmocka_unit_test_teardown(what_is_merged_stands_behind_what_is_said, end),
        cmocka_unit_test_teardown(a_name_said_twice_is_noted_and_the_last_counts, end),
        cmocka_unit_test_teardown(what_is_no_yaml_is_refused_with_its_line, end),
        cmocka_unit_test_teardown(bytes_that_are_no_text_are_refused, end),
        cmocka_unit_test_teardown(an_alias_of_what_is_not_there_or_holds_it_is_refused, end),
        cmocka_unit_test_teardown(an_empty_text_is_an_empty_value, end),
        cmocka_unit_test_teardown(aliases_that_multiply_are_refused, end),
        cmocka_unit_test_teardown(merges_that_multiply_are_refused, end),
        cmocka_unit_test_teardown(what_lies_too_deep_is_refused, end),
        cmocka_unit_test_teardown(lists_and_maps_take_more, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

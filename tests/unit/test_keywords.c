#include "base/fold.h"
#include "base/keywords.h"
#include "base/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct lun_buf scratch;

static int found(const char *text, size_t n, const char *const *words)
{
    struct lun_buf all = {0};
    size_t sizes[16], at = 0;
    int count = 0;
    for (; words[count]; count++) {
        size_t from = all.n;
        lun_keywords_prepare(words[count], strlen(words[count]), &all);
        sizes[count] = all.n - from;
    }
    struct lun_keywords *k = lun_keywords_init(malloc(lun_keywords_size(count, all.n)), count);
    for (int i = 0; i < count; at += sizes[i++]) lun_keywords_add(k, all.at + at, sizes[i]);
    int result = 0;
    scratch.n = 0;
    lun_keywords_prepare(text, n, &scratch);
    for (int i = 0; scratch.n && i < lun_keywords_count(k); i++) result += lun_keywords_stands(k, i, scratch.at, scratch.n);
    lun_buf_free(&all);
    free(k);
    return result;
}
#define FOUND(text, ...) found(text, sizeof text - 1, (const char *const[]){ __VA_ARGS__, NULL })

static void assert_folds(const char *a, const char *b)
{
    struct lun_buf x = {0}, y = {0};
    lun_fold(a, strlen(a), &x);
    lun_fold(b, strlen(b), &y);
    assert_string_equal(lun_buf_text(&x), lun_buf_text(&y));
    lun_buf_free(&x), lun_buf_free(&y);
}

static void case_and_composition_make_no_difference(void **state)
{
    (void)state;
    assert_folds("PHÂN TÍCH", "phân tích");
    assert_folds("ph\xc3\xa2n t\xc3\xad" "ch", "pha\xcc\x82n ti\xcc\x81" "ch");
    assert_folds("\xe1\xbb\x87", "e\xcc\xa3\xcc\x82");          /* ệ: composed; dot below, circumflex; */
    assert_folds("\xe1\xbb\x87", "e\xcc\x82\xcc\xa3");          /* circumflex, dot below; */
    assert_folds("\xe1\xbb\x87", "\xc3\xaa\xcc\xa3");           /* ê and a dot below; */
    assert_folds("\xe1\xbb\x86", "\xe1\xba\xb8\xcc\x82");       /* upper case, Ẹ and a circumflex */
    assert_folds("Đ", "đ");
    assert_folds("Straße", "STRASSE");
}

static void other_letters_stay_others(void **state)
{
    struct lun_buf a = {0}, b = {0};
    (void)state;
    lun_fold("ma", 2, &a);
    lun_fold("má", 3, &b);
    assert_int_not_equal(a.n, b.n);
    lun_buf_free(&a), lun_buf_free(&b);
}

static void anything_can_be_folded_within_bounds(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        unsigned char text[64];
        size_t n = (size_t)rand() % sizeof text;
        for (size_t i = 0; i < n; i++) text[i] = (unsigned char)(rand() & (round & 1 ? 0xff : 0x8f));
        char *exact = malloc(n + !n);
        memcpy(exact, text, n);
        struct lun_buf out = {0};
        lun_fold(exact, n, &out);
        assert_true(lun_text_valid(out.at, out.n));
        assert_true(out.n <= 20 * n);
        lun_buf_free(&out);
        free(exact);
    }
}

static void a_thousand_marks_on_one_letter_cost_no_square(void **state)
{
    struct lun_buf text = {0}, out = {0};
    (void)state;
    lun_buf_putc(&text, 'e');
    for (int i = 0; i < 200000; i++) lun_buf_puts(&text, i & 1 ? "\xcc\x82" : "\xcc\xa3");
    lun_fold(text.at, text.n, &out);
    assert_int_equal(out.n, text.n);
    lun_buf_free(&text), lun_buf_free(&out);
}

static void different_keywords_are_counted_once_each(void **state)
{
    (void)state;
    assert_int_equal(FOUND("Analyze and compare, then analyze again", "analyze", "compare", "evaluate"), 2);
    assert_int_equal(FOUND("Analyze", "analyze", "ANALYZE"), 1);
    assert_int_equal(FOUND("", "analyze"), 0);
    assert_int_equal(FOUND("Hãy PHÂN TÍCH và So Sánh", "phân tích", "so sánh", "tại sao"), 2);
    assert_int_equal(FOUND("ha\xcc\x83y pha\xcc\x82n ti\xcc\x81" "ch; Ta\xcc\xa3i sao?", "phân tích", "so sánh", "tại sao"), 2);
}

static void a_keyword_begins_with_a_word_and_may_go_on(void **state)
{
    (void)state;
    assert_int_equal(FOUND("two algorithms", "algorithm"), 1);
    assert_int_equal(FOUND("\"algorithm\"", "algorithm"), 1);
    assert_int_equal(FOUND("\xe2\x80\x9c" "algorithm", "algorithm"), 1);       /* a curly quote before it */
    assert_int_equal(FOUND("paranalyze", "analyze"), 0);
    assert_int_equal(FOUND("n\xc3\xa9" "analyze analyze", "analyze"), 1);      /* the first is in the middle of a word */
    assert_int_equal(FOUND("subclass A", "class "), 0);
    assert_int_equal(FOUND("class\tA:", "class "), 1);
    assert_int_equal(FOUND("in between\n  a", "between a"), 1);
    assert_int_equal(FOUND("x```py", "```"), 1);
}

static void a_letter_with_a_mark_is_another_letter(void **state)
{
    (void)state;
    assert_int_equal(FOUND("tài", "tai"), 0);
    assert_int_equal(FOUND("lá", "la"), 0);
    assert_int_equal(FOUND("la\xcc\x81", "la"), 0);
    assert_int_equal(FOUND("la", "la"), 1);
}

static void scripts_without_spaces_are_searched_anywhere(void **state)
{
    (void)state;
    assert_int_equal(FOUND("\xe8\xaf\xb7\xe5\x88\x86\xe6\x9e\x90\xe4\xb8\x80\xe4\xb8\x8b", "\xe5\x88\x86\xe6\x9e\x90"), 1);
}

static void a_character_is_one_however_it_is_composed(void **state)
{
    (void)state;
    assert_int_equal(lun_text_chars("ph\xc3\xa2n t\xc3\xad" "ch", 11), 9);
    assert_int_equal(lun_text_chars("pha\xcc\x82n ti\xcc\x81" "ch", 13), 9);
    assert_int_equal(lun_text_chars("\xcd\xaf\xcd\xb0", 4), 1);
    assert_int_equal(lun_text_chars("a\xcc", 2), 2);
    assert_int_equal(lun_text_chars("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_and_composition_make_no_difference),
        cmocka_unit_test(other_letters_stay_others),
        cmocka_unit_test(anything_can_be_folded_within_bounds),
        cmocka_unit_test(a_thousand_marks_on_one_letter_cost_no_square),
        cmocka_unit_test(different_keywords_are_counted_once_each),
        cmocka_unit_test(a_keyword_begins_with_a_word_and_may_go_on),
        cmocka_unit_test(a_letter_with_a_mark_is_another_letter),
        cmocka_unit_test(scripts_without_spaces_are_searched_anywhere),
        cmocka_unit_test(a_character_is_one_however_it_is_composed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lun_buf_free(&scratch);
    return failed;
}

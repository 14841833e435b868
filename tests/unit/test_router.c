/* The small model of questions: its features, what it learns, and that what it says is the same wherever it is asked. */
#include "base/alloc.h"
#include "base/ridge.h"
#include "state/router_train.h"
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { W = LUN_ROUTER_WEIGHT };

static size_t features_of(const char *text, size_t n, uint16_t *out)
{
    size_t count = lun_router_features(text, n, out);
    assert_true(count <= LUN_ROUTER_FEATURES);
    for (size_t i = 0; i < count; i++) {
        assert_true(out[i] < LUN_ROUTER_PLACES);
        for (size_t j = 0; j < i && count < 1000; j++) assert_int_not_equal(out[i], out[j]);
    }
    return count;
}

static bool same(const char *a, const char *b)
{
    uint16_t x[LUN_ROUTER_FEATURES], y[LUN_ROUTER_FEATURES];
    size_t n = features_of(a, strlen(a), x);
    return n == features_of(b, strlen(b), y) && !memcmp(x, y, n * sizeof *x);
}

static size_t count(const char *text)
{
    uint16_t out[LUN_ROUTER_FEATURES];
    return features_of(text, strlen(text), out);
}

static void case_blanks_and_digits_make_no_difference(void **state)
{
    (void)state;
    assert_true(same("What is a Group", "what IS  a\n\tgroup"));
    assert_true(same("add 12 and 345", "add 98 and 761"));
    assert_false(same("12345 sheep", "1234567 sheep"));     /* by their length */
    assert_true(same("0123456789012345 sheep", "01234567890123456789 sheep"));
    assert_false(same("add 12 and 34", "add 123 and 34"));
    assert_false(same("what is a group", "what is a ring"));
    assert_false(same("a ring is what", "what is a ring"));
    assert_false(same("is it so?", "is it so"));
    assert_false(same("4th", "5th"));
}

static void each_feature_counts_once(void **state)
{
    (void)state;
    assert_int_equal(count(""), 0);
    assert_int_equal(count(" \n "), 0);
    assert_int_equal(count("is"), 3 + W);           /* the word, alone and as the first of a pair and of a triple; too short for pieces; a word or more */
    assert_int_equal(count("ring"), 3 + 2 + W);     /* <ring and ring> */
    assert_int_equal(count("is is"), 3 + 2 + 2 * W);    /* a pair and a triple more; two words or more */
}

static void amounts_are_added_up(void **state)
{
    (void)state;
    assert_int_equal(count("a. a") - count("a; a"), W);             /* a sentence */
    assert_int_equal(count("a.a") - count("a;a"), 0);
    assert_int_equal(count("a! a?") - count("a; a:"), 2 * W);
    assert_int_equal(count("a, a") - count("a; a"), W);             /* a comma */
    assert_int_equal(count("7") - count("a"), (1 + 1 + 1 + 13) * W);        /* a number, another one, a digit, 100 in 100 */
    assert_int_equal(count("3.5 a") - count("3;5 a"), (1 - 1 - 2) * W);     /* a decimal, and not two numbers, nor as many in 100 */
    assert_int_equal(count("3/5 a") - count("3;5 a"), W);           /* a fraction */
    assert_int_equal(count("3;5") - count("3;3"), W);               /* two different ones */
}

static void of_a_long_text_both_ends_are_looked_at(void **state)
{
    enum { LONG = 3 * LUN_ROUTER_LOOKED_AT };
    char a[LONG], b[LONG];
    uint16_t x[LUN_ROUTER_FEATURES], y[LUN_ROUTER_FEATURES];
    (void)state;
    for (int i = 0; i < LONG; i++) a[i] = b[i] = " etaoinshrdlu?"[i * 7919 / 13 % 14];
    memset(b + LONG / 2, 'z', 100);
    size_t n = features_of(a, LONG, x);
    assert_int_equal(features_of(b, LONG, y), n);
    assert_memory_equal(x, y, n * sizeof *x);
    b[LONG - 1] = '!', features_of(b, LONG, y);
    assert_true(features_of(b, LONG, y) != n || memcmp(x, y, n * sizeof *x));
}

static void any_bytes_have_features(void **state)
{
    char text[LUN_ROUTER_LOOKED_AT + 1];
    uint64_t chance = 1;
    (void)state;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof text; i++) text[i] = (char)((chance = chance * 6364136223846793005u + 1) >> 56);
        uint16_t out[LUN_ROUTER_FEATURES];
        features_of(text, (size_t)(chance >> 40) % sizeof text, out);
    }
    for (int byte = 0; byte < 256; byte++) {
        uint16_t out[LUN_ROUTER_FEATURES];
        memset(text, byte, sizeof text);
        features_of(text, sizeof text, out);
    }
}

/* ---- ridge regression ---- */

/* Two rows: the first has features 0 and 1, the second 1 alone; targets 1 and 2, penalty 1. By hand: (XᵀX + 1) w = Xᵀy with X = ((√½, √½), (0, 1)). */
static void the_weights_are_those_of_the_equations(void **state)
{
    const uint16_t feature[] = { 0, 1, 1 };
    const size_t from[] = { 0, 2, 3 };
    const double target[] = { 1, 2 };
    const uint32_t row[] = { 0, 1 };
    struct lun_ridge r = { feature, from, target, row, 2, 2 };
    double w[2] = {0}, h = sqrt(0.5), det = 1.5 * 2.5 - 0.25;
    (void)state;
    lun_ridge_fit(&r, 1, w);
    assert_float_equal(w[0], (h * 2.5 - 0.5 * (h + 2)) / det, 1e-6);
    assert_float_equal(w[1], (1.5 * (h + 2) - 0.5 * h) / det, 1e-6);
    assert_float_equal(lun_ridge_says(&r, 0, w), h * (w[0] + w[1]), 1e-12);
    double before[2] = { w[0], w[1] };
    lun_ridge_fit(&r, 1, w);                        /* nothing is better */
    assert_float_equal(w[0], before[0], 1e-6), assert_float_equal(w[1], before[1], 1e-6);
}

/* ---- learning ---- */

/* Questions of two kinds, of which the strong model is needed for one, among words that say nothing. */
static void make_lessons(struct lun_lessons *l, int n, bool needed, bool wanted)
{
    char text[200];
    for (int i = 0; i < n; i++) {
        bool hard = i * 7 % 3 == 0;
        snprintf(text, sizeof text, "please %s the %c%c thing number %d", hard ? "prove" : "translate", 'a' + i % 26, 'a' + i / 26 % 26, i);
        assert_true(lun_lessons_add(l, text, strlen(text), wanted ? 1 : needed ? !hard : 0, 1));
    }
}

static void what_can_be_told_apart_is_learned(void **state)
{
    struct lun_lessons l = {0};
    const char *why;
    (void)state;
    make_lessons(&l, 600, true, false);
    struct lun_training *t = lun_router_train(&l, true, &why);
    assert_non_null(t);
    struct lun_routed *r = lun_alloc(l.n * sizeof *r);
    size_t n = lun_router_try(&t->router, &l, true, r);
    assert_int_equal(n + t->n, l.n);
    assert_true(n > 60 && n < 180);
    double hard = 0;
    for (size_t i = 0; i < n; i++) hard += r[i].strong - r[i].weak;
    assert_float_equal(lun_recovery_cpt(r, n, 1), hard / (double)n, 1e-12);       /* all of the hard ones first */
    assert_true(lun_router_gain(&t->router, "prove it", 8) > lun_router_gain(&t->router, "translate it", 12));
    free(r), free(t);
    lun_lessons_free(&l);
}

static void a_question_is_given_the_same_figure_everywhere(void **state)
{
    struct lun_lessons l = {0};
    uint16_t features[LUN_ROUTER_FEATURES];
    const char *why, *asked = "Please PROVE that 42 is even, and translate the proof into Türkçe.";
    (void)state;
    make_lessons(&l, 200, true, false);
    struct lun_training *t = lun_router_train(&l, false, &why);
    assert_int_equal(t->n, 200);
    double gain = lun_router_gain(&t->router, asked, strlen(asked));
    size_t n = lun_router_features(asked, strlen(asked), features);
    assert_true(gain == lun_router_gain_of(&t->router, features, n));
    char copy[LUN_ROUTER_SIZE];
    memcpy(copy, t->text, sizeof copy);
    assert_true(gain == lun_router_gain(&(struct lun_router){ copy, t->router.scale, t->router.base }, asked, strlen(asked)));
    assert_true(lun_router_gain(&t->router, "", 0) == t->router.base);
    free(t);
    lun_lessons_free(&l);
}

static void the_same_lessons_give_the_same_bytes(void **state)
{
    struct lun_training *t[2];
    const char *why;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lun_lessons l = {0};
        make_lessons(&l, 300, true, false);
        t[i] = lun_router_train(&l, true, &why);
        lun_lessons_free(&l);
    }
    assert_memory_equal(t[0]->text, t[1]->text, sizeof t[0]->text);
    assert_true(t[0]->router.scale == t[1]->router.scale && t[0]->router.base == t[1]->router.base && t[0]->penalty == t[1]->penalty);
    free(t[0]), free(t[1]);
}

static void its_text_is_lines_of_plain_letters(void **state)
{
    double *weights = lun_zalloc(LUN_ROUTER_PLACES * sizeof *weights);
    char *text = lun_alloc(LUN_ROUTER_SIZE);
    (void)state;
    for (int i = 0; i < LUN_ROUTER_PLACES; i++) weights[i] = sin(i) * 3;
    weights[5] = -5.4, weights[LUN_ROUTER_PLACES - 1] = 5.4;
    assert_float_equal(lun_router_pack(weights, text), 0.2, 1e-12);
    for (int i = 0; i < LUN_ROUTER_SIZE; i++) {
        if (i % (LUN_ROUTER_LINE + 1) == LUN_ROUTER_LINE) assert_int_equal(text[i], '\n');
        else assert_true(text[i] >= '%' && text[i] <= '[');
    }
    assert_int_equal(text[5], '%'), assert_int_equal(text[LUN_ROUTER_SIZE - 2], '['), assert_int_equal(text[0], '@');
    memset(weights, 0, LUN_ROUTER_PLACES * sizeof *weights);
    assert_true(lun_router_pack(weights, text) == 0);
    assert_int_equal(text[0], '@');
    free(weights), free(text);
}

static void assert_nothing_learned(struct lun_lessons *l, const char *reason)
{
    const char *why;
    assert_null(lun_router_train(l, false, &why));
    if (!strstr(why, reason)) fail_msg("%s", why);
    lun_lessons_free(l);
}

static void where_nothing_can_be_learned_it_says_why(void **state)
{
    struct lun_lessons l = {0};
    (void)state;
    assert_nothing_learned(&l, "too few rows");
    make_lessons(&l, LUN_LESSONS_LEAST - 1, true, false);
    assert_nothing_learned(&l, "too few rows");
    make_lessons(&l, 100, false, true);
    assert_nothing_learned(&l, "in no row do `weak` and `strong` differ");
    make_lessons(&l, 100, false, false);
    assert_nothing_learned(&l, "differ by the same");
    make_lessons(&l, LUN_LESSONS_LEAST, true, false);
    const char *why;
    struct lun_training *t = lun_router_train(&l, false, &why);
    assert_non_null(t);
    free(t), lun_lessons_free(&l);
}

/* So that no question is measured on that was learned from. */
static void equal_questions_are_held_out_together(void **state)
{
    struct lun_lessons l = {0};
    (void)state;
    for (int i = 0; i < 50; i++) lun_lessons_add(&l, "the same", 8, i & 1, 1), lun_lessons_add(&l, i & 1 ? "one" : "two", 3, 0, 1);
    for (size_t i = 2; i < l.n; i += 2) assert_int_equal(lun_lesson_held_out(&l.lesson[i]), lun_lesson_held_out(&l.lesson[0]));
    lun_lessons_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_blanks_and_digits_make_no_difference),
        cmocka_unit_test(each_feature_counts_once),
        cmocka_unit_test(amounts_are_added_up),
        cmocka_unit_test(of_a_long_text_both_ends_are_looked_at),
        cmocka_unit_test(any_bytes_have_features),
        cmocka_unit_test(the_weights_are_those_of_the_equations),
        cmocka_unit_test(what_can_be_told_apart_is_learned),
        cmocka_unit_test(a_question_is_given_the_same_figure_everywhere),
        cmocka_unit_test(the_same_lessons_give_the_same_bytes),
        cmocka_unit_test(its_text_is_lines_of_plain_letters),
        cmocka_unit_test(where_nothing_can_be_learned_it_says_why),
        cmocka_unit_test(equal_questions_are_held_out_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

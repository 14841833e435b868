/* The last texts that were put. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/ring.h"
#include <stdio.h>
#include <string.h>

#define TEST(name) static void name(void **unused_state __attribute__((unused)))

static struct lun_ring *ring;

static int end(void **state) { (void)state; lun_ring_free(ring); ring = NULL; return 0; }

static uint64_t put(const char *text, const char *appendix) { return lun_ring_put(ring, text, strlen(text), appendix, appendix ? strlen(appendix) : 0); }

static void has(uint64_t number, const char *text, const char *appendix)
{
    struct lun_buf t = {0}, a = {0};
    assert_true(lun_ring_get(ring, number, &t, &a));
    assert_string_equal(lun_buf_text(&t), text);
    assert_string_equal(lun_buf_text(&a), appendix);
    lun_buf_free(&t), lun_buf_free(&a);
}

static void gone(uint64_t number)
{
    struct lun_buf t = {0};
    assert_false(lun_ring_get(ring, number, &t, NULL));
    assert_int_equal(t.n, 0);
    lun_buf_free(&t);
}

TEST(texts_are_found_by_their_numbers_with_what_belongs_to_them)
{
    ring = lun_ring_new(100, 10);
    assert_int_equal(lun_ring_newest(ring), 0);
    gone(0), gone(1);
    assert_int_equal(put("one", NULL), 1);
    assert_int_equal(put("", "two"), 2);
    assert_int_equal(put("three", "3"), 3);
    assert_int_equal(lun_ring_newest(ring), 3);
    has(1, "one", ""), has(2, "", "two"), has(3, "three", "3");
    gone(4), gone(UINT64_MAX);
}

TEST(no_more_of_them_are_kept_than_were_asked_for)
{
    ring = lun_ring_new(100, 3);
    for (int i = 0; i < 5; i++) put((char[]){ (char)('a' + i), 0 }, NULL);
    gone(1), gone(2);
    has(3, "c", ""), has(4, "d", ""), has(5, "e", "");
}

TEST(the_oldest_go_when_there_is_no_room_and_none_is_ever_told_in_part)
{
    char text[64], appendix[64];
    ring = lun_ring_new(97, 1000);
    for (unsigned i = 1; i < 3000; i++) {
        snprintf(text, sizeof text, "%.*s%u", i % 23, "-----------------------", i);
        snprintf(appendix, sizeof appendix, "%.*s", i % 7, "+++++++");
        assert_int_equal(put(text, appendix), i);
        has(i, text, appendix);
    }
    size_t kept = 0, number = 2999;
    for (struct lun_buf b = {0}; lun_ring_get(ring, number, &b, &b); lun_buf_free(&b)) kept += b.n, number--;
    assert_in_range(kept, 97 - 40, 97);
    gone(number);
}

TEST(what_is_longer_than_the_room_loses_what_belongs_to_it_or_is_not_taken)
{
    ring = lun_ring_new(8, 4);
    put("before", NULL);
    assert_int_equal(put("nine bytes", NULL), 0);
    has(1, "before", "");
    put("12345", "6789");
    has(2, "12345", "");
    put("12345678", NULL);
    has(3, "12345678", "");
    gone(2);
}

TEST(what_is_forgotten_is_gone_and_what_came_after_is_not)
{
    ring = lun_ring_new(20, 10);
    for (int i = 0; i < 7; i++) put("1234", "5");           /* the last four of them are there */
    lun_ring_forget(ring, 5);
    gone(4), gone(5);
    has(6, "1234", "5"), has(7, "1234", "5");
    lun_ring_forget(ring, 100);
    gone(6), gone(7);
    assert_int_equal(lun_ring_newest(ring), 7);
    assert_int_equal(put("8", NULL), 8);
    has(8, "8", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(texts_are_found_by_their_numbers_with_what_belongs_to_them, end),
        cmocka_unit_test_teardown(no_more_of_them_are_kept_than_were_asked_for, end),
        cmocka_unit_test_teardown(the_oldest_go_when_there_is_no_room_and_none_is_ever_told_in_part, end),
        cmocka_unit_test_teardown(what_is_longer_than_the_room_loses_what_belongs_to_it_or_is_not_taken, end),
        cmocka_unit_test_teardown(what_is_forgotten_is_gone_and_what_came_after_is_not, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Memory that is freed all at once, and what is left of it for those that come after. */
#include "base/arena.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static void what_it_gives_is_apart_and_aligned(void **state)
{
    struct lun_arena a = {0};
    unsigned char *given[300];
    (void)state;
    for (int i = 0; i < 300; i++) {
        size_t n = (size_t)(i * i % 30011);
        given[i] = lun_arena_alloc(&a, n);
        assert_int_equal((uintptr_t)given[i] % _Alignof(max_align_t), 0);
        memset(given[i], i, n);
    }
    for (int i = 0; i < 300; i++)
        for (size_t n = (size_t)(i * i % 30011); n--; ) if (given[i][n] != (unsigned char)i) fail_msg("byte %zu of the %dth was written by another", n, i);
    lun_arena_free(&a);
    assert_null(a.block);
}

static void the_next_one_gets_what_the_last_one_left(void **state)
{
    struct lun_arena_stock stock = {0};
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct lun_arena a = { .stock = &stock }, b = { .stock = &stock };
        for (int i = 0; i < 20; i++) memset(lun_arena_alloc(i % 2 ? &a : &b, 1000), i, 1000);
        memset(lun_arena_alloc(&a, 100000), 1, 100000);
        int left = stock.n;
        lun_arena_free(&a);
        lun_arena_free(&b);
        assert_true(stock.n >= left);
        if (round) assert_int_equal(stock.n, lun_arena_keeps ? 4 : 0);      /* 10,000 bytes each: two blocks; the large one is malloc's again */
    }
    lun_arena_stock_free(&stock);
    assert_null(stock.block);
}

static void a_crowd_leaves_only_so_much(void **state)
{
    struct lun_arena_stock stock = {0};
    struct lun_arena all[500];
    (void)state;
    for (int i = 0; i < 500; i++) {
        all[i] = (struct lun_arena){ .stock = &stock };
        lun_arena_zalloc(&all[i], 100);
    }
    for (int i = 0; i < 500; i++) lun_arena_free(&all[i]);
    assert_int_equal(stock.n, lun_arena_keeps);
    lun_arena_stock_free(&stock);
}

static void what_is_borrowed_is_the_last_borrowers(void **state)
{
    struct lun_arena_stock stock = {0};
    struct lun_arena a = { .stock = &stock }, b = { .stock = &stock }, alone = {0};
    uint64_t of_a = 0, of_b = 0, later;
    (void)state;
    assert_false(lun_arena_has_borrowed(&a, of_a));
    lun_buf_puts(lun_arena_borrow(&a, &of_a), "of a");
    assert_true(lun_arena_has_borrowed(&a, of_a));
    struct lun_buf *text = lun_arena_borrow(&b, &of_b);
    assert_int_equal(text->n, 0);
    lun_buf_puts(text, "of b");
    assert_false(lun_arena_has_borrowed(&a, of_a));
    assert_true(lun_arena_has_borrowed(&b, of_b));
    lun_arena_free(&b);
    lun_arena_borrow(&b, &later);                   /* another one, which came to lie where it was */
    assert_false(lun_arena_has_borrowed(&b, of_b));
    assert_true(lun_arena_has_borrowed(&b, later));
    lun_arena_free(&a);
    lun_arena_free(&b);
    assert_null(lun_arena_borrow(&alone, &later));
    assert_false(lun_arena_has_borrowed(&alone, later));
    lun_arena_stock_free(&stock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_gives_is_apart_and_aligned),
        cmocka_unit_test(the_next_one_gets_what_the_last_one_left),
        cmocka_unit_test(a_crowd_leaves_only_so_much),
        cmocka_unit_test(what_is_borrowed_is_the_last_borrowers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

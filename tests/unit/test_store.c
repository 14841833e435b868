/* lunette.store in memory: bounded, least recently used first, values that end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/siphash.h"
#include "state/store.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY ((size_t)1 << 20)

static bool set(struct lun_store *s, const char *key, const char *value, lun_us ttl, lun_us now)
{
    return lun_store_set(s, key, strlen(key), 's', value, strlen(value), ttl, now);
}

/* The text of a value, or NULL; good until the next call. */
static const char *get(struct lun_store *s, const char *key, lun_us now)
{
    static char text[256];
    struct lun_buf out = {0};
    char type = 0;
    bool there = lun_store_get(s, key, strlen(key), now, &type, &out);
    if (there) {
        assert_int_equal(type, 's');
        snprintf(text, sizeof text, "%.*s", (int)out.n, out.at ? out.at : "");
    } else assert_int_equal(out.n, 0);
    lun_buf_free(&out);
    return there ? text : NULL;
}

static void what_was_set_is_there_until_it_is_replaced_or_removed(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(MANY);
    assert_null(get(s, "a", 0));
    assert_true(set(s, "a", "one", 0, 0));
    assert_true(set(s, "b", "", 0, 0));
    assert_string_equal(get(s, "a", INT64_MAX - 1), "one");
    assert_string_equal(get(s, "b", 0), "");
    assert_true(set(s, "a", "a longer second", 0, 0));
    assert_string_equal(get(s, "a", 0), "a longer second");
    lun_store_remove(s, "a", 1);
    lun_store_remove(s, "never there", 11);
    assert_null(get(s, "a", 0));
    assert_string_equal(get(s, "b", 0), "");
    lun_store_free(s);
}

static void keys_and_values_are_any_bytes(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(MANY);
    struct lun_buf out = {0};
    char type;
    assert_true(lun_store_set(s, "k\0one", 5, 'x', "\0\1\0", 3, 0, 0));
    assert_true(lun_store_set(s, "k\0two", 5, 'y', NULL, 0, 0, 0));
    assert_true(lun_store_set(s, NULL, 0, 'z', "empty key", 9, 0, 0));
    lun_buf_puts(&out, "before ");
    assert_true(lun_store_get(s, "k\0one", 5, 0, &type, &out));
    assert_int_equal(type, 'x');
    assert_int_equal(out.n, 10);
    assert_memory_equal(out.at, "before \0\1\0", 10);            /* added to what was there */
    assert_false(lun_store_get(s, "k", 1, 0, &type, &out));
    assert_true(lun_store_get(s, "", 0, 0, &type, &out));
    assert_int_equal(type, 'z');
    lun_buf_free(&out);
    lun_store_free(s);
}

static void a_value_ends_when_its_time_is_over(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(MANY);
    set(s, "a", "short", 5 * LUN_SECOND, 10 * LUN_SECOND);
    assert_string_equal(get(s, "a", 15 * LUN_SECOND - 1), "short");
    assert_null(get(s, "a", 15 * LUN_SECOND));
    set(s, "a", "again", LUN_NEVER, 20 * LUN_SECOND);
    assert_string_equal(get(s, "a", LUN_NEVER - 1), "again");
    set(s, "a", "short", 5, 20 * LUN_SECOND);                   /* a new ttl with the new value */
    assert_null(get(s, "a", 21 * LUN_SECOND));
    lun_store_free(s);
}

static void what_is_too_large_is_refused_and_what_stood_there_stays(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(MANY), *tiny = lun_store_new(100);
    char *big = calloc(1, 65537);
    assert_true(lun_store_set(s, "a", 1, 's', big, 65536, 0, 0));
    set(s, "a", "stays", 0, 0);
    assert_false(lun_store_set(s, "a", 1, 's', big, 65537, 0, 0));
    assert_string_equal(get(s, "a", 0), "stays");
    assert_true(lun_store_set(s, big, 1024, 's', "x", 1, 0, 0));
    assert_false(lun_store_set(s, big, 1025, 's', "x", 1, 0, 0));
    double out;
    assert_false(lun_store_incr(s, big, 1025, 1, 0, 0, &out));
    assert_false(lun_store_set(tiny, "a", 1, 's', big, 100, 0, 0));
    lun_store_remove(s, big, 65537);
    free(big);
    lun_store_free(s);
    lun_store_free(tiny);
}

static void when_it_is_full_the_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(64 << 10);
    char key[32], value[1000];
    memset(value, 'v', sizeof value);
    int there = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_true(lun_store_set(s, key, strlen(key), 's', value, sizeof value, 0, 0));
        if (i % 10 == 0) assert_non_null(get(s, "key 0", 0));   /* is used, so it stays */
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        bool is = get(s, key, 0);
        there += is;
        if (i && i < 900) assert_false(is);
        if (!i || i > 950) assert_true(is);
    }
    assert_in_range(there, 55, 64);                             /* what entries themselves take counts too */
    lun_store_free(s);
}

static void numbers_are_added_to_and_made_when_absent(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(MANY);
    double out = 0;
    assert_true(lun_store_incr(s, "n", 1, 2.5, 10, 0, &out));
    assert_true(out == 2.5);
    assert_true(lun_store_incr(s, "n", 1, -1, 1000, 5, &out));
    assert_true(out == 1.5);
    assert_true(lun_store_incr(s, "n", 1, 1, 0, 10, &out));     /* the ttl of its making counted: it begins anew */
    assert_true(out == 1);
    double number = 40;
    assert_true(lun_store_set(s, "m", 1, 'n', &number, sizeof number, 0, 0));
    assert_true(lun_store_incr(s, "m", 1, 2, 0, 0, &out));
    assert_true(out == 42);
    set(s, "text", "12345678", 0, 0);
    out = -1;
    assert_false(lun_store_incr(s, "text", 4, 1, 0, 0, &out));
    assert_true(out == -1);
    assert_string_equal(get(s, "text", 0), "12345678");
    lun_store_free(s);
}

/* Against a plain table: whatever is done in whatever order, what is there and what is not agree. */
static void it_agrees_with_a_plain_table_over_any_schedule(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(MANY);
    struct { bool set; int value; lun_us ends; } plain[300] = {{0}};
    uint64_t seed = 11;
    for (int i = 0; i < 60000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int k = (int)((seed >> 33) % 300), what = (int)((seed >> 50) % 4);
        lun_us now = i, ttl = (lun_us)((seed >> 20) % 3 * 5000);
        char key[16], value[16];
        snprintf(key, sizeof key, "%d", k);
        snprintf(value, sizeof value, "%d", i);
        bool there = plain[k].set && plain[k].ends > now;
        if (what == 0) {
            assert_true(set(s, key, value, ttl, now));
            plain[k].set = true;
            plain[k].value = i;
            plain[k].ends = ttl ? now + ttl : LUN_NEVER;
        } else if (what == 1 && seed % 4 == 0) {
            lun_store_remove(s, key, strlen(key));
            plain[k].set = false;
        } else {
            const char *got = get(s, key, now);
            assert_int_equal(got != NULL, there);
            if (got) assert_int_equal(atoi(got), plain[k].value);
        }
    }
    lun_store_free(s);
}

static void *count_up(void *of)
{
    struct lun_store *s = of;
    double out;
    struct lun_buf b = {0};
    char type, key[16];
    for (int i = 0; i < 20000; i++) {
        if (!lun_store_incr(s, "n", 1, 1, 0, 0, &out)) abort();
        snprintf(key, sizeof key, "%d", i % 500);
        lun_store_set(s, key, strlen(key), 's', key, strlen(key), 0, 0);
        b.n = 0;
        if (lun_store_get(s, key, strlen(key), 0, &type, &b) && (b.n != strlen(key) || memcmp(b.at, key, b.n))) abort();
    }
    lun_buf_free(&b);
    return NULL;
}

static void no_thread_loses_anothers_increment(void **state)
{
    (void)state;
    struct lun_store *s = lun_store_new(MANY);
    pthread_t threads[4];
    double out;
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, count_up, s), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_true(lun_store_incr(s, "n", 1, 0, 0, 0, &out));
    assert_true(out == 80000);
    lun_store_free(s);
}

/* The published vector of SipHash-1-3 with the key 00 … 0f over no bytes, one byte 00, and 00 … 07. */
static void keys_are_hashed_as_the_published_siphash_does(void **state)
{
    (void)state;
    struct lun_siphash key = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
    static const unsigned char bytes[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    assert_int_equal(lun_siphash(key, bytes, 0), (int64_t)0xabac0158050fc4dcu);
    assert_int_equal(lun_siphash(key, bytes, 1), (int64_t)0xc9f49bf37d57ca93u);
    assert_int_equal(lun_siphash(key, bytes, 8), (int64_t)0x369095118d299a8eu);
    static const struct lun_digest long_ones[] = { { 0xbea58827b2bc7ee7u, 0x13030dd6adb62fdu }, { 0xa8edd36004376ffcu, 0x63f02f2bcc73055eu }, { 0xb4dae3d5e1fe12aau, 0x99c7f935ab164f72u } };
    static const size_t lengths[] = { 0, 1, 8 };
    for (int i = 0; i < 3; i++) {               /* of 128 bits: an implementation apart from this one, held to the published vector of SipHash-2-4-128 */
        struct lun_digest d = lun_siphash_digest(key, bytes, lengths[i]);
        assert_true(d.a == long_ones[i].a && d.b == long_ones[i].b);
    }
    struct lun_siphash one = lun_siphash_new(), other = lun_siphash_new();
    assert_true(lun_siphash(one, bytes, 8) != lun_siphash(other, bytes, 8));
}

/* 'n': its number; else -1. */
static double number(struct lun_store *s, const char *key, lun_us now)
{
    struct lun_buf out = {0};
    char type = 0;
    double n = -1;
    if (lun_store_get(s, key, strlen(key), now, &type, &out) && type == 'n') memcpy(&n, out.at, sizeof n);
    lun_buf_free(&out);
    return n;
}

static void one_over_another_finds_what_lies_there_and_writes_for_itself_alone(void **state)
{
    (void)state;
    struct lun_store *under = lun_store_new(MANY), *over = lun_store_over(under, MANY);
    double n;
    assert_true(set(under, "a", "below", 0, 0) && set(under, "b", "below", 0, 0) && set(under, "short", "below", 10, 0));
    assert_true(lun_store_incr(under, "n", 1, 5, 0, 0, &n));
    assert_string_equal(get(over, "a", 0), "below");
    assert_string_equal(get(over, "short", 9), "below");
    assert_null(get(over, "short", 10));
    assert_true(set(over, "a", "above", 0, 0));
    lun_store_remove(over, "b", 1);
    assert_string_equal(get(over, "a", 0), "above");
    assert_null(get(over, "b", 0));
    assert_true(lun_store_incr(over, "n", 1, 2, 0, 0, &n) && n == 7);
    assert_true(lun_store_incr(over, "n", 1, 2, 0, 0, &n) && n == 9);
    assert_true(lun_store_incr(over, "b", 1, 3, 0, 0, &n) && n == 3);      /* what was removed begins anew, whatever lies below */
    assert_false(lun_store_incr(over, "short", 5, 1, 0, 0, &n));
    assert_true(lun_store_incr(over, "only here", 9, 1, 0, 0, &n));
    assert_true(set(under, "later", "below", 0, 0));
    assert_string_equal(get(over, "later", 0), "below");
    assert_string_equal(get(under, "a", 0), "below");
    assert_string_equal(get(under, "b", 0), "below");
    assert_null(get(under, "only here", 0));
    assert_true(number(under, "n", 0) == 5 && number(over, "n", 0) == 9);
    lun_store_free(over);
    lun_store_free(under);
}

static void looking_from_above_does_not_keep_a_value_below_alive(void **state)
{
    (void)state;
    struct lun_store *under = lun_store_new(400), *over = lun_store_over(under, MANY);
    assert_true(set(under, "old", "x", 0, 0) && set(under, "new", "x", 0, 0));
    for (int i = 0; i < 10; i++) assert_non_null(get(over, "old", 0));
    char key[] = "k0";
    for (int i = 0; get(over, "new", 0) && i < 10; i++) key[1] = (char)('0' + i), assert_true(set(under, key, "x", 0, 0));
    assert_null(get(over, "old", 0));           /* it went first */
    lun_store_free(over);
    lun_store_free(under);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_set_is_there_until_it_is_replaced_or_removed), cmocka_unit_test(keys_and_values_are_any_bytes),
        cmocka_unit_test(a_value_ends_when_its_time_is_over), cmocka_unit_test(what_is_too_large_is_refused_and_what_stood_there_stays),
        cmocka_unit_test(when_it_is_full_the_least_recently_used_goes_first), cmocka_unit_test(numbers_are_added_to_and_made_when_absent),
        cmocka_unit_test(it_agrees_with_a_plain_table_over_any_schedule), cmocka_unit_test(no_thread_loses_anothers_increment),
        cmocka_unit_test(one_over_another_finds_what_lies_there_and_writes_for_itself_alone),
        cmocka_unit_test(looking_from_above_does_not_keep_a_value_below_alive),
        cmocka_unit_test(keys_are_hashed_as_the_published_siphash_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

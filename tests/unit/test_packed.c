/* An answer as bytes: what was written is read the same, and nothing else is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/crc32c.h"
#include "state/packed.h"
#include <stdlib.h>
#include <string.h>

static const struct lun_cached whole = {
    .fallback = true, .target = "a/x", .content_type = "application/json", .provider_request_id = "up-1", .warning = "d\xc3\xa9grad\xc3\xa9",
    .usage = { true, false, LUN_SUSPECT_PARTS, LUN_SERVICES_ALL, 1, 2, 3, 4, 5, 6, LUN_USAGE_MOST, 8, 9, 10 }, .bytes = "{\"a\": 1}", .n = 8, .hidden = "", .made = 5 };
static const struct lun_cached stream = {
    .events = true, .usage_shown = true, .target = "t", .bytes = "data: {}\n\n\0", .n = 11, .hidden = "data: 1\n\n", .hidden_n = 9, .made = INT64_MAX };

static struct lun_buf packed(const struct lun_cached *a)
{
    struct lun_buf out = {0};
    assert_true(lun_packed_put(&out, a, a->made));
    return out;
}

static bool same_text(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

static void expect_same(const struct lun_cached *a, const struct lun_cached *b)
{
    assert_true(a->events == b->events && a->usage_shown == b->usage_shown && a->fallback == b->fallback && a->made == b->made);
    assert_true(same_text(a->target, b->target) && same_text(a->content_type, b->content_type) && same_text(a->warning, b->warning));
    assert_true(same_text(a->provider_request_id, b->provider_request_id));
    assert_true(a->n == b->n && !memcmp(a->bytes, b->bytes, a->n) && a->hidden_n == b->hidden_n && (!a->hidden_n || !memcmp(a->hidden, b->hidden, a->hidden_n)));
    assert_memory_equal(&a->usage, &b->usage, sizeof a->usage);
}

static void what_was_written_is_read_the_same(void **state)
{
    const struct lun_cached *const all[] = { &whole, &stream };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lun_buf b = packed(all[i]);
        struct lun_cached got;
        assert_true(lun_packed_read(b.at, b.n, &got));
        expect_same(all[i], &got);
        lun_buf_free(&b);
    }
}

static void what_is_cut_longer_or_changed_in_a_byte_is_not_read(void **state)
{
    struct lun_buf b = packed(&whole);
    struct lun_cached got;
    (void)state;
    for (size_t n = 0; n < b.n; n++) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, b.at, n);
        assert_false(lun_packed_read(copy, n, &got));
        free(copy);
        for (int bit = 0; bit < 8; bit++) {
            b.at[n] ^= (char)(1 << bit);
            assert_false(lun_packed_read(b.at, b.n, &got));
            b.at[n] ^= (char)(1 << bit);
        }
    }
    lun_buf_putc(&b, 0);
    assert_false(lun_packed_read(b.at, b.n, &got));
    lun_buf_free(&b);
}

/* Somebody who wants harm makes the checksum right. */
static bool forged(const struct lun_cached *a, size_t at, const void *bytes, size_t n)
{
    struct lun_buf b = packed(a);
    struct lun_cached got;
    memcpy(b.at + at, bytes, n);
    uint32_t crc = lun_crc32c(b.at + 12, b.n - 12);
    memcpy(b.at + 8, &crc, sizeof crc);
    bool read = lun_packed_read(b.at, b.n, &got);
    lun_buf_free(&b);
    return read;
}

static void what_could_not_be_written_is_not_read(void **state)
{
    const uint32_t flags = 32, shown = 2, huge = UINT32_MAX, none = 0, suspect = LUN_SUSPECT_COUNT, services = LUN_SERVICES_ALL + 1;
    const int64_t negative = -1, much = LUN_USAGE_MOST + 1;
    (void)state;
    assert_true(forged(&whole, 16, "\1", 1));
    assert_false(forged(&whole, 12, &flags, 4));
    assert_false(forged(&whole, 12, &shown, 4));                /* usage in the events, and no events */
    for (size_t at = 24; at < 104; at += 8) assert_false(forged(&whole, at, &negative, 8) || forged(&whole, at, &much, 8));
    assert_false(forged(&whole, 104, &services, 4) || forged(&whole, 108, &suspect, 4));
    for (size_t at = 112; at < LUN_PACKED_HEAD; at += 4) assert_false(forged(&whole, at, &huge, 4) || forged(&whole, at, &none, 4));
    assert_false(forged(&whole, LUN_PACKED_HEAD + 1, "\n", 1) || forged(&whole, LUN_PACKED_HEAD + 1, "", 1) || forged(&whole, LUN_PACKED_HEAD, "\xff", 1));
    assert_false(forged(&whole, LUN_PACKED_HEAD + 3, "x", 1));  /* no end */
    assert_false(lun_packed_read("", 0, &(struct lun_cached){0}));
}

static void a_body_that_is_no_json_is_not_read(void **state)
{
    struct lun_cached a = whole;
    struct lun_buf b;
    struct lun_cached got;
    (void)state;
    a.bytes = "{\"a\": 1 ";
    b = packed(&a);
    assert_false(lun_packed_read(b.at, b.n, &got));
    lun_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_the_same), cmocka_unit_test(what_is_cut_longer_or_changed_in_a_byte_is_not_read),
        cmocka_unit_test(what_could_not_be_written_is_not_read), cmocka_unit_test(a_body_that_is_no_json_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

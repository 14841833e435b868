#include "base/text.h"
#include "base/tokens.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "widths.h"
#include <utf8proc.h>

static uint64_t grows(const char *text, size_t n)
{
    struct lun_tokens t = {0};
    lun_tokens_add(&t, text, n);
    return t.grows;
}

static int64_t form(const char *text, utf8proc_option_t options)
{
    utf8proc_uint8_t *out = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, 0, &out, UTF8PROC_NULLTERM | UTF8PROC_STABLE | options);
    free(out);
    return n;
}

static int64_t longest_form(const char *text)
{
    static const utf8proc_option_t forms[] = { UTF8PROC_COMPOSE, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD };
    int64_t longest = 0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        int64_t n = form(text, forms[i]);
        if (n > longest) longest = n;
    }
    return longest;
}

static void no_code_point_grows_by_more_than_is_said(void **state)
{
    (void)state;
    char text[5];
    int grown = 0;
    for (uint32_t point = 1; point < 0x110000; point++) {
        if (point >= 0xD800 && point < 0xE000) continue;
        size_t n = lun_text_encode(point, text);
        text[n] = 0;
        uint64_t said = grows(text, n);
        grown += said > 0;
        if (longest_form(text) <= (int64_t)(n + said)) continue;
        fail_msg("U+%04X has %zu bytes, said are %llu more, and it can have %lld", point, n, (unsigned long long)said, (long long)longest_form(text));
    }
    assert_in_range(grown, 900, 1200);
}

/* Marks are put into another order, and a composed letter may lose its base to one that comes later. */
static void no_row_of_letters_and_marks_grows_by_more_than_is_said(void **state)
{
    (void)state;
    static const uint32_t letters[] = { 'a', 'o', 'u', 'e', 'I', 0xE9, 0x1D8, 0x1EBF, 0x1ED7, 0x1F82, 0x1FB7, 0x390, 0x622, 0x304C,
                                        '<', 0x226E, 0xAC00, 0x1100, 0x958, 0x1D15E };
    static const uint32_t marks[] = { 0x300, 0x301, 0x302, 0x303, 0x308, 0x30C, 0x31B, 0x323, 0x327, 0x328, 0x338, 0x342,
                                      0x345, 0x653, 0x655, 0x93C, 0x3099, 0x1161, 0x11A8 };
    uint64_t random = 1;
    for (int round = 0; round < 200000; round++) {
        char text[32];
        size_t n = 0;
        for (int i = 0; i < 5; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint32_t r = (uint32_t)(random >> 33);
            n += lun_text_encode(!i || r % 4 == 0 ? letters[r / 4 % (sizeof letters / sizeof *letters)] : marks[r / 4 % (sizeof marks / sizeof *marks)], text + n);
        }
        text[n] = 0;
        if (longest_form(text) <= (int64_t)(n + grows(text, n))) continue;
        fail_msg("%s: %zu bytes, %llu more said, %lld possible", text, n, (unsigned long long)grows(text, n), (long long)longest_form(text));
    }
}

static void an_escape_counts_as_what_it_stands_for(void **state)
{
    (void)state;
    assert_int_equal(grows("\xef\xb7\xba", 3), 30);
    assert_int_equal(grows("\\ufdfa", 6), 27);          /* 33 bytes for 6 */
    assert_int_equal(grows("\\uFDFA\\uFDFA", 12), 54);
    assert_int_equal(grows("\\u00e9\\ud83d\\ude00\\n\\\\", 22), 0);
    struct lun_tokens raw = {0}, escaped = {0};
    lun_tokens_add(&raw, "gi\xe1\xba\xa3i \xe6\x9d\xb1\xe4\xba\xac", 13);
    lun_tokens_add(&escaped, "gi\\u1ea3i \\u6771\\u4eac", 22);
    assert_int_equal(raw.weight, escaped.weight);
}

/* Ends where the allocation ends, so that a read past it is seen by a sanitizer. */
static void what_is_cut_or_no_text_at_all_stays_within_its_bytes(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)(round % 9);
        unsigned char *bytes = malloc(n ? n : 1);
        for (size_t i = 0; i < n; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (unsigned char)"\\u\xf0\xe0\xc3\xff\x80 d8{[,]"[(random >> 33) % 14];
        }
        struct lun_tokens t = {0};
        lun_tokens_add(&t, (const char *)bytes, n);
        lun_tokens_rewritten((struct lun_json){ (const char *)bytes, n });
        assert_true(t.grows <= 64 * n && lun_tokens_grow((const char *)bytes, n) <= 64 * n);
        free(bytes);
    }
}

static uint64_t rewritten(const char *json) { return lun_tokens_rewritten((struct lun_json){ json, strlen(json) }); }

static void what_is_written_anew_takes_more_for_each_line_and_escape(void **state)
{
    (void)state;
    assert_int_equal(rewritten("1"), 0);
    assert_int_equal(rewritten("\"plain text\""), 0);
    assert_int_equal(rewritten("\"a, b: <\\\"[{\""), 1 + 1 + 5);
    assert_int_equal(rewritten("[1,2]"), 2 + 2 + 2);
    assert_int_equal(rewritten("\"\xc3\xa9\""), 4);
    assert_int_equal(rewritten("[[[[[[[[1,1]]]]]]]]"), 22 + 4 + 22);
    assert_int_equal(rewritten("]]]]]]]]}}}}"), 12 * 2);
}

/* ---- at once, and character by character ---- */

static const char *const characters[] = { "a", "b", "u", "n", "r", "t", "z", "Q", "A", "Z", "0", "9", " ", " ", " ", ".", ",", "/", ":", "@", "[", "`", "{", "~", "\x7f", "\n", "\t", "\r", "\\n", "\\r", "\\t",
    "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\u00e9", "\\u0041", "\\ud83d", "\\ufdfa", "\xc3\xa9", "\xe1\xbb\x87", "\xcc\x81", "\xe5\x88\x86", "\xf0\x9f\x8e\x89", "\xef\xb7\xba", "\xe2\x80\x99" };
enum { CHARACTERS = sizeof characters / sizeof *characters };

static uint64_t weight_of(const char *a, const char *b)
{
    char text[16];
    struct lun_tokens t = {0};
    lun_tokens_add(&t, text, (size_t)snprintf(text, sizeof text, "%s%s", a, b));
    return t.weight;
}

/* Of a few characters, so that some come in runs, and where they stand among 32 bytes is left to chance. Exactly as large as it is. */
static struct lun_tokens random_text(uint64_t *random, uint64_t pairs[CHARACTERS][CHARACTERS], uint64_t *sum)
{
    char text[1024];
    size_t n = 0, before = CHARACTERS;
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    unsigned few = 1 + (unsigned)(*random >> 40) % CHARACTERS, first = (unsigned)(*random >> 33) % CHARACTERS, many = (unsigned)(*random >> 48) % 160;
    for (unsigned i = 0; i < many; i++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        size_t next = (first + (unsigned)(*random >> 33) % few) % CHARACTERS;
        *sum += before == CHARACTERS ? weight_of(characters[next], "") : pairs[before][next];
        n += (size_t)sprintf(text + n, "%s", characters[next]);
        before = next;
    }
    char *exact = memcpy(malloc(n + !n), text, n);
    struct lun_tokens t = {0};
    lun_tokens_add(&t, exact, n);
    assert_int_equal(lun_tokens_grow(exact, n), t.grows);
    free(exact);
    return t;
}

static void a_text_weighs_what_its_characters_weigh_each_behind_the_one_before(void **state)
{
    static uint64_t pairs[CHARACTERS][CHARACTERS];
    uint64_t random = 11, all = 0, all_grows = 0;
    (void)state;
    for (size_t a = 0; a < CHARACTERS; a++)
        for (size_t b = 0; b < CHARACTERS; b++) pairs[a][b] = weight_of(characters[a], characters[b]) - weight_of(characters[a], "");
    for (int round = 0; round < 20000; round++) {
        uint64_t sum = 0;
        struct lun_tokens t = random_text(&random, pairs, &sum);
        if (t.weight != sum) fail_msg("round %d: %llu, and its characters weigh %llu", round, (unsigned long long)t.weight, (unsigned long long)sum);
        all += t.weight, all_grows += t.grows;
    }
    assert_int_equal(all, 0x3d19e778);     /* with the weights as they were fitted */
    assert_int_equal(all_grows, 0x1ff9b1);
}

static void an_estimate_is_near_for_everyday_text(void **state)
{
    (void)state;
    static const struct { const char *text; int least, most; } samples[] = {        /* o200k_base: 10, 9, 12, 9 */
        { "The quick brown fox jumps over the lazy dog.", 7, 13 },
        { "\xe4\xbb\x8a\xe5\xa4\xa9\xe5\xa4\xa9\xe6\xb0\x94\xe5\xbe\x88\xe5\xa5\xbd\xef\xbc\x8c\xe6\x88\x91\xe4\xbb\xac"
          "\xe5\x87\xba\xe5\x8e\xbb\xe8\xb5\xb0\xe8\xb5\xb0\xe3\x80\x82", 6, 16 },
        { "H\xc3\xb4m nay tr\xe1\xbb\x9di \xc4\x91\xe1\xba\xb9p qu\xc3\xa1, ch\xc3\xbang ta \xc4\x91i ch\xc6\xa1i nh\xc3\xa9", 9, 18 },
        { "1234567890 1234567890", 6, 10 }, { "", 0, 0 },
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct lun_tokens t = {0};
        lun_tokens_add(&t, samples[i].text, strlen(samples[i].text));
        assert_in_range(t.weight / LUN_TOKENS_WHOLE, samples[i].least, samples[i].most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_code_point_grows_by_more_than_is_said), cmocka_unit_test(no_row_of_letters_and_marks_grows_by_more_than_is_said),
        cmocka_unit_test(an_escape_counts_as_what_it_stands_for), cmocka_unit_test(what_is_cut_or_no_text_at_all_stays_within_its_bytes),
        cmocka_unit_test(what_is_written_anew_takes_more_for_each_line_and_escape), cmocka_unit_test(an_estimate_is_near_for_everyday_text),
        cmocka_unit_test(a_text_weighs_what_its_characters_weigh_each_behind_the_one_before),
    };
    return RUN_EACH_WIDTH(tests);
}

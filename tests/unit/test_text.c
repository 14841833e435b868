#include "base/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "widths.h"

#define COUNT(list) (sizeof list / sizeof *list)
#define TEXT(s) s, sizeof s - 1

/* Exactly the sequences of table 3-7 of the Unicode standard, decided here by decoding and encoding again. */
static size_t expected_sequence(const unsigned char *p)
{
    size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t c = n ? p[0] & mask[n] : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return n && c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

static void only_well_formed_sequences_are_utf8(void **state)
{
    (void)state;
    static const unsigned char second[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };
    for (unsigned a = 0; a < 256; a++)
        for (size_t b = 0; b < COUNT(second); b++)
            for (size_t c = 0; c < COUNT(second); c++)
                for (size_t d = 0; d < COUNT(second); d++) {
                    unsigned char bytes[4] = { (unsigned char)a, second[b], second[c], second[d] };
                    size_t n = expected_sequence(bytes);
                    assert_int_equal(lun_text_sequence((char *)bytes, 4), n);
                    if (n) assert_int_equal(lun_text_sequence((char *)bytes, n - 1), 0);
                    if (n) assert_true(lun_text_valid((char *)bytes, n));
                    else assert_false(lun_text_valid((char *)bytes, 4));
                }
}

static void code_points_are_written_and_read_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c += c < 0x3000 || (c > 0xd7f0 && c < 0x10100) ? 1 : 37) {
        char bytes[4];
        size_t used, n = lun_text_encode(c, bytes);
        bool surrogate = c >= 0xd800 && c < 0xe000;
        assert_int_equal(lun_text_sequence(bytes, n), n);
        assert_int_equal(lun_text_point(bytes, n, &used), surrogate ? 0xfffd : c);
        assert_int_equal(used, n);
    }
    char bytes[4];
    assert_int_equal(lun_text_encode(0x110000, bytes), 3);
}

static void invalid_text_is_found_wherever_it_stands(void **state)
{
    (void)state;
    char text[80];
    for (size_t n = 1; n <= sizeof text; n++)
        for (size_t at = 0; at < n; at++) {
            char *copy = malloc(n);
            memset(copy, 'a', n);
            assert_true(lun_text_valid(copy, n));
            copy[at] = '\xff';
            assert_false(lun_text_valid(copy, n));
            assert_int_equal(lun_text_points(copy, n), n);
            free(copy);
        }
    assert_true(lun_text_valid("", 0));
}

static void code_points_are_counted(void **state)
{
    (void)state;
    assert_int_equal(lun_text_points(TEXT("")), 0);
    assert_int_equal(lun_text_points(TEXT("abc")), 3);
    assert_int_equal(lun_text_points(TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\xb9!")), 4);
    assert_int_equal(lun_text_points(TEXT("a\xe2\x82")), 3);
    assert_int_equal(lun_text_points(TEXT("twenty letters and \xc3\xa9 and then more of them")), 42);
}

static void words_are_counted(void **state)
{
    (void)state;
    static const struct { const char *text; size_t n, words; } cases[] = {
        { TEXT(""), 0 }, { TEXT("  \n"), 0 }, { TEXT("one"), 1 }, { TEXT(" two words\t"), 2 }, { TEXT("don't-split, me"), 2 },
        { TEXT("a\xc2\xa0" "b"), 2 }, { TEXT("a\xe3\x80\x80" "b"), 2 }, { TEXT("a\xe2\x80\x89" "b\xe2\x80\xa8" "c\xc2\x85" "d"), 4 },
        { TEXT("ph\xc3\xa2n t\xc3\xad" "ch"), 2 },                                      /* phân tích */
        { TEXT("\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82"), 4 },   /* 你好，世界。 */
        { TEXT("use\xe4\xbd\xa0" "now"), 3 }, { TEXT("\xe3\x81\xb2\xe3\x82\xab"), 2 },
        { TEXT("\xec\x95\x88\xeb\x85\x95 \xec\x84\xb8\xea\xb3\x84"), 2 },               /* 안녕 세계 */
        { TEXT("\xf0\xa0\x80\x80\xf0\xa0\x80\x81"), 2 }, { TEXT("\xff\xfe x"), 2 },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (lun_text_words(cases[i].text, cases[i].n) != cases[i].words) fail_msg("case %zu: %s", i, cases[i].text);
}

static void code_is_told_from_prose(void **state)
{
    (void)state;
    static const char *code[] = {
#define X(s) s,
        LUN_TEXT_CODE(X)
#undef X
    };
    char text[100];
    for (size_t i = 0; i < COUNT(code); i++) {
        int n = snprintf(text, sizeof text, "Look at this:\n\t  %s x", code[i]);
        assert_true(lun_text_has_code(text, (size_t)n));
        assert_true(lun_text_has_code(code[i], strlen(code[i])));
        assert_false(lun_text_has_code(code[i], strlen(code[i]) - 1));
        n = snprintf(text, sizeof text, "a %s x", code[i]);
        assert_false(lun_text_has_code(text, (size_t)n));
    }
    const char *prose[] = { "", "\n\n", "What is a class of functions?", "We import goods.\n - def\n", "`x`", "``", "  " };
    for (size_t i = 0; i < COUNT(prose); i++) assert_false(lun_text_has_code(prose[i], strlen(prose[i])));
}

/* ---- at once, and one after the other ---- */

static bool blank(uint32_t c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || c == 0x3000; }

static bool code_begins(const char *line)
{
#define X(s) if (!strncmp(line, s, sizeof s - 1)) return true;
    LUN_TEXT_CODE(X)
#undef X
    return false;
}

/* What a text is made of: of these letters Han alone is a word by each. */
static const char *const pieces[] = { "a", "word", " ", " ", "  ", "\t", "\n", "\n", "\n  ", "\r\n", "\xc2\xa0", "\xc3\xa9", "e\xcc\x81", "\xcd\xaf", "\xcd\xb0", "\xcc", "\x80", "\xff", "\xe5\x88\x86",
    "\xe3\x80\x80", "\xf0\x9f\x8e\x89", "def ", "de", "fn ", "```", "#include", "#", "const", "class\n", "SELECT ", "the quick brown fox", "----------------", "\xe2\x80\x9c" };

static void compare_once(const char *text, size_t n)
{
    size_t words = 0, points = 0, marks = 0, used;
    bool inside = false, code = false, begins = true;
    for (size_t i = 0; i < n; i += used, points++) {
        uint32_t c = lun_text_point(text + i, n - i, &used);
        if (begins && c != ' ' && c != '\t') code |= code_begins(text + i), begins = false;
        if (c == '\n') begins = true;
        words += c == 0x5206 || (!blank(c) && !inside);
        inside = c != 0x5206 && !blank(c);
    }
    for (size_t i = 0; i + 1 < n; i++) {
        unsigned at = (unsigned)(unsigned char)text[i] << 8 | (unsigned char)text[i + 1];
        marks += (at >= 0xcc80 && at <= 0xccbf) || (at >= 0xcd80 && at <= 0xcdaf);
    }
    char *exact = memcpy(malloc(n + !n), text, n);
    assert_int_equal(lun_text_words(exact, n), words);
    assert_int_equal(lun_text_points(exact, n), points);
    assert_int_equal(lun_text_chars(exact, n), points - marks);
    assert_int_equal(lun_text_has_code(exact, n), code);
    free(exact);
}

static void texts_of_any_length_are_counted_as_letter_by_letter(void **state)
{
    uint64_t random = 3;
    (void)state;
    for (int round = 0; round < 40000; round++) {
        char text[2048];
        size_t n = 0, few = 1 + (size_t)(random >> 40) % COUNT(pieces), first = (size_t)(random >> 33) % COUNT(pieces), many = (size_t)(random >> 50) % 60;
        for (size_t i = 0; i <= many; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            n += (size_t)sprintf(text + n, "%s", pieces[(first + (size_t)(random >> 33) % few) % COUNT(pieces)]);
        }
        compare_once(text, n);
    }
}

static void a_cut_divides_no_character(void **state)
{
    (void)state;
    const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\xb9z";
    static const size_t cut[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };
    for (size_t most = 0; most < COUNT(cut); most++) assert_int_equal(lun_text_clip(text, 11, most), cut[most]);
    assert_int_equal(lun_text_clip("\x80\x80\x80\x80\x80", 5, 4), 4);
    assert_int_equal(lun_text_clip("a\xe2\x82", 3, 2), 2);
}

static void the_nearest_name_is_suggested(void **state)
{
    (void)state;
    static const char *const names[] = { "listen", "admin", "workers", "policy", "providers", "models", "first_byte", "n" };
    static const struct { const char *said, *meant; } cases[] = {
        { "lisen", "listen" }, { "listne", "listen" }, { "Models", "models" }, { "model", "models" }, { "provider", "providers" },
        { "frist_bite", "first_byte" }, { "firstbyte", "first_byte" }, { "polcy", "policy" }, { "admin", "admin" }, { "adm", NULL },
        { "amdin", "admin" }, { "damin", "admin" }, { "ADMNI", "admin" }, { "admxi", NULL }, { "dmina", NULL }, { "xyzzy", NULL }, { "", NULL }, { "m", NULL }, { "N", "n" },
        { "listenlistenlistenlistenlistenlistenlistenlistenlistenlistenlistenl", NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *nearest = lun_text_nearest(cases[i].said, names, COUNT(names));
        if (!cases[i].meant) assert_null(nearest);
        else if (!nearest || strcmp(nearest, cases[i].meant)) fail_msg("%s: %s", cases[i].said, nearest ? nearest : "nothing");
    }
    assert_null(lun_text_nearest("x", NULL, 0));
    char name[66];
    const char *const itself = name;
    memset(name, 'q', 65);
    name[65] = 0;
    assert_null(lun_text_nearest("q", &itself, 1));
    name[64] = 0;
    assert_ptr_equal(lun_text_nearest(name, &itself, 1), name);
}

static void sizes_are_read_exactly_or_not_at_all(void **state)
{
    (void)state;
    static const struct { const char *text; int64_t bytes; } cases[] = {
        { "0", 0 }, { "4096", 4096 }, { "64MiB", 64LL << 20 }, { "10kB", 10000 }, { "10 KB", 10000 }, { "1GiB", 1LL << 30 },
        { "3TB", 3000000000000 }, { "7B", 7 }, { "2kib", 2048 }, { "9223372036854775807", INT64_MAX }, { "8388607TiB", 8388607LL << 40 } };
    static const char *wrong[] = { "", " ", "MiB", "-1", "+1", "1.5MiB", "64M", "64 ", "64  MiB", "64MiB ", "1e3", "0x10",
                                   "9223372036854775808", "8388608TiB", "99999999999999999999999" };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t bytes = -1;
        if (!lun_text_size(cases[i].text, &bytes) || bytes != cases[i].bytes) fail_msg("%s", cases[i].text);
    }
    for (size_t i = 0; i < COUNT(wrong); i++) {
        int64_t bytes = -1;
        if (lun_text_size(wrong[i], &bytes) || bytes != -1) fail_msg("%s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_well_formed_sequences_are_utf8), cmocka_unit_test(code_points_are_written_and_read_back),
        cmocka_unit_test(invalid_text_is_found_wherever_it_stands), cmocka_unit_test(code_points_are_counted),
        cmocka_unit_test(words_are_counted), cmocka_unit_test(code_is_told_from_prose), cmocka_unit_test(a_cut_divides_no_character),
        cmocka_unit_test(texts_of_any_length_are_counted_as_letter_by_letter), cmocka_unit_test(the_nearest_name_is_suggested), cmocka_unit_test(sizes_are_read_exactly_or_not_at_all),
    };
    return RUN_EACH_WIDTH(tests);
}

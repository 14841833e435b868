#include "base/json.h"
#include "base/text.h"
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <locale.h>
#include <cmocka.h>
#include "widths.h"

#define KEYS_OF_A_REQUEST(X) X(model) X(stream) X(max_tokens) X(n) X(messages) X(system) X(user) X(metadata) X(tools)
enum { KEYS_OF_A_REQUEST(LUN_JSON_KEY_ENUM) KEYS };
static const struct lun_json_keys keys = LUN_JSON_KEYS(KEYS_OF_A_REQUEST);

/* A copy that ends where the allocation ends, so that a read past it is seen. */
static char *exact(const char *text, size_t n)
{
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n) memcpy(copy, text, n);
    return n ? copy : (free(copy), strdup(""));
}

static bool accepts(const char *text, size_t n)
{
    char *copy = exact(text, n);
    struct lun_json value;
    struct lun_json_error error = {0};
    bool ok = lun_json_check(copy, n, &value, &error);
    if (ok) assert_true(value.at >= copy && value.at + value.n <= copy + n && lun_json_type(value) != LUN_JSON_NONE);
    else assert_true(error.what && *error.what && error.at <= n && !value.at);
    free(copy);
    return ok;
}

static struct lun_json of(const char *text)
{
    struct lun_json value;
    struct lun_json_error error = {0};
    if (!lun_json_check(text, strlen(text), &value, &error)) fail_msg("%s: %s at %zu", text, error.what, error.at);
    return value;
}

static void assert_json(struct lun_json value, const char *raw)
{
    assert_int_equal(value.n, strlen(raw));
    assert_memory_equal(value.at, raw, value.n);
}

/* ---- the grammar; names are those of JSONTestSuite ------------------------------------------------------------------ */

struct sample { const char *name, *text; size_t n; };
#define S(name, text) { name, text, sizeof text - 1 }

static const struct sample valid[] = {
    S("array_arraysWithSpaces", "[[]   ]"), S("array_empty-string", "[\"\"]"), S("array_empty", "[]"),
    S("array_ending_with_newline", "[\"a\"]\n"), S("array_false", "[false]"), S("array_heterogeneous", "[null, 1, \"1\", {}]"),
    S("array_null", "[null]"), S("array_with_1_and_newline", "[1\n]"), S("array_with_leading_space", " [1]"),
    S("array_with_several_null", "[1,null,null,null,2]"), S("array_with_trailing_space", "[2] "),
    S("number", "[123e65]"), S("number_0e+1", "[0e+1]"), S("number_0e1", "[0e1]"), S("number_after_space", "[ 4]"),
    S("number_double_close_to_zero", "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]"),
    S("number_int_with_exp", "[20e1]"), S("number_minus_zero", "[-0]"), S("number_negative_int", "[-123]"),
    S("number_negative_one", "[-1]"), S("number_negative_zero", "[-0]"), S("number_real_capital_e", "[1E22]"),
    S("number_real_capital_e_neg_exp", "[1E-2]"), S("number_real_capital_e_pos_exp", "[1E+2]"),
    S("number_real_exponent", "[123e45]"), S("number_real_fraction_exponent", "[123.456e78]"), S("number_real_neg_exp", "[1e-2]"),
    S("number_real_pos_exponent", "[1e+2]"), S("number_simple_int", "[123]"), S("number_simple_real", "[123.456789]"),
    S("object", "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}"), S("object_basic", "{\"asd\":\"sdf\"}"),
    S("object_duplicated_key", "{\"a\":\"b\",\"a\":\"c\"}"), S("object_duplicated_key_and_value", "{\"a\":\"b\",\"a\":\"b\"}"),
    S("object_empty", "{}"), S("object_empty_key", "{\"\":0}"), S("object_escaped_null_in_key", "{\"foo\\u0000bar\": 42}"),
    S("object_extreme_numbers", "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"),
    S("object_long_strings", "{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}], \"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"),
    S("object_simple", "{\"a\":[]}"), S("object_string_unicode", "{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430\" }"),
    S("object_with_newlines", "{\n\"a\": \"b\"\n}"), S("string_1_2_3_bytes_UTF-8_sequences", "[\"\\u0060\\u012a\\u12AB\"]"),
    S("string_accepted_surrogate_pair", "[\"\\uD801\\udc37\"]"), S("string_accepted_surrogate_pairs", "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
    S("string_allowed_escapes", "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"), S("string_backslash_and_u_escaped_zero", "[\"\\\\u0000\"]"),
    S("string_backslash_doublequotes", "[\"\\\"\"]"), S("string_comments", "[\"a/*b*/c/*d//e\"]"),
    S("string_double_escape_a", "[\"\\\\a\"]"), S("string_double_escape_n", "[\"\\\\n\"]"),
    S("string_escaped_control_character", "[\"\\u0012\"]"), S("string_escaped_noncharacter", "[\"\\uFFFF\"]"),
    S("string_in_array", "[\"asd\"]"), S("string_in_array_with_leading_space", "[ \"asd\"]"),
    S("string_last_surrogates_1_and_2", "[\"\\uDBFF\\uDFFF\"]"), S("string_nbsp_uescaped", "[\"new\\u00A0line\"]"),
    S("string_nonCharacterInUTF-8_U+10FFFF", "[\"\xf4\x8f\xbf\xbf\"]"), S("string_nonCharacterInUTF-8_U+FFFF", "[\"\xef\xbf\xbf\"]"),
    S("string_null_escape", "[\"\\u0000\"]"), S("string_one-byte-utf-8", "[\"\\u002c\"]"), S("string_pi", "[\"\xcf\x80\"]"),
    S("string_reservedCharacterInUTF-8_U+1BFFF", "[\"\xf0\x9b\xbf\xbf\"]"), S("string_simple_ascii", "[\"asd \"]"), S("string_space", "\" \""),
    S("string_surrogates_U+1D11E_MUSICAL_SYMBOL_G_CLEF", "[\"\\uD834\\uDd1e\"]"), S("string_three-byte-utf-8", "[\"\\u0821\"]"),
    S("string_two-byte-utf-8", "[\"\\u0123\"]"), S("string_u+2028_line_sep", "[\"\xe2\x80\xa8\"]"), S("string_u+2029_par_sep", "[\"\xe2\x80\xa9\"]"),
    S("string_uEscape", "[\"\\u0061\\u30af\\u30EA\\u30b9\"]"), S("string_uescaped_newline", "[\"new\\u000Aline\"]"),
    S("string_unescaped_char_delete", "[\"\x7f\"]"), S("string_unicode", "[\"\\uA66D\"]"),
    S("string_unicodeEscapedBackslash", "[\"\\u005C\"]"), S("string_unicode_2", "[\"\xe2\x8d\x82\xe3\x88\xb4\xe2\x8d\x82\"]"),
    S("string_unicode_U+10FFFE_nonchar", "[\"\\uDBFF\\uDFFE\"]"), S("string_unicode_U+1FFFE_nonchar", "[\"\\uD83F\\uDFFE\"]"),
    S("string_unicode_U+200B_ZERO_WIDTH_SPACE", "[\"\\u200B\"]"), S("string_unicode_U+2064_invisible_plus", "[\"\\u2064\"]"),
    S("string_unicode_U+FDD0_nonchar", "[\"\\uFDD0\"]"), S("string_unicode_U+FFFE_nonchar", "[\"\\uFFFE\"]"),
    S("string_unicode_escaped_double_quote", "[\"\\u0022\"]"), S("string_utf8", "[\"\xe2\x82\xac\xf0\x9d\x84\x9e\"]"),
    S("string_with_del_character", "[\"a\x7f" "a\"]"), S("structure_lonely_false", "false"), S("structure_lonely_int", "42"),
    S("structure_lonely_negative_real", "-0.1"), S("structure_lonely_null", "null"), S("structure_lonely_string", "\"asd\""),
    S("structure_lonely_true", "true"), S("structure_string_empty", "\"\""), S("structure_trailing_newline", "[\"a\"]\n"),
    S("structure_true_in_array", "[true]"), S("structure_whitespace_array", " [] "),
    /* where the suite leaves the choice, ours is made: lone surrogates and large numbers are only text */
    S("i_string_1st_surrogate_but_2nd_missing", "[\"\\uDADA\"]"), S("i_string_incomplete_surrogate_pair", "[\"\\uDd1ea\"]"),
    S("i_string_inverted_surrogates_U+1D11E", "[\"\\uDd1e\\uD834\"]"), S("i_string_invalid_lonely_surrogate", "[\"\\ud800\"]"),
    S("i_object_key_lone_2nd_surrogate", "{\"\\uDFAA\":0}"), S("i_number_huge_exp", "[0.4e00669999999999999999999999999999999999999999999999999]"),
    S("i_number_real_neg_overflow", "[-123123e100000]"), S("i_number_too_big_pos_int", "[100000000000000000000]"),
};

static const struct sample invalid[] = {
    S("array_1_true_without_comma", "[1 true]"), S("array_a_invalid_utf8", "[a\xe5]"), S("array_colon_instead_of_comma", "[\"\": 1]"),
    S("array_comma_after_close", "[\"\"],"), S("array_comma_and_number", "[,1]"), S("array_double_comma", "[1,,2]"),
    S("array_double_extra_comma", "[\"x\",,]"), S("array_extra_close", "[\"x\"]]"), S("array_extra_comma", "[\"\",]"),
    S("array_incomplete", "[\"x\""), S("array_incomplete_invalid_value", "[x"), S("array_inner_array_no_comma", "[3[4]]"),
    S("array_invalid_utf8", "[\xff]"), S("array_items_separated_by_semicolon", "[1:2]"), S("array_just_comma", "[,]"),
    S("array_just_minus", "[-]"), S("array_missing_value", "[   , \"\"]"), S("array_newlines_unclosed", "[\"a\",\n4\n,1,"),
    S("array_number_and_comma", "[1,]"), S("array_number_and_several_commas", "[1,,]"), S("array_spaces_vertical_tab_formfeed", "[\"\x0b" "a\"\\f]"),
    S("array_star_inside", "[*]"), S("array_unclosed", "[\"\""), S("array_unclosed_trailing_comma", "[1,"),
    S("array_unclosed_with_new_lines", "[1,\n1\n,1"), S("array_unclosed_with_object_inside", "[{}"),
    S("incomplete_false", "[fals]"), S("incomplete_null", "[nul]"), S("incomplete_true", "[tru]"), S("multidigit_number_then_00", "123\0"),
    S("number_++", "[++1234]"), S("number_+1", "[+1]"), S("number_+Inf", "[+Inf]"), S("number_-01", "[-01]"), S("number_-1.0.", "[-1.0.]"),
    S("number_-2.", "[-2.]"), S("number_-NaN", "[-NaN]"), S("number_.-1", "[.-1]"), S("number_.2e-3", "[.2e-3]"),
    S("number_0.1.2", "[0.1.2]"), S("number_0.3e+", "[0.3e+]"), S("number_0.3e", "[0.3e]"), S("number_0.e1", "[0.e1]"),
    S("number_0_capital_E+", "[0E+]"), S("number_0_capital_E", "[0E]"), S("number_0e+", "[0e+]"), S("number_0e", "[0e]"),
    S("number_1.0e+", "[1.0e+]"), S("number_1.0e-", "[1.0e-]"), S("number_1.0e", "[1.0e]"), S("number_1_000", "[1 000.0]"),
    S("number_1eE2", "[1eE2]"), S("number_2.e+3", "[2.e+3]"), S("number_2.e-3", "[2.e-3]"), S("number_2.e3", "[2.e3]"),
    S("number_9.e+", "[9.e+]"), S("number_Inf", "[Inf]"), S("number_NaN", "[NaN]"), S("number_U+FF11_fullwidth_digit_one", "[\xef\xbc\x91]"),
    S("number_expression", "[1+2]"), S("number_hex_1_digit", "[0x1]"), S("number_hex_2_digits", "[0x42]"), S("number_infinity", "[Infinity]"),
    S("number_invalid+-", "[0e+-1]"), S("number_invalid-negative-real", "[-123.123foo]"), S("number_invalid-utf-8-in-bigger-int", "[123\xe5]"),
    S("number_invalid-utf-8-in-exponent", "[1e1\xe5]"), S("number_invalid-utf-8-in-int", "[0\xe5]\n"), S("number_minus_infinity", "[-Infinity]"),
    S("number_minus_sign_with_trailing_garbage", "[-foo]"), S("number_minus_space_1", "[- 1]"), S("number_neg_int_starting_with_zero", "[-012]"),
    S("number_neg_real_without_int_part", "[-.123]"), S("number_neg_with_garbage_at_end", "[-1x]"), S("number_real_garbage_after_e", "[1ea]"),
    S("number_real_with_invalid_utf8_after_e", "[1e\xe5]"), S("number_real_without_fractional_part", "[1.]"), S("number_starting_with_dot", "[.123]"),
    S("number_with_alpha", "[1.2a-3]"), S("number_with_alpha_char", "[1.8011670033376514H-308]"), S("number_with_leading_zero", "[012]"),
    S("number_-00.0", "[-00.0]"), S("number_00e0", "[00e0]"),
    S("object_bad_value", "[\"x\", truth]"), S("object_bracket_key", "{[: \"x\"}\n"), S("object_comma_instead_of_colon", "{\"x\", null}"),
    S("object_double_colon", "{\"x\"::\"b\"}"), S("object_emoji", "{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}"), S("object_garbage_at_end", "{\"a\":\"a\" 123}"),
    S("object_key_with_single_quotes", "{key: 'value'}"), S("object_lone_continuation_byte_in_key_and_trailing_comma", "{\"\xb9\":\"0\",}"),
    S("object_missing_colon", "{\"a\" b}"), S("object_missing_key", "{:\"b\"}"), S("object_missing_semicolon", "{\"a\" \"b\"}"),
    S("object_missing_value", "{\"a\":"), S("object_no-colon", "{\"a\""), S("object_non_string_key", "{1:1}"),
    S("object_non_string_key_but_huge_number_instead", "{9999E9999:1}"), S("object_repeated_null_null", "{null:null,null:null}"),
    S("object_several_trailing_commas", "{\"id\":0,,,,,}"), S("object_single_quote", "{'a':0}"), S("object_trailing_comma", "{\"id\":0,}"),
    S("object_trailing_comment", "{\"a\":\"b\"}/**/"), S("object_trailing_comment_open", "{\"a\":\"b\"}/**//"),
    S("object_trailing_comment_slash_open", "{\"a\":\"b\"}//"), S("object_trailing_comment_slash_open_incomplete", "{\"a\":\"b\"}/"),
    S("object_two_commas_in_a_row", "{\"a\":\"b\",,\"c\":\"d\"}"), S("object_unquoted_key", "{a: \"b\"}"),
    S("object_unterminated-value", "{\"a\":\"a"), S("object_with_single_string", "{ \"foo\" : \"bar\", \"a\" }"),
    S("object_with_trailing_garbage", "{\"a\":\"b\"}#"), S("single_space", " "),
    S("string_1_surrogate_then_escape", "[\"\\uD800\\\"]"), S("string_1_surrogate_then_escape_u", "[\"\\uD800\\u\"]"),
    S("string_1_surrogate_then_escape_u1", "[\"\\uD800\\u1\"]"), S("string_1_surrogate_then_escape_u1x", "[\"\\uD800\\u1x\"]"),
    S("string_accentuated_char_no_quotes", "[\xc3\xa9]"), S("string_backslash_00", "[\"\\\0\"]"), S("string_escape_x", "[\"\\x00\"]"),
    S("string_escaped_backslash_bad", "[\"\\\\\\\"]"), S("string_escaped_ctrl_char_tab", "[\"\\\t\"]"),
    S("string_escaped_emoji", "[\"\\\xf0\x9f\x8c\x80\"]"), S("string_incomplete_escape", "[\"\\\"]"),
    S("string_incomplete_escaped_character", "[\"\\u00A\"]"), S("string_incomplete_surrogate", "[\"\\uD834\\uDd\"]"),
    S("string_incomplete_surrogate_escape_invalid", "[\"\\uD800\\uD800\\x\"]"), S("string_invalid-utf-8-in-escape", "[\"\\u\xe5\"]"),
    S("string_invalid_backslash_esc", "[\"\\a\"]"), S("string_invalid_unicode_escape", "[\"\\uqqqq\"]"), S("string_invalid_utf8_after_escape", "[\"\\\xe5\"]"),
    S("string_leading_uescaped_thinspace", "[\\u0020\"asd\"]"), S("string_no_quotes_with_bad_escape", "[\\n]"),
    S("string_octal_escape", "[\"\\012\"]"), S("string_single_doublequote", "\""), S("string_single_quote", "['single quote']"),
    S("string_single_string_no_double_quotes", "abc"), S("string_start_escape_unclosed", "[\"\\"),
    S("string_unescaped_ctrl_char", "[\"a\0a\"]"), S("string_unescaped_newline", "[\"new\nline\"]"), S("string_unescaped_tab", "[\"\t\"]"),
    S("string_unicode_CapitalU", "\"\\UA66D\""), S("string_with_trailing_garbage", "\"\"x"),
    S("structure_U+2060_word_joined", "[\xe2\x81\xa0]"), S("structure_UTF8_BOM_no_data", "\xef\xbb\xbf"), S("structure_angle_bracket_.", "<.>"),
    S("structure_angle_bracket_null", "[<null>]"), S("structure_array_trailing_garbage", "[1]x"), S("structure_array_with_extra_array_close", "[1]]"),
    S("structure_array_with_unclosed_string", "[\"asd]"), S("structure_ascii-unicode-identifier", "a\xc3\xa5"), S("structure_capitalized_True", "[True]"),
    S("structure_close_unopened_array", "1]"), S("structure_comma_instead_of_closing_brace", "{\"x\": true,"), S("structure_double_array", "[][]"),
    S("structure_end_array", "]"), S("structure_incomplete_UTF8_BOM", "\xef\xbb{}"), S("structure_lone-invalid-utf-8", "\xe5"),
    S("structure_lone-open-bracket", "["), S("structure_no_data", ""), S("structure_null-byte-outside-string", "[\0]"),
    S("structure_number_with_trailing_garbage", "2@"), S("structure_object_followed_by_closing_object", "{}}"),
    S("structure_object_unclosed_no_value", "{\"\":"), S("structure_object_with_comment", "{\"a\":/*comment*/\"b\"}"),
    S("structure_object_with_trailing_garbage", "{\"a\": true} \"x\""), S("structure_open_array_apostrophe", "['"),
    S("structure_open_array_comma", "[,"), S("structure_open_array_open_object", "[{"), S("structure_open_array_open_string", "[\"a"),
    S("structure_open_array_string", "[\"a\""), S("structure_open_object", "{"), S("structure_open_object_close_array", "{]"),
    S("structure_open_object_comma", "{,"), S("structure_open_object_open_array", "{["), S("structure_open_object_open_string", "{\"a"),
    S("structure_open_object_string_with_apostrophes", "{'a'"), S("structure_open_open", "[\"\\{[\"\\{[\"\\{[\"\\{"),
    S("structure_single_eacute", "\xe9"), S("structure_single_star", "*"), S("structure_trailing_#", "{\"a\":\"b\"}#{}"),
    S("structure_uescaped_LF_before_string", "[\\u000A\"\"]"), S("structure_unclosed_array", "[1"),
    S("structure_unclosed_array_partial_null", "[ false, nul"), S("structure_unclosed_array_unfinished_false", "[ true, fals"),
    S("structure_unclosed_array_unfinished_true", "[ false, tru"), S("structure_unclosed_object", "{\"asd\":\"asd\""),
    S("structure_unicode-identifier", "\xc3\xa5"), S("structure_whitespace_U+2060_word_joiner", "\xe2\x81\xa0"),
    S("structure_whitespace_formfeed", "[\x0c]"),
    /* where the suite leaves the choice, ours is made: what is not UTF-8 is refused */
    S("i_string_UTF-8_invalid_sequence", "[\"\xe6\x97\xa5\xd1\x88\xfa\"]"), S("i_string_UTF8_surrogate_U+D800", "[\"\xed\xa0\x80\"]"),
    S("i_string_invalid_utf-8", "[\"\xff\"]"), S("i_string_iso_latin_1", "[\"\xe9\"]"), S("i_string_lone_utf8_continuation_byte", "[\"\x81\"]"),
    S("i_string_not_in_unicode_range", "[\"\xf4\xbf\xbf\xbf\"]"), S("i_string_overlong_sequence_2_bytes", "[\"\xc0\xaf\"]"),
    S("i_string_overlong_sequence_6_bytes", "[\"\xfc\x83\xbf\xbf\xbf\xbf\"]"), S("i_string_truncated-utf-8", "[\"\xe0\xff\"]"),
    S("i_string_UTF-16LE_with_BOM", "\xff\xfe[\0\"\0\xe9\0\"\0]\0"), S("i_string_utf16BE_no_BOM", "\0[\0\"\0\xe9\0\"\0]"),
    S("i_structure_UTF-8_BOM_empty_object", "\xef\xbb\xbf{}"),
};

#define COUNT(list) (sizeof list / sizeof *list)

static void valid_json_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++)
        if (!accepts(valid[i].text, valid[i].n)) fail_msg("y_%s is refused", valid[i].name);
}

static void invalid_json_is_refused(void **state)
{
    (void)state;
    assert_true(COUNT(valid) + COUNT(invalid) > 150);
    for (size_t i = 0; i < COUNT(invalid); i++)
        if (accepts(invalid[i].text, invalid[i].n)) fail_msg("n_%s is accepted", invalid[i].name);
}

/* Each sample at each distance from the start, so that each lane of a 16-byte step meets each of them. */
static void where_a_text_stands_makes_no_difference(void **state)
{
    (void)state;
    char text[512];
    for (size_t shift = 0; shift < 36; shift++) {
        memset(text, 'x', sizeof text);
        text[0] = '[', text[1] = '"', text[shift + 2] = '"', text[shift + 3] = ',';
        for (size_t i = 0; i < COUNT(valid) + COUNT(invalid); i++) {
            const struct sample *s = i < COUNT(valid) ? &valid[i] : &invalid[i - COUNT(valid)];
            if (s->n > 256 || strstr(s->name, "BOM") || !strcmp(s->name, "structure_close_unopened_array")) continue;
            memcpy(text + shift + 4, s->text, s->n);
            text[shift + 4 + s->n] = ']';
            if (accepts(text, shift + 5 + s->n) != (i < COUNT(valid))) fail_msg("%s at %zu", s->name, shift);
        }
    }
}

static void every_start_of_a_text_is_refused_without_reading_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        char last = valid[i].text[valid[i].n - 1];
        for (size_t n = 0; n < valid[i].n; n++)
            if (accepts(valid[i].text, n) && (last == ']' || last == '}' || last == '"')) fail_msg("%s cut at %zu", valid[i].name, n);
    }
}

static bool accepts_nested(const char *open, const char *close, size_t depth)
{
    struct lun_buf text = {0};
    for (size_t i = 0; i < depth; i++) lun_buf_puts(&text, open);
    if (strstr(open, ":")) lun_buf_puts(&text, "0");
    for (size_t i = 0; i < depth; i++) lun_buf_puts(&text, close);
    bool ok = accepts(text.at, text.n);
    lun_buf_free(&text);
    return ok;
}

static void nesting_ends_at_128_levels(void **state)
{
    (void)state;
    assert_true(accepts_nested("[", "]", 128));
    assert_true(accepts_nested("{\"a\":", "}", 128));
    assert_false(accepts_nested("[", "]", 129));
    assert_false(accepts_nested("{\"a\":", "}", 129));
    assert_false(accepts_nested("[", "", 100000));
    assert_false(accepts_nested("[{\"\":", "", 50000));
}

static bool accepts_digits(size_t n)
{
    char *text = malloc(n);
    memset(text, '7', n);
    bool ok = accepts(text, n);
    free(text);
    return ok;
}

static void a_number_has_at_most_1000_characters(void **state)
{
    (void)state;
    assert_true(accepts_digits(1000));
    assert_false(accepts_digits(1001));
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    static const struct { const char *text; size_t at; const char *what; } cases[] = {
        { "", 0, "the text is empty" }, { "[1,]", 3, "comma after the last" }, { "{\"a\" 1}", 5, "a colon is expected" },
        { "[1 2]", 3, "a comma or ]" }, { "{\"a\":1 \"b\"}", 7, "a comma or }" }, { "[\"a\nb\"]", 3, "control character" },
        { "[\"\xff\"]", 2, "must be UTF-8" }, { "[\"\\q\"]", 2, "no such escape" }, { "[\"\\u12g4\"]", 2, "four hexadecimal" },
        { "[01]", 1, "must not begin with 0" }, { "[1.]", 3, "needs a digit" }, { "[\"a", 3, "ends within a string" },
        { "{} x", 3, "after the end" }, { "\xef\xbb\xbf[]", 0, "byte order mark" }, { "[tru]", 1, "a value is expected" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lun_json value;
        struct lun_json_error error = {0};
        assert_false(lun_json_check(cases[i].text, strlen(cases[i].text), &value, &error));
        assert_int_equal(error.at, cases[i].at);
        if (!strstr(error.what, cases[i].what)) fail_msg("%s: %s", cases[i].text, error.what);
    }
}

/* ---- the top of a request ------------------------------------------------------------------------------------------- */

static bool scan(const char *text, struct lun_json_field *fields, struct lun_json_scan *out)
{
    return lun_json_scan(text, strlen(text), &keys, fields, out);
}

static void keys_are_found_with_their_places(void **state)
{
    (void)state;
    const char *text = " { \"model\" : \"m\", \"temperature\":1, \"messages\":[{\"model\":\"inner\"}],\"stream\":true,\"n\":2,\"user\":null}\n";
    struct lun_json_field f[KEYS];
    struct lun_json_scan s;
    assert_true(scan(text, f, &s));
    assert_int_equal(s.twice, -1);
    assert_false(s.empty);
    assert_int_equal(text[s.open - 1], '{');
    assert_int_equal(text[s.close], '}');
    assert_int_equal(s.close, strlen(text) - 2);
    assert_json(lun_json_of(text, &f[KEY_model]), "\"m\"");
    assert_memory_equal(text + f[KEY_model].key, "\"model\"", f[KEY_model].key_n);
    assert_json(lun_json_of(text, &f[KEY_messages]), "[{\"model\":\"inner\"}]");
    assert_int_equal(f[KEY_stream].type, LUN_JSON_TRUE);
    assert_int_equal(f[KEY_n].type, LUN_JSON_NUMBER);
    assert_int_equal(f[KEY_user].type, LUN_JSON_NULL);
    assert_int_equal(f[KEY_tools].type, LUN_JSON_NONE);
    assert_null(lun_json_of(text, &f[KEY_tools]).at);
}

static void an_escaped_key_is_the_key(void **state)
{
    (void)state;
    struct lun_json_field f[KEYS];
    struct lun_json_scan s;
    assert_true(scan("{\"\\u006dodel\":1,\"\\u006D\\u0061x_tokens\":2,\"mode\\u006c\\u0000\":3}", f, &s));
    assert_int_equal(s.twice, -1);
    assert_int_equal(f[KEY_model].value, 14);
    assert_int_equal(f[KEY_max_tokens].type, LUN_JSON_NUMBER);
}

static void a_key_that_occurs_twice_is_told(void **state)
{
    (void)state;
    struct lun_json_field f[KEYS];
    struct lun_json_scan s;
    assert_true(scan("{\"n\":1,\"stream\":true,\"stre\\u0061m\":false,\"n\":2,\"x\":0,\"x\":0}", f, &s));
    assert_int_equal(s.twice, KEY_stream);
    assert_true(f[KEY_stream].twice && f[KEY_n].twice && !f[KEY_model].twice);
    assert_int_equal(f[KEY_stream].type, LUN_JSON_TRUE);
    assert_true(scan("{\"model\":1,\"model\":2,\"n\":1,\"n\":2}", f, &s));
    assert_int_equal(s.twice, KEY_model);
}

#define AS_MANY_AS_THERE_MAY_BE(X) \
    X(a1) X(a2) X(a3) X(a4) X(a5) X(a6) X(a7) X(a8) X(b1) X(b2) X(b3) X(b4) X(b5) X(b6) X(b7) X(b8) \
    X(c1) X(c2) X(c3) X(c4) X(c5) X(c6) X(c7) X(c8) X(d1) X(d2) X(d3) X(d4) X(d5) X(d6) X(d7) X(d8)

static void the_longest_string_is_known_and_stepped_over_where_it_is_met(void **state)
{
    (void)state;
    const char *text = "{\"system\":\"short\",\"messages\":[{\"role\":\"user\",\"content\":\"a long one, \\\"quoted\\\" ]} within\",\"name\":\"x\"}]}";
    struct lun_json_field f[LUN_JSON_KEYS_MAX];
    struct lun_json_scan s;
    assert_true(scan(text, f, &s));
    struct lun_json known = { text + s.longest, s.longest_n };
    assert_json(known, "\"a long one, \\\"quoted\\\" ]} within\"");
    struct lun_json_each e = lun_json_each(lun_json_path((struct lun_json){ text, strlen(text) }, "messages")), message;
    e.known = known;
    assert_true(lun_json_into(&e, &message));
    assert_true(lun_json_next(&message) && lun_json_next(&message));
    assert_ptr_equal(message.value.at, known.at);
    assert_int_equal(message.value.n, known.n);
    assert_true(lun_json_next(&message));
    assert_json(message.key, "\"name\"");
    assert_false(lun_json_next(&message));
    assert_true(scan("{}", f, &s));
    assert_int_equal(s.longest_n, 0);
}

static void a_full_table_of_keys_is_searched_to_its_end(void **state)
{
    (void)state;
    static const struct lun_json_keys full = LUN_JSON_KEYS(AS_MANY_AS_THERE_MAY_BE);
    const char *text = "{\"d8\":1,\"\\u0064\\u0037\":2,\"\\u0064\\u0039\":3,\"a1\":4,\"c8\":5,\"b8\":6}";
    struct lun_json_field *f = malloc(LUN_JSON_KEYS_MAX * sizeof *f);
    struct lun_json_scan s;
    assert_true(lun_json_scan(text, strlen(text), &full, f, &s));
    assert_json(lun_json_of(text, &f[31]), "1");
    assert_json(lun_json_of(text, &f[30]), "2");
    assert_json(lun_json_of(text, &f[0]), "4");
    assert_json(lun_json_of(text, &f[23]), "5");
    assert_json(lun_json_of(text, &f[15]), "6");
    assert_int_equal(f[16].type, LUN_JSON_NONE);
    free(f);
}

static void names_are_compared_whole_and_as_bytes(void **state)
{
    (void)state;
    struct lun_json_field f[KEYS];
    struct lun_json_scan s;
    assert_true(scan("{\"Model\":1,\"mode\":1,\"models\":1,\"\":1,\"model \":1,\"m\":1}", f, &s));
    for (int i = 0; i < KEYS; i++) assert_int_equal(f[i].type, LUN_JSON_NONE);
}

static void only_an_object_is_a_request(void **state)
{
    (void)state;
    struct lun_json_field f[KEYS];
    struct lun_json_scan s;
    const char *others[] = { "[]", "1", "\"model\"", "null", "", " ", "{", "{\"model\"", "{\"model\":", "{\"model\":1", "{\"model\":1,", "{}}" };
    for (size_t i = 0; i < COUNT(others); i++) {
        char *copy = exact(others[i], strlen(others[i]));
        assert_false(lun_json_scan(copy, strlen(others[i]), &keys, f, &s));
        assert_non_null(s.error.what);
        free(copy);
    }
    assert_true(scan("{ }", f, &s));
    assert_true(s.empty);
    assert_int_equal(s.open, 1);
    assert_int_equal(s.close, 2);
}

static void a_field_put_in_at_open_or_close_leaves_an_object(void **state)
{
    (void)state;
    const char *texts[] = { "{}", " {\n} ", "{\"a\":1}", "{ \"a\" : {} } " };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct lun_json_field f[KEYS];
        struct lun_json_scan s;
        assert_true(scan(texts[i], f, &s));
        struct lun_buf at_open = {0}, at_close = {0};
        lun_buf_add(&at_open, texts[i], s.open);
        lun_buf_puts(&at_open, s.empty ? "\"n\":5" : "\"n\":5,");
        lun_buf_puts(&at_open, texts[i] + s.open);
        lun_buf_add(&at_close, texts[i], s.close);
        lun_buf_puts(&at_close, s.empty ? "\"n\":5" : ",\"n\":5");
        lun_buf_puts(&at_close, texts[i] + s.close);
        assert_true(scan(lun_buf_text(&at_open), f, &s) && f[KEY_n].type == LUN_JSON_NUMBER);
        assert_true(scan(lun_buf_text(&at_close), f, &s) && f[KEY_n].type == LUN_JSON_NUMBER);
        lun_buf_free(&at_open);
        lun_buf_free(&at_close);
    }
}

/* ---- looking ---------------------------------------------------------------------------------------------------------- */

static void members_come_in_their_order(void **state)
{
    (void)state;
    struct lun_json_each e = lun_json_each(of(" {\"a\" : 1 ,\"b\\\"]\":[ {}, \"}\" ], \"c\":{\"d\":[]}} "));
    assert_true(lun_json_next(&e));
    assert_json(e.key, "\"a\"");
    assert_json(e.value, "1");
    assert_int_equal(e.index, 0);
    assert_true(lun_json_next(&e));
    assert_json(e.key, "\"b\\\"]\"");
    assert_json(e.value, "[ {}, \"}\" ]");
    struct lun_json_each inner = lun_json_each(e.value);
    assert_true(lun_json_next(&inner));
    assert_json(inner.value, "{}");
    assert_null(inner.key.at);
    assert_true(lun_json_next(&inner));
    assert_json(inner.value, "\"}\"");
    assert_false(lun_json_next(&inner));
    assert_true(lun_json_next(&e));
    assert_json(e.value, "{\"d\":[]}");
    assert_false(lun_json_next(&e));
    assert_false(lun_json_next(&e));
}

static void objects_are_gone_into_without_their_end_and_left_wherever_one_is(void **state)
{
    (void)state;
    struct lun_json_each e = lun_json_each(of("[ {\"a\":{\"b\":[1]},\"c\":\"}\"} , {}, [7], 8, {\"d\":{}}]")), inner, third;
    assert_true(lun_json_into(&e, &inner));
    assert_int_equal(lun_json_type(e.value), LUN_JSON_OBJECT);
    assert_true(lun_json_into(&inner, &third));
    assert_json(inner.key, "\"a\"");
    lun_json_out(&inner, &third);                           /* nothing of it was looked at */
    assert_true(lun_json_next(&inner));
    assert_json(inner.value, "\"}\"");
    assert_false(lun_json_next(&inner));
    assert_false(lun_json_next(&inner));
    lun_json_out(&e, &inner);
    assert_true(lun_json_into(&e, &inner));
    assert_false(lun_json_next(&inner));
    lun_json_out(&e, &inner);
    assert_true(lun_json_into(&e, &inner));
    assert_json(e.value, "[7]");
    assert_true(lun_json_next(&inner));
    assert_json(inner.value, "7");
    lun_json_out(&e, &inner);
    assert_true(lun_json_into(&e, &inner));
    assert_json(e.value, "8");
    assert_false(lun_json_next(&inner));
    lun_json_out(&e, &inner);
    assert_true(lun_json_into(&e, &inner));
    assert_int_equal(e.index, 4);
    lun_json_out(&e, &inner);
    assert_false(lun_json_into(&e, &inner));
    lun_json_out(&e, &inner);
    assert_false(lun_json_into(&e, &inner));
}

static void what_is_no_container_has_no_members(void **state)
{
    (void)state;
    const char *texts[] = { "1", "\"[1]\"", "null", "[]", "{}", "[ ]", "{ }" };
    for (size_t i = 0; i < COUNT(texts); i++) assert_int_equal(lun_json_count(of(texts[i])), 0);
    assert_int_equal(lun_json_count((struct lun_json){0}), 0);
    assert_int_equal(lun_json_count(of("[1,[2,3],{\"a\":4}]")), 3);
}

static void a_path_leads_down(void **state)
{
    (void)state;
    struct lun_json v = of("{\"choices\":[{\"index\":0},{\"delta\":{\"cont\\u0065nt\":\"hi\",\"0\":7}}],\"a.b\":1}");
    assert_json(lun_json_path(v, "choices.1.delta.content"), "\"hi\"");
    assert_json(lun_json_path(v, "choices.1.delta.0"), "7");
    assert_json(lun_json_path(v, "choices.0.index"), "0");
    assert_int_equal(lun_json_path(v, "").n, v.n);
    const char *nowhere[] = { "choices.2", "choices.-1", "choices.x", "choices.", "choices..index", "x", "choices.0.index.y",
                              "choices.99999999999999999999999", "a.b", "." };
    for (size_t i = 0; i < COUNT(nowhere); i++) assert_null(lun_json_path(v, nowhere[i]).at);
}

static void of_equal_names_the_last_counts(void **state)
{
    (void)state;
    assert_json(lun_json_get(of("{\"a\":1,\"b\":2,\"\\u0061\":3}"), "a"), "3");
}

/* ---- decoding --------------------------------------------------------------------------------------------------------- */

static void strings_are_decoded(void **state)
{
    (void)state;
    static const struct { const char *json, *text; size_t n; bool name; } cases[] = {
#define D(json, text, name) { json, text, sizeof text - 1, name }
        D("\"\"", "", true), D("\"abc\"", "abc", true), D("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", true),
        D("\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac", true), D("\"\\ud83d\\ude39!\"", "\xf0\x9f\x98\xb9!", true),
        D("\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", true), D("\"x\\u0000y\"", "x\0y", false), D("\"\\ud800\"", "\xef\xbf\xbd", false),
        D("\"\\ud800x\"", "\xef\xbf\xbdx", false), D("\"\\udc00\\ud800\"", "\xef\xbf\xbd\xef\xbf\xbd", false),
        D("\"\\ud800\\u0041\"", "\xef\xbf\xbd" "A", false), D("\"\\ud800\\ud83d\\ude39\"", "\xef\xbf\xbd\xf0\x9f\x98\xb9", false),
        D("\"\\ud800\\n\"", "\xef\xbf\xbd\n", false), D("\"\\ud83d/uDE39\"", "\xef\xbf\xbd/uDE39", false),
        D("\"\\ud83d\\nDE39\"", "\xef\xbf\xbd\nDE39", false), D("\"\\ud83d\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd", false),
        D("\"\\ud83d\\ue000\"", "\xef\xbf\xbd\xee\x80\x80", false), D("\"\\ud7ff\\udbff\\udc00\"", "\xed\x9f\xbf\xf4\x8f\xb0\x80", true),
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lun_json v = of(cases[i].json);
        struct lun_buf out = {0};
        struct lun_arena arena = {0};
        lun_buf_puts(&out, "<");
        assert_true(lun_json_string(v, false, &out));
        assert_int_equal(out.n, cases[i].n + 1);
        assert_memory_equal(out.at + 1, cases[i].text, cases[i].n);
        assert_int_equal(lun_json_string(v, true, &out), cases[i].name);
        assert_int_equal(out.n, cases[i].name ? 2 * cases[i].n + 1 : cases[i].n + 1);
        size_t n = 99;
        char *copy = lun_json_string_in(v, false, &arena, &n);
        assert_int_equal(n, cases[i].n);
        assert_memory_equal(copy, cases[i].text, n + 1);
        assert_int_equal(lun_json_string_in(v, true, &arena, NULL) != NULL, cases[i].name);
        if (strlen(cases[i].text) == cases[i].n) assert_true(lun_json_is(v, cases[i].text));
        lun_buf_free(&out);
        lun_arena_free(&arena);
    }
}

static void only_strings_are_decoded(void **state)
{
    (void)state;
    struct lun_buf out = {0};
    struct lun_arena arena = {0};
    const char *others[] = { "1", "null", "[\"a\"]", "{\"a\":1}", "true" };
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(lun_json_string(of(others[i]), false, &out));
        assert_null(lun_json_string_in(of(others[i]), false, &arena, NULL));
        assert_false(lun_json_is(of(others[i]), others[i]));
    }
    assert_false(lun_json_string((struct lun_json){0}, false, &out));
    assert_int_equal(out.n, 0);
}

static void a_string_is_only_itself(void **state)
{
    (void)state;
    assert_true(lun_json_is(of("\"m\\u006fdel\""), "model"));
    assert_false(lun_json_is(of("\"m\\u006fdel\""), "mode"));
    assert_false(lun_json_is(of("\"m\\u006fde\""), "model"));
    assert_false(lun_json_is(of("\"model\""), "model2"));
    assert_false(lun_json_is(of("\"\\u0000\""), ""));
    assert_false(lun_json_is(of("\"model\\u0000\""), "model"));
    assert_true(lun_json_is(of("\"\""), ""));
}

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct { const char *json; bool ok; int64_t value; } cases[] = {
        { "0", true, 0 }, { "-0", true, 0 }, { "5", true, 5 }, { "-17", true, -17 }, { "5.0", true, 5 }, { "0.5e1", true, 5 },
        { "1e3", true, 1000 }, { "1E+2", true, 100 }, { "2500e-2", true, 25 }, { "100.00", true, 100 }, { "0e999999999", true, 0 },
        { "0.000", true, 0 }, { "9223372036854775807", true, INT64_MAX }, { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 }, { "-9223372036854775809", false, 0 }, { "1e19", false, 0 }, { "5.5", false, 0 },
        { "1e-1", false, 0 }, { "0.1", false, 0 }, { "1e99999999999999999999", false, 0 }, { "1e-99999999999999999999", false, 0 },
        { "\"5\"", false, 0 }, { "null", false, 0 }, { "true", false, 0 }, { "123456789012345678901234567890e-20", false, 0 },
        { "1000000000000000000000000000000e-20", true, 10000000000 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 0;
        if (lun_json_int(of(cases[i].json), &value) != cases[i].ok || value != cases[i].value) fail_msg("%s", cases[i].json);
    }
}

static void doubles_are_the_nearest_or_refused(void **state)
{
    (void)state;
    double d = 0;
    assert_true(lun_json_double(of("0.1"), &d) && d == 0.1);
    assert_true(lun_json_double(of("-2.5e-3"), &d) && d == -2.5e-3);
    assert_true(lun_json_double(of("1e-999"), &d) && d == 0);
    assert_true(lun_json_double(of("1.7976931348623157e308"), &d) && d == DBL_MAX);
    assert_false(lun_json_double(of("1e999"), &d));
    assert_false(lun_json_double(of("\"1\""), &d));
    assert_true(d == DBL_MAX);
    char longest[LUN_JSON_DIGITS + 1];
    memset(longest, '0', LUN_JSON_DIGITS);
    memcpy(longest + 1, ".25", 3);
    longest[LUN_JSON_DIGITS] = 0;
    assert_true(lun_json_double(of(longest), &d) && d == 0.25);
    longest[LUN_JSON_DIGITS - 1] = '9';
    assert_true(lun_json_double(of(longest), &d) && d == 0.25);
}

static void only_true_is_true(void **state)
{
    (void)state;
    assert_true(lun_json_true(of(" true")));
    const char *others[] = { "false", "1", "\"true\"", "null", "[true]" };
    for (size_t i = 0; i < COUNT(others); i++) assert_false(lun_json_true(of(others[i])));
    assert_false(lun_json_true((struct lun_json){0}));
}

static void a_step_of_a_path_has_at_most_255_bytes(void **state)
{
    (void)state;
    char name[257], text[270];
    for (int n = 255; n <= 256; n++) {
        memset(name, 'k', 256);
        name[n] = 0;
        snprintf(text, sizeof text, "{\"%s\":1}", name);
        assert_int_equal(lun_json_path(of(text), name).n, n == 255);
    }
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

static void assert_wrote(struct lun_buf *out, const char *expected)
{
    assert_string_equal(lun_buf_text(out), expected);
    out->n = 0;
}

static void strings_are_escaped(void **state)
{
    (void)state;
    struct lun_buf out = {0};
    lun_json_put_string(&out, "a\"b\\c\n\x01\x1f\0\x7f", 10);
    assert_wrote(&out, "\"a\\\"b\\\\c\\n\\u0001\\u001f\\u0000\\u007f\"");
    lun_json_put_string(&out, "\xc3\xa9\xff\xe2\x82", 5);
    assert_wrote(&out, "\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    lun_json_put_text(&out, NULL);
    assert_wrote(&out, "null");
    lun_json_put_bool(&out, true);
    assert_wrote(&out, "true");
    lun_json_put_raw(&out, of(" [1] "));
    assert_wrote(&out, "[1]");
    lun_buf_free(&out);
}

/* Read and written, and what two readings make when they are joined. */
static void halves_of_a_pair_come_out_as_they_went_in(void **state)
{
    (void)state;
    static const char *const kept[] = { "\"\\ud83d\"", "\"\\ude00\"", "\"\\ude00\\ud83d\"", "\"a\\ud83d\\ud83d\\u0000b\\udfff\"", "\"\\ud83dx\\ude00\"",
                                        "\"\xed\x9f\xbf\xee\x80\x80\"", "\"\\ud800\"" };
    struct lun_buf text = {0}, out = {0};
    for (size_t i = 0; i < COUNT(kept); i++, text.n = 0) {
        assert_true(lun_json_string_halves(of(kept[i]), &text));
        lun_json_put_halves(&out, text.at, text.n);
        assert_wrote(&out, kept[i]);
    }
    assert_true(lun_json_string_halves(of("\"\\ud83d\\uDE00\""), &text));
    lun_json_put_halves(&out, text.at, text.n);
    assert_wrote(&out, "\"\xf0\x9f\x98\x80\"");
    text.n = 0;
    assert_true(lun_json_string_halves(of("\"\\ud83d\""), &text) && lun_json_string_halves(of("\"\\uDE00\""), &text));
    lun_json_put_halves(&out, text.at, text.n);
    assert_wrote(&out, "\"\\ud83d\\ude00\"");
    lun_json_put_halves(&out, "\xed\xa0\xed\xa0\x41\xed", 6);
    assert_wrote(&out, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "A\xef\xbf\xbd\"");
    assert_false(lun_json_string_halves(of("1"), &text));
    lun_buf_free(&text), lun_buf_free(&out);
}

static void a_merge_takes_no_name_for_another(void **state)
{
    (void)state;
    static const struct { const char *onto, *patch, *merged; } cases[] = {
        { "{\"\\ud83d\":1,\"\\ufffd\":2}", "{\"\\ude00\":3,\"\xef\xbf\xbd\":4}", "{\"\\ud83d\":1,\"\\ufffd\":4,\"\\ude00\":3}" },
        { "{\"\":1,\"a\":2}", "{\"\\u0061\":null,\"\\u0000\":{\"x\":null,\"y\":1e400}}", "{\"\":1,\"\\u0000\":{\"y\":1e400}}" },
        { "[1]", "{\"a\":{}}", "{\"a\":{}}" }, { "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":null}}", "{\"a\":{\"c\":2}}" }, { "{\"a\":1}", "null", "null" },
    };
    struct lun_buf out = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        lun_json_merge(&out, of(cases[i].onto), of(cases[i].patch));
        assert_wrote(&out, cases[i].merged);
    }
    lun_buf_free(&out);
}

static void members_are_divided_by_commas(void **state)
{
    (void)state;
    struct lun_buf out = {0};
    lun_buf_puts(&out, "{");
    lun_json_put_key(&out, "a");
    lun_json_put_int(&out, INT64_MIN);
    lun_json_put_key(&out, "b");
    lun_buf_puts(&out, "{");
    lun_json_put_key(&out, "c\"");
    lun_json_put_bool(&out, false);
    lun_buf_puts(&out, "}");
    lun_json_put_key(&out, "d");
    lun_json_put_raw(&out, (struct lun_json){0});
    lun_buf_puts(&out, "}");
    assert_true(accepts(out.at, out.n));
    assert_wrote(&out, "{\"a\":-9223372036854775808,\"b\":{\"c\\\"\":false},\"d\":null}");
    lun_buf_free(&out);
}

static void numbers_are_short_and_read_back_equal(void **state)
{
    (void)state;
    static const struct { double number; const char *text; } cases[] = {
        { 0, "0" }, { -0.0, "0" }, { 1, "1" }, { -42, "-42" }, { 0.1, "0.1" }, { 1e15, "1000000000000000" }, { 0x1p53, "9007199254740992" }, { 0x1p63, "9.223372036854776e+18" }, { -1735689600000000, "-1735689600000000" }, { 1e21, "1e+21" }, { 0.3, "0.3" },
        { 0.1 + 0.2, "0.30000000000000004" }, { 5e-324, "5e-324" }, { 1.5e300, "1.5e+300" }, { 123456789012345, "123456789012345" },
        { NAN, "null" }, { INFINITY, "null" }, { -INFINITY, "null" } };
    struct lun_buf out = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        lun_json_put_number(&out, cases[i].number);
        assert_wrote(&out, cases[i].text);
    }
    srand48(7);
    for (int i = 0; i < 20000; i++) {
        double number = ldexp(drand48() - 0.5, (int)(lrand48() % 2000) - 1000), back = 0;
        lun_json_put_number(&out, number);
        assert_true(lun_json_double(of(lun_buf_text(&out)), &back));
        assert_true(back == number);
        out.n = 0;
    }
    lun_buf_free(&out);
}

/* ---- anything at all --------------------------------------------------------------------------------------------------- */

static const char alphabet[] = "{}[]:,\"\\ue0123456789.-+tfn \n\t\x01\x80\xc3\xa9\xf0\x9f\xed\xa0\xff" "almodestru";

static size_t mutate(char *text, size_t n, size_t room)
{
    for (long times = 1 + lrand48() % 4; times--;) {
        size_t at = n ? (size_t)lrand48() % n : 0;
        char c = alphabet[(size_t)lrand48() % (sizeof alphabet - 1)];
        switch (n ? lrand48() % 4 : 1) {
        case 0: text[at] = c; break;
        case 1: if (n < room) memmove(text + at + 1, text + at, n - at), text[at] = c, n++; break;
        case 2: memmove(text + at, text + at + 1, n - at - 1), n--; break;
        case 3: n = at; break;
        }
    }
    return n;
}

/* Walks all of a value; what it decodes must be UTF-8 when the text was checked. */
/* Going into the members finds as many of them, at the same places, as going over them; whatever the text, within it. */
static void into(struct lun_json v, bool checked)
{
    struct lun_json_each over = lun_json_each(v), e = over, inner;
    for (; lun_json_into(&e, &inner); lun_json_out(&e, &inner)) {
        assert_true(e.value.at >= v.at && e.value.at + e.value.n <= v.at + v.n);
        if (!checked) continue;
        assert_true(lun_json_next(&over) && over.value.at == e.value.at && over.key.at == e.key.at && over.key.n == e.key.n && over.index == e.index);
        struct lun_json_each members = lun_json_each(over.value);
        for (size_t left = e.index & 1 ? SIZE_MAX : 1; left-- && lun_json_next(&members); )
            assert_true(lun_json_next(&inner) && inner.value.at == members.value.at && inner.value.n == members.value.n);
        assert_true(!(e.index & 1) || !lun_json_next(&inner));
    }
    assert_false(checked && lun_json_next(&over));
}

static size_t walk(struct lun_json v, bool checked, int depth)
{
    size_t seen = 1;
    struct lun_buf out = {0};
    double d;
    int64_t i;
    if (lun_json_string(v, false, &out) && checked) assert_true(lun_text_valid(out.at, out.n));
    assert_false(lun_json_type(v) != LUN_JSON_STRING && out.n);
    if (lun_json_int(v, &i) && checked) assert_true(lun_json_double(v, &d) && llabs((long long)d - i) <= 1024);
    lun_buf_free(&out);
    into(v, checked);
    struct lun_json_each e = lun_json_each(v);
    while (depth < 200 && lun_json_next(&e)) {
        assert_true(e.value.at >= v.at && e.value.at + e.value.n <= v.at + v.n);
        if (checked) {
            struct lun_json again;
            assert_true(lun_json_check(e.value.at, e.value.n, &again, NULL) && again.n == e.value.n);
            if (e.object) assert_true(lun_json_type(e.key) == LUN_JSON_STRING);
        }
        seen += walk(e.value, checked, depth + 1);
    }
    return seen;
}

/* What the scan found must be what a walk over the members finds. */
static void agree(const char *text, size_t n)
{
    struct lun_json_field f[KEYS];
    struct lun_json_scan s;
    struct lun_json value;
    bool ok = lun_json_check(text, n, &value, NULL), object = ok && lun_json_type(value) == LUN_JSON_OBJECT;
    assert_int_equal(lun_json_scan(text, n, &keys, f, &s), object);
    walk(ok ? value : (struct lun_json){ text, n }, ok, 0);
    if (!object) return;
    assert_true(text + s.open == value.at + 1 && text + s.close == value.at + value.n - 1);
    assert_int_equal(s.empty, lun_json_count(value) == 0);
    for (int k = 0; k < KEYS; k++) {
        size_t times = 0;
        for (struct lun_json_each e = lun_json_each(value); lun_json_next(&e);) {
            if (!lun_json_is(e.key, keys.name[k])) continue;
            if (!times++) assert_true(text + f[k].value == e.value.at && f[k].value_n == e.value.n && text + f[k].key == e.key.at);
        }
        assert_int_equal(f[k].type != LUN_JSON_NONE, times > 0);
        assert_int_equal(f[k].twice, times > 1);
    }
}

static void mutated_texts_never_confuse_scan_and_walk(void **state)
{
    (void)state;
    static const char *seeds[] = {
        "{\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"a \\\"quoted\\\" \\u00e9 word and more than sixteen\"}],\"n\":1}",
        "{\"n\":-1.5e+3,\"stream\":false,\"user\":null,\"\\u006dodel\":[],\"metadata\":{\"a\":[[],{}]}}",
        "[1,2,{\"a\":\"\xe2\x82\xac\xf0\x9f\x98\xb9\"},[[[\"\\ud83d\\ude39\"]]],true]", "{ }" };
    char text[256];
    size_t accepted = 0;
    srand48(20261);
    for (int round = 0; round < 60000; round++) {
        const char *seed = seeds[round % (int)COUNT(seeds)];
        size_t n = strlen(seed);
        memcpy(text, seed, n);
        n = mutate(text, n, sizeof text);
        char *copy = exact(text, n);
        struct lun_json value;
        accepted += lun_json_check(copy, n, &value, NULL);
        agree(copy, n);
        free(copy);
    }
    assert_in_range(accepted, 3000, 57000);
}

/* ---- at once, and one after the other ---- */

static uint64_t seed = 5;

static size_t random_below(size_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

/* A string of `many` pieces, with its quotes, and what it stands for. Of a few pieces, so that backslashes come in runs of any length and quotes anywhere. */
static void make_string(size_t many, struct lun_buf *raw, struct lun_buf *text)
{
    static const struct { const char *raw, *text; } pieces[] = { { "\\\\", "\\" }, { "\\\"", "\"" }, { "\\\\", "\\" }, { "\\n", "\n" }, { "\\/", "/" }, { "\\u00e9", "\xc3\xa9" },
        { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" }, { "\\ud83d", "\xef\xbf\xbd" }, { "a", "a" }, { "some words", "some words" }, { "\xe1\xbb\x87", "\xe1\xbb\x87" }, { "{[,", "{[," },
        { "----------------", "----------------" } };
    size_t few = 1 + random_below(sizeof pieces / sizeof *pieces), first = random_below(sizeof pieces / sizeof *pieces);
    lun_buf_putc(raw, '"');
    for (size_t lone = 0; many--; ) {
        size_t i = (first + random_below(few)) % (sizeof pieces / sizeof *pieces);
        if (lone && i == 6) continue;           /* its first half would be the second of a pair that is none */
        lone = i == 7;
        lun_buf_puts(raw, pieces[i].raw);
        lun_buf_puts(text, pieces[i].text);
    }
    lun_buf_putc(raw, '"');
}

static void strings_of_any_length_end_where_they_end_and_are_decoded_whole(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct lun_buf list = {0}, text[3] = {{0}};
        size_t ends[3];
        for (int i = 0; i < 3; i++) {
            lun_buf_putc(&list, i ? ',' : '[');
            make_string(random_below(round % 100 ? 16 : 300), &list, &text[i]);
            ends[i] = list.n;
        }
        lun_buf_putc(&list, ']');
        char *at = exact(list.at, list.n);
        struct lun_json value, all = { at, list.n };
        struct lun_json_error error = {0};
        if (!lun_json_check(at, list.n, &value, &error)) fail_msg("%.*s: %s at %zu", (int)list.n, at, error.what, error.at);
        struct lun_json_each e = lun_json_each(all);
        for (int i = 0; i < 3; i++) {
            struct lun_buf got = {0};
            assert_true(lun_json_next(&e));
            assert_int_equal(e.value.at + e.value.n - at, ends[i]);
            assert_true(lun_json_string(e.value, false, &got));
            assert_int_equal(got.n, text[i].n);
            if (got.n) assert_memory_equal(got.at, text[i].at, got.n);
            assert_true(lun_json_is(e.value, lun_buf_text(&text[i])));
            lun_buf_free(&got), lun_buf_free(&text[i]);
        }
        assert_false(lun_json_next(&e));
        free(at), lun_buf_free(&list);
    }
}

static void what_is_wrong_in_a_long_string_is_found_wherever_it_stands(void **state)
{
    (void)state;
    static const char *const bad[] = { "\x01", "\\x", "\xff", "\\u12g4", "\xc3(" }, *const good[] = { "a", "some words", "\\n", "\\\\", "\\\"", "\\/", "----------------" };
    for (int round = 0; round < 4000; round++) {
        struct lun_buf text = {0};
        size_t before = random_below(60), at = 0;
        lun_buf_putc(&text, '"');
        for (size_t i = 0; i < 70; i++) {
            if (i == before) at = text.n, lun_buf_puts(&text, bad[round % (int)COUNT(bad)]);
            lun_buf_puts(&text, good[random_below(round % 3 ? COUNT(good) : 2)]);
        }
        lun_buf_putc(&text, '"');
        char *exactly = exact(text.at, text.n);
        struct lun_json value;
        struct lun_json_error error = {0};
        assert_false(lun_json_check(exactly, text.n, &value, &error));
        assert_int_equal(error.at, at);
        free(exactly), lun_buf_free(&text);
    }
}

static void a_locale_changes_nothing(void **state)
{
    (void)state;
    struct lun_buf out = {0};
    double d = 0;
    const char *comma = setlocale(LC_NUMERIC, "de_DE.UTF-8");
    lun_json_put_number(&out, 2.5);
    assert_wrote(&out, "2.5");
    assert_true(lun_json_double(of("2.5"), &d) && d == 2.5);
    if (comma) setlocale(LC_NUMERIC, "C");
    lun_buf_free(&out);
}

/* Wherever in a word of eight it stands. */
static void what_json_escapes_is_escaped_at_every_place(void **state)
{
    (void)state;
    static const char as[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (int c = 1; c < 256; c++) {
        char mid[8];
        const char *from = "\"\\\b\f\n\r\t", *known = strchr(from, c);
        if (known) snprintf(mid, sizeof mid, "\\%c", "\"\\bfnrt"[known - from]);
        else if (c < ' ' || c == 0x7f) snprintf(mid, sizeof mid, "\\u%04x", (unsigned)c);
        else if (c < 0x80) snprintf(mid, sizeof mid, "%c", c);
        else strcpy(mid, "\xef\xbf\xbd");
        for (size_t n = 1; n < sizeof as; n++)
            for (size_t at = 0; at < n; at++) {
                char expected[128], *text = exact(as, n);
                struct lun_buf out = {0};
                text[at] = (char)c;
                snprintf(expected, sizeof expected, "\"%.*s%s%.*s\"", (int)at, as, mid, (int)(n - at - 1), as);
                lun_json_put_string(&out, text, n);
                assert_string_equal(lun_buf_text(&out), expected);
                assert_int_equal(lun_text_printable(text, n), c >= ' ' && c < 0x7f);
                lun_buf_free(&out), free(text);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_json_is_accepted), cmocka_unit_test(invalid_json_is_refused),
        cmocka_unit_test(where_a_text_stands_makes_no_difference),
        cmocka_unit_test(every_start_of_a_text_is_refused_without_reading_on),
        cmocka_unit_test(the_longest_string_is_known_and_stepped_over_where_it_is_met),
        cmocka_unit_test(nesting_ends_at_128_levels), cmocka_unit_test(a_number_has_at_most_1000_characters),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place), cmocka_unit_test(keys_are_found_with_their_places),
        cmocka_unit_test(an_escaped_key_is_the_key), cmocka_unit_test(a_key_that_occurs_twice_is_told),
        cmocka_unit_test(a_full_table_of_keys_is_searched_to_its_end),
        cmocka_unit_test(names_are_compared_whole_and_as_bytes), cmocka_unit_test(only_an_object_is_a_request),
        cmocka_unit_test(a_field_put_in_at_open_or_close_leaves_an_object), cmocka_unit_test(members_come_in_their_order),
        cmocka_unit_test(objects_are_gone_into_without_their_end_and_left_wherever_one_is),
        cmocka_unit_test(what_is_no_container_has_no_members), cmocka_unit_test(a_path_leads_down),
        cmocka_unit_test(of_equal_names_the_last_counts), cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(only_strings_are_decoded), cmocka_unit_test(a_string_is_only_itself),
        cmocka_unit_test(integers_are_exact_or_refused), cmocka_unit_test(doubles_are_the_nearest_or_refused),
        cmocka_unit_test(only_true_is_true), cmocka_unit_test(a_step_of_a_path_has_at_most_255_bytes),
        cmocka_unit_test(strings_are_escaped), cmocka_unit_test(halves_of_a_pair_come_out_as_they_went_in), cmocka_unit_test(a_merge_takes_no_name_for_another), cmocka_unit_test(members_are_divided_by_commas),
        cmocka_unit_test(numbers_are_short_and_read_back_equal), cmocka_unit_test(what_is_wrong_in_a_long_string_is_found_wherever_it_stands), cmocka_unit_test(a_locale_changes_nothing),
        cmocka_unit_test(mutated_texts_never_confuse_scan_and_walk), cmocka_unit_test(strings_of_any_length_end_where_they_end_and_are_decoded_whole),
        cmocka_unit_test(what_json_escapes_is_escaped_at_every_place),
    };
    return RUN_EACH_WIDTH(tests);
}

#include "base/fold.h"
#include "base/keywords.h"
#include "base/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "widths.h"
#include <utf8proc.h>

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
    scratch.n = 0;
    lun_keywords_prepare(text, n, &scratch);
    struct lun_keywords_search s = { .text = scratch.at, .n = scratch.n };
    while (lun_keywords_look(k, &s)) ;
    lun_buf_free(&all);
    free(k);
    return s.count;
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

static void assert_folds_as_unicode_says(const char *text)
{
    struct lun_buf out = {0};
    utf8proc_uint8_t *said = NULL;
    utf8proc_map((const utf8proc_uint8_t *)text, 0, &said, UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD);
    lun_fold(text, strlen(text), &out);
    if (strcmp(lun_buf_text(&out), (const char *)said)) fail_msg("%s becomes %s, and is to be %s", text, out.at, (const char *)said);
    free(said), lun_buf_free(&out);
}

/* By itself, and with marks that belong before and behind its own. */
static void every_code_point_is_folded_as_unicode_says(void **state)
{
    char text[32];
    (void)state;
    for (uint32_t point = 1; point < 0x110000; point++) {
        if (point >= 0xD800 && point < 0xE000) continue;
        size_t n = lun_text_encode(point, text);
        text[n] = 0;
        assert_folds_as_unicode_says(text);
        if (point >= 0x3100 && point % 64) continue;
        strcpy(text + n, "\xcc\x81\xcc\xa3\xe1\xbb\x87\xcc\xa7\xe5\x88\x86");
        assert_folds_as_unicode_says(text);
    }
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

/* ---- the slow way, letter by letter and keyword by keyword ---- */

static uint64_t seed = 1;

static size_t random_below(size_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

static bool is_blank(const char *p) { return *p == ' ' || (*p >= '\t' && *p <= '\r') || !strncmp(p, "\xc2\xa0", 2); }

/* By another's folding, and then blank by blank. */
static void prepare_slowly(const char *text, struct lun_buf *out)
{
    utf8proc_uint8_t *folded = NULL;
    assert_true(utf8proc_map((const utf8proc_uint8_t *)text, 0, &folded, UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD) >= 0);
    for (const char *p = (const char *)folded; *p; p += is_blank(p) && *p == '\xc2' ? 2 : 1)
        if (!is_blank(p)) lun_buf_putc(out, *p);
        else if (!out->n || out->at[out->n - 1] != ' ') lun_buf_putc(out, ' ');
    free(folded);
}

static bool stands_slowly(const struct lun_buf *text, const struct lun_buf *word)
{
    size_t used, before;
    bool joined = lun_fold_is_joined(lun_text_point(word->at, word->n, &used));
    for (size_t at = 0; at + word->n <= text->n; at++) {
        size_t end = at + word->n;
        if (memcmp(text->at + at, word->at, word->n) || (end < text->n && lun_fold_is_mark(lun_text_point(text->at + end, text->n - end, &used)))) continue;
        for (before = at; before && (text->at[before - 1] & 0xc0) == 0x80; ) before--;
        if (!joined || !at || !lun_fold_is_joined(lun_text_point(text->at + before - 1, at - before + 1, &used))) return true;
    }
    return false;
}

/* Pieces of which texts and keywords are made, so that some stand in others. */
static const char *const pieces[] = { "a", "an", "ana", "analyze", "Analyze", "AND", "the", "he said", "step by step", "x", "class", "0", "9z", "_", " ", " ", " ", "  ", "\n", "\t \r",
    "\xc2\xa0", ", ", ". ", "'s", "```", "(", "{}", "phân tích", "pha\xcc\x82n ti\xcc\x81" "ch", "PHÂN", "Đánh giá", "e\xcc\xa3\xcc\x82", "ệ", "\xcc\x81", "ß", "é", "分析", "请分析一下", "析",
    "が", "か\xe3\x82\x99", "한국", "👍🏽", "🎉", "—", "“", "\xe1\xbe\x82", "\xe2\x84\xaa", "the quick brown fox jumps over the lazy dog", "                ", "aaaaaaaaaaaaaaaa" };

/* Of up to `most` pieces, without a NUL, which ends what others read. */
static void make_text(struct lun_buf *out, size_t most)
{
    size_t few = 1 + random_below(sizeof pieces / sizeof *pieces), first = random_below(sizeof pieces / sizeof *pieces);
    for (size_t n = 1 + random_below(most); n--; ) lun_buf_puts(out, pieces[(first + random_below(few)) % (sizeof pieces / sizeof *pieces)]);
    lun_buf_text(out);
}

enum { WORDS = 40 };

/* Exactly as large as it says, so that what reads past it is seen. */
static struct lun_keywords *set_of(const struct lun_buf *words, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++) bytes += words[i].n;
    struct lun_keywords *k = lun_keywords_init(malloc(lun_keywords_size(n, bytes)), n);
    for (int i = 0; i < n; i++) lun_keywords_add(k, words[i].at, words[i].n);
    return k;
}

static bool is_new(const struct lun_buf *words, int i)
{
    for (int before = 0; before < i; before++) if (words[before].n == words[i].n && !memcmp(words[before].at, words[i].at, words[i].n)) return false;
    return true;
}

static int found_alone(const struct lun_keywords *k, const char *text, size_t n)
{
    struct lun_keywords_search s = { .text = text, .n = n };
    while (lun_keywords_look(k, &s)) ;
    return s.count;
}

/* Three sets that have some in common, each by itself and all in one pass. */
static void compare_together(const struct lun_buf *words, int n, const char *text, size_t length)
{
    enum { SETS = 3 };
    struct lun_keywords *sets[SETS];
    uint64_t which[SETS][LUN_KEYWORDS_BITS];
    size_t bytes = 0;
    int count = 0;
    for (int i = 0; i < SETS; i++) {
        int from = (int)random_below((size_t)n);
        sets[i] = set_of(words + from, 1 + (int)random_below((size_t)(n - from)));
        bytes += lun_keywords_bytes(sets[i]), count += lun_keywords_count(sets[i]);
    }
    struct lun_keywords *all = lun_keywords_init(malloc(lun_keywords_size(count, bytes)), count);
    for (int i = 0; i < SETS; i++) lun_keywords_add_all(all, sets[i], which[i]);
    struct lun_keywords_search s = { .text = text, .n = length };
    while (lun_keywords_look(all, &s)) ;
    for (int i = 0; i < SETS; i++) {
        assert_int_equal(lun_keywords_found(&s, which[i]), found_alone(sets[i], text, length));
        free(sets[i]);
    }
    free(all);
}

static void compare_once(size_t most)
{
    struct lun_buf text = {0}, prepared = {0}, slowly = {0}, words[WORDS] = {{0}};
    int n = 1 + (int)random_below(WORDS), of = 0, count = 0;
    make_text(&text, most);
    lun_keywords_prepare(text.at, text.n, &prepared);
    prepare_slowly(text.at, &slowly);
    assert_int_equal(prepared.n, slowly.n);
    assert_memory_equal(prepared.at, slowly.at, slowly.n);
    for (int i = 0; i < n; i++) {
        struct lun_buf word = {0};
        make_text(&word, 4);
        prepare_slowly(word.at, &words[i]);
        lun_buf_free(&word);
    }
    struct lun_keywords *k = set_of(words, n);
    char *exact = memcpy(malloc(prepared.n), prepared.at, prepared.n);
    struct lun_keywords_search s = { .text = exact, .n = prepared.n };
    while (lun_keywords_look(k, &s)) ;
    for (int i = 0; i < n; i++) {
        if (!is_new(words, i)) continue;
        bool found = s.found[of / 64] >> (of % 64) & 1, stands = stands_slowly(&slowly, &words[i]);
        if (found != stands) fail_msg("'%s' in '%s': %d, and it is %d", lun_buf_text(&words[i]), lun_buf_text(&slowly), found, stands);
        count += stands, of++;
    }
    assert_int_equal(of, lun_keywords_count(k));
    assert_int_equal(s.count, count);
    compare_together(words, n, exact, prepared.n);
    free(k), free(exact), lun_buf_free(&text), lun_buf_free(&prepared), lun_buf_free(&slowly);
    for (int i = 0; i < n; i++) lun_buf_free(&words[i]);
}

static void what_is_found_at_once_is_what_is_found_letter_by_letter(void **unused)
{
    (void)unused;
    for (int round = 0; round < 6000; round++) compare_once(round % 10 ? 24 : 400);
    compare_once(20000);
}

/* Each is there, and each found is the one that was added so: more than share a first byte, and more first bytes than groups. */
static void of_a_thousand_keywords_each_is_found_by_itself(void **unused)
{
    struct lun_buf words[LUN_KEYWORDS_MOST] = {{0}};
    (void)unused;
    for (int i = 0; i < LUN_KEYWORDS_MOST; i++) lun_buf_printf(&words[i], "%c%dword", "abcdefghijklmnopqrstuvwxyz"[i % 26], i);
    struct lun_keywords *k = set_of(words, LUN_KEYWORDS_MOST);
    for (int i = 0; i < LUN_KEYWORDS_MOST; i += 7) {
        struct lun_buf text = {0};
        lun_buf_printf(&text, "%*s%s, and words that go on after it", i % 70, "", lun_buf_text(&words[i]));
        struct lun_keywords_search s = { .text = text.at, .n = text.n };
        while (lun_keywords_look(k, &s)) ;
        assert_int_equal(s.count, 1);
        assert_true(s.found[i / 64] >> (i % 64) & 1);
        lun_buf_free(&text);
    }
    free(k);
    for (int i = 0; i < LUN_KEYWORDS_MOST; i++) lun_buf_free(&words[i]);
}

/* A piece of the search is a bounded piece of work, also where each place of the text goes on like each of the keywords. */
static void no_text_makes_one_step_of_a_search_long(void **unused)
{
    struct lun_buf words[WORDS] = {{0}}, text = {0};
    int64_t before = 0;
    (void)unused;
    for (int i = 0; i < 65536; i++) lun_buf_putc(&text, '-');
    for (int i = 0; i < WORDS; i++) {
        for (int n = 0; n < 200; n++) lun_buf_putc(&words[i], '-');
        lun_buf_printf(&words[i], "%d", i);
    }
    struct lun_keywords *k = set_of(words, WORDS);
    struct lun_keywords_search s = { .text = text.at, .n = text.n };
    for (; lun_keywords_look(k, &s); before = s.steps) assert_in_range(s.steps - before, 4096, 202 * 4096);
    assert_int_equal(s.count, 0);
    free(k), lun_buf_free(&text);
    for (int i = 0; i < WORDS; i++) lun_buf_free(&words[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_and_composition_make_no_difference),
        cmocka_unit_test(every_code_point_is_folded_as_unicode_says),
        cmocka_unit_test(other_letters_stay_others),
        cmocka_unit_test(anything_can_be_folded_within_bounds),
        cmocka_unit_test(a_thousand_marks_on_one_letter_cost_no_square),
        cmocka_unit_test(different_keywords_are_counted_once_each),
        cmocka_unit_test(a_keyword_begins_with_a_word_and_may_go_on),
        cmocka_unit_test(a_letter_with_a_mark_is_another_letter),
        cmocka_unit_test(scripts_without_spaces_are_searched_anywhere),
        cmocka_unit_test(a_character_is_one_however_it_is_composed),
        cmocka_unit_test(what_is_found_at_once_is_what_is_found_letter_by_letter),
        cmocka_unit_test(of_a_thousand_keywords_each_is_found_by_itself),
        cmocka_unit_test(no_text_makes_one_step_of_a_search_long),
    };
    int failed = RUN_EACH_WIDTH(tests);
    lun_buf_free(&scratch);
    return failed;
}

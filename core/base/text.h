/* Questions about a run of UTF-8 text: is it well formed, how long is it as a person counts, does it hold code. And two
 * helpers for what people write in settings: the nearest known name, and sizes in bytes.
 *
 * Text is always a pointer and a number of bytes; it may hold NULs and need not end with one. Nothing here allocates,
 * keeps state, or reads outside what it was given; ill-formed bytes are stepped over one at a time, never refused, except
 * where a function is there to refuse them. Time is linear unless said otherwise. Thread-safe throughout. */
#ifndef LUN_BASE_TEXT_H
#define LUN_BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length (1 to 4) of the well-formed UTF-8 sequence that begins at `text`, or 0 if none does within `n` bytes. Follows
 * table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing past U+10FFFF. `n` may be 0. */
size_t lun_text_sequence(const char *text, size_t n);

/* Reads one code point; *used is how many bytes it took (at least 1). An ill-formed byte gives U+FFFD and takes 1. `n` > 0. */
uint32_t lun_text_point(const char *text, size_t n, size_t *used);

/* Writes a code point as UTF-8 into `out` and returns how many bytes (1 to 4). Surrogates and what lies past U+10FFFF
 * become U+FFFD. */
size_t lun_text_encode(uint32_t point, char out[4]);

/* Whether all of it is well-formed UTF-8. Empty text is. */
bool lun_text_valid(const char *text, size_t n);

/* Whether it is ASCII that leaves a mark: no blank, nothing that does not print. A C string; empty is. */
bool lun_text_graphic(const char *text);
bool lun_text_printable(const char *text, size_t n);        /* all of it is ASCII without controls: blanks may be in it */

/* The number of code points; each ill-formed byte counts as one. */
size_t lun_text_points(const char *text, size_t n);

/* The number of characters as a person counts them: code points without combining marks (U+0300 to U+036F), so that an accented letter is one
 * however it is composed. */
size_t lun_text_chars(const char *text, size_t n);

/* The number of words: runs between white space (the Unicode property White_Space, so NBSP and the ideographic space
 * too) or CJK punctuation. Each Han, Hiragana and Katakana character is a word of its own, because those scripts write no
 * spaces; Korean does, and is counted by them. Thai, Lao, Khmer and Burmese write none either, and are under-counted: a
 * phrase is one word. */
size_t lun_text_words(const char *text, size_t n);

/* Whether the text looks like it holds program code: a line that begins (after blanks) with one of these. A guess, wrong
 * for a line of prose that happens to begin so; the list is this one and nothing else. */
#define LUN_TEXT_CODE(X) \
    X("```") X("~~~") X("def ") X("async def ") X("class ") X("function ") X("local function ") X("func ") X("fn ") \
    X("import ") X("export default ") X("export const ") X("package main") X("#include") X("#define") X("#!/") \
    X("<?php") X("<!DOCTYPE") X("public class ") X("public static ") X("typedef ") X("struct ") X("const ") X("var ") \
    X("SELECT ") X("INSERT INTO ") X("CREATE TABLE ") X("console.log(") X("printf(") X("std::")
bool lun_text_has_code(const char *text, size_t n);

/* The largest length <= `most` at which the text can be cut without dividing a UTF-8 sequence. */
size_t lun_text_clip(const char *text, size_t n, size_t most);

/* The entry of `list` nearest to `name`, for "did you mean …": fewest letters changed, added, left out or swapped with
 * their neighbour, upper and lower case being the same. NULL if none is near: more than a third of the letters wrong (one
 * wrong is always near for three letters and more, and for two of two), or the name is longer than 64 bytes. Of equals the first. Entries are
 * C strings; what comes back is borrowed from the list. */
const char *lun_text_nearest(const char *name, const char *const *list, size_t n);

/* A size as a person writes it: digits, then nothing, B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers
 * of 1024), with a space between if wanted ("64MiB", "10 kB", "4096"). Case counts for nothing. False, and *bytes
 * untouched, for anything else or what passes INT64_MAX. `text` is a C string. */
bool lun_text_size(const char *text, int64_t *bytes);
#endif

/* Text made comparable: two texts that a person would call the same but for upper and lower case, or that hold the same accented letters
 * composed in another way, are the same bytes once folded. Unicode's canonical caseless form: case folding, canonical decomposition
 * (NFD), marks in canonical order. Thread-safe; `text` may hold anything. */
#ifndef LUN_BASE_FOLD_H
#define LUN_BASE_FOLD_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

/* Appends it folded. Ill-formed bytes become U+FFFD. The result is at most some 20 times as long as the text, mostly as long. */
void lun_fold(const char *text, size_t n, struct lun_buf *out);

/* Of a code point of folded text. A mark belongs to the letter before it. A `joined` letter stands in a script that puts spaces between words, so
 * that what follows it directly is in the same word: not Han, kana, Thai and their like. */
bool lun_fold_is_mark(uint32_t point);
bool lun_fold_is_joined(uint32_t point);

/* Whether a name shows as it is: no blank at either end, and no character that nobody sees or that turns others about (format, control, line
 * separators, private or unassigned code points). Ill-formed text does not. */
bool lun_fold_shows(const char *text, size_t n);
#endif

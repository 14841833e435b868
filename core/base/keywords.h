/* Which of a list of words or phrases stand in a text, whatever the case and however its accents are composed (base/fold.h). A keyword is found
 * from the beginning of a word on and may be followed by more letters ("algorithm" in "algorithms"), not by a mark that makes its last letter
 * another one; in scripts without spaces, anywhere. White space of any kind and length in the text is one space of a keyword.
 *
 * All keywords of a list are looked for in one pass. For 20 KB of English it takes 52 thousand instructions with six keywords and 302 with a hundred; a
 * memmem for each took 223 and 4,119. To prepare them takes 19 thousand (letter by letter 590), 20 KB of Vietnamese 915, of Chinese 694. */
#ifndef LUN_BASE_KEYWORDS_H
#define LUN_BASE_KEYWORDS_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct lun_keywords;
#define LUN_KEYWORDS_MOST 1024      /* of a list */
/* Bytes that a set of so many keywords takes, whose texts take `bytes` once folded; the caller's memory, so that any owner may hold it. */
size_t lun_keywords_size(int n, size_t bytes);
/* Makes an empty set in memory of that size. */
struct lun_keywords *lun_keywords_init(void *memory, int room);
/* Adds one that was prepared by lun_keywords_prepare. One that is there already is not added again. */
void lun_keywords_add(struct lun_keywords *, const char *prepared, size_t n);
/* A keyword, or a text, as it is compared, appended to `out`. */
void lun_keywords_prepare(const char *text, size_t n, struct lun_buf *out);
int  lun_keywords_count(const struct lun_keywords *);
size_t lun_keywords_bytes(const struct lun_keywords *);         /* of their texts */

/* Which of a set: a bit for each by the order in which they were added. */
#define LUN_KEYWORDS_BITS (LUN_KEYWORDS_MOST / 64)
/* Adds all of `from`, and says which they are in this one; it must have room for them. So what stands of several sets in a text is found in one pass. */
void lun_keywords_add_all(struct lun_keywords *, const struct lun_keywords *from, uint64_t which[LUN_KEYWORDS_BITS]);

/* A search through a text that was prepared, a piece of 4 KiB at a time, so that the caller can end it in between:
 *     struct lun_keywords_search s = { .text = text, .n = n };
 *     while (lun_keywords_look(k, &s)) …s.steps: the work so far, in bytes compared…
 * Then `count` is how many different ones stand in it, and `found` which: a bit for each by the order in which they were added. */
struct lun_keywords_search {
    const char *text;
    size_t n, at;
    int64_t steps;
    int count;
    uint64_t found[LUN_KEYWORDS_BITS];
    uint16_t in_group[8];           /* those found, by what keywords.c calls a group */
    uint8_t over;                   /* groups of which there is no more to find */
};
bool lun_keywords_look(const struct lun_keywords *, struct lun_keywords_search *);
/* How many of these were found. */
int lun_keywords_found(const struct lun_keywords_search *, const uint64_t which[LUN_KEYWORDS_BITS]);
#endif

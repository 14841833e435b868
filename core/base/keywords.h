/* Which of a list of words or phrases stand in a text, whatever the case and however its accents are composed (base/fold.h). A keyword is found
 * from the beginning of a word on and may be followed by more letters ("algorithm" in "algorithms"), not by a mark that makes its last letter
 * another one; in scripts without spaces, anywhere. White space of any kind and length in the text is one space of a keyword. */
#ifndef LUN_BASE_KEYWORDS_H
#define LUN_BASE_KEYWORDS_H
#include "base/buf.h"
#include <stdbool.h>

struct lun_keywords;
/* Bytes that a set of so many keywords takes, whose texts take `bytes` once folded; the caller's memory, so that any owner may hold it. */
size_t lun_keywords_size(int n, size_t bytes);
/* Makes an empty set in memory of that size. */
struct lun_keywords *lun_keywords_init(void *memory, int room);
/* Adds one that was prepared by lun_keywords_prepare. One that is there already is not added again. */
void lun_keywords_add(struct lun_keywords *, const char *prepared, size_t n);
/* A keyword, or a text, as it is compared, appended to `out`. */
void lun_keywords_prepare(const char *text, size_t n, struct lun_buf *out);
int  lun_keywords_count(const struct lun_keywords *);

/* Whether the i-th, from 0, stands in a text that was prepared: looks through all of it, so where time counts the text is to be short. */
bool lun_keywords_stands(const struct lun_keywords *, int i, const char *prepared, size_t n);
#endif

/* Memory that is freed all at once: what belongs to one request lives in its arena and dies with it.
 * Not thread-safe; one owner. Alignment is that of max_align_t. */
#ifndef LUN_BASE_ARENA_H
#define LUN_BASE_ARENA_H
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Blocks that the arenas of one thread leave to those that come after: so many of 8 KB at most; none where an address sanitizer is to find what is used
 * too late. It outlives them. */
extern const int lun_arena_keeps;
struct lun_arena_stock { struct lun_arena_block *block; int n; struct lun_buf lent; uint64_t loans; };    /* zero-initialised: empty and valid */
void lun_arena_stock_free(struct lun_arena_stock *);

struct lun_arena { struct lun_arena_block *block; struct lun_arena_stock *stock; };    /* zero-initialised: empty and valid; stock NULL: malloc's */

void *lun_arena_alloc(struct lun_arena *, size_t n);    /* not cleared; borrowed until lun_arena_free */
void *lun_arena_zalloc(struct lun_arena *, size_t n);
char *lun_arena_strndup(struct lun_arena *, const char *s, size_t n);   /* n bytes and a NUL */
char *lun_arena_strdup(struct lun_arena *, const char *s);              /* NULL gives NULL */
char *lun_arena_printf(struct lun_arena *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An empty buffer of the stock, lent until another arena of that stock asks for it, or this one again: for what each request needs for a moment and can make
 * again, in memory that the cache still has (of a 20 KB request 2 % of its time). *loan: its number, which no other has. NULL, and 0: there is no stock. */
struct lun_buf *lun_arena_borrow(struct lun_arena *, uint64_t *loan);
bool  lun_arena_has_borrowed(const struct lun_arena *, uint64_t loan);      /* what was put into it is still there; 0: never */

void  lun_arena_free(struct lun_arena *);               /* all of it; empty and valid again */
#endif

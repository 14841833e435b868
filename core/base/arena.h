/* Memory that is freed all at once: what belongs to one request lives in its arena and dies with it.
 * Not thread-safe; one owner. Alignment is that of max_align_t. */
#ifndef LUN_BASE_ARENA_H
#define LUN_BASE_ARENA_H
#include <stddef.h>

struct lun_arena { struct lun_arena_block *block; };    /* zero-initialised: empty and valid */

void *lun_arena_alloc(struct lun_arena *, size_t n);    /* not cleared; borrowed until lun_arena_free */
void *lun_arena_zalloc(struct lun_arena *, size_t n);
char *lun_arena_strndup(struct lun_arena *, const char *s, size_t n);   /* n bytes and a NUL */
char *lun_arena_strdup(struct lun_arena *, const char *s);              /* NULL gives NULL */
char *lun_arena_printf(struct lun_arena *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void  lun_arena_free(struct lun_arena *);               /* all of it; empty and valid again */
#endif

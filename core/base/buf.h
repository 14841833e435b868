/* A growing run of bytes. Zero-initialised it is empty and valid; it owns its memory until lun_buf_free. */
#ifndef LUN_BASE_BUF_H
#define LUN_BASE_BUF_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lun_buf { char *at; size_t n, room; };

static inline void lun_buf_add(struct lun_buf *, const void *bytes, size_t n);
static inline void lun_buf_puts(struct lun_buf *, const char *text);
void  lun_buf_int(struct lun_buf *, int64_t);                       /* as base/decimal writes them */
void  lun_buf_parts(struct lun_buf *, int64_t, int places);
void  lun_buf_printf(struct lun_buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline char *lun_buf_space(struct lun_buf *, size_t n);      /* room for n more bytes behind the last; then raise .n yourself */
static inline void lun_buf_putc(struct lun_buf *, char c);
void  lun_buf_drop(struct lun_buf *, size_t n);     /* takes the first n bytes out; the rest moves to the front */
char *lun_buf_text(struct lun_buf *);               /* ends it with a NUL that is not counted; borrowed until it changes */
void  lun_buf_free(struct lun_buf *);               /* empty and valid again */

/* Inline: of a request's instructions every fiftieth was a call of one of these. */
void lun_buf_grow(struct lun_buf *, size_t n);      /* of _space: where there is no room */
static inline char *lun_buf_space(struct lun_buf *b, size_t n)
{
    if (b->room - b->n < n) lun_buf_grow(b, n);
    return b->at + b->n;
}
static inline void lun_buf_add(struct lun_buf *b, const void *bytes, size_t n)
{
    if (!n) return;
    memcpy(lun_buf_space(b, n), bytes, n);
    b->n += n;
}
static inline void lun_buf_puts(struct lun_buf *b, const char *text) { lun_buf_add(b, text, strlen(text)); }
static inline void lun_buf_putc(struct lun_buf *b, char c)
{
    *lun_buf_space(b, 1) = c;
    b->n++;
}
#endif

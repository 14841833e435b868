#include "base/buf.h"
#include "base/alloc.h"
#include "base/decimal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lun_buf_grow(struct lun_buf *b, size_t n)
{
    size_t room = b->room ? b->room * 2 : 256;
    b->room = room < b->n + n ? b->n + n : room;
    b->at = lun_realloc(b->at, b->room);
}

void lun_buf_int(struct lun_buf *b, int64_t number)               { b->n += lun_decimal_int(lun_buf_space(b, LUN_DECIMAL_ROOM), number); }
void lun_buf_parts(struct lun_buf *b, int64_t number, int places) { b->n += lun_decimal_parts(lun_buf_space(b, LUN_DECIMAL_ROOM), number, places); }

void lun_buf_printf(struct lun_buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0) {
        vsnprintf(lun_buf_space(b, (size_t)n + 1), (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void lun_buf_drop(struct lun_buf *b, size_t n)
{
    b->n -= n;
    if (b->n && n) memmove(b->at, b->at + n, b->n);
}

char *lun_buf_text(struct lun_buf *b)
{
    *lun_buf_space(b, 1) = 0;
    return b->at;
}

void lun_buf_free(struct lun_buf *b)
{
    free(b->at);
    *b = (struct lun_buf){0};
}

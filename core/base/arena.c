#include "base/arena.h"
#include "base/alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 8000      /* with malloc's own header below two pages; most requests need no other */

#ifdef __SANITIZE_ADDRESS__
const int lun_arena_keeps = 0;
#else
const int lun_arena_keeps = 64;
#endif

struct lun_arena_block { struct lun_arena_block *next; size_t used, room; _Alignas(max_align_t) char bytes[]; };

static struct lun_arena_block *block_of(struct lun_arena *a, size_t room)
{
    struct lun_arena_stock *s = a->stock;
    struct lun_arena_block *b = s && room == BLOCK ? s->block : NULL;
    if (b) s->block = b->next, s->n--;
    else b = lun_alloc(sizeof *b + room);
    b->used = 0;
    b->room = room;
    return b;
}

static void drop(struct lun_arena *a, struct lun_arena_block *b)
{
    struct lun_arena_stock *s = a->stock;
    if (!s || b->room != BLOCK || s->n >= lun_arena_keeps) { free(b); return; }
    b->next = s->block;
    s->block = b;
    s->n++;
}

void *lun_arena_alloc(struct lun_arena *a, size_t n)
{
    struct lun_arena_block *b = a->block;
    n = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (!b || b->room - b->used < n) {
        struct lun_arena_block *fresh = block_of(a, n > BLOCK ? n : BLOCK);
        fresh->next = b;
        if (b && n > BLOCK) {               /* a large one goes behind, so that the rest of the first is still used */
            fresh->next = b->next;
            b->next = fresh;
        } else a->block = fresh;
        b = fresh;
    }
    void *p = b->bytes + b->used;
    b->used += n;
    return p;
}

void *lun_arena_zalloc(struct lun_arena *a, size_t n) { return memset(lun_arena_alloc(a, n), 0, n); }

char *lun_arena_strndup(struct lun_arena *a, const char *s, size_t n)
{
    char *copy = lun_arena_alloc(a, n + 1);
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *lun_arena_strdup(struct lun_arena *a, const char *s) { return s ? lun_arena_strndup(a, s, strlen(s)) : NULL; }

char *lun_arena_printf(struct lun_arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *out = lun_arena_alloc(a, (size_t)n + 1);
    vsnprintf(out, (size_t)n + 1, format, again);
    va_end(again);
    return out;
}

struct lun_buf *lun_arena_borrow(struct lun_arena *a, uint64_t *loan)
{
    struct lun_arena_stock *s = a->stock;
    *loan = s ? ++s->loans : 0;
    if (!s) return NULL;
    if (!lun_arena_keeps) lun_buf_free(&s->lent);
    s->lent.n = 0;
    return &s->lent;
}

bool lun_arena_has_borrowed(const struct lun_arena *a, uint64_t loan) { return loan && a->stock->loans == loan; }

void lun_arena_free(struct lun_arena *a)
{
    for (struct lun_arena_block *b; (b = a->block); drop(a, b)) a->block = b->next;
}

void lun_arena_stock_free(struct lun_arena_stock *s)
{
    for (struct lun_arena_block *b; (b = s->block); free(b)) s->block = b->next;
    s->n = 0;
    lun_buf_free(&s->lent);
}

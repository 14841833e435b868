#include "base/alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *given(void *p, size_t n)
{
    if (p || !n) return p;
    fprintf(stderr, "lunette: the system has no memory left (%zu bytes asked)\n", n);
    abort();
}

void *lun_alloc(size_t n)             { return given(malloc(n), n); }
void *lun_zalloc(size_t n)            { return given(calloc(1, n), n); }
void *lun_realloc(void *p, size_t n)  { return given(realloc(p, n), n); }

void *lun_memdup(const void *p, size_t n)
{
    void *copy = lun_alloc(n ? n : 1);
    if (n) memcpy(copy, p, n);
    return copy;
}

char *lun_strndup(const char *s, size_t n)
{
    char *copy = lun_alloc(n + 1);
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *lun_strdup(const char *s) { return s ? lun_strndup(s, strlen(s)) : NULL; }

char *lun_printf(const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&out, format, args);
    va_end(args);
    return given(n < 0 ? NULL : out, 1);
}

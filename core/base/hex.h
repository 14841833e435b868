/* Bytes as hexadecimal digits. */
#ifndef LUN_BASE_HEX_H
#define LUN_BASE_HEX_H
#include <stdbool.h>
#include <stddef.h>

/* Its value; -1: it is none. Of either case. */
static inline int lun_hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 2n digits in lower case, and a NUL. */
void lun_hex_write(char *out, const void *bytes, size_t n);
/* False: `text` does not begin with 2n digits. What follows them is not looked at. */
bool lun_hex_read(const char *text, void *bytes, size_t n);
#endif

#include "base/hex.h"

void lun_hex_write(char *out, const void *bytes, size_t n)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < n; i++) *out++ = "0123456789abcdef"[from[i] >> 4], *out++ = "0123456789abcdef"[from[i] & 15];
    *out = 0;
}

bool lun_hex_read(const char *text, void *bytes, size_t n)
{
    unsigned char *to = bytes;
    for (size_t i = 0; i < n; i++) {
        int high = lun_hex_digit(text[2 * i]), low = high < 0 ? -1 : lun_hex_digit(text[2 * i + 1]);
        if (low < 0) return false;
        to[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

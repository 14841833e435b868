#include "gateway/key_text.h"
#include <string.h>
#include <sys/random.h>

#define LETTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
enum { HOW_MANY = sizeof LETTERS - 1, FAIR = 256 - 256 % HOW_MANY };       /* bytes from there on would favour some letters */

static bool put_letters(char *at, int n)
{
    unsigned char bytes[64];
    for (int put = 0; put < n; ) {
        if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return false;
        for (size_t i = 0; i < sizeof bytes && put < n; i++) if (bytes[i] < FAIR) at[put++] = LETTERS[bytes[i] % HOW_MANY];
    }
    explicit_bzero(bytes, sizeof bytes);
    return true;
}

bool lun_key_text_make(char text[LUN_KEY_TEXT], struct lun_key_digest *d)
{
    memcpy(text, LUN_KEY_BEGIN, sizeof LUN_KEY_BEGIN);
    if (!put_letters(text + sizeof LUN_KEY_BEGIN - 1, LUN_KEY_LETTERS)) return false;
    text[LUN_KEY_TEXT - 1] = 0;
    *d = (struct lun_key_digest){ .until = LUN_NEVER };
    memcpy(d->hint, text, LUN_KEY_HINT - 1);
    return lun_key_hash(text, LUN_KEY_TEXT - 1, d->hash);
}

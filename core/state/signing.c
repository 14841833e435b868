#include "state/signing.h"
#include "base/alloc.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "whsec_"
enum { LEAST = 24, MOST_ENCODED = 64 };

static bool decode(const char *text, unsigned char key[LUN_SIGNING_KEY], size_t *n)
{
    size_t length = strlen(text), padding = 0;
    if (!length || length % 4 || length > 4 * ((MOST_ENCODED + 2) / 3)) return false;
    while (padding < 2 && text[length - 1 - padding] == '=') padding++;
    if (length - padding != strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")) return false;
    int got = EVP_DecodeBlock(key, (const unsigned char *)text, (int)length);
    *n = got < 0 ? 0 : (size_t)got - padding;
    return *n >= LEAST && *n <= MOST_ENCODED;
}

bool lun_signing_key(const char *secret, unsigned char key[LUN_SIGNING_KEY], size_t *n)
{
    if (!strncmp(secret, PREFIX, strlen(PREFIX))) return decode(secret + strlen(PREFIX), key, n);
    *n = strlen(secret);
    if (*n < LEAST || *n > LUN_SIGNING_KEY) return false;
    memcpy(key, secret, *n);
    return true;
}

bool lun_signing_sign(const char *secret, const char *id, long long timestamp, const char *body, size_t n, char out[LUN_SIGNATURE])
{
    unsigned char key[LUN_SIGNING_KEY], mac[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    size_t key_n;
    if (!lun_signing_key(secret, key, &key_n)) return false;
    char *text = lun_printf("%s.%lld.%.*s", id, timestamp, (int)n, body);
    bool good = HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)text, strlen(text), mac, &length) && length == 32;
    explicit_bzero(key, sizeof key);
    free(text);
    if (!good) return false;
    memcpy(out, "v1,", 3);
    EVP_EncodeBlock((unsigned char *)out + 3, mac, (int)length);
    return true;
}

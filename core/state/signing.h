/* Signatures of webhooks, as the Standard Webhooks specification has them (standardwebhooks.com): HMAC-SHA256 over "id.timestamp.body". */
#ifndef LUN_STATE_SIGNING_H
#define LUN_STATE_SIGNING_H
#include <stdbool.h>
#include <stddef.h>

#define LUN_SIGNING_KEY 256     /* bytes, at most */
#define LUN_SIGNATURE   48      /* "v1," and 44 characters of base64 */

/* The key of a secret: "whsec_" and the base64 of 24 to 64 bytes, or any other text of 24 to 256 bytes, as it is. False: it is neither. */
bool lun_signing_key(const char *secret, unsigned char key[LUN_SIGNING_KEY], size_t *n);
/* The value of webhook-signature. False: the secret is none, or libcrypto could not. */
bool lun_signing_sign(const char *secret, const char *id, long long timestamp, const char *body, size_t n, char out[LUN_SIGNATURE]);
#endif

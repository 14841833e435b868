/* Keys that were made at run time, as text: one of them, and `keys.json` of the folder `state` with all. Of a key's text its SHA-256 is in it and its first
 * characters. Pure; any thread. */
#ifndef LUN_GATEWAY_KEY_FILE_H
#define LUN_GATEWAY_KEY_FILE_H
#include "base/buf.h"
#include "base/json.h"
#include "state/keyring.h"

#define LUN_KEY_FILE_MOST ((size_t)512 << 20)      /* bytes of a whole one */

/* One key as a JSON object, and back: what gateways tell each other. NULL: *why (yours to free) says what is wrong with it. With one reference, not
 * bound to a registry. */
void lun_key_put(struct lun_buf *out, const struct lun_key *);
struct lun_key *lun_key_read(struct lun_json, char **why);

/* {"format":1,"sum":"sha256:…","keys":[…]}: the sum is that of the list, as it stands there. */
void lun_key_file_put(struct lun_buf *out, const struct lun_keyring *);
/* NULL: it is not one, not whole or not as it was written: *why (yours to free). */
struct lun_keyring *lun_key_file_read(const char *text, size_t n, char **why);
#endif

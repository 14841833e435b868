/* Keys that were presented lately, with their SHA-256, so that what comes again with each request is not hashed anew. It holds no key: only a keyed
 * digest of it, so long (128 bits) that nobody finds another key with the digest of one he does not know. One per worker: no lock. */
#ifndef LUN_GATEWAY_PRESENTED_H
#define LUN_GATEWAY_PRESENTED_H
#include "state/siphash.h"
#include "state/snapshot.h"

enum { LUN_PRESENTED = 256 };               /* of so many at most: one takes the place of another */
struct lun_presented {
    struct lun_siphash secret;              /* set it: lun_siphash_new */
    struct { struct lun_digest of; unsigned char hash[LUN_KEY_HASH]; bool filled; } at[LUN_PRESENTED];
};
/* As lun_key_hash does, which is what is done where the first argument is NULL. */
bool lun_presented_hash(struct lun_presented *, const char *key, size_t n, unsigned char hash[LUN_KEY_HASH]);
void lun_presented_forget(struct lun_presented *);      /* all of them, and the memory is wiped */
#endif

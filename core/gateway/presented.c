#include "gateway/presented.h"
#include <string.h>

bool lun_presented_hash(struct lun_presented *p, const char *key, size_t n, unsigned char hash[LUN_KEY_HASH])
{
    if (!p) return lun_key_hash(key, n, hash);
    struct lun_digest of = lun_siphash_digest(p->secret, key, n);
    size_t i = of.a % LUN_PRESENTED;
    if (!p->at[i].filled || p->at[i].of.a != of.a || p->at[i].of.b != of.b) {
        if (!lun_key_hash(key, n, hash)) return false;
        p->at[i].of = of;
        memcpy(p->at[i].hash, hash, LUN_KEY_HASH);
        p->at[i].filled = true;
    } else memcpy(hash, p->at[i].hash, LUN_KEY_HASH);
    return true;
}

void lun_presented_forget(struct lun_presented *p) { explicit_bzero(p->at, sizeof p->at); }

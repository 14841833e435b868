/* A JSON text brought to one form: two texts that mean the same come to the same bytes, whatever the order of their members and the white space, and no
 * others do. Numbers and strings count as they are written, names as what they say; of a name that occurs twice the order counts. For who wants to tell
 * texts apart by an unkeyed hash (state/cache_key.h does it by a keyed one, and quicker). */
#ifndef LUN_STATE_CANONICAL_H
#define LUN_STATE_CANONICAL_H
#include "base/buf.h"
#include "base/json.h"

/* Adds it to `out`; `text` was checked. Members at the top that `leaves_out` says true of are not there (NULL: all are). Each byte is read once, however deep
 * it lies: what is long enters what it lies in as its SHA-256. Not JSON any more: it is only good for being hashed. */
void lun_canonical_put(struct lun_buf *out, const char *text, size_t n, bool (*leaves_out)(void *self, struct lun_json name), void *self);
#endif

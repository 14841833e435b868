/* An answer of the response cache as bytes, for who keeps it elsewhere (gateway/shelf.h); and strictly back: what comes from there may be cut, another
 * version's, or made by somebody who wants harm. */
#ifndef LUN_STATE_PACKED_H
#define LUN_STATE_PACKED_H
#include "base/buf.h"
#include "state/cache.h"

enum { LUN_PACKED_HEAD = 136 };         /* bytes before the texts */

/* Adds it to `out`, made at `made`, a time of whoever keeps it. False, and nothing is added: it is too large to be written down. */
bool lun_packed_put(struct lun_buf *out, const struct lun_cached *, lun_us made);

/* What `at` holds, its texts borrowed from there; `made` is as it was put. False: it is no answer of this form, whole and undamaged, with names and types that
 * can stand in a header, counts that can be, and a body that is JSON. Whether its events are events is for others to look at (gateway/stream.h). */
bool lun_packed_read(const char *at, size_t n, struct lun_cached *);
#endif

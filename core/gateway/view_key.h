/* A key as the admin listener shows it, as a JSON object: of `clients` in the configuration, or made at run time. Of its text the beginning, never more;
 * of its hash nothing. */
#ifndef LUN_GATEWAY_VIEW_KEY_H
#define LUN_GATEWAY_VIEW_KEY_H
#include "base/buf.h"
#include "state/keyring.h"

void lun_view_key(const struct lun_key *, const struct lun_snapshot *, lun_us wall, struct lun_buf *out);
void lun_view_client(const struct lun_client_rule *, struct lun_buf *out);
/* [{…},…]: first those of the configuration, in its order, then the others by name. */
void lun_view_keys(const struct lun_snapshot *, const struct lun_keyring *, lun_us wall, struct lun_buf *out);
#endif

/* The carrier that plays scripts: providers that exist only as a Lua file (`script = "…"` in the configuration, scripted providers of tests). On
 * any loop, so also on virtual time. What a script says is done as `lunette provider` would do it over a socket. */
#ifndef LUN_GATEWAY_CARRIER_SCRIPT_H
#define LUN_GATEWAY_CARRIER_SCRIPT_H
#include "gateway/carrier.h"

/* NULL: `error` (yours to free) says what, with file and line. The snapshot and the loop outlive it. */
struct lun_carrier *lun_carrier_script_new(struct lun_loop *, const struct lun_snapshot *, char **error);
void lun_carrier_script_free(struct lun_carrier *);     /* nothing is carried any more; NULL is fine */
#endif

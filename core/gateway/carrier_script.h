/* The carrier that plays scripts: providers that exist only as a Lua file (`script = "…"` in the configuration), or as functions of a spec. On
 * any loop, so also on virtual time. What a script says is done as `lunette provider` would do it over a socket. */
#ifndef LUN_GATEWAY_CARRIER_SCRIPT_H
#define LUN_GATEWAY_CARRIER_SCRIPT_H
#include "gateway/carrier.h"
#include "script/scenario.h"

/* Plays scenes from wherever they come; what `self` points to and the loop outlive it. */
struct lun_carrier *lun_carrier_scenes_new(struct lun_loop *, struct lun_scenes);
void lun_carrier_script_free(struct lun_carrier *);     /* nothing is carried any more; NULL is fine */
/* From now on with the keys of `newest` where it has others for the same providers. A reference is kept. */
void lun_carrier_script_renew(struct lun_carrier *, struct lun_snapshot *newest);
#endif

/* A scripted provider over real sockets: HTTP/1.1 on one thread, doing to its clients whatever its script says, half a chunk and resets
 * included. GET /__provider tells how many requests it got and what they were. For tests and for trying policies, not for the open network. */
#ifndef LUN_GATEWAY_PROVIDER_H
#define LUN_GATEWAY_PROVIDER_H
#include "base/log.h"
#include "script/scenario.h"
#include "wire/reactor.h"

struct lun_provider_server;
/* `listener` and scenario are borrowed until free. `log` NULL: quiet. */
struct lun_provider_server *lun_provider_server_new(struct lun_reactor *, int listener, struct lun_scenario *, const struct lun_log *);
void lun_provider_server_free(struct lun_provider_server *);
#endif

/* A scripted provider over real sockets: HTTP/1.1 on one thread, doing to its clients whatever its script says, half a chunk and resets
 * included. For tests and for trying policies, not for the open network.
 *
 * GET /__provider tells what happened so far, as JSON:
 *   requests      how many it got                      last    the last 100: method, path, connection (which one it came on), headers, body
 *   connections   how many it accepted, this one too   left    how many were closed by the other side while an answer was under way
 *   unsent        bytes of answers that the other side has not taken yet */
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

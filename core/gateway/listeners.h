/* The listening sockets of a gateway: opened as its configuration says, or handed over by who started the program. */
#ifndef LUN_GATEWAY_LISTENERS_H
#define LUN_GATEWAY_LISTENERS_H
#include "state/snapshot.h"
#include "wire/handed.h"
#include "wire/listen.h"

/* The numbers stay here, to be handed on; the sockets are whose who was given them. */
struct lun_listeners { int *fds; int n; int admin; };       /* at least as many as workers; n 0: none for clients; admin -1: none */

/* What was handed over is taken, whatever `listen` and `admin` say; of the two that of which nothing was is opened as they say.
 * `handed` may be NULL. False: *error, yours to free; nothing is open. */
bool lun_listeners_open(struct lun_listeners *, const struct lun_snapshot *, int workers, struct lun_handed *handed, char **error);

/* Whether one of those for clients, or that for admin, can be reached from other machines: `text` says where. */
bool lun_listeners_reached(const struct lun_listeners *, char text[LUN_ADDRESS_TEXT]);
bool lun_listeners_admin_reached(const struct lun_listeners *, char text[LUN_ADDRESS_TEXT]);
#endif

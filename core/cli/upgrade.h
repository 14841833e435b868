/* Another process in the place of this one, without a connection refused: it is started on the same listening sockets, with the same command line, and
 * when it is ready this one takes no new connections and ends with its last request. If it does not become ready, this one goes on.
 *
 * What watches over the program (systemd, with Type=notify) is told so: sd_notify(3). */
#ifndef LUN_CLI_UPGRADE_H
#define LUN_CLI_UPGRADE_H
#include "gateway/gateway.h"

struct lun_upgrade;
/* All borrowed. argv: the whole command line, the program first: looked for in PATH where it has no slash. `awaited`: on which the process
 * before this one waits for it, taken; -1: none does. */
struct lun_upgrade *lun_upgrade_new(struct lun_gateway *, const struct lun_log *, char *const *argv, int awaited);
void lun_upgrade_free(struct lun_upgrade *);
void lun_upgrade_begin(struct lun_upgrade *);           /* on the gateway's thread; nothing while one is under way */
void lun_upgrade_ready(struct lun_upgrade *);           /* before lun_gateway_run: as soon as it serves, whoever waits for it is told */
/* This process was asked to end: so is one that has not taken over yet, and who watches over the program is told. Where another serves already, nothing. */
void lun_upgrade_stop(struct lun_upgrade *);
#endif

/* What the parts of `lunette ledger` share. Each part is a command of its own: the exit status, as in cli.h; argv[0] is its name. */
#ifndef LUN_CLI_LEDGER_H
#define LUN_CLI_LEDGER_H
#include "base/buf.h"
#include "state/ledger.h"
#include <stdio.h>

int lun_ledger_command_verify(int argc, char **argv);
int lun_ledger_command_export(int argc, char **argv);
int lun_ledger_command_reconcile(int argc, char **argv);
int lun_ledger_command_found(int argc, char **argv);
int lun_ledger_command_forget(int argc, char **argv);

/* "lunette ledger PART: …" and a line end on stderr; gives the status back. */
int lun_ledger_say(const char *part, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
int lun_ledger_wrong_use(const char *part, const char *format, ...) __attribute__((format(printf, 2, 3)));    /* 2 */

/* The ledger at `db`, or (NULL) the one that a gateway.lua names, whose secrets need not be there. NULL: it was said why not. */
struct lun_ledger *lun_ledger_find(const char *part, const char *db, const char *config, enum lun_ledger_mode);

void lun_ledger_put_usd(struct lun_buf *, int64_t nano);       /* "-0.000123" */
void lun_ledger_put_usd_key(struct lun_buf *, const char *key, int64_t nano);  /* as a JSON number, exact */
/* "2026-11-28", or "2026-11-28T14:00:00Z"; in UTC. */
bool lun_ledger_time(const char *text, lun_us *wall);
#endif

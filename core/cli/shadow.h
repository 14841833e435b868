/* What `lunette reload --shadow` and `lunette shadow` share. */
#ifndef LUN_CLI_SHADOW_H
#define LUN_CLI_SHADOW_H
#include "cli/remote.h"

/* Begins with a shadow by `body` (POST /admin/shadow), and, if `wait`, waits for what becomes of it; prints that. The exit status: 0: it was taken over, or is
 * not waited for. */
int lun_shadow_begin(const struct lun_remote *, const struct lun_buf *body, bool wait, bool json);
#endif

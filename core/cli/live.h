/* How things stand on a running gateway, as far as a dry run can begin with it: which targets rest, what is spent, what the policy's settings are. */
#ifndef LUN_CLI_LIVE_H
#define LUN_CLI_LIVE_H
#include "base/arena.h"
#include "state/snapshot.h"

struct lun_live_list { struct lun_pair *pair; int n, room; };
struct lun_live {                       /* zero-initialised: nothing is known, and that is fine */
    struct lun_arena arena;             /* of all texts */
    struct lun_live_list resting, spent, settings;      /* as in a lun_dry_run */
};

/* Asks the admin interface (`admin`: what --admin said, or NULL). What the snapshot does not have is passed over: keys that were made at run time, a target of
 * another version. 0, or the exit status: it was said why. */
int  lun_live_read(struct lun_live *, const struct lun_snapshot *, const char *admin);
void lun_live_free(struct lun_live *);
#endif

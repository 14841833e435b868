/* Which files a version was taken back for: those that the one in its place does not have as they are. As long as all of them are as they were, what
 * was taken back stays so, whatever else changes. As data: lines of `hash name`. */
#ifndef LUN_GATEWAY_BLAME_H
#define LUN_GATEWAY_BLAME_H
#include "state/snapshot.h"

/* Yours to free; "": they have the same files. */
char *lun_blame(const struct lun_snapshot *bad, const struct lun_snapshot *instead);
/* Whether a version has all of them. Blame NULL or "": no. */
bool lun_blame_holds(const char *blame, const struct lun_snapshot *);
/* Their names, "policy.lua, words.lua", as far as they fit. */
const char *lun_blame_names(const char *blame, char out[200]);
#endif

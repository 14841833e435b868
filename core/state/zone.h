/* Time zones, by the names of the system's database: "Europe/Berlin". A zone is read once, into a table of when its clocks change (1970 to 2100);
 * asking takes no lock and no memory. Zones are facts about the world: immutable, one of each name, as long as the process lives.
 *
 * NULL is UTC everywhere, and needs no database. Seconds are those since 1970. */
#ifndef LUN_STATE_ZONE_H
#define LUN_STATE_ZONE_H
#include "base/arena.h"
#include <stdbool.h>
#include <stdint.h>

struct lun_zone;
/* Reads files the first time: for a loader. False: the system's database has no such name, or there is none (`why`, static). "UTC" and its other
 * names give NULL. Any thread. */
bool lun_zone_find(const char *name, const struct lun_zone **out, const char **why);
/* All names of the database, for "did you mean"; 0: they cannot be read. In the arena. */
size_t lun_zone_names(struct lun_arena *, const char ***names);
const char *lun_zone_name(const struct lun_zone *);

int64_t lun_zone_offset(const struct lun_zone *, int64_t at);      /* seconds east of UTC at that moment */
/* Between which moments that offset holds without a change; INT64_MIN and INT64_MAX: ever before, ever after. */
void lun_zone_steady(const struct lun_zone *, int64_t at, int64_t *from, int64_t *to);
/* The first moment at which clocks there show `local` or later; `local` counts seconds as if it were UTC. A time that is left out begins where it
 * is left out, one that occurs twice where it occurs first. */
int64_t lun_zone_moment(const struct lun_zone *, int64_t local);
#endif

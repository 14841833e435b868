/* What gateways on one Redis tell each other of targets, keys and providers that rest, where `redis_cooling` is set: nobody asks a provider again that has
 * said to another of them how long it wants to be left alone. Told as news by name (gateway/fleet.h), one for each target and key. Clocks may differ: nothing
 * rests longer than was said. */
#ifndef LUN_GATEWAY_COOLING_H
#define LUN_GATEWAY_COOLING_H
#include "state/health.h"

#define LUN_COOLING_NEWS "rests "       /* what its names begin with */

struct lun_fleet;
void lun_cooling_tell(void *fleet, const struct lun_target *, int key, const struct lun_rests *);       /* any thread */

/* One that another has told. What this snapshot does not have, or does not share, rests for nobody. False: it cannot be understood. */
bool lun_cooling_hear(const struct lun_snapshot *, const char *text, lun_us now, lun_us wall);
#endif

/* Load that is shed: which of the new requests a thread that has too much to do refuses at once, so that those it takes are answered in time.
 *
 * Whether it has is judged by the lag of a timer: how late it fires is how long whatever comes waits before anybody looks at it. One long turn is no
 * overload; a lag that is never small for a tenth of a second is. From then on each turn of the thread's loop takes new requests for a part of the bound,
 * and refuses, which costs little, what comes behind them: so no turn is much longer than the bound, whatever is asked (but for the few requests that are
 * taken in together and then decided together). What comes all at once is refused sooner, in a turn of LUN_SHED_SUDDEN bounds. Of one thread. */
#ifndef LUN_STATE_SHED_H
#define LUN_STATE_SHED_H
#include "base/clock.h"
#include <stdbool.h>

#define LUN_SHED_PULSE (20 * LUN_MS)    /* how often its timer fires */
enum { LUN_SHED_SUDDEN = 4 };

struct lun_shed {                       /* zero-initialised: nothing is shed */
    bool over;
    lun_us from, least; int pulses;     /* since when it is looked, the least lag since, and how many there were */
};
void lun_shed_pulse(struct lun_shed *, lun_us lag, lun_us bound, lun_us now);   /* bound 0: nothing is shed */
/* A new request, `age` after its turn of the loop began. */
bool lun_shed_refuses(const struct lun_shed *, lun_us age, lun_us bound);
#endif

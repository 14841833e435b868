#include "state/shed.h"

#define PERIOD (100 * LUN_MS)

void lun_shed_pulse(struct lun_shed *s, lun_us lag, lun_us bound, lun_us now)
{
    if (!s->pulses || lag < s->least) s->least = lag;
    if (!s->pulses++) s->from = now - lag;
    if (!bound) *s = (struct lun_shed){0};
    else if (s->pulses >= 2 && now - s->from >= PERIOD) {
        s->over = s->least >= (s->over ? bound / 8 : bound / 2);
        s->pulses = 0;
    }
}

bool lun_shed_refuses(const struct lun_shed *s, lun_us age, lun_us bound)
{
    return bound && age >= (s->over ? bound / 2 : LUN_SHED_SUDDEN * bound);
}

#include "base/random.h"
#include "base/clock.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

uint64_t lun_random(void)
{
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) == sizeof bits) return bits;
    return (uint64_t)lun_clock_wall() * 0x9E3779B97F4A7C15u ^ (uint64_t)lun_clock_now();
}

void lun_random_id(char out[33])
{
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, lun_random(), lun_random());
}

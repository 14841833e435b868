/* Sums that cannot wrap. */
#ifndef LUN_BASE_SATURATING_H
#define LUN_BASE_SATURATING_H
#include <stdint.h>

/* a + b; INT64_MAX or INT64_MIN where that is beyond them. */
static inline int64_t lun_saturating_add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX) : sum;
}
#endif

/* Ridge regression on texts of which only is known which features each has: finds the weights that make
 *
 *     Σ rows (target − Σ weights of its features / √(how many it has))²  +  penalty × Σ weights²
 *
 * least, by conjugate gradients. The same rows in the same order give the same bits: one thread, no chance, no function of the system's but sqrt.
 * Thread-safe, allocates while it works. */
#ifndef LUN_BASE_RIDGE_H
#define LUN_BASE_RIDGE_H
#include <stddef.h>
#include <stdint.h>

struct lun_ridge {
    const uint16_t *feature;            /* of all rows, one behind the other; each below `width`, and once in a row */
    const size_t *from;                 /* by row: where its features begin; one more than there are rows */
    const double *target;               /* by row */
    const uint32_t *row; size_t n;      /* which rows are looked at */
    size_t width;
};

/* `weights` (width of them) are where it begins, so that the answer of another penalty saves time, and what it found. */
void lun_ridge_fit(const struct lun_ridge *, double penalty, double *weights);
/* What these weights say of a row. */
double lun_ridge_says(const struct lun_ridge *, uint32_t row, const double *weights);
#endif

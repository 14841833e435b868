#include "base/ridge.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 200 };                   /* at most; some ten are enough where the penalty is not tiny */
#define SMALL 1e-6                      /* of the first residue's square: it is found */

struct work { double *residue, *way, *image; };     /* each as wide as the weights */

double lun_ridge_says(const struct lun_ridge *r, uint32_t row, const double *weights)
{
    size_t from = r->from[row], to = r->from[row + 1];
    double sum = 0;
    for (size_t i = from; i < to; i++) sum += weights[r->feature[i]];
    return to > from ? sum / sqrt((double)(to - from)) : 0;
}

/* Adds to each feature of a row its part of `amount`. */
static void give(const struct lun_ridge *r, uint32_t row, double amount, double *to)
{
    size_t from = r->from[row], end = r->from[row + 1];
    double part = end > from ? amount / sqrt((double)(end - from)) : 0;
    for (size_t i = from; i < end; i++) to[r->feature[i]] += part;
}

static double product(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* How far the weights are from where the slope is nothing. */
static void begin(const struct lun_ridge *r, double penalty, const double *weights, double *residue)
{
    for (size_t i = 0; i < r->width; i++) residue[i] = -penalty * weights[i];
    for (size_t i = 0; i < r->n; i++) give(r, r->row[i], r->target[r->row[i]] - lun_ridge_says(r, r->row[i], weights), residue);
}

static void image_of(const struct lun_ridge *r, double penalty, const double *way, double *image)
{
    for (size_t i = 0; i < r->width; i++) image[i] = penalty * way[i];
    for (size_t i = 0; i < r->n; i++) give(r, r->row[i], lun_ridge_says(r, r->row[i], way), image);
}

static void walk(const struct lun_ridge *r, double penalty, double *weights, const struct work *w)
{
    begin(r, penalty, weights, w->residue);
    memcpy(w->way, w->residue, r->width * sizeof *w->way);
    double left = product(w->residue, w->residue, r->width), end = left * SMALL;
    for (int step = 0; step < STEPS && left > end; step++) {
        image_of(r, penalty, w->way, w->image);
        double far = left / product(w->way, w->image, r->width), before = left;
        for (size_t i = 0; i < r->width; i++) weights[i] += far * w->way[i], w->residue[i] -= far * w->image[i];
        left = product(w->residue, w->residue, r->width);
        for (size_t i = 0; i < r->width; i++) w->way[i] = w->residue[i] + left / before * w->way[i];
    }
}

void lun_ridge_fit(const struct lun_ridge *r, double penalty, double *weights)
{
    double *room = lun_alloc(3 * r->width * sizeof *room);
    walk(r, penalty, weights, &(struct work){ room, room + r->width, room + 2 * r->width });
    free(room);
}

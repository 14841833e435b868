/* How good a router is, by questions of which is known how well either model answers them: the figures of the paper on RouteLLM (arXiv:2406.18665).
 *
 *   PGR     the performance gap recovered: (quality of the routed answers − weak) / (strong − weak), where weak and strong are the qualities of all
 *           questions given to one of them
 *   APGR    its mean over all shares of questions that go to the strong model, from none to all: the area below the curve, by trapezia through every
 *           question. Chance reaches 0.5
 *   CPT(x)  the least share that must go to the strong model for a PGR of x
 *
 * Those of the highest scores go to the strong model first. Of questions with the same score neither comes first: between their ends the curve is a straight
 * line, which is the mean over all orders of them. */
#ifndef LUN_STATE_RECOVERY_H
#define LUN_STATE_RECOVERY_H
#include "base/estimate.h"
#include <stddef.h>

struct lun_routed { double score, weak, strong; };      /* a question: the router's score, and how good either answer is, 0 to 1 */

/* Puts them in order; all that follows wants that. */
void lun_recovery_sort(struct lun_routed *, size_t n);
/* The mean quality of both; PGR, APGR and CPT say something only where strong > weak. */
void lun_recovery_ends(const struct lun_routed *, size_t n, double *weak, double *strong);
double lun_recovery_apgr(const struct lun_routed *, size_t n);
/* The same, and where it would be, 95 times in 100, had other questions of the same kind been measured on. */
struct lun_interval lun_recovery_apgr_interval(const struct lun_routed *, size_t n);
double lun_recovery_cpt(const struct lun_routed *, size_t n, double pgr);

/* What comes of sending those above a threshold to the strong model. */
struct lun_recovery_at { double threshold, share, quality, pgr; };
struct lun_recovery_at lun_recovery_at(const struct lun_routed *, size_t n, double threshold);
/* The lowest threshold of six decimals above which are at most that share of them (more only where it is 1: then all are). */
double lun_recovery_threshold(const struct lun_routed *, size_t n, double share);
#endif

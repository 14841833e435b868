/* The order in which equal targets are asked: sticky where a session says so, otherwise by load. Used by the default plan and by
 * `targets:balanced(request)` in policies. */
#ifndef LUN_STATE_ORDER_H
#define LUN_STATE_ORDER_H
#include "state/question.h"

/* Sorts `targets` in place.
 * With a session: weighted rendezvous hashing (highest random weight) of session and target name, so that a session keeps its target
 * and the provider's prompt cache, and loses it only with the target; a target with more in flight than 1.25 times its fair share
 * comes after the others (consistent hashing with bounded loads).
 * Without: for each place the better of two, drawn by weight with the question's own randomness and compared by load (peak EWMA × in
 * flight) per weight.
 * Those that rest come last, in the same order among themselves. A weight of 0 or less comes behind all others. */
void lun_order_balanced(struct lun_question *, const struct lun_target **targets, int n);
#endif

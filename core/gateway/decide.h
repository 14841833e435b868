/* The policy port: a request's mind asks the policy's hooks, grants their wishes (sleep, http, chat), and turns what fails into the
 * default decision. One per request. */
#ifndef LUN_GATEWAY_DECIDE_H
#define LUN_GATEWAY_DECIDE_H
#include "gateway/station.h"

struct lun_decider;
extern const struct lun_policy_port lun_decider_port;      /* its self: a struct lun_decider */
struct lun_decider *lun_decider_new(struct lun_station *, struct lun_question *);    /* in the question's arena; the station lists it */
struct lun_request *lun_decider_begin(struct lun_decider *, const struct lun_ask *);    /* opens the walk it decides for */
struct lun_request *lun_decider_walk(const struct lun_decider *);
struct lun_decider *lun_decider_next(const struct lun_decider *);       /* of the same station; NULL: the last */
struct lun_station *lun_decider_station(const struct lun_decider *);
void lun_decider_free(struct lun_decider *, struct lun_question *);   /* nothing is asked of it any more */
#endif

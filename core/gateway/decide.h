/* The policy port: a request's mind asks the policy's hooks, grants their wishes (sleep, http, chat), and turns what fails into the
 * default decision. One per request. */
#ifndef LUN_GATEWAY_DECIDE_H
#define LUN_GATEWAY_DECIDE_H
#include "gateway/station.h"

struct lun_mind;
extern const struct lun_policy_port lun_mind_port;      /* its self: a struct lun_mind */
struct lun_mind *lun_mind_new(struct lun_station *);    /* the station outlives it */
struct lun_station *lun_mind_station(const struct lun_mind *);
void lun_mind_free(struct lun_mind *, struct lun_question *);   /* nothing is asked of it any more */
#endif

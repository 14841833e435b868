/* What is known of targets from outcomes seen so far: how attempts at each ended, of which one is drawn for an attempt that the log does not have; and what
 * requests that began at each came to, on average. It grows as a log is read and never looks ahead. One thread. */
#ifndef LUN_GATEWAY_OUTCOMES_H
#define LUN_GATEWAY_OUTCOMES_H
#include "gateway/logged.h"

/*  id, name: what a request comes to, of which means are estimated; all as plain numbers */
#define LUN_MEASURES(X) X(COST, "cost_usd") X(LATENCY, "latency_ms") X(SUCCESS, "success")
#define X(id, ...) LUN_MEASURE_##id,
enum lun_measure { LUN_MEASURES(X) LUN_MEASURE_COUNT };
#undef X
const char *lun_measure_name(enum lun_measure);

struct lun_came_to { double of[LUN_MEASURE_COUNT]; };
struct lun_came_to lun_came_to(int64_t cost, lun_us latency, bool success);

struct lun_outcomes;
struct lun_outcomes *lun_outcomes_new(void);
void lun_outcomes_free(struct lun_outcomes *);
void lun_outcomes_learn(struct lun_outcomes *, const struct lun_logged *);

/* One of the last outcomes at that target, of a request about as long, which one by `random`; its tokens are about those that this request would have had
 * there. False: none was seen. */
bool lun_outcomes_draw(const struct lun_outcomes *, const char *target, const struct lun_logged *, uint64_t random, struct lun_ending *out);

/* The mean of requests whose first attempt was at that target (NULL: that had none); of all, where there were none such. */
struct lun_came_to lun_outcomes_expect(const struct lun_outcomes *, const char *target);
#endif

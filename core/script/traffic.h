/* A description of traffic and of the targets that answer it, where there is no log: a Lua file that returns a table, or a JSON file with the same in it. What
 * stands where is listed in core/gateway/README.md#synthetic. Pure data. */
#ifndef LUN_SCRIPT_TRAFFIC_H
#define LUN_SCRIPT_TRAFFIC_H
#include "script/mistakes.h"
#include "state/outcome.h"
#include "state/question.h"

enum { LUN_TRAFFIC_HOURS = 24 };

struct lun_spread { double median, sigma; };        /* of a lognormal distribution; sigma of its logarithm */

struct lun_traffic_kind {                           /* of requests */
    double weight;
    const char *model;
    const char *text, *key, *user, *session, *task, *class;     /* NULL: not said */
    struct lun_pair *tags; int n_tags;
    bool stream;
    struct lun_spread input, output;                /* tokens */
};
struct lun_traffic_episode { double from, to; };    /* seconds from the start: to is after from */
struct lun_traffic_target {
    const char *name;
    struct lun_spread latency;                      /* seconds */
    double first_byte;                              /* share of it that goes by before the first byte */
    double failures; enum lun_kind kind;            /* share of attempts that fail, and how */
    struct lun_traffic_episode *episodes; int n_episodes;       /* in which all do */
    double requests_per_minute;                     /* more are refused with 429; 0: no limit */
};
struct lun_traffic {
    struct lun_arena arena;
    uint64_t seed;
    int64_t requests;
    lun_us start;                                   /* wall */
    double rate[LUN_TRAFFIC_HOURS];                 /* arrivals a second, by hour of the day in UTC: Poisson */
    struct lun_traffic_kind *mix; int n_mix;
    struct lun_traffic_target *targets; int n_targets;
};

/* NULL: `mistakes` says why. Yours to free. */
struct lun_traffic *lun_traffic_load(const char *path, struct lun_mistakes *);
void lun_traffic_free(struct lun_traffic *);        /* NULL is fine */
const struct lun_traffic_target *lun_traffic_target(const struct lun_traffic *, const char *name);      /* NULL: it is not described */
#endif

/* What two versions decided about the same requests: how often, how and in what they differ, what each expects to pay, and whether that stays within
 * bounds. Of each kind of difference the last few are kept as they were. Any thread; it knows nothing of how either was asked. */
#ifndef LUN_GATEWAY_COMPARISON_H
#define LUN_GATEWAY_COMPARISON_H
#include "gateway/ports.h"

/*  id, name, meaning; the gravest first */
#define LUN_DIFFERENCES(X) \
    X(REFUSED, "refused", "one of them refuses it and the other does not, or by another hook, or with another status") \
    X(FIRST,   "first",   "another target is asked first") \
    X(PLAN,    "plan",    "other targets are asked, or in another order") \
    X(BUDGET,  "budget",  "`budget` narrowed what may be asked otherwise") \
    X(LABELS,  "labels",  "`classify` answered other labels") \
    X(STEPS,   "steps",   "the same targets in the same order, but another time, warning or change of the body")
#define X(id, ...) LUN_DIFFERS_##id,
enum lun_difference { LUN_DIFFERENCES(X) LUN_DIFFERENCE_COUNT };
#undef X
const char *lun_difference_name(enum lun_difference);

/*  id, name, meaning: what became of a request that was to be compared */
#define LUN_COMPARED(X) \
    X(SAME,      "same",      "both decided the same") \
    X(DIFFERENT, "different", "they did not") \
    X(FAILED,    "failed",    "a hook of the shadow failed, and none of the live version") \
    X(BUSY,      "busy",      "left out: the worker had no time for it soon enough") \
    X(FULL,      "full",      "left out: too many waited") \
    X(LARGE,     "large",     "left out: its body has more than 1 MiB, which is not looked through a second time")
#define X(id, ...) LUN_COMPARED_##id,
enum lun_compared { LUN_COMPARED(X) LUN_COMPARED_COUNT };
#undef X
const char *lun_compared_name(enum lun_compared);

/* One version's decision on one request; borrowed from its question. */
struct lun_verdict {
    const char *id;                         /* of the request */
    const char *const *labels; int n_labels;
    bool planned; struct lun_plan plan;     /* planned false: refused */
    enum lun_hook by; int status;           /* refused: by which hook, with what */
    bool unknown;                           /* ... before any hook was asked: the version does not know the model, or who asks */
    bool narrowed; const struct lun_target *const *targets; int n_targets;      /* by `budget` */
    bool failed;                            /* a hook did, and the default decided */
    int64_t expected;                       /* nano-USD of the first step, about; -1: not known, or there is none. By lun_verdict_expect */
    lun_us thought;                         /* CPU time of its hooks */
};
/* Of a question on which it has just been decided. */
struct lun_verdict lun_verdict_of(struct lun_question *, const struct lun_decided *);
void lun_verdict_expect(struct lun_verdict *, struct lun_question *);       /* looks at the whole input: not while somebody waits */
/* A bit for each kind of difference, 1 << LUN_DIFFERS_…; 0: they are the same. */
unsigned lun_verdict_differs(const struct lun_verdict *live, const struct lun_verdict *shadow);

struct lun_comparison_bounds {
    double errors;                          /* share of the requests that may fail, or be refused, only there */
    double cost;                            /* by what share the sum of expected costs may be higher */
    int64_t requests;                       /* at least so many are compared */
};
struct lun_comparison;
struct lun_comparison *lun_comparison_new(void);
void lun_comparison_free(struct lun_comparison *);                      /* NULL is fine */
enum lun_compared lun_comparison_add(struct lun_comparison *, const struct lun_verdict *live, const struct lun_verdict *shadow);
void lun_comparison_skip(struct lun_comparison *, enum lun_compared);   /* BUSY, FULL, LARGE */
void lun_comparison_unasked(struct lun_comparison *, uint64_t calls);   /* its hooks wanted to ask somebody, and nobody was */
/* A hook of the shadow has failed. */
void lun_comparison_trouble(struct lun_comparison *, enum lun_hook, const char *reason, const char *error);

/* Whether what was seen stays within the bounds. `text`: the figures in a sentence; where it does not, with what is out of them in front. */
bool lun_comparison_within(struct lun_comparison *, const struct lun_comparison_bounds *, struct lun_buf *text);
/* All of it, as members of an object. */
void lun_comparison_show(struct lun_comparison *, struct lun_buf *out);
#endif

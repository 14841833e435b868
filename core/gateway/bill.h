/* What an attempt may cost and did cost: its hold on every budget that the request counts to. Between request, attempt and state/budget;
 * no network, no clock of its own. */
#ifndef LUN_GATEWAY_BILL_H
#define LUN_GATEWAY_BILL_H
#include "state/plan.h"
#include "state/question.h"

struct lun_bill {                   /* zero-initialised: nothing held */
    struct lun_hold hold;
    bool limited;                   /* one of the budgets has a hard limit */
    int64_t bound;                  /* the dearest it can cost; -1: its price is unknown */
    int64_t output;                 /* tokens of output that the body asks for at most; -1: it does not say */
    unsigned services;              /* what it was asked to be billed as (state/usage.h); 0: no matter */
    bool unsent;                    /* no connection stood: nobody can have worked for it. Said before the end */
    bool told_all;                  /* of a stream: what it has told of usage is its last word. Said before the end */
    int64_t cap;                    /* tokens of output that were reckoned with, where the body has to say so; -1: it need not */
    struct lun_account_view short_of;   /* the budget that it did not fit, as it was when it did not; name NULL: none */
    struct lun_account *short_account;  /* the same one */
    bool closed;                    /* no money was to be had for another reason */
};

/* Reckons what the step could cost and looks whether that would fit now, without taking anything. False: it would not; `detail`
 * (in the question's arena) says why. */
bool lun_bill_fits(struct lun_bill *, struct lun_question *, const struct lun_step *, const char **detail);

/* Takes the hold. Not LUN_TAKEN: nothing was taken; `detail` says why. */
enum lun_taken lun_bill_take(struct lun_bill *, struct lun_question *, const struct lun_trial *, struct lun_money *, const char **detail);

/* Ends the hold, once, and fills the trial's usage (an estimate, where nothing is known and nothing is limited, or hanging up ends the bill),
 * billed, cost, bound and suspect. `text_bytes`: what came of the answer. Without a hold only `billed`.
 *
 * A claim that cannot be true is charged all the same, as claimed, also above the hold; one that is no number of tokens is as good as none: under
 * a hard limit that costs the hold. Either of them closes the target to requests under a hard limit (state/doubt.h). */
void lun_bill_end(struct lun_bill *, struct lun_question *, struct lun_trial *, uint64_t text_bytes);
#endif

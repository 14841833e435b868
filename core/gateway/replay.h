/* A policy tried on the requests of a log: each is asked again, in the order in which they came, on the virtual clock, in the real walk, and nobody outside is
 * asked anything. How an attempt ends is what the log has for that request and target; what the log does not have is drawn from outcomes that it has had by
 * then of that target, and said to be so. Health, limits, budgets and latencies are rebuilt from these ends. The same from run to run. One thread. */
#ifndef LUN_GATEWAY_REPLAY_H
#define LUN_GATEWAY_REPLAY_H
#include "base/quantiles.h"
#include "gateway/figures.h"
#include "gateway/outcomes.h"

/*  id, name, what: how many requests */
#define LUN_REPLAY_COUNTS(X) \
    X(LOGGED,     "as_logged",     "took no other way than in the log: what came of them is known") \
    X(ESTIMATED,  "estimated",     "asked a target that the log did not ask for them, and what came of it is drawn from what that target did otherwise") \
    X(UNSEEN,     "unseen",        "of these, asked a target that the log had not shown by then: they are taken to end as they did where they went") \
    X(UNDECIDED,  "undecided",     "no policy could have made anything else of: refused as they stood, answered from the cache, only decided") \
    X(INNER,      "inner",         "more lines are of questions that a policy asked itself (lunette.chat): they are no requests, and their cost is not among these figures") \
    X(NO_CHANCE,  "no_probability", "were sent where they were by no choice of chance that the log has: not among the estimates") \
    X(OTHER_CHANCE, "other_chance", "were left to a chance by this policy that cannot be compared with that of the log: not among the estimates") \
    X(NO_TEXT,    "text_missing",  "of these the policy wanted to know the text, and the log does not have it (`log.text`)") \
    X(NO_BODY,    "body_missing",  "of these it looked at other fields of the body (tools, earlier messages), and read that they are not there") \
    X(NO_HEADERS, "headers_missing", "of these it looked at headers, and read that there are none") \
    X(NO_TOKENS,  "tokens_missing", "of these it asked for the number of tokens, and the log does not have it") \
    X(NO_ANSWER,  "answers_missing", "of these it looked at what a model said, and the log does not have it") \
    X(NO_WISH,    "calls_missing", "of these it called lunette.chat or lunette.http, and the log does not have what they brought: it was told an error") \
    X(NO_CLIENT,  "clients_missing", "came with a key that the configuration does not name: taken as if nobody was asked for a key")
#define X(id, ...) LUN_REPLAY_##id,
enum lun_replay_count { LUN_REPLAY_COUNTS(X) LUN_REPLAY_COUNT };
#undef X
const char *lun_replay_count_name(enum lun_replay_count);
const char *lun_replay_count_text(enum lun_replay_count);

struct lun_replay_told { const struct lun_logged *logged; const char *error; };
struct lun_replay_options {
    const struct lun_outcomes *outcomes;            /* as far as they are known; borrowed */
    const char *name;                               /* of the configuration, for messages; borrowed */
    void (*failed)(void *self, const struct lun_replay_told *); void *self;     /* a hook failed: for which request, and where */
    /* How an attempt ends, in the place of the log; NULL: the log. */
    bool (*tell)(void *self, const struct lun_call *, const struct lun_logged *, struct lun_ending *); void *tell_self;
};
struct lun_replay;
/* The snapshot must be fresh; its reference is taken, also on failure. `wall`: when the first request comes. NULL: `error` (yours to free). */
struct lun_replay *lun_replay_new(struct lun_snapshot *, lun_us wall, const struct lun_replay_options *, char **error);
void lun_replay_free(struct lun_replay *);          /* NULL is fine */

/* Moves the clock to when it came, unless that is over, and asks. False: something never comes to rest. */
bool lun_replay_ask(struct lun_replay *, struct lun_logged *);
bool lun_replay_end(struct lun_replay *);           /* until all have ended */

const struct lun_figures *lun_replay_really(const struct lun_replay *);     /* the same requests in the log; models as this configuration names them */
const struct lun_figures *lun_replay_figures(const struct lun_replay *);
const struct lun_estimate *lun_replay_estimate(const struct lun_replay *, enum lun_measure);
/* Of the latency of requests that were answered, in milliseconds, among those that the estimates are from. q: above 0, below 1. */
struct lun_interval lun_replay_quantile(const struct lun_replay *, double q);
double lun_replay_quantile_really(const struct lun_replay *, double q);
int64_t lun_replay_counted(const struct lun_replay *, enum lun_replay_count);
#endif

/* What `lunette report` and GET /admin/report tell: the metrics, read together and reckoned out. There are no other counters than those of
 * /metrics. Every field exists once, in the table here; core/gateway/README.md is made from it. */
#ifndef LUN_GATEWAY_REPORT_H
#define LUN_GATEWAY_REPORT_H
#include "base/buf.h"
#include "state/metrics.h"
#include "state/snapshot.h"

/*  id, name, type or unit, where, meaning */
#define LUN_REPORT_FIELDS(X) \
    X(SINCE,         "since",         "text",    "top",              "when counting began, in UTC: when the process started") \
    X(SECONDS,       "seconds",       "seconds", "top",              "since then") \
    X(VERSION,       "version",       "text",    "top",              "the policy's version in force") \
    X(OPEN_CIRCUITS, "open_circuits", "list",    "top",              "targets whose circuit is open, by name") \
    X(TOTALS,        "totals",        "object",  "top",              "all requests of clients") \
    X(SAVING,        "saving",        "object",  "top",              "against the premium targets; null: none is configured, so nothing can be said") \
    X(MODELS,        "models",        "list",    "top",              "by model that was asked to answer (its name in `models`), the busiest first; also those asked in vain and those that policies ask by `lunette.chat`") \
    X(ALL_MODELS,    "all_models",    "object",  "top",              "the same over all of them") \
    X(LABELS,        "labels",        "list",    "top",              "by label that `classify` answered; a request with two counts in both, past 200 labels the rest is `other`") \
    X(STAGES,        "stages",        "list",    "top",              "by the step of the plan that answered") \
    X(TARGETS,       "targets",       "list",    "top",              "by target that was asked") \
    X(MODEL,         "model",         "text",    "models",           "its name") \
    X(LABEL,         "label",         "text",    "labels",           "its text") \
    X(STAGE,         "stage",         "text",    "stages",           "`1` is the first step; `cache`: the response cache answered; `other`: a target that the hook `retry` chose beside the plan") \
    X(TARGET,        "target",        "text",    "targets",          "its name") \
    X(PROVIDER,      "provider",      "text",    "targets",          "its provider; null: the configuration in force has no such target") \
    X(CIRCUIT,       "circuit",       "text",    "targets",          "`closed`, `open`, `half_open`") \
    X(REST,          "rest_ms",       "ms",      "targets",          "how long it still rests, after a 429 or with an open circuit") \
    X(REQUESTS,      "requests",      "number",  "totals labels",    "that ended") \
    X(ATTEMPTS,      "attempts",      "number",  "models targets",   "that were sent; of targets also those that found no turn or no key") \
    X(ANSWERED,      "answered",      "number",  "all lists",        "with an answer that was whole") \
    X(FAILED,        "failed",        "number",  "all but stages",   "of requests: for good, something was sent, or 5xx; of attempts: any other end") \
    X(REFUSED,       "refused",       "number",  "totals labels",    "before anything was sent") \
    X(LEFT,          "left",          "number",  "totals labels",    "the client hung up first") \
    X(CANCELLED,     "cancelled",     "number",  "models targets",   "no longer wanted: another was faster, or the client hung up") \
    X(SUCCESS_RATE,  "success_rate",  "0 to 1",  "all but stages",   "answered, of all but those left or cancelled; null: there was none") \
    X(SHARE,         "share",         "0 to 1",  "stages",           "of all answers") \
    X(MEAN,          "mean_ms",       "ms",      "all lists",        "mean latency of what was answered: of requests from arrival to end, of attempts from sending to end") \
    X(P99,           "p99_ms",        "ms",      "all lists",        "of the same, the 99th percentile, within 2 %") \
    X(SPREAD,        "spread",        "list",    "all lists",        "only with `?spread=1`: the same latencies, as pairs of ms (within 1.6 %), rising, and how many took so long; what lies between two such lists is the spread of that time") \
    X(ENDS,          "ends",          "object",  "targets",          "attempts by how they ended (`attempt.kind`)") \
    X(PRIMARY_RATE,  "primary_rate",  "0 to 1",  "totals",           "answers of the first step, of all answers that came by a plan") \
    X(FALLBACKS,     "fallbacks",     "number",  "totals",           "answers of another step") \
    X(FALLBACK_RATE, "fallback_rate", "0 to 1",  "totals",           "of all answers that came by a plan") \
    X(CACHED,        "cached",        "number",  "totals",           "answers that the response cache gave, those of an equal request under way too") \
    X(CACHE_RATE,    "cache_rate",    "0 to 1",  "totals",           "of all requests that were looked up in it; null: there were none") \
    X(RETRIED,       "retried",       "number",  "totals",           "requests of which more than one attempt was sent, hedges apart") \
    X(RETRIED_ANSWERED, "retried_answered", "number", "totals",      "of these, answered in the end") \
    X(RETRY_RATE,    "retry_rate",    "0 to 1",  "totals",           "retried, of all requests") \
    X(RETRIES,       "retries",       "number",  "totals",           "attempts after the first of a request") \
    X(RETRIES_DENIED, "retries_denied", "number", "totals",          "that the retry budget did not allow") \
    X(RETRY_WAIT,    "retry_wait_seconds", "seconds", "totals",      "spent waiting before trying again") \
    X(HEDGES,        "hedges",        "number",  "totals targets",   "attempts started beside another") \
    X(QUEUED,        "queued",        "number",  "totals targets",   "attempts that had to wait for a turn at the rate limit") \
    X(QUEUE_SECONDS, "queue_seconds", "seconds", "totals targets",   "how long, together") \
    X(TOKENS_INPUT,  "tokens_input",  "tokens",  "models",           "as the providers counted them") \
    X(TOKENS_OUTPUT, "tokens_output", "tokens",  "models",           "as the providers counted them") \
    X(COST,          "cost_usd",      "USD",     "models targets saving", "of all attempts") \
    X(PREMIUM,       "premium_usd",   "USD",     "models saving",    "what the same tokens would have cost at the mean price of the premium targets") \
    X(SAVED,         "saved_usd",     "USD",     "models saving",    "the difference; null without premium targets") \
    X(SAVED_PERCENT, "saved_percent", "percent", "models saving",    "the same in percent of what it would have cost") \
    X(ABOVE,         "above",         "USD",     "saving",           "`report.premium`: the price of a million input tokens above which a target is a premium one") \
    X(PREMIUM_TARGETS, "premium_targets", "list", "saving",          "those targets, by name")
#define X(id, ...) LUN_REPORT_##id,
enum lun_report_field { LUN_REPORT_FIELDS(X) LUN_REPORT_FIELD_COUNT };
#undef X

struct lun_reported {               /* borrowed */
    struct lun_metrics *metrics;
    const struct lun_snapshot *snapshot;    /* the version in force */
    lun_us now;                     /* loop time */
    lun_us wall, started;           /* wall time: now, and when counting began */
    bool spread;                    /* with the spread of each latency */
};
/* A JSON object, appended. Called by the thread that sets the gauges (state/metrics.h). */
void lun_report_write(const struct lun_reported *, struct lun_buf *out);
#endif

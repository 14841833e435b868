/* Counters, gauges and histograms, in Prometheus text form. Every metric exists once, in LUN_METRICS; OpenTelemetry GenAI names where
 * there are any. Labels are bounded: names of the configuration and of closed lists, never text of a client.
 *
 * Any thread; a record is a hash look-up and an atomic add. */
#ifndef LUN_STATE_METRICS_H
#define LUN_STATE_METRICS_H
#include "base/buf.h"
#include "base/clock.h"
#include "base/histogram.h"
#include <stdbool.h>

enum lun_metric_type { LUN_COUNTER, LUN_GAUGE, LUN_HISTOGRAM };

/*  id, name, type, labels (comma separated, at most 4), help */
#define LUN_METRICS(X) \
    X(REQUESTS,        "lunette_requests_total",                    COUNTER,   "model,status",          "Requests answered, by the model asked for and the status") \
    X(ATTEMPTS,        "lunette_attempts_total",                    COUNTER,   "target,kind",           "Attempts, by target and how they ended") \
    X(FALLBACKS,       "lunette_fallbacks_total",                   COUNTER,   "model",                 "Requests that another than the first step answered") \
    X(HEDGES,          "lunette_hedges_total",                      COUNTER,   "target",                "Steps started beside another") \
    X(RETRIES_DENIED,  "lunette_retries_denied_total",              COUNTER,   "",                      "Retries that the retry budget did not allow") \
    X(PLAN_EMPTY,      "lunette_plan_empty_total",                  COUNTER,   "",                      "Plans of a policy that held no usable step; the default plan took their place") \
    X(POLICY_ERRORS,   "lunette_policy_errors_total",               COUNTER,   "hook,reason",           "Hooks that failed; the default decided") \
    X(POLICY_SECONDS,  "lunette_policy_seconds",                    HISTOGRAM, "hook",                  "CPU time of hooks") \
    X(DECISION,        "lunette_decision_seconds",                  HISTOGRAM, "",                      "CPU time of the hooks of a request before anything is sent: classify, budget and select together") \
    X(REQUEST_SECONDS, "lunette_request_seconds",                   HISTOGRAM, "result",                "From a request's arrival to its end, by what came of it: answered; failed (something was sent, or 5xx); refused (nothing was); left (the client, first)") \
    X(LABEL_REQUESTS,  "lunette_label_requests_total",              COUNTER,   "label,result",          "Requests by the labels that classify answered; past 200 labels the rest counts as other") \
    X(LABEL_SECONDS,   "lunette_label_seconds",                     HISTOGRAM, "label",                 "From arrival to end of requests that were answered, by label") \
    X(STAGE_SECONDS,   "lunette_stage_seconds",                     HISTOGRAM, "stage",                 "From arrival to end of requests that were answered, by the step of the plan that did; cache: none had to; other: a target that the hook retry chose beside the plan") \
    X(TARGET_SECONDS,  "lunette_target_seconds",                    HISTOGRAM, "target",                "From sending an attempt to its end, of those that answered") \
    X(RETRIED,         "lunette_retried_requests_total",            COUNTER,   "result",                "Requests of which more than one attempt was sent, hedges apart, by what came of them") \
    X(RETRIES,         "lunette_retries_total",                     COUNTER,   "",                      "Attempts after the first of a request, hedges apart") \
    X(RETRY_WAIT,      "lunette_retry_wait_seconds_total",          COUNTER,   "",                      "Time that requests spent waiting before they tried again") \
    X(QUEUE_SECONDS,   "lunette_queue_seconds",                     HISTOGRAM, "target",                "Time that attempts queued for a turn at the target's rate limit: those that had to, also in vain") \
    X(COST,            "lunette_cost_usd_total",                    COUNTER,   "model,target",          "Cost of attempts, in USD") \
    X(PREMIUM_COST,    "lunette_premium_cost_usd_total",            COUNTER,   "model,target",          "What the same tokens would have cost at the mean price of the premium targets (report.premium); where there is none, or the tokens are not known: their cost") \
    X(CACHE_REQUESTS,  "lunette_cache_requests_total",              COUNTER,   "result",                "What the response cache was to requests: `hit`, `shared`, `miss`, `refresh`, `bypass`") \
    X(CACHE_WAITS,     "lunette_cache_waits_total",                 COUNTER,   "",                      "Requests that waited because an equal one was under way") \
    X(CACHE_EVICTIONS, "lunette_cache_evictions_total",             COUNTER,   "",                      "Answers that left the response cache to make room") \
    X(CACHE_BYTES,     "lunette_cache_bytes",                       GAUGE,     "",                      "What the response cache holds") \
    X(CACHE_ENTRIES,   "lunette_cache_entries",                     GAUGE,     "",                      "Answers in the response cache") \
    X(CACHE_REDIS,     "lunette_cache_redis_open",                  GAUGE,     "",                      "With `cache.redis`: 1 while answers can be looked for in Redis") \
    X(CACHE_REDIS_LOOKS, "lunette_cache_redis_looks_total",         COUNTER,   "result",                "Answers that were looked for in Redis: `hit`, `miss`, `old` (older than the request wanted it), `late` (no word within `redis_wait`), `away` (Redis could not be asked), `refused`, `damaged`") \
    X(CACHE_REDIS_PUTS, "lunette_cache_redis_puts_total",           COUNTER,   "result",                "Answers that were put into Redis: `kept`, `full` (three quarters of its memory are used), `old` (too late), `away`, `refused`, `dropped` (too many at once)") \
    X(CAPTURED,        "lunette_captured_requests_total",           COUNTER,   "result",                "Requests whose bodies were to be kept for who asks why: `kept`; `too_large`; `refused`, by what redacts them; `failed`, because that did") \
    X(IN_FLIGHT,       "lunette_requests_in_flight",                GAUGE,     "",                      "Requests being answered") \
    X(CIRCUIT,         "lunette_circuit_open",                      GAUGE,     "target",                "1 while the target's circuit is open, 0.5 half open") \
    X(PROBES,          "lunette_probes_total",                      COUNTER,   "provider,result",       "Probes of providers that are down and of keys: good, failed, refused (401), unclear, unpaid") \
    X(REST,            "lunette_target_rest_seconds",               GAUGE,     "target",                "How long the target still rests, after a 429 or with an open circuit; 86400: a day, or until somebody acts") \
    X(PROVIDER,        "lunette_provider_state",                    GAUGE,     "provider",              "1 healthy, 0.5 degraded, 0 down") \
    X(KEY,             "lunette_key_in_use",                        GAUGE,     "provider,key",          "1; 0 while the provider does not accept that key; by the name of the secret") \
    X(BUDGET_LIMIT,    "lunette_budget_limit_usd",                  GAUGE,     "budget",                "The limit of a budget that has one") \
    X(BUDGET_USED,     "lunette_budget_used_usd",                   GAUGE,     "budget",                "What is spent of it in its current period") \
    X(BUDGET_HELD,     "lunette_budget_held_usd",                   GAUGE,     "budget",                "What is held of it for requests under way") \
    X(BUDGET_SOFT,     "lunette_budget_soft_total",                 COUNTER,   "budget",                "Times that what is spent of a budget passed its `soft` share, once in a period; of a tag all values together") \
    X(BUDGET_EXHAUSTED, "lunette_budget_exhausted_total",           COUNTER,   "budget",                "Periods of a budget in which a request was refused for want of it; of a tag all values together") \
    X(TAG_VALUES,      "lunette_tag_values",                        GAUGE,     "tag",                   "Values of a tag with a budget that have an account of their own") \
    X(WEBHOOK,         "lunette_webhook_events_total",              COUNTER,   "result",                "Events for the webhook: delivered, retried (each try that failed), failed (given up), dropped (too many waited, or nobody takes them any more)") \
    X(USAGE_SUSPECT,   "lunette_usage_suspect_total",               COUNTER,   "target,reason",         "Answers whose claim of what they took cannot be true, by what is wrong with it") \
    X(DOUBTED,         "lunette_target_closed_to_limits",           GAUGE,     "target,reason",         "1 for a target that is closed to requests under a hard limit, by what its provider claimed") \
    X(LEDGER_OPEN,     "lunette_ledger_open",                       GAUGE,     "",                      "1 while the ledger can be written; 0: requests under a hard limit are refused") \
    X(LEDGER_ROWS,     "lunette_ledger_rows_total",                 COUNTER,   "",                      "Attempts written down in the ledger") \
    X(LEDGER_COMMIT,   "lunette_ledger_commit_seconds",             HISTOGRAM, "",                      "Writing down what was drawn and settled, until it is on the disk") \
    X(OVERHEAD,        "lunette_overhead_seconds",                  HISTOGRAM, "",                      "What the gateway itself added to an answer") \
    X(CANARY_REQUESTS, "lunette_canary_requests_total",             COUNTER,   "canary,group,result",   "Requests that have a group at a canary, by how they count: ok, error, or none") \
    X(CANARY_ROLLBACKS, "lunette_canary_rollbacks_total",           COUNTER,   "canary",                "Times that a canary was rolled back by itself") \
    X(CANARY_SHARE,    "lunette_canary_share_ratio",                GAUGE,     "canary",                "The share of requests that is new, by the stage it is in") \
    X(CANARY_STATE,    "lunette_canary_state",                      GAUGE,     "canary,state",          "1 for the state it is in: waiting, running, paused, watching, rolled_back") \
    X(CANARY_SAMPLES,  "lunette_canary_stage_samples",              GAUGE,     "canary",                "Requests counted in this stage, or in the window of a watch") \
    X(CANARY_ERRORS,   "lunette_canary_stage_error_ratio",          GAUGE,     "canary",                "The share of these that failed") \
    X(CANARY_P99,      "lunette_canary_stage_p99_seconds",          GAUGE,     "canary",                "What 99 of 100 of the good ones took at most") \
    X(SHADOW_REQUESTS, "lunette_shadow_requests_total",             COUNTER,   "result",                "Requests about which a shadow was to be asked: same, different (from the live decision), failed (a hook of the shadow, and none of the live version); busy, full, large (left out)") \
    X(CONNECTIONS,     "lunette_connections",                       GAUGE,     "",                      "Client connections open") \
    X(REFUSED,         "lunette_refused_total",                     COUNTER,   "status",                "Requests refused before a policy saw them") \
    X(LOG_DROPPED,     "lunette_log_dropped_total",                 COUNTER,   "",                      "Request log lines dropped because the disk was too slow") \
    X(GENERATION,      "lunette_config_generation",                 GAUGE,     "",                      "How many versions of the configuration this process has taken over") \
    X(CONFIG,          "lunette_config_info",                       GAUGE,     "version",               "1; the version that new requests begin with: where a fleet differs in it, it is split") \
    X(VERSIONS_LIVE,   "lunette_config_versions_live",              GAUGE,     "",                      "Versions that have requests under way, the current one included") \
    X(RELOADS,         "lunette_config_reloads_total",              COUNTER,   "kind,result",           "Reloads, rollbacks and shadows, by what came of them: changed, unchanged, refused; a shadow that is taken over is a reload") \
    X(RELOADED,        "lunette_config_last_reload_success_timestamp_seconds", GAUGE, "",               "When one was last taken over, or found to be unchanged; Unix time") \
    X(STARTED,         "process_start_time_seconds",                GAUGE,     "",                      "When the counters began at 0; Unix time") \
    X(BUILD,           "lunette_build_info",                        GAUGE,     "version,policy",        "1; the version of the program and of the policy") \
    X(TOKENS,          "gen_ai_client_token_usage",                 HISTOGRAM, "gen_ai_request_model,gen_ai_provider_name,gen_ai_token_type", "Tokens of an attempt, as the provider counted them") \
    X(DURATION,        "gen_ai_server_request_duration",    HISTOGRAM, "gen_ai_request_model,gen_ai_provider_name,error_type", "From sending an attempt to its end") \
    X(TTFT,            "gen_ai_server_time_to_first_token", HISTOGRAM, "gen_ai_request_model,gen_ai_provider_name", "From sending an attempt to its first good event") \
    X(PER_TOKEN,       "gen_ai_server_time_per_output_token", HISTOGRAM, "gen_ai_request_model,gen_ai_provider_name", "Between output tokens after the first")

#define X(id, ...) LUN_METRIC_##id,
enum lun_metric { LUN_METRICS(X) LUN_METRIC_COUNT };
#undef X

struct lun_metrics;
struct lun_metrics *lun_metrics_new(void);
void lun_metrics_free(struct lun_metrics *);

/* `labels`: as many values as the metric has label names, in their order (NULL reads as ""); NULL for a metric without. Copied; a
 * value ends after 200 bytes. A metric with more than 10,000 series counts the rest under labels "other". Histograms take seconds
 * (tokens: a number), counters an increment (not below 0), gauges what is added to them or, with set, the value. What is not
 * finite is passed over. */
void lun_metrics_add(struct lun_metrics *, enum lun_metric, const char *const *labels, double);
void lun_metrics_set(struct lun_metrics *, enum lun_metric, const char *const *labels, double);
/* Forgets all series of a gauge that is set anew each time it is read. Only on the thread that reads and sets it (lun_metrics_write). */
void lun_metrics_clear(struct lun_metrics *, enum lun_metric);
double lun_metrics_get(struct lun_metrics *, enum lun_metric, const char *const *labels);   /* tests; histograms: the count */

/* The same for who has labels that stay what and where they are as long as it, as the names of a snapshot and the program's own words do: where one was
 * counted is found again by the addresses of its labels, in a fifth of the instructions. Never for a metric that is cleared. Any thread. */
struct lun_metrics_kept;
struct lun_metrics_kept *lun_metrics_kept_new(struct lun_metrics *, int targets);      /* targets: how many there are names for, about */
void lun_metrics_kept_free(struct lun_metrics_kept *);      /* NULL is fine; not later than the metrics */
void lun_metrics_kept_add(struct lun_metrics_kept *, enum lun_metric, const char *const *labels, double);

/* Under which value of `label` a label of a policy counts: itself, or "other" once 200 different ones have been seen. Lives as long as the metrics. */
const char *lun_metrics_label(struct lun_metrics *, const char *label);

/* All series of a metric, in no order, as they are at that moment; what was read together need not be of one moment. */
struct lun_metric_row {
    const char *labels[4];              /* borrowed */
    double value;                       /* of a histogram: the sum */
    uint64_t count;                     /* of a histogram */
    const struct lun_histogram *spread; /* microseconds; NULL where only Prometheus' buckets are kept */
};
void lun_metrics_each(struct lun_metrics *, enum lun_metric, void (*visit)(void *self, const struct lun_metric_row *), void *self);

/* A policy's own metric (lunette.metric): adds to lunette_policy_<name>; at most 200 names. False: a number that is not finite, one
 * name too many, or a bad one: letters, digits and _, at most 64, not beginning with "seconds" or "errors_total". */
bool lun_metrics_policy(struct lun_metrics *, const char *name, double);

void lun_metrics_write(struct lun_metrics *, struct lun_buf *);     /* Prometheus text format 0.0.4; added to what is there */
#endif

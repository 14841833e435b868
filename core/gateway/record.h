/* What is written down about attempts and requests: metrics, and the request log's one JSON line. Its fields exist once, in the tables here:
 * what writes takes an id of theirs, so that a field without a row cannot be written; core/gateway/README.md is made from them. */
#ifndef LUN_GATEWAY_RECORD_H
#define LUN_GATEWAY_RECORD_H
#include "base/buf.h"
#include "gateway/ports.h"

/*  id, name, type or unit, meaning; in the order of the line. What is empty is left out */
#define LUN_LOG_FIELDS(X) \
    X(TIME,        "time",        "text",    "when it arrived, in UTC: `2026-01-31T12:00:00.000Z`") \
    X(ID,          "id",          "text",    "as in `x-lunette-request-id`") \
    X(CLIENT_REQUEST_ID, "client_request_id", "text", "what the client calls it: its header `x-request-id`, else `x-client-request-id`; up to 128 bytes") \
    X(ENDPOINT,    "endpoint",    "text",    "`chat`, `completions` or `embeddings`") \
    X(MODEL,       "model",       "text",    "the model asked for, `auto` too") \
    X(STREAM,      "stream",      "boolean", "the client wanted a stream") \
    X(MAX_TOKENS,  "max_tokens",  "tokens",  "the cap of its output that the client asked for") \
    X(KEY,         "key",         "text",    "the client's name: of its entry in `clients`, or of its key") \
    X(TEAM,        "team",        "text",    "that client's team") \
    X(USER,        "user",        "text",    "`user` of the body") \
    X(SESSION,     "session",     "text",    "what the client called its conversation (`prompt_cache_key`, `x-session-id` or `metadata.session_id`); one that " \
                                             "begins with `~` was made by Lunette, from how the conversation began") \
    X(TASK,        "task",        "text",    "as a policy sees it") \
    X(CLASS,       "class",       "text",    "as a policy sees it") \
    X(TAGS,        "tags",        "object",  "tags by name") \
    X(STATUS,      "status",      "number",  "what the client got; 499: it left first") \
    X(CODE,        "code",        "text",    "of an error: one of the codes above") \
    X(DECIDED,     "decided",     "boolean", "a host program wanted only the decision: nothing was sent") \
    X(TORN,        "torn",        "boolean", "a stream that had begun was cut") \
    X(TARGET,      "target",      "text",    "the name of the target that answered") \
    X(FALLBACK,    "fallback",    "boolean", "another than the first step answered") \
    X(CACHE,       "cache",       "text",    "as in `x-lunette-cache`; left out where there is no cache") \
    X(WARNING,     "warning",     "text",    "of the step that answered, as in `x-lunette-warning`") \
    X(POLICY,      "policy",      "text",    "the version that decided, as in `x-lunette-policy`") \
    X(LABELS,      "labels",      "list",    "what `classify` answered") \
    X(SETTINGS,    "settings",    "object",  "what the policy's settings were set to when it began, where that is not their default") \
    X(CANARIES,    "canaries",    "object",  "its group at each canary that was asked about, `new` or `old`") \
    X(NOTES,       "notes",       "object",  "`lunette.note`, choices by chance, what was not trusted, names that the configuration does not have (`unknown_model` …)") \
    X(ATTEMPTS,    "attempts",    "list",    "one object for each, with the fields below") \
    X(TOKENS,      "tokens",      "object",  "as the provider counted them, with the fields below") \
    X(COST,        "cost",        "USD",     "over all attempts") \
    X(LATENCY,     "latency_ms",  "ms",      "from its arrival to its end") \
    X(TTFT,        "ttft_ms",     "ms",      "until the first byte of the answer") \
    X(OVERHEAD,    "overhead_ms", "ms",      "of the latency, what was not spent waiting for a provider, a turn or a delayed retry") \
    X(WAITED,      "waited_ms",   "ms",      "of the latency, what went by before retries that were delayed, and in the queue of a rate limit, with nothing under way") \
    X(DROPPED,     "dropped",     "object",  "targets asked for that were left out, and why: when something failed, with `x-lunette-explain`, and for one " \
                                             "request in 256. One that rests, after a 429 or with an open circuit, with how long it still does") \
    X(TEXT,        "text",        "text",    "the last user message, up to 8 KiB; only with `log.text = true`") \
    X(REPLAY,      "replay",      "object",  "what each hook read and decided; only with `log.replay = true` (below)")
/*  the same, of an object in `attempts` */
#define LUN_LOG_ATTEMPT_FIELDS(X) \
    X(ATTEMPT_TARGET,   "target",   "text",    "the name of the target asked") \
    X(ATTEMPT_KIND,     "kind",     "text",    "how it ended: one of the [kinds](../../policies/README.md#kinds-of-ends)") \
    X(ATTEMPT_STATUS,   "status",   "number",  "of the provider's answer") \
    X(ATTEMPT_AT,       "at_ms",    "ms",      "when it began, from the request's arrival") \
    X(ATTEMPT_DURATION, "ms",       "ms",      "from its beginning to its end") \
    X(ATTEMPT_WAITED,   "waited_ms", "ms",   "of that, in the queue of the target's rate limit") \
    X(ATTEMPT_TTFT,     "ttft_ms",  "ms",      "from sending it to the first byte") \
    X(ATTEMPT_KEY,      "key",      "number",  "which of the provider's keys, from 0; the first is left out") \
    X(ATTEMPT_HEDGE,    "hedge",    "boolean", "it was started beside another") \
    X(ATTEMPT_BILLED,   "billed",   "text",    "of one that failed, whether it costs: `no`, `maybe` or `yes`") \
    X(ATTEMPT_DETAIL,   "detail",   "text",    "of one that failed, what happened, for people") \
    X(ATTEMPT_COST,     "cost",     "USD",     "charged for it") \
    X(ATTEMPT_SUSPECT,  "suspect",  "text",    "what about its usage cannot be true, as in `lunette_usage_suspect_total`") \
    X(ATTEMPT_PROVIDER_REQUEST_ID, "provider_request_id", "text", "the provider's `x-request-id`")
/*  the same, of `tokens` */
#define LUN_LOG_TOKENS_FIELDS(X) \
    X(TOKENS_INPUT,     "input",     "tokens",  "of input, cached ones too") \
    X(TOKENS_CACHED,    "cached",    "tokens",  "of these, what the provider had cached") \
    X(TOKENS_CACHE_WRITE, "cache_write", "tokens", "of these, written to the provider's cache") \
    X(TOKENS_CACHE_WRITE_1H, "cache_write_1h", "tokens", "of these, written to it for an hour, or nobody said for how long") \
    X(TOKENS_AUDIO_INPUT, "audio_input", "tokens", "of these, spoken") \
    X(TOKENS_IMAGE_INPUT, "image_input", "tokens", "of these, pictures") \
    X(TOKENS_OUTPUT,    "output",    "tokens",  "of output, reasoning too") \
    X(TOKENS_REASONING, "reasoning", "tokens",  "of these, what it thought in") \
    X(TOKENS_AUDIO_OUTPUT, "audio_output", "tokens", "of these, spoken") \
    X(TOKENS_IMAGE_OUTPUT, "image_output", "tokens", "of these, pictures") \
    X(TOKENS_ESTIMATED, "estimated", "boolean", "nobody said; these are guesses")
#define X(id, ...) LUN_LOG_##id,
enum lun_log_field { LUN_LOG_FIELDS(X) LUN_LOG_ATTEMPT_FIELDS(X) LUN_LOG_TOKENS_FIELDS(X) LUN_LOG_FIELD_COUNT };
#undef X
/* `"name":`, with a comma before it unless it is the first behind a `{`. Then put the value. */
void lun_record_key(struct lun_buf *out, enum lun_log_field);

void lun_record_trial(struct lun_question *, const struct lun_trial *);     /* at close: metrics of the attempt */
void lun_record_request(struct lun_question *, const struct lun_done *);    /* at the end: metrics of the request */

/* Whether it is one of which all is told: something failed, somebody asked for that, or it is one in 256. */
bool lun_record_in_full(const struct lun_question *, const struct lun_done *);

/* The log line, without the line feed and without message text; secrets are never in it. */
void lun_record_line(struct lun_question *, const struct lun_done *, struct lun_buf *out);
/* Adds to it what is for the log's file alone, and not kept in memory: message text, where the configuration says so. */
void lun_record_rest(struct lun_question *, struct lun_buf *line);
#endif

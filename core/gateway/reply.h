/* What a client hears besides a provider's bytes: heads, error bodies in the form its SDK expects, error events, trailers.
 * Everything is made in the question's arena. No secret, no header of a client's is ever part of it. */
#ifndef LUN_GATEWAY_REPLY_H
#define LUN_GATEWAY_REPLY_H
#include "base/buf.h"
#include "gateway/ports.h"

/*  id, status, code, `type` of the body, x-should-retry ("" : not said), what it says when nobody knows better */
#define LUN_CODES(X) \
    X(INVALID_REQUEST,   400, "invalid_request",   "invalid_request_error", "",      "The request is not valid.") \
    X(INVALID_KEY,       401, "invalid_key",       "authentication_error",  "",      "The key is missing or not known here.") \
    X(BUDGET_EXCEEDED,   402, "budget_exceeded",   "budget_error",          "false", "The budget does not allow this request.") \
    X(MODEL_NOT_ALLOWED, 403, "model_not_allowed", "permission_error",      "",      "This key may not use that model.") \
    X(MODEL_NOT_FOUND,   404, "model_not_found",   "invalid_request_error", "",      "There is no such model here.") \
    X(NOT_FOUND,         404, "not_found",         "invalid_request_error", "",      "There is nothing at this path.") \
    X(METHOD,            405, "method_not_allowed", "invalid_request_error", "",     "This path does not take that method.") \
    X(TIMEOUT,           408, "request_timeout",   "invalid_request_error", "false", "The request did not arrive in time.") \
    X(TOO_LARGE,         413, "too_large",         "invalid_request_error", "",      "The request is larger than is taken here.") \
    X(MEDIA_TYPE,        415, "unsupported_media_type", "invalid_request_error", "", "The body has to be application/json.") \
    X(RATE_LIMITED,      429, "rate_limited",      "rate_limit_error",      "true",  "No target can take this now.") \
    X(HEAD_TOO_LARGE,    431, "head_too_large",    "invalid_request_error", "",      "The head of the request is larger than is taken here.") \
    X(UPSTREAM_FAILED,   502, "upstream_failed",   "upstream_error",        "false", "No provider answered.") \
    X(OVERLOADED,        503, "overloaded",        "overloaded_error",      "true",  "Too much is going on here just now.") \
    X(DEADLINE_EXCEEDED, 504, "deadline_exceeded", "timeout_error",         "false", "The request's deadline has passed.")
#define X(id, ...) LUN_CODE_##id,
enum lun_code { LUN_CODES(X) LUN_CODE_COUNT };
#undef X
int lun_code_status(enum lun_code);
const char *lun_code_name(enum lun_code);
const char *lun_code_message(enum lun_code);         /* what it says when nobody knows better; static */
enum lun_code lun_code_of_status(int status);       /* the first of that status; others: by their hundred */

/*  id, name, when, meaning: the headers that the gateway itself puts into an answer. Those that are never in a stream's head can be asked for
 *  as trailers (te: trailers) */
#define LUN_ANSWER_HEADERS(X) \
    X(REQUEST_ID,   "x-lunette-request-id",  "always",            "the request's id, as in the log; what is refused before it was read (400, 401, 404, 408, 413, 415, 431, 503) has none there") \
    X(MODEL,        "x-lunette-model",       "a target answered", "the name in `models` of the target that answered") \
    X(TARGET,       "x-lunette-target",      "a target answered", "that target's own name") \
    X(PROVIDER,     "x-lunette-provider",    "a target answered", "its provider") \
    X(POLICY,       "x-lunette-policy",      "the request was read", "who decided: the policy's file and the first digits of the hash over configuration, policy and what it requires") \
    X(ATTEMPTS,     "x-lunette-attempts",    "not in a head that only keeps a stream alive", "how many attempts there were") \
    X(FALLBACK,     "x-lunette-fallback",    "a target answered", "`true`: another than the first step answered") \
    X(WARNING,      "x-lunette-warning",     "the step that answered has one", "what the policy warns of: `warning` of the step") \
    X(LABELS,       "x-lunette-labels",      "there are any",     "what `classify` answered, with commas") \
    X(CACHE,        "x-lunette-cache",       "there is a `cache`, and nothing refused it before", LUN_CACHE_RESULTS(LUN_CACHE_RESULT_TEXT) "see [Cache](#cache)") \
    X(COST,         "x-lunette-cost",        "not in a stream's head", "USD, over all attempts; missing where the price is not known") \
    X(LATENCY,      "x-lunette-latency-ms",  "not in a stream's head", "from the request's arrival to its end") \
    X(OVERHEAD,     "x-lunette-overhead-ms", "not in a stream's head", "of that, what was not spent waiting for a provider") \
    X(BUDGET_LEFT,  "x-lunette-budget-left", "not in a stream's head", "USD left in the scarcest of the budgets that it counts to; missing without a limit") \
    X(PROVIDER_REQUEST_ID, "x-request-id",   "always",            "what the official SDKs show as `request_id`: the provider's own id where it gave one, else that of `x-lunette-request-id`") \
    X(SHOULD_RETRY, "x-should-retry",        "some errors",       "whether it is of use to ask again, for the official SDKs: see the codes") \
    X(RETRY_AFTER,  "retry-after",           "some errors",       "seconds until a target is asked again; an open circuit is no reason to wait, as the last target that there is is asked all the same") \
    X(CONTENT_TYPE, "content-type",          "there is a body",   "`application/json` or `text/event-stream; charset=utf-8`") \
    X(CACHE_CONTROL, "cache-control",        "streams",           "`no-cache`") \
    X(BUFFERING,    "x-accel-buffering",     "streams",           "`no`: a proxy in front is not to hold events back")
#define X(id, ...) LUN_HEADER_##id,
enum lun_answer_header { LUN_ANSWER_HEADERS(X) LUN_HEADER_COUNT };
#undef X

#define LUN_CACHE_RESULT_TEXT(id, name, text) "`" name "`: " text "; "

/* A refusal or failure, as it goes out. */
struct lun_error {
    enum lun_code code;
    int status;                 /* 0: the code's own (a policy's refuse{} may say another) */
    const char *message;        /* NULL: the code's own sentence */
    const char *param;          /* which field of the request, or NULL */
    const struct lun_account_view *budget;      /* 402: the one that was short, or NULL */
    lun_us retry_after;         /* 0: not said */
    const char *id;             /* the request's, where there is no question; or NULL */
};

/* Why it could not be answered, once nothing is in flight: from the trials and what rests. Its message says what was tried and why each
 * attempt failed. */
struct lun_error lun_reply_verdict(struct lun_question *);
/* The same when its deadline has passed; what was under way then was cancelled. */
struct lun_error lun_reply_late(struct lun_question *);

/* It names no value of a tag that it must have one of: where it has to. */
const char *lun_reply_unsaid(struct lun_question *, const struct lun_tag_budget *);

/* The headers of an answer in JSON of which nothing is known but its id (borrowed). */
enum { LUN_REPLY_BARE = 3 };
void lun_reply_bare(const char *id, struct lun_pair out[LUN_REPLY_BARE]);

/* `done` NULL: a head that only keeps a stream alive. `trial` NULL: nobody answered (errors, keep-alive): the headers that tell of a target are left
 * out. Fills `head`; length -1 for streams, of which cost, latency, overhead and budget-left are not known yet. */
void lun_reply_head(struct lun_question *, int status, const char *content_type, const struct lun_trial *, const struct lun_done *,
                    const struct lun_error *, int64_t length, struct lun_head *head);

/* The body of an error for the question's endpoint. `question` may be NULL (refused before there was one). */
void lun_reply_error_body(const struct lun_question *, const struct lun_error *, struct lun_buf *out);
/* The same as one event of a stream, "data: {…}\n\n". */
void lun_reply_error_event(const struct lun_question *, const struct lun_error *, struct lun_buf *out);
/* cost, latency-ms, overhead-ms, budget-left (and, after a keep-alive head, what that head could not say). Returns how many. */
int lun_reply_trailers(struct lun_question *, const struct lun_done *, const struct lun_pair **out);
#endif

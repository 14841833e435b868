/* One request through a configuration without a call to anybody: what would be decided and why, and then what would come of it, where each step of the plan
 * fails in each way. On the virtual clock of a simulation, from an empty state, but for what is said of it: nobody rests, nothing is spent. Repeats to the
 * microsecond. */
#ifndef LUN_GATEWAY_DRY_RUN_H
#define LUN_GATEWAY_DRY_RUN_H
#include "base/buf.h"
#include "state/question.h"

enum { LUN_DRY_RUN_STEPS = 12 };        /* that fail, at most */

struct lun_dry_run {                    /* borrowed for the length of the call */
    struct lun_snapshot *(*load)(void *self); void *self;      /* a fresh snapshot, each time; NULL: none any more, and nothing goes on */
    enum lun_endpoint endpoint;
    const struct lun_pair *headers; int n_headers;
    const char *client;                 /* the name of an entry of `clients`; NULL: the first, or nobody where there are none */
    const char *body; size_t n;
    const struct lun_pair *settings; int n_settings;
    const struct lun_pair *resting; int n_resting;      /* targets by name that rest, for so many seconds */
    const struct lun_pair *spent; int n_spent;          /* budgets ("key app", "team web", "tag tenant=acme", "total") of which so many USD are spent */
    /* Steps by number, or "all", that fail at once: in one of LUN_WAYS, by "timeout" or a status ("503"), or not ("ok"); with "@2.5" behind it after so many
     * seconds only. */
    const struct lun_pair *failing; int n_failing;
    const char *said;                   /* what every model answers that answers; NULL: "Hello!" */
    bool no_what_if;
};

/* Writes {"request":{…},"explanation":{…},"well":{…},"what_if":[…],"what_if_all":[…]}; request: fields of the log line; what_if: an object for each step that is
 * come to; what_if_all: what it comes to where all steps fail in the same way. Where some are `failing`: "combined" in place of both. False: *error (yours to
 * free, NULL where `load` gave none) says why not. *good: whether it would be answered, if all goes well. */
bool lun_dry_run(const struct lun_dry_run *, struct lun_buf *out, bool *good, char **error);

/*  name, Lua that makes what a provider's script answers (lua/scenario.lua) out of `text`: ways to fail. Those that come to the same are told together. A
 *  connection that is not made in time takes as long as its step waits for one, and an answer that takes too long never falls silent */
#define LUN_WAYS(X) \
    X("connect_refused",    "{ fail = 'connect_refused' }") \
    X("dns",                "{ fail = 'dns' }") \
    X("tls",                "{ fail = 'tls' }") \
    X("connect_timeout",    "{ fail = 'connect_timeout' }") \
    X("first_byte_timeout", "{ text = text, after = 1e9 }") \
    X("idle_timeout",       "{ text = text, stall = true }") \
    X("total_timeout",      "{ text = text, stall = true }") \
    X("pool_full",          "{ fail = 'pool_full' }") \
    X("reset",              "{ cut = 'rst' }") \
    X("cut",                "{ text = text, cut = 'fin' }") \
    X("bad_answer",         "{ body = 'no JSON' }") \
    X("rate_limited",       "{ status = 429, headers = { ['retry-after'] = '20' }, body = { error = { message = 'too many requests' } } }") \
    X("overloaded",         "{ status = 503, body = { error = { message = 'overloaded' } } }") \
    X("server_error",       "{ status = 500, body = { error = { message = 'a fault' } } }") \
    X("auth",               "{ status = 401, body = { error = { message = 'wrong key' } } }") \
    X("quota",              "{ status = 429, body = { error = { message = 'no credit', code = 'insufficient_quota' } } }") \
    X("not_found",          "{ status = 404, body = { error = { message = 'no such model', code = 'model_not_found' } } }") \
    X("bad_request",        "{ status = 400, body = { error = { message = 'a field is wrong' } } }") \
    X("too_long",           "{ status = 400, body = { error = { message = 'too long', code = 'context_length_exceeded' } } }") \
    X("filtered",           "{ status = 400, body = { error = { message = 'filtered', code = 'content_filter' } } }") \
    X("length",             "{ text = text, finish_reason = 'length' }")        /* no failure, but `judge` may think so */
#endif

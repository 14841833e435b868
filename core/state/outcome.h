/* How an attempt ended: the closed list. Each kind exists once, here; enum, log, metrics, default rules, `attempt.kind`
 * in policies and the docs come from this table. */
#ifndef LUN_STATE_OUTCOME_H
#define LUN_STATE_OUTCOME_H
#include <stdbool.h>

enum lun_billed { LUN_BILLED_NO, LUN_BILLED_MAYBE, LUN_BILLED_YES };

/* What the default rule does next, once nothing is in flight any more. */
enum lun_rule {
    LUN_RULE_NONE,          /* not a failure */
    LUN_RULE_NEXT,          /* the next step */
    LUN_RULE_OTHER,         /* the next step on another target: this one would say the same again */
    LUN_RULE_STOP,          /* the request itself is at fault: no other provider would take it */
};

/*  kind, name, billed, default rule, counts toward opening the target's circuit, what happened */
#define LUN_KINDS(X) \
    X(OK,                 "ok",                 YES,   NONE,  false, "answered") \
    X(CONNECT_REFUSED,    "connect_refused",    NO,    NEXT,  true,  "the connection was refused") \
    X(DNS,                "dns",                NO,    NEXT,  true,  "its name could not be resolved") \
    X(TLS,                "tls",                NO,    NEXT,  true,  "the TLS handshake failed") \
    X(CONNECT_TIMEOUT,    "connect_timeout",    NO,    NEXT,  true,  "no connection in time") \
    X(FIRST_BYTE_TIMEOUT, "first_byte_timeout", MAYBE, NEXT,  true,  "no first byte in time") \
    X(IDLE_TIMEOUT,       "idle_timeout",       MAYBE, NEXT,  true,  "it fell silent in the middle of its answer") \
    X(TOTAL_TIMEOUT,      "total_timeout",      MAYBE, NEXT,  true,  "the answer took too long") \
    X(POOL_FULL,          "pool_full",          NO,    NEXT,  false, "no turn or connection was free in time") \
    X(RESET,              "reset",              MAYBE, NEXT,  true,  "the connection was reset") \
    X(CUT,                "cut",                MAYBE, NEXT,  true,  "the answer was cut off") \
    X(BAD_ANSWER,         "bad_answer",         MAYBE, NEXT,  true,  "the answer was not understood") \
    X(RATE_LIMITED,       "rate_limited",       NO,    NEXT,  false, "the provider's rate limit was reached") \
    X(OVERLOADED,         "overloaded",         NO,    NEXT,  true,  "the provider was overloaded") \
    X(SERVER_ERROR,       "server_error",       MAYBE, NEXT,  true,  "the provider had an error of its own") \
    X(AUTH,               "auth",               NO,    NEXT,  false, "the provider did not accept the key") \
    X(QUOTA,              "quota",              NO,    NEXT,  false, "the key's quota or credit is used up") \
    X(NOT_FOUND,          "not_found",          NO,    OTHER, false, "the provider does not know the model or path") \
    X(BAD_REQUEST,        "bad_request",        NO,    STOP,  false, "the provider refused the request as wrong") \
    X(TOO_LONG,           "too_long",           NO,    OTHER, false, "the input is too long for the model") \
    X(FILTERED,           "filtered",           MAYBE, OTHER, false, "the provider's content filter refused") \
    X(CANCELLED,          "cancelled",          MAYBE, NONE,  false, "it was no longer wanted") \
    X(SKIPPED,            "skipped",            NO,    NONE,  false, "its dearest cost did not fit the budget")

#define X(kind, ...) LUN_KIND_##kind,
enum lun_kind { LUN_KINDS(X) LUN_KIND_COUNT };
#undef X

const char *lun_kind_name(enum lun_kind);       /* "rate_limited"; static */
const char *lun_kind_text(enum lun_kind);       /* "the provider's rate limit was reached"; static */
enum lun_billed lun_kind_billed(enum lun_kind);
enum lun_rule lun_kind_rule(enum lun_kind);
bool lun_kind_breaks(enum lun_kind);            /* counts toward opening the circuit */
const char *lun_billed_name(enum lun_billed);   /* "no", "maybe", "yes" */
#endif

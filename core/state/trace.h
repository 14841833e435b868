/* How a decision came about, of a request that is to be explained: which hooks were asked, what each looked at, which targets it left out and where, where it
 * returned and what. Written down by script/, told by gateway/explanation.c. It lives in the question's arena and is bounded: what comes beyond that is
 * only counted. Everything here does nothing where the trace is NULL, which it is of requests that nobody wants explained. */
#ifndef LUN_STATE_TRACE_H
#define LUN_STATE_TRACE_H
#include "state/plan.h"

enum { LUN_TRACED_MOST = 600 };         /* of the below, over all hooks of a request */

struct lun_traced {
    struct lun_traced *next;
    const char *name;                   /* what was looked at ("request.words", "setting share"), or what left the target out ("can") */
    const char *at;                     /* "policy.lua:7"; "": not known */
    const char *value;                  /* JSON; NULL: it is not told (a message's text, a table) */
    const struct lun_target *target;    /* that was left out; NULL: something was looked at */
};
struct lun_traced_hook {
    struct lun_traced_hook *next;
    enum lun_hook hook;
    int about;                          /* the number of the attempt that it was asked about; 0: none */
    const char *at, *returned;          /* its first line; the line that it ended on, "": not known */
    const char *answer, *error;         /* JSON, NULL: nil; for people, NULL: it did not fail */
    struct lun_traced *first, **tail;
};
struct lun_trace {
    struct lun_arena *arena;
    struct lun_traced_hook *first, **tail, *now;    /* now: the one that runs or waits; NULL: none does */
    int n, more;
};

struct lun_trace *lun_trace_new(struct lun_arena *);
void lun_trace_begin(struct lun_trace *, enum lun_hook, int about, const char *at);        /* texts are copied, as everywhere here */
void lun_trace_end(struct lun_trace *, const char *returned, const char *answer, const char *error);
void lun_trace_read(struct lun_trace *, const char *name, const char *value, size_t n, const char *at);     /* once for each name and hook. value NULL: not told */
void lun_trace_left_out(struct lun_trace *, const struct lun_target *, const char *by, const char *at);
/* What left the target out last, in any hook; NULL: nothing did. */
const struct lun_traced *lun_trace_of(const struct lun_trace *, const struct lun_target *, enum lun_hook *);
#endif

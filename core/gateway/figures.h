/* What a number of requests came to: of a log as it was, or of a policy that was tried on it. One thread. */
#ifndef LUN_GATEWAY_FIGURES_H
#define LUN_GATEWAY_FIGURES_H
#include "base/buf.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "base/json.h"

/*  id, name, what: the figures of a table; all but the latencies are sums */
#define LUN_FIGURES(X) \
    X(REQUESTS, "requests",     "requests") \
    X(ANSWERED, "answered",     "answered: status 2xx, and not torn") \
    X(COST,     "cost_usd",     "USD, over all attempts") \
    X(P50,      "p50_ms",       "latency of those answered, half were faster") \
    X(P95,      "p95_ms",       "the same, 95 of 100 were faster") \
    X(P99,      "p99_ms",       "the same, 99 of 100 were faster") \
    X(RETRIES,  "retries",      "attempts beyond the first, hedges apart") \
    X(REFUSED,  "budget_refusals", "refused for a budget: `budget_exceeded`") \
    X(FAILED,   "policy_failures", "requests in which a hook failed")
#define X(id, ...) LUN_FIGURE_##id,
enum lun_figure { LUN_FIGURES(X) LUN_FIGURE_COUNT };
#undef X
const char *lun_figure_title(enum lun_figure);
double lun_figure_quantile(enum lun_figure);      /* of P50 to P99: which quantile of the latency it is */

enum { LUN_FIGURES_CHOICES = 256 };
struct lun_choice { struct lun_choice *next; char *model; int64_t n, cost; };      /* who answered */
struct lun_figures {                            /* zero-initialised: of nothing */
    int64_t sum[LUN_FIGURE_COUNT];              /* cost in nano-USD; the latencies stay 0 */
    struct lun_histogram latency;
    struct lun_choice *choices; int n_choices;  /* in the order of their names; of more than LUN_FIGURES_CHOICES the others are "(others)" */
};
struct lun_ended {                              /* one request */
    bool answered, refused, failed;
    int retries;
    int64_t cost;
    lun_us latency;
    const char *model;                          /* of the target that answered, as in `models`; NULL: none did */
};
void lun_figures_add(struct lun_figures *, const struct lun_ended *);
void lun_figures_free(struct lun_figures *);

/* As a number for people and programs: cost in USD, latencies in ms. */
double lun_figures_get(const struct lun_figures *, enum lun_figure);
int64_t lun_figures_chosen(const struct lun_figures *, const char *model);

/* `{"requests":…,…,"choices":{"model":n,…}}`; what this has more than `of`, in the same form. */
void lun_figures_json(const struct lun_figures *, struct lun_buf *out);
void lun_figures_difference(const struct lun_figures *, const struct lun_figures *of, struct lun_buf *out);
#endif

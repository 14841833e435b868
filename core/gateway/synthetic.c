#include "gateway/synthetic.h"
#include "base/alloc.h"
#include "base/hash.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HOUR (3600 * LUN_SECOND)

struct lun_synthetic { const struct lun_traffic *traffic; int64_t given; lun_us now; };
typedef struct lun_synthetic synthetic;

/* ---- chance ---- */

/* In (0, 1), a number of its own for each `what` of a seed. */
static double unit(uint64_t seed, uint64_t what) { return lun_hash_unit(lun_hash(&what, sizeof what, seed)); }

static double normal(uint64_t seed, uint64_t what)              /* Box and Muller 1958 */
{
    return sqrt(-2 * log(unit(seed, what))) * cos(2 * M_PI * unit(seed, what + 1));
}

static double draw(const struct lun_spread *s, uint64_t seed, uint64_t what) { return s->median * exp(s->sigma * normal(seed, what)); }

enum { GAP = 16, KIND, INPUT, OUTPUT = INPUT + 2, LATENCY = 1, FAILS = 3 };

/* ---- requests ---- */

synthetic *lun_synthetic_new(const struct lun_traffic *t)
{
    synthetic *s = lun_alloc(sizeof *s);
    *s = (synthetic){ .traffic = t, .now = t->start };
    return s;
}

void lun_synthetic_free(synthetic *s) { free(s); }

/* What is left of an exponential gap beyond the hour is waited at the next hour's rate. */
static lun_us next_arrival(const synthetic *s, uint64_t seed)
{
    double due = -log(unit(seed, GAP));
    lun_us now = s->now;
    for (;;) {
        double rate = s->traffic->rate[now / HOUR % LUN_TRAFFIC_HOURS], left = lun_us_to_seconds(HOUR - now % HOUR);
        if (due <= rate * left) return now + lun_us_from_seconds(due / rate);
        due -= rate * left;
        now += HOUR - now % HOUR;
    }
}

static const struct lun_traffic_kind *kind_of(const struct lun_traffic *t, uint64_t seed)
{
    double all = 0, at = unit(seed, KIND);
    int i = 0;
    for (int k = 0; k < t->n_mix; k++) all += t->mix[k].weight;
    for (at *= all; i < t->n_mix - 1 && at >= t->mix[i].weight; i++) at -= t->mix[i].weight;
    return &t->mix[i];
}

static void fill(struct lun_logged *g, const struct lun_traffic_kind *k)
{
    g->endpoint = LUN_ENDPOINT_CHAT;
    g->model = k->model;
    g->stream = k->stream;
    g->key = k->key, g->user = k->user, g->session = k->session, g->task = k->task, g->class = k->class;
    g->tags = k->tags, g->n_tags = k->n_tags;
    g->text = k->text, g->text_n = k->text ? strlen(k->text) : 0;
    g->usage = (struct lun_usage){ .known = true, .input = (int64_t)ceil(draw(&k->input, g->seed, INPUT)), .output = (int64_t)ceil(draw(&k->output, g->seed, OUTPUT)) };
    g->status = 200;
}

struct lun_logged *lun_synthetic_next(synthetic *s)
{
    const struct lun_traffic *t = s->traffic;
    if (s->given == t->requests) return NULL;
    struct lun_logged *g = lun_logged_new();
    g->seed = lun_hash(&s->given, sizeof s->given, t->seed);
    char *id = lun_arena_alloc(&g->arena, LUN_REQUEST_ID);
    lun_request_id(g->seed, id);
    g->id = id;
    g->line = ++s->given;
    s->now = g->time = next_arrival(s, g->seed);
    fill(g, kind_of(t, g->seed));
    return g;
}

/* ---- endings ---- */

static bool within_rate(struct lun_synthetic_rates *r, const struct lun_traffic_target *t, lun_us now)
{
    size_t i = (size_t)(t - r->traffic->targets);
    if (!(t->requests_per_minute > 0)) return true;
    if (!r->of) r->of = lun_zalloc((size_t)r->traffic->n_targets * sizeof *r->of);
    double left = r->of[i].at ? r->of[i].left + lun_us_to_seconds(now - r->of[i].at) * t->requests_per_minute / 60 : t->requests_per_minute;
    r->of[i].left = left > t->requests_per_minute ? t->requests_per_minute : left;
    r->of[i].at = now;
    if (r->of[i].left < 1) return false;
    r->of[i].left--;
    return true;
}

static bool down(const struct lun_traffic_target *t, double at)
{
    for (int i = 0; i < t->n_episodes; i++) if (at >= t->episodes[i].from && at < t->episodes[i].to) return true;
    return false;
}

static int status_of(enum lun_kind kind)
{
    switch (kind) {
    case LUN_KIND_RATE_LIMITED: case LUN_KIND_QUOTA: return 429;
    case LUN_KIND_OVERLOADED:   return 503;
    case LUN_KIND_SERVER_ERROR: return 500;
    case LUN_KIND_AUTH:         return 401;
    case LUN_KIND_NOT_FOUND:    return 404;
    case LUN_KIND_BAD_REQUEST: case LUN_KIND_TOO_LONG: case LUN_KIND_FILTERED: return 400;
    default:                    return 0;
    }
}

static struct lun_ending failure(enum lun_kind kind, lun_us took)
{
    return (struct lun_ending){ .kind = kind, .status = status_of(kind), .took = took, .ttft = -1 };
}

bool lun_synthetic_tell(void *self, const struct lun_call *call, const struct lun_logged *g, struct lun_ending *out)
{
    struct lun_synthetic_rates *r = self;
    const struct lun_traffic_target *t = lun_traffic_target(r->traffic, call->trial->target->name);
    if (!t) return false;
    uint64_t seed = lun_hash(&call->trial->try, sizeof call->trial->try, lun_hash_text(t->name, g->seed));
    lun_us took = lun_us_from_seconds(draw(&t->latency, seed, LATENCY));
    double at = lun_us_to_seconds(lun_question_wall(call->question) - r->traffic->start);
    if (!within_rate(r, t, call->question->loop->now)) *out = failure(LUN_KIND_RATE_LIMITED, took / 10);
    else if (down(t, at) || unit(seed, FAILS) < t->failures) *out = failure(t->kind, took);
    else *out = (struct lun_ending){ .kind = LUN_KIND_OK, .status = 200, .took = took, .ttft = (lun_us)((double)took * t->first_byte), .usage = g->usage };
    return true;
}

void lun_synthetic_rates_free(struct lun_synthetic_rates *r)
{
    free(r->of);
    r->of = NULL;
}

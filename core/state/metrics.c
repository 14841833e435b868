#include "state/metrics.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "state/metrics_table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SERIES_MOST 10000
#define POLICY_MOST 200
#define LABELS_MOST 200         /* of policies: their text may come from anywhere */
#define NAME_MOST   64
#define VALUE_MOST  200         /* bytes of a label's value; the rest is cut off */

/* In microseconds what a decision is measured in: fine where its p50 and p99 are looked for. */
static const double decision[] = { 1e-6, 2e-6, 3e-6, 4e-6, 5e-6, 6e-6, 8e-6, 1e-5, 1.25e-5, 1.5e-5, 2e-5, 2.5e-5, 3e-5, 4e-5, 5e-5, 7.5e-5, 1e-4, 2.5e-4, 1e-3, 0.01, 0.1 };
static const double fast[] = { 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.05, 0.25, 1 };
/* What OpenTelemetry's GenAI conventions advise for each. */
static const double tokens[] = { 1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864 };
static const double calls[] = { 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92 };
static const double first[] = { 0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10 };
static const double steps[] = { 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5 };
/* Whole requests, retries and waits included: the time-outs that people set (1, 3, 5, 8, 30 s) are among them. */
static const double whole[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6.5, 8, 10, 15, 20, 30, 45, 60, 120, 300 };

#define BOUNDS(list) { list, sizeof list / sizeof *list, false }
#define FINE(list)   { list, sizeof list / sizeof *list, true }
static const struct lun_bounds bounds[LUN_METRIC_COUNT] = {
    [LUN_METRIC_REQUEST_SECONDS] = FINE(whole), [LUN_METRIC_LABEL_SECONDS] = FINE(whole), [LUN_METRIC_STAGE_SECONDS] = FINE(whole),
    [LUN_METRIC_TARGET_SECONDS] = FINE(whole), [LUN_METRIC_QUEUE_SECONDS] = BOUNDS(whole),
    [LUN_METRIC_POLICY_SECONDS] = BOUNDS(fast), [LUN_METRIC_DECISION] = BOUNDS(decision), [LUN_METRIC_OVERHEAD] = BOUNDS(fast), [LUN_METRIC_LEDGER_COMMIT] = BOUNDS(fast),
    [LUN_METRIC_TOKENS] = BOUNDS(tokens),
    [LUN_METRIC_DURATION] = FINE(calls), [LUN_METRIC_TTFT] = BOUNDS(first), [LUN_METRIC_PER_TOKEN] = BOUNDS(steps),
};
static const struct lun_metric_what whats[LUN_METRIC_COUNT] = {
#define X(id, name, type, labels, help) [LUN_METRIC_##id] = { name, LUN_##type, labels, help },
    LUN_METRICS(X)
#undef X
};

const struct lun_metric_what *lun_metric_what(enum lun_metric id)  { return &whats[id]; }
const struct lun_bounds *lun_metric_bounds(enum lun_metric id)     { return &bounds[id]; }

static size_t length(const char *value) { return value ? strnlen(value, VALUE_MOST) : 0; }

static uint64_t hash_of(const char *const *labels, int n)
{
    uint64_t hash = 0;
    for (int i = 0; i < n; i++) hash = lun_hash(labels[i], length(labels[i]), hash + 1);
    return hash;
}

static bool same(const struct lun_series *s, const char *const *labels, int n)
{
    const char *at = s->labels;
    for (int i = 0; i < n; i++) {
        if (strncmp(at, labels[i] ? labels[i] : "", VALUE_MOST)) return false;
        if (i + 1 < n) at += strlen(at) + 1;
    }
    return true;
}

static struct lun_series *find(struct lun_family *f, uint64_t hash, const char *const *labels)
{
    struct lun_series *s = atomic_load_explicit(&f->slots[hash % LUN_METRIC_SLOTS], memory_order_acquire);
    while (s && (s->hash != hash || !same(s, labels, f->n_labels))) s = s->next;
    return s;
}

static struct lun_series *make(struct lun_family *f, enum lun_metric id, uint64_t hash, const char *const *labels)
{
    size_t n = 0, buckets = bounds[id].n ? bounds[id].n + 1 : 0;
    for (int i = 0; i < f->n_labels; i++) n += length(labels[i]) + 1;
    struct lun_series *s = lun_zalloc(sizeof *s + buckets * sizeof *s->buckets + n);
    char *at = s->labels = (char *)(s->buckets + buckets);
    for (int i = 0; i < f->n_labels; at += length(labels[i]) + 1, i++)
        if (labels[i]) memcpy(at, labels[i], length(labels[i]));
    s->hash = hash;
    if (bounds[id].fine) s->fine = lun_zalloc(sizeof *s->fine);
    s->next = atomic_load_explicit(&f->slots[hash % LUN_METRIC_SLOTS], memory_order_relaxed);
    f->n++;
    atomic_store_explicit(&f->slots[hash % LUN_METRIC_SLOTS], s, memory_order_release);     /* readers have no lock */
    return s;
}

/* Series that are known beforehand and rise seldom stand at 0 from the start: of one that appears as 1, rate() sees nothing rise. */
static const struct { enum lun_metric id; const char *labels[2]; } known[] = {
#define X(result) { LUN_METRIC_REQUEST_SECONDS, { result } }, { LUN_METRIC_RETRIED, { result } },
    X("answered") X("failed") X("refused") X("left")
#undef X
#define X(kind) { LUN_METRIC_RELOADS, { kind, "changed" } }, { LUN_METRIC_RELOADS, { kind, "unchanged" } }, { LUN_METRIC_RELOADS, { kind, "refused" } },
    X("reload") X("rollback")
#undef X
};

struct lun_metrics *lun_metrics_new(void)
{
    struct lun_metrics *m = lun_zalloc(sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    for (int id = 0; id < LUN_METRIC_COUNT; id++) {
        const char *labels = whats[id].labels;
        if (*labels) for (m->families[id].n_labels = 1; (labels = strchr(labels, ',')); labels++) m->families[id].n_labels++;
        else make(&m->families[id], id, hash_of(NULL, 0), NULL);        /* what has no labels is there from the start */
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct lun_family *f = &m->families[known[i].id];
        make(f, known[i].id, hash_of(known[i].labels, f->n_labels), known[i].labels);
    }
    return m;
}

void lun_metrics_free(struct lun_metrics *m)
{
    if (!m) return;
    for (int id = 0; id < LUN_METRIC_COUNT; id++)
        for (int i = 0; i < LUN_METRIC_SLOTS; i++)
            for (struct lun_series *s = m->families[id].slots[i], *next; s; free(s->fine), free(s), s = next) next = s->next;
    for (struct lun_policy_metric *p; (p = m->policy); free(p)) m->policy = p->next;
    lun_names_free(&m->policy_names, NULL);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static _Atomic(struct lun_series *) *recent(struct lun_family *f, const char *const *labels)
{
    uint64_t at = 0;
    for (int i = 0; i < f->n_labels; i++) at = (at ^ (uintptr_t)labels[i]) * 0x9E3779B97F4A7C15u;
    return &f->recent[at >> 32 & (LUN_METRIC_RECENT - 1)];
}

static struct lun_series *look_up(struct lun_metrics *m, enum lun_metric id, const char *const *labels)
{
    static const char *const other[] = { "other", "other", "other", "other" };
    struct lun_family *f = &m->families[id];
    uint64_t hash = hash_of(labels, f->n_labels);
    struct lun_series *s = find(f, hash, labels);
    if (s) return s;
    pthread_mutex_lock(&m->lock);
    if (f->n >= (id == LUN_METRIC_LABEL_SECONDS ? LABELS_MOST : SERIES_MOST)) hash = hash_of(labels = other, f->n_labels);
    s = find(f, hash, labels);
    if (!s) s = make(f, id, hash, labels);
    pthread_mutex_unlock(&m->lock);
    return s;
}

struct lun_series *lun_metrics_series(struct lun_metrics *m, enum lun_metric id, const char *const *labels)
{
    struct lun_family *f = &m->families[id];
    _Atomic(struct lun_series *) *at = recent(f, labels);
    struct lun_series *s = atomic_load_explicit(at, memory_order_acquire);
    if (s && same(s, labels, f->n_labels)) return s;
    s = look_up(m, id, labels);
    atomic_store_explicit(at, s, memory_order_release);
    return s;
}

static void add(_Atomic double *to, double by)
{
    double old = atomic_load_explicit(to, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(to, &old, old + by, memory_order_relaxed, memory_order_relaxed)) continue;
}

static void observe(struct lun_series *s, const struct lun_bounds *b, double x)
{
    size_t i = 0;
    while (i < b->n && x > b->at[i]) i++;
    atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
    add(&s->value, x);
    if (s->fine) lun_histogram_record(s->fine, x < 1e6 ? (int64_t)(x * 1e6 + 0.5) : INT64_MAX);
}

void lun_series_add(struct lun_series *s, enum lun_metric id, double x)
{
    if (!isfinite(x) || (whats[id].type == LUN_COUNTER && x < 0)) return;
    if (whats[id].type == LUN_HISTOGRAM) observe(s, &bounds[id], x > 0 ? x : 0);
    else add(&s->value, x);
}

void lun_metrics_add(struct lun_metrics *m, enum lun_metric id, const char *const *labels, double x)
{
    if (isfinite(x) && (whats[id].type != LUN_COUNTER || x >= 0)) lun_series_add(lun_metrics_series(m, id, labels), id, x);
}

void lun_metrics_set(struct lun_metrics *m, enum lun_metric id, const char *const *labels, double x)
{
    if (isfinite(x) && whats[id].type != LUN_HISTOGRAM) atomic_store_explicit(&lun_metrics_series(m, id, labels)->value, x, memory_order_relaxed);
}

void lun_metrics_clear(struct lun_metrics *m, enum lun_metric id)
{
    struct lun_family *f = &m->families[id];
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < LUN_METRIC_RECENT; i++) atomic_store(&f->recent[i], NULL);
    for (int i = 0; i < LUN_METRIC_SLOTS; i++)
        for (struct lun_series *s = atomic_exchange(&f->slots[i], NULL), *next; s; free(s), s = next) next = s->next;
    f->n = 0;
    pthread_mutex_unlock(&m->lock);
}

const char *lun_metrics_label(struct lun_metrics *m, const char *label)
{
    return lun_metrics_series(m, LUN_METRIC_LABEL_SECONDS, &label)->labels;
}

static uint64_t count_of(const struct lun_series *s, enum lun_metric id)
{
    uint64_t count = 0;
    if (whats[id].type == LUN_HISTOGRAM)
        for (size_t i = 0; i <= bounds[id].n; i++) count += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
    return count;
}

void lun_metrics_each(struct lun_metrics *m, enum lun_metric id, void (*visit)(void *self, const struct lun_metric_row *), void *self)
{
    const struct lun_family *f = &m->families[id];
    for (int i = 0; i < LUN_METRIC_SLOTS; i++)
        for (const struct lun_series *s = atomic_load_explicit(&f->slots[i], memory_order_acquire); s; s = s->next) {
            struct lun_metric_row row = { .value = s->value, .count = count_of(s, id), .spread = s->fine };
            const char *at = s->labels;
            for (int n = 0; n < f->n_labels; at += strlen(at) + 1, n++) row.labels[n] = at;
            visit(self, &row);
        }
}

double lun_metrics_get(struct lun_metrics *m, enum lun_metric id, const char *const *labels)
{
    struct lun_family *f = &m->families[id];
    struct lun_series *s = find(f, hash_of(labels, f->n_labels), labels);
    if (!s) return 0;
    return whats[id].type == LUN_HISTOGRAM ? (double)count_of(s, id) : s->value;
}

/* A name that no sample of the gateway's own has. */
static bool may_be_called(const char *name)
{
    static const char *const taken[] = { "seconds", "errors_total" };
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (!n || n > NAME_MOST || name[n]) return false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (!strncmp(name, taken[i], strlen(taken[i]))) return false;
    return true;
}

static struct lun_policy_metric *policy_metric(struct lun_metrics *m, const char *name)
{
    struct lun_policy_metric *p = lun_names_get(&m->policy_names, name);
    if (p || m->policy_names.n >= POLICY_MOST) return p;
    p = lun_zalloc(sizeof *p + strlen(name) + 1);
    strcpy(p->name, name);
    *(m->last_policy ? &m->last_policy->next : &m->policy) = p;
    m->last_policy = p;
    lun_names_put(&m->policy_names, name, p);
    return p;
}

bool lun_metrics_policy(struct lun_metrics *m, const char *name, double x)
{
    if (!isfinite(x) || !may_be_called(name)) return false;
    pthread_mutex_lock(&m->lock);
    struct lun_policy_metric *p = policy_metric(m, name);
    if (p) p->sum += x;
    pthread_mutex_unlock(&m->lock);
    return p;
}

#include "state/budget.h"
#include "base/alloc.h"
#include "state/names.h"
#include "state/period.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define REMEMBERED 64           /* periods of an account; older ones are forgotten, but never opened again */

struct lun_span { struct lun_span *next; enum lun_period per; lun_us start; int64_t used, held; int holds; };

struct lun_account {
    struct lun_money *money;    /* NULL: a request's own */
    char *name;
    _Atomic int64_t limit;
    enum lun_period per;
    double soft;
    struct lun_span *spans; int n;
    lun_us forgotten;           /* no period that began then or before is opened any more; 0: none was forgotten */
};
struct lun_money { pthread_mutex_t lock; struct lun_names accounts; struct lun_source source; };

static struct lun_account *account_new(struct lun_money *m, const char *name, const struct lun_budget_rule *rule)
{
    struct lun_account *a = lun_zalloc(sizeof *a);
    a->money = m;
    a->name = lun_strdup(name);
    a->limit = rule->limit < 0 ? -1 : rule->limit;
    a->per = rule->per;
    a->soft = rule->soft;
    return a;
}

void lun_account_free(struct lun_account *a)
{
    if (!a) return;
    for (struct lun_span *s; (s = a->spans); free(s)) a->spans = s->next;
    free(a->name);
    free(a);
}

static void free_account(void *a) { lun_account_free(a); }

struct lun_account *lun_account_request(int64_t limit)
{
    return account_new(NULL, "request", &(struct lun_budget_rule){ .limit = limit });
}

struct lun_account *lun_account_get(struct lun_money *m, const char *name, const struct lun_budget_rule *rule)
{
    pthread_mutex_lock(&m->lock);
    struct lun_account *a = lun_names_get(&m->accounts, name);
    if (!a) {
        a = account_new(m, name, rule);
        lun_names_put(&m->accounts, name, a);
    }
    if (a->per != rule->per) a->forgotten = 0;
    a->limit = rule->limit < 0 ? -1 : rule->limit;
    a->per = rule->per;
    a->soft = rule->soft;
    pthread_mutex_unlock(&m->lock);
    return a;
}

bool lun_account_limited(const struct lun_account *a) { return a->limit >= 0; }

static struct lun_span *find(const struct lun_account *a, lun_us start)
{
    for (struct lun_span *s = a->spans; s; s = s->next)
        if (s->start == start && s->per == a->per) return s;
    return NULL;
}

static struct lun_span *oldest(const struct lun_account *a)
{
    struct lun_span *found = NULL;
    for (struct lun_span *s = a->spans; s; s = s->next)
        if (s->per == a->per && (!found || s->start < found->start)) found = s;
    return found;
}

static void forget_one(struct lun_account *a, const struct lun_span *keep)
{
    struct lun_span **worst = NULL;
    for (struct lun_span **at = &a->spans; *at; at = &(*at)->next)
        if (!(*at)->holds && *at != keep && (!worst || (*at)->per != a->per || ((*worst)->per == a->per && (*at)->start < (*worst)->start)))
            worst = at;
    if (!worst) return;
    struct lun_span *s = *worst;
    if (s->per == a->per && s->start > a->forgotten) a->forgotten = s->start;
    *worst = s->next;
    a->n--;
    free(s);
}

static struct lun_span *open_span(struct lun_account *a, lun_us wall)
{
    lun_us start = lun_period_start(a->per, wall);
    struct lun_span *s = find(a, start);
    if (s) return s;
    if (a->forgotten && start <= a->forgotten && (s = oldest(a))) return s;
    s = lun_alloc(sizeof *s);
    *s = (struct lun_span){ .next = a->spans, .per = a->per, .start = start };
    a->spans = s;
    if (++a->n > REMEMBERED) forget_one(a, s);
    return s;
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Without a limit there is still the largest number: nothing may wrap. */
static int64_t room(const struct lun_account *a, const struct lun_span *s)
{
    int64_t limit = a->limit < 0 ? INT64_MAX : a->limit, gone = s ? add(s->used, s->held) : 0;
    return gone > limit ? 0 : limit - gone;
}

static bool hold(struct lun_account *a, struct lun_span *s, int64_t bound)
{
    if (room(a, s) < bound) return false;
    s->held += bound;
    s->holds++;
    return true;
}

static void unhold(struct lun_span *s, int64_t bound, int64_t cost)
{
    s->held -= bound;
    s->holds--;
    s->used = add(s->used, cost);
}

static bool take(void *self, struct lun_hold *h, lun_us wall, int *short_of)
{
    struct lun_money *m = self;
    int i = 0;
    pthread_mutex_lock(&m->lock);
    for (; i < h->n; i++) {
        h->spans[i] = open_span(h->accounts[i], wall);
        if (!hold(h->accounts[i], h->spans[i], h->bound)) break;
    }
    bool all = i == h->n;
    if (!all) {
        *short_of = i;
        while (i--) unhold(h->spans[i], h->bound, 0);
    }
    pthread_mutex_unlock(&m->lock);
    return all;
}

static void give(void *self, struct lun_hold *h, int64_t cost, lun_us wall)
{
    struct lun_money *m = self;
    (void)wall;
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < h->n; i++) unhold(h->spans[i], h->bound, cost);
    pthread_mutex_unlock(&m->lock);
}

struct lun_money *lun_money_new(void)
{
    struct lun_money *m = lun_zalloc(sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->source = (struct lun_source){ m, take, give };
    return m;
}

void lun_money_free(struct lun_money *m)
{
    if (!m) return;
    lun_names_free(&m->accounts, free_account);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct lun_source *lun_money_source(struct lun_money *m) { return &m->source; }

void lun_account_look(struct lun_account *a, lun_us wall, struct lun_account_view *v)
{
    if (a->money) pthread_mutex_lock(&a->money->lock);
    lun_us start = lun_period_start(a->per, wall), end = lun_period_end(a->per, wall);
    const struct lun_span *s = find(a, start);
    if (!s && a->forgotten && start <= a->forgotten) s = oldest(a);
    *v = (struct lun_account_view){ .name = a->name, .limit = a->limit, 
                                    .left = a->limit < 0 ? INT64_MAX : room(a, s), .soft = a->soft,
                                    .resets_in = end == LUN_NEVER ? LUN_NEVER : end - wall };
    if (s) { v->used = s->used; v->held = s->held; }
    if (v->limit >= 0) v->share = v->limit ? (double)add(v->used, v->held) / (double)v->limit : 1;
    if (a->money) pthread_mutex_unlock(&a->money->lock);
}

bool lun_hold_take(struct lun_hold *h, struct lun_source *source, struct lun_account *const *accounts, int n, int64_t bound, lun_us wall, int *short_of)
{
    assert(n >= 0 && n <= LUN_ACCOUNTS);
    *h = (struct lun_hold){ .source = source, .n = n, .bound = bound < 0 ? 0 : bound };
    for (int i = 0; i < n; i++) h->accounts[i] = accounts[i];
    *short_of = -1;
    return h->open = source->take(source->self, h, wall, short_of);
}

static void end(struct lun_hold *h, int64_t cost, lun_us wall)
{
    if (!h->open) return;
    h->open = false;
    h->source->give(h->source->self, h, cost < 0 ? 0 : cost, wall);
}

void lun_hold_settle(struct lun_hold *h, int64_t cost, lun_us wall) { end(h, cost, wall); }
void lun_hold_release(struct lun_hold *h, lun_us wall)              { end(h, 0, wall); }
void lun_hold_orphan(struct lun_hold *h, lun_us wall)               { end(h, h->bound, wall); }

#include "state/budget.h"
#include "base/alloc.h"
#include "base/saturating.h"
#include "state/money.h"
#include "state/period.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMEMBERED 64           /* periods of an account in memory alone; older ones are forgotten, but never opened again */

static int64_t soft_of(const struct lun_budget_rule *rule)
{
    return rule->soft > 0 && rule->limit > 0 ? (int64_t)ceil((double)rule->limit * rule->soft) : INT64_MAX;
}

static struct lun_account *account_new(struct lun_money *m, const char *name, const struct lun_budget_rule *rule)
{
    struct lun_account *a = lun_zalloc(sizeof *a);
    a->money = m;
    a->name = lun_strdup(name);
    a->limit = rule->limit < 0 ? -1 : rule->limit;
    a->rule = *rule;
    a->rule.shared = m && m->shared;
    a->soft_at = soft_of(rule);
    return a;
}

void lun_account_free(struct lun_account *a)
{
    if (!a) return;
    for (struct lun_span *s; (s = a->spans); free(s)) a->spans = s->next;
    free(a->name);
    free(a);
}

struct lun_account *lun_account_request(int64_t limit)
{
    return account_new(NULL, "request", &(struct lun_budget_rule){ .limit = limit });
}

/* What is limited now was not before: nothing of it may have been drawn. And the ledger hears that what has no end goes on, or does not. */
static void look_again(struct lun_money *m, struct lun_account *a)
{
    for (struct lun_span *s = a->spans; m->kept && s; s = s->next) lun_money_work(m, s);
}

struct lun_account *lun_account_get(struct lun_money *m, const char *name, const struct lun_budget_rule *rule)
{
    pthread_mutex_lock(&m->lock);
    struct lun_account *a = lun_names_get(&m->accounts, name);
    if (!a) {
        a = account_new(m, name, rule);
        lun_names_put(&m->accounts, name, a);
        a->next_work = m->work_accounts;
        m->work_accounts = a;
        lun_money_wake(m, true);
    }
    int64_t limit = rule->limit < 0 ? -1 : rule->limit;
    if (a->rule.per != rule->per || a->rule.zone != rule->zone || a->rule.window != rule->window) a->forgotten = 0;
    if (a->limit != limit || a->rule.per != rule->per || a->rule.window != rule->window) look_again(m, a);
    if (a->limit != limit || a->soft_at != soft_of(rule)) for (struct lun_span *s = a->spans; s; s = s->next) s->crossed = s->told = 0;
    a->limit = limit;
    a->rule = *rule;
    a->rule.shared = m->shared;
    a->soft_at = soft_of(rule);
    pthread_mutex_unlock(&m->lock);
    return a;
}

struct lun_account *lun_account_find(struct lun_money *m, const char *name)
{
    pthread_mutex_lock(&m->lock);
    struct lun_account *a = lun_names_get(&m->accounts, name);
    pthread_mutex_unlock(&m->lock);
    return a;
}

bool lun_account_limited(const struct lun_account *a) { return a->limit >= 0; }

/* ---- periods ---- */

/* In another zone a period of the same date is the same one: what is spent of a month stays spent. */
static bool same(const struct lun_span *s, const struct lun_account *a, lun_us start)
{
    char was[LUN_PERIOD_LABEL], is[LUN_PERIOD_LABEL];
    if (s->rule.per != a->rule.per || s->rule.window != a->rule.window) return false;
    if (s->rule.zone == a->rule.zone || s->rule.per == LUN_PER_ROLLING) return s->start == start;
    lun_period_label(&s->rule, s->start, was);
    lun_period_label(&a->rule, start, is);
    return !strcmp(was, is);
}

static struct lun_span *find(const struct lun_account *a, lun_us start)
{
    for (struct lun_span *s = a->spans; s; s = s->next) if (same(s, a, start)) return s;
    return NULL;
}

/* The period that is open, mostly: no calendar is asked. */
static bool covers(const struct lun_span *s, lun_us wall)
{
    const struct lun_budget_rule *now = &s->of->rule;
    return s->start <= wall && wall < s->end && s->rule.per == now->per && s->rule.zone == now->zone && s->rule.window == now->window;
}

static struct lun_span *find_at(const struct lun_account *a, lun_us wall)
{
    for (struct lun_span *s = a->spans; s; s = s->next) if (covers(s, wall)) return s;
    return find(a, lun_period_start(&a->rule, wall));
}

static struct lun_span *move(struct lun_span *s, lun_us wall)
{
    if (s->rule.zone == s->of->rule.zone) return s;
    s->rule = s->of->rule;
    s->start = lun_period_start(&s->rule, wall);
    s->end = lun_period_end(&s->rule, wall);
    return s;
}

static struct lun_span *oldest(const struct lun_account *a)
{
    struct lun_span *found = NULL;
    for (struct lun_span *s = a->spans; s; s = s->next)
        if (s->rule.per == a->rule.per && (!found || s->start < found->start)) found = s;
    return found;
}

/* ---- windows that move along: pieces, and what counts beside each ---- */

/* What has no end ends with its last hold, once its budget has another period. */
static lun_us until(const struct lun_span *s) { return s->end == LUN_NEVER ? s->last : s->end; }

/* Whichever is the later: a clock may have stepped back. And whatever the period was: what was held within the window was held. */
bool lun_span_counts(const struct lun_span *s, const struct lun_span *other)
{
    lun_us window = lun_period_counts(&s->rule);
    return window && other != s && until(other) > s->start - window && other->start < s->end + window;
}

static int64_t used_beside(const struct lun_span *s)
{
    int64_t sum = lun_saturating_add(s->elsewhere, s->abroad);
    if (s->rule.per != LUN_PER_ROLLING) return 0;
    for (const struct lun_span *t = s->of->spans; t; t = t->next)
        if (lun_span_counts(s, t)) sum = lun_saturating_add(sum, lun_saturating_add(t->base, t->used));
    return sum;
}

static int64_t held_beside(const struct lun_span *s)
{
    int64_t sum = 0;
    if (s->rule.per != LUN_PER_ROLLING) return 0;
    for (const struct lun_span *t = s->of->spans; t; t = t->next) if (lun_span_counts(s, t)) sum = lun_saturating_add(sum, t->held);
    return sum;
}

int64_t lun_span_beside(const struct lun_span *s) { return lun_saturating_add(used_beside(s), held_beside(s)); }

void lun_span_ask_back(struct lun_span *s)
{
    if (s->rule.per != LUN_PER_ROLLING) return;
    for (struct lun_span *t = s->of->spans; t; t = t->next)
        if (t->id && t->granted > lun_span_gone(t) && lun_span_counts(s, t)) {
            t->give_back = true;
            lun_money_work(s->of->money, t);
        }
}

/* When something of it comes free; what is nothing never does. */
static lun_us frees_at(const struct lun_span *s)
{
    lun_us first = s->base || s->used || s->held ? s->end : LUN_NEVER;
    if (s->elsewhere && s->elsewhere_ends < first) first = s->elsewhere_ends;
    if (s->abroad && s->abroad_ends < first) first = s->abroad_ends;
    for (const struct lun_span *t = s->of->spans; t; t = t->next)
        if ((t->base || t->used || t->held) && lun_span_counts(s, t) && until(t) < first) first = until(t);
    return first == LUN_NEVER ? LUN_NEVER : first + lun_period_counts(&s->rule);
}

static lun_us ends(const struct lun_span *s) { return s->rule.per == LUN_PER_ROLLING ? frees_at(s) : s->end; }

/* What other gateways had when that was last told, while all of it may still be in the window. */
static void hear_of_abroad(struct lun_span *s)
{
    const struct lun_span *last = NULL;
    lun_us window = lun_period_counts(&s->rule);
    for (const struct lun_span *t = s->of->spans; window && t; t = t->next)
        if (lun_span_counts(s, t) && (!last || t->start > last->start)) last = t;
    if (!last || !last->abroad || last->abroad_till <= s->start - window) return;
    s->abroad = last->abroad;
    s->abroad_till = last->abroad_till;
    s->abroad_ends = last->abroad_ends > s->start - window ? last->abroad_ends : s->end - window;
}

/* What a new piece knows from those beside it, until the ledger says more; and who has heard of a window does not hear it again in each of its pieces. */
static void begin_piece(struct lun_span *s)
{
    unsigned told = 0, crossed = 0;
    for (const struct lun_span *t = s->of->spans; s->rule.per == LUN_PER_ROLLING && t; t = t->next) {
        if (!lun_span_counts(s, t)) continue;
        told |= t->told;
        crossed |= t->crossed;
        if (t->elsewhere <= s->elsewhere) continue;
        s->elsewhere = t->elsewhere;
        s->elsewhere_ends = t->elsewhere_ends;
    }
    hear_of_abroad(s);
    s->crossed = told & LUN_CROSSED_HARD;
    if (used_beside(s) >= s->of->soft_at) s->crossed |= crossed & LUN_CROSSED_SOFT;
}

static bool told_later(const struct lun_span *s, enum lun_crossing what)
{
    for (const struct lun_span *t = s->of->spans; s->rule.per == LUN_PER_ROLLING && t; t = t->next)
        if (t->start > s->start && t->crossed & what && lun_span_counts(s, t)) return true;
    return false;
}

/* ---- in memory alone: what is forgotten ---- */

static bool is_empty(const struct lun_span *s) { return !s->used && !s->base; }

/* A piece of a window only once it does not count any more, or where there is nothing in it. */
static bool forgettable(const struct lun_span *s, const struct lun_span *keep)
{
    return !s->holds && s != keep && (is_empty(s) || !lun_span_counts(keep, s));
}

/* No piece that it would count beside is opened any more. */
static lun_us not_before(const struct lun_span *s) { return is_empty(s) && lun_period_counts(&s->rule) ? 0 : s->start + lun_period_counts(&s->rule); }

static void forget_one(struct lun_account *a, const struct lun_span *keep)
{
    struct lun_span **worst = NULL;
    for (struct lun_span **at = &a->spans; *at; at = &(*at)->next)
        if (forgettable(*at, keep) && (!worst || (*at)->rule.per != a->rule.per || ((*worst)->rule.per == a->rule.per && (*at)->start < (*worst)->start)))
            worst = at;
    if (!worst) return;
    struct lun_span *s = *worst;
    if (s->rule.per == a->rule.per && not_before(s) > a->forgotten) a->forgotten = not_before(s);
    *worst = s->next;
    a->n--;
    free(s);
}

static bool kept(const struct lun_account *a) { return a->money && a->money->kept; }

struct lun_span *lun_span_open(struct lun_account *a, lun_us wall)
{
    struct lun_span *s = find_at(a, wall);
    if (s) return move(s, wall);
    lun_us start = lun_period_start(&a->rule, wall);
    if (a->forgotten && start <= a->forgotten && (s = oldest(a))) return s;
    s = lun_alloc(sizeof *s);
    *s = (struct lun_span){ .next = a->spans, .of = a, .rule = a->rule, .start = start, .end = lun_period_end(&a->rule, wall),
                            .allot = kept(a) ? 0 : INT64_MAX };
    a->spans = s;
    a->n++;
    begin_piece(s);
    if (kept(a)) lun_money_work(a->money, s);
    else if (a->n > REMEMBERED) forget_one(a, s);
    return s;
}

/* ---- what is there ---- */

int64_t lun_span_gone(const struct lun_span *s) { return lun_saturating_add(s->used, s->held); }

/* Without a limit there is still the largest number: nothing may wrap. */
int64_t lun_span_left(const struct lun_span *s)
{
    int64_t limit = s->of->limit < 0 ? INT64_MAX : s->of->limit, gone = lun_saturating_add(lun_saturating_add(s->base, lun_span_beside(s)), lun_span_gone(s));
    return gone > limit ? 0 : limit - gone;
}

int64_t lun_span_rest(const struct lun_span *s) { return s->of->limit - lun_saturating_add(s->base, lun_span_beside(s)); }

/* What can be had of it without anybody's leave. */
static int64_t at_hand(const struct lun_span *s)
{
    if (s->late) return 0;
    int64_t rest = lun_span_rest(s), most = s->allot < rest ? s->allot : rest;
    return most - lun_span_gone(s);
}

static bool hopeless(const struct lun_span *s, int64_t bound)
{
    if (kept(s->of) && !s->id && s->elsewhere) return false;        /* how much of that counts here the ledger has not said yet */
    if (!s->of->money || !s->of->money->shared) return lun_span_left(s) < bound;
    return s->of->limit - lun_span_gone(s) < bound || (s->refused && bound >= s->refused);
}

static enum lun_taken judge(const struct lun_span *s, int64_t bound)
{
    const struct lun_account *a = s->of;
    if (a->limit < 0 || !kept(a)) return lun_span_left(s) < bound ? LUN_SHORT : kept(a) && !s->id ? LUN_LATER : LUN_TAKEN;
    if (*a->money->closed) return LUN_CLOSED;
    if (hopeless(s, bound)) return LUN_SHORT;
    return s->id && (!bound || at_hand(s) >= bound) ? LUN_TAKEN : LUN_LATER;
}

/* ---- what people should hear of ---- */

static void fill(const struct lun_account *a, const struct lun_span *s, lun_us end, struct lun_account_view *v)
{
    *v = (struct lun_account_view){ .name = a->name, .limit = a->limit, .soft = a->rule.soft, .ends = end, .per = a->rule.per, .window = a->rule.window };
    v->left = a->limit < 0 ? INT64_MAX : s ? lun_span_left(s) : a->limit;
    if (s) {
        v->used = lun_saturating_add(lun_saturating_add(s->base, s->used), used_beside(s));
        v->held = lun_saturating_add(s->held, held_beside(s));
    }
    if (v->limit >= 0) v->share = v->limit ? (double)lun_saturating_add(v->used, v->held) / (double)v->limit : 1;
}

static void cross(struct lun_span *s, enum lun_crossing what)
{
    const struct lun_money *m = s->of->money;
    struct lun_account_view v;
    if (s->crossed & what || !m || !m->watch.crossed || told_later(s, what)) return;
    s->crossed |= what;
    s->told |= what;
    fill(s->of, s, ends(s), &v);
    m->watch.crossed(m->watch.self, &v, what);
}

/* ---- looking ---- */

static const struct lun_span *current(const struct lun_account *a, lun_us wall)
{
    const struct lun_span *s = find_at(a, wall);
    return s || !a->forgotten || lun_period_start(&a->rule, wall) > a->forgotten ? s : oldest(a);
}

/* A window's piece is opened to be looked at, in memory alone: what counts beside it is to be known. */
static const struct lun_span *present(struct lun_account *a, lun_us wall)
{
    if (a->rule.per != LUN_PER_ROLLING) return current(a, wall);
    struct lun_span *s = find_at(a, wall);
    if (s) return move(s, wall);
    s = lun_span_open(a, wall);
    s->looked = kept(a) && !s->id;
    return s;
}

static void look(struct lun_account *a, lun_us wall, struct lun_account_view *v)
{
    const struct lun_span *s = present(a, wall);
    lun_us end = s && (covers(s, wall) || a->rule.per == LUN_PER_ROLLING) ? ends(s) : lun_period_end(&a->rule, wall);
    fill(a, s, end, v);
    v->resets_in = end == LUN_NEVER ? LUN_NEVER : end - wall;
}

/* ---- holds ---- */

static void hold(struct lun_span *s, int64_t bound, lun_us wall)
{
    if (wall >= s->last) s->last = wall + 1;
    s->held += bound;
    s->holds++;
    if (bound > s->biggest) s->biggest = bound;
}

static void unhold(struct lun_span *s, int64_t bound, int64_t cost)
{
    s->held -= bound;
    s->holds--;
    s->used = lun_saturating_add(s->used, cost);
}

static void ask_for(struct lun_span *s, int64_t bound)
{
    s->wanted = lun_saturating_add(s->wanted, bound);
    if (!s->least || bound < s->least) s->least = bound;
    lun_span_ask_back(s);
    lun_money_work(s->of->money, s);
}

/* Those lists never hold more than the journal has slots. */
static bool take_slot(struct lun_money *m, struct lun_hold *h)
{
    if (!m->n_free) return false;
    h->slot = m->free_slots[--m->n_free];
    h->seq = ++m->seq;
    return true;
}

/* The set of those accounts that the ledger knows: a request's own is none. */
static struct lun_payers *payers_of(struct lun_money *m, const struct lun_hold *h)
{
    struct lun_span *spans[LUN_ACCOUNTS];
    int n = 0;
    for (int i = 0; i < h->n; i++) if (kept(h->spans[i]->of)) spans[n++] = h->spans[i];
    return lun_payers_find(m, spans, n);
}

static bool limited(const struct lun_hold *h)
{
    for (int i = 0; i < h->n; i++) if (h->spans[i]->of->limit >= 0 && h->spans[i]->of->money) return true;
    return false;
}

/* Everything the ledger's row needs is on the disk, and there is a slot for it. What has no limit goes on while the ledger cannot be written. */
static enum lun_taken enter(struct lun_money *m, struct lun_hold *h, const struct lun_bought *what, enum lun_taken so_far, struct lun_draw_line *line)
{
    struct lun_payers *payers = payers_of(m, h);
    bool known = payers->id && what->target->id && what->version->id && (!what->client || what->client->id);
    if (!limited(h) && (*m->closed || !m->n_free)) return LUN_TAKEN;
    if (so_far == LUN_LATER) lun_payers_need(m, payers, h->bound);
    if (so_far == LUN_LATER || !known) return LUN_LATER;
    if (!take_slot(m, h)) return LUN_CLOSED;
    *line = (struct lun_draw_line){ .seq = h->seq, .hold = h->bound, .target = what->target->id, .version = what->version->id, .payers = payers->id,
                                    .client = what->client ? what->client->id : 0 };
    memcpy(line->request, what->request, sizeof line->request);
    return LUN_TAKEN;
}

static void take_up(struct lun_span *s)
{
    if (!s->looked) return;
    s->looked = false;
    lun_money_work(s->of->money, s);
}

static enum lun_taken hold_all(struct lun_hold *h, struct lun_account *const *accounts, lun_us wall, int *lacks)
{
    enum lun_taken all = LUN_TAKEN;
    for (int i = 0; i < h->n; i++) {
        h->spans[i] = lun_span_open(accounts[i], wall);
        take_up(h->spans[i]);
        enum lun_taken one = judge(h->spans[i], h->bound);
        if (one == LUN_LATER && accounts[i]->limit >= 0) ask_for(h->spans[i], h->bound);
        if (one != LUN_TAKEN && *lacks < 0) *lacks = i;
        if (one == LUN_SHORT || one == LUN_CLOSED) {
            if (one == LUN_SHORT) *lacks = i;
            h->n = i;
            return one;
        }
        if (one == LUN_LATER) all = one;
        hold(h->spans[i], h->bound, wall);
    }
    return all;
}

static void let_go(struct lun_hold *h)
{
    while (h->n) unhold(h->spans[--h->n], h->bound, 0);
}

static enum lun_taken take(struct lun_money *m, struct lun_hold *h, struct lun_account *const *accounts, lun_us wall, const struct lun_bought *what,
                           struct lun_draw_line *line, int *lacks)
{
    enum lun_taken all = hold_all(h, accounts, wall, lacks);
    if (m->kept && (all == LUN_TAKEN || all == LUN_LATER)) all = enter(m, h, what, all, line);
    if (all != LUN_TAKEN) let_go(h);
    for (int i = 0; m->kept && i < h->n; i++) {
        if (at_hand(h->spans[i]) >= lun_draw_low(h->spans[i])) continue;
        lun_span_ask_back(h->spans[i]);
        lun_money_work(m, h->spans[i]);
    }
    return all;
}

enum lun_taken lun_hold_take(struct lun_hold *h, struct lun_money *m, struct lun_account *const *accounts, int n, int64_t bound, lun_us wall,
                             const struct lun_bought *what, struct lun_shortage *short_of)
{
    struct lun_draw_line line = {0};
    assert(n >= 0 && n <= LUN_ACCOUNTS);
    *h = (struct lun_hold){ .money = m, .n = n, .bound = bound < 0 ? 0 : bound };
    short_of->at = -1;
    pthread_mutex_lock(&m->lock);
    enum lun_taken taken = take(m, h, accounts, wall, what, &line, &short_of->at);
    if (taken != LUN_TAKEN && short_of->at >= 0) look(accounts[short_of->at], wall, &short_of->view);
    pthread_mutex_unlock(&m->lock);
    h->open = taken == LUN_TAKEN;
    if (!h->seq) return taken;
    line.at = wall;
    m->books.dispatched(m->books.self, h->slot, &line);
    return taken;
}

static void give(struct lun_hold *h, int64_t cost)
{
    struct lun_money *m = h->money;
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < h->n; i++) {
        struct lun_span *s = h->spans[i];
        unhold(s, h->bound, cost);
        if (lun_saturating_add(lun_saturating_add(s->base, s->used), used_beside(s)) >= s->of->soft_at) cross(s, LUN_CROSSED_SOFT);
        if (cost < h->bound) s->refused = 0;
        if (kept(s->of) && s->of->limit >= 0 && lun_span_gone(s) > s->granted) lun_money_work(m, s);     /* a claim above its hold */
    }
    if (h->seq) {
        m->ended[m->n_ended++] = h->slot;
        lun_money_wake(m, m->n_ended > m->books.slots / 4);        /* slots do not run out because rows wait for company */
    }
    if (m->waiters) lun_money_tell(m);
    pthread_mutex_unlock(&m->lock);
}

void lun_hold_end(struct lun_hold *h, const struct lun_settlement *how)
{
    struct lun_settlement said = *how;
    if (!h->open) return;
    h->open = false;
    if (said.cost < 0) said.cost = 0;
    said.bound = h->bound;
    if (h->seq) h->money->books.settled(h->money->books.self, h->slot, h->seq, &said);
    give(h, said.cost);
}

void lun_hold_settle(struct lun_hold *h, int64_t cost)  { lun_hold_end(h, &(struct lun_settlement){ .cost = cost }); }
void lun_hold_release(struct lun_hold *h)               { lun_hold_end(h, &(struct lun_settlement){ .cost = 0 }); }
void lun_hold_orphan(struct lun_hold *h)                { lun_hold_end(h, &(struct lun_settlement){ .cost = h->bound, .orphaned = true }); }

void lun_account_look(struct lun_account *a, lun_us wall, struct lun_account_view *v)
{
    if (a->money) pthread_mutex_lock(&a->money->lock);
    look(a, wall, v);
    if (a->money) pthread_mutex_unlock(&a->money->lock);
}

void lun_account_refused(struct lun_account *a, int64_t bound, lun_us wall)
{
    if (!a->money) return;
    pthread_mutex_lock(&a->money->lock);
    struct lun_span *s = find_at(a, wall);
    if (s && bound <= a->limit) cross(s, LUN_CROSSED_HARD);
    pthread_mutex_unlock(&a->money->lock);
}

void lun_money_watch(struct lun_money *m, const struct lun_money_watch *watch)
{
    pthread_mutex_lock(&m->lock);
    m->watch = watch ? *watch : (struct lun_money_watch){0};
    pthread_mutex_unlock(&m->lock);
}

/* ---- those of one request, seen at one moment ---- */

/* That of the process; NULL: each of them is a request's own. */
static struct lun_money *money_of(struct lun_account *const *accounts, int n)
{
    for (int i = 0; i < n; i++) if (accounts[i]->money) return accounts[i]->money;
    return NULL;
}

static bool lacks(struct lun_account *a, int64_t bound, lun_us wall)
{
    if (a->limit < 0) return false;
    const struct lun_span *s = present(a, wall);
    return s ? hopeless(s, bound) : a->limit < bound;
}

int lun_accounts_lacking(struct lun_account *const *accounts, int n, int64_t bound, lun_us wall, struct lun_account_view *v)
{
    struct lun_money *m = money_of(accounts, n);
    int at = 0;
    if (m) pthread_mutex_lock(&m->lock);
    while (at < n && !lacks(accounts[at], bound, wall)) at++;
    if (at < n && v) look(accounts[at], wall, v);
    if (m) pthread_mutex_unlock(&m->lock);
    return at < n ? at : -1;
}

int64_t lun_accounts_left(struct lun_account *const *accounts, int n, lun_us wall)
{
    struct lun_money *m = money_of(accounts, n);
    int64_t least = INT64_MAX;
    if (m) pthread_mutex_lock(&m->lock);
    for (int i = 0; i < n; i++) {
        if (accounts[i]->limit < 0) continue;
        const struct lun_span *s = present(accounts[i], wall);
        int64_t left = s ? lun_span_left(s) : accounts[i]->limit;
        if (left < least) least = left;
    }
    if (m) pthread_mutex_unlock(&m->lock);
    return least;
}

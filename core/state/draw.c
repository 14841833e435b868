#include "state/draw.h"
#include "base/alloc.h"
#include "base/saturating.h"
#include "state/money.h"
#include "state/zone.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b)  { return a > b ? a : b; }

/* What is drawn at once. After a power cut it is charged though nobody spent it: so it is a small part of the limit. */
static int64_t chunk(const struct lun_span *s)
{
    int64_t limit = s->of->limit, few = s->biggest > limit / 64 ? limit / 16 : s->biggest * 4;
    return larger(limit / 128, few);
}

int64_t lun_draw_low(const struct lun_span *s)
{
    if (s->of->limit < 0 || s->allot >= lun_span_rest(s)) return INT64_MIN;      /* there is no more, or it needs none */
    return chunk(s) / 2;
}

/* ---- beginning and end ---- */

void lun_draw_attach(struct lun_money *m, const struct lun_draw_books *books)
{
    pthread_mutex_lock(&m->lock);
    m->books = *books;
    m->kept = true;
    m->seq = books->seq;
    m->free_slots = lun_alloc((books->slots + 1) * sizeof *m->free_slots);
    m->ended = lun_alloc((books->slots + 1) * sizeof *m->ended);
    for (uint32_t i = 0; i < books->slots; i++) m->free_slots[m->n_free++] = books->slots - 1 - i;
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_share(struct lun_money *m, bool shared)
{
    pthread_mutex_lock(&m->lock);
    m->shared = shared;
    for (struct lun_names_each e = lun_names_each(&m->accounts); lun_names_next(&e); ) {
        struct lun_account *a = e.thing;
        a->rule.shared = shared;
        for (struct lun_span *s = a->spans; s; s = s->next) s->rule.shared = shared;
    }
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_close(struct lun_money *m, const char *why)
{
    pthread_mutex_lock(&m->lock);
    bool opened = *m->closed && !why;
    snprintf(m->closed, sizeof m->closed, "%s", why ? why : "");
    if (opened || why) lun_money_tell(m);
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_work_free(struct lun_draw_work *w)
{
    free(w->accounts);
    free(w->names);
    free(w->spans);
    free(w->payers);
    free(w->groups);
    free(w->slots);
    *w = (struct lun_draw_work){0};
}

/* ---- collecting ---- */

#define ROOM(w, what) do { \
    if ((w)->n_##what == (w)->room_##what) { \
        (w)->room_##what = (w)->room_##what ? (w)->room_##what * 2 : 64; \
        (w)->what = lun_realloc((w)->what, (w)->room_##what * sizeof *(w)->what); \
    } } while (0)

/* What granted is to be; -1: it stays. What is given back cannot be held from here on. */
static int64_t wanted(struct lun_span *s, bool over)
{
    int64_t gone = lun_span_gone(s), rest = lun_span_rest(s), keep = lun_saturating_add(gone, chunk(s));
    if (s->of->limit < 0) return over && s->granted > gone ? s->allot = gone : -1;
    if (gone > s->granted) return gone;
    if ((s->give_back && !s->wanted) || over) s->allot = gone;
    else if (s->wanted || s->allot - gone < lun_draw_low(s)) {
        int64_t most = larger(gone, smaller(lun_saturating_add(keep, s->wanted), rest));
        s->allot = larger(s->allot, smaller(most, s->granted));         /* a give-back that never came to the disk */
        return most > s->granted ? most : -1;
    } else if (s->trim && s->allot - gone > 4 * chunk(s)) s->allot = keep;
    s->allot = larger(s->allot, gone);          /* a claim above its hold, since that was lowered */
    return s->allot < s->granted ? s->allot : -1;
}

static void collect_span(struct lun_draw_work *w, struct lun_span *s, lun_us wall)
{
    ROOM(w, spans);
    struct lun_draw_span *d = &w->spans[w->n_spans++];
    *d = (struct lun_draw_span){ .span = s, .budget = s->of->name, .starts = s->start, .ends = s->end, .rule = s->rule, .limit = s->of->limit,
                                 .id = s->id, .base = s->base, .used = s->used, .granted = s->granted, .need = s->least, .elsewhere = s->elsewhere, .elsewhere_ends = s->elsewhere_ends,
                                 .beside = lun_span_beside(s) };
    d->abroad = s->abroad;
    d->looked = s->looked;
    d->forced = s->of->limit >= 0 && lun_span_gone(s) > s->granted;     /* a claim above its hold is spent, whoever was granted what since */
    d->want = s->looked ? -1 : wanted(s, s->late || (s->end <= wall && !s->holds));
    s->listed = s->give_back = s->trim = false;
    s->wanted = s->least = 0;
}

static void weigh(struct lun_draw_group *g, int i)
{
    const struct lun_span *s = g->spans[i];
    if (s->of->limit < 0) return;
    int64_t at_hand = smaller(s->allot, lun_span_rest(s)) - lun_span_gone(s);
    g->lack[i] = larger(g->need - at_hand, 0);
    g->all[i] = larger(lun_saturating_add(s->wanted, -at_hand), g->lack[i]);
}

static void collect(struct lun_money *m, struct lun_draw_work *w, lun_us wall)
{
    for (struct lun_account *a; (a = m->work_accounts); m->work_accounts = a->next_work) {
        ROOM(w, accounts);
        w->accounts[w->n_accounts++] = (struct lun_draw_account){ a->name, a, lun_period_counts(&a->rule) };
    }
    for (struct lun_money_name *n; (n = m->work_names); ) {
        ROOM(w, names);
        w->names[w->n_names++] = (struct lun_draw_name){ .name = n, .text = n->text };
        m->work_names = n->next_work;
    }
    for (struct lun_payers *p; (p = m->needy); p->need = 0) {
        ROOM(w, groups);
        struct lun_draw_group *g = &w->groups[w->n_groups++];
        *g = (struct lun_draw_group){ .n = p->n, .need = p->need };
        memcpy(g->spans, p->spans, sizeof g->spans);
        for (int i = 0; i < g->n; i++) weigh(g, i);
        m->needy = p->next_need;
    }
    for (struct lun_span *s; (s = m->work); ) {
        m->work = s->next_work;
        collect_span(w, s, wall);
    }
    for (struct lun_payers *p; (p = m->work_payers); ) {
        ROOM(w, payers);
        struct lun_draw_payers *d = &w->payers[w->n_payers++];
        *d = (struct lun_draw_payers){ .payers = p, .n = p->n };
        memcpy(d->spans, p->spans, sizeof d->spans);
        for (int i = 0; i < p->n; i++) d->accounts[i] = p->spans[i]->id;
        m->work_payers = p->next_work;
    }
}

/* Without the lock: a calendar is asked. */
static void write_texts(struct lun_draw_span *d)
{
    lun_period_label(&d->rule, d->starts, d->label);
    snprintf(d->per, sizeof d->per, "%d/%lld/%s", (int)d->rule.per, (long long)d->rule.window, lun_zone_name(d->rule.zone));
}

bool lun_draw_begin(struct lun_money *m, struct lun_draw_work *w, lun_us wall)
{
    w->n_accounts = w->n_names = w->n_spans = w->n_payers = w->n_groups = w->n_slots = 0;
    pthread_mutex_lock(&m->lock);
    m->woken = 0;
    collect(m, w, wall);
    while (w->n_slots < m->n_ended) {
        ROOM(w, slots);
        w->slots[w->n_slots] = m->ended[w->n_slots];
        w->n_slots++;
    }
    m->n_ended = 0;
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; i < w->n_spans; i++) write_texts(&w->spans[i]);
    return w->n_accounts || w->n_names || w->n_spans || w->n_payers || w->n_slots;
}

void lun_draw_opened(struct lun_draw_span *d, uint32_t id, int64_t base, int64_t used, int64_t granted)
{
    int64_t rest = d->limit - lun_saturating_add(base, d->beside);
    d->id = id;
    d->opened = true;
    d->base = base;
    d->used = used;
    d->granted = granted;
    if (d->want < 0) return;
    d->want = smaller(lun_saturating_add(used, d->want), rest);
    if (d->want <= granted) d->want = -1;
}

bool lun_draw_beside(struct lun_money *m, const struct lun_draw_work *w, const struct lun_span *s, uint32_t id)
{
    bool counts = false;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < w->n_spans && !counts; i++) counts = w->spans[i].id == id && w->spans[i].span->of == s->of && lun_span_counts(s, w->spans[i].span);
    for (const struct lun_span *t = s->of->spans; t && !counts; t = t->next) counts = t->id == id && lun_span_counts(s, t);
    pthread_mutex_unlock(&m->lock);
    return counts;
}

bool lun_draw_first(const struct lun_draw_span *d) { return d->id && (d->forced || d->want <= d->granted); }

void lun_draw_fit(struct lun_draw_span *d)
{
    if (d->want > d->granted && !d->forced) d->want = larger(smaller(d->want, d->limit - lun_saturating_add(d->base, d->beside)), d->granted);
    if (d->want == d->granted) d->want = -1;
}

bool lun_draw_accounts(const struct lun_draw_work *w, struct lun_draw_payers *p)
{
    bool all = true;
    for (int i = 0; i < p->n; i++) {
        for (size_t k = 0; !p->accounts[i] && k < w->n_spans; k++) if (w->spans[k].span == p->spans[i]) p->accounts[i] = w->spans[k].id;
        all &= p->accounts[i] != 0;
    }
    return all;
}

/* ---- what came of it ---- */

/* What this run has charged and was granted of it before adds to what it has charged since. */
static void number(struct lun_span *s, uint32_t id, int64_t used, int64_t granted)
{
    s->id = id;
    s->looked = false;
    s->used = lun_saturating_add(s->used, used);
    s->granted = s->allot = granted;
}

/* Whether somebody who waits may find more. */
static bool apply(struct lun_money *m, const struct lun_draw_span *d)
{
    struct lun_span *s = d->span;
    bool more = !s->id || d->want > d->granted || d->base < s->base || d->elsewhere != s->elsewhere;
    if (!s->id && d->id) number(s, d->id, d->used, d->granted);
    s->base = d->base;
    s->elsewhere = d->elsewhere;
    s->elsewhere_ends = d->elsewhere_ends;
    if (d->want > s->granted) s->allot = d->want;
    if (d->want >= 0) s->granted = d->want;
    if (d->want >= 0 && d->want < d->granted && lun_span_gone(s) > d->want) lun_money_work(m, s);      /* likewise, while it was given back */
    if (d->want > d->granted) s->refused = 0;
    return more;
}

/* What others of its window had down as not in memory: now memory knows it. */
static void take_over(const struct lun_draw_span *d)
{
    int64_t known = d->base + d->granted;
    for (struct lun_span *t = d->span->of->spans; t; t = t->next)
        if (lun_span_counts(t, d->span)) t->elsewhere = t->elsewhere > known ? t->elsewhere - known : 0;
}

void lun_draw_done(struct lun_money *m, const struct lun_draw_work *w)
{
    pthread_mutex_lock(&m->lock);
    bool more = w->n_names || w->n_payers || !m->n_free;
    for (size_t i = 0; i < w->n_names; i++) w->names[i].name->id = w->names[i].id;
    for (size_t i = 0; i < w->n_spans; i++) if (w->spans[i].opened) take_over(&w->spans[i]);
    for (size_t i = 0; i < w->n_spans; i++) more |= apply(m, &w->spans[i]);
    for (size_t i = 0; i < w->n_payers; i++) w->payers[i].payers->id = w->payers[i].id;
    for (size_t i = 0; i < w->n_slots; i++) m->free_slots[m->n_free++] = w->slots[i];
    if (more && m->waiters) lun_money_tell(m);          /* who is told in vain asks again, and so has another turn made: for ever */
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_failed(struct lun_money *m, const struct lun_draw_work *w)
{
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < w->n_names; i++) {
        w->names[i].name->next_work = m->work_names;
        m->work_names = w->names[i].name;
    }
    for (size_t i = 0; i < w->n_accounts; i++) {
        w->accounts[i].account->next_work = m->work_accounts;
        m->work_accounts = w->accounts[i].account;
    }
    for (size_t i = 0; i < w->n_payers; i++) {
        w->payers[i].payers->next_work = m->work_payers;
        m->work_payers = w->payers[i].payers;
    }
    for (size_t i = 0; i < w->n_spans; i++) lun_money_list(m, w->spans[i].span);
    if (w->n_slots) memcpy(m->ended + m->n_ended, w->slots, w->n_slots * sizeof *w->slots);
    m->n_ended += w->n_slots;
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_granted(struct lun_money *m, struct lun_span *s, int64_t granted, int64_t base)
{
    pthread_mutex_lock(&m->lock);
    if (granted > s->granted) {
        s->allot = granted;
        s->refused = 0;
    } else if (granted < s->allot) s->allot = granted;
    s->granted = granted;
    s->base = base;
    if (m->waiters) lun_money_tell(m);
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_refused(struct lun_money *m, struct lun_span *s, int64_t need, int64_t base)
{
    pthread_mutex_lock(&m->lock);
    s->base = base;
    if (need && (!s->refused || need < s->refused)) s->refused = need;
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_base(struct lun_money *m, struct lun_span *s, int64_t base)
{
    pthread_mutex_lock(&m->lock);
    bool less = base < s->base;
    s->base = base;
    if (less) s->refused = 0;
    if (less && m->waiters) lun_money_tell(m);
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_abroad(struct lun_money *m, struct lun_span *s, int64_t abroad, lun_us ends)
{
    pthread_mutex_lock(&m->lock);
    bool less = abroad < s->abroad;
    s->abroad = abroad;
    s->abroad_ends = ends;
    s->abroad_till = s->end;
    if (less) s->refused = 0;
    if (less && m->waiters) lun_money_tell(m);
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_late(struct lun_money *m, struct lun_span *s)
{
    pthread_mutex_lock(&m->lock);
    if (!s->late) lun_money_work(m, s);
    s->late = true;
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_found(struct lun_money *m, struct lun_account *a, const char *label, lun_us wall, uint32_t id, int64_t base, int64_t used, int64_t granted)
{
    char now[LUN_PERIOD_LABEL];
    pthread_mutex_lock(&m->lock);
    lun_period_label(&a->rule, wall, now);
    bool present = !strcmp(label, now);
    struct lun_span *s = present || a->rule.per == LUN_PER_ROLLING ? lun_span_open(a, wall) : NULL;
    if (present && !s->id) {
        number(s, id, used, granted);
        s->base = base;
    }
    pthread_mutex_unlock(&m->lock);
}

/* ---- all spans ---- */

static void each(struct lun_money *m, void (*visit)(void *self, struct lun_span *), void *self)
{
    for (struct lun_names_each e = lun_names_each(&m->accounts); lun_names_next(&e); )
        for (struct lun_span *s = ((struct lun_account *)e.thing)->spans; s; s = s->next) visit(self, s);
}

struct looked { void (*each)(void *self, struct lun_span *, uint32_t id, int64_t base); void *self; };
static void show(void *self, struct lun_span *s)
{
    struct looked *l = self;
    if (s->id) l->each(l->self, s, s->id, s->base);
}

void lun_draw_each(struct lun_money *m, void (*tell)(void *self, struct lun_span *, uint32_t id, int64_t base), void *self)
{
    pthread_mutex_lock(&m->lock);
    each(m, show, &(struct looked){ tell, self });
    pthread_mutex_unlock(&m->lock);
}

bool lun_draw_is_window(struct lun_money *m, const char *budget)
{
    pthread_mutex_lock(&m->lock);
    const struct lun_account *a = lun_names_get(&m->accounts, budget);
    bool is = a && a->rule.per == LUN_PER_ROLLING;
    pthread_mutex_unlock(&m->lock);
    return is;
}

static void all_back(void *m, struct lun_span *s)
{
    s->give_back = true;
    if (s->id && s->of->limit >= 0 && s->granted > lun_span_gone(s)) lun_money_work(m, s);
}

static void some_back(void *m, struct lun_span *s)
{
    s->trim = true;
    if (s->id && s->of->limit >= 0 && s->allot - lun_span_gone(s) > 4 * chunk(s)) lun_money_work(m, s);
}

void lun_draw_return(struct lun_money *m, struct lun_span *s)
{
    pthread_mutex_lock(&m->lock);
    all_back(m, s);
    pthread_mutex_unlock(&m->lock);
}

void *lun_draw_mark(const struct lun_span *s)               { return s->mark; }
void lun_draw_set_mark(struct lun_span *s, void *mark)      { s->mark = mark; }

void lun_draw_status(struct lun_money *m, const char *word, const char *why)
{
    pthread_mutex_lock(&m->lock);
    bool news = strcmp(m->status, word) != 0;
    snprintf(m->status, sizeof m->status, "%s", word);
    snprintf(m->stuck, sizeof m->stuck, "%s", why ? why : "");
    if (news && m->waiters) lun_money_tell(m);          /* who is told asks again: not for the same trouble once more */
    pthread_mutex_unlock(&m->lock);
}

void lun_draw_give_back(struct lun_money *m, bool all)
{
    pthread_mutex_lock(&m->lock);
    each(m, all ? all_back : some_back, m);
    pthread_mutex_unlock(&m->lock);
}

struct old { struct lun_money *money; lun_us wall; bool some; };

/* A piece of a window, while one that `wall` may lie in counts it; and whatever came before in a budget that is one by now. */
static bool counts_at(const struct lun_span *s, lun_us wall)
{
    const struct lun_budget_rule *now = &s->of->rule, *r = lun_period_counts(now) > lun_period_counts(&s->rule) ? now : &s->rule;
    lun_us counts = lun_period_counts(r);
    return counts && s->end + counts + lun_period_end(r, s->start) - lun_period_start(r, s->start) > wall;
}

/* What it comes to counts on beside those that stay: a clock may step back to them. */
static void leave(const struct lun_span *s)
{
    if (s->looked) return;
    for (struct lun_span *t = s->of->spans; t; t = t->next) {
        if (t->dead || !lun_span_counts(t, s)) continue;
        lun_us ends = t->elsewhere ? smaller(t->elsewhere_ends, s->end) : s->end;
        t->elsewhere = lun_saturating_add(t->elsewhere, lun_saturating_add(s->base, s->used));
        t->elsewhere_ends = ends;
    }
}

static void mark(void *self, struct lun_span *s)
{
    struct old *o = self;
    if (s->end > o->wall || s->holds || s->listed || (!s->id && !s->looked)) return;
    if (s->looked) { o->some = s->dead = true; return; }
    if (s->of->limit >= 0 ? s->granted != s->used : s->granted > s->used) lun_money_work(o->money, s);
    else if (!counts_at(s, o->wall)) o->some = s->dead = true;
}

static bool has_dead(const struct lun_payers *p)
{
    for (int i = 0; i < p->n; i++) if (p->spans[i]->dead) return true;
    return false;
}

static void bury(struct lun_account *a, void (*gone)(void *self, void *mark), void *self)
{
    for (struct lun_span **at = &a->spans, *s; (s = *at); ) {
        if (!s->dead) { at = &s->next; continue; }
        leave(s);
        *at = s->next;
        a->n--;
        if (s->mark && gone) gone(self, s->mark);
        free(s);
    }
}

static void keep_spans(struct lun_payers *p)
{
    for (int i = 0; i < p->n; i++) p->spans[i]->dead = false;
}

/* A set that is not on the disk yet, or that somebody waits for, keeps its spans. */
static void spare(struct lun_money *m)
{
    for (struct lun_payers *p = m->work_payers; p; p = p->next_work) keep_spans(p);
    for (struct lun_payers *p = m->needy; p; p = p->next_need) keep_spans(p);
}

void lun_draw_sweep(struct lun_money *m, lun_us wall, void (*gone)(void *self, void *mark), void *self)
{
    struct old o = { m, wall, false };
    pthread_mutex_lock(&m->lock);
    each(m, mark, &o);
    if (o.some) {
        spare(m);
        lun_payers_forget(m, has_dead);
        for (struct lun_names_each e = lun_names_each(&m->accounts); lun_names_next(&e); ) bury(e.thing, gone, self);
    }
    pthread_mutex_unlock(&m->lock);
}

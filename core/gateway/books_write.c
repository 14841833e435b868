#include "gateway/books_inner.h"
#include "base/saturating.h"
#include <stdio.h>

struct finding { struct lun_books *books; struct lun_account *account; lun_us wall; };

static void found(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    struct finding *x = self;
    lun_draw_found(x->books->options.money, x->account, a->period, x->wall, id, f->others, f->used, lun_ledger_part(f));
}

static void look_up(struct lun_books *b, lun_us wall)
{
    for (size_t i = 0; i < b->work.n_accounts; i++) {
        const struct lun_draw_account *a = &b->work.accounts[i];
        struct finding x = { b, a->account, wall };
        lun_ledger_accounts(b->ledger, a->budget, wall - a->counts, found, &x);
    }
}

/* ---- windows that move along: what counts beside a piece, whoever has it and whatever the period was ---- */

struct beside { struct lun_books *books; struct lun_draw_span *span; uint32_t own; lun_us before; struct lun_ledger_account endless; char period[LUN_PERIOD_LABEL]; };

static void count(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    struct beside *x = self;
    struct lun_draw_span *s = x->span;
    if (id == x->own || a->starts >= x->before) return;
    s->beside = lun_saturating_add(s->beside, f->taken);
    if (a->ends == LUN_NEVER) {
        x->endless = *a;
        snprintf(x->period, sizeof x->period, "%s", a->period);
    }
    if (lun_draw_beside(x->books->options.money, &x->books->work, s->span, id)) return;
    s->elsewhere = lun_saturating_add(s->elsewhere, f->taken);
    if (f->taken && a->ends < s->elsewhere_ends) s->elsewhere_ends = a->ends;
}

/* What has no end ends here, where its budget has become a window: or it would count for ever. */
static bool count_beside(struct lun_books *b, struct lun_draw_span *s, uint32_t own, lun_us wall)
{
    lun_us window = lun_period_counts(&s->rule);
    struct beside x = { .books = b, .span = s, .own = own, .before = s->ends + window };
    s->beside = s->elsewhere = 0;
    s->elsewhere_ends = LUN_NEVER;
    if (!window) return true;
    if (!lun_ledger_accounts(b->ledger, s->budget, s->starts - window, count, &x)) return false;
    if (!*x.period) return true;
    uint32_t id = lun_ledger_account(b->ledger, &(struct lun_ledger_account){ s->budget, x.period, x.endless.starts, wall + 1, x.endless.limit });
    if (b->sharing && id) lun_sharing_ended(b->sharing, id, wall + 1);
    return true;
}

static uint32_t account_of(struct lun_books *b, const struct lun_draw_span *s)
{
    struct lun_ledger_account a = { s->budget, s->label, s->starts, s->ends, s->limit };
    return s->looked && !lun_ledger_has_account(b->ledger, &a) ? 0 : lun_ledger_account(b->ledger, &a);
}

static bool note(struct lun_books *b, struct lun_draw_span *s, lun_us wall)
{
    struct lun_ledger_figures f;
    uint32_t id = account_of(b, s);
    if (!id || !lun_ledger_look(b->ledger, id, &f) || !count_beside(b, s, id, wall)) return false;
    int64_t base = f.others + (b->sharing ? lun_sharing_others(s->span) : 0);
    if (!s->id) lun_draw_opened(s, id, base, f.used, lun_ledger_part(&f));
    else s->base = base;
    return true;
}

/* Draws, or gives back. What is given back is no longer held by anybody here. */
static void grant(struct lun_books *b, struct lun_draw_span *s, lun_us wall)
{
    if (!note(b, s, wall) || s->want < 0 || (b->sharing && s->want > s->granted && !s->forced)) return;
    lun_draw_fit(s);
    if (s->want >= 0) lun_ledger_grant(b->ledger, s->id, s->want);
}

/* What is given back first: it may be what another wants. */
static void grant_all(struct lun_books *b, lun_us wall)
{
    struct lun_draw_work *w = &b->work;
    for (int late = 0; late < 2; late++)
        for (size_t i = 0; i < w->n_spans; i++) if (lun_draw_first(&w->spans[i]) == !late) grant(b, &w->spans[i], wall);
    for (size_t i = 0; i < w->n_spans; i++) if (w->spans[i].id || w->spans[i].looked) count_beside(b, &w->spans[i], w->spans[i].id, wall);
}

static void row(struct lun_books *b, uint32_t slot)
{
    struct lun_dispatch d;
    struct lun_settle s;
    enum lun_journal_found is = lun_journal_read(b->journal, slot, &d, &s);
    if (is == LUN_JOURNAL_SETTLED) lun_ledger_row(b->ledger, &d, &s);
    else if (is == LUN_JOURNAL_DISPATCHED) lun_ledger_row(b->ledger, &d, NULL);
}

enum lun_ledger_result lun_books_write(struct lun_books *b, lun_us wall)
{
    look_up(b, wall);
    struct lun_draw_work *w = &b->work;
    enum lun_ledger_result r = lun_ledger_begin(b->ledger);
    if (r != LUN_LEDGER_OK) return r;
    for (size_t i = 0; i < w->n_names; i++) w->names[i].id = lun_ledger_name(b->ledger, w->names[i].text);
    for (size_t i = 0; i < w->n_slots; i++) row(b, w->slots[i]);
    grant_all(b, wall);
    for (size_t i = 0; i < w->n_payers; i++)
        if (lun_draw_accounts(w, &w->payers[i])) w->payers[i].id = lun_ledger_payers(b->ledger, w->payers[i].accounts, w->payers[i].n);
    return lun_ledger_commit(b->ledger);
}

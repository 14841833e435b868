#include "gateway/books_inner.h"

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

struct finding { struct lun_books *books; struct lun_account *account; lun_us wall; };

static void found(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    struct finding *x = self;
    lun_draw_found(x->books->options.money, x->account, a->period, x->wall, id, f->others, f->used, lun_ledger_part(f));
}

static void look_up(struct lun_books *b, lun_us wall)
{
    for (size_t i = 0; i < b->work.n_accounts; i++) {
        struct finding x = { b, b->work.accounts[i].account, wall };
        lun_ledger_accounts(b->ledger, b->work.accounts[i].budget, wall, found, &x);
    }
}

static bool note(struct lun_books *b, struct lun_draw_span *s, struct lun_ledger_figures *f)
{
    uint32_t id = lun_ledger_account(b->ledger, &(struct lun_ledger_account){ s->budget, s->label, s->starts, s->ends, s->limit });
    if (!id || !lun_ledger_look(b->ledger, id, f)) return false;
    int64_t base = f->others + (b->sharing ? lun_sharing_others(s->span) : 0);
    if (!s->id) lun_draw_opened(s, id, base, f->used, lun_ledger_part(f));
    else s->base = base;
    return true;
}

/* Draws, or gives back. What is given back is no longer held by anybody here. */
static void grant(struct lun_books *b, struct lun_draw_span *s)
{
    struct lun_ledger_figures f;
    if (!note(b, s, &f) || s->want < 0 || (b->sharing && s->want > s->granted && !s->forced)) return;
    if (s->want > s->granted && !s->forced) s->want = most(s->want < s->limit - s->base ? s->want : s->limit - s->base, s->granted);
    if (s->want == s->granted) s->want = -1;
    else lun_ledger_grant(b->ledger, s->id, s->want);
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
    for (size_t i = 0; i < w->n_spans; i++) grant(b, &w->spans[i]);
    for (size_t i = 0; i < w->n_payers; i++)
        if (lun_draw_accounts(w, &w->payers[i])) w->payers[i].id = lun_ledger_payers(b->ledger, w->payers[i].accounts, w->payers[i].n);
    return lun_ledger_commit(b->ledger);
}

#include "gateway/bill.h"
#include "state/budget.h"
#include <string.h>

static const char *usd(struct lun_arena *arena, int64_t nano)
{
    char text[24];
    lun_price_text(nano > 0 ? nano : 0, text);
    return lun_arena_strdup(arena, text);
}

static const char *why_short(struct lun_question *q, const struct lun_bill *b)
{
    const struct lun_account_view *v = &b->short_of;
    char at[25] = "";
    if (v->resets_in != LUN_NEVER) lun_clock_text(lun_question_wall(q) + v->resets_in, at);
    return lun_arena_printf(q->arena, "budget \"%s\" has %s USD left of %s, and this can cost up to %s%s%s", v->name, usd(q->arena, v->left),
                            usd(q->arena, v->limit), usd(q->arena, b->bound), *at ? "; it begins anew at " : "", at);
}

bool lun_bill_fits(struct lun_bill *b, struct lun_question *q, const struct lun_step *step, const char **detail)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    int n = lun_question_accounts(q, accounts);
    b->bound = lun_question_bound(q, step->target, step->edits, &b->cap);
    b->limited = lun_question_limited(q);
    if (!b->limited) {
        b->cap = -1;
        return true;
    }
    if (b->bound < 0) {
        bool hidden = q->client && !q->client->expose;
        *detail = lun_arena_printf(q->arena, "the price of \"%s\" for this request is not known, so it cannot be used under a hard limit",
                                   hidden ? q->model : step->target->name);
        return false;
    }
    for (int i = 0; i < n; i++) {
        struct lun_account_view v;
        lun_account_look(accounts[i], lun_question_wall(q), &v);
        if (v.limit < 0 || v.left >= b->bound) continue;
        b->short_of = v;
        *detail = why_short(q, b);
        return false;
    }
    return true;
}

bool lun_bill_take(struct lun_bill *b, struct lun_question *q, struct lun_source *source, const char **detail)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    int n = lun_question_accounts(q, accounts), short_of = -1;
    int64_t bound = b->bound < 0 ? 0 : b->bound;
    if (lun_hold_take(&b->hold, source, accounts, n, bound, lun_question_wall(q), &short_of)) return true;
    if (short_of >= 0 && short_of < n) {
        lun_account_look(accounts[short_of], lun_question_wall(q), &b->short_of);
        *detail = why_short(q, b);
    } else *detail = "the budget has no money free just now";
    return false;
}

/* What it probably cost, where no limit hangs on it. An error answer costs nothing. */
static void estimate(struct lun_question *q, struct lun_trial *t, uint64_t text_bytes)
{
    if (t->status >= 300 || (t->kind != LUN_KIND_OK && !t->first_byte && t->kind != LUN_KIND_CANCELLED)) return;
    t->usage = (struct lun_usage){ .known = true, .estimated = true, .input = lun_question_tokens(q), .output = (int64_t)((text_bytes + 3) / 4) };
}

void lun_bill_end(struct lun_bill *b, struct lun_question *q, struct lun_trial *t, uint64_t text_bytes)
{
    lun_us wall = lun_question_wall(q);
    t->billed = t->sent ? lun_kind_billed(t->kind) : LUN_BILLED_NO;
    if (!b->hold.open) return;
    t->bound = b->hold.bound;
    if (t->usage.known) t->billed = LUN_BILLED_YES;
    else if (t->billed == LUN_BILLED_NO) { lun_hold_release(&b->hold, wall); return; }
    else if (b->limited) { t->cost = b->hold.bound; lun_hold_orphan(&b->hold, wall); return; }
    else estimate(q, t, text_bytes);
    t->cost = lun_price_cost(&t->target->price, &t->usage);
    lun_hold_settle(&b->hold, t->cost, wall);
}

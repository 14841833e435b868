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

static const char *why_closed(struct lun_question *q, struct lun_money *money)
{
    char why[256];
    return lun_money_closed(money, why) ? lun_arena_strdup(q->arena, why) : "the ledger is slow to write down what is to be spent";
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
        const char *what = lun_question_unknown(q, step->edits);
        *detail = what ? lun_arena_printf(q->arena, "what this request can cost at most is not known, because of %s, so it cannot be sent under a hard limit", what)
                       : lun_arena_printf(q->arena, "the price of \"%s\" for this request is not known, so it cannot be used under a hard limit",
                                          hidden ? q->model : step->target->name);
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (!lun_account_lacks(accounts[i], b->bound, lun_question_wall(q))) continue;
        lun_account_look(accounts[i], lun_question_wall(q), &b->short_of);
        *detail = why_short(q, b);
        return false;
    }
    return true;
}

enum lun_taken lun_bill_take(struct lun_bill *b, struct lun_question *q, const struct lun_trial *t, struct lun_money *money, const char **detail)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    int n = lun_question_accounts(q, accounts), short_of = -1;
    struct lun_bought what = { .target = t->target->ledger_name, .version = q->snapshot->ledger_version };
    memcpy(what.request, q->number, sizeof what.request);
    enum lun_taken taken = lun_hold_take(&b->hold, money, accounts, n, b->bound < 0 ? 0 : b->bound, lun_question_wall(q), &what, &short_of);
    if (taken == LUN_TAKEN) return taken;
    if (short_of >= 0) lun_account_look(accounts[short_of], lun_question_wall(q), &b->short_of);
    b->closed = taken == LUN_CLOSED || (taken == LUN_LATER && (short_of < 0 || b->short_of.left >= b->bound));     /* it is there, and not drawn yet */
    *detail = b->closed ? why_closed(q, money) : why_short(q, b);
    return taken;
}

/* What it probably cost, where no limit hangs on it. An error answer costs nothing. */
static void estimate(struct lun_question *q, struct lun_trial *t, uint64_t text_bytes)
{
    if (t->status >= 300 || (t->kind != LUN_KIND_OK && !t->first_byte && t->kind != LUN_KIND_CANCELLED)) return;
    t->usage = (struct lun_usage){ .known = true, .estimated = true, .input = lun_question_tokens(q), .output = (int64_t)((text_bytes + 3) / 4) };
}

void lun_bill_end(struct lun_bill *b, struct lun_question *q, struct lun_trial *t, uint64_t text_bytes)
{
    struct lun_settlement how = { .kind = t->kind, .hedge = t->hedge, .cancelled = t->kind == LUN_KIND_CANCELLED, .latency = t->sent ? t->ended - t->sent : 0 };
    t->billed = t->sent ? lun_kind_billed(t->kind) : LUN_BILLED_NO;
    if (!b->hold.open) return;
    t->bound = b->hold.bound;
    if (t->usage.known) t->billed = LUN_BILLED_YES;
    else if (t->billed != LUN_BILLED_NO && b->limited) {
        t->cost = b->hold.bound;
        how.orphaned = true;
    } else if (t->billed != LUN_BILLED_NO) estimate(q, t, text_bytes);
    if (t->usage.known) t->cost = lun_price_cost(&t->target->price, &t->usage);
    how.cost = t->cost;
    how.usage = t->usage;
    lun_hold_end(&b->hold, &how);
}

#include "gateway/bill.h"
#include "state/budget.h"
#include "state/doubt.h"
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

static const char *shown(const struct lun_question *q, const struct lun_target *t)
{
    return q->client && !q->client->expose ? q->model : t->name;
}

/* Why a target cannot be used under a hard limit, whatever is left; NULL: it can. */
static const char *why_not(struct lun_question *q, const struct lun_bill *b, const struct lun_step *step)
{
    const struct lun_target *t = step->target;
    enum lun_suspect doubt = lun_doubt_of(t);
    const char *what = b->bound < 0 ? lun_question_unknown(q, step->edits) : NULL;
    if (what) return lun_arena_printf(q->arena, "what this request can cost at most is not known, because of %s, so it cannot be sent under a hard limit", what);
    if (b->bound < 0) return lun_arena_printf(q->arena, "the price of \"%s\" for this request is not known, so it cannot be used under a hard limit", shown(q, t));
    if (!doubt) return NULL;
    return lun_arena_printf(q->arena, "\"%s\" is closed to requests under a hard limit: its provider has claimed %s", shown(q, t), lun_suspect_what(doubt));
}

static void reckon(struct lun_bill *b, struct lun_question *q, const struct lun_step *step)
{
    b->bound = lun_question_bound(q, step->target, step->edits, &b->cap);
    b->limited = lun_question_limited(q);
    b->output = b->limited || b->cap < 0 ? lun_question_output(q, step->target, step->edits) : -1;
    b->services = step->target->price.n_tiers ? lun_question_services(q, step->edits, 1u << LUN_SERVICE_STANDARD) : 0;
    if (!b->limited) b->cap = -1;
}

static const char *why_closed(struct lun_question *q, struct lun_money *money)
{
    char why[256], word[32];
    if (strcmp(lun_money_status(money, word, why), "open")) return lun_arena_strdup(q->arena, why);
    return lun_money_closed(money, why) ? lun_arena_strdup(q->arena, why) : "the ledger is slow to write down what is to be spent";
}

bool lun_bill_fits(struct lun_bill *b, struct lun_question *q, const struct lun_step *step, const char **detail)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    int n = lun_question_accounts(q, accounts);
    reckon(b, q, step);
    if (!b->limited) return true;
    if ((*detail = why_not(q, b, step))) return false;
    int lacks = lun_accounts_lacking(accounts, n, b->bound, lun_question_wall(q), &b->short_of);
    if (lacks < 0) return true;
    b->short_account = accounts[lacks];
    *detail = why_short(q, b);
    return false;
}

static bool is_stuck(struct lun_money *money)
{
    char word[32];
    return strcmp(lun_money_status(money, word, NULL), "open") != 0;
}

enum lun_taken lun_bill_take(struct lun_bill *b, struct lun_question *q, const struct lun_trial *t, struct lun_money *money, const char **detail)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    int n = lun_question_accounts(q, accounts);
    struct lun_shortage lacks;
    struct lun_bought what = { .target = t->target->ledger_name, .version = q->snapshot->ledger_version, .client = q->client ? q->client->ledger_name : NULL };
    memcpy(what.request, q->number, sizeof what.request);
    enum lun_taken taken = lun_hold_take(&b->hold, money, accounts, n, b->bound < 0 ? 0 : b->bound, lun_question_wall(q), &what, &lacks);
    if (taken == LUN_TAKEN) return taken;
    if (lacks.at >= 0) b->short_account = accounts[lacks.at], b->short_of = lacks.view;
    b->closed = taken == LUN_CLOSED || (taken == LUN_LATER && (lacks.at < 0 || b->short_of.left >= b->bound || is_stuck(money)));     /* it may be there,
                                                                               and cannot be drawn */
    *detail = b->closed ? why_closed(q, money) : why_short(q, b);
    return taken;
}

/* ---- the end ---- */

/* What about a claim cannot be true. A context that is given is that of input and output together, but some only say how long the input may be. */
static enum lun_suspect judge(const struct lun_bill *b, const struct lun_trial *t)
{
    const struct lun_usage *u = &t->usage;
    int64_t context = t->target->context, most = t->target->max_output > context ? t->target->max_output : context;
    if (u->suspect || !u->known) return u->suspect;
    if (context && (u->input > context || u->output > most)) return LUN_SUSPECT_CONTEXT;
    return b->output >= 0 && u->output > b->output ? LUN_SUSPECT_OUTPUT : LUN_SUSPECT_NONE;
}

static void doubt(struct lun_question *q, struct lun_trial *t, enum lun_suspect why)
{
    if (!why) return;
    t->suspect = why;
    lun_metrics_add(q->registry->metrics, LUN_METRIC_USAGE_SUSPECT, (const char *[]){ t->target->name, lun_suspect_name(why) }, 1);
    lun_doubt_raise(t->target, why);
}

/* Whether it was us who ended it, in the middle. */
static bool hung_up(const struct lun_question *q, const struct lun_trial *t)
{
    return q->stream && (t->kind == LUN_KIND_CANCELLED || t->kind == LUN_KIND_FIRST_BYTE_TIMEOUT || t->kind == LUN_KIND_IDLE_TIMEOUT || t->kind == LUN_KIND_TOTAL_TIMEOUT);
}

/* Whether it cost anything, where no limit hangs on it: an error answer does not. */
static bool took_any(const struct lun_trial *t)
{
    return t->status < 300 && (t->kind == LUN_KIND_OK || t->first_byte || t->kind == LUN_KIND_CANCELLED);
}

/* What it probably took. */
static void estimate(struct lun_question *q, struct lun_trial *t, uint64_t text_bytes)
{
    t->usage = (struct lun_usage){ .known = true, .estimated = true, .services = t->usage.services, .input = lun_question_tokens_once(q), .output = (int64_t)((text_bytes + 3) / 4) };
}

enum ending { RELEASED, SETTLED, ORPHANED };

/* Usage is not known: what the attempt costs then. */
static enum ending without_usage(struct lun_bill *b, struct lun_question *q, struct lun_trial *t, uint64_t text_bytes)
{
    const struct lun_provider *p = t->target->provider;
    bool ours = hung_up(q, t);
    if (t->billed == LUN_BILLED_NO) return RELEASED;
    bool estimated = b->limited ? ours && p->cancel_stops_billing : !(ours && p->cancel_goes_on);
    if (!estimated && b->bound >= 0) return ORPHANED;
    if (b->limited || took_any(t)) estimate(q, t, text_bytes);
    return SETTLED;
}

/* Whether what was told of usage is only what it came to so far: some providers tell it with each event of a stream, and this one did not get to its
 * end. Where hanging up ends the bill that is all there is to pay. */
static bool unfinished(const struct lun_bill *b, const struct lun_question *q, const struct lun_trial *t)
{
    if (!t->usage.known || !q->stream || b->told_all) return false;
    return b->limited && b->bound >= 0 && !(hung_up(q, t) && t->target->provider->cancel_stops_billing);
}

/* An answer that names no class of service is billed as the request asked. */
static int64_t cost_of(const struct lun_bill *b, struct lun_trial *t)
{
    if (!t->usage.known) return 0;
    if (!t->usage.services) t->usage.services = b->services;
    int64_t cost = lun_price_cost(&t->target->price, &t->usage);
    return t->usage.estimated && b->limited && cost > b->hold.bound ? b->hold.bound : cost;
}

/* By its kind. A provider that had begun to stream has worked for somebody, whatever it says afterwards. */
static enum lun_billed billed(const struct lun_bill *b, const struct lun_question *q, const struct lun_trial *t)
{
    enum lun_billed by_kind = t->sent && !b->unsent ? lun_kind_billed(t->kind) : LUN_BILLED_NO;
    return by_kind == LUN_BILLED_NO && q->stream && t->first_byte ? LUN_BILLED_MAYBE : by_kind;
}

void lun_bill_end(struct lun_bill *b, struct lun_question *q, struct lun_trial *t, uint64_t text_bytes)
{
    struct lun_settlement how = { .kind = t->kind, .hedge = t->hedge, .cancelled = t->kind == LUN_KIND_CANCELLED, .stream = q->stream, .limited = b->limited,
                                  .latency = t->sent ? t->ended - t->sent : 0 };
    t->billed = billed(b, q, t);
    if (!b->hold.open) return;
    t->bound = b->hold.bound;
    enum lun_suspect why = judge(b, t);
    enum ending end = SETTLED;
    if (t->usage.known) t->billed = LUN_BILLED_YES;
    else end = without_usage(b, q, t, text_bytes);
    if (end != RELEASED) t->cost = cost_of(b, t);
    if (end == SETTLED && unfinished(b, q, t) && t->cost < b->hold.bound) end = ORPHANED;
    if (end == ORPHANED) t->cost = b->hold.bound;
    if (!why && b->limited && t->cost > b->hold.bound) why = LUN_SUSPECT_HOLD;
    doubt(q, t, why);
    how.orphaned = end == ORPHANED;
    how.suspect = why != LUN_SUSPECT_NONE;
    how.cost = t->cost;
    how.usage = t->usage;
    lun_hold_end(&b->hold, &how);
}

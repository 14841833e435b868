/* `spend`: what is used and left of each budget that the request counts to. */
#include "script/bind.h"
#include <math.h>
#include <string.h>
#include "base/loop.h"
#include "state/charge.h"

struct budget { struct lun_box box; const char *name; struct lun_account_view view; };     /* name: as `spend` has it */

#define GET(name) static int get_##name(lua_State *L, struct lun_mind *mind, void *self)

const char *lun_budget_called(const void *self) { return ((const struct budget *)self)->view.name; }

/* Where no account is kept, as for the key of an open gateway: nothing used, no limit. */
static struct lun_account_view nothing(const char *name)
{
    return (struct lun_account_view){ .name = name, .limit = -1, .left = INT64_MAX, .resets_in = LUN_NEVER };
}

static int push_budget(lua_State *L, struct lun_mind *mind, const char *name, struct lun_account *account)
{
    struct budget *b = lun_class_new(L, &lun_budget_class, mind, sizeof *b);
    b->name = name;
    b->view = nothing(name);
    if (account) lun_account_look(account, lun_question_wall(mind->question), &b->view);
    return 1;
}

/* Without a budget of its own a request still has used something. */
static int push_request(lua_State *L, struct lun_mind *mind)
{
    const struct lun_question *q = mind->question;
    push_budget(L, mind, "request", q->own_account);
    if (q->own_account) return 1;
    struct budget *b = lua_touserdata(L, -1);
    for (const struct lun_trial *t = q->trials; t; t = t->next) {
        if (t->closed) b->view.used += t->cost;
        else b->view.held += t->bound > 0 ? t->bound : 0;
    }
    return 1;
}

GET(request) { (void)self; return push_request(L, mind); }
GET(key)
{
    const struct lun_client_rule *c = mind->question->client;
    (void)self;
    return push_budget(L, mind, "key", c ? c->account : NULL);
}
GET(team)
{
    const struct lun_client_rule *c = mind->question->client;
    (void)self;
    return push_budget(L, mind, "team", c && c->team ? c->team->account : NULL);
}
GET(total) { (void)self; return push_budget(L, mind, "total", mind->question->snapshot->total_account); }

/* A tag that has budgets, by its name: what the request is charged to. */
static bool push_tag(lua_State *L, struct lun_mind *mind, const char *name)
{
    const struct lun_tag_budget *t = lun_charge_tag(mind->question, name);
    if (t) push_budget(L, mind, t->name, lun_charge_account(mind->question, t));
    return t;
}

static const struct lun_member spend_members[] = {
    { "request", NULL, "budget", "this request's own (`x-lunette-budget`)", get_request, .fixed = true },
    { "key", NULL, "budget", "that of the client's key", get_key, .fixed = true },
    { "team", NULL, "budget", "that of its team", get_team, .fixed = true },
    { "total", NULL, "budget", "that of the whole gateway", get_total, .fixed = true },
    { 0 } };
const struct lun_class lun_spend_class = {
    .id = LUN_CLASS_spend, .name = "spend", .members = spend_members, .named = push_tag, .lua = "---@field [string] lunette.Budget of the request's value of a tag in budgets.tags",
    .doc = "The budgets that this request counts to: the second argument of `budget`. Each is there, limited or not: `spend.team.left < 1` never fails. Of a tag in "
           "`budgets.tags` that of the request's value, by the tag's name: `spend.tenant.share`; nothing is used of it, and it has no limit, where the request has no value." };

void lun_push_spend(lua_State *L, struct lun_mind *mind)
{
    if (lun_bind_kept(L, mind, LUN_KEPT_SPEND)) return;
    lun_class_new(L, &lun_spend_class, mind, sizeof(struct lun_box));
    lun_bind_keep(L, mind, LUN_KEPT_SPEND);
}

/* ---- one budget ---- */

#define VIEW (&((struct budget *)self)->view)

GET(used) { (void)mind; return lun_push_usd(L, VIEW->used); }
GET(held) { (void)mind; return lun_push_usd(L, VIEW->held); }
GET(limit) { (void)mind; return lun_push_usd(L, VIEW->limit); }
GET(left)
{
    (void)mind;
    if (VIEW->left == INT64_MAX || VIEW->limit < 0) lua_pushnumber(L, HUGE_VAL);
    else lua_pushnumber(L, (double)VIEW->left / LUN_NANO_PER_USD);
    return 1;
}
GET(share) { (void)mind; lua_pushnumber(L, VIEW->limit < 0 ? 0 : VIEW->share); return 1; }
GET(soft)
{
    (void)mind;
    if (VIEW->soft > 0) lua_pushnumber(L, VIEW->soft);
    else lua_pushnil(L);
    return 1;
}
GET(resets_in) { (void)mind; return lun_push_seconds(L, VIEW->resets_in, -1); }

static void which(struct lun_buf *out, void *self) { lun_buf_puts(out, ((struct budget *)self)->name); }

static const struct lun_member budget_members[] = {
    { "used", NULL, "number", "USD spent in this period", get_used },
    { "held", NULL, "number", "USD held for what is under way", get_held },
    { "limit", NULL, "number or nil", "USD; nil: there is none", get_limit },
    { "left", NULL, "number", "USD; `math.huge` without a limit", get_left },
    { "share", NULL, "number", "(used + held) / limit; 0 without a limit", get_share },
    { "soft", NULL, "number or nil", "the share from which on it warns", get_soft },
    { "resets_in", NULL, "number", "seconds until the next period; `math.huge`: never", get_resets_in },
    { 0 } };
const struct lun_class lun_budget_class = { .id = LUN_CLASS_budget, .name = "budget", .doc = "One budget, as it was when it was looked at: `spend.team`.", .members = budget_members, .which = which };

#include "gateway/explanation.h"
#include "base/json.h"
#include "base/loop.h"
#include "gateway/bill.h"
#include "gateway/recognise.h"
#include "state/health.h"
#include <string.h>

static void put_seconds(struct lun_buf *out, const char *name, lun_us t)
{
    if (t >= 0 && t != LUN_NEVER) lun_json_member_number(out, name, lun_us_to_seconds(t));
}

static void put_usd(struct lun_buf *out, const char *name, int64_t nano)
{
    char text[24];
    lun_price_text(nano, text);
    lun_json_put_key(out, name);
    lun_buf_puts(out, text);
}

static void put_if(struct lun_buf *out, const char *name, const char *text) { if (text && *text) lun_json_member_text(out, name, text); }

/* ---- hooks ---- */

static void put_looked_at(const struct lun_traced_hook *h, struct lun_buf *out)
{
    bool any = false;
    for (const struct lun_traced *e = h->first; e; e = e->next) {
        if (e->target) continue;
        if (!any) lun_json_put_key(out, "looked_at");
        lun_buf_puts(out, any ? ",{" : "[{");
        any = true;
        lun_json_member_text(out, "name", e->name);
        if (e->value) lun_json_put_key(out, "value"), lun_buf_puts(out, e->value);
        put_if(out, "at", e->at);
        lun_buf_putc(out, '}');
    }
    if (any) lun_buf_putc(out, ']');
}

static void put_hook(const struct lun_traced_hook *h, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "hook", lun_hook_name(h->hook));
    if (h->about) lun_json_member_int(out, "attempt", h->about);
    put_if(out, "at", h->at);
    put_if(out, "ended_at", h->returned);
    if (h->answer) lun_json_put_key(out, "answer"), lun_buf_puts(out, h->answer);
    put_if(out, "error", h->error);
    put_looked_at(h, out);
    lun_buf_putc(out, '}');
}

static void put_hooks(const struct lun_trace *t, struct lun_buf *out)
{
    if (!t) return;
    lun_json_put_key(out, "hooks");
    lun_buf_putc(out, '[');
    for (const struct lun_traced_hook *h = t->first; h; h = h->next) {
        if (h != t->first) lun_buf_putc(out, ',');
        put_hook(h, out);
    }
    lun_buf_putc(out, ']');
    if (t->more) lun_json_member_int(out, "not_traced", t->more);
}

/* ---- targets ---- */

struct reason { const char *why, *by, *at; };   /* by: "rule" or "policy" */

static bool among(const struct lun_target *const *list, int n, const struct lun_target *t)
{
    while (n--) if (list[n] == t) return true;
    return false;
}

static const struct lun_traced_hook *last_of(const struct lun_question *q, enum lun_hook hook)
{
    const struct lun_traced_hook *last = NULL;
    for (const struct lun_traced_hook *h = q->trace ? q->trace->first : NULL; h; h = h->next) if (h->hook == hook) last = h;
    return last;
}

static const char *line_of(const struct lun_traced_hook *h) { return !h ? "" : *h->returned ? h->returned : h->at; }

static struct reason policy(const struct lun_question *q, enum lun_hook hook, const char *at, const char *why)
{
    return (struct reason){ why, "policy", at && *at ? at : line_of(last_of(q, hook)) };
}

static struct reason rule(const char *why) { return (struct reason){ why, "rule", "" }; }

/* NULL: its key may ask for it, by a name of its own or the one that was asked for. */
static const char *not_allowed(struct lun_question *q, const struct lun_target *t)
{
    const struct lun_snapshot *s = q->snapshot;
    const char *why = NULL;
    for (int m = 0; m < s->n_models; m++) {
        const struct lun_model *model = &s->models[m];
        if (!among(model->targets, model->n_targets, t)) continue;
        if (model->pattern && model != q->entry) why = "its model is a pattern, which no name was asked for by";
        else if (lun_client_may(q->client, model == q->entry ? q->model : model->name)) return NULL;
        else why = lun_arena_printf(q->arena, "the key \"%s\" may not use the model \"%s\"", q->client->name, model->name);
    }
    return why;
}

static const char *cannot(struct lun_question *q, const struct lun_target *t)
{
    int64_t tokens = lun_question_tokens_once(q), output = q->max_tokens > 0 ? q->max_tokens : 0;
    unsigned lacks = t->supports_given ? ~t->supports : 0;
    if (q->has_tools && lacks & LUN_SUPPORTS_TOOLS) return "it takes no tools";
    if (q->has_image && lacks & LUN_SUPPORTS_IMAGES) return "it takes no images";
    if (q->has_schema && lacks & LUN_SUPPORTS_SCHEMA) return "it takes no schema";
    if (t->context && tokens + output > t->context)
        return lun_arena_printf(q->arena, "its context takes %lld tokens, and this is about %lld", (long long)t->context, (long long)(tokens + output));
    if (t->max_output && output > t->max_output)
        return lun_arena_printf(q->arena, "it answers with %lld tokens at most, and %lld are wanted", (long long)t->max_output, (long long)output);
    return NULL;
}

/* NULL: it does not. */
static const char *rests(struct lun_question *q, const struct lun_target *t)
{
    lun_us now = q->loop->now, until = lun_health_rests_until(t, now);
    if (until == LUN_NEVER) return "none of its keys is accepted";
    return until ? lun_arena_printf(q->arena, "it rests for %lld s more", (long long)((until - now + LUN_SECOND - 1) / LUN_SECOND)) : NULL;
}

static struct reason traced(struct lun_question *q, const struct lun_target *t, const struct lun_traced *e, enum lun_hook hook)
{
    const char *why = NULL;
    if (!strcmp(e->name, "can")) why = cannot(q, t);
    if (!strcmp(e->name, "healthy")) why = rests(q, t);
    if (!strcmp(e->name, "asked")) why = "it is not of the model asked for";
    return policy(q, hook, e->at, lun_arena_printf(q->arena, why ? "targets:%s: %s" : "targets:%s left it out", e->name, why));
}

static struct reason noted(const struct lun_question *q, const struct lun_target *t)
{
    for (const struct lun_dropped *d = q->dropped; d; d = d->next)
        if (d->target == t) return strstr(d->why, "hook `budget`") ? policy(q, LUN_HOOK_BUDGET, NULL, d->why) : rule(d->why);
    return (struct reason){0};
}

static bool default_plan(const struct lun_question *q)
{
    const struct lun_traced_hook *h = last_of(q, LUN_HOOK_SELECT);
    for (int i = 0; i < q->n_notes; i++) if (!strcmp(q->notes[i].name, "plan_empty")) return true;
    return q->pinned || !h || h->error || !h->answer || !strstr(h->answer, "\"plan\":");
}

static struct reason reason(struct lun_question *q, const struct lun_target *t)
{
    enum lun_hook hook = LUN_HOOK_SELECT;
    const char *why = not_allowed(q, t);
    const struct lun_traced *e = lun_trace_of(q->trace, t, &hook);
    if (why) return rule(why);
    struct reason r = noted(q, t);
    if (r.why) return r;
    if (!among(q->targets, q->n_targets, t)) return policy(q, LUN_HOOK_BUDGET, NULL, "the hook `budget` left it out");
    if (!q->plan) return rule("it did not come to a plan");
    if (e && !default_plan(q)) return traced(q, t, e, hook);
    if ((why = rests(q, t))) return rule(why);
    if (q->pinned) return rule("the request goes on with what another has answered, and stays with it");
    if (q->trace && default_plan(q)) return rule("it is not of the model asked for");
    return policy(q, LUN_HOOK_SELECT, NULL, q->trace ? "`select` did not choose it" : "the plan does not hold it");
}

static int step_of(const struct lun_question *q, const struct lun_target *t)
{
    for (int i = 0; q->plan && i < q->plan->n; i++) if (q->plan->steps[i].target == t) return i + 1;
    return 0;
}

static void put_target(struct lun_question *q, const struct lun_target *t, struct lun_buf *out)
{
    int step = step_of(q, t);
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "target", t->name);
    lun_json_member_text(out, "model", t->model);
    if (step) lun_json_member_int(out, "step", step);
    else {
        struct reason r = reason(q, t);
        lun_json_member_text(out, "dropped", r.why);
        lun_json_member_text(out, "by", r.by);
        put_if(out, "at", r.at);
    }
    lun_buf_putc(out, '}');
}

static void put_targets(struct lun_question *q, struct lun_buf *out)
{
    const struct lun_snapshot *s = q->snapshot;
    int most = q->trace ? LUN_EXPLAINED_TARGETS : LUN_EXPLAINED_UNASKED, n = s->n_targets < most ? s->n_targets : most;
    lun_json_put_key(out, "targets");
    lun_buf_putc(out, '[');
    for (int i = 0; i < n; i++) {
        if (i) lun_buf_putc(out, ',');
        put_target(q, &s->targets[i], out);
    }
    lun_buf_putc(out, ']');
    if (n < s->n_targets) lun_json_member_int(out, "more_targets", s->n_targets - n);
}

/* ---- the plan ---- */

static void put_edits(const struct lun_edit *edits, struct lun_buf *out)
{
    static const char *const names[] = { [LUN_EDIT_SET] = "set", [LUN_EDIT_DROP] = "drop", [LUN_EDIT_RENAME] = "rename" };
    if (!edits) return;
    lun_json_put_key(out, "body");
    lun_buf_putc(out, '[');
    for (const struct lun_edit *e = edits; e; e = e->next) {
        lun_buf_puts(out, e == edits ? "{" : ",{");
        lun_json_member_text(out, names[e->what], e->field);
        if (e->what == LUN_EDIT_RENAME) lun_json_member_text(out, "to", e->value);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static void put_money(struct lun_question *q, const struct lun_step *step, struct lun_buf *out)
{
    struct lun_bill bill = {0};
    const char *why = NULL;
    bool fits = lun_bill_fits(&bill, q, step, &why);
    if (bill.bound >= 0) put_usd(out, "hold", bill.bound);
    if (bill.cap >= 0) lun_json_member_int(out, "output_tokens", bill.cap);
    lun_json_member_bool(out, "fits", fits);
    if (!fits) put_if(out, "why", why);
}

static void put_step(struct lun_question *q, const struct lun_step *s, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "target", s->target->name);
    put_seconds(out, "connect_s", s->connect);
    put_seconds(out, "first_byte_s", s->first_byte);
    put_seconds(out, "idle_s", s->idle);
    put_seconds(out, "total_s", s->total);
    if (s->hedge_after) put_seconds(out, "hedge_after_s", s->hedge_after);
    if (s->wait) put_seconds(out, "wait_s", s->wait);
    put_if(out, "warning", s->warning);
    put_edits(s->edits, out);
    put_money(q, s, out);
    put_if(out, "rests", rests(q, s->target));
    lun_buf_putc(out, '}');
}

static void put_plan(struct lun_question *q, struct lun_buf *out)
{
    if (!q->plan) return;
    lun_json_put_key(out, "plan");
    lun_buf_putc(out, '{');
    if (q->trace) {
        bool by_default = default_plan(q);
        lun_json_member_text(out, "by", by_default ? "default" : "policy");
        if (!by_default) put_if(out, "at", line_of(last_of(q, LUN_HOOK_SELECT)));
    }
    lun_json_put_key(out, "steps");
    lun_buf_putc(out, '[');
    for (int i = 0; i < q->plan->n; i++) {
        if (i) lun_buf_putc(out, ',');
        put_step(q, &q->plan->steps[i], out);
    }
    lun_buf_puts(out, "]}");
}

/* ---- budgets ---- */

static void put_budget(struct lun_question *q, struct lun_account *account, struct lun_buf *out)
{
    struct lun_account_view v;
    lun_account_look(account, lun_question_wall(q), &v);
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "name", v.name);
    put_usd(out, "used", v.used);
    put_usd(out, "held", v.held);
    if (v.limit >= 0) put_usd(out, "limit", v.limit), put_usd(out, "left", v.left);
    put_seconds(out, "resets_in", v.resets_in);
    lun_buf_putc(out, '}');
}

static void put_budgets(struct lun_question *q, struct lun_buf *out)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    int n = lun_question_accounts(q, accounts);
    lun_json_put_key(out, "budgets");
    lun_buf_putc(out, '[');
    for (int i = 0; i < n; i++) {
        if (i) lun_buf_putc(out, ',');
        put_budget(q, accounts[i], out);
    }
    lun_buf_putc(out, ']');
}

/* ---- all of it ---- */

static void put_input(struct lun_question *q, struct lun_buf *out)
{
    lun_json_put_key(out, "input");
    lun_buf_putc(out, '{');
    lun_json_member_int(out, "tokens", lun_question_tokens_once(q));
    if (q->max_tokens >= 0) lun_json_member_int(out, "max_tokens", q->max_tokens);
    lun_json_member_int(out, "messages", lun_question_messages(q));
    lun_json_member_int(out, "words", lun_question_words(q));
    if (lun_question_has_code(q)) lun_json_member_bool(out, "has_code", true);
    if (q->has_tools) lun_json_member_bool(out, "has_tools", true);
    if (q->has_image) lun_json_member_bool(out, "has_image", true);
    if (q->has_schema) lun_json_member_bool(out, "has_schema", true);
    lun_buf_putc(out, '}');
}

void lun_explanation_put(struct lun_question *q, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    if (q->model && q->n_asked) {       /* else it was refused before it was understood */
        put_input(q, out);
        put_hooks(q->trace, out);
        put_targets(q, out);
        put_plan(q, out);
        put_budgets(q, out);
    }
    lun_buf_putc(out, '}');
}

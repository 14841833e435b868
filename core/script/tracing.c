#include "script/tracing.h"
#include <math.h>
#include <string.h>
#include "script/cpu.h"

enum { VALUE_MOST = 100 };      /* bytes of a value, as JSON; a longer one is not told */

/* "policy.lua:7" of the policy's own code; "" where a tail call has taken its place. */
static const char *place(lua_State *L, char out[128])
{
    lun_cpu_place_theirs(L, out, 128);
    size_t n = strlen(out);
    if (n > 2) out[n - 2] = 0;          /* its ": " */
    return out;
}

/* What a client wrote is told to nobody who asks why. */
static bool is_private(const char *of, const char *part) { return !strcmp(of, "request") && (!strcmp(part, "text") || !strcmp(part, "headers")); }

static void put_value(lua_State *L, struct lun_buf *out)
{
    size_t n;
    const char *text;
    switch (lua_type(L, -1)) {
    case LUA_TNIL: lun_buf_puts(out, "null"); break;
    case LUA_TBOOLEAN: lun_json_put_bool(out, lua_toboolean(L, -1)); break;
    case LUA_TNUMBER: lun_json_put_number(out, lua_tonumber(L, -1)); break;
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &n);
        if (n < VALUE_MOST) lun_json_put_string(out, text, n);
        break;
    default: break;
    }
}

void lun_tracing_read(lua_State *L, const struct lun_mind *mind, const char *of, const char *part)
{
    char name[128], where[128];
    struct lun_buf value = {0};
    if (!lun_traced(mind)) return;
    snprintf(name, sizeof name, "%s.%s", of, part);
    if (!is_private(of, part)) put_value(L, &value);
    lun_trace_read(mind->question->trace, name, value.n ? value.at : NULL, value.n, place(L, where));
    lun_buf_free(&value);
}

static bool is_in(const struct lun_set *s, const struct lun_target *t)
{
    for (int i = 0; i < s->n; i++) if (s->item[i] == t) return true;
    return false;
}

void lun_tracing_narrowed(lua_State *L, const struct lun_mind *mind, const struct lun_set *before, const struct lun_set *after, const char *by)
{
    char where[128];
    if (!lun_traced(mind) || before->n == after->n) return;
    place(L, where);
    for (int i = 0; i < before->n; i++)
        if (!is_in(after, before->item[i])) lun_trace_left_out(mind->question->trace, before->item[i], by, where);
}

void lun_tracing_wished(lua_State *L, const struct lun_mind *mind)
{
    static const char *const names[] = { [LUN_WISH_SLEEP] = "lunette.sleep", [LUN_WISH_HTTP] = "lunette.http", [LUN_WISH_CHAT] = "lunette.chat" };
    char where[128];
    if (!lun_traced(mind)) return;
    lun_trace_read(mind->question->trace, names[mind->wish.kind], NULL, 0, place(L, where));
}

/* ---- what it answered ---- */

static void put_names(struct lun_buf *out, const char *key, const struct lun_target *const *targets, int n)
{
    lun_json_put_key(out, key);
    lun_buf_putc(out, '[');
    for (int i = 0; i < n; i++) {
        if (i) lun_buf_putc(out, ',');
        lun_json_put_text(out, targets[i]->name);
    }
    lun_buf_putc(out, ']');
}

static void put_plan(struct lun_buf *out, const struct lun_plan *p)
{
    const struct lun_target *targets[LUN_STEPS];
    for (int i = 0; i < p->n; i++) targets[i] = p->steps[i].target;
    put_names(out, "plan", targets, p->n);
}

static void put_refusal(struct lun_buf *out, const struct lun_answer *a)
{
    lun_json_member_int(out, "refuse", a->status);
    if (a->message) lun_json_member_text(out, "message", a->message);
}

static void put_answer(struct lun_buf *out, const struct lun_answer *a)
{
    if (a->n_labels) lun_json_member_texts(out, "labels", a->labels, a->n_labels);
    switch (a->verb) {
    case LUN_DEFAULT: break;
    case LUN_AGAIN: lun_json_member_number(out, "again_s", lun_us_to_seconds(a->delay)); break;
    case LUN_NEXT: lun_json_member_number(out, "next_s", lun_us_to_seconds(a->delay)); break;
    case LUN_TRY:
        lun_json_member_text(out, "try", a->step.target->name);
        lun_json_member_number(out, "delay_s", lun_us_to_seconds(a->delay));
        break;
    case LUN_STOP: lun_json_member_bool(out, "stop", true); break;
    case LUN_REFUSE: put_refusal(out, a); break;
    case LUN_DEGRADE: put_names(out, "degrade", a->targets, a->n_targets); break;
    case LUN_PLAN: put_plan(out, &a->plan); break;
    }
}

void lun_tracing_done(const struct lun_mind *mind, const char *line)
{
    const struct lun_thought *t = &mind->thought;
    struct lun_buf answer = {0};
    if (!lun_traced(mind) || t->state == LUN_THOUGHT_WISHES) return;
    lun_buf_putc(&answer, '{');
    if (t->state == LUN_THOUGHT_DONE) put_answer(&answer, &t->answer);
    lun_buf_putc(&answer, '}');
    lun_trace_end(mind->question->trace, line, answer.n > 2 ? lun_buf_text(&answer) : NULL, t->state == LUN_THOUGHT_FAILED ? t->error : NULL);
    lun_buf_free(&answer);
}

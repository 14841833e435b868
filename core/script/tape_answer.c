/* What a hook has come to, as it stands on a tape: all of it, and in one way only, so that equal decisions are equal bytes. */
#include <string.h>
#include "base/json.h"
#include "script/tape.h"

static void put_ms(struct lun_buf *out, const char *name, lun_us time, lun_us unsaid)
{
    if (time == unsaid) return;
    lun_json_put_key(out, name);
    lun_buf_parts(out, time, 3);
}

static void put_edits(struct lun_buf *out, const struct lun_edit *edits)
{
    static const char *const names[] = { [LUN_EDIT_SET] = "set", [LUN_EDIT_DROP] = "drop", [LUN_EDIT_RENAME] = "rename" };
    lun_json_put_key(out, "edits");
    lun_buf_putc(out, '[');
    for (const struct lun_edit *e = edits; e; e = e->next) {
        lun_buf_printf(out, "%s[\"%s\",", e == edits ? "" : ",", names[e->what]);
        lun_json_put_text(out, e->field);
        if (e->value) lun_buf_putc(out, ',');
        if (e->what == LUN_EDIT_SET) lun_buf_puts(out, e->value);
        else if (e->value) lun_json_put_text(out, e->value);
        lun_buf_putc(out, ']');
    }
    lun_buf_putc(out, ']');
}

static void put_step(struct lun_buf *out, const struct lun_step *s)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "target", s->target->name);
    put_ms(out, "connect_ms", s->connect, LUN_UNSET);
    put_ms(out, "first_byte_ms", s->first_byte, LUN_UNSET);
    put_ms(out, "idle_ms", s->idle, LUN_UNSET);
    put_ms(out, "total_ms", s->total, LUN_UNSET);
    put_ms(out, "hedge_after_ms", s->hedge_after, 0);
    put_ms(out, "wait_ms", s->wait, LUN_UNSET);
    if (s->warning) lun_json_member_text(out, "warning", s->warning);
    if (s->edits) put_edits(out, s->edits);
    lun_buf_putc(out, '}');
}

static void put_plan(struct lun_buf *out, const struct lun_plan *p)
{
    lun_json_put_key(out, "plan");
    lun_buf_putc(out, '[');
    for (int i = 0; i < p->n; i++) {
        if (i) lun_buf_putc(out, ',');
        put_step(out, &p->steps[i]);
    }
    lun_buf_putc(out, ']');
}

static void put_degrade(struct lun_buf *out, const struct lun_answer *a)
{
    lun_json_put_key(out, "degrade");
    lun_buf_putc(out, '[');
    for (int i = 0; i < a->n_targets; i++) {
        if (i) lun_buf_putc(out, ',');
        lun_json_put_text(out, a->targets[i]->name);
    }
    lun_buf_putc(out, ']');
}

static void put_decision(struct lun_buf *out, const struct lun_answer *a)
{
    static const char *const words[] = { [LUN_AGAIN] = "again", [LUN_NEXT] = "next", [LUN_TRY] = "try", [LUN_STOP] = "stop" };
    switch (a->verb) {
    case LUN_DEFAULT: break;
    case LUN_PLAN:    put_plan(out, &a->plan); break;
    case LUN_DEGRADE: put_degrade(out, a); break;
    case LUN_REFUSE:
        lun_json_member_int(out, "refuse", a->status);
        if (a->message) lun_json_member_text(out, "message", a->message);
        break;
    default:
        lun_json_member_text(out, "verb", words[a->verb]);
        if (a->verb == LUN_TRY) lun_json_member_text(out, "target", a->step.target->name);
        put_ms(out, "delay_ms", a->delay, 0);
    }
    if (a->n_labels) lun_json_member_texts(out, "labels", a->labels, a->n_labels);
}

void lun_tape_put_answer(struct lun_buf *out, const struct lun_thought *t)
{
    lun_buf_putc(out, '{');
    if (t->state == LUN_THOUGHT_FAILED) {
        lun_json_member_text(out, "failed", t->reason);
        lun_json_member_text(out, "error", t->error);
    } else put_decision(out, &t->answer);
    lun_buf_putc(out, '}');
}

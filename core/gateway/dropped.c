#include "gateway/dropped.h"
#include "base/loop.h"
#include "gateway/record.h"
#include "state/health.h"

#define MOST 64

static bool noted(const struct lun_question *q, const struct lun_target *t)
{
    for (const struct lun_dropped *d = q->dropped; d; d = d->next) if (d->target == t) return true;
    return false;
}

void lun_dropped_note(struct lun_question *q, const struct lun_target *t, const char *why)
{
    if (noted(q, t)) return;
    struct lun_dropped *d = lun_arena_alloc(q->arena, sizeof *d);
    *d = (struct lun_dropped){ .next = q->dropped, .target = t, .why = why };
    q->dropped = d;
}

static bool tried(const struct lun_question *q, const struct lun_target *t)
{
    for (const struct lun_trial *trial = q->trials; trial; trial = trial->next) if (trial->target == t) return true;
    return false;
}

static bool planned(const struct lun_question *q, const struct lun_target *t)
{
    for (int i = 0; i < q->plan->n; i++) if (q->plan->steps[i].target == t) return true;
    return false;
}

/* NULL: it was not left out. */
static const char *reason(struct lun_question *q, const struct lun_target *t)
{
    lun_us now = q->loop->now, until;
    if (!q->plan || tried(q, t)) return NULL;
    if ((until = lun_health_rests_until(t, now)) == LUN_NEVER) return "none of its keys is accepted";
    if (until) return lun_arena_printf(q->arena, "rests for %lld s more", (long long)((until - now + LUN_SECOND - 1) / LUN_SECOND));
    return planned(q, t) ? NULL : "the plan does not hold it";
}

static int put(struct lun_buf *out, const struct lun_target *t, const char *why, int n)
{
    if (!why || n == MOST) return n;
    if (!n) lun_record_key(out, LUN_LOG_DROPPED), lun_buf_putc(out, '{');
    lun_json_member_text(out, t->name, why);
    return n + 1;
}

void lun_dropped_put(struct lun_question *q, struct lun_buf *out)
{
    int n = 0;
    for (const struct lun_dropped *d = q->dropped; d; d = d->next) n = put(out, d->target, d->why, n);
    for (int i = 0; i < q->n_asked; i++)
        if (!noted(q, q->asked[i])) n = put(out, q->asked[i], reason(q, q->asked[i]), n);
    if (n) lun_buf_putc(out, '}');
}

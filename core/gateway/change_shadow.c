/* A version that is asked beside the current one for a while, and then taken over or not (shadow.h). To begin with it and to end it are changes, one at a
 * time with all others; between them there are none, so others may come: another version that is taken over ends it, other settings count for it too. */
#include "base/alloc.h"
#include "gateway/change.h"
#include "gateway/shadow.h"
#include "state/registry.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct lun_change change;
typedef struct lun_shadowing shadowing;

const char *lun_shadow_state_name(enum lun_shadow_state s)
{
#define X(id, name, ...) name,
    static const char *const names[] = { LUN_SHADOW_STATES(X) };
#undef X
    return names[s];
}

static lun_us now(const struct lun_changes *c) { return c->options.reactor->loop.now; }
static void ring_at(struct lun_changes *c, lun_us at) { lun_timer_set(&c->options.reactor->loop, &c->shadow.timer, at); }

static void forget(shadowing *s)
{
    lun_shadow_unref(s->shadow);
    lun_buf_free(&s->figures);
    free(s->version), free(s->live), free(s->by), free(s->why);
    s->shadow = NULL;
    s->version = s->live = s->by = s->why = NULL;
}

void lun_change_shadow_free(struct lun_changes *c)
{
    ring_at(c, LUN_NEVER);
    forget(&c->shadow);
}

/* ---- its end ---- */

/* No worker has it any more. What was seen stays, as text; all else goes. */
static void end(struct lun_changes *c, enum lun_shadow_state state, const char *by, const char *why)
{
    shadowing *s = &c->shadow;
    ring_at(c, LUN_NEVER);
    s->state = state;
    s->ended = lun_clock_wall();
    free(s->why);
    s->why = lun_strdup(why);
    if (s->shadow) lun_comparison_show(s->shadow->comparison, &s->figures);
    lun_shadow_unref(s->shadow);
    s->shadow = NULL;
    lun_log(c->options.log, LUN_LOG_INFO, "shadow %s: %s (%s): %s", s->version, lun_shadow_state_name(state), by, why);
    lun_change_audit_shadow(c, by, why, s->live, s->version, lun_shadow_state_name(state));
}

static bool is_under_way(const struct lun_changes *c) { return c->shadow.state == LUN_SHADOW_RUNNING; }

void lun_change_shadow_replaced(change *ch)
{
    struct lun_changes *c = ch->of;
    char why[200];
    if (!is_under_way(c)) return;
    snprintf(why, sizeof why, "%s was taken over meanwhile", ch->snapshot->version);
    lun_texts_add(ch, &ch->result.warnings, "the shadow %s has ended with that: it was compared with the version before", c->shadow.version);
    end(c, LUN_SHADOW_REPLACED, ch->by, why);
}

void lun_change_shadow_cut(struct lun_changes *c) { if (is_under_way(c)) end(c, LUN_SHADOW_STOPPED, "lunette", "the gateway is stopping"); }

/* What has become of taking it over. */
void lun_change_shadow_settled(change *ch)
{
    struct lun_changes *c = ch->of;
    if (c->shadow.state != LUN_SHADOW_ADOPTING) return;
    if (ch->result.status == 200) end(c, LUN_SHADOW_ADOPTED, ch->by, ch->why);
    else end(c, LUN_SHADOW_REFUSED, ch->by, ch->result.errors.n ? ch->result.errors.at[0] : "it could not be taken over");
}

static void leave(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)e, (void)index;
    lun_worker_unshadow(w);
}

static void stopped(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    if (is_under_way(ch->of)) end(ch->of, LUN_SHADOW_STOPPED, ch->by, *ch->why ? ch->why : "asked for");
    lun_change_finish(ch);
}

void lun_change_unshadow(change *ch)
{
    if (is_under_way(ch->of)) lun_change_everywhere(ch, leave, stopped);
    else lun_change_fail(ch, 409, "there is no shadow");
}

/* ---- its time is over ---- */

static void built(struct lun_job *j)
{
    change *ch = lun_change_of(j);
    if (ch->of->stopping) lun_change_fail(ch, 503, "the gateway is stopping");
    else if (ch->snapshot) lun_change_take_over(ch);
    else lun_change_finish(ch);
}

/* From here on it is a reload, of the files as they were when it began. */
static void take_over(change *ch, const char *figures)
{
    struct lun_changes *c = ch->of;
    c->shadow.state = LUN_SHADOW_ADOPTING;
    ch->kind = LUN_CHANGE_RELOAD;
    ch->why = lun_arena_printf(&ch->arena, "as a shadow for %.6g s: %s", lun_us_to_seconds(now(c) - c->shadow.began), figures);
    ch->tried = lun_snapshot_ref(c->shadow.shadow->snapshot);
    lun_change_aside(ch, lun_change_build_tried, built);
}

static void judged(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    struct lun_changes *c = ch->of;
    struct lun_buf text = {0};
    if (!is_under_way(c)) { lun_change_fail(ch, 503, "the gateway is stopping"); return; }
    if (c->shadow.sick) lun_buf_puts(&text, "its hooks have run out of processor time or memory again and again: ");
    bool good = lun_comparison_within(c->shadow.shadow->comparison, &c->shadow.terms.bounds, &text) && !c->shadow.sick;
    if (good) take_over(ch, lun_buf_text(&text));
    else {
        end(c, LUN_SHADOW_REFUSED, ch->by, lun_buf_text(&text));
        lun_change_fail(ch, 422, "%s is not taken over: %s", c->shadow.version, lun_buf_text(&text));
    }
    lun_buf_free(&text);
}

void lun_change_shadow_due(change *ch)
{
    if (is_under_way(ch->of) && ch->shadow_number == ch->of->shadow.number) lun_change_everywhere(ch, leave, judged);
    else if (ch->waiters) lun_change_fail(ch, 409, "there is no shadow");
    else lun_change_finish(ch);             /* it has ended before its turn came */
}

static void time_is_over(struct lun_timer *t)
{
    struct lun_changes *c = (struct lun_changes *)(void *)((char *)t - offsetof(struct lun_changes, shadow.timer));
    lun_changes_shadow_due(c, c->shadow.by, NULL, NULL);
}

static void fell_ill(struct lun_post *p)
{
    struct lun_changes *c = (struct lun_changes *)(void *)((char *)p - offsetof(struct lun_changes, shadow.ill));
    if (!is_under_way(c) || c->shadow.sick) return;
    c->shadow.sick = true;
    ring_at(c, LUN_NEVER);
    lun_changes_shadow_due(c, c->shadow.by, NULL, NULL);
}

/* Before there is one: a worker may say so as soon as it has it. */
void lun_change_shadow_init(struct lun_changes *c)
{
    c->shadow.timer.fire = time_is_over;
    c->shadow.ill.run = fell_ill;
}

static void is_sick(void *self)
{
    struct lun_changes *c = self;
    lun_reactor_post(c->options.reactor, &c->shadow.ill);
}

/* ---- its beginning ---- */

static void begun(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    struct lun_changes *c = ch->of;
    shadowing *s = &c->shadow;
    forget(s);
    ch->n_kits = 0;
    s->shadow = ch->shadow;
    ch->shadow = NULL;
    s->state = LUN_SHADOW_RUNNING;
    s->terms = *ch->terms;
    s->sick = false;
    s->number++;
    s->ended = 0;
    s->version = lun_strdup(s->shadow->snapshot->version);
    s->live = lun_strdup(c->current->version);
    s->by = lun_strdup(ch->by);
    s->began = now(c);
    s->since = lun_clock_wall();
    ring_at(c, now(c) + s->terms.lasts);
    lun_log(c->options.log, LUN_LOG_INFO, "shadow %s (%s): beside %s for %.6g s, asked about %.4g %% of the requests", s->version, s->by, s->live,
            lun_us_to_seconds(s->terms.lasts), 100 * s->terms.share);
    lun_change_audit_shadow(c, s->by, "", s->live, s->version, lun_shadow_state_name(LUN_SHADOW_RUNNING));
    if (c->stopping) lun_change_shadow_cut(c);
    lun_change_finish(ch);
}

static void stand_beside(struct lun_errand *e, struct lun_worker *w, int index)
{
    change *ch = lun_change_on(e);
    lun_worker_shadow(w, ch->kits[index], ch->tuning);
}

static void made(struct lun_job *j)
{
    change *ch = lun_change_of(j);
    struct lun_changes *c = ch->of;
    if (c->stopping) { lun_change_fail(ch, 503, "the gateway is stopping"); return; }
    if (!ch->shadow) { lun_change_finish(ch); return; }
    ch->shadow->share = ch->terms->share;
    ch->shadow->sick = is_sick;
    ch->shadow->self = c;
    lun_registry_bind_aside(ch->shadow->aside, ch->shadow->snapshot);
    ch->tuning = lun_change_fitting(c->settings, ch->shadow->snapshot);
    lun_change_everywhere(ch, stand_beside, begun);
}

void lun_change_shadow(change *ch)
{
    if (is_under_way(ch->of)) lun_change_fail(ch, 409, "there is a shadow already, %s: `lunette shadow stop` ends it", ch->of->shadow.version);
    else lun_change_aside(ch, lun_change_build_shadow, made);
}

/* ---- other settings ---- */

void lun_change_shadow_tune(change *ch, const struct lun_tuning *all)
{
    struct lun_changes *c = ch->of;
    if (is_under_way(c)) ch->shadow_tuning = lun_change_fitting(all, c->shadow.shadow->snapshot);
}

/* ---- as it is shown ---- */

static void put_terms(const shadowing *s, lun_us at, struct lun_buf *out)
{
    const struct lun_comparison_bounds *b = &s->terms.bounds;
    lun_json_member_number(out, "seconds", lun_us_to_seconds(s->terms.lasts));
    if (s->state == LUN_SHADOW_RUNNING) {
        lun_us ends = s->began + s->terms.lasts;
        lun_json_member_number(out, "left", ends > at ? lun_us_to_seconds(ends - at) : 0);
    }
    lun_json_member_number(out, "share", s->terms.share);
    lun_json_put_key(out, "bounds");
    lun_buf_putc(out, '{');
    lun_json_member_number(out, "errors", b->errors);
    lun_json_member_number(out, "cost", b->cost);
    lun_json_member_int(out, "requests", b->requests);
    lun_buf_putc(out, '}');
}

void lun_changes_show_shadow(const struct lun_changes *c, struct lun_buf *out)
{
    const shadowing *s = &c->shadow;
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "state", lun_shadow_state_name(s->state));
    if (s->version) {
        lun_json_member_text(out, "version", s->version);
        lun_json_member_text(out, "live", s->live);
        lun_json_member_text(out, "by", s->by);
        lun_json_member_time(out, "since", s->since);
        if (s->ended > s->since) lun_json_member_time(out, "ended", s->ended);
        if (s->why) lun_json_member_text(out, "why", s->why);
        put_terms(s, now(c), out);
        if (s->shadow) lun_comparison_show(s->shadow->comparison, out);
        else lun_buf_putc(out, ','), lun_buf_add(out, s->figures.at, s->figures.n);
    }
    lun_buf_putc(out, '}');
}

void lun_changes_show_versions(const struct lun_changes *c, struct lun_buf *out)
{
    const shadowing *s = &c->shadow;
    lun_versions_show(&c->versions, out);
    if (!is_under_way(c)) return;
    out->n--;                               /* its last brace */
    lun_json_put_key(out, "shadow");
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "version", s->version);
    lun_json_member_text(out, "live", s->live);
    lun_json_member_text(out, "by", s->by);
    lun_json_member_time(out, "since", s->since);
    lun_buf_puts(out, "}}");
}

/* GET /admin/events: one look at everything each second, for all who listen; nothing is looked at while nobody does. */
#include "base/alloc.h"
#include "base/loop.h"
#include "gateway/admin_parts.h"
#include "gateway/view.h"
#include "gateway/view_budget.h"
#include <stdlib.h>

#define EVERY LUN_SECOND
enum { LISTENERS = 16, PATIENCE = 10 /* seconds of somebody who does not read */, BUDGETS = 20 };

struct listener {
    struct asked asked;                 /* first, as who waits is known by it */
    struct listener *next;
    int waits;                          /* events in a row that he was not sent, as he had not taken those before */
};

static void put_look(struct lun_admin *a, struct lun_buf *out)
{
    const struct lun_snapshot *s = lun_changes_current(a->options.changes);
    lun_buf_puts(out, "data: {\"report\":");
    lun_admin_put_report(a, true, out);
    lun_buf_puts(out, ",\"providers\":");
    lun_view_providers(s, a->options.reactor->loop.now, out);
    lun_buf_puts(out, ",\"budgets\":");
    lun_view_budgets(s, lun_changes_keyring(a->options.changes), lun_clock_wall(), BUDGETS, out);
    lun_buf_puts(out, ",\"versions\":");
    lun_versions_show(lun_changes_versions(a->options.changes), out);
    lun_buf_puts(out, ",\"shadow\":");
    lun_changes_show_shadow(a->options.changes, out);
    lun_buf_puts(out, "}\n\n");
}

static void forget(struct lun_admin *a, struct listener **at)
{
    struct listener *l = *at;
    *at = l->next;
    a->n_listeners--;
    free(l);
}

/* False: he is not to be told more. */
static bool tell(struct listener *l, const struct lun_buf *look)
{
    if (!l->asked.exchange) return false;
    l->waits = l->asked.full ? l->waits + 1 : 0;
    if (l->waits > PATIENCE) { lun_exchange_end(l->asked.exchange, false); return false; }
    if (!l->waits) lun_exchange_bytes(l->asked.exchange, look->at, look->n);
    return true;
}

static void tell_all(struct lun_admin *a)
{
    struct lun_buf look = {0};
    put_look(a, &look);
    for (struct listener **at = &a->listeners; *at; ) {
        if (tell(*at, &look)) at = &(*at)->next;
        else forget(a, at);
    }
    lun_buf_free(&look);
}

static void on_tick(struct lun_timer *t)
{
    struct lun_admin *a = (struct lun_admin *)((char *)t - offsetof(struct lun_admin, tick));
    lun_loop_wake(&a->options.reactor->loop, &a->told);
}

static void on_told(struct lun_task *t)
{
    struct lun_admin *a = (struct lun_admin *)((char *)t - offsetof(struct lun_admin, told));
    if (a->listeners) tell_all(a);
    if (a->listeners) lun_timer_set(&a->options.reactor->loop, &a->tick, a->options.reactor->loop.now + EVERY);
}

static void drop_gone(struct lun_admin *a)
{
    for (struct listener **at = &a->listeners; *at; )
        if ((*at)->asked.exchange) at = &(*at)->next;
        else forget(a, at);
}

void lun_admin_events(struct visit *v)
{
    static const struct lun_pair headers[] = { { "content-type", "text/event-stream" }, { "cache-control", "no-store" }, { "x-accel-buffering", "no" } };
    struct lun_admin *a = v->admin;
    struct lun_buf look = {0};
    drop_gone(a);
    if (a->n_listeners == LISTENERS) { lun_admin_refuse(v->exchange, 503, "16 listen already: this path has so many at most"); return; }
    lun_exchange_head(v->exchange, 200, headers, 3, LUN_LENGTH_UNKNOWN);
    if (lun_slice_is(v->head->method, "HEAD")) { lun_exchange_end(v->exchange, true); return; }
    struct listener *l = lun_zalloc(sizeof *l);
    *l = (struct listener){ .asked.exchange = v->exchange, .next = a->listeners };
    a->listeners = l;
    a->n_listeners++;
    lun_exchange_set_user(v->exchange, &l->asked);
    put_look(a, &look);
    lun_exchange_bytes(v->exchange, look.at, look.n);
    lun_buf_free(&look);
    a->tick.fire = on_tick;
    a->told.run = on_told;
    if (!a->tick.at) lun_timer_set(&a->options.reactor->loop, &a->tick, a->options.reactor->loop.now + EVERY);
}

void lun_admin_events_end(struct lun_admin *a)
{
    for (; a->listeners; forget(a, &a->listeners))
        if (a->listeners->asked.exchange) lun_exchange_end(a->listeners->asked.exchange, true);
}

void lun_admin_events_free(struct lun_admin *a)
{
    while (a->listeners) forget(a, &a->listeners);
    lun_timer_set(&a->options.reactor->loop, &a->tick, LUN_NEVER);
    lun_loop_forget(&a->options.reactor->loop, &a->told);
}

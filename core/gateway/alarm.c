#include "gateway/alarm.h"
#include "base/alloc.h"
#include "base/json.h"
#include "state/health.h"
#include "state/names.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK   LUN_SECOND
enum { MOST = 1024 };               /* crossings that wait for the reactor's next turn */

struct crossing { enum lun_crossing what; char *budget; int64_t limit, used, held; double soft; lun_us ends; };

struct lun_alarm {
    struct lun_reactor *reactor;
    struct lun_registry *registry;
    struct lun_webhook *webhook;
    const struct lun_log *log;
    struct lun_snapshot *snapshot;
    struct lun_timer timer;
    struct lun_names down;          /* providers, by name: bool */
    pthread_mutex_t lock;
    struct crossing *seen; int n, missed;
    struct lun_post post;
};

/* ---- budgets ---- */

/* Under the money's lock: written down, told later. */
static void crossed(void *self, const struct lun_account_view *v, enum lun_crossing what)
{
    struct lun_alarm *a = self;
    pthread_mutex_lock(&a->lock);
    if (a->n == MOST) a->missed++;
    else {
        if (!(a->n & (a->n - 1))) a->seen = lun_realloc(a->seen, (size_t)(a->n ? 2 * a->n : 1) * sizeof *a->seen);
        a->seen[a->n++] = (struct crossing){ what, lun_strdup(v->name), v->limit, v->used, v->held, v->soft, v->ends };
    }
    pthread_mutex_unlock(&a->lock);
    lun_reactor_post(a->reactor, &a->post);
}

static void put_usd(struct lun_buf *out, const char *key, int64_t nano)
{
    char text[24];
    lun_price_text(nano, text);
    lun_json_put_key(out, key);
    lun_buf_puts(out, text);
}

static void tell_webhook(struct lun_alarm *a, const struct crossing *c, const char *ends)
{
    struct lun_buf out = {0};
    lun_buf_putc(&out, '{');
    lun_json_member_text(&out, "budget", c->budget);
    put_usd(&out, "limit", c->limit), put_usd(&out, "used", c->used), put_usd(&out, "held", c->held);
    if (c->soft > 0) lun_json_put_key(&out, "soft"), lun_buf_printf(&out, "%.6g", c->soft);
    lun_json_put_key(&out, "resets_at");
    if (*ends) lun_json_put_text(&out, ends);
    else lun_buf_puts(&out, "null");
    lun_buf_putc(&out, '}');
    lun_webhook_send(a->webhook, c->what == LUN_CROSSED_SOFT ? "budget.soft" : "budget.exhausted", lun_buf_text(&out), lun_clock_wall());
    lun_buf_free(&out);
}

/* "tag tenant=acme" counts as "tag tenant": the values are clients' own texts. */
static void count(struct lun_alarm *a, const struct crossing *c)
{
    char label[200];
    snprintf(label, sizeof label, "%s", c->budget);
    if (!strncmp(label, "tag ", 4)) label[strcspn(label, "=")] = 0;
    lun_metrics_add(a->registry->metrics, c->what == LUN_CROSSED_SOFT ? LUN_METRIC_BUDGET_SOFT : LUN_METRIC_BUDGET_EXHAUSTED, (const char *[]){ label }, 1);
}

static void tell(struct lun_alarm *a, const struct crossing *c)
{
    char used[24], limit[24], held[24], ends[25] = "";
    lun_price_text(c->used, used), lun_price_text(c->limit, limit), lun_price_text(c->held, held);
    if (c->ends != LUN_NEVER) lun_clock_text(c->ends, ends);
    if (c->what == LUN_CROSSED_SOFT) lun_log(a->log, LUN_LOG_WARN, "budget \"%s\": %s of %s USD are spent, %.4g %% or more of its limit%s%s", c->budget, used, limit,
                                             100 * c->soft, *ends ? "; it begins anew at " : "", ends);
    else lun_log(a->log, LUN_LOG_WARN, "budget \"%s\" is used up: %s of %s USD are spent and %s held, and a request was refused%s%s", c->budget, used, limit, held,
                 *ends ? "; it begins anew at " : "", ends);
    count(a, c);
    tell_webhook(a, c, ends);
}

static void tell_all(struct lun_alarm *a)
{
    pthread_mutex_lock(&a->lock);
    struct crossing *seen = a->seen;
    int n = a->n, missed = a->missed;
    a->seen = NULL;
    a->n = a->missed = 0;
    pthread_mutex_unlock(&a->lock);
    for (int i = 0; i < n; i++) {
        tell(a, &seen[i]);
        free(seen[i].budget);
    }
    if (missed) lun_log(a->log, LUN_LOG_WARN, "budgets: %d more have passed their soft share or refuse requests", missed);
    free(seen);
}

static void posted(struct lun_post *p) { tell_all((struct lun_alarm *)(void *)((char *)p - offsetof(struct lun_alarm, post))); }

/* ---- providers ---- */

static void tell_provider(struct lun_alarm *a, const struct lun_provider *p, bool down)
{
    struct lun_buf out = {0};
    lun_buf_puts(&out, "{\"provider\":");
    lun_json_put_text(&out, p->name);
    lun_buf_putc(&out, '}');
    lun_webhook_send(a->webhook, down ? "provider.down" : "provider.up", lun_buf_text(&out), lun_clock_wall());
    lun_buf_free(&out);
}

static void look_at(struct lun_alarm *a, const struct lun_provider *p)
{
    bool *was = lun_names_get(&a->down, p->name), is = lun_health_down_since(a->snapshot, p) != 0;
    if (!was) lun_names_put(&a->down, p->name, was = lun_zalloc(sizeof *was));
    if (*was != is) tell_provider(a, p, is);
    *was = is;
}

static void look(struct lun_timer *t)
{
    struct lun_alarm *a = (struct lun_alarm *)(void *)((char *)t - offsetof(struct lun_alarm, timer));
    for (int i = 0; i < a->snapshot->n_providers; i++) look_at(a, &a->snapshot->providers[i]);
    lun_timer_set(&a->reactor->loop, t, a->reactor->loop.now + LOOK);
}

/* ---- its life ---- */

struct lun_alarm *lun_alarm_new(struct lun_reactor *reactor, struct lun_registry *registry, struct lun_webhook *webhook, const struct lun_log *log)
{
    struct lun_alarm *a = lun_zalloc(sizeof *a);
    *a = (struct lun_alarm){ .reactor = reactor, .registry = registry, .webhook = webhook, .log = log, .timer.fire = look, .post.run = posted };
    pthread_mutex_init(&a->lock, NULL);
    lun_money_watch(registry->money, &(struct lun_money_watch){ a, crossed });
    return a;
}

/* Without a webhook nobody wants to know of providers: the log has it already. */
void lun_alarm_adopt(struct lun_alarm *a, struct lun_snapshot *s)
{
    lun_snapshot_ref(s);
    lun_snapshot_unref(a->snapshot);
    a->snapshot = s;
    lun_webhook_aim(a->webhook, s->webhook, s->webhook_secret);
    lun_timer_set(&a->reactor->loop, &a->timer, s->webhook ? a->reactor->loop.now + LOOK : LUN_NEVER);
}

void lun_alarm_stop(struct lun_alarm *a)
{
    if (!a) return;
    lun_money_watch(a->registry->money, NULL);
    lun_timer_set(&a->reactor->loop, &a->timer, LUN_NEVER);
    tell_all(a);
    lun_snapshot_unref(a->snapshot);
    a->snapshot = NULL;
}

void lun_alarm_free(struct lun_alarm *a)
{
    if (!a) return;
    lun_names_free(&a->down, free);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

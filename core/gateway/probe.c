#include "gateway/probe.h"
#include "base/alloc.h"
#include "state/metrics.h"
#include "state/registry.h"
#include "state/doubt.h"
#include <stdio.h>
#include <stdlib.h>

struct out {                            /* one probe on its way */
    struct out *next, **at;
    struct lun_probe *of;
    const struct lun_provider *provider; int key;
    bool for_key;                       /* about the key, not about the provider */
    struct lun_probe_call *call;
};
struct lun_probe {
    struct lun_timer timer;
    struct lun_probe_ways ways;
    const struct lun_log *log;
    lun_us *keys_due;
    struct out *calls;
};

static lun_us now(const struct lun_probe *p) { return p->ways.loop->now; }

/* ---- saying so ---- */

static void say_key(struct lun_probe *p, const struct lun_provider *provider, int key)
{
    const char *name = provider->keys[key].name;
    int news = lun_health_key_news(provider, key);
    if (news > 0) lun_log(p->log, LUN_LOG_WARN, "provider %s does not accept the key %s (401): it is out of use until GET /models takes it, which is tried every 30 s", provider->name, name);
    if (news < 0) lun_log(p->log, LUN_LOG_INFO, "provider %s takes the key %s again", provider->name, name);
}

static void say_state(struct lun_probe *p, const struct lun_provider *provider, const char *why)
{
    int news = lun_health_down_news(p->ways.snapshot, provider);
    double every = lun_us_to_seconds(provider->probe.every);
    if (news < 0) lun_log(p->log, LUN_LOG_INFO, "provider %s is back: %s", provider->name, why);
    else if (news && !provider->probe.every) lun_log(p->log, LUN_LOG_WARN, "provider %s is down: it failed %d times in a row", provider->name, provider->health.failures);
    else if (news) lun_log(p->log, LUN_LOG_WARN, "provider %s is down: it failed %d times in a row; it is probed every %g s", provider->name, provider->health.failures, every);
}

static void say_doubt(struct lun_probe *p, const struct lun_target *t)
{
    int news = lun_doubt_news(t);
    if (news > 0) lun_log(p->log, LUN_LOG_WARN, "target %s is closed to requests under a hard limit: provider %s has claimed %s. Set its price, context or max_output right, "
                          "or open it again: POST /admin/targets {\"target\":\"%s\"}", t->name, t->provider->name, lun_suspect_what(lun_doubt_of(t)), t->name);
    if (news < 0) lun_log(p->log, LUN_LOG_INFO, "target %s is open to requests under a hard limit again", t->name);
}

static void say_probe(struct lun_probe *p, const struct out *o, const struct lun_probe_answer *a)
{
    lun_metrics_add(p->ways.registry->metrics, LUN_METRIC_PROBES, (const char *[]){ o->provider->name, lun_probe_result_name(a->result) }, 1);
    const struct lun_target *t = o->for_key ? NULL : o->provider->probe.target;
    if (t && a->cost > 0) lun_metrics_add(p->ways.registry->metrics, LUN_METRIC_COST, (const char *[]){ t->model, t->name }, (double)a->cost / 1e9);
}

/* ---- one probe ---- */

static void drop(struct out *o)
{
    lun_probe_call_free(o->call);
    if ((*o->at = o->next)) o->next->at = o->at;
    free(o);
}

static const struct out *under_way(const struct lun_probe *p, const struct lun_provider *provider, bool for_key, int key)
{
    for (const struct out *o = p->calls; o; o = o->next)
        if (o->provider == provider && o->for_key == for_key && (!for_key || o->key == key)) return o;
    return NULL;
}

static void concluded(void *self, struct lun_probe_call *call, const struct lun_probe_answer *a);

static void begin(struct lun_probe *p, const struct lun_provider *provider, int key, bool for_key)
{
    const struct lun_probe_rules *rules = &provider->probe;
    if (under_way(p, provider, for_key, key)) return;
    struct out *o = lun_zalloc(sizeof *o);
    *o = (struct out){ .of = p, .next = p->calls, .at = &p->calls, .provider = provider, .key = key, .for_key = for_key };
    if (o->next) o->next->at = &o->next;
    p->calls = o;
    struct lun_probe_ask ask = { .provider = provider, .key = key, .path = for_key || !rules->path ? "/models" : rules->path,
                                 .target = for_key ? NULL : rules->target, .max_tokens = rules->max_tokens,
                                 .timeout = rules->timeout ? rules->timeout : LUN_DEFAULT_PROBE_TIMEOUT };
    o->call = lun_probe_call_new(&p->ways, &ask, concluded, o);
}

static void about_key(struct lun_probe *p, const struct out *o, const struct lun_probe_answer *a)
{
    if (o->key < 0) return;
    bool before = lun_health_key_checked(o->provider, o->key, true);
    if (!before && o->provider->check_keys && a->result != LUN_PROBE_GOOD && a->result != LUN_PROBE_REFUSED)
        lun_log(p->log, LUN_LOG_WARN, "provider %s: the key %s could not be checked (%s): it is used all the same", o->provider->name, o->provider->keys[o->key].name,
                a->status ? lun_probe_result_name(a->result) : lun_kind_text(a->kind));
    if (a->result == LUN_PROBE_GOOD) lun_health_key_back(o->provider, o->key);
    if (a->result == LUN_PROBE_REFUSED) lun_health_key_out(o->provider, o->key);
    say_key(p, o->provider, o->key);
}

/* A key that is taken again tells of the provider too, where it is this that its probes ask. */
static bool about_provider(const struct out *o, const struct lun_probe_answer *a)
{
    const struct lun_probe_rules *rules = &o->provider->probe;
    return !o->for_key || (a->result == LUN_PROBE_GOOD && rules->every && !rules->completion);
}

static void concluded(void *self, struct lun_probe_call *call, const struct lun_probe_answer *a)
{
    struct out *o = self;
    struct lun_probe *p = o->of;
    const struct lun_provider *provider = o->provider;
    char why[64];
    (void)call;
    say_probe(p, o, a);
    about_key(p, o, a);
    if (about_provider(o, a)) {
        lun_health_probed(p->ways.snapshot, provider, a->result, a->status, a->began, now(p));
        snprintf(why, sizeof why, "its probe was answered (%d)", a->status);
        say_state(p, provider, a->result == LUN_PROBE_GOOD ? why : "a request was answered");
    }
    bool other = !o->for_key && a->result == LUN_PROBE_REFUSED && lun_probe_key(provider) >= 0;
    drop(o);
    if (other) begin(p, provider, lun_probe_key(provider), false);
}

/* ---- looking ---- */

/* When it is to be probed; LUN_NEVER: it is not down. */
static lun_us due(const struct lun_probe *p, const struct lun_provider *provider)
{
    lun_us since = provider->probe.every ? lun_health_down_since(p->ways.snapshot, provider) : 0, last = lun_health_last_probe(provider).at;
    if (!since || under_way(p, provider, false, 0)) return LUN_NEVER;
    return (since > last ? since : last) + provider->probe.every;
}

static void look_at_keys(struct lun_probe *p, const struct lun_provider *provider, bool all)
{
    for (int key = 0; key < provider->n_keys; key++) {
        bool out = lun_health_key_is_out(provider, key);
        say_key(p, provider, key);
        if ((all && out) || (provider->check_keys && !out && !lun_health_key_checked(provider, key, false))) begin(p, provider, key, true);
    }
}

/* The time at which it is to be looked at again, if that is before `until`. */
static lun_us look_at(struct lun_probe *p, const struct lun_provider *provider, lun_us until)
{
    say_state(p, provider, "a request was answered");
    lun_us at = due(p, provider);
    if (at > now(p)) return at < until ? at : until;
    int key = lun_probe_key(provider);
    if (key >= -1) begin(p, provider, key, false);
    return until;
}

static void turn(struct lun_timer *t)
{
    struct lun_probe *p = (struct lun_probe *)(void *)t;
    const struct lun_snapshot *s = p->ways.snapshot;
    bool keys = now(p) >= *p->keys_due;
    lun_us next = now(p) + LUN_PROBE_LOOK;
    if (keys) *p->keys_due = now(p) + LUN_PROBE_EVERY;
    for (int i = 0; i < s->n_providers; i++) {
        look_at_keys(p, &s->providers[i], keys);
        next = look_at(p, &s->providers[i], next);
    }
    for (int i = 0; i < s->n_targets; i++) say_doubt(p, &s->targets[i]);
    lun_timer_set(p->ways.loop, &p->timer, next);
}

struct lun_probe *lun_probe_new(const struct lun_probe_ways *ways, const struct lun_log *log, lun_us *keys_due)
{
    struct lun_probe *p = lun_zalloc(sizeof *p);
    *p = (struct lun_probe){ .timer.fire = turn, .ways = *ways, .log = log, .keys_due = keys_due };
    if (!*keys_due) *keys_due = ways->loop->now + LUN_PROBE_EVERY;
    lun_timer_set(ways->loop, &p->timer, ways->loop->now);
    return p;
}

bool lun_probe_asks(const struct lun_probe *p) { return p && p->calls; }

void lun_probe_free(struct lun_probe *p)
{
    if (!p) return;
    while (p->calls) drop(p->calls);
    lun_timer_set(p->ways.loop, &p->timer, LUN_NEVER);
    free(p);
}

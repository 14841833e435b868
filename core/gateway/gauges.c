#include "gateway/gauges.h"
#include "state/budget.h"
#include "state/canary.h"
#include "state/doubt.h"
#include "state/health.h"
#include "state/tag_values.h"

#define LONGEST (24 * 3600 * LUN_SECOND)        /* a rest that ends only when somebody acts is shown as this */

static double seconds(lun_us t) { return (double)t / 1e6; }
static double usd(int64_t nano) { return (double)nano / 1e9; }

static void set_target(struct lun_metrics *m, const struct lun_target *t, lun_us now)
{
    struct lun_health_view v;
    lun_health_look(t, now, &v);
    lun_metrics_set(m, LUN_METRIC_CIRCUIT, &t->name, v.circuit == LUN_CIRCUIT_OPEN ? 1 : v.circuit == LUN_CIRCUIT_HALF_OPEN ? 0.5 : 0);
    enum lun_suspect doubt = lun_doubt_of(t);
    if (doubt) lun_metrics_set(m, LUN_METRIC_DOUBTED, (const char *[]){ t->name, lun_suspect_name(doubt) }, 1);
    lun_us left = v.rests_until > now ? v.rests_until - now : 0;
    lun_metrics_set(m, LUN_METRIC_REST, &t->name, seconds(left < LONGEST ? left : LONGEST));
}

static void set_provider(struct lun_metrics *m, const struct lun_snapshot *s, const struct lun_provider *p, lun_us now)
{
    enum lun_provider_health is = lun_health_provider(s, p, now);
    lun_metrics_set(m, LUN_METRIC_PROVIDER, &p->name, is == LUN_HEALTHY ? 1 : is == LUN_DEGRADED ? 0.5 : 0);
    for (int i = 0; i < p->n_keys; i++) lun_metrics_set(m, LUN_METRIC_KEY, (const char *[]){ p->name, p->keys[i].name }, !lun_health_key_is_out(p, i));
}

static void set_budget(struct lun_metrics *m, struct lun_account *a, lun_us wall)
{
    struct lun_account_view v;
    if (!a) return;
    lun_account_look(a, wall, &v);
    if (v.limit < 0) return;
    lun_metrics_set(m, LUN_METRIC_BUDGET_LIMIT, &v.name, usd(v.limit));
    lun_metrics_set(m, LUN_METRIC_BUDGET_USED, &v.name, usd(v.used));
    lun_metrics_set(m, LUN_METRIC_BUDGET_HELD, &v.name, usd(v.held));
}

/* Not each value's figures: they are clients' own texts, and many. */
static void set_tag(struct lun_metrics *m, const struct lun_tag_budget *t)
{
    int bound;
    lun_metrics_set(m, LUN_METRIC_TAG_VALUES, &t->name, lun_tag_values_count(t->state, &bound));
}

static void set_canary(struct lun_metrics *m, const struct lun_canary_rule *rule, lun_us now)
{
    struct lun_canary_view v;
    lun_canary_view(rule->state, now, &v);
    lun_metrics_set(m, LUN_METRIC_CANARY_SHARE, &rule->name, v.share / 100);
    for (int state = 0; state < LUN_CANARY_STATE_COUNT; state++)
        lun_metrics_set(m, LUN_METRIC_CANARY_STATE, (const char *[]){ rule->name, lun_canary_state_name((enum lun_canary_state)state) }, v.state == (enum lun_canary_state)state);
    lun_metrics_set(m, LUN_METRIC_CANARY_SAMPLES, &rule->name, (double)v.samples);
    if (v.samples) lun_metrics_set(m, LUN_METRIC_CANARY_ERRORS, &rule->name, (double)v.errors / (double)v.samples);
    if (v.p99) lun_metrics_set(m, LUN_METRIC_CANARY_P99, &rule->name, seconds(v.p99));
}

void lun_gauges_set(struct lun_metrics *m, const struct lun_snapshot *s, const struct lun_keyring *ring, lun_us now, lun_us wall)
{
    static const enum lun_metric anew[] = { LUN_METRIC_CIRCUIT, LUN_METRIC_REST, LUN_METRIC_PROVIDER, LUN_METRIC_KEY, LUN_METRIC_DOUBTED,
                                            LUN_METRIC_BUDGET_LIMIT, LUN_METRIC_BUDGET_USED, LUN_METRIC_BUDGET_HELD, LUN_METRIC_TAG_VALUES,
                                            LUN_METRIC_CANARY_SHARE, LUN_METRIC_CANARY_STATE, LUN_METRIC_CANARY_SAMPLES,
                                            LUN_METRIC_CANARY_ERRORS, LUN_METRIC_CANARY_P99 };
    for (size_t i = 0; i < sizeof anew / sizeof *anew; i++) lun_metrics_clear(m, anew[i]);
    for (int i = 0; i < s->n_targets; i++) set_target(m, &s->targets[i], now);
    for (int i = 0; i < s->n_providers; i++) set_provider(m, s, &s->providers[i], now);
    for (int i = 0; i < s->n_canaries; i++) set_canary(m, &s->canaries[i], now);
    for (int i = 0; i < s->n_teams; i++) set_budget(m, s->teams[i].account, wall);
    for (int i = 0; i < s->n_clients; i++) set_budget(m, s->clients[i].account, wall);
    for (int i = 0; ring && i < ring->n; i++) if (!ring->keys[i]->revoked) set_budget(m, ring->keys[i]->rule.account, wall);
    set_budget(m, s->total_account, wall);
    for (int i = 0; i < s->n_tags; i++) set_tag(m, &s->tags[i]);
}

#include "state/registry.h"
#include "base/alloc.h"
#include "state/names.h"
#include "state/shares.h"
#include "state/standing.h"
#include "state/tag_values.h"
#include <stdlib.h>

#define STORE_BYTES   ((size_t)64 << 20)
#define ASIDE_BYTES   ((size_t)8 << 20)
#define AT_LEAST      10        /* retries and hedges that are always allowed in a window */
#define RETRY_WINDOW  (10 * LUN_SECOND)
#define HEDGE_WINDOW  (60 * LUN_SECOND)

struct lun_registry_names { struct lun_names targets, providers, clients, canaries, tags; };

static struct lun_registry *registry_new(struct lun_store *store)
{
    struct lun_registry *r = lun_zalloc(sizeof *r);
    r->money = lun_money_new();
    r->store = store;
    r->cache = lun_cache_new();
    r->retries = lun_quota_new(RETRY_WINDOW, AT_LEAST);
    r->hedges = lun_quota_new(HEDGE_WINDOW, AT_LEAST);
    r->metrics = lun_metrics_new();
    r->shares = lun_shares_new();
    r->names = lun_zalloc(sizeof *r->names);
    return r;
}

struct lun_registry *lun_registry_new(void) { return registry_new(lun_store_new(STORE_BYTES)); }

struct lun_registry *lun_registry_aside(struct lun_registry *of)
{
    struct lun_registry *r = registry_new(lun_store_over(of->store, ASIDE_BYTES));
    r->of = of;
    return r;
}

static void free_target(void *t)   { lun_target_record_free(t); }
static void free_provider(void *p) { lun_provider_record_free(p); }

static void free_canary(void *c)   { lun_canary_free(c); }

static void free_tag(void *v)      { lun_tag_values_free(v); }

static void free_client(void *of)
{
    struct lun_client_state *c = of;
    lun_limiter_free(c->limiter);
    free(c);
}

void lun_registry_empty_cache(struct lun_registry *r)
{
    if (r->emptied.tell) r->emptied.tell(r->emptied.self);      /* first: what is found there meanwhile would be kept here again */
    lun_cache_purge(r->cache);
}

void lun_registry_free(struct lun_registry *r)
{
    if (!r) return;
    lun_shares_free(r->shares);
    lun_names_free(&r->names->targets, free_target);
    lun_names_free(&r->names->providers, free_provider);
    lun_names_free(&r->names->clients, free_client);
    lun_names_free(&r->names->canaries, free_canary);
    lun_names_free(&r->names->tags, free_tag);
    free(r->names);
    lun_metrics_free(r->metrics);
    lun_quota_free(r->hedges);
    lun_quota_free(r->retries);
    lun_cache_free(r->cache);
    lun_store_free(r->store);
    lun_money_free(r->money);
    free(r);
}

static void *make_provider(void) { return lun_provider_record_new(); }
static void *make_target(void)   { return lun_target_record_new(); }

static void *make_canary(void)   { return lun_canary_new(); }

static void *known(struct lun_names *names, const char *name, void *(*make)(void))
{
    void *thing = lun_names_get(names, name);
    if (!thing) lun_names_put(names, name, thing = make());
    return thing;
}

static struct lun_client_state *client_new(struct lun_registry *r, const char *name)
{
    struct lun_client_state *c = lun_zalloc(sizeof *c);
    char *share = lun_printf("key %s", name);
    c->limiter = lun_limiter_new(0, 0);
    lun_names_put(&r->names->clients, name, c);
    lun_shares_add(r->shares, share, c->limiter);
    free(share);
    return c;
}

static struct lun_client_state *client(struct lun_registry *r, const struct lun_client_rule *rule)
{
    struct lun_client_state *c = lun_names_get(&r->names->clients, rule->name);
    if (!c) c = client_new(r, rule->name);
    lun_limiter_set(c->limiter, rule->requests_per_minute, 0);
    return c;
}

static struct lun_account *account(struct lun_registry *r, const char *what, const char *name, const struct lun_budget_rule *rule)
{
    char *full = lun_printf("%s%s", what, name);
    struct lun_account *a = lun_account_get(r->money, full, rule);
    free(full);
    return a;
}

struct lun_canary *lun_registry_canary(struct lun_registry *r, const char *name) { return known(&r->names->canaries, name, make_canary); }

void lun_registry_canaries(struct lun_registry *r, void (*each)(void *self, const char *name, struct lun_canary *), void *self)
{
    struct lun_names_each e = lun_names_each(&r->names->canaries);
    while (lun_names_next(&e)) each(self, e.name, e.thing);
}

static struct lun_tag_values *values_of(struct lun_registry *r, const struct lun_tag_budget *t)
{
    struct lun_tag_values *v = lun_names_get(&r->names->tags, t->name);
    if (!v) lun_names_put(&r->names->tags, t->name, v = lun_tag_values_new(r->money, t->name));
    lun_tag_values_apply(v, t);
    return v;
}

static void leave(void *self, const char *name, struct lun_canary *c)
{
    if (!lun_snapshot_canary(self, name)) lun_canary_leave(c);
}

void lun_registry_apply(struct lun_registry *r, const struct lun_snapshot *s)
{
    for (int i = 0; i < s->n_targets; i++) lun_target_state_apply(&s->targets[i]);
    for (int i = 0; i < s->n_teams; i++) account(r, "team ", s->teams[i].name, &s->teams[i].budget);
    for (int i = 0; i < s->n_clients; i++) {
        account(r, "key ", s->clients[i].name, &s->clients[i].budget);
        client(r, &s->clients[i]);
    }
    account(r, "total", "", &s->total);
    for (int i = 0; i < s->n_tags; i++) values_of(r, &s->tags[i]);
    for (int i = 0; i < s->n_canaries; i++) lun_canary_apply(s->canaries[i].state, &s->canaries[i]);
    lun_registry_canaries(r, leave, (void *)s);
    lun_cache_resize(r->cache, (size_t)s->cache.size);
    r->zone = s->zone;
}

void lun_registry_apply_keys(struct lun_registry *r, const struct lun_snapshot *s, const struct lun_keyring *ring)
{
    for (int i = 0; ring && i < ring->n; i++) {
        const struct lun_key *k = ring->keys[i];
        struct lun_budget_rule budget = k->rule.budget;
        budget.zone = s->zone;
        if (!k->revoked && !lun_snapshot_client_named(s, k->name)) account(r, "key ", k->name, &budget);
    }
}

void lun_registry_bind_key(struct lun_registry *r, struct lun_key *k)
{
    k->rule.budget.zone = r->zone;
    k->rule.account = account(r, "key ", k->name, &k->rule.budget);
    k->rule.state = client(r, &k->rule);
    k->rule.ledger_name = lun_money_name(r->money, k->name);
}

/* The snapshot is not published yet: its parts may still be written to. */
void lun_registry_bind(struct lun_registry *r, struct lun_snapshot *s)
{
    r->zone = s->zone;
    lun_metrics_kept_free(s->counted);
    s->counted = lun_metrics_kept_new(r->metrics, s->n_targets);
    for (int i = 0; i < s->n_providers; i++) {
        struct lun_provider *p = (struct lun_provider *)&s->providers[i];
        p->state = lun_provider_state_new(&s->arena, known(&r->names->providers, p->name, make_provider), p);
    }
    for (int i = 0; i < s->n_targets; i++) {
        struct lun_target *t = (struct lun_target *)&s->targets[i];
        t->ledger_name = lun_money_name(r->money, t->name);
        t->state = lun_target_state_new(&s->arena, known(&r->names->targets, t->name, make_target), t, r->shares);
    }
    for (int i = 0; i < s->n_teams; i++) {
        struct lun_team *t = (struct lun_team *)&s->teams[i];
        t->account = account(r, "team ", t->name, &t->budget);
    }
    for (int i = 0; i < s->n_clients; i++) {
        struct lun_client_rule *c = (struct lun_client_rule *)&s->clients[i];
        c->account = account(r, "key ", c->name, &c->budget);
        c->state = client(r, c);
        c->ledger_name = lun_money_name(r->money, c->name);
    }
    for (int i = 0; i < s->n_canaries; i++) {
        struct lun_canary_rule *c = (struct lun_canary_rule *)&s->canaries[i];
        c->state = lun_registry_canary(r, c->name);
        lun_canary_apply(c->state, c);
    }
    for (int i = 0; i < s->n_tags; i++) ((struct lun_tag_budget *)&s->tags[i])->state = values_of(r, &s->tags[i]);
    s->total_account = account(r, "total", "", &s->total);
    s->ledger_version = lun_money_name(r->money, s->version ? s->version : "");
}

/* ---- beside another one ---- */

static struct lun_provider_state *seen_provider(struct lun_registry *r, struct lun_snapshot *s, const struct lun_provider *p)
{
    struct lun_provider_record *there = lun_names_get(&r->of->names->providers, p->name);
    struct lun_provider_state *state = there ? lun_provider_state_seen(&s->arena, there, p) : NULL;
    return state ? state : lun_provider_state_new(&s->arena, known(&r->names->providers, p->name, make_provider), p);
}

static struct lun_target_state *seen_target(struct lun_registry *r, struct lun_snapshot *s, const struct lun_target *t)
{
    struct lun_target_record *there = lun_names_get(&r->of->names->targets, t->name);
    struct lun_target_state *state = there ? lun_target_state_seen(&s->arena, there, t) : NULL;
    return state ? state : lun_target_state_new(&s->arena, known(&r->names->targets, t->name, make_target), t, r->shares);
}

static struct lun_account *seen_account(struct lun_registry *r, const char *what, const char *name, const struct lun_budget_rule *rule)
{
    char *full = lun_printf("%s%s", what, name);
    struct lun_account *a = lun_account_find(r->of->money, full);
    if (!a) a = lun_account_get(r->money, full, rule);
    free(full);
    return a;
}

static struct lun_client_state *seen_client(struct lun_registry *r, const struct lun_client_rule *rule)
{
    struct lun_client_state *c = lun_names_get(&r->of->names->clients, rule->name);
    return c ? c : client(r, rule);
}

static struct lun_canary *seen_canary(struct lun_registry *r, const struct lun_canary_rule *rule)
{
    struct lun_canary *c = lun_names_get(&r->of->names->canaries, rule->name);
    if (c) return c;
    lun_canary_apply(c = lun_registry_canary(r, rule->name), rule);
    return c;
}

static struct lun_tag_values *seen_values(struct lun_registry *r, const struct lun_tag_budget *t)
{
    struct lun_tag_values *v = lun_names_get(&r->names->tags, t->name), *of = lun_names_get(&r->of->names->tags, t->name);
    if (!v) lun_names_put(&r->names->tags, t->name, v = lun_tag_values_aside(r->money, t->name, of));
    lun_tag_values_apply(v, t);
    return v;
}

void lun_registry_bind_aside(struct lun_registry *r, struct lun_snapshot *s)
{
    r->zone = s->zone;
    lun_metrics_kept_free(s->counted);
    s->counted = lun_metrics_kept_new(r->metrics, s->n_targets);
    for (int i = 0; i < s->n_providers; i++) ((struct lun_provider *)&s->providers[i])->state = seen_provider(r, s, &s->providers[i]);
    for (int i = 0; i < s->n_targets; i++) {
        struct lun_target *t = (struct lun_target *)&s->targets[i];
        t->ledger_name = lun_money_name(r->money, t->name);
        t->state = seen_target(r, s, t);
    }
    for (int i = 0; i < s->n_teams; i++) ((struct lun_team *)&s->teams[i])->account = seen_account(r, "team ", s->teams[i].name, &s->teams[i].budget);
    for (int i = 0; i < s->n_clients; i++) {
        struct lun_client_rule *c = (struct lun_client_rule *)&s->clients[i];
        c->account = seen_account(r, "key ", c->name, &c->budget);
        c->state = seen_client(r, c);
        c->ledger_name = lun_money_name(r->money, c->name);
    }
    for (int i = 0; i < s->n_canaries; i++) ((struct lun_canary_rule *)&s->canaries[i])->state = seen_canary(r, &s->canaries[i]);
    for (int i = 0; i < s->n_tags; i++) ((struct lun_tag_budget *)&s->tags[i])->state = seen_values(r, &s->tags[i]);
    s->total_account = seen_account(r, "total", "", &s->total);
    s->ledger_version = lun_money_name(r->money, s->version ? s->version : "");
}

/* A small snapshot bound to a registry, for tests of health and limits: two providers, a ("a/one", "a/two") and b ("b/one"), and clients. */
#ifndef BOUND_H
#define BOUND_H
#include "state/health.h"
#include "state/registry.h"
#include <string.h>

#define S LUN_SECOND

struct bound {
    struct lun_registry *registry;
    struct lun_snapshot *snapshot;
    struct lun_provider *a, *b;
    struct lun_target *one, *two, *other;
    struct lun_client_rule *app, *web;
};

struct setting { int keys; struct lun_health_rules health; int64_t requests, tokens; const char *const *key_texts; };

static inline struct lun_snapshot *unbound_snapshot(const struct setting *with)
{
    static const char *const texts[] = { "sk-first", "sk-second", "sk-third", "sk-fourth" };
    const char *const *key_texts = with->key_texts ? with->key_texts : texts;
    struct lun_snapshot *s = lun_snapshot_new();
    struct lun_provider *p = lun_arena_zalloc(&s->arena, 2 * sizeof *p);
    struct lun_target *t = lun_arena_zalloc(&s->arena, 3 * sizeof *t);
    struct lun_client_rule *c = lun_arena_zalloc(&s->arena, 2 * sizeof *c);
    struct lun_secret *keys = lun_arena_zalloc(&s->arena, 4 * sizeof *keys);
    for (int i = 0; i < with->keys; i++) keys[i] = (struct lun_secret){ "KEY", lun_arena_strdup(&s->arena, key_texts[i]) };
    for (int i = 0; i < 2; i++) p[i] = (struct lun_provider){ .index = i, .name = i ? "b" : "a", .keys = keys, .n_keys = with->keys, .health = with->health };
    static const char *const names[] = { "a/one", "a/two", "b/one" };
    for (int i = 0; i < 3; i++)
        t[i] = (struct lun_target){ .index = i, .name = names[i], .provider = &p[i / 2], .price = lun_price_unknown, .weight = 1,
                                    .requests_per_minute = with->requests, .tokens_per_minute = with->tokens };
    c[0] = (struct lun_client_rule){ .name = "app", .requests_per_minute = 3, .budget = { .limit = -1 } };
    c[1] = (struct lun_client_rule){ .index = 1, .name = "web", .budget = { .limit = -1 } };
    s->providers = p; s->n_providers = 2;
    s->targets = t; s->n_targets = 3;
    s->clients = c; s->n_clients = 2;
    return s;
}

static inline struct lun_snapshot *bound_snapshot(struct lun_registry *r, const struct setting *with)
{
    struct lun_snapshot *s = unbound_snapshot(with);
    lun_registry_bind(r, s);
    return s;
}

static inline void bound_move(struct bound *w, const struct setting *with)      /* a reload: the old snapshot is let go */
{
    struct lun_snapshot *old = w->snapshot;
    struct lun_snapshot *s = w->snapshot = bound_snapshot(w->registry, with);
    w->a = (struct lun_provider *)&s->providers[0]; w->b = (struct lun_provider *)&s->providers[1];
    w->one = (struct lun_target *)&s->targets[0]; w->two = (struct lun_target *)&s->targets[1]; w->other = (struct lun_target *)&s->targets[2];
    w->app = (struct lun_client_rule *)&s->clients[0]; w->web = (struct lun_client_rule *)&s->clients[1];
    lun_snapshot_unref(old);
}

static inline void bound_open(struct bound *w, const struct setting *with)
{
    *w = (struct bound){ .registry = lun_registry_new() };
    bound_move(w, with);
}

static inline void bound_close(struct bound *w)
{
    lun_snapshot_unref(w->snapshot);
    lun_registry_free(w->registry);
}
#endif

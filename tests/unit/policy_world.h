/* A made-up gateway for tests of policies: three providers, five targets of three models, one client in a team, a loop that stands still.
 * A policy is given as text; `ask` makes a question of a chat body. */
#ifndef POLICY_WORLD_H
#define POLICY_WORLD_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "base/loop.h"
#include "script/policy.h"
#include "state/health.h"
#include "state/registry.h"

struct world {
    struct lun_registry *registry;
    struct lun_snapshot *snapshot;
    struct lun_policy *policy;
    struct lun_loop loop;
    struct lun_target *target;          /* 0 a/small, 1 b/small, 2 a/large, 3 c/large, 4 c/odd */
    struct lun_client_rule *client;
    char *error;
};

static inline int64_t usd(double d) { return (int64_t)(d * 1e9); }

static inline void world_target(struct lun_target *t, int i, const char *name, const char *model, const struct lun_provider *p, double in, double out)
{
    t[i] = (struct lun_target){ .index = i, .name = name, .model = model, .upstream = "up", .provider = p, .price = lun_price_unknown, .weight = 1, .facts = "{}" };
    if (in < 0) return;
    t[i].price.input = usd(in);
    t[i].price.output = usd(out);
}

static inline void world_begin(struct world *w)
{
    *w = (struct world){ .registry = lun_registry_new(), .snapshot = lun_snapshot_new() };
    struct lun_snapshot *s = w->snapshot;
    struct lun_provider *p = lun_arena_zalloc(&s->arena, 3 * sizeof *p);
    struct lun_target *t = w->target = lun_arena_zalloc(&s->arena, 5 * sizeof *t);
    struct lun_model *m = lun_arena_zalloc(&s->arena, 3 * sizeof *m);
    struct lun_team *team = lun_arena_zalloc(&s->arena, sizeof *team);
    struct lun_pair *tags = lun_arena_zalloc(&s->arena, sizeof *tags);
    const struct lun_target **of = lun_arena_zalloc(&s->arena, 5 * sizeof *of);
    static const char *const names[] = { "a", "b", "c" };
    for (int i = 0; i < 3; i++) p[i] = (struct lun_provider){ .index = i, .name = names[i], .dialect = "openai", .health = lun_health_rules_default, .timeouts = lun_timeouts_default };
    world_target(t, 0, "a/small", "small", &p[0], 0.42, 0.84);
    world_target(t, 1, "b/small", "small", &p[1], 0.30, 1.00);
    world_target(t, 2, "a/large", "large", &p[0], 8, 24);
    world_target(t, 3, "c/large", "large", &p[2], 15, 75);
    world_target(t, 4, "c/odd", "odd", &p[2], -1, -1);
    t[0].context = 1000; t[0].supports_given = true;
    t[2].facts = "{\"quality\":0.9,\"tags\":[\"fast\",\"eu\"]}";
    t[2].requests_per_minute = 5;
    for (int i = 0; i < 5; i++) of[i] = &t[i];
    m[0] = (struct lun_model){ .name = "small", .targets = of, .n_targets = 2 };
    m[1] = (struct lun_model){ .name = "large", .targets = of + 2, .n_targets = 2 };
    m[2] = (struct lun_model){ .name = "odd", .targets = of + 4, .n_targets = 1 };
    *team = (struct lun_team){ .name = "web", .budget = { .limit = usd(20), .per = LUN_PER_DAY } };
    tags[0] = (struct lun_pair){ "tier", "free" };
    w->client = lun_arena_zalloc(&s->arena, sizeof *w->client);
    *w->client = (struct lun_client_rule){ .name = "app", .team = team, .substitute = true, .tags = tags, .n_tags = 1, .budget = { .limit = usd(5), .per = LUN_PER_DAY, .soft = 0.8 } };
    s->providers = p; s->n_providers = 3;
    s->targets = t; s->n_targets = 5;
    s->models = m; s->n_models = 3;
    lun_snapshot_sort_models(s);
    s->teams = team; s->n_teams = 1;
    s->clients = w->client; s->n_clients = 1;
    lun_registry_bind(w->registry, s);
    w->loop.now = 1000 * LUN_SECOND;
}

/* Loads a policy from its text; NULL in w->policy and w->error when it is not taken. */
static inline void world_load(struct world *w, const char *text)
{
    lun_policy_close(w->policy);
    free(w->error);
    w->error = NULL;
    w->snapshot->policy = (struct lun_file){ "policies/test.lua", text, strlen(text) };
    w->policy = lun_policy_open(w->snapshot, w->registry, LUN_BY_COUNT, &w->error);
}

static inline void world_policy(struct world *w, const char *text)
{
    world_load(w, text);
    if (!w->policy) fail_msg("the policy was not taken: %s", w->error);
}

static inline void world_end(struct world *w)
{
    lun_policy_close(w->policy);
    lun_snapshot_unref(w->snapshot);
    lun_registry_free(w->registry);
    lun_loop_free(&w->loop);
    free(w->error);
}

static inline struct lun_question *ask(struct world *w, const char *body)
{
    struct lun_arena *arena = lun_zalloc(sizeof *arena);
    struct lun_question *q = lun_arena_zalloc(arena, sizeof *q);
    *q = (struct lun_question){ .arena = arena, .snapshot = w->snapshot, .registry = w->registry, .loop = &w->loop, .arrived = w->loop.now,
                                .arrived_wall = 1700000000 * LUN_SECOND, .deadline = w->loop.now + 60 * LUN_SECOND, .id = "0123", .random = 7,
                                .body = body, .body_n = strlen(body), .n = 1, .max_tokens = -1, .budget = -1, .client = w->client, .rest = "" };
    assert_true(lun_json_scan(body, q->body_n, &lun_question_keys, q->fields, &q->scan));
    q->model = lun_json_string_in(lun_json_of(body, &q->fields[LUN_FIELD_model]), true, arena, NULL);
    q->entry = lun_snapshot_model(w->snapshot, q->model, &q->rest);
    const struct lun_target **targets = lun_arena_zalloc(arena, 5 * sizeof *targets), **asked = lun_arena_zalloc(arena, 5 * sizeof *asked);
    q->targets = targets, q->asked = asked;
    for (int i = 0; i < 5; i++) {
        targets[q->n_targets++] = &w->target[i];
        if (!q->entry || !strcmp(w->target[i].model, q->entry->name)) asked[q->n_asked++] = &w->target[i];
    }
    return q;
}

static inline void over(struct world *w, struct lun_question *q)
{
    struct lun_arena *arena = q->arena;
    if (w->policy) lun_policy_forget(w->policy, q);
    lun_arena_free(arena);
    free(arena);
}

#define HELLO "{\"model\":\"small\",\"messages\":[{\"role\":\"system\",\"content\":\"Be kind\"},{\"role\":\"user\",\"content\":\"hello my world\"}]}"

/* An attempt that ended, as the walk would have written it down. */
static inline struct lun_trial *tried(struct world *w, struct lun_question *q, const struct lun_target *t, enum lun_kind kind, int status)
{
    struct lun_trial *trial = lun_arena_zalloc(q->arena, sizeof *trial), **end = &q->trials;
    while (*end) end = &(*end)->next;
    int number = 1;
    for (struct lun_trial *o = q->trials; o; o = o->next) number++;
    *trial = (struct lun_trial){ .number = number, .try = 1, .target = t, .key = -1, .closed = true, .kind = kind, .status = status, .billed = lun_kind_billed(kind),
                                 .began = w->loop.now - 2 * LUN_SECOND, .sent = w->loop.now - 2 * LUN_SECOND, .ended = w->loop.now };
    *end = trial;
    return trial;
}

static inline struct lun_thought *think(struct world *w, struct lun_question *q, enum lun_hook hook)
{
    return lun_policy_think(w->policy, q, hook, NULL, NULL);
}

/* Runs `code` as the body of classify(request) and expects the label it returns. */
static inline void check_label(struct world *w, struct lun_question *q, int line, const char *label)
{
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("line %d: the hook failed (%s): %s", line, t->reason, t->error);
    if (t->answer.n_labels != 1) fail_msg("line %d: no label, '%s' was expected", line, label);
    if (strcmp(t->answer.labels[0], label)) fail_msg("line %d: '%s', expected '%s'", line, t->answer.labels[0], label);
    lun_thought_end(t);
}

static inline void classify_gives(struct world *w, int line, const char *body, const char *code, const char *label)
{
    char text[4000];
    snprintf(text, sizeof text, "local lunette = require 'lunette' return { classify = function(request)\n%s\nend }", code);
    world_policy(w, text);
    struct lun_question *q = ask(w, body);
    check_label(w, q, line, label);
    over(w, q);
}
#define GIVES(code, label) classify_gives(w, __LINE__, HELLO, code, label)

/* … and expects that it fails so. */
static inline void classify_fails(struct world *w, int line, const char *code, const char *words)
{
    char text[4000];
    snprintf(text, sizeof text, "local lunette = require 'lunette' return { classify = function(request)\n%s\nend }", code);
    world_policy(w, text);
    struct lun_question *q = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    if (t->state != LUN_THOUGHT_FAILED) fail_msg("line %d: it did not fail", line);
    if (!strstr(t->error, words)) fail_msg("line %d: '%s' does not say '%s'", line, t->error, words);
    lun_thought_end(t);
    over(w, q);
}
#define FAILS(code, words) classify_fails(w, __LINE__, code, words)

static inline int world_setup(void **state)
{
    struct world *w = *state = lun_zalloc(sizeof *w);
    world_begin(w);
    return 0;
}
static inline int world_teardown(void **state)
{
    world_end(*state);
    free(*state);
    return 0;
}
#define W struct world *w = *state
#define unit(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
#endif

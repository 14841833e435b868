/* What outlives a configuration is found again by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "bound.h"
#include "state/doubt.h"

static const struct setting plain = { .keys = 1, .health = { .failures = 5, .rest = 60 * LUN_SECOND, .half_open = 1 } };

static struct lun_snapshot *with_teams(struct lun_registry *r, int64_t limit)
{
    struct lun_snapshot *s = lun_snapshot_new();
    struct lun_team *team = lun_arena_zalloc(&s->arena, sizeof *team);
    struct lun_client_rule *clients = lun_arena_zalloc(&s->arena, 2 * sizeof *clients);
    *team = (struct lun_team){ .name = "web", .budget = { .limit = limit, .per = LUN_PER_DAY } };
    clients[0] = (struct lun_client_rule){ .name = "app", .team = team, .budget = { .limit = -1 } };
    clients[1] = (struct lun_client_rule){ .name = "web", .team = team, .budget = { .limit = -1 } };
    s->teams = team; s->n_teams = 1;
    s->clients = clients; s->n_clients = 2;
    lun_registry_bind(r, s);
    return s;
}

static const char *name_of(struct lun_account *a)
{
    struct lun_account_view v;
    lun_account_look(a, 0, &v);
    return v.name;
}

static void accounts_are_named_by_whose_they_are(void **state)
{
    (void)state;
    struct lun_registry *r = lun_registry_new();
    struct lun_snapshot *s = with_teams(r, 100);
    assert_string_equal(name_of(s->clients[0].account), "key app");
    assert_string_equal(name_of(s->clients[1].account), "key web");
    assert_string_equal(name_of(s->teams[0].account), "team web");      /* a client and a team of one name are two */
    assert_string_equal(name_of(s->total_account), "total");
    assert_true(lun_account_limited(s->teams[0].account));
    assert_false(lun_account_limited(s->clients[0].account));
    assert_false(lun_account_limited(s->total_account));
    lun_snapshot_unref(s);
    lun_registry_free(r);
}

static size_t entries_when_told;

static void told_emptied(void *self)
{
    struct lun_cache_view v;
    lun_cache_look_at(((struct lun_registry *)self)->cache, &v);
    entries_when_told = v.entries;
}

/* Else what a gateway finds in Redis between the two is kept here again (core/gateway/shelf.c). */
static void what_lies_elsewhere_is_emptied_before_what_lies_here(void **state)
{
    (void)state;
    struct lun_registry *r = lun_registry_new();
    struct lun_cache_visit v = {0};
    struct lun_cached *found, *answer = lun_cached_new(&(struct lun_cached){ .target = "a/x", .bytes = "{}", .n = 2 });
    struct lun_cache_view view;
    lun_cache_resize(r->cache, 1 << 20);
    assert_int_equal(lun_cache_find(r->cache, &v, (struct lun_digest){ 1, 2 }, 0, false, &found), LUN_CACHE_ASKS);
    lun_cache_keep(r->cache, &v, answer, true);
    lun_cached_unref(answer);
    r->emptied = (struct lun_told_emptied){ told_emptied, r };
    lun_registry_empty_cache(r);
    assert_int_equal(entries_when_told, 1);
    lun_cache_look_at(r->cache, &view);
    assert_int_equal(view.entries, 0);
    lun_registry_free(r);
}

static void spend_goes_on_over_a_reload(void **state)
{
    (void)state;
    struct lun_registry *r = lun_registry_new();
    struct lun_snapshot *old = with_teams(r, 100), *fresh;
    struct lun_hold h;
    struct lun_account_view v;
    struct lun_shortage short_of;
    assert_true(lun_hold_take(&h, r->money, &old->teams[0].account, 1, 60, 0, NULL, &short_of) == LUN_TAKEN);
    fresh = with_teams(r, 50);
    assert_ptr_equal(fresh->teams[0].account, old->teams[0].account);
    lun_snapshot_unref(old);
    lun_hold_settle(&h, 40);                 /* a hold may outlive the configuration it was made under */
    lun_account_look(fresh->teams[0].account, 0, &v);
    assert_int_equal(v.limit, 50);
    assert_int_equal(v.left, 10);
    lun_snapshot_unref(fresh);
    lun_registry_free(r);
}

static void targets_of_two_gateways_in_one_process_know_nothing_of_each_other(void **state)
{
    (void)state;
    struct bound a, b;
    bound_open(&a, &plain);
    bound_open(&b, &plain);
    assert_ptr_not_equal(a.registry->metrics, b.registry->metrics);
    for (int i = 0; i < 5; i++) {
        assert_true(lun_health_begin(a.one, 0, true));
        lun_health_end(a.one, &(struct lun_report){ .kind = LUN_KIND_RESET, .key = 0 }, 0);
    }
    assert_true(lun_health_rests(a.one, 0));
    assert_false(lun_health_rests(b.one, 0));
    bound_close(&a);
    bound_close(&b);
}

static void a_registry_has_all_that_a_gateway_shares(void **state)
{
    (void)state;
    struct lun_registry *r = lun_registry_new();
    for (int i = 0; i < 10; i++) assert_true(lun_quota_take(r->retries, 0.2, 0) && lun_quota_take(r->hedges, 0.05, 0));
    assert_false(lun_quota_take(r->retries, 0.2, 9 * S));
    assert_true(lun_quota_take(r->retries, 0.2, 11 * S));       /* of 10 seconds */
    assert_false(lun_quota_take(r->hedges, 0.05, 50 * S));
    assert_true(lun_quota_take(r->hedges, 0.05, 66 * S));       /* of a minute */
    assert_true(lun_store_set(r->store, "a", 1, 's', "x", 1, 0, 0));
    lun_metrics_add(r->metrics, LUN_METRIC_PLAN_EMPTY, NULL, 1);
    lun_registry_free(r);
    lun_registry_free(NULL);
}

static void one_aside_sees_what_the_other_knows_and_changes_nothing_there(void **state)
{
    (void)state;
    const struct setting strict = { .keys = 1, .requests = 1, .health = { .failures = 1, .rest = 9 * S, .half_open = 1 } };
    struct bound w;
    struct lun_account_view v;
    bound_open(&w, &plain);
    for (int i = 0; i < 5; i++) {
        assert_true(lun_health_begin(w.one, 0, true));
        lun_health_end(w.one, &(struct lun_report){ .kind = LUN_KIND_RESET, .key = 0 }, 0);
    }
    struct lun_registry *aside = lun_registry_aside(w.registry);
    struct lun_snapshot *s = unbound_snapshot(&strict);
    ((struct lun_client_rule *)&s->clients[0])->budget.limit = 7;
    ((struct lun_client_rule *)&s->clients[1])->name = "fresh";
    ((struct lun_target *)&s->targets[2])->name = "b/fresh";
    lun_registry_bind_aside(aside, s);
    assert_true(lun_health_rests(&s->targets[0], 0));
    assert_false(lun_health_rests(&s->targets[1], 0));
    assert_false(lun_health_rests(&s->targets[2], 0));
    assert_ptr_equal(s->clients[0].account, w.app->account);
    lun_account_look(w.app->account, 0, &v);
    assert_int_equal(v.limit, -1);
    assert_null(lun_account_find(w.registry->money, "key fresh"));
    assert_non_null(lun_account_find(aside->money, "key fresh"));
    for (int i = 0; i < 3; i++) assert_int_equal(lun_limit_client(w.app, 0), 0);       /* three a minute, as before */
    lun_snapshot_unref(s);
    lun_registry_free(aside);
    assert_true(lun_health_rests(w.one, 0));
    bound_close(&w);
}

static void a_provider_with_another_key_is_not_the_one_that_is_known(void **state)
{
    (void)state;
    static const char *const other[] = { "sk-other" };
    const struct setting changed = { .keys = 1, .key_texts = other, .health = { .failures = 5, .rest = 60 * S, .half_open = 1 } };
    struct bound w;
    bound_open(&w, &plain);
    struct lun_registry *aside = lun_registry_aside(w.registry);
    struct lun_snapshot *s = unbound_snapshot(&changed);
    lun_registry_bind_aside(aside, s);
    for (int i = 0; i < 5; i++) {
        assert_true(lun_health_begin(&s->targets[0], 0, true));
        lun_health_end(&s->targets[0], &(struct lun_report){ .kind = LUN_KIND_RESET, .key = 0 }, 0);
    }
    assert_true(lun_health_rests(&s->targets[0], 0));
    assert_false(lun_health_rests(w.one, 0));
    lun_snapshot_unref(s);
    lun_registry_free(aside);
    bound_close(&w);
}

static struct lun_snapshot *priced(struct lun_registry *r, int64_t input)
{
    struct lun_snapshot *s = unbound_snapshot(&(struct setting){ 0 });
    ((struct lun_target *)&s->targets[0])->price.input = input;
    lun_registry_bind(r, s);
    return s;
}

static void what_a_provider_claimed_is_forgotten_only_where_what_it_is_measured_by_has_changed(void **state)
{
    (void)state;
    struct lun_registry *r = lun_registry_new();
    struct lun_snapshot *one = priced(r, 1), *two, *three, *failed;
    lun_registry_apply(r, one);
    lun_registry_apply(r, two = priced(r, 2));
    lun_registry_apply(r, one);                                 /* a rollback */
    lun_doubt_raise(&one->targets[0], LUN_SUSPECT_HOLD);
    lun_registry_apply(r, three = priced(r, 1));                /* something else has changed */
    assert_int_equal(LUN_SUSPECT_HOLD, lun_doubt_of(&three->targets[0]));
    failed = priced(r, 3);
    lun_registry_apply(r, three);                               /* a worker could not take it over */
    assert_int_equal(LUN_SUSPECT_HOLD, lun_doubt_of(&three->targets[0]));
    lun_registry_apply(r, failed);
    assert_int_equal(LUN_SUSPECT_NONE, lun_doubt_of(&failed->targets[0]));
    lun_snapshot_unref(one), lun_snapshot_unref(two), lun_snapshot_unref(three), lun_snapshot_unref(failed);
    lun_registry_free(r);
}

static struct lun_snapshot *with_canaries(struct lun_registry *r, int n)
{
    static const char *const names[] = { "a", "b" };
    struct lun_snapshot *s = lun_snapshot_new();
    struct lun_canary_rule *rules = lun_arena_zalloc(&s->arena, 2 * sizeof *rules);
    for (int i = 0; i < n; i++) rules[i] = (struct lun_canary_rule){ .name = names[i], .stages = { 5, 50 }, .n_stages = 2, .every = LUN_SECOND, .errors = -1, .samples = 1 };
    s->canaries = rules; s->n_canaries = n;
    lun_registry_bind(r, s);
    lun_registry_apply(r, s);
    return s;
}

static int64_t samples_of(struct lun_registry *r, const char *name)
{
    struct lun_canary_view v;
    lun_canary_view(lun_registry_canary(r, name), 3 * LUN_SECOND, &v);
    return v.samples;
}

static void a_canary_that_was_not_in_a_version_begins_its_stage_anew(void **state)
{
    struct lun_registry *r = lun_registry_new();
    struct lun_snapshot *both = with_canaries(r, 2);
    char problem[120];
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint64_t run;
        assert_true(lun_canary_do(both->canaries[i].state, LUN_CANARY_DO_START, "me", "", LUN_SECOND, problem));
        lun_canary_draw(both->canaries[i].state, 0, &run);
        lun_canary_count(both->canaries[i].state, run, true, 1, 2 * LUN_SECOND);
    }
    struct lun_snapshot *one = with_canaries(r, 1), *again = with_canaries(r, 2);
    assert_int_equal(1, samples_of(r, "a"));
    assert_int_equal(0, samples_of(r, "b"));
    assert_true(lun_canary_share(again->canaries[1].state) == 5);
    lun_snapshot_unref(both), lun_snapshot_unref(one), lun_snapshot_unref(again);
    lun_registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_provider_claimed_is_forgotten_only_where_what_it_is_measured_by_has_changed),
        cmocka_unit_test(accounts_are_named_by_whose_they_are), cmocka_unit_test(spend_goes_on_over_a_reload),
        cmocka_unit_test(targets_of_two_gateways_in_one_process_know_nothing_of_each_other),
        cmocka_unit_test(a_registry_has_all_that_a_gateway_shares), cmocka_unit_test(what_lies_elsewhere_is_emptied_before_what_lies_here),
        cmocka_unit_test(one_aside_sees_what_the_other_knows_and_changes_nothing_there),
        cmocka_unit_test(a_canary_that_was_not_in_a_version_begins_its_stage_anew),
        cmocka_unit_test(a_provider_with_another_key_is_not_the_one_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The configuration as everything but the loader sees it: found by name, pattern and key; kept while somebody reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "state/snapshot.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void a_new_one_holds_the_documented_defaults(void **state)
{
    (void)state;
    struct lun_snapshot *s = lun_snapshot_new();
    assert_string_equal(s->listen, "127.0.0.1:4000");
    assert_string_equal(s->admin, "127.0.0.1:4001");
    assert_int_equal(s->workers, 0);
    assert_int_equal(s->limits.body, 32 << 20);
    assert_int_equal(s->limits.answer, 32 << 20);
    assert_int_equal(s->limits.buffered, 1 << 30);
    assert_int_equal(s->limits.deadline, 590 * LUN_SECOND);
    assert_int_equal(s->limits.connections, 10000);
    assert_int_equal(s->limits.attempts, 4);
    assert_true(s->limits.retries == 0.2 && s->limits.hedges == 0.05);
    assert_int_equal(s->limits.output, 16384);
    assert_int_equal(s->keepalive, 15 * LUN_SECOND);
    assert_int_equal(s->total.limit, -1);
    assert_int_equal(s->n_clients + s->n_models + s->n_providers + s->n_targets, 0);
    assert_null(s->policy.text);
    assert_int_equal(lun_health_rules_default.failures, 5);
    assert_int_equal(lun_health_rules_default.rest, 60 * LUN_SECOND);
    assert_int_equal(lun_health_rules_default.half_open, 1);
    assert_true(lun_timeouts_default.total > s->limits.deadline);
    lun_snapshot_unref(s);
}

static void a_pattern_has_one_star_that_stands_for_anything(void **state)
{
    (void)state;
    assert_true(lun_pattern_fits("*", ""));
    assert_true(lun_pattern_fits("*", "any/thing"));
    assert_true(lun_pattern_fits("openai/*", "openai/gpt-4.1"));
    assert_true(lun_pattern_fits("openai/*", "openai/"));
    assert_true(lun_pattern_fits("gpt-*-mini", "gpt-4o-mini"));
    assert_true(lun_pattern_fits("*-mini", "gpt-4o-mini"));
    assert_true(lun_pattern_fits("gpt-4.1", "gpt-4.1"));
    assert_false(lun_pattern_fits("openai/*", "openai"));
    assert_false(lun_pattern_fits("openai/*", "xopenai/gpt"));
    assert_false(lun_pattern_fits("ab*ba", "aba"));     /* the two ends must not share a letter */
    assert_false(lun_pattern_fits("gpt-4.1", "gpt-4.1-mini"));
    assert_false(lun_pattern_fits("gpt-4.1", "gpt-4x1"));
}

static const struct lun_model models[] = { { .name = "gpt-4.1" }, { .name = "openai/special" }, { .name = "openai/*", .pattern = true },
                                           { .name = "*", .pattern = true } };

static void an_exact_name_wins_over_patterns_and_the_first_pattern_over_later_ones(void **state)
{
    (void)state;
    struct lun_snapshot *s = lun_snapshot_new();
    const char *rest = NULL;
    s->models = models; s->n_models = 4;
    lun_snapshot_sort_models(s);
    assert_ptr_equal(lun_snapshot_model(s, "openai/special", &rest), &models[1]);
    assert_string_equal(rest, "");
    const char *asked = "openai/gpt-9";
    assert_ptr_equal(lun_snapshot_model(s, asked, &rest), &models[2]);
    assert_ptr_equal(rest, asked + 7);
    assert_ptr_equal(lun_snapshot_model(s, "claude", &rest), &models[3]);
    assert_string_equal(rest, "claude");
    assert_ptr_equal(lun_snapshot_model(s, "gpt-4.1", &rest), &models[0]);
    assert_string_equal(rest, "");
    s->n_models = 3;
    lun_snapshot_sort_models(s);
    assert_null(lun_snapshot_model(s, "claude", &rest));
    assert_string_equal(rest, "");
    assert_null(lun_snapshot_model(s, "*", &rest));     /* a client cannot name the pattern itself */
    lun_snapshot_unref(s);
}

static void of_many_models_each_is_found_by_its_name(void **state)
{
    (void)state;
    enum { MANY = 500 };
    static struct lun_model many[MANY];
    struct lun_snapshot *s = lun_snapshot_new();
    const char *rest;
    for (int i = 0; i < MANY; i++) many[i] = (struct lun_model){ .name = lun_arena_printf(&s->arena, i + 2 < MANY ? "m%d" : "m%d*", i * 7 % MANY), .pattern = i + 2 >= MANY };
    s->models = many; s->n_models = MANY;
    for (int round = 0; round < 2; round++, lun_snapshot_sort_models(s)) {      /* also before they are sorted */
        for (int i = 0; i < MANY; i++) assert_ptr_equal(lun_snapshot_entry(s, many[i].name), &many[i]);
        for (int i = 0; i + 2 < MANY; i++) assert_ptr_equal(lun_snapshot_model(s, many[i].name, &rest), &many[i]);
        assert_ptr_equal(lun_snapshot_model(s, many[MANY - 2].name, &rest), &many[MANY - 2]);     /* as what fits itself */
        assert_null(lun_snapshot_entry(s, "m"));
        assert_null(lun_snapshot_entry(s, "n"));
    }
    lun_snapshot_unref(s);
}

static void a_target_is_found_by_its_own_name_only(void **state)
{
    (void)state;
    struct lun_target targets[] = { { .name = "a/one" }, { .name = "b/two" } };
    struct lun_snapshot *s = lun_snapshot_new();
    s->targets = targets; s->n_targets = 2;
    assert_ptr_equal(lun_snapshot_target(s, "b/two"), &targets[1]);
    assert_null(lun_snapshot_target(s, "b"));
    assert_null(lun_snapshot_target(s, "b/two/"));
    lun_snapshot_unref(s);
}

static struct lun_client_rule rule(const char *name, const char *key)
{
    struct lun_client_rule r = { .name = name };
    assert_true(lun_key_hash(key, strlen(key), r.hash));
    return r;
}

static const struct lun_client_rule *client_of(const struct lun_snapshot *s, const char *key, size_t n)
{
    unsigned char hash[LUN_KEY_HASH];
    return lun_key_hash(key, n, hash) ? lun_snapshot_client(s, hash) : NULL;
}

static void a_client_is_found_by_the_key_it_presents(void **state)
{
    (void)state;
    struct lun_client_rule clients[] = { rule("app", "lun-first"), rule("web", "lun-second"), rule("twin", "lun-first") };
    struct lun_snapshot *s = lun_snapshot_new();
    assert_null(client_of(s, "lun-first", 9));        /* nobody is there */
    s->clients = clients; s->n_clients = 3;
    lun_snapshot_sort_clients(s);
    assert_ptr_equal(client_of(s, "lun-first", 9), &clients[0]);
    assert_ptr_equal(client_of(s, "lun-second and more", 10), &clients[1]);
    assert_null(client_of(s, "lun-firs", 8));
    assert_null(client_of(s, "lun-first ", 10));
    assert_null(client_of(s, "", 0));
    char *endless = calloc(1, 100000);
    assert_null(client_of(s, endless, 100000));
    free(endless);
    lun_snapshot_unref(s);
}

static void a_key_is_hashed_as_sha_256(void **state)
{
    (void)state;
    static const unsigned char abc[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                           0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
    unsigned char hash[LUN_KEY_HASH];
    assert_true(lun_key_hash("abc", 3, hash));
    assert_memory_equal(hash, abc, 32);
}

static void secrets_are_wiped_by_the_last_reference_and_not_before(void **state)
{
    (void)state;
    char value[] = "sk-very-secret";        /* stands outside the arena, so that it can be looked at afterwards */
    struct lun_secret secrets[] = { { "A", value }, { "B", NULL } };
    struct lun_snapshot *s = lun_snapshot_new();
    s->secrets = secrets; s->n_secrets = 2;
    lun_snapshot_ref(s);
    lun_snapshot_unref(s);
    assert_string_equal(value, "sk-very-secret");
    lun_snapshot_unref(s);
    for (size_t i = 0; i < sizeof value; i++) assert_int_equal(value[i], 0);
    lun_snapshot_unref(NULL);
}

static void *read_and_leave(void *of)
{
    struct lun_snapshot *s = of;
    for (int i = 0; i < 20000; i++) {
        lun_snapshot_ref(s);
        if (strcmp(s->folder, "/etc/gateway")) abort();
        lun_snapshot_unref(s);
    }
    lun_snapshot_unref(s);
    return NULL;
}

static void many_threads_may_hold_and_leave_it(void **state)
{
    (void)state;
    struct lun_snapshot *s = lun_snapshot_new();
    pthread_t threads[4];
    s->folder = lun_arena_strdup(&s->arena, "/etc/gateway");
    for (int i = 0; i < 4; i++) {
        lun_snapshot_ref(s);
        assert_int_equal(pthread_create(&threads[i], NULL, read_and_leave, s), 0);
    }
    lun_snapshot_unref(s);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);     /* the last of them freed it: the sanitizers would tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_holds_the_documented_defaults),
        cmocka_unit_test(a_pattern_has_one_star_that_stands_for_anything),
        cmocka_unit_test(an_exact_name_wins_over_patterns_and_the_first_pattern_over_later_ones),
        cmocka_unit_test(of_many_models_each_is_found_by_its_name), cmocka_unit_test(a_target_is_found_by_its_own_name_only),
        cmocka_unit_test(a_client_is_found_by_the_key_it_presents),
        cmocka_unit_test(a_key_is_hashed_as_sha_256),
        cmocka_unit_test(secrets_are_wiped_by_the_last_reference_and_not_before),
        cmocka_unit_test(many_threads_may_hold_and_leave_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

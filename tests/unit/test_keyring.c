/* Keys made at run time: who is found by which text, how each stands, and that gateways which learn of one another's changes come to the same keys. */
#include "keys.h"

static struct lun_key *made(const char *name, const char *text)
{
    struct lun_key k = like(name, text);
    return lun_key_new(&k);
}

static void a_key_holds_a_copy_of_all_that_was_said_of_it(void **state)
{
    (void)state;
    char model[] = "gpt-*", tag[] = "tier", value[] = "premium", team[] = "web", class[] = "batch", task[] = "mail", fields[] = "{\"team\":\"web\"}";
    const char *models[] = { model, "auto" };
    struct lun_pair tags[] = { { tag, value } };
    struct lun_key_digest older[] = { digest_of("sk-lun-older", 5) };
    struct lun_key l = like("app", "sk-lun-app");
    l.team = team, l.fields = fields, l.older = older, l.n_older = 1;
    l.rule.models = models, l.rule.n_models = 2, l.rule.tags = tags, l.rule.n_tags = 1, l.rule.class = class, l.rule.task = task, l.rule.requests_per_minute = 60;
    struct lun_key *k = lun_key_new(&l);
    *model = *tag = *value = *team = *class = *task = *fields = '?';
    memset(older, 0, sizeof older);
    assert_string_equal(k->name, "app");
    assert_string_equal(k->rule.name, "app");
    assert_string_equal(k->team, "web");
    assert_string_equal(k->fields, "{\"team\":\"web\"}");
    assert_string_equal(k->rule.models[0], "gpt-*");
    assert_string_equal(k->rule.models[1], "auto");
    assert_string_equal(k->rule.tags[0].name, "tier");
    assert_string_equal(k->rule.tags[0].value, "premium");
    assert_string_equal(k->rule.class, "batch");
    assert_string_equal(k->rule.task, "mail");
    assert_int_equal(k->rule.requests_per_minute, 60);
    assert_string_equal(k->older[0].hint, "sk-lun-olde");
    assert_memory_equal(k->rule.hash, l.now.hash, LUN_KEY_HASH);
    lun_key_unref(k);
}

static void a_key_is_found_by_its_text_alone(void **state)
{
    enum lun_key_standing stands;
    (void)state;
    assert_null(find(NULL, "sk-lun-app", 1, &stands));
    assert_int_equal(stands, LUN_KEY_UNKNOWN);
    struct lun_keyring *r = ring_of((struct lun_key *[]){ made("web", "sk-lun-web"), made("app", "sk-lun-app") }, 2);
    assert_string_equal(find(r, "sk-lun-app", 1, &stands)->name, "app");
    assert_int_equal(stands, LUN_KEY_VALID);
    assert_string_equal(find(r, "sk-lun-web", 1, &stands)->name, "web");
    assert_null(find(r, "sk-lun-ap", 1, &stands));
    assert_null(find(r, "sk-lun-app ", 1, &stands));
    assert_null(find(r, "app", 1, &stands));
    assert_int_equal(stands, LUN_KEY_UNKNOWN);
    assert_string_equal(lun_keyring_named(r, "web")->name, "web");
    assert_null(lun_keyring_named(r, "we"));
    assert_null(lun_keyring_named(r, "webb"));
    assert_null(lun_keyring_named(NULL, "web"));
    lun_keyring_unref(r);
}

static void a_key_is_valid_until_it_expires_is_replaced_or_revoked(void **state)
{
    enum lun_key_standing stands;
    struct lun_key_digest older[] = { digest_of("sk-lun-before", 100) };
    struct lun_key l = like("app", "sk-lun-app");
    (void)state;
    l.expires = 1000, l.older = older, l.n_older = 1;
    struct lun_keyring *r = ring_of((struct lun_key *[]){ lun_key_new(&l) }, 1);
    const struct { const char *text; lun_us wall; enum lun_key_standing stands; } cases[] = {
        { "sk-lun-app", 0, LUN_KEY_VALID }, { "sk-lun-app", 999, LUN_KEY_VALID }, { "sk-lun-app", 1000, LUN_KEY_EXPIRED }, { "sk-lun-app", 5000, LUN_KEY_EXPIRED },
        { "sk-lun-before", 99, LUN_KEY_VALID }, { "sk-lun-before", 100, LUN_KEY_REPLACED }, { "sk-lun-before", 1000, LUN_KEY_EXPIRED } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_non_null(find(r, cases[i].text, cases[i].wall, &stands));
        assert_int_equal(stands, cases[i].stands);
    }
    l.revoked = 50, l.version = 2;
    struct lun_key *revoked = lun_key_new(&l);
    struct lun_keyring *after = lun_keyring_with(r, &revoked, 1, NULL);
    assert_non_null(find(after, "sk-lun-app", 1, &stands));
    assert_int_equal(stands, LUN_KEY_REVOKED);
    assert_non_null(find(after, "sk-lun-before", 1, &stands));
    assert_int_equal(stands, LUN_KEY_REVOKED);
    find(r, "sk-lun-app", 1, &stands);
    assert_int_equal(stands, LUN_KEY_VALID);        /* the ring before is as it was: requests in flight may hold on to it */
    lun_key_unref(revoked);
    lun_keyring_unref(after);
    lun_keyring_unref(r);
}

static void ten_thousand_keys_are_all_found_and_nobody_else_is(void **state)
{
    enum { MANY = 10000 };
    enum lun_key_standing stands;
    struct lun_key **keys = lun_alloc(MANY * sizeof *keys);
    char name[32], text[32];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "k%d", i), snprintf(text, sizeof text, "sk-lun-%d", i);
        keys[i] = made(name, text);
    }
    struct lun_keyring *r = ring_of(keys, MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "k%d", i), snprintf(text, sizeof text, "sk-lun-%d", i);
        assert_ptr_equal(find(r, text, 1, &stands), keys[i]);
        assert_ptr_equal(lun_keyring_named(r, name), keys[i]);
        text[0] = 'S';
        assert_null(find(r, text, 1, &stands));
    }
    for (int i = 1; i < r->n; i++) assert_true(strcmp(r->keys[i - 1]->name, r->keys[i]->name) < 0);
    lun_keyring_unref(r);
    free(keys);
}

/* Keys whose digests begin alike share a place; the whole digest decides. */
static void digests_that_begin_alike_are_told_apart(void **state)
{
    enum lun_key_standing stands;
    struct lun_key *keys[20];
    unsigned char hash[LUN_KEY_HASH] = {0};
    char name[8];
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct lun_key l = like(strcpy(name, (char[]){ (char)('a' + i), 0 }), "x");
        memset(l.now.hash, 0, sizeof l.now.hash);
        l.now.hash[LUN_KEY_HASH - 1] = (unsigned char)i;
        keys[i] = lun_key_new(&l);
    }
    struct lun_keyring *r = ring_of(keys, 20);
    for (int i = 0; i < 20; i++) {
        hash[LUN_KEY_HASH - 1] = (unsigned char)i;
        assert_ptr_equal(lun_keyring_find(r, hash, 1, &stands), keys[i]);
    }
    hash[LUN_KEY_HASH - 1] = 20;
    assert_null(lun_keyring_find(r, hash, 1, &stands));
    lun_keyring_unref(r);
}

static struct lun_key *at(int64_t life, lun_us revoked, int64_t version, lun_us changed, const char *text)
{
    struct lun_key l = like("app", text);
    l.life = life, l.revoked = revoked, l.version = version, l.changed = changed;
    return lun_key_new(&l);
}

static void what_is_newer_counts_and_no_change_undoes_a_revocation(void **state)
{
    (void)state;
    /* each before all that follow it */
    struct lun_key *rising[] = { at(1, 0, 1, 5, "a"), at(1, 0, 1, 6, "a"), at(1, 0, 2, 3, "a"), at(1, 0, 9, 9, "b"), at(1, 7, 2, 7, "a"), at(2, 0, 1, 8, "c"), at(2, 9, 2, 9, "c") };
    enum { N = sizeof rising / sizeof *rising };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) assert_int_equal(lun_key_is_newer(rising[i], rising[j]), i > j);
    struct lun_key *x = at(1, 0, 1, 1, "x"), *y = at(1, 0, 1, 1, "y");
    assert_int_equal(lun_key_is_newer(x, y) + lun_key_is_newer(y, x), 1);       /* two that were made at the same moment: one of them, the same everywhere */
    lun_key_unref(x), lun_key_unref(y);
    for (int i = 0; i < N; i++) lun_key_unref(rising[i]);
}

static void a_ring_says_how_much_of_what_it_learned_was_new(void **state)
{
    int changed;
    (void)state;
    struct lun_keyring *r = ring_of((struct lun_key *[]){ at(1, 0, 2, 2, "a") }, 1);
    struct lun_key *news[] = { at(1, 0, 1, 1, "a"), at(1, 0, 2, 2, "a") };
    struct lun_keyring *same = lun_keyring_with(r, news, 2, &changed);
    assert_ptr_equal(same, r);
    assert_int_equal(changed, 0);
    struct lun_key *more[] = { at(1, 0, 3, 3, "a"), made("web", "w") };
    struct lun_keyring *other = lun_keyring_with(r, more, 2, &changed);
    assert_int_equal(changed, 2);
    assert_int_equal(other->n, 2);
    assert_int_equal(lun_keyring_named(other, "app")->version, 3);
    lun_keyring_unref(r), lun_keyring_unref(same), lun_keyring_unref(other);
    for (int i = 0; i < 2; i++) lun_key_unref(news[i]), lun_key_unref(more[i]);
}

static uint64_t dice = 88172645463325252u;
static int roll(int n)
{
    dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
    return (int)(dice % (uint64_t)n);
}

/* Three gateways that learn the same changes in orders of their own, some of them twice. */
static void gateways_come_to_the_same_keys_in_whatever_order_they_learn(void **state)
{
    enum { CHANGES = 24, ROUNDS = 400 };
    static const char *const names[] = { "a", "b", "c", "d" }, *const texts[] = { "one", "two", "three" };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct lun_key *changes[CHANGES];
        struct lun_keyring *rings[3] = { NULL };
        for (int i = 0; i < CHANGES; i++) {
            struct lun_key l = like(names[roll(4)], texts[roll(3)]);
            l.life = 1 + roll(2), l.version = 1 + roll(4), l.changed = 1 + roll(3), l.revoked = roll(4) ? 0 : 7;
            changes[i] = lun_key_new(&l);
        }
        for (int g = 0; g < 3; g++)
            for (int i = 0, left = CHANGES, order[CHANGES]; left; i++) {
                if (!i) for (int k = 0; k < CHANGES; k++) order[k] = k;
                int pick = roll(left), which = order[pick];
                if (roll(5)) order[pick] = order[--left];
                struct lun_keyring *next = lun_keyring_with(rings[g], &changes[which], 1, NULL);
                lun_keyring_unref(rings[g]);
                rings[g] = next;
            }
        for (int g = 1; g < 3; g++) {
            assert_int_equal(rings[g]->n, rings[0]->n);
            for (int i = 0; i < rings[0]->n; i++)
                assert_false(lun_key_is_newer(rings[g]->keys[i], rings[0]->keys[i]) || lun_key_is_newer(rings[0]->keys[i], rings[g]->keys[i]));
        }
        for (int g = 0; g < 3; g++) lun_keyring_unref(rings[g]);
        for (int i = 0; i < CHANGES; i++) lun_key_unref(changes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_holds_a_copy_of_all_that_was_said_of_it),
        cmocka_unit_test(a_key_is_found_by_its_text_alone),
        cmocka_unit_test(a_key_is_valid_until_it_expires_is_replaced_or_revoked),
        cmocka_unit_test(ten_thousand_keys_are_all_found_and_nobody_else_is),
        cmocka_unit_test(digests_that_begin_alike_are_told_apart),
        cmocka_unit_test(what_is_newer_counts_and_no_change_undoes_a_revocation),
        cmocka_unit_test(a_ring_says_how_much_of_what_it_learned_was_new),
        cmocka_unit_test(gateways_come_to_the_same_keys_in_whatever_order_they_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

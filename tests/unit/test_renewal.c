/* Machines made anew on the builder's thread: taken, not wanted any more at any moment, or none at all. */
#include "policy_world.h"
#include "base/log.h"
#include "gateway/renewal.h"
#include <sched.h>

#define GOOD "local lunette = require 'lunette' return { classify = function(request) return 'here' end }"
#define BAD  "return { classify = 1 }"

static const struct lun_log nowhere;

struct renewing { struct world w; struct lun_reactor *reactor; struct lun_builder *builder; };

static void begin(struct renewing *r, bool aside, const char *policy)
{
    world_begin(&r->w);
    r->w.snapshot->policy = (struct lun_file){ "policies/test.lua", policy, strlen(policy) };
    r->reactor = lun_reactor_new(NULL);
    r->builder = lun_builder_new(r->reactor, aside);
}

/* The builder does all that it was given before it ends. */
static void end(struct renewing *r)
{
    lun_builder_free(r->builder);
    lun_reactor_free(r->reactor);
    assert_int_equal(atomic_load(&r->w.snapshot->references), 1);
    world_end(&r->w);
}

static struct lun_renewal *renew(struct renewing *r) { return lun_renewal_new(r->builder, r->w.snapshot, r->w.registry, LUN_BY_COUNT, &nowhere); }
static void await(const struct lun_renewal *n) { while (!lun_renewal_is_over(n)) sched_yield(); }

static void a_kit_is_made_aside_and_serves(void **state)
{
    (void)state;
    for (int aside = 0; aside < 2; aside++) {
        struct renewing r;
        char *error = NULL;
        begin(&r, aside, GOOD);
        struct lun_renewal *n = renew(&r);
        await(n);
        struct lun_kit *kit = lun_renewal_take(n, &error);
        assert_non_null(kit);
        assert_null(error);
        lun_renewal_drop(n);
        assert_ptr_equal(kit->snapshot, r.w.snapshot);
        assert_true(lun_policy_has(kit->policy, LUN_HOOK_CLASSIFY));
        assert_false(lun_policy_worn(kit->policy));
        lun_kit_free(kit);
        end(&r);
    }
}

static void what_cannot_be_made_says_why(void **state)
{
    (void)state;
    struct renewing r;
    char *error = NULL;
    begin(&r, true, BAD);
    struct lun_renewal *n = renew(&r);
    await(n);
    assert_null(lun_renewal_take(n, &error));
    assert_non_null(strstr(error, "policies/test.lua"));
    free(error);
    lun_renewal_drop(n);
    end(&r);
}

/* The version may be left while its machines are made anew: nothing of them is left then, whoever is last. */
static void it_may_be_dropped_at_any_moment(void **state)
{
    (void)state;
    struct renewing r;
    begin(&r, true, GOOD);
    for (int i = 0; i < 60; i++) {
        struct lun_renewal *n = renew(&r);
        if (i % 3 == 1) await(n);
        if (i % 3 == 2) for (int k = 0; k < i * 50; k++) sched_yield();
        lun_renewal_drop(n);
    }
    lun_renewal_drop(NULL);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kit_is_made_aside_and_serves),
        cmocka_unit_test(what_cannot_be_made_says_why),
        cmocka_unit_test(it_may_be_dropped_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Names and their things; names that a client has chosen so that they would meet. */
#include "base/alloc.h"
#include "base/hash.h"
#include "state/names.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void what_was_put_is_found(void **state)
{
    (void)state;
    struct lun_names t = {0};
    char name[16];
    int things[1000], seen = 0;
    assert_null(lun_names_get(&t, "none"));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_null(lun_names_get(&t, name));
        lun_names_put(&t, name, &things[i]);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_ptr_equal(lun_names_get(&t, name), &things[i]);
    }
    struct lun_names_each e = lun_names_each(&t);
    while (lun_names_next(&e)) seen++;
    assert_int_equal(seen, 1000);
    lun_names_free(&t, NULL);
}

/* How many slots of a table the names stand in. */
static int slots_of(const struct lun_names *t)
{
    struct lun_names_each e = lun_names_each(t);
    size_t before = 0;
    int slots = 0;
    for (; lun_names_next(&e); before = e.slot) slots += e.slot != before;
    return slots;
}

/* As a client would choose them that knows the hash: of 512 names each goes to the same slot of 512. */
static void names_chosen_to_meet_do_not(void **state)
{
    (void)state;
    enum { NAMES = 512 };
    struct lun_names one = {0}, other = {0};
    char name[40];
    for (long i = 0, found = 0; found < NAMES; i++) {
        snprintf(name, sizeof name, "tag tenant=%ld", i);
        if (lun_hash_text(name, 0) % NAMES) continue;
        lun_names_put(&one, name, &one), lun_names_put(&other, name, &one);
        found++;
    }
    assert_int_equal(one.room, NAMES);
    assert_in_range(slots_of(&one), NAMES / 2, NAMES);         /* 323.6 +- 8, where nothing is known of them */
    assert_memory_not_equal(&one.key, &other.key, sizeof one.key);
    lun_names_free(&one, NULL), lun_names_free(&other, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_was_put_is_found), cmocka_unit_test(names_chosen_to_meet_do_not) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Keys presented again: their hash is always that of the key, whatever came before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "gateway/presented.h"
#include <stdio.h>
#include <string.h>

static void the_hash_is_that_of_the_key_the_first_time_and_again(void **state)
{
    static struct lun_presented p;
    unsigned char want[LUN_KEY_HASH], got[LUN_KEY_HASH];
    char key[64];
    (void)state;
    p.secret = lun_siphash_new();
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 4 * LUN_PRESENTED; i++) {                   /* more than it has room for: they take each other's places */
            size_t n = (size_t)snprintf(key, sizeof key, "%.*ssk-%d", i % 40, "a key that begins in a way that is longer", i);
            assert_true(lun_key_hash(key, n, want));
            for (int again = 0; again < 2; again++) {
                assert_true(lun_presented_hash(&p, key, n, got));
                assert_memory_equal(got, want, LUN_KEY_HASH);
            }
        }
}

static void what_is_kept_is_taken_from_there_until_it_is_forgotten(void **state)
{
    static struct lun_presented p;
    unsigned char want[LUN_KEY_HASH], got[LUN_KEY_HASH];
    (void)state;
    assert_true(lun_presented_hash(&p, "sk-1", 4, want));
    for (int i = 0; i < LUN_PRESENTED; i++) p.at[i].hash[0] ^= 1;
    assert_true(lun_presented_hash(&p, "sk-1", 4, got));
    assert_memory_not_equal(got, want, LUN_KEY_HASH);
    lun_presented_forget(&p);
    assert_true(lun_presented_hash(&p, "sk-1", 4, got));
    assert_memory_equal(got, want, LUN_KEY_HASH);
}

static void no_key_is_in_what_is_kept(void **state)
{
    static struct lun_presented p;
    static const char key[] = "sk-0123456789abcdef";
    unsigned char hash[LUN_KEY_HASH];
    (void)state;
    assert_true(lun_presented_hash(&p, key, sizeof key - 1, hash));
    assert_null(memmem(&p, sizeof p, key + 3, 8));
}

static void what_is_nobodys_key_has_no_hash(void **state)
{
    static struct lun_presented p;
    static char key[5000];
    unsigned char hash[LUN_KEY_HASH];
    (void)state;
    memset(key, 'k', sizeof key);
    for (int i = 0; i < 2; i++) {
        assert_false(lun_presented_hash(&p, key, 0, hash));
        assert_false(lun_presented_hash(&p, key, sizeof key, hash));
        assert_false(lun_presented_hash(NULL, key, sizeof key, hash));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_that_of_the_key_the_first_time_and_again),
        cmocka_unit_test(what_is_kept_is_taken_from_there_until_it_is_forgotten),
        cmocka_unit_test(no_key_is_in_what_is_kept),
        cmocka_unit_test(what_is_nobodys_key_has_no_hash),
    };
    return cmocka_run_group_tests_name("presented", tests, NULL, NULL);
}

/* Signatures of webhooks: the example that the Standard Webhooks specification gives, and secrets that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "state/signing.h"

static void the_specifications_example(void **state)
{
    static const char body[] = "{\"test\": 2432232314}";
    char signature[LUN_SIGNATURE];
    (void)state;
    assert_true(lun_signing_sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body), signature));
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void other_texts_are_keys_as_they_are(void **state)
{
    unsigned char key[LUN_SIGNING_KEY];
    size_t n;
    (void)state;
    assert_true(lun_signing_key("twenty-four-characters!!", key, &n));
    assert_int_equal(n, 24);
    assert_memory_equal(key, "twenty-four-characters!!", 24);
}

static void secrets_that_are_none(void **state)
{
    static const char *const wrong[] = { "", "short", "twenty-three-characters", "whsec_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
                                         "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "whsec_====", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZI====" };
    unsigned char key[LUN_SIGNING_KEY];
    char long_one[300] = "whsec_", signature[LUN_SIGNATURE];
    size_t n;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (lun_signing_key(wrong[i], key, &n)) fail_msg("%s is taken", wrong[i]);
        assert_false(lun_signing_sign(wrong[i], "id", 0, "", 0, signature));
    }
    memset(long_one + 6, 'A', 88);              /* 66 bytes */
    assert_false(lun_signing_key(long_one, key, &n));
    memset(long_one, 'x', 257);
    assert_false(lun_signing_key(long_one, key, &n));
    long_one[256] = 0;
    assert_true(lun_signing_key(long_one, key, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specifications_example), cmocka_unit_test(other_texts_are_keys_as_they_are), cmocka_unit_test(secrets_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What waits for a Redis that is away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdlib.h>
#include "gateway/fleet.h"

static void heard(void *self, const struct lun_fleet_news *news, size_t n) { (void)self, (void)news, (void)n; }
static void caught_up(void *self) { (void)self; }

static void of_news_of_one_name_only_the_latest_wait(void **state)
{
    (void)state;
    char *error;
    struct lun_reactor *home = lun_reactor_new(NULL);
    struct lun_shares *shares = lun_shares_new();
    struct lun_fleet *f = lun_fleet_new(&(struct lun_fleet_options){ .home = home, .shares = shares, .url = "redis://127.0.0.1:1", .prefix = "p", .heard = heard, .caught_up = caught_up }, &error);
    assert_non_null(f);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 100000; i++) lun_fleet_tell(f, "rest a/x KEY", "{\"target\":\"a/x\",\"secret\":\"KEY\",\"at\":1,\"lane\":1000000,\"key\":0,\"provider\":0}");
    size_t after = mallinfo2().uordblks;
    print_message("%zu bytes\n", after - before);
    assert_true(after < before + 1000000);
    lun_fleet_free(f);
    lun_shares_free(shares);
    lun_reactor_free(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(of_news_of_one_name_only_the_latest_wait) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

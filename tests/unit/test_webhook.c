/* The webhook's queue: bounded, never waited for, gone when nobody is told. What goes over the wire is in tests/e2e/webhook_spec.lua. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "gateway/webhook.h"

struct world { struct lun_metrics *metrics; struct lun_webhook *w; int silent; char url[64]; };

static double counted(const struct world *t, const char *result) { return lun_metrics_get(t->metrics, LUN_METRIC_WEBHOOK, &result); }

/* A receiver that takes connections and says nothing. */
static int setup(void **state)
{
    static struct world t;
    static struct lun_log nobody;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    t.metrics = lun_metrics_new();
    t.w = lun_webhook_new(&nobody, t.metrics);
    t.silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(t.silent, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(t.silent, 8), 0);
    assert_int_equal(getsockname(t.silent, (struct sockaddr *)&at, &n), 0);
    snprintf(t.url, sizeof t.url, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    *state = &t;
    return 0;
}

static int teardown(void **state)
{
    struct world *t = *state;
    lun_webhook_stop(t->w, 0);
    lun_webhook_free(t->w);
    lun_metrics_free(t->metrics);
    close(t->silent);
    return 0;
}

static void too_many_are_dropped_and_counted(void **state)
{
    struct world *t = *state;
    lun_us before = lun_clock_now();
    lun_webhook_aim(t->w, t->url, NULL);
    for (int i = 0; i < LUN_WEBHOOK_WAITING + 50; i++) lun_webhook_send(t->w, "budget.soft", "{}", 0);
    assert_true(lun_clock_now() - before < 5 * LUN_SECOND);
    assert_true(counted(t, "dropped") == 50);
    assert_true(counted(t, "delivered") == 0);
}

static void nobody_is_told_without_a_url(void **state)
{
    struct world *t = *state;
    assert_false(lun_webhook_aimed(t->w));
    lun_webhook_send(t->w, "budget.soft", "{}", 0);
    lun_webhook_aim(t->w, t->url, NULL);
    assert_true(lun_webhook_aimed(t->w));
    assert_true(counted(t, "dropped") == 0);
    lun_webhook_send(t->w, "budget.soft", "{}", 0);
    lun_webhook_aim(t->w, NULL, NULL);
    assert_true(counted(t, "dropped") == 1);
}

static void a_stop_ends_what_is_under_way(void **state)
{
    struct world *t = *state;
    lun_webhook_aim(t->w, t->url, NULL);
    lun_webhook_send(t->w, "budget.soft", "{}", 0);
    int c = accept(t->silent, NULL, NULL);              /* it is being sent */
    lun_us before = lun_clock_now();
    lun_webhook_stop(t->w, 0);
    assert_true(lun_clock_now() - before < 5 * LUN_SECOND);
    assert_true(counted(t, "failed") == 1);
    lun_webhook_send(t->w, "budget.soft", "{}", 0);
    assert_false(lun_webhook_aimed(t->w));
    close(c);
}

/* In somebody else's process a signal is for somebody else's threads. */
static void its_thread_takes_no_signals(void **state)
{
    struct world *t = *state;
    lun_webhook_aim(t->w, t->url, NULL);
    lun_webhook_send(t->w, "budget.soft", "{}", 0);
    DIR *tasks = opendir("/proc/self/task");
    uint64_t term = 1u << (SIGTERM - 1), hup = 1u << (SIGHUP - 1), blocked = 0;
    int found = 0;
    for (struct dirent *e; (e = readdir(tasks));) {
        char path[300], status[4096];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
        FILE *f = fopen(path, "r");
        size_t n = f ? fread(status, 1, sizeof status - 1, f) : 0;
        if (f) fclose(f);
        status[n] = 0;
        if (!strstr(status, "Name:\tlunette webhook\n")) continue;
        found++;
        blocked = strtoull(strstr(status, "SigBlk:") + 7, NULL, 16);
    }
    closedir(tasks);
    assert_int_equal(found, 1);
    assert_true((blocked & term) && (blocked & hup));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(too_many_are_dropped_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_told_without_a_url, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stop_ends_what_is_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(its_thread_takes_no_signals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Shedding: a thread that is asked for more than it can do answers what it takes in time, and takes about as much as it can; one that is not sheds nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/shed.h"
#include <stdlib.h>

#define BOUND (100 * LUN_MS)
enum { MOST = 1 << 18 };

/* A thread with a loop: in each turn it does all that has come since the last one; its timer fires at the beginning of a turn. Arrivals are even. */
struct run { lun_us work, refusal, every; double seconds, settled; };
struct result { int came, taken, refused; lun_us p50, p99; double load; };

static int by_size(const void *a, const void *b) { return *(const lun_us *)a < *(const lun_us *)b ? -1 : 1; }

static struct result run(const struct run *r)
{
    static lun_us waits[MOST];
    struct lun_shed shed = {0};
    struct result out = {0};
    int n = 0;
    lun_us now = 0, pulse = LUN_SHED_PULSE, next = 0, busy = 0, end = (lun_us)(r->seconds * 1e6), settled = (lun_us)(r->settled * 1e6);
    while (now < end) {
        lun_us began = now;
        if (now >= pulse) lun_shed_pulse(&shed, now - pulse, BOUND, now), pulse = now + LUN_SHED_PULSE;
        for (; next <= began; next += r->every) {
            bool refused = lun_shed_refuses(&shed, now - began, BOUND);
            now += refused ? r->refusal : r->work;
            if (next < settled) continue;
            out.came++;
            if (refused) out.refused++;
            else out.taken++, waits[n++ % MOST] = now - next;
        }
        if (began >= settled) busy += now - began;
        if (now == began) now = next < pulse ? next : pulse;
    }
    qsort(waits, (size_t)n, sizeof *waits, by_size);
    out.p50 = n ? waits[n / 2] : 0, out.p99 = n ? waits[n * 99 / 100] : 0;
    out.load = (double)busy / (double)(end - settled);
    return out;
}

static void nothing_is_shed_below_capacity(void **state)
{
    (void)state;
    for (int percent = 10; percent <= 90; percent += 20) {
        struct result r = run(&(struct run){ .work = 5 * LUN_MS, .refusal = 100, .every = 500 * LUN_MS / percent, .seconds = 30 });
        assert_int_equal(r.refused, 0);
        assert_true(r.p99 < BOUND);
    }
}

static void above_it_what_is_taken_is_answered_in_time_and_is_nearly_all_that_can_be_done(void **state)
{
    (void)state;
    static const double times[] = { 1.2, 2, 5, 15 };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        for (lun_us work = LUN_MS / 5; work <= 10 * LUN_MS; work *= 7) {
            struct result r = run(&(struct run){ .work = work, .refusal = work / 30 + 1, .every = (lun_us)((double)work / times[i]), .seconds = 40, .settled = 5 });
            double done = (double)r.taken * (double)work / 35e6;
            print_message("%4.1f times what fits, %5.1f ms each: %2.0f %% of the thread is spent on what is taken, p50 %lld ms, p99 %lld ms\n", times[i], (double)work / 1000, 100 * done,
                          (long long)(r.p50 / LUN_MS), (long long)(r.p99 / LUN_MS));
            assert_true(r.p99 < 3 * BOUND);
            assert_true(done > (times[i] > 10 ? 0.4 : 0.7));
        }
}

static void one_long_turn_is_no_overload(void **state)
{
    (void)state;
    struct lun_shed s = {0};
    lun_us now = 0;
    for (int i = 0; i < 200; i++) {
        lun_us lag = i % 20 ? 0 : 900 * LUN_MS;
        now += LUN_SHED_PULSE + lag;
        lun_shed_pulse(&s, lag, BOUND, now);
        assert_false(s.over || lun_shed_refuses(&s, 3 * BOUND, BOUND));
    }
}

static void it_ends_with_the_overload(void **state)
{
    (void)state;
    struct lun_shed s = {0};
    lun_us now = 0;
    for (int i = 0; i < 5; i++) now += 400 * LUN_MS, lun_shed_pulse(&s, 380 * LUN_MS, BOUND, now);
    assert_true(s.over && lun_shed_refuses(&s, BOUND, BOUND) && !lun_shed_refuses(&s, 0, BOUND));
    for (int i = 0; i < 15; i++) now += LUN_SHED_PULSE, lun_shed_pulse(&s, 0, BOUND, now);
    assert_false(s.over || lun_shed_refuses(&s, BOUND, BOUND));
}

static void what_comes_all_at_once_is_refused_in_its_turn(void **state)
{
    (void)state;
    struct lun_shed s = {0};
    assert_true(lun_shed_refuses(&s, 4 * BOUND, BOUND));
}

static void without_a_bound_nothing_is_shed(void **state)
{
    (void)state;
    struct lun_shed s = {0};
    for (int i = 1; i < 100; i++) lun_shed_pulse(&s, 10 * LUN_SECOND, 0, i * 10 * LUN_SECOND);
    assert_false(s.over || lun_shed_refuses(&s, LUN_SECOND, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_shed_below_capacity),
        cmocka_unit_test(above_it_what_is_taken_is_answered_in_time_and_is_nearly_all_that_can_be_done),
        cmocka_unit_test(one_long_turn_is_no_overload),
        cmocka_unit_test(it_ends_with_the_overload),
        cmocka_unit_test(what_comes_all_at_once_is_refused_in_its_turn),
        cmocka_unit_test(without_a_bound_nothing_is_shed),
    };
    return cmocka_run_group_tests_name("shed", tests, NULL, NULL);
}

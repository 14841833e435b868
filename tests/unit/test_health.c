/* What attempts say of targets, keys and providers: circuits, rests, keys taken out, latency. All of it on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "bound.h"
#include "state/health.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

static const struct lun_health_rules rules = { .failures = 5, .rest = 60 * LUN_SECOND, .half_open = 1 };

static int open_world(void **state)
{
    struct bound *w = malloc(sizeof *w);
    bound_open(w, &(struct setting){ .keys = 2, .health = rules });
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    bound_close(*state);
    free(*state);
    return 0;
}

static void ends(const struct lun_target *t, struct lun_report r, lun_us now)
{
    assert_true(lun_health_begin(t, now, true));
    lun_health_end(t, &r, now);
}

static void fails(const struct lun_target *t, int times, lun_us now)
{
    while (times--) ends(t, (struct lun_report){ .kind = LUN_KIND_SERVER_ERROR, .status = 500, .key = 0 }, now);
}

static struct lun_health_view look(const struct lun_target *t, lun_us now)
{
    struct lun_health_view v;
    lun_health_look(t, now, &v);
    return v;
}

static void opened(struct bound *w, lun_us now)
{
    fails(w->one, 5, now);
    assert_int_equal(look(w->one, now).circuit, LUN_CIRCUIT_OPEN);
}

/* ---- the circuit ---- */

static void five_failures_in_a_row_open_a_circuit(void **state)
{
    struct bound *w = *state;
    fails(w->one, 4, 1 * S);
    assert_int_equal(look(w->one, 1 * S).circuit, LUN_CIRCUIT_CLOSED);
    assert_true(lun_health_begin(w->one, 1 * S, false));
    assert_int_equal(look(w->one, 1 * S).failures_in_a_row, 4);
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_CONNECT_REFUSED, .key = 0 }, 1 * S);
    assert_int_equal(look(w->one, 1 * S).circuit, LUN_CIRCUIT_OPEN);
    assert_false(look(w->one, 1 * S).healthy);
    assert_false(lun_health_begin(w->one, 1 * S, false));
    assert_int_equal(lun_health_rests_until(w->one, 1 * S), 61 * S);
    assert_int_equal(look(w->one, 1 * S).in_flight, 0);
    assert_true(look(w->two, 1 * S).healthy);                   /* its neighbour is another matter */
}

static void any_success_ends_the_row(void **state)
{
    struct bound *w = *state;
    for (int i = 0; i < 10; i++) {
        fails(w->one, 4, 1 * S);
        ends(w->one, (struct lun_report){ .kind = LUN_KIND_OK, .key = 0, .latency = 1 }, 1 * S);
    }
    assert_int_equal(look(w->one, 1 * S).circuit, LUN_CIRCUIT_CLOSED);
    assert_int_equal(look(w->one, 1 * S).failures_in_a_row, 0);
}

static void only_kinds_that_break_count_toward_opening(void **state)
{
    (void)state;
    for (int kind = 0; kind < LUN_KIND_COUNT; kind++) {
        struct bound mine;
        bound_open(&mine, &(struct setting){ .keys = 2, .health = rules });
        for (int i = 0; i < 5; i++) ends(mine.one, (struct lun_report){ .kind = (enum lun_kind)kind, .status = 403, .key = 1 }, 1 * S);
        if ((look(mine.one, 1 * S).circuit == LUN_CIRCUIT_OPEN) != lun_kind_breaks((enum lun_kind)kind)) fail_msg("%s", lun_kind_name((enum lun_kind)kind));
        bound_close(&mine);
    }
}

static void one_clients_failures_count_at_most_twice(void **state)
{
    struct bound *w = *state;
    for (int i = 0; i < 100; i++) ends(w->one, (struct lun_report){ .kind = LUN_KIND_RESET, .key = 0, .who = 7 }, 1 * S);
    assert_int_equal(look(w->one, 1 * S).failures_in_a_row, 2);
    for (int i = 0; i < 100; i++) ends(w->one, (struct lun_report){ .kind = LUN_KIND_RESET, .key = 0, .who = 8 }, 1 * S);
    assert_int_equal(look(w->one, 1 * S).circuit, LUN_CIRCUIT_CLOSED);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RESET, .key = 0, .who = 9 }, 1 * S);
    assert_int_equal(look(w->one, 1 * S).circuit, LUN_CIRCUIT_OPEN);
}

static void on_an_open_gateway_every_failure_counts(void **state)
{
    struct bound *w = *state;
    for (int i = 0; i < 5; i++) ends(w->one, (struct lun_report){ .kind = LUN_KIND_RESET, .key = 0, .who = 0 }, 1 * S);
    assert_int_equal(look(w->one, 1 * S).circuit, LUN_CIRCUIT_OPEN);
}

static void a_success_gives_a_client_its_two_again(void **state)
{
    struct bound *w = *state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 9; i++) ends(w->one, (struct lun_report){ .kind = LUN_KIND_RESET, .key = 0, .who = 7 }, 1 * S);
        assert_int_equal(look(w->one, 1 * S).failures_in_a_row, 2);
        ends(w->one, (struct lun_report){ .kind = LUN_KIND_OK, .key = 0 }, 1 * S);
    }
}

static void after_its_rest_one_probe_goes_and_its_success_closes(void **state)
{
    struct bound *w = *state;
    opened(w, 1 * S);
    assert_false(lun_health_begin(w->one, 61 * S - 1, false));
    assert_int_equal(look(w->one, 61 * S).circuit, LUN_CIRCUIT_HALF_OPEN);
    assert_false(look(w->one, 61 * S - 1).healthy);
    assert_true(look(w->one, 61 * S).healthy);                  /* or who takes only healthy ones would never send the probe */
    assert_false(lun_health_rests(w->one, 61 * S));
    assert_true(lun_health_begin(w->one, 61 * S, false));
    assert_false(look(w->one, 61 * S).healthy);
    assert_false(lun_health_begin(w->one, 61 * S, false));      /* one at a time */
    assert_int_equal(lun_health_rests_until(w->one, 61 * S), 62 * S);
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_OK, .key = 0, .latency = S, .began = 61 * S }, 62 * S);
    assert_int_equal(look(w->one, 62 * S).circuit, LUN_CIRCUIT_CLOSED);
    assert_true(look(w->one, 62 * S).healthy);
    fails(w->one, 4, 63 * S);                                   /* and the row begins anew */
    assert_true(look(w->one, 63 * S).healthy);
}

static void a_failed_probe_opens_it_for_another_rest(void **state)
{
    struct bound *w = *state;
    opened(w, 1 * S);
    assert_true(lun_health_begin(w->one, 70 * S, false));
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_CUT, .key = 0, .began = 70 * S }, 71 * S);
    assert_int_equal(look(w->one, 71 * S).circuit, LUN_CIRCUIT_OPEN);
    assert_false(lun_health_begin(w->one, 131 * S - 1, false));
    assert_true(lun_health_begin(w->one, 131 * S, false));
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_OK, .key = 0, .began = 131 * S }, 132 * S);
    assert_true(look(w->one, 132 * S).healthy);
}

static void a_probe_that_says_nothing_gives_its_place_to_the_next(void **state)
{
    struct bound *w = *state;
    opened(w, 1 * S);
    for (int i = 0; i < 3; i++) {
        assert_true(lun_health_begin(w->one, 70 * S, false));
        assert_false(lun_health_begin(w->one, 70 * S, false));
        lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_CANCELLED, .key = 0, .began = 70 * S }, 70 * S);
        assert_int_equal(look(w->one, 70 * S).circuit, LUN_CIRCUIT_HALF_OPEN);
    }
}

static void a_probe_of_a_thread_whose_clock_is_behind_gives_its_place_back(void **state)
{
    struct bound *w = *state;
    struct lun_report left = { .kind = LUN_KIND_CANCELLED, .key = 0 };
    opened(w, 100 * S);
    lun_us due = 160 * S;
    assert_false(lun_health_rests(w->one, due));           /* two threads see it at once */
    assert_true(lun_health_begin(w->one, due + 5 * LUN_MS, true));
    assert_true(lun_health_begin(w->one, due, true));
    left.began = due + 5 * LUN_MS; lun_health_end(w->one, &left, due + 10 * LUN_MS);
    left.began = due; lun_health_end(w->one, &left, due + 10 * LUN_MS);
    assert_false(lun_health_rests(w->one, due + S));
    assert_false(lun_health_rests(w->one, due + 3600 * S));
}

static void half_open_says_how_many_probes_go_at_once(void **state)
{
    struct bound *w = *state;
    w->a->health.half_open = 3;
    opened(w, 1 * S);
    for (int i = 0; i < 3; i++) assert_true(lun_health_begin(w->one, 70 * S, false));
    assert_false(lun_health_begin(w->one, 70 * S, false));
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_CANCELLED, .key = 0, .began = 70 * S }, 71 * S);
    assert_true(lun_health_begin(w->one, 71 * S, false));
}

static void probes_that_a_failure_left_behind_take_nobodys_place(void **state)
{
    struct bound *w = *state;
    w->a->health.half_open = 2;
    opened(w, 1 * S);
    for (lun_us now = 70 * S; now < 300 * S; now += 70 * S) {   /* one of each two fails, the other says nothing for ever */
        assert_true(lun_health_begin(w->one, now, false));
        assert_true(lun_health_begin(w->one, now, false));
        lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_CUT, .key = 0, .began = now }, now);
    }
}

static void what_began_before_a_circuit_opened_neither_closes_nor_reopens_it(void **state)
{
    struct bound *w = *state;
    for (int i = 0; i < 3; i++) assert_true(lun_health_begin(w->one, 1 * S, false));       /* long answers */
    opened(w, 10 * S);
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_OK, .key = 0, .latency = 19 * S }, 20 * S);
    assert_int_equal(look(w->one, 20 * S).circuit, LUN_CIRCUIT_OPEN);
    assert_true(lun_health_begin(w->one, 70 * S, false));       /* the probe */
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_IDLE_TIMEOUT, .key = 0, .latency = 70 * S }, 71 * S);
    assert_int_equal(look(w->one, 71 * S).circuit, LUN_CIRCUIT_HALF_OPEN);
    assert_false(lun_health_begin(w->one, 71 * S, false));      /* the probe's place is still taken */
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_OK, .key = 0, .began = 70 * S }, 72 * S);
    assert_int_equal(look(w->one, 72 * S).circuit, LUN_CIRCUIT_CLOSED);
    w->a->health.failures = 1;
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_IDLE_TIMEOUT, .key = 0, .began = 1 * S }, 80 * S);
    assert_int_equal(look(w->one, 80 * S).circuit, LUN_CIRCUIT_CLOSED);
    assert_int_equal(look(w->one, 80 * S).in_flight, 0);
}

static void who_insists_goes_though_the_circuit_is_open_and_its_success_closes_it(void **state)
{
    struct bound *w = *state;
    opened(w, 1 * S);
    assert_true(lun_health_begin(w->one, 2 * S, true));
    assert_int_equal(look(w->one, 2 * S).in_flight, 1);
    lun_health_end(w->one, &(struct lun_report){ .kind = LUN_KIND_SERVER_ERROR, .key = 0, .began = 2 * S }, 3 * S);
    assert_int_equal(lun_health_rests_until(w->one, 3 * S), 61 * S);    /* a failure does not make it rest longer */
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_OK, .key = 0, .began = 4 * S }, 4 * S);
    assert_true(look(w->one, 4 * S).healthy);
}

/* ---- rests ---- */

static void a_wait_that_was_said_rests_that_target_with_that_key(void **state)
{
    struct bound *w = *state;
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .status = 429, .key = 0, .retry_after = 7 * S }, 10 * S);
    assert_false(lun_health_key_usable(w->one, 0, 17 * S - 1));
    assert_true(lun_health_key_usable(w->one, 0, 17 * S));
    assert_true(lun_health_key_usable(w->one, 1, 10 * S));
    assert_true(lun_health_key_usable(w->two, 0, 10 * S));
    assert_false(lun_health_rests(w->one, 10 * S));             /* the other key serves */
    assert_int_equal(lun_health_key_next(w->one, 10 * S), 1);
    ends(w->two, (struct lun_report){ .kind = LUN_KIND_OVERLOADED, .status = 529, .key = 1, .retry_after = 3 * S }, 10 * S);
    assert_false(lun_health_key_usable(w->two, 1, 12 * S));
    ends(w->other, (struct lun_report){ .kind = LUN_KIND_OVERLOADED, .status = 529, .key = 1 }, 10 * S);
    assert_true(lun_health_key_usable(w->other, 1, 10 * S));    /* nothing was said */
}

static void a_target_all_of_whose_keys_rest_rests_until_the_earliest(void **state)
{
    struct bound *w = *state;
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .retry_after = 7 * S }, 10 * S);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 1, .retry_after = 4 * S }, 10 * S);
    assert_int_equal(lun_health_rests_until(w->one, 10 * S), 14 * S);
    assert_false(lun_health_begin(w->one, 10 * S, false));
    assert_int_equal(lun_health_key_next(w->one, 10 * S), -1);
    assert_false(look(w->one, 10 * S).healthy);
    assert_true(lun_health_begin(w->one, 14 * S, false));
    assert_int_equal(lun_health_key_next(w->one, 14 * S), 1);
}

static void without_a_said_wait_a_rate_limit_rests_longer_each_time_until_an_answer_is_good(void **state)
{
    struct bound *w = *state;
    lun_us now = 0;
    for (int i = 0; i < 9; i++) {
        static const int seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
        ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0 }, now);
        assert_false(lun_health_key_usable(w->one, 0, now + seconds[i] * S - 1));
        now += seconds[i] * S;
        assert_true(lun_health_key_usable(w->one, 0, now));
    }
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 1 }, now);
    assert_true(lun_health_key_usable(w->one, 1, now + S));     /* each key has its own */
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_OK, .key = 0 }, now);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0 }, now);
    assert_true(lun_health_key_usable(w->one, 0, now + S));
}

static void a_shorter_wait_does_not_end_a_longer_one(void **state)
{
    struct bound *w = *state;
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .retry_after = 30 * S }, 0);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .retry_after = 1 * S }, 1 * S);
    assert_false(lun_health_key_usable(w->one, 0, 29 * S));
    ends(w->two, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .retry_after = INT64_MAX }, 1 * S);
    assert_true(lun_health_key_usable(w->two, 0, 86401 * S));   /* cut to a day */
}

static void used_up_quota_rests_the_key_at_the_whole_provider(void **state)
{
    struct bound *w = *state;
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_QUOTA, .status = 429, .key = 0 }, 10 * S);
    assert_false(lun_health_key_usable(w->one, 0, 309 * S));
    assert_false(lun_health_key_usable(w->two, 0, 309 * S));
    assert_true(lun_health_key_usable(w->two, 0, 310 * S));
    assert_true(lun_health_key_usable(w->two, 1, 10 * S));
    assert_true(lun_health_key_usable(w->other, 0, 10 * S));
    ends(w->other, (struct lun_report){ .kind = LUN_KIND_QUOTA, .key = 1, .retry_after = 20 * S }, 10 * S);
    assert_false(lun_health_key_usable(w->other, 1, 29 * S));
    assert_true(lun_health_key_usable(w->other, 1, 30 * S));
}

static void a_401_takes_the_key_out_until_it_is_brought_back(void **state)
{
    struct bound *w = *state;
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_AUTH, .status = 401, .key = 0 }, 10 * S);
    assert_true(lun_health_key_is_out(w->a, 0));
    assert_false(lun_health_key_usable(w->one, 0, 1000000 * S));
    assert_false(lun_health_key_usable(w->two, 0, 1000000 * S));
    assert_false(lun_health_key_is_out(w->b, 0));
    assert_false(lun_health_rests(w->one, 10 * S));
    ends(w->two, (struct lun_report){ .kind = LUN_KIND_AUTH, .status = 401, .key = 1 }, 10 * S);
    assert_int_equal(lun_health_rests_until(w->one, 10 * S), LUN_NEVER);
    assert_false(lun_health_begin(w->one, 1000000 * S, false));
    lun_health_key_back(w->a, 1);
    assert_true(lun_health_begin(w->one, 10 * S, false));
    assert_int_equal(lun_health_key_next(w->one, 10 * S), 1);
    assert_true(lun_health_key_is_out(w->a, 0));                /* one by one */
}

static void a_403_rests_the_key_at_that_target_only(void **state)
{
    struct bound *w = *state;
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_AUTH, .status = 403, .key = 0 }, 10 * S);
    assert_false(lun_health_key_is_out(w->a, 0));
    assert_false(lun_health_key_usable(w->one, 0, 609 * S));
    assert_true(lun_health_key_usable(w->one, 0, 610 * S));
    assert_true(lun_health_key_usable(w->two, 0, 10 * S));
}

static void a_burst_that_is_limited_together_rests_as_long_as_one(void **state)
{
    struct bound *w = *state;
    for (int i = 0; i < 50; i++) ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .began = 10 * S + i }, 11 * S + i);
    assert_false(lun_health_key_usable(w->one, 0, 12 * S));
    assert_true(lun_health_key_usable(w->one, 0, 12 * S + 50));
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .began = 13 * S }, 14 * S);     /* this one has waited */
    assert_false(lun_health_key_usable(w->one, 0, 16 * S - 1));
    assert_true(lun_health_key_usable(w->one, 0, 16 * S));
}

static void with_cooling_provider_a_wait_rests_all_of_its_targets(void **state)
{
    struct bound *w = *state;
    struct lun_provider_view v;
    w->a->health.cooling_provider = w->b->health.cooling_provider = true;
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .retry_after = 5 * S }, 10 * S);
    assert_int_equal(lun_health_rests_until(w->one, 10 * S), 15 * S);
    assert_int_equal(lun_health_rests_until(w->two, 10 * S), 15 * S);
    assert_false(lun_health_rests(w->other, 10 * S));
    assert_false(lun_health_rests(w->two, 15 * S));
    lun_health_provider_look(w->snapshot, w->a, 10 * S, &v);
    assert_int_equal(v.cooling_until, 15 * S);
    assert_int_equal(v.state, LUN_DOWN);
    lun_health_provider_look(w->snapshot, w->a, 15 * S, &v);
    assert_int_equal(v.cooling_until, 0);
    ends(w->other, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0 }, 10 * S);    /* nothing said: a second */
    assert_int_equal(lun_health_rests_until(w->other, 10 * S), 11 * S);
}

static void health_off_means_nothing_rests_and_nothing_is_taken_out(void **state)
{
    struct bound *w = *state;
    w->a->health.off = true;
    fails(w->one, 50, 1 * S);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 0, .retry_after = 50 * S }, 1 * S);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_AUTH, .status = 401, .key = 0 }, 1 * S);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_QUOTA, .key = 1 }, 1 * S);
    assert_false(lun_health_rests(w->one, 1 * S));
    assert_true(lun_health_begin(w->one, 1 * S, false));
    assert_true(lun_health_key_usable(w->one, 0, 1 * S));
    assert_false(lun_health_key_is_out(w->a, 0));
    assert_true(look(w->one, 1 * S).healthy);
    assert_int_equal(look(w->one, 1 * S).failures, 53);         /* it is still counted */
    assert_int_equal(look(w->one, 1 * S).in_flight, 1);
}

static void what_is_neither_good_nor_bad_changes_nothing(void **state)
{
    struct bound *w = *state;
    static const enum lun_kind kinds[] = { LUN_KIND_CANCELLED, LUN_KIND_SKIPPED, LUN_KIND_BAD_REQUEST, LUN_KIND_FILTERED, LUN_KIND_TOO_LONG, LUN_KIND_NOT_FOUND };
    fails(w->one, 4, 1 * S);
    double before = look(w->one, 1 * S).success_rate;
    for (int i = 0; i < 60; i++) ends(w->one, (struct lun_report){ .kind = kinds[i % 6], .status = 400, .key = 0, .latency = 9 * S, .retry_after = 9 * S }, 1 * S);
    struct lun_health_view v = look(w->one, 1 * S);
    assert_int_equal(v.failures_in_a_row, 4);
    assert_int_equal(v.failures, 4);
    assert_int_equal(v.requests, 64);
    assert_int_equal(v.latency, 0);
    assert_true(v.success_rate == before);
    assert_true(v.healthy);
}

/* ---- keys ---- */

static void keys_are_taken_in_turn_over_those_usable(void **state)
{
    struct bound *w = *state;
    bound_move(w, &(struct setting){ .keys = 4, .health = rules });
    int count[4] = {0};
    for (int i = 0; i < 8; i++) assert_int_equal(lun_health_key_next(w->one, 0), i % 4);
    lun_health_key_out(w->a, 1);
    for (int i = 0; i < 30; i++) count[lun_health_key_next(w->one, 0)]++;
    assert_int_equal(count[0], 10);                             /* none has the absent one's part on top of its own */
    assert_int_equal(count[1], 0);
    assert_int_equal(count[2], 10);
    assert_int_equal(count[3], 10);
}

static void without_keys_there_is_one_lane_and_nothing_to_take_out(void **state)
{
    struct bound *w = *state;
    bound_move(w, &(struct setting){ .keys = 0, .health = rules });
    assert_int_equal(lun_health_key_next(w->one, 0), -1);
    assert_true(lun_health_key_usable(w->one, -1, 0));
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = -1, .retry_after = 5 * S }, 0);
    assert_int_equal(lun_health_rests_until(w->one, 0), 5 * S);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_AUTH, .status = 401, .key = -1 }, 0);
    assert_int_equal(lun_health_rests_until(w->one, 0), 600 * S);       /* comes back by itself */
    lun_health_key_out(w->a, 0);
    assert_false(lun_health_key_is_out(w->a, 0));
}

static void a_key_that_is_not_there_is_not_usable_and_does_no_harm(void **state)
{
    struct bound *w = *state;
    assert_false(lun_health_key_usable(w->one, 2, 0));
    assert_false(lun_health_key_usable(w->one, -1, 0));
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_AUTH, .status = 401, .key = 9 }, 0);
    lun_health_key_out(w->a, 9);
    lun_health_key_out(w->a, -1);
    assert_false(lun_health_key_is_out(w->a, 9));
    assert_false(lun_health_rests(w->one, 0));
}

static void over_a_reload_health_follows_the_target_and_the_text_of_the_key(void **state)
{
    struct bound *w = *state;
    static const char *const swapped[] = { "sk-second", "sk-new", "sk-first" };
    opened(w, 1 * S);
    lun_health_key_out(w->a, 0);                                /* sk-first */
    ends(w->two, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 1, .retry_after = 50 * S }, 1 * S);     /* sk-second */
    struct lun_snapshot *old = lun_snapshot_ref(w->snapshot);
    bound_move(w, &(struct setting){ .keys = 3, .health = rules, .key_texts = swapped });
    assert_int_equal(look(w->one, 2 * S).circuit, LUN_CIRCUIT_OPEN);
    assert_true(lun_health_key_is_out(w->a, 2));
    assert_false(lun_health_key_is_out(w->a, 0));
    assert_false(lun_health_key_is_out(w->a, 1));
    assert_false(lun_health_key_usable(w->two, 0, 2 * S));
    assert_true(lun_health_key_usable(w->two, 1, 2 * S));
    assert_true(lun_health_key_is_out(&old->providers[0], 0));  /* who began with the old one sees the same keys at their old places */
    lun_health_key_back(&old->providers[0], 0);
    assert_false(lun_health_key_is_out(w->a, 2));
    lun_snapshot_unref(old);
}

/* ---- measures ---- */

static void good(const struct lun_target *t, lun_us latency, lun_us first_byte, lun_us now)
{
    ends(t, (struct lun_report){ .kind = LUN_KIND_OK, .key = 0, .latency = latency, .first_byte = first_byte }, now);
}

static void a_worse_latency_counts_at_once_and_a_better_one_bit_by_bit(void **state)
{
    struct bound *w = *state;
    assert_int_equal(look(w->one, 0).latency, 0);
    good(w->one, 1 * S, 0, 0);
    good(w->one, 8 * S, 0, 1 * S);
    assert_int_equal(look(w->one, 1 * S).latency, 8 * S);
    good(w->one, 1 * S, 0, 11 * S);
    double expected = 8 * exp(-1) + 1 * (1 - exp(-1));
    assert_true(fabs((double)look(w->one, 11 * S).latency / 1e6 - expected) < 0.001);
    for (int i = 1; i <= 20; i++) good(w->one, 1 * S, 0, (11 + 10 * i) * S);
    assert_true(look(w->one, 211 * S).latency < 1001 * LUN_MS);
}

static void a_time_out_makes_a_target_slow_and_a_quick_failure_does_not_make_it_fast(void **state)
{
    struct bound *w = *state;
    good(w->one, 1 * S, 0, 0);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_CONNECT_REFUSED, .key = 0, .latency = 100 }, 50 * S);
    assert_int_equal(look(w->one, 50 * S).latency, 1 * S);
    ends(w->one, (struct lun_report){ .kind = LUN_KIND_FIRST_BYTE_TIMEOUT, .key = 0, .latency = 60 * S }, 50 * S);
    assert_int_equal(look(w->one, 50 * S).latency, 60 * S);
    assert_int_equal(lun_health_mean_latency(w->one, 100), 1 * S);      /* of good ones only */
}

static struct lun_rests ended(const struct lun_target *t, struct lun_report r, lun_us now)
{
    assert_true(lun_health_begin(t, now, true));
    return lun_health_end(t, &r, now);
}

static void who_tells_others_hears_of_each_rest_once(void **state)
{
    struct bound *w = *state;
    struct lun_report limited = { .kind = LUN_KIND_RATE_LIMITED, .key = 0, .retry_after = 80 * S };
    assert_int_equal(ended(w->one, limited, 0).lane, 80 * S);
    assert_int_equal(ended(w->one, limited, 1 * S).lane, 0);                    /* a burst of them */
    assert_int_equal(ended(w->one, limited, 20 * S).lane, 80 * S);
    struct lun_rests quota = ended(w->one, (struct lun_report){ .kind = LUN_KIND_QUOTA, .key = 1 }, 20 * S);
    assert_int_equal(quota.key, LUN_HEALTH_QUOTA_REST);
    assert_int_equal(quota.lane, 0);
    struct lun_rests failed = ended(w->two, (struct lun_report){ .kind = LUN_KIND_SERVER_ERROR, .key = 0 }, 20 * S);
    assert_false(failed.lane || failed.key || failed.provider);
}

static void what_another_says_rests_as_long_as_it_says_and_a_day_at_most(void **state)
{
    struct bound *w = *state;
    lun_health_rest(w->one, 0, &(struct lun_rests){ .lane = 5 * S }, 10 * S);
    assert_false(lun_health_key_usable(w->one, 0, 14 * S));
    assert_true(lun_health_key_usable(w->one, 0, 15 * S));
    assert_true(lun_health_key_usable(w->one, 1, 14 * S) && lun_health_key_usable(w->two, 0, 14 * S));
    lun_health_rest(w->one, 0, &(struct lun_rests){ .lane = 1 * S, .key = -1, .provider = INT64_MIN }, 10 * S);     /* never earlier */
    assert_false(lun_health_key_usable(w->one, 0, 14 * S));
    lun_health_rest(w->one, -2, &(struct lun_rests){ .lane = INT64_MAX, .key = INT64_MAX }, 20 * S);
    lun_health_rest(w->one, 2, &(struct lun_rests){ .lane = INT64_MAX, .key = INT64_MAX }, 20 * S);
    assert_false(lun_health_rests(w->one, 20 * S));
    lun_health_rest(w->one, 1, &(struct lun_rests){ .key = INT64_MAX }, 20 * S);
    assert_false(lun_health_key_usable(w->two, 1, 86419 * S));
    assert_true(lun_health_key_usable(w->two, 1, 86420 * S));
    lun_health_rest(w->one, 0, &(struct lun_rests){ .provider = 30 * S }, 100000 * S);
    assert_int_equal(lun_health_rests_until(w->two, 100000 * S), 100030 * S);
}

static void load_is_peak_latency_times_what_is_in_flight_and_one(void **state)
{
    struct bound *w = *state;
    good(w->one, 2 * S, 0, 0);
    assert_true(fabs(lun_health_load(w->one, 0) - 2) < 1e-9);
    for (int i = 0; i < 3; i++) assert_true(lun_health_begin(w->one, 0, false));
    assert_true(fabs(lun_health_load(w->one, 30 * S) - 8) < 1e-9);      /* does not fade while something is under way */
}

static void an_idle_targets_peak_fades_so_that_somebody_looks_again(void **state)
{
    struct bound *w = *state;
    good(w->one, 30 * S, 0, 0);
    good(w->two, 1 * S, 0, 100 * S);
    assert_true(lun_health_load(w->one, 0) > lun_health_load(w->two, 0));
    assert_true(lun_health_load(w->one, 100 * S) < lun_health_load(w->two, 100 * S));
    assert_true(lun_health_begin(w->one, 100 * S, false));
    assert_true(lun_health_load(w->one, 100 * S) > lun_health_load(w->two, 100 * S));      /* one, not a herd */
}

static void of_targets_nobody_knows_each_gets_one_request_first(void **state)
{
    struct bound *w = *state;
    good(w->two, 1 * S, 0, 0);
    assert_true(lun_health_load(w->one, 0) < lun_health_load(w->two, 0));
    assert_true(lun_health_begin(w->one, 0, false));
    assert_true(lun_health_load(w->one, 0) > lun_health_load(w->two, 0));
    assert_true(lun_health_begin(w->other, 0, false));
    assert_true(lun_health_begin(w->other, 0, false));
    assert_true(lun_health_load(w->one, 0) < lun_health_load(w->other, 0));
}

static void the_success_rate_is_over_the_last_hundred(void **state)
{
    struct bound *w = *state;
    assert_true(look(w->one, 0).success_rate == 1);
    w->a->health.off = true;
    fails(w->one, 50, 0);
    assert_true(look(w->one, 0).success_rate == 0);
    for (int i = 0; i < 75; i++) good(w->one, 1, 0, 0);
    assert_true(fabs(look(w->one, 0).success_rate - 0.75) < 1e-9);
    for (int i = 0; i < 25; i++) good(w->one, 1, 0, 0);
    assert_true(look(w->one, 0).success_rate == 1);
    assert_int_equal(look(w->one, 0).requests, 150);
    assert_int_equal(look(w->one, 0).failures, 50);
}

static void the_last_hundred_outcomes_are_told_in_their_order(void **state)
{
    struct bound *w = *state;
    char recent[LUN_HEALTH_RECENT];
    w->a->health.off = true;
    lun_health_recent(w->one, recent);
    assert_string_equal(recent, "");
    good(w->one, 1, 0, 0);
    fails(w->one, 2, 0);
    lun_health_recent(w->one, recent);
    assert_string_equal(recent, "+--");
    for (int i = 0; i < 99; i++) good(w->one, 1, 0, 0);
    lun_health_recent(w->one, recent);
    assert_int_equal(strlen(recent), 100);
    assert_int_equal(strspn(recent, "-"), 1);
    assert_int_equal(strspn(recent + 1, "+"), 99);
}

static void means_and_quantiles_are_over_the_last_good_ones(void **state)
{
    struct bound *w = *state;
    assert_int_equal(lun_health_mean_latency(w->one, 10), 0);
    assert_int_equal(lun_health_quantile(w->one, false, 0.99), 0);
    for (int i = 1; i <= 100; i++) good(w->one, i * 37 % 101 * LUN_MS, i * LUN_MS, 0);      /* 1 to 100, in no order */
    assert_int_equal(lun_health_quantile(w->one, false, 0.5), 50 * LUN_MS);
    assert_int_equal(lun_health_quantile(w->one, false, 0.99), 99 * LUN_MS);
    assert_int_equal(lun_health_quantile(w->one, false, 1), 100 * LUN_MS);
    assert_int_equal(lun_health_quantile(w->one, false, 0), 1 * LUN_MS);
    assert_int_equal(lun_health_quantile(w->one, true, 0.9), 90 * LUN_MS);
    assert_int_equal(lun_health_mean_latency(w->one, 100), 50500);
    for (int i = 0; i < 10; i++) good(w->one, 3 * S, 0, 0);
    assert_int_equal(lun_health_mean_latency(w->one, 10), 3 * S);
    for (int i = 0; i < 1000; i++) good(w->one, 7 * S, 0, 0);
    assert_int_equal(lun_health_quantile(w->one, false, 0), 7 * S);     /* the old ones are gone */
    assert_int_equal(lun_health_mean_latency(w->one, 5000), 7 * S);
}

static void quantiles_are_right_for_any_samples(void **state)
{
    struct bound *w = *state;
    uint64_t seed = 1;
    int counts[64] = {0}, n = 0;
    for (int i = 0; i < 777; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int ms = (int)((seed >> 40) % 64);
        if (!ms) continue;
        counts[ms]++;
        n++;
        good(w->one, ms * LUN_MS, 0, 0);
    }
    for (int percent = 1; percent <= 100; percent++) {
        int rank = (int)ceil(percent / 100.0 * n), ms = 0;
        for (int below = 0; below < rank; ) below += counts[++ms];
        assert_int_equal(lun_health_quantile(w->one, false, percent / 100.0), ms * LUN_MS);
    }
}

/* ---- providers ---- */

static void a_provider_is_degraded_when_some_of_its_targets_rest_and_down_when_all_do(void **state)
{
    struct bound *w = *state;
    struct lun_provider_view v;
    assert_int_equal(lun_health_provider(w->snapshot, w->a, 1 * S), LUN_HEALTHY);
    opened(w, 1 * S);
    assert_int_equal(lun_health_provider(w->snapshot, w->a, 1 * S), LUN_DEGRADED);
    fails(w->two, 5, 1 * S);
    assert_int_equal(lun_health_provider(w->snapshot, w->a, 1 * S), LUN_DOWN);
    assert_int_equal(lun_health_provider(w->snapshot, w->b, 1 * S), LUN_HEALTHY);
    lun_health_provider_look(w->snapshot, w->a, 1 * S, &v);
    assert_int_equal(v.failures, 10);
    assert_true(v.success_rate == 0);
    good(w->two, 2 * S, 0, 62 * S);
    good(w->one, 4 * S, 0, 62 * S);
    lun_health_provider_look(w->snapshot, w->a, 62 * S, &v);
    assert_int_equal(v.failures, 0);
    assert_int_equal(v.latency, 3 * S);
    assert_int_equal(v.state, LUN_HEALTHY);
    assert_true(fabs(v.success_rate - 2.0 / 12) < 1e-9);
}

/* ---- Retry-After and its relatives ---- */

static lun_us said(const char *name, const char *value, lun_us wall)
{
    return lun_retry_after(&(struct lun_pair){ name, value }, 1, wall);
}

static lun_us noon(void)
{
    struct tm t = { .tm_year = 126, .tm_mon = 10, .tm_mday = 21, .tm_hour = 12 };
    return (lun_us)timegm(&t) * S;
}

static void retry_after_is_seconds_or_one_of_the_three_http_dates(void **state)
{
    (void)state;
    assert_int_equal(said("Retry-After", "7", 0), 7 * S);
    assert_int_equal(said("retry-after", " 2.5 ", 0), 2500 * LUN_MS);
    assert_int_equal(said("RETRY-AFTER", "Sat, 21 Nov 2026 12:00:30 GMT", noon()), 30 * S);
    assert_int_equal(said("retry-after", "Saturday, 21-Nov-26 12:00:30 GMT", noon()), 30 * S);
    assert_int_equal(said("retry-after", "Sat Nov 21 12:00:30 2026", noon()), 30 * S);
    assert_int_equal(said("retry-after", "Sun Nov  1 12:00:30 2026", noon()), 0);      /* past */
}

static void retry_after_ms_is_more_exact_and_goes_first(void **state)
{
    (void)state;
    struct lun_pair headers[] = { { "x-ratelimit-reset-requests", "6m0s" }, { "retry-after", "2" }, { "Retry-After-Ms", "1500" } };
    assert_int_equal(lun_retry_after(headers, 3, 0), 1500 * LUN_MS);
    assert_int_equal(lun_retry_after(headers, 2, 0), 2 * S);
    assert_int_equal(lun_retry_after(headers, 1, 0), 360 * S);
    assert_int_equal(lun_retry_after(headers, 0, 0), 0);
}

static void resets_come_as_units_seconds_or_unix_times(void **state)
{
    (void)state;
    lun_us wall = 1800000000 * S;
    assert_int_equal(said("x-ratelimit-reset-requests", "1s", wall), 1 * S);
    assert_int_equal(said("x-ratelimit-reset-tokens", "6m0s", wall), 360 * S);
    assert_int_equal(said("x-ratelimit-reset-tokens", "20ms", wall), 20 * LUN_MS);
    assert_int_equal(said("x-ratelimit-reset-tokens", "1h2m3.5s", wall), 3723500 * LUN_MS);
    assert_int_equal(said("x-ratelimit-reset-tokens", "12", wall), 12 * S);
    assert_int_equal(said("x-ratelimit-reset-tokens", "1800000042", wall), 42 * S);
    assert_int_equal(said("X-RateLimit-Reset", "1800000042000", wall), 42 * S);
    assert_int_equal(said("x-ratelimit-reset-requests-day", "33011.382867", wall), 33011382867);
    assert_int_equal(said("ratelimit-reset", "42", wall), 42 * S);
}

static void resets_come_as_points_in_time_too(void **state)
{
    (void)state;
    assert_int_equal(said("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:30Z", noon()), 30 * S);
    assert_int_equal(said("Anthropic-RateLimit-Input-Tokens-Reset", "2026-11-21T12:00:30.5Z", noon()), 30500 * LUN_MS);
    assert_int_equal(said("x-ratelimit-reset-tokens", "2026-11-21T14:00:30+02:00", noon()), 30 * S);
    assert_int_equal(said("x-ratelimit-reset-tokens", "2026-11-21T11:30:30-00:30", noon()), 30 * S);
    assert_int_equal(said("x-ratelimit-reset-tokens", "2026-11-21T11:59:30Z", noon()), 0);
    static const char *const rubbish[] = { "2026-11-21T12:00:30", "2026-11-21 12:00:30Z", "2026-11-21T12:00:30.Z", "2026-11-21T12:00:30+2:00", "2026-11-21T12:00:30Zz", "2026-11-21TT12:00:30Z" };
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) if (said("x-ratelimit-reset", rubbish[i], noon())) fail_msg("'%s'", rubbish[i]);
    assert_int_equal(said("x-ratelimit-resets", "5", 0), 0);
    assert_int_equal(said("x-ratelimit-reset-", "5", 0), 0);
    assert_int_equal(said("anthropic-ratelimit-reset", "5", 0), 0);
    assert_int_equal(said("my-ratelimit-reset", "5", 0), 0);
}

static void of_resets_the_largest_that_applies_counts(void **state)
{
    (void)state;
    struct lun_pair headers[] = { { "x-ratelimit-reset-requests", "2s" }, { "x-ratelimit-reset-tokens", "9s" }, { "x-ratelimit-remaining-tokens", "1200" } };
    assert_int_equal(lun_retry_after(headers, 2, 0), 9 * S);
    assert_int_equal(lun_retry_after(headers, 3, 0), 2 * S);    /* tokens are left: it was the requests */
    struct lun_pair other[] = { { "anthropic-ratelimit-tokens-reset", "2026-11-21T12:00:50Z" }, { "anthropic-ratelimit-requests-reset", "2026-11-21T12:00:30Z" },
                                { "anthropic-ratelimit-tokens-remaining", "7" }, { "anthropic-ratelimit-requests-remaining", "0" } };
    assert_int_equal(lun_retry_after(other, 2, noon()), 50 * S);
    assert_int_equal(lun_retry_after(other, 4, noon()), 30 * S);
}

static void absurd_waits_are_cut_and_rubbish_is_passed_over(void **state)
{
    (void)state;
    static const char *const rubbish[] = { "", "soon", "1 2", "1s2", "NaN", "inf", "0x10", "1e9", "5 apples", "Sat, 99 Foo 2026 12:00:00 GMT", "Sat, 21 Nov 2026",
                                           "Sat, 21 Nov 2026 12:00:00 GMT tomorrow", "-", ".", "s", "+3" };
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        struct lun_pair headers[] = { { "retry-after-ms", rubbish[i] }, { "retry-after", rubbish[i] }, { "x-ratelimit-reset-tokens", "3s" } };
        if (lun_retry_after(headers, 3, noon()) != 3 * S) fail_msg("'%s'", rubbish[i]);
        assert_int_equal(said("x-ratelimit-reset", rubbish[i], 0), 0);
    }
    assert_int_equal(said("retry-after", "-5", 0), 0);
    assert_int_equal(said("retry-after", "86401", 0), 86400 * S);
    assert_int_equal(said("retry-after", "99999999999999999999999999999999999999999999", 0), 86400 * S);
    assert_int_equal(said("retry-after", "Sat, 21 Nov 2099 12:00:00 GMT", noon()), 86400 * S);
    assert_int_equal(said("x-ratelimit-reset-tokens", "999999h", 0), 86400 * S);
}

/* ---- threads ---- */

struct crowd { struct bound *w; uint64_t seed; int good, bad; };

static void *ask(void *of)
{
    struct crowd *c = of;
    for (int i = 0; i < 20000; i++) {
        const struct lun_target *t = i % 2 ? c->w->one : c->w->two;
        lun_us now = i * LUN_MS;
        c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
        struct lun_report r = { .kind = (c->seed >> 40) % 8 ? LUN_KIND_OK : LUN_KIND_SERVER_ERROR, .key = lun_health_key_next(t, now), .latency = 1 + i % 100,
                                .first_byte = 1, .who = c->seed >> 60 };
        struct lun_health_view v;
        if (!lun_health_begin(t, now, false)) continue;
        lun_health_look(t, now, &v);
        lun_health_load(t, now);
        if (i % 64 == 0) lun_health_quantile(t, false, 0.9);
        if (i % 50 == 0) lun_health_key_out(c->w->a, 0), lun_health_key_back(c->w->a, 0);
        *(r.kind == LUN_KIND_OK ? &c->good : &c->bad) += 1;
        lun_health_end(t, &r, now);
    }
    return NULL;
}

static void any_thread_may_report_and_nothing_is_lost(void **state)
{
    struct bound *w = *state;
    struct crowd crowd[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){ .w = w, .seed = (uint64_t)i };
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &crowd[i]), 0);
    }
    int64_t all = 0, bad = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        all += crowd[i].good + crowd[i].bad;
        bad += crowd[i].bad;
    }
    struct lun_health_view one = look(w->one, 0), two = look(w->two, 0);
    assert_int_equal(one.requests + two.requests, all);
    assert_int_equal(one.failures + two.failures, bad);
    assert_int_equal(one.in_flight + two.in_flight, 0);
}

/* Two who probe a provider that was down, over and over: how often one was let through while the other was under way. */
struct seekers { atomic_int under_way, too_many; };
struct seeker { const struct lun_target *t; struct seekers *all; };

static void *seek(void *of)
{
    const struct seeker *me = of;
    for (int i = 0; i < 1000000; i++) {
        if (!lun_health_begin(me->t, 70 * S, false)) continue;
        if (atomic_fetch_add(&me->all->under_way, 1)) atomic_fetch_add(&me->all->too_many, 1);
        atomic_fetch_sub(&me->all->under_way, 1);
        lun_health_end(me->t, &(struct lun_report){ .kind = LUN_KIND_CANCELLED, .key = 1, .began = 70 * S }, 70 * S);
    }
    return NULL;
}

static int too_many(const struct lun_target *t, const struct lun_target *u)
{
    struct seekers all = {0};
    struct seeker two[] = { { t, &all }, { u, &all } };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, seek, &two[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    return all.too_many;
}

/* The provider's own circuit is open, those of its targets are not. */
static void one_probe_at_a_time_goes_to_a_provider_that_was_down_whoever_comes_and_for_which_target(void **state)
{
    struct bound *w = *state;
    w->a->probe.every = 3600 * S;
    for (int i = 0; i < 5; i++) ends(w->one, (struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .key = 1 }, 1 * S);
    assert_false(lun_health_begin(w->two, 1 * S, false));
    assert_int_equal(look(w->one, 1 * S).circuit, LUN_CIRCUIT_CLOSED);
    assert_int_equal(too_many(w->one, w->one), 0);
    assert_int_equal(too_many(w->one, w->two), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(who_tells_others_hears_of_each_rest_once), T(what_another_says_rests_as_long_as_it_says_and_a_day_at_most),
        T(five_failures_in_a_row_open_a_circuit), T(any_success_ends_the_row), cmocka_unit_test(only_kinds_that_break_count_toward_opening),
        T(one_clients_failures_count_at_most_twice), T(on_an_open_gateway_every_failure_counts), T(a_success_gives_a_client_its_two_again),
        T(after_its_rest_one_probe_goes_and_its_success_closes), T(a_failed_probe_opens_it_for_another_rest),
        T(a_probe_that_says_nothing_gives_its_place_to_the_next), T(half_open_says_how_many_probes_go_at_once), T(a_probe_of_a_thread_whose_clock_is_behind_gives_its_place_back),
        T(probes_that_a_failure_left_behind_take_nobodys_place),
        T(what_began_before_a_circuit_opened_neither_closes_nor_reopens_it),
        T(who_insists_goes_though_the_circuit_is_open_and_its_success_closes_it),
        T(a_wait_that_was_said_rests_that_target_with_that_key), T(a_target_all_of_whose_keys_rest_rests_until_the_earliest),
        T(without_a_said_wait_a_rate_limit_rests_longer_each_time_until_an_answer_is_good), T(a_shorter_wait_does_not_end_a_longer_one),
        T(used_up_quota_rests_the_key_at_the_whole_provider), T(a_401_takes_the_key_out_until_it_is_brought_back),
        T(a_403_rests_the_key_at_that_target_only), T(with_cooling_provider_a_wait_rests_all_of_its_targets),
        T(a_burst_that_is_limited_together_rests_as_long_as_one),
        T(health_off_means_nothing_rests_and_nothing_is_taken_out), T(what_is_neither_good_nor_bad_changes_nothing),
        T(keys_are_taken_in_turn_over_those_usable), T(without_keys_there_is_one_lane_and_nothing_to_take_out),
        T(a_key_that_is_not_there_is_not_usable_and_does_no_harm), T(over_a_reload_health_follows_the_target_and_the_text_of_the_key),
        T(a_worse_latency_counts_at_once_and_a_better_one_bit_by_bit), T(a_time_out_makes_a_target_slow_and_a_quick_failure_does_not_make_it_fast),
        T(load_is_peak_latency_times_what_is_in_flight_and_one), T(an_idle_targets_peak_fades_so_that_somebody_looks_again),
        T(of_targets_nobody_knows_each_gets_one_request_first), T(the_success_rate_is_over_the_last_hundred),
        T(the_last_hundred_outcomes_are_told_in_their_order),
        T(means_and_quantiles_are_over_the_last_good_ones), T(quantiles_are_right_for_any_samples),
        T(a_provider_is_degraded_when_some_of_its_targets_rest_and_down_when_all_do),
        cmocka_unit_test(retry_after_is_seconds_or_one_of_the_three_http_dates), cmocka_unit_test(retry_after_ms_is_more_exact_and_goes_first),
        cmocka_unit_test(resets_come_as_units_seconds_or_unix_times), cmocka_unit_test(resets_come_as_points_in_time_too), cmocka_unit_test(of_resets_the_largest_that_applies_counts),
        cmocka_unit_test(absurd_waits_are_cut_and_rubbish_is_passed_over),
        T(any_thread_may_report_and_nothing_is_lost), T(one_probe_at_a_time_goes_to_a_provider_that_was_down_whoever_comes_and_for_which_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

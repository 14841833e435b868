/* Rates: slots on arrival, turns among clients, batch work's share, windows that are never overrun. All of it on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "bound.h"
#include "state/health.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

static const struct lun_health_rules rules = { .failures = 5, .rest = 60 * LUN_SECOND, .half_open = 1 };

static struct bound world(int keys, int64_t requests, int64_t tokens)
{
    struct bound w;
    bound_open(&w, &(struct setting){ .keys = keys, .health = rules, .requests = requests, .tokens = tokens });
    return w;
}

struct told { struct lun_turn turn; int moved; };

static void count(struct lun_turn *t) { ((struct told *)t)->moved++; }

static struct told waiter(uint64_t who, int64_t tokens, bool batch)
{
    return (struct told){ .turn = { .who = who, .tokens = tokens, .batch = batch, .moved = count } };
}

static void send(struct bound *w, int times, int64_t tokens, bool batch, lun_us now)
{
    while (times--) {
        struct lun_turn t = { .tokens = tokens, .batch = batch };
        assert_true(lun_turn_take(w->one, &t, now) <= now);
        assert_true(lun_turn_granted(&t, now));
        lun_turn_use(&t, now);
    }
}

/* ---- slots ---- */

static void without_a_limit_everybody_goes_at_once(void **s)
{
    (void)s;
    struct bound w = world(1, 0, 0);
    send(&w, 5000, 1000000, true, 7 * S);
    assert_int_equal(lun_limit_requests_left(w.one, 7 * S), -1);
    assert_int_equal(lun_limit_tokens_left(w.one, 7 * S), -1);
    bound_close(&w);
}

static void who_comes_over_the_limit_is_given_the_time_of_its_slot(void **s)
{
    (void)s;
    struct bound w = world(1, 3, 0);
    struct told late[4];
    send(&w, 1, 0, false, 0);
    send(&w, 1, 0, false, 10 * S);
    send(&w, 1, 0, false, 20 * S);
    assert_int_equal(lun_limit_requests_left(w.one, 20 * S), 0);
    static const lun_us slots[] = { 60, 70, 80, 120 };          /* the fourth waits for the first of these */
    for (int i = 0; i < 4; i++) {
        late[i] = waiter(0, 0, false);
        assert_int_equal(lun_turn_take(w.one, &late[i].turn, 30 * S), slots[i] * S);
        assert_int_equal(lun_turn_due(&late[i].turn), slots[i] * S);
    }
    for (int i = 0; i < 4; i++) {
        assert_false(lun_turn_granted(&late[i].turn, slots[i] * S - 1));
        assert_true(lun_turn_granted(&late[i].turn, slots[i] * S));
        lun_turn_use(&late[i].turn, slots[i] * S);
        assert_int_equal(late[i].moved, 0);
    }
    bound_close(&w);
}

static void a_use_counts_for_sixty_seconds_and_not_longer(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    struct told t = waiter(0, 0, false);
    send(&w, 1, 0, false, 5 * S);
    assert_int_equal(lun_limit_requests_left(w.one, 65 * S - 1), 0);
    assert_int_equal(lun_turn_take(w.one, &t.turn, 65 * S - 1), 65 * S);
    lun_turn_leave(&t.turn, 65 * S - 1);
    assert_int_equal(lun_limit_requests_left(w.one, 65 * S), 1);
    send(&w, 1, 0, false, 65 * S);
    bound_close(&w);
}

static void tokens_have_a_window_of_their_own(void **s)
{
    (void)s;
    struct bound w = world(1, 100, 1000);
    struct told big = waiter(0, 700, false), small = waiter(0, 100, false);
    send(&w, 1, 600, false, 0);
    send(&w, 1, 300, false, 10 * S);
    assert_int_equal(lun_limit_tokens_left(w.one, 10 * S), 100);
    assert_int_equal(lun_turn_take(w.one, &big.turn, 20 * S), 60 * S);
    assert_int_equal(lun_turn_take(w.one, &small.turn, 20 * S), 70 * S);       /* nobody small overtakes somebody large */
    assert_false(lun_turn_granted(&small.turn, 60 * S));
    assert_true(lun_turn_granted(&big.turn, 60 * S));
    lun_turn_use(&big.turn, 60 * S);
    assert_true(lun_turn_granted(&small.turn, 70 * S));
    lun_turn_leave(&small.turn, 70 * S);
    bound_close(&w);
}

static void more_tokens_than_the_limit_go_when_the_window_is_empty(void **s)
{
    (void)s;
    struct bound w = world(1, 0, 1000);
    struct told huge = waiter(0, INT64_MAX, false), next = waiter(0, 1, false);
    send(&w, 1, 10, false, 0);
    assert_int_equal(lun_turn_take(w.one, &huge.turn, 1 * S), 60 * S);
    assert_int_equal(lun_turn_take(w.one, &next.turn, 1 * S), 120 * S);
    assert_true(lun_turn_granted(&huge.turn, 60 * S));
    lun_turn_use(&huge.turn, 60 * S);
    assert_int_equal(lun_limit_tokens_left(w.one, 60 * S), 0);
    assert_false(lun_turn_granted(&next.turn, 119 * S));
    assert_true(lun_turn_granted(&next.turn, 120 * S));
    lun_turn_leave(&next.turn, 120 * S);
    send(&w, 1, 0, false, 120 * S);
    send(&w, 1, 5000, false, 121 * S);                          /* who used no tokens is in nobody's way */
    bound_close(&w);
}

/* ---- leaving ---- */

static void who_leaves_frees_its_slot_and_those_behind_move_up_and_are_told(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    struct told t[4];
    send(&w, 1, 0, false, 0);
    for (int i = 0; i < 4; i++) {
        t[i] = waiter(0, 0, false);
        assert_int_equal(lun_turn_take(w.one, &t[i].turn, 1 * S), (i + 1) * 60 * S);
    }
    lun_turn_leave(&t[1].turn, 2 * S);
    assert_int_equal(lun_turn_due(&t[0].turn), 60 * S);
    assert_int_equal(lun_turn_due(&t[2].turn), 120 * S);
    assert_int_equal(lun_turn_due(&t[3].turn), 180 * S);
    assert_int_equal(t[0].moved, 0);
    assert_int_equal(t[1].moved, 0);
    assert_int_equal(t[2].moved, 1);
    assert_int_equal(t[3].moved, 1);
    lun_turn_leave(&t[1].turn, 2 * S);                          /* has left: nothing more */
    assert_int_equal(t[2].moved, 1);
    lun_turn_leave(&t[0].turn, 60 * S);                         /* its time had come, and it did not use it */
    assert_true(lun_turn_granted(&t[2].turn, 60 * S));
    lun_turn_use(&t[2].turn, 60 * S);
    lun_turn_leave(&t[2].turn, 60 * S);                         /* after use nothing is given back */
    assert_int_equal(lun_limit_requests_left(w.one, 60 * S), 0);
    lun_turn_leave(&t[3].turn, 60 * S);
    bound_close(&w);
}

static void a_turn_that_is_granted_and_not_used_holds_its_place(void **s)
{
    (void)s;
    struct bound w = world(1, 2, 0);
    struct told t[3];
    for (int i = 0; i < 3; i++) t[i] = waiter(0, 0, false);
    assert_int_equal(lun_turn_take(w.one, &t[0].turn, 0), 0);
    assert_int_equal(lun_turn_take(w.one, &t[1].turn, 0), 0);
    assert_int_equal(lun_turn_take(w.one, &t[2].turn, 0), 60 * S);
    assert_true(lun_turn_granted(&t[1].turn, 0));               /* in any order */
    assert_true(lun_turn_granted(&t[0].turn, 0));
    lun_turn_leave(&t[0].turn, 0);
    assert_int_equal(t[2].moved, 1);
    assert_true(lun_turn_granted(&t[2].turn, 0));
    lun_turn_use(&t[1].turn, 0);
    lun_turn_use(&t[2].turn, 0);
    assert_int_equal(lun_limit_requests_left(w.one, 0), 0);
    bound_close(&w);
}

static void who_comes_between_a_grant_and_its_use_does_not_take_its_place(void **s)
{
    (void)s;
    struct bound w = world(1, 2, 0);
    struct told mine[2] = { waiter(1, 0, false), waiter(1, 0, false) }, other = waiter(2, 0, false);
    lun_turn_take(w.one, &mine[0].turn, 0);
    lun_turn_take(w.one, &mine[1].turn, 0);
    assert_true(lun_turn_granted(&mine[1].turn, 0));
    assert_int_equal(lun_turn_take(w.one, &other.turn, 0), 60 * S);     /* would go before the first one's second, were that not granted */
    assert_false(lun_turn_granted(&other.turn, 0));
    assert_true(lun_turn_granted(&mine[0].turn, 0));
    lun_turn_use(&mine[1].turn, 0);
    lun_turn_use(&mine[0].turn, 0);
    lun_turn_leave(&other.turn, 0);
    assert_int_equal(lun_limit_requests_left(w.one, 0), 0);
    bound_close(&w);

    w = world(1, 2, 0);                                         /* batch work gives way to all other, but not once it was granted */
    struct told batch = waiter(1, 0, true), one = waiter(2, 0, false), two = waiter(3, 0, false);
    lun_turn_take(w.one, &batch.turn, 0);
    assert_true(lun_turn_granted(&batch.turn, 0));
    assert_int_equal(lun_turn_take(w.one, &one.turn, 0), 0);
    assert_int_equal(lun_turn_take(w.one, &two.turn, 0), 60 * S);
    assert_true(lun_turn_granted(&one.turn, 0));
    assert_false(lun_turn_granted(&two.turn, 0));
    lun_turn_leave(&batch.turn, 0);                             /* not used: its place is free */
    assert_true(lun_turn_granted(&two.turn, 0));
    lun_turn_use(&one.turn, 0);
    lun_turn_use(&two.turn, 0);
    bound_close(&w);
}

static void a_slot_that_was_used_late_moves_those_behind_to_a_later_time_and_nobody_overruns(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    struct told a = waiter(0, 0, false), b = waiter(0, 0, false);
    send(&w, 1, 0, false, 0);
    assert_int_equal(lun_turn_take(w.one, &a.turn, 0), 60 * S);
    assert_int_equal(lun_turn_take(w.one, &b.turn, 0), 120 * S);
    lun_turn_use(&a.turn, 75 * S);
    assert_false(lun_turn_granted(&b.turn, 120 * S));
    assert_int_equal(lun_turn_due(&b.turn), 135 * S);           /* later than now: a timer set to it does not spin */
    assert_true(lun_turn_granted(&b.turn, 135 * S));
    lun_turn_leave(&b.turn, 135 * S);
    bound_close(&w);
}

static void who_insists_is_counted_though_it_was_not_its_turn(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    struct told a = waiter(0, 0, false), b = waiter(0, 0, false);
    send(&w, 1, 0, false, 0);
    assert_int_equal(lun_turn_take(w.one, &a.turn, 0), 60 * S);
    assert_int_equal(lun_turn_take(w.one, &b.turn, 0), 120 * S);
    lun_turn_use(&a.turn, 10 * S);
    assert_int_equal(lun_turn_due(&b.turn), 70 * S);
    assert_int_equal(b.moved, 1);
    lun_turn_leave(&b.turn, 10 * S);
    bound_close(&w);
}

/* ---- order ---- */

static void clients_take_turns_within_a_class(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    struct told t[7];
    send(&w, 1, 0, false, 0);
    static const uint64_t who[] = { 1, 1, 1, 1, 2, 2, 3 };      /* in the order they come */
    for (int i = 0; i < 7; i++) {
        t[i] = waiter(who[i], 0, false);
        lun_turn_take(w.one, &t[i].turn, 1 * S);
    }
    static const int order[] = { 0, 4, 6, 1, 5, 2, 3 };         /* 1 2 3, 1 2, 1, 1 */
    for (int i = 0; i < 7; i++) assert_int_equal(lun_turn_due(&t[order[i]].turn), (i + 1) * 60 * S);
    for (int i = 0; i < 7; i++) {
        lun_us now = (i + 1) * 60 * S;
        for (int j = i + 1; j < 7; j++) assert_false(lun_turn_granted(&t[order[j]].turn, now));
        assert_true(lun_turn_granted(&t[order[i]].turn, now));
        lun_turn_use(&t[order[i]].turn, now);
    }
    bound_close(&w);
}

static void on_an_open_gateway_who_comes_first_goes_first(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    struct told t[50];
    send(&w, 1, 0, false, 0);
    for (int i = 0; i < 50; i++) {
        t[i] = waiter(0, 0, false);
        assert_int_equal(lun_turn_take(w.one, &t[i].turn, 1 * S), (i + 1) * 60 * S);
    }
    for (int i = 0; i < 50; i++) lun_turn_leave(&t[i].turn, 2 * S);
    bound_close(&w);
}

static void batch_work_has_at_most_seventy_percent_of_a_window(void **s)
{
    (void)s;
    struct bound w = world(1, 10, 0);
    struct told over = waiter(0, 0, true), quick = waiter(0, 0, false);
    send(&w, 7, 0, true, 0);
    assert_int_equal(lun_turn_take(w.one, &over.turn, 1 * S), 60 * S);
    assert_int_equal(lun_limit_requests_left(w.one, 1 * S), 2); /* one of three is spoken for, however late */
    assert_int_equal(lun_turn_take(w.one, &quick.turn, 1 * S), 1 * S);
    assert_true(lun_turn_granted(&quick.turn, 1 * S));
    lun_turn_use(&quick.turn, 1 * S);
    send(&w, 2, 0, false, 2 * S);
    assert_false(lun_turn_granted(&over.turn, 59 * S));
    assert_true(lun_turn_granted(&over.turn, 60 * S));
    lun_turn_leave(&over.turn, 60 * S);
    bound_close(&w);
}

static void batch_works_share_holds_for_tokens_too(void **s)
{
    (void)s;
    struct bound w = world(1, 0, 1000);
    struct told over = waiter(0, 1, true), whole = waiter(0, 5000, true);
    send(&w, 1, 700, true, 0);
    send(&w, 1, 300, false, 0);
    assert_int_equal(lun_turn_take(w.one, &over.turn, 1 * S), 60 * S);
    assert_int_equal(lun_turn_take(w.one, &whole.turn, 1 * S), 120 * S);
    lun_turn_leave(&over.turn, 1 * S);
    lun_turn_leave(&whole.turn, 1 * S);
    bound_close(&w);
}

static void of_a_window_of_one_batch_work_still_gets_it(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    send(&w, 1, 0, true, 0);
    send(&w, 1, 0, true, 60 * S);
    bound_close(&w);
}

static void others_go_before_batch_work_that_waits(void **s)
{
    (void)s;
    struct bound w = world(1, 2, 0);
    struct told batch[3], quick = waiter(0, 0, false);
    send(&w, 2, 0, false, 0);
    for (int i = 0; i < 3; i++) {
        batch[i] = waiter(0, 0, true);
        assert_int_equal(lun_turn_take(w.one, &batch[i].turn, 1 * S), (i + 1) * 60 * S);       /* one of two, and then again */
    }
    assert_int_equal(lun_turn_take(w.one, &quick.turn, 2 * S), 60 * S);
    assert_int_equal(lun_turn_due(&batch[0].turn), 60 * S);     /* there is room for both */
    struct told more = waiter(0, 0, false);
    assert_int_equal(lun_turn_take(w.one, &more.turn, 2 * S), 60 * S);
    assert_int_equal(lun_turn_due(&batch[0].turn), 120 * S);
    assert_false(lun_turn_granted(&batch[0].turn, 60 * S));
    lun_turn_leave(&quick.turn, 3 * S);
    assert_int_equal(lun_turn_due(&batch[0].turn), 60 * S);
    assert_int_equal(batch[0].moved, 1);
    lun_turn_leave(&more.turn, 3 * S);
    for (int i = 0; i < 3; i++) lun_turn_leave(&batch[i].turn, 3 * S);
    bound_close(&w);
}

/* ---- keys ---- */

static void each_key_has_a_window_and_the_first_free_one_is_taken(void **s)
{
    (void)s;
    struct bound w = world(2, 1, 0);
    struct told t[4];
    for (int i = 0; i < 4; i++) t[i] = waiter(0, 0, false);
    assert_int_equal(lun_limit_requests_left(w.one, 0), 2);
    assert_int_equal(lun_turn_take(w.one, &t[0].turn, 0), 0);
    lun_turn_use(&t[0].turn, 0);
    assert_int_equal(lun_turn_take(w.one, &t[1].turn, 10 * S), 10 * S);
    lun_turn_use(&t[1].turn, 10 * S);
    assert_int_not_equal(t[0].turn.key, t[1].turn.key);
    assert_int_equal(lun_turn_take(w.one, &t[2].turn, 20 * S), 60 * S);
    assert_int_equal(t[2].turn.key, t[0].turn.key);
    assert_int_equal(lun_turn_take(w.one, &t[3].turn, 20 * S), 70 * S);
    assert_int_equal(t[3].turn.key, t[1].turn.key);
    assert_int_equal(lun_limit_requests_left(w.two, 20 * S), 2);        /* another target, other windows */
    lun_turn_leave(&t[2].turn, 20 * S);
    lun_turn_leave(&t[3].turn, 20 * S);
    bound_close(&w);
}

static void equal_keys_are_taken_in_turn_with_and_without_limits(void **s)
{
    (void)s;
    struct bound full = world(2, 1, 0);
    struct told t = waiter(0, 0, false);
    send(&full, 2, 0, false, 0);
    assert_int_equal(lun_turn_take(full.one, &t.turn, 0), 60 * S);
    assert_int_equal(t.turn.key, 0);                            /* behind the one taken last */
    lun_turn_leave(&t.turn, 0);
    bound_close(&full);
    for (int limit = 0; limit <= 100; limit += 100) {
        struct bound w = world(3, limit, 0);
        for (int i = 0; i < 9; i++) {
            struct lun_turn turn = {0};
            assert_int_equal(lun_turn_take(w.one, &turn, 0), 0);
            assert_int_equal(turn.key, i % 3);
            lun_turn_use(&turn, 0);
        }
        bound_close(&w);
    }
}

static void a_key_that_rests_is_not_taken_and_without_any_there_is_no_turn(void **s)
{
    (void)s;
    for (int limit = 0; limit <= 1; limit++) {
        struct bound w = world(2, limit, 0);
        struct lun_turn t = {0}, none = {0};
        lun_health_key_out(w.a, 0);
        lun_turn_take(w.one, &t, 0);
        assert_int_equal(t.key, 1);
        lun_turn_use(&t, 0);
        lun_health_key_out(w.a, 1);
        assert_int_equal(lun_turn_take(w.one, &none, 0), LUN_NEVER);
        assert_false(lun_turn_granted(&none, 1000 * S));
        lun_turn_leave(&none, 0);
        bound_close(&w);
    }
}

static void a_provider_without_keys_has_one_window(void **s)
{
    (void)s;
    struct bound w = world(0, 1, 0);
    struct lun_turn t = {0};
    assert_int_equal(lun_turn_take(w.one, &t, 0), 0);
    assert_int_equal(t.key, -1);
    lun_turn_use(&t, 0);
    assert_int_equal(lun_turn_take(w.one, &t, 0), 60 * S);
    lun_turn_leave(&t, 0);
    bound_close(&w);
}

/* ---- what turned out otherwise ---- */

static void known_tokens_take_the_place_of_estimated_ones(void **s)
{
    (void)s;
    struct bound w = world(1, 0, 1000);
    struct told t = waiter(0, 500, false);
    send(&w, 1, 900, false, 0);
    assert_int_equal(lun_turn_take(w.one, &t.turn, 1 * S), 60 * S);
    lun_turn_correct(w.one, 0, 900, 400, 2 * S);
    assert_int_equal(lun_turn_due(&t.turn), 2 * S);
    assert_int_equal(t.moved, 1);
    lun_turn_use(&t.turn, 2 * S);
    assert_int_equal(lun_limit_tokens_left(w.one, 2 * S), 100);
    lun_turn_correct(w.one, 0, 500, 900, 3 * S);                /* more than thought */
    assert_int_equal(lun_limit_tokens_left(w.one, 3 * S), 0);
    assert_int_equal(lun_limit_tokens_left(w.one, 60 * S), 100);        /* 400 have left, at the time they were used */
    lun_turn_correct(w.one, 0, 400, 0, 61 * S);                 /* has left the window: nothing to put right */
    lun_turn_correct(w.one, 5, 900, 0, 61 * S);
    assert_int_equal(lun_limit_tokens_left(w.one, 61 * S), 100);
    bound_close(&w);
}

static void a_providers_own_word_counts_when_it_says_less_than_we_think(void **s)
{
    (void)s;
    struct bound w = world(1, 10, 1000);
    struct told t = waiter(0, 0, false);
    send(&w, 1, 100, false, 0);
    lun_limit_told(w.one, 0, 500, 5000, 1 * S);                 /* more than we think: somebody else counts */
    assert_int_equal(lun_limit_requests_left(w.one, 1 * S), 9);
    assert_int_equal(lun_limit_tokens_left(w.one, 1 * S), 900);
    lun_limit_told(w.one, 0, 2, -1, 1 * S);
    assert_int_equal(lun_limit_requests_left(w.one, 1 * S), 2);
    assert_int_equal(lun_limit_tokens_left(w.one, 1 * S), 900);
    lun_limit_told(w.one, 0, -1, 0, 5 * S);
    assert_int_equal(lun_limit_tokens_left(w.one, 5 * S), 0);
    lun_limit_told(w.one, 0, 0, 0, 6 * S);
    assert_int_equal(lun_turn_take(w.one, &t.turn, 7 * S), 60 * S);     /* the one we sent leaves the window first */
    lun_turn_leave(&t.turn, 7 * S);
    assert_int_equal(lun_limit_requests_left(w.one, 66 * S), 10);
    bound_close(&w);
}

static void a_reload_changes_the_rate_of_a_window_and_keeps_what_is_in_it(void **s)
{
    (void)s;
    struct bound w = world(1, 1, 0);
    struct told t = waiter(0, 0, false);
    send(&w, 1, 0, false, 0);
    assert_int_equal(lun_turn_take(w.one, &t.turn, 1 * S), 60 * S);
    bound_move(&w, &(struct setting){ .keys = 1, .health = rules, .requests = 3 });
    assert_int_equal(t.moved, 1);
    assert_true(lun_turn_granted(&t.turn, 1 * S));
    lun_turn_use(&t.turn, 1 * S);
    assert_int_equal(lun_limit_requests_left(w.one, 1 * S), 1);
    bound_move(&w, &(struct setting){ .keys = 1, .health = rules, .requests = 1 });
    assert_int_equal(lun_turn_take(w.one, &t.turn, 2 * S), 61 * S);
    lun_turn_leave(&t.turn, 2 * S);
    bound_close(&w);
}

static void clocks_of_threads_that_differ_a_little_do_no_harm(void **s)
{
    (void)s;
    struct bound w = world(1, 2, 0);
    struct told t = waiter(0, 0, false);
    send(&w, 1, 0, false, 10 * S);
    assert_int_equal(lun_turn_take(w.one, &t.turn, 10 * S - 5), 10 * S - 5);
    assert_true(lun_turn_granted(&t.turn, 10 * S - 5));
    lun_turn_use(&t.turn, 10 * S - 5);
    assert_int_equal(lun_limit_requests_left(w.one, 70 * S - 1), 0);
    assert_int_equal(lun_limit_requests_left(w.one, 70 * S), 2);
    bound_close(&w);
}

/* ---- any schedule ---- */

enum { PEOPLE = 40, STEPS = 4000, KEPT = 100000 };
struct person { struct told told; bool waits; lun_us came, seen; };
struct used { lun_us at; int64_t tokens; bool batch; };

static uint64_t roll(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % below;
}

static void check_window(const struct used *used, int n, lun_us now, int64_t requests, int64_t tokens)
{
    int64_t all = 0, batch = 0, all_tokens = 0, batch_tokens = 0;
    int eaters = 0, batch_eaters = 0;           /* one that is larger than the limit may go, when no other has used any */
    for (int i = n; i-- && used[i].at > now - 60 * S; ) {
        all++;
        eaters += used[i].tokens > 0;
        batch_eaters += used[i].tokens > 0 && used[i].batch;
        all_tokens += used[i].tokens;
        batch += used[i].batch;
        batch_tokens += used[i].batch ? used[i].tokens : 0;
    }
    if (requests) assert_true(all <= requests && (batch <= requests * 7 / 10 || batch == 1));
    if (tokens) assert_true((all_tokens <= tokens || eaters == 1) && (batch_tokens <= tokens * 7 / 10 || batch_eaters == 1));
}

/* Everyone wakes only at the times it was told of; some leave, some are slow, the window is never overrun and everybody comes to go. */
static void run_schedule(uint64_t seed)
{
    int64_t requests = roll(&seed, 4) ? 1 + (int64_t)roll(&seed, 20) : 0, tokens = roll(&seed, 2) || !requests ? 100 + (int64_t)roll(&seed, 2000) : 0;
    struct bound w = world(1, requests, tokens);
    struct person people[PEOPLE];
    struct used *used = malloc(KEPT * sizeof *used);
    int n = 0, idle = 0;
    lun_us now = 0;
    memset(people, 0, sizeof people);
    for (int step = 0; step < STEPS; step++) {
        struct person *p = &people[roll(&seed, PEOPLE)];
        bool closing = step > STEPS * 3 / 4;
        if (!p->waits && !closing && roll(&seed, 3)) {
            p->told = waiter(roll(&seed, 4), (int64_t)roll(&seed, roll(&seed, 5) ? 300 : 3000), roll(&seed, 3) == 0);
            p->seen = lun_turn_take(w.one, &p->told.turn, now);
            p->waits = true;
            p->came = now;
        } else if (p->waits && roll(&seed, 12) == 0) {
            lun_turn_leave(&p->told.turn, now);
            p->waits = false;
        }
        lun_us next = LUN_NEVER;
        for (int i = 0; i < PEOPLE; i++) {
            struct person *q = &people[i];
            if (q->told.moved) q->told.moved = 0, q->seen = lun_turn_due(&q->told.turn);
            if (!q->waits || (q->seen <= now && roll(&seed, 4) == 0)) continue;         /* slow */
            if (q->seen <= now && lun_turn_granted(&q->told.turn, now)) {
                lun_turn_use(&q->told.turn, now);
                used[n++] = (struct used){ now, q->told.turn.tokens, q->told.turn.batch };
                check_window(used, n, now, requests, tokens);
                q->waits = false;
                idle = 0;
            } else if (q->seen <= now) {
                q->seen = lun_turn_due(&q->told.turn);
                assert_true(q->seen > now);
            }
        }
        for (int i = 0; i < PEOPLE; i++) {
            if (people[i].told.moved) people[i].told.moved = 0, people[i].seen = lun_turn_due(&people[i].told.turn);
            if (people[i].waits && people[i].seen < next) next = people[i].seen;
        }
        if (closing ? next != LUN_NEVER && next > now : roll(&seed, 3) == 0) now = closing ? next : now + (lun_us)roll(&seed, 20 * S);
        assert_true(idle++ < 3000);
    }
    for (int i = 0; i < PEOPLE; i++) assert_false(people[i].waits);
    assert_true(n > 50);
    free(used);
    bound_close(&w);
}

static void no_schedule_overruns_a_window_or_forgets_anybody(void **s)
{
    (void)s;
    for (uint64_t seed = 1; seed <= 60; seed++) run_schedule(seed * 7919);
}

/* While nobody else comes, the time told on arrival is the time it goes. */
static void a_slots_time_is_true_while_nobody_else_comes_or_leaves(void **s)
{
    (void)s;
    for (uint64_t round = 1; round <= 40; round++) {
        uint64_t seed = round;
        struct bound w = world(1, 1 + (int64_t)roll(&seed, 10), roll(&seed, 2) ? 500 + (int64_t)roll(&seed, 500) : 0);
        struct told t[60];
        lun_us told[60], last = 0;
        for (int i = 0; i < 60; i++) {
            t[i] = waiter(0, (int64_t)roll(&seed, 600), i >= 40);       /* batch comes last: nobody is put before another */
            told[i] = lun_turn_take(w.one, &t[i].turn, 5 * S);
            assert_true(told[i] >= last);
            last = told[i];
        }
        for (int i = 0; i < 60; i++) {
            if (told[i] > 5 * S) assert_false(lun_turn_granted(&t[i].turn, told[i] - 1));
            assert_true(lun_turn_granted(&t[i].turn, told[i]));
            lun_turn_use(&t[i].turn, told[i]);
            assert_int_equal(t[i].moved, 0);
        }
        bound_close(&w);
    }
}

struct crowd { struct bound *w; atomic_int *sent, *news; int number; bool stopped; };
struct threaded { struct lun_turn turn; atomic_int *news; };
static void post(struct lun_turn *t) { atomic_fetch_add(((struct threaded *)t)->news, 1); }

static void *queue_up(void *of)
{
    struct crowd *c = of;
    uint64_t seed = (uint64_t)c->number + 1;
    for (int i = 0; i < 3000; i++) {
        struct threaded t = { .turn = { .who = (uint64_t)c->number, .tokens = (int64_t)roll(&seed, 50), .batch = roll(&seed, 3) == 0, .moved = post }, .news = c->news };
        lun_turn_take(c->w->one, &t.turn, 1 * S);
        for (int tries = (int)roll(&seed, 4); tries-- && !lun_turn_granted(&t.turn, 1 * S); ) sched_yield();
        if (roll(&seed, 50) == 0) lun_limit_requests_left(c->w->one, 1 * S);
        if (roll(&seed, 3) && lun_turn_granted(&t.turn, 1 * S)) {
            lun_turn_use(&t.turn, 1 * S);
            atomic_fetch_add(c->sent, 1);
            lun_turn_correct(c->w->one, 0, t.turn.tokens, t.turn.tokens, 1 * S);
        } else lun_turn_leave(&t.turn, 1 * S);
    }
    return NULL;
}

static void threads_together_send_no_more_than_a_window_holds(void **s)
{
    (void)s;
    struct bound w = world(1, 500, 0);
    atomic_int sent = 0, news = 0;
    struct crowd crowd[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){ .w = &w, .sent = &sent, .news = &news, .number = i };
        assert_int_equal(pthread_create(&threads[i], NULL, queue_up, &crowd[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(sent, 500);
    assert_int_equal(lun_limit_requests_left(w.one, 1 * S), 0);
    bound_close(&w);
}

/* ---- clients and quotas ---- */

static void a_clients_rate_has_no_queue_and_says_how_long_to_wait(void **s)
{
    (void)s;
    struct bound w = world(1, 0, 0);
    for (int i = 0; i < 3; i++) assert_int_equal(lun_limit_client(w.app, i * 10 * S), 0);
    assert_int_equal(lun_limit_client(w.app, 25 * S), 35 * S);
    assert_int_equal(lun_limit_client(w.app, 59 * S), 1 * S);   /* who is refused does not wait longer for it */
    assert_int_equal(lun_limit_client(w.app, 60 * S), 0);
    assert_int_equal(lun_limit_client(w.app, 60 * S), 10 * S);
    for (int i = 0; i < 1000; i++) assert_int_equal(lun_limit_client(w.web, 0), 0);    /* no limit */
    bound_move(&w, &(struct setting){ .keys = 1, .health = rules });
    assert_int_equal(lun_limit_client(w.app, 60 * S), 10 * S);  /* the same client, after a reload */
    bound_close(&w);
}

static void retries_are_a_share_of_recent_requests_and_some_at_least(void **s)
{
    (void)s;
    struct lun_quota *q = lun_quota_new(10 * S, 10);
    for (int i = 0; i < 10; i++) assert_true(lun_quota_take(q, 0.2, 0));
    assert_false(lun_quota_take(q, 0.2, 0));
    for (int i = 0; i < 100; i++) lun_quota_request(q, 1 * S);
    for (int i = 0; i < 10; i++) assert_true(lun_quota_take(q, 0.2, 1 * S));
    assert_false(lun_quota_take(q, 0.2, 1 * S));                /* 20 of 100 */
    assert_true(lun_quota_take(q, -1, 1 * S));                  /* no budget: always */
    assert_false(lun_quota_take(q, 0, 100 * S));                /* a share of nothing: never */
    lun_quota_free(q);
}

static void a_quota_forgets_what_is_older_than_its_window(void **s)
{
    (void)s;
    struct lun_quota *q = lun_quota_new(10 * S, 10);
    for (int i = 0; i < 1000; i++) lun_quota_request(q, 0);
    for (int i = 0; i < 200; i++) assert_true(lun_quota_take(q, 0.2, 5 * S));
    assert_false(lun_quota_take(q, 0.2, 5 * S));
    assert_false(lun_quota_take(q, 0.2, 11 * S));               /* the requests are gone, the retries not yet */
    for (int i = 0; i < 10; i++) assert_true(lun_quota_take(q, 0.2, 16 * S));
    assert_false(lun_quota_take(q, 0.2, 16 * S));
    for (int i = 0; i < 1000; i++) lun_quota_request(q, 25 * S);        /* in the place of the second 5, whose 200 are gone */
    for (int i = 0; i < 190; i++) assert_true(lun_quota_take(q, 0.2, 25 * S));
    assert_false(lun_quota_take(q, 0.2, 25 * S));               /* with those of 16 */
    lun_quota_free(q);
}

enum { ASKERS = 4, ASKED = 20000 };

/* Over the ends of tenths: each of them is begun by whoever comes first. */
static void *ask_often(void *quota)
{
    for (int i = 0; i < ASKED; i++) lun_quota_request(quota, i * (8 * S / ASKED));
    return NULL;
}

static void requests_of_many_threads_are_all_counted(void **s)
{
    (void)s;
    struct lun_quota *q = lun_quota_new(10 * S, 0);
    pthread_t threads[ASKERS];
    for (int i = 0; i < ASKERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, ask_often, q), 0);
    for (int i = 0; i < ASKERS; i++) pthread_join(threads[i], NULL);
    int taken = 0;
    while (lun_quota_take(q, 0.5, 8 * S)) taken++;
    assert_int_equal(taken, ASKERS * ASKED / 2);
    lun_quota_free(q);
}

/* A reload that failed half way puts the version before into force again. */
static void a_client_goes_by_the_rate_that_was_applied_last(void **s)
{
    (void)s;
    struct bound w = world(1, 0, 0);
    w.app->requests_per_minute = 5;
    lun_registry_apply(w.registry, w.snapshot);
    for (int i = 0; i < 5; i++) assert_int_equal(lun_limit_client(w.app, S), 0);
    assert_int_equal(lun_limit_client(w.app, S), 60 * S);
    w.app->requests_per_minute = 7;
    lun_registry_apply(w.registry, w.snapshot);
    for (int i = 0; i < 2; i++) assert_int_equal(lun_limit_client(w.app, S), 0);
    assert_int_equal(lun_limit_client(w.app, S), 60 * S);
    bound_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_everybody_goes_at_once), cmocka_unit_test(who_comes_over_the_limit_is_given_the_time_of_its_slot),
        cmocka_unit_test(a_use_counts_for_sixty_seconds_and_not_longer), cmocka_unit_test(tokens_have_a_window_of_their_own),
        cmocka_unit_test(more_tokens_than_the_limit_go_when_the_window_is_empty),
        cmocka_unit_test(who_leaves_frees_its_slot_and_those_behind_move_up_and_are_told),
        cmocka_unit_test(a_turn_that_is_granted_and_not_used_holds_its_place), cmocka_unit_test(who_comes_between_a_grant_and_its_use_does_not_take_its_place),
        cmocka_unit_test(a_slot_that_was_used_late_moves_those_behind_to_a_later_time_and_nobody_overruns),
        cmocka_unit_test(who_insists_is_counted_though_it_was_not_its_turn), cmocka_unit_test(clients_take_turns_within_a_class),
        cmocka_unit_test(on_an_open_gateway_who_comes_first_goes_first), cmocka_unit_test(batch_work_has_at_most_seventy_percent_of_a_window),
        cmocka_unit_test(batch_works_share_holds_for_tokens_too), cmocka_unit_test(of_a_window_of_one_batch_work_still_gets_it),
        cmocka_unit_test(others_go_before_batch_work_that_waits), cmocka_unit_test(each_key_has_a_window_and_the_first_free_one_is_taken),
        cmocka_unit_test(equal_keys_are_taken_in_turn_with_and_without_limits),
        cmocka_unit_test(a_key_that_rests_is_not_taken_and_without_any_there_is_no_turn), cmocka_unit_test(a_provider_without_keys_has_one_window),
        cmocka_unit_test(known_tokens_take_the_place_of_estimated_ones),
        cmocka_unit_test(a_providers_own_word_counts_when_it_says_less_than_we_think),
        cmocka_unit_test(a_reload_changes_the_rate_of_a_window_and_keeps_what_is_in_it),
        cmocka_unit_test(clocks_of_threads_that_differ_a_little_do_no_harm), cmocka_unit_test(no_schedule_overruns_a_window_or_forgets_anybody),
        cmocka_unit_test(a_slots_time_is_true_while_nobody_else_comes_or_leaves), cmocka_unit_test(threads_together_send_no_more_than_a_window_holds),
        cmocka_unit_test(a_client_goes_by_the_rate_that_was_applied_last),
        cmocka_unit_test(a_clients_rate_has_no_queue_and_says_how_long_to_wait), cmocka_unit_test(retries_are_a_share_of_recent_requests_and_some_at_least),
        cmocka_unit_test(a_quota_forgets_what_is_older_than_its_window), cmocka_unit_test(requests_of_many_threads_are_all_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The balanced order: sticky sessions with bounded load, otherwise the better of two. */
#include "policy_world.h"
#include "state/order.h"

static const struct lun_target *first_for(struct world *w, struct lun_question *q, const char *session, int n, const struct lun_target **order)
{
    q->session = session;
    for (int i = 0; i < n; i++) order[i] = &w->target[i];
    lun_order_balanced(q, order, n);
    return order[0];
}

static void begin(struct world *w, int target, int n) { while (n--) lun_health_begin(&w->target[target], w->loop.now, true); }

static void answer_in(struct world *w, int target, lun_us latency)
{
    struct lun_report report = { .kind = LUN_KIND_OK, .status = 200, .key = -1, .latency = latency, .first_byte = latency };
    begin(w, target, 1);
    lun_health_end(&w->target[target], &report, w->loop.now);
}

static void break_it(struct world *w, int target)
{
    for (int i = 0; i < 5; i++) {
        struct lun_report report = { .kind = LUN_KIND_RESET, .key = -1 };
        begin(w, target, 1);
        lun_health_end(&w->target[target], &report, w->loop.now);
    }
}

static void every_target_is_there_once(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    for (int i = 0; i < 100; i++) {
        char session[16];
        snprintf(session, sizeof session, "s%d", i);
        first_for(w, q, i % 2 ? session : NULL, 5, order);
        unsigned seen = 0;
        for (int k = 0; k < 5; k++) seen |= 1u << order[k]->index;
        assert_int_equal(seen, 31);
    }
    over(w, q);
}

static void a_session_keeps_its_target(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    int share[5] = { 0 };
    for (int i = 0; i < 1000; i++) {
        char session[16];
        snprintf(session, sizeof session, "s%d", i);
        const struct lun_target *t = first_for(w, q, session, 5, order);
        assert_ptr_equal(first_for(w, q, session, 5, order), t);
        share[t->index]++;
    }
    for (int i = 0; i < 5; i++) assert_in_range(share[i], 140, 260);
    over(w, q);
}

static void only_the_sessions_of_a_lost_target_move(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    for (int i = 0; i < 300; i++) {
        char session[16];
        snprintf(session, sizeof session, "s%d", i);
        const struct lun_target *with = first_for(w, q, session, 5, order), *second = order[1];
        const struct lun_target *without = first_for(w, q, session, 4, order);
        assert_ptr_equal(without, with->index == 4 ? second : with);
    }
    over(w, q);
}

static void a_full_target_comes_after_the_others(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    int home = first_for(w, q, "hot", 5, order)->index, second = order[1]->index;
    begin(w, home, 1);                  /* its fair share of 2 among 5, times 1.25, is 1 */
    assert_int_equal(first_for(w, q, "hot", 5, order)->index, second);
    assert_int_equal(order[4]->index, home);
    for (int i = 0; i < 5; i++) begin(w, i, 4);         /* its 5 are now within its share of 24 */
    begin(w, (home + 1) % 5, 2);
    assert_int_equal(first_for(w, q, "hot", 5, order)->index, home);
    over(w, q);
}

static void a_hot_session_spreads_as_far_as_the_bound_says(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    int busy[5] = { 0 };
    for (int i = 0; i < 100; i++) {
        int t = first_for(w, q, "hot", 5, order)->index;
        begin(w, t, 1);
        busy[t]++;
    }
    for (int i = 0; i < 5; i++) assert_in_range(busy[i], 0, 25);       /* 1.25 × 100 / 5 */
    over(w, q);
}

static void resting_targets_come_last(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    break_it(w, 1);
    break_it(w, 3);
    for (int i = 0; i < 200; i++) {
        char session[16];
        snprintf(session, sizeof session, "s%d", i);
        first_for(w, q, i % 2 ? session : NULL, 5, order);
        for (int k = 0; k < 3; k++) assert_true(order[k]->index != 1 && order[k]->index != 3);
    }
    over(w, q);
}

static void without_a_session_the_less_loaded_of_two_is_taken(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    int share[5] = { 0 };
    for (int i = 0; i < 5; i++) answer_in(w, i, LUN_SECOND);
    begin(w, 2, 50);
    for (int i = 0; i < 2000; i++) share[first_for(w, q, NULL, 5, order)->index]++;
    assert_int_equal(share[2], 0);                      /* loses against whichever it is drawn with */
    for (int i = 0; i < 5; i++) if (i != 2) assert_in_range(share[i], 300, 700);
    for (int i = 0; i < 200; i++) { first_for(w, q, NULL, 2, order); assert_in_range(order[0]->index, 0, 1); }
    over(w, q);
}

static void weights_are_honoured(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    const struct lun_target *order[5];
    int sticky[2] = { 0 }, drawn[2] = { 0 };
    w->target[0].weight = 3;
    for (int i = 0; i < 2000; i++) {
        char session[16];
        snprintf(session, sizeof session, "s%d", i);
        sticky[first_for(w, q, session, 2, order)->index]++;
        drawn[first_for(w, q, NULL, 2, order)->index]++;
    }
    assert_in_range(sticky[0], 1400, 1600);
    assert_in_range(drawn[0], 1400, 1600);
    w->target[0].weight = 0;
    for (int i = 0; i < 100; i++) {
        char session[16];
        snprintf(session, sizeof session, "s%d", i);
        assert_int_equal(first_for(w, q, session, 3, order)->index == 0, 0);
        assert_int_equal(first_for(w, q, NULL, 3, order)->index == 0, 0);
    }
    over(w, q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(every_target_is_there_once),
        unit(a_session_keeps_its_target),
        unit(only_the_sessions_of_a_lost_target_move),
        unit(a_full_target_comes_after_the_others),
        unit(a_hot_session_spreads_as_far_as_the_bound_says),
        unit(resting_targets_come_last),
        unit(without_a_session_the_less_loaded_of_two_is_taken),
        unit(weights_are_honoured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

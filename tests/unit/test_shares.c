/* Rates that several gateways have together: in any 60 s all of them send no more than the limit, whatever becomes of messages; what one lacks, others give
 * back; nothing is lost for good. Gateways with real limiters, and a Redis that does what lua/fleet.lua says; all of it on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/limiter.h"
#include "state/shares.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S LUN_SECOND
enum { GATEWAYS = 4, USES = 1 << 16 };

struct gateway {
    struct lun_shares *shares;
    struct lun_limiter *client, *target;
    struct lun_share_word words[4]; size_t n;
    bool begins, woken;
    struct lun_tally kept[2];           /* in Redis: of the client's limit and the target's */
};
struct world {
    struct gateway g[GATEWAYS]; int n;
    int64_t requests, tokens;           /* limits: the client's requests; the target's requests and tokens */
    lun_us now;
    struct { lun_us at; int64_t requests, tokens; } sent[2][USES]; size_t n_sent[2], first[2];
    struct lun_tally recent[2], dearest[2];
};

static uint64_t seed;
static uint64_t dice(uint64_t n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % n;
}

static void wake(void *self) { ((struct gateway *)self)->woken = true; }

static struct world *world_new(int n, int64_t requests, int64_t tokens)
{
    struct world *w = calloc(1, sizeof *w);
    w->n = n, w->requests = requests, w->tokens = tokens, w->now = 1000 * S;
    for (int i = 0; i < n; i++) {
        struct gateway *g = &w->g[i];
        g->shares = lun_shares_new();
        g->client = lun_limiter_new(requests, 0), g->target = lun_limiter_new(requests, tokens);
        lun_shares_add(g->shares, "key app", g->client);
        lun_shares_begin(g->shares, wake, g);
        lun_shares_add(g->shares, "target t", g->target);
        g->begins = true;
    }
    return w;
}

static void world_free(struct world *w)
{
    for (int i = 0; i < w->n; i++) {
        lun_shares_free(w->g[i].shares);
        lun_limiter_free(w->g[i].client), lun_limiter_free(w->g[i].target);
    }
    free(w);
}

/* ---- Redis ---- */

static int index_of(const char *name) { return !strcmp(name, "target t"); }

static int64_t part(int64_t has, int64_t want, int64_t limit, int64_t taken)
{
    if (want <= has || !limit) return want;
    int64_t fits = want < limit - taken ? want : limit - taken;
    return fits > has ? fits : has;
}

static struct lun_tally others(const struct world *w, int but, int which)
{
    struct lun_tally sum = {0};
    for (int i = 0; i < w->n; i++) if (i != but) lun_tally_add(&sum, w->g[i].kept[which]);
    return sum;
}

static struct lun_tally store(struct world *w, int me, const struct lun_share_word *word)
{
    int which = index_of(word->name);
    struct lun_tally *has = &w->g[me].kept[which], taken = others(w, me, which);
    has->requests = part(has->requests, word->want.requests, word->limit.requests, taken.requests);
    has->tokens = part(has->tokens, word->want.tokens, word->limit.tokens, taken.tokens);
    bool is_short = has->requests < word->want.requests || has->tokens < word->want.tokens;
    for (int i = 0; i < w->n && word->lacks && is_short; i++) if (i != me) lun_shares_wanted(w->g[i].shares, word->name, w->now);
    return *has;
}

enum fate { HEARD, UNHEARD, LOST };      /* the answer came; it did not; nor did the message */

static void talk(struct world *w, int me, enum fate fate)
{
    struct gateway *g = &w->g[me];
    size_t at = 0;
    g->n = g->begins ? lun_shares_register(g->shares, &at, g->words, 4, w->now) : lun_shares_words(g->shares, w->n, g->words, 4, w->now);
    for (size_t i = 0; i < g->n && fate != LOST; i++) {
        struct lun_tally is = store(w, me, &g->words[i]);
        if (fate == HEARD) lun_shares_answer(g->words[i].share, &g->words[i], is, w->now);
    }
    g->begins = fate != HEARD;
    g->woken = false;
}

static void talk_all(struct world *w, int times)
{
    while (times--) {
        for (int i = 0; i < w->n; i++) talk(w, i, HEARD);
        w->now += LUN_SHARES_POLL;
    }
}

/* ---- what is sent ---- */

static void count(struct world *w, int which, int64_t tokens)
{
    size_t n = w->n_sent[which]++ % USES;
    w->sent[which][n].at = w->now, w->sent[which][n].requests = 1, w->sent[which][n].tokens = tokens;
    lun_tally_add(&w->recent[which], (struct lun_tally){ 1, tokens });
    for (;; w->first[which]++) {
        size_t i = w->first[which] % USES;
        if (w->sent[which][i].at + LUN_WINDOW > w->now) break;
        lun_tally_take(&w->recent[which], (struct lun_tally){ 1, w->sent[which][i].tokens });
    }
    if (w->recent[which].requests > w->dearest[which].requests) w->dearest[which].requests = w->recent[which].requests;
    if (w->recent[which].tokens > w->dearest[which].tokens) w->dearest[which].tokens = w->recent[which].tokens;
}

static bool pass(struct world *w, int i)
{
    bool through = !lun_limiter_pass(w->g[i].client, w->now);
    if (through) count(w, 0, 0);
    return through;
}

static bool send(struct world *w, int i, int64_t tokens)
{
    struct lun_turn t = { .tokens = tokens };
    bool goes = lun_limiter_take(w->g[i].target, &t, w->now) <= w->now && lun_turn_granted(&t, w->now);
    if (goes) lun_turn_use(&t, w->now), count(w, 1, tokens);
    else lun_turn_leave(&t, w->now);
    return goes;
}

static void within(const struct world *w, const char *when)
{
    if (w->dearest[0].requests > w->requests || w->dearest[1].requests > w->requests || w->dearest[1].tokens > w->tokens)
        fail_msg("%s: in 60 s %lld of a client and %lld of a target were sent, of %lld; and %lld tokens of %lld", when, (long long)w->dearest[0].requests,
                 (long long)w->dearest[1].requests, (long long)w->requests, (long long)w->dearest[1].tokens, (long long)w->tokens);
}

/* ---- promises ---- */

static void whatever_is_lost_of_messages_the_limit_holds(void **state)
{
    (void)state;
    long long sent = 0;
    for (int round = 1; round <= 400; round++) {
        seed = (uint64_t)round * 0x9E3779B97F4A7C15u | 1;
        struct world *w = world_new(2 + (int)dice(GATEWAYS - 1), 4 + (int64_t)dice(40), 1000 + (int64_t)dice(4000));
        char name[32];
        snprintf(name, sizeof name, "round %d", round);
        for (int i = 0; i < w->n; i++) talk(w, i, HEARD);       /* all are known before one of them draws: the script waits for that */
        for (int step = 0; step < 2000; step++) {
            int i = (int)dice((uint64_t)w->n);
            switch (dice(8)) {
            case 0: talk(w, i, HEARD); break;
            case 1: talk(w, i, dice(4) ? HEARD : dice(2) ? UNHEARD : LOST); break;
            case 2: w->now += (lun_us)dice(3 * S); break;
            case 3: case 4: pass(w, i); break;
            default: send(w, i, (int64_t)dice(600));
            }
        }
        within(w, name);
        sent += (long long)(w->n_sent[0] + w->n_sent[1]);
        world_free(w);
    }
    print_message("400 schedules of 2,000 steps: %lld sent, never more than the limit\n", sent);
}

static void all_of_a_limit_can_be_had_by_the_one_who_asks(void **state)
{
    (void)state;
    struct world *w = world_new(3, 60, 6000);
    int passed = 0, sent = 0;
    talk_all(w, 3);
    for (int i = 0; i < 100; i++) {
        passed += pass(w, 1), sent += send(w, 2, 100);
        talk_all(w, 1);
    }
    assert_int_equal(passed, 60);
    assert_int_equal(sent, 60);
    within(w, "then");
    world_free(w);
}

static void nothing_stays_with_one_who_has_no_use_for_it(void **state)
{
    (void)state;
    struct world *w = world_new(2, 60, 6000);
    int first = 0, second = 0;
    talk_all(w, 3);
    for (int i = 0; i < 80; i++) first += pass(w, 0), talk_all(w, 1);
    assert_int_equal(first, 60);
    w->now += 61 * S;
    talk_all(w, 2);
    for (int i = 0; i < 30; i++) second += pass(w, 1);          /* at once: half of it was given back without being asked for */
    assert_int_equal(second, 30);
    world_free(w);
}

static void who_lacks_wakes_the_carrier_and_is_told_a_time_soon(void **state)
{
    (void)state;
    struct world *w = world_new(2, 60, 6000);
    talk_all(w, 3);
    while (pass(w, 0)) { }
    assert_true(w->g[0].woken);
    assert_int_equal(lun_limiter_pass(w->g[0].client, w->now), 2 * LUN_SHARES_POLL);
    talk(w, 0, HEARD);                  /* lacks: the other is asked */
    talk(w, 1, HEARD);                  /* gives back */
    talk(w, 0, HEARD);
    assert_true(pass(w, 0));
    world_free(w);
}

static void who_ends_gives_back_all_that_is_unused_though_somebody_was_refused_just_now(void **state)
{
    (void)state;
    struct world *w = world_new(2, 60, 6000);
    talk_all(w, 3);
    for (int i = 0; i < 5; i++) assert_true(pass(w, 1));
    while (pass(w, 0)) { }
    lun_shares_yield(w->g[1].shares);
    assert_true(w->g[0].woken);
    pass(w, 1), talk(w, 1, HEARD);
    assert_int_equal(w->g[1].kept[0].requests, w->n_sent[0] - 30);
    world_free(w);
}

static void a_turn_larger_than_the_limit_waits_until_nobody_else_has_any_of_it(void **state)
{
    (void)state;
    struct world *w = world_new(2, 60, 6000);
    talk_all(w, 3);
    assert_true(send(w, 1, 500));
    struct lun_turn t = { .tokens = 9000 };
    lun_limiter_take(w->g[0].target, &t, w->now);
    for (int i = 0; i < 50; i++) {
        talk_all(w, 1);
        assert_false(lun_turn_granted(&t, w->now));
    }
    w->now += 60 * S;
    bool granted = false;
    for (int i = 0; i < 20 && !granted; i++) talk_all(w, 1), granted = lun_turn_granted(&t, w->now);
    assert_true(granted);
    lun_turn_use(&t, w->now);
    world_free(w);
}

static void without_others_there_is_nothing_to_share(void **state)
{
    (void)state;
    struct world *w = world_new(1, 60, 6000);
    int passed = 0;
    lun_shares_alone(w->g[0].shares, w->now);
    while (pass(w, 0)) passed++;
    assert_int_equal(passed, 60);
    world_free(w);
}

static void a_limit_that_is_no_longer_there_is_given_back_and_drawn_anew_when_it_is_again(void **state)
{
    (void)state;
    struct world *w = world_new(2, 60, 6000);
    int passed = 0;
    talk_all(w, 3);
    lun_limiter_set(w->g[0].client, 0, 0);
    talk_all(w, 3);
    assert_int_equal(w->g[0].kept[0].requests, 0);
    for (int i = 0; i < 80; i++) passed += pass(w, 1), talk(w, 1, HEARD);
    assert_int_equal(passed, 60);
    lun_limiter_set(w->g[0].client, 60, 0);
    assert_false(pass(w, 0));
    within(w, "then");
    world_free(w);
}

static void no_limit_waits_for_ever_behind_others_that_are_told_of_again_and_again(void **state)
{
    (void)state;
    struct world *w = world_new(2, 60, 6000);
    struct lun_share_word word;
    while (pass(w, 0) || send(w, 0, 1)) { }
    const char *const names[] = { "key app", "target t", "key app" };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lun_shares_words(w->g[0].shares, 2, &word, 1, w->now), 1);
        assert_string_equal(word.name, names[i]);
    }
    world_free(w);
}

static void where_others_need_all_of_the_largest_limit_its_even_flow_is_a_time(void **state)
{
    (void)state;
    int64_t most = 1000000000000000;
    struct world *w = world_new(2, 60, most);
    struct lun_turn t = { .tokens = most };
    lun_limiter_part(w->g[0].target, (struct lun_tally){ 60, 0 }, true, w->now);
    assert_int_equal(lun_limiter_take(w->g[0].target, &t, w->now), w->now + LUN_WINDOW);
    lun_turn_leave(&t, w->now);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_lost_of_messages_the_limit_holds),
        cmocka_unit_test(all_of_a_limit_can_be_had_by_the_one_who_asks),
        cmocka_unit_test(nothing_stays_with_one_who_has_no_use_for_it),
        cmocka_unit_test(who_lacks_wakes_the_carrier_and_is_told_a_time_soon),
        cmocka_unit_test(who_ends_gives_back_all_that_is_unused_though_somebody_was_refused_just_now),
        cmocka_unit_test(a_turn_larger_than_the_limit_waits_until_nobody_else_has_any_of_it),
        cmocka_unit_test(without_others_there_is_nothing_to_share),
        cmocka_unit_test(a_limit_that_is_no_longer_there_is_given_back_and_drawn_anew_when_it_is_again),
        cmocka_unit_test(no_limit_waits_for_ever_behind_others_that_are_told_of_again_and_again),
        cmocka_unit_test(where_others_need_all_of_the_largest_limit_its_even_flow_is_a_time),
    };
    return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}

/* The protocol by which several gateways share their budgets: real members and the real script, on a pretended network, disks and Redis (member_world.c). Here
 * what was found once, step by step; and random schedules (member_fuzz.c) of everything that can go wrong: kill -9 and power cuts of gateways at any step, or
 * stopped in order; messages lost, said twice, late; a Redis that starts again from any earlier image, is emptied, or out of memory; disks that fail; who comes
 * new, is forgotten though alive, and comes back; limits that differ; claims above their holds; clocks that disagree and days that end. Likewise of windows
 * that move along (member_windows.c), with every charge and its time beside them.
 *
 *   test_member                     some thousand schedules; and rules of MUTANTS are broken, one at a time: a schedule must notice it
 *   MEMBER_SCHEDULES=2000000 test_member        more; MEMBER_SEED=N begins elsewhere, MEMBER_TRACE=1 says what is said
 *   MEMBER_MUTANTS=1 test_member                all rules, not only those of which the lack is noticed soon; MEMBER_MUTANT=N that one */
#include "member_world.h"

static struct letter said(struct world *w, const struct gateway *g, const char *op)
{
    for (int i = 0; i < LETTERS; i++) {
        const struct letter *l = &w->letter[i];
        if (!l->argument || l->to != g->id || strcmp(l->argument[SAID_OP], op)) continue;
        return (struct letter){ g->id, 0, copy_texts((const char *const *)l->argument, l->n), l->n };
    }
    fail_msg("gateway %d does not say %s", g->id, op);
    return (struct letter){0};
}

static void want_one(struct world *w, struct gateway *g)
{
    struct owner *o = &g->a[0];
    o->group.n = 1, o->group.accounts[0] = o->in, o->group.more[0] = 1;
    lun_member_want(g->member, &o->group);
    world_deliver(w);
}

static void tick(struct world *w, struct gateway *g, int times) { while (times--) lun_member_tick(g->member), world_deliver(w); }

static void tick_both(struct world *w, int times) { for (int k = 0; k < times; k++) tick(w, &w->g[k % 2], 1); }

static void come(struct world *w, struct gateway *g)
{
    gateway_start(w, g), gateway_connect(g);
    world_deliver(w);
    g->founds = false;
}

/* An account of 1, and the first of two gateways. */
static int one(void **state)
{
    static struct world world;
    struct world *w = *state = &world;
    world_build(w, script_machine(M_NONE), 1, M_NONE);
    w->n = 2, w->budgets = w->days = w->accounts = 1, w->limit[0] = 1, w->now = 1000;
    for (int k = 0; k < 2; k++) w->g[k].a[0].limit = 1;
    come(w, &w->g[0]);
    return 0;
}

/* Both draw on it: what most tests below begin with. */
static int two(void **state)
{
    one(state);
    struct world *w = *state;
    come(w, &w->g[1]);
    tick_both(w, 4);
    assert_true(w->g[0].state == LUN_MEMBER_OPEN && w->g[1].state == LUN_MEMBER_OPEN);
    return 0;
}

static int close_two(void **state)
{
    struct world *w = *state;
    world_end(w);
    lua_close(w->L);
    return 0;
}

/* Redis is emptied, what began an epoch comes again, and so does what the first had said in it when it had nothing. */
static void what_began_an_epoch_and_is_said_again_begins_none(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    redis_flush(w);
    lun_member_tick(first->member);
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(first);
    struct letter opens = said(w, first, "open"), registers;
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(first);
    registers = said(w, first, "register");
    for (int k = 0; k < 4; k++) world_deliver(w), lun_member_tick(second->member);
    world_deliver(w);
    lun_member_tick(first->member), world_deliver(w);
    want_one(w, first);
    assert_int_equal(first->a[0].allot, 1);
    redis_flush(w);
    letter_deliver(w, &opens, true);
    assert_true(redis_says(w, "lost", NULL));
    letter_deliver(w, &registers, true);
    second->a[0].limit = 2, gateway_describe(w, second, 0);    /* something to say */
    tick(w, second, 4);
    want_one(w, second);
    if (world_broken(w)) fail_msg("%s", w->wrong);
    letter_lose(&opens), letter_lose(&registers);
}

/* Likewise what founded: nobody draws before those whom the first one knows have said what they have. */
static void a_founding_that_is_said_again_founds_nothing(void **s)
{
    struct world *w = *s;
    want_one(w, &w->g[1]);
    assert_int_equal(w->g[1].a[0].allot, 1);
    redis_flush(w);
    const char *again[] = { "found", "00000000000000010000000000000000", w->g[0].name, "0", "1000001" };
    struct letter founds = { 0, 0, copy_texts(again, 5), 5 };
    letter_deliver(w, &founds, true);
    assert_true(redis_says(w, "lost", NULL));
    for (int k = 0; k < 4; k++) {
        lun_member_tick(w->g[0].member);
        for (int i = 0; i < 4; i++) gateway_talk(w, &w->g[0]);
    }
    struct owner *o = &w->g[0].a[0];
    o->group.n = 1, o->group.accounts[0] = o->in, o->group.more[0] = 1;
    lun_member_want(w->g[0].member, &o->group);
    for (int i = 0; i < 4; i++) gateway_talk(w, &w->g[0]);
    if (world_broken(w)) fail_msg("%s", w->wrong);
    assert_int_equal(w->g[0].state, LUN_MEMBER_WAITING);
    assert_string_equal(lun_member_missing(w->g[0].member), " g1 ");
    letter_lose(&founds);
}

/* Redis is started again before the others have on their disks who is to be gone and what he had: he is a member still, and they wait for him. */
static void a_forgotten_one_is_a_member_until_the_others_have_what_it_had(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    want_one(w, second);
    second->a[0].held = second->a[0].real = 1;
    gateway_end(second, false);
    assert_true(lun_member_forget(first->member, second->name));
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(first);
    redis_image(w);
    redis_restart(w);
    gateway_disconnect(first), gateway_connect(first), world_deliver(w);
    assert_int_equal(first->state, LUN_MEMBER_WAITING);
    assert_string_equal(lun_member_missing(first->member), " g1 ");
    want_one(w, first);
    if (world_broken(w)) fail_msg("%s", w->wrong);
    assert_true(lun_member_forget(first->member, second->name));
    tick(w, first, 4);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    if (world_broken(w)) fail_msg("%s", w->wrong);
}

/* Nobody knew what the forgotten one has, and it says so while the other is writing down that it is forgotten: that is written down too. */
static void what_a_forgotten_one_says_before_it_is_gone_is_on_the_disks_of_the_others(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    want_one(w, second);
    gateway_disconnect(second);
    redis_flush(w);
    tick(w, first, 2);
    assert_int_equal(first->state, LUN_MEMBER_WAITING);
    gateway_connect(second);
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(second);
    struct letter registers = said(w, second, "register");
    letter_lose(&w->letter[0]), gateway_disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(first);
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]);         /* what it had: nothing is known */
    letter_deliver(w, &registers, true);
    gateway_hear(first), world_deliver(w);
    if (world_broken(w)) fail_msg("%s", w->wrong);
    assert_string_equal(lun_member_members(first->member), " g0 ");
    assert_non_null(strstr(first->parts, "g1 total@0 1 "));
    letter_lose(&registers);
}

/* A third gateway is down while the first forgets the second: that waits for the third, and is said. */
static void forgetting_waits_for_all_the_others_and_names_them(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1], *third = &w->g[2];
    gateway_begin(w, w->n++);
    gateway_start(w, third), gateway_connect(third);
    for (int k = 0; k < 6; k++) lun_member_tick(w->g[k % 3].member), world_deliver(w);
    assert_int_equal(third->state, LUN_MEMBER_OPEN);
    gateway_end(third, false), gateway_disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    tick(w, first, 4);
    assert_string_equal(lun_member_leaving(first->member), " g1 ");
    assert_string_equal(lun_member_unready(first->member), " g2 ");
    gateway_start(w, third), gateway_connect(third), world_deliver(w);
    tick(w, first, 2);
    assert_string_equal(lun_member_members(first->member), " g0 g2 ");
    assert_string_equal(first->gone_names, " g1 ");
    assert_string_equal(third->gone_names, " g1 ");
}

/* Forgotten while it was alive: the one that has let go of it may begin an epoch without it, until it has its name on the disk again. */
static void who_was_let_go_of_and_comes_back_draws_once_another_knows_it_again(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    gateway_disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    tick(w, first, 4);
    assert_string_equal(lun_member_members(first->member), " g0 ");
    gateway_connect(second), world_deliver(w);
    want_one(w, second);
    assert_int_equal(second->state, LUN_MEMBER_NEW);
    assert_int_equal(second->a[0].allot, 0);
    assert_false(second->vouched);
    redis_flush(w);
    lun_member_tick(second->member), world_deliver(w);
    assert_false(redis_says(w, "draws", second->name));         /* nor does it begin an epoch */
    tick_both(w, 8);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    if (world_broken(w)) fail_msg("%s", w->wrong);
}

/* The first began an epoch when it was alone, was let go of later, and is new; Redis is emptied, and that comes again. The second, which alone can vouch for
 * anybody, would be new in it. */
static void who_is_new_begins_no_epoch_with_what_it_said_before(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    redis_flush(w);
    lun_member_tick(first->member);
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(first);
    struct letter opens = said(w, first, "open");
    world_deliver(w), come(w, second), tick_both(w, 8);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    gateway_disconnect(first);
    assert_true(lun_member_forget(second->member, first->name));
    tick(w, second, 4);
    gateway_connect(first), world_deliver(w);
    assert_int_equal(first->state, LUN_MEMBER_NEW);
    redis_flush(w);
    letter_deliver(w, &opens, true);
    tick(w, second, 1);
    assert_true(second->vouched);
    tick_both(w, 8);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    letter_lose(&opens);
}

/* Both are told at once to forget the other: one is heard first, and the other one's word is not said later, when it is back. */
static void of_two_that_forget_each_other_one_does(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    assert_true(lun_member_forget(first->member, second->name));
    assert_true(lun_member_forget(second->member, first->name));
    world_deliver(w);
    tick_both(w, 12);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    assert_string_equal(lun_member_members(second->member), " g0 g1 ");        /* in the order in which they came */
}

static void stop_in_order(struct world *w, struct gateway *g)
{
    gateway_stop(w, g), world_deliver(w);
    assert_true(lun_member_left(g->member));
    gateway_end(g, false);
}

/* It has spent 1 of 1, and Redis is emptied: nobody waits for it, and the 1 stays charged. */
static void who_leaves_is_not_waited_for_and_stays_charged(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    want_one(w, second);
    second->a[0].held = second->a[0].real = 1;
    stop_in_order(w, second);
    tick(w, first, 2);
    assert_string_equal(lun_member_members(first->member), " g0 ");
    redis_flush(w);
    tick(w, first, 2);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    want_one(w, first);
    assert_int_equal(first->a[0].allot, 0);
    gateway_start(w, second), gateway_connect(second), world_deliver(w);
    tick_both(w, 4);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    assert_int_equal(total_in_redis(w, 0), 1);
}

/* It left, and is back before all are ready: who has let go of it would begin an epoch without it. */
static void who_comes_back_while_it_leaves_is_new_once_another_has_let_go_of_it(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    gateway_disconnect(first);
    stop_in_order(w, second);
    gateway_connect(first);
    for (int k = 0; k < 2; k++) letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(first);
    struct letter ready = said(w, first, "ready");
    letter_lose(&w->letter[0]);
    assert_string_equal(first->members, " g0 ");
    gateway_start(w, second), gateway_connect(second);
    for (int k = 0; k < 6; k++) gateway_talk(w, second);
    assert_int_equal(second->state, LUN_MEMBER_NEW);
    assert_false(second->vouched);
    letter_deliver(w, &ready, true);                   /* of an earlier round */
    assert_true(redis_says(w, "draws", second->name));
    for (int k = 0; k < 2; k++) gateway_disconnect(first), gateway_connect(first), world_deliver(w), lun_member_tick(second->member), world_deliver(w);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    assert_string_equal(first->members, " g0 g1 ");
    letter_lose(&ready);
}

/* The other one is gone or dead: it stays a member, or comes back as what it was before anybody has let go of it. */
static void the_last_one_stays_a_member(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    gateway_end(first, false);
    stop_in_order(w, second);
    gateway_start(w, second), gateway_connect(second), world_deliver(w);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);   /* nobody has heard that it left */
    stop_in_order(w, second);
    gateway_start(w, first), gateway_connect(first), world_deliver(w);
    lun_member_tick(first->member), world_deliver(w);
    assert_string_equal(lun_member_members(first->member), " g0 ");
    stop_in_order(w, first);
    assert_string_equal(first->members, " g0 ");
    redis_flush(w);
    gateway_start(w, first), gateway_connect(first), world_deliver(w);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
}

static void draw_one(struct world *w, struct gateway *g, int account)
{
    struct owner *o = &g->a[account];
    o->group.n = 1, o->group.accounts[0] = gateway_account(w, g, account), o->group.more[0] = 1;
    lun_member_want(g->member, &o->group);
    world_deliver(w);
}

/* Two gateways that share a window whose limit is 20. */
static int two_before_a_window(void **state)
{
    static struct world world;
    struct world *w = *state = &world;
    world_build(w, script_machine(M_NONE), 1, M_NONE);
    w->n = 2, w->budgets = 1, w->limit[0] = 20;
    world_roll(w);
    for (int k = 0; k < 2; k++) gateway_start(w, &w->g[k]), gateway_connect(&w->g[k]), world_deliver(w), w->g[k].founds = false;
    tick_both(w, 4);
    return 0;
}

/* The same: each draws 1 in each of its pieces, spends it, and forgets pieces as soon as it may. */
static int two_with_a_window(void **state)
{
    two_before_a_window(state);
    struct world *w = *state;
    for (int piece = WINDOW + 1; piece < PIECES; piece++) {     /* the first are too near to the beginning of time */
        w->now = piece * PIECE_MS + PIECE_MS / 4;
        for (int k = 0; k < 2; k++) {
            draw_one(w, &w->g[k], piece);
            assert_int_equal(w->g[k].a[piece].allot, 1);
            w->g[k].a[piece].spent = w->g[k].a[piece].real = 1;
            gateway_drop(w, &w->g[k]);
        }
    }
    return 0;
}

/* Redis grants a part of a piece to one that ends before it hears it. It says what it has when it asks again, and all that is left can be had. */
static void what_was_granted_and_not_heard_is_free_when_more_is_asked_for(void **s)
{
    struct world *w = *s;
    struct gateway *g = &w->g[0];
    const int piece = WINDOW + 1;
    struct owner *o = &g->a[piece];
    w->now = piece * PIECE_MS + PIECE_MS / 4;
    o->group.n = 1, o->group.accounts[0] = gateway_account(w, g, piece), o->group.more[0] = 1;
    lun_member_want(g->member, &o->group);
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]);
    assert_int_equal(total_in_redis(w, piece), 1);
    gateway_end(g, false);
    o->opened = false;                  /* nothing of it is on the disk */
    gateway_start(w, g), gateway_connect(g), world_deliver(w);
    assert_int_equal(g->state, LUN_MEMBER_OPEN);
    o->group.n = 1, o->group.accounts[0] = gateway_account(w, g, piece), o->group.more[0] = w->limit[0];
    lun_member_want(g->member, &o->group);
    world_deliver(w);
    assert_int_equal(o->allot, w->limit[0]);
}

/* What one that was forgotten had is said again to a Redis that has lost it, and counts beside what is drawn of another piece. */
static void what_the_gone_had_in_a_window_counts_in_a_redis_that_has_lost_it(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    const int piece = WINDOW + 1, all = (int)w->limit[0];
    struct owner *o = &first->a[piece + 1];
    w->now = piece * PIECE_MS + PIECE_MS / 4;
    draw_one(w, second, piece);
    second->a[piece].spent = second->a[piece].real = 1;
    gateway_disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    tick(w, first, 4);
    redis_flush(w);
    tick(w, first, 4);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    assert_int_equal(total_in_redis(w, piece), 1);
    w->now += PIECE_MS;
    for (int want = all; want >= all - 1; want--) {
        o->group.n = 1, o->group.accounts[0] = gateway_account(w, first, piece + 1), o->group.more[0] = want;
        lun_member_want(first->member, &o->group);
        world_deliver(w);
        assert_int_equal(o->allot, want == all ? 0 : want);
    }
    if (world_broken(w)) fail_msg("%s", w->wrong);
}

enum { FAR = PIECES - 1 - 2 * (WINDOW + 1) };          /* the first that counts beside one that counts beside the last */

static void pieces_far_behind_are_dropped_by_redis_and_then_by_the_members(void **s)
{
    struct world *w = *s;
    for (int i = 0; i < PIECES; i++) {
        assert_int_equal(total_in_redis(w, i), i >= FAR ? 2 : 0);
        assert_int_equal(window_passed(w, i), i < FAR);
        assert_int_equal(w->g[0].a[i].in != NULL, i >= FAR);
    }
}

/* Its clock is set back as well: what nobody tells of any more may count beside such a piece. */
static void a_redis_that_has_lost_all_hears_how_far_nobody_tells_of_pieces_any_more(void **s)
{
    struct world *w = *s;
    struct gateway *g = &w->g[0];
    int barred = FAR + WINDOW, open = FAR + WINDOW + 1;
    redis_flush(w);
    tick_both(w, 8);
    assert_int_equal(g->state, LUN_MEMBER_OPEN);
    w->now = barred * PIECE_MS;
    draw_one(w, g, barred);
    assert_int_equal(g->a[barred].allot, 1);
    w->now = open * PIECE_MS;
    draw_one(w, g, open);
    assert_int_equal(g->a[open].allot, 2);
    if (world_broken(w)) fail_msg("%s", w->wrong);
}

/* The second has said that it has that on its disk, as soon as it had. */
static void who_founded_can_leave_to_one_that_it_has_vouched_for(void **s)
{
    struct world *w = *s;
    stop_in_order(w, &w->g[0]);
    tick(w, &w->g[1], 2);
    assert_string_equal(lun_member_members(w->g[1].member), " g1 ");
    redis_flush(w);
    tick(w, &w->g[1], 2);
    assert_int_equal(w->g[1].state, LUN_MEMBER_OPEN);
}

/* The second is vouched for and has not heard it when the first leaves, a third hears that, the first comes back as one that is new, and Redis is
 * emptied. There is nobody then who could begin an epoch, if the second was taken for one who can. */
static void while_no_other_has_its_being_vouched_for_on_its_disk_the_last_one_that_has_stays(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1], *third = &w->g[2];
    gateway_disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    tick(w, first, 4);
    gateway_connect(second), world_deliver(w), gateway_disconnect(second);
    tick(w, first, 1);
    assert_false(second->vouched);
    gateway_begin(w, w->n++);
    gateway_start(w, third), gateway_connect(third), world_deliver(w);
    stop_in_order(w, first);
    tick(w, third, 1);
    gateway_start(w, first), gateway_connect(first), world_deliver(w);
    redis_flush(w);
    gateway_connect(second);
    for (int k = 0; k < 12; k++) tick(w, &w->g[k % 3], 1);
    for (int k = 0; k < 3; k++) assert_int_equal(w->g[k].state, LUN_MEMBER_OPEN);
}

/* What the second has said before it was let go of comes late, when another one's word makes it a member again: it is no word of what is on its disk now. */
static void what_who_was_let_go_of_had_said_does_not_let_the_last_one_leave(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1];
    gateway_end(second, false);
    gateway_start(w, second), gateway_connect(second);
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(second);
    struct letter registers = said(w, second, "register");
    letter_lose(&w->letter[0]), gateway_disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    tick(w, first, 4);
    gateway_connect(second);
    for (int i = 0; i < 2; i++) letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]), gateway_hear(second);
    letter_deliver(w, &w->letter[0], false);
    assert_string_equal(w->letter[0].argument[SAID_OP], "join");
    gateway_disconnect(second);
    tick(w, first, 1);
    assert_false(second->vouched);
    letter_deliver(w, &registers, true);
    letter_lose(&registers);
    gateway_stop(w, first), world_deliver(w);
    assert_true(lun_member_left(first->member));
    assert_string_equal(lun_member_leaving(first->member), "");
}

/* The first is ready to let go of the second, when the third says who else is a member: then the first is not ready any more. */
static void who_is_named_later_is_on_every_disk_before_another_is_let_go_of(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0], *second = &w->g[1], *third = &w->g[2], *fourth = &w->g[3];
    gateway_begin(w, w->n++);
    gateway_start(w, third), gateway_connect(third);
    for (int k = 0; k < 6; k++) tick(w, &w->g[k % 3], 1);
    gateway_disconnect(first), gateway_disconnect(second);
    gateway_begin(w, w->n++);
    gateway_start(w, fourth), gateway_connect(fourth), world_deliver(w);
    tick(w, third, 2), tick(w, fourth, 2);
    assert_int_equal(fourth->state, LUN_MEMBER_OPEN);           /* the third has its name, and the first does not */
    gateway_disconnect(third), gateway_disconnect(fourth);
    redis_flush(w);
    gateway_connect(first), world_deliver(w);
    assert_true(lun_member_forget(first->member, second->name));
    tick(w, first, 3);
    assert_string_equal(lun_member_unready(first->member), " g2 ");
    gateway_connect(third), world_deliver(w);
    gateway_connect(fourth), world_deliver(w);
    if (world_broken(w)) fail_msg("%s", w->wrong);
    assert_string_equal(lun_member_unready(fourth->member), " g0 ");
    tick(w, first, 3);
    assert_string_equal(lun_member_members(first->member), " g0 g2 g3 ");
    assert_non_null(strstr(first->members, " g3 "));
}

/* A day that the first has spent all of ends, and both forget it; nobody else had any of it. */
static void forget_the_day(struct world *w)
{
    struct gateway *first = &w->g[0], *second = &w->g[1];
    struct owner *o = &first->a[0];
    want_one(w, first);
    assert_int_equal(o->allot, 1);
    o->spent = o->real = 1;
    assert_false(gateway_drop(w, first));               /* it goes on */
    w->now = DAY_MS;
    tick_both(w, 4);
    for (int i = 0; i < 2; i++) gateway_drop(w, first), gateway_drop(w, second), tick_both(w, 4);
    assert_null(o->in);
    assert_null(second->a[0].in);
    assert_int_equal(total_in_redis(w, 0), 0);
    lua_getglobal(w->L, "traces");
    lua_pushstring(w->L, key_in_redis(w, 0));
    lua_call(w->L, 1, 1);
    assert_int_equal(lua_tointeger(w->L, -1), 0);
    lua_pop(w->L, 1);
}

/* Clocks step back into it: nobody draws on it as if nothing had been spent. */
static void assert_forgotten_is_not_open(struct world *w)
{
    struct gateway *second = &w->g[1];
    long refused = w->refused;
    w->now = 5000;
    tick_both(w, 4);
    gateway_account(w, second, 0);
    want_one(w, second);
    assert_int_equal(w->refused, refused + 1);
    assert_int_equal(second->a[0].allot, 0);
    assert_null(world_broken(w));
}

static void a_day_that_was_forgotten_is_not_drawn_on_when_clocks_step_back(void **s)
{
    struct world *w = *s;
    forget_the_day(w);
    assert_forgotten_is_not_open(w);
}

static void nor_is_it_in_a_redis_that_has_lost_all(void **s)
{
    struct world *w = *s;
    forget_the_day(w);
    redis_flush(w);
    tick_both(w, 8);
    assert_true(w->g[0].state == LUN_MEMBER_OPEN && w->g[1].state == LUN_MEMBER_OPEN);
    assert_forgotten_is_not_open(w);
}

static void nor_is_it_in_a_later_epoch_of_the_same_redis(void **s)
{
    struct world *w = *s;
    forget_the_day(w);
    w->redis_run++;
    gateway_end(&w->g[0], false), gateway_start(w, &w->g[0]), gateway_connect(&w->g[0]);
    tick_both(w, 8);
    assert_true(w->g[0].state == LUN_MEMBER_OPEN && w->g[1].state == LUN_MEMBER_OPEN);
    assert_forgotten_is_not_open(w);
}

/* Who asks for it before Redis has heard keeps it; what had been said of it is said anew. */
static void what_is_asked_for_again_is_told_again(void **s)
{
    struct world *w = *s;
    struct gateway *first = &w->g[0];
    want_one(w, first);
    first->a[0].spent = first->a[0].real = 1;
    w->now = DAY_MS;
    tick_both(w, 4);
    assert_false(gateway_drop(w, first));
    lun_member_tick(first->member);
    struct letter over = said(w, first, "draw");
    letter_deliver(w, &w->letter[0], false), letter_lose(&w->letter[0]);
    gateway_describe(w, first, 0);
    gateway_hear(first);
    world_deliver(w);
    assert_false(gateway_drop(w, first));
    assert_int_equal(total_in_redis(w, 0), 1);
    letter_deliver(w, &over, true);                     /* late, it counts no more */
    assert_int_equal(total_in_redis(w, 0), 1);
    letter_lose(&over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_began_an_epoch_and_is_said_again_begins_none, two, close_two),
        cmocka_unit_test_setup_teardown(a_founding_that_is_said_again_founds_nothing, two, close_two),
        cmocka_unit_test_setup_teardown(a_forgotten_one_is_a_member_until_the_others_have_what_it_had, two, close_two),
        cmocka_unit_test_setup_teardown(what_a_forgotten_one_says_before_it_is_gone_is_on_the_disks_of_the_others, two, close_two),
        cmocka_unit_test_setup_teardown(forgetting_waits_for_all_the_others_and_names_them, two, close_two),
        cmocka_unit_test_setup_teardown(who_was_let_go_of_and_comes_back_draws_once_another_knows_it_again, two, close_two),
        cmocka_unit_test_setup_teardown(who_is_new_begins_no_epoch_with_what_it_said_before, one, close_two),
        cmocka_unit_test_setup_teardown(of_two_that_forget_each_other_one_does, two, close_two),
        cmocka_unit_test_setup_teardown(who_leaves_is_not_waited_for_and_stays_charged, two, close_two),
        cmocka_unit_test_setup_teardown(who_comes_back_while_it_leaves_is_new_once_another_has_let_go_of_it, two, close_two),
        cmocka_unit_test_setup_teardown(the_last_one_stays_a_member, two, close_two),
        cmocka_unit_test_setup_teardown(pieces_far_behind_are_dropped_by_redis_and_then_by_the_members, two_with_a_window, close_two),
        cmocka_unit_test_setup_teardown(a_redis_that_has_lost_all_hears_how_far_nobody_tells_of_pieces_any_more, two_with_a_window, close_two),
        cmocka_unit_test_setup_teardown(who_founded_can_leave_to_one_that_it_has_vouched_for, two, close_two),
        cmocka_unit_test_setup_teardown(while_no_other_has_its_being_vouched_for_on_its_disk_the_last_one_that_has_stays, two, close_two),
        cmocka_unit_test_setup_teardown(who_is_named_later_is_on_every_disk_before_another_is_let_go_of, two, close_two),
        cmocka_unit_test_setup_teardown(what_who_was_let_go_of_had_said_does_not_let_the_last_one_leave, two, close_two),
        cmocka_unit_test_setup_teardown(what_was_granted_and_not_heard_is_free_when_more_is_asked_for, two_before_a_window, close_two),
        cmocka_unit_test_setup_teardown(what_the_gone_had_in_a_window_counts_in_a_redis_that_has_lost_it, two_before_a_window, close_two),
        cmocka_unit_test_setup_teardown(a_day_that_was_forgotten_is_not_drawn_on_when_clocks_step_back, two, close_two),
        cmocka_unit_test_setup_teardown(nor_is_it_in_a_redis_that_has_lost_all, two, close_two),
        cmocka_unit_test_setup_teardown(nor_is_it_in_a_later_epoch_of_the_same_redis, two, close_two),
        cmocka_unit_test_setup_teardown(what_is_asked_for_again_is_told_again, two, close_two),
        cmocka_unit_test(random_schedules_never_spend_more_than_the_limit_and_come_right),
        cmocka_unit_test(random_schedules_never_pass_the_limit_of_a_window_and_come_right),
        cmocka_unit_test(each_rule_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is drawn from a ledger: nothing is held that is not on the disk, nothing is refused that fits, and what is not wanted goes back. The ledger is a
 * pretended one: a table of what was granted, which a turn of the bookkeeper changes all at once or, when its disk fails, not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/draw.h"
#include "state/period.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ACCOUNTS = 4, SLOTS = 64, ENTRIES = 512 };

struct entry { char budget[32], label[64]; int64_t base, granted, charged; };
struct desk {
    struct lun_money *money;
    struct lun_account *accounts[ACCOUNTS];
    struct lun_money_name *target, *version;
    struct entry entries[ENTRIES]; uint32_t n, names, payers;
    struct { int n; uint32_t accounts[LUN_ACCOUNTS]; } sets[4 * ENTRIES];
    struct lun_draw_line lines[SLOTS]; struct lun_settlement settled[SLOTS]; atomic_int line_state[SLOTS];     /* 0 free, 1 dispatched, 2 settled */
    struct lun_draw_work work;
    _Atomic int64_t disk[ENTRIES];          /* granted, for the threads that check */
    atomic_int woken, urgent;
    uint64_t seed;
};

static uint64_t roll(uint64_t *seed) { return (*seed = *seed * 6364136223846793005u + 1442695040888963407u) >> 33; }

static void dispatched(void *self, uint32_t slot, const struct lun_draw_line *line)
{
    struct desk *d = self;
    assert_int_equal(atomic_exchange(&d->line_state[slot], 1), 0);      /* a slot is nobody else's */
    d->lines[slot] = *line;
}

static void settled(void *self, uint32_t slot, uint64_t seq, const struct lun_settlement *how)
{
    struct desk *d = self;
    assert_int_equal(atomic_exchange(&d->line_state[slot], 2), 1);
    assert_int_equal(d->lines[slot].seq, seq);
    d->settled[slot] = *how;
}

static void wake(void *self, bool urgent)
{
    atomic_fetch_add(urgent ? &((struct desk *)self)->urgent : &((struct desk *)self)->woken, 1);
}

static struct desk *desk_new(const int64_t *limits, uint64_t seed)
{
    static const char *const names[] = { "key a", "key b", "team web", "total" };
    struct desk *d = calloc(1, sizeof *d);
    d->money = lun_money_new();
    d->seed = seed;
    lun_draw_attach(d->money, &(struct lun_draw_books){ d, SLOTS, 100, dispatched, settled, wake });
    for (int i = 0; i < ACCOUNTS; i++) d->accounts[i] = lun_account_get(d->money, names[i], &(struct lun_budget_rule){ .limit = limits[i], .per = LUN_PER_DAY });
    d->target = lun_money_name(d->money, "a/x");
    d->version = lun_money_name(d->money, "default@0");
    return d;
}

static void desk_free(struct desk *d)
{
    lun_draw_work_free(&d->work);
    lun_money_free(d->money);
    free(d);
}

static struct entry *entry_of(struct desk *d, const struct lun_draw_span *s)
{
    for (uint32_t i = 0; i < d->n; i++) if (!strcmp(d->entries[i].budget, s->budget) && !strcmp(d->entries[i].label, s->label)) return &d->entries[i];
    assert_true(d->n < ENTRIES);
    struct entry *e = &d->entries[d->n++];
    strcpy(e->budget, s->budget);
    strcpy(e->label, s->label);
    return e;
}

/* One span of the work, as a bookkeeper does it. */
static void write_span(struct desk *d, struct lun_draw_span *s)
{
    struct entry *e = entry_of(d, s);
    if (!s->id) lun_draw_opened(s, (uint32_t)(e - d->entries) + 1, e->base, e->charged, e->granted);
    if (s->want < 0) return;
    if (!s->forced) assert_true(s->limit < 0 || e->base + s->want <= s->limit || s->want <= e->granted);
    e->granted = s->want;
}

static void write_slot(struct desk *d, uint32_t slot)
{
    assert_int_equal(atomic_exchange(&d->line_state[slot], 0), 2);
    uint32_t set = d->lines[slot].payers;
    for (int i = 0; i < d->sets[set].n; i++) d->entries[d->sets[set].accounts[i] - 1].charged += d->settled[slot].cost;
}

/* `fails`: the disk does. */
static bool turn(struct desk *d, lun_us wall, bool fails)
{
    struct lun_draw_work *w = &d->work;
    if (!lun_draw_begin(d->money, w, wall)) return false;
    if (fails) { lun_draw_failed(d->money, w); return true; }
    for (size_t i = 0; i < w->n_names; i++) w->names[i].id = ++d->names;
    for (size_t i = 0; i < w->n_spans; i++) write_span(d, &w->spans[i]);
    for (size_t i = 0; i < w->n_payers; i++) {
        assert_true(lun_draw_accounts(w, &w->payers[i]));
        w->payers[i].id = ++d->payers;
        d->sets[d->payers].n = w->payers[i].n;
        memcpy(d->sets[d->payers].accounts, w->payers[i].accounts, sizeof w->payers[i].accounts);
    }
    for (size_t i = 0; i < w->n_slots; i++) write_slot(d, w->slots[i]);
    for (uint32_t i = 0; i < d->n; i++) d->disk[i] = d->entries[i].granted;
    lun_draw_done(d->money, w);
    return true;
}

static enum lun_taken take(struct desk *d, struct lun_hold *h, struct lun_account *const *accounts, int n, int64_t bound, lun_us wall)
{
    struct lun_bought what = { .target = d->target, .version = d->version };
    struct lun_shortage short_of;
    return lun_hold_take(h, d->money, accounts, n, bound, wall, &what, &short_of);
}

static struct lun_account_view look(struct lun_account *a, lun_us wall)
{
    struct lun_account_view v;
    lun_account_look(a, wall, &v);
    return v;
}

static int64_t granted(struct desk *d, const char *budget)
{
    for (uint32_t i = 0; i < d->n; i++) if (!strcmp(d->entries[i].budget, budget)) return d->entries[i].granted;
    return -1;
}

/* ---- one at a time ---- */

static void nothing_is_held_before_it_is_on_the_disk(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 1000, -1, 5000, 10000 }, 1);
    struct lun_account *mine[] = { d->accounts[0], d->accounts[2], d->accounts[3] };
    struct lun_hold h;
    assert_int_equal(take(d, &h, mine, 3, 100, 0), LUN_LATER);
    assert_true(atomic_load(&d->urgent) > 0);
    assert_int_equal(look(d->accounts[0], 0).held, 0);
    assert_true(turn(d, 0, false));
    assert_int_equal(take(d, &h, mine, 3, 100, 0), LUN_TAKEN);
    assert_true(granted(d, "key a") >= 100 && granted(d, "total") >= 100);
    assert_int_equal(d->lines[h.slot].seq, 101);
    assert_int_equal(d->lines[h.slot].hold, 100);
    lun_hold_settle(&h, 60);
    assert_int_equal(d->settled[h.slot].cost, 60);
    assert_int_equal(look(d->accounts[0], 0).used, 60);
    assert_int_equal(look(d->accounts[0], 0).left, 940);
    desk_free(d);
}

static void what_can_never_fit_is_refused_at_once(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 1000, -1, -1, -1 }, 1);
    struct lun_hold h;
    assert_int_equal(take(d, &h, d->accounts, 1, 1001, 0), LUN_SHORT);
    assert_int_equal(take(d, &h, d->accounts, 1, 1000, 0), LUN_LATER);
    turn(d, 0, false);
    assert_int_equal(take(d, &h, d->accounts, 1, 1000, 0), LUN_TAKEN);
    struct lun_hold more;
    assert_int_equal(take(d, &more, d->accounts, 1, 1, 0), LUN_SHORT);
    lun_hold_release(&h);
    assert_int_equal(take(d, &more, d->accounts, 1, 1, 0), LUN_TAKEN);
    lun_hold_release(&more);
    desk_free(d);
}

static void a_failing_disk_refuses_what_is_limited_and_lets_the_rest_through(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 1000, -1, -1, -1 }, 1);
    struct lun_account *free_key[] = { d->accounts[1], d->accounts[3] };
    struct lun_hold h;
    char why[256];
    assert_int_equal(take(d, &h, d->accounts, 1, 10, 0), LUN_LATER);
    turn(d, 0, true);
    lun_draw_close(d->money, "the disk is full");
    assert_int_equal(take(d, &h, d->accounts, 1, 10, 0), LUN_CLOSED);
    assert_string_equal(lun_money_closed(d->money, why), "the disk is full");
    assert_int_equal(take(d, &h, free_key, 2, 10, 0), LUN_TAKEN);
    assert_int_equal(h.seq, 0);                 /* and leaves no row */
    lun_hold_settle(&h, 5);
    assert_int_equal(look(d->accounts[1], 0).used, 5);
    lun_draw_close(d->money, NULL);
    assert_null(lun_money_closed(d->money, why));
    assert_true(turn(d, 0, false));             /* nothing of what failed is forgotten */
    assert_int_equal(take(d, &h, d->accounts, 1, 10, 0), LUN_TAKEN);
    lun_hold_release(&h);
    desk_free(d);
}

static void rows_that_take_a_quarter_of_the_journal_do_not_wait_for_company(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 100000, -1, -1, -1 }, 1);
    struct lun_hold h;
    assert_int_equal(take(d, &h, d->accounts, 1, 1000, 0), LUN_LATER);
    turn(d, 0, false);
    for (int round = 0; round < 2; round++) {
        int before = atomic_load(&d->urgent);
        for (int i = 0; i < SLOTS / 4; i++) {
            assert_int_equal(take(d, &h, d->accounts, 1, 1, 0), LUN_TAKEN);
            lun_hold_release(&h);
        }
        assert_int_equal(atomic_load(&d->urgent), before);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(take(d, &h, d->accounts, 1, 1, 0), LUN_TAKEN);
            lun_hold_release(&h);
        }
        assert_int_equal(atomic_load(&d->urgent), before + 1);         /* once is enough */
        assert_true(turn(d, 0, false));
        while (turn(d, 0, false)) { }
    }
    desk_free(d);
}

static void a_full_journal_refuses_what_is_limited_and_lets_the_rest_through(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 100000, -1, -1, -1 }, 1);
    struct lun_hold holds[SLOTS], more, other;
    assert_int_equal(take(d, &more, d->accounts, 1, 10, 0), LUN_LATER);
    assert_int_equal(take(d, &other, d->accounts + 1, 1, 10, 0), LUN_LATER);
    turn(d, 0, false);
    for (int i = 0; i < SLOTS; i++) {
        while (take(d, &holds[i], d->accounts, 1, 10, 0) == LUN_LATER) turn(d, 0, false);
        assert_true(holds[i].open);
    }
    assert_int_equal(take(d, &more, d->accounts, 1, 10, 0), LUN_CLOSED);
    char why[256];
    assert_non_null(lun_money_closed(d->money, why));
    assert_int_equal(take(d, &other, d->accounts + 1, 1, 10, 0), LUN_TAKEN);
    lun_hold_settle(&other, 1);
    lun_hold_settle(&holds[0], 1);
    assert_int_equal(take(d, &more, d->accounts, 1, 10, 0), LUN_CLOSED);        /* until its row is on the disk */
    turn(d, 0, false);
    assert_int_equal(take(d, &more, d->accounts, 1, 10, 0), LUN_TAKEN);
    lun_hold_release(&more);
    for (int i = 1; i < SLOTS; i++) lun_hold_release(&holds[i]);
    desk_free(d);
}

static void a_claim_above_its_hold_is_drawn_whatever_the_limit_says(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 1000, -1, -1, -1 }, 1);
    struct lun_hold h;
    take(d, &h, d->accounts, 1, 100, 0);
    turn(d, 0, false);
    assert_int_equal(take(d, &h, d->accounts, 1, 100, 0), LUN_TAKEN);
    lun_hold_settle(&h, 5000);
    turn(d, 0, false);
    assert_int_equal(granted(d, "key a"), 5000);
    assert_int_equal(look(d->accounts[0], 0).used, 5000);
    assert_int_equal(take(d, &h, d->accounts, 1, 1, 0), LUN_SHORT);
    desk_free(d);
}

static void what_earlier_runs_and_others_have_taken_counts(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 1000, -1, -1, -1 }, 1);
    struct lun_hold h;
    strcpy(d->entries[0].budget, "key a");
    lun_period_label(&(struct lun_budget_rule){ .per = LUN_PER_DAY }, 0, d->entries[0].label);
    d->entries[0].base = 700;
    d->entries[0].granted = d->entries[0].charged = 200;        /* by this run, of a period that was forgotten meanwhile */
    d->n = 1;
    assert_int_equal(take(d, &h, d->accounts, 1, 500, 0), LUN_LATER);
    turn(d, 0, false);
    assert_int_equal(look(d->accounts[0], 0).used, 900);
    assert_int_equal(take(d, &h, d->accounts, 1, 101, 0), LUN_SHORT);
    assert_int_equal(take(d, &h, d->accounts, 1, 100, 0), LUN_TAKEN);
    lun_hold_release(&h);
    desk_free(d);
}

static void a_limit_that_comes_later_counts_what_was_spent_before(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ -1, -1, -1, -1 }, 1);
    struct lun_hold h;
    assert_int_equal(take(d, &h, d->accounts, 1, 300, 0), LUN_LATER);
    turn(d, 0, false);
    assert_int_equal(take(d, &h, d->accounts, 1, 300, 0), LUN_TAKEN);
    lun_hold_settle(&h, 300);
    lun_account_get(d->money, "key a", &(struct lun_budget_rule){ .limit = 350, .per = LUN_PER_DAY });
    assert_int_equal(take(d, &h, d->accounts, 1, 51, 0), LUN_SHORT);
    enum lun_taken t = take(d, &h, d->accounts, 1, 50, 0);
    assert_int_equal(t, LUN_LATER);
    for (int i = 0; i < 3 && t == LUN_LATER; i++) {
        turn(d, 0, false);
        t = take(d, &h, d->accounts, 1, 50, 0);
    }
    assert_int_equal(t, LUN_TAKEN);
    assert_true(granted(d, "key a") == 350);
    lun_hold_release(&h);
    desk_free(d);
}

static void shared_limits_are_not_given_up_before_their_time(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 1000, -1, -1, -1 }, 1);
    struct lun_hold h;
    lun_draw_share(d->money, true);
    strcpy(d->entries[0].budget, "key a");
    lun_period_label(&(struct lun_budget_rule){ .per = LUN_PER_DAY }, 0, d->entries[0].label);
    d->entries[0].base = 1000;                  /* held by others, who may give some of it back */
    d->n = 1;
    assert_int_equal(take(d, &h, d->accounts, 1, 100, 0), LUN_LATER);
    lun_draw_begin(d->money, &d->work, 0);
    for (size_t i = 0; i < d->work.n_spans; i++) {
        lun_draw_opened(&d->work.spans[i], (uint32_t)i + 1, d->work.spans[i].want >= 0 ? 1000 : 0, 0, 0);
    }
    for (size_t i = 0; i < d->work.n_names; i++) d->work.names[i].id = (uint32_t)i + 1;
    for (size_t i = 0; i < d->work.n_payers; i++) d->work.payers[i].id = (uint32_t)i + 1;
    lun_draw_done(d->money, &d->work);
    for (size_t i = 0; i < d->work.n_spans; i++) lun_draw_refused(d->money, d->work.spans[i].span, d->work.spans[i].need, d->work.spans[i].base);
    assert_int_equal(take(d, &h, d->accounts, 1, 100, 0), LUN_SHORT);           /* refused is remembered, ... */
    assert_int_equal(take(d, &h, d->accounts, 1, 99, 0), LUN_LATER);            /* for so much and more */
    desk_free(d);
}

/* ---- at random ---- */

struct open { struct lun_hold hold; struct lun_account *accounts[3]; int n; };

static void check(struct desk *d, lun_us wall)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        struct lun_account_view v = look(d->accounts[i], wall);
        if (v.limit < 0) continue;
        assert_true(v.used + v.held <= v.limit);
        char label[LUN_PERIOD_LABEL];
        lun_period_label(&(struct lun_budget_rule){ .per = LUN_PER_DAY }, wall, label);
        for (uint32_t k = 0; k < d->n; k++)
            if (!strcmp(d->entries[k].budget, v.name) && !strcmp(d->entries[k].label, label)) assert_true(v.used + v.held <= d->entries[k].base + d->entries[k].granted);
    }
}

/* A piece is 10 seconds. */
static struct lun_account *shared_window(struct desk *d, int64_t limit)
{
    lun_draw_share(d->money, true);
    return lun_account_get(d->money, "window", &(struct lun_budget_rule){ .limit = limit, .per = LUN_PER_ROLLING, .window = 240 * LUN_SECOND });
}

static struct lun_span *span_of(struct desk *d)
{
    assert_true(lun_draw_begin(d->money, &d->work, 1000 * LUN_SECOND));
    struct lun_span *s = d->work.spans[0].span;
    lun_draw_failed(d->money, &d->work);
    return s;
}

static void what_others_have_of_a_window_is_shown_until_all_of_it_has_left(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ -1, -1, -1, -1 }, 1);
    struct lun_account *a = shared_window(d, 1000);
    struct lun_hold h;
    assert_int_equal(take(d, &h, &a, 1, 100, 1000 * LUN_SECOND), LUN_LATER);
    lun_draw_abroad(d->money, span_of(d), 300, 900 * LUN_SECOND);
    struct lun_account_view v = look(a, 1005 * LUN_SECOND);
    assert_int_equal(v.used, 300), assert_int_equal(v.left, 700);
    assert_int_equal(v.ends, (900 + 250) * LUN_SECOND);                 /* its window and a piece, since clocks may differ */
    v = look(a, 1015 * LUN_SECOND);
    assert_int_equal(v.used, 300), assert_int_equal(v.ends, (900 + 250) * LUN_SECOND);
    assert_int_equal(look(a, 1250 * LUN_SECOND).used, 300);             /* less, maybe: who draws will know */
    assert_int_equal(look(a, 1260 * LUN_SECOND).used, 0);
    desk_free(d);
}

static void a_piece_that_is_over_by_the_others_clock_is_not_held_in(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ -1, -1, -1, -1 }, 1);
    struct lun_account *a = shared_window(d, 1000);
    struct lun_hold h, more;
    lun_us wall = 1000 * LUN_SECOND;                                    /* it stands still */
    assert_int_equal(take(d, &h, &a, 1, 100, wall), LUN_LATER);
    struct lun_span *span = span_of(d);
    turn(d, wall, false);
    lun_draw_granted(d->money, span, 500, 0);
    assert_int_equal(take(d, &h, &a, 1, 100, wall), LUN_TAKEN);
    lun_draw_late(d->money, span);
    assert_int_equal(take(d, &more, &a, 1, 1, wall), LUN_LATER);
    turn(d, wall, false);
    lun_hold_settle(&h, 40);
    assert_int_equal(take(d, &more, &a, 1, 1, wall), LUN_LATER);
    assert_int_equal(look(a, wall).used, 40);
    desk_free(d);
}

static void random_turns_keep_the_promise_and_refuse_nothing_that_fits(void **s)
{
    enum { RUNS = 300, STEPS = 600, OPEN = 20 };
    (void)s;
    long taken = 0, later = 0, refused = 0;
    for (uint64_t run = 0; run < RUNS; run++) {
        uint64_t seed = run * 77 + 5;
        int64_t limits[ACCOUNTS] = { (int64_t)(roll(&seed) % 3000), (int64_t)(roll(&seed) % 8000), roll(&seed) % 2 ? -1 : (int64_t)(roll(&seed) % 9000),
                                     (int64_t)(roll(&seed) % 12000) };
        struct desk *d = desk_new(limits, seed);
        struct open open[OPEN] = {0};
        lun_us wall = 0;
        for (int step = 0; step < STEPS; step++) {
            struct open *o = &open[roll(&seed) % OPEN];
            uint64_t dice = roll(&seed) % 100;
            if (dice < 30) turn(d, wall, roll(&seed) % 5 == 0);
            else if (dice < 32) lun_draw_give_back(d->money, roll(&seed) % 2);
            else if (dice < 34) lun_draw_sweep(d->money, wall, NULL, NULL);
            else if (dice < 35) wall += 86400 * LUN_SECOND * (roll(&seed) % 3 ? 1 : -1);
            else if (o->hold.open) {
                int64_t cost = (int64_t)(roll(&seed) % (uint64_t)(o->hold.bound + 1));
                if (dice % 3) lun_hold_settle(&o->hold, cost);
                else if (dice % 2) lun_hold_orphan(&o->hold);
                else lun_hold_release(&o->hold);
            } else {
                int64_t bound = (int64_t)(roll(&seed) % 300), left = INT64_MAX;
                struct lun_account *mine[] = { d->accounts[roll(&seed) % 2], d->accounts[2], d->accounts[3] };
                for (int i = 0; i < 3; i++) if (look(mine[i], wall).left < left) left = look(mine[i], wall).left;
                enum lun_taken t = take(d, &o->hold, mine, 3, bound, wall);
                assert_true(t != LUN_SHORT || left < bound);    /* nothing is refused that fits */
                assert_true(t != LUN_TAKEN || left >= bound);
                taken += t == LUN_TAKEN, later += t == LUN_LATER, refused += t == LUN_SHORT;
            }
            check(d, wall);
        }
        for (int i = 0; i < OPEN; i++) lun_hold_release(&open[i].hold);
        while (turn(d, wall, false)) { }
        lun_draw_give_back(d->money, true);
        while (turn(d, wall, false)) { }
        for (int i = 0; i < ACCOUNTS; i++) {    /* all is given back that was not spent */
            struct lun_account_view v = look(d->accounts[i], wall);
            char label[LUN_PERIOD_LABEL];
            lun_period_label(&(struct lun_budget_rule){ .per = LUN_PER_DAY }, wall, label);
            for (uint32_t k = 0; k < d->n; k++)
                if (!strcmp(d->entries[k].budget, v.name)) {
                    if (!strcmp(d->entries[k].label, label) && v.used) assert_int_equal(d->entries[k].charged, v.used);
                    if (v.limit >= 0) assert_int_equal(d->entries[k].granted, d->entries[k].charged);
                }
        }
        for (int i = 0; i < SLOTS; i++) assert_int_equal(d->line_state[i], 0);
        desk_free(d);
    }
    print_message("    %d runs of %d steps: %ld taken, %ld waited, %ld refused\n", RUNS, STEPS, taken, later, refused);
    assert_true(taken > 1000 && later > 100 && refused > 100);
}

/* ---- by many threads ---- */

enum { THREADS = 4, ROUNDS = 4000 };
struct crowd { struct desk *desk; uint64_t seed; int64_t cost; struct lun_account *accounts[3]; long taken, refused; };

static void *spend(void *of)
{
    struct crowd *c = of;
    struct lun_hold holds[8] = {{0}};
    for (int i = 0; i < ROUNDS; i++) {
        struct lun_hold *h = &holds[i % 8];
        if (h->open) {
            int64_t cost = roll(&c->seed) % 8 ? 0 : 1;
            c->cost += cost < h->bound ? cost : h->bound;
            lun_hold_settle(h, cost < h->bound ? cost : h->bound);
        }
        enum lun_taken t;
        int64_t bound = (int64_t)(roll(&c->seed) % 200);
        while ((t = take(c->desk, h, c->accounts, 3, bound, 0)) == LUN_LATER || t == LUN_CLOSED) sched_yield();
        c->taken += t == LUN_TAKEN;
        c->refused += t == LUN_SHORT;
    }
    for (int i = 0; i < 8; i++) lun_hold_release(&holds[i]);
    return NULL;
}

static void many_threads_draw_from_one_ledger(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 3000, 2500, -1, 4000 }, 9);
    struct crowd crowd[THREADS];
    pthread_t threads[THREADS];
    int64_t cost = 0;
    long taken = 0, refused = 0;
    for (int i = 0; i < THREADS; i++) {
        crowd[i] = (struct crowd){ .desk = d, .seed = (uint64_t)i + 1, .accounts = { d->accounts[i % 2], d->accounts[2], d->accounts[3] } };
        assert_int_equal(pthread_create(&threads[i], NULL, spend, &crowd[i]), 0);
    }
    for (int i = 0; i < THREADS; ) {
        if (!turn(d, 0, false)) sched_yield();
        check(d, 0);
        if (!pthread_tryjoin_np(threads[i], NULL)) i++;
    }
    for (int i = 0; i < THREADS; i++) cost += crowd[i].cost, taken += crowd[i].taken, refused += crowd[i].refused;
    while (turn(d, 0, false)) { }
    lun_draw_give_back(d->money, true);
    while (turn(d, 0, false)) { }
    assert_int_equal(look(d->accounts[3], 0).used, cost);
    assert_int_equal(granted(d, "total"), cost);
    assert_true(taken > 100 && cost > 0);
    print_message("    %ld taken, %ld refused\n", taken, refused);
    desk_free(d);
}

/* ---- what is over ---- */

static void count_span(void *self, struct lun_span *s, uint32_t id, int64_t base)
{
    (void)s, (void)id, (void)base;
    ++*(int *)self;
}

/* Each hour is a span: it goes once it is over and nothing of it is left. When the clock steps back it is read again from the ledger. */
static void hours_that_are_over_leave_nothing_in_memory_and_nothing_is_given_twice(void **s)
{
    (void)s;
    struct desk *d = desk_new((int64_t[]){ 1000, -1, -1, -1 }, 1);
    struct lun_account *hour = lun_account_get(d->money, "key hour", &(struct lun_budget_rule){ .limit = 100, .per = LUN_PER_HOUR });
    const lun_us length = 3600 * LUN_SECOND;
    struct lun_hold h;
    int spans = 0;
    for (int i = 1; i <= 400; i++) {
        lun_us wall = i * length;
        assert_int_equal(take(d, &h, &hour, 1, 60, wall), LUN_LATER);
        turn(d, wall, false);
        assert_int_equal(take(d, &h, &hour, 1, 60, wall), LUN_TAKEN);
        lun_hold_settle(&h, 60);
        for (int k = 0; k < 2; k++) turn(d, wall + length, false), lun_draw_sweep(d->money, wall + length, NULL, NULL);
        spans = 0;
        lun_draw_each(d->money, count_span, &spans);
        assert_true(spans <= 1);
    }
    assert_int_equal(take(d, &h, &hour, 1, 60, 7 * length), LUN_LATER);
    turn(d, 7 * length, false);
    assert_int_equal(take(d, &h, &hour, 1, 60, 7 * length), LUN_SHORT);
    assert_int_equal(look(hour, 7 * length).used, 60);
    desk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hours_that_are_over_leave_nothing_in_memory_and_nothing_is_given_twice),
        cmocka_unit_test(nothing_is_held_before_it_is_on_the_disk),
        cmocka_unit_test(what_can_never_fit_is_refused_at_once),
        cmocka_unit_test(a_failing_disk_refuses_what_is_limited_and_lets_the_rest_through),
        cmocka_unit_test(rows_that_take_a_quarter_of_the_journal_do_not_wait_for_company),
        cmocka_unit_test(a_full_journal_refuses_what_is_limited_and_lets_the_rest_through),
        cmocka_unit_test(a_claim_above_its_hold_is_drawn_whatever_the_limit_says),
        cmocka_unit_test(what_earlier_runs_and_others_have_taken_counts),
        cmocka_unit_test(a_limit_that_comes_later_counts_what_was_spent_before),
        cmocka_unit_test(shared_limits_are_not_given_up_before_their_time),
        cmocka_unit_test(what_others_have_of_a_window_is_shown_until_all_of_it_has_left),
        cmocka_unit_test(a_piece_that_is_over_by_the_others_clock_is_not_held_in),
        cmocka_unit_test(random_turns_keep_the_promise_and_refuse_nothing_that_fits),
        cmocka_unit_test(many_threads_draw_from_one_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

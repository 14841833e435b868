/* What the bookkeeper says to a Redis for the limits of several gateways, and what follows from the answers: the connection (wire/redis.h) is a pretended one,
 * which keeps each call until the test has an answer for it; money and ledger are real. What the members say to each other is in test_member.c. */
#include "ledger_world.h"
#include "base/clock.h"
#include "gateway/sharing.h"
#include "script/bundle.h"
#include "state/member.h"
#include "wire/redis.h"

enum { SAID_OP, SAID_NONCE, SAID_ME, SAID_SEQ, SAID_REST, WORDS = 256, LIMIT = 1000, SLOTS = 16 };

struct lun_redis {
    struct lun_redis_options options;
    char *words[WORDS]; int n;          /* the call under way; n 0: none */
    void (*done)(void *self, const struct lun_redis_reply *); void *self;
};
struct world {
    struct lun_reactor *reactor;
    struct lun_money *money;
    struct lun_ledger *ledger;
    struct lun_journal *journal;
    struct lun_sharing *sharing;
    struct lun_redis redis;
    struct lun_account *total;
    struct lun_money_name *target, *version;
    struct lun_draw_work work;
    struct lun_draw_line lines[SLOTS]; int64_t costs[SLOTS];
    struct lun_log log;
    char said[4096];                    /* lines of the log */
    const char *me, *nonce, *due, *clock;       /* clock: of Redis, ms */
    char all[80];                       /* this gateway and another */
};
static struct world world;

/* ---- the pretended connection, in place of wire/redis.c ---- */

struct lun_redis *lun_redis_new(const struct lun_redis_options *o, char error[LUN_REDIS_WHY])
{
    (void)error;
    world.redis = (struct lun_redis){ .options = *o };
    return &world.redis;
}

static void drop_call(struct lun_redis *r) { while (r->n) free(r->words[--r->n]); }

void lun_redis_free(struct lun_redis *r) { if (r) drop_call(r); }

bool lun_redis_eval(struct lun_redis *r, const char *script, const char *key, const char *const *args, const size_t *lens, int n,
                    void (*done)(void *self, const struct lun_redis_reply *), void *self)
{
    assert_string_equal(key, "shop:{shop}:money");
    assert_string_equal(script, lun_bundle_find("lua/draw.lua")->start);
    assert_null(lens);
    assert_int_equal(r->n, 0);          /* one at a time */
    assert_true(n <= WORDS);
    for (r->n = 0; r->n < n; r->n++) r->words[r->n] = lun_strdup(args[r->n]);
    r->done = done, r->self = self;
    return true;
}

static void reply(struct world *w, const struct lun_redis_reply *r)
{
    assert_true(w->redis.n > 0);
    drop_call(&w->redis);
    w->redis.done(w->redis.self, r);
}

static void fails(struct world *w, enum lun_redis_result result, const char *why) { reply(w, &(struct lun_redis_reply){ .result = result, .why = why }); }

static void connection(struct world *w, bool stands)
{
    w->redis.options.state(w->redis.options.self, stands, LUN_REDIS_CLOSED, stands ? NULL : "redis://shop has ended the connection");
}

#define NO_WINDOW "0", "0", "0"     /* what an answer tells of an account beside its own: others' spending in its window, until when, how far pieces are dropped */

/* The head that lua/draw.lua gives, everybody there and vouched for, and these items behind it, to NULL. */
static void answers(struct world *w, const char *status, ...)
{
    const char *items[WORDS] = { status, w->nonce, "1", w->all, w->all, "", "", w->clock, "0", w->due, "1", "", "", w->all };
    int n = 14;
    va_list more;
    va_start(more, status);
    for (const char *item; (item = va_arg(more, const char *)); ) items[n++] = item;
    va_end(more);
    reply(w, &(struct lun_redis_reply){ .result = LUN_REDIS_OK, .n = n, .items = items });
}

/* The call under way: its word, and what is behind its number. */
static void assert_call(struct world *w, const char *op, const char *rest)
{
    char text[1024] = "";
    if (!w->redis.n) fail_msg("nothing is said, where it should be %s", op);
    assert_string_equal(w->redis.words[SAID_OP], op);
    assert_string_equal(w->redis.words[SAID_ME], w->me);
    for (int i = SAID_REST; i < w->redis.n; i++) snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > SAID_REST ? " " : "", w->redis.words[i]);
    assert_string_equal(text, rest);
}

/* ---- the bookkeeper ---- */

static void note_dispatched(void *self, uint32_t slot, const struct lun_draw_line *line) { ((struct world *)self)->lines[slot] = *line; }
static void note_settled(void *self, uint32_t slot, uint64_t seq, const struct lun_settlement *how)
{
    (void)seq;
    ((struct world *)self)->costs[slot] = how->cost;
}
static void wake(void *self, bool urgent) { (void)self, (void)urgent; }
static void take_line(void *self, enum lun_log_level level, const char *message, size_t n)
{
    struct world *w = self;
    size_t at = strlen(w->said);
    snprintf(w->said + at, sizeof w->said - at, "%s %.*s\n", lun_log_level_name(level), (int)n, message);
}

static void write_span(struct world *w, struct lun_draw_span *d)
{
    uint32_t id = lun_ledger_account(w->ledger, &(struct lun_ledger_account){ d->budget, d->label, d->starts, d->ends, d->limit });
    struct lun_ledger_figures f = look(w->ledger, id);
    int64_t base = f.others + lun_sharing_others(d->span);
    if (!d->id) lun_draw_opened(d, id, base, f.used, lun_ledger_part(&f));
    else d->base = base;
    if (d->want < 0 || (d->want > d->granted && !d->forced)) return;
    lun_ledger_grant(w->ledger, id, d->want);
}

static void turn_at(struct world *w, lun_us wall)
{
    struct lun_draw_work *work = &w->work;
    if (!lun_draw_begin(w->money, work, wall)) return;
    begin(w->ledger);
    for (size_t i = 0; i < work->n_names; i++) work->names[i].id = lun_ledger_name(w->ledger, work->names[i].text);
    for (size_t i = 0; i < work->n_slots; i++) {
        const struct lun_draw_line *line = &w->lines[work->slots[i]];
        row(w->ledger, line->seq, line->payers, line->hold, w->costs[work->slots[i]]);
    }
    for (size_t i = 0; i < work->n_spans; i++) write_span(w, &work->spans[i]);
    for (size_t i = 0; i < work->n_payers; i++)
        if (lun_draw_accounts(work, &work->payers[i])) work->payers[i].id = lun_ledger_payers(w->ledger, work->payers[i].accounts, work->payers[i].n);
    commit(w->ledger);
    lun_sharing_ask(w->sharing, work);
    lun_draw_done(w->money, work);
    lun_sharing_tell(w->sharing, work);
}

static void turn(struct world *w) { turn_at(w, NOW); }

static enum lun_taken hold(struct world *w, struct lun_hold *h, int64_t bound)
{
    struct lun_shortage shortage;
    return lun_hold_take(h, w->money, &w->total, 1, bound, NOW, &(struct lun_bought){ .target = w->target, .version = w->version }, &shortage);
}

static int64_t on_disk(struct world *w)
{
    uint32_t id = lun_ledger_account(w->ledger, &(struct lun_ledger_account){ "total", "ever", 0, LUN_NEVER, LIMIT });
    struct lun_ledger_figures f = look(w->ledger, id);
    return lun_ledger_part(&f);
}

static const char *status(struct world *w)
{
    static char word[32];
    return lun_money_status(w->money, word, NULL);
}

static void put(struct world *w, const char *key, const char *text)
{
    begin(w->ledger);
    lun_ledger_put(w->ledger, key, text);
    commit(w->ledger);
}

/* ---- a world ---- */

static void share(struct world *w)
{
    char *error = NULL;
    w->sharing = lun_sharing_new(&(struct lun_sharing_options){ .reactor = w->reactor, .money = w->money, .ledger = w->ledger, .log = &w->log,
                                 .url = "redis://shop", .prefix = "shop", .run = lun_ledger_run(w->ledger) }, &error);
    if (!w->sharing) fail_msg("%s", error);
}

static int set_up(void **state)
{
    struct world *w = *state = &world;
    *w = (struct world){ .nonce = "0123456789abcdef", .due = "", .clock = "1000" };
    if (world_set_up(state)) return -1;
    *state = w;
    w->log = (struct lun_log){ .take = take_line, .host = w };
    w->reactor = lun_reactor_new(NULL);
    w->reactor->loop.now = 1000 * LUN_SECOND;
    w->ledger = open_ledger(LUN_LEDGER_FOUND);
    w->journal = begin_run(w->ledger);
    w->me = lun_ledger_gateway(w->ledger);
    snprintf(w->all, sizeof w->all, " %s other ", w->me);
    w->money = lun_money_new();
    lun_draw_attach(w->money, &(struct lun_draw_books){ w, SLOTS, 100, note_dispatched, note_settled, wake });
    w->total = lun_account_get(w->money, "total", &(struct lun_budget_rule){ .limit = LIMIT });
    w->target = lun_money_name(w->money, "a/x"), w->version = lun_money_name(w->money, "default@0");
    share(w);
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    lun_sharing_free(w->sharing);
    lun_draw_work_free(&w->work);
    lun_money_free(w->money);
    assert_true(lun_ledger_end_run(w->ledger, w->journal, NOW));
    lun_ledger_close(w->ledger);
    lun_reactor_free(w->reactor);
    return world_tear_down(state);
}

/* Known to the other, and registered. */
static int set_up_open(void **state)
{
    if (set_up(state)) return -1;
    struct world *w = *state;
    lun_sharing_free(w->sharing);
    put(w, "members", w->all), put(w, "vouched", "1");
    share(w);
    connection(w, true);
    answers(w, "OK", NULL);
    assert_string_equal(w->redis.words[SAID_OP], "register");
    answers(w, "OK", NULL);
    assert_string_equal(status(w), "open");
    assert_int_equal(w->redis.n, 0);
    *w->said = '\0';
    return 0;
}

/* Somebody waits for that much, and it is asked for. */
static void ask_for(struct world *w, struct lun_hold *h, int64_t bound)
{
    assert_int_equal(hold(w, h, bound), LUN_LATER);
    turn(w);
    assert_string_equal(w->redis.words[SAID_OP], "draw");
}

/* All of the call under way. Until the next but one. */
static const char *call(struct world *w)
{
    static char texts[2][1024];
    static int next;
    char *text = texts[next++ % 2];
    assert_true(w->redis.n > 0);
    *text = '\0';
    for (int i = 0; i < w->redis.n; i++) snprintf(text + strlen(text), 1024 - strlen(text), "%s ", w->redis.words[i]);
    return text;
}

static void assert_logged(struct world *w, const char *text)
{
    if (!strstr(w->said, text)) fail_msg("\"%s\" is not in the log:\n%s", text, w->said);
    *w->said = '\0';
}

/* ---- beginning ---- */

static void it_looks_first_and_founds_by_an_operators_word_alone(void **s)
{
    struct world *w = *s;
    assert_string_equal(status(w), "apart");
    lun_sharing_tick(w->sharing);
    assert_int_equal(w->redis.n, 0);            /* there is no connection */
    connection(w, true);
    assert_call(w, "look", "");
    w->nonce = "";
    answers(w, "LOST", NULL);
    assert_int_equal(w->redis.n, 0);
    assert_string_equal(status(w), "empty");
    put(w, "founds", "1");
    lun_sharing_heed(w->sharing);
    lun_sharing_tick(w->sharing);
    assert_call(w, "found", "1");
    w->nonce = "0123456789abcdef";
    answers(w, "OK", NULL);
    assert_string_equal(w->redis.words[SAID_OP], "register");
    answers(w, "OK", NULL);
    assert_string_equal(status(w), "open");
    char *vouched = lun_ledger_get(w->ledger, "vouched"), *members = lun_ledger_get(w->ledger, "members");
    assert_string_equal(vouched, "1");
    assert_non_null(strstr(members, w->me));
    free(vouched), free(members);
}

static void what_the_ledger_has_is_said_when_it_registers(void **s)
{
    struct world *w = *s;
    lun_sharing_free(w->sharing);
    begin(w->ledger);
    uint32_t id = lun_ledger_account(w->ledger, &(struct lun_ledger_account){ "key shop 1", "", 0, LUN_NEVER, 50 });
    lun_ledger_account(w->ledger, &(struct lun_ledger_account){ "key idle", "", 0, LUN_NEVER, 50 });
    lun_ledger_grant(w->ledger, id, 30);
    lun_ledger_put(w->ledger, "members", w->all), lun_ledger_put(w->ledger, "vouched", "1"), lun_ledger_put(w->ledger, "gone", " late ");
    lun_ledger_put(w->ledger, "parts", "late total@ 7 "), lun_ledger_put(w->ledger, "before", "12");
    commit(w->ledger);
    share(w);
    connection(w, true);
    answers(w, "OK", NULL);
    free(w->redis.words[SAID_REST]), w->redis.words[SAID_REST] = lun_strdup("FRESH");         /* random */
    char expected[300];
    snprintf(expected, sizeof expected, "FRESH %s 1  late  12 1 0 1 key%%20shop%%201@ 30 50 0 1 late total@ 7 0", w->all);
    assert_call(w, "register", expected);
}

/* ---- drawing ---- */

static void nothing_is_held_before_redis_has_granted_it_and_it_is_on_the_disk(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    struct lun_account_view v;
    ask_for(w, &h, 10);
    assert_call(w, "draw", "1 total@ever 0 1000 0 1 1 total@ever 10 1000 0 0 0/0/UTC");
    assert_int_equal(hold(w, &h, 10), LUN_LATER);
    assert_int_equal(on_disk(w), 0);
    answers(w, "OK", "YES", "10", "310", NO_WINDOW, NULL);
    assert_int_equal(on_disk(w), 10);
    assert_int_equal(hold(w, &h, 10), LUN_TAKEN);
    lun_account_look(w->total, NOW, &v);
    assert_int_equal(v.left, LIMIT - 300 - 10);         /* the others have 300 */
    lun_hold_release(&h);
}

static void what_is_asked_for_already_is_not_asked_for_again(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    assert_int_equal(hold(w, &h, 10), LUN_LATER);
    turn(w);
    answers(w, "OK", "YES", "10", "10", NO_WINDOW, NULL);
    assert_int_equal(w->redis.n, 0);
    assert_int_equal(hold(w, &h, 10), LUN_TAKEN);
    lun_hold_release(&h);
}

static void what_others_lack_is_given_back_on_the_disk_first(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 100);
    answers(w, "OK", "YES", "100", "100", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &h, 30), LUN_TAKEN);
    lun_sharing_tick(w->sharing);
    assert_call(w, "look", "");
    w->due = "total@ever";
    answers(w, "OK", NULL);
    assert_int_equal(on_disk(w), 100);
    turn(w);
    assert_int_equal(on_disk(w), 30);
    assert_call(w, "draw", "1 total@ever 30 1000 0 0");
    lun_hold_release(&h);
}

static void what_is_charged_above_its_hold_is_told(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    answers(w, "OK", "YES", "10", "10", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &h, 10), LUN_TAKEN);
    lun_hold_settle(&h, 25);
    turn(w);
    assert_int_equal(on_disk(w), 25);
    assert_call(w, "draw", "1 total@ever 25 1000 0 0");
}

/* ---- refused ---- */

static void where_all_is_too_much_the_dearest_of_those_who_wait_is_tried_alone(void **s)
{
    struct world *w = *s;
    struct lun_hold dear, cheap;
    assert_int_equal(hold(w, &cheap, 300), LUN_LATER);
    ask_for(w, &dear, 400);
    assert_call(w, "draw", "1 total@ever 0 1000 0 1 1 total@ever 700 1000 0 0 0/0/UTC");
    answers(w, "OK", "SHORT", "0", "500", NO_WINDOW, NULL);
    assert_call(w, "draw", "0 1 1 total@ever 400 1000 0 0 0/0/UTC");
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);
    assert_int_equal(w->redis.n, 0);                    /* and nothing smaller */
    ask_for(w, &dear, 400);
    answers(w, "OK", "YES", "400", "900", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &dear, 400), LUN_TAKEN);
    lun_hold_release(&dear);
}

/* The others hear within a fifth of a second that somebody lacks some, and give back. */
static void nobody_is_told_that_there_is_no_more_for_the_first_second(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    lun_us began = w->reactor->loop.now;
    ask_for(w, &h, 400);
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);
    w->reactor->loop.now = began + LUN_SECOND - 1;
    ask_for(w, &h, 400);
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &h, 400), LUN_LATER);
    turn(w);
    w->reactor->loop.now = began + LUN_SECOND;
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &h, 400), LUN_SHORT);
    assert_int_equal(hold(w, &h, 399), LUN_LATER);      /* of that much nothing was said */
}

static void who_was_told_that_there_is_no_more_is_asked_for_again_each_second(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    lun_us began = w->reactor->loop.now;
    ask_for(w, &h, 400);
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);
    w->reactor->loop.now = began + LUN_SECOND;
    ask_for(w, &h, 400);
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &h, 400), LUN_SHORT);
    w->reactor->loop.now = began + 2 * LUN_SECOND;
    lun_sharing_tick(w->sharing);
    assert_call(w, "draw", "0 1 1 total@ever 400 1000 0 0 0/0/UTC");
    answers(w, "OK", "YES", "400", "500", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &h, 400), LUN_TAKEN);
    lun_hold_release(&h);
}

static void a_refusal_for_another_reason_is_logged_and_waited_out(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    answers(w, "OK", "DIFFERS", "0", "0", NO_WINDOW, NULL);
    assert_logged(w, "warn budgets: a draw was refused: DIFFERS");
    ask_for(w, &h, 10);
    answers(w, "OK", "UNVOUCHED", "0", "0", NO_WINDOW, NULL);
    assert_string_equal(w->said, "");                   /* the state says it */
    assert_int_equal(hold(w, &h, 10), LUN_LATER);
    assert_int_equal(on_disk(w), 0);
}

/* ---- errors, late and forged answers ---- */

static void an_error_is_logged_once_and_the_same_message_is_said_at_the_next_tick(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    const char *first = call(w);
    fails(w, LUN_REDIS_ERROR, "redis://shop: its memory is full");
    assert_int_equal(w->redis.n, 0);
    assert_string_equal(status(w), "apart");
    assert_logged(w, "warn budgets: redis://shop: its memory is full");
    lun_sharing_tick(w->sharing);
    assert_string_equal(call(w), first);
    fails(w, LUN_REDIS_ERROR, "redis://shop: its memory is full");
    assert_string_equal(w->said, "");
    lun_sharing_tick(w->sharing);
    answers(w, "OK", "YES", "10", "10", NO_WINDOW, NULL);
    assert_logged(w, "info budgets: Redis does again what it is asked");
    assert_string_equal(status(w), "open");
    assert_int_equal(on_disk(w), 10);
}

static void what_got_no_answer_is_said_again_as_it_was_and_counts_once(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    const char *first = call(w);
    fails(w, LUN_REDIS_GONE, "redis://shop does not answer in time");
    connection(w, false);
    assert_string_equal(status(w), "apart");
    lun_sharing_tick(w->sharing);
    assert_int_equal(w->redis.n, 0);
    connection(w, true);
    assert_call(w, "look", "");
    answers(w, "OK", NULL);
    assert_string_equal(call(w), first);
    answers(w, "OK", "YES", "10", "10", NO_WINDOW, NULL);
    assert_int_equal(on_disk(w), 10);
    assert_int_equal(w->redis.n, 0);
}

/* It was granted there, if at all: here counts what is on the disk. */
static void an_answer_of_another_epoch_grants_nothing(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    w->nonce = "fedcba9876543210";
    answers(w, "OK", "YES", "10", "10", NO_WINDOW, NULL);
    assert_int_equal(on_disk(w), 0);
    assert_int_equal(hold(w, &h, 10), LUN_LATER);
    assert_string_equal(w->redis.words[SAID_OP], "register");
    answers(w, "OK", NULL);
    assert_call(w, "draw", "0 1 1 total@ever 10 1000 0 0 0/0/UTC");
}

static void reply_with(struct world *w, const char *const *items, int n)
{
    reply(w, &(struct lun_redis_reply){ .result = LUN_REDIS_OK, .n = n, .items = items });
}

/* No answer that the script gives: nothing is granted, somebody hears of it, and the message is said again. */
static void an_answer_that_is_none_grants_nothing_and_is_said(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    const char *all = w->all, *with_nil[] = { "OK", w->nonce, "1", all, all, "", "", "1000", "0", "", "1", "", "", all, "YES", NULL, "10" },
               *too_long[] = { "OK", "0123456789abcdef0123456789abcdef0", "1", all, all, "", "", "1000", "0", "", "1", "", "", all, "YES", "10", "10" };
    const struct { const char *const *items; int n; } none[] = { { with_nil, 17 }, { with_nil, 5 }, { NULL, 0 }, { too_long, 17 } };
    ask_for(w, &h, 10);
    const char *first = call(w);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        reply_with(w, none[i].items, none[i].n);
        assert_int_equal(w->redis.n, 0);
        assert_string_equal(status(w), "apart");
        assert_int_equal(on_disk(w), 0);
        if (!i) assert_logged(w, "warn budgets: Redis answers what its script does not say");
        else assert_string_equal(w->said, "");
        lun_sharing_tick(w->sharing);
        if (!strcmp(w->redis.words[SAID_OP], "look")) answers(w, "OK", NULL);
        assert_string_equal(call(w), first);
        lun_draw_status(w->money, "", NULL);
    }
    answers(w, "OK", "YES", "10", "10", NO_WINDOW, NULL);
    assert_string_equal(status(w), "open");
    assert_int_equal(on_disk(w), 10);
}

static void a_group_that_is_cut_short_is_not_granted(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    answers(w, "OK", "YES", "10", NULL);
    assert_logged(w, "warn budgets: a draw was refused: ODD");
    assert_int_equal(on_disk(w), 0);
    assert_int_equal(hold(w, &h, 10), LUN_LATER);
}

static void a_later_process_on_this_ledger_has_the_word(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 10);
    answers(w, "STALE", NULL);
    assert_string_equal(status(w), "outdated");
    lun_sharing_tick(w->sharing);
    assert_int_equal(w->redis.n, 0);
    assert_int_equal(on_disk(w), 0);
}

/* ---- an operator, and the end ---- */

static void whom_an_operator_names_is_forgotten_if_there_is_such_a_one(void **s)
{
    struct world *w = *s;
    put(w, "forget", "nobody");
    lun_sharing_heed(w->sharing);
    assert_int_equal(w->redis.n, 0);
    put(w, "forget", "other");
    lun_sharing_heed(w->sharing);
    assert_call(w, "forget", "1 other");
    assert_logged(w, "warn budgets: gateway other will be forgotten");
    assert_null(lun_ledger_get(w->ledger, "forget"));
}

static void who_leaves_waits_until_that_was_heard(void **s)
{
    struct world *w = *s;
    lun_sharing_leave(w->sharing);
    assert_call(w, "leave", "");
    assert_false(lun_sharing_told(w->sharing));
    answers(w, "ALONE", NULL);
    assert_true(lun_sharing_told(w->sharing));
}

static void who_leaves_without_redis_does_not_wait(void **s)
{
    struct world *w = *s;
    lun_sharing_leave(w->sharing);
    assert_false(lun_sharing_told(w->sharing));
    fails(w, LUN_REDIS_GONE, "redis://shop has ended the connection");
    connection(w, false);
    assert_true(lun_sharing_told(w->sharing));
}

static void what_is_shown_names_this_gateway_the_others_and_redis_trouble(void **s)
{
    struct world *w = *s;
    struct lun_buf out = {0};
    char expected[400];
    lun_sharing_tick(w->sharing);
    fails(w, LUN_REDIS_GONE, "redis://shop does not answer in time");
    lun_sharing_show(w->sharing, &out);
    snprintf(expected, sizeof expected, "\"gateway\":\"%s\",\"sharing\":\"apart\",\"redis\":\"redis://shop does not answer in time\","
             "\"members\":\"%s\",\"missing\":\"\",\"leaving\":\"\",\"unready\":\"\"", w->me, w->all);
    assert_string_equal(lun_buf_text(&out), expected);
    lun_buf_free(&out);
}

/* The second that others have to give back is the request's, whoever waited in vain before. */
static void what_was_short_long_ago_says_nothing_of_a_later_request(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 400);
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);     /* who asked gives up at once */
    w->reactor->loop.now += 600 * LUN_SECOND;
    ask_for(w, &h, 400);
    answers(w, "OK", "SHORT", "0", "700", NO_WINDOW, NULL);
    assert_int_equal(hold(w, &h, 400), LUN_LATER);
}

/* All that was drawn here would be enough, but not beside what the others had when they were last heard of. */
static void redis_is_asked_again_where_what_others_have_leaves_too_little(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    ask_for(w, &h, 80);
    answers(w, "OK", "YES", "80", "560", NO_WINDOW, NULL);
    lun_account_get(w->money, "total", &(struct lun_budget_rule){ .limit = 500 });
    turn(w);
    bool asked = false;
    for (int i = 0; i < 20 && !asked; i++) {
        if (w->redis.n) answers(w, "OK", NULL);
        w->reactor->loop.now += LUN_SECOND;
        assert_int_not_equal(hold(w, &h, 30), LUN_TAKEN);
        turn(w);
        lun_sharing_tick(w->sharing);
        asked = w->redis.n && !strcmp(w->redis.words[SAID_OP], "draw");
    }
    assert_true(asked);
    answers(w, "OK", "YES", "110", "210", NO_WINDOW, NULL);     /* they have given back long ago */
    assert_int_equal(hold(w, &h, 30), LUN_TAKEN);
    lun_hold_release(&h);
}

static void where_another_gateway_has_a_lower_limit_it_is_short_and_not_slow(void **s)
{
    struct world *w = *s;
    struct lun_hold h;
    for (int i = 0; i < 2; i++) {
        ask_for(w, &h, 400);
        answers(w, "OK", "SHORT", "0", "300", NO_WINDOW, NULL); /* that one's is 500 */
        w->reactor->loop.now += LUN_SECOND;
    }
    assert_int_equal(hold(w, &h, 400), LUN_SHORT);
}

/* A draw on the month and the day waits for Redis; the day is over and gone by the time that it is refused for the month. */
static void a_draw_that_waits_over_the_end_of_a_period_is_refused_without_it(void **s)
{
    struct world *w = *s;
    struct lun_hold h, h2;
    struct lun_shortage shortage;
    struct lun_account *day = lun_account_get(w->money, "key app", &(struct lun_budget_rule){ .limit = LIMIT, .per = LUN_PER_DAY });
    struct lun_account *both[] = { w->total, day };
    struct lun_bought what = { .target = w->target, .version = w->version };
    connection(w, false);
    assert_int_equal(lun_hold_take(&h, w->money, both, 2, 10, NOW, &what, &shortage), LUN_LATER);
    assert_int_equal(lun_hold_take(&h2, w->money, both, 2, 10, NOW, &what, &shortage), LUN_LATER);
    turn(w);
    lun_draw_give_back(w->money, true);
    turn(w);
    lun_draw_sweep(w->money, NOW + DAY, lun_sharing_gone, w->sharing);
    connection(w, true);
    answers(w, "OK", NULL);
    for (int i = 0; i < 4 && strcmp(w->redis.words[SAID_OP], "draw"); i++) answers(w, "OK", NULL);
    assert_string_equal(w->redis.words[SAID_OP], "draw");
    answers(w, "OK", "SHORT", "0", "1000", NO_WINDOW, "0", "0", NO_WINDOW, NULL);
}

static void what_an_earlier_process_gives_back_is_told_also_of_what_nobody_asks_for_here(void **s)
{
    struct world *w = *s;
    lun_sharing_free(w->sharing);
    struct lun_ledger *old = open_ledger(LUN_LEDGER_WRITE);
    struct lun_journal *j = begin_run(old);
    begin(old);
    uint32_t id = lun_ledger_account(old, &(struct lun_ledger_account){ "tag user=a", "ever", 0, LUN_NEVER, 50 });
    lun_ledger_grant(old, id, 30);
    commit(old);
    share(w);
    connection(w, true);
    answers(w, "OK", NULL);
    answers(w, "OK", NULL);
    good(old, lun_ledger_end_run(old, j, NOW));                 /* what it has not spent is free */
    lun_ledger_close(old);
    assert_int_equal(look(w->ledger, id).taken, 0);
    lun_sharing_look_again(w->sharing);
    lun_sharing_tick(w->sharing);
    assert_call(w, "draw", "1 tag%20user%3Da@ever 0 50 0 0");
}

/* ---- what ended long ago ---- */

#define HOUR (3600 * LUN_SECOND)

static void clocks(struct world *w, lun_us wall)
{
    static char text[24];
    w->reactor->loop.now = 1000 * LUN_SECOND + wall - NOW;
    snprintf(text, sizeof text, "%lld", (long long)(wall / LUN_MS));
    w->clock = text;
}

static void hear_all(struct world *w, lun_us wall)
{
    for (int i = 0; i < 6; i++) {
        if (w->redis.n) answers(w, "OK", NULL);
        lun_sharing_forget(w->sharing, wall);
        lun_sharing_tick(w->sharing);
    }
    if (w->redis.n) answers(w, "OK", NULL);
}

/* Draws 10 of that hour, spends 3 and gives back the rest; then it is over. */
static void spend_in(struct world *w, struct lun_account *hour, lun_us wall)
{
    struct lun_hold h;
    struct lun_shortage shortage;
    struct lun_bought what = { .target = w->target, .version = w->version };
    clocks(w, wall);
    hear_all(w, wall);
    assert_int_equal(lun_hold_take(&h, w->money, &hour, 1, 10, wall, &what, &shortage), LUN_LATER);
    turn_at(w, wall);
    for (int i = 0; i < 4 && !(w->redis.n && strstr(call(w), " 10 1000 ")); i++) {
        if (w->redis.n) answers(w, "OK", NULL);
        lun_sharing_tick(w->sharing);
    }
    assert_string_equal(w->redis.words[SAID_OP], "draw");
    answers(w, "OK", "YES", "10", "10", NO_WINDOW, NULL);
    assert_int_equal(lun_hold_take(&h, w->money, &hour, 1, 10, wall, &what, &shortage), LUN_TAKEN);
    lun_hold_settle(&h, 3);
    clocks(w, wall + HOUR);
    for (int i = 0; i < 3; i++) {
        turn_at(w, wall + HOUR);
        lun_draw_sweep(w->money, wall + HOUR, lun_sharing_gone, w->sharing);
        hear_all(w, wall + HOUR);
    }
}

static int accounts_told_anew(struct world *w)
{
    if (!w->redis.n) lun_sharing_tick(w->sharing);
    w->nonce = "fedcba9876543210";
    answers(w, "OK", NULL);
    assert_string_equal(w->redis.words[SAID_OP], "register");
    int n = 0;
    for (int i = 0; i < w->redis.n; i++) n += !strncmp(w->redis.words[i], "key%20app@", 10);
    return n;
}

static void an_hour_that_ended_long_ago_is_forgotten_here(void **s)
{
    struct world *w = *s;
    struct lun_account *hour = lun_account_get(w->money, "key app", &(struct lun_budget_rule){ .limit = LIMIT, .per = LUN_PER_HOUR });
    for (int i = 0; i < 30; i++) spend_in(w, hour, NOW + i * HOUR);
    assert_true(accounts_told_anew(w) <= 8);
}

/* Nothing of it is left here, nor told; as a window the budget counts it again. */
static void what_a_budget_had_before_it_was_a_window_is_told_though_it_was_forgotten(void **s)
{
    struct world *w = *s;
    struct lun_budget_rule rule = { .limit = LIMIT, .per = LUN_PER_HOUR };
    struct lun_account *hour = lun_account_get(w->money, "key app", &rule);
    struct lun_hold h;
    struct lun_shortage shortage;
    struct lun_bought what = { .target = w->target, .version = w->version };
    const lun_us later = NOW + 30 * HOUR;
    for (int i = 0; i < 10; i++) spend_in(w, hour, NOW + i * HOUR);
    clocks(w, later);
    for (int i = 0; i < 4; i++) hear_all(w, later);
    rule.per = LUN_PER_ROLLING, rule.window = 48 * HOUR;
    lun_account_get(w->money, "key app", &rule);
    lun_hold_take(&h, w->money, &hour, 1, 10, later, &what, &shortage);
    turn_at(w, later);
    for (int i = 0; i < 4; i++) hear_all(w, later);
    assert_int_equal(accounts_told_anew(w), 10 + 1);    /* and the piece */
}

int main(void)
{
#define ALONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define OPEN(test)  cmocka_unit_test_setup_teardown(test, set_up_open, tear_down)
    const struct CMUnitTest tests[] = {
        ALONE(it_looks_first_and_founds_by_an_operators_word_alone), ALONE(what_the_ledger_has_is_said_when_it_registers),
        OPEN(nothing_is_held_before_redis_has_granted_it_and_it_is_on_the_disk), OPEN(what_is_asked_for_already_is_not_asked_for_again),
        OPEN(what_others_lack_is_given_back_on_the_disk_first), OPEN(what_is_charged_above_its_hold_is_told),
        OPEN(where_all_is_too_much_the_dearest_of_those_who_wait_is_tried_alone), OPEN(nobody_is_told_that_there_is_no_more_for_the_first_second),
        OPEN(who_was_told_that_there_is_no_more_is_asked_for_again_each_second), OPEN(a_refusal_for_another_reason_is_logged_and_waited_out),
        OPEN(an_error_is_logged_once_and_the_same_message_is_said_at_the_next_tick), OPEN(what_got_no_answer_is_said_again_as_it_was_and_counts_once),
        OPEN(an_answer_of_another_epoch_grants_nothing), OPEN(an_answer_that_is_none_grants_nothing_and_is_said),
        OPEN(a_group_that_is_cut_short_is_not_granted), OPEN(a_later_process_on_this_ledger_has_the_word),
        OPEN(whom_an_operator_names_is_forgotten_if_there_is_such_a_one),
        OPEN(who_leaves_waits_until_that_was_heard), OPEN(who_leaves_without_redis_does_not_wait),
        OPEN(what_is_shown_names_this_gateway_the_others_and_redis_trouble),
        OPEN(what_was_short_long_ago_says_nothing_of_a_later_request), OPEN(redis_is_asked_again_where_what_others_have_leaves_too_little),
        OPEN(where_another_gateway_has_a_lower_limit_it_is_short_and_not_slow), OPEN(a_draw_that_waits_over_the_end_of_a_period_is_refused_without_it),
        OPEN(what_an_earlier_process_gives_back_is_told_also_of_what_nobody_asks_for_here),
        OPEN(an_hour_that_ended_long_ago_is_forgotten_here), OPEN(what_a_budget_had_before_it_was_a_window_is_told_though_it_was_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

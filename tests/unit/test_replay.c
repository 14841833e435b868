/* A policy tried on a log. The logs are made by simulations whose truth is known: the real walk over providers that do what a seed says. */
#include "loading.h"
#include "gateway/replays.h"
#include "gateway/simulate.h"
#include "gateway/station.h"
#include "gateway/upstream_log.h"
#include "base/hash.h"
#include <math.h>
#include <sys/mman.h>

#define MODELS "models = { small = { { provider = \"p\", model = \"small\", price = { input = 1, output = 2 } } }, " \
    "large = { { provider = \"p\", model = \"large\", price = { input = 10, output = 30 } } } }"
#define CONFIG(more) "return { providers = { p = { base_url = \"http://127.0.0.1:1\", health = false } }, policy = \"policy.lua\", log = { text = true }, " MODELS more " }"
#define PLAIN  CONFIG("")

/* ---- making a log ---- */

struct world {
    uint64_t seed; int asked;
    bool failures;                      /* of many kinds, beside a question that is too hard */
    struct lun_buf log;
};

static double unit(const struct world *w, const struct lun_call *call, int what)
{
    const int which[] = { what, call->trial->try };
    return lun_hash_unit(lun_hash(which, sizeof which, lun_hash_text(call->question->id, w->seed ^ lun_hash_text(call->trial->target->name, 0))));
}

static const struct { enum lun_kind kind; int status; } failures[] = {
    { LUN_KIND_SERVER_ERROR, 500 }, { LUN_KIND_OVERLOADED, 503 }, { LUN_KIND_RESET, 0 }, { LUN_KIND_CONNECT_REFUSED, 0 }, { LUN_KIND_FILTERED, 400 },
    { LUN_KIND_TOO_LONG, 400 }, { LUN_KIND_QUOTA, 429 }, { LUN_KIND_BAD_REQUEST, 400 }, { LUN_KIND_NOT_FOUND, 404 }, { LUN_KIND_FIRST_BYTE_TIMEOUT, 0 },
};

/* small: 85 % of easy questions, half of the hard ones, 100 ms, 100 tokens on average; large: 97 %, 350 ms, 200 tokens. */
static void tell(void *self, const struct lun_call *call, struct lun_ending *out)
{
    struct world *w = self;
    size_t n;
    bool large = !strcmp(call->trial->target->name, "p/large"), hard = strstr(lun_question_text(call->question, &n), "hard");
    *out = (struct lun_ending){ .kind = LUN_KIND_OK, .status = 200, .usage = { .known = true, .input = 100 } };
    out->took = (lun_us)((large ? 200e3 : 50e3) + unit(w, call, 1) * (large ? 300e3 : 100e3));
    out->ttft = out->took / 2;
    out->usage.output = (int64_t)((large ? 100 : 50) + unit(w, call, 2) * (large ? 200 : 100));
    if (unit(w, call, 3) < (large ? 0.97 : hard ? 0.5 : 0.85)) return;
    size_t which = w->failures ? (size_t)(unit(w, call, 4) * (double)(sizeof failures / sizeof *failures)) : 0;
    *out = (struct lun_ending){ .kind = w->failures ? failures[which].kind : LUN_KIND_RATE_LIMITED, .status = w->failures ? failures[which].status : 429,
                                .took = out->took, .ttft = -1 };
}

static void line(void *self, const char *text, size_t n)
{
    struct world *w = self;
    lun_buf_add(&w->log, text, n);
    lun_buf_putc(&w->log, '\n');
}

static struct lun_snapshot *load_policy(const char *config, const char *policy)
{
    put_file("policy.lua", policy);
    return load_with(config, no_environment, NULL, NULL);
}

/* The log of n requests, one each 40 ms; every third is hard, every fourth a stream. */
static void make_log(struct world *w, const char *config, const char *policy, int n)
{
    char *error = NULL, body[200];
    struct lun_upstream_log upstream = { .tell = tell, .self = w };
    struct lun_simulation_options options = { .seed = w->seed, .line = line, .line_self = w, .upstream = &lun_upstream_log_port, .upstream_self = &upstream };
    struct lun_simulation *s = lun_simulation_new(load_policy(config, policy), &options, &error);
    assert_non_null(s);
    upstream.loop = lun_simulation_station(s)->loop;
    for (int i = 0; i < n; i++) {
        uint64_t h = lun_hash(&i, sizeof i, w->seed);
        snprintf(body, sizeof body, "{\"model\":\"auto\",%s\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", i % 4 ? "" : "\"stream\":true,",
                 lun_hash_unit(h) < 0.3 ? "hard" : "easy");
        lun_simulation_ask(s, &(struct lun_simulated_request){ .endpoint = LUN_ENDPOINT_CHAT, .body = body, .n = strlen(body) });
        lun_simulation_advance(s, 40 * LUN_MS);
    }
    lun_simulation_advance(s, 3600 * LUN_SECOND);
    lun_simulation_free(s);
}

/* ---- trying a policy on it ---- */

static void put_failure(void *self, const struct lun_replay_told *t) { lun_buf_printf(self, "%lld %s\n", (long long)t->logged->line, t->error); }

static struct lun_replays *replayed(const struct lun_buf *log, const char *config, const char *policy, const char *against, struct lun_buf *told)
{
    int fd = memfd_create("log", 0);
    char *error = NULL;
    assert_int_equal(write(fd, log->at, log->n), log->n);
    lseek(fd, 0, SEEK_SET);
    struct lun_log_reader *reader = lun_log_reader_of(fd);
    struct lun_log_line l;
    struct lun_replays *r = lun_replays_new();
    lun_replays_add(r, load_policy(config, policy), &(struct lun_replay_options){ .failed = told ? put_failure : NULL, .self = told });
    if (against) lun_replays_add(r, load_policy(config, against), &(struct lun_replay_options){0});
    while (lun_log_reader_next(reader, &l)) assert_true(lun_replays_take(r, lun_logged_read(&l), l.n, &error));
    assert_true(lun_replays_end(r, &error));
    lun_log_reader_free(reader);
    return r;
}

static void equal_to_the_log(const struct lun_replays *r)
{
    const struct lun_replay *p = lun_replays_get(r, 0);
    struct lun_buf really = {0}, here = {0};
    lun_figures_json(lun_replay_really(p), &really);
    lun_figures_json(lun_replay_figures(p), &here);
    assert_string_equal(lun_buf_text(&here), lun_buf_text(&really));
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_LOGGED), lun_replays_requests(r));
    lun_buf_free(&really);
    lun_buf_free(&here);
}

#define PICKS(small, large) "local lunette = require 'lunette'\nreturn { select = function(request, targets)\n" \
    "return targets:of(lunette.pick({ 'small', 'large' }, { " #small ", " #large " })) end }"
#define BY_TEXT "return { select = function(request, targets) return targets:of(request.text:find 'hard' and 'large' or 'small') end }"
#define FALLS_BACK "local lunette = require 'lunette'\nreturn { limits = { retries = false }, select = function(request, targets)\n" \
    "local first = lunette.pick({ 'small', 'large' }, { 0.6, 0.4 })\n" \
    "return targets:of(first) .. targets:of(first == 'small' and 'large' or 'small') end,\n" \
    "retry = function(request, attempt) if attempt.kind == 'overloaded' then return lunette.again(lunette.backoff(attempt.try, { jitter = 'full', base = 0.05 })) end end }"
#define HEDGES "return { select = function(request, targets) return targets:of 'small':steps { hedge_after = 0.11 } .. targets:of 'large' end }"

/* `some`: there must be some of these, or nothing was shown. */
static void same(const char *config, const char *policy, bool failing, enum lun_figure some)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world w = { .seed = seed, .failures = failing };
        make_log(&w, config, policy, 400);
        struct lun_replays *r = replayed(&w.log, config, policy, NULL, NULL);
        assert_int_equal(lun_replays_requests(r), 400);
        equal_to_the_log(r);
        assert_true(lun_figures_get(lun_replay_really(lun_replays_get(r, 0)), some) > 0);
        lun_replays_free(r);
        lun_buf_free(&w.log);
    }
}

static void the_same_policy_comes_to_what_the_log_came_to(void **state)
{
    (void)state;
    same(PLAIN, PICKS(0.6, 0.4), false, LUN_FIGURE_ANSWERED);
    same(PLAIN, BY_TEXT, true, LUN_FIGURE_ANSWERED);
    same(PLAIN, FALLS_BACK, true, LUN_FIGURE_RETRIES);
    same(CONFIG(", limits = { hedges = 1 }"), HEDGES, true, LUN_FIGURE_ANSWERED);
}

static void so_it_does_with_health_limits_and_budgets(void **state)
{
    (void)state;
    same("return { providers = { p = { base_url = \"http://127.0.0.1:1\" } }, policy = \"policy.lua\", log = { text = true }, " MODELS " }", FALLS_BACK, true, LUN_FIGURE_ANSWERED);
    same(CONFIG(", budgets = { total = { limit = 0.5, per = \"day\" } }"), PICKS(0.6, 0.4), false, LUN_FIGURE_REFUSED);
}

/* ---- estimates ---- */

static bool holds(struct lun_interval i, double truth) { return i.low <= truth && truth <= i.high; }

struct held { int weighted, normed, robust; };

static void count_held(struct held *h, const struct lun_replay *p, const double truth[LUN_MEASURE_COUNT])
{
    for (int m = 0; m < LUN_MEASURE_COUNT; m++) {
        const struct lun_estimate *e = lun_replay_estimate(p, (enum lun_measure)m);
        h[m].weighted += holds(lun_estimate_weighted(e), truth[m]);
        h[m].normed += holds(lun_estimate_normed(e), truth[m]);
        h[m].robust += holds(lun_estimate_robust(e), truth[m]);
    }
}

/* By the text the latency is even from 50 to 150 ms seven times of ten, from 200 to 500 three; of what is answered that is 595 to 291. */
static void count_quantiles_held(int held[2], const struct lun_replay *p)
{
    const double easy = 0.7 * 0.85, hard = 0.3 * 0.97, all = easy + hard;
    held[0] += holds(lun_replay_quantile(p, 0.50), 50 + 100 * 0.5 * all / easy);
    held[1] += holds(lun_replay_quantile(p, 0.95), 500 - 300 * 0.05 * all / hard);
}

static void enough_held(const char *policy, const struct held *h, int seeds)
{
    for (int m = 0; m < LUN_MEASURE_COUNT; m++) {
        print_message("%s, %s: of %d intervals %d (ips), %d (snips), %d (doubly robust) hold the truth\n", policy, lun_measure_name((enum lun_measure)m), seeds,
                      h[m].weighted, h[m].normed, h[m].robust);
        assert_true(h[m].weighted * 10 >= seeds * 9);
        assert_true(h[m].normed * 10 >= seeds * 9);
        assert_true(h[m].robust * 10 >= seeds * 9);
    }
}

/* What another policy would come to, from a log in which chance chose: one that looks at the question, and one with chances of its own. */
static void intervals_hold_the_truth_nine_times_in_ten(void **state)
{
    const double by_text[] = { [LUN_MEASURE_COST] = 0.3 * 0.97 * 7000e-6 + 0.7 * 0.85 * 300e-6, [LUN_MEASURE_LATENCY] = 0.3 * 350 + 0.7 * 100,
                               [LUN_MEASURE_SUCCESS] = 0.3 * 0.97 + 0.7 * 0.85 };
    const double by_chance[] = { [LUN_MEASURE_COST] = 0.9 * 0.745 * 300e-6 + 0.1 * 0.97 * 7000e-6, [LUN_MEASURE_LATENCY] = 0.9 * 100 + 0.1 * 350,
                                 [LUN_MEASURE_SUCCESS] = 0.9 * 0.745 + 0.1 * 0.97 };
    struct held text[LUN_MEASURE_COUNT] = {0}, chance[LUN_MEASURE_COUNT] = {0};
    enum { SEEDS = 200 };
    int quantiles[2] = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world w = { .seed = seed };
        make_log(&w, PLAIN, PICKS(0.6, 0.4), 400);
        struct lun_replays *r = replayed(&w.log, PLAIN, BY_TEXT, PICKS(0.9, 0.1), NULL);
        assert_int_equal(lun_replay_estimate(lun_replays_get(r, 0), LUN_MEASURE_COST)->n, 400);
        assert_int_equal(lun_replay_estimate(lun_replays_get(r, 1), LUN_MEASURE_COST)->n, 400);
        count_held(text, lun_replays_get(r, 0), by_text);
        count_quantiles_held(quantiles, lun_replays_get(r, 0));
        count_held(chance, lun_replays_get(r, 1), by_chance);
        lun_replays_free(r);
        lun_buf_free(&w.log);
    }
    enough_held("by the text", text, SEEDS);
    enough_held("by other chances", chance, SEEDS);
    print_message("by the text, latency: of %d intervals %d (p50), %d (p95) hold the truth\n", SEEDS, quantiles[0], quantiles[1]);
    for (int i = 0; i < 2; i++) assert_true(quantiles[i] * 10 >= SEEDS * 9 && quantiles[i] < SEEDS);
}

/* ---- what goes wrong ---- */

static void a_hook_that_fails_is_told_with_its_request(void **state)
{
    (void)state;
    struct world w = { .seed = 7 };
    struct lun_buf told = {0};
    make_log(&w, PLAIN, BY_TEXT, 9);
    struct lun_replays *r = replayed(&w.log, PLAIN, "return {\nselect = function(request, targets)\nif request.stream then error('no streams') end\nend }", NULL, &told);
    assert_int_equal(lun_replay_figures(lun_replays_get(r, 0))->sum[LUN_FIGURE_FAILED], 3);
    assert_int_equal(lun_replay_really(lun_replays_get(r, 0))->sum[LUN_FIGURE_FAILED], 0);
    assert_non_null(strstr(lun_buf_text(&told), "\"policy.lua:3: no streams\"\n"));
    lun_replays_free(r);
    lun_buf_free(&told);
    lun_buf_free(&w.log);
}

static void what_the_log_does_not_have_is_counted(void **state)
{
    (void)state;
    struct world w = { .seed = 7 };
    const char *config = "return { providers = { p = { base_url = \"http://127.0.0.1:1\", health = false } }, policy = \"policy.lua\", " MODELS " }";
    make_log(&w, config, "return { select = function(request, targets) return targets:of 'small' end }", 20);
    struct lun_replays *r = replayed(&w.log, config, "local lunette = require 'lunette' return { select = function(request, targets)\n"
        "if request.stream then return targets:of(request.words > 3 and 'large' or 'small') end\n"
        "if request.has_tools and request.headers.x then return targets:of 'large' end\n"
        "return lunette.chat { model = 'small', text = 'which?', timeout = 1 } and targets:of 'large' or targets:of 'small' end }", NULL, NULL);
    const struct lun_replay *p = lun_replays_get(r, 0);
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_NO_TEXT), 5);
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_NO_BODY), 15);
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_NO_HEADERS), 0);
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_NO_WISH), 15);
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_NO_CHANCE), 20);
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_LOGGED), 20);
    lun_replays_free(r);
    lun_buf_free(&w.log);
}

/* A log may name any number of targets. */
static void choices_are_bounded(void **state)
{
    struct lun_figures f = {0};
    char model[32];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(model, sizeof model, "model-%d", i);
        lun_figures_add(&f, &(struct lun_ended){ .model = model });
    }
    assert_int_equal(f.n_choices, LUN_FIGURES_CHOICES + 1);
    assert_int_equal(lun_figures_chosen(&f, "(others)"), 1000 - LUN_FIGURES_CHOICES);
    assert_int_equal(lun_figures_chosen(&f, "model-7"), 1);
    lun_figures_free(&f);
}

static void another_way_is_estimated_and_said_to_be(void **state)
{
    (void)state;
    struct world w = { .seed = 3 };
    make_log(&w, PLAIN, PICKS(0.6, 0.4), 200);
    struct lun_replays *r = replayed(&w.log, PLAIN, BY_TEXT, NULL, NULL), *again = replayed(&w.log, PLAIN, BY_TEXT, PICKS(1, 0), NULL);
    const struct lun_replay *p = lun_replays_get(r, 0);
    struct lun_buf one = {0}, two = {0};
    assert_true(lun_replay_counted(p, LUN_REPLAY_ESTIMATED) > 40);
    assert_int_equal(lun_replay_counted(p, LUN_REPLAY_ESTIMATED) + lun_replay_counted(p, LUN_REPLAY_LOGGED), 200);
    assert_int_equal(lun_figures_chosen(lun_replay_figures(p), "small") + lun_figures_chosen(lun_replay_figures(p), "large"),
                     lun_replay_figures(p)->sum[LUN_FIGURE_ANSWERED]);
    lun_figures_json(lun_replay_figures(p), &one);
    lun_figures_json(lun_replay_figures(lun_replays_get(again, 0)), &two);          /* the same again, whatever it is tried beside */
    assert_string_equal(lun_buf_text(&one), lun_buf_text(&two));
    lun_buf_free(&one);
    lun_buf_free(&two);
    lun_replays_free(r);
    lun_replays_free(again);
    lun_buf_free(&w.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_policy_comes_to_what_the_log_came_to),
        cmocka_unit_test(so_it_does_with_health_limits_and_budgets),
        cmocka_unit_test(a_hook_that_fails_is_told_with_its_request),
        cmocka_unit_test(what_the_log_does_not_have_is_counted),
        cmocka_unit_test(choices_are_bounded),
        cmocka_unit_test(another_way_is_estimated_and_said_to_be),
        cmocka_unit_test(intervals_hold_the_truth_nine_times_in_ten),
    };
    return cmocka_run_group_tests_name("replay", tests, make_folder, remove_folder);
}

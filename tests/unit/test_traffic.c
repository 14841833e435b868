/* Descriptions of traffic, and the requests and ends that are made of them. */
#include "loading.h"
#include "gateway/replays.h"
#include "gateway/synthetic.h"
#include <math.h>

static struct lun_traffic *load_traffic(const char *name, const char *text, struct lun_mistakes *m)
{
    char *path = lun_printf("%s/%s", folder, name);
    put_file(name, text);
    struct lun_traffic *t = lun_traffic_load(path, m);
    free(path);
    return t;
}

static struct lun_traffic *loaded(const char *text)
{
    struct lun_mistakes m = {0};
    struct lun_traffic *t = load_traffic("traffic.lua", text, &m);
    if (!t) fail_msg("%s", m.items[0].what);
    return t;
}

static void refused_for(const char *text, const char *what)
{
    struct lun_mistakes m = {0};
    assert_null(load_traffic("traffic.lua", text, &m));
    assert_int_equal(m.n, 1);
    if (!strstr(m.items[0].what, what)) fail_msg("%s, not %s", m.items[0].what, what);
    lun_mistakes_free(&m);
}

#define FINE "mix = { {} }, targets = { ['p/m'] = {} }"

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    refused_for("return 7", "has to return a table");
    refused_for("return {", "unexpected symbol near '<eof>'");
    refused_for("return { " FINE ", rate = 1 }", "rate: there is no such setting");
    refused_for("return { targets = { ['p/m'] = {} } }", "mix: has to be a list");
    refused_for("return { mix = { {} } }", "targets: has to be a table");
    refused_for("return { " FINE ", arrivals = { per_hour = { 1, 2 } } }", "arrivals.per_hour: has to be a list of 24 numbers");
    refused_for("return { " FINE ", start = 'noon' }", "start: has to be a moment");
    refused_for("return { mix = { { input = { median = 5, p99 = 4 } } }, targets = { ['p/m'] = {} } }", "mix[1].input.p99: has to be at least the median");
    refused_for("return { mix = { {} }, targets = { ['p/m'] = { kind = 'bored' } } }", "kind: has to be a way");
    refused_for("return { mix = { {} }, targets = { ['p/m'] = { failures = 2 } } }", "failures: has to be a number from 0 to 1");
}

static void json_says_the_same_as_lua(void **state)
{
    struct lun_mistakes m = {0};
    (void)state;
    struct lun_traffic *t = load_traffic("traffic.json", "{\"seed\":7,\"requests\":3,\"mix\":[{\"model\":\"m\",\"tags\":{\"tier\":\"x\"}}],\"targets\":{\"p/m\":{\"failures\":0.5}}}", &m);
    assert_non_null(t);
    assert_int_equal(t->seed, 7);
    assert_int_equal(t->requests, 3);
    assert_string_equal(t->mix[0].model, "m");
    assert_string_equal(t->mix[0].tags[0].value, "x");
    assert_true(lun_traffic_target(t, "p/m")->failures == 0.5);
    assert_null(lun_traffic_target(t, "p/n"));
    lun_traffic_free(t);
    assert_null(load_traffic("broken.json", "{\"seed\":", &m));
    lun_mistakes_free(&m);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* 3,600 in the first hour, twice as many in the second, none in the third: within four deviations, and so are the lengths' median and p99. */
static void requests_are_as_they_were_described(void **state)
{
    enum { N = 14400 };
    static int64_t input[N];
    int hour[4] = {0}, heavy = 0;
    (void)state;
    struct lun_traffic *t = loaded("local hours = { 3600, 7200, 0 } for h = 4, 24 do hours[h] = 3600 end\n"
        "return { requests = 14400, arrivals = { per_hour = hours }, mix = { { weight = 3, input = { median = 1000, p99 = 8000 } },"
        "{ weight = 1, model = 'heavy', input = { median = 1000, p99 = 8000 } } }, targets = { ['p/m'] = {} } }");
    struct lun_synthetic *s = lun_synthetic_new(t);
    lun_us before = 0;
    for (int i = 0; i < N; i++) {
        struct lun_logged *g = lun_synthetic_next(s);
        int64_t h = (g->time - t->start) / (3600 * LUN_SECOND);
        assert_true(g->time >= before);
        before = g->time;
        input[i] = g->usage.input;
        heavy += !strcmp(g->model, "heavy");
        if (h < 4) hour[h]++;
        lun_logged_unref(g);
    }
    assert_null(lun_synthetic_next(s));
    qsort(input, N, sizeof *input, by_size);
    assert_in_range(hour[0], 3600 - 240, 3600 + 240);
    assert_in_range(hour[1], 7200 - 340, 7200 + 340);
    assert_int_equal(hour[2], 0);
    assert_in_range(heavy, N / 4 - 208, N / 4 + 208);
    assert_in_range(input[N / 2], 960, 1040);
    assert_in_range(input[N * 99 / 100], 7000, 9100);
    lun_synthetic_free(s);
    lun_traffic_free(t);
}

static void targets_fail_as_they_were_described(void **state)
{
    (void)state;
    char *error = NULL;
    struct lun_traffic *t = loaded("return { requests = 4000, arrivals = { per_second = 10 }, mix = { {} }, targets = { ['p/m'] = {"
        "latency = { median = 0.2 }, failures = 0.1, episodes = { { from = 100, to = 200 } }, requests_per_minute = 1200 } } }");
    struct lun_snapshot *snapshot = load_with("return { providers = { p = { base_url = 'http://127.0.0.1:1', health = false } },"
        "models = { m = { { provider = 'p', model = 'm' } } } }", no_environment, NULL, NULL);
    struct lun_synthetic_rates rates = { .traffic = t };
    struct lun_synthetic *s = lun_synthetic_new(t);
    struct lun_replays *r = lun_replays_new();
    lun_replays_add(r, snapshot, &(struct lun_replay_options){ .tell = lun_synthetic_tell, .tell_self = &rates });
    for (struct lun_logged *g; (g = lun_synthetic_next(s)); ) assert_true(lun_replays_take(r, g, 0, &error));
    assert_true(lun_replays_end(r, &error));
    const struct lun_figures *f = lun_replay_figures(lun_replays_get(r, 0));
    assert_in_range(f->sum[LUN_FIGURE_ANSWERED], 2700 - 160, 2700 + 160);          /* of 4,000 in 400 s 1,000 fall into the episode, and one in ten fails */
    assert_in_range((int64_t)lun_figures_get(f, LUN_FIGURE_P50), 196, 204);
    lun_replays_free(r);
    lun_synthetic_free(s);
    lun_synthetic_rates_free(&rates);
    lun_traffic_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_told_with_its_place), cmocka_unit_test(json_says_the_same_as_lua),
        cmocka_unit_test(requests_are_as_they_were_described), cmocka_unit_test(targets_fail_as_they_were_described),
    };
    return cmocka_run_group_tests_name("traffic", tests, make_folder, remove_folder);
}

/* Metrics: nothing recorded is lost, and what is written is Prometheus text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/metrics.h"
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WITH(...) ((const char *[]){ __VA_ARGS__ })

static char *written(struct lun_metrics *m)     /* yours to free */
{
    struct lun_buf out = {0};
    lun_metrics_write(m, &out);
    return lun_buf_text(&out);
}

static void has_line(const char *text, const char *line)
{
    size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at += n)
        if ((at == text || at[-1] == '\n') && at[n] == '\n') return;
    fail_msg("no line '%s'", line);
}

static int lines_with(const char *text, const char *start)
{
    int count = 0;
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) count += !strncmp(at, start, strlen(start));
    return count;
}

static void counters_add_up_by_labels(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("gpt-4.1", "200"), 1);
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("gpt-4.1", "200"), 2);
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("gpt-4.1", "502"), 1);
    lun_metrics_add(m, LUN_METRIC_RETRIES_DENIED, NULL, 4);
    assert_true(lun_metrics_get(m, LUN_METRIC_REQUESTS, WITH("gpt-4.1", "200")) == 3);
    assert_true(lun_metrics_get(m, LUN_METRIC_REQUESTS, WITH("gpt-4.1", "502")) == 1);
    assert_true(lun_metrics_get(m, LUN_METRIC_REQUESTS, WITH("gpt-4.1", "404")) == 0);
    assert_true(lun_metrics_get(m, LUN_METRIC_RETRIES_DENIED, NULL) == 4);
    char *text = written(m);
    has_line(text, "lunette_requests_total{model=\"gpt-4.1\",status=\"200\"} 3");
    has_line(text, "lunette_requests_total{model=\"gpt-4.1\",status=\"502\"} 1");
    has_line(text, "lunette_retries_denied_total 4");
    free(text);
    lun_metrics_free(m);
}

static void a_counter_never_falls_and_takes_only_finite_numbers(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    lun_metrics_add(m, LUN_METRIC_COST, WITH("a", "b"), 0.1);
    lun_metrics_add(m, LUN_METRIC_COST, WITH("a", "b"), -1);
    lun_metrics_add(m, LUN_METRIC_COST, WITH("a", "b"), NAN);
    lun_metrics_add(m, LUN_METRIC_COST, WITH("a", "b"), INFINITY);
    lun_metrics_add(m, LUN_METRIC_DURATION, WITH("a", "b", ""), NAN);
    char *text = written(m);
    has_line(text, "lunette_cost_usd_total{model=\"a\",target=\"b\"} 0.1");        /* and not 0.10000000000000001 */
    assert_int_equal(lines_with(text, "gen_ai_server_request_duration_bucket"), 0);
    free(text);
    lun_metrics_free(m);
}

static void gauges_are_set_and_moved(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    lun_metrics_set(m, LUN_METRIC_CIRCUIT, WITH("a/one"), 1);
    lun_metrics_set(m, LUN_METRIC_CIRCUIT, WITH("a/one"), 0.5);
    lun_metrics_add(m, LUN_METRIC_IN_FLIGHT, NULL, 1);
    lun_metrics_add(m, LUN_METRIC_IN_FLIGHT, NULL, 1);
    lun_metrics_add(m, LUN_METRIC_IN_FLIGHT, NULL, -1);
    lun_metrics_set(m, LUN_METRIC_DURATION, WITH("a", "b", ""), 5);     /* not for histograms */
    assert_true(lun_metrics_get(m, LUN_METRIC_CIRCUIT, WITH("a/one")) == 0.5);
    assert_true(lun_metrics_get(m, LUN_METRIC_IN_FLIGHT, NULL) == 1);
    assert_true(lun_metrics_get(m, LUN_METRIC_DURATION, WITH("a", "b", "")) == 0);
    lun_metrics_free(m);
}

static void histograms_have_cumulative_buckets_up_to_inf_a_sum_and_a_count(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    static const double seconds[] = { 0.005, 0.01, 0.011, 3, 100, 1000 };
    for (size_t i = 0; i < 6; i++) lun_metrics_add(m, LUN_METRIC_DURATION, WITH("gpt", "openai", ""), seconds[i]);
    lun_metrics_add(m, LUN_METRIC_TOKENS, WITH("gpt", "openai", "input"), 1000);
    char *text = written(m);
    has_line(text, "gen_ai_server_request_duration_bucket{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",error_type=\"\",le=\"0.01\"} 2");
    has_line(text, "gen_ai_server_request_duration_bucket{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",error_type=\"\",le=\"0.02\"} 3");
    has_line(text, "gen_ai_server_request_duration_bucket{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",error_type=\"\",le=\"5.12\"} 4");
    has_line(text, "gen_ai_server_request_duration_bucket{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",error_type=\"\",le=\"81.92\"} 4");
    has_line(text, "gen_ai_server_request_duration_bucket{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",error_type=\"\",le=\"+Inf\"} 6");
    has_line(text, "gen_ai_server_request_duration_sum{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",error_type=\"\"} 1103.026");
    has_line(text, "gen_ai_server_request_duration_count{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",error_type=\"\"} 6");
    has_line(text, "gen_ai_client_token_usage_bucket{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",gen_ai_token_type=\"input\",le=\"256\"} 0");
    has_line(text, "gen_ai_client_token_usage_bucket{gen_ai_request_model=\"gpt\",gen_ai_provider_name=\"openai\",gen_ai_token_type=\"input\",le=\"1024\"} 1");
    has_line(text, "lunette_overhead_seconds_bucket{le=\"+Inf\"} 0");
    assert_true(lun_metrics_get(m, LUN_METRIC_DURATION, WITH("gpt", "openai", "")) == 6);
    free(text);
    lun_metrics_free(m);
}

static void every_histogram_of_the_table_has_bounds(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    char *text;
#define X(id, name, type, labels, help) \
    if (LUN_##type == LUN_HISTOGRAM) lun_metrics_add(m, LUN_METRIC_##id, WITH("a", "b", "c", "d"), 0.02);
    LUN_METRICS(X)
#undef X
    text = written(m);
#define X(id, name, type, labels, help) \
    if (LUN_##type == LUN_HISTOGRAM && lines_with(text, name "_bucket{") < 5) fail_msg("%s", name);
    LUN_METRICS(X)
#undef X
    free(text);
    lun_metrics_free(m);
}

static void every_metric_of_the_table_says_once_what_it_is(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("a", "200"), 1);
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("b", "200"), 1);
    char *text = written(m);
#define X(id, name, type, labels, help) \
    assert_int_equal(lines_with(text, "# HELP " name " "), 1); assert_int_equal(lines_with(text, "# TYPE " name " "), 1); \
    assert_non_null(strstr(text, "# HELP " name " " help "\n# TYPE " name " "));
    LUN_METRICS(X)
#undef X
    has_line(text, "# TYPE lunette_requests_total counter");
    has_line(text, "# TYPE lunette_connections gauge");
    has_line(text, "# TYPE gen_ai_client_token_usage histogram");
    has_line(text, "lunette_connections 0");                    /* what has no labels is there from the start */
    has_line(text, "lunette_config_reloads_total{kind=\"rollback\",result=\"refused\"} 0");    /* and what else is known beforehand */
    has_line(text, "lunette_request_seconds_count{result=\"failed\"} 0");
    free(text);
    lun_metrics_free(m);
}

static void label_values_are_escaped_and_always_utf_8(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[299] = 0;
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("a \"b\" \\ c\nd", NULL), 1);
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("caf\xC3\xA9 \xFF\xC3", "200"), 1);
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH(longer, "200"), 1);
    char *text = written(m);
    has_line(text, "lunette_requests_total{model=\"a \\\"b\\\" \\\\ c\\nd\",status=\"\"} 1");
    has_line(text, "lunette_requests_total{model=\"caf\xC3\xA9 \xEF\xBF\xBD\xEF\xBF\xBD\",status=\"200\"} 1");
    longer[200] = 0;
    assert_non_null(strstr(text, longer));
    longer[200] = 'x';
    assert_null(strstr(text, longer));
    assert_true(lun_metrics_get(m, LUN_METRIC_REQUESTS, WITH(longer, "200")) == 1);
    free(text);
    lun_metrics_free(m);
}

static void labels_that_join_to_the_same_text_stay_apart(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("ab", "c"), 1);
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("a", "bc"), 2);
    lun_metrics_add(m, LUN_METRIC_REQUESTS, WITH("", "abc"), 4);
    assert_true(lun_metrics_get(m, LUN_METRIC_REQUESTS, WITH("ab", "c")) == 1);
    assert_true(lun_metrics_get(m, LUN_METRIC_REQUESTS, WITH("a", "bc")) == 2);
    assert_true(lun_metrics_get(m, LUN_METRIC_REQUESTS, WITH(NULL, "abc")) == 4);
    lun_metrics_free(m);
}

static void past_ten_thousand_series_the_rest_is_counted_as_other(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    char name[32];
    for (int i = 0; i < 12000; i++) {
        snprintf(name, sizeof name, "model %d", i);
        lun_metrics_add(m, LUN_METRIC_FALLBACKS, WITH(name), 1);
    }
    lun_metrics_add(m, LUN_METRIC_FALLBACKS, WITH("model 5"), 1);       /* those that are there go on */
    assert_true(lun_metrics_get(m, LUN_METRIC_FALLBACKS, WITH("model 5")) == 2);
    assert_true(lun_metrics_get(m, LUN_METRIC_FALLBACKS, WITH("model 11999")) == 0);
    assert_true(lun_metrics_get(m, LUN_METRIC_FALLBACKS, WITH("other")) == 2000);
    char *text = written(m);
    assert_int_equal(lines_with(text, "lunette_fallbacks_total{"), 10001);
    free(text);
    lun_metrics_free(m);
}

static void a_policys_own_metrics_add_up_under_names_of_their_own(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    assert_true(lun_metrics_policy(m, "cheap_wins", 1));
    assert_true(lun_metrics_policy(m, "cheap_wins", 2));
    assert_true(lun_metrics_policy(m, "Quality2", -0.5));
    char *text = written(m);
    has_line(text, "# TYPE lunette_policy_cheap_wins gauge");
    has_line(text, "lunette_policy_cheap_wins 3");
    has_line(text, "lunette_policy_Quality2 -0.5");
    free(text);
    static const char *const wrong[] = { "", "a-b", "a b", "a\nlunette_requests_total 7", "caf\xC3\xA9", "a{b=\"c\"}", "seconds", "seconds_sum", "errors_total",
                                         "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcde" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (lun_metrics_policy(m, wrong[i], 1)) fail_msg("took '%s'", wrong[i]);
    assert_false(lun_metrics_policy(m, "fine", NAN));
    lun_metrics_free(m);
}

static void a_policy_has_at_most_two_hundred_names(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "m%d", i);
        assert_true(lun_metrics_policy(m, name, 1));
    }
    assert_false(lun_metrics_policy(m, "one_more", 1));
    assert_true(lun_metrics_policy(m, "m7", 1));
    lun_metrics_free(m);
}

/* A small reader of the text format: every line is a comment or `name{labels} number`, each family stands together. */
static bool sample_is_valid(const char *line, size_t n, char family[128])
{
    size_t at = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:");
    snprintf(family, 128, "%.*s", (int)at, line);
    if (!at || isdigit((unsigned char)*line)) return false;
    if (line[at] == '{') {
        do {
            at++;
            size_t name = strspn(line + at, "abcdefghijklmnopqrstuvwxyz_");
            if (!name || strncmp(line + at + name, "=\"", 2)) return false;
            for (at += name + 2; line[at] != '"'; at++) {
                if (line[at] == '\n') return false;
                if (line[at] == '\\' && !strchr("\\\"n", line[++at])) return false;
            }
            at++;
        } while (line[at] == ',');
        if (line[at++] != '}') return false;
    }
    char *end;
    if (line[at++] != ' ') return false;
    strtod(line + at, &end);
    return end == line + n;
}

static void the_whole_of_it_is_text_that_prometheus_reads(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    char family[128], current[128] = "", strange[8];
    uint64_t seed = 5;
#define X(id, name, type, labels, help) \
    for (int i = 0; i < 20; i++) { \
        for (int j = 0; j < 7; j++) strange[j] = (char)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 56); \
        strange[7] = 0; \
        lun_metrics_add(m, LUN_METRIC_##id, WITH(strange, "b\\", "\"", "\n"), (double)(seed >> 40) / 1e3); \
    }
    LUN_METRICS(X)
#undef X
    lun_metrics_policy(m, "own", 1e300);
    char *text = written(m);
    int samples = 0;
    for (const char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        if (!strncmp(line, "# TYPE ", 7)) sscanf(line, "# TYPE %127s", current);
        if (*line == '#') continue;
        if (!sample_is_valid(line, (size_t)(end - line), family)) fail_msg("%.*s", (int)(end - line), line);
        if (strncmp(family, current, strlen(current))) fail_msg("%s stands among %s", family, current);
        samples++;
    }
    assert_true(samples > 1000);
    free(text);
    lun_metrics_free(m);
}

static void *record(void *of)
{
    struct lun_metrics *m = of;
    char name[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "m%d", i % 300);
        lun_metrics_add(m, LUN_METRIC_FALLBACKS, WITH(name), 1);
        lun_metrics_add(m, LUN_METRIC_OVERHEAD, NULL, 0.001);
        lun_metrics_add(m, LUN_METRIC_IN_FLIGHT, NULL, i % 2 ? -1 : 1);
        if (i % 100 == 0) lun_metrics_policy(m, "own", 1);
        if (i % 5000 == 0) free(written(m));
    }
    return NULL;
}

static void no_record_of_any_thread_is_lost(void **state)
{
    (void)state;
    struct lun_metrics *m = lun_metrics_new();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, record, m), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    double all = 0;
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "m%d", i);
        all += lun_metrics_get(m, LUN_METRIC_FALLBACKS, WITH(name));
    }
    assert_true(all == 80000);
    assert_true(lun_metrics_get(m, LUN_METRIC_OVERHEAD, NULL) == 80000);
    assert_true(lun_metrics_get(m, LUN_METRIC_IN_FLIGHT, NULL) == 0);
    char *text = written(m);
    has_line(text, "lunette_policy_own 800");
    assert_int_equal(lines_with(text, "lunette_fallbacks_total{"), 300);        /* each series once, however many made it at once */
    free(text);
    lun_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_add_up_by_labels), cmocka_unit_test(a_counter_never_falls_and_takes_only_finite_numbers),
        cmocka_unit_test(gauges_are_set_and_moved), cmocka_unit_test(histograms_have_cumulative_buckets_up_to_inf_a_sum_and_a_count),
        cmocka_unit_test(every_histogram_of_the_table_has_bounds), cmocka_unit_test(every_metric_of_the_table_says_once_what_it_is),
        cmocka_unit_test(label_values_are_escaped_and_always_utf_8), cmocka_unit_test(labels_that_join_to_the_same_text_stay_apart),
        cmocka_unit_test(past_ten_thousand_series_the_rest_is_counted_as_other),
        cmocka_unit_test(a_policys_own_metrics_add_up_under_names_of_their_own), cmocka_unit_test(a_policy_has_at_most_two_hundred_names),
        cmocka_unit_test(the_whole_of_it_is_text_that_prometheus_reads), cmocka_unit_test(no_record_of_any_thread_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What attempts and requests leave in the metrics, and what the report makes of it, to the digit. */
#include "policy_world.h"
#include "gateway/record.h"
#include "gateway/report.h"
#include <math.h>

static const struct { const char *name, *where; } fields[] = {
#define X(id, name, type, where, doc) { name, where },
    LUN_REPORT_FIELDS(X)
#undef X
};
enum { FIELDS = sizeof fields / sizeof *fields };

struct told { struct lun_buf text; struct lun_json json; };

static struct told report_with(struct world *w, bool spread)
{
    struct told t = {0};
    lun_report_write(&(struct lun_reported){ w->registry->metrics, w->snapshot, w->loop.now, 1700000090 * LUN_SECOND, 1700000000 * LUN_SECOND, spread }, &t.text);
    struct lun_json_error e;
    if (!lun_json_check(t.text.at, t.text.n, &t.json, &e)) fail_msg("at %zu: %s: %.*s", e.at, e.what, (int)t.text.n, t.text.at);
    return t;
}

static struct told report(struct world *w) { return report_with(w, false); }

static struct lun_json at(struct told *t, const char *path)
{
    struct lun_json v = lun_json_path(t->json, path);
    if (!v.n) fail_msg("%s is not there: %.*s", path, (int)t->text.n, t->text.at);
    return v;
}

static void is_number(struct told *t, const char *path, double wanted)
{
    double x = NAN;
    struct lun_json v = at(t, path);
    if (isnan(wanted) ? lun_json_type(v) != LUN_JSON_NULL : !lun_json_double(v, &x) || fabs(x - wanted) > 1e-9)
        fail_msg("%s is %.*s, not %.10g", path, (int)v.n, v.at, wanted);
}

static void is_text(struct told *t, const char *path, const char *wanted)
{
    struct lun_json v = at(t, path);
    if (!lun_json_is(v, wanted)) fail_msg("%s is %.*s, not %s", path, (int)v.n, v.at, wanted);
}

static struct lun_trial *costs(struct lun_trial *t, int64_t input, int64_t output)
{
    t->usage = (struct lun_usage){ .known = true, .input = input, .output = output };
    t->cost = lun_price_cost(&t->target->price, &t->usage);
    return t;
}

static struct lun_trial *attempt(struct world *w, struct lun_question *q, int target, enum lun_kind kind, int step)
{
    struct lun_trial *t = tried(w, q, &w->target[target], kind, kind == LUN_KIND_OK ? 200 : 500);
    t->step = step;
    return t;
}

/* It is over: the trials are recorded, and the request as `done` says. */
static void ends(struct world *w, struct lun_question *q, struct lun_done done)
{
    for (struct lun_trial *t = q->trials; t; t = t->next) lun_record_trial(q, t);
    lun_record_request(q, &done);
    over(w, q);
}

static const char **labels(struct lun_question *q, const char *a, const char *b)
{
    const char **l = lun_arena_zalloc(q->arena, 2 * sizeof *l);
    l[0] = a, l[1] = b;
    q->labels = l;
    q->n_labels = b ? 2 : 1;
    return l;
}

static void is_in(const char *where, const char *section, const char *field)
{
    if (!strstr(where, section)) fail_msg("%s stands in %s, and the table says %s", field, section, where);
}

/* Every member is in the table, and `where` names the list it stands in. */
static void has_only_fields(struct lun_json object, const char *section, bool seen[FIELDS])
{
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); ) {
        int i = 0;
        while (i < FIELDS && !lun_json_is(e.key, fields[i].name)) i++;
        if (i == FIELDS) fail_msg("%.*s is not in the table", (int)e.key.n, e.key.at);
        seen[i] = true;
        if (!strncmp(fields[i].where, "all", 3)) continue;
        is_in(fields[i].where, section, fields[i].name);
    }
}

static void an_empty_report_has_every_field_that_is_no_list(void **state)
{
    W;
    struct told t = report(w);
    is_text(&t, "since", "2023-11-14T22:13:20.000Z");
    is_number(&t, "seconds", 90);
    is_number(&t, "totals.requests", 0);
    is_number(&t, "totals.success_rate", NAN);
    is_number(&t, "totals.mean_ms", NAN);
    is_number(&t, "totals.p99_ms", NAN);
    is_number(&t, "totals.fallback_rate", NAN);
    is_number(&t, "all_models.cost_usd", 0);
    assert_int_equal(lun_json_count(at(&t, "models")), 0);
    assert_int_equal(lun_json_type(at(&t, "saving")), LUN_JSON_NULL);      /* the averages were not made */
    lun_buf_free(&t.text);
}

/* small is asked twice in vain, large answers at step 3; another request is answered at once by small. */
static void traffic(struct world *w)
{
    struct lun_question *q = ask(w, HELLO);
    labels(q, "fast", "faq");
    attempt(w, q, 0, LUN_KIND_SERVER_ERROR, 1);
    attempt(w, q, 1, LUN_KIND_CUT, 2)->began -= 500 * LUN_MS;               /* queued for half a second */
    struct lun_trial *t = costs(attempt(w, q, 3, LUN_KIND_OK, 3), 1000, 100);
    ends(w, q, (struct lun_done){ .status = 200, .trial = t, .fallback = true, .latency = 4 * LUN_SECOND, .rested = 1500 * LUN_MS });
    q = ask(w, HELLO);
    labels(q, "fast", NULL);
    t = costs(attempt(w, q, 0, LUN_KIND_OK, 1), 1000000, 0);
    attempt(w, q, 1, LUN_KIND_CANCELLED, 2)->hedge = true;
    ends(w, q, (struct lun_done){ .status = 200, .trial = t, .latency = 2 * LUN_SECOND });
}

static void everything_is_counted_where_it_belongs(void **state)
{
    W;
    traffic(w);
    struct told t = report(w);
    is_number(&t, "totals.requests", 2);
    is_number(&t, "totals.answered", 2);
    is_number(&t, "totals.success_rate", 1);
    is_number(&t, "totals.mean_ms", 3000);
    is_number(&t, "totals.primary_rate", 0.5);
    is_number(&t, "totals.fallbacks", 1);
    is_number(&t, "totals.fallback_rate", 0.5);
    is_number(&t, "totals.retried", 1);                     /* a hedge is no retry */
    is_number(&t, "totals.retried_answered", 1);
    is_number(&t, "totals.retry_rate", 0.5);
    is_number(&t, "totals.retries", 2);
    is_number(&t, "totals.retry_wait_seconds", 1.5);
    is_number(&t, "totals.hedges", 1);
    is_number(&t, "totals.queued", 1);
    is_number(&t, "totals.queue_seconds", 0.5);
    is_text(&t, "models.0.model", "small");                 /* the busiest first */
    is_number(&t, "models.0.attempts", 4);
    is_number(&t, "models.0.answered", 1);
    is_number(&t, "models.0.failed", 2);
    is_number(&t, "models.0.cancelled", 1);
    is_number(&t, "models.0.success_rate", 0.333333);
    is_number(&t, "models.0.tokens_input", 1000000);
    is_number(&t, "models.0.cost_usd", 0.42);
    is_text(&t, "models.1.model", "large");
    is_number(&t, "models.1.mean_ms", 2000);
    is_number(&t, "models.1.cost_usd", 0.0225);
    is_number(&t, "all_models.attempts", 5);
    is_number(&t, "all_models.cost_usd", 0.4425);
    is_text(&t, "labels.0.label", "fast");
    is_number(&t, "labels.0.requests", 2);
    is_number(&t, "labels.0.mean_ms", 3000);
    is_number(&t, "labels.1.requests", 1);
    is_number(&t, "labels.1.mean_ms", 4000);
    is_text(&t, "stages.0.stage", "1");
    is_number(&t, "stages.0.share", 0.5);
    is_text(&t, "stages.1.stage", "3");
    is_number(&t, "stages.1.mean_ms", 4000);
    assert_int_equal(lun_json_count(at(&t, "stages")), 2);
    is_text(&t, "targets.0.target", "a/small");
    is_number(&t, "targets.0.ends.server_error", 1);
    is_text(&t, "targets.1.target", "b/small");
    is_number(&t, "targets.1.queued", 1);
    is_number(&t, "targets.1.queue_seconds", 0.5);
    is_number(&t, "targets.1.hedges", 1);
    lun_buf_free(&t.text);
}

static void the_report_and_the_table_have_the_same_fields(void **state)
{
    W;
    static const char *const lists[] = { "models", "labels", "stages", "targets" };
    bool seen[FIELDS] = {0};
    w->snapshot->premium = usd(10);
    lun_snapshot_average(w->snapshot);
    traffic(w);
    struct told t = report_with(w, true);
    has_only_fields(t.json, "top", seen);
    has_only_fields(at(&t, "totals"), "totals", seen);
    has_only_fields(at(&t, "saving"), "saving", seen);
    has_only_fields(at(&t, "all_models"), "models", seen);
    for (size_t i = 0; i < 4; i++)
        for (struct lun_json_each e = lun_json_each(at(&t, lists[i])); lun_json_next(&e); ) has_only_fields(e.value, lists[i], seen);
    for (int i = 0; i < FIELDS; i++) if (!seen[i]) fail_msg("%s is in the table and not in the report", fields[i].name);
    lun_buf_free(&t.text);
}

static void p99_is_that_of_what_was_answered(void **state)
{
    W;
    for (int i = 1; i <= 1000; i++) {
        struct lun_question *q = ask(w, HELLO);
        labels(q, "l", NULL);
        struct lun_trial *t = attempt(w, q, 0, LUN_KIND_OK, 1);
        t->sent = t->ended - i * LUN_MS;
        ends(w, q, (struct lun_done){ .status = 200, .trial = t, .latency = i * LUN_MS });
    }
    ends(w, ask(w, HELLO), (struct lun_done){ .status = 502, .latency = 100 * LUN_SECOND });
    struct told t = report(w);
    static const char *const paths[] = { "totals.p99_ms", "models.0.p99_ms", "labels.0.p99_ms", "stages.0.p99_ms", "targets.0.p99_ms" };
    for (size_t i = 0; i < 5; i++) {
        double p99 = 0;
        lun_json_double(at(&t, paths[i]), &p99);
        if (fabs(p99 - 990) > 990 * 0.02) fail_msg("%s is %g", paths[i], p99);
    }
    is_number(&t, "totals.mean_ms", 500.5);
    lun_buf_free(&t.text);
}

static void each_end_has_its_result(void **state)
{
    W;
    struct lun_question *q = ask(w, HELLO);
    attempt(w, q, 0, LUN_KIND_BAD_REQUEST, 1);
    ends(w, q, (struct lun_done){ .status = 400 });                                         /* an attempt was made */
    q = ask(w, HELLO);
    attempt(w, q, 0, LUN_KIND_SKIPPED, 1);
    ends(w, q, (struct lun_done){ .status = 402 });                                         /* none was */
    q = ask(w, HELLO);
    attempt(w, q, 0, LUN_KIND_POOL_FULL, 1)->sent = 0;
    attempt(w, q, 1, LUN_KIND_POOL_FULL, 2)->sent = 0;
    ends(w, q, (struct lun_done){ .status = 429 });                                         /* none had a turn */
    ends(w, ask(w, HELLO), (struct lun_done){ .status = 503 });
    ends(w, ask(w, HELLO), (struct lun_done){ .status = 499 });
    q = ask(w, HELLO);
    struct lun_trial *torn = attempt(w, q, 0, LUN_KIND_CUT, 1);
    ends(w, q, (struct lun_done){ .status = 200, .trial = torn, .stream_torn = true });
    q = ask(w, HELLO);
    q->inner = true;                                                                        /* a policy's own */
    struct lun_trial *t = attempt(w, q, 0, LUN_KIND_OK, 1);
    ends(w, q, (struct lun_done){ .status = 200, .trial = t });
    q = ask(w, HELLO);
    q->decide_only = true;
    ends(w, q, (struct lun_done){ .status = 200 });
    struct told r = report(w);
    is_number(&r, "totals.requests", 6);
    is_number(&r, "totals.retried", 0);
    is_number(&r, "totals.answered", 0);
    is_number(&r, "totals.failed", 3);
    is_number(&r, "totals.refused", 2);
    is_number(&r, "totals.left", 1);
    is_number(&r, "totals.success_rate", 0);
    is_number(&r, "models.0.attempts", 3);                  /* the policy's own counts here */
    is_number(&r, "models.0.answered", 1);
    assert_int_equal(lun_json_count(at(&r, "stages")), 0);
    lun_buf_free(&r.text);
}

static void what_the_cache_answered_is_no_fallback(void **state)
{
    W;
    static const enum lun_cache_result results[] = { LUN_CACHE_MISS, LUN_CACHE_HIT, LUN_CACHE_SHARED, LUN_CACHE_BYPASS, LUN_CACHE_REFRESH };
    for (size_t i = 0; i < 5; i++) {
        struct lun_question *q = ask(w, HELLO);
        struct lun_trial *t = attempt(w, q, 0, LUN_KIND_OK, i == 3 ? 2 : 1);
        if (results[i] == LUN_CACHE_HIT || results[i] == LUN_CACHE_SHARED) q->trials = NULL;       /* another request's */
        ends(w, q, (struct lun_done){ .status = 200, .trial = t, .cache = results[i], .latency = LUN_SECOND });
    }
    struct told t = report(w);
    is_number(&t, "totals.cached", 2);
    is_number(&t, "totals.cache_rate", 0.666667);
    is_number(&t, "totals.primary_rate", 0.666667);
    is_number(&t, "totals.fallbacks", 1);
    is_number(&t, "totals.retried", 0);
    is_text(&t, "stages.2.stage", "cache");
    is_number(&t, "stages.2.answered", 2);
    is_number(&t, "stages.2.share", 0.4);
    lun_buf_free(&t.text);
}

static void stages_stand_in_their_order_and_others_last(void **state)
{
    W;
    static const int steps[] = { 10, 0, 2, 1, 2 };
    for (int i = 0; i < 5; i++) {
        struct lun_question *q = ask(w, HELLO);
        ends(w, q, (struct lun_done){ .status = 200, .trial = attempt(w, q, 0, LUN_KIND_OK, steps[i]), .latency = LUN_SECOND });
    }
    struct told t = report(w);
    is_text(&t, "stages.0.stage", "1");
    is_text(&t, "stages.1.stage", "2");
    is_text(&t, "stages.2.stage", "10");
    is_text(&t, "stages.3.stage", "other");
    is_number(&t, "totals.primary_rate", 0.2);
    is_number(&t, "totals.fallbacks", 4);
    lun_buf_free(&t.text);
}

/* ---- money ---- */

static void savings_are_against_the_mean_of_the_premium_targets(void **state)
{
    W;
    w->target[2].price.input = usd(45), w->target[2].price.output = usd(45);        /* the prices of a task router's table */
    w->target[3].price.input = usd(60), w->target[3].price.output = usd(60);
    lun_snapshot_average(w->snapshot);
    assert_true(w->snapshot->premium_price.input == usd(52.5));
    assert_true(w->snapshot->premium_price.output == usd(52.5));
    struct lun_question *q = ask(w, HELLO);
    struct lun_trial *t = costs(attempt(w, q, 0, LUN_KIND_OK, 1), 500000, 500000);
    ends(w, q, (struct lun_done){ .status = 200, .trial = t });
    struct told r = report(w);
    is_number(&r, "saving.above", 30);
    is_number(&r, "saving.cost_usd", 0.63);
    is_number(&r, "saving.premium_usd", 52.5);
    is_number(&r, "saving.saved_usd", 51.87);
    is_number(&r, "saving.saved_percent", 98.8);
    is_number(&r, "models.0.saved_percent", 98.8);
    assert_int_equal(lun_json_count(at(&r, "saving.premium_targets")), 2);
    lun_buf_free(&r.text);
}

static void what_is_not_known_saves_nothing(void **state)
{
    W;
    w->snapshot->premium = usd(10);
    lun_snapshot_average(w->snapshot);                      /* c/large alone: 15 and 75 */
    struct lun_question *q = ask(w, HELLO);
    attempt(w, q, 0, LUN_KIND_CUT, 1)->cost = usd(0.25);    /* charged in full, nobody told its tokens */
    costs(attempt(w, q, 4, LUN_KIND_OK, 2), 1000, 1000);    /* has no price */
    ends(w, q, (struct lun_done){ .status = 200, .trial = q->trials });
    struct told r = report(w);
    is_number(&r, "saving.cost_usd", 0.25);
    is_number(&r, "saving.premium_usd", 0.25);
    is_number(&r, "saving.saved_usd", 0);
    is_number(&r, "saving.saved_percent", 0);
    lun_buf_free(&r.text);
}

static void a_premium_target_itself_may_cost_more_than_the_mean(void **state)
{
    W;
    w->snapshot->premium = usd(7);
    w->target[2].price.output = usd(35);                    /* 8 and 35; 15 and 75: the mean is 11.5 and 55 */
    lun_snapshot_average(w->snapshot);
    struct lun_question *q = ask(w, HELLO);
    ends(w, q, (struct lun_done){ .status = 200, .trial = costs(attempt(w, q, 3, LUN_KIND_OK, 1), 0, 1000000) });
    struct told r = report(w);
    is_number(&r, "saving.saved_usd", -20);
    is_number(&r, "saving.saved_percent", -36.364);
    lun_buf_free(&r.text);
}

static void exactly_the_limit_is_not_premium_and_the_mean_fills_in_what_is_open(void **state)
{
    W;
    w->snapshot->premium = usd(8);
    lun_snapshot_average(w->snapshot);
    assert_false(lun_target_is_premium(w->snapshot, &w->target[2]));        /* 8 */
    assert_false(lun_target_is_premium(w->snapshot, &w->target[4]));        /* unknown */
    w->snapshot->premium = usd(7.99);
    w->target[2].price.cached_input = usd(2);
    w->target[2].price.request = usd(0.01);
    lun_snapshot_average(w->snapshot);
    const struct lun_price *p = &w->snapshot->premium_price;
    assert_true(p->input == usd(11.5) && p->output == usd(49.5));
    assert_true(p->cached_input == usd(8.5) && p->cache_write == usd(11.5) && p->reasoning == usd(49.5) && p->request == usd(0.005));
    w->snapshot->premium = usd(1000);
    lun_snapshot_average(w->snapshot);
    assert_false(lun_price_known(p));
}

/* ---- bounds ---- */

static void two_hundred_labels_and_no_more(void **state)
{
    W;
    char name[32];
    for (int i = 0; i < 1000; i++) {
        struct lun_question *q = ask(w, HELLO);
        snprintf(name, sizeof name, "label %d", i);
        labels(q, name, NULL);
        ends(w, q, (struct lun_done){ .status = i % 2 ? 200 : 502, .latency = LUN_SECOND });
    }
    struct told t = report(w);
    assert_int_equal(lun_json_count(at(&t, "labels")), 201);
    is_text(&t, "labels.0.label", "other");
    is_number(&t, "labels.0.requests", 800);                /* counted in both metrics alike */
    is_number(&t, "labels.0.answered", 400);
    is_number(&t, "labels.0.mean_ms", 1000);
    is_number(&t, "labels.1.requests", 1);
    lun_buf_free(&t.text);
}

static void labels_may_be_any_text(void **state)
{
    W;
    char longer[300] = "a";
    for (size_t i = 1; i + 2 < sizeof longer; i += 2) memcpy(longer + i, "\xC3\xA9", 2);       /* is cut inside of a letter */
    static const char *const odd[] = { "\xFF\"\\\n", "", "other" };
    for (size_t i = 0; i < 4; i++) {
        struct lun_question *q = ask(w, HELLO);
        labels(q, i < 3 ? odd[i] : longer, NULL);
        ends(w, q, (struct lun_done){ .status = 200 });
    }
    struct told t = report(w);
    assert_int_equal(lun_json_count(at(&t, "labels")), 4);
    lun_buf_free(&t.text);
}

static void targets_that_a_reload_took_away_are_told_without_a_state(void **state)
{
    W;
    traffic(w);
    w->snapshot->n_targets = 1;
    struct told t = report(w);
    is_text(&t, "targets.0.circuit", "closed");
    assert_int_equal(lun_json_type(at(&t, "targets.1.circuit")), LUN_JSON_NULL);
    assert_int_equal(lun_json_type(at(&t, "targets.1.provider")), LUN_JSON_NULL);
    w->snapshot->n_targets = 5;
    lun_buf_free(&t.text);
}

static void open_circuits_are_named(void **state)
{
    W;
    for (int i = 0; i < 5; i++) {
        lun_health_begin(&w->target[1], w->loop.now, true);
        lun_health_end(&w->target[1], &(struct lun_report){ .kind = LUN_KIND_SERVER_ERROR, .status = 500, .key = -1 }, w->loop.now);
    }
    struct told t = report(w);
    is_text(&t, "open_circuits.0", "b/small");
    assert_int_equal(lun_json_count(at(&t, "open_circuits")), 1);
    lun_buf_free(&t.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(an_empty_report_has_every_field_that_is_no_list), unit(everything_is_counted_where_it_belongs),
        unit(the_report_and_the_table_have_the_same_fields), unit(p99_is_that_of_what_was_answered), unit(each_end_has_its_result),
        unit(what_the_cache_answered_is_no_fallback), unit(stages_stand_in_their_order_and_others_last), unit(savings_are_against_the_mean_of_the_premium_targets),
        unit(what_is_not_known_saves_nothing), unit(a_premium_target_itself_may_cost_more_than_the_mean),
        unit(exactly_the_limit_is_not_premium_and_the_mean_fills_in_what_is_open), unit(two_hundred_labels_and_no_more), unit(labels_may_be_any_text),
        unit(targets_that_a_reload_took_away_are_told_without_a_state), unit(open_circuits_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

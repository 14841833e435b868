/* core/gateway/README.md says what clients and operators see: its lists are those of the code. `--write` puts them in. */
#include "page.h"
#include "policy_world.h"
#include "gateway/admin.h"
#include "gateway/record.h"
#include "gateway/reply.h"
#include "gateway/report.h"
#include "state/metrics.h"
#include "state/tuning.h"

static const char path[] = "core/gateway/README.md";

struct row { const char *name, *type, *doc; };

static const struct { int status; const char *name, *type, *retry, *text; } codes[] = {
#define X(id, status, code, type, retry, text) { status, code, type, retry, text },
    LUN_CODES(X)
#undef X
};
static const struct row headers[] = {
#define X(id, name, when, doc) { name, when, doc },
    LUN_ANSWER_HEADERS(X)
#undef X
};
#define X(id, name, type, doc) { name, type, doc },
static const struct row line_fields[] = { LUN_LOG_FIELDS(X) }, attempt_fields[] = { LUN_LOG_ATTEMPT_FIELDS(X) }, tokens_fields[] = { LUN_LOG_TOKENS_FIELDS(X) };
#undef X
static const struct { const char *name, *type, *labels, *doc; } metrics[] = {
#define X(id, name, type, labels, doc) { name, #type, labels, doc },
    LUN_METRICS(X)
#undef X
};
static const struct { const char *method, *path, *doc; } admin_paths[] = {
#define X(method, path, function, doc) { method, path, doc },
    LUN_ADMIN_PATHS(X)
#undef X
};
static const struct { const char *name, *type, *where, *doc; } report_fields[] = {
#define X(id, name, type, where, doc) { name, type, where, doc },
    LUN_REPORT_FIELDS(X)
#undef X
};
static const struct row shadow_words[] = {
#define X(id, name, doc) { name, "`state`", doc },
    LUN_SHADOW_STATES(X)
#undef X
#define X(id, name, doc) { name, "`results`", doc },
    LUN_COMPARED(X)
#undef X
#define X(id, name, doc) { name, "`differences`", doc },
    LUN_DIFFERENCES(X)
#undef X
};
#define N(list) (sizeof list / sizeof *list)

/* ---- parts of the page ---- */

static void put_name(struct lun_buf *out, const char *name) { lun_buf_printf(out, "| `%s` |", name); }

static void put_rows(struct lun_buf *out, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put_name(out, rows[i].name);
        page_cell(out, rows[i].type);
        page_cell(out, rows[i].doc);
        lun_buf_putc(out, '\n');
    }
}

static void put_codes(struct lun_buf *out)
{
    lun_buf_puts(out, "| code | status | `type` | x-should-retry | its sentence, where nothing better is known |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < N(codes); i++) {
        put_name(out, codes[i].name);
        lun_buf_printf(out, " %d | `%s` | %s |", codes[i].status, codes[i].type, codes[i].retry);
        page_cell(out, codes[i].text);
        lun_buf_putc(out, '\n');
    }
}

static void put_headers(struct lun_buf *out)
{
    lun_buf_puts(out, "| header | there when | meaning |\n|---|---|---|\n");
    put_rows(out, headers, N(headers));
}

#define FIELDS "| field | is | meaning |\n|---|---|---|\n"
static void put_line_fields(struct lun_buf *out)    { lun_buf_puts(out, FIELDS); put_rows(out, line_fields, N(line_fields)); }
static void put_attempt_fields(struct lun_buf *out) { lun_buf_puts(out, FIELDS); put_rows(out, attempt_fields, N(attempt_fields)); }
static void put_tokens_fields(struct lun_buf *out)  { lun_buf_puts(out, FIELDS); put_rows(out, tokens_fields, N(tokens_fields)); }

static void put_labels(struct lun_buf *out, const char *labels)
{
    lun_buf_puts(out, *labels ? " `" : " ");
    for (const char *c = labels; *c; c++)
        if (*c == ',') lun_buf_puts(out, "` `");
        else lun_buf_putc(out, *c);
    lun_buf_puts(out, *labels ? "` |" : "|");
}

static void put_metrics(struct lun_buf *out)
{
    lun_buf_puts(out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < N(metrics); i++) {
        put_name(out, metrics[i].name);
        lun_buf_putc(out, ' ');
        for (const char *c = metrics[i].type; *c; c++) lun_buf_putc(out, *c | 0x20);
        lun_buf_puts(out, " |");
        put_labels(out, metrics[i].labels);
        page_cell(out, metrics[i].doc);
        lun_buf_putc(out, '\n');
    }
}

static void put_report(struct lun_buf *out)
{
    lun_buf_puts(out, "| field | is | of | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < N(report_fields); i++) {
        put_name(out, report_fields[i].name);
        page_cell(out, report_fields[i].type);
        page_cell(out, report_fields[i].where);
        page_cell(out, report_fields[i].doc);
        lun_buf_putc(out, '\n');
    }
}

static void put_admin(struct lun_buf *out)
{
    lun_buf_puts(out, "| path | method | what it does and answers |\n|---|---|---|\n");
    for (size_t i = 0; i < N(admin_paths); i++) {
        put_name(out, admin_paths[i].path);
        lun_buf_printf(out, " %s |", admin_paths[i].method);
        page_cell(out, admin_paths[i].doc);
        lun_buf_putc(out, '\n');
    }
}

static void put_shadow(struct lun_buf *out)
{
    lun_buf_puts(out, "| word | in | meaning |\n|---|---|---|\n");
    put_rows(out, shadow_words, N(shadow_words));
}

static const struct page_part parts[] = {
    { path, "shadow", put_shadow },
    { path, "admin", put_admin },
    { path, "codes", put_codes }, { path, "headers", put_headers }, { path, "log fields", put_line_fields },
    { path, "attempt fields", put_attempt_fields }, { path, "tokens fields", put_tokens_fields }, { path, "metrics", put_metrics },
    { path, "report fields", put_report } };

static void the_page_says_what_the_code_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(parts); i++) page_is_current(&parts[i]);
}

/* ---- words ---- */

static void has_words(const char *name, const char *doc) { if (strlen(doc) < 4) fail_msg("%s has no words", name); }

static void every_entry_has_words_and_a_name_of_its_own(void **state)
{
    (void)state;
    const struct { const struct row *rows; size_t n; } lists[] = { { headers, N(headers) }, { line_fields, N(line_fields) }, { attempt_fields, N(attempt_fields) }, { tokens_fields, N(tokens_fields) } };
    for (size_t l = 0; l < N(lists); l++)
        for (size_t i = 0; i < lists[l].n; i++) {
            has_words(lists[l].rows[i].name, lists[l].rows[i].doc);
            assert_true(*lists[l].rows[i].type);
            for (size_t k = 0; k < i; k++) assert_string_not_equal(lists[l].rows[i].name, lists[l].rows[k].name);
        }
    for (size_t i = 0; i < N(metrics); i++) has_words(metrics[i].name, metrics[i].doc);
    for (size_t i = 0; i < N(report_fields); i++) has_words(report_fields[i].name, report_fields[i].doc);
    for (size_t i = 0; i < N(codes); i++) has_words(codes[i].name, codes[i].text);
    for (size_t i = 0; i < N(shadow_words); i++) has_words(shadow_words[i].name, shadow_words[i].doc);
    for (size_t i = 0; i < N(admin_paths); i++) has_words(admin_paths[i].path, admin_paths[i].doc);
}

/* ---- the line ---- */

/* Every field of the table must be there, in its order, and no other. */
static void has_exactly(struct lun_json object, const struct row *rows, size_t n)
{
    struct lun_json_each e = lun_json_each(object);
    size_t i = 0;
    for (; lun_json_next(&e); i++) {
        if (i >= n) fail_msg("%.*s is in the line and not in the table", (int)e.key.n, e.key.at);
        if (!lun_json_is(e.key, rows[i].name)) fail_msg("%.*s stands where the table has %s", (int)e.key.n, e.key.at, rows[i].name);
    }
    if (i < n) fail_msg("%s is in the table and not in the line", rows[i].name);
}

/* A request that has everything a line can say. */
static struct lun_question *full_question(struct world *w, struct lun_trial **answered)
{
    struct lun_question *q = ask(w, HELLO);
    static const char *labels[] = { "hard" };
    static struct lun_pair tags[] = { { "tier", "gold" }, { "nothing", "" } };
    w->snapshot->log_text = true;
    w->snapshot->version = "test@0123456789ab";
    q->stream = q->explain = q->decide_only = true;
    q->max_tokens = 100;
    q->user = "u", q->session = "s", q->task = "t", q->class = "batch";
    q->labels = labels, q->n_labels = 1;
    static struct lun_pair sent[] = { { "x-request-id", "mine" } };
    q->headers = sent, q->n_headers = 1;
    q->tags = tags, q->n_tags = 2;
    static const struct lun_tuned share = { "share", { .number = 15 } };
    q->tuning = lun_tuning_new(&share, 1);
    lun_question_note(q, "why", "\"so\"");
    lun_buf_puts(&q->tape, "{\"has\":[],\"hooks\":[");
    static const struct lun_canary_rule canary = { .name = "kimi" };
    static struct lun_grouped grouped = { .canary = &canary, .is_new = true };
    q->grouped = &grouped;
    q->plan = lun_arena_zalloc(q->arena, sizeof *q->plan);
    struct lun_trial *t = *answered = tried(w, q, &w->target[0], LUN_KIND_CUT, 200);
    t->first_byte = t->sent + 1000, t->key = 1, t->hedge = true, t->detail = "it was cut", t->cost = usd(0.5), t->provider_request_id = "req-1", t->suspect = LUN_SUSPECT_HOLD;
    t->warning = "dear", t->began = t->sent - 1000;
    return q;
}

static void the_line_and_the_table_have_the_same_fields(void **state)
{
    W;
    struct lun_buf line = { 0 };
    struct lun_trial *t;
    struct lun_json json;
    struct lun_question *q = full_question(w, &t);
    struct lun_done done = { .status = 200, .code = "upstream_failed", .stream_torn = true, .trial = t, .cache = LUN_CACHE_MISS, .fallback = true, .cost = usd(0.5),
                             .latency = 2 * LUN_SECOND, .ttft = LUN_SECOND, .upstream_wait = LUN_SECOND, .waited = 1000,
                             .usage = { .known = true, .input = 5, .cached_input = 1, .output = 3, .reasoning = 2, .cache_write = 1, .cache_write_1h = 1, .audio_input = 1, .image_input = 1, .audio_output = 1, .image_output = 1, .estimated = true } };
    lun_record_line(q, &done, &line);
    lun_record_rest(q, &line);
    assert_true(lun_json_check(line.at, line.n, &json, NULL));
    has_exactly(json, line_fields, N(line_fields));
    has_exactly(lun_json_path(json, "attempts.0"), attempt_fields, N(attempt_fields));
    has_exactly(lun_json_get(json, "tokens"), tokens_fields, N(tokens_fields));
    assert_int_equal(lun_json_count(lun_json_get(json, "tags")), 1);
    lun_buf_free(&line);
    lun_buf_free(&q->tape);
    lun_tuning_unref(q->tuning);
    over(w, q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_the_code_says),
        cmocka_unit_test(every_entry_has_words_and_a_name_of_its_own),
        unit(the_line_and_the_table_have_the_same_fields),
    };
    PAGE_WRITES(argc, argv, parts);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "gateway/record.h"
#include "base/decimal.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/text.h"
#include "gateway/canary_sample.h"
#include "gateway/dropped.h"
#include <string.h>

/* ---- metrics ---- */

/* Labels that last as long as the question's snapshot: its names, and words of the program. */
static void count(const struct lun_question *q, enum lun_metric id, const char *const *labels, double x) { lun_metrics_kept_add(q->snapshot->counted, id, labels, x); }

static double seconds(lun_us t) { return (double)t / 1e6; }

/* What its tokens would have cost at the premium price. Where that cannot be said nothing counts as saved: what it did cost. */
static int64_t premium_cost(const struct lun_question *q, const struct lun_trial *t)
{
    const struct lun_price *premium = &q->snapshot->premium_price;
    bool both = lun_price_known(premium) && lun_price_known(&t->target->price);
    return both && t->usage.known ? lun_price_cost(premium, &t->usage) : t->cost;
}

static void record_money(struct lun_question *q, const char *model, const struct lun_trial *t)
{
    int64_t premium = premium_cost(q, t);
    const char *labels[] = { model, t->target->name };
    if (t->cost) count(q, LUN_METRIC_COST, labels, (double)t->cost / 1e9);
    if (premium) count(q, LUN_METRIC_PREMIUM_COST, labels, (double)premium / 1e9);
}

static void record_tokens(struct lun_question *q, const char *model, const char *provider, const char *type, int64_t n)
{
    count(q, LUN_METRIC_TOKENS, (const char *[]){ model, provider, type }, (double)n);
}

/* The head of an error is no first byte of an answer. */
static bool spoke(const struct lun_trial *t) { return t->sent && t->first_byte && t->status < 300; }

void lun_record_trial(struct lun_question *q, const struct lun_trial *t)
{
    const char *model = lun_question_model_of(q, t->target), *provider = t->target->provider->name;
    if (t->kind == LUN_KIND_SKIPPED) return;
    count(q, LUN_METRIC_ATTEMPTS, (const char *[]){ t->target->name, lun_kind_name(t->kind) }, 1);
    if (t->hedge) count(q, LUN_METRIC_HEDGES, (const char *[]){ t->target->name }, 1);
    record_money(q, model, t);
    lun_us queued = lun_trial_waited(t, t->ended);
    if (queued) count(q, LUN_METRIC_QUEUE_SECONDS, (const char *[]){ t->target->name }, seconds(queued));
    if (!t->sent) return;
    const char *error = t->kind == LUN_KIND_OK ? "" : lun_kind_name(t->kind);
    count(q, LUN_METRIC_DURATION, (const char *[]){ model, provider, error }, seconds(t->ended - t->sent));
    if (t->kind == LUN_KIND_OK) count(q, LUN_METRIC_TARGET_SECONDS, (const char *[]){ t->target->name }, seconds(t->ended - t->sent));
    if (spoke(t)) count(q, LUN_METRIC_TTFT, (const char *[]){ model, provider }, seconds(t->first_byte - t->sent));
    if (!t->usage.known || t->usage.estimated) return;         /* they are the provider's, or nobody's */
    record_tokens(q, model, provider, "input", t->usage.input);
    record_tokens(q, model, provider, "output", t->usage.output);
    if (q->stream && spoke(t) && t->usage.output > 1)
        count(q, LUN_METRIC_PER_TOKEN, (const char *[]){ model, provider }, seconds(t->ended - t->first_byte) / (double)(t->usage.output - 1));
}

/* How many attempts were sent one after the other. What found no turn at a rate limit is none. */
static int in_turn(const struct lun_question *q)
{
    int n = 0;
    for (const struct lun_trial *t = q->trials; t; t = t->next) n += t->sent && t->kind != LUN_KIND_SKIPPED && !t->hedge;
    return n;
}

static const char *result_of(const struct lun_done *done, bool tried)
{
    if (done->status == 499) return "left";
    if (done->status < 300 && !done->stream_torn) return "answered";
    return tried || done->status >= 500 ? "failed" : "refused";
}

static void record_labels(struct lun_question *q, const struct lun_done *done, const char *result)
{
    struct lun_metrics *m = q->registry->metrics;
    for (int i = 0; i < q->n_labels; i++) {
        const char *label = lun_metrics_label(m, q->labels[i]);
        count(q, LUN_METRIC_LABEL_REQUESTS, (const char *[]){ label, result }, 1);
        if (!strcmp(result, "answered")) count(q, LUN_METRIC_LABEL_SECONDS, &label, seconds(done->latency));
    }
}

static void record_stage(struct lun_question *q, const struct lun_done *done)
{
    static const char *const steps[] = { "other", "1", "2", "3", "4", "5", "6", "7", "8", "9" };
    char text[LUN_DECIMAL_ROOM];
    int step = lun_cache_answers(done->cache) ? 0 : done->trial->step;
    const char *stage = lun_cache_answers(done->cache) ? "cache" : step < (int)(sizeof steps / sizeof *steps) ? steps[step] : NULL;
    if (stage) count(q, LUN_METRIC_STAGE_SECONDS, &stage, seconds(done->latency));
    else lun_metrics_add(q->registry->metrics, LUN_METRIC_STAGE_SECONDS, (const char *[]){ lun_decimal_text(text, step) }, seconds(done->latency));
}

/* What a client asked for and got. */
static void record_result(struct lun_question *q, const struct lun_done *done)
{
    int attempts = in_turn(q);
    const char *result = result_of(done, attempts > 0);
    count(q, LUN_METRIC_REQUEST_SECONDS, &result, seconds(done->latency));
    record_labels(q, done, result);
    if (done->trial && !strcmp(result, "answered")) record_stage(q, done);
    if (done->rested) count(q, LUN_METRIC_RETRY_WAIT, NULL, seconds(done->rested));
    if (attempts <= 1) return;
    count(q, LUN_METRIC_RETRIED, &result, 1);
    count(q, LUN_METRIC_RETRIES, NULL, attempts - 1);
}

void lun_record_request(struct lun_question *q, const struct lun_done *done)
{
    char status[LUN_DECIMAL_ROOM];
    const char *model = q->entry ? q->entry->name : q->model && !strcmp(q->model, "auto") ? "auto" : "";    /* never a client's own text */
    if (done->status == 200) count(q, LUN_METRIC_REQUESTS, (const char *[]){ model, "200" }, 1);
    else lun_metrics_add(q->registry->metrics, LUN_METRIC_REQUESTS, (const char *[]){ model, lun_decimal_text(status, done->status) }, 1);
    const char *cache = lun_cache_result_name(done->cache);
    if (cache) count(q, LUN_METRIC_CACHE_REQUESTS, &cache, 1);
    if (done->fallback) count(q, LUN_METRIC_FALLBACKS, (const char *[]){ model }, 1);
    if (done->trial) count(q, LUN_METRIC_OVERHEAD, NULL, seconds(done->latency > done->upstream_wait ? done->latency - done->upstream_wait : 0));
    if (!q->inner && !q->decide_only) record_result(q, done);
}

/* ---- the line ---- */

enum { KEY_ROOM = 32 };         /* of each, so that it is copied as a whole, comma or not: of a length that the compiler knows */
static const struct { char text[KEY_ROOM - 1]; unsigned char n; } keys[LUN_LOG_FIELD_COUNT] = {
#define X(id, name, ...) [LUN_LOG_##id] = { ",\"" name "\":", sizeof name + 3 },
    LUN_LOG_FIELDS(X) LUN_LOG_ATTEMPT_FIELDS(X) LUN_LOG_TOKENS_FIELDS(X)
#undef X
};

/* Writes it, with room for so many bytes behind it, and returns where they begin; end() takes what is written by then. */
static inline char *begin(struct lun_buf *out, enum lun_log_field f, size_t more)
{
    char *at = lun_buf_space(out, KEY_ROOM + more);
    bool first = !out->n || at[-1] == '{';
    memcpy(at, (const char *)&keys[f] + first, KEY_ROOM - 1);
    return at + keys[f].n - first;
}

static inline void end(struct lun_buf *out, const char *at) { out->n = (size_t)(at - out->at); }

void lun_record_key(struct lun_buf *out, enum lun_log_field f) { end(out, begin(out, f, 0)); }

static void put_text(struct lun_buf *out, enum lun_log_field f, const char *value)
{
    if (!value || !*value) return;
    lun_record_key(out, f);
    lun_json_put_string(out, value, strlen(value));
}

/* Of the program's own, with nothing in it that JSON escapes. */
static inline void put_plain(struct lun_buf *out, enum lun_log_field f, const char *value, size_t n)
{
    char *at = begin(out, f, n + 2);
    *at = at[n + 1] = '"';
    memcpy(at + 1, value, n);
    end(out, at + n + 2);
}

static void put_word(struct lun_buf *out, enum lun_log_field f, const char *value)
{
    if (value && *value) put_plain(out, f, value, strlen(value));
}

static void put_int(struct lun_buf *out, enum lun_log_field f, int64_t value)
{
    char *at = begin(out, f, LUN_DECIMAL_ROOM);
    end(out, at + lun_decimal_int(at, value));
}

static void put_ms(struct lun_buf *out, enum lun_log_field f, lun_us t)
{
    char *at = begin(out, f, LUN_DECIMAL_ROOM);
    end(out, at + lun_decimal_parts(at, t, 3));
}

static void put_usd(struct lun_buf *out, enum lun_log_field f, int64_t nano)
{
    char *at = begin(out, f, LUN_DECIMAL_ROOM);
    end(out, at + lun_price_text(nano, at));
}

static void put_true(struct lun_buf *out, enum lun_log_field f)
{
    char *at = begin(out, f, 4);
    memcpy(at, "true", 4);
    end(out, at + 4);
}

static void put_part(struct lun_buf *out, enum lun_log_field f, int64_t n)
{
    if (n) put_int(out, f, n);
}

static void put_usage(struct lun_buf *out, const struct lun_usage *u)
{
    if (!u->known) return;
    lun_record_key(out, LUN_LOG_TOKENS);
    lun_buf_putc(out, '{');
    put_int(out, LUN_LOG_TOKENS_INPUT, u->input);
    put_part(out, LUN_LOG_TOKENS_CACHED, u->cached_input);
    put_part(out, LUN_LOG_TOKENS_CACHE_WRITE, u->cache_write);
    put_part(out, LUN_LOG_TOKENS_CACHE_WRITE_1H, u->cache_write_1h);
    put_part(out, LUN_LOG_TOKENS_AUDIO_INPUT, u->audio_input);
    put_part(out, LUN_LOG_TOKENS_IMAGE_INPUT, u->image_input);
    put_int(out, LUN_LOG_TOKENS_OUTPUT, u->output);
    put_part(out, LUN_LOG_TOKENS_REASONING, u->reasoning);
    put_part(out, LUN_LOG_TOKENS_AUDIO_OUTPUT, u->audio_output);
    put_part(out, LUN_LOG_TOKENS_IMAGE_OUTPUT, u->image_output);
    if (u->estimated) put_true(out, LUN_LOG_TOKENS_ESTIMATED);
    lun_buf_putc(out, '}');
}

static void put_trial(struct lun_buf *out, const struct lun_question *q, const struct lun_trial *t)
{
    if (t->number > 1) lun_buf_putc(out, ',');
    lun_buf_putc(out, '{');
    put_text(out, LUN_LOG_ATTEMPT_TARGET, t->target->name);
    put_word(out, LUN_LOG_ATTEMPT_KIND, lun_kind_name(t->kind));
    if (t->status) put_int(out, LUN_LOG_ATTEMPT_STATUS, t->status);
    put_ms(out, LUN_LOG_ATTEMPT_AT, t->began - q->arrived);
    put_ms(out, LUN_LOG_ATTEMPT_DURATION, t->ended - t->began);
    if (lun_trial_waited(t, t->ended)) put_ms(out, LUN_LOG_ATTEMPT_WAITED, lun_trial_waited(t, t->ended));
    if (spoke(t)) put_ms(out, LUN_LOG_ATTEMPT_TTFT, t->first_byte - t->sent);
    if (t->key > 0) put_int(out, LUN_LOG_ATTEMPT_KEY, t->key);
    if (t->hedge) put_true(out, LUN_LOG_ATTEMPT_HEDGE);
    if (t->kind != LUN_KIND_OK) {
        put_word(out, LUN_LOG_ATTEMPT_BILLED, lun_billed_name(t->billed));
        put_text(out, LUN_LOG_ATTEMPT_DETAIL, t->detail);
    }
    if (t->cost) put_usd(out, LUN_LOG_ATTEMPT_COST, t->cost);
    put_word(out, LUN_LOG_ATTEMPT_SUSPECT, lun_suspect_name(t->suspect));
    put_text(out, LUN_LOG_ATTEMPT_PROVIDER_REQUEST_ID, t->provider_request_id);
    lun_buf_putc(out, '}');
}

static void put_trials(struct lun_buf *out, const struct lun_question *q)
{
    lun_record_key(out, LUN_LOG_ATTEMPTS);
    lun_buf_putc(out, '[');
    for (const struct lun_trial *t = q->trials; t; t = t->next) put_trial(out, q, t);
    lun_buf_putc(out, ']');
}

static void put_pair(struct lun_buf *out, const struct lun_pair *p)
{
    if (!p->value || !*p->value) return;
    lun_json_member_text(out, p->name, p->value);
}

static void put_who(struct lun_buf *out, const struct lun_question *q)
{
    if (q->client) {
        put_text(out, LUN_LOG_KEY, q->client->name);
        if (q->client->team) put_text(out, LUN_LOG_TEAM, q->client->team->name);
    }
    put_text(out, LUN_LOG_USER, q->user);
    put_text(out, LUN_LOG_SESSION, q->session);
    put_text(out, LUN_LOG_TASK, q->task);
    put_text(out, LUN_LOG_CLASS, q->class);
    if (!q->n_tags) return;
    lun_record_key(out, LUN_LOG_TAGS);
    lun_buf_putc(out, '{');
    for (int i = 0; i < q->n_tags; i++) put_pair(out, &q->tags[i]);
    lun_buf_putc(out, '}');
}

static void put_decision(struct lun_buf *out, const struct lun_question *q)
{
    put_text(out, LUN_LOG_POLICY, q->snapshot->version);
    if (q->n_labels) {
        lun_record_key(out, LUN_LOG_LABELS);
        lun_buf_putc(out, '[');
        for (int i = 0; i < q->n_labels; i++) {
            if (i) lun_buf_putc(out, ',');
            lun_json_put_text(out, q->labels[i]);
        }
        lun_buf_putc(out, ']');
    }
    if (q->tuning && q->tuning->json) {
        lun_record_key(out, LUN_LOG_SETTINGS);
        lun_buf_puts(out, q->tuning->json);
    }
    if (q->grouped) {
        lun_record_key(out, LUN_LOG_CANARIES);
        lun_buf_putc(out, '{');
        for (const struct lun_grouped *g = q->grouped; g; g = g->next) lun_json_member_text(out, g->canary->name, lun_canary_group(g));
        lun_buf_putc(out, '}');
    }
    if (q->n_notes) {
        lun_record_key(out, LUN_LOG_NOTES);
        lun_buf_putc(out, '{');
        for (int i = 0; i < q->n_notes; i++) {
            lun_json_put_key(out, q->notes[i].name);
            lun_buf_puts(out, q->notes[i].value);
        }
        lun_buf_putc(out, '}');
    }
}

/* Nothing of ours is known of its form: whatever it is, it becomes a short text. */
static void put_client_id(struct lun_buf *out, const struct lun_question *q)
{
    const char *id = lun_question_header(q, "x-request-id");
    if (!id) id = lun_question_header(q, "x-client-request-id");
    if (!id || !*id) return;
    lun_record_key(out, LUN_LOG_CLIENT_REQUEST_ID);
    lun_json_put_string(out, id, lun_text_clip(id, strlen(id), 128));
}

/* One in 256 tells what was left out although nothing went wrong: ids are random hexadecimal. */
static bool sampled(const struct lun_question *q) { return !strncmp(q->id, "00", 2); }

bool lun_record_in_full(const struct lun_question *q, const struct lun_done *done)
{
    return q->explain || done->fallback || done->status >= 400 || done->stream_torn || q->policy_failed || sampled(q);
}

void lun_record_line(struct lun_question *q, const struct lun_done *done, struct lun_buf *out)
{
    char at[25];
    lun_clock_text(q->arrived_wall, at);
    lun_buf_putc(out, '{');
    put_plain(out, LUN_LOG_TIME, at, sizeof at - 1);
    put_text(out, LUN_LOG_ID, q->id);
    put_client_id(out, q);
    put_word(out, LUN_LOG_ENDPOINT, lun_endpoint_name(q->endpoint));
    put_text(out, LUN_LOG_MODEL, q->model);
    if (q->stream) put_true(out, LUN_LOG_STREAM);
    if (q->max_tokens >= 0) put_int(out, LUN_LOG_MAX_TOKENS, q->max_tokens);
    put_who(out, q);
    put_int(out, LUN_LOG_STATUS, done->status);
    put_word(out, LUN_LOG_CODE, done->code);
    if (q->decide_only) put_true(out, LUN_LOG_DECIDED);
    if (done->stream_torn) put_true(out, LUN_LOG_TORN);
    if (done->trial) put_text(out, LUN_LOG_TARGET, done->trial->target->name);
    if (done->fallback) put_true(out, LUN_LOG_FALLBACK);
    put_word(out, LUN_LOG_CACHE, lun_cache_result_name(done->cache));
    if (done->trial && done->trial->warning) put_text(out, LUN_LOG_WARNING, done->trial->warning);
    put_decision(out, q);
    put_trials(out, q);
    put_usage(out, &done->usage);
    put_usd(out, LUN_LOG_COST, done->cost);
    put_ms(out, LUN_LOG_LATENCY, done->latency);
    if (done->ttft) put_ms(out, LUN_LOG_TTFT, done->ttft);
    put_ms(out, LUN_LOG_OVERHEAD, done->latency > done->upstream_wait ? done->latency - done->upstream_wait : 0);
    if (done->waited) put_ms(out, LUN_LOG_WAITED, done->waited);
    if (lun_record_in_full(q, done)) lun_dropped_put(q, out);
    lun_buf_putc(out, '}');
}

void lun_record_rest(struct lun_question *q, struct lun_buf *line)
{
    if (!q->snapshot->log_text && !q->tape.n) return;
    line->n--;                          /* its } */
    if (q->snapshot->log_text) {
        size_t n;
        const char *text = lun_question_text(q, &n);
        lun_record_key(line, LUN_LOG_TEXT);
        lun_json_put_string(line, text, lun_text_clip(text, n, 8192));
    }
    if (q->tape.n) {
        lun_record_key(line, LUN_LOG_REPLAY);
        lun_buf_add(line, q->tape.at, q->tape.n);
        lun_buf_puts(line, "]}");
    }
    lun_buf_putc(line, '}');
}

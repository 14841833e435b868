#include "gateway/logged.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "gateway/reply.h"
#include <stdlib.h>
#include <string.h>

typedef struct lun_logged logged;

logged *lun_logged_new(void)
{
    logged *g = lun_zalloc(sizeof *g);
    g->references = 1;
    g->max_tokens = -1;
    return g;
}

logged *lun_logged_ref(logged *g)
{
    g->references++;
    return g;
}

void lun_logged_unref(logged *g)
{
    if (!g || --g->references) return;
    lun_arena_free(&g->arena);
    free(g);
}

/* ---- values ---- */

static const char *text_of(logged *g, struct lun_json value) { return lun_json_string_in(value, true, &g->arena, NULL); }
static const char *text_at(logged *g, const struct lun_log_line *line, enum lun_log_field f) { return text_of(g, lun_log_field(line, f)); }

static int64_t whole(struct lun_json value)
{
    int64_t n = 0;
    return lun_json_int(value, &n) && n >= 0 ? n : 0;
}

static int64_t usd(struct lun_json value) { return lun_log_usd(value) > 0 ? lun_log_usd(value) : 0; }
static lun_us  ms(struct lun_json value)  { return lun_log_ms(value) > 0 ? lun_log_ms(value) : 0; }

static enum lun_kind kind_of(struct lun_json value)
{
    for (int k = 0; k < LUN_KIND_COUNT; k++) if (lun_json_is(value, lun_kind_name((enum lun_kind)k))) return (enum lun_kind)k;
    return LUN_KIND_BAD_ANSWER;
}

/* ---- its parts ---- */

static void read_usage(struct lun_json tokens, struct lun_usage *u)
{
    u->known = lun_json_type(tokens) == LUN_JSON_OBJECT;
    for (struct lun_json_each e = lun_json_each(tokens); u->known && lun_json_next(&e); ) {
        if (lun_json_is(e.key, "input")) u->input = whole(e.value);
        else if (lun_json_is(e.key, "output")) u->output = whole(e.value);
        else if (lun_json_is(e.key, "cached")) u->cached_input = whole(e.value);
        else if (lun_json_is(e.key, "reasoning")) u->reasoning = whole(e.value);
        else if (lun_json_is(e.key, "estimated")) u->estimated = lun_json_true(e.value);
    }
}

/* What never had its turn waited for it until its end. */
static struct lun_logged_attempt read_attempt(logged *g, struct lun_json value)
{
    struct lun_logged_attempt a = { .outcome.ttft = -1 };
    lun_us took = 0, waited = 0;
    for (struct lun_json_each e = lun_json_each(value); lun_json_next(&e); ) {
        if (lun_json_is(e.key, "target")) a.target = text_of(g, e.value);
        else if (lun_json_is(e.key, "kind")) a.outcome.kind = kind_of(e.value);
        else if (lun_json_is(e.key, "status")) a.outcome.status = (int)whole(e.value);
        else if (lun_json_is(e.key, "at_ms")) a.from = ms(e.value);
        else if (lun_json_is(e.key, "ms")) took = ms(e.value);
        else if (lun_json_is(e.key, "waited_ms")) waited = ms(e.value);
        else if (lun_json_is(e.key, "ttft_ms")) a.outcome.ttft = ms(e.value);
        else if (lun_json_is(e.key, "hedge")) a.hedge = lun_json_true(e.value);
        else if (lun_json_is(e.key, "cost")) a.cost = usd(e.value);
    }
    if (!a.target) a.target = "";
    a.to = a.from + took;
    a.outcome.took = took > waited ? took - waited : 0;
    a.sent = a.outcome.kind != LUN_KIND_SKIPPED && !(a.outcome.kind == LUN_KIND_POOL_FULL && waited >= took);
    return a;
}

/* Its tokens are those of the attempt that answered. */
static void read_attempts(logged *g, struct lun_json list)
{
    g->attempts = lun_arena_alloc(&g->arena, (lun_json_count(list) + 1) * sizeof *g->attempts);
    if (lun_json_type(list) != LUN_JSON_ARRAY) return;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        struct lun_logged_attempt *a = &g->attempts[g->n_attempts++];
        *a = read_attempt(g, e.value);
        if (a->outcome.kind == LUN_KIND_OK) a->outcome.usage = g->usage;
    }
}

static struct lun_json copy(logged *g, struct lun_json value)
{
    return value.n ? (struct lun_json){ lun_arena_strndup(&g->arena, value.at, value.n), value.n } : value;
}

static void read_notes(logged *g, struct lun_json notes)
{
    g->chances = lun_arena_alloc(&g->arena, (lun_json_count(notes) + 1) * sizeof *g->chances);
    if (lun_json_type(notes) != LUN_JSON_OBJECT) return;
    for (struct lun_json_each e = lun_json_each(notes); lun_json_next(&e); ) {
        double probability;
        struct lun_json chosen = lun_json_get(e.value, "chosen");
        g->inner |= lun_json_is(e.key, "for");
        g->failed |= e.key.n > 7 && !memcmp(e.key.at, "\"error_", 7);
        if (!chosen.n || !lun_json_double(lun_json_get(e.value, "probability"), &probability) || !(probability > 0 && probability <= 1)) continue;
        const char *note = text_of(g, e.key);
        if (note) g->chances[g->n_chances++] = (struct lun_chance){ .note = note, .chosen = copy(g, chosen), .then = probability };
    }
}

/* Most tapes hold nothing but what is read anew. */
static void read_replay(logged *g, struct lun_json tape)
{
    static const char chat[] = "[\"chat ", http[] = "[\"http (";
    if (!tape.n || lun_json_type(tape) != LUN_JSON_OBJECT) return;
    if (memmem(tape.at, tape.n, chat, sizeof chat - 1) || memmem(tape.at, tape.n, http, sizeof http - 1)) g->tape = copy(g, tape);
}

static void read_tags(logged *g, struct lun_json tags)
{
    g->tags = lun_arena_alloc(&g->arena, (lun_json_count(tags) + 1) * sizeof *g->tags);
    if (lun_json_type(tags) != LUN_JSON_OBJECT) return;
    for (struct lun_json_each e = lun_json_each(tags); lun_json_next(&e); ) {
        const char *name = text_of(g, e.key), *value = text_of(g, e.value);
        if (name && value) g->tags[g->n_tags++] = (struct lun_pair){ name, value };
    }
}

static void read_who(logged *g, const struct lun_log_line *line)
{
    g->key = text_at(g, line, LUN_LOG_KEY);
    g->user = text_at(g, line, LUN_LOG_USER);
    g->session = text_at(g, line, LUN_LOG_SESSION);
    g->task = text_at(g, line, LUN_LOG_TASK);
    g->class = text_at(g, line, LUN_LOG_CLASS);
    read_tags(g, lun_log_field(line, LUN_LOG_TAGS));
    struct lun_json text = lun_log_field(line, LUN_LOG_TEXT);
    g->text = lun_json_string_in(text, false, &g->arena, &g->text_n);
}

/* Codes of what is refused before a policy is asked, and is so by any. */
static bool refused_as_it_stood(const logged *g)
{
    static const enum lun_code codes[] = { LUN_CODE_INVALID_REQUEST, LUN_CODE_INVALID_KEY, LUN_CODE_NOT_FOUND, LUN_CODE_METHOD, LUN_CODE_TIMEOUT,
                                           LUN_CODE_TOO_LARGE, LUN_CODE_MEDIA_TYPE, LUN_CODE_HEAD_TOO_LARGE, LUN_CODE_OVERLOADED };
    for (size_t i = 0; g->code && !g->n_attempts && i < sizeof codes / sizeof *codes; i++) if (!strcmp(g->code, lun_code_name(codes[i]))) return true;
    return false;
}

/* `waited`: in queues, which is part of an attempt, and before delayed retries. */
static lun_us own(const logged *g, lun_us waited)
{
    lun_us covered = 0, own = g->latency;
    for (int i = 0; i < g->n_attempts; i++) {
        const struct lun_logged_attempt *a = &g->attempts[i];
        lun_us from = a->from > covered ? a->from : covered;
        if (a->to > from) own -= a->to - from;
        if (a->to > covered) covered = a->to;
        if (!a->hedge) waited -= a->to - a->from - a->outcome.took;
    }
    if (waited > 0) own -= waited;
    return own > 0 ? own : 0;
}

static void read_end(logged *g, const struct lun_log_line *line)
{
    struct lun_json cache = lun_log_field(line, LUN_LOG_CACHE);
    g->status = (int)whole(lun_log_field(line, LUN_LOG_STATUS));
    g->code = text_at(g, line, LUN_LOG_CODE);
    g->target = text_at(g, line, LUN_LOG_TARGET);
    g->torn = lun_json_true(lun_log_field(line, LUN_LOG_TORN));
    g->cost = usd(lun_log_field(line, LUN_LOG_COST));
    g->latency = line->latency;
    g->own = own(g, ms(lun_log_field(line, LUN_LOG_WAITED)));
    g->undecided = lun_json_true(lun_log_field(line, LUN_LOG_DECIDED)) || lun_json_is(cache, lun_cache_result_name(LUN_CACHE_HIT))
                || lun_json_is(cache, lun_cache_result_name(LUN_CACHE_SHARED)) || refused_as_it_stood(g);
}

logged *lun_logged_read(const struct lun_log_line *line)
{
    logged *g = lun_logged_new();
    g->line = line->number;
    g->time = line->time;
    g->id = text_at(g, line, LUN_LOG_ID);
    g->model = text_at(g, line, LUN_LOG_MODEL);
    if (!g->id) g->id = "";             /* no text that could be one */
    if (!g->model) g->model = "";
    lun_log_endpoint(line, &g->endpoint);
    if (!lun_request_seed(g->id, &g->seed)) g->seed = lun_hash_text(g->id, 0);
    g->stream = lun_json_true(lun_log_field(line, LUN_LOG_STREAM));
    if (!lun_json_int(lun_log_field(line, LUN_LOG_MAX_TOKENS), &g->max_tokens) || g->max_tokens < 0) g->max_tokens = -1;
    read_who(g, line);
    read_usage(lun_log_field(line, LUN_LOG_TOKENS), &g->usage);
    read_attempts(g, lun_log_field(line, LUN_LOG_ATTEMPTS));
    read_notes(g, lun_log_field(line, LUN_LOG_NOTES));
    read_replay(g, lun_log_field(line, LUN_LOG_REPLAY));
    g->settings = copy(g, lun_log_field(line, LUN_LOG_SETTINGS));
    read_end(g, line);
    return g;
}

/* ---- what it came to ---- */

int lun_logged_retries(const logged *g)
{
    int n = 0;
    for (int i = 0; i < g->n_attempts; i++) n += g->attempts[i].sent && !g->attempts[i].hedge;
    return n > 1 ? n - 1 : 0;
}

bool lun_logged_answered(const logged *g) { return g->status >= 200 && g->status < 300 && !g->torn; }

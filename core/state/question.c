#include "state/question.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/loop.h"
#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct lun_json_keys lun_question_keys = LUN_JSON_KEYS(LUN_ROUTING_KEYS);

static const struct { const char *name, *path; } endpoints[] = {
#define X(id, name, path, streams) { name, path },
    LUN_ENDPOINTS(X)
#undef X
};
const char *lun_endpoint_name(enum lun_endpoint e) { return endpoints[e].name; }
const char *lun_endpoint_path(enum lun_endpoint e) { return endpoints[e].path; }


static struct lun_json field(const struct lun_question *q, enum lun_field f)
{
    return q->body ? lun_json_of(q->body, &q->fields[f]) : (struct lun_json){0};
}

struct owned { struct lun_question question; struct lun_arena arena; };

struct lun_question *lun_question_new(struct lun_snapshot *snapshot, struct lun_registry *registry, const struct lun_loop *loop, lun_us wall, uint64_t seed)
{
    struct owned *o = lun_zalloc(sizeof *o);
    struct lun_question *q = &o->question;
    *q = (struct lun_question){ .arena = &o->arena, .snapshot = lun_snapshot_ref(snapshot), .registry = registry, .loop = loop,
                                .arrived = loop->now, .arrived_wall = wall, .random = seed, .rest = "", .n = 1, .max_tokens = -1, .budget = -1 };
    q->deadline = loop->now + snapshot->limits.deadline;
    q->trials_tail = &q->trials;
    uint64_t high = lun_question_random(q), low = lun_question_random(q);
    snprintf(q->id, sizeof q->id, "%016llx%016llx", (unsigned long long)high, (unsigned long long)low);
    for (int i = 0; i < 8; i++) {
        q->number[i] = (unsigned char)(high >> (56 - 8 * i));
        q->number[8 + i] = (unsigned char)(low >> (56 - 8 * i));
    }
    return q;
}

void lun_question_free(struct lun_question *q)
{
    if (!q) return;
    if (q->own_account) lun_account_free(q->own_account);
    lun_tuning_unref(q->tuning);
    lun_snapshot_unref(q->snapshot);
    if (q->buffered) atomic_fetch_sub(q->buffered, q->buffered_n);
    lun_buf_free(&q->kept);
    lun_arena_free(q->arena);
    free(q);
}

/* The beginning of a long string, as a string of its own: cut where no escape and no character is divided. */
static struct lun_json beginning(struct lun_arena *arena, struct lun_json s)
{
    size_t n = 1;
    if (s.n <= LUN_QUESTION_TEXT + 2) return s;
    while (n < LUN_QUESTION_TEXT)
        if (s.at[n] != '\\') n++;
        else n += s.at[n + 1] != 'u' ? 2 : (s.at[n + 2] | 0x20) == 'd' && strchr("89abAB", s.at[n + 3]) && s.at[n + 6] == '\\' && s.at[n + 7] == 'u' ? 12 : 6;     /* a pair is one */
    while (((unsigned char)s.at[n] & 0xC0) == 0x80) n--;
    char *copy = lun_arena_alloc(arena, n + 1);
    memcpy(copy, s.at, n);
    copy[n] = '"';
    return (struct lun_json){ copy, n + 1 };
}

/* A string, or the text parts of a list of parts, joined by line feeds. */
static void add_text(struct lun_arena *arena, struct lun_json content, struct lun_buf *out)
{
    if (lun_json_type(content) == LUN_JSON_STRING) { lun_json_string(beginning(arena, content), false, out); return; }
    if (lun_json_type(content) != LUN_JSON_ARRAY) return;
    for (struct lun_json_each e = lun_json_each(content); out->n < LUN_QUESTION_TEXT && lun_json_next(&e); ) {
        struct lun_json text = lun_json_type(e.value) == LUN_JSON_OBJECT ? lun_json_get(e.value, "text") : e.value;
        if (lun_json_type(text) != LUN_JSON_STRING) continue;
        if (out->n) lun_buf_putc(out, '\n');
        lun_json_string(beginning(arena, text), false, out);
    }
}

/* ---- one pass over the input ---- */

#define PER_MESSAGE 16      /* tokens that a chat template may put round a message; a bound */
#define PER_TOOL    64
#define PER_IMAGE   8192    /* more than any published way of counting an image of the largest size taken */

static bool is_one_of(struct lun_json type, const char *const *names)
{
    for (; *names; names++) if (lun_json_is(type, *names)) return true;
    return false;
}

/* A part of a message that is no text: an image's bytes are no tokens, and of audio or a file nobody knows from here what they cost. */
static void survey_part(struct lun_question *q, struct lun_json part)
{
    static const char *const images[] = { "image_url", "input_image", "image", NULL };
    static const char *const opaque[] = { "input_audio", "file", "input_file", "video_url", NULL };
    struct lun_json type = lun_json_type(part) == LUN_JSON_OBJECT ? lun_json_get(part, "type") : part;
    if (is_one_of(type, opaque)) q->survey.opaque = true;
    if (!is_one_of(type, images)) return;
    q->survey.image = true;
    q->survey.bound += PER_IMAGE - (int64_t)part.n;
    q->survey.guess += 1000 - (int64_t)part.n / 4;
}

/* How it begins tells conversations apart well enough; a long prompt is not read to its end for that. */
static void chain(uint64_t *hash, struct lun_json value) { *hash = lun_hash(value.at, value.n < 2048 ? value.n : 2048, *hash ^ value.n); }

static void survey_message(struct lun_question *q, struct lun_json message)
{
    struct lun_json content = {0};
    bool user = false;
    q->survey.messages++;
    for (struct lun_json_each e = lun_json_each(message); lun_json_next(&e); ) {
        if (lun_json_is(e.key, "content")) content = e.value;
        else if (lun_json_is(e.key, "role")) user = lun_json_is(e.value, "user");
    }
    if (lun_json_type(content) == LUN_JSON_ARRAY)
        for (struct lun_json_each e = lun_json_each(content); lun_json_next(&e); ) survey_part(q, e.value);
    if (!q->survey.begun) chain(&q->survey.beginning, content);
    if (!user) return;
    q->survey.begun = true;
    q->survey.last_user = content;
}

/* Token ids, as `prompt` and `input` may be, are shorter than their digits: raw bytes bound them too. */
void lun_question_survey(struct lun_question *q)
{
    static const enum lun_field parts[] = { LUN_FIELD_messages, LUN_FIELD_system, LUN_FIELD_input, LUN_FIELD_prompt, LUN_FIELD_tools, LUN_FIELD_response_format };
    if (q->survey.done) return;
    q->survey.done = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) q->survey.bound += (int64_t)field(q, parts[i]).n;     /* escapes only make it longer */
    q->survey.guess = q->survey.bound / 4;
    chain(&q->survey.beginning, field(q, LUN_FIELD_system));
    chain(&q->survey.beginning, field(q, LUN_FIELD_tools));
    for (struct lun_json_each e = lun_json_each(field(q, LUN_FIELD_messages)); lun_json_next(&e); ) survey_message(q, e.value);
    if (q->endpoint != LUN_ENDPOINT_CHAT)
        for (struct lun_json_each e = lun_json_each(field(q, LUN_FIELD_input)); lun_json_next(&e); ) survey_part(q, e.value);
    q->survey.bound += PER_MESSAGE * (1 + q->survey.messages) + PER_TOOL * (int64_t)lun_json_count(field(q, LUN_FIELD_tools));
}

int64_t lun_question_tokens(struct lun_question *q)
{
    lun_question_survey(q);
    return q->survey.guess > 0 ? q->survey.guess : 1;
}

int lun_question_messages(struct lun_question *q)
{
    lun_question_survey(q);
    return q->survey.messages;
}

/* ---- text of the last user message ---- */

static void touch_text(struct lun_question *q)
{
    struct lun_buf text = {0};
    if (q->last_user.text_done) return;
    q->last_user.text_done = true;
    lun_question_survey(q);
    switch (q->endpoint) {
    case LUN_ENDPOINT_CHAT: add_text(q->arena, q->survey.last_user, &text); break;
    case LUN_ENDPOINT_COMPLETIONS: add_text(q->arena, field(q, LUN_FIELD_prompt), &text); break;
    default: add_text(q->arena, field(q, LUN_FIELD_input), &text);
    }
    q->last_user.text = lun_arena_strndup(q->arena, text.at, text.n);
    q->last_user.n = text.n;
    lun_buf_free(&text);
}

static void count(struct lun_question *q)
{
    if (q->last_user.counted) return;
    q->last_user.counted = true;
    touch_text(q);
    q->last_user.words = (int)lun_text_words(q->last_user.text, q->last_user.n);
    q->last_user.chars = (int)lun_text_chars(q->last_user.text, q->last_user.n);
}

const char *lun_question_text(struct lun_question *q, size_t *n)
{
    touch_text(q);
    *n = q->last_user.n;
    return q->last_user.text;
}
int lun_question_words(struct lun_question *q) { count(q); return q->last_user.words; }
int lun_question_chars(struct lun_question *q) { count(q); return q->last_user.chars; }

bool lun_question_has_code(struct lun_question *q)
{
    if (!q->last_user.looked) {
        q->last_user.looked = true;
        touch_text(q);
        q->last_user.has_code = lun_text_has_code(q->last_user.text, q->last_user.n);
    }
    return q->last_user.has_code;
}

/* ---- money ---- */

static int64_t default_cap(const struct lun_question *q, const struct lun_target *t)
{
    int64_t cap = q->snapshot->limits.output;
    return t->max_output && t->max_output < cap ? t->max_output : cap;
}

#define UNKNOWN (-2)

static int64_t whole(struct lun_json value)
{
    int64_t v;
    if (!value.n || lun_json_type(value) == LUN_JSON_NULL) return -1;
    return lun_json_int(value, &v) && v >= 0 ? v : UNKNOWN;
}

/* The value of a field of the body once the edits are made; -1: not there; UNKNOWN: nobody can tell from here. The last edit that was said
 * counts, as in the body itself. */
static int64_t edited(const struct lun_question *q, enum lun_field f, const char *name, const struct lun_edit *edits)
{
    const struct lun_edit *last = NULL;
    for (const struct lun_edit *e = edits; e; e = e->next) {
        if (!strcmp(e->field, name)) last = e;
        if (e->what == LUN_EDIT_RENAME && !strcmp(e->value, name)) return UNKNOWN;
    }
    if (!last) return whole(field(q, f));
    return last->what == LUN_EDIT_SET ? whole((struct lun_json){ last->value, strlen(last->value) }) : -1;
}

static int64_t larger(int64_t a, int64_t b) { return a == UNKNOWN || b == UNKNOWN ? UNKNOWN : a > b ? a : b; }

/* The output cap that the body will carry; -1: none. A field that only changes its name keeps its value. */
static int64_t carried_cap(const struct lun_question *q, const struct lun_edit *edits)
{
    for (const struct lun_edit *e = edits; e; e = e->next)
        if (e->what == LUN_EDIT_RENAME && (!strcmp(e->field, "max_tokens") || !strcmp(e->field, "max_completion_tokens"))
            && (!strcmp(e->value, "max_tokens") || !strcmp(e->value, "max_completion_tokens"))) return q->max_tokens;
    return larger(edited(q, LUN_FIELD_max_tokens, "max_tokens", edits), edited(q, LUN_FIELD_max_completion_tokens, "max_completion_tokens", edits));
}

/* How many choices the edited body asks for: `n`, for each of its prompts. */
static int64_t choices(const struct lun_question *q, const struct lun_edit *edits)
{
    int64_t before = whole(field(q, LUN_FIELD_n)), after = edited(q, LUN_FIELD_n, "n", edits);
    return after == UNKNOWN ? UNKNOWN : (after > 1 ? after : 1) * (q->n / (before > 1 ? before : 1));
}

int64_t lun_question_bound(struct lun_question *q, const struct lun_target *t, const struct lun_edit *edits, int64_t *cap)
{
    bool writes = q->endpoint != LUN_ENDPOINT_EMBEDDINGS;
    int64_t out = !writes ? 0 : edits ? carried_cap(q, edits) : q->max_tokens, n = edits ? choices(q, edits) : q->n, in;
    if (cap) *cap = out == -1 ? default_cap(q, t) : -1;
    if (out == -1) out = default_cap(q, t);
    lun_question_survey(q);
    in = q->survey.bound;
    for (const struct lun_edit *e = edits; e; e = e->next) in += (int64_t)strlen(e->field) + (e->value ? (int64_t)strlen(e->value) : 0);
    if (q->survey.opaque || out == UNKNOWN || n == UNKNOWN || !lun_price_known(&t->price)) return -1;
    return lun_price_bound(&t->price, in, out * (n > 1 ? n : 1));
}

int64_t lun_question_expected(struct lun_question *q, const struct lun_target *t)
{
    int64_t out = q->endpoint == LUN_ENDPOINT_EMBEDDINGS ? 0 : q->max_tokens >= 0 ? q->max_tokens : default_cap(q, t);
    struct lun_usage usage = { .known = true, .estimated = true, .input = lun_question_tokens(q), .output = (out < 500 ? out : 500) * q->n };
    return lun_price_known(&t->price) ? lun_price_cost(&t->price, &usage) : -1;
}

int lun_question_accounts(struct lun_question *q, struct lun_account *out[LUN_ACCOUNTS])
{
    int n = 0;
    if (q->own_account) out[n++] = q->own_account;
    if (q->client && q->client->account) out[n++] = q->client->account;
    if (q->client && q->client->team && q->client->team->account) out[n++] = q->client->team->account;
    if (q->snapshot->total_account) out[n++] = q->snapshot->total_account;
    return n;
}

bool lun_question_limited(struct lun_question *q)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    for (int n = lun_question_accounts(q, accounts); n--; ) if (lun_account_limited(accounts[n])) return true;
    return false;
}

/* ---- the rest ---- */

const char *lun_question_model_of(const struct lun_question *q, const struct lun_target *t)
{
    for (int i = 0; q->entry && i < q->entry->n_targets; i++) if (q->entry->targets[i] == t) return q->entry->name;
    return t->model;
}

const char *lun_question_upstream(struct lun_question *q, const struct lun_target *t)
{
    const char *star = strchr(t->upstream, '*');
    if (!star) return t->upstream;
    return lun_arena_printf(q->arena, "%.*s%s%s", (int)(star - t->upstream), t->upstream, q->rest ? q->rest : "", star + 1);
}

lun_us lun_question_wall(const struct lun_question *q) { return q->arrived_wall + (q->loop->now - q->arrived); }

uint64_t lun_question_random(struct lun_question *q)        /* splitmix64, Vigna 2015 */
{
    uint64_t z = q->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double lun_question_random_unit(struct lun_question *q) { return (double)(lun_question_random(q) >> 11) * 0x1p-53; }

void lun_question_note(struct lun_question *q, const char *key, const char *json)
{
    const char *value = lun_arena_strdup(q->arena, json);
    for (int i = 0; i < q->n_notes; i++)
        if (!strcmp(q->notes[i].name, key)) { q->notes[i].value = value; return; }
    if (q->n_notes >= 64) return;
    if (!(q->n_notes & (q->n_notes - 1))) {         /* full at every power of two */
        struct lun_pair *more = lun_arena_alloc(q->arena, (size_t)(q->n_notes ? q->n_notes * 2 : 1) * sizeof *more);
        if (q->n_notes) memcpy(more, q->notes, (size_t)q->n_notes * sizeof *more);
        q->notes = more;
    }
    q->notes[q->n_notes++] = (struct lun_pair){ lun_arena_strdup(q->arena, key), value };
}

const struct lun_grouped *lun_question_group(struct lun_question *q, const struct lun_canary_rule *rule, double place)
{
    struct lun_grouped **at = &q->grouped;
    for (; *at; at = &(*at)->next) if ((*at)->canary == rule) return *at;
    struct lun_grouped *g = *at = lun_arena_zalloc(q->arena, sizeof *g);
    g->canary = rule;
    g->is_new = lun_canary_draw(rule->state, place, &g->run);
    return g;
}

void lun_question_read(struct lun_question *q, unsigned what)
{
    if (!(what & ~q->reads)) return;
    q->reads |= what;
    if (what & ~atomic_load_explicit(&q->snapshot->reads, memory_order_relaxed)) atomic_fetch_or(&q->snapshot->reads, what);
}

const char *lun_question_header(const struct lun_question *q, const char *name)
{
    for (int i = 0; i < q->n_headers; i++) if (!strcmp(q->headers[i].name, name)) return q->headers[i].value;
    return NULL;
}

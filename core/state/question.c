#include "state/question.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/loop.h"
#include "base/text.h"
#include "state/charge.h"
#include <endian.h>
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


static uint64_t random_of(uint64_t *state)                  /* splitmix64, Vigna 2015 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void make_number(uint64_t *state, unsigned char number[16], char id[LUN_REQUEST_ID])
{
    uint64_t high = htobe64(random_of(state)), low = htobe64(random_of(state));
    memcpy(number, &high, 8);
    memcpy(number + 8, &low, 8);
    lun_hex_write(id, number, 16);
}

void lun_request_id(uint64_t seed, char out[LUN_REQUEST_ID])
{
    unsigned char number[16];
    make_number(&seed, number, out);
}

/* v ^ v >> by, undone. */
static uint64_t unfold(uint64_t v, int by) { return v ^ v >> by ^ v >> 2 * by; }

/* The state after the draw of that number: each step of random_of can be undone. */
static uint64_t state_of(uint64_t drawn)
{
    uint64_t z = unfold(drawn, 31) * 0x319642B2D24D8EC3u;       /* the inverses, modulo 2^64, of what it multiplies by */
    return unfold(unfold(z, 27) * 0x96DE1B173F119089u, 30);
}

bool lun_request_seed(const char *id, uint64_t *seed)
{
    uint64_t number[2];
    if (strlen(id) != 32 || !lun_hex_read(id, number, 16)) return false;
    uint64_t state = state_of(be64toh(number[0])), next = state;
    *seed = state - 0x9E3779B97F4A7C15u;
    return random_of(&next) == be64toh(number[1]);
}

struct owned { struct lun_question question; struct lun_arena arena; };     /* in that arena itself */

struct lun_question *lun_question_new(struct lun_arena_stock *stock, struct lun_snapshot *snapshot, struct lun_registry *registry, const struct lun_loop *loop,
                                      lun_us wall, uint64_t seed)
{
    struct lun_arena arena = { .stock = stock };
    struct owned *o = lun_arena_alloc(&arena, sizeof *o);
    struct lun_question *q = &o->question;
    o->arena = arena;
    *q = (struct lun_question){ .arena = &o->arena, .snapshot = lun_snapshot_ref(snapshot), .registry = registry, .loop = loop,
                                .arrived = loop->now, .arrived_wall = wall, .random = seed, .seed = seed, .rest = "", .n = 1, .max_tokens = -1, .budget = -1 };
    q->deadline = loop->now + snapshot->limits.deadline;
    q->trials_tail = &q->trials;
    make_number(&q->random, q->number, q->id);
    return q;
}

void lun_question_free(struct lun_question *q)
{
    if (!q || q->held-- > 0) return;
    if (q->own_account) lun_account_free(q->own_account);
    lun_tuning_unref(q->tuning);
    lun_key_unref(q->key);
    lun_snapshot_unref(q->snapshot);
    if (q->buffered) atomic_fetch_sub(q->buffered, q->buffered_n);
    lun_buf_free(&q->kept);
    lun_buf_free(&q->tape);
    struct lun_arena arena = *q->arena;
    lun_arena_free(&arena);
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

/* The text parts of a list of parts, joined by line feeds. */
static void add_parts(struct lun_arena *arena, struct lun_json content, struct lun_buf *out)
{
    if (lun_json_type(content) != LUN_JSON_ARRAY) return;
    for (struct lun_json_each e = lun_json_each(content); out->n < LUN_QUESTION_TEXT && lun_json_next(&e); ) {
        struct lun_json text = lun_json_type(e.value) == LUN_JSON_OBJECT ? lun_json_get(e.value, "text") : e.value;
        if (lun_json_type(text) != LUN_JSON_STRING) continue;
        if (out->n) lun_buf_putc(out, '\n');
        lun_json_string(beginning(arena, text), false, out);
    }
}

/* ---- text of the last user message ---- */

static struct lun_json spoken(const struct lun_question *q)
{
    switch (q->endpoint) {
    case LUN_ENDPOINT_CHAT: return q->survey.last_user;
    case LUN_ENDPOINT_COMPLETIONS: return lun_question_field(q, LUN_FIELD_prompt);
    default: return lun_question_field(q, LUN_FIELD_input);
    }
}

static void spell(struct lun_question *q, struct lun_json content, struct lun_buf *out)
{
    if (lun_json_type(content) == LUN_JSON_STRING) lun_json_string(beginning(q->arena, content), false, out);
    else add_parts(q->arena, content, out);
}

static void touch_text(struct lun_question *q)
{
    if (q->last_user.text_done && (!q->last_user.loan || lun_arena_has_borrowed(q->arena, q->last_user.loan))) return;
    if (!q->last_user.text_done) {
        lun_question_miss(q, LUN_UNSAID_TEXT);
        lun_question_survey(q);
    }
    struct lun_json content = spoken(q);
    /* Borrowed is only what is made again at no more than it cost the first time. */
    struct lun_buf own = {0}, *lent = content.n <= LUN_QUESTION_TEXT ? lun_arena_borrow(q->arena, &q->last_user.loan) : NULL, *text = lent ? lent : &own;
    spell(q, content, text);
    q->last_user.text_done = true;
    q->last_user.n = text->n;
    q->last_user.text = lent ? lun_buf_text(lent) : lun_arena_strndup(q->arena, own.at, own.n);
    lun_buf_free(&own);
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

int lun_question_accounts(struct lun_question *q, struct lun_account *out[LUN_ACCOUNTS])
{
    int n = 0;
    if (q->own_account) out[n++] = q->own_account;
    if (q->client && q->client->account) out[n++] = q->client->account;
    if (q->client && q->client->team && q->client->team->account) out[n++] = q->client->team->account;
    if (q->snapshot->total_account) out[n++] = q->snapshot->total_account;
    for (int i = 0; i < q->snapshot->n_tags; i++) {
        struct lun_account *charged = lun_charge_account(q, &q->snapshot->tags[i]);
        if (charged) out[n++] = charged;
    }
    return n;
}

bool lun_question_limited(struct lun_question *q)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    for (int n = lun_question_accounts(q, accounts); n--; ) if (lun_account_limited(accounts[n])) return true;
    return false;
}

/* ---- the rest ---- */

bool lun_question_may(const struct lun_question *q, const struct lun_target *t)
{
    const struct lun_snapshot *s = q->snapshot;
    if (q->may) return t->index >= 0 && t->index < s->n_targets && &s->targets[t->index] == t && q->may[t->index];
    for (int i = 0; i < q->n_targets; i++) if (q->targets[i] == t) return true;
    return false;
}

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

uint64_t lun_question_random(struct lun_question *q) { return random_of(&q->random); }
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
    for (int i = 0; i < q->n_headers; i++) if (*q->headers[i].name == *name && !strcmp(q->headers[i].name, name)) return q->headers[i].value;
    return NULL;
}

#include "state/usage.h"
#include "base/saturating.h"
#include <stddef.h>
#include <string.h>

const char *lun_suspect_name(enum lun_suspect s)
{
#define X(id, name, what) name,
    static const char *const names[] = { LUN_SUSPECTS(X) };
#undef X
    return names[s];
}

const char *lun_suspect_what(enum lun_suspect s)
{
#define X(id, name, what) what,
    static const char *const words[] = { LUN_SUSPECTS(X) };
#undef X
    return words[s];
}

/* What providers' names stand for, before it is known which form they are in. */
enum slot {
    PROMPT,         /* input, with its cached part in it */
    INPUT,          /* input_tokens: with it or without, as the rest of the object says */
    MISSED,         /* input that was not cached, beside CACHED */
    TOOLS,          /* input that a tool brought, beside PROMPT */
    CACHED,         /* a part of PROMPT */
    READ, CREATED,  /* beside INPUT: Anthropic's */
    SHORT, LONG,    /* what CREATED consists of */
    WRITTEN,        /* a part of PROMPT */
    AUDIO_IN, IMAGE_IN, OUT, THOUGHTS, REASONING, AUDIO_OUT, IMAGE_OUT, TOTAL,
    SLOTS
};
enum object { THE_TOP, OF_INPUT, OF_OUTPUT, OF_WRITES };

#define NAME(text) text, sizeof text - 1
static const struct { const char *name; size_t n; enum object inside; enum slot slot; } names[] = {
#define TOP(name, slot) { NAME(name), THE_TOP, slot }
    TOP("prompt_tokens", PROMPT), TOP("promptTokenCount", PROMPT), TOP("input_tokens", INPUT), TOP("prompt_cache_miss_tokens", MISSED), TOP("toolUsePromptTokenCount", TOOLS),
    TOP("prompt_cache_hit_tokens", CACHED), TOP("cached_tokens", CACHED), TOP("cachedContentTokenCount", CACHED),
    TOP("cache_read_input_tokens", READ), TOP("cache_creation_input_tokens", CREATED),
    TOP("completion_tokens", OUT), TOP("output_tokens", OUT), TOP("candidatesTokenCount", OUT), TOP("thoughtsTokenCount", THOUGHTS), TOP("reasoning_tokens", REASONING),
    TOP("total_tokens", TOTAL), TOP("totalTokenCount", TOTAL),
#undef TOP
    { NAME("cached_tokens"), OF_INPUT, CACHED }, { NAME("cache_write_tokens"), OF_INPUT, WRITTEN }, { NAME("cache_creation_input_tokens"), OF_INPUT, WRITTEN }, { NAME("audio_tokens"), OF_INPUT, AUDIO_IN }, { NAME("image_tokens"), OF_INPUT, IMAGE_IN },
    { NAME("reasoning_tokens"), OF_OUTPUT, REASONING }, { NAME("audio_tokens"), OF_OUTPUT, AUDIO_OUT }, { NAME("image_tokens"), OF_OUTPUT, IMAGE_OUT },
    { NAME("ephemeral_5m_input_tokens"), OF_WRITES, SHORT }, { NAME("ephemeral_1h_input_tokens"), OF_WRITES, LONG },
};
static const struct { const char *name; size_t n; enum object is; } objects[] = {
    { NAME("prompt_tokens_details"), OF_INPUT }, { NAME("input_tokens_details"), OF_INPUT }, { NAME("completion_tokens_details"), OF_OUTPUT },
    { NAME("output_tokens_details"), OF_OUTPUT }, { NAME("cache_creation"), OF_WRITES },
};
#define COUNT(list) (sizeof list / sizeof *list)

struct claim { int64_t n[SLOTS]; bool said[SLOTS], any; enum lun_suspect suspect; unsigned services; };

static bool there(struct lun_json v) { return lun_json_type(v) > LUN_JSON_NULL; }

static enum lun_suspect count(struct lun_json v, int64_t *n)
{
    double d;
    if (lun_json_type(v) != LUN_JSON_NUMBER) return LUN_SUSPECT_NOT_A_COUNT;
    if (*v.at == '-' && !(lun_json_int(v, n) && *n == 0)) return LUN_SUSPECT_NEGATIVE;
    if (lun_json_int(v, n)) return *n > LUN_USAGE_MOST ? LUN_SUSPECT_TOO_LARGE : LUN_SUSPECT_NONE;
    return lun_json_double(v, &d) && d < (double)LUN_USAGE_MOST ? LUN_SUSPECT_NOT_A_COUNT : LUN_SUSPECT_TOO_LARGE;
}

static void note(struct claim *c, enum slot slot, struct lun_json v)
{
    int64_t n = 0;
    if (!there(v)) return;
    enum lun_suspect wrong = count(v, &n);
    if (wrong && !c->suspect) c->suspect = wrong;
    if (wrong) return;
    bool smaller = slot == CACHED || slot == READ;
    if (!c->said[slot] || (smaller ? n < c->n[slot] : n > c->n[slot])) c->n[slot] = n;
    c->said[slot] = c->any = true;
}

static bool named(struct lun_json key, const char *name, size_t n)
{
    return key.n == n + 2 && !memcmp(key.at + 1, name, n);
}

/* A name written with escapes is looked at as it is meant. */
static struct lun_json plain(struct lun_json key, struct lun_buf *room)
{
    if (!key.n || !memchr(key.at, '\\', key.n)) return key;
    room->n = 0;
    lun_buf_putc(room, '"');
    lun_json_string(key, false, room);
    lun_buf_putc(room, '"');
    return (struct lun_json){ room->at, room->n };
}

static bool note_named(struct claim *c, enum object inside, struct lun_json key, struct lun_json value)
{
    for (size_t i = 0; i < COUNT(names); i++)
        if (names[i].inside == inside && named(key, names[i].name, names[i].n)) { note(c, names[i].slot, value); return true; }
    return false;
}

static void note_inside(struct claim *c, enum object inside, struct lun_json object, struct lun_buf *room)
{
    struct lun_json_each e = lun_json_each(object);
    if (!e.object) return;
    while (lun_json_next(&e)) note_named(c, inside, plain(e.key, room), e.value);
}

/* Gemini's lists of { modality, tokenCount }. */
static void note_modalities(struct claim *c, struct lun_json list, enum slot audio, enum slot image)
{
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        struct lun_json what = lun_json_get(e.value, "modality");
        if (lun_json_is(what, "AUDIO")) note(c, audio, lun_json_get(e.value, "tokenCount"));
        else if (lun_json_is(what, "IMAGE")) note(c, image, lun_json_get(e.value, "tokenCount"));
    }
}

static void note_top(struct claim *c, struct lun_json key, struct lun_json value, struct lun_buf *room)
{
    enum lun_json_type type = lun_json_type(value);
    if (note_named(c, THE_TOP, key, value)) return;
    for (size_t i = 0; type == LUN_JSON_OBJECT && i < COUNT(objects); i++)
        if (named(key, objects[i].name, objects[i].n)) { note_inside(c, objects[i].is, value, room); return; }
    if (type == LUN_JSON_ARRAY && named(key, NAME("promptTokensDetails"))) note_modalities(c, value, AUDIO_IN, IMAGE_IN);
    else if (type == LUN_JSON_ARRAY && named(key, NAME("candidatesTokensDetails"))) note_modalities(c, value, AUDIO_OUT, IMAGE_OUT);
    else if (type == LUN_JSON_STRING && named(key, NAME("service_tier"))) c->services = lun_usage_services(value);
}

static bool read_claim(struct lun_json usage, struct claim *c)
{
    struct lun_buf room = { 0 };
    for (struct lun_json_each e = lun_json_each(usage); lun_json_next(&e); ) note_top(c, plain(e.key, &room), e.value, &room);
    lun_buf_free(&room);
    return c->any || c->suspect;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* A part is a part of what is left of its whole; one that is larger stands beside it, so that it is paid and so is the whole. */
static void fit(struct lun_usage *u, int64_t part, int64_t *whole, int64_t of_it)
{
    if (part <= of_it) return;
    *whole += part;
    u->suspect = LUN_SUSPECT_PARTS;
}

static void input_of(const struct claim *c, struct lun_usage *u)
{
    bool anthropic = c->said[READ] || c->said[CREATED] || c->said[SHORT] || c->said[LONG];
    bool beside = anthropic && !(c->said[CACHED] && c->n[CACHED] >= c->n[READ]);
    int64_t created = larger(c->n[CREATED], c->n[SHORT] + c->n[LONG]);
    u->input = larger(c->n[PROMPT], c->n[INPUT]) + c->n[TOOLS];
    u->cached_input = beside || !c->said[CACHED] ? c->n[READ] : c->n[CACHED];
    u->cache_write = c->n[SHORT];
    u->cache_write_1h = created - c->n[SHORT];
    if (!beside && c->said[READ]) u->cached_input = c->n[READ];
    if (beside) u->input += c->n[READ] + created;
    if (c->said[MISSED]) u->input = larger(u->input, c->n[MISSED] + u->cached_input);
    if (c->said[WRITTEN] && c->n[WRITTEN] > created) u->cache_write += c->n[WRITTEN] - created;
    u->audio_input = c->n[AUDIO_IN];
    u->image_input = c->n[IMAGE_IN];
}

static void output_of(const struct claim *c, struct lun_usage *u)
{
    int64_t input = u->input;
    u->output = c->n[OUT] + c->n[THOUGHTS];
    u->reasoning = larger(c->n[REASONING], c->n[THOUGHTS]);
    u->audio_output = c->n[AUDIO_OUT];
    u->image_output = c->n[IMAGE_OUT];
    if (!c->said[TOTAL]) return;
    if (!c->said[PROMPT] && !c->said[INPUT] && !c->said[OUT]) u->input = larger(input, c->n[TOTAL]);
    else if (c->n[TOTAL] > input + u->output) u->output = c->n[TOTAL] - input;
}

static void fit_parts(struct lun_usage *u)
{
    fit(u, u->cached_input, &u->input, u->input);
    fit(u, u->cache_write + u->cache_write_1h, &u->input, u->input - u->cached_input);
    fit(u, u->audio_input, &u->input, u->input);
    fit(u, u->image_input, &u->input, u->input);
    fit(u, u->reasoning, &u->output, u->output);
    fit(u, u->audio_output, &u->output, u->output);
    fit(u, u->image_output, &u->output, u->output);
}

bool lun_usage_read(struct lun_json usage, struct lun_usage *out)
{
    struct claim c = { 0 };
    struct lun_usage u = { .known = true };
    if (lun_json_type(usage) != LUN_JSON_OBJECT || !read_claim(usage, &c)) return false;
    u.services = c.services;
    if (c.suspect) u.known = false, u.suspect = c.suspect;
    else {
        input_of(&c, &u);
        output_of(&c, &u);
        fit_parts(&u);
    }
    *out = u;
    return true;
}

unsigned lun_usage_services(struct lun_json name)
{
    static const struct { const char *name; enum lun_service is; } known[] = {
        { "default", LUN_SERVICE_STANDARD }, { "standard", LUN_SERVICE_STANDARD }, { "standard_only", LUN_SERVICE_STANDARD }, { "on_demand", LUN_SERVICE_STANDARD },
        { "flex", LUN_SERVICE_FLEX }, { "priority", LUN_SERVICE_PRIORITY }, { "batch", LUN_SERVICE_BATCH },
    };
    if (lun_json_type(name) != LUN_JSON_STRING) return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) if (lun_json_is(name, known[i].name)) return 1u << known[i].is;
    return LUN_SERVICES_ALL;
}

static void add(int64_t *sum, int64_t n) { *sum = lun_saturating_add(*sum, n); }

void lun_usage_add(struct lun_usage *sum, const struct lun_usage *u)
{
    sum->known |= u->known;
    sum->estimated |= u->estimated;
    if (!sum->suspect) sum->suspect = u->suspect;
    add(&sum->input, u->input);
    add(&sum->cached_input, u->cached_input);
    add(&sum->cache_write, u->cache_write);
    add(&sum->cache_write_1h, u->cache_write_1h);
    add(&sum->audio_input, u->audio_input);
    add(&sum->image_input, u->image_input);
    add(&sum->output, u->output);
    add(&sum->reasoning, u->reasoning);
    add(&sum->audio_output, u->audio_output);
    add(&sum->image_output, u->image_output);
}

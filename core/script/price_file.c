#include "script/price_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct lun_arena *arena;
    struct lun_price_file *file;
    int odd_room;
    /* of the entry that is being read */
    struct lun_price_entry *entry;
    struct lun_price_tier tiers[LUN_PRICE_FILE_TIERS]; int n_tiers;
    bool unusable, writes_nothing, image_tokens;
};

static void odd(struct reading *r, const char *field, const char *why)
{
    struct lun_price_file *f = r->file;
    r->entry->odd++;
    if (f->n_odd == LUN_PRICE_FILE_ODD) { f->more_odd++; return; }
    if (f->n_odd == r->odd_room) {
        struct lun_price_odd *more = lun_arena_alloc(r->arena, (size_t)(r->odd_room = r->odd_room ? 2 * r->odd_room : 64) * sizeof *more);
        if (f->n_odd) memcpy(more, f->odd, (size_t)f->n_odd * sizeof *more);
        f->odd = more;
    }
    f->odd[f->n_odd++] = (struct lun_price_odd){ r->entry->name, field, why };
}

/* ---- the names of prices ---- */

static const struct { const char *name; size_t at; bool each; } parts[] = {       /* of two that begin alike the longer first. each: USD per call */
#define P(name, part) { name, offsetof(struct lun_price, part), false }
    P("input_cost_per_token_cache_hit", cached_input), P("input_cost_per_token", input), P("output_cost_per_token", output),
    P("cache_read_input_token_cost", cached_input), P("cache_creation_input_token_cost_above_1hr", cache_write_1h),
    P("cache_creation_input_token_cost", cache_write), P("output_cost_per_reasoning_token", reasoning),
    P("input_cost_per_audio_token", audio_input), P("output_cost_per_audio_token", audio_output),
    P("input_cost_per_image_token", image_input), P("output_cost_per_image_token", image_output),
#undef P
    { "input_cost_per_request", offsetof(struct lun_price, request), true },
};
enum { PARTS = sizeof parts / sizeof *parts };

struct meant { int part; enum lun_service service; int64_t above; };

static bool starts(const char **at, const char *with)
{
    size_t n = strlen(with);
    if (strncmp(*at, with, n)) return false;
    *at += n;
    return true;
}

/* "_above_200k_tokens" */
static bool read_above(const char **at, int64_t *above)
{
    const char *text = *at;
    size_t digits;
    if (!starts(&text, "_above_") || !(digits = strspn(text, "0123456789")) || digits > 9) return false;
    *above = atoll(text);
    text += digits;
    if (*text == 'k') *above *= 1000, text++;
    if (!*above || !starts(&text, "_tokens")) return false;
    *at = text;
    return true;
}

static bool read_name(const char *name, struct meant *m)
{
    for (m->part = 0; m->part < PARTS; m->part++) {
        const char *rest = name;
        if (!starts(&rest, parts[m->part].name) || (*rest && *rest != '_')) continue;
        m->above = 0, m->service = LUN_SERVICE_STANDARD;
        read_above(&rest, &m->above);
        if (!strcmp(rest, "_flex")) m->service = LUN_SERVICE_FLEX;
        else if (!strcmp(rest, "_priority")) m->service = LUN_SERVICE_PRIORITY;
        else if (!strcmp(rest, "_batches") || !strcmp(rest, "_batch")) m->service = LUN_SERVICE_BATCH;
        else if (*rest) return false;
        return true;
    }
    return false;
}

/* ---- values ---- */

static struct lun_price *price_for(struct reading *r, const struct meant *m)
{
    if (!m->above && !m->service) return &r->entry->price;
    for (int i = 0; i < r->n_tiers; i++)
        if (r->tiers[i].above == m->above && r->tiers[i].service == m->service) return &r->tiers[i].price;
    if (r->n_tiers == LUN_PRICE_FILE_TIERS) return NULL;
    r->tiers[r->n_tiers] = (struct lun_price_tier){ m->service, m->above, lun_price_unknown };
    return &r->tiers[r->n_tiers++].price;
}

static void unusable(struct reading *r, const char *field, const char *why)
{
    r->unusable = true;
    odd(r, field, why);
}

static void take_price(struct reading *r, const char *field, const struct meant *m, struct lun_json v)
{
    struct lun_price *p = price_for(r, m);
    int64_t nano;
    if (!p) { unusable(r, field, "is one tier too many: its price is not used"); return; }
    int64_t *to = (int64_t *)(void *)((char *)p + parts[m->part].at);
    if (lun_json_type(v) != LUN_JSON_NUMBER) unusable(r, field, "is no number: its price is not used");
    else if (*v.at == '-') unusable(r, field, "is negative: its price is not used");
    else if (!(parts[m->part].each ? lun_price_parse : lun_price_parse_per_token)(v.at, v.n, &nano)) unusable(r, field, "is no price that can be: its price is not used");
    else if (nano > *to) *to = nano;        /* said twice, or under two names: the dearer one */
}

static void take_tokens(struct reading *r, const char *field, struct lun_json v, int64_t *to)
{
    int64_t n;
    if (lun_json_int(v, &n) && n > 0 && n <= LUN_USAGE_MOST) *to = n;
    else odd(r, field, "is no number of tokens");
}

/* ---- other fields ---- */

static bool costs_nothing(struct lun_json v)
{
    double d;
    enum lun_json_type type = lun_json_type(v);
    return type == LUN_JSON_NULL || type == LUN_JSON_FALSE || (lun_json_double(v, &d) && d == 0);
}

/* They say nothing of money. */
static bool is_other(const char *name)
{
    static const char *const others[] = { "litellm_provider", "mode", "max_tokens", "deprecation_date", "source", "metadata", "comment", "_comment", "supported_endpoints",
        "supported_modalities", "supported_output_modalities", "supported_input_modalities", "supported_regions", "supported_resolutions", "output_vector_size",
        "prompt_cache_min_tokens", "rpm", "tpm", "rpd", "uses_embed_content", "multi_vendor", "gemini_audio_only_live", "gemini_native_audio", "web_search_billing_unit",
        "tool_use_system_prompt_tokens", "max_images_per_prompt", "max_videos_per_prompt", "max_video_length", "max_audio_length_hours", "max_audio_per_prompt",
        "max_pdf_size_mb", "max_query_tokens", "max_document_chunks_per_query", "bedrock_output_config_effort_ceiling", "display_name", "model_vendor", "model_version" };
    if (!strncmp(name, "supports_", 9)) return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) if (!strcmp(name, others[i])) return true;
    return false;
}

static const struct { const char *part, *why; } whys[] = {      /* the first that stands in the name */
    { "search_context_cost", "fees for searching the web are not reckoned with" },
    { "file_search", "fees for searching files are not reckoned with" },
    { "code_interpreter", "fees for running code are not reckoned with" },
    { "computer_use", "fees for computer use are not reckoned with" },
    { "regional_processing_uplift", "what is added in some regions is not reckoned with" },
    { "provider_specific_entry", "what is added for the provider's own options is not reckoned with" },
    { "input_audio_token_cost", "cached audio is charged as audio" },
    { "tiered_pricing", "prices in steps are not understood" },
    { "_per_second", "a price per second is not understood" }, { "_per_character", "a price per character is not understood" },
    { "_per_video_token", "tokens of films have a price of their own, which is not reckoned with" }, { "_per_video", "a price per film is not understood" },
    { "_per_audio", "a price per piece of audio is not understood" },
    { "_per_image", "a price per picture is not understood" }, { "_per_pixel", "a price per pixel is not understood" },
    { "_per_page", "a price per page is not understood" }, { "_per_query", "a price per query is not understood" },
};

static void take_other(struct reading *r, const char *name, struct lun_json v)
{
    if (is_other(name) || costs_nothing(v)) return;
    if (r->image_tokens && !strcmp(name, "output_cost_per_image")) return;      /* the same, said otherwise */
    for (size_t i = 0; i < sizeof whys / sizeof *whys; i++)
        if (strstr(name, whys[i].part)) { odd(r, name, whys[i].why); return; }
    odd(r, name, "is not a field that is known");
}

static void take_field(struct reading *r, const char *name, struct lun_json v)
{
    struct meant m;
    if (!strcmp(name, "max_input_tokens")) take_tokens(r, name, v, &r->entry->context);
    else if (!strcmp(name, "max_output_tokens")) take_tokens(r, name, v, &r->entry->max_output);
    else if (!read_name(name, &m)) take_other(r, name, v);
    else if (lun_json_type(v) != LUN_JSON_NULL) take_price(r, name, &m, v);
}

/* ---- entries ---- */

/* A name that may be shown: one line, without control characters. */
static const char *name_of(struct lun_json key, struct lun_arena *arena)
{
    size_t n;
    if (key.n - 2 > LUN_PRICE_FILE_NAME) return NULL;
    char *name = lun_json_string_in(key, true, arena, &n);
    for (size_t i = 0; name && i < n; i++) if ((unsigned char)name[i] < ' ' || name[i] == 127) return NULL;
    return name && n ? name : NULL;
}

static void finish(struct reading *r)
{
    struct lun_price_entry *e = r->entry;
    if (r->writes_nothing && e->price.output < 0) e->price.output = 0;
    if (!r->unusable && !lun_price_known(&e->price)) odd(r, "", e->price.input < 0 ? "has no price per token of input: it is not used" : "has no price per token of output: it is not used");
    if (r->unusable || !lun_price_known(&e->price)) e->price = lun_price_unknown;
    else lun_price_tiers(&e->price, r->tiers, r->n_tiers, r->arena);
    r->file->priced += lun_price_known(&e->price);
    r->file->whole += !e->odd;
}

static bool read_entry(struct reading *r, struct lun_json value, const char **field_problem, struct lun_json *where)
{
    struct lun_json mode = lun_json_get(value, "mode");
    r->n_tiers = 0, r->unusable = false;
    r->writes_nothing = lun_json_is(mode, "embedding") || lun_json_is(mode, "moderation") || lun_json_is(mode, "rerank");
    r->image_tokens = lun_json_type(lun_json_get(value, "output_cost_per_image_token")) == LUN_JSON_NUMBER;
    r->entry->price = lun_price_unknown;
    if (lun_json_type(value) != LUN_JSON_OBJECT) { r->unusable = true; odd(r, "", "is no object"); return finish(r), true; }
    if (!strcmp(r->entry->name, "sample_spec")) { r->unusable = true; odd(r, "", "explains the form of the file, and is no model"); return finish(r), true; }
    for (struct lun_json_each e = lun_json_each(value); lun_json_next(&e); ) {
        const char *name = name_of(e.key, r->arena);
        if (!name) { *field_problem = "a name of a field is empty, too long, or has control characters"; *where = e.key; return false; }
        take_field(r, name, e.value);
    }
    return finish(r), true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct lun_price_entry *)a)->name, ((const struct lun_price_entry *)b)->name);
}

static bool wrong(struct lun_json_error *error, const char *what, size_t at)
{
    *error = (struct lun_json_error){ what, at };
    return false;
}

bool lun_price_file_read(const char *text, size_t n, struct lun_arena *arena, struct lun_price_file *out, struct lun_json_error *error)
{
    struct reading r = { .arena = arena, .file = out };
    struct lun_json all, where = {0};
    const char *problem = NULL;
    *out = (struct lun_price_file){0};
    if (!lun_json_check(text, n, &all, error)) return false;
    if (lun_json_type(all) != LUN_JSON_OBJECT) return wrong(error, "an object of models is wanted", (size_t)(all.at - text));
    size_t count = lun_json_count(all);
    if (count > LUN_PRICE_FILE_ENTRIES) return wrong(error, "there are more than 100000 entries", 0);
    out->entries = lun_arena_zalloc(arena, (count + 1) * sizeof *out->entries);
    for (struct lun_json_each e = lun_json_each(all); lun_json_next(&e); out->n++) {
        r.entry = &out->entries[out->n];
        if (!(r.entry->name = name_of(e.key, arena))) return wrong(error, "a name of a model is empty, too long, or has control characters", (size_t)(e.key.at - text));
        if (!read_entry(&r, e.value, &problem, &where)) return wrong(error, problem, (size_t)(where.at - text));
    }
    qsort(out->entries, (size_t)out->n, sizeof *out->entries, by_name);
    for (int i = 1; i < out->n; i++)
        if (!strcmp(out->entries[i - 1].name, out->entries[i].name)) return wrong(error, lun_arena_printf(arena, "the entry %s is there twice", out->entries[i].name), 0);
    return true;
}

const struct lun_price_entry *lun_price_file_find(const struct lun_price_file *f, const char *name)
{
    const struct lun_price_entry key = { .name = name };
    return f->n ? bsearch(&key, f->entries, (size_t)f->n, sizeof key, by_name) : NULL;
}

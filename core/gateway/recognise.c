#include "gateway/recognise.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/http.h"
#include "base/text.h"
#include "state/charge.h"
#include <endian.h>
#include <string.h>

#define NAME_MAX_BYTES 256
#define METADATA_MAX_BYTES (64 << 10)
#define TAGS 32

static bool wrong(struct lun_error *e, enum lun_code code, const char *param, const char *message)
{
    *e = (struct lun_error){ .code = code, .param = param, .message = message };
    return false;
}

#define WRONG(q, e, param, ...) wrong(e, LUN_CODE_INVALID_REQUEST, param, lun_arena_printf((q)->arena, __VA_ARGS__))

static enum lun_json_type type_of(const struct lun_question *q, enum lun_field f) { return (enum lun_json_type)q->fields[f].type; }
static bool absent(const struct lun_question *q, enum lun_field f) { return type_of(q, f) == LUN_JSON_NONE || type_of(q, f) == LUN_JSON_NULL; }

/* It is looked through several times; one this large is no use to anybody and is only passed on. */
static struct lun_json metadata(const struct lun_question *q)
{
    struct lun_json value = lun_question_field(q, LUN_FIELD_metadata);
    return value.n <= METADATA_MAX_BYTES ? value : (struct lun_json){0};
}

/* A short string that may become a header, a label or a line of a log; NULL when it is none. */
static const char *name_in(struct lun_question *q, struct lun_json value)
{
    size_t n;
    char *s = value.n <= 6 * NAME_MAX_BYTES ? lun_json_string_in(value, true, q->arena, &n) : NULL;
    if (!s || !n || n > NAME_MAX_BYTES) return NULL;
    for (char *p = s; *p; p++) if ((unsigned char)*p < 0x20 || *p == 0x7f) return NULL;
    return s;
}

/* ---- the body ---- */

static bool scan(struct lun_question *q, struct lun_error *e)
{
    static const char *const names[] = {
#define X(name) #name,
        LUN_ROUTING_KEYS(X)
#undef X
    };
    if (!lun_json_scan(q->body, q->body_n, &lun_question_keys, q->fields, &q->scan))
        return WRONG(q, e, NULL, "The body is not a valid JSON object: at byte %zu: %s.", q->scan.error.at, q->scan.error.what);
    if (q->scan.twice >= 0) return WRONG(q, e, names[q->scan.twice], "The field `%s` occurs twice.", names[q->scan.twice]);
    return true;
}

static bool whole_number(struct lun_question *q, enum lun_field f, const char *name, int64_t min, int64_t max, int64_t *out, struct lun_error *e)
{
    if (absent(q, f)) return true;
    int64_t value;
    if (!lun_json_int(lun_question_field(q, f), &value) || value < min || value > max)
        return WRONG(q, e, name, "`%s` has to be a whole number from %lld to %lld.", name, (long long)min, (long long)max);
    if (value > *out) *out = value;
    return true;
}

static bool read_numbers(struct lun_question *q, struct lun_error *e)
{
    int64_t n = 1;
    if (!whole_number(q, LUN_FIELD_n, "n", 1, 128, &n, e)) return false;
    q->n = (int)n;
    return whole_number(q, LUN_FIELD_max_tokens, "max_tokens", 0, 1000000000, &q->max_tokens, e)
        && whole_number(q, LUN_FIELD_max_completion_tokens, "max_completion_tokens", 0, 1000000000, &q->max_tokens, e);
}

/* Several prompts at once are answered as so many choices. A list of numbers is one prompt, of token ids. */
static void count_prompts(struct lun_question *q)
{
    struct lun_json prompt = lun_question_field(q, LUN_FIELD_prompt);
    struct lun_json_each e = lun_json_each(prompt);
    if (q->endpoint != LUN_ENDPOINT_COMPLETIONS || lun_json_type(prompt) != LUN_JSON_ARRAY || !lun_json_next(&e)) return;
    if (lun_json_type(e.value) == LUN_JSON_NUMBER) return;
    size_t prompts = lun_json_count(prompt);
    q->n *= prompts < 4096 ? (int)prompts : 4096;
}

static bool read_stream(struct lun_question *q, struct lun_error *e)
{
    enum lun_json_type type = type_of(q, LUN_FIELD_stream);
    if (!absent(q, LUN_FIELD_stream) && type != LUN_JSON_TRUE && type != LUN_JSON_FALSE)
        return WRONG(q, e, "stream", "`stream` has to be true or false.");
    q->stream = type == LUN_JSON_TRUE && q->endpoint != LUN_ENDPOINT_EMBEDDINGS;
    q->include_usage = lun_json_true(lun_json_get(lun_question_field(q, LUN_FIELD_stream_options), "include_usage"));
    return true;
}

static bool read_input(struct lun_question *q, struct lun_error *e)
{
    static const struct { enum lun_field field; const char *name, *what; } needed[] = {
        [LUN_ENDPOINT_CHAT] = { LUN_FIELD_messages, "messages", "a list of messages" },
        [LUN_ENDPOINT_COMPLETIONS] = { LUN_FIELD_prompt, "prompt", "a text or a list" },
        [LUN_ENDPOINT_EMBEDDINGS] = { LUN_FIELD_input, "input", "a text or a list" },
    };
    enum lun_json_type type = type_of(q, needed[q->endpoint].field);
    bool good = type == LUN_JSON_ARRAY || (type == LUN_JSON_STRING && q->endpoint != LUN_ENDPOINT_CHAT);
    if (good) return true;
    return WRONG(q, e, needed[q->endpoint].name, "`%s` has to be there and be %s.", needed[q->endpoint].name, needed[q->endpoint].what);
}

static void read_needs(struct lun_question *q)
{
    q->has_tools = type_of(q, LUN_FIELD_tools) == LUN_JSON_ARRAY && lun_json_count(lun_question_field(q, LUN_FIELD_tools)) > 0;
    q->has_schema = lun_json_is(lun_json_get(lun_question_field(q, LUN_FIELD_response_format), "type"), "json_schema");
    lun_question_survey(q);
    q->has_image = q->survey.image;
}

/* ---- who, and what they say of themselves ---- */

static void take_headers(struct lun_question *q, const struct lun_incoming *in)
{
    q->headers = lun_arena_alloc(q->arena, (size_t)(in->n_headers + 1) * sizeof *q->headers);
    for (int i = 0; i < in->n_headers; i++) {
        if (lun_header_is_secret(in->headers[i].name)) continue;
        q->headers[q->n_headers++] = in->headers[i];
    }
}

/* What the client says, if it is trusted to; otherwise ignored and noted. */
static const char *trusted(struct lun_question *q, enum lun_trust what, const char *name, const char *value)
{
    if (!value) return NULL;
    if (!q->client || q->client->trust & what) return value;
    lun_question_note(q, lun_arena_printf(q->arena, "ignored_%s", name), "true");
    return NULL;
}

static const char *said(struct lun_question *q, enum lun_trust what, const char *header, const char *meta)
{
    const char *value = lun_question_header(q, header);
    if (!value || !*value) value = name_in(q, lun_json_get(metadata(q), meta));
    return trusted(q, what, meta, value);
}

/* Those of the key's own entry come first, and nobody else's can take their place. */
static void add_tag(struct lun_question *q, const char *name, const char *value, bool theirs)
{
    int own = q->client ? q->client->n_tags : 0;
    const struct lun_tag_budget *t = lun_charge_tag(q, name);
    if (theirs && t && t->from != LUN_TAG_FROM_TAGS) return;     /* said elsewhere, or not at all */
    for (int i = 0; i < q->n_tags; i++) {
        if (strcmp(q->tags[i].name, name)) continue;
        if (i >= own) q->tags[i].value = value;
        return;
    }
    if (q->n_tags < TAGS) q->tags[q->n_tags++] = (struct lun_pair){ name, value };
}

/* x-lunette-tags: tier=premium, region=eu */
static void tags_of_header(struct lun_question *q, const char *text)
{
    char *copy = lun_arena_strdup(q->arena, text), *rest = copy;
    for (char *part; (part = strsep(&rest, ",")); ) {
        part += strspn(part, " \t");
        char *value = strchr(part, '=');
        if (!value || value == part) continue;
        *value++ = 0;
        size_t n = strlen(value);
        while (n && (value[n - 1] == ' ' || value[n - 1] == '\t')) value[--n] = 0;
        add_tag(q, part, value, true);
    }
}

static void read_tags(struct lun_question *q)
{
    struct lun_json meta = lun_json_get(metadata(q), "tags");
    const char *header = lun_question_header(q, "x-lunette-tags");
    q->tags = lun_arena_alloc(q->arena, (TAGS + LUN_TAG_BUDGETS) * sizeof *q->tags);
    for (int i = 0; q->client && i < q->client->n_tags; i++) add_tag(q, q->client->tags[i].name, q->client->tags[i].value, false);
    bool theirs = trusted(q, LUN_TRUST_TAGS, "tags", header || meta.n ? "" : NULL);
    if (theirs && lun_json_type(meta) == LUN_JSON_OBJECT)
        for (struct lun_json_each e = lun_json_each(meta); lun_json_next(&e); ) {
            const char *name = name_in(q, e.key), *value = name_in(q, e.value);
            if (name && value) add_tag(q, name, value, true);
        }
    if (theirs && header) tags_of_header(q, header);
}

/* ---- what it is charged to ---- */

static const char *tag_among(const struct lun_pair *tags, int n, const char *name)
{
    for (int i = 0; i < n; i++) if (!strcmp(tags[i].name, name)) return tags[i].value;
    return NULL;
}

/* Said twice, it would depend on who reads it which one pays. */
static bool charge_of_header(struct lun_question *q, const struct lun_tag_budget *t, const char **value, struct lun_error *e)
{
    int n = 0;
    for (int i = 0; i < q->n_headers; i++) if (!strcmp(q->headers[i].name, t->at)) *value = q->headers[i].value, n++;
    return n <= 1 || WRONG(q, e, t->at, "The header `%s` occurs twice, and it says whose budget pays.", t->at);
}

/* The key's own tags, which nobody else's can take the place of; or what the request says, where its key is trusted with that. */
static bool read_charge(struct lun_question *q, const struct lun_tag_budget *t, struct lun_error *e)
{
    const char *value = q->client ? tag_among(q->client->tags, q->client->n_tags, t->name) : NULL, *said = NULL;
    bool own = value;
    if (t->from == LUN_TAG_FROM_TAGS && !own) value = tag_among(q->tags, q->n_tags, t->name);
    if (t->from == LUN_TAG_FROM_HEADER && !charge_of_header(q, t, &said, e)) return false;
    if (t->from == LUN_TAG_FROM_METADATA) said = name_in(q, lun_json_get(metadata(q), t->at));
    if (!own && said && *said) value = trusted(q, LUN_TRUST_TAGS, t->name, said);
    if (!value || !*value) return true;
    if (!lun_charge_value_good(value)) return WRONG(q, e, t->at, "The tag `%s` has a budget, so its value has to be " LUN_CHARGE_VALUE ".", t->name);
    lun_charge_set(q, t, value);
    return true;
}

static bool read_charges(struct lun_question *q, struct lun_error *e)
{
    for (int i = 0; i < q->snapshot->n_tags; i++) if (!read_charge(q, &q->snapshot->tags[i], e)) return false;
    return true;
}

static bool read_budget(struct lun_question *q, struct lun_error *e)
{
    const char *text = lun_question_header(q, "x-lunette-budget");
    struct lun_json meta = lun_json_get(metadata(q), "budget");
    if (!text && lun_json_type(meta) == LUN_JSON_NUMBER) text = lun_arena_strndup(q->arena, meta.at, meta.n);
    if (!text && lun_json_type(meta) == LUN_JSON_STRING) text = name_in(q, meta);
    if (!(text = trusted(q, LUN_TRUST_BUDGET, "budget", text))) return true;
    if (!lun_price_parse(text, strlen(text), &q->budget)) return WRONG(q, e, "x-lunette-budget", "The budget has to be a number of US dollars, such as 0.05.");
    q->own_account = lun_account_request(q->budget);
    return true;
}

/* Who says nothing of a session is known again by how the conversation began, as a provider's prompt cache knows it. */
static const char *session_of(struct lun_question *q)
{
    const char *session = name_in(q, lun_question_field(q, LUN_FIELD_prompt_cache_key));
    if (!session) session = lun_question_header(q, "x-session-id");
    if (!session || !*session) session = name_in(q, lun_json_get(metadata(q), "session_id"));
    if (session || q->endpoint != LUN_ENDPOINT_CHAT) return session;
    uint64_t beginning = htobe64(q->survey.beginning);
    char *text = lun_arena_alloc(q->arena, 1 + 2 * sizeof beginning + 1);
    *text = '~';
    lun_hex_write(text + 1, &beginning, sizeof beginning);
    return text;
}

static bool read_who(struct lun_question *q, const struct lun_incoming *in, struct lun_error *e)
{
    q->key = lun_key_ref(in->key);
    q->client = in->key ? memcpy(lun_arena_alloc(q->arena, sizeof *in->client), in->client, sizeof *in->client) : in->client;
    if (q->client) q->who = lun_hash_text(q->client->name, 1) | 1;
    take_headers(q, in);
    q->user = name_in(q, lun_question_field(q, LUN_FIELD_user));
    if (!q->user) q->user = name_in(q, lun_json_get(metadata(q), "user_id"));
    q->session = session_of(q);
    q->task = said(q, LUN_TRUST_TASK, "x-lunette-task", "task");
    if (!q->task && q->client) q->task = q->client->task;
    const char *class = lun_question_header(q, "x-lunette-class");
    q->class = trusted(q, LUN_TRUST_CLASS, "class", class && *class ? class : NULL);
    if (!q->class && q->client) q->class = q->client->class;
    q->pinned = name_in(q, lun_question_field(q, LUN_FIELD_previous_response_id));
    const char *retry = lun_question_header(q, "x-stainless-retry-count"), *explain = lun_question_header(q, "x-lunette-explain");
    q->client_retry = retry && *retry >= '0' && *retry <= '9' ? *retry - '0' : 0;
    q->explain = explain && strcmp(explain, "0");
    if (q->explain && trusted(q, LUN_TRUST_EXPLAIN, "explain", explain)) q->trace = lun_trace_new(q->arena);
    read_tags(q);
    return read_charges(q, e) && read_budget(q, e);
}

/* ---- which targets ---- */

bool lun_client_may(const struct lun_client_rule *client, const char *model)
{
    if (!client || !client->n_models) return true;
    for (int i = 0; i < client->n_models; i++) if (lun_pattern_fits(client->models[i], model)) return true;
    return false;
}

/* Adds a target to a list that it is not in yet; `has` says which are, by their place in the configuration. */
static void add_target(const struct lun_target **list, int *n, bool *has, const struct lun_target *t)
{
    if (!has[t->index]) list[(*n)++] = t;
    has[t->index] = true;
}

/* Those of the models that its key may use: what there is to look through grows with the configuration. */
static void gather_allowed(struct lun_question *q)
{
    const struct lun_snapshot *s = q->snapshot;
    size_t most = (size_t)s->n_targets + 1;
    const struct lun_target **targets = lun_arena_alloc(q->arena, most * sizeof *targets), **asked = lun_arena_alloc(q->arena, most * sizeof *asked);
    bool *has = lun_arena_zalloc(q->arena, 2 * most), *has_asked = has + most;
    q->targets = targets, q->asked = asked, q->may = has;
    for (int m = 0; m < s->n_models; m++) {
        const struct lun_model *model = &s->models[m];
        if (model->pattern && model != q->entry) continue;      /* a pattern's target has no name to ask for but the one that fitted */
        if (!lun_client_may(q->client, model == q->entry ? q->model : model->name)) continue;
        for (int t = 0; t < model->n_targets; t++) {
            add_target(targets, &q->n_targets, has, model->targets[t]);
            if (!q->entry || model == q->entry) add_target(asked, &q->n_asked, has_asked, model->targets[t]);
        }
    }
}

/* Who may use all models has the same targets as everyone who may: they were gathered with the configuration. */
static void gather(struct lun_question *q)
{
    const struct lun_snapshot *s = q->snapshot;
    if (!s->n_all || (q->client && q->client->n_models) || (q->entry && q->entry->pattern)) {
        gather_allowed(q);
        return;
    }
    q->targets = q->asked = s->all, q->n_targets = q->n_asked = s->n_all, q->may = s->in_all;
    if (q->entry) q->asked = q->entry->targets, q->n_asked = q->entry->n_targets;
}

static bool not_found(struct lun_question *q, struct lun_error *e)
{
    const struct lun_snapshot *s = q->snapshot;
    const char **names = lun_arena_alloc(q->arena, (size_t)(s->n_models + 1) * sizeof *names);
    int n = 0;
    for (int i = 0; i < s->n_models; i++) if (lun_client_may(q->client, s->models[i].name)) names[n++] = s->models[i].name;
    const char *near = lun_text_nearest(q->model, names, (size_t)n);
    return wrong(e, LUN_CODE_MODEL_NOT_FOUND, "model", near
        ? lun_arena_printf(q->arena, "There is no model `%s` here. Did you mean `%s`?", q->model, near)
        : lun_arena_printf(q->arena, "There is no model `%s` here. GET /v1/models lists them.", q->model));
}

static bool find_targets(struct lun_question *q, struct lun_error *e)
{
    if (strcmp(q->model, "auto")) {
        q->entry = lun_snapshot_model(q->snapshot, q->model, &q->rest);
        if (!q->entry) return not_found(q, e);
        if (!lun_client_may(q->client, q->model))
            return wrong(e, LUN_CODE_MODEL_NOT_ALLOWED, "model", lun_arena_printf(q->arena, "The key `%s` may not use the model `%s`.", q->client->name, q->model));
    }
    gather(q);
    if (!q->n_asked) return wrong(e, LUN_CODE_MODEL_NOT_ALLOWED, "model", "There is no model that this key may use.");
    return true;
}

bool lun_recognise(struct lun_question *q, const struct lun_incoming *in, struct lun_error *e)
{
    q->endpoint = in->endpoint;
    q->body = in->body;
    q->body_n = in->n;
    if (!scan(q, e)) return false;
    if (absent(q, LUN_FIELD_model)) return WRONG(q, e, "model", "The field `model` is missing. GET /v1/models lists the names, `auto` leaves the choice to the policy.");
    if (!(q->model = name_in(q, lun_question_field(q, LUN_FIELD_model))))
        return WRONG(q, e, "model", "`model` has to be a text of 1 to %d bytes without control characters.", NAME_MAX_BYTES);
    if (!read_stream(q, e) || !read_numbers(q, e) || !read_input(q, e)) return false;
    count_prompts(q);
    read_needs(q);
    return read_who(q, in, e) && find_targets(q, e);
}

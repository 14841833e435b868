#include "base/hash.h"
#include "state/question.h"
#include <string.h>

/* Tokens that are in no string of the body, at most. */
#define PER_CHAT    512     /* what a provider says before all: Grok's answers count 161 to 194, Mistral Small's template some 450 */
#define PER_MESSAGE 16      /* what its template puts round a message, a part of one, or an item of a list */
#define PER_TOOL    64
#define WITH_TOOLS  1024    /* what it says of tools in general: 530 for Claude 3 Opus */

#define GUESS_CHAT     3
#define GUESS_MESSAGE  4
#define GUESS_TOOL     8
#define GUESS_IMAGE 1000

/* A URL is no text, nor are the bytes in it. Others than these families can take what gpt-4o-mini counts: 2833 + 8 tiles of 5667; Qwen's 16384 and the
 * 12000 and more of GPT's patches (32 pixels, "original" detail) are below it. Sources, read in November 2026: the pages on vision of OpenAI (85 + 8 x 170
 * for gpt-4o and gpt-4-turbo, at most 1536 x 2.46 for the small ones of 4.1 and 5), Anthropic (4784) and Google (258 for each of 16 tiles; 2240). */
int64_t lun_image_tokens(const char *upstream)
{
    static const char *const small[] = { "gpt-4o", "gpt-4.1", "gpt-4-", "claude-", "gemini-", "gemma-" };
    const char *name = strrchr(upstream, '/') ? strrchr(upstream, '/') + 1 : upstream;
    if (!strncmp(name, "gpt-4o-mini", 11)) return 49152;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) if (!strncmp(name, small[i], strlen(small[i]))) return 8192;
    return 49152;
}

static bool is_one_of(struct lun_json type, const char *const *names)
{
    for (; *names; names++) if (lun_json_is(type, *names)) return true;
    return false;
}

/* How it begins tells conversations apart well enough; a long prompt is not read to its end for that. What is short is not worth the beginning of another hash. */
static void chain(uint64_t *hash, struct lun_json value)
{
    uint64_t seed = *hash ^ value.n;
    *hash = value.n <= 64 ? lun_hash(value.at, value.n, seed) : lun_hash_long(value.at, value.n < 2048 ? value.n : 2048, seed);
}

static void add_text(struct lun_survey *s, struct lun_json value)
{
    if (s->weighs) lun_tokens_add_json(&s->tokens, value);
    else s->tokens.grows += lun_tokens_grow(value.at, value.n);
}

static void add_string(struct lun_survey *s, struct lun_json value)
{
    if (lun_json_type(value) == LUN_JSON_STRING) add_text(s, (struct lun_json){ value.at + 1, value.n - 2 });
}

/* What a provider writes anew in its own way: schemas, calls, whatever is no plain text. */
static void add_structure(struct lun_survey *s, struct lun_json value)
{
    add_text(s, value);
    s->bound += (int64_t)lun_tokens_rewritten(value);
}

/* ---- parts of a message ---- */

/* The base64 of an image, which is no text. */
static int64_t data_of(struct lun_json value)
{
    struct lun_json url = lun_json_type(value) == LUN_JSON_OBJECT ? lun_json_get(value, "url") : value;
    if (!url.n) url = lun_json_get(value, "data");
    return lun_json_type(url) == LUN_JSON_STRING ? (int64_t)url.n : 0;
}

static void add_type(struct lun_survey *s, struct lun_json type, bool *image)
{
    static const char *const images[] = { "image_url", "input_image", "image", NULL };
    static const char *const texts[] = { "text", "input_text", "output_text", "refusal", "thinking", "reasoning", NULL };
    if (is_one_of(type, images)) *image = true;
    else if (!is_one_of(type, texts)) s->opaque = "a part of a message that is neither text nor an image";
}

/* Of a member that stands there twice both count, because nobody knows which of them a provider reads. */
static void add_part(struct lun_survey *s, struct lun_json part)
{
    bool typed = false, image = false;
    int64_t data = 0;
    if (lun_json_type(part) == LUN_JSON_STRING) { add_string(s, part); return; }
    for (struct lun_json_each e = lun_json_each(part); lun_json_next(&e); ) {
        if (lun_json_is(e.key, "type")) { add_type(s, e.value, &image); typed = true; }
        else if (lun_json_is(e.key, "image_url") || lun_json_is(e.key, "source")) data += data_of(e.value);
        else if (lun_json_type(e.value) == LUN_JSON_STRING) add_string(s, e.value);
        else add_structure(s, e.value);
    }
    if (!typed) s->opaque = "a part of a message without a type";
    if (!image) return;
    s->image = true;
    s->images++;
    s->bound -= data;
    s->guess += GUESS_IMAGE;
}

static void add_content(struct lun_survey *s, struct lun_json content)
{
    if (lun_json_type(content) == LUN_JSON_OBJECT) add_part(s, content);
    else add_string(s, content);
    for (struct lun_json_each e = lun_json_type(content) == LUN_JSON_ARRAY ? lun_json_each(content) : (struct lun_json_each){0}; lun_json_next(&e); ) {
        s->bound += PER_MESSAGE;
        add_part(s, e.value);
    }
}

/* ---- messages ---- */

static bool there(struct lun_json value) { return value.n && lun_json_type(value) != LUN_JSON_NULL; }

static void add_message(struct lun_survey *s, struct lun_json_each *e)
{
    static const char *const kept[] = { "audio", "images", "videos", "files", "file_ids", "attachments", NULL };     /* which the provider has */
    struct lun_json content = {0};
    bool user = false;
    s->messages++;
    s->bound += PER_MESSAGE;
    s->guess += GUESS_MESSAGE;
    while (lun_json_next(e))
        if (lun_json_is(e->key, "content")) add_content(s, content = e->value);
        else if (lun_json_is(e->key, "role")) user = lun_json_is(e->value, "user");
        else if (there(e->value)) {
            if (is_one_of(e->key, kept)) s->opaque = "a message that refers to sound, images or files";
            add_structure(s, e->value);
        }
    if (!s->begun) chain(&s->beginning, content);
    if (!user) return;
    s->begun = true;
    s->last_user = content;
}

static void add_messages(struct lun_survey *s, struct lun_json list)
{
    struct lun_json_each e = lun_json_each(list), message;
    e.known = s->known;
    for (; lun_json_into(&e, &message); lun_json_out(&e, &message)) add_message(s, &message);
}

/* ---- the other fields ---- */

static void add_tools(struct lun_survey *s, struct lun_json tools)
{
    static const char *const ours[] = { "function", "custom", NULL };
    int64_t n = 0;
    for (struct lun_json_each e = lun_json_each(tools); lun_json_next(&e); n++)
        for (struct lun_json_each m = lun_json_each(e.value); lun_json_next(&m); )
            if (lun_json_is(m.key, "type") && !is_one_of(m.value, ours)) s->opaque = "a tool that the provider runs itself";
    add_structure(s, tools);
    s->bound += n ? WITH_TOOLS + PER_TOOL * n : 0;
    s->guess += GUESS_TOOL * n;
}

/* Texts, token ids, or lists of ids: of one the number of ids, which is less than the bytes of their digits. Nothing deeper is read, so that nesting
 * costs nobody time. */
static int64_t add_items(struct lun_survey *s, struct lun_json list, bool inner)
{
    int64_t texts = 0;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        enum lun_json_type type = lun_json_type(e.value);
        texts += type != LUN_JSON_NUMBER;
        if (type == LUN_JSON_NUMBER) s->guess++;
        else if (type != LUN_JSON_ARRAY) add_part(s, e.value);
        else if (!inner) add_items(s, e.value, true);
        else s->opaque = "an input that is a list of lists of lists";
    }
    s->bound += PER_MESSAGE * texts;
    return texts;
}

static void add_texts(struct lun_survey *s, struct lun_json value, bool each)
{
    int64_t texts = 0;
    if (lun_json_type(value) == LUN_JSON_STRING) add_string(s, value);
    else if (lun_json_type(value) == LUN_JSON_ARRAY) texts = add_items(s, value, false);
    else if (there(value)) s->opaque = "an input that is neither a text nor a list";
    if (each && texts > s->prompts) s->prompts = texts;
}

void lun_survey_add(struct lun_survey *s, enum lun_endpoint endpoint, enum lun_field field, struct lun_json value)
{
    bool chat = endpoint == LUN_ENDPOINT_CHAT;
    switch (field) {
    case LUN_FIELD_messages: add_messages(s, value); break;
    case LUN_FIELD_system: add_content(s, value); break;
    case LUN_FIELD_tools: case LUN_FIELD_functions: add_tools(s, value); break;
    case LUN_FIELD_response_format: case LUN_FIELD_suffix: add_structure(s, value); break;
    case LUN_FIELD_input: if (!chat) add_texts(s, value, false); break;
    case LUN_FIELD_prompt: if (!chat) add_texts(s, value, endpoint == LUN_ENDPOINT_COMPLETIONS); break;
    default: break;
    }
}

/* What else stands in the body, between those fields: nobody knows here what a provider does with it. */
static void add_rest(struct lun_survey *s, const struct lun_question *q, const enum lun_field *fields, size_t n)
{
    uint64_t grows = 0;
    size_t at = 0;
    for (;;) {
        const struct lun_json_field *next = NULL;
        for (size_t i = 0; i < n; i++) {
            const struct lun_json_field *f = &q->fields[fields[i]];
            if (f->type != LUN_JSON_NONE && f->value >= at && (!next || f->value < next->value)) next = f;
        }
        struct lun_json gap = { q->body + at, (next ? next->value : q->body_n) - at };
        grows += lun_tokens_grow(gap.at, gap.n);
        s->bound += (int64_t)(gap.n + lun_tokens_rewritten(gap));
        if (!next) break;
        s->bound += next->value_n;
        at = next->value + next->value_n;
    }
    s->bound += (int64_t)grows;
}

/* Of all its bytes each may be a token, escapes only make it longer. */
static struct lun_survey taken(const struct lun_question *q, bool weighs)
{
    static const enum lun_field fields[] = { LUN_FIELD_messages, LUN_FIELD_system, LUN_FIELD_tools, LUN_FIELD_functions, LUN_FIELD_response_format,
                                             LUN_FIELD_input, LUN_FIELD_prompt, LUN_FIELD_suffix };
    size_t n = sizeof fields / sizeof *fields;
    bool chat = q->endpoint == LUN_ENDPOINT_CHAT;
    struct lun_survey s = { .done = true, .weighs = weighs, .prompts = 1, .bound = PER_MESSAGE + (chat ? PER_CHAT : 0), .guess = chat ? GUESS_CHAT : 0 };
    if (q->scan.longest_n) s.known = (struct lun_json){ q->body + q->scan.longest, q->scan.longest_n };
    chain(&s.beginning, lun_question_field(q, LUN_FIELD_system));
    chain(&s.beginning, lun_question_field(q, LUN_FIELD_tools));
    for (size_t i = 0; i < n; i++) lun_survey_add(&s, q->endpoint, fields[i], lun_question_field(q, fields[i]));
    if (q->body) add_rest(&s, q, fields, n);
    s.bound += (int64_t)s.tokens.grows;
    s.guess += (int64_t)(s.tokens.weight / LUN_TOKENS_WHOLE);
    return s;
}

void lun_question_survey(struct lun_question *q)
{
    if (!q->survey.done) q->survey = taken(q, atomic_load_explicit(&q->snapshot->weighs, memory_order_relaxed));
}

/* A text is weighed only where somebody asks: three instructions a byte. */
int64_t lun_question_tokens_once(struct lun_question *q)
{
    lun_question_survey(q);
    if (!q->survey.weighs) q->survey = taken(q, true);
    return q->survey.guess > 0 ? q->survey.guess : 1;
}

/* Who has asked asks of each request: then it is done in the same pass. */
int64_t lun_question_tokens(struct lun_question *q)
{
    if (!atomic_load_explicit(&q->snapshot->weighs, memory_order_relaxed)) atomic_store_explicit(&q->snapshot->weighs, true, memory_order_relaxed);
    return lun_question_tokens_once(q);
}

int lun_question_messages(struct lun_question *q)
{
    lun_question_survey(q);
    return q->survey.messages;
}

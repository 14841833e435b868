#include "gateway/answer.h"
#include "base/text.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TOP_KEYS(X) X(choices) X(usage) X(error) X(x_groq) X(service_tier)
enum { TOP_KEYS(LUN_JSON_KEY_ENUM) KEYS };
static const struct lun_json_keys top_keys = LUN_JSON_KEYS(TOP_KEYS);

/* ---- text ---- */

static uint64_t string_bytes(struct lun_json v) { return lun_json_type(v) == LUN_JSON_STRING && v.n >= 2 ? v.n - 2 : 0; }

static uint64_t calls_bytes(struct lun_json calls)
{
    uint64_t n = 0;
    for (struct lun_json_each e = lun_json_each(calls); lun_json_next(&e);) n += string_bytes(lun_json_path(e.value, "function.arguments"));
    return n;
}

static uint64_t message_bytes(struct lun_json_each *e)
{
    uint64_t n = 0;
    while (e->object && lun_json_next(e)) {
        if (lun_json_is(e->key, "content") || lun_json_is(e->key, "reasoning_content") || lun_json_is(e->key, "reasoning") || lun_json_is(e->key, "refusal"))
            n += string_bytes(e->value);
        else if (lun_json_is(e->key, "tool_calls")) n += calls_bytes(e->value);
    }
    return n;
}

void lun_choice_read(struct lun_json_each *e, struct lun_choice *c)
{
    c->text_bytes = 0;
    c->finish_reason = (struct lun_json){0};
    for (struct lun_json_each inner; e->object && lun_json_into(e, &inner); lun_json_out(e, &inner)) {
        if (lun_json_is(e->key, "delta") || lun_json_is(e->key, "message")) c->text_bytes += message_bytes(&inner);
        else if (lun_json_is(e->key, "index")) lun_json_int(e->value, &c->index);
        else if (lun_json_is(e->key, "finish_reason")) c->finish_reason = e->value;
        else if (lun_json_is(e->key, "text")) c->text_bytes += string_bytes(e->value);
    }
}

#define PIECE 8                 /* characters of a key that tell something of it */

/* ---- failures ---- */

/* Words that providers put into an error's code, type or status; matched whole, in any case. */
static const struct { const char *word; enum lun_kind kind; } words[] = {
    { "insufficient_quota", LUN_KIND_QUOTA }, { "billing_hard_limit_reached", LUN_KIND_QUOTA }, { "billing_not_active", LUN_KIND_QUOTA },
    { "insufficient_balance", LUN_KIND_QUOTA }, { "insufficient_credits", LUN_KIND_QUOTA }, { "exceeded_current_quota_error", LUN_KIND_QUOTA },
    { "payment_required", LUN_KIND_QUOTA }, { "quota_exceeded", LUN_KIND_QUOTA }, { "billing_error", LUN_KIND_QUOTA },
    { "context_length_exceeded", LUN_KIND_TOO_LONG }, { "context_window_exceeded", LUN_KIND_TOO_LONG }, { "string_above_max_length", LUN_KIND_TOO_LONG },
    { "request_too_large", LUN_KIND_TOO_LONG }, { "max_tokens_exceeded", LUN_KIND_TOO_LONG },
    { "content_filter", LUN_KIND_FILTERED }, { "content_policy_violation", LUN_KIND_FILTERED }, { "ResponsibleAIPolicyViolation", LUN_KIND_FILTERED },
    { "moderation_blocked", LUN_KIND_FILTERED }, { "data_inspection_failed", LUN_KIND_FILTERED }, { "content_filter_error", LUN_KIND_FILTERED },
    { "rate_limit_exceeded", LUN_KIND_RATE_LIMITED }, { "rate_limit_error", LUN_KIND_RATE_LIMITED }, { "rate_limited", LUN_KIND_RATE_LIMITED },
    { "rate_limit_reached_error", LUN_KIND_RATE_LIMITED }, { "too_many_requests", LUN_KIND_RATE_LIMITED }, { "RESOURCE_EXHAUSTED", LUN_KIND_RATE_LIMITED },
    { "overloaded", LUN_KIND_OVERLOADED }, { "overloaded_error", LUN_KIND_OVERLOADED }, { "engine_overloaded", LUN_KIND_OVERLOADED },
    { "engine_overloaded_error", LUN_KIND_OVERLOADED }, { "service_unavailable", LUN_KIND_OVERLOADED }, { "service_unavailable_error", LUN_KIND_OVERLOADED },
    { "UNAVAILABLE", LUN_KIND_OVERLOADED }, { "server_overloaded", LUN_KIND_OVERLOADED },
    { "invalid_api_key", LUN_KIND_AUTH }, { "authentication_error", LUN_KIND_AUTH }, { "invalid_authentication_error", LUN_KIND_AUTH },
    { "UNAUTHENTICATED", LUN_KIND_AUTH }, { "permission_error", LUN_KIND_AUTH }, { "permission_denied", LUN_KIND_AUTH },
    { "account_deactivated", LUN_KIND_AUTH },
    { "model_not_found", LUN_KIND_NOT_FOUND }, { "not_found_error", LUN_KIND_NOT_FOUND }, { "DeploymentNotFound", LUN_KIND_NOT_FOUND },
    { "not_found", LUN_KIND_NOT_FOUND }, { "resource_not_found_error", LUN_KIND_NOT_FOUND },
    { "invalid_request_error", LUN_KIND_BAD_REQUEST }, { "invalid_argument", LUN_KIND_BAD_REQUEST }, { "bad_request", LUN_KIND_BAD_REQUEST },
    { "unsupported_parameter", LUN_KIND_BAD_REQUEST }, { "invalid_prompt", LUN_KIND_BAD_REQUEST },
};

/* Words that only some providers' sentences have, for want of a code. */
static const char *const too_long[] = { "maximum context length", "context length", "context window", "prompt is too long", "input is too long",
                                        "too many tokens", "exceeds the model's maximum" };

static enum lun_kind by_word(struct lun_json value)
{
    char text[64];
    if (lun_json_type(value) != LUN_JSON_STRING || value.n < 3 || value.n - 2 >= sizeof text) return LUN_KIND_OK;
    memcpy(text, value.at + 1, value.n - 2);
    text[value.n - 2] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) if (!strcasecmp(text, words[i].word)) return words[i].kind;
    return LUN_KIND_OK;
}

static enum lun_kind by_status(int64_t status)
{
    switch (status) {
    case 401: case 403: return LUN_KIND_AUTH;
    case 402: return LUN_KIND_QUOTA;
    case 404: return LUN_KIND_NOT_FOUND;
    case 413: return LUN_KIND_TOO_LONG;
    case 429: return LUN_KIND_RATE_LIMITED;
    case 503: case 529: return LUN_KIND_OVERLOADED;
    case 408: return LUN_KIND_SERVER_ERROR;
    default: return status >= 500 ? LUN_KIND_SERVER_ERROR : status >= 400 ? LUN_KIND_BAD_REQUEST : LUN_KIND_BAD_ANSWER;
    }
}

/* Whether a word may say it better than the status does. */
static bool narrows(int status, enum lun_kind word)
{
    if (word == LUN_KIND_OK) return false;
    if (status >= 500) return word == LUN_KIND_OVERLOADED;
    switch (status) {
    case 400: case 422: return word != LUN_KIND_SERVER_ERROR;
    case 403: return word == LUN_KIND_QUOTA || word == LUN_KIND_FILTERED;
    case 404: case 429: return word == LUN_KIND_QUOTA;
    default: return false;
    }
}

static struct lun_json error_of(struct lun_json body)
{
    struct lun_json error = lun_json_get(body, "error");
    return lun_json_type(error) == LUN_JSON_OBJECT ? error : body;
}

static bool says_too_long(struct lun_json body)
{
    char text[512];
    lun_answer_words(LUN_KIND_BAD_REQUEST, body, text, sizeof text);
    for (size_t i = 0; i < sizeof too_long / sizeof *too_long; i++) if (strcasestr(text, too_long[i])) return true;
    return false;
}

enum lun_kind lun_answer_failure(int status, struct lun_json body)
{
    static const char *const places[] = { "code", "type", "status" };
    struct lun_json error = error_of(body);
    enum lun_kind word = LUN_KIND_OK;
    int64_t code;
    for (int i = 0; i < 3; i++) {
        enum lun_kind kind = by_word(lun_json_get(error, places[i]));
        if (word == LUN_KIND_OK || (word == LUN_KIND_BAD_REQUEST && kind != LUN_KIND_OK)) word = kind;     /* the vaguest of them */
    }
    if (word == LUN_KIND_OK) word = by_word(lun_json_get(body, "error"));
    if (status < 300 && word == LUN_KIND_OK) {
        if (!lun_json_int(lun_json_get(error, "code"), &code) || code < 400 || code > 599) return LUN_KIND_SERVER_ERROR;
        status = (int)code;
    }
    enum lun_kind kind = status < 300 || narrows(status, word) ? word : by_status(status);
    return kind == LUN_KIND_BAD_REQUEST && says_too_long(body) ? LUN_KIND_TOO_LONG : kind;
}

static size_t clean(const char *text, size_t n, char *out, size_t room)
{
    size_t length = 0;
    n = lun_text_clip(text, n, room - 1);
    for (size_t i = 0; i < n; i++) {
        bool blank = (unsigned char)text[i] <= ' ' || text[i] == 0x7f;
        if (!blank) out[length++] = text[i];
        else if (length && out[length - 1] != ' ') out[length++] = ' ';
    }
    while (length && out[length - 1] == ' ') length--;
    out[length] = 0;
    return length;
}

size_t lun_answer_words(enum lun_kind kind, struct lun_json body, char *out, size_t room)
{
    static const char *const places[] = { "message", "detail", "msg", "error_message", "error" };
    struct lun_json error = error_of(body);
    struct lun_buf text = {0};
    *out = 0;
    if (kind == LUN_KIND_AUTH) return 0;
    for (size_t i = 0; i < 5 && !text.n; i++) lun_json_string(lun_json_get(error, places[i]), false, &text);
    size_t n = text.n ? clean(text.at, text.n, out, room) : 0;
    while (n && out[n - 1] == '.') out[--n] = 0;
    lun_buf_free(&text);
    return n;
}

/* What was cut to its length may end in a piece of a key. */
static void scrub_end(char *text, size_t n, const char *key, size_t length)
{
    for (size_t k = n < length ? n : length - 1; k >= PIECE; k--) {
        if (text[n - k] != *key || memcmp(text + n - k, key, k)) continue;
        memset(text + n - k, '*', k);
        return;
    }
}

void lun_answer_scrub(char *text, size_t n, const struct lun_secret *keys, int n_keys)
{
    for (int i = 0; i < n_keys; i++) {
        size_t length = keys[i].value ? strlen(keys[i].value) : 0;
        if (!length) continue;
        for (char *p = text; (p = memmem(p, n - (size_t)(p - text), keys[i].value, length)); p += length) memset(p, '*', length);
        scrub_end(text, n, keys[i].value, length);
    }
}

/* ---- whole answers ---- */

/* Gemini says why behind a colon: "content_filter: RECITATION", "function_call_filter: MALFORMED_FUNCTION_CALL". */
static bool is_or_begins(struct lun_json reason, const char *word)
{
    size_t n = strlen(word);
    return lun_json_is(reason, word) || (reason.n > n + 2 && !memcmp(reason.at + 1, word, n) && reason.at[n + 1] == ':');
}

unsigned lun_answer_finish(struct lun_json reason)
{
    static const char *const length[] = { "length", "max_tokens", "model_length", "MAX_TOKENS" };
    static const char *const broken[] = { "content_filter", "function_call_filter", "error", "incomplete", "safety", "SAFETY", "recitation", "RECITATION", "cancelled", "abort",
                                          "insufficient_system_resource", "sensitive", "network_error", "refusal", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "MALFORMED_FUNCTION_CALL" };
    if (lun_json_type(reason) != LUN_JSON_STRING) return LUN_FINISH_BROKEN;
    if (lun_json_is(reason, "stop")) return 0;      /* nearly all of them */
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) if (lun_json_is(reason, length[i])) return LUN_FINISH_LENGTH;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) if (is_or_begins(reason, broken[i])) return LUN_FINISH_BROKEN;
    return 0;
}

static void read_choices(struct lun_json choices, struct lun_arena *arena, struct lun_reading *r)
{
    struct lun_choice c = {0};
    for (struct lun_json_each e = lun_json_each(choices), choice; lun_json_into(&e, &choice); lun_json_out(&e, &choice)) {
        lun_choice_read(&choice, &c);
        r->text_bytes += c.text_bytes;
        r->finishes |= lun_answer_finish(c.finish_reason);
        if (!e.index) r->finish_reason = lun_json_string_in(c.finish_reason, true, arena, NULL);
    }
}

static void read_failure(int status, struct lun_json body, struct lun_arena *arena, struct lun_reading *r)
{
    char text[512];
    r->kind = lun_answer_failure(status, body);
    size_t n = lun_answer_words(r->kind, body, text, sizeof text);
    if (n) r->detail = lun_arena_strndup(arena, text, n);
}

void lun_answer_read(int status, const char *body, size_t n, struct lun_arena *arena, struct lun_reading *r)
{
    struct lun_json_field fields[KEYS];
    struct lun_json_scan scan;
    struct lun_json value = {0};
    *r = (struct lun_reading){ .kind = LUN_KIND_OK };
    if (status < 200 || status >= 300) {
        lun_json_check(body, n, &value, NULL);
        read_failure(status, value, arena, r);
        return;
    }
    if (!lun_json_scan(body, n, &top_keys, fields, &scan)) {
        r->kind = LUN_KIND_BAD_ANSWER;
        r->detail = n ? lun_arena_printf(arena, "its answer is no JSON object: at byte %zu: %s", scan.error.at, scan.error.what) : "its answer is empty";
        return;
    }
    if (fields[KEY_error].type != LUN_JSON_NONE && fields[KEY_error].type != LUN_JSON_NULL) {
        lun_json_check(body, n, &value, NULL);
        read_failure(status, value, arena, r);
    } else read_choices(lun_json_of(body, &fields[KEY_choices]), arena, r);
    if (!lun_usage_read(lun_json_of(body, &fields[KEY_usage]), &r->usage))
        lun_usage_read(lun_json_get(lun_json_of(body, &fields[KEY_x_groq]), "usage"), &r->usage);
    unsigned services = lun_usage_services(lun_json_of(body, &fields[KEY_service_tier]));
    if (services) r->usage.services = services;
}

#include "gateway/rebuilt.h"
#include <string.h>

enum { PADDING_MOST = 1 << 20 };        /* tokens of a text that nobody knows any more */

bool lun_rebuilt_is_line(struct lun_json object)
{
    bool body = lun_json_get(object, "messages").n || lun_json_get(object, "prompt").n || lun_json_get(object, "input").n;
    return !body && lun_json_get(object, "id").n && lun_json_get(object, "status").n && lun_json_get(object, "latency_ms").n;
}

static void misses(struct lun_rebuilt *r, const char *what)
{
    if (r->n_missing < LUN_REBUILT_MISSING) r->missing[r->n_missing++] = what;
}

static const char *text_of(struct lun_rebuilt *r, struct lun_json line, const char *name)
{
    return lun_json_string_in(lun_json_get(line, name), true, &r->arena, NULL);
}

static void add_header(struct lun_rebuilt *r, const char *name, const char *value)
{
    if (value && r->n_headers < LUN_REBUILT_HEADERS) r->headers[r->n_headers++] = (struct lun_pair){ name, value };
}

static void add_tags(struct lun_rebuilt *r, struct lun_json tags)
{
    struct lun_buf text = {0};
    for (struct lun_json_each e = lun_json_each(tags); lun_json_next(&e); ) {
        if (text.n) lun_buf_puts(&text, ", ");
        lun_json_string(e.key, true, &text);
        lun_buf_putc(&text, '=');
        lun_json_string(e.value, true, &text);
    }
    if (text.n) add_header(r, "x-lunette-tags", lun_arena_strdup(&r->arena, lun_buf_text(&text)));
    lun_buf_free(&text);
}

static void add_settings(struct lun_rebuilt *r, struct lun_json settings)
{
    for (struct lun_json_each e = lun_json_each(settings); r->n_settings < LUN_REBUILT_SETTINGS && lun_json_next(&e); ) {
        const char *name = lun_json_string_in(e.key, true, &r->arena, NULL), *value = lun_json_string_in(e.value, true, &r->arena, NULL);
        if (!value) value = lun_arena_strndup(&r->arena, e.value.at, e.value.n);
        if (name) r->settings[r->n_settings++] = (struct lun_pair){ name, value };
    }
}

/* The last user message; where the log was kept without text, something as long. */
static void put_text(struct lun_rebuilt *r, struct lun_json line, struct lun_buf *out)
{
    struct lun_json text = lun_json_get(line, "text");
    bool said = lun_json_type(text) == LUN_JSON_STRING;
    int64_t tokens = 0;
    misses(r, lun_arena_printf(&r->arena, "%s, tools%s and other fields of the body", said ? "earlier messages and the system's" : "message text",
                               lun_json_get(line, "max_tokens").n ? "" : ", max_tokens"));
    if (said) {
        lun_json_put_raw(out, text);
        return;
    }
    if (!lun_json_int(lun_json_path(line, "tokens.input"), &tokens) || tokens < 1) misses(r, "its length"), tokens = 1;
    if (tokens > PADDING_MOST) tokens = PADDING_MOST;
    lun_buf_putc(out, '"');
    for (int64_t i = 0; i < tokens; i++) lun_buf_puts(out, i ? " word" : "word");
    lun_buf_putc(out, '"');
}

static void put_body(struct lun_rebuilt *r, struct lun_json line, const char *model)
{
    struct lun_buf *out = &r->body;
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "model", model);
    if (lun_json_true(lun_json_get(line, "stream"))) lun_json_member_bool(out, "stream", true);
    int64_t most;
    if (lun_json_int(lun_json_get(line, "max_tokens"), &most)) lun_json_member_int(out, "max_tokens", most);
    const char *user = text_of(r, line, "user");
    if (user) lun_json_member_text(out, "user", user);
    lun_json_put_key(out, r->endpoint == LUN_ENDPOINT_CHAT ? "messages" : r->endpoint == LUN_ENDPOINT_COMPLETIONS ? "prompt" : "input");
    if (r->endpoint == LUN_ENDPOINT_CHAT) lun_buf_puts(out, "[{\"role\":\"user\",\"content\":");
    put_text(r, line, out);
    lun_buf_puts(out, r->endpoint == LUN_ENDPOINT_CHAT ? "}]}" : "}");
}

static bool read_endpoint(struct lun_rebuilt *r, struct lun_json line)
{
    for (int e = 0; e < LUN_ENDPOINT_COUNT; e++)
        if (lun_json_is(lun_json_get(line, "endpoint"), lun_endpoint_name((enum lun_endpoint)e))) return r->endpoint = (enum lun_endpoint)e, true;
    return false;
}

bool lun_rebuilt_read(struct lun_rebuilt *r, struct lun_json line, const char **why)
{
    const char *model = text_of(r, line, "model"), *session = text_of(r, line, "session");
    *why = "it has no `endpoint` that is known";
    if (!read_endpoint(r, line)) return false;
    *why = "it has no `model`: what was asked was not understood then";
    if (!model) return false;
    r->client = text_of(r, line, "key");
    if (session && *session != '~') add_header(r, "x-session-id", session);
    add_header(r, "x-lunette-task", text_of(r, line, "task"));
    add_header(r, "x-lunette-class", text_of(r, line, "class"));
    add_tags(r, lun_json_get(line, "tags"));
    add_settings(r, lun_json_get(line, "settings"));
    misses(r, "headers");
    put_body(r, line, model);
    return true;
}

void lun_rebuilt_free(struct lun_rebuilt *r)
{
    lun_buf_free(&r->body);
    lun_arena_free(&r->arena);
}

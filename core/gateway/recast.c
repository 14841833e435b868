#include "gateway/recast.h"
#include "base/json.h"
#include "base/sse.h"
#include <string.h>

static bool is_null(struct lun_json v) { return lun_json_type(v) == LUN_JSON_NULL || !v.n; }
static bool is_object(struct lun_json v) { return lun_json_type(v) == LUN_JSON_OBJECT; }
static void raw(struct lun_buf *out, struct lun_json v) { lun_buf_add(out, v.at, v.n); }

static void put_member(struct lun_buf *out, struct lun_json key, struct lun_json value)
{
    if (out->n && out->at[out->n - 1] != '{') lun_buf_putc(out, ',');
    raw(out, key);
    lun_buf_putc(out, ':');
    raw(out, value);
}

/* Each form has these of its own. The rest at the top (id, created, model …) both share. */
static bool is_own(struct lun_json key)
{
    static const char *const own[] = { "choices", "usage", "object", "obfuscation" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) if (lun_json_is(key, own[i])) return true;
    return false;
}

static void put_shared(struct lun_buf *out, struct lun_json top, const char *object)
{
    for (struct lun_json_each e = lun_json_each(top); lun_json_next(&e); ) if (!is_own(e.key)) put_member(out, e.key, e.value);
    lun_json_member_text(out, "object", object);
}

/* ---- a whole answer as events ---- */

/* Tool calls in an event say which one they are. */
static void put_calls(struct lun_buf *out, struct lun_json calls)
{
    lun_buf_putc(out, '[');
    for (struct lun_json_each e = lun_json_each(calls); lun_json_next(&e); ) {
        bool has = lun_json_get(e.value, "index").n;
        lun_buf_puts(out, e.index ? ",{" : "{");
        if (!has) {
            lun_json_member_int(out, "index", (int64_t)e.index);
        }
        for (struct lun_json_each m = lun_json_each(e.value); lun_json_next(&m); ) put_member(out, m.key, m.value);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static void put_delta(struct lun_buf *out, struct lun_json message)
{
    lun_json_put_key(out, "delta");
    lun_buf_putc(out, '{');
    for (struct lun_json_each e = lun_json_each(message); lun_json_next(&e); ) {
        if (!lun_json_is(e.key, "tool_calls") || lun_json_type(e.value) != LUN_JSON_ARRAY) { put_member(out, e.key, e.value); continue; }
        lun_json_put_key(out, "tool_calls");
        put_calls(out, e.value);
    }
    lun_buf_putc(out, '}');
}

static void begin_event(struct lun_buf *out, struct lun_json top, bool chat)
{
    lun_buf_puts(out, "data: {");
    put_shared(out, top, chat ? "chat.completion.chunk" : "text_completion");
    lun_json_put_key(out, "choices");
    lun_buf_putc(out, '[');
}

static void end_event(struct lun_buf *out, bool usage) { lun_buf_puts(out, usage ? "],\"usage\":null}\n\n" : "]}\n\n"); }

static void put_choice(struct lun_buf *out, struct lun_json top, struct lun_json choice, size_t place, bool chat, bool usage)
{
    struct lun_json reason = lun_json_get(choice, "finish_reason"), index = lun_json_get(choice, "index");
    struct lun_buf number = {0};
    lun_json_put_int(&number, (int64_t)place);
    if (lun_json_type(index) != LUN_JSON_NUMBER) index = (struct lun_json){ number.at, number.n };
    begin_event(out, top, chat);
    lun_buf_puts(out, "{\"index\":");
    raw(out, index);
    for (struct lun_json_each e = lun_json_each(choice); lun_json_next(&e); ) {
        if (lun_json_is(e.key, "index") || lun_json_is(e.key, "finish_reason")) continue;
        if (chat && lun_json_is(e.key, "message")) put_delta(out, e.value);
        else put_member(out, e.key, e.value);
    }
    lun_buf_puts(out, ",\"finish_reason\":null}");
    end_event(out, usage);
    begin_event(out, top, chat);
    lun_buf_puts(out, "{\"index\":");
    raw(out, index);
    lun_buf_puts(out, chat ? ",\"delta\":{},\"finish_reason\":" : ",\"text\":\"\",\"finish_reason\":");
    if (reason.n) raw(out, reason);
    else lun_buf_puts(out, "null");
    lun_buf_putc(out, '}');
    end_event(out, usage);
    lun_buf_free(&number);
}

/* 'c': chat, 't': completions, 0: neither. */
static char kind_of(struct lun_json choices)
{
    char kind = 0;
    for (struct lun_json_each e = lun_json_each(choices); lun_json_next(&e); ) {
        char own = is_object(lun_json_get(e.value, "message")) ? 'c' : lun_json_type(lun_json_get(e.value, "text")) == LUN_JSON_STRING ? 't' : 0;
        if (!own || (kind && own != kind)) return 0;
        kind = own;
    }
    return kind;
}

bool lun_recast_events(const char *whole, size_t n, bool usage, struct lun_buf *out)
{
    struct lun_json top, choices, used;
    if (!lun_json_check(whole, n, &top, NULL)) return false;
    choices = lun_json_get(top, "choices");
    used = lun_json_get(top, "usage");
    char kind = kind_of(choices);
    if (!kind) return false;
    usage = usage && is_object(used);
    for (struct lun_json_each e = lun_json_each(choices); lun_json_next(&e); ) put_choice(out, top, e.value, e.index, kind == 'c', usage);
    if (!usage) return true;
    begin_event(out, top, kind == 'c');
    lun_buf_puts(out, "],\"usage\":");
    raw(out, used);
    lun_buf_puts(out, "}\n\n");
    return true;
}

/* ---- events ---- */

/* The data of each event that is a JSON object; false: there is none any more. */
static bool next_data(struct lun_sse *sse, const char **at, const char *end, struct lun_json *data)
{
    struct lun_sse_event e;
    for (enum lun_sse_kind kind; (kind = lun_sse_next(sse, *at, (size_t)(end - *at), &e)) == LUN_SSE_EVENT || kind == LUN_SSE_QUIET; ) {
        *at += e.raw;
        if (e.data && e.data_n && lun_json_check(e.data, e.data_n, data, NULL) && is_object(*data)) return true;
    }
    return false;
}

static void put_usage(struct lun_buf *out, const struct lun_usage *u)
{
    lun_json_put_key(out, "usage");
    lun_buf_printf(out, "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld", (long long)u->input, (long long)u->output, (long long)(u->input + u->output));
    if (u->cached_input) lun_buf_printf(out, ",\"prompt_tokens_details\":{\"cached_tokens\":%lld}", (long long)u->cached_input);
    if (u->reasoning) lun_buf_printf(out, ",\"completion_tokens_details\":{\"reasoning_tokens\":%lld}", (long long)u->reasoning);
    lun_buf_putc(out, '}');
}

void lun_recast_usage(const char *events, size_t n, const struct lun_usage *usage, struct lun_buf *out)
{
    struct lun_sse sse = { .limit = n + 1 };
    const char *at = events;
    struct lun_json top = {0};
    next_data(&sse, &at, events + n, &top);
    lun_buf_puts(out, "data: {");
    put_shared(out, top, lun_json_is(lun_json_get(top, "object"), "text_completion") ? "text_completion" : "chat.completion.chunk");
    lun_json_put_key(out, "choices");
    lun_buf_puts(out, "[]");
    put_usage(out, usage);
    lun_buf_puts(out, "}\n\n");
    lun_sse_free(&sse);
}

/* ---- events as a whole answer ---- */

#define CHOICES 128
#define CALLS   128

struct call { struct lun_buf id, type, name, arguments; bool there; };
struct choice {
    bool there;
    struct lun_buf role, content, refusal, reasoning, reasoning_content, text;
    bool has_content, has_refusal, has_reasoning, has_reasoning_content;
    struct call calls[CALLS]; int n_calls;
    struct lun_buf finish;
};
struct whole { struct choice *choice[CHOICES]; int n; bool chat; struct lun_arena arena; struct lun_json first, spoken; struct lun_buf usage; };    /* spoken: the first with a choice */

/* Strings stay as they are written: half of a pair of surrogates at the end of one meets its other half at the beginning of the next. */
static bool append(struct lun_buf *b, struct lun_json v)
{
    if (lun_json_type(v) != LUN_JSON_STRING) return false;
    lun_buf_add(b, v.at + 1, v.n - 2);
    return true;
}

static bool append_said(struct lun_buf *b, bool *has, struct lun_json v)
{
    *has = true;
    return append(b, v);
}

/* Said once, or the same each time, or nothing later on: two ids under one index are two calls, which would become one. */
static bool replace(struct lun_buf *b, struct lun_json v)
{
    if (!b->n) return append(b, v);
    return lun_json_type(v) == LUN_JSON_STRING && (v.n == 2 || (v.n - 2 == b->n && !memcmp(v.at + 1, b->at, b->n)));
}

static bool add_function(struct call *c, struct lun_json function)
{
    if (!is_object(function)) return false;
    for (struct lun_json_each e = lun_json_each(function); lun_json_next(&e); ) {
        if (is_null(e.value)) continue;
        bool good = lun_json_is(e.key, "name") ? append(&c->name, e.value) : lun_json_is(e.key, "arguments") && append(&c->arguments, e.value);
        if (!good) return false;
    }
    return true;
}

static bool add_call(struct choice *c, struct lun_json call, size_t place)
{
    int64_t index = (int64_t)place;
    struct lun_json said = lun_json_get(call, "index");
    if (!is_object(call) || (said.n && !lun_json_int(said, &index)) || index < 0 || index >= CALLS) return false;
    struct call *k = &c->calls[index];
    k->there = true;
    if (index >= c->n_calls) c->n_calls = (int)index + 1;
    for (struct lun_json_each e = lun_json_each(call); lun_json_next(&e); ) {
        if (is_null(e.value) || lun_json_is(e.key, "index")) continue;
        bool good = lun_json_is(e.key, "id") ? replace(&k->id, e.value) : lun_json_is(e.key, "type") ? replace(&k->type, e.value)
            : lun_json_is(e.key, "function") && add_function(k, e.value);
        if (!good) return false;
    }
    return true;
}

static bool add_calls(struct choice *c, struct lun_json calls)
{
    if (lun_json_type(calls) != LUN_JSON_ARRAY) return false;
    for (struct lun_json_each e = lun_json_each(calls); lun_json_next(&e); ) if (!add_call(c, e.value, e.index)) return false;
    return true;
}

static bool add_said(struct choice *c, struct lun_json key, struct lun_json v)
{
    if (lun_json_is(key, "role")) return replace(&c->role, v);
    if (lun_json_is(key, "content")) return append_said(&c->content, &c->has_content, v);
    if (lun_json_is(key, "refusal")) return append_said(&c->refusal, &c->has_refusal, v);
    if (lun_json_is(key, "reasoning")) return append_said(&c->reasoning, &c->has_reasoning, v);
    if (lun_json_is(key, "reasoning_content")) return append_said(&c->reasoning_content, &c->has_reasoning_content, v);
    return lun_json_is(key, "tool_calls") && add_calls(c, v);
}

static bool add_delta(struct choice *c, struct lun_json delta)
{
    if (!is_object(delta)) return false;
    for (struct lun_json_each e = lun_json_each(delta); lun_json_next(&e); )
        if (!is_null(e.value) && !add_said(c, e.key, e.value)) return false;
    return true;
}

static bool add_choice(struct whole *w, struct lun_json choice, size_t place)
{
    int64_t index = (int64_t)place;
    struct lun_json said = lun_json_get(choice, "index");
    if (!is_object(choice) || (said.n && !lun_json_int(said, &index)) || index < 0 || index >= CHOICES) return false;
    struct choice *c = w->choice[index];
    if (!c) c = w->choice[index] = lun_arena_zalloc(&w->arena, sizeof *c);
    if (index >= w->n) w->n = (int)index + 1;
    for (struct lun_json_each e = lun_json_each(choice); lun_json_next(&e); ) {
        bool chat = lun_json_is(e.key, "delta");
        w->chat |= chat;
        if (is_null(e.value) || lun_json_is(e.key, "index")) continue;
        bool good = chat ? add_delta(c, e.value) : lun_json_is(e.key, "text") ? append(&c->text, e.value) : lun_json_is(e.key, "finish_reason") && replace(&c->finish, e.value);
        if (!good) return false;
    }
    return true;
}

static struct lun_json member(struct lun_json event, struct lun_json key)
{
    for (struct lun_json_each e = lun_json_each(event); lun_json_next(&e); )
        if (e.key.n == key.n && !memcmp(e.key.at, key.at, key.n)) return e.value;
    return (struct lun_json){0};
}

/* What all events say at the top is the first one's. What only a later one says would be lost. */
static bool says_more(const struct whole *w, struct lun_json event)
{
    for (struct lun_json_each e = lun_json_each(event); lun_json_next(&e); )
        if (!is_own(e.key) && !is_null(e.value) && !member(w->first, e.key).n) return true;
    return false;
}

static struct lun_json kept(struct whole *w, struct lun_json event) { return (struct lun_json){ lun_arena_strndup(&w->arena, event.at, event.n), event.n }; }

static bool add_event(struct whole *w, struct lun_json event)
{
    struct lun_json usage = lun_json_get(event, "usage");
    if (!w->first.n) w->first = kept(w, event);
    else if (says_more(w, event)) return false;
    if (!w->spoken.n && lun_json_count(lun_json_get(event, "choices"))) w->spoken = kept(w, event);
    if (is_object(usage)) {
        w->usage.n = 0;
        raw(&w->usage, usage);
    }
    for (struct lun_json_each e = lun_json_each(lun_json_get(event, "choices")); lun_json_next(&e); )
        if (!add_choice(w, e.value, e.index)) return false;
    return true;
}

static void put_string(struct lun_buf *out, const char *name, const struct lun_buf *text, bool there)
{
    if (!there) return;
    lun_json_put_key(out, name);
    lun_buf_putc(out, '"');
    lun_buf_add(out, text->at, text->n);
    lun_buf_putc(out, '"');
}

static void put_tool_calls(struct lun_buf *out, const struct choice *c)
{
    bool first = true;
    if (!c->n_calls) return;
    lun_json_put_key(out, "tool_calls");
    lun_buf_putc(out, '[');
    for (const struct call *k = c->calls; k < c->calls + c->n_calls; k++) {
        if (!k->there) continue;
        lun_buf_puts(out, first ? "{" : ",{");
        first = false;
        put_string(out, "id", &k->id, k->id.n);
        put_string(out, "type", &k->type, k->type.n);
        lun_json_put_key(out, "function");
        lun_buf_putc(out, '{');
        put_string(out, "name", &k->name, true);
        put_string(out, "arguments", &k->arguments, true);
        lun_buf_puts(out, "}}");
    }
    lun_buf_putc(out, ']');
}

static void put_message(struct lun_buf *out, const struct choice *c)
{
    lun_json_put_key(out, "message");
    lun_buf_putc(out, '{');
    if (c->role.n) put_string(out, "role", &c->role, true);
    else lun_buf_puts(out, "\"role\":\"assistant\"");
    if (c->has_content) put_string(out, "content", &c->content, true);
    else lun_buf_puts(out, ",\"content\":null");
    put_string(out, "refusal", &c->refusal, c->has_refusal);
    put_string(out, "reasoning", &c->reasoning, c->has_reasoning);
    put_string(out, "reasoning_content", &c->reasoning_content, c->has_reasoning_content);
    put_tool_calls(out, c);
    lun_buf_putc(out, '}');
}

/* Azure's first event is about the prompt: its id and its model are empty. They are as the first says them that has a choice. */
static void put_top(struct lun_buf *out, const struct whole *w)
{
    for (struct lun_json_each e = lun_json_each(w->first); lun_json_next(&e); ) {
        struct lun_json spoken = member(w->spoken, e.key);
        if (!is_own(e.key)) put_member(out, e.key, is_null(spoken) ? e.value : spoken);
    }
    lun_json_member_text(out, "object", w->chat ? "chat.completion" : "text_completion");
}

static void put_whole(struct whole *w, const struct lun_usage *usage, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    put_top(out, w);
    lun_json_put_key(out, "choices");
    lun_buf_putc(out, '[');
    for (int i = 0; i < w->n; i++) {
        const struct choice *c = w->choice[i];
        lun_buf_printf(out, "%s{\"index\":%d", i ? "," : "", i);
        if (w->chat) put_message(out, c);
        else put_string(out, "text", &c->text, true);
        if (c->finish.n) put_string(out, "finish_reason", &c->finish, true);
        else lun_buf_puts(out, ",\"finish_reason\":null");
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
    if (w->usage.n) {
        lun_json_put_key(out, "usage");
        lun_buf_add(out, w->usage.at, w->usage.n);
    } else if (usage && usage->known && !usage->estimated) put_usage(out, usage);
    lun_buf_putc(out, '}');
}

static void free_choice(struct choice *c)
{
    lun_buf_free(&c->role); lun_buf_free(&c->content); lun_buf_free(&c->refusal); lun_buf_free(&c->reasoning);
    lun_buf_free(&c->reasoning_content); lun_buf_free(&c->text); lun_buf_free(&c->finish);
    for (struct call *k = c->calls; k < c->calls + c->n_calls; k++) {
        lun_buf_free(&k->id); lun_buf_free(&k->type); lun_buf_free(&k->name); lun_buf_free(&k->arguments);
    }
}

bool lun_recast_whole(const char *events, size_t n, const struct lun_usage *usage, struct lun_buf *out)
{
    struct whole w = {0};
    struct lun_sse sse = { .limit = n + 1 };
    const char *at = events;
    struct lun_json event;
    bool good = true;
    while (good && next_data(&sse, &at, events + n, &event)) good = add_event(&w, event);
    for (int i = 0; i < w.n; i++) good &= w.choice[i] != NULL;
    good &= w.n > 0;
    if (good) put_whole(&w, usage, out);
    for (int i = 0; i < w.n; i++) if (w.choice[i]) free_choice(w.choice[i]);
    lun_arena_free(&w.arena);
    lun_buf_free(&w.usage);
    lun_sse_free(&sse);
    return good;
}

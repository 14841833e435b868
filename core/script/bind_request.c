/* `request` and `request.key`: what the client asked, as policies read it. */
#include "script/bind.h"
#include <string.h>
#include "base/loop.h"
#include "script/sandbox.h"
#include "state/cache_key.h"

#define SCANNED ((size_t)8 << 20)       /* a larger body is not searched for one of its fields: it would take longer than a hook may */

#define CHOICE  64                     /* bytes of a field that is a choice and no text */

struct key { struct lun_box box; };

/* ---- fields ---- */

#define GET(name) static int get_##name(lua_State *L, struct lun_mind *mind, void *self)
#define TEXT_FIELD(name, value) GET(name) { (void)self; struct lun_question *q = mind->question; return lun_push_text(L, value); }
#define NUMBER_FIELD(name, value) GET(name) { (void)self; struct lun_question *q = mind->question; lua_pushnumber(L, (double)(value)); return 1; }
/* What is not the same for requests that are equal otherwise: the response cache has to know that it was looked at. What `finish` looks at decides
 * nothing any more. */
static void reads(const struct lun_mind *mind, unsigned what)
{
    if (mind->hook != LUN_HOOK_FINISH) lun_question_read(mind->question, what);
}
#define READ_TEXT_FIELD(name, what, value) GET(name) { (void)self; struct lun_question *q = mind->question; reads(mind, what); return lun_push_text(L, value); }
#define BOOL_FIELD(name, value) GET(name) { (void)self; struct lun_question *q = mind->question; lua_pushboolean(L, value); return 1; }

static struct lun_question *in_body(struct lun_question *q)
{
    lun_question_miss(q, LUN_UNSAID_BODY);
    return q;
}

TEXT_FIELD(model, q->model)
TEXT_FIELD(endpoint, lun_endpoint_name(q->endpoint))
READ_TEXT_FIELD(user, LUN_READS_USER, q->user)
READ_TEXT_FIELD(session, LUN_READS_SESSION, q->session)
TEXT_FIELD(pinned, q->pinned)
TEXT_FIELD(task, q->task)
TEXT_FIELD(class, q->class)
TEXT_FIELD(label, q->n_labels ? q->labels[0] : NULL)
TEXT_FIELD(id, q->id)
BOOL_FIELD(has_code, lun_question_has_code(q))
BOOL_FIELD(has_tools, in_body(q)->has_tools)
BOOL_FIELD(has_image, in_body(q)->has_image)
BOOL_FIELD(has_schema, in_body(q)->has_schema)
NUMBER_FIELD(words, lun_question_words(q))
NUMBER_FIELD(chars, lun_question_chars(q))
NUMBER_FIELD(messages, lun_question_messages(in_body(q)))

GET(tokens)
{
    (void)self;
    lun_question_miss(mind->question, LUN_UNSAID_TOKENS);
    lua_pushnumber(L, (double)lun_question_tokens(mind->question));
    return 1;
}

GET(stream)
{
    (void)self;
    reads(mind, LUN_READS_STREAM);
    lua_pushboolean(L, mind->question->stream);
    return 1;
}

GET(client_retry)
{
    (void)self;
    reads(mind, LUN_READS_RETRY);
    lun_question_miss(mind->question, LUN_UNSAID_HEADERS);
    lua_pushnumber(L, mind->question->client_retry);
    return 1;
}

GET(text)
{
    size_t n;
    const char *text = lun_question_text(mind->question, &n);
    (void)self;
    lua_pushlstring(L, text ? text : "", n);
    return 1;
}

GET(max_tokens)
{
    (void)self;
    if (mind->question->max_tokens < 0) lua_pushnil(L);
    else lua_pushnumber(L, (double)mind->question->max_tokens);
    return 1;
}

GET(budget) { (void)self; return lun_push_usd(L, mind->question->budget); }

GET(deadline)
{
    const struct lun_question *q = mind->question;
    lun_us left = q->deadline == LUN_NEVER ? LUN_NEVER : q->deadline - q->loop->now;
    (void)self;
    return lun_push_seconds(L, left < 0 ? 0 : left, -1);
}

GET(labels)
{
    const struct lun_question *q = mind->question;
    (void)self;
    lua_createtable(L, q->n_labels, 0);
    for (int i = 0; i < q->n_labels; i++) {
        lua_pushstring(L, q->labels[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lun_sandbox_freeze(L);
    return 1;
}

GET(headers)
{
    (void)self;
    reads(mind, LUN_READS_HEADERS);
    lun_question_miss(mind->question, LUN_UNSAID_HEADERS);
    if (lun_bind_kept(L, mind, LUN_KEPT_HEADERS)) return 1;
    lun_push_pairs(L, mind->question->headers, mind->question->n_headers);
    lun_bind_keep(L, mind, LUN_KEPT_HEADERS);
    return 1;
}

GET(tags)
{
    (void)self;
    if (lun_bind_kept(L, mind, LUN_KEPT_TAGS)) return 1;
    lun_push_pairs(L, mind->question->tags, mind->question->n_tags);
    lun_bind_keep(L, mind, LUN_KEPT_TAGS);
    return 1;
}

GET(attempts)
{
    int n = 0;
    (void)self;
    lua_newtable(L);
    for (const struct lun_trial *t = mind->question->trials; t; t = t->next) {
        lun_push_attempt(L, mind, t);
        lua_rawseti(L, -2, ++n);
    }
    lun_sandbox_freeze(L);
    return 1;
}

GET(targets)
{
    (void)self;
    lun_push_targets(L, mind);
    return 1;
}

GET(key)
{
    (void)self;
    reads(mind, LUN_READS_CLIENT);
    if (lun_bind_kept(L, mind, LUN_KEPT_KEY)) return 1;
    lun_class_new(L, &lun_key_class, mind, sizeof(struct key));
    lun_bind_keep(L, mind, LUN_KEPT_KEY);
    return 1;
}

/* ---- methods ---- */

static int decoded(lua_State *L, struct lun_json value)
{
    const char *why = NULL;
    return lun_push_json(L, value, &why) ? 1 : lun_bind_nil(L, why);
}

static struct lun_json body_of(const struct lun_question *q) { return (struct lun_json){ q->body, q->body ? q->body_n : 0 }; }

/* The text of a message's content: a string, or the text parts of a list, joined by line feeds. */
static void put_content(struct lun_buf *out, struct lun_json content)
{
    if (lun_json_type(content) == LUN_JSON_STRING) lun_json_string(content, false, out);
    if (lun_json_type(content) != LUN_JSON_ARRAY) return;
    for (struct lun_json_each e = lun_json_each(content); lun_json_next(&e); ) {
        struct lun_json text = lun_json_get(e.value, "text");
        if (lun_json_type(text) != LUN_JSON_STRING) continue;
        if (out->n) lun_buf_putc(out, '\n');
        lun_json_string(text, false, out);
    }
}

static int push_message(lua_State *L, struct lun_json message)
{
    struct lun_json content = lun_json_get(message, "content"), role = lun_json_get(message, "role");
    struct lun_buf *out = lun_bind_scratch(L);
    if (message.n > LUN_BIND_TEXT) return lun_bind_nil(L, "too_large");
    lua_createtable(L, 0, 2);
    lun_json_string(role, false, out);
    lua_pushlstring(L, out->n ? out->at : "", out->n);
    lua_setfield(L, -2, "role");
    out->n = 0;
    put_content(out, content);
    lua_pushlstring(L, out->n ? out->at : "", out->n);
    lua_setfield(L, -2, "text");
    return 1;
}

static int request_message(lua_State *L)
{
    struct lun_mind *mind;
    lun_class_check(L, 1, &lun_request_class, &mind);
    double wanted = luaL_checknumber(L, 2);
    struct lun_question *q = mind->question;
    lun_question_miss(q, LUN_UNSAID_TEXT | LUN_UNSAID_BODY);
    struct lun_json messages = q->body ? lun_json_of(q->body, &q->fields[LUN_FIELD_messages]) : (struct lun_json){ 0 };
    lun_vm_work(L, (int64_t)(messages.n >> 4));
    double at = wanted < 0 ? (double)lun_json_count(messages) + wanted : wanted - 1;
    for (struct lun_json_each e = lun_json_each(messages); lun_json_next(&e); )
        if ((double)e.index == at) return push_message(L, e.value);
    lua_pushnil(L);
    return 1;
}

static bool routing_field(const struct lun_question *q, const char *name, struct lun_json *value)
{
    for (int i = 0; i < LUN_FIELD_COUNT; i++)
        if (!strcmp(lun_question_keys.name[i], name)) {
            *value = lun_json_of(q->body, &q->fields[i]);
            return true;
        }
    return false;
}

static int request_param(lua_State *L)
{
    struct lun_mind *mind;
    lun_class_check(L, 1, &lun_request_class, &mind);
    const char *name = luaL_checkstring(L, 2);
    const struct lun_question *q = mind->question;
    struct lun_json value = { 0 };
    if (!q->body) return 0;
    reads(mind, lun_cache_key_field(name));
    lun_question_miss(mind->question, strcmp(name, "messages") ? LUN_UNSAID_BODY : LUN_UNSAID_TEXT | LUN_UNSAID_BODY);
    if (!routing_field(q, name, &value)) {
        if (q->body_n > SCANNED) return lun_bind_nil(L, "too_large");
        value = lun_json_get(body_of(q), name);
        lun_vm_work(L, (int64_t)(q->body_n >> 4));
    }
    if (!value.n) return 0;
    return decoded(L, value);
}

/* Short texts such as `high` are choices; but not where what is said to the model stands. */
static bool param_says(lua_State *L, int results)
{
    static const char *const content[] = { "messages", "system", "prompt", "input", "suffix", "prediction" };
    int type = results > 0 ? lua_type(L, -results) : LUA_TNIL;
    if (type == LUA_TNIL || type == LUA_TNUMBER || type == LUA_TBOOLEAN) return false;
    if (type != LUA_TSTRING || lua_objlen(L, -results) > CHOICE) return true;
    for (size_t i = 0; i < sizeof content / sizeof *content; i++) if (!strcmp(lua_tostring(L, 2), content[i])) return true;
    return false;
}

static int request_body(lua_State *L)
{
    struct lun_mind *mind;
    lun_class_check(L, 1, &lun_request_class, &mind);
    if (!mind->question->body) return lun_bind_nil(L, "no_body");
    reads(mind, LUN_READS_BODY | LUN_READS_STREAM);
    lun_question_miss(mind->question, LUN_UNSAID_TEXT | LUN_UNSAID_BODY);
    return decoded(L, body_of(mind->question));
}

/* ---- key ---- */

GET(key_name) { (void)self; return lun_push_text(L, mind->question->client ? mind->question->client->name : NULL); }

GET(key_team)
{
    const struct lun_client_rule *c = mind->question->client;
    (void)self;
    return lun_push_text(L, c && c->team ? c->team->name : NULL);
}

GET(key_tags)
{
    const struct lun_client_rule *c = mind->question->client;
    (void)self;
    if (lun_bind_kept(L, mind, LUN_KEPT_KEY_TAGS)) return 1;
    lun_push_pairs(L, c ? c->tags : NULL, c ? c->n_tags : 0);
    lun_bind_keep(L, mind, LUN_KEPT_KEY_TAGS);
    return 1;
}

/* ---- classes ---- */

static const struct lun_member request_members[] = {
    { "model", NULL, "string", "the model asked for, `auto` too", get_model, .fixed = true },
    { "endpoint", NULL, "string", "`chat`, `completions` or `embeddings`", get_endpoint,
      .lua = "\"chat\"|\"completions\"|\"embeddings\"", .fixed = true },
    { "stream", NULL, "boolean", "whether the client wants a stream", get_stream, .fixed = true },
    { "text", NULL, "string", "the text of the last user message (completions: the prompt; embeddings: the first input)", get_text, .says = lun_class_says },
    { "words", NULL, "number", "words of `text`", get_words },
    { "chars", NULL, "number", "characters of `text`: code points without combining marks", get_chars },
    { "tokens", NULL, "number", "tokens of the whole input, estimated (how well: `core/state/README.md`)", get_tokens },
    { "max_tokens", NULL, "number or nil", "the output cap the client asked for", get_max_tokens },
    { "messages", NULL, "number", "how many messages there are", get_messages },
    { "has_code", NULL, "boolean", "`text` looks like it holds program code", get_has_code },
    { "has_tools", NULL, "boolean", "the client offers tools", get_has_tools },
    { "has_image", NULL, "boolean", "there is an image in it", get_has_image },
    { "has_schema", NULL, "boolean", "the client wants JSON of a given schema", get_has_schema },
    { "user", NULL, "string or nil", "who asks, as the client says", get_user },
    { "session", NULL, "string or nil", "what belongs together: goes to the same target for its prompt cache", get_session },
    { "pinned", NULL, "string or nil", "`previous_response_id`: only the target that made that answer can go on with it", get_pinned },
    { "task", NULL, "string or nil", "from `x-lunette-task` or `metadata.task`, where the client is trusted with it", get_task },
    { "class", NULL, "string or nil", "`interactive`, `batch`, …", get_class },
    { "tags", NULL, "table", "from the client's entry, `x-lunette-tags` and `metadata.tags`: `request.tags.tier`. Read-only", get_tags,
      .lua = "table<string, string>" },
    { "budget", NULL, "number or nil", "USD that this request may cost, as the client says", get_budget },
    { "labels", NULL, "list", "what `classify` answered. Read-only", get_labels },
    { "label", NULL, "string or nil", "the first of `labels`", get_label },
    { "headers", NULL, "table", "by lower-case name, without those that carry a secret. Read-only", get_headers,
      .lua = "table<string, string>" },
    { "key", NULL, "key", "the entry of `clients` that asks", get_key, .fixed = true },
    { "deadline", NULL, "number", "seconds that are left for everything", get_deadline },
    { "attempts", NULL, "list of attempt", "those so far, in order", get_attempts },
    { "targets", NULL, "targets", "what `select` is given: for the other hooks", get_targets, .fixed = true },
    { "client_retry", NULL, "number", "how often the client's SDK has retried this already; 0 the first time", get_client_retry },
    { "id", NULL, "string", "the request's id, as in the log", get_id },
    { "message", "(i)", "table or nil", "`{ role =, text = }` of the i-th message; -1 is the last. nil past the ends", NULL, request_message,
      .lua = "(i: integer): { role: string, text: string }?", .says = lun_class_says },
    { "param", "(name)", "any", "a field of the body, decoded; nil when it is not there. Over 256 KiB: `nil, \"too_large\"`", NULL, request_param,
      .lua = "(name: string): any, string?", .says = param_says },
    { "body", "()", "table or nil", "the whole body, decoded. Over 256 KiB: `nil, \"too_large\"`", NULL, request_body,
      .lua = "(): table?, string?", .says = lun_class_says },
    { 0 } };
const struct lun_class lun_request_class = {
    .id = LUN_CLASS_request, .name = "request", .doc = "What the client asked. The first argument of every hook.", .members = request_members };

static const struct lun_member key_members[] = {
    { "name", NULL, "string or nil", "nil on a gateway without `clients`", get_key_name },
    { "team", NULL, "string or nil", "its team", get_key_team },
    { "tags", NULL, "table", "its own tags. Read-only", get_key_tags, .lua = "table<string, string>" },
    { 0 } };
const struct lun_class lun_key_class = { .id = LUN_CLASS_key, .name = "key", .doc = "Who asks: `request.key`.", .members = key_members };

void lun_push_request(lua_State *L, struct lun_mind *mind)
{
    if (lun_bind_kept(L, mind, LUN_KEPT_REQUEST)) return;
    lun_class_new(L, &lun_request_class, mind, sizeof(struct lun_box));
    lun_bind_keep(L, mind, LUN_KEPT_REQUEST);
}

/* Functions that wait: sleep, http, chat. Each checks its arguments, writes the wish down and yields; the wish's strings are the values
 * yielded, so that they live on the run's stack until it is fulfilled. */
#include "script/bind.h"
#include <math.h>
#include <string.h>
#include <strings.h>
#include "base/text.h"
#include "script/url.h"

#define LONGEST_SLEEP (24 * 3600.0)
#define LONGEST_ASK   600.0
#define HEADERS       32
#define HEADERS_MOST  ((size_t)64 << 10)      /* bytes of all of them */
#define BODY_MOST     ((size_t)1 << 20)
#define ANSWER_MOST   ((size_t)1 << 20)

static lun_us seconds_of(lua_State *L, int index, double most, const char *what)
{
    double s = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : NAN;
    if (!(s >= 0 && s <= most)) luaL_error(L, "%s is to be a number of seconds from 0 to %d", what, (int)most);
    return lun_us_from_seconds(s);
}

int lun_wish_sleep(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.sleep");
    lun_us delay = seconds_of(L, 1, LONGEST_SLEEP, "sleep(s): s");
    mind->wish = (struct lun_wish){ .kind = LUN_WISH_SLEEP, .delay = delay };
    return lun_vm_wish(L, 0);
}

/* ---- options ---- */

static void check_options(lua_State *L, const char *function, const char *const *names, size_t n)
{
    if (lua_type(L, 1) != LUA_TTABLE) luaL_error(L, "%s{…}: expected a table of options, got %s", function, lun_bind_type(L, 1));
    lun_bind_names(L, 1, function, names, n);
}

/* Pushes the option; gives its type. */
static int option(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, 1);
    return lua_type(L, -1);
}

/* Pushes a text and leaves it there; NULL and nil when it is not given. */
static const char *text_option(lua_State *L, const char *function, const char *name, size_t most)
{
    int type = option(L, name);
    if (type == LUA_TNIL) return NULL;
    if (type != LUA_TSTRING) luaL_error(L, "%s: %s is to be a text, got %s", function, name, lun_bind_type(L, -1));
    if (lua_objlen(L, -1) > most) luaL_error(L, "%s: %s is over %d bytes long", function, name, (int)most);
    return lua_tostring(L, -1);
}

static lun_us time_option(lua_State *L, const char *function, lun_us otherwise)
{
    bool given = option(L, "timeout") != LUA_TNIL;
    char what[32];
    strcat(strcpy(what, function), ": timeout");
    lun_us time = given ? seconds_of(L, -1, LONGEST_ASK, what) : otherwise;
    lua_pop(L, 1);
    return time;
}

/* ---- http ---- */

static bool is_token(const char *text, size_t n)        /* RFC 9110, 5.6.2 */
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && (!c || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return n > 0;
}

static bool is_value(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f) return false;
    return true;
}

static bool is_framing(const char *name)
{
    static const char *const names[] = { "host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) if (!strcasecmp(names[i], name)) return true;
    return false;
}

/* The table of headers on top of the stack becomes an array of pairs. It may be changed while the wish waits, by another request's hook:
 * so the strings are kept in a table of our own, below the array on the stack. */
static int read_headers(lua_State *L, struct lun_pair **out)
{
    int n = 0, given = lua_gettop(L);
    size_t all = 0;
    if (lua_type(L, -1) != LUA_TTABLE) return luaL_error(L, "http: headers is to be a table of names and texts, got %s", lun_bind_type(L, -1));
    lua_newtable(L);
    struct lun_pair *pairs = lua_newuserdata(L, HEADERS * sizeof *pairs);
    for (lua_pushnil(L); lua_next(L, given); lua_pop(L, 1)) {
        size_t name_n, value_n;
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) return luaL_error(L, "http: headers is to be a table of names and texts");
        const char *name = lua_tolstring(L, -2, &name_n), *value = lua_tolstring(L, -1, &value_n);
        if (n == HEADERS) return luaL_error(L, "http: over %d headers", HEADERS);
        if ((all += name_n + value_n) > HEADERS_MOST) return luaL_error(L, "http: headers of over %d KiB in all", (int)(HEADERS_MOST >> 10));
        if (!is_token(name, name_n) || !is_value(value, value_n)) return luaL_error(L, "http: header '%s' has a character that no header has", name);
        if (is_framing(name)) return luaL_error(L, "http: header '%s' is the gateway's to send", name);
        pairs[n++] = (struct lun_pair){ name, value };
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, given + 1);
    }
    *out = pairs;
    return n;
}

static const char *method_option(lua_State *L, bool body)
{
    const char *method = text_option(L, "http", "method", 16);
    if (!method) return body ? "POST" : "GET";
    if (!is_token(method, strlen(method)) || !strcasecmp(method, "CONNECT")) luaL_error(L, "http: '%s' is no method to ask with", method);
    return method;
}

int lun_wish_http(lua_State *L)
{
    static const char *const names[] = { "url", "method", "headers", "body", "timeout" };
    struct lun_mind *mind = lun_bind_mind(L, "lunette.http");
    struct lun_wish w = { .kind = LUN_WISH_HTTP };
    struct lun_pair *headers = NULL;
    lua_settop(L, 1);
    check_options(L, "http", names, sizeof names / sizeof *names);
    w.http.url = text_option(L, "http", "url", 4096);
    if (!w.http.url) return luaL_error(L, "http: url is missing");
    const char *problem = lun_url_problem(w.http.url, lua_objlen(L, -1));
    if (problem) return luaL_error(L, "http: url: %s", problem);
    const struct lun_snapshot *s = mind->question->snapshot;
    if (s->http_said && !lun_url_allowed(w.http.url, s->http_allow, s->n_http_allow)) return luaL_error(L, "http: url: its host is none of http.allow in the configuration");
    w.http.body = text_option(L, "http", "body", BODY_MOST);
    w.http.body_n = w.http.body ? lua_objlen(L, -1) : 0;
    w.http.method = method_option(L, w.http.body);
    if (option(L, "headers") != LUA_TNIL) w.http.n_headers = read_headers(L, &headers);
    w.http.headers = headers;
    w.http.timeout = time_option(L, "http", 5 * LUN_SECOND);
    mind->wish = w;
    return lun_vm_wish(L, lua_gettop(L));
}

/* ---- chat ---- */

static void put_message(struct lun_buf *out, const char *role, const char *text, size_t n)
{
    lun_buf_printf(out, "{\"role\":\"%s\",\"content\":", role);
    lun_json_put_string(out, text, n);
    lun_buf_putc(out, '}');
}

/* Pushes the JSON array of messages: those given, or one of the text, with what the system is to say (argument 2) before them. */
static const char *messages_option(lua_State *L)
{
    size_t n, system_n;
    const char *text = text_option(L, "chat", "text", LUN_BIND_TEXT), *system = luaL_optlstring(L, 2, NULL, &system_n), *why;
    if (text) n = lua_objlen(L, -1);
    int type = option(L, "messages");
    if (!text == (type == LUA_TNIL)) luaL_error(L, "chat: one of text and messages is to be given, and not both");
    struct lun_buf *out = lun_bind_scratch(L);
    lun_buf_putc(out, '[');
    if (system) put_message(out, "system", system, system_n);
    if (system) lun_buf_putc(out, ',');
    if (text) put_message(out, "user", text, n);
    if (text) lun_buf_putc(out, ']');
    else {
        size_t from = out->n;
        if ((why = lun_bind_encode(L, -1, out, LUN_BIND_TEXT))) luaL_error(L, "chat: messages %s", why);
        if (out->n < from + 3 || out->at[from] != '[') luaL_error(L, "chat: messages is to be a list of { role =, content = }");
        memmove(out->at + from, out->at + from + 1, --out->n - from);       /* its own bracket */
    }
    lua_pushlstring(L, out->at, out->n);
    return lua_tostring(L, -1);
}

static int64_t cap_option(lua_State *L)
{
    if (option(L, "max_tokens") == LUA_TNIL) { lua_pop(L, 1); return -1; }
    double n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
    lua_pop(L, 1);
    if (!(n >= 1 && n <= 1e9) || n != floor(n)) luaL_error(L, "chat: max_tokens is to be a whole number, 1 or more");
    return (int64_t)n;
}

static bool pay_option(lua_State *L)
{
    const char *pay = text_option(L, "chat", "pay", 64);
    if (pay && strcmp(pay, "total") && strcmp(pay, "key")) luaL_error(L, "chat: pay is \"key\" (the request's own, the default) or \"total\"");
    bool total = pay && !strcmp(pay, "total");
    lua_pop(L, 1);
    return total;
}

int lun_wish_chat(lua_State *L)
{
    static const char *const names[] = { "model", "text", "messages", "choices", "timeout", "max_tokens", "pay" };
    struct lun_mind *mind = lun_bind_mind(L, "lunette.chat");
    struct lun_wish w = { .kind = LUN_WISH_CHAT };
    lua_settop(L, 2);
    check_options(L, "chat", names, sizeof names / sizeof *names);
    w.chat.model = text_option(L, "chat", "model", 256);
    if (!w.chat.model) return luaL_error(L, "chat: model is missing");
    w.chat.messages = messages_option(L);
    w.chat.timeout = time_option(L, "chat", 10 * LUN_SECOND);
    w.chat.max_tokens = cap_option(L);
    w.chat.pay_total = pay_option(L);
    mind->wish = w;
    return lun_vm_wish(L, lua_gettop(L));
}

/* ---- what came of it ---- */

static int push_http(lua_State *L, const struct lun_wish_result *r)
{
    if (r->body_n > ANSWER_MOST) return lun_bind_nil(L, "too_large");
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, r->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, r->body ? r->body : "", r->body ? r->body_n : 0);
    lua_setfield(L, -2, "body");
    lua_newtable(L);
    for (int i = 0; i < r->n_headers; i++) {
        lua_pushstring(L, r->headers[i].name);
        lua_pushstring(L, r->headers[i].value);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "headers");
    return 1;
}

static int push_chat(lua_State *L, const struct lun_wish_result *r)
{
    struct lun_json body;
    struct lun_buf *out = lun_bind_scratch(L);
    if (!r->body || !lun_json_check(r->body, r->body_n, &body, NULL)) return lun_bind_nil(L, "bad_answer");
    struct lun_json text = lun_json_path(body, "choices.0.message.content");
    if (!lun_json_string(text, false, out)) return lun_bind_nil(L, "no_text");
    if (out->n > ANSWER_MOST) return lun_bind_nil(L, "too_large");
    lua_pushlstring(L, out->n ? out->at : "", out->n);
    return 1;
}

int lun_wish_push(lua_State *L, const struct lun_wish *w, const struct lun_wish_result *r)
{
    if (r->error) return lun_bind_nil(L, r->error);
    switch (w->kind) {
    case LUN_WISH_HTTP: return push_http(L, r);
    case LUN_WISH_CHAT: return push_chat(L, r);
    default: lua_pushboolean(L, true); return 1;
    }
}

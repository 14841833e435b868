/* lua/meta holds, for editors, the types of what a policy and gateway.lua can say: it is made from the code's tables. `--write` makes it. */
#include "page.h"
#include <ctype.h>
#include "base/alloc.h"
#include "script/bind.h"
#include "script/bundle.h"
#include "script/given.h"
#include "script/settings.h"
#include "state/outcome.h"

/* ---- words ---- */

/* "key" → "lunette.Key" */
static void put_class_name(struct lun_buf *out, const char *name, size_t n)
{
    lun_buf_printf(out, "lunette.%c%.*s", toupper((unsigned char)name[0]), (int)n - 1, name + 1);
}

static bool is_class(const char *name, size_t n)
{
    for (const struct lun_class *const *c = lun_classes; *c; c++) if (strlen((*c)->name) == n && !memcmp((*c)->name, name, n)) return true;
    return false;
}

/* The type that `words` ("number or nil", "list of attempt") stand for; what is optional ends in "?". False: no such words. */
static bool put_type(struct lun_buf *out, const char *words)
{
    static const char *const plain[] = { "string", "number", "boolean", "any", "table" };
    const char *end = strstr(words, " or nil");
    size_t n = end ? (size_t)(end - words) : strlen(words), list = strlen("list of ");
    bool many = n > list && !memcmp(words, "list of ", list), known = false;
    if (many) words += list, n -= list;
    if (is_class(words, n)) put_class_name(out, words, n), known = true;
    else if (n == 4 && !memcmp(words, "list", 4)) lun_buf_puts(out, "string[]"), known = true;
    for (size_t i = 0; !known && i < sizeof plain / sizeof *plain; i++)
        if (strlen(plain[i]) == n && !memcmp(plain[i], words, n)) lun_buf_puts(out, plain[i]), known = true;
    if (many) lun_buf_puts(out, "[]");
    if (end) lun_buf_putc(out, '?');
    return known;
}

/* Up to the next comma, or other `stop`, that stands in no bracket. */
static const char *upto(const char *at, const char *stop)
{
    int depth = 0;
    for (; *at; at++) {
        if (!depth && strchr(stop, *at)) return at;
        if (strchr("([{", *at) || (*at == '<')) depth++;
        else if (strchr(")]}", *at) || *at == '>') depth--;
    }
    return at;
}

static const char *behind(const char *at, const char *what) { return at + strspn(at, what); }

/* ---@param and ---@return of "(i: integer, n?: number): string?, string?", and the names of the parameters into `names`. */
static void put_signature(struct lun_buf *out, const char *signature, struct lun_buf *names)
{
    const char *at = behind(signature, "("), *end = upto(at, ")");
    while (at < end) {
        const char *next = upto(at, ",)"), *colon = upto(at, ":");
        if (colon > next) fail_msg("no type in %s", signature);
        lun_buf_printf(out, "---@param %.*s %.*s\n", (int)(colon - at), at, (int)(next - behind(colon, ": ")), behind(colon, ": "));
        lun_buf_printf(names, "%s%.*s", names->n ? ", " : "", (int)(colon - at - (colon[-1] == '?')), at);
        at = next < end ? behind(next, ", ") : end;
    }
    for (at = *end ? behind(end, "): ") : end; *at; ) {
        const char *next = upto(at, ",");
        lun_buf_printf(out, "---@return %.*s\n", (int)(next - at), at);
        at = behind(next, ", ");
    }
}

static void put_function(struct lun_buf *out, const char *table, char between, const char *name, const char *doc, const char *signature)
{
    struct lun_buf names = { 0 };
    lun_buf_printf(out, "\n---%s\n", doc);
    put_signature(out, signature, &names);
    lun_buf_printf(out, "function %s", table);
    if (between) lun_buf_putc(out, between);
    lun_buf_printf(out, "%s(%s) end\n", name, names.n ? lun_buf_text(&names) : "");
    lun_buf_free(&names);
}

static void put_field(struct lun_buf *out, const char *name, bool optional, const char *type, const char *doc)
{
    lun_buf_printf(out, "---@field %s%s %s %s\n", name, optional ? "?" : "", type, doc);
}

/* ---- what a policy sees ---- */

static void put_member(struct lun_buf *out, const struct lun_class *c, const struct lun_member *m)
{
    struct lun_buf type = { 0 };
    if (m->lua) lun_buf_puts(&type, m->lua);
    else if (!put_type(&type, m->type)) fail_msg("%s.%s: '%s' is no type; give it one in `lua`", c->name, m->name, m->type);
    put_field(out, m->name, false, lun_buf_text(&type), m->doc);
    lun_buf_free(&type);
}

static void put_class(struct lun_buf *out, const struct lun_class *c)
{
    lun_buf_printf(out, "\n---%s\n---@class ", c->doc);
    put_class_name(out, c->name, strlen(c->name));
    lun_buf_putc(out, '\n');
    if (c->lua) lun_buf_printf(out, "%s\n", c->lua);
    for (const struct lun_member *m = c->members; m->name; m++) if (!m->arguments) put_member(out, c, m);
    lun_buf_printf(out, "local %s = {}\n", c->name);
    for (const struct lun_member *m = c->members; m->name; m++) {
        if (!m->arguments) continue;
        if (!m->lua) fail_msg("%s:%s%s has no types in `lua`", c->name, m->name, m->arguments);
        put_function(out, c->name, ':', m->name, m->doc, m->lua);
    }
}

static void put_step_options(struct lun_buf *out)
{
    lun_buf_puts(out, "\n---How a target is asked: `targets:steps{ … }`.\n---@class lunette.StepOptions\n");
    for (const struct lun_step_option *o = lun_step_option_words; o->name; o++) put_field(out, o->name, true, o->lua, o->doc);
}

static void put_kinds(struct lun_buf *out)
{
    lun_buf_puts(out, "\n---How an attempt ended.\n---@alias lunette.Kind\n");
    for (int k = 0; k < LUN_KIND_COUNT; k++) lun_buf_printf(out, "---| \"%s\" # %s\n", lun_kind_name(k), lun_kind_text(k));
}

static void put_policy(struct lun_buf *out)
{
    lun_buf_puts(out, "\n---What a policy's file returns.\n---@class lunette.Policy\n");
    for (int i = 0; i < LUN_HOOK_COUNT; i++) put_field(out, lun_hook_name(i), true, lun_hook_words[i].lua, lun_hook_words[i].asked);
    put_field(out, "settings", true, "table<string, { default: number|string|boolean, min?: number, max?: number }>", "read with `lunette.setting`");
    put_field(out, "limits", true, "{ attempts?: integer, retries?: number|false }", "where gateway.lua does not say them");
    put_field(out, "on_error", true, "\"default\"|\"refuse\"", "what follows when a hook fails");
}

static void put_head(struct lun_buf *out, const char *what, const char *module)
{
    lun_buf_printf(out, "---@meta %s\n-- %s, for editors that know LuaLS' annotations. Made from the tables of core/script by `make docs`; not to be edited.\n", module, what);
}

static void put_lunette(struct lun_buf *out)
{
    put_head(out, "What a policy sees and can say", "lunette");
    put_kinds(out);
    for (const struct lun_class *const *c = lun_classes; *c; c++) put_class(out, *c);
    put_step_options(out);
    put_policy(out);
    lun_buf_puts(out, "\n---`require \"lunette\"`\n---@class lunette\n---@field null any what JSON's null is in a list\n---@field host table<string, fun(...: string|number|boolean|nil): any> functions of the program round the gateway\nlocal lunette = { store = {}, json = {} }\n");
    for (const struct lun_function *f = lun_functions; f->name; f++) {
        if (!f->lua) fail_msg("lunette.%s has no types in `lua`", f->name);
        if (strncmp(f->name, "host.", 5)) put_function(out, "lunette", '.', f->name, f->doc, f->lua);       /* by whatever name */
    }
    for (const struct lun_given *g = lun_given_functions; g->name; g++)
        if (strchr(g->name, '.')) put_function(out, "", 0, g->name, g->doc, g->lua);
    lun_buf_puts(out, "\nreturn lunette\n");
}

/* ---- gateway.lua ---- */

/* TOP → "lunette.Config", PRICE → "lunette.Config.Price" */
static const char *scope_class(enum lun_scope scope)
{
    static char text[64];
    static const char *const names[] = {
#define X(id, path) #id,
        LUN_SCOPES(X)
#undef X
    };
    int n = snprintf(text, sizeof text, "lunette.Config");
    if (scope == LUN_SCOPE_TOP) return text;
    snprintf(text + n, sizeof text - (size_t)n, ".%s", names[scope]);
    for (char *c = text + n + 2; *c; c++) *c = (char)tolower((unsigned char)*c);
    return text;
}

static void put_words(struct lun_buf *out, const char *words)
{
    lun_buf_putc(out, '"');
    for (const char *c = words; *c; c++)
        if (*c == '|') lun_buf_puts(out, "\"|\"");
        else lun_buf_putc(out, *c);
    lun_buf_putc(out, '"');
}

static void put_setting_type(struct lun_buf *out, const struct lun_setting *s)
{
    const char *inside = scope_class(s->inside);
    switch (s->type) {
    case LUN_BOOL:    lun_buf_puts(out, "boolean"); break;
    case LUN_INT: case LUN_COUNT: lun_buf_puts(out, "integer"); break;
    case LUN_NUMBER: case LUN_SECONDS: case LUN_USD: lun_buf_puts(out, "number"); break;
    case LUN_SIZE:    lun_buf_puts(out, "integer|string"); break;
    case LUN_TEXT: case LUN_ADDRESS: lun_buf_puts(out, "string"); break;
    case LUN_PLACE:   lun_buf_puts(out, "string|lunette.Secret"); break;
    case LUN_CHOICE:  put_words(out, s->words); break;
    case LUN_SECRETS: lun_buf_puts(out, "lunette.Secret|lunette.Secret[]"); break;
    case LUN_URL:     lun_buf_puts(out, "string|lunette.Secret"); break;
    case LUN_NUMBERS: lun_buf_puts(out, "number[]"); break;
    case LUN_TEXTS:   lun_buf_puts(out, "string[]"); break;
    case LUN_PAIRS:   lun_buf_puts(out, "table<string, string|lunette.Secret>"); break;
    case LUN_WORDS:   lun_buf_putc(out, '('); put_words(out, s->words); lun_buf_puts(out, ")[]"); break;
    case LUN_FACTS:   lun_buf_puts(out, "table<string, any>"); break;
    case LUN_TABLE:   lun_buf_puts(out, inside); break;
    case LUN_MAP:     lun_buf_printf(out, "table<string, %s|false>", inside); break;
    case LUN_LISTS:   lun_buf_printf(out, "table<string, (%s|false)[]|false>", inside); break;
    case LUN_LIST:    lun_buf_printf(out, "(%s|false)[]", inside); break;
    }
    if (s->type == LUN_ADDRESS && s->inside) lun_buf_printf(out, "|%s", inside);
    if (s->inside == LUN_SCOPE_WEBHOOK) lun_buf_puts(out, "|string|lunette.Secret");
    if (s->words && s->type < LUN_CHOICE) lun_buf_putc(out, '|'), put_words(out, s->words);
    if (s->flags & LUN_CAN_BE_OFF) lun_buf_puts(out, "|false");
}

static void put_setting(struct lun_buf *out, const struct lun_setting *s)
{
    struct lun_buf type = { 0 }, doc = { 0 };
    put_setting_type(&type, s);
    lun_buf_puts(&doc, s->doc);
    if (s->fallback) lun_buf_printf(&doc, " Default: %s", s->fallback);
    put_field(out, s->name, !(s->flags & LUN_REQUIRED), lun_buf_text(&type), lun_buf_text(&doc));
    lun_buf_free(&type);
    lun_buf_free(&doc);
}

/* Those of a later version are left out, so that an editor marks them as the loader does. */
static void put_scope(struct lun_buf *out, enum lun_scope scope)
{
    lun_buf_printf(out, "\n---@class (exact) %s\n", scope_class(scope));
    if (scope == LUN_SCOPE_LISTEN) lun_buf_puts(out, "---@field [1]? string\n");
    if (scope == LUN_SCOPE_LENGTH) lun_buf_puts(out, "---@field [1]? integer\n---@field [2]? integer\n");
    for (int i = 0; i < lun_settings_count; i++)
        if (lun_settings[i].scope == scope && !(lun_settings[i].flags & LUN_NOT_BUILT)) put_setting(out, &lun_settings[i]);
}

static void put_gateway(struct lun_buf *out)
{
    put_head(out, "What gateway.lua can say", "_");
    lun_buf_puts(out, "\n---What `secret` gives: it can be passed on, not read.\n---@class lunette.Secret\n");
    for (int scope = 0; scope < LUN_SCOPE_COUNT; scope++) put_scope(out, scope);
    for (const struct lun_given *g = lun_given_functions; g->name; g++)
        if (!strchr(g->name, '.')) put_function(out, "", 0, g->name, g->doc, g->lua);
}

/* ---- tests ---- */

static const struct page_part parts[] = { { "lua/meta/lunette.lua", NULL, put_lunette }, { "lua/meta/gateway.lua", NULL, put_gateway } };

static void the_types_are_those_of_the_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) page_is_current(&parts[i]);
}

static void every_type_named_is_defined(void **state)
{
    (void)state;
    struct lun_buf all = { 0 };
    char definition[100];
    put_lunette(&all);
    put_gateway(&all);
    const char *text = lun_buf_text(&all);
    for (const char *at = text; (at = strstr(at, "lunette.")); at++) {
        size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.");
        while (at[n - 1] == '.') n--;
        if (!isupper((unsigned char)at[8]) || (at > text && isalnum((unsigned char)at[-1]))) continue;
        static const char *const ways[] = { "---@class %.*s\n", "---@class (exact) %.*s\n", "---@alias %.*s\n" };
        bool found = false;
        for (int i = 0; i < 3; i++) snprintf(definition, sizeof definition, ways[i], (int)n, at), found |= !!strstr(text, definition);
        if (!found) fail_msg("%.*s is not defined", (int)n, at);
    }
    lun_buf_free(&all);
}

static void they_are_lua(void **state)
{
    (void)state;
    lua_State *L = luaL_newstate();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (luaL_loadfile(L, parts[i].path)) fail_msg("%s", lua_tostring(L, -1));
    lua_close(L);
}

static void the_program_does_not_carry_them(void **state)
{
    (void)state;
    assert_non_null(lun_bundle_find("lua/lunette.lua"));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_null(lun_bundle_find(parts[i].path));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_types_are_those_of_the_code),
        cmocka_unit_test(every_type_named_is_defined),
        cmocka_unit_test(they_are_lua),
        cmocka_unit_test(the_program_does_not_carry_them),
    };
    PAGE_WRITES(argc, argv, parts);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

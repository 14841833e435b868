#include "base/text.h"
#include "script/bundle.h"
#include "script/loading.h"
#include "script/endpoint.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { KEYS = 64, HEADERS = 64 };

struct one { struct lun_loading *l; struct lun_value *table; struct lun_provider_draft draft; };

static struct lun_value *get(struct one *o, const char *name) { return lun_check_get(o->l, LUN_SCOPE_PROVIDER, o->table, name); }
static struct lun_value *said(struct one *o, const char *name) { return lun_value_get(o->table, name); }

/* ---- keys ---- */

/* Whether the key fits the pattern, by the matcher that policies have. False too when the pattern is none, told once. */
static bool fits(struct one *o, const char *key)
{
    static const char chunk[] = "local key, pattern = ... return string.find(key, pattern) ~= nil";
    struct lun_vm_error error;
    lua_State *L = o->l->vm->L;
    lua_pushstring(L, key);
    lua_pushstring(L, o->draft.key_pattern);
    int ref = lun_vm_load(o->l->vm, "key_pattern", chunk, sizeof chunk - 1, 2, &error);
    if (ref == LUA_NOREF) {
        const char *message = strstr(error.text, ": ");
        lun_wrong(o->l, said(o, "key_pattern"), "is no Lua pattern: %s", message ? message + 2 : error.text);
        o->draft.key_pattern = NULL;
        return true;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    bool found = lua_toboolean(L, -1);
    lua_pop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    return found;
}

static bool key_fits(struct one *o, const struct lun_value *v, const char *name, const char *key)
{
    int n = (int)strlen(key), min = o->draft.key_min, max = o->draft.key_max;
    if (min && n < min) lun_wrong(o->l, v, "%s is too short to be a key: key_length says at least %d characters", name, min);
    else if (max && n > max) lun_wrong(o->l, v, "%s is too long to be a key: key_length says at most %d characters", name, max);
    else if (o->draft.key_pattern && !fits(o, key)) lun_wrong(o->l, v, "%s does not fit key_pattern %s", name, lun_value_quote(o->draft.key_pattern, &o->l->scratch));
    else return true;
    return false;
}

static void add_key(struct one *o, const struct lun_value *v, struct lun_secret *keys)
{
    static const char plain[] = "must not stand here as text: write secret \"NAME\" and put the key into that environment variable";
    const char *value = lun_check_secret(o->l, v, plain);
    if (!value) return;
    const char *name = ((const struct lun_found *)v->secret)->name;
    for (int i = 0; i < o->draft.provider.n_keys; i++)
        if (!strcmp(keys[i].value, value)) { lun_wrong(o->l, v, "%s and %s hold the same key", keys[i].name, name); return; }
    if (key_fits(o, v, name, value)) keys[o->draft.provider.n_keys++] = (struct lun_secret){ lun_arena_strdup(&o->l->snapshot->arena, name), value };
}

static void load_keys(struct one *o)
{
    struct lun_value *v = said(o, "key");
    struct lun_loading *l = o->l;
    if (!v) return;
    if (v->type == LUN_VALUE_TABLE && v->n_list != v->n_items) { lun_wrong(l, v, "must be secret \"NAME\" or a list of them"); return; }
    int n = v->type == LUN_VALUE_TABLE ? v->n_list : 1;
    if (!n || n > KEYS) { lun_wrong(l, v, "must be a list of 1 to %d secrets", KEYS); return; }
    struct lun_secret *keys = lun_arena_alloc(&l->snapshot->arena, (size_t)n * sizeof *keys);
    o->draft.provider.keys = keys;
    struct lun_buf names = { 0 };
    for (int i = 0; i < n; i++) {
        struct lun_value *one = v->type == LUN_VALUE_TABLE ? v->items[i] : v;
        add_key(o, one, keys);
        if (one->type == LUN_VALUE_SECRET) lun_buf_printf(&names, "%ssecret \"%s\"", i ? ", " : "", ((const struct lun_found *)one->secret)->name);
    }
    const char *shown = lun_buf_text(&names);
    lun_origin(l, v, lun_value_path(v, &l->scratch), n > 1 ? lun_arena_printf(&l->scratch, "{ %s }", shown) : shown);
    lun_buf_free(&names);
}

static void load_length(struct one *o)
{
    struct lun_value *v = get(o, "key_length");
    struct lun_provider_draft *d = &o->draft;
    if (!v) return;
    lun_check_rename(o->l, v, (const char *const[]){ "min", "max" }, 2);
    lun_check(o->l, LUN_SCOPE_LENGTH, v, d, 0, "");
    if (d->key_min && d->key_max && d->key_min > d->key_max) lun_wrong(o->l, v, "its least, %d, is more than its most, %d", d->key_min, d->key_max), d->key_min = d->key_max = 0;
}

/* ---- headers ---- */

static const char *header_problem(const struct lun_value *v)
{
    static const char *const ours[] = { "connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade", "expect", "accept-encoding", "host" };
    static const char *const keys[] = { "authorization", "x-api-key", "api-key", "proxy-authorization", "cookie" };
    size_t n = strspn(v->key, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (v->key[n]) return "is no name that a header can have (RFC 9110, 5.6.2)";
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcasecmp(v->key, ours[i])) return "is set by the gateway itself";
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcasecmp(v->key, keys[i]) && v->type == LUN_VALUE_TEXT) return "must not stand here as text: write secret \"NAME\" and put it into that environment variable";
    for (size_t i = 0; v->type == LUN_VALUE_TEXT && i < v->n; i++)
        if (v->text[i] < ' ' || v->text[i] > '~') return "must be one line of printable ASCII";
    return NULL;
}

static void load_headers(struct one *o)
{
    struct lun_value *v = get(o, "headers");
    struct lun_loading *l = o->l;
    bool fine = true;
    if (!v) return;
    if (v->n_items > HEADERS) { lun_wrong(l, v, "must be %d at most", HEADERS); return; }
    for (int i = 0; i < v->n_items; i++) {
        struct lun_value *h = v->items[i];
        const char *why = h->type == LUN_VALUE_BAD ? h->text : header_problem(h);
        for (int j = 0; !why && j < i; j++)
            if (!strcasecmp(v->items[j]->key, h->key)) why = "is there twice, written differently";
        if (why) fine = false, lun_wrong(l, h, "%s", why);
        else if (h->type == LUN_VALUE_SECRET) lun_origin(l, h, lun_value_path(h, &l->scratch), lun_arena_printf(&l->scratch, "secret \"%s\"", ((const struct lun_found *)h->secret)->name));
        else lun_origin(l, h, lun_value_path(h, &l->scratch), lun_value_show(h, &l->scratch));
    }
    if (fine) o->draft.provider.headers = lun_check_pairs(l, v, true, &o->draft.provider.n_headers);
}

/* ---- files ---- */

static void load_script(struct one *o)
{
    struct lun_provider *p = &o->draft.provider;
    struct lun_value *v = said(o, "script");
    struct lun_file file;
    const char *why;
    if (!v || !p->script_name) return;
    if (!lun_file_read(o->l, LUN_PART_SCRIPT, NULL, p->script_name, &file, &why)) { lun_wrong(o->l, v, "%s cannot be read: %s", lun_value_quote(p->script_name, &o->l->scratch), why); return; }
    p->script = file.text, p->script_name = file.name;
    lun_file_compiles(o->l, &file);
}

static const char *nearest_dialect(struct one *o)
{
    const char *names[64] = { "openai" };
    size_t n = 1;
    for (const struct lun_bundle_file *f = lun_bundle; f->name && n < 64; f++)
        if (!strncmp(f->name, "lua/dialects/", 13) && strlen(f->name) > 17)
            names[n++] = lun_arena_strndup(&o->l->scratch, f->name + 13, strlen(f->name) - 17);
    return lun_text_nearest(o->draft.provider.dialect, names, n);
}

static void load_dialect(struct one *o)
{
    struct lun_provider *p = &o->draft.provider;
    struct lun_loading *l = o->l;
    const char *why, *name = p->dialect;
    if (!name || !strcmp(name, "openai")) return;
    struct lun_value *v = said(o, "dialect");
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")]) { lun_wrong(l, v, "must be a name of small letters, digits, _ and -"); return; }
    const char *file = lun_arena_printf(&l->scratch, "dialects/%s.lua", name);
    const struct lun_bundle_file *ours = lun_bundle_find(lun_arena_printf(&l->scratch, "lua/%s", file));
    if (lun_file_read(l, LUN_PART_DIALECT, NULL, file, &p->dialect_file, &why)) lun_file_compiles(l, &p->dialect_file);
    else if (ours) p->dialect_file = lun_file_note(l, LUN_PART_DIALECT, NULL, ours->name, ours->start, ours->size, true);
    else lun_wrong(l, v, "there is no dialect %s, neither here (%s) nor one that comes along%s", lun_value_quote(name, &l->scratch), file, lun_hint(l, nearest_dialect(o)));
}

static void load_ca(struct one *o)
{
    struct lun_provider *p = &o->draft.provider;
    if (p->ca && said(o, "ca")) p->ca = lun_file_authorities(o->l, said(o, "ca"), p->ca);
}

/* ---- one provider ---- */

static void load_health(struct one *o, const struct lun_health_rules *top)
{
    struct lun_value *v = said(o, "health");
    o->draft.provider.health = *top;
    if (!v) return;
    v = get(o, "health");
    if (!v) { o->draft.provider.health.off = said(o, "health")->type == LUN_VALUE_BOOL; return; }
    if (top->off) o->draft.provider.health = lun_health_rules_default;
    lun_check(o->l, LUN_SCOPE_HEALTH, v, &o->draft.provider.health, LUN_KEEP, "");
}

/* A circuit's own rest lasts until a probe has been answered: then it is the probe that decides, not a client's request. */
static void load_probe(struct one *o)
{
    struct lun_provider *p = &o->draft.provider;
    struct lun_value *said_it = said(o, "probe"), *v = get(o, "probe");
    if (!v) return;
    lun_check(o->l, LUN_SCOPE_PROBE, v, &p->probe, 0, lun_origin_prefix(o->l, v));
    if (p->health.off) lun_wrong(o->l, said_it, "cannot stand beside health = false: nothing is taken out that it could bring back");
    if (p->probe.path && *p->probe.path != '/') lun_wrong(o->l, lun_value_get(v, "path"), "must begin with /");
    else if (p->probe.path && strpbrk(p->probe.path, " #")) lun_wrong(o->l, lun_value_get(v, "path"), "must be a path: no blank, no #");
    struct lun_value *odd = lun_value_get(v, p->probe.completion ? "path" : "model");
    if (odd && p->probe.completion) lun_wrong(o->l, odd, "is for with = \"models\": a completion has the path that its dialect says");
    else if (odd) lun_wrong(o->l, odd, "is for with = \"completion\"");
    if ((odd = lun_value_get(v, "max_tokens")) && !p->probe.completion) lun_wrong(o->l, odd, "is for with = \"completion\"");
    if (p->health.rest < p->probe.every + p->probe.timeout) p->health.rest = p->probe.every + p->probe.timeout;
}

static void check_where(struct one *o)
{
    struct lun_value *url = said(o, "base_url"), *script = said(o, "script"), *proxy = said(o, "proxy");
    const struct lun_provider *p = &o->draft.provider;
    const char *why;
    if (!url && !script) lun_wrong(o->l, o->table, "must have base_url (or script, for a simulated provider)");
    if (url && script) lun_wrong(o->l, script, "cannot stand beside base_url: the provider is asked, or simulated");
    if (url && p->base_url && (why = lun_endpoint_problem(p->base_url, "http|https", true))) lun_wrong(o->l, url, "%s", why);
    if (p->transport == LUN_TRANSPORT_DIRECT && (p->http2 || p->proxy))
        lun_wrong(o->l, said(o, "transport"), "cannot be \"direct\" beside %s, which only libcurl speaks", p->http2 ? "http2" : "proxy");
    if (proxy && p->proxy && (why = lun_endpoint_problem(p->proxy, "http|https|socks5h", false))) lun_wrong(o->l, proxy, "%s", why);
}

static void load_one(struct lun_loading *l, struct lun_value *table, struct lun_provider *out, const struct lun_health_rules *health, int index)
{
    struct one o = { l, table, { .provider = { .index = index } } };
    lun_check(l, LUN_SCOPE_PROVIDER, table, &o.draft, 0, lun_origin_prefix(l, table));
    o.draft.provider.cancel_goes_on = said(&o, "cancel_stops_billing") && !o.draft.provider.cancel_stops_billing;
    load_length(&o);
    load_keys(&o);
    load_headers(&o);
    load_health(&o, health);
    load_probe(&o);
    check_where(&o);
    load_script(&o);
    load_dialect(&o);
    load_ca(&o);
    *out = o.draft.provider;
    out->name = lun_arena_strdup(&l->snapshot->arena, table->key);
}

/* Names go into headers, metrics and the names of targets. */
static bool good_name(struct lun_loading *l, const struct lun_value *v)
{
    size_t n = strspn(v->key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");
    if (!v->key[n] && n <= 64) return true;
    lun_wrong(l, v, "a provider's name must be at most 64 letters, digits, _ - and .");
    return false;
}

static struct lun_health_rules top_health(struct lun_loading *l)
{
    struct lun_health_rules rules = lun_health_rules_default;
    struct lun_value *said_top = lun_value_get(l->root, "health"), *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "health");
    if (said_top && !v && said_top->type == LUN_VALUE_BOOL && !said_top->yes) {
        rules.off = true;
        lun_origin(l, said_top, "health", "false");
    } else lun_check(l, LUN_SCOPE_HEALTH, v, &rules, 0, "health.");
    return rules;
}

void lun_load_providers(struct lun_loading *l)
{
    struct lun_health_rules health = top_health(l);
    struct lun_value *map = lun_check_get(l, LUN_SCOPE_TOP, l->root, "providers");
    if (!map) return;
    if (!map->n_items) lun_wrong(l, map, "there must be one at least");
    struct lun_value **items = lun_check_sorted(l, map);
    struct lun_provider *out = lun_arena_zalloc(&l->snapshot->arena, (size_t)map->n_items * sizeof *out + 1);
    int n = 0;
    for (int i = 0; i < map->n_items; i++) {
        struct lun_value *v = items[i];
        if (v->type == LUN_VALUE_BAD || v->type == LUN_VALUE_FUNCTION) lun_wrong(l, v, "%s", v->text);
        else if (!good_name(l, v)) continue;
        else if (v->type == LUN_VALUE_BOOL && !v->yes) continue;        /* `has_secret "X" and {…}` */
        else if (v->type != LUN_VALUE_TABLE) lun_wrong(l, v, "must be a table, not %s", lun_value_show(v, &l->scratch));
        else load_one(l, v, &out[n], &health, n), n++;
    }
    l->snapshot->providers = out, l->snapshot->n_providers = n;
}

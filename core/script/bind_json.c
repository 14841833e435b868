/* JSON for policies: tables out of the strict scanner, and an encoder that reads raw. Both count their steps and know their limits. */
#include "script/bind.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "script/sandbox.h"

#define DEEP    64                      /* levels for policies; for our own code as many as the scanner lets through */
#define DEEPEST 128
#define WORK    256                     /* steps between looks at the clock */
#define SHORT   1024                    /* bytes that are looked through within a step */

static const char empty_list;           /* its address is the registry's key of the metatable that marks a list */

/* ---- decoding ---- */

/* null: nothing in an object, lunette.null in a list, so that the others keep their places. `whole`: lunette.null in both. */
struct decoding { lua_State *L; bool whole; int steps; const char *why; };

static bool push(struct decoding *d, struct lun_json value, int depth);

void lun_bind_mark_list(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&empty_list);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_pushlightuserdata(L, (void *)&empty_list);
        lua_pushvalue(L, -2);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_setmetatable(L, -2);
}

/* Policies are given text that is UTF-8; a dialect passes half of a pair on, and the next event may hold the other. */
static void push_string(const struct decoding *d, struct lun_json value)
{
    struct lun_buf *out = lun_bind_scratch(d->L);
    if (d->whole) lun_json_string_halves(value, out);
    else lun_json_string(value, false, out);
    lua_pushlstring(d->L, out->n ? out->at : "", out->n);
}

/* ---- numbers that are more than a double ---- */

/* Beside each table that has such: their texts, under the same keys. A table whose keys are those tables, weak, in the registry. */
static const char said;

static double number_of(struct lun_json value)
{
    double number;
    return lun_json_double(value, &number) ? number : *value.at == '-' ? -HUGE_VAL : HUGE_VAL;
}

/* Whole numbers of few digits come out as they went in. Of a fraction every reader takes the nearest double, but 1.0 is no integer to all of them. */
static bool is_more(struct lun_json text, double number)
{
    if (number != floor(number)) return false;
    size_t digits = 0;
    while (digits < text.n && (text.at[digits] == '-' || (text.at[digits] >= '0' && text.at[digits] <= '9'))) digits++;
    return digits < text.n || digits > 15 || (*text.at == '-' && text.at[1] == '0');
}

static void push_all_said(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&said);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushlightuserdata(L, (void *)&said);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

/* Pushes the texts of the table at `table`, or nil. */
static void push_said(lua_State *L, int table)
{
    push_all_said(L);
    lua_pushvalue(L, table);
    lua_rawget(L, -2);
    lua_remove(L, -2);
}

/* On the stack: its key, and what it was read as. */
static void keep_said(lua_State *L, int table, struct lun_json number)
{
    int key = lua_gettop(L) - 1;
    push_said(L, table);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        push_all_said(L);
        lua_pushvalue(L, table);
        lua_pushvalue(L, -3);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    lua_pushvalue(L, key);
    lua_pushlstring(L, number.at, number.n);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* What is on top of the stack, under the key below it. */
static void store(const struct decoding *d, int table, struct lun_json value)
{
    if (d->whole && lun_json_type(value) == LUN_JSON_NUMBER && is_more(value, lua_tonumber(d->L, -1))) keep_said(d->L, table, value);
    lua_rawset(d->L, table);
}

static bool push_list(struct decoding *d, struct lun_json value, int depth)
{
    int n = 0, table = lua_gettop(d->L) + 1;
    lua_newtable(d->L);
    for (struct lun_json_each e = lun_json_each(value); lun_json_next(&e); ) {
        lua_pushinteger(d->L, ++n);
        if (!push(d, e.value, depth + 1)) return false;
        store(d, table, e.value);
    }
    if (!n) lun_bind_mark_list(d->L);
    return true;
}

static bool push_object(struct decoding *d, struct lun_json value, int depth)
{
    int table = lua_gettop(d->L) + 1;
    lua_newtable(d->L);
    for (struct lun_json_each e = lun_json_each(value); lun_json_next(&e); ) {
        if (!d->whole && lun_json_type(e.value) == LUN_JSON_NULL) continue;
        push_string(d, e.key);
        if (!push(d, e.value, depth + 1)) return false;
        store(d, table, e.value);
    }
    return true;
}

static bool push(struct decoding *d, struct lun_json value, int depth)
{
    if (++d->steps % WORK == 0) lun_vm_work(d->L, WORK * 10);
    if (value.n > SHORT) lun_vm_work(d->L, (int64_t)(value.n >> 4));        /* each level is looked through for its end */
    if (depth > (d->whole ? DEEPEST : DEEP) || !lua_checkstack(d->L, 10)) { d->why = "too_deep"; return false; }
    switch (lun_json_type(value)) {
    case LUN_JSON_TRUE: lua_pushboolean(d->L, 1); return true;
    case LUN_JSON_FALSE: lua_pushboolean(d->L, 0); return true;
    case LUN_JSON_NUMBER: lua_pushnumber(d->L, number_of(value)); return true;
    case LUN_JSON_STRING: push_string(d, value); return true;
    case LUN_JSON_ARRAY: return push_list(d, value, depth);
    case LUN_JSON_OBJECT: return push_object(d, value, depth);
    default: lua_pushlightuserdata(d->L, NULL); return true;
    }
}

bool lun_push_json_whole(lua_State *L, struct lun_json value)
{
    struct decoding d = { .L = L, .whole = true };
    int top = lua_gettop(L);
    if (push(&d, value, 1)) return true;
    lua_settop(L, top);
    return false;
}

bool lun_push_json(lua_State *L, struct lun_json value, const char **why)
{
    struct decoding d = { .L = L };
    int top = lua_gettop(L);
    if (value.n > LUN_BIND_TEXT) { *why = "too_large"; return false; }
    if (lun_json_type(value) == LUN_JSON_NULL || !value.n) { lua_pushnil(L); return true; }
    if (push(&d, value, 1)) return true;
    lua_settop(L, top);
    *why = d.why;
    return false;
}

/* ---- encoding ---- */

struct encoding { lua_State *L; struct lun_buf *out; size_t most; bool whole; int steps; };

static const char *put(struct encoding *e, int index, int depth);

static const char *put_number(struct encoding *e, double n)
{
    if (!isfinite(n)) return "holds a number that JSON has no form for (NaN or infinite)";
    lun_json_put_number(e->out, n);
    return NULL;
}

static void put_string(struct encoding *e, const char *text, size_t n)
{
    if (e->whole) lun_json_put_halves(e->out, text, n);
    else lun_json_put_string(e->out, text, n);
}

bool lun_bind_is_list(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) return false;
    lua_pushlightuserdata(L, (void *)&empty_list);
    lua_rawget(L, LUA_REGISTRYINDEX);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

#define FEW 10                          /* holes are filled in lists up to this length, and where half of the places are taken */

/* A list has the keys 1 to n and no others, or (`holes`) some of them. -1: it is an object; -2: neither. */
static int list_length(lua_State *L, int index, bool holes)
{
    int n = 0, names = 0;
    double most = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING) { names++; continue; }
        double k = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        if (k < 1 || k != floor(k)) { lua_pop(L, 2); return -2; }
        if (k > most) most = k;
        if (++n % WORK == 0) lun_vm_work(L, WORK * 4);
    }
    if (names) return n ? -2 : -1;
    if (!n) return lun_bind_is_list(L, index) ? 0 : -1;
    if (holes && (most <= FEW || most <= 2 * n)) return (int)most;
    return most == n ? n : -2;
}

/* What is on top of the stack, under the key below it. `texts`: where those of its table are; 0: nowhere. A number that is another by now has none. */
static const char *put_under(struct encoding *e, int texts, int depth)
{
    size_t n;
    int value = lua_gettop(e->L);
    if (!texts || lua_type(e->L, value) != LUA_TNUMBER) return put(e, value, depth);
    lua_pushvalue(e->L, value - 1);
    lua_rawget(e->L, texts);
    const char *text = lua_tolstring(e->L, -1, &n);
    bool same = text && number_of((struct lun_json){ text, n }) == lua_tonumber(e->L, value);
    if (same) lun_buf_add(e->out, text, n);
    lua_pop(e->L, 1);
    return same ? NULL : put(e, value, depth);
}

/* Pushes the texts of the table's numbers, or nil; returns where, or 0. */
static int find_texts(struct encoding *e, int index)
{
    if (e->whole) push_said(e->L, index);
    else lua_pushnil(e->L);
    return lua_isnil(e->L, -1) ? 0 : lua_gettop(e->L);
}

static const char *put_list(struct encoding *e, int index, int n, int depth)
{
    const char *why = NULL;
    int texts = find_texts(e, index);
    lun_buf_putc(e->out, '[');
    for (int i = 1; i <= n && !why; i++) {
        if (i > 1) lun_buf_putc(e->out, ',');
        lua_pushinteger(e->L, i);
        lua_rawgeti(e->L, index, i);
        why = put_under(e, texts, depth + 1);
        lua_pop(e->L, 2);
    }
    lua_pop(e->L, 1);
    lun_buf_putc(e->out, ']');
    return why;
}

struct name { const char *text; size_t n; };

static int by_bytes(const void *one, const void *other)
{
    const struct name *a = one, *b = other;
    int order = memcmp(a->text, b->text, a->n < b->n ? a->n : b->n);
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

/* Pushes an array of the table's names, sorted: what is written must not depend on the order of a hash table. */
static struct name *sorted_names(lua_State *L, int index, int *count)
{
    int n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) n++;
    struct name *names = lua_newuserdata(L, (size_t)n * sizeof *names + 1);
    *count = n;
    n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1), n++) names[n].text = lua_tolstring(L, -2, &names[n].n);
    lun_vm_work(L, (int64_t)n * 10);
    qsort(names, (size_t)n, sizeof *names, by_bytes);
    return names;
}

static const char *put_object(struct encoding *e, int index, int depth)
{
    int n;
    struct name *names = sorted_names(e->L, index, &n);
    const char *why = NULL;
    int texts = find_texts(e, index);
    lun_buf_putc(e->out, '{');
    for (int i = 0; i < n && !why; i++) {
        if (i) lun_buf_putc(e->out, ',');
        put_string(e, names[i].text, names[i].n);
        lun_buf_putc(e->out, ':');
        lua_pushlstring(e->L, names[i].text, names[i].n);
        lua_pushvalue(e->L, -1);
        lua_rawget(e->L, index);
        why = put_under(e, texts, depth + 1);
        lua_pop(e->L, 2);
    }
    lua_pop(e->L, 2);
    lun_buf_putc(e->out, '}');
    return why;
}

static const char *put_table(struct encoding *e, int index, int depth)
{
    int n = list_length(e->L, index, e->whole);
    if (n == -2) return "holds a table that is neither a list without holes nor one with names only";
    return n < 0 ? put_object(e, index, depth) : put_list(e, index, n, depth);
}

static const char *put_thawed(struct encoding *e, int index, int depth)
{
    if (!lun_sandbox_thaw(e->L, index)) return "holds something that is no plain data";
    const char *why = put_table(e, lua_gettop(e->L), depth);
    lua_pop(e->L, 1);
    return why;
}

static const char *put(struct encoding *e, int index, int depth)
{
    size_t n;
    const char *text;
    if (++e->steps % WORK == 0) lun_vm_work(e->L, WORK * 10);
    if (depth > (e->whole ? DEEPEST : DEEP) || !lua_checkstack(e->L, 10)) return "holds tables too deep inside one another";
    if (e->out->n > e->most) return "is too large";
    switch (lua_type(e->L, index)) {
    case LUA_TNIL: lun_buf_puts(e->out, "null"); return NULL;
    case LUA_TBOOLEAN: lun_json_put_bool(e->out, lua_toboolean(e->L, index)); return NULL;
    case LUA_TNUMBER: return put_number(e, lua_tonumber(e->L, index));
    case LUA_TSTRING:
        text = lua_tolstring(e->L, index, &n);
        if (n > e->most) return "is too large";
        put_string(e, text, n);
        return NULL;
    case LUA_TTABLE: return put_table(e, index, depth);
    case LUA_TUSERDATA: return put_thawed(e, index, depth);
    case LUA_TLIGHTUSERDATA: lun_buf_puts(e->out, "null"); return NULL;
    default: return "holds a function";
    }
}

static const char *encode(struct encoding *e, int index)
{
    int top = lua_gettop(e->L);
    const char *why = put(e, index < 0 ? top + 1 + index : index, 1);
    lua_settop(e->L, top);
    return why;
}

const char *lun_bind_encode_whole(lua_State *L, int index, struct lun_buf *out)
{
    return encode(&(struct encoding){ .L = L, .out = out, .most = SIZE_MAX, .whole = true }, index);
}

const char *lun_bind_encode(lua_State *L, int index, struct lun_buf *out, size_t most)
{
    const char *why = encode(&(struct encoding){ .L = L, .out = out, .most = most }, index);
    return !why && out->n > most ? "is too large" : why;
}

/* ---- lunette.json ---- */

int lun_json_decode_function(lua_State *L)
{
    size_t n;
    struct lun_json value;
    struct lun_json_error error;
    const char *text = luaL_checklstring(L, 1, &n), *why = "too_large";
    lun_vm_work(L, (int64_t)(n >> 3));
    if (n <= LUN_BIND_TEXT) {
        if (!lun_json_check(text, n, &value, &error)) {
            lua_pushnil(L);
            lua_pushfstring(L, "at byte %d: %s", (int)error.at, error.what);
            return 2;
        }
        if (lun_push_json(L, value, &why)) return 1;
    }
    return lun_bind_nil(L, why);
}

int lun_json_encode_function(lua_State *L)
{
    struct lun_buf *out = lun_bind_scratch(L);
    luaL_checkany(L, 1);
    const char *why = lun_bind_encode(L, 1, out, LUN_BIND_TEXT);
    if (!why) {
        lua_pushlstring(L, out->at, out->n);
        return 1;
    }
    lua_pushnil(L);
    lua_pushfstring(L, "the value %s", why);
    return 2;
}

/* A table that is a list even when it is empty. */
int lun_json_array_function(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) { lua_settop(L, 0); lua_newtable(L); }
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_getmetatable(L, 1)) return luaL_error(L, "json.array: a table with a metatable of its own");
    lua_settop(L, 1);
    lun_bind_mark_list(L);
    return 1;
}

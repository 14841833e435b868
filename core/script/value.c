#include "script/value.h"
#include "base/decimal.h"
#include "base/text.h"
#include "script/sandbox.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    lua_State *L;
    struct lun_arena *arena;
    lun_value_secret *secret;
    void *self;
    int count;
    size_t bytes;
    const char *full;       /* why nothing more is read */
};

static const char unreadable[] = "?";       /* stands for a name that cannot be shown: the table it is in is named instead */

static void bad(struct lun_value *v, const char *why)
{
    v->type = LUN_VALUE_BAD, v->text = why, v->n = strlen(why);
}

static struct lun_value *append(struct lun_value *table, const char *key, int index, struct lun_arena *arena)
{
    if (table->n_items == table->room) {
        int room = table->room ? 2 * table->room : 8;
        struct lun_value **items = lun_arena_alloc(arena, (size_t)room * sizeof *items);
        if (table->n_items) memcpy(items, table->items, (size_t)table->n_items * sizeof *items);
        table->items = items, table->room = room;
    }
    struct lun_value *v = lun_arena_zalloc(arena, sizeof *v);
    v->up = table, v->key = key, v->index = index, v->place = table->place;
    return table->items[table->n_items++] = v;
}

static bool charge(struct reader *r, size_t bytes)
{
    r->bytes += bytes;
    if (++r->count > LUN_VALUE_COUNT) r->full = "too large: more than 100,000 values";
    else if (r->bytes > LUN_VALUE_BYTES) r->full = "too large: more than 8 MiB of text";
    return !r->full;
}

static void read_text(struct reader *r, struct lun_value *v)
{
    size_t n;
    const char *text = lua_tolstring(r->L, -1, &n);
    if (n > LUN_VALUE_TEXT_MAX) { bad(v, "text of more than 64 KiB"); return; }
    if (memchr(text, 0, n)) { bad(v, "text with a zero byte in it"); return; }
    if (!lun_text_valid(text, n)) { bad(v, "text that is not UTF-8"); return; }
    if (!charge(r, n)) return;
    v->type = LUN_VALUE_TEXT, v->text = lun_arena_strndup(r->arena, text, n), v->n = n;
}

static void read_value(struct reader *r, struct lun_value *v, int depth);

/* -1 the value, -2 its key, which is a string. */
static void read_named(struct reader *r, struct lun_value *table, int depth)
{
    size_t n;
    const char *name = lua_tolstring(r->L, -2, &n);
    if (n && n <= LUN_VALUE_NAME_MAX && !memchr(name, 0, n) && lun_text_valid(name, n))
        read_value(r, append(table, lun_arena_strndup(r->arena, name, n), 0, r->arena), depth);
    else if (charge(r, 0))
        bad(append(table, unreadable, 0, r->arena), n ? n > LUN_VALUE_NAME_MAX ? "a name of more than 256 bytes" : "a name that is not plain UTF-8 text" : "an empty name");
}

static int by_name(const void *a, const void *b)
{
    const struct lun_value *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* The table is on top. First the list, 1 to n; then all else, which must be names. */
static void read_table(struct reader *r, struct lun_value *v, int depth)
{
    lua_State *L = r->L;
    int numbers = 0;
    v->type = LUN_VALUE_TABLE;
    for (int i = 1; !r->full; i++, v->n_list++) {
        lua_rawgeti(L, -1, i);
        if (!lua_isnil(L, -1)) read_value(r, append(v, NULL, i, r->arena), depth + 1);
        bool last = lua_isnil(L, -1);
        lua_pop(L, 1);
        if (last) break;
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TNUMBER) numbers++;
        else if (lua_type(L, -2) == LUA_TSTRING) read_named(r, v, depth + 1);
        else if (charge(r, 0)) bad(append(v, unreadable, 0, r->arena), "a name that is not text");
        if (r->full) { lua_pop(L, 2); return; }
    }
    if (numbers != v->n_list) bad(append(v, unreadable, 0, r->arena), "a list with holes in it, or numbers as names");
    if (v->n_items) qsort(v->items + v->n_list, (size_t)(v->n_items - v->n_list), sizeof *v->items, by_name);
}

static void read_userdata(struct reader *r, struct lun_value *v, int depth)
{
    const void *secret = r->secret ? r->secret(r->L, -1, r->self) : NULL;
    if (secret) v->type = LUN_VALUE_SECRET, v->secret = secret;
    else if (lun_sandbox_thaw(r->L, -1)) {
        read_table(r, v, depth);
        lua_pop(r->L, 1);
    } else bad(v, "something that is no data");
}

/* The value is on top, and stays there. */
static void read_value(struct reader *r, struct lun_value *v, int depth)
{
    bad(v, "not read");
    if (r->full || !charge(r, 0)) return;
    switch (lua_type(r->L, -1)) {
    case LUA_TBOOLEAN:  v->type = LUN_VALUE_BOOL, v->yes = lua_toboolean(r->L, -1); return;
    case LUA_TNUMBER:   v->type = LUN_VALUE_NUMBER, v->number = lua_tonumber(r->L, -1); return;
    case LUA_TSTRING:   read_text(r, v); return;
    case LUA_TUSERDATA: read_userdata(r, v, depth); return;
    case LUA_TFUNCTION: bad(v, "a function, where only data can stand"), v->type = LUN_VALUE_FUNCTION; return;
    case LUA_TTABLE:
        if (depth >= LUN_VALUE_DEPTH) bad(v, "more than 32 tables inside one another (does one contain itself?)");
        else if (lua_getmetatable(r->L, -1)) {
            lua_pop(r->L, 1);
            bad(v, "a table with a metatable, where only plain tables can stand");
        } else read_table(r, v, depth);
        return;
    default: bad(v, "something that is no data");
    }
}

struct lun_value *lun_value_read(lua_State *L, int index, struct lun_arena *arena, lun_value_secret *secret, void *self)
{
    struct reader r = { .L = L, .arena = arena, .secret = secret, .self = self };
    struct lun_value *root = lun_arena_zalloc(arena, sizeof *root);
    lua_pushvalue(L, index);
    if (lua_checkstack(L, 4 * LUN_VALUE_DEPTH + 20)) read_value(&r, root, 0);
    lua_pop(L, 1);
    if (r.full) bad(root, r.full);
    return root;
}

static int first_not_below(const struct lun_value *table, const char *name)
{
    int low = table->n_list, high = table->n_items;
    while (low < high) {
        int middle = (low + high) / 2;
        if (strcmp(table->items[middle]->key, name) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

struct lun_value *lun_value_get(const struct lun_value *table, const char *name)
{
    if (!table || table->type != LUN_VALUE_TABLE) return NULL;
    int at = first_not_below(table, name);
    return at < table->n_items && !strcmp(table->items[at]->key, name) ? table->items[at] : NULL;
}

struct lun_value *lun_value_item(const struct lun_value *table, int index)
{
    return table && table->type == LUN_VALUE_TABLE && index > 0 && index <= table->n_list ? table->items[index - 1] : NULL;
}

struct lun_value *lun_value_add(struct lun_value *table, const char *name, struct lun_arena *arena)
{
    int at = name ? first_not_below(table, name) : table->n_list;
    struct lun_value *v = append(table, name ? lun_arena_strdup(arena, name) : NULL, name ? 0 : at + 1, arena);
    memmove(table->items + at + 1, table->items + at, (size_t)(table->n_items - 1 - at) * sizeof *table->items);
    if (!name) table->n_list++;
    return table->items[at] = v;
}

const char *lun_value_quote(const char *text, struct lun_arena *arena)
{
    size_t n = strlen(text), clipped = lun_text_clip(text, n, 60);
    return lun_arena_printf(arena, "\"%.*s%s\"", (int)clipped, text, clipped < n ? "…" : "");
}

static bool plain_name(const char *name)
{
    if (*name >= '0' && *name <= '9') return false;
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return n && !name[n];
}

const char *lun_value_path_of(const struct lun_value *table, const char *name, struct lun_arena *arena)
{
    const char *before = table->up ? lun_value_path(table, arena) : "";
    if (plain_name(name) && strlen(name) <= 60) return lun_arena_printf(arena, "%s%s%s", before, *before ? "." : "", name);
    return lun_arena_printf(arena, "%s[%s]", before, lun_value_quote(name, arena));
}

const char *lun_value_path(const struct lun_value *v, struct lun_arena *arena)
{
    if (!v->up) return "the table";
    if (v->key == unreadable) return lun_value_path(v->up, arena);
    if (v->key) return lun_value_path_of(v->up, v->key, arena);
    return lun_arena_printf(arena, "%s[%d]", v->up->up ? lun_value_path(v->up, arena) : "", v->index);
}

static const char *show_number(double number, struct lun_arena *arena)
{
    char text[40];
    lun_decimal_write(text, sizeof text, 15, number);
    return isnan(number) ? "nan" : lun_arena_strdup(arena, text);
}

const char *lun_value_show(const struct lun_value *v, struct lun_arena *arena)
{
    switch (v->type) {
    case LUN_VALUE_BOOL:    return v->yes ? "true" : "false";
    case LUN_VALUE_NUMBER:  return show_number(v->number, arena);
    case LUN_VALUE_TEXT:    return lun_value_quote(v->text, arena);
    case LUN_VALUE_SECRET:  return "a secret";
    case LUN_VALUE_TABLE:   return v->n_list ? "a list" : "a table";
    case LUN_VALUE_FUNCTION: return "a function";
    case LUN_VALUE_BAD:     return v->text;
    }
    return "";
}

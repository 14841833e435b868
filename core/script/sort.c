#include "script/sort.h"
#include <lauxlib.h>
#include <string.h>
#include "script/sandbox.h"
#include "script/vm.h"

#define KEYS_MOST  65536
#define FEW        32           /* so many are sorted without another table or userdata */

enum class { NUMBER, STRING, FALSE_, TRUE_, REST };

/* Strings are borrowed: whoever sorts keeps them on the stack or in a table. */
struct key {
    union { double number; const char *text; };
    uint32_t size, index;
    enum class class;
};

struct sorter { lua_State *L; int64_t work; };

static struct key key_of(lua_State *L, int at, size_t index)
{
    struct key k = { .index = (uint32_t)index, .class = REST };
    size_t n;
    switch (lua_type(L, at)) {
    case LUA_TNUMBER:
        k.class = NUMBER;
        k.number = lua_tonumber(L, at);
        break;
    case LUA_TSTRING:
        k.class = STRING;
        k.text = lua_tolstring(L, at, &n);
        k.size = (uint32_t)n;
        break;
    case LUA_TBOOLEAN:
        k.class = lua_toboolean(L, at) ? TRUE_ : FALSE_;
        break;
    }
    return k;
}

/* In which order keys come differs between processes, and with it how many comparisons a sort takes. So that counted
 * instructions repeat, a sort is charged beforehand by what it can take at most, and here only the limits are looked at. */
static void look(struct sorter *s, int64_t units)
{
    if ((s->work += units) < 1024) return;
    lun_vm_check(s->L);
    s->work = 0;
}

static void charge(struct sorter *s, const struct key *a, size_t n)
{
    int64_t once = (int64_t)n, rounds = 1;
    for (size_t i = 0; i < n; i++) once += a[i].class == STRING ? a[i].size >> 6 : 0;
    for (size_t k = n; k > 1; k /= 2) rounds++;
    lun_vm_work(s->L, once * rounds);
}

static int order(struct sorter *s, const struct key *a, const struct key *b)
{
    if (a->class != b->class) return a->class < b->class ? -1 : 1;
    if (a->class == NUMBER) {
        look(s, 1);
        return (a->number > b->number) - (a->number < b->number);
    }
    if (a->class != STRING) return 0;
    uint32_t n = a->size < b->size ? a->size : b->size;
    look(s, 1 + (n >> 6));
    int d = memcmp(a->text, b->text, n);
    return d ? d : (a->size > b->size) - (a->size < b->size);
}

static void insertion(struct sorter *s, struct key *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct key k = a[i];
        size_t j = i;
        for (; j > 0 && order(s, &a[j - 1], &k) > 0; j--) a[j] = a[j - 1];
        a[j] = k;
    }
}

static void merge(struct sorter *s, struct key *a, struct key *b, size_t middle, size_t n)
{
    size_t i = 0, j = middle, k = 0;
    memcpy(b, a, n * sizeof *a);
    while (i < middle && j < n) a[k++] = order(s, &b[j], &b[i]) < 0 ? b[j++] : b[i++];
    while (i < middle) a[k++] = b[i++];
    while (j < n) a[k++] = b[j++];
}

static void sort_part(struct sorter *s, struct key *a, struct key *spare, size_t n)
{
    if (n <= 8) {
        insertion(s, a, n);
        return;
    }
    sort_part(s, a, spare, n / 2);
    sort_part(s, a + n / 2, spare, n - n / 2);
    merge(s, a, spare, n / 2, n);
}

/* `spare` has room for n. */
static void sort(struct sorter *s, struct key *a, struct key *spare, size_t n)
{
    charge(s, a, n);
    sort_part(s, a, spare, n);
}

/* ---- keys ---- */

static size_t count_keys(lua_State *L, int t)
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1))
        if ((++n & 1023) == 0) lun_vm_work(L, 1024);
    if (n > KEYS_MOST) luaL_error(L, "pairs: a table of %d keys is too large (most: %d)", (int)n, KEYS_MOST);
    return n;
}

/* On the stack: table. The keys go onto the stack itself, which keeps them alive (the table may be a weak one). */
static int few_keys(lua_State *L, size_t most)
{
    struct sorter s = { L, 0 };
    struct key keys[FEW], spare[FEW];
    size_t n = 0;
    luaL_checkstack(L, FEW + 8, "pairs");
    lua_createtable(L, (int)most, 0);
    for (lua_pushnil(L); n < most && lua_next(L, 1); n++) {
        keys[n] = key_of(L, -2, n);
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
    }
    lua_settop(L, 2 + (int)n);
    sort(&s, keys, spare, n);
    for (size_t i = 0; i < n; i++) {
        lua_pushvalue(L, 3 + (int)keys[i].index);
        lua_rawseti(L, 2, (int)i + 1);
    }
    lua_settop(L, 2);
    return 1;
}

static int many_keys(lua_State *L, size_t most)
{
    struct sorter s = { L, 0 };
    size_t n = 0;
    lua_createtable(L, (int)most, 0);       /* 2: the answer */
    lua_createtable(L, (int)most, 0);       /* 3: keeps the keys alive, in the order found */
    struct key *keys = lua_newuserdata(L, 2 * most * sizeof *keys);
    for (lua_pushnil(L); n < most && lua_next(L, 1); n++) {
        keys[n] = key_of(L, -2, n);
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, 3, (int)n + 1);
    }
    sort(&s, keys, keys + most, n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 3, (int)keys[i].index + 1);
        lua_rawseti(L, 2, (int)i + 1);
    }
    lua_settop(L, 2);
    return 1;
}

int lun_sort_keys(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    size_t n = count_keys(L, 1);
    return n <= FEW ? few_keys(L, n) : many_keys(L, n);
}

int lun_sort_first(lua_State *L)
{
    struct sorter s = { L, 0 };
    size_t n = 0;
    if (lua_gettop(L) > 1 && !lua_isnil(L, 2)) return luaL_error(L, "next takes no key here (it tells whether a table is empty): use pairs");
    lua_settop(L, 1);
    if (lun_sandbox_thaw(L, 1)) lua_replace(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushnil(L);                         /* 2: the least key so far */
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        struct key k = key_of(L, -2, 0), least = key_of(L, 2, 0);
        if ((++n & 1023) == 0) lun_vm_work(L, 1024);
        if (!lua_isnil(L, 2) && order(&s, &least, &k) <= 0) continue;
        lua_pushvalue(L, -2);
        lua_replace(L, 2);
    }
    if (lua_isnil(L, 2)) return 1;
    lua_pushvalue(L, 2);
    lua_rawget(L, 1);
    return 2;
}

/* ---- table.sort without a function ---- */

int lun_sort_plain(lua_State *L)
{
    struct sorter s = { L, 0 };
    size_t n = (size_t)luaL_checkinteger(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argcheck(L, n <= KEYS_MOST, 2, "too many");
    lua_settop(L, 1);
    lua_createtable(L, (int)n, 0);          /* 2: keeps the strings alive while [1] is rewritten */
    struct key *keys = lua_newuserdata(L, (2 * n + 1) * sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        keys[i] = key_of(L, -1, i);
        lua_rawseti(L, 2, (int)i + 1);
        if (keys[i].class > STRING || keys[i].class != keys[0].class || (keys[i].class == NUMBER && keys[i].number != keys[i].number)) {
            lua_pushboolean(L, 0);
            return 1;
        }
    }
    sort(&s, keys, keys + n, n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (int)keys[i].index + 1);
        lua_rawseti(L, 1, (int)i + 1);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Words that a policy looks for: keywords. */
#include "script/bind.h"
#include <string.h>
#include "base/keywords.h"
#include "base/text.h"
#include "script/sandbox.h"

#define BYTES ((size_t)64 << 10)        /* of all of them */
#define TEXT  ((size_t)64 << 10)        /* so much of a text is looked at */
#define KEPT  ((size_t)1 << 20)         /* of memory, from one text to the next */

/* ---- the text that was looked at last ---- */

/* Prepared: a policy asks one list after the other about the same text, and equal texts of Lua are one. `text` is only compared: what keeps it from being
 * another by then is the table that is its environment. One for each machine. */
struct last { const char *text; size_t n; struct lun_buf prepared; };

static const char last;                 /* its address is the registry's key */

static int free_last(lua_State *L)
{
    struct last *l = lua_touserdata(L, 1);
    if (l) lun_buf_free(&l->prepared);
    return 0;
}

static void push_last(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&last);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
    memset(lua_newuserdata(L, sizeof(struct last)), 0, sizeof(struct last));
    lua_createtable(L, 1, 0);
    lua_setfenv(L, -2);
    lua_newtable(L);
    lua_pushcfunction(L, free_last);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushlightuserdata(L, (void *)&last);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

/* The text at 1, of which n bytes are looked at. */
static const struct lun_buf *prepared(lua_State *L, struct last *l, const char *text, size_t n)
{
    if (l->text == text && l->n == n) return &l->prepared;
    if (l->prepared.room > KEPT) lun_buf_free(&l->prepared);
    l->text = NULL, l->prepared.n = 0;
    lua_getfenv(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pop(L, 1);
    lun_keywords_prepare(text, n, &l->prepared);
    l->text = text, l->n = n;
    lun_vm_work(L, (int64_t)(n >> 4));
    return &l->prepared;
}

static int found(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    const struct lun_keywords *k = lua_touserdata(L, lua_upvalueindex(1));
    const struct lun_buf *in = prepared(L, lua_touserdata(L, lua_upvalueindex(2)), text, lun_text_clip(text, n, TEXT));
    struct lun_keywords_search s = { .text = in->at, .n = in->n };
    for (int64_t before = 0; lun_keywords_look(k, &s); before = s.steps) lun_vm_work(L, 1 + ((s.steps - before) >> 5));
    lua_pushinteger(L, s.count);
    return 1;
}

/* The i-th of the list at 1, prepared at the end of `out`. */
static size_t prepare(lua_State *L, int i, struct lun_buf *out)
{
    size_t n = 0, from = out->n;
    lua_rawgeti(L, 1, i);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
    if (!text || !n || n > 256) luaL_error(L, "keywords(list): each is a text of 1 to 256 bytes; number %d is not", i);
    lun_keywords_prepare(text, n, out);
    lua_pop(L, 1);
    if (out->n > BYTES) luaL_error(L, "keywords(list): over %d KiB in all", (int)(BYTES >> 10));
    return out->n - from;
}

int lun_words_keywords(lua_State *L)
{
    size_t at = 0;
    lua_settop(L, 1);
    if (lun_sandbox_thaw(L, 1)) lua_replace(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    int n = (int)lua_objlen(L, 1);
    if (!n || n > LUN_KEYWORDS_MOST) return luaL_error(L, "keywords(list): a list of 1 to %d texts", LUN_KEYWORDS_MOST);
    size_t *sizes = lua_newuserdata(L, (size_t)n * sizeof *sizes);
    struct lun_buf *out = lun_bind_scratch(L);
    for (int i = 0; i < n; i++) sizes[i] = prepare(L, i + 1, out);
    struct lun_keywords *k = lun_keywords_init(lua_newuserdata(L, lun_keywords_size(n, out->n)), n);
    for (int i = 0; i < n; at += sizes[i++]) lun_keywords_add(k, out->at + at, sizes[i]);
    push_last(L);
    lua_pushcclosure(L, found, 2);
    return 1;
}

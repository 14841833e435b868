/* Words that a policy looks for: keywords. */
#include "script/bind.h"
#include "base/keywords.h"
#include "base/text.h"
#include "script/sandbox.h"

#define MOST  1024                      /* keywords of a list */
#define BYTES ((size_t)64 << 10)        /* of all of them */
#define TEXT  ((size_t)64 << 10)        /* so much of a text is looked at */

static int found(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    const struct lun_keywords *k = lua_touserdata(L, lua_upvalueindex(1));
    struct lun_buf *prepared = lun_bind_scratch(L);
    int count = 0;
    lun_keywords_prepare(text, lun_text_clip(text, n, TEXT), prepared);
    for (int i = 0; prepared->n && i < lun_keywords_count(k); i++) {
        count += lun_keywords_stands(k, i, prepared->at, prepared->n);
        lun_vm_work(L, 1 + (int64_t)(prepared->n >> 7));
    }
    lua_pushinteger(L, count);
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
    size_t sizes[MOST], at = 0;
    lua_settop(L, 1);
    if (lun_sandbox_thaw(L, 1)) lua_replace(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    int n = (int)lua_objlen(L, 1);
    if (!n || n > MOST) return luaL_error(L, "keywords(list): a list of 1 to %d texts", MOST);
    struct lun_buf *out = lun_bind_scratch(L);
    for (int i = 0; i < n; i++) sizes[i] = prepare(L, i + 1, out);
    struct lun_keywords *k = lun_keywords_init(lua_newuserdata(L, lun_keywords_size(n, out->n)), n);
    for (int i = 0; i < n; at += sizes[i++]) lun_keywords_add(k, out->at + at, sizes[i]);
    lua_pushcclosure(L, found, 1);
    return 1;
}

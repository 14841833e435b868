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

/* A policy asks one list after the other about the same text: so the text is prepared once, and lists that were asked about the same one, a team, are looked
 * for in one pass over the next. Equal texts of Lua are one: `text` is only compared. What keeps it from being another by then, and lists from being others
 * at their addresses, is the table that is its environment. One for each machine. */
enum { TEAM = 8, TEAMS = 16 };          /* lists in one; how often one is made anew: a policy that makes lists for each request has nothing from it */
struct member { const struct lun_keywords *list; uint64_t which[LUN_KEYWORDS_BITS]; };
struct last {
    const char *text; size_t n; struct lun_buf prepared;
    const struct lun_keywords *alone[TEAM]; int n_alone;        /* asked about this text, and of no team */
    struct lun_keywords *team; int n_members, teams;
    struct member members[TEAM];
    struct lun_keywords_search found; bool looked;              /* the team's, in this text */
};
enum { IN_TABLE_TEXT = 1, IN_TABLE_TEAM, IN_TABLE_ALONE, IN_TABLE_MEMBERS = IN_TABLE_ALONE + TEAM, IN_TABLE_END = IN_TABLE_MEMBERS + TEAM };

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
    lua_createtable(L, IN_TABLE_END, 0);        /* with room for all: to put something there cannot fail */
    lua_setfenv(L, -2);
    lua_newtable(L);
    lua_pushcfunction(L, free_last);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushlightuserdata(L, (void *)&last);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

/* ---- teams ---- */

static const struct member *member(const struct last *l, const struct lun_keywords *k)
{
    for (int i = 0; i < l->n_members; i++) if (l->members[i].list == k) return &l->members[i];
    return NULL;
}

/* The text at 1 is asked about by the list at the first upvalue. */
static void note_alone(lua_State *L, struct last *l, const struct lun_keywords *k)
{
    for (int i = 0; i < l->n_alone; i++) if (l->alone[i] == k) return;
    if (l->n_alone == TEAM || l->teams == TEAMS) return;
    lua_getfenv(L, lua_upvalueindex(2));
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_rawseti(L, -2, IN_TABLE_ALONE + l->n_alone);
    lua_pop(L, 1);
    l->alone[l->n_alone++] = k;
}

/* All that there is room for; the table of what is kept at -2, the new team at -1. */
static void fill_team(lua_State *L, struct last *l, struct lun_keywords *team, int n)
{
    for (int i = 0; i < l->n_members; i++) lun_keywords_add_all(team, l->members[i].list, l->members[i].which);
    for (int i = 0; i < n; i++) {
        struct member *m = &l->members[l->n_members];
        lun_keywords_add_all(team, m->list = l->alone[i], m->which);
        lua_rawgeti(L, -2, IN_TABLE_ALONE + i);
        lua_rawseti(L, -3, IN_TABLE_MEMBERS + l->n_members++);
    }
    lua_rawseti(L, -2, IN_TABLE_TEAM);
    l->team = team;
    l->teams++;
}

/* Those that were asked about the last text, when there is another. */
static void make_team(lua_State *L, struct last *l)
{
    int n = l->n_alone, words = l->team ? lun_keywords_count(l->team) : 0;
    size_t bytes = l->team ? lun_keywords_bytes(l->team) : 0;
    l->n_alone = 0;
    if (n + l->n_members < 2 || n + l->n_members > TEAM) return;
    for (int i = 0; i < n; i++) words += lun_keywords_count(l->alone[i]), bytes += lun_keywords_bytes(l->alone[i]);
    if (words > LUN_KEYWORDS_MOST) return;
    lua_getfenv(L, lua_upvalueindex(2));
    fill_team(L, l, lun_keywords_init(lua_newuserdata(L, lun_keywords_size(words, bytes)), words), n);
    lua_pop(L, 1);
}

/* ---- looking ---- */

/* The text at 1, of which n bytes are looked at. */
static void prepared(lua_State *L, struct last *l, const char *text, size_t n)
{
    if (l->text == text && l->n == n) return;
    if (l->prepared.room > KEPT) lun_buf_free(&l->prepared);
    l->text = NULL, l->prepared.n = 0, l->looked = false;
    if (l->n_alone) make_team(L, l);
    lua_getfenv(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, IN_TABLE_TEXT);
    lua_pop(L, 1);
    lun_keywords_prepare(text, n, &l->prepared);
    l->text = text, l->n = n;
    lun_vm_work(L, (int64_t)(n >> 4));
}

static void look(lua_State *L, const struct last *l, const struct lun_keywords *k, struct lun_keywords_search *s)
{
    *s = (struct lun_keywords_search){ .text = l->prepared.at, .n = l->prepared.n };
    for (int64_t before = 0; lun_keywords_look(k, s); before = s->steps) lun_vm_work(L, 1 + ((s->steps - before) >> 5));
}

static int found(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    const struct lun_keywords *k = lua_touserdata(L, lua_upvalueindex(1));
    struct last *l = lua_touserdata(L, lua_upvalueindex(2));
    struct lun_keywords_search s;
    prepared(L, l, text, lun_text_clip(text, n, TEXT));
    const struct member *m = member(l, k);
    if (m) {
        if (!l->looked) look(L, l, l->team, &l->found), l->looked = true;
        lua_pushinteger(L, lun_keywords_found(&l->found, m->which));
        return 1;
    }
    look(L, l, k, &s);
    note_alone(L, l, k);
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

#include "script/matcher.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>
#include "script/pattern.h"
#include "script/vm.h"

#define ESCAPE       '%'
#define RESULT_MOST  ((size_t)1 << 20)

/* ---- find, match ---- */

static void subject(struct lun_pattern *m, lua_State *L)
{
    size_t n;
    m->L = L;
    m->start = luaL_checklstring(L, 1, &n);
    m->end = m->start + n;
    m->level = 0;
    m->steps = 0;
}

static const char *pattern(struct lun_pattern *m, lua_State *L)
{
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    m->pattern_end = p + n;
    return p;
}

static bool anchored(const struct lun_pattern *m, const char **p)
{
    if (*p == m->pattern_end || **p != '^') return false;
    ++*p;
    return true;
}

static const char *start_at(const struct lun_pattern *m, lua_State *L)
{
    ptrdiff_t size = m->end - m->start, at = (ptrdiff_t)luaL_optinteger(L, 3, 1);
    if (at < 0) at = at + size + 1 < 0 ? 0 : at + size + 1;
    if (at > 0) at--;
    return m->start + (at > size ? size : at);
}

static bool plain(const char *p, const char *end)
{
    for (; p < end; p++)
        if (*p && strchr("^$*+?.([%-", *p)) return false;
    return true;
}

static int find_plain(struct lun_pattern *m, const char *s, const char *p)
{
    size_t n = (size_t)(m->pattern_end - p);
    const char *found = memmem(s, (size_t)(m->end - s), p, n);
    lun_vm_work(m->L, ((found ? found : m->end) - s) >> 6);
    if (!found) {
        lua_pushnil(m->L);
        return 1;
    }
    lua_pushinteger(m->L, found - m->start + 1);
    lua_pushinteger(m->L, found - m->start + (ptrdiff_t)n);
    return 2;
}

/* The first match at or after *s, which is moved to its start. */
static const char *search(struct lun_pattern *m, const char **s, const char *p, bool here_only)
{
    do {
        const char *e = lun_pattern_match(m, *s, p);
        if (e) return e;
    } while ((*s)++ < m->end && !here_only);
    return NULL;
}

int lun_match_find(lua_State *L)
{
    struct lun_pattern m;
    subject(&m, L);
    const char *p = pattern(&m, L), *s = start_at(&m, L);
    if (lua_toboolean(L, 4) || plain(p, m.pattern_end)) return find_plain(&m, s, p);
    bool here_only = anchored(&m, &p);
    const char *e = search(&m, &s, p, here_only);
    if (!e) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, s - m.start + 1);
    lua_pushinteger(L, e - m.start);
    return lun_pattern_push_all(&m, NULL, NULL) + 2;
}

int lun_match_match(lua_State *L)
{
    struct lun_pattern m;
    subject(&m, L);
    const char *p = pattern(&m, L), *s = start_at(&m, L);
    bool here_only = anchored(&m, &p);
    const char *e = search(&m, &s, p, here_only);
    if (e) return lun_pattern_push_all(&m, s, e);
    lua_pushnil(L);
    return 1;
}

int lun_match_seek(lua_State *L)
{
    struct lun_pattern m;
    subject(&m, L);
    const char *p = pattern(&m, L), *s = m.start + luaL_checkinteger(L, 3) - 1;
    if (s < m.start || s > m.end) return 0;
    bool here_only = anchored(&m, &p);
    const char *e = search(&m, &s, p, here_only);
    if (!e) return 0;
    lua_pushinteger(L, s - m.start + 1);
    lua_pushinteger(L, e - m.start);
    return lun_pattern_push_all(&m, s, e) + 2;
}

/* ---- gmatch ---- */

static int next_match(lua_State *L)
{
    struct lun_pattern m = { .L = L };
    size_t ns, np;
    m.start = lua_tolstring(L, lua_upvalueindex(1), &ns);
    const char *p = lua_tolstring(L, lua_upvalueindex(2), &np);
    const char *s = m.start + lua_tointeger(L, lua_upvalueindex(3));
    m.end = m.start + ns;
    m.pattern_end = p + np;
    if (s > m.end) return 0;
    const char *e = search(&m, &s, p, false);
    lua_pushinteger(L, e ? e - m.start + (e == s) : m.end - m.start + 1);
    lua_replace(L, lua_upvalueindex(3));
    return e ? lun_pattern_push_all(&m, s, e) : 0;
}

int lun_match_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_match, 3);
    return 1;
}

/* ---- gsub with a text ---- */

/* The result so far, in a userdata at the stack's `index`, so that an error frees it. */
struct output { char *at; size_t n, room; int index; };

static void add(struct lun_pattern *m, struct output *out, const char *s, size_t n)
{
    if (!n) return;
    if (n > RESULT_MOST - out->n) luaL_error(m->L, "result over 1 MiB");
    if (out->n + n > out->room) {
        size_t room = 2 * out->room > out->n + n ? 2 * out->room : out->n + n + (size_t)(m->end - m->start) / 4 + 64;
        if (room > RESULT_MOST) room = RESULT_MOST;
        char *more = lua_newuserdata(m->L, room);
        if (out->n) memcpy(more, out->at, out->n);
        out->at = more;
        out->room = room;
        lua_replace(m->L, out->index);
    }
    memcpy(out->at + out->n, s, n);
    out->n += n;
}

static void add_capture(struct lun_pattern *m, struct output *out, int i, const char *s, const char *e)
{
    size_t n;
    lun_pattern_push(m, i, s, e);
    const char *text = lua_tolstring(m->L, -1, &n);
    add(m, out, text, n);
    lua_pop(m->L, 1);
}

/* The replacement text with its %0 .. %9. */
static void add_text(struct lun_pattern *m, struct output *out, const char *s, const char *e)
{
    size_t n;
    const char *text = lua_tolstring(m->L, 3, &n), *end = text + n;
    while (text < end) {
        const char *escape = memchr(text, ESCAPE, (size_t)(end - text));
        add(m, out, text, (size_t)((escape ? escape : end) - text));
        lun_pattern_step(m);
        if (!escape || escape + 1 == end) return;
        if (escape[1] < '0' || escape[1] > '9') add(m, out, escape + 1, 1);
        else if (escape[1] == '0') add(m, out, s, (size_t)(e - s));
        else add_capture(m, out, escape[1] - '1', s, e);
        text = escape + 2;
    }
}

int lun_match_gsub(lua_State *L)
{
    struct lun_pattern m;
    struct output out = { .index = 4 };
    subject(&m, L);
    const char *p = pattern(&m, L), *s = m.start;
    lua_Integer n = 0, most = luaL_optinteger(L, 4, m.end - m.start + 1);
    luaL_checkstring(L, 3);
    lua_settop(L, 3);
    lua_pushnil(L);
    bool here_only = anchored(&m, &p);
    while (n < most) {
        const char *e = lun_pattern_match(&m, s, p);
        if (e) {
            n++;
            add_text(&m, &out, s, e);
        }
        if (e && e > s) s = e;
        else if (s < m.end) add(&m, &out, s++, 1);
        else break;
        if (here_only) break;
    }
    add(&m, &out, s, (size_t)(m.end - s));
    lua_pushlstring(L, out.at ? out.at : "", out.n);
    lua_pushinteger(L, n);
    return 2;
}

#include "script/matcher.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "script/vm.h"

#define ESCAPE       '%'
#define CAPTURES     32
#define DEEPEST      200
#define RESULT_MOST  ((size_t)2 << 20)
#define OPEN         (-1)       /* a capture whose end is not yet known */
#define POSITION     (-2)       /* `()` */

struct match {
    lua_State  *L;
    const char *start, *end;            /* the subject */
    const char *pattern_end;
    int         level, depth;
    unsigned    steps;
    struct { const char *at; ptrdiff_t size; } capture[CAPTURES];
};

static const char *match(struct match *m, const char *s, const char *p);

static inline unsigned char byte(const char *s) { return (unsigned char)*s; }

static void step(struct match *m)
{
    if ((++m->steps & 1023) == 0) lun_vm_work(m->L, 1024);
}

/* ---- one character ---- */

static bool in(int c, int low, int high) { return c >= low && c <= high; }

static bool of_class(int c, int class)
{
    switch (class | 0x20) {
    case 'a': return in(c | 0x20, 'a', 'z');
    case 'c': return c < 0x20 || c == 0x7f;
    case 'd': return in(c, '0', '9');
    case 'l': return in(c, 'a', 'z');
    case 'p': return in(c, 0x21, 0x2f) || in(c, 0x3a, 0x40) || in(c, 0x5b, 0x60) || in(c, 0x7b, 0x7e);
    case 's': return c == ' ' || in(c, 9, 13);
    case 'u': return in(c, 'A', 'Z');
    case 'w': return in(c, '0', '9') || in(c | 0x20, 'a', 'z');
    case 'x': return in(c, '0', '9') || in(c | 0x20, 'a', 'f');
    default:  return c == 0;            /* z */
    }
}

static bool escaped_is(int c, int class)
{
    if (!in(class | 0x20, 'a', 'z') || !strchr("acdlpsuwxz", class | 0x20)) return c == class;
    return of_class(c, class) == !in(class, 'A', 'Z');
}

/* p at '[', last at ']'. */
static bool in_set(struct match *m, int c, const char *p, const char *last)
{
    bool found = true;
    if (p[1] == '^') {
        found = false;
        p++;
    }
    while (++p < last) {
        step(m);
        if (*p == ESCAPE) {
            if (escaped_is(c, byte(++p))) return found;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if (in(c, byte(p - 2), byte(p))) return found;
        } else if (byte(p) == c) {
            return found;
        }
    }
    return !found;
}

static const char *set_end(struct match *m, const char *p)
{
    if (p < m->pattern_end && *p == '^') p++;
    do {
        if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == ESCAPE && p < m->pattern_end) p++;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

/* Behind the single character class at p. */
static const char *class_end(struct match *m, const char *p)
{
    char c = *p++;
    if (c == '[') return set_end(m, p);
    if (c != ESCAPE) return p;
    if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 1;
}

static bool single(struct match *m, const char *s, const char *p, const char *behind)
{
    step(m);
    if (s >= m->end) return false;
    switch (*p) {
    case '.':    return true;
    case ESCAPE: return escaped_is(byte(s), byte(p + 1));
    case '[':    return in_set(m, byte(s), p, behind - 1);
    default:     return *p == *s;
    }
}

/* ---- captures ---- */

static const char *capture_open(struct match *m, const char *s, const char *p)
{
    bool position = ++p < m->pattern_end && *p == ')';
    if (m->level >= CAPTURES) luaL_error(m->L, "too many captures");
    m->capture[m->level].at = s;
    m->capture[m->level].size = position ? POSITION : OPEN;
    m->level++;
    const char *e = match(m, s, p + position);
    if (!e) m->level--;
    return e;
}

static const char *capture_close(struct match *m, const char *s, const char *p)
{
    int i = m->level - 1;
    while (i >= 0 && m->capture[i].size != OPEN) i--;
    if (i < 0) luaL_error(m->L, "invalid pattern capture");
    m->capture[i].size = s - m->capture[i].at;
    const char *e = match(m, s, p + 1);
    if (!e) m->capture[i].size = OPEN;
    return e;
}

/* %1 in a pattern. */
static const char *again(struct match *m, const char *s, int digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->level || m->capture[i].size < 0) luaL_error(m->L, "invalid capture index");
    size_t n = (size_t)m->capture[i].size;
    lun_vm_work(m->L, 1 + (int64_t)(n >> 6));
    if ((size_t)(m->end - s) < n || memcmp(m->capture[i].at, s, n)) return NULL;
    return s + n;
}

/* ---- the pattern ---- */

/* %bxy */
static const char *balanced(struct match *m, const char *s, const char *p)
{
    int depth = 1;
    if (m->pattern_end - p < 4) luaL_error(m->L, "unbalanced pattern");
    if (s >= m->end || *s != p[2]) return NULL;
    while (++s < m->end) {
        step(m);
        if (*s == p[3]) {
            if (--depth == 0) return s + 1;
        } else if (*s == p[2]) {
            depth++;
        }
    }
    return NULL;
}

/* %f[set]: gives what follows it in the pattern, or NULL. */
static const char *frontier(struct match *m, const char *s, const char *p)
{
    p += 2;
    if (p >= m->pattern_end || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *behind = class_end(m, p);
    int before = s == m->start ? 0 : byte(s - 1), here = s < m->end ? byte(s) : 0;
    if (in_set(m, before, p, behind - 1) || !in_set(m, here, p, behind - 1)) return NULL;
    return behind;
}

static const char *as_many(struct match *m, const char *s, const char *p, const char *behind, ptrdiff_t least)
{
    ptrdiff_t n = 0;
    while (single(m, s + n, p, behind)) n++;
    for (; n >= least; n--) {
        const char *e = match(m, s + n, behind + 1);
        if (e) return e;
    }
    return NULL;
}

static const char *as_few(struct match *m, const char *s, const char *p, const char *behind)
{
    for (;;) {
        const char *e = match(m, s, behind + 1);
        if (e) return e;
        if (!single(m, s++, p, behind)) return NULL;
    }
}

enum way { GO_ON, NO, YES };

/* What starts with % and is more than a class: moves s and p over it. */
static enum way special(struct match *m, const char **s, const char **p)
{
    char c = *p + 1 < m->pattern_end ? (*p)[1] : 0;
    if (c == 'b') {
        if (!(*s = balanced(m, *s, *p))) return NO;
        *p += 4;
        return YES;
    }
    if (c == 'f') return (*p = frontier(m, *s, *p)) ? YES : NO;
    if (in(c, '0', '9')) {
        if (!(*s = again(m, *s, c))) return NO;
        *p += 2;
        return YES;
    }
    return GO_ON;
}

/* A class and what repeats it. GO_ON: one character was matched, s and p stand behind it; else *e is the end. */
static enum way item(struct match *m, const char **s, const char **p, const char **e)
{
    const char *behind = class_end(m, *p);
    switch (behind < m->pattern_end ? *behind : 0) {
    case '?':
        if (single(m, *s, *p, behind) && (*e = match(m, *s + 1, behind + 1))) return YES;
        *p = behind + 1;
        return GO_ON;
    case '*': return (*e = as_many(m, *s, *p, behind, 0)) ? YES : NO;
    case '+': return (*e = as_many(m, *s, *p, behind, 1)) ? YES : NO;
    case '-': return (*e = as_few(m, *s, *p, behind)) ? YES : NO;
    default:
        if (!single(m, *s, *p, behind)) return NO;
        (*s)++;
        *p = behind;
        return GO_ON;
    }
}

static const char *match_on(struct match *m, const char *s, const char *p)
{
    const char *e = NULL;
    for (;;) {
        step(m);
        if (p == m->pattern_end) return s;
        if (*p == '(') return capture_open(m, s, p);
        if (*p == ')') return capture_close(m, s, p);
        if (*p == '$' && p + 1 == m->pattern_end) return s == m->end ? s : NULL;
        enum way way = *p == ESCAPE ? special(m, &s, &p) : GO_ON;
        if (way == NO) return NULL;
        if (way == YES) continue;
        way = item(m, &s, &p, &e);
        if (way != GO_ON) return way == YES ? e : NULL;
    }
}

static const char *match(struct match *m, const char *s, const char *p)
{
    if (m->depth-- == 0) luaL_error(m->L, "pattern too complex");
    const char *e = match_on(m, s, p);
    m->depth++;
    return e;
}

/* From `s`, as if the whole match began there. */
static const char *match_at(struct match *m, const char *s, const char *p)
{
    m->level = 0;
    m->depth = DEEPEST;
    return match(m, s, p);
}

/* ---- results ---- */

static void push_capture(struct match *m, int i, const char *s, const char *e)
{
    if (i >= m->level) {
        if (i) luaL_error(m->L, "invalid capture index");
        lua_pushlstring(m->L, s, (size_t)(e - s));
    } else if (m->capture[i].size == POSITION) {
        lua_pushinteger(m->L, m->capture[i].at - m->start + 1);
    } else if (m->capture[i].size == OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[i].at, (size_t)m->capture[i].size);
    }
}

/* Captures; where there are none, the whole match from s (unless s is NULL) to e. */
static int push_captures(struct match *m, const char *s, const char *e)
{
    int n = m->level == 0 && s ? 1 : m->level;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) push_capture(m, i, s, e);
    return n;
}

/* ---- find, match ---- */

static void subject(struct match *m, lua_State *L)
{
    size_t n;
    m->L = L;
    m->start = luaL_checklstring(L, 1, &n);
    m->end = m->start + n;
    m->level = 0;
    m->steps = 0;
}

static const char *pattern(struct match *m, lua_State *L)
{
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    m->pattern_end = p + n;
    return p;
}

static bool anchored(const struct match *m, const char **p)
{
    if (*p == m->pattern_end || **p != '^') return false;
    ++*p;
    return true;
}

static const char *start_at(const struct match *m, lua_State *L)
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

static int find_plain(struct match *m, const char *s, const char *p)
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
static const char *search(struct match *m, const char **s, const char *p, bool here_only)
{
    do {
        const char *e = match_at(m, *s, p);
        if (e) return e;
    } while ((*s)++ < m->end && !here_only);
    return NULL;
}

int lun_match_find(lua_State *L)
{
    struct match m;
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
    return push_captures(&m, NULL, NULL) + 2;
}

int lun_match_match(lua_State *L)
{
    struct match m;
    subject(&m, L);
    const char *p = pattern(&m, L), *s = start_at(&m, L);
    bool here_only = anchored(&m, &p);
    const char *e = search(&m, &s, p, here_only);
    if (e) return push_captures(&m, s, e);
    lua_pushnil(L);
    return 1;
}

int lun_match_seek(lua_State *L)
{
    struct match m;
    subject(&m, L);
    const char *p = pattern(&m, L), *s = m.start + luaL_checkinteger(L, 3) - 1;
    if (s < m.start || s > m.end) return 0;
    bool here_only = anchored(&m, &p);
    const char *e = search(&m, &s, p, here_only);
    if (!e) return 0;
    lua_pushinteger(L, s - m.start + 1);
    lua_pushinteger(L, e - m.start);
    return push_captures(&m, s, e) + 2;
}

/* ---- gmatch ---- */

static int next_match(lua_State *L)
{
    struct match m = { .L = L };
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
    return e ? push_captures(&m, s, e) : 0;
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

static void add(struct match *m, struct output *out, const char *s, size_t n)
{
    if (!n) return;
    if (n > RESULT_MOST - out->n) luaL_error(m->L, "result over 2 MiB");
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

static void add_capture(struct match *m, struct output *out, int i, const char *s, const char *e)
{
    size_t n;
    push_capture(m, i, s, e);
    const char *text = lua_tolstring(m->L, -1, &n);
    add(m, out, text, n);
    lua_pop(m->L, 1);
}

/* The replacement text with its %0 .. %9. */
static void add_text(struct match *m, struct output *out, const char *s, const char *e)
{
    size_t n;
    const char *text = lua_tolstring(m->L, 3, &n), *end = text + n;
    while (text < end) {
        const char *escape = memchr(text, ESCAPE, (size_t)(end - text));
        add(m, out, text, (size_t)((escape ? escape : end) - text));
        step(m);
        if (!escape || escape + 1 == end) return;
        if (!in(escape[1], '0', '9')) add(m, out, escape + 1, 1);
        else if (escape[1] == '0') add(m, out, s, (size_t)(e - s));
        else add_capture(m, out, escape[1] - '1', s, e);
        text = escape + 2;
    }
}

int lun_match_gsub(lua_State *L)
{
    struct match m;
    struct output out = { .index = 4 };
    subject(&m, L);
    const char *p = pattern(&m, L), *s = m.start;
    lua_Integer n = 0, most = luaL_optinteger(L, 4, m.end - m.start + 1);
    luaL_checkstring(L, 3);
    lua_settop(L, 3);
    lua_pushnil(L);
    bool here_only = anchored(&m, &p);
    while (n < most) {
        const char *e = match_at(&m, s, p);
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

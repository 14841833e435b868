#include "script/pattern.h"
#include <lauxlib.h>
#include <string.h>
#include "script/vm.h"

#define ESCAPE       '%'
#define DEEPEST      200
#define OPEN         (-1)       /* a capture whose end is not yet known */
#define POSITION     (-2)       /* `()` */

static const char *match(struct lun_pattern *m, const char *s, const char *p);

static inline unsigned char byte(const char *s) { return (unsigned char)*s; }

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
static bool in_set(struct lun_pattern *m, int c, const char *p, const char *last)
{
    bool found = true;
    if (p[1] == '^') {
        found = false;
        p++;
    }
    while (++p < last) {
        lun_pattern_step(m);
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

static const char *set_end(struct lun_pattern *m, const char *p)
{
    if (p < m->pattern_end && *p == '^') p++;
    do {
        if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == ESCAPE && p < m->pattern_end) p++;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

/* Behind the single character class at p. */
static const char *class_end(struct lun_pattern *m, const char *p)
{
    char c = *p++;
    if (c == '[') return set_end(m, p);
    if (c != ESCAPE) return p;
    if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 1;
}

static bool single(struct lun_pattern *m, const char *s, const char *p, const char *behind)
{
    lun_pattern_step(m);
    if (s >= m->end) return false;
    switch (*p) {
    case '.':    return true;
    case ESCAPE: return escaped_is(byte(s), byte(p + 1));
    case '[':    return in_set(m, byte(s), p, behind - 1);
    default:     return *p == *s;
    }
}

/* ---- captures ---- */

static const char *capture_open(struct lun_pattern *m, const char *s, const char *p)
{
    bool position = ++p < m->pattern_end && *p == ')';
    if (m->level >= LUN_PATTERN_CAPTURES) luaL_error(m->L, "too many captures");
    m->capture[m->level].at = s;
    m->capture[m->level].size = position ? POSITION : OPEN;
    m->level++;
    const char *e = match(m, s, p + position);
    if (!e) m->level--;
    return e;
}

static const char *capture_close(struct lun_pattern *m, const char *s, const char *p)
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
static const char *again(struct lun_pattern *m, const char *s, int digit)
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
static const char *balanced(struct lun_pattern *m, const char *s, const char *p)
{
    int depth = 1;
    if (m->pattern_end - p < 4) luaL_error(m->L, "unbalanced pattern");
    if (s >= m->end || *s != p[2]) return NULL;
    while (++s < m->end) {
        lun_pattern_step(m);
        if (*s == p[3]) {
            if (--depth == 0) return s + 1;
        } else if (*s == p[2]) {
            depth++;
        }
    }
    return NULL;
}

/* %f[set]: gives what follows it in the pattern, or NULL. */
static const char *frontier(struct lun_pattern *m, const char *s, const char *p)
{
    p += 2;
    if (p >= m->pattern_end || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *behind = class_end(m, p);
    int before = s == m->start ? 0 : byte(s - 1), here = s < m->end ? byte(s) : 0;
    if (in_set(m, before, p, behind - 1) || !in_set(m, here, p, behind - 1)) return NULL;
    return behind;
}

static const char *as_many(struct lun_pattern *m, const char *s, const char *p, const char *behind, ptrdiff_t least)
{
    ptrdiff_t n = 0;
    while (single(m, s + n, p, behind)) n++;
    for (; n >= least; n--) {
        const char *e = match(m, s + n, behind + 1);
        if (e) return e;
    }
    return NULL;
}

static const char *as_few(struct lun_pattern *m, const char *s, const char *p, const char *behind)
{
    for (;;) {
        const char *e = match(m, s, behind + 1);
        if (e) return e;
        if (!single(m, s++, p, behind)) return NULL;
    }
}

enum way { GO_ON, NO, YES };

/* What starts with % and is more than a class: moves s and p over it. */
static enum way special(struct lun_pattern *m, const char **s, const char **p)
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
static enum way item(struct lun_pattern *m, const char **s, const char **p, const char **e)
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

static const char *match_on(struct lun_pattern *m, const char *s, const char *p)
{
    const char *e = NULL;
    for (;;) {
        lun_pattern_step(m);
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

static const char *match(struct lun_pattern *m, const char *s, const char *p)
{
    if (m->depth-- == 0) luaL_error(m->L, "pattern too complex");
    const char *e = match_on(m, s, p);
    m->depth++;
    return e;
}

const char *lun_pattern_match(struct lun_pattern *m, const char *s, const char *p)
{
    m->level = 0;
    m->depth = DEEPEST;
    return match(m, s, p);
}

/* ---- results ---- */

void lun_pattern_push(struct lun_pattern *m, int i, const char *s, const char *e)
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

int lun_pattern_push_all(struct lun_pattern *m, const char *s, const char *e)
{
    int n = m->level == 0 && s ? 1 : m->level;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) lun_pattern_push(m, i, s, e);
    return n;
}

/* JSON: the scanner accepts what the grammar of RFC 8259 and the refusals of json.h say, and lua-cjson reads of it the same values; what the writer writes is
 * accepted and read back; a merge is as RFC 7396 has it. */
#include "fuzz.h"
#include "base/json.h"
#include "base/text.h"
#include "base/wide.h"
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>

/* ---- the grammar, read once more ---- */

struct reading { const char *p, *end; };

static void skip_blanks(struct reading *r) { while (r->p < r->end && memchr(" \t\r\n", *r->p, 4)) r->p++; }
static bool take_char(struct reading *r, char c) { return r->p < r->end && *r->p == c && r->p++; }

static bool take_digits(struct reading *r)
{
    const char *from = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
    return r->p > from;
}

static bool read_number(struct reading *r)
{
    const char *from = r->p;
    take_char(r, '-');
    if (!take_char(r, '0') && !take_digits(r)) return false;
    if (take_char(r, '.') && !take_digits(r)) return false;
    if (take_char(r, 'e') || take_char(r, 'E')) {
        if (!take_char(r, '-')) take_char(r, '+');
        if (!take_digits(r)) return false;
    }
    return r->p - from <= LUN_JSON_DIGITS;
}

static bool read_escape(struct reading *r)
{
    if (r->p == r->end) return false;
    if (memchr("\"\\/bfnrt", *r->p, 8)) return r->p++;
    if (!take_char(r, 'u')) return false;
    for (int i = 0; i < 4; i++, r->p++) if (r->p == r->end || !*r->p || !strchr("0123456789abcdefABCDEF", *r->p)) return false;
    return true;
}

static bool read_string(struct reading *r)
{
    const char *from = r->p;
    if (!take_char(r, '"')) return false;
    while (r->p < r->end && *r->p != '"') {
        if ((unsigned char)*r->p < ' ') return false;
        if (*r->p++ == '\\' && !read_escape(r)) return false;
    }
    return take_char(r, '"') && lun_text_valid(from, (size_t)(r->p - from));
}

static bool read_word(struct reading *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n)) return false;
    return r->p += n;
}

static bool read_value(struct reading *r, int depth);

static bool read_members(struct reading *r, char close, int depth)
{
    r->p++, skip_blanks(r);
    if (take_char(r, close)) return true;
    do {
        skip_blanks(r);
        if (close == '}' && (!read_string(r) || (skip_blanks(r), !take_char(r, ':')))) return false;
        skip_blanks(r);
        if (!read_value(r, depth)) return false;
        skip_blanks(r);
    } while (take_char(r, ','));
    return take_char(r, close);
}

static bool read_value(struct reading *r, int depth)
{
    if (r->p == r->end) return false;
    switch (*r->p) {
    case '"': return read_string(r);
    case '{': return depth < LUN_JSON_DEPTH && read_members(r, '}', depth + 1);
    case '[': return depth < LUN_JSON_DEPTH && read_members(r, ']', depth + 1);
    case 't': return read_word(r, "true");
    case 'f': return read_word(r, "false");
    case 'n': return read_word(r, "null");
    default:  return read_number(r);
    }
}

static bool is_json(struct input in)
{
    struct reading r = { in.at, in.at + in.n };
    skip_blanks(&r);
    if (!read_value(&r, 0)) return false;
    skip_blanks(&r);
    return r.p == r.end;
}

/* ---- lua-cjson, another's reader ---- */

static lua_State *L;

static void close_cjson(void) { lua_close(L); }

static void open_cjson(void)
{
    L = luaL_newstate();
    atexit(close_cjson);
    luaL_openlibs(L);
    if (luaL_dostring(L, "local c = require 'cjson.safe' c.decode_invalid_numbers(false) return c.decode")) fuzz_broken(__FILE__, __LINE__, lua_tostring(L, -1));      /* the function stays at 1 */
}

/* Whether it is decoded; then the value lies on top of the stack. */
static bool cjson_reads(struct input in)
{
    if (!L) open_cjson();
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushlstring(L, in.at, in.n);
    lua_call(L, 1, 2);
    bool good = lua_isnil(L, 3);
    lua_settop(L, 2);
    return good;
}

static void promise_equal(struct lun_json v);

static void promise_equal_string(struct lun_json v)
{
    struct lun_buf text = {0};
    size_t n;
    const char *theirs = lua_tolstring(L, -1, &n);
    PROMISE(lun_json_string(v, false, &text));
    PROMISE(theirs && n == text.n && !memcmp(theirs, lun_buf_text(&text), n));
    lun_buf_free(&text);
}

static void promise_equal_members(struct lun_json v)
{
    struct lun_buf key = {0};
    luaL_checkstack(L, 4, NULL);
    PROMISE(lua_istable(L, -1));
    for (struct lun_json_each e = lun_json_each(v); lun_json_next(&e); key.n = 0) {
        if (e.object) lun_json_string(e.key, false, &key), lua_pushlstring(L, lun_buf_text(&key), key.n);
        else lua_pushinteger(L, (lua_Integer)e.index + 1);
        lua_rawget(L, -2);
        struct lun_json value = e.value;
        if (e.object && strlen(lun_buf_text(&key)) == key.n) value = lun_json_get(v, key.at);       /* of equal names the last */
        else if (e.object) value = (struct lun_json){0};                                            /* a name that no C string says */
        if (value.n) promise_equal(value);
        lua_pop(L, 1);
    }
    lun_buf_free(&key);
}

static void promise_equal(struct lun_json v)
{
    double d;
    switch (lun_json_type(v)) {
    case LUN_JSON_NULL: PROMISE(lua_islightuserdata(L, -1)); break;
    case LUN_JSON_TRUE: case LUN_JSON_FALSE: PROMISE(lua_isboolean(L, -1) && lua_toboolean(L, -1) == lun_json_true(v)); break;
    case LUN_JSON_NUMBER: PROMISE(lun_json_double(v, &d) ? d == lua_tonumber(L, -1) : isinf(lua_tonumber(L, -1))); break;
    case LUN_JSON_STRING: promise_equal_string(v); break;
    default: promise_equal_members(v);
    }
}

/* Why the scanner refuses what lua-cjson takes: all that json.h says it refuses beyond it, in the scanner's words. */
static bool is_stricter(const char *what)
{
    static const char *const whats[] = { "a string must be UTF-8", "a control character in a string must be escaped", "it is nested deeper than 128 levels",
        "a number has more than 1000 characters", "a number needs a digit here", "a number must not begin with 0 unless that is all", "there is something after the end" };
    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++) if (!strcmp(what, whats[i])) return true;
    return false;
}

static bool holds_surrogates(struct input in)
{
    for (size_t i = 0; i + 3 < in.n; i++) if (in.at[i] == '\\' && in.at[i + 1] == 'u' && (in.at[i + 2] | 32) == 'd') return true;
    return false;
}

static void promise_as_cjson(struct input in, bool accepted, struct lun_json value, const struct lun_json_error *error)
{
    bool theirs = cjson_reads(in);
    if (accepted && theirs) promise_equal(value);
    else if (accepted) PROMISE(holds_surrogates(in));           /* lone ones, which they refuse */
    else if (theirs) PROMISE(is_stricter(error->what));
}

/* ---- one value ---- */

static void promise_number(struct lun_json v)
{
    int64_t n;
    double d;
    if (lun_json_int(v, &n)) PROMISE(lun_json_double(v, &d) && d == (double)n);
}

/* Decoded, written and read again it is the same. */
static void promise_string(struct lun_json v)
{
    struct lun_buf text = {0}, written = {0}, again = {0};
    struct lun_json read;
    PROMISE(lun_json_string(v, false, &text) && text.n + 2 <= v.n && lun_text_valid(lun_buf_text(&text), text.n));
    lun_json_put_string(&written, text.at, text.n);
    PROMISE(lun_json_check(written.at, written.n, &read, NULL) && read.n == written.n && lun_json_string(read, false, &again));
    PROMISE(again.n == text.n && !memcmp(lun_buf_text(&again), text.at, text.n));
    PROMISE(strlen(text.at) != text.n || lun_json_is(v, text.at));
    lun_buf_free(&text), lun_buf_free(&written), lun_buf_free(&again);
}

/* So it is with halves of pairs, which are nothing else but what would be U+FFFD. */
static void promise_halves(struct lun_json v)
{
    struct lun_buf text = {0}, whole = {0}, written = {0}, again = {0};
    struct lun_json read;
    PROMISE(lun_json_string_halves(v, &text) && lun_json_string(v, false, &whole) && text.n == whole.n);
    PROMISE(!lun_text_valid(lun_buf_text(&text), text.n) || !memcmp(text.at, lun_buf_text(&whole), text.n));
    lun_json_put_halves(&written, text.at, text.n);
    PROMISE(lun_json_check(written.at, written.n, &read, NULL) && read.n == written.n && lun_json_string_halves(read, &again));
    PROMISE(again.n == text.n && !memcmp(lun_buf_text(&again), text.at, text.n));
    lun_buf_free(&text), lun_buf_free(&whole), lun_buf_free(&written), lun_buf_free(&again);
}

/* Looked into, some of them a part of the way, the same members come as when each is stepped over. */
static void promise_into(struct lun_json v)
{
    struct lun_json_each whole = lun_json_each(v), e = whole, inner;
    for (; lun_json_into(&e, &inner); lun_json_out(&e, &inner)) {
        PROMISE(lun_json_next(&whole) && e.index == whole.index && e.value.at == whole.value.at);
        PROMISE(e.key.at == whole.key.at && e.key.n == whole.key.n);
        PROMISE(e.value.n == (lun_json_type(whole.value) == LUN_JSON_OBJECT ? 1 : whole.value.n));
        struct lun_json_each each = lun_json_each(whole.value);
        for (size_t i = 0; i <= e.index && lun_json_next(&inner); i++)
            PROMISE(lun_json_next(&each) && inner.value.at == each.value.at && inner.value.n == each.value.n && inner.key.at == each.key.at);
    }
    PROMISE(!lun_json_next(&whole));
}

/* A string of it that is known is stepped over to the same place. */
static void promise_known(struct lun_json v, struct lun_json known)
{
    struct lun_json_each whole = lun_json_each(v), e = whole, inner;
    e.known = known;
    for (; lun_json_into(&e, &inner); lun_json_out(&e, &inner)) {
        PROMISE(lun_json_next(&whole) && e.value.at == whole.value.at);
        if (*e.value.at != '{') PROMISE(e.value.n == whole.value.n);
        struct lun_json_each each = lun_json_each(whole.value);
        while (lun_json_next(&inner)) PROMISE(lun_json_next(&each) && inner.value.at == each.value.at && inner.value.n == each.value.n);
        PROMISE(!lun_json_next(&each));
    }
    PROMISE(!lun_json_next(&whole));
}

static void promise_value(struct lun_json v)
{
    struct lun_json part;
    size_t n = 0;
    if (lun_json_type(v) == LUN_JSON_NUMBER) promise_number(v);
    if (lun_json_type(v) == LUN_JSON_STRING) promise_string(v), promise_halves(v);
    for (struct lun_json_each e = lun_json_each(v); lun_json_next(&e); n++) {
        PROMISE(e.value.at >= v.at && e.value.at + e.value.n <= v.at + v.n && e.index == n);
        PROMISE(!e.object || (lun_json_check(e.key.at, e.key.n, &part, NULL) && part.n == e.key.n));
        if (e.object) promise_string(e.key), promise_halves(e.key);
        promise_value(e.value);
    }
    PROMISE(n == lun_json_count(v));
    promise_into(v);
}

/* ---- the top of a request ---- */

#define KEYS_OF(X) X(model) X(stream) X(n) X(a)
enum { KEYS_OF(LUN_JSON_KEY_ENUM) KEYS };
static const struct lun_json_keys keys = LUN_JSON_KEYS(KEYS_OF);

static void promise_field(struct input in, struct lun_json object, const struct lun_json_field *f, const char *name)
{
    struct lun_json first = {0};
    int times = 0;
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); )
        if (lun_json_is(e.key, name) && !times++) first = e.value;
    struct lun_json found = lun_json_of(in.at, f);
    PROMISE(found.n == first.n && (!first.n || found.at == first.at) && f->type == lun_json_type(first) && f->twice == (times > 1));
}

static void promise_scan(struct input in, bool accepted, struct lun_json value)
{
    struct lun_json_field fields[KEYS];
    struct lun_json_scan scan;
    bool scanned = lun_json_scan(in.at, in.n, &keys, fields, &scan), twice = false;
    PROMISE(scanned == (accepted && lun_json_type(value) == LUN_JSON_OBJECT));
    if (!scanned) { PROMISE(scan.error.what && scan.error.at <= in.n); return; }
    for (int i = 0; i < KEYS; i++) promise_field(in, value, &fields[i], keys.name[i]), twice |= fields[i].twice;
    PROMISE(scan.empty == !lun_json_count(value) && twice == (scan.twice >= 0) && in.at[scan.close] == '}' && in.at[scan.open - 1] == '{');
    struct lun_json known = { in.at + scan.longest, scan.longest_n }, whole;
    PROMISE(!known.n || (*known.at == '"' && lun_json_check(known.at, known.n, &whole, NULL)));
    promise_known(value, known);
    for (struct lun_json_each e = lun_json_each(value); lun_json_next(&e); ) promise_known(e.value, known);
}

/* ---- writing ---- */

static void promise_written(struct input in)
{
    struct lun_buf out = {0}, text = {0};
    struct lun_json v;
    double number = 0, again;
    memcpy(&number, in.at, in.n < sizeof number ? in.n : sizeof number);
    lun_buf_puts(&out, "{");
    lun_json_put_key(&out, "text"), lun_json_put_string(&out, in.at, in.n);
    lun_json_put_key(&out, "halves"), lun_json_put_halves(&out, in.at, in.n);
    lun_json_member_number(&out, "number", number);
    lun_buf_puts(&out, "}");
    PROMISE(lun_json_check(out.at, out.n, &v, NULL) && lun_json_string(lun_json_get(v, "text"), false, &text));
    PROMISE(!lun_text_valid(in.at, in.n) || (text.n == in.n && !memcmp(lun_buf_text(&text), in.at, in.n)));
    v = lun_json_get(v, "number");
    PROMISE(isfinite(number) ? lun_json_double(v, &again) && again == number : lun_json_type(v) == LUN_JSON_NULL);
    lun_buf_free(&out), lun_buf_free(&text);
}

static bool same(const struct lun_buf *a, const struct lun_buf *b) { return a->n == b->n && (!a->n || !memcmp(a->at, b->at, a->n)); }

/* The member of that name, as bytes; *n: how many there are. */
static struct lun_json member(struct lun_json object, struct lun_json key, int *n)
{
    struct lun_buf name = {0}, other = {0};
    struct lun_json found = {0};
    lun_json_string_halves(key, &name);
    *n = 0;
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); other.n = 0)
        if (lun_json_string_halves(e.key, &other) && same(&name, &other)) found = e.value, ++*n;
    lun_buf_free(&name), lun_buf_free(&other);
    return found;
}

static bool is_raw(struct lun_json a, struct lun_json b) { return a.n == b.n && !memcmp(a.at, b.at, a.n); }

/* What a patch does to one member of what it is laid on; names that are said twice stay so, and are left out here. */
static void promise_patched(struct lun_json onto, struct lun_json patch, struct lun_json merged)
{
    int before, said, after;
    for (struct lun_json_each e = lun_json_each(onto); lun_json_next(&e); ) {
        struct lun_json v = member(patch, e.key, &said), is = member(merged, e.key, &after);
        member(onto, e.key, &before);
        if (before > 1 || said > 1) continue;
        if (!said) PROMISE(after == 1 && is_raw(is, e.value));
        else if (lun_json_type(v) == LUN_JSON_NULL) PROMISE(!after);
        else if (lun_json_type(v) != LUN_JSON_OBJECT) PROMISE(after == 1 && is_raw(is, v));
        else if (lun_json_type(e.value) == LUN_JSON_OBJECT) promise_patched(e.value, v, is);
    }
}

static bool is_twice(struct lun_json object)
{
    int n;
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); )
        if (is_twice(e.value) || (e.object && (member(object, e.key, &n), n > 1))) return true;
    return false;
}

/* Patched twice is patched once. */
static void promise_merged(struct lun_json onto, struct lun_json patch)
{
    struct lun_buf once = {0}, twice = {0};
    struct lun_json v, w;
    lun_json_merge(&once, onto, patch);
    PROMISE(lun_json_check(once.at, once.n, &v, NULL));
    if (lun_json_type(patch) == LUN_JSON_OBJECT && lun_json_type(onto) == LUN_JSON_OBJECT) promise_patched(onto, patch, v);
    lun_json_merge(&twice, v, patch);
    PROMISE(lun_json_check(twice.at, twice.n, &w, NULL) && (is_twice(patch) || is_twice(onto) || same(&once, &twice)));
    lun_buf_free(&once), lun_buf_free(&twice);
}

/* Two texts with a zero byte between them: the second is a patch. */
static void promise_merges(struct input in)
{
    const char *zero = memchr(in.at, 0, in.n);
    struct lun_json onto, patch;
    if (zero && lun_json_check(in.at, (size_t)(zero - in.at), &onto, NULL) && lun_json_check(zero + 1, (size_t)(in.at + in.n - zero - 1), &patch, NULL)) promise_merged(onto, patch);
}

void fuzz_json(struct input in)
{
    struct lun_json value;
    struct lun_json_error error = {0};
    char *copy = copy_of(in.at, in.n);
    in.at = copy;
    lun_wide_bytes = (int)(in.n % 3) * 32;      /* however many are looked at at once */
    if (lun_wide_bytes > lun_wide_most()) lun_wide_bytes = lun_wide_most();
    bool accepted = lun_json_check(in.at, in.n, &value, &error);
    PROMISE(accepted == is_json(in) && (accepted || (error.what && error.at <= in.n)));
    promise_scan(in, accepted, value);
    promise_as_cjson(in, accepted, value, &error);
    if (accepted) promise_value(value);
    promise_merges(in);
    promise_written(in);
    lun_wide_bytes = lun_wide_most();
    free(copy);
}

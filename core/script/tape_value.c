/* Values of Lua as they stand on a tape, and back. JSON's own null, true, false, numbers and texts stand for themselves; what JSON has no form for is an
 * object with one member. */
#include <math.h>
#include <string.h>
#include "base/hex.h"
#include "base/text.h"
#include "script/bind.h"
#include "script/sandbox.h"
#include "script/tape.h"

#define DEEPEST 130
#define FROZEN  16                      /* levels of what is read-only, which is never deep: freezing has a bound of its own, and raises past it */
#define LEVELS  12                      /* places of Lua's stack that a level takes */

static bool put(lua_State *L, int index, const struct lun_mind *mind, struct lun_buf *out, int depth);

/* ---- writing ---- */

static bool put_bytes(struct lun_buf *out, const char *text, size_t n)
{
    if (lun_text_valid(text, n)) {
        lun_json_put_string(out, text, n);
        return true;
    }
    lun_buf_puts(out, "{\"bytes\":\"");
    lun_hex_write(lun_buf_space(out, 2 * n + 1), text, n);
    out->n += 2 * n;
    lun_buf_puts(out, "\"}");
    return true;
}

static bool put_number(struct lun_buf *out, double n)
{
    if (isfinite(n) && (n != 0 || !signbit(n))) lun_json_put_number(out, n);
    else lun_buf_printf(out, "{\"number\":\"%s\"}", isnan(n) ? "nan" : n == 0 ? "-0" : n > 0 ? "inf" : "-inf");
    return true;
}

/* Keys and values in turn. */
static bool put_table(lua_State *L, int index, const struct lun_mind *mind, struct lun_buf *out, int depth, const char *kind)
{
    const char *between = "";
    bool good = true;
    lun_buf_printf(out, "{\"%s\":[", kind);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        lun_buf_puts(out, between);
        between = ",";
        good = put(L, lua_gettop(L) - 1, mind, out, depth + 1);
        lun_buf_putc(out, ',');
        good = good && out->n <= LUN_TAPE_MOST + LUN_BIND_TEXT && put(L, lua_gettop(L), mind, out, depth + 1);
        if (good) continue;
        lua_pop(L, 2);
        return false;
    }
    lun_buf_puts(out, "]}");
    return true;
}

static void put_name(struct lun_buf *out, const char *kind, const char *name)
{
    lun_buf_printf(out, "{\"%s\":", kind);
    lun_json_put_text(out, name);
    lun_buf_putc(out, '}');
}

static bool put_set(const struct lun_set *s, const struct lun_question *q, struct lun_buf *out)
{
    if (s->n == q->n_targets && !memcmp(s->item, q->targets, (size_t)s->n * sizeof *s->item)) {
        lun_buf_puts(out, "{\"targets\":\"all\"}");
        return true;
    }
    lun_buf_puts(out, "{\"targets\":[");
    for (int i = 0; i < s->n; i++) {
        if (i) lun_buf_putc(out, ',');
        lun_json_put_text(out, s->item[i]->name);
    }
    lun_buf_puts(out, "]}");
    return true;
}

static bool put_object(lua_State *L, int index, const struct lun_mind *mind, struct lun_buf *out, int depth)
{
    const struct lun_target *target = lun_target_at(L, index, mind);
    const struct lun_set *set = lun_class_is(L, index, &lun_targets_class);
    const struct lun_trial *trial = lun_attempt_at(L, index);
    if (target) put_name(out, "target", target->name);
    else if (set) return put_set(set, mind->question, out);
    else if (trial) lun_buf_printf(out, "{\"attempt\":%d}", trial->number);
    else if (lun_sandbox_thaw(L, index)) {
        bool good = put_table(L, lua_gettop(L), mind, out, depth, "frozen");
        lua_pop(L, 1);
        return good;
    } else return false;
    return true;
}

static bool put(lua_State *L, int index, const struct lun_mind *mind, struct lun_buf *out, int depth)
{
    size_t n;
    const char *text;
    if (depth > DEEPEST || !lua_checkstack(L, LEVELS)) return false;
    switch (lua_type(L, index)) {
    case LUA_TNIL:      lun_buf_puts(out, "null"); return true;
    case LUA_TBOOLEAN:  lun_json_put_bool(out, lua_toboolean(L, index)); return true;
    case LUA_TNUMBER:   return put_number(out, lua_tonumber(L, index));
    case LUA_TSTRING:   text = lua_tolstring(L, index, &n); return put_bytes(out, text, n);
    case LUA_TTABLE:    return put_table(L, index, mind, out, depth, lun_bind_is_list(L, index) ? "list" : "table");
    case LUA_TUSERDATA: return put_object(L, index, mind, out, depth);
    case LUA_TLIGHTUSERDATA: lun_buf_puts(out, "{\"null\":true}"); return true;
    default:            return false;
    }
}

bool lun_tape_put_value(lua_State *L, int index, const struct lun_mind *mind, struct lun_buf *out) { return put(L, index, mind, out, 1); }

/* ---- reading ---- */

static bool push(lua_State *L, struct lun_mind *mind, struct lun_json value, int depth);

static bool push_string(lua_State *L, struct lun_json value)
{
    struct lun_buf *out = lun_bind_scratch(L);
    if (!lun_json_string(value, false, out)) return false;
    lua_pushlstring(L, out->n ? out->at : "", out->n);
    return true;
}

static bool push_bytes(lua_State *L, struct lun_json hex)
{
    struct lun_buf *out = lun_bind_scratch(L);
    size_t n = hex.n / 2 - 1;
    if (hex.n < 2 || hex.n % 2) return false;
    char *bytes = lun_buf_space(out, n + 1);
    if (!lun_hex_read(hex.at + 1, bytes, n)) return false;
    lua_pushlstring(L, bytes, n);
    return true;
}

static bool push_number(lua_State *L, struct lun_json name)
{
    static const struct { const char *name; double number; } known[] = { { "nan", NAN }, { "inf", HUGE_VAL }, { "-inf", -HUGE_VAL }, { "-0", -0.0 } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!lun_json_equal(name, known[i].name, strlen(known[i].name))) continue;
        lua_pushnumber(L, known[i].number);
        return true;
    }
    return false;
}

static bool is_key(lua_State *L, int index)
{
    double n = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : 0;
    return !lua_isnil(L, index) && n == n;
}

static bool push_table(lua_State *L, struct lun_mind *mind, struct lun_json pairs, int depth)
{
    int top = lua_gettop(L);
    lua_newtable(L);
    for (struct lun_json_each e = lun_json_each(pairs); lun_json_next(&e); ) {
        bool good = push(L, mind, e.value, depth + 1) && is_key(L, -1);
        if (!good || !lun_json_next(&e) || !push(L, mind, e.value, depth + 1)) {
            lua_settop(L, top);
            return false;
        }
        lua_rawset(L, -3);
    }
    return true;
}

static const struct lun_target *target_named(struct lun_mind *mind, struct lun_json name)
{
    const struct lun_snapshot *s = mind->question->snapshot;
    for (int i = 0; i < s->n_targets; i++) if (lun_json_equal(name, s->targets[i].name, strlen(s->targets[i].name))) return &s->targets[i];
    return NULL;
}

static bool push_target(lua_State *L, struct lun_mind *mind, struct lun_json name)
{
    const struct lun_target *t = target_named(mind, name);
    if (t) lun_push_target(L, mind, t);
    return t;
}

static bool push_set(lua_State *L, struct lun_mind *mind, struct lun_json names)
{
    struct lun_question *q = mind->question;
    struct lun_set *s = lun_push_set(L, mind, NULL, (int)lun_json_count(names) + q->n_targets);
    if (lun_json_is(names, "all")) {
        memcpy(s->own, q->targets, (size_t)q->n_targets * sizeof *s->item);
        s->n = q->n_targets;
        return true;
    }
    for (struct lun_json_each e = lun_json_each(names); lun_json_next(&e); s->n++) {
        if ((s->own[s->n] = target_named(mind, e.value))) continue;
        lua_pop(L, 1);
        return false;
    }
    return lun_json_type(names) == LUN_JSON_ARRAY;
}

struct lun_trial *lun_tape_trial(struct lun_question *q, int number)
{
    struct lun_trial *t = q->trials;
    while (t && t->number != number) t = t->next;
    if (t) return t;
    t = lun_arena_zalloc(q->arena, sizeof *t);
    *t = (struct lun_trial){ .next = q->trials, .number = number, .key = -1 };
    return q->trials = t;
}

static bool push_attempt(lua_State *L, struct lun_mind *mind, struct lun_json number)
{
    int64_t n;
    if (!lun_json_int(number, &n) || n < 1 || n > INT32_MAX) return false;
    lun_push_attempt(L, mind, lun_tape_trial(mind->question, (int)n));
    return true;
}

static bool push_object(lua_State *L, struct lun_mind *mind, struct lun_json value, int depth)
{
    struct lun_json_each e = lun_json_each(value);
    if (!lun_json_next(&e)) return false;
    if (lun_json_is(e.key, "target")) return push_target(L, mind, e.value);
    if (lun_json_is(e.key, "targets")) return push_set(L, mind, e.value);
    if (lun_json_is(e.key, "attempt")) return push_attempt(L, mind, e.value);
    if (lun_json_is(e.key, "number")) return push_number(L, e.value);
    if (lun_json_is(e.key, "bytes")) return push_bytes(L, e.value);
    bool table = lun_json_is(e.key, "table"), list = lun_json_is(e.key, "list"), frozen = lun_json_is(e.key, "frozen");
    if (lun_json_is(e.key, "null")) lua_pushlightuserdata(L, NULL);
    else if ((!table && !list && !frozen) || !push_table(L, mind, e.value, frozen && depth < DEEPEST - FROZEN ? DEEPEST - FROZEN : depth)) return false;
    if (list) lun_bind_mark_list(L);
    if (frozen) lun_sandbox_freeze(L);
    return true;
}

static bool push(lua_State *L, struct lun_mind *mind, struct lun_json value, int depth)
{
    double number;
    if (depth > DEEPEST || !lua_checkstack(L, LEVELS)) return false;
    switch (lun_json_type(value)) {
    case LUN_JSON_NULL:   lua_pushnil(L); return true;
    case LUN_JSON_TRUE:   lua_pushboolean(L, 1); return true;
    case LUN_JSON_FALSE:  lua_pushboolean(L, 0); return true;
    case LUN_JSON_NUMBER: if (!lun_json_double(value, &number)) return false; lua_pushnumber(L, number); return true;
    case LUN_JSON_STRING: return push_string(L, value);
    case LUN_JSON_OBJECT: return push_object(L, mind, value, depth);
    default:              return false;
    }
}

bool lun_tape_push_value(lua_State *L, struct lun_mind *mind, struct lun_json value) { return push(L, mind, value, 1); }

#include "script/policy_table.h"
#include <lauxlib.h>
#include <math.h>
#include <string.h>
#include "base/text.h"
#include "script/bind.h"

#define ATTEMPTS_MOST 100

struct reading { lua_State *L; const char *file; struct lun_policy_table *table; struct lun_buf *problems; };

static void __attribute__((format(printf, 2, 3))) wrong(struct reading *r, const char *format, ...)
{
    va_list args;
    char text[400];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (r->problems->n) lun_buf_putc(r->problems, '\n');
    lun_buf_printf(r->problems, "%s: %s", r->file, text);
}

static const char *shown(lua_State *L, int index, char out[64])
{
    if (lua_type(L, index) == LUA_TSTRING) return lun_bind_shown(L, index, out);
    snprintf(out, 64, "a key that is a %s", luaL_typename(L, index));
    return out;
}

static void unknown(struct reading *r, const char *in, const char *const *names, size_t n)
{
    char name[64], hint[96];
    shown(r->L, -2, name);
    wrong(r, "%s has no '%s'%s", in, name, lun_bind_hint(name, names, n, hint));
}

static int place_in(lua_State *L, int index, const char *const *names, size_t n)
{
    const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
    for (size_t i = 0; name && i < n; i++) if (!strcmp(names[i], name)) return (int)i;
    return -1;
}

/* ---- settings ---- */

static bool is_plain(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNUMBER: return isfinite(lua_tonumber(L, index));
    case LUA_TBOOLEAN: return true;
    case LUA_TSTRING: return lua_objlen(L, index) <= LUN_PLAIN_TEXT_MOST;
    default: return false;
    }
}

static const char *const setting_names[] = { "default", "min", "max", "choices" };
enum { SETTING_NAMES = 4 };

static void check_names(struct reading *r, const char *name)
{
    char in[100];
    snprintf(in, sizeof in, "settings.%s", name);
    for (lua_pushnil(r->L); lua_next(r->L, -2); lua_pop(r->L, 1))
        if (place_in(r->L, -2, setting_names, SETTING_NAMES) < 0) unknown(r, in, setting_names, SETTING_NAMES);
}

static double bound(struct reading *r, const char *name, const char *which, double otherwise)
{
    lua_pushstring(r->L, which);
    lua_rawget(r->L, -3);                                   /* table, default, bound */
    double n = lua_isnil(r->L, -1) ? otherwise : lua_type(r->L, -1) == LUA_TNUMBER ? lua_tonumber(r->L, -1) : NAN;
    lua_pop(r->L, 1);
    if (isnan(n)) wrong(r, "settings.%s.%s is to be a number", name, which);
    return n;
}

static void check_range(struct reading *r, const char *name)
{
    double min = bound(r, name, "min", -HUGE_VAL), max = bound(r, name, "max", HUGE_VAL), n = lua_tonumber(r->L, -1);
    if (lua_type(r->L, -1) != LUA_TNUMBER) {
        if (min != -HUGE_VAL || max != HUGE_VAL) wrong(r, "settings.%s: min and max are for numbers, its default is a %s", name, luaL_typename(r->L, -1));
    } else if (n < min || n > max) wrong(r, "settings.%s: its default %.14g is not between min and max", name, n);
}

/* Of the list on top, whose entry i is a text: whether it is the default, which stands below. */
static bool is_choice(struct reading *r, const char *name, int i, bool *fine)
{
    lua_rawgeti(r->L, -1, i);
    bool text = lua_type(r->L, -1) == LUA_TSTRING, same = text && lua_rawequal(r->L, -1, -3);
    if (!text && *fine) wrong(r, "settings.%s.choices is to be a list of texts", name);
    *fine &= text;
    lua_pop(r->L, 1);
    return same;
}

static void check_choices(struct reading *r, const char *name)
{
    bool fine = true, found = false;
    lua_pushliteral(r->L, "choices");
    lua_rawget(r->L, -3);                                   /* table, default, choices */
    int n = lua_type(r->L, -1) == LUA_TTABLE ? (int)lua_objlen(r->L, -1) : 0;
    if (!lua_isnil(r->L, -1)) {
        if (!n) wrong(r, "settings.%s.choices is to be a list of texts", name);
        for (int i = 1; i <= n; i++) found |= is_choice(r, name, i, &fine);
        if (n && fine && !found) wrong(r, "settings.%s: its default is none of choices", name);
    }
    lua_pop(r->L, 1);
}

/* The table of one setting is on top; pushes its default. */
static void push_default(struct reading *r, const char *name)
{
    check_names(r, name);
    lua_pushliteral(r->L, "default");
    lua_rawget(r->L, -2);
    if (!is_plain(r->L, -1)) { wrong(r, "settings.%s needs a default: a number, text or boolean", name); return; }
    check_range(r, name);
    check_choices(r, name);
}

static void read_setting(struct reading *r, int values)
{
    lua_State *L = r->L;
    char name[64];
    int top = lua_gettop(L);
    shown(L, -2, name);
    if (lua_type(L, -2) != LUA_TSTRING) wrong(r, "settings: a setting's name is a text");
    else if (lua_type(L, -1) != LUA_TTABLE) wrong(r, "settings.%s is to be a table, { default =, min =, max =, choices = }, not %s", name, lun_bind_type(L, -1));
    else {
        push_default(r, name);
        lua_pushvalue(L, -3);
        lua_insert(L, -2);                                  /* key, table, key, default */
        lua_rawset(L, values);
    }
    lua_settop(L, top);
}

static void read_settings(struct reading *r)
{
    lua_State *L = r->L;
    if (lua_type(L, -1) != LUA_TTABLE) { wrong(r, "settings is to be a table, not %s", lun_bind_type(L, -1)); return; }
    lua_newtable(L);
    lua_insert(L, -2);
    int values = lua_gettop(L) - 1;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) read_setting(r, values);
    lua_insert(L, -2);
    r->table->settings = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* ---- limits ---- */

static void read_attempts(struct reading *r)
{
    double n = lua_type(r->L, -1) == LUA_TNUMBER ? lua_tonumber(r->L, -1) : NAN;
    if (!(n >= 1 && n <= ATTEMPTS_MOST) || n != floor(n)) wrong(r, "limits.attempts is to be a whole number from 1 to %d", ATTEMPTS_MOST);
    else r->table->attempts = (int)n;
}

static void read_retries(struct reading *r)
{
    bool off = lua_type(r->L, -1) == LUA_TBOOLEAN && !lua_toboolean(r->L, -1);
    double n = off ? -1 : lua_type(r->L, -1) == LUA_TNUMBER ? lua_tonumber(r->L, -1) : NAN;
    if (!off && !(n >= 0 && n <= 1)) wrong(r, "limits.retries is to be a share of requests from 0 to 1, or false");
    else { r->table->retries = n; r->table->retries_said = true; }
}

static void read_limits(struct reading *r)
{
    static const char *const names[] = { "attempts", "retries" };
    if (lua_type(r->L, -1) != LUA_TTABLE) { wrong(r, "limits is to be a table, not %s", lun_bind_type(r->L, -1)); return; }
    for (lua_pushnil(r->L); lua_next(r->L, -2); lua_pop(r->L, 1))
        switch (place_in(r->L, -2, names, 2)) {
        case 0: read_attempts(r); break;
        case 1: read_retries(r); break;
        default: unknown(r, "limits", names, 2);
        }
}

/* ---- the whole ---- */

static const char *const names[] = {
#define X(id, name) name,
    LUN_HOOKS(X)
#undef X
    "settings", "limits", "on_error" };
enum { SETTINGS = LUN_HOOK_COUNT, LIMITS, ON_ERROR, NAMES };

static void read_hook(struct reading *r, int hook)
{
    if (lua_type(r->L, -1) != LUA_TFUNCTION) { wrong(r, "%s is to be a function, not %s", names[hook], lun_bind_type(r->L, -1)); return; }
    lua_pushvalue(r->L, -1);
    r->table->hooks[hook] = luaL_ref(r->L, LUA_REGISTRYINDEX);
}

static void read_on_error(struct reading *r)
{
    const char *text = lua_type(r->L, -1) == LUA_TSTRING ? lua_tostring(r->L, -1) : "";
    if (strcmp(text, "refuse") && strcmp(text, "default")) wrong(r, "on_error is to be \"refuse\" or \"default\"");
}

static void read_entry(struct reading *r)
{
    int place = place_in(r->L, -2, names, NAMES);
    if (place >= 0 && place < LUN_HOOK_COUNT) read_hook(r, place);
    else if (place == SETTINGS) read_settings(r);
    else if (place == LIMITS) read_limits(r);
    else if (place == ON_ERROR) read_on_error(r);
    else unknown(r, "a policy", names, NAMES);
}

bool lun_policy_table_read(lua_State *L, const char *file, struct lun_policy_table *table, struct lun_buf *problems)
{
    struct reading r = { L, file, table, problems };
    *table = (struct lun_policy_table){ .settings = LUA_NOREF };
    for (int i = 0; i < LUN_HOOK_COUNT; i++) table->hooks[i] = LUA_NOREF;
    lua_checkstack(L, 30);
    if (lua_type(L, -1) != LUA_TTABLE) {
        wrong(&r, "a policy returns a table of functions, this returned %s", lua_isnil(L, -1) ? "nothing" : lun_bind_type(L, -1));
        return false;
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) read_entry(&r);
    return !problems->n;
}

/* The Redis of the pretended world: the real script on one hash in memory, with a rule of MUTANTS broken where one is. */
#include "member_world.h"
#include "script/bundle.h"
#include <luajit.h>
#include <lualib.h>

static const char *const emulation =
    "local H, now, calls, run = {}, 0, 0, 'a0'\n"
    "local full = false\n"
    "function advance(t, c, r, f) now, calls, run, full = t, c, r, f end\n"
    "function image() local c = {} for k, v in pairs(H) do c[k] = v end return c end\n"
    "function restore(c) H = {} for k, v in pairs(c) do H[k] = v end end\n"
    "function flush() H = {} end\n"
    "local commands = {}\n"
    "function commands.INFO() return 'redis_version:7\\r\\nrun_id:' .. run .. '\\r\\n' end\n"
    "function commands.TIME() return { tostring(math.floor(now / 1000)), tostring(now % 1000 * 1000 + calls) } end\n"
    "function commands.HGET(k, f) return H[f] or false end\n"
    "function commands.HMGET(k, ...) local out = {} for i, f in ipairs { ... } do out[i] = H[f] or false end return out end\n"
    "function commands.HGETALL() local out = {} for f, v in pairs(H) do out[#out + 1] = f out[#out + 1] = v end return out end\n"
    "function commands.DEL() H = {} end\n"
    "function commands.HDEL(k, ...) for _, f in ipairs { ... } do H[f] = nil end end\n"
    "function commands.HSET(k, ...) if full then error 'OOM' end local a = { ... } for i = 1, #a, 2 do H[a[i]] = tostring(a[i + 1]) end end\n"
    "redis = { call = function(name, ...) return commands[name](...) end }\n"
    "function load_script(text) script = assert(loadstring(text, '=draw')) end\n"
    "function eval(...) KEYS, ARGV = { 'money' }, { ... } return script() end\n"
    "function total(account) local sum = 0 for f, v in pairs(H) do local a = f:match '^g:(.*):[^:]*$' if a == account then sum = sum + tonumber(v) end end return sum end\n"
    "function passed(budget) return tonumber(H['d:' .. budget]) or 0 end\n"
    "function traces(account) local n = 0 for f in pairs(H) do if f:find(account, 1, true) then n = n + 1 end end return n end\n"
    "function over(ends) return ends <= (tonumber(H.over) or 0) end\n"
    "function lost() return H.run ~= run end\n"
    "function blind() return (tonumber(H.before) or 0) > 0 end\n"
    "function draws(who) return H.run == run and H.open == '1' and H.registered:find(' ' .. who .. ' ', 1, true) ~= nil end\n"
    "function part(account, who) return tonumber(H['g:' .. account .. ':' .. who]) or 0 end\n"
    "function dump() for f, v in pairs(H) do print(f, v) end end\n";

static char *changed(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at) fail_msg("the script has no `%s` any more", from);
    return lun_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

struct change { enum mutant of; const char *from, *to; };
static const struct change changes[] = {
    { M_NO_RUN_ID,    "h.run ~= run", "h.run == \"\"" },
    { M_OPEN_EARLY,   "open_if_all_registered()\n    set(\"s:\"", "h.open = true\n    set(\"s:\"" },
    { M_NO_NONCE,     "if nonce ~= h.nonce then return", "if false then return" },
    { M_NO_SEQUENCE,  "if seq == last then", "if false then" },
    { M_NO_SEQUENCE,  "if seq < last then", "if false then" },
    { M_NO_SEQUENCE,  "if seq > last then", "if true then" },
    { M_NEW_DRAW,     "h.vouched, h.registered, h.new = without(h.vouched, \" \" .. me .. \" \"),", "h.vouched, h.registered, h.new = add(h.vouched, me)," },
    { M_NEW_VOUCHES,  "if vouches and not has(h.new, me) then", "if true then" },
    { M_OLDER_REDIS,  "if h.open and registered and", "if false and" },
    { M_FORGET_BLIND, "if not h.open and not has(h.registered, name) then h.before = now end", "" },
    { M_FORGET_FREE,  "h.gone, h.new, h.leaving = join(h.gone, h.leaving),", "h.gone, h.new, h.leaving = h.gone," },
    { M_GONE_LOST,    "if not has(h.members, name) and number(g)", "if false and number(g)" },
    { M_BLIND_LOST,   "if before > h.before then", "if false then" },
    { M_GONE_WINS,    "    h.gone = without(join(h.gone, gone), h.members)\n",
                      "    h.gone = join(h.gone, gone)\n    h.members, h.needed = without(h.members, h.gone), without(h.needed, h.gone)\n" },
    { M_LET_GO_EARLY, "if h.leaving == \"\" or unready() ~= \"\" then return end", "if h.leaving == \"\" then return end" },
    { M_LET_GO_EARLY, "begin_to_leave(name) save()", "begin_to_leave(name) let_go_if_all_are_ready() save()" },
    { M_DRAWS_ON,     "h.vouched, h.new = add(h.leaving, name), without(h.vouched, \" \" .. name .. \" \"),", "h.vouched, h.new = add(h.leaving, name), h.vouched," },
    { M_EARLIER_ROUND, "if round_ops[op] and number(argument()) ~= h.round then", "if round_ops[op] and number(argument()) < 0 then" },
    { M_LEAVE_FREE,   "      begin_to_leave(me)\n", "      h.members, h.vouched = without(h.members, \" \" .. me .. \" \"), without(h.vouched, \" \" .. me .. \" \") change()\n" },
    { M_LEAVES_ALL,   "if without(h.sure, \" \" .. me .. \" \") == \"\" then", "if without(h.vouched, \" \" .. me .. \" \") == \"\" then" },
    { M_LIMIT_OWN,    "if least and least < limit then", "if false then" },
    { M_NOT_ALL,      "if fits and a.sum + a.more > limit then", "if fits and i == 1 and a.sum + a.more > limit then" },
    { M_NO_PERIOD,    "local shut = not a.piece and (now < a.starts or", "local shut = false and (now < a.starts or" },
    { M_ALONE,        "if a.piece then\n        local also", "if false then\n        local also" },
    { M_NO_SLACK,     "(math.ceil(number(window) / 1000 / length) + 1) * length", "math.ceil(number(window) / 1000 / length) * length" },
    { M_BEFORE_ALONE, "and other.starts < p.ends + p.counts end", "and other.starts < p.ends end" },
    { M_ANY_PIECE,    "if now + may_differ < p.starts or now - may_differ >= p.ends or", "if" },
    { M_DROP_OPEN,    "or p.starts - p.counts < passed(p.budget) then", "then" },
    { M_DROP_SOON,    "a.piece.starts - 2 * a.piece.counts) end", "a.piece.starts) end" },
    { M_DROP_SOON,    "or p.starts - p.counts < passed(p.budget) then", "then" },
    { M_PIECES_BLIND, "if h.before > 0 and p.starts - p.counts - 2 * p.length <= h.before", "if h.before > 0 and p.starts <= h.before" },
};

static void load_script(lua_State *L, int mutant)
{
    char *text = lun_strdup(lun_bundle_find("lua/draw.lua")->start);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if ((int)changes[i].of != mutant) continue;
        char *other = changed(text, changes[i].from, changes[i].to);
        free(text);
        text = other;
    }
    lua_getglobal(L, "load_script");
    lua_pushstring(L, text);
    lua_call(L, 1, 0);
    free(text);
}

void redis_advance(struct world *w)
{
    char run[16];
    snprintf(run, sizeof run, "%x", 0xa0 + w->redis_run);
    lua_getglobal(w->L, "advance");
    if (++w->calls == 1000) w->now++, w->calls = 0;     /* µs: no two are at the same moment */
    lua_pushnumber(w->L, (double)w->now);
    lua_pushinteger(w->L, w->calls);
    lua_pushstring(w->L, run);
    lua_pushboolean(w->L, w->memory_full);
    lua_call(w->L, 4, 0);
}

void redis_image(struct world *w)
{
    int at = w->images < IMAGES ? w->images++ : upto(w, IMAGES);
    if (w->image[at]) luaL_unref(w->L, LUA_REGISTRYINDEX, w->image[at]);
    lua_getglobal(w->L, "image");
    lua_call(w->L, 0, 1);
    w->image[at] = luaL_ref(w->L, LUA_REGISTRYINDEX);
}

void redis_restore(struct world *w, int image)
{
    lua_getglobal(w->L, "restore");
    lua_rawgeti(w->L, LUA_REGISTRYINDEX, image);
    lua_call(w->L, 1, 0);
}

void redis_restart(struct world *w)
{
    w->redis_run++;
    if (w->images) redis_restore(w, w->image[upto(w, w->images)]);
}

const char *key_in_redis(struct world *w, int account)
{
    static char key[64];
    const char *budget = account % w->budgets ? "team%20web" : "total";
    if (w->rolling) snprintf(key, sizeof key, "%s@rolling+%d+%d+%d", budget, WINDOW * PIECE_MS * 1000, day_of(w, account) * PIECE_MS, PIECE_MS);
    else snprintf(key, sizeof key, "%s@%d", budget, day_of(w, account));
    return key;
}

int64_t total_in_redis(struct world *w, int account)
{
    lua_getglobal(w->L, "total");
    lua_pushstring(w->L, key_in_redis(w, account));
    lua_call(w->L, 1, 1);
    int64_t n = (int64_t)lua_tonumber(w->L, -1);
    lua_pop(w->L, 1);
    return n;
}

int64_t part_in_redis(struct world *w, const struct gateway *g, int account)
{
    lua_getglobal(w->L, "part");
    lua_pushstring(w->L, key_in_redis(w, account));
    lua_pushstring(w->L, g->name);
    lua_call(w->L, 2, 1);
    int64_t n = (int64_t)lua_tonumber(w->L, -1);
    lua_pop(w->L, 1);
    return n;
}

int64_t passed_in_redis(struct world *w, int account)
{
    lua_getglobal(w->L, "passed");
    lua_pushstring(w->L, account % w->budgets ? "team%20web" : "total");
    lua_call(w->L, 1, 1);
    int64_t n = (int64_t)lua_tonumber(w->L, -1);
    lua_pop(w->L, 1);
    return n;
}

bool redis_says(struct world *w, const char *what, const char *of)
{
    lua_getglobal(w->L, what);
    lua_pushstring(w->L, of);
    lua_call(w->L, 1, 1);
    bool yes = lua_toboolean(w->L, -1);
    lua_pop(w->L, 1);
    return yes;
}

bool over_in_redis(struct world *w, int account)
{
    lua_getglobal(w->L, "over");
    lua_pushnumber(w->L, (double)((day_of(w, account) + 1) * w->day_ms));
    lua_call(w->L, 1, 1);
    bool is = lua_toboolean(w->L, -1);
    lua_pop(w->L, 1);
    return is;
}

bool blind_in_redis(struct world *w) { return redis_says(w, "blind", NULL); }

void redis_flush(struct world *w)
{
    lua_getglobal(w->L, "flush");
    lua_call(w->L, 0, 0);
}

/* Without the compiler of traces: the script is called with other closures each time, and it would begin anew each time. */
lua_State *script_machine(int mutant)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    if (luaL_dostring(L, emulation)) fail_msg("%s", lua_tostring(L, -1));
    load_script(L, mutant);
    return L;
}

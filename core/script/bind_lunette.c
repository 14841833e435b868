/* `require "lunette"`: the functions that policies call, in one table, and those that tell: now, setting, note, log, metric. The others are in
 * bind_chance.c, bind_words.c, bind_predict.c, bind_store.c, bind_decide.c, bind_json.c and, where they wait, bind_wish.c; what calls back is in lua/lunette.lua. */
#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "script/sandbox.h"
#include "script/tracing.h"
#include "state/metrics.h"

#define LINES     20                    /* logged per request */
#define NOTE_KEY  64
#define NOTE_MOST ((size_t)1 << 10)

static int now(lua_State *L)
{
    lua_pushnumber(L, lun_us_to_seconds(lun_question_wall(lun_bind_mind(L, "lunette.now")->question)));
    return 1;
}

static int setting(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.setting");
    const char *name = luaL_checkstring(L, 1);
    char hint[96];
    if (lun_policy_setting(mind->policy, L, mind->question->tuning, name)) {
        lun_tracing_read(L, mind, "settings", name);
        return 1;
    }
    lun_policy_suggest(mind->policy, L, name, hint);
    return luaL_error(L, "the policy has no setting '%s'%s", name, hint);
}

static int note(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.note");
    size_t n;
    const char *key = luaL_checklstring(L, 1, &n), *why;
    struct lun_buf *out = lun_bind_scratch(L);
    luaL_checkany(L, 2);
    if (!n || n > NOTE_KEY || strlen(key) != n || !lun_text_valid(key, n)) return luaL_error(L, "note(key, value): a key has 1 to %d bytes", NOTE_KEY);
    if ((why = lun_bind_encode(L, 2, out, NOTE_MOST))) {
        if (!strcmp(why, "is too large")) return lun_bind_nil(L, "too_large");
        return luaL_error(L, "note: the value %s", why);
    }
    lun_bind_take(L, mind, n + out->n + 32);
    lun_question_note(mind->question, key, lun_buf_text(out));
    lua_pushboolean(L, 1);
    return 1;
}

static void put_value(lua_State *L, int i, struct lun_buf *out)
{
    size_t n, before = out->n;
    const char *text = lua_type(L, i) == LUA_TSTRING ? lua_tolstring(L, i, &n) : NULL;
    const struct lun_target *t = lun_target_at(L, i, lun_vm_current(L));
    if (text) lun_buf_add(out, text, n < LUN_LOG_BYTES ? n : LUN_LOG_BYTES);
    else if (lua_type(L, i) == LUA_TNUMBER) lun_buf_printf(out, "%.14g", lua_tonumber(L, i));
    else if (lua_isnil(L, i)) lun_buf_puts(out, "nil");
    else if (t) lun_buf_puts(out, t->name);
    else if (lun_bind_encode(L, i, out, before + LUN_LOG_BYTES)) {
        out->n = before;
        lun_buf_puts(out, lun_bind_type(L, i));
    }
}

static int log_line(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.log");
    int n = lua_gettop(L);
    luaL_where(L, 1);
    struct lun_buf *out = lun_bind_scratch(L);
    if (mind->lines++ >= LINES) return 0;
    lun_buf_puts(out, lua_tostring(L, -1));
    for (int i = 1; i <= n && out->n < LUN_LOG_BYTES; i++) {
        if (i > 1) lun_buf_putc(out, ' ');
        put_value(L, i, out);
    }
    lun_log(lun_policy_log(mind->policy), LUN_LOG_INFO, "policy: %s", lun_buf_text(out));
    return 0;
}

static int metric(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.metric");
    const char *name = luaL_checkstring(L, 1);
    double v = luaL_optnumber(L, 2, 1);
    if (!isfinite(v)) return luaL_error(L, "metric: NaN and infinity are no values");
    if (!lun_metrics_policy(lun_policy_registry(mind->policy)->metrics, name, v)) return lun_bind_nil(L, "bad_name_or_too_many");
    lua_pushboolean(L, 1);
    return 1;
}

/* Also while the policy's file is loaded, when there is no request yet. */
static int has_model(lua_State *L)
{
    const struct lun_snapshot *s = lua_touserdata(L, lua_upvalueindex(1));
    const char *name = luaL_checkstring(L, 1);
    if (!s) return luaL_error(L, "lunette.has_model can be used only in a policy");
    lua_pushboolean(L, lun_configured(s, LUN_NAMED_MODEL, name));
    return 1;
}

static int has_canary(lua_State *L)
{
    const struct lun_snapshot *s = lua_touserdata(L, lua_upvalueindex(1));
    const char *name = luaL_checkstring(L, 1);
    if (!s) return luaL_error(L, "lunette.has_canary can be used only in a policy");
    lua_pushboolean(L, lun_snapshot_canary(s, name) != NULL);
    return 1;
}

/* ---- the table ---- */

const struct lun_function lun_functions[] = {
    { "now", "()", "number", "seconds since 1970, with a fraction; the time of the request's own clock", now,
      .lua = "(): number" },
    { "sleep", "(s)", "true", "waits s seconds, at most a day; costs no CPU time. `nil, \"deadline\"`, at once, where that is more than half of the time that is left", lun_wish_sleep,
      .lua = "(s: number): true?, string?", .fixed = true },
    { "random", "(low, high)", "number", "as `math.random`: in [0, 1) without arguments, else a whole number from low (1) to high. Repeats with the request", lun_chance_random,
      .lua = "(low?: integer, high?: integer): number", .fixed = true },
    { "pick", "(list, weights)", "one of the list", "by chance, in proportion to the weights (a list; targets: their own; else equal). Its probability is noted in the log. `nil, \"empty\"` or `\"no_weight\"`", lun_chance_pick,
      .lua = "(list: any[]|lunette.Targets, weights?: number[]): any, string?", .fixed = true },
    { "split", "(salt, who, weights)", "name or position", "which group `who` belongs to, always the same for the same salt: `split(\"trial\", request.user, { new = 5, old = 95 })`; "
      "weights by name, or a list. Without who: by chance. Its probability is noted", lun_chance_split,
      .lua = "(salt: string, who: string?, weights: table<string|integer, number>): string|integer", .fixed = true },
    { "canary", "(name, who)", "boolean", "whether this request belongs to the new side of that canary of gateway.lua: true for as many percent as its stage says. By `who` (a user, "
      "the name of a key, a session), so that whoever is new stays so in every later stage; without one by chance. The same all through a request, written into its log "
      "line, and how it ends is counted. `nil, \"unknown_canary\"`", lun_chance_canary,
      .lua = "(name: string, who?: string): boolean?, string?" },
    { "has_canary", " \"NAME\"", "boolean", "whether `canaries` of the configuration has that name. Also while the file is loaded, as `has_model`", has_canary,
      .lua = "(name: string): boolean", .fixed = true },
    { "hash", "(s)", "number", "a whole number below 2^53 made of the text, the same on every machine: `lunette.hash(user) % 100`", lun_chance_hash,
      .lua = "(s: string): integer", .fixed = true },
    { "keywords", "(list)", "function", "a function of a text that says how many of these words and phrases are in it: `local hard = lunette.keywords { \"phân tích\", \"analyze\" }`, then "
      "`hard(request.text) >= 2`. Upper and lower case are the same, accents may be composed or not, a word may go on (`compared`). It looks at the first 64 KiB. Made at load", lun_words_keywords,
      .lua = "(list: string[]): fun(text: string): integer", .fixed = true },
    { "predict", "(model, request)", "number", "by how much a strong model's answer to the request's last user message would be better than a cheap one's, as `model` has it: the table of a file that "
      "`lunette train` wrote (`local router = require \"router\"`). From -1 to 1, 0.1: 10 % of such answers; compare it with a threshold that `train` printed, or with `router.thresholds[30]`. "
      "`nil, \"no_text\"` where there is no such message. A text in place of the request is looked at instead", lun_predict_function,
      .lua = "(model: { format: integer, base: number, scale: number, weights: string }, request: lunette.Request|string): number?, string?" },
    { "backoff", "(n, { base = 1, max = 60, jitter = })", "number", "seconds before try n + 1: base × 2^(n−1), at most max. `jitter = 0.5`: ± 50 %; `jitter = \"full\"`: anything from 0 to that; "
      "`jitter_seconds = 0.5`: ± 0.5 s; none of them: exact", lun_chance_backoff,
      .lua = "(n: number, options?: { base?: number, max?: number, jitter?: number|\"full\", jitter_seconds?: number }): number", .fixed = true },
    { "http", "{ url =, method =, headers =, body =, timeout = }", "table", "asks a web server: `{ status =, headers =, body = }`, or `nil, reason`. GET, or POST with a body; timeout 5 s. Redirects are not followed. "
      "Addresses of the local link and of clouds' metadata services are refused, also where a name leads to one; and hosts that `http.allow` of the configuration leaves out", lun_wish_http,
      .lua = "(options: { url: string, method?: string, headers?: table<string, string>, body?: string, timeout?: number }): { status: integer, headers: table<string, string>, body: string }?, string?", .fixed = true },
    { "chat", "{ model =, text = | messages =, choices =, timeout =, max_tokens =, pay = }", "string", "asks a model of the configuration and gives its answer's text, or `nil, reason`. With `choices` (a list of words) it gives the "
      "one that was answered, else `nil, \"no_choice\"`. Runs no hooks. The request's key pays; `pay = \"total\"`: the gateway. timeout 10 s", NULL,
      .lua = "(options: { model: string, text?: string, messages?: table[], choices?: string[], timeout?: number, max_tokens?: integer, pay?: \"key\"|\"total\" }): string?, string?", .fixed = true },
    { "store.get", "(key)", "any", "the value kept under that key, or nil. Shared by all requests and workers", lun_store_get_function,
      .lua = "(key: string): any" },
    { "store.set", "(key, value, ttl)", "true", "keeps a text, number, boolean or small table, for ttl seconds or until room is needed; nil removes it. `nil, \"too_large\"` over 64 KiB, `nil, \"key_too_long\"` over 1 KiB", lun_store_set_function,
      .lua = "(key: string, value: any, ttl?: number): true?, string?" },
    { "store.incr", "(key, by, ttl)", "number", "adds (1) and gives the sum; ttl counts from the first. `nil, \"not_a_number\"`", lun_store_incr_function,
      .lua = "(key: string, by?: number, ttl?: number): number?, string?" },
    { "setting", "(name)", "any", "the value of one of the policy's own `settings`", setting,
      .lua = "(name: string): any" },
    { "has_model", " \"NAME\"", "boolean", "whether `models` of the configuration has that name, as it is or by a pattern with `*`. Also while the file is loaded, so that a policy can refuse "
      "itself: `if not lunette.has_model \"small\" then error \"this policy needs a model `small`\" end`", has_model,
      .lua = "(name: string): boolean", .fixed = true },
    { "note", "(key, value)", "true", "puts a value into the request's log line. `nil, \"too_large\"` over 1 KiB", note,
      .lua = "(key: string, value: any): true?, string?" },
    { "log", "(…)", "nothing", "writes a line to the gateway's log; 20 a request", log_line,
      .lua = "(...: any)", .fixed = true },
    { "metric", "(name, value)", "true", "adds (1) to `lunette_policy_<name>` in /metrics. `nil, reason` for a bad name, or more than 200", metric,
      .lua = "(name: string, value?: number): true?, string?" },
    { "json.decode", "(text)", "any", "a value, or `nil, reason`. null: nothing in a table with names, `lunette.null` in a list", lun_json_decode_function,
      .lua = "(text: string): any, string?", .fixed = true },
    { "json.encode", "(value)", "string", "or `nil, reason`. An empty table is `{}`", lun_json_encode_function,
      .lua = "(value: any): string?, string?", .fixed = true },
    { "json.array", "(t)", "table", "t itself, marked as a list, so that `{}` is written as `[]`", lun_json_array_function,
      .lua = "(t: table): table", .fixed = true },
    { "host.NAME", "(…)", "any", "a function that the program round the gateway has given it (`lun_function` of lunette.h): texts, numbers, booleans and nil go in and come out. "
      "nil where there is none of that name, so `lunette.host.classify and lunette.host.classify(request.text)`. It does not wait, and its CPU time is the hook's. "
      "While a reload is tried out it is not called: `nil, \"rehearsal\"`; nor in a shadow: `nil, \"shadow\"`", NULL,
      .lua = "(...: string|number|boolean|nil): any" },
    { "again", "(delay)", "decision", "`retry`: the same target again, after delay seconds (0)", lun_decide_again,
      .lua = "(delay?: number): lunette.Decision", .fixed = true },
    { "next", "(delay)", "decision", "`retry`, `judge`: the next step of the plan; in `retry`, after delay seconds (0)", lun_decide_next,
      .lua = "(delay?: number): lunette.Decision", .fixed = true },
    { "try", "(target, delay)", "decision", "`retry`: this target (or the name of one) next", lun_decide_try,
      .lua = "(target: lunette.Target|string, delay?: number): lunette.Decision", .fixed = true },
    { "stop", "()", "decision", "`retry`: give up; the client gets the last failure", lun_decide_stop,
      .lua = "(): lunette.Decision", .fixed = true },
    { "refuse", "{ status =, message = }", "decision", "`classify`, `budget`, `select`, `judge`: an error for the client instead of an answer. Status 400 to 599: 402 by default in `budget`, 502 in `judge`, 403 else", lun_decide_refuse,
      .lua = "(options?: { status?: integer, message?: string }): lunette.Decision", .fixed = true },
    { "charge", "{ tag = value, … }", "true", "`classify`, `budget`: whose budget in `budgets.tags` pays, instead of what the request says: `lunette.charge { tenant = \"acme\" }`. "
      "It stands among the tags and the notes of the log line. A tag without a budget, or a value that is none, raises", lun_charge_function,
      .lua = "(values: table<string, string>): true" },
    { "degrade", "(model, … | f)", "decision", "`budget`: from now on only the targets of these models, in this order, or those for which `f(target)` is true; f may wait", NULL,
      .lua = "(what: string|string[]|(fun(target: lunette.Target): any), ...: string|string[]): lunette.Decision", .fixed = true },
    { "chain", "(policy, …)", "policy", "one policy made of several: for each hook the first that does not answer nil decides; all `finish` hooks are told", NULL,
      .lua = "(...: lunette.Policy): lunette.Policy", .fixed = true },
    { 0 } };

/* Upvalues: the configuration, as the function itself has it, and the function. */
static int taped(lua_State *L)
{
    const struct lun_function *f = lua_touserdata(L, lua_upvalueindex(2));
    return lun_tape_call(L, lun_vm_current(L), &(struct lun_read){ .name = f->name, .arguments = 1 }, f->call);
}

static void push_function(lua_State *L, const struct lun_function *f, const struct lun_snapshot *s)
{
    bool on_tape = s && s->log_replay && !f->fixed;
    lua_pushlightuserdata(L, (void *)s);
    if (on_tape) lua_pushlightuserdata(L, (void *)f);
    lua_pushcclosure(L, on_tape ? taped : f->call, 1 + on_tape);
}

static void set_function(lua_State *L, const struct lun_function *f, const struct lun_snapshot *s)
{
    const char *point = strchr(f->name, '.');
    if (!point) {
        push_function(L, f, s);
        lua_setfield(L, -2, f->name);
        return;
    }
    lua_pushlstring(L, f->name, (size_t)(point - f->name));
    lua_rawget(L, -2);
    push_function(L, f, s);
    lua_setfield(L, -2, point + 1);
    lua_pop(L, 1);
}

static void freeze_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    lun_sandbox_freeze(L);
    lua_setfield(L, -2, name);
}

/* What lua/lunette.lua takes, and takes away. */
static void set_native(lua_State *L)
{
    static const luaL_Reg natives[] = { { "chat", lun_wish_chat }, { "degrade_to", lun_decide_degrade }, { "all_targets", lun_decide_targets }, { 0 } };
    lua_newtable(L);
    luaL_register(L, NULL, natives);
    lua_newtable(L);
    for (int i = 0; i < LUN_HOOK_COUNT; i++) {
        lua_pushstring(L, lun_hook_name(i));
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "hooks");
    lua_setfield(L, -2, "native");
}

void lun_bind_open(struct lun_vm *vm, const struct lun_snapshot *snapshot)
{
    lua_State *L = vm->L;
    lun_class_open(vm, snapshot && snapshot->log_replay);
    lun_sandbox_module(vm);
    lua_newtable(L);
    lua_setfield(L, -2, "store");
    lua_newtable(L);
    lua_setfield(L, -2, "json");
    for (const struct lun_function *f = lun_functions; f->name; f++) if (f->call) set_function(L, f, snapshot);
    freeze_field(L, "store");
    freeze_field(L, "json");
    lua_newtable(L);
    lua_setfield(L, -2, "host");
    freeze_field(L, "host");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    set_native(L);
    lua_pop(L, 1);
}

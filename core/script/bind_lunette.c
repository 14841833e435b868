/* `require "lunette"`: the functions that policies call, in one table. Those that wait are in bind_wish.c, those that call back or need no
 * C are in lua/lunette.lua. */
#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/hash.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "script/sandbox.h"
#include "state/metrics.h"
#include "state/store.h"

#define LONGEST   (24 * 3600.0)         /* seconds of a delay */
#define DRAWS     8                     /* random choices noted per request */
#define LINES     20                    /* logged per request */
#define NOTE_KEY  64
#define NOTE_MOST ((size_t)1 << 10)
#define KEY_MOST  1024                  /* of the store, bytes */
#define VALUE_MOST ((size_t)64 << 10)
#define WEIGHTS   256                   /* entries of a list to choose from */

static int nil_because(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

/* ---- time and chance ---- */

static int now(lua_State *L)
{
    lua_pushnumber(L, lun_us_to_seconds(lun_question_wall(lun_bind_mind(L, "lunette.now")->question)));
    return 1;
}

static int random_number(lua_State *L)
{
    double r = lun_question_random_unit(lun_bind_mind(L, "lunette.random")->question), low = 1, high;
    if (lua_isnoneornil(L, 1)) { lua_pushnumber(L, r); return 1; }
    high = floor(luaL_checknumber(L, 1));
    if (!lua_isnoneornil(L, 2)) { low = high; high = floor(luaL_checknumber(L, 2)); }
    if (!(low <= high)) return luaL_error(L, "random(low, high): there is nothing between %f and %f", low, high);
    lua_pushnumber(L, low + floor(r * (high - low + 1)));
    return 1;
}

/* What was chosen by chance, and how likely that was: replay and learning need both. */
static void note_draw(lua_State *L, struct lun_mind *mind, const char *name, double probability)
{
    char key[NOTE_KEY + 16], json[128];
    struct lun_buf *out = lun_bind_scratch(L);
    if (mind->draws >= DRAWS) return;
    snprintf(key, sizeof key, mind->draws ? "%s_%d" : "%s", name, mind->draws + 1);
    mind->draws++;
    lun_buf_puts(out, "{\"chosen\":");
    size_t before = out->n;
    const struct lun_target *t = lun_target_at(L, -1, mind);
    if (t) lun_json_put_text(out, t->name);
    else if (lun_bind_encode(L, -1, out, 100)) {
        out->n = before;
        lun_buf_puts(out, "null");
    }
    snprintf(json, sizeof json, ",\"probability\":%.6g}", probability);
    lun_buf_puts(out, json);
    lun_bind_take(L, mind, out->n + sizeof key);
    lun_question_note(mind->question, key, lun_buf_text(out));
}

/* A list to choose from, at `index`: a table, targets, or something read-only. Pushes its i-th item. */
static int length_of(lua_State *L, int index)
{
    struct lun_set *s = lun_class_is(L, index, &lun_targets_class);
    if (s) { lun_class_check(L, index, &lun_targets_class, NULL); return s->n; }
    if (lun_sandbox_thaw(L, index)) lua_replace(L, index);
    luaL_checktype(L, index, LUA_TTABLE);
    return (int)lua_objlen(L, index);
}

static void push_item(lua_State *L, int index, int i)
{
    struct lun_set *s = lun_class_is(L, index, &lun_targets_class);
    if (s) lun_push_target(L, lun_vm_current(L), s->item[i - 1]);
    else lua_rawgeti(L, index, i);
}

/* The weight on top of the stack, which it takes. */
static double pop_weight(lua_State *L, const char *function)
{
    double w = lua_isnil(L, -1) ? 0 : lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    if (!(w >= 0) || isinf(w)) luaL_error(L, "%s: weights are numbers, 0 or more", function);
    return w;
}

static double weight_of(lua_State *L, int list, int weights, int i)
{
    struct lun_set *s = lun_class_is(L, list, &lun_targets_class);
    if (lua_isnoneornil(L, weights)) return s ? s->item[i - 1]->weight : 1;
    lua_rawgeti(L, weights, i);
    return pop_weight(L, "pick");
}

/* Which of n the number `at` in [0, 1) falls on. 0: all weigh nothing. */
static int choose(const double *weights, int n, double at, double *probability)
{
    double all = 0;
    int chosen = 0;
    for (int i = 0; i < n; i++) all += weights[i];
    at *= all;
    for (int i = 0; i < n; i++) {
        if (weights[i] <= 0) continue;
        chosen = i + 1;
        *probability = weights[i] / all;
        if ((at -= weights[i]) < 0) break;
    }
    return chosen;
}

static int pick(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.pick");
    double weights[WEIGHTS], probability = 0;
    lua_settop(L, 2);
    int n = length_of(L, 1);
    if (!lua_isnil(L, 2)) length_of(L, 2);
    if (n > WEIGHTS) return luaL_error(L, "pick(list, weights): over %d to choose from", WEIGHTS);
    if (!n) return nil_because(L, "empty");
    for (int i = 0; i < n; i++) weights[i] = weight_of(L, 1, 2, i + 1);
    int chosen = choose(weights, n, lun_question_random_unit(mind->question), &probability);
    if (!chosen) return nil_because(L, "no_weight");
    push_item(L, 1, chosen);
    note_draw(L, mind, "pick", probability);
    return 1;
}

/* Names and weights of the table at `index`, in the order of the names; or a list's positions. Leaves the names' array on the stack. */
struct share { const char *name; };

static int by_name(lua_State *L, int index, struct share *shares, double *weights)
{
    int n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (n == WEIGHTS) luaL_error(L, "split(salt, who, weights): over %d groups", WEIGHTS);
        if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "split(salt, who, weights): weights are a list, or a table of names and weights");
        int at = n++;
        const char *name = lua_tostring(L, -2);
        lua_pushvalue(L, -1);
        double w = pop_weight(L, "split");
        for (; at > 0 && strcmp(name, shares[at - 1].name) < 0; at--) { shares[at] = shares[at - 1]; weights[at] = weights[at - 1]; }
        shares[at].name = name;
        weights[at] = w;
    }
    return n;
}

static int by_place(lua_State *L, int index, double *weights)
{
    int n = (int)lua_objlen(L, index);
    if (n > WEIGHTS) luaL_error(L, "split(salt, who, weights): over %d groups", WEIGHTS);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, index, i + 1);
        weights[i] = pop_weight(L, "split");
    }
    return n;
}

/* The same place in [0, 1) for the same salt and who, on every machine. */
static double place_of(lua_State *L, struct lun_mind *mind)
{
    size_t n;
    if (lua_isnil(L, 2)) return lun_question_random_unit(mind->question);
    const char *who = luaL_checklstring(L, 2, &n);
    return lun_hash_unit(lun_hash(who, n, lun_hash_text(luaL_checkstring(L, 1), 0)));
}

static int split(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.split");
    double weights[WEIGHTS], probability = 0;
    struct share shares[WEIGHTS];
    char note[NOTE_KEY];
    lua_settop(L, 3);
    luaL_checkstring(L, 1);
    length_of(L, 3);
    bool list = lua_objlen(L, 3) > 0;
    int n = list ? by_place(L, 3, weights) : by_name(L, 3, shares, weights);
    int chosen = choose(weights, n, place_of(L, mind), &probability);
    if (!chosen) return nil_because(L, "no_weight");
    if (list) lua_pushinteger(L, chosen);
    else lua_pushstring(L, shares[chosen - 1].name);
    snprintf(note, sizeof note, "split_%.40s", lua_tostring(L, 1));
    if (list) lua_pushfstring(L, "%d", chosen);
    else lua_pushvalue(L, -1);
    note_draw(L, mind, note, probability);
    lua_pop(L, 1);
    return 1;
}

static int hash(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    lun_vm_work(L, (int64_t)(n >> 2));
    lua_pushnumber(L, (double)(lun_hash(text, n, 0) >> 11));
    return 1;
}

/* ---- back-off ---- */

static const char *const backoff_options[] = { "base", "max", "jitter", "jitter_seconds" };

static double number_option(lua_State *L, const char *name, double otherwise)
{
    lua_pushstring(L, name);
    lua_rawget(L, 2);
    double n = lua_isnil(L, -1) ? otherwise : lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
    lua_pop(L, 1);
    if (!(n >= 0 && n <= LONGEST)) luaL_error(L, "backoff: '%s' is to be a number, 0 or more", name);
    return n;
}

static void check_names(lua_State *L, int index, const char *function, const char *const *names, size_t n)
{
    char hint[96];
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        size_t i = 0;
        while (i < n && strcmp(names[i], name)) i++;
        if (i == n) luaL_error(L, "%s has no option '%s'%s", function, name, lun_bind_hint(name, names, n, hint));
    }
}

static bool is_full(lua_State *L)
{
    lua_pushliteral(L, "jitter");
    lua_rawget(L, 2);
    bool full = lua_type(L, -1) == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "full");
    lua_pop(L, 1);
    return full;
}

static int backoff(lua_State *L)
{
    double n = luaL_checknumber(L, 1), jitter = 0, around = 0;
    if (!(n >= 1)) return luaL_error(L, "backoff(n, …): n counts from 1");
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) { lua_newtable(L); lua_replace(L, 2); }
    luaL_checktype(L, 2, LUA_TTABLE);
    check_names(L, 2, "backoff", backoff_options, sizeof backoff_options / sizeof *backoff_options);
    double base = number_option(L, "base", 1), max = number_option(L, "max", 60), delay = base * pow(2, fmin(n - 1, 60));
    bool full = is_full(L);
    if (!full) jitter = number_option(L, "jitter", 0);
    around = number_option(L, "jitter_seconds", 0);
    if (delay > max) delay = max;
    if (full || jitter > 0 || around > 0) {
        double r = lun_question_random_unit(lun_bind_mind(L, "backoff with jitter")->question);
        if (full) delay *= r;
        else if (jitter > 0) delay *= 1 + jitter * (2 * r - 1);
        else delay += around * (2 * r - 1);
    }
    lua_pushnumber(L, delay > 0 ? delay : 0);
    return 1;
}

/* ---- the store ---- */

static const char *store_key(lua_State *L, size_t *n)
{
    const char *key = luaL_checklstring(L, 1, n);
    if (!*n) luaL_error(L, "store: the key is empty");
    return key;
}

static struct lun_store *store_of(lua_State *L, struct lun_mind **mind)
{
    *mind = lun_bind_mind(L, "lunette.store");
    return lun_policy_registry((*mind)->policy)->store;
}

static lun_us ttl_at(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) return 0;
    double ttl = luaL_checknumber(L, index);
    if (!(ttl > 0)) luaL_error(L, "store: a time to live is a number of seconds, more than 0");
    return lun_us_from_seconds(ttl);
}

static int push_stored(lua_State *L, char type, const struct lun_buf *value)
{
    struct lun_json json;
    const char *why;
    double n;
    switch (type) {
    case 'n': memcpy(&n, value->at, sizeof n); lua_pushnumber(L, n); return 1;
    case 'b': lua_pushboolean(L, value->n && value->at[0] == '1'); return 1;
    case 's': lua_pushlstring(L, value->n ? value->at : "", value->n); return 1;
    }
    lua_pushlstring(L, value->at, value->n);        /* decoding uses the scratch memory that holds it */
    const char *text = lua_tostring(L, -1);
    if (lun_json_check(text, lua_objlen(L, -1), &json, NULL) && lun_push_json(L, json, &why)) return 1;
    return nil_because(L, "unreadable");
}

static int store_get(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_store *store = store_of(L, &mind);
    size_t n;
    char type;
    const char *key = store_key(L, &n);
    struct lun_buf *out = lun_bind_scratch(L);
    if (!lun_store_get(store, key, n, mind->question->loop->now, &type, out)) { lua_pushnil(L); return 1; }
    return push_stored(L, type, out);
}

static int put_stored(lua_State *L, struct lun_store *store, struct lun_mind *mind, char type, const void *value, size_t n, lun_us ttl)
{
    size_t key_n;
    const char *key = store_key(L, &key_n);
    if (key_n > KEY_MOST) return nil_because(L, "key_too_long");
    if (n > VALUE_MOST || !lun_store_set(store, key, key_n, type, value, n, ttl, mind->question->loop->now)) return nil_because(L, "too_large");
    lua_pushboolean(L, 1);
    return 1;
}

static int store_set(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_store *store = store_of(L, &mind);
    lun_us ttl = ttl_at(L, 3);
    size_t n;
    const char *text = store_key(L, &n), *why;
    double number;
    struct lun_buf *out;
    luaL_checkany(L, 2);
    switch (lua_type(L, 2)) {
    case LUA_TNIL: lun_store_remove(store, text, n); lua_pushboolean(L, 1); return 1;
    case LUA_TNUMBER: number = lua_tonumber(L, 2); return put_stored(L, store, mind, 'n', &number, sizeof number, ttl);
    case LUA_TBOOLEAN: return put_stored(L, store, mind, 'b', lua_toboolean(L, 2) ? "1" : "0", 1, ttl);
    case LUA_TSTRING: text = lua_tolstring(L, 2, &n); return put_stored(L, store, mind, 's', text, n, ttl);
    }
    why = lun_bind_encode(L, 2, out = lun_bind_scratch(L), VALUE_MOST);
    if (why && !strcmp(why, "is too large")) return nil_because(L, "too_large");
    if (why) return luaL_error(L, "store.set: the value %s", why);
    return put_stored(L, store, mind, 'j', out->at, out->n, ttl);
}

static int store_incr(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_store *store = store_of(L, &mind);
    size_t n;
    const char *key = store_key(L, &n);
    double by = luaL_optnumber(L, 2, 1), value;
    if (!isfinite(by)) return luaL_error(L, "store.incr: by how much? NaN and infinity are no amounts");
    if (n > KEY_MOST) return nil_because(L, "key_too_long");
    if (!lun_store_incr(store, key, n, by, ttl_at(L, 3), mind->question->loop->now, &value)) return nil_because(L, "not_a_number");
    lua_pushnumber(L, value);
    return 1;
}

/* ---- telling ---- */

static int setting(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.setting");
    const char *name = luaL_checkstring(L, 1);
    char hint[96];
    if (lun_policy_setting(mind->policy, L, name)) return 1;
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
        if (!strcmp(why, "is too large")) return nil_because(L, "too_large");
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
    if (!lun_metrics_policy(lun_policy_registry(mind->policy)->metrics, name, v)) return nil_because(L, "bad_name_or_too_many");
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- decisions ---- */

static struct lun_decision *decide(lua_State *L, const struct lun_mind *mind, enum lun_verb verb, int n)
{
    struct lun_decision *d = lun_class_new(L, &lun_decision_class, mind, sizeof *d + (size_t)n * sizeof *d->item);
    d->verb = verb;
    return d;
}

static lun_us delay_at(lua_State *L, int index, const char *function)
{
    double s = luaL_optnumber(L, index, 0);
    if (!(s >= 0 && s <= LONGEST)) luaL_error(L, "%s: the delay is to be seconds from 0 to a day, got %f", function, s);
    return lun_us_from_seconds(s);
}

static int again(lua_State *L)
{
    lun_us delay = delay_at(L, 1, "again(delay)");
    decide(L, NULL, LUN_AGAIN, 0)->delay = delay;
    return 1;
}

static int next_step(lua_State *L) { decide(L, NULL, LUN_NEXT, 0); return 1; }
static int stop(lua_State *L) { decide(L, NULL, LUN_STOP, 0); return 1; }

static const struct lun_target *target_named(lua_State *L, const struct lun_question *q, const char *name)
{
    const char *names[256];
    char hint[96];
    size_t n = 0;
    for (int i = 0; i < q->n_targets; i++) {
        if (!strcmp(q->targets[i]->name, name)) return q->targets[i];
        if (n < 256) names[n++] = q->targets[i]->name;
    }
    luaL_error(L, "try: this request has no target '%s'%s", name, lun_bind_hint(name, names, n, hint));
    return NULL;
}

static int try_target(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.try");
    lun_us delay = delay_at(L, 2, "try(target, delay)");
    struct lun_set *s = lun_class_is(L, 1, &lun_targets_class);
    const struct lun_target *t;
    if (lua_type(L, 1) == LUA_TSTRING) t = target_named(L, mind->question, lua_tostring(L, 1));
    else if (s) {
        lun_class_check(L, 1, &lun_targets_class, NULL);
        if (s->n != 1) return luaL_error(L, "try: this is a set of %d; take one of it, targets[1]", s->n);
        t = s->item[0];
    } else {
        lun_class_check(L, 1, &lun_target_class, NULL);
        t = lun_target_at(L, 1, mind);
    }
    struct lun_decision *d = decide(L, mind, LUN_TRY, 0);
    d->target = t;
    d->delay = delay;
    return 1;
}

static const char *const refuse_options[] = { "status", "message" };

static int status_option(lua_State *L)
{
    lua_pushliteral(L, "status");
    lua_rawget(L, 1);
    double status = lua_isnil(L, -1) ? 0 : lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    if (status != 0 && !(status >= 400 && status <= 599 && status == floor(status))) luaL_error(L, "refuse: the status is to be a whole number from 400 to 599");
    return (int)status;
}

static int refuse(lua_State *L)
{
    int status = 0;
    size_t n = 0;
    const char *message = NULL;
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TTABLE) {
        check_names(L, 1, "refuse", refuse_options, 2);
        status = status_option(L);
        lua_pushliteral(L, "message");
        lua_rawget(L, 1);
    }
    if (lua_type(L, -1) == LUA_TSTRING) message = lua_tolstring(L, -1, &n);
    else if (!lua_isnil(L, -1)) return luaL_error(L, "refuse: the message is to be a text, got %s", lun_bind_type(L, -1));
    struct lun_decision *d = decide(L, NULL, LUN_REFUSE, 0);
    d->status = status;
    if (message) memcpy(d->message, message, lun_text_clip(message, strnlen(message, n), sizeof d->message - 4));
    return 1;
}

/* For lua/lunette.lua: the targets that are left. */
static int degrade_to(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = lun_class_check(L, 1, &lun_targets_class, &mind);
    struct lun_decision *d = decide(L, mind, LUN_DEGRADE, s->n);
    memcpy(d->item, s->item, (size_t)s->n * sizeof *s->item);
    d->n = s->n;
    return 1;
}

static int all_targets(lua_State *L)
{
    lun_push_targets(L, lun_bind_mind(L, "lunette.degrade"));
    return 1;
}

static const struct lun_member no_members[] = { { 0 } };
const struct lun_class lun_decision_class = {
    .name = "decision", .members = no_members, .free = true,
    .doc = "What `again next try stop refuse degrade` give. A hook returns it; there is nothing to read in it." };

/* ---- the table ---- */

const struct lun_function lun_functions[] = {
    { "now", "()", "number", "seconds since 1970, with a fraction; the time of the request's own clock", now },
    { "sleep", "(s)", "nothing", "waits s seconds, at most a day; costs no CPU time", lun_wish_sleep },
    { "random", "(low, high)", "number", "as `math.random`: in [0, 1) without arguments, else a whole number from low (1) to high. Repeats with the request", random_number },
    { "pick", "(list, weights)", "one of the list", "by chance, in proportion to the weights (a list; targets: their own; else equal). Its probability is noted in the log. `nil, \"empty\"` or `\"no_weight\"`", pick },
    { "split", "(salt, who, weights)", "name or position", "which group `who` belongs to, always the same for the same salt: `split(\"trial\", request.user, { new = 5, old = 95 })`; "
      "weights by name, or a list. Without who: by chance. Its probability is noted", split },
    { "hash", "(s)", "number", "a whole number below 2^53 made of the text, the same on every machine: `lunette.hash(user) % 100`", hash },
    { "backoff", "(n, { base = 1, max = 60, jitter = })", "number", "seconds before try n + 1: base × 2^(n−1), at most max. `jitter = 0.5`: ± 50 %; `jitter = \"full\"`: anything from 0 to that; "
      "`jitter_seconds = 0.5`: ± 0.5 s; none of them: exact", backoff },
    { "http", "{ url =, method =, headers =, body =, timeout = }", "table", "asks a web server: `{ status =, headers =, body = }`, or `nil, reason`. GET, or POST with a body; timeout 5 s. "
      "Addresses of the local link and of clouds' metadata services are refused", lun_wish_http },
    { "chat", "{ model =, text = | messages =, choices =, timeout =, max_tokens =, pay = }", "string", "asks a model of the configuration and gives its answer's text, or `nil, reason`. With `choices` (a list of words) it gives the "
      "one that was answered, else `nil, \"no_choice\"`. Runs no hooks. The request's key pays; `pay = \"total\"`: the gateway. timeout 10 s" },
    { "store.get", "(key)", "any", "the value kept under that key, or nil. Shared by all requests and workers", store_get },
    { "store.set", "(key, value, ttl)", "true", "keeps a text, number, boolean or small table, for ttl seconds or until room is needed; nil removes it. `nil, \"too_large\"` over 64 KiB, `nil, \"key_too_long\"` over 1 KiB", store_set },
    { "store.incr", "(key, by, ttl)", "number", "adds (1) and gives the sum; ttl counts from the first. `nil, \"not_a_number\"`", store_incr },
    { "setting", "(name)", "any", "the value of one of the policy's own `settings`", setting },
    { "note", "(key, value)", "true", "puts a value into the request's log line. `nil, \"too_large\"` over 1 KiB", note },
    { "log", "(…)", "nothing", "writes a line to the gateway's log; 20 a request", log_line },
    { "metric", "(name, value)", "true", "adds (1) to `lunette_policy_<name>` in /metrics. `nil, reason` for a bad name, or more than 200", metric },
    { "json.decode", "(text)", "any", "a value, or `nil, reason`. null: nothing in a table with names, `lunette.null` in a list", lun_json_decode_function },
    { "json.encode", "(value)", "string", "or `nil, reason`. An empty table is `{}`", lun_json_encode_function },
    { "json.array", "(t)", "table", "t itself, marked as a list, so that `{}` is written as `[]`", lun_json_array_function },
    { "again", "(delay)", "decision", "`retry`: the same target again, after delay seconds (0)", again },
    { "next", "()", "decision", "`retry`, `judge`: the next step of the plan", next_step },
    { "try", "(target, delay)", "decision", "`retry`: this target (or the name of one) next", try_target },
    { "stop", "()", "decision", "`retry`: give up; the client gets the last failure", stop },
    { "refuse", "{ status =, message = }", "decision", "`classify`, `budget`, `select`, `judge`: an error for the client instead of an answer. Status 400 to 599: 402 by default in `budget`, 502 in `judge`, 403 else", refuse },
    { "degrade", "(model, … | f)", "decision", "`budget`: from now on only the targets of these models, in this order, or those for which `f(target)` is true; f may wait" },
    { "chain", "(policy, …)", "policy", "one policy made of several: for each hook the first that does not answer nil decides; all `finish` hooks are told" },
    { 0 } };

static void set_function(lua_State *L, const struct lun_function *f)
{
    const char *point = strchr(f->name, '.');
    if (!point) {
        lua_pushcfunction(L, f->call);
        lua_setfield(L, -2, f->name);
        return;
    }
    lua_pushlstring(L, f->name, (size_t)(point - f->name));
    lua_rawget(L, -2);
    lua_pushcfunction(L, f->call);
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
    static const luaL_Reg natives[] = { { "chat", lun_wish_chat }, { "degrade_to", degrade_to }, { "all_targets", all_targets }, { 0 } };
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

void lun_bind_open(struct lun_vm *vm)
{
    lua_State *L = vm->L;
    lun_class_open(vm);
    lun_sandbox_module(vm);
    lua_newtable(L);
    lua_setfield(L, -2, "store");
    lua_newtable(L);
    lua_setfield(L, -2, "json");
    for (const struct lun_function *f = lun_functions; f->name; f++) if (f->call) set_function(L, f);
    freeze_field(L, "store");
    freeze_field(L, "json");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    set_native(L);
    lua_pop(L, 1);
}

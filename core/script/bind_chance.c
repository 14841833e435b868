/* What is left to chance, to a hash, or to a clock: random, pick, split, canary, hash, backoff. All of it repeats with the request. */
#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/decimal.h"
#include "base/hash.h"
#include "base/text.h"
#include "script/sandbox.h"

#define LONGEST   (24 * 3600.0)         /* seconds of a delay */
#define DRAWS     8                     /* random choices noted per request */
#define NOTE_KEY  64
#define WEIGHTS   256                   /* entries of a list to choose from */
#define PIECE     ((size_t)16 << 10)    /* bytes hashed at once */

/* All chance but that of the canaries, whose results are on the tape themselves. */
static double draw(lua_State *L, struct lun_mind *mind) { return lun_tape_number(L, mind, "random", lun_question_random_unit(mind->question)); }

/* ---- choices ---- */

int lun_chance_random(lua_State *L)
{
    double r = draw(L, lun_bind_mind(L, "lunette.random")), low = 1, high;
    if (lua_isnoneornil(L, 1)) { lua_pushnumber(L, r); return 1; }
    high = floor(luaL_checknumber(L, 1));
    if (!lua_isnoneornil(L, 2)) { low = high; high = floor(luaL_checknumber(L, 2)); }
    if (!(low <= high)) return luaL_error(L, "random(low, high): there is nothing between %f and %f", low, high);
    lua_pushnumber(L, low + floor(r * (high - low + 1)));
    return 1;
}

/* What there was to choose from; `push` puts the i-th on the stack, from 0, as it is noted. */
struct lot { int n; const double *weights; void (*push)(lua_State *L, const void *self, int i); const void *self; };

/* The choice on top of the stack, as it is noted. */
static void put_choice(lua_State *L, struct lun_mind *mind, struct lun_buf *out)
{
    size_t before = out->n;
    const struct lun_target *t = lun_target_at(L, -1, mind);
    if (t) lun_json_put_text(out, t->name);
    else if (lun_bind_encode(L, -1, out, 100)) {
        out->n = before;
        lun_buf_puts(out, "null");
    }
}

/* How likely what was chosen in the log is by these weights. */
static void recall(lua_State *L, struct lun_mind *mind, const char *key, const struct lot *lot)
{
    struct lun_before *before = mind->question->before;
    struct lun_chance *c = before->chances, *end = c + before->n_chances;
    double all = 0;
    while (c < end && strcmp(c->note, key)) c++;
    before->other |= c == end;
    if (c == end) return;
    c->met = true;
    c->now = 0;
    for (int i = 0; i < lot->n; i++) all += lot->weights[i];
    for (int i = 0; i < lot->n; i++) {
        struct lun_buf *out = lun_bind_scratch(L);
        lot->push(L, lot->self, i);
        put_choice(L, mind, out);
        lua_pop(L, 1);
        if (out->n == c->chosen.n && !memcmp(out->at, c->chosen.at, out->n)) c->now += lot->weights[i] / all;
    }
}

/* What was chosen by chance, and how likely that was: replay and learning need both. */
static void note_draw(lua_State *L, struct lun_mind *mind, const char *name, double probability, const struct lot *lot)
{
    char key[NOTE_KEY + 16], json[40];
    if (mind->draws >= DRAWS) return;
    snprintf(key, sizeof key, mind->draws ? "%s_%d" : "%s", name, mind->draws + 1);
    mind->draws++;
    if (mind->question->before) recall(L, mind, key, lot);
    struct lun_buf *out = lun_bind_scratch(L);
    lun_buf_puts(out, "{\"chosen\":");
    put_choice(L, mind, out);
    lun_buf_puts(out, ",\"probability\":");
    lun_buf_add(out, json, (size_t)lun_decimal_write(json, sizeof json, 6, probability));
    lun_buf_putc(out, '}');
    lun_bind_take(L, mind, out->n + sizeof key);
    lun_question_note(mind->question, key, lun_buf_text(out));
}

/* What is read raw must be a table: one of ours that is read-only is replaced by what lies beneath. */
static void table_at(lua_State *L, int index)
{
    if (lun_sandbox_thaw(L, index)) lua_replace(L, index);
    luaL_checktype(L, index, LUA_TTABLE);
}

/* A list to choose from, at `index`: a table, targets, or something read-only. Gives its length; push_item pushes its i-th item. */
static int length_of(lua_State *L, int index)
{
    if (lun_class_is(L, index, &lun_targets_class)) return ((struct lun_set *)lun_class_check(L, index, &lun_targets_class, NULL))->n;
    table_at(L, index);
    return (int)lua_objlen(L, index);
}

static void push_item(lua_State *L, int index, int i)
{
    struct lun_set *s = lun_class_is(L, index, &lun_targets_class);
    if (s) lun_push_target(L, lun_vm_current(L), s->item[i - 1]);
    else lua_rawgeti(L, index, i);
}

static void push_listed(lua_State *L, const void *self, int i) { (void)self; push_item(L, 1, i + 1); }

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

int lun_chance_pick(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.pick");
    double weights[WEIGHTS], probability = 0;
    lua_settop(L, 2);
    int n = length_of(L, 1);
    if (!lua_isnil(L, 2)) table_at(L, 2);
    if (n > WEIGHTS) return luaL_error(L, "pick(list, weights): over %d to choose from", WEIGHTS);
    if (!n) return lun_bind_nil(L, "empty");
    for (int i = 0; i < n; i++) weights[i] = weight_of(L, 1, 2, i + 1);
    int chosen = choose(weights, n, draw(L, mind), &probability);
    if (!chosen) return lun_bind_nil(L, "no_weight");
    push_item(L, 1, chosen);
    note_draw(L, mind, "pick", probability, &(struct lot){ n, weights, push_listed, NULL });
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

/* lun_hash, piece by piece, so that a long text can be stopped in the middle. */
static uint64_t hash_of(lua_State *L, const char *text, size_t n, uint64_t seed)
{
    uint64_t h = lun_hash_begin(seed);
    for (size_t at = 0; at < n; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        h = lun_hash_add(h, text + at, piece);
        lun_vm_work(L, (int64_t)(piece >> 2));
    }
    return lun_hash_end(h, n);
}

/* The same place in [0, 1) for the same salt and who, on every machine. */
static double place_of(lua_State *L)
{
    size_t n;
    size_t salt_n = strlen(luaL_checkstring(L, 1));
    const char *who = luaL_checklstring(L, 2, &n);
    return lun_hash_unit(hash_of(L, who, n, hash_of(L, lua_tostring(L, 1), salt_n, 0)));
}

static void push_named(lua_State *L, const void *self, int i) { lua_pushstring(L, ((const struct share *)self)[i].name); }
static void push_place(lua_State *L, const void *self, int i) { (void)self; lua_pushfstring(L, "%d", i + 1); }

int lun_chance_split(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.split");
    double weights[WEIGHTS], probability = 0;
    struct share shares[WEIGHTS];
    char note[NOTE_KEY];
    lua_settop(L, 3);
    luaL_checkstring(L, 1);
    weights[0] = 0;
    table_at(L, 3);
    bool list = lua_objlen(L, 3) > 0;
    int n = list ? by_place(L, 3, weights) : by_name(L, 3, shares, weights);
    int chosen = choose(weights, n, lua_isnil(L, 2) ? draw(L, mind) : place_of(L), &probability);
    if (!chosen) return lun_bind_nil(L, "no_weight");
    if (list) lua_pushinteger(L, chosen);
    else lua_pushstring(L, shares[chosen - 1].name);
    const char *salt = lua_tostring(L, 1);
    snprintf(note, sizeof note, "split_%.*s", (int)lun_text_clip(salt, strlen(salt), 40), salt);
    if (list) lua_pushfstring(L, "%d", chosen);
    else lua_pushvalue(L, -1);
    note_draw(L, mind, note, probability, &(struct lot){ n, weights, list ? push_place : push_named, shares });
    lua_pop(L, 1);
    return 1;
}

static void push_is_new(lua_State *L, const void *self, int i) { (void)self; lua_pushboolean(L, i == 0); }

static int push_group(lua_State *L, struct lun_mind *mind, bool is_new, const char *name, double share)
{
    char note[NOTE_KEY];
    lua_pushboolean(L, is_new);
    if (!lua_isnil(L, 2)) return 1;                 /* nothing was left to chance */
    snprintf(note, sizeof note, "canary_%.*s", (int)lun_text_clip(name, strlen(name), 40), name);
    note_draw(L, mind, note, is_new ? share : 1 - share, &(struct lot){ 2, (const double[]){ share, 1 - share }, push_is_new, NULL });
    return 1;
}

int lun_chance_canary(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.canary");
    struct lun_question *q = mind->question;
    lua_settop(L, 2);
    const struct lun_canary_rule *rule = lun_snapshot_canary(q->snapshot, luaL_checkstring(L, 1));
    if (!lua_isnil(L, 2)) luaL_checkstring(L, 2);
    if (!rule) return lun_bind_nil(L, "unknown_canary");
    if (q->rehearsal) return lua_pushboolean(L, q->rehearsal_new), 1;
    for (const struct lun_grouped *g = q->grouped; g; g = g->next)
        if (g->canary == rule) return lua_pushboolean(L, g->is_new), 1;
    lun_bind_take(L, mind, sizeof(struct lun_grouped));
    double share = lun_canary_share(rule->state) / 100;
    double place = lua_isnil(L, 2) ? lun_question_random_unit(q) : place_of(L);
    return push_group(L, mind, lun_question_group(q, rule, place)->is_new, rule->name, share);
}

int lun_chance_hash(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    lua_pushnumber(L, (double)(hash_of(L, text, n, 0) >> 11));
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

static bool is_full(lua_State *L)
{
    lua_pushliteral(L, "jitter");
    lua_rawget(L, 2);
    bool full = lua_type(L, -1) == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "full");
    lua_pop(L, 1);
    return full;
}

int lun_chance_backoff(lua_State *L)
{
    double n = luaL_checknumber(L, 1), jitter = 0, around = 0;
    if (!(n >= 1)) return luaL_error(L, "backoff(n, …): n counts from 1");
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) { lua_newtable(L); lua_replace(L, 2); }
    luaL_checktype(L, 2, LUA_TTABLE);
    lun_bind_names(L, 2, "backoff", backoff_options, sizeof backoff_options / sizeof *backoff_options);
    double base = number_option(L, "base", 1), max = number_option(L, "max", 60), delay = base * pow(2, fmin(n - 1, 60));
    bool full = is_full(L);
    if (!full) jitter = number_option(L, "jitter", 0);
    around = number_option(L, "jitter_seconds", 0);
    if (delay > max) delay = max;
    if (full || jitter > 0 || around > 0) {
        double r = draw(L, lun_bind_mind(L, "backoff with jitter"));
        if (full) delay *= r;
        else if (jitter > 0) delay *= 1 + jitter * (2 * r - 1);
        else delay += around * (2 * r - 1);
    }
    lua_pushnumber(L, delay > 0 ? delay : 0);
    return 1;
}

/* The protocol by which several gateways share their budgets: real members and the real script, on a pretended network, disks and Redis, in random schedules
 * of everything that can go wrong: kill -9 and power cuts of gateways at any step; messages lost, said twice, late; a Redis that is restarted from any earlier image,
 * emptied, out of memory; disks that fail; who comes new and who is forgotten; limits that differ; claims above their holds; clocks that disagree and days that end.
 *
 *   test_member                     some hundred schedules
 *   MEMBER_SCHEDULES=2000000 test_member        more; MEMBER_SEED=N begins elsewhere, MEMBER_MUTANT=N breaks a rule (MUTANTS below) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "script/bundle.h"
#include "state/member.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATEWAYS = 4, BUDGETS = 2, DAYS = 3, ACCOUNTS = BUDGETS * DAYS, LETTERS = 8, IMAGES = 4, DAY_MS = 1000000 };

/* What a rule is worth: without it a schedule must be found that breaks the promise. */
#define MUTANTS(X) \
    X(NO_RUN_ID,      "the epoch alone is compared, not the Redis process") \
    X(OPEN_EARLY,     "draws open again though some have not registered") \
    X(NO_NONCE,       "what was said in one epoch counts in the next") \
    X(NO_SEQUENCE,    "a message said twice counts twice") \
    X(SPEND_FIRST,    "granted is spent before it is on the disk") \
    X(REDIS_FIRST,    "Redis is told of what is given back before memory and disk") \
    X(CUT_AS_KILL,    "a power cut is recovered as the end of a process") \
    X(NEW_DRAW,       "who is new draws before another has his name on the disk") \
    X(FOUND_ALWAYS,   "an empty Redis is taken for a new one") \
    X(OLDER_REDIS,    "a Redis older than a member's disk is believed") \
    X(FORGET_BLIND,   "what a forgotten one had is taken for nothing") \
    X(LIMIT_OWN,      "each goes by his own limit") \
    X(NOT_ALL,        "of a group is granted what there is") \
    X(NO_PERIOD,      "an account is drawn on whatever the day is")
#define X(id, text) M_##id,
enum mutant { M_NONE, MUTANTS(X) M_COUNT };
#undef X
static const char *const mutant_texts[] = { "", 
#define X(id, text) text,
    MUTANTS(X)
#undef X
};

struct letter { bool used; int to; unsigned connection; char **argument; int n; bool copy; };

struct owner {                          /* an account as a gateway has it */
    struct lun_member_account *in; struct lun_member_group group; bool wants;
    int64_t allot;                      /* in memory */
    int64_t disk;                       /* on the disk */
    int64_t spent, held, real;          /* charged; under way; what was truly spent, which nobody knows */
    int64_t limit;
};
struct gateway {
    struct world *w; int id; char name[33];
    bool up, born, forgotten, founds;
    struct lun_member *member; uint32_t run; unsigned connection; bool connected;
    char *members, *gone, *parts; bool vouched; int64_t before;        /* on the disk */
    struct owner a[ACCOUNTS];
    char **reply; int n_reply; bool has_reply; unsigned reply_connection;
    int64_t skew;                       /* of its clock, ms */
    enum lun_member_state state;
};
struct world {
    lua_State *L;
    struct gateway g[GATEWAYS]; int n;
    struct letter letter[LETTERS];
    int64_t now, limit[ACCOUNTS], over[ACCOUNTS];       /* over: claims above holds */
    int image[IMAGES], images, redis_run, mutant;
    uint64_t seed, random, nonces;
    int faults; long steps, granted, refused;
    bool disk_fails, memory_full;
};

static uint64_t rnd(struct world *w) { uint64_t x = w->random; x ^= x << 13, x ^= x >> 7, x ^= x << 17; return w->random = x; }
static int upto(struct world *w, int n) { return (int)((rnd(w) >> 11) % (uint64_t)n); }
static bool odds(struct world *w, int n) { return upto(w, n) == 0; }
static const char *budget_of(int account) { return account % BUDGETS ? "team web" : "total"; }
static int day_of(int account) { return account / BUDGETS; }

/* ---- a Redis ---- */

static const char *const emulation =
    "local H, now, run = {}, 0, 'a0'\n"
    "local full = false\n"
    "function advance(t, r, f) now, run, full = t, r, f end\n"
    "function image() local c = {} for k, v in pairs(H) do c[k] = v end return c end\n"
    "function restore(c) H = {} for k, v in pairs(c) do H[k] = v end end\n"
    "function flush() H = {} end\n"
    "local commands = {}\n"
    "function commands.INFO() return 'redis_version:7\\r\\nrun_id:' .. run .. '\\r\\n' end\n"
    "function commands.TIME() return { tostring(math.floor(now / 1000)), tostring(now % 1000 * 1000) } end\n"
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
    "function dump() for f, v in pairs(H) do print(f, v) end end\n";

static char *changed(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at) fail_msg("the script has no `%s` any more", from);
    return lun_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void load_script(struct world *w)
{
    char *text = lun_strdup(lun_bundle_find("lua/draw.lua")->start), *was = text;
    switch (w->mutant) {
    case M_NO_RUN_ID:    text = changed(was, "h.run ~= run", "h.run == \"\""); break;
    case M_OPEN_EARLY:   text = changed(was, "if not h.open and without(h.needed, h.registered) == \"\" then h.open = true end\n    set(\"s:\"", "h.open = true\n    set(\"s:\""); break;
    case M_NO_NONCE:     text = changed(was, "if nonce ~= h.nonce then return", "if false then return"); break;
    case M_NO_SEQUENCE:  text = changed(was, "if seq == last then", "if false then"); free(was); was = text;
                         text = changed(was, "if seq < last then", "if false then"); break;
    case M_NEW_DRAW:     text = changed(was, "h.open and has(h.vouched, me), h.open", "h.open, h.open"); break;
    case M_OLDER_REDIS:  text = changed(was, "if h.open and registered and", "if false and"); break;
    case M_FORGET_BLIND: text = changed(was, "if not h.open and not has(h.registered, name) then h.before = now end", ""); free(was); was = text;
                         text = changed(was, "h.gone = add(h.gone, name)", ""); break;
    case M_LIMIT_OWN:    text = changed(was, "if least and least < limit then", "if false then"); break;
    case M_NOT_ALL:      text = changed(was, "if fits and a.sum + a.more > limit then", "if fits and i == 1 and a.sum + a.more > limit then"); break;
    case M_NO_PERIOD:    text = changed(was, "if fits and (now < a.starts or", "if false and (now < a.starts or"); break;
    default: break;
    }
    if (was != text) free(was);
    lua_getglobal(w->L, "load_script");
    lua_pushstring(w->L, text);
    lua_call(w->L, 1, 0);
    free(text);
}

static void advance(struct world *w)
{
    char run[16];
    snprintf(run, sizeof run, "%x", 0xa0 + w->redis_run);
    lua_getglobal(w->L, "advance");
    lua_pushnumber(w->L, (double)w->now);
    lua_pushstring(w->L, run);
    lua_pushboolean(w->L, w->memory_full);
    lua_call(w->L, 3, 0);
}

static void image(struct world *w)
{
    int at = w->images < IMAGES ? w->images++ : upto(w, IMAGES);
    if (w->image[at]) luaL_unref(w->L, LUA_REGISTRYINDEX, w->image[at]);
    lua_getglobal(w->L, "image");
    lua_call(w->L, 0, 1);
    w->image[at] = luaL_ref(w->L, LUA_REGISTRYINDEX);
}

static void restart_redis(struct world *w)
{
    w->redis_run++;
    if (!w->images) return;
    lua_getglobal(w->L, "restore");
    lua_rawgeti(w->L, LUA_REGISTRYINDEX, w->image[upto(w, w->images)]);
    lua_call(w->L, 1, 0);
}

static int64_t total_in_redis(struct world *w, int account)
{
    lua_getglobal(w->L, "total");
    lua_pushstring(w->L, account % BUDGETS ? lua_pushfstring(w->L, "team%%20web@%d", day_of(account)) : lua_pushfstring(w->L, "total@%d", day_of(account)));
    lua_remove(w->L, -2);
    lua_call(w->L, 1, 1);
    int64_t n = (int64_t)lua_tonumber(w->L, -1);
    lua_pop(w->L, 1);
    return n;
}

/* ---- what a member sees of its world ---- */

static void free_texts(char ***at, int *n)
{
    while (*n) free((*at)[--*n]);
    free(*at);
    *at = NULL;
}

static void send(void *self, const char *const *arguments, int n)
{
    struct gateway *g = self;
    struct world *w = g->w;
    int at = 0;
    if (getenv("MEMBER_TRACE")) {
        printf("  gateway %d says", g->id);
        for (int i = 0; i < n && i < 40; i++) printf(" %s", arguments[i]);
        printf("\n");
    }
    while (at < LETTERS && w->letter[at].used) at++;
    for (int i = 0; at == LETTERS && i < LETTERS; i++) if (w->letter[i].copy) at = i;
    if (at == LETTERS) at = upto(w, LETTERS);
    if (w->letter[at].used) free_texts(&w->letter[at].argument, &w->letter[at].n);       /* that one is lost */
    struct letter *l = &w->letter[at];
    *l = (struct letter){ .used = true, .to = g->id, .connection = g->connection, .n = n, .argument = lun_alloc((size_t)n * sizeof(char *)) };
    for (int i = 0; i < n; i++) l->argument[i] = lun_strdup(arguments[i]);
}

static struct owner *owner_of(struct gateway *g, struct lun_member_account *in)
{
    for (int i = 0; i < ACCOUNTS; i++) if (g->a[i].in == in) return &g->a[i];
    return NULL;
}

static bool commit(void *self, struct lun_member_account *const *accounts, const int64_t *has, int n, const struct lun_member_disk *disk)
{
    struct gateway *g = self;
    if (g->w->disk_fails) return false;
    for (int i = 0; i < n; i++) owner_of(g, accounts[i])->disk = has[i];
    char *members = lun_strdup(disk->members), *gone = lun_strdup(disk->gone), *parts = lun_strdup(disk->parts);
    free(g->members), free(g->gone), free(g->parts);
    g->members = members, g->gone = gone, g->parts = parts;
    g->vouched = disk->vouched;
    g->before = disk->before;
    return true;
}

static void granted(void *self, struct lun_member_account *in, int64_t has, int64_t total)
{
    struct gateway *g = self;
    (void)total;
    owner_of(g, in)->allot = has;
    g->w->granted++;
}
static void fulfilled(void *self, struct lun_member_group *group) { (void)self, (void)group; }
static void refused(void *self, struct lun_member_group *group, const char *why)
{
    struct gateway *g = self;
    if (getenv("MEMBER_TRACE")) printf("  gateway %d refused: %s\n", g->id, why);
    (void)group;
    g->w->refused++;
}
static void seen_total(void *self, struct lun_member_account *in, int64_t total) { (void)self, (void)in, (void)total; }
static void wanted(void *self, struct lun_member_account *in) { (void)self, (void)in; }
static void state(void *self, enum lun_member_state s, const char *who)
{
    struct gateway *g = self;
    if (getenv("MEMBER_TRACE")) printf("  gateway %d: %s %s\n", g->id, lun_member_state_name(s), who);
    g->state = s;
}
static void nonce(void *self, char out[33])
{
    struct world *w = ((struct gateway *)self)->w;
    snprintf(out, 33, "%032llx", (unsigned long long)++w->nonces);
}

/* ---- gateways ---- */

static void start(struct world *w, struct gateway *g)
{
    static const struct lun_member_ports ports = { .send = send, .commit = commit, .granted = granted, .refused = refused, .fulfilled = fulfilled,
                                                   .total = seen_total, .wanted = wanted, .state = state, .nonce = nonce };
    struct lun_member_ports mine = ports;
    mine.self = g;
    g->up = g->born = true;
    g->run++;
    g->member = lun_member_new(&(struct lun_member_options){ .id = g->name, .run = g->run, .founds = g->founds || w->mutant == M_FOUND_ALWAYS,
        .disk = { g->members, g->gone, g->parts, g->vouched, g->before } }, &mine);
    for (int i = 0; i < ACCOUNTS; i++) {
        struct owner *o = &g->a[i];
        char key[64];
        snprintf(key, sizeof key, "%s@%d", budget_of(i), day_of(i));
        o->in = lun_member_account(g->member, key, o->disk);
        o->allot = o->disk;
        o->group = (struct lun_member_group){0};
        lun_member_describe(o->in, o->limit, (lun_us)day_of(i) * DAY_MS * LUN_MS, (lun_us)(day_of(i) + 1) * DAY_MS * LUN_MS, "day/UTC");
    }
}

static void end(struct gateway *g, bool cut)
{
    lun_member_free(g->member);
    g->member = NULL;
    g->up = g->connected = false;
    free_texts(&g->reply, &g->n_reply);
    g->has_reply = false;
    for (int i = 0; i < ACCOUNTS; i++) {
        struct owner *o = &g->a[i];
        o->spent += o->held, o->held = 0;
        if (cut && g->w->mutant == M_CUT_AS_KILL) o->spent = o->spent ? upto(g->w, (int)o->spent + 1) : 0, o->disk = o->spent;
        else if (cut) o->spent = o->disk > o->spent ? o->disk : o->spent;
        else o->disk = o->spent;
        if (o->disk < o->spent) o->disk = o->spent;
    }
}

static void connect(struct gateway *g)
{
    if (g->connected) return;
    g->connected = true;
    g->connection++;
    lun_member_connected(g->member);
}

static void disconnect(struct gateway *g)
{
    if (!g->connected) return;
    g->connected = false;
    free_texts(&g->reply, &g->n_reply);
    g->has_reply = false;
    lun_member_apart(g->member);
}

/* ---- the network ---- */

static void deliver(struct world *w, struct letter *l)
{
    struct gateway *g = &w->g[l->to];
    int top = lua_gettop(w->L);
    advance(w);
    lua_getglobal(w->L, "eval");
    luaL_checkstack(w->L, l->n + 4, "");
    for (int i = 0; i < l->n; i++) lua_pushstring(w->L, l->argument[i]);
    bool good = !lua_pcall(w->L, l->n, 1, 0);
    if (!good && !w->memory_full) fail_msg("seed %llu: the script failed: %s", (unsigned long long)w->seed, lua_tostring(w->L, -1));
    bool mine = g->up && g->connected && g->connection == l->connection && !l->copy && !g->has_reply;
    if (mine && good) {
        g->n_reply = (int)lua_objlen(w->L, -1);
        g->reply = lun_alloc((size_t)g->n_reply * sizeof(char *));
        for (int i = 0; i < g->n_reply; i++) {
            lua_rawgeti(w->L, -1, i + 1);
            g->reply[i] = lun_strdup(lua_tostring(w->L, -1));
            lua_pop(w->L, 1);
        }
        g->has_reply = true;
    } else if (mine) lun_member_refuse(g->member);
    lua_settop(w->L, top);
    if (!l->copy && odds(w, 6)) l->copy = true;         /* it comes once more, later */
    else {
        free_texts(&l->argument, &l->n);
        l->used = false;
    }
}

static void hear(struct gateway *g)
{
    if (!g->has_reply || !g->up) return;
    char **items = g->reply;
    int n = g->n_reply;
    g->reply = NULL, g->n_reply = 0, g->has_reply = false;
    lun_member_answer(g->member, (const char *const *)items, n);
    free_texts(&items, &n);
}

/* ---- steps ---- */

static int today(const struct world *w, const struct gateway *g) { int d = (int)((w->now + g->skew) / DAY_MS); return d < 0 ? 0 : d >= DAYS ? DAYS - 1 : d; }

static void give_back(struct world *w, struct gateway *g, int i, bool all)
{
    struct owner *o = &g->a[i];
    if (o->allot <= o->spent + o->held || (!all && o->wants)) return;
    if (w->mutant == M_REDIS_FIRST) {                   /* memory and disk follow much later: at the next time */
        lun_member_set(g->member, o->in, o->spent + o->held);
        return;
    }
    if (w->disk_fails) return;
    o->allot = o->spent + o->held;
    o->disk = o->allot;
    lun_member_set(g->member, o->in, o->disk);
}

static void want(struct world *w, struct gateway *g)
{
    int first = today(w, g) * BUDGETS;
    struct owner *o = &g->a[first];
    if (o->group.listed) return;
    o->group.n = 0;
    for (int i = 0; i < BUDGETS; i++) {
        if (i && odds(w, 3)) break;
        o->group.accounts[o->group.n] = g->a[first + i].in;
        o->group.more[o->group.n++] = 1 + upto(w, odds(w, 3) ? (int)g->a[first + i].limit : 3);
    }
    if (w->mutant == M_SPEND_FIRST) for (int i = 0; i < o->group.n; i++) g->a[first + i].allot += o->group.more[i];
    lun_member_want(g->member, &o->group);
}

static void hold(struct world *w, struct gateway *g)
{
    struct owner *o = &g->a[odds(w, 4) ? upto(w, ACCOUNTS) : today(w, g) * BUDGETS + upto(w, BUDGETS)];
    do if (o->spent + o->held + 1 <= o->allot) o->held++, o->real++; while (odds(w, 2));
}

static void settle(struct world *w, struct gateway *g)
{
    int i = upto(w, ACCOUNTS);
    struct owner *o = &g->a[i];
    if (!o->held) return;
    o->held--;
    if (odds(w, 3)) { o->real--; return; }              /* released */
    o->spent++;
    if (!odds(w, 12)) return;
    o->spent++, o->real++, w->over[i]++;                /* claimed above its hold */
    if (o->spent + o->held > o->disk && !w->disk_fails) {
        if (o->allot < o->spent + o->held) o->allot = o->spent + o->held;
        o->disk = o->spent + o->held;
        lun_member_set(g->member, o->in, o->disk);
    }
}

static bool is_fault(struct world *w) { return w->faults > 0 && odds(w, 2) && w->faults--; }

static void other_limit(struct world *w, struct gateway *g)
{
    int i = upto(w, ACCOUNTS);
    g->a[i].limit = 3 + upto(w, 8);
    if (g->up) lun_member_describe(g->a[i].in, g->a[i].limit, (lun_us)day_of(i) * DAY_MS * LUN_MS, (lun_us)(day_of(i) + 1) * DAY_MS * LUN_MS, "day/UTC");
    if (g->a[i].limit > w->limit[i]) w->limit[i] = g->a[i].limit;
}

static void forget_one(struct world *w, struct gateway *g)
{
    struct gateway *other = &w->g[upto(w, w->n)];
    if (other == g || !other->born || other->forgotten || (other->up && odds(w, 2))) return;
    if (lun_member_forget(g->member, other->name)) other->forgotten = true;
}

static void one_step(struct world *w)
{
    struct gateway *g = &w->g[upto(w, w->n)];
    int dice = upto(w, 100);
    w->steps++;
    w->disk_fails = w->disk_fails ? !odds(w, 4) : w->faults > 0 && odds(w, 300);
    w->memory_full = w->memory_full ? !odds(w, 4) : w->faults > 0 && odds(w, 300);
    if (dice < 30) { struct letter *l = &w->letter[upto(w, LETTERS)]; if (l->used) deliver(w, l); return; }
    if (dice < 32) { if (dice == 30 || odds(w, 2)) image(w); return; }
    if (dice < 33 && odds(w, 2)) { w->now += upto(w, 20) ? upto(w, 300) : DAY_MS / 4; return; }
    if (dice < 33) { if (is_fault(w)) restart_redis(w); return; }
    if (dice < 34) { if (is_fault(w)) { lua_getglobal(w->L, "flush"); lua_call(w->L, 0, 0); } return; }
    if (dice < 36) {
        struct letter *l = &w->letter[upto(w, LETTERS)];
        if (l->used) free_texts(&l->argument, &l->n), l->used = false;
        return;
    }
    if (!g->up) { if (g->born ? odds(w, 3) : odds(w, 8)) start(w, g); return; }
    if (dice < 50) hear(g);
    else if (dice < 58) hold(w, g);
    else if (dice < 66) settle(w, g);
    else if (dice < 76) want(w, g);
    else if (dice < 81) give_back(w, g, upto(w, ACCOUNTS), true);
    else if (dice < 87) { if (!g->connected) connect(g); else lun_member_tick(g->member); }
    else if (dice < 90) { if (odds(w, 3)) disconnect(g); }
    else if (dice < 92) { if (is_fault(w)) end(g, false); }
    else if (dice < 94) { if (is_fault(w)) end(g, true); }
    else if (dice < 95) { if (odds(w, 4)) other_limit(w, g); }
    else if (dice < 96) { if (odds(w, 4)) g->skew = (int64_t)upto(w, DAY_MS) - DAY_MS / 2; }
    else if (dice < 97) { if (is_fault(w)) forget_one(w, g); }
    else connect(g);
}

/* ---- what must hold ---- */

static const char *broken(struct world *w)
{
    static char why[300];
    for (int i = 0; i < ACCOUNTS; i++) {
        int64_t real = 0;
        for (int k = 0; k < w->n; k++) {
            const struct owner *o = &w->g[k].a[i];
            real += o->real;
            if (w->mutant == M_CUT_AS_KILL) continue;
            if (o->spent + o->held < o->real) { snprintf(why, sizeof why, "gateway %d has charged less than it spent of account %d", k, i); return why; }
        }
        if (real > w->limit[i] + w->over[i]) {
            snprintf(why, sizeof why, "%lld spent of account %d, whose limit is %lld (+%lld claimed)", (long long)real, i, (long long)w->limit[i], (long long)w->over[i]);
            return why;
        }
    }
    return NULL;
}

static void deliver_all(struct world *w)
{
    for (int round = 0; round < 60; round++) {
        bool some = false;
        for (int i = 0; i < LETTERS; i++) if (w->letter[i].used) deliver(w, &w->letter[i]), some = true;
        for (int k = 0; k < w->n; k++) if (w->g[k].up && w->g[k].has_reply) hear(&w->g[k]), some = true;
        if (!some) return;
    }
}

/* Everybody is up and nothing goes wrong any more: then all comes right by itself. */
static const char *comes_right(struct world *w)
{
    static char why[300];
    bool blind = false;
    w->disk_fails = w->memory_full = false;
    w->faults = 0;
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        if (g->born && !g->up) start(w, g);
        if (!g->up) continue;
        g->skew = 0;
        disconnect(g);
        for (int i = 0; i < ACCOUNTS; i++) {
            g->a[i].limit = w->limit[i];
            lun_member_describe(g->a[i].in, w->limit[i], (lun_us)day_of(i) * DAY_MS * LUN_MS, (lun_us)(day_of(i) + 1) * DAY_MS * LUN_MS, "day/UTC");
            g->a[i].spent += g->a[i].held, g->a[i].held = 0;
        }
    }
    for (int i = 0; i < LETTERS; i++) w->letter[i].copy = true;
    deliver_all(w);
    for (int round = 0; round < 40; round++) {
        for (int k = 0; k < w->n; k++) {
            struct gateway *g = &w->g[k];
            if (!g->up) continue;
            connect(g);
            for (int i = 0; i < ACCOUNTS; i++) give_back(w, g, i, true);
            lun_member_tick(g->member);
        }
        deliver_all(w);
        w->now += 1;
    }
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        blind |= g->before > 0;
        if (g->up && g->state != LUN_MEMBER_OPEN && g->state != LUN_MEMBER_EMPTY) {
            snprintf(why, sizeof why, "gateway %d is %s for ever", k, lun_member_state_name(g->state));
            return why;
        }
    }
    for (int i = 0; i < ACCOUNTS && !blind; i++) {
        int64_t charged = 0;
        for (int k = 0; k < w->n; k++) charged += w->g[k].a[i].spent;
        int64_t total = total_in_redis(w, i);
        if (w->g[0].state == LUN_MEMBER_OPEN && total != charged) {
            snprintf(why, sizeof why, "Redis counts %lld of account %d, charged are %lld", (long long)total, i, (long long)charged);
            return why;
        }
    }
    int day = (int)(w->now / DAY_MS), first = day * BUDGETS;
    if (day >= DAYS || blind || w->g[0].state != LUN_MEMBER_OPEN || w->now % DAY_MS > DAY_MS - 100) return NULL;
    for (int k = 0; k < w->n; k++) {                    /* what is left can be had by anybody */
        struct gateway *g = &w->g[k];
        int64_t left = w->limit[first] - total_in_redis(w, first);
        if (!g->up || g->state != LUN_MEMBER_OPEN || left <= 0) continue;
        struct owner *o = &g->a[first];
        for (int i = 0; i < 10 && o->group.listed; i++) deliver_all(w), lun_member_tick(g->member);
        int64_t before = o->allot;
        o->group.n = 1;
        o->group.accounts[0] = o->in;
        o->group.more[0] = left;
        lun_member_want(g->member, &o->group);
        deliver_all(w);
        if (o->allot != before + left) { snprintf(why, sizeof why, "gateway %d does not get the %lld that are left", k, (long long)left); return why; }
        give_back(w, g, first, true);
        deliver_all(w);
    }
    return NULL;
}

/* ---- a schedule ---- */

static lua_State *machine(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_dostring(L, emulation)) fail_msg("%s", lua_tostring(L, -1));
    return L;
}

static const char *schedule(lua_State *L, uint64_t seed, int mutant, struct world *w)
{
    const char *wrong = NULL;
    *w = (struct world){ .L = L, .seed = seed, .random = seed * 0x9E3779B97F4A7C15u | 1, .mutant = mutant };
    for (int i = 0; i < 8; i++) rnd(w);
    w->n = 2 + upto(w, GATEWAYS - 1);
    w->faults = upto(w, 9);
    w->now = odds(w, 3) ? DAY_MS - 600 : 1000;
    lua_getglobal(L, "flush");
    lua_call(L, 0, 0);
    load_script(w);
    for (int i = 0; i < ACCOUNTS; i++) w->limit[i] = 2 + upto(w, 5);
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        *g = (struct gateway){ .w = w, .id = k, .founds = k == 0 };
        snprintf(g->name, sizeof g->name, "%032x", 0xa11ce + k);
        for (int i = 0; i < ACCOUNTS; i++) g->a[i].limit = w->limit[i];
    }
    start(w, &w->g[0]);
    connect(&w->g[0]);
    for (int round = 0; round < 4; round++) deliver_all(w), lun_member_tick(w->g[0].member);
    w->g[0].founds = false;
    int present = 1 + upto(w, w->n);
    for (int k = 1; k < present; k++) start(w, &w->g[k]), connect(&w->g[k]);
    if (odds(w, 2)) for (int round = 0; round < 6; round++) {
        deliver_all(w);
        for (int k = 0; k < present; k++) lun_member_tick(w->g[k].member);
    }
    int depth = 60 + upto(w, 200);
    for (int i = 0; i < depth && !wrong; i++) {
        one_step(w);
        wrong = broken(w);
    }
    if (!wrong && !mutant) wrong = comes_right(w);
    if (!wrong) wrong = broken(w);
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        if (g->up) end(g, false);
        free(g->members), free(g->gone), free(g->parts);
    }
    for (int i = 0; i < LETTERS; i++) free_texts(&w->letter[i].argument, &w->letter[i].n);
    for (int i = 0; i < w->images; i++) luaL_unref(L, LUA_REGISTRYINDEX, w->image[i]);
    return wrong;
}

static uint64_t number(const char *name, uint64_t otherwise) { const char *text = getenv(name); return text ? strtoull(text, NULL, 10) : otherwise; }

static void random_schedules_never_spend_more_than_the_limit_and_come_right(void **s)
{
    (void)s;
    uint64_t n = number("MEMBER_SCHEDULES", 600), from = number("MEMBER_SEED", 1);
    int mutant = (int)number("MEMBER_MUTANT", 0);
    lua_State *L = machine();
    long steps = 0, grants = 0, refusals = 0;
    static struct world w;
    for (uint64_t seed = from; seed < from + n; seed++) {
        const char *wrong = schedule(L, seed, mutant, &w);
        steps += w.steps, grants += w.granted, refusals += w.refused;
        if (wrong && mutant) { print_message("    mutant %d (%s): noticed by seed %llu: %s\n", mutant, mutant_texts[mutant], (unsigned long long)seed, wrong); lua_close(L); return; }
        if (wrong && getenv("MEMBER_TRACE")) {
            lua_getglobal(L, "dump");
            lua_call(L, 0, 0);
        }
        if (wrong) fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
    }
    print_message("    %llu schedules, %ld steps, %ld granted, %ld refused\n", (unsigned long long)n, steps, grants, refusals);
    lua_close(L);
    if (mutant) fail_msg("mutant %d (%s) was not noticed", mutant, mutant_texts[mutant]);
    assert_true(grants > (long)n && refusals > (long)n / 4);
}

static void each_rule_is_needed(void **s)
{
    (void)s;
    if (!getenv("MEMBER_MUTANTS")) { print_message("    (minutes: MEMBER_MUTANTS=1)\n"); return; }
    int noticed = 0;
    lua_State *L = machine();
    static struct world w;
    for (int mutant = 1; mutant < M_COUNT; mutant++) {
        const char *wrong = NULL;
        uint64_t seed = 1;
        for (; seed < 300000 && !wrong; seed++) wrong = schedule(L, seed, mutant, &w);
        print_message("    %s: %s\n", mutant_texts[mutant], wrong ? lua_pushfstring(L, "seed %d: %s", (int)seed - 1, wrong) : "NOT NOTICED");
        noticed += wrong != NULL;
    }
    print_message("    %d of %d noticed\n", noticed, M_COUNT - 1);
    lua_close(L);
    assert_int_equal(noticed, M_COUNT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_schedules_never_spend_more_than_the_limit_and_come_right),
        cmocka_unit_test(each_rule_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

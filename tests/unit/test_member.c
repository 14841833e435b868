/* The protocol by which several gateways share their budgets: real members and the real script, on a pretended network, disks and Redis, in random schedules
 * of everything that can go wrong: kill -9 and power cuts of gateways at any step; messages lost, said twice, late; a Redis that starts again from any
 * earlier image, is emptied, or out of memory; disks that fail; who comes new and who is forgotten; limits that differ; claims above their holds; clocks that
 * disagree and days that end.
 *
 * Each schedule is a small world of its own: few accounts, limits of one to four, so that every unit is contended; and what happens in it is drawn anew, so
 * that there are some of nothing but late messages, or of nothing but power cuts. A crash in the middle of a step is not a step of its own: what was sent
 * before it is a message that is lost or comes late, and what was not yet on the disk is an answer that nobody hears.
 *
 *   test_member                     some thousand schedules; and rules of MUTANTS are broken, one at a time: a schedule must notice it
 *   MEMBER_SCHEDULES=2000000 test_member        more; MEMBER_SEED=N begins elsewhere, MEMBER_TRACE=1 says what is said
 *   MEMBER_MUTANTS=1 test_member                all rules, not only those of which the lack is noticed soon; MEMBER_MUTANT=N that one */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "script/bundle.h"
#include "state/member.h"
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATEWAYS = 4, BUDGETS = 2, DAYS = 3, ACCOUNTS = BUDGETS * DAYS, LETTERS = 8, KEPT = 8, IMAGES = 4, DAY_MS = 1000000, TRIES = 40 };

/* What a rule is worth: without it a schedule must be found that breaks the promise, within so many. Those that are found soon are looked for in every run. */
#define MUTANTS(X) \
    X(NO_RUN_ID,       1000, "the epoch alone is compared, not the Redis process") \
    X(OPEN_EARLY,      1000, "draws open again though some have not registered") \
    X(NO_NONCE,       10000, "what was said in one epoch counts in the next") \
    X(NO_SEQUENCE,     1000, "a message said twice counts twice") \
    X(SPEND_FIRST,     1000, "granted is spent before it is on the disk") \
    X(REDIS_FIRST,     1000, "Redis is told of what is given back before memory and disk") \
    X(CUT_AS_KILL,     1000, "a power cut is recovered as the end of a process") \
    X(NEW_DRAW,       12000, "who is new draws before another has his name on the disk") \
    X(NEW_VOUCHES,    12000, "who is new vouches for who is new") \
    X(FOUND_ALWAYS,    1000, "an empty Redis is taken for a new one") \
    X(OLDER_REDIS,     4000, "a Redis older than a member's disk is believed") \
    X(FORGET_BLIND,    1000, "what a forgotten one had is taken for nothing where it is not known") \
    X(FORGET_FREE,     1000, "what a forgotten one had is free again") \
    X(GONE_LOST,      14000, "what the forgotten had is not said again to a Redis that has lost it") \
    X(BLIND_LOST,     15000, "that a forgotten one's part was not known is not said again") \
    X(GONE_WINS,      20000, "who is gone for one is gone, though another knows him as a member")   \
    X(LET_GO_EARLY,   20000, "who is forgotten is gone before the others have that on their disks") \
    X(DRAWS_ON,       20000, "who is to be gone draws meanwhile") \
    X(STAY_LATE,      20000, "who leaves and comes back is what he was, though others have let go of him") \
    X(EARLIER_ROUND,  20000, "what was said of an earlier list of members counts") \
    X(LEAVE_FREE,      1000, "what was spent by one that leaves is free again") \
    X(LIMIT_OWN,       1000, "each goes by his own limit") \
    X(NOT_ALL,         1000, "of a group is granted what there is") \
    X(NO_PERIOD,       1000, "an account is drawn on whatever the day is")
#define X(id, within, text) M_##id,
enum mutant { M_NONE, MUTANTS(X) M_COUNT };
#undef X
static const struct { int within; const char *text; } mutants[] = { { 0, "" },
#define X(id, within, text) { within, text },
    MUTANTS(X)
#undef X
};
enum { SOON = 1000 };

struct letter { int to; unsigned connection; char **argument; int n; };       /* NULL: none */

struct owner {                          /* an account as a gateway has it */
    struct lun_member_account *in; struct lun_member_group group; bool wants;
    int64_t allot;                      /* in memory */
    int64_t disk;                       /* on the disk */
    int64_t spent, held, real;          /* charged; under way; what was truly spent, which nobody knows */
    int64_t limit;
    int64_t told; char told_in[33];     /* the limit that Redis has from this gateway for certain, and the epoch */
    int64_t late;                       /* a mutant's disk: what it will have; -1: nothing */
};
struct gateway {
    struct world *w; int id; char name[33];
    bool up, born, forgotten, founds, stops;
    struct lun_member *member; uint32_t run; unsigned connection; bool connected;
    char *members, *gone, *parts; bool vouched; int64_t before;        /* on the disk */
    struct owner a[ACCOUNTS];
    char **reply; int n_reply;
    int64_t last; char last_in[33];     /* the last message with a number that Redis has taken, and the epoch */
    int64_t skew;                       /* of its clock, ms */
    enum lun_member_state state;
};
struct world {
    lua_State *L;
    struct gateway g[GATEWAYS]; int n;
    int budgets, days, accounts;        /* of those there may be, in this schedule */
    int weights[32], weight, liveliest;
    struct letter letter[LETTERS], kept[KEPT];          /* under way; said once already, and coming again */
    int64_t now, limit[ACCOUNTS], over[ACCOUNTS];       /* over: claims above holds */
    int image[IMAGES], images, redis_run, mutant;
    uint64_t seed, random, nonces;
    int faults, calls; long steps, granted, refused;
    bool disk_fails, memory_full;
    char wrong[300];                    /* what was granted against the rules */
};

static uint64_t rnd(struct world *w) { uint64_t x = w->random; x ^= x << 13, x ^= x >> 7, x ^= x << 17; return w->random = x; }
static int upto(struct world *w, int n) { return (int)((rnd(w) >> 11) % (uint64_t)n); }
static bool odds(struct world *w, int n) { return upto(w, n) == 0; }
static const char *budget_of(const struct world *w, int account) { return account % w->budgets ? "team web" : "total"; }
static int day_of(const struct world *w, int account) { return account / w->budgets; }

/* ---- a Redis ---- */

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
    { M_NEW_DRAW,     "h.open and has(h.vouched, me), h.open", "h.open, h.open" },
    { M_NEW_DRAW,     "h.members, h.vouched, missing", "h.members, h.members, missing" },      /* a member asks too */
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
    { M_STAY_LATE,    "if not has(h.leaving, me) or h.heard ~= \"\" then", "if not has(h.leaving, me) then" },
    { M_EARLIER_ROUND, "if round_ops[op] and number(argument()) ~= h.round then", "if round_ops[op] and number(argument()) < 0 then" },
    { M_LEAVE_FREE,   "      begin_to_leave(me)\n", "      h.members, h.vouched = without(h.members, \" \" .. me .. \" \"), without(h.vouched, \" \" .. me .. \" \") change()\n" },
    { M_LIMIT_OWN,    "if least and least < limit then", "if false then" },
    { M_NOT_ALL,      "if fits and a.sum + a.more > limit then", "if fits and i == 1 and a.sum + a.more > limit then" },
    { M_NO_PERIOD,    "if fits and (now < a.starts or", "if false and (now < a.starts or" },
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

static void advance(struct world *w)
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

static void image(struct world *w)
{
    int at = w->images < IMAGES ? w->images++ : upto(w, IMAGES);
    if (w->image[at]) luaL_unref(w->L, LUA_REGISTRYINDEX, w->image[at]);
    lua_getglobal(w->L, "image");
    lua_call(w->L, 0, 1);
    w->image[at] = luaL_ref(w->L, LUA_REGISTRYINDEX);
}

static void restore(struct world *w, int image)
{
    lua_getglobal(w->L, "restore");
    lua_rawgeti(w->L, LUA_REGISTRYINDEX, image);
    lua_call(w->L, 1, 0);
}

static void restart_redis(struct world *w)
{
    w->redis_run++;
    if (w->images) restore(w, w->image[upto(w, w->images)]);
}

static const char *key_in_redis(struct world *w, int account)
{
    static char key[64];
    snprintf(key, sizeof key, "%s@%d", account % w->budgets ? "team%20web" : "total", day_of(w, account));
    return key;
}

static int64_t total_in_redis(struct world *w, int account)
{
    lua_getglobal(w->L, "total");
    lua_pushstring(w->L, key_in_redis(w, account));
    lua_call(w->L, 1, 1);
    int64_t n = (int64_t)lua_tonumber(w->L, -1);
    lua_pop(w->L, 1);
    return n;
}

static int64_t part_in_redis(struct world *w, const struct gateway *g, int account)
{
    lua_getglobal(w->L, "part");
    lua_pushstring(w->L, key_in_redis(w, account));
    lua_pushstring(w->L, g->name);
    lua_call(w->L, 2, 1);
    int64_t n = (int64_t)lua_tonumber(w->L, -1);
    lua_pop(w->L, 1);
    return n;
}

static bool ask_redis(struct world *w, const char *what, const char *of)
{
    lua_getglobal(w->L, what);
    lua_pushstring(w->L, of);
    lua_call(w->L, 1, 1);
    bool yes = lua_toboolean(w->L, -1);
    lua_pop(w->L, 1);
    return yes;
}

static bool blind_in_redis(struct world *w) { return ask_redis(w, "blind", NULL); }

/* ---- what a member sees of its world ---- */

static bool traced(void)
{
    static int is = -1;
    if (is < 0) is = getenv("MEMBER_TRACE") != NULL;
    return is;
}

static void lose(struct letter *l)
{
    free(l->argument);
    *l = (struct letter){0};
}

static void print_texts(const char *what, int id, const char *const *texts, int n)
{
    printf("  gateway %d %s", id, what);
    for (int i = 0; i < n && i < 60; i++) printf(" %s", texts[i]);
    printf("\n");
}

/* One block: the pointers, then the texts. */
static char **copy_texts(const char *const *texts, int n)
{
    size_t size = (size_t)n * sizeof(char *);
    for (int i = 0; i < n; i++) size += strlen(texts[i]) + 1;
    char **copy = lun_alloc(size), *at = (char *)(copy + n);
    for (int i = 0; i < n; i++) {
        copy[i] = at;
        at = stpcpy(at, texts[i]) + 1;
    }
    return copy;
}

static void send(void *self, const char *const *arguments, int n)
{
    struct gateway *g = self;
    struct world *w = g->w;
    int at = 0;
    if (traced()) print_texts("says", g->id, arguments, n);
    while (at < LETTERS && w->letter[at].argument) at++;
    if (at == LETTERS) lose(&w->letter[at = upto(w, LETTERS)]);
    w->letter[at] = (struct letter){ .to = g->id, .connection = g->connection, .n = n, .argument = copy_texts(arguments, n) };
}

static struct owner *owner_of(struct gateway *g, struct lun_member_account *in)
{
    for (int i = 0; i < g->w->accounts; i++) if (g->a[i].in == in) return &g->a[i];
    return NULL;
}

static bool commit(void *self, struct lun_member_account *const *accounts, const int64_t *has, int n, const struct lun_member_disk *disk)
{
    struct gateway *g = self;
    if (g->w->disk_fails) return false;
    for (int i = 0; i < n; i++) {                       /* more may have been claimed meanwhile */
        struct owner *o = owner_of(g, accounts[i]);
        int64_t now = has[i] > o->disk ? has[i] : o->disk;
        if (g->w->mutant == M_SPEND_FIRST) o->late = now;
        else o->disk = now;
    }
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
    struct owner *o = owner_of(g, in);
    o->allot = o->late > o->disk ? o->late : o->disk;
    if (o->allot != has) lun_member_set(g->member, in, o->allot);
    g->w->granted++;
}
static void fulfilled(void *self, struct lun_member_group *group) { (void)self, (void)group; }
static void refused(void *self, struct lun_member_group *group, const char *why)
{
    struct gateway *g = self;
    if (traced()) printf("  gateway %d refused: %s\n", g->id, why);
    (void)group;
    g->w->refused++;
}
static void seen_total(void *self, struct lun_member_account *in, int64_t total) { (void)self, (void)in, (void)total; }
static void wanted(void *self, struct lun_member_account *in) { (void)self, (void)in; }
static void state(void *self, enum lun_member_state s, const char *who)
{
    struct gateway *g = self;
    if (traced()) printf("  gateway %d: %s %s\n", g->id, lun_member_state_name(s), who);
    g->state = s;
}
static void nonce(void *self, char out[33])
{
    struct world *w = ((struct gateway *)self)->w;
    snprintf(out, 33, "%016llx%016x", (unsigned long long)++w->nonces, 0);
}

/* ---- gateways ---- */

static void describe(struct world *w, struct gateway *g, int i)
{
    lun_us day = (lun_us)DAY_MS * LUN_MS, starts = day_of(w, i) * day;
    lun_member_describe(g->a[i].in, g->a[i].limit, starts, starts + day, "day/UTC");
}

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
    for (int i = 0; i < w->accounts; i++) {
        struct owner *o = &g->a[i];
        char key[64];
        snprintf(key, sizeof key, "%s@%d", budget_of(w, i), day_of(w, i));
        o->in = lun_member_account(g->member, key, o->disk);
        o->allot = o->disk;
        o->late = -1;
        o->group = (struct lun_member_group){0};
        describe(w, g, i);
    }
}

static void sync_late(struct owner *o)
{
    if (o->late >= 0) o->disk = o->late;
    o->late = -1;
}

static void end(struct gateway *g, bool cut)
{
    lun_member_free(g->member);
    g->member = NULL;
    g->up = g->connected = g->stops = false;
    free(g->reply);
    g->reply = NULL;
    for (int i = 0; i < g->w->accounts; i++) {
        struct owner *o = &g->a[i];
        if (!cut) sync_late(o);
        o->spent += o->held, o->held = 0;
        if (cut && g->w->mutant == M_CUT_AS_KILL) o->disk = o->spent = upto(g->w, (int)o->spent + 1);
        else if (cut) o->spent = o->disk;
        else o->disk = o->spent;
        o->allot = o->disk;
        o->late = -1;
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
    free(g->reply);
    g->reply = NULL;
    lun_member_apart(g->member);
}

/* ---- the network ---- */

enum { SAID_OP, SAID_NONCE, SAID_ME, SAID_SEQ, SAID_REST, STATUS = 0, EPOCH, MEMBERS = 3, HEAD = 13 };

static int account_of(struct world *w, const char *key)
{
    for (int i = 0; i < w->accounts; i++) if (!strcmp(key, key_in_redis(w, i))) return i;
    fail_msg("who knows %s?", key);
    return 0;
}

static void note_told(struct world *w, struct gateway *g, char **at, const char *epoch)
{
    for (int n = atoi(*at++); n--; at += 4) {
        struct owner *o = &g->a[account_of(w, at[0])];
        o->told = atoll(at[2]);
        strcpy(o->told_in, epoch);
    }
}

/* While limits differ the lowest holds of those that Redis was told of: `answer` says yes to a group of the message. */
static void check_grant(struct world *w, const char *key, int64_t total, const char *const *answer)
{
    const char *epoch = answer[EPOCH];
    int i = account_of(w, key);
    if (w->now / DAY_MS != day_of(w, i)) snprintf(w->wrong, sizeof w->wrong, "%s is granted at %lld ms", key, (long long)w->now);
    for (int k = 0; k < w->n; k++) {
        const struct owner *o = &w->g[k].a[i];
        char name[40];
        snprintf(name, sizeof name, " %s ", w->g[k].name);
        if (!strstr(answer[MEMBERS], name) || strcmp(o->told_in, epoch) || total <= o->told) continue;
        snprintf(w->wrong, sizeof w->wrong, "%s is granted up to %lld, though gateway %d has said %lld", key, (long long)total, k, (long long)o->told);
    }
}

static void check_groups(struct world *w, char **at, const char *const *answer, int n)
{
    int item = HEAD;
    for (int groups = atoi(*at++); groups-- && item < n; ) {
        bool yes = !strcmp(answer[item++], "YES");
        for (int of = atoi(*at++); of--; at += 6, item += 2) if (yes) check_grant(w, at[0], atoll(answer[item + 1]), answer);
    }
}

/* What the script has answered, held against what was said: by a reading of its own. Said again, it changes nothing. */
static void check_answer(struct world *w, const struct letter *l, const char *const *answer, int n)
{
    struct gateway *g = &w->g[l->to];
    bool draws = !strcmp(l->argument[SAID_OP], "draw"), registers = !strcmp(l->argument[SAID_OP], "register");
    int64_t seq = atoll(l->argument[SAID_SEQ]);
    if (strcmp(answer[STATUS], "OK") || (!draws && !registers) || (seq <= g->last && !strcmp(g->last_in, answer[EPOCH]))) return;
    g->last = seq;
    strcpy(g->last_in, answer[EPOCH]);
    char **states = l->argument + SAID_REST + (registers ? 5 : 0);
    note_told(w, g, states, answer[EPOCH]);
    if (draws) check_groups(w, states + 1 + 4 * atoi(*states), answer, n);
}

/* What the script answers, in one block; NULL: an error. */
static char **evaluate(struct world *w, const struct letter *l, int *n)
{
    int top = lua_gettop(w->L);
    const char *items[400];
    char **answer = NULL;
    advance(w);
    lua_getglobal(w->L, "eval");
    luaL_checkstack(w->L, 420, "");
    for (int i = 0; i < l->n; i++) lua_pushstring(w->L, l->argument[i]);
    if (!lua_pcall(w->L, l->n, 1, 0)) {
        int all = *n = (int)lua_objlen(w->L, -1), at = lua_gettop(w->L);
        assert_true(all >= HEAD && all <= 400);
        for (int i = 0; i < all; i++) {
            lua_rawgeti(w->L, at, i + 1);
            items[i] = lua_tostring(w->L, -1);
        }
        answer = copy_texts(items, all);
    } else if (!w->memory_full) fail_msg("seed %llu: the script failed: %s", (unsigned long long)w->seed, lua_tostring(w->L, -1));
    lua_settop(w->L, top);
    return answer;
}

static void deliver(struct world *w, struct letter *l, bool again)
{
    struct gateway *g = &w->g[l->to];
    int n = 0;
    bool mine = !again && g->up && g->connected && g->connection == l->connection && !g->reply;
    char **answer = evaluate(w, l, &n);
    if (answer) check_answer(w, l, (const char *const *)answer, n);
    if (traced() && answer) print_texts(again ? "(said before) is answered" : "is answered", g->id, (const char *const *)answer, n);
    if (mine && answer) g->reply = answer, g->n_reply = n;
    else free(answer);
    if (mine && !answer) lun_member_refuse(g->member);
}

static void hear(struct gateway *g)
{
    char **items = g->reply;
    if (!items) return;
    g->reply = NULL;
    lun_member_answer(g->member, (const char *const *)items, g->n_reply);
    free(items);
}

static struct letter *any(struct world *w, struct letter *letters, int n)
{
    int from = upto(w, n);
    for (int i = 0; i < n; i++) if (letters[(from + i) % n].argument) return &letters[(from + i) % n];
    return NULL;
}

/* ---- steps ---- */

static int today(const struct world *w, const struct gateway *g)
{
    int d = (int)((w->now + g->skew) / DAY_MS);
    return d < 0 ? 0 : d >= w->days ? w->days - 1 : d;
}

static bool give_back(struct world *w, struct gateway *g, int i)
{
    struct owner *o = &g->a[i];
    if (!g->up || o->allot <= o->spent + o->held || w->disk_fails) return false;
    if (w->mutant == M_REDIS_FIRST) {                   /* memory and disk follow, when somebody looks again */
        bool told = lun_member_has(o->in) == o->spent + o->held;
        lun_member_set(g->member, o->in, o->spent + o->held);
        if (told) o->allot = o->disk = o->spent + o->held;
        return true;
    }
    o->allot = o->spent + o->held;
    o->disk = o->allot;
    o->late = -1;
    lun_member_set(g->member, o->in, o->disk);
    return true;
}

/* A claim above its hold: charged, whatever the limit. */
static bool claim(struct world *w, struct gateway *g)
{
    int i = upto(w, w->accounts);
    struct owner *o = &g->a[i];
    if (!g->up || !o->held || w->disk_fails) return false;
    o->held--, o->spent += 2, o->real++, w->over[i]++;
    if (o->spent + o->held <= o->disk) return true;
    if (o->allot < o->spent + o->held) o->allot = o->spent + o->held;
    o->disk = o->spent + o->held;
    lun_member_set(g->member, o->in, o->disk);
    return true;
}

/* It comes again, some time. */
static void keep(struct world *w, struct letter *l)
{
    const char *op = l->argument[SAID_OP];
    struct letter *copy = &w->kept[upto(w, KEPT)];
    if (!strcmp(op, "look") || (strcmp(op, "register") && !odds(w, 3))) return;
    lose(copy);
    *copy = *l;
    *l = (struct letter){0};
}

static bool deliver_one(struct world *w, struct gateway *g)
{
    (void)g;
    struct letter *l = any(w, w->letter, LETTERS);
    if (!l) return false;
    deliver(w, l, false);
    keep(w, l);
    lose(l);
    return true;
}

static bool deliver_again(struct world *w, struct gateway *g)
{
    (void)g;
    struct letter *l = any(w, w->kept, KEPT);
    if (!l) return false;
    deliver(w, l, true);
    if (odds(w, 4)) lose(l);
    return true;
}

static bool lose_one(struct world *w, struct gateway *g)
{
    (void)g;
    struct letter *l = any(w, w->letter, LETTERS);
    if (l) lose(l);
    return l != NULL;
}

static bool hear_one(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up || !g->reply) return false;
    hear(g);
    return true;
}

/* A few messages without anything between. */
static bool talk(struct world *w, struct gateway *g)
{
    bool some = false;
    for (int round = 1 + upto(w, 6); round-- && g->up; ) {
        for (struct letter *l = w->letter; l < w->letter + LETTERS; l++) if (l->argument && l->to == g->id) deliver(w, l, false), lose(l), some = true;
        if (g->reply) hear(g), some = true;
    }
    return some;
}

static bool want(struct world *w, struct gateway *g)
{
    int first = today(w, g) * w->budgets;
    struct owner *o = &g->a[first];
    if (!g->up || g->stops || o->group.listed) return false;
    o->group.n = 0;
    for (int i = 0; i < w->budgets; i++) {
        if (i && odds(w, 3)) break;
        o->group.accounts[o->group.n] = g->a[first + i].in;
        o->group.more[o->group.n++] = 1 + upto(w, odds(w, 3) ? (int)g->a[first + i].limit : 2);
    }
    lun_member_want(g->member, &o->group);
    return true;
}

static bool hold(struct world *w, struct gateway *g)
{
    struct owner *o = &g->a[upto(w, w->accounts)];
    if (!g->up || g->stops || o->spent + o->held + 1 > o->allot) return false;
    do o->held++, o->real++; while (o->spent + o->held + 1 <= o->allot && odds(w, 2));
    return true;
}

static bool settle(struct world *w, struct gateway *g)
{
    struct owner *o = &g->a[upto(w, w->accounts)];
    if (!g->up || !o->held) return false;
    o->held--;
    if (odds(w, 3)) o->real--;                          /* released */
    else o->spent++;
    return true;
}

static bool give_back_one(struct world *w, struct gateway *g) { return give_back(w, g, upto(w, w->accounts)); }

static bool tick(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up) return false;
    for (int i = 0; i < w->accounts; i++) sync_late(&g->a[i]);
    if (g->connected) lun_member_tick(g->member);
    else connect(g);
    return true;
}

static bool part(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up || !g->connected) return false;
    disconnect(g);
    return true;
}

static bool start_one(struct world *w, struct gateway *g)
{
    if (g->up || (!g->born && odds(w, 3)) || (g->forgotten && !odds(w, 20))) return false;
    start(w, g);
    if (odds(w, 2)) connect(g);
    return true;
}

static bool keep_image(struct world *w, struct gateway *g)
{
    (void)g;
    image(w);
    return true;
}

static bool pass(struct world *w, struct gateway *g)
{
    (void)g;
    w->now += upto(w, 12) ? upto(w, 300) : DAY_MS / 4;
    return true;
}

static bool skew(struct world *w, struct gateway *g)
{
    g->skew = (int64_t)upto(w, 2 * DAY_MS) - DAY_MS;
    return w->days > 1;
}

static bool other_limit(struct world *w, struct gateway *g)
{
    int i = upto(w, w->accounts);
    g->a[i].limit = 1 + upto(w, 5);
    if (g->up) describe(w, g, i);
    if (g->a[i].limit > w->limit[i]) w->limit[i] = g->a[i].limit;
    return true;
}

static bool killed(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up) return false;
    end(g, false);
    return true;
}

/* Nothing is under way any more, and what is not spent is given back; then it waits until the others could be told, or no longer. */
static bool stop(struct world *w, struct gateway *g)
{
    if (!g->up || w->disk_fails) return false;
    if (g->stops) {
        if (lun_member_left(g->member) || odds(w, 4)) end(g, false);
        return true;
    }
    g->stops = true;
    for (int i = 0; i < w->accounts; i++) {
        g->a[i].spent += g->a[i].held, g->a[i].held = 0;
        give_back(w, g, i);
    }
    lun_member_leave(g->member);
    return true;
}

static bool power_cut(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up) return false;
    end(g, true);
    return true;
}

static bool restart(struct world *w, struct gateway *g)
{
    (void)g;
    restart_redis(w);
    return true;
}

static bool flush(struct world *w, struct gateway *g)
{
    (void)g;
    lua_getglobal(w->L, "flush");
    lua_call(w->L, 0, 0);
    return true;
}

static bool disk_fails(struct world *w, struct gateway *g)   { (void)g; return !w->disk_fails && (w->disk_fails = true); }
static bool memory_full(struct world *w, struct gateway *g)  { (void)g; return !w->memory_full && (w->memory_full = true); }

static bool forget_one(struct world *w, struct gateway *g)
{
    if (!g->up) return false;
    for (int k = 0, from = upto(w, w->n); k < w->n; k++) {
        struct gateway *other = &w->g[(from + k) % w->n];
        if (other == g || !other->born || other->forgotten || (other->up && odds(w, 2))) continue;
        if ((other->forgotten = lun_member_forget(g->member, other->name))) return true;
    }
    return false;
}

static bool has_too_little(struct world *w, const struct gateway *g)
{
    for (int i = 0; i < w->accounts; i++) if (g->a[i].disk > part_in_redis(w, g, i)) return ask_redis(w, "draws", g->name);
    return false;
}

/* The same Redis process goes back to what it knew earlier. Only a member of which it then knows less than is on the disk can notice it, by saying so when it
 * starts: so one does, at once, before anybody has drawn on what is not there. What happens otherwise is outside of what is promised. */
static bool go_back(struct world *w, struct gateway *g)
{
    if (!w->images || !g->up || g->forgotten || w->disk_fails || w->memory_full) return false;
    lua_getglobal(w->L, "image");
    lua_call(w->L, 0, 1);
    int before = luaL_ref(w->L, LUA_REGISTRYINDEX);
    advance(w);
    restore(w, w->image[upto(w, w->images)]);
    bool noticed = has_too_little(w, g);
    if (!noticed) restore(w, before);
    luaL_unref(w->L, LUA_REGISTRYINDEX, before);
    if (!noticed) return false;
    for (int k = 0; k < LETTERS; k++) if (w->letter[k].argument && w->letter[k].to == g->id) lose(&w->letter[k]);       /* they would tell it */
    end(g, true);
    start(w, g);
    connect(g);
    for (int round = 0; round < 6; round++) talk(w, g);
    return true;
}

/*    what, how often, is it a fault */
#define ACTIONS(X) \
    X(deliver_one, 30, false) X(deliver_again, 6, false) X(lose_one, 2, false) X(hear_one, 25, false) X(talk, 20, false) X(want, 12, false) X(hold, 10, false) \
    X(settle, 6, false) \
    X(give_back_one, 6, false) X(claim, 1, false) X(tick, 8, false) X(part, 2, false) X(start_one, 5, false) X(keep_image, 3, false) X(pass, 2, false) \
    X(skew, 1, false) X(other_limit, 1, false) X(killed, 2, true) X(stop, 3, false) X(power_cut, 2, true) X(restart, 3, true) X(flush, 2, true) X(forget_one, 4, true) \
    X(go_back, 4, true) X(disk_fails, 1, true) X(memory_full, 1, true)
static const struct action { bool (*act)(struct world *, struct gateway *); const char *name; int often; bool fault; } actions[] = {
#define X(act, often, fault) { act, #act, often, fault },
    ACTIONS(X)
#undef X
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

/* Some things do not happen in this schedule, others much oftener. */
static void weigh(struct world *w)
{
    for (int i = 0; i < N_ACTIONS; i++) {
        int by = upto(w, 4), often = actions[i].often;
        bool rare = often <= 6;
        w->weight += w->weights[i] = rare && by == 0 ? 0 : rare && by == 1 ? often * 8 : often * 2;
    }
}

static const struct action *choose(struct world *w)
{
    int dice = upto(w, w->weight), i = 0;
    while ((dice -= w->weights[i]) >= 0) i++;
    return &actions[i];
}

static void one_step(struct world *w)
{
    w->steps++;
    if (odds(w, 12)) w->liveliest = upto(w, w->n);      /* the others are slow */
    if (w->disk_fails && odds(w, 4)) w->disk_fails = false;
    if (w->memory_full && odds(w, 4)) w->memory_full = false;
    for (int i = 0; i < TRIES; i++) {
        const struct action *a = choose(w);
        struct gateway *g = &w->g[odds(w, 2) ? w->liveliest : upto(w, w->n)];
        if ((a->fault && !w->faults) || !a->act(w, g)) continue;
        if (traced()) printf("%ld: %s %d\n", w->steps, a->name, g->id);
        w->faults -= a->fault;
        return;
    }
}

/* ---- what must hold ---- */

static int64_t real_of(const struct world *w, int account)
{
    int64_t real = 0;
    for (int k = 0; k < w->n; k++) real += w->g[k].a[account].real;
    return real;
}

/* held + spent <= may be spent <= on disk; nothing is charged at less than was spent. */
static const char *broken_at(struct world *w, int k, int i)
{
    const struct owner *o = &w->g[k].a[i];
    const char *what = o->spent + o->held < o->real ? "has charged less than it spent" : w->mutant ? NULL
                     : o->spent + o->held > o->allot ? "may spend less than it has" : o->allot > o->disk ? "may spend more than is on its disk" : NULL;
    if (!what) return NULL;
    snprintf(w->wrong, sizeof w->wrong, "gateway %d %s of account %d", k, what, i);
    return w->wrong;
}

static const char *broken(struct world *w)
{
    for (int i = 0; i < w->accounts && !*w->wrong; i++) {
        int64_t real = real_of(w, i), may = 0;
        for (int k = 0; k < w->n; k++) {
            const struct owner *o = &w->g[k].a[i];
            if (o->allot > o->spent + o->held) may += o->allot - o->spent - o->held;
            if (w->mutant != M_CUT_AS_KILL && broken_at(w, k, i)) return w->wrong;
        }
        if (real + may > w->limit[i] + w->over[i])
            snprintf(w->wrong, sizeof w->wrong, "%lld spent of account %d and %lld to spend, whose limit is %lld (+%lld claimed)",
                     (long long)real, i, (long long)may, (long long)w->limit[i], (long long)w->over[i]);
    }
    return *w->wrong ? w->wrong : NULL;
}

static void deliver_all(struct world *w)
{
    for (int round = 0; round < 60; round++) {
        bool some = false;
        for (int i = 0; i < LETTERS; i++) if (w->letter[i].argument) deliver(w, &w->letter[i], false), lose(&w->letter[i]), some = true;
        for (int k = 0; k < w->n; k++) if (w->g[k].up && w->g[k].reply) hear(&w->g[k]), some = true;
        if (!some) return;
    }
}

/* Everybody draws, wants nothing and holds nothing back, and Redis knows what they know. */
static bool quiet(const struct world *w)
{
    for (int k = 0; k < w->n; k++) {
        const struct gateway *g = &w->g[k];
        if (!g->up) continue;
        if (g->state != LUN_MEMBER_OPEN || !lun_member_idle(g->member) || strcmp(g->gone ? g->gone : "", w->g[0].gone ? w->g[0].gone : "")) return false;
        for (int i = 0; i < w->accounts; i++) if (g->a[i].group.listed || g->a[i].allot != g->a[i].spent) return false;
    }
    return true;
}

/* Everybody is up and nothing goes wrong any more: then all comes right by itself. */
static const char *comes_right(struct world *w)
{
    static char why[300];
    bool blind = blind_in_redis(w);
    w->disk_fails = w->memory_full = false;
    w->faults = 0;
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        if (g->stops) end(g, false);
        if (g->born && !g->up) start(w, g);
        if (!g->up) continue;
        g->skew = 0;
        disconnect(g);
        for (int i = 0; i < w->accounts; i++) {
            g->a[i].limit = w->limit[i];
            describe(w, g, i);
            g->a[i].spent += g->a[i].held, g->a[i].held = 0;
        }
    }
    deliver_all(w);
    for (int round = 0; round < 40 && (round < 3 || !quiet(w)); round++) {
        for (int k = 0; k < w->n; k++) {
            struct gateway *g = &w->g[k];
            if (!g->up) continue;
            connect(g);
            for (int i = 0; i < w->accounts; i++) give_back(w, g, i);
            lun_member_tick(g->member);
        }
        deliver_all(w);
        w->now += 1;
    }
    blind |= blind_in_redis(w);
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        blind |= g->before > 0;
        if (g->up && g->state != LUN_MEMBER_OPEN && g->state != LUN_MEMBER_EMPTY) {
            snprintf(why, sizeof why, "gateway %d is %s for ever", k, lun_member_state_name(g->state));
            return why;
        }
    }
    for (int i = 0; i < w->accounts && !blind; i++) {
        int64_t charged = 0;
        for (int k = 0; k < w->n; k++) charged += w->g[k].a[i].spent;
        int64_t total = total_in_redis(w, i);
        if (w->g[0].state == LUN_MEMBER_OPEN && total != charged) {
            snprintf(why, sizeof why, "Redis counts %lld of account %d, charged are %lld", (long long)total, i, (long long)charged);
            return why;
        }
    }
    int day = (int)(w->now / DAY_MS), first = day * w->budgets;
    if (day >= w->days || blind || w->g[0].state != LUN_MEMBER_OPEN || w->now % DAY_MS > DAY_MS - 100) return NULL;
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
        give_back(w, g, first);
        deliver_all(w);
    }
    return NULL;
}

/* ---- a schedule ---- */

/* Without the compiler of traces: the script is called with other closures each time, and it would begin anew each time. */
static lua_State *machine(int mutant)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    if (luaL_dostring(L, emulation)) fail_msg("%s", lua_tostring(L, -1));
    load_script(L, mutant);
    return L;
}

static void begin_gateway(struct world *w, int k)
{
    struct gateway *g = &w->g[k];
    *g = (struct gateway){ .w = w, .id = k, .founds = k == 0 };
    snprintf(g->name, sizeof g->name, "g%d", k);
    for (int i = 0; i < w->accounts; i++) g->a[i].limit = w->limit[i];
}

static void build(struct world *w, lua_State *L, uint64_t seed, int mutant)
{
    *w = (struct world){ .L = L, .seed = seed, .random = seed * 0x9E3779B97F4A7C15u | 1, .mutant = mutant };
    for (int i = 0; i < 8; i++) rnd(w);
    w->n = odds(w, 2) ? 2 : 2 + upto(w, GATEWAYS - 1);
    w->faults = upto(w, 8);
    w->budgets = 1 + odds(w, 3);
    w->days = odds(w, 4) ? DAYS : 1;
    w->accounts = w->budgets * w->days;
    w->now = w->days > 1 && odds(w, 2) ? DAY_MS - 300 : 1000;
    weigh(w);
    flush(w, NULL);
    for (int i = 0; i < w->accounts; i++) w->limit[i] = 1 + upto(w, 4);
    for (int k = 0; k < w->n; k++) begin_gateway(w, k);
}

/* The first gateway founds; some more are there from the beginning, and know each other or not. */
static void begin(struct world *w)
{
    int present = 1 + upto(w, w->n);
    start(w, &w->g[0]);
    connect(&w->g[0]);
    for (int round = 0; round < 3; round++) deliver_all(w), lun_member_tick(w->g[0].member);
    w->g[0].founds = false;
    for (int k = 1; k < present; k++) start(w, &w->g[k]), connect(&w->g[k]);
    if (odds(w, 3)) return;
    for (int round = 0; round < 3; round++) {
        deliver_all(w);
        for (int k = 0; k < present; k++) lun_member_tick(w->g[k].member);
    }
}

static void end_all(struct world *w)
{
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        if (g->up) end(g, false);
        free(g->members), free(g->gone), free(g->parts);
    }
    for (int i = 0; i < LETTERS; i++) lose(&w->letter[i]);
    for (int i = 0; i < KEPT; i++) lose(&w->kept[i]);
    for (int i = 0; i < w->images; i++) luaL_unref(w->L, LUA_REGISTRYINDEX, w->image[i]);
}

static const char *schedule(lua_State *L, uint64_t seed, int mutant, struct world *w)
{
    const char *wrong = NULL;
    build(w, L, seed, mutant);
    begin(w);
    int depth = 30 + upto(w, 150);
    for (int i = 0; i < depth && !wrong; i++) {
        one_step(w);
        wrong = broken(w);
    }
    if (!wrong && !mutant) wrong = comes_right(w);
    if (!wrong) wrong = broken(w);
    end_all(w);
    return wrong;
}

static uint64_t number(const char *name, uint64_t otherwise) { const char *text = getenv(name); return text ? strtoull(text, NULL, 10) : otherwise; }

static void random_schedules_never_spend_more_than_the_limit_and_come_right(void **s)
{
    (void)s;
    uint64_t n = number("MEMBER_SCHEDULES", 3000), from = number("MEMBER_SEED", 1);
    lua_State *L = machine(M_NONE);
    long steps = 0, grants = 0, refusals = 0;
    static struct world w;
    for (uint64_t seed = from; seed < from + n; seed++) {
        const char *wrong = schedule(L, seed, M_NONE, &w);
        steps += w.steps, grants += w.granted, refusals += w.refused;
        if (wrong && traced()) {
            lua_getglobal(L, "dump");
            lua_call(L, 0, 0);
        }
        if (wrong) fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
    }
    print_message("    %llu schedules, %ld steps, %ld granted, %ld refused\n", (unsigned long long)n, steps, grants, refusals);
    lua_close(L);
    assert_true(n < 100 || (grants > (long)n && refusals > (long)n / 4));
}

static bool is_noticed(int mutant)
{
    lua_State *L = machine(mutant);
    static struct world w;
    const char *wrong = NULL;
    int seed = 0;
    while (!wrong && seed < mutants[mutant].within) wrong = schedule(L, (uint64_t)++seed, mutant, &w);
    print_message("    %2d %s: %s %d%s%s\n", mutant, mutants[mutant].text, wrong ? "seed" : "NOT NOTICED in", seed, wrong ? ": " : "", wrong ? wrong : "");
    lua_close(L);
    return wrong != NULL;
}

static struct letter said(struct world *w, const struct gateway *g, const char *op)
{
    for (int i = 0; i < LETTERS; i++) {
        const struct letter *l = &w->letter[i];
        if (!l->argument || l->to != g->id || strcmp(l->argument[SAID_OP], op)) continue;
        return (struct letter){ g->id, 0, copy_texts((const char *const *)l->argument, l->n), l->n };
    }
    fail_msg("gateway %d does not say %s", g->id, op);
    return (struct letter){0};
}

static void want_one(struct world *w, struct gateway *g)
{
    struct owner *o = &g->a[0];
    o->group.n = 1, o->group.accounts[0] = o->in, o->group.more[0] = 1;
    lun_member_want(g->member, &o->group);
    deliver_all(w);
}

/* Two gateways that both draw on one account of 1. */
static void two(struct world *w, lua_State *L)
{
    build(w, L, 1, M_NONE);
    w->n = 2, w->budgets = w->days = w->accounts = 1, w->limit[0] = 1, w->now = 1000;
    for (int k = 0; k < 2; k++) {
        w->g[k].a[0].limit = 1;
        start(w, &w->g[k]), connect(&w->g[k]);
        deliver_all(w);
        w->g[k].founds = false;
    }
    for (int k = 0; k < 4; k++) lun_member_tick(w->g[k % 2].member), deliver_all(w);
    assert_true(w->g[0].state == LUN_MEMBER_OPEN && w->g[1].state == LUN_MEMBER_OPEN);
}

/* Redis is emptied, what began an epoch comes again and begins one, and so does what the first had said in it when it had nothing. */
static void what_began_an_epoch_and_is_said_again_begins_another(void **s)
{
    (void)s;
    lua_State *L = machine(M_NONE);
    static struct world w;
    two(&w, L);
    struct gateway *first = &w.g[0], *second = &w.g[1];
    flush(&w, NULL);
    lun_member_tick(first->member);
    deliver(&w, &w.letter[0], false), lose(&w.letter[0]), hear(first);
    struct letter opens = said(&w, first, "open"), registers;
    deliver(&w, &w.letter[0], false), lose(&w.letter[0]), hear(first);
    registers = said(&w, first, "register");
    for (int k = 0; k < 4; k++) deliver_all(&w), lun_member_tick(second->member);
    deliver_all(&w);
    lun_member_tick(first->member), deliver_all(&w);
    want_one(&w, first);
    assert_int_equal(first->a[0].allot, 1);
    flush(&w, NULL);
    deliver(&w, &opens, true);
    deliver(&w, &registers, true);
    second->a[0].limit = 2, describe(&w, second, 0);    /* something to say */
    for (int k = 0; k < 4; k++) lun_member_tick(second->member), deliver_all(&w);
    want_one(&w, second);
    if (broken(&w)) fail_msg("%s", w.wrong);
    lose(&opens), lose(&registers);
    end_all(&w);
    lua_close(L);
}

/* Likewise what founded: nobody draws before those whom the first one knows have said what they have. */
static void a_founding_that_is_said_again_waits_for_all_who_have_drawn(void **s)
{
    (void)s;
    lua_State *L = machine(M_NONE);
    static struct world w;
    two(&w, L);
    want_one(&w, &w.g[1]);
    assert_int_equal(w.g[1].a[0].allot, 1);
    flush(&w, NULL);
    const char *again[] = { "found", "00000000000000010000000000000000", w.g[0].name, "0" };
    struct letter founds = { 0, 0, copy_texts(again, 4), 4 };
    deliver(&w, &founds, true);
    for (int k = 0; k < 4; k++) {
        lun_member_tick(w.g[0].member);
        for (int i = 0; i < 4; i++) talk(&w, &w.g[0]);
    }
    struct owner *o = &w.g[0].a[0];
    o->group.n = 1, o->group.accounts[0] = o->in, o->group.more[0] = 1;
    lun_member_want(w.g[0].member, &o->group);
    for (int i = 0; i < 4; i++) talk(&w, &w.g[0]);
    if (broken(&w)) fail_msg("%s", w.wrong);
    assert_int_equal(w.g[0].state, LUN_MEMBER_WAITING);
    assert_string_equal(lun_member_missing(w.g[0].member), " g1 ");
    lose(&founds);
    end_all(&w);
    lua_close(L);
}

/* Redis is started again before the others have on their disks who is to be gone and what he had: he is a member still, and they wait for him. */
static void a_forgotten_one_is_a_member_until_the_others_have_what_it_had(void **s)
{
    (void)s;
    lua_State *L = machine(M_NONE);
    static struct world w;
    two(&w, L);
    struct gateway *first = &w.g[0], *second = &w.g[1];
    want_one(&w, second);
    second->a[0].held = second->a[0].real = 1;
    end(second, false);
    assert_true(lun_member_forget(first->member, second->name));
    deliver(&w, &w.letter[0], false), lose(&w.letter[0]), hear(first);
    image(&w);
    restart_redis(&w);
    disconnect(first), connect(first), deliver_all(&w);
    assert_int_equal(first->state, LUN_MEMBER_WAITING);
    assert_string_equal(lun_member_missing(first->member), " g1 ");
    want_one(&w, first);
    if (broken(&w)) fail_msg("%s", w.wrong);
    assert_true(lun_member_forget(first->member, second->name));
    for (int k = 0; k < 4; k++) lun_member_tick(first->member), deliver_all(&w);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    if (broken(&w)) fail_msg("%s", w.wrong);
    end_all(&w);
    lua_close(L);
}

/* A third gateway is down while the first forgets the second: that waits for the third, and is said. */
static void forgetting_waits_for_all_the_others_and_names_them(void **s)
{
    (void)s;
    lua_State *L = machine(M_NONE);
    static struct world w;
    two(&w, L);
    struct gateway *first = &w.g[0], *second = &w.g[1], *third = &w.g[2];
    begin_gateway(&w, w.n++);
    start(&w, third), connect(third);
    for (int k = 0; k < 6; k++) lun_member_tick(w.g[k % 3].member), deliver_all(&w);
    assert_int_equal(third->state, LUN_MEMBER_OPEN);
    end(third, false), disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    for (int k = 0; k < 4; k++) lun_member_tick(first->member), deliver_all(&w);
    assert_string_equal(lun_member_leaving(first->member), " g1 ");
    assert_string_equal(lun_member_unready(first->member), " g2 ");
    start(&w, third), connect(third), deliver_all(&w);
    for (int k = 0; k < 2; k++) lun_member_tick(first->member), deliver_all(&w);
    assert_string_equal(lun_member_members(first->member), " g0 g2 ");
    assert_string_equal(first->gone, " g1 ");
    assert_string_equal(third->gone, " g1 ");
    end_all(&w);
    lua_close(L);
}

/* Forgotten while it was alive: the one that has let go of it may begin an epoch without it, until it has its name on the disk again. */
static void who_was_let_go_of_and_comes_back_draws_once_another_knows_it_again(void **s)
{
    (void)s;
    lua_State *L = machine(M_NONE);
    static struct world w;
    two(&w, L);
    struct gateway *first = &w.g[0], *second = &w.g[1];
    disconnect(second);
    assert_true(lun_member_forget(first->member, second->name));
    for (int k = 0; k < 4; k++) lun_member_tick(first->member), deliver_all(&w);
    assert_string_equal(lun_member_members(first->member), " g0 ");
    connect(second), deliver_all(&w);
    want_one(&w, second);
    assert_int_equal(second->state, LUN_MEMBER_NEW);
    assert_int_equal(second->a[0].allot, 0);
    assert_false(second->vouched);
    flush(&w, NULL);
    lun_member_tick(second->member), deliver_all(&w);
    assert_false(ask_redis(&w, "draws", second->name));         /* nor does it begin an epoch */
    for (int k = 0; k < 8; k++) lun_member_tick(w.g[k % 2].member), deliver_all(&w);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    if (broken(&w)) fail_msg("%s", w.wrong);
    end_all(&w);
    lua_close(L);
}

static void stop_in_order(struct world *w, struct gateway *g)
{
    stop(w, g), deliver_all(w);
    assert_true(lun_member_left(g->member));
    end(g, false);
}

/* It has spent 1 of 1, and Redis is emptied: nobody waits for it, and the 1 stays charged. */
static void who_leaves_is_not_waited_for_and_stays_charged(void **s)
{
    (void)s;
    lua_State *L = machine(M_NONE);
    static struct world w;
    two(&w, L);
    struct gateway *first = &w.g[0], *second = &w.g[1];
    want_one(&w, second);
    second->a[0].held = second->a[0].real = 1;
    stop_in_order(&w, second);
    for (int k = 0; k < 2; k++) lun_member_tick(first->member), deliver_all(&w);
    assert_string_equal(lun_member_members(first->member), " g0 ");
    flush(&w, NULL);
    for (int k = 0; k < 2; k++) lun_member_tick(first->member), deliver_all(&w);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    want_one(&w, first);
    assert_int_equal(first->a[0].allot, 0);
    start(&w, second), connect(second), deliver_all(&w);
    for (int k = 0; k < 4; k++) lun_member_tick(w.g[k % 2].member), deliver_all(&w);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);
    assert_int_equal(total_in_redis(&w, 0), 1);
    end_all(&w);
    lua_close(L);
}

/* The other one is gone or dead: it stays a member, or comes back as what it was before anybody has let go of it. */
static void the_last_one_stays_a_member(void **s)
{
    (void)s;
    lua_State *L = machine(M_NONE);
    static struct world w;
    two(&w, L);
    struct gateway *first = &w.g[0], *second = &w.g[1];
    end(first, false);
    stop_in_order(&w, second);
    start(&w, second), connect(second), deliver_all(&w);
    assert_int_equal(second->state, LUN_MEMBER_OPEN);   /* nobody has heard that it left */
    stop_in_order(&w, second);
    start(&w, first), connect(first), deliver_all(&w);
    lun_member_tick(first->member), deliver_all(&w);
    assert_string_equal(lun_member_members(first->member), " g0 ");
    stop_in_order(&w, first);
    assert_string_equal(first->members, " g0 ");
    flush(&w, NULL);
    start(&w, first), connect(first), deliver_all(&w);
    assert_int_equal(first->state, LUN_MEMBER_OPEN);
    end_all(&w);
    lua_close(L);
}

static void each_rule_is_needed(void **s)
{
    (void)s;
    bool all = getenv("MEMBER_MUTANTS");
    int noticed = 0, n = 0, only = (int)number("MEMBER_MUTANT", 0);
    for (int mutant = 1; mutant < M_COUNT; mutant++) {
        if (only ? mutant != only : !all && mutants[mutant].within > SOON) continue;
        noticed += is_noticed(mutant);
        n++;
    }
    assert_int_equal(noticed, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_began_an_epoch_and_is_said_again_begins_another),
        cmocka_unit_test(a_founding_that_is_said_again_waits_for_all_who_have_drawn),
        cmocka_unit_test(a_forgotten_one_is_a_member_until_the_others_have_what_it_had),
        cmocka_unit_test(forgetting_waits_for_all_the_others_and_names_them),
        cmocka_unit_test(who_was_let_go_of_and_comes_back_draws_once_another_knows_it_again),
        cmocka_unit_test(who_leaves_is_not_waited_for_and_stays_charged),
        cmocka_unit_test(the_last_one_stays_a_member),
        cmocka_unit_test(random_schedules_never_spend_more_than_the_limit_and_come_right),
        cmocka_unit_test(each_rule_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

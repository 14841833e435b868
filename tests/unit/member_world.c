/* Gateways, their disks, and the network between them and a Redis. A crash in the middle of a step is not a step of its own: what was sent before it is a
 * message that is lost or comes late, and what was not yet on the disk is an answer that nobody hears. */
#include "member_world.h"

uint64_t rnd(struct world *w) { uint64_t x = w->random; x ^= x << 13, x ^= x >> 7, x ^= x << 17; return w->random = x; }
int upto(struct world *w, int n) { return (int)((rnd(w) >> 11) % (uint64_t)n); }
bool odds(struct world *w, int n) { return upto(w, n) == 0; }
const char *budget_of(const struct world *w, int account) { return account % w->budgets ? "team web" : "total"; }
int day_of(const struct world *w, int account) { return account / w->budgets; }

/* ---- what a member sees of its world ---- */

bool traced(void)
{
    static int is = -1;
    if (is < 0) is = getenv("MEMBER_TRACE") != NULL;
    return is;
}

void letter_lose(struct letter *l)
{
    free(l->argument);
    *l = (struct letter){0};
}

void print_texts(const char *what, int id, const char *const *texts, int n)
{
    printf("  gateway %d %s", id, what);
    for (int i = 0; i < n && i < 60; i++) printf(" %s", texts[i]);
    printf("\n");
}

/* One block: the pointers, then the texts. */
char **copy_texts(const char *const *texts, int n)
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
    if (at == LETTERS) letter_lose(&w->letter[at = upto(w, LETTERS)]);
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
    free(g->members), free(g->gone_names), free(g->parts);
    g->members = members, g->gone_names = gone, g->parts = parts;
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
static void beside(void *self, struct lun_member_account *in, int64_t abroad, lun_us ends) { (void)self, (void)in, (void)abroad, (void)ends; }
static void nonce(void *self, char out[33])
{
    struct world *w = ((struct gateway *)self)->w;
    snprintf(out, 33, "%016llx%016x", (unsigned long long)++w->nonces, 0);
}

/* ---- gateways ---- */

void gateway_describe(struct world *w, struct gateway *g, int i)
{
    lun_us day = w->day_ms * LUN_MS, starts = day_of(w, i) * day;
    if (g->a[i].in) lun_member_describe(g->a[i].in, g->a[i].limit, starts, starts + day, w->rolling ? "5/2000000/UTC" : "day/UTC");
}

struct lun_member_account *gateway_account(struct world *w, struct gateway *g, int i)
{
    char key[64];
    struct owner *o = &g->a[i];
    if (o->in) return o->in;
    if (w->rolling) snprintf(key, sizeof key, "%s@rolling+%d+%d+%d", budget_of(w, i), WINDOW * PIECE_MS * 1000, day_of(w, i) * PIECE_MS, PIECE_MS);
    else snprintf(key, sizeof key, "%s@%d", budget_of(w, i), day_of(w, i));
    o->in = lun_member_account(g->member, key, o->disk);
    o->opened = true;
    gateway_describe(w, g, i);
    return o->in;
}

void gateway_start(struct world *w, struct gateway *g)
{
    static const struct lun_member_ports ports = { .send = send, .commit = commit, .granted = granted, .refused = refused, .fulfilled = fulfilled,
                                                   .total = seen_total, .wanted = wanted, .state = state, .nonce = nonce,
                                                   .beside = beside };
    struct lun_member_ports mine = ports;
    mine.self = g;
    g->up = g->born = true;
    g->run++;
    g->member = lun_member_new(&(struct lun_member_options){ .id = g->name, .run = g->run, .founds = g->founds || w->mutant == M_FOUND_ALWAYS,
        .disk = { g->members, g->gone_names, g->parts, g->vouched, g->before } }, &mine);
    for (int i = 0; i < w->accounts; i++) {
        struct owner *o = &g->a[i];
        o->in = NULL;
        o->allot = o->disk;
        o->late = -1;
        o->group = (struct lun_member_group){0};
        if (!w->rolling) gateway_account(w, g, i);
    }
    if (w->rolling) window_start(w, g);
}

void gateway_sync(struct owner *o)
{
    if (o->late >= 0) o->disk = o->late;
    o->late = -1;
}

void gateway_end(struct gateway *g, bool cut)
{
    lun_member_free(g->member);
    g->member = NULL;
    g->up = g->connected = g->stops = false;
    free(g->reply);
    g->reply = NULL;
    for (int i = 0; i < g->w->accounts; i++) {
        struct owner *o = &g->a[i];
        if (!cut) gateway_sync(o);
        o->spent += o->held, o->held = 0;
        if (cut && g->w->mutant == M_CUT_AS_KILL) o->disk = o->spent = upto(g->w, (int)o->spent + 1);
        else if (cut) o->spent = o->disk;
        else o->disk = o->spent;
        o->allot = o->disk;
        o->late = -1;
    }
}

void gateway_connect(struct gateway *g)
{
    if (g->connected) return;
    g->connected = true;
    g->connection++;
    lun_member_connected(g->member);
}

void gateway_disconnect(struct gateway *g)
{
    if (!g->connected) return;
    g->connected = false;
    free(g->reply);
    g->reply = NULL;
    lun_member_apart(g->member);
}

bool gateway_give_back(struct world *w, struct gateway *g, int i)
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

/* A few messages without anything between. */
bool gateway_talk(struct world *w, struct gateway *g)
{
    bool some = false;
    for (int round = 1 + upto(w, 6); round-- && g->up; ) {
        for (struct letter *l = w->letter; l < w->letter + LETTERS; l++) if (l->argument && l->to == g->id) letter_deliver(w, l, false), letter_lose(l), some = true;
        if (g->reply) gateway_hear(g), some = true;
    }
    return some;
}

static bool is_wanted(const struct world *w, const struct gateway *g, const struct owner *o)
{
    for (int i = 0; i < w->accounts; i++)
        for (int k = 0; g->a[i].group.listed && k < g->a[i].group.n; k++) if (g->a[i].group.accounts[k] == o->in) return true;
    return false;
}

/* What counts nowhere any more goes from a member's memory, and from Redis. */
bool gateway_drop(struct world *w, struct gateway *g)
{
    bool some = false;
    for (int i = 0; g->up && i < w->accounts; i++) {
        struct owner *o = &g->a[i];
        if (!o->in || o->allot != o->spent || o->held || is_wanted(w, g, o) || !lun_member_drop(g->member, o->in)) continue;
        o->in = NULL;
        some = true;
    }
    return some;
}

/* Nothing is under way any more, and what is not spent is given back; then it waits until the others could be told, or no longer. */
bool gateway_stop(struct world *w, struct gateway *g)
{
    if (!g->up || w->disk_fails) return false;
    if (g->stops) {
        if (lun_member_left(g->member) || odds(w, 4)) gateway_end(g, false);
        return true;
    }
    g->stops = true;
    for (int i = 0; i < w->accounts; i++) {
        g->a[i].spent += g->a[i].held, g->a[i].held = 0;
        gateway_give_back(w, g, i);
    }
    lun_member_leave(g->member);
    return true;
}

/* ---- the network ---- */

/* What the script answers, in one block; NULL: an error. */
static char **evaluate(struct world *w, const struct letter *l, int *n)
{
    int top = lua_gettop(w->L);
    const char *items[1000];
    char **answer = NULL;
    redis_advance(w);
    lua_getglobal(w->L, "eval");
    luaL_checkstack(w->L, 1020, "");
    for (int i = 0; i < l->n; i++) lua_pushstring(w->L, l->argument[i]);
    if (!lua_pcall(w->L, l->n, 1, 0)) {
        int all = *n = (int)lua_objlen(w->L, -1), at = lua_gettop(w->L);
        assert_true(all >= HEAD && all <= 1000);
        for (int i = 0; i < all; i++) {
            lua_rawgeti(w->L, at, i + 1);
            items[i] = lua_tostring(w->L, -1);
        }
        answer = copy_texts(items, all);
    } else if (!w->memory_full) fail_msg("seed %llu: the script failed: %s", (unsigned long long)w->seed, lua_tostring(w->L, -1));
    lua_settop(w->L, top);
    return answer;
}

void letter_deliver(struct world *w, struct letter *l, bool again)
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

void gateway_hear(struct gateway *g)
{
    char **items = g->reply;
    if (!items) return;
    g->reply = NULL;
    lun_member_answer(g->member, (const char *const *)items, g->n_reply);
    free(items);
}

void world_deliver(struct world *w)
{
    for (int round = 0; round < 60; round++) {
        bool some = false;
        for (int i = 0; i < LETTERS; i++) if (w->letter[i].argument) letter_deliver(w, &w->letter[i], false), letter_lose(&w->letter[i]), some = true;
        for (int k = 0; k < w->n; k++) if (w->g[k].up && w->g[k].reply) gateway_hear(&w->g[k]), some = true;
        if (!some) return;
    }
}

/* ---- the world ---- */

void gateway_begin(struct world *w, int k)
{
    struct gateway *g = &w->g[k];
    *g = (struct gateway){ .w = w, .id = k, .founds = k == 0 };
    snprintf(g->name, sizeof g->name, "g%d", k);
    for (int i = 0; i < w->accounts; i++) g->a[i].limit = w->limit[i];
}

void world_build(struct world *w, lua_State *L, uint64_t seed, int mutant)
{
    *w = (struct world){ .L = L, .seed = seed, .random = seed * 0x9E3779B97F4A7C15u | 1, .mutant = mutant };
    for (int i = 0; i < 8; i++) rnd(w);
    w->n = odds(w, 2) ? 2 : 2 + upto(w, GATEWAYS - 1);
    w->faults = upto(w, 8);
    w->budgets = 1 + odds(w, 3);
    w->days = odds(w, 4) ? DAYS : 1;
    w->accounts = w->budgets * w->days;
    w->day_ms = DAY_MS;
    w->now = w->days > 1 && odds(w, 2) ? DAY_MS - 300 : 1000;
    w->steps_back = w->days > 1 && odds(w, 2);
    redis_flush(w);
    for (int i = 0; i < w->accounts; i++) w->limit[i] = 1 + upto(w, 4);
    for (int k = 0; k < w->n; k++) gateway_begin(w, k);
}

void world_end(struct world *w)
{
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        if (g->up) gateway_end(g, false);
        free(g->members), free(g->gone_names), free(g->parts);
    }
    for (int i = 0; i < LETTERS; i++) letter_lose(&w->letter[i]);
    for (int i = 0; i < KEPT; i++) letter_lose(&w->kept[i]);
    for (int i = 0; i < w->images; i++) luaL_unref(w->L, LUA_REGISTRYINDEX, w->image[i]);
}

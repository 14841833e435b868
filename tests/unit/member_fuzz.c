/* Random schedules of members that share money. Each is a small world of its own: few accounts, limits of one to four, so that every unit is contended; and
 * what happens in it is drawn anew, so that there are some of nothing but late messages, or of nothing but power cuts. */
#include "member_world.h"

enum { TRIES = 40, SOON = 1000 };       /* TRIES: so often something else is chosen, where what was cannot happen now */
static const struct { int within; const char *text; } mutants[] = { { 0, "" },
#define X(id, within, text) { within, text },
    MUTANTS(X) WINDOW_MUTANTS(X)
#undef X
};

static struct letter *any(struct world *w, struct letter *letters, int n)
{
    int from = upto(w, n);
    for (int i = 0; i < n; i++) if (letters[(from + i) % n].argument) return &letters[(from + i) % n];
    return NULL;
}

/* ---- steps ---- */

static int today(const struct world *w, const struct gateway *g)
{
    int d = (int)((w->now + g->skew) / w->day_ms);
    return d < 0 ? 0 : d >= w->days ? w->days - 1 : d;
}

/* A claim above its hold: charged, whatever the limit. */
static bool claim(struct world *w, struct gateway *g)
{
    int i = upto(w, w->accounts);
    struct owner *o = &g->a[i];
    if (!g->up || !o->held || w->disk_fails) return false;
    o->held--, o->spent += 2, o->real++, w->over[i]++;
    window_charged(w, g, i);
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
    letter_lose(copy);
    *copy = *l;
    *l = (struct letter){0};
}

static bool deliver_one(struct world *w, struct gateway *g)
{
    (void)g;
    struct letter *l = any(w, w->letter, LETTERS);
    if (!l) return false;
    letter_deliver(w, l, false);
    keep(w, l);
    letter_lose(l);
    return true;
}

static bool deliver_again(struct world *w, struct gateway *g)
{
    (void)g;
    struct letter *l = any(w, w->kept, KEPT);
    if (!l) return false;
    letter_deliver(w, l, true);
    if (odds(w, 4)) letter_lose(l);
    return true;
}

static bool lose_one(struct world *w, struct gateway *g)
{
    (void)g;
    struct letter *l = any(w, w->letter, LETTERS);
    if (l) letter_lose(l);
    return l != NULL;
}

static bool hear_one(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up || !g->reply) return false;
    gateway_hear(g);
    return true;
}

static bool want(struct world *w, struct gateway *g)
{
    int first = today(w, g) * w->budgets;
    struct owner *o = &g->a[first];
    if (!g->up || g->stops || o->group.listed) return false;
    o->group.n = 0;
    for (int i = 0; i < w->budgets; i++) {
        if (i && odds(w, 3)) break;
        o->group.accounts[o->group.n] = gateway_account(w, g, first + i);
        o->group.more[o->group.n++] = 1 + upto(w, odds(w, 3) ? (int)g->a[first + i].limit : 2);
    }
    lun_member_want(g->member, &o->group);
    return true;
}

static bool hold(struct world *w, struct gateway *g)
{
    int i = w->on_time ? today(w, g) * w->budgets + upto(w, w->budgets) : upto(w, w->accounts);
    struct owner *o = &g->a[i];
    bool over = w->on_time && w->now + g->skew >= w->days * w->day_ms;
    if (!g->up || g->stops || over || o->spent + o->held + 1 > o->allot) return false;
    do o->held++, o->real++, window_charged(w, g, i); while (o->spent + o->held + 1 <= o->allot && odds(w, 2));
    return true;
}

static bool settle(struct world *w, struct gateway *g)
{
    int i = upto(w, w->accounts);
    struct owner *o = &g->a[i];
    if (!g->up || !o->held) return false;
    o->held--;
    if (odds(w, 3)) o->real--, window_released(w, g, i);
    else o->spent++;
    return true;
}

static bool give_back_one(struct world *w, struct gateway *g) { return gateway_give_back(w, g, upto(w, w->accounts)); }

static bool tick(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up) return false;
    for (int i = 0; i < w->accounts; i++) gateway_sync(&g->a[i]);
    if (g->connected) lun_member_tick(g->member);
    else gateway_connect(g);
    return true;
}

static bool part(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up || !g->connected) return false;
    gateway_disconnect(g);
    return true;
}

static bool start_one(struct world *w, struct gateway *g)
{
    if (g->up || (!g->born && odds(w, 3)) || (g->forgotten && !odds(w, 4))) return false;
    g->forgotten = false;
    gateway_start(w, g);
    if (odds(w, 2)) gateway_connect(g);
    return true;
}

static bool keep_image(struct world *w, struct gateway *g)
{
    (void)g;
    redis_image(w);
    return true;
}

static bool pass(struct world *w, struct gateway *g)
{
    (void)g;
    if (w->rolling) w->now += upto(w, 3) ? upto(w, PIECE_MS) : PIECE_MS + upto(w, 3 * PIECE_MS);
    else w->now += upto(w, w->steps_back ? 2 : 12) ? upto(w, 300) : DAY_MS / 4;
    return true;
}

static bool skew(struct world *w, struct gateway *g)
{
    if (w->rolling) g->skew = w->on_time ? upto(w, PIECE_MS - 1) - (PIECE_MS / 2 - 1) : (int64_t)upto(w, 12 * PIECE_MS) - 6 * PIECE_MS;
    else g->skew = (int64_t)upto(w, 2 * DAY_MS) - DAY_MS;
    return w->days > 1;
}

static bool other_limit(struct world *w, struct gateway *g)
{
    int i = upto(w, w->accounts);
    int limit = 1 + upto(w, 5);
    for (int k = w->rolling ? i % w->budgets : i; k < w->accounts; k += w->rolling ? w->budgets : w->accounts) {
        g->a[k].limit = limit;
        if (g->up) gateway_describe(w, g, k);
        if (limit > w->limit[k]) w->limit[k] = limit;
    }
    return true;
}

static bool killed(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up) return false;
    gateway_end(g, false);
    return true;
}

static bool power_cut(struct world *w, struct gateway *g)
{
    (void)w;
    if (!g->up) return false;
    gateway_end(g, true);
    return true;
}

static bool restart(struct world *w, struct gateway *g)
{
    (void)g;
    redis_restart(w);
    return true;
}

static bool flush(struct world *w, struct gateway *g)
{
    (void)g;
    redis_flush(w);
    return true;
}

static bool disk_fails(struct world *w, struct gateway *g)   { (void)g; return !w->disk_fails && (w->disk_fails = true); }
static bool memory_full(struct world *w, struct gateway *g)  { (void)g; return !w->memory_full && (w->memory_full = true); }

static bool forget_one(struct world *w, struct gateway *g)
{
    if (!g->up || w->steps_back) return false;
    for (int k = 0, from = upto(w, w->n); k < w->n; k++) {
        struct gateway *other = &w->g[(from + k) % w->n];
        if (other == g || !other->born || other->forgotten || (other->up && odds(w, 2))) continue;
        if ((other->forgotten = lun_member_forget(g->member, other->name))) return true;
    }
    return false;
}

static bool has_too_little(struct world *w, const struct gateway *g)
{
    for (int i = 0; i < w->accounts; i++) if (g->a[i].disk > part_in_redis(w, g, i) && !(w->rolling ? window_passed(w, i) : over_in_redis(w, i))) return redis_says(w, "draws", g->name);
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
    redis_advance(w);
    bool noticed = false;
    for (int i = 0, from = upto(w, w->images); i < w->images && !noticed; i++) {
        redis_restore(w, w->image[(from + i) % w->images]);
        noticed = has_too_little(w, g);
    }
    if (!noticed) redis_restore(w, before);
    luaL_unref(w->L, LUA_REGISTRYINDEX, before);
    if (!noticed) return false;
    for (int k = 0; k < LETTERS; k++) if (w->letter[k].argument && w->letter[k].to == g->id) letter_lose(&w->letter[k]);       /* they would tell it */
    gateway_end(g, true);
    gateway_start(w, g);
    gateway_connect(g);
    for (int round = 0; round < 6; round++) gateway_talk(w, g);
    return true;
}

/*    what, how often, is it a fault, does it change who is a member, or has to say so again */
#define ACTIONS(X) \
    X(deliver_one, 30, false, false) X(deliver_again, 6, false, false) X(lose_one, 2, false, false) X(hear_one, 25, false, false) \
    X(gateway_talk, 20, false, false) X(want, 12, false, false) X(hold, 10, false, false) X(settle, 6, false, false) X(give_back_one, 6, false, false) \
    X(claim, 1, false, false) X(tick, 8, false, true) X(part, 2, false, false) X(start_one, 5, false, true) X(keep_image, 3, false, false) \
    X(pass, 2, false, false) X(skew, 1, false, false) X(other_limit, 1, false, false) X(killed, 2, true, true) X(gateway_stop, 3, false, true) \
    X(power_cut, 2, true, false) X(restart, 3, true, false) X(flush, 2, true, true) X(forget_one, 4, true, true) X(go_back, 4, true, false) \
    X(gateway_drop, 4, false, false) X(window_step_back, 2, false, false) \
    X(disk_fails, 1, true, false) X(memory_full, 1, true, false)
static const struct action { bool (*act)(struct world *, struct gateway *); const char *name; int often; bool fault, of_members; } actions[] = {
#define X(act, often, fault, of_members) { act, #act, often, fault, of_members },
    ACTIONS(X)
#undef X
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

/* Some things do not happen in this schedule, others much oftener; in every third gateways come and go. */
static void weigh(struct world *w)
{
    bool members = odds(w, 3);
    if (members) w->faults += 6;
    for (int i = 0; i < N_ACTIONS; i++) {
        int by = upto(w, 4), often = actions[i].often * (members && actions[i].of_members ? 3 : 1);
        bool rare = actions[i].often <= 6;
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

/* ---- a schedule ---- */

/* All know each other, and have drawn; and so it is in a picture of Redis, and as it was before. */
static void settle_in(struct world *w, int present)
{
    for (int round = 0; round < 2; round++) for (int k = 0; k < present; k++) lun_member_tick(w->g[k].member), world_deliver(w);
    redis_image(w);
    for (int k = 0; k < present; k++) want(w, &w->g[k]), world_deliver(w);
    redis_image(w);
}

/* The first gateway founds; some more are there from the beginning, and know each other or not. */
static void begin(struct world *w)
{
    bool settled = odds(w, 3);
    int present = settled ? w->n : 1 + upto(w, w->n);
    gateway_start(w, &w->g[0]);
    gateway_connect(&w->g[0]);
    for (int round = 0; round < 3; round++) world_deliver(w), lun_member_tick(w->g[0].member);
    w->g[0].founds = false;
    for (int k = 1; k < present; k++) gateway_start(w, &w->g[k]), gateway_connect(&w->g[k]);
    if (!settled && odds(w, 3)) return;
    for (int round = 0; round < 3; round++) {
        world_deliver(w);
        for (int k = 0; k < present; k++) lun_member_tick(w->g[k].member);
    }
    if (settled) settle_in(w, present);
}

static const char *schedule(lua_State *L, uint64_t seed, int mutant, bool rolling, struct world *w)
{
    const char *wrong = NULL;
    world_build(w, L, seed, mutant);
    if (rolling) world_roll(w);
    weigh(w);
    begin(w);
    int depth = 30 + upto(w, rolling ? 250 : 150);
    for (int i = 0; i < depth && !wrong; i++) {
        one_step(w);
        wrong = world_broken(w);
    }
    if (!wrong && !mutant) wrong = world_comes_right(w);
    if (!wrong) wrong = world_broken(w);
    world_end(w);
    return wrong;
}

static uint64_t number(const char *name, uint64_t otherwise) { const char *text = getenv(name); return text ? strtoull(text, NULL, 10) : otherwise; }

static void random_schedules(bool rolling)
{
    uint64_t n = number("MEMBER_SCHEDULES", 3000), from = number("MEMBER_SEED", 1);
    lua_State *L = script_machine(M_NONE);
    long steps = 0, grants = 0, refusals = 0;
    static struct world w;
    for (uint64_t seed = from; seed < from + n; seed++) {
        const char *wrong = schedule(L, seed, M_NONE, rolling, &w);
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

void random_schedules_never_spend_more_than_the_limit_and_come_right(void **s)
{
    (void)s;
    random_schedules(false);
}

void random_schedules_never_pass_the_limit_of_a_window_and_come_right(void **s)
{
    (void)s;
    random_schedules(true);
}

static bool is_noticed(int mutant)
{
    lua_State *L = script_machine(mutant);
    static struct world w;
    const char *wrong = NULL;
    int seed = 0;
    while (!wrong && seed < mutants[mutant].within) wrong = schedule(L, (uint64_t)++seed, mutant, mutant >= M_WINDOWS, &w);
    print_message("    %2d %s: %s %d%s%s\n", mutant, mutants[mutant].text, wrong ? "seed" : "NOT NOTICED in", seed, wrong ? ": " : "", wrong ? wrong : "");
    lua_close(L);
    return wrong != NULL;
}

void each_rule_is_needed(void **s)
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

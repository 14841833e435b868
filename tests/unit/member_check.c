/* What must hold in the world of members: at all times, in each answer, and in the end. */
#include "member_world.h"

/* ---- an answer ---- */

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

static bool is_listed(const char *list, const struct gateway *g)
{
    char name[40];
    snprintf(name, sizeof name, " %s ", g->name);
    return list && strstr(list, name);
}

/* On disk <= in Redis, where more is granted: otherwise others are granted what this one has. (What was claimed above a hold is told later.) */
static void check_known(struct world *w, const char *key, int account)
{
    for (const struct gateway *g = w->g; g < w->g + w->n && !w->over[account]; g++) {
        int64_t part = part_in_redis(w, g, account);
        if (g->a[account].disk <= part) continue;
        snprintf(w->wrong, sizeof w->wrong, "%s is granted, though Redis knows %lld of gateway %d, on whose disk is %lld", key, (long long)part, g->id,
                 (long long)g->a[account].disk);
    }
}

/* While limits differ the lowest holds of those that Redis was told of: `answer` says yes to a group of the message. */
static void check_grant(struct world *w, const char *key, int64_t total, const char *const *answer)
{
    const char *epoch = answer[EPOCH];
    int i = account_of(w, key);
    int64_t early = w->rolling ? w->day_ms / 2 : 0, starts = day_of(w, i) * w->day_ms;
    if (w->now + early < starts || w->now - early >= starts + w->day_ms) snprintf(w->wrong, sizeof w->wrong, "%s is granted at %lld ms", key, (long long)w->now);
    check_known(w, key, i);
    for (int k = 0; k < w->n; k++) {
        const struct owner *o = &w->g[k].a[i];
        if (!is_listed(answer[MEMBERS], &w->g[k]) || strcmp(o->told_in, epoch) || total <= o->told) continue;
        snprintf(w->wrong, sizeof w->wrong, "%s is granted up to %lld, though gateway %d has said %lld", key, (long long)total, k, (long long)o->told);
    }
}

/* What a draw wants says a limit too: of a piece that a gateway has forgotten meanwhile that is all that it says. */
static void note_limit(struct world *w, struct gateway *g, const char *key, int64_t limit)
{
    struct owner *o = &g->a[account_of(w, key)];
    if (w->rolling && limit > o->told) o->told = limit;
}

static void check_groups(struct world *w, struct gateway *g, char **at, const char *const *answer, int n)
{
    int item = HEAD;
    for (int groups = atoi(*at++); groups-- && item < n; ) {
        bool yes = !strcmp(answer[item++], "YES");
        for (int of = atoi(*at++); of--; at += 6, item += EACH) {
            note_limit(w, g, at[0], atoll(at[2]));
            if (yes) check_grant(w, at[0], atoll(answer[item + 1]), answer);
        }
    }
}

/* What the disk of `by` says that the gone one had of an account; -1: nothing. */
static int64_t part_on_disk(struct world *w, const struct gateway *by, const struct gateway *gone, int account)
{
    char name[100];
    snprintf(name, sizeof name, "%s %s ", gone->name, key_in_redis(w, account));
    const char *at = by->parts ? strstr(by->parts, name) : NULL;
    return at ? atoll(at + strlen(name)) : -1;
}

static void check_let_go(struct world *w, const struct gateway *gone, const char *members)
{
    for (const struct gateway *g = w->g; g < w->g + w->n && !*w->wrong; g++) {
        if (!is_listed(members, g)) continue;
        bool knows = is_listed(g->gone_names, gone) && !is_listed(g->members, gone);
        for (int i = 0; i < w->accounts; i++) knows &= w->over[i] || part_on_disk(w, g, gone, i) >= part_in_redis(w, gone, i) || !part_in_redis(w, gone, i);
        for (const struct gateway *other = w->g; other < w->g + w->n; other++) knows &= !is_listed(members, other) || is_listed(g->members, other);
        if (!knows) snprintf(w->wrong, sizeof w->wrong, "gateway %d is let go of before gateway %d has that on its disk", gone->id, g->id);
    }
}

/* Who was there and is gone by what was said now: then all who stay have it on their disks. (What only looks may see a Redis that has gone back.) */
static void check_gone(struct world *w, const char *op, const char *const *answer)
{
    bool changes = !strcmp(op, "ready") || !strcmp(op, "forget") || !strcmp(op, "leave"), same = *answer[EPOCH] && !strcmp(w->epoch, answer[EPOCH]);
    snprintf(w->epoch, sizeof w->epoch, "%s", answer[EPOCH]);
    if (!*answer[EPOCH]) return;                        /* what it says besides is of earlier */
    for (struct gateway *g = w->g; g < w->g + w->n; g++) {
        bool was = g->gone;
        g->gone = is_listed(answer[GONE], g);
        g->leaves = is_listed(answer[LEAVING], g);
        if (g->gone && !was && changes && same) check_let_go(w, g, answer[MEMBERS]);
    }
}

/* What the script has answered, held against what was said: by a reading of its own. Said again, it changes nothing. */
void check_answer(struct world *w, const struct letter *l, const char *const *answer, int n)
{
    check_gone(w, l->argument[SAID_OP], answer);
    struct gateway *g = &w->g[l->to];
    bool draws = !strcmp(l->argument[SAID_OP], "draw"), registers = !strcmp(l->argument[SAID_OP], "register");
    int64_t seq = atoll(l->argument[SAID_SEQ]);
    if (strcmp(answer[STATUS], "OK") || (!draws && !registers) || (seq <= g->last && !strcmp(g->last_in, answer[EPOCH]))) return;
    g->last = seq;
    strcpy(g->last_in, answer[EPOCH]);
    char **states = l->argument + SAID_REST + (registers ? 7 : 0);
    note_told(w, g, states, answer[EPOCH]);
    if (draws) check_groups(w, g, states + 1 + 4 * atoi(*states), answer, n);
}

/* ---- at all times ---- */

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

/* Where there was one who could begin an epoch there always is: not counting those who have left, and need not come back. */
static void check_beginners(struct world *w)
{
    int vouched = 0;
    for (const struct gateway *g = w->g; g < w->g + w->n; g++) vouched += g->vouched && !g->gone && !g->leaves;
    w->began |= vouched > 0;
    if (w->began && !vouched && !*w->wrong) snprintf(w->wrong, sizeof w->wrong, "nobody could begin an epoch any more");
}

const char *world_broken(struct world *w)
{
    if (!w->mutant || w->mutant == M_LEAVES_ALL) check_beginners(w);
    if (w->rolling && window_broken(w)) return w->wrong;
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

/* Everybody draws, wants nothing and holds nothing back, and Redis knows what they know. */
static bool quiet(const struct world *w)
{
    for (int k = 0; k < w->n; k++) {
        const struct gateway *g = &w->g[k];
        if (!g->up) continue;
        if (g->state != LUN_MEMBER_OPEN || !lun_member_idle(g->member) || strcmp(g->gone_names ? g->gone_names : "", w->g[0].gone_names ? w->g[0].gone_names : "")) return false;
        for (int i = 0; i < w->accounts; i++) if (g->a[i].group.listed || g->a[i].allot != g->a[i].spent) return false;
    }
    return true;
}

/* Of a day that was forgotten, here or there, Redis may have another limit or more than is charged: its clock had stepped back meanwhile. */
static bool is_forgotten(struct world *w, int account)
{
    bool is = over_in_redis(w, account);
    for (int k = 0; k < w->n; k++) is |= w->g[k].up && !w->g[k].a[account].in;
    return is;
}

/* Everybody is up and nothing goes wrong any more: then all comes right by itself. */
const char *world_comes_right(struct world *w)
{
    static char why[300];
    bool blind = blind_in_redis(w);
    w->disk_fails = w->memory_full = false;
    w->faults = 0;
    for (int k = 0; k < w->n; k++) {
        struct gateway *g = &w->g[k];
        if (g->stops) gateway_end(g, false);
        if (g->born && !g->up) gateway_start(w, g);
        if (!g->up) continue;
        g->skew = 0;
        gateway_disconnect(g);
        for (int i = 0; i < w->accounts; i++) {
            if (w->rolling && (day_of(w, i) == w->now / w->day_ms || day_of(w, i) == w->now / w->day_ms + 1)) window_draws(w, g, i);
            g->a[i].limit = w->limit[i];
            gateway_describe(w, g, i);
            g->a[i].spent += g->a[i].held, g->a[i].held = 0;
        }
    }
    world_deliver(w);
    for (int round = 0; round < 40 && (round < 3 || !quiet(w)); round++) {
        for (int k = 0; k < w->n; k++) {
            struct gateway *g = &w->g[k];
            if (!g->up) continue;
            gateway_connect(g);
            for (int i = 0; i < w->accounts; i++) gateway_give_back(w, g, i);
            lun_member_tick(g->member);
        }
        world_deliver(w);
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
        if (w->rolling ? window_untold(w, i) : is_forgotten(w, i)) continue;
        if (w->g[0].state == LUN_MEMBER_OPEN && total != charged) {
            snprintf(why, sizeof why, "Redis counts %lld of account %d, charged are %lld", (long long)total, i, (long long)charged);
            return why;
        }
    }
    int day = (int)(w->now / w->day_ms), first = day * w->budgets;
    if (day >= w->days || blind || w->g[0].state != LUN_MEMBER_OPEN || w->now % w->day_ms > w->day_ms - 100 || (w->rolling ? window_bars(w, first) : is_forgotten(w, first))) return NULL;
    for (int k = 0; k < w->n; k++) {                    /* what is left can be had by anybody */
        struct gateway *g = &w->g[k];
        int64_t left = w->limit[first] - (w->rolling ? window_in_redis(w, first) : total_in_redis(w, first));
        if (!g->up || g->state != LUN_MEMBER_OPEN || left <= 0) continue;
        struct owner *o = &g->a[first];
        for (int i = 0; i < 10 && o->group.listed; i++) world_deliver(w), lun_member_tick(g->member);
        int64_t before = o->allot;
        o->group.n = 1;
        o->group.accounts[0] = gateway_account(w, g, first);
        o->group.more[0] = left;
        lun_member_want(g->member, &o->group);
        world_deliver(w);
        if (o->allot != before + left) { snprintf(why, sizeof why, "gateway %d does not get the %lld that are left", k, (long long)left); return why; }
        gateway_give_back(w, g, first);
        world_deliver(w);
    }
    return NULL;
}

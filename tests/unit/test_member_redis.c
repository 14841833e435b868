/* Three members, the real script and a real Redis, over real sockets: it is killed and started again 20 times, and emptied once, while they draw,
 * spend and give back; half of the times its file has lost what came last. What all have spent never passes a limit; afterwards all draw again, and all that was not spent can be had.
 *
 *   MEMBER_KILLS=500 test_member_redis       more of it */
#include "redis_server.h"
#include "base/alloc.h"
#include "script/bundle.h"
#include "state/member.h"
#include "wire/redis.h"
#include <sys/stat.h>

enum { GATEWAYS = 3, EACH = 200 /* granted between two kills */, ACCOUNTS = 2, GROUPS = 4 };
#define PATIENCE    (60 * LUN_SECOND)
#define TICK        (10 * LUN_MS)
static int64_t limits[ACCOUNTS] = { 1300000, 900000 };      /* for each kill: about what is spent until then */
static const char *const keys[ACCOUNTS] = { "total@2026-11", "key app@2026-11-28" };

struct gateway {
    char name[8];
    struct lun_member *member;
    struct lun_redis *redis;
    struct lun_timer timer;
    struct lun_member_account *account[ACCOUNTS];
    int64_t allot[ACCOUNTS], spent[ACCOUNTS];
    struct lun_member_group groups[GROUPS]; int told[GROUPS], wanted[GROUPS]; bool rests;
    enum lun_member_state state;
};
static struct gateway gateways[GATEWAYS];
static struct lun_reactor *reactor;
static struct redis_server server;
static const char *script;
static uint64_t seed = 88172645463325252u;
static long cuts, granted, refused, waits, answers, errors, gone;

static int64_t upto(int64_t n) { seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; return (int64_t)((seed >> 11) % (uint64_t)n); }

static void check(void)
{
    for (int a = 0; a < ACCOUNTS; a++) {
        int64_t spent = 0;
        for (int i = 0; i < GATEWAYS; i++) {
            spent += gateways[i].spent[a];
            assert_true(gateways[i].spent[a] <= gateways[i].allot[a] && gateways[i].allot[a] <= lun_member_has(gateways[i].account[a]));
        }
        if (spent > limits[a]) fail_msg("%s: %lld spent of %lld", keys[a], (long long)spent, (long long)limits[a]);
    }
}

/* ---- what a gateway does with it ---- */

static void want(struct gateway *g, int i)
{
    struct lun_member_group *group = &g->groups[i];
    if (group->listed || g->rests) return;
    assert_int_equal(g->told[i], g->wanted[i]);         /* each is told once what became of it */
    g->wanted[i]++;
    group->n = ACCOUNTS;
    for (int a = 0; a < ACCOUNTS; a++) group->accounts[a] = g->account[a], group->more[a] = 1 + upto(20000);
    lun_member_want(g->member, group);
}

static void spend(struct gateway *g)
{
    int64_t cost = 1 + upto(10000);
    for (int a = 0; a < ACCOUNTS; a++) if (g->allot[a] - g->spent[a] < cost) return;
    for (int a = 0; a < ACCOUNTS; a++) g->spent[a] += cost;
    check();
}

static void give_back(struct gateway *g, int a)
{
    if (g->allot[a] == g->spent[a]) return;
    g->allot[a] = g->spent[a];
    lun_member_set(g->member, g->account[a], g->spent[a]);
}

static void on_timer(struct lun_timer *t)
{
    struct gateway *g = (struct gateway *)((char *)t - offsetof(struct gateway, timer));
    lun_timer_set(&reactor->loop, &g->timer, reactor->loop.now + TICK);
    lun_member_tick(g->member);
    for (int i = 0; i < GROUPS; i++) want(g, i);
}

/* ---- between the member and its Redis ---- */

static void on_done(void *self, const struct lun_redis_reply *r)
{
    struct gateway *g = self;
    answers += r->result == LUN_REDIS_OK, errors += r->result == LUN_REDIS_ERROR, gone += r->result == LUN_REDIS_GONE;
    if (r->result == LUN_REDIS_GONE) lun_member_apart(g->member);
    else if (r->result == LUN_REDIS_ERROR) lun_member_refuse(g->member);
    else lun_member_answer(g->member, r->items, r->n);
    if (r->result == LUN_REDIS_ERROR && r->kind == LUN_REDIS_OTHER) fail_msg("%s", r->why);
}

static void on_state(void *self, bool connected, enum lun_redis_error kind, const char *why)
{
    struct gateway *g = self;
    (void)kind, (void)why;
    if (connected) lun_member_connected(g->member);
    else lun_member_apart(g->member);
}

static void port_send(void *self, const char *const *arguments, int n)
{
    struct gateway *g = self;
    assert_true(lun_redis_eval(g->redis, script, "lunette:money", arguments, NULL, n, on_done, g));
}

static bool port_commit(void *self, struct lun_member_account *const *accounts, const int64_t *has, int n, const struct lun_member_disk *disk)
{
    (void)self, (void)accounts, (void)has, (void)n, (void)disk;
    return true;
}

static void port_granted(void *self, struct lun_member_account *account, int64_t has, int64_t total)
{
    struct gateway *g = self;
    for (int a = 0; a < ACCOUNTS; a++) {
        if (account == g->account[a]) g->allot[a] = has;
        assert_true(account != g->account[a] || total <= limits[a]);
    }
}

static void port_refused(void *self, struct lun_member_group *group, const char *why)
{
    struct gateway *g = self;
    g->told[group - g->groups]++;
    if (strcmp(why, "SHORT") && strcmp(why, "CLOSED") && strcmp(why, "UNVOUCHED")) fail_msg("%s", why);
    refused++;
}

static void port_fulfilled(void *self, struct lun_member_group *group)
{
    struct gateway *g = self;
    g->told[group - g->groups]++;
    granted++;
    spend(g);
    if (granted % 3) want(g, (int)(group - g->groups));      /* from inside */
}

static void port_wanted(void *self, struct lun_member_account *account)
{
    struct gateway *g = self;
    for (int a = 0; a < ACCOUNTS; a++) if (account == g->account[a]) give_back(g, a);
}

static void port_total(void *self, struct lun_member_account *account, int64_t total) { (void)self, (void)account, (void)total; }

static void port_state(void *self, enum lun_member_state state, const char *who)
{
    struct gateway *g = self;
    (void)who;
    g->state = state, waits += state == LUN_MEMBER_WAITING;
}

static void port_beside(void *self, struct lun_member_account *account, int64_t abroad, lun_us ends) { (void)self, (void)account, (void)abroad, (void)ends; }

static void port_nonce(void *self, char out[33])
{
    (void)self;
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)upto(INT64_MAX), (unsigned long long)upto(INT64_MAX));
}

/* ---- the world ---- */

static void begin(int i)
{
    struct gateway *g = &gateways[i];
    char url[64], error[LUN_REDIS_WHY];
    const struct lun_member_ports ports = { g, port_send, port_commit, port_granted, port_refused, port_fulfilled, port_total, port_wanted, port_state, port_nonce, port_beside };
    snprintf(g->name, sizeof g->name, "g%d", i), snprintf(url, sizeof url, "redis://127.0.0.1:%d", server.port);
    g->member = lun_member_new(&(struct lun_member_options){ .id = g->name, .run = 1, .founds = i == 0 }, &ports);
    for (int a = 0; a < ACCOUNTS; a++) {
        g->account[a] = lun_member_account(g->member, keys[a], 0);
        lun_member_describe(g->account[a], limits[a], 0, LUN_NEVER, "month");
    }
    g->redis = lun_redis_new(&(struct lun_redis_options){ .reactor = reactor, .url = url, .state = on_state, .self = g }, error);
    assert_non_null(g->redis);
    g->timer.fire = on_timer;
    lun_timer_set(&reactor->loop, &g->timer, reactor->loop.now + TICK);
}

#define UNTIL(condition) do { \
        lun_us until_ = lun_clock_now() + PATIENCE; \
        while (!(condition)) { if (lun_clock_now() > until_) fail_msg("in vain for %s", #condition); event_base_loop(reactor->base, EVLOOP_ONCE); } \
    } while (0)

static bool all_open(void)
{
    for (int i = 0; i < GATEWAYS; i++) if (gateways[i].state != LUN_MEMBER_OPEN) return false;
    return true;
}

static int64_t part(int a)
{
    char field[64];
    int64_t sum = 0;
    for (int i = 0; i < GATEWAYS; i++) {
        snprintf(field, sizeof field, "g:%s:g%d", a ? "key%20app@2026-11-28" : keys[a], i);
        sum += strtoll(redis_do(&server, "HGET lunette:money %s", field), NULL, 10);
    }
    return sum;
}

static int64_t spent(int a)
{
    int64_t sum = 0;
    for (int i = 0; i < GATEWAYS; i++) sum += gateways[i].spent[a];
    return sum;
}

static void rest_all(void)
{
    for (int i = 0; i < GATEWAYS; i++) gateways[i].rests = true;
    for (int i = 0; i < GATEWAYS; i++) for (int k = 0; k < GROUPS; k++) UNTIL(gateways[i].told[k] == gateways[i].wanted[k]);
    lun_reactor_enter(reactor);
    for (int i = 0; i < GATEWAYS; i++) for (int a = 0; a < ACCOUNTS; a++) give_back(&gateways[i], a);
    lun_reactor_leave(reactor);
}

/* What a power cut may leave of the append-only file. */
static void cut_tail(void)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.1.incr.aof", server.folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, upto(st.st_size + 1)), 0);
    cuts++;
}

static void nothing_is_overspent_and_all_opens_again(void **state)
{
    const char *said = getenv("MEMBER_KILLS");
    int kills = said ? atoi(said) : 20;
    (void)state;
    for (int a = 0; a < ACCOUNTS; a++) limits[a] *= kills;
    lun_us began = lun_clock_now();
    lun_reactor_enter(reactor);
    for (int i = 0; i < GATEWAYS; i++) begin(i);
    lun_reactor_leave(reactor);
    for (int i = 0; i < kills; i++) {
        long target = granted + EACH, refusals = refused + EACH;
        UNTIL(all_open() && (granted >= target || refused >= refusals));
        if (i == kills / 2) redis_do(&server, "FLUSHALL");
        redis_kill(&server);
        if (i % 2) cut_tail();
        redis_run(&server);
        check();
    }
    UNTIL(all_open());
    rest_all();
    for (int a = 0; a < ACCOUNTS; a++) UNTIL(part(a) == spent(a));       /* nothing leaked */
    struct gateway *g = &gateways[2];
    struct lun_member_group *group = &g->groups[0];
    for (int a = 0; a < ACCOUNTS; a++) {
        if (spent(a) == limits[a]) return;
        group->accounts[a] = g->account[a], group->more[a] = limits[a] - spent(a);
    }
    long before = granted;
    group->n = ACCOUNTS;
    lun_reactor_enter(reactor);
    lun_member_want(g->member, group);
    lun_reactor_leave(reactor);
    UNTIL(granted > before);            /* what fits is not refused */
    before = granted;
    gateways[0].rests = false;
    UNTIL(granted > before);            /* what another has and does not need comes back when it is asked for */
    gateways[0].rests = true;
    check();
    print_message("3 members, %d kills of Redis, %ld of them with a lost tail, 1 FLUSHALL: %ld draws granted, %ld refused, %ld times an epoch was waited for; %ld answers, %ld errors, %ld without answer; "
                  "%.1f %% and %.1f %% of the limits spent; %.1f s\n", kills, cuts, granted, refused, waits, answers, errors, gone,
                  100.0 * (double)spent(0) / (double)limits[0], 100.0 * (double)spent(1) / (double)limits[1], (double)(lun_clock_now() - began) / 1e6);
}

static int set_up(void **state)
{
    (void)state;
    reactor = lun_reactor_new(NULL);
    script = lun_bundle_find("lua/draw.lua")->start;
    redis_start(&server, "--appendonly", "yes", NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lun_reactor_enter(reactor);
    for (int i = 0; i < GATEWAYS; i++) {
        lun_redis_free(gateways[i].redis);
        lun_timer_set(&reactor->loop, &gateways[i].timer, LUN_NEVER);
        lun_member_free(gateways[i].member);
    }
    lun_reactor_leave(reactor);
    lun_reactor_free(reactor);
    redis_end(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(nothing_is_overspent_and_all_opens_again, set_up, tear_down) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

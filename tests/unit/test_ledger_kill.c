/* Gateways that are killed, or lose their power, at any moment, also in the middle of their recovery; against books that somebody else keeps.
 * STRESS_KILLS=N: so many instead of a few, and figures are printed. */
#include "ledger_world.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

enum { SLOTS = 512, PAGES = 1 + SLOTS / 32, ACCOUNTS = 5, PERIODS = 400, TRUTHS = 1 << 20, WORKERS = 2, FLYING = 24, CHUNK = 60000, LOW = 30000, PER_PERIOD = 20,
       LIMIT_TOTAL = 6000000, LIMIT_KEY = 2500000 };

/* The provider's own books: what really was asked and what it really cost. */
struct truth { uint32_t run, period, key; uint64_t seq; int64_t hold, real; _Atomic int state; };      /* 0 no, 1 sent, 2 its end was written down */
struct world { _Atomic uint32_t n, run; _Atomic uint64_t recovered_us; uint32_t checked; struct truth truths[TRUTHS]; };
static struct world *world;

static uint64_t dice = 88172645463325252u;
static __thread uint64_t own_dice;
static uint64_t roll(uint64_t n)
{
    uint64_t *d = own_dice ? &own_dice : &dice;
    *d ^= *d << 13, *d ^= *d >> 7, *d ^= *d << 17;
    return *d % n;
}

static int64_t limit_of(int i) { return i ? LIMIT_KEY : LIMIT_TOTAL; }

/* ---- the smallest gateway that keeps the rules ---- */

static struct {
    pthread_mutex_t lock;
    struct lun_ledger *ledger;
    struct lun_journal *journal;
    uint32_t run, period, accounts[ACCOUNTS], payers[ACCOUNTS];
    int64_t others[ACCOUNTS], granted[ACCOUNTS], used[ACCOUNTS];
    uint32_t slots[SLOTS], ended[SLOTS]; int n_slots, n_ended;
    uint64_t seq;
} g = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct flight { uint32_t slot; int key; uint64_t seq; int64_t hold; struct truth *truth; };

static bool take(struct flight *f)
{
    f->key = 1 + (int)roll(ACCOUNTS - 1);
    f->hold = 1000 + (int64_t)roll(1000);
    pthread_mutex_lock(&g.lock);
    bool fits = g.n_slots && g.granted[0] - g.used[0] >= f->hold && g.granted[f->key] - g.used[f->key] >= f->hold;
    if (fits) {
        g.used[0] += f->hold, g.used[f->key] += f->hold;
        f->slot = g.slots[--g.n_slots];
        f->seq = ++g.seq;
    }
    pthread_mutex_unlock(&g.lock);
    return fits;
}

static void dispatch(struct flight *f)
{
    struct lun_dispatch d = dispatched(f->seq, g.payers[f->key], f->hold);
    lun_journal_dispatch(g.journal, f->slot, &d);
    uint32_t i = atomic_fetch_add(&world->n, 1);
    if (i >= TRUTHS) _exit(9);
    f->truth = &world->truths[i];
    *f->truth = (struct truth){ .run = g.run, .period = g.period, .key = (uint32_t)f->key, .seq = f->seq, .hold = f->hold, .real = (int64_t)roll((uint64_t)f->hold + 1) };
    if (!roll(50)) f->truth->real = f->hold + (int64_t)roll(500);      /* a provider that claims more */
    f->truth->state = 1;
}

static void end(struct flight *f)
{
    bool known = roll(10);
    int64_t cost = known ? f->truth->real : f->hold;
    struct lun_settle s = known ? settled(f->seq, cost) : orphaned(f->seq, cost);
    if (!known && f->truth->real > f->hold) f->truth->real = f->hold;
    lun_journal_settle(g.journal, f->slot, &s);
    if (known) f->truth->state = 2;
    pthread_mutex_lock(&g.lock);
    g.used[0] += cost - f->hold, g.used[f->key] += cost - f->hold;
    g.ended[g.n_ended++] = f->slot;
    pthread_mutex_unlock(&g.lock);
    f->hold = 0;
}

static void *work(void *seed)
{
    struct flight flights[FLYING] = {0};
    own_dice = (uint64_t)(uintptr_t)seed | 1;
    for (uint64_t n = 0;; n++) {
        struct flight *f = &flights[roll(FLYING)];
        if (f->hold) end(f);
        else if (take(f)) dispatch(f);
        else f->hold = 0;
        if (n % 4 == 0) nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    return NULL;
}

/* What is wanted of an account, or -1. What was charged above its hold is granted whatever the limit says. */
static int64_t want(int i)
{
    int64_t most = limit_of(i) - g.others[i], more = g.granted[i] + CHUNK;
    if (g.used[i] > g.granted[i]) return g.used[i];
    if (g.granted[i] - g.used[i] >= LOW || g.granted[i] >= most) return -1;
    return more < most ? more : most;
}

static void keep_books(void)
{
    uint32_t slots[SLOTS];
    int64_t wants[ACCOUNTS];
    struct lun_dispatch d;
    struct lun_settle s;
    pthread_mutex_lock(&g.lock);
    int n = g.n_ended;
    memcpy(slots, g.ended, (size_t)n * sizeof *slots);
    g.n_ended = 0;
    for (int i = 0; i < ACCOUNTS; i++) wants[i] = want(i);
    pthread_mutex_unlock(&g.lock);
    if (lun_ledger_begin(g.ledger)) _exit(8);
    for (int i = 0; i < n; i++) {
        if (lun_journal_read(g.journal, slots[i], &d, &s) != LUN_JOURNAL_SETTLED) _exit(7);
        lun_ledger_row(g.ledger, &d, &s);
    }
    for (int i = 0; i < ACCOUNTS; i++) if (wants[i] >= 0) lun_ledger_grant(g.ledger, g.accounts[i], wants[i]);
    if (lun_ledger_commit(g.ledger)) _exit(6);
    pthread_mutex_lock(&g.lock);
    for (int i = 0; i < n; i++) g.slots[g.n_slots++] = slots[i];
    for (int i = 0; i < ACCOUNTS; i++) if (wants[i] >= 0) g.granted[i] = wants[i];
    pthread_mutex_unlock(&g.lock);
}

static struct lun_ledger *open_and_recover(const char *boot)
{
    char *error;
    struct lun_ledger *l = lun_ledger_open(file, LUN_LEDGER_FOUND, &error);
    struct lun_recovery r = {0};
    if (!l) { fprintf(stderr, "%s\n", error); _exit(5); }
    lun_us begun = lun_clock_now();
    if (!lun_ledger_recover(l, folder, boot, NOW, &r) || r.wrong) { fprintf(stderr, "recovery: %s\n", lun_ledger_error(l)); _exit(4); }
    world->recovered_us = (uint64_t)(lun_clock_now() - begun);
    return l;
}

static void open_accounts(uint32_t period)
{
    char label[12], name[12];
    snprintf(label, sizeof label, "%u", period);
    begin(g.ledger);
    for (int i = 0; i < ACCOUNTS; i++) {
        snprintf(name, sizeof name, "key %d", i);
        g.accounts[i] = lun_ledger_account(g.ledger, &(struct lun_ledger_account){ .budget = i ? name : "total", .period = label, .ends = LUN_NEVER, .limit = limit_of(i) });
        g.others[i] = look(g.ledger, g.accounts[i]).others;
    }
    for (int i = 1; i < ACCOUNTS; i++) g.payers[i] = lun_ledger_payers(g.ledger, (uint32_t[]){ g.accounts[0], g.accounts[i] }, 2);
    commit(g.ledger);
}

static void gateway(uint32_t period, const char *boot)
{
    g.ledger = open_and_recover(boot);
    if (!lun_ledger_begin_run(g.ledger, folder, boot, SLOTS, NOW, &g.journal)) _exit(3);
    g.run = lun_ledger_run(g.ledger);
    g.period = period;
    open_accounts(period);
    for (int i = 0; i < SLOTS; i++) g.slots[g.n_slots++] = (uint32_t)i;
    world->run = g.run;
    for (int i = 0; i < WORKERS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work, (void *)(uintptr_t)(roll(1ull << 40) + 1));
    }
    for (;;) {
        keep_books();
        nanosleep(&(struct timespec){ .tv_nsec = (long)roll(2000000) }, NULL);
    }
}

/* ---- what the books say against the truth ---- */

static int64_t query(sqlite3_stmt *s, int64_t a, int64_t b, int64_t otherwise)
{
    sqlite3_bind_int64(s, 1, a), sqlite3_bind_int64(s, 2, b);
    int64_t got = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : otherwise;
    sqlite3_reset(s);
    return got;
}

/* Without a power cut since the last look: every attempt has its row, at its cost if its end was written down, else at its hold. */
static int check_rows(sqlite3 *db)
{
    sqlite3_stmt *s;
    int bad = 0;
    sqlite3_prepare_v2(db, "SELECT cost FROM attempt WHERE run=? AND seq=?", -1, &s, NULL);
    for (uint32_t i = world->checked; i < world->n; i++) {
        const struct truth *t = &world->truths[i];
        if (!t->state) continue;
        int64_t cost = query(s, t->run, (int64_t)t->seq, -1);
        if (cost >= 0 && (t->state == 1 ? cost == t->real || cost == t->hold : cost == t->real)) continue;
        fprintf(stderr, "run %u attempt %llu: state %d, real %lld, hold %lld, row %lld\n", t->run, (unsigned long long)t->seq, t->state, (long long)t->real, (long long)t->hold, (long long)cost);
        bad++;
    }
    sqlite3_finalize(s);
    return bad;
}

/* Never less than the truth; never above the limit but for what providers claimed above their holds. */
static int check_accounts(sqlite3 *db, struct lun_ledger *l, uint32_t period)
{
    sqlite3_stmt *s;
    int64_t real[ACCOUNTS] = {0}, excess[ACCOUNTS] = {0};
    int bad = 0;
    for (uint32_t i = 0; i < world->n; i++) {
        const struct truth *t = &world->truths[i];
        if (t->period != period || !t->state) continue;
        int64_t over = t->real > t->hold ? t->real - t->hold : 0, spent = t->state == 2 || t->real <= t->hold ? t->real : t->hold;
        real[0] += spent, real[t->key] += spent, excess[0] += over, excess[t->key] += over;
    }
    sqlite3_prepare_v2(db, "SELECT id FROM account WHERE budget=CASE ?1 WHEN 0 THEN 'total' ELSE 'key '||?1 END AND period=CAST(?2 AS TEXT)", -1, &s, NULL);
    for (int i = 0; i < ACCOUNTS; i++) {
        int64_t id = query(s, i, period, 0);
        if (!id) continue;
        struct lun_ledger_figures f = look(l, (uint32_t)id);
        if (f.charged >= real[i] && f.taken == f.charged && f.taken <= limit_of(i) + 2 * excess[i]) continue;
        fprintf(stderr, "account %d: real %lld, charged %lld, taken %lld, excess %lld\n", i, (long long)real[i], (long long)f.charged, (long long)f.taken, (long long)excess[i]);
        bad++;
    }
    sqlite3_finalize(s);
    return bad;
}

static void inspect(uint32_t period, const char *boot, bool cut)
{
    sqlite3 *db;
    struct lun_ledger *l = open_and_recover(boot);
    sqlite3_open(file, &db);
    int bad = check_accounts(db, l, period) + (cut ? 0 : check_rows(db));
    world->checked = world->n;
    _exit(bad ? 1 : 0);
}

/* ---- who pulls the plug ---- */

struct pages { unsigned char *map; unsigned char images[PAGES][4096]; };

static void map_journal(struct pages *p, uint32_t run)
{
    char *path = lun_printf("%s/journal.%u", folder, run);
    int fd = open(path, O_RDWR);
    p->map = fd >= 0 ? mmap(NULL, sizeof p->images, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (p->map == MAP_FAILED) p->map = NULL;
    memset(p->images, 0, sizeof p->images);
    if (p->map) memcpy(p->images[0], p->map, 4096);
    if (fd >= 0) close(fd);
    free(path);
}

/* Pages of the journal as they were at some time or other: what the disk has when the power goes. */
static void watch(struct pages *p, int64_t us)
{
    for (lun_us until = lun_clock_now() + us; lun_clock_now() < until; nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL)) {
        if (!p->map && world->run) map_journal(p, world->run);
        if (p->map) {
            size_t page = 1 + roll(PAGES - 1);
            memcpy(p->images[page], p->map + page * 4096, 4096);
        }
    }
}

static int lose_power(struct pages *p)
{
    int older = 0;
    for (size_t i = 1; p->map && i < PAGES; i++) {
        older += memcmp(p->images[i], p->map + i * 4096, 4096) != 0;
        memcpy(p->map + i * 4096, p->images[i], 4096);
    }
    return older;
}

static void end_of(pid_t pid, const char *what)
{
    int status;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status)) fail_msg("%s ended with %d", what, WEXITSTATUS(status));
}

static void kill_after(pid_t pid, int64_t us, const char *what)
{
    struct pages unwatched = {0};
    watch(&unwatched, us);
    if (unwatched.map) munmap(unwatched.map, sizeof unwatched.images);
    kill(pid, SIGKILL);
    end_of(pid, what);
}

static void no_kill_and_no_power_cut_loses_an_attempt_or_passes_a_limit(void **state)
{
    (void)state;
    const char *wanted = getenv("STRESS_KILLS");
    int kills = wanted ? atoi(wanted) : 24, cuts = 0, boots = 1, older = 0, midway = 0;
    uint64_t slowest = 0;
    char boot[40] = "boot-1";
    static struct pages pages;
    world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(world != MAP_FAILED);
    if (getenv("STRESS_SEED")) dice = strtoull(getenv("STRESS_SEED"), NULL, 10) * 7919 + 1;
    for (int i = 0; i < kills && world->n < TRUTHS / 10 * 9; i++) {
        uint32_t period = (uint32_t)i / PER_PERIOD;
        world->run = 0;
        pages.map = NULL;
        pid_t pid = fork();
        if (!pid) dice += (uint64_t)i * 1234567, gateway(period, boot);
        watch(&pages, (int64_t)roll(roll(4) ? 50000 : 8000));
        kill(pid, SIGKILL);
        end_of(pid, "the gateway");
        bool cut = roll(100) < 40;
        if (cut) {
            cuts++;
            snprintf(boot, sizeof boot, "boot-%d", ++boots);
            older += lose_power(&pages);
        }
        if (pages.map) munmap(pages.map, sizeof pages.images);
        while (roll(3) == 0) {                                  /* the recovery dies too */
            midway++;
            if (!(pid = fork())) open_and_recover(boot), _exit(0);
            kill_after(pid, (int64_t)roll(8000), "the recovery");
        }
        if (!(pid = fork())) inspect(period, boot, cut);
        end_of(pid, cut ? "what is found after a power cut" : "what is found after a kill");
        if (world->recovered_us > slowest) slowest = world->recovered_us;
    }
    assert_true(world->n > 100);
    assert_int_equal(by_hand("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"), 1);
    if (wanted)
        print_message("%d kills, %d of them as power cuts with %d older pages, %d recoveries killed; %u attempts really sent; rows %lld, rests %lld; slowest recovery %.1f ms; "
                      "nothing lost, nothing above a limit\n", kills, cuts, older, midway, world->n, (long long)by_hand("SELECT count(*) FROM attempt"),
                      (long long)by_hand("SELECT count(*) FROM rest"), (double)slowest / 1e3);
    munmap(world, sizeof *world);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(no_kill_and_no_power_cut_loses_an_attempt_or_passes_a_limit, world_set_up, world_tear_down) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

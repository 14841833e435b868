/* The recovery of a run that has died, over a journal in which anything may stand: what its rows come to is charged, to the nano-dollar; after a power cut
 * nothing less than what was granted; done twice it is done once. */
#include "fuzz.h"
#include "base/file.h"
#include "state/ledger.h"
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

enum { SLOTS = 6, FILES = 8, SLOT = 2 * LUN_JOURNAL_LINE, PAGE = 4096 };
#define NOW     ((lun_us)1795867200 * LUN_SECOND)       /* 2026-11-28T12:00:00Z */
#define GRANTED ((int64_t)1000000)
#define MOST    ((int64_t)1000000 * 1000000000)         /* what an attempt is believed to cost at most */
#define MANY    (4 << 20)

/* ---- a ledger as a run left it, to begin each time from ---- */

static struct { char folder[64], file[96], journal[96]; struct { char *path, *bytes; size_t n; } left[FILES]; int n; uint32_t limited, open, payers[2]; } world;

static void for_each_file(void (*each)(const char *path))
{
    DIR *d = opendir(world.folder);
    for (struct dirent *e; d && (e = readdir(d)); ) {
        char *path = lun_printf("%s/%s", world.folder, e->d_name);
        if (*e->d_name != '.') each(path);
        free(path);
    }
    if (d) closedir(d);
}

static void remove_file(const char *path) { unlink(path); }

static void keep_file(const char *path)
{
    const char *why;
    PROMISE(world.n < FILES);
    world.left[world.n].path = lun_strdup(path);
    PROMISE((world.left[world.n].bytes = lun_file_slurp_most(path, MANY, &world.left[world.n].n, &why)));
    world.n++;
}

static void close_world(void)
{
    for_each_file(remove_file);
    rmdir(world.folder);
    while (world.n--) free(world.left[world.n].path), free(world.left[world.n].bytes);
}

static struct lun_ledger *open_ledger(enum lun_ledger_mode mode)
{
    char *error = NULL;
    struct lun_ledger *l = lun_ledger_open(world.file, mode, &error);
    if (!l) fuzz_broken(__FILE__, __LINE__, error);
    return l;
}

static uint32_t add_account(struct lun_ledger *l, const char *budget, int64_t limit)
{
    return lun_ledger_account(l, &(struct lun_ledger_account){ .budget = budget, .period = "2026-11-28", .starts = NOW - LUN_SECOND, .ends = NOW + LUN_SECOND, .limit = limit });
}

static void begin_run(struct lun_ledger *l)
{
    struct lun_journal *j;
    PROMISE(lun_ledger_begin(l) == LUN_LEDGER_OK);
    world.limited = add_account(l, "key app", 5 * GRANTED), world.open = add_account(l, "total", -1);
    world.payers[0] = lun_ledger_payers(l, &world.limited, 1);
    world.payers[1] = lun_ledger_payers(l, (uint32_t[]){ world.limited, world.open }, 2);
    PROMISE(lun_ledger_name(l, "somebody") && lun_ledger_commit(l) == LUN_LEDGER_OK);
    PROMISE(lun_ledger_begin_run(l, world.folder, "boot", SLOTS, NOW, &j) && lun_ledger_begin(l) == LUN_LEDGER_OK);
    lun_ledger_grant(l, world.limited, GRANTED), lun_ledger_grant(l, world.open, -1);
    PROMISE(lun_ledger_commit(l) == LUN_LEDGER_OK);
    snprintf(world.journal, sizeof world.journal, "%s/journal.%u", world.folder, lun_ledger_run(l));
    lun_journal_close(j);
}

static void open_world(void)
{
    strcpy(world.folder, access("/dev/shm", W_OK) ? "/tmp/lunette-fuzz-XXXXXX" : "/dev/shm/lunette-fuzz-XXXXXX");
    PROMISE(mkdtemp(world.folder));
    snprintf(world.file, sizeof world.file, "%s/lunette.db", world.folder);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    begin_run(l);
    lun_ledger_close(l);
    for_each_file(keep_file);
    atexit(close_world);
}

/* ---- a journal ---- */

struct journal { unsigned char slots[SLOTS * SLOT]; bool cut; };

static void take_slot(struct input *in, unsigned char lines[SLOT])
{
    unsigned how = take(in), payers = take(in) % 3;
    struct lun_dispatch d = { .seq = 1 + take(in) % 8, .at = NOW, .hold = (int64_t)take(in) << take(in) % 56, .payers = payers ? world.payers[payers - 1] : 0, .target = take(in) % 3 };
    struct lun_settle s = { .seq = d.seq + (how >> 6 == 1), .cost = (int64_t)take(in) << take(in) % 56, .kind = (uint8_t)take(in), .state = 1 + how / 2 % 2, .flags = (uint16_t)take(in) };
    if (how & 4) lun_journal_line_dispatch(1, &d, lines);
    if (how & 8) lun_journal_line_settle(1, &s, lines + LUN_JOURNAL_LINE);
    if (how & 1) lines[take(in) % SLOT] ^= 1;               /* torn */
}

/* At the end what steers, before it bytes as they are; those that no writer wrote count for nothing. */
static struct journal take_journal(struct input *in)
{
    struct journal j = { .cut = take(in) & 1 };
    unsigned whole = take(in) % (SLOTS + 1);
    for (unsigned i = 0; i < whole; i++) take_slot(in, j.slots + i * SLOT);
    size_t room = (SLOTS - whole) * SLOT;
    memcpy(j.slots + whole * SLOT, in->at, in->n < room ? in->n : room);
    return j;
}

static void lay_out(const struct journal *j)
{
    const char *why;
    for_each_file(remove_file);
    for (int i = 0; i < world.n; i++) {
        bool journal = !strcmp(world.left[i].path, world.journal);
        if (journal) memcpy(world.left[i].bytes + PAGE, j->slots, sizeof j->slots);
        PROMISE(lun_file_put(world.left[i].path, world.left[i].bytes, world.left[i].n, &why));
    }
}

/* ---- what it comes to ---- */

struct expected { uint64_t rows, torn; int64_t limited, open, excess, orphans; };

static int64_t believed(int64_t nano) { return nano > MOST ? MOST : nano; }

static void add_row(struct expected *e, const struct lun_dispatch *d, const struct lun_settle *s)
{
    int64_t hold = believed(d->hold), cost = s ? believed(s->cost) : hold;
    e->rows++;
    if (!d->payers) return;
    e->limited += cost;
    e->excess += cost > hold ? cost - hold : 0;
    if (!s || s->state == LUN_ATTEMPT_ORPHANED) e->orphans += cost < hold ? cost : hold;
    if (d->payers == world.payers[1]) e->open += cost;
}

/* False: somebody must pay of whom the ledger knows nothing, which stops the recovery. */
static bool expect(const struct journal *j, struct expected *e)
{
    uint64_t seen[SLOTS] = {0};
    for (int i = 0; i < SLOTS; i++) {
        struct lun_dispatch d;
        struct lun_settle s;
        enum lun_journal_found found = lun_journal_line_read(1, j->slots + i * SLOT, &d, &s);
        e->torn += found == LUN_JOURNAL_TORN;
        if (found < LUN_JOURNAL_DISPATCHED) continue;
        if (d.payers && d.payers != world.payers[0] && d.payers != world.payers[1]) return false;
        bool known = false;
        for (int k = 0; k < i; k++) known |= seen[k] == d.seq;
        seen[i] = d.seq;
        if (!known) add_row(e, &d, found == LUN_JOURNAL_SETTLED ? &s : NULL);
    }
    return true;
}

static void promise_charged(struct lun_ledger *l, const struct expected *e, bool cut)
{
    struct lun_ledger_figures limited, open;
    int64_t granted = GRANTED + e->excess, least = e->limited - e->orphans;
    PROMISE(lun_ledger_look(l, world.limited, &limited) && lun_ledger_look(l, world.open, &open));
    PROMISE(open.taken == e->open);
    PROMISE(limited.taken == (!cut ? e->limited : least > granted ? least : granted));
}

void fuzz_recover(struct input in)
{
    struct expected e = {0};
    struct lun_recovery report = {0}, again = {0};
    if (!world.n) open_world();
    struct journal j = take_journal(&in);
    bool known = expect(&j, &e);
    lay_out(&j);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_WRITE);
    bool done = lun_ledger_recover(l, world.folder, j.cut ? "another boot" : "boot", NOW, &report);
    PROMISE(done == known && (done || *lun_ledger_error(l)));
    if (done) {
        PROMISE(report.runs == 1 && report.cuts == j.cut && report.rows == e.rows && report.torn == e.torn && access(world.journal, F_OK));
        promise_charged(l, &e, j.cut);
        PROMISE(lun_ledger_recover(l, world.folder, "boot", NOW, &again) && !again.runs && !again.rows);
        promise_charged(l, &e, j.cut);
    }
    lun_ledger_close(l);
}

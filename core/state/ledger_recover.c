#include "state/ledger_inner.h"
#include "base/alloc.h"
#include "base/saturating.h"
#include <stdlib.h>
#include <string.h>

struct part { uint32_t account; int64_t granted, charged; bool limited; };

struct closing {                    /* of one run */
    struct lun_ledger *ledger;
    uint32_t run;
    lun_us wall;
    bool cut;
    const char *state;
    struct lun_recovery report;     /* of this run alone: added up once it is committed */
};

/* ---- rows ---- */

static bool add_slot(struct closing *c, const struct lun_journal *j, uint32_t slot)
{
    struct lun_dispatch d;
    struct lun_settle s;
    enum lun_journal_found found = lun_journal_read(j, slot, &d, &s);
    if (found == LUN_JOURNAL_NONE) return true;
    if (found == LUN_JOURNAL_TORN) return c->report.torn++, true;
    int added = lun_ledger_add_row(c->ledger, c->run, &d, found == LUN_JOURNAL_SETTLED ? &s : NULL);
    if (added < 0) return false;
    bool orphaned = found == LUN_JOURNAL_DISPATCHED || s.state == LUN_ATTEMPT_ORPHANED;
    if (!added) c->report.known++;
    else if (orphaned) c->report.orphaned++;
    else c->report.settled++;
    c->report.rows += (uint64_t)added;
    return true;
}

static bool add_rows(struct closing *c, const struct lun_journal *j)
{
    for (uint32_t i = 0; j && i < lun_journal_slots(j); i++) if (!add_slot(c, j, i)) return false;
    return lun_ledger_flush(c->ledger, c->run, true);      /* who wrote them had no time for it */
}

/* ---- parts ---- */

static bool read_parts(struct closing *c, struct part **parts, int *n)
{
    const enum lun_sql all = LUN_SQL_PART_OF_RUN;
    int rc = lun_sql(c->ledger, all, "u", c->run), room = 0;
    for (; rc == SQLITE_ROW; rc = lun_sql_next(c->ledger, all)) {
        if (*n == room) *parts = lun_realloc(*parts, (size_t)(room = room ? 2 * room : 64) * sizeof **parts);
        (*parts)[(*n)++] = (struct part){ (uint32_t)lun_sql_int(c->ledger, all, 0), lun_sql_int(c->ledger, all, 1), lun_sql_int(c->ledger, all, 2),
                                          !lun_sql_null(c->ledger, all, 3) };
    }
    return rc;
}

static void wrong(struct closing *c, const struct part *p, int64_t over)
{
    if (!p->limited) return;
    c->report.wrong++;
    lun_ledger_complain(c->ledger, "run %u charged account %u by %lld nano-USD more than was granted to it", c->run, p->account, (long long)over);
}

/* After the end of a process: what was not spent is free. */
static bool free_rest(struct closing *c, const struct part *p)
{
    if (p->charged > p->granted) wrong(c, p, p->charged - p->granted);
    return lun_sql(c->ledger, LUN_SQL_PART_CLOSE, "uuii", p->account, c->run, p->charged, (int64_t)0);
}

/* After a power cut: what the rows do not explain stays charged. They may explain too much (one line of two that shared the same money was lost); then
 * the orphans, which are bounds, are counted down. */
static bool keep_rest(struct closing *c, const struct part *p)
{
    int64_t rest = p->granted - p->charged, orphans = 0;
    if (rest < 0) {
        if (!lun_sql_number(c->ledger, LUN_SQL_ORPHANS, 0, &orphans, "uu", p->account, c->run)) return false;
        if (rest < -orphans) wrong(c, p, -orphans - rest), rest = -orphans;
        c->report.capped += rest < 0;
    } else if (rest > 0) {
        c->report.rests++;
        c->report.rest = lun_saturating_add(c->report.rest, rest);
    }
    return !rest || (lun_sql(c->ledger, LUN_SQL_REST_ADD, "uuii", p->account, c->run, c->wall, rest) &&
                     lun_sql(c->ledger, LUN_SQL_PART_CLOSE, "uuii", p->account, c->run, p->granted, rest));
}

static bool close_parts(struct closing *c)
{
    struct part *parts = NULL;
    int n = 0;
    bool good = read_parts(c, &parts, &n);
    for (int i = 0; good && i < n; i++) good = c->cut ? keep_rest(c, &parts[i]) : free_rest(c, &parts[i]);
    free(parts);
    return good;
}

/* In an open transaction, which it ends. */
static bool close_run(struct closing *c, const struct lun_journal *j)
{
    bool good = add_rows(c, j) && close_parts(c) && lun_sql(c->ledger, LUN_SQL_RUN_END, "uit", c->run, c->wall, c->state);
    if (good) return lun_ledger_commit(c->ledger) == LUN_LEDGER_OK;
    lun_ledger_rollback(c->ledger);
    return false;
}

/* ---- one's own ---- */

/* Not one that another ledger has a journal of in this folder. */
static bool next_run(struct lun_ledger *l, const char *folder, lun_us wall, uint32_t *run)
{
    int64_t next;
    if (lun_ledger_begin(l) != LUN_LEDGER_OK) return false;
    bool good = lun_sql_number(l, LUN_SQL_RUN_NEXT, 1, &next, "");
    while (good && next < UINT32_MAX && lun_journal_there(folder, (uint32_t)next)) next++;
    if (!good || next > UINT32_MAX || !lun_sql(l, LUN_SQL_RUN_ADD, "ui", (uint32_t)next, wall)) {
        lun_ledger_rollback(l);
        return false;
    }
    *run = (uint32_t)next;
    return lun_ledger_commit(l) == LUN_LEDGER_OK;
}

/* Under the lock from the number to the journal: an open run without a journal would be taken for one that lost it. */
bool lun_ledger_begin_run(struct lun_ledger *l, const char *folder, const char *boot_id, uint32_t slots, lun_us wall, struct lun_journal **out)
{
    char *error = NULL;
    uint32_t run = 0;
    *out = NULL;
    if (!lun_ledger_lock(l)) return false;
    if (next_run(l, folder, wall, &run) && lun_ledger_mark_write(l, run)) {
        *out = lun_journal_create(folder, run, l->gateway, boot_id, slots, &error);
        if (*out) l->run = run;
        else lun_ledger_complain(l, "%s", error);
    }
    lun_ledger_unlock(l);
    free(error);
    return *out;
}

bool lun_ledger_end_run(struct lun_ledger *l, struct lun_journal *j, lun_us wall)
{
    struct closing c = { .ledger = l, .run = l->run, .wall = wall, .state = "ended" };
    bool good = lun_ledger_begin(l) == LUN_LEDGER_OK && close_run(&c, j);
    if (good) lun_journal_unlink(j);
    else lun_journal_close(j);
    if (good) l->run = 0;
    return good;
}

/* ---- the dead ---- */

struct runs { uint32_t *at; int n, room; };

static void add_run(void *self, uint32_t run)
{
    struct runs *r = self;
    if (r->n == r->room) r->at = lun_realloc(r->at, (size_t)(r->room = r->room ? 2 * r->room : 16) * sizeof *r->at);
    r->at[r->n++] = run;
}

static bool is_open(struct lun_ledger *l, uint32_t run, bool *known, bool *distrusted)
{
    int rc = lun_sql(l, LUN_SQL_RUN_STATE, "u", run);
    *known = rc == SQLITE_ROW;
    if (!*known) return false;
    bool open = !strcmp(lun_sql_text(l, LUN_SQL_RUN_STATE, 0), "open");
    *distrusted = lun_sql_int(l, LUN_SQL_RUN_STATE, 1);
    lun_sql_end(l, LUN_SQL_RUN_STATE);
    return open;
}

/* The machine forgets a failed fsync once it was told; the next recovery must not. */
static bool remember_distrust(struct lun_ledger *l, uint32_t run)
{
    if (lun_ledger_begin(l) != LUN_LEDGER_OK) return false;
    lun_sql(l, LUN_SQL_RUN_DISTRUST, "u", run);
    return lun_ledger_commit(l) == LUN_LEDGER_OK;
}

static void add_up(struct lun_recovery *to, const struct lun_recovery *r)
{
    to->rows += r->rows, to->settled += r->settled, to->orphaned += r->orphaned, to->known += r->known, to->torn += r->torn;
    to->rests += r->rests, to->capped += r->capped, to->wrong += r->wrong;
    to->rest = lun_saturating_add(to->rest, r->rest);
}

static bool recover_run(struct lun_ledger *l, const char *folder, uint32_t run, const char *boot_id, lun_us wall, struct lun_recovery *report)
{
    struct closing c = { .ledger = l, .run = run, .wall = wall };
    struct lun_journal *j;
    bool known, distrusted = false, good = true;
    enum lun_journal_dead is = lun_journal_open_dead(folder, run, l->gateway, &j);
    if (is == LUN_JOURNAL_ALIVE) return report->alive++, true;
    bool complete = j && lun_journal_complete(j, boot_id);
    if (j && !complete) good = remember_distrust(l, run);
    if (good) good = lun_ledger_begin(l) == LUN_LEDGER_OK;
    if (good && is == LUN_JOURNAL_ABSENT) is = lun_journal_open_dead(folder, run, l->gateway, &j), complete = j && lun_journal_complete(j, boot_id);
    if (good && (is == LUN_JOURNAL_ALIVE || !is_open(l, run, &known, &distrusted))) {      /* it has just begun, or another process was faster */
        report->alive += is == LUN_JOURNAL_ALIVE;
        lun_ledger_rollback(l);
        good = l->trouble == LUN_LEDGER_OK;
    } else if (good) {
        c.cut = !complete || distrusted;
        c.state = c.cut ? "cut" : "killed";
        good = close_run(&c, j);
        if (good) report->runs++, report->cuts += c.cut, add_up(report, &c.report);
    }
    if (good) lun_journal_unlink(j);
    else lun_journal_close(j);
    return good;
}

static bool blank(const struct lun_journal *j)
{
    struct lun_dispatch d;
    struct lun_settle s;
    for (uint32_t i = 0; i < lun_journal_slots(j); i++) if (lun_journal_read(j, i, &d, &s) != LUN_JOURNAL_NONE) return false;
    return true;
}

/* A journal whose run is closed is what was left between commit and removal. One whose run the ledger does not know says that the ledger is old. */
static bool leftover(struct lun_ledger *l, const char *folder, uint32_t run)
{
    struct lun_journal *j;
    bool known, distrusted;
    if (is_open(l, run, &known, &distrusted)) return true;
    if (l->failed) return false;
    if (lun_journal_open_dead(folder, run, l->gateway, &j) != LUN_JOURNAL_DEAD) return true;
    if (known || blank(j)) {
        lun_journal_unlink(j);
        return true;
    }
    lun_journal_close(j);
    lun_ledger_fail(l, "does not know run %u, whose journal is in %s: it is an older copy, or another gateway's. Put back the newest; "
                       "if nothing of that run counts any more, remove %s/journal.%u", run, folder, folder, run);
    return false;
}

static bool list_runs(struct lun_ledger *l, const char *folder, struct runs *journals, struct runs *open)
{
    if (!lun_ledger_lock(l)) return false;
    bool good = lun_journal_each(folder, add_run, journals);
    if (!good) lun_ledger_complain(l, "the folder %s cannot be read", folder);
    lun_ledger_unlock(l);
    int rc = good ? lun_sql(l, LUN_SQL_RUN_OPEN, "") : 0;
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, LUN_SQL_RUN_OPEN)) add_run(open, (uint32_t)lun_sql_int(l, LUN_SQL_RUN_OPEN, 0));
    return rc;
}

bool lun_ledger_recover(struct lun_ledger *l, const char *folder, const char *boot_id, lun_us wall, struct lun_recovery *report)
{
    struct lun_recovery unwanted = {0};
    struct runs journals = {0}, open = {0};
    if (!report) report = &unwanted;
    bool good = !l->failed && list_runs(l, folder, &journals, &open);
    for (int i = 0; good && i < journals.n; i++) if (journals.at[i] != l->run) good = leftover(l, folder, journals.at[i]);
    for (int i = 0; good && i < open.n; i++) if (open.at[i] != l->run) good = recover_run(l, folder, open.at[i], boot_id, wall, report);
    free(journals.at), free(open.at);
    return good;
}

#include "state/ledger_inner.h"
#include "base/alloc.h"
#include "base/saturating.h"
#include "state/outcome.h"
#include <stdlib.h>
#include <string.h>

#define COST_MOST (1000000 * (int64_t)1000000000)   /* a million USD an attempt: what claims to be dearer is no price */

/* ---- the rows that wait, as a table that SQLite reads: one statement adds them all ---- */

struct cursor { sqlite3_vtab_cursor base; int at; };

static int connect(sqlite3 *db, void *ledger, int argc, const char *const *argv, sqlite3_vtab **table, char **error)
{
    (void)argc, (void)argv, (void)error;
    *table = &((struct lun_ledger *)ledger)->table;
    return sqlite3_declare_vtab(db, "CREATE TABLE lunette_waiting(id" LUN_COMMA_NAMES ")");
}

static int disconnect(sqlite3_vtab *table) { return (void)table, SQLITE_OK; }
static int plan(sqlite3_vtab *table, sqlite3_index_info *how) { return (void)table, (void)how, SQLITE_OK; }

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
    struct cursor *c = lun_zalloc(sizeof *c);
    (void)table;
    *out = &c->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *c) { return free(c), SQLITE_OK; }

static struct lun_ledger *ledger_of(const sqlite3_vtab_cursor *c)
{
    return (struct lun_ledger *)(void *)((char *)c->pVtab - offsetof(struct lun_ledger, table));
}

static int first(sqlite3_vtab_cursor *c, int plan, const char *text, int argc, sqlite3_value **argv)
{
    (void)plan, (void)text, (void)argc, (void)argv;
    ((struct cursor *)c)->at = 0;
    return SQLITE_OK;
}

static int next(sqlite3_vtab_cursor *c) { return ((struct cursor *)c)->at++, SQLITE_OK; }
static int over(sqlite3_vtab_cursor *c) { return ((struct cursor *)c)->at >= ledger_of(c)->n_waiting; }
static int number(sqlite3_vtab_cursor *c, sqlite3_int64 *out) { return *out = ((struct cursor *)c)->at, SQLITE_OK; }

static int column(sqlite3_vtab_cursor *c, sqlite3_context *out, int i)
{
    const struct lun_ledger *l = ledger_of(c);
    const struct lun_waiting *w = &l->waiting[l->order[((struct cursor *)c)->at]];
    if (i == LUN_COLUMN_request) sqlite3_result_blob(out, w->request, sizeof w->request, SQLITE_STATIC);
    else if (i == LUN_COLUMN_kind && w->kind) sqlite3_result_text(out, w->kind, -1, SQLITE_STATIC);
    else if (i == LUN_COLUMN_state) sqlite3_result_text(out, w->state, -1, SQLITE_STATIC);
    else if (i != LUN_COLUMN_kind) sqlite3_result_int64(out, w->columns[i]);
    return SQLITE_OK;
}

bool lun_ledger_rows_open(struct lun_ledger *l)
{
    static const sqlite3_module module = { .xConnect = connect, .xBestIndex = plan, .xDisconnect = disconnect, .xOpen = open_cursor, .xClose = close_cursor,
                                           .xFilter = first, .xNext = next, .xEof = over, .xColumn = column, .xRowid = number };
    int rc = sqlite3_create_module(l->db, "lunette_waiting", &module, l);
    if (rc != SQLITE_OK) lun_ledger_note(l, rc, "opening");
    l->waiting = lun_alloc(LUN_LEDGER_WAITING * sizeof *l->waiting);
    return rc == SQLITE_OK;
}

/* ---- what rows come to ---- */

static struct lun_sum *slot_of(struct lun_sum *table, uint32_t room, uint32_t account)
{
    uint32_t i = account * 2654435761u & (room - 1);
    while (table[i].account && table[i].account != account) i = (i + 1) & (room - 1);
    return &table[i];
}

static struct lun_sum *sum_of(struct lun_ledger *l, uint32_t account)
{
    if (2 * (l->n_sums + 1) > l->room_sums) {
        uint32_t room = l->room_sums ? 2 * l->room_sums : 64;
        struct lun_sum *table = lun_zalloc(room * sizeof *table);
        for (uint32_t i = 0; i < l->room_sums; i++) if (l->sums[i].account) *slot_of(table, room, l->sums[i].account) = l->sums[i];
        free(l->sums);
        l->sums = table;
        l->room_sums = room;
    }
    struct lun_sum *s = slot_of(l->sums, l->room_sums, account);
    if (!s->account) s->account = account, l->n_sums++;
    return s;
}

static bool count(struct lun_ledger *l, uint32_t payers, int64_t hold, int64_t cost)
{
    const struct lun_payer_set *p = payers ? lun_ledger_payer_set(l, payers) : NULL;
    for (int i = 0; p && i < p->n; i++) {
        struct lun_sum *sum = sum_of(l, p->accounts[i]);
        sum->charged = lun_saturating_add(sum->charged, cost);
        sum->excess = lun_saturating_add(sum->excess, cost > hold ? cost - hold : 0);
    }
    return p || !payers;
}

/* Those of the rows that were not there already: ids have no gaps, so they are what comes behind `id`. */
static bool count_from(struct lun_ledger *l, int64_t id)
{
    const enum lun_sql from = LUN_SQL_ROWS_FROM;
    int rc = lun_sql(l, from, "i", id);
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, from))
        if (!count(l, (uint32_t)lun_sql_int(l, from, 0), lun_sql_int(l, from, 1), lun_sql_int(l, from, 2))) return lun_sql_end(l, from), false;
    return rc;
}

/* How many of those that wait were added, and counted; -1: failed. */
static int add_waiting(struct lun_ledger *l)
{
    int n = l->n_waiting;
    if (!n) return 0;
    if (!lun_sql(l, LUN_SQL_ROWS_ADD, "")) return -1;
    int added = sqlite3_changes(l->db);
    l->n_waiting = 0;
    if (added < n) return !added || count_from(l, sqlite3_last_insert_rowid(l->db) - added) ? added : -1;
    for (int i = 0; i < n; i++) {
        const int64_t *c = l->waiting[i].columns;
        if (!count(l, (uint32_t)c[LUN_COLUMN_payers], c[LUN_COLUMN_hold], c[LUN_COLUMN_cost])) return -1;
    }
    return added;
}

void lun_ledger_forget_rows(struct lun_ledger *l)
{
    if (l->sums) memset(l->sums, 0, l->room_sums * sizeof *l->sums);
    l->n_sums = 0;
    l->n_waiting = 0;
}

bool lun_ledger_flush(struct lun_ledger *l, uint32_t run, bool raise)
{
    if (add_waiting(l) < 0) return false;
    for (uint32_t i = 0; l->n_sums && i < l->room_sums; i++) {
        const struct lun_sum *s = &l->sums[i];
        if (!s->account) continue;
        if (!lun_sql(l, LUN_SQL_PART_CHARGE, "uui", s->account, run, s->charged)) return false;
        if (raise && s->excess && !lun_sql(l, LUN_SQL_PART_RAISE, "uui", s->account, run, s->excess)) return false;
    }
    lun_ledger_forget_rows(l);
    return true;
}

/* ---- rows ---- */

static int64_t bounded(int64_t nano) { return nano < 0 ? 0 : nano > COST_MOST ? COST_MOST : nano; }

static struct lun_waiting waiting_of(uint32_t run, const struct lun_dispatch *d, const struct lun_settle *s)
{
    static const struct lun_settle unknown;
    int64_t hold = bounded(d->hold), cost = s ? bounded(s->cost) : hold;
    bool orphaned = !s || s->state == LUN_ATTEMPT_ORPHANED;
    const char *kind = s && s->kind < LUN_KIND_COUNT ? lun_kind_name((enum lun_kind)s->kind) : NULL;
    if (!s) s = &unknown;
    const uint32_t *t = s->tokens;
    struct lun_waiting w = { .kind = kind, .state = lun_attempt_state_name(orphaned ? LUN_ATTEMPT_ORPHANED : LUN_ATTEMPT_SETTLED), .columns = {
        [LUN_COLUMN_run] = run, [LUN_COLUMN_seq] = (int64_t)d->seq, [LUN_COLUMN_at] = d->at, [LUN_COLUMN_target] = d->target, [LUN_COLUMN_client] = d->client,
        [LUN_COLUMN_version] = d->version, [LUN_COLUMN_payers] = d->payers, [LUN_COLUMN_hold] = hold, [LUN_COLUMN_cost] = cost,
        [LUN_COLUMN_input] = t[LUN_TOKENS_input], [LUN_COLUMN_cached_input] = t[LUN_TOKENS_cached_input], [LUN_COLUMN_cache_write] = t[LUN_TOKENS_cache_write],
        [LUN_COLUMN_cache_write_1h] = t[LUN_TOKENS_cache_write_1h], [LUN_COLUMN_output] = t[LUN_TOKENS_output], [LUN_COLUMN_reasoning] = t[LUN_TOKENS_reasoning],
        [LUN_COLUMN_audio] = t[LUN_TOKENS_audio], [LUN_COLUMN_image] = t[LUN_TOKENS_image],
        [LUN_COLUMN_flags] = s->flags | (cost > hold ? LUN_ATTEMPT_EXCESS : 0), [LUN_COLUMN_latency_ms] = s->latency_ms } };
    memcpy(w.request, d->request, sizeof w.request);
    return w;
}

/* By their number: most come in that order, and lie behind all that the table has; then SQLite need not look for their place. */
static void line_up(struct lun_ledger *l, int64_t seq)
{
    int at = l->n_waiting;
    for (; at && l->waiting[l->order[at - 1]].columns[LUN_COLUMN_seq] > seq; at--) l->order[at] = l->order[at - 1];
    l->order[at] = (uint16_t)l->n_waiting++;
}

static bool add(struct lun_ledger *l, uint32_t run, const struct lun_dispatch *d, const struct lun_settle *s)
{
    if (d->payers && !lun_ledger_payer_set(l, d->payers)) return false;
    if (l->n_waiting == LUN_LEDGER_WAITING && add_waiting(l) < 0) return false;
    l->waiting[l->n_waiting] = waiting_of(run, d, s);
    line_up(l, (int64_t)d->seq);
    return true;
}

int lun_ledger_add_row(struct lun_ledger *l, uint32_t run, const struct lun_dispatch *d, const struct lun_settle *s)
{
    return add_waiting(l) >= 0 && add(l, run, d, s) ? add_waiting(l) : -1;
}

void lun_ledger_row(struct lun_ledger *l, const struct lun_dispatch *d, const struct lun_settle *s)
{
    if (l->trouble == LUN_LEDGER_OK) add(l, l->run, d, s);
}

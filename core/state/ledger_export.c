#include "state/ledger_export.h"
#include "state/ledger_inner.h"
#include "base/alloc.h"
#include "base/buf.h"
#include <stdlib.h>
#include <string.h>

enum { CACHED = 1024 };

struct known { uint32_t id; char *text; bool wanted; };     /* a set of payers: what it is called, and whether the budget asked for is in it */

struct run {
    struct lun_ledger *ledger;
    const struct lun_export *how;
    struct known names[CACHED], payers[CACHED];
    char *account;                                          /* the text of the last one asked for */
    bool enough;
};

const char *lun_exported_type_name(enum lun_exported_type type)
{
    return type == LUN_EXPORTED_ATTEMPT ? "attempt" : type == LUN_EXPORTED_REST ? "rest" : "correction";
}

/* ---- names for numbers ---- */

static const char *name_of(struct run *r, uint32_t id)
{
    struct known *k = &r->names[id % CACHED];
    if (!id) return "";
    if (k->id == id) return k->text;
    free(k->text);
    *k = (struct known){ .id = id };
    bool found = lun_sql(r->ledger, LUN_SQL_NAME_TEXT, "u", id) == SQLITE_ROW;
    k->text = lun_strdup(found ? lun_sql_text(r->ledger, LUN_SQL_NAME_TEXT, 0) : "?");
    if (found) lun_sql_end(r->ledger, LUN_SQL_NAME_TEXT);
    return k->text;
}

static void add_account(struct run *r, enum lun_sql which, struct lun_buf *text, bool *wanted)
{
    const char *budget = lun_sql_text(r->ledger, which, 0), *period = lun_sql_text(r->ledger, which, 1);
    *wanted |= !r->how->budget || !strcmp(budget, r->how->budget);
    lun_buf_printf(text, "%s%s%s%s", text->n ? "; " : "", budget, *period ? " " : "", period);
}

static const struct known *payers_of(struct run *r, uint32_t id)
{
    struct known *k = &r->payers[id % CACHED];
    if (k->text && k->id == id) return k;
    struct lun_buf text = {0};
    free(k->text);
    *k = (struct known){ .id = id, .wanted = !id && !r->how->budget };
    int rc = id ? lun_sql(r->ledger, LUN_SQL_PAYERS_TEXT, "u", id) : SQLITE_DONE;
    for (; rc == SQLITE_ROW; rc = lun_sql_next(r->ledger, LUN_SQL_PAYERS_TEXT)) add_account(r, LUN_SQL_PAYERS_TEXT, &text, &k->wanted);
    k->text = lun_strdup(lun_buf_text(&text));
    lun_buf_free(&text);
    return k;
}

static const char *account_of(struct run *r, uint32_t id, bool *wanted)
{
    struct lun_buf text = {0};
    *wanted = false;
    if (lun_sql(r->ledger, LUN_SQL_ACCOUNT_TEXT, "u", id) == SQLITE_ROW) {
        add_account(r, LUN_SQL_ACCOUNT_TEXT, &text, wanted);
        lun_sql_end(r->ledger, LUN_SQL_ACCOUNT_TEXT);
    }
    free(r->account);
    r->account = lun_strdup(lun_buf_text(&text));
    lun_buf_free(&text);
    return r->account;
}

/* ---- rows ---- */

static void put(struct run *r, const struct lun_exported *e) { r->enough = !r->how->row(r->how->self, e); }

static void put_attempt(struct run *r, enum lun_sql s)
{
    struct lun_ledger *l = r->ledger;
    const struct known *payers = payers_of(r, (uint32_t)lun_sql_int(l, s, 7));
    if (!payers->wanted) return;
    struct lun_exported e = { .type = LUN_EXPORTED_ATTEMPT, .run = (uint32_t)lun_sql_int(l, s, 0), .seq = (uint64_t)lun_sql_int(l, s, 1),
                              .at = lun_sql_int(l, s, 2), .request = lun_sql_text(l, s, 3), .budgets = payers->text,
                              .hold = lun_sql_int(l, s, 8), .amount = lun_sql_int(l, s, 9),
                              .kind = lun_sql_text(l, s, 10), .state = lun_sql_text(l, s, 11), .flags = (uint32_t)lun_sql_int(l, s, 12),
                              .latency_ms = lun_sql_int(l, s, 13), .by = "", .why = "" };
    for (int i = 0; i < LUN_TOKENS_COUNT; i++) e.tokens[i] = lun_sql_int(l, s, 14 + i);
    /* Who shares a place in the table takes the other's text. */
    char *target = lun_strdup(name_of(r, (uint32_t)lun_sql_int(l, s, 4))), *client = lun_strdup(name_of(r, (uint32_t)lun_sql_int(l, s, 5)));
    e.target = target, e.client = client, e.version = name_of(r, (uint32_t)lun_sql_int(l, s, 6));
    put(r, &e);
    free(target), free(client);
}

static const struct lun_exported nothing = { .request = "", .client = "", .target = "", .version = "", .kind = "", .state = "", .by = "", .why = "" };

static void put_rest(struct run *r, enum lun_sql s)
{
    bool wanted;
    struct lun_exported e = nothing;
    e.type = LUN_EXPORTED_REST, e.state = "ORPHANED";
    e.run = (uint32_t)lun_sql_int(r->ledger, s, 0), e.at = lun_sql_int(r->ledger, s, 2), e.amount = lun_sql_int(r->ledger, s, 3);
    e.budgets = account_of(r, (uint32_t)lun_sql_int(r->ledger, s, 1), &wanted);
    if (wanted) put(r, &e);
}

static void put_correction(struct run *r, enum lun_sql s)
{
    bool wanted;
    struct lun_exported e = nothing;
    uint32_t account = (uint32_t)lun_sql_int(r->ledger, s, 2);
    e.type = LUN_EXPORTED_CORRECTION;
    e.run = (uint32_t)lun_sql_int(r->ledger, s, 0), e.seq = (uint64_t)lun_sql_int(r->ledger, s, 1), e.at = lun_sql_int(r->ledger, s, 3);
    e.amount = lun_sql_int(r->ledger, s, 4), e.by = lun_sql_text(r->ledger, s, 5), e.why = lun_sql_text(r->ledger, s, 6);
    if (account) e.budgets = account_of(r, account, &wanted);
    else {
        const struct known *payers = payers_of(r, (uint32_t)lun_sql_int(r->ledger, s, 7));
        e.budgets = payers->text, wanted = payers->wanted;
    }
    if (wanted) put(r, &e);
}

static bool each(struct run *r, enum lun_sql which, void (*row)(struct run *, enum lun_sql))
{
    int rc = r->enough ? SQLITE_DONE : lun_sql(r->ledger, which, "ii", r->how->from, r->how->to);
    for (; rc == SQLITE_ROW && !r->enough; rc = lun_sql_next(r->ledger, which)) row(r, which);
    if (r->enough && r->ledger->statements[which]) lun_sql_end(r->ledger, which);
    return rc && r->ledger->trouble == LUN_LEDGER_OK;
}

bool lun_ledger_export(struct lun_ledger *l, const struct lun_export *how)
{
    struct run *r = lun_zalloc(sizeof *r);
    r->ledger = l, r->how = how;
    l->trouble = LUN_LEDGER_OK;
    bool good = lun_sql(l, LUN_SQL_SNAPSHOT, "");
    if (good) {
        good = each(r, LUN_SQL_EXPORT_ATTEMPTS, put_attempt) && each(r, LUN_SQL_EXPORT_RESTS, put_rest) && each(r, LUN_SQL_EXPORT_CORRECTIONS, put_correction);
        lun_sql(l, LUN_SQL_COMMIT, "");
    }
    for (int i = 0; i < CACHED; i++) free(r->names[i].text), free(r->payers[i].text);
    free(r->account), free(r);
    return good;
}

#include "cli/ledger_bill.h"
#include "base/alloc.h"
#include "base/hex.h"
#include "state/price.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CELLS = 64 };                    /* columns that are looked at */

/* Divides a line in place (RFC 4180; a cell does not go over the line's end). The number of cells; -1: it has a quote too much or too few. */
static int divide(char *line, char *cells[CELLS])
{
    int n = 0;
    for (char *at = line;; at++) {
        char *to = at;
        bool quoted = *at == '"';
        if (n < CELLS) cells[n] = at;
        n++;
        if (quoted) for (at++; *at && (*at != '"' || at[1] == '"'); at++) { if (*at == '"') at++; *to++ = *at; }
        if (quoted && *at++ != '"') return -1;
        if (!quoted) at = to = at + strcspn(at, ",");
        char end = *at;
        if (end && end != ',') return -1;
        *to = '\0';
        if (!end) return n < CELLS ? n : CELLS;
    }
}

bool lun_bill_attempt(const char *text, uint32_t *run, uint64_t *seq)
{
    char *end;
    errno = 0;
    if (*text < '1' || *text > '9') return false;
    unsigned long long r = strtoull(text, &end, 10);
    if (*end != '/' || end[1] < '1' || end[1] > '9' || r > UINT32_MAX) return false;
    unsigned long long s = strtoull(end + 1, &end, 10);
    *run = (uint32_t)r, *seq = s;
    return !*end && !errno && s <= INT64_MAX;
}

static bool request(const char *text, unsigned char out[16]) { return strlen(text) == 32 && lun_hex_read(text, out, 16); }

struct columns { int attempt, request, cost, n; };

static bool read_head(char *line, struct columns *c, struct lun_buf *why)
{
    static const char *const names[] = { "attempt", "request", "cost" };
    char *cells[CELLS];
    int n = divide(line, cells), at[3] = { -1, -1, -1 };
    for (int i = 0; i < n; i++)
        for (int j = 0; j < 3; j++) {
            if (strcasecmp(cells[i], names[j])) continue;
            if (at[j] >= 0) lun_buf_printf(why, "line 1: `%s` stands there twice: which of them is meant?", names[j]);
            if (why->n) return false;
            at[j] = i;
        }
    *c = (struct columns){ at[0], at[1], at[2], n };
    bool good = c->cost >= 0 && (c->attempt >= 0 || c->request >= 0);
    if (!good) lun_buf_puts(why, "line 1: the names `cost` and `attempt` or `request` are wanted, divided by commas");
    return good;
}

/* A number with a comma of its own that has no quotes around it is two cells, and the first would be another number. */
static bool too_many(char *const cells[CELLS], int n, int columns)
{
    for (int i = columns; i < n; i++) if (*cells[i]) return true;
    return false;
}

static const char *cell(char *const cells[CELLS], int n, int i) { return i >= 0 && i < n ? cells[i] : ""; }

static bool read_line(char *line, const struct columns *c, struct lun_bill_line *b, struct lun_buf *why)
{
    char *cells[CELLS];
    int n = divide(line, cells);
    const char *attempt = cell(cells, n, c->attempt), *asked = cell(cells, n, c->request), *cost = cell(cells, n, c->cost);
    if (n < 0) lun_buf_printf(why, "line %u: a quote is missing", b->line);
    else if (too_many(cells, n, c->n)) lun_buf_printf(why, "line %u: more cells than line 1 has names (a comma within a cell wants quotes)", b->line);
    else if (*attempt && !lun_bill_attempt(attempt, &b->run, &b->seq)) lun_buf_printf(why, "line %u: no attempt (3/1841)", b->line);
    else if (!*attempt && !request(asked, b->request)) lun_buf_printf(why, "line %u: no request (32 hexadecimal digits)", b->line);
    else if (*cost == '-' || !lun_price_parse(cost, strlen(cost), &b->cost)) lun_buf_printf(why, "line %u: no cost in USD", b->line);
    return !why->n;
}

static struct lun_bill_line *next(struct lun_bill_file *f)
{
    if (!(f->n & (f->n - 1))) f->at = lun_realloc(f->at, (f->n ? 2 * f->n : 1) * sizeof *f->at);
    f->at[f->n] = (struct lun_bill_line){0};
    return &f->at[f->n++];
}

bool lun_bill_read(const char *path, struct lun_bill_file *f, struct lun_buf *why)
{
    FILE *in = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    uint32_t number = 0;
    struct columns columns;
    *f = (struct lun_bill_file){0};
    if (!in) lun_buf_puts(why, strerror(errno));
    for (ssize_t n; !why->n && (n = getline(&line, &room, in)) >= 0; ) {
        char *text = !number && !strncmp(line, "\xEF\xBB\xBF", 3) ? line + 3 : line;        /* what spreadsheets put before it */
        if (n && line[n - 1] == '\n') line[--n] = '\0';
        if (n && line[n - 1] == '\r') line[--n] = '\0';
        if (strlen(line) != (size_t)n || strchr(text, '\r')) lun_buf_printf(why, "line %u: a carriage return without a line feed behind it, or a byte 0", number + 1);
        else if (!number++) read_head(text, &columns, why);
        else if (f->n == LUN_BILL_LINES) lun_buf_printf(why, "more than %d lines", LUN_BILL_LINES);
        else if (*text) {
            struct lun_bill_line *b = next(f);
            b->line = number;
            read_line(text, &columns, b, why);
        }
    }
    if (in && ferror(in) && !why->n) lun_buf_puts(why, strerror(errno));
    if (in && !number && !why->n) lun_buf_puts(why, "it is empty");
    if (in) fclose(in);
    free(line);
    return !why->n;
}

void lun_bill_free(struct lun_bill_file *f) { free(f->at); }

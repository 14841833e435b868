#include "base/csv.h"
#include "base/text.h"
#include <string.h>

enum { CELL, PLAIN, QUOTED, CLOSED, RETURN };   /* before a cell; in one; in quotes; behind a quote in these; behind a CR */

static enum lun_csv_state bad(struct lun_csv *c, const char *wrong, uint64_t line)
{
    c->wrong = wrong, c->wrong_line = line;
    return LUN_CSV_BAD;
}

static void begin_row(struct lun_csv *c)
{
    c->told = false;
    c->n = 0, c->text.n = 0;
    c->line = c->now;
}

static bool end_cell(struct lun_csv *c)
{
    if (c->n == LUN_CSV_CELLS) return false;
    c->ends[c->n++] = c->text.n;
    lun_buf_putc(&c->text, '\0');
    return true;
}

/* The line of the first byte that is not UTF-8; 0: all is. */
static uint64_t misspelt(const struct lun_csv *c)
{
    uint64_t line = c->line;
    if (lun_text_valid(c->text.at, c->text.n)) return 0;
    for (size_t i = 0, n; (n = lun_text_sequence(c->text.at + i, c->text.n - i)); i += n) line += c->text.at[i] == '\n';
    return line;
}

static enum lun_csv_state end_row(struct lun_csv *c)
{
    bool nothing = c->where == CELL && !c->n;
    c->where = CELL;
    if (nothing) {
        begin_row(c);
        return LUN_CSV_MORE;
    }
    if (!end_cell(c)) return bad(c, "more than 256 cells", c->line);
    uint64_t line = misspelt(c);
    if (line) return bad(c, "it is not UTF-8", line);
    c->told = true;
    return LUN_CSV_ROW;
}

/* The mark at the very start, a byte at a time. True: this one belongs to it. */
static bool is_mark(struct lun_csv *c, char byte)
{
    static const char mark[] = "\xEF\xBB\xBF";
    if (c->mark > 2 || byte != mark[c->mark]) {
        if (c->mark < 3) lun_buf_add(&c->text, mark, (size_t)c->mark), c->where = c->mark ? PLAIN : CELL;
        c->mark = 4;
        return false;
    }
    c->mark++;
    return true;
}

/* Outside of quotes. */
static enum lun_csv_state plain(struct lun_csv *c, char byte)
{
    switch (byte) {
    case ',':
        if (!end_cell(c)) return bad(c, "more than 256 cells", c->line);
        c->where = CELL;
        return LUN_CSV_MORE;
    case '\n':
        c->now++;
        return end_row(c);
    case '"':
        if (c->where == PLAIN) return bad(c, "a quote in a cell that does not begin with one", c->now);
        c->where = QUOTED, c->opened = c->now;
        return LUN_CSV_MORE;
    default:
        if (c->where == CLOSED) return bad(c, "something stands behind a closing quote (a quote within quotes is written twice)", c->now);
        c->where = PLAIN;
        lun_buf_putc(&c->text, byte);
        return LUN_CSV_MORE;
    }
}

static enum lun_csv_state step(struct lun_csv *c, char byte)
{
    if (c->where == QUOTED) {
        if (byte == '"') { c->where = CLOSED; return LUN_CSV_MORE; }
        c->now += byte == '\n';
        lun_buf_putc(&c->text, byte);
        return LUN_CSV_MORE;
    }
    if (c->where == CLOSED && byte == '"') {
        c->where = QUOTED;
        lun_buf_putc(&c->text, byte);
        return LUN_CSV_MORE;
    }
    return plain(c, byte);
}

/* A CR ends a row with the LF behind it, and is nothing without. */
static enum lun_csv_state next(struct lun_csv *c, char byte)
{
    if (c->where >= RETURN) {
        c->where -= RETURN;
        return byte == '\n' ? plain(c, byte) : bad(c, "a carriage return without a line feed behind it", c->now);
    }
    if (byte == '\r' && c->where != QUOTED) {
        c->where += RETURN;
        return LUN_CSV_MORE;
    }
    return step(c, byte);
}

static enum lun_csv_state too_long(struct lun_csv *c)
{
    if (c->where == QUOTED) return bad(c, "a quote is opened that is not closed, or only far behind", c->opened);
    return bad(c, "a row that is too long", c->line);
}

enum lun_csv_state lun_csv_read(struct lun_csv *c, const char *at, size_t n, size_t *used)
{
    enum lun_csv_state state = c->wrong ? LUN_CSV_BAD : LUN_CSV_MORE;
    if (!c->now) c->now = 1;
    if (c->told || !c->line) begin_row(c);
    for (*used = 0; *used < n && state == LUN_CSV_MORE; ++*used) {
        if (c->mark < 3 && is_mark(c, at[*used])) continue;
        state = next(c, at[*used]);
        if (state == LUN_CSV_MORE && c->text.n > c->limit) state = too_long(c);
    }
    return state;
}

enum lun_csv_state lun_csv_end(struct lun_csv *c)
{
    if (c->wrong) return LUN_CSV_BAD;
    if (c->told || !c->line) return LUN_CSV_MORE;
    if (c->mark && c->mark < 3) return bad(c, "it is not UTF-8", c->now);
    if (c->where == QUOTED) return bad(c, "a quote is opened that is not closed", c->opened);
    if (c->where >= RETURN) return bad(c, "a carriage return without a line feed behind it", c->now);
    return end_row(c);
}

const char *lun_csv_cell(const struct lun_csv *c, int i, size_t *n)
{
    *n = 0;
    if (i < 0 || i >= c->n) return NULL;
    size_t from = i ? c->ends[i - 1] + 1 : 0;
    *n = c->ends[i] - from;
    return c->text.at + from;
}

void lun_csv_free(struct lun_csv *c) { lun_buf_free(&c->text); }

/* CSV: the same rows and the same mistake however the text is cut, those that a second reader sees in the whole of it; what was read, written again, is read
 * the same. */
#include "fuzz.h"
#include "base/csv.h"
#include "base/text.h"

enum { LIMIT = 4096 };

/* Rows as lengths and bytes, so that nothing in a cell looks like an end. */
struct rows { struct lun_buf text, again; bool bad; uint64_t line, lines; };

/* ---- as the reader tells it ---- */

static void put_cell(struct rows *r, const char *cell, size_t n)
{
    lun_buf_printf(&r->text, "%zu:", n), lun_buf_add(&r->text, cell, n);
    lun_buf_putc(&r->again, '"');
    for (size_t i = 0; i < n; i++) {
        if (cell[i] == '"') lun_buf_putc(&r->again, '"');
        lun_buf_putc(&r->again, cell[i]);
    }
}

static void put_row(struct rows *r, const struct lun_csv *c)
{
    size_t n;
    PROMISE(c->n > 0 && c->n <= LUN_CSV_CELLS && c->line > r->lines);
    r->lines = c->line;
    for (int i = 0; i < c->n; i++) {
        const char *cell = lun_csv_cell(c, i, &n);
        PROMISE(cell && !cell[n] && n <= LIMIT && lun_text_valid(cell, n));
        put_cell(r, cell, n);
        lun_buf_puts(&r->again, i < c->n - 1 ? "\"," : "\"\r\n");
    }
    lun_buf_putc(&r->text, '\n');
}

static struct rows read_rows(struct input in, struct cuts cuts)
{
    struct rows r = {0};
    struct lun_csv c = { .limit = LIMIT };
    enum lun_csv_state state = LUN_CSV_MORE;
    for (size_t at = 0, n, used; at < in.n && state != LUN_CSV_BAD; ) {
        char *piece = copy_of(in.at + at, n = next_piece(&cuts, in.n - at));
        state = lun_csv_read(&c, piece, n, &used);
        PROMISE(used <= n && (state != LUN_CSV_MORE || used == n));
        if (state == LUN_CSV_ROW) put_row(&r, &c);
        at += used;
        free(piece);
    }
    if (state != LUN_CSV_BAD && (state = lun_csv_end(&c)) == LUN_CSV_ROW) put_row(&r, &c);
    r.bad = state == LUN_CSV_BAD;
    if (r.bad) r.line = c.wrong_line;
    PROMISE(r.bad == (c.wrong != NULL) && r.bad == (r.line > 0));
    lun_csv_free(&c);
    return r;
}

static void free_rows(struct rows *r) { lun_buf_free(&r->text), lun_buf_free(&r->again); }

/* ---- as the grammar says it, over the whole text ---- */

/* One cell from `at` on, into `cell`; where it ends, or NULL: it is none. */
static const char *second_cell(const char *at, const char *end, struct lun_buf *cell)
{
    bool quoted = at < end && *at == '"';
    cell->n = 0;
    if (!quoted) for (; at < end && *at != ',' && *at != '\n' && *at != '\r'; at++) {
        if (*at == '"') return NULL;
        lun_buf_putc(cell, *at);
    }
    if (!quoted) return at;
    for (at++; at < end && (*at != '"' || (at + 1 < end && at[1] == '"')); at++) {
        if (*at == '"') at++;
        lun_buf_putc(cell, *at);
    }
    return at < end ? at + 1 : NULL;
}

/* A row, behind its line end; NULL: it is none. */
static const char *second_row(const char *at, const char *end, struct lun_buf *out)
{
    struct lun_buf cell = {0};
    size_t size = 0, cells = 0;
    bool good = true, more = true;
    while (good && more) {
        at = second_cell(at, end, &cell);
        good = at && ++cells <= LUN_CSV_CELLS && (size += cell.n + 1) <= LIMIT && lun_text_valid(cell.at, cell.n);
        if (!good) break;
        lun_buf_printf(out, "%zu:", cell.n), lun_buf_add(out, cell.at, cell.n);
        more = at < end && *at == ',';
        at += more;
    }
    lun_buf_free(&cell);
    if (!good) return NULL;
    lun_buf_putc(out, '\n');
    if (at == end || *at == '\n') return at + (at < end);
    return *at == '\r' && at + 1 < end && at[1] == '\n' ? at + 2 : NULL;
}

static bool is_nothing(const char *at, const char *end, size_t *n)
{
    *n = *at == '\n' ? 1 : *at == '\r' && at + 1 < end && at[1] == '\n' ? 2 : 0;
    return *n;
}

/* True: all of it is CSV, and `out` its rows. What is near the limit is not told apart. */
static bool second_reader(struct input in, struct lun_buf *out)
{
    const char *at = in.at, *end = at + in.n;
    size_t n;
    if (in.n >= 3 && !memcmp(at, "\xEF\xBB\xBF", 3)) at += 3;
    while (at && at < end) at = is_nothing(at, end, &n) ? at + n : second_row(at, end, out);
    return at;
}

void fuzz_csv(struct input in)
{
    struct cuts cuts = take_cuts(&in), whole = { .lengths = { 4000, 4000, 4000, 4000 } };
    struct lun_buf second = {0};
    struct rows a = read_rows(in, cuts), b = read_rows(in, whole);
    PROMISE(a.bad == b.bad && a.line == b.line && a.text.n == b.text.n && (!a.text.n || !memcmp(a.text.at, b.text.at, a.text.n)));
    if (in.n < LIMIT / 2) {
        PROMISE(second_reader(in, &second) == !a.bad);
        if (!a.bad) PROMISE(second.n == a.text.n && (!a.text.n || !memcmp(second.at, a.text.at, a.text.n)));
    }
    struct rows again = read_rows((struct input){ a.again.at, a.again.n }, cuts);
    PROMISE(!again.bad && again.text.n == a.text.n && (!a.text.n || !memcmp(again.text.at, a.text.at, a.text.n)));
    lun_buf_free(&second);
    free_rows(&a), free_rows(&b), free_rows(&again);
}

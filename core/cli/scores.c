#include "cli/scores.h"
#include "base/alloc.h"
#include "base/csv.h"
#include "base/decimal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PROMPT, WEAK, STRONG, COLUMNS, PIECE = 64 << 10 };
static const char *const names[COLUMNS] = { "prompt", "weak", "strong" };

struct reading {
    const char *path;
    struct lun_csv csv;
    struct lun_lessons *lessons;
    struct lun_buf *why;
    int column[COLUMNS], columns;       /* 0: the line of names was not read */
};

static bool wrong(struct reading *r, uint64_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool wrong(struct reading *r, uint64_t line, const char *format, ...)
{
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (line) lun_buf_printf(r->why, "%s:%" PRIu64 ": %s", r->path, line, text);
    else lun_buf_printf(r->why, "%s: %s", r->path, text);
    return false;
}

static bool is_name(const char *cell, size_t n, const char *name) { return n == strlen(name) && !memcmp(cell, name, n); }

static bool read_names(struct reading *r)
{
    size_t n;
    r->columns = r->csv.n;
    for (int i = 0; i < COLUMNS; i++) {
        r->column[i] = -1;
        for (int at = 0; at < r->csv.n; at++) {
            const char *cell = lun_csv_cell(&r->csv, at, &n);
            if (!is_name(cell, n, names[i])) continue;
            if (r->column[i] >= 0) return wrong(r, r->csv.line, "the column `%s` is there twice", names[i]);
            r->column[i] = at;
        }
        if (r->column[i] < 0) return wrong(r, r->csv.line, "there is no column `%s`: the first line names the columns, `prompt`, `weak` and `strong` among them", names[i]);
    }
    return true;
}

static bool number(const char *cell, double *out)
{
    char *end;
    cell += strspn(cell, " \t");
    size_t n = strcspn(cell, " \t");
    if (cell[n + strspn(cell + n, " \t")]) return false;
    *out = n == 4 && !strncasecmp(cell, "true", 4);
    if (*out || (n == 5 && !strncasecmp(cell, "false", 5))) return true;
    if (!n || strspn(cell, "0123456789.eE+-") < n) return false;
    *out = lun_decimal_read(cell, &end);
    return end == cell + n && *out >= 0 && *out <= 1;
}

static bool read_score(struct reading *r, int which, double *out)
{
    size_t n;
    const char *cell = lun_csv_cell(&r->csv, r->column[which], &n);
    if (strlen(cell) == n && number(cell, out)) return true;
    return wrong(r, r->csv.line, "`%s` is \"%.40s\": 0, 1, false, true or a number between is wanted", names[which], cell);
}

static bool read_row(struct reading *r)
{
    double weak, strong;
    size_t n;
    if (!r->columns) return read_names(r);
    if (r->csv.n != r->columns) return wrong(r, r->csv.line, "%d cells, and the first line names %d columns", r->csv.n, r->columns);
    const char *prompt = lun_csv_cell(&r->csv, r->column[PROMPT], &n);
    if (!n) return wrong(r, r->csv.line, "`prompt` is empty");
    if (!read_score(r, WEAK, &weak) || !read_score(r, STRONG, &strong)) return false;
    return lun_lessons_add(r->lessons, prompt, n, weak, strong) || wrong(r, r->csv.line, "more rows than can be kept: take a sample of them");
}

static bool read_piece(struct reading *r, const char *at, size_t n)
{
    size_t used;
    enum lun_csv_state state;
    for (; (state = lun_csv_read(&r->csv, at, n, &used)) == LUN_CSV_ROW; at += used, n -= used)
        if (!read_row(r)) return false;
    return state == LUN_CSV_MORE || wrong(r, r->csv.wrong_line, "%s", r->csv.wrong);
}

static bool read_end(struct reading *r)
{
    enum lun_csv_state state = lun_csv_end(&r->csv);
    if (state == LUN_CSV_BAD) return wrong(r, r->csv.wrong_line, "%s", r->csv.wrong);
    if (state == LUN_CSV_ROW && !read_row(r)) return false;
    return r->columns ? r->lessons->n || wrong(r, 0, "no rows") : wrong(r, 0, "it is empty");
}

static bool read_all(struct reading *r, FILE *in)
{
    char *piece = lun_alloc(PIECE);
    bool good = true;
    for (size_t n; good && (n = fread(piece, 1, PIECE, in)); ) good = read_piece(r, piece, n);
    if (good && ferror(in)) good = wrong(r, 0, "%s", strerror(errno));
    free(piece);
    return good && read_end(r);
}

bool lun_scores_read(const char *path, struct lun_lessons *lessons, struct lun_buf *why)
{
    struct reading r = { .path = path, .csv.limit = LUN_SCORES_ROW, .lessons = lessons, .why = why };
    FILE *in = fopen(path, "re");
    if (!in) return wrong(&r, 0, "%s", strerror(errno));
    bool good = read_all(&r, in);
    fclose(in);
    lun_csv_free(&r.csv);
    return good;
}

/* CSV: rows and cells as RFC 4180 has them, however the text is cut; what is no such text is refused with its line. */
#include "base/csv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { LIMIT = 200 };

static void put_row(struct lun_buf *out, const struct lun_csv *c)
{
    size_t n;
    lun_buf_printf(out, "%d:", (int)c->line);
    for (int i = 0; i < c->n; i++) {
        const char *cell = lun_csv_cell(c, i, &n);
        assert_int_equal(cell[n], 0);
        lun_buf_putc(out, i ? '|' : ' ');
        lun_buf_add(out, cell, n);
    }
    assert_null(lun_csv_cell(c, c->n, &n));
    lun_buf_putc(out, ';');
}

static enum lun_csv_state read_piece(struct lun_csv *c, const char *at, size_t n, struct lun_buf *out)
{
    size_t used;
    enum lun_csv_state state;
    for (; (state = lun_csv_read(c, at, n, &used)) == LUN_CSV_ROW; at += used, n -= used) put_row(out, c);
    if (state == LUN_CSV_MORE) assert_int_equal(used, n);
    return state;
}

/* Each row as "LINE: cell|cell;", and what is wrong as "LINE! phrase". */
static void read_in_pieces(const char *text, size_t n, size_t piece, struct lun_buf *out)
{
    struct lun_csv c = { .limit = LIMIT };
    enum lun_csv_state state = LUN_CSV_MORE;
    out->n = 0;
    for (size_t at = 0; at < n && state == LUN_CSV_MORE; at += piece) state = read_piece(&c, text + at, piece < n - at ? piece : n - at, out);
    if (state == LUN_CSV_MORE && (state = lun_csv_end(&c)) == LUN_CSV_ROW) {
        put_row(out, &c);
        state = lun_csv_end(&c);
    }
    if (state == LUN_CSV_BAD) {
        lun_buf_printf(out, "%d! %s", (int)c.wrong_line, c.wrong);
        assert_int_equal(lun_csv_end(&c), LUN_CSV_BAD);
    }
    lun_csv_free(&c);
}

static void gives(int line, const char *text, size_t n, const char *wanted, size_t wanted_n)
{
    struct lun_buf out = {0};
    for (size_t piece = 1; piece <= n + 1; piece++) {
        read_in_pieces(text, n, piece, &out);
        if (out.n != wanted_n || memcmp(lun_buf_text(&out), wanted, wanted_n)) fail_msg("line %d, in pieces of %zu: %s, expected %s", line, piece, out.at, wanted);
    }
    lun_buf_free(&out);
}
#define GIVES_OF(text, n, wanted) gives(__LINE__, text, n, wanted, sizeof wanted - 1)
#define GIVES(text, wanted) GIVES_OF(text, sizeof text - 1, wanted)

static void rows_end_with_their_lines(void **state)
{
    (void)state;
    GIVES("", "");
    GIVES("a,b\n1,2\n", "1: a|b;2: 1|2;");
    GIVES("a,b\r\n1,2\r\n", "1: a|b;2: 1|2;");
    GIVES("a,b\n1,2", "1: a|b;2: 1|2;");
    GIVES("a", "1: a;");
    GIVES(",\n,", "1: |;2: |;");
    GIVES("a,\n", "1: a|;");
    GIVES(" a , b\n", "1:  a | b;");
    GIVES("\n\r\n\na\n\n\nb\n\n", "4: a;7: b;");
    GIVES("\"\"\n", "1: ;");
    GIVES("a\0b,c\n", "1: a\0b|c;");
}

static void quoted_cells_hold_anything(void **state)
{
    (void)state;
    GIVES("\"a,b\",c\n", "1: a,b|c;");
    GIVES("\"say \"\"hi\"\"\"\n", "1: say \"hi\";");
    GIVES("\"\"\"\"\n", "1: \";");
    GIVES("\"one\ntwo\r\nthree\",x\nb\n", "1: one\ntwo\r\nthree|x;4: b;");
    GIVES("a,\"b\"", "1: a|b;");
    GIVES("\"a\"\r\n\"b\"\r\n", "1: a;2: b;");
}

static void a_byte_order_mark_at_the_start_is_none_of_the_text(void **state)
{
    (void)state;
    GIVES("\xEF\xBB\xBF" "a,b\n", "1: a|b;");
    GIVES("\xEF\xBB\xBF" "\"a\"\n", "1: a;");
    GIVES("\xEF\xBB\xBF", "");
    GIVES("\xEF\xBB\xBB" "a\n", "1: \xEF\xBB\xBB" "a;");
    GIVES("a\n\xEF\xBB\xBF" "b\n", "1: a;2: \xEF\xBB\xBF" "b;");
    GIVES("\xEF\xBB", "1! it is not UTF-8");
}

static void what_is_no_csv_is_refused_with_its_line(void **state)
{
    (void)state;
    GIVES("a\nb\"c\"\n", "1: a;2! a quote in a cell that does not begin with one");
    GIVES("\"a\"b\n", "1! something stands behind a closing quote (a quote within quotes is written twice)");
    GIVES("\"a\" ,b\n", "1! something stands behind a closing quote (a quote within quotes is written twice)");
    GIVES("a\n\"b\nc\nd", "1: a;2! a quote is opened that is not closed");
    GIVES("a\rb\n", "1! a carriage return without a line feed behind it");
    GIVES("a\n\"b\"\r", "1: a;2! a carriage return without a line feed behind it");
    GIVES("\xff\n", "1! it is not UTF-8");
    GIVES("a\n\"b\nc\xc3\",d\n", "1: a;3! it is not UTF-8");
    GIVES("\"a\xc3\",\"\xa4\"\n", "1! it is not UTF-8");
}

static void a_row_is_bounded(void **state)
{
    char text[4 * LIMIT];
    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, "a\n", 2);
    GIVES_OF(text, sizeof text, "1: a;2! a row that is too long");
    memcpy(text, "a\n\"\n\n", 5);
    GIVES_OF(text, sizeof text, "1: a;2! a quote is opened that is not closed, or only far behind");
    struct lun_buf many = {0};
    for (int i = 0; i < LUN_CSV_CELLS; i++) lun_buf_putc(&many, ',');
    struct lun_csv c = { .limit = 10 * LUN_CSV_CELLS };
    size_t used;
    assert_int_equal(lun_csv_read(&c, many.at, many.n, &used), LUN_CSV_MORE);
    assert_int_equal(lun_csv_end(&c), LUN_CSV_BAD);
    assert_string_equal(c.wrong, "more than 256 cells");
    lun_csv_free(&c), lun_buf_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_end_with_their_lines),
        cmocka_unit_test(quoted_cells_hold_anything),
        cmocka_unit_test(a_byte_order_mark_at_the_start_is_none_of_the_text),
        cmocka_unit_test(what_is_no_csv_is_refused_with_its_line),
        cmocka_unit_test(a_row_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

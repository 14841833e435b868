#include "gateway/log_reader.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define LINE(seconds) "{\"time\":\"2026-01-05T00:00:" seconds ".500Z\",\"id\":\"a\",\"endpoint\":\"chat\",\"model\":\"auto\",\"status\":200,\"cost\":0.25,\"latency_ms\":1500.25}"

/* A file of these bytes. */
static int file_of(const char *text, size_t n)
{
    int fd = memfd_create("log", 0);
    assert_int_equal(write(fd, text, n), n);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* What was read, and what was wrong: the numbers of the lines, then faults as name=number@first. */
static void assert_read(const char *log, const char *expected)
{
    struct lun_log_reader *r = lun_log_reader_of(file_of(log, strlen(log)));
    struct lun_log_line line;
    struct lun_buf told = {0};
    while (lun_log_reader_next(r, &line)) lun_buf_printf(&told, "%lld ", (long long)line.number);
    const struct lun_log_counts *c = lun_log_reader_counts(r);
    for (int f = 0; f < LUN_LOG_FAULT_COUNT; f++)
        if (c->faults[f].n) lun_buf_printf(&told, "%s=%lld@%lld ", lun_log_fault_name((enum lun_log_fault)f), (long long)c->faults[f].n, (long long)c->faults[f].first);
    assert_string_equal(lun_buf_text(&told), expected);
    assert_int_equal(c->bytes, strlen(log));
    assert_int_equal(c->size, strlen(log));
    lun_buf_free(&told);
    lun_log_reader_free(r);
}

static void reads_lines_and_their_fields(void **state)
{
    (void)state;
    const char *log = LINE("01") "\n";
    struct lun_log_reader *r = lun_log_reader_of(file_of(log, strlen(log)));
    struct lun_log_line line;
    assert_true(lun_log_reader_next(r, &line));
    assert_int_equal(line.time, LUN_SECOND * 1767571201 + 500 * LUN_MS);
    assert_int_equal(line.latency, 1500250);
    assert_int_equal(lun_log_usd(lun_log_field(&line, LUN_LOG_COST)), 250000000);
    assert_true(lun_json_is(lun_log_field(&line, LUN_LOG_MODEL), "auto"));
    assert_int_equal(lun_log_field(&line, LUN_LOG_TARGET).n, 0);
    assert_int_equal(lun_log_usd(lun_log_field(&line, LUN_LOG_TARGET)), -1);
    assert_int_equal(lun_log_ms(lun_log_field(&line, LUN_LOG_MODEL)), -1);
    assert_false(lun_log_reader_next(r, &line));
    assert_false(lun_log_reader_next(r, &line));
    assert_int_equal(lun_log_reader_error(r), 0);
    lun_log_reader_free(r);
}

static void counts_what_is_no_line_of_a_log(void **state)
{
    (void)state;
    assert_read("", "");
    assert_read("\n\n  \r\n", "");
    assert_read("\n" LINE("01") "\n\r\nnonsense\n", "2 broken=1@4 ");
    assert_read(LINE("01") "\nnonsense\n" LINE("02") "\n[1]\n", "1 3 broken=2@2 ");
    assert_read("{\"time\":\"2026-01-05T00:00:01Z\"}\n" LINE("02"), "2 other=1@1 ");
    assert_read("{\"time\":\"2026-01-05T00:00:01Z\",\"id\":\"a\",\"endpoint\":\"speech\",\"model\":\"m\",\"status\":200,\"latency_ms\":1}\n", "other=1@1 ");
    assert_read("{\"version\":2,\"requests\":[]}\n", "other=1@1 ");
    assert_read(LINE("01") "\n{\"time\":\"2026-0", "1 cut=1@2 ");
}

static void a_field_that_is_there_twice_makes_another_line_of_it(void **state)
{
    (void)state;
    assert_read("{\"id\":\"b\"," "\"time\":\"2026-01-05T00:00:01Z\",\"id\":\"a\",\"endpoint\":\"chat\",\"model\":\"m\",\"status\":200,\"latency_ms\":1}\n", "other=1@1 ");
}

static void lines_stand_in_the_order_of_their_ends(void **state)
{
    (void)state;
    assert_read(LINE("02") "\n" LINE("01") "\n", "1 2 ");
    assert_read(LINE("09") "\n" LINE("01") "\n" LINE("10") "\n", "1 2 3 backwards=1@2 ");
}

static void a_line_that_is_too_long_is_passed_over(void **state)
{
    (void)state;
    size_t n = (size_t)3 * LUN_LOG_LINE_MOST;
    struct lun_buf log = {0};
    lun_buf_puts(&log, LINE("01") "\n");
    memset(lun_buf_space(&log, n), 'x', n);
    log.n += n;
    lun_buf_puts(&log, "\n" LINE("02") "\n");
    assert_read(lun_buf_text(&log), "1 3 too_long=1@2 ");
    log.n -= strlen(LINE("02") "\n") + 1;
    assert_read(lun_buf_text(&log), "1 too_long=1@2 ");
    lun_buf_free(&log);
}

/* However the bytes come. */
static void a_pipe_reads_like_a_file(void **state)
{
    (void)state;
    int ends[2];
    const char log[] = LINE("01") "\n" LINE("02") "\nx";
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], log, sizeof log - 1), sizeof log - 1);
    close(ends[1]);
    struct lun_log_reader *r = lun_log_reader_of(ends[0]);
    struct lun_log_line line;
    for (int i = 1; i <= 2; i++) {
        assert_true(lun_log_reader_next(r, &line));
        assert_int_equal(line.number, i);
    }
    assert_false(lun_log_reader_next(r, &line));
    assert_int_equal(lun_log_reader_counts(r)->size, 0);
    assert_int_equal(lun_log_reader_counts(r)->faults[LUN_LOG_CUT].n, 1);
    lun_log_reader_free(r);
}

static void a_folder_cannot_be_read(void **state)
{
    (void)state;
    struct lun_log_line line;
    struct lun_log_reader *r = lun_log_reader_open("/");
    assert_false(lun_log_reader_next(r, &line));
    assert_int_not_equal(lun_log_reader_error(r), 0);
    lun_log_reader_free(r);
    assert_null(lun_log_reader_open("/nowhere/at/all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lines_and_their_fields),
        cmocka_unit_test(counts_what_is_no_line_of_a_log),
        cmocka_unit_test(a_field_that_is_there_twice_makes_another_line_of_it),
        cmocka_unit_test(lines_stand_in_the_order_of_their_ends),
        cmocka_unit_test(a_line_that_is_too_long_is_passed_over),
        cmocka_unit_test(a_pipe_reads_like_a_file),
        cmocka_unit_test(a_folder_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "cli/ledger_bill.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char path[48];

static void write_file(const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static bool read_text(const char *text, struct lun_bill_file *f, struct lun_buf *why)
{
    write_file(text, strlen(text));
    *why = (struct lun_buf){0};
    return lun_bill_read(path, f, why);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(path, access("/dev/shm", W_OK) ? "/tmp/lunette-bill-XXXXXX" : "/dev/shm/lunette-bill-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}
static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void lines_are_read_as_spreadsheets_write_them(void **state)
{
    (void)state;
    struct lun_bill_file f;
    struct lun_buf why;
    assert_true(read_text("\xEF\xBB\xBF" "note,COST,Attempt,request\r\n\"a, \"\"b\"\"\",0.000000001,3/1841,\r\n\r\n,\"2\",,000102030405060708090a0B0c0D0e0f\r\n", &f, &why));
    assert_int_equal(f.n, 2);
    assert_int_equal(f.at[0].run, 3), assert_int_equal(f.at[0].seq, 1841), assert_int_equal(f.at[0].cost, 1), assert_int_equal(f.at[0].line, 2);
    assert_int_equal(f.at[1].seq, 0), assert_int_equal(f.at[1].cost, 2000000000), assert_int_equal(f.at[1].line, 4);
    for (int i = 0; i < 16; i++) assert_int_equal(f.at[1].request[i], i);
    lun_bill_free(&f);
}

static void what_is_wrong_is_said_with_its_line(void **state)
{
    (void)state;
    static const struct { const char *text, *said; } cases[] = {
        { "", "it is empty" }, { "a,b\n", "line 1: the names" }, { "attempt\n", "line 1: the names" }, { "attempt,cost,Cost\n1/1,1,2\n", "line 1: `cost` stands there twice" },
        { "attempt,cost,attempt\n1/1,1,1/2\n", "line 1: `attempt` stands there twice" }, { "cost,attempt\n1,3/0\n", "line 2: no attempt" },
        { "cost,attempt\n1,0/3\n", "line 2: no attempt" }, { "cost,attempt\n1,3/3x\n", "line 2: no attempt" }, { "cost,attempt\n1,4294967296/1\n", "line 2: no attempt" },
        { "cost,attempt\n1,1/9223372036854775808\n", "line 2: no attempt" }, { "cost,request\n1,12\n", "line 2: no request" }, { "cost,request\n1\n", "line 2: no request" },
        { "attempt,cost\n1/1\n", "line 2: no cost" }, { "attempt,cost\n1/1,-1\n", "line 2: no cost" }, { "attempt,cost\n1/1,1e\n", "line 2: no cost" },
        { "attempt,cost\n1/1,1\n1/2,\"1\n", "line 3: a quote" }, { "attempt,cost\n1/1,\"1\"x\n", "line 2: a quote" },
        { "attempt,cost\n1/1,0,003\n", "line 2: more cells" }, { "cost,attempt\r1,1/1\r", "line 1: a carriage return" }, { "cost,attempt\n1\r5,1/1\n", "line 2: a carriage return" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lun_bill_file f;
        struct lun_buf why;
        assert_false(read_text(cases[i].text, &f, &why));
        if (!strstr(lun_buf_text(&why), cases[i].said)) fail_msg("%s: \"%s\"", cases[i].text, lun_buf_text(&why));
        lun_bill_free(&f), lun_buf_free(&why);
    }
    struct lun_bill_file f;
    struct lun_buf why = {0};
    assert_false(lun_bill_read("/nowhere/bill.csv", &f, &why));
    assert_string_equal(lun_buf_text(&why), "No such file or directory");
    lun_bill_free(&f), lun_buf_free(&why);
}

static void rubbish_does_no_harm(void **state)
{
    (void)state;
    static const char letters[] = "attempt,cost,request\n\"\",1/1\r\n,,\"0.5,3/4\n\0\xEF\xBB\xBF";
    unsigned dice = 3;
    for (int i = 0; i < 1000; i++) {
        char text[200];
        size_t n = 0, head = i % 2 ? 13 : 0;
        memcpy(text, "attempt,cost\n", 13);
        for (n = head; n < head + 100; n++) dice = dice * 1103515245 + 12345, text[n] = letters[dice >> 16 & 31 ? (dice >> 16) % (sizeof letters - 1) : 9];
        struct lun_bill_file f;
        struct lun_buf why = {0};
        write_file(text, n);
        bool read = lun_bill_read(path, &f, &why);
        assert_int_equal(read, !why.n);
        for (size_t k = 0; read && k < f.n; k++) assert_true(f.at[k].cost >= 0);
        lun_bill_free(&f), lun_buf_free(&why);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = { T(lines_are_read_as_spreadsheets_write_them), T(what_is_wrong_is_said_with_its_line), T(rubbish_does_no_harm) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/log.h"
#include "base/json.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* What was written to the log since the last look; the log writes to a pipe, which holds more than a test says. */
struct place { int ends[2]; struct lun_log log; char text[8192]; };

static void open_place(struct place *p)
{
    assert_int_equal(pipe(p->ends), 0);
    p->log = lun_log_to(p->ends[1]);
}

static const char *written(struct place *p)
{
    close(p->ends[1]);
    ssize_t n = read(p->ends[0], p->text, sizeof p->text - 1);
    assert_true(n >= 0);
    p->text[n] = 0;
    close(p->ends[0]);
    return p->text;
}

static void a_line_has_time_level_and_message(void **state)
{
    (void)state;
    struct place p;
    open_place(&p);
    assert_false(p.log.colour);
    lun_log(&p.log, LUN_LOG_WARN, "provider %s is down for %d s", "openai", 5);
    const char *line = written(&p);
    assert_string_equal(line + 24, " warn  provider openai is down for 5 s\n");
    assert_true(line[4] == '-' && line[10] == 'T' && line[23] == 'Z');
}

static void what_is_below_the_least_level_is_not_said(void **state)
{
    (void)state;
    struct place p;
    open_place(&p);
    lun_log(&p.log, LUN_LOG_DEBUG, "no");
    p.log.least = LUN_LOG_ERROR;
    lun_log(&p.log, LUN_LOG_WARN, "no");
    lun_log(NULL, LUN_LOG_ERROR, "no");
    lun_log(&(struct lun_log){0}, LUN_LOG_ERROR, "no");
    lun_log(&p.log, LUN_LOG_ERROR, "yes");
    assert_string_equal(written(&p) + 24, " error yes\n");
}

static void a_log_without_a_place_writes_nowhere(void **state)
{
    (void)state;
    struct place p;
    int kept = dup(0);
    open_place(&p);
    dup2(p.ends[1], 0);
    lun_log(&(struct lun_log){0}, LUN_LOG_ERROR, "no");
    lun_log(&(struct lun_log){ .fd = p.ends[1] }, LUN_LOG_LEVEL_COUNT, "no");
    dup2(kept, 0);
    close(kept);
    assert_string_equal(written(&p), "");
}

static void nobody_can_forge_a_line(void **state)
{
    (void)state;
    struct place p;
    open_place(&p);
    lun_log(&p.log, LUN_LOG_INFO, "%s", "a\nb\r\t\x1b[31m\x7f\xc2\x9b\xff\xc2\xa0\xc3\xa9");
    assert_string_equal(written(&p) + 24, " info  a\\nb\\r\\t\\x1b[31m\\x7f\\x9b\xef\xbf\xbd\xc2\xa0\xc3\xa9\n");
}

static void json_lines_are_json(void **state)
{
    (void)state;
    struct place p;
    struct lun_json v;
    open_place(&p);
    p.log.json = true;
    lun_log(&p.log, LUN_LOG_ERROR, "%s", "quote \" line\n \xff end");
    const char *line = written(&p);
    assert_true(lun_json_check(line, strlen(line), &v, NULL));
    assert_true(lun_json_is(lun_json_get(v, "level"), "error"));
    assert_true(lun_json_is(lun_json_get(v, "message"), "quote \" line\n \xef\xbf\xbd end"));
    assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    char text[LUN_LOG_BYTES * 2];
    for (size_t i = 0; i < sizeof text - 1; i += 2) memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 2] = 0;
    for (int shift = 0; shift < 4; shift++) {
        struct place p;
        open_place(&p);
        lun_log(&p.log, LUN_LOG_INFO, "%.*s%s", shift, "abc", text);
        const char *line = written(&p);
        size_t n = strlen(line);
        assert_in_range(n, LUN_LOG_BYTES, LUN_LOG_BYTES + 40);
        assert_string_equal(line + n - 6, "\xc3\xa9\xe2\x80\xa6\n");
        assert_null(strstr(line, "\xef\xbf\xbd"));
    }
}

static void keep(void *host, enum lun_log_level level, const char *message, size_t n)
{
    assert_int_equal(strlen(message), n);
    snprintf(host, 100, "%s: %s", lun_log_level_name(level), message);
}

static void a_host_takes_the_messages_instead(void **state)
{
    (void)state;
    char kept[100];
    struct place p;
    open_place(&p);
    p.log.take = keep, p.log.host = kept;
    lun_log(&p.log, LUN_LOG_INFO, "one\n%d", 2);
    assert_string_equal(kept, "info: one\\n2");
    assert_string_equal(written(&p), "");
}

static void errno_is_kept(void **state)
{
    (void)state;
    struct lun_log log = lun_log_to(1000000);       /* no such descriptor: the write fails */
    errno = ENOENT;
    lun_log(&log, LUN_LOG_ERROR, "lost");
    assert_int_equal(errno, ENOENT);
}

static void levels_are_known_by_name(void **state)
{
    (void)state;
    enum lun_log_level level;
    for (unsigned i = 0; i < LUN_LOG_LEVEL_COUNT; i++)
        assert_true(lun_log_level_of(lun_log_level_name((enum lun_log_level)i), &level) && level == i);
    assert_false(lun_log_level_of("loud", &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_and_message), cmocka_unit_test(what_is_below_the_least_level_is_not_said),
        cmocka_unit_test(nobody_can_forge_a_line), cmocka_unit_test(a_log_without_a_place_writes_nowhere), cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(a_long_message_is_cut_between_characters), cmocka_unit_test(a_host_takes_the_messages_instead),
        cmocka_unit_test(errno_is_kept), cmocka_unit_test(levels_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

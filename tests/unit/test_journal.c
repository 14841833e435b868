#include "state/journal.h"
#include "base/alloc.h"
#include "base/crc32c.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64];
static uint64_t dice = 88172645463325252u;

static uint64_t roll(uint64_t n)
{
    dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
    return dice % n;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lunette-journal-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char *all = lun_printf("rm -rf %s", folder);
    int rc = system(all);
    (void)state;
    free(all);
    return rc;
}

static struct lun_journal *create(uint32_t run, uint32_t slots)
{
    char *error;
    struct lun_journal *j = lun_journal_create(folder, run, "owner", "boot-1", slots, &error);
    if (!j) fail_msg("%s", error);
    return j;
}

static struct lun_journal *dead(uint32_t run)
{
    struct lun_journal *j;
    assert_int_equal(lun_journal_open_dead(folder, run, "owner", &j), LUN_JOURNAL_DEAD);
    return j;
}

static struct lun_dispatch some_dispatch(uint64_t seq)
{
    struct lun_dispatch d = { .seq = seq, .hold = (int64_t)roll(1u << 30), .at = (lun_us)roll(1u << 30), .target = (uint32_t)roll(99), .client = (uint32_t)roll(99),
                              .version = (uint32_t)roll(99), .payers = (uint32_t)roll(99) };
    for (int i = 0; i < 16; i++) d.request[i] = (unsigned char)roll(256);
    return d;
}

static struct lun_settle some_settle(uint64_t seq)
{
    struct lun_settle s = { .seq = seq, .cost = (int64_t)roll(1u << 30), .kind = (uint8_t)roll(20), .state = (uint8_t)(1 + roll(2)), .flags = (uint16_t)roll(65536),
                            .latency_ms = (uint32_t)roll(60000) };
    for (int i = 0; i < LUN_TOKENS_COUNT; i++) s.tokens[i] = (uint32_t)roll(100000);
    return s;
}

static void the_checksum_is_castagnolis_with_and_without_the_instruction(void **state)
{
    (void)state;
    unsigned char bytes[300] = {0};
    assert_int_equal(lun_crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(lun_crc32c(bytes, 32), 0x8A9136AA);          /* RFC 3720, B.4 */
    memset(bytes, 0xFF, 32);
    assert_int_equal(lun_crc32c(bytes, 32), 0x62A8AB43);
    for (int i = 0; i < 2000; i++) {
        size_t n = roll(sizeof bytes);
        for (size_t k = 0; k < n; k++) bytes[k] = (unsigned char)roll(256);
        assert_int_equal(lun_crc32c(bytes, n), lun_crc32c_table(bytes, n));
    }
}

static void a_slot_says_what_was_written_there(void **state)
{
    (void)state;
    struct lun_journal *j = create(7, 64);
    struct lun_dispatch d = some_dispatch(5), got;
    struct lun_settle s = some_settle(5), end;
    assert_int_equal(lun_journal_read(j, 63, &got, &end), LUN_JOURNAL_NONE);
    lun_journal_dispatch(j, 63, &d);
    assert_int_equal(lun_journal_read(j, 63, &got, &end), LUN_JOURNAL_DISPATCHED);
    assert_memory_equal(&got, &d, sizeof d);
    lun_journal_settle(j, 63, &s);
    assert_int_equal(lun_journal_read(j, 63, &got, &end), LUN_JOURNAL_SETTLED);
    assert_memory_equal(&got, &d, sizeof d);
    assert_memory_equal(&end, &s, sizeof s);
    d = some_dispatch(6);
    lun_journal_dispatch(j, 63, &d);                              /* used anew: the old end is not its end */
    assert_int_equal(lun_journal_read(j, 63, &got, &end), LUN_JOURNAL_DISPATCHED);
    assert_int_equal(got.seq, 6);
    lun_journal_close(j);
}

/* What a power cut or a kill may leave of `now` over `then`: a prefix, or any of its words. */
static void tear(unsigned char *out, const unsigned char *then, const unsigned char *now, size_t n, bool prefix)
{
    memcpy(out, then, n);
    if (prefix) memcpy(out, now, roll(n + 1));
    else for (size_t i = 0; i < n; i += 8) if (roll(2)) memcpy(out + i, now + i, 8);
}

static bool either(const unsigned char *line, const unsigned char *a, const unsigned char *b)
{
    return !memcmp(line, a, LUN_JOURNAL_LINE) || !memcmp(line, b, LUN_JOURNAL_LINE);
}

/* Whatever is read as valid is a line that somebody wrote, and an end belongs to its own beginning. */
static void no_torn_line_is_taken_for_a_whole_one(void **state)
{
    (void)state;
    const char *rounds = getenv("STRESS_LINES");
    enum { LINE = LUN_JOURNAL_LINE };
    long n = rounds ? atol(rounds) : 100000, whole = 0;
    for (long i = 0; i < n; i++) {
        unsigned char then[2 * LINE], now[2 * LINE], torn[2 * LINE];
        struct lun_dispatch d1 = some_dispatch(1 + roll(3)), d2 = some_dispatch(4 + roll(3)), got;
        struct lun_settle s1 = some_settle(d1.seq), s2 = some_settle(d2.seq), end;
        lun_journal_line_dispatch(3, &d1, then), lun_journal_line_settle(3, &s1, then + LINE);
        lun_journal_line_dispatch(3, &d2, now), lun_journal_line_settle(3, &s2, now + LINE);
        if (!roll(4)) memset(then, 0, sizeof then);
        tear(torn, then, now, LINE, roll(2));
        tear(torn + LINE, then + LINE, now + LINE, LINE, roll(2));
        enum lun_journal_found found = lun_journal_line_read(3, torn, &got, &end);
        if (found < LUN_JOURNAL_DISPATCHED) continue;
        whole++;
        assert_true(either(torn, then, now));
        if (found == LUN_JOURNAL_SETTLED) assert_true(either(torn + LINE, then + LINE, now + LINE) && end.seq == got.seq);
        assert_int_equal(lun_journal_line_read(4, torn, &got, &end), LUN_JOURNAL_TORN);         /* never another run's */
    }
    assert_true(whole > n / 100);
    if (rounds) print_message("%ld mixtures of lines, %ld whole, none torn taken for valid\n", n, whole);
}

static void every_prefix_of_a_first_line_is_nothing_until_the_last_byte(void **state)
{
    (void)state;
    unsigned char whole[2 * LUN_JOURNAL_LINE] = {0}, part[2 * LUN_JOURNAL_LINE];
    struct lun_dispatch d = some_dispatch(9), got;
    struct lun_settle s;
    lun_journal_line_dispatch(3, &d, whole);
    for (size_t n = 0; n <= LUN_JOURNAL_LINE; n++) {
        memset(part, 0, sizeof part);
        memcpy(part, whole, n);
        enum lun_journal_found found = lun_journal_line_read(3, part, &got, &s);
        assert_int_equal(found, !memcmp(part, whole, LUN_JOURNAL_LINE) ? LUN_JOURNAL_DISPATCHED : n ? LUN_JOURNAL_TORN : LUN_JOURNAL_NONE);
    }
}

static void a_line_that_nobody_writes_is_not_charged(void **state)
{
    (void)state;
    unsigned char lines[2 * LUN_JOURNAL_LINE];
    struct lun_dispatch d = some_dispatch(1), got;
    struct lun_settle s = some_settle(1), end;
    d.hold = -5;
    lun_journal_line_dispatch(3, &d, lines), lun_journal_line_settle(3, &s, lines + LUN_JOURNAL_LINE);
    assert_int_equal(lun_journal_line_read(3, lines, &got, &end), LUN_JOURNAL_TORN);
    d.hold = 5, s.cost = -1;
    lun_journal_line_dispatch(3, &d, lines), lun_journal_line_settle(3, &s, lines + LUN_JOURNAL_LINE);
    assert_int_equal(lun_journal_line_read(3, lines, &got, &end), LUN_JOURNAL_DISPATCHED);
    s.cost = 1, s.state = 9;
    lun_journal_line_settle(3, &s, lines + LUN_JOURNAL_LINE);
    assert_int_equal(lun_journal_line_read(3, lines, &got, &end), LUN_JOURNAL_DISPATCHED);
}

static void the_file_is_written_out_with_no_holes_and_for_its_owner_alone(void **state)
{
    (void)state;
    struct stat s;
    struct lun_journal *j = create(1, 1024);
    char *path = lun_printf("%s/journal.1", folder), *making = lun_printf("%s/making-journal.1", folder);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, 4096 + 1024 * 128);
    assert_true(s.st_blocks * 512 >= s.st_size);
    assert_int_equal(s.st_mode & 0777, 0600);
    assert_int_not_equal(access(making, F_OK), 0);
    lun_journal_unlink(j);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path), free(making);
}

static void a_journal_that_is_held_is_alive_and_a_closed_one_dead(void **state)
{
    (void)state;
    struct lun_journal *j = create(2, 8), *other;
    assert_int_equal(lun_journal_open_dead(folder, 2, "owner", &other), LUN_JOURNAL_ALIVE);
    assert_null(other);
    assert_int_equal(lun_journal_open_dead(folder, 3, "owner", &other), LUN_JOURNAL_ABSENT);
    lun_journal_close(j);
    other = dead(2);
    struct lun_journal *third;
    assert_int_equal(lun_journal_open_dead(folder, 2, "owner", &third), LUN_JOURNAL_ALIVE);     /* whoever recovers it holds it */
    lun_journal_close(other);
}

static void a_process_that_was_killed_leaves_what_it_wrote(void **state)
{
    (void)state;
    struct lun_dispatch d = some_dispatch(11), got;
    struct lun_settle s;
    int status;
    pid_t pid = fork();
    if (!pid) {
        struct lun_journal *j = create(4, 16);
        lun_journal_dispatch(j, 3, &d);
        raise(SIGKILL);
    }
    waitpid(pid, &status, 0);
    struct lun_journal *j = dead(4);
    assert_true(lun_journal_complete(j, "boot-1"));
    assert_false(lun_journal_complete(j, "boot-2"));
    assert_false(lun_journal_complete(j, ""));
    assert_int_equal(lun_journal_read(j, 3, &got, &s), LUN_JOURNAL_DISPATCHED);
    assert_memory_equal(&got, &d, sizeof d);
    lun_journal_close(j);
}

static void what_is_distrusted_stays_so(void **state)
{
    (void)state;
    struct lun_journal *j = create(4, 16);
    lun_journal_distrust(j);
    lun_journal_close(j);
    j = dead(4);
    assert_false(lun_journal_complete(j, "boot-1"));
    lun_journal_close(j);
}

static void write_at(const char *name, off_t at, const char *bytes, size_t n, off_t length)
{
    char *path = lun_printf("%s/%s", folder, name);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && (length < 0 || !ftruncate(fd, length)) && (!n || pwrite(fd, bytes, n, at) == (ssize_t)n));
    close(fd);
    free(path);
}

static void a_damaged_or_shortened_one_is_read_as_far_as_it_goes_and_is_not_complete(void **state)
{
    (void)state;
    struct lun_dispatch d = some_dispatch(1), got;
    struct lun_settle s;
    struct lun_journal *j = create(5, 64);
    lun_journal_dispatch(j, 0, &d), lun_journal_dispatch(j, 63, &d);
    lun_journal_close(j);
    write_at("journal.5", 0, NULL, 0, 4096 + 32 * 128 + 7);
    j = dead(5);
    assert_false(lun_journal_complete(j, "boot-1"));
    assert_int_equal(lun_journal_slots(j), 32);
    assert_int_equal(lun_journal_read(j, 0, &got, &s), LUN_JOURNAL_DISPATCHED);
    lun_journal_close(j);
    write_at("journal.5", 9, "X", 1, -1);
    j = dead(5);
    assert_false(lun_journal_complete(j, "boot-1"));
    assert_int_equal(lun_journal_read(j, 0, &got, &s), LUN_JOURNAL_DISPATCHED);
    lun_journal_close(j);
    write_at("journal.5", 0, NULL, 0, 0);
    j = dead(5);
    assert_false(lun_journal_complete(j, "boot-1"));
    assert_int_equal(lun_journal_slots(j), 0);
    lun_journal_close(j);
}

static void one_is_never_replaced_nor_read_for_another_ledger(void **state)
{
    (void)state;
    char *error;
    struct lun_dispatch d = some_dispatch(1), got;
    struct lun_settle s;
    struct lun_journal *j = create(5, 8), *other;
    lun_journal_dispatch(j, 0, &d);
    assert_null(lun_journal_create(folder, 5, "somebody", "boot-1", 8, &error));
    assert_non_null(strstr(error, "File exists"));
    free(error);
    assert_int_equal(lun_journal_read(j, 0, &got, &s), LUN_JOURNAL_DISPATCHED);
    lun_journal_close(j);
    assert_int_equal(lun_journal_open_dead(folder, 5, "somebody", &other), LUN_JOURNAL_ABSENT);
    assert_true(lun_journal_there(folder, 5));
    assert_false(lun_journal_there(folder, 6));
}

static void add(void *self, uint32_t run) { *(uint64_t *)self += run; }

static void a_folder_is_searched_for_finished_journals_only(void **state)
{
    (void)state;
    uint64_t sum = 0;
    lun_journal_close(create(1, 8)), lun_journal_close(create(20, 8));
    write_at("journal.x", 0, "", 0, -1), write_at("journal.3.new", 0, "", 0, -1), write_at("journal.03", 0, "", 0, -1), write_at("journal.99999999999", 0, "", 0, -1);
    write_at("making-journal.400", 0, "", 0, -1);
    assert_true(lun_journal_each(folder, add, &sum));
    assert_int_equal(sum, 21);
    char *left = lun_printf("%s/making-journal.400", folder);
    assert_int_not_equal(access(left, F_OK), 0);                  /* nobody makes it any more */
    free(left);
    assert_false(lun_journal_each("/nowhere", add, &sum));
}

static void one_that_cannot_be_made_says_where_and_why(void **state)
{
    (void)state;
    char *error;
    assert_null(lun_journal_create("/nowhere/at/all", 1, "o", "b", 8, &error));
    assert_non_null(strstr(error, "/nowhere/at/all/journal.1"));
    assert_non_null(strstr(error, "No such file"));
    free(error);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(the_checksum_is_castagnolis_with_and_without_the_instruction),
        T(a_slot_says_what_was_written_there),
        T(no_torn_line_is_taken_for_a_whole_one),
        T(every_prefix_of_a_first_line_is_nothing_until_the_last_byte),
        T(a_line_that_nobody_writes_is_not_charged),
        T(the_file_is_written_out_with_no_holes_and_for_its_owner_alone),
        T(a_journal_that_is_held_is_alive_and_a_closed_one_dead),
        T(a_process_that_was_killed_leaves_what_it_wrote),
        T(what_is_distrusted_stays_so),
        T(a_damaged_or_shortened_one_is_read_as_far_as_it_goes_and_is_not_complete),
        T(one_is_never_replaced_nor_read_for_another_ledger),
        T(a_folder_is_searched_for_finished_journals_only),
        T(one_that_cannot_be_made_says_where_and_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

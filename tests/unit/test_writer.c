#include "base/writer.h"
#include "base/buf.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], file[80], moved[80];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lunette-writer-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(file, sizeof file, "%s/log.jsonl", folder);
    snprintf(moved, sizeof moved, "%s/log.jsonl.1", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(moved);
    if (unlink(file)) rmdir(file);
    return rmdir(folder);
}

static struct lun_writer *open_writer(const char *path)
{
    char *error;
    struct lun_writer *w = lun_writer_new(path, &error);
    if (!w) fail_msg("%s", error);
    return w;
}

static void put(struct lun_writer *w, const char *line) { lun_writer_put(w, line, strlen(line)); }

static void read_to_end(int fd, struct lun_buf *out)
{
    ssize_t n;
    while ((n = read(fd, lun_buf_space(out, 65536), 65536)) > 0) out->n += (size_t)n;
    close(fd);
}

static void assert_file(const char *path, const char *expected)
{
    struct lun_buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    read_to_end(fd, &text);
    assert_string_equal(lun_buf_text(&text), expected);
    lun_buf_free(&text);
}

/* A pipe that can be opened by its name. */
struct tube { int ends[2]; char path[40]; };

static void open_tube(struct tube *t)
{
    assert_int_equal(pipe2(t->ends, O_CLOEXEC), 0);
    snprintf(t->path, sizeof t->path, "/proc/self/fd/%d", t->ends[1]);
}

static void lines_are_appended_in_their_order(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct lun_writer *w = open_writer(file);
        put(w, "{\"a\":1}");
        lun_writer_put(w, "", 0);
        put(w, "{\"a\":2}");
        if (round) lun_writer_flush(w);
        lun_writer_free(w);
    }
    assert_file(file, "{\"a\":1}\n\n{\"a\":2}\n{\"a\":1}\n\n{\"a\":2}\n");
    struct stat s;
    assert_int_equal(stat(file, &s), 0);
    assert_int_equal(s.st_mode & 07, 0);
}

static void a_line_comes_by_itself(void **state)
{
    (void)state;
    struct tube t;
    char line[16];
    open_tube(&t);
    struct lun_writer *w = open_writer(t.path);
    for (int i = 0; i < 3; i++) {
        put(w, "here");
        assert_int_equal(poll(&(struct pollfd){ .fd = t.ends[0], .events = POLLIN }, 1, 10000), 1);
        assert_int_equal(read(t.ends[0], line, sizeof line), 5);
    }
    lun_writer_free(w);
    close(t.ends[0]);
    close(t.ends[1]);
}

enum { THREADS = 6, EACH = 3000 };
struct many { struct lun_writer *w; char name; };

static void *put_many(void *arg)
{
    struct many *m = arg;
    char line[700];
    for (int i = 0; i < EACH; i++) {
        int n = snprintf(line, sizeof line, "%c%d ", m->name, i);
        memset(line + n, m->name, (size_t)(i % 600));
        lun_writer_put(m->w, line, (size_t)(n + i % 600));
    }
    return NULL;
}

static void lines_of_many_threads_stay_whole(void **state)
{
    (void)state;
    struct lun_writer *w = open_writer(file);
    struct many many[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        many[i] = (struct many){ w, (char)('a' + i) };
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, &many[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(lun_writer_dropped(w), 0);
    lun_writer_free(w);
    FILE *f = fopen(file, "r");
    char line[1024];
    int next[THREADS] = {0}, lines = 0;
    for (; fgets(line, sizeof line, f); lines++) {
        int who = line[0] - 'a', n = 0, i = -1;
        assert_in_range(who, 0, THREADS - 1);
        assert_int_equal(sscanf(line + 1, "%d%n", &i, &n), 1);
        assert_int_equal(line[1 + n++], ' ');
        assert_int_equal(i, next[who]++);
        assert_int_equal(strspn(line + 1 + n, (char[]){ line[0], 0 }), i % 600);
        assert_string_equal(line + 1 + n + i % 600, "\n");
    }
    fclose(f);
    assert_int_equal(lines, THREADS * EACH);
}

static void *drain(void *arg)
{
    struct tube *t = arg;
    struct lun_buf *text = calloc(1, sizeof *text);
    read_to_end(t->ends[0], text);
    return text;
}

static void a_slow_disk_costs_lines_but_nobody_waits(void **state)
{
    (void)state;
    enum { LINES = 200, LENGTH = LUN_WRITER_LINE - 1 };
    struct tube t;
    open_tube(&t);
    struct lun_writer *w = open_writer(t.path);
    char *line = malloc(LENGTH);
    memset(line, 'x', LENGTH);
    for (int i = 0; i < LINES; i++) lun_writer_put(w, line, LENGTH);        /* nobody reads: it would hang here */
    uint64_t dropped = lun_writer_dropped(w);
    assert_in_range(dropped, LINES - LUN_WRITER_ROOM / LUN_WRITER_LINE - 2, LINES - 1);
    pthread_t reader;
    void *read = NULL;
    assert_int_equal(pthread_create(&reader, NULL, drain, &t), 0);
    lun_writer_flush(w);
    assert_int_equal(lun_writer_dropped(w), dropped);
    lun_writer_free(w);
    close(t.ends[1]);
    pthread_join(reader, &read);
    struct lun_buf *text = read;
    assert_int_equal(text->n, (LINES - dropped) * (LENGTH + 1));
    for (size_t i = 0; i < text->n; i++) assert_int_equal(text->at[i], (i + 1) % (LENGTH + 1) ? 'x' : '\n');
    lun_buf_free(text);
    free(text);
    free(line);
}

static void a_reader_that_never_reads_does_not_hold_the_end(void **state)
{
    (void)state;
    struct tube t;
    open_tube(&t);
    struct lun_writer *w = open_writer(t.path);
    char line[1000];
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 1000; i++) lun_writer_put(w, line, sizeof line);
    lun_writer_free(w);
    close(t.ends[0]);
    close(t.ends[1]);
}

static void a_reader_that_left_costs_lines_and_nothing_else(void **state)
{
    (void)state;
    struct tube t;
    open_tube(&t);
    struct lun_writer *w = open_writer(t.path);
    close(t.ends[0]);
    close(t.ends[1]);
    put(w, "nobody");
    put(w, "hears");
    lun_writer_flush(w);
    assert_int_equal(lun_writer_dropped(w), 2);
    assert_int_equal(lun_writer_error(w), EPIPE);
    lun_writer_free(w);
}

static void a_moved_file_is_left_at_the_very_line(void **state)
{
    (void)state;
    struct lun_writer *w = open_writer(file);
    put(w, "before");
    assert_int_equal(rename(file, moved), 0);
    put(w, "still before");
    lun_writer_reopen(w);
    put(w, "after");
    lun_writer_flush(w);
    assert_file(moved, "before\nstill before\n");
    assert_file(file, "after\n");
    assert_int_equal(unlink(moved), 0);
    assert_int_equal(rename(file, moved), 0);
    lun_writer_reopen(w);
    lun_writer_flush(w);
    assert_file(file, "");
    lun_writer_free(w);
}

static void what_cannot_be_opened_anew_is_kept(void **state)
{
    (void)state;
    struct lun_writer *w = open_writer(file);
    assert_int_equal(rename(file, moved), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    lun_writer_reopen(w);
    put(w, "kept");
    lun_writer_flush(w);
    assert_file(moved, "kept\n");
    assert_int_equal(lun_writer_error(w), EISDIR);
    assert_int_equal(lun_writer_dropped(w), 0);
    assert_int_equal(rmdir(file), 0);
    lun_writer_reopen(w);
    lun_writer_flush(w);
    assert_int_equal(lun_writer_error(w), 0);
    lun_writer_free(w);
}

static void what_is_no_line_is_dropped_and_counted(void **state)
{
    (void)state;
    struct lun_writer *w = open_writer(file);
    char *line = calloc(1, LUN_WRITER_LINE);
    memset(line, 'x', LUN_WRITER_LINE);
    lun_writer_put(w, line, LUN_WRITER_LINE);
    put(w, "two\nlines");
    assert_int_equal(lun_writer_dropped(w), 2);
    put(w, "one");
    lun_writer_free(w);
    assert_file(file, "one\n");
    free(line);
}

/* A limit on the file's size stands for a full disk: the first write ends within a line, the next fails. */
static void a_full_disk_tears_one_line_and_not_the_next(void **state)
{
    (void)state;
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){ 15, before.rlim_max };
    struct lun_writer *w = open_writer(file);
    setrlimit(RLIMIT_FSIZE, &small);
    put(w, "0123456789");
    lun_writer_flush(w);
    put(w, "0123456789");
    lun_writer_flush(w);
    put(w, "lost");
    lun_writer_flush(w);
    int error = lun_writer_error(w);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(error, EFBIG);
    assert_int_equal(lun_writer_dropped(w), 2);
    put(w, "whole");
    lun_writer_flush(w);
    assert_int_equal(lun_writer_error(w), 0);
    lun_writer_free(w);
    assert_file(file, "0123456789\n0123\nwhole\n");
}

static void a_line_that_an_earlier_process_left_torn_is_ended_first(void **state)
{
    (void)state;
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "whole\ntor", 9), 9);
    close(fd);
    struct lun_writer *w = open_writer(file);
    put(w, "mine");
    lun_writer_free(w);
    assert_file(file, "whole\ntor\nmine\n");
}

/* Makes `fd` stdout while the writer is opened. */
static struct lun_writer *open_on_stdout(int fd)
{
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    struct lun_writer *w = open_writer("-");
    dup2(kept, STDOUT_FILENO);
    close(kept);
    return w;
}

static void a_dash_is_stdout(void **state)
{
    (void)state;
    struct lun_buf text = {0};
    struct tube t;
    open_tube(&t);
    struct lun_writer *w = open_on_stdout(t.ends[1]);
    put(w, "out");
    lun_writer_reopen(w);
    lun_writer_flush(w);
    put(w, "and out");
    lun_writer_free(w);
    close(t.ends[1]);
    read_to_end(t.ends[0], &text);
    assert_string_equal(lun_buf_text(&text), "out\nand out\n");
    lun_buf_free(&text);
}

/* A pipe in packet mode: one read gives what one write wrote. */
static void a_pipe_is_written_in_whole_lines(void **state)
{
    (void)state;
    int ends[2], lines = 0;
    char line[1000], packet[65536];
    ssize_t n;
    assert_int_equal(pipe2(ends, O_DIRECT | O_CLOEXEC), 0);
    struct lun_writer *w = open_on_stdout(ends[1]);
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 30; i++) lun_writer_put(w, line, sizeof line - (size_t)i);
    lun_writer_free(w);
    close(ends[1]);
    while ((n = read(ends[0], packet, sizeof packet)) > 0) {
        assert_int_equal(packet[n - 1], '\n');
        for (ssize_t i = 0; i < n; i++) lines += packet[i] == '\n';
    }
    assert_int_equal(lines, 30);
    close(ends[0]);
}

static void what_cannot_be_opened_is_said(void **state)
{
    (void)state;
    char *error = NULL, path[100];
    assert_null(lun_writer_new(folder, &error));
    assert_non_null(strstr(error, folder));
    assert_non_null(strstr(error, strerror(EISDIR)));
    free(error);
    snprintf(path, sizeof path, "%s/none/log", folder);
    assert_null(lun_writer_new(path, &error));
    assert_non_null(strstr(error, strerror(ENOENT)));
    assert_null(strstr(error, "request log"));          /* it may be the audit log */
    free(error);
    lun_writer_free(NULL);
}

/* Told by its name among the threads of this process. */
static void its_thread_pushes_nobody_off_a_processor(void **state)
{
    (void)state;
    struct lun_writer *w = open_writer(file);
    put(w, "it has begun");
    lun_writer_flush(w);
    DIR *tasks = opendir("/proc/self/task");
    int found = 0, lags = 0;
    for (struct dirent *e; (e = readdir(tasks)); ) {
        char path[300], name[20] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        if (fgets(name, sizeof name, f) && !strcmp(name, "lunette-log\n")) found++, lags += sched_getscheduler(atoi(e->d_name)) == SCHED_BATCH;
        fclose(f);
    }
    closedir(tasks);
    assert_int_equal(found, 1);
    assert_int_equal(lags, 1);
    lun_writer_free(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_are_appended_in_their_order), TEST(lines_of_many_threads_stay_whole), TEST(a_moved_file_is_left_at_the_very_line),
        TEST(what_cannot_be_opened_anew_is_kept), TEST(what_is_no_line_is_dropped_and_counted),
        TEST(a_full_disk_tears_one_line_and_not_the_next), TEST(a_line_that_an_earlier_process_left_torn_is_ended_first), TEST(what_cannot_be_opened_is_said),
        TEST(its_thread_pushes_nobody_off_a_processor),
        cmocka_unit_test(a_line_comes_by_itself), cmocka_unit_test(a_slow_disk_costs_lines_but_nobody_waits),
        cmocka_unit_test(a_reader_that_never_reads_does_not_hold_the_end),
        cmocka_unit_test(a_reader_that_left_costs_lines_and_nothing_else), cmocka_unit_test(a_dash_is_stdout), cmocka_unit_test(a_pipe_is_written_in_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

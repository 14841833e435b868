/* Files in a folder of their own, a reactor that is turned until something is told. That nothing is told of a change shows by a second
 * watch: what it watches is changed afterwards, and is told. */
#include "base/alloc.h"
#include "base/buf.h"
#include "wire/watch.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#define QUIET (20 * LUN_MS)

static struct lun_reactor *reactor;
static char top[64];
static struct lun_watch *watch, *sentinel;
static int told, sentinel_told, turns;
static int watches_left = INT_MAX, queue, own_queue;

/* Instead of the C library's: the system may have run out, and a test may look at the queue itself. */
int inotify_init1(int flags) { return queue = (int)syscall(SYS_inotify_init1, flags); }

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    if (watches_left-- <= 0) { errno = ENOSPC; return -1; }
    return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

/* ---- a folder ---- */

static const char *in(const char *name)
{
    static char paths[8][PATH_MAX];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", top, name);
    return path;
}

static int begin(const char *name, const char *text)
{
    int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static void put(const char *name, const char *text) { close(begin(name, text)); }
static void move(const char *from, const char *to) { assert_int_equal(rename(in(from), in(to)), 0); }
static void drop(const char *name) { assert_int_equal(unlink(in(name)), 0); }
static void folder(const char *name) { assert_int_equal(mkdir(in(name), 0700), 0); }
static void drop_folder(const char *name) { assert_int_equal(rmdir(in(name)), 0); }
static void point(const char *name, const char *to) { assert_int_equal(symlink(to, in(name)), 0); }

/* ---- watches ---- */

static struct event *tick;
static void on_tick(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, (void)self; }    /* so that a wait can fail */

static void on_change(void *self) { ++*(int *)self; }

static void files(const char *a, const char *b)
{
    lun_reactor_enter(reactor);
    lun_watch_files(watch, (const char *const[]){ a, b }, b ? 2 : 1);
    lun_reactor_leave(reactor);
}

static void turn(void)
{
    event_base_loop(reactor->base, EVLOOP_ONCE);
    turns++;
}

static void wait_for(int *what, int count)
{
    lun_us limit = lun_clock_now() + 10 * LUN_SECOND;
    while (*what < count) {
        turn();
        if (lun_clock_now() > limit) fail_msg("it was not told");
    }
}

/* What comes later has been told. */
static void pass(void)
{
    int before = sentinel_told;
    while (event_base_loop(reactor->base, EVLOOP_NONBLOCK), sentinel_told != before) before = sentinel_told;
    put("sentinel", "again");
    wait_for(&sentinel_told, before + 1);
}

static void assert_told(int count)
{
    wait_for(&told, count);
    pass();
    assert_int_equal(told, count);
    assert_null(lun_watch_problem(watch));
}

static void assert_nothing(void)
{
    int before = told;
    pass();
    assert_int_equal(told, before);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(top, "/tmp/lunette-watch-XXXXXX");
    if (!mkdtemp(top)) return -1;
    told = sentinel_told = turns = 0;
    watches_left = INT_MAX;
    reactor = lun_reactor_new(NULL);
    tick = event_new(reactor->base, -1, EV_PERSIST, on_tick, NULL);
    event_add(tick, &(struct timeval){ .tv_sec = 1 });
    lun_reactor_enter(reactor);
    watch = lun_watch_new(reactor, QUIET, on_change, &told);
    own_queue = queue;
    sentinel = lun_watch_new(reactor, QUIET, on_change, &sentinel_told);
    put("sentinel", "");
    lun_watch_files(sentinel, (const char *const[]){ in("sentinel") }, 1);
    lun_reactor_leave(reactor);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[PATH_MAX];
    lun_reactor_enter(reactor);
    lun_watch_free(watch);
    lun_watch_free(sentinel);
    lun_reactor_leave(reactor);
    event_free(tick);
    lun_reactor_free(reactor);
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command);
}

/* ---- one file ---- */

static void what_is_written_in_place_is_told_once(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    assert_nothing();
    int fd = open(in("a.lua"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "two", 3, 0), 3);
    close(fd);
    assert_told(1);
    put("a.lua", "truncated and written");
    assert_told(2);
}

static void what_is_written_beside_and_renamed_is_told_once(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    for (int i = 1; i <= 3; i++) {
        put("a.lua.tmp", "the next");
        move("a.lua.tmp", "a.lua");
        assert_told(i);
    }
    put("a.lua", "and in place, the new one");
    assert_told(4);
    move("a.lua", "a.lua~");                /* as editors that keep the old one */
    put("a.lua", "another");
    assert_told(5);
}

static void several_changes_are_one(void **state)
{
    (void)state;
    put("a.lua", "one");
    put("b.lua", "one");
    files(in("a.lua"), in("b.lua"));
    for (int i = 0; i < 20; i++) {
        put(i % 2 ? "a.lua" : "b.lua", "more");
        event_base_loop(reactor->base, EVLOOP_NONBLOCK);
    }
    assert_told(1);
}

static void a_file_may_vanish_and_come_back(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    drop("a.lua");
    assert_told(1);
    put("a.lua", "two");
    assert_told(2);
    put("a.lua", "three");
    assert_told(3);
}

static void a_file_may_come_later(void **state)
{
    (void)state;
    files(in("a.lua"), NULL);
    assert_nothing();
    put("a.lua", "one");
    assert_told(1);
    put("a.lua", "two");
    assert_told(2);
}

static void a_path_may_be_relative(void **state)
{
    (void)state;
    int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put("a.lua", "one");
    assert_int_equal(chdir(top), 0);
    files("./a.lua", NULL);
    assert_int_equal(fchdir(back), 0);
    close(back);
    put("a.lua", "two");
    assert_told(1);
}

static void permissions_are_no_content(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    assert_int_equal(chmod(in("a.lua"), 0640), 0);
    assert_nothing();
}

/* As where a single file is mounted into a container: the folder of the path does not tell. */
static void a_change_under_another_name_is_seen(void **state)
{
    (void)state;
    folder("other");
    put("a.lua", "one");
    assert_int_equal(link(in("a.lua"), in("other/b.lua")), 0);
    files(in("a.lua"), NULL);
    put("other/b.lua", "two");
    assert_told(1);
}

/* ---- links ---- */

static void a_link_counts_and_so_does_what_it_points_to(void **state)
{
    (void)state;
    folder("real");
    put("real/a.lua", "one");
    put("real/b.lua", "two");
    point("a.lua", "real/a.lua");
    files(in("a.lua"), NULL);
    put("real/a.lua", "more");
    assert_told(1);
    point("tmp", in("real/b.lua"));
    move("tmp", "a.lua");
    assert_told(2);
    put("real/a.lua", "nobody reads this any more");
    assert_nothing();
    put("real/b.lua", "more");
    assert_told(3);
}

static void every_folder_on_the_way_may_be_a_link(void **state)
{
    (void)state;
    folder("one"), folder("one/sub"), folder("two"), folder("two/sub");
    put("one/sub/a.lua", "one");
    put("two/sub/a.lua", "two");
    point("up", "one/../current");
    point("current", "one");
    files(in("up/sub/../sub/a.lua"), NULL);
    point("tmp", "two");
    move("tmp", "current");
    assert_told(1);
    put("one/sub/a.lua", "nobody reads this any more");
    assert_nothing();
    put("two/sub/a.lua", "more");
    assert_told(2);
    drop("current");
    assert_told(3);
    point("current", "one");
    assert_told(4);
}

static void a_link_to_itself_ends(void **state)
{
    (void)state;
    point("a.lua", "b.lua");
    point("b.lua", "a.lua");
    files(in("a.lua"), NULL);
    drop("b.lua");
    put("b.lua", "one");
    assert_told(1);
}

/* The steps of Kubernetes' atomic writer. */
static void swap_volume(const char *from, const char *to)
{
    char name[64];
    snprintf(name, sizeof name, "volume/%s", to);
    folder(name);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "volume/%s/%s", to, i ? "policy.lua" : "gateway.lua");
        put(name, to);
    }
    point("volume/..data_tmp", to);
    move("volume/..data_tmp", "volume/..data");
    if (!from) return;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "volume/%s/%s", from, i ? "policy.lua" : "gateway.lua");
        drop(name);
    }
    snprintf(name, sizeof name, "volume/%s", from);
    drop_folder(name);
}

static void a_kubernetes_volume_changes_once(void **state)
{
    (void)state;
    char next[32], last[32] = "..2024_0";
    folder("volume");
    swap_volume(NULL, last);
    point("volume/gateway.lua", "..data/gateway.lua");
    point("volume/policy.lua", "..data/policy.lua");
    files(in("volume/gateway.lua"), in("volume/policy.lua"));
    for (int i = 1; i <= 3; i++) {
        snprintf(next, sizeof next, "..2024_%d", i);
        swap_volume(last, next);
        assert_told(i);
        strcpy(last, next);
    }
    put("volume/..2024_3/policy.lua", "written where it is");
    assert_told(4);
}

/* ---- half-written ---- */

static void a_file_is_told_when_its_writer_has_closed_it(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    int fd = begin("a.lua", "half");
    assert_nothing();
    assert_int_equal(write(fd, " and half", 9), 9);
    assert_nothing();
    close(fd);
    assert_told(1);
}

static void so_is_one_that_is_made_anew(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    drop("a.lua");
    int fd = begin("a.lua", "half");
    assert_nothing();
    close(fd);
    assert_told(1);
    drop("a.lua");
    fd = begin("a.lua", "");
    assert_nothing();
    assert_int_equal(write(fd, "all", 3), 3);
    close(fd);
    assert_told(2);
}

static void a_second_name_and_a_link_are_complete(void **state)
{
    (void)state;
    put("b.lua", "one");
    files(in("a.lua"), NULL);
    lun_us from = lun_clock_now();
    assert_int_equal(link(in("b.lua"), in("a.lua")), 0);
    wait_for(&told, 1);
    drop("a.lua");
    point("a.lua", "b.lua");
    wait_for(&told, 2);
    assert_true(lun_clock_now() - from < 40 * QUIET);       /* less than the patience with a writer */
}

static void a_writer_that_never_closes_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    put("a.lua", "one");
    put("b.lua", "one");
    files(in("a.lua"), in("b.lua"));
    lun_us from = lun_clock_now();
    int fd = begin("a.lua", "half");
    wait_for(&told, 1);
    assert_true(lun_clock_now() - from >= 50 * QUIET);
    from = lun_clock_now();
    put("b.lua", "two");
    assert_told(2);
    assert_true(lun_clock_now() - from < 40 * QUIET);
    close(fd);
}

static void one_that_never_rests_is_told_all_the_same(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    lun_us limit = lun_clock_now() + 10 * LUN_SECOND;
    while (!told && lun_clock_now() < limit) {
        put("a.lua", "again");
        event_base_loop(reactor->base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(told, 1);
}

/* ---- others ---- */

static void other_names_cause_nothing(void **state)
{
    (void)state;
    put("a.lua", "one");
    int log = begin("requests.jsonl", "");
    files(in("a.lua"), NULL);
    assert_nothing();
    for (int i = 0; i < 1000; i++) assert_int_equal(write(log, "{}\n", 3), 3);
    event_base_loop(reactor->base, EVLOOP_NONBLOCK);
    assert_nothing();
    close(log);
    put(".a.lua.swp", "");
    put("4913", "");
    drop("4913");
    folder(".lunette");
    put(".lunette/state", "");
    put("b.lua", "");
    move("b.lua", "a.lua.bak");
    assert_nothing();
}

static void a_log_that_is_written_wakes_nobody(void **state)
{
    (void)state;
    put("a.lua", "one");
    int log = begin("requests.jsonl", "");
    files(in("a.lua"), NULL);
    assert_nothing();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(write(log, "{}\n", 3), 3);
        assert_int_equal(poll(&(struct pollfd){ .fd = own_queue, .events = POLLIN }, 1, 0), 0);
    }
    turns = 0;
    pass();
    assert_true(turns < 20);        /* and nothing spins */
    close(log);
}

static void a_lua_file_that_is_new_counts_if_asked_for(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    put("b.lua", "not asked for");
    assert_nothing();
    lun_watch_any_lua(watch, true);
    files(in("a.lua"), NULL);
    int fd = begin("c.lua", "half");
    assert_nothing();
    close(fd);
    assert_told(1);
    put("tmp", "two");
    move("tmp", "d.lua");
    assert_told(2);
    put("a.lua", "two");
    assert_told(3);
    put("requests.jsonl", "");
    put(".#a.lua", "");
    folder("e.lua");
    assert_nothing();
}

static void what_is_no_longer_named_causes_nothing(void **state)
{
    (void)state;
    put("a.lua", "one");
    put("b.lua", "one");
    files(in("a.lua"), in("b.lua"));
    files(in("b.lua"), NULL);
    put("a.lua", "two");
    assert_nothing();
    put("b.lua", "two");
    assert_told(1);
}

/* ---- what happened in between ---- */

static void a_change_before_the_set_is_renewed_is_still_told(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    put("tmp", "two");
    move("tmp", "a.lua");
    files(in("a.lua"), in("b.lua"));
    assert_told(1);
}

static void a_change_since_the_files_were_read_is_told(void **state)
{
    (void)state;
    put("old.lua", "one");
    struct stat s;
    assert_int_equal(stat(in("old.lua"), &s), 0);
    lun_us old = s.st_ctim.tv_sec * LUN_SECOND + s.st_ctim.tv_nsec / 1000;
    while (lun_watch_clock() <= old) { }        /* a tick of the kernel's clock */
    lun_watch_since(watch, lun_watch_clock());
    files(in("old.lua"), NULL);
    assert_nothing();
    folder("other");
    put("other/a.lua", "changed after it was read");
    files(in("old.lua"), in("other/a.lua"));
    assert_told(1);
    files(in("old.lua"), in("other/a.lua"));
    assert_nothing();
}

static struct lun_watch *in_callback;
static void renew(void *self)
{
    on_change(self);
    lun_watch_files(in_callback, (const char *const[]){ in("b.lua") }, 1);
}
static void end(void *self)
{
    on_change(self);
    lun_watch_free(in_callback);
}

static void the_set_may_be_renewed_and_the_watch_freed_when_told(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        int count = 0;
        lun_reactor_enter(reactor);
        in_callback = lun_watch_new(reactor, QUIET, i ? end : renew, &count);
        lun_watch_files(in_callback, (const char *const[]){ in("a.lua") }, 1);
        lun_reactor_leave(reactor);
        put("a.lua", "one");
        wait_for(&count, 1);
        if (i) return;
        put("b.lua", "one");
        wait_for(&count, 2);
        lun_watch_free(in_callback);
    }
}

/* ---- folders ---- */

static void a_folder_may_be_removed_and_made_again(void **state)
{
    (void)state;
    folder("x"), folder("x/y");
    put("x/y/a.lua", "one");
    files(in("x/y/a.lua"), NULL);
    drop("x/y/a.lua"), drop_folder("x/y"), drop_folder("x");
    assert_told(1);
    folder("x");
    assert_nothing();
    folder("x/y");
    assert_nothing();
    put("x/y/a.lua", "two");
    assert_told(2);
    put("x/y/a.lua", "three");
    assert_told(3);
}

static void a_folder_may_be_moved_away_and_another_put_there(void **state)
{
    (void)state;
    folder("x"), folder("x/y"), folder("z"), folder("z/y");
    put("x/y/a.lua", "one");
    put("z/y/a.lua", "two");
    files(in("x/y/a.lua"), NULL);
    move("x", "gone");
    assert_told(1);
    move("z", "x");
    assert_told(2);
    put("gone/y/a.lua", "nobody reads this any more");
    assert_nothing();
    put("x/y/a.lua", "three");
    assert_told(3);
}

static void a_way_that_changes_and_leads_to_the_same_file_is_no_change(void **state)
{
    (void)state;
    folder("x");
    put("x/a.lua", "one");
    files(in("x/a.lua"), NULL);
    put("x/a.lua", "two");
    assert_told(1);
    move("x", "gone");
    move("gone", "x");
    assert_nothing();
}

static void folders_on_the_way_may_be_missing(void **state)
{
    (void)state;
    files(in("x/y/a.lua"), NULL);
    folder("x"), folder("x/y");
    put("x/y/a.lua", "one");
    assert_told(1);
}

static void a_file_where_a_folder_should_be_is_waited_out(void **state)
{
    (void)state;
    put("x", "a file");
    files(in("x/a.lua"), NULL);
    drop("x");
    folder("x");
    put("x/a.lua", "one");
    assert_told(1);
}

/* ---- limits ---- */

static int queue_limit(void)
{
    int limit = 0;
    FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (f && fscanf(f, "%d", &limit) != 1) limit = 0;
    if (f) fclose(f);
    return limit;
}

static void lost_events_are_a_change(void **state)
{
    (void)state;
    put("a.lua", "one");
    files(in("a.lua"), NULL);
    int limit = queue_limit();
    if (!limit || limit > 100000) skip();
    for (int i = 0; i <= limit / 2; i++) { put("other", ""); drop("other"); }
    put("tmp", "two");
    move("tmp", "a.lua");
    assert_told(1);
    put("a.lua", "the new one is watched");
    assert_told(2);
}

static void a_system_without_watches_left_says_what_to_do(void **state)
{
    (void)state;
    put("a.lua", "one");
    watches_left = 1;
    files(in("a.lua"), NULL);
    assert_non_null(strstr(lun_watch_problem(watch), "fs.inotify.max_user_watches"));
    watches_left = INT_MAX;
    files(in("a.lua"), NULL);
    assert_null(lun_watch_problem(watch));
    put("a.lua", "two");
    assert_told(1);
}

static void more_files_than_fit_are_said(void **state)
{
    (void)state;
    const char *many[LUN_WATCH_MOST + 2];
    for (int i = 0; i < LUN_WATCH_MOST + 2; i++) many[i] = lun_printf("%s/%d.lua", top, i);
    lun_reactor_enter(reactor);
    lun_watch_files(watch, many, LUN_WATCH_MOST + 2);
    lun_reactor_leave(reactor);
    assert_non_null(strstr(lun_watch_problem(watch), "of 2 files"));
    for (int i = 0; i < LUN_WATCH_MOST + 2; i++) free((char *)many[i]);
    put("999.lua", "one");
    wait_for(&told, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_is_written_in_place_is_told_once),
        T(what_is_written_beside_and_renamed_is_told_once),
        T(several_changes_are_one),
        T(a_file_may_vanish_and_come_back),
        T(a_file_may_come_later),
        T(a_path_may_be_relative),
        T(permissions_are_no_content),
        T(a_change_under_another_name_is_seen),
        T(a_link_counts_and_so_does_what_it_points_to),
        T(every_folder_on_the_way_may_be_a_link),
        T(a_link_to_itself_ends),
        T(a_kubernetes_volume_changes_once),
        T(a_file_is_told_when_its_writer_has_closed_it),
        T(so_is_one_that_is_made_anew),
        T(a_second_name_and_a_link_are_complete),
        T(a_writer_that_never_closes_is_not_waited_for_for_ever),
        T(one_that_never_rests_is_told_all_the_same),
        T(other_names_cause_nothing),
        T(a_log_that_is_written_wakes_nobody),
        T(a_lua_file_that_is_new_counts_if_asked_for),
        T(what_is_no_longer_named_causes_nothing),
        T(a_change_before_the_set_is_renewed_is_still_told),
        T(a_change_since_the_files_were_read_is_told),
        T(the_set_may_be_renewed_and_the_watch_freed_when_told),
        T(a_folder_may_be_removed_and_made_again),
        T(a_folder_may_be_moved_away_and_another_put_there),
        T(a_way_that_changes_and_leads_to_the_same_file_is_no_change),
        T(folders_on_the_way_may_be_missing),
        T(a_file_where_a_folder_should_be_is_waited_out),
        T(lost_events_are_a_change),
        T(a_system_without_watches_left_says_what_to_do),
        T(more_files_than_fit_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

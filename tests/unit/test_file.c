#include "base/file.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char top[64], file[80], beside[96];
static char order[256];                 /* what was done to the disk, in its order */
static int fail_at;                     /* which of these fails, from 1 */
static ssize_t most;                    /* one write takes at most so much */

/* Instead of the C library's, to see the order and to fail. */
static bool may(const char *what)
{
    strcat(order, what);
    if (--fail_at) return true;
    errno = ENOSPC;
    return false;
}
int fsync(int fd)
{
    struct stat s;
    return fstat(fd, &s) || !may(S_ISDIR(s.st_mode) ? "sync-folder " : "sync ") ? -1 : 0;
}
int rename(const char *from, const char *to)
{
    if (!may("rename ")) return -1;
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
ssize_t write(int fd, const void *bytes, size_t n)
{
    if (fd > 2 && !may("write ")) return -1;
    if (fd > 2 && n > (size_t)most) n = (size_t)most;
    return syscall(SYS_write, fd, bytes, n);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(top, "/tmp/lunette-file-XXXXXX");
    if (!mkdtemp(top)) return -1;
    snprintf(file, sizeof file, "%s/state", top);
    snprintf(beside, sizeof beside, "%s.new", file);
    *order = '\0';
    fail_at = 0;
    most = 1 << 20;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(beside);
    if (unlink(file)) rmdir(file);
    return rmdir(top);
}

static void put(const char *text)
{
    const char *why;
    if (!lun_file_replace(file, text, strlen(text), &why)) fail_msg("%s", why);
    assert_null(why);
}

static void assert_holds(const char *text)
{
    const char *why;
    size_t n;
    char *got = lun_file_slurp(file, &n, &why);
    assert_non_null(got);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
    free(got);
}

static int mode(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return s.st_mode & 0777;
}

static void a_file_is_replaced_in_the_order_that_survives_a_power_cut(void **state)
{
    (void)state;
    put("one");
    assert_string_equal(order, "write sync rename sync-folder ");
    assert_holds("one");
    put("two, longer");
    put("");
    assert_holds("");
    assert_int_equal(access(beside, F_OK), -1);
}

static void it_is_for_its_owner_alone(void **state)
{
    (void)state;
    mode_t old = umask(0);
    int fd = open(beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);        /* left by somebody */
    close(fd);
    put("secret");
    assert_int_equal(mode(file), 0600);
    umask(old);
}

static void a_disk_that_takes_little_at_a_time_gets_all(void **state)
{
    (void)state;
    most = 3;
    put("more than three bytes");
    assert_holds("more than three bytes");
}

static void whatever_fails_the_old_file_stands(void **state)
{
    (void)state;
    const char *why;
    put("old");
    for (int step = 1; step <= 3; step++) {
        fail_at = step;
        assert_false(lun_file_replace(file, "new", 3, &why));
        assert_string_equal(why, strerror(ENOSPC));
        assert_holds("old");
        assert_int_equal(access(beside, F_OK), -1);
    }
    fail_at = 4;
    assert_false(lun_file_replace(file, "new", 3, &why));
    assert_holds("new");
    assert_false(lun_file_replace("/nowhere/at/all", "new", 3, &why));
    assert_string_equal(why, strerror(ENOENT));
}

static void a_path_without_a_folder_is_here(void **state)
{
    (void)state;
    const char *why;
    int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(top), 0);
    bool good = lun_file_replace("state", "here", 4, &why);
    assert_int_equal(fchdir(back), 0);
    close(back);
    assert_true(good);
    assert_holds("here");
}

static void a_folder_is_made_once_for_its_owner_alone(void **state)
{
    (void)state;
    const char *why;
    mode_t old = umask(0);
    assert_true(lun_folder_make(file, &why));
    umask(old);
    assert_string_equal(order, "sync-folder ");
    assert_int_equal(mode(file), 0700);
    assert_true(lun_folder_make(file, &why));
    assert_false(lun_folder_make("/nowhere/at/all", &why));
    assert_string_equal(why, strerror(ENOENT));
    rmdir(file);
    put("a file");
    assert_false(lun_folder_make(file, &why));
    assert_string_equal(why, "is not a folder");
}

static int lock_in_another_process(void)
{
    int status;
    pid_t child = fork();
    if (!child) {
        const char *why;
        int fd = lun_file_lock(file, &why);
        _exit(fd >= 0 ? 0 : strcmp(why, "is in use by another process") ? 2 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void a_lock_is_seen_by_another_process_until_it_is_given_back(void **state)
{
    (void)state;
    const char *why;
    int fd = lun_file_lock(file, &why);
    assert_true(fd >= 0);
    assert_null(why);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(mode(file), 0600);
    assert_int_equal(lock_in_another_process(), 1);
    assert_int_equal(lun_file_lock(file, &why), -1);
    close(fd);
    assert_int_equal(lock_in_another_process(), 0);
    fd = lun_file_lock(file, &why);         /* that one has ended with it in its hands */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(lun_file_lock("/nowhere/at/all", &why), -1);
    assert_string_equal(why, strerror(ENOENT));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_file_is_replaced_in_the_order_that_survives_a_power_cut),
        T(it_is_for_its_owner_alone),
        T(a_disk_that_takes_little_at_a_time_gets_all),
        T(whatever_fails_the_old_file_stands),
        T(a_path_without_a_folder_is_here),
        T(a_folder_is_made_once_for_its_owner_alone),
        T(a_lock_is_seen_by_another_process_until_it_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

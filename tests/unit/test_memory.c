/* The memory of a process that holds keys: what others can do to it, in a child. */
#include "cli/memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static int in_a_child(int (*of)(void))
{
    int status = 0;
    pid_t child = fork();
    if (!child) _exit(of());
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int dumpable(void) { return prctl(PR_GET_DUMPABLE); }

static int private_now(void)
{
    struct rlimit cores;
    lun_memory_keep_private();
    return !dumpable() && !getrlimit(RLIMIT_CORE, &cores) && !cores.rlim_cur && !cores.rlim_max;
}

static void nobody_may_look_and_no_dump_is_written(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(dumpable), 1);
    assert_int_equal(in_a_child(private_now), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nobody_may_look_and_no_dump_is_written) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

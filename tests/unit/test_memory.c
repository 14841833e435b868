/* The memory of a process: what others can do to it, what it gives back. Each in a child. */
#include "cli/memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define MEASURED_BY_ANOTHER 1       /* their allocator keeps what was freed, on purpose */
#else
#define MEASURED_BY_ANOTHER 0
#endif

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

/* Freed, but for every sixteenth piece: nothing at the top, so that nothing goes by itself. */
enum { PIECES = 8192, PIECE = 16 << 10 };
static int gives_back_once(void)
{
    static void *pieces[PIECES];
    struct lun_memory_look look = {0};
    if (lun_memory_give_back(&look)) return 0;
    for (int i = 0; i < PIECES; i++) memset(pieces[i] = malloc(PIECE), 1, PIECE);
    bool early = lun_memory_give_back(&look);
    for (int i = 0; i < PIECES; i++) if (i % 16) free(pieces[i]);
    early |= lun_memory_give_back(&look);
    size_t full = look.least + (size_t)PIECES * PIECE;
    return !early && lun_memory_give_back(&look) && look.least < full / 2 && !lun_memory_give_back(&look);
}

static void what_was_freed_is_given_back_once_it_is_much_and_stays_free(void **state)
{
    (void)state;
    if (MEASURED_BY_ANOTHER) skip();
    assert_int_equal(in_a_child(gives_back_once), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nobody_may_look_and_no_dump_is_written),
                                        cmocka_unit_test(what_was_freed_is_given_back_once_it_is_much_and_stays_free) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

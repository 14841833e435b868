/* What becomes of the program when the system gives out no memory: core/base/alloc.h says that it says so and ends. Here one allocation after the other
 * fails, of ours and of the libraries', in a process of its own each time; what may not be is a crash, a hang, or harm to a ledger. */
#include "ledger_world.h"
#include "policy_world.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include "wire/reactor.h"
#include "wire/upstream.h"

/* ---- an allocator that fails ---- */

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define INJECTS false           /* they have allocators of their own */
static long countdown;
#else
#define INJECTS true
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static long countdown = -1;     /* the allocation that fails, counted down; below 0: none */
static bool fails(void) { return countdown >= 0 && !countdown--; }
static void *none(void) { errno = ENOMEM; return NULL; }
void *malloc(size_t n)            { return fails() ? none() : __libc_malloc(n); }
void *calloc(size_t n, size_t m)  { return fails() ? none() : __libc_calloc(n, m); }
void *realloc(void *p, size_t n)  { return fails() ? none() : __libc_realloc(p, n); }
#endif

/* ---- what is done meanwhile: each gives false where it was refused in words ---- */

static bool ask_a_policy(void)
{
    struct world w;
    world_begin(&w);
    world_policy(&w, "local lunette = require 'lunette' return { classify = function(request)\n"
                     "local t = {} for i = 1, 200 do t[i] = request.text .. i end lunette.note('n', #t) lunette.store.set('k', t) return lunette.json.encode(t):sub(1, 3):gsub('%W', '') .. 'x' end }");
    struct lun_question *q = ask(&w, HELLO);
    struct lun_thought *t = think(&w, q, LUN_HOOK_CLASSIFY);
    bool good = t->state == LUN_THOUGHT_DONE;
    lun_thought_end(t);
    over(&w, q);
    world_end(&w);
    return good;
}

static bool write_a_ledger(void)
{
    char *error = NULL;
    struct lun_ledger *l = lun_ledger_open(file, LUN_LEDGER_FOUND, &error);
    bool good = l && lun_ledger_begin(l) == LUN_LEDGER_OK;
    if (good) account(l, "total", 1000000000);
    good = good && lun_ledger_commit(l) == LUN_LEDGER_OK;
    if (l && !good && !*lun_ledger_error(l)) abort();           /* refused without a word */
    if (!l && !error) abort();
    lun_ledger_close(l);
    free(error);
    return good;
}

static bool make_connections(void)
{
    struct lun_reactor *r = lun_reactor_new(NULL);
    struct lun_upstream *u = r ? lun_upstream_new(r, NULL) : NULL;
    if (u) lun_upstream_free(u);
    lun_reactor_free(r);
    return u;
}

/* ---- one failure at a time ---- */

static struct { int status; char said[4096]; } child;

enum { DONE, REFUSED, DONE_ALL_THE_SAME };       /* exit statuses; DONE: it takes fewer allocations than that */

/* Runs it with the n-th allocation failing. */
static void run_with(bool (*job)(void), long n)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (!pid) {
        dup2(pipes[1], 2);
        alarm(20);
        signal(SIGABRT, SIG_DFL);
        countdown = n;
        bool good = job();
        _exit(good ? countdown < 0 ? DONE_ALL_THE_SAME : DONE : REFUSED);
    }
    close(pipes[1]);
    size_t used = 0;
    for (ssize_t got; (got = read(pipes[0], child.said + used, sizeof child.said - 1 - used)) > 0; ) used += (size_t)got;
    child.said[used] = 0;
    close(pipes[0]);
    while (waitpid(pid, &child.status, 0) < 0 && errno == EINTR) continue;
}

static void check_end(const char *what, long n)
{
    bool left = WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGABRT && strstr(child.said, "the system has no memory left");
    if (!left && !WIFEXITED(child.status)) fail_msg("%s, allocation %ld: ended by signal %d: %s", what, n, WTERMSIG(child.status), child.said);
    if (WIFEXITED(child.status) && WEXITSTATUS(child.status) > DONE_ALL_THE_SAME) fail_msg("%s, allocation %ld: ended with %d: %s", what, n, WEXITSTATUS(child.status), child.said);
}

/* Each `stride`-th allocation (STRESS_FIGURES=1: each one) fails, until it takes no more of them. Gives how often it ended otherwise than done. */
static int fail_each(const char *what, bool (*job)(void), long stride, void (*before)(void), void (*after)(void))
{
    int ended = 0;
    bool more = true;
    if (getenv("STRESS_FIGURES")) stride = 1;
    for (long n = 0; more && n < 100000; n += stride) {
        if (before) before();
        run_with(job, n);
        check_end(what, n);
        more = !WIFEXITED(child.status) || WEXITSTATUS(child.status) != DONE;
        ended += WIFSIGNALED(child.status) || WEXITSTATUS(child.status) == REFUSED;
        if (after) after();
        if (!more && getenv("STRESS_FIGURES")) printf("%s: %ld allocations, %d of them needed\n", what, n, ended);
    }
    assert_false(more);
    return ended;
}

static void a_policy_ends_the_program_with_a_word_or_is_served(void **state)
{
    (void)state;
    if (INJECTS) assert_true(fail_each("a policy", ask_a_policy, 23, NULL, NULL) > 10);
}

static void remove_ledger(void)
{
    for (int i = 0; i < 4; i++) {
        char path[100];
        world_path(path, sizeof path, (const char *const[]){ "", "-wal", "-shm", ".id" }[i]);
        unlink(path);
    }
}

static void a_ledger_can_be_opened(void)
{
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    begin(l);
    account(l, "total", 1000000000);
    commit(l);
    lun_ledger_close(l);
}

static void a_ledger_is_refused_in_words_and_whole_afterwards(void **state)
{
    (void)state;
    if (INJECTS) assert_true(fail_each("a ledger", write_a_ledger, 61, remove_ledger, a_ledger_can_be_opened) > 10);
}

static void connections_are_refused_or_the_program_ends_with_a_word(void **state)
{
    (void)state;
    if (INJECTS) assert_true(fail_each("connections", make_connections, 7, NULL, NULL) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_ends_the_program_with_a_word_or_is_served),
        cmocka_unit_test_setup_teardown(a_ledger_is_refused_in_words_and_whole_afterwards, world_set_up, world_tear_down),
        cmocka_unit_test(connections_are_refused_or_the_program_ends_with_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

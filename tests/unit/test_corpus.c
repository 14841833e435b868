/* The kept cases of tests/fuzz, each a text that a target once learned something from or broke at: every promise is kept for all of them. */
#include "../fuzz/fuzz.h"
#include "base/file.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CORPUS "tests/fuzz/corpus"

static const char *current;         /* the case that is being run */

void fuzz_broken(const char *file, int line, const char *promise)
{
    fail_msg("%s: %s:%d: not kept: %s", current, file, line, promise);
    abort();
}

static void run_case(const char *path, void (*target)(struct input))
{
    const char *why;
    size_t n;
    char *text = lun_file_slurp(path, &n, &why);
    if (!text) fail_msg("%s: %s", path, why);
    current = path;
    target((struct input){ text, n });
    free(text);
}

static void run_folder(const char *name, void (*target)(struct input))
{
    char *folder = lun_printf(CORPUS "/%s", name);
    DIR *d = opendir(folder);
    int cases = 0;
    if (!d) fail_msg("%s cannot be read", folder);
    for (struct dirent *e; (e = readdir(d)); ) {
        if (*e->d_name == '.') continue;
        char *path = lun_printf("%s/%s", folder, e->d_name);
        run_case(path, target);
        free(path);
        cases++;
    }
    closedir(d);
    free(folder);
    assert_true(cases > 0);
}

#define X(name) static void kept_cases_keep_the_promises_of_##name(void **state) { (void)state; run_folder(#name, fuzz_##name); }
FUZZ_TARGETS(X)
#undef X

static void every_folder_of_cases_has_a_target(void **state)
{
#define X(name) #name,
    static const char *const names[] = { FUZZ_TARGETS(X) };
#undef X
    DIR *d = opendir(CORPUS);
    (void)state;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)); ) {
        bool known = *e->d_name == '.';
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) known |= !strcmp(names[i], e->d_name);
        if (!known) fail_msg("nothing runs the cases of %s", e->d_name);
    }
    closedir(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_folder_of_cases_has_a_target),
#define X(name) cmocka_unit_test(kept_cases_keep_the_promises_of_##name),
        FUZZ_TARGETS(X)
#undef X
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the tests of the loader share: loading a text, and the mistakes as one string. */
#ifndef TESTS_LOADING_H
#define TESTS_LOADING_H
#include "script/load.h"
#include "base/alloc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* A certificate that signed itself, good for a hundred years. */
#define AUTHORITY \
    "-----BEGIN CERTIFICATE-----\n" \
    "MIIBdjCCARugAwIBAgIUbfVZQ9aJoqLdZiYhMtKYbypLnBAwCgYIKoZIzj0EAwIw\n" \
    "DzENMAsGA1UEAwwEdW5pdDAgFw0yNjExMjkxNTIxNTdaGA8yMTI2MTEwNTE1MjE1\n" \
    "N1owDzENMAsGA1UEAwwEdW5pdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEkX\n" \
    "0ontUbCF4ZeDf6hQKe/uWa3Slc7O7eaiN5ISz8v+ftfsIKziYd+TUnEIR1gsLSIj\n" \
    "9zd14Sq8z0V6fFIGWu6jUzBRMB0GA1UdDgQWBBSWRD8f+ILpuC3ezk37H048UQdn\n" \
    "lDAfBgNVHSMEGDAWgBSWRD8f+ILpuC3ezk37H048UQdnlDAPBgNVHRMBAf8EBTAD\n" \
    "AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDG7MrMiXtqTPRVQM9eWSK877Z1aDZydZKL\n" \
    "ZYAs+K3I2QIhAOAbrNPh6YqtuqE22WYr7HOZOokoGA9gJ2Xd6jrM+JhF\n" \
    "-----END CERTIFICATE-----\n"

static const char *no_environment[] = { NULL };
static enum lun_vm_cpu cpu = LUN_CPU_STEPS;     /* so that it repeats; what runs until it is stopped is quicker by the clock */
static char folder[64];

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lunette-load-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    char *command = lun_printf("rm -rf '%s'", folder);
    (void)state;
    int status = system(command);
    free(command);
    return status;
}

/* A file in the folder, with the folders on the way to it. */
static inline void put_file(const char *name, const char *text)
{
    char *path = lun_printf("%s/%s", folder, name);
    for (char *c = strchr(path + strlen(folder) + 1, '/'); c; c = strchr(c + 1, '/')) {
        *c = 0;
        mkdir(path, 0700);
        *c = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(text, 1, strlen(text), f);
    fclose(f);
    free(path);
}

/* Loads a text as gateway.lua of the folder. NULL: `told` (may be NULL) has what was told; yours to free(). */
static inline struct lun_snapshot *load_with(const char *text, const char *const *environment, struct lun_origins *origins, char **told)
{
    struct lun_mistakes m = { 0 };
    struct lun_buf out = { 0 };
    char *secrets = lun_printf("%s/run-secrets", folder);
    struct lun_load_options o = { .environment = environment, .secrets_folder = secrets, .origins = origins, .cpu = cpu };
    struct lun_snapshot *s = lun_load_text("gateway.lua", text, strlen(text), folder, &o, &m);
    lun_mistakes_print(&m, &out);
    assert_int_equal(s == NULL, m.n > 0);
    if (told) *told = lun_strndup(out.at, out.n);
    else if (!s) fail_msg("%s", lun_buf_text(&out));
    lun_buf_free(&out);
    lun_mistakes_free(&m);
    free(secrets);
    return s;
}

/* Must be refused, and with these words alone. */
static inline void refused_with(const char *text, const char *const *environment, const char *expected)
{
    char *told;
    struct lun_snapshot *s = load_with(text, environment, NULL, &told);
    if (s) fail_msg("was taken, though it should be refused with: %s\n%s", expected, text);
    if (strcmp(told, expected)) fail_msg("for\n%s\nexpected: %sgot:      %s", text, expected, told);
    free(told);
}
static inline void refused(const char *text, const char *expected) { refused_with(text, no_environment, expected); }
#endif

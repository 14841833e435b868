#include "state/ledger_inner.h"
#include "base/alloc.h"
#include "base/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Two lines: `gateway ID` and `run N`, the last run that was begun. */
static bool parse(const char *text, char gateway[33], uint32_t *run)
{
    unsigned long number;
    int used = 0;
    if (sscanf(text, "gateway %32[0-9a-f]\nrun %lu\n%n", gateway, &number, &used) != 2 || !used || text[used]) return false;
    if (strlen(gateway) != 32 || number > UINT32_MAX) return false;
    *run = (uint32_t)number;
    return true;
}

bool lun_ledger_mark_read(const char *path, char gateway[33], uint32_t *run, bool *there, char **error)
{
    char *name = lun_printf("%s.id", path), *text = NULL;
    const char *why = NULL;
    size_t n;
    bool good = true;
    *there = !access(name, F_OK) || errno != ENOENT;
    if (*there) {
        text = lun_file_slurp(name, &n, &why);
        if (text) text = lun_realloc(text, n + 1), text[n] = '\0';
        good = text && parse(text, gateway, run);
        if (!good) *error = lun_printf("%s: %s. It says which ledger belongs here: put it back, or remove it if %s is the right one", name,
                                       why ? why : "is damaged", path);
    }
    free(text), free(name);
    return good;
}

bool lun_ledger_mark_write(struct lun_ledger *l, uint32_t run)
{
    char *name = lun_printf("%s.id", l->path), *text = lun_printf("gateway %s\nrun %u\n", l->gateway, run);
    const char *why;
    bool good = lun_file_replace(name, text, strlen(text), &why);
    if (!good) lun_ledger_complain(l, "%s cannot be written: %s", name, why);
    free(name), free(text);
    return good;
}

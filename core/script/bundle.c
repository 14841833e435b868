#include "script/bundle.h"
#include <stdio.h>
#include <string.h>

const struct lun_bundle_file *lun_bundle_find(const char *name)
{
    for (const struct lun_bundle_file *f = lun_bundle; f->name; f++)
        if (!strcmp(f->name, name)) return f;
    return NULL;
}

const struct lun_bundle_file *lun_bundle_module(const char *module, int bare)
{
    char path[128];
    if (!strcmp(module, "lunette")) return lun_bundle_find("lua/lunette.lua");
    if (!strncmp(module, "lunette.", 8)) module += 8;
    else if (!bare) return NULL;
    if (!strcmp(module, "lunette") || !strcmp(module, "sandbox") || strchr(module, '/')) return NULL;
    int n = snprintf(path, sizeof path, "lua/%s", module);
    if (n < 0 || n > (int)sizeof path - 5) return NULL;
    for (char *p = path; *p; p++)
        if (*p == '.') *p = '/';
    strcat(path, ".lua");
    return lun_bundle_find(path);
}

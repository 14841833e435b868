/* A configuration of LiteLLM's proxy as gateway.lua and policy.lua: the YAML is read here, what becomes of it is said in Lua (lua/import/litellm.lua).
 * Nothing is asked, started or written; of the disk only the file itself is read and those that it includes. */
#ifndef LUN_CLI_IMPORT_LITELLM_H
#define LUN_CLI_IMPORT_LITELLM_H
#include "script/mistakes.h"
#include <stdbool.h>

enum { LUN_IMPORT_INCLUDES = 100 };     /* files that may be included */

struct lun_import_note { const char *file; int line; const char *text; };      /* one line each; no value that could be secret is in it */
struct lun_import_notes { struct lun_import_note *at; int n; };
struct lun_import_variable { const char *name, *kind; };    /* that the files ask for; kind: "secret", "hash", "url", "host", "port", "redis", "text" */

struct lun_import {
    struct lun_import_notes notes, refused;     /* what was not carried over, or not quite, by file and line; what stands in the way of all of it */
    const char *gateway, *policy;               /* texts; NULL: there is none */
    struct lun_import_variable *variables; int n_variables;
    int models, targets, left;                  /* left: deployments that were left out */
    struct lun_arena arena;                     /* what all this lies in */
};

/* Reads `path`. `prices`: what the setting of that name is to say, or NULL. False: `mistakes` says why it could not be read, or `refused` is not empty. Free it in
 * any case. */
bool lun_import_litellm(const char *path, const char *prices, struct lun_import *, struct lun_mistakes *mistakes);
/* The same of a text, which `name` stands for: it cannot include files. */
bool lun_import_litellm_text(const char *name, const char *text, size_t n, struct lun_import *, struct lun_mistakes *mistakes);
void lun_import_free(struct lun_import *);

/* What `lunette check` would say of the two texts, with something in the place of every variable. True: nothing. */
bool lun_import_check(struct lun_import *, struct lun_mistakes *);
#endif

/* One configuration on its way from text to snapshot: what the files of the loader share. For load*.c, check.c and
 * override.c alone; others use load.h. */
#ifndef LUN_SCRIPT_LOADING_H
#define LUN_SCRIPT_LOADING_H
#include "base/file.h"
#include "script/draft.h"
#include "script/given.h"
#include "script/lines.h"
#include "script/load.h"
#include "script/price_file.h"
#include "script/settings.h"
#include "script/value.h"

struct lun_loading {
    const struct lun_load_options *options;
    struct lun_mistakes *mistakes;
    int mistakes_before;                /* there already when it began */
    struct lun_snapshot *snapshot;      /* being filled */
    struct lun_arena scratch;           /* what dies when loading is over */
    struct lun_secrets *secrets;
    struct lun_vm *vm;                  /* gateway.lua's */
    struct lun_lines *lines;            /* of gateway.lua and what it requires */
    const char *prefix;                 /* how mistakes name the folder: "conf/", or "" */
    bool disk;                          /* there is a folder to read files from */
    struct lun_value *root;
    struct lun_part *parts; int n_parts, parts_room;        /* in scratch until the end */
    struct lun_secret *used; int n_used, used_room;         /* secrets whose values are in the snapshot's arena */
    struct lun_outside *outside; int n_outside, outside_room, outside_wrong;    /* LUNETTE_… of the environment that gateway.lua has no place
                                           for; how many of them had a wrong value */
    bool policy_read;                   /* it was run, and its table is fine: its settings are known */
    struct lun_price_file *prices; const char *prices_name;     /* in scratch; NULL: there is none, or it is broken */
    bool as_kept;                       /* teams and models that are named need not be there */
    struct lun_place *target_places;    /* by target index, for mistakes that name two lines */
};

/* ---- mistakes (check.c) ---- */

/* "providers.openai.key: " + what, at the line where the value is written. */
void lun_wrong(struct lun_loading *, const struct lun_value *, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for a name that is not there: at the line of the table. */
void lun_wrong_in(struct lun_loading *, const struct lun_value *table, const char *name, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* " (did you mean x?)" or "". In scratch. */
const char *lun_hint(struct lun_loading *, const char *nearest);
bool lun_loading_failed(const struct lun_loading *);    /* there is a mistake by now */

/* ---- settings (check.c) ---- */

enum { LUN_KEEP = 1 };          /* what is not said stays as it is: no defaults, nothing is required */
/* Goes through a table of that scope (NULL: it is not there, all is default): tells unknown names and wrong values, and puts
 * what has a place into `base`, the scope's struct. Tables with a place are gone through likewise. The rest is its caller's.
 * `prefix` is the table's path as lun_origin_prefix gives it, "" for the top. */
void lun_check(struct lun_loading *, enum lun_scope, struct lun_value *table, void *base, unsigned how, const char *prefix);
/* The value of a setting that the caller reads itself: NULL if it is not there, or `false` where that is an answer, or not
 * of the right kind, which has then been told. Lists and tables are checked to be that, not what is in them. */
struct lun_value *lun_check_get(struct lun_loading *, enum lun_scope, const struct lun_value *table, const char *name);
/* Gives the list entries of a table the names: { "a", 5 } → { min = "a", max = 5 }. */
void lun_check_rename(struct lun_loading *, struct lun_value *table, const char *const *names, int n);
/* Into the merged table, which only some ask for: where nobody does, paths and values need not be written. `value` as in Lua. */
bool lun_origins_wanted(const struct lun_loading *);
void lun_origin(struct lun_loading *, const struct lun_value *, const char *path, const char *value);
/* "providers.x.", which paths in that table begin with; "" where nobody asks. In scratch. */
const char *lun_origin_prefix(struct lun_loading *, const struct lun_value *table);
/* A table; told when not. */
bool lun_check_table(struct lun_loading *, const struct lun_value *);
/* One line without control characters, `most` bytes at most; told when not. */
bool lun_check_line(struct lun_loading *, const struct lun_value *, size_t most);
void lun_check_shows(struct lun_loading *, const struct lun_value *);   /* a name that people tell from others by looking; told when not. NULL is fine */
/* Text, or a secret, whose value is then copied and marked to be wiped; NULL: neither, or the secret is missing: told. */
const char *lun_check_secret(struct lun_loading *, const struct lun_value *, const char *plain_problem);
/* The entries of a table with names in the order they are written (Lua itself remembers none). In scratch. */
struct lun_value **lun_check_sorted(struct lun_loading *, const struct lun_value *table);
/* A table of texts by name. Secrets only where `secrets`. In the snapshot's arena. */
struct lun_pair *lun_check_pairs(struct lun_loading *, struct lun_value *table, bool secrets, int *n);

/* ---- overrides (override.c) ---- */

struct lun_outside { const char *name, *text, *from; bool used; };     /* the variable, its value, how mistakes call it */

/* Lays the environment, then the command line over loading->root. */
void lun_override(struct lun_loading *);
/* What the environment says of a policy's setting of that name (LUNETTE_SETTINGS_<NAME>), and that it was asked; NULL: nothing. */
const struct lun_outside *lun_override_setting(struct lun_loading *, const char *name);
/* Tells the variables that nobody has asked for. Last. */
void lun_override_rest(struct lun_loading *);

/* ---- files (load_files.c) ---- */

/* Reads a file relative to the folder into the snapshot's arena and notes it as a part. False: `why` says so (in scratch). */
bool lun_file_read(struct lun_loading *, enum lun_part_kind, const char *module, const char *name, struct lun_file *out, const char **why);
/* One that is in memory already (text copied). */
struct lun_file lun_file_note(struct lun_loading *, enum lun_part_kind, const char *module, const char *name, const char *text, size_t n, bool bundled);
/* "a.b" → "a/b.lua" below the folder of `beside` ("" or "policies/x.lua"); NULL: no name that may be required. In scratch. */
const char *lun_file_of_module(struct lun_loading *, const char *module, const char *beside);
const char *lun_file_path(struct lun_loading *, const char *name, struct lun_arena *);  /* for open(): with the folder before it */
const char *lun_file_shown(struct lun_loading *, const char *name);                 /* for mistakes */
const char *lun_part_shown(struct lun_loading *, const struct lun_part *);      /* the same of a file that was read; one of the binary is in no folder */
const char *lun_files_version(struct lun_loading *);                                /* "support.lua@a1b2c3d4e5f6" */
void lun_files_outside(struct lun_loading *);           /* fills in snapshot->outside */
void lun_files_alike(struct lun_loading *);             /* fills in snapshot->alike; behind the version */
void lun_file_looked_at(struct lun_loading *, const char *path);
/* Where a file of certificates to trust is, for open(); told of `v` when there is none in it. */
const char *lun_file_authorities(struct lun_loading *, const struct lun_value *v, const char *name);
/* Whether it is Lua; told when not, with file and line. */
bool lun_file_compiles(struct lun_loading *, const struct lun_file *);
/* "file.lua:12: message" as a mistake of that file and line; without such a beginning, of `otherwise`. */
void lun_wrong_lua(struct lun_loading *, const char *message, const char *otherwise);

/* ---- the parts of the table ---- */

void lun_load_providers(struct lun_loading *);
void lun_load_prices(struct lun_loading *);     /* the file of `prices` */
void lun_load_models(struct lun_loading *);     /* after providers and prices */
void lun_load_price(struct lun_loading *, const struct lun_value *table, struct lun_target *);     /* of lun_load_models: the rest of its price, and what the
                                                   file of prices has about it */
/* The provider of that name, which `v` says; NULL: there is none, which is told. */
const struct lun_provider *lun_load_provider_of(struct lun_loading *, const struct lun_value *v, const char *name);
void lun_load_probes(struct lun_loading *);     /* after models: whom probes by completion ask */
void lun_load_window(struct lun_loading *, const struct lun_value *budget);     /* that `window` and `per` fit; NULL is fine */
void lun_load_clients(struct lun_loading *);    /* after models; teams too */
/* One entry of `clients`; its `index` is the caller's. Of a key that is made at run time likewise (load_key.c). */
void lun_load_client(struct lun_loading *, struct lun_value *table, struct lun_client_draft *out);
void lun_load_canaries(struct lun_loading *);   /* after models */
void lun_load_policy(struct lun_loading *);
void lun_load_policy_settings(struct lun_loading *, struct lun_value *settings);    /* of lun_load_policy */
void lun_load_budgets(struct lun_loading *);    /* after clients: the zone and rules of all budgets, those of tags */
void lun_load_check_prices(struct lun_loading *);   /* after clients and budgets: a model that a hard limit lets nobody use */
void lun_load_webhook(struct lun_loading *);
void lun_load_capture(struct lun_loading *);
void lun_load_top(struct lun_loading *);        /* listen, admin, log …; last */
#endif

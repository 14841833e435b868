/* THE table of settings: everything that gateway.lua can say. What checks it, fills the snapshot in, overrides it from the
 * environment, suggests names, prints the merged table and the reference page reads this table; a new setting is one line. */
#ifndef LUN_SCRIPT_SETTINGS_H
#define LUN_SCRIPT_SETTINGS_H
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>

/* Tables with fixed names in them, and how a path into each begins. */
#define LUN_SCOPES(X) \
    X(TOP,      "") \
    X(LISTEN,   "listen.") \
    X(ADMIN,    "admin.") \
    X(TLS,      "listen.tls.") \
    X(HTTP,     "http.") \
    X(PROVIDER, "providers.NAME.") \
    X(LENGTH,   "providers.NAME.key_length.") \
    X(TIMEOUTS, "providers.NAME.timeouts.") \
    X(PROBE,    "providers.NAME.probe.") \
    X(HEALTH,   "health.") \
    X(TARGET,   "models.NAME[N].") \
    X(PRICE,    "models.NAME[N].price.") \
    X(ABOVE,    "models.NAME[N].price.above[N].") \
    X(SERVICE,  "models.NAME[N].price.flex.") \
    X(CLIENT,   "clients[N].") \
    X(TEAM,     "teams.NAME.") \
    X(BUDGETS,  "budgets.") \
    X(BUDGET,   "budgets.total.") \
    X(TAG,      "budgets.tags.NAME.") \
    X(WEBHOOK,  "webhook.") \
    X(LIMITS,   "limits.") \
    X(CANARY,   "canaries.NAME.") \
    X(CACHE,    "cache.") \
    X(CAPTURE,  "capture.") \
    X(LOG,      "log.") \
    X(REPORT,   "report.")
enum lun_scope {
#define X(id, path) LUN_SCOPE_##id,
    LUN_SCOPES(X)
#undef X
    LUN_SCOPE_COUNT
};

enum lun_setting_type {
    LUN_BOOL,           /* bool */
    LUN_INT,            /* int */
    LUN_COUNT,          /* int64_t */
    LUN_NUMBER,         /* double */
    LUN_SECONDS,        /* lun_us, said in seconds */
    LUN_SIZE,           /* int64_t bytes, said as a number or "64MiB" */
    LUN_USD,            /* int64_t nano-USD, said in USD */
    LUN_TEXT,           /* const char *, one line */
    LUN_ADDRESS,        /* const char *, to listen on; or a table of the scope `inside`, with `address` in it */
    LUN_PLACE,          /* const char *: text, or secret "NAME"; read by whoever knows what it must be, shown by him too */
    LUN_CHOICE,         /* int or bool: which one of `words` */
    /* from here on not one value; read by whoever knows the table they are in, no override from the environment */
    LUN_SECRETS,        /* secret "NAME", or a list of them */
    LUN_URL,            /* text or secret "NAME" */
    LUN_NUMBERS,        /* a list of numbers, rising */
    LUN_TEXTS,          /* a list of texts */
    LUN_PAIRS,          /* a table of texts by name */
    LUN_WORDS,          /* a list of words out of `words` */
    LUN_FACTS,          /* any plain table */
    LUN_TABLE,          /* one table of the scope `inside` */
    LUN_MAP,            /* tables of the scope `inside`, by name */
    LUN_LISTS,          /* lists of them, by name */
    LUN_LIST,           /* a list of them */
};

enum {
    LUN_REQUIRED   = 1,     /* must be there */
    LUN_CAN_BE_OFF = 2,     /* `false` is an answer: 0, -1 for a LUN_NUMBER, NULL for text */
    LUN_NOT_BUILT  = 4,     /* a later version's: refused by name; `false` is let pass */
    LUN_HIDDEN     = 8,     /* its value is never shown, not even when it is wrong */
    LUN_MORE_THAN_MIN = 16, /* min itself is too little */
};

struct lun_setting {
    enum lun_scope scope; const char *name; enum lun_setting_type type; unsigned flags;
    double min, max;            /* numbers: in the unit they are said in. Texts: of the length */
    const char *fallback;       /* as the environment would say it; NULL: none, what it goes to stays as it was */
    const char *words;          /* LUN_CHOICE, LUN_WORDS: "target|provider"; numbers and text: one word that stands for 0 */
    enum lun_scope inside;      /* tables */
    ptrdiff_t goes; size_t size;    /* where it goes in the scope's C struct; -1: not by itself (the loader knows) */
    const char *doc;            /* one sentence */
};
extern const struct lun_setting lun_settings[];
extern const int lun_settings_count;

const char *lun_scope_path(enum lun_scope);
const struct lun_setting *lun_setting_find(enum lun_scope, const char *name);
/* The nearest name in a scope, for "did you mean"; NULL: none is near. */
const char *lun_setting_nearest(enum lun_scope, const char *name);
/* "a whole number from 1 to 100 or false": follows "must be ". */
void lun_setting_must(const struct lun_setting *, char out[200]);

/* All of them as a reference in Markdown: path, what it must be, default, what it means; those not built yet are marked. */
void lun_settings_reference(struct lun_buf *out);

/* "LUNETTE_LIMITS_DEADLINE" for the path "limits.deadline". `out` takes 256 bytes; longer ones are cut. */
void lun_setting_variable(const char *path, char out[256]);
#endif

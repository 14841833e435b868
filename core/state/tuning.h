/* What somebody has set a policy's `settings` to while it runs. A policy says which settings it has, with default and bounds
 * (lun_policy_setting, in the snapshot); a tuning is the values that stand instead of the defaults: immutable once made,
 * reference-counted. A request keeps the one it began with, so that all its hooks and its log line agree. */
#ifndef LUN_STATE_TUNING_H
#define LUN_STATE_TUNING_H
#include "base/arena.h"
#include "base/json.h"
#include <stdatomic.h>
#include <stdbool.h>

enum lun_plain_type { LUN_PLAIN_NUMBER, LUN_PLAIN_BOOL, LUN_PLAIN_TEXT };
struct lun_plain { enum lun_plain_type type; double number; bool yes; const char *text; };

struct lun_policy_setting {     /* what a policy says of one of its settings */
    const char *name;
    struct lun_plain initial;
    double min, max;            /* numbers; -HUGE_VAL, HUGE_VAL: no bound */
    const char *const *choices; int n_choices;      /* texts: what it may be; none: anything */
    const char *from;           /* the environment variable that said `initial`, "LUNETTE_SETTINGS_SHARE"; NULL: the policy's own default */
};

#define LUN_PLAIN_TEXT_MOST 1024        /* bytes of a setting that is a text */
#define LUN_CHOICES_MOST 32             /* of one setting */
#define LUN_SETTING_PROBLEM 600         /* bytes that a problem takes */

/* Whether the setting may have that value. False: `problem` says what it must be, to follow the setting's name and ": ". */
bool lun_policy_setting_takes(const struct lun_policy_setting *, const struct lun_plain *, char problem[LUN_SETTING_PROBLEM]);
/* Those choices as words: `"fast" or "slow"`; many are cut short. */
const char *lun_policy_setting_choices(const struct lun_policy_setting *, char out[LUN_SETTING_PROBLEM]);
/* Reads a value said as text ("15", "true", "fast") as the setting's own type. The text is borrowed. False: as above. */
bool lun_policy_setting_read(const struct lun_policy_setting *, const char *text, struct lun_plain *, char problem[LUN_SETTING_PROBLEM]);
/* A JSON value as it is; texts are decoded into the arena. False: it is no number, text, true or false. */
bool lun_plain_of_json(struct lun_json, struct lun_arena *, struct lun_plain *);
bool lun_plain_same(const struct lun_plain *, const struct lun_plain *);
void lun_plain_put(struct lun_buf *, const struct lun_plain *);         /* as JSON */

struct lun_tuned { const char *name; struct lun_plain value; };
struct lun_tuning {
    atomic_int references;
    struct lun_arena arena;
    struct lun_tuned *items; int n;
    const char *json;           /* {"share":15} of all items; NULL: there are none */
};

/* A new one, with one reference; all is copied. */
struct lun_tuning *lun_tuning_new(const struct lun_tuned *, int n);
struct lun_tuning *lun_tuning_ref(struct lun_tuning *);         /* NULL is fine, and stands for one without items */
void lun_tuning_unref(struct lun_tuning *);                     /* any thread */
const struct lun_plain *lun_tuning_get(const struct lun_tuning *, const char *name);   /* NULL: not set; the default holds */
#endif

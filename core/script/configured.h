/* Whether a name that a policy says is one of the configuration: of `models`, of a target, of `providers`. Names of a policy that nothing has are
 * no mistake (it may serve several configurations), but worth telling. */
#ifndef LUN_SCRIPT_CONFIGURED_H
#define LUN_SCRIPT_CONFIGURED_H
#include "script/mistakes.h"
#include "state/snapshot.h"

/*  id, word for people, method of `targets` that takes such names */
#define LUN_NAMED(X) \
    X(MODEL,    "model",    "of") \
    X(TARGET,   "target",   "named") \
    X(PROVIDER, "provider", "provider")
#define X(id, ...) LUN_NAMED_##id,
enum lun_named { LUN_NAMED(X) LUN_NAMED_COUNT };
#undef X
const char *lun_named_word(enum lun_named);
const char *lun_named_method(enum lun_named);

/* A model's name also by a pattern of `models`, or in the form of that pattern. */
bool lun_configured(const struct lun_snapshot *, enum lun_named, const char *name);
const char *lun_configured_nearest(const struct lun_snapshot *, enum lun_named, const char *name);     /* NULL: none is near */

/* Adds a note for each literal name in a policy's text that the configuration does not have: `targets:of "smal"`, `:named`, `:provider`,
 * `lunette.degrade "smal"`. What is put together is not looked at. `shown`: the file's name in the notes. */
void lun_configured_notes(const struct lun_snapshot *, const char *shown, const char *text, size_t n, struct lun_mistakes *notes);
#endif

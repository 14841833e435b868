/* Between dialects: a Lua file per dialect, run in the worker's machine for house code, turns a call in the openai dialect into a letter of the
 * provider's, and what comes back into openai answers and events. */
#ifndef LUN_GATEWAY_TRANSLATE_H
#define LUN_GATEWAY_TRANSLATE_H
#include "gateway/carrier.h"

struct lun_dialects;
/* Loads the dialects that the snapshot's providers name. NULL: `error` (yours to free) says what, with file and line. */
struct lun_dialects *lun_dialects_new(const struct lun_snapshot *, char **error);
void lun_dialects_free(struct lun_dialects *);      /* no translation is open any more; NULL is fine */

struct lun_translation;
/* NULL: cannot be translated; *why (static or in the question's arena) says so. The letter is borrowed until lun_translation_free. What comes
 * back from the carrier goes into lun_translation_ear (with the translation as self), and comes out as openai at `ear`. */
struct lun_translation *lun_translation_new(struct lun_dialects *, const struct lun_call *, const struct lun_ear *ear, void *ear_self,
                                            struct lun_letter *letter, const char **why);
extern const struct lun_ear lun_translation_ear;
void lun_translation_free(struct lun_translation *);     /* NULL is fine */
#endif

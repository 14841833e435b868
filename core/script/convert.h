/* One value of a setting, from what was said to what C holds. */
#ifndef LUN_SCRIPT_CONVERT_H
#define LUN_SCRIPT_CONVERT_H
#include "script/settings.h"
#include "script/value.h"

/* Puts a single value (types up to LUN_CHOICE) into `at`, texts copied into `arena`. False: it is not what lun_setting_must
 * says, nothing was put. Values with `from` (overrides, defaults) are text and read as such. */
bool lun_convert(const struct lun_setting *, const struct lun_value *, void *at, struct lun_arena *arena);
/* As in Lua, for the merged table. */
const char *lun_convert_show(const struct lun_setting *, const struct lun_value *, struct lun_arena *);

/* "127.0.0.1:4000", "[::1]:4000", "name:4000", ":4000", "unix:/path". *local: only this machine can reach it. */
bool lun_address_valid(const char *text, bool *local);
/* The position of the word in "a|b|c", or -1. */
int lun_word_index(const char *words, const char *word);
#endif

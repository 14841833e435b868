/* Lua 5.1's patterns (reference manual, 5.4.1), matched under the run's limits: steps are counted, repetition that goes
 * through recursion is at most 200 deep ("pattern too complex"), and classes are those of ASCII whatever the locale.
 * Otherwise as LuaJIT's string library, but for three corners: %1 in a pattern that stands for a position capture is an
 * error, a % at the end of a replacement is dropped, and a NUL in a pattern is a character like any other.
 *
 * lua_CFunctions with the arguments and results of the string library. */
#ifndef LUN_SCRIPT_MATCHER_H
#define LUN_SCRIPT_MATCHER_H
#include <lua.h>

int lun_match_find(lua_State *L);       /* s, pattern, init, plain */
int lun_match_match(lua_State *L);      /* s, pattern, init */
int lun_match_gmatch(lua_State *L);     /* s, pattern */
int lun_match_gsub(lua_State *L);       /* s, pattern, replacement text, at most; result up to 2 MiB */

/* For gsub with a table or function, which is written in Lua: s, pattern, at → first and last position of the first match
 * at or after `at`, then its captures (the whole match if it has none); nil when there is none. */
int lun_match_seek(lua_State *L);
#endif

/* Order: what `pairs`, `next` and table.sort need to do the same in every process. Numbers in order, then strings by
 * bytes, then false, true, then the rest as it comes. Merge sort, stable; comparing counts as work under the run's limits.
 * lua_CFunctions for sandbox.lua. */
#ifndef LUN_SCRIPT_SORT_H
#define LUN_SCRIPT_SORT_H
#include <lua.h>

int lun_sort_keys(lua_State *L);    /* table → array of its keys in order. Raises over 65,536 keys */
int lun_sort_first(lua_State *L);   /* table → its first key and that one's value; nil for an empty one */
/* array, n → true, and [1] to [n] are sorted in place (raw), where they are all numbers or all strings; else false. */
int lun_sort_plain(lua_State *L);
#endif

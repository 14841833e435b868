/* `require "cjson"` in open machines: decode, encode and null, as dialects know them from lua-cjson. Our own, because the module of that name takes
 * Lua's functions from whatever program it is loaded into (perhaps another Lua, or none: dlopen with RTLD_LOCAL), cannot be stopped, and ends the
 * process when memory runs out.
 *
 * As there: null is a light userdata, false in no test; a table with the keys 1 to n is a list, holes are null where they are few; an empty table is
 * an object; what cannot be done raises. Unlike there: numbers keep all their digits, names are written in the order of their bytes, an
 * empty list that was decoded is written as one, and a table with both names and numbers is refused. */
#ifndef LUN_SCRIPT_CJSON_H
#define LUN_SCRIPT_CJSON_H
#include <lua.h>

int lun_cjson_open(lua_State *L);           /* for package.preload */
#endif

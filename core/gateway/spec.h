/* What specs of policies can `require`: "lunette.test", simulated gateways for busted. Its words are written in lua/test.lua; here are the
 * few that need C. The policies themselves run in their own sandboxed machines, not in the state that the specs run in. */
#ifndef LUN_GATEWAY_SPEC_H
#define LUN_GATEWAY_SPEC_H
#include <lua.h>

/* Makes require "lunette.test" work in this state, which has Lua's libraries open. */
void lun_spec_open(lua_State *L);

/* JSON for that state: json_decode(text) → value, or nil and why. null is nothing in objects, a light userdata in lists; an empty list is
 * an empty table. json_quote(text) → the text as a JSON string. */
int lun_spec_json_decode(lua_State *L);
int lun_spec_json_quote(lua_State *L);
#endif

/* What gateway.lua is given beyond the sandbox: secret, env, lunette.has_secret, lunette.merge (load.h says what they do). */
#ifndef LUN_SCRIPT_GIVEN_H
#define LUN_SCRIPT_GIVEN_H
#include "script/secret.h"
#include "script/vm.h"

/* What of it is a function: `name` as it is written, `arguments` and `doc` for people, `lua` for editors, as LuaLS writes types. The table in
 * core/script/README.md is made of these. Ends with a NULL name. */
struct lun_given { const char *name, *arguments, *lua, *doc; lua_CFunction call; };
extern const struct lun_given lun_given_functions[];

/* Outside of runs, once per machine. `secrets` is borrowed as long as the machine lives. */
void lun_given_open(struct lun_vm *, struct lun_secrets *);

/* A lun_value_secret: the const struct lun_found * behind what `secret` gave, or NULL. Never raises. */
const void *lun_given_secret(lua_State *L, int index, void *unused);
#endif

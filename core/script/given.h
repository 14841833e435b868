/* What gateway.lua is given beyond the sandbox: secret, env, lunette.has_secret, lunette.merge (load.h says what they do). */
#ifndef LUN_SCRIPT_GIVEN_H
#define LUN_SCRIPT_GIVEN_H
#include "script/secret.h"
#include "script/vm.h"

/* Outside of runs, once per machine. `secrets` is borrowed as long as the machine lives. */
void lun_given_open(struct lun_vm *, struct lun_secrets *);

/* A lun_value_secret: the const struct lun_found * behind what `secret` gave, or NULL. Never raises. */
const void *lun_given_secret(lua_State *L, int index, void *unused);
#endif

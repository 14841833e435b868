/* What the files of the binding between specs and simulations share. Nobody else includes this. */
#ifndef LUN_GATEWAY_SPEC_PARTS_H
#define LUN_GATEWAY_SPEC_PARTS_H
#include "gateway/simulate.h"
#include "gateway/spec.h"
#include <lauxlib.h>

#define LUN_SPEC_CLASS "lunette.simulation"
enum { LUN_SPEC_SETTINGS = 64 };

struct lun_spec {               /* userdata; its environment is the table of options, for `play`, `fetch`, `host`, `lines` and `messages` */
    struct lun_simulation *simulation;
    lua_State *L;               /* of the call that is moving the clock; NULL: none is */
    struct lun_log log;
    struct lun_pair settings[LUN_SPEC_SETTINGS];        /* texts of the environment table */
};

/* First and second argument of a method; raise where they are none. */
struct lun_spec *lun_spec_check(lua_State *L);
struct lun_simulated_answer *lun_spec_answer(lua_State *L);

/* Pushes one of the options onto s->L, while the clock is moved. */
void lun_spec_push(struct lun_spec *, const char *name);
/* Gives a snapshot the functions of the option `host`, by name, as `lunette.host` of its policy. L: of the call that makes the simulation. */
void lun_spec_host(struct lun_spec *, lua_State *L, struct lun_snapshot *);

extern const luaL_Reg lun_spec_looks[];         /* methods that look and move nothing */
#endif

/* The table that a policy file returns: hooks, settings, limits, checked all at once. Between policy.c and policy_table.c. */
#ifndef LUN_SCRIPT_POLICY_TABLE_H
#define LUN_SCRIPT_POLICY_TABLE_H
#include <lua.h>
#include <stdbool.h>
#include "base/buf.h"
#include "state/plan.h"
#include "state/snapshot.h"

struct lun_policy_table {
    int hooks[LUN_HOOK_COUNT];          /* registry references; LUA_NOREF: it has none */
    int settings;                       /* registry: a table of defaults by name; LUA_NOREF: it has none */
    int attempts;                       /* limits.attempts; 0: not said */
    double retries;                     /* limits.retries; -1: false */
    bool retries_said;
};

/* Reads the value on top of L, raw, and leaves it there. False: `problems` has a line for each mistake. References are made all the same. */
bool lun_policy_table_read(lua_State *L, const char *file, struct lun_policy_table *, struct lun_buf *problems);
#endif

/* What sandboxed code can see. Its globals are
 *
 *   assert error getmetatable ipairs next pairs pcall rawequal rawlen require select setmetatable tonumber tostring
 *   type unpack xpcall _G _VERSION
 *   math    all but randomseed; random() draws from host.random, so that it is logged and repeats
 *   os      clock date difftime time: of the host's clock, dates in UTC
 *   string  byte char find format gmatch gsub len lower match rep reverse sub upper
 *   table   concat insert remove sort
 *
 * and what the host adds. Differences from Lua 5.1, all of them on purpose:
 *   - Globals can be set while files are loaded, not after; the names above never. An absent global is nil.
 *   - `pairs` goes by numbers in order, then strings in byte order, then false, true, then the rest in no order. What is
 *     added during the loop is not visited. `next(t)` gives the first of these; next(t, key) is refused.
 *   - `tostring` and %s show no addresses: "table". %p is refused.
 *   - find match gmatch gsub: our matcher (matcher.h); sort is stable; callbacks of sort, gsub, pcall, xpcall and
 *     iterators may wait. xpcall takes arguments, and its handler runs after the stack was unwound.
 *   - Sizes: 1 MiB for rep, format, concat, gsub and for what lower upper reverse take; concat 65,536 items; format 1,000 directives;
 *     sort 4,096 items; pairs 65,536 keys; tonumber of over 1,000 characters is nil.
 *   - insert, remove, sort and ipairs respect metamethods.
 * Absent: bit, coroutine, debug, ffi, io, jit, package, load*, dofile, getfenv, setfenv, rawget, rawset, newproxy,
 * collectgarbage, print, string.dump, math.randomseed.
 *
 * Userdata of other files take part through their metatable, which must have `__metatable = false`:
 *   __index   also by integers, nil when out of range: that is all `ipairs` needs
 *   __len     `#u` (LuaJIT asks it for userdata, never for tables)
 *   __pairs   a function of u that returns what `pairs(u)` returns: iterator, state, first control value. Without: raises
 *   __name    a string: what tostring(u) says, if there is no __tostring */
#ifndef LUN_SCRIPT_SANDBOX_H
#define LUN_SCRIPT_SANDBOX_H
#include "script/vm.h"

/* Builds it; lun_vm_new calls this. The functions below are for sandboxed machines, outside of runs, before the lock. */
void lun_sandbox_open(struct lun_vm *);

/* Takes the value on top of vm->L: it becomes a global of that name. */
void lun_sandbox_global(struct lun_vm *, const char *name);

/* Pushes onto vm->L the table that `require "lunette"` shows (read-only): put functions and values into it, then pop it.
 * If the bundle has lua/lunette.lua, that runs once, on the first require, and gets this same table as its argument, so it
 * can add what is written in Lua. */
void lun_sandbox_module(struct lun_vm *);

/* From now on globals cannot be set, and `require` finds only what was loaded already, and the bundle. */
void lun_sandbox_lock(struct lun_vm *);

/* Replaces the table on top of L (plain data: no cycles, at most 32 levels; its tables are changed) by a userdata
 * that reads like it, deeply, and cannot be written: `.x`, `[i]`, `#`, `ipairs`, `pairs`, table.concat work on it.
 * Also inside runs. Where `t` is not a table nothing is done. */
void lun_sandbox_freeze(lua_State *L);
/* Pushes the table beneath such a userdata at `index` and gives true; false, nothing pushed, if it is none. Raw access only. */
bool lun_sandbox_thaw(lua_State *L, int index);
#endif

/* The limits on CPU time, between vm.c and run.c: how a run that took too much is stopped, in the three ways of enum
 * lun_vm_cpu. Nothing here is for others. */
#ifndef LUN_SCRIPT_CPU_H
#define LUN_SCRIPT_CPU_H
#include "script/vm.h"

/* Between the two the present run's cpu_room or steps_room is in force. `end` gives what it took: microseconds, or steps. */
void    lun_cpu_begin(struct lun_vm *);
int64_t lun_cpu_end(struct lun_vm *);

/* Marks the run: at its next instruction an error comes up, and again at each one after, so that pcall cannot help.
 * Safe from a signal handler and from the allocator. The first reason stays. */
void    lun_cpu_stop(struct lun_vm *, enum lun_failure);

/* "file:line: " of the innermost Lua function of L that is not sandbox.lua's, into `out`; empty when there is none. */
void    lun_cpu_place(lua_State *L, char *out, size_t room);
/* The same of the innermost one that is none of the binary's lua/: where the user's own code stood. */
void    lun_cpu_place_theirs(lua_State *L, char *out, size_t room);

/* For tests. How often the timer signal came to this thread; whether its timer goes (only while code runs and some 12 ms of the thread's own time
 * after); and the value that marks a timer's SIGURG as a tick of this thread, for who wants more of them. */
unsigned long lun_cpu_ticks(void);
bool          lun_cpu_ticking(void);
void         *lun_cpu_ticker(void);
#endif

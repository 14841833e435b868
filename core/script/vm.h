/* A virtual machine: one LuaJIT state with its compiler off, an allocator that counts, and limits on what its code may
 * take. Two flavours. *Sandboxed*: for policies and gateway.lua, with the names of sandbox.h and nothing else. *Open*: for
 * our own Lua and for dialects, with all of Lua's libraries, `require "cjson"` included, and no limits unless some are
 * given.
 *
 * Code runs in runs (run.h). Outside of a run no limit is in force: what C pushes by itself is C's own affair.
 *
 * Threads: a machine may be made on one thread, used on another and freed on a third, but never on two at once.
 *
 * Rules for C functions that Lua can call:
 * - An error may jump out of any Lua call (out of memory, out of time): hold no malloc across one; use lua_newuserdata.
 * - Loops of more than some hundred steps call lun_vm_work; functions that call back into Lua call lun_vm_check first.
 * - Functions that call back cannot be waited in (no wish inside the callback): write them in Lua instead. No luaL_Buffer
 *   there either, it takes 8 KiB of C stack.
 * - Compare the request of a userdata with lun_vm_current before touching it: Lua may have kept one of another request. */
#ifndef LUN_SCRIPT_VM_H
#define LUN_SCRIPT_VM_H
#include <lua.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/clock.h"

/* Why a run failed: enum, name (logs, metrics), what it means. */
#define LUN_FAILURES(X) \
    X(ERROR,  "error",       "the code raised an error") \
    X(CPU,    "cpu_timeout", "more CPU time than one run or one request may take") \
    X(MEMORY, "memory",      "more memory than one run, one request or the machine may take") \
    X(YIELD,  "bad_yield",   "it yielded something that is no wish") \
    X(STACK,  "stack",       "calls too deep inside one another") \
    X(STATE,  "bad_state",   "started or resumed at the wrong time: a mistake of the caller, nothing was run")

enum lun_failure {
    LUN_FAILURE_NONE,
#define X(name, text, why) LUN_FAILURE_##name,
    LUN_FAILURES(X)
#undef X
    LUN_FAILURE_COUNT
};

const char *lun_failure_name(enum lun_failure);     /* "cpu_timeout"; "none" for LUN_FAILURE_NONE */

/* How CPU time is measured. */
enum lun_vm_cpu {
    LUN_CPU_SIGNAL,     /* a timer signal (SIGURG) to the running thread every 2 ms of its CPU time, as far as the system's own clock ticks so often, and every
                           millisecond once one has found a run that lasts longer than that; silent while the thread waits: costs nothing while code runs.
                           A limit is noticed up to 2 ms late, up to 4 where the thread lost its core meanwhile */
    LUN_CPU_CLOCK,      /* a look at the clock every 100 instructions, no signals: for a host program's thread. Code runs
                           1.5 to 2 times slower, and a few dear instructions can be noticed some 20 ms late */
    LUN_CPU_STEPS,      /* instructions are counted, not time, so that it repeats: for tests and replay. But a run ends after a second of
                           CPU time all the same: a million dear instructions, such as s:upper() of 1 MiB, take minutes */
};

#define LUN_UNLIMITED INT64_MAX
#define LUN_VM_SMALL  512               /* bytes: a block up to this is kept when it is given back, … */
#define LUN_VM_KEPT   ((size_t)128 << 10)   /* … as long as a machine keeps no more than this */
/* single_bytes where nobody waits for the thread: a refusal has no line, a stop at the next instruction has. */
#define LUN_VM_SINGLE_ASIDE ((int64_t)16 << 20)

/* 0 in a field means the default: for a sandboxed machine the figure named, for an open one LUN_UNLIMITED. */
struct lun_vm_limits {
    lun_us  run_cpu;            /* 5 ms of CPU from start or resume to the next wish or end */
    lun_us  request_cpu;        /* 50 ms over all runs of one account (run.h); waiting is not counted */
    lun_us  load_cpu;           /* 100 ms for the body of a file */
    int64_t run_steps;          /* 1,000,000 instructions; the three are used by LUN_CPU_STEPS alone */
    int64_t request_steps;      /* 10,000,000 */
    int64_t load_steps;         /* 20,000,000 */
    int64_t run_bytes;          /* 8 MiB net growth of a run; noticed at the next instruction */
    int64_t single_bytes;       /* 8 MiB net growth of a run by one large allocation: that one is refused, since filling it alone takes some ms */
    int64_t block_bytes;        /* 1600 KiB that one instruction may ask for at once: what it does with so much cannot be interrupted. A text of 1.5 MiB as a
                                   number (s + 0) takes 3 ms, a table that grows beyond 65,536 names likewise. Larger ones are refused */
    int64_t request_bytes;      /* 16 MiB net growth over all runs of one account */
    int64_t vm_bytes;           /* 64 MiB in all: lun_vm_worn. Beyond twice that no run starts */
};

/* What `require` found outside the binary. */
struct lun_vm_source {
    char  *name;                /* as errors shall name it, "policies/words.lua"; taken (freed with free()) */
    char  *text;                /* taken */
    size_t n;
    char  *error;               /* instead of the two above: why not; taken. NULL: "not found" */
};

/* What the machine asks of whoever made it. NULL functions have the default named. Called only inside runs. */
struct lun_vm_host {
    lun_us (*wall)(void *user);         /* os.time, os.date: wall time; default lun_clock_wall */
    lun_us (*now)(void *user);          /* os.clock: monotonic time; default lun_clock_now */
    double (*random)(lua_State *L);     /* math.random: in [0, 1). May raise; finds its request by lun_vm_current.
                                           Default: math.random raises */
    /* `require` of a name that is not ours, as it was written. True: `out` is filled. Asked once per name and machine, and
     * only until lun_sandbox_lock. Default: nothing is found. Must not raise. */
    bool (*source)(void *user, const char *name, struct lun_vm_source *out);
    void *user;                         /* handed to the above, and lun_vm_user */
};

struct lun_vm_options {
    bool                 open;          /* the flavour */
    enum lun_vm_cpu      cpu;
    struct lun_vm_limits limits;
    struct lun_vm_host   host;
};

struct lun_run;

/* A message for people: at most 500 bytes, control characters escaped, with file and line where there are any. */
struct lun_vm_error {
    enum lun_failure failure;
    bool             lost;              /* none of the lines on the way to it is known but those of our own files: the text has no place */
    char             text[512];
};

/* To be read by others: L, used, peak. The rest belongs to vm.c, run.c, cpu.c and sandbox.c; policy.c sets `follow`. */
struct lun_vm {
    lua_State           *L;             /* main stack: for C to build values on, outside of runs. No policy runs on it */
    int64_t              least;         /* bytes that were left when rest ended a collection, or fewer since */
    int64_t              used, peak;    /* bytes of this machine, now and at most */
    struct lun_vm_block *blocks[LUN_VM_SMALL / 16 + 1];     /* small ones that were given back, by size, for the next; … */
    size_t               kept;          /* … their bytes, beside `used` */
    struct lun_vm_options options;

    volatile sig_atomic_t dead;         /* enum lun_failure: sticky for this run, wins over what the code says of itself */
    bool                 worn, locked, hooked;
    struct lun_run      *run;           /* the one running now */
    struct lun_vm       *outer;         /* whose C function started it, where that runs on the same thread */
    struct lun_run      *spare;         /* finished ones, kept for the next */
    int                  spares, busy;  /* busy: runs taken and not freed */
    unsigned             serial;        /* of the last run taken */

    size_t               block;         /* that was refused for its own size; 0: none */
    int64_t              bytes_before, bytes_room;      /* of the present run, as all down to `where` */
    lun_us               cpu_room, started, ticked_at, cpu_before;
    bool                 ticked;
    int64_t              steps, steps_room;
    uintptr_t            stack;         /* of C, where the run was entered */
    char                 where[128];    /* "file:line: " at which it was stopped, or empty */
    bool                 follow;        /* runs that begin now are followed by lines: … */
    int                  lines;         /* so many of this run were seen */
    char                 line[128];     /* … "file:line" where the outermost of the user's own functions was last, or empty */

    int                  env, inner;    /* registry: the sandbox's environment, and what sandbox.lua gave back */
    void                *bound;         /* bind.h's; NULL: nothing is bound */
};

/* False: the process has another Lua whose functions took the place of LuaJIT's under the same names (a program that shows them, and has loaded this
 * as a library). No machine can be made then. */
bool           lun_vm_lua_is_ours(void);
/* A new machine; `options` NULL means all zero: sandboxed, signals, default limits. Never NULL: what cannot be made is a
 * defect of the build, said on stderr before abort(). */
struct lun_vm *lun_vm_new(const struct lun_vm_options *options);
/* NULL is fine. Every run must have been freed. Closing 8 MB takes 4 ms: not on a loop. Gives the bytes that were not
 * given back: 0, or it is a defect. */
int64_t        lun_vm_free(struct lun_vm *);

/* True: over its bytes, or an allocation had to be refused. It still works; finish what runs on it, start new
 * requests on a fresh one. Never goes back to false. */
bool           lun_vm_worn(const struct lun_vm *);
/* A step of garbage collection, for idle moments (about `kib` KiB of work; 64 takes some 30 us, rarely 2 ms). True when a
 * cycle was completed. Not inside a run. */
bool           lun_vm_collect(struct lun_vm *, int kib);
/* In an idle moment, often: such a step where it is about to be due, so that no request comes to wait for it (some 100 us every hundred or so). Not inside a run: nothing happens. */
void           lun_vm_rest(struct lun_vm *);

/* Compiles text (never bytecode) and runs it in a run of its own with the limits of a load. `name` is how errors call the
 * file, `arguments` values on top of the main stack are handed to it and taken from there. In a sandboxed machine its
 * environment is the sandbox's. It may not wish.
 * Gives a reference into the registry to what it returned (lua_rawgeti(L, LUA_REGISTRYINDEX, ref); luaL_unref when done;
 * LUA_REFNIL for nil), or LUA_NOREF with `error` filled. Text over 1 MiB is refused. Not inside a run. */
int            lun_vm_load(struct lun_vm *, const char *name, const char *text, size_t n, int arguments, struct lun_vm_error *error);

/* Only the first half of that: pushes the function (0), or a message (not 0). Never raises; inside and outside of runs. */
int            lun_vm_compile(lua_State *L, const char *name, const char *text, size_t n);

/* ---- for C functions called by Lua ---- */

struct lun_vm *lun_vm_of(lua_State *L);         /* the machine that L, or a coroutine L, belongs to */
void          *lun_vm_user(lua_State *L);       /* options.host.user */
void          *lun_vm_current(lua_State *L);    /* `user` of the run that is running now; NULL outside, and during a load */

/* Raises when the C stack is over 96 KiB deeper than the run's entry, or when the run is to be stopped. Call it before
 * calling back into Lua, and now and then in long loops. */
void           lun_vm_check(lua_State *L);
/* The same for loops: `units` of work were done since the last call, each about as dear as one Lua instruction (5 ns).
 * Call it every few hundred to few thousand units. */
void           lun_vm_work(lua_State *L, int64_t units);

/* Ends a C function by waiting: `return lun_vm_wish(L, n);` hands the n values on top of the stack to C as the
 * run's wish; what the run is resumed with is what the Lua code gets as the function's results. Raises where waiting is not
 * possible (inside a coroutine of house code, during a load, outside of a run, under a C function that called back). */
int            lun_vm_wish(lua_State *L, int n);
#endif

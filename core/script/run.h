/* A run: one call of a Lua function in a coroutine of its own, which may wish and be resumed.
 *
 *     struct lun_run *run = lun_run_new(vm, &account, request);
 *     lua_rawgeti(run->L, LUA_REGISTRYINDEX, hook);        function, then arguments, on the run's own stack
 *     push_request(run->L, request);
 *     switch (lun_run_go(run, 1)) {
 *     case LUN_RUN_DONE:    results are 1 .. lua_gettop(run->L); then lun_run_free(run)
 *     case LUN_RUN_WISHED:  wish values are 1 .. lua_gettop(run->L); later lua_settop(run->L, 0), push the
 *                           answer's n values, lun_run_go(run, n) again; or lun_run_free(run) to cancel
 *     case LUN_RUN_FAILED:  run->error says why; then lun_run_free(run)
 *     }
 *
 * Results and wishes are whatever the code made them: check types before use, with lua_type and lua_to*, never with
 * anything that calls a metamethod (lua_gettable, luaL_tolstring, lua_equal …): outside of a run nothing stops them. */
#ifndef LUN_SCRIPT_RUN_H
#define LUN_SCRIPT_RUN_H
#include "script/vm.h"

/* What one request has taken in all its runs. Zero-initialised is right; owned by the caller, one per request and machine. */
struct lun_run_account {
    lun_us  cpu;        /* of LUN_CPU_SIGNAL and LUN_CPU_CLOCK; a run's last fraction of a millisecond is wall time */
    int64_t steps;      /* of LUN_CPU_STEPS */
    int64_t bytes;      /* net growth, never below 0 */
};

enum lun_run_state {
    LUN_RUN_READY,      /* taken, not yet started */
    LUN_RUN_RUNNING,
    LUN_RUN_WISHED,     /* waits to be resumed */
    LUN_RUN_DONE,
    LUN_RUN_FAILED,
};

struct lun_run {
    struct lun_vm      *vm;
    lua_State          *L;          /* its coroutine */
    void               *user;       /* lun_vm_current while it runs: the request */
    struct lun_run_account *account;    /* borrowed until lun_run_free; NULL: no limits over several runs */
    enum lun_run_state  state;
    struct lun_vm_error error;      /* of LUN_RUN_FAILED */

    struct lun_run     *next;       /* from here on: run.c's own */
    int                 anchor;
    unsigned            serial;
    bool                wishing, loading;
};

/* A run in state READY with an empty stack and room for 20 values. Yours until lun_run_free. A finished one is
 * used again when there is one, so this is cheap. `user` and `account` may be NULL. */
struct lun_run    *lun_run_new(struct lun_vm *, struct lun_run_account *, void *user);

/* Starts it (the function and n arguments are its whole stack) or resumes it (n values are its whole stack). Gives
 * LUN_RUN_DONE, LUN_RUN_WISHED or LUN_RUN_FAILED, which is also its state from then on.
 * At the wrong time (done, failed, running, another run of this machine running, a wrong number of values) nothing is run and
 * the state stays: the answer is LUN_RUN_FAILED and error.failure LUN_FAILURE_STATE. */
enum lun_run_state lun_run_go(struct lun_run *, int n);

/* Makes of the error value on top of its stack a failed run with a message, for code that could not even be compiled. */
void               lun_run_tell(struct lun_run *);

/* At any time but while it runs; a waiting one is thereby cancelled, its code is never resumed. NULL is fine. */
void               lun_run_free(struct lun_run *);
#endif

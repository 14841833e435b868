#include "script/run.h"
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "script/bundle.h"
#include "script/cpu.h"

#define SPARES      64
#define TEXT_BYTES  500
#define INSIDE      "lua/sandbox.lua:"

/* ---- what went wrong, in words ---- */

/* Control characters become \xNN; cut at TEXT_BYTES, never inside a UTF-8 character. */
static void put_text(char *out, const char *text, size_t n)
{
    size_t used = strlen(out);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = c < 0x20 || c == 0x7f;
        size_t more = control ? 4 : c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (used + more > TEXT_BYTES) break;
        used += (size_t)sprintf(out + used, control ? "\\x%02x" : "%c", c);
    }
    out[used] = 0;
}

static void put(struct lun_run *run, const char *text) { put_text(run->error.text, text, strlen(text)); }

static bool has_line(const char *text, size_t n)
{
    for (size_t i = 0; i + 2 < n && i < 200; i++) {
        size_t k = i + 1;
        if (text[i] != ':') continue;
        while (k < n && text[k] >= '0' && text[k] <= '9') k++;
        if (k > i + 1 && k < n && text[k] == ':') return true;
    }
    return false;
}

/* A mistake that surfaces in a function of sandbox.lua is the caller's: its line is told instead. */
static void skip_inside(const char **text, size_t *n)
{
    size_t k = sizeof INSIDE - 1;
    if (*n < k || memcmp(*text, INSIDE, k)) return;
    while (k < *n && (*text)[k] != ' ') k++;
    k += k < *n;
    *text += k;
    *n -= k;
}

/* Whether it begins with the place of one of our own files: "lua/retry.lua:7: ". */
static bool is_ours(const char *text, size_t n)
{
    char name[64];
    const char *end = n > 4 && !memcmp(text, "lua/", 4) ? memchr(text, ':', n) : NULL;
    if (!end || (size_t)(end - text) >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", (int)(end - text), text);
    return lun_bundle_find(name);
}

/* The line of the user's own code, where the text does not say it. What a function of ours says after `return lunette.x(…)` has none: that call has
 * taken its caller's place. */
static void put_place(struct lun_run *run, const char *text, size_t n)
{
    char where[128];
    bool ours = is_ours(text, n);
    if (!ours && has_line(text, n)) return;
    lun_cpu_place_theirs(run->L, where, sizeof where);
    run->error.lost = !where[0];
    if (!where[0] && run->vm->options.open && !ours) lun_cpu_place(run->L, where, sizeof where);
    put(run, where);
}

static void tell_error(struct lun_run *run)
{
    char where[128], what[64];
    size_t n;
    const char *text = lua_type(run->L, -1) == LUA_TSTRING ? lua_tolstring(run->L, -1, &n) : NULL;
    run->error.text[0] = 0;
    lun_cpu_place(run->L, where, sizeof where);
    if (!text) {
        n = (size_t)snprintf(what, sizeof what, "an error that is no text but a %s", lua_typename(run->L, lua_type(run->L, -1)));
        text = what;
    }
    if (where[0]) skip_inside(&text, &n);
    put_place(run, text, n);
    put_text(run->error.text, text, n);
}

/* So many old requests still grow on a machine that is to be replaced, that it must not grow on. */
static bool over_twice(const struct lun_vm *vm)
{
    int64_t cap = vm->options.limits.vm_bytes;
    return cap < LUN_UNLIMITED / 2 && vm->used > 2 * cap;
}

static void tell_memory(const struct lun_vm *vm, const char *what, char *text, size_t room)
{
    const struct lun_vm_limits *most = &vm->options.limits;
    bool by_request = vm->bytes_room < most->run_bytes;
    if (over_twice(vm)) snprintf(text, room, "not run: its machine holds %lld MiB", (long long)(vm->used >> 20));
    else if (vm->block) snprintf(text, room, "stopped: one instruction may take %lld KiB of memory at once", (long long)(most->block_bytes >> 10));
    else snprintf(text, room, "stopped: %s may take %lld KiB of memory", by_request ? "one request" : what,
                  (long long)((by_request ? most->request_bytes : most->run_bytes) >> 10));
}

static void tell_cpu(const struct lun_run *run, const char *what, char *text, size_t room)
{
    const struct lun_vm *vm = run->vm;
    const struct lun_vm_limits *most = &vm->options.limits;
    bool steps = vm->options.cpu == LUN_CPU_STEPS;
    int64_t one = steps ? (run->loading ? most->load_steps : most->run_steps) : run->loading ? most->load_cpu : most->run_cpu;
    int64_t all = steps ? most->request_steps : most->request_cpu;
    bool by_request = (steps ? vm->steps_room : vm->cpu_room) < one;
    int64_t limit = by_request ? all : one;
    bool dear = steps && vm->steps_room > 0 && vm->steps <= vm->steps_room;
    what = by_request && !dear ? "one request" : what;
    if (dear) snprintf(text, room, "stopped: %s has taken a second of CPU time with few instructions", what);
    else if (steps) snprintf(text, room, "stopped: %s may take %lld instructions", what, (long long)limit);
    else snprintf(text, room, "stopped: %s may take %.3g ms of CPU time", what, (double)limit / 1000);
}

static void tell_stop(struct lun_run *run, enum lun_failure why)
{
    const char *what = run->loading ? "loading a file" : "one run";
    char text[160];
    if (why == LUN_FAILURE_MEMORY) tell_memory(run->vm, what, text, sizeof text);
    else tell_cpu(run, what, text, sizeof text);
    run->error.text[0] = 0;
    put(run, run->vm->where);
    put(run, text);
}

static enum lun_run_state fail(struct lun_run *run, enum lun_failure why)
{
    run->error.failure = why;
    return run->state = LUN_RUN_FAILED;
}

static enum lun_run_state refuse(struct lun_run *run, const char *text)
{
    run->error.failure = LUN_FAILURE_STATE;
    snprintf(run->error.text, sizeof run->error.text, "%s", text);
    return LUN_RUN_FAILED;
}

/* ---- taking and giving back ---- */

struct lun_run *lun_run_new(struct lun_vm *vm, struct lun_run_account *account, void *user)
{
    struct lun_run *run = vm->spare;
    if (run) {
        vm->spare = run->next;
        vm->spares--;
    } else {
        run = lun_zalloc(sizeof *run);
        run->vm = vm;
        run->L = lua_newthread(vm->L);
        run->anchor = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    }
    run->user = user;
    run->account = account;
    run->state = LUN_RUN_READY;
    run->error.failure = LUN_FAILURE_NONE;
    run->error.text[0] = 0;
    run->error.lost = false;
    run->serial = ++vm->serial;
    run->wishing = run->loading = false;
    vm->busy++;
    return run;
}

/* A coroutine that failed or waits cannot be used again: the collector takes it. */
static bool reusable(const struct lun_run *run)
{
    return (run->state == LUN_RUN_DONE || run->state == LUN_RUN_READY) && run->vm->spares < SPARES;
}

void lun_run_free(struct lun_run *run)
{
    if (!run) return;
    struct lun_vm *vm = run->vm;
    vm->busy--;
    if (reusable(run)) {
        lua_settop(run->L, 0);
        run->next = vm->spare;
        vm->spare = run;
        vm->spares++;
        return;
    }
    luaL_unref(vm->L, LUA_REGISTRYINDEX, run->anchor);
    free(run);
}

/* ---- running ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t left(int64_t most, int64_t taken) { return most == LUN_UNLIMITED ? most : most - taken; }

/* What this run may take: its own limit, or less where the request has less left. Unlimited stays LUN_UNLIMITED. */
static void measure_room(struct lun_run *run)
{
    struct lun_vm *vm = run->vm;
    const struct lun_vm_limits *most = &vm->options.limits;
    struct lun_run_account none = { 0 }, *a = run->account ? run->account : &none;
    lun_us cpu = run->loading ? most->load_cpu : most->run_cpu;
    int64_t steps = run->loading ? most->load_steps : most->run_steps;
    vm->cpu_room = least(cpu, run->account ? left(most->request_cpu, a->cpu) : LUN_UNLIMITED);
    vm->steps_room = least(steps, run->account ? left(most->request_steps, a->steps) : LUN_UNLIMITED);
    vm->bytes_room = least(most->run_bytes, run->account ? left(most->request_bytes, a->bytes) : LUN_UNLIMITED);
}

/* Nothing left before it began? */
static enum lun_failure spent(const struct lun_vm *vm)
{
    if (vm->bytes_room <= 0 || over_twice(vm)) return LUN_FAILURE_MEMORY;
    return (vm->options.cpu == LUN_CPU_STEPS ? vm->steps_room : vm->cpu_room) <= 0 ? LUN_FAILURE_CPU : LUN_FAILURE_NONE;
}

static void begin(struct lun_run *run)
{
    struct lun_vm *vm = run->vm;
    vm->dead = 0;
    vm->block = 0;
    vm->where[0] = 0;
    vm->bytes_before = vm->used;
    vm->stack = (uintptr_t)__builtin_frame_address(0);
    vm->run = run;
    run->wishing = false;
    run->state = LUN_RUN_RUNNING;
    lun_cpu_begin(vm);
}

static void end(struct lun_run *run)
{
    struct lun_vm *vm = run->vm;
    int64_t took = lun_cpu_end(vm), grew = vm->used - vm->bytes_before;
    struct lun_run_account *a = run->account;
    vm->run = NULL;
    if (vm->used > vm->options.limits.vm_bytes) vm->worn = true;
    if (!a) return;
    *(vm->options.cpu == LUN_CPU_STEPS ? &a->steps : &a->cpu) += took;
    a->bytes = a->bytes + grew > 0 ? a->bytes + grew : 0;
}

static enum lun_run_state stopped(struct lun_run *run, enum lun_failure why)
{
    tell_stop(run, why);
    return fail(run, why);
}

void lun_run_tell(struct lun_run *run)
{
    tell_error(run);
    fail(run, LUN_FAILURE_ERROR);
}

static enum lun_run_state raised(struct lun_run *run, int status)
{
    if (status == LUA_ERRMEM) {
        run->vm->worn = true;
        return stopped(run, LUN_FAILURE_MEMORY);
    }
    tell_error(run);
    bool deep = status == LUA_ERRERR || strstr(run->error.text, "stack overflow") || strstr(run->error.text, "C stack");
    return fail(run, deep ? LUN_FAILURE_STACK : LUN_FAILURE_ERROR);
}

/* The sticky mark comes first: code that was stopped may yet have returned in peace, as `return pcall(loop)` does. */
static enum lun_run_state outcome(struct lun_run *run, int status)
{
    if (run->vm->dead) return stopped(run, run->vm->dead);
    if (status == 0) return run->state = LUN_RUN_DONE;
    if (status != LUA_YIELD) return raised(run, status);
    if (run->wishing) return run->state = LUN_RUN_WISHED;
    run->error.text[0] = 0;
    put(run, "yielded by itself: only functions that wait may");
    return fail(run, LUN_FAILURE_YIELD);
}

enum lun_run_state lun_run_go(struct lun_run *run, int n)
{
    bool fresh = run->state == LUN_RUN_READY;
    enum lun_failure why;
    if (run->vm->run) return refuse(run, "a run of this machine is running");
    if (!fresh && run->state != LUN_RUN_WISHED) return refuse(run, "neither new nor waiting");
    if (lua_gettop(run->L) != n + fresh) return refuse(run, "a wrong number of values on its stack");
    measure_room(run);
    why = spent(run->vm);
    run->vm->where[0] = 0;
    if (why) return stopped(run, why);
    begin(run);
    int status = lua_resume(run->L, n);
    end(run);
    return outcome(run, status);
}

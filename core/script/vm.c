#include "script/vm.h"
#include <dlfcn.h>
#include <lauxlib.h>
#include <lualib.h>
#include <luajit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "script/bundle.h"
#include "script/cjson.h"
#include "script/cpu.h"
#include "script/run.h"
#include "script/sandbox.h"

#define MIB               ((int64_t)1 << 20)
#define TEXT_MOST         ((size_t)1 << 20)
#define REFUSABLE         ((size_t)64 << 10)
#define BLOCK             ((int64_t)1600 << 10)
#define REST_KIB          64

const char *lun_failure_name(enum lun_failure failure)
{
    static const char *const names[] = { "none",
#define X(name, text, why) text,
        LUN_FAILURES(X)
#undef X
    };
    return (unsigned)failure < LUN_FAILURE_COUNT ? names[failure] : "unknown";
}

/* ---- memory ---- */

/* This LuaJIT corrupts its heap when a small allocation fails inside Lua code, so over its limit a run is given what it
 * asks and stopped at the next instruction. Only a large request, which one instruction can make, is refused. */
static bool refused(struct lun_vm *vm, size_t more)
{
    int64_t net = vm->used + (int64_t)more - vm->bytes_before;
    bool block = (int64_t)more > vm->options.limits.block_bytes;
    if (net <= vm->bytes_room && !block) return false;
    if (block && !vm->dead) vm->block = more;
    lun_cpu_stop(vm, LUN_FAILURE_MEMORY);
    if (!block && (more < REFUSABLE || net <= vm->options.limits.single_bytes)) return false;
    return vm->worn = true;
}

/* Nearly all that a hook makes is small and gone with its request: the blocks go round, which takes a tenth of the instructions of malloc and free.
 * Under ASan they do not, for it is to see who uses one that was freed. */
#ifdef __SANITIZE_ADDRESS__
#define SMALL 0
#else
#define SMALL LUN_VM_SMALL
#endif
struct lun_vm_block { struct lun_vm_block *next; };

/* By sizes of 8, 24, 40, … bytes, which malloc rounds up to anyway. */
static size_t nth(size_t n)   { return (n + 7) / 16; }
static size_t round_up(size_t n) { return n <= SMALL ? 16 * nth(n) + 8 : n; }

static void *take(struct lun_vm *vm, size_t n)
{
    struct lun_vm_block *b = n <= SMALL ? vm->blocks[nth(n)] : NULL;
    if (!b) return lun_alloc(round_up(n));
    vm->blocks[nth(n)] = b->next;
    vm->kept -= round_up(n);
    return b;
}

static void *give_back(struct lun_vm *vm, void *p, size_t n)
{
    struct lun_vm_block *b = p;
    if (!p) return NULL;
    if (n > SMALL || vm->kept + round_up(n) > LUN_VM_KEPT) {
        free(p);
        return NULL;
    }
    b->next = vm->blocks[nth(n)];
    vm->blocks[nth(n)] = b;
    vm->kept += round_up(n);
    return NULL;
}

static void *allocate(void *user, void *p, size_t old, size_t new)
{
    struct lun_vm *vm = user;
    if (vm->run && new > old && refused(vm, new - old)) return NULL;
    vm->used += (int64_t)new - (int64_t)old;
    if (vm->used > vm->peak) vm->peak = vm->used;
    if (!new) return give_back(vm, p, old);
    if (!p) return take(vm, new);
    return round_up(old) == round_up(new) ? p : lun_realloc(p, round_up(new));
}

static void free_blocks(struct lun_vm *vm)
{
    for (size_t i = 0; i <= LUN_VM_SMALL / 16; i++)
        for (struct lun_vm_block *b; (b = vm->blocks[i]); free(b)) vm->blocks[i] = b->next;
}

bool lun_vm_worn(const struct lun_vm *vm) { return vm->worn; }

bool lun_vm_collect(struct lun_vm *vm, int kib) { return !vm->run && lua_gc(vm->L, LUA_GCSTEP, kib); }

/* The collector begins by itself when there is twice as much as the last time; here a little sooner. */
void lun_vm_rest(struct lun_vm *vm)
{
    if (vm->used < vm->least || !vm->least) vm->least = vm->used;
    if (vm->used > vm->least + vm->least * 3 / 4 && lun_vm_collect(vm, REST_KIB)) vm->least = vm->used;
}

/* ---- making ---- */

static void fill(int64_t *field, int64_t sandboxed, bool open)
{
    if (!*field) *field = open ? LUN_UNLIMITED : sandboxed;
}

static void fill_limits(struct lun_vm_limits *l, bool open)
{
    fill(&l->run_cpu, 5 * LUN_MS, open);
    fill(&l->request_cpu, 50 * LUN_MS, open);
    fill(&l->load_cpu, 100 * LUN_MS, open);
    fill(&l->run_steps, 1000000, open);
    fill(&l->request_steps, 10000000, open);
    fill(&l->load_steps, 20000000, open);
    fill(&l->run_bytes, 8 * MIB, open);
    fill(&l->single_bytes, 8 * MIB, open);
    fill(&l->block_bytes, l->single_bytes > 8 * MIB ? l->single_bytes : BLOCK, open);
    fill(&l->request_bytes, 16 * MIB, open);
    fill(&l->vm_bytes, 64 * MIB, open);
}

static lun_us real_wall(void *user) { (void)user; return lun_clock_wall(); }
static lun_us real_now(void *user)  { (void)user; return lun_clock_now(); }

static int panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "lunette: Lua error outside of a run: %s\n", text ? text : "?");
    abort();
}

static int load_bundled(lua_State *L)
{
    const char *module = luaL_checkstring(L, 1);
    const struct lun_bundle_file *f = lun_bundle_module(module, 1);
    if (!f) {
        lua_pushfstring(L, "\n\tnot one of Lunette's own: '%s'", module);
        return 1;
    }
    if (lun_vm_compile(L, f->name, f->start, f->size)) return lua_error(L);
    return 1;
}

/* All of Lua, our own files found before any on disk, and our own cjson. */
static void open_all(lua_State *L)
{
    luaL_openlibs(L);
    luaL_findtable(L, LUA_GLOBALSINDEX, "package.loaders", 4);
    for (int i = (int)lua_objlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, load_bundled);
    lua_rawseti(L, -2, 2);
    luaL_findtable(L, LUA_GLOBALSINDEX, "package.preload", 1);
    lua_pushcfunction(L, lun_cjson_open);
    lua_setfield(L, -2, "cjson");
    lua_pop(L, 2);
}

bool lun_vm_lua_is_ours(void)
{
    Dl_info lua, jit;
    return dladdr((void *)lua_newstate, &lua) && dladdr((void *)luaJIT_setmode, &jit) && lua.dli_fbase == jit.dli_fbase;
}

struct lun_vm *lun_vm_new(const struct lun_vm_options *options)
{
    struct lun_vm *vm = lun_zalloc(sizeof *vm);
    if (options) vm->options = *options;
#ifdef __SANITIZE_THREAD__
    /* It keeps signals back until the next system call, which code that loops never makes. */
    if (vm->options.cpu == LUN_CPU_SIGNAL) vm->options.cpu = LUN_CPU_CLOCK;
#endif
    fill_limits(&vm->options.limits, vm->options.open);
    if (!vm->options.host.wall) vm->options.host.wall = real_wall;
    if (!vm->options.host.now) vm->options.host.now = real_now;
    vm->env = vm->inner = LUA_NOREF;
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L) {
        fprintf(stderr, "lunette: this LuaJIT takes no allocator of ours (it must be a GC64 build)\n");
        abort();
    }
    lua_atpanic(vm->L, panic);
    if (vm->options.open) open_all(vm->L);
    else lun_sandbox_open(vm);
    luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);    /* opening the libraries turns it on */
    return vm;
}

int64_t lun_vm_free(struct lun_vm *vm)
{
    if (!vm) return 0;
    while (vm->spare) {
        struct lun_run *run = vm->spare;
        vm->spare = run->next;
        free(run);
    }
    lua_close(vm->L);
    free_blocks(vm);
    int64_t lost = vm->used;
    free(vm);
    return lost;
}

/* ---- loading ---- */

int lun_vm_compile(lua_State *L, const char *name, const char *text, size_t n)
{
    struct lun_vm *vm = lun_vm_of(L);
    if (n > TEXT_MOST || (n && text[0] == LUA_SIGNATURE[0])) {
        lua_pushfstring(L, n > TEXT_MOST ? "%s:1: over 1 MiB long" : "%s:1: not a text but compiled code", name);
        return LUA_ERRSYNTAX;
    }
    char *chunk = lun_printf("@%s", name);
    int status = luaL_loadbufferx(L, text, n, chunk, "t");
    free(chunk);
    if (status || vm->env == LUA_NOREF) return status;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->env);
    lua_setfenv(L, -2);
    return 0;
}

static int failed(struct lun_run *run, struct lun_vm_error *error)
{
    *error = run->error;
    lun_run_free(run);
    return LUA_NOREF;
}

int lun_vm_load(struct lun_vm *vm, const char *name, const char *text, size_t n, int arguments, struct lun_vm_error *error)
{
    struct lun_run *run = lun_run_new(vm, NULL, NULL);
    run->loading = true;
    if (lun_vm_compile(run->L, name, text, n)) {
        lua_pop(vm->L, arguments);
        lun_run_tell(run);
        return failed(run, error);
    }
    lua_checkstack(run->L, arguments + 1);
    lua_xmove(vm->L, run->L, arguments);
    if (lun_run_go(run, arguments) != LUN_RUN_DONE) return failed(run, error);
    lua_settop(run->L, 1);
    int ref = luaL_ref(run->L, LUA_REGISTRYINDEX);
    lun_run_free(run);
    return ref;
}

/* ---- for C functions ---- */

struct lun_vm *lun_vm_of(lua_State *L)
{
    void *vm;
    lua_getallocf(L, &vm);
    return vm;
}

void *lun_vm_user(lua_State *L) { return lun_vm_of(L)->options.host.user; }

void *lun_vm_current(lua_State *L)
{
    struct lun_run *run = lun_vm_of(L)->run;
    return run ? run->user : NULL;
}

int lun_vm_wish(lua_State *L, int n)
{
    struct lun_run *run = lun_vm_of(L)->run;
    if (!run || run->L != L || run->loading || !lua_isyieldable(L))
        return luaL_error(L, "this function waits, and here nothing can wait");
    run->wishing = true;
    return lua_yield(L, n);
}

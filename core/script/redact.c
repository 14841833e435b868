#include "script/redact.h"
#include "base/alloc.h"
#include "script/bind.h"
#include "script/sandbox.h"
#include <lauxlib.h>
#include <stdlib.h>

struct lun_redact {
    struct lun_vm *vm;
    int function;                       /* registry */
    struct lun_vm_error error;
};

struct lun_redact *lun_redact_new(const char *name, const char *text, size_t n, enum lun_vm_cpu cpu, char **error)
{
    struct lun_redact *r = lun_zalloc(sizeof *r);
    r->vm = lun_vm_new(&(struct lun_vm_options){ .cpu = cpu });
    lun_bind_open(r->vm, NULL);
    r->function = lun_vm_load(r->vm, name, text, n, 0, &r->error);
    lua_rawgeti(r->vm->L, LUA_REGISTRYINDEX, r->function);
    bool function = lua_type(r->vm->L, -1) == LUA_TFUNCTION;
    lua_pop(r->vm->L, 1);
    lun_sandbox_lock(r->vm);
    if (function) return r;
    *error = r->function == LUA_NOREF ? lun_strdup(r->error.text) : lun_printf("%s: it has to return a function(text, what)", name);
    lun_redact_free(r);
    return NULL;
}

static bool take(lua_State *L, struct lun_buf *out, const char **why)
{
    size_t n;
    const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &n) : NULL;
    *why = text || lua_isnoneornil(L, 1) ? NULL : "it answered neither a text nor nil";
    if (text) lun_buf_add(out, text, n);
    return text;
}

bool lun_redact(struct lun_redact *r, const char *text, size_t n, const char *what, struct lun_buf *out, const char **why)
{
    struct lun_run *run = lun_run_new(r->vm, NULL, NULL);
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, r->function);
    lua_pushlstring(run->L, text, n);
    lua_pushstring(run->L, what);
    bool done = lun_run_go(run, 2) == LUN_RUN_DONE, good = done && take(run->L, out, why);
    if (!done) r->error = run->error, *why = r->error.text;
    lun_run_free(run);
    return good;
}

void lun_redact_free(struct lun_redact *r)
{
    if (!r) return;
    lun_vm_free(r->vm);
    free(r);
}

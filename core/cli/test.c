#include "base/alloc.h"
#include "cli/cli.h"
#include "gateway/spec.h"
#include "script/bundle.h"
#include <getopt.h>
#include <glob.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char lun_usage_test[] =
    "usage: lunette test [dir|file…] [--tap] [--filter PATTERN]…\n"
    "\n"
    "Runs specs of policies (*_spec.lua, with busted): the policy in its real sandbox, providers as functions of the spec, and a\n"
    "clock that moves only when it is told to. Without arguments: ./tests, else the *_spec.lua beside ./gateway.lua.\n"
    "  --tap              prints TAP (testanything.org)\n"
    "  --filter PATTERN   only tests whose full name has this Lua pattern in it\n"
    "\n"
    "Exit status 0 when all passed, 1 otherwise.\n";

struct list { const char *at[256]; int n; };

static void add(struct list *l, const char *text) { if (l->n < 256) l->at[l->n++] = text; }

static void push_list(lua_State *L, const char *name, const struct list *l)
{
    lua_createtable(L, l->n, 0);
    for (int i = 0; i < l->n; i++) lua_pushstring(L, l->at[i]), lua_rawseti(L, -2, i + 1);
    lua_setfield(L, -2, name);
}

static bool is(const char *path, mode_t type)
{
    struct stat st;
    return !stat(path, &st) && (st.st_mode & S_IFMT) == type;
}

/* ---- the state that specs run in: Lua with all its libraries ---- */

static void append_path(lua_State *L, const char *field, const char *more)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, field);
    lua_pushfstring(L, "%s;%s", lua_tostring(L, -1), more);
    lua_setfield(L, -3, field);
    lua_pop(L, 2);
}

/* Where Debian puts Lua's modules, whatever this LuaJIT was built to look for. */
static void find_modules(lua_State *L)
{
    glob_t found = {0};
    append_path(L, "path", "/usr/local/share/lua/5.1/?.lua;/usr/local/share/lua/5.1/?/init.lua;/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua");
    append_path(L, "cpath", "/usr/local/lib/lua/5.1/?.so");
    glob("/usr/lib/*/lua/5.1", 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *pattern = lun_printf("%s/?.so", found.gl_pathv[i]);
        append_path(L, "cpath", pattern);
        free(pattern);
    }
    globfree(&found);
}

/* What specs share stands beside them. */
static void find_helpers(lua_State *L, const struct list *files)
{
    for (int i = 0; i < files->n; i++) {
        const char *slash = strrchr(files->at[i], '/');
        bool folder = is(files->at[i], S_IFDIR);
        int n = folder ? (int)strlen(files->at[i]) : slash ? (int)(slash - files->at[i]) : 0;
        char *pattern = lun_printf("%.*s%s?.lua", n, files->at[i], n ? "/" : "./");
        append_path(L, "path", pattern);
        free(pattern);
    }
}

static int traceback(lua_State *L)
{
    lua_getglobal(L, "debug");
    lua_getfield(L, -1, "traceback");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int run(lua_State *L, const struct list *files, const struct list *filters, bool tap)
{
    const struct lun_bundle_file *runner = lun_bundle_find("lua/spec_runner.lua");
    lua_pushcfunction(L, traceback);
    if (luaL_loadbuffer(L, runner->start, runner->size, "@lua/spec_runner.lua")) abort();
    lua_newtable(L);
    push_list(L, "files", files);
    push_list(L, "filters", filters);
    lua_pushboolean(L, tap), lua_setfield(L, -2, "tap");
    if (lua_pcall(L, 1, 2, 1)) return fprintf(stderr, "lunette test: %s\n", lua_tostring(L, -1)), 1;
    if (lua_isnil(L, -2)) return fprintf(stderr, "lunette test: %s\n", lua_tostring(L, -1)), 1;
    return lua_tonumber(L, -1) > 0;
}

/* ---- what is to be run ---- */

static bool choose_files(struct list *files, glob_t *found)
{
    if (files->n) return true;
    if (is("tests", S_IFDIR)) { add(files, "tests"); return true; }
    if (!is("gateway.lua", S_IFREG) || glob("*_spec.lua", 0, NULL, found)) return false;
    for (size_t i = 0; i < found->gl_pathc; i++) add(files, found->gl_pathv[i]);
    return true;
}

static int test(struct list *files, const struct list *filters, bool tap)
{
    glob_t found = {0};
    for (int i = 0; i < files->n; i++)
        if (!is(files->at[i], S_IFDIR) && !is(files->at[i], S_IFREG)) return fprintf(stderr, "lunette test: there is no %s\n", files->at[i]), 1;
    if (!choose_files(files, &found))
        return fprintf(stderr, "lunette test: no specs here: there is neither a folder ./tests nor a *_spec.lua beside ./gateway.lua\n"), 1;
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lun_spec_open(L);
    find_modules(L);
    find_helpers(L, files);
    int status = run(L, files, filters, tap);
    lua_close(L);
    globfree(&found);
    return status;
}

int lun_command_test(int argc, char **argv)
{
    static const struct option options[] = { { "tap", no_argument, NULL, 't' }, { "filter", required_argument, NULL, 'f' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct list files = {0}, filters = {0};
    bool tap = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_test, stdout) < 0;
        if (c == '?') return fputs(lun_usage_test, stderr), 2;
        if (c == 't') tap = true;
        else add(&filters, optarg);
    }
    while (optind < argc) add(&files, argv[optind++]);
    return test(&files, &filters, tap);
}

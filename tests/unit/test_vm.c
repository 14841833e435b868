/* The machine and its runs: states, limits over several runs, messages, threads, the open flavour. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <poll.h>
#include <pthread.h>
#include "script/bundle.h"
#include "script/cpu.h"
#include "script/run.h"
#include "script/sandbox.h"

#define MIB ((int64_t)1 << 20)

static int wait_(lua_State *L) { return lun_vm_wish(L, lua_gettop(L)); }

static int mark(lua_State *L)
{
    lua_pushlightuserdata(L, lun_vm_current(L));
    return 1;
}

static struct lun_vm *new_vm(const struct lun_vm_options *options)
{
    struct lun_vm *vm = lun_vm_new(options);
    if (vm->options.open) {
        lua_pushcfunction(vm->L, wait_);
        lua_setglobal(vm->L, "wait");
        return vm;
    }
    lua_pushcfunction(vm->L, wait_);
    lun_sandbox_global(vm, "wait");
    lua_pushcfunction(vm->L, mark);
    lun_sandbox_global(vm, "mark");
    return vm;
}

static struct lun_vm *steps_vm(void) { return new_vm(&(struct lun_vm_options){ .cpu = LUN_CPU_STEPS }); }

static int load(struct lun_vm *vm, const char *body)
{
    char text[1000];
    struct lun_vm_error error;
    snprintf(text, sizeof text, "return function(...) %s end", body);
    int ref = lun_vm_load(vm, "hook.lua", text, strlen(text), 0, &error);
    if (ref == LUA_NOREF) print_message("%s\n", error.text);
    assert_int_not_equal(ref, LUA_NOREF);
    return ref;
}

/* A run of that body, ready to start with no argument. */
static struct lun_run *ready(struct lun_vm *vm, struct lun_run_account *account, const char *body)
{
    int ref = load(vm, body);
    struct lun_run *run = lun_run_new(vm, account, NULL);
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, ref);
    luaL_unref(vm->L, LUA_REGISTRYINDEX, ref);
    return run;
}

static void end(struct lun_vm *vm)
{
    assert_int_equal(vm->busy, 0);
    assert_int_equal(lun_vm_free(vm), 0);
}

/* ---- states ---- */

static void a_run_gives_what_its_function_returns(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    struct lun_run *run = ready(vm, NULL, "local a, b = ... return a + b, 'x', nil");
    (void)state;
    lua_pushinteger(run->L, 2);
    lua_pushinteger(run->L, 3);
    assert_int_equal(lun_run_go(run, 2), LUN_RUN_DONE);
    assert_int_equal(lua_gettop(run->L), 3);
    assert_int_equal(lua_tointeger(run->L, 1), 5);
    assert_string_equal(lua_tostring(run->L, 2), "x");
    lun_run_free(run);
    end(vm);
}

static void a_wish_hands_its_values_out_and_the_answer_in(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    struct lun_run *run = ready(vm, NULL, "local a, b = wait('sleep', 2) return b .. a");
    (void)state;
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_WISHED);
    assert_int_equal(lua_gettop(run->L), 2);
    assert_string_equal(lua_tostring(run->L, 1), "sleep");
    lua_settop(run->L, 0);
    lua_pushliteral(run->L, "x");
    lua_pushliteral(run->L, "y");
    assert_int_equal(lun_run_go(run, 2), LUN_RUN_DONE);
    assert_string_equal(lua_tostring(run->L, 1), "yx");
    lun_run_free(run);
    end(vm);
}

static void a_resume_at_the_wrong_time_is_refused(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    struct lun_run *run = ready(vm, NULL, "return wait()");
    (void)state;
    assert_int_equal(lun_run_go(run, 1), LUN_RUN_FAILED);           /* one value is said to be there, and is not */
    assert_int_equal(run->error.failure, LUN_FAILURE_STATE);
    assert_int_equal(run->state, LUN_RUN_READY);
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_WISHED);
    assert_int_equal(lun_run_go(run, 2), LUN_RUN_FAILED);
    assert_int_equal(run->state, LUN_RUN_WISHED);
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    assert_int_equal(run->state, LUN_RUN_DONE);
    lun_run_free(run);
    end(vm);
}

static struct lun_run *other;

static int start_other(lua_State *L)
{
    lua_pushinteger(L, lun_run_go(other, 0));
    return 1;
}

static void a_run_inside_a_run_of_the_same_machine_is_refused(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    (void)state;
    lua_pushcfunction(vm->L, start_other);
    lun_sandbox_global(vm, "start_other");
    other = ready(vm, NULL, "return 1");
    struct lun_run *run = ready(vm, NULL, "return start_other()");
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
    assert_int_equal(lua_tointeger(run->L, 1), LUN_RUN_FAILED);
    assert_int_equal(other->error.failure, LUN_FAILURE_STATE);
    lun_run_free(run);
    lun_run_free(other);
    end(vm);
}

static void a_run_inside_a_run_of_another_machine_works_and_both_are_limited(void **state)
{
    struct lun_vm *outer = new_vm(NULL), *vm = new_vm(NULL);
    (void)state;
    lua_pushcfunction(outer->L, start_other);
    lun_sandbox_global(outer, "start_other");
    other = ready(vm, NULL, "while true do end");
    struct lun_run *run = ready(outer, NULL, "start_other() while true do end");
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    assert_int_equal(run->error.failure, LUN_FAILURE_CPU);
    assert_int_equal(other->error.failure, LUN_FAILURE_CPU);
    lun_run_free(run);
    lun_run_free(other);
    end(vm);
    end(outer);
}

static void a_cancelled_run_is_never_resumed(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    struct lun_run *run = ready(vm, NULL, "wait()");
    (void)state;
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_WISHED);
    lua_State *old = run->L;
    lun_run_free(run);
    run = lun_run_new(vm, NULL, NULL);
    assert_ptr_not_equal(run->L, old);
    lun_run_free(run);
    end(vm);
}

static void a_finished_coroutine_is_used_again_and_a_failed_one_is_not(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    struct lun_run *run = ready(vm, NULL, "return 1");
    (void)state;
    lua_State *first = run->L;
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
    lun_run_free(run);
    run = ready(vm, NULL, "error('x')");
    assert_ptr_equal(run->L, first);
    assert_int_equal(lua_gettop(run->L), 1);
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    lun_run_free(run);
    run = lun_run_new(vm, NULL, NULL);
    assert_ptr_not_equal(run->L, first);
    lun_run_free(run);
    end(vm);
}

static void the_present_run_is_known_to_c_functions(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    int ref = load(vm, "local a = mark() wait() return a, mark()"), mine = 0, others = 0;
    struct lun_run *run[2] = { lun_run_new(vm, NULL, &mine), lun_run_new(vm, NULL, &others) };
    (void)state;
    for (int i = 0; i < 2; i++) {
        lua_rawgeti(run[i]->L, LUA_REGISTRYINDEX, ref);
        assert_int_equal(lun_run_go(run[i], 0), LUN_RUN_WISHED);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lun_run_go(run[i], 0), LUN_RUN_DONE);
        assert_ptr_equal(lua_touserdata(run[i]->L, 1), i ? &others : &mine);
        assert_ptr_equal(lua_touserdata(run[i]->L, 2), i ? &others : &mine);
        lun_run_free(run[i]);
    }
    assert_null(lun_vm_current(vm->L));
    end(vm);
}

/* ---- limits over several runs ---- */

static void a_request_has_a_limit_of_its_own_on_instructions(void **state)
{
    struct lun_vm *vm = steps_vm();
    struct lun_run_account account = { 0 };
    struct lun_run *run = ready(vm, &account, "while true do for i = 1, 400000 do end wait() end");
    int waits = 0;
    (void)state;
    while (lun_run_go(run, 0) == LUN_RUN_WISHED) waits++;
    assert_int_equal(run->error.failure, LUN_FAILURE_CPU);
    assert_non_null(strstr(run->error.text, "one request may take 10000000 instructions"));
    assert_in_range(waits, 20, 27);
    assert_true(account.steps >= 10000000);
    lun_run_free(run);
    run = ready(vm, &account, "return 1");
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);           /* another hook of the same request */
    assert_int_equal(run->error.failure, LUN_FAILURE_CPU);
    lun_run_free(run);
    end(vm);
}

static void instructions_are_counted_the_same_each_time(void **state)
{
    static const char body[] = "local t = {} for i = 1, 3000 do t[i] = { i } t['k' .. i] = i end table.sort(t, function(a, b) return a[1] > b[1] end) "
                               "for k, v in pairs(t) do if type(k) == 'string' then k:find('(.-)k(%d+)') end end";
    int64_t first = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct lun_vm *vm = steps_vm();
        struct lun_run_account account = { 0 };
        struct lun_run *run = ready(vm, &account, body);
        assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
        if (!i) first = account.steps;
        assert_true(account.steps > 100000);
        assert_int_equal(account.steps, first);
        lun_run_free(run);
        end(vm);
    }
}

static void cpu_time_is_charged_to_the_request(void **state)
{
    static const enum lun_vm_cpu ways[] = { LUN_CPU_SIGNAL, LUN_CPU_CLOCK };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .cpu = ways[i] });
        struct lun_run_account account = { 0 };
        struct lun_run *run = ready(vm, &account, "while true do end");
        assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
        assert_int_equal(run->error.failure, LUN_FAILURE_CPU);
        assert_true(account.cpu >= 5 * LUN_MS);
        lun_run_free(run);
        end(vm);
    }
}

static void memory_kept_over_waits_is_charged_to_the_request(void **state)
{
    struct lun_vm *vm = steps_vm();
    struct lun_run_account account = { 0 };
    struct lun_run *run = ready(vm, &account, "local t = {} while true do t[#t + 1] = ('x'):rep(2^20 - #t) wait() end");
    int waits = 0;
    (void)state;
    while (lun_run_go(run, 0) == LUN_RUN_WISHED) waits++;
    assert_int_equal(run->error.failure, LUN_FAILURE_MEMORY);
    assert_non_null(strstr(run->error.text, "one request may take 16384 KiB"));
    assert_in_range(waits, 5, 17);
    assert_false(lun_vm_worn(vm));
    lun_run_free(run);
    end(vm);
}

static void a_machine_over_its_bytes_is_worn_and_over_twice_that_runs_nothing(void **state)
{
    struct lun_vm_options options = { .cpu = LUN_CPU_STEPS, .limits = { .vm_bytes = 16 * MIB } };
    struct lun_vm *vm = new_vm(&options);
    int ref = load(vm, "kept = kept or {} for i = 1, 3 do kept[#kept + 1] = ('x'):rep(2^20 - #kept) end"), ends[20], n = 0;
    (void)state;
    for (; n < 20; n++) {
        struct lun_run *run = lun_run_new(vm, NULL, NULL);
        lua_rawgeti(run->L, LUA_REGISTRYINDEX, ref);
        ends[n] = lun_run_go(run, 0);
        if (ends[n] == LUN_RUN_FAILED) assert_non_null(strstr(run->error.text, "its machine holds"));
        if (n == 0) assert_false(lun_vm_worn(vm));
        lun_run_free(run);
    }
    assert_true(lun_vm_worn(vm));
    assert_int_equal(ends[3], LUN_RUN_DONE);                        /* worn, and yet it works */
    assert_int_equal(ends[19], LUN_RUN_FAILED);
    end(vm);
}

static void after_a_refused_allocation_the_machine_is_worn(void **state)
{
    struct lun_vm *vm = steps_vm();
    struct lun_run *run = ready(vm, NULL, "local s = ('x'):rep(2^20) local function f() return s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s end pcall(f) return 1");
    (void)state;
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    assert_int_equal(run->error.failure, LUN_FAILURE_MEMORY);
    assert_true(lun_vm_worn(vm));
    lun_run_free(run);
    run = ready(vm, NULL, "return 7");
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
    lun_run_free(run);
    end(vm);
}

/* ---- messages ---- */

static void expect_text(const char *body, const char *says)
{
    struct lun_vm *vm = steps_vm();
    struct lun_run *run = ready(vm, NULL, body);
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    if (!strstr(run->error.text, says)) print_message("%s\n", run->error.text);
    assert_non_null(strstr(run->error.text, says));
    assert_true(strlen(run->error.text) <= 500);
    lun_run_free(run);
    end(vm);
}

static void messages_name_file_and_line_and_are_bounded(void **state)
{
    (void)state;
    expect_text("error('x')", "hook.lua:1: x");
    expect_text("error({})", "hook.lua:1: an error that is no text but a table");
    expect_text("error('a\\n\\27b\\0c', 0)", "hook.lua:1: a\\x0a\\x1bb\\x00c");
    expect_text("error(('\\1'):rep(1000))", "\\x01\\x01");
    expect_text("error(('\xc3\xa4'):rep(1000))", "\xc3\xa4\xc3\xa4");
    expect_text("while true do end", "hook.lua:1: stopped: one run may take 1000000 instructions");
    expect_text("local function f() while true do end end pcall(f) return 1", "hook.lua:1: stopped");
    expect_text("table.sort({ 2, 1 }, function() error('in a callback') end)", "hook.lua:1: in a callback");
    expect_text("table.sort({ 2, {} })", "hook.lua:1: ");
}

static void a_message_never_ends_inside_a_character(void **state)
{
    struct lun_vm *vm = steps_vm();
    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        char body[100];
        snprintf(body, sizeof body, "error(('x'):rep(%d) .. ('\xe2\x82\xac'):rep(300))", shift);
        struct lun_run *run = ready(vm, NULL, body);
        assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
        size_t n = strlen(run->error.text);
        assert_in_range(n, 498, 500);
        assert_int_equal((unsigned char)run->error.text[n - 1], 0xac);
        lun_run_free(run);
    }
    end(vm);
}

static void every_failure_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(lun_failure_name(LUN_FAILURE_NONE), "none");
    assert_string_equal(lun_failure_name(LUN_FAILURE_CPU), "cpu_timeout");
    for (int i = 0; i < LUN_FAILURE_COUNT; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(lun_failure_name(i), lun_failure_name(j));
}

/* ---- loading ---- */

static void loading_hands_arguments_in_and_a_reference_out(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    struct lun_vm_error error;
    (void)state;
    lua_pushliteral(vm->L, "stays");
    lua_pushinteger(vm->L, 40);
    lua_pushinteger(vm->L, 2);
    int ref = lun_vm_load(vm, "x.lua", "local a, b = ... return a + b, 1", 32, 2, &error);
    assert_int_equal(lua_gettop(vm->L), 1);
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, ref);
    assert_int_equal(lua_tointeger(vm->L, -1), 42);
    assert_int_equal(lun_vm_load(vm, "x.lua", "", 0, 0, &error), LUA_REFNIL);
    lua_settop(vm->L, 1);
    lua_pushinteger(vm->L, 1);
    assert_int_equal(lun_vm_load(vm, "x.lua", "=", 1, 1, &error), LUA_NOREF);
    assert_int_equal(lua_gettop(vm->L), 1);
    assert_string_equal(error.text, "x.lua:1: unexpected symbol near '='");
    lua_settop(vm->L, 0);
    end(vm);
}

/* ---- the open flavour ---- */

static void an_open_machine_has_all_of_lua_and_cjson(void **state)
{
    struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .open = true });
    struct lun_run *run = ready(vm, NULL, "assert(io and debug and coroutine) return require('cjson').decode('[1,2]')[2]");
    (void)state;
    lun_run_go(run, 0);
    if (run->state != LUN_RUN_DONE) print_message("%s\n", run->error.text);
    assert_int_equal(run->state, LUN_RUN_DONE);
    assert_int_equal(lua_tointeger(run->L, 1), 2);
    lun_run_free(run);
    end(vm);
}

static void lua_s_functions_are_luajit_s(void **state)
{
    (void)state;
    assert_true(lun_vm_lua_is_ours());
}

static void runs_in_an_open_machine(const char *code)
{
    struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .open = true });
    struct lun_run *run = ready(vm, NULL, code);
    lun_run_go(run, 0);
    if (run->state != LUN_RUN_DONE) fail_msg("%s", run->error.text);
    lun_run_free(run);
    end(vm);
}

static void cjson_of_an_open_machine_reads_and_writes_everything_that_json_has(void **state)
{
    (void)state;
    runs_in_an_open_machine(
        "local c = require 'cjson'\n"
        "local v = c.decode [[{\"a\":null,\"b\":[],\"c\":{},\"d\":[1,null,true],\"e\":\"\\u00e4\\n\",\"f\":0.1,\"g\":9007199254740991}]]\n"
        "assert(v.a == c.null and v.d[2] == c.null and v.d[3] == true and v.e == '\\195\\164\\n')\n"
        "local back = [[{\"a\":null,\"b\":[],\"c\":{},\"d\":[1,null,true],\"e\":\"\xc3\xa4\\n\",\"f\":0.1,\"g\":9007199254740991}]]\n"
        "assert(c.encode(v) == back, c.encode(v))\n"
        "assert(c.encode { 1, nil, 3 } == '[1,null,3]' and c.encode {} == '{}' and c.encode 'x' == '\"x\"' and c.encode(c.null) == 'null')\n"
        "local deep = ('['):rep(128) .. (']'):rep(128) assert(c.encode(c.decode(deep)) == deep)\n"
        "local long = c.encode { ('x'):rep(1000000) } assert(#c.decode(long)[1] == 1000000)\n"
        "local halves = [[{\"\\udc00\":[\"a\\ud83d\",\"\\ude00\"]}]] assert(c.encode(c.decode(halves)) == halves)");
}

/* As long as they stand where they stood. */
static void cjson_of_an_open_machine_keeps_numbers_that_are_more_than_a_double(void **state)
{
    (void)state;
    runs_in_an_open_machine(
        "local c = require 'cjson'\n"
        "local more = [[{\"a\":9007199254740993,\"b\":[1.0,-0,-0.0,1e2,12345678901234567890,{\"c\":-1e400}],\"d\":1735689600000000}]]\n"
        "local v = c.decode(more) collectgarbage() assert(c.encode(v) == more, c.encode(v))\n"
        "assert(v.a == 2 ^ 53 and v.b[1] == 1 and v.b[6].c == -math.huge and c.encode { v.d, 2 ^ 62 } == '[1735689600000000,4611686018427387904]')\n"
        "v.a, v.b[1], v.b[6].c = 5, nil, 2 assert(c.encode(v) == [[{\"a\":5,\"b\":[null,-0,-0.0,1e2,12345678901234567890,{\"c\":2}],\"d\":1735689600000000}]], c.encode(v))\n"
        "local function used() for _ = 1, 3000 do c.decode '[[1.0]]' end collectgarbage() collectgarbage() return collectgarbage 'count' end\n"
        "local before = used() for _ = 1, 10 do used() end assert(used() < before + 8)");
}

static void cjson_of_an_open_machine_raises_what_it_cannot_do(void **state)
{
    (void)state;
    runs_in_an_open_machine(
        "local c = require 'cjson'\n"
        "for _, text in ipairs { '', '{', '[1,]', 'nan', ('['):rep(129) .. (']'):rep(129) } do assert(not pcall(c.decode, text), text) end\n"
        "local round = {} round[1] = round\n"
        "for _, value in ipairs { 0 / 0, print, round, { 1, x = 2 }, { [1] = 1, [100] = 2 } } do assert(not pcall(c.encode, value)) end\n"
        "assert(select(2, pcall(c.decode, '[1,]')):find('cjson.decode: at byte 3', 1, true))");
}

static void cjson_of_an_open_machine_is_not_one_that_lies_on_the_disk(void **state)
{
    (void)state;
    runs_in_an_open_machine("package.path, package.cpath = '', '' assert(require('cjson').encode(1) == '1')");
}

static void an_open_machine_finds_our_own_files(void **state)
{
    struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .open = true });
    struct lun_run *run = ready(vm, NULL, "return type(package.loaders[2]), pcall(require, 'absent.module')");
    (void)state;
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
    assert_string_equal(lua_tostring(run->L, 1), "function");
    assert_non_null(strstr(lua_tostring(run->L, 3), "not one of Lunette's own: 'absent.module'"));
    lun_run_free(run);
    end(vm);
}

static void an_open_machine_has_only_the_limits_it_is_given(void **state)
{
    struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .open = true });
    struct lun_run *run = ready(vm, NULL, "local t = {} for i = 1, 4e5 do t[i] = { i } end return #t");
    (void)state;
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
    assert_true(vm->peak > 16 * MIB);
    assert_false(lun_vm_worn(vm));
    lun_run_free(run);
    end(vm);
    vm = new_vm(&(struct lun_vm_options){ .open = true, .limits = { .run_cpu = 2 * LUN_MS } });
    run = ready(vm, NULL, "while true do end");
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    assert_int_equal(run->error.failure, LUN_FAILURE_CPU);
    lun_run_free(run);
    end(vm);
}

static void a_yield_that_is_no_wish_is_a_failure(void **state)
{
    struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .open = true });
    struct lun_run *run = ready(vm, NULL, "coroutine.yield(1)");
    (void)state;
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    assert_int_equal(run->error.failure, LUN_FAILURE_YIELD);
    lun_run_free(run);
    run = ready(vm, NULL, "return coroutine.resume(coroutine.create(wait))");
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);             /* no wish goes to a coroutine's owner */
    assert_false(lua_toboolean(run->L, 1));
    assert_non_null(strstr(lua_tostring(run->L, 2), "nothing can wait"));
    lun_run_free(run);
    run = ready(vm, NULL, "return ('x'):gsub('x', wait)");
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    assert_int_equal(run->error.failure, LUN_FAILURE_ERROR);
    lun_run_free(run);
    end(vm);
}

/* ---- memory that goes round ---- */

static void small_blocks_are_kept_for_the_next_up_to_a_bound(void **state)
{
    struct lun_vm *vm = steps_vm();
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct lun_run *run = ready(vm, NULL, "local t = {} for i = 1, 2e4 do t[i] = { tostring(i) } end return #t");
        assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
        lun_run_free(run);
        while (!lun_vm_collect(vm, 1024)) continue;
        while (!lun_vm_collect(vm, 1024)) continue;
        assert_true(vm->used < MIB && vm->kept <= LUN_VM_KEPT);
#ifndef __SANITIZE_ADDRESS__
        assert_true(vm->kept > LUN_VM_KEPT / 2);
#endif
    }
    end(vm);
}

/* A run that leaves some garbage, again and again, with a rest behind each: how often one of them grew less than it allocated, so collected within. */
static void who_rests_between_runs_hardly_collects_within_one(void **state)
{
    int collected[2];
    (void)state;
    for (int resting = 0; resting < 2; resting++) {
        struct lun_vm *vm = steps_vm();
        int within = 0;
        int64_t most = 0;
        for (int i = 0; i < 2000; i++) {
            struct lun_run *run = ready(vm, NULL, "local t = {} for i = 1, 10 do t[i] = { 'x' .. i } end return #t");
            int64_t before = vm->used;
            assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
            within += vm->used < before + 1000;
            lun_run_free(run);
            if (resting) lun_vm_rest(vm);
            if (vm->used > most) most = vm->used;
        }
        print_message("%s: %d of 2000 runs collected, %lld KiB at most\n", resting ? "with rests" : "without", within, (long long)(most >> 10));
        collected[resting] = within;
        end(vm);
    }
    assert_true(collected[1] * 10 < collected[0]);      /* the first time nobody knows yet how much is left */
}

/* ---- the timer ---- */

/* Also those that no tick falls into. Half of it: the thread may lose its core at any time. */
static void runs_of_some_milliseconds_count_with_all_of_their_time(void **state)
{
    struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .limits = { .run_cpu = LUN_SECOND, .request_cpu = 60 * LUN_SECOND } });
    struct lun_run_account account = { 0 };
    lun_us before = lun_clock_cpu();
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct lun_run *run = ready(vm, &account, "for i = 1, 3e5 do local x = i * i end");
        assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
        lun_run_free(run);
    }
    assert_true(2 * account.cpu > lun_clock_cpu() - before);
    end(vm);
}

/* By the thread's own time it takes some of that until the timer has found nobody to look at. */
static void busy_until_the_timer_stops(void)
{
    lun_us until = lun_clock_cpu() + 10 * LUN_SECOND;
    while (lun_cpu_ticking() && lun_clock_cpu() < until) continue;
    assert_false(lun_cpu_ticking());
}

static __attribute__((unused)) void the_timer_stops_when_nothing_runs_and_starts_again(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lun_run *run = ready(vm, NULL, "while true do end");
        unsigned long before = lun_cpu_ticks();
        assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
        assert_true(lun_cpu_ticks() > before);
        assert_true(lun_cpu_ticking());
        lun_run_free(run);
        busy_until_the_timer_stops();
    }
    end(vm);
}

/* As a worker that has few requests: each signal would wake it, and in the middle of the next one at that. */
static __attribute__((unused)) void a_thread_that_waits_between_short_runs_is_not_woken(void **state)
{
    struct lun_vm *vm = new_vm(NULL);
    (void)state;
    busy_until_the_timer_stops();
    unsigned long before = lun_cpu_ticks();
    lun_us cpu = lun_clock_cpu();
    for (int i = 0; i < 10; i++) {
        struct lun_run *run = ready(vm, NULL, "return 1");
        assert_int_equal(lun_run_go(run, 0), LUN_RUN_DONE);
        lun_run_free(run);
        poll(NULL, 0, 10);
    }
    assert_true((lun_us)(lun_cpu_ticks() - before) <= (lun_clock_cpu() - cpu) / (2 * LUN_MS));
    end(vm);
}

static void no_signal_comes_without_a_limit_on_time(void **state)
{
    struct lun_vm *vm = new_vm(&(struct lun_vm_options){ .cpu = LUN_CPU_CLOCK }), *open = new_vm(&(struct lun_vm_options){ .open = true });
    unsigned long before = lun_cpu_ticks();
    struct lun_run *run = ready(vm, NULL, "while true do end"), *two = ready(open, NULL, "for i = 1, 1e6 do end");
    (void)state;
    busy_until_the_timer_stops();
    before = lun_cpu_ticks();
    assert_int_equal(lun_run_go(run, 0), LUN_RUN_FAILED);
    assert_int_equal(lun_run_go(two, 0), LUN_RUN_DONE);
    assert_int_equal(lun_cpu_ticks(), before);
    lun_run_free(run);
    lun_run_free(two);
    end(vm);
    end(open);
}

/* ---- threads ---- */

static void *make(void *unused)
{
    (void)unused;
    return new_vm(NULL);
}

static void *loop_in(void *vm)
{
    struct lun_run *run = ready(vm, NULL, "while true do end");
    void *good = lun_run_go(run, 0) == LUN_RUN_FAILED && run->error.failure == LUN_FAILURE_CPU ? vm : NULL;
    lun_run_free(run);
    return good;
}

static void *close_(void *vm) { return lun_vm_free(vm) ? vm : NULL; }

static void *on_thread(void *(*f)(void *), void *with)
{
    pthread_t thread;
    void *out;
    assert_int_equal(pthread_create(&thread, NULL, f, with), 0);
    pthread_join(thread, &out);
    return out;
}

static void a_machine_may_move_between_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct lun_vm *vm = on_thread(make, NULL);
        assert_ptr_equal(on_thread(loop_in, vm), vm);
        assert_ptr_equal(loop_in(vm), vm);
        assert_ptr_equal(on_thread(loop_in, vm), vm);
        assert_null(on_thread(close_, vm));
    }
}

static void two_threads_with_a_machine_each_do_not_disturb_each_other(void **state)
{
    struct lun_vm *vm[2] = { new_vm(NULL), new_vm(NULL) };
    pthread_t thread[2];
    void *out;
    (void)state;
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, loop_in, vm[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], &out);
        assert_ptr_equal(out, vm[i]);
        end(vm[i]);
    }
}

/* ---- the bundle ---- */

static void the_bundle_has_the_sandbox_and_modules_by_name(void **state)
{
    const struct lun_bundle_file *f = lun_bundle_find("lua/sandbox.lua");
    (void)state;
    assert_non_null(f);
    assert_true(f->size > 1000 && f->start[f->size] == 0);
    assert_null(lun_bundle_find("lua/absent.lua"));
    assert_null(lun_bundle_module("lunette.sandbox", 0));
    assert_null(lun_bundle_module("sandbox", 1));
    assert_null(lun_bundle_module("lunette./sandbox", 0));
    assert_null(lun_bundle_module("absent", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_gives_what_its_function_returns),
        cmocka_unit_test(a_wish_hands_its_values_out_and_the_answer_in),
        cmocka_unit_test(a_resume_at_the_wrong_time_is_refused),
        cmocka_unit_test(a_run_inside_a_run_of_the_same_machine_is_refused),
        cmocka_unit_test(a_run_inside_a_run_of_another_machine_works_and_both_are_limited),
        cmocka_unit_test(a_cancelled_run_is_never_resumed),
        cmocka_unit_test(a_finished_coroutine_is_used_again_and_a_failed_one_is_not),
        cmocka_unit_test(the_present_run_is_known_to_c_functions),
        cmocka_unit_test(a_request_has_a_limit_of_its_own_on_instructions),
        cmocka_unit_test(instructions_are_counted_the_same_each_time),
        cmocka_unit_test(cpu_time_is_charged_to_the_request),
        cmocka_unit_test(memory_kept_over_waits_is_charged_to_the_request),
        cmocka_unit_test(a_machine_over_its_bytes_is_worn_and_over_twice_that_runs_nothing),
        cmocka_unit_test(after_a_refused_allocation_the_machine_is_worn),
        cmocka_unit_test(messages_name_file_and_line_and_are_bounded),
        cmocka_unit_test(a_message_never_ends_inside_a_character),
        cmocka_unit_test(every_failure_has_a_name),
        cmocka_unit_test(loading_hands_arguments_in_and_a_reference_out),
        cmocka_unit_test(lua_s_functions_are_luajit_s),
        cmocka_unit_test(an_open_machine_has_all_of_lua_and_cjson),
        cmocka_unit_test(cjson_of_an_open_machine_reads_and_writes_everything_that_json_has),
        cmocka_unit_test(cjson_of_an_open_machine_keeps_numbers_that_are_more_than_a_double),
        cmocka_unit_test(cjson_of_an_open_machine_raises_what_it_cannot_do),
        cmocka_unit_test(cjson_of_an_open_machine_is_not_one_that_lies_on_the_disk),
        cmocka_unit_test(an_open_machine_finds_our_own_files),
        cmocka_unit_test(an_open_machine_has_only_the_limits_it_is_given),
        cmocka_unit_test(a_yield_that_is_no_wish_is_a_failure),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(the_timer_stops_when_nothing_runs_and_starts_again),
        cmocka_unit_test(a_thread_that_waits_between_short_runs_is_not_woken),
#endif
        cmocka_unit_test(small_blocks_are_kept_for_the_next_up_to_a_bound), cmocka_unit_test(who_rests_between_runs_hardly_collects_within_one),
        cmocka_unit_test(runs_of_some_milliseconds_count_with_all_of_their_time),
        cmocka_unit_test(no_signal_comes_without_a_limit_on_time),
        cmocka_unit_test(a_machine_may_move_between_threads),
        cmocka_unit_test(two_threads_with_a_machine_each_do_not_disturb_each_other),
        cmocka_unit_test(the_bundle_has_the_sandbox_and_modules_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

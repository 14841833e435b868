/* The matcher against the string library it stands in for, on random cases; and what it does on purpose otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <lauxlib.h>
#include "script/matcher.h"
#include "script/run.h"
#include "script/vm.h"

#define CASES 60000

static uint64_t seed = 88172645463325252u;

static unsigned chance(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 11) % n;
}

static const char *const pieces[] = {
    "a", "b", "ab", ".", "%a", "%d", "%s", "%w", "%W", "%p", "%x", "%S", "%z", "%c", "%l", "%u", "%%", "%.", "[ab]", "[^a]", "[a-c%d]", "[]a]",
    "[^]]", "[%]]", "[a-]", "[-a]", "(", ")", "(a)", "(.-)", "()", "%1", "%2", "%b()", "%bab", "%f[%w]", "%f[^a]", "%f[%z]", "$", "^", "*", "+", "-", "?",
    "[", "]", "%", "0", " ", "A", "[%a_]", "(%a+)", "(%w*)", "%f", "%b", "[a-%w]", "[%w-z]",
};

static const char *pattern(char *out)
{
    unsigned n = chance(6);
    out[0] = 0;
    if (chance(8) == 0) strcat(out, "^");
    for (unsigned i = 0; i <= n; i++) {
        strcat(out, pieces[chance(sizeof pieces / sizeof *pieces)]);
        if (chance(3) == 0) strncat(out, "*+-?" + chance(4), 1);
    }
    return out;
}

static size_t subject(char *out)
{
    static const char letters[] = "aaabbbc01 ()A.%_\n\0[]-z";
    size_t n = chance(14);
    for (size_t i = 0; i < n; i++) out[i] = letters[chance(sizeof letters - 1)];
    return n;
}

static void replacement(char *out)
{
    static const char *const parts[] = { "x", "%0", "%1", "%2", "%%", "yz", "%a", "" };
    out[0] = 0;
    for (unsigned i = chance(4); i > 0; i--) strcat(out, parts[chance(8)]);
}

/* `%1` may stand for a position capture where both are in the pattern: natively that compares rubbish. */
static bool native_is_mad(const char *p) { return strstr(p, "()") && strpbrk(p, "12"); }

static void call(lua_State *L, int f, int n, int first)
{
    lua_pushvalue(L, f);
    for (int i = 0; i < n; i++) lua_pushvalue(L, first + i);
    if (lua_pcall(L, n, LUA_MULTRET, 0)) {
        lua_pop(L, 1);
        lua_pushliteral(L, "raised");
    }
}

/* Arguments are [3] and on: both functions give the same values, or both raise. */
static void compare(lua_State *L, int n, const char *what)
{
    int top = lua_gettop(L);
    call(L, 1, n, 3);
    int a = lua_gettop(L) - top;
    call(L, 2, n, 3);
    int b = lua_gettop(L) - top - a;
    bool same = a == b;
    for (int i = 1; same && i <= a; i++) same = lua_rawequal(L, top + i, top + a + i);
    if (!same) {
        print_message("%s('%s', '%s', ...): native gives %d (%s), ours %d (%s)\n", what, lua_tostring(L, 3), lua_tostring(L, 4), a,
                      a ? lua_tostring(L, top + 1) : "", b, b ? lua_tostring(L, top + a + 1) : "");
        fail();
    }
    lua_settop(L, top);
}

static void functions(lua_State *L, const char *name, lua_CFunction ours)
{
    lua_settop(L, 0);
    lua_getglobal(L, "string");
    lua_getfield(L, -1, name);
    lua_replace(L, 1);
    lua_pushcfunction(L, ours);
}

static int failing_collect(lua_State *L)
{
    lua_settop(L, 3);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_call(L, 2, 1);                  /* the iterator */
    lua_newtable(L);
    for (int i = 1; i < 100; i++) {
        lua_pushvalue(L, 4);
        lua_call(L, 0, 2);
        if (lua_isnil(L, -2)) break;
        lua_pushfstring(L, "%s|%s", lua_tostring(L, -2), lua_isnil(L, -1) ? "" : lua_tostring(L, -1));
        lua_rawseti(L, 5, i);
        lua_settop(L, 5);
    }
    lua_settop(L, 5);
    lua_pushliteral(L, "");
    for (int i = 1; i <= (int)lua_objlen(L, 5); i++) {
        lua_rawgeti(L, 5, i);
        lua_concat(L, 2);
    }
    return 1;
}

/* [1] and [2] become functions that run gmatch to its end. */
static int collect_with(lua_State *L)
{
    lua_pushcfunction(L, failing_collect);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_call(L, 3, 1);
    return 1;
}

static void random_cases(lua_State *L, const char *what, unsigned extra)
{
    char s[32], p[128], r[64];
    for (int i = 0; i < CASES; i++) {
        size_t n = subject(s);
        if (native_is_mad(pattern(p))) continue;
        lua_settop(L, 2);
        lua_pushlstring(L, s, n);
        lua_pushstring(L, p);
        if (extra == 1) lua_pushinteger(L, (int)chance(20) - 6);
        if (extra == 2) {
            replacement(r);
            lua_pushstring(L, r);
            if (chance(3) == 0) lua_pushinteger(L, chance(4));
        }
        compare(L, lua_gettop(L) - 2, what);
    }
}

static struct lun_vm *open_vm(void) { return lun_vm_new(&(struct lun_vm_options){ .open = true }); }

static void finds_what_the_string_library_finds(void **state)
{
    struct lun_vm *vm = open_vm();
    (void)state;
    functions(vm->L, "find", lun_match_find);
    random_cases(vm->L, "find", 1);
    assert_int_equal(lun_vm_free(vm), 0);
}

static void matches_what_the_string_library_matches(void **state)
{
    struct lun_vm *vm = open_vm();
    (void)state;
    functions(vm->L, "match", lun_match_match);
    random_cases(vm->L, "match", 1);
    assert_int_equal(lun_vm_free(vm), 0);
}

static void replaces_as_the_string_library_does(void **state)
{
    struct lun_vm *vm = open_vm();
    (void)state;
    functions(vm->L, "gsub", lun_match_gsub);
    random_cases(vm->L, "gsub", 2);
    assert_int_equal(lun_vm_free(vm), 0);
}

static void goes_through_matches_as_the_string_library_does(void **state)
{
    struct lun_vm *vm = open_vm();
    (void)state;
    functions(vm->L, "gmatch", lun_match_gmatch);
    for (int i = 1; i <= 2; i++) {
        lua_pushvalue(vm->L, i);
        lua_pushcclosure(vm->L, collect_with, 1);
        lua_replace(vm->L, i);
    }
    random_cases(vm->L, "gmatch", 0);
    assert_int_equal(lun_vm_free(vm), 0);
}

static void every_byte_is_in_the_classes_of_the_string_library(void **state)
{
    struct lun_vm *vm = open_vm();
    (void)state;
    functions(vm->L, "match", lun_match_match);
    for (int c = 0; c < 256; c++)
        for (const char *class = "aAcCdDlLpPsSuUwWxXzZ"; *class; class++) {
            char byte = (char)c;
            lua_pushlstring(vm->L, &byte, 1);
            lua_pushfstring(vm->L, "%%%c", *class);
            compare(vm->L, 2, "match");
            lua_settop(vm->L, 2);
        }
    assert_int_equal(lun_vm_free(vm), 0);
}

/* ---- in the sandbox ---- */

static const char *answer(const char *text)
{
    static char out[600];
    struct lun_vm *vm = lun_vm_new(NULL);
    struct lun_vm_error error;
    int ref = lun_vm_load(vm, "case.lua", text, strlen(text), 0, &error);
    if (ref == LUA_NOREF) {
        snprintf(out, sizeof out, "%s", error.text);
    } else {
        lua_rawgeti(vm->L, LUA_REGISTRYINDEX, ref);
        snprintf(out, sizeof out, "%s", lua_tostring(vm->L, -1));
        lua_pop(vm->L, 1);
    }
    assert_int_equal(lun_vm_free(vm), 0);
    return out;
}

static void gsub_with_functions_and_tables_agrees_with_the_native_one(void **state)
{
    struct lun_vm *ours = lun_vm_new(NULL), *native = open_vm();
    static const char text[] =
        "return function(s, p, most)\n"
        "  local n = 0\n"
        "  local function by(a, b) n = n + 1 if n % 3 == 0 then return nil end if n % 3 == 1 then return a end return '<' .. (b or '') .. '>' end\n"
        "  local x, c = s:gsub(p, by, most)\n"
        "  local y, d = s:gsub(p, { a = 'Q', ab = 7, ['1'] = false }, most)\n"
        "  return x .. '|' .. c .. '|' .. y .. '|' .. d\n"
        "end";
    struct lun_vm_error error;
    struct lun_vm *both[] = { native, ours };
    char s[32], p[128], result[2][256];
    (void)state;
    for (int k = 0; k < 2; k++) lua_rawgeti(both[k]->L, LUA_REGISTRYINDEX, lun_vm_load(both[k], "t", text, sizeof text - 1, 0, &error));
    for (int i = 0; i < CASES / 3; i++) {
        size_t n = subject(s);
        int most = chance(3) == 0 ? (int)chance(4) : 100;
        if (native_is_mad(pattern(p))) continue;
        for (int k = 0; k < 2; k++) {
            lua_State *L = both[k]->L;
            lua_pushvalue(L, 1);
            lua_pushlstring(L, s, n);
            lua_pushstring(L, p);
            lua_pushinteger(L, most);
            bool raised = lua_pcall(L, 3, 1, 0);
            snprintf(result[k], sizeof *result, "%s", raised ? "raised" : lua_tostring(L, -1));
            lua_settop(L, 1);
        }
        if (strcmp(result[0], result[1])) print_message("gsub('%s', '%s', %d)\n", s, p, most);
        assert_string_equal(result[1], result[0]);
    }
    assert_int_equal(lun_vm_free(ours) + lun_vm_free(native), 0);
}

static void a_nul_in_a_pattern_is_a_character(void **state)
{
    (void)state;
    assert_string_equal(answer("return (string.find('a\\0b', '\\0b'))"), "2");
    assert_string_equal(answer("return (string.find('a\\0b', '[\\0]b'))"), "2");
}

static void a_percent_sign_at_the_end_of_a_replacement_is_dropped(void **state)
{
    (void)state;
    assert_string_equal(answer("return (string.gsub('abc', 'b', 'x%'))"), "axc");
}

static void repetition_by_recursion_ends_at_200_levels(void **state)
{
    (void)state;
    assert_string_equal(answer("return (string.find(('a'):rep(300), ('a?'):rep(150)))"), "1");
    assert_non_null(strstr(answer("return (string.find(('a'):rep(300), ('a?'):rep(250)))"), "pattern too complex"));
}

static void a_result_over_1_mib_is_refused(void **state)
{
    (void)state;
    assert_non_null(strstr(answer("return #string.gsub(('a'):rep(3000), 'a', ('b'):rep(1000))"), "over 1 MiB"));
    assert_string_equal(answer("return #string.gsub(('a'):rep(1000), 'a', ('b'):rep(1000))"), "1000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_the_string_library_finds),
        cmocka_unit_test(matches_what_the_string_library_matches),
        cmocka_unit_test(replaces_as_the_string_library_does),
        cmocka_unit_test(goes_through_matches_as_the_string_library_does),
        cmocka_unit_test(every_byte_is_in_the_classes_of_the_string_library),
        cmocka_unit_test(gsub_with_functions_and_tables_agrees_with_the_native_one),
        cmocka_unit_test(a_nul_in_a_pattern_is_a_character),
        cmocka_unit_test(a_percent_sign_at_the_end_of_a_replacement_is_dropped),
        cmocka_unit_test(repetition_by_recursion_ends_at_200_levels),
        cmocka_unit_test(a_result_over_1_mib_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

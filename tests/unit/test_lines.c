/* Where values were written: the lexer, and how names are followed. The texts are run as well, so that the tables are real. */
#include "loading.h"
#include "script/lexer.h"
#include "script/lines.h"
#include <lauxlib.h>
#include <lualib.h>

struct placed { struct lun_lines *lines; struct lun_value *root; struct lun_arena arena; lua_State *L; };

static struct placed place(const char *text, const char *module)
{
    struct placed p = { .lines = lun_lines_new(), .L = luaL_newstate() };
    luaL_openlibs(p.L);
    lua_settop(p.L, 0);
    if (module) {
        lun_lines_add(p.lines, "main.lua", NULL, text, strlen(text));
        lun_lines_add(p.lines, "module.lua", "module", module, strlen(module));
        assert_int_equal(luaL_loadstring(p.L, module), 0);
        lua_getglobal(p.L, "package"), lua_getfield(p.L, -1, "preload"), lua_pushvalue(p.L, 1), lua_setfield(p.L, -2, "module"), lua_settop(p.L, 0);
    } else lun_lines_add(p.lines, "main.lua", NULL, text, strlen(text));
    if (luaL_dostring(p.L, text)) fail_msg("%s", lua_tostring(p.L, -1));
    p.root = lun_value_read(p.L, 1, &p.arena, NULL, NULL);
    lun_lines_place(p.lines, p.root);
    return p;
}

static void done(struct placed *p)
{
    lun_lines_free(p->lines);
    lun_arena_free(&p->arena);
    lua_close(p->L);
}

/* The place of "a.b.1" as "main.lua:3". */
static void is_at(const struct placed *p, const char *path, const char *expected)
{
    struct lun_value *v = p->root;
    char step[64], at[64];
    for (const char *c = path; v && *c; ) {
        size_t n = strcspn(c, ".");
        snprintf(step, sizeof step, "%.*s", (int)n, c);
        v = *step >= '0' && *step <= '9' ? lun_value_item(v, atoi(step)) : lun_value_get(v, step);
        c += n + (c[n] == '.');
    }
    if (!v) fail_msg("there is no %s", path);
    snprintf(at, sizeof at, "%s:%d", v->place.file, v->place.line);
    if (strcmp(at, expected)) fail_msg("%s is at %s, not at %s", path, at, expected);
}

static void keys_of_a_constructor_have_their_lines(void **state)
{
    (void)state;
    struct placed p = place("-- first\n--[[ two\nthree ]]\nreturn {\n  a = 1, ['b'] =\n    2,\n  c = { d = { 'x',\n    'y' }, [\"e f\"] = [[\nlong]] },\n  g = 5; 'one', [3] = 'z',\n  'two' }\n", NULL);
    is_at(&p, "a", "main.lua:5"), is_at(&p, "b", "main.lua:5"), is_at(&p, "c", "main.lua:7"), is_at(&p, "c.d", "main.lua:7");
    is_at(&p, "c.d.1", "main.lua:7"), is_at(&p, "c.d.2", "main.lua:8"), is_at(&p, "c.e f", "main.lua:8"), is_at(&p, "g", "main.lua:10");
    is_at(&p, "1", "main.lua:10"), is_at(&p, "2", "main.lua:11"), is_at(&p, "3", "main.lua:10");
    is_at(&p, "", "main.lua:4");
    done(&p);
}

static void names_are_followed(void **state)
{
    (void)state;
    struct placed p = place("local limits = {\n  a = 1,\n}\nlocal base, other = {\n  b = 2 },\n  { c = 3 }\nbase.d =\n  4\nbase.e = { f = 5 }\nbase.e.g = 6\nlimits[\"h\"] = 7\n"
                            "if true then\n  base.i = { j = 8 }\nend\nbase.l = limits\nbase.c = other.c\nreturn base\n", NULL);
    is_at(&p, "b", "main.lua:5"), is_at(&p, "d", "main.lua:7"), is_at(&p, "e", "main.lua:9"), is_at(&p, "e.f", "main.lua:9"), is_at(&p, "e.g", "main.lua:10");
    is_at(&p, "l", "main.lua:15"), is_at(&p, "l.a", "main.lua:2"), is_at(&p, "l.h", "main.lua:11"), is_at(&p, "i.j", "main.lua:13"), is_at(&p, "c", "main.lua:16");
    done(&p);
}

static void calls_are_looked_through_and_functions_left_out(void **state)
{
    (void)state;
    struct placed p = place("local function merge(a, b)\n  local t = { x = 0 }\n  if a then for k, v in pairs(a) do t[k] = v end end\n  for k, v in pairs(b) do t[k] = v end\n  return t\nend\n"
                            "local base = { y = {\n  z = 1 } }\nlocal f = function() return { y = 2 } end\nreturn merge(base,\n  { w = merge({}, {\n    v = 1 }) })\n", NULL);
    is_at(&p, "y", "main.lua:7"), is_at(&p, "y.z", "main.lua:8"), is_at(&p, "w", "main.lua:11"), is_at(&p, "w.v", "main.lua:12");
    is_at(&p, "x", "main.lua:10");          /* made in a function: the nearest that is known */
    done(&p);
}

static void of_two_places_the_one_with_that_value(void **state)
{
    (void)state;
    struct placed p = place("local real = false\nlocal t = real and {\n  a = 1, b = 'x' } or {\n  a = 2, b = 'y' }\nreturn t\n", NULL);
    is_at(&p, "a", "main.lua:4"), is_at(&p, "b", "main.lua:4");
    done(&p);
    p = place("local real = true\nlocal t = real and {\n  a = 1, b = 'x' } or {\n  a = 2, b = 'y' }\nreturn t\n", NULL);
    is_at(&p, "a", "main.lua:3"), is_at(&p, "b", "main.lua:3");
    done(&p);
}

static void what_loops_make_has_the_line_of_what_is_around(void **state)
{
    (void)state;
    struct placed p = place("local t = {\n  list = {} }\nfor i = 1, 3 do\n  t.list[i] = { n = i }\nend\nt['x' .. 1] = 5\nreturn t\n", NULL);
    is_at(&p, "list.2.n", "main.lua:2"), is_at(&p, "x1", "main.lua:7");
    done(&p);
}

static void required_files_are_followed(void **state)
{
    (void)state;
    struct placed p = place("local m = require \"module\"\nreturn {\n  a = m,\n  b = require('module').in_it,\n}\n", "local x = {\n  in_it = {\n    c = 1 } }\nreturn x");
    is_at(&p, "a", "main.lua:3"), is_at(&p, "a.in_it", "module.lua:2"), is_at(&p, "a.in_it.c", "module.lua:3");
    done(&p);
}

static int count;
static void tell(void *self, const char *file, int line, int before, const char *name)
{
    (void)self;
    assert_string_equal(file, "main.lua");
    assert_int_equal(line, 3), assert_int_equal(before, 2);
    assert_string_equal(name, "a");
    count++;
}

static void names_said_twice_are_found(void **state)
{
    (void)state;
    struct placed p = place("return {\n  a = 1,\n  a = 2, b = { a = 1 }, [1] = 1, 2 }", NULL);
    count = 0;
    lun_lines_each_twice(p.lines, tell, NULL);
    assert_int_equal(count, 1);
    done(&p);
}

static void words_are_read_as_lua_reads_them(void **state)
{
    static const char text[] = "#!/bin/lua\na.b 'it\\'s\\n\\65\\x42\\z  \n c' \"d\\\ne\" [==[\nf]]]==] 0x1F 1e-3 .5 a..b a==b ~= --[=[ x ]] ]=] and";
    static const struct { enum lun_token kind; const char *text; int line; } words[] = {
        { LUN_TOKEN_NAME, "a", 2 }, { LUN_TOKEN_SIGN, ".", 2 }, { LUN_TOKEN_NAME, "b", 2 }, { LUN_TOKEN_TEXT, "it's\nABc", 2 }, { LUN_TOKEN_TEXT, "d\ne", 3 },
        { LUN_TOKEN_TEXT, "f]]", 4 }, { LUN_TOKEN_NUMBER, "0x1F", 5 }, { LUN_TOKEN_NUMBER, "1e-3", 5 }, { LUN_TOKEN_NUMBER, ".5", 5 }, { LUN_TOKEN_NAME, "a", 5 },
        { LUN_TOKEN_SIGN, "..", 5 }, { LUN_TOKEN_NAME, "b", 5 }, { LUN_TOKEN_NAME, "a", 5 }, { LUN_TOKEN_SIGN, "==", 5 }, { LUN_TOKEN_NAME, "b", 5 },
        { LUN_TOKEN_SIGN, "~=", 5 }, { LUN_TOKEN_NAME, "and", 5 }, { LUN_TOKEN_END, "", 5 }, { LUN_TOKEN_END, "", 5 },
    };
    struct lun_arena arena = { 0 };
    struct lun_lexer l = { .at = text, .start = text, .end = text + sizeof text - 1, .line = 1, .arena = &arena };
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        lun_lexer_next(&l);
        assert_int_equal(l.kind, words[i].kind);
        assert_int_equal(l.token_line, words[i].line);
        if (l.kind == LUN_TOKEN_SIGN) assert_true(l.sign == words[i].text[0] && l.twice == (words[i].text[1] != 0));
        else assert_string_equal(l.text, words[i].text);
    }
    lun_arena_free(&arena);
}

/* Whatever the text is: it ends, and stays within its bytes. */
static void any_text_comes_to_an_end(void **state)
{
    static const char *const texts[] = { "", "{", "return {", "return {{{{{{{{", "a = ", "a.", "a[", "a[1", "local", "local a =", "local a, ", "return", "function", "return function", "--[[", "[[", "[==", "'", "\"\\",
        "'\\x", "'\\9", "return { [", "return { [1", "return { ['a'", "return { a", "return { a =", "}}}}", ")]}", "return ) ] }", "require", "x = require(", "\xff\xfe", "return { a = a.b.c.d.e.f.g.h.i }",
        "return { a and }", "return { } }", "x.y = x x = x.y return x", "local a = a.a.a return a" };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lun_lines *l = lun_lines_new();
        char *copy = lun_memdup(texts[i], strlen(texts[i]));         /* without a NUL behind it: valgrind and the sanitizers look */
        lun_lines_add(l, "x", NULL, copy, strlen(texts[i]));
        struct lun_arena arena = { 0 };
        struct lun_value root = { .type = LUN_VALUE_TABLE };
        struct lun_value *child = lun_value_add(&root, "a", &arena);
        child->type = LUN_VALUE_TABLE;
        lun_value_add(child, "b", &arena)->type = LUN_VALUE_BOOL;
        lun_lines_place(l, &root);
        lun_lines_free(l);
        lun_arena_free(&arena);
        free(copy);
    }
}

static void names_that_go_in_circles_come_to_an_end(void **state)
{
    char text[4000] = "local a = {}";
    (void)state;
    for (int i = 0; i < 40; i++) strcat(text, "\na = f(a, a, a, a, b, b, b, b)\nb = f(a, a, a, b, b)");
    strcat(text, "\nreturn f(a, b, a, b)");
    struct lun_lines *l = lun_lines_new();
    lun_lines_add(l, "x", NULL, text, strlen(text));
    struct lun_value root = { .type = LUN_VALUE_TABLE };
    lun_lines_place(l, &root);
    assert_int_equal(root.place.line, 82);
    lun_lines_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_a_constructor_have_their_lines),
        cmocka_unit_test(names_are_followed),
        cmocka_unit_test(calls_are_looked_through_and_functions_left_out),
        cmocka_unit_test(of_two_places_the_one_with_that_value),
        cmocka_unit_test(what_loops_make_has_the_line_of_what_is_around),
        cmocka_unit_test(required_files_are_followed),
        cmocka_unit_test(names_said_twice_are_found),
        cmocka_unit_test(words_are_read_as_lua_reads_them),
        cmocka_unit_test(any_text_comes_to_an_end),
        cmocka_unit_test(names_that_go_in_circles_come_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* gateway.lua and what it names, written to do harm: a mistake, never a crash, a hang or a leak. */
#include "loading.h"

static void told_in_words(const char *text, const char *words)
{
    char *told;
    struct lun_snapshot *s = load_with(text, no_environment, NULL, &told);
    if (s) fail_msg("was taken: %s", text);
    if (!strstr(told, words)) fail_msg("for %.200s\nexpected: %s\ngot:      %.2000s", text, words, told);
    for (const char *c = told; *c; c++)
        if ((unsigned char)*c < ' ' && *c != '\n') fail_msg("a control character is printed: %s", told);
    assert_true(strlen(told) < 100000);
    free(told);
}

static void what_runs_for_ever_is_stopped(void **state)
{
    (void)state;
    told_in_words("while true do end", "gateway.lua:1: ");
    told_in_words("local function f() return f() end f()", "gateway.lua:1: ");
    told_in_words("while true do pcall(function() while true do end end) end", "gateway.lua:1: ");
    told_in_words("local s = string.rep('a', 1000) return string.find(s, string.rep('a-', 60) .. 'b')", "gateway.lua");
    told_in_words("local function f() return 1 + f() end return f()", "gateway.lua:1: ");
}

static void what_eats_memory_is_stopped(void **state)
{
    (void)state;
    told_in_words("local t = {} for i = 1, 1e9 do t[i] = {} end", "gateway.lua");
    told_in_words("local s = 'x' while true do s = s .. s end", "gateway.lua");
    told_in_words("local t = {} while true do t[#t + 1] = string.rep('x', 1000) .. #t end", "gateway.lua");
}

static void tables_that_are_no_data_are_refused(void **state)
{
    (void)state;
    cpu = LUN_CPU_STEPS;                    /* what is large here is not meant to be too slow on a slow machine */
    told_in_words("local t = {} t.providers = t return t", "providers.providers.providers: there is no such setting");
    told_in_words("local t = {} t.t = t return { providers = { p = { base_url = 'http://x' } }, models = { m = { { provider = 'p', facts = t } } } }", "more than 32 tables inside one another");
    told_in_words("local t = {} for i = 1, 25 do t = { t, t } end return t", "too large: more than 100,000 values");
    told_in_words("local s = string.rep('x', 60000) local t = {} for i = 1, 60000 do t[i] = s end return t", "too large: more than 8 MiB of text");
    told_in_words("return { [string.rep('k', 1000000)] = 1 }", "a name of more than 256 bytes");
    told_in_words("return { [string.rep('k', 256)] = 1 }", "there is no such setting");
    told_in_words("return { ['\\0'] = 1, ['\\255'] = 2, [''] = 3, [1.5] = 4, [-1] = 5, [1/0] = 6 }", "a list with holes in it, or numbers as names");
    told_in_words("return { [function() end] = 1, [{}] = 2, [secret 'X'] = 3 }", "a name that is not text");
    told_in_words("return { listen = string.rep('x', 1000000) }", "text of more than 64 KiB");
    told_in_words("return { listen = string.rep('x', 60000) }", "must be an address");
    told_in_words("return { ['a\\27[2Jb'] = 1 }", "[\"a\\x1b[2Jb\"]: there is no such setting");
    told_in_words("return { listen = '\\27[2J' }", "\\x1b[2J");
    told_in_words("return setmetatable({}, { __index = error, __pairs = error, __metatable = false })", "a table with a metatable");
    told_in_words("return { providers = setmetatable({ p = {} }, { __index = function() while true do end end }), models = {} }", "a table with a metatable");
    told_in_words("return { limits = { attempts = 0/0, deadline = 1/0, output = -1/0, body = -1, hedges = 1e308 * 10 } }", "limits.body: must be a size");
    told_in_words("local t = {} for i = 1, 20000 do t['s' .. i] = i end return t", "and 19802 more");
    told_in_words("local t = {} for i = 1, 3000 do t[i] = { name = 'x', hash = 'y' } end return { clients = t }", "more\n");
    cpu = LUN_CPU_CLOCK;
}

static void errors_that_are_hostile_are_told_all_the_same(void **state)
{
    (void)state;
    told_in_words("error(setmetatable({}, { __tostring = function() while true do end end }))", "gateway.lua");
    told_in_words("error(string.rep('x', 1000000))", "gateway.lua");
    told_in_words("error({})", "gateway.lua");
    told_in_words("error(nil)", "gateway.lua");
    told_in_words("error('a\\nb:5: \\27[31m', 0)", "gateway.lua");
    told_in_words("error('99999999999999999999:99999999999999999999:', 0)", "gateway.lua");
    told_in_words("error('x:0: y', 0)", "y");
}

static void texts_that_are_no_lua_are_refused(void **state)
{
    struct lun_mistakes m = { 0 };
    (void)state;
    told_in_words("\033LJ\002", "gateway.lua");
    assert_null(lun_load_text("gateway.lua", "return {}\0x", 11, NULL, NULL, &m));
    assert_null(lun_load_text("gateway.lua", "\033LJ\002\0\0\0", 7, NULL, NULL, &m));
    assert_null(lun_load_text("gateway.lua", "", 0, NULL, NULL, &m));
    char *long_text = lun_zalloc((2 << 20) + 1);
    memset(long_text, '\n', 2 << 20);
    assert_null(lun_load_text("gateway.lua", long_text, 2 << 20, NULL, NULL, &m));
    memset(long_text, '{', 1 << 20);
    memcpy(long_text, "return ", 7);
    assert_null(lun_load_text("gateway.lua", long_text, 1 << 20, NULL, NULL, &m));
    free(long_text);
    assert_int_equal(m.n, 5);
    lun_mistakes_free(&m);
}

static void gateway_lua_reaches_nothing_outside(void **state)
{
    static const char *const names[] = { "io", "debug", "ffi", "package", "jit", "coroutine", "load", "loadstring", "dofile", "loadfile", "getfenv", "rawset", "newproxy", "collectgarbage" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = lun_printf("assert(%s == nil) assert(not pcall(require, '%s')) error('kept out')", names[i], names[i]);
        told_in_words(text, "kept out");
        free(text);
    }
    put_file("above.lua", "return {}");
    told_in_words("assert(not pcall(require, '../above')) assert(not pcall(require, '/etc/passwd')) assert(not pcall(require, '...')) assert(not pcall(require, '.x')) error('kept out')", "kept out");
    told_in_words("assert(os.execute == nil and os.getenv == nil and os.remove == nil) error('kept out')", "kept out");
}

#define SMALL "return { providers = { p = { base_url = \"http://127.0.0.1:1/v1\" } }, models = { m = { { provider = \"p\", price = { input = 1, output = 1 } } } } "

static void a_policy_that_does_harm_is_a_mistake(void **state)
{
    static const char *const policies[][2] = {
        { "while true do end", "policy.lua:1: " }, { "local t = {} for i = 1, 1e9 do t[i] = {} end", "policy.lua" },
        { "error({})", "policy.lua" }, { "return setmetatable({}, { __index = error })", "a table with a metatable" },
        { "local t = {} t.settings = t return t", "settings.settings" }, { "return require 'policy'", "policy.lua" },
        { "return { settings = { x = { default = 0/0, min = 0 } } }", "settings.x.default: is outside of min and max" },
        { "return { select = print }", "policy.lua:1: attempt" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        put_file("policy.lua", policies[i][0]);
        if (i == sizeof policies / sizeof *policies - 1) {      /* an absent global is nil: no hook at all */
            struct lun_snapshot *s = load_with(SMALL ", policy = \"policy.lua\" }", no_environment, NULL, NULL);
            lun_snapshot_unref(s);
        } else told_in_words(SMALL ", policy = \"policy.lua\" }", policies[i][1]);
    }
}

static void variables_with_strange_names_and_texts_are_told_in_one_line(void **state)
{
    static const char *const environment[] = { "LUNETTE_\033[2J=1", "LUNETTE_A\nB=1", "LUNETTE_=1", "LUNETTE_LISTEN_=1", "LUNETTE_LISTEN=\033[2J", "LUNETTE_POLICY=\xff", "LUNETTE_PROVIDERS_P=1", "LUNETTE_MODELS_M=1",
        "LUNETTE_PROVIDERS_P_KEY=sk-1", "LUNETTE_LIMITS=5", "no equals sign", "=x", "LUNETTE_WORKERS", NULL };
    char *told;
    (void)state;
    assert_null(load_with(SMALL "}", environment, NULL, &told));
    int lines = 0;
    for (const char *c = told; *c; c++) {
        lines += *c == '\n';
        assert_true((unsigned char)*c >= ' ' || *c == '\n');
    }
    assert_int_equal(lines, 10);
    assert_null(strstr(told, "sk-1"));
    free(told);
}

static void files_that_are_no_files_are_refused(void **state)
{
    (void)state;
    char *fifo = lun_printf("%s/fifo.lua", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    told_in_words(SMALL ", policy = \"fifo.lua\" }", "\"fifo.lua\" cannot be read: is not a file");
    told_in_words(SMALL ", policy = \".\" }", "\".\" cannot be read: is not a file");
    told_in_words(SMALL ", policy = \"/dev/zero\" }", "cannot be read: is not a file");
    told_in_words("return { providers = { p = { script = \"fifo.lua\" } }, models = { m = { { provider = \"p\" } } } }", "\"fifo.lua\" cannot be read: is not a file");
    told_in_words("return { providers = { p = { base_url = \"http://x\", ca = \"fifo.lua\" } }, models = { m = { { provider = \"p\" } } } }", "\"fifo.lua\" is not a file");
    free(fifo);
    char *large = lun_zalloc((1 << 20) + 100);
    memset(large, ' ', (1 << 20) + 10);
    put_file("large.lua", large);
    free(large);
    told_in_words(SMALL ", policy = \"large.lua\" }", "\"large.lua\" cannot be read: is over 1 MiB long");
    put_file("bad.lua", "return = 1");
    told_in_words("return { providers = { p = { script = \"bad.lua\" } }, models = { m = { { provider = \"p\" } } } }", "bad.lua:1: unexpected symbol near '='");
}

/* A good file with a byte changed, put in or taken out: refused or taken, and all memory is given back. */
static void damaged_files_do_no_harm(void **state)
{
    static const char text[] =
        "local base = { limits = { attempts = 3, body = \"1MiB\" }, [\"x\"] = nil }\nbase.providers = { p = { base_url = \"http://x\", key_length = { 1, 9 }, headers = { a = [[b]] } } }\n"
        "return lunette.merge(base, { models = { [\"m*\"] = { { provider = 'p', price = { input = 0x1, output = 1e-3 }, facts = { 1, { a = true } } } } }, -- x\n  keepalive = false })\n";
    unsigned random = 12345;
    (void)state;
    for (int i = 0; i < 1500; i++) {
        struct lun_mistakes m = { 0 };
        char copy[sizeof text + 1];
        size_t n = sizeof text - 1;
        memcpy(copy, text, sizeof text);
        for (int changes = 1 + i % 3; changes; changes--) {
            random = random * 1103515245 + 12345;
            size_t at = (random >> 8) % n;
            char c = "{}[]()=,;\"'-.\\x0 \n"[(random >> 3) % 17];
            if (random & 64) copy[at] = c;
            else memmove(copy + at, copy + at + 1, n - at), n--;
        }
        lun_snapshot_unref(lun_load_text("gateway.lua", copy, n, NULL, &(struct lun_load_options){ .environment = no_environment }, &m));
        lun_mistakes_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_runs_for_ever_is_stopped),
        cmocka_unit_test(what_eats_memory_is_stopped),
        cmocka_unit_test(tables_that_are_no_data_are_refused),
        cmocka_unit_test(errors_that_are_hostile_are_told_all_the_same),
        cmocka_unit_test(texts_that_are_no_lua_are_refused),
        cmocka_unit_test(gateway_lua_reaches_nothing_outside),
        cmocka_unit_test(a_policy_that_does_harm_is_a_mistake),
        cmocka_unit_test(variables_with_strange_names_and_texts_are_told_in_one_line),
        cmocka_unit_test(files_that_are_no_files_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
    };
    cpu = LUN_CPU_CLOCK;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* core/cli/README.md has every command with the text that its --help prints. `--write` puts them in. */
#include "page.h"
#include "cli/cli.h"

static const struct { const char *name, *arguments, *help, *usage; } commands[] = {
#define X(name, arguments, help) { #name, arguments, help, lun_usage_##name },
    LUN_COMMANDS(X)
#undef X
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void put_commands(struct lun_buf *out)
{
    lun_buf_puts(out, "| command | what it does |\n|---|---|\n");
    for (int i = 0; i < COMMANDS; i++) lun_buf_printf(out, "| [`lunette %s`](#lunette-%s) | %s |\n", commands[i].name, commands[i].name, commands[i].help);
    for (int i = 0; i < COMMANDS; i++) lun_buf_printf(out, "\n### lunette %s\n\n```\n%s```\n", commands[i].name, commands[i].usage);
}

static const struct page_part parts[] = { { "core/cli/README.md", "commands", put_commands } };

static void the_page_says_what_help_prints(void **state)
{
    (void)state;
    page_is_current(&parts[0]);
}

static bool says_option(const char *usage, const char *option)
{
    for (const char *at = usage; (at = strstr(at, option)); at++) if (!strchr("-abcdefghijklmnopqrstuvwxyz", at[strlen(option)])) return true;
    return false;
}

/* "usage: lunette NAME…"; what the first lines show in brackets as an option has a line of its own further down. */
static void every_usage_names_its_command_and_explains_its_options(void **state)
{
    (void)state;
    char begin[80], option[40];
    for (int i = 0; i < COMMANDS; i++) {
        const char *usage = commands[i].usage, *end = strstr(usage, "\n\n");
        snprintf(begin, sizeof begin, "usage: lunette %s ", commands[i].name);
        assert_memory_equal(usage, begin, strlen(begin));
        assert_non_null(end);
        for (const char *at = usage; (at = strstr(at, "[--")) && at < end; at++) {
            snprintf(option, sizeof option, "  %.*s", (int)strcspn(at + 1, " ]|"), at + 1);
            if (!says_option(end, option)) fail_msg("lunette %s --help does not explain%s", commands[i].name, option + 1);
        }
        assert_int_equal(usage[strlen(usage) - 1], '\n');
        assert_true(strlen(commands[i].help) > 10);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_help_prints),
        cmocka_unit_test(every_usage_names_its_command_and_explains_its_options),
    };
    PAGE_WRITES(argc, argv, parts);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "cli/cli.h"
#include "cli/memory.h"
#include "base/text.h"
#include "gateway/version.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct { const char *name, *arguments, *help; int (*run)(int, char **); } commands[] = {
#define X(name, arguments, help) { #name, arguments, help, lun_command_##name },
    LUN_COMMANDS(X)
#undef X
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* What was to be printed and could not be is not fine: it may have been told this once. */
static int end(int status)
{
    if (!fflush(stdout) && !ferror(stdout)) return status;
    fprintf(stderr, "lunette: standard output could not be written: %s\n", strerror(errno));
    return status ? status : 1;
}

static int help(FILE *out)
{
    fprintf(out, "lunette " LUN_VERSION ": a gateway to language models whose every decision is a Lua file.\n\n");
    for (int i = 0; i < COMMANDS; i++) fprintf(out, "  lunette %-9s%-15s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fprintf(out, "\nEach takes --help. Exit status: 0 fine, 1 what was asked about is not fine, 2 wrong use.\n");
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *names[COMMANDS];
    if (argc < 2) return help(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return help(stdout);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) return puts("lunette " LUN_VERSION) < 0;
    for (int i = 0; i < COMMANDS; i++) {
        if (!strcmp(argv[1], commands[i].name)) {
            if (commands[i].run == lun_command_serve) return commands[i].run(argc - 1, argv + 1);
            lun_memory_keep_private();          /* `serve` decides that by itself */
            return end(commands[i].run(argc - 1, argv + 1));
        }
        names[i] = commands[i].name;
    }
    const char *near = lun_text_nearest(argv[1], names, COMMANDS);
    fprintf(stderr, "lunette: there is no command `%s`%s%s%s\n", argv[1], near ? "; did you mean `" : "; lunette --help lists them", near ? near : "", near ? "`?" : "");
    return 2;
}

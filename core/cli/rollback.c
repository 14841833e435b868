#include "cli/cli.h"
#include "cli/remote.h"
#include <getopt.h>
#include <stdio.h>

const char lun_usage_rollback[] =
    "usage: lunette rollback [--why TEXT] [--admin ADDR] [--json]\n"
    "\n"
    "Has a running gateway go back to the version before. The one it leaves is not taken again until its files change, or `lunette reload --force`.\n"
    "Prints the version, and which one it takes the place of.\n"
    "  --why TEXT     noted in the list of versions\n"
    LUN_REMOTE_HELP;

int lun_command_rollback(int argc, char **argv)
{
    static const struct option options[] = { { "why", required_argument, NULL, 'w' }, { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL, *why = NULL;
    struct lun_buf body = {0};
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_rollback, stdout) < 0;
        if (c == '?') return fputs(lun_usage_rollback, stderr), 2;
        if (c == 'a') admin = optarg;
        if (c == 'w') why = optarg;
        json |= c == 'j';
    }
    if (optind < argc) return fputs(lun_usage_rollback, stderr), 2;
    int status = lun_remote_open(&remote, "rollback", admin);
    if (why) {
        lun_buf_putc(&body, '{');
        lun_json_member_text(&body, "why", why);
        lun_buf_putc(&body, '}');
    }
    if (!status) status = lun_remote_change(&remote, "/admin/rollback", why ? &body : NULL, json);
    lun_buf_free(&body);
    lun_remote_free(&remote);
    return status;
}

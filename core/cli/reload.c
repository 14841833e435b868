#include "cli/cli.h"
#include "cli/remote.h"
#include <getopt.h>
#include <stdio.h>

const char lun_usage_reload[] =
    "usage: lunette reload [--force] [--admin ADDR] [--json]\n"
    "\n"
    "Has a running gateway read gateway.lua, its policy and what they require again, and waits until all workers have the new version. Prints the\n"
    "version, warnings, and which settings take effect only with a restart. What does not load changes nothing: the mistakes are printed on stderr.\n"
    "  --force        also a version that was taken back, or whose hooks fail when they are tried\n"
    LUN_REMOTE_HELP;

int lun_command_reload(int argc, char **argv)
{
    static const struct option options[] = { { "force", no_argument, NULL, 'f' }, { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL;
    bool force = false, json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_reload, stdout) < 0;
        if (c == '?') return fputs(lun_usage_reload, stderr), 2;
        if (c == 'a') admin = optarg;
        force |= c == 'f';
        json |= c == 'j';
    }
    if (optind < argc) return fputs(lun_usage_reload, stderr), 2;
    int status = lun_remote_open(&remote, "reload", admin);
    if (!status) status = lun_remote_change(&remote, force ? "/admin/reload?force=true" : "/admin/reload", NULL, json);
    lun_remote_free(&remote);
    return status;
}

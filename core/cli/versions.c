#include "cli/cli.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/table.h"
#include <getopt.h>
#include <stdio.h>

const char lun_usage_versions[] =
    "usage: lunette versions [--admin ADDR] [--json]\n"
    "\n"
    "Lists the versions that a running gateway has taken over, newest first: when, by whom and why, how many requests each has answered, how often\n"
    "its hooks failed, and what became of it. `finishing`: it still has requests under way; `kept`: `lunette rollback` can go back to it.\n"
    LUN_REMOTE_HELP;

/* Why it came; or, where it was taken back, by whom that was done and why. */
static void put_why(struct lun_buf *out, struct lun_json row)
{
    struct lun_json back = lun_json_get(row, "taken_back_by");
    if (!back.n) {
        lun_remote_put(out, lun_json_get(row, "why"));
        return;
    }
    lun_buf_puts(out, "taken back by ");
    lun_remote_put(out, back);
    lun_buf_puts(out, ": ");
    lun_remote_put(out, lun_json_get(row, "taken_back_why"));
}

static const struct lun_column columns[] = {
    { "version", "version", NULL }, { "state", "state", NULL }, { "generation", "generation", NULL }, { "taken", "taken", NULL },
    { "requests", "requests", NULL }, { "hook failures", "hook_failures", NULL }, { "by", "by", NULL }, { "why", NULL, put_why } };

static void put_shadow(struct lun_buf *out, struct lun_json shadow)
{
    if (!shadow.n) return;
    lun_buf_puts(out, "shadow of the current: ");
    lun_remote_put(out, lun_json_get(shadow, "version"));
    lun_buf_puts(out, ", since ");
    lun_remote_put(out, lun_json_get(shadow, "since"));
    lun_buf_puts(out, " by ");
    lun_remote_put(out, lun_json_get(shadow, "by"));
    lun_buf_puts(out, "; see `lunette shadow`\n");
}

static int show(const struct lun_remote *r, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_get(r, "/admin/versions", json, &answer);
    if (json) lun_remote_print_json(&answer);
    else if (!status) {
        lun_table_put(&out, lun_json_get(answer.json, "versions"), columns, sizeof columns / sizeof *columns);
        put_shadow(&out, lun_json_get(answer.json, "shadow"));
        lun_print(&out, stdout);
    }
    lun_remote_answer_free(&answer);
    return status;
}

int lun_command_versions(int argc, char **argv)
{
    static const struct option options[] = { { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_versions, stdout) < 0;
        if (c == '?') return fputs(lun_usage_versions, stderr), 2;
        if (c == 'a') admin = optarg;
        json |= c == 'j';
    }
    if (optind < argc) return fputs(lun_usage_versions, stderr), 2;
    int status = lun_remote_open(&remote, "versions", admin);
    if (!status) status = show(&remote, json);
    lun_remote_free(&remote);
    return status;
}

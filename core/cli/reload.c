#include "cli/amount.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "cli/shadow.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

const char lun_usage_reload[] =
    "usage: lunette reload [--force] [--admin ADDR] [--json]\n"
    "       lunette reload --shadow TIME [--share N] [--max-errors 1%] [--max-cost +5%] [--min-requests N] [--no-wait] [--force] [--admin ADDR] [--json]\n"
    "\n"
    "Has a running gateway read gateway.lua, its policy and what they require again, and waits until all workers have the new version. Prints the\n"
    "version, warnings, and which settings take effect only with a restart. What does not load changes nothing: the mistakes are printed on stderr.\n"
    "  --force        also a version that was taken back, or whose hooks fail when they are tried\n"
    "  --shadow TIME  tries it first: for so long (600, 30s, 10m, 2h) it is asked beside the version in force about the same requests, and decides\n"
    "                 nothing. Then it is taken over, if it stayed within what follows; else it is refused, with the figures, and the exit status is 1.\n"
    "                 ^C leaves the shadow running; `lunette shadow` shows it\n"
    "  --share N      of the requests that are compared: 0.1, 10%; default: all\n"
    "  --max-errors N share of them that may fail, or be refused, by it alone; default: 1%\n"
    "  --max-cost N   by how much what it expects to pay may be more: +5%, -10%; default: +5%\n"
    "  --min-requests N  that have to be compared; default: 100\n"
    "  --no-wait      does not wait for the outcome\n"
    LUN_REMOTE_HELP;

struct wanted { const char *shadow, *share, *errors, *cost, *requests; bool force, no_wait, json; };

static bool wrong(const char *option, const char *what)
{
    fprintf(stderr, "lunette reload: --%s: %s\n", option, what);
    return false;
}

static bool put_share(struct lun_buf *out, const char *option, const char *name, const char *said)
{
    double share;
    if (!said) return true;
    if (!lun_amount_share(said, &share)) return wrong(option, "a share is wanted: 5%, or 0.05");
    lun_json_member_number(out, name, share);
    return true;
}

static bool put_terms(struct lun_buf *out, const struct wanted *w)
{
    double seconds = lun_amount_seconds(w->shadow);
    char *end;
    if (seconds <= 0) return wrong("shadow", "a time is wanted: 600, 30s, 10m, 2h");
    lun_buf_putc(out, '{');
    lun_json_member_number(out, "seconds", seconds);
    if (!put_share(out, "share", "share", w->share) || !put_share(out, "max-errors", "errors", w->errors) || !put_share(out, "max-cost", "cost", w->cost)) return false;
    long requests = w->requests ? strtol(w->requests, &end, 10) : 0;
    if (w->requests && (*end || requests < 1)) return wrong("min-requests", "a whole number is wanted, from 1");
    if (w->requests) lun_json_member_int(out, "requests", requests);
    if (w->force) lun_json_member_bool(out, "force", true);
    lun_buf_putc(out, '}');
    return true;
}

static int ask(const struct wanted *w, const struct lun_buf *terms, const char *admin)
{
    struct lun_remote remote;
    int status = lun_remote_open(&remote, "reload", admin);
    if (!status && w->shadow) status = lun_shadow_begin(&remote, terms, !w->no_wait, w->json);
    else if (!status) status = lun_remote_change(&remote, w->force ? "/admin/reload?force=true" : "/admin/reload", NULL, w->json);
    lun_remote_free(&remote);
    return status;
}

int lun_command_reload(int argc, char **argv)
{
    static const struct option options[] = { { "force", no_argument, NULL, 'f' }, { "shadow", required_argument, NULL, 's' }, { "share", required_argument, NULL, 'p' },
        { "max-errors", required_argument, NULL, 'e' }, { "max-cost", required_argument, NULL, 'c' }, { "min-requests", required_argument, NULL, 'r' },
        { "no-wait", no_argument, NULL, 'n' }, { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct wanted w = {0};
    struct lun_buf terms = {0};
    const char *admin = NULL;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_reload, stdout) < 0;
        if (c == '?') return fputs(lun_usage_reload, stderr), 2;
        const char **text = c == 's' ? &w.shadow : c == 'p' ? &w.share : c == 'e' ? &w.errors : c == 'c' ? &w.cost : c == 'r' ? &w.requests : c == 'a' ? &admin : NULL;
        if (text) *text = optarg;
        w.force |= c == 'f', w.no_wait |= c == 'n', w.json |= c == 'j';
    }
    if (optind < argc) return fputs(lun_usage_reload, stderr), 2;
    if (!w.shadow && (w.share || w.errors || w.cost || w.requests || w.no_wait)) return wrong("shadow", "the other options belong to it: how long?"), 2;
    int status = w.shadow && !put_terms(&terms, &w) ? 2 : ask(&w, &terms, admin);
    lun_buf_free(&terms);
    return status;
}

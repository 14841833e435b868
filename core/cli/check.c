#include "cli/cli.h"
#include "cli/keys.h"
#include "cli/prices.h"
#include "cli/print.h"
#include "gateway/rehearsal.h"
#include "script/load.h"
#include <getopt.h>
#include <string.h>

const char lun_usage_check[] =
    "usage: lunette check [gateway.lua] [--table] [--json] [--keys] [--prices]\n"
    "\n"
    "Loads a configuration with its policy, as `serve` would, tries every hook on sample requests, as a reload would, and says everything that is wrong: file, line,\n"
    "what, and what was probably meant. Exit status 1 if anything is. Without a file: ./gateway.lua. What is fine is printed as the merged\n"
    "table: every setting, its value, where it came from; secrets as names; and last a line that says so. Names of models, targets\n"
    "and providers that the policy says and the configuration does not have are noted on stderr, and no mistake.\n"
    "  --table   the table alone\n"
    "  --json    the table alone, as JSON\n"
    "  --keys    then asks each provider for GET /models with each of its keys, and prints what it says of them instead of the table (with\n"
    "            --json as JSON): the key by its name, never itself; and which models of the configuration its list does not have. Exit\n"
    "            status 1 if a key is refused\n"
    "  --prices  instead of the table, what was not understood of the file that `prices` names: entry, field, why (with --json as JSON)\n";

static void hook_is_wrong(void *self, const char *what)
{
    fprintf(stderr, "%s\n", what);
    ++*(int *)self;
}

/* Hooks that fail on sample requests: false, and told. */
static bool rehearse(struct lun_snapshot *s, const char *path)
{
    int n = 0;
    if (lun_rehearse(s, path, hook_is_wrong, &n)) return true;
    fprintf(stderr, "%d hook%s\n", n, n == 1 ? " fails" : "s fail");
    return false;
}

static int check(const char *path, bool table, bool json, bool keys, bool prices)
{
    struct lun_mistakes mistakes = {0}, notes = {0};
    struct lun_origins origins = {0};
    struct lun_snapshot *snapshot = lun_load(path, &(struct lun_load_options){ .origins = &origins, .notes = &notes, .cpu = LUN_CPU_CLOCK }, &mistakes);
    struct lun_buf out = {0};
    if (!snapshot) {
        lun_print_mistakes(&mistakes, stderr);
        lun_origins_free(&origins);
        return 1;
    }
    bool good = rehearse(snapshot, path);
    if (!good) table = true;            /* and no word that it is fine */
    struct lun_registry *registry = lun_registry_new();
    if (keys && good) good = lun_keys_print(snapshot, registry, json, &out);
    else if (prices) lun_prices_print(snapshot, json, &out);
    else if (json) { lun_origins_json(&origins, &out); lun_buf_putc(&out, '\n'); }
    else lun_origins_print(&origins, &out);
    if (!json && !table && !keys && !prices) lun_prices_summary(snapshot, &out);
    if (!json && !table && !keys && !prices) lun_buf_printf(&out, "%s: fine. %d provider%s, %d model%s, %d target%s, policy %s\n", path, snapshot->n_providers, snapshot->n_providers == 1 ? "" : "s",
                        snapshot->n_models, snapshot->n_models == 1 ? "" : "s", snapshot->n_targets, snapshot->n_targets == 1 ? "" : "s", snapshot->version);
    lun_print(&out, stdout);
    lun_print_notes(&notes, stderr);
    lun_origins_free(&origins);
    lun_mistakes_free(&mistakes);
    lun_snapshot_unref(snapshot);
    lun_registry_free(registry);
    return !good;
}

int lun_command_check(int argc, char **argv)
{
    static const struct option options[] = { { "table", no_argument, NULL, 't' }, { "json", no_argument, NULL, 'j' }, { "keys", no_argument, NULL, 'k' },
                                              { "prices", no_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    bool table = false, json = false, keys = false, prices = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_check, stdout) < 0;
        if (c == '?') return fputs(lun_usage_check, stderr), 2;
        table |= c == 't';
        json |= c == 'j';
        keys |= c == 'k';
        prices |= c == 'p';
    }
    if (argc - optind > 1) return fputs(lun_usage_check, stderr), 2;
    return check(optind < argc ? argv[optind] : "gateway.lua", table, json, keys, prices);
}

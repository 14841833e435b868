/* `lunette ledger found` and `forget`: what an operator says of the gateways that share their budgets. It is written into the ledger; the gateway that
 * runs with it acts on it within a second. */
#include "base/alloc.h"
#include "cli/ledger.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static int put(const char *part, const char *db, const char *config, const char *key, const char *(*refused)(struct lun_ledger *, const char *), const char *value,
               const char *said)
{
    struct lun_ledger *l = lun_ledger_find(part, db, config, LUN_LEDGER_WRITE);
    if (!l) return 1;
    const char *why = refused(l, value);
    int status = 0;
    if (why) status = lun_ledger_say(part, 1, why, value);
    else if (lun_ledger_begin(l) != LUN_LEDGER_OK) status = lun_ledger_say(part, 1, "%s", lun_ledger_error(l));
    else {
        lun_ledger_put(l, key, value);
        if (lun_ledger_commit(l) != LUN_LEDGER_OK) status = lun_ledger_say(part, 1, "%s", lun_ledger_error(l));
    }
    if (!status) puts(said);
    lun_ledger_close(l);
    return status;
}

static const char *known(struct lun_ledger *l, const char *unused)
{
    char *members = lun_ledger_get(l, "members");
    bool any = members && *members;
    (void)unused;
    free(members);
    return any ? "this gateway knows others already: nothing has to be founded%.0s" : NULL;
}

static const char *stranger(struct lun_ledger *l, const char *name)
{
    char *members = lun_ledger_get(l, "members"), *gone = lun_ledger_get(l, "gone"), *list = lun_printf(" %s ", name);
    bool there = members && strstr(members, list), let_go = gone && strstr(gone, list);
    free(members), free(gone), free(list);
    if (!strcmp(name, lun_ledger_gateway(l))) return "%s is this gateway itself: say it on another one";
    if (let_go && !there) return "this gateway has let go of %s already; `unready` in GET /admin/ledger names those who have not yet";
    return there ? NULL : "this gateway knows no other one called %s; GET /admin/ledger lists them";
}

static int options(const char *part, int argc, char **argv, const char **db)
{
    static const struct option known_options[] = { { "db", required_argument, NULL, 'd' }, { 0 } };
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", known_options, NULL)) != -1; ) {
        if (c != 'd') return lun_ledger_wrong_use(part, "that is no option of it");
        *db = optarg;
    }
    return 0;
}

int lun_ledger_command_found(int argc, char **argv)
{
    const char *db = NULL;
    int wrong = options("found", argc, argv, &db);
    if (wrong) return wrong;
    if (argc - optind > 1) return lun_ledger_wrong_use("found", "one gateway.lua is enough");
    return put("found", db, argc > optind ? argv[optind] : NULL, "founds", known, "1",
               "noted: where Redis knows nothing of these budgets, the gateway with this ledger begins them");
}

int lun_ledger_command_forget(int argc, char **argv)
{
    const char *db = NULL;
    int wrong = options("forget", argc, argv, &db);
    if (wrong) return wrong;
    if (argc - optind < 1 || argc - optind > 2) return lun_ledger_wrong_use("forget", "which gateway will not come back? GET /admin/ledger lists their names");
    return put("forget", db, argc - optind == 2 ? argv[optind + 1] : NULL, "forget", stranger, argv[optind],
               "noted: the gateway with this ledger tells the others, and it is forgotten once each of them has that on its disk (GET /admin/ledger: `leaving` is who will\n"
               "be gone, `unready` who is waited for: start them, or forget them too); what it held stays charged until its periods end");
}

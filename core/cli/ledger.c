#include "cli/ledger.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "script/load.h"
#include "state/price.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char lun_usage_ledger[] =
    "usage: lunette ledger verify    [gateway.lua] [--full] [--json]\n"
    "       lunette ledger export    [gateway.lua] [--format csv|json] [--from TIME] [--to TIME] [--budget NAME]\n"
    "       lunette ledger reconcile [gateway.lua] [ATTEMPT --cost USD --why TEXT | --bill FILE.csv] [--dry-run] [--json]\n"
    "       lunette ledger found     [gateway.lua]\n"
    "       lunette ledger forget    GATEWAY [gateway.lua]\n"
    "\n"
    "What was spent, from the ledger that gateway.lua names (without a file: ./gateway.lua). Beside a running gateway, and without its secrets.\n"
    "verify: recomputes every budget's figure from its rows and compares it with the stored one; looks whether the file is whole. Exit status 1 if\n"
    "anything is wrong. It begins with the sums of closed months, or\n"
    "  --full         with the first row\n"
    "export: every attempt, every rest that stayed charged after a power cut, every correction, a line each, on stdout. Amounts are USD.\n"
    "  --format F     csv (RFC 4180; what a spreadsheet would take for a formula begins with ') or json (a list of objects); default: csv\n"
    "  --from TIME    what began at that time or later: 2026-11-28, or 2026-11-28T14:00:00Z; in UTC\n"
    "  --to TIME      what began before\n"
    "  --budget NAME  what counts to that budget: \"key app\", \"team web\", \"total\"\n"
    "reconcile: lists what is charged at its hold because nobody knows what it cost (ORPHANED). Or says what it did cost: a correction, the row\n"
    "stays; what is set free can be spent again at once. After a power cut that is the rest alone, see core/state/LEDGER.md.\n"
    "  ATTEMPT        as the list shows it: 3/1841, or rest:3/7\n"
    "  --cost USD     what it cost\n"
    "  --why TEXT     noted with it\n"
    "  --bill FILE    a table with a first line of names: `attempt` (3/1841) or `request` (x-lunette-request-id), and `cost` in USD. Every\n"
    "                 line that differs becomes a correction; those that fit nothing are told. Exit status 1 if there are any\n"
    "  --dry-run      only says what it would do\n"
    "Where several gateways share their budgets by a Redis:\n"
    "found: says that these budgets begin here: once, on the first gateway. Otherwise an empty Redis is taken for one that has lost all.\n"
    "forget: says that a gateway will not come back; on one that others know. It is forgotten once all the others have that on their disks: GET\n"
    "/admin/ledger says who has not. What it held stays charged until its periods end; where nobody knows how much that was, all that is left\n"
    "of the present periods.\n"
    "Of all:\n"
    "  --db FILE      that ledger, whatever gateway.lua says\n"
    "  --json         what is printed, as JSON\n";

/* ---- shared ---- */

static void say(const char *part, const char *format, va_list list)
{
    fprintf(stderr, "lunette ledger %s: ", part);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
}

int lun_ledger_say(const char *part, int status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(part, format, list);
    va_end(list);
    return status;
}

int lun_ledger_wrong_use(const char *part, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(part, format, list);
    va_end(list);
    fputs("lunette ledger --help says how it is used.\n", stderr);
    return 2;
}

/* Its own environment may be wanted. Where it would be if nothing was said is a hint, and no more. */
static void say_unknown(const char *part, const char *config)
{
    const char *slash = strrchr(config, '/');
    char *usual = lun_printf("%.*s.lunette/ledger.db", slash ? (int)(slash + 1 - config) : 0, config);
    lun_ledger_say(part, 1, "%s cannot be loaded here, so its ledger is not known. Say where that is: --db %s", config, access(usual, F_OK) ? "FILE" : usual);
    free(usual);
}

static char *path_of(const char *part, const char *config)
{
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = lun_load(config, &(struct lun_load_options){ .no_policy_check = true, .no_secrets = true, .cpu = LUN_CPU_CLOCK }, &mistakes);
    if (!s) {
        lun_print_mistakes(&mistakes, stderr);
        say_unknown(part, config);
        return NULL;
    }
    char *path = s->ledger ? strdup(s->ledger) : NULL;
    if (!path) lun_ledger_say(part, 1, "%s keeps no ledger: `ledger` or `state` is false in it", config);
    lun_mistakes_free(&mistakes);
    lun_snapshot_unref(s);
    return path;
}

/* Who asks right after a request wants to find it. */
static void let_rows_come(void)
{
    lun_us wait = LUN_LEDGER_LAG + 10 * LUN_MS;
    nanosleep(&(struct timespec){ .tv_nsec = wait * 1000 }, NULL);
}

struct lun_ledger *lun_ledger_find(const char *part, const char *db, const char *config, enum lun_ledger_mode mode)
{
    char *found = db ? NULL : path_of(part, config ? config : "gateway.lua"), *error;
    if (!db && !found) return NULL;
    struct lun_ledger *l = lun_ledger_open(db ? db : found, mode, &error);
    if (!l) {
        lun_ledger_say(part, 1, "%s", error);
        free(error);
    }
    free(found);
    if (l && mode == LUN_LEDGER_READ && lun_ledger_is_live(l)) let_rows_come();
    return l;
}

void lun_ledger_put_usd(struct lun_buf *out, int64_t nano)
{
    char text[24];
    lun_price_text(nano, text);
    lun_buf_puts(out, text);
}

void lun_ledger_put_usd_key(struct lun_buf *out, const char *key, int64_t nano)
{
    lun_json_put_key(out, key);
    lun_ledger_put_usd(out, nano);
}

/* Whether it is written as the form is, in which a 0 stands for a digit. */
static bool is_like(const char *text, const char *form)
{
    for (; *form; text++, form++) if (*form == '0' ? *text < '0' || *text > '9' : *text != *form) return false;
    return !*text;
}

bool lun_ledger_time(const char *text, lun_us *wall)
{
    struct tm t = {0};
    if (!is_like(text, "0000-00-00") && !is_like(text, "0000-00-00T00:00:00Z")) return false;
    sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec);
    t.tm_year -= 1900, t.tm_mon -= 1;
    struct tm same = t;
    *wall = (lun_us)timegm(&same) * LUN_SECOND;
    return same.tm_mon == t.tm_mon && same.tm_mday == t.tm_mday && same.tm_hour == t.tm_hour && same.tm_min == t.tm_min;      /* no 31st of February */
}

/* ---- the command ---- */

static const struct { const char *name; int (*run)(int, char **); } parts[] = {
    { "verify", lun_ledger_command_verify }, { "export", lun_ledger_command_export }, { "reconcile", lun_ledger_command_reconcile },
    { "found", lun_ledger_command_found }, { "forget", lun_ledger_command_forget } };
enum { PARTS = sizeof parts / sizeof *parts };

int lun_command_ledger(int argc, char **argv)
{
    const char *names[PARTS];
    if (argc < 2) return fputs(lun_usage_ledger, stderr), 2;
    for (int i = 1; i < argc; i++) if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return fputs(lun_usage_ledger, stdout) < 0;
    for (int i = 0; i < PARTS; i++) {
        if (!strcmp(argv[1], parts[i].name)) return parts[i].run(argc - 1, argv + 1);
        names[i] = parts[i].name;
    }
    const char *near = lun_text_nearest(argv[1], names, PARTS);
    fprintf(stderr, "lunette ledger: there is no `%s`%s%s%s\n", argv[1], near ? "; did you mean `" : "; --help lists what there is", near ? near : "",
            near ? "`?" : "");
    return 2;
}

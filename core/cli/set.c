#include "cli/cli.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "base/text.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char lun_usage_set[] =
    "usage: lunette set [name=value…] [--admin ADDR] [--json]\n"
    "\n"
    "Without arguments prints the settings of a running gateway's policy: name, value, default, what is allowed. With some changes them, all or none, and\n"
    "prints each with its value before and after. A value is a number, true, false or text, as the setting is; without one (`name=`) the setting\n"
    "goes back to its default.\n"
    LUN_REMOTE_HELP;

static const char settings_path[] = "/admin/settings";

/* ---- showing ---- */

static void put_choices(struct lun_buf *out, struct lun_json choices)
{
    int n = 0;
    for (struct lun_json_each e = lun_json_each(choices); lun_json_next(&e); ) {
        if (n++) lun_buf_puts(out, ", ");
        lun_remote_put(out, e.value);
    }
}

static void put_allowed(struct lun_buf *out, struct lun_json setting)
{
    put_choices(out, lun_json_get(setting, "choices"));
    struct lun_json min = lun_json_get(setting, "min"), max = lun_json_get(setting, "max");
    bool least = lun_json_type(min) == LUN_JSON_NUMBER, most = lun_json_type(max) == LUN_JSON_NUMBER;
    if (least && !most) lun_buf_puts(out, "at least ");
    if (most && !least) lun_buf_puts(out, "at most ");
    if (least) lun_remote_put(out, min);
    if (least && most) lun_buf_puts(out, " to ");
    if (most) lun_remote_put(out, max);
}

static const struct lun_column columns[] = { { "name", "name", NULL }, { "value", "value", NULL }, { "default", "default", NULL }, { "allowed", NULL, put_allowed } };

static int show(const struct lun_remote *r, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_get(r, settings_path, json, &answer);
    if (json) lun_remote_print_json(&answer);
    else if (!status) {
        struct lun_json list = lun_json_get(answer.json, "settings");
        if (lun_json_count(list)) lun_table_put(&out, list, columns, sizeof columns / sizeof *columns);
        else lun_buf_puts(&out, "The policy has no settings.\n");
        lun_print(&out, stdout);
    }
    lun_remote_answer_free(&answer);
    return status;
}

/* ---- changing ---- */

static bool is_name(const char *a, size_t n, const char *b) { return !strncmp(a, b, n) && b[n] == '='; }

static bool are_settings(char **list, int n)
{
    for (int i = 0; i < n; i++) {
        const char *equals = strchr(list[i], '=');
        if (!equals || equals == list[i]) return fprintf(stderr, "lunette set: `%s` is not name=value\n", list[i]), false;
        if (!lun_text_valid(list[i], strlen(list[i]))) return fprintf(stderr, "lunette set: argument %d is not UTF-8 text\n", i + 1), false;
        for (int k = 0; k < i; k++)
            if (is_name(list[i], (size_t)(equals - list[i]), list[k]))
                return fprintf(stderr, "lunette set: `%s`: that setting was named before\n", list[i]), false;
    }
    return true;
}

/* As JSON has it: a number, true or false. */
static bool is_plain(const char *value)
{
    struct lun_json json;
    if (!lun_json_check(value, strlen(value), &json, NULL)) return false;
    enum lun_json_type type = lun_json_type(json);
    return json.n == strlen(value) && (type == LUN_JSON_NUMBER || type == LUN_JSON_TRUE || type == LUN_JSON_FALSE);
}

/* Whether the setting of that name, n bytes long, is a text, so that 5 means "5". */
static bool is_text(struct lun_json settings, const char *name, size_t n)
{
    struct lun_buf own = {0};
    bool found = false;
    for (struct lun_json_each e = lun_json_each(settings); lun_json_next(&e) && !found; ) {
        own.n = 0;
        if (!lun_json_string(lun_json_get(e.value, "name"), false, &own) || own.n != n || memcmp(own.at, name, n)) continue;
        found = lun_json_type(lun_json_get(e.value, "default")) == LUN_JSON_STRING;
    }
    lun_buf_free(&own);
    return found;
}

static void put_setting(struct lun_buf *body, const char *pair, struct lun_json settings)
{
    const char *value = strchr(pair, '=') + 1;
    size_t n = (size_t)(value - 1 - pair);
    lun_json_put_string(body, pair, n);
    lun_buf_putc(body, ':');
    if (!*value) lun_buf_puts(body, "null");
    else if (is_plain(value) && !is_text(settings, pair, n)) lun_buf_puts(body, value);
    else lun_json_put_text(body, value);
}

static void put_changes(struct lun_buf *out, struct lun_json answer)
{
    for (struct lun_json_each e = lun_json_each(lun_json_get(answer, "settings")); lun_json_next(&e); ) {
        lun_remote_put(out, lun_json_get(e.value, "name"));
        lun_buf_puts(out, ": ");
        lun_remote_put(out, lun_json_get(e.value, "before"));
        lun_buf_puts(out, " -> ");
        lun_remote_put(out, lun_json_get(e.value, "value"));
        lun_buf_putc(out, '\n');
    }
    lun_remote_put_warnings(out, answer);
    if (lun_json_type(lun_json_get(answer, "kept")) == LUN_JSON_FALSE) lun_buf_puts(out, "not kept: a restart forgets it\n");
}

static int change(const struct lun_remote *r, char **list, int n, bool json)
{
    struct lun_remote_answer known, answer = {0};
    struct lun_buf body = {0}, out = {0};
    int status = lun_remote_get(r, settings_path, json, &known);
    if (status && json) lun_remote_print_json(&known);
    for (int i = 0; i < n && !status; i++) {
        lun_buf_putc(&body, i ? ',' : '{');
        put_setting(&body, list[i], lun_json_get(known.json, "settings"));
    }
    lun_buf_putc(&body, '}');
    lun_remote_answer_free(&known);
    if (!status) {
        status = lun_remote_post(r, settings_path, &body, json, &answer);
        if (json) lun_remote_print_json(&answer);
        else if (!status) { put_changes(&out, answer.json); lun_print(&out, stdout); }
    }
    lun_buf_free(&body);
    lun_remote_answer_free(&answer);
    return status;
}

int lun_command_set(int argc, char **argv)
{
    static const struct option options[] = { { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_set, stdout) < 0;
        if (c == '?') return fputs(lun_usage_set, stderr), 2;
        if (c == 'a') admin = optarg;
        json |= c == 'j';
    }
    if (!are_settings(argv + optind, argc - optind)) return 2;
    int status = lun_remote_open(&remote, "set", admin);
    if (!status) status = optind < argc ? change(&remote, argv + optind, argc - optind, json) : show(&remote, json);
    lun_remote_free(&remote);
    return status;
}

#include "cli/cli.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "state/canary.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char lun_usage_canary[] =
    "usage: lunette canary [NAME [start|pause|resume|promote|rollback]] [--why TEXT] [--admin ADDR] [--json]\n"
    "\n"
    "Lists the canaries of a running gateway: which share is new, in which stage, what was measured in it, and who brought it there and why. With a NAME\n"
    "that one alone, and the exit status is 1 where it is rolled back. With more it is told what to do: `start` begins with the first stage, also after it\n"
    "was rolled back; `pause` stays in its stage, `resume` goes on; `promote` goes to the last stage at once; `rollback` goes back to 0 %.\n"
    "  --why TEXT     noted with it\n"
    LUN_REMOTE_HELP;

static const char path[] = "/admin/canaries";

static void put_share(struct lun_buf *out, struct lun_json row)
{
    lun_remote_put(out, lun_json_get(row, "share"));
    lun_buf_puts(out, " %");
}

static void put_stage(struct lun_buf *out, struct lun_json row)
{
    lun_remote_put(out, lun_json_get(row, "stage"));
    lun_buf_printf(out, " of %zu", lun_json_count(lun_json_get(row, "stages")));
}

static void put_errors(struct lun_buf *out, struct lun_json row)
{
    double rate;
    if (lun_json_double(lun_json_get(row, "error_rate"), &rate)) lun_buf_printf(out, "%.3g %%", 100 * rate);
}

static void put_p99(struct lun_buf *out, struct lun_json row)
{
    double ms;
    if (lun_json_double(lun_json_get(row, "p99_ms"), &ms)) lun_buf_printf(out, "%.0f ms", ms);
}

static const struct lun_column columns[] = {
    { "canary", "name", NULL }, { "state", "state", NULL }, { "new", NULL, put_share }, { "stage", NULL, put_stage }, { "samples", "samples", NULL },
    { "errors", NULL, put_errors }, { "p99", NULL, put_p99 }, { "since", "since", NULL }, { "by", "by", NULL }, { "why", "why", NULL } };

static bool is_text(struct lun_json v, const char *text)
{
    struct lun_buf own = {0};
    bool same = lun_json_string(v, false, &own) && own.n == strlen(text) && !memcmp(own.at, text, own.n);
    lun_buf_free(&own);
    return same;
}

/* The one of that name; {0}: there is none. */
static struct lun_json named(struct lun_json list, const char *name)
{
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) if (is_text(lun_json_get(e.value, "name"), name)) return e.value;
    return (struct lun_json){0};
}

static void put_one(struct lun_buf *out, struct lun_json canary)
{
    struct lun_buf text = {0};
    struct lun_json list;
    lun_buf_putc(&text, '[');
    lun_buf_add(&text, canary.at, canary.n);
    lun_buf_putc(&text, ']');
    if (lun_json_check(text.at, text.n, &list, NULL)) lun_table_put(out, list, columns, sizeof columns / sizeof *columns);
    lun_buf_free(&text);
}

static int put_list(struct lun_buf *out, struct lun_json list, const char *name)
{
    struct lun_json one = name ? named(list, name) : (struct lun_json){0};
    if (name && !one.n) return fprintf(stderr, "lunette canary: the gateway has no canary `%s`\n", name), 1;
    if (one.n) put_one(out, one);
    else if (lun_json_count(list)) lun_table_put(out, list, columns, sizeof columns / sizeof *columns);
    else lun_buf_puts(out, "There are no canaries.\n");
    return one.n && is_text(lun_json_get(one, "state"), lun_canary_state_name(LUN_CANARY_ROLLED_BACK));
}

static int show(const struct lun_remote *r, const char *name, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_get(r, path, json, &answer);
    if (!status) status = put_list(&out, lun_json_get(answer.json, "canaries"), name);
    if (json) lun_remote_print_json(&answer), lun_buf_free(&out);
    else lun_print(&out, stdout);
    lun_remote_answer_free(&answer);
    return status;
}

static int tell(const struct lun_remote *r, const char *name, const char *verb, const char *why, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0}, body = {0}, where = {0};
    lun_buf_printf(&where, "%s/%s", path, name);
    lun_buf_putc(&body, '{');
    lun_json_member_text(&body, "do", verb);
    if (why) lun_json_member_text(&body, "why", why);
    lun_buf_putc(&body, '}');
    int status = lun_remote_post(r, lun_buf_text(&where), &body, json, &answer);
    if (json) lun_remote_print_json(&answer);
    else if (!status) {
        put_one(&out, lun_json_get(answer.json, "canary"));
        lun_remote_put_warnings(&out, answer.json);
        if (lun_json_type(lun_json_get(answer.json, "kept")) == LUN_JSON_FALSE) lun_buf_puts(&out, "not kept: a restart forgets it\n");
        lun_print(&out, stdout);
    }
    lun_buf_free(&body), lun_buf_free(&where);
    lun_remote_answer_free(&answer);
    return status;
}

static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return n && !name[n];
}

static bool is_right(char **list, int n, const char *why)
{
    enum lun_canary_verb verb;
    if (n > 2) return fputs(lun_usage_canary, stderr), false;
    if (n && !is_name(list[0])) return fprintf(stderr, "lunette canary: argument 1 is no name of a canary\n"), false;
    if (n == 2 && !lun_canary_verb_find(list[1], &verb)) return fprintf(stderr, "lunette canary: argument 2 must be start, pause, resume, promote or rollback\n"), false;
    if (why && n < 2) return fprintf(stderr, "lunette canary: --why belongs to something to do\n"), false;
    return true;
}

int lun_command_canary(int argc, char **argv)
{
    static const struct option options[] = { { "why", required_argument, NULL, 'w' }, { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL, *why = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_canary, stdout) < 0;
        if (c == '?') return fputs(lun_usage_canary, stderr), 2;
        if (c == 'a') admin = optarg;
        if (c == 'w') why = optarg;
        json |= c == 'j';
    }
    char **list = argv + optind;
    int n = argc - optind;
    if (!is_right(list, n, why)) return 2;
    int status = lun_remote_open(&remote, "canary", admin);
    if (!status) status = n == 2 ? tell(&remote, list[0], list[1], why, json) : show(&remote, n ? list[0] : NULL, json);
    lun_remote_free(&remote);
    return status;
}

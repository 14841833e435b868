#include "base/alloc.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/explain_text.h"
#include "cli/live.h"
#include "cli/print.h"
#include "gateway/dry_run.h"
#include "gateway/rebuilt.h"
#include "script/load.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char lun_usage_explain[] =
    "usage: lunette explain [gateway.lua] REQUEST [--line N] [--key NAME] [--header 'NAME: VALUE']… [--endpoint NAME] [--set NAME=VALUE]…\n"
    "                       [--resting TARGET=S]… [--spent BUDGET=USD]… [--now [--admin ADDR]] [--fail STEP=HOW[@S],…] [--answer TEXT] [--short] [--json]\n"
    "\n"
    "Why a request would be decided as it would, without a call to anybody: what each hook answered, on which line and what it had looked at; the plan with\n"
    "its clocks and what each step would hold; which rule or line left the other targets out; the budgets. Then, on a virtual clock, what would follow if each\n"
    "step failed in each way, or all of them in the same, and what the client would get in the end; answers take no time, so that a delay is one that failures\n"
    "cost. It begins with nothing spent and nobody resting, unless that is said. REQUEST is a file with the body of a request, or - for standard input; what is a\n"
    "line of the request log is made a request again, as far as the line tells it, and what it does not tell is said. Without gateway.lua: ./gateway.lua.\n"
    "  --line N       REQUEST is a request log, and its line N is meant\n"
    "  --key NAME     who asks: an entry of `clients`. By default the one that the line names, else the first of them\n"
    "  --header H     a header that the client sends: --header 'x-lunette-task: summary'. Again for more\n"
    "  --endpoint E   chat (the default), completions or embeddings\n"
    "  --set N=V      a setting of the policy. Again for more\n"
    "  --resting T=S  the target T rests for S more seconds, as after a 429. Again for more\n"
    "  --spent B=USD  so much is spent of the budget B: --spent 'key app=4.99', 'team web=20', 'tag tenant=acme=3', total=100. Again for more\n"
    "  --now          begins as things stand on a running gateway, as its admin interface tells: which targets rest, what is spent, what its settings are.\n"
    "                 What --resting, --spent and --set say goes before that\n"
    "  --admin ADDR   for --now: where that interface is, as for `lunette show`\n"
    "  --fail S=HOW   in place of what if: what follows if just that happens. S is a step of the plan by its number, or all; HOW a way to fail as they are shown\n"
    "                 without it, timeout (of the first byte), a status such as 503, or ok; and @2.5 behind it: 2.5 seconds after it was asked. With commas,\n"
    "                 or again, for more: --fail 1=503@2,2=timeout\n"
    "  --answer TEXT  what every model answers, for policies that look at it (`judge`, lunette.chat)\n"
    "  --short        leaves out what if\n"
    "  --json         one object, the same from run to run\n"
    "\n"
    "Exit status: 0 it would be answered if all went well, 1 it would not, or the configuration or the request cannot be read, 2 wrong use.\n";

enum { MOST = 64, BODY_MOST = 32 << 20, LINE_MOST = 1 << 20 };

struct options {
    const char *gateway, *request, *key, *answer;
    struct lun_pair headers[MOST], settings[MOST], resting[MOST], spent[MOST], failing[MOST]; int n_headers, n_settings, n_resting, n_spent, n_failing;
    bool has_endpoint; enum lun_endpoint endpoint;
    long line;
    const char *admin;
    bool json, brief, now;
    struct lun_live live;
};

static int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int complain(int status, const char *format, ...)
{
    va_list list;
    fputs("lunette explain: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return status;
}

/* ---- the request ---- */

/* Everything there is, or line number `line` from 1 on. */
static bool read_text(FILE *f, long line, struct lun_buf *out, const char **why)
{
    char bytes[65536];
    size_t most = line ? LINE_MOST : BODY_MOST;
    long at = 1;
    *why = line ? "the line is longer than 1 MiB" : "it is larger than 32 MiB";
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)); ) {
        for (char *p = bytes, *end = bytes + n, *to; p < end; p = to) {
            char *feed = line ? memchr(p, '\n', (size_t)(end - p)) : NULL;
            to = feed ? feed + 1 : end;
            if (!line || at == line) lun_buf_add(out, p, (size_t)((feed ? feed : end) - p));
            if (out->n > most) return false;
            if (feed && ++at > line) return true;
        }
    }
    *why = ferror(f) ? strerror(errno) : "it has fewer lines";
    return !ferror(f) && (!line || out->n);
}

static int take_text(const struct options *o, struct lun_buf *out)
{
    bool standard = !strcmp(o->request, "-");
    const char *why;
    FILE *f = standard ? stdin : fopen(o->request, "r");
    if (!f) return complain(1, "%s cannot be read: %s", o->request, strerror(errno));
    bool good = read_text(f, o->line, out, &why);
    if (!standard) fclose(f);
    return good ? 0 : complain(1, "%s cannot be read: %s", standard ? "standard input" : o->request, why);
}

/* What cannot be a request for want of JSON is told as a client would be told, by the walk. */
static int understand(const struct options *o, const struct lun_buf *text, struct lun_rebuilt *r)
{
    struct lun_json json = {0};
    struct lun_json_error error;
    const char *why;
    bool is_json = lun_json_check(text->at, text->n, &json, &error), line = is_json && lun_rebuilt_is_line(json);
    if (o->line && !is_json) return complain(1, "line %ld of %s is no JSON: at byte %zu: %s", o->line, o->request, error.at, error.what);
    if (o->line && !line) return complain(1, "line %ld of %s is none of a request log", o->line, o->request);
    if (line) return lun_rebuilt_read(r, json, &why) ? 0 : complain(1, "the line of the log cannot be made a request again: %s", why);
    lun_buf_add(&r->body, text->at, text->n);
    return 0;
}

/* ---- the configuration ---- */

static struct lun_snapshot *load(void *self)
{
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = lun_load(self, &(struct lun_load_options){ .no_secrets = true, .cpu = LUN_CPU_STEPS }, &mistakes);
    if (s) lun_mistakes_free(&mistakes);
    else lun_print_mistakes(&mistakes, stderr);
    return s;
}

/* What was set then counts as far as this policy has it, as for `lunette replay`. */
static void leave_out_unknown(struct lun_rebuilt *r, const struct lun_snapshot *s)
{
    int n = 0;
    for (int i = 0; i < r->n_settings; i++) {
        if (lun_snapshot_setting(s, r->settings[i].name)) r->settings[n++] = r->settings[i];
        else fprintf(stderr, "settings.%s of the line: the policy has no such setting any more\n", r->settings[i].name);
    }
    r->n_settings = n;
}

/* Whether there is such a client; and how things stand on the gateway that runs, of what this configuration knows, if that is wanted. */
static int look(struct options *o, const char *client, struct lun_rebuilt *r)
{
    struct lun_snapshot *s = load((void *)o->gateway);
    if (!s) return 1;
    leave_out_unknown(r, s);
    bool there = !client || lun_snapshot_client_named(s, client);
    int status = there ? 0 : complain(1, "`clients` of %s has no \"%s\" (keys that were made at run time are not in it); --key NAME says another", o->gateway, client);
    if (!status && o->now) status = lun_live_read(&o->live, s, o->admin);
    lun_snapshot_unref(s);
    return status;
}

/* ---- printing ---- */

static void put_missing(const struct lun_rebuilt *r)
{
    for (int i = 0; i < r->n_missing; i++) fprintf(stderr, "%s%s%s", i ? ", " : "the line of the log does not tell: ", r->missing[i], i == r->n_missing - 1 ? "\n" : "");
}

static void print(const struct options *o, struct lun_buf *json)
{
    struct lun_buf text = {0};
    struct lun_ink ink = { &text, lun_ink_wanted(stdout) };
    if (o->json) {
        lun_buf_putc(json, '\n');
        lun_print(json, stdout);
        return;
    }
    lun_explain_put(&ink, (struct lun_json){ json->at, json->n });
    lun_ink_end(&ink);
    lun_print(&text, stdout);
    lun_buf_free(json);
}

static bool is_said(const struct lun_pair *said, int n, const char *name)
{
    while (n--) if (!strcmp(said[n].name, name)) return true;
    return false;
}

/* Those that hold on the gateway that runs, in front of those that were said; what is said goes before. Yours to free. */
static struct lun_pair *both(const struct lun_live_list *live, const struct lun_pair *said, int n_said, int *n)
{
    struct lun_pair *list = lun_alloc((size_t)(live->n + n_said + 1) * sizeof *list);
    *n = 0;
    for (int i = 0; i < live->n; i++) if (!is_said(said, n_said, live->pair[i].name)) list[(*n)++] = live->pair[i];
    for (int i = 0; i < n_said; i++) list[(*n)++] = said[i];
    return list;
}

static int explain(struct options *o, struct lun_rebuilt *r)
{
    struct lun_dry_run d = { .load = load, .self = (void *)o->gateway, .endpoint = o->has_endpoint ? o->endpoint : r->endpoint, .client = o->key ? o->key : r->client, .body = r->body.at,
                             .n = r->body.n, .said = o->answer, .no_what_if = o->brief,
                             .failing = o->failing, .n_failing = o->n_failing };
    struct lun_pair headers[MOST + LUN_REBUILT_HEADERS], said[MOST + LUN_REBUILT_SETTINGS], *resting, *spent, *settings;
    int n_said = 0, status = look(o, d.client, r);
    struct lun_buf out = {0};
    char *error = NULL;
    bool good = false;
    if (status) return status;
    for (int i = 0; i < r->n_headers; i++) headers[d.n_headers++] = r->headers[i];
    for (int i = 0; i < o->n_headers; i++) headers[d.n_headers++] = o->headers[i];
    for (int i = 0; i < r->n_settings; i++) said[n_said++] = r->settings[i];
    for (int i = 0; i < o->n_settings; i++) said[n_said++] = o->settings[i];
    d.headers = headers;
    d.resting = resting = both(&o->live.resting, o->resting, o->n_resting, &d.n_resting);
    d.spent = spent = both(&o->live.spent, o->spent, o->n_spent, &d.n_spent);
    d.settings = settings = both(&o->live.settings, said, n_said, &d.n_settings);
    bool done = lun_dry_run(&d, &out, &good, &error);
    put_missing(r);
    if (done) print(o, &out);
    else if (error) complain(1, "%s", error);
    lun_buf_free(&out);
    free(resting), free(spent), free(settings);
    free(error);
    return !done || !good;
}

/* ---- arguments ---- */

/* "name: value", taken apart in place. */
static bool add_at(struct lun_pair *list, int *n, char *text, char *value)
{
    if (!value || value == text || *n == MOST) return false;
    *value++ = 0;
    value += strspn(value, " \t");
    list[(*n)++] = (struct lun_pair){ text, value };
    return true;
}

static bool add(struct lun_pair *list, int *n, char *text, char by) { return add_at(list, n, text, strchr(text, by)); }

/* "1=503@2,2=timeout" */
static bool add_failing(struct options *o, char *text)
{
    bool good = true;
    for (char *one; good && (one = strsep(&text, ",")); ) good = add(o->failing, &o->n_failing, one, '=');
    return good;
}

static bool read_endpoint(struct options *o, const char *name)
{
    for (int e = 0; e < LUN_ENDPOINT_COUNT; e++)
        if (!strcmp(name, lun_endpoint_name((enum lun_endpoint)e))) return o->endpoint = (enum lun_endpoint)e, o->has_endpoint = true;
    return false;
}

static bool read_line(struct options *o, const char *text)
{
    char *end;
    o->line = strtol(text, &end, 10);
    return !*end && o->line > 0;
}

static bool is_lua(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && !strcmp(path + n - 4, ".lua");
}

static bool read_places(struct options *o, int n, char **places)
{
    o->gateway = "gateway.lua";
    if (n == 2) o->gateway = places[0], o->request = places[1];
    else if (n == 1 && !is_lua(places[0])) o->request = places[0];
    return o->request;
}

int lun_command_explain(int argc, char **argv)
{
    static const struct option options[] = { { "line", required_argument, NULL, 'l' }, { "key", required_argument, NULL, 'k' }, { "header", required_argument, NULL, 'H' },
        { "endpoint", required_argument, NULL, 'e' }, { "set", required_argument, NULL, 's' }, { "resting", required_argument, NULL, 'r' }, { "spent", required_argument, NULL, 'p' }, { "fail", required_argument, NULL, 'f' },
        { "now", no_argument, NULL, 'n' }, { "admin", required_argument, NULL, 'A' }, { "answer", required_argument, NULL, 'a' }, { "short", no_argument, NULL, 'b' },
        { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct options o = {0};
    struct lun_rebuilt request = {0};
    struct lun_buf text = {0};
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        switch (c) {
        case 'h': return fputs(lun_usage_explain, stdout) < 0;
        case 'l': good = read_line(&o, optarg); break;
        case 'k': o.key = optarg; break;
        case 'H': good = add(o.headers, &o.n_headers, optarg, ':'); break;
        case 'e': good = read_endpoint(&o, optarg); break;
        case 's': good = add(o.settings, &o.n_settings, optarg, '='); break;
        case 'r': good = add(o.resting, &o.n_resting, optarg, '='); break;
        case 'p': good = add_at(o.spent, &o.n_spent, optarg, strrchr(optarg, '=')); break;
        case 'f': good = add_failing(&o, optarg); break;
        case 'n': o.now = true; break;
        case 'A': o.admin = optarg; break;
        case 'a': o.answer = optarg; break;
        case 'b': o.brief = true; break;
        case 'j': o.json = true; break;
        default: good = false;
        }
    }
    if (!good || (o.admin && !o.now) || !read_places(&o, argc - optind, argv + optind)) return fputs(lun_usage_explain, stderr), 2;
    int status = take_text(&o, &text);
    if (!status) status = understand(&o, &text, &request);
    if (!status) status = explain(&o, &request);
    lun_rebuilt_free(&request);
    lun_live_free(&o.live);
    lun_buf_free(&text);
    return status;
}

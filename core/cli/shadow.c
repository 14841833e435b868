#include "cli/shadow.h"
#include "base/decimal.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "cli/table.h"
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char lun_usage_shadow[] =
    "usage: lunette shadow [finish|stop] [--why TEXT] [--admin ADDR] [--json]\n"
    "\n"
    "Shows the version that is asked beside the current one of a running gateway, or what became of the last such: how many requests were compared, in\n"
    "what the two differ, what each expects to pay, and some of the differences. `lunette reload --shadow TIME` begins with one. The exit status is 1\n"
    "where it was refused. `finish`: its time is over now, so it is taken over, or refused by what was seen. `stop` ends it, and nothing has changed.\n"
    "  --why TEXT     noted with stop\n"
    LUN_REMOTE_HELP;

static const char path[] = "/admin/shadow";

/* ---- cells ---- */

static double number(struct lun_json object, const char *member)
{
    double x;
    return lun_json_double(lun_json_get(object, member), &x) ? x : NAN;
}

static bool is_text(struct lun_json v, const char *text)
{
    struct lun_buf own = {0};
    bool same = lun_json_string(v, false, &own) && own.n == strlen(text) && !memcmp(own.at, text, own.n);
    lun_buf_free(&own);
    return same;
}

static void put_places(struct lun_buf *out, int places, double x)
{
    char text[64];
    lun_buf_add(out, text, (size_t)lun_decimal_places(text, sizeof text, places, x));
}

static void put_list(struct lun_buf *out, struct lun_json list)
{
    bool first = true;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); first = false) {
        if (!first) lun_buf_puts(out, ", ");
        lun_remote_put(out, e.value);
    }
}

static void put_plan(struct lun_buf *out, struct lun_json plan)
{
    bool first = true;
    for (struct lun_json_each e = lun_json_each(plan); lun_json_next(&e); first = false) {
        if (!first) lun_buf_puts(out, " .. ");
        lun_remote_put(out, lun_json_get(e.value, "target"));
    }
    if (first) lun_buf_puts(out, "nobody");
}

/* "easy: cheap .. dear", "refused by budget (402)" */
static void put_decision(struct lun_buf *out, struct lun_json d)
{
    struct lun_json labels = lun_json_get(d, "labels"), by = lun_json_get(d, "refused_by");
    if (lun_json_count(labels)) put_list(out, labels), lun_buf_puts(out, ": ");
    if (!by.n) { put_plan(out, lun_json_get(d, "plan")); return; }
    lun_buf_puts(out, "refused by ");
    lun_remote_put(out, by);
    lun_buf_puts(out, " (");
    lun_remote_put(out, lun_json_get(d, "status"));
    lun_buf_putc(out, ')');
}

static void put_differs(struct lun_buf *out, struct lun_json row)  { put_list(out, lun_json_get(row, "differs")); }
static void put_live(struct lun_buf *out, struct lun_json row)     { put_decision(out, lun_json_get(row, "live")); }
static void put_shadow(struct lun_buf *out, struct lun_json row)   { put_decision(out, lun_json_get(row, "shadow")); }

static const struct lun_column columns[] = { { "request", "id", NULL }, { "differs in", NULL, put_differs }, { "live", NULL, put_live }, { "shadow", NULL, put_shadow } };

/* ---- all of it ---- */

static void put_time(struct lun_buf *out, double seconds)
{
    if (seconds < 10) put_places(out, 1, seconds), lun_buf_puts(out, " s");
    else if (seconds < 120) put_places(out, 0, seconds), lun_buf_puts(out, " s");
    else lun_buf_printf(out, "%d min %d s", (int)(seconds / 60), (int)seconds % 60);
}

static void put_head(struct lun_buf *out, struct lun_json s)
{
    struct lun_json why = lun_json_get(s, "why"), left = lun_json_get(s, "left");
    lun_remote_put(out, lun_json_get(s, "version"));
    lun_buf_puts(out, " beside ");
    lun_remote_put(out, lun_json_get(s, "live"));
    lun_buf_puts(out, ": ");
    lun_remote_put(out, lun_json_get(s, "state"));
    if (left.n) lun_buf_puts(out, ", "), put_time(out, number(s, "left")), lun_buf_puts(out, " left of "), put_time(out, number(s, "seconds"));
    lun_buf_puts(out, " (since ");
    lun_remote_put(out, lun_json_get(s, "since"));
    lun_buf_puts(out, " by ");
    lun_remote_put(out, lun_json_get(s, "by"));
    lun_buf_puts(out, ")\n");
    if (!why.n) return;
    lun_remote_put(out, why);
    lun_buf_putc(out, '\n');
    if (!is_text(lun_json_get(s, "state"), "refused")) return;
    lun_buf_puts(out, "As long as the files hold it, the next reload or start takes it as it is.\n");
}

static void put_counts(struct lun_buf *out, struct lun_json object)
{
    bool first = true;
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); first = false) {
        if (!first) lun_buf_puts(out, ", ");
        lun_remote_put(out, e.value);
        lun_buf_putc(out, ' ');
        lun_remote_put(out, e.key);
    }
    lun_buf_putc(out, '\n');
}

static void put_pair(struct lun_buf *out, const char *name, struct lun_json pair, int places, const char *unit)
{
    lun_buf_printf(out, "%-15s", name);
    put_places(out, places, number(pair, "live"));
    lun_buf_puts(out, " live, ");
    put_places(out, places, number(pair, "shadow"));
    lun_buf_printf(out, " shadow%s\n", unit);
}

static void put_failures(struct lun_buf *out, struct lun_json hooks)
{
    for (struct lun_json_each e = lun_json_each(hooks); lun_json_next(&e); ) {
        lun_buf_puts(out, "               hook ");
        lun_remote_put(out, lun_json_get(e.value, "hook"));
        lun_buf_puts(out, ", ");
        lun_remote_put(out, lun_json_get(e.value, "failures"));
        lun_buf_puts(out, " times: ");
        lun_remote_put(out, lun_json_get(e.value, "error"));
        lun_buf_putc(out, '\n');
    }
}

static void put_figures(struct lun_buf *out, struct lun_json s)
{
    lun_buf_puts(out, "requests       "), put_counts(out, lun_json_get(s, "results"));
    lun_buf_puts(out, "differences    "), put_counts(out, lun_json_get(s, "differences"));
    put_pair(out, "expected cost", lun_json_get(s, "expected_cost"), 6, ", USD");
    put_pair(out, "refused", lun_json_get(s, "refused"), 0, "");
    put_pair(out, "failed", lun_json_get(s, "failed"), 0, "");
    put_failures(out, lun_json_get(lun_json_get(s, "failed"), "hooks"));
    put_pair(out, "CPU of hooks", lun_json_get(s, "cpu_ms"), 1, ", ms");
    if (number(s, "calls_unasked") > 0) {
        lun_buf_puts(out, "calls          ");
        lun_remote_put(out, lun_json_get(s, "calls_unasked"));
        lun_buf_puts(out, " by chat or http that the shadow wanted, answered nil\n");
    }
    if (!lun_json_count(lun_json_get(s, "samples"))) return;
    lun_buf_putc(out, '\n');
    lun_table_put(out, lun_json_get(s, "samples"), columns, sizeof columns / sizeof *columns);
}

static void put_all(struct lun_buf *out, struct lun_json s)
{
    if (is_text(lun_json_get(s, "state"), "none")) { lun_buf_puts(out, "There is no shadow, and was none.\n"); return; }
    put_head(out, s);
    put_figures(out, s);
}

/* ---- waiting ---- */

static volatile sig_atomic_t interrupted;
static void on_interrupt(int number_of) { (void)number_of; interrupted = 1; }

static bool is_over(struct lun_json s)
{
    struct lun_json state = lun_json_get(s, "state");
    return !is_text(state, "running") && !is_text(state, "adopting");
}

static bool same(struct lun_json a, struct lun_json b, const char *member)
{
    struct lun_json x = lun_json_get(a, member), y = lun_json_get(b, member);
    return x.n == y.n && !memcmp(x.at, y.at, x.n);
}

static void show_progress(struct lun_json s)
{
    struct lun_buf line = {0};
    if (!isatty(STDERR_FILENO)) return;
    lun_buf_puts(&line, "\r\033[K");
    put_time(&line, number(s, "left"));
    lun_buf_puts(&line, " left: ");
    put_counts(&line, lun_json_get(s, "results"));
    line.n--;
    lun_print(&line, stderr);
}

static void end_progress(void) { if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr); }

/* How long to the next look: about as long as a tenth of what is left, a second at most. */
static int pause_ms(struct lun_json s)
{
    double left = number(s, "left") * 100;
    return left > 1000 ? 1000 : left > 20 ? (int)left : 20;
}

/* Until it is over, or another one has begun; *answer is what was seen last. */
static int wait_for(const struct lun_remote *r, struct lun_json begun, bool json, struct lun_remote_answer *answer)
{
    int status;
    while (!(status = lun_remote_get(r, path, json, answer))) {
        if (!same(begun, answer->json, "since") || is_over(answer->json) || interrupted) break;
        show_progress(answer->json);
        poll(NULL, 0, pause_ms(answer->json));
        lun_remote_answer_free(answer);
    }
    end_progress();
    return status;
}

static int tell_outcome(struct lun_json begun, struct lun_remote_answer *answer, bool json)
{
    struct lun_buf out = {0};
    if (!same(begun, answer->json, "since")) return fputs("lunette reload: it has ended, and another shadow has begun: `lunette shadow` shows that\n", stderr), 1;
    if (!is_over(answer->json)) return fputs("lunette reload: the shadow goes on: `lunette shadow` shows it, `lunette shadow stop` ends it\n", stderr), 1;
    put_all(&out, answer->json);
    bool adopted = is_text(lun_json_get(answer->json, "state"), "adopted");
    if (json) lun_remote_print_json(answer), lun_buf_free(&out);
    else lun_print(&out, stdout);
    return !adopted;
}

static int wait_and_tell(const struct lun_remote *r, struct lun_json begun, bool json)
{
    struct lun_remote_answer answer = {0};
    int status = wait_for(r, begun, json, &answer);
    if (!status) status = tell_outcome(begun, &answer, json);
    lun_remote_answer_free(&answer);
    return status;
}

static void tell_begun(struct lun_json shadow)
{
    struct lun_buf out = {0};
    lun_remote_put(&out, lun_json_get(shadow, "version"));
    lun_buf_puts(&out, " is asked beside ");
    lun_remote_put(&out, lun_json_get(shadow, "live"));
    lun_buf_puts(&out, " for ");
    put_time(&out, number(shadow, "seconds"));
    lun_buf_puts(&out, "; `lunette shadow` shows how it does\n");
    lun_print(&out, stdout);
}

int lun_shadow_begin(const struct lun_remote *r, const struct lun_buf *body, bool wait, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf warnings = {0};
    if (wait) signal(SIGINT, on_interrupt);
    int status = lun_remote_post(r, path, body, json, &answer);
    struct lun_json shadow = status ? (struct lun_json){0} : lun_json_get(answer.json, "shadow");
    if (!status) lun_remote_put_warnings(&warnings, answer.json);
    lun_print(&warnings, stderr);
    if (json && (status || !wait)) lun_remote_print_json(&answer);
    else if (!status && !wait) tell_begun(shadow);
    else if (!status) status = wait_and_tell(r, shadow, json);
    lun_remote_answer_free(&answer);
    return status;
}

/* ---- the command ---- */

static int show(const struct lun_remote *r, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_get(r, path, json, &answer);
    if (!status) {
        put_all(&out, answer.json);
        status = is_text(lun_json_get(answer.json, "state"), "refused");
    }
    if (json) lun_remote_print_json(&answer), lun_buf_free(&out);
    else lun_print(&out, stdout);
    lun_remote_answer_free(&answer);
    return status;
}

static int stop(const struct lun_remote *r, const char *why, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0}, body = {0};
    lun_buf_putc(&body, '{');
    if (why) lun_json_member_text(&body, "why", why);
    lun_buf_putc(&body, '}');
    int status = lun_remote_tell(r, "DELETE", path, &body, json, &answer);
    if (!status) put_all(&out, lun_json_get(answer.json, "shadow"));
    if (json) lun_remote_print_json(&answer), lun_buf_free(&out);
    else lun_print(&out, stdout);
    lun_buf_free(&body);
    lun_remote_answer_free(&answer);
    return status;
}

int lun_command_shadow(int argc, char **argv)
{
    static const struct option options[] = { { "why", required_argument, NULL, 'w' }, { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL, *why = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_shadow, stdout) < 0;
        if (c == '?') return fputs(lun_usage_shadow, stderr), 2;
        if (c == 'w') why = optarg;
        if (c == 'a') admin = optarg;
        json |= c == 'j';
    }
    bool stops = optind < argc && !strcmp(argv[optind], "stop"), finishes = optind < argc && !strcmp(argv[optind], "finish");
    if (optind + stops + finishes < argc) return fputs(lun_usage_shadow, stderr), 2;
    if (why && !stops) return fprintf(stderr, "lunette shadow: --why belongs to stop\n"), 2;
    int status = lun_remote_open(&remote, "shadow", admin);
    if (!status) status = stops ? stop(&remote, why, json) : finishes ? lun_remote_change(&remote, "/admin/shadow/finish", NULL, json) : show(&remote, json);
    lun_remote_free(&remote);
    return status;
}

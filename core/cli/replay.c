#include "cli/replay.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/replay_verify.h"
#include "gateway/synthetic.h"
#include "script/load.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 10                        /* failures that are told one by one */

const char lun_usage_replay[] =
    "usage: lunette replay [gateway.lua] LOG [--against other.lua] [--json]\n"
    "       lunette replay [gateway.lua] LOG --verify [--json]\n"
    "       lunette replay [gateway.lua] --synthetic traffic.lua [--against other.lua] [--json]\n"
    "\n"
    "What the policy of a configuration would have made of the requests in a request log (LOG, or - for standard input), beside what really came of them: cost,\n"
    "latency, success, retries, refusals for a budget, choices by model. Nobody is asked anything: how an attempt ended is what the log has. Where the policy goes\n"
    "where the log did not, it is drawn from what that target did otherwise, and said to be an estimate; from choices that lunette.pick and lunette.split left to\n"
    "chance, means with 95 % intervals are estimated (inverse propensity, self-normalised, doubly robust), and quantiles of latency. The same from run to run. The\n"
    "log is read as a stream, of any length. Without a configuration: ./gateway.lua. Exit status 1 if a hook fails, or wants a text that the log does not have (`log.text`).\n"
    "  --against other.lua   another configuration tried on the same requests, and the difference to it\n"
    "  --synthetic FILE      without a log: a description of traffic and of how targets answer, in Lua or JSON (core/gateway/README.md#synthetic)\n"
    "  --verify              feeds the hooks with what they read then, where the log has it (log = { replay = true }): they have to come to the same, byte for byte.\n"
    "                        Prints \"N of N decisions the same\", or the first difference and how many requests differ, and exits 1\n"
    "  --json                one JSON object\n";

struct wanted { const char *config, *log, *against, *synthetic; bool json, verify; };
struct run {
    const struct wanted *wanted;
    struct lun_log_reader *reader;
    struct lun_traffic *traffic;        /* NULL: there is a log */
    struct lun_synthetic_rates rates[LUN_REPLAYS_MOST]; int n;
    struct lun_replays *replays;
    struct lun_progress progress;
    int64_t failures;
};

/* NULL: told. */
static struct lun_snapshot *load(const char *path)
{
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = lun_load(path, &(struct lun_load_options){ .cpu = LUN_CPU_STEPS, .no_secrets = true }, &mistakes);
    if (!s) lun_print_mistakes(&mistakes, stderr);
    lun_mistakes_free(&mistakes);
    return s;
}

static void hook_failed(void *self, const struct lun_replay_told *t)
{
    struct run *r = self;
    if (r->failures++ < SHOWN) fprintf(stderr, "line %lld (request %s): %s\n", (long long)t->logged->line, t->logged->id, t->error);
}

/* Every target of a configuration has to be described, or what it is asked comes to nothing that was said. */
static bool described(const struct run *r, const struct lun_snapshot *s)
{
    bool good = true;
    for (int i = 0; i < s->n_targets; i++) {
        if (lun_traffic_target(r->traffic, s->targets[i].name)) continue;
        fprintf(stderr, "%s: targets: says nothing of `%s`\n", r->wanted->synthetic, s->targets[i].name);
        good = false;
    }
    return good;
}

static bool add(struct run *r, const char *path)
{
    struct lun_snapshot *s = load(path);
    struct lun_replay_options options = { .name = path, .failed = hook_failed, .self = r };
    if (s && r->traffic && !described(r, s)) {
        lun_snapshot_unref(s);
        return false;
    }
    if (r->traffic) {
        r->rates[r->n].traffic = r->traffic;
        options.tell = lun_synthetic_tell, options.tell_self = &r->rates[r->n++];
    }
    if (s) s->log_replay = false;       /* nobody reads what is read */
    if (s) lun_replays_add(r->replays, s, &options);
    return s;
}

/* ---- the run ---- */

/* All from the log, or all that are made. */
static bool take_all(struct run *r, struct lun_synthetic *made, char **error)
{
    struct lun_log_line line;
    struct lun_logged *g;
    bool good = true;
    while (good && made && (g = lun_synthetic_next(made))) good = lun_replays_take(r->replays, g, 0, error);
    while (good && !made && lun_log_reader_next(r->reader, &line)) {
        good = lun_replays_take(r->replays, lun_logged_read(&line), line.n, error);
        lun_progress_show(&r->progress, lun_log_reader_counts(r->reader));
    }
    return good && lun_replays_end(r->replays, error);
}

static bool run(struct run *r)
{
    struct lun_synthetic *made = r->traffic ? lun_synthetic_new(r->traffic) : NULL;
    char *error = NULL;
    bool good = take_all(r, made, &error);
    int unread = made ? 0 : lun_log_reader_error(r->reader);
    lun_progress_end(&r->progress);
    if (error) fprintf(stderr, "lunette replay: %s\n", error);
    if (unread) fprintf(stderr, "%s: %s\n", r->wanted->log, strerror(unread));
    lun_synthetic_free(made);
    free(error);
    return good && !unread;
}

static bool texts_were_there(const struct run *r, int i, const char *file)
{
    const struct lun_replay *p = lun_replays_get(r->replays, i);
    int64_t n = p ? lun_replay_counted(p, LUN_REPLAY_NO_TEXT) : 0;
    if (n) fprintf(stderr, "%s: the policy wants to know the text of %lld requests, and %s\n", file, (long long)n,
                   r->traffic ? "their description says none" : "the log does not have it: set log.text = true");
    return !n;
}

static bool print(struct run *r)
{
    const struct wanted *w = r->wanted;
    struct lun_replay_report report = { r->replays, r->reader ? lun_log_reader_counts(r->reader) : NULL, w->config, w->against, r->reader };
    struct lun_buf out = {0}, faults = {0};
    if (w->json) lun_replay_json(&report, &out);
    else lun_replay_text(&report, &out);
    if (report.counts) lun_log_counts_text(report.counts, &faults);
    if (r->failures > SHOWN) fprintf(stderr, "…\n");
    if (r->failures) fprintf(stderr, "%lld requests in which a hook failed\n", (long long)r->failures);
    lun_print(&faults, stderr);
    lun_print(&out, stdout);
    bool good = texts_were_there(r, 0, w->config);
    if (w->against) good &= texts_were_there(r, 1, w->against);
    return good && !r->failures && lun_replays_requests(r->replays);
}

/* False: told. */
static bool open(struct run *r)
{
    const struct wanted *w = r->wanted;
    struct lun_mistakes mistakes = {0};
    if (w->synthetic && !(r->traffic = lun_traffic_load(w->synthetic, &mistakes))) lun_print_mistakes(&mistakes, stderr);
    lun_mistakes_free(&mistakes);
    if (w->synthetic && !r->traffic) return false;
    if (!add(r, w->config) || (w->against && !add(r, w->against))) return false;
    if (!w->synthetic && !(r->reader = lun_log_reader_open(w->log))) perror(w->log);
    return w->synthetic || r->reader;
}

static int replay(const struct wanted *w)
{
    struct run r = { .wanted = w, .replays = lun_replays_new() };
    bool good = open(&r) && run(&r) && print(&r);
    lun_replays_free(r.replays);
    for (int i = 0; i < LUN_REPLAYS_MOST; i++) lun_synthetic_rates_free(&r.rates[i]);
    lun_traffic_free(r.traffic);
    lun_log_reader_free(r.reader);
    return !good;
}

static int verify(const struct wanted *w)
{
    struct lun_snapshot *s = load(w->config);
    return s ? lun_replay_verify(s, w->log, w->json) : 1;
}

int lun_command_replay(int argc, char **argv)
{
    static const struct option options[] = { { "against", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
                                              { "verify", no_argument, NULL, 'v' }, { "synthetic", required_argument, NULL, 's' },
                                              { "help", no_argument, NULL, 'h' }, { 0 } };
    struct wanted w = { .config = "gateway.lua" };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_replay, stdout) < 0;
        if (c == '?') return fputs(lun_usage_replay, stderr), 2;
        if (c == 'a') w.against = optarg;
        if (c == 's') w.synthetic = optarg;
        w.json |= c == 'j';
        w.verify |= c == 'v';
    }
    int files = argc - optind, logs = !w.synthetic;
    if (files < logs || files > logs + 1 || (w.verify && (w.against || w.synthetic))) return fputs(lun_usage_replay, stderr), 2;
    if (files > logs) w.config = argv[optind];
    if (logs) w.log = argv[argc - 1];
    return w.verify ? verify(&w) : replay(&w);
}

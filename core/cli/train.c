#include "cli/cli.h"
#include "cli/print.h"
#include "cli/scores.h"
#include "base/alloc.h"
#include "base/decimal.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char lun_usage_train[] =
    "usage: lunette train scores.csv [--output FILE] [--test FILE] [--ratio N] [--json]\n"
    "\n"
    "Learns from the scores of two models for which questions the strong one is worth its price, and writes that down as a Lua file: a policy says `local router =\n"
    "require \"router\"` and asks `lunette.predict(router, request)`. scores.csv (RFC 4180, UTF-8) has a first line of names; of its columns `prompt`, `weak` and\n"
    "`strong` are read: a question, and how good the cheap and the strong model's answers were: 0, 1, false, true or a number between.\n"
    "  --output FILE  where the router is written; default router.lua. What is there is replaced\n"
    "  --test FILE    measured on the rows of that file, learned from all of scores.csv. Without: a fifth of the questions, chosen by a hash of their texts, is not\n"
    "                 learned from and measured on\n"
    "  --ratio N      an answer of the strong model costs N times one of the cheap one: for the column `cost`; default 10\n"
    "  --json         the figures as one JSON object\n"
    "\n"
    "PGR is the part of the gap between both models' quality that is recovered, APGR its mean over all shares of calls to the strong model (chance: 0.5), CPT(x)\n"
    "the least share of such calls for a PGR of x. How far APGR is off, for want of questions to measure on, is said below. A threshold of the table is what to\n"
    "compare with: above it the strong model is asked. The same file gives the same router and figures. Exit status 1 where nothing can be learned from what is\n"
    "read, with line and reason.\n";

enum { STEP = 10 /* percent, between two lines of the table */ };

struct order { const char *scores, *test, *output; double ratio; bool json; };
struct figures { double apgr, cpt50, cpt80; struct lun_interval of; };      /* of: its APGR */

/* What was measured, and on what. */
struct measured {
    struct lun_routed *routed; size_t n;
    size_t rows, learned;
    double penalty, weak, strong;
    struct figures router, length, chance;
};

/* ---- measuring ---- */

static struct figures figures_of(const struct lun_routed *r, size_t n)
{
    return (struct figures){ lun_recovery_apgr(r, n), lun_recovery_cpt(r, n, 0.5), lun_recovery_cpt(r, n, 0.8), lun_recovery_apgr_interval(r, n) };
}

static void measure(struct measured *m, const struct lun_training *t, const struct lun_lessons *on, bool held_out)
{
    struct lun_routed *other = lun_alloc((on->n + 1) * sizeof *other);
    m->routed = lun_alloc((on->n + 1) * sizeof *m->routed);
    m->n = lun_router_try(NULL, on, held_out, other);
    m->length = figures_of(other, m->n);
    for (size_t i = 0; i < m->n; i++) other[i].score = 0;
    m->chance = figures_of(other, m->n);
    free(other);
    lun_router_try(&t->router, on, held_out, m->routed);
    m->router = figures_of(m->routed, m->n);
    lun_recovery_ends(m->routed, m->n, &m->weak, &m->strong);
    m->penalty = t->penalty, m->learned = t->n;
}

static struct lun_recovery_at point(const struct measured *m, int percent)
{
    return lun_recovery_at(m->routed, m->n, lun_recovery_threshold(m->routed, m->n, percent / 100.0));
}

static double cost(double share, double ratio) { return share + (1 - share) / ratio; }

/* ---- what is written ---- */

static void put_number(struct lun_buf *out, int digits, double number)
{
    char text[40];
    lun_buf_add(out, text, (size_t)lun_decimal_write(text, sizeof text, digits, number));
}

static void put_router(struct lun_buf *out, const struct lun_training *t, const struct measured *m)
{
    lun_buf_puts(out, "-- Made by `lunette train`: by how much a strong model's answer would be better than a cheap one's, for `lunette.predict(router, request)`.\n"
                 "-- thresholds[30]: above it are 30 % of questions such as it was measured on.\nreturn {\n");
    lun_buf_printf(out, "  format = %d,\n  base = ", LUN_ROUTER_FORMAT);
    put_number(out, 17, t->router.base);
    lun_buf_puts(out, ",\n  scale = ");
    put_number(out, 17, t->router.scale);
    lun_buf_puts(out, ",\n  thresholds = {");
    for (int percent = STEP; percent < 100; percent += STEP) {
        lun_buf_printf(out, " [%d] = ", percent);
        put_number(out, 17, point(m, percent).threshold);
        lun_buf_putc(out, ',');
    }
    lun_buf_puts(out, " },\n  weights = [[\n");
    lun_buf_add(out, t->text, sizeof t->text);
    lun_buf_puts(out, "]],\n}\n");
}

/* For all to read, as gateway.lua is: it is no secret, and a gateway may run as somebody else. */
static bool write_router(const char *path, const struct lun_training *t, const struct measured *m)
{
    struct lun_buf text = {0};
    const char *why;
    put_router(&text, t, m);
    bool good = lun_file_replace(path, text.at, text.n, &why);
    if (good && chmod(path, 0644)) good = false, why = strerror(errno);
    if (!good) fprintf(stderr, "%s cannot be written: %s\n", path, why);
    lun_buf_free(&text);
    return good;
}

/* ---- what is printed ---- */

static void put_figures(struct lun_buf *out, const struct figures *f)
{
    lun_json_member_number(out, "apgr", f->apgr);
    lun_json_member_number(out, "cpt50", f->cpt50);
    lun_json_member_number(out, "cpt80", f->cpt80);
}

static void put_baseline(struct lun_buf *out, const char *name, const struct figures *f)
{
    lun_json_put_key(out, name);
    lun_buf_putc(out, '{');
    put_figures(out, f);
    lun_buf_putc(out, '}');
}

static void put_curve(struct lun_buf *out, const struct measured *m, double ratio)
{
    lun_json_put_key(out, "curve");
    lun_buf_putc(out, '[');
    for (int percent = 0; percent <= 100; percent += STEP) {
        struct lun_recovery_at at = point(m, percent);
        if (percent && at.threshold == point(m, percent - STEP).threshold) continue;
        lun_buf_puts(out, percent ? ",{" : "{");
        lun_json_member_number(out, "threshold", at.threshold);
        lun_json_member_number(out, "strong_share", at.share);
        lun_json_member_number(out, "quality", at.quality);
        lun_json_member_number(out, "pgr", at.pgr);
        lun_json_member_number(out, "relative_cost", cost(at.share, ratio));
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static void put_json(struct lun_buf *out, const struct order *o, const struct measured *m)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "output", o->output);
    lun_json_member_text(out, "test", o->test);
    lun_json_member_int(out, "rows", (int64_t)m->rows);
    lun_json_member_int(out, "learned", (int64_t)m->learned);
    lun_json_member_int(out, "tested", (int64_t)m->n);
    lun_json_member_number(out, "penalty", m->penalty);
    lun_json_member_number(out, "weak", m->weak);
    lun_json_member_number(out, "strong", m->strong);
    put_figures(out, &m->router);
    lun_json_member_number(out, "apgr_low", m->router.of.low);
    lun_json_member_number(out, "apgr_high", m->router.of.high);
    lun_json_put_key(out, "baselines");
    lun_buf_putc(out, '{');
    put_baseline(out, "length", &m->length);
    put_baseline(out, "chance", &m->chance);
    lun_buf_putc(out, '}');
    lun_json_member_number(out, "ratio", o->ratio);
    put_curve(out, m, o->ratio);
    lun_buf_puts(out, "}\n");
}

static void put_line(struct lun_buf *out, const char *name, const struct figures *f)
{
    lun_buf_printf(out, "%-14s %6.3f %8.1f %% %8.1f %%\n", name, f->apgr, 100 * f->cpt50, 100 * f->cpt80);
}

static void put_text(struct lun_buf *out, const struct order *o, const struct measured *m)
{
    lun_buf_printf(out, "%s: learned from %zu questions of %s, measured on %zu %s%s\n", o->output, m->learned, o->scores, m->n,
                   o->test ? "of " : "others, a fifth by the hash of their texts", o->test ? o->test : "");
    lun_buf_printf(out, "of these the weak model answers %.1f %% well, the strong one %.1f %%\n\n", 100 * m->weak, 100 * m->strong);
    lun_buf_puts(out, "                 APGR  CPT(50 %)  CPT(80 %)\n");
    put_line(out, "this router", &m->router);
    put_line(out, "longest first", &m->length);
    put_line(out, "by chance", &m->chance);
    lun_buf_printf(out, "on other questions of the same kind its APGR is from %.3f to %.3f, 95 times in 100\n", m->router.of.low, m->router.of.high);
    lun_buf_printf(out, "\nto the strong  above threshold  quality      PGR   cost (strong: %g times weak)\n", o->ratio);
    for (int percent = 0; percent <= 100; percent += STEP) {
        struct lun_recovery_at at = point(m, percent);
        if (percent && at.threshold == point(m, percent - STEP).threshold) continue;
        lun_buf_printf(out, "%11.1f %% %16.6f %6.1f %% %6.1f %% %6.1f %%\n", 100 * at.share, at.threshold, 100 * at.quality, 100 * at.pgr, 100 * cost(at.share, o->ratio));
    }
}

/* ---- the command ---- */

static bool refuse(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    return false;
}

static bool learn(const struct order *o, const struct lun_lessons *lessons, const struct lun_lessons *test)
{
    struct measured m = { .rows = lessons->n };
    struct lun_buf out = {0};
    const char *why;
    struct lun_training *t = lun_router_train(lessons, !o->test, &why);
    if (!t) return refuse(o->scores, why);
    measure(&m, t, o->test ? test : lessons, !o->test);
    bool good = m.strong > m.weak || refuse(o->test ? o->test : o->scores, m.n ? "among the questions measured on the strong model is no better than the weak one: there is no gap to recover"
                                                                               : "no question fell into the part to be measured on: too few rows, or say --test");
    good = good && write_router(o->output, t, &m);
    if (good && o->json) put_json(&out, o, &m);
    else if (good) put_text(&out, o, &m);
    lun_print(&out, stdout);
    free(m.routed), free(t);
    return good;
}

static bool read_scores(const char *path, struct lun_lessons *lessons)
{
    struct lun_buf why = {0};
    bool good = !path || lun_scores_read(path, lessons, &why);
    if (!good) fprintf(stderr, "%s\n", lun_buf_text(&why));
    lun_buf_free(&why);
    return good;
}

static int train(const struct order *o)
{
    struct lun_lessons lessons = {0}, test = {0};
    bool good = read_scores(o->scores, &lessons) && read_scores(o->test, &test) && learn(o, &lessons, &test);
    lun_lessons_free(&lessons);
    lun_lessons_free(&test);
    return !good;
}

static bool read_ratio(const char *text, double *ratio)
{
    char *end;
    *ratio = lun_decimal_read(text, &end);
    return end > text && !*end && *ratio >= 1 && *ratio <= 1e6;
}

int lun_command_train(int argc, char **argv)
{
    static const struct option options[] = { { "output", required_argument, NULL, 'o' }, { "test", required_argument, NULL, 't' }, { "ratio", required_argument, NULL, 'r' },
                                              { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct order o = { .output = "router.lua", .ratio = 10 };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_train, stdout) < 0;
        if (c == '?') return fputs(lun_usage_train, stderr), 2;
        if (c == 'o') o.output = optarg;
        if (c == 't') o.test = optarg;
        o.json |= c == 'j';
        if (c == 'r' && !read_ratio(optarg, &o.ratio)) return fprintf(stderr, "--ratio is a number from 1 to 1000000, not %s\n", optarg), 2;
    }
    if (argc - optind != 1) return fputs(lun_usage_train, stderr), 2;
    o.scores = argv[optind];
    return train(&o);
}

#include "cli/explain_text.h"
#include "base/decimal.h"
#include "base/text.h"
#include "cli/remote.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDE = 100, NAME = 9, DROPPED_MOST = 8 };

#define TIE "\x1f"              /* a blank at which no line ends, until lun_ink_end. What comes from elsewhere has no control characters */

static const char bold[] = "1", good[] = "32", bad[] = "31", dim[] = "2";

bool lun_ink_wanted(FILE *f)
{
    const char *no = getenv("NO_COLOR");
    return isatty(fileno(f)) && !(no && *no);
}

void lun_ink_end(struct lun_ink *i)
{
    for (size_t k = 0; k < i->out->n; k++) if (i->out->at[k] == *TIE) i->out->at[k] = ' ';
}

/* ---- cells ---- */

static void put_in(struct lun_ink *i, const char *colour, const char *text)
{
    if (i->colour) lun_buf_printf(i->out, "\033[%sm%s\033[0m", colour, text);
    else lun_buf_puts(i->out, text);
}

/* Points that it takes on a line. */
static size_t wide(struct lun_buf *b) { return b->n ? lun_text_points(b->at, b->n) : 0; }

static void pad(struct lun_buf *out, size_t have, size_t want) { for (; have < want; have++) lun_buf_putc(out, ' '); }

static void put_places(struct lun_buf *out, double x, int places, const char *after)
{
    char text[64];
    int n = lun_decimal_places(text, sizeof text, places, x);
    while (places && n && text[n - 1] == '0') n--;
    if (places && n && text[n - 1] == '.') n--;
    lun_buf_add(out, text, (size_t)n);
    lun_buf_puts(out, after);
}

void lun_explain_ms(struct lun_buf *out, double ms)
{
    if (ms > 0 && ms < 1000) put_places(out, ms, ms < 10 ? 1 : 0, TIE "ms");
    else put_places(out, ms / 1000, 2, TIE "s");
}

static void put_usd(struct lun_buf *out, double usd)
{
    lun_buf_putc(out, '$');
    put_places(out, usd, usd >= 1 ? 2 : 6, "");
}

static double number(struct lun_json object, const char *name)
{
    double x;
    return lun_json_double(lun_json_get(object, name), &x) ? x : NAN;
}

static bool has(struct lun_json object, const char *name) { return lun_json_get(object, name).n > 0; }
static void put(struct lun_buf *out, struct lun_json object, const char *name) { lun_remote_put(out, lun_json_get(object, name)); }

static void put_list(struct lun_buf *out, struct lun_json list)
{
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        if (e.index) lun_buf_puts(out, ", ");
        lun_remote_put(out, e.value);
    }
}

/* "a = 1, b = \"x\"" */
static void put_object(struct lun_buf *out, struct lun_json object)
{
    bool any = false;
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); any = true) {
        if (any) lun_buf_puts(out, ", ");
        lun_remote_put(out, e.key);
        lun_buf_puts(out, TIE "=" TIE);
        lun_remote_put(out, e.value);
    }
}

/* ---- lines ---- */

void lun_explain_head(struct lun_ink *i, const char *text)
{
    if (i->out->n) lun_buf_putc(i->out, '\n');
    put_in(i, bold, text);
    lun_buf_putc(i->out, '\n');
}

/* So much of the text as fits into `room` points, up to a blank where there is one. */
static size_t line_end(const char *text, size_t n, size_t room)
{
    size_t used, blank = 0, points = 0;
    for (size_t k = 0; k < n; k += used, points++) {
        lun_text_point(text + k, n - k, &used);
        if (points == room) return blank ? blank : k;
        if (text[k] == ' ') blank = k;
    }
    return n;
}

/* From column `from` on, which the line has come to; further lines begin there, too. */
static void put_wrapped(struct lun_buf *out, size_t from, const char *text, size_t n)
{
    for (bool first = true; n; first = false) {
        size_t k = line_end(text, n, WIDE - from);
        if (!first) pad(out, 0, from);
        lun_buf_add(out, text, k);
        lun_buf_putc(out, '\n');
        while (k < n && text[k] == ' ') k++;
        text += k, n -= k;
    }
}

void lun_explain_row(struct lun_ink *i, const char *name, const char *text)
{
    if (!*text) return;
    put_in(i, dim, name);
    pad(i->out, strlen(name), NAME);
    lun_buf_putc(i->out, ' ');
    put_wrapped(i->out, NAME + 1, text, strlen(text));
}

static void row(struct lun_ink *i, const char *name, struct lun_buf *text)
{
    lun_explain_row(i, name, lun_buf_text(text));
    lun_buf_free(text);
}

/* ---- the request ---- */

static void put_request(struct lun_ink *i, struct lun_json request, struct lun_json input)
{
    static const char *const who[] = { "key", "team", "user", "task", "class" };
    struct lun_buf b = {0};
    put(&b, request, "endpoint");
    lun_buf_puts(&b, " for "), put(&b, request, "model");
    if (has(request, "stream")) lun_buf_puts(&b, ", as a stream");
    for (size_t k = 0; k < sizeof who / sizeof *who; k++)
        if (has(request, who[k])) lun_buf_printf(&b, ", %s ", who[k]), put(&b, request, who[k]);
    row(i, "request", &b);
    put_object(&b, lun_json_get(request, "tags"));
    row(i, "tags", &b);
    if (input.n) {
        lun_buf_puts(&b, "about "), put(&b, input, "tokens"), lun_buf_puts(&b, " tokens in ");
        put(&b, input, "messages"), lun_buf_puts(&b, number(input, "messages") == 1 ? " message, " : " messages, ");
        put(&b, input, "words"), lun_buf_puts(&b, number(input, "words") == 1 ? " word in the last" : " words in the last");
        if (has(input, "max_tokens")) lun_buf_puts(&b, ", max_tokens "), put(&b, input, "max_tokens");
    }
    for (struct lun_json_each e = lun_json_each(input); lun_json_next(&e); )
        if (lun_json_true(e.value)) lun_buf_puts(&b, ", "), lun_remote_put(&b, e.key);
    row(i, "input", &b);
    put(&b, request, "policy");
    if (has(request, "settings")) lun_buf_puts(&b, " with "), put_object(&b, lun_json_get(request, "settings"));
    row(i, "policy", &b);
    put_object(&b, lun_json_get(request, "notes"));
    row(i, "noted", &b);
}

/* ---- hooks ---- */

static void put_answer(struct lun_buf *b, struct lun_json hook)
{
    struct lun_json answer = lun_json_get(hook, "answer");
    if (has(hook, "error")) lun_buf_puts(b, "failed: "), put(b, hook, "error");
    else if (!answer.n) lun_buf_puts(b, "nil: the default");
    for (struct lun_json_each e = lun_json_each(answer); lun_json_next(&e); ) {
        if (e.value.at != lun_json_each(answer).at && b->n) lun_buf_puts(b, b->at[b->n - 1] == ' ' ? "" : ", ");
        if (!lun_json_is(e.key, "labels") && !lun_json_is(e.key, "plan")) lun_remote_put(b, e.key), lun_buf_putc(b, ' ');
        if (lun_json_type(e.value) == LUN_JSON_ARRAY) put_list(b, e.value);
        else lun_remote_put(b, e.value);
    }
    lun_buf_puts(b, "  (");
    put(b, hook, has(hook, "ended_at") ? "ended_at" : "at");
    lun_buf_putc(b, ')');
}

static void put_looked_at(struct lun_buf *b, struct lun_json hook)
{
    bool any = false;
    for (struct lun_json_each e = lun_json_each(lun_json_get(hook, "looked_at")); lun_json_next(&e); any = true) {
        lun_buf_puts(b, any ? ", " : "; it saw ");
        put(b, e.value, "name");
        if (has(e.value, "value")) lun_buf_puts(b, TIE "=" TIE), put(b, e.value, "value");
    }
}

static void put_hooks(struct lun_ink *i, struct lun_json hooks)
{
    for (struct lun_json_each e = lun_json_each(hooks); lun_json_next(&e); ) {
        struct lun_buf name = {0}, b = {0};
        put(&name, e.value, "hook");
        put_answer(&b, e.value);
        put_looked_at(&b, e.value);
        lun_explain_row(i, lun_buf_text(&name), lun_buf_text(&b));
        lun_buf_free(&name), lun_buf_free(&b);
    }
}

/* ---- plan, targets, budgets ---- */

static void put_clocks(struct lun_buf *b, struct lun_json step)
{
    static const struct { const char *member, *name; } clocks[] = { { "connect_s", "connect" }, { "first_byte_s", "first" TIE "byte" }, { "idle_s", "idle" }, { "total_s", "total" },
                                                                    { "hedge_after_s", "hedge" TIE "after" }, { "wait_s", "wait" } };
    bool any = false;
    for (size_t k = 0; k < sizeof clocks / sizeof *clocks; k++) {
        if (!has(step, clocks[k].member)) continue;
        lun_buf_printf(b, "%s%s" TIE, any ? ", " : "", clocks[k].name);
        put_places(b, number(step, clocks[k].member), 3, TIE "s");
        any = true;
    }
}

static void put_money(struct lun_buf *b, struct lun_json step)
{
    if (has(step, "hold")) lun_buf_puts(b, "; holds "), put_usd(b, number(step, "hold"));
    if (has(step, "why")) lun_buf_puts(b, "; cannot be sent: "), put(b, step, "why");
    if (has(step, "rests")) lun_buf_puts(b, "; "), put(b, step, "rests");
    if (has(step, "warning")) lun_buf_puts(b, "; warns: "), put(b, step, "warning");
    for (struct lun_json_each e = lun_json_each(lun_json_get(step, "body")); lun_json_next(&e); ) {
        struct lun_json_each edit = lun_json_each(e.value);
        for (lun_buf_puts(b, e.index ? ", " : "; body: "); lun_json_next(&edit); ) {
            lun_remote_put(b, edit.key), lun_buf_putc(b, ' '), lun_remote_put(b, edit.value);
            if (edit.at < edit.end) lun_buf_putc(b, ' ');
        }
    }
}

static size_t widest(struct lun_json list, const char *member)
{
    size_t most = 0;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        struct lun_buf b = {0};
        put(&b, e.value, member);
        if (wide(&b) > most) most = wide(&b);
        lun_buf_free(&b);
    }
    return most < WIDE / 2 ? most : WIDE / 2;
}

static void put_plan(struct lun_ink *i, struct lun_json plan)
{
    struct lun_json steps = lun_json_get(plan, "steps");
    size_t name = widest(steps, "target");
    if (!plan.n) return;
    lun_explain_head(i, lun_json_is(lun_json_get(plan, "by"), "default") ? "plan: the default, in this order" : "plan, in this order");
    for (struct lun_json_each e = lun_json_each(steps); lun_json_next(&e); ) {
        struct lun_buf target = {0}, b = {0};
        put(&target, e.value, "target");
        lun_buf_printf(i->out, "%3zu ", e.index + 1);
        put_in(i, has(e.value, "why") || has(e.value, "rests") ? bad : good, lun_buf_text(&target));
        pad(i->out, wide(&target), name);
        lun_buf_puts(i->out, "  ");
        put_clocks(&b, e.value);
        put_money(&b, e.value);
        put_wrapped(i->out, 4 + name + 2, b.at, b.n);
        lun_buf_free(&target), lun_buf_free(&b);
    }
}

static bool same(struct lun_json a, struct lun_json b, const char *member)
{
    struct lun_json x = lun_json_get(a, member), y = lun_json_get(b, member);
    return x.n == y.n && (!x.n || !memcmp(x.at, y.at, x.n));
}

/* Left out for the same reason, in the same place. */
static bool together(struct lun_json a, struct lun_json b) { return has(a, "dropped") && same(a, b, "dropped") && same(a, b, "at"); }

static bool is_first(struct lun_json targets, struct lun_json target)
{
    struct lun_json_each e = lun_json_each(targets);
    while (lun_json_next(&e) && e.value.at != target.at) if (together(e.value, target)) return false;
    return true;
}

/* The names of all that were left out as this one was. */
static void put_group(struct lun_ink *i, struct lun_json targets, struct lun_json target)
{
    struct lun_buf b = {0};
    for (struct lun_json_each e = lun_json_each(targets); lun_json_next(&e); )
        if (together(e.value, target)) lun_buf_puts(&b, b.n ? ", " : ""), put(&b, e.value, "target");
    lun_buf_puts(&b, ": "), put(&b, target, "dropped");
    if (has(target, "at")) lun_buf_puts(&b, " ("), put(&b, target, "at"), lun_buf_putc(&b, ')');
    lun_buf_puts(i->out, "    ");
    put_wrapped(i->out, 4, b.at, b.n);
    lun_buf_free(&b);
}

static void put_dropped(struct lun_ink *i, struct lun_json targets)
{
    size_t n = 0;
    for (struct lun_json_each e = lun_json_each(targets); lun_json_next(&e); ) {
        if (!has(e.value, "dropped") || !is_first(targets, e.value)) continue;
        if (!n) lun_explain_head(i, "not in it");
        if (n++ < DROPPED_MOST) put_group(i, targets, e.value);
    }
    if (n > DROPPED_MOST) lun_buf_printf(i->out, "    and others, for %zu more reasons; --json has them all\n", n - DROPPED_MOST);
}

static void put_budgets(struct lun_ink *i, struct lun_json budgets)
{
    bool any = false;
    for (struct lun_json_each e = lun_json_each(budgets); lun_json_next(&e); ) {
        struct lun_buf b = {0};
        if (!has(e.value, "limit")) continue;
        if (!any) lun_explain_head(i, "budgets that it counts to");
        any = true;
        lun_buf_puts(&b, "    "), put(&b, e.value, "name"), lun_buf_puts(&b, ": ");
        put_usd(&b, number(e.value, "left")), lun_buf_puts(&b, " left of "), put_usd(&b, number(e.value, "limit"));
        if (number(e.value, "held") > 0) lun_buf_puts(&b, ", "), put_usd(&b, number(e.value, "held")), lun_buf_puts(&b, " held");
        lun_buf_putc(&b, '\n');
        lun_buf_add(i->out, b.at, b.n);
        lun_buf_free(&b);
    }
}

/* ---- what if ---- */

/* What followed the first attempt at the step in question. */
static void put_then(struct lun_buf *b, struct lun_json outcome, struct lun_json target)
{
    bool there = false, any = false;
    for (struct lun_json_each e = lun_json_each(lun_json_get(outcome, "attempts")); lun_json_next(&e); ) {
        struct lun_json who = lun_json_get(e.value, "target");
        bool same = who.n == target.n && !memcmp(who.at, target.at, who.n);
        if (!there) { there = same; continue; }
        lun_buf_puts(b, any ? ", " : "");
        any = true;
        if (same) lun_buf_puts(b, "again");
        else lun_remote_put(b, who);
        if (number(e.value, "at_ms") > 0) lun_buf_puts(b, " at" TIE), lun_explain_ms(b, number(e.value, "at_ms"));
        if (has(e.value, "hedge")) lun_buf_puts(b, " beside it");
        if (has(e.value, "kind") && !lun_json_is(lun_json_get(e.value, "kind"), "ok")) lun_buf_puts(b, " ("), put(b, e.value, "kind"), lun_buf_putc(b, ')');
    }
    if (!any) lun_buf_puts(b, "no other");
    if (has(outcome, "decided_at")) lun_buf_puts(b, " ("), put(b, outcome, "decided_at"), lun_buf_putc(b, ')');
}

static void put_gets(struct lun_buf *b, struct lun_json outcome)
{
    put(b, outcome, "status");
    if (has(outcome, "code")) lun_buf_putc(b, ' '), put(b, outcome, "code");
    if (has(outcome, "torn")) lun_buf_puts(b, ", cut");
    if (number(outcome, "latency_ms") > 0) lun_buf_puts(b, " in" TIE), lun_explain_ms(b, number(outcome, "latency_ms"));
    if (number(outcome, "retry_after_s") > 0) lun_buf_puts(b, ", retry-after "), put_places(b, number(outcome, "retry_after_s"), 0, TIE "s");
}

enum { WAYS = 30, THEN = 36,            /* columns */
       MANY = 5,                        /* ways that are not listed one by one */
       SHOWN = 3 };                     /* steps that fail */

static bool failed(struct lun_json outcome) { return number(outcome, "status") >= 400 || has(outcome, "torn"); }

/* One cell of several lines beside others: its next line. */
static void put_cell(struct lun_ink *i, const char *colour, const char **text, size_t *n, size_t room)
{
    size_t k = *n ? line_end(*text, *n, room) : 0, points = lun_text_points(*text, k);
    char *line = strndup(*text, k);
    if (colour && k) put_in(i, colour, line);
    else lun_buf_puts(i->out, line);
    free(line);
    pad(i->out, points, room);
    while (k < *n && (*text)[k] == ' ') k++;
    *text += k, *n -= k;
}

static void put_case(struct lun_ink *i, struct lun_json outcome, struct lun_json target, bool rest)
{
    struct lun_buf cells[3] = {0};
    if (rest) lun_buf_puts(&cells[0], "anything else");
    else put_list(&cells[0], lun_json_get(outcome, "ways"));
    put_then(&cells[1], outcome, target);
    put_gets(&cells[2], outcome);
    const char *at[3] = { lun_buf_text(&cells[0]), lun_buf_text(&cells[1]), lun_buf_text(&cells[2]) };
    size_t n[3] = { cells[0].n, cells[1].n, cells[2].n };
    while (n[0] || n[1] || n[2]) {
        lun_buf_puts(i->out, "    ");
        put_cell(i, NULL, &at[0], &n[0], WAYS - 2), lun_buf_puts(i->out, "  ");
        put_cell(i, NULL, &at[1], &n[1], THEN - 2), lun_buf_puts(i->out, "  ");
        put_cell(i, failed(outcome) ? bad : good, &at[2], &n[2], WIDE - 4 - WAYS - THEN);
        while (i->out->at[i->out->n - 1] == ' ') i->out->n--;
        lun_buf_putc(i->out, '\n');
    }
    for (int k = 0; k < 3; k++) lun_buf_free(&cells[k]);
}

/* What most ways come to is told last, and in two words. */
static void put_cases(struct lun_ink *i, struct lun_json cases, struct lun_json target)
{
    struct lun_json most = {0};
    size_t ways = MANY - 1;
    for (struct lun_json_each e = lun_json_each(cases); lun_json_next(&e); ) {
        size_t n = lun_json_count(lun_json_get(e.value, "ways"));
        if (n > ways) most = e.value, ways = n;
    }
    for (struct lun_json_each e = lun_json_each(cases); lun_json_next(&e); ) if (e.value.at != most.at) put_case(i, e.value, target, false);
    if (most.n) put_case(i, most, target, true);
}

static bool is_among(struct lun_json list, struct lun_json text)
{
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) if (e.value.n == text.n && !memcmp(e.value.at, text.at, text.n)) return true;
    return false;
}

/* Whether the client gets the same where in the first of these ways the step before it all fails alone. */
static bool is_told(struct lun_json cases, struct lun_json outcome)
{
    struct lun_json way = lun_json_path(outcome, "ways.0");
    for (struct lun_json_each e = lun_json_each(cases); lun_json_next(&e); )
        if (is_among(lun_json_get(e.value, "ways"), way)) return same(e.value, outcome, "status") && same(e.value, outcome, "code");
    return false;
}

/* All steps in the same way: only where the client gets another answer than where the last of them fails so. */
static void put_all(struct lun_ink *i, struct lun_json whole)
{
    struct lun_json steps = lun_json_get(whole, "what_if"), last = {0}, first = lun_json_path(steps, "0.target");
    bool any = false;
    for (struct lun_json_each e = lun_json_each(steps); lun_json_next(&e); ) last = lun_json_get(e.value, "cases");
    for (struct lun_json_each e = lun_json_each(lun_json_get(whole, "what_if_all")); lun_json_next(&e); ) {
        if (is_told(last, e.value)) continue;
        if (!any) put_in(i, bold, "what if all fail in the same way"), lun_buf_putc(i->out, '\n');
        any = true;
        put_case(i, e.value, first, false);
    }
}

static void put_attempt(struct lun_ink *i, struct lun_json a)
{
    struct lun_buf b = {0};
    lun_explain_ms(&b, number(a, "at_ms"));
    lun_buf_puts(i->out, "    at "), lun_buf_add(i->out, b.at, b.n), pad(i->out, wide(&b), NAME);
    b.n = 0;
    put(&b, a, "target"), lun_buf_puts(&b, ": "), put(&b, a, "kind");
    if (number(a, "ms") > 0) lun_buf_puts(&b, " after" TIE), lun_explain_ms(&b, number(a, "ms"));
    if (has(a, "hedge")) lun_buf_puts(&b, ", beside the one before");
    if (has(a, "detail")) lun_buf_puts(&b, ": "), put(&b, a, "detail");
    put_wrapped(i->out, 4 + 3 + NAME, b.at, b.n);
    lun_buf_free(&b);
}

static void put_combined(struct lun_ink *i, struct lun_json combined)
{
    struct lun_buf b = {0};
    struct lun_json_each e = lun_json_each(lun_json_get(combined, "failing"));
    if (!combined.n) return;
    for (lun_buf_puts(&b, "what if "); lun_json_next(&e); ) {
        lun_buf_puts(&b, e.index ? ", " : ""), put(&b, e.value, "target");
        lun_buf_puts(&b, ": "), put(&b, e.value, "way");
    }
    lun_explain_head(i, lun_buf_text(&b));
    b.n = 0;
    for (e = lun_json_each(lun_json_get(combined, "attempts")); lun_json_next(&e); ) put_attempt(i, e.value);
    lun_buf_puts(&b, "the client gets "), put_gets(&b, combined);
    if (has(combined, "message")) lun_buf_puts(&b, ": "), put(&b, combined, "message");
    lun_buf_puts(i->out, "    ");
    put_wrapped(i->out, 4, b.at, b.n);
    lun_buf_free(&b);
}

static void put_what_if(struct lun_ink *i, struct lun_json whole)
{
    struct lun_buf b = {0};
    struct lun_json well = lun_json_get(whole, "well");
    if (!well.n) return;
    if (has(well, "target")) put(&b, well, "target"), lun_buf_puts(&b, " answers: ");
    put_gets(&b, well);
    lun_explain_head(i, "if all goes well");
    if (has(well, "message")) lun_buf_puts(&b, ": "), put(&b, well, "message");
    lun_buf_puts(i->out, "    ");
    put_wrapped(i->out, 4, b.at, b.n);
    lun_buf_free(&b);
    struct lun_json steps = lun_json_get(whole, "what_if");
    size_t n = lun_json_count(steps);
    for (struct lun_json_each e = lun_json_each(steps); lun_json_next(&e); ) {
        if (n > SHOWN && e.index == SHOWN - 2) lun_buf_printf(i->out, "then %zu steps more, which --json has\n", n - SHOWN + 1);
        if (n > SHOWN && e.index >= SHOWN - 2 && e.index < n - 1) continue;
        lun_buf_printf(&b, "what if %s", e.index ? "then " : "");
        put(&b, e.value, "target");
        lun_buf_puts(&b, " fails");
        if (!e.index) lun_buf_puts(&b, "  "), pad(&b, wide(&b), 4 + WAYS), lun_buf_puts(&b, "next"), pad(&b, wide(&b), 4 + WAYS + THEN), lun_buf_puts(&b, "the client gets"), lun_buf_putc(i->out, '\n');
        put_in(i, bold, lun_buf_text(&b));
        lun_buf_putc(i->out, '\n');
        lun_buf_free(&b);
        put_cases(i, lun_json_get(e.value, "cases"), lun_json_get(e.value, "target"));
    }
    put_all(i, whole);
    put_combined(i, lun_json_get(whole, "combined"));
}

void lun_explain_put(struct lun_ink *i, struct lun_json whole)
{
    struct lun_json why = lun_json_get(whole, "explanation");
    put_request(i, lun_json_get(whole, "request"), lun_json_get(why, "input"));
    put_hooks(i, lun_json_get(why, "hooks"));
    put_plan(i, lun_json_get(why, "plan"));
    put_dropped(i, lun_json_get(why, "targets"));
    put_budgets(i, lun_json_get(why, "budgets"));
    put_what_if(i, whole);
}

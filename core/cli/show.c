#include "base/alloc.h"
#include "base/http.h"
#include "cli/cli.h"
#include "cli/explain_text.h"
#include "cli/print.h"
#include "cli/remote.h"
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char lun_usage_show[] =
    "usage: lunette show ID [--body|--answer] [--admin ADDR] [--json]\n"
    "\n"
    "One of the last requests of a running gateway that is over: who asked what, what was decided and why, each attempt with its times, what it cost. ID: ours\n"
    "(`x-lunette-request-id`), the client's own (`x-request-id`) or a provider's; of several of the same the latest. Why it was decided so is known of requests that\n"
    "failed or fell back, of one in 256, and, with the lines of the policy, of those that were sent with `x-lunette-explain: 1` by who may (`trust`).\n"
    "  --body         prints the body of the request, where `capture` has kept it: lunette show ID --body | lunette explain -\n"
    "  --answer       likewise the last answer; of a stream the whole answer that its events come to\n"
    LUN_REMOTE_HELP;

static double number(struct lun_json object, const char *name)
{
    double x;
    return lun_json_double(lun_json_get(object, name), &x) ? x : NAN;
}

static void put(struct lun_buf *out, struct lun_json object, const char *name) { lun_remote_put(out, lun_json_get(object, name)); }

static void put_also(struct lun_buf *out, const char *before, struct lun_json object, const char *name)
{
    if (!lun_json_get(object, name).n) return;
    lun_buf_puts(out, before);
    put(out, object, name);
}

/* ---- how it went ---- */

static void put_end(struct lun_ink *ink, struct lun_json request)
{
    struct lun_buf b = {0};
    put(&b, request, "status");
    put_also(&b, " ", request, "code");
    if (lun_json_true(lun_json_get(request, "torn"))) lun_buf_puts(&b, ", cut");
    put_also(&b, " from ", request, "target");
    if (lun_json_true(lun_json_get(request, "fallback"))) lun_buf_puts(&b, " (not the first step)");
    put_also(&b, ", cache ", request, "cache");
    lun_buf_puts(&b, ", after "), lun_explain_ms(&b, number(request, "latency_ms"));
    if (number(request, "overhead_ms") >= 0) lun_buf_puts(&b, " of which "), lun_explain_ms(&b, number(request, "overhead_ms")), lun_buf_puts(&b, " were ours");
    put_also(&b, ", cost $", request, "cost");
    lun_explain_row(ink, "answer", lun_buf_text(&b));
    lun_buf_free(&b);
}

static void put_attempt(struct lun_ink *ink, struct lun_json a)
{
    struct lun_buf at = {0}, b = {0};
    lun_explain_ms(&at, number(a, "at_ms"));
    put(&b, a, "target"), put_also(&b, ": ", a, "kind"), put_also(&b, " ", a, "status");
    lun_buf_puts(&b, " after "), lun_explain_ms(&b, number(a, "ms"));
    if (number(a, "waited_ms") > 0) lun_buf_puts(&b, ", of which it waited "), lun_explain_ms(&b, number(a, "waited_ms"));
    if (lun_json_true(lun_json_get(a, "hedge"))) lun_buf_puts(&b, ", beside the one before");
    put_also(&b, ", key ", a, "key");
    put_also(&b, ", billed ", a, "billed"), put_also(&b, ", cost $", a, "cost");
    put_also(&b, ", its id ", a, "provider_request_id"), put_also(&b, ": ", a, "detail");
    lun_explain_row(ink, lun_buf_text(&at), lun_buf_text(&b));
    lun_buf_free(&at), lun_buf_free(&b);
}

static void put_attempts(struct lun_ink *ink, struct lun_json request)
{
    struct lun_json_each e = lun_json_each(lun_json_get(request, "attempts"));
    for (bool any = false; lun_json_next(&e); any = true) {
        if (!any) lun_explain_head(ink, "what was tried");
        put_attempt(ink, e.value);
    }
}

static void put_dropped(struct lun_ink *ink, struct lun_json request)
{
    struct lun_json_each e = lun_json_each(lun_json_get(request, "dropped"));
    for (bool any = false; lun_json_next(&e); any = true) {
        struct lun_buf b = {0};
        if (!any) lun_explain_head(ink, "left out");
        lun_remote_put(&b, e.key), lun_buf_puts(&b, ": "), lun_remote_put(&b, e.value);
        lun_explain_row(ink, "", lun_buf_text(&b));
        lun_buf_free(&b);
    }
}

static void put_ids(struct lun_ink *ink, struct lun_json request)
{
    struct lun_buf b = {0};
    put(&b, request, "id");
    put_also(&b, ", the client's ", request, "client_request_id");
    put_also(&b, ", at ", request, "time");
    lun_explain_row(ink, "id", lun_buf_text(&b));
    lun_buf_free(&b);
}

static void put_labels(struct lun_ink *ink, struct lun_json request)
{
    struct lun_buf b = {0};
    for (struct lun_json_each e = lun_json_each(lun_json_get(request, "labels")); lun_json_next(&e); ) {
        if (e.index) lun_buf_puts(&b, ", ");
        lun_remote_put(&b, e.value);
    }
    lun_explain_row(ink, "labels", lun_buf_text(&b));
    lun_buf_free(&b);
}

static void put_captured(struct lun_ink *ink, struct lun_json captured)
{
    struct lun_buf b = {0};
    if (!captured.n) return;
    size_t n = lun_json_count(lun_json_get(captured, "answers"));
    lun_buf_printf(&b, "the body of the request and %zu answer%s; --body prints the first, --answer the last, --json all", n, n == 1 ? "" : "s");
    lun_explain_row(ink, "captured", lun_buf_text(&b));
    lun_buf_free(&b);
}

static void put_all(struct lun_ink *ink, struct lun_json whole)
{
    struct lun_json request = lun_json_get(whole, "request");
    bool explained = lun_json_type(lun_json_get(whole, "explanation")) == LUN_JSON_OBJECT;
    put_ids(ink, request);
    put_end(ink, request);
    put_captured(ink, lun_json_get(whole, "captured"));
    put_labels(ink, request);
    lun_explain_put(ink, whole);
    if (!explained) put_dropped(ink, request);
    put_attempts(ink, request);
    if (!explained) lun_buf_puts(ink->out, "\nWhy it was decided so was not kept: send it with `x-lunette-explain: 1`, or see `lunette explain`.\n");
}

/* ---- asking ---- */

static void put_escaped(struct lun_buf *out, const char *id)
{
    for (; *id; id++) {
        bool plain = (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') || (*id >= '0' && *id <= '9') || strchr("-._~", *id);
        lun_buf_printf(out, plain ? "%c" : "%%%02X", (unsigned char)*id);
    }
}

enum part { ALL, BODY, ANSWER };

static int missing(const char *why)
{
    fprintf(stderr, "lunette show: %s\n", why);
    return 1;
}

static int put_body(struct lun_buf *out, struct lun_json whole)
{
    if (lun_json_string(lun_json_path(whole, "captured.request"), false, out)) return 0;
    return missing("its body was not kept: `capture` in gateway.lua says of which requests it is");
}

static int put_answer(struct lun_buf *out, struct lun_json whole)
{
    struct lun_json answers = lun_json_path(whole, "captured.answers"), last = {0};
    for (struct lun_json_each e = lun_json_each(answers); lun_json_next(&e); ) last = e.value;
    if (lun_json_string(lun_json_get(last, "body"), false, out)) return 0;
    if (lun_json_is(lun_json_get(last, "left_out"), "too_large")) return missing("its stream was too large to be kept");
    if (last.n) return missing("its stream has parts that cannot be put together to an answer, so it was not kept");
    return missing(answers.n ? "nobody answered it" : "its answer was not kept: `capture` in gateway.lua says of which requests it is");
}

static int show(const struct lun_remote *r, const char *id, enum part part, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf path = {0}, out = {0};
    struct lun_ink ink = { &out, lun_ink_wanted(stdout) };
    lun_buf_puts(&path, "/admin/requests/");
    put_escaped(&path, id);
    int status = lun_remote_get(r, lun_buf_text(&path), json, &answer);
    if (json) lun_remote_print_json(&answer);
    else if (!status && part != ALL) status = (part == BODY ? put_body : put_answer)(&out, answer.json);
    else if (!status) put_all(&ink, answer.json), lun_ink_end(&ink);
    lun_print(&out, stdout);
    lun_remote_answer_free(&answer);
    lun_buf_free(&path);
    return status;
}

int lun_command_show(int argc, char **argv)
{
    static const struct option options[] = { { "admin", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' }, { "body", no_argument, NULL, 'b' },
        { "answer", no_argument, NULL, 'w' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL;
    bool json = false;
    enum part part = ALL;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_show, stdout) < 0;
        if (c == '?') return fputs(lun_usage_show, stderr), 2;
        if (c == 'a') admin = optarg;
        json |= c == 'j';
        if (c == 'b' || c == 'w') part = c == 'b' ? BODY : ANSWER;
    }
    if (argc - optind != 1 || !*argv[optind]) return fputs(lun_usage_show, stderr), 2;
    int status = lun_remote_open(&remote, "show", admin);
    if (!status) status = show(&remote, argv[optind], part, json);
    lun_remote_free(&remote);
    return status;
}

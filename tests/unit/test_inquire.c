/* Questions of a host program, from memory: the real walk and policy machine, scripted providers, a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "gateway/inquire.h"
#include "gateway/simulate.h"
#include "script/load.h"
#include "state/registry.h"
#include "state/store.h"

#define KEY "sk-of-the-app"
#define TEST(name) static void name(void **state)
#define H struct house *h = *state

static const char config[] =
    "return { policy = 'policy.lua', keepalive = 15, log = {},\n"
    "  providers = { a = { dialect = 'openai', script = 'a.lua', timeouts = { connect = 0.5, first_byte = 8 } },\n"
    "                b = { dialect = 'openai', base_url = 'https://api.example.com/v1' } },\n"
    "  models = { small = { { provider = 'a', model = 'a-small', price = { input = 1, output = 2 } } },\n"
    "             large = { { provider = 'b', model = 'b-large', name = 'big', price = { input = 10, output = 20 } } } },\n"
    "  clients = { { name = 'app', hash = '%s', requests_per_minute = 3 } } }\n";
static const char policy[] =
    "local lunette = require 'lunette'\n"
    "return {\n"
    "  classify = function(request)\n"
    "    if request.text == 'wait' then lunette.sleep(5) end\n"
    "    return { 'first', request.task or 'none' }\n"
    "  end,\n"
    "  budget = function(request) if request.text == 'dear' then return lunette.refuse { message = 'Enough.' } end end,\n"
    "  select = function(request, targets)\n"
    "    if request.model == 'auto' then return targets:of('large'):steps { first_byte = 2, hedge_after = 0.5, wait = 3,\n"
    "      set = { seed = 7 }, drop = 'user', rename = { max_tokens = 'max_completion_tokens' } } .. targets:of('small') end\n"
    "  end,\n"
    "  finish = function(request, outcome) lunette.store.set('finished', outcome.status) end,\n"
    "}\n";
static const char script[] =
    "return function(request, n)\n"
    "  if request.text == 'fail' then return { status = 400, body = { error = { message = 'no', type = 'invalid_request_error' } } } end\n"
    "  return { text = 'hello you', after = 1, every = 1 }\n"
    "end\n";

struct house { struct lun_simulation *simulation; struct lun_station *station; struct lun_inquiries all; struct lun_buf lines; };

/* What a host program hears. `stop_at`: at which callback it cancels, 'h', 'b' or 'e'; by `hand`: with lun_inquire_cancel instead of false. */
struct heard {
    struct lunette_call *call;
    int heads, pieces, ends, status;
    bool clean;
    struct lun_buf bytes;
    char type[64], target[64], cost[32];
    char stop_at; bool hand;
    int told;                           /* after it had cancelled: must stay 0 */
    bool stopped;
};

static void take_line(void *self, const char *text, size_t n)
{
    struct house *h = self;
    lun_buf_add(&h->lines, text, n);
    lun_buf_putc(&h->lines, '\n');
}

static int setup(void **state)
{
    struct house *h = *state = lun_zalloc(sizeof *h);
    struct lun_file files[] = { { "policy.lua", policy, sizeof policy - 1 }, { "a.lua", script, sizeof script - 1 } };
    struct lun_load_options options = { .environment = (const char *const[]){ NULL }, .cpu = LUN_CPU_STEPS, .files = files, .n_files = 2 };
    struct lun_mistakes mistakes = {0};
    struct lun_buf why = {0};
    unsigned char sum[LUN_KEY_HASH];
    char hash[80] = "sha256:", text[sizeof config + sizeof hash], *error = NULL;
    assert_true(lun_key_hash(KEY, strlen(KEY), sum));
    for (int i = 0; i < LUN_KEY_HASH; i++) sprintf(hash + 7 + 2 * i, "%02x", sum[i]);
    int n = snprintf(text, sizeof text, config, hash);
    struct lun_snapshot *snapshot = lun_load_text("gateway.lua", text, (size_t)n, "", &options, &mistakes);
    lun_mistakes_print(&mistakes, &why);
    if (!snapshot) fail_msg("%s", lun_buf_text(&why));
    lun_mistakes_free(&mistakes);
    h->simulation = lun_simulation_new(snapshot, &(struct lun_simulation_options){ .line = take_line, .line_self = h }, &error);
    if (!h->simulation) fail_msg("%s", error);
    h->station = lun_simulation_station(h->simulation);
    return 0;
}

static int teardown(void **state)
{
    H;
    assert_null(h->all.first);
    lun_simulation_advance(h->simulation, 60 * LUN_SECOND);
    assert_int_equal(h->station->open, 0);
    lun_simulation_free(h->simulation);
    lun_buf_free(&h->lines);
    free(h);
    return 0;
}

static void run(struct house *h, double seconds) { assert_true(lun_simulation_advance(h->simulation, lun_us_from_seconds(seconds))); }
static const char *lines(struct house *h) { return lun_buf_text(&h->lines); }
static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

static const char *value(const struct lunette_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) if (!strcmp(headers[i].name, name)) return headers[i].value;
    return "";
}

static bool go_on(struct heard *q, char at)
{
    if (q->stopped) q->told++;
    if (q->stop_at != at) return true;
    q->stopped = true;
    if (q->hand) lun_inquire_cancel(q->call);
    return q->hand;
}

static bool on_head(void *user, int status, const struct lunette_header *headers, size_t n)
{
    struct heard *q = user;
    q->heads++;
    q->status = status;
    snprintf(q->type, sizeof q->type, "%s", value(headers, n, "content-type"));
    snprintf(q->target, sizeof q->target, "%s", value(headers, n, "x-lunette-target"));
    return go_on(q, 'h');
}

static bool on_bytes(void *user, const char *bytes, size_t n)
{
    struct heard *q = user;
    q->pieces++;
    lun_buf_add(&q->bytes, bytes, n);
    return go_on(q, 'b');
}

static void on_end(void *user, bool clean, const struct lunette_header *trailers, size_t n)
{
    struct heard *q = user;
    if (q->stopped) q->told++;
    q->ends++;
    q->clean = clean;
    snprintf(q->cost, sizeof q->cost, "%s", value(trailers, n, "x-lunette-cost"));
    if (q->stop_at == 'e') lun_inquire_cancel(q->call);
}

static const struct lunette_callbacks callbacks = { sizeof callbacks, on_head, on_bytes, on_end };

#define CHAT(model, text, more) "{\"model\":\"" model "\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]" more "}"
static struct lunette_query query(const char *body)
{
    return (struct lunette_query){ .size = sizeof(struct lunette_query), .body = body, .length = strlen(body), .key = KEY };
}

static void ask(struct house *h, struct heard *q, struct lunette_query in)
{
    q->call = lun_inquire(&h->all, h->station, &in, &callbacks, q);
    assert_non_null(q->call);
    assert_int_equal(q->heads + q->ends, 0);            /* nothing is told inside */
}

static const char *text_of(struct heard *q) { return lun_buf_text(&q->bytes); }

static void over(struct heard *q) { lun_buf_free(&q->bytes); }

static void answered(struct house *h, const char *body, int status, const char *part)
{
    struct heard q = {0};
    ask(h, &q, query(body));
    run(h, 30);
    assert_int_equal(q.heads + q.ends, 2);
    assert_int_equal(q.status, status);
    if (!has(text_of(&q), part)) fail_msg("'%s' does not say '%s'", text_of(&q), part);
    over(&q);
}

/* ---- asking ---- */

TEST(a_whole_answer_is_told_as_head_bytes_and_a_clean_end)
{
    H;
    struct heard q = {0};
    ask(h, &q, query(CHAT("small", "hi", "")));
    run(h, 0.5);
    assert_int_equal(q.heads, 0);
    run(h, 10);
    assert_int_equal(q.status, 200);
    assert_string_equal(q.type, "application/json");
    assert_string_equal(q.target, "a/a-small");
    assert_true(has(text_of(&q), "hello you"));
    assert_int_equal(q.pieces, 1);
    assert_true(q.ends == 1 && q.clean);
    assert_true(has(lines(h), "\"status\":200"));
    over(&q);
}

TEST(a_stream_is_told_event_by_event_and_its_cost_at_the_end)
{
    H;
    struct heard q = {0};
    ask(h, &q, query(CHAT("small", "hi", ",\"stream\":true")));
    run(h, 1.5);
    assert_int_equal(q.heads, 1);
    assert_true(has(q.type, "text/event-stream"));
    assert_false(has(text_of(&q), "[DONE]"));
    run(h, 30);
    assert_true(q.pieces > 2);
    assert_true(has(text_of(&q), "data: [DONE]\n\n"));
    assert_true(q.ends == 1 && q.clean);
    assert_true(strlen(q.cost));
    over(&q);
}

TEST(a_provider_s_refusal_is_an_answer)
{
    H;
    answered(h, CHAT("small", "fail", ""), 400, "\"error\"");
}

TEST(a_body_that_is_no_json_is_answered_with_400)
{
    H;
    answered(h, "{nonsense", 400, "\"code\":\"invalid_request\"");
    answered(h, "", 400, "\"code\":\"invalid_request\"");
    assert_true(has(lines(h), "\"code\":\"invalid_request\""));
}

TEST(an_unknown_model_is_answered_with_404)
{
    H;
    answered(h, CHAT("smal", "hi", ""), 404, "Did you mean `small`?");
}

TEST(only_clients_of_the_configuration_may_ask)
{
    H;
    struct heard q = {0}, p = {0};
    struct lunette_query in = query(CHAT("small", "hi", ""));
    in.key = "sk-unknown";
    ask(h, &q, in);
    in.key = NULL;
    ask(h, &p, in);
    run(h, 1);
    assert_int_equal(q.status, 401);
    assert_string_equal(q.type, "application/json");
    assert_true(has(text_of(&q), "\"code\":\"invalid_key\"") && has(text_of(&q), "not known"));
    assert_false(has(text_of(&q), "sk-unknown"));
    assert_true(has(text_of(&p), "There is no key"));
    assert_true(q.clean && p.clean);
    over(&q), over(&p);
}

TEST(a_client_s_own_rate_counts)
{
    H;
    struct heard q[4] = {{0}};
    for (int i = 0; i < 4; i++) ask(h, &q[i], query(CHAT("small", "hi", "")));
    run(h, 30);
    for (int i = 0; i < 3; i++) assert_int_equal(q[i].status, 200);
    assert_int_equal(q[3].status, 429);
    for (int i = 0; i < 4; i++) over(&q[i]);
}

TEST(what_is_wrong_with_the_query_itself_is_told)
{
    H;
    struct heard q[4] = {{0}};
    struct lunette_header header = { "x-one", "a\r\nb: c" }, no_name = { "x one", "a" };
    struct lunette_query in = query(CHAT("small", "hi", ""));
    in.endpoint = "chats", ask(h, &q[0], in), in.endpoint = NULL;
    in.headers = &header, in.n_headers = 1, ask(h, &q[1], in);
    in.headers = &no_name, ask(h, &q[2], in);
    in.size = 0, ask(h, &q[3], in);
    run(h, 1);
    assert_int_equal(q[0].status, 404);
    assert_true(has(text_of(&q[0]), "chat completions embeddings"));
    for (int i = 1; i < 4; i++) assert_int_equal(q[i].status, 400);
    assert_true(has(text_of(&q[3]), "sizeof"));
    for (int i = 0; i < 4; i++) over(&q[i]);
}

TEST(a_larger_body_than_the_limit_is_answered_with_413)
{
    H;
    struct heard q = {0};
    size_t n = (size_t)h->station->snapshot->limits.body + 1;
    char *body = lun_zalloc(n + 1);
    memset(body, ' ', n);
    ask(h, &q, query(body));
    free(body);
    run(h, 1);
    assert_int_equal(q.status, 413);
    over(&q);
}

TEST(headers_are_read_in_any_case_and_copied)
{
    H;
    struct heard q = {0};
    char name[] = "X-Lunette-Task", task[] = "sums", body[] = CHAT("small", "hi", "");
    struct lunette_header header = { name, task };
    struct lunette_query in = query(body);
    in.headers = &header, in.n_headers = 1;
    ask(h, &q, in);
    memset(name, 'x', strlen(name)), memset(task, 'x', strlen(task)), memset(body, 'x', strlen(body));
    run(h, 10);
    assert_int_equal(q.status, 200);
    assert_true(has(lines(h), "\"labels\":[\"first\",\"sums\"]"));
    over(&q);
}

TEST(the_deadline_is_the_sooner_of_the_query_s_and_the_configuration_s)
{
    H;
    struct heard q = {0}, p = {0};
    struct lunette_query in = query(CHAT("small", "wait", ""));
    in.deadline = 0.25;
    ask(h, &q, in);
    in.deadline = 1e300;
    ask(h, &p, in);
    run(h, 0.3);
    assert_int_equal(q.status, 504);
    assert_int_equal(p.heads, 0);
    run(h, 10);
    assert_int_equal(p.status, 200);
    over(&q), over(&p);
}

/* ---- cancelling ---- */

static void stops(struct house *h, char at, bool hand, const char *body)
{
    struct heard q = { .stop_at = at, .hand = hand };
    ask(h, &q, query(body));
    run(h, 30);
    assert_int_equal(q.told, 0);
    assert_int_equal(q.heads, 1);
    assert_int_equal(q.pieces, at != 'h');
    assert_int_equal(q.ends, 0);
    assert_null(h->all.first);
    over(&q);
}

TEST(false_from_a_callback_cancels_and_nothing_more_is_told)
{
    H;
    stops(h, 'h', false, CHAT("small", "hi", ",\"stream\":true"));
    stops(h, 'b', false, CHAT("small", "hi", ",\"stream\":true"));
    assert_true(has(lines(h), "\"status\":499"));
    run(h, 60);
    stops(h, 'b', false, CHAT("small", "hi", ""));
}

TEST(cancelling_inside_a_callback_is_the_same)
{
    H;
    stops(h, 'h', true, CHAT("small", "hi", ",\"stream\":true"));
    stops(h, 'b', true, CHAT("small", "hi", ",\"stream\":true"));
    run(h, 60);
    stops(h, 'h', true, CHAT("small", "hi", ""));
}

TEST(a_refusal_can_be_cancelled_inside_its_callbacks_too)
{
    H;
    stops(h, 'h', false, "{");
    stops(h, 'b', false, "{");
    stops(h, 'h', true, "{");
    stops(h, 'b', true, "{");
}

TEST(cancelling_after_the_end_was_told_does_no_harm_while_inside_of_it)
{
    H;
    struct heard q = { .stop_at = 'e' };
    ask(h, &q, query(CHAT("small", "hi", "")));
    run(h, 10);
    assert_true(q.ends == 1 && q.clean);
    over(&q);
}

TEST(cancelling_from_outside_closes_what_is_in_flight)
{
    H;
    struct heard q = {0}, r = {0};
    ask(h, &q, query(CHAT("small", "hi", ",\"stream\":true")));
    ask(h, &r, query("{"));
    lun_inquire_cancel(r.call);                         /* before it was told that it is refused */
    run(h, 0.5);
    lun_inquire_cancel(q.call);
    run(h, 0);
    assert_int_equal(h->station->open, 0);
    run(h, 30);
    assert_int_equal(q.heads + q.ends + r.heads + r.ends, 0);
    assert_true(has(lines(h), "\"status\":499") && has(lines(h), "\"status\":400"));
    over(&q), over(&r);
}

struct again { struct house *h; struct heard q; int left; };
static void once_more(void *user, bool clean, const struct lunette_header *trailers, size_t n)
{
    struct again *a = user;
    struct lunette_query in = query("{");
    (void)clean, (void)trailers, (void)n;
    if (a->left--) lun_inquire(&a->h->all, a->h->station, &in, &(struct lunette_callbacks){ sizeof callbacks, NULL, NULL, once_more }, a);
}

TEST(a_callback_may_ask_again)
{
    H;
    struct again a = { .h = h, .left = 1000 };
    once_more(&a, true, NULL, 0);
    run(h, 1);
    assert_int_equal(a.left, -1);
}

TEST(callbacks_may_be_left_out)
{
    H;
    struct lunette_query in = query(CHAT("small", "hi", ""));
    assert_non_null(lun_inquire(&h->all, h->station, &in, &(struct lunette_callbacks){ .size = sizeof callbacks }, NULL));
    run(h, 10);
    assert_null(h->all.first);
}

/* ---- the gateway's own end ---- */

TEST(who_asks_while_it_stops_is_answered_with_503)
{
    H;
    h->all.closed = true;
    answered(h, CHAT("small", "hi", ""), 503, "The gateway is stopping.");
}

TEST(what_is_left_at_the_end_is_told_that_it_is_torn)
{
    H;
    struct heard q = {0}, r = {0};
    ask(h, &q, query(CHAT("small", "hi", "")));
    ask(h, &r, query("{"));
    lun_inquiries_end(&h->all);
    assert_true(q.ends == 1 && !q.clean && r.ends == 1 && !r.clean);
    run(h, 0);
    assert_int_equal(h->station->open, 0);
    struct lunette_query in = query("{");
    assert_null(lun_inquire(&h->all, h->station, &in, &callbacks, &q));
    over(&q), over(&r);
}

TEST(a_query_can_be_copied_for_another_thread)
{
    H;
    struct heard q = {0};
    char name[] = "x-lunette-task", task[] = "sums", body[] = CHAT("small", "hi", ""), key[] = KEY, endpoint[] = "chat";
    struct lunette_header header = { name, task };
    struct lunette_query in = { sizeof in, endpoint, body, strlen(body), key, &header, 1, 5 }, *copy = lun_query_copy(&in);
    memset(name, 'x', strlen(name)), memset(task, 'x', strlen(task)), memset(body, 'x', strlen(body)), memset(key, 'x', strlen(key)), memset(endpoint, 'x', 4);
    ask(h, &q, *copy);
    free(copy);
    run(h, 10);
    assert_int_equal(q.status, 200);
    assert_true(has(lines(h), "sums"));
    over(&q);
}

/* ---- deciding ---- */

struct decided { int n, status; char code[32], message[200], labels[64], steps[400], edits[200], version[64], id[40]; double last_wait; struct lunette_step first;
                 struct lunette_call *call; };

static void on_decided(void *user, const struct lunette_decision *d)
{
    struct decided *out = user;
    out->n++;
    out->status = d->status;
    snprintf(out->code, sizeof out->code, "%s", d->code ? d->code : "");
    snprintf(out->message, sizeof out->message, "%s", d->message ? d->message : "");
    snprintf(out->version, sizeof out->version, "%s", d->version);
    snprintf(out->id, sizeof out->id, "%s", d->request_id);
    for (size_t i = 0; i < d->n_labels; i++) strcat(strcat(out->labels, d->labels[i]), " ");
    for (size_t i = 0; i < d->n_steps; i++) {
        const struct lunette_step *s = d->steps[i];
        if (!i) out->first = *s;
        size_t at = strlen(out->steps);
        snprintf(out->steps + at, sizeof out->steps - at, "%s %s %s %s %s\n", s->target, s->model, s->upstream_model, s->provider, s->base_url ? s->base_url : "-");
        out->last_wait = s->wait;
        for (size_t e = 0; e < s->n_edits; e++) {
            at = strlen(out->edits);
            snprintf(out->edits + at, sizeof out->edits - at, "%d:%d %s %s\n", (int)i, (int)s->edits[e].what, s->edits[e].field, s->edits[e].value ? s->edits[e].value : "-");
        }
    }
}

static struct decided decide(struct house *h, const char *body)
{
    struct decided d = {0};
    struct lunette_query in = query(body);
    d.call = lun_inquire_decision(&h->all, h->station, &in, on_decided, &d);
    assert_int_equal(d.n, 0);
    run(h, 10);
    assert_int_equal(d.n, 1);
    assert_null(h->all.first);
    return d;
}

TEST(a_decision_holds_labels_and_the_steps_of_the_plan)
{
    H;
    struct decided d = decide(h, CHAT("auto", "hi", ",\"stream\":true"));
    assert_int_equal(d.status, 200);
    assert_string_equal(d.code, "");
    assert_string_equal(d.labels, "first none ");
    assert_string_equal(d.steps, "big large b-large b https://api.example.com/v1\na/a-small small a-small a -\n");
    assert_true(d.first.wait == 3 && d.last_wait < 0);
    for (const char **e = (const char *[]){ "0:0 seed 7\n", "0:1 user -\n", "0:2 max_tokens max_completion_tokens\n", NULL }; *e; e++) assert_true(has(d.edits, *e));
    assert_true(d.first.connect == 5 && d.first.first_byte == 2 && d.first.idle == 60 && d.first.total == 600 && d.first.hedge_after == 0.5);
    assert_true(!strncmp(d.version, "policy.lua@", 11));
    assert_int_equal(strlen(d.id), 32);
    assert_true(has(lines(h), "\"decided\":true") && has(lines(h), d.id));
    assert_true(has(lines(h), "\"attempts\":[]"));
}

TEST(a_decision_is_told_to_finish)
{
    H;
    decide(h, CHAT("auto", "hi", ""));
    struct lun_buf out = {0};
    char type = 0;
    lun_us now = lun_simulation_loop_time(h->simulation);
    assert_true(lun_store_get(lun_simulation_registry(h->simulation)->store, "finished", 8, now, &type, &out));
    assert_int_equal(type, 'n');
    lun_buf_free(&out);
}

TEST(a_decision_can_be_a_refusal)
{
    H;
    struct decided d = decide(h, CHAT("auto", "dear", ""));
    assert_int_equal(d.status, 402);
    assert_string_equal(d.code, "budget_exceeded");
    assert_string_equal(d.message, "Enough.");
    assert_string_equal(d.steps, "");
    assert_string_equal(d.labels, "first none ");
}

TEST(a_question_that_is_not_valid_is_refused_before_the_policy_sees_it)
{
    H;
    struct decided d = decide(h, "[]");
    assert_int_equal(d.status, 400);
    assert_string_equal(d.code, "invalid_request");
    assert_true(strlen(d.message) && !strlen(d.labels) && strlen(d.id) == 32 && strlen(d.version));
    struct lunette_query in = query(CHAT("auto", "hi", ""));
    in.key = "sk-unknown";
    struct decided e = {0};
    lun_inquire_decision(&h->all, h->station, &in, on_decided, &e);
    run(h, 1);
    assert_int_equal(e.status, 401);
    assert_string_equal(e.id, "");
}

TEST(a_decision_can_be_cancelled_while_the_policy_waits)
{
    H;
    struct decided d = {0};
    struct lunette_query in = query(CHAT("auto", "wait", ""));
    d.call = lun_inquire_decision(&h->all, h->station, &in, on_decided, &d);
    run(h, 1);
    lun_inquire_cancel(d.call);
    run(h, 30);
    assert_int_equal(d.n, 0);
}

TEST(a_decision_that_is_left_at_the_end_is_refused)
{
    H;
    struct decided d = {0};
    struct lunette_query in = query(CHAT("auto", "wait", ""));
    lun_inquire_decision(&h->all, h->station, &in, on_decided, &d);
    run(h, 1);
    lun_inquiries_end(&h->all);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.status, 503);
    run(h, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_whole_answer_is_told_as_head_bytes_and_a_clean_end),
        T(a_stream_is_told_event_by_event_and_its_cost_at_the_end),
        T(a_provider_s_refusal_is_an_answer),
        T(a_body_that_is_no_json_is_answered_with_400),
        T(an_unknown_model_is_answered_with_404),
        T(only_clients_of_the_configuration_may_ask),
        T(a_client_s_own_rate_counts),
        T(what_is_wrong_with_the_query_itself_is_told),
        T(a_larger_body_than_the_limit_is_answered_with_413),
        T(headers_are_read_in_any_case_and_copied),
        T(the_deadline_is_the_sooner_of_the_query_s_and_the_configuration_s),
        T(false_from_a_callback_cancels_and_nothing_more_is_told),
        T(cancelling_inside_a_callback_is_the_same),
        T(a_refusal_can_be_cancelled_inside_its_callbacks_too),
        T(cancelling_after_the_end_was_told_does_no_harm_while_inside_of_it),
        T(cancelling_from_outside_closes_what_is_in_flight),
        T(a_callback_may_ask_again),
        T(callbacks_may_be_left_out),
        T(who_asks_while_it_stops_is_answered_with_503),
        T(what_is_left_at_the_end_is_told_that_it_is_torn),
        T(a_query_can_be_copied_for_another_thread),
        T(a_decision_holds_labels_and_the_steps_of_the_plan),
        T(a_decision_is_told_to_finish),
        T(a_decision_can_be_a_refusal),
        T(a_question_that_is_not_valid_is_refused_before_the_policy_sees_it),
        T(a_decision_can_be_cancelled_while_the_policy_waits),
        T(a_decision_that_is_left_at_the_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

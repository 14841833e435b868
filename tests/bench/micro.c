/* micro NAME RUNS: does one part of a request's work so many times, and prints `name ns bytes`: nanoseconds of each, and how many bytes it looks at (0: that says nothing).
 * `micro` alone lists the names. `none` only prepares, as all others do too. The configuration is gateway.lua and policy.lua of this folder. */
#include "base/alloc.h"
#include "base/http.h"
#include "base/json.h"
#include "base/sse.h"
#include "gateway/recognise.h"
#include "gateway/record.h"
#include "script/load.h"
#include "script/policy.h"
#include "state/ledger.h"
#include "state/metrics.h"
#include "state/registry.h"
#include "state/router.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 60, ROWS = 64 };

static struct {
    struct lun_snapshot *snapshot;
    struct lun_registry *registry;
    struct lun_policy *policy;
    struct lun_loop loop;
    struct lun_buf head, small, large, copy, stream, line, asked, asked_long;
    char weights[LUN_ROUTER_SIZE];
    struct lun_http_reader reader;
    struct lun_question *logged;
    struct lun_trial trial;
    struct lun_done done;
    char folder[40];
    struct lun_ledger *ledger;
    struct lun_journal *journal;
    uint32_t payers, names[3];
    uint64_t seq;
} b;

static void fail(const char *what) { fprintf(stderr, "micro: %s\n", what), exit(1); }
static void must(bool good, const char *what) { if (!good) fail(what); }

/* ---- what is worked on ---- */

static void put_body(struct lun_buf *out, size_t size)
{
    static const char tail[] = "\"}],\"temperature\":0.7,\"max_tokens\":256}", words[] = "He said \\\"hello\\\" and left, as one does;\\n then came back. ";
    lun_buf_puts(out, "{\"model\":\"auto\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},{\"role\":\"user\",\"content\":\"");
    while (out->n + sizeof tail + sizeof words < size) lun_buf_puts(out, words);
    while (out->n + sizeof tail - 1 < size) lun_buf_putc(out, '.');
    lun_buf_puts(out, tail);
}

/* Questions of about 100 words, and as long as a router looks at, whose words are not the same again and again. */
static void put_question(struct lun_buf *out, size_t size)
{
    static const char *const words[] = { "which", "of", "the", "following", "statements", "about", "equilibrium", "constants", "Jacobian", "in", "a", "closed", "system", "is", "true,", "false" };
    for (unsigned i = 1; out->n < size; i = i * 1103515245 + 12345) lun_buf_printf(out, "%s%s ", words[i >> 16 & 15], i >> 20 & 3 ? "" : words[i >> 22 & 15]);
    out->n = size;
}

static void put_texts(void)
{
    put_question(&b.asked, 600);
    put_question(&b.asked_long, LUN_ROUTER_LOOKED_AT);
    memset(b.weights, LUN_ROUTER_ZERO + 1, sizeof b.weights);
    put_body(&b.small, 1024);
    put_body(&b.large, 20480);
    lun_buf_add(&b.copy, b.large.at, b.large.n);
    lun_buf_puts(&b.head, "POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.org\r\nUser-Agent: OpenAI/Python 1.99.1\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
                 "Content-Type: application/json\r\nAuthorization: Bearer sk-bench\r\nx-stainless-lang: python\r\nx-stainless-retry-count: 0\r\nContent-Length: 1024\r\n\r\n");
    for (int i = 0; i < EVENTS; i++)
        lun_buf_puts(&b.stream, "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench-model\","
                     "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"finish_reason\":null}]}\n\n");
}

static struct lun_snapshot *configuration(void)
{
    static const char *const environment[] = { "BENCH_UPSTREAM=http://127.0.0.1:9/v1", "BENCH_KEY=sk-upstream", NULL };
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = lun_load("tests/bench/gateway.lua", &(struct lun_load_options){ .environment = environment, .cpu = LUN_CPU_SIGNAL }, &mistakes);
    must(s, "tests/bench/gateway.lua does not load: start it from the folder that tests is in");
    return s;
}

/* A question as it is when its client is known. */
static struct lun_question *question(void)
{
    struct lun_error error;
    struct lun_question *q = lun_question_new(NULL, b.snapshot, b.registry, &b.loop, 1700000000 * LUN_SECOND, 7);
    struct lun_incoming in = { .endpoint = LUN_ENDPOINT_CHAT, .body = b.small.at, .n = b.small.n, .client = b.snapshot->clients };
    must(lun_recognise(q, &in, &error), "a question is not recognised");
    q->deadline = b.loop.now + 60 * LUN_SECOND;
    return q;
}

static struct lun_answer think(struct lun_question *q, enum lun_hook hook)
{
    struct lun_thought *t = lun_policy_think(b.policy, q, hook, NULL, NULL);
    must(t->state == LUN_THOUGHT_DONE, t->error ? t->error : "the policy waits");
    struct lun_answer answer = t->answer;
    lun_thought_end(t);
    return answer;
}

static void answer_one(void)
{
    static const char *labels[] = { "chat" };
    struct lun_usage usage = { .known = true, .input = 200, .output = 60 };
    b.logged = question();
    b.logged->labels = labels, b.logged->n_labels = 1;
    b.trial = (struct lun_trial){ .number = 1, .try = 1, .target = &b.snapshot->targets[0], .upstream = "bench-small", .closed = true, .committed = true, .step = 1,
                                  .kind = LUN_KIND_OK, .status = 200, .provider_request_id = "req-bench", .began = b.loop.now, .sent = b.loop.now,
                                  .first_byte = b.loop.now + 450, .ended = b.loop.now + 460, .usage = usage, .cost = 44000, .bound = 300000 };
    b.logged->trials = &b.trial;
    b.done = (struct lun_done){ .status = 200, .trial = &b.trial, .usage = usage, .cost = 44000, .latency = 480, .ttft = 470, .upstream_wait = 460 };
}

/* In memory where that is possible: what a disk takes is not measured. */
static void open_ledger(void)
{
    char *path, *error = NULL;
    uint32_t accounts[2];
    snprintf(b.folder, sizeof b.folder, "%s/micro-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    must(mkdtemp(b.folder), "no folder for a ledger");
    b.ledger = lun_ledger_open(path = lun_printf("%s/ledger.db", b.folder), LUN_LEDGER_FOUND, &error);
    free(path);
    if (!b.ledger) fail(error);
    must(lun_ledger_begin_run(b.ledger, b.folder, "micro", ROWS, 1, &b.journal) && lun_ledger_begin(b.ledger) == LUN_LEDGER_OK, "a run does not begin");
    for (int i = 0; i < 2; i++) accounts[i] = lun_ledger_account(b.ledger, &(struct lun_ledger_account){ i ? "total" : "team bench", "2023-11", 1, LUN_NEVER, 1 });
    for (int i = 0; i < 3; i++) b.names[i] = lun_ledger_name(b.ledger, (const char *[]){ "small1/bench-small", "bench", "policy.lua@000000000000" }[i]);
    b.payers = lun_ledger_payers(b.ledger, accounts, 2);
    must(lun_ledger_commit(b.ledger) == LUN_LEDGER_OK, lun_ledger_error(b.ledger));
}

static void remove_ledger(void)
{
    char *all = lun_printf("rm -rf %s", b.folder);
    must(!b.folder[0] || !system(all), "the ledger's folder stays");
    free(all);
}

static void close_ledger(void)
{
    if (b.ledger) lun_ledger_end_run(b.ledger, b.journal, 2);
    lun_ledger_close(b.ledger);
    remove_ledger();
}

static void prepare(void)
{
    char *error = NULL;
    put_texts();
    b.loop.now = 1000 * LUN_SECOND;
    b.snapshot = configuration();
    b.registry = lun_registry_new();
    lun_registry_bind(b.registry, b.snapshot);
    b.policy = lun_policy_open(b.snapshot, b.registry, LUN_BY_SIGNAL, &error);
    if (!b.policy) fail(error);
    answer_one();
}

static void clear(void)
{
    close_ledger();
    lun_question_free(b.logged);
    lun_policy_close(b.policy);
    lun_snapshot_unref(b.snapshot);
    lun_registry_free(b.registry);
    lun_loop_free(&b.loop);
    lun_http_free(&b.reader);
    struct lun_buf *all[] = { &b.asked, &b.asked_long, &b.head, &b.small, &b.large, &b.copy, &b.stream, &b.line };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) lun_buf_free(all[i]);
}

/* ---- the parts ---- */

static void none(void) { }

static void head(void)
{
    size_t used;
    must(lun_http_read(&b.reader, b.head.at, b.head.n, NULL, &used) == LUN_HTTP_DONE, "a head is not read");
    lun_http_reset(&b.reader);
}

static void copy(void)
{
    memcpy(b.copy.at, b.large.at, b.large.n);
    __asm__ volatile("" : : "r"(b.copy.at) : "memory");
}

static void json(void)
{
    static struct lun_json_field fields[LUN_FIELD_COUNT];
    struct lun_json_scan scan;
    must(lun_json_scan(b.large.at, b.large.n, &lun_question_keys, fields, &scan), "a body is not scanned");
}

static void sse(void)
{
    struct lun_sse reader = { .limit = 1 << 20 };
    struct lun_sse_event event;
    size_t done = 0;
    int n = 0;
    for (; lun_sse_next(&reader, b.stream.at + done, b.stream.n - done, &event) == LUN_SSE_EVENT; n++) done += event.raw;
    must(n == EVENTS, "a stream is not read");
    lun_sse_free(&reader);
}

static void recognise(void) { lun_question_free(question()); }

static void decide(void)
{
    struct lun_question *q = question();
    struct lun_answer answer = think(q, LUN_HOOK_CLASSIFY);
    must(answer.n_labels == 1 && !strcmp(answer.labels[0], "chat"), "the policy says another label");
    q->labels = answer.labels, q->n_labels = answer.n_labels;
    answer = think(q, LUN_HOOK_SELECT);
    must(answer.verb == LUN_PLAN && answer.plan.n == 8, "the policy makes another plan");
    lun_policy_forget(b.policy, q);
    lun_question_free(q);
}

static void line(void)
{
    b.line.n = 0;
    lun_record_line(b.logged, &b.done, &b.line);
}

static void metrics(void)
{
    lun_record_trial(b.logged, &b.trial);
    lun_record_request(b.logged, &b.done);
}

/* As the bookkeeper does it: what was settled is read from the journal and added, in an order that is not quite that of the numbers. */
static void turn(void)
{
    if (!b.ledger) open_ledger();
    for (uint32_t i = 0; i < ROWS; i++) {
        struct lun_dispatch d = { .seq = b.seq + (i ^ 3) + 1, .hold = 300000, .at = 1700000000 * LUN_SECOND, .target = b.names[0], .client = b.names[1],
                                  .version = b.names[2], .payers = b.payers };
        struct lun_settle s = { .seq = d.seq, .cost = 44000, .tokens = { 200, 0, 0, 0, 60 }, .kind = LUN_KIND_OK, .state = LUN_ATTEMPT_SETTLED, .latency_ms = 12 };
        memcpy(d.request, b.logged->id, sizeof d.request);
        lun_journal_dispatch(b.journal, i, &d);
        lun_journal_settle(b.journal, i, &s);
    }
    must(lun_ledger_begin(b.ledger) == LUN_LEDGER_OK, lun_ledger_error(b.ledger));
    for (uint32_t i = 0; i < ROWS; i++) {
        struct lun_dispatch d;
        struct lun_settle s;
        must(lun_journal_read(b.journal, i, &d, &s) == LUN_JOURNAL_SETTLED, "a line is not read");
        lun_ledger_row(b.ledger, &d, &s);
    }
    must(lun_ledger_commit(b.ledger) == LUN_LEDGER_OK, lun_ledger_error(b.ledger));
    b.seq += ROWS;
}

static void predict_of(const struct lun_buf *text)
{
    struct lun_router r = { .weights = b.weights, .scale = 0.01 };
    must(lun_router_gain(&r, text->at, text->n) > 0.1, "a router says something else");
}
static void predict(void) { predict_of(&b.asked); }
static void predict_long(void) { predict_of(&b.asked_long); }

/*  name, how many bytes it looks at */
#define PARTS(X) X(none, 0) X(head, b.head.n) X(copy, b.large.n) X(json, b.large.n) X(sse, b.stream.n) X(recognise, b.small.n) X(decide, 0) X(line, 0) X(metrics, 0) X(turn, 0) X(predict, b.asked.n) X(predict_long, b.asked_long.n)
static const struct { const char *name; void (*run)(void); } parts[] = {
#define X(name, bytes) { #name, name },
    PARTS(X)
#undef X
};

static size_t bytes_of(size_t part)
{
    const size_t sizes[] = {
#define X(name, bytes) bytes,
        PARTS(X)
#undef X
    };
    return sizes[part];
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct job { size_t part; long runs; };

static void *work(void *self)
{
    const struct job *j = self;
    prepare();
    double since = now();
    for (long i = 0; i < j->runs; i++) parts[j->part].run();
    printf("%s %.2f %zu\n", parts[j->part].name, (now() - since) / (double)(j->runs ? j->runs : 1), bytes_of(j->part));
    clear();
    return NULL;
}

/* In a thread, as a worker's are: valgrind cannot deliver the signal that bounds a policy's time on the stack of the first. */
int main(int argc, char **argv)
{
    size_t n = sizeof parts / sizeof *parts;
    struct job job = { .runs = argc == 3 ? atol(argv[2]) : 0 };
    pthread_t thread;
    for (size_t i = 0; argc != 3 && i < n; i++) puts(parts[i].name);
    if (argc != 3) return 0;
    while (job.part < n && strcmp(parts[job.part].name, argv[1])) job.part++;
    if (job.part == n) fail("there is no such part");
    if (pthread_create(&thread, NULL, work, &job)) fail("no thread");
    pthread_join(thread, NULL);
    return 0;
}

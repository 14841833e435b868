/* Which requests are equal for the response cache, and which must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/loop.h"
#include "bound.h"
#include "state/cache_key.h"
#include "state/canonical.h"
#include <stdio.h>
#include <stdlib.h>

static const struct lun_siphash secret = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };

static struct lun_digest of(const char *text)
{
    assert_true(lun_json_check(text, strlen(text), &(struct lun_json){0}, NULL));
    return lun_cache_key_json(secret, text, strlen(text));
}

static bool same(struct lun_digest a, struct lun_digest b) { return a.a == b.a && a.b == b.b; }

static bool alike(const char *a, const char *b);

static void texts_that_mean_the_same_are_equal(void **state)
{
    static const char *const pairs[][2] = {
        { "{}", " { } " }, { "[]", "[\n]" }, { "\"a\"", " \"a\"\t" }, { "[1,2]", "[ 1 , 2 ]" }, { "{\"a\":1,\"b\":2}", "{ \"b\" : 2 , \"a\" : 1 }" },
        { "{\"a\":{\"x\":[true,null],\"y\":{}},\"b\":\"\"}", "{\"b\":\"\",\"a\":{\"y\":{ },\"x\":[ true , null ]}}" }, { "{\"a\":1}", "{\"\\u0061\":1}" } };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (same(of(pairs[i][0]), of(pairs[i][1])) && alike(pairs[i][0], pairs[i][1])) continue;
        fail_msg("%s and %s", pairs[i][0], pairs[i][1]);
    }
}

/* Every one of these means something else than every other. */
static void texts_that_mean_something_else_are_not(void **state)
{
    static const char *const texts[] = {
        "null", "true", "false", "0", "1", "10", "-1", "\"\"", "\"a\"", "\"b\"", "\"ab\"", "\"1\"", "[]", "{}", "[[]]", "[{}]", "[[],[]]", "[1]", "[1,1]", "[1,0]", "[10]", "[\"1\"]",
        "[1,[2,3]]", "[[1,2],3]", "[1,2,3]", "[3,2,1]", "[null]", "{\"a\":1}", "{\"a\":\"1\"}", "{\"b\":1}", "{\"a\":1,\"b\":1}", "{\"a\":{\"b\":1}}", "{\"a\":[1]}", "{\"1\":\"a\"}",
        "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", "{\"a\":{},\"b\":[]}", "{\"a\":[],\"b\":{}}", "{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}", "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":2,\"b\":3}",
        "{\"\\u0061\":2,\"a\":1,\"b\":3}", "{\"\":1}", "{\"a\\\"\":1}", "{\"a\":\"}\"}", "{\"a\":\"\\\"}\"}", "[\"],[\"]", "[\"]\",\"[\"]" };
    enum { N = sizeof texts / sizeof *texts };
    (void)state;
    for (int i = 1; i < N; i++)
        for (int j = 0; j < i; j++) if (same(of(texts[i]), of(texts[j])) || alike(texts[i], texts[j])) fail_msg("%s and %s", texts[i], texts[j]);
}

/* ---- names ---- */

static struct lun_buf canonical(const char *text)
{
    struct lun_buf out = {0};
    lun_canonical_put(&out, text, strlen(text), NULL, NULL);
    return out;
}

static bool alike(const char *a, const char *b)
{
    struct lun_buf x = canonical(a), y = canonical(b);
    bool same = x.n == y.n && !memcmp(x.at, y.at, x.n);
    lun_buf_free(&x), lun_buf_free(&y);
    return same;
}

/* Of more members than are held at a time the order may count; that a value moved to another name must. */
static void large_objects_are_told_apart(void **state)
{
    struct lun_buf a = {0}, b = {0}, c = {0};
    (void)state;
    for (int i = 0; i < 100; i++) {
        lun_buf_printf(&a, "%s\"k%d\":%d", i ? "," : "{", i, i);
        lun_buf_printf(&b, "%s\"k%d\" : %d", i ? " , " : "{", i, i);
        lun_buf_printf(&c, "%s\"k%d\":%d", i ? "," : "{", i, i == 98 ? 99 : i == 99 ? 98 : i);
    }
    lun_buf_puts(&a, "}"), lun_buf_puts(&b, " }"), lun_buf_puts(&c, "}");
    assert_true(same(of(lun_buf_text(&a)), of(lun_buf_text(&b))));
    assert_false(same(of(lun_buf_text(&a)), of(lun_buf_text(&c))));
    assert_true(alike(lun_buf_text(&a), lun_buf_text(&b)));
    assert_false(alike(lun_buf_text(&a), lun_buf_text(&c)));
    lun_buf_free(&a), lun_buf_free(&b), lun_buf_free(&c);
}

static void another_secret_is_another_digest(void **state)
{
    (void)state;
    assert_false(same(of("{\"a\":1}"), lun_cache_key_json((struct lun_siphash){ 1, 2 }, "{\"a\":1}", 7)));
}

/* Each byte is read once, however deep it lies. A quadratic reader would be at it for minutes. */
static void a_deep_text_is_read_in_one_pass(void **state)
{
    struct lun_buf text = {0};
    (void)state;
    for (int i = 0; i < 120; i++) lun_buf_puts(&text, i % 2 ? "[" : "{\"a\":");
    lun_buf_putc(&text, '[');
    for (int i = 0; i < 2000000; i++) lun_buf_puts(&text, "1,");
    lun_buf_puts(&text, "1]");
    for (int i = 119; i >= 0; i--) lun_buf_putc(&text, i % 2 ? ']' : '}');
    of(lun_buf_text(&text));
    struct lun_buf form = canonical(lun_buf_text(&text));
    assert_in_range(form.n, 1, 4096 + 200);                     /* all that is long in it is a digest */
    lun_buf_free(&text), lun_buf_free(&form);
}

/* ---- requests ---- */

static struct bound w;

static int open_all(void **state)
{
    (void)state;
    bound_open(&w, &(struct setting){ .keys = 1 });
    w.snapshot->cache = (struct lun_cache_rules){ .size = 1 << 20, .ttl = S, .answer = 1 << 10 };
    w.snapshot->version = "v";
    return 0;
}
static int close_all(void **state) { (void)state; bound_close(&w); return 0; }

#define BODY "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static struct lun_question *asked(const char *body)
{
    static const struct lun_loop loop;
    struct lun_question *q = lun_question_new(NULL, w.snapshot, w.registry, &loop, 0, 1);
    q->body = body;
    q->body_n = strlen(body);
    assert_true(lun_json_scan(body, q->body_n, &lun_question_keys, q->fields, &q->scan));
    q->client = w.app;
    const struct lun_target **targets = lun_arena_alloc(q->arena, 3 * sizeof *targets);
    targets[0] = w.one, targets[1] = w.two, targets[2] = w.other;
    q->targets = targets;
    q->n_targets = 3;
    q->asked = q->targets;
    q->n_asked = 2;
    return q;
}

static struct lun_cache_key key_of(const struct lun_question *q)
{
    struct lun_cache_key k;
    lun_cache_key_make(&k, secret, q, true);
    return k;
}

/* What a request is called among gateways says the same of two as their keys do. */
struct both { struct lun_digest digest; char name[LUN_CACHE_NAME]; };
static struct both both_of(const struct lun_question *q)
{
    struct lun_cache_key k = key_of(q);
    struct both b = { .digest = k.digest };
    lun_cache_key_name(b.name, &k, q, true);
    assert_int_equal(strlen(b.name), LUN_CACHE_NAME - 1);
    return b;
}
static bool equal(struct both a, struct both b)
{
    assert_int_equal(same(a.digest, b.digest), !strcmp(a.name, b.name));
    return same(a.digest, b.digest);
}

/* Whether a change to a question makes it another one. */
static bool differs(void (*change)(struct lun_question *))
{
    struct lun_question *a = asked(BODY), *b = asked(BODY);
    change(b);
    bool d = !equal(both_of(a), both_of(b));
    lun_question_free(a);
    lun_question_free(b);
    return d;
}

static struct lun_pair tags[] = { { "tier", "gold" } }, headers[] = { { "x-a", "1" }, { "traceparent", "7" } };
static const char *labels[] = { "easy", "hard" };
static void nothing(struct lun_question *q)  { (void)q; }
static void client(struct lun_question *q)   { q->client = w.web; }
static void open_gateway(struct lun_question *q) { q->client = NULL; }
static void endpoint(struct lun_question *q) { q->endpoint = LUN_ENDPOINT_COMPLETIONS; }
static void task(struct lun_question *q)     { q->task = "faq"; }
static void class(struct lun_question *q)    { q->class = "batch"; }
static void task_as_class(struct lun_question *q) { q->class = "faq"; }
static void tagged(struct lun_question *q)   { q->tags = tags, q->n_tags = 1; }
static void label(struct lun_question *q)    { q->labels = labels, q->n_labels = 1; }
static void two_labels(struct lun_question *q) { q->labels = labels, q->n_labels = 2; }
static void fewer(struct lun_question *q)    { q->n_targets = 2; }
static void fewer_asked(struct lun_question *q) { q->n_asked = 1; }
static void user(struct lun_question *q)     { q->user = "ann"; }
static void session(struct lun_question *q)  { q->session = "s"; }
static void header(struct lun_question *q)   { q->headers = headers, q->n_headers = 1; }
static void trace(struct lun_question *q)    { q->headers = headers + 1, q->n_headers = 1; }
static void budget(struct lun_question *q)   { q->budget = 5; }
static void retry(struct lun_question *q)    { q->client_retry = 1; }

static void what_is_part_of_every_key(void **state)
{
    (void)state;
    assert_false(differs(nothing));
    assert_true(differs(client) && differs(open_gateway) && differs(endpoint) && differs(task) && differs(class) && differs(tagged) && differs(budget) && differs(label) && differs(two_labels)
                && differs(fewer) && differs(fewer_asked));
    struct lun_question *a = asked(BODY), *b = asked(BODY);
    task(a), task_as_class(b);
    assert_false(same(key_of(a).digest, key_of(b).digest));
    struct lun_cache_key chat;
    lun_cache_key_make(&chat, secret, a, false);                /* a hook's own question is never a client's */
    assert_false(same(key_of(a).digest, chat.digest));
    struct lun_digest before = key_of(a).digest;
    w.snapshot->version = "v2";
    assert_false(same(key_of(a).digest, before));
    w.snapshot->version = "v";
    assert_true(same(key_of(a).digest, before));
    static const struct lun_tuned share = { "share", { .number = 15 } };
    a->tuning = lun_tuning_new(&share, 1);
    assert_false(same(key_of(a).digest, before));
    lun_question_free(a);
    lun_question_free(b);
}

static void a_shared_cache_tells_clients_apart_only_by_what_they_may(void **state)
{
    (void)state;
    w.snapshot->cache.shared = true;
    assert_false(differs(client));
    w.web->substitute = !w.app->substitute;
    assert_true(differs(client));
}

static void what_no_hook_has_looked_at_does_not_count_and_then_it_does(void **state)
{
    static const struct { unsigned reads; void (*change)(struct lun_question *); } cases[] = {
        { LUN_READS_USER, user }, { LUN_READS_SESSION, session }, { LUN_READS_HEADERS, header }, { LUN_READS_RETRY, retry } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atomic_store(&w.snapshot->reads, ~cases[i].reads & 127);
        assert_false(differs(cases[i].change));
        struct lun_question *q = asked(BODY);
        lun_question_read(q, cases[i].reads);
        assert_int_equal(q->reads, cases[i].reads);
        lun_question_free(q);
        assert_int_equal(atomic_load(&w.snapshot->reads), 127);
        assert_true(differs(cases[i].change));
    }
    assert_false(differs(trace));                               /* says nothing, whoever looks */
    atomic_store(&w.snapshot->reads, LUN_READS_CLIENT);
    w.snapshot->cache.shared = true;
    assert_true(differs(client));
}

static struct both body_key(const char *body, unsigned reads)
{
    struct lun_question *q = asked(body);
    atomic_store(&w.snapshot->reads, reads);
    struct both b = both_of(q);
    lun_question_free(q);
    return b;
}

#define WITH(more) "{\"model\":\"m\"," more "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static void fields_that_only_say_who_asks_count_once_a_hook_reads_the_body(void **state)
{
    static const char *const who[] = { WITH("\"user\":\"ann\","), WITH("\"metadata\":{\"a\":\"b\"},"), WITH("\"prompt_cache_key\":\"k\","), WITH("\"safety_identifier\":\"s\","),
                                       WITH("\"store\":false,"), WITH("\"stream_options\":{\"include_usage\":true},") };
    (void)state;
    for (size_t i = 0; i < sizeof who / sizeof *who; i++) {
        assert_true(equal(body_key(BODY, 0), body_key(who[i], 0)));
        assert_false(equal(body_key(BODY, LUN_READS_BODY), body_key(who[i], LUN_READS_BODY)));
    }
    assert_true(equal(body_key(BODY, LUN_READS_BODY), body_key(WITH("\"stream\":true,"), LUN_READS_BODY)));
    assert_false(equal(body_key(BODY, LUN_READS_STREAM), body_key(WITH("\"stream\":true,"), LUN_READS_STREAM)));
    assert_false(equal(body_key(BODY, 0), body_key(WITH("\"temperature\":1,"), 0)));
    assert_false(equal(body_key(WITH("\"x\":{\"user\":\"ann\"},"), 0), body_key(WITH("\"x\":{\"user\":\"bob\"},"), 0)));      /* at the top alone */
    assert_int_equal(lun_cache_key_field("user"), LUN_READS_BODY);
    assert_int_equal(lun_cache_key_field("stream"), LUN_READS_STREAM);
    assert_int_equal(lun_cache_key_field("temperature"), 0);
}

static void an_answer_that_the_provider_is_to_store_is_seen(void **state)
{
    static const struct { const char *body; bool stored; } cases[] = {
        { BODY, false }, { WITH("\"store\":true,"), true }, { WITH("\"store\" : true ,"), true }, { WITH("\"store\":false,"), false }, { WITH("\"store\":\"true\","), false },
        { WITH("\"x\":{\"store\":true},"), false }, { WITH("\"\\u0073tore\":true,"), true } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lun_question *q = asked(cases[i].body);
        assert_int_equal(key_of(q).stored, cases[i].stored);
        lun_question_free(q);
    }
}

/* However long the texts are, none runs into the next. */
static void long_facts_do_not_run_into_each_other(void **state)
{
    char *text = malloc(3001);
    (void)state;
    for (int n = 1; n <= 3000; n = n * 3 / 2 + 1) {
        memset(text, 'x', (size_t)n);
        text[n] = 0;
        struct lun_question *a = asked(BODY), *b = asked(BODY), *c = asked(BODY);
        a->task = text;
        b->class = text;
        c->task = text + 1;
        c->class = "x";
        assert_false(same(key_of(a).digest, key_of(b).digest) || same(key_of(a).digest, key_of(c).digest) || same(key_of(b).digest, key_of(c).digest));
        lun_question_free(a), lun_question_free(b), lun_question_free(c);
    }
    free(text);
}

static void a_name_is_of_what_answers_and_of_no_process(void **state)
{
    struct lun_question *a = asked(BODY);
    struct lun_cache_key k = key_of(a), other;
    char before[LUN_CACHE_NAME], after[LUN_CACHE_NAME];
    (void)state;
    lun_cache_key_name(before, &k, a, true);
    lun_cache_key_make(&other, lun_siphash_new(), a, true);
    lun_cache_key_name(after, &other, a, true);
    assert_string_equal(before, after);
    w.snapshot->alike[31] ^= 1;
    lun_cache_key_name(after, &k, a, true);
    assert_string_not_equal(before, after);
    w.snapshot->alike[31] ^= 1;
    lun_cache_key_name(after, &k, a, false);
    assert_string_not_equal(before, after);
    lun_question_free(a);
}

static void a_long_member_is_told_apart_wherever_it_stands(void **state)
{
    struct lun_buf text[4] = { 0 };
    (void)state;
    for (int i = 0; i < 4; i++) {
        lun_buf_puts(&text[i], i == 1 ? "{\"z\":1,\"a\":{\"k\":[\"" : "{\"a\":{\"k\":[\"");
        for (int j = 0; j < 5000; j++) lun_buf_putc(&text[i], i == 2 && j == 4999 ? 'y' : 'x');
        lun_buf_puts(&text[i], i == 1 ? "\"]}}" : i == 3 ? "\"]},\"z\":2}" : "\"]},\"z\":1}");
    }
    assert_true(alike(lun_buf_text(&text[0]), lun_buf_text(&text[1])));
    assert_false(alike(lun_buf_text(&text[0]), lun_buf_text(&text[2])) || alike(lun_buf_text(&text[0]), lun_buf_text(&text[3])));
    for (int i = 0; i < 4; i++) lun_buf_free(&text[i]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_mean_the_same_are_equal), cmocka_unit_test(texts_that_mean_something_else_are_not), cmocka_unit_test(large_objects_are_told_apart),
        cmocka_unit_test(another_secret_is_another_digest), cmocka_unit_test(a_deep_text_is_read_in_one_pass), T(what_is_part_of_every_key),
        T(a_shared_cache_tells_clients_apart_only_by_what_they_may), T(what_no_hook_has_looked_at_does_not_count_and_then_it_does),
        T(fields_that_only_say_who_asks_count_once_a_hook_reads_the_body), T(an_answer_that_the_provider_is_to_store_is_seen), T(long_facts_do_not_run_into_each_other),
        T(a_name_is_of_what_answers_and_of_no_process), cmocka_unit_test(a_long_member_is_told_apart_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

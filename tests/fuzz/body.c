/* The body of a question and what a policy changes in it: sent on it is JSON with one model, what nobody named is as it was, and it asks for no more
 * than was held for it: whoever reckons with what is sent, as with a question of its own, comes to no more. */
#include "fuzz.h"
#include "base/loop.h"
#include "base/text.h"
#include "gateway/recognise.h"
#include "gateway/splice.h"
#include "script/load.h"

/* ---- a gateway with one target ---- */

static struct { struct lun_snapshot *snapshot; struct lun_registry *registry; struct lun_loop loop; } world;

static void close_world(void)
{
    lun_snapshot_unref(world.snapshot);
    lun_registry_free(world.registry);
    lun_loop_free(&world.loop);
}

static void open_world(void)
{
    static const char text[] = "return { providers = { p = { base_url = 'http://127.0.0.1:1/v1' } }, models = { m = { { provider = 'p', model = 'up',"
                               " price = { input = 1, output = 2 } } } }, limits = { output = 1000 } }";
    static const char *const environment[] = { NULL };
    struct lun_load_options o = { .environment = environment, .secrets_folder = "none", .cpu = LUN_CPU_STEPS };
    struct lun_mistakes mistakes = {0};
    world.snapshot = lun_load_text("gateway.lua", text, sizeof text - 1, NULL, &o, &mistakes);
    if (!world.snapshot) fuzz_broken(__FILE__, __LINE__, mistakes.items[0].what);
    world.registry = lun_registry_new();
    lun_registry_bind(world.registry, world.snapshot);
    atexit(close_world);
}

/* NULL: it is none; *twice: since a field is in it twice. */
static struct lun_question *ask(const char *body, size_t n, enum lun_endpoint endpoint, bool *twice)
{
    struct lun_error error;
    struct lun_question *q = lun_question_new(NULL, world.snapshot, world.registry, &world.loop, 0, 1);
    struct lun_incoming in = { .endpoint = endpoint, .body = body, .n = n };
    if (lun_recognise(q, &in, &error)) return q;
    PROMISE(error.message && lun_text_valid(error.message, strlen(error.message)));
    *twice = strstr(error.message, " occurs twice");
    lun_question_free(q);
    return NULL;
}

/* ---- what a policy says ---- */

static const char *const fields[] = { "max_tokens", "max_completion_tokens", "n", "best_of", "temperature", "messages", "service_tier", "prediction", "modalities", "a" };
static const char *const values[] = { "1", "5", "100000", "null", "\"text\"", "[\"text\"]", "0", "2.0", "1e3", "{}", "[{\"role\":\"user\",\"content\":\"hello\"}]" };
enum { EDITS = 4, FIELDS = sizeof fields / sizeof *fields, VALUES = sizeof values / sizeof *values };

static void take_edits(struct input *in, struct lun_step *step, struct lun_edit edits[EDITS])
{
    const struct lun_edit **end = &step->edits;
    for (unsigned i = take(in) % (EDITS + 1); i--; end = (const struct lun_edit **)&edits[i].next) {
        unsigned what = take(in) % 3, field = take(in) % FIELDS, value = take(in);
        const char *text = what == LUN_EDIT_SET ? values[value % VALUES] : what == LUN_EDIT_RENAME ? fields[value % FIELDS] : NULL;
        edits[i] = (struct lun_edit){ .what = what, .field = fields[field], .value = text };
        *end = &edits[i];
    }
}

/* ---- what is sent ---- */

static int count(struct lun_json object, const char *name)
{
    int n = 0;
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); ) n += lun_json_is(e.key, name);
    return n;
}

static void promise_framed(const struct lun_question *q, struct lun_json sent)
{
    struct lun_json before = lun_question_field(q, LUN_FIELD_stream), after = lun_json_get(sent, "stream");
    PROMISE(lun_json_type(sent) == LUN_JSON_OBJECT && count(sent, "model") == 1 && lun_json_is(lun_json_get(sent, "model"), "up"));
    PROMISE(before.n == after.n && (!before.n || !memcmp(before.at, after.at, after.n)) && count(sent, "stream") == (before.n > 0));
}

/* Of a body that no policy changes each member is as it was, in its order, behind what was put in. */
static void promise_untouched(const struct lun_question *q, struct lun_json sent)
{
    struct lun_json body;
    PROMISE(lun_json_check(q->body, q->body_n, &body, NULL));
    struct lun_json_each was = lun_json_each(body), is = lun_json_each(sent);
    for (size_t put_in = lun_json_count(sent) - lun_json_count(body); put_in; put_in--) PROMISE(lun_json_next(&is));
    while (lun_json_next(&was)) {
        PROMISE(lun_json_next(&is) && is.key.n == was.key.n && !memcmp(is.key.at, was.key.at, is.key.n));
        if (lun_json_is(was.key, "model") || lun_json_is(was.key, "stream_options") || lun_json_type(was.value) == LUN_JSON_NULL) continue;
        PROMISE(is.value.n == was.value.n && !memcmp(is.value.at, was.value.at, is.value.n));
    }
}

/* The largest output that any reader of what is sent may see asked for; -1: there is no cap. */
static int64_t largest_cap(struct lun_json sent)
{
    int64_t most = -1, n;
    for (struct lun_json_each e = lun_json_each(sent); lun_json_next(&e); ) {
        if (!lun_json_is(e.key, "max_tokens") && !lun_json_is(e.key, "max_completion_tokens")) continue;
        if (lun_json_type(e.value) == LUN_JSON_NULL) PROMISE(lun_json_is(e.key, "max_completion_tokens") || count(sent, "max_tokens") == 1);
        else PROMISE(lun_json_int(e.value, &n) && n >= 0);
        if (lun_json_int(e.value, &n) && n > most) most = n;
    }
    return most;
}

/* Two members that a policy renames to one name are two in what is sent; nothing else is. */
static bool renames(const struct lun_edit *edits)
{
    for (; edits; edits = edits->next) if (edits->what == LUN_EDIT_RENAME) return true;
    return false;
}

/* What is put in by the gateway itself, the cap and the wish for usage, is no input: at most so many bytes, each reckoned as a token. */
#define OURS (100 * (LUN_NANO_PER_USD / 1000000))

/* What is sent, taken for a question: it must be one wherever a bound was reckoned, and not cost more. */
static void promise_within(struct lun_question *q, const struct lun_buf *sent, const struct lun_edit *edits, int64_t bound)
{
    bool twice = false;
    const struct lun_target *t = &world.snapshot->targets[0];
    struct lun_buf named = {0};
    struct lun_json v, all;
    PROMISE(lun_json_check(sent->at, sent->n, &all, NULL));
    v = lun_json_get(all, "model");
    lun_buf_add(&named, sent->at, (size_t)(v.at - sent->at)), lun_buf_puts(&named, "\"m\""), lun_buf_add(&named, v.at + v.n, (size_t)(sent->at + sent->n - v.at - v.n));
    struct lun_question *again = ask(named.at, named.n, q->endpoint, &twice);
    PROMISE(!twice || renames(edits));
    if (q->endpoint != LUN_ENDPOINT_EMBEDDINGS) PROMISE(largest_cap(all) >= 0 && largest_cap(all) <= lun_question_output(q, t, edits));
    if (again) {
        PROMISE(lun_question_output(again, t, NULL) <= lun_question_output(q, t, edits));
        PROMISE(lun_question_bound(again, t, NULL, NULL) <= bound + OURS);
    }
    lun_question_free(again);
    lun_buf_free(&named);
}

static void send(struct lun_question *q, struct lun_step *step)
{
    int64_t cap, bound = lun_question_bound(q, step->target, step->edits, &cap);
    struct lun_trial trial = { .upstream = "up" };
    struct lun_call call = { .question = q, .step = step, .trial = &trial, .stream = q->stream, .cap = bound < 0 ? -1 : cap };
    const struct lun_slice *s;
    struct lun_buf sent = {0};
    struct lun_json v;
    for (int i = 0, n = lun_splice(&call, &s); i < n; i++) lun_buf_add(&sent, s[i].at, s[i].n);
    PROMISE(bound >= -1 && lun_json_check(sent.at, sent.n, &v, NULL));
    promise_framed(q, v);
    if (!step->edits) promise_untouched(q, v);
    if (bound >= 0) promise_within(q, &sent, step->edits, bound);
    lun_buf_free(&sent);
}

void fuzz_body(struct input in)
{
    struct lun_edit edits[EDITS] = {0};
    bool twice;
    if (!world.snapshot) open_world();
    struct lun_step step = { .target = &world.snapshot->targets[0] };
    enum lun_endpoint endpoint = take(&in) % LUN_ENDPOINT_COUNT;
    take_edits(&in, &step, edits);
    char *copy = copy_of(in.at, in.n);
    struct lun_question *q = ask(copy, in.n, endpoint, &twice);
    if (q) {
        PROMISE(lun_question_tokens(q) >= 0 && lun_question_expected(q, step.target) >= -1);
        send(q, &step);
    }
    lun_question_free(q);
    free(copy);
}

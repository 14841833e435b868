#include "gateway/verify.h"
#include "base/alloc.h"
#include "base/text.h"
#include "script/policy.h"
#include "script/tape.h"
#include "state/question.h"
#include "state/registry.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lun_verify {
    struct lun_snapshot *snapshot;
    struct lun_registry *registry;
    struct lun_policy *policy;
    struct lun_loop loop;               /* its time stands still */
    struct lun_verify_counts counts;
    struct lun_verify_first first, failure;
    struct lun_buf text;                /* of the answer that is compared */
};
typedef struct lun_verify verify;

/* One line. */
struct replayed {
    verify *v;
    const struct lun_log_line *line;
    struct lun_question *question;
    struct lun_tape tape;
    const char *hook;
};

/* ---- life ---- */

static bool open_policy(verify *v, char **error)
{
    lun_policy_close(v->policy);
    return (v->policy = lun_policy_open(v->snapshot, v->registry, LUN_BY_COUNT, error));
}

verify *lun_verify_new(struct lun_snapshot *snapshot, char **error)
{
    verify *v = lun_zalloc(sizeof *v);
    *v = (verify){ .snapshot = snapshot, .registry = lun_registry_new() };
    snapshot->log_replay = true;        /* its machine reads by way of the tape */
    lun_registry_bind(v->registry, snapshot);
    lun_registry_apply(v->registry, snapshot);
    if (open_policy(v, error)) return v;
    lun_verify_free(v);
    return NULL;
}

void lun_verify_free(verify *v)
{
    if (!v) return;
    lun_policy_close(v->policy);
    lun_snapshot_unref(v->snapshot);
    lun_registry_free(v->registry);
    lun_loop_free(&v->loop);
    lun_buf_free(&v->text);
    free(v);
}

const struct lun_verify_counts *lun_verify_counts(const verify *v) { return &v->counts; }

bool lun_verify_good(const verify *v)
{
    const struct lun_verify_counts *c = &v->counts;
    return c->decisions && c->same == c->decisions && !c->different && !c->needs_text && !c->too_large;
}

/* ---- what is told ---- */

/* A text of the log without its quotes and escapes, or a value as it stands there; clipped. */
static void take(char *out, size_t room, struct lun_json value)
{
    struct lun_buf text = {0};
    if (!lun_json_string(value, false, &text)) lun_buf_add(&text, value.at, value.n);
    snprintf(out, room, "%.*s", (int)lun_text_clip(text.at, text.n, room - 1), text.n ? text.at : "");
    lun_buf_free(&text);
}

static void copy(char *out, size_t room, const char *text, size_t n) { snprintf(out, room, "%.*s", (int)lun_text_clip(text, n, room - 1), n ? text : ""); }

static void place(const struct replayed *r, struct lun_verify_first *f)
{
    *f = (struct lun_verify_first){ .line = r->line->number };
    take(f->id, sizeof f->id, lun_log_field(r->line, LUN_LOG_ID));
    snprintf(f->hook, sizeof f->hook, "%s", r->hook ? r->hook : "");
}

/* Gives where it is to be written down: NULL, when there was one before. */
static struct lun_verify_first *differs(struct replayed *r)
{
    struct lun_verify_first *f = &r->v->first;
    r->v->counts.different++;
    if (f->line) return NULL;
    place(r, f);
    return f;
}

static bool unreadable(struct replayed *r, const char *what)
{
    struct lun_verify_first *f = differs(r);
    if (f) snprintf(f->now, sizeof f->now, "what stands in `replay` is not what this version writes: %s", what);
    return false;
}

static bool read_differs(struct replayed *r)
{
    struct lun_verify_first *f = differs(r);
    if (!f) return false;
    struct lun_json had = { r->tape.differs.log, strlen(r->tape.differs.log) };
    take(f->log, sizeof f->log, had);
    snprintf(f->now, sizeof f->now, "%s", r->tape.differs.now);
    snprintf(f->where, sizeof f->where, "%s", r->tape.differs.where);
    snprintf(f->read, sizeof f->read, "what it read");
    return false;
}

/* ---- one line ---- */

static enum lun_endpoint endpoint_named(struct lun_json name)
{
    for (int i = 0; i < LUN_ENDPOINT_COUNT; i++) if (lun_json_equal(name, lun_endpoint_name(i), strlen(lun_endpoint_name(i)))) return i;
    return LUN_ENDPOINT_CHAT;
}

/* What follows from the line and the configuration; all else that hooks look at is on the tape. */
static struct lun_question *question_of(verify *v, const struct lun_log_line *line)
{
    char id[LUN_REQUEST_ID + 8];
    uint64_t seed = 1;
    take(id, sizeof id, lun_log_field(line, LUN_LOG_ID));
    if (!lun_request_seed(id, &seed)) seed = 1;
    struct lun_question *q = lun_question_new(NULL, v->snapshot, v->registry, &v->loop, line->time, seed);
    q->endpoint = endpoint_named(lun_log_field(line, LUN_LOG_ENDPOINT));
    q->model = lun_json_string_in(lun_log_field(line, LUN_LOG_MODEL), false, q->arena, NULL);
    q->stream = lun_json_true(lun_log_field(line, LUN_LOG_STREAM));
    if (strcmp(q->model, "auto")) q->entry = lun_snapshot_model(v->snapshot, q->model, &q->rest);
    q->targets = q->asked = v->snapshot->all;
    q->n_targets = q->n_asked = v->snapshot->n_all;
    return q;
}

static const struct lun_target *target_named(const struct lun_snapshot *s, struct lun_json name)
{
    for (int i = 0; i < s->n_targets; i++) if (lun_json_equal(name, s->targets[i].name, strlen(s->targets[i].name))) return &s->targets[i];
    return NULL;
}

static bool use_targets(struct replayed *r, struct lun_json names)
{
    struct lun_question *q = r->question;
    if (!names.n) return true;
    const struct lun_target **list = lun_arena_alloc(q->arena, (lun_json_count(names) + 1) * sizeof *list);
    q->targets = list;
    q->n_targets = 0;
    for (struct lun_json_each e = lun_json_each(names); lun_json_next(&e); ) {
        const struct lun_target *t = target_named(q->snapshot, e.value);
        if (t) list[q->n_targets++] = t;
        else {
            struct lun_verify_first *f = differs(r);
            if (f) take(f->log, sizeof f->log, e.value), snprintf(f->now, sizeof f->now, "the configuration has no such target");
            return false;
        }
    }
    return true;
}

/* Its limit stopped it, by the clock: what it would have come to nobody knows. */
static bool was_stopped(struct lun_json answer)
{
    struct lun_json why = lun_json_get(answer, "failed");
    return lun_json_is(why, "cpu") || lun_json_is(why, "memory");
}

static void count_failure(struct replayed *r, const struct lun_thought *t)
{
    if (t->state != LUN_THOUGHT_FAILED) return;
    if (r->v->counts.failed++) return;
    place(r, &r->v->failure);
    snprintf(r->v->failure.now, sizeof r->v->failure.now, "%s", t->error);
}

static bool same_answer(struct replayed *r, const struct lun_thought *t, struct lun_json answer)
{
    struct lun_buf *now = &r->v->text;
    now->n = 0;
    lun_tape_put_answer(now, t);
    count_failure(r, t);
    if (now->n == answer.n && !memcmp(now->at, answer.at, answer.n)) return true;
    struct lun_verify_first *f = differs(r);
    if (!f) return false;
    take(f->log, sizeof f->log, answer);
    copy(f->now, sizeof f->now, now->at, now->n);
    snprintf(f->read, sizeof f->read, "what it decided");
    return false;
}

/* Thinks as far as the tape goes. */
static void go_on(struct replayed *r, struct lun_thought *t, bool answered)
{
    while (t->state == LUN_THOUGHT_WISHES && !r->tape.differs.there && lun_tape_brings(&r->tape)) lun_thought_fulfil(t, NULL);
    if (t->state == LUN_THOUGHT_WISHES && !r->tape.differs.there && answered) lun_thought_give_up(t);
}

/* Whether what comes later can be compared. */
static bool ask(struct replayed *r, enum lun_hook hook, const struct lun_trial *about, struct lun_json reads, struct lun_json answer)
{
    static const struct lun_outcome outcome;
    verify *v = r->v;
    lun_tape_feed(&r->tape, reads);
    lun_policy_play(v->policy, r->question, &r->tape);
    struct lun_thought *t = lun_policy_think(v->policy, r->question, hook, about, hook == LUN_HOOK_FINISH ? &outcome : NULL);
    go_on(r, t, answer.n);
    if (answer.n) lun_tape_end(&r->tape);           /* without one it was no longer waited for, in the middle */
    bool good = r->tape.differs.there ? read_differs(r) : !answer.n || same_answer(r, t, answer);
    v->counts.same += good && answer.n;
    lun_thought_end(t);
    return good;
}

static bool hook_named(struct lun_json name, enum lun_hook *hook)
{
    for (*hook = 0; *hook < LUN_HOOK_COUNT; (*hook)++) if (lun_json_equal(name, lun_hook_name(*hook), strlen(lun_hook_name(*hook)))) return true;
    return false;
}

static bool replay_hook(struct replayed *r, struct lun_json said)
{
    enum lun_hook hook;
    int64_t number = 0;
    struct lun_json attempt = lun_json_get(said, "attempt"), reads = lun_json_get(said, "reads");
    if (!hook_named(lun_json_get(said, "hook"), &hook) || lun_json_type(reads) != LUN_JSON_ARRAY) return unreadable(r, "a hook without its name or its reads");
    r->hook = lun_hook_name(hook);
    if (attempt.n && (!lun_json_int(attempt, &number) || number < 1 || number > INT32_MAX)) return unreadable(r, "the number of an attempt");
    if (!number && (hook == LUN_HOOK_JUDGE || hook == LUN_HOOK_RETRY)) return unreadable(r, "a hook without the attempt that it is about");
    if (!use_targets(r, lun_json_get(said, "targets"))) return false;
    return ask(r, hook, number ? lun_tape_trial(r->question, (int)number) : NULL, reads, lun_json_get(said, "answer"));
}

/* A hook that the policy had not then: nobody knows what it would have read. */
static bool has_no_more(struct replayed *r, struct lun_json has)
{
    for (int h = 0; h < LUN_HOOK_COUNT; h++) {
        bool had = false;
        for (struct lun_json_each e = lun_json_each(has); lun_json_next(&e); ) had |= lun_json_equal(e.value, lun_hook_name(h), strlen(lun_hook_name(h)));
        if (had || !lun_policy_has(r->v->policy, h)) continue;
        r->hook = lun_hook_name(h);
        struct lun_verify_first *f = differs(r);
        if (f) snprintf(f->now, sizeof f->now, "the policy has this hook, and had it not then");
        return false;
    }
    return true;
}

/* How many decisions there are; and why there are no more of them. */
static int64_t survey(verify *v, struct lun_json hooks)
{
    int64_t n = 0;
    for (struct lun_json_each e = lun_json_each(hooks); lun_json_next(&e); ) {
        struct lun_json answer = lun_json_get(e.value, "answer"), why = lun_json_get(e.value, "stopped");
        if (why.n) ++*(lun_json_is(why, "text") ? &v->counts.needs_text : &v->counts.too_large);
        if (was_stopped(answer)) {
            while (v->counts.stopped++, lun_json_next(&e)) { }
            break;
        }
        n += answer.n > 0;
    }
    return n;
}

static bool ends(struct lun_json said) { return lun_json_get(said, "stopped").n || was_stopped(lun_json_get(said, "answer")); }

static void replay_all(struct replayed *r, struct lun_json said)
{
    struct lun_json hooks = lun_json_get(said, "hooks");
    r->v->counts.decisions += survey(r->v, hooks);
    if (lun_json_type(hooks) != LUN_JSON_ARRAY) unreadable(r, "there are no `hooks`");
    else if (has_no_more(r, lun_json_get(said, "has")))
        for (struct lun_json_each e = lun_json_each(hooks); lun_json_next(&e) && !ends(e.value) && replay_hook(r, e.value); ) { }
}

void lun_verify_line(verify *v, const struct lun_log_line *line)
{
    struct lun_json said = lun_log_field(line, LUN_LOG_REPLAY), version = lun_log_field(line, LUN_LOG_POLICY);
    char *error = NULL;
    v->counts.requests++;
    if (!said.n) return;
    v->counts.recorded++;
    v->counts.other_version += !lun_json_equal(version, v->snapshot->version, strlen(v->snapshot->version));
    if (lun_policy_worn(v->policy) && !open_policy(v, &error)) abort();     /* it loaded before */
    struct replayed r = { .v = v, .line = line, .question = question_of(v, line) };
    replay_all(&r, said);
    lun_policy_forget(v->policy, r.question);
    lun_question_free(r.question);
}

/* ---- all of it ---- */

static void put_place(const struct lun_verify_first *f, struct lun_buf *out)
{
    lun_buf_printf(out, "request %s (line %lld), hook %s", f->id, (long long)f->line, f->hook);
}

static void put_first(const struct lun_verify_first *f, struct lun_buf *out)
{
    if (!f->line) return;
    lun_buf_puts(out, "the first difference: ");
    put_place(f, out);
    if (f->read[0]) lun_buf_printf(out, ", in %s", f->read);
    lun_buf_putc(out, '\n');
    if (f->log[0]) lun_buf_printf(out, "  the log has  %s\n", f->log);
    lun_buf_printf(out, "  now          %s%s\n", f->where, f->now);
}

static void put_failure(const struct lun_verify_first *f, struct lun_buf *out)
{
    if (!f->line) return;
    lun_buf_puts(out, "the first failure: ");
    put_place(f, out);
    lun_buf_printf(out, "\n  %s\n", f->now);
}

void lun_verify_text(const verify *v, struct lun_buf *out)
{
    const struct lun_verify_counts *c = &v->counts;
#define X(name, said, text) if (said && c->name) lun_buf_printf(out, "%lld %s\n", (long long)c->name, text);
    LUN_VERIFY_COUNTS(X)
#undef X
    put_failure(&v->failure, out);
    put_first(&v->first, out);
    if (!c->recorded) lun_buf_puts(out, "nothing to compare: a line has it where the gateway runs with log = { replay = true } and the policy has hooks\n");
    lun_buf_printf(out, "%lld of %lld decisions the same\n", (long long)c->same, (long long)c->decisions);
}

static void put_members(const struct lun_verify_first *f, const char *name, struct lun_buf *out)
{
    lun_json_put_key(out, name);
    if (!f->line) {
        lun_buf_puts(out, "null");
        return;
    }
    lun_buf_putc(out, '{');
    lun_json_member_int(out, "line", f->line);
    lun_json_member_text(out, "id", f->id);
    lun_json_member_text(out, "hook", f->hook);
    if (f->read[0]) lun_json_member_text(out, "in", f->read);
    if (f->log[0]) lun_json_member_text(out, "log", f->log);
    lun_json_member_text(out, "now", f->now);
    if (f->where[0]) lun_json_member_text(out, "where", f->where);
    lun_buf_putc(out, '}');
}

void lun_verify_json(const verify *v, struct lun_buf *out)
{
#define X(name, ...) lun_json_member_int(out, #name, v->counts.name);
    LUN_VERIFY_COUNTS(X)
#undef X
    put_members(&v->first, "first_difference", out);
    put_members(&v->failure, "first_failure", out);
}

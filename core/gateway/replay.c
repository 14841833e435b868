#include "gateway/replay.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "gateway/admission.h"
#include "gateway/simulate.h"
#include "gateway/upstream_log.h"
#include "state/charge.h"
#include <stdlib.h>
#include <string.h>

enum { CALLS = 64, OPEN = 2048 };       /* calls of a request that are told apart, more are as if the log did not have them; requests under way at once, beyond
                                           which the clock goes on: where the times of a log stand still */

#define MOST_TOKENS 1000000000          /* that a request may ask for: gateway/recognise.c */

typedef struct lun_replay replay;
enum source { FROM_LOG, CENSORED, DRAWN, UNSEEN };      /* CENSORED: the log saw its beginning, and then it was no longer wanted */
struct called { const struct lun_trial *trial; enum source source; int64_t cost; };
struct visit {
    struct lun_before before;   /* first */
    struct lun_timer leave;     /* when its client did */
    struct visit *next, **link;
    replay *of;
    struct lun_logged *logged;
    struct lun_request *request;
    struct lun_question *question;
    struct called calls[CALLS]; int n_calls;
    bool begun; struct lun_came_to then, now;   /* what is expected of its first target in the log, and here */
    struct lun_chance chances[];
};
struct lun_replay {
    struct lun_replay_options options;
    struct lun_simulation *simulation;
    struct lun_upstream_log upstream;
    struct lun_arena_stock stock;
    struct lun_figures really, figures;
    struct lun_estimate estimates[LUN_MEASURE_COUNT];
    struct lun_quantiles latency; struct lun_histogram latency_really;      /* of those requests, where they were answered */
    int64_t counts[LUN_REPLAY_COUNT];
    struct visit *visits; int open;
    struct lun_tuning *tuning; struct lun_buf tuned;        /* the last request's, and the JSON that it is made of */
    lun_us began;               /* wall */
};

static const struct { const char *name, *text; } counts[] = {
#define X(id, name, text) { name, text },
    LUN_REPLAY_COUNTS(X)
#undef X
};
const char *lun_replay_count_name(enum lun_replay_count c) { return counts[c].name; }
const char *lun_replay_count_text(enum lun_replay_count c) { return counts[c].text; }

/* ---- how its attempts end ---- */

static struct visit *visit_of(const struct lun_question *q) { return (struct visit *)q->before; }

/* The next attempt at that target that the log has of it; NULL: there is none (any more). */
static const struct lun_logged_attempt *next_logged(const struct visit *v, const char *target)
{
    int before = 0;
    for (int i = 0; i < v->n_calls; i++) before += !strcmp(v->calls[i].trial->target->name, target);
    for (int i = 0; i < v->logged->n_attempts; i++) {
        const struct lun_logged_attempt *a = &v->logged->attempts[i];
        if (a->sent && !strcmp(a->target, target) && !before--) return a;
    }
    return NULL;
}

/* Of a target that nobody has seen: as it ended where it went. */
static void as_elsewhere(const struct lun_logged *g, struct lun_ending *out)
{
    for (int i = 0; i < g->n_attempts; i++) if (g->attempts[i].sent && g->attempts[i].outcome.kind != LUN_KIND_CANCELLED) *out = g->attempts[i].outcome;
}

static enum source draw(const struct visit *v, const struct lun_call *call, struct lun_ending *out)
{
    const char *target = call->trial->target->name;
    uint64_t random = lun_hash(&call->trial->try, sizeof call->trial->try, lun_hash_text(target, v->logged->seed));
    if (lun_outcomes_draw(v->of->options.outcomes, target, v->logged, random, out)) return DRAWN;
    as_elsewhere(v->logged, out);
    return UNSEEN;
}

static enum source find(const struct visit *v, const struct lun_call *call, struct lun_ending *out, int64_t *cost)
{
    const struct lun_replay_options *o = &v->of->options;
    if (o->tell) return o->tell(o->tell_self, call, v->logged, out) ? FROM_LOG : UNSEEN;
    const struct lun_logged_attempt *a = next_logged(v, call->trial->target->name);
    if (a) {
        *out = a->outcome;
        *cost = a->cost;
    }
    if (a && a->outcome.kind != LUN_KIND_CANCELLED) return FROM_LOG;
    enum source source = draw(v, call, out);
    if (!a) return source;
    if (out->took <= a->outcome.took) out->took = a->outcome.took + 1;
    return CENSORED;
}

static void begin(struct visit *v, const struct lun_trial *trial)
{
    if (v->begun) return;
    v->begun = true;
    v->now = lun_outcomes_expect(v->of->options.outcomes, trial ? trial->target->name : NULL);
}

static void tell(void *self, const struct lun_call *call, struct lun_ending *out)
{
    struct visit *v = visit_of(call->question);
    struct called c = { .trial = call->trial, .cost = -1 };
    (void)self;
    if (!v) {                                           /* a policy's own, from `finish`: nobody is asked */
        *out = (struct lun_ending){ .kind = LUN_KIND_CONNECT_REFUSED, .ttft = -1 };
        return;
    }
    begin(v, call->trial);
    c.source = find(v, call, out, &c.cost);
    if (v->n_calls < CALLS) v->calls[v->n_calls++] = c;
}

/* ---- what a request came to ---- */

static const struct called *called(const struct visit *v, const struct lun_trial *t)
{
    for (int i = 0; i < v->n_calls; i++) if (v->calls[i].trial == t) return &v->calls[i];
    return NULL;
}

static bool sent(const struct lun_trial *t)      { return t->sent && t->kind != LUN_KIND_SKIPPED; }
static bool cancelled(const struct lun_trial *t) { return !t->closed || t->kind == LUN_KIND_CANCELLED; }

/* What the log charged for an attempt; for others what the walk did. */
static int64_t cost_of(const struct visit *v)
{
    int64_t cost = 0;
    for (const struct lun_trial *t = v->question->trials; t; t = t->next) {
        const struct called *c = called(v, t);
        bool logged = c && c->cost >= 0 && (c->source == FROM_LOG || cancelled(t));
        cost += logged ? c->cost : t->cost;
    }
    return cost;
}

static int retries_of(const struct lun_question *q)
{
    int n = 0;
    for (const struct lun_trial *t = q->trials; t; t = t->next) n += sent(t) && !t->hedge;
    return n > 1 ? n - 1 : 0;
}

static enum source worst(const struct visit *v)
{
    enum source worst = FROM_LOG;
    for (int i = 0; i < v->n_calls; i++) {
        const struct called *c = &v->calls[i];
        if (c->source == CENSORED && cancelled(c->trial)) continue;
        if (c->source > worst) worst = c->source;
    }
    return worst;
}

/* ---- estimates ---- */

static const char *first_of(const struct lun_question *q)  { return q->trials ? q->trials->target->name : NULL; }
static const char *first_in(const struct lun_logged *g)    { return g->n_attempts ? g->attempts[0].target : NULL; }
static bool same(const char *a, const char *b)             { return a && b ? !strcmp(a, b) : a == b; }

/* How likely this policy chooses as the log did, divided by how likely that was. False: nobody can tell. */
static bool weigh(const struct visit *v, double *weight)
{
    int met = 0, n = v->before.n_chances;
    bool here = same(first_of(v->question), first_in(v->logged));
    *weight = 1;
    for (int i = 0; i < n; i++) {
        const struct lun_chance *c = &v->chances[i];
        met += c->met;
        *weight *= (c->met ? c->now : 1) / c->then;
    }
    if (!met) *weight *= here;
    return !v->before.other && (!met || met == n);
}

static void estimate(struct visit *v, int64_t *counted)
{
    const struct lun_logged *g = v->logged;
    struct lun_came_to really = lun_came_to(g->cost, g->latency, lun_logged_answered(g));
    double weight;
    if (!v->before.n_chances) { counted[LUN_REPLAY_NO_CHANCE]++; return; }
    if (!weigh(v, &weight)) { counted[LUN_REPLAY_OTHER_CHANCE]++; return; }
    begin(v, NULL);
    for (int m = 0; m < LUN_MEASURE_COUNT; m++) lun_estimate_add(&v->of->estimates[m], weight, really.of[m], v->then.of[m], v->now.of[m]);
    if (!lun_logged_answered(g)) return;
    lun_quantiles_add(&v->of->latency, g->latency, weight);
    lun_histogram_record(&v->of->latency_really, g->latency);
}

/* ---- counting ---- */

static const char *failure_of(const struct lun_question *q)
{
    for (int i = 0; i < q->n_notes; i++) if (!strncmp(q->notes[i].name, "error_", 6)) return q->notes[i].value;
    return "\"?\"";
}

static void count_missed(replay *r, unsigned missed)
{
    static const struct { unsigned what; enum lun_replay_count count; } rows[] = {
        { LUN_UNSAID_TEXT, LUN_REPLAY_NO_TEXT }, { LUN_UNSAID_BODY, LUN_REPLAY_NO_BODY }, { LUN_UNSAID_HEADERS, LUN_REPLAY_NO_HEADERS },
        { LUN_UNSAID_TOKENS, LUN_REPLAY_NO_TOKENS }, { LUN_UNSAID_ANSWER, LUN_REPLAY_NO_ANSWER }, { LUN_UNSAID_WISH, LUN_REPLAY_NO_WISH },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) r->counts[rows[i].count] += !!(missed & rows[i].what);
}

static const char *model_of_logged(const replay *r, const struct lun_logged *g)
{
    const struct lun_target *t = g->target ? lun_snapshot_target(lun_simulation_snapshot(r->simulation), g->target) : NULL;
    return t ? t->model : g->target;
}

static struct lun_ended ended_really(const replay *r, const struct lun_logged *g)
{
    return (struct lun_ended){ .answered = lun_logged_answered(g), .refused = g->code && !strcmp(g->code, lun_code_name(LUN_CODE_BUDGET_EXCEEDED)),
                               .failed = g->failed, .retries = lun_logged_retries(g), .cost = g->cost, .latency = g->latency, .model = model_of_logged(r, g) };
}

static void count(struct visit *v, const struct lun_done *done, lun_us latency)
{
    replay *r = v->of;
    struct lun_question *q = v->question;
    enum source source = worst(v);
    bool answered = done && done->status >= 200 && done->status < 300 && !done->stream_torn;
    lun_figures_add(&r->figures, &(struct lun_ended){
        .answered = answered, .refused = done && done->code && !strcmp(done->code, lun_code_name(LUN_CODE_BUDGET_EXCEEDED)), .failed = q->policy_failed,
        .retries = retries_of(q), .cost = cost_of(v), .latency = latency + v->logged->own,
        .model = done && done->trial ? done->trial->target->model : NULL });
    r->counts[source == FROM_LOG || source == CENSORED ? LUN_REPLAY_LOGGED : LUN_REPLAY_ESTIMATED]++;
    r->counts[LUN_REPLAY_UNSEEN] += source == UNSEEN;
    count_missed(r, v->before.missed);
    estimate(v, r->counts);
    if (q->policy_failed && r->options.failed) r->options.failed(r->options.self, &(struct lun_replay_told){ v->logged, failure_of(q) });
}

/* ---- its client ---- */

static void free_visit(struct visit *v)
{
    lun_timer_set(v->of->upstream.loop, &v->leave, LUN_NEVER);
    *v->link = v->next;
    if (v->next) v->next->link = v->link;
    v->of->open--;
    lun_logged_unref(v->logged);
    free(v);
}

static void say_head(void *self, const struct lun_head *head)        { (void)self, (void)head; }
static void say_bytes(void *self, const char *bytes, size_t n)       { (void)self, (void)bytes, (void)n; }
static bool takes_trailers(void *self)                               { return (void)self, false; }

static void say_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n)
{
    struct visit *v = self;
    struct lun_done done = *lun_request_done(v->request);
    (void)trailers, (void)n;
    done.stream_torn = end == LUN_TORN;
    count(v, &done, done.latency);
    v->question->before = NULL;
    free_visit(v);
}
static const struct lun_client client = { say_head, say_bytes, say_end, takes_trailers };

static void leave(struct lun_timer *t)
{
    struct visit *v = (struct visit *)(void *)((char *)t - offsetof(struct visit, leave));
    count(v, NULL, v->logged->latency - v->logged->own);
    v->question->before = NULL;
    lun_request_leave(v->request);
    free_visit(v);
}

/* ---- asking ---- */

/* As little of a body as has what the log knows. */
static void put_body(const struct lun_logged *g, struct lun_buf *out)
{
    bool chat = g->endpoint == LUN_ENDPOINT_CHAT;
    lun_buf_puts(out, "{\"model\":");
    lun_json_put_text(out, g->model);
    if (g->stream) lun_buf_puts(out, ",\"stream\":true");
    if (g->max_tokens >= 0 && g->max_tokens <= MOST_TOKENS) lun_buf_printf(out, ",\"max_tokens\":%lld", (long long)g->max_tokens);
    lun_buf_puts(out, chat ? ",\"messages\":[{\"role\":\"user\",\"content\":" : g->endpoint == LUN_ENDPOINT_EMBEDDINGS ? ",\"input\":" : ",\"prompt\":");
    lun_json_put_string(out, g->text ? g->text : "", g->text_n);
    lun_buf_puts(out, chat ? "}]}" : "}");
}

static const char *kept(struct lun_question *q, const char *text) { return lun_arena_strdup(q->arena, text); }

/* What the log says of who asks was trusted then. */
static void take_who(struct lun_question *q, const struct lun_logged *g)
{
    q->user = kept(q, g->user);
    q->session = kept(q, g->session);
    if (g->task) q->task = kept(q, g->task);
    if (g->class) q->class = kept(q, g->class);
    q->tags = lun_arena_alloc(q->arena, (size_t)(g->n_tags + LUN_TAG_BUDGETS + 1) * sizeof *q->tags);
    q->n_tags = 0;
    for (int i = 0; i < g->n_tags; i++) q->tags[q->n_tags++] = (struct lun_pair){ kept(q, g->tags[i].name), kept(q, g->tags[i].value) };
    for (int i = 0; i < g->n_tags; i++) {
        const struct lun_tag_budget *t = lun_charge_tag(q, g->tags[i].name);
        if (t && lun_charge_value_good(g->tags[i].value)) lun_charge_set(q, t, g->tags[i].value);
    }
}

/* Its input was so long, whatever of it is known. */
static void take_tokens(struct lun_question *q, const struct lun_logged *g)
{
    if (!g->usage.known) return;
    q->survey.guess = g->usage.input;
    if (q->survey.bound < g->usage.input) q->survey.bound = g->usage.input;
}

static const struct lun_client_rule *client_of(replay *r, const struct lun_logged *g)
{
    const struct lun_client_rule *c = g->key ? lun_snapshot_client_named(lun_simulation_snapshot(r->simulation), g->key) : NULL;
    r->counts[LUN_REPLAY_NO_CLIENT] += g->key && !c;
    return c;
}

/* The policy's settings, as far as this one has them, are what they were. */
static struct lun_tuning *read_tuning(const struct lun_snapshot *s, struct lun_json settings)
{
    struct lun_arena arena = {0};
    struct lun_tuned *items = lun_arena_alloc(&arena, (lun_json_count(settings) + 1) * sizeof *items);
    char problem[LUN_SETTING_PROBLEM];
    int n = 0;
    for (struct lun_json_each e = lun_json_each(settings); e.object && lun_json_next(&e); ) {
        const char *name = lun_json_string_in(e.key, true, &arena, NULL);
        const struct lun_policy_setting *rule = name ? lun_snapshot_setting(s, name) : NULL;
        items[n].name = name;
        n += rule && lun_plain_of_json(e.value, &arena, &items[n].value) && lun_policy_setting_takes(rule, &items[n].value, problem);
    }
    struct lun_tuning *tuning = n ? lun_tuning_new(items, n) : NULL;
    lun_arena_free(&arena);
    return tuning;
}

static struct lun_tuning *tuning_of(replay *r, const struct lun_logged *g)
{
    if (g->settings.n == r->tuned.n && (!g->settings.n || !memcmp(g->settings.at, r->tuned.at, r->tuned.n))) return r->tuning;
    lun_tuning_unref(r->tuning);
    r->tuned.n = 0;
    lun_buf_add(&r->tuned, g->settings.at, g->settings.n);
    return r->tuning = read_tuning(lun_simulation_snapshot(r->simulation), g->settings);
}

static struct lun_question *question_of(replay *r, const struct lun_logged *g)
{
    struct lun_question *q = lun_station_question_of(lun_simulation_station(r->simulation), g->seed);
    size_t n = strlen(g->id);
    if (n && n < sizeof q->id) memcpy(q->id, g->id, n + 1);
    lun_tuning_unref(q->tuning);
    q->tuning = lun_tuning_ref(tuning_of(r, g));
    put_body(g, &q->kept);
    return q;
}

static bool recognise(replay *r, struct lun_question *q, const struct lun_logged *g, struct lun_error *e)
{
    static const struct lun_pair headers[] = { { "cache-control", "no-store" } };       /* who answers from a cache is not known without the text */
    struct lun_incoming in = { .endpoint = g->endpoint, .headers = headers, .n_headers = 1, .body = lun_buf_text(&q->kept), .n = q->kept.n, .client = client_of(r, g) };
    if (!lun_admission_question(q, &in, e)) return false;
    take_who(q, g);
    take_tokens(q, g);
    return true;
}

static void refused(replay *r, struct lun_question *q, const struct lun_logged *g, const struct lun_error *e)
{
    lun_figures_add(&r->figures, &(struct lun_ended){ .latency = g->own });
    r->counts[LUN_REPLAY_LOGGED]++;
    r->counts[LUN_REPLAY_NO_CHANCE]++;
    lun_admission_refuse(lun_simulation_station(r->simulation), q, e, NULL, NULL);
}

static struct visit *new_visit(replay *r, struct lun_logged *g, struct lun_question *q)
{
    struct visit *v = lun_zalloc(sizeof *v + (size_t)g->n_chances * sizeof *v->chances);
    *v = (struct visit){ .leave.fire = leave, .next = r->visits, .link = &r->visits, .of = r, .logged = lun_logged_ref(g), .question = q };
    if (g->n_chances) memcpy(v->chances, g->chances, (size_t)g->n_chances * sizeof *v->chances);
    v->before = (struct lun_before){ .unsaid = LUN_UNSAID_BODY | LUN_UNSAID_HEADERS | LUN_UNSAID_ANSWER | LUN_UNSAID_WISH | (g->text ? 0 : LUN_UNSAID_TEXT)
                                     | (g->text || g->usage.known ? 0 : LUN_UNSAID_TOKENS), .tape = g->tape, .chances = v->chances, .n_chances = g->n_chances };
    if (v->next) v->next->link = &v->next;
    r->visits = v;
    r->open++;
    v->then = lun_outcomes_expect(r->options.outcomes, first_in(g));
    return v;
}

static void open(replay *r, struct lun_logged *g)
{
    struct lun_question *q = question_of(r, g);
    struct lun_error e;
    if (!recognise(r, q, g, &e)) {
        refused(r, q, g, &e);
        return;
    }
    struct visit *v = new_visit(r, g, q);
    q->before = &v->before;
    v->request = lun_station_open(lun_simulation_station(r->simulation), q, &client, v, true);
    if (g->status == 499) lun_timer_set(r->upstream.loop, &v->leave, r->upstream.loop->now + g->latency);
}

static bool move_to(replay *r, lun_us wall)
{
    lun_us by = wall - r->began - lun_simulation_now(r->simulation);
    bool good = lun_simulation_advance(r->simulation, by > 0 ? by : 0);
    while (good && r->open > OPEN) good = lun_simulation_advance(r->simulation, 10 * LUN_MS);
    return good;
}

bool lun_replay_ask(replay *r, struct lun_logged *g)
{
    struct lun_ended really = ended_really(r, g);
    if (!move_to(r, g->time)) return false;
    if (g->inner) {
        r->counts[LUN_REPLAY_INNER]++;
        return true;
    }
    lun_figures_add(&r->really, &really);
    if (g->undecided) {
        r->counts[LUN_REPLAY_UNDECIDED]++;
        lun_figures_add(&r->figures, &really);
        return true;
    }
    lun_simulation_fresh(r->simulation);
    open(r, g);
    return lun_simulation_advance(r->simulation, 0);
}

bool lun_replay_end(replay *r)
{
    for (int day = 0; r->visits && day < 3; day++) if (!lun_simulation_advance(r->simulation, 86400 * LUN_SECOND)) return false;
    return !r->visits;
}

/* ---- life ---- */

replay *lun_replay_new(struct lun_snapshot *snapshot, lun_us wall, const struct lun_replay_options *options, char **error)
{
    replay *r = lun_zalloc(sizeof *r);
    r->options = *options;
    r->began = wall;
    r->upstream = (struct lun_upstream_log){ .tell = tell, .self = r };
    r->simulation = lun_simulation_new(snapshot, &(struct lun_simulation_options){ .wall = wall, .upstream = &lun_upstream_log_port, .upstream_self = &r->upstream }, error);
    if (!r->simulation) {
        free(r);
        return NULL;
    }
    struct lun_station *station = lun_simulation_station(r->simulation);
    r->upstream.loop = station->loop;
    station->stock = &r->stock;
    return r;
}

void lun_replay_free(replay *r)
{
    if (!r) return;
    while (r->visits) {
        r->visits->question->before = NULL;
        lun_request_leave(r->visits->request);
        free_visit(r->visits);
    }
    lun_simulation_free(r->simulation);
    lun_arena_stock_free(&r->stock);
    lun_tuning_unref(r->tuning);
    lun_buf_free(&r->tuned);
    lun_figures_free(&r->really);
    lun_figures_free(&r->figures);
    free(r);
}

struct lun_interval lun_replay_quantile(const replay *r, double q)
{
    struct lun_interval i = lun_quantiles_get(&r->latency, q);
    return (struct lun_interval){ i.value / LUN_MS, i.low / LUN_MS, i.high / LUN_MS };
}

double lun_replay_quantile_really(const replay *r, double q)                             { return (double)lun_histogram_quantile(&r->latency_really, q) / LUN_MS; }
const struct lun_figures *lun_replay_really(const replay *r)                             { return &r->really; }
const struct lun_figures *lun_replay_figures(const replay *r)                            { return &r->figures; }
const struct lun_estimate *lun_replay_estimate(const replay *r, enum lun_measure m)      { return &r->estimates[m]; }
int64_t lun_replay_counted(const replay *r, enum lun_replay_count c)                     { return r->counts[c]; }

#include "gateway/dry_run.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/ring.h"
#include "gateway/simulate.h"
#include "gateway/station.h"
#include "state/charge.h"
#include "state/health.h"
#include "state/tag_values.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM   ((size_t)4 << 20)        /* of the lines and explanations of a run */
#define FINISH (11 * LUN_SECOND)        /* what `finish` may wait for is over by then */
enum { LINES = 64, DRIPS = 100000 /* of an answer that goes on, at most */ };

static const struct { const char *name, *answer; } ways[] = {
#define X(name, answer) { name, answer },
    LUN_WAYS(X)
#undef X
};
enum { WAYS = sizeof ways / sizeof *ways, WELL = WAYS, BEFORE = 0 };    /* WELL: it does not fail. BEFORE: how the steps before the one in question do */

static int way_of(const char *name)
{
    int way = 0;
    while (way < WAYS && strcmp(ways[way].name, name)) way++;
    return way;
}

/* ---- one run ---- */

/* What the runs of a request have in common. Targets are known by their names: each run has a snapshot of its own. */
struct course {
    const struct lun_dry_run *of;
    const char *steps[LUN_STEPS]; int n;
    struct fault { int way, status; lun_us after; const char *said; } faults[LUN_STEPS];       /* of the run that is begun next, by the first step of a target */
    int step;                           /* in question; -1: none */
    bool all;                           /* all are in question */
    struct lun_scenario *scenarios[WAYS + 1];       /* by way; made when they are needed */
    char *error;
};

struct run {
    struct course *course;
    struct lun_simulation *simulation;
    struct lun_ring *ring;
    const struct lun_upstream_port *port; void *port_self; struct lun_upstream_port watched;
    const struct lun_call *calling;     /* while a scene is asked for */
    bool reached;                       /* the step in question was asked */
    struct lun_client_rule who;
    struct lun_simulated_answer *answer;
    struct lun_buf line, why;
};

static int index_of(const struct course *c, const char *target)
{
    for (int i = 0; i < c->n; i++) if (!strcmp(c->steps[i], target)) return i;
    return -1;
}

static void *start(void *self, const struct lun_call *call, struct lun_attempt *a)
{
    struct run *r = self;
    r->calling = call;
    void *started = r->port->start(r->port_self, call, a);
    r->calling = NULL;
    return started;
}

/* A script whose function answers that. NULL: the course has an error. */
static struct lun_scenario *scenario(struct course *c, int way)
{
    struct lun_buf text = {0};
    if (c->scenarios[way]) return c->scenarios[way];
    lun_buf_puts(&text, "local text = ");
    lun_json_put_text(&text, c->of->said ? c->of->said : "Hello!");
    lun_buf_printf(&text, "\nreturn function() return %s end\n", way == WELL ? "{ text = text }" : ways[way].answer);
    c->scenarios[way] = lun_scenario_new("what if", text.at, text.n, NULL, NULL, &c->error);
    lun_buf_free(&text);
    return c->scenarios[way];
}

static bool open_scenarios(struct course *c)
{
    bool good = scenario(c, WELL);
    for (int i = 0; good && i < c->n; i++) good = scenario(c, c->faults[i].way);
    return good;
}

/* So often that no clock runs out but that of the whole: blanks in front of JSON, comments between events. */
static void go_on(struct lun_scene *scene, const struct lun_step *step, struct lun_arena *arena)
{
    lun_us pause = step->idle > 0 && step->idle < step->total ? step->idle / 2 : step->total;
    int first = scene->stream ? scene->n_pieces : 0, more = pause > 0 && step->total / pause < DRIPS ? (int)(step->total / pause) : DRIPS;
    struct lun_slice *pieces = lun_arena_alloc(arena, (size_t)(first + more) * sizeof *pieces);
    for (int i = 0; i < first + more; i++) pieces[i] = i < first ? scene->pieces[i] : scene->stream ? (struct lun_slice){ ": \n\n", 4 } : (struct lun_slice){ " ", 1 };
    scene->pieces = pieces, scene->n_pieces = first + more;
    scene->every = pause;
    scene->stream = true;
    scene->stall = LUN_NEVER;
}

static bool play(void *self, const struct lun_scene_request *request, struct lun_arena *arena, struct lun_scene *scene, const char **error)
{
    static const struct fault none = { .way = WELL };
    struct run *r = self;
    struct course *c = r->course;
    int at = r->calling && !r->calling->question->inner ? index_of(c, r->calling->trial->target->name) : -1;
    const struct fault *f = at >= 0 ? &c->faults[at] : &none;
    r->reached |= at >= 0 && at == c->step;
    if (!lun_scenario_play(c->scenarios[f->way], request, arena, scene, error)) return false;
    if (f->status) scene->status = f->status;
    if (scene->fail == LUN_KIND_CONNECT_TIMEOUT) scene->after = r->calling->step->connect;
    if (f->way == way_of("total_timeout")) go_on(scene, r->calling->step, arena);
    scene->after += f->after;
    return true;
}

/* ---- how steps fail ---- */

/* The one in question in its way, those before it so that they are passed by. */
static void fail_at(struct course *c, int step, int way)
{
    c->step = step;
    for (int i = 0; i < c->n; i++) c->faults[i] = (struct fault){ .way = i < step ? BEFORE : i == step ? way : WELL };
}

static void fail_all(struct course *c, int way)
{
    c->step = 0, c->all = true;
    for (int i = 0; i < c->n; i++) c->faults[i] = (struct fault){ .way = way };
}

/* What stands before the @, and behind it. False: it cannot be understood. */
static bool read_delay(const char *text, char name[32], lun_us *after)
{
    size_t n = strcspn(text, "@");
    double seconds = 0;
    char *end;
    if (!n || n >= 32) return false;
    memcpy(name, text, n), name[n] = 0;
    if (text[n] && ((seconds = strtod(text + n + 1, &end)), end == text + n + 1 || *end || !(seconds >= 0 && seconds <= 86400))) return false;
    *after = lun_us_from_seconds(seconds);
    return true;
}

static bool read_fault(const char *text, struct fault *f)
{
    char name[32], *end;
    lun_us after;
    if (!read_delay(text, name, &after)) return false;
    long status = strtol(name, &end, 10);
    if (!*end) *f = (struct fault){ way_of("server_error"), (int)status, after, text };
    else *f = (struct fault){ way_of(strcmp(name, "timeout") ? name : "first_byte_timeout"), 0, after, text };
    return *end ? f->way < WAYS || !strcmp(name, "ok") : status >= 400 && status <= 599;
}

static bool fail_as_told(struct course *c, const struct lun_pair *told)
{
    struct fault f;
    char *end;
    bool all = !strcmp(told->name, "all");
    long step = strtol(told->name, &end, 10);
    if (!all && (*end || step < 1 || step > c->n)) c->error = lun_printf("the plan has no step \"%s\" that could fail: it has %d, and there is \"all\"", told->name, c->n);
    else if (!read_fault(told->value, &f))
        c->error = lun_printf("no step fails by \"%s\": say a way (reset, rate_limited, timeout …), a status from 400 to 599, or ok; and @ with seconds behind it", told->value);
    for (int i = 0; !c->error && i < c->n; i++) if (i == index_of(c, c->steps[all ? i : step - 1])) c->faults[i] = f;
    return !c->error;
}

/* ---- how things stand ---- */

/* As after a 429 on each of its keys. */
static void have_it_rest(const struct lun_target *t, lun_us seconds, lun_us now)
{
    int keys = t->provider->n_keys ? t->provider->n_keys : 1;
    for (int key = 0; key < keys; key++) {
        lun_health_begin(t, now, true);
        lun_health_end(t, &(struct lun_report){ .kind = LUN_KIND_RATE_LIMITED, .status = 429, .key = t->provider->n_keys ? key : -1, .retry_after = seconds, .began = now }, now);
    }
}

static bool rest(struct run *r, const struct lun_pair *said)
{
    const struct lun_target *t = lun_snapshot_target(lun_simulation_snapshot(r->simulation), said->name);
    char *end;
    double seconds = strtod(said->value, &end);
    if (!t) r->course->error = lun_printf("the configuration has no target \"%s\" that could rest", said->name);
    else if (end == said->value || *end || !(seconds > 0)) r->course->error = lun_printf("\"%s\" is to rest for a number of seconds, not \"%s\"", said->name, said->value);
    else have_it_rest(t, lun_us_from_seconds(seconds), lun_simulation_loop_time(r->simulation));
    return !r->course->error;
}

static bool is_called(struct lun_account *account, const char *name)
{
    struct lun_account_view v;
    if (!account) return false;
    lun_account_look(account, LUN_SIMULATION_WALL, &v);
    return !strcmp(v.name, name);
}

/* "tag tenant=acme", if that tag has a budget. */
static struct lun_account *account_of_tag(const struct lun_snapshot *s, const char *name)
{
    size_t n = strcspn(name, "=");
    for (int i = 0; name[n] && i < s->n_tags; i++)
        if (strlen(s->tags[i].name) == n && !memcmp(s->tags[i].name, name, n) && s->tags[i].state && lun_charge_value_good(name + n + 1))
            return lun_tag_values_account(s->tags[i].state, name + n + 1);
    return NULL;
}

static struct lun_account *account_called(const struct lun_snapshot *s, const char *name)
{
    if (!strncmp(name, "tag ", 4)) return account_of_tag(s, name + 4);
    for (int i = 0; i < s->n_clients; i++) if (is_called(s->clients[i].account, name)) return s->clients[i].account;
    for (int i = 0; i < s->n_teams; i++) if (is_called(s->teams[i].account, name)) return s->teams[i].account;
    return is_called(s->total_account, name) ? s->total_account : NULL;
}

static bool spend(struct run *r, const struct lun_pair *said)
{
    struct lun_account *account = account_called(lun_simulation_snapshot(r->simulation), said->name);
    struct lun_hold hold = {0};
    struct lun_shortage lacks;
    int64_t nano;
    if (!account) r->course->error = lun_printf("the configuration has no budget \"%s\"; there are \"key NAME\", \"team NAME\", \"tag NAME=VALUE\" and \"total\"", said->name);
    else if (!lun_price_parse(said->value, strlen(said->value), &nano)) r->course->error = lun_printf("of \"%s\" a number of USD is to be spent, not \"%s\"", said->name, said->value);
    if (r->course->error) return false;
    if (lun_hold_take(&hold, lun_simulation_registry(r->simulation)->money, &account, 1, 0, lun_simulation_wall(r->simulation), NULL, &lacks) == LUN_TAKEN) lun_hold_settle(&hold, nano);
    return true;
}

static bool set_up(struct run *r)
{
    const struct lun_dry_run *d = r->course->of;
    bool good = true;
    for (int i = 0; good && i < d->n_resting; i++) good = rest(r, &d->resting[i]);
    for (int i = 0; good && i < d->n_spent; i++) good = spend(r, &d->spent[i]);
    return good;
}

static bool open_run(struct run *r)
{
    struct course *c = r->course;
    struct lun_simulation_options options = { .scenes = { r, play }, .settings = c->of->settings, .n_settings = c->of->n_settings };
    struct lun_snapshot *s = open_scenarios(c) ? c->of->load(c->of->self) : NULL;
    if (!s || !(r->simulation = lun_simulation_new(s, &options, &c->error))) return false;
    struct lun_station *station = lun_simulation_station(r->simulation);
    r->port = station->upstream;
    r->port_self = station->upstream_self;
    r->watched = (struct lun_upstream_port){ start, r->port->pause, r->port->close };
    station->upstream = &r->watched;
    station->upstream_self = r;
    station->recent = r->ring = lun_ring_new(ROOM, LINES);
    return set_up(r);
}

static void close_run(struct run *r)
{
    lun_simulation_free(r->simulation);
    lun_ring_free(r->ring);
    lun_buf_free(&r->line), lun_buf_free(&r->why);
}

/* Who asks, and may ask why. */
static const struct lun_client_rule *asker(struct run *r)
{
    const struct lun_snapshot *s = lun_simulation_snapshot(r->simulation);
    static const struct lun_client_rule made = { .name = "made at run time", .substitute = true, .expose = true, .budget = { .limit = -1 } };
    const struct lun_client_rule *c = r->course->of->client ? lun_snapshot_client_named(s, r->course->of->client) : s->n_clients ? s->clients : s->clients_said ? &made : NULL;
    if (!c) return NULL;
    r->who = *c;
    r->who.trust |= LUN_TRUST_EXPLAIN;
    return &r->who;
}

/* Those of the policy's own questions are written down, too. */
static bool take_line(struct run *r)
{
    for (uint64_t n = lun_ring_newest(r->ring); n; n--) {
        r->line.n = r->why.n = 0;
        if (!lun_ring_get(r->ring, n, &r->line, &r->why)) return false;
        if (lun_json_is(lun_json_get((struct lun_json){ r->line.at, r->line.n }, "id"), r->answer->id)) return true;
    }
    return false;
}

static bool ask(struct run *r, bool decided)
{
    const struct lun_dry_run *d = r->course->of;
    struct lun_pair *headers = lun_alloc((size_t)(d->n_headers + 1) * sizeof *headers);
    if (d->n_headers) memcpy(headers, d->headers, (size_t)d->n_headers * sizeof *headers);
    headers[d->n_headers] = (struct lun_pair){ "x-lunette-explain", "1" };
    r->answer = lun_simulation_ask(r->simulation, &(struct lun_simulated_request){ .endpoint = d->endpoint, .headers = headers, .n_headers = d->n_headers + 1,
                                                                                   .body = d->body, .n = d->n, .decided = decided, .client = asker(r) });
    free(headers);
    if (lun_simulation_await(r->simulation, r->answer) && lun_simulation_advance(r->simulation, FINISH) && take_line(r)) return true;
    r->course->error = lun_strdup("the request does not come to an end");
    return false;
}

/* Closed in any case by whoever began it. */
static bool go(struct run *r, struct course *c, bool decided)
{
    *r = (struct run){ .course = c };
    return open_run(r) && ask(r, decided);
}

/* ---- what it came to ---- */

static struct lun_json line_of(const struct run *r) { return (struct lun_json){ r->line.at, r->line.n }; }

static void put_member(struct lun_buf *out, struct lun_json object, const char *name)
{
    struct lun_json value = lun_json_get(object, name);
    if (!value.n) return;
    lun_json_put_key(out, name);
    lun_json_put_raw(out, value);
}

static bool is_any(struct lun_json key, const char *const *names, size_t n)
{
    while (n--) if (lun_json_is(key, names[n])) return true;
    return false;
}

/* The line without what a dry run cannot say. */
static void put_request(const struct run *r, struct lun_buf *out)
{
    static const char *const unsaid[] = { "time", "id", "attempts", "tokens", "cost", "latency_ms", "ttft_ms", "overhead_ms", "waited_ms", "dropped", "decided", "status", "code", "target", "fallback", "cache" };
    lun_buf_putc(out, '{');
    for (struct lun_json_each e = lun_json_each(line_of(r)); lun_json_next(&e); ) {
        if (is_any(e.key, unsaid, sizeof unsaid / sizeof *unsaid)) continue;
        if (out->at[out->n - 1] != '{') lun_buf_putc(out, ',');
        lun_json_put_raw(out, e.key);
        lun_buf_putc(out, ':');
        lun_json_put_raw(out, e.value);
    }
    lun_buf_putc(out, '}');
}

/* `known`: it is said elsewhere how it ended. */
static void put_attempt(struct lun_buf *out, struct lun_json attempt, bool known)
{
    static const char *const members[] = { "at_ms", "ms", "hedge" };
    if (out->at[out->n - 1] != '[') lun_buf_putc(out, ',');
    lun_buf_putc(out, '{');
    put_member(out, attempt, "target");
    if (!known) put_member(out, attempt, "kind");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) put_member(out, attempt, members[i]);
    if (lun_json_is(lun_json_get(attempt, "kind"), "skipped")) put_member(out, attempt, "detail");
    lun_buf_putc(out, '}');
}

/* The first line of a `retry` or `judge` that did not leave it to the rules. */
static void put_decided_at(const struct run *r, struct lun_buf *out)
{
    struct lun_json hooks = lun_json_get((struct lun_json){ r->why.at, r->why.n }, "hooks");
    for (struct lun_json_each e = lun_json_each(hooks); lun_json_next(&e); ) {
        struct lun_json hook = lun_json_get(e.value, "hook"), line = lun_json_get(e.value, "ended_at");
        if (!(lun_json_is(hook, "retry") || lun_json_is(hook, "judge")) || !lun_json_get(e.value, "answer").n) continue;
        lun_json_put_key(out, "decided_at");
        lun_json_put_raw(out, line.n ? line : lun_json_get(e.value, "at"));
        return;
    }
}

static bool in_question(const struct course *c, struct lun_json target)
{
    bool is = c->step >= 0 && lun_json_is(target, c->steps[c->step]);
    for (int i = 0; c->all && !is && i < c->n; i++) is = lun_json_is(target, c->steps[i]);
    return is;
}

/* How those of the step in question failed is left out, so that ways that come to the same are the same text. */
static void put_outcome(const struct run *r, struct lun_buf *out)
{
    static const char *const members[] = { "status", "code", "torn", "target", "fallback", "latency_ms" };
    struct lun_json line = line_of(r);
    lun_json_put_key(out, "attempts");
    lun_buf_putc(out, '[');
    for (struct lun_json_each e = lun_json_each(lun_json_get(line, "attempts")); lun_json_next(&e); ) put_attempt(out, e.value, in_question(r->course, lun_json_get(e.value, "target")));
    lun_buf_putc(out, ']');
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) put_member(out, line, members[i]);
    put_decided_at(r, out);
    for (int i = 0; i < r->answer->n_headers; i++)
        if (!strcmp(r->answer->headers[i].name, "retry-after")) lun_json_member_number(out, "retry_after_s", strtod(r->answer->headers[i].value, NULL));
}

/* What an error says to the client. */
static void put_message(const struct run *r, struct lun_buf *out)
{
    struct lun_json body, message;
    if (!lun_json_check(r->answer->bytes.at, r->answer->bytes.n, &body, NULL)) return;
    message = lun_json_path(body, "error.message");
    if (message.n) lun_json_put_key(out, "message"), lun_json_put_raw(out, message);
}

/* ---- what if ---- */

struct group { struct lun_buf outcome, ways; };

static void add_way(struct group *groups, int *n, const char *way, struct lun_buf *outcome)
{
    int i = 0;
    while (i < *n && (groups[i].outcome.n != outcome->n || memcmp(groups[i].outcome.at, outcome->at, outcome->n))) i++;
    if (i == *n) groups[(*n)++].outcome = *outcome;
    else lun_buf_free(outcome);
    if (groups[i].ways.n) lun_buf_putc(&groups[i].ways, ',');
    lun_json_put_text(&groups[i].ways, way);
}

/* It was no failure: the step in question answered. */
static bool went_well(const struct run *r)
{
    return in_question(r->course, lun_json_get(line_of(r), "target")) && !lun_json_get(line_of(r), "torn").n;
}

static void put_groups(struct group *groups, int n, struct lun_buf *out)
{
    for (int i = 0; i < n; i++) {
        if (i) lun_buf_putc(out, ',');
        lun_buf_puts(out, "{\"ways\":[");
        lun_buf_add(out, groups[i].ways.at, groups[i].ways.n);
        lun_buf_putc(out, ']');
        lun_buf_putc(out, ',');
        lun_buf_add(out, groups[i].outcome.at + 1, groups[i].outcome.n - 1);
        lun_buf_free(&groups[i].outcome), lun_buf_free(&groups[i].ways);
    }
}

/* One way of the step in question. *reached: whether it is come to. */
static bool try_way(struct course *c, const char *way, struct group *groups, int *n, bool *reached)
{
    struct run r;
    struct lun_buf outcome = {0};
    bool good = go(&r, c, false);
    *reached = r.reached;
    if (good && r.reached && !went_well(&r)) {
        lun_buf_putc(&outcome, '{');
        put_outcome(&r, &outcome);
        lun_buf_putc(&outcome, '}');
        add_way(groups, n, way, &outcome);
    }
    close_run(&r);
    return good;
}

/* One step in each way, or all of them (-1). False: a run failed. *reached false: the step is not come to at all. */
static bool try_step(struct course *c, int step, struct lun_buf *out, bool *reached)
{
    struct group groups[WAYS] = {0};
    int n = 0;
    bool good = true, this_way;
    *reached = true;
    for (int way = 0; good && *reached && way < WAYS; way++) {
        if (step < 0) fail_all(c, way);
        else fail_at(c, step, way);
        good = try_way(c, ways[way].name, groups, &n, &this_way);
        *reached = way || this_way;
    }
    put_groups(groups, n, out);
    return good;
}

static bool put_steps(struct course *c, struct lun_buf *out)
{
    bool good = true, reached, any = false;
    for (int step = 0; good && step < c->n && step < LUN_DRY_RUN_STEPS; step++) {
        const char *target = c->steps[step];
        struct lun_buf cases = {0};
        if (index_of(c, target) < step) continue;
        good = try_step(c, step, &cases, &reached);
        if (good && reached) {
            lun_buf_puts(out, any ? ",{" : "{");
            any = true;
            lun_json_member_int(out, "step", step + 1);
            lun_json_member_text(out, "target", target);
            lun_json_put_key(out, "cases");
            lun_buf_putc(out, '[');
            lun_buf_add(out, cases.at, cases.n);
            lun_buf_puts(out, "]}");
        }
        lun_buf_free(&cases);
    }
    return good;
}

static void read_steps(const struct run *r, struct lun_arena *arena)
{
    struct course *c = r->course;
    struct lun_json list = lun_json_path((struct lun_json){ r->why.at, r->why.n }, "plan.steps");
    for (struct lun_json_each e = lun_json_each(list); c->n < LUN_STEPS && lun_json_next(&e); )
        c->steps[c->n++] = lun_json_string_in(lun_json_get(e.value, "target"), false, arena, NULL);
}

/* What is decided, without anything sent. */
static bool put_decision(struct course *c, struct lun_arena *arena, struct lun_buf *out)
{
    struct run r;
    bool good = go(&r, c, true);
    if (good) {
        read_steps(&r, arena);
        lun_buf_puts(out, "\"request\":");
        put_request(&r, out);
        lun_buf_puts(out, ",\"explanation\":");
        lun_buf_add(out, r.why.at, r.why.n);
    }
    close_run(&r);
    return good;
}

static bool put_well(struct course *c, struct lun_buf *out, bool *fine)
{
    struct run r;
    int64_t status;
    bool good = go(&r, c, false);
    if (good) {
        *fine = lun_json_int(lun_json_get(line_of(&r), "status"), &status) && status < 300;
        lun_buf_puts(out, ",\"well\":{");
        put_outcome(&r, out);
        put_message(&r, out);
        lun_buf_putc(out, '}');
    }
    close_run(&r);
    return good;
}

static bool has_others(const struct course *c)
{
    for (int i = 1; i < c->n; i++) if (strcmp(c->steps[i], c->steps[0])) return true;
    return false;
}

static bool put_what_if(struct course *c, struct lun_buf *out)
{
    bool reached;
    lun_buf_puts(out, ",\"what_if\":[");
    bool good = put_steps(c, out);
    lun_buf_puts(out, "],\"what_if_all\":[");
    good = good && (!has_others(c) || try_step(c, -1, out, &reached));
    lun_buf_putc(out, ']');
    return good;
}

static void put_failing(const struct course *c, struct lun_buf *out)
{
    lun_json_put_key(out, "failing");
    lun_buf_putc(out, '[');
    for (int i = 0; i < c->n; i++) {
        if (!c->faults[i].said) continue;
        lun_buf_puts(out, out->at[out->n - 1] == '[' ? "{" : ",{");
        lun_json_member_int(out, "step", i + 1);
        lun_json_member_text(out, "target", c->steps[i]);
        lun_json_member_text(out, "way", c->faults[i].said);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static bool put_combined(struct course *c, struct lun_buf *out)
{
    struct run r;
    bool good = true;
    for (int i = 0; good && i < c->of->n_failing; i++) good = fail_as_told(c, &c->of->failing[i]);
    if (!good) return false;
    if ((good = go(&r, c, false))) {
        lun_buf_puts(out, ",\"combined\":{");
        put_failing(c, out);
        put_outcome(&r, out);
        put_message(&r, out);
        lun_buf_putc(out, '}');
    }
    close_run(&r);
    return good;
}

static bool put_failures(struct course *c, struct lun_buf *out)
{
    if (c->of->n_failing) return put_combined(c, out);
    return c->of->no_what_if || put_what_if(c, out);
}

bool lun_dry_run(const struct lun_dry_run *d, struct lun_buf *out, bool *fine, char **error)
{
    struct lun_arena arena = {0};
    struct course c = { .of = d, .step = -1 };
    for (int i = 0; i < LUN_STEPS; i++) c.faults[i].way = WELL;
    lun_buf_putc(out, '{');
    bool good = put_decision(&c, &arena, out) && put_well(&c, out, fine) && put_failures(&c, out);
    lun_buf_putc(out, '}');
    *error = c.error;
    for (int i = 0; i <= WAYS; i++) lun_scenario_free(c.scenarios[i]);
    lun_arena_free(&arena);
    return good;
}

#include "gateway/simulate.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "gateway/admission.h"
#include "gateway/carrier_script.h"
#include "gateway/probe.h"
#include "gateway/rollout.h"
#include "gateway/station.h"
#include "gateway/translate.h"
#include "gateway/upstreams.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START (1000 * LUN_SECOND)       /* of the loop: in many places 0 means "not yet" */
#define BUSY  100000                    /* timers in one instant: it will never come to rest */
#define LAST  (3600 * LUN_SECOND)       /* longer than any hook may wait, once its client has left */
#define LONG  (2 * 86400 * LUN_SECOND)  /* longer than any request may take */

struct worn { struct worn *next; struct lun_policy *policy; };
struct visit {
    struct lun_simulated_answer answer; /* first */
    struct visit *next, **link;         /* link: what points here */
    struct lun_simulation *of;
    struct lun_request *request;        /* NULL: over */
    struct lun_arena arena;
    int room;
};
struct lun_simulation {
    struct lun_simulation_options options;
    struct lun_loop loop;
    struct lun_registry *registry;
    struct lun_snapshot *snapshot;
    struct lun_scenarios *scripts;
    struct lun_carrier *carrier;
    struct lun_upstreams upstreams;
    struct lun_probe *probe; lun_us keys_due;
    struct lun_rollout *rollout;
    struct lun_web web;
    struct lun_waiting waiting; struct lun_task moved;
    struct lun_station station;
    struct worn *worn;                  /* machines that were replaced: requests that began with them may go on */
    struct visit *visits;
};
typedef struct lun_simulation simulation;

/* ---- time ---- */

lun_us lun_simulation_now(const simulation *s)       { return s->loop.now - START; }
lun_us lun_simulation_loop_time(const simulation *s) { return s->loop.now; }
lun_us lun_simulation_wall(const simulation *s)      { return s->options.wall + lun_simulation_now(s); }
static lun_us wall(void *self)                       { return lun_simulation_wall(self); }

/* Fires what is due next, the clock moved to it if it is not later than `until`. False: there is nothing. */
static bool turn(simulation *s, lun_us until)
{
    return lun_loop_fire(&s->loop) || (lun_loop_due(&s->loop) <= until && lun_loop_advance(&s->loop));
}

/* False: one moment never ends. */
static bool run(simulation *s, lun_us until, const bool *enough)
{
    int here = 0;
    lun_us at = s->loop.now;
    for (lun_loop_drain(&s->loop); here < BUSY && !*enough && turn(s, until); lun_loop_drain(&s->loop)) {
        here = s->loop.now == at ? here + 1 : 0;
        at = s->loop.now;
    }
    return here < BUSY;
}

bool lun_simulation_advance(simulation *s, lun_us by)
{
    static const bool never = false;
    lun_us until = by > LUN_NEVER - 1 - s->loop.now ? LUN_NEVER - 1 : s->loop.now + by;
    if (!run(s, until, &never)) return false;
    s->loop.now = until;
    return true;
}

/* ---- who answers ---- */

static bool play(void *self, const struct lun_scene_request *request, struct lun_arena *arena, struct lun_scene *scene, const char **error)
{
    simulation *s = self;
    struct lun_scenes own = lun_scenarios_scenes(s->scripts);
    *error = NULL;
    if (s->options.scenes.play && s->options.scenes.play(s->options.scenes.self, request, arena, scene, error)) return true;
    return !*error && own.play(own.self, request, arena, scene, error);
}

/* A turn at a limiter has moved up. There is one thread, so this is told on it. */
static void look(struct lun_task *t)  { lun_waiting_look(&((simulation *)((char *)t - offsetof(simulation, moved)))->waiting); }
static void post(void *self)          { lun_loop_wake(&((simulation *)self)->loop, &((simulation *)self)->moved); }

/* ---- canaries ---- */

static void tell_canaries(void *self)
{
    simulation *s = self;
    struct lun_canary_event e;
    for (int i = 0; i < s->snapshot->n_canaries; i++) {
        const struct lun_canary_rule *c = &s->snapshot->canaries[i];
        if (lun_canary_event(c->state, lun_simulation_wall(s), &e)) lun_rollout_tell(s->station.log, s->registry, c->name, &e);
    }
}

bool lun_simulation_canary(simulation *s, const struct lun_canary_rule *c, enum lun_canary_verb verb, const char *by, const char *why, char problem[120])
{
    bool good = lun_canary_do(c->state, verb, by, why, s->loop.now, problem);
    tell_canaries(s);
    return good;
}

/* ---- lunette.http ---- */

struct fetch {
    struct lun_timer timer;
    simulation *of;
    struct lun_arena arena;
    struct lun_wish_result result;
    void (*done)(void *, const struct lun_wish_result *); void *owner;
};

static void forget(void *self)
{
    struct fetch *f = self;
    lun_timer_set(&f->of->loop, &f->timer, LUN_NEVER);
    lun_arena_free(&f->arena);
    free(f);
}

static void fetched(struct lun_timer *t)
{
    struct fetch *f = (struct fetch *)t;
    f->done(f->owner, &f->result);
    forget(f);
}

static void *fetch(void *self, const struct lun_wish *wish, void (*done)(void *, const struct lun_wish_result *), void *owner)
{
    simulation *s = self;
    struct fetch *f = lun_zalloc(sizeof *f);
    struct lun_simulated_fetch said = { .result.error = "there is no web in this simulation" };
    *f = (struct fetch){ .timer.fire = fetched, .of = s, .done = done, .owner = owner };
    if (s->options.fetch) {
        said = (struct lun_simulated_fetch){0};
        s->options.fetch(s->options.fetch_self, wish, &f->arena, &said);
    }
    f->result = said.result;
    if (said.after > wish->http.timeout) f->result = (struct lun_wish_result){ .error = "timeout" };
    lun_timer_set(&s->loop, &f->timer, s->loop.now + (said.after < wish->http.timeout ? said.after : wish->http.timeout));
    return f;
}

/* ---- life ---- */

static bool tune(simulation *s, char **error)
{
    struct lun_tuned *items = lun_alloc((size_t)(s->options.n_settings + 1) * sizeof *items);
    char problem[LUN_SETTING_PROBLEM];
    bool good = true;
    for (int i = 0; good && i < s->options.n_settings; i++) {
        const struct lun_pair *p = &s->options.settings[i];
        const struct lun_policy_setting *rule = lun_snapshot_setting(s->snapshot, p->name);
        items[i].name = p->name;
        if (!rule) snprintf(problem, sizeof problem, "the policy has no such setting");
        good = rule && lun_policy_setting_read(rule, p->value, &items[i].value, problem);
        if (!good) *error = lun_printf("settings.%s: %s", p->name, problem);
    }
    if (good) s->station.tuning = lun_tuning_new(items, s->options.n_settings);
    free(items);
    return good;
}

static bool open_policy(simulation *s, char **error)
{
    struct lun_policy *fresh = lun_policy_open(s->snapshot, s->registry, LUN_BY_COUNT, error);
    if (!fresh) return false;
    lun_policy_log_to(fresh, s->options.log);
    s->station.policy = fresh;
    return true;
}

static bool open_all(simulation *s, char **error)
{
    return open_policy(s, error) && tune(s, error)
        && (s->scripts = lun_scenarios_new(s->snapshot, wall, s, error))
        && (s->upstreams.dialects = lun_dialects_new(s->snapshot, error));
}

simulation *lun_simulation_new(struct lun_snapshot *snapshot, const struct lun_simulation_options *options, char **error)
{
    simulation *s = lun_zalloc(sizeof *s);
    *s = (simulation){ .options = *options, .loop.now = START, .registry = lun_registry_new(), .snapshot = snapshot, .moved.run = look };
    if (!s->options.wall) s->options.wall = LUN_SIMULATION_WALL;
    lun_registry_bind(s->registry, snapshot);
    lun_registry_apply(s->registry, snapshot);
    s->waiting = (struct lun_waiting){ .post = post, .self = s };
    s->web = (struct lun_web){ .self = s, .fetch = fetch, .cancel = forget };
    s->carrier = lun_carrier_scenes_new(&s->loop, (struct lun_scenes){ s, play });
    s->upstreams = (struct lun_upstreams){ .network = s->carrier, .script = s->carrier };
    s->station = (struct lun_station){
        .loop = &s->loop, .snapshot = snapshot, .registry = s->registry, .upstream = &lun_upstreams_port, .upstream_self = &s->upstreams,
        .web = &s->web, .waiting = &s->waiting, .log = options->log, .wall = wall, .wall_self = s, .line = options->line,
        .line_self = options->line_self, .trouble = options->trouble, .trouble_self = options->trouble_self, .canary = tell_canaries, .canary_self = s,
        .rehearsal = options->rehearsal, .random = options->seed ? options->seed : 1 };
    if (open_all(s, error)) {
        struct lun_probe_ways ways = { .loop = &s->loop, .snapshot = snapshot, .registry = s->registry, .upstreams = &s->upstreams, .wall = wall, .wall_self = s };
        if (options->upstream) s->station.upstream = options->upstream, s->station.upstream_self = options->upstream_self;
        if (options->rehearsal || options->upstream) return s;
        s->probe = lun_probe_new(&ways, options->log, &s->keys_due);
        s->rollout = lun_rollout_new(&ways, tell_canaries, s);
        return s;
    }
    lun_simulation_free(s);
    return NULL;
}

/* False: something does not end, and its memory goes with the process. */
static bool end_all(simulation *s)
{
    static const bool never = false;
    s->options.scenes.play = NULL;
    s->options.fetch = NULL;
    s->station.line = NULL;
    s->station.log = NULL;
    lun_probe_free(s->probe);
    s->probe = NULL;
    lun_rollout_free(s->rollout);
    s->rollout = NULL;
    if (s->station.policy) lun_policy_log_to(s->station.policy, NULL);
    for (struct worn *w = s->worn; w; w = w->next) lun_policy_log_to(w->policy, NULL);
    for (struct visit *v = s->visits; v; v = v->next) lun_simulation_leave(s, &v->answer);
    return run(s, s->loop.now + LAST, &never) && !s->station.open;
}

static void free_visit(struct visit *v)
{
    *v->link = v->next;
    if (v->next) v->next->link = v->link;
    lun_buf_free(&v->answer.bytes);
    free(v->answer.pieces);
    lun_arena_free(&v->arena);
    free(v);
}

void lun_simulation_free(simulation *s)
{
    if (!s || !end_all(s)) return;
    while (s->visits) free_visit(s->visits);
    for (struct worn *w; (w = s->worn); free(w)) {
        s->worn = w->next;
        lun_policy_close(w->policy);
    }
    if (s->station.policy) lun_policy_close(s->station.policy);
    lun_carrier_script_free(s->carrier);
    lun_scenarios_free(s->scripts);
    lun_dialects_free(s->upstreams.dialects);
    lun_tuning_unref(s->station.tuning);
    lun_snapshot_unref(s->snapshot);
    lun_registry_free(s->registry);
    lun_loop_free(&s->loop);
    free(s);
}

struct lun_registry *lun_simulation_registry(simulation *s)               { return s->registry; }
struct lun_station *lun_simulation_station(simulation *s)                 { return &s->station; }
const struct lun_snapshot *lun_simulation_snapshot(const simulation *s)   { return s->snapshot; }

/* ---- a walk's client ---- */

static const struct lun_pair *copy_pairs(struct visit *v, const struct lun_pair *pairs, int n)
{
    struct lun_pair *copy = lun_arena_alloc(&v->arena, (size_t)(n + 1) * sizeof *copy);
    for (int i = 0; i < n; i++) copy[i] = (struct lun_pair){ lun_arena_strdup(&v->arena, pairs[i].name), lun_arena_strdup(&v->arena, pairs[i].value) };
    return copy;
}

static void say_head(void *self, const struct lun_head *head)
{
    struct visit *v = self;
    v->answer.headed = true;
    v->answer.status = head->status;
    v->answer.headers = copy_pairs(v, head->headers, head->n_headers);
    v->answer.n_headers = head->n_headers;
    v->answer.head_at = lun_simulation_now(v->of);
}

static void say_bytes(void *self, const char *bytes, size_t n)
{
    struct visit *v = self;
    struct lun_simulated_answer *a = &v->answer;
    if (a->n_pieces == v->room) a->pieces = lun_realloc(a->pieces, (size_t)(v->room = v->room ? 2 * v->room : 8) * sizeof *a->pieces);
    a->pieces[a->n_pieces++] = (struct lun_simulated_piece){ lun_simulation_now(v->of), a->bytes.n, n };
    lun_buf_add(&a->bytes, bytes, n);
}

static void say_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n)
{
    struct visit *v = self;
    v->request = NULL;
    v->answer.trailers = copy_pairs(v, trailers, n);
    v->answer.n_trailers = n;
    v->answer.ended = true;
    v->answer.clean = end == LUN_CLEAN;
    v->answer.ended_at = lun_simulation_now(v->of);
}
static const struct lun_client client = { say_head, say_bytes, say_end, NULL };

/* ---- asking ---- */

void lun_simulation_fresh(simulation *s)
{
    struct lun_policy *old = s->station.policy;
    char *error = NULL;
    if (!lun_policy_worn(old)) return;
    if (!open_policy(s, &error)) {                      /* it loaded before: it works on with what it has */
        free(error);
        return;
    }
    struct worn *w = lun_alloc(sizeof *w);
    *w = (struct worn){ s->worn, old };
    s->worn = w;
}

static void recognise(struct visit *v, const struct lun_simulated_request *r, const struct lun_admitted *who)
{
    struct lun_station *station = &v->of->station;
    struct lun_question *q = lun_station_question(station);
    struct lun_error error;
    struct lun_incoming in = lun_admission_copy(q, r->headers, r->n_headers, r->body, r->n);
    in.endpoint = r->endpoint;
    in.client = who->rule;
    in.key = who->key;
    strcpy(v->answer.id, q->id);
    q->decide_only = r->decided;
    bool good = r->client ? lun_recognise(q, &in, &error) : lun_admission_question(q, &in, &error);
    if (good) v->request = lun_station_open(station, q, &client, v, true);
    else lun_admission_refuse(station, q, &error, &client, v);
}

struct lun_simulated_answer *lun_simulation_ask(simulation *s, const struct lun_simulated_request *r)
{
    struct visit *v = lun_zalloc(sizeof *v);
    struct lun_admitted who = { .rule = r->client };
    struct lun_error error;
    v->of = s;
    v->next = s->visits;
    v->link = &s->visits;
    if (v->next) v->next->link = &v->next;
    s->visits = v;
    v->answer.started = lun_simulation_now(s);
    lun_simulation_fresh(s);
    if (who.rule || lun_admission_key(&s->station, r->key, r->key ? strlen(r->key) : 0, &who, &error))
        recognise(v, r, &who);
    else lun_admission_refuse(&s->station, NULL, &error, &client, v);
    lun_loop_drain(&s->loop);
    return &v->answer;
}

bool lun_simulation_await(simulation *s, struct lun_simulated_answer *a)
{
    return run(s, s->loop.now + LONG, &a->ended) && a->ended;
}

void lun_simulation_leave(simulation *s, struct lun_simulated_answer *a)
{
    struct visit *v = (struct visit *)a;
    if (!v->request) return;
    lun_request_leave(v->request);
    v->request = NULL;
    a->left = a->ended = true;
    a->ended_at = lun_simulation_now(s);
    lun_loop_drain(&s->loop);
}

bool lun_simulation_release(simulation *s, struct lun_simulated_answer *a)
{
    (void)s;
    if (!a->ended) return false;
    free_visit((struct visit *)a);
    return true;
}

void lun_simulation_pause(simulation *s, struct lun_simulated_answer *a, bool paused)
{
    struct visit *v = (struct visit *)a;
    if (!v->request) return;
    lun_request_pause(v->request, paused);
    lun_loop_drain(&s->loop);
}

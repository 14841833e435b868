#include "gateway/shadow.h"
#include "base/alloc.h"
#include "gateway/decide.h"
#include "gateway/kit.h"
#include "gateway/recognise.h"
#include <stdlib.h>
#include <string.h>

#define WAITING   64                /* requests that wait to be asked about, and those under way */
#define LATE      (500 * LUN_MS)    /* who has waited longer is left out: what is known of targets may be another thing by then */
#define LARGE     ((size_t)1 << 20) /* bytes of a body: a few ms of the worker for each MB */
#define REST      3                 /* times what one took, before the next: a quarter of the time at most */
#define EXHAUSTED 3                 /* failures for want of time or memory within WITHIN that are enough */
#define WITHIN    (10 * LUN_SECOND)

struct item {                       /* in the arena of the live question */
    struct item *next;
    struct lun_shadow_desk *desk;
    struct lun_question *question;  /* held */
    lun_us since;
    struct lun_verdict live, shadow;
    bool decided;
    struct item **at;               /* among those under way */
    struct lun_decider *mind; struct lun_request *request;
};

struct lun_shadow_desk {
    struct lun_shadow *of;          /* of the kit's */
    struct lun_kit *kit;
    struct lun_station station;
    struct lun_timer timer;
    struct item *first, **last, *open;
    int n;                          /* waiting and under way */
    lun_us rests_until;
    lun_us exhausted[EXHAUSTED]; int n_exhausted;   /* when its hooks ran out of time or memory last, a ring; how often */
    bool ended;
    void (*retire)(void *self, struct lun_kit *); void *retire_self;
};
typedef struct lun_shadow_desk desk;

/* ---- what its desks share ---- */

struct lun_shadow *lun_shadow_new(struct lun_registry *live, struct lun_snapshot *snapshot)
{
    struct lun_shadow *s = lun_zalloc(sizeof *s);
    *s = (struct lun_shadow){ .live = live, .aside = lun_registry_aside(live), .snapshot = snapshot, .comparison = lun_comparison_new(), .share = 1 };
    atomic_init(&s->references, 1);
    return s;
}

struct lun_shadow *lun_shadow_ref(struct lun_shadow *s)
{
    atomic_fetch_add(&s->references, 1);
    return s;
}

void lun_shadow_unref(struct lun_shadow *s)
{
    if (!s || atomic_fetch_sub(&s->references, 1) > 1) return;
    lun_snapshot_unref(s->snapshot);
    lun_registry_free(s->aside);
    lun_comparison_free(s->comparison);
    free(s);
}

struct lun_kit *lun_shadow_kit(struct lun_shadow *s, enum lun_policy_limits limits, char **error)
{
    struct lun_kit *kit = lun_kit_new(s->snapshot, s->aside, limits, NULL, error);
    if (kit) kit->shadow = lun_shadow_ref(s);
    return kit;
}

static void count(const desk *d, enum lun_compared result)
{
    lun_metrics_add(d->of->live->metrics, LUN_METRIC_SHADOW_REQUESTS, (const char *[]){ lun_compared_name(result) }, 1);
}

static void skip(const desk *d, enum lun_compared why)
{
    lun_comparison_skip(d->of->comparison, why);
    count(d, why);
}

/* ---- life of a desk ---- */

static void turn(struct lun_timer *);

/* Whether it has been so again and again. */
static bool exhausted(desk *d)
{
    lun_us at = d->station.loop->now, *oldest = &d->exhausted[d->n_exhausted++ % EXHAUSTED];
    *oldest = at;
    oldest = &d->exhausted[d->n_exhausted % EXHAUSTED];
    return d->n_exhausted >= EXHAUSTED && at - *oldest <= WITHIN;
}

static void trouble(void *self, const struct lun_trouble *t)
{
    desk *d = self;
    lun_comparison_trouble(d->of->comparison, t->hook, t->reason, t->error);
    bool spent = !strcmp(t->reason, "cpu") || !strcmp(t->reason, "memory");
    if (spent && exhausted(d) && d->of->sick) d->of->sick(d->of->self);
}

desk *lun_shadow_desk_new(struct lun_kit *kit, const struct lun_station *like, struct lun_tuning *tuning, void (*retire)(void *self, struct lun_kit *), void *self)
{
    desk *d = lun_zalloc(sizeof *d);
    *d = (desk){ .of = kit->shadow, .kit = kit, .timer.fire = turn, .last = &d->first, .retire = retire, .retire_self = self };
    d->station = (struct lun_station){ .loop = like->loop, .snapshot = kit->snapshot, .registry = d->of->aside, .policy = kit->policy, .tuning = lun_tuning_ref(tuning),
        .stock = like->stock, .wall = like->wall, .wall_self = like->wall_self, .trouble = trouble, .trouble_self = d, .alone = "shadow" };
    return d;
}

static void free_desk(desk *d)
{
    lun_tuning_unref(d->station.tuning);
    d->retire(d->retire_self, d->kit);      /* its kit has the reference to what is shared */
    free(d);
}

void lun_shadow_desk_tune(desk *d, struct lun_tuning *tuning)
{
    lun_tuning_ref(tuning);
    lun_tuning_unref(d->station.tuning);
    d->station.tuning = tuning;
}

static struct item *take_first(desk *d)
{
    struct item *i = d->first;
    if (!(d->first = i->next)) d->last = &d->first;
    return i;
}

static void let_go(desk *d, struct item *i)
{
    d->n--;
    lun_question_free(i->question);
}

void lun_shadow_desk_end(desk *d)
{
    d->ended = true;
    lun_timer_set(d->station.loop, &d->timer, LUN_NEVER);
    while (d->first) let_go(d, take_first(d));
    for (struct item *i = d->open; i; i = i->next) lun_request_leave(i->request);
    if (!d->open) free_desk(d);
}

/* ---- a walk without a client ---- */

/* The hooks that decide; the others have nothing to say where nothing is sent. */
static void ask_hook(void *self, struct lun_request *r, enum lun_hook hook, const struct lun_trial *about)
{
    if (hook > LUN_HOOK_SELECT) lun_request_answer(r, &(struct lun_answer){ .verb = LUN_DEFAULT });
    else lun_decider_port.ask(((struct item *)self)->mind, r, hook, about);
}
static void drop_hook(void *self, struct lun_request *r) { lun_decider_port.drop(((struct item *)self)->mind, r); }
static const struct lun_policy_port hooks = { ask_hook, drop_hook };

static void hear_head(void *self, const struct lun_head *head)          { (void)self, (void)head; }
static void hear_bytes(void *self, const char *bytes, size_t n)         { (void)self, (void)bytes, (void)n; }
static void hear_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n) { (void)self, (void)end, (void)trailers, (void)n; }
static bool no_trailers(void *self)                                     { (void)self; return false; }
static const struct lun_client nobody = { hear_head, hear_bytes, hear_end, no_trailers };

static void decided(void *self, struct lun_question *q, const struct lun_decided *what)
{
    struct item *i = self;
    i->decided = true;
    i->shadow = lun_verdict_of(q, what);
}

static void compare(desk *d, struct item *i, struct lun_question *q)
{
    lun_verdict_expect(&i->live, i->question);
    lun_verdict_expect(&i->shadow, q);
    count(d, lun_comparison_add(d->of->comparison, &i->live, &i->shadow));
    if (d->station.unasked) lun_comparison_unasked(d->of->comparison, d->station.unasked);
    d->station.unasked = 0;
}

static lun_us now(const desk *d) { return d->station.loop->now + lun_loop_lag(d->station.loop); }

static void next_turn(desk *d)
{
    lun_us soonest = d->station.loop->now + 1;       /* a later turn in any case: events come first */
    if (!d->ended && d->first) lun_timer_set(d->station.loop, &d->timer, d->rests_until > soonest ? d->rests_until : soonest);
}

static void rest(desk *d, lun_us took)
{
    lun_us until = now(d) + REST * took;
    if (until > d->rests_until) d->rests_until = until;
    next_turn(d);
}

static void over(void *self, struct lun_question *q, const struct lun_done *done)
{
    struct item *i = self;
    desk *d = i->desk;
    lun_us began = now(d);
    if (!i->decided) i->shadow = lun_verdict_of(q, &(struct lun_decided){ .by = LUN_HOOK_SELECT, .status = done->status });     /* too late */
    if (!d->ended) compare(d, i, q);
    rest(d, q->thought + now(d) - began);
    if ((*i->at = i->next)) i->next->at = i->at;
    lun_decider_free(i->mind, q);
    lun_question_free(q);
    let_go(d, i);
    if (d->ended && !d->open) free_desk(d);
}

/* ---- asking ---- */

/* Who asks, as the shadow's configuration has him. False: it has not, and would let nobody in. */
static bool find_client(const struct lun_snapshot *s, const struct lun_question *q, struct lun_client_rule *own, const struct lun_client_rule **rule)
{
    *rule = NULL;
    if (!q->client) return !s->n_clients && !s->clients_said;
    if (!q->key) *rule = lun_snapshot_client_named(s, q->client->name);
    if (!q->key) return *rule || (!s->n_clients && !s->clients_said);
    *own = *q->client;
    own->team = q->key->team ? lun_snapshot_team(s, q->key->team) : NULL;
    *rule = own;
    return own->team || !q->key->team;
}

static struct lun_question *question_of(desk *d, const struct lun_question *live)
{
    struct lun_question *q = lun_question_new(d->station.stock, d->station.snapshot, d->station.registry, d->station.loop, live->arrived_wall, live->seed);
    q->arrived = live->arrived;
    q->deadline = live->deadline;
    q->tuning = lun_tuning_ref(d->station.tuning);
    q->decide_only = q->shadow = true;
    return q;
}

static bool recognise(const desk *d, struct lun_question *q, const struct lun_question *live, struct lun_error *error)
{
    struct lun_incoming in = { .endpoint = live->endpoint, .headers = live->headers, .n_headers = live->n_headers, .body = live->body, .n = live->body_n, .key = live->key };
    struct lun_client_rule own;
    *error = (struct lun_error){ .code = LUN_CODE_INVALID_KEY };
    return find_client(d->station.snapshot, live, &own, &in.client) && lun_recognise(q, &in, error);
}

/* Its configuration has no answer to such a request at all. */
static void turned_away(desk *d, struct item *i, struct lun_question *q, const struct lun_error *e)
{
    i->shadow = lun_verdict_of(q, &(struct lun_decided){ .by = LUN_HOOK_CLASSIFY, .status = e->status ? e->status : lun_code_status(e->code) });
    i->shadow.unknown = true;
    compare(d, i, q);
    lun_question_free(q);
    let_go(d, i);
}

static void ask(desk *d, struct item *i)
{
    struct lun_question *q = question_of(d, i->question);
    struct lun_error error;
    if (!recognise(d, q, i->question, &error)) { turned_away(d, i, q, &error); return; }
    i->mind = lun_decider_new(&d->station, q);
    i->at = &d->open;
    if ((i->next = d->open)) i->next->at = &i->next;
    d->open = i;
    i->request = lun_decider_begin(i->mind, &(struct lun_ask){ .question = q, .client = &nobody, .policy = &hooks, .policy_self = i, .money = d->station.registry->money,
        .limits = lun_policy_limits_of(d->station.policy), .over = over, .over_self = i, .decided = decided });
}

/* One at a time, so that nothing else of the worker waits for more than one. */
static void turn(struct lun_timer *t)
{
    desk *d = (desk *)(void *)((char *)t - offsetof(desk, timer));
    struct item *i = take_first(d);
    lun_us began = now(d);
    if (began - i->since > LATE) {
        skip(d, LUN_COMPARED_BUSY);
        let_go(d, i);
        next_turn(d);
        return;
    }
    ask(d, i);
    rest(d, now(d) - began);
}

/* By its number, which is random. */
static bool is_drawn(const struct lun_shadow *s, const struct lun_question *q)
{
    uint64_t place;
    memcpy(&place, q->number, sizeof place);
    return s->share >= 1 || (double)(place >> 11) * 0x1p-53 < s->share;
}

static void put_down(void *self, struct lun_question *q, const struct lun_decided *what)
{
    desk *d = self;
    if (!is_drawn(d->of, q)) return;
    if (d->n == WAITING || q->body_n > LARGE) { skip(d, q->body_n > LARGE ? LUN_COMPARED_LARGE : LUN_COMPARED_FULL); return; }
    struct item *i = lun_arena_zalloc(q->arena, sizeof *i);
    *i = (struct item){ .desk = d, .question = q, .since = now(d), .live = lun_verdict_of(q, what) };
    lun_question_hold(q);
    d->n++;
    *d->last = i;
    d->last = &i->next;
    if (!d->timer.at) next_turn(d);
}

void lun_shadow_desk_watch(desk *d, struct lun_station *s)
{
    s->decided = put_down;
    s->decided_self = d;
}

void lun_shadow_desk_ignore(struct lun_station *s)
{
    s->decided = NULL;
    s->decided_self = NULL;
}

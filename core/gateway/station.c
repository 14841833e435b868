#include "gateway/station.h"
#include "gateway/canary_sample.h"
#include "gateway/decide.h"
#include "gateway/explanation.h"
#include "gateway/record.h"

enum { LINE_ROOM = 1000 };      /* most lines are shorter; with malloc's header it is of a size that malloc keeps for the thread */

/* Knuth's MMIX: a full period; whoever gets it mixes it. */
static uint64_t seed(struct lun_station *s) { return s->random = s->random * 6364136223846793005u + 1442695040888963407u; }

void lun_station_id(struct lun_station *s, char out[LUN_REQUEST_ID]) { lun_request_id(seed(s), out); }

struct lun_question *lun_station_question(struct lun_station *s) { return lun_station_question_of(s, seed(s)); }

struct lun_question *lun_station_question_of(struct lun_station *s, uint64_t seed_of_it)
{
    lun_us wall = s->wall ? s->wall(s->wall_self) : lun_clock_wall();
    struct lun_question *q = lun_question_new(s->stock, s->snapshot, s->registry, s->loop, wall, seed_of_it);
    q->tuning = lun_tuning_ref(s->tuning);
    q->capturing = s->captured;
    q->rehearsal = s->rehearsal;
    q->rehearsal_new = s->rehearsal_new;
    return q;
}

/* Why it was decided so is kept of those whose line says all there is. */
static void remember(struct lun_station *s, struct lun_question *q, const struct lun_done *done, const struct lun_buf *line)
{
    struct lun_buf why = {0};
    if (lun_record_in_full(q, done)) lun_explanation_put(q, &why);
    lun_ring_put(s->recent, line->at, line->n, why.at, why.n);
    lun_buf_free(&why);
}

static void write_down(struct lun_station *s, struct lun_question *q, const struct lun_done *done)
{
    struct lun_buf line = {0};
    lun_record_request(q, done);
    if (q->grouped && lun_canary_samples(q, done, s->loop->now) && s->canary) s->canary(s->canary_self);
    if (s->captured && lun_captured_wants(q, done)) lun_captured_put(s->captured, q, s->redact, s->loop->now, s->log);
    if (!s->line && !s->recent) return;
    lun_buf_space(&line, LINE_ROOM);
    lun_record_line(q, done, &line);
    if (s->recent) remember(s, q, done, &line);
    if (s->line) {
        lun_record_rest(q, &line);
        s->line(s->line_self, line.at, line.n);
    }
    lun_buf_free(&line);
}

static void gauge(struct lun_station *s, double by)
{
    lun_metrics_add(s->registry->metrics, LUN_METRIC_IN_FLIGHT, NULL, by);
}

static void over(void *self, struct lun_question *q, const struct lun_done *done)
{
    struct lun_decider *mind = self;
    struct lun_station *s = lun_decider_station(mind);
    write_down(s, q, done);
    atomic_fetch_add_explicit(&s->snapshot->requests, 1, memory_order_relaxed);
    lun_decider_free(mind, q);
    lun_question_free(q);
    gauge(s, -1);
    s->open--;
}

/* Whoever listens by now: a request may outlive him who did when it began. */
static void decided(void *self, struct lun_question *q, const struct lun_decided *d)
{
    const struct lun_station *s = lun_decider_station(self);
    if (s->decided) s->decided(s->decided_self, q, d);
}

struct lun_request *lun_station_open(struct lun_station *s, struct lun_question *q, const struct lun_client *client, void *client_self, bool hooks)
{
    struct lun_decider *mind = lun_decider_new(s, q);
    s->open++;
    gauge(s, 1);
    return lun_decider_begin(mind, &(struct lun_ask){
        .question = q, .client = client, .client_self = client_self, .upstream = s->upstream, .upstream_self = s->upstream_self,
        .policy = hooks ? &lun_decider_port : NULL, .policy_self = mind, .money = s->registry->money,
        .limits = lun_policy_limits_of(s->policy), .waiting = s->waiting,
        .over = over, .over_self = mind, .decided = s->decided && hooks ? decided : NULL });
}

void lun_station_each(struct lun_station *s, void (*tell)(void *self, struct lun_request *), void *self)
{
    for (struct lun_decider *m = s->deciders, *next; m; m = next) {
        next = lun_decider_next(m);
        tell(self, lun_decider_walk(m));
    }
}

void lun_station_refused(struct lun_station *s, struct lun_question *q, const struct lun_error *e)
{
    write_down(s, q, &(struct lun_done){ .status = e->status ? e->status : lun_code_status(e->code), .code = lun_code_name(e->code),
                                         .latency = s->loop->now - q->arrived });
    lun_question_free(q);
}

#include "gateway/inquire.h"
#include "base/alloc.h"
#include "base/http.h"
#include "gateway/admission.h"
#include <stdlib.h>
#include <string.h>

#define STOPPING "The gateway is stopping."

struct lunette_call {
    struct lunette_call *next, **at;    /* among the inquiries that are not over; at NULL: no longer */
    struct lunette_callbacks callbacks;
    void (*decided)(void *, const struct lunette_decision *);
    void *user;
    struct lun_station *station;
    struct lun_request *request;        /* NULL: there is no walk (any more) */
    /* what was refused before there was a walk, until it has been told */
    struct lun_timer timer; struct lun_task task; bool waits; struct lun_question *refused; struct lun_error error;
    bool told_at_once;                  /* head, bytes and end come in one go: it has to last until the end, though cancelled */
    bool inside, gone;                  /* inside a callback: cancelling only marks it */
};
typedef struct lunette_call call;

/* ---- life ---- */

static void join(struct lun_inquiries *all, call *c)
{
    c->next = all->first;
    c->at = &all->first;
    if (c->next) c->next->at = &c->next;
    all->first = c;
}

static void part(call *c)
{
    if (!c->at) return;
    *c->at = c->next;
    if (c->next) c->next->at = c->at;
    c->at = NULL;
}

/* Out of the walk, or out of the queue of those that wait to hear their refusal. */
static void let_go(call *c)
{
    part(c);
    if (c->request) lun_request_leave(c->request);
    c->request = NULL;
    lun_timer_set(c->station->loop, &c->timer, LUN_NEVER);
    lun_loop_forget(c->station->loop, &c->task);
    if (c->waits) lun_admission_refuse(c->station, c->refused, &c->error, NULL, NULL);
    c->waits = false;
}

void lun_inquire_cancel(call *c)
{
    c->gone = true;
    if (c->inside || c->told_at_once) return;
    let_go(c);
    free(c);
}

struct lun_station *lun_inquire_station(const call *c) { return c->station; }

/* Around each callback: who cancels inside of it, or by what it returns, is let go once it has returned. */
static void enter(call *c) { c->inside = true; }
static bool leave(call *c, bool go_on)
{
    c->inside = false;
    if (go_on && !c->gone) return true;
    lun_inquire_cancel(c);
    return false;
}

static void finish(call *c)
{
    c->inside = false;
    free(c);
}

/* ---- a walk's client: asking ---- */

/* The two structs are the same but for their names. */
static const struct lunette_header *headers_of(const struct lun_pair *pairs) { return (const struct lunette_header *)pairs; }
_Static_assert(sizeof(struct lunette_header) == sizeof(struct lun_pair), "one layout");
_Static_assert(offsetof(struct lunette_header, value) == offsetof(struct lun_pair, value), "one layout");

static void say_head(void *self, const struct lun_head *head)
{
    call *c = self;
    if (!c->callbacks.head || c->gone) return;
    enter(c);
    leave(c, c->callbacks.head(c->user, head->status, headers_of(head->headers), (size_t)head->n_headers));
}

static void say_bytes(void *self, const char *bytes, size_t n)
{
    call *c = self;
    if (!c->callbacks.bytes || c->gone) return;
    enter(c);
    leave(c, c->callbacks.bytes(c->user, bytes, n));
}

static void say_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n)
{
    call *c = self;
    part(c);
    c->request = NULL;
    enter(c);
    if (c->callbacks.end && !c->gone) c->callbacks.end(c->user, end == LUN_CLEAN, headers_of(trailers), (size_t)n);
    finish(c);
}
static const struct lun_client asker = { say_head, say_bytes, say_end, NULL };

/* ---- a walk's client: deciding ---- */

static double seconds(lun_us t) { return t == LUN_NEVER ? 0 : lun_us_to_seconds(t); }

_Static_assert((int)LUNETTE_SET == (int)LUN_EDIT_SET && (int)LUNETTE_DROP == (int)LUN_EDIT_DROP && (int)LUNETTE_RENAME == (int)LUN_EDIT_RENAME, "one scale");

static const struct lunette_edit *edits_of(struct lun_question *q, const struct lun_step *s, size_t *n)
{
    *n = 0;
    for (const struct lun_edit *e = s->edits; e; e = e->next) ++*n;
    struct lunette_edit *out = lun_arena_alloc(q->arena, (*n + 1) * sizeof *out), *at = out;
    for (const struct lun_edit *e = s->edits; e; e = e->next) *at++ = (struct lunette_edit){ (enum lunette_edit_kind)e->what, e->field, e->value };
    return out;
}

static const struct lunette_step *step_of(struct lun_question *q, const struct lun_step *s)
{
    struct lunette_step *out = lun_arena_alloc(q->arena, sizeof *out);
    const struct lun_target *t = s->target;
    size_t n_edits;
    const struct lunette_edit *edits = edits_of(q, s, &n_edits);
    *out = (struct lunette_step){
        .target = t->name, .model = lun_question_model_of(q, t), .upstream_model = lun_question_upstream(q, t), .provider = t->provider->name,
        .base_url = t->provider->base_url, .connect = seconds(s->connect), .first_byte = seconds(s->first_byte), .idle = seconds(s->idle),
        .total = seconds(s->total), .hedge_after = seconds(s->hedge_after), .wait = s->wait == LUN_NEVER ? -1 : seconds(s->wait),
        .edits = edits, .n_edits = n_edits };
    return out;
}

static void put_plan(struct lun_question *q, struct lunette_decision *d)
{
    const struct lunette_step **steps = lun_arena_alloc(q->arena, (size_t)(q->plan->n + 1) * sizeof *steps);
    for (int i = 0; i < q->plan->n; i++) steps[i] = step_of(q, &q->plan->steps[i]);
    d->steps = steps;
    d->n_steps = (size_t)q->plan->n;
}

static void tell(call *c, struct lun_question *q, struct lunette_decision *d)
{
    if (q) {
        d->request_id = q->id;
        d->labels = q->labels;
        d->n_labels = (size_t)q->n_labels;
    } else d->request_id = "";
    d->version = q ? q->snapshot->version : c->station->snapshot->version;
    part(c);
    c->request = NULL;
    enter(c);
    if (c->decided) c->decided(c->user, d);
    finish(c);
}

static void hear_head(void *self, const struct lun_head *head)          { (void)self, (void)head; }
static void hear_bytes(void *self, const char *bytes, size_t n)         { (void)self, (void)bytes, (void)n; }
static void hear_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n)
{
    call *c = self;
    struct lun_question *q = lun_request_question(c->request);
    const struct lun_done *done = lun_request_done(c->request);
    struct lunette_decision d = { .status = done->status, .code = done->code, .message = done->message };
    (void)end, (void)trailers, (void)n;
    if (!done->code) put_plan(q, &d);
    tell(c, q, &d);
}
static const struct lun_client decider = { hear_head, hear_bytes, hear_end, NULL };

/* ---- refused at the door ---- */

static void ring(struct lun_timer *timer)
{
    call *c = (call *)((char *)timer - offsetof(call, timer));
    lun_loop_wake(c->station->loop, &c->task);
}

static void tell_refusal(struct lun_task *task)
{
    call *c = (call *)((char *)task - offsetof(call, task));
    struct lun_station *s = c->station;
    struct lun_question *q = c->refused;
    struct lun_error e = c->error;
    c->waits = false;
    if (c->decided) {
        const char *message = e.message ? e.message : lun_code_message(e.code);
        tell(c, q, &(struct lunette_decision){ .status = e.status, .code = lun_code_name(e.code), .message = message });
        lun_admission_refuse(s, q, &e, NULL, NULL);
        return;
    }
    c->told_at_once = true;
    lun_admission_refuse(s, q, &e, &asker, c);
}

static call *refuse(call *c, struct lun_question *q, const struct lun_error *e)
{
    c->waits = true;
    c->refused = q;
    c->error = *e;
    if (!c->error.status) c->error.status = lun_code_status(e->code);
    lun_timer_set(c->station->loop, &c->timer, c->station->loop->now + 1);     /* in a later turn: who asks again at once does not hold up the others */
    return c;
}

/* ---- at the door ---- */

static bool wrong(struct lun_error *e, enum lun_code code, const char *message)
{
    *e = (struct lun_error){ .code = code, .message = message };
    return false;
}

static bool find_endpoint(const char *name, enum lun_endpoint *out, struct lun_error *e)
{
    for (int i = 0; i < LUN_ENDPOINT_COUNT; i++) {
        if (strcmp(name ? name : lun_endpoint_name(LUN_ENDPOINT_CHAT), lun_endpoint_name((enum lun_endpoint)i))) continue;
        *out = (enum lun_endpoint)i;
        return true;
    }
#define X(id, name, ...) " " name
    return wrong(e, LUN_CODE_NOT_FOUND, "There is no such endpoint. There are:" LUN_ENDPOINTS(X) ".");
#undef X
}

static bool headers_good(const struct lunette_query *in, struct lun_error *e)
{
    for (size_t i = 0; i < in->n_headers; i++) {
        const struct lunette_header *h = &in->headers[i];
        if (!h->name || !h->value || !lun_http_is_token(h->name, strlen(h->name)) || !lun_http_is_value(h->value, strlen(h->value)))
            return wrong(e, LUN_CODE_INVALID_REQUEST, "A header has no name that can be one, or a value with a line feed or another control character.");
    }
    return true;
}

#define HEADERS 1000            /* as many as HTTP/1.1 clients may send, and more */

static bool admit(const struct lun_inquiries *all, const struct lun_station *s, const struct lunette_query *in, enum lun_endpoint *endpoint,
                  struct lun_admitted *who, struct lun_error *e)
{
    if (all->closed) return wrong(e, LUN_CODE_OVERLOADED, STOPPING);
    if (!in->size) return wrong(e, LUN_CODE_INVALID_REQUEST, "The query has no size: set it to sizeof (struct lunette_query).");
    if (in->n_headers > HEADERS) return wrong(e, LUN_CODE_HEAD_TOO_LARGE, NULL);
    if (in->length > (size_t)s->snapshot->limits.body) return wrong(e, LUN_CODE_TOO_LARGE, NULL);
    return find_endpoint(in->endpoint, endpoint, e) && headers_good(in, e) && lun_admission_key(s, in->key, in->key ? strlen(in->key) : 0, who, e);
}

static struct lun_question *question_of(struct lun_station *s, const struct lunette_query *in, struct lun_incoming *incoming)
{
    struct lun_question *q = lun_station_question(s);
    *incoming = lun_admission_copy(q, (const struct lun_pair *)in->headers, (int)in->n_headers, in->body ? in->body : "", in->body ? in->length : 0);
    lun_us until = lun_us_from_seconds(in->deadline);
    if (until > 0 && until < q->deadline - s->loop->now) q->deadline = s->loop->now + until;
    return q;
}

static call *inquire(struct lun_inquiries *all, struct lun_station *s, const struct lunette_query *given, call *c)
{
    struct lunette_query in = {0};
    struct lun_incoming incoming;
    struct lun_error error;
    enum lun_endpoint endpoint;
    struct lun_admitted who;
    memcpy(&in, given, given->size < sizeof in ? given->size : sizeof in);
    c->station = s;
    c->timer.fire = ring;
    c->task.run = tell_refusal;
    join(all, c);
    if (!admit(all, s, &in, &endpoint, &who, &error)) return refuse(c, NULL, &error);
    struct lun_question *q = question_of(s, &in, &incoming);
    incoming.endpoint = endpoint;
    incoming.client = who.rule;
    incoming.key = who.key;
    q->decide_only = c->decided;
    if (!lun_admission_question(q, &incoming, &error)) return refuse(c, q, &error);
    c->request = lun_station_open(s, q, c->decided ? &decider : &asker, c, true);
    return c;
}

call *lun_inquire(struct lun_inquiries *all, struct lun_station *s, const struct lunette_query *query, const struct lunette_callbacks *callbacks, void *user)
{
    if (all->ended) return NULL;
    call *c = lun_zalloc(sizeof *c);
    c->user = user;
    memcpy(&c->callbacks, callbacks, callbacks->size < sizeof c->callbacks ? callbacks->size : sizeof c->callbacks);
    return inquire(all, s, query, c);
}

static void nobody(void *user, const struct lunette_decision *d) { (void)user, (void)d; }

call *lun_inquire_decision(struct lun_inquiries *all, struct lun_station *s, const struct lunette_query *query,
                           void (*done)(void *, const struct lunette_decision *), void *user)
{
    if (all->ended) return NULL;
    call *c = lun_zalloc(sizeof *c);
    c->user = user;
    c->decided = done ? done : nobody;
    return inquire(all, s, query, c);
}

void lun_inquiries_end(struct lun_inquiries *all)
{
    all->ended = true;
    for (call *c; (c = all->first); ) {
        let_go(c);
        struct lunette_decision stopping = { .status = lun_code_status(LUN_CODE_OVERLOADED), .code = lun_code_name(LUN_CODE_OVERLOADED), .message = STOPPING };
        if (c->decided) tell(c, NULL, &stopping);
        else say_end(c, LUN_TORN, NULL, 0);
    }
}

/* ---- for later ---- */

static char *put(char **at, const char *text, size_t n)
{
    char *start = *at;
    if (!text) return NULL;
    memcpy(start, text, n);
    start[n] = 0;
    *at += n + 1;
    return start;
}

static size_t length(const char *text) { return text ? strlen(text) : 0; }

struct lunette_query *lun_query_copy(const struct lunette_query *given)
{
    struct lunette_query in = {0};
    memcpy(&in, given, given->size < sizeof in ? given->size : sizeof in);
    if (!in.body) in.length = 0;
    size_t room = sizeof in + in.n_headers * sizeof *in.headers + length(in.endpoint) + in.length + length(in.key) + 3;
    for (size_t i = 0; i < in.n_headers; i++) room += length(in.headers[i].name) + length(in.headers[i].value) + 2;
    struct lunette_query *out = lun_zalloc(room);
    struct lunette_header *headers = (struct lunette_header *)(out + 1);
    char *at = (char *)(headers + in.n_headers);
    *out = in;
    out->headers = headers;
    out->endpoint = put(&at, in.endpoint, length(in.endpoint));
    out->body = put(&at, in.body, in.length);
    out->key = put(&at, in.key, length(in.key));
    for (size_t i = 0; i < in.n_headers; i++) {
        headers[i].name = put(&at, in.headers[i].name, length(in.headers[i].name));
        headers[i].value = put(&at, in.headers[i].value, length(in.headers[i].value));
    }
    return out;
}

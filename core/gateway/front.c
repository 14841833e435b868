#include "gateway/front.h"
#include "base/alloc.h"
#include "base/decimal.h"
#include "base/http.h"
#include "gateway/admission.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lun_station *now(const struct lun_front *f) { return f->station(f->self); }

/* ---- short answers ---- */

enum { MORE_HEADERS = 2 };

static void answer_as(struct lun_exchange *x, const char *id, int status, const struct lun_pair *more, int n, const struct lun_buf *body)
{
    struct lun_pair headers[LUN_REPLY_BARE + MORE_HEADERS];
    lun_reply_bare(id, headers);
    for (int i = 0; i < n; i++) headers[LUN_REPLY_BARE + i] = more[i];
    lun_exchange_head(x, status, headers, LUN_REPLY_BARE + n, (int64_t)body->n);
    lun_exchange_bytes(x, body->at, body->n);
    lun_exchange_end(x, true);
}

static void answer(struct lun_front *f, struct lun_exchange *x, int status, const struct lun_buf *body)
{
    char id[LUN_REQUEST_ID];
    lun_station_id(now(f), id);
    answer_as(x, id, status, NULL, 0, body);
}

static void refuse_with(struct lun_front *f, struct lun_exchange *x, struct lun_error *e, const struct lun_pair *more, int n)
{
    struct lun_buf body = {0};
    char status[LUN_DECIMAL_ROOM], id[LUN_REQUEST_ID];
    int code = e->status ? e->status : lun_code_status(e->code);
    lun_metrics_add(now(f)->registry->metrics, LUN_METRIC_REFUSED, (const char *[]){ lun_decimal_text(status, code) }, 1);
    lun_station_id(now(f), id);
    e->id = id;
    lun_reply_error_body(NULL, e, &body);
    answer_as(x, id, code, more, n, &body);
    lun_buf_free(&body);
}

static bool refuse_code(struct lun_front *f, struct lun_exchange *x, enum lun_code code, const char *message)
{
    refuse_with(f, x, &(struct lun_error){ .code = code, .message = message }, NULL, 0);
    return false;
}

/* What the server refuses by itself, in the same form as everything else. */
static void on_refuse(void *self, struct lun_exchange *x, int status, const char *why)
{
    refuse_with(self, x, &(struct lun_error){ .code = lun_code_of_status(status), .status = status, .message = why }, NULL, 0);
}

/* ---- what is asked for ---- */

enum what { NOTHING, HEALTH, MODELS, MODEL, ASK };
struct place { enum what what; enum lun_endpoint endpoint; struct lun_slice rest; };

static bool begins(struct lun_slice *s, const char *text)
{
    size_t n = strlen(text);
    if (s->n < n || memcmp(s->at, text, n)) return false;
    *s = (struct lun_slice){ s->at + n, s->n - n };
    return true;
}

static struct place place_of(struct lun_slice path)
{
    static const char *const health[] = { "/health", "/health/liveness", "/health/readiness" };
    for (size_t i = 0; i < sizeof health / sizeof *health; i++) if (lun_slice_is(path, health[i])) return (struct place){ .what = HEALTH };
    struct lun_slice rest = path;
    if (!begins(&rest, "/v1/")) rest = path;
    else rest = (struct lun_slice){ rest.at - 1, rest.n + 1 };
    for (int e = 0; e < LUN_ENDPOINT_COUNT; e++)
        if (lun_slice_is(rest, lun_endpoint_path((enum lun_endpoint)e))) return (struct place){ .what = ASK, .endpoint = (enum lun_endpoint)e };
    if (lun_slice_is(rest, "/models")) return (struct place){ .what = MODELS };
    if (begins(&rest, "/models/") && rest.n) return (struct place){ .what = MODEL, .rest = rest };
    return (struct place){ .what = NOTHING };
}

/* ---- who asks ---- */

static struct lun_slice presented(const struct lun_http_request *head)
{
    const struct lun_slice *h = lun_http_find(head, "authorization");
    if (h && h->n > 7 && !strncasecmp(h->at, "Bearer ", 7)) {
        struct lun_slice key = { h->at + 7, h->n - 7 };
        while (key.n && *key.at == ' ') key = (struct lun_slice){ key.at + 1, key.n - 1 };
        return key;
    }
    if (!(h = lun_http_find(head, "x-api-key"))) h = lun_http_find(head, "api-key");
    return h ? *h : (struct lun_slice){0};
}

/* False: refused. */
static bool known(struct lun_front *f, struct lun_exchange *x, const struct lun_http_request *head, struct lun_admitted *who)
{
    struct lun_slice key = presented(head);
    struct lun_error error;
    if (lun_admission_key(now(f), key.at, key.n, who, &error)) return true;
    return refuse_code(f, x, error.code, key.n ? error.message : "There is no key: send it as `authorization: Bearer KEY`, `x-api-key: KEY` or `api-key: KEY`.");
}

static bool is_json(const struct lun_http_request *head)
{
    const struct lun_slice *type = lun_http_find(head, "content-type");
    if (!type) return true;
    size_t n = 0;
    while (n < type->n && type->at[n] != ';' && type->at[n] != ' ') n++;
    struct lun_slice media = { type->at, n };
    return lun_slice_is_like(media, "application/json") || (n > 5 && !strncasecmp(type->at + n - 5, "+json", 5));
}

static bool is_coded(const struct lun_http_request *head)
{
    const struct lun_slice *coding = lun_http_find(head, "content-encoding");
    return coding && coding->n && !lun_slice_is_like(*coding, "identity");
}

/* What other gateways have at these paths, and somebody will try. */
static bool is_to_come(struct lun_slice path)
{
    static const char *const paths[] = { "/v1/messages", "/v1/messages/count_tokens", "/v1/responses", "/messages", "/responses" };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) if (lun_slice_is(path, paths[i])) return true;
    return false;
}

static bool right_method(struct lun_front *f, struct lun_exchange *x, const struct lun_http_request *head, const struct place *p)
{
    bool get = lun_slice_is(head->method, "GET") || lun_slice_is(head->method, "HEAD");
    if (p->what == ASK ? lun_slice_is(head->method, "POST") : get) return true;
    const char *allow = p->what == ASK ? "POST" : "GET, HEAD";
    refuse_with(f, x, &(struct lun_error){ .code = LUN_CODE_METHOD, .message = p->what == ASK ? "This path takes POST." : "This path takes GET." }, &(struct lun_pair){ "allow", allow }, 1);
    return false;
}

/* Said twice, each reader would take the one or the other. */
static const char *said_twice(const struct lun_http_request *head)
{
#define X(name) { name, sizeof name - 1 },
    static const struct lun_slice once[] = { X("authorization") X("x-api-key") X("api-key") X("content-type") X("content-encoding") };
#undef X
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
        int n = 0;
        for (int k = 0; k < head->n_headers; k++) n += head->headers[k].name.n == once[i].n && lun_slice_is_like(head->headers[k].name, once[i].at);
        if (n > 1) return once[i].at;
    }
    return NULL;
}

/* All that can be said against a request before its body is there. */
static bool admit(struct lun_front *f, struct lun_exchange *x, const struct lun_http_request *head, struct place *p, struct lun_admitted *who)
{
    who->rule = NULL;
    *p = place_of(head->path);
    if (p->what == NOTHING && is_to_come(head->path))
        return refuse_code(f, x, LUN_CODE_NOT_FOUND, "This interface is not built yet. There is /v1/chat/completions, in OpenAI's form.");
    if (p->what == NOTHING)
        return refuse_code(f, x, LUN_CODE_NOT_FOUND, "There is nothing at this path. There are /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models and /health.");
    if (!right_method(f, x, head, p)) return false;
    if (p->what == HEALTH) return true;
    const char *twice = said_twice(head);
    char what[96];
    if (twice) snprintf(what, sizeof what, "There are two `%s`: which one is meant?", twice);
    if (twice) return refuse_code(f, x, LUN_CODE_INVALID_REQUEST, what);
    if (!known(f, x, head, who)) return false;
    if (p->what == ASK && is_coded(head)) return refuse_code(f, x, LUN_CODE_MEDIA_TYPE, "Compressed bodies are not taken here: send it without `content-encoding`.");
    if (p->what == ASK && !is_json(head)) return refuse_code(f, x, LUN_CODE_MEDIA_TYPE, "The body has to be JSON: send it with `content-type: application/json`.");
    return true;
}

static bool on_judge(void *self, struct lun_exchange *x, const struct lun_http_request *head)
{
    struct place p;
    struct lun_admitted who;
    return admit(self, x, head, &p, &who);
}

/* ---- the small endpoints ---- */

static void health(struct lun_front *f, struct lun_exchange *x, const struct lun_http_request *head)
{
    struct lun_buf body = {0};
    bool ready = f->ready || !lun_slice_is(head->path, "/health/readiness");
    char word[32];
    const char *fleet = lun_shares_trouble(now(f)->registry->shares);
    lun_buf_printf(&body, "{\"status\":\"%s\"", ready ? "ok" : "starting");
    if (ready && strcmp(lun_money_status(now(f)->registry->money, word, NULL), "open")) lun_json_member_text(&body, "budgets", word);      /* why: is the operator's to know */
    if (ready && fleet) lun_json_member_text(&body, "fleet", fleet);
    lun_buf_putc(&body, '}');
    answer(f, x, ready ? 200 : 503, &body);
    lun_buf_free(&body);
}

static void put_model(struct lun_buf *out, const char *name)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "id", name);
    lun_buf_puts(out, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"lunette\"}");
}

static void models(struct lun_front *f, struct lun_exchange *x, const struct lun_client_rule *client)
{
    const struct lun_snapshot *s = now(f)->snapshot;
    struct lun_buf body = {0};
    lun_buf_puts(&body, "{\"object\":\"list\",\"data\":[");
    put_model(&body, "auto");
    for (int i = 0; i < s->n_models; i++) {
        if (s->models[i].pattern || !lun_client_may(client, s->models[i].name)) continue;
        lun_buf_putc(&body, ',');
        put_model(&body, s->models[i].name);
    }
    lun_buf_puts(&body, "]}");
    answer(f, x, 200, &body);
    lun_buf_free(&body);
}

static void one_model(struct lun_front *f, struct lun_exchange *x, struct lun_slice raw, const struct lun_client_rule *client)
{
    size_t n = 0;
    const char *rest;
    char *name = lun_alloc(raw.n + 1);
    struct lun_buf body = {0};
    bool there = lun_http_unescape(raw, name, &n) && (!strcmp(name, "auto")
        || (lun_snapshot_model(now(f)->snapshot, name, &rest) && lun_client_may(client, name)));
    if (there) {
        put_model(&body, name);
        answer(f, x, 200, &body);
    } else refuse_code(f, x, LUN_CODE_MODEL_NOT_FOUND, NULL);
    lun_buf_free(&body);
    free(name);
}

/* ---- a walk's client ---- */

/* In the arena of its question. */
struct visit { struct lun_front *front; struct lun_exchange *exchange; struct lun_request *request; };

static void say_head(void *self, const struct lun_head *head)
{
    struct visit *v = self;
    lun_exchange_head(v->exchange, head->status, head->headers, head->n_headers, head->stream ? LUN_LENGTH_UNKNOWN : head->length);
}

static void say_bytes(void *self, const char *bytes, size_t n) { lun_exchange_bytes(((struct visit *)self)->exchange, bytes, n); }

/* Once the answer is out. Who comes next has the policy of now, whatever this one had. */
static void rest(void *front) { lun_policy_rest(now(front)->policy); }

static void say_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n)
{
    struct visit *v = self;
    if (end == LUN_CLEAN) lun_exchange_trailers(v->exchange, trailers, n);
    lun_exchange_end(v->exchange, end == LUN_CLEAN);
    lun_reactor_afterwards(rest, v->front);
}
static bool takes_trailers(void *self) { return lun_exchange_takes_trailers(((struct visit *)self)->exchange); }
static const struct lun_client visitor = { say_head, say_bytes, say_end, takes_trailers };

static void on_gone(void *user) { lun_request_leave(((struct visit *)user)->request); }

static void on_full(void *user, bool full) { lun_request_pause(((struct visit *)user)->request, full); }

/* ---- asking ---- */

enum { SMALL_BODY = 2048 };     /* up to here a body is copied, and its connection keeps what it was read into */

static struct lun_pair *pairs_of(struct lun_arena *arena, const struct lun_http_request *head)
{
    struct lun_pair *pairs = lun_arena_alloc(arena, (size_t)(head->n_headers + 1) * sizeof *pairs);
    for (int i = 0; i < head->n_headers; i++) {
        const struct lun_http_header *h = &head->headers[i];
        const char *name = lun_http_lower(lun_arena_strndup(arena, h->name.at, h->name.n));
        pairs[i] = (struct lun_pair){ name, lun_header_is_secret(name) ? "" : lun_arena_strndup(arena, h->value.at, h->value.n) };
    }
    return pairs;
}

static void ask(struct lun_front *f, struct lun_exchange *x, const struct lun_http_request *head, const char *body, size_t n, enum lun_endpoint endpoint,
                const struct lun_admitted *who)
{
    struct lun_station *station = now(f);
    struct lun_question *q = lun_station_question(station);
    struct lun_error error;
    q->arrived = lun_exchange_started(x) ? lun_exchange_started(x) : q->arrived;
    struct lun_incoming in = { .endpoint = endpoint, .headers = pairs_of(q->arena, head), .n_headers = head->n_headers, .body = body, .n = n,
                               .client = who->rule, .key = who->key };
    if (n <= SMALL_BODY) in.body = lun_arena_strndup(q->arena, body, n);
    else lun_exchange_keep(x, &q->kept);        /* it stays where it is, with the question */
    q->buffered = &f->shared->buffered;
    q->buffered_n = (int64_t)q->kept.room;
    atomic_fetch_add(q->buffered, q->buffered_n);
    struct visit *v = lun_arena_alloc(q->arena, sizeof *v);
    *v = (struct visit){ .front = f, .exchange = x };
    if (!lun_admission_question(q, &in, &error)) { lun_admission_refuse(station, q, &error, &visitor, v); return; }
    lun_exchange_set_user(x, v);
    v->request = lun_station_open(station, q, &visitor, v, true);
}

/* ---- too much ---- */

static void next_pulse(struct lun_front *f)
{
    f->pulse_due = f->reactor->loop.now + LUN_SHED_PULSE;
    lun_timer_set(&f->reactor->loop, &f->pulse, f->pulse_due);
}

static void on_pulse(struct lun_timer *t)
{
    struct lun_front *f = (struct lun_front *)(void *)((char *)t - offsetof(struct lun_front, pulse));
    lun_shed_pulse(&f->shed, f->reactor->loop.now - f->pulse_due, now(f)->snapshot->limits.lag, f->reactor->loop.now);
    if (f->asked || f->shed.over) next_pulse(f);
    f->asked = false;
}

static bool too_much(struct lun_front *f, struct lun_exchange *x)
{
    static const struct lun_pair soon[MORE_HEADERS] = { { "retry-after", "1" }, { "x-should-retry", "true" } };
    f->asked = true;
    f->pulse.fire = on_pulse;
    if (!f->pulse.at) next_pulse(f);
    lun_us age = lun_clock_now() - f->reactor->turn;        /* not loop.now: one turn may answer all that a connection sent ahead */
    if (!lun_shed_refuses(&f->shed, age, now(f)->snapshot->limits.lag)) return false;
    refuse_with(f, x, &(struct lun_error){ .code = LUN_CODE_OVERLOADED, .message = "The gateway has more to do than it can: ask again in a moment." }, soon, MORE_HEADERS);
    return true;
}

static void on_request(void *self, struct lun_exchange *x, const struct lun_http_request *head, const char *body, size_t n)
{
    struct lun_front *f = self;
    struct place p;
    struct lun_admitted who;
    if (!admit(f, x, head, &p, &who)) return;
    switch (p.what) {
    case HEALTH: health(f, x, head); break;
    case MODELS: models(f, x, who.rule); break;
    case MODEL:  one_model(f, x, p.rest, who.rule); break;
    default:     if (!too_much(f, x)) ask(f, x, head, body, n, p.endpoint, &who);
    }
}

struct lun_server_handler lun_front_handler(struct lun_front *f)
{
    return (struct lun_server_handler){ .self = f, .request = on_request, .judge = on_judge, .refuse = on_refuse, .gone = on_gone, .full = on_full };
}

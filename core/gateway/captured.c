#include "gateway/captured.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/ring.h"
#include "gateway/answer.h"
#include "gateway/recast.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 1024                      /* bytes: so many entries as there would be of that size */

/* In the ring: "ID UNTIL", and the bodies behind it. */
struct lun_captured {
    pthread_mutex_t lock;
    struct lun_ring *ring;              /* NULL: nothing was kept yet */
    int64_t size; int generation;       /* as the newest version that kept something says */
};

struct lun_captured *lun_captured_new(void)
{
    struct lun_captured *c = lun_zalloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

/* ---- which ---- */

/* Ids are random. */
static double place_of(const struct lun_question *q) { return strtoul((char[]){ q->id[0], q->id[1], q->id[2], q->id[3], q->id[4], q->id[5], q->id[6], q->id[7], 0 }, NULL, 16) / 4294967296.0; }

static bool is_theirs(const struct lun_capture_rules *r, const struct lun_question *q)
{
    for (int i = 0; q->client && i < r->n_keys; i++) if (!strcmp(r->keys[i], q->client->name)) return true;
    return !r->n_keys;
}

bool lun_captured_may(const struct lun_question *q)
{
    const struct lun_capture_rules *r = &q->snapshot->capture;
    return (r->errors || place_of(q) < r->share) && !q->inner && !q->decide_only && q->body && is_theirs(r, q);
}

bool lun_captured_wants(const struct lun_question *q, const struct lun_done *done)
{
    return lun_captured_may(q) && (done->status >= 400 || done->stream_torn || place_of(q) < q->snapshot->capture.share);
}

/* ---- keeping ---- */

void lun_captured_event(struct lun_trial *t, const struct lun_event *e)
{
    if (e->kind != LUN_EVENT_GOOD || t->too_many) return;
    t->too_many = t->events.n + e->n > LUN_CAPTURED_EVENTS;
    if (!t->too_many) lun_buf_add(&t->events, e->bytes, e->n);
    else lun_buf_free(&t->events);
}

enum result { KEPT, TOO_LARGE, REFUSED, FAILED };
static const char *const names[] = { "kept", "too_large", "refused", "failed" };

struct keeping { const struct lun_snapshot *snapshot; struct lun_redact *redact; const char *why; };

/* The gateway's own secrets are taken out of it in any case: a provider may repeat what it was sent. */
static enum result put_text(struct lun_buf *out, const char *text, size_t n, const char *what, struct keeping *k)
{
    struct lun_buf own = {0}, left = {0};
    if (n > LUN_CAPTURED_TEXT) return TOO_LARGE;
    lun_buf_add(&own, text, n);
    lun_answer_scrub(own.at, own.n, k->snapshot->secrets, k->snapshot->n_secrets);
    bool good = !k->redact || lun_redact(k->redact, own.at, own.n, what, &left, &k->why);
    if (good && left.n > LUN_CAPTURED_TEXT) k->why = "it answered more than 256 KiB", good = false;
    const struct lun_buf *kept = k->redact ? &left : &own;
    if (good) lun_json_put_string(out, kept->n ? kept->at : "", kept->n);
    lun_buf_free(&own), lun_buf_free(&left);
    return good ? KEPT : k->why ? FAILED : REFUSED;
}

/* Into `out` as the whole answer that they come to. What is left out of it, where something is. */
static enum result put_events(struct lun_buf *out, const struct lun_trial *t, struct keeping *k)
{
    struct lun_buf whole = {0};
    const char *left_out = t->too_many ? "too_large" : !lun_recast_whole(t->events.at, t->events.n, &t->usage, &whole) ? "not_understood" : whole.n > LUN_CAPTURED_TEXT ? "too_large" : NULL;
    enum result result = KEPT;
    lun_json_member_bool(out, "stream", true);
    if (left_out) lun_json_member_text(out, "left_out", left_out);
    else lun_json_put_key(out, "body"), result = put_text(out, whole.at, whole.n, "answer", k);
    if (whole.n) explicit_bzero(whole.at, whole.n);
    lun_buf_free(&whole);
    return result;
}

static enum result put_body(struct lun_buf *out, const struct lun_trial *t, struct keeping *k)
{
    lun_json_put_key(out, "body");
    return put_text(out, t->body, t->body_n, "answer", k);
}

static enum result put_answers(struct lun_buf *out, const struct lun_question *q, struct keeping *k)
{
    enum result result = KEPT;
    lun_json_put_key(out, "answers");
    lun_buf_putc(out, '[');
    for (const struct lun_trial *t = q->trials; t && result == KEPT; t = t->next) {
        bool events = t->events.n || t->too_many;
        if (!events && !t->body_n) continue;
        if (out->at[out->n - 1] != '[') lun_buf_putc(out, ',');
        lun_buf_putc(out, '{');
        lun_json_member_int(out, "attempt", t->number);
        result = events ? put_events(out, t, k) : put_body(out, t, k);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
    return result;
}

static enum result put_bodies(struct lun_buf *out, const struct lun_question *q, struct keeping *k)
{
    lun_buf_putc(out, '{');
    lun_json_put_key(out, "request");
    enum result result = put_text(out, q->body, q->body_n, "request", k);
    if (result == KEPT) result = put_answers(out, q, k);
    lun_buf_putc(out, '}');
    return result;
}

/* As large as the newest version says: another one begins empty. What began with an earlier version goes into that which there is. */
static struct lun_ring *ring_of(struct lun_captured *c, const struct lun_snapshot *s)
{
    bool older = c->ring && s->generation < c->generation;
    if (!older && c->size != s->capture.size) {
        lun_ring_free(c->ring);
        c->ring = NULL;
    }
    if (!older) c->size = s->capture.size, c->generation = s->generation;
    if (!c->ring) c->ring = lun_ring_new((size_t)c->size, (size_t)c->size / SMALL);
    return c->ring;
}

static enum result keep(struct lun_captured *c, const struct lun_question *q, const struct lun_buf *bodies, lun_us now)
{
    const struct lun_capture_rules *r = &q->snapshot->capture;
    char key[LUN_REQUEST_ID + 24];
    int n = snprintf(key, sizeof key, "%s %" PRId64, q->id, now + r->keep);
    pthread_mutex_lock(&c->lock);
    struct lun_ring *ring = ring_of(c, q->snapshot);
    bool fits = (int64_t)bodies->n + n <= c->size;
    if (fits) lun_ring_put(ring, key, (size_t)n, bodies->at, bodies->n);
    pthread_mutex_unlock(&c->lock);
    return fits ? KEPT : TOO_LARGE;
}

void lun_captured_put(struct lun_captured *c, struct lun_question *q, struct lun_redact *redact, lun_us now, const struct lun_log *log)
{
    struct lun_buf bodies = {0};
    struct keeping k = { q->snapshot, redact, NULL };
    bool lost = q->snapshot->capture.redact.text && !redact;
    enum result result = lost ? FAILED : put_bodies(&bodies, q, &k);
    if (result == KEPT) result = keep(c, q, &bodies, now);
    if (result == FAILED) lun_log(log, LUN_LOG_WARN, "capture.redact: %s (request %s; nothing of it is kept)", k.why ? k.why : "it is not there", q->id);
    lun_metrics_add(q->registry->metrics, LUN_METRIC_CAPTURED, &names[result], 1);
    if (bodies.n) explicit_bzero(bodies.at, bodies.n);
    lun_buf_free(&bodies);
}

/* ---- telling ---- */

/* When the entry's time is over, if it is of that id; 0: it is another's. */
static lun_us until_of(const struct lun_buf *key, const char *id)
{
    size_t n = strlen(id);
    return key->n > n && !memcmp(key->at, id, n) && key->at[n] == ' ' ? strtoll(key->at + n, NULL, 10) : 0;
}

bool lun_captured_get(struct lun_captured *c, const char *id, lun_us now, struct lun_buf *out)
{
    struct lun_buf key = {0};
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (uint64_t n = c->ring ? lun_ring_newest(c->ring) : 0; n && !found; n--) {
        key.n = 0;
        if (!lun_ring_get(c->ring, n, &key, NULL)) break;
        lun_buf_text(&key);
        found = until_of(&key, id) > now;
        if (found) key.n = 0, lun_ring_get(c->ring, n, &key, out);
    }
    pthread_mutex_unlock(&c->lock);
    lun_buf_free(&key);
    return found;
}

static bool is_over(struct lun_ring *ring, uint64_t number, lun_us now)
{
    struct lun_buf key = {0};
    bool there = lun_ring_get(ring, number, &key, NULL), over = !there || strtoll(lun_buf_text(&key) + LUN_REQUEST_ID - 1, NULL, 10) <= now;
    lun_buf_free(&key);
    return over;
}

/* The latest that is over, and with it all before. */
void lun_captured_wipe(struct lun_captured *c, lun_us now)
{
    pthread_mutex_lock(&c->lock);
    uint64_t n = c->ring ? lun_ring_newest(c->ring) : 0;
    while (n && !is_over(c->ring, n, now)) n--;
    if (n) lun_ring_forget(c->ring, n);
    pthread_mutex_unlock(&c->lock);
}

void lun_captured_free(struct lun_captured *c)
{
    if (!c) return;
    lun_ring_free(c->ring);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* A request's part in the response cache: whether it may be answered from it, what it is told then, and what becomes of its own answer. Between
 * the walk and state/cache; who has to be asked, and when, is request.c's affair. */
#include "gateway/answer.h"
#include "gateway/recast.h"
#include "gateway/walk.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATIENCE LUN_SECOND             /* with a client that does not read, where others wait for its answer */

typedef struct lun_request request;

const char *lun_cache_result_name(enum lun_cache_result result)
{
    static const char *const names[] = { NULL,
#define X(id, name, ...) name,
        LUN_CACHE_RESULTS(X)
#undef X
    };
    return names[result];
}

bool lun_cache_answers(enum lun_cache_result result) { return result == LUN_CACHE_HIT || result == LUN_CACHE_SHARED; }

static struct lun_cache *cache_of(const request *r) { return r->question->registry->cache; }
static const struct lun_cache_rules *rules_of(const request *r) { return &r->question->snapshot->cache; }
static void count(const request *r, enum lun_metric m) { lun_metrics_add(r->question->registry->metrics, m, NULL, 1); }

/* ---- what the client says of it ---- */

struct wanted { bool bypass, anew; lun_us age; };

static bool is(const char *text, size_t n, const char *word) { return n == strlen(word) && !strncasecmp(text, word, n); }

/* RFC 9111, 5.2.1: what is not known is passed over. */
static void read_directive(const char *text, size_t n, struct wanted *w)
{
    static const char age[] = "max-age=";
    if (is(text, n, "no-store")) w->bypass = true;
    else if (is(text, n, "no-cache")) w->anew = true;
    else if (n >= sizeof age - 1 && !strncasecmp(text, age, sizeof age - 1)) {
        const char *digit = text + sizeof age - 1, *end = text + n;
        lun_us seconds = 0;
        if (end - digit > 1 && *digit == '"' && end[-1] == '"') digit++, end--;
        for (; digit < end && *digit >= '0' && *digit <= '9' && seconds < LUN_NEVER / LUN_SECOND / 20; digit++) seconds = seconds * 10 + (*digit - '0');
        if (!seconds) w->anew = true;                           /* 0, or rubbish: as careful as can be */
        else if (seconds * LUN_SECOND < w->age) w->age = seconds * LUN_SECOND;
    }
}

static void read_control(const char *value, struct wanted *w)
{
    while (*value) {
        value += strspn(value, ", \t");
        size_t n = strcspn(value, ","), trimmed = n;
        while (trimmed && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\t')) trimmed--;
        read_directive(value, trimmed, w);
        value += n;
    }
}

static struct wanted wanted_by(const struct lun_question *q)
{
    struct wanted w = { .age = q->snapshot->cache.ttl };
    for (int i = 0; i < q->n_headers; i++) {
        const struct lun_pair *h = &q->headers[i];
        if (!strcmp(h->name, "cache-control")) read_control(h->value, &w);
        else if (!strcmp(h->name, "x-lunette-cache") && !strcasecmp(h->value, "bypass")) w.bypass = true;
    }
    if (q->pinned) w.bypass = true;                             /* the provider remembers what came before */
    return w;
}

/* ---- an answer from it ---- */

/* The events without the usage that is in them. */
static void strip_usage(const struct lun_cached *a, struct lun_buf *out)
{
    struct lun_stream events = { .limit = LUN_STREAM_EVENT_MAX, .choices = 1, .hide_usage = true };
    struct lun_buf copy = {0};
    lun_buf_add(&copy, a->bytes, a->n);
    size_t at = 0;
    for (struct lun_event e; (e = lun_stream_peek(&events, copy.at + at, copy.n - at, false)).kind; at += lun_stream_take(&events))
        if (e.kind == LUN_EVENT_GOOD) lun_buf_add(out, e.bytes, e.n);
    lun_buf_free(&copy);
    lun_stream_free(&events);
}

static void put_events(const struct lun_cached *a, bool usage, struct lun_buf *out)
{
    if (a->usage_shown && !usage) strip_usage(a, out);
    else lun_buf_add(out, a->bytes, a->n);
    if (a->usage_shown || !usage) return;
    if (a->hidden_n) lun_buf_add(out, a->hidden, a->hidden_n);
    else if (a->usage.known && !a->usage.estimated) lun_recast_usage(a->bytes, a->n, &a->usage, out);
}

/* What the client is told, in the form it wants. False: it cannot be told in that form. Where it is told as it lies there, nothing is copied. */
static bool in_form(const request *r, const struct lun_cached *a, struct lun_buf *out)
{
    const struct lun_question *q = r->question;
    if (!q->stream && a->events) {
        struct lun_buf all = {0};
        put_events(a, true, &all);
        bool good = lun_recast_whole(all.at, all.n, &a->usage, out);
        lun_buf_free(&all);
        return good;
    }
    if (q->stream && !a->events) return lun_recast_events(a->bytes, a->n, q->include_usage, out);
    if (q->stream && a->usage_shown != q->include_usage) put_events(a, q->include_usage, out);
    return true;
}

/* Whether that answer can be told to this client; then it is this request's. */
static bool takes(request *r, struct lun_cached *a)
{
    struct lun_caching *c = &r->caching;
    if (lun_snapshot_target(r->question->snapshot, a->target) && in_form(r, a, &c->shown)) {
        c->answer = a;
        return true;
    }
    lun_cached_unref(a);
    return false;
}

void lun_caching_tell(request *r)
{
    static const char done[] = "data: [DONE]\n\n";
    struct lun_caching *c = &r->caching;
    struct lun_question *q = r->question;
    const struct lun_cached *a = c->answer;
    bool as_it_is = !c->shown.n;
    const char *bytes = as_it_is ? a->bytes : c->shown.at;
    size_t n = as_it_is ? a->n : c->shown.n;
    struct lun_trial *maker = lun_arena_zalloc(q->arena, sizeof *maker);       /* nobody was tried: it stands for the one who answered then */
    *maker = (struct lun_trial){ .target = lun_snapshot_target(q->snapshot, a->target), .key = -1, .closed = true, .committed = true, .fallback = a->fallback,
                                 .provider_request_id = lun_arena_strdup(q->arena, a->provider_request_id), .warning = lun_arena_strdup(q->arena, a->warning) };
    r->done.trial = maker;
    lun_done_add_up(q, &r->done);
    lun_tell_head(r, maker, a->events == q->stream ? lun_arena_strdup(q->arena, a->content_type) : NULL, (int64_t)n);
    lun_tell_bytes(r, bytes, n);
    if (q->stream) lun_tell_bytes(r, done, sizeof done - 1);
}

/* ---- answers that gateways keep together ---- */

static struct lun_shelf *shelf_of(const request *r) { return r->ask.waiting ? r->ask.waiting->shelf : NULL; }

/* On any thread, under the shelf's lock. */
static void found_far(struct lun_shelf_asker *asker)
{
    lun_waiter_move(&((struct lun_far *)(void *)((char *)asker - offsetof(struct lun_far, asker)))->waiter);
}

static void take_name(request *r, lun_us since)
{
    struct lun_caching *c = &r->caching;
    if (!rules_of(r)->redis || !shelf_of(r)) return;
    struct lun_far *far = c->far = lun_arena_zalloc(&r->own, sizeof *far);
    far->asker.post = found_far;
    far->epoch = lun_shelf_epoch(shelf_of(r));
    far->since = since;
    lun_cache_key_name(far->name, &c->key, r->question, r->ask.policy != NULL);
}

/* Whether it has begun to look there. */
static bool looks_far(request *r)
{
    struct lun_caching *c = &r->caching;
    struct lun_far *far = c->far;
    if (!far || far->since == LUN_NEVER) return false;
    lun_waiter_join(&far->waiter, r);                           /* before it can be posted to */
    bool begun = lun_shelf_begin(shelf_of(r), &far->asker, far->name, far->epoch);
    if (!begun) lun_waiter_leave(&far->waiter);
    else c->state = LUN_CACHING_LOOKS, c->since = r->loop->now, far->until = r->loop->now + rules_of(r)->redis_wait;
    return begun;
}

static void stop_looking(request *r)
{
    struct lun_caching *c = &r->caching;
    lun_shelf_end(shelf_of(r), &c->far->asker);
    lun_waiter_leave(&c->far->waiter);
    r->done.shared_wait += r->loop->now - c->since;
    c->state = LUN_CACHING_ASKS;
}

/* What was found there is this gateway's from now on, and of those who wait here; NULL: nothing that this request may be given. */
static struct lun_cached *bring_here(request *r, struct lun_cached *a)
{
    const struct lun_cache_rules *rules = rules_of(r);
    if (!a) return NULL;
    const struct lun_far *far = r->caching.far;
    bool fresh = a->made >= far->since && far->epoch == lun_shelf_epoch(shelf_of(r));       /* who waits here may have come after it was emptied */
    lun_shelf_count(shelf_of(r), fresh ? LUN_SHELF_HIT : LUN_SHELF_OLD);
    if (fresh) {
        lun_cache_keep(cache_of(r), &r->caching.visit, a, a->n + a->hidden_n <= (size_t)rules->answer);
        return a;
    }
    lun_cached_unref(a);
    return NULL;
}

static enum lun_cache_state look_on(request *r, struct lun_cached **found)
{
    struct lun_far *far = r->caching.far;
    struct lun_cached *a = NULL;
    bool over = lun_shelf_ask(shelf_of(r), &far->asker, &a);
    if (!over && r->loop->now < far->until) return LUN_CACHE_WAITS;
    if (!over) lun_shelf_count(shelf_of(r), LUN_SHELF_LATE);
    stop_looking(r);
    if (!(*found = bring_here(r, a))) return LUN_CACHE_ASKS;
    r->done.cache = LUN_CACHE_HIT;
    r->caching.state = LUN_CACHING_OVER;
    return LUN_CACHE_SERVED;
}

/* ---- taking part ---- */

/* On any thread, under the cache's lock. */
static void posted(struct lun_cache_visit *visit)
{
    lun_waiter_move(&((struct lun_caching *)(void *)((char *)visit - offsetof(struct lun_caching, visit)))->waiter);
}

/* Whether it takes part at all; then since when an answer must have been made to be good for it. */
static bool takes_part(request *r, lun_us *since)
{
    struct lun_question *q = r->question;
    struct lun_caching *c = &r->caching;
    if (!rules_of(r)->size || q->decide_only || q->rehearsal) return false;
    struct wanted w = wanted_by(q);
    r->done.cache = LUN_CACHE_BYPASS;
    if (w.bypass) return false;
    lun_cache_key_make(&c->key, lun_cache_secret(cache_of(r)), q, r->ask.policy != NULL);
    if (c->key.stored) return false;
    r->done.cache = w.anew ? LUN_CACHE_REFRESH : LUN_CACHE_MISS;
    *since = w.anew ? LUN_NEVER : r->loop->now - w.age + 1;
    take_name(r, *since);
    return true;
}

static enum lun_cache_state find(request *r, lun_us since, struct lun_cached **found)
{
    struct lun_caching *c = &r->caching;
    c->visit.post = posted;
    lun_waiter_join(&c->waiter, r);                             /* before it can be posted to */
    enum lun_cache_state state = lun_cache_find(cache_of(r), &c->visit, c->key.digest, since, since != LUN_NEVER && r->ask.waiting, found);
    if (state != LUN_CACHE_WAITS) lun_waiter_leave(&c->waiter);
    return state;
}

static enum lun_cache_state begin(request *r, struct lun_cached **found)
{
    struct lun_caching *c = &r->caching;
    lun_us since;
    c->state = LUN_CACHING_OVER;
    if (!takes_part(r, &since)) return LUN_CACHE_AWAY;
    enum lun_cache_state state = find(r, since, found);
    if (state == LUN_CACHE_SERVED) r->done.cache = LUN_CACHE_HIT;
    if (state != LUN_CACHE_WAITS) return state;
    c->state = LUN_CACHING_WAITS;
    c->since = r->loop->now;
    count(r, LUN_METRIC_CACHE_WAITS);
    return state;
}

static void stop_waiting(request *r)
{
    struct lun_caching *c = &r->caching;
    lun_waiter_leave(&c->waiter);
    r->done.shared_wait += r->loop->now - c->since;
    c->state = LUN_CACHING_OVER;
}

static enum lun_cache_state wait_on(request *r, struct lun_cached **found)
{
    enum lun_cache_state state = lun_cache_look(cache_of(r), &r->caching.visit, found);
    if (state == LUN_CACHE_WAITS) return state;
    stop_waiting(r);
    if (state == LUN_CACHE_SERVED) r->done.cache = LUN_CACHE_SHARED;
    return state;
}

enum lun_caching_look lun_caching_look(request *r)
{
    struct lun_caching *c = &r->caching;
    struct lun_cached *found = NULL;
    bool looked = c->state == LUN_CACHING_LOOKS;
    enum lun_cache_state state = looked ? look_on(r, &found) : c->state == LUN_CACHING_WAITS ? wait_on(r, &found) : begin(r, &found);
    if (state == LUN_CACHE_WAITS || (state == LUN_CACHE_ASKS && !looked && looks_far(r))) return LUN_CACHING_WAIT;
    if (state == LUN_CACHE_SERVED) {
        if (takes(r, found)) return LUN_CACHING_HIT;
        r->done.cache = LUN_CACHE_MISS;
        state = find(r, LUN_NEVER, &found);
    }
    if (state == LUN_CACHE_ASKS) c->state = LUN_CACHING_ASKS;
    return LUN_CACHING_GO;
}

/* ---- its own answer ---- */

static void leave(request *r, enum lun_cache_why why)
{
    struct lun_caching *c = &r->caching;
    lun_cache_leave(cache_of(r), &c->visit, why);
    if (c->state == LUN_CACHING_WAITS) stop_waiting(r);
    if (c->state == LUN_CACHING_LOOKS) stop_looking(r);
    c->state = LUN_CACHING_OVER;
    lun_buf_free(&c->shown);
    lun_buf_free(&c->hidden);
}

lun_us lun_caching_due(const request *r)
{
    const struct lun_attempt *a = r->about;
    if (r->caching.state == LUN_CACHING_LOOKS) return r->caching.far->until;
    bool held = r->state == LUN_AT_STREAM && r->caching.state == LUN_CACHING_ASKS && a->held_since != LUN_NEVER;
    return held ? a->held_since + PATIENCE : LUN_NEVER;
}

void lun_caching_held(request *r)
{
    if (r->loop->now >= lun_caching_due(r)) leave(r, LUN_CACHE_UNFIT);
}

void lun_caching_leave(request *r)
{
    enum { OPEN = 1 << LUN_CACHING_WAITS | 1 << LUN_CACHING_LOOKS | 1 << LUN_CACHING_ASKS };
    if (1 << r->caching.state & OPEN) leave(r, r->gone ? LUN_CACHE_LEFT : LUN_CACHE_FAILED);
    lun_cached_unref(r->caching.answer);
    r->caching.answer = NULL;
    lun_buf_free(&r->caching.shown);
    lun_buf_free(&r->caching.hidden);
}

void lun_caching_event(request *r, const struct lun_event *e)
{
    struct lun_caching *c = &r->caching;
    if (c->state != LUN_CACHING_ASKS) return;
    if (e->kind == LUN_EVENT_GOOD) lun_buf_add(&c->shown, e->bytes, e->n);
    if (e->kind == LUN_EVENT_HIDDEN) lun_buf_add(&c->hidden, e->bytes, e->n);
    if (c->shown.n + c->hidden.n > (size_t)rules_of(r)->answer) leave(r, LUN_CACHE_UNFIT);      /* too large: nobody is to wait for it */
}

/* All there, by what it says of itself. What ends at a length that the client has asked for is. */
static bool all_there(const request *r, const struct lun_attempt *a)
{
    const struct lun_question *q = r->question;
    if (q->endpoint == LUN_ENDPOINT_EMBEDDINGS) return true;
    unsigned finishes = q->stream ? a->events.finishes : a->finishes;
    if (q->stream ? !a->events.finished : !a->trial.finish_reason) return false;
    return !(finishes & LUN_FINISH_BROKEN) && (!(finishes & LUN_FINISH_LENGTH) || q->max_tokens >= 0);
}

void lun_caching_keep(request *r, const struct lun_attempt *a)
{
    struct lun_caching *c = &r->caching;
    const struct lun_question *q = r->question;
    if (c->state != LUN_CACHING_ASKS) return;
    if (q->reads & ~c->key.reads) { leave(r, LUN_CACHE_UNFIT); return; }        /* a hook has looked at what the key was made without */
    if (q->policy_failed || !all_there(r, a)) { leave(r, LUN_CACHE_FAILED); return; }
    struct lun_cached like = { .events = q->stream, .usage_shown = q->stream && !a->events.hide_usage, .fallback = a->trial.fallback, .target = a->trial.target->name,
                               .content_type = a->content_type, .provider_request_id = a->trial.provider_request_id, .warning = a->trial.warning, .usage = q->stream ? a->events.usage : a->trial.usage,
                               .bytes = q->stream ? c->shown.at : a->in.at, .n = q->stream ? c->shown.n : a->in.n,
                               .hidden = c->hidden.at, .hidden_n = c->hidden.n, .made = a->trial.ended };
    bool fits = like.n + like.hidden_n <= (size_t)rules_of(r)->answer;
    if (!fits && !lun_cache_awaited(cache_of(r), &c->visit)) { leave(r, LUN_CACHE_UNFIT); return; }
    struct lun_cached *answer = lun_cached_new(&like);
    lun_cache_keep(cache_of(r), &c->visit, answer, fits);
    if (c->far && fits) lun_shelf_put(shelf_of(r), c->far->name, c->far->epoch, answer, rules_of(r)->ttl);
    c->state = LUN_CACHING_OVER;
    lun_cached_unref(answer);
}

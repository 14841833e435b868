#include "state/limit.h"
#include "base/alloc.h"
#include "state/limiter.h"
#include "state/shares.h"
#include <stdlib.h>

#define MOST_TOKENS ((int64_t)1 << 50)      /* of one turn: sums stay far from the end of the numbers */

/* ---- who waits ---- */

static struct lun_tally weight(const struct lun_turn *t)
{
    return (struct lun_tally){ 1, t->tokens < 0 ? 0 : t->tokens > MOST_TOKENS ? MOST_TOKENS : t->tokens };
}

static uint64_t round_of(const struct lun_line *line, uint64_t who)
{
    for (const struct lun_turn *t = line->last; t; t = t->previous)
        if (t->who == who) return t->round + 1;
    return line->first ? line->first->round : 0;
}

static struct lun_line *line_of(struct lun_limiter *l, const struct lun_turn *t) { return &l->lines[t->where - 1]; }

static void stand_behind(struct lun_limiter *l, struct lun_turn *t, struct lun_turn *before)
{
    struct lun_line *line = line_of(l, t);
    t->previous = before;
    t->next = before ? before->next : line->first;
    *(t->next ? &t->next->previous : &line->last) = t;
    *(before ? &before->next : &line->first) = t;
}

static void step_out(struct lun_limiter *l, struct lun_turn *t)
{
    struct lun_line *line = line_of(l, t);
    *(t->previous ? &t->previous->next : &line->first) = t->next;
    *(t->next ? &t->next->previous : &line->last) = t->previous;
}

static void enter(struct lun_limiter *l, struct lun_turn *t)
{
    t->where = 1 + (t->batch ? LUN_LINE_BATCH : LUN_LINE_OTHERS);
    struct lun_turn *before = line_of(l, t)->last;
    t->round = round_of(line_of(l, t), t->who);
    while (before && before->round > t->round) before = before->previous;
    stand_behind(l, t, before);
    lun_tally_add(&l->waiting[t->batch], weight(t));
}

static void quit(struct lun_limiter *l, struct lun_turn *t)
{
    step_out(l, t);
    t->where = 0;
    lun_tally_take(&l->waiting[t->batch], weight(t));
}

static void grant(struct lun_limiter *l, struct lun_turn *t)
{
    if (t->where == 1 + LUN_LINE_GRANTED) return;
    step_out(l, t);
    t->where = 1 + LUN_LINE_GRANTED;
    stand_behind(l, t, line_of(l, t)->last);
}

static struct lun_turn *first_from(const struct lun_limiter *l, int line)
{
    while (line < LUN_LINES && !l->lines[line].first) line++;
    return line < LUN_LINES ? l->lines[line].first : NULL;
}

static struct lun_turn *first(const struct lun_limiter *l) { return first_from(l, 0); }
static struct lun_turn *behind(const struct lun_limiter *l, const struct lun_turn *t) { return t->next ? t->next : first_from(l, t->where); }

/* ---- when their slots come ---- */

static int64_t share(int64_t limit) { return limit <= 1 ? limit : limit * LUN_BATCH_PERCENT / 100 > 0 ? limit * LUN_BATCH_PERCENT / 100 : 1; }

static struct lun_tally limits(const struct lun_limiter *l) { return (struct lun_tally){ l->requests, l->tokens }; }

static struct lun_tally batch_limits(const struct lun_limiter *l) { return (struct lun_tally){ share(l->requests), share(l->tokens) }; }

static int64_t positive(int64_t n) { return n > 0 ? n : 0; }

static int64_t batch(int64_t limit) { return (limit + LUN_SHARES_BATCHES - 1) / LUN_SHARES_BATCHES; }

static struct lun_tally part(const struct lun_limiter *l) { return l->fresh ? (struct lun_tally){ batch(l->requests), batch(l->tokens) } : l->part; }

/* What of the limit other gateways have: it counts as if it were in the window, and does not leave it by itself. */
static struct lun_tally others(const struct lun_limiter *l)
{
    if (!l->of) return (struct lun_tally){0};
    return (struct lun_tally){ l->requests ? positive(l->requests - part(l).requests) : 0, l->tokens ? positive(l->tokens - part(l).tokens) : 0 };
}

static struct lun_tally batch_others(const struct lun_limiter *l)
{
    struct lun_tally all = others(l);
    return (struct lun_tally){ (all.requests * LUN_BATCH_PERCENT + 99) / 100, (all.tokens * LUN_BATCH_PERCENT + 99) / 100 };
}

static struct lun_tally taken(const struct lun_limiter *l)
{
    struct lun_tally all = l->window.all;
    lun_tally_add(&all, others(l));
    return all;
}

static struct lun_tally batch_taken(const struct lun_limiter *l)
{
    struct lun_tally batch = l->window.batch;
    lun_tally_add(&batch, batch_others(l));
    return batch;
}

/* Others are asked to give back what they do not need. */
static void lack(struct lun_limiter *l)
{
    if (!l->lacks) lun_shares_lack(l->of);
    l->lacks = true;
}

static bool fits(struct lun_tally in, struct lun_tally more, struct lun_tally limit)
{
    int64_t tokens = more.tokens < limit.tokens ? more.tokens : limit.tokens;   /* what is larger than the limit needs all of it */
    return (!limit.requests || in.requests + more.requests <= limit.requests) && (!limit.tokens || in.tokens + tokens <= limit.tokens);
}

/* Whether all who wait could go at once: then nobody has to be asked about an order. */
static bool all_fit(const struct lun_limiter *l)
{
    struct lun_tally all = taken(l), batch = batch_taken(l), limit = limits(l), of_batch = batch_limits(l);
    lun_tally_add(&all, l->waiting[0]);
    lun_tally_add(&all, l->waiting[1]);
    lun_tally_add(&batch, l->waiting[1]);
    return (!limit.requests || all.requests <= limit.requests) && (!limit.tokens || all.tokens <= limit.tokens)
        && (!l->waiting[1].requests || ((!limit.requests || batch.requests <= of_batch.requests) && (!limit.tokens || batch.tokens <= of_batch.tokens)));
}

/* The old end of a window that slides over what went out and, behind it, over those who wait at their planned times. */
struct edge { const struct lun_limiter *l; bool batch; size_t use; const struct lun_turn *turn; struct lun_tally in; };

static bool filled(const struct edge *e) { return e->in.requests || e->in.tokens; }

/* The next to leave it before `t` comes. False: nothing is in it any more but what other gateways have. */
static bool oldest(struct edge *e, const struct lun_turn *t, struct lun_use *out)
{
    for (; e->use < e->l->window.n; e->use++) {
        *out = *lun_window_at(&e->l->window, e->use);
        if (!e->batch || out->batch) return true;
    }
    while (e->turn && e->batch && !e->turn->batch) e->turn = behind(e->l, e->turn);
    if (e->turn == t) return false;
    if (e->turn) *out = (struct lun_use){ e->turn->planned, weight(e->turn), e->turn->batch };
    return e->turn;
}

/* When other gateways will have let go of so much is not known: as soon as they have heard; where they need all of theirs, with the even flow of the limit. */
static lun_us flow(const struct lun_limiter *l, struct lun_tally of)
{
    struct lun_tally limit = limits(l);
    if (!l->spent) return 2 * LUN_SHARES_POLL;
    lun_us requests = limit.requests ? LUN_WINDOW / limit.requests * of.requests : 0;
    lun_us tokens = limit.tokens ? (lun_us)((__int128)LUN_WINDOW * (of.tokens < limit.tokens ? of.tokens : limit.tokens) / limit.tokens) : 0;
    lun_us flow = requests > tokens ? requests : tokens;
    return flow > LUN_SHARES_POLL ? flow : LUN_SHARES_POLL;
}

static void drop(struct edge *e, const struct lun_use *u)
{
    lun_tally_take(&e->in, u->of);
    if (e->use < e->l->window.n) e->use++;
    else e->turn = behind(e->l, e->turn);
}

static lun_us slot(struct edge *e, const struct lun_turn *t, struct lun_tally limit, lun_us when)
{
    struct lun_use u;
    while (filled(e) && !fits(e->in, weight(t), limit)) {
        if (!oldest(e, t, &u)) { when += flow(e->l, weight(t)); break; }
        drop(e, &u);
        if (u.at + LUN_WINDOW > when) when = u.at + LUN_WINDOW;
    }
    lun_tally_add(&e->in, weight(t));
    return when;
}

static void plan(struct lun_limiter *l)
{
    struct edge all = { .l = l, .turn = first(l), .in = taken(l) };
    struct edge batch = { .l = l, .batch = true, .turn = first(l), .in = batch_taken(l) };
    struct lun_tally limit = limits(l), of_batch = batch_limits(l);
    lun_us when = l->window.now;
    struct lun_tally shared = others(l);
    if (shared.requests || shared.tokens) lack(l);
    for (struct lun_turn *t = first(l); t; t = behind(l, t)) {
        if (t->batch) when = slot(&batch, t, of_batch, when);
        t->planned = when = slot(&all, t, limit, when);
    }
}

static void set_due(struct lun_turn *t, lun_us due) { __atomic_store_n(&t->due, due, __ATOMIC_RELEASE); }

static void publish(struct lun_limiter *l)
{
    for (struct lun_turn *t = first(l); t; t = behind(l, t)) {
        lun_us old = t->due;
        if (old == t->planned || (old <= l->window.now && t->planned <= l->window.now)) continue;
        set_due(t, t->planned);
        if (t->planned < old && t->moved) t->moved(t);
    }
}

static void replan(struct lun_limiter *l)
{
    if (!first(l)) return;
    plan(l);
    publish(l);
}

/* ---- the limiter ---- */

struct lun_limiter *lun_limiter_new(int64_t requests_per_minute, int64_t tokens_per_minute)
{
    struct lun_limiter *l = lun_zalloc(sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    l->requests = requests_per_minute > 0 ? requests_per_minute : 0;
    l->tokens = tokens_per_minute > 0 ? tokens_per_minute : 0;
    return l;
}

void lun_limiter_set(struct lun_limiter *l, int64_t requests_per_minute, int64_t tokens_per_minute)
{
    pthread_mutex_lock(&l->lock);
    l->requests = requests_per_minute > 0 ? requests_per_minute : 0;
    l->tokens = tokens_per_minute > 0 ? tokens_per_minute : 0;
    replan(l);
    pthread_mutex_unlock(&l->lock);
}

void lun_limiter_free(struct lun_limiter *l)
{
    if (!l) return;
    lun_window_free(&l->window);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

bool lun_limiter_limits(const struct lun_limiter *l) { return l && (l->requests || l->tokens); }

static void lock(struct lun_limiter *l, lun_us now)
{
    pthread_mutex_lock(&l->lock);
    lun_window_advance(&l->window, now);
}

lun_us lun_limiter_peek(struct lun_limiter *l, struct lun_turn *t, lun_us now)
{
    lock(l, now);
    enter(l, t);
    t->planned = l->window.now;
    if (!all_fit(l)) plan(l);
    quit(l, t);
    pthread_mutex_unlock(&l->lock);
    return t->planned <= now ? now : t->planned;
}

lun_us lun_limiter_take(struct lun_limiter *l, struct lun_turn *t, lun_us now)
{
    lock(l, now);
    t->limiter = l;
    enter(l, t);
    bool order = !all_fit(l);
    t->planned = l->window.now;
    if (order) plan(l);
    lun_us due = t->planned <= l->window.now ? now : t->planned;
    set_due(t, due);
    if (order) publish(l);
    pthread_mutex_unlock(&l->lock);
    return due;
}

lun_us lun_turn_due(const struct lun_turn *t) { return __atomic_load_n(&t->due, __ATOMIC_ACQUIRE); }

bool lun_turn_granted(struct lun_turn *t, lun_us now)
{
    struct lun_limiter *l = t->limiter;
    if (!l) return lun_turn_due(t) <= now;
    if (lun_turn_due(t) > now) return false;
    lock(l, now);
    if (t->where && !all_fit(l)) replan(l);
    bool granted = t->where && t->due <= l->window.now;
    if (granted) grant(l, t);
    pthread_mutex_unlock(&l->lock);
    return granted;
}

void lun_turn_use(struct lun_turn *t, lun_us now)
{
    struct lun_limiter *l = t->limiter;
    if (!l) return;
    lock(l, now);
    if (t->where) {
        bool early = t->due > l->window.now;
        quit(l, t);
        lun_window_add(&l->window, weight(t), t->batch);
        l->moves = true;
        if (early) replan(l);
    }
    pthread_mutex_unlock(&l->lock);
}

void lun_turn_leave(struct lun_turn *t, lun_us now)
{
    struct lun_limiter *l = t->limiter;
    if (!l) return;
    lock(l, now);
    if (t->where) {
        quit(l, t);
        replan(l);
    }
    pthread_mutex_unlock(&l->lock);
}

void lun_limiter_correct(struct lun_limiter *l, int64_t estimated, int64_t used, lun_us now)
{
    if (estimated == used || !l->tokens) return;
    lock(l, now);
    if (lun_window_correct(&l->window, estimated, used)) replan(l);
    pthread_mutex_unlock(&l->lock);
}

void lun_limiter_told(struct lun_limiter *l, int64_t requests_left, int64_t tokens_left, lun_us now)
{
    lock(l, now);
    struct lun_tally more = {0}, known = taken(l);
    if (l->requests && requests_left >= 0) more.requests = positive(l->requests - known.requests - requests_left);
    if (l->tokens && tokens_left >= 0) more.tokens = positive(l->tokens - known.tokens - tokens_left);
    if (more.requests || more.tokens) {
        lun_window_add(&l->window, more, false);
        replan(l);
    }
    pthread_mutex_unlock(&l->lock);
}

struct lun_tally lun_limiter_left(struct lun_limiter *l, lun_us now)
{
    lock(l, now);
    struct lun_tally left = limits(l);
    lun_tally_take(&left, taken(l));
    for (int i = 0; i < 2; i++) lun_tally_take(&left, l->waiting[i]);
    left.requests = l->requests ? positive(left.requests) : -1;
    left.tokens = l->tokens ? positive(left.tokens) : -1;
    pthread_mutex_unlock(&l->lock);
    return left;
}

/* So long until there is room again for one more. */
static lun_us refused(struct lun_limiter *l, int64_t over)
{
    if (over <= l->window.all.requests && l->window.all.requests >= l->requests) return lun_window_frees(&l->window, over) - l->window.now;
    if (l->of) lack(l);
    lun_us own = over <= l->window.all.requests ? lun_window_frees(&l->window, over) - l->window.now : LUN_WINDOW, even = flow(l, (struct lun_tally){ 1, 0 });
    return own < even ? own : even;
}

lun_us lun_limiter_pass(struct lun_limiter *l, lun_us now)
{
    lun_us wait = 0;
    lock(l, now);
    int64_t over = taken(l).requests + 1 - l->requests;
    if (!l->requests || over <= 0) lun_window_add(&l->window, (struct lun_tally){ 1, 0 }, false);
    else wait = refused(l, over);
    l->moves = true;
    pthread_mutex_unlock(&l->lock);
    return wait;
}

/* ---- shared ---- */

static struct lun_limiter_look look(struct lun_limiter *l, bool counts, lun_us now)
{
    lock(l, now);
    struct lun_limiter_look look = { limits(l), l->window.all, l->waiting[0], part(l), l->lacks, l->moves };
    lun_tally_add(&look.waiting, l->waiting[1]);
    if (counts) l->lacks = l->moves = false;
    pthread_mutex_unlock(&l->lock);
    return look;
}

struct lun_limiter_look lun_limiter_look(struct lun_limiter *l, lun_us now) { return look(l, true, now); }
struct lun_limiter_look lun_limiter_peep(struct lun_limiter *l, lun_us now) { return look(l, false, now); }

void lun_limiter_share(struct lun_limiter *l, struct lun_shares *of)
{
    pthread_mutex_lock(&l->lock);
    l->of = of;
    l->fresh = true;
    pthread_mutex_unlock(&l->lock);
}

void lun_limiter_part(struct lun_limiter *l, struct lun_tally is, bool spent, lun_us now)
{
    lock(l, now);
    l->part = is;
    l->spent = spent;
    l->fresh = false;
    replan(l);
    pthread_mutex_unlock(&l->lock);
}

static int64_t lower(int64_t from, int64_t to, int64_t least)
{
    if (to < least) to = least;
    return to < from ? to : from;
}

struct lun_tally lun_limiter_lower(struct lun_limiter *l, struct lun_tally to, lun_us now)
{
    lock(l, now);
    struct lun_tally need = l->window.all, is = part(l);
    for (int i = 0; i < 2; i++) lun_tally_add(&need, l->waiting[i]);
    l->part = (struct lun_tally){ lower(is.requests, to.requests, need.requests), lower(is.tokens, to.tokens, need.tokens) };
    l->fresh = false;
    is = l->part;
    pthread_mutex_unlock(&l->lock);
    return is;
}

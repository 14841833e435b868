#include "state/shares.h"
#include "base/alloc.h"
#include "state/limiter.h"
#include "state/names.h"
#include <stdlib.h>

#define PATIENCE   (3 * LUN_SHARES_POLL)        /* who lacks, and has not been given so long: others need theirs */
#define CONTENDED  (5 * LUN_SECOND)             /* after others lacked some, nothing is drawn that nobody waits for */

struct lun_share {
    struct lun_share *next;
    char *name;
    struct lun_limiter *limiter;
    struct lun_tally has;               /* as all know; what follows is the carrier's thread's alone */
    bool returns;
    lun_us contended_until, short_since;        /* short_since LUN_NEVER: it is not */
};
struct lun_shares {
    pthread_mutex_t lock;               /* of the list, which only grows; taken before a limiter's */
    struct lun_share *first, **last;
    struct lun_names by_name;
    void (*wake)(void *self); void *self;       /* NULL: nothing is shared */
    int gateways;                       /* as last told */
    struct lun_share *looked_at;        /* the last one, for whether there is something to tell of it; NULL: none yet */
    bool yields;                        /* nothing is needed any more; the carrier's */
    const char *_Atomic trouble;
};

struct lun_shares *lun_shares_new(void)
{
    struct lun_shares *s = lun_zalloc(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->last = &s->first;
    s->gateways = 1;
    return s;
}

void lun_shares_free(struct lun_shares *s)
{
    for (struct lun_share *one; (one = s->first); free(one)) {
        s->first = one->next;
        free(one->name);
    }
    lun_names_free(&s->by_name, NULL);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- sums ---- */

static int64_t more(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t less(int64_t a, int64_t b) { return a < b ? a : b; }
static struct lun_tally larger(struct lun_tally a, struct lun_tally b)  { return (struct lun_tally){ more(a.requests, b.requests), more(a.tokens, b.tokens) }; }
static struct lun_tally smaller(struct lun_tally a, struct lun_tally b) { return (struct lun_tally){ less(a.requests, b.requests), less(a.tokens, b.tokens) }; }
static struct lun_tally sum(struct lun_tally a, struct lun_tally b)     { return (struct lun_tally){ a.requests + b.requests, a.tokens + b.tokens }; }
static bool same(struct lun_tally a, struct lun_tally b)                { return a.requests == b.requests && a.tokens == b.tokens; }
static bool below(struct lun_tally a, struct lun_tally b)               { return a.requests < b.requests || a.tokens < b.tokens; }
static struct lun_tally part_of(struct lun_tally limit, int n)          { return (struct lun_tally){ (limit.requests + n - 1) / n, (limit.tokens + n - 1) / n }; }

/* ---- which there are ---- */

void lun_shares_add(struct lun_shares *s, const char *name, struct lun_limiter *limiter)
{
    struct lun_share *one = lun_zalloc(sizeof *one);
    *one = (struct lun_share){ .name = lun_strdup(name), .limiter = limiter, .short_since = LUN_NEVER };
    pthread_mutex_lock(&s->lock);
    *s->last = one;
    s->last = &one->next;
    lun_names_put(&s->by_name, name, one);
    if (s->wake) lun_limiter_share(one->limiter, s);
    pthread_mutex_unlock(&s->lock);
}

void lun_shares_begin(struct lun_shares *s, void (*wake)(void *self), void *self)
{
    pthread_mutex_lock(&s->lock);
    s->wake = wake;
    s->self = self;
    for (struct lun_share *one = s->first; one; one = one->next) lun_limiter_share(one->limiter, s);
    pthread_mutex_unlock(&s->lock);
}

void lun_shares_lack(struct lun_shares *s) { s->wake(s->self); }

const char *lun_shares_trouble(const struct lun_shares *s)          { return s->trouble; }
void lun_shares_say(struct lun_shares *s, const char *trouble)      { s->trouble = trouble; }

/* The one behind it, or (NULL) the first; NULL: there is none. */
static struct lun_share *after(struct lun_shares *s, const struct lun_share *one)
{
    pthread_mutex_lock(&s->lock);
    struct lun_share *next = one ? one->next : s->first;
    pthread_mutex_unlock(&s->lock);
    return next;
}

/* The same, with the first behind the last. */
static struct lun_share *behind(struct lun_shares *s, const struct lun_share *one)
{
    struct lun_share *next = after(s, one);
    return next ? next : after(s, NULL);
}

/* ---- what is told ---- */

static bool limits(struct lun_tally limit) { return limit.requests || limit.tokens; }

/* What it should have of it by now. */
static struct lun_tally wish(const struct lun_share *one, const struct lun_limiter_look *l, int gateways, bool more_of_us, lun_us now)
{
    struct lun_tally need = sum(l->used, l->waiting), batch = part_of(l->limit, LUN_SHARES_BATCHES), even = part_of(l->limit, gateways);
    bool idle = !limits(l->used);
    if (l->lacks) return larger(sum(need, batch), sum(l->part, batch));
    if (one->returns) return need;
    if (l->moves && below(l->part, sum(need, part_of(batch, 2)))) return sum(l->part, batch);
    if (now < one->contended_until) return l->part;
    return more_of_us || idle ? even : larger(l->part, even);
}

/* Somebody waits or was refused; for a while also then when nobody came since: what others have heard of is being given back. */
static bool lacks(struct lun_share *one, const struct lun_limiter_look *l, lun_us now)
{
    bool waits = limits(l->waiting) && below(l->part, sum(l->used, l->waiting));
    bool lacks = l->lacks || waits || (one->short_since != LUN_NEVER && now - one->short_since < PATIENCE);
    if (!lacks) one->short_since = LUN_NEVER;
    else if (one->short_since == LUN_NEVER) one->short_since = now;
    return lacks;
}

/* No limit is there any more: what it had is no use to it, and would be kept from the others. */
static bool leaves(struct lun_share *one, struct lun_share_word *w, lun_us now)
{
    if (!limits(one->has)) return false;
    lun_limiter_part(one->limiter, (struct lun_tally){0}, false, now);
    *w = (struct lun_share_word){ .share = one, .name = one->name };
    return true;
}

static bool word(struct lun_shares *s, struct lun_share *one, bool more_of_us, struct lun_share_word *w, lun_us now)
{
    struct lun_limiter_look l = lun_limiter_look(one->limiter, now);
    if (!limits(l.limit)) return leaves(one, w, now);
    l.lacks = !s->yields && lacks(one, &l, now);
    one->returns |= s->yields;
    struct lun_tally want = smaller(wish(one, &l, s->gateways, more_of_us, now), l.limit);
    if (below(want, l.part)) want = larger(want, lun_limiter_lower(one->limiter, want, now));
    one->returns = false;
    *w = (struct lun_share_word){ one, one->name, l.limit, want, l.lacks };
    return l.lacks || !same(want, one->has);
}

size_t lun_shares_words(struct lun_shares *s, int gateways, struct lun_share_word *words, size_t room, lun_us now)
{
    size_t n = 0;
    bool more_of_us = gateways > s->gateways;
    struct lun_share *first = behind(s, s->looked_at), *one = first;
    s->gateways = gateways;
    if (one) do {
        n += word(s, one, more_of_us, &words[n], now);
        s->looked_at = one;
        one = behind(s, one);
    } while (n < room && one != first);
    return n;
}

size_t lun_shares_register(struct lun_shares *s, size_t *at, struct lun_share_word *words, size_t room, lun_us now)
{
    size_t n = 0, i = 0;
    for (struct lun_share *one = after(s, NULL); one && n < room; one = after(s, one), i++) {
        if (i < *at) continue;
        struct lun_limiter_look l = lun_limiter_look(one->limiter, now);
        ++*at;
        if (limits(l.limit)) words[n++] = (struct lun_share_word){ one, one->name, l.limit, smaller(l.part, l.limit), l.lacks };
    }
    return n;
}

void lun_shares_answer(struct lun_share *one, const struct lun_share_word *w, struct lun_tally part, lun_us now)
{
    part = smaller(larger(part, (struct lun_tally){0}), w->want);      /* nobody gives more than was asked for */
    bool given = !below(part, w->want);
    one->has = part;
    if (given || !w->lacks) one->short_since = LUN_NEVER;
    lun_limiter_part(one->limiter, part, one->short_since != LUN_NEVER && now - one->short_since >= PATIENCE, now);
}

void lun_shares_wanted(struct lun_shares *s, const char *name, lun_us now)
{
    pthread_mutex_lock(&s->lock);
    struct lun_share *one = lun_names_get(&s->by_name, name);
    pthread_mutex_unlock(&s->lock);
    if (!one) return;
    one->returns = true;
    one->contended_until = now + CONTENDED;
}

void lun_shares_yield(struct lun_shares *s) { s->yields = true; }

void lun_shares_alone(struct lun_shares *s, lun_us now)
{
    for (struct lun_share *one = after(s, NULL); one; one = after(s, one)) {
        struct lun_tally limit = lun_limiter_look(one->limiter, now).limit;
        if (limits(limit)) lun_limiter_part(one->limiter, limit, false, now);
    }
}

void lun_shares_each(struct lun_shares *s, void (*each)(void *self, const char *name, struct lun_tally limit, struct lun_tally part, struct lun_tally used), void *self, lun_us now)
{
    for (struct lun_share *one = after(s, NULL); one; one = after(s, one)) {
        struct lun_limiter_look l = lun_limiter_peep(one->limiter, now);
        if (limits(l.limit)) each(self, one->name, l.limit, smaller(l.part, l.limit), l.used);
    }
}

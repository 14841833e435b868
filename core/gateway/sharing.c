#include "gateway/sharing.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/random.h"
#include "script/bundle.h"
#include "state/member.h"
#include "wire/redis.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRANGE "Redis answers what its script does not say"
#define PATIENCE LUN_SECOND         /* so long a draw is refused before it is told on: the others give back meanwhile */

/* A period that is no piece of a window is forgotten once it has been over for so long, by a clock that does not step: twice its length, and some hours. It is
 * not drawn on again then, nor is any before it, whatever other clocks say (lua/draw.lua): so a clock that was ahead for a while does not do that to a period
 * that goes on. And in another zone a day of the same name ends up to 26 hours later. */
#define FORGET_AFTER(length) (2 * (length) > 6 * 3600 * LUN_SECOND ? 2 * (length) : 6 * 3600 * LUN_SECOND)
#define FORGET_AT_ONCE 256          /* so many in a second: each is a word with Redis, and all keys' hours end together */

#define PIECES_TOLD 51              /* of a window: so many before the last are told at a start. lua/draw.lua drops what is farther behind, in windows of 25 */

struct want { struct lun_member_group group; struct want *next; struct lun_span *spans[LUN_ACCOUNTS] /* NULL: it is over */; int n; int64_t need, lack[LUN_ACCOUNTS];
              bool least; };        /* there is no smaller one to try */
struct entry {                      /* an account here: the mark of its span */
    struct entry *next;
    char *budget;
    struct lun_span *span;          /* NULL: it is over, or nobody has asked for it yet */
    struct lun_member_account *account;
    uint32_t id; int64_t limit;
    lun_us ends, late_at;           /* of a piece of a window: by Redis' clock; and when nothing is held in it any more; 0: it is none */
    bool over;                      /* it had no end, and has one since its budget is a window */
    lun_us over_at, stays;          /* no piece: its end (wall; LUN_NEVER: none, or a piece), and for how long after that it is remembered */
    lun_us over_since;              /* 0: it is not, by one of the clocks */
    int64_t total;                  /* what all gateways together have of it, as last seen; of a window all that its limit is compared with */
    lun_us short_since, short_last; /* 0: it is not; when it was so last */
    int64_t short_need; bool told;  /* those who wait were told */
};
struct lun_sharing {
    struct lun_sharing_options options;
    struct lun_member *member;
    struct lun_redis *redis;
    char *key, *why;                /* why: Redis' own trouble, or NULL */
    bool looks;                     /* what is under way only looks */
    char state[512];                /* of the member, in words */
    lun_us clock, clock_at;         /* what Redis' clock showed (wall), and when that was heard */
    struct entry *entries;
    struct want *wants;
};

static lun_us now(const struct lun_sharing *s) { return s->options.reactor->loop.now; }

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- accounts ---- */

/* Of a window Redis is to see from the name alone what counts beside it. */
static char *name_of(const char *budget, const char *label, lun_us window, lun_us starts, lun_us ends)
{
    if (!window) return lun_printf("%s@%s", budget, label);
    return lun_printf("%s@rolling+%lld+%lld+%lld", budget, (long long)window, (long long)(starts / LUN_MS), (long long)((ends - starts) / LUN_MS));
}

/* A piece is drawn on for half of one more (lua/draw.lua): so late a gateway's clock may be. */
static void be_piece(struct entry *e, lun_us starts, lun_us ends)
{
    e->ends = ends;
    e->late_at = ends + (ends - starts) / 2;
}

/* `key` is taken. */
static struct entry *entry_new(struct lun_sharing *s, const char *budget, char *key, uint32_t id, int64_t taken)
{
    struct lun_member_account *account = lun_member_account(s->member, key, taken);
    struct entry *e = lun_member_user(account);
    free(key);
    if (e) return e;
    e = lun_zalloc(sizeof *e);
    *e = (struct entry){ .next = s->entries, .budget = lun_strdup(budget), .account = account, .id = id, .limit = -1, .total = taken };
    s->entries = e;
    lun_member_set_user(account, e);
    return e;
}

static void entry_free(struct entry *e)
{
    free(e->budget);
    free(e);
}

static void describe(struct entry *e, int64_t limit, lun_us starts, lun_us ends, const char *per)
{
    e->over_at = e->late_at ? LUN_NEVER : ends;
    e->stays = ends == LUN_NEVER ? LUN_NEVER : FORGET_AFTER(ends - starts);
    lun_member_describe(e->account, limit, starts, ends, per);
}

/* What of an earlier time the ledger has is told too, whoever may have lost it. Of a piece of a window also that nothing is taken of it: it is not opened again, and
 * a grant that never came to the disk would count until it has left the window. */
static void found(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    lun_us window = lun_period_window(a->period);
    if (!f->taken && !window) return;
    struct entry *e = entry_new(self, a->budget, name_of(a->budget, a->period, window, a->starts, a->ends), id, f->taken);
    if (window) be_piece(e, a->starts, a->ends);
    describe(e, a->limit, a->starts, a->ends, "");
}

static void left_out(void *self, const char *budget, lun_us ended) { lun_member_left_out(((struct lun_sharing *)self)->member, budget, ended); }

static void found_before(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    if (!lun_period_window(a->period)) found(self, id, a, f);
}

/* What a budget had before it was a window counts in it: what was forgotten of that, or left out at a start, is told again. */
static void find_before(struct lun_sharing *s, const struct lun_draw_span *d)
{
    lun_ledger_accounts(s->options.ledger, d->budget, d->starts - lun_period_counts(&d->rule), found_before, s);
}

static struct entry *entry_of(struct lun_sharing *s, const struct lun_draw_span *d)
{
    struct entry *e = lun_draw_mark(d->span);
    lun_us window = lun_period_counts(&d->rule) ? d->rule.window : 0;
    if (!e) {
        struct lun_ledger_figures f;
        if (!d->id || !lun_ledger_look(s->options.ledger, d->id, &f)) return NULL;
        e = entry_new(s, d->budget, name_of(d->budget, d->label, window, d->starts, d->ends), d->id, f.taken);
        if (window) be_piece(e, d->starts, d->ends), find_before(s, d);
        e->span = d->span;
        lun_draw_set_mark(d->span, e);
    }
    e->limit = d->limit;
    if (!e->over) describe(e, d->limit, d->starts, d->ends, d->per);
    return e;
}

int64_t lun_sharing_others(const struct lun_span *span)
{
    const struct entry *e = lun_draw_mark(span);
    return e && !e->late_at ? most(e->total - lun_member_has(e->account), 0) : 0;
}

/* What the ledger has down as taken here. */
static void taken_is(struct lun_sharing *s, struct entry *e, int64_t taken)
{
    if (taken == lun_member_has(e->account)) return;
    e->total += taken - lun_member_has(e->account);
    lun_member_set(s->member, e->account, taken);
}

void lun_sharing_look_again(struct lun_sharing *s)
{
    struct lun_ledger_figures f;
    for (struct entry *e = s->entries; e; e = e->next) if (!e->span && lun_ledger_look(s->options.ledger, e->id, &f)) taken_is(s, e, f.taken);
}

void lun_sharing_ended(struct lun_sharing *s, uint32_t id, lun_us ends)
{
    for (struct entry *e = s->entries; e; e = e->next) {
        if (e->id != id) continue;
        e->over = true;
        lun_member_end(e->account, ends);
    }
}

/* What is wanted waits while Redis is away, over the end of a period too. */
void lun_sharing_gone(void *self, void *mark)
{
    struct lun_sharing *s = self;
    struct entry *e = mark;
    for (struct want *w = s->wants; w; w = w->next)
        for (int i = 0; i < w->n; i++) if (w->spans[i] == e->span) w->spans[i] = NULL;
    e->span = NULL;
}

/* ---- what is wanted ---- */

static bool asked_already(const struct lun_sharing *s, struct lun_span *const *spans, int n)
{
    for (const struct want *w = s->wants; w; w = w->next) if (w->n == n && !memcmp(w->spans, spans, (size_t)n * sizeof *spans)) return true;
    return false;
}

static void forget_want(struct lun_sharing *s, struct want *w)
{
    for (struct want **at = &s->wants; *at; at = &(*at)->next) if (*at == w) { *at = w->next; break; }
    free(w);
}

static void put(struct want *w, struct entry *e, int64_t more)
{
    for (int i = 0; i < w->group.n; i++) if (w->group.accounts[i] == e->account) { w->group.more[i] += more; return; }
    w->group.accounts[w->group.n] = e->account;
    w->group.more[w->group.n++] = more;
}

/* `lack`: what the dearest of those who wait lacks, to be tried alone where all of it is too much; NULL: that is `more`. */
static void want(struct lun_sharing *s, struct lun_span *const *spans, int n, const int64_t *more, int64_t need, const int64_t *lack)
{
    if (asked_already(s, spans, n)) return;
    struct want *w = lun_zalloc(sizeof *w);
    *w = (struct want){ .next = s->wants, .n = n, .need = need, .least = !lack };
    memcpy(w->spans, spans, (size_t)n * sizeof *spans);
    if (lack) memcpy(w->lack, lack, (size_t)n * sizeof *lack);
    for (int i = 0; i < n; i++) if (more[i] > 0 && spans[i] && lun_draw_mark(spans[i])) put(w, lun_draw_mark(spans[i]), more[i]);
    if (!w->group.n) { free(w); return; }
    s->wants = w;
    lun_member_want(s->member, &w->group);
}

/* Ahead of anybody's need only while there is plenty: near the limit each draws what he needs, so that nothing lies idle with one of them. */
static void draw_ahead(struct lun_sharing *s, struct lun_draw_span *d)
{
    struct entry *e = lun_draw_mark(d->span);
    int64_t more = d->want - d->granted;
    if (!e || more <= 0 || d->limit - d->base - d->beside - d->abroad - d->granted < 8 * more) return;
    want(s, &d->span, 1, &more, 0, NULL);
}

void lun_sharing_ask(struct lun_sharing *s, struct lun_draw_work *w)
{
    for (size_t i = 0; i < w->n_spans; i++) {
        struct lun_draw_span *d = &w->spans[i];
        if (d->limit < 0 || d->forced || !d->id || d->want <= d->granted) continue;
        entry_of(s, d);
        if (!d->need) draw_ahead(s, d);
        d->want = -1;
    }
    for (size_t i = 0; i < w->n_groups; i++) {
        struct lun_draw_group *g = &w->groups[i];
        want(s, g->spans, g->n, g->all, g->need, g->lack);
    }
}

void lun_sharing_taken(struct lun_sharing *s, struct lun_span *span, int64_t taken)
{
    struct entry *e = lun_draw_mark(span);
    if (e) taken_is(s, e, taken);
}

void lun_sharing_tell(struct lun_sharing *s, const struct lun_draw_work *w)
{
    struct lun_ledger_figures f;
    for (size_t i = 0; i < w->n_spans; i++) {
        const struct lun_draw_span *d = &w->spans[i];
        if (d->limit < 0 && !lun_draw_mark(d->span)) continue;
        if (entry_of(s, d) && lun_ledger_look(s->options.ledger, d->id, &f)) lun_sharing_taken(s, d->span, f.taken);
    }
}

/* ---- the member's ports ---- */

static void show_state(struct lun_sharing *s, enum lun_member_state is)
{
    bool open = is == LUN_MEMBER_OPEN;
    lun_draw_status(s->options.money, open ? "" : lun_member_state_name(is), open ? NULL : lun_member_state_text(is));     /* clients see it: no names */
}

/* Redis' own, or that it is not there, for which there may be no words; nothing can be drawn meanwhile. The same is logged once. */
static void trouble(struct lun_sharing *s, const char *why)
{
    if (why && (!s->why || strcmp(s->why, why))) lun_log(s->options.log, LUN_LOG_WARN, "budgets: %s", why);
    free(s->why);
    s->why = why ? lun_strdup(why) : NULL;
    show_state(s, LUN_MEMBER_APART);
}

static void heard(struct lun_sharing *s, const struct lun_redis_reply *r)
{
    bool looked = s->looks;             /* that it can be read says nothing of whether it can be written to */
    if (!lun_member_answer(s->member, r->items, r->n)) { trouble(s, STRANGE); return; }
    s->clock = lun_member_clock(s->member);
    s->clock_at = now(s);
    if (!s->why || looked) return;
    free(s->why), s->why = NULL;
    lun_log(s->options.log, LUN_LOG_INFO, "budgets: Redis does again what it is asked");
    show_state(s, lun_member_state(s->member));
}

static void answered(void *self, const struct lun_redis_reply *r)
{
    struct lun_sharing *s = self;
    bool whole = r->result == LUN_REDIS_OK && lun_redis_is_whole(r, 1);
    if (whole) { heard(s, r); return; }
    trouble(s, r->result == LUN_REDIS_OK ? STRANGE : r->why);
    if (r->result == LUN_REDIS_GONE) lun_member_apart(s->member);
    else lun_member_refuse(s->member);
}

static void say(void *self, const char *const *arguments, int n)
{
    struct lun_sharing *s = self;
    const char *script = lun_bundle_find("lua/draw.lua")->start;
    s->looks = !strcmp(arguments[0], "look");
    if (!lun_redis_eval(s->redis, script, s->key, arguments, NULL, n, answered, s)) lun_member_refuse(s->member);
}

static void put_texts(struct lun_ledger *l, const struct lun_member_disk *disk)
{
    char before[24];
    snprintf(before, sizeof before, "%lld", (long long)disk->before);
    lun_ledger_put(l, "members", disk->members);
    lun_ledger_put(l, "gone", disk->gone);
    lun_ledger_put(l, "parts", disk->parts);
    lun_ledger_put(l, "vouched", disk->vouched ? "1" : NULL);
    lun_ledger_put(l, "before", before);
}

/* A raise is a gateway's; this run is the one of its runs that gets it. */
static bool commit(void *self, struct lun_member_account *const *accounts, const int64_t *has, int n, const struct lun_member_disk *disk)
{
    struct lun_sharing *s = self;
    struct lun_ledger *l = s->options.ledger;
    struct lun_ledger_figures f;
    if (lun_ledger_begin(l) != LUN_LEDGER_OK) return false;
    for (int i = 0; i < n; i++) {
        const struct entry *e = lun_member_user(accounts[i]);
        if (!lun_ledger_look(l, e->id, &f)) continue;
        lun_ledger_grant(l, e->id, lun_ledger_part(&f) + most(has[i] - f.taken, 0));
    }
    put_texts(l, disk);
    return lun_ledger_commit(l) == LUN_LEDGER_OK;
}

/* What others have of it: of a window that is told by itself. */
static int64_t base_of(const struct entry *e, const struct lun_ledger_figures *f, int64_t others) { return f->others + (e->late_at ? 0 : most(others, 0)); }

static void granted(void *self, struct lun_member_account *account, int64_t has, int64_t total)
{
    struct lun_sharing *s = self;
    struct entry *e = lun_member_user(account);
    struct lun_ledger_figures f;
    e->total = total;
    e->short_since = 0;
    e->told = false;
    if (!lun_ledger_look(s->options.ledger, e->id, &f)) return;
    if (f.taken != has) lun_member_set(s->member, account, f.taken);        /* claimed meanwhile */
    if (e->span) lun_draw_granted(s->options.money, e->span, lun_ledger_part(&f), base_of(e, &f, total - has));
}

static void beside(void *self, struct lun_member_account *account, int64_t abroad, lun_us ends)
{
    struct lun_sharing *s = self;
    struct entry *e = lun_member_user(account);
    if (e->span) lun_draw_abroad(s->options.money, e->span, abroad, ends);
}

/* Nobody is told on for the first second: the others hear within a fifth of one that more is wanted, and give back. What was short some time ago, and nobody
 * waits for any more, is another matter. */
static void note_short(struct lun_sharing *s, struct entry *e, int64_t need)
{
    struct lun_ledger_figures f;
    if (!e->span || !need || !lun_ledger_look(s->options.ledger, e->id, &f)) return;
    int64_t base = base_of(e, &f, e->total - f.taken);
    if (!e->short_since || (!e->told && now(s) - e->short_last > 2 * PATIENCE)) e->short_since = now(s);
    e->short_last = now(s);
    if (!e->short_need || need < e->short_need) e->short_need = need;
    if (now(s) - e->short_since >= PATIENCE) {
        e->told = true;
        lun_draw_refused(s->options.money, e->span, need, base);
    } else lun_draw_base(s->options.money, e->span, base);
}

static void refused(void *self, struct lun_member_group *g, const char *why)
{
    struct lun_sharing *s = self;
    struct want *w = (struct want *)(void *)g;
    struct lun_span *spans[LUN_ACCOUNTS];
    int64_t lack[LUN_ACCOUNTS], need = w->need;
    int64_t more[LUN_ACCOUNTS] = {0};
    int n = w->n;
    bool less = false, found = false, is_short = !strcmp(why, "SHORT");
    memcpy(spans, w->spans, sizeof spans);
    memcpy(lack, w->lack, sizeof lack);
    for (int i = 0; i < g->n; i++) {
        struct entry *e = lun_member_user(g->accounts[i]);
        bool it = is_short && need && (e->total + g->more[i] > e->limit || g->n == 1);      /* it alone: the limit that others have is lower */
        if (it) note_short(s, e, need), found = true;
        for (int k = 0; k < n; k++) if (spans[k] && e->span == spans[k]) less |= lack[k] < g->more[i], more[k] = g->more[i];
    }
    if (strcmp(why, "SHORT") && strcmp(why, "CLOSED") && strcmp(why, "UNVOUCHED")) lun_log(s->options.log, LUN_LOG_WARN, "budgets: a draw was refused: %s", why);
    bool again = is_short && need && less && !w->least;
    forget_want(s, w);
    if (again) want(s, spans, n, lack, need, NULL);
    for (int k = 0; k < n && is_short && need && !found && !again; k++) if (spans[k]) want(s, &spans[k], 1, &more[k], need, NULL);    /* which of them is it? */
}

static void fulfilled(void *self, struct lun_member_group *g) { forget_want(self, (struct want *)(void *)g); }

static void seen_total(void *self, struct lun_member_account *account, int64_t total)
{
    (void)self;
    ((struct entry *)lun_member_user(account))->total = total;
}

static void wanted(void *self, struct lun_member_account *account)
{
    struct lun_sharing *s = self;
    struct entry *e = lun_member_user(account);
    if (e && e->span) lun_draw_return(s->options.money, e->span);
}

static void state(void *self, enum lun_member_state is, const char *who)
{
    struct lun_sharing *s = self;
    snprintf(s->state, sizeof s->state, "%s%s%s", s->why && is == LUN_MEMBER_APART ? s->why : lun_member_state_text(is), *who ? ": " : "", who);
    bool open = is == LUN_MEMBER_OPEN;
    lun_log(s->options.log, open ? LUN_LOG_INFO : LUN_LOG_WARN, "budgets: %s (%s)", s->state, lun_member_state_name(is));
    show_state(s, is);
}

static void nonce(void *self, char out[33])
{
    (void)self;
    lun_random_id(out);
}

static void connected(void *self, bool yes, enum lun_redis_error kind, const char *why)
{
    struct lun_sharing *s = self;
    (void)kind;
    if (yes) {
        free(s->why), s->why = NULL;
        lun_member_connected(s->member);
        return;
    }
    trouble(s, why);
    lun_member_apart(s->member);
}

/* ---- beginning and end ---- */

static struct lun_member *make_member(struct lun_sharing *s)
{
    struct lun_ledger *l = s->options.ledger;
    char *members = lun_ledger_get(l, "members"), *gone = lun_ledger_get(l, "gone"), *parts = lun_ledger_get(l, "parts"), *vouched = lun_ledger_get(l, "vouched"),
         *before = lun_ledger_get(l, "before"), *founds = lun_ledger_get(l, "founds");
    struct lun_member *m = lun_member_new(&(struct lun_member_options){ .id = lun_ledger_gateway(l), .run = s->options.run, .founds = founds,
        .disk = { members, gone, parts, vouched != NULL, before ? strtoll(before, NULL, 10) : 0 } },
        &(struct lun_member_ports){ s, say, commit, granted, refused, fulfilled, seen_total, wanted, state, nonce, beside });
    free(members), free(gone), free(parts), free(vouched), free(before), free(founds);
    return m;
}

/* What of an earlier time the ledger has. */
static bool tell_all(struct lun_sharing *s)
{
    lun_us wall = lun_clock_wall();
    return lun_ledger_accounts(s->options.ledger, NULL, wall, found, s) && lun_ledger_windows(s->options.ledger, wall, PIECES_TOLD, found, left_out, s);
}

struct lun_sharing *lun_sharing_new(const struct lun_sharing_options *options, char **error)
{
    char why[LUN_REDIS_WHY];
    struct lun_sharing *s = lun_zalloc(sizeof *s);
    s->options = *options;
    s->key = lun_printf("%s:{%s}:money", options->prefix, options->prefix);
    s->member = make_member(s);
    if (!tell_all(s)) {
        *error = lun_strdup(lun_ledger_error(options->ledger));
        lun_sharing_free(s);
        return NULL;
    }
    lun_draw_share(options->money, true);
    lun_draw_status(options->money, lun_member_state_name(LUN_MEMBER_APART), lun_member_state_text(LUN_MEMBER_APART));
    s->redis = lun_redis_new(&(struct lun_redis_options){ .reactor = options->reactor, .url = options->url, .ca = options->ca, .state = connected, .self = s }, why);
    if (s->redis) return s;
    *error = lun_printf("redis: %s", why);
    lun_sharing_free(s);
    return NULL;
}

void lun_sharing_free(struct lun_sharing *s)
{
    if (!s) return;
    lun_redis_free(s->redis);
    lun_member_free(s->member);
    for (struct want *w; (w = s->wants); free(w)) s->wants = w->next;
    for (struct entry *e; (e = s->entries); entry_free(e)) s->entries = e->next;
    free(s->key);
    free(s->why);
    free(s);
}

/* What Redis' clock shows now, or a little more; 0: that is not known. */
static lun_us clock_of(const struct lun_sharing *s) { return s->clock ? s->clock + now(s) - s->clock_at + LUN_MEMBER_POLL : 0; }

/* Who was told that there is no more hears once a second whether there is. */
static void ask_again(struct lun_sharing *s)
{
    for (struct entry *e = s->entries; e; e = e->next) {
        if (!e->told || !e->span || now(s) - e->short_since < 2 * PATIENCE || (e->late_at && clock_of(s) >= e->ends)) continue;
        e->short_since = now(s) - PATIENCE;
        want(s, &e->span, 1, &e->short_need, e->short_need, &e->short_need);
    }
}

/* This gateway's own clock may have stopped, or was set back. */
static void end_late(struct lun_sharing *s)
{
    for (struct entry *e = s->entries; e; e = e->next)
        if (e->span && e->late_at && clock_of(s) >= e->late_at) lun_draw_late(s->options.money, e->span);
}

static bool is_wanted(const struct lun_sharing *s, const struct entry *e)
{
    for (const struct want *w = s->wants; w; w = w->next)
        for (int i = 0; i < w->group.n; i++) if (w->group.accounts[i] == e->account) return true;
    return false;
}

/* Memory does not know it any more; when Redis does not either, it goes: or there would be one for each piece and period, for ever. */
static bool drop(struct lun_sharing *s, struct entry **at)
{
    struct entry *e = *at;
    if (e->span || is_wanted(s, e) || !lun_member_drop(s->member, e->account)) return false;
    *at = e->next;
    entry_free(e);
    return true;
}

static void drop_passed(struct lun_sharing *s)
{
    for (struct entry **at = &s->entries; *at; ) if (!(*at)->late_at || !drop(s, at)) at = &(*at)->next;
}

/* By both clocks. What a budget had before it was a window may count on. */
static bool ended_long_ago(const struct lun_sharing *s, struct entry *e, lun_us wall)
{
    bool over = e->over_at <= wall && e->over_at <= s->clock;
    if (!over || !e->over_since) e->over_since = over ? now(s) : 0;
    return over && now(s) - e->over_since >= e->stays && !lun_draw_is_window(s->options.money, e->budget);
}

void lun_sharing_forget(struct lun_sharing *s, lun_us wall)
{
    int n = 0;
    for (struct entry **at = &s->entries; *at && n < FORGET_AT_ONCE; ) {
        bool tried = ended_long_ago(s, *at, wall);
        n += tried;
        if (!tried || !drop(s, at)) at = &(*at)->next;
    }
}

void lun_sharing_tick(struct lun_sharing *s)
{
    ask_again(s);
    end_late(s);
    drop_passed(s);
    lun_member_tick(s->member);
}

void lun_sharing_leave(struct lun_sharing *s) { lun_member_leave(s->member); }

bool lun_sharing_told(const struct lun_sharing *s)
{
    return lun_member_state(s->member) == LUN_MEMBER_APART || lun_member_left(s->member);
}

void lun_sharing_heed(struct lun_sharing *s)
{
    char *founds = lun_ledger_get(s->options.ledger, "founds"), *forget = lun_ledger_get(s->options.ledger, "forget");
    if (founds) lun_member_found(s->member);
    if (forget && lun_member_forget(s->member, forget)) {
        lun_log(s->options.log, LUN_LOG_WARN, "budgets: gateway %s will be forgotten, as asked, once all the others have that on their disks: what it held stays charged", forget);
        if (lun_ledger_begin(s->options.ledger) == LUN_LEDGER_OK) {
            lun_ledger_put(s->options.ledger, "forget", NULL);
            lun_ledger_commit(s->options.ledger);
        }
    }
    free(founds), free(forget);
}

void lun_sharing_show(const struct lun_sharing *s, struct lun_buf *out)
{
    lun_buf_puts(out, "\"gateway\":");
    lun_json_put_text(out, lun_ledger_gateway(s->options.ledger));
    lun_buf_puts(out, ",\"sharing\":");
    lun_json_put_text(out, lun_member_state_name(lun_member_state(s->member)));
    if (s->why) lun_buf_puts(out, ",\"redis\":");
    if (s->why) lun_json_put_text(out, s->why);
    lun_buf_puts(out, ",\"members\":");
    lun_json_put_text(out, lun_member_members(s->member));
    lun_buf_puts(out, ",\"missing\":");
    lun_json_put_text(out, lun_member_missing(s->member));
    lun_buf_puts(out, ",\"leaving\":");
    lun_json_put_text(out, lun_member_leaving(s->member));
    lun_buf_puts(out, ",\"unready\":");
    lun_json_put_text(out, lun_member_unready(s->member));
}

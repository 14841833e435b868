#include "gateway/fleet.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/random.h"
#include "base/thread.h"
#include "script/bundle.h"
#include "state/names.h"
#include "wire/redis.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ALONE_AFTER LUN_SECOND          /* without a word of Redis since the start */
#define AT_ONCE     (20 * LUN_MS)       /* between two messages, whatever is lacked */
#define STOP_WAIT   LUN_SECOND
#define NEWS_BYTES  65536               /* of one message */
enum { WORDS = 512, HEAD = 6, GATEWAYS = 1 << 20 };     /* limits of one message; items of an answer before the lists; that are believed */

#define FLEET_OF(member, at) ((struct lun_fleet *)(void *)((char *)(at) - offsetof(struct lun_fleet, member)))

struct news { struct news *next; char *name, *text; };
struct queue { struct news *first, **last; };

enum state { APART, JOINING, OPEN };
static const char *const states[] = { "apart", "joining", "open" };

struct lun_fleet {
    struct lun_fleet_options options;
    struct lun_reactor *reactor;
    pthread_t thread; bool started;
    struct lun_post now, stop, home;
    struct lun_timer tick;
    struct lun_redis *redis;
    char *key, id[33];

    char nonce[64]; uint64_t seq; int64_t since;        /* the epoch, this gateway's last message in it, and the last of the news that it has heard */
    enum { BEGIN, MORE, TELL } op;
    size_t registered;                  /* limits that were told of, in BEGIN and MORE */
    bool connected, busy, soon, caught_up, greeted;     /* soon: another message, without waiting for the tick; greeted: Redis has answered once */
    lun_us spoke, began, stop_by;
    struct lun_share_word words[WORDS]; size_t n_words;
    struct queue sent;                  /* in the message under way */

    pthread_mutex_t lock;               /* of what follows */
    struct queue out, in;
    struct lun_names waiting;           /* what is in `out`, by name: of each only the latest waits, however long Redis is away */
    bool in_caught_up;
    char why[LUN_REDIS_WHY];
    atomic_int state, gateways;
};

/* ---- queues ---- */

static void put(struct queue *q, struct news *one)
{
    one->next = NULL;
    if (!q->first) q->last = &q->first;
    *q->last = one;
    q->last = &one->next;
}

static struct news *take(struct queue *q)
{
    struct news *one = q->first;
    if (one) q->first = one->next;
    return one;
}

static struct news *put_copy(struct queue *q, const char *name, const char *text)
{
    struct news *one = lun_alloc(sizeof *one);
    *one = (struct news){ .name = lun_strdup(name), .text = lun_strdup(text) };
    put(q, one);
    return one;
}

static void drop(struct news *one)
{
    free(one->name);
    free(one->text);
    free(one);
}

static void drop_all(struct queue *q)
{
    for (struct news *one; (one = take(q)); ) drop(one);
}

/* In front of what waits: it is older. */
static void put_back(struct lun_fleet *f)
{
    struct queue all = {0};
    struct news *one;
    pthread_mutex_lock(&f->lock);
    while ((one = take(&f->sent)))
        if (lun_names_get(&f->waiting, one->name)) drop(one);
        else {
            lun_names_put(&f->waiting, one->name, one);
            put(&all, one);
        }
    while ((one = take(&f->out))) put(&all, one);
    f->out = all;
    pthread_mutex_unlock(&f->lock);
}

/* ---- state ---- */

static void become(struct lun_fleet *f, enum state is, const char *why)
{
    enum state was = (enum state)atomic_exchange(&f->state, (int)is);
    lun_shares_say(f->options.shares, is == OPEN ? NULL : states[is]);
    pthread_mutex_lock(&f->lock);
    bool news = strcmp(f->why, why) != 0;
    snprintf(f->why, sizeof f->why, "%s", why);
    pthread_mutex_unlock(&f->lock);
    if (is == APART && *why && news) lun_log(f->options.log, LUN_LOG_WARN, "fleet: %s; rates, keys and rollbacks of other gateways are not known meanwhile", why);
    if (is == OPEN && was != OPEN) lun_log(f->options.log, LUN_LOG_INFO, "fleet: %d gateway%s on one Redis", atomic_load(&f->gateways), atomic_load(&f->gateways) == 1 ? "" : "s");
}

/* What Redis knows of this gateway is not known any more, or is nothing. */
static void begin(struct lun_fleet *f)
{
    f->op = BEGIN;
    f->registered = 0;
}

static void lost(struct lun_fleet *f, const char *nonce)
{
    snprintf(f->nonce, sizeof f->nonce, "%s", nonce);
    f->since = 0;
    f->caught_up = false;
    begin(f);
}

/* ---- a message ---- */

struct message { const char **at; size_t n, room; };

static void add(struct message *m, const char *text)
{
    if (m->n == m->room) m->at = lun_realloc(m->at, (m->room = m->room ? 2 * m->room : 256) * sizeof *m->at);
    m->at[m->n++] = text;
}

/* Its text lies in an arena of the caller's. */
static void add_number(struct message *m, struct lun_arena *arena, int64_t n) { add(m, lun_arena_printf(arena, "%lld", (long long)n)); }

static void add_words(struct lun_fleet *f, struct message *m, struct lun_arena *arena)
{
    lun_us now = f->reactor->loop.now;
    if (!*f->nonce) f->n_words = 0;
    else if (f->op == TELL) f->n_words = lun_shares_words(f->options.shares, atomic_load(&f->gateways), f->words, WORDS, now);
    else f->n_words = lun_shares_register(f->options.shares, &f->registered, f->words, WORDS, now);
    add_number(m, arena, (int64_t)f->n_words);
    for (size_t i = 0; i < f->n_words; i++) {
        const struct lun_share_word *w = &f->words[i];
        const int64_t numbers[] = { w->want.requests, w->want.tokens, w->limit.requests, w->limit.tokens };
        add(m, w->name);
        for (int k = 0; k < 4; k++) add_number(m, arena, numbers[k]);
        add(m, w->lacks ? "1" : "0");
    }
}

/* Not before all was heard that others have told: it may be newer. */
static void add_news(struct lun_fleet *f, struct message *m, struct lun_arena *arena)
{
    size_t bytes = 0, n = 0;
    pthread_mutex_lock(&f->lock);
    while (f->caught_up && f->op == TELL && f->out.first && bytes < NEWS_BYTES) {
        struct news *one = take(&f->out);
        lun_names_take(&f->waiting, one->name);
        bytes += strlen(one->name) + strlen(one->text);
        put(&f->sent, one);
        n++;
    }
    pthread_mutex_unlock(&f->lock);
    add_number(m, arena, (int64_t)n);
    for (const struct news *one = f->sent.first; one; one = one->next) add(m, one->name), add(m, one->text);
}

static void answered(void *self, const struct lun_redis_reply *);

static void speak(struct lun_fleet *f)
{
    static const char *const ops[] = { "begin", "more", "tell" };
    struct lun_arena arena = {0};
    struct message m = {0};
    if (f->busy || !f->connected) return;
    f->soon = false;
    add(&m, ops[f->op]), add(&m, f->id);
    add_number(&m, &arena, (int64_t)++f->seq);
    add(&m, f->nonce);
    add_number(&m, &arena, f->since);
    add_words(f, &m, &arena);
    add_news(f, &m, &arena);
    f->spoke = f->reactor->loop.now;
    f->busy = lun_redis_eval(f->redis, lun_bundle_find("lua/fleet.lua")->start, f->key, m.at, NULL, (int)m.n, answered, f);
    if (!f->busy) put_back(f), begin(f);        /* what it would have said was not heard */
    free(m.at);
    lun_arena_free(&arena);
}

/* ---- its answer ---- */

static int64_t number(const char *text) { return strtoll(text, NULL, 10); }

static void hear(struct lun_fleet *f, const char *const *items, int n, bool all)
{
    if (n < 2 && !all) return;
    pthread_mutex_lock(&f->lock);
    for (int i = 0; i + 1 < n; i += 2) put_copy(&f->in, items[i], items[i + 1]);
    f->in_caught_up |= all;
    pthread_mutex_unlock(&f->lock);
    lun_reactor_post(f->options.home, &f->home);
}

/* False: it is none that the script gives. */
static bool understood(struct lun_fleet *f, const char *const *items, int n)
{
    lun_us now = f->reactor->loop.now;
    int64_t demand = n >= HEAD ? number(items[5]) : -1;
    if (demand < 0 || n - HEAD < demand || (n - HEAD - demand) < 2 * (int64_t)f->n_words || strcmp(items[0], "OK")) return false;
    int64_t alive = number(items[2]);
    atomic_store(&f->gateways, alive < 1 ? 1 : alive > GATEWAYS ? GATEWAYS : (int)alive);
    for (int64_t i = 0; i < demand; i++) lun_shares_wanted(f->options.shares, items[HEAD + i], now);
    items += HEAD + demand;
    for (size_t i = 0; i < f->n_words; i++, items += 2)
        lun_shares_answer(f->words[i].share, &f->words[i], (struct lun_tally){ number(items[0]), number(items[1]) }, now);
    return true;
}

static void taken(struct lun_fleet *f, const struct lun_redis_reply *r)
{
    bool registers = f->op != TELL, all = number(r->items[3]) >= number(r->items[4]);
    int rest = HEAD + (int)number(r->items[5]) + 2 * (int)f->n_words;
    bool news = all && !f->caught_up && !registers;
    if (registers) f->op = f->n_words == WORDS ? MORE : TELL;
    f->since = number(r->items[3]);
    f->caught_up |= news;
    drop_all(&f->sent);
    hear(f, r->items + rest, r->n - rest, news);
    if (f->op == TELL) become(f, OPEN, "");
    pthread_mutex_lock(&f->lock);
    f->soon |= !all || registers || (f->caught_up && f->out.first);
    pthread_mutex_unlock(&f->lock);
}

static void failed(struct lun_fleet *f, const char *why)
{
    put_back(f);
    begin(f);
    become(f, APART, why);
}

static void finish(struct lun_fleet *f);

static void answered(void *self, const struct lun_redis_reply *r)
{
    struct lun_fleet *f = self;
    f->busy = false;
    if (r->result != LUN_REDIS_OK) failed(f, r->why);
    else if (lun_redis_is_whole(r, HEAD) && !strcmp(r->items[0], "NEW")) {
        put_back(f);
        lost(f, r->items[1]);
        become(f, JOINING, "");
        f->soon = true;
    } else if (lun_redis_is_whole(r, HEAD) && understood(f, r->items, r->n)) {
        f->greeted = true;
        taken(f, r);
    } else failed(f, "Redis answers what its script does not say");
    if (f->stop_by && (!f->soon || r->result != LUN_REDIS_OK)) { finish(f); return; }
    if (f->soon) lun_timer_set(&f->reactor->loop, &f->tick, f->spoke + AT_ONCE);
}

/* ---- when ---- */

static void on_tick(struct lun_timer *t)
{
    struct lun_fleet *f = FLEET_OF(tick, t);
    lun_us now = f->reactor->loop.now;
    if (f->stop_by && now >= f->stop_by) { finish(f); return; }
    lun_timer_set(&f->reactor->loop, t, now + LUN_SHARES_POLL);
    if (!f->greeted && now - f->began >= ALONE_AFTER) lun_shares_alone(f->options.shares, now);
    speak(f);
}

static void on_now(struct lun_post *p)
{
    struct lun_fleet *f = FLEET_OF(now, p);
    lun_us next = f->spoke + AT_ONCE;
    f->soon = true;
    if (f->tick.due > next) lun_timer_set(&f->reactor->loop, &f->tick, next);
}

static void wake(void *self)
{
    struct lun_fleet *f = self;
    lun_reactor_post(f->reactor, &f->now);
}

static void connected(void *self, bool yes, enum lun_redis_error kind, const char *why)
{
    struct lun_fleet *f = self;
    (void)kind;
    f->connected = yes;
    if (!yes) { become(f, APART, why); return; }
    if (*f->nonce) begin(f);
    else f->op = TELL;                          /* is answered with the epoch's name */
    become(f, JOINING, "");
    speak(f);
}

/* What was heard, on the thread of those who make something of it. */
static void on_home(struct lun_post *p)
{
    struct lun_fleet *f = FLEET_OF(home, p);
    size_t n = 0, i = 0;
    pthread_mutex_lock(&f->lock);
    struct queue in = f->in;
    bool all = f->in_caught_up;
    f->in = (struct queue){0};
    f->in_caught_up = false;
    pthread_mutex_unlock(&f->lock);
    for (const struct news *one = in.first; one; one = one->next) n++;
    struct lun_fleet_news *list = lun_alloc((n + 1) * sizeof *list);
    for (const struct news *one = in.first; one; one = one->next) list[i++] = (struct lun_fleet_news){ one->name, one->text };
    if (n) f->options.heard(f->options.self, list, n);
    if (all) f->options.caught_up(f->options.self);
    free(list);
    drop_all(&in);
}

/* ---- beginning and end ---- */

static void *run(void *self)
{
    struct lun_fleet *f = self;
    lun_thread_has_time();
    lun_reactor_enter(f->reactor);
    f->began = f->reactor->loop.now;
    lun_timer_set(&f->reactor->loop, &f->tick, f->began + LUN_SHARES_POLL);
    lun_reactor_leave(f->reactor);
    lun_reactor_run(f->reactor);
    return NULL;
}

static void finish(struct lun_fleet *f)
{
    lun_timer_set(&f->reactor->loop, &f->tick, LUN_NEVER);
    lun_reactor_stop(f->reactor);
}

/* What is not needed is free for the others at once; what was used, when this gateway has been silent for as long as it counts. */
static void on_stop(struct lun_post *p)
{
    struct lun_fleet *f = FLEET_OF(stop, p);
    f->stop_by = f->reactor->loop.now + STOP_WAIT;
    lun_shares_yield(f->options.shares);
    if (!f->connected || atomic_load(&f->state) != OPEN) { finish(f); return; }
    f->soon = true;
    lun_timer_set(&f->reactor->loop, &f->tick, f->reactor->loop.now);
}

static bool open_redis(struct lun_fleet *f, char **error)
{
    char why[LUN_REDIS_WHY];
    lun_reactor_enter(f->reactor);
    f->redis = lun_redis_new(&(struct lun_redis_options){ .reactor = f->reactor, .url = f->options.url, .ca = f->options.ca, .state = connected, .self = f }, why);
    lun_reactor_leave_later(f->reactor);
    if (!f->redis) *error = lun_printf("redis: %s", why);
    return f->redis;
}

struct lun_fleet *lun_fleet_new(const struct lun_fleet_options *options, char **error)
{
    struct lun_fleet *f = lun_zalloc(sizeof *f);
    *f = (struct lun_fleet){ .options = *options, .now.run = on_now, .stop.run = on_stop, .home.run = on_home, .tick.fire = on_tick, .op = TELL, .gateways = 1,
                             .key = lun_printf("%s:{%s}:fleet", options->prefix, options->prefix) };
    pthread_mutex_init(&f->lock, NULL);
    lun_random_id(f->id);
    *error = NULL;
    if (!(f->reactor = lun_reactor_new(NULL))) *error = lun_strdup("the system gives no event loop for redis: out of file descriptors?");
    else if (open_redis(f, error)) {
        lun_shares_begin(options->shares, wake, f);
        lun_shares_say(options->shares, states[APART]);
        f->started = !lun_thread_start(&f->thread, "lunette fleet", 0, run, f);
        if (f->started) return f;
        *error = lun_strdup("the system gives no thread for redis");
    }
    lun_fleet_free(f);
    return NULL;
}

void lun_fleet_stop(struct lun_fleet *f)
{
    if (!f || !f->started) return;
    lun_reactor_post(f->reactor, &f->stop);
    pthread_join(f->thread, NULL);
    f->started = false;
}

void lun_fleet_free(struct lun_fleet *f)
{
    if (!f) return;
    lun_fleet_stop(f);
    lun_redis_free(f->redis);
    if (f->reactor) lun_reactor_free(f->reactor);
    drop_all(&f->sent), drop_all(&f->out), drop_all(&f->in);
    lun_names_free(&f->waiting, NULL);
    pthread_mutex_destroy(&f->lock);
    free(f->key);
    free(f);
}

void lun_fleet_tell(struct lun_fleet *f, const char *name, const char *text)
{
    pthread_mutex_lock(&f->lock);
    struct news *one = lun_names_get(&f->waiting, name);
    if (!one) lun_names_put(&f->waiting, name, put_copy(&f->out, name, text));
    else {
        free(one->text);
        one->text = lun_strdup(text);
    }
    pthread_mutex_unlock(&f->lock);
    wake(f);
}

/* ---- shown ---- */

static void put_tally(struct lun_buf *out, const char *key, struct lun_tally t)
{
    lun_json_put_key(out, key);
    lun_buf_putc(out, '{');
    lun_json_member_int(out, "requests", t.requests);
    lun_json_member_int(out, "tokens", t.tokens);
    lun_buf_putc(out, '}');
}

static void show_limit(void *self, const char *name, struct lun_tally limit, struct lun_tally part, struct lun_tally used)
{
    struct lun_buf *out = self;
    lun_buf_puts(out, out->at[out->n - 1] == '[' ? "{" : ",{");
    lun_json_member_text(out, "name", name);
    put_tally(out, "limit", limit), put_tally(out, "part", part), put_tally(out, "used", used);
    lun_buf_putc(out, '}');
}

void lun_fleet_show(struct lun_fleet *f, struct lun_buf *out)
{
    lun_json_member_text(out, "state", states[atomic_load(&f->state)]);
    pthread_mutex_lock(&f->lock);
    if (*f->why) lun_json_member_text(out, "why", f->why);
    pthread_mutex_unlock(&f->lock);
    lun_json_member_text(out, "id", f->id);
    lun_json_member_int(out, "gateways", atomic_load(&f->gateways));
    lun_json_put_key(out, "limits");
    lun_buf_putc(out, '[');
    lun_shares_each(f->options.shares, show_limit, out, lun_clock_now());
    lun_buf_putc(out, ']');
}

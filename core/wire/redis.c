#include "wire/redis_parts.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/random.h"
#include "wire/redis_link.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ = 16 << 10, READS = 16 /* in one turn */ };
#define PAUSE_LEAST (50 * LUN_MS)
#define PAUSE_MOST  LUN_SECOND

enum phase { DOWN, CONNECTING, GREETING /* AUTH, SELECT, PING */, READY };

struct call {
    struct call *next;
    const char *script;
    struct lun_buf rest;            /* of the command, behind the script: 1, key, arguments */
    int n;                          /* parts of the command */
    bool whole;                     /* as EVAL, since the script is not known there */
    void (*done)(void *, const struct lun_redis_reply *); void *self;
};

struct lun_redis {
    struct lun_redis_options options;
    struct lun_redis_address address;
    char place[LUN_REDIS_SHOWN];
    struct lun_tls *tls;
    struct lun_redis_link link;
    struct event *reading, *writing; bool writable;
    struct lun_task task;
    struct lun_timer timer; bool rang;  /* DOWN: when to connect; else: when it has been silent for too long */
    enum phase phase; int greetings;    /* answers that the greeting still waits for */
    struct lun_redis_parser parser; size_t unread; /* bytes since the last whole answer */
    struct lun_buf out;
    struct call *first, **last, *unasked; int waiting, asked;       /* the first `asked` are on the wire; unasked: the one behind them */
    lun_us pause;
    bool told, connected; char why[LUN_REDIS_WHY];          /* as it was told */
};

static struct lun_loop *loop_of(struct lun_redis *r) { return &r->options.reactor->loop; }

static void ring_at(struct lun_redis *r, lun_us due)
{
    r->rang = false;
    lun_timer_set(loop_of(r), &r->timer, due);
}

/* ---- telling ---- */

static void tell(struct lun_redis *r, bool connected, enum lun_redis_error kind, const char *why)
{
    if (r->told && r->connected == connected && !strcmp(r->why, why ? why : "")) return;
    r->told = true, r->connected = connected;
    snprintf(r->why, sizeof r->why, "%s", why ? why : "");
    r->options.state(r->options.self, connected, kind, why);
}

/* Ends the first call. */
static void finish(struct lun_redis *r, const struct lun_redis_reply *reply)
{
    struct call *c = r->first;
    r->first = c->next, r->waiting--;
    if (!r->first) r->last = &r->first;
    if (r->asked) r->asked--;
    else r->unasked = r->first;
    c->done(c->self, reply);
    lun_buf_free(&c->rest);
    free(c);
}

/* ---- the connection's end ---- */

static void unwatch(struct lun_redis *r)        /* before the socket is closed: the next one may have its number */
{
    if (r->reading) event_free(r->reading), event_free(r->writing);
    r->reading = r->writing = NULL;
}

static void hang_up(struct lun_redis *r)
{
    unwatch(r);
    lun_redis_link_close(&r->link);
    lun_redis_parser_close(&r->parser);
    r->unread = 0;
    if (r->out.at) explicit_bzero(r->out.at, r->out.room);
    lun_buf_free(&r->out);
    r->phase = DOWN;
}

static lun_us jitter(lun_us most) { return most / 2 + (lun_us)(lun_random() % (uint64_t)(most / 2)); }

static void drop(struct lun_redis *r, enum lun_redis_error kind, const char *detail)
{
    char why[LUN_REDIS_WHY];
    lun_redis_say(why, r->place, kind, detail);
    hang_up(r);
    ring_at(r, loop_of(r)->now + jitter(r->pause));
    r->pause = r->pause * 2 < PAUSE_MOST ? r->pause * 2 : PAUSE_MOST;
    const struct lun_redis_reply gone = { .result = LUN_REDIS_GONE, .kind = kind, .why = why };
    for (int n = r->waiting; n > 0; n--) finish(r, &gone);
    tell(r, false, kind, why);
}

/* ---- what is sent ---- */

static lun_us soon(struct lun_redis *r) { return loop_of(r)->now + lun_loop_lag(loop_of(r)) + r->options.timeout; }

static void put(struct lun_buf *b, const char *at, size_t n)
{
    lun_buf_printf(b, "$%zu\r\n", n);
    lun_buf_add(b, at, n);
    lun_buf_add(b, "\r\n", 2);
}

static void put_text(struct lun_buf *b, const char *text) { put(b, text, strlen(text)); }

static lun_us silent(struct lun_redis *r) { return soon(r) - r->options.timeout + (r->options.silence ? r->options.silence : r->options.timeout); }

static void put_call(struct lun_redis *r, const struct call *c)
{
    char sha[41];
    lun_buf_printf(&r->out, "*%d\r\n", c->n);
    put_text(&r->out, c->whole ? "EVAL" : "EVALSHA");
    put_text(&r->out, c->whole ? c->script : lun_redis_digest(c->script, sha));
    lun_buf_add(&r->out, c->rest.at, c->rest.n);
}

static void ask(struct lun_redis *r)
{
    for (struct call *c; (c = r->unasked) && (!r->asked || r->asked < r->options.at_once); r->unasked = c->next) {
        put_call(r, c);
        if (!r->asked++) ring_at(r, silent(r));
    }
}

/* The first is sent again, whole, behind those that are on the wire. */
static void ask_whole(struct lun_redis *r)
{
    struct call *c = r->first, *before = c;
    c->whole = true;
    for (int i = 1; i < r->asked; i++) before = before->next;
    r->unasked = c;
    if (!--r->asked) return;
    r->first = c->next;
    c->next = before->next;
    before->next = c;
    if (!c->next) r->last = &c->next;
}

/* One that takes long is not silent while bytes go or come. */
static void heard(struct lun_redis *r) { if (r->phase == READY && r->asked && r->options.silence) ring_at(r, silent(r)); }

static void greet(struct lun_redis *r)
{
    char db[16];
    if (r->address.password) {
        lun_buf_puts(&r->out, r->address.user ? "*3\r\n" : "*2\r\n");
        put_text(&r->out, "AUTH");
        if (r->address.user) put_text(&r->out, r->address.user);
        put_text(&r->out, r->address.password);
        r->greetings++;
    }
    if (r->address.db) {
        snprintf(db, sizeof db, "%d", r->address.db);
        lun_buf_puts(&r->out, "*2\r\n"), put_text(&r->out, "SELECT"), put_text(&r->out, db);
        r->greetings++;
    }
    lun_buf_puts(&r->out, "*1\r\n"), put_text(&r->out, "PING");
    r->greetings++;
}

static void send_out(struct lun_redis *r)
{
    while (r->out.n) {
        ssize_t sent = lun_redis_link_write(&r->link, r->out.at, r->out.n);
        if (sent > 0) lun_buf_drop(&r->out, (size_t)sent), heard(r);
        else if (errno == EAGAIN) break;
        else if (errno != EINTR) { drop(r, errno == EPROTO ? LUN_REDIS_TLS : LUN_REDIS_CLOSED, errno == EPROTO ? NULL : strerror(errno)); return; }
    }
    if (lun_redis_link_wants_write(&r->link, r->out.n > 0)) event_add(r->writing, NULL);
    else event_del(r->writing);
}

/* ---- what comes ---- */

/* Redis' own text, but for what it may repeat of AUTH: "ERR unknown command 'AUTH', with args beginning with: 'the password'". */
static void refuse(struct lun_redis *r, const char *text)
{
    bool repeats = r->address.password && (strstr(text, "with args") || strstr(text, r->address.password));
    drop(r, lun_redis_error_of(text), repeats ? NULL : text);
}

static void greeted(struct lun_redis *r, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) { refuse(r, reply->str); return; }
    if (reply->type != REDIS_REPLY_STATUS) { drop(r, LUN_REDIS_STRANGE, NULL); return; }
    if (--r->greetings) return;
    r->phase = READY;
    ring_at(r, LUN_NEVER);
    tell(r, true, LUN_REDIS_OTHER, NULL);
}

static void answered(struct lun_redis *r, const redisReply *reply)
{
    struct lun_redis_answer a;
    char why[LUN_REDIS_WHY];
    if (!r->asked || !lun_redis_answer_read(&a, reply, r->place, why)) { drop(r, LUN_REDIS_STRANGE, NULL); return; }
    bool unknown = a.reply.result == LUN_REDIS_ERROR && a.reply.kind == LUN_REDIS_NOSCRIPT && !r->first->whole;
    if (a.reply.result == LUN_REDIS_OK) r->pause = PAUSE_LEAST;
    if (unknown) ask_whole(r);
    else finish(r, &a.reply);
    ring_at(r, r->asked ? silent(r) : LUN_NEVER);
    /* Behind a name that was moved there may be a master by now: it is looked up anew. */
    if (a.reply.result == LUN_REDIS_ERROR && a.reply.kind == LUN_REDIS_READONLY) drop(r, LUN_REDIS_READONLY, reply->str);
    lun_redis_answer_free(&a);
}

static void take(struct lun_redis *r)
{
    void *reply;
    while (r->phase >= GREETING) {
        if (redisReaderGetReply(r->parser.reader, &reply) != REDIS_OK) { drop(r, LUN_REDIS_STRANGE, NULL); return; }
        if (!reply) return;
        r->unread = 0;
        if (r->phase == GREETING) greeted(r, reply);
        else answered(r, reply);
        freeReplyObject(reply);
        if (r->phase == READY) ask(r);
    }
}

static void receive(struct lun_redis *r)
{
    char bytes[READ];
    for (int i = 0; i < READS && r->phase >= GREETING; i++) {
        ssize_t n = lun_redis_link_read(&r->link, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) { drop(r, errno == EPROTO ? LUN_REDIS_TLS : LUN_REDIS_CLOSED, errno == EPROTO ? NULL : strerror(errno)); return; }
        if (n == 0) { drop(r, LUN_REDIS_CLOSED, NULL); return; }
        redisReaderFeed(r->parser.reader, bytes, (size_t)n);
        r->unread += (size_t)n;
        heard(r);
        take(r);
        if (r->phase >= GREETING && r->unread > r->options.answer) drop(r, LUN_REDIS_STRANGE, "an answer that is longer than any of its");
    }
    if (r->phase >= GREETING) lun_loop_wake(loop_of(r), &r->task);       /* no event tells of bytes that TLS has read already */
}

/* ---- the connection's beginning ---- */

static void on_socket(evutil_socket_t fd, short what, void *self)
{
    struct lun_redis *r = self;
    (void)fd;
    if (what & EV_WRITE) r->writable = true;
    lun_reactor_enter(r->options.reactor);
    lun_loop_wake(loop_of(r), &r->task);
    lun_reactor_leave(r->options.reactor);
}

static void watch(struct lun_redis *r)
{
    r->reading = event_new(r->options.reactor->base, r->link.fd, EV_READ | EV_PERSIST, on_socket, r);
    r->writing = event_new(r->options.reactor->base, r->link.fd, EV_WRITE | EV_PERSIST, on_socket, r);
    event_add(r->writing, NULL);
    r->writable = false;
    ring_at(r, soon(r));
}

static void dial(struct lun_redis *r)
{
    if (!lun_redis_link_open(&r->link, &r->address)) { drop(r, LUN_REDIS_UNREACHABLE, r->link.why); return; }
    r->phase = CONNECTING, r->greetings = 0;
    watch(r);
}

static void dialled(struct lun_redis *r)
{
    if (!r->writable) return;
    unwatch(r);
    int stands = lun_redis_link_finish(&r->link, &r->address, r->tls);
    if (stands < 0) drop(r, LUN_REDIS_UNREACHABLE, r->link.why);
    else watch(r);
    if (stands <= 0) return;
    r->phase = GREETING;
    lun_redis_parser_open(&r->parser);
    event_add(r->reading, NULL);
    greet(r);
}

/* ---- a turn ---- */

static void too_long(struct lun_redis *r)
{
    bool connecting = r->phase == CONNECTING;
    if (connecting) unwatch(r);
    if (connecting && lun_redis_link_next(&r->link)) watch(r);
    else drop(r, LUN_REDIS_SILENT, r->phase == READY ? NULL : "connecting");
}

static void step(struct lun_task *t)
{
    struct lun_redis *r = (struct lun_redis *)((char *)t - offsetof(struct lun_redis, task));
    if (r->phase == DOWN) {
        if (r->rang) r->rang = false, dial(r);
        return;
    }
    if (r->phase == CONNECTING) dialled(r);
    if (r->phase >= GREETING) receive(r);
    if (r->phase == READY) ask(r);
    if (r->phase >= GREETING) send_out(r);
    if (r->rang) too_long(r);
}

static void on_timer(struct lun_timer *t)
{
    struct lun_redis *r = (struct lun_redis *)((char *)t - offsetof(struct lun_redis, timer));
    r->rang = true;
    lun_loop_wake(loop_of(r), &r->task);
}

/* ---- for others ---- */

struct lun_redis *lun_redis_new(const struct lun_redis_options *o, char error[LUN_REDIS_WHY])
{
    struct lun_redis *r = lun_zalloc(sizeof *r);
    const char *why = lun_redis_address_read(&r->address, o->url);
    if (why) snprintf(error, LUN_REDIS_WHY, "the URL of Redis %s", why);
    else if (r->address.tls && !(r->tls = lun_tls_trust(o->ca, error))) why = error;
    if (why) {
        explicit_bzero(&r->address, sizeof r->address);
        free(r);
        return NULL;
    }
    r->options = *o, r->options.url = r->options.ca = NULL;
    if (!r->options.timeout) r->options.timeout = LUN_REDIS_TIMEOUT;
    if (!r->options.answer) r->options.answer = LUN_REDIS_ANSWER;
    lun_redis_address_show(&r->address, r->place, sizeof r->place);
    r->link.fd = -1, r->last = &r->first, r->pause = PAUSE_LEAST;
    r->task.run = step, r->timer.fire = on_timer;
    r->rang = true;
    lun_loop_wake(loop_of(r), &r->task);
    return r;
}

void lun_redis_free(struct lun_redis *r)
{
    if (!r) return;
    hang_up(r);
    lun_loop_forget(loop_of(r), &r->task);
    ring_at(r, LUN_NEVER);
    for (struct call *c = r->first, *next; c; c = next) {
        next = c->next;
        lun_buf_free(&c->rest);
        free(c);
    }
    lun_tls_free(r->tls);
    explicit_bzero(&r->address, sizeof r->address);
    free(r);
}

bool lun_redis_eval(struct lun_redis *r, const char *script, const char *key, const char *const *args, const size_t *lens, int n,
                    void (*done)(void *self, const struct lun_redis_reply *), void *self)
{
    if (r->phase != READY || r->waiting == LUN_REDIS_WAITING) return false;
    struct call *c = lun_zalloc(sizeof *c);
    *c = (struct call){ .script = script, .n = 4 + n, .done = done, .self = self };
    put_text(&c->rest, "1"), put_text(&c->rest, key);
    for (int i = 0; i < n; i++) put(&c->rest, args[i], lens ? lens[i] : strlen(args[i]));
    *r->last = c, r->last = &c->next, r->waiting++;
    if (!r->unasked) r->unasked = c;
    lun_loop_wake(loop_of(r), &r->task);
    return true;
}

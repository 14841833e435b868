#include "gateway/webhook.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/random.h"
#include "base/thread.h"
#include "state/signing.h"
#include "wire/post.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POST_LIMIT (10 * LUN_SECOND)
#define ID         40

/* Seconds before each further try, give or take a quarter: with the tries themselves, an hour. */
static const int pauses[] = { 1, 5, 30, 120, 300, 900, 2100 };
enum { PAUSES = sizeof pauses / sizeof *pauses };

struct event {
    char id[ID], type[32];
    char *body; size_t n;
    int tried;
    lun_us due;                         /* lun_clock_now */
};

struct lun_webhook {
    const struct lun_log *log;
    struct lun_metrics *metrics;
    pthread_mutex_t lock;
    pthread_cond_t news;
    pthread_t thread; bool started, stopping;
    char *url, *secret;
    bool gone;                          /* it has answered 410: nothing more is sent to this URL */
    uint64_t aims;                      /* grows with every other URL */
    struct event waiting[LUN_WEBHOOK_WAITING]; int n;
    bool overflow;                      /* told in the log, until there is room again */
    _Atomic lun_us until;               /* when a POST under way is given up: LUN_NEVER, or the end of the grace */
};

static void count(struct lun_webhook *w, const char *result) { lun_metrics_add(w->metrics, LUN_METRIC_WEBHOOK, &result, 1); }

/* ---- the queue: under the lock ---- */

static void wipe(char **text)
{
    if (*text) explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

static void drop(struct lun_webhook *w, int i)
{
    free(w->waiting[i].body);
    w->waiting[i] = w->waiting[--w->n];
    w->overflow = false;
}

static void drop_all(struct lun_webhook *w)
{
    for (; w->n; drop(w, w->n - 1)) count(w, "dropped");
}

static int find(const struct lun_webhook *w, const char *id)
{
    for (int i = 0; i < w->n; i++) if (!strcmp(w->waiting[i].id, id)) return i;
    return -1;
}

/* The one that is due first; the older of two. -1: none waits. */
static int next(const struct lun_webhook *w)
{
    int first = -1;
    for (int i = 0; i < w->n; i++) if (first < 0 || w->waiting[i].due < w->waiting[first].due) first = i;
    return first;
}

static lun_us pause_after(int tried) { return (lun_us)pauses[tried - 1] * LUN_SECOND * (750 + (lun_us)(lun_random() % 501)) / 1000; }

/* ---- one try ---- */

enum taken { TAKEN, LATER, GONE };

struct letter { char id[ID], type[32]; char *url, *secret, *body; size_t n; int tried; uint64_t aim; };

static lun_us time_left(const struct lun_webhook *w)
{
    lun_us left = atomic_load(&w->until) - lun_clock_now();
    return left > POST_LIMIT ? POST_LIMIT : left > LUN_MS ? left : LUN_MS;
}

static enum taken send_letter(struct lun_webhook *w, const struct letter *l, char why[64])
{
    char timestamp[24], signature[LUN_SIGNATURE];
    lun_us wall = lun_clock_wall();
    const char *problem;
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)(wall / LUN_SECOND));
    bool sign = l->secret && lun_signing_sign(l->secret, l->id, wall / LUN_SECOND, l->body, l->n, signature);
    const struct lun_pair headers[] = { { "webhook-id", l->id }, { "webhook-timestamp", timestamp }, { "webhook-signature", signature } };
    snprintf(why, 64, "it could not be signed");
    if (l->secret && !sign) return LATER;
    int status = lun_post_send(&(struct lun_post_out){ .url = l->url, .headers = headers, .n_headers = sign ? 3 : 2, .body = l->body, .n = l->n, .timeout = time_left(w),
                                                       .until = &w->until }, &problem);
    if (status) snprintf(why, 64, "HTTP %d", status);
    else snprintf(why, 64, "%s", problem);
    return status >= 200 && status < 300 ? TAKEN : status == 410 ? GONE : LATER;
}

/* ---- the thread ---- */

static void gone(struct lun_webhook *w)
{
    w->gone = true;
    lun_log(w->log, LUN_LOG_WARN, "webhook: it has answered 410 (gone): nothing more is sent until `webhook` says another URL");
    drop_all(w);
}

static void later(struct lun_webhook *w, int i, const char *why)
{
    struct event *e = &w->waiting[i];
    bool last = ++e->tried > PAUSES;
    if (last || w->stopping) {
        lun_log(w->log, LUN_LOG_WARN, "webhook: the event %s (%s) was not taken %s and is given up: %s", e->id, e->type, last ? "in an hour" : "before the gateway stopped", why);
        count(w, "failed");
        drop(w, i);
        return;
    }
    if (e->tried == 1) lun_log(w->log, LUN_LOG_WARN, "webhook: the event %s (%s) was not taken: %s; it is tried again for an hour", e->id, e->type, why);
    count(w, "retried");
    e->due = lun_clock_now() + pause_after(e->tried);
}

/* Meanwhile it may have been dropped, or another URL be meant. */
static void told(struct lun_webhook *w, const struct letter *l, enum taken taken, const char *why)
{
    int i = find(w, l->id);
    if (taken == TAKEN) count(w, "delivered");
    if (i < 0) return;
    if (taken == TAKEN) drop(w, i);
    else if (l->aim != w->aims) w->waiting[i].due = lun_clock_now();
    else if (taken == GONE) gone(w);
    else later(w, i, why);
}

static struct letter letter_of(const struct lun_webhook *w, const struct event *e)
{
    struct letter l = { .url = lun_strdup(w->url), .secret = w->secret ? lun_strdup(w->secret) : NULL, .n = e->n, .tried = e->tried, .aim = w->aims };
    l.body = lun_strndup(e->body, e->n);
    memcpy(l.id, e->id, sizeof l.id);
    memcpy(l.type, e->type, sizeof l.type);
    return l;
}

static void try_one(struct lun_webhook *w, int i)
{
    struct letter l = letter_of(w, &w->waiting[i]);
    char why[64];
    pthread_mutex_unlock(&w->lock);
    enum taken taken = send_letter(w, &l, why);
    pthread_mutex_lock(&w->lock);
    told(w, &l, taken, why);
    wipe(&l.url), wipe(&l.secret);
    free(l.body);
}

static void wait_until(struct lun_webhook *w, lun_us due)
{
    struct timespec t = { .tv_sec = (time_t)(due / LUN_SECOND), .tv_nsec = (long)(due % LUN_SECOND) * 1000 };
    if (due == LUN_NEVER) pthread_cond_wait(&w->news, &w->lock);
    else pthread_cond_timedwait(&w->news, &w->lock, &t);
}

static bool over(const struct lun_webhook *w) { return w->stopping && (!w->n || lun_clock_now() >= atomic_load(&w->until)); }

static void *run(void *self)
{
    struct lun_webhook *w = self;
    lun_thread_has_time();
    pthread_mutex_lock(&w->lock);
    while (!over(w)) {
        int i = w->url && !w->gone ? next(w) : -1;
        if (i >= 0 && (w->stopping || w->waiting[i].due <= lun_clock_now())) try_one(w, i);
        else wait_until(w, i < 0 ? LUN_NEVER : w->waiting[i].due);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- from outside ---- */

struct lun_webhook *lun_webhook_new(const struct lun_log *log, struct lun_metrics *metrics)
{
    struct lun_webhook *w = lun_zalloc(sizeof *w);
    pthread_condattr_t monotonic;
    w->log = log;
    w->metrics = metrics;
    w->until = LUN_NEVER;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return w;
}

static bool same(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

void lun_webhook_aim(struct lun_webhook *w, const char *url, const char *secret)
{
    pthread_mutex_lock(&w->lock);
    if (!same(url, w->url)) w->gone = false, w->aims++;
    if (!same(url, w->url) || !same(secret, w->secret)) {
        wipe(&w->url), wipe(&w->secret);
        w->url = url ? lun_strdup(url) : NULL;
        w->secret = url && secret ? lun_strdup(secret) : NULL;
    }
    if (!url) drop_all(w);
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
}

bool lun_webhook_aimed(struct lun_webhook *w)
{
    pthread_mutex_lock(&w->lock);
    bool aimed = w->url && !w->gone && !w->stopping;
    pthread_mutex_unlock(&w->lock);
    return aimed;
}

static void write_event(struct event *e, const char *type, const char *data, lun_us wall)
{
    struct lun_buf out = {0};
    char at[25];
    lun_clock_text(wall, at);
    lun_random_id(stpcpy(e->id, "evt_"));
    snprintf(e->type, sizeof e->type, "%s", type);
    lun_buf_printf(&out, "{\"type\":\"%s\",\"at\":\"%s\",\"id\":\"%s\",\"data\":%s}", type, at, e->id, data);
    e->n = out.n;
    e->body = out.at;
}

static bool room(struct lun_webhook *w)
{
    if (w->n < LUN_WEBHOOK_WAITING) return true;
    count(w, "dropped");
    if (!w->overflow) lun_log(w->log, LUN_LOG_WARN, "webhook: %d events wait already: further ones are dropped (lunette_webhook_events_total counts them)", w->n);
    w->overflow = true;
    return false;
}

void lun_webhook_send(struct lun_webhook *w, const char *type, const char *data, lun_us wall)
{
    pthread_mutex_lock(&w->lock);
    if (w->url && !w->gone && !w->stopping && room(w)) {
        struct event *e = &w->waiting[w->n++];
        *e = (struct event){ .due = lun_clock_now() };
        write_event(e, type, data, wall);
        if (!w->started && !(w->started = !lun_thread_start(&w->thread, "lunette webhook", 0, run, w))) {
            lun_log(w->log, LUN_LOG_ERROR, "webhook: the system gives no thread");
            drop_all(w);
        }
        pthread_cond_signal(&w->news);
    }
    pthread_mutex_unlock(&w->lock);
}

void lun_webhook_stop(struct lun_webhook *w, lun_us grace)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    bool started = w->started && !w->stopping;
    w->stopping = true;
    atomic_store(&w->until, lun_clock_now() + grace);
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
    if (started) pthread_join(w->thread, NULL);
    if (w->n) lun_log(w->log, LUN_LOG_WARN, "webhook: %d events could not be delivered before the gateway stopped", w->n);
    drop_all(w);
}

void lun_webhook_free(struct lun_webhook *w)
{
    if (!w) return;
    drop_all(w);
    wipe(&w->url), wipe(&w->secret);
    pthread_cond_destroy(&w->news);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

#include "gateway/troubles.h"
#include <stdio.h>
#include <string.h>

void lun_troubles_init(struct lun_troubles *t)
{
    *t = (struct lun_troubles){0};
    pthread_mutex_init(&t->lock, NULL);
}

void lun_troubles_destroy(struct lun_troubles *t) { pthread_mutex_destroy(&t->lock); }

static void begin(struct lun_troubles *t, const struct lun_snapshot *s, lun_us from)
{
    t->of = s;
    t->n_failures = t->n_timeouts = 0;
    t->told = false;
    t->from = from;
}

void lun_troubles_watch(struct lun_troubles *t, const struct lun_snapshot *s)
{
    pthread_mutex_lock(&t->lock);
    begin(t, s, 0);
    pthread_mutex_unlock(&t->lock);
}

void lun_troubles_pause(struct lun_troubles *t, lun_us until)
{
    pthread_mutex_lock(&t->lock);
    begin(t, t->of, until);
    pthread_mutex_unlock(&t->lock);
}

/* Puts it over the oldest; whether all of the ring lies within the window. */
static bool fills(lun_us *ring, unsigned *n, unsigned room, lun_us now)
{
    ring[(*n)++ % room] = now;
    return *n >= room && now - ring[*n % room] <= LUN_TROUBLES_WINDOW;
}

bool lun_troubles_add(struct lun_troubles *t, const struct lun_trouble *what, lun_us now)
{
    bool timeout = !strcmp(what->reason, "cpu") || !strcmp(what->reason, "time"), much = false, slow = false;
    pthread_mutex_lock(&t->lock);
    if (what->snapshot == t->of && !t->told && now >= t->from) {
        much = fills(t->failures, &t->n_failures, LUN_TROUBLES_FAILURES, now);
        if (timeout) slow = fills(t->timeouts, &t->n_timeouts, LUN_TROUBLES_TIMEOUTS, now);
        t->told = much || slow;
        if (t->told) snprintf(t->why, sizeof t->why, "%d %s of its hooks within 10 s, the last: %s", slow ? LUN_TROUBLES_TIMEOUTS : LUN_TROUBLES_FAILURES,
                              slow ? "time-outs" : "failures", what->error);
    }
    pthread_mutex_unlock(&t->lock);
    return much || slow;
}

#include "gateway/walk.h"
#include "base/loop.h"
#include "base/saturating.h"

/* Trials are in the order they began, so what they cover together is found in one pass. */
void lun_done_add_up(const struct lun_question *q, struct lun_done *done)
{
    lun_us covered = q->arrived, now = q->loop->now;
    done->usage = (struct lun_usage){0};
    done->cost = 0;
    done->waited = done->rested;
    done->upstream_wait = done->rested + done->shared_wait;
    done->latency = now - q->arrived + lun_loop_lag(q->loop);
    for (const struct lun_trial *t = q->trials; t; t = t->next) {
        lun_us from = t->began > covered ? t->began : covered, to = t->closed ? t->ended : now;
        if (to > from) {
            done->upstream_wait += to - from > t->lag + t->drawn ? to - from - t->lag - t->drawn : 0;
            covered = to;
        }
        if (!t->hedge) done->waited += lun_trial_waited(t, now);
        lun_usage_add(&done->usage, &t->usage);
        done->cost = lun_saturating_add(done->cost, t->cost);
    }
}

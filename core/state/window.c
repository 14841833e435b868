#include "state/window.h"
#include "base/alloc.h"
#include <stdlib.h>

struct lun_use *lun_window_at(const struct lun_window *w, size_t i) { return &w->uses[(w->first + i) & (w->room - 1)]; }

void lun_window_advance(struct lun_window *w, lun_us now)
{
    if (now > w->now) w->now = now;
    for (; w->n; w->first++, w->n--) {
        const struct lun_use *oldest = lun_window_at(w, 0);
        if (oldest->at + LUN_WINDOW > w->now) return;
        lun_tally_take(&w->all, oldest->of);
        if (oldest->batch) lun_tally_take(&w->batch, oldest->of);
    }
}

static void grow(struct lun_window *w)
{
    size_t room = w->room ? w->room * 2 : 16;
    struct lun_use *uses = lun_alloc(room * sizeof *uses);
    for (size_t i = 0; i < w->n; i++) uses[i] = *lun_window_at(w, i);
    free(w->uses);
    w->uses = uses;
    w->first = 0;
    w->room = room;
}

void lun_window_add(struct lun_window *w, struct lun_tally of, bool batch)
{
    if (w->n == w->room) grow(w);
    *lun_window_at(w, w->n++) = (struct lun_use){ w->now, of, batch };
    lun_tally_add(&w->all, of);
    if (batch) lun_tally_add(&w->batch, of);
}

bool lun_window_correct(struct lun_window *w, int64_t estimated, int64_t used)
{
    for (size_t i = 0; i < w->n; i++) {
        struct lun_use *u = lun_window_at(w, i);
        if (u->of.tokens != estimated) continue;
        struct lun_tally more = { 0, used - estimated };
        lun_tally_add(&u->of, more);
        lun_tally_add(&w->all, more);
        if (u->batch) lun_tally_add(&w->batch, more);
        return true;
    }
    return false;
}

lun_us lun_window_frees(const struct lun_window *w, int64_t requests)
{
    lun_us when = w->now;
    for (size_t i = 0; i < w->n && requests > 0; i++) {
        requests -= lun_window_at(w, i)->of.requests;
        when = lun_window_at(w, i)->at + LUN_WINDOW;
    }
    return when;
}

void lun_window_free(struct lun_window *w)
{
    free(w->uses);
    *w = (struct lun_window){0};
}

#include "base/loop.h"
#include "base/alloc.h"
#include <stdlib.h>

static bool before(const struct lun_timer *a, const struct lun_timer *b)
{
    return a->due != b->due ? a->due < b->due : a->tie < b->tie;
}

static void put(struct lun_loop *l, struct lun_timer *t, int at) { l->heap[at] = t; t->at = at; }

static void sift(struct lun_loop *l, struct lun_timer *t, int at)
{
    for (; at > 1 && before(t, l->heap[at / 2]); at /= 2) put(l, l->heap[at / 2], at);
    for (int child; (child = at * 2) <= l->n; at = child) {
        if (child < l->n && before(l->heap[child + 1], l->heap[child])) child++;
        if (!before(l->heap[child], t)) break;
        put(l, l->heap[child], at);
    }
    put(l, t, at);
}

static void off(struct lun_loop *l, struct lun_timer *t)
{
    int at = t->at;
    if (!at) return;
    t->at = 0;
    struct lun_timer *last = l->heap[l->n--];
    if (last != t) sift(l, last, at);
}

static void grow(struct lun_loop *l)
{
    if (l->n + 2 <= l->room) return;
    l->room = l->room * 2 + 64;
    l->heap = lun_realloc(l->heap, (size_t)l->room * sizeof *l->heap);
}

void lun_timer_set(struct lun_loop *l, struct lun_timer *t, lun_us due)
{
    if (due == LUN_NEVER) { off(l, t); return; }
    t->due = due;
    t->tie = ++l->ties;
    if (l->shuffle) t->tie = t->tie * 0x9E3779B97F4A7C15u ^ l->shuffle;
    if (t->at) { sift(l, t, t->at); return; }
    grow(l);
    sift(l, t, ++l->n);
}

void lun_loop_wake(struct lun_loop *l, struct lun_task *k)
{
    if (k->ready) return;
    k->ready = true;
    if (l->shuffle && l->first && (++l->ties * l->shuffle) >> 63) { k->next = l->first; l->first = k; return; }
    k->next = NULL;
    if (l->first) l->last->next = k; else l->first = k;
    l->last = k;
}

void lun_loop_forget(struct lun_loop *l, struct lun_task *k)
{
    if (!k->ready) return;
    struct lun_task **p = &l->first, *before_it = NULL;
    for (; *p != k; p = &(*p)->next) before_it = *p;
    *p = k->next;
    if (l->last == k) l->last = before_it;
    k->ready = false;
}

void lun_loop_drain(struct lun_loop *l)
{
    for (struct lun_task *k; (k = l->first); ) {
        l->first = k->next;
        k->ready = false;
        k->run(k);
    }
}

bool lun_loop_fire(struct lun_loop *l)
{
    struct lun_timer *t = l->n ? l->heap[1] : NULL;
    if (!t || t->due > l->now) return false;
    off(l, t);
    t->fire(t);
    return true;
}

lun_us lun_loop_lag(const struct lun_loop *l) { return l->clock ? l->clock() - l->now : 0; }

lun_us lun_loop_due(const struct lun_loop *l) { return l->n ? l->heap[1]->due : LUN_NEVER; }

bool lun_loop_advance(struct lun_loop *l)
{
    if (!l->n) return false;
    if (l->heap[1]->due > l->now) l->now = l->heap[1]->due;
    return true;
}

void lun_loop_free(struct lun_loop *l) { free(l->heap); l->heap = NULL; l->n = l->room = 0; }

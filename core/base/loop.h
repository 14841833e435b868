/* The loop: a list of those who have news, and a heap of timers, on one thread. It knows neither sockets nor requests,
 * and it does not know whether its time is real: somebody sets `now` (the reactor from the clock, a simulation by leaps).
 *
 * THE RULE that everything above rests on: an event callback writes down what happened and calls lun_loop_wake; work is
 * done only in lun_loop_drain, the last line of every event callback. So no work ever runs inside another's callback. */
#ifndef LUN_BASE_LOOP_H
#define LUN_BASE_LOOP_H
#include "base/clock.h"
#include <stdbool.h>

struct lun_timer {          /* zero-initialise, set `fire`; embed it in what it is for */
    lun_us due;
    uint64_t tie;           /* among equal times the one set first fires first */
    int at;                 /* 1-based place in the heap, 0: off */
    void (*fire)(struct lun_timer *);   /* like any event callback: writes down, wakes */
};
struct lun_task {           /* zero-initialise, set `run`; embed it in what has news */
    struct lun_task *next;
    bool ready;
    void (*run)(struct lun_task *);     /* may wake itself again, or free itself */
};
struct lun_loop {           /* zero-initialised: empty and valid, at time 0 */
    lun_us now;                 /* of the turn: does not move while it lasts */
    lun_us (*clock)(void);      /* the real one, for what a turn itself takes; NULL: time stands still within a turn */
    struct lun_timer **heap; int n, room; uint64_t ties;
    uint64_t shuffle;       /* tests only: odd = equal times and wakes in a random order made from it */
    struct lun_task *first, *last;
    unsigned long overdue;  /* how often a task left a clock of its own overdue: a defect, counted by whoever sets the clock. Tests look */
};

void lun_timer_set(struct lun_loop *, struct lun_timer *, lun_us due);  /* also moves one that is set; LUN_NEVER: off */
void lun_loop_wake(struct lun_loop *, struct lun_task *);               /* at most once in the list; runs later, never now */
void lun_loop_forget(struct lun_loop *, struct lun_task *);             /* takes it out of the list, if it is there */
void lun_loop_drain(struct lun_loop *);     /* runs all that are ready, also those that become so meanwhile; never nested */
bool lun_loop_fire(struct lun_loop *);      /* fires one timer that is due by `now`; false: none */
lun_us lun_loop_lag(const struct lun_loop *);   /* how long the present turn has lasted */
lun_us lun_loop_due(const struct lun_loop *);   /* of the nearest timer; LUN_NEVER: none */
bool lun_loop_advance(struct lun_loop *);   /* simulation: moves `now` to the nearest timer; false: none */
void lun_loop_free(struct lun_loop *);      /* only the heap's memory; timers and tasks are others' */
#endif

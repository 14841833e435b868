/* Who waits for what another thread may do, and how he is told. */
#include "gateway/walk.h"

void lun_waiter_join(struct lun_waiter *waiter, struct lun_request *r)
{
    struct lun_waiting *w = r->ask.waiting;
    if (!w) return;
    waiter->request = r;
    waiter->at = &w->first;
    if ((waiter->next = w->first)) w->first->at = &waiter->next;
    w->first = waiter;
}

void lun_waiter_leave(struct lun_waiter *waiter)
{
    if (!waiter->at) return;
    if ((*waiter->at = waiter->next)) waiter->next->at = waiter->at;
    waiter->at = NULL;
}

void lun_waiter_move(struct lun_waiter *waiter)
{
    atomic_store(&waiter->moved, true);
    struct lun_waiting *w = waiter->request->ask.waiting;
    w->post(w->self);
}

void lun_waiting_look(struct lun_waiting *w)
{
    for (struct lun_waiter *waiter = w->first; waiter; waiter = waiter->next)
        if (atomic_exchange(&waiter->moved, false)) lun_loop_wake(waiter->request->loop, &waiter->request->task);
}

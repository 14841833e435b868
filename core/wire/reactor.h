/* One thread's event loop: libevent for sockets, base/loop for work and timers. libevent holds a single timer that
 * follows the heap of base/loop.
 *
 * Every libevent (or curl) callback of this thread has this form:
 *     static void on_something(evutil_socket_t fd, short what, void *self)
 *     {
 *         lun_reactor_enter(reactor);         sets loop.now from the clock
 *         ... writes down what happened, wakes ...
 *         lun_reactor_leave(reactor);         the last line: drains the loop, fires what is due, arms the timer
 *     }
 * Calls may nest (enter, enter, leave, leave): only the outermost drains. */
#ifndef LUN_WIRE_REACTOR_H
#define LUN_WIRE_REACTOR_H
#include "base/loop.h"
#include <event2/event.h>
#include <pthread.h>

struct lun_post {           /* news from another thread; embed it, set `run`; in the list at most once */
    struct lun_post *next;
    bool posted;
    void (*run)(struct lun_post *);     /* on the reactor's thread, between enter and leave; may free it */
};
enum { LUN_REACTOR_AFTERWARDS = 4, LUN_REACTOR_TOGETHER = 32 };
struct lun_reactor {
    struct event_base *base;
    struct lun_loop loop;
    bool owns_base, detached;
    int together; bool later;   /* callbacks since the last drain; whether the base is told to see to the next one */
    int depth;
    lun_us turn; struct timeval turn_of;    /* when this turn of the loop came to its first callback, and by what it is known */
    struct event *timer, *mail, *rest; int mail_fd;
    lun_us armed;           /* what libevent's timer is set to; LUN_NEVER: off */
    pthread_mutex_t lock; struct lun_post *posts;
    struct lun_afterwards { void (*run)(void *self); void *self; } afterwards[LUN_REACTOR_AFTERWARDS]; int n_afterwards;
};

/* `base` NULL: makes its own. Returns NULL when the system gives no event base or descriptor. */
struct lun_reactor *lun_reactor_new(struct event_base *base);
void lun_reactor_enter(struct lun_reactor *);
void lun_reactor_leave(struct lun_reactor *);
void lun_reactor_leave_later(struct lun_reactor *);     /* instead of leave, by a caller who is no callback and to be told nothing before it
                                                           has returned: what is ready runs behind the callbacks of the base that are due by now */
/* Instead of leave, at the end of a callback of which one turn of the base has many: what is ready runs behind those that are due by now, or behind
 * LUN_REACTOR_TOGETHER of them; at once where none is due. So each kind of work is done for several in a row. */
void lun_reactor_leave_together(struct lun_reactor *);
void lun_reactor_post(struct lun_reactor *, struct lun_post *);     /* any thread; the order of posts is kept */
/* Has run(self) called when the outermost callback under way on this thread is over, and all that it has to say is out: for waking other threads, which would
 * take the processor from an answer that is not sent yet. Once, however often it is asked for. At once where no callback is under way, or too much waits. */
void lun_reactor_afterwards(void (*run)(void *self), void *self);
void lun_reactor_run(struct lun_reactor *);     /* until lun_reactor_stop */
void lun_reactor_stop(struct lun_reactor *);    /* on its thread */
void lun_reactor_detach(struct lun_reactor *);  /* takes its events off its base for good: nothing runs any more, and the base may go */
void lun_reactor_free(struct lun_reactor *);    /* not while running; posts not yet run are dropped */
#endif

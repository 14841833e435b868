/* A thread for what takes too long for a loop: reading files, compiling policies, waiting for a disk, giving up the memory of a machine. One job after
 * the other, in the order they were given; it begins with the first. It runs where no other thread wants the processor (SCHED_IDLE), so that those who
 * serve do not notice it. When a job had to wait for more than 200 ms, there is none to spare: for the next 30 s jobs go to a second thread that has a
 * share (nice 19). So that nobody waits for one that waits: a job takes no lock that those who serve take too. */
#ifndef LUN_GATEWAY_BUILDER_H
#define LUN_GATEWAY_BUILDER_H
#include "wire/reactor.h"

struct lun_job {                        /* embed it; set run */
    struct lun_job *next;
    bool disk;                          /* most of its time it waits for a disk */
    bool soon;                          /* somebody waits for it, and it takes next to no time: it goes to the thread that has a share */
    void (*run)(struct lun_job *);      /* on the builder's thread; where `done` is NULL it may free itself */
    void (*done)(struct lun_job *);     /* afterwards, on the reactor's thread; NULL: nobody is told */
    struct lun_post back;
};
struct lun_builder;
/* `aside` false: there is no thread, each job is done at once by whoever gives it, and `done` is told later all the same. */
struct lun_builder *lun_builder_new(struct lun_reactor *home, bool aside);
bool lun_builder_do(struct lun_builder *, struct lun_job *);    /* any thread. False: the system gives no thread, and nothing was done */
/* Does all that was given, then ends the thread. `done` of those jobs is not called. Not from a job. NULL is fine. */
void lun_builder_free(struct lun_builder *);
#endif

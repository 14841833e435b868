/* A thread for what takes too long for a loop: reading files, compiling policies, waiting for a disk, giving up the memory of a machine. It does
 * one job after the other, in the order they were given, and steps back where threads that serve want the processor (nice 19, in slices of 0.1 ms): on a
 * machine that is busy throughout it takes its time. It begins with the first job. */
#ifndef LUN_GATEWAY_BUILDER_H
#define LUN_GATEWAY_BUILDER_H
#include "wire/reactor.h"

struct lun_job {                        /* embed it; set run */
    struct lun_job *next;
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

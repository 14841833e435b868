#include "base/thread.h"
#include <sched.h>
#include <signal.h>

int lun_thread_start(pthread_t *t, const char *name, size_t stack, void *(*run)(void *), void *self)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    if (stack) pthread_attr_setstacksize(&attributes, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(t, &attributes, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!failed) pthread_setname_np(*t, name);
    return failed;
}

void lun_thread_has_time(void) { sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){ 0 }); }

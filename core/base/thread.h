/* Threads of our own, in a process that may be somebody else's. */
#ifndef LUN_BASE_THREAD_H
#define LUN_BASE_THREAD_H
#include <pthread.h>
#include <stddef.h>

/* Starts `run(self)` on a thread named `name` (15 bytes at most, for those who look at the process), with a stack of `stack`
 * bytes, or the system's usual one for 0. Every signal is blocked there: they are for the host's threads, and a closed pipe
 * is EPIPE, not SIGPIPE. The caller's own mask is as before. 0, or an errno (EAGAIN mostly), and no thread; who gets one
 * joins it. */
int lun_thread_start(pthread_t *, const char *name, size_t stack, void *(*run)(void *), void *self);

/* The calling thread has time: it has its share of the processor (SCHED_BATCH), but waking up it takes it from nobody. Where the system forbids that
 * nothing happens. */
void lun_thread_has_time(void);
#endif

/* The memory of a process. Of one that holds keys it is kept from others: no core dump is written of it, and no other process of the same user may look into it
 * or read its environment (/proc/PID/environ, ptrace). root may all the same. */
#ifndef LUN_CLI_MEMORY_H
#define LUN_CLI_MEMORY_H
#include <stdbool.h>
#include <stddef.h>

void lun_memory_keep_private(void);

/* Has the pages of the calling thread's stack there from the beginning, 64 KiB of it. Under valgrind a signal ends the program where a frame has just reached
 * into a page that is not: the tick of the policies' processor time is one. */
void lun_memory_reach_down(void);

/* What was freed goes back to the system. glibc keeps what lies between other things, so that a crowd which has left would stay in the process for ever;
 * giving that back makes the threads wait for some milliseconds, so it is done when LUN_MEMORY_PLENTY was free at two looks in a row, and never again for what
 * could not be given back. Call it once at the beginning,
 * when there is little, and then every LUN_MEMORY_EVERY seconds. True: something was given back. */
enum { LUN_MEMORY_EVERY = 5, LUN_MEMORY_PLENTY = 32 << 20 };
struct lun_memory_look { bool plenty; size_t least; };      /* zero-initialise; plenty: at the last look; least: bytes in the process, since it was last done */
bool lun_memory_give_back(struct lun_memory_look *);
#endif

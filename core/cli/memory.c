#include "cli/memory.h"
#include <sys/prctl.h>
#include <sys/resource.h>

/* The limit of 0 does not count where core dumps go through a pipe (core(5)); not being dumpable does. */
void lun_memory_keep_private(void)
{
    const struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

#include "cli/memory.h"
#include <malloc.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* The limit of 0 does not count where core dumps go through a pipe (core(5)); not being dumpable does. */
void lun_memory_keep_private(void)
{
    const struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void lun_memory_reach_down(void)
{
    volatile char room[64 << 10];
    for (size_t at = sizeof room; at >= 1024; at -= 1024) room[at - 1024] = 0;
}

static size_t resident(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    fclose(f);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

bool lun_memory_give_back(struct lun_memory_look *l)
{
    bool before = l->plenty;
    size_t now = resident();
    if (!l->least || now < l->least) l->least = now;
    l->plenty = mallinfo2().fordblks >= LUN_MEMORY_PLENTY;
    if (!before || !l->plenty || now < l->least + LUN_MEMORY_PLENTY) return false;
    malloc_trim(0);
    l->least = resident();
    return true;
}

#include "base/wide.h"

int lun_wide_most(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    bool widest = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
    if (__builtin_cpu_supports("avx2")) return widest ? 64 : 32;
#endif
    return 0;
}

int lun_wide_bytes;
__attribute__((constructor)) static void look(void) { lun_wide_bytes = lun_wide_most(); }

const char lun_escape_meant[256] = { ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t' };

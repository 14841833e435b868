/* One target as libFuzzer calls it: TARGET is its function. */
#include "fuzz.h"
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    TARGET((struct input){ (const char *)bytes, n });
    return 0;
}

void fuzz_broken(const char *file, int line, const char *promise)
{
    fprintf(stderr, "%s:%d: not kept: %s\n", file, line, promise);
    abort();
}

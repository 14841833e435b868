#include "state/plan.h"

const char *lun_hook_name(enum lun_hook h)
{
    static const char *const names[] = {
#define X(id, name) name,
        LUN_HOOKS(X)
#undef X
    };
    return names[h];
}

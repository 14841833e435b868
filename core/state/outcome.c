#include "state/outcome.h"

static const struct { const char *name, *text; enum lun_billed billed; enum lun_rule rule; bool breaks; } kinds[] = {
#define X(kind, name, billed, rule, breaks, text) [LUN_KIND_##kind] = { name, text, LUN_BILLED_##billed, LUN_RULE_##rule, breaks },
    LUN_KINDS(X)
#undef X
};

const char *lun_kind_name(enum lun_kind k)       { return kinds[k].name; }
const char *lun_kind_text(enum lun_kind k)       { return kinds[k].text; }
enum lun_billed lun_kind_billed(enum lun_kind k) { return kinds[k].billed; }
enum lun_rule lun_kind_rule(enum lun_kind k)     { return kinds[k].rule; }
bool lun_kind_breaks(enum lun_kind k)            { return kinds[k].breaks; }

const char *lun_billed_name(enum lun_billed b)
{
    static const char *const names[] = { "no", "maybe", "yes" };
    return names[b];
}

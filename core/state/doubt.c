#include "state/doubt.h"
#include "state/standing.h"

bool lun_doubt_raise(const struct lun_target *t, enum lun_suspect why)
{
    int none = LUN_SUSPECT_NONE;
    return why && atomic_compare_exchange_strong(&t->state->record->doubt, &none, (int)why);
}

enum lun_suspect lun_doubt_of(const struct lun_target *t) { return (enum lun_suspect)atomic_load_explicit(&t->state->record->doubt, memory_order_relaxed); }

bool lun_doubt_clear(const struct lun_target *t) { return atomic_exchange(&t->state->record->doubt, LUN_SUSPECT_NONE) != LUN_SUSPECT_NONE; }

int lun_doubt_news(const struct lun_target *t)
{
    bool is = lun_doubt_of(t), told = atomic_exchange(&t->state->record->told_doubt, is);
    return is - told;
}

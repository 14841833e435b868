/* Whom a probe by completion asks: found once the targets are known. */
#include "script/loading.h"
#include <string.h>

/* USD of a small question and a smaller answer, to compare by. Unknown is dearer than all. */
static int64_t price_of(const struct lun_target *t)
{
    int64_t cost = lun_price_cost(&t->price, &(struct lun_usage){ .known = true, .input = 1000, .output = 1000 });
    return lun_price_known(&t->price) ? cost : INT64_MAX;
}

static const struct lun_target *whom(const struct lun_snapshot *s, const struct lun_provider *p)
{
    const struct lun_target *best = NULL;
    for (int i = 0; i < s->n_targets; i++) {
        const struct lun_target *t = &s->targets[i];
        if (t->provider != p || strchr(t->upstream, '*') || (p->probe.model && strcmp(t->upstream, p->probe.model))) continue;
        if (!best || price_of(t) < price_of(best)) best = t;
    }
    return best;
}

void lun_load_probes(struct lun_loading *l)
{
    struct lun_value *map = lun_value_get(l->root, "providers");
    for (int i = 0; i < l->snapshot->n_providers; i++) {
        struct lun_provider *p = (struct lun_provider *)&l->snapshot->providers[i];
        if (!p->probe.every || !p->probe.completion) continue;
        if ((p->probe.target = whom(l->snapshot, p))) continue;
        struct lun_value *v = lun_value_get(lun_value_get(map, p->name), "probe");
        if (p->probe.model) lun_wrong_in(l, v, "model", "no target of this provider has the model %s", lun_value_quote(p->probe.model, &l->scratch));
        else lun_wrong(l, v, "a completion needs a model, and no target of this provider says one");
    }
}

#include "gateway/kit.h"
#include "base/alloc.h"
#include "gateway/shadow.h"
#include "gateway/translate.h"
#include "wire/tls.h"
#include <stdlib.h>

static bool make_redact(struct lun_kit *k, enum lun_policy_limits limits, char **error)
{
    static const enum lun_vm_cpu cpu[] = { [LUN_BY_SIGNAL] = LUN_CPU_SIGNAL, [LUN_BY_CLOCK] = LUN_CPU_CLOCK, [LUN_BY_COUNT] = LUN_CPU_STEPS };
    const struct lun_file *f = &k->snapshot->capture.redact;
    return !f->text || (k->redact = lun_redact_new(f->name, f->text, f->n, cpu[limits], error));
}

struct lun_kit *lun_kit_new(struct lun_snapshot *snapshot, struct lun_registry *registry, enum lun_policy_limits limits, const struct lun_log *log, char **error)
{
    struct lun_kit *k = lun_zalloc(sizeof *k);
    k->snapshot = lun_snapshot_ref(snapshot);
    if (snapshot->listen_tls.shown) k->tls = lun_tls_new(snapshot->listen_tls.shown);
    if (!(k->policy = lun_policy_open(snapshot, registry, limits, error))
        || !(k->dialects = lun_dialects_new(snapshot, error))
        || !(k->scenarios = lun_scenarios_new(snapshot, NULL, NULL, error)) || !make_redact(k, limits, error)) {
        lun_kit_free(k);
        return NULL;
    }
    lun_policy_log_to(k->policy, log);
    return k;
}

void lun_kit_free(struct lun_kit *k)
{
    if (!k) return;
    lun_policy_close(k->policy);
    lun_dialects_free(k->dialects);
    lun_scenarios_free(k->scenarios);
    lun_redact_free(k->redact);
    lun_tls_free(k->tls);
    lun_snapshot_unref(k->snapshot);
    lun_shadow_unref(k->shadow);
    free(k);
}

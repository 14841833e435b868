#include "gateway/renewal.h"
#include "base/alloc.h"
#include <stdatomic.h>
#include <stdlib.h>

struct lun_renewal {
    struct lun_job job;
    atomic_int holders;                 /* who asked, and the builder: the last one to leave frees it */
    atomic_bool over;
    struct lun_snapshot *snapshot;
    struct lun_registry *registry;
    const struct lun_log *log;
    enum lun_policy_limits limits;
    struct lun_kit *kit;
    char *error;
};

static void leave(struct lun_renewal *r)
{
    if (atomic_fetch_sub(&r->holders, 1) > 1) return;
    lun_kit_free(r->kit);
    lun_snapshot_unref(r->snapshot);
    free(r->error);
    free(r);
}

static void make(struct lun_job *job)
{
    struct lun_renewal *r = (struct lun_renewal *)(void *)job;
    r->kit = lun_kit_new(r->snapshot, r->registry, r->limits, r->log, &r->error);
    atomic_store(&r->over, true);
    leave(r);
}

struct lun_renewal *lun_renewal_new(struct lun_builder *builder, struct lun_snapshot *snapshot, struct lun_registry *registry, enum lun_policy_limits limits, const struct lun_log *log)
{
    struct lun_renewal *r = lun_zalloc(sizeof *r);
    *r = (struct lun_renewal){ .job = { .soon = true, .run = make }, .snapshot = lun_snapshot_ref(snapshot), .registry = registry, .limits = limits, .log = log };
    atomic_init(&r->holders, 2);
    if (!lun_builder_do(builder, &r->job)) make(&r->job);       /* no thread is to be had: then here */
    return r;
}

bool lun_renewal_is_over(const struct lun_renewal *r) { return atomic_load(&r->over); }

struct lun_kit *lun_renewal_take(struct lun_renewal *r, char **error)
{
    struct lun_kit *kit = r->kit;
    *error = r->error;
    r->kit = NULL;
    r->error = NULL;
    return kit;
}

void lun_renewal_drop(struct lun_renewal *r)
{
    if (r) leave(r);
}

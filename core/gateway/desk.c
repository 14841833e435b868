#include "gateway/desk.h"
#include "base/alloc.h"
#include "gateway/carrier_network.h"
#include "gateway/carrier_script.h"
#include "gateway/probe.h"
#include "gateway/rollout.h"
#include <stdlib.h>

struct lun_desk *lun_desk_new(struct lun_upstream *upstream, const struct lun_station *like, struct lun_kit *kit, char **error)
{
    struct lun_carrier *network = lun_carrier_network_new(upstream, kit->snapshot, error);
    if (!network) {
        lun_kit_free(kit);
        return NULL;
    }
    struct lun_desk *d = lun_zalloc(sizeof *d);
    d->kit = kit;
    d->network = network;
    d->script = lun_carrier_scenes_new(like->loop, lun_scenarios_scenes(kit->scenarios));
    d->upstreams = (struct lun_upstreams){ .network = d->network, .script = d->script, .dialects = kit->dialects };
    d->station = *like;
    d->station.snapshot = kit->snapshot;
    d->station.policy = kit->policy;
    d->station.redact = kit->redact;
    d->station.tuning = lun_tuning_ref(like->tuning);
    d->station.keyring = lun_keyring_ref(like->keyring);
    d->station.upstream = &lun_upstreams_port;
    d->station.upstream_self = &d->upstreams;
    d->station.open = 0;
    atomic_fetch_add(&kit->snapshot->desks, 1);
    return d;
}

void lun_desk_probe(struct lun_desk *d, lun_us *keys_due)
{
    struct lun_probe_ways ways = { .loop = d->station.loop, .snapshot = d->station.snapshot, .registry = d->station.registry, .upstreams = &d->upstreams,
                                   .wall = d->station.wall, .wall_self = d->station.wall_self };
    if (keys_due && !d->probe) d->probe = lun_probe_new(&ways, d->station.log, keys_due);
    if (keys_due && !d->rollout) d->rollout = lun_rollout_new(&ways, d->station.canary, d->station.canary_self);
    if (keys_due) return;
    lun_probe_free(d->probe);
    d->probe = NULL;
    lun_rollout_free(d->rollout);
    d->rollout = NULL;
}

bool lun_desk_asks(const struct lun_desk *d) { return lun_probe_asks(d->probe) || lun_rollout_asks(d->rollout); }

void lun_desk_outdated(struct lun_desk *d, struct lun_snapshot *newest)
{
    lun_carrier_network_renew(d->network, newest);
    lun_carrier_script_renew(d->script, newest);
}

struct lun_kit *lun_desk_free(struct lun_desk *d)
{
    struct lun_kit *kit = d->kit;
    lun_probe_free(d->probe);
    lun_rollout_free(d->rollout);
    lun_carrier_network_free(d->network);
    lun_carrier_script_free(d->script);
    lun_tuning_unref(d->station.tuning);
    lun_keyring_unref(d->station.keyring);
    atomic_fetch_sub(&kit->snapshot->desks, 1);
    free(d);
    return kit;
}

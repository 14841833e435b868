/* One version on one worker: its station, with the machines of a kit and the ways to its providers. A worker has one that new requests begin
 * with, and those whose requests are not over yet. On its worker's thread only. */
#ifndef LUN_GATEWAY_DESK_H
#define LUN_GATEWAY_DESK_H
#include "gateway/kit.h"
#include "gateway/station.h"
#include "gateway/upstreams.h"
#include "wire/upstream.h"

struct lun_desk {
    struct lun_desk *next;              /* its worker's */
    struct lun_station station;
    struct lun_kit *kit;
    struct lun_upstreams upstreams;
    struct lun_carrier *network, *script;
    struct lun_probe *probe; struct lun_rollout *rollout;      /* of one desk of the worker that brings keys back and looks after canaries: the current one, or for as
                                   long as something is being asked one before it of the same version; else NULL */
};

/* `like`: what the station is to begin with; loop, registry, log and line are taken from it. The kit is taken, also on failure. NULL: `error`
 * (yours to free) names the provider and what is wrong. */
struct lun_desk *lun_desk_new(struct lun_upstream *, const struct lun_station *like, struct lun_kit *, char **error);

/* Begins to look whether keys are taken again (from *keys_due on: probe.h), and after canaries. NULL: stops to. */
void lun_desk_probe(struct lun_desk *, lun_us *keys_due);
bool lun_desk_asks(const struct lun_desk *);    /* a probe of it is under way */

/* A newer version is there: where it has other secrets for the same provider, attempts that begin from now on use those, also those of requests
 * that began with this version. */
void lun_desk_outdated(struct lun_desk *, struct lun_snapshot *newest);

/* Nothing is open on it any more. Gives the kit back, to be freed wherever there is time. */
struct lun_kit *lun_desk_free(struct lun_desk *);
#endif

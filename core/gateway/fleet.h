/* What several gateways say to each other through a Redis, beside their budgets: how much each may use of the rates that they have together
 * (state/shares.h), and news: short texts by name, of which everybody learns the latest. What runs in Redis is lua/fleet.lua.
 *
 * A thread of its own, one message under way at a time: every LUN_SHARES_POLL, and sooner when somebody lacks a part or there are news. A Redis that is
 * away, or has lost what it knew, changes nothing here: it is told all of it again, and news wait for it. News that two gateways tell of one name at the
 * same time: one of them stays in Redis; whoever hears what is older than what he knows tells it again. */
#ifndef LUN_GATEWAY_FLEET_H
#define LUN_GATEWAY_FLEET_H
#include "base/buf.h"
#include "base/log.h"
#include "state/shares.h"
#include "wire/reactor.h"

struct lun_fleet;
struct lun_fleet_news { const char *name, *text; };
struct lun_fleet_options {          /* borrowed until free */
    struct lun_reactor *home;       /* on whose thread news are heard */
    struct lun_shares *shares;      /* begun by this */
    const struct lun_log *log;
    const char *url, *ca, *prefix;  /* of the Redis; ca may be NULL */
    void *self;
    void (*heard)(void *self, const struct lun_fleet_news *, size_t n);     /* in the order in which Redis learned them; borrowed. Also what is known already */
    void (*caught_up)(void *self);  /* all that Redis knows was heard: now everything that is known here is to be told. After each loss again */
};
/* NULL: *error, yours to free. */
struct lun_fleet *lun_fleet_new(const struct lun_fleet_options *, char **error);
void lun_fleet_stop(struct lun_fleet *);        /* tells what waits, for a second at most, and posts no more to `home`. No worker runs. NULL is fine */
void lun_fleet_free(struct lun_fleet *);        /* stops it; behind the last who posts to `home`, where a post of its own may lie still. NULL is fine */
void lun_fleet_tell(struct lun_fleet *, const char *name, const char *text);    /* copied; any thread. What Redis has already costs nobody anything */
/* Members of a JSON object: "state" (apart, joining, open), "why", "id", "gateways" (alive, with this one), "limits". Any thread. */
void lun_fleet_show(struct lun_fleet *, struct lun_buf *out);
#endif

/* Events for people's other machines: POSTs of JSON to one URL, signed as the Standard Webhooks specification says, tried again with growing pauses
 * (8 times within an hour), by a thread of its own. Whoever has an event never waits for any of that.
 *
 * Events wait in memory, 256 at most; what does not fit is dropped, counted and told in the log. They survive a graceful stop if they can be delivered
 * within it, and no other end of the process. An event may arrive twice, or after a later one: its id is the same each time. */
#ifndef LUN_GATEWAY_WEBHOOK_H
#define LUN_GATEWAY_WEBHOOK_H
#include "base/log.h"
#include "state/metrics.h"

#define LUN_WEBHOOK_WAITING 256

struct lun_webhook;
/* Log and metrics are borrowed until free. */
struct lun_webhook *lun_webhook_new(const struct lun_log *, struct lun_metrics *);
/* Where to, from now on, and what is signed with (NULL: nothing); both copied. A URL of NULL: nobody is told, what waits is dropped. Any thread. */
void lun_webhook_aim(struct lun_webhook *, const char *url, const char *secret);
bool lun_webhook_aimed(struct lun_webhook *);           /* somebody is told. Any thread */
/* `type`: "budget.soft"; `data`: a JSON object. Both copied. Any thread, never blocks. */
void lun_webhook_send(struct lun_webhook *, const char *type, const char *data, lun_us wall);
/* Nothing is sent any more afterwards: what waits is tried once more, all in all for no longer than `grace`. The gateway's thread, once. */
void lun_webhook_stop(struct lun_webhook *, lun_us grace);
void lun_webhook_free(struct lun_webhook *);            /* stopped; NULL is fine */
#endif

/* What people should hear of while a gateway runs: a budget that has passed its soft share or refuses somebody, a provider that is down or back. Each goes into
 * the log (of providers, gateway/probe.c says it), the metrics and to the webhook. Belongs to the gateway's reactor. */
#ifndef LUN_GATEWAY_ALARM_H
#define LUN_GATEWAY_ALARM_H
#include "base/log.h"
#include "gateway/webhook.h"
#include "state/registry.h"
#include "wire/reactor.h"

struct lun_alarm;
/* Watches the registry's money from now on. All is borrowed until free. */
struct lun_alarm *lun_alarm_new(struct lun_reactor *, struct lun_registry *, struct lun_webhook *, const struct lun_log *);
/* That version is in force: its webhook is told, its providers are looked at. The reactor's thread, or before it runs. A reference is taken. */
void lun_alarm_adopt(struct lun_alarm *, struct lun_snapshot *);
void lun_alarm_stop(struct lun_alarm *);    /* watches nothing any more; no worker runs. Tells what it has seen */
void lun_alarm_free(struct lun_alarm *);    /* stopped, and after its reactor. NULL is fine */
#endif

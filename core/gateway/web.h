/* lunette.http over the network: single calls to whatever http(s) address a policy names, but never to link-local addresses, where clouds
 * keep their machines' secrets. Answers are bounded to 1 MiB. One per worker. */
#ifndef LUN_GATEWAY_WEB_H
#define LUN_GATEWAY_WEB_H
#include "gateway/station.h"
#include "wire/upstream.h"

struct lun_web *lun_web_new(struct lun_reactor *, struct lun_upstream *);
void lun_web_free(struct lun_web *);        /* nothing is being fetched; NULL is fine */
#endif

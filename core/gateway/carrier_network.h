/* The carrier over the network: wire/upstream with one site per provider of a snapshot. One per worker and snapshot. */
#ifndef LUN_GATEWAY_CARRIER_NETWORK_H
#define LUN_GATEWAY_CARRIER_NETWORK_H
#include "gateway/carrier.h"
#include "wire/upstream.h"

/* NULL: `error` (yours to free) names the provider and what is wrong. The upstream is borrowed until free. */
struct lun_carrier *lun_carrier_network_new(struct lun_upstream *, const struct lun_snapshot *, char **error);
/* From now on with the secrets of `newest` (keys, headers) where it has others for the same providers. A reference is kept. */
void lun_carrier_network_renew(struct lun_carrier *, struct lun_snapshot *newest);
void lun_carrier_network_free(struct lun_carrier *);       /* nothing is carried any more; NULL is fine */
#endif

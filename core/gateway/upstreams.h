/* The upstream port of a worker: for each call the right carrier and, where the provider speaks another dialect, the translation. One per
 * worker and snapshot. */
#ifndef LUN_GATEWAY_UPSTREAMS_H
#define LUN_GATEWAY_UPSTREAMS_H
#include "gateway/carrier.h"

struct lun_dialects;            /* gateway/translate.h; NULL: none but openai */

struct lun_upstreams {
    const struct lun_carrier *network;      /* for providers with a base_url; NULL: refused */
    const struct lun_carrier *script;       /* for providers with a script; NULL: refused */
    struct lun_dialects *dialects;
};
extern const struct lun_upstream_port lun_upstreams_port;       /* its self: a struct lun_upstreams */
#endif

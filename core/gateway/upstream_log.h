/* An upstream port that asks nobody: each call ends as it is told to, at the moments it is told, with bytes that come to the same kind, status and usage.
 * Of what a model said there is nothing but one letter. */
#ifndef LUN_GATEWAY_UPSTREAM_LOG_H
#define LUN_GATEWAY_UPSTREAM_LOG_H
#include "gateway/logged.h"

struct lun_upstream_log {
    struct lun_loop *loop;
    void (*tell)(void *self, const struct lun_call *, struct lun_ending *); void *self;       /* how that call ends */
};
extern const struct lun_upstream_port lun_upstream_log_port;        /* its self: a struct lun_upstream_log */
#endif

/* The admin listener: GET /metrics, GET /health. Never on the public listener. */
#ifndef LUN_GATEWAY_ADMIN_H
#define LUN_GATEWAY_ADMIN_H
#include "gateway/worker.h"

struct lun_admin;
/* `listener` is taken. `workers` are counted from; all borrowed until free. */
struct lun_admin *lun_admin_new(struct lun_reactor *, int listener, struct lun_snapshot *, struct lun_registry *, struct lun_worker *const *workers,
                                int n_workers, struct lun_writer *);
void lun_admin_free(struct lun_admin *);        /* NULL is fine */
#endif

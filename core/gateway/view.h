/* What the admin listener shows, as JSON. No secret is in it: keys by the name of their variable, no address of a provider. */
#ifndef LUN_GATEWAY_VIEW_H
#define LUN_GATEWAY_VIEW_H
#include "gateway/changes.h"
#include "gateway/shelf.h"

void lun_view_providers(const struct lun_snapshot *, lun_us now, struct lun_buf *out);
void lun_view_cache(const struct lun_snapshot *, struct lun_registry *, struct lun_shelf *, struct lun_buf *out);       /* the shelf: NULL: there is none */
void lun_view_settings(const struct lun_snapshot *, const struct lun_tuning *, struct lun_buf *out);
void lun_view_canary(const struct lun_canary_rule *, lun_us now, struct lun_buf *out);
void lun_view_canaries(const struct lun_snapshot *, lun_us now, struct lun_buf *out);
void lun_view_result(const struct lun_change_result *, struct lun_buf *out);    /* of a reload, rollback or set; also errors */
void lun_view_kept(const struct lun_change_result *, struct lun_buf *out);      /* whether it survives a restart, and warnings: members of an object */
void lun_view_warnings(const struct lun_change_result *, struct lun_buf *out);  /* a member of an object */
void lun_view_errors(struct lun_buf *out, const char *error);                   /* {"errors":["…"]} */
/* One request under way, of the worker whose thread this is; a comma before it unless `out` is empty. */
void lun_view_request(struct lun_request *, lun_us now, struct lun_buf *out);
#endif

/* What the files of the admin interface share: somebody who asks, and answers to him. For admin*.c alone. */
#ifndef LUN_GATEWAY_ADMIN_PARTS_H
#define LUN_GATEWAY_ADMIN_PARTS_H
#include "base/json.h"
#include "gateway/admin.h"

struct lun_admin {
    struct lun_admin_options options;
    struct lun_server *server;
    struct lun_tls *tls;                /* NULL: plain */
    lun_us started;                     /* wall time: what is counted is counted from here */
    struct gather *gathers;
    struct lun_timer wiper;             /* of what was captured and is not to be kept any longer */
    struct listener *listeners; int n_listeners;        /* of GET /admin/events */
    struct lun_timer tick; struct lun_task told;
};
/* Somebody who waits for an answer. The exchange is NULL once he has left; full: he has not yet taken much of what he was sent. */
struct asked { struct lun_exchange *exchange; bool full; };
struct visit {
    struct lun_admin *admin; struct lun_exchange *exchange;
    const struct lun_http_request *head; struct lun_json body;
    struct lun_slice name;              /* what stands where the path has NAME */
};

void lun_admin_reply(struct lun_exchange *, int status, struct lun_buf *body);         /* JSON; freed */
void lun_admin_refuse(struct lun_exchange *, int status, const char *why);
char *lun_admin_who(const struct visit *);      /* "admin ann@host (127.0.0.1)"; yours to free */

char *lun_admin_name(const struct visit *);     /* what the path says in place of NAME, decoded; yours to free. NULL: it cannot be */
void lun_admin_recent(struct visit *);
void lun_admin_request(struct visit *);

void lun_admin_put_report(struct lun_admin *, bool spread, struct lun_buf *out);

void lun_admin_page(struct visit *);

void lun_admin_events(struct visit *);
void lun_admin_events_end(struct lun_admin *);      /* who listens is let go of */
void lun_admin_events_free(struct lun_admin *);     /* its server is gone */

void lun_admin_keys(struct visit *);
void lun_admin_key(struct visit *);
void lun_admin_key_create(struct visit *);
void lun_admin_key_change(struct visit *);
void lun_admin_key_rotate(struct visit *);
void lun_admin_key_revoke(struct visit *);

void lun_admin_shadow(struct visit *);
void lun_admin_shadow_begin(struct visit *);
void lun_admin_shadow_finish(struct visit *);
void lun_admin_shadow_end(struct visit *);
#endif

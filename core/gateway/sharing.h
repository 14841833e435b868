/* The limits of several gateways: the bookkeeper's word with the others, through a Redis (state/member.h says how, lua/draw.lua what runs there). On the
 * bookkeeper's thread alone. */
#ifndef LUN_GATEWAY_SHARING_H
#define LUN_GATEWAY_SHARING_H
#include "base/buf.h"
#include "base/log.h"
#include "state/draw.h"
#include "state/ledger.h"
#include "wire/reactor.h"

struct lun_sharing;
struct lun_sharing_options {        /* borrowed until free */
    struct lun_reactor *reactor;
    struct lun_money *money;
    struct lun_ledger *ledger;      /* with a run of its own begun */
    const struct lun_log *log;
    const char *url, *ca, *prefix;  /* ca may be NULL */
    uint32_t run;
};
/* Everything that the ledger has of accounts that are not over is what this gateway has of them. NULL: *error, yours to free. */
struct lun_sharing *lun_sharing_new(const struct lun_sharing_options *, char **error);
void lun_sharing_free(struct lun_sharing *);

/* Before a turn is written down: what is to be drawn is asked for instead; `want` of those is -1 then. */
void lun_sharing_ask(struct lun_sharing *, struct lun_draw_work *);
/* After it: what this gateway has of its accounts by now, given back or claimed. */
void lun_sharing_tell(struct lun_sharing *, const struct lun_draw_work *);
void lun_sharing_tick(struct lun_sharing *);                    /* every LUN_MEMBER_POLL */
void lun_sharing_taken(struct lun_sharing *, struct lun_span *, int64_t taken);        /* what the ledger says that this gateway has of it */
int64_t lun_sharing_others(const struct lun_span *);            /* what other gateways have of it, as far as is known */
void lun_sharing_look_again(struct lun_sharing *);              /* the ledger was changed by another process: of pieces of windows that memory does not know */
void lun_sharing_ended(struct lun_sharing *, uint32_t account, lun_us ends);           /* what had no end has one */
void lun_sharing_gone(void *self, void *mark);                  /* for lun_draw_sweep */
/* Once in a while: what ended long ago, by this clock and by that of Redis, is forgotten here and there. */
void lun_sharing_forget(struct lun_sharing *, lun_us wall);
void lun_sharing_leave(struct lun_sharing *);                   /* nothing is spent any more, and what was not is given back: the others are told so */
bool lun_sharing_told(const struct lun_sharing *);              /* … and have been, or cannot be */
void lun_sharing_heed(struct lun_sharing *);    /* what an operator has written into the ledger: `found`, `forget` */
void lun_sharing_show(const struct lun_sharing *, struct lun_buf *out);     /* members of a JSON object */
#endif

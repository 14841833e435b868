/* Bodies of requests and answers that are kept in memory for who asks the admin listener why: which, `capture` of the configuration says. What redacts them is
 * asked before anything is kept, and of a stream about the whole answer that its events come to: a name that they tell in pieces is whole there. Bounded in
 * bytes and time; nothing is written to a disk. Any thread. */
#ifndef LUN_GATEWAY_CAPTURED_H
#define LUN_GATEWAY_CAPTURED_H
#include "base/log.h"
#include "gateway/ports.h"
#include "gateway/stream.h"
#include "script/redact.h"

enum { LUN_CAPTURED_TEXT = 256 << 10,       /* bytes of a body, at most */
       LUN_CAPTURED_EVENTS = 1 << 20 };     /* of the events of a stream while it goes on: some 4,000, as they are mostly */

struct lun_captured;
struct lun_captured *lun_captured_new(void);    /* takes memory with the first body */
/* Whether it may come to that: known before the end. */
bool lun_captured_may(const struct lun_question *);
void lun_captured_event(struct lun_trial *, const struct lun_event *);      /* of a request of which it may; events that are too many are let go of */
bool lun_captured_wants(const struct lun_question *, const struct lun_done *);
/* `redact` NULL: where the question's version has none. `now`: of the loop, as everywhere here. */
void lun_captured_put(struct lun_captured *, struct lun_question *, struct lun_redact *, lun_us now, const struct lun_log *);
/* Appends {"request":"…","answers":[{"attempt":1,"body":"…"}]}, with "stream":true where events were put together, and "left_out" in place of a body that is too
 * long for that, or says what nobody knows how to put together; of the request of that id. False: nothing is kept of it, or not any longer. */
bool lun_captured_get(struct lun_captured *, const char *id, lun_us now, struct lun_buf *out);
void lun_captured_wipe(struct lun_captured *, lun_us now);      /* what is not to be kept any longer */
void lun_captured_free(struct lun_captured *);  /* NULL is fine */
#endif

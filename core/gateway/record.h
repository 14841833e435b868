/* What is written down about attempts and requests: metrics, and the request log's one JSON line. */
#ifndef LUN_GATEWAY_RECORD_H
#define LUN_GATEWAY_RECORD_H
#include "base/buf.h"
#include "gateway/ports.h"

void lun_record_trial(struct lun_question *, const struct lun_trial *);     /* at close: metrics of the attempt */
void lun_record_request(struct lun_question *, const struct lun_done *);    /* at the end: metrics of the request */

/* The log line, without the line feed. Message text is in it only where the configuration says so; secrets never. */
void lun_record_line(struct lun_question *, const struct lun_done *, struct lun_buf *out);
#endif

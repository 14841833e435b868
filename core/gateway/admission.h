/* How a request gets in, whoever brings it: by whose key, whether its facts hold, whether that client's own rate has room. And how one that does
 * not is told so. */
#ifndef LUN_GATEWAY_ADMISSION_H
#define LUN_GATEWAY_ADMISSION_H
#include "gateway/recognise.h"
#include "gateway/station.h"

/* Who shows that key (n 0: none is shown). True: *rule is who, NULL on an open gateway. False: `error`, its texts are static. */
bool lun_admission_key(const struct lun_snapshot *, const char *key, size_t n, const struct lun_client_rule **rule, struct lun_error *error);

/* Copies headers (names into lower case, secret ones emptied) and body of a caller in memory into the question, for lun_admission_question. */
struct lun_incoming lun_admission_copy(struct lun_question *, const struct lun_pair *headers, int n_headers, const char *body, size_t n);

/* lun_recognise, and the client's own rate. False: `error`. */
bool lun_admission_question(struct lun_question *, const struct lun_incoming *, struct lun_error *error);

/* Tells a client of a request that was refused before there was a walk: head, the error's body, end; and writes it down. The question is
 * taken; NULL: there is none. `client` NULL: nobody hears it, it is only written down. */
void lun_admission_refuse(struct lun_station *, struct lun_question *, const struct lun_error *, const struct lun_client *client, void *client_self);
#endif

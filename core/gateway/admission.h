/* How a request gets in, whoever brings it: by whose key, whether its facts hold, whether that client's own rate has room. And how one that does
 * not is told so. */
#ifndef LUN_GATEWAY_ADMISSION_H
#define LUN_GATEWAY_ADMISSION_H
#include "gateway/recognise.h"
#include "gateway/station.h"

struct lun_admitted {                       /* stays where it is */
    const struct lun_client_rule *rule;     /* NULL: an open gateway. Into `own`, or the snapshot */
    struct lun_key *key;                    /* that was made at run time; borrowed from the station's ring. NULL: none */
    struct lun_client_rule own;             /* the key's rule with the team of the station's version */
};
/* Who shows that key (n 0: none is shown). False: nobody that may ask: `error`, its texts are static. */
bool lun_admission_key(const struct lun_station *, const char *key, size_t n, struct lun_admitted *, struct lun_error *error);
bool lun_admission_is_open(const struct lun_snapshot *, const struct lun_keyring *);    /* no key is asked for */

/* Copies headers (names into lower case, secret ones emptied) and body of a caller in memory into the question, for lun_admission_question. */
struct lun_incoming lun_admission_copy(struct lun_question *, const struct lun_pair *headers, int n_headers, const char *body, size_t n);

/* lun_recognise, and the client's own rate. False: `error`. */
bool lun_admission_question(struct lun_question *, const struct lun_incoming *, struct lun_error *error);

/* Tells a client of a request that was refused before there was a walk: head, the error's body, end; and writes it down. The question is
 * taken; NULL: there is none. `client` NULL: nobody hears it, it is only written down. */
void lun_admission_refuse(struct lun_station *, struct lun_question *, const struct lun_error *, const struct lun_client *client, void *client_self);
#endif

/* What is asked, and by whom: from a body and headers to the facts of a question. The body is scanned in place, never decoded. */
#ifndef LUN_GATEWAY_RECOGNISE_H
#define LUN_GATEWAY_RECOGNISE_H
#include "gateway/reply.h"

struct lun_incoming {
    enum lun_endpoint endpoint;
    const struct lun_pair *headers; int n_headers;  /* names in lower case; the strings outlive the question (its arena). Those
                                                       that carry secrets are left out */
    const char *body; size_t n;                     /* outlives the question, or lies in question->kept */
    const struct lun_client_rule *client;           /* NULL: an open gateway */
    struct lun_key *key;                            /* not NULL: `client` comes of it, and need not outlive the call */
};

/* Fills in a fresh question. False: `error` says what is wrong with the request (its texts are in the question's arena). */
bool lun_recognise(struct lun_question *, const struct lun_incoming *, struct lun_error *error);

/* Whether that client may ask for that model. NULL: everybody may. */
bool lun_client_may(const struct lun_client_rule *, const char *model);
#endif

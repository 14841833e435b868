/* Who brings a letter to a provider and its answer back: the network (carrier_network), a script (carrier_script), and what else may come.
 * A carrier knows nothing of attempts or dialects: it is given what is to be sent, and an ear for what comes back. */
#ifndef LUN_GATEWAY_CARRIER_H
#define LUN_GATEWAY_CARRIER_H
#include "base/http.h"
#include "gateway/ports.h"

enum { LUN_LETTER_HEADERS = 16 };

struct lun_letter {             /* all of it borrowed until close */
    const char *method, *path;  /* path: after the provider's base URL, "/chat/completions" */
    const struct lun_pair *headers; int n_headers;      /* at most LUN_LETTER_HEADERS, without the key: the carrier puts that in, and its
                                                           bytes nowhere else */
    const char *key_header, *key_prefix;                /* "authorization", "Bearer " */
    const struct lun_slice *body; int n_body;
    bool stream;
};
struct lun_ear {                /* facts, with the meaning of lun_attempt_head, _bytes, _end */
    void (*head)(void *self, const struct lun_answer_head *);
    void (*bytes)(void *self, const char *, size_t);
    void (*end)(void *self, enum lun_kind, const char *detail);
};
struct lun_carrier {
    void *self;
    /* The rules of lun_upstream_port: never NULL, failure is told by `end`, close exactly once. `key`: which of the provider's keys, -1: none. */
    void *(*send)(void *self, const struct lun_provider *, int key, lun_us connect_timeout, const struct lun_letter *, const struct lun_ear *, void *ear_self);
    void (*pause)(void *carried, bool);
    void (*close)(void *carried);
    bool (*unsent)(void *carried);      /* NULL: not known */
};
#endif

/* One POST of a small JSON body, for a thread that may wait: nothing here belongs to a reactor. https is verified against the system's certificates,
 * redirects are not followed, no proxy of the environment is used, what is answered is not kept. */
#ifndef LUN_WIRE_POST_H
#define LUN_WIRE_POST_H
#include "base/clock.h"
#include "state/snapshot.h"
#include <stdatomic.h>

struct lun_post_out {
    const char *url;                    /* http:// or https:// */
    const struct lun_pair *headers; int n_headers;      /* beside content-type and user-agent */
    const char *body; size_t n;
    lun_us timeout;                     /* of all of it */
    const _Atomic lun_us *until;        /* lun_clock_now() at which it is given up all the same; may be moved meanwhile */
};
/* The status of the answer, or 0 and `why`: in general words, static, without the URL or any part of it. */
int lun_post_send(const struct lun_post_out *, const char **why);
#endif

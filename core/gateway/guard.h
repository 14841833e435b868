/* Who may use the admin interface: decided from the head of a request alone. Pure: no sockets, no state.
 *
 *   token    With one, every path but /health and / (the dashboard, which shows nothing by itself) needs `authorization: Bearer TOKEN` (RFC 6750 2.1),
 *            else 401. It is compared in constant time.
 *   host     Host must be `localhost`, an address of loopback (127.0.0.0/8, ::1), the address that the connection came in at, or one of `hosts`, with any
 *            port; on a unix socket it may be absent. Else 403, token or not: a page in a browser may have had its own name resolved to our address
 *            (DNS rebinding).
 *   origin   `origin` (RFC 6454), if there, must have the scheme http or https and the host and port of Host; `null` is none. `sec-fetch-site`
 *            (W3C Fetch Metadata) must not be cross-site or same-site. Else 403: it is another page's request, token or not.
 *   body     One that is there must be `content-type: application/json`, else 415: a form of another page can send all that browsers send
 *            without asking first, but not that. */
#ifndef LUN_GATEWAY_GUARD_H
#define LUN_GATEWAY_GUARD_H
#include "base/http.h"

struct lun_guard {
    const char *token;          /* borrowed; NULL: none is asked for. "" lets nobody in */
    bool is_unix;               /* the request came through a unix socket */
    const char *here;           /* the address it came in at; NULL: none is known */
    const char *const *hosts; int n_hosts;      /* further names, in any case of their letters */
};

/* 0: may. Else the status to refuse with (401, 403 or 415), and *why a sentence for people: static, holds nothing of the request nor the token.
 * A 401 wants the header `www-authenticate: Bearer`. Any thread. */
int lun_guard_check(const struct lun_guard *, const struct lun_http_request *, const char **why);
#endif

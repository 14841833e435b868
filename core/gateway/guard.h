/* Who may use the admin interface: decided from the head of a request alone. Pure: no sockets, no state.
 *
 *   token    With one, every path but /health needs `authorization: Bearer TOKEN` (RFC 6750 2.1), else 401. It is compared in constant time.
 *   host     Without one (the interface is then on loopback or a unix socket) Host must be an address of loopback (127.0.0.0/8, ::1) or
 *            `localhost`, with any port; on a unix socket it may be absent. Else 403: a page in a browser on this machine may have had its own
 *            name resolved to 127.0.0.1 (DNS rebinding). With a token, which such a page does not have, any Host will do.
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
};

/* 0: may. Else the status to refuse with (401, 403 or 415), and *why a sentence for people: static, holds nothing of the request nor the token.
 * A 401 wants the header `www-authenticate: Bearer`. Any thread. */
int lun_guard_check(const struct lun_guard *, const struct lun_http_request *, const char **why);
#endif

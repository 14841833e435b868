/* The side towards the providers: HTTP calls on a reactor, over sockets of our own or libcurl's (multi_socket). It knows nothing of models, prices or
 * retries.
 *
 * One lun_upstream per reactor; everything here belongs to that reactor's thread, and every function is called between
 * lun_reactor_enter and lun_reactor_leave (where the walk runs anyway). A call that was started is the caller's until
 * lun_upstream_close, and tells what happens to it by the functions of lun_upstream_events:
 *
 *     head? bytes* end
 *
 * None of them is ever called from inside lun_upstream_call; `bytes` and `end` may be called from inside lun_upstream_pause. They may be
 * called from inside libcurl, so they write down and wake, as any event callback; lun_upstream_pause and lun_upstream_close are
 * safe inside them all the same (what libcurl refuses there is done a moment later).
 *
 * What is promised of each call (HTTP/1.1: RFC 9112; HTTP/2: RFC 9113; TLS 1.2 or later, certificate and host name verified):
 * - All but GET and HEAD leaves at most once: a connection that dies is `reset`, never a second copy. A GET or HEAD that found its kept
 *   connection closed is sent again on a fresh one.
 * - No redirect, cookie, netrc, environment proxy, HTTP/0.9, `Expect: 100-continue`, decompression (`Accept-Encoding: identity` is asked;
 *   a Content-Encoding sent all the same is passed on undecoded).
 * - `end(LUN_KIND_OK)` means a whole answer of whatever status. Less than its Content-Length, or chunks without the last one, is `cut`.
 * - Only the connect clock (name, TCP, TLS, proxy) is kept here. First byte, idle and total are the walk's, as is the size of an answer; a head
 *   (with the interim ones before it and the trailers behind) is bounded here: 64 KiB, 256 lines.
 * - `detail` is made of our own words, host names, ports and system messages: never a header, a path, a proxy's password. */
#ifndef LUN_WIRE_UPSTREAM_H
#define LUN_WIRE_UPSTREAM_H
#include "base/clock.h"
#include "base/http.h"
#include "state/outcome.h"
#include "state/snapshot.h"
#include "wire/reactor.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct lun_upstream;            /* one per worker */
struct lun_upstream_site;       /* what all calls to one provider have in common, on one worker */
struct lun_upstream_call;

struct lun_upstream_options {
    int calls;                  /* at most so many calls in flight; 0: 10,000. Beyond: `pool_full` */
};

/* NULL when libcurl cannot be used (not the OpenSSL flavour, no memory). The reactor is borrowed until lun_upstream_free. */
struct lun_upstream *lun_upstream_new(struct lun_reactor *, const struct lun_upstream_options *);   /* options NULL: defaults */
/* A listening socket of this process to which no guarded site may lead (its admin interface); before there are calls. */
void lun_upstream_bar(struct lun_upstream *, int listener);
void lun_upstream_free(struct lun_upstream *);      /* all calls are closed and all sites freed before; closes the connections */

/* How calls get there (`transport`). DIRECT: HTTP/1.1, plain or in TLS, by sockets of our own. CURL: libcurl, which also speaks HTTP/2 and through proxies.
 * AUTO: direct where that can do it. What is promised of a call is the same. */
struct lun_upstream_site_spec {
    const char *base_url;       /* http:// or https://, no user, query or fragment; a path's last slash does not count */
    const char *ca_file;        /* PEM, trusted alone; NULL: the system's */
    const char *proxy;          /* URL, may carry a password; NULL: none, whatever the environment says */
    enum lun_transport transport;       /* DIRECT is refused with http2 or a proxy, or for a guarded site */
    bool http2;                 /* offer it by ALPN (https only); otherwise HTTP/1.1 alone */
    bool guarded;               /* no connection is made to an address of base/address.h, nor to what is barred, whatever name led there; without a proxy alone */
    lun_us connect_timeout;     /* for calls that say none; 0: 10 s */
    int connections;            /* calls in flight at once, over all who count in the same place; 0: 512. With http2 100 times as many, as one connection carries 100. Idle ones
                                   kept for reuse are not counted */
    const struct lun_pair *headers; size_t headers_n;    /* sent with every call; each replaces one of its name in the request */
};

/* Copies the spec and reads the CA file (once per worker for all sites that name it, again when it has changed). NULL with a sentence in
 * *error (yours to free) when it cannot be: not a URL, CA file not readable, a header that is none. Kept connections are
 * shared among sites with equal settings, so a site made anew at a reload finds them warm. */
struct lun_upstream_site *lun_upstream_site_new(struct lun_upstream *, const struct lun_upstream_site_spec *, char **error);
void lun_upstream_site_free(struct lun_upstream_site *);        /* calls still open keep what they need of it until their close. NULL is fine */
int lun_upstream_site_busy(const struct lun_upstream_site *);   /* calls in flight */

struct lun_upstream_request {
    const char *method;         /* "POST", "GET", …: letters */
    const char *path;           /* after the base URL's own: begins with '/', may carry a query, printable ASCII without blanks; copied */
    const struct lun_pair *headers; size_t headers_n;    /* copied, and wiped at close. What is the connection's own (host,
                                   content-length, transfer-encoding, connection, accept-encoding, expect, te, trailer, upgrade,
                                   keep-alive, http2-settings, proxy-…) is left out */
    const struct lun_slice *body; size_t body_n;           /* sent one after the other; array and bytes borrowed until close */
    lun_us connect_timeout;     /* 0: the site's */
    atomic_int *busy;           /* calls in flight to this provider, counted with those of other workers; borrowed until close. NULL: the site's own count */
    bool stream;                /* expected to last: keeps apart from short calls, which would pay for each stream beside them */
};

struct lun_upstream_events {
    /* The answer's head, once, interim ones (1xx) and those of a proxy left out. Names in lower case. Borrowed until return. */
    void (*head)(void *self, int status, const struct lun_pair *, size_t n);
    void (*bytes)(void *self, const char *, size_t n);              /* of the body, unchunked; borrowed until return; never while paused */
    /* Once and last, but never after close. Any of: ok, connect_refused (also unreachable, or refused by the proxy), dns, tls,
     * connect_timeout, pool_full (too many in flight, or no descriptor left), reset (the connection died before a whole head), cut (it died
     * after it), bad_answer (not HTTP, or a head too large), bad_request (a header, method or path that cannot be sent), cancelled (HTTP/2
     * only: paused, and more than 256 KiB came meanwhile: the slow client is dropped, as pausing would stall its neighbours).
     * `detail` is a sentence for people, borrowed until close; never NULL. */
    void (*end)(void *self, enum lun_kind, const char *detail);
};

/* Never NULL. Failure, pool_full too, is told later by `end`. `events` is borrowed until close. */
struct lun_upstream_call *lun_upstream_call(struct lun_upstream *, struct lun_upstream_site *, const struct lun_upstream_request *,
                                            const struct lun_upstream_events *events, void *self);

/* Holds or lets go the body's bytes; the last one said counts; harmless after `end`. Unpaused, a call over HTTP/1.1 tells at most
 * 32 KiB (and one read) before the loop drains, so that a walk can pause it in time. Paused, over HTTP/1.1 the connection is no longer read (at most
 * one read of 16 KiB waits inside libcurl). Over HTTP/2 bytes wait here, 256 KiB at most. An `end` behind bytes that wait, waits too. */
void lun_upstream_pause(struct lun_upstream_call *, bool);

/* Exactly once per call, at any time, ended or not. Nothing is told after it. In mid-transfer it closes the connection (HTTP/1.1) or the stream
 * (HTTP/2) at once, and never blocks, not even during a name look-up. */
void lun_upstream_close(struct lun_upstream_call *);

/* What is known of a call; points in time are those of the loop's turn they were seen in, 0: has not happened. */
struct lun_upstream_times {
    lun_us started;             /* lun_upstream_call */
    lun_us connected;           /* a connection, new or kept, was ready for the request */
    lun_us sent;                /* the last byte of the body was handed to the connection */
    lun_us first_byte;          /* of the answer's head (an interim one too) */
    lun_us ended;
    uint64_t bytes;             /* of the body, so far */
    bool left;                  /* at `end`: the whole request had been given to the kernel. false: the provider cannot have acted on it */
    bool reused;                /* at `end`: a kept connection */
    int version;                /* 10, 11, 20; 0 before the head */
};
const struct lun_upstream_times *lun_upstream_call_times(const struct lun_upstream_call *);    /* borrowed until close */

struct lun_upstream_stats {
    uint64_t wakes;             /* socket events since the beginning */
    int calls;                  /* in flight */
    int sockets;                /* open towards providers, idle ones too */
    int lanes;                  /* libcurl multi handles */
};
struct lun_upstream_stats lun_upstream_stats(const struct lun_upstream *);
#endif

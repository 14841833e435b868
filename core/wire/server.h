/* The client side of the gateway's bytes: connections that ask over HTTP/1.1 and the exchanges on them. One server is one
 * listening socket and its connections on one reactor; all its functions are for that reactor's thread, between enter and
 * leave (handler callbacks and base/loop tasks are). It knows nothing of what is asked.
 *
 * An exchange is one request and its answer. A connection has one at a time; requests sent ahead wait and are served in
 * order. The life of an exchange:
 *
 *     judge?     the head is whole, the body is not: may refuse before it is sent
 *     request    the body is whole too. From now on the handler has the exchange, until it calls lun_exchange_end, or is told
 *                gone, whichever is first
 *     full*      too much (or little enough again) is waiting to be sent to the client
 *     gone?      the client left
 *
 * Any lun_exchange_* function may be called from inside these callbacks, and later from anything that runs on the thread.
 * They never call the handler back, never refuse, never fail: bytes are queued and written once, at the end of the turn.
 *
 * What the server answers by itself (400 408 413 431 503) goes through `refuse`, so that all errors have one form; after such
 * an answer it closes, in a way that lets the client read it (RFC 9112 9.6). */
#ifndef LUN_WIRE_SERVER_H
#define LUN_WIRE_SERVER_H
#include "base/buf.h"
#include "base/http.h"
#include "wire/reactor.h"
#include <stdatomic.h>

struct lun_exchange;
struct lun_server;
struct lun_pair;                    /* state/snapshot.h: name and value, C strings */
struct lun_tls;                     /* wire/tls.h */

struct lun_server_handler {
    void *self;
    /* A whole request. Head and body are borrowed until lun_exchange_end or gone; see lun_exchange_keep for longer. */
    void (*request)(void *self, struct lun_exchange *, const struct lun_http_request *, const char *body, size_t n);
    /* The head of a request whose body is still to come (when the body came along with the head, `request` is called at
     * once). True: go on. False: it has answered, with lun_exchange_head to lun_exchange_end; the body is not read, the
     * connection closes, `request` does not follow. What it looks at is borrowed until it returns. NULL: always true. */
    bool (*judge)(void *self, struct lun_exchange *, const struct lun_http_request *);
    /* To answer with an error; `why` is a sentence for people without secrets (static). Must call lun_exchange_head,
     * _bytes and _end before it returns. NULL: {"error":{"message":…,"type":"invalid_request_error","param":null,"code":…}} */
    void (*refuse)(void *self, struct lun_exchange *, int status, const char *why);
    /* The client closed or reset its side before the end, or took too little for clocks.stall. The last word about this exchange:
     * it must not be touched again. `user` is what lun_exchange_set_user said last, or NULL. May be NULL itself. */
    void (*gone)(void *user);
    /* True: more than LUN_SERVER_HIGH bytes wait for the client, hold the source (what comes nevertheless is taken). False: less
     * than LUN_SERVER_LOW are left. Told when it changes. May be NULL. */
    void (*full)(void *user, bool full);
};

/* What a client that does not read costs is this, a burst from upstream behind it, and what both double as they grow: below 256 KiB (make stress shows it). */
enum { LUN_SERVER_HIGH = 64 << 10, LUN_SERVER_LOW = 32 << 10, LUN_SERVER_AHEAD = 64 << 10 /* of requests sent ahead */,
       LUN_SERVER_STEP = 16 << 10 /* a client that takes less in clocks.stall is one that only holds what it was given */ };

/* What all servers of a process share: bounds, and how near to them it is. Zero-initialise, set the bounds (at any time), outlive the
 * servers. A bound of 0 is none. Thread-safe. */
struct lun_server_shared {
    _Atomic int64_t buffered_max;   /* bytes that connections hold beyond 16 KiB each; past it requests get 503 */
    atomic_int connections_max;     /* past it a connection is told 503 and closed */
    _Atomic int64_t buffered;
    _Atomic int connections;
};

struct lun_server_clocks { lun_us head, body, body_total, idle, stall, linger, start; };
/* head        from the first byte of a request (or a new connection) to the end of its head; then 408, silence if no byte came
 * body        without a byte of the body; then 408       body_total  all of the body; then 408
 * idle        between requests; then closed              stall       for LUN_SERVER_STEP of what waits for the client, or all of it; then reset
 * linger      after an answer that closes, for the client to read it and close
 * start       while it drains: from a new connection to the first byte of its first request; then closed */
extern const struct lun_server_clocks lun_server_clocks;    /* 10, 30, 300, 75, 60, 5, 1 s */

struct lun_server_options {         /* copied; zero-initialised: defaults, no bounds */
    struct lun_server_shared *shared;       /* NULL: one of its own */
    int64_t body;                           /* longest body; 413; 0: 32 MiB */
    const struct lun_http_limits *limits;   /* borrowed; NULL: lun_http_limits */
    struct lun_server_clocks clocks;        /* a 0 stands for the default */
    struct lun_tls *tls;                    /* borrowed; NULL: plain. A request without TLS is answered 400 where there is one */
};

/*  what a server counts: name, since it began (but `open`, which is now), what */
#define LUN_SERVER_COUNTS(X) \
    X(open,        "connections open") \
    X(accepted,    "connections accepted") \
    X(requests,    "whole requests handed to the handler") \
    X(gone,        "exchanges whose client left before the end") \
    X(refused_400, "not understood") \
    X(refused_408, "too slow") \
    X(refused_413, "body too large") \
    X(refused_431, "head too large") \
    X(refused_503, "no room: connections or buffered bytes") \
    X(starved,     "times the system had no descriptor left; accepting paused")
struct lun_server_counts {          /* written by the server's thread, may be read by any */
#define X(name, text) _Atomic uint64_t name;
    LUN_SERVER_COUNTS(X)
#undef X
};

/* `listener` (see wire/listen.h) is taken: closed when accepting stops. The handler's table is copied. */
struct lun_server *lun_server_new(struct lun_reactor *, int listener, const struct lun_server_handler *,
                                  const struct lun_server_options *);
void lun_server_listen(struct lun_server *, int listener);                      /* on one more, likewise taken */
const struct lun_server_counts *lun_server_counts(const struct lun_server *);   /* borrowed until free */
void lun_server_set_body(struct lun_server *, int64_t longest);                 /* counts from now on */
void lun_server_set_stall(struct lun_server *, lun_us stall);                   /* clocks.stall, from now on */
void lun_server_set_tls(struct lun_server *, struct lun_tls *);                 /* for connections from now on; borrowed, until the next; NULL: plain */
void lun_server_stop_accepting(struct lun_server *);        /* closes the listener; nothing else changes */
/* Stops accepting, closes idle connections; busy ones finish what they began, with `Connection: close`, and new ones are waited for a moment (clocks.start):
 * their first request is on its way. `done` (may be NULL)
 * is called once, in a later turn, when no connection is left; it may free the server. */
void lun_server_drain(struct lun_server *, void (*done)(void *), void *arg);
/* Closes everything at once; handlers of open exchanges are told gone. Not from inside a callback of this server's handler. */
void lun_server_free(struct lun_server *);

/* ---- exchanges ---- */

enum { LUN_PEER_TEXT = 46 };        /* of the longest address, with its end */

void lun_exchange_set_user(struct lun_exchange *, void *user);      /* what gone and full are told */

/* Takes the memory that the slices of head and body lie in, so that they stay good after the exchange until lun_buf_free(out).
 * `out` is an empty buffer. In `request` or later, at most once. The array of headers is not part of it (copy that). */
void lun_exchange_keep(struct lun_exchange *, struct lun_buf *out);

enum { LUN_LENGTH_UNKNOWN = -1 };
/* The head of the answer: once, first. `length`: of the body, or LUN_LENGTH_UNKNOWN for a stream (chunked; until the connection closes
 * with a client of HTTP/1.0). Connection, Content-Length, Transfer-Encoding and Date are the server's own and skipped if
 * given, so is a name that is no token; control characters in values become blanks. */
void lun_exchange_head(struct lun_exchange *, int status, const struct lun_pair *headers, int n, int64_t length);
void lun_exchange_bytes(struct lun_exchange *, const char *, size_t);       /* copied; all of them, also while full. HEAD: dropped */
/* Fields behind the last chunk; only where the client said `TE: trailers` and the answer is chunked, else dropped. Before end. */
void lun_exchange_trailers(struct lun_exchange *, const struct lun_pair *, int n);
bool lun_exchange_takes_trailers(const struct lun_exchange *);      /* whether it is so here */
/* The last call. clean: the body was whole; the connection is kept if both sides want it. Not clean: what was said is
 * sent, then the connection closes without the last chunk, so that the client sees a cut body (so too if fewer bytes were
 * said than `length`, or no head). More bytes than `length` are never sent. */
void lun_exchange_end(struct lun_exchange *, bool clean);

const char *lun_exchange_peer(struct lun_exchange *);       /* "127.0.0.1", "::1", "unix"; IPv4 also where mapped. Until end or gone */
/* The same of our own end: the address that the client came to. NULL: the system does not say. */
const char *lun_exchange_here(struct lun_exchange *, char out[LUN_PEER_TEXT]);
lun_us lun_exchange_started(const struct lun_exchange *);   /* loop time at which its first byte was there to be served */
#endif

/* One connection, as server.c (which accepts and counts), connection.c (which reads, writes, and ends), intake.c (which makes
 * requests of bytes and hands them over) and exchange.c (which says the answer) share it. Not for others: they have wire/server.h.
 *
 * Everything a connection does happens in its turn, a task of base/loop: events and exchange functions write down what
 * happened and wake it. So the handler is never called from inside a function that it called. */
#ifndef LUN_WIRE_CONNECTION_H
#define LUN_WIRE_CONNECTION_H
#include "base/http_chunked.h"
#include "wire/server.h"
#include "wire/tls.h"
#include <event2/event_struct.h>
#include <netinet/in.h>

enum lun_phase {
    LUN_PHASE_HEAD,         /* waits for a request, or reads its head */
    LUN_PHASE_BODY,         /* reads its body */
    LUN_PHASE_OPEN,         /* an exchange is being answered */
    LUN_PHASE_CLOSING,      /* all is said; what is left is sent */
    LUN_PHASE_LINGER,       /* all is sent, our side is shut; waits for the client to read it and close */
    LUN_PHASE_DEAD,         /* freed at the end of this turn */
};

union lun_address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; };

struct lun_exchange {
    void *user;
    lun_us started;
    bool handed;            /* the handler has it: it is told full and gone */
    bool head;              /* the answer's head was said */
    bool mute;              /* the answer has no body, whatever is said (HEAD, 204, 304) */
    bool chunked, full, wants_trailers, asked_head, old /* HTTP/1.0 */;
    int64_t left;           /* bytes of the body yet to be said; -1: a stream */
    struct lun_buf trailers;
};

struct lun_connection {
    struct lun_connection *next, **link;
    struct lun_server *server;
    int fd;
    struct lun_tls_link *tls;       /* NULL: plain */
    struct event readable, writable;
    struct lun_task turn;
    struct lun_timer timer;
    enum lun_phase phase;
    bool turning, reading, first, begun, close, fin, broken, rang, held, more /* lies ready in TLS, unread; no event will tell */,
         greeted /* the first byte was there */, misplaced /* and was not that of TLS */;
    lun_us since, got, sent_at;     /* phase began; last byte came; last byte went (or the queue ceased to be empty) */
    struct lun_http_reader reader;
    struct lun_chunks chunks;
    size_t head_n, body_n;          /* of the request in `in` */
    struct lun_buf in, ahead, out;  /* request being read or served; what came behind it; the answer */
    size_t sent;                    /* of out */
    uint64_t given;                 /* to the system, since it began */
    lun_us behind; int64_t had;     /* not all of out could be sent: since when it has time for a step, and what it had taken by then; LUN_NEVER: all was */
    int64_t charged;                /* to shared->buffered */
    size_t drained;                 /* thrown away while lingering */
    struct lun_exchange x;
    union lun_address from;
    char peer[LUN_PEER_TEXT];
};

enum { LUN_SCRATCH = 64 << 10, LUN_SPARES = 64, LUN_SPARE_ROOM = 8 << 10 /* of each, at most */ };

struct lun_server {
    struct lun_reactor *reactor;
    struct lun_server_handler handler;
    struct lun_server_options options;      /* all filled in */
    struct lun_server_shared own;
    struct lun_server_counts counts;
    struct lun_listener { struct lun_listener *next; int fd; struct event acceptable; } *listeners;         /* NULL: does not accept any more */
    bool paused, draining;
    struct lun_timer resume;
    struct lun_connection *connections;
    void (*done)(void *); void *done_arg;   /* of drain */
    struct lun_task drained;
    time_t date_of; char date[64];
    char *scratch;                          /* LUN_SCRATCH bytes to read into */
    struct lun_buf spare[LUN_SPARES]; int n_spare;      /* what connections lend each other: an idle one has none */
};

void lun_count(_Atomic uint64_t *counter, int by);      /* by the one thread that writes it */
lun_us lun_server_now(const struct lun_server *);
const char *lun_server_date(struct lun_server *);       /* for the Date field */
void lun_server_lost(struct lun_server *);              /* a connection was freed */
void lun_server_lend(struct lun_server *, struct lun_buf *);        /* to one that has no room at all: some, if there is any to spare */
void lun_server_take_back(struct lun_server *, struct lun_buf *);   /* instead of lun_buf_free */

struct lun_connection *lun_connection_new(struct lun_server *, int fd, const void *from, size_t from_n);
void lun_connection_wake(struct lun_connection *);
size_t lun_connection_waiting(const struct lun_connection *);   /* bytes not sent yet */
struct lun_buf *lun_connection_out(struct lun_connection *);    /* to add to */
void lun_connection_enter(struct lun_connection *, enum lun_phase);
void lun_connection_serve(struct lun_connection *);     /* all requests that are there, as fast as the answers are taken */
void lun_connection_refuse(struct lun_connection *, int status, const char *why);
void lun_connection_over(struct lun_connection *);      /* the exchange has said its last */
void lun_connection_free(struct lun_connection *);      /* at once; an open exchange is told gone */
#endif

/* What the files upstream*.c share; nobody else includes it.
 *
 *     upstream ── trusts (a CA file, its TLS sessions, DNS cache) ── lanes (a libcurl multi handle each, bounded number of calls)
 *        │                                                            │
 *        ├─ sockets, by descriptor ───────────────────────────────────┤
 *        └─ sites ── calls (an easy handle each, kept with its site's options) ─┘
 *
 * Two rules of libcurl shape it. Nothing of a multi handle may be called from inside one of its callbacks: `inside` counts how
 * deep we are, and what is refused there is left to the call's task. And a socket told as CURL_POLL_REMOVE is not closed, only unwatched. */
#ifndef LUN_WIRE_UPSTREAM_PARTS_H
#define LUN_WIRE_UPSTREAM_PARTS_H
#include "base/buf.h"
#include "wire/upstream.h"
#include <curl/curl.h>
#include <event2/event_struct.h>
#include <openssl/types.h>
#include <sys/stat.h>

enum {
    LANE_CALLS = 64,            /* libcurl walks its connections to a host one by one: 27 ns each */
    LANE_KEPT = 256,            /* connections of a lane, busy ones included: well above LANE_CALLS, or libcurl closes idle ones */
    HEAD_BYTES = 64 * 1024,
    HEAD_LINES = 256,
    HELD_BYTES = 256 * 1024,
    BURST_BYTES = 32 * 1024,   /* told in one turn: libcurl reads 100 times 16 KiB at once, and nobody could pause it meanwhile */
    SPARE_CALLS = 64,           /* kept for reuse, per site */
    H2_STREAMS = 100,           /* of one connection */
};

struct trust {                  /* whom to believe: one per CA file (and version of it) */
    struct trust *next;
    char *ca_file;
    struct stat file;
    X509_STORE *store;
    CURLSH *share;
    int users;                  /* sites and lanes */
};

struct lane {
    struct lane *next;
    struct lun_upstream *upstream;
    struct trust *trust;
    bool stream, http2, guarded;
    CURLM *multi;
    int calls;
    struct lun_task kick;       /* curl_multi_socket_action(TIMEOUT), once for all calls added in this turn */
    struct event again;         /* the same in the next turn: libcurl has more to do, others have too */
    struct lun_timer timer;     /* libcurl's own */
    struct lun_timer idle;      /* closes a lane nobody uses */
};

struct sock {
    struct event event;
    struct lane *lane;          /* NULL: not watched yet */
    struct lun_upstream_call *call;     /* that uses it now; NULL: idle. Means nothing with http2 */
    short wanted, armed;        /* EV_READ | EV_WRITE: as libcurl said last; as libevent has it */
    bool ours;                  /* opened by us. libcurl's resolver has others */
    bool settled;               /* and connected: from now on its close is told. (libcurl closes one that it gives up before that without a word, and
                                   says REMOVE later, when its number may be that of another thread's socket) */
};

struct lun_upstream {
    struct lun_reactor *reactor;
    int limit, calls;
    int inside;
    struct trust *trusts;
    struct lane *lanes;
    struct sock **socks; int room;
    bool keeps;                 /* libcurl's handles may be used more than once */
    int open, blind;            /* blind: calls that hold bytes back on a socket we do not know */
    uint64_t wakes, turn;
    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } barred;       /* any.sa_family 0: nothing is */
};

struct lun_upstream_site {
    struct lun_upstream *upstream;
    struct trust *trust;
    char *base, *host, *proxy;  /* base without a last slash; host with its port, for people */
    bool http2, guarded, freed;
    lun_us connect_timeout;
    int connections, busy, open;
    char **lines; int lines_n;  /* its own headers, as they are sent */
    struct { char *path; CURLU *url; } urls[16]; int urls_n;
    struct lun_upstream_call *spare; int spare_n;
};

struct head {                   /* the answer's head, as it comes */
    struct lun_buf text;
    struct { size_t name, value; } lines[HEAD_LINES]; int n;    /* offsets into text */
    size_t total;               /* of all heads and trailers of this call */
    int status, version;
    bool begun, whole, framed;  /* framed: its body has an end of its own */
};

struct lun_upstream_call {
    struct lun_upstream *upstream;
    struct lun_upstream_site *site;
    struct lun_upstream_call *next;     /* among the spare */
    const struct lun_upstream_events *events;
    void *self;
    CURL *easy;
    struct lane *lane;          /* NULL: in no multi handle */
    struct lun_task news;       /* what could not be done at once */
    int fd;                     /* last watched for it; -1: none */
    int opened;                 /* sockets, for the connection it is waiting for */
    bool ready;                 /* its connection stands */

    atomic_int *busy;           /* where it is counted with those of other workers; NULL: nowhere */
    bool counted;               /* there */
    bool stream, bodiless;      /* bodiless: HEAD */
    bool once;                  /* may leave only once */
    int begun;                  /* times it was about to leave */
    struct lun_buf fields; struct curl_slist *list; int list_room;   /* its headers: text, and nodes into it */
    CURLU *url;                 /* only if not the site's */
    const struct lun_slice *body; size_t body_n, slice, at;
    struct lun_buf flat;        /* a small body in one piece */
    uint64_t total;             /* bytes of the body */

    struct head head;
    bool barred;                /* it was led to an address that it may not ask */
    bool paused, stuck, blind;  /* stuck: libcurl holds bytes until we let go */
    uint64_t turn; size_t burst;        /* bytes told in that turn */
    struct lun_buf held;        /* HTTP/2: we do */
    bool ended, told, closed, needs_seal, sealed;
    enum lun_kind kind;         /* LUN_KIND_COUNT: libcurl's result decides */
    char detail[200];
    char error[CURL_ERROR_SIZE];        /* libcurl's own words: read, never shown */
    struct lun_upstream_times times;
};

/* upstream_trust.c */
struct trust *trust_get(struct lun_upstream *, const char *ca_file, char **error);     /* NULL and a sentence; give back with trust_drop */
void trust_drop(struct lun_upstream *, struct trust *);
void trust_set(struct trust *, CURL *);
void trust_seal(struct lun_upstream_call *);    /* over TLS: an answer that ends with its connection is whole only if TLS says so */

/* upstream_socket.c */
curl_socket_t socket_open(void *call, curlsocktype, struct curl_sockaddr *);           /* the four are libcurl's callbacks */
int socket_close(void *upstream, curl_socket_t);
int socket_watch(CURL *, curl_socket_t, int what, void *lane, void *sock);
void socket_settle(struct lun_upstream_call *);                /* its connection stands */
void socket_give_up(struct lun_upstream_call *);        /* before the call leaves libcurl: its socket is not watched any more, unless it is settled */
void socket_leave(struct lun_upstream_call *);                 /* its call is over: idle from now on */
void socket_forget(struct lun_upstream *, int fd);             /* if it is known */

/* upstream_lane.c */
void lane_add(struct lun_upstream_call *);                     /* to the first lane with room, or a new one */
void lane_remove(struct lun_upstream_call *);                  /* from its lane, if it is in one */
void lane_act(struct lane *, curl_socket_t, int mask);
void lane_again(struct lane *);                                /* acts in the next turn */
void lane_free(struct lane *);

/* upstream_site.c */
CURLU *site_url(struct lun_upstream_site *, const char *path, bool *yours);    /* NULL: not a path. Yours to clean up, or the site's */
struct lun_upstream_call *site_call(struct lun_upstream_site *);        /* a call with its easy handle set up */
void site_spare(struct lun_upstream_call *);                   /* and back */

/* upstream_request.c */
bool header_good(const struct lun_pair *);          /* it can be sent */
void header_add(struct lun_buf *, const struct lun_pair *);  /* as libcurl wants it, with its NUL */
const char *request_set(struct lun_upstream_call *, const struct lun_upstream_request *);     /* NULL, or what is wrong with it */
size_t request_read(char *, size_t, size_t, void *call);
void request_wipe(struct lun_upstream_call *);                /* what belongs to this request, secrets first */
void request_free(struct lun_upstream_call *);

/* upstream_head.c */
const char *head_line(struct head *, char *, size_t);          /* NULL, or what is wrong; `whole` once the final head is complete. The line is
                                                                  lent and may be changed */
size_t head_list(const struct head *, struct lun_pair out[HEAD_LINES]);
bool head_open(const struct head *);                           /* only the connection's end ends its body (RFC 9112, 6.3) */
void head_reset(struct head *);

/* upstream_end.c */
void end_explain(struct lun_upstream_call *, CURLcode);        /* sets kind (unless it has one), detail, and what libcurl knows of times */

/* upstream.c */
void call_end(struct lun_upstream_call *, CURLcode);           /* out of its lane by now; tells, or will */
size_t call_header(char *, size_t, size_t, void *call);
size_t call_bytes(char *, size_t, size_t, void *call);
int call_leaves(void *call, char *, char *, int, int);
#endif

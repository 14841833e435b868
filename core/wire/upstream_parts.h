/* What the files upstream*.c share; nobody else includes it.
 *
 *     upstream ─┬─ trusts (a CA file)
 *               └─ sites ── calls ── a transport: libcurl, or direct
 *
 *     libcurl: trusts ── lanes (a multi handle each, bounded number of calls) ── sockets, by descriptor; a call has an easy handle
 *     direct:  pools (where sites with equal settings lead) ── links (connections); a call has the link that it uses
 *
 * `inside` counts how deep we are in what tells a call's events: what is closed there is let go by the call's task. Two rules of libcurl
 * shape its side: nothing of a multi handle may be called from inside one of its callbacks, and a socket told as CURL_POLL_REMOVE is not
 * closed, only unwatched. */
#ifndef LUN_WIRE_UPSTREAM_PARTS_H
#define LUN_WIRE_UPSTREAM_PARTS_H
#include "base/buf.h"
#include "base/http_chunked.h"
#include "wire/resolver.h"
#include "wire/tls.h"
#include "wire/upstream.h"
#include <curl/curl.h>
#include <event2/event_struct.h>
#include <openssl/types.h>
#include <sys/stat.h>

#define USER_AGENT "lunette/0.1"

enum {
    LANE_CALLS = 64,            /* libcurl walks its connections to a host one by one: 27 ns each */
    LANE_KEPT = 256,            /* connections of a lane, busy ones included: well above LANE_CALLS, or libcurl closes idle ones */
    HEAD_BYTES = 64 * 1024,
    HEAD_LINES = 256,
    HELD_BYTES = 256 * 1024,
    BURST_BYTES = 32 * 1024,   /* told in one turn: libcurl reads 100 times 16 KiB at once, and nobody could pause it meanwhile */
    FIELDS = 128,               /* headers of a request, and their bytes */
    FIELDS_BYTES = 64 * 1024,
    SPARE_CALLS = 64,           /* kept for reuse, per site */
    IDLE_LINKS = 512,           /* kept for reuse, per pool */
    READ_BYTES = 32 * 1024,     /* of one read of a link */
    H2_STREAMS = 100,           /* of one connection */
};

struct trust {                  /* whom to believe: one per CA file (and version of it) */
    struct trust *next;
    char *ca_file;
    struct stat file;
    X509_STORE *store;          /* NULL: the system's, which takes 21 ms to read, before anybody speaks TLS */
    CURLSH *share;
    struct lun_tls *tls;        /* for links; made when first needed */
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

struct link {                   /* a connection to a pool's server */
    struct pool *pool;
    struct lun_upstream_call *call;     /* that uses it; NULL: idle */
    struct link *next, **at;    /* among the idle, the one used last first */
    int fd;
    struct lun_tls_link *tls;   /* NULL: plain */
    struct event readable, writable;
    bool reading, writing;      /* armed */
    bool shaking;               /* in the TLS handshake */
    bool used;                  /* it has carried an answer */
    int mute;                   /* errno of a write that failed: nothing is written any more, but an answer may be there */
    struct lun_buf in;          /* read and not told: a part of a head, what came while its call was paused */
    lun_us since;               /* idle */
};

struct pool {                   /* links to one server: for all sites with the same address and the same trust */
    struct pool *next;
    struct lun_upstream *upstream;
    struct trust *trust;        /* NULL: plain HTTP */
    char *host, *port;          /* host without brackets */
    int users;                  /* sites */
    struct link *idle; int idle_n;
    struct lun_timer sweep;     /* closes what was idle too long, and a pool that nobody uses */
    struct ssl_session_st *session;       /* the last one, for the next connection */
    struct lun_addresses *addresses; lun_us fresh_until;
    struct lun_lookup *lookup;     /* being looked up */
    struct lun_upstream_call *waiting;  /* for it */
};

struct transport {              /* how calls of a site get there */
    void (*make)(struct lun_upstream_call *), (*free)(struct lun_upstream_call *);      /* what it keeps with a call for reuse */
    const char *(*set)(struct lun_upstream_call *, const struct lun_upstream_request *);        /* NULL, or what is wrong with it */
    void (*begin)(struct lun_upstream_call *);
    void (*resume)(struct lun_upstream_call *);         /* it is not paused any more, or has waited for the next turn */
    void (*leave)(struct lun_upstream_call *);          /* ends it, wherever it stands; ended already: nothing */
    void (*clear)(struct lun_upstream_call *);          /* of what belongs to this request, secrets first */
};

struct lun_upstream {
    struct lun_reactor *reactor;
    int limit, calls;
    int inside;
    struct trust *trusts;
    struct pool *pools;
    struct lun_resolver *resolver;   /* NULL: none was asked for */
    char *scratch;              /* READ_BYTES, for links */
    struct lane *lanes;
    struct sock **socks; int room;
    bool keeps;                 /* libcurl's handles may be used more than once */
    int open, blind;            /* blind: calls that hold bytes back on a socket we do not know */
    uint64_t wakes, turn;
    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } barred;       /* any.sa_family 0: nothing is */
};

struct lun_upstream_site {
    struct lun_upstream *upstream;
    const struct transport *by;
    struct pool *pool;          /* direct */
    char *path; struct lun_buf fixed;   /* direct: the base URL's path; the lines that every head has */
    struct trust *trust;
    char *base, *host, *proxy;  /* base without a last slash; host with its port, for people */
    char answered[200]; size_t answered_n;      /* the detail of a call that has ended well */
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
    bool begun, whole;
    bool chunked, closes;       /* so it says; closes: `Connection: close` */
    int64_t length;             /* -1: it says none */
};

struct lun_upstream_call {
    struct lun_upstream *upstream;
    struct lun_upstream_site *site;
    struct lun_upstream_call *next;     /* among the spare */
    const struct lun_upstream_events *events;
    void *self;
    struct lun_task news;       /* what could not be done at once */

    atomic_int *busy;           /* where it is counted with those of other workers; NULL: nowhere */
    bool counted, under_way;    /* there; and in its upstream and its site */
    bool stream, bodiless;      /* bodiless: HEAD */
    bool once;                  /* may leave only once */
    struct lun_buf fields;      /* its headers, as its transport wants them */
    const struct lun_slice *body; size_t body_n, slice, at;
    uint64_t total;             /* bytes of the body */

    struct head head;
    bool paused, ended, told, closed;
    enum lun_kind kind;         /* LUN_KIND_COUNT: not known yet */
    char detail[200];
    struct lun_upstream_times times;

    union {
        struct {                /* libcurl */
            CURL *easy;
            struct lane *lane;          /* NULL: in no multi handle */
            int fd;                     /* last watched for it; -1: none */
            int opened;                 /* sockets, for the connection it is waiting for */
            bool ready;                 /* its connection stands */
            int begun;                  /* times it was about to leave */
            struct curl_slist *list; int list_room;     /* nodes into `fields` */
            CURLU *url;                 /* only if not the site's */
            struct lun_buf flat;        /* a small body in one piece */
            bool barred;                /* it was led to an address that it may not ask */
            bool stuck, blind;          /* stuck: libcurl holds bytes until we let go */
            uint64_t turn; size_t burst;        /* bytes told in that turn */
            struct lun_buf held;        /* HTTP/2: we do */
            bool needs_seal, sealed;
            char error[CURL_ERROR_SIZE];        /* libcurl's own words: read, never shown */
        };
        struct {                /* direct */
            struct link *link;
            struct dial *dial;          /* while it connects */
            bool waits;                 /* for its server's name */
            struct lun_upstream_call *behind;   /* of those who wait for the same name */
            struct lun_timer clock; lun_us patience;    /* of connecting */
            size_t sent;                /* of `fields`, which go out first */
            struct lun_buf out;         /* TLS: head and body as they are written */
            bool keeps;                 /* the answer lets its connection live */
            enum lun_http_framing framing; bool open;   /* open: its end is the connection's */
            uint64_t left; struct lun_chunks chunks;
        } direct;
    };
};

/* upstream_trust.c */
struct trust *trust_get(struct lun_upstream *, const char *ca_file, char **error);     /* NULL and a sentence; give back with trust_drop */
void trust_drop(struct lun_upstream *, struct trust *);
X509_STORE *trust_store(struct trust *);        /* reads it if it was not read yet */
struct lun_tls *trust_tls(struct trust *);
void trust_set(struct trust *, CURL *);
void trust_seal(struct lun_upstream_call *);    /* over TLS: an answer that ends with its connection is whole only if TLS says so */

/* upstream_curl_socket.c */
curl_socket_t socket_open(void *call, curlsocktype, struct curl_sockaddr *);           /* the four are libcurl's callbacks */
int socket_close(void *upstream, curl_socket_t);
int socket_watch(CURL *, curl_socket_t, int what, void *lane, void *sock);
void socket_settle(struct lun_upstream_call *);                /* its connection stands */
void socket_give_up(struct lun_upstream_call *);        /* before the call leaves libcurl: its socket is not watched any more, unless it is settled */
void socket_leave(struct lun_upstream_call *);                 /* its call is over: idle from now on */
void socket_forget(struct lun_upstream *, int fd);             /* if it is known */

/* upstream_curl_lane.c */
void lane_add(struct lun_upstream_call *);                     /* to the first lane with room, or a new one */
void lane_remove(struct lun_upstream_call *);                  /* from its lane, if it is in one */
void lane_act(struct lane *, curl_socket_t, int mask);
void lane_again(struct lane *);                                /* acts in the next turn */
void lane_free(struct lane *);

/* upstream_site.c */
struct lun_upstream_call *site_call(struct lun_upstream_site *);        /* a call, with what its transport keeps */
void site_spare(struct lun_upstream_call *);                   /* and back */

/* upstream_request.c */
bool header_good(const struct lun_pair *);          /* it can be sent */
bool header_own(const struct lun_pair *);           /* it is the connection's, and not for the request to say */
bool path_good(const char *);
/* The time of the loop's turn: a call's times are made of it. */
static inline lun_us call_now(const struct lun_upstream_call *c) { return c->upstream->reactor->loop.now; }
/* Room for all of its headers and so many bytes besides: where they move, what they leave behind, keys among it, is not wiped. */
void fields_reserve(struct lun_upstream_call *, const struct lun_upstream_request *, size_t besides);
bool headers_name(const struct lun_pair *, size_t n, const char *name);
bool site_names(const struct lun_upstream_site *, const char *name);    /* among its own headers */
const char *method_set(struct lun_upstream_call *, const char *method); /* NULL, or what is wrong with it */
void body_set(struct lun_upstream_call *, const struct lun_upstream_request *);
void body_skip(struct lun_upstream_call *, size_t n);          /* so much of it has been given away */

/* upstream_head.c */
const char *head_line(struct head *, char *, size_t);          /* NULL, or what is wrong; `whole` once the final head is complete. The line is
                                                                  lent and may be changed */
size_t head_list(const struct head *, struct lun_pair out[HEAD_LINES]);
bool head_open(const struct head *);                           /* only the connection's end ends its body (RFC 9112, 6.3) */
void head_reset(struct head *);

/* upstream_end.c */
void end_say(struct lun_upstream_call *, enum lun_kind, const char *what, const char *why);    /* kind and detail; why: the system's word, or NULL */
void end_good(struct lun_upstream_call *);             /* ok, as most calls end */
void end_bad(struct lun_upstream_call *, const char *what);    /* bad_answer */

/* upstream.c */
void call_tell_head(struct lun_upstream_call *);
void call_tell_bytes(struct lun_upstream_call *, const char *, size_t);
void call_tell_end(struct lun_upstream_call *);        /* once, and not after close */
void call_wake(struct lun_upstream_call *);
void call_ended(struct lun_upstream_call *);           /* writes down that it has: told now or later */
void call_enter(struct lun_upstream_call *);           /* is under way from now on, and counted */
void call_over(struct lun_upstream_call *);            /* is not */

/* upstream_curl.c */
extern const struct transport transport_curl;
void curl_make(struct lun_upstream_call *);            /* its easy handle */
void curl_end(struct lun_upstream_call *, CURLcode);   /* out of its lane by now; tells, or will */
int curl_leaves(void *call, char *, char *, int, int);
size_t curl_header(char *, size_t, size_t, void *call);
size_t curl_bytes(char *, size_t, size_t, void *call);

/* upstream_curl_request.c */
CURLU *curl_url_of(struct lun_upstream_site *, const char *path, bool *yours);  /* NULL: not a path. Yours to clean up, or the site's */
void header_add(struct lun_buf *, const struct lun_pair *);    /* as libcurl wants it, with its NUL */
const char *curl_set(struct lun_upstream_call *, const struct lun_upstream_request *);
size_t curl_read(char *, size_t, size_t, void *call);
void curl_clear(struct lun_upstream_call *);

/* upstream_curl_end.c */
void curl_explain(struct lun_upstream_call *, CURLcode);       /* sets kind (unless it has one), detail, and what libcurl knows of times */

/* upstream_direct.c */
extern const struct transport transport_direct;
void direct_ready(struct lun_upstream_call *, struct link *);  /* it has a connection */
void direct_end(struct lun_upstream_call *);           /* its kind is known: lets its connection go, tells */
void direct_later(struct lun_upstream_call *);         /* the same, told later */
void direct_news(struct link *);                       /* its call's connection can be read */
void direct_room(struct link *);                       /* or written to */

/* upstream_direct_request.c */
void direct_site(struct lun_upstream_site *, const char *host);        /* what all its heads have in common. host: as Host says it */
const char *direct_set(struct lun_upstream_call *, const struct lun_upstream_request *);
void direct_rewind(struct lun_upstream_call *);        /* nothing of it has been written */
void direct_write(struct lun_upstream_call *);         /* as much as the link takes; where that fails, see its `mute` */
bool direct_written(const struct lun_upstream_call *); /* all of it */
void direct_clear(struct lun_upstream_call *);

/* upstream_direct_answer.c */
void answer_begin(struct lun_upstream_call *);
bool answer_wanted(const struct lun_upstream_call *);  /* more of it, for now */
size_t answer_take(struct lun_upstream_call *, char *, size_t);        /* tells of these bytes, which may be changed, until its call is paused, closed or at
                                                                          its end (its kind is known then); returns how many are done with */
void answer_over(struct lun_upstream_call *, int error);       /* no more will come: 0, or an errno */

/* upstream_dial.c */
void dial_begin(struct lun_upstream_call *);           /* a link for it: direct_ready, or its end */
void dial_end(struct lun_upstream_call *);             /* not wanted any more */

/* upstream_link.c */
struct link *link_new(struct pool *, int fd);          /* a connected socket, idle */
void link_close(struct link *);
void link_use(struct link *, struct lun_upstream_call *);
ssize_t link_read(struct link *, char *, size_t);      /* as recv */
void link_watch(struct link *);                        /* for what its call needs next */
void link_rest(struct link *);                         /* is not read for now */
bool link_disturbed(struct link *);                     /* idle, and no good any more */
bool link_sealed(const struct link *);                 /* its end is no accident: a FIN, in TLS behind close_notify */

/* upstream_pool.c */
struct pool *pool_get(struct lun_upstream *, const char *host, const char *port, struct trust *);      /* trust NULL: plain HTTP. Give back with pool_drop */
void pool_drop(struct pool *);
void pools_free(struct lun_upstream *);
struct link *pool_take(struct pool *);                 /* an idle link, or NULL */
void pool_keep(struct link *);
void pool_forget_session(struct pool *);
#endif

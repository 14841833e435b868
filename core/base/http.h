/* HTTP/1.1 request heads, read strictly: RFC 9112 (messages), RFC 9110 (fields), RFC 3986 (targets). Pure: no sockets, no
 * clocks. What two readers could understand in two ways is refused, because behind that sits request smuggling.
 *
 * The reader is incremental: it is given the same bytes again with more behind them, and remembers how far it has looked,
 * so that a head which comes byte by byte costs as much as one that comes at once. What it finds are slices of those bytes;
 * they are made when the head is whole, so the bytes may move (grow) until then.
 *
 * Where the RFCs leave a choice, this one is made:
 *   - one empty line (CRLF) before the request line is skipped (RFC 9112 2.2), a second one is refused;
 *   - lines end with CRLF and nothing else; a bare LF or CR, NUL and every other control character but TAB in a value, is refused;
 *   - folded lines (obs-fold), blanks before a colon and before the first field are refused;
 *   - `Content-Length` once, digits only; `Transfer-Encoding` once, exactly `chunked`, not with Content-Length, not in 1.0;
 *   - `Host` exactly once in 1.1 and at most once in 1.0, never empty, a host and a port as RFC 3986 has them (without commas:
 *     that is two fields joined into one); it must agree with the target where that is an absolute URI;
 *   - targets: `/path?query`, `http(s)://host/path?query`, and `*` for OPTIONS; every character as in RFC 3986, no fragment,
 *     no user. CONNECT is refused. Dots in paths are not resolved, nothing is decoded;
 *   - versions 1.1 and 1.0, others are refused with 400;
 *   - an expectation other than 100-continue is refused with 400; in 1.0 the field is ignored. */
#ifndef LUN_BASE_HTTP_H
#define LUN_BASE_HTTP_H
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct lun_slice { const char *at; size_t n; };     /* bytes of somebody else; not ended by a NUL; `at` may be NULL when n is 0 */

static inline bool lun_slice_is(struct lun_slice s, const char *text)          /* equal */
{
    size_t n = strlen(text);
    return s.n == n && (!n || !memcmp(s.at, text, n));
}
static inline bool lun_slice_is_like(struct lun_slice s, const char *text)     /* equal but for upper and lower case of ASCII letters */
{
    size_t n = strlen(text);
    return s.n == n && (!n || !strncasecmp(s.at, text, n));
}

struct lun_http_limits {    /* 431 when passed; each in bytes, line ends included */
    size_t line;            /* the request line */
    size_t header;          /* one field line */
    size_t head;            /* all of it */
    int headers;            /* how many fields */
};
extern const struct lun_http_limits lun_http_limits;            /* 8 KiB, 16 KiB, 64 KiB, 100 */

struct lun_http_header { struct lun_slice name, value; };       /* the name as it was sent; the value without blanks around it */

enum lun_http_framing { LUN_HTTP_NO_BODY, LUN_HTTP_LENGTH, LUN_HTTP_CHUNKED };

struct lun_http_request {
    struct lun_slice method;        /* a token; upper and lower case differ */
    struct lun_slice target;        /* as it was sent */
    struct lun_slice path;          /* undecoded, without the query; begins with a slash, or is "*" */
    struct lun_slice query;         /* what follows the first `?`, which is not part of it */
    struct lun_slice host;          /* of the target if absolute, else of Host; with the port as it was sent; empty: none (1.0) */
    int minor;                      /* HTTP/1.minor: 0 or 1 */
    enum lun_http_framing framing;
    int64_t length;                 /* of the body; 0 when there is none, -1 when chunked */
    bool keep_alive;                /* what the client wants: 1.1 unless `close`, 1.0 only with `keep-alive` */
    bool expect_continue;           /* it waits for 100 before it sends the body */
    bool wants_trailers;            /* TE: trailers */
    struct lun_http_header *headers; int n_headers;     /* in their order; the array belongs to the reader */
};

/* The first field of that name, case being nothing; NULL if there is none. O(fields). */
const struct lun_slice *lun_http_find(const struct lun_http_request *, const char *name);

enum lun_http_result { LUN_HTTP_MORE, LUN_HTTP_DONE, LUN_HTTP_BAD };

struct lun_http_reader {            /* zero-initialise; one per connection */
    uintptr_t base;                 /* where the bytes lay last time */
    size_t line, seen;              /* start of the line that is being looked at; how far it was looked through */
    int lines;                      /* whole ones so far; 0: the request has not begun (but perhaps with an empty line) */
    bool blank;                     /* an empty line was skipped */
    int status;                     /* after BAD: 400 or 431 */
    const char *why;                /* after BAD: for people, static, holds nothing the client sent */
    struct lun_http_request request;    /* after DONE; its slices are good while the bytes stay where they are */
    int room;                       /* of request.headers */
    unsigned known;                 /* which of the fields that have a meaning here were seen */
};

/* Looks at the first `n` bytes, of which those given before are unchanged. LUN_HTTP_MORE: wants more of them. LUN_HTTP_DONE:
 * reader->request is filled in, and the head is the first *used bytes. LUN_HTTP_BAD: refuse with reader->status and close;
 * nothing behind can be trusted. The answer depends on the bytes alone, not on how they were cut. `limits` NULL: the ones
 * above. After DONE or BAD comes lun_http_reset. */
enum lun_http_result lun_http_read(struct lun_http_reader *, const char *bytes, size_t n, const struct lun_http_limits *limits,
                                   size_t *used);
/* The bytes lie elsewhere now, or may: makes the slices of reader->request anew. Needed after DONE only; before it, lun_http_read sees
 * to it. */
void lun_http_moved(struct lun_http_reader *, const char *bytes);
void lun_http_reset(struct lun_http_reader *);      /* for the next request; keeps the array of headers */
void lun_http_free(struct lun_http_reader *);       /* zero-initialised again */

/* Undoes percent-encoding into `out` (room for `raw.n` bytes and a NUL, which is written). False: a `%` without two hex
 * digits, or %00. *n: bytes written. `+` stays `+`. */
bool lun_http_unescape(struct lun_slice raw, char *out, size_t *n);
/* Appends `text` percent-encoded: all but letters and digits of ASCII and what is in `plain`. */
void lun_http_escape(struct lun_buf *out, const char *text, const char *plain);

/* A field's name in lower case, in place (ASCII alone); returns it. */
char *lun_http_lower(char *name);

/* ---- for writing ---- */

const char *lun_http_reason(int status);            /* "Not Found"; "Status" for one that has no name here. Static */
bool lun_http_is_token(const char *text, size_t n);         /* may be a method or a field's name; empty is not */
bool lun_http_is_value(const char *text, size_t n);         /* holds no CR, LF, NUL or other control character but TAB */

/* Whether a header may hold somebody's secret: it is shown to no policy, log or provider. */
bool lun_header_is_secret(const char *lower_case_name);
#endif

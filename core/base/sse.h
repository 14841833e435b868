/* An event stream (text/event-stream) taken apart as it comes, after the grammar of the WHATWG HTML standard, "Server-sent
 * events": lines end in CR, LF or CRLF, a line of nothing ends an event, a byte order mark may stand at the very start.
 *
 * The bytes stay with the caller, in a buffer that grows at its end and is freed from its start; the parser keeps only
 * numbers, so the buffer may move between calls. Each event is told with how many raw bytes it took, so that it can be
 * passed on exactly as it came. Time is linear in the bytes however they are cut into calls. No I/O, no text decoding (the
 * bytes may be ill-formed UTF-8), one owner at a time.
 *
 *     struct lun_sse sse = { .limit = 1 << 20 };
 *     …bytes were read to the end of `buf`…
 *     while ((kind = lun_sse_next(&sse, buf.at + done, buf.n - done, &event)) == LUN_SSE_EVENT || kind == LUN_SSE_QUIET) {
 *         …use event; pass on event.raw bytes from buf.at + done…
 *         done += event.raw;
 *     }
 */
#ifndef LUN_BASE_SSE_H
#define LUN_BASE_SSE_H
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lun_sse_kind {
    LUN_SSE_MORE,       /* no whole event here yet */
    LUN_SSE_EVENT,      /* one with data, which a client would be told */
    LUN_SSE_QUIET,      /* a block without a data line, which a client would not be told: comments, a lone id or retry, or
                           an empty line too many */
    LUN_SSE_TOO_LONG,   /* more than `limit` bytes, an LF behind the last CR not counted; the stream is of no use any more */
};

/* Pointers are borrowed, until the next call with this parser or until the bytes move, whichever is first; none ends with
 * a NUL. */
struct lun_sse_event {
    size_t raw;                         /* bytes it took, from the first, with the empty line that ended it */
    const char *data; size_t data_n;    /* data lines joined by LF; in place if it was one line. NULL: LUN_SSE_QUIET */
    const char *type; size_t type_n;    /* the `event` field; length 0: none, which means "message" */
    const char *id; size_t id_n;        /* NULL: no id here. Length 0: the id is taken back */
    int64_t retry_ms;                   /* -1: not said */
};

struct lun_sse_span { size_t at, n; bool there; };

/* Set `limit` (bytes of one event, raw), leave the rest zero. */
struct lun_sse {
    size_t limit;
    /* The parser's own. Offsets count from the first byte of the event now being read. */
    size_t looked, line, data_lines;
    struct lun_sse_span data, type, id;
    int64_t retry_ms;
    bool begun, after_cr, late;         /* late: it begins with the LF of the one before */
    struct lun_buf joined;
};

/* `bytes` is the first byte that has not been told yet: at the first call the start of the stream, later what follows the
 * `raw` bytes of the last event. `n` is how many there are, never fewer than the time before with the same start. An event
 * that ends in CR is told at once; an LF that comes after it is counted to the next one. */
enum lun_sse_kind lun_sse_next(struct lun_sse *, const char *bytes, size_t n, struct lun_sse_event *);

/* When the stream has ended: what it would be if an empty line had followed. The standard drops such an event; a provider
 * that forgets the last line end is met often enough that the caller may want to look. LUN_SSE_MORE: nothing is left. */
enum lun_sse_kind lun_sse_end(struct lun_sse *, const char *bytes, size_t n, struct lun_sse_event *);

/* Whether the event's type is this; "message" is also the type of events that name none. */
bool lun_sse_is(const struct lun_sse_event *, const char *type);

void lun_sse_free(struct lun_sse *);    /* as new; the limit stays */
#endif

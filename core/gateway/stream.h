/* Events out of a provider's bytes, for chat and completions in OpenAI's form: what each is, how it goes to the client, and what the stream
 * has come to (finish reasons, usage). Pure: no request, no clock, no I/O.
 *
 * The bytes stay with the caller, as with base/sse. Events pass to the client exactly as they came, but for usage that the client did not
 * ask for (`hide_usage`): an event that is nothing else is swallowed, from others the member is cut out by its offsets. */
#ifndef LUN_GATEWAY_STREAM_H
#define LUN_GATEWAY_STREAM_H
#include "base/sse.h"
#include "state/outcome.h"
#include "state/usage.h"

enum { LUN_STREAM_EVENT_MAX = 8 << 20, LUN_STREAM_CHOICES = 1024 };

enum lun_event_kind {
    LUN_EVENT_NONE,         /* no whole event there */
    LUN_EVENT_PING,         /* nothing a client would be told: a comment, an empty event, `event: ping` */
    LUN_EVENT_GOOD,         /* a JSON object that is no error */
    LUN_EVENT_HIDDEN,       /* usage alone, not asked for */
    LUN_EVENT_DONE,         /* data: [DONE] */
    LUN_EVENT_ERROR,        /* {"error": …} or `event: error`; `failure` says which */
    LUN_EVENT_BAD,          /* not JSON, not an object, or too long; `failure` is bad_answer */
};
struct lun_event {
    enum lun_event_kind kind;
    const char *bytes; size_t n;    /* what goes to the client; borrowed until the next take or until the bytes move */
    enum lun_kind failure;
    const char *detail;             /* for people, or NULL; borrowed like bytes */
};

/* Set limit, choices and hide_usage, leave the rest zero; lun_stream_free at the end. */
struct lun_stream {
    size_t limit;                   /* bytes of one event */
    int choices;                    /* how many the request asked for */
    bool hide_usage;
    /* What it has come to, as of the events that were taken. */
    bool done;                      /* [DONE] was taken */
    bool finished;                  /* all choices asked for and all seen had a finish_reason */
    struct lun_usage usage;         /* the last that was told */
    unsigned services;              /* what its events say they are billed as (state/usage.h); 0: nothing */
    char finish_reason[64];         /* of choice 0; "": none yet */
    unsigned finishes;              /* LUN_FINISH_… of gateway/answer.h, of all choices that have ended */
    uint64_t text_bytes;            /* of all choices: as many as the model wrote, for an estimate */
    /* Its own. */
    struct lun_sse sse;
    struct { enum lun_event_kind kind; size_t raw, skip; bool made; enum lun_kind failure; char detail[256];
             bool has_usage; struct lun_usage usage; unsigned services; char finish_reason[64]; uint64_t text_bytes; unsigned finishes; } next;
    struct lun_buf out;             /* an event that had to be put together anew */
    int seen_n, finished_n;         /* choices */
    unsigned char seen[LUN_STREAM_CHOICES / 8], ended[LUN_STREAM_CHOICES / 8];
};

/* Looks at the event that begins at `bytes`; again and again the same one, until it is taken. Bytes may be moved within the event (when
 * usage is cut out of it), never outside. `at_end`: no more will come, so that an event whose empty line is missing is one as well, if it
 * is whole otherwise. */
struct lun_event lun_stream_peek(struct lun_stream *, char *bytes, size_t n, bool at_end);

/* Counts the event that was looked at last; returns how many raw bytes it took. */
size_t lun_stream_take(struct lun_stream *);

/* Complete: it cannot fail any more, however it ends. */
static inline bool lun_stream_complete(const struct lun_stream *s) { return s->done || s->finished; }

/* Whether these bytes are the beginning of something else than an event stream: JSON or HTML, which a provider sends under a wrong type. */
bool lun_stream_alien(const char *bytes, size_t n);

void lun_stream_free(struct lun_stream *);
#endif

/* What a provider's answer comes to: a whole one or an error. Pure: bytes in, an outcome and words out. Everything that it says of a
 * provider's own words is cut to a length, on one line, and never has a key of ours in it. */
#ifndef LUN_GATEWAY_ANSWER_H
#define LUN_GATEWAY_ANSWER_H
#include "base/arena.h"
#include "base/json.h"
#include "state/outcome.h"
#include "state/price.h"
#include "state/snapshot.h"

enum { LUN_ANSWER_KEPT = 256 << 10 };       /* bytes of an answer that policies and messages see */

/* What the finish_reasons of the choices say of an answer that is all there. */
enum { LUN_FINISH_LENGTH = 1,       /* one ends because it has the length that it may have */
       LUN_FINISH_BROKEN = 2 };     /* one was ended by a filter or an error, or has no end */
unsigned lun_answer_finish(struct lun_json finish_reason);

struct lun_reading {
    enum lun_kind kind;
    const char *detail;             /* for people; NULL: the kind says it all. In the arena */
    struct lun_usage usage;
    const char *finish_reason;      /* of the first choice; NULL: none. In the arena */
    uint64_t text_bytes;            /* of what the model wrote, all choices */
    unsigned finishes;              /* LUN_FINISH_…, of all choices */
};

/* An answer that arrived whole, of any status. 2xx and a JSON object without `error` is ok; an error in a 2xx answer counts by its own code. */
void lun_answer_read(int status, const char *body, size_t n, struct lun_arena *, struct lun_reading *);

/* Which kind an error is. `body`: the JSON object it came in, or {0}. `status` 0 (or 2xx): there is none that tells, as in a stream. */
enum lun_kind lun_answer_failure(int status, struct lun_json body);

/* The provider's own words about an error, cleaned, at most `room` - 1 bytes and a NUL. "": it gave none that may be shown (what it says
 * about a key is never shown). Returns the length. */
size_t lun_answer_words(enum lun_kind, struct lun_json body, char *out, size_t room);

/* One choice, of an answer or of an event, in one pass. text_bytes: contents, reasoning, arguments of tool calls. finish_reason {0}: none. `index` is the one
 * that stands there, otherwise as it was. */
struct lun_choice { uint64_t text_bytes; struct lun_json finish_reason; int64_t index; };
void lun_choice_read(struct lun_json_each *members, struct lun_choice *);

/* Overwrites every occurrence of a key with stars, in place; and the beginning of one that the text ends with (it may have been cut there),
 * from 8 characters on. */
void lun_answer_scrub(char *text, size_t n, const struct lun_secret *keys, int n_keys);
#endif

/* Runs a policy's hooks once more over the lines of a request log that hold what they read then (log.replay, script/tape.h): fed with that, each has to come to
 * the same decision, byte for byte. There is no network and no clock, and instructions are counted, so it is the same from run to run. */
#ifndef LUN_GATEWAY_VERIFY_H
#define LUN_GATEWAY_VERIFY_H
#include "gateway/log_reader.h"

/*  name, said for people where there are any, how it is said. `same` and `decisions` stand in the last line */
#define LUN_VERIFY_COUNTS(X) \
    X(requests,      true,  "requests") \
    X(recorded,      true,  "of them with what their hooks read") \
    X(other_version, true,  "of them decided by another version of the policy or the configuration than this one, with which they are compared all the same") \
    X(needs_text,    true,  "of them need what was said, and it is not in the log (log.text): only what was decided before could be compared") \
    X(too_large,     true,  "of them read more than a line of the log holds: only what was decided before could be compared") \
    X(stopped,       true,  "decisions are not compared: a hook's limit of CPU time or memory had stopped it when it was live, or one before it") \
    X(failed,        true,  "decisions come of a hook that fails") \
    X(different,     true,  "requests differ") \
    X(decisions,     false, "decisions of hooks in what could be compared") \
    X(same,          false, "of these, those that are the same; after the first of a request that is not, the others are not compared")
struct lun_verify_counts {
#define X(name, ...) int64_t name;
    LUN_VERIFY_COUNTS(X)
#undef X
};

/* The first difference, or the first hook that fails; `line` 0: there was none. */
struct lun_verify_first { int64_t line; char id[64], hook[16], read[256], log[400], now[700], where[128]; };

struct lun_verify;
/* Takes the snapshot. NULL: its policy does not load, and *error (yours to free) says why. */
struct lun_verify *lun_verify_new(struct lun_snapshot *, char **error);
void lun_verify_free(struct lun_verify *);
void lun_verify_line(struct lun_verify *, const struct lun_log_line *);
const struct lun_verify_counts *lun_verify_counts(const struct lun_verify *);
bool lun_verify_good(const struct lun_verify *);    /* something was compared, all of it is the same, and no text was missing */

/* All of it, for people: last the line "N of N decisions the same". And as members of an object. */
void lun_verify_text(const struct lun_verify *, struct lun_buf *out);
void lun_verify_json(const struct lun_verify *, struct lun_buf *out);
#endif

/* Runs a policy's hooks once more over the lines of a request log that hold what they read then (log.replay, script/tape.h): fed with that, each has to come to
 * the same decision, byte for byte. There is no network and no clock, and instructions are counted, so it is the same from run to run. */
#ifndef LUN_GATEWAY_VERIFY_H
#define LUN_GATEWAY_VERIFY_H
#include "gateway/log_reader.h"

/*  name, what is counted */
#define LUN_VERIFY_COUNTS(X) \
    X(requests,      "lines") \
    X(recorded,      "of these, those that hold what their hooks read") \
    X(decisions,     "of hooks, in these") \
    X(same,          "of these, those that are the same now") \
    X(different,     "requests in which one was not: those of its hooks that come later are not compared") \
    X(failed,        "decisions that a hook's failing makes now") \
    X(stopped,       "decisions that cannot be compared: of a hook that its limit of CPU time or memory stopped when it was live, and of those after it") \
    X(needs_text,    "requests in which a hook read what was said, which is not in the log: only what was decided before could be compared") \
    X(too_large,     "requests of which more was read than a line holds: likewise") \
    X(other_version, "requests that another version of the policy decided")
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

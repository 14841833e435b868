/* Reads request logs (gateway/record.h) line by line: a file, or standard input, as a stream of any length, of which one line at a time is in memory. What is
 * no line of such a log is left out, counted by what is wrong with it, and the first of each kind is remembered. */
#ifndef LUN_GATEWAY_LOG_READER_H
#define LUN_GATEWAY_LOG_READER_H
#include "base/json.h"
#include "gateway/record.h"

enum { LUN_LOG_LINE_MOST = 8 << 20, LUN_LOG_LINE_FIELDS = LUN_LOG_ATTEMPT_TARGET };     /* bytes of a line; its fields: those that are before an attempt's */

/*  id, name, is the line left out, what is wrong with it */
#define LUN_LOG_FAULTS(X) \
    X(BROKEN,    "broken",    true,  "no JSON object") \
    X(OTHER,     "other",     true,  "a JSON object, but no line of a request log of this version: `time`, `id`, `endpoint`, `model`, `status` and `latency_ms` " \
                                     "have to be there") \
    X(TOO_LONG,  "too_long",  true,  "longer than 8 MiB") \
    X(CUT,       "cut",       true,  "the last one, cut in the middle") \
    X(BACKWARDS, "backwards", false, "it ended over a second before one above it")
#define X(id, ...) LUN_LOG_##id,
enum lun_log_fault { LUN_LOG_FAULTS(X) LUN_LOG_FAULT_COUNT };
#undef X
const char *lun_log_fault_name(enum lun_log_fault);

/* A line and where its fields stand; the reader's, until the next is read. */
struct lun_log_line {
    int64_t number;             /* from 1, as editors count */
    const char *text; size_t n;
    struct lun_json_field fields[LUN_LOG_LINE_FIELDS];
    lun_us time;                /* its arrival, wall */
    lun_us latency;
};
static inline struct lun_json lun_log_field(const struct lun_log_line *line, enum lun_log_field f) { return lun_json_of(line->text, &line->fields[f]); }

bool lun_log_endpoint(const struct lun_log_line *, enum lun_endpoint *);     /* false: it names none; no line that was given out */
/* A time in ms, with parts of it; -1: it is none. Money in USD as nano-dollars; -1: it is none. */
lun_us  lun_log_ms(struct lun_json);
int64_t lun_log_usd(struct lun_json);

struct lun_log_counts {
    int64_t lines, read;        /* all but empty ones; those that were given out */
    struct { int64_t n, first; } faults[LUN_LOG_FAULT_COUNT];      /* how many; the number of the first line */
    int64_t bytes, size;        /* read so far; of the whole file, 0: nobody knows */
};

struct lun_log_reader;
/* "-": standard input. NULL: it cannot be read, and errno says why. */
struct lun_log_reader *lun_log_reader_open(const char *path);
struct lun_log_reader *lun_log_reader_of(int fd);           /* which is taken */
void lun_log_reader_free(struct lun_log_reader *);
/* False: the end, or the file cannot be read on, and then lun_log_reader_error is not 0. */
bool lun_log_reader_next(struct lun_log_reader *, struct lun_log_line *);
int  lun_log_reader_error(const struct lun_log_reader *);
const struct lun_log_counts *lun_log_reader_counts(const struct lun_log_reader *);

/* What was wrong, for people: a line of text for each kind that there was; and as members of an object, `lines`, `read` and each kind's number by its name. */
void lun_log_counts_text(const struct lun_log_counts *, struct lun_buf *out);
void lun_log_counts_json(const struct lun_log_counts *, struct lun_buf *out);
#endif

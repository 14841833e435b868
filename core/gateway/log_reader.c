#include "gateway/log_reader.h"
#include "base/alloc.h"
#include "state/price.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)256 << 10)       /* read at once */
#define SLACK LUN_SECOND                /* lines are written when a request has ended; by several threads, so not quite in that order */

struct lun_log_reader {
    int fd, error;
    bool ended, skipping;               /* skipping: over the rest of a line that is too long */
    struct lun_buf buf; size_t at, seen;    /* at: the next line begins there; seen: no line feed before that */
    lun_us latest;                      /* end of any line so far */
    struct lun_log_counts counts;
};
typedef struct lun_log_reader reader;

static const struct lun_json_keys keys = {
#define X(id, name, ...) [LUN_LOG_##id] = name,
    .name = { LUN_LOG_FIELDS(X) },
#undef X
#define X(id, name, ...) [LUN_LOG_##id] = sizeof name - 1,
    .length = { LUN_LOG_FIELDS(X) }
#undef X
};
static const struct { const char *name; bool out; const char *text; } faults[] = {
#define X(id, name, out, text) { name, out, text },
    LUN_LOG_FAULTS(X)
#undef X
};
const char *lun_log_fault_name(enum lun_log_fault f) { return faults[f].name; }

/* ---- values ---- */

lun_us lun_log_ms(struct lun_json value)
{
    double ms;
    return lun_json_double(value, &ms) && ms >= 0 && ms < 1e12 ? (lun_us)(ms * 1000 + 0.5) : -1;
}

int64_t lun_log_usd(struct lun_json value)
{
    int64_t nano;
    return lun_json_type(value) == LUN_JSON_NUMBER && lun_price_parse(value.at, value.n, &nano) ? nano : -1;
}

/* ---- one line ---- */

static bool read_time(struct lun_json value, lun_us *out)
{
    char text[40];
    if (lun_json_type(value) != LUN_JSON_STRING || value.n - 2 >= sizeof text) return false;
    memcpy(text, value.at + 1, value.n - 2);
    text[value.n - 2] = 0;
    return lun_clock_read(text, out);
}

bool lun_log_endpoint(const struct lun_log_line *line, enum lun_endpoint *out)
{
    for (int e = 0; e < LUN_ENDPOINT_COUNT; e++) {
        *out = (enum lun_endpoint)e;
        if (lun_json_is(lun_log_field(line, LUN_LOG_ENDPOINT), lun_endpoint_name(*out))) return true;
    }
    return false;
}

static bool is_request(struct lun_log_line *line)
{
    int64_t status;
    enum lun_endpoint endpoint;
    line->latency = lun_log_ms(lun_log_field(line, LUN_LOG_LATENCY));
    return read_time(lun_log_field(line, LUN_LOG_TIME), &line->time) && line->latency >= 0 && lun_json_int(lun_log_field(line, LUN_LOG_STATUS), &status)
        && line->fields[LUN_LOG_ID].type == LUN_JSON_STRING && line->fields[LUN_LOG_MODEL].type == LUN_JSON_STRING && lun_log_endpoint(line, &endpoint);
}

/* Whether the line is given out. */
static bool note(reader *r, enum lun_log_fault f)
{
    if (!r->counts.faults[f].n++) r->counts.faults[f].first = r->counts.lines;
    return !faults[f].out;
}

static bool take(reader *r, struct lun_log_line *line, bool whole)
{
    struct lun_json_scan scan;
    if (!lun_json_scan(line->text, line->n, &keys, line->fields, &scan)) return note(r, whole ? LUN_LOG_BROKEN : LUN_LOG_CUT);
    if (scan.twice >= 0 || !is_request(line)) return note(r, LUN_LOG_OTHER);
    lun_us end = line->time + line->latency;
    if (end + SLACK < r->latest) note(r, LUN_LOG_BACKWARDS);
    if (end > r->latest) r->latest = end;
    return true;
}

/* ---- the stream ---- */

/* False: there is no more. */
static bool fill(reader *r)
{
    lun_buf_drop(&r->buf, r->at);
    r->seen -= r->at, r->at = 0;
    char *room = lun_buf_space(&r->buf, CHUNK);
    ssize_t n;
    do n = read(r->fd, room, CHUNK); while (n < 0 && errno == EINTR);
    if (n < 0) r->error = errno;
    if (n <= 0) return !(r->ended = true);
    r->buf.n += (size_t)n;
    r->counts.bytes += n;
    return true;
}

/* The bytes of the next line, as far as they are looked at; *whole: a line feed ends it. False: the end. */
static bool next(reader *r, const char **text, size_t *n, bool *whole)
{
    const char *feed;
    while (!(feed = r->buf.n > r->seen ? memchr(r->buf.at + r->seen, '\n', r->buf.n - r->seen) : NULL)) {
        r->seen = r->buf.n;
        if (r->buf.n - r->at > LUN_LOG_LINE_MOST) r->skipping = true, r->at = r->buf.n;
        if (r->ended || !fill(r)) break;
    }
    *whole = feed;
    *text = r->buf.at + r->at;
    *n = (feed ? (size_t)(feed - r->buf.at) : r->buf.n) - r->at;
    r->at = r->seen = r->at + *n + *whole;
    return feed || *n || r->skipping;
}

static bool blank(const char *text, size_t n)
{
    while (n && strchr(" \t\r", text[n - 1])) n--;
    return !n;
}

bool lun_log_reader_next(reader *r, struct lun_log_line *line)
{
    for (bool whole; next(r, &line->text, &line->n, &whole); ) {
        bool skipped = r->skipping || line->n > LUN_LOG_LINE_MOST;
        r->skipping = false;
        line->number = ++r->counts.lines;
        if (!skipped && blank(line->text, line->n)) continue;
        if (skipped ? note(r, LUN_LOG_TOO_LONG) : take(r, line, whole)) return ++r->counts.read;
    }
    return false;
}

/* ---- life ---- */

reader *lun_log_reader_of(int fd)
{
    struct stat s;
    reader *r = lun_zalloc(sizeof *r);
    r->fd = fd;
    if (!fstat(fd, &s) && S_ISREG(s.st_mode)) r->counts.size = s.st_size;
    return r;
}

reader *lun_log_reader_open(const char *path)
{
    int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    return fd < 0 ? NULL : lun_log_reader_of(fd);
}

void lun_log_reader_free(reader *r)
{
    if (!r) return;
    close(r->fd);
    lun_buf_free(&r->buf);
    free(r);
}

int lun_log_reader_error(const reader *r)                             { return r->error; }
const struct lun_log_counts *lun_log_reader_counts(const reader *r)   { return &r->counts; }

/* ---- what was wrong ---- */

void lun_log_counts_text(const struct lun_log_counts *c, struct lun_buf *out)
{
    for (int f = 0; f < LUN_LOG_FAULT_COUNT; f++) {
        if (!c->faults[f].n) continue;
        lun_buf_printf(out, "%lld line%s%s, the first is line %lld: %s\n", (long long)c->faults[f].n, c->faults[f].n == 1 ? "" : "s",
                       faults[f].out ? " left out" : " taken as they stand", (long long)c->faults[f].first, faults[f].text);
    }
}

void lun_log_counts_json(const struct lun_log_counts *c, struct lun_buf *out)
{
    lun_json_member_int(out, "lines", c->lines);
    lun_json_member_int(out, "read", c->read);
    for (int f = 0; f < LUN_LOG_FAULT_COUNT; f++) lun_json_member_int(out, faults[f].name, c->faults[f].n);
}

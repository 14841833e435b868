#include "gateway/stream.h"
#include "base/json.h"
#include "gateway/answer.h"
#include <stdio.h>
#include <string.h>

#define EVENT_KEYS(X) X(choices) X(usage) X(error) X(x_groq) X(service_tier)
enum { EVENT_KEYS(LUN_JSON_KEY_ENUM) KEYS };
static const struct lun_json_keys event_keys = LUN_JSON_KEYS(EVENT_KEYS);

static bool blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool lun_stream_alien(const char *bytes, size_t n)
{
    while (n && blank(*bytes)) bytes++, n--;
    return n && strchr("{[<", *bytes);
}

/* ---- choices ---- */

static bool mark(unsigned char *set, int64_t i)
{
    unsigned char bit = (unsigned char)(1 << i % 8), *byte = &set[i / 8];
    if (*byte & bit) return false;
    *byte |= bit;
    return true;
}

static void note_choice(struct lun_stream *s, const struct lun_choice *c)
{
    struct lun_json reason = c->finish_reason;
    s->next.text_bytes += c->text_bytes;
    if (c->index < 0 || c->index >= LUN_STREAM_CHOICES) return;
    s->seen_n += mark(s->seen, c->index);
    if (lun_json_type(reason) != LUN_JSON_STRING) return;
    s->finished_n += mark(s->ended, c->index);
    s->next.finishes |= lun_answer_finish(reason);
    if (c->index || reason.n - 2 >= sizeof s->finish_reason) return;
    snprintf(s->next.finish_reason, sizeof s->next.finish_reason, "%.*s", (int)reason.n - 2, reason.at + 1);
}

/* Whether there are any. */
static bool read_choices(struct lun_stream *s, struct lun_json choices)
{
    bool any = false;
    for (struct lun_json_each e = lun_json_each(choices), members; lun_json_into(&e, &members); lun_json_out(&e, &members)) {
        struct lun_choice c = { .index = (int64_t)e.index };
        any = true;
        if (!members.object) continue;
        lun_choice_read(&members, &c);
        note_choice(s, &c);
    }
    return any;
}

/* ---- what an event is ---- */

static enum lun_event_kind bad(struct lun_stream *s, const char *what, size_t at)
{
    s->next.failure = LUN_KIND_BAD_ANSWER;
    snprintf(s->next.detail, sizeof s->next.detail, "an event is %s (at byte %zu of it)", what, at);
    return LUN_EVENT_BAD;
}

static enum lun_event_kind failed(struct lun_stream *s, const char *data, size_t n)
{
    struct lun_json body = {0};
    lun_json_check(data, n, &body, NULL);
    s->next.failure = lun_answer_failure(0, body);
    lun_answer_words(s->next.failure, body, s->next.detail, sizeof s->next.detail);
    return LUN_EVENT_ERROR;
}

/* From the comma before a member (or, for the first, its own start) to its end (or the comma after). Offsets in the data. */
static void member_span(const char *data, size_t n, const struct lun_json_field *f, size_t *from, size_t *to)
{
    size_t before = f->key;
    *from = f->key;
    *to = f->value + f->value_n;
    while (before && blank(data[before - 1])) before--;
    if (before && data[before - 1] == ',') { *from = before - 1; return; }
    while (*to < n && blank(data[*to])) ++*to;
    if (*to < n && data[*to] == ',') ++*to;
}

/* An event of several data lines, without data[from, to), on one line: a line end in JSON is blank space. */
static void put_together(struct lun_stream *s, const struct lun_sse_event *e, size_t from, size_t to)
{
    s->next.made = true;
    s->out.n = 0;
    if (e->type_n) lun_buf_printf(&s->out, "event: %.*s\n", (int)e->type_n, e->type);
    lun_buf_puts(&s->out, "data: ");
    for (size_t i = 0; i < e->data_n; i++)
        if (i < from || i >= to) lun_buf_putc(&s->out, blank(e->data[i]) ? ' ' : e->data[i]);
    lun_buf_puts(&s->out, "\n\n");
}

/* Cuts the member out: in place, by moving what stands before it up; an event of several data lines is put together anew. */
static void hide(struct lun_stream *s, char *bytes, const struct lun_sse_event *e, const struct lun_json_field *f)
{
    size_t from, to;
    member_span(e->data, e->data_n, f, &from, &to);
    if (e->data >= bytes && e->data < bytes + e->raw) {
        s->next.skip = to - from;
        memmove(bytes + s->next.skip, bytes, (size_t)(e->data - bytes) + from);
        return;
    }
    put_together(s, e, from, to);
}

static enum lun_event_kind object(struct lun_stream *s, char *bytes, const struct lun_sse_event *e)
{
    struct lun_json_field fields[KEYS], *usage = &fields[KEY_usage];
    struct lun_json_scan scan;
    if (!lun_json_scan(e->data, e->data_n, &event_keys, fields, &scan)) return bad(s, scan.error.what, scan.error.at);
    if (fields[KEY_error].type != LUN_JSON_NONE && fields[KEY_error].type != LUN_JSON_NULL) return failed(s, e->data, e->data_n);
    bool any = read_choices(s, lun_json_of(e->data, &fields[KEY_choices]));
    s->next.services = lun_usage_services(lun_json_of(e->data, &fields[KEY_service_tier]));
    s->next.has_usage = lun_usage_read(lun_json_of(e->data, usage), &s->next.usage)
        || lun_usage_read(lun_json_get(lun_json_of(e->data, &fields[KEY_x_groq]), "usage"), &s->next.usage);
    if (!s->hide_usage || usage->type == LUN_JSON_NONE) return LUN_EVENT_GOOD;
    if (!any && usage->type == LUN_JSON_OBJECT) return LUN_EVENT_HIDDEN;
    hide(s, bytes, e, usage);
    return LUN_EVENT_GOOD;
}

static bool is_done(const struct lun_sse_event *e)
{
    const char *p = e->data, *end = p + e->data_n;
    while (p < end && blank(*p)) p++;
    while (end > p && blank(end[-1])) end--;
    return end - p == 6 && !memcmp(p, "[DONE]", 6);
}

static enum lun_event_kind kind_of(struct lun_stream *s, char *bytes, const struct lun_sse_event *e)
{
    if (!e->data || !e->data_n || lun_sse_is(e, "ping")) return LUN_EVENT_PING;
    if (lun_sse_is(e, "error")) return failed(s, e->data, e->data_n);
    return is_done(e) ? LUN_EVENT_DONE : object(s, bytes, e);
}

/* ---- looking and taking ---- */

/* The last event of a stream that forgot its empty line, as it should have been. */
static void complete_last(struct lun_stream *s, const char *bytes)
{
    size_t n = s->next.raw;
    if (s->next.made) return;
    while (n > s->next.skip && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r')) n--;
    s->out.n = 0;
    lun_buf_add(&s->out, bytes + s->next.skip, n - s->next.skip);
    lun_buf_puts(&s->out, "\n\n");
    s->next.made = true;
}

static void look(struct lun_stream *s, char *bytes, size_t n, bool at_end)
{
    struct lun_sse_event e;
    memset(&s->next, 0, sizeof s->next);
    s->sse.limit = s->limit;
    enum lun_sse_kind kind = lun_sse_next(&s->sse, bytes, n, &e);
    bool last = kind == LUN_SSE_MORE && at_end && n;
    if (last) kind = lun_sse_end(&s->sse, bytes, n, &e);
    if (kind == LUN_SSE_MORE) return;
    if (kind == LUN_SSE_TOO_LONG) {
        s->next.raw = n;
        s->next.kind = bad(s, "too long", s->limit);
        return;
    }
    s->next.raw = e.raw;
    s->next.kind = kind_of(s, bytes, &e);
    if (last && (s->next.kind == LUN_EVENT_GOOD || s->next.kind == LUN_EVENT_DONE)) complete_last(s, bytes);
    if (last && (s->next.kind == LUN_EVENT_BAD || s->next.kind == LUN_EVENT_PING)) s->next.kind = LUN_EVENT_HIDDEN;    /* half an event is nothing */
}

struct lun_event lun_stream_peek(struct lun_stream *s, char *bytes, size_t n, bool at_end)
{
    if (s->next.kind == LUN_EVENT_NONE) look(s, bytes, n, at_end);
    struct lun_event e = { .kind = s->next.kind, .bytes = bytes + s->next.skip, .n = s->next.raw - s->next.skip, .failure = s->next.failure };
    if (s->next.made) e.bytes = s->out.at, e.n = s->out.n;
    if (*s->next.detail) e.detail = s->next.detail;
    return e;
}

size_t lun_stream_take(struct lun_stream *s)
{
    if (s->next.kind == LUN_EVENT_DONE) s->done = true;
    if (s->next.services) s->services = s->next.services;
    if (s->next.has_usage) s->usage = s->next.usage;
    if (s->services) s->usage.services = s->services;
    if (*s->next.finish_reason) memcpy(s->finish_reason, s->next.finish_reason, sizeof s->finish_reason);
    s->text_bytes += s->next.text_bytes;
    s->finishes |= s->next.finishes;
    s->finished = s->finished_n && s->finished_n >= s->choices && s->finished_n == s->seen_n;
    s->next.kind = LUN_EVENT_NONE;
    return s->next.raw;
}

void lun_stream_free(struct lun_stream *s)
{
    lun_sse_free(&s->sse);
    lun_buf_free(&s->out);
}

#include "wire/upstream_parts.h"
#include "base/http_text.h"
#include <stdlib.h>
#include <string.h>

/* "HTTP/1.1 200 OK" and "HTTP/2 200": RFC 9112, 4, and as libcurl writes RFC 9113's :status */
static bool status_line(struct head *h, const char *s, size_t n)
{
    static const struct { const char *text; int version; } versions[] = { { "HTTP/1.1 ", 11 }, { "HTTP/1.0 ", 10 }, { "HTTP/2 ", 20 } };
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        size_t k = strlen(versions[i].text);
        if (n < k + 3 || memcmp(s, versions[i].text, k)) continue;
        const char *d = s + k;
        if (d[0] < '1' || d[0] > '9' || d[1] < '0' || d[1] > '9' || d[2] < '0' || d[2] > '9' || (n > k + 3 && d[3] != ' ')) return false;
        h->status = (d[0] - '0') * 100 + (d[1] - '0') * 10 + d[2] - '0';
        h->version = versions[i].version;
        h->begun = true;
        h->chunked = h->closes = false;
        h->length = -1;
        return true;
    }
    return false;
}

static const char *blank(struct head *h)
{
    if (h->status == 101) return "the provider switched protocols unasked";
    if (h->status >= 200) { h->whole = true; return NULL; }
    h->begun = false;
    h->text.n = 0;
    h->n = 0;
    return NULL;
}

/* Its name in lower case. Folded lines (RFC 9112, 5.2) fail here too, as their names begin with a blank. */
static bool split(char *s, size_t n, size_t *colon)
{
    char *c = memchr(s, ':', n);
    if (!c) return false;
    *colon = (size_t)(c - s);
    for (char *p = s; p < c; p++) if (*p >= 'A' && *p <= 'Z') *p |= 32;
    return lun_http_is_token(s, *colon) && lun_http_is_value(c + 1, n - *colon - 1);
}

/* RFC 9112, 6.3: a length that is none, or two that differ, ends the connection. */
static bool length_good(const struct head *h, const char *value)
{
    size_t n = strlen(value);
    if (!n || n > 18 || strspn(value, "0123456789") != n) return false;
    for (int i = 0; i < h->n; i++)
        if (!strcmp(h->text.at + h->lines[i].name, "content-length") && strcmp(h->text.at + h->lines[i].value, value)) return false;
    return true;
}

static bool lists_close(const char *value)
{
    struct lun_slice list = { value, strlen(value) }, one;
    while (lun_http_element(&list, &one)) if (lun_slice_is_like(one, "close")) return true;
    return false;
}

/* What this field says of the message itself, which is the next in the list. */
static const char *mean(struct head *h, const char *name, const char *value)
{
    bool length = *name == 'c' && !strcmp(name, "content-length"), coding = *name == 't' && !strcmp(name, "transfer-encoding");
    if (length && !length_good(h, value)) return "the answer's length is malformed";
    /* libcurl would unpack gzip here, without a bound */
    if (coding && strcasecmp(value, "chunked")) return "the answer has a transfer coding that was not asked for";
    if (coding && h->chunked) return "the answer has two transfer codings";
    h->n++;
    if (length) h->length = strtoll(value, NULL, 10);
    if (coding) h->chunked = true;
    if (*name == 'c' && !strcmp(name, "connection") && lists_close(value)) h->closes = true;
    return NULL;
}

static const char *field(struct head *h, char *s, size_t n)
{
    size_t colon;
    if (h->n == HEAD_LINES) return "the answer's head has more than 256 lines";
    if (!split(s, n, &colon)) return "a line of the answer's head is not a header";
    const char *value = s + colon + 1, *end = s + n;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    h->lines[h->n].name = h->text.n;
    lun_buf_add(&h->text, s, colon);
    lun_buf_putc(&h->text, 0);
    h->lines[h->n].value = h->text.n;
    lun_buf_add(&h->text, value, (size_t)(end - value));
    lun_buf_putc(&h->text, 0);
    const struct { const char *name, *value; } f = { h->text.at + h->lines[h->n].name, h->text.at + h->lines[h->n].value };
    return mean(h, f.name, f.value);
}

const char *head_line(struct head *h, char *s, size_t n)
{
    h->total += n;
    if (h->total > HEAD_BYTES) return "the answer's head is larger than 64 KiB";
    if (n && s[n - 1] == '\n') n--;
    if (n && s[n - 1] == '\r') n--;
    if (h->whole) return NULL;      /* trailers */
    if (!h->begun) return status_line(h, s, n) ? NULL : "the answer does not begin with an HTTP/1.0, 1.1 or 2 status line";
    return n ? field(h, s, n) : blank(h);
}

size_t head_list(const struct head *h, struct lun_pair out[HEAD_LINES])
{
    for (int i = 0; i < h->n; i++)
        out[i] = (struct lun_pair){ h->text.at + h->lines[i].name, h->text.at + h->lines[i].value };
    return (size_t)h->n;
}

bool head_open(const struct head *h) { return !h->chunked && h->length < 0 && h->version != 20 && h->status != 204 && h->status != 304; }

void head_reset(struct head *h)
{
    if (h->text.room > 8192) lun_buf_free(&h->text);
    h->text.n = h->total = 0;
    h->n = h->status = h->version = 0;
    h->begun = h->whole = false;
}

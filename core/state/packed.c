#include "state/packed.h"
#include "base/crc32c.h"
#include "base/json.h"
#include "base/text.h"
#include <stddef.h>
#include <string.h>

#define MAGIC UINT64_C(0x0131657474656e75)      /* its first byte counts the forms; read in another order it is another number */
#define MOST  ((size_t)1 << 30)

enum { TARGET, TYPE, REQUEST, WARNING, BYTES, HIDDEN, TEXTS };
enum { EVENTS = 1, USAGE_SHOWN = 2, FALLBACK = 4, KNOWN = 8, ESTIMATED = 16, ALL_FLAGS = 31 };
enum { COUNTS = 10 };

struct head {
    uint64_t magic;
    uint32_t crc, flags;                /* crc: over all that follows it */
    int64_t made, counts[COUNTS];
    uint32_t services, suspect, lengths[TEXTS];         /* one more than they are; 0: there is none */
};
enum { CRC_END = offsetof(struct head, flags) };
_Static_assert(sizeof(struct head) == LUN_PACKED_HEAD, "every byte of a head is a field's");

struct text { const char *at; size_t n; };

/* ---- writing ---- */

static struct text of(const char *text) { return (struct text){ text, text ? strlen(text) : 0 }; }

static bool measure(struct head *h, const struct text *texts)
{
    size_t all = 0;
    for (int i = 0; i < TEXTS; i++) {
        if (texts[i].n > MOST - all) return false;
        all += texts[i].n;
        h->lengths[i] = texts[i].at ? (uint32_t)texts[i].n + 1 : 0;
    }
    return true;
}

bool lun_packed_put(struct lun_buf *out, const struct lun_cached *a, lun_us made)
{
    const struct lun_usage *u = &a->usage;
    const struct text texts[TEXTS] = { of(a->target), of(a->content_type), of(a->provider_request_id), of(a->warning), { a->bytes, a->n }, { a->hidden, a->hidden_n } };
    struct head h = { .magic = MAGIC, .made = made, .services = u->services, .suspect = u->suspect,
                      .flags = (a->events ? EVENTS : 0) | (a->usage_shown ? USAGE_SHOWN : 0) | (a->fallback ? FALLBACK : 0) | (u->known ? KNOWN : 0) | (u->estimated ? ESTIMATED : 0),
                      .counts = { u->input, u->cached_input, u->cache_write, u->cache_write_1h, u->audio_input, u->image_input, u->output, u->reasoning, u->audio_output,
                                  u->image_output } };
    size_t start = out->n;
    if (!measure(&h, texts)) return false;
    lun_buf_add(out, &h, sizeof h);
    for (int i = 0; i < TEXTS; i++) if (texts[i].at) lun_buf_add(out, texts[i].at, texts[i].n), lun_buf_putc(out, 0);
    h.crc = lun_crc32c(out->at + start + CRC_END, out->n - start - CRC_END);
    memcpy(out->at + start, &h, sizeof h);
    return true;
}

/* ---- reading ---- */

/* Each lies where its length says, with a NUL behind it, and they fill what is there. */
static bool cut(const struct head *h, const char *at, size_t n, struct text *texts)
{
    for (int i = 0; i < TEXTS; i++) {
        size_t length = h->lengths[i];
        texts[i] = (struct text){ length ? at : NULL, length ? length - 1 : 0 };
        if (length > n || (length && at[length - 1])) return false;
        at += length, n -= length;
    }
    return !n;
}

/* It may stand in a header. */
static bool is_line(const struct text *t)
{
    for (size_t i = 0; i < t->n; i++) if ((unsigned char)t->at[i] < ' ' || t->at[i] == 127) return false;
    return lun_text_valid(t->at ? t->at : "", t->n);
}

static bool read_usage(const struct head *h, struct lun_usage *u)
{
    int64_t *const counts[COUNTS] = { &u->input, &u->cached_input, &u->cache_write, &u->cache_write_1h, &u->audio_input, &u->image_input, &u->output, &u->reasoning, &u->audio_output,
                                      &u->image_output };
    *u = (struct lun_usage){ .known = h->flags & KNOWN, .estimated = h->flags & ESTIMATED, .services = h->services, .suspect = (enum lun_suspect)h->suspect };
    for (int i = 0; i < COUNTS; i++) {
        if (h->counts[i] < 0 || h->counts[i] > LUN_USAGE_MOST) return false;
        *counts[i] = h->counts[i];
    }
    return h->services <= LUN_SERVICES_ALL && h->suspect < LUN_SUSPECT_COUNT;
}

static bool is_ours(const struct head *h, const char *at, size_t n)
{
    return h->magic == MAGIC && h->flags <= ALL_FLAGS && (h->flags & EVENTS || !(h->flags & USAGE_SHOWN)) && h->crc == lun_crc32c(at + CRC_END, n - CRC_END);
}

bool lun_packed_read(const char *at, size_t n, struct lun_cached *out)
{
    struct head h;
    struct text t[TEXTS];
    if (n < sizeof h) return false;
    memcpy(&h, at, sizeof h);
    if (!is_ours(&h, at, n) || !cut(&h, at + sizeof h, n - sizeof h, t) || !t[TARGET].n || !t[BYTES].at) return false;
    for (int i = TARGET; i < BYTES; i++) if (!is_line(&t[i])) return false;
    *out = (struct lun_cached){ .events = h.flags & EVENTS, .usage_shown = h.flags & USAGE_SHOWN, .fallback = h.flags & FALLBACK, .made = h.made,
                                .target = t[TARGET].at, .content_type = t[TYPE].at, .provider_request_id = t[REQUEST].at, .warning = t[WARNING].at,
                                .bytes = t[BYTES].at, .n = t[BYTES].n, .hidden = t[HIDDEN].at, .hidden_n = t[HIDDEN].n };
    if (!out->events && (out->hidden_n || !lun_json_check(out->bytes, out->n, &(struct lun_json){0}, NULL))) return false;
    return read_usage(&h, &out->usage);
}

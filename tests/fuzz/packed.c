/* An answer that lay in a Redis: what is read is whole and lies in what came; written again it is the same bytes; and it can be told in either form. */
#include "fuzz.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "gateway/recast.h"
#include "state/packed.h"

static void promise_line(const char *text)
{
    if (!text) return;
    PROMISE(lun_text_valid(text, strlen(text)));
    for (; *text; text++) PROMISE((unsigned char)*text >= ' ' && *text != 127);
}

static void recast(const struct lun_cached *a)
{
    struct lun_buf out = {0};
    if (a->events) {
        lun_recast_whole(a->bytes, a->n, &a->usage, &out);
        lun_recast_usage(a->bytes, a->n, &a->usage, &out);
    } else lun_recast_events(a->bytes, a->n, true, &out);
    lun_buf_free(&out);
}

void fuzz_packed(struct input in)
{
    bool forge = take(&in) & 1;
    char *text = copy_of(in.at, in.n);
    struct lun_cached a;
    if (forge && in.n >= LUN_PACKED_HEAD) {
        uint32_t crc = lun_crc32c(text + 12, in.n - 12);
        memcpy(text + 8, &crc, sizeof crc);
    }
    if (lun_packed_read(text, in.n, &a)) {
        struct lun_buf again = {0};
        struct lun_cached *copy = lun_cached_new(&a);
        PROMISE(lun_packed_put(&again, &a, a.made) && again.n == in.n && !memcmp(again.at, text, in.n));
        PROMISE(a.target && *a.target && (a.events || (!a.hidden_n && !a.usage_shown)));
        promise_line(a.target), promise_line(a.content_type), promise_line(a.provider_request_id), promise_line(a.warning);
        PROMISE(copy->n == a.n && !memcmp(copy->bytes, a.bytes, a.n));
        recast(copy);
        lun_cached_unref(copy);
        lun_buf_free(&again);
    }
    free(text);
}

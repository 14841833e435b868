#include "gateway/books_inner.h"
#include <string.h>

void lun_books_dispatched(void *self, uint32_t slot, const struct lun_draw_line *line)
{
    struct lun_dispatch d = { .seq = line->seq, .hold = line->hold, .at = line->at, .target = line->target, .version = line->version,
                              .client = line->client, .payers = line->payers };
    memcpy(d.request, line->request, sizeof d.request);
    lun_journal_dispatch(((struct lun_books *)self)->journal, slot, &d);
}

static uint32_t tokens(int64_t n) { return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n; }

static uint16_t flags(const struct lun_settlement *how)
{
    unsigned f = 0;
    if (how->usage.estimated) f |= LUN_ATTEMPT_ESTIMATED;
    if (how->suspect) f |= LUN_ATTEMPT_SUSPECT;
    if (how->cost > how->bound) f |= LUN_ATTEMPT_EXCESS;
    if (how->hedge) f |= LUN_ATTEMPT_HEDGE;
    if (how->cancelled) f |= LUN_ATTEMPT_CANCELLED;
    if (how->stream) f |= LUN_ATTEMPT_STREAM;
    if (how->probe) f |= LUN_ATTEMPT_PROBE;
    if (!how->limited) f |= LUN_ATTEMPT_UNLIMITED;
    return (uint16_t)f;
}

void lun_books_settled(void *self, uint32_t slot, uint64_t seq, const struct lun_settlement *how)
{
    lun_us ms = how->latency / LUN_MS;
    struct lun_settle s = { .seq = seq, .cost = how->cost, .kind = (uint8_t)how->kind, .state = how->orphaned ? LUN_ATTEMPT_ORPHANED : LUN_ATTEMPT_SETTLED,
                            .flags = flags(how), .latency_ms = tokens(ms) };
    if (how->usage.known) {
        s.tokens[LUN_TOKENS_input] = tokens(how->usage.input);
        s.tokens[LUN_TOKENS_cached_input] = tokens(how->usage.cached_input);
        s.tokens[LUN_TOKENS_cache_write] = tokens(how->usage.cache_write);
        s.tokens[LUN_TOKENS_cache_write_1h] = tokens(how->usage.cache_write_1h);
        s.tokens[LUN_TOKENS_output] = tokens(how->usage.output);
        s.tokens[LUN_TOKENS_reasoning] = tokens(how->usage.reasoning);
        s.tokens[LUN_TOKENS_audio] = tokens(how->usage.audio_input + how->usage.audio_output);
        s.tokens[LUN_TOKENS_image] = tokens(how->usage.image_input + how->usage.image_output);
    }
    lun_journal_settle(((struct lun_books *)self)->journal, slot, &s);
}

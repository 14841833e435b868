#include "state/journal.h"
#include "base/alloc.h"
#include "base/crc32c.h"
#include "state/journal_file.h"
#include <stdatomic.h>
#include <string.h>

struct line0 { uint64_t seq; int64_t hold, at; unsigned char request[16]; uint32_t target, client, version, payers, run, crc; };
struct line1 { uint64_t seq; int64_t cost; uint32_t tokens[LUN_TOKENS_COUNT]; uint8_t kind, state; uint16_t flags; uint32_t latency_ms, run, crc; };

enum { CRC_AT = LUN_JOURNAL_LINE - 4 };
_Static_assert(sizeof(struct line0) == LUN_JOURNAL_LINE && offsetof(struct line0, crc) == CRC_AT, "a line is 64 bytes");
_Static_assert(sizeof(struct line1) == LUN_JOURNAL_LINE && offsetof(struct line1, crc) == CRC_AT, "a line is 64 bytes");
_Static_assert(LUN_ATTEMPT_BITS <= 16, "flags are 16 bits");

const char *lun_attempt_state_name(enum lun_attempt_state state)
{
    return state == LUN_ATTEMPT_SETTLED ? "SETTLED" : state == LUN_ATTEMPT_ORPHANED ? "ORPHANED" : "?";
}

void lun_journal_line_dispatch(uint32_t run, const struct lun_dispatch *d, unsigned char out[LUN_JOURNAL_LINE])
{
    struct line0 l = { .seq = d->seq, .hold = d->hold, .at = d->at, .target = d->target, .client = d->client, .version = d->version,
                       .payers = d->payers, .run = run };
    memcpy(l.request, d->request, sizeof l.request);
    l.crc = lun_crc32c(&l, CRC_AT);
    memcpy(out, &l, sizeof l);
}

void lun_journal_line_settle(uint32_t run, const struct lun_settle *s, unsigned char out[LUN_JOURNAL_LINE])
{
    struct line1 l = { .seq = s->seq, .cost = s->cost, .kind = s->kind, .state = s->state, .flags = s->flags, .latency_ms = s->latency_ms, .run = run };
    memcpy(l.tokens, s->tokens, sizeof l.tokens);
    l.crc = lun_crc32c(&l, CRC_AT);
    memcpy(out, &l, sizeof l);
}

/* The checksum last: a kill in between leaves a line that does not count. The compiler must not move it, the processor does not (a killed
 * thread's stores are all done, up to one instruction). */
static void put(unsigned char *at, const unsigned char line[LUN_JOURNAL_LINE])
{
    uint32_t crc;
    memcpy(&crc, line + CRC_AT, sizeof crc);
    memcpy(at, line, CRC_AT);
    atomic_signal_fence(memory_order_seq_cst);
    *(volatile uint32_t *)(at + CRC_AT) = crc;
    atomic_signal_fence(memory_order_seq_cst);
}

void lun_journal_dispatch(struct lun_journal *j, uint32_t slot, const struct lun_dispatch *d)
{
    unsigned char line[LUN_JOURNAL_LINE];
    lun_journal_line_dispatch(j->run, d, line);
    put(lun_journal_at(j, slot), line);
}

void lun_journal_settle(struct lun_journal *j, uint32_t slot, const struct lun_settle *s)
{
    unsigned char line[LUN_JOURNAL_LINE];
    lun_journal_line_settle(j->run, s, line);
    put(lun_journal_at(j, slot) + LUN_JOURNAL_LINE, line);
}

static bool blank(const unsigned char lines[2 * LUN_JOURNAL_LINE])
{
    for (int i = 0; i < 2 * LUN_JOURNAL_LINE; i++) if (lines[i]) return false;
    return true;
}

/* A number that no writer writes is no number to charge, even if the checksum fits. */
static bool good0(const struct line0 *l, uint32_t run)
{
    return l->run == run && l->seq && l->crc == lun_crc32c(l, CRC_AT) && l->hold >= 0 && l->seq <= INT64_MAX;
}

static bool good1(const struct line1 *l, const struct line0 *d, uint32_t run)
{
    return l->run == run && l->seq == d->seq && l->crc == lun_crc32c(l, CRC_AT) && l->cost >= 0 &&
           (l->state == LUN_ATTEMPT_SETTLED || l->state == LUN_ATTEMPT_ORPHANED);
}

enum lun_journal_found lun_journal_line_read(uint32_t run, const unsigned char lines[2 * LUN_JOURNAL_LINE], struct lun_dispatch *d, struct lun_settle *s)
{
    struct line0 a;
    struct line1 b;
    memcpy(&a, lines, sizeof a);
    memcpy(&b, lines + LUN_JOURNAL_LINE, sizeof b);
    if (!good0(&a, run)) return blank(lines) ? LUN_JOURNAL_NONE : LUN_JOURNAL_TORN;
    *d = (struct lun_dispatch){ .seq = a.seq, .hold = a.hold, .at = a.at, .target = a.target, .client = a.client, .version = a.version, .payers = a.payers };
    memcpy(d->request, a.request, sizeof d->request);
    if (!good1(&b, &a, run)) return LUN_JOURNAL_DISPATCHED;
    *s = (struct lun_settle){ .seq = b.seq, .cost = b.cost, .kind = b.kind, .state = b.state, .flags = b.flags, .latency_ms = b.latency_ms };
    memcpy(s->tokens, b.tokens, sizeof s->tokens);
    return LUN_JOURNAL_SETTLED;
}

enum lun_journal_found lun_journal_read(const struct lun_journal *j, uint32_t slot, struct lun_dispatch *d, struct lun_settle *s)
{
    return lun_journal_line_read(j->run, lun_journal_at(j, slot), d, s);
}

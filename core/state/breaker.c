#include "state/breaker.h"
#include "base/alloc.h"
#include <stdlib.h>

#define TWICE 2                 /* what one client's failures count at most */

struct lun_culprit { uint64_t who; int n; };

enum lun_circuit lun_breaker_now(const struct lun_breaker *b, lun_us now)
{
    return b->is == LUN_CIRCUIT_OPEN && now >= b->until ? LUN_CIRCUIT_HALF_OPEN : b->is;
}

lun_us lun_breaker_until(const struct lun_breaker *b, const struct lun_health_rules *rules, lun_us now)
{
    if (b->is == LUN_CIRCUIT_OPEN && now < b->until) return b->until;
    if (b->is == LUN_CIRCUIT_HALF_OPEN && b->probes >= rules->half_open) return now + LUN_SECOND;
    return 0;
}

void lun_breaker_begin(struct lun_breaker *b, lun_us now)
{
    if (b->is == LUN_CIRCUIT_OPEN && now >= b->until) {
        b->is = LUN_CIRCUIT_HALF_OPEN;
        b->half_since = now;
        b->probes = 0;
    }
    if (b->is != LUN_CIRCUIT_HALF_OPEN) return;
    b->probes++;
    if (now < b->half_since) b->half_since = now;       /* clocks of threads differ by a little: it gives its place back too */
}

static void change(struct lun_breaker *b, enum lun_circuit to, lun_us now)
{
    b->is = to;
    b->changed = now;
    b->probes = 0;
}

static void forget_row(struct lun_breaker *b) { b->row = b->n_culprits = 0; }

static bool counts(struct lun_breaker *b, uint64_t who)
{
    if (!who) return true;
    for (int i = 0; i < b->n_culprits; i++)
        if (b->culprits[i].who == who) return b->culprits[i].n < TWICE && ++b->culprits[i].n;
    if (b->n_culprits == b->room) {
        b->room = b->room ? b->room * 2 : 8;
        b->culprits = lun_realloc(b->culprits, (size_t)b->room * sizeof *b->culprits);
    }
    b->culprits[b->n_culprits++] = (struct lun_culprit){ who, 1 };
    return true;
}

static void good(struct lun_breaker *b, lun_us began, lun_us now)
{
    forget_row(b);
    if (b->is != LUN_CIRCUIT_CLOSED && began >= b->changed) change(b, LUN_CIRCUIT_CLOSED, now);
}

static void bad(struct lun_breaker *b, const struct lun_health_rules *rules, uint64_t who, lun_us began, lun_us now)
{
    if (began < b->changed || b->is == LUN_CIRCUIT_OPEN) return;
    if (b->is == LUN_CIRCUIT_CLOSED && !(counts(b, who) && ++b->row >= rules->failures)) return;
    change(b, LUN_CIRCUIT_OPEN, now);
    b->until = now + rules->rest;
}

void lun_breaker_end(struct lun_breaker *b, const struct lun_health_rules *rules, enum lun_verdict verdict, uint64_t who, lun_us began, lun_us now)
{
    if (b->is == LUN_CIRCUIT_HALF_OPEN && began >= b->half_since && b->probes) b->probes--;
    if (verdict == LUN_VERDICT_GOOD) good(b, began, now);
    if (verdict == LUN_VERDICT_BAD) bad(b, rules, who, began, now);
}

void lun_breaker_mend(struct lun_breaker *b, lun_us began, lun_us now)
{
    if (began >= b->changed) good(b, began, now);
}

void lun_breaker_extend(struct lun_breaker *b, lun_us until)
{
    if (b->is == LUN_CIRCUIT_OPEN && b->until < until) b->until = until;
}

void lun_breaker_free(struct lun_breaker *b) { free(b->culprits); }

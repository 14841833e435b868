#include "state/price.h"
#include "base/decimal.h"
#include <ctype.h>
#include <string.h>

#define PER_MILLION 1000000
#define DEAREST     (9000000 * LUN_NANO_PER_USD)    /* what lun_price_parse takes at most */
#define LARGE       100000                          /* an exponent beyond it is as good as this one */

typedef unsigned __int128 wide;

#define PARTS LUN_PRICE_PART_COUNT
#define AT(name) (offsetof(struct lun_price, name) / sizeof(int64_t))
_Static_assert(offsetof(struct lun_price, tiers) == PARTS * sizeof(int64_t), "the parts come first, and nothing else between them");

/* Which part stands in for each; itself: none does. */
enum { AT_nothing = PARTS };
#define X(name, ...) AT_##name = AT(name),
enum { LUN_PRICE_PARTS(X) };
#undef X
#define X(name, other) [AT_##name] = AT_##other,
static const unsigned char fallback[PARTS] = { LUN_PRICE_PARTS(X) };
#undef X

#define X(name, ...) .name = LUN_UNPRICED,
const struct lun_price lun_price_unknown = { LUN_PRICE_PARTS(X) };
#undef X

bool lun_price_known(const struct lun_price *p) { return p->input >= 0 && p->output >= 0; }

struct decimal { const char *digits; size_t n; int whole; };    /* whole: how many digits stand before the point */

static bool read_exponent(const char *text, size_t n, int *exponent)
{
    size_t at = 0;
    bool minus = n && text[0] == '-';
    int e = 0;
    if (n && (text[0] == '-' || text[0] == '+')) at++;
    if (at == n) return false;
    for (; at < n; at++) {
        if (!isdigit((unsigned char)text[at])) return false;
        if (e < LARGE) e = e * 10 + (text[at] - '0');
    }
    *exponent = minus ? -e : e;
    return true;
}

static bool read_decimal(const char *text, size_t n, struct decimal *d)
{
    int digits = 0, point = -1, exponent = 0;
    size_t at = 0;
    if (n > LARGE) return false;
    for (; at < n && text[at] != 'e' && text[at] != 'E'; at++)
        if (text[at] == '.' && point < 0) point = digits;
        else if (isdigit((unsigned char)text[at])) digits++;
        else return false;
    *d = (struct decimal){ .digits = text, .n = at };
    if (at < n && !read_exponent(text + at + 1, n - at - 1, &exponent)) return false;
    d->whole = (point < 0 ? digits : point) + exponent;
    return digits > 0;
}

static bool parse(const char *text, size_t n, int shift, int64_t *nano)
{
    struct decimal d;
    int64_t value = 0;
    bool rest = false;
    if (!read_decimal(text, n, &d)) return false;
    int places = d.whole + shift;       /* digits that count, leading zeros included */
    for (size_t i = 0; i < d.n; i++) {
        if (d.digits[i] == '.') continue;
        if (places-- > 0) value = value * 10 + (d.digits[i] - '0');
        else rest |= d.digits[i] != '0';
        if (value > DEAREST) return false;
    }
    for (; places > 0 && value; places--)
        if ((value *= 10) > DEAREST) return false;
    value += rest;
    if (value > DEAREST) return false;
    *nano = value;
    return true;
}

bool lun_price_parse(const char *text, size_t n, int64_t *nano)           { return parse(text, n, 9, nano); }
bool lun_price_parse_per_token(const char *text, size_t n, int64_t *nano) { return parse(text, n, 15, nano); }

/* ---- parts ---- */

static int64_t at_least_0(int64_t n)                   { return n > 0 ? n : 0; }
static int64_t dearer(int64_t a, int64_t b)            { return a > b ? a : b; }
static wide times(int64_t tokens, int64_t price)       { return (wide)tokens * (wide)price; }

static int64_t *parts(struct lun_price *p)                   { return &p->input; }
static int64_t given(const struct lun_price *p, size_t part) { return (&p->input)[part]; }

static int64_t charged(const struct lun_price *p, size_t part)
{
    while (given(p, part) < 0) {
        if (fallback[part] == AT_nothing) return 0;
        if (fallback[part] == part) return LUN_UNPRICED;
        part = fallback[part];
    }
    return given(p, part);
}

int64_t lun_price_part(const struct lun_price *p, size_t offset) { return charged(p, offset / sizeof(int64_t)); }

bool lun_price_equal(const struct lun_price *a, const struct lun_price *b)
{
    if (memcmp(a, b, PARTS * sizeof(int64_t)) || a->n_tiers != b->n_tiers) return false;
    for (int i = 0; i < a->n_tiers; i++) {
        const struct lun_price_tier *x = &a->tiers[i], *y = &b->tiers[i];
        if (x->service != y->service || x->above != y->above || memcmp(&x->price, &y->price, PARTS * sizeof(int64_t))) return false;
    }
    return true;
}

/* ---- tiers ---- */

static const struct lun_price_tier *find(const struct lun_price_tier *tiers, int n, enum lun_service service, int64_t above)
{
    for (int i = 0; i < n; i++) if (tiers[i].service == service && tiers[i].above == above) return &tiers[i];
    return NULL;
}

/* The longest of a service's that begins below `above`. */
static const struct lun_price_tier *before(const struct lun_price_tier *tiers, int n, enum lun_service service, int64_t above)
{
    const struct lun_price_tier *best = NULL;
    for (int i = 0; i < n; i++)
        if (tiers[i].service == service && tiers[i].above < above && (!best || tiers[i].above > best->above)) best = &tiers[i];
    return best;
}

/* What a tier leaves open costs the dearer of what the price gives for it and what stands in for it in the tier. */
static struct lun_price completed(const struct lun_price *base, const struct lun_price *tier)
{
    struct lun_price all = *tier;
    all.tiers = NULL, all.n_tiers = 0;
    for (size_t i = 0; i < PARTS; i++) {
        if (given(tier, i) >= 0 || given(base, i) < 0) continue;
        parts(&all)[i] = fallback[i] == i ? given(base, i) : dearer(given(base, i), charged(&all, i));
    }
    return all;
}

static struct lun_price dearest_of(const struct lun_price *a, const struct lun_price *b)
{
    struct lun_price both = lun_price_unknown;
    for (size_t i = 0; i < PARTS; i++) parts(&both)[i] = dearer(charged(a, i), charged(b, i));
    return both;
}

struct making { const struct lun_price *base; const struct lun_price_tier *from; int n_from; struct lun_price_tier *to; int n; };

static void make(struct making *m, enum lun_service service, int64_t above)
{
    const struct lun_price_tier *itself = find(m->from, m->n_from, service, above), *shorter = before(m->to, m->n, service, above),
                                *longer = service ? find(m->to, m->n, LUN_SERVICE_STANDARD, above) : NULL;
    struct lun_price price;
    if (itself) price = completed(longer ? &longer->price : m->base, &itself->price);
    else if (shorter && longer) price = dearest_of(&shorter->price, &longer->price);
    else return;
    m->to[m->n++] = (struct lun_price_tier){ service, above, price };
}

/* The next length at which any price changes; 0: there is none. */
static int64_t next_length(const struct making *m, int64_t after)
{
    int64_t next = 0;
    for (int i = 0; i < m->n_from; i++)
        if (m->from[i].above > after && (!next || m->from[i].above < next)) next = m->from[i].above;
    return next;
}

/* The standard service first, and of each the shortest first: a later one is made of those. A service without prices of its own has none here. */
void lun_price_tiers(struct lun_price *p, const struct lun_price_tier *from, int n, struct lun_arena *arena)
{
    p->tiers = NULL, p->n_tiers = 0;
    if (!n) return;
    const struct lun_price base = *p;
    struct making m = { &base, from, n, lun_arena_alloc(arena, (size_t)n * LUN_SERVICE_COUNT * sizeof *m.to), 0 };
    for (int service = 0; service < LUN_SERVICE_COUNT; service++) {
        make(&m, (enum lun_service)service, 0);
        for (int64_t above = 0; (above = next_length(&m, above)); ) make(&m, (enum lun_service)service, above);
    }
    p->tiers = m.to, p->n_tiers = m.n;
}

static bool holds(const struct lun_price_tier *t, int64_t input) { return !t->above || input > t->above; }

/* What holds for a service and a length. A service without prices of its own is billed like the standard one. */
static const struct lun_price *in_force(const struct lun_price *p, enum lun_service service, int64_t input)
{
    const struct lun_price_tier *best = NULL;
    bool own = false;
    for (int i = 0; i < p->n_tiers; i++) {
        const struct lun_price_tier *t = &p->tiers[i];
        if (t->service != service) continue;
        own = true;
        if (holds(t, input) && (!best || t->above >= best->above)) best = t;
    }
    if (best) return &best->price;
    return own || service == LUN_SERVICE_STANDARD ? p : in_force(p, LUN_SERVICE_STANDARD, input);
}

/* ---- costs ---- */

static int64_t total(wide sum, int64_t fee)
{
    wide nano = (sum + PER_MILLION - 1) / PER_MILLION + (wide)at_least_0(fee);
    return nano > INT64_MAX ? INT64_MAX : (int64_t)nano;
}

struct share { int64_t n, price; };

/* What a whole costs that has these parts. Where they come to more than it, the dearest are believed. */
static wide cost_of(int64_t whole, int64_t price, struct share *share, int n)
{
    wide sum = 0;
    for (int i = 1; i < n; i++)
        for (int j = i; j && share[j].price > share[j - 1].price; j--) {
            struct share s = share[j];
            share[j] = share[j - 1], share[j - 1] = s;
        }
    for (int i = 0; i < n; i++) {
        int64_t taken = share[i].n < 0 ? 0 : share[i].n > whole ? whole : share[i].n;
        sum += times(taken, share[i].price);
        whole -= taken;
    }
    return sum + times(whole, price);
}

static int64_t cost_at(const struct lun_price *p, const struct lun_usage *u)
{
#define SHARE(tokens, part) { u->tokens, charged(p, AT(part)) }
    struct share in[] = { SHARE(cached_input, cached_input), SHARE(cache_write, cache_write), SHARE(cache_write_1h, cache_write_1h),
                          SHARE(audio_input, audio_input), SHARE(image_input, image_input) };
    struct share out[] = { SHARE(reasoning, reasoning), SHARE(audio_output, audio_output), SHARE(image_output, image_output) };
#undef SHARE
    return total(cost_of(at_least_0(u->input), p->input, in, 5) + cost_of(at_least_0(u->output), p->output, out, 3), p->request);
}

int64_t lun_price_cost(const struct lun_price *p, const struct lun_usage *u)
{
    int64_t cost = 0;
    unsigned services = u->services ? u->services : 1u << LUN_SERVICE_STANDARD;
    if (!lun_price_known(p)) return 0;
    if (!p->n_tiers) return cost_at(p, u);
    for (int i = 0; i < LUN_SERVICE_COUNT; i++)
        if (services & 1u << i) cost = dearer(cost, cost_at(in_force(p, (enum lun_service)i, u->input), u));
    return cost;
}

struct dearest { int64_t input, output, fee; };

static void fold(struct dearest *d, const struct lun_price *p)
{
    for (size_t i = 0; i < PARTS; i++) {
        int64_t *to = i == AT(request) ? &d->fee : i == AT(output) || i == AT(reasoning) || i == AT(audio_output) || i == AT(image_output) ? &d->output : &d->input;
        *to = dearer(*to, given(p, i));
    }
}

int64_t lun_price_bound(const struct lun_price *p, unsigned services, int64_t input, int64_t output)
{
    struct dearest d = { 0, 0, 0 };
    if (!lun_price_known(p)) return 0;
    if (!services) services = 1u << LUN_SERVICE_STANDARD;
    for (int i = 0; i < LUN_SERVICE_COUNT; i++)
        if (services & 1u << i) fold(&d, in_force(p, (enum lun_service)i, 0));
    for (int i = 0; i < p->n_tiers; i++) {
        const struct lun_price_tier *t = &p->tiers[i];
        bool may = t->service == LUN_SERVICE_STANDARD || services & 1u << t->service;     /* a service without its own prices is like it */
        if (may && holds(t, input)) fold(&d, &t->price);
    }
    return total(times(at_least_0(input), d.input) + times(at_least_0(output), d.output), d.fee);
}

/* ---- means ---- */

void lun_price_sum_add(struct lun_price_sum *sum, const struct lun_price *p)
{
    for (size_t i = 0; i < PARTS; i++) sum->part[i] += charged(p, i);
    sum->n++;
}

struct lun_price lun_price_sum_mean(const struct lun_price_sum *sum)
{
    struct lun_price mean = lun_price_unknown;
    for (size_t i = 0; sum->n && i < PARTS; i++) parts(&mean)[i] = (int64_t)(sum->part[i] / sum->n);
    return mean;
}

size_t lun_price_text(int64_t nano, char out[24])
{
    size_t n = lun_decimal_parts(out, nano, 9);
    while (out[n - 1] == '0') n--;
    if (out[n - 1] == '.') n--;
    out[n] = 0;
    return n;
}

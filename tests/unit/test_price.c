/* Prices and costs are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/price.h"
#include <stdio.h>
#include <string.h>

static int64_t parsed(const char *text)
{
    int64_t nano = -77;
    return lun_price_parse(text, strlen(text), &nano) ? nano : -1;
}

static void decimal_text_becomes_exact_nano_dollars(void **s)
{
    (void)s;
    static const struct { const char *text; int64_t nano; } cases[] = {
        { "0", 0 }, { "0.42", 420000000 }, { "1", 1000000000 }, { "0.000000001", 1 }, { "15.00", 15000000000 },
        { ".5", 500000000 }, { "5.", 5000000000 }, { "007.5", 7500000000 }, { "0.1", 100000000 }, { "9000000", 9000000000000000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(parsed(cases[i].text), cases[i].nano);
}

static void exponents_are_decimal_numbers_too(void **s)
{
    (void)s;
    assert_int_equal(parsed("4.2e-7"), 420);
    assert_int_equal(parsed("4.2E-07"), 420);
    assert_int_equal(parsed("1e3"), 1000000000000);
    assert_int_equal(parsed("1.5e+1"), 15000000000);
    assert_int_equal(parsed("0e999999999999"), 0);
    assert_int_equal(parsed("123456789e-8"), 1234567890);
    assert_int_equal(parsed("1e-999999999999"), 1);      /* more than nothing is rounded up */
}

static void more_than_nine_decimals_are_rounded_up(void **s)
{
    (void)s;
    assert_int_equal(parsed("0.0000000001"), 1);
    assert_int_equal(parsed("0.4200000000"), 420000000);
    assert_int_equal(parsed("0.42000000001"), 420000001);
    assert_int_equal(parsed("0.99999999999"), 1000000000);
}

static void what_is_not_a_decimal_number_is_refused(void **s)
{
    (void)s;
    static const char *const wrong[] = { "", ".", "-1", "+1", "-0", " 1", "1 ", "1,5", "1.2.3", "nan", "inf", "0x10", "1e", "1e+", "1e1.5", "e5",
                                         "--1", "1e--1", "9000000.000000001", "9000001", "1e7", "99999999999999999999", "1e99999999999" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t nano = 5;
        if (lun_price_parse(wrong[i], strlen(wrong[i]), &nano)) fail_msg("took '%s' as %lld", wrong[i], (long long)nano);
        assert_int_equal(nano, 5);
    }
    int64_t nano;
    assert_false(lun_price_parse("1\0002", 3, &nano));
    assert_true(lun_price_parse("12xyz", 2, &nano));     /* only the n bytes are read */
    assert_int_equal(nano, 12000000000);
}

static const struct lun_price plain = { .input = 420000000, .output = 840000000, .cached_input = LUN_UNPRICED, .cache_write = LUN_UNPRICED,
                                        .reasoning = LUN_UNPRICED, .request = LUN_UNPRICED };

static void a_cost_is_divided_once_and_rounded_up(void **s)
{
    (void)s;
    struct lun_usage u = { .input = 1000, .output = 500 };
    assert_int_equal(lun_price_cost(&plain, &u), 840000);       /* 420,000 + 420,000 nano-dollars */
    struct lun_price p = plain;
    p.input = 1; p.output = 1;
    u = (struct lun_usage){ .input = 1, .output = 1 };
    assert_int_equal(lun_price_cost(&p, &u), 1);                /* two millionths of one: not 2, not 0 */
    u = (struct lun_usage){ .input = 999999, .output = 1 };
    assert_int_equal(lun_price_cost(&p, &u), 1);
    u.output = 2;
    assert_int_equal(lun_price_cost(&p, &u), 2);
    u = (struct lun_usage){ 0 };
    assert_int_equal(lun_price_cost(&p, &u), 0);
}

static void each_kind_of_token_has_its_own_price(void **s)
{
    (void)s;
    struct lun_price p = { .input = 1000000, .output = 10000000, .cached_input = 100000, .cache_write = 2000000, .reasoning = 20000000, .request = 7 };
    struct lun_usage u = { .input = 100, .cached_input = 50, .cache_write = 10, .output = 20, .reasoning = 5 };
    assert_int_equal(lun_price_cost(&p, &u), 40 * 1 + 5 + 10 * 2 + 15 * 10 + 5 * 20 + 7);
}

static void prices_not_given_fall_back_to_input_and_output(void **s)
{
    (void)s;
    struct lun_usage u = { .input = 1000, .cached_input = 400, .cache_write = 100, .output = 500, .reasoning = 300 };
    assert_int_equal(lun_price_cost(&plain, &u), 840000);
    struct lun_price freed = plain;
    freed.cached_input = 0;                                     /* given as free is not "not given" */
    assert_int_equal(lun_price_cost(&freed, &u), 840000 - 400 * 420);
}

static void parts_larger_than_their_whole_are_cut(void **s)
{
    (void)s;
    struct lun_price p = { .input = 1000000, .output = 1000000, .cached_input = 0, .cache_write = 3000000, .reasoning = 2000000, .request = 0 };
    struct lun_usage u = { .input = 10, .cached_input = 8, .cache_write = 100, .output = 10, .reasoning = 1000 };
    assert_int_equal(lun_price_cost(&p, &u), 10 * 3 + 10 * 2);   /* the dearest is believed */
    u = (struct lun_usage){ .input = -10, .cached_input = -5, .cache_write = -1, .output = -3, .reasoning = -9 };
    assert_int_equal(lun_price_cost(&p, &u), 0);
}

static void an_unknown_price_is_known_as_such_and_costs_nothing(void **s)
{
    (void)s;
    struct lun_usage u = { .input = 1000, .output = 1000 };
    struct lun_price half = lun_price_unknown;
    half.input = 5;
    assert_false(lun_price_known(&lun_price_unknown));
    assert_false(lun_price_known(&half));
    assert_true(lun_price_known(&plain));
    assert_int_equal(lun_price_cost(&half, &u), 0);
    assert_int_equal(lun_price_bound(&half, 0, 1000, 1000), 0);
}

static void absurd_usage_saturates_instead_of_overflowing(void **s)
{
    (void)s;
    struct lun_price p = { .input = 9000000000000000, .output = 9000000000000000, .cached_input = -1, .cache_write = -1, .reasoning = -1, .request = INT64_MAX };
    struct lun_usage u = { .input = INT64_MAX, .output = INT64_MAX };
    assert_int_equal(lun_price_cost(&p, &u), INT64_MAX);
    assert_int_equal(lun_price_bound(&p, 0, INT64_MAX, INT64_MAX), INT64_MAX);
}

static uint64_t dice = 42;
static int64_t any(int64_t below) { dice = dice * 6364136223846793005u + 1442695040888963407u; return (int64_t)((dice >> 33) % (uint64_t)below); }

static void a_bound_is_never_below_what_a_usage_within_it_costs(void **s)
{
    (void)s;
    for (int i = 0; i < 20000; i++) {
        struct lun_price p = { any(5000000), any(5000000), any(5000000) - 1, any(9000000) - 1, any(9000000) - 1, any(100) - 1, -1, -1, -1, -1, -1, NULL, 0 };
        struct lun_usage u = { .input = any(5000), .cached_input = any(6000), .cache_write = any(6000), .output = any(5000), .reasoning = any(6000) };
        assert_true(lun_price_bound(&p, 0, u.input, u.output) >= lun_price_cost(&p, &u));
    }
    assert_int_equal(lun_price_bound(&plain, 0, 1000, 500), 840000);
}

/* ---- tiers ---- */

static struct lun_arena arena;

static struct lun_price_tier tier(enum lun_service service, int64_t above, int64_t input, int64_t output)
{
    struct lun_price_tier t = { service, above, lun_price_unknown };
    t.price.input = input, t.price.output = output;
    return t;
}

#define USD(n) ((int64_t)(n) * 1000000000)

static int64_t million(const struct lun_price *p, unsigned services, int64_t input)      /* USD × 1000 of that input */
{
    struct lun_usage u = { .input = input, .services = services };
    return lun_price_cost(p, &u) / 1000000;
}

static void all_of_a_long_request_costs_what_holds_above_its_length(void **s)
{
    (void)s;
    struct lun_price p = lun_price_unknown;
    p.input = USD(1), p.output = USD(10), p.cached_input = USD(1) / 10;
    lun_price_tiers(&p, (const struct lun_price_tier[]){ tier(0, 500000, USD(4), USD(20)), tier(0, 200000, USD(2), -1) }, 2, &arena);
    assert_int_equal(million(&p, 0, 200000), 200);
    assert_int_equal(million(&p, 0, 200001), 400);
    assert_int_equal(million(&p, 0, 500000), 1000);
    assert_int_equal(million(&p, 0, 500001), 2000);
    struct lun_usage u = { .input = 300000, .cached_input = 300000, .output = 1000 };
    assert_int_equal(lun_price_cost(&p, &u), USD(1) / 1000 * 600 + USD(1) / 100);   /* what the tier leaves open: the dearer of both */
    assert_int_equal(lun_price_bound(&p, 0, 200000, 0), USD(2) / 10);
    assert_int_equal(lun_price_bound(&p, 0, 200001, 0), 400002000);
}

static void each_class_of_service_has_its_prices_and_one_without_is_billed_as_standard(void **s)
{
    (void)s;
    struct lun_price p = lun_price_unknown;
    unsigned flex = 1 << LUN_SERVICE_FLEX, priority = 1 << LUN_SERVICE_PRIORITY, batch = 1 << LUN_SERVICE_BATCH, standard = 1 << LUN_SERVICE_STANDARD;
    p.input = USD(2), p.output = USD(10);
    lun_price_tiers(&p, (const struct lun_price_tier[]){ tier(LUN_SERVICE_FLEX, 0, USD(1), USD(5)), tier(LUN_SERVICE_PRIORITY, 0, USD(4), USD(20)), tier(0, 1000, USD(3), USD(15)) }, 3, &arena);
    assert_int_equal(million(&p, 0, 1000), 2);
    assert_int_equal(million(&p, flex, 1000), 1);
    assert_int_equal(million(&p, priority, 1000), 4);
    assert_int_equal(million(&p, batch, 1000), 2);
    assert_int_equal(million(&p, flex | standard, 1000), 2);                        /* it may have been either */
    assert_int_equal(million(&p, LUN_SERVICES_ALL, 1000), 4);
    assert_int_equal(million(&p, flex, 10000), 30);                                 /* long and flex, of which nobody says: the dearer */
    assert_int_equal(million(&p, priority, 10000), 40);
    assert_int_equal(million(&p, batch, 10000), 30);
    assert_int_equal(lun_price_bound(&p, standard, 1000, 0) / 1000000, 2);
    assert_int_equal(lun_price_bound(&p, LUN_SERVICES_ALL, 1000, 0) / 1000000, 4);
}

static void equal_prices_are_equal_with_their_tiers(void **s)
{
    (void)s;
    struct lun_price a = plain, b = plain;
    const struct lun_price_tier one[] = { tier(0, 1000, 5, 6) }, other[] = { tier(0, 1000, 5, 7) };
    lun_price_tiers(&a, one, 1, &arena), lun_price_tiers(&b, one, 1, &arena);
    assert_true(lun_price_equal(&a, &b));
    lun_price_tiers(&b, other, 1, &arena);
    assert_false(lun_price_equal(&a, &b));
    assert_false(lun_price_equal(&a, &plain));
}

/* ---- a second, slow way to reckon: token by token, prices looked up in what was given, sums in decimal digits ---- */

enum { DIGITS = 48 };
struct big { int digit[DIGITS]; };      /* the smallest first */

static void big_add(struct big *sum, uint64_t n)
{
    int carry = 0;
    for (int i = 0; i < DIGITS; i++, n /= 10) {
        carry += sum->digit[i] + (int)(n % 10);
        sum->digit[i] = carry % 10, carry /= 10;
    }
}

static void big_add_times(struct big *sum, uint64_t times, uint64_t n)      /* by the digits of `times`, as on paper */
{
    for (int shift = 0; times; times /= 10, shift++)
        for (uint64_t k = times % 10; k; k--) {
            struct big upper = { { 0 } };
            memcpy(upper.digit, sum->digit + shift, (size_t)(DIGITS - shift) * sizeof(int));
            big_add(&upper, n);
            memcpy(sum->digit + shift, upper.digit, (size_t)(DIGITS - shift) * sizeof(int));
        }
}

static int64_t big_by_a_million(const struct big *sum, int64_t fee)     /* rounded up */
{
    struct big whole = { { 0 } };
    bool rest = false;
    for (int i = 0; i < 6; i++) rest |= sum->digit[i] != 0;
    for (int i = 6; i < DIGITS; i++) whole.digit[i - 6] = sum->digit[i];
    big_add(&whole, (uint64_t)rest + (uint64_t)fee);
    int64_t n = 0;
    for (int i = DIGITS - 1; i >= 0; i--)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, whole.digit[i], &n)) return INT64_MAX;
    return n;
}

struct book { struct lun_price base; struct lun_price_tier given[8]; int n; };
enum part { INPUT, OUTPUT, CACHED, WRITE, THINK, FEE, WRITE_1H, AUDIO_IN, IMAGE_IN, AUDIO_OUT, IMAGE_OUT };

static int64_t said(const struct lun_price *p, int part)
{
    const int64_t all[] = { p->input, p->output, p->cached_input, p->cache_write, p->reasoning, p->request, p->cache_write_1h, p->audio_input, p->image_input, p->audio_output, p->image_output };
    return all[part];
}

static int stand_in(int part)
{
    if (part == WRITE_1H) return WRITE;
    return part == THINK || part == AUDIO_OUT || part == IMAGE_OUT ? OUTPUT : INPUT;
}

static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t base_rate(const struct book *b, int part)
{
    if (said(&b->base, part) >= 0) return said(&b->base, part);
    return part == FEE ? 0 : base_rate(b, stand_in(part));
}

static const struct lun_price_tier *written(const struct book *b, enum lun_service service, int64_t above)
{
    for (int i = 0; i < b->n; i++) if (b->given[i].service == service && b->given[i].above == above) return &b->given[i];
    return NULL;
}

static int64_t rate(const struct book *b, enum lun_service service, int64_t above, int part, bool *there);

/* Of a tier that was written: its own word; else what it falls back to, and not less than what it would cost without it. */
static int64_t written_rate(const struct book *b, const struct lun_price_tier *t, int part)
{
    bool longer = false;
    int64_t without = -1;
    if (said(&t->price, part) >= 0) return said(&t->price, part);
    if (t->service) without = rate(b, 0, t->above, part, &longer);
    if (longer && t->above && written(b, 0, t->above)) {        /* the long price of that part, if the long one says or has it */
        if (said(&written(b, 0, t->above)->price, part) < 0 && said(&b->base, part) < 0) without = -1;
    } else without = said(&b->base, part);
    if (part == INPUT || part == OUTPUT) return without;
    if (without < 0 && part == FEE) return 0;
    int64_t other = part == FEE ? 0 : written_rate(b, t, stand_in(part));
    return max(without, other);
}

static int64_t rate(const struct book *b, enum lun_service service, int64_t above, int part, bool *there)
{
    const struct lun_price_tier *t = written(b, service, above);
    *there = true;
    if (t) return written_rate(b, t, part);
    bool shorter = false, longer = false;
    int64_t best = -1, short_rate = 0, long_rate = 0;
    for (int i = 0; i < b->n; i++) {
        bool is = false;
        int64_t at = b->given[i].above, r;
        if (at >= above || at < best) continue;
        r = rate(b, service, at, part, &is);
        if (is) shorter = true, best = at, short_rate = r;
    }
    if (service && above && written(b, 0, above)) long_rate = rate(b, 0, above, part, &longer);
    *there = shorter && longer;
    return max(short_rate, long_rate);
}

static int64_t rate_of(const struct book *b, enum lun_service service, int64_t input, int part)
{
    int64_t best = -1, found = 0;
    bool own = false;
    for (int i = 0; i < b->n; i++) {
        bool is;
        int64_t at = b->given[i].above, r = rate(b, service, at, part, &is);
        own |= is;
        if (is && (!at || input > at) && at > best) best = at, found = r;
    }
    if (best >= 0) return found;
    return own || !service ? base_rate(b, part) : rate_of(b, 0, input, part);
}

/* Gives each token of a whole to the dearest part that still claims one. */
static void add_tokens(struct big *sum, int64_t whole, int64_t claims[], const int64_t rates[], int n, int64_t otherwise)
{
    for (; whole; whole--) {
        int dearest = -1;
        for (int i = 0; i < n; i++) if (claims[i] > 0 && (dearest < 0 || rates[i] > rates[dearest])) dearest = i;
        big_add(sum, (uint64_t)(dearest < 0 ? otherwise : rates[dearest]));
        if (dearest >= 0) claims[dearest]--;
    }
}

static int64_t slow_cost(const struct book *b, const struct lun_usage *u)
{
    int64_t most = 0;
    for (int s = 0; s < LUN_SERVICE_COUNT; s++) {
        if (!((u->services ? u->services : 1) & 1u << s)) continue;
#define RATE(part) rate_of(b, (enum lun_service)s, u->input, part)
        struct big sum = { { 0 } };
        int64_t in[] = { u->cached_input, u->cache_write, u->cache_write_1h, u->audio_input, u->image_input }, out[] = { u->reasoning, u->audio_output, u->image_output };
        const int64_t in_rates[] = { RATE(CACHED), RATE(WRITE), RATE(WRITE_1H), RATE(AUDIO_IN), RATE(IMAGE_IN) }, out_rates[] = { RATE(THINK), RATE(AUDIO_OUT), RATE(IMAGE_OUT) };
        add_tokens(&sum, u->input, in, in_rates, 5, RATE(INPUT));
        add_tokens(&sum, u->output, out, out_rates, 3, RATE(OUTPUT));
        most = max(most, big_by_a_million(&sum, RATE(FEE)));
#undef RATE
    }
    return most;
}

static int64_t maybe(int64_t below) { return any(3) ? any(below) : -1; }

static struct lun_price random_price(bool known)
{
    struct lun_price p = { known ? any(5000000) : maybe(5000000), known ? any(5000000) : maybe(5000000), maybe(5000000), maybe(9000000), maybe(9000000), maybe(100), maybe(9000000),
                           maybe(9000000), maybe(9000000), maybe(9000000), maybe(9000000), NULL, 0 };
    return p;
}

static struct lun_price random_book(struct book *b)
{
    *b = (struct book){ .base = random_price(true) };
    for (int n = (int)any(6); n; n--) {
        enum lun_service service = (enum lun_service)any(LUN_SERVICE_COUNT);
        int64_t above = any(3) * 10;
        if ((!service && !above) || written(b, service, above)) continue;
        b->given[b->n++] = (struct lun_price_tier){ service, above, random_price(false) };
    }
    struct lun_price p = b->base;
    lun_price_tiers(&p, b->given, b->n, &arena);
    return p;
}

static struct lun_usage random_usage(void)
{
    return (struct lun_usage){ .services = (unsigned)any(LUN_SERVICES_ALL + 1), .input = any(40), .cached_input = any(20), .cache_write = any(20), .cache_write_1h = any(20), .audio_input = any(20),
                               .image_input = any(20), .output = any(40), .reasoning = any(20), .audio_output = any(20), .image_output = any(20) };
}

static void costs_are_those_of_the_slow_way_and_never_above_the_bound(void **s)
{
    (void)s;
    for (int i = 0; i < 6000; i++) {
        struct book b;
        const struct lun_price p = random_book(&b);
        struct lun_usage u = random_usage();
        int64_t cost = lun_price_cost(&p, &u), slow = slow_cost(&b, &u);
        if (cost != slow) fail_msg("round %d: %ld, slowly %ld", i, (long)cost, (long)slow);
        if (cost > lun_price_bound(&p, u.services | (unsigned)any(LUN_SERVICES_ALL + 1), u.input + any(20), u.output + any(20))) fail_msg("round %d: above its bound", i);
        lun_arena_free(&arena);
    }
}

static void large_sums_are_exact_to_the_nano_dollar(void **s)
{
    (void)s;
    for (int i = 0; i < 2000; i++) {
        struct lun_price p = lun_price_unknown;
        struct big sum = { { 0 } };
        struct lun_usage u = { .input = any(INT32_MAX) * any(500), .output = any(INT32_MAX) * any(500) };
        p.input = any(INT32_MAX) * any(3000), p.output = any(INT32_MAX) * any(3000), p.request = any(1000);
        big_add_times(&sum, (uint64_t)u.input, (uint64_t)p.input);
        big_add_times(&sum, (uint64_t)u.output, (uint64_t)p.output);
        assert_int_equal(lun_price_cost(&p, &u), big_by_a_million(&sum, p.request));
    }
}

static void a_price_per_token_is_exact_too(void **s)
{
    (void)s;
    static const struct { const char *text; int64_t nano; } cases[] = {
        { "6e-06", USD(6) }, { "2.8e-09", 2800000 }, { "3.75e-06", 3750000000 }, { "0", 0 }, { "0.00016", USD(160) }, { "3.3333333333333335e-05", 33333333334 }, { "1e-16", 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t nano = -1;
        assert_true(lun_price_parse_per_token(cases[i].text, strlen(cases[i].text), &nano));
        assert_int_equal(nano, cases[i].nano);
    }
    int64_t nano = 5;
    assert_false(lun_price_parse_per_token("9.1", 3, &nano));
    assert_false(lun_price_parse_per_token("-1e-6", 5, &nano));
    assert_int_equal(nano, 5);
}

static void money_is_written_with_the_decimals_it_has(void **s)
{
    (void)s;
    static const struct { int64_t nano; const char *text; } cases[] = {
        { 0, "0" }, { 1, "0.000000001" }, { 123000, "0.000123" }, { 1000000000, "1" }, { 1500000000, "1.5" }, { 10000000000, "10" },
        { -500000000, "-0.5" }, { INT64_MAX, "9223372036.854775807" }, { INT64_MIN, "-9223372036.854775808" },
    };
    char out[24];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lun_price_text(cases[i].nano, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void what_is_written_reads_back_the_same(void **s)
{
    (void)s;
    char out[24];
    for (int i = 0; i < 20000; i++) {
        int64_t nano = any(INT32_MAX) * any(4000000);
        lun_price_text(nano, out);
        assert_int_equal(parsed(out), nano);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimal_text_becomes_exact_nano_dollars),
        cmocka_unit_test(exponents_are_decimal_numbers_too),
        cmocka_unit_test(more_than_nine_decimals_are_rounded_up),
        cmocka_unit_test(what_is_not_a_decimal_number_is_refused),
        cmocka_unit_test(a_cost_is_divided_once_and_rounded_up),
        cmocka_unit_test(each_kind_of_token_has_its_own_price),
        cmocka_unit_test(prices_not_given_fall_back_to_input_and_output),
        cmocka_unit_test(parts_larger_than_their_whole_are_cut),
        cmocka_unit_test(an_unknown_price_is_known_as_such_and_costs_nothing),
        cmocka_unit_test(absurd_usage_saturates_instead_of_overflowing),
        cmocka_unit_test(a_bound_is_never_below_what_a_usage_within_it_costs),
        cmocka_unit_test(all_of_a_long_request_costs_what_holds_above_its_length),
        cmocka_unit_test(each_class_of_service_has_its_prices_and_one_without_is_billed_as_standard),
        cmocka_unit_test(equal_prices_are_equal_with_their_tiers),
        cmocka_unit_test(costs_are_those_of_the_slow_way_and_never_above_the_bound),
        cmocka_unit_test(large_sums_are_exact_to_the_nano_dollar),
        cmocka_unit_test(a_price_per_token_is_exact_too),
        cmocka_unit_test(money_is_written_with_the_decimals_it_has),
        cmocka_unit_test(what_is_written_reads_back_the_same),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lun_arena_free(&arena);
    return failed;
}

/* A file of prices: every entry is read or what of it was not is named; no price is negative or lower than what was written; no hold is below a cost. */
#include "fuzz.h"
#include "script/price_file.h"
#include <math.h>

static void promise_amounts(const struct lun_price *p)
{
    const int64_t *part = &p->input;
    for (int i = 0; i < LUN_PRICE_PART_COUNT; i++) PROMISE(part[i] >= LUN_UNPRICED);
}

static void promise_price(const struct lun_price *p)
{
    promise_amounts(p);
    PROMISE(p->n_tiers >= 0);
    for (int i = 0; i < p->n_tiers; i++) {
        PROMISE(p->tiers[i].above >= 0 && p->tiers[i].service < LUN_SERVICE_COUNT && lun_price_known(&p->tiers[i].price) && !p->tiers[i].price.n_tiers);
        promise_amounts(&p->tiers[i].price);
    }
}

static struct lun_usage some_usage(unsigned seed)
{
    struct lun_usage u = { .known = true, .services = seed % 16, .input = seed * 977 % 400000, .output = seed * 331 % 9000 };
    u.cached_input = u.input / 3, u.cache_write = u.input / 4, u.cache_write_1h = u.input / 7, u.audio_input = u.input / 9, u.image_input = u.input / 5;
    u.reasoning = u.output / 2, u.audio_output = u.output / 5, u.image_output = u.output / 11;
    return u;
}

static void promise_bound(const struct lun_price *p, unsigned seed)
{
    struct lun_usage u = some_usage(seed);
    int64_t cost = lun_price_cost(p, &u);
    PROMISE(cost >= 0 && lun_price_bound(p, u.services, u.input, u.output) >= cost);
}

/* A price per token that was used is what the file says, rounded up. */
static void promise_exact(const struct lun_price_entry *e, struct lun_json entry)
{
    double usd;
    struct lun_json v = lun_json_get(entry, "input_cost_per_token");
    if (!lun_price_known(&e->price) || !lun_json_double(v, &usd)) return;
    PROMISE((double)e->price.input >= usd * 1e15 * (1 - 1e-12));
}

static bool is_named(const struct lun_price_file *f, const char *entry)
{
    for (int i = 0; i < f->n_odd; i++) if (!strcmp(f->odd[i].entry, entry)) return true;
    return f->more_odd;
}

static void promise_entry(const struct lun_price_file *f, struct lun_json name, struct lun_json entry, unsigned seed)
{
    struct lun_buf text = {0};
    PROMISE(lun_json_string(name, true, &text));
    const struct lun_price_entry *e = lun_price_file_find(f, lun_buf_text(&text));
    PROMISE(e && !strcmp(e->name, text.at) && e->odd >= 0 && e->context >= 0 && e->max_output >= 0);
    PROMISE(lun_price_known(&e->price) || is_named(f, e->name));
    PROMISE((e->odd > 0) == is_named(f, e->name) || f->more_odd);
    promise_price(&e->price);
    promise_bound(&e->price, seed);
    promise_exact(e, entry);
    lun_buf_free(&text);
}

/* One decimal number, and whether it is what it says. */
static void promise_decimal(struct input in)
{
    int64_t nano = -7;
    char copy[64];
    if (in.n >= sizeof copy) return;
    memcpy(copy, in.at, in.n), copy[in.n] = 0;
    if (!lun_price_parse(in.at, in.n, &nano)) { PROMISE(nano == -7); return; }
    double usd = strtod(copy, NULL);
    PROMISE(nano >= 0 && (double)nano >= usd * 1e9 * (1 - 1e-12) && (double)nano <= usd * 1e9 * (1 + 1e-12) + 1);
}

void fuzz_prices(struct input in)
{
    unsigned seed = take(&in) | take(&in) << 8;
    char *copy = copy_of(in.at, in.n);
    struct lun_arena arena = {0};
    struct lun_price_file f;
    struct lun_json_error error = {0};
    struct lun_json all;
    bool read = lun_price_file_read(copy, in.n, &arena, &f, &error);
    PROMISE(read || (error.what && error.at <= in.n));
    if (read) {
        PROMISE(lun_json_check(copy, in.n, &all, NULL) && (size_t)f.n == lun_json_count(all) && f.whole <= f.n && f.priced <= f.n);
        for (struct lun_json_each e = lun_json_each(all); lun_json_next(&e); ) promise_entry(&f, e.key, e.value, seed);
    }
    promise_decimal(in);
    lun_arena_free(&arena);
    free(copy);
}

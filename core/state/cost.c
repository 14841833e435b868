#include "state/question.h"
#include <string.h>

static int64_t default_cap(const struct lun_question *q, const struct lun_target *t)
{
    int64_t cap = q->snapshot->limits.output;
    return t->max_output && t->max_output < cap ? t->max_output : cap;
}

/* ---- fields once the edits are made ---- */

#define UNKNOWN (-2)

static int64_t whole(struct lun_json value)
{
    int64_t v;
    if (!value.n || lun_json_type(value) == LUN_JSON_NULL) return -1;
    return lun_json_int(value, &v) && v >= 0 ? v : UNKNOWN;
}

static bool is(const char *text, const char *name) { return *text == *name && !strcmp(text, name); }

/* The value of a field of the body once the edits are made; the last edit that was said counts, as in the body itself. False: nobody can tell. */
static bool edited(const struct lun_question *q, enum lun_field f, const struct lun_edit *edits, struct lun_json *value)
{
    const char *name = lun_question_keys.name[f];
    const struct lun_edit *last = NULL;
    for (const struct lun_edit *e = edits; e; e = e->next) {
        if (is(e->field, name)) last = e;
        if (e->what == LUN_EDIT_RENAME && is(e->value, name)) return false;
    }
    *value = !last ? lun_question_field(q, f) : last->what == LUN_EDIT_SET ? (struct lun_json){ last->value, strlen(last->value) } : (struct lun_json){0};
    return true;
}

/* -1: not there; UNKNOWN: nobody can tell from here. */
static int64_t number(const struct lun_question *q, enum lun_field f, const struct lun_edit *edits)
{
    struct lun_json value;
    return edited(q, f, edits, &value) ? whole(value) : UNKNOWN;
}

/* ---- what has no bound ---- */

/* Asks for nothing but text. */
static bool only_text(struct lun_json modalities)
{
    for (struct lun_json_each e = lun_json_each(modalities); lun_json_next(&e); ) if (!lun_json_is(e.value, "text")) return false;
    return lun_json_type(modalities) == LUN_JSON_ARRAY;
}

static bool buys(const struct lun_question *q, enum lun_field f, const struct lun_edit *edits)
{
    struct lun_json value;
    if (!edited(q, f, edits, &value)) return true;
    enum lun_json_type type = lun_json_type(value);
    if (type == LUN_JSON_NONE || type == LUN_JSON_NULL || type == LUN_JSON_FALSE) return false;
    return f != LUN_FIELD_modalities || !only_text(value);
}

/* The first such field; -1: none. */
static int bought(const struct lun_question *q, const struct lun_edit *edits)
{
    static const enum lun_field paid[] = {
#define X(name) LUN_FIELD_##name,
        LUN_PAID_KEYS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof paid / sizeof *paid; i++) if (buys(q, paid[i], edits)) return (int)paid[i];
    return -1;
}

/* ---- the bound ---- */

static int64_t larger(int64_t a, int64_t b) { return a == UNKNOWN || b == UNKNOWN ? UNKNOWN : a > b ? a : b; }

static bool is_cap(const char *name) { return !strcmp(name, "max_tokens") || !strcmp(name, "max_completion_tokens"); }

/* What one of the two caps says once the edits are made, under its own name or the other's: one that only changes its name keeps its value. */
static int64_t cap_of(const struct lun_question *q, enum lun_field f, const struct lun_edit *edits)
{
    const struct lun_edit *last = NULL;
    for (const struct lun_edit *e = edits; e; e = e->next) {
        if (!strcmp(e->field, lun_question_keys.name[f])) last = e;
        if (e->what == LUN_EDIT_RENAME && is_cap(e->value) && !is_cap(e->field)) return UNKNOWN;
    }
    if (last && last->what == LUN_EDIT_SET) return whole((struct lun_json){ last->value, strlen(last->value) });
    bool stays = !last || (last->what == LUN_EDIT_RENAME && is_cap(last->value));
    return stays ? whole(lun_question_field(q, f)) : -1;
}

/* The output cap that the body will carry; -1: none. */
static int64_t carried_cap(const struct lun_question *q, const struct lun_edit *edits)
{
    return larger(cap_of(q, LUN_FIELD_max_tokens, edits), cap_of(q, LUN_FIELD_max_completion_tokens, edits));
}

/* How many answers are paid for: `n`, or the `best_of` from which they are chosen, for each prompt. */
static int64_t answers(const struct lun_question *q, const struct lun_edit *edits, int64_t prompts)
{
    int64_t each = larger(number(q, LUN_FIELD_n, edits), number(q, LUN_FIELD_best_of, edits));
    if (each == UNKNOWN) return UNKNOWN;
    return __builtin_mul_overflow(each > 1 ? each : 1, prompts, &each) ? UNKNOWN : each;
}

/* What was predicted and did not come true is paid for as output, beside the answer. */
static int64_t predicted(const struct lun_question *q, const struct lun_edit *edits)
{
    struct lun_json value;
    if (!edited(q, LUN_FIELD_prediction, edits, &value)) return UNKNOWN;
    return lun_json_type(value) == LUN_JSON_NULL ? 0 : (int64_t)value.n;
}

/* The survey with what the edits add to the input. What they take away is not taken off. */
static struct lun_survey surveyed(struct lun_question *q, const struct lun_edit *edits)
{
    lun_question_survey(q);
    struct lun_survey s = q->survey;
    for (const struct lun_edit *e = edits; e; e = e->next) {
        size_t n = e->value ? strlen(e->value) : 0;
        struct lun_survey own = { .prompts = 1 };
        s.bound += (int64_t)(strlen(e->field) + n);
        for (int f = 0; e->what == LUN_EDIT_SET && f < LUN_FIELD_COUNT; f++)
            if (!strcmp(e->field, lun_question_keys.name[f])) lun_survey_add(&own, q->endpoint, (enum lun_field)f, (struct lun_json){ e->value, n });
        s.bound += own.bound + (int64_t)own.tokens.grows;
        s.images += own.images;
        if (own.opaque) s.opaque = own.opaque;
        if (own.prompts > s.prompts) s.prompts = own.prompts;
    }
    return s;
}

/* Output tokens of all answers at most, `cap` for one where the body says nothing; -1: nobody can tell. *silent: it says nothing. */
static int64_t output_of(const struct lun_question *q, const struct lun_edit *edits, int64_t prompts, int64_t cap, bool *silent)
{
    bool writes = q->endpoint != LUN_ENDPOINT_EMBEDDINGS;
    int64_t out = !writes ? 0 : edits ? carried_cap(q, edits) : q->max_tokens, more = writes ? predicted(q, edits) : 0, n = answers(q, edits, prompts);
    *silent = out == -1;
    if (*silent) out = cap;
    if (out == UNKNOWN || more == UNKNOWN || n == UNKNOWN || __builtin_add_overflow(out, more, &out)) return -1;
    return __builtin_mul_overflow(out, n, &out) ? -1 : out;
}

const char *lun_question_unknown(struct lun_question *q, const struct lun_edit *edits)
{
    struct lun_survey s = surveyed(q, edits);
    int field = bought(q, edits);
    bool silent;
    if (field >= 0) return lun_arena_printf(q->arena, "the field `%s`", lun_question_keys.name[field]);
    if (s.opaque) return s.opaque;
    return output_of(q, edits, s.prompts, 0, &silent) < 0 ? "a number of tokens or answers that is no whole number, or too large" : NULL;
}

int64_t lun_question_output(struct lun_question *q, const struct lun_target *t, const struct lun_edit *edits)
{
    bool silent;
    return output_of(q, edits, surveyed(q, edits).prompts, default_cap(q, t), &silent);
}

/* OpenAI: "auto", or nothing, is what the project is set to; "default" is the standard one; another may be answered by the standard one. */
unsigned lun_question_services(struct lun_question *q, const struct lun_edit *edits, unsigned unsaid)
{
    struct lun_json tier;
    if (!edited(q, LUN_FIELD_service_tier, edits, &tier)) return LUN_SERVICES_ALL;
    if (!tier.n || lun_json_type(tier) == LUN_JSON_NULL) return unsaid;
    unsigned asked = lun_usage_services(tier);
    return asked ? asked | 1u << LUN_SERVICE_STANDARD : LUN_SERVICES_ALL;
}

int64_t lun_question_bound(struct lun_question *q, const struct lun_target *t, const struct lun_edit *edits, int64_t *cap)
{
    bool silent;
    struct lun_survey s = surveyed(q, edits);
    int64_t most = default_cap(q, t), out = output_of(q, edits, s.prompts, most, &silent);
    if (cap) *cap = silent ? most : -1;
    if (out < 0 || s.opaque || bought(q, edits) >= 0 || !lun_price_known(&t->price)) return -1;
    unsigned services = t->price.n_tiers ? lun_question_services(q, edits, LUN_SERVICES_ALL) : 0;
    return lun_price_bound(&t->price, services, s.bound + (s.images ? s.images * lun_image_tokens(lun_question_upstream(q, t)) : 0), out);
}

int64_t lun_question_expected(struct lun_question *q, const struct lun_target *t)
{
    int64_t out = q->endpoint == LUN_ENDPOINT_EMBEDDINGS ? 0 : q->max_tokens >= 0 ? q->max_tokens : default_cap(q, t);
    struct lun_usage usage = { .known = true, .estimated = true, .input = lun_question_tokens(q), .output = (out < 500 ? out : 500) * q->n };
    return lun_price_known(&t->price) ? lun_price_cost(&t->price, &usage) : -1;
}

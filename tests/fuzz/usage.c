/* What an answer says it took: never a negative number, never a part beside its whole, never less than what it plainly says, nothing where it is nonsense. */
#include "fuzz.h"
#include "state/usage.h"
#include "state/price.h"

static void promise_parts(const struct lun_usage *u)
{
    PROMISE(u->input >= 0 && u->output >= 0 && u->cached_input >= 0 && u->cache_write >= 0 && u->cache_write_1h >= 0 && u->audio_input >= 0 && u->image_input >= 0);
    PROMISE(u->reasoning >= 0 && u->audio_output >= 0 && u->image_output >= 0);
    PROMISE(u->cached_input + u->cache_write + u->cache_write_1h <= u->input && u->audio_input <= u->input && u->image_input <= u->input);
    PROMISE(u->reasoning <= u->output && u->audio_output <= u->output && u->image_output <= u->output);
}

/* A whole that a name says is not made smaller. */
static void promise_at_least(struct lun_json usage, const char *name, int64_t counted)
{
    int64_t said;
    PROMISE(!lun_json_int(lun_json_get(usage, name), &said) || counted >= said);
}

static void promise_saturates(const struct lun_usage *u)
{
    struct lun_usage sum = { .input = INT64_MAX - 3, .output = INT64_MAX };
    lun_usage_add(&sum, u);
    PROMISE(sum.input >= INT64_MAX - 3 && sum.output == INT64_MAX);
}

void fuzz_usage(struct input in)
{
    static const struct lun_usage before = { .known = true, .input = 77, .suspect = LUN_SUSPECT_HOLD };
    static const struct lun_usage nothing;
    struct lun_usage u = before;
    struct lun_json v;
    char *copy = copy_of(in.at, in.n);
    if (lun_json_check(copy, in.n, &v, NULL)) {
        PROMISE(lun_usage_services(v) <= LUN_SERVICES_ALL);
        if (!lun_usage_read(v, &u)) PROMISE(!memcmp(&u, &before, sizeof u));
        else if (!u.known) PROMISE(u.suspect && !u.input && !u.output && !memcmp(&u.cached_input, &nothing.cached_input, sizeof u - offsetof(struct lun_usage, cached_input)));
        else {
            promise_parts(&u);
            promise_at_least(v, "prompt_tokens", u.input);
            promise_at_least(v, "input_tokens", u.input);
            promise_at_least(v, "completion_tokens", u.output);
            promise_at_least(v, "output_tokens", u.output);
            promise_at_least(v, "total_tokens", u.input + u.output);
            promise_saturates(&u);
        }
    }
    free(copy);
}

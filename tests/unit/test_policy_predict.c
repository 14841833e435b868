/* `lunette.predict`: the figure that training saw, of models that may be anything. */
#include "policy_world.h"
#include "state/router.h"

/* A router in Lua, its weights all of one letter. */
#define MODEL "local model = { format = 2, base = 0.25, scale = 0.5, weights = (('A'):rep(128) .. '\\n'):rep(256) } "

static void it_says_what_the_router_says(void **state)
{
    W;
    char weights[LUN_ROUTER_SIZE], wanted[64];
    memset(weights, 'A', sizeof weights);
    struct lun_router r = { weights, 0.5, 0.25 };
    snprintf(wanted, sizeof wanted, "%.14g", lun_router_gain(&r, "hello my world", 14));
    GIVES(MODEL "return tostring(lunette.predict(model, request))", wanted);
    GIVES(MODEL "return tostring(lunette.predict(model, 'hello my world'))", wanted);
    GIVES(MODEL "return tostring(lunette.predict(model, request) > lunette.predict(model, 'hello'))", "true");
}

static void a_model_that_is_changed_is_another_one_at_once(void **state)
{
    W;
    GIVES(MODEL "lunette.predict(model, request) model.scale = 0 model.base = -3 return tostring(lunette.predict(model, request))", "-3");
    GIVES(MODEL "local one = lunette.predict(model, 'a') model.weights = (('@'):rep(128) .. '\\n'):rep(256) local other = lunette.predict(model, 'a') return tostring(one > other and other == 0.25)", "true");
}

static void without_a_message_there_is_no_figure(void **state)
{
    W;
    GIVES(MODEL "local gain, why = lunette.predict(model, '') return tostring(gain) .. why", "nilno_text");
    classify_gives(w, __LINE__, "{\"model\":\"small\",\"messages\":[{\"role\":\"system\",\"content\":\"Be kind\"}]}",
                   MODEL "local gain, why = lunette.predict(model, request) return tostring(gain) .. why", "nilno_text");
}

static void what_is_no_model_is_refused(void **state)
{
    W;
    FAILS("lunette.predict(nil, request)", "the model is what a file of `lunette train` returns, not nil");
    FAILS("lunette.predict('router.lua', request)", "not string");
    FAILS("lunette.predict(request, request)", "not request");
    FAILS("lunette.predict({}, request)", "its `format` is no number");
    FAILS(MODEL "model.format = 1 lunette.predict(model, request)", "the model is of format 1, and this program reads 2: train it again");
    FAILS(MODEL "model.format = 1e300 lunette.predict(model, request)", "train it again");
    FAILS(MODEL "model.base = 0/0 lunette.predict(model, request)", "its `base` is no number");
    FAILS(MODEL "model.scale = '1' lunette.predict(model, request)", "its `scale` is no number");
    FAILS(MODEL "model.weights = nil lunette.predict(model, request)", "its `weights` are no text of 33024 bytes");
    FAILS(MODEL "model.weights = 33024 lunette.predict(model, request)", "its `weights` are no text");
    FAILS(MODEL "model.weights = model.weights .. 'A' lunette.predict(model, request)", "its `weights` are no text");
    FAILS(MODEL "lunette.predict(model)", "expected a request");
    FAILS(MODEL "lunette.predict(model, 5)", "expected a request");
    FAILS(MODEL "lunette.predict(model, request.targets)", "expected a request");
}

static void any_bytes_are_weights(void **state)
{
    W;
    GIVES(MODEL "for byte = 0, 255 do model.weights = string.char(byte):rep(33024) "
          "local gain = lunette.predict(model, request) assert(gain == gain and gain > -1000 and gain < 1000) end return 'ok'", "ok");
    GIVES(MODEL "model.scale = 1e308 return type(lunette.predict(model, request))", "number");
}

static void many_of_them_fit_into_the_limits_of_a_hook(void **state)
{
    W;
    GIVES(MODEL "local long = ('some words of a text, and then others; '):rep(3000) for i = 1, 100 do lunette.predict(model, long) end return 'ok'", "ok");
    FAILS(MODEL "local long = ('some words of a text, and then others; '):rep(3000) while true do lunette.predict(model, long) end", "one run may take");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(it_says_what_the_router_says),
        unit(a_model_that_is_changed_is_another_one_at_once),
        unit(without_a_message_there_is_no_figure),
        unit(what_is_no_model_is_refused),
        unit(any_bytes_are_weights),
        unit(many_of_them_fit_into_the_limits_of_a_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

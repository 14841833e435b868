/* Everything a policy can call, called wrongly: with too few, too many, foreign, absurd arguments. It may raise, give nil and a reason, wait
 * or answer; it may not harm anything, and the next request must be served as if nothing had been. */
#include "policy_world.h"
#include "script/bind.h"

static const char values[] =
    "local nan = 0/0\n"
    "local function odd(request, lunette)\n"
    "  local t = request.targets\n"
    "  local cyclic = {} cyclic[1] = cyclic cyclic.x = cyclic\n"
    "  local trap = setmetatable({}, { __index = function() error('trap') end, __newindex = function() error('trap') end, __len = function() return 1e9 end,\n"
    "    __tostring = function() error('trap') end, __concat = function() return 'x' end, __eq = function() error('trap') end })\n"
    "  return { nil, true, false, 0, 1, -1, 2.5, nan, 1e308, -1e308, 1/0, 2^53, '', 'small', 'a\\0b', ('x'):rep(2000), '\\255\\254', 'latency', '__index', '__gc',\n"
    "    {}, { 1, 2, 3 }, { a = 1 }, { target = t[1] }, { model = 'small', text = 'x' }, { url = 'http://x/' }, { status = 500 }, { nan }, { [nan == nan] = 1 }, cyclic, trap,\n"
    "    function() return 1 end, function() error('f') end, function() return trap end, request, request.key, t, t[1], t[1].provider, t[1].price, t[3].facts, request.tags, request.headers,\n"
    "    t:steps{ total = 1 }, t:steps{ total = 1 }[1], lunette.next(), lunette.again(1), lunette.null, t:first(0), lunette.json.array{} }, 50\n"
    "end\n";

/* Calls every method of `self` and every function, with two odd arguments chosen by the request's chance. */
static void put_calls(struct lun_buf *out)
{
    lun_buf_puts(out, "local calls = {\n");
    for (const struct lun_class *const *c = lun_classes; *c; c++)
        for (const struct lun_member *m = (*c)->members; m->name; m++)
            if (m->arguments) lun_buf_printf(out, "  { '%s', '%s' },\n", (*c)->name, m->name);
    lun_buf_puts(out, "}\nlocal functions = {\n");
    for (const struct lun_function *f = lun_functions; f->name; f++)
        if (strcmp(f->name, "sleep") && strcmp(f->name, "http") && strcmp(f->name, "chat")) lun_buf_printf(out, "  function(l) return l.%s end,\n", f->name);
    lun_buf_puts(out, "}\n");
}

static char *policy_of(const char *end)
{
    struct lun_buf out = { 0 };
    lun_buf_puts(&out, "local lunette = require 'lunette'\n");
    lun_buf_puts(&out, values);
    put_calls(&out);
    lun_buf_puts(&out, end);
    return lun_buf_text(&out);
}

static const char tries[] =
    "local function selves(request) local t = request.targets return { request = request, targets = t, target = t[1], price = t[1].price, steps = t:steps{}, key = request.key } end\n"
    "return { classify = function(request)\n"
    "  local all, n = odd(request, lunette)\n"
    "  local self = selves(request)\n"
    "  local function any() return all[lunette.random(n)] end\n"
    "  local good, bad = 0, 0\n"
    "  local function try(f, ...) if pcall(f, ...) then good = good + 1 else bad = bad + 1 end end\n"
    "  for i = 1, 40 do\n"
    "    local call = calls[lunette.random(#calls)]\n"
    "    local object = self[call[1]] or request\n"
    "    try(function(...) return object[call[2]](...) end, lunette.random() < 0.8 and object or any(), any(), any())\n"
    "    try(functions[lunette.random(#functions)](lunette), any(), any(), any())\n"
    "    local a, b = any(), any()\n"
    "    try(function() return a .. b end) try(function() return a[b] end) try(function() a[b] = 1 end) try(function() return #a end) try(function() return a == b end)\n"
    "    try(function() for _ in pairs(a) do end end) try(function() for _ in ipairs(a) do end end) try(tostring, a) try(setmetatable, a, b)\n"
    "  end\n"
    "  return 'survived'\n"
    "end, select = function(request) local all, n = odd(request, lunette) return all[lunette.random(n)] end,\n"
    "budget = function(request) local all, n = odd(request, lunette) return all[lunette.random(n)] end,\n"
    "retry = function(request) local all, n = odd(request, lunette) return { all[lunette.random(n)], all[lunette.random(n)], { target = all[lunette.random(n)], set = all[lunette.random(n)] } } end,\n"
    "judge = function(request) local all, n = odd(request, lunette) return all[lunette.random(n)] end }";

static void nothing_called_wrongly_does_harm(void **state)
{
    W;
    char *text = policy_of(tries);
    world_policy(w, text);
    int survived = 0, planned = 0;
    for (int i = 0; i < 400; i++) {
        struct lun_question *q = ask(w, HELLO);
        struct lun_trial *trial = tried(w, q, &w->target[0], LUN_KIND_OK, 200);
        q->random = (uint64_t)i * 7919;
        for (int hook = LUN_HOOK_CLASSIFY; hook <= LUN_HOOK_RETRY; hook++) {
            struct lun_thought *t = lun_policy_think(w->policy, q, hook, trial, NULL);
            for (int waits = 0; t->state == LUN_THOUGHT_WISHES && waits < 100; waits++) lun_thought_fulfil(t, &(struct lun_wish_result){ .error = "no" });
            if (t->state == LUN_THOUGHT_FAILED) assert_true(t->error && t->error[0] && strlen(t->error) <= 500);
            if (hook == LUN_HOOK_CLASSIFY && t->state == LUN_THOUGHT_DONE && t->answer.n_labels == 1) survived++;
            if (t->state == LUN_THOUGHT_DONE && t->answer.verb == LUN_PLAN) planned++;
            for (int s = 0; s < t->answer.plan.n; s++) {
                const struct lun_step *step = &t->answer.plan.steps[s];
                assert_true(step->target && step->total >= LUN_UNSET && step->hedge_after >= 0);
            }
            lun_thought_end(t);
        }
        over(w, q);
    }
    assert_true(survived > 300);
    assert_true(planned > 20);
    assert_false(lun_policy_worn(w->policy));
    free(text);
}

static void every_wish_that_is_asked_wrongly_raises_or_waits(void **state)
{
    W;
    char *text = policy_of("return { classify = function(request)\n"
        "local all, n = odd(request, lunette)\n"
        "for i = 1, 30 do local a = all[lunette.random(n)]\n"
        "pcall(lunette.sleep, a) pcall(lunette.http, a) pcall(lunette.chat, a)\n"
        "pcall(lunette.http, { url = 'http://x/', method = a }) pcall(lunette.http, { url = 'http://x/', headers = { x = a } }) pcall(lunette.http, { url = 'http://x/', headers = a, timeout = a })\n"
        "pcall(lunette.http, { url = a, body = a }) pcall(lunette.chat, { model = 'small', messages = a }) pcall(lunette.chat, { model = a, text = 'x', choices = a, max_tokens = a, pay = a })\n"
        "end return 'survived' end }");
    world_policy(w, text);
    for (int i = 0; i < 200; i++) {
        struct lun_question *q = ask(w, HELLO);
        q->random = (uint64_t)i * 104729;
        struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
        for (int waits = 0; t->state == LUN_THOUGHT_WISHES; waits++) {
            if (t->wish.kind == LUN_WISH_HTTP) assert_true(!strncmp(t->wish.http.url, "http", 4) && t->wish.http.timeout >= 0 && t->wish.http.method[0]);
            if (t->wish.kind == LUN_WISH_CHAT) assert_true(t->wish.chat.model && t->wish.chat.messages[0] == '[');
            if (t->wish.kind == LUN_WISH_SLEEP) assert_true(t->wish.delay >= 0);
            struct lun_wish_result good = { .status = 200, .body = "{}", .body_n = 2 }, bad = { .error = "no" };
            lun_thought_fulfil(t, waits % 2 ? &good : &bad);
        }
        if (t->state != LUN_THOUGHT_DONE) fail_msg("%s", t->error);
        lun_thought_end(t);
        over(w, q);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(nothing_called_wrongly_does_harm),
        unit(every_wish_that_is_asked_wrongly_raises_or_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

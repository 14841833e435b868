/* What hooks read is written down, fed back, and they decide the same: for every kind of read, for whole requests of every policy that comes along, and a difference
 * is found where there is one. */
#include "policy_world.h"
#include <sys/mman.h>
#include <unistd.h>
#include "gateway/simulate.h"
#include "gateway/verify.h"
#include "script/bind.h"
#include "script/load.h"
#include "script/vm.h"

/* ---- one request in the made-up gateway ---- */

static void begin_recording(struct world *w, const char *policy, bool texts)
{
    w->snapshot->log_replay = true;
    w->snapshot->log_text = texts;
    world_policy(w, policy);
}

/* What the web and models say. */
static void grant(struct lun_thought *t)
{
    static const struct lun_pair headers[] = { { "x-kind", "a" } };
    struct lun_wish_result none = { 0 }, web = { .status = 201, .body = "\xff\x00 bytes", .body_n = 8, .headers = headers, .n_headers = 1 };
    struct lun_wish_result model = { .status = 200, .body = "{\"choices\":[{\"message\":{\"content\":\"easy\"}}]}" };
    model.body_n = strlen(model.body);
    for (int i = 0; i < 20 && t->state == LUN_THOUGHT_WISHES; i++)
        lun_thought_fulfil(t, t->wish.kind == LUN_WISH_HTTP ? &web : t->wish.kind == LUN_WISH_CHAT ? &model : &none);
}

static void asked(struct world *w, struct lun_question *q, enum lun_hook hook, const struct lun_trial *about, const struct lun_outcome *outcome)
{
    if (!lun_policy_has(w->policy, hook)) return;
    struct lun_thought *t = lun_policy_think(w->policy, q, hook, about, outcome);
    grant(t);
    assert_true(t->state == LUN_THOUGHT_DONE || t->state == LUN_THOUGHT_FAILED);
    lun_thought_end(t);
}

static char *line_of(struct lun_question *q)
{
    char *line = lun_printf("{\"time\":\"2026-01-05T00:00:00.500Z\",\"id\":\"abc\",\"endpoint\":\"chat\",\"model\":\"small\",\"status\":200,\"policy\":\"x\",\"latency_ms\":5,\"replay\":%s]}}\n",
                            lun_buf_text(&q->tape));
    lun_buf_free(&q->tape);
    return line;
}

/* All hooks of a request in which the first attempt failed. Yours to free. */
static char *recorded(struct world *w)
{
    static struct lun_pair headers[] = { { "x-a", "1" }, { "accept", "*/*" } };
    struct lun_question *q = ask(w, "{\"model\":\"small\",\"temperature\":0.5,\"reasoning_effort\":\"high\",\"messages\":[{\"role\":\"user\",\"content\":\"hello my \\u0000 world\"}]}");
    q->headers = headers, q->n_headers = 2;
    asked(w, q, LUN_HOOK_CLASSIFY, NULL, NULL);
    asked(w, q, LUN_HOOK_BUDGET, NULL, NULL);
    asked(w, q, LUN_HOOK_SELECT, NULL, NULL);
    struct lun_trial *failed = tried(w, q, &w->target[0], LUN_KIND_RATE_LIMITED, 429), *good;
    failed->retry_after = 3 * LUN_SECOND;
    failed->detail = "slow down";
    asked(w, q, LUN_HOOK_RETRY, failed, NULL);
    good = tried(w, q, &w->target[2], LUN_KIND_OK, 200);
    good->body = "{\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}";
    good->body_n = strlen(good->body);
    good->cost = 1234567;
    asked(w, q, LUN_HOOK_JUDGE, good, NULL);
    struct lun_outcome outcome = { .status = 200, .trial = good, .usage = { .known = true, .input = 7, .output = 8 }, .cost = 1234567, .latency = 1500 };
    asked(w, q, LUN_HOOK_FINISH, NULL, &outcome);
    char *line = line_of(q);
    over(w, q);
    return line;
}

/* ---- verifying ---- */

static void read_all(struct lun_verify *v, const char *log, size_t n)
{
    int fd = memfd_create("log", 0);
    struct lun_log_line line;
    assert_int_equal(write(fd, log, n), n);
    lseek(fd, 0, SEEK_SET);
    struct lun_log_reader *reader = lun_log_reader_of(fd);
    while (lun_log_reader_next(reader, &line)) lun_verify_line(v, &line);
    lun_log_reader_free(reader);
}

/* In a gateway of its own, in which nothing has happened. The text of what came of it; yours to free. */
static char *verified(const char *policy, const char *log, bool *good, struct lun_verify_counts *counts)
{
    struct world w;
    char *error = NULL;
    struct lun_buf out = {0};
    world_begin(&w);
    w.snapshot->policy = (struct lun_file){ "policies/test.lua", policy, strlen(policy) };
    w.snapshot->version = "x";
    struct lun_verify *v = lun_verify_new(lun_snapshot_ref(w.snapshot), &error);
    if (!v) fail_msg("%s", error);
    read_all(v, log, strlen(log));
    *good = lun_verify_good(v);
    *counts = *lun_verify_counts(v);
    lun_verify_text(v, &out);
    lun_verify_free(v);
    world_end(&w);
    lun_buf_text(&out);
    return out.at;
}

static void is_same(struct world *w, const char *policy, int decisions)
{
    bool good;
    struct lun_verify_counts c;
    char *log = recorded(w), *text = verified(policy, log, &good, &c);
    if (!good || c.same != decisions || c.decisions != decisions) fail_msg("%s\n%s", text, log);
    free(log);
    free(text);
}

static void says(const char *policy, const char *log, const char *words)
{
    bool good;
    struct lun_verify_counts c;
    char *text = verified(policy, log, &good, &c);
    assert_false(good);
    if (!strstr(text, words)) fail_msg("%s\ndoes not say: %s\n%s", text, words, log);
    free(text);
}

/* ---- by the tables ---- */

static const struct way { const struct lun_class *class; const char *hook, *object; } ways[] = {
    { &lun_request_class,  "classify", "request" },
    { &lun_key_class,      "classify", "request.key" },
    { &lun_targets_class,  "select",   "about" },
    { &lun_target_class,   "select",   "about[1]" },
    { &lun_provider_class, "select",   "about[1].provider" },
    { &lun_price_class,    "select",   "about[1].price" },
    { &lun_step_class,     "select",   "about:steps({})[1]" },
    { &lun_spend_class,    "budget",   "about" },
    { &lun_budget_class,   "budget",   "about.team" },
    { &lun_attempt_class,  "retry",    "about" },
    { &lun_outcome_class,  "finish",   "about" },
};

static void check_member(struct world *w, const struct way *way, const struct lun_member *m)
{
    bool by_itself = m->get || m->call;
    char *call = lun_printf(m->get ? "return o.%s" : "return o:%s('latency', 0.5)", m->name);
    char *policy = lun_printf("return { %s = function(request, about) local o = %s pcall(function() %s end) end }", way->hook, way->object, call);
    char *name = lun_printf("[\"%s.%s", way->class->name, m->name);
    begin_recording(w, policy, true);
    char *line = recorded(w);
    if (by_itself && !m->fixed != !!strstr(line, name)) fail_msg("%s.%s is %s, and:\n%s", way->class->name, m->name, m->fixed ? "fixed" : "not fixed", line);
    free(line), free(name), free(policy), free(call);
}

static void whatever_a_member_gives_is_on_the_tape_unless_its_table_says_that_it_is_fixed(void **state)
{
    W;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (const struct lun_member *m = ways[i].class->members; m->name; m++) check_member(w, &ways[i], m);
}

static void whatever_a_function_gives_is_on_the_tape_unless_its_table_says_that_it_is_fixed(void **state)
{
    W;
    for (const struct lun_function *f = lun_functions; f->name; f++) {
        if (!f->call || f->fixed) continue;
        char *policy = lun_printf("local lunette = require 'lunette' return { classify = function() pcall(lunette.%s, 'x', 1) end }", f->name);
        begin_recording(w, policy, true);
        char *line = recorded(w), *name = lun_printf("[\"%s", f->name);
        if (!strstr(line, name)) fail_msg("%s is not there:\n%s", f->name, line);
        free(line), free(name), free(policy);
    }
}

/* `by` reads these without Lua and without a tape. */
static void what_targets_are_put_in_order_by_without_lua_is_fixed(void **state)
{
    (void)state;
    for (const struct lun_class *const *c = lun_classes; *c; c++)
        for (const struct lun_member *m = (*c)->members; m->name; m++) if (m->number || m->part) assert_true(m->fixed);
}

/* ---- what is read comes again ---- */

#define ALL "local l = require 'lunette'\n" \
    "local function text(v) if type(v) == 'table' or (type(v) == 'userdata' and pcall(pairs, v)) then local s = '{' for k, x in pairs(v) do s = s .. text(k) .. '=' .. text(x) .. ',' end return s .. '}' end return tostring(v) end\n" \
    "local function all(...) local s = '' for i = 1, select('#', ...) do s = s .. text((select(i, ...))) .. '|' end return s end\n"

static const char everything[] = ALL
    "return { settings = { share = { default = 5, min = 0, max = 100 } },\n"
    "classify = function(r)\n"
    "  local s = all(r.model, r.text, r.words, r.chars, r.tokens, r.max_tokens, r.messages, r.user, r.tags, r.headers, r.headers, r.key.name, r.key.tags, r.deadline, r.budget, r.id, r.stream, #r.attempts)\n"
    "  s = s .. all(r:message(1), r:message(9), r:param 'temperature', r:param 'reasoning_effort', r:param 'nothing', r:body(), r:param 'messages')\n"
    "  s = s .. all(l.now(), os.time(), os.clock(), os.date '!%c', l.random(), l.random(6), math.random(), l.pick({ 'a', 'b', 'c' }), l.split('x', nil, { new = 1, old = 1 }), l.backoff(3, { jitter = 'full' }))\n"
    "  s = s .. all(l.setting 'share', l.store.get 'there', l.store.get 'list', l.store.get 'not', l.store.incr('n', 2), l.store.set('k', { a = { 1, 2 } }), l.metric('m', 1), l.canary 'none')\n"
    "  s = s .. all(l.note('k', { x = 1 / 3 }), pcall(l.store.incr, 'n', 'x'), pcall(l.store.get), l.has_model 'small', l.hash 'x')\n"
    "  s = s .. all(l.sleep(0.5), l.http { url = 'http://example.org/', headers = { ['x-key'] = 'hidden', accept = 'a', zone = 'b' } }, l.chat { model = 'small', text = r.text, choices = { 'easy', 'hard' } })\n"
    "  return 'h' .. l.hash(s)\n"
    "end,\n"
    "budget = function(r, spend)\n"
    "  local s = all(r.labels, r.label)\n"
    "  for _, name in ipairs { 'request', 'key', 'team', 'total' } do local b = spend[name] s = s .. all(b.used, b.held, b.limit, b.left, b.share, b.soft, b.resets_in) end\n"
    "  return l.refuse { message = s }\n"
    "end,\n"
    "select = function(r, targets)\n"
    "  local s = ''\n"
    "  for _, t in ipairs(targets) do\n"
    "    local p = t.provider\n"
    "    s = s .. all(t.name, t.healthy, t.circuit, t.in_flight, t.failures, t.latency, t.ttft, t.success_rate, t.requests_left, t.tokens_left, t:mean_latency(), t:quantile('latency', 0.9), t.upstream, t.facts)\n"
    "      .. all(t:max_cost(r), t:expected_cost(r), p.state, p.failures, p.cooling_until, p.latency, p.success_rate, t.price.input)\n"
    "  end\n"
    "  local able = targets:asked() .. targets:can(r) .. targets:healthy():by 'in_flight' .. targets:balanced(r):by(function(t) return l.random() end)\n"
    "  return { { target = able[1], first_byte = 2, set = { user = 'u' .. l.hash(s) }, drop = 'x' }, able:where(function(t) return t.in_flight < 100 end):steps { wait = 1, hedge_after = 0.25 } }\n"
    "end,\n"
    "retry = function(r, a)\n"
    "  local s = all(a.number, a.try, a.target.name, a.status, a.kind, a.billed, a.retry_after, a.elapsed, a.waited, a.ttft, a.committed, a.hedge, a.text, a.finish_reason, a.cost, a.detail, a:body())\n"
    "  return l.try(r.attempts[1].target, l.hash(s) % 7)\n"
    "end,\n"
    "judge = function(r, a) return l.refuse { message = all(a.text, a.cost, a:body(), r.attempts[2] == a) } end,\n"
    "finish = function(r, o) l.store.set('last', all(o.status, o.target.name, #o.attempts, o.usage, o.cost, o.latency, o.ttft, o.waited, o.fallback, o.cached, o.labels)) end }";

static void what_every_kind_of_read_gave_comes_again_where_nothing_is_as_it_was(void **state)
{
    W;
    begin_recording(w, everything, true);
    lun_store_set(w->registry->store, "there", 5, 's', "\x80\xff", 2, 0, w->loop.now);
    static const char list[] = "{\"a\":[],\"nan\":0,\"b\":[1,null,{}]}";
    lun_store_set(w->registry->store, "list", 4, 'j', list, sizeof list - 1, 0, w->loop.now);
    lun_health_begin(&w->target[1], w->loop.now, false);
    is_same(w, everything, 6);
}

static void a_hook_that_fails_fails_again_with_the_same_words(void **state)
{
    W;
    static const char policy[] = "return {\nclassify = function(r) return r.words + {} end,\nselect = function(r, t) error('no ' .. t[1].in_flight) end }";
    begin_recording(w, policy, false);
    char *log = recorded(w), *text;
    bool good;
    struct lun_verify_counts c;
    text = verified(policy, log, &good, &c);
    assert_true(good);
    assert_int_equal(c.same, 2);
    assert_int_equal(c.failed, 2);
    assert_non_null(strstr(text, "2 decisions come of a hook that fails\nthe first failure: request abc (line 1), hook classify\n  policies/test.lua:2: "));
    free(text);
    free(log);
}

/* ---- text ---- */

static void nothing_that_was_said_is_there_without_leave_nor_what_a_policy_made_of_it(void **state)
{
    W;
    static const char policy[] = "local l = require 'lunette' return { classify = function(r) l.store.incr 'n' end,\n"
        "select = function(r, t) local text = r.text l.note('n', text) l.store.set(text, text) return t end, finish = function(r) l.store.get(r:message(1).text) end }";
    begin_recording(w, policy, false);
    char *log = recorded(w), *text;
    bool good;
    struct lun_verify_counts c;
    assert_null(strstr(log, "hello"));
    assert_non_null(strstr(log, "{\"stopped\":\"text\",\"by\":\"request.text\"}]}}"));
    text = verified(policy, log, &good, &c);
    assert_false(good);
    assert_int_equal(c.needs_text, 1);
    assert_int_equal(c.same, 1);
    assert_int_equal(c.decisions, 1);
    assert_non_null(strstr(text, "1 of them need what was said"));
    free(text);
    free(log);
}

static void choices_of_a_body_are_no_text(void **state)
{
    W;
    static const char policy[] = "return { classify = function(r) return r:param 'reasoning_effort' .. r:param 'temperature' end }";
    begin_recording(w, policy, false);
    is_same(w, policy, 1);
}

static void a_url_and_its_headers_are_not_there(void **state)
{
    W;
    begin_recording(w, everything, true);
    char *log = recorded(w);
    assert_null(strstr(log, "hidden"));
    assert_null(strstr(log, "example.org"));
    free(log);
}

/* ---- size ---- */

static void what_is_large_stands_there_once(void **state)
{
    W;
    static const char policy[] = "return { classify = function(r) return #r.headers['x-a'] + #r.headers.accept + #r.headers['x-a'] == 5 and 'five' end, select = function(r) return r.headers.x and nil end }";
    begin_recording(w, policy, false);
    char *log = recorded(w);
    const char *first = strstr(log, "accept");
    assert_non_null(first);
    assert_null(strstr(first + 1, "accept"));
    assert_non_null(strstr(log, "{\"again\":0}"));
    free(log);
    is_same(w, policy, 2);
}

static void more_than_a_line_holds_ends_it(void **state)
{
    W;
    static const char policy[] = "local l = require 'lunette' return { classify = function(r) return 'a' end,\n"
        "select = function(r, t) for i = 1, 20 do l.store.set('k' .. i, ('x' .. i):rep(20000)) end for i = 1, 20 do l.store.get('k' .. i) end end }";
    begin_recording(w, policy, false);
    char *log = recorded(w);
    assert_in_range(strlen(log), 100, 1000);
    says(policy, log, "1 of them read more than a line of the log holds");
    free(log);
}

/* ---- differences ---- */

static const char counting[] = "local l = require 'lunette' return {\nclassify = function(r)\n  if r.words > 2 then return 'long' end\n  return 'short'\nend,\n"
    "select = function(r, t)\n  l.store.incr('n')\n  return t:healthy():steps { first_byte = 2 }\nend }";

static char *counted(struct world *w)
{
    begin_recording(w, counting, false);
    return recorded(w);
}

static void another_decision_is_shown(void **state)
{
    W;
    char *log = counted(w);
    says("local l = require 'lunette' return { classify = function(r) return r.words > 2 and 'Long' or 'short' end, select = function(r, t) l.store.incr('n') return t:healthy():steps { first_byte = 2 } end }", log,
         "the first difference: request abc (line 1), hook classify, in what it decided\n  the log has  {\"labels\":[\"long\"]}\n  now          {\"labels\":[\"Long\"]}\n0 of 2 decisions the same\n");
    says("local l = require 'lunette' return { classify = function(r) return r.words > 2 and 'long' or 'short' end, select = function(r, t) l.store.incr('n') return t:healthy():steps { first_byte = 2.5 } end }", log,
         "\"first_byte_ms\":2500.000");
    free(log);
}

static void another_read_is_shown_with_its_line(void **state)
{
    W;
    char *log = counted(w);
    says("return {\nclassify = function(r)\n  return r.chars > 2 and 'long'\nend }", log,
         "hook classify, in what it read\n  the log has  request.words\n  now          policies/test.lua:3: request.chars\n");
    says("local l = require 'lunette' return { classify = function(r) return r.words > 2 and 'long' end,\nselect = function(r, t)\n  l.store.incr('m')\n  return t end }", log,
         "hook select, in what it read\n  the log has  store.incr (\"n\")\n  now          policies/test.lua:3: store.incr (\"m\")\n");
    says("return { classify = function(r) return r.words > 2 and 'long' end, select = function(r, t) end }", log, "now          not read any more\n");
    says("return { classify = function(r) pcall(function() return r.chars end) return 'long' end }", log, "in what it read");
    says("return { classify = function(r) return r.words > 2 and r.words > 3 and 'long' or 'long' end }", log, "the log has  no more reads\n");
    free(log);
}

static void a_hook_that_was_not_there_is_shown(void **state)
{
    W;
    char *log = counted(w);
    char *policy = lun_printf("%.*s, judge = function() end }", (int)strlen(counting) - 1, counting);
    says(policy, log, "hook judge\n  now          the policy has this hook, and had it not then\n");
    free(policy);
    free(log);
}

/* The same text with the first `from` replaced. */
static char *tampered(const char *log, const char *from, const char *to)
{
    const char *at = strstr(log, from);
    assert_non_null(at);
    return lun_printf("%.*s%s%s", (int)(at - log), log, to, at + strlen(from));
}

static void a_log_that_was_tampered_with_is_noticed(void **state)
{
    W;
    static const char *const changes[][2] = {
        { "[\"request.words\",4]", "[\"request.words\",1]" }, { "[\"request.words\",4]", "[\"request.words\",\"x\"]" }, { "[\"request.words\",4]", "[\"request.words\",{\"x\":1}]" },
        { "[\"request.words\",4]", "[\"request.words\",{\"again\":7}]" }, { "[\"request.words\",4]", "[\"request.words\"]" }, { "[\"request.words\",4]", "7" }, { "[\"request.words\",4]", "" },
        { "\"long\"", "\"longer\"" }, { "\"hook\":\"classify\"", "\"hook\":\"clasify\"" }, { "\"hook\":\"classify\"", "\"hook\":\"judge\"" }, { "\"reads\":[", "\"read\":[" },
        { "\"hooks\":", "\"hook\":" }, { "\"hooks\":[", "\"hooks\":[7," }, { "{\"has\":", "7,\"x\":{\"has\":" }, { "\"a/small\"", "\"b/small\"" }, { "\"a/small\"", "\"z/small\"" }, { "{\"targets\":\"all\"}", "{\"targets\":[\"zzz\"]}" },
        { "{\"targets\":\"all\"}", "{\"targets\":7}" }, { "{\"targets\":\"all\"}", "{\"attempt\":-1}" }, { "{\"targets\":\"all\"}", "{\"table\":[null,1]}" }, { "{\"targets\":\"all\"}", "{\"table\":[1]}" }, { "{\"targets\":\"all\"}", "{\"bytes\":\"0\"}" } };
    char *log = counted(w);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        bool good;
        struct lun_verify_counts c;
        char *other = tampered(log, changes[i][0], changes[i][1]), *text = verified(counting, other, &good, &c);
        if (good) fail_msg("%s for %s was not noticed:\n%s", changes[i][1], changes[i][0], text);
        free(text);
        free(other);
    }
    free(log);
}

/* ---- hooks that did not come to their end ---- */

static const char waiting[] = "local l = require 'lunette' return {\nclassify = function(r)\n  local s = r.words\n  l.sleep(1)\n  l.sleep(2)\n  return 'late'\nend,\nfinish = function(r, o) l.store.get('k' .. o.status) end }";

/* Classify waits twice; the second time it is given up or left. */
static char *left_waiting(struct world *w, bool give_up)
{
    begin_recording(w, waiting, false);
    struct lun_question *q = ask(w, HELLO);
    struct lun_outcome outcome = { .status = 499 };
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    lun_thought_fulfil(t, &(struct lun_wish_result){ 0 });
    assert_int_equal(t->state, LUN_THOUGHT_WISHES);
    if (give_up) lun_thought_give_up(t);
    lun_thought_end(t);
    asked(w, q, LUN_HOOK_FINISH, NULL, &outcome);
    char *line = line_of(q);
    over(w, q);
    return line;
}

static void a_hook_that_was_no_longer_waited_for_is_no_decision_and_the_next_one_is(void **state)
{
    W;
    bool good;
    struct lun_verify_counts c;
    char *log = left_waiting(w, false), *text = verified(waiting, log, &good, &c);
    assert_true(good);
    assert_int_equal(c.decisions, 1);
    free(text);
    char *other = tampered(log, "sleep (2000000 us)", "sleep (2000001 us)");
    says(waiting, other, "hook classify, in what it read\n  the log has  sleep (2000001 us)\n  now          policies/test.lua:5: sleep (2000000 us)\n");
    free(other);
    free(log);
}

static void a_hook_that_waited_for_too_long_fails_again_where_it_did(void **state)
{
    W;
    bool good;
    struct lun_verify_counts c;
    char *log = left_waiting(w, true), *text = verified(waiting, log, &good, &c);
    assert_true(good);
    assert_int_equal(c.same, 2);
    assert_non_null(strstr(text, "policies/test.lua:5: stopped: it has waited"));
    free(text);
    free(log);
}

static void what_a_limit_stopped_live_is_counted_and_not_compared(void **state)
{
    W;
    bool good;
    struct lun_verify_counts c;
    char *log = counted(w), *other = tampered(log, "{\"labels\":[\"long\"]}", "{\"failed\":\"cpu\",\"error\":\"stopped\"}"), *text = verified(counting, other, &good, &c);
    assert_int_equal(c.stopped, 2);
    assert_int_equal(c.decisions, 0);
    assert_int_equal(c.different, 0);
    assert_false(good);
    free(text);
    free(other);
    free(log);
}

static uint64_t state_of_chance = 1;
static unsigned chance(unsigned n)
{
    state_of_chance = state_of_chance * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state_of_chance >> 33) % n;
}

/* A byte changed, a piece left out, or a piece once more somewhere else. */
static void mutate(struct lun_buf *out, const char *line, size_t n)
{
    static const char bytes[] = "{}[]\",:0123456789-eEntf \\";
    size_t at = chance((unsigned)n), size = chance(40), to = chance((unsigned)n), from = out->n;
    if (size > n - at) size = n - at;
    switch (chance(3)) {
    case 0:
        lun_buf_add(out, line, n);
        for (unsigned i = 1 + chance(3); i; i--) out->at[from + chance((unsigned)n)] = bytes[chance(sizeof bytes - 1)];
        break;
    case 1:
        lun_buf_add(out, line, at);
        lun_buf_add(out, line + at + size, n - at - size);
        break;
    default:
        lun_buf_add(out, line, to);
        lun_buf_add(out, line + at, size);
        lun_buf_add(out, line + to, n - to);
    }
    lun_buf_putc(out, '\n');
}

static void a_log_of_any_form_is_read_to_its_end(void **state)
{
    W;
    struct world other;
    struct lun_buf log = {0};
    char *error = NULL;
    begin_recording(w, everything, true);
    char *line = recorded(w);
    for (int i = 0; i < 4000; i++) mutate(&log, line, strlen(line) - 1);
    lun_buf_puts(&log, line);
    world_begin(&other);
    other.snapshot->policy = (struct lun_file){ "policies/test.lua", everything, sizeof everything - 1 };
    other.snapshot->version = "x";
    struct lun_verify *v = lun_verify_new(lun_snapshot_ref(other.snapshot), &error);
    assert_non_null(v);
    read_all(v, log.at, log.n);
    const struct lun_verify_counts *c = lun_verify_counts(v);
    assert_true(c->different > 100 && c->different < c->recorded && c->recorded < c->requests + 1);
    assert_true(c->same >= 6 && c->same < c->decisions);
    lun_verify_free(v);
    world_end(&other);
    lun_buf_free(&log);
    free(line);
}

/* ---- whole requests of the policies that come along ---- */

static const char *const policies[] = { "canary", "canary_policy", "cheapest_healthy", "classifier", "degradation_chain", "exponential_backoff", "failover", "fallback_router", "intelligent_router",
    "interactive_and_batch", "load_balancer", "rate_limits", "retry_manager", "smart_router", "tenant_budget", "timeout_tiers" };

/* A provider that does anything, a whole answer or a stream. */
static bool answer(void *self, const struct lun_scene_request *request, struct lun_arena *arena, struct lun_scene *scene, const char **error)
{
    static const struct lun_pair json[] = { { "content-type", "application/json" } }, events[] = { { "content-type", "text/event-stream" } }, limited[] = { { "retry-after", "2" } };
    static const char whole[] = "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"hard\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}";
    static const char stream[] = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    static const int statuses[] = { 200, 200, 200, 200, 429, 500, 503, 404, 401 };
    (void)self;
    bool streams = request->body && memmem(request->body, request->n, "\"stream\":true", 13);
    *error = NULL;
    *scene = (struct lun_scene){ .status = statuses[chance(9)], .headers = streams ? events : json, .n_headers = 1, .cut_at = -1, .after = chance(4) * 300 * LUN_MS };
    if (!chance(12)) scene->fail = LUN_KIND_RESET;
    if (scene->status != 200) scene->headers = scene->status == 429 ? limited : json;
    struct lun_slice *piece = lun_arena_alloc(arena, sizeof *piece);
    const char *text = scene->status != 200 ? "{\"error\":{\"message\":\"no\"}}" : streams ? stream : whole;
    *piece = scene->all = (struct lun_slice){ text, strlen(text) };
    scene->pieces = piece;
    scene->n_pieces = 1;
    scene->stream = streams && scene->status == 200;
    return true;
}

static void ask_anything(struct lun_simulation *s)
{
    static const char *const models[] = { "auto", "auto", "gpt-4.1", "kimi-k2", "deepseek-v3.2" }, *const tasks[] = { "faq", "legal", "code", "translation" }, *const texts[] = {
        "hello", "Please analyze step by step why this proof of the theorem is wrong, and compare both.", "```python\\nprint(1)\\n```", "What is 2 + 2?" };
    struct lun_pair headers[] = { { "x-lunette-task", tasks[chance(4)] }, { "x-lunette-tags", chance(2) ? "tenant=acme, tier=premium" : "tier=free" }, { "x-lunette-class", chance(2) ? "batch" : "interactive" } };
    char *body = lun_printf("{\"model\":\"%s\",\"user\":\"u%u\"%s,\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", models[chance(5)], chance(5), chance(3) ? "" : ",\"stream\":true", texts[chance(4)]);
    struct lun_simulated_request r = { .endpoint = LUN_ENDPOINT_CHAT, .headers = headers, .n_headers = (int)chance(4), .body = body, .n = strlen(body) };
    struct lun_simulated_answer *a = lun_simulation_ask(s, &r);
    if (!chance(10)) {
        lun_simulation_advance(s, chance(1000) * LUN_MS);
        lun_simulation_leave(s, a);
    } else if (chance(3)) lun_simulation_await(s, a);
    free(body);
}

static void take_line(void *self, const char *text, size_t n)
{
    lun_buf_add(self, text, n);
    lun_buf_putc(self, '\n');
}

static struct lun_snapshot *load_policy(const char *name)
{
    char policy[128];
    snprintf(policy, sizeof policy, "POLICY=policies/%s.lua", name);
    const char *environment[] = { policy, "LUNETTE_LOG_REPLAY=true", "LUNETTE_LOG_TEXT=true", NULL };
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = lun_load("examples/policies/gateway.lua", &(struct lun_load_options){ .environment = environment, .cpu = LUN_CPU_STEPS, .no_secrets = true }, &mistakes);
    if (!s) fail_msg("%s: %s", name, mistakes.n ? "does not load" : "");
    lun_mistakes_free(&mistakes);
    return s;
}

static void live(const char *name, struct lun_buf *log)
{
    char *error = NULL;
    struct lun_simulation *s = lun_simulation_new(load_policy(name), &(struct lun_simulation_options){ .seed = 1 + chance(1000), .scenes = { NULL, answer }, .line = take_line, .line_self = log }, &error);
    if (!s) fail_msg("%s", error);
    for (int i = 0; i < 120; i++) {
        ask_anything(s);
        lun_simulation_advance(s, chance(2000) * LUN_MS);
    }
    lun_simulation_advance(s, 3600 * LUN_SECOND);
    lun_simulation_free(s);
}

static void every_policy_that_comes_along_decides_the_same_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        struct lun_buf log = {0}, text = {0};
        char *error = NULL;
        live(policies[i], &log);
        struct lun_verify *v = lun_verify_new(load_policy(policies[i]), &error);
        if (!v) fail_msg("%s", error);
        read_all(v, log.at, log.n);
        lun_verify_text(v, &text);
        const struct lun_verify_counts *c = lun_verify_counts(v);
        if (!lun_verify_good(v) || c->decisions < 100 || c->other_version) fail_msg("%s: %s", policies[i], lun_buf_text(&text));
        lun_verify_free(v);
        lun_buf_free(&text);
        lun_buf_free(&log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(whatever_a_member_gives_is_on_the_tape_unless_its_table_says_that_it_is_fixed),
        unit(whatever_a_function_gives_is_on_the_tape_unless_its_table_says_that_it_is_fixed),
        unit(what_targets_are_put_in_order_by_without_lua_is_fixed),
        unit(what_every_kind_of_read_gave_comes_again_where_nothing_is_as_it_was),
        unit(a_hook_that_fails_fails_again_with_the_same_words),
        unit(nothing_that_was_said_is_there_without_leave_nor_what_a_policy_made_of_it),
        unit(choices_of_a_body_are_no_text),
        unit(a_url_and_its_headers_are_not_there),
        unit(what_is_large_stands_there_once),
        unit(more_than_a_line_holds_ends_it),
        unit(another_decision_is_shown),
        unit(another_read_is_shown_with_its_line),
        unit(a_hook_that_was_not_there_is_shown),
        unit(a_log_that_was_tampered_with_is_noticed),
        unit(a_hook_that_was_no_longer_waited_for_is_no_decision_and_the_next_one_is),
        unit(a_hook_that_waited_for_too_long_fails_again_where_it_did),
        unit(what_a_limit_stopped_live_is_counted_and_not_compared),
        unit(a_log_of_any_form_is_read_to_its_end),
        cmocka_unit_test(every_policy_that_comes_along_decides_the_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The functions of `lunette`: what they give, what they refuse, and those that wait. */
#include "policy_world.h"
#include "base/log.h"
#include "state/metrics.h"

static struct lun_question *asked_with(struct world *w, const char *code)
{
    char text[6000];
    snprintf(text, sizeof text, "local lunette = require 'lunette' return { classify = function(request)\n%s\nend }", code);
    world_policy(w, text);
    return ask(w, HELLO);
}

static void time_is_the_requests_own(void **state)
{
    W;
    GIVES("return tostring(lunette.now())", "1700000000");
    GIVES("return tostring(os.time())", "1700000000");
    struct lun_question *q = asked_with(w, "return tostring(lunette.now())");
    w->loop.now += 2500 * LUN_MS;
    check_label(w, q, __LINE__, "1700000002.5");
    over(w, q);
}

static void chance_repeats_with_the_request(void **state)
{
    W;
    char first[65] = "";
    for (int i = 0; i < 2; i++) {
        struct lun_question *q = asked_with(w, "return lunette.random() .. ' ' .. math.random() .. ' ' .. lunette.random(10) .. ' ' .. lunette.pick{ 'a', 'b' }");
        struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
        assert_int_equal(t->state, LUN_THOUGHT_DONE);
        if (i) assert_string_equal(t->answer.labels[0], first);
        snprintf(first, sizeof first, "%s", t->answer.labels[0]);
        lun_thought_end(t);
        over(w, q);
    }
    GIVES("for i = 1, 500 do local r, n, m = lunette.random(), lunette.random(3), lunette.random(-2, 2) assert(r >= 0 and r < 1 and n >= 1 and n <= 3 and n % 1 == 0 and m >= -2 and m <= 2) end return 'ok'", "ok");
    FAILS("lunette.random(2, 1)", "nothing between");
}

static void pick_follows_the_weights_and_notes_its_probability(void **state)
{
    W;
    GIVES("local n = 0 for i = 1, 1000 do if lunette.pick({ 'a', 'b' }, { 9, 1 }) == 'a' then n = n + 1 end end return tostring(n > 850 and n < 950)", "true");
    GIVES("return lunette.pick({ 'a', 'b', 'c' }, { 0, 1, 0 })", "b");
    GIVES("local v, why = lunette.pick({}) return tostring(v) .. why", "nilempty");
    GIVES("local v, why = lunette.pick({ 1, 2 }, { 0 }) return tostring(v) .. why", "nilno_weight");
    GIVES("return lunette.pick(request.targets:of('odd')).name", "c/odd");
    FAILS("lunette.pick({ 1, 2 }, { -1, 1 })", "weights are numbers, 0 or more");
    FAILS("lunette.pick(5)", "table expected");
    FAILS("lunette.pick({ 1, 2 }, request.targets)", "table expected");
    FAILS("lunette.split('s', 'u', request.targets)", "table expected");
    struct lun_question *q = asked_with(w, "lunette.pick({ 'x', 'y' }, { 3, 1 }) lunette.pick(request.targets) return 'done'");
    check_label(w, q, __LINE__, "done");
    assert_int_equal(q->n_notes, 2);
    assert_string_equal(q->notes[0].name, "pick");
    assert_true(!strcmp(q->notes[0].value, "{\"chosen\":\"x\",\"probability\":0.75}") || !strcmp(q->notes[0].value, "{\"chosen\":\"y\",\"probability\":0.25}"));
    assert_string_equal(q->notes[1].name, "pick_2");
    assert_non_null(strstr(q->notes[1].value, "\"probability\":0.2}"));
    over(w, q);
}

static void split_is_sticky_and_fair(void **state)
{
    W;
    GIVES("for i = 1, 50 do assert(lunette.split('s', 'ann', { 1, 1 }) == lunette.split('s', 'ann', { 1, 1 })) end return 'ok'", "ok");
    GIVES("local n = 0 for i = 1, 2000 do if lunette.split('s', 'u' .. i, { new = 5, old = 95 }) == 'new' then n = n + 1 end end return tostring(n > 60 and n < 140)", "true");
    GIVES("local moved = 0 for i = 1, 500 do local a, b = lunette.split('s', 'u' .. i, { new = 5, old = 95 }), lunette.split('s', 'u' .. i, { new = 15, old = 85 }) "
          "if a == 'new' and b ~= 'new' then moved = moved + 1 end end return tostring(moved)", "0");
    GIVES("local other = 0 for i = 1, 200 do if lunette.split('a', 'u' .. i, { 1, 1 }) ~= lunette.split('b', 'u' .. i, { 1, 1 }) then other = other + 1 end end return tostring(other > 60)", "true");
    GIVES("return tostring(lunette.split('s', nil, { 0, 1 }))", "2");
    struct lun_question *q = asked_with(w, "lunette.split('trial', 'ann', { only = 1 }) return 'done'");
    check_label(w, q, __LINE__, "done");
    assert_string_equal(q->notes[0].name, "split_trial");
    assert_string_equal(q->notes[0].value, "{\"chosen\":\"only\",\"probability\":1}");
    over(w, q);
}

static void a_hash_is_the_same_for_ever(void **state)
{
    W;
    GIVES("return tostring(lunette.hash('ann') == lunette.hash('ann') and lunette.hash('ann') ~= lunette.hash('bob') and lunette.hash('') >= 0)", "true");
    GIVES("return string.format('%.0f', lunette.hash('lunette'))", "7067213403312682");
}

static void backoff_doubles_up_to_its_maximum(void **state)
{
    W;
    GIVES("local b = lunette.backoff return b(1) .. ' ' .. b(2) .. ' ' .. b(3) .. ' ' .. b(9) .. ' ' .. b(500)", "1 2 4 60 60");
    GIVES("local b = lunette.backoff return b(1, { base = 5, max = 15 }) .. ' ' .. b(2, { base = 5, max = 15 }) .. ' ' .. b(3, { base = 5, max = 15 })", "5 10 15");
    GIVES("for i = 1, 200 do local d = lunette.backoff(3, { jitter = 0.5 }) assert(d >= 2 and d <= 6) end return 'ok'", "ok");
    GIVES("for i = 1, 200 do local d = lunette.backoff(3, { jitter_seconds = 0.5 }) assert(d >= 3.5 and d <= 4.5) end return 'ok'", "ok");
    GIVES("local low = 99 for i = 1, 200 do local d = lunette.backoff(3, { jitter = 'full' }) assert(d >= 0 and d <= 4) low = math.min(low, d) end return tostring(low < 1)", "true");
    FAILS("lunette.backoff(0)", "n counts from 1");
    FAILS("lunette.backoff(1, { bse = 1 })", "backoff has no option 'bse' (did you mean 'base'?)");
    FAILS("lunette.backoff(1, { 5 })", "backoff has no option '1'");
    FAILS("lunette.backoff(1, { [true] = 5 })", "backoff has no option 'boolean'");
    FAILS("lunette.backoff(1, { base = -1 })", "'base' is to be a number");
    FAILS("lunette.backoff(1, { jitter = 'half' })", "'jitter' is to be a number");
}

static void lists_of_keywords_may_be_asked_by_turns_and_of_any_text(void **state)
{
    W;
    GIVES("local a, b = lunette.keywords { 'red', 'blue' }, lunette.keywords { 'blue', 'green', '  ' } local s = '' "
          "for _, text in ipairs { 'red blue', 'red blue', 'red bluf', '', 'x', '', 'BLUE green', '  red' } do s = s .. a(text) .. b(text) .. ' ' end return s", "22 22 11 00 00 00 13 11 ");
    GIVES("local k = lunette.keywords { 'end' } return k(('x '):rep(2^15 - 2) .. 'end') .. k(('x '):rep(2^15) .. 'end') .. k(('x '):rep(2^14) .. 'end')", "101");
    FAILS("lunette.keywords({ 'a' })()", "string expected");
}

/* Lists that were asked about one text are looked for together in the next; which these are changes here with each text, and there are more of them than that. */
static void lists_of_keywords_find_the_same_alone_and_together(void **state)
{
    W;
    GIVES("local words, lists = { 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven' }, {} "
          "for i, word in ipairs(words) do lists[i] = lunette.keywords { word, 'same' } end "
          "for round = 1, 60 do local text = 'some text ' .. round if round % 4 == 0 then text = text .. ' same' end "
          "for i, word in ipairs(words) do if round * i % 3 == 0 then text = word .. ' ' .. text end end "
          "for i, word in ipairs(words) do if round > 40 or (round + i) % 5 < 2 then "
          "local stand = (round * i % 3 == 0 and 1 or 0) + (round % 4 == 0 and 1 or 0) local found = lists[i](text) "
          "if found ~= stand then return word .. ' in ' .. text .. ': ' .. found end end end end return 'the same'", "the same");
    GIVES("for i = 1, 200 do local a, b = lunette.keywords { 'x' .. i }, lunette.keywords { 'y' .. i } for k = 1, 300 do local waste = { k } end "
          "if a('x' .. i) ~= 1 or b('x' .. i) ~= 0 or a('y' .. i) ~= 0 or b('y' .. i) ~= 1 then return i end end return 'new ones too'", "new ones too");
}

static void the_store_keeps_values_between_requests(void **state)
{
    W;
    GIVES("local s = lunette.store s.set('t', 'text') s.set('n', 1.5) s.set('b', false) s.set('o', { a = { 1, 2 } }) return tostring(s.set('x', 1))", "true");
    GIVES("local s = lunette.store return s.get('t') .. s.get('n') .. tostring(s.get('b')) .. s.get('o').a[2] .. tostring(s.get('nothing'))", "text1.5false2nil");
    GIVES("local s = lunette.store return s.incr('c') .. s.incr('c', 2) .. s.incr('c', -1) .. s.get('c')", "1322");
    GIVES("local s = lunette.store local v, why = s.incr('t') return tostring(v) .. why", "nilnot_a_number");
    GIVES("local s = lunette.store s.set('t', nil) return tostring(s.get('t'))", "nil");
    GIVES("local s = lunette.store s.set('short', 1, 10) return tostring(s.get('short'))", "1");
    w->loop.now += 11 * LUN_SECOND;
    GIVES("return tostring(lunette.store.get('short'))", "nil");
    GIVES("local v, why = lunette.store.set('big', ('x'):rep(70000)) return tostring(v) .. why", "niltoo_large");
    GIVES("local v, why = lunette.store.set(('k'):rep(1025), 1) return tostring(v) .. why", "nilkey_too_long");
    FAILS("lunette.store.set('f', function() end)", "store.set: the value holds a function");
    FAILS("lunette.store.set('', 1)", "the key is empty");
    FAILS("lunette.store.set('k', 1, -1)", "time to live");
    FAILS("lunette.store.set('k')", "value expected");
    FAILS("lunette.store.get = nil", "read-only");
}

static void settings_have_defaults_and_names(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' return { settings = { share = { default = 5, min = 0, max = 100 }, mode = { default = 'fair' }, on = { default = true } },\n"
        "classify = function(r) return l.setting('share') .. l.setting('mode') .. tostring(l.setting('on')) end,\n"
        "select = function() return l.setting('shar') end }");
    struct lun_question *q = ask(w, HELLO);
    check_label(w, q, __LINE__, "5fairtrue");
    struct lun_thought *t = think(w, q, LUN_HOOK_SELECT);
    assert_int_equal(t->state, LUN_THOUGHT_FAILED);
    assert_non_null(strstr(t->error, "the policy has no setting 'shar' (did you mean 'share'?)"));
    lun_thought_end(t);
    over(w, q);
}

static void notes_and_metrics_are_bounded(void **state)
{
    W;
    struct lun_question *q = asked_with(w, "lunette.note('why', { a = 1, list = { true, 'x' } }) lunette.note('n', 5) return 'done'");
    check_label(w, q, __LINE__, "done");
    assert_string_equal(q->notes[0].value, "{\"a\":1,\"list\":[true,\"x\"]}");
    assert_string_equal(q->notes[1].value, "5");
    over(w, q);
    GIVES("local v, why = lunette.note('big', ('x'):rep(2000)) return tostring(v) .. why", "niltoo_large");
    FAILS("lunette.note('', 1)", "a key has 1 to 64 bytes");
    FAILS("lunette.note('x', function() end)", "holds a function");
    FAILS("for i = 1, 1e5 do lunette.note('k', ('x'):rep(1000)) end", "256 KiB in all");
    GIVES("return tostring(lunette.metric('hits', 2)) .. tostring(lunette.metric('hits'))", "truetrue");
    struct lun_buf out = { 0 };
    lun_metrics_write(w->registry->metrics, &out);
    assert_non_null(strstr(lun_buf_text(&out), "lunette_policy_hits 3"));
    lun_buf_free(&out);
    GIVES("local v, why = lunette.metric('bad name!') return tostring(v) .. why", "nilbad_name_or_too_many");
    FAILS("lunette.metric('x', 0/0)", "NaN");
}

static char logged[4000];
static int lines;
static void take(void *host, enum lun_log_level level, const char *message, size_t n)
{
    (void)host; (void)level; (void)n;
    snprintf(logged, sizeof logged, "%s", message);
    lines++;
}

static void log_lines_name_their_place_and_are_few(void **state)
{
    W;
    struct lun_log log = { .take = take };
    struct lun_question *q = asked_with(w, "for i = 1, 100 do lunette.log('now', i, true, nil, { a = 1 }, request.targets[1], request, 'x\\ny') end return 'done'");
    lun_policy_log_to(w->policy, &log);
    lines = 0;
    check_label(w, q, __LINE__, "done");
    assert_int_equal(lines, 20);
    assert_string_equal(logged, "policy: policies/test.lua:2: now 20 true nil {\"a\":1} a/small request x\\ny");
    over(w, q);
}

static void json_is_read_strictly_and_written_in_order(void **state)
{
    W;
    GIVES("return lunette.json.encode{ b = 1, a = { 1, 2, { c = 'x' } }, d = true }:gsub(',', ';')", "{\"a\":[1;2;{\"c\":\"x\"}];\"b\":1;\"d\":true}");
    GIVES("return lunette.json.encode{} .. lunette.json.encode(lunette.json.array{}) .. lunette.json.encode(lunette.null) .. lunette.json.encode(lunette.json.decode('[]'))", "{}[]null[]");
    GIVES("return lunette.json.encode(request.tags) .. lunette.json.encode(request.targets[3].facts.quality)", "{}0.9");
    GIVES("local v = lunette.json.decode('{\"a\":[1,null,3],\"b\":null}') return #v.a .. tostring(v.a[2] == lunette.null) .. tostring(v.b)", "3truenil");
    GIVES("local v, why = lunette.json.decode('{a:1}') return tostring(v) .. why:gsub(',', ';')", "nilat byte 1: a name in quotes is expected");
    GIVES("local v, why = lunette.json.decode(('['):rep(100) .. (']'):rep(100)) return tostring(v) .. why", "niltoo_deep");
    GIVES("local v, why = lunette.json.decode('\"' .. ('x'):rep(300000) .. '\"') return tostring(v) .. why", "niltoo_large");
    GIVES("local v, why = lunette.json.encode{ 1, nil, 3 } return (why:sub(1, 50))", "the value holds a table that is neither a list wit");
    GIVES("local t = {} t.t = t local v, why = lunette.json.encode(t) return tostring(v) .. why", "nilthe value holds tables too deep inside one another");
    GIVES("local t = ('x'):rep(1000) for i = 1, 10 do t = { t, t } end local v, why = lunette.json.encode(t) return tostring(v) .. why", "nilthe value is too large");
}

/* ---- waiting ---- */

static void a_hook_that_waits_goes_on_with_what_came(void **state)
{
    W;
    struct lun_question *q = asked_with(w, "local a = request.words lunette.sleep(1.5) return a .. request.model");
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    assert_int_equal(t->state, LUN_THOUGHT_WISHES);
    assert_int_equal(t->wish.kind, LUN_WISH_SLEEP);
    assert_int_equal(t->wish.delay, 1500 * LUN_MS);
    lun_thought_fulfil(t, &(struct lun_wish_result){ 0 });
    assert_int_equal(t->state, LUN_THOUGHT_DONE);
    assert_string_equal(t->answer.labels[0], "3small");
    lun_thought_end(t);
    over(w, q);
}

static void http_says_what_to_ask_and_gives_what_came(void **state)
{
    W;
    struct lun_question *q = asked_with(w, "local r, why = lunette.http{ url = 'https://example.org/x?y=1', body = 'hi', headers = { Authorization = 'Bearer t' }, timeout = 2 }\n"
        "local s, gone = lunette.http{ url = 'http://[::1]:80' } return r.status .. r.body .. r.headers['x-a'] .. tostring(s) .. gone");
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    assert_int_equal(t->state, LUN_THOUGHT_WISHES);
    assert_int_equal(t->wish.kind, LUN_WISH_HTTP);
    assert_string_equal(t->wish.http.url, "https://example.org/x?y=1");
    assert_string_equal(t->wish.http.method, "POST");
    assert_memory_equal(t->wish.http.body, "hi", 2);
    assert_int_equal(t->wish.http.n_headers, 1);
    assert_string_equal(t->wish.http.headers[0].name, "Authorization");
    assert_int_equal(t->wish.http.timeout, 2 * LUN_SECOND);
    struct lun_pair header = { "x-a", "b" };
    lun_thought_fulfil(t, &(struct lun_wish_result){ .status = 200, .headers = &header, .n_headers = 1, .body = "ok", .body_n = 2 });
    assert_int_equal(t->state, LUN_THOUGHT_WISHES);
    assert_string_equal(t->wish.http.method, "GET");
    assert_int_equal(t->wish.http.timeout, 5 * LUN_SECOND);
    lun_thought_fulfil(t, &(struct lun_wish_result){ .error = "connect_refused" });
    assert_int_equal(t->state, LUN_THOUGHT_DONE);
    assert_string_equal(t->answer.labels[0], "200okbnilconnect_refused");
    lun_thought_end(t);
    over(w, q);
}

static void a_wish_is_untouched_by_what_others_do_meanwhile(void **state)
{
    W;
    world_policy(w, "local l = require 'lunette' local options = { url = 'http://x.test/' .. 1, body = 'b' .. 2, method = 'P' .. 'UT', headers = { ['x-' .. 'a'] = 'v' .. 3 } }\n"
        "return { classify = function(r) return l.http(options).body end,\n"
        "  select = function() options.url, options.body, options.method = nil, nil, nil options.headers['x-a'] = nil options.headers = nil for i = 1, 20000 do local s = 'garbage' .. i end end }");
    struct lun_question *q = ask(w, HELLO), *other = ask(w, HELLO);
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    assert_int_equal(t->state, LUN_THOUGHT_WISHES);
    for (int i = 0; i < 5; i++) lun_thought_end(think(w, other, LUN_HOOK_SELECT));
    assert_string_equal(t->wish.http.url, "http://x.test/1");
    assert_string_equal(t->wish.http.method, "PUT");
    assert_memory_equal(t->wish.http.body, "b2", 2);
    assert_string_equal(t->wish.http.headers[0].name, "x-a");
    assert_string_equal(t->wish.http.headers[0].value, "v3");
    lun_thought_fulfil(t, &(struct lun_wish_result){ .status = 200, .body = "ok", .body_n = 2 });
    assert_string_equal(t->answer.labels[0], "ok");
    lun_thought_end(t);
    over(w, q);
    over(w, other);
}

static void http_refuses_what_would_give_secrets_away(void **state)
{
    W;
    static const char *const urls[] = { "ftp://x/", "file:///etc/passwd", "http://169.254.169.254/latest", "http://0xa9fea9fe/", "http://2852039166/", "http://169.254.43518/", "http://0251.0376.0251.0376/",
        "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[fd00:ec2::254]/", "http://METADATA.google.internal./", "http://user:pw@x/",
        "http://x@169.254.169.254/", "http://a%2eb/", "http:///x", "http://x:y/", "http://x\\n/", "http://x\\\\y/", "http://\\239\\188\\145.1.1.1/", "http://[::1/" };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char code[300];
        snprintf(code, sizeof code, "local r = lunette.http{ url = '%s' } return 'asked'", urls[i]);
        classify_fails(w, (int)i, code, "http: url: ");
    }
    FAILS("lunette.http{}", "http: url is missing");
    FAILS("lunette.http{ url = 'http://x/', heders = {} }", "http has no option 'heders' (did you mean 'headers'?)");
    FAILS("lunette.http{ url = 'http://x/', headers = { ['a b'] = 'c' } }", "a character that no header has");
    FAILS("lunette.http{ url = 'http://x/', headers = { a = 'b\\r\\nc: d' } }", "a character that no header has");
    FAILS("lunette.http{ url = 'http://x/', headers = { Host = 'y' } }", "is the gateway's to send");
    FAILS("lunette.http{ url = 'http://x/', method = 'GET /' }", "is no method");
    FAILS("lunette.http{ url = 'http://x/', timeout = -1 }", "http: timeout");
}

#define ANSWER(text) "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"" text "\"}}]}"

static void chats(struct world *w, int line, const char *code, const char *messages, const char *answer, const char *label)
{
    struct lun_question *q = asked_with(w, code);
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    if (t->state != LUN_THOUGHT_WISHES) fail_msg("line %d: no wish: %s", line, t->error ? t->error : "done");
    assert_int_equal(t->wish.kind, LUN_WISH_CHAT);
    assert_string_equal(t->wish.chat.model, "small");
    if (strcmp(t->wish.chat.messages, messages)) fail_msg("line %d: %s", line, t->wish.chat.messages);
    lun_thought_fulfil(t, &(struct lun_wish_result){ .status = 200, .body = answer, .body_n = strlen(answer) });
    if (t->state != LUN_THOUGHT_DONE) fail_msg("line %d: %s", line, t->error);
    if (strcmp(t->answer.labels[0], label)) fail_msg("line %d: %s", line, t->answer.labels[0]);
    lun_thought_end(t);
    over(w, q);
}

static void chat_asks_a_model_and_gives_its_text(void **state)
{
    W;
    chats(w, __LINE__, "return lunette.chat{ model = 'small', text = 'a \"b\"' }", "[{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"}]", ANSWER("fine"), "fine");
    chats(w, __LINE__, "return lunette.chat{ model = 'small', messages = { { role = 'user', content = 'x' } } }", "[{\"content\":\"x\",\"role\":\"user\"}]", ANSWER("fine"), "fine");
    chats(w, __LINE__, "local t, why = lunette.chat{ model = 'small', text = 'x' } return tostring(t) .. why", "[{\"role\":\"user\",\"content\":\"x\"}]", "{}", "nilno_text");
    chats(w, __LINE__, "local t, why = lunette.chat{ model = 'small', text = 'x' } return tostring(t) .. why", "[{\"role\":\"user\",\"content\":\"x\"}]", "<html>", "nilbad_answer");
    FAILS("lunette.chat{ text = 'x' }", "chat: model is missing");
    FAILS("lunette.chat{ model = 'small' }", "one of text and messages");
    FAILS("lunette.chat{ model = 'small', text = 'x', messages = {} }", "one of text and messages");
    FAILS("lunette.chat{ model = 'small', messages = { a = 1 } }", "messages is to be a list");
    FAILS("lunette.chat{ model = 'small', text = 'x', max_tokens = 0 }", "max_tokens");
    FAILS("lunette.chat{ model = 'small', text = 'x', pay = 'me' }", "pay is \"key\"");
    FAILS("lunette.chat{ model = 'small', text = 'x', choice = {} }", "chat has no option 'choice' (did you mean 'choices'?)");
    FAILS("local x = lunette.chat{ model = 'small', text = 'x', choices = {} }", "test.lua:2: chat: choices is to be a list of texts");
    FAILS("local x = lunette.chat(5)", "test.lua:2: chat{…}: expected a table");
}

static void chat_gives_the_choice_that_was_answered(void **state)
{
    W;
    static const char code[] = "local c, why = lunette.chat{ model = 'small', text = 'x', choices = { 'yes', 'no', 'not sure' } } return c or why";
    static const char asks[] = "[{\"role\":\"system\",\"content\":\"Answer with exactly one of the following and nothing else: yes, no, not sure\"},{\"role\":\"user\",\"content\":\"x\"}]";
    chats(w, __LINE__, code, asks, ANSWER("yes"), "yes");
    chats(w, __LINE__, code, asks, ANSWER(" Yes.\\n"), "yes");
    chats(w, __LINE__, code, asks, ANSWER("I would say: no"), "no");
    chats(w, __LINE__, code, asks, ANSWER("Not sure!"), "not sure");
    chats(w, __LINE__, code, asks, ANSWER("yes or no"), "no_choice");
    chats(w, __LINE__, code, asks, ANSWER("nothing"), "no_choice");
}

static void waiting_works_inside_where_by_and_degrade(void **state)
{
    W;
    struct lun_question *q = asked_with(w, "local n = 0 local function f(t) lunette.sleep(1) n = n + 1 return n % 2 == 1 end\n"
        "local s = request.targets:where(f) s = s:by(function(t) lunette.sleep(1) return t.name end) return #s .. s[1].name");
    struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
    int waits = 0;
    for (; t->state == LUN_THOUGHT_WISHES; waits++) lun_thought_fulfil(t, &(struct lun_wish_result){ 0 });
    assert_int_equal(t->state, LUN_THOUGHT_DONE);
    assert_int_equal(waits, 8);
    assert_string_equal(t->answer.labels[0], "3a/large");
    lun_thought_end(t);
    over(w, q);
}

static void a_thought_may_be_dropped_while_it_waits(void **state)
{
    W;
    struct lun_question *q = asked_with(w, "lunette.sleep(1) return 'x'");
    for (int i = 0; i < 20; i++) {
        struct lun_thought *t = think(w, q, LUN_HOOK_CLASSIFY);
        assert_int_equal(t->state, LUN_THOUGHT_WISHES);
        lun_thought_end(t);
    }
    think(w, q, LUN_HOOK_CLASSIFY);
    over(w, q);                         /* forgets it as it is */
}

static void what_belongs_to_a_request_raises_while_loading(void **state)
{
    W;
    static const char *const uses[] = { "now()", "random()", "pick{1}", "split('a', 'b', {1})", "store.get('x')", "setting('x')", "note('a', 1)", "log('x')", "metric('x')", "sleep(1)",
        "http{ url = 'http://x/' }", "chat{ model = 'm', text = 'x' }", "degrade('x')", "try('x')" };
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        char text[200];
        snprintf(text, sizeof text, "local lunette = require 'lunette'\nlocal x = lunette.%s\nreturn {}", uses[i]);
        world_load(w, text);
        if (w->policy) fail_msg("%s was let pass", uses[i]);
        if (!strstr(w->error, "can be used only inside a hook")) fail_msg("%s: %s", uses[i], w->error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(time_is_the_requests_own),
        unit(chance_repeats_with_the_request),
        unit(pick_follows_the_weights_and_notes_its_probability),
        unit(split_is_sticky_and_fair),
        unit(a_hash_is_the_same_for_ever),
        unit(backoff_doubles_up_to_its_maximum),
        unit(lists_of_keywords_may_be_asked_by_turns_and_of_any_text),
        unit(lists_of_keywords_find_the_same_alone_and_together),
        unit(the_store_keeps_values_between_requests),
        unit(settings_have_defaults_and_names),
        unit(notes_and_metrics_are_bounded),
        unit(log_lines_name_their_place_and_are_few),
        unit(json_is_read_strictly_and_written_in_order),
        unit(a_hook_that_waits_goes_on_with_what_came),
        unit(http_says_what_to_ask_and_gives_what_came),
        unit(a_wish_is_untouched_by_what_others_do_meanwhile),
        unit(http_refuses_what_would_give_secrets_away),
        unit(chat_asks_a_model_and_gives_its_text),
        unit(chat_gives_the_choice_that_was_answered),
        unit(waiting_works_inside_where_by_and_degrade),
        unit(a_thought_may_be_dropped_while_it_waits),
        unit(what_belongs_to_a_request_raises_while_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

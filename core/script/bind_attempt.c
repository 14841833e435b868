/* `attempt` and `outcome`: what came of asking. */
#include "script/bind.h"
#include <string.h>
#include "base/loop.h"
#include "script/sandbox.h"

struct attempt { struct lun_box box; const struct lun_trial *trial; };

#define GET(name) static int get_##name(lua_State *L, struct lun_mind *mind, void *self)
#define TRIAL(self) (((struct attempt *)(self))->trial)

GET(number) { (void)mind; lua_pushinteger(L, TRIAL(self)->number); return 1; }
GET(try) { (void)mind; lua_pushinteger(L, TRIAL(self)->try); return 1; }
GET(target)
{
    if (!TRIAL(self)->target) lua_pushnil(L);
    else lun_push_target(L, mind, TRIAL(self)->target);
    return 1;
}
GET(status)
{
    (void)mind;
    if (TRIAL(self)->status) lua_pushinteger(L, TRIAL(self)->status);
    else lua_pushnil(L);
    return 1;
}
GET(kind) { (void)mind; return lun_push_text(L, TRIAL(self)->closed ? lun_kind_name(TRIAL(self)->kind) : NULL); }
GET(billed) { (void)mind; return lun_push_text(L, lun_billed_name(TRIAL(self)->billed)); }
GET(retry_after) { (void)mind; return lun_push_seconds(L, TRIAL(self)->retry_after, 0); }
GET(committed) { (void)mind; lua_pushboolean(L, TRIAL(self)->committed); return 1; }
GET(hedge) { (void)mind; lua_pushboolean(L, TRIAL(self)->hedge); return 1; }
GET(finish_reason) { (void)mind; return lun_push_text(L, TRIAL(self)->finish_reason); }
GET(cost) { (void)mind; return lun_push_usd(L, TRIAL(self)->cost); }
GET(detail) { (void)mind; return lun_push_text(L, TRIAL(self)->detail); }

GET(elapsed)
{
    const struct lun_trial *t = TRIAL(self);
    lun_us until = t->ended ? t->ended : mind->question->loop->now;
    return lun_push_seconds(L, until > t->began ? until - t->began : 0, -1);
}

GET(waited)
{
    return lun_push_seconds(L, lun_trial_waited(TRIAL(self), mind->question->loop->now), -1);
}

GET(ttft)
{
    const struct lun_trial *t = TRIAL(self);
    (void)mind;
    return lun_push_seconds(L, t->first_byte ? t->first_byte - (t->sent ? t->sent : t->began) : 0, 0);
}

static bool whole(const struct lun_trial *t, struct lun_json *body)
{
    return t->body && t->body_n && lun_json_check(t->body, t->body_n, body, NULL);
}

/* Of the first choice: a chat's content, or a completion's text. */
GET(text)
{
    struct lun_json body;
    struct lun_buf *out = lun_bind_scratch(L);
    lun_question_miss(mind->question, LUN_UNSAID_ANSWER);
    lua_pushnil(L);
    if (!whole(TRIAL(self), &body)) return 1;
    lun_vm_work(L, (int64_t)(body.n >> 3));
    struct lun_json text = lun_json_path(body, "choices.0.message.content");
    if (lun_json_type(text) != LUN_JSON_STRING) text = lun_json_path(body, "choices.0.text");
    if (lun_json_string(text, false, out)) lua_pushlstring(L, out->n ? out->at : "", out->n);
    return 1;
}

static int attempt_body(lua_State *L)
{
    struct lun_mind *mind;
    struct attempt *a = lun_class_check(L, 1, &lun_attempt_class, &mind);
    struct lun_json body;
    lun_question_miss(mind->question, LUN_UNSAID_ANSWER);
    const char *why = "no_body";
    if (TRIAL(a)->body_n) why = "not_json";
    if (whole(TRIAL(a), &body) && lun_push_json(L, body, &why)) return 1;
    return lun_bind_nil(L, why);
}

static void which(struct lun_buf *out, void *self) { lun_buf_int(out, TRIAL(self)->number); }

static const struct lun_member attempt_members[] = {
    { "number", NULL, "number", "from 1, over the request", get_number, .fixed = true },
    { "try", NULL, "number", "from 1, on this target", get_try },
    { "target", NULL, "target", "who was asked", get_target },
    { "status", NULL, "number or nil", "of the provider's answer; nil: there was none", get_status },
    { "kind", NULL, "string or nil", "how it ended (the list of kinds below); nil: it has not", get_kind,
      .lua = "lunette.Kind?" },
    { "billed", NULL, "string", "whether it costs: `no`, `maybe` or `yes`", get_billed,
      .lua = "\"no\"|\"maybe\"|\"yes\"" },
    { "retry_after", NULL, "number or nil", "seconds that the provider asks to wait", get_retry_after },
    { "elapsed", NULL, "number", "seconds from its beginning to its end, or until now", get_elapsed },
    { "waited", NULL, "number", "of that, seconds in the queue for its turn at the target's rate limit", get_waited },
    { "ttft", NULL, "number or nil", "seconds to the first byte", get_ttft },
    { "committed", NULL, "boolean", "its answer goes to the client", get_committed },
    { "hedge", NULL, "boolean", "it was started beside another", get_hedge },
    { "text", NULL, "string or nil", "of a whole answer: what the model said", get_text, .says = lun_class_says },
    { "finish_reason", NULL, "string or nil", "of the first choice: `stop`, `length`, …", get_finish_reason },
    { "cost", NULL, "number", "USD charged so far", get_cost },
    { "detail", NULL, "string or nil", "what happened, for people", get_detail },
    { "body", "()", "table or nil", "a whole answer (an error's too), decoded; `nil, \"no_body\"`, `\"not_json\"` or `\"too_large\"` (over 256 KiB)", NULL, attempt_body,
      .lua = "(): table?, string?", .says = lun_class_says },
    { 0 } };
const struct lun_class lun_attempt_class = { .id = LUN_CLASS_attempt, .name = "attempt", .doc = "One asking of one target: the second argument of `judge` and `retry`.", .members = attempt_members, .which = which };

void lun_push_attempt(lua_State *L, struct lun_mind *mind, const struct lun_trial *t)
{
    if (lun_bind_kept(L, mind, LUN_KEPT_ATTEMPT(t->number))) {
        if (TRIAL(lua_touserdata(L, -1)) == t) return;
        lua_pop(L, 1);
    }
    struct attempt *self = lun_class_new(L, &lun_attempt_class, mind, sizeof *self);
    self->trial = t;
    lun_bind_keep(L, mind, LUN_KEPT_ATTEMPT(t->number));
}

const struct lun_trial *lun_attempt_at(lua_State *L, int index)
{
    struct attempt *a = lun_class_is(L, index, &lun_attempt_class);
    return a ? a->trial : NULL;
}

/* ---- outcome ---- */

static const struct lun_outcome *outcome_of(lua_State *L, const struct lun_mind *mind)
{
    if (!mind->outcome) luaL_error(L, "the outcome can be used only inside the finish hook");
    return mind->outcome;
}

GET(outcome_status) { (void)self; lua_pushinteger(L, outcome_of(L, mind)->status); return 1; }
GET(outcome_cost) { (void)self; return lun_push_usd(L, outcome_of(L, mind)->cost); }
GET(outcome_latency) { (void)self; return lun_push_seconds(L, outcome_of(L, mind)->latency, -1); }
GET(outcome_ttft) { (void)self; return lun_push_seconds(L, outcome_of(L, mind)->ttft, 0); }
GET(outcome_waited) { (void)self; return lun_push_seconds(L, outcome_of(L, mind)->waited, -1); }
GET(outcome_fallback) { (void)self; lua_pushboolean(L, outcome_of(L, mind)->fallback); return 1; }
GET(outcome_cached) { (void)self; lua_pushboolean(L, outcome_of(L, mind)->cached); return 1; }

GET(outcome_target)
{
    const struct lun_trial *t = outcome_of(L, mind)->trial;
    (void)self;
    if (t && t->target) lun_push_target(L, mind, t->target);
    else lua_pushnil(L);
    return 1;
}

GET(outcome_attempts)
{
    (void)self;
    lun_push_request(L, mind);
    lua_getfield(L, -1, "attempts");
    return 1;
}

GET(outcome_labels)
{
    (void)self;
    lun_push_request(L, mind);
    lua_getfield(L, -1, "labels");
    return 1;
}

static void set_count(lua_State *L, const char *name, int64_t n)
{
    lua_pushnumber(L, (double)n);
    lua_setfield(L, -2, name);
}

GET(outcome_usage)
{
    const struct lun_usage *u = &outcome_of(L, mind)->usage;
    (void)self;
    if (!u->known) { lua_pushnil(L); return 1; }
    lua_createtable(L, 0, 11);
    set_count(L, "input", u->input);
    set_count(L, "output", u->output);
    set_count(L, "cached_input", u->cached_input);
    set_count(L, "cache_write", u->cache_write);
    set_count(L, "cache_write_1h", u->cache_write_1h);
    set_count(L, "audio_input", u->audio_input);
    set_count(L, "image_input", u->image_input);
    set_count(L, "reasoning", u->reasoning);
    set_count(L, "audio_output", u->audio_output);
    set_count(L, "image_output", u->image_output);
    lua_pushboolean(L, u->estimated);
    lua_setfield(L, -2, "estimated");
    lun_sandbox_freeze(L);
    return 1;
}

static const struct lun_member outcome_members[] = {
    { "status", NULL, "number", "what the client got; 499: it left first", get_outcome_status },
    { "target", NULL, "target or nil", "who answered; nil: nobody", get_outcome_target },
    { "attempts", NULL, "list of attempt", "all of them: `#outcome.attempts` is how many", get_outcome_attempts, .fixed = true },
    { "usage", NULL, "table or nil", "tokens: `input output`, of these `cached_input cache_write cache_write_1h audio_input image_input` and `reasoning audio_output image_output`, and `estimated`; nil: nobody said. Read-only", get_outcome_usage,
      .lua = "{ input: number, output: number, cached_input: number, cache_write: number, cache_write_1h: number, audio_input: number, image_input: number, reasoning: number, audio_output: number, image_output: number, estimated: boolean }?" },
    { "cost", NULL, "number", "USD, over all attempts", get_outcome_cost },
    { "latency", NULL, "number", "seconds from the request's arrival to its end", get_outcome_latency },
    { "ttft", NULL, "number or nil", "seconds until the first byte of the answer", get_outcome_ttft },
    { "waited", NULL, "number", "of the latency, seconds before retries that were delayed, and in the queue of a rate limit, with nothing under way", get_outcome_waited },
    { "fallback", NULL, "boolean", "another than the first step answered", get_outcome_fallback },
    { "cached", NULL, "boolean", "the answer came from the cache", get_outcome_cached },
    { "labels", NULL, "list", "what `classify` answered", get_outcome_labels, .fixed = true },
    { 0 } };
const struct lun_class lun_outcome_class = { .id = LUN_CLASS_outcome, .name = "outcome", .doc = "How it all ended: the second argument of `finish`.", .members = outcome_members };

void lun_push_outcome(lua_State *L, struct lun_mind *mind)
{
    if (lun_bind_kept(L, mind, LUN_KEPT_OUTCOME)) return;
    lun_class_new(L, &lun_outcome_class, mind, sizeof(struct lun_box));
    lun_bind_keep(L, mind, LUN_KEPT_OUTCOME);
}

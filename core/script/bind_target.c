/* `target`, `provider` and `price`: who can answer, how it is doing, what it costs. */
#include "script/bind.h"
#include <math.h>
#include <string.h>
#include "base/loop.h"
#include "script/sandbox.h"
#include "state/limit.h"

struct target { struct lun_box_own box; int price; struct price *price_self; const struct lun_target *target; struct lun_health_view view; uint64_t slice; lun_us looked; };
struct provider { struct lun_box_own box; const struct lun_provider *provider; struct lun_provider_view view; uint64_t slice; lun_us looked; };
struct price { struct lun_box box; const struct lun_target *target; };

#define GET(name) static int get_##name(lua_State *L, struct lun_mind *mind, void *self)

static lun_us now(const struct lun_mind *mind) { return mind->question->loop->now; }

/* Looked at once per run and moment, so that what a policy compares belongs together. */
static const struct lun_health_view *look(struct lun_mind *mind, struct target *t)
{
    if (t->slice != mind->slice || t->looked != now(mind)) {
        lun_health_look(t->target, now(mind), &t->view);
        t->slice = mind->slice;
        t->looked = now(mind);
    }
    return &t->view;
}

static const struct lun_provider_view *look_provider(struct lun_mind *mind, struct provider *p)
{
    if (p->slice != mind->slice || p->looked != now(mind)) {
        lun_health_provider_look(mind->question->snapshot, p->provider, now(mind), &p->view);
        p->slice = mind->slice;
        p->looked = now(mind);
    }
    return &p->view;
}

/* ---- target ---- */

GET(name) { (void)mind; return lun_push_text(L, ((struct target *)self)->target->name); }
GET(model) { (void)mind; return lun_push_text(L, ((struct target *)self)->target->model); }
GET(upstream) { return lun_push_text(L, lun_question_upstream(mind->question, ((struct target *)self)->target)); }

static void *provider_of(lua_State *L, struct lun_mind *mind, void *self)
{
    const struct lun_provider *p = ((struct target *)self)->target->provider;
    void *made = lun_bind_own(L, LUN_OWN_PROVIDER(p->index), p);
    if (made) return made;
    lun_push_provider(L, mind, p);
    made = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return made;
}

GET(provider)
{
    lun_push_provider(L, mind, ((struct target *)self)->target->provider);
    return 1;
}

/* The configuration's, the same for every request: one object each per machine. */
static void *price_of(lua_State *L, struct lun_mind *mind, void *self)
{
    struct target *t = self;
    (void)mind;
    if (t->price_self) return t->price_self;
    struct price *price = lun_class_new(L, &lun_price_class, NULL, sizeof *price);
    price->target = t->target;
    t->price = luaL_ref(L, LUA_REGISTRYINDEX);
    return t->price_self = price;
}

GET(price)
{
    price_of(L, mind, self);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ((struct target *)self)->price);
    return 1;
}

/* The same for every request: decoded once per machine. */
GET(facts)
{
    const struct lun_target *t = ((struct target *)self)->target;
    struct lun_json facts;
    const char *why;
    (void)mind;
    lua_pushlightuserdata(L, (void *)&t->facts);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_isnil(L, -1)) return 1;
    const char *text = t->facts ? t->facts : "{}";
    if (!lun_json_check(text, strlen(text), &facts, NULL) || !lun_push_json(L, facts, &why)) lua_newtable(L);
    lun_sandbox_freeze(L);
    lua_pushlightuserdata(L, (void *)&t->facts);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return 1;
}

GET(weight) { (void)mind; lua_pushnumber(L, ((struct target *)self)->target->weight); return 1; }
GET(context)
{
    int64_t n = ((struct target *)self)->target->context;
    (void)mind;
    if (n > 0) lua_pushnumber(L, (double)n);
    else lua_pushnil(L);
    return 1;
}
GET(max_output)
{
    int64_t n = ((struct target *)self)->target->max_output;
    (void)mind;
    if (n > 0) lua_pushnumber(L, (double)n);
    else lua_pushnil(L);
    return 1;
}

GET(healthy) { lua_pushboolean(L, look(mind, self)->healthy); return 1; }
GET(circuit)
{
    static const char *const names[] = { "closed", "open", "half_open" };
    return lun_push_text(L, names[look(mind, self)->circuit]);
}
GET(in_flight) { lua_pushinteger(L, look(mind, self)->in_flight); return 1; }
GET(failures) { lua_pushinteger(L, look(mind, self)->failures_in_a_row); return 1; }
GET(latency) { return lun_push_seconds(L, look(mind, self)->latency, 0); }
GET(ttft) { return lun_push_seconds(L, look(mind, self)->ttft, 0); }
GET(success_rate) { lua_pushnumber(L, look(mind, self)->success_rate); return 1; }

static int push_left(lua_State *L, int64_t left)
{
    lua_pushnumber(L, left < 0 ? HUGE_VAL : (double)left);
    return 1;
}
GET(requests_left) { return push_left(L, lun_limit_requests_left(((struct target *)self)->target, now(mind))); }
GET(tokens_left) { return push_left(L, lun_limit_tokens_left(((struct target *)self)->target, now(mind))); }

static int target_mean_latency(lua_State *L)
{
    struct target *t = lun_class_check(L, 1, &lun_target_class, NULL);
    double n = luaL_optnumber(L, 2, 100);
    if (!(n >= 1)) return luaL_error(L, "mean_latency(n): expected how many answers, 1 to 100");
    return lun_push_seconds(L, lun_health_mean_latency(t->target, n > 100 ? 100 : (int)n), 0);
}

static int target_quantile(lua_State *L)
{
    struct target *t = lun_class_check(L, 1, &lun_target_class, NULL);
    const char *what = luaL_checkstring(L, 2);
    double q = luaL_checknumber(L, 3);
    if (strcmp(what, "latency") && strcmp(what, "ttft")) return luaL_error(L, "quantile(what, q): what is \"latency\" or \"ttft\"");
    if (!(q >= 0 && q <= 1)) return luaL_error(L, "quantile(what, q): q is between 0 and 1 (0.99 for p99)");
    return lun_push_seconds(L, lun_health_quantile(t->target, !strcmp(what, "ttft"), q), 0);
}

static int unpriced(lua_State *L) { return lun_bind_nil(L, "unknown_price"); }

static int target_max_cost(lua_State *L)
{
    struct lun_mind *mind;
    struct target *t = lun_class_check(L, 1, &lun_target_class, &mind);
    if (!lua_isnoneornil(L, 2)) lun_class_check(L, 2, &lun_request_class, NULL);
    bool surveyed = mind->question->survey.done;                /* once for all targets */
    int64_t nano = lun_question_bound(mind->question, t->target, NULL, NULL);
    lun_vm_work(L, surveyed ? 20 : (int64_t)(mind->question->body_n >> 4));
    return nano < 0 ? unpriced(L) : lun_push_usd(L, nano);
}

static int target_expected_cost(lua_State *L)
{
    struct lun_mind *mind;
    struct target *t = lun_class_check(L, 1, &lun_target_class, &mind);
    if (!lua_isnoneornil(L, 2)) lun_class_check(L, 2, &lun_request_class, NULL);
    int64_t nano = lun_question_expected(mind->question, t->target);
    return nano < 0 ? unpriced(L) : lun_push_usd(L, nano);
}

static int target_steps(lua_State *L);

static const struct lun_member target_members[] = {
    { "name", NULL, "string", "its own name, `provider/model` unless configured otherwise", get_name, .fixed = true },
    { "model", NULL, "string", "the name in `models` that clients ask for", get_model, .fixed = true },
    { "upstream", NULL, "string", "what the provider calls the model", get_upstream },
    { "provider", NULL, "provider", "who runs it", get_provider, .of = &lun_provider_class, .part = provider_of, .fixed = true },
    { "price", NULL, "price", "what it costs", get_price, .of = &lun_price_class, .part = price_of, .fixed = true },
    { "facts", NULL, "table", "its own table `facts` of the configuration. Read-only", get_facts,
      .lua = "table<string, any>", .fixed = true },
    { "weight", NULL, "number", "from the configuration; 1", get_weight, .fixed = true },
    { "context", NULL, "number or nil", "tokens of input and output together", get_context, .fixed = true },
    { "max_output", NULL, "number or nil", "tokens of output", get_max_output, .fixed = true },
    { "healthy", NULL, "boolean", "it does not rest and its circuit is not open, or lets this request through as a trial", get_healthy },
    { "circuit", NULL, "string", "`closed`, `open` or `half_open`", get_circuit,
      .lua = "\"closed\"|\"open\"|\"half_open\"" },
    { "in_flight", NULL, "number", "attempts under way", get_in_flight },
    { "failures", NULL, "number", "failures in a row", get_failures },
    { "latency", NULL, "number or nil", "seconds, peak-sensitive moving average; nil before the first answer", get_latency },
    { "ttft", NULL, "number or nil", "seconds to the first byte, moving average", get_ttft },
    { "success_rate", NULL, "number", "of the last 100 attempts, 0 to 1; 1 before the first", get_success_rate },
    { "requests_left", NULL, "number", "in its window of 60 s; `math.huge` without a limit", get_requests_left },
    { "tokens_left", NULL, "number", "the same for tokens", get_tokens_left },
    { "mean_latency", "(n)", "number or nil", "seconds, mean of the last n good answers (at most 100)", NULL, target_mean_latency,
      .lua = "(n?: number): number?" },
    { "quantile", "(what, q)", "number or nil", "seconds; what is `latency` or `ttft`: `target:quantile(\"latency\", 0.99)`", NULL, target_quantile,
      .lua = "(what: \"latency\"|\"ttft\", q: number): number?" },
    { "max_cost", "(request)", "number or nil", "USD, the dearest this request can cost there; `nil, \"unknown_price\"`", NULL, target_max_cost,
      .lua = "(request?: lunette.Request): number?, string?" },
    { "expected_cost", "(request)", "number or nil", "USD, a guess; `nil, \"unknown_price\"`", NULL, target_expected_cost,
      .lua = "(request?: lunette.Request): number?, string?" },
    { "steps", "{…}", "steps", "as `targets:steps`, of this one", NULL, target_steps,
      .lua = "(options: lunette.StepOptions): lunette.Steps", .fixed = true },
    { 0 } };

static void target_text(struct lun_buf *out, void *self) { lun_buf_puts(out, ((struct target *)self)->target->name); }

const struct lun_class lun_target_class = {
    .id = LUN_CLASS_target, .name = "target", .doc = "One model at one provider. `..` joins it with targets and steps; `tostring` gives its name.",
    .members = target_members, .concat = lun_steps_concat, .text = target_text, .which = target_text,
    .lua = "---@operator concat(lunette.Targets|lunette.Target): lunette.Targets\n---@operator concat(lunette.Steps): lunette.Steps" };

static int target_steps(lua_State *L)
{
    struct lun_mind *mind;
    struct target *t = lun_class_check(L, 1, &lun_target_class, &mind);
    lun_push_set(L, mind, &t->target, 1);
    lua_replace(L, 1);
    return lun_targets_steps(L);
}

void lun_push_target(lua_State *L, struct lun_mind *mind, const struct lun_target *t)
{
    if (lun_bind_give(L, mind, LUN_OWN_TARGET(t->index), t)) return;
    struct target *self = lun_class_new(L, &lun_target_class, mind, sizeof *self);
    self->target = t;
    lun_bind_give_new(L, mind, LUN_OWN_TARGET(t->index), t);
}

void *lun_target_self(lua_State *L, struct lun_mind *mind, const struct lun_target *t)
{
    void *self = lun_bind_own(L, LUN_OWN_TARGET(t->index), t);
    if (self) return self;
    lun_push_target(L, mind, t);
    self = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return self;
}

const struct lun_target *lun_target_at(lua_State *L, int index, const struct lun_mind *mind)
{
    struct target *t = lun_class_is(L, index, &lun_target_class);
    return t && lun_class_mine(mind, t) ? t->target : NULL;
}

/* ---- provider ---- */

GET(provider_name) { (void)mind; return lun_push_text(L, ((struct provider *)self)->provider->name); }
GET(provider_dialect) { (void)mind; return lun_push_text(L, ((struct provider *)self)->provider->dialect); }
GET(provider_state)
{
    static const char *const names[] = { "healthy", "degraded", "down" };
    return lun_push_text(L, names[look_provider(mind, self)->state]);
}
GET(provider_failures) { lua_pushinteger(L, look_provider(mind, self)->failures); return 1; }
GET(provider_latency) { return lun_push_seconds(L, look_provider(mind, self)->latency, 0); }
GET(provider_success_rate) { lua_pushnumber(L, look_provider(mind, self)->success_rate); return 1; }
GET(provider_cooling_until)
{
    lun_us until = look_provider(mind, self)->cooling_until;
    if (until <= now(mind)) lua_pushnil(L);
    else if (until == LUN_NEVER) lua_pushnumber(L, HUGE_VAL);
    else lua_pushnumber(L, lun_us_to_seconds(lun_question_wall(mind->question) + (until - now(mind))));
    return 1;
}

static const struct lun_member provider_members[] = {
    { "name", NULL, "string", "as in `providers`", get_provider_name, .fixed = true },
    { "dialect", NULL, "string", "the interface it speaks", get_provider_dialect, .fixed = true },
    { "state", NULL, "string", "`healthy`; `degraded`: some of its targets rest; `down`: all do", get_provider_state,
      .lua = "\"healthy\"|\"degraded\"|\"down\"" },
    { "failures", NULL, "number", "failures in a row", get_provider_failures },
    { "cooling_until", NULL, "number or nil", "until when it asked to be left alone (as `lunette.now()`); nil: it did not", get_provider_cooling_until },
    { "latency", NULL, "number or nil", "seconds, over its targets", get_provider_latency },
    { "success_rate", NULL, "number", "0 to 1, over its targets", get_provider_success_rate },
    { 0 } };

static void provider_text(struct lun_buf *out, void *self) { lun_buf_puts(out, ((struct provider *)self)->provider->name); }

const struct lun_class lun_provider_class = { .id = LUN_CLASS_provider, .name = "provider", .doc = "Who runs a target: `target.provider`.", .members = provider_members, .text = provider_text, .which = provider_text };

void lun_push_provider(lua_State *L, struct lun_mind *mind, const struct lun_provider *p)
{
    if (lun_bind_give(L, mind, LUN_OWN_PROVIDER(p->index), p)) return;
    struct provider *self = lun_class_new(L, &lun_provider_class, mind, sizeof *self);
    self->provider = p;
    lun_bind_give_new(L, mind, LUN_OWN_PROVIDER(p->index), p);
}

/* ---- price ---- */

static double part_of(const struct lun_price *p, size_t part) { return lun_price_known(p) ? lun_usd(lun_price_part(p, part)) : NAN; }

#define X(name, ...) \
static double price_##name(void *self) { return part_of(&((struct price *)self)->target->price, offsetof(struct lun_price, name)); } \
GET(price_##name) { (void)mind; return lun_push_known(L, price_##name(self)); }
LUN_PRICE_PARTS(X)
#undef X

/* A count of tokens in the table at 2; raises when it is none. */
static int64_t tokens_of(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, 2);
    double n = lua_isnil(L, -1) ? 0 : lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    if (!(n >= 0 && n <= 1e15)) luaL_error(L, "cost{…}: '%s' is to be a number of tokens", name);
    return (int64_t)ceil(n);
}

/* `service_tier` in the table at 2; raises when it is none. */
static enum lun_service service_of(lua_State *L)
{
#define X(id, name) name,
    static const char *const services[] = { LUN_SERVICES(X) };
#undef X
    int found = LUN_SERVICE_COUNT;
    lua_pushliteral(L, "service_tier");
    lua_rawget(L, 2);
    const char *said = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : lua_isnil(L, -1) ? services[0] : "";
    for (int i = 0; i < LUN_SERVICE_COUNT; i++) if (!strcmp(said, services[i])) found = i;
    lua_pop(L, 1);
    if (found == LUN_SERVICE_COUNT) luaL_error(L, "cost{…}: 'service_tier' is to be \"standard\", \"flex\", \"priority\" or \"batch\"");
    return (enum lun_service)found;
}

static int price_cost(lua_State *L)
{
    static const struct { const char *name; size_t at; } counts[] = {
#define C(name) { #name, offsetof(struct lun_usage, name) }
        C(input), C(output), C(cached_input), C(cache_write), C(cache_write_1h), C(reasoning), C(audio_input), C(audio_output), C(image_input), C(image_output),
#undef C
    };
    enum { COUNTS = sizeof counts / sizeof *counts };
    const char *names[COUNTS + 1] = { "service_tier" };
    struct lun_usage usage = { .known = true };
    struct price *p = lun_class_check(L, 1, &lun_price_class, NULL);
    luaL_checktype(L, 2, LUA_TTABLE);
    for (size_t i = 0; i < COUNTS; i++) names[i + 1] = counts[i].name;
    lun_bind_names(L, 2, "cost{…}", names, COUNTS + 1);
    for (size_t i = 0; i < COUNTS; i++) *(int64_t *)(void *)((char *)&usage + counts[i].at) = tokens_of(L, counts[i].name);
    usage.services = 1u << service_of(L);
    return lun_price_known(&p->target->price) ? lun_push_usd(L, lun_price_cost(&p->target->price, &usage)) : unpriced(L);
}

static const struct lun_member price_members[] = {
    { "input", NULL, "number or nil", "of a million tokens of input; nil, as all of them, where no price is known", get_price_input, .number = price_input, .fixed = true },
    { "output", NULL, "number or nil", "of output", get_price_output, .number = price_output, .fixed = true },
    { "cached_input", NULL, "number or nil", "of input that the provider had cached", get_price_cached_input, .number = price_cached_input, .fixed = true },
    { "cache_write", NULL, "number or nil", "of input written to its cache", get_price_cache_write, .number = price_cache_write, .fixed = true },
    { "cache_write_1h", NULL, "number or nil", "of input written to it for an hour", get_price_cache_write_1h, .number = price_cache_write_1h, .fixed = true },
    { "reasoning", NULL, "number or nil", "of output spent on reasoning", get_price_reasoning, .number = price_reasoning, .fixed = true },
    { "audio_input", NULL, "number or nil", "of spoken input", get_price_audio_input, .number = price_audio_input, .fixed = true },
    { "audio_output", NULL, "number or nil", "of spoken output", get_price_audio_output, .number = price_audio_output, .fixed = true },
    { "image_input", NULL, "number or nil", "of input that is pictures", get_price_image_input, .number = price_image_input, .fixed = true },
    { "image_output", NULL, "number or nil", "of output that is pictures", get_price_image_output, .number = price_image_output, .fixed = true },
    { "request", NULL, "number or nil", "of the call itself", get_price_request, .number = price_request, .fixed = true },
    { "cost", "{ input =, output =, cached_input =, cache_write =, cache_write_1h =, reasoning =, audio_input =, audio_output =, image_input =, image_output =, service_tier = }",
      "number or nil", "USD for so many tokens, at what holds for so long an input and for that `service_tier` (\"standard\"); `nil, \"unknown_price\"`", NULL, price_cost,
      .lua = "(tokens: { input?: number, output?: number, cached_input?: number, cache_write?: number, cache_write_1h?: number, reasoning?: number, audio_input?: number, "
             "audio_output?: number, image_input?: number, image_output?: number, service_tier?: \"standard\"|\"flex\"|\"priority\"|\"batch\" }): number?, string?", .fixed = true },
    { 0 } };
const struct lun_class lun_price_class = { .id = LUN_CLASS_price, .name = "price", .doc = "USD per million tokens: `target.price`.", .members = price_members };

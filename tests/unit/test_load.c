#include "loading.h"
#include "script/settings.h"

static const char full[] =
    "return {\n"
    "  listen = { \"127.0.0.1:4100\" },\n"
    "  admin  = \"[::1]:4101\",\n"
    "  workers = 3,\n"
    "  policy = \"policies/support.lua\",\n"
    "  providers = {\n"
    "    deepseek = { dialect = \"openai\", base_url = \"https://api.deepseek.com/v1\", key = secret \"DEEPSEEK_API_KEY\" },\n"
    "    openai   = { dialect = \"made_up\", base_url = \"http://[::1]:8080/v1\", key = { secret \"A\", secret \"B\" },\n"
    "                 key_pattern = \"^sk%-\", key_length = { 4, 200 }, connections = 5, timeouts = { connect = 0.5, first_byte = 8, idle = 30, total = 120 },\n"
    "                 http2 = true, transport = \"curl\", ca = \"ca.pem\", proxy = \"socks5h://127.0.0.1:9050\", headers = { [\"X-Org\"] = \"us\", [\"X-Token\"] = secret \"TOKEN\" },\n"
    "                 usage = false, health = { rest = 5 } },\n"
    "    pretend  = { script = \"scripts/pretend.lua\", health = false },\n"
    "    off      = lunette.has_secret \"NOT_SET\" and { base_url = \"http://x\" },\n"
    "  },\n"
    "  models = {\n"
    "    [\"openai/*\"] = { { provider = \"openai\", model = \"*\" } },\n"
    "    [\"deepseek-v3.2\"] = { { provider = \"deepseek\", model = \"deepseek-chat\",\n"
    "      price = { input = 0.42, output = 0.84, cached_input = 0.07, cache_write = 1, reasoning = 2, request = 0.001 },\n"
    "      requests_per_minute = 500, tokens_per_minute = 90000, weight = 2.5, context = 128000, max_output = 8192,\n"
    "      supports = { \"tools\", \"schema\" }, facts = { quality = 0.7, langs = { \"vi\", \"en\" }, deep = { a = true }, none = {} } },\n"
    "      { provider = \"pretend\", name = \"spare\" }, lunette.has_secret \"NOT_SET\" and { provider = \"off\" } },\n"
    "    plain = { { provider = \"pretend\", price = { input = 0, output = 0 } }, { provider = \"pretend\", name = \"spare\", model = \"deepseek-v3.2\" } },\n"
    "    [\"*\"] = { { provider = \"pretend\" } },\n"
    "  },\n"
    "  health = { failures = 7, rest = 61, half_open = 2, cooling = \"provider\" },\n"
    "  clients = {\n"
    "    { name = \"app\", team = \"web\", hash = \"sha256:\" .. string.rep(\"0aF1\", 16), models = { \"deep*\", \"plain\", \"openai/gpt-5\" }, requests_per_minute = 600,\n"
    "      class = \"interactive\", task = \"chat\", tags = { tier = \"gold\" }, substitute = false, trust = { \"budget\", \"class\" }, expose = false,\n"
    "      budget = { limit = 5.25, per = \"day\", soft = 0.9 } },\n"
    "    { name = \"other\", hash = \"sha256:\" .. string.rep(\"00\", 32) },\n"
    "  },\n"
    "  teams   = { web = { budget = { limit = 20, per = \"hour\" } }, idle = {} },\n"
    "  budgets = { total = { limit = 100, soft = 0.8 } },\n"
    "  limits  = { body = \"1MiB\", answer = 2048, buffered = \"1GB\", deadline = 12.5, connections = 50, attempts = 2, retries = false, hedges = 0, output = 99 },\n"
    "  zone = \"UTC\", keepalive = false, cache = false,\n"
    "  log = { requests = \"requests.jsonl\", text = true, replay = false },\n"
    "}\n";
static const char *const full_environment[] = { "DEEPSEEK_API_KEY=  sk-deepseek\n", "A=sk-aaaa", "B=sk-bbbb", "TOKEN=very secret", NULL };

static void put_full(void)
{
    put_file("policies/support.lua", "local words = require \"words.list\" local lunette = require \"lunette\"\nreturn { settings = { share = { default = 5, min = 0, max = 100 } }, on_error = \"refuse\", limits = { attempts = 3, retries = false }, classify = function() return words[1] end }");
    put_file("policies/words/list.lua", "return { \"a\" }");
    put_file("scripts/pretend.lua", "return function(request, n) return { text = \"hello\" } end");
    put_file("dialects/made_up.lua", "return { }");
    put_file("ca.pem", AUTHORITY);
}

static struct lun_snapshot *load_full(struct lun_origins *origins)
{
    put_full();
    return load_with(full, full_environment, origins, NULL);
}

static char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void all_that_a_file_says_arrives_at_the_top(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_full(NULL);
    assert_string_equal(s->listen, "127.0.0.1:4100");
    assert_string_equal(s->admin, "[::1]:4101");
    assert_int_equal(s->workers, 3);
    assert_string_equal(s->policy.name, "policies/support.lua");
    assert_non_null(strstr(s->policy.text, "words.list"));
    assert_true(s->refuse_on_error);
    assert_int_equal(s->keepalive, 0);
    assert_string_equal(s->request_log, in_folder("requests.jsonl"));
    assert_true(s->log_text);
    assert_int_equal(s->limits.body, 1 << 20);
    assert_int_equal(s->limits.answer, 2048);
    assert_int_equal(s->limits.buffered, 1000000000);
    assert_int_equal(s->limits.deadline, 12500000);
    assert_int_equal(s->limits.connections, 50);
    assert_int_equal(s->limits.attempts, 2);
    assert_true(s->limits.attempts_given && s->limits.retries_given);
    assert_true(s->limits.retries < 0);
    assert_true(s->limits.hedges == 0);
    assert_int_equal(s->limits.output, 99);
    assert_int_equal(s->total.limit, 100 * LUN_NANO_PER_USD);
    assert_int_equal(s->total.per, LUN_PER_MONTH);
    assert_true(s->total.soft == 0.8);
    assert_string_equal(s->folder, folder);
    assert_int_equal(atomic_load(&s->references), 1);
    lun_snapshot_unref(s);
}

static void all_that_a_file_says_arrives_at_the_providers(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_full(NULL);
    assert_int_equal(s->n_providers, 3);
    const struct lun_provider *deepseek = &s->providers[0], *openai = &s->providers[1], *pretend = &s->providers[2];
    assert_string_equal(deepseek->name, "deepseek");
    assert_string_equal(deepseek->dialect, "openai");
    assert_null(deepseek->dialect_file.text);
    assert_string_equal(deepseek->base_url, "https://api.deepseek.com/v1");
    assert_int_equal(deepseek->n_keys, 1);
    assert_string_equal(deepseek->keys[0].name, "DEEPSEEK_API_KEY");
    assert_string_equal(deepseek->keys[0].value, "sk-deepseek");
    assert_int_equal(deepseek->timeouts.connect, LUN_DEFAULT_CONNECT);
    assert_int_equal(deepseek->timeouts.first_byte, LUN_DEFAULT_FIRST_BYTE);
    assert_int_equal(deepseek->timeouts.idle, LUN_DEFAULT_IDLE);
    assert_int_equal(deepseek->timeouts.total, LUN_DEFAULT_TOTAL);
    assert_true(deepseek->usage && !deepseek->http2 && !deepseek->health.off);
    assert_int_equal(deepseek->health.failures, 7);
    assert_int_equal(deepseek->health.rest, 61 * LUN_SECOND);
    assert_true(deepseek->health.cooling_provider);

    assert_int_equal(openai->index, 1);
    assert_string_equal(openai->dialect, "made_up");
    assert_string_equal(openai->dialect_file.name, "dialects/made_up.lua");
    assert_string_equal(openai->dialect_file.text, "return { }");
    assert_int_equal(openai->n_keys, 2);
    assert_string_equal(openai->keys[1].value, "sk-bbbb");
    assert_int_equal(openai->connections, 5);
    assert_int_equal(openai->timeouts.connect, 500000);
    assert_int_equal(openai->timeouts.total, 120 * LUN_SECOND);
    assert_true(openai->http2 && !openai->usage);
    assert_string_equal(openai->ca, in_folder("ca.pem"));
    assert_string_equal(openai->proxy, "socks5h://127.0.0.1:9050");
    assert_int_equal(openai->n_headers, 2);
    assert_string_equal(openai->headers[0].name, "X-Org");
    assert_string_equal(openai->headers[1].value, "very secret");
    assert_int_equal(openai->health.rest, 5 * LUN_SECOND);
    assert_int_equal(openai->health.failures, 7);
    assert_int_equal(openai->health.half_open, 2);

    assert_null(pretend->base_url);
    assert_string_equal(pretend->script_name, "scripts/pretend.lua");
    assert_non_null(strstr(pretend->script, "hello"));
    assert_true(pretend->health.off);
    assert_int_equal(s->n_secrets, 4);
    lun_snapshot_unref(s);
}

static void all_that_a_file_says_arrives_at_the_models(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_full(NULL);
    assert_int_equal(s->n_models, 4);
    assert_string_equal(s->models[0].name, "deepseek-v3.2");            /* names first, patterns after, else as written */
    assert_string_equal(s->models[1].name, "plain");
    assert_string_equal(s->models[2].name, "openai/*");
    assert_string_equal(s->models[3].name, "*");
    assert_true(s->models[2].pattern && !s->models[1].pattern);
    assert_int_equal(s->models[0].n_targets, 2);

    const struct lun_target *t = s->models[0].targets[0];
    assert_string_equal(t->name, "deepseek/deepseek-chat");
    assert_string_equal(t->model, "deepseek-v3.2");
    assert_string_equal(t->upstream, "deepseek-chat");
    assert_ptr_equal(t->provider, &s->providers[0]);
    assert_int_equal(t->price.input, 420000000);
    assert_int_equal(t->price.output, 840000000);
    assert_int_equal(t->price.cached_input, 70000000);
    assert_int_equal(t->price.cache_write, LUN_NANO_PER_USD);
    assert_int_equal(t->price.reasoning, 2 * LUN_NANO_PER_USD);
    assert_int_equal(t->price.request, 1000000);
    assert_int_equal(t->requests_per_minute, 500);
    assert_int_equal(t->tokens_per_minute, 90000);
    assert_true(t->weight == 2.5);
    assert_int_equal(t->context, 128000);
    assert_int_equal(t->max_output, 8192);
    assert_true(t->supports_given);
    assert_int_equal(t->supports, LUN_SUPPORTS_TOOLS | LUN_SUPPORTS_SCHEMA);
    assert_string_equal(t->facts, "{\"deep\":{\"a\":true},\"langs\":[\"vi\",\"en\"],\"none\":{},\"quality\":0.7}");

    const struct lun_target *spare = s->models[0].targets[1];
    assert_string_equal(spare->name, "spare");
    assert_string_equal(spare->upstream, "deepseek-v3.2");              /* by default the name clients ask for */
    assert_string_equal(spare->facts, "{}");
    assert_false(lun_price_known(&spare->price));
    assert_ptr_equal(s->models[1].targets[1], spare);                   /* equal settings: one target */
    assert_string_equal(s->models[2].targets[0]->name, "openai/*");
    assert_string_equal(s->models[2].targets[0]->upstream, "*");
    assert_int_equal(s->n_targets, 5);
    for (int i = 0; i < s->n_targets; i++) assert_int_equal(s->targets[i].index, i);
    assert_string_equal(s->targets[0].name, "openai/*");                /* the order of the file */
    lun_snapshot_unref(s);
}

static void an_empty_list_of_clients_is_a_closed_gateway_that_others_may_reach(void **state)
{
    static const char *const texts[] = { "", ", clients = {}", ", clients = { false }, listen = ':4000'", ", clients = {}, listen = '0.0.0.0:4000'" };
    (void)state;
    for (int i = 0; i < 4; i++) {
        char *text = lun_printf("return { providers = { a = { base_url = 'http://127.0.0.1:1/v1' } }, models = { m = { { provider = 'a' } } }%s }", texts[i]);
        struct lun_snapshot *s = load_with(text, no_environment, NULL, NULL);
        assert_int_equal(s->clients_said, i > 0);
        assert_int_equal(s->n_clients, 0);
        lun_snapshot_unref(s);
        free(text);
    }
}

static void all_that_a_file_says_arrives_at_the_clients(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_full(NULL);
    assert_int_equal(s->n_clients, 2);
    const struct lun_client_rule *c = &s->clients[0];
    assert_string_equal(c->name, "app");
    assert_string_equal(c->team->name, "web");
    assert_int_equal(c->team->budget.limit, 20 * LUN_NANO_PER_USD);
    assert_int_equal(c->team->budget.per, LUN_PER_HOUR);
    assert_int_equal(c->hash[0], 0x0a);
    assert_int_equal(c->hash[31], 0xf1);
    assert_int_equal(c->n_models, 3);
    assert_string_equal(c->models[2], "openai/gpt-5");
    assert_int_equal(c->requests_per_minute, 600);
    assert_string_equal(c->class, "interactive");
    assert_string_equal(c->task, "chat");
    assert_int_equal(c->n_tags, 1);
    assert_string_equal(c->tags[0].name, "tier");
    assert_string_equal(c->tags[0].value, "gold");
    assert_false(c->substitute || c->expose);
    assert_int_equal(c->trust, LUN_TRUST_BUDGET | LUN_TRUST_CLASS);
    assert_int_equal(c->budget.limit, 5250000000);
    assert_int_equal(c->budget.per, LUN_PER_DAY);
    assert_true(c->budget.soft == 0.9);
    const struct lun_client_rule *other = &s->clients[1];
    assert_int_equal(other->index, 1);
    assert_true(other->substitute && other->expose && !other->team && !other->n_models);
    assert_int_equal(other->trust, LUN_TRUST_TASK | LUN_TRUST_TAGS);
    assert_int_equal(other->budget.limit, -1);
    assert_int_equal(s->n_teams, 2);
    assert_int_equal(s->teams[1].budget.limit, -1);
    lun_snapshot_unref(s);
}

#define SMALL "return { providers = { p = { base_url = \"http://127.0.0.1:1/v1\" } }, models = { m = { { provider = \"p\", price = { input = 1, output = 1 } } } } "

static void what_is_not_said_is_as_a_snapshot_begins(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_with(SMALL "}", no_environment, NULL, NULL), *fresh = lun_snapshot_new();
    assert_string_equal(s->listen, fresh->listen);
    assert_string_equal(s->admin, fresh->admin);
    assert_int_equal(s->workers, 0);
    assert_null(s->policy.text);
    assert_int_equal(s->keepalive, fresh->keepalive);
    assert_null(s->request_log);
    assert_false(s->log_text || s->refuse_on_error || s->limits.attempts_given || s->limits.retries_given);
    assert_memory_equal(&s->limits, &fresh->limits, sizeof s->limits);
    assert_memory_equal(&s->providers[0].timeouts, &lun_timeouts_default, sizeof lun_timeouts_default);
    assert_int_equal(s->providers[0].health.failures, lun_health_rules_default.failures);
    assert_int_equal(s->providers[0].health.rest, lun_health_rules_default.rest);
    assert_int_equal(s->providers[0].health.half_open, lun_health_rules_default.half_open);
    assert_true(s->targets[0].weight == LUN_DEFAULT_WEIGHT);
    assert_int_equal(s->total.limit, -1);
    assert_int_equal(strncmp(s->version, "default@", 8), 0);
    assert_int_equal(strlen(s->version), 8 + 12);
    lun_snapshot_unref(fresh);
    lun_snapshot_unref(s);
}

static void false_switches_off(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_with(SMALL ", admin = false, keepalive = false, health = false, policy = false, log = { requests = false }, limits = { retries = false }, workers = \"auto\" }", no_environment, NULL, NULL);
    assert_null(s->admin);
    assert_int_equal(s->keepalive, 0);
    assert_true(s->providers[0].health.off);
    assert_null(s->policy.text);
    assert_null(s->request_log);
    assert_true(s->limits.retries < 0);
    assert_int_equal(s->workers, 0);
    lun_snapshot_unref(s);
}

static void the_gateway_may_listen_wide_with_clients(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_with(SMALL ", listen = \":4000\", clients = { { name = \"a\", hash = \"sha256:\" .. string.rep(\"00\", 32) } } }", no_environment, NULL, NULL);
    assert_string_equal(s->listen, ":4000");
    lun_snapshot_unref(s);
    static const char *const local[] = { "127.0.0.1:0", "127.9.9.9:1", "[::1]:4000", "localhost:4000", "LOCALHOST:1", "unix:/run/x.sock" };
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        char *text = lun_printf(SMALL ", admin = false, listen = \"%s\" }", local[i]);
        lun_snapshot_unref(load_with(text, no_environment, NULL, NULL));
        free(text);
    }
}

/* ---- what gateway.lua is given ---- */

static void merge_goes_deep_into_names_and_replaces_lists(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_with(
        "local base = { limits = { attempts = 2, deadline = 5 }, models = { m = { { provider = \"p\", facts = { list = { 1, 2, 3 } } } } },\n"
        "  providers = { p = { base_url = \"http://x\", timeouts = { connect = 1, idle = 2 } } } }\n"
        "local again = lunette.merge(base, { limits = { attempts = 3 }, providers = { p = { timeouts = { idle = 9 } } },\n"
        "  models = { m = { { provider = \"p\", facts = { list = { 4 } } } } } }, { keepalive = 7 })\n"
        "assert(base.limits.attempts == 2 and base.providers.p.timeouts.idle == 2, 'merge changed its argument')\n"
        "again.limits.output = 55 assert(base.limits.output == nil, 'merge shares tables')\n"
        "return again", no_environment, NULL, NULL);
    assert_int_equal(s->limits.attempts, 3);
    assert_int_equal(s->limits.deadline, 5 * LUN_SECOND);
    assert_int_equal(s->limits.output, 55);
    assert_int_equal(s->keepalive, 7 * LUN_SECOND);
    assert_int_equal(s->providers[0].timeouts.connect, LUN_SECOND);
    assert_int_equal(s->providers[0].timeouts.idle, 9 * LUN_SECOND);
    assert_string_equal(s->targets[0].facts, "{\"list\":[4]}");
    lun_snapshot_unref(s);
    refused("local x = lunette.merge({}, 5)", "gateway.lua:1: lunette.merge: argument 2 is no table\n");
    refused("local t = {} t.t = t\nlocal x = lunette.merge(t)", "gateway.lua:2: lunette.merge: more than 32 tables inside one another\n");
}

static void env_gives_text_and_has_secret_a_yes_or_no(void **state)
{
    static const char *const environment[] = { "STAGE=live", "EMPTY=", "HERE=sk-1", "BLANK=  ", "FAKE=YOUR_API_KEY", NULL };
    (void)state;
    struct lun_snapshot *s = load_with(
        "local lunette = require \"lunette\"\n"
        "assert(env(\"STAGE\", \"dev\") == \"live\") assert(env(\"EMPTY\", \"dev\") == \"dev\") assert(env \"OTHER\" == nil)\n"
        "assert(lunette.has_secret \"HERE\" == true) assert(lunette.has_secret \"BLANK\" == false)\n"
        "assert(lunette.has_secret \"FAKE\" == false) assert(lunette.has_secret \"NONE\" == false)\n"
        SMALL "}", environment, NULL, NULL);
    lun_snapshot_unref(s);
}

static void a_secret_cannot_be_read(void **state)
{
    static const char *const environment[] = { "A=sk-1", NULL };
    (void)state;
    struct lun_snapshot *s = load_with(
        "local s = secret \"A\"\n"
        "assert(tostring(s) == 'secret \"A\"') assert(type(s) == \"userdata\") assert(getmetatable(s) == false)\n"
        "for _, f in ipairs { function() return s .. \"\" end, function() return #s end, function() return s.value end, function() return s[1] end,\n"
        "  function() s.x = 1 end, function() return s() end, function() return s + 1 end, function() return setmetatable(s, {}) end,\n"
        "  function() return pairs(s) end, function() return table.concat { s } end, function() return string.rep(s, 2) end } do\n"
        "  local ok, what = pcall(f)\n"
        "  assert(not ok, 'a secret could be used')\n"
        "  assert(not string.find(tostring(what), 'sk-1', 1, true))\n"
        "end\n"
        "assert(string.format('%s', s) == 'secret \"A\"')\n"
        SMALL "}", environment, NULL, NULL);
    lun_snapshot_unref(s);
    refused("return secret(5)", "gateway.lua: secret: the name of a variable is wanted, as text\n");
}

static void require_finds_what_lies_beside(void **state)
{
    (void)state;
    put_file("conf/part.lua", "return { attempts = 9 }");
    struct lun_snapshot *s = load_with("local l = require \"conf.part\"\n" SMALL ", limits = l }", no_environment, NULL, NULL);
    assert_int_equal(s->limits.attempts, 9);
    assert_int_equal(s->n_parts, 2);
    assert_int_equal(s->parts[0].kind, LUN_PART_CONFIG);
    assert_string_equal(s->parts[1].module, "conf.part");
    assert_string_equal(s->parts[1].file.name, "conf/part.lua");
    lun_snapshot_unref(s);
}

static void what_a_policy_requires_is_kept(void **state)
{
    (void)state;
    struct lun_snapshot *s = load_full(NULL);
    const struct lun_part *part = NULL;
    for (int i = 0; i < s->n_parts; i++)
        if (s->parts[i].kind == LUN_PART_POLICY_MODULE) part = &s->parts[i];
    assert_non_null(part);
    assert_string_equal(part->module, "words.list");
    assert_string_equal(part->file.name, "policies/words/list.lua");
    assert_string_equal(part->file.text, "return { \"a\" }");
    lun_snapshot_unref(s);
}

/* ---- overrides ---- */

static void the_environment_overrides_the_file(void **state)
{
    static const char *const environment[] = {
        "LUNETTE_LISTEN=127.0.0.1:9", "LUNETTE_ADMIN=false", "LUNETTE_WORKERS=auto", "LUNETTE_KEEPALIVE=2.5", "LUNETTE_LIMITS_DEADLINE=3",
        "LUNETTE_LIMITS_BODY=2MiB", "LUNETTE_LIMITS_RETRIES=false", "LUNETTE_LOG_TEXT=true", "LUNETTE_LOG_REQUESTS=-", "LUNETTE_HEALTH_COOLING=provider",
        "LUNETTE_BUDGETS_TOTAL_LIMIT=1.5", "LUNETTE_PROVIDERS_P_BASE_URL=http://other", "LUNETTE_PROVIDERS_P_TIMEOUTS_IDLE=4", "LUNETTE_POLICY=",
        "LUNETTE_SERVICE_HOST=10.0.0.1", "LUNETTE_SERVICE_PORT=80", "LUNETTE_PORT=tcp://10.0.0.1:80", "LUNETTE_PORT_80_TCP_ADDR=10.0.0.1", NULL };
    (void)state;
    struct lun_snapshot *s = load_with(SMALL ", workers = 5, keepalive = 9, listen = \":80\" }", environment, NULL, NULL);
    assert_string_equal(s->listen, "127.0.0.1:9");
    assert_null(s->admin);
    assert_int_equal(s->workers, 0);
    assert_int_equal(s->keepalive, 2500000);
    assert_int_equal(s->limits.deadline, 3 * LUN_SECOND);
    assert_int_equal(s->limits.body, 2 << 20);
    assert_true(s->limits.retries < 0 && s->limits.retries_given);
    assert_true(s->log_text);
    assert_string_equal(s->request_log, "-");
    assert_true(s->providers[0].health.cooling_provider);
    assert_int_equal(s->total.limit, 1500000000);
    assert_string_equal(s->providers[0].base_url, "http://other");
    assert_int_equal(s->providers[0].timeouts.idle, 4 * LUN_SECOND);
    lun_snapshot_unref(s);
}

/* Each single setting at a fixed place has its variable, and a wrong value is told by the variable's name. */
static void every_single_setting_has_a_variable(void **state)
{
    static const enum lun_scope scopes[] = { LUN_SCOPE_TOP, LUN_SCOPE_HEALTH, LUN_SCOPE_BUDGET, LUN_SCOPE_LIMITS, LUN_SCOPE_LOG };
    char variable[256];
    int seen = 0;
    (void)state;
    for (int i = 0; i < lun_settings_count; i++) {
        const struct lun_setting *set = &lun_settings[i];
        bool fixed = false;
        for (size_t j = 0; j < sizeof scopes / sizeof *scopes; j++) fixed |= set->scope == scopes[j];
        if (!fixed || set->type > LUN_CHOICE || (set->type == LUN_TEXT && !(set->flags & LUN_NOT_BUILT))) continue;
        char *path = lun_printf("%s%s", lun_scope_path(set->scope), set->name), *told;
        lun_setting_variable(path, variable);
        char *said = lun_printf("%s=?!", variable);
        const char *environment[] = { said, NULL };
        assert_null(load_with(SMALL "}", environment, NULL, &told));
        if (!strstr(told, variable)) fail_msg("%s is not told by its name: %s", variable, told);
        free(told), free(said), free(path);
        seen++;
    }
    assert_true(seen > 20);
}

static void unknown_variables_are_mistakes(void **state)
{
    static const char *const environment[] = { "LUNETTE_LIMITS_DEADLIN=5", "LUNETTE_FOO_BAR=1", "LUNETTE_MINE=x", "LUNETTE_KEY_A=sk-1", NULL };
    (void)state;
    refused_with("local x = env \"LUNETTE_MINE\"\n" SMALL ", limits = { deadline = lunette.has_secret \"LUNETTE_KEY_A\" and 5 or nil } }", environment,
                 "LUNETTE_LIMITS_DEADLIN: there is no such setting (did you mean LUNETTE_LIMITS_DEADLINE?)\n"
                 "LUNETTE_FOO_BAR: there is no such setting\n");
}

static void what_only_the_file_can_say_is_not_called_unknown(void **state)
{
    static const char *const environment[] = { "LUNETTE_HTTP_ALLOW=a", "LUNETTE_CLIENTS=false", "LUNETTE_WEBHOOK_URL=http://h", "LUNETTE_ADMIN_HOSTS=a", "LUNETTE_LIMITS=5", NULL };
    (void)state;
    refused_with(SMALL "}", environment, "LUNETTE_HTTP_ALLOW: cannot be said from outside: say it in the file\n"
                 "LUNETTE_CLIENTS: cannot be said from outside: say it in the file\nLUNETTE_WEBHOOK_URL: cannot be said from outside: say it in the file\n"
                 "LUNETTE_ADMIN_HOSTS: cannot be said from outside: say it in the file\nLUNETTE_LIMITS: cannot be said from outside: say it in the file\n");
}

static void a_webhook_from_outside_is_signed_as_the_file_says(void **state)
{
    static const char *const environment[] = { "LUNETTE_WEBHOOK=http://outside", "W=012345678901234567890123456789", NULL }, *const off[] = { "LUNETTE_WEBHOOK=false", environment[1], NULL };
    struct lun_origins origins = { 0 };
    struct lun_buf out = { 0 };
    char *told;
    (void)state;
    struct lun_snapshot *s = load_with(SMALL ", webhook = { url = \"http://inside\", secret = secret \"W\" } }", environment, &origins, &told);
    if (!s) fail_msg("%s", told);
    assert_string_equal(s->webhook, "http://outside");
    assert_string_equal(s->webhook_secret, "012345678901234567890123456789");
    lun_origins_print(&origins, &out);
    assert_non_null(strstr(lun_buf_text(&out), "-- LUNETTE_WEBHOOK\n"));
    lun_buf_free(&out), lun_origins_free(&origins);
    lun_snapshot_unref(s), free(told);
    s = load_with(SMALL ", webhook = { url = \"http://inside\", secret = secret \"W\" } }", off, NULL, &told);
    if (!s) fail_msg("%s", told);
    assert_null(s->webhook);
    lun_snapshot_unref(s), free(told);
}

#define TUNED SMALL ", policy = \"tuned.lua\" }"

static void the_environment_says_a_policys_settings(void **state)
{
    static const char *const environment[] = { "LUNETTE_SETTINGS_SHARE=15", "LUNETTE_SETTINGS_FALL_BACK_MS=3000", "LUNETTE_SETTINGS_ON=false", "LUNETTE_SETTINGS_MODE=weighted",
                                               "LUNETTE_SETTINGS_FREE=", NULL };
    struct lun_origins origins = { 0 };
    struct lun_buf out = { 0 };
    (void)state;
    put_file("tuned.lua", "return { settings = {\n share = { default = 5, min = 0, max = 100 }, [\"fall-back_ms\"] = { default = 1 }, on = { default = true },\n"
             " mode = { default = \"fair\", choices = { \"fair\", \"weighted\" } }, free = { default = \"x\" } } }");
    struct lun_snapshot *s = load_with(TUNED, environment, &origins, NULL);
    const struct lun_policy_setting *share = lun_snapshot_setting(s, "share"), *mode = lun_snapshot_setting(s, "mode"), *free_one = lun_snapshot_setting(s, "free");
    assert_true(share->initial.number == 15 && share->max == 100);
    assert_string_equal(share->from, "LUNETTE_SETTINGS_SHARE");
    assert_true(lun_snapshot_setting(s, "fall-back_ms")->initial.number == 3000);
    assert_false(lun_snapshot_setting(s, "on")->initial.yes);
    assert_string_equal(mode->initial.text, "weighted");
    assert_int_equal(mode->n_choices, 2);
    assert_string_equal(mode->choices[0], "fair");
    assert_string_equal(free_one->initial.text, "x");                   /* an empty variable is not set */
    assert_null(free_one->from);
    lun_origins_print(&origins, &out);
    const struct { const char *what, *from; } shown[] = { { "settings.share = 15 ", "LUNETTE_SETTINGS_SHARE" }, { "settings.mode = \"weighted\" ", "LUNETTE_SETTINGS_MODE" },
        { "settings.on = false ", "LUNETTE_SETTINGS_ON" }, { "settings.free = \"x\" ", "tuned.lua:3" } };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const char *line = strstr(lun_buf_text(&out), shown[i].what), *from = line ? strstr(line, "-- ") : NULL;
        if (!from || strncmp(from + 3, shown[i].from, strlen(shown[i].from))) fail_msg("%s-- %s is not in\n%s", shown[i].what, shown[i].from, lun_buf_text(&out));
    }
    lun_buf_free(&out);
    lun_origins_free(&origins);
    lun_snapshot_unref(s);
}

static void wrong_values_and_names_for_a_policys_settings_are_mistakes(void **state)
{
    static const char *const wrong[] = { "LUNETTE_SETTINGS_SHARE=101", "LUNETTE_SETTINGS_MODE=weighed", "LUNETTE_SETTINGS_ON=yes", NULL };
    static const char *const unknown[] = { "LUNETTE_SETTINGS_SHORE=1", "LUNETTE_SETINGS_MODE=fair", "LUNETTE_SETTINGS_=1", NULL };
    static const char *const any[] = { "LUNETTE_SETTINGS_SHARE=1", NULL };
    (void)state;
    put_file("tuned.lua", "return { settings = { share = { default = 5, min = 0, max = 100 }, on = { default = true }, mode = { default = \"fair\", choices = { \"fair\", \"weighted\" } } } }");
    refused_with(TUNED, wrong, "LUNETTE_SETTINGS_MODE: must be \"fair\" or \"weighted\" (did you mean weighted?), not \"weighed\"\n"
                               "LUNETTE_SETTINGS_ON: must be true or false, not \"yes\"\n"
                               "LUNETTE_SETTINGS_SHARE: must be a number from 0 to 100, not \"101\"\n");
    refused_with(TUNED, unknown, "LUNETTE_SETTINGS_SHORE: the policy has no such setting (did you mean LUNETTE_SETTINGS_SHARE?)\n"
                                 "LUNETTE_SETINGS_MODE: there is no such setting (did you mean LUNETTE_SETTINGS_MODE?)\n"
                                 "LUNETTE_SETTINGS_: the policy has no such setting (did you mean LUNETTE_SETTINGS_ON?)\n");
    refused_with(SMALL "}", any, "LUNETTE_SETTINGS_SHARE: the policy has no such setting\n");
    put_file("tuned.lua", "return { settings = {\n share = { default = 5, mim = 0 } } }");
    refused_with(TUNED, any, "tuned.lua:2: settings.share.mim: is not known here (did you mean min?)\n");
}

static void the_command_line_wins(void **state)
{
    static const char *const environment[] = { "LUNETTE_LISTEN=127.0.0.1:9", "LUNETTE_WORKERS=9", NULL };
    const struct lun_pair set[] = { { "listen", "127.0.0.1:7" }, { "limits.deadline", "8" } };
    struct lun_load_options o = { .environment = environment, .set = set, .n_set = 2 };
    struct lun_mistakes m = { 0 };
    (void)state;
    struct lun_snapshot *s = lun_load_text("x", SMALL "}", strlen(SMALL "}"), NULL, &o, &m);
    assert_non_null(s);
    assert_string_equal(s->listen, "127.0.0.1:7");
    assert_int_equal(s->workers, 9);
    assert_int_equal(s->limits.deadline, 8 * LUN_SECOND);
    lun_snapshot_unref(s);
    lun_mistakes_free(&m);
}

static void the_merged_table_says_where_each_value_is_from(void **state)
{
    struct lun_origins origins = { 0 };
    struct lun_buf out = { 0 };
    (void)state;
    const char *environment[] = { full_environment[0], full_environment[1], full_environment[2], full_environment[3], "LUNETTE_WORKERS=2", NULL };
    put_full();
    struct lun_snapshot *s = load_with(full, environment, &origins, NULL);
    lun_origins_print(&origins, &out);
    const char *text = lun_buf_text(&out);
    static const char *const wanted[][2] = {
        { "workers = 2 ", "-- LUNETTE_WORKERS" }, { "listen.address = \"127.0.0.1:4100\" ", "-- gateway.lua:2" }, { "limits.deadline = 12.5 ", "-- gateway.lua:34" },
        { "providers.deepseek.key = secret \"DEEPSEEK_API_KEY\" ", "-- gateway.lua:7" }, { "providers.openai.key = { secret \"A\", secret \"B\" } ", "-- gateway.lua:8" },
        { "providers.deepseek.timeouts.connect = 5 ", "-- default" }, { "clients[1].trust = { \"budget\", \"class\" }", "-- gateway.lua:28" },
        { "providers.openai.headers[\"X-Token\"] = secret \"TOKEN\"", "-- gateway.lua:10" }, { "keepalive = false", "-- gateway.lua:35" },
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const char *line = strstr(text, wanted[i][0]);
        if (!line) fail_msg("missing: %s\n%s", wanted[i][0], text);
        const char *from = strstr(line, wanted[i][1]);
        if (!from || from > strchr(line, '\n')) fail_msg("not from %s: %.*s", wanted[i][1], (int)strcspn(line, "\n"), line);
    }
    static const char *const values[] = { "sk-deepseek", "sk-aaaa", "sk-bbbb", "very secret" };
    for (size_t i = 0; i < 4; i++) assert_null(strstr(text, values[i]));
    out.n = 0;
    lun_origins_json(&origins, &out);
    assert_non_null(strstr(lun_buf_text(&out), "{\"path\":\"workers\",\"value\":\"2\",\"from\":\"LUNETTE_WORKERS\"}"));
    lun_buf_free(&out);
    lun_origins_free(&origins);
    lun_snapshot_unref(s);
}

/* ---- the version ---- */

static char *version_of(const char *text, const char *const *environment)
{
    struct lun_snapshot *s = load_with(text, environment, NULL, NULL);
    char *version = lun_strdup(s->version);
    lun_snapshot_unref(s);
    return version;
}

static void assert_changes(const char *before, char *after, bool changes)
{
    assert_int_equal(strcmp(before, after) != 0, changes);
    free(after);
}

static void the_version_changes_with_each_file_and_with_nothing_else(void **state)
{
    (void)state;
    put_full();
    char *before = version_of(full, full_environment);
    assert_int_equal(strncmp(before, "support.lua@", 12), 0);
    assert_int_equal(strspn(before + 12, "0123456789abcdef"), 12);
    assert_changes(before, version_of(full, full_environment), false);

    const char *other[] = { "DEEPSEEK_API_KEY=sk-other", "A=sk-1111", "B=sk-2222", "TOKEN=else", "LUNETTE_WORKERS=7", "LUNETTE_LIMITS_DEADLINE=3", NULL };
    assert_changes(before, version_of(full, other), false);
    put_file("ca.pem", "another\n" AUTHORITY);
    put_file("unrelated.lua", "return 5");
    assert_changes(before, version_of(full, full_environment), false);

    char *text = lun_printf("%s ", full);
    assert_changes(before, version_of(text, full_environment), true);
    free(text);
    static const char *const files[][2] = { { "policies/support.lua", "return { }" }, { "policies/words/list.lua", "return { \"b\" }" },
                                            { "scripts/pretend.lua", "return function() return {} end" }, { "dialects/made_up.lua", "return {}" } };
    for (size_t i = 0; i < 4; i++) {
        put_file(files[i][0], files[i][1]);
        assert_changes(before, version_of(full, full_environment), true);
        put_full();
        assert_changes(before, version_of(full, full_environment), false);
    }
    free(before);
}

static void the_version_does_not_depend_on_where_the_folder_is(void **state)
{
    struct lun_mistakes m = { 0 };
    (void)state;
    put_file("one/gateway.lua", SMALL "}"), put_file("two/gateway.lua", SMALL "}");
    struct lun_snapshot *a = lun_load(in_folder("one/gateway.lua"), &(struct lun_load_options){ .environment = no_environment }, &m);
    struct lun_snapshot *b = lun_load(in_folder("two/gateway.lua"), &(struct lun_load_options){ .environment = no_environment }, &m);
    assert_string_equal(a->version, b->version);
    lun_snapshot_unref(a), lun_snapshot_unref(b);
    lun_mistakes_free(&m);
}

static void mistakes_name_files_as_they_can_be_opened(void **state)
{
    struct lun_mistakes m = { 0 };
    (void)state;
    put_file("one/gateway.lua", "return {\n policy = \"p.lua\", providers = { p = { base_url = \"http://x\" } }, models = { m = { { provider = \"p\" } } }, x = 1 }");
    put_file("one/p.lua", "return { x = 1 }");
    assert_null(lun_load(in_folder("one/gateway.lua"), &(struct lun_load_options){ .environment = no_environment }, &m));
    assert_int_equal(m.n, 2);
    assert_string_equal(m.items[0].file, in_folder("one/gateway.lua"));
    assert_string_equal(m.items[1].file, in_folder("one/p.lua"));
    assert_null(lun_load(in_folder("one/none.lua"), NULL, &m));
    assert_string_equal(m.items[2].what, "cannot be read: No such file or directory");
    lun_mistakes_free(&m);
}

static void the_same_mistake_twice_is_still_one(void **state)
{
    struct lun_mistakes m = { 0 };
    (void)state;
    for (int i = 0; i < 2; i++) assert_null(lun_load_text("x", "return 5", 8, NULL, NULL, &m));
    assert_int_equal(m.n, 1);
    lun_mistakes_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_a_file_says_arrives_at_the_top),
        cmocka_unit_test(all_that_a_file_says_arrives_at_the_providers),
        cmocka_unit_test(all_that_a_file_says_arrives_at_the_models),
        cmocka_unit_test(an_empty_list_of_clients_is_a_closed_gateway_that_others_may_reach),
        cmocka_unit_test(all_that_a_file_says_arrives_at_the_clients),
        cmocka_unit_test(what_is_not_said_is_as_a_snapshot_begins),
        cmocka_unit_test(false_switches_off),
        cmocka_unit_test(the_gateway_may_listen_wide_with_clients),
        cmocka_unit_test(merge_goes_deep_into_names_and_replaces_lists),
        cmocka_unit_test(env_gives_text_and_has_secret_a_yes_or_no),
        cmocka_unit_test(a_secret_cannot_be_read),
        cmocka_unit_test(require_finds_what_lies_beside),
        cmocka_unit_test(what_a_policy_requires_is_kept),
        cmocka_unit_test(the_environment_overrides_the_file),
        cmocka_unit_test(every_single_setting_has_a_variable),
        cmocka_unit_test(unknown_variables_are_mistakes), cmocka_unit_test(what_only_the_file_can_say_is_not_called_unknown),
        cmocka_unit_test(a_webhook_from_outside_is_signed_as_the_file_says),
        cmocka_unit_test(the_environment_says_a_policys_settings),
        cmocka_unit_test(wrong_values_and_names_for_a_policys_settings_are_mistakes),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(the_merged_table_says_where_each_value_is_from),
        cmocka_unit_test(the_version_changes_with_each_file_and_with_nothing_else),
        cmocka_unit_test(the_version_does_not_depend_on_where_the_folder_is),
        cmocka_unit_test(mistakes_name_files_as_they_can_be_opened),
        cmocka_unit_test(the_same_mistake_twice_is_still_one),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

#include "script/settings.h"
#include "base/text.h"
#include "script/draft.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DAY     86400.0
#define YEAR    (366 * DAY)
#define MANY    1e15                /* whole numbers up to here are exact in Lua */
#define RICH    9e6                 /* USD: what lun_price_parse takes */
#define LARGE   1099511627776.0     /* 1 TiB */
#define AT_ONCE 1073741824.0        /* 1 GiB: of what is taken from the system in one piece */

#define AT(type, field)     offsetof(struct type, field), sizeof(((struct type *)0)->field)
#define NOWHERE             -1, 0
#define LATER(scope, name, doc)     { LUN_SCOPE_##scope, name, LUN_TEXT, LUN_NOT_BUILT, 0, 0, NULL, NULL, 0, NOWHERE, doc }

const struct lun_setting lun_settings[] = {
    /* scope, name, type, flags, from, to, default, words, inside, where, doc */
#define S(name, ...) { LUN_SCOPE_TOP, name, __VA_ARGS__ }
    S("listen", LUN_ADDRESS, 0, 1, 255, "127.0.0.1:4000", NULL, LUN_SCOPE_LISTEN, AT(lun_snapshot, listen),
      "Where clients connect: \"127.0.0.1:4000\", \"[::1]:4000\", \":4000\" (all interfaces), \"unix:/run/lunette.sock\"."),
    S("admin", LUN_ADDRESS, LUN_CAN_BE_OFF, 1, 255, "127.0.0.1:4001", NULL, LUN_SCOPE_ADMIN, AT(lun_snapshot, admin),
      "Where metrics are read and a running gateway is changed; false: nowhere. Not on loopback: with admin_token only."),
    S("admin_token", LUN_SECRETS, LUN_HIDDEN, 0, 0, NULL, NULL, 0, NOWHERE,
      "secret \"NAME\": what the admin listener asks for, as `authorization: Bearer`. Or LUNETTE_ADMIN_TOKEN in the environment."),
    S("state", LUN_TEXT, LUN_CAN_BE_OFF, 1, 1024, ".lunette", NULL, 0, AT(lun_snapshot, state),
      "The folder for what must survive a restart: settings, the last versions, what was taken back; false: none."),
    S("workers", LUN_INT, 0, 1, 256, "auto", "auto", 0, AT(lun_snapshot, workers), "Threads that serve; \"auto\": one per core."),
    S("policy", LUN_TEXT, LUN_CAN_BE_OFF, 1, 1024, NULL, NULL, 0, NOWHERE, "The Lua file that decides, beside gateway.lua or one that comes along."),
    S("providers", LUN_MAP, LUN_REQUIRED, 0, 0, NULL, NULL, LUN_SCOPE_PROVIDER, NOWHERE, "Who answers, by name."),
    S("models", LUN_LISTS, LUN_REQUIRED, 0, 0, NULL, NULL, LUN_SCOPE_TARGET, NOWHERE,
      "The names clients may ask for (one * stands for any text), each with the targets that can answer."),
    S("health", LUN_TABLE, LUN_CAN_BE_OFF, 0, 0, NULL, NULL, LUN_SCOPE_HEALTH, NOWHERE,
      "When a target is taken out; false: never."),
    S("clients", LUN_LIST, 0, 0, 0, NULL, NULL, LUN_SCOPE_CLIENT, NOWHERE, "Who may ask, beside who has a key made with `lunette key`; {}: only those. Not said: everyone, on loopback only, until such a key is made."),
    S("teams", LUN_MAP, 0, 0, 0, NULL, NULL, LUN_SCOPE_TEAM, NOWHERE, "Teams that clients belong to, by name."),
    S("budgets", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_BUDGETS, NOWHERE, "Limits on what all of it may cost."),
    S("limits", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_LIMITS, AT(lun_snapshot, limits), "Bounds on requests and on the process."),
    S("canaries", LUN_MAP, 0, 0, 0, NULL, NULL, LUN_SCOPE_CANARY, NOWHERE,
      "What gets more and more of the requests, by name: a new provider, or another policy. Who is new, a policy asks with lunette.canary."),
    S("keepalive", LUN_SECONDS, LUN_CAN_BE_OFF | LUN_MORE_THAN_MIN, 0, DAY, "15", NULL, 0, AT(lun_snapshot, keepalive),
      "Silence after which a stream gets a comment line; false: never."),
    S("log", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_LOG, NOWHERE, "What is written down about requests."),
    S("report", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_REPORT, NOWHERE, "What `lunette report` compares with."),
    S("watch", LUN_BOOL, 0, 0, 0, "true", NULL, 0, AT(lun_snapshot, watch),
      "A change of one of the files is taken over by itself; false: only when a reload is asked for."),
    S("zone", LUN_TEXT, 0, 1, 64, "UTC", NULL, 0, AT(lun_snapshot, zone_name),
      "The time zone in which budgets begin anew, by its name in the system's database: \"Europe/Berlin\"."),
    S("webhook", LUN_TABLE, LUN_CAN_BE_OFF | LUN_HIDDEN, 0, 0, NULL, NULL, LUN_SCOPE_WEBHOOK, NOWHERE,
      "Who is told, by POST, of budgets that run out and of providers that are down. A URL alone, as text or secret \"NAME\", may stand for the table."),
    S("prices", LUN_TEXT, LUN_CAN_BE_OFF, 1, 1024, NULL, NULL, 0, NOWHERE,
      "A file with the prices of many models, in the form of LiteLLM's model_prices_and_context_window.json: for targets that say no price, context or max_output."),
    S("cache", LUN_TABLE, LUN_CAN_BE_OFF, 0, 0, NULL, NULL, LUN_SCOPE_CACHE, NOWHERE,
      "Equal requests are answered once: {} for the defaults. Nothing said, or false: there is none."),
    S("capture", LUN_TABLE, LUN_CAN_BE_OFF, 0, 0, NULL, NULL, LUN_SCOPE_CAPTURE, NOWHERE,
      "Bodies of requests and answers that are kept in memory for who asks the admin listener why. Nothing said, or false: none."),
    S("ledger", LUN_TEXT, LUN_CAN_BE_OFF, 1, 1024, NULL, NULL, 0, AT(lun_snapshot, ledger),
      "The file, an SQLite database, in which what was spent is kept; default: ledger.db in the folder state. false: in memory alone, and a restart begins at nothing spent."),
    S("redis", LUN_PLACE, LUN_CAN_BE_OFF | LUN_HIDDEN, 0, 0, NULL, NULL, 0, NOWHERE,
      "The Redis by which several gateways share their budgets, rates, keys, rollbacks and, with cache.redis, answers: \"redis://HOST[:PORT][/DB]\", \"rediss://…\" (TLS), \"unix:/PATH[?db=N]\"; with a user or password in it, "
      "\"redis://[USER]:PASSWORD@HOST\", as secret \"NAME\" (or LUNETTE_REDIS in the environment). Not said, or false: this gateway shares nothing."),
    S("redis_prefix", LUN_TEXT, 0, 1, 64, "lunette", NULL, 0, AT(lun_snapshot, redis_prefix),
      "What the names of all keys in Redis begin with, before a colon: gateways with the same one share, others on the same Redis do not meet."),
    S("redis_cooling", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_snapshot, redis_cooling),
      "What a 429, a 503 that says how long, or a used-up quota has rest on one gateway rests on all of that Redis. Providers' keys are told apart by their names."),
    S("redis_ca", LUN_TEXT, 0, 1, 1024, NULL, NULL, 0, AT(lun_snapshot, redis_ca), "For rediss://: a file of certificates to trust instead of the system's."),
    S("http", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_HTTP, NOWHERE, "Whom policies may ask by lunette.http."),
    LATER(TOP, "routes", "Other paths, passed through."),
#undef S
#define S(name, ...) { LUN_SCOPE_LISTEN, name, __VA_ARGS__ }
    S("address", LUN_ADDRESS, 0, 1, 255, "127.0.0.1:4000", NULL, 0, AT(lun_snapshot, listen), "The same as listen = \"…\"; may stand first in the table without its name."),
    S("tls", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_TLS, AT(lun_snapshot, listen_tls), "Certificate and key: clients speak HTTPS, TLS 1.2 or 1.3."),
#undef S
#define S(name, ...) { LUN_SCOPE_ADMIN, name, __VA_ARGS__ }
    S("address", LUN_ADDRESS, 0, 1, 255, "127.0.0.1:4001", NULL, 0, AT(lun_snapshot, admin), "The same as admin = \"…\"; may stand first in the table without its name."),
    S("tls", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_TLS, AT(lun_snapshot, admin_tls), "As listen.tls, for the admin listener."),
    S("hosts", LUN_TEXTS, 0, 0, 0, NULL, NULL, 0, NOWHERE,
      "Names, without a port, that it answers to as Host, beside localhost, addresses of loopback and the address it was reached at."),
#undef S
#define S(name, ...) { LUN_SCOPE_TLS, name, __VA_ARGS__ }
    S("certificate", LUN_TEXT, LUN_REQUIRED, 1, 1024, NULL, NULL, 0, AT(lun_tls_files, certificate),
      "A file in PEM form: the certificate, and behind it those that it was signed by. Read at each load, and at once when it changes."),
    S("key", LUN_TEXT, LUN_REQUIRED, 1, 1024, NULL, NULL, 0, AT(lun_tls_files, key), "The file of its key, in PEM form, without a passphrase."),
#undef S
#define S(name, ...) { LUN_SCOPE_HTTP, name, __VA_ARGS__ }
    S("allow", LUN_TEXTS, 0, 0, 0, NULL, NULL, 0, NOWHERE,
      "Hosts: \"flags.example\", \"10.0.0.5:8080\", \"*.example.org\" (one * stands for any text; without a port: any). {}: none. Not said: all. "
      "Addresses of the local link and of clouds' metadata services are refused in any case, also where a name leads to one."),
#undef S
#define S(name, ...) { LUN_SCOPE_PROVIDER, name, __VA_ARGS__ }
    S("dialect", LUN_TEXT, 0, 1, 64, "openai", NULL, 0, AT(lun_provider, dialect),
      "The interface it speaks: \"openai\", or NAME for dialects/NAME.lua beside gateway.lua or one that comes along."),
    S("base_url", LUN_TEXT, LUN_HIDDEN, 1, 2048, NULL, NULL, 0, AT(lun_provider, base_url), "Where it is, up to and with /v1. Either this or script."),
    S("script", LUN_TEXT, 0, 1, 1024, NULL, NULL, 0, AT(lun_provider, script_name), "A scenario that the gateway plays itself instead of asking anyone."),
    S("key", LUN_SECRETS, LUN_HIDDEN, 0, 0, NULL, NULL, 0, NOWHERE, "secret \"NAME\", or a list of several that are used in turn; none: no key is sent."),
    S("key_pattern", LUN_TEXT, 0, 1, 256, NULL, NULL, 0, AT(lun_provider_draft, key_pattern), "A Lua pattern that each key must fit: \"^hs_%w+$\". ^ is the key's beginning, $ its end; without them it may fit anywhere in it."),
    S("key_length", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_LENGTH, NOWHERE, "{ least, most } characters that each key must have."),
    S("connections", LUN_INT, 0, 1, 100000, "512", NULL, 0, AT(lun_provider, connections), "How many at once, over all workers."),
    S("timeouts", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_TIMEOUTS, AT(lun_provider, timeouts), "Clocks of one attempt."),
    S("probe", LUN_TABLE, LUN_CAN_BE_OFF, 0, 0, NULL, NULL, LUN_SCOPE_PROBE, AT(lun_provider, probe),
      "How it is asked whether it is back, once it is down: then no request is risked on it before. {}: by GET /models; not said, or false: not at all."),
    S("check_keys", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_provider, check_keys),
      "Ask it about each key by GET /models before the first request is let in, and about a new one after a reload; one that it refuses is out from the beginning."),
    S("http2", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_provider, http2), "Speak HTTP/2 with it."),
    S("transport", LUN_CHOICE, 0, 0, 0, "auto", "auto|curl|direct", 0, AT(lun_provider, transport),
      "What carries the bytes. \"direct\": sockets of the gateway's own, HTTP/1.1, plain or in TLS. \"curl\": libcurl, which costs more for each request, and is what HTTP/2 and proxies "
      "go by. \"auto\": direct, unless there is http2 or a proxy."),
    S("ca", LUN_TEXT, 0, 1, 1024, NULL, NULL, 0, AT(lun_provider, ca), "A file of certificates to trust instead of the system's."),
    S("proxy", LUN_TEXT, LUN_HIDDEN, 1, 2048, NULL, NULL, 0, AT(lun_provider, proxy), "The proxy to go through: http://, https:// or socks5h://, host and port."),
    S("headers", LUN_PAIRS, LUN_HIDDEN, 0, 0, NULL, NULL, 0, NOWHERE, "Sent with every call; a value may be secret \"NAME\"."),
    S("usage", LUN_BOOL, 0, 0, 0, "true", NULL, 0, AT(lun_provider, usage), "It understands stream_options.include_usage."),
    S("cancel_stops_billing", LUN_BOOL, 0, 0, 0, NULL, NULL, 0, AT(lun_provider, cancel_stops_billing),
      "A stream that is hung up on without a word about usage costs what came of it, by an estimate; false: the most that it could cost. "
      "Nothing said: the estimate, but under a hard limit the most."),
    S("health", LUN_TABLE, LUN_CAN_BE_OFF, 0, 0, NULL, NULL, LUN_SCOPE_HEALTH, AT(lun_provider, health), "As health, for this provider; what it does not say is taken from there."),
#undef S
#define S(name, ...) { LUN_SCOPE_LENGTH, name, __VA_ARGS__ }
    S("min", LUN_INT, 0, 1, 65536, NULL, NULL, 0, AT(lun_provider_draft, key_min), "The shortest key that can be right; may stand first without its name."),
    S("max", LUN_INT, 0, 1, 65536, NULL, NULL, 0, AT(lun_provider_draft, key_max), "The longest; may stand second without its name."),
#undef S
#define S(name, ...) { LUN_SCOPE_PROBE, name, __VA_ARGS__ }
    S("every", LUN_SECONDS, 0, 1, DAY, "30", NULL, 0, AT(lun_probe_rules, every), "How long after it went down, and after each probe."),
    S("with", LUN_CHOICE, 0, 0, 0, "models", "models|completion", 0, AT(lun_probe_rules, completion), "A GET, which costs nothing; or a tiny completion, held and billed to budgets.total."),
    S("path", LUN_TEXT, 0, 1, 1024, "/models", NULL, 0, AT(lun_probe_rules, path), "What is got, behind base_url; any answer of 2xx is good."),
    S("model", LUN_TEXT, 0, 1, 256, NULL, NULL, 0, AT(lun_probe_rules, model), "Who is asked for a completion, as the provider calls it; default: its cheapest."),
    S("max_tokens", LUN_INT, 0, 1, 5, "5", NULL, 0, AT(lun_probe_rules, max_tokens), "How long a completion may be."),
    S("timeout", LUN_SECONDS, LUN_MORE_THAN_MIN, 0, 600, "10", NULL, 0, AT(lun_probe_rules, timeout), "Of a whole probe, and of a question about a key."),
#undef S
#define S(name, fallback, doc) { LUN_SCOPE_TIMEOUTS, #name, LUN_SECONDS, LUN_MORE_THAN_MIN, 0, DAY, fallback, NULL, 0, AT(lun_timeouts, name), doc }
    S(connect,    "5",   "Until the connection stands, TLS included."),
    S(first_byte, "60",  "From sending to a stream's first good event, or to the head of a whole answer."),
    S(idle,       "60",  "Between two bytes."),
    S(total,      "600", "All of it."),
#undef S
#define S(name, ...) { LUN_SCOPE_HEALTH, name, __VA_ARGS__ }
    S("failures", LUN_INT, 0, 1, 100000, "5", NULL, 0, AT(lun_health_rules, failures), "So many in a row take a target out."),
    S("rest", LUN_SECONDS, 0, 0, DAY, "60", NULL, 0, AT(lun_health_rules, rest), "How long, before it is tried again."),
    S("half_open", LUN_INT, 0, 1, 1000, "1", NULL, 0, AT(lun_health_rules, half_open), "How many requests may try it at once."),
    S("cooling", LUN_CHOICE, 0, 0, 0, "target", "target|provider", 0, AT(lun_health_rules, cooling_provider), "What rests after a 429, or as long as a Retry-After says: the target, or all of the provider's."),
#undef S
#define S(name, ...) { LUN_SCOPE_TARGET, name, __VA_ARGS__ }
    S("provider", LUN_TEXT, LUN_REQUIRED, 1, 256, NULL, NULL, 0, AT(lun_target_draft, provider), "A name in providers."),
    S("model", LUN_TEXT, 0, 1, 256, NULL, NULL, 0, AT(lun_target_draft, target.upstream), "What the provider calls it; default: the name clients ask for."),
    S("name", LUN_TEXT, 0, 1, 512, NULL, NULL, 0, AT(lun_target_draft, target.name), "Its own name; default: provider/model. Health, rates and spend belong to the name."),
    S("price", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_PRICE, AT(lun_target_draft, target.price), "USD per million tokens."),
    S("requests_per_minute", LUN_COUNT, 0, 1, MANY, NULL, NULL, 0, AT(lun_target_draft, target.requests_per_minute), "Per key; default: no limit."),
    S("tokens_per_minute", LUN_COUNT, 0, 1, MANY, NULL, NULL, 0, AT(lun_target_draft, target.tokens_per_minute), "Per key; default: no limit."),
    S("weight", LUN_NUMBER, 0, 0, 1e6, "1", NULL, 0, AT(lun_target_draft, target.weight), "Its part of the load, for policies that divide by weight."),
    S("context", LUN_COUNT, 0, 1, MANY, NULL, NULL, 0, AT(lun_target_draft, target.context), "Tokens of input and output together that it takes."),
    S("max_output", LUN_COUNT, 0, 1, MANY, NULL, NULL, 0, AT(lun_target_draft, target.max_output), "Tokens that it can answer."),
    S("supports", LUN_WORDS, 0, 0, 0, NULL, "tools|images|schema", 0, AT(lun_target_draft, target.supports), "What it can do; default: everything."),
    S("facts", LUN_FACTS, 0, 0, 0, NULL, NULL, 0, NOWHERE, "Anything a policy wants to know about it."),
#undef S
#define PARTS(scope, flags) \
    S(scope, input,        flags, "Of a million tokens of input."), \
    S(scope, output,       flags, "Of a million tokens of output."), \
    S(scope, cached_input, 0, "Of input that it had cached; default: input."), \
    S(scope, cache_write,  0, "Of input that it caches, for 5 minutes or as long as it does; default: input."), \
    S(scope, cache_write_1h, 0, "Of input that it caches for an hour; default: cache_write."), \
    S(scope, reasoning,    0, "Of tokens it thinks in; default: output."), \
    S(scope, audio_input,  0, "Of spoken input; default: input."), \
    S(scope, audio_output, 0, "Of spoken output; default: output."), \
    S(scope, image_input,  0, "Of input that is pictures; default: input."), \
    S(scope, image_output, 0, "Of output that is pictures; default: output."), \
    S(scope, request,      0, "Of a call as such, in USD.")
#define S(scope, name, flags, doc) { LUN_SCOPE_##scope, #name, LUN_USD, flags, 0, 1e6, NULL, NULL, 0, AT(lun_price, name), doc }
    PARTS(PRICE, LUN_REQUIRED),
    { LUN_SCOPE_PRICE, "above", LUN_LIST, 0, 0, 0, NULL, NULL, LUN_SCOPE_ABOVE, NOWHERE, "What all of a request costs whose input is longer than so many tokens." },
    { LUN_SCOPE_PRICE, "flex", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_SERVICE, NOWHERE, "What holds where it is billed as service_tier \"flex\"." },
    { LUN_SCOPE_PRICE, "priority", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_SERVICE, NOWHERE, "The same of \"priority\"." },
    { LUN_SCOPE_PRICE, "batch", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_SERVICE, NOWHERE, "The same of \"batch\"." },
    { LUN_SCOPE_ABOVE, "tokens", LUN_COUNT, LUN_REQUIRED, 1, MANY, NULL, NULL, 0, AT(lun_price_tier, above), "Of input, from the next one on." },
#undef S
#define S(scope, name, flags, doc) { LUN_SCOPE_##scope, #name, LUN_USD, flags, 0, 1e6, NULL, NULL, 0, AT(lun_price_tier, price.name), \
                                     "As in price. Not said: the dearer of what price says and what stands in for it here." }
    PARTS(ABOVE, 0),
    PARTS(SERVICE, 0),
    { LUN_SCOPE_SERVICE, "above", LUN_LIST, 0, 0, 0, NULL, NULL, LUN_SCOPE_ABOVE, NOWHERE, "What all of a request costs whose input is longer than so many tokens." },
#undef S
#undef PARTS
#define S(name, ...) { LUN_SCOPE_CLIENT, name, __VA_ARGS__ }
    S("name", LUN_TEXT, LUN_REQUIRED, 1, 256, NULL, NULL, 0, AT(lun_client_draft, client.name), "How logs and metrics call it."),
    S("team", LUN_TEXT, 0, 1, 256, NULL, NULL, 0, AT(lun_client_draft, team), "A name in teams."),
    S("hash", LUN_TEXT, LUN_REQUIRED | LUN_HIDDEN, 1, 256, NULL, NULL, 0, AT(lun_client_draft, hash), "\"sha256:\" and the SHA-256 of its key in 64 hexadecimal digits."),
    S("models", LUN_TEXTS, 0, 0, 0, NULL, NULL, 0, NOWHERE, "Names in models, or patterns with one *; default: all."),
    S("requests_per_minute", LUN_COUNT, 0, 1, MANY, NULL, NULL, 0, AT(lun_client_draft, client.requests_per_minute), "Default: no limit."),
    S("class", LUN_TEXT, 0, 1, 64, NULL, NULL, 0, AT(lun_client_draft, client.class), "\"interactive\", \"batch\" or another; batch work waits behind."),
    S("task", LUN_TEXT, 0, 1, 256, NULL, NULL, 0, AT(lun_client_draft, client.task), "Its task, where a request names none."),
    S("tags", LUN_PAIRS, 0, 0, 0, NULL, NULL, 0, NOWHERE, "Tags of all its requests."),
    S("substitute", LUN_BOOL, 0, 0, 0, "true", NULL, 0, AT(lun_client_draft, client.substitute), "Another model than the one asked may answer."),
    S("trust", LUN_WORDS, 0, 0, 0, "task|tags", "task|tags|budget|class|explain", 0, AT(lun_client_draft, client.trust), "What its requests may say of themselves."),
    S("expose", LUN_BOOL, 0, 0, 0, "true", NULL, 0, AT(lun_client_draft, client.expose), "Its answers carry the x-lunette- headers that tell of providers and targets."),
    S("budget", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_BUDGET, AT(lun_client_draft, client.budget), "What it may cost."),
#undef S
    { LUN_SCOPE_TEAM, "budget", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_BUDGET, AT(lun_team, budget), "What all of its clients together may cost." },
    { LUN_SCOPE_BUDGETS, "total", LUN_TABLE, 0, 0, 0, NULL, NULL, LUN_SCOPE_BUDGET, NOWHERE, "What everything together may cost." },
    { LUN_SCOPE_BUDGETS, "tags", LUN_MAP, 0, 0, 0, NULL, NULL, LUN_SCOPE_TAG, NOWHERE, "A budget for each value of a tag, by the tag's name; 4 tags at most." },
#define BUDGET(scope, type, in) \
    { scope, "limit", LUN_USD, LUN_REQUIRED, 0, RICH, NULL, NULL, 0, AT(type, in limit), "USD in each period." }, \
    { scope, "per", LUN_CHOICE, 0, 0, 0, "month", "ever|hour|day|week|month|rolling", 0, AT(type, in per), \
      "The period, in `zone`; \"ever\": it is never filled again; \"rolling\": the last `window`." }, \
    { scope, "window", LUN_SECONDS, 0, 60, 31 * DAY, NULL, NULL, 0, AT(type, in window), "How far back per = \"rolling\" looks; for that alone. What was spent comes free in pieces of a 24th of it." }, \
    { scope, "soft", LUN_NUMBER, LUN_CAN_BE_OFF | LUN_MORE_THAN_MIN, 0, 1, NULL, NULL, 0, AT(type, in soft), \
      "The share of the limit at which the log, metrics and the webhook are told, once in a period; policies see it too." }
    BUDGET(LUN_SCOPE_BUDGET, lun_budget_rule, ),
    BUDGET(LUN_SCOPE_TAG, lun_tag_draft, tag.budget.),
#undef BUDGET
#define S(name, ...) { LUN_SCOPE_TAG, name, __VA_ARGS__ }
    S("from", LUN_TEXT, 0, 1, 128, "tag", NULL, 0, AT(lun_tag_draft, from),
      "Where a request says it: \"header:NAME\"; \"metadata\" or \"metadata:NAME\" of the body; \"tag\": among its tags; \"policy\": nowhere, lunette.charge does."),
    S("values", LUN_INT, 0, 1, 1e6, "10000", NULL, 0, AT(lun_tag_draft, tag.values), "So many values have an account of their own; all further ones share one, with the same limit."),
    S("required", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_tag_draft, tag.required), "A request without a value is refused."),
#undef S
#define S(name, ...) { LUN_SCOPE_WEBHOOK, name, __VA_ARGS__ }
    S("url", LUN_URL, LUN_REQUIRED | LUN_HIDDEN, 0, 0, NULL, NULL, 0, NOWHERE, "Where events are sent."),
    S("secret", LUN_SECRETS, LUN_HIDDEN, 0, 0, NULL, NULL, 0, NOWHERE,
      "secret \"NAME\": what they are signed with, as the Standard Webhooks specification says: \"whsec_\" and base64, or any text of 24 bytes or more. None: they are not signed."),
#undef S
#define S(name, ...) { LUN_SCOPE_LIMITS, name, __VA_ARGS__ }
    S("body", LUN_SIZE, 0, 1024, LARGE, "32MiB", NULL, 0, AT(lun_limits, body), "Of a request."),
    S("answer", LUN_SIZE, 0, 1024, LARGE, "32MiB", NULL, 0, AT(lun_limits, answer), "Of a provider's whole answer."),
    S("buffered", LUN_SIZE, 0, 65536, LARGE, "1GiB", NULL, 0, AT(lun_limits, buffered), "Of all that waits in memory."),
    S("deadline", LUN_SECONDS, LUN_MORE_THAN_MIN, 0, DAY, "590", NULL, 0, AT(lun_limits, deadline), "Of a request, over all attempts."),
    S("connections", LUN_INT, 0, 1, 1000000, "10000", NULL, 0, AT(lun_limits, connections), "Of clients, at once."),
    S("lag", LUN_SECONDS, LUN_CAN_BE_OFF | LUN_MORE_THAN_MIN, 0, 60, "0.1", NULL, 0, AT(lun_limits, lag),
      "How long whatever comes may wait for a worker that is busy: above that it refuses a part of the new requests at once (503, `retry-after: 1`), so that the rest is answered in time; false: none."),
    S("stall", LUN_SECONDS, LUN_MORE_THAN_MIN, 0, DAY, "60", NULL, 0, AT(lun_limits, stall),
      "How long a client may take over each 16 KiB of what waits for it, or over all of it where that is less; then its connection is reset."),
    S("stop", LUN_SECONDS, 0, 0, DAY, "30", NULL, 0, AT(lun_limits, stop), "How long what is under way may take once the program was asked to end (SIGTERM, SIGINT); then it is cut."),
    S("attempts", LUN_INT, 0, 1, 100, "4", NULL, 0, AT(lun_limits, attempts), "Of a request, the first included."),
    S("retries", LUN_NUMBER, LUN_CAN_BE_OFF, 0, 100, "0.2", NULL, 0, AT(lun_limits, retries), "Share of the requests of 10 s that may be tried again, at least 10; false: no such limit."),
    S("hedges", LUN_NUMBER, 0, 0, 1, "0.05", NULL, 0, AT(lun_limits, hedges), "Share of a minute's requests that may have a second attempt beside the first, at least 10."),
    S("output", LUN_COUNT, 0, 1, MANY, "16384", NULL, 0, AT(lun_limits, output), "Tokens reckoned with where a request names no max_tokens."),
#undef S
#define S(name, ...) { LUN_SCOPE_CANARY, name, __VA_ARGS__ }
    S("stages", LUN_NUMBERS, LUN_MORE_THAN_MIN, 0, 100, "{ 5, 15, 30, 50, 100 }", NULL, 0, NOWHERE, "How many percent are new in each stage; rising, 20 at most."),
    S("every", LUN_SECONDS, LUN_MORE_THAN_MIN, 0, 30 * DAY, "60", NULL, 0, AT(lun_canary_rule, every),
      "How long a stage lasts at least, and how far back it is looked once the last has passed."),
    S("errors", LUN_NUMBER, LUN_CAN_BE_OFF, 0, 1, "0.01", NULL, 0, AT(lun_canary_rule, errors), "The share of a stage's samples that may fail; false: not looked at."),
    S("p99", LUN_SECONDS, LUN_CAN_BE_OFF | LUN_MORE_THAN_MIN, 0, DAY, "0.5", NULL, 0, AT(lun_canary_rule, p99),
      "What 99 of 100 good answers may take at most: whole ones to their end, streams to their first byte; false: not looked at."),
    S("samples", LUN_INT, 0, 1, 1e6, "100", NULL, 0, AT(lun_canary_rule, samples), "A stage waits for so many new requests before it passes."),
    S("provider", LUN_TEXT, 0, 1, 256, NULL, NULL, 0, AT(lun_canary_draft, provider),
      "The provider that is new: what is not well answered by it counts as an error, also where another one helped out."),
    S("model", LUN_TEXT, 0, 1, 256, NULL, NULL, 0, AT(lun_canary_draft, rule.model),
      "The same of the targets of a name in models; with provider: of those that are both. Without either a request counts by how it ended."),
    S("probe", LUN_TEXT, LUN_CAN_BE_OFF, 1, 256, NULL, NULL, 0, AT(lun_canary_draft, probe),
      "The provider whose GET /models must be answered 200 all along; default: provider; false: none."),
    S("start", LUN_BOOL, 0, 0, 0, "true", NULL, 0, AT(lun_canary_rule, start), "Begins when the gateway first sees it; false: when asked, by `lunette canary NAME start`."),
#undef S
#define S(name, ...) { LUN_SCOPE_CACHE, name, __VA_ARGS__ }
    S("size", LUN_SIZE, 0, 65536, LARGE, "64MiB", NULL, 0, AT(lun_cache_rules, size), "Of all answers together; the least recently used makes room."),
    S("ttl", LUN_SECONDS, LUN_MORE_THAN_MIN, 0, YEAR, "300", NULL, 0, AT(lun_cache_rules, ttl), "How long an answer is given again."),
    S("shared", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_cache_rules, shared), "One client's answers are given to others too; otherwise each of `clients` has its own."),
    S("answer", LUN_SIZE, 0, 1024, LARGE, "1MiB", NULL, 0, AT(lun_cache_rules, answer), "Of one answer; a larger one is not kept."),
    S("redis", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_cache_rules, redis), "Answers are kept in the Redis of `redis` as well, in plain text, for all gateways there that answer alike."),
    S("redis_wait", LUN_SECONDS, LUN_MORE_THAN_MIN, 0, 10, "0.05", NULL, 0, AT(lun_cache_rules, redis_wait), "What a request waits for an answer from Redis at most; then a provider is asked."),
#undef S
#define S(name, ...) { LUN_SCOPE_CAPTURE, name, __VA_ARGS__ }
    S("share", LUN_NUMBER, 0, 0, 1, "0", NULL, 0, AT(lun_capture_draft, rules.share), "Of requests, by chance: 0.01 is one in a hundred."),
    S("errors", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_capture_draft, rules.errors), "Those that failed or were cut, too."),
    S("keys", LUN_TEXTS, 0, 0, 0, NULL, NULL, 0, NOWHERE, "Names of clients: only theirs. Not said: those of all."),
    S("keep", LUN_SECONDS, LUN_MORE_THAN_MIN, 0, 30 * DAY, "3600", NULL, 0, AT(lun_capture_draft, rules.keep), "How long; then they are wiped."),
    S("size", LUN_SIZE, 0, 65536, AT_ONCE, "8MiB", NULL, 0, AT(lun_capture_draft, rules.size), "Of all together; the oldest make room. Bodies of more than 256 KiB are not kept."),
    S("redact", LUN_TEXT, 0, 1, 1024, NULL, NULL, 0, AT(lun_capture_draft, redact),
      "A Lua file beside gateway.lua: return function(text, what) … end gives what may be kept of a text (what: \"request\" or \"answer\"), or nil. Where it fails nothing of the request is kept."),
#undef S
#define S(name, ...) { LUN_SCOPE_LOG, name, __VA_ARGS__ }
    S("requests", LUN_TEXT, LUN_CAN_BE_OFF, 1, 1024, NULL, NULL, 0, AT(lun_snapshot, request_log), "The file for a line per request; \"-\": standard output."),
    S("text", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_snapshot, log_text), "Whether what was said may stand in it."),
    S("replay", LUN_BOOL, 0, 0, 0, "false", NULL, 0, AT(lun_snapshot, log_replay), "Whether what the policy's hooks read stands in it, so that `lunette replay --verify` can show that they decide the same again."),
    S("audit", LUN_TEXT, LUN_CAN_BE_OFF, 1, 4096, NULL, NULL, 0, AT(lun_snapshot, audit_log), "The file for who changed what while it ran, a JSON line each; it is in the process log all the same."),
#undef S
    { LUN_SCOPE_REPORT, "premium", LUN_USD, 0, 0, 1e6, "30", NULL, 0, AT(lun_snapshot, premium),
      "USD per million input tokens: targets above it are premium ones, and savings are against the mean of their prices." },
};
const int lun_settings_count = sizeof lun_settings / sizeof *lun_settings;

const char *lun_scope_path(enum lun_scope scope)
{
#define X(id, path) path,
    static const char *const paths[] = { LUN_SCOPES(X) };
#undef X
    return paths[scope];
}

const struct lun_setting *lun_setting_find(enum lun_scope scope, const char *name)
{
    for (const struct lun_setting *s = lun_settings; s < lun_settings + lun_settings_count; s++)
        if (s->scope == scope && !strcmp(s->name, name)) return s;
    return NULL;
}

const char *lun_setting_nearest(enum lun_scope scope, const char *name)
{
    const char *names[sizeof lun_settings / sizeof *lun_settings];
    size_t n = 0;
    for (int i = 0; i < lun_settings_count; i++)
        if (lun_settings[i].scope == scope) names[n++] = lun_settings[i].name;
    return lun_text_nearest(name, names, n);
}

static const char *range(const struct lun_setting *s, const char *what, char out[120])
{
    if (s->flags & LUN_MORE_THAN_MIN) snprintf(out, 120, "%s over %.15g and up to %.15g", what, s->min, s->max);
    else if (s->max >= MANY) snprintf(out, 120, "%s, %.15g or more", what, s->min);
    else snprintf(out, 120, "%s from %.15g to %.15g", what, s->min, s->max);
    return out;
}

/* "target|provider" → "target" or "provider" */
static const char *words(const char *list, char out[120])
{
    size_t n = 0;
    out[n++] = '"';
    for (const char *c = list; *c && n < 100; c++) {
        if (*c != '|') out[n++] = *c;
        else n += (size_t)sprintf(out + n, strchr(c + 1, '|') ? "\", \"" : "\" or \"");
    }
    strcpy(out + n, "\"");
    return out;
}

static const char *phrase(const struct lun_setting *s, char buffer[160])
{
    char range_of[120];
    switch (s->type) {
    case LUN_BOOL:    return "true or false";
    case LUN_INT: case LUN_COUNT: return range(s, "a whole number", buffer);
    case LUN_NUMBER:  return range(s, "a number", buffer);
    case LUN_SECONDS: return range(s, "a number of seconds", buffer);
    case LUN_USD:     return range(s, "a number of USD", buffer);
    case LUN_SIZE:
        if (s->max < LARGE) snprintf(buffer, 120, "a size from %.15g to %.15g bytes, as a number or as in \"64MiB\"", s->min, s->max);
        else snprintf(buffer, 120, "a size, %.15g bytes or more, as a number or as in \"64MiB\"", s->min);
        return buffer;
    case LUN_TEXT:    return "text";
    case LUN_ADDRESS: return "an address as in \"127.0.0.1:4000\", \"[::1]:4000\", \":4000\" or \"unix:/run/lunette.sock\"";
    case LUN_PLACE:   return "text or secret \"NAME\"";
    case LUN_CHOICE:  return words(s->words, buffer);
    case LUN_SECRETS: return "secret \"NAME\" or a list of them";
    case LUN_URL:     return "a URL with http:// or https://, as text or secret \"NAME\"";
    case LUN_NUMBERS: return strcat(strcpy(buffer, "a rising list of "), range(s, "numbers", range_of));
    case LUN_TEXTS:   return "a list of texts";
    case LUN_PAIRS:   return "a table of texts by name";
    case LUN_WORDS:   strcpy(buffer, "a list out of "), words(s->words, buffer + strlen(buffer)); return buffer;
    case LUN_FACTS: case LUN_TABLE: return "a table";
    case LUN_MAP:     return "a table of tables by name";
    case LUN_LISTS:   return "a table of lists by name";
    case LUN_LIST:    return "a list of tables";
    }
    return "something else";
}

void lun_setting_must(const struct lun_setting *s, char out[200])
{
    char buffer[160];
    int n = snprintf(out, 200, "%s", phrase(s, buffer));
    if (s->words && s->type < LUN_CHOICE) n += snprintf(out + n, 200 - (size_t)n, " or \"%s\"", s->words);
    if (s->flags & LUN_CAN_BE_OFF) snprintf(out + n, 200 - (size_t)n, " or false");
}

void lun_setting_variable(const char *path, char out[256])
{
    size_t n = (size_t)sprintf(out, "LUNETTE_");
    for (const unsigned char *c = (const unsigned char *)path; *c && n < 255; c++)
        out[n++] = c[0] < 128 && isalnum(*c) ? (char)toupper(*c) : '_';
    out[n] = 0;
}

static void reference_line(const struct lun_setting *s, struct lun_buf *out)
{
    char must[200];
    lun_setting_must(s, must);
    for (char *bar = must; (bar = strchr(bar, '|')); ) *bar = '/';
    const char *quote = s->type == LUN_TEXT || s->type == LUN_ADDRESS || s->type == LUN_CHOICE || (s->fallback && s->words) || s->type == LUN_SIZE ? "\"" : "";
    lun_buf_printf(out, "| `%s%s` | %s | ", lun_scope_path(s->scope), s->name, s->flags & LUN_NOT_BUILT ? "not built yet" : must);
    if (s->type == LUN_WORDS && s->fallback) lun_buf_puts(out, "`{ \"task\", \"tags\" }`");
    else if (s->fallback) lun_buf_printf(out, "`%s%s%s`", quote, s->fallback, quote);
    else if (s->flags & LUN_REQUIRED) lun_buf_puts(out, "must be said");
    lun_buf_printf(out, " | %s |\n", s->doc);
}

void lun_settings_reference(struct lun_buf *out)
{
    lun_buf_puts(out, "| setting | what it must be | default | what it is for |\n|---|---|---|---|\n");
    for (int i = 0; i < lun_settings_count; i++) reference_line(&lun_settings[i], out);
}

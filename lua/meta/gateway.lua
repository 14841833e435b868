---@meta _
-- What gateway.lua can say, for editors that know LuaLS' annotations. Made from the tables of core/script by `make docs`; not to be edited.

---What `secret` gives: it can be passed on, not read.
---@class lunette.Secret

---@class (exact) lunette.Config
---@field listen? string|lunette.Config.Listen Where clients connect: "127.0.0.1:4000", "[::1]:4000", ":4000" (all interfaces), "unix:/run/lunette.sock". Default: 127.0.0.1:4000
---@field admin? string|lunette.Config.Admin|false Where metrics are read and a running gateway is changed; false: nowhere. Not on loopback: with admin_token only. Default: 127.0.0.1:4001
---@field admin_token? lunette.Secret|lunette.Secret[] secret "NAME": what the admin listener asks for, as `authorization: Bearer`. Or LUNETTE_ADMIN_TOKEN in the environment.
---@field state? string|false The folder for what must survive a restart: settings, the last versions, what was taken back; false: none. Default: .lunette
---@field workers? integer|"auto" Threads that serve; "auto": one per core. Default: auto
---@field policy? string|false The Lua file that decides, beside gateway.lua or one that comes along.
---@field providers table<string, lunette.Config.Provider|false> Who answers, by name.
---@field models table<string, (lunette.Config.Target|false)[]|false> The names clients may ask for (one * stands for any text), each with the targets that can answer.
---@field health? lunette.Config.Health|false When a target is taken out; false: never.
---@field clients? (lunette.Config.Client|false)[] Who may ask, beside who has a key made with `lunette key`; {}: only those. Not said: everyone, on loopback only, until such a key is made.
---@field teams? table<string, lunette.Config.Team|false> Teams that clients belong to, by name.
---@field budgets? lunette.Config.Budgets Limits on what all of it may cost.
---@field limits? lunette.Config.Limits Bounds on requests and on the process.
---@field canaries? table<string, lunette.Config.Canary|false> What gets more and more of the requests, by name: a new provider, or another policy. Who is new, a policy asks with lunette.canary.
---@field keepalive? number|false Silence after which a stream gets a comment line; false: never. Default: 15
---@field log? lunette.Config.Log What is written down about requests.
---@field report? lunette.Config.Report What `lunette report` compares with.
---@field watch? boolean A change of one of the files is taken over by itself; false: only when a reload is asked for. Default: true
---@field zone? string The time zone in which budgets begin anew, by its name in the system's database: "Europe/Berlin". Default: UTC
---@field webhook? lunette.Config.Webhook|string|lunette.Secret|false Who is told, by POST, of budgets that run out and of providers that are down. A URL alone, as text or secret "NAME", may stand for the table.
---@field prices? string|false A file with the prices of many models, in the form of LiteLLM's model_prices_and_context_window.json: for targets that say no price, context or max_output.
---@field cache? lunette.Config.Cache|false Equal requests are answered once: {} for the defaults. Nothing said, or false: there is none.
---@field capture? lunette.Config.Capture|false Bodies of requests and answers that are kept in memory for who asks the admin listener why. Nothing said, or false: none.
---@field ledger? string|false The file, an SQLite database, in which what was spent is kept; default: ledger.db in the folder state. false: in memory alone, and a restart begins at nothing spent.
---@field redis? string|lunette.Secret|false The Redis by which several gateways share their budgets, rates, keys, rollbacks and, with cache.redis, answers: "redis://HOST[:PORT][/DB]", "rediss://…" (TLS), "unix:/PATH[?db=N]"; with a user or password in it, "redis://[USER]:PASSWORD@HOST", as secret "NAME" (or LUNETTE_REDIS in the environment). Not said, or false: this gateway shares nothing.
---@field redis_prefix? string What the names of all keys in Redis begin with, before a colon: gateways with the same one share, others on the same Redis do not meet. Default: lunette
---@field redis_cooling? boolean What a 429, a 503 that says how long, or a used-up quota has rest on one gateway rests on all of that Redis. Providers' keys are told apart by their names. Default: false
---@field redis_ca? string For rediss://: a file of certificates to trust instead of the system's.
---@field http? lunette.Config.Http Whom policies may ask by lunette.http.

---@class (exact) lunette.Config.Listen
---@field [1]? string
---@field address? string The same as listen = "…"; may stand first in the table without its name. Default: 127.0.0.1:4000
---@field tls? lunette.Config.Tls Certificate and key: clients speak HTTPS, TLS 1.2 or 1.3.

---@class (exact) lunette.Config.Admin
---@field address? string The same as admin = "…"; may stand first in the table without its name. Default: 127.0.0.1:4001
---@field tls? lunette.Config.Tls As listen.tls, for the admin listener.
---@field hosts? string[] Names, without a port, that it answers to as Host, beside localhost, addresses of loopback and the address it was reached at.

---@class (exact) lunette.Config.Tls
---@field certificate string A file in PEM form: the certificate, and behind it those that it was signed by. Read at each load, and at once when it changes.
---@field key string The file of its key, in PEM form, without a passphrase.

---@class (exact) lunette.Config.Http
---@field allow? string[] Hosts: "flags.example", "10.0.0.5:8080", "*.example.org" (one * stands for any text; without a port: any). {}: none. Not said: all. Addresses of the local link and of clouds' metadata services are refused in any case, also where a name leads to one.

---@class (exact) lunette.Config.Provider
---@field dialect? string The interface it speaks: "openai", or NAME for dialects/NAME.lua beside gateway.lua or one that comes along. Default: openai
---@field base_url? string Where it is, up to and with /v1. Either this or script.
---@field script? string A scenario that the gateway plays itself instead of asking anyone.
---@field key? lunette.Secret|lunette.Secret[] secret "NAME", or a list of several that are used in turn; none: no key is sent.
---@field key_pattern? string A Lua pattern that each key must fit: "^hs_%w+$". ^ is the key's beginning, $ its end; without them it may fit anywhere in it.
---@field key_length? lunette.Config.Length { least, most } characters that each key must have.
---@field connections? integer How many at once, over all workers. Default: 512
---@field timeouts? lunette.Config.Timeouts Clocks of one attempt.
---@field probe? lunette.Config.Probe|false How it is asked whether it is back, once it is down: then no request is risked on it before. {}: by GET /models; not said, or false: not at all.
---@field check_keys? boolean Ask it about each key by GET /models before the first request is let in, and about a new one after a reload; one that it refuses is out from the beginning. Default: false
---@field http2? boolean Speak HTTP/2 with it. Default: false
---@field transport? "auto"|"curl"|"direct" What carries the bytes. "direct": sockets of the gateway's own, HTTP/1.1, plain or in TLS. "curl": libcurl, which costs more for each request, and is what HTTP/2 and proxies go by. "auto": direct, unless there is http2 or a proxy. Default: auto
---@field ca? string A file of certificates to trust instead of the system's.
---@field proxy? string The proxy to go through: http://, https:// or socks5h://, host and port.
---@field headers? table<string, string|lunette.Secret> Sent with every call; a value may be secret "NAME".
---@field usage? boolean It understands stream_options.include_usage. Default: true
---@field cancel_stops_billing? boolean A stream that is hung up on without a word about usage costs what came of it, by an estimate; false: the most that it could cost. Nothing said: the estimate, but under a hard limit the most.
---@field health? lunette.Config.Health|false As health, for this provider; what it does not say is taken from there.

---@class (exact) lunette.Config.Length
---@field [1]? integer
---@field [2]? integer
---@field min? integer The shortest key that can be right; may stand first without its name.
---@field max? integer The longest; may stand second without its name.

---@class (exact) lunette.Config.Timeouts
---@field connect? number Until the connection stands, TLS included. Default: 5
---@field first_byte? number From sending to a stream's first good event, or to the head of a whole answer. Default: 60
---@field idle? number Between two bytes. Default: 60
---@field total? number All of it. Default: 600

---@class (exact) lunette.Config.Probe
---@field every? number How long after it went down, and after each probe. Default: 30
---@field with? "models"|"completion" A GET, which costs nothing; or a tiny completion, held and billed to budgets.total. Default: models
---@field path? string What is got, behind base_url; any answer of 2xx is good. Default: /models
---@field model? string Who is asked for a completion, as the provider calls it; default: its cheapest.
---@field max_tokens? integer How long a completion may be. Default: 5
---@field timeout? number Of a whole probe, and of a question about a key. Default: 10

---@class (exact) lunette.Config.Health
---@field failures? integer So many in a row take a target out. Default: 5
---@field rest? number How long, before it is tried again. Default: 60
---@field half_open? integer How many requests may try it at once. Default: 1
---@field cooling? "target"|"provider" What rests after a 429, or as long as a Retry-After says: the target, or all of the provider's. Default: target

---@class (exact) lunette.Config.Target
---@field provider string A name in providers.
---@field model? string What the provider calls it; default: the name clients ask for.
---@field name? string Its own name; default: provider/model. Health, rates and spend belong to the name.
---@field price? lunette.Config.Price USD per million tokens.
---@field requests_per_minute? integer Per key; default: no limit.
---@field tokens_per_minute? integer Per key; default: no limit.
---@field weight? number Its part of the load, for policies that divide by weight. Default: 1
---@field context? integer Tokens of input and output together that it takes.
---@field max_output? integer Tokens that it can answer.
---@field supports? ("tools"|"images"|"schema")[] What it can do; default: everything.
---@field facts? table<string, any> Anything a policy wants to know about it.

---@class (exact) lunette.Config.Price
---@field input number Of a million tokens of input.
---@field output number Of a million tokens of output.
---@field cached_input? number Of input that it had cached; default: input.
---@field cache_write? number Of input that it caches, for 5 minutes or as long as it does; default: input.
---@field cache_write_1h? number Of input that it caches for an hour; default: cache_write.
---@field reasoning? number Of tokens it thinks in; default: output.
---@field audio_input? number Of spoken input; default: input.
---@field audio_output? number Of spoken output; default: output.
---@field image_input? number Of input that is pictures; default: input.
---@field image_output? number Of output that is pictures; default: output.
---@field request? number Of a call as such, in USD.
---@field above? (lunette.Config.Above|false)[] What all of a request costs whose input is longer than so many tokens.
---@field flex? lunette.Config.Service What holds where it is billed as service_tier "flex".
---@field priority? lunette.Config.Service The same of "priority".
---@field batch? lunette.Config.Service The same of "batch".

---@class (exact) lunette.Config.Above
---@field tokens integer Of input, from the next one on.
---@field input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field output? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field cached_input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field cache_write? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field cache_write_1h? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field reasoning? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field audio_input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field audio_output? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field image_input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field image_output? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field request? number As in price. Not said: the dearer of what price says and what stands in for it here.

---@class (exact) lunette.Config.Service
---@field input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field output? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field cached_input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field cache_write? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field cache_write_1h? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field reasoning? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field audio_input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field audio_output? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field image_input? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field image_output? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field request? number As in price. Not said: the dearer of what price says and what stands in for it here.
---@field above? (lunette.Config.Above|false)[] What all of a request costs whose input is longer than so many tokens.

---@class (exact) lunette.Config.Client
---@field name string How logs and metrics call it.
---@field team? string A name in teams.
---@field hash string "sha256:" and the SHA-256 of its key in 64 hexadecimal digits.
---@field models? string[] Names in models, or patterns with one *; default: all.
---@field requests_per_minute? integer Default: no limit.
---@field class? string "interactive", "batch" or another; batch work waits behind.
---@field task? string Its task, where a request names none.
---@field tags? table<string, string|lunette.Secret> Tags of all its requests.
---@field substitute? boolean Another model than the one asked may answer. Default: true
---@field trust? ("task"|"tags"|"budget"|"class"|"explain")[] What its requests may say of themselves. Default: task|tags
---@field expose? boolean Its answers carry the x-lunette- headers that tell of providers and targets. Default: true
---@field budget? lunette.Config.Budget What it may cost.

---@class (exact) lunette.Config.Team
---@field budget? lunette.Config.Budget What all of its clients together may cost.

---@class (exact) lunette.Config.Budgets
---@field total? lunette.Config.Budget What everything together may cost.
---@field tags? table<string, lunette.Config.Tag|false> A budget for each value of a tag, by the tag's name; 4 tags at most.

---@class (exact) lunette.Config.Budget
---@field limit number USD in each period.
---@field per? "ever"|"hour"|"day"|"week"|"month"|"rolling" The period, in `zone`; "ever": it is never filled again; "rolling": the last `window`. Default: month
---@field window? number How far back per = "rolling" looks; for that alone. What was spent comes free in pieces of a 24th of it.
---@field soft? number|false The share of the limit at which the log, metrics and the webhook are told, once in a period; policies see it too.

---@class (exact) lunette.Config.Tag
---@field limit number USD in each period.
---@field per? "ever"|"hour"|"day"|"week"|"month"|"rolling" The period, in `zone`; "ever": it is never filled again; "rolling": the last `window`. Default: month
---@field window? number How far back per = "rolling" looks; for that alone. What was spent comes free in pieces of a 24th of it.
---@field soft? number|false The share of the limit at which the log, metrics and the webhook are told, once in a period; policies see it too.
---@field from? string Where a request says it: "header:NAME"; "metadata" or "metadata:NAME" of the body; "tag": among its tags; "policy": nowhere, lunette.charge does. Default: tag
---@field values? integer So many values have an account of their own; all further ones share one, with the same limit. Default: 10000
---@field required? boolean A request without a value is refused. Default: false

---@class (exact) lunette.Config.Webhook
---@field url string|lunette.Secret Where events are sent.
---@field secret? lunette.Secret|lunette.Secret[] secret "NAME": what they are signed with, as the Standard Webhooks specification says: "whsec_" and base64, or any text of 24 bytes or more. None: they are not signed.

---@class (exact) lunette.Config.Limits
---@field body? integer|string Of a request. Default: 32MiB
---@field answer? integer|string Of a provider's whole answer. Default: 32MiB
---@field buffered? integer|string Of all that waits in memory. Default: 1GiB
---@field deadline? number Of a request, over all attempts. Default: 590
---@field connections? integer Of clients, at once. Default: 10000
---@field lag? number|false How long whatever comes may wait for a worker that is busy: above that it refuses a part of the new requests at once (503, `retry-after: 1`), so that the rest is answered in time; false: none. Default: 0.1
---@field stall? number How long a client may take over each 16 KiB of what waits for it, or over all of it where that is less; then its connection is reset. Default: 60
---@field stop? number How long what is under way may take once the program was asked to end (SIGTERM, SIGINT); then it is cut. Default: 30
---@field attempts? integer Of a request, the first included. Default: 4
---@field retries? number|false Share of the requests of 10 s that may be tried again, at least 10; false: no such limit. Default: 0.2
---@field hedges? number Share of a minute's requests that may have a second attempt beside the first, at least 10. Default: 0.05
---@field output? integer Tokens reckoned with where a request names no max_tokens. Default: 16384

---@class (exact) lunette.Config.Canary
---@field stages? number[] How many percent are new in each stage; rising, 20 at most. Default: { 5, 15, 30, 50, 100 }
---@field every? number How long a stage lasts at least, and how far back it is looked once the last has passed. Default: 60
---@field errors? number|false The share of a stage's samples that may fail; false: not looked at. Default: 0.01
---@field p99? number|false What 99 of 100 good answers may take at most: whole ones to their end, streams to their first byte; false: not looked at. Default: 0.5
---@field samples? integer A stage waits for so many new requests before it passes. Default: 100
---@field provider? string The provider that is new: what is not well answered by it counts as an error, also where another one helped out.
---@field model? string The same of the targets of a name in models; with provider: of those that are both. Without either a request counts by how it ended.
---@field probe? string|false The provider whose GET /models must be answered 200 all along; default: provider; false: none.
---@field start? boolean Begins when the gateway first sees it; false: when asked, by `lunette canary NAME start`. Default: true

---@class (exact) lunette.Config.Cache
---@field size? integer|string Of all answers together; the least recently used makes room. Default: 64MiB
---@field ttl? number How long an answer is given again. Default: 300
---@field shared? boolean One client's answers are given to others too; otherwise each of `clients` has its own. Default: false
---@field answer? integer|string Of one answer; a larger one is not kept. Default: 1MiB
---@field redis? boolean Answers are kept in the Redis of `redis` as well, in plain text, for all gateways there that answer alike. Default: false
---@field redis_wait? number What a request waits for an answer from Redis at most; then a provider is asked. Default: 0.05

---@class (exact) lunette.Config.Capture
---@field share? number Of requests, by chance: 0.01 is one in a hundred. Default: 0
---@field errors? boolean Those that failed or were cut, too. Default: false
---@field keys? string[] Names of clients: only theirs. Not said: those of all.
---@field keep? number How long; then they are wiped. Default: 3600
---@field size? integer|string Of all together; the oldest make room. Bodies of more than 256 KiB are not kept. Default: 8MiB
---@field redact? string A Lua file beside gateway.lua: return function(text, what) … end gives what may be kept of a text (what: "request" or "answer"), or nil. Where it fails nothing of the request is kept.

---@class (exact) lunette.Config.Log
---@field requests? string|false The file for a line per request; "-": standard output.
---@field text? boolean Whether what was said may stand in it. Default: false
---@field replay? boolean Whether what the policy's hooks read stands in it, so that `lunette replay --verify` can show that they decide the same again. Default: false
---@field audit? string|false The file for who changed what while it ran, a JSON line each; it is in the process log all the same.

---@class (exact) lunette.Config.Report
---@field premium? number USD per million input tokens: targets above it are premium ones, and savings are against the mean of their prices. Default: 30

---a secret: the environment variable NAME, else the file `$CREDENTIALS_DIRECTORY/NAME` (systemd), else `/run/secrets/NAME` (containers), without the blanks around it. The file can pass it on and not read it; no log or table shows it
---@param name string
---@return lunette.Secret
function secret(name) end

---an environment variable as text; the default (or nil) where it is not set or empty. Not for keys: what belongs to a secret takes `secret` alone
---@param name string
---@param default? any
---@return any
function env(name, default) end

---@meta lunette
-- What a policy sees and can say, for editors that know LuaLS' annotations. Made from the tables of core/script by `make docs`; not to be edited.

---How an attempt ended.
---@alias lunette.Kind
---| "ok" # answered
---| "connect_refused" # the connection was refused
---| "dns" # its name could not be resolved
---| "tls" # the TLS handshake failed
---| "connect_timeout" # no connection in time
---| "first_byte_timeout" # no first byte in time
---| "idle_timeout" # it fell silent in the middle of its answer
---| "total_timeout" # the answer took too long
---| "pool_full" # no turn or connection was free in time
---| "reset" # the connection was reset
---| "cut" # the answer was cut off
---| "bad_answer" # the answer was not understood
---| "rate_limited" # the provider's rate limit was reached
---| "overloaded" # the provider was overloaded
---| "server_error" # the provider had an error of its own
---| "auth" # the provider did not accept the key
---| "quota" # the key's quota or credit is used up
---| "not_found" # the provider does not know the model or path
---| "bad_request" # the provider refused the request as wrong
---| "too_long" # the input is too long for the model
---| "filtered" # the provider's content filter refused
---| "cancelled" # it was no longer wanted
---| "skipped" # its dearest cost did not fit the budget

---What the client asked. The first argument of every hook.
---@class lunette.Request
---@field model string the model asked for, `auto` too
---@field endpoint "chat"|"completions"|"embeddings" `chat`, `completions` or `embeddings`
---@field stream boolean whether the client wants a stream
---@field text string the text of the last user message (completions: the prompt; embeddings: the first input)
---@field words number words of `text`
---@field chars number characters of `text`: code points without combining marks
---@field tokens number tokens of the whole input, estimated (how well: `core/state/README.md`)
---@field max_tokens number? the output cap the client asked for
---@field messages number how many messages there are
---@field has_code boolean `text` looks like it holds program code
---@field has_tools boolean the client offers tools
---@field has_image boolean there is an image in it
---@field has_schema boolean the client wants JSON of a given schema
---@field user string? who asks, as the client says
---@field session string? what belongs together: goes to the same target for its prompt cache
---@field pinned string? `previous_response_id`: only the target that made that answer can go on with it
---@field task string? from `x-lunette-task` or `metadata.task`, where the client is trusted with it
---@field class string? `interactive`, `batch`, …
---@field tags table<string, string> from the client's entry, `x-lunette-tags` and `metadata.tags`: `request.tags.tier`. Read-only
---@field budget number? USD that this request may cost, as the client says
---@field labels string[] what `classify` answered. Read-only
---@field label string? the first of `labels`
---@field headers table<string, string> by lower-case name, without those that carry a secret. Read-only
---@field key lunette.Key the entry of `clients` that asks
---@field deadline number seconds that are left for everything
---@field attempts lunette.Attempt[] those so far, in order
---@field targets lunette.Targets what `select` is given: for the other hooks
---@field client_retry number how often the client's SDK has retried this already; 0 the first time
---@field id string the request's id, as in the log
local request = {}

---`{ role =, text = }` of the i-th message; -1 is the last. nil past the ends
---@param i integer
---@return { role: string, text: string }?
function request:message(i) end

---a field of the body, decoded; nil when it is not there. Over 256 KiB: `nil, "too_large"`
---@param name string
---@return any
---@return string?
function request:param(name) end

---the whole body, decoded. Over 256 KiB: `nil, "too_large"`
---@return table?
---@return string?
function request:body() end

---Who asks: `request.key`.
---@class lunette.Key
---@field name string? nil on a gateway without `clients`
---@field team string? its team
---@field tags table<string, string> its own tags. Read-only
local key = {}

---An ordered set that is never changed: each method gives a new one. `#targets`, `targets[1]`, `ipairs(targets)`; `a .. b` joins two, without doubles.
---@class lunette.Targets
---@field [integer] lunette.Target
---@operator len: integer
---@operator concat(lunette.Targets|lunette.Target): lunette.Targets
---@operator concat(lunette.Steps): lunette.Steps
local targets = {}

---those of the model the client named (all, for `auto`)
---@return lunette.Targets
function targets:asked() end

---those of these models, in the order of the names. One that no entry of `models` has is noted in the log line, and warned of once
---@param ... string|string[]
---@return lunette.Targets
function targets:of(...) end

---those of these names of their own
---@param ... string|string[]
---@return lunette.Targets
function targets:named(...) end

---those of these providers
---@param ... string|string[]
---@return lunette.Targets
function targets:provider(...) end

---those whose context takes the input and `max_tokens`, and that support the tools, images and schema asked for
---@param request? lunette.Request
---@return lunette.Targets
function targets:can(request) end

---those that do not rest and whose circuit is not open. One whose circuit was open is among them again when its rest is over, for one request at a time (`health.half_open`) until an answer is good
---@return lunette.Targets
function targets:healthy() end

---those for which `f(target)` is true; f may wait
---@param f fun(target: lunette.Target): any
---@return lunette.Targets
function targets:where(f) end

---in ascending order of `f(target)`, or of a field: `by "latency"`, `by "price.input"`. Equal ones keep their order, nil comes last
---@param f string|(fun(target: lunette.Target): any)
---@return lunette.Targets
function targets:by(f) end

---the first n; 1 when not given
---@param n? number
---@return lunette.Targets
function targets:first(n) end

---spread: sticky by `request.session` while its target has room, otherwise the better of two by load; resting ones last
---@param request? lunette.Request
---@return lunette.Targets
function targets:balanced(request) end

---a step for each, with these options (below)
---@param options lunette.StepOptions
---@return lunette.Steps
function targets:steps(options) end

---One model at one provider. `..` joins it with targets and steps; `tostring` gives its name.
---@class lunette.Target
---@operator concat(lunette.Targets|lunette.Target): lunette.Targets
---@operator concat(lunette.Steps): lunette.Steps
---@field name string its own name, `provider/model` unless configured otherwise
---@field model string the name in `models` that clients ask for
---@field upstream string what the provider calls the model
---@field provider lunette.Provider who runs it
---@field price lunette.Price what it costs
---@field facts table<string, any> its own table `facts` of the configuration. Read-only
---@field weight number from the configuration; 1
---@field context number? tokens of input and output together
---@field max_output number? tokens of output
---@field healthy boolean it does not rest and its circuit is not open, or lets this request through as a trial
---@field circuit "closed"|"open"|"half_open" `closed`, `open` or `half_open`
---@field in_flight number attempts under way
---@field failures number failures in a row
---@field latency number? seconds, peak-sensitive moving average; nil before the first answer
---@field ttft number? seconds to the first byte, moving average
---@field success_rate number of the last 100 attempts, 0 to 1; 1 before the first
---@field requests_left number in its window of 60 s; `math.huge` without a limit
---@field tokens_left number the same for tokens
local target = {}

---seconds, mean of the last n good answers (at most 100)
---@param n? number
---@return number?
function target:mean_latency(n) end

---seconds; what is `latency` or `ttft`: `target:quantile("latency", 0.99)`
---@param what "latency"|"ttft"
---@param q number
---@return number?
function target:quantile(what, q) end

---USD, the dearest this request can cost there; `nil, "unknown_price"`
---@param request? lunette.Request
---@return number?
---@return string?
function target:max_cost(request) end

---USD, a guess; `nil, "unknown_price"`
---@param request? lunette.Request
---@return number?
---@return string?
function target:expected_cost(request) end

---as `targets:steps`, of this one
---@param options lunette.StepOptions
---@return lunette.Steps
function target:steps(options) end

---Who runs a target: `target.provider`.
---@class lunette.Provider
---@field name string as in `providers`
---@field dialect string the interface it speaks
---@field state "healthy"|"degraded"|"down" `healthy`; `degraded`: some of its targets rest; `down`: all do
---@field failures number failures in a row
---@field cooling_until number? until when it asked to be left alone (as `lunette.now()`); nil: it did not
---@field latency number? seconds, over its targets
---@field success_rate number 0 to 1, over its targets
local provider = {}

---USD per million tokens: `target.price`.
---@class lunette.Price
---@field input number? of a million tokens of input; nil, as all of them, where no price is known
---@field output number? of output
---@field cached_input number? of input that the provider had cached
---@field cache_write number? of input written to its cache
---@field cache_write_1h number? of input written to it for an hour
---@field reasoning number? of output spent on reasoning
---@field audio_input number? of spoken input
---@field audio_output number? of spoken output
---@field image_input number? of input that is pictures
---@field image_output number? of output that is pictures
---@field request number? of the call itself
local price = {}

---USD for so many tokens, at what holds for so long an input and for that `service_tier` ("standard"); `nil, "unknown_price"`
---@param tokens { input?: number, output?: number, cached_input?: number, cache_write?: number, cache_write_1h?: number, reasoning?: number, audio_input?: number, audio_output?: number, image_input?: number, image_output?: number, service_tier?: "standard"|"flex"|"priority"|"batch" }
---@return number?
---@return string?
function price:cost(tokens) end

---What `targets:steps{ … }` gives: a list of steps. `#steps`, `steps[1]`, `ipairs(steps)`. `..` joins it with targets and other steps; a plain target that has a step already is left out.
---@class lunette.Steps
---@field [integer] lunette.Step
---@operator len: integer
---@operator concat(lunette.Steps|lunette.Targets|lunette.Target): lunette.Steps
local steps = {}

---How one target is asked. In a list returned by `select` a step may also be a table: `{ target = t, first_byte = 2 }`, with the fields below and `set` (a table of top-level fields of the body and their values), `drop` (a name or a list of names), `rename` (old names and new ones).
---@class lunette.Step
---@field target lunette.Target who is asked
---@field connect number? seconds for the connection; nil, as with the next three: the provider's `timeouts`
---@field first_byte number? seconds until the first good event, or the head of a whole answer
---@field idle number? seconds of silence in the middle
---@field total number? seconds for all of it
---@field hedge_after number? no first good event after so many seconds: the next step starts beside it
---@field wait number? seconds to queue for the target: for its rate limit, and, where no later step can serve, for the end of its rest; nil: none, but for the last step, for its rate limit, up to the deadline
---@field warning string? what the client is told in `x-lunette-warning` when this step answers
local step = {}

---The budgets that this request counts to: the second argument of `budget`. Each is there, limited or not: `spend.team.left < 1` never fails. Of a tag in `budgets.tags` that of the request's value, by the tag's name: `spend.tenant.share`; nothing is used of it, and it has no limit, where the request has no value.
---@class lunette.Spend
---@field [string] lunette.Budget of the request's value of a tag in budgets.tags
---@field request lunette.Budget this request's own (`x-lunette-budget`)
---@field key lunette.Budget that of the client's key
---@field team lunette.Budget that of its team
---@field total lunette.Budget that of the whole gateway
local spend = {}

---One budget, as it was when it was looked at: `spend.team`.
---@class lunette.Budget
---@field used number USD spent in this period
---@field held number USD held for what is under way
---@field limit number? USD; nil: there is none
---@field left number USD; `math.huge` without a limit
---@field share number (used + held) / limit; 0 without a limit
---@field soft number? the share from which on it warns
---@field resets_in number seconds until the next period; `math.huge`: never
local budget = {}

---One asking of one target: the second argument of `judge` and `retry`.
---@class lunette.Attempt
---@field number number from 1, over the request
---@field try number from 1, on this target
---@field target lunette.Target who was asked
---@field status number? of the provider's answer; nil: there was none
---@field kind lunette.Kind? how it ended (the list of kinds below); nil: it has not
---@field billed "no"|"maybe"|"yes" whether it costs: `no`, `maybe` or `yes`
---@field retry_after number? seconds that the provider asks to wait
---@field elapsed number seconds from its beginning to its end, or until now
---@field waited number of that, seconds in the queue for its turn at the target's rate limit
---@field ttft number? seconds to the first byte
---@field committed boolean its answer goes to the client
---@field hedge boolean it was started beside another
---@field text string? of a whole answer: what the model said
---@field finish_reason string? of the first choice: `stop`, `length`, …
---@field cost number USD charged so far
---@field detail string? what happened, for people
local attempt = {}

---a whole answer (an error's too), decoded; `nil, "no_body"`, `"not_json"` or `"too_large"` (over 256 KiB)
---@return table?
---@return string?
function attempt:body() end

---How it all ended: the second argument of `finish`.
---@class lunette.Outcome
---@field status number what the client got; 499: it left first
---@field target lunette.Target? who answered; nil: nobody
---@field attempts lunette.Attempt[] all of them: `#outcome.attempts` is how many
---@field usage { input: number, output: number, cached_input: number, cache_write: number, cache_write_1h: number, audio_input: number, image_input: number, reasoning: number, audio_output: number, image_output: number, estimated: boolean }? tokens: `input output`, of these `cached_input cache_write cache_write_1h audio_input image_input` and `reasoning audio_output image_output`, and `estimated`; nil: nobody said. Read-only
---@field cost number USD, over all attempts
---@field latency number seconds from the request's arrival to its end
---@field ttft number? seconds until the first byte of the answer
---@field waited number of the latency, seconds before retries that were delayed, and in the queue of a rate limit, with nothing under way
---@field fallback boolean another than the first step answered
---@field cached boolean the answer came from the cache
---@field labels string[] what `classify` answered
local outcome = {}

---What `again next try stop refuse degrade` give. A hook returns it; there is nothing to read in it.
---@class lunette.Decision
local decision = {}

---How a target is asked: `targets:steps{ … }`.
---@class lunette.StepOptions
---@field connect? number seconds for the connection; as the next three, by default the provider's `timeouts`
---@field first_byte? number seconds until the first good event, or the head of a whole answer
---@field idle? number seconds of silence in the middle
---@field total? number seconds for all of it
---@field hedge_after? number no first good event after so many seconds: the next step starts beside it
---@field wait? number seconds to queue for the target: for its rate limit, and, where no later step can serve, for the end of its rest. By default none, but for the last step, for its rate limit, up to the deadline
---@field warning? string what the client is told in `x-lunette-warning` when this step answers
---@field set? table<string, any> top-level fields of the body and their values; with the next two at most 64 of them
---@field drop? string|string[] top-level fields of the body to leave out, also where `set` names them
---@field rename? table<string, string> old names of top-level fields and new ones

---What a policy's file returns.
---@class lunette.Policy
---@field classify? fun(request: lunette.Request): string|string[]|lunette.Decision|nil first
---@field budget? fun(request: lunette.Request, spend: lunette.Spend): lunette.Decision|nil then
---@field select? fun(request: lunette.Request, targets: lunette.Targets): lunette.Targets|lunette.Target|lunette.Steps|lunette.Step|table|lunette.Decision|nil then
---@field judge? fun(request: lunette.Request, attempt: lunette.Attempt): lunette.Decision|nil when an answer arrived whole; not for streams that have begun
---@field retry? fun(request: lunette.Request, attempt: lunette.Attempt): lunette.Decision|nil when an attempt failed and nothing else is under way
---@field finish? fun(request: lunette.Request, outcome: lunette.Outcome) when all is over
---@field settings? table<string, { default: number|string|boolean, min?: number, max?: number }> read with `lunette.setting`
---@field limits? { attempts?: integer, retries?: number|false } where gateway.lua does not say them
---@field on_error? "default"|"refuse" what follows when a hook fails

---`require "lunette"`
---@class lunette
---@field null any what JSON's null is in a list
---@field host table<string, fun(...: string|number|boolean|nil): any> functions of the program round the gateway
local lunette = { store = {}, json = {} }

---seconds since 1970, with a fraction; the time of the request's own clock
---@return number
function lunette.now() end

---waits s seconds, at most a day; costs no CPU time. `nil, "deadline"`, at once, where that is more than half of the time that is left
---@param s number
---@return true?
---@return string?
function lunette.sleep(s) end

---as `math.random`: in [0, 1) without arguments, else a whole number from low (1) to high. Repeats with the request
---@param low? integer
---@param high? integer
---@return number
function lunette.random(low, high) end

---by chance, in proportion to the weights (a list; targets: their own; else equal). Its probability is noted in the log. `nil, "empty"` or `"no_weight"`
---@param list any[]|lunette.Targets
---@param weights? number[]
---@return any
---@return string?
function lunette.pick(list, weights) end

---which group `who` belongs to, always the same for the same salt: `split("trial", request.user, { new = 5, old = 95 })`; weights by name, or a list. Without who: by chance. Its probability is noted
---@param salt string
---@param who string?
---@param weights table<string|integer, number>
---@return string|integer
function lunette.split(salt, who, weights) end

---whether this request belongs to the new side of that canary of gateway.lua: true for as many percent as its stage says. By `who` (a user, the name of a key, a session), so that whoever is new stays so in every later stage; without one by chance. The same all through a request, written into its log line, and how it ends is counted. `nil, "unknown_canary"`
---@param name string
---@param who? string
---@return boolean?
---@return string?
function lunette.canary(name, who) end

---whether `canaries` of the configuration has that name. Also while the file is loaded, as `has_model`
---@param name string
---@return boolean
function lunette.has_canary(name) end

---a whole number below 2^53 made of the text, the same on every machine: `lunette.hash(user) % 100`
---@param s string
---@return integer
function lunette.hash(s) end

---a function of a text that says how many of these words and phrases are in it: `local hard = lunette.keywords { "phân tích", "analyze" }`, then `hard(request.text) >= 2`. Upper and lower case are the same, accents may be composed or not, a word may go on (`compared`). It looks at the first 64 KiB. Made at load
---@param list string[]
---@return fun(text: string): integer
function lunette.keywords(list) end

---by how much a strong model's answer to the request's last user message would be better than a cheap one's, as `model` has it: the table of a file that `lunette train` wrote (`local router = require "router"`). From -1 to 1, 0.1: 10 % of such answers; compare it with a threshold that `train` printed, or with `router.thresholds[30]`. `nil, "no_text"` where there is no such message. A text in place of the request is looked at instead
---@param model { format: integer, base: number, scale: number, weights: string }
---@param request lunette.Request|string
---@return number?
---@return string?
function lunette.predict(model, request) end

---seconds before try n + 1: base × 2^(n−1), at most max. `jitter = 0.5`: ± 50 %; `jitter = "full"`: anything from 0 to that; `jitter_seconds = 0.5`: ± 0.5 s; none of them: exact
---@param n number
---@param options? { base?: number, max?: number, jitter?: number|"full", jitter_seconds?: number }
---@return number
function lunette.backoff(n, options) end

---asks a web server: `{ status =, headers =, body = }`, or `nil, reason`. GET, or POST with a body; timeout 5 s. Redirects are not followed. Addresses of the local link and of clouds' metadata services are refused, also where a name leads to one; and hosts that `http.allow` of the configuration leaves out
---@param options { url: string, method?: string, headers?: table<string, string>, body?: string, timeout?: number }
---@return { status: integer, headers: table<string, string>, body: string }?
---@return string?
function lunette.http(options) end

---asks a model of the configuration and gives its answer's text, or `nil, reason`. With `choices` (a list of words) it gives the one that was answered, else `nil, "no_choice"`. Runs no hooks. The request's key pays; `pay = "total"`: the gateway. timeout 10 s
---@param options { model: string, text?: string, messages?: table[], choices?: string[], timeout?: number, max_tokens?: integer, pay?: "key"|"total" }
---@return string?
---@return string?
function lunette.chat(options) end

---the value kept under that key, or nil. Shared by all requests and workers
---@param key string
---@return any
function lunette.store.get(key) end

---keeps a text, number, boolean or small table, for ttl seconds or until room is needed; nil removes it. `nil, "too_large"` over 64 KiB, `nil, "key_too_long"` over 1 KiB
---@param key string
---@param value any
---@param ttl? number
---@return true?
---@return string?
function lunette.store.set(key, value, ttl) end

---adds (1) and gives the sum; ttl counts from the first. `nil, "not_a_number"`
---@param key string
---@param by? number
---@param ttl? number
---@return number?
---@return string?
function lunette.store.incr(key, by, ttl) end

---the value of one of the policy's own `settings`
---@param name string
---@return any
function lunette.setting(name) end

---whether `models` of the configuration has that name, as it is or by a pattern with `*`. Also while the file is loaded, so that a policy can refuse itself: `if not lunette.has_model "small" then error "this policy needs a model `small`" end`
---@param name string
---@return boolean
function lunette.has_model(name) end

---puts a value into the request's log line. `nil, "too_large"` over 1 KiB
---@param key string
---@param value any
---@return true?
---@return string?
function lunette.note(key, value) end

---writes a line to the gateway's log; 20 a request
---@param ... any
function lunette.log(...) end

---adds (1) to `lunette_policy_<name>` in /metrics. `nil, reason` for a bad name, or more than 200
---@param name string
---@param value? number
---@return true?
---@return string?
function lunette.metric(name, value) end

---a value, or `nil, reason`. null: nothing in a table with names, `lunette.null` in a list
---@param text string
---@return any
---@return string?
function lunette.json.decode(text) end

---or `nil, reason`. An empty table is `{}`
---@param value any
---@return string?
---@return string?
function lunette.json.encode(value) end

---t itself, marked as a list, so that `{}` is written as `[]`
---@param t table
---@return table
function lunette.json.array(t) end

---`retry`: the same target again, after delay seconds (0)
---@param delay? number
---@return lunette.Decision
function lunette.again(delay) end

---`retry`, `judge`: the next step of the plan; in `retry`, after delay seconds (0)
---@param delay? number
---@return lunette.Decision
function lunette.next(delay) end

---`retry`: this target (or the name of one) next
---@param target lunette.Target|string
---@param delay? number
---@return lunette.Decision
function lunette.try(target, delay) end

---`retry`: give up; the client gets the last failure
---@return lunette.Decision
function lunette.stop() end

---`classify`, `budget`, `select`, `judge`: an error for the client instead of an answer. Status 400 to 599: 402 by default in `budget`, 502 in `judge`, 403 else
---@param options? { status?: integer, message?: string }
---@return lunette.Decision
function lunette.refuse(options) end

---`classify`, `budget`: whose budget in `budgets.tags` pays, instead of what the request says: `lunette.charge { tenant = "acme" }`. It stands among the tags and the notes of the log line. A tag without a budget, or a value that is none, raises
---@param values table<string, string>
---@return true
function lunette.charge(values) end

---`budget`: from now on only the targets of these models, in this order, or those for which `f(target)` is true; f may wait
---@param what string|string[]|(fun(target: lunette.Target): any)
---@param ... string|string[]
---@return lunette.Decision
function lunette.degrade(what, ...) end

---one policy made of several: for each hook the first that does not answer nil decides; all `finish` hooks are told
---@param ... lunette.Policy
---@return lunette.Policy
function lunette.chain(...) end

---whether `secret "NAME"` would be found, and is no placeholder such as `changeme`
---@param name string
---@return boolean
function lunette.has_secret(name) end

---a new table: what stands further right wins, tables with names are merged, lists replaced
---@param ... table
---@return table
function lunette.merge(...) end

return lunette

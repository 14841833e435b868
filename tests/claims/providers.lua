-- Providers that fail: what each of them does in the course of a day, and how it answers one call.
local chance = require "chance"
local model = require "model"
local traffic = require "traffic"

local providers = {}

---- the day of each ----

-- Spells of a provider do not overlap; their lengths are counted in requests, not hours: at night the same number of failures lasts longer.
local function spells_of(seed, name, common)
  local draw, list, f = chance.new(seed, "spells of " .. name), {}, model.failures
  local function add(kind, share, episodes)
    for _, part in ipairs(draw:parts(episodes)) do list[#list + 1] = { kind = kind, share = share * part } end
  end
  add("outage", providers.outage_share(), f.outage.episodes)
  add("brownout", f.brownout.share, f.brownout.episodes)
  add("limited", f.limited.share, f.limited.episodes)
  add("slow", model.slow.share, model.slow.episodes)
  for i = #list, 2, -1 do                                -- in any order
    local j = draw:index(i)
    list[i], list[j] = list[j], list[i]
  end
  local busy = 0
  for _, spell in ipairs(list) do busy = busy + spell.share end
  local at, gaps = 0, draw:parts(#list + 1)
  for i, spell in ipairs(list) do
    at = at + gaps[i] * (1 - busy)
    spell.from = traffic.when(at)
    at = at + spell.share
    spell.to = traffic.when(at)
  end
  if draw:uniform() < f.common.hits then table.insert(list, 1, { kind = "outage", from = common.from, to = common.to }) end
  return list
end

-- What outages have to take of a provider's requests so that all its failures are `failures.total`.
function providers.outage_share()
  local f = model.failures
  local spells = f.brownout.share * f.brownout.fails + f.limited.share * f.limited.fails + f.common.share * f.common.hits
  local quiet = 1 - f.total                             -- single failures hit only what did not fail already
  return f.total - spells - (f.single + f.cut) * quiet
end

---- latency ----

local function normal_cdf(x)                            -- Abramowitz and Stegun 26.2.17: off by less than 1e-7
  local t = 1 / (1 + 0.2316419 * math.abs(x))
  local tail = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    * t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return x < 0 and tail or 1 - tail
end

-- The share of calls that begin to be answered within x seconds: log-normal, in slow phases so many times later.
local function within(x, mu, sigma)
  local slow = model.slow
  return (1 - slow.share) * normal_cdf((math.log(x) - mu) / sigma) + slow.share * normal_cdf((math.log(x / slow.factor) - mu) / sigma)
end

local function halve(low, high, too_high)
  for _ = 1, 60 do
    local middle = (low + high) / 2
    if too_high(middle) then high = middle else low = middle end
  end
  return (low + high) / 2
end

-- mu and sigma of the log-normal so that with the slow phases half of the calls take up to p50 and 99 of 100 up to p99.
function providers.fit(p50, p99)
  local function mu_for(sigma)
    return halve(math.log(p50) - 1, math.log(p50) + 1, function(mu) return within(p50, mu, sigma) < 0.5 end)
  end
  local sigma = halve(0.001, 2, function(s) return within(p99, mu_for(s), s) < 0.99 end)
  return mu_for(sigma), sigma
end

---- a call ----

local class = {}
class.__index = class

local function state_at(spells, at)
  for _, spell in ipairs(spells) do
    if at >= spell.from and at < spell.to then return spell end
  end
end

-- When the first outage after `at` begins.
local function outage_after(spells, at)
  local first = math.huge
  for _, spell in ipairs(spells) do
    if spell.kind == "outage" and spell.from > at and spell.from < first then first = spell.from end
  end
  return first
end

local error_body = '{"error":{"message":"the provider is not well","type":"server_error"}}'

local function failure(draw)
  local form = draw:pick(model.failures.forms)
  return { status = form.status, fail = form.fail, cut = form.cut, after = draw:between(form.after[1], form.after[2]),
           body = form.status and error_body or nil }
end

local function limited(draw)
  local after = model.failures.limited.retry_after
  local says = draw:uniform() < 0.5 and { ["retry-after"] = tostring(math.ceil(draw:between(after[1], after[2]))) } or nil
  return { status = 429, headers = says, body = error_body, after = draw:between(0.02, 0.2) }
end

local pieces = 4                                        -- of the text; what ends it comes with the last
local head = 'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{'
local part = { raw = head .. '"content":"a part of it "},"finish_reason":null}]}\n\n' }
local last = { raw = head .. '},"finish_reason":"stop"}]}\n\n' }
local done = { raw = "data: [DONE]\n\n" }

local function usage(question)
  return { raw = ('data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}\n\n')
    :format(question.input, question.output, question.input + question.output) }
end

-- A stream, or what is left of it if the provider falls over in the middle.
function class:answer(question, at, spell, which)
  local draw, fit = self.draw, self.fits[which]
  local wait = math.exp(fit.mu + fit.sigma * draw:normal()) * (spell and spell.kind == "slow" and model.slow.factor or 1)
  local every = question.output / model.models[which].rate / pieces
  local ends, cut = at + wait + every * pieces, outage_after(self.spells, at)
  if draw:uniform() < model.failures.cut then cut = math.min(cut, draw:between(at + wait, ends)) end
  if cut < at + wait then return { cut = "rst", after = cut - at } end
  local events = {}
  for i = 1, cut < ends and math.floor((cut - at - wait) / every) + 1 or pieces do events[i] = part end
  if cut < ends then return { events = events, every = every, after = wait, cut = "rst" } end
  events[pieces + 1] = { raw = last.raw .. usage(question).raw .. done.raw }
  return { events = events, every = every, after = wait }
end

-- What the provider does when it is asked this question at this second, for this model.
function class:play(question, at, which)
  local draw, f = self.draw, model.failures
  local spell = state_at(self.spells, at)
  local kind, fate = spell and spell.kind, draw:uniform()
  if kind == "outage" or kind == "brownout" and fate < f.brownout.fails then return failure(draw) end
  if kind == "limited" and fate < f.limited.fails then return limited(draw) end
  if draw:uniform() < f.single then return failure(draw) end
  return self:answer(question, at, spell, which)
end

-- All providers, by name.
function providers.day(seed)
  local draw, all, fits = chance.new(seed, "common cause"), {}, {}
  local at = draw:uniform() * (1 - model.failures.common.share)
  local common = { from = traffic.when(at), to = traffic.when(at + model.failures.common.share) }
  local claims, first = model.claims, model.models[model.before]
  for name, m in pairs(model.models) do
    local mu, sigma = providers.fit(claims.p50.before * m.p50 / first.p50, claims.p99.before * m.p99 / first.p99)
    fits[name] = { mu = mu, sigma = sigma }
    local p = m.provider
    all[p] = all[p] or setmetatable({ name = p, draw = chance.new(seed, "calls of " .. p), spells = spells_of(seed, p, common), fits = fits }, class)
  end
  return all
end

return providers

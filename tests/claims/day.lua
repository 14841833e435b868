-- A day of traffic through a gateway on the virtual clock, and what came of it.
local t = require "lunette.test"
local traffic = require "traffic"
local providers = require "providers"

local day = {}

local path_of_gateway = debug.getinfo(1, "S").source:match "^@(.*/)" .. "gateway.lua"

local function body_of(question)
  return ('{"model":"auto","stream":true,"metadata":{"number":"%d"},"messages":[{"role":"user","content":%s}]}')
    :format(question.number, t.encode(question.text))
end

-- Names and values in turn, as the gateway's core takes them.
local function headers_of(asked, words)
  local kind = asked.question.kind
  local headers = { "x-lunette-tags", "tier=" .. asked.tier, "x-session-id", "user-" .. asked.user,
                    "x-lunette-task", kind.tasks and kind.tasks[words] or kind.task }
  if kind.class then headers[7], headers[8] = "x-lunette-class", kind.class end
  return headers
end

-- A stream came whole and ended as it should.
local function whole(seen) return seen.clean and seen.status == 200 and seen.body:find("data: [DONE]", 1, true) ~= nil end

local function first_byte(seen)
  for _, piece in ipairs(seen.pieces) do
    if piece.bytes:find "^data:" then return piece.at - seen.started end
  end
end

local class = {}
class.__index = class

-- `what`: seed, requests; policy (a file; nil: none), before (the one model that is passed through; nil: all), prices ("page" or "published").
function day.new(what)
  local self = setmetatable({ what = what, open = {}, costs = {}, latencies = {}, n = 0, answered = 0, cost = 0, wasted = 0, attempts = 0,
                              hedges = 0, fallbacks = 0, kinds = {}, by_model = {}, by_kind = {}, refused = {} }, class)
  local all, play = providers.day(what.seed), {}
  self.next, self.question_of = traffic.day(what.seed, what.requests)
  for name, provider in pairs(all) do
    play[name] = function(request, n)
      self.gateway:provider(name).calls[n] = nil        -- nobody asks for them
      return provider:play(self.question_of(tonumber(request.body:match '"number":"(%d+)"')), self.gateway:now(), request.model)
    end
  end
  self.gateway = t.gateway {
    config = path_of_gateway, providers = play, seed = what.seed,
    environment = { CLAIMS_POLICY = what.policy, CLAIMS_BEFORE = what.before, CLAIMS_PRICES = what.prices or "page" } }
  return self
end

local function count(table_of, name, by) table_of[name] = (table_of[name] or 0) + (by or 1) end

function class:take_attempts(record)
  for _, attempt in ipairs(record.attempts) do
    count(self.kinds, attempt.kind)
    if attempt.kind ~= "skipped" then self.attempts = self.attempts + 1 end
    if attempt.hedge then self.hedges = self.hedges + 1 end
    if attempt.kind ~= "ok" then self.wasted = self.wasted + (attempt.cost or 0) end
  end
end

function class:take(record)
  local asked = self.open[record.id]
  local seen = self.gateway.simulation:look(asked.handle)
  local good = whole(seen)
  self.open[record.id] = nil
  self.n = self.n + 1
  self.costs[asked.index] = record.cost
  self.cost = self.cost + record.cost
  self:take_attempts(record)
  if record.fallback then self.fallbacks = self.fallbacks + 1 end
  if good then
    self.answered = self.answered + 1
    self.latencies[self.answered] = first_byte(seen)
    local name, kind = self.gateway:target(record.target).model, asked.kind
    self.by_kind[kind] = self.by_kind[kind] or {}
    count(self.by_model, name)
    count(self.by_kind[kind], name)
  else count(self.refused, record.code or (record.torn and "torn") or tostring(record.status)) end
  self.gateway.simulation:release(asked.handle)
end

function class:take_all()
  for _, record in ipairs(self.gateway:take_log()) do self:take(record) end
end

-- Asks all of them, each at its moment.
function class:run()
  local simulation, words, index = self.gateway.simulation, (self.what.policy or ""):match "([%w_]+)%.lua$", 0
  for asked in self.next do
    index = index + 1
    self.gateway:advance(asked.at - self.gateway:now())
    local handle = simulation:ask("chat", nil, body_of(asked.question), headers_of(asked, words))
    self.open[simulation:look(handle).id] = { handle = handle, index = index, kind = asked.question.kind.name }
    if index % 16 == 0 then self:take_all() end
    if index % 1024 == 0 then collectgarbage() end      -- LuaJIT finds a string among all that are alike, and these are
  end
  self.gateway:advance(3600)
  self:take_all()
  assert(next(self.open) == nil, "a request has not ended")
  self.messages = self.gateway.messages
  self.gateway, self.next, self.question_of = nil, nil, nil
  return self
end

-- day.run{…}: the day's figures. n, answered; cost, wasted (USD); costs (of each request), latencies (seconds, of those answered); attempts, hedges,
-- fallbacks; kinds (attempts by kind), by_model (answers), by_kind (answers of a kind of question, by model), refused (requests that failed, by why).
function day.run(what) return day.new(what):run() end

return day

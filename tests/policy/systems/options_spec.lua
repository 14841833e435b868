-- What building blocks refuse, when the policy is loaded: by name, with the policy's own line.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"
local t = require "lunette.test"

-- What loading a policy says whose second line is this.
local function refusal(line)
  local good, why = pcall(t.gateway, { models = { small = { "a" } }, policy = "local block = ...\n" .. line .. "\nreturn {}" })
  return good and "nothing" or tostring(why)
end

local function block(name, call) return ("require('lunette.%s').%s"):format(name, call) end

local wrong = {
  { "a negative wait", block("backoff", "ladder { 5, -10 }"), "number 2 is to be a number of seconds, got %-10" },
  { "an empty ladder", block("backoff", "ladder {}"), "a list of seconds is wanted" },
  { "a negative base", block("backoff", "exponential { base = -1 }"), "base is to be a number of seconds, got %-1" },
  { "a max below the base", block("backoff", "exponential { base = 10, max = 5 }"), "max is to be base or more" },
  { "a misspelt option", block("backoff", "exponential { basis = 1 }"), 'there is no option "basis"' },
  { "jitter over 1", block("backoff", "exponential { jitter = 1.5 }"), "jitter is to be a share from 0 to 1" },
  { "a rule for no status", block("backoff", "by_status { [200] = 'next', retries = 1 }"), "there is no rule for '200'" },
  { "a rule that is none", block("backoff", "by_status { [429] = 'maybe', retries = 1 }"), "the rule for 429 is to be" },
  { "a negative number of retries", block("backoff", "by_status { [429] = 'next', retries = -1 }"), "retries is to be a whole number" },
  { "levels without keywords to count", block("complexity", "levels { { 'hard', keywords = 2 }, otherwise = 'easy' }"), "hard counts keywords" },
  { "no level", block("complexity", "levels { otherwise = 'easy' }"), "a list of levels is wanted" },
  { "levels without otherwise", block("complexity", "levels { { 'hard', over_words = 2 } }"), "otherwise is missing" },
  { "a negative length", block("complexity", "levels { { 'hard', over_words = -2 }, otherwise = 'easy' }"), "over_words is to be a whole number" },
  { "a tier without seconds", block("tiers", "timeouts { fast = {}, otherwise = 'fast' }"), "seconds is missing" },
  { "a tier of no time", block("tiers", "timeouts { fast = { seconds = 0 }, otherwise = 'fast' }"),
    "seconds is to be a number of seconds, 0.001 or more" },
  { "a task in two tiers", block("tiers", "timeouts { a = { seconds = 1, tasks = { 'x' } }, b = { seconds = 2, tasks = { 'x' } }, otherwise = 'a' }"),
    "'x' is in two tiers" },
  { "a tier that is none", block("tiers", "timeouts { fast = { seconds = 1 }, otherwise = 'slow' }"), "'slow' is none of the tiers" },
  { "no tier of users", block("tiers", "user {}"), "a list of tiers is wanted" },
  { "a model that the configuration does not have", block("tasks", "models { chat = { 'small', 'smal' }, otherwise = 'chat' }"),
    "chat is to be a name in `models` of gateway.lua, got \"smal\"" },
  { "a task without models", block("tasks", "models { chat = {}, otherwise = 'chat' }"), "chat is to be a list of names of models" },
  { "no task for the rest", block("tasks", "models { chat = { 'small' }, otherwise = 'talk' }"), "otherwise is to be one of the tasks" },
  { "a task in two groups", block("tasks", "groups { a = { 'x' }, b = { 'x' }, otherwise = 'a' }"), "'x' is in two groups" },
  { "a fallback that is no model", block("fallbacks", "policy { of = { small = { 'smal' } } }"),
    'of%["small"%] is to be a name in `models` of gateway.lua, got "smal"' },
  { "fallbacks that are no list", block("fallbacks", "policy { too_long = { small = 'small' } }"), 'too_long%["small"%] is to be a list of names of models' },
  { "half a retry", block("fallbacks", "policy { retries = 0.5 }"), "retries is to be a whole number from 0 to 50" },
  { "half a retry of a kind", block("fallbacks", "policy { retries_of = { rate_limited = 0.5 } }"), "retries_of.rate_limited is to be a whole number" },
  { "an account without a limit", block("used", "money { accounts = { openai = { seconds = 60 } } }"), "openai.limit is to be a number, 0 or more" },
  { "an account of no time", block("used", "money { accounts = { openai = { limit = 1, seconds = 0 } } }"), "openai.seconds is to be a number, 1 or more" },
  { "no accounts", block("used", "money {}"), "accounts is missing" },
  { "a mean of no answers", block("strategies", "least_latency { last = 0 }"), "last is to be a whole number from 1 to 100" },
  { "a negative price", block("strategies", "cheapest { limit = -1 }"), "limit is to be a number, 0 or more" },
  { "a price that is none", block("savings", "against { over = 'dear' }"), "over is to be a number, 0 or more, got \"dear\"" },
  { "a canary that the configuration does not have", block("canary", "models { canary = 'c', old = 'small', new = 'small' }"),
    "canary is to be a name in `canaries` of gateway.lua, got \"c\"" },
  { "a canary between a policy and none", block("canary", "between { canary = 'c', old = {} }"), "canary.between: " },
  { "keywords that are no list", "require('lunette').keywords { 'a', 5 }", "number 2 is not" },
}

describe("refused at load", function()
  for _, case in ipairs(wrong) do
    it(case[1], function()
      local why = refusal(case[2])
      assert.matches(case[3], why)
      assert.matches("policy.lua:2: ", why, 1, true)
    end)
  end
end)

describe("a policy that comes along", function()
  it("is part of the version", function()
    local one, other = support.example("failover"):version(), support.example("rate_limits"):version()
    assert.not_equal(one:match "@(.*)", other:match "@(.*)")
    assert.equal(one, support.example("failover"):version())
  end)

  it("is named without the folder in which it is not", function()
    local good, why = pcall(t.gateway, { policy = "policies/smart_router.lua", targets = { "a" } })
    assert.is_false(good)
    assert.matches("\n%s*policies/smart_router.lua:%d+: tasks.models: ", why)
  end)
end)

-- What the specs of policies share.
--
--   package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
--   local support = require "support"
local t = require "lunette.test"

local support = {}

-- A gateway of these parts, and `more` of them.
function support.gateway(parts, more)
  for name, value in pairs(more or {}) do parts[name] = value end
  return t.gateway(parts)
end

-- The one of examples/policies, with that policy. `providers`: what they do instead of what the example's do.
function support.example(policy, providers, more)
  local parts = { config = "../../../examples/policies/gateway.lua", environment = { POLICY = "policies/" .. policy .. ".lua" }, providers = providers }
  for name, value in pairs(more and more.environment or {}) do parts.environment[name] = value end
  local rest = {}
  for name, value in pairs(more or {}) do
    if name ~= "environment" then rest[name] = value end
  end
  return support.gateway(parts, rest)
end

-- All providers of the example do this.
function support.all(answer) return { deepseek = answer, moonshot = answer, google = answer, openai = answer, anthropic = answer } end

-- Who was asked, in order: "a b a".
function support.tried(answer)
  local list = {}
  for i, attempt in ipairs(answer.attempts) do list[i] = attempt.target end
  return table.concat(list, " ")
end

-- Seconds from the end of one attempt to the beginning of the next.
function support.waits(answer)
  local list = {}
  for i = 2, #answer.attempts do
    local before = answer.attempts[i - 1]
    list[i - 1] = answer.attempts[i].at - before.at - before.took
  end
  return list
end

return support

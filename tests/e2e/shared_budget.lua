-- What the specs of budgets that several gateways share do with a gateway.
--
--   local shared = require "shared_budget"
--   shared.ask(g, "hello", key)      -- a question that costs 0.03 USD and holds a good deal more
--   shared.open(g, h)                                  -- waits until all of them can draw
--   local answered, refused = shared.spend_all(all)    -- asks in turn until each has refused: how many were answered, and each one's 402
local e2e = require "support"

local shared = { key = "sk-app" }

function shared.ask(g, text, who)
  return g:chat { text = text or "hello", headers = { authorization = "Bearer " .. (who or shared.key) }, body = { max_tokens = 10 } }
end

function shared.budgets(g) return g:request({ path = "/health/readiness" }).json.budgets or "open" end

function shared.open(...)
  for i, g in ipairs { ... } do
    e2e.eventually("gateway " .. i .. " can draw, it is " .. shared.budgets(g), function() return shared.budgets(g) == "open" end)
  end
end

function shared.used(g) return g:metric 'lunette_budget_used_usd{budget="key app"}' end

-- The most that an answer may cost, by the words of a 402.
function shared.dearest_of(answer)
  local message = answer.json.error.message
  return tonumber(message:match "can cost up to ([%d.]+%d)") or error("no figure in: " .. message)
end

function shared.spend_all(all)
  local answered, refused = 0, {}
  for _ = 1, 2000 do
    local left = false
    for i, g in ipairs(all) do
      if not refused[i] then
        local answer = shared.ask(g)
        if answer.status == 200 then answered, left = answered + 1, true
        else
          assert(answer.status == 402, answer.body)
          refused[i] = answer
        end
      end
    end
    if not left then return answered, refused end
  end
end

return shared

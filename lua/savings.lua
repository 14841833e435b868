-- Savings: what was paid, beside what the same tokens would have cost at the mean price of the premium models.
local options = require "lunette.options"

local savings = {}

-- against { over = 30 }: premium are the targets over 30 USD per million tokens of input. Gives a function of targets and usage ({ input =, output = },
-- in tokens) and what was paid (USD); it answers { usd =, percent =, premium = }, or nil where no target is premium. A target that serves one model
-- at several providers counts each time.
function savings.against(given)
  local o = options.read("savings.against", given, { over = { "number", min = 0, default = 30 } })
  return function(targets, usage, paid)
    local sum, n = 0, 0
    for _, target in ipairs(targets) do
      if (target.price.input or 0) > o.over then
        sum, n = sum + target.price:cost { input = usage.input, output = usage.output }, n + 1
      end
    end
    if n == 0 or sum == 0 then return nil end
    local premium = sum / n
    return { usd = premium - paid, percent = 100 * (1 - paid / premium), premium = premium }
  end
end

return savings

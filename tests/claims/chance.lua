-- Draws that repeat: the same on every machine for the same seed and name. Each use has a stream of its own, so that what one thing draws does not
-- move what another draws. The generator is Park and Miller's "minimal standard" (multiplier 48271); its numbers are whole and fit a double.
local chance = {}
chance.__index = chance

local modulus = 2147483647

local function seed_of(text)
  local h = 5381
  for i = 1, #text do h = (h * 33 + text:byte(i)) % modulus end
  return h % (modulus - 1) + 1
end

-- A stream for this seed and name.
function chance.new(seed, name)
  local self = setmetatable({ state = seed_of(name .. "/" .. seed) }, chance)
  for _ = 1, 8 do self:uniform() end            -- away from the seed: near ones begin with near numbers
  return self
end

-- Another, in a state that this one was in: draws again what was drawn from there on.
function chance:at(state) return setmetatable({ state = state }, chance) end

-- Between 0 and 1, neither of them.
function chance:uniform()
  self.state = self.state * 48271 % modulus
  return self.state / modulus
end

function chance:between(low, high) return low + (high - low) * self:uniform() end
function chance:index(n) return math.floor(self:uniform() * n) + 1 end

function chance:normal()
  return math.sqrt(-2 * math.log(self:uniform())) * math.cos(2 * math.pi * self:uniform())
end

-- One of a list of { share = }, in proportion to the shares.
function chance:pick(list)
  local sum = 0
  for i = 1, #list do sum = sum + list[i].share end
  local at = self:uniform() * sum
  for i = 1, #list - 1 do
    at = at - list[i].share
    if at < 0 then return list[i] end
  end
  return list[#list]
end

-- `n` parts of 1.
function chance:parts(n)
  local parts, sum = {}, 0
  for i = 1, n do
    parts[i] = -math.log(self:uniform())
    sum = sum + parts[i]
  end
  for i = 1, n do parts[i] = parts[i] / sum end
  return parts
end

return chance

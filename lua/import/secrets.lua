-- Names in place of what is secret. `os.environ/NAME` stays that name; a key that stands in the file as text gets one, and its text goes nowhere.
local secrets = {}
secrets.__index = secrets

-- What people write where a server wants no key.
local no_key = {}
for word in ([[none null nil dummy fake empty na n/a nokey no-key not-needed notneeded unused anything fake-key my-fake-key dummy-key sk-fake xxx - x]])
  :gmatch "%S+" do no_key[word] = true end

local PREFIX = "os.environ/"

-- The variable that a text stands for; nil: it is no such text. `${NAME}` is what something before LiteLLM fills in.
function secrets.variable(text)
  local name = text:sub(1, #PREFIX) == PREFIX and text:sub(#PREFIX + 1) or text:match "^%${(.*)}$" or text:match "^%$(.*)$"
  return name and #name <= 128 and name:match "^[%a_][%w_]*$" or nil
end

-- Names that the file itself says are taken, so that a text gets none of them.
local function gather(node, taken)
  if node.kind == "text" then
    local name = secrets.variable(node.text)
    if name then taken[name] = true end
  end
  for _, item in ipairs(node.items or {}) do gather(item, taken) end
end

function secrets.new(root)
  local s = setmetatable({ taken = {}, last = {}, names = {}, wanted = {}, seen = {} }, secrets)
  gather(root, s.taken)
  return s
end

-- A variable will be asked for. `url`: something that is no secret, and looks so.
function secrets:want(name, kind)
  if not self.seen[name] then
    self.seen[name] = true
    self.wanted[#self.wanted + 1] = { name = name, kind = kind or "secret" }
  end
  return name
end

local function fresh(self, name)
  local free, n = name, self.last[name] or 1
  while self.taken[free] do
    n = n + 1
    free = name .. "_" .. n
  end
  self.taken[free], self.last[name] = true, n
  return free
end

-- The name for a text at that place; `otherwise` is what it is called where it stands as text. nil: it stands for no key at all.
function secrets:name(map, field, text, otherwise)
  local name = secrets.variable(text)
  if name then return self:want(name) end
  if text:match "^%s*$" or no_key[text:lower()] then
    map:tell(field, "taken for no key at all: none is sent")
    return nil
  end
  if text:sub(1, #PREFIX) == PREFIX then
    map:tell(field, "names no variable that can be: not carried over")
    return nil
  end
  self.names[text] = self.names[text] or fresh(self, otherwise)
  map:tell(field, "its text is not copied: put it into the environment as %s", self.names[text])
  return self:want(self.names[text])
end

return secrets

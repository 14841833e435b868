-- Broken versions, made from a good one: none is taken over, the good one serves all along, and `lunette check` says beforehand what a reload will say.
-- BROKEN: how many (150); SEED: which.
local e2e = require "support"

local good = {
  ["gateway.lua"] = [[
local lunette = require "lunette"
local limits = { retries = 0.2, attempts = 3, deadline = 20 }
return {
  policy = "policy.lua",
  providers = { a = { base_url = env "A", timeouts = { connect = 1, first_byte = 5 } }, b = { base_url = env "A" } },
  models = {
    m = { { provider = "a", model = "up", price = { input = 1, output = 2 }, weight = 3 }, { provider = "b", model = "up2" } },
    ["x/*"] = { { provider = "b", model = "*" } },
  },
  health = { failures = 5, rest = 60 }, keepalive = 15,
  budgets = { total = { limit = 100, per = "day", soft = 0.8 } },
  limits = lunette.merge(limits, { body = "1MiB" }),
}
]],
  ["policy.lua"] = [[
local lunette = require "lunette"
local words = require "words"
local function hard(request)
  for _, word in ipairs(words.hard) do
    if request.text:lower():find(word, 1, true) then return true end
  end
  return request.words > words.long
end
return {
  settings = { share = { default = 5, min = 0, max = 100 } },
  classify = function(request) return { "good", hard(request) and "hard" or "easy" } end,
  budget = function(request, spend)
    if spend.total.left < lunette.setting "share" / 100 then return lunette.refuse { message = "too dear" } end
  end,
  select = function(request, targets)
    local able = targets:can(request):healthy()
    return able:of("m"):by "weight":steps { first_byte = 2, hedge_after = 1 } .. targets:asked()
  end,
  judge = function(request, attempt)
    if attempt.finish_reason == "length" then return lunette.next() end
  end,
  retry = function(request, attempt)
    if attempt.kind == "rate_limited" then return lunette.again(lunette.backoff(attempt.try, { base = 1, max = 4, jitter = 0.5 })) end
  end,
  finish = function(request, outcome)
    lunette.note("cost", outcome.cost)
    lunette.metric("seen")
  end,
}
]],
  ["words.lua"] = "return { hard = { 'why', 'compare', 'prove' }, long = 100 }\n",
}
local names = { "gateway.lua", "policy.lua", "words.lua" }

---- mutants ----

local state = tonumber(os.getenv "SEED" or "1")
local function random(n)                -- 1 … n, the same on every machine
  state = (state * 16807) % 2147483647
  return state % n + 1
end

local function token_at(text)
  local list = {}
  for from, token, to in text:gmatch "()([%w_]+)()" do list[#list + 1] = { from, to - 1, token } end
  for from, token, to in text:gmatch "()([^%w%s_])()" do list[#list + 1] = { from, to - 1, token } end
  return list[random(#list)], list[random(#list)]
end

local function put(text, from, to, what) return text:sub(1, from - 1) .. what .. text:sub(to + 1) end

local rubbish = { "nil", "{}", "-1", "0/0", "'x'", "function() end", "false", "1e309", "(nil)()", "error 'no'", "\0", "\255\254", "\27LJ\2", "%", "]]",
                  "--[[",
                  "while true do end", "(function() local t = {} while true do t[#t + 1] = ('x'):rep(1e5) end end)()", "require 'nothing'", "secret 'NOT_THERE'",
                  "setmetatable({}, { __index = error })", "string.rep('x', 1e9)", "(function f() return f() end)" }

local ways = {
  function(text) return text:sub(1, random(#text) - 1) end,                                         -- cut off
  function(text) local i = random(#text) return put(text, i, i, string.char(random(256) - 1)) end,  -- a byte changed
  function(text) local t = token_at(text) return put(text, t[1], t[2], "") end,                     -- a token lost
  function(text) local t = token_at(text) return put(text, t[1], t[2], t[3] .. " " .. t[3]) end,    -- or doubled
  function(text) local t, other = token_at(text) return put(text, t[1], t[2], other[3]) end,        -- or another's
  function(text) local t = token_at(text) return put(text, t[1], t[2], rubbish[random(#rubbish)]) end,
  function(text) local t = token_at(text) return put(text, t[1], t[2], t[3]:sub(2)) end,            -- misspelt
  function(text)                                                                                    -- a line elsewhere
    local lines = {}
    for line in text:gmatch "[^\n]*\n" do lines[#lines + 1] = line end
    table.insert(lines, random(#lines), table.remove(lines, random(#lines)))
    return table.concat(lines)
  end,
}

local whole = {         -- what happens to a file as a whole: path → how to undo it
  function(path) os.remove(path) end,
  function(path) e2e.write(path, "") end,
  function(path) e2e.write(path, ("-- \n"):rep(2 ^ 19)) end,
  function(path) os.remove(path) os.execute("mkdir '" .. path .. "'") end,
  function(path) os.remove(path) os.execute("mkfifo '" .. path .. "'") end,
  function(path) os.remove(path) os.execute("ln -s '" .. path .. "' '" .. path .. "'") end,
  function(path) os.remove(path) os.execute("ln -s /dev/zero '" .. path .. "'") end,
}

---- the gateway ----

teardown(e2e.stop)

local function restore(g)
  for _, name in ipairs(names) do
    os.execute("rm -rf '" .. g.folder .. "/" .. name .. "'")
    e2e.write(g.folder .. "/" .. name, good[name])
  end
end

describe("broken versions", function()
  local provider, g, version
  setup(function()
    provider = e2e.provider [[return function() return { text = "hi" } end]]
    g = e2e.gateway { config = good["gateway.lua"], files = { ["policy.lua"] = good["policy.lua"], ["words.lua"] = good["words.lua"] }, workers = 2,
                      env = { A = provider.url, LUNETTE_WATCH = "false", LUNETTE_STATE = "false" } }
    version = g:look("versions").current
  end)

  local function serves(what)
    local answer = g:chat { model = "m", text = "why?" }
    assert.same({ 200, "good,hard", version }, { answer.status, answer.headers["x-lunette-labels"], answer.headers["x-lunette-policy"] }, what)
  end

  -- Gives whether it was taken over; it is undone again.
  local function try(what)
    local checked, _, told = e2e.run({ e2e.lunette, "check", g.folder .. "/gateway.lua", "--table" }, g.env)
    local answer = g:tell "reload"
    assert.equal(checked == 0 and 200 or 422, answer.status, what .. "\ncheck said: " .. told .. "\nreload said: " .. answer.body)
    local taken = answer.status == 200 and answer.json.changed
    if answer.status ~= 200 then
      assert.truthy(answer.json.errors[1], what)
      assert.equal(version, g:look("versions").current, what)
      serves(what)
    end
    restore(g)
    if taken then assert.equal(version, g:tell("reload").json.version) end
    return taken
  end

  it("are refused, and change nothing", function()
    local refused, taken = 0, 0
    for i = 1, tonumber(os.getenv "BROKEN" or "150") do
      local name = names[random(#names)]
      local text = good[name]
      for _ = 1, random(2) do text = ways[random(#ways)](text) end
      g:replace(name, text)
      if try(("mutant %d, %s:\n%s"):format(i, name, text)) then taken = taken + 1 else refused = refused + 1 end
    end
    assert(refused > taken, ("%d refused, %d good by accident"):format(refused, taken))
    serves "at the end"
  end)

  it("of which a file is gone, empty, too large, a folder, a pipe, a loop or without end are refused, and hold nobody up", function()
    for _, name in ipairs(names) do
      for i, spoil in ipairs(whole) do
        spoil(g.folder .. "/" .. name)
        try(name .. ", spoilt in way " .. i)
      end
    end
    serves "at the end"
  end)

  it("leave nothing open", function()
    local function count()
      local pipe = io.popen("ls /proc/" .. g.process.pid .. "/fd | wc -l")
      local n = pipe:read "*n"
      pipe:close()
      return n
    end
    local before = count()
    for _ = 1, 20 do
      g:replace("policy.lua", "return {")
      g:tell "reload"
    end
    restore(g)
    assert.equal(before, count())
  end)
end)

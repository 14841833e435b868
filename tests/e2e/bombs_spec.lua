-- Bodies made to take more than they say: deep, wide, full of digits, names, escapes, empty messages; and an answer that is compressed. What the HTTP
-- rules and the JSON grammar say of them is answered, who asks next is served, and memory grows by at most ten times the body and 1 MiB.
local e2e = require "support"

local config = [[
local function target(name) return { provider = name, model = "up", price = { input = 1, output = 1 } } end
return {
  policy = "policy.lua", limits = { retries = false }, cache = { size = "64KiB" },
  providers = { a = { base_url = env "URL" }, z = { base_url = env "ZIPPED" } },
  models = { m = { target "a" }, zipped = { target "z" } },
  budgets = { total = { limit = 1000, per = "day" } },
}]]
-- Looks at all that there is to be looked at.
local policy = [[return { classify = function(request)
  return { request.words > 10 and "long" or "short", request.has_code and "code" or "prose", request.messages > 10 and "many" or "few" }
end, select = function(request, targets) request:message(-1) request:param "zzz" request:body() return targets:asked():can(request):healthy() end }]]

local HEAD, HELLO = '{"model":"m","max_tokens":5,', '"messages":[{"role":"user","content":"hello"}]'
local function with(more) return HEAD .. more .. "," .. HELLO .. "}" end
local function saying(content) return HEAD .. '"messages":[{"role":"user","content":' .. content .. "}]}" end
local function deep(n) return ("["):rep(n) .. ("]"):rep(n) end

local bombs = {
  { "128 levels", 200, function() return with('"x":' .. deep(127)) end },
  { "129 levels", 400, function() return with('"x":' .. deep(128)) end },
  { "a million levels", 400, function() return with('"x":' .. deep(1000000)) end },
  { "levels that never close", 400, function() return ("["):rep(1000000) end },
  { "objects that never close", 400, function() return ('{"a":'):rep(200000) end },
  { "250,000 values beneath 120 levels", 200, function() return with('"x":' .. ("["):rep(120) .. ("1,"):rep(250000) .. "1" .. ("]"):rep(120)) end },
  { "120 levels, and again at each", 200, function() return with('"x":' .. ('[1,"a",{"b":2},'):rep(60) .. "1" .. ("]"):rep(60)) end },
  { "a number of 1,000 digits", 200, function() return with('"x":' .. ("1"):rep(1000)) end },
  { "a number of 1,001 digits", 400, function() return with('"x":' .. ("1"):rep(1001)) end },
  { "a number of a million digits", 400, function() return with('"x":' .. ("1"):rep(1000000)) end },
  { "an exponent of a million digits", 400, function() return with('"x":1e' .. ("1"):rep(1000000)) end },
  { "a large exponent", 200, function() return with '"x":1e999999' end },
  { "75,000 names", 200, function()
    local out = {}
    for i = 1, 75000 do out[i] = '"k' .. i .. '":1' end
    return with(table.concat(out, ","))
  end },
  { "one name, 75,000 times", 200, function() return with((('"k":1,'):rep(75000)):sub(1, -2)) end },
  { "one name in many spellings", 200, function() return with((('"\\u006b":1,"k":2,'):rep(25000)):sub(1, -2)) end },
  { "the model, said twice", 400, function() return with '"model":"m"' end },
  { "the model, said again in escapes", 400, function() return with '"\\u006dodel":"m"' end },
  { "a name of 1 MiB", 200, function() return with('"' .. ("n"):rep(1048576) .. '":1') end },
  { "a text of 1 MiB", 200, function() return saying('"' .. ("word "):rep(209715) .. '"') end },
  { "1 MiB of escapes", 200, function() return saying('"' .. ("\\u00e9"):rep(174762) .. '"') end },
  { "1 MiB of zeros in a text", 200, function() return saying('"' .. ("\\u0000"):rep(174762) .. '"') end },
  { "1 MiB of halves of characters", 200, function() return saying('"' .. ("\\ud800"):rep(174762) .. '"') end },
  { "1 MiB of backslashes", 200, function() return saying('"' .. ("\\\\"):rep(524288) .. '"') end },
  { "1 MiB of blanks", 200, function() return HEAD .. (" \n\t\r"):rep(262144) .. HELLO .. "}" end },
  { "40,000 empty parts of a content", 200, function() return saying("[" .. (('{"type":"text","text":""},'):rep(40000)):sub(1, -2) .. "]") end },
  { "35,000 messages", 200, function() return HEAD .. '"messages":[' .. (('{"role":"user","content":"a"},'):rep(35000)):sub(1, -2) .. "]}" end },
  { "commas alone", 400, function() return with('"x":[' .. (","):rep(1000000) .. "]") end },
  { "a text that never ends", 400, function() return HEAD .. '"x":"' .. ("\\\\"):rep(500000) end },
}

describe("a body of", function()
  local g, p, zipped
  teardown(e2e.stop)
  setup(function()
    p = e2e.provider 'return function(request, n) return { text = "fine" } end'
    zipped = e2e.puppet()
    g = e2e.gateway { config = config, workers = 1, files = { ["policy.lua"] = policy }, env = { URL = p.url, ZIPPED = zipped.url } }
    assert.equal(200, g:chat({}).status)
  end)

  local function status(name) return tonumber(e2e.read("/proc/" .. g.process.pid .. "/status"):match(name .. ":%s+(%d+)")) end

  -- KiB that it had more at the most than before, while f ran.
  local function growth(f)
    e2e.write("/proc/" .. g.process.pid .. "/clear_refs", "5")          -- the peak begins anew
    local before = status "VmRSS"
    f()
    return status "VmHWM" - before
  end

  local function check_growth(what, size, grown)
    if os.getenv "STRESS_FIGURES" then print(("%-40s %6d KiB: %6d KiB"):format(what, size / 1024, grown)) end
    if not e2e.lunette:find("build-", 1, true) then assert.is_true(grown <= 10 * size / 1024 + 1024, what .. ": memory grew by " .. grown .. " KiB") end
  end

  for _, bomb in ipairs(bombs) do
    it(bomb[1] .. " is answered with " .. bomb[2], function()
      local body, answer = bomb[3](), nil
      local grown = growth(function()
        answer = g:request { method = "POST", path = "/v1/chat/completions", headers = { ["content-type"] = "application/json" }, body = body }
      end)
      assert.equal(bomb[2], answer.status, answer.body:sub(1, 500))
      if bomb[2] == 400 then assert.equal("invalid_request", answer.json.error.code) end
      check_growth(bomb[1], #body, grown)
      assert.equal(200, g:chat({ text = "after " .. bomb[1] }).status)
    end)
  end

  it("an answer that is compressed, though nobody asked for that, is not expanded", function()
    local path = e2e.folder() .. "/zeros.gz"
    os.execute("head -c 104857600 /dev/zero | gzip -9 >" .. path)
    local bytes, answer = e2e.read(path), nil
    local grown = growth(function()
      local visit = g:open { model = "zipped" }
      local call = zipped:accept()
      assert.equal("identity", call.headers["accept-encoding"])
      call:answer(200, bytes, { ["content-encoding"] = "gzip", ["content-type"] = "application/json" })
      answer = visit:rest()
    end)
    assert.equal(502, answer.status)
    assert.equal("bad_answer", g:line(answer).attempts[1].kind)
    check_growth("an answer", #bytes, grown)
  end)
end)

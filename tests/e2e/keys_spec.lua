-- Keys: refused at load by the name of the variable, asked about on demand and before traffic, out of use after a 401; never shown.
local e2e = require "support"

local canary = { good = "hs_canary0good0key0abc", bad = "hs_canary0bad00key0abc", new = "hs_canary0new00key0abc" }

local function clean(text)
  for name, key in pairs(canary) do assert(not text:find(key, 1, true) and not text:find(key:sub(-10), 1, true), "shows the key " .. name .. ": " .. text) end
end

-- Takes the good and the new key, in either header, and lists two models.
local asked_for_keys = ([[return function(request)
  local key = request.headers["x-api-key"] or (request.headers.authorization or ""):gsub("^Bearer ", "")
  if key ~= "%s" and key ~= "%s" then return { status = 401, body = { error = { message = "no such key: " .. key } } } end
  if request.method == "GET" then return { body = { data = { { id = "up" }, { id = "other" } } } } end
  return { text = "fine" }
end]]):format(canary.good, canary.new)

local function check(config, env, ...)
  local folder = e2e.folder()
  e2e.write(folder .. "/gateway.lua", config)
  return e2e.run({ e2e.lunette, "check", folder .. "/gateway.lua", ... }, env)
end

after_each(e2e.stop)

local one_key = [[return { providers = { a = { base_url = "http://127.0.0.1:1/v1", key = secret "HS_KEY",
    key_pattern = "^hs_%w+$", key_length = { 19, 35 } } },
  models = { m = { { provider = "a" } } } }]]

-- `value` as the key is refused, by its variable and setting, and not shown.
local function refuses(value, why)
  it(("%q is refused by the name of its variable: %s"):format(value, why), function()
    local status, out, err = check(one_key, { HS_KEY = value })
    local said = tostring(out) .. tostring(err)
    assert.equal(1, status)
    assert.truthy(said:find("HS_KEY", 1, true))
    assert.truthy(said:find("providers.a.key", 1, true))
    assert.truthy(said:find(why, 1, true), said)
    clean(said)
    if #value > 12 then assert.is_nil(said:find(value, 1, true)) end
  end)
end

describe("C3 a key that is missing, blank or a placeholder", function()
  for _, value in ipairs { "", "  \n" } do refuses(value, "is blank") end
  for _, value in ipairs { "YOUR_API_KEY", "hs_xxxxxxxxxxxxxxxxxxxx", "changeme", "<key>", "…", "sk-xxx" } do refuses(value, "placeholder") end

  it("none at all is refused likewise", function()
    local status, out, err = check(one_key, {})
    assert.equal(1, status)
    assert.truthy((out .. err):find("HS_KEY is not set: set the environment variable", 1, true), out .. err)
  end)
end)

describe("D5 a key", function()
  local refused = {
    ["hs_canary0good0key\0010abc"] = "another character",
    ["hs_canary-good-key0abc"] = "does not fit key_pattern", ["xs_canary0good0key0abc"] = "does not fit key_pattern", ["hs_canary0short"] = "is too short",
    ["hs_canary0good0key0abchs_canary0good0key0abc"] = "is too long", ['"hs_canary0good0key0abc'] = "quotation mark",
  }
  for value, why in pairs(refused) do refuses(value, why) end

  for _, value in ipairs { canary.good, " " .. canary.good .. "\t", canary.good .. "\r\n", '"' .. canary.good .. '"', "\239\187\191" .. canary.good,
                           "hs_" .. ("a"):rep(16), "hs_" .. ("Z9"):rep(16) } do
    it(("%q fits"):format(value), function() assert.equal(0, (check(one_key, { HS_KEY = value }))) end)
  end

  it("whose file becomes something that does not fit is kept as it was, and that is said", function()
    local a, folder = e2e.provider(asked_for_keys), e2e.folder()
    local function put(text)
      e2e.write(folder .. "/HS_KEY.new", text)
      assert(os.rename(folder .. "/HS_KEY.new", folder .. "/HS_KEY"))
    end
    put(canary.good)
    local g = e2e.gateway { config = (one_key:gsub('"http://127.0.0.1:1/v1"', ("%q"):format(a.url))), env = { CREDENTIALS_DIRECTORY = folder } }
    assert.equal("fine", g:chat({}).text)
    for _, text in ipairs { "hs_short", "YOUR_API_KEY", canary.bad .. "-" } do
      put(text)
      assert.equal(422, g:reload().status)
      assert.equal("fine", g:chat({}).text)
    end
    assert.truthy(g.process:said():find("HS_KEY does not fit key_pattern", 1, true))
    clean(g.process:said())
    put(canary.new)
    assert.equal(200, g:reload().status)
    assert.equal("fine", g:chat({}).text)
  end)
end)

describe("E5 lunette check --keys", function()
  local config = [[return { providers = {
      a = { base_url = env "A", key = { secret "GOOD", secret "BAD" } }, MORE
      dead = { base_url = "http://127.0.0.1:1/v1", key = secret "GOOD" }, nameless = { base_url = "http://nowhere.invalid/v1" } },
    models = { m = { { provider = "a", model = "up" }, { provider = "a", model = "gone" }, { provider = "dead" }, { provider = "nameless" } } } }]]

  local function keys(more, env, ...)
    local all = { A = e2e.provider(asked_for_keys).url, GOOD = canary.good, BAD = canary.bad }
    for name, value in pairs(env or {}) do all[name] = value end
    return check((config:gsub("MORE", function() return more or "" end)), all, "--keys", ...)
  end

  it("says of each key what its provider says, and which models it does not have", function()
    local status, out, err = keys()
    assert.equal(1, status)
    for _, line in ipairs { "a +GOOD +200 +is accepted +2 +gone\n", "a +BAD +401 +is refused", "dead +GOOD +the connection was refused\n",
                            "nameless +its name could not be resolved" } do
      assert.truthy(out:find(line), line .. " is not in\n" .. out)
    end
    clean(out .. err)
  end)

  it("is fine where none is refused, though one could not be asked about", function()
    local status, out = keys(nil, { BAD = canary.new })
    assert.equal(0, status)
    assert.is_nil(out:find("refused:", 1, true))
  end)

  it("as JSON", function()
    local status, out = keys(nil, nil, "--json")
    local list = require "cjson".decode(out)
    assert.equal(1, status)
    assert.same({ provider = "a", key = "GOOD", result = "good", status = 200, meaning = "is accepted", models = 2, missing = { "gone" } }, list[1])
    assert.equal("refused", list[2].result)
    assert.equal(4, #list)
  end)

  it("says the key as the provider's dialect does", function()
    local folder = e2e.folder()
    assert(os.execute("mkdir " .. folder .. "/dialects") == 0)
    e2e.write(folder .. "/dialects/odd.lua", [[return { auth = { header = "x-api-key", prefix = "" },
      request = function(body) return { path = "/messages", headers = { ["x-version"] = "7" }, body = body } end,
      answer = function(body) return body end, event = function() return {} end }]])
    e2e.write(folder .. "/gateway.lua", [[return { providers = { a = { dialect = "odd", base_url = env "A", key = secret "GOOD" } },
      models = { up = { { provider = "a" } } } }]])
    local a = e2e.provider(asked_for_keys)
    local status, out = e2e.run({ e2e.lunette, "check", folder .. "/gateway.lua", "--keys" }, { A = a.url, GOOD = canary.good })
    assert.equal(0, status)
    assert.truthy(out:find "a +GOOD +200 +is accepted")
    local seen = a:seen().last[1]
    assert.same({ "GET", canary.good, "7" }, { seen.method, seen.headers["x-api-key"], seen.headers["x-version"] })
    assert.is_nil(seen.headers.authorization)
  end)
end)

describe("E5 check_keys", function()
  local config = [[return { providers = { a = { base_url = env "A", key = { secret "ONE", secret "TWO" }, check_keys = true, probe = { timeout = 1 } } },
    models = { m = { { provider = "a", model = "up" } } } }]]

  it("has a key that is refused out before the first request", function()
    local a = e2e.provider(asked_for_keys)
    local g = e2e.gateway { config = config, env = { A = a.url, ONE = canary.bad, TWO = canary.good } }
    for _ = 1, 4 do
      local answer = g:chat {}
      assert.equal("fine", answer.text)
      assert.equal("1", answer.headers["x-lunette-attempts"])
    end
    local used = {}
    for _, request in ipairs(a:seen().last) do if request.method == "POST" then used[request.headers.authorization] = true end end
    assert.same({ ["Bearer " .. canary.good] = true }, used)
    assert.equal(0, g:metric [[lunette_key_in_use{provider="a",key="ONE"}]])
    assert.equal(1, g:metric [[lunette_key_in_use{provider="a",key="TWO"}]])
    e2e.eventually("it is said", function() return g.process:said():find("does not accept the key ONE (401)", 1, true) end)
    clean(g.process:said() .. g:metrics())
  end)

  it("does not hold the start up where there is no network, or nobody answers", function()
    local silent = e2e.puppet()
    for _, url in ipairs { "http://127.0.0.1:1/v1", "http://nowhere.invalid/v1", silent.url } do
      local g = e2e.gateway { config = config, env = { A = url, ONE = canary.bad, TWO = canary.good } }
      e2e.eventually("it is ready", function() return g:request({ path = "/health/readiness" }).status == 200 end)
      assert.truthy(g.process:said():find("the key ONE could not be checked", 1, true))
      assert.equal(1, g:metric [[lunette_key_in_use{provider="a",key="ONE"}]])
      clean(g.process:said())
      g:stop()
    end
  end)

  it("asks about a key that a reload brought", function()
    local a, folder = e2e.provider(asked_for_keys), e2e.folder()
    e2e.write(folder .. "/TWO", canary.good)
    local g = e2e.gateway { config = config, env = { A = a.url, ONE = canary.new, CREDENTIALS_DIRECTORY = folder } }
    e2e.write(folder .. "/TWO", canary.bad)
    assert.equal(200, g:reload().status)
    e2e.eventually("the new key is out", function() return g:metric [[lunette_key_in_use{provider="a",key="TWO"}]] == 0 end)
    for _ = 1, 4 do assert.equal("fine", g:chat({}).text) end
    clean(g.process:said())
  end)
end)

local turned_off = [[return { limits = { retries = false },
  providers = { a = { base_url = env "A", key = secret "KEY", health = %s } },
  models = { m = { { provider = "a", model = "x" } } } }]]
describe("health = false", function()
  teardown(e2e.stop)
  it("takes nothing out, also what was taken out before", function()
    local a = e2e.provider [[local n = 0
      return function(request) if request.method == "GET" then return { status = 404 } end
        n = n + 1 if n == 1 then return { status = 401 } end return { text = "fine" } end]]
    local g = e2e.gateway { config = turned_off:format "{}", env = { A = a.url, KEY = "sk-x", LUNETTE_WATCH = "false" }, workers = 1 }
    assert.equal(502, g:chat({}).status)
    assert.equal(502, g:chat({}).status)
    assert.equal(200, g:reload({ ["gateway.lua"] = turned_off:format "false" }).status)
    local answer = g:chat {}
    assert.equal(200, answer.status)
  end)
end)

-- The commands to a running gateway, against an admin interface that the test plays itself: what they ask, what they print, how they end.
local e2e = require "support"
local unix = require "socket.unix"
local realpath = require("posix.stdlib").realpath

local program = realpath(e2e.lunette)
local version = "support.lua@a1b2c3d4e5f6"

-- Answers one call: a status and a table (JSON) or a text.
local function answer(call, status, body)
  body = type(body) == "table" and e2e.json.encode(body) or body
  call:head(status, { ["content-type"] = "application/json", ["content-length"] = #body })
  call:send(body)
  call.c:close()
end

-- Runs a command with the puppet's address in LUNETTE_ADMIN and answers its calls one after the other: { status, body } each. Gives the
-- exit status, what it printed, what it complained of, and the calls.
local function ask(arguments, answers, env)
  local puppet = e2e.puppet()
  local all = { LUNETTE_ADMIN = "127.0.0.1:" .. puppet.port }
  for name, value in pairs(env or {}) do all[name] = value end
  local process = e2e.start({ program, unpack(arguments) }, all)
  local calls = {}
  for i, a in ipairs(answers) do
    calls[i] = puppet:accept()
    answer(calls[i], unpack(a))
  end
  local status = process:wait()
  assert.truthy(puppet:quiet())
  return status, process.buffer, process:stderr(), calls, puppet
end

-- Runs it in a folder of its own, which holds this gateway.lua.
local function run_in(config, arguments, env)
  local folder = e2e.folder()
  if config then e2e.write(folder .. "/gateway.lua", config) end
  return e2e.run({ "sh", "-c", "cd " .. folder .. " && exec " .. program .. " " .. arguments }, env)
end

local settings = { settings = {
  { name = "share", value = 15, default = 5, min = 0, max = 100 }, { name = "mode", value = "fast", default = "slow" },
  { name = "off", value = true, default = false }, { name = "least", value = 1, default = 1, min = 0 }, { name = "most", value = 2, default = 2, max = 9 },
} }

describe("lunette reload", function()
  after_each(e2e.stop)

  it("says which version runs now, what to look at, and what needs a restart", function()
    local status, out, err, calls = ask({ "reload" }, { { 200, { version = version, generation = 7, changed = true, restart = { "listen", "workers" },
                                                                warnings = { "policy.lua:3: a", "b" } } } })
    assert.same({ 0, "" }, { status, err })
    assert.equal(version .. " (generation 7)\nwarning: policy.lua:3: a\nwarning: b\nneeds a restart: listen, workers\n", out)
    assert.same({ "POST", "/admin/reload", "" }, { calls[1].method, calls[1].path, calls[1].body })
    assert.is_nil(calls[1].headers["content-type"])
    assert.is_nil(calls[1].headers.authorization)
  end)

  it("says that nothing has changed", function()
    local status, out = ask({ "reload" }, { { 200, '{"version":"' .. version .. '","generation":7,"changed":false,"restart":[],"warnings":[]}' } })
    assert.same({ 0, "unchanged: " .. version .. " (generation 7)\n" }, { status, out })
  end)

  it("--force asks for it", function()
    local _, _, _, calls = ask({ "reload", "--force" }, { { 200, { version = version, generation = 8, changed = true } } })
    assert.equal("/admin/reload?force=true", calls[1].path)
  end)

  it("says on stderr, one per line, why a version was not taken: status 1", function()
    for _, code in ipairs { 422, 503 } do
      local status, out, err = ask({ "reload" }, { { code, { errors = { "policy.lua:4: one", "gateway.lua:5: two" } } } })
      assert.same({ 1, "", "policy.lua:4: one\ngateway.lua:5: two\n" }, { status, out, err })
    end
  end)

  it("--json prints what came, a refusal too", function()
    local text = '{"version":"v",  "generation":7,"changed":true}'
    local status, out, err = ask({ "reload", "--json" }, { { 200, text } })
    assert.same({ 0, text .. "\n", "" }, { status, out, err })
    status, out, err = ask({ "reload", "--json" }, { { 422, '{"errors":["a"]}' } })
    assert.same({ 1, '{"errors":["a"]}\n', "" }, { status, out, err })
  end)

  it("says who asks", function()
    local _, _, _, calls = ask({ "reload" }, { { 200, { version = version, generation = 1, changed = true } } })
    local by = calls[1].headers["x-lunette-by"]
    assert.truthy(by:match "^[!-~]+@[!-~]*$")
    assert.truthy(#by <= 64)
  end)

  it("shows nothing that could work a terminal", function()
    local status, out, err = ask({ "reload" }, { { 422, '{"errors":["a\\u001b[31m\\nb\\u009b \\u00fc"]}' } })
    assert.same({ 1, "", "a\\x1b[31m\\x0ab\\x9b ü\n" }, { status, out, err })
  end)
end)

describe("lunette rollback", function()
  after_each(e2e.stop)

  it("says where it went and from where", function()
    local back = { version = version, generation = 8, changed = true, from = "support.lua@0", warnings = { "w" } }
    local status, out, err, calls = ask({ "rollback" }, { { 200, back } })
    assert.same({ 0, version .. " (generation 8) instead of support.lua@0\nwarning: w\n", "" }, { status, out, err })
    assert.same({ "POST", "/admin/rollback" }, { calls[1].method, calls[1].path })
  end)

  it("says that there is nothing to go back to: status 1", function()
    local status, out, err = ask({ "rollback" }, { { 409, { errors = { "there is no earlier version" } } } })
    assert.same({ 1, "", "there is no earlier version\n" }, { status, out, err })
  end)
end)

describe("lunette set", function()
  after_each(e2e.stop)

  it("without arguments shows the settings as a table", function()
    local status, out, err, calls = ask({ "set" }, { { 200, settings } })
    assert.same({ 0, "", "GET", "/admin/settings" }, { status, err, calls[1].method, calls[1].path })
    assert.is_nil(calls[1].headers["x-lunette-by"])
    assert.equal("name   value  default  allowed\nshare  15     5        0 to 100\nmode   fast   slow\noff    true   false\n" ..
                 "least  1      1        at least 0\nmost   2      2        at most 9\n", out)
    status, out = ask({ "set" }, { { 200, '{"settings":[]}' } })
    assert.same({ 0, "The policy has no settings.\n" }, { status, out })
    status, out = ask({ "set", "--json" }, { { 200, '{"settings": []}' } })
    assert.same({ 0, '{"settings": []}\n' }, { status, out })
  end)

  it("sends numbers, true and false as such, the rest as text, nothing as null, and text where the setting is one", function()
    local done = { settings = { { name = "share", before = 5, value = 15 } }, kept = true, warnings = {} }
    local words = { "set", "share=1.5e1", "mode=5", "off=false", "least=", "most=five", "new=a=\"b\"", "odd=null", "blank= 5" }
    local status, out, err, calls = ask(words, { { 200, settings }, { 200, done } })
    assert.same({ 0, "share: 5 -> 15\n", "" }, { status, out, err })
    assert.same({ "POST", "/admin/settings", "application/json" }, { calls[2].method, calls[2].path, calls[2].headers["content-type"] })
    assert.equal('{"share":1.5e1,"mode":"5","off":false,"least":null,"most":"five","new":"a=\\"b\\"","odd":"null","blank":" 5"}', calls[2].body)
    assert.truthy(calls[2].headers["x-lunette-by"])
  end)

  it("prints before and after, warnings, and what a restart forgets", function()
    local _, out = ask({ "set", "off=true" }, { { 200, settings }, { 200, '{"settings":[{"name":"off","before":false,"value":true},' ..
                       '{"name":"mode","before":"a b","value":"c"}],"kept":false,"warnings":["w"]}' } })
    assert.equal("off: false -> true\nmode: a b -> c\nwarning: w\nnot kept: a restart forgets it\n", out)
  end)

  it("says what a value must be: status 1, and does not ask on when it is refused the settings", function()
    local status, out, err = ask({ "set", "share=500" }, { { 200, settings }, { 422, { errors = { "share: must be a number from 0 to 100" } } } })
    assert.same({ 1, "", "share: must be a number from 0 to 100\n" }, { status, out, err })
    status, out, err = ask({ "set", "share=5" }, { { 403, { errors = { "no" } } } })
    assert.same({ 1, "", "no\n" }, { status, out, err })
  end)

  it("refuses what is not name=value before it asks: status 2", function()
    for words, why in pairs { share = "`share` is not name=value", ["=5"] = "`=5` is not name=value",
                              ["a=1 b=2 a=3"] = "`a=3`: that setting was named before" } do
      local list = { "set" }
      for word in words:gmatch "%S+" do list[#list + 1] = word end
      local status, out, err = ask(list, {})
      assert.same({ 2, "", "lunette set: " .. why .. "\n" }, { status, out, err })
    end
  end)
end)

describe("a command to a running gateway", function()
  after_each(e2e.stop)
  local rest = 'providers = { a = { base_url = "http://127.0.0.1:1/v1" } }, models = { m = { { provider = "a", model = "x" } } } }'
  local fine = { 200, { version = version, generation = 1, changed = true } }

  it("finds it by --admin, then LUNETTE_ADMIN, then admin of ./gateway.lua", function()
    local puppet = e2e.puppet()
    local config = 'return { admin = "127.0.0.1:%d", ' .. rest
    local folder = e2e.folder()
    for _, case in ipairs { { "--admin 127.0.0.1:" .. puppet.port, "127.0.0.1:1", 1 }, { "", "http://127.0.0.1:" .. puppet.port .. "/", 1 },
                            { "", ":" .. puppet.port, 1 }, { "", "", puppet.port } } do
      e2e.write(folder .. "/gateway.lua", config:format(case[3]))
      local process = e2e.start({ "sh", "-c", "cd " .. folder .. " && exec " .. program .. " reload " .. case[1] }, { LUNETTE_ADMIN = case[2] })
      answer(puppet:accept(), unpack(fine))
      assert.equal(0, process:wait(), process:stderr())
    end
  end)

  it("speaks to a unix socket", function()
    local path = e2e.folder() .. "/admin.sock"
    local listener = assert(unix.stream and unix.stream() or unix())
    assert(listener:bind(path))
    assert(listener:listen())
    listener:settimeout(e2e.limit)
    local process = e2e.start({ program, "reload", "--admin", "unix:" .. path })
    local c = assert(listener:accept())
    c:settimeout(e2e.limit)
    local head = {}
    repeat
      local line = assert(c:receive "*l")
      head[#head + 1] = line:lower()
    until line == ""
    local body = e2e.json.encode(fine[2])
    c:send("HTTP/1.1 200 OK\r\ncontent-length: " .. #body .. "\r\nconnection: close\r\n\r\n" .. body)
    c:close()
    listener:close()
    assert.equal(0, process:wait(), process:stderr())
    assert.equal("post /admin/reload http/1.1", head[1])
    assert.truthy(table.concat(head, "\n"):find("host: localhost", 1, true))
  end)

  it("shows its token to the gateway alone", function()
    local status, out, err, calls = ask({ "reload" }, { fine }, { LUNETTE_ADMIN_TOKEN = "sesame-sesame" })
    assert.same({ 0, "Bearer sesame-sesame" }, { status, calls[1].headers.authorization })
    assert.is_nil((out .. err):find "sesame")
    status, out, err = ask({ "reload" }, { { 401, { errors = { "needs a token" } } } }, { LUNETTE_ADMIN_TOKEN = "sesame-sesame" })
    assert.same({ 1, "", "needs a token\nlunette reload: the token in LUNETTE_ADMIN_TOKEN is not that of this gateway\n" }, { status, out, err })
    status, out, err = ask({ "reload" }, { { 401, { errors = { "needs a token" } } } })
    assert.same({ 1, "", "needs a token\nlunette reload: set LUNETTE_ADMIN_TOKEN to the gateway's admin_token\n" }, { status, out, err })
    status, out, err = ask({ "reload" }, {}, { LUNETTE_ADMIN_TOKEN = "ses\name" })
    assert.same({ 2, "", "lunette reload: LUNETTE_ADMIN_TOKEN holds a control character\n" }, { status, out, err })
  end)

  it("takes no proxy of the environment", function()
    local status = ask({ "reload" }, { fine }, { http_proxy = "http://127.0.0.1:1", all_proxy = "http://127.0.0.1:1" })
    assert.equal(0, status)
  end)

  it("says whom it did not reach and how to name another: status 1", function()
    local puppet = e2e.puppet()
    puppet.listener:close()
    for _, words in ipairs { { "reload" }, { "rollback" }, { "set" }, { "set", "a=1" } } do
      local address = "127.0.0.1:" .. puppet.port
      local status, out, err = e2e.run({ program, unpack(words) }, { LUNETTE_ADMIN = address })
      assert.same({ 1, "" }, { status, out })
      for _, part in ipairs { "lunette " .. words[1], address, "Connection refused", "--admin ADDR", "LUNETTE_ADMIN", "gateway.lua" } do
        assert(err:find(part, 1, true), err)
      end
    end
    local status, _, err = e2e.run({ program, "reload", "--admin", "unix:/nowhere/admin.sock" }, {})
    assert.equal(1, status)
    assert.truthy(err:find("no gateway answers at unix:/nowhere/admin.sock", 1, true))
  end)

  it("is not taken in by another server, nor by one that breaks off", function()
    for _, other in ipairs { { 200, "<html>" }, { 404, "nothing" }, { 200, "[]" }, { 302, "{}" }, { 500, '{"errors":[]}' } } do
      local status, out, err = ask({ "reload" }, { other })
      assert.same({ 1, "" }, { status, out })
      assert(err:find("is no gateway's admin interface: status " .. other[1], 1, true), err)
    end
    local status, _, err = ask({ "reload" }, { { 404, { error = { message = "There is nothing at this path." } } } })
    assert.same({ 1, "There is nothing at this path.\n" }, { status, err })
    local puppet = e2e.puppet()
    local process = e2e.start({ program, "reload", "--admin", "127.0.0.1:" .. puppet.port })
    local call = puppet:accept()
    call:head(200, { ["content-length"] = 100 })
    call:send '{"version":'
    call.c:close()
    assert.equal(1, process:wait())
    assert.truthy(process:stderr():find("did not answer", 1, true))
    assert.truthy(puppet:quiet())           -- and it was asked once
  end)

  it("says why ./gateway.lua gives no address: status 1", function()
    local good = "return { %s " .. rest
    for _, case in ipairs { { nil, "there is no ./gateway.lua" }, { "return {", "cannot be loaded" }, { good:format "admin = false,", "has no `admin`" },
                            { good:format 'admin = "127.0.0.1:0",', "port 0" } } do
      local status, out, err = run_in(case[1], "reload", {})
      assert.same({ 1, "" }, { status, out })
      for _, part in ipairs { "lunette reload: ", case[2], "--admin ADDR" } do assert(err:find(part, 1, true), err) end
    end
  end)

  it("refuses wrong use: status 2", function()
    for _, address in ipairs { "nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:123456", "ftp://127.0.0.1:1", "user@127.0.0.1:1",
                              "unix:", "127.0.0.1:1/x" } do
      local status, out, err = e2e.run { program, "reload", "--admin", address }
      assert.same({ address, 2, "" }, { address, status, out })
      assert(err:find("is no address", 1, true), err)
    end
    for _, name in ipairs { "set", "reload", "rollback" } do
      for _, words in ipairs { { "--nonsense" }, { "--admin" } } do
        local status, out, err = e2e.run { program, name, unpack(words) }
        assert.same({ 2, "" }, { status, out })
        assert(err:find("usage: lunette " .. name, 1, true), err)
      end
      local status, out, err = e2e.run { program, name, "--help" }
      assert.same({ 0, "" }, { status, err })
      for _, word in ipairs { "usage: lunette " .. name, "--admin", "--json", "LUNETTE_ADMIN_TOKEN" } do assert(out:find(word, 1, true), word) end
    end
    assert.equal(2, (e2e.run { program, "reload", "again" }))
    assert.equal(2, (e2e.run { program, "rollback", "again" }))
  end)
end)

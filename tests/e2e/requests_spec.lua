-- What the admin listener remembers of requests that are over.
local e2e = require "support"

local provider, gateway
local function start(log)
  provider = e2e.provider [[return function(request, n)
    if request.text == "fail" then return { status = 500, headers = { ["x-request-id"] = "failed-" .. n } } end
    return { text = "an answer", headers = { ["x-request-id"] = "made-" .. n }, usage = { input = 3, output = 2 } }
  end]]
  gateway = e2e.gateway {
    env = { A = provider.url, LUNETTE_LOG_REQUESTS = log == false and "" or nil }, workers = 2,
    config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "x" } } },
      limits = { attempts = 1 }, log = { text = true } }]],
  }
end

local function named(id)
  return e2e.eventually("request " .. id .. " is remembered", function()
    local answer = e2e.request(gateway.admin, { path = "/admin/requests/" .. id })
    return answer.status == 200 and answer.json.request
  end)
end
local function id_of(answer) return answer.headers["x-lunette-request-id"] end

describe("requests that are over", function()
  setup(start)
  teardown(e2e.stop)

  it("are told the latest first, as many as were asked for, with the fields of their log lines but for message text", function()
    local ids = {}
    for i = 1, 5 do
      ids[i] = id_of(gateway:chat { text = "question " .. i })
      named(ids[i])
    end
    local last = gateway:look "requests?n=3".requests
    assert.same({ 3, ids[5], ids[4], ids[3] }, { #last, last[1].id, last[2].id, last[3].id })
    local line = gateway:line(ids[5])
    assert.equal("question 5", line.text)
    line.text = nil
    assert.same(line, last[1])
    assert.is_true(#gateway:look "requests?n=1000".requests >= 5)
    assert.same({}, gateway:look "requests".requests)           -- those under way
  end)

  it("are found by our id, by the client's own, and by that of a provider that was asked", function()
    local mine = gateway:chat { headers = { ["x-request-id"] = "mine 1/2" } }
    local other = gateway:chat { headers = { ["x-client-request-id"] = "other" } }
    local failed = gateway:chat { text = "fail", headers = { ["x-request-id"] = "" } }
    assert.equal(id_of(mine), named("mine%201%2F2").id)
    assert.equal("mine 1/2", gateway:line(mine).client_request_id)
    assert.equal(id_of(other), named("other").id)
    assert.equal(id_of(failed), named(gateway:line(failed).attempts[1].provider_request_id).id)
    assert.is_nil(gateway:line(failed).client_request_id)
    assert.equal(id_of(mine), named(id_of(mine)).id)
  end)

  it("are the latest of a name that came twice, and a long name is cut", function()
    gateway:chat { headers = { ["x-request-id"] = "twice" } }
    local second = id_of(gateway:chat { headers = { ["x-request-id"] = "twice" } })
    named(second)
    assert.equal(second, named("twice").id)
    local long = gateway:chat { headers = { ["x-request-id"] = ("y"):rep(1000) } }
    assert.equal(("y"):rep(128), gateway:line(long).client_request_id)
  end)

  it("are not found by anything else", function()
    named(id_of(gateway:chat {}))
    for _, name in ipairs { "m", "chat", "200", "a/x", "0" } do
      local answer = e2e.request(gateway.admin, { path = "/admin/requests/" .. name })
      assert.same({ 404, "string" }, { answer.status, type(answer.json.errors[1]) }, name)
    end
    for _, query in ipairs { "n=0", "n=", "n=-1", "n=1x", "m=1", "n=99999999999999999999" } do
      assert.equal(400, e2e.request(gateway.admin, { path = "/admin/requests?" .. query }).status, query)
    end
  end)

  it("are bounded in number: the oldest are forgotten", function()
    local first = id_of(gateway:chat {})
    named(first)
    local connection = gateway:connect()
    local body = '{"model":"none","messages":[]}'
    local request = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: " .. #body .. "\r\n\r\n" .. body
    for _ = 1, 20 do
      connection:send(request:rep(50))
      for _ = 1, 50 do assert.equal(404, e2e.receive(connection).status) end
    end
    assert.equal(404, e2e.request(gateway.admin, { path = "/admin/requests/" .. first }).status)
    connection:close()
    local all = gateway:look "requests?n=999999".requests
    assert.equal(1000, #all)
    assert.same({ "model_not_found", 404 }, { all[1].code, all[1].status })
  end)
end)

describe("without a request log", function()
  teardown(e2e.stop)

  it("they are remembered all the same", function()
    start(false)
    local answer = gateway:chat {}
    assert.same({ "m", 200 }, { named(id_of(answer)).model, named(id_of(answer)).status })
    assert.is_nil(io.open(gateway.folder .. "/requests.jsonl"))
  end)
end)

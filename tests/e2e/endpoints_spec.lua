-- The public paths: who may ask, for what, in which form; and what of a question reaches the provider.
local e2e = require "support"
local null = e2e.json.null

local provider, gateway
local function start()
  provider = e2e.provider [[return function(request)
    if request.path == "/models" then return { body = { object = "list", data = {} } } end
    return { text = "up says " .. (request.text ~= "" and request.text or "nothing") }
  end]]
  gateway = e2e.gateway {
    env = { A = provider.url, APP = e2e.hash "key", NARROW = e2e.hash "narrow-key", SOLE = e2e.hash "sole-key" },
    config = [[return {
      providers = { a = { base_url = env "A" }, b = { base_url = env "A" } },
      models = { m = { { provider = "a", model = "up" } }, ["deepseek-v3.2"] = { { provider = "b", model = "ds" } },
                 ["open/*"] = { { provider = "a", model = "vendor/*" } }, ["x/y z"] = { { provider = "b", model = "xyz" } } },
      clients = { { name = "app", hash = env "APP" },
                  { name = "narrow", hash = env "NARROW", models = { "m", "open/small*" }, expose = false },
                  { name = "sole", hash = env "SOLE", substitute = false } },
      policy = "policy.lua" }]],
    files = { ["policy.lua"] = [[return { select = function(request, targets)
      if request.user == "elsewhere" then return targets:of "deepseek-v3.2" end
    end }]] },
  }
end

local function ask(options)
  options.headers = options.headers or { authorization = "Bearer key" }
  return gateway:request(options)
end
local function chat(body, key)
  return ask { path = "/v1/chat/completions", headers = { authorization = "Bearer " .. (key or "key") }, body = body }
end
local function question(more)
  local body = { model = "m", messages = { { role = "user", content = "hello" } } }
  for name, value in pairs(more or {}) do body[name] = value end
  return body
end
local function last() local seen = provider:seen().last return seen[#seen] end
local function is_error(answer, status, code, param, ...)
  local e = answer.error or {}
  assert.same({ status, code, param or null }, { answer.status, e.code, e.param })
  assert.equal(status, e.status)
  for _, words in ipairs { ... } do assert(e.message:find(words, 1, true), words .. " is not in: " .. e.message) end
end

describe("endpoints", function()
  setup(start)
  teardown(e2e.stop)

  for _, prefix in ipairs { "/v1", "" } do
    it("answer at " .. prefix .. "/chat/completions", function()
      local answer = ask { path = prefix .. "/chat/completions", body = question() }
      assert.equal("up says hello", answer.text)
      assert.same({ "POST", "/chat/completions", "up" }, { last().method, last().path, last().json.model })
    end)

    it("answer at " .. prefix .. "/completions, streaming too", function()
      local answer = ask { path = prefix .. "/completions", body = { model = "m", prompt = "once" } }
      assert.same({ 200, "text_completion" }, { answer.status, answer.json.object })
      assert.equal("/completions", last().path)
      answer = ask { path = prefix .. "/completions", body = { model = "m", prompt = { "once", "twice" }, stream = true } }
      assert.is_true(answer.clean)
      assert.equal("[DONE]", answer.events[#answer.events])
    end)

    it("answer at " .. prefix .. "/embeddings", function()
      for _, input in ipairs { "a", { "a", "b" }, { 1, 2, 3 } } do
        local answer = ask { path = prefix .. "/embeddings", body = { model = "m", input = input } }
        assert.same({ 200, "embedding" }, { answer.status, answer.json.data[1].object })
      end
      assert.equal("/embeddings", last().path)
    end)

    it("answer at " .. prefix .. "/models: the names the key may use, and auto", function()
      local function names(key)
        local list = ask { path = prefix .. "/models", headers = { ["x-api-key"] = key } }.json
        assert.equal("list", list.object)
        local found = {}
        for i, model in ipairs(list.data) do
          assert.same({ id = model.id, object = "model", created = 0, owned_by = "lunette" }, model)
          found[i] = model.id
        end
        table.sort(found)
        return found
      end
      assert.same({ "auto", "deepseek-v3.2", "m", "x/y z" }, names "key")
      assert.same({ "auto", "m" }, names "narrow-key")
    end)

    it("answer at " .. prefix .. "/models/{id}", function()
      for id, path in pairs { m = "m", auto = "auto", ["open/big"] = "open/big", ["open/a b"] = "open%2Fa%20b", ["x/y z"] = "x/y%20z" } do
        assert.same({ id = id, object = "model", created = 0, owned_by = "lunette" }, ask { path = prefix .. "/models/" .. path }.json)
      end
      for _, id in ipairs { "other", "m%00", "m%2", "open", "%6" } do
        local answer = ask { path = prefix .. "/models/" .. id }
        assert(answer.status == 404 or answer.status == 400, id)
        assert.truthy(answer.error)
      end
      is_error(ask { path = prefix .. "/models/deepseek-v3.2", headers = { ["api-key"] = "narrow-key" } }, 404, "model_not_found")
    end)
  end

  it("of health answer everyone", function()
    for _, path in ipairs { "/health", "/health/liveness", "/health/readiness" } do
      local answer = gateway:request { path = path }
      assert.same({ 200, { status = "ok" } }, { answer.status, answer.json })
    end
    assert.equal(404, gateway:request({ path = "/v1/health" }).status)
  end)

  it("of later versions are not there yet", function()
    local words = { "/v1/responses", "not built yet", "/v1/messages", "not built yet", "/v1/messages/count_tokens", "not built yet",
      "/v1/audio/speech", "There is nothing at this path", "/v1/images/generations", "There is nothing at this path" }
    for i = 1, #words, 2 do
      is_error(ask { path = words[i], body = question() }, 404, "not_found", nil, words[i + 1], "/v1/chat/completions")
    end
  end)

  it("never answer metrics on the public listener, nor questions on the other", function()
    assert.equal(404, gateway:request({ path = "/metrics" }).status)
    assert.equal(404, e2e.request(gateway.admin, { path = "/v1/chat/completions", body = question() }).status)
    assert.equal(404, e2e.request(gateway.admin, { path = "/v1/models" }).status)
    assert.equal(200, e2e.request(gateway.admin, { path = "/health" }).status)
  end)
end)

describe("a key", function()
  setup(start)
  teardown(e2e.stop)

  it("is taken from each of the three headers", function()
    for _, header in ipairs { { "authorization", "Bearer key" }, { "Authorization", "bearer key" }, { "authorization", "BEARER   key" },
                              { "x-api-key", "key" }, { "api-key", "key" }, { "X-Api-Key", "key" } } do
      assert.equal(200, gateway:request({ path = "/v1/models", headers = { header } }).status)
    end
  end)

  it("that is said twice is 400, and so is a content-type: each reader would take another one", function()
    for _, headers in ipairs { { { "authorization", "Bearer key" }, { "Authorization", "Bearer zzz" } }, { { "x-api-key", "key" }, { "x-api-key", "key" } },
                               { { "api-key", "key" }, { "content-type", "application/json" }, { "content-type", "text/plain" } } } do
      is_error(gateway:request { path = "/v1/chat/completions", headers = headers, body = "{}" }, 400, "invalid_request", nil, "There are two")
    end
    assert.equal(200, gateway:request({ path = "/v1/models", headers = { { "authorization", "Bearer key" }, { "x-api-key", "other" } } }).status)
  end)

  it("that is missing or unknown gets 401, before anything is read", function()
    local before = provider:count()
    local function with(headers) return gateway:request { path = "/v1/chat/completions", headers = headers, body = "not json" } end
    for _, headers in ipairs { {}, { authorization = "Basic a2V5" }, { authorization = "key" }, { authorization = "Bearer " },
                               { ["x-api-key"] = "" } } do
      is_error(with(headers), 401, "invalid_key", nil, "There is no key", "Bearer")
    end
    for _, key in ipairs { "Key", "keyy", "ke", "key key", "key,key", e2e.hash "key", ("k"):rep(10000) } do
      local answer = with { authorization = "Bearer " .. key }
      is_error(answer, 401, "invalid_key", nil, "The key is not known here")
      assert.equal("authentication_error", answer.error.type)
      assert.is_nil(answer.headers["x-should-retry"])
    end
    assert.equal(401, gateway:request({ path = "/v1/models" }).status)
    assert.equal(401, gateway:request({ path = "/v1/models/m" }).status)
    assert.equal(before, provider:count())
  end)

  it("does not reach the provider", function()
    local headers = { { "authorization", "Bearer key" }, { "x-api-key", "other" }, { "cookie", "c=1" }, { "x-any", "other" } }
    ask { path = "/v1/chat/completions", body = question(), headers = headers }
    for _, header in ipairs(headers) do assert.is_nil(last().headers[header[1]]) end
    for _, value in pairs(last().headers) do assert.is_nil(tostring(value):find "key" or tostring(value):find "other") end
  end)

  it("may use the models it is allowed, and no others", function()
    assert.equal(200, chat(question(), "narrow-key").status)
    assert.equal(200, chat(question { model = "open/small-1" }, "narrow-key").status)
    local answer = chat(question { model = "deepseek-v3.2" }, "narrow-key")
    is_error(answer, 403, "model_not_allowed", "model", "`narrow`", "`deepseek-v3.2`")
    assert.equal("permission_error", answer.error.type)
    is_error(chat(question { model = "open/large" }, "narrow-key"), 403, "model_not_allowed", "model")
  end)

  it("with substitute = false gets the model it asks for, whatever the policy says", function()
    assert.equal("deepseek-v3.2", chat(question { user = "elsewhere" }).headers["x-lunette-model"])
    local answer = chat(question { user = "elsewhere" }, "sole-key")
    assert.same({ 200, "m" }, { answer.status, answer.headers["x-lunette-model"] })
    assert.is_true(gateway:line(answer).notes.plan_empty)
  end)

  it("with expose = false is not told who answered", function()
    local answer = chat(question(), "narrow-key")
    assert.equal(200, answer.status)
    for _, name in ipairs { "model", "target", "provider", "attempts", "fallback" } do
      assert.is_nil(answer.headers["x-lunette-" .. name])
    end
    assert.truthy(answer.headers["x-lunette-request-id"])
    assert.equal("a/up", gateway:line(answer).target)
  end)
end)

describe("a model", function()
  setup(start)
  teardown(e2e.stop)

  it("that is not there gets 404 and the nearest name", function()
    is_error(chat(question { model = "deepseek-v3.1" }), 404, "model_not_found", "model",
             "no model `deepseek-v3.1`", "Did you mean `deepseek-v3.2`?")
    is_error(chat(question { model = "completely other" }), 404, "model_not_found", "model", "GET /v1/models lists them")
    local answer = chat(question { model = "deepseek-v3.1" }, "narrow-key")
    is_error(answer, 404, "model_not_found", "model")
    assert.is_nil(answer.error.message:find("v3.2", 1, true), "a name that the key may not use is not suggested")
  end)

  it("that fits a pattern goes to the provider under its own name", function()
    local answer = chat(question { model = "open/llama-3" })
    assert.equal("vendor/llama-3", last().json.model)
    assert.same({ "open/llama-3", "a/vendor/*" }, { answer.headers["x-lunette-model"], answer.headers["x-lunette-target"] })
  end)

  it("auto leaves the choice to the policy", function()
    local answer = chat(question { model = "auto", user = "elsewhere" })
    assert.same({ "deepseek-v3.2", "ds" }, { answer.headers["x-lunette-model"], last().json.model })
    assert.equal(200, chat(question { model = "auto" }).status)
    assert.equal("a/up", gateway:line(chat(question { model = "auto" }, "narrow-key")).target)
  end)
end)

describe("a body", function()
  setup(start)
  teardown(e2e.stop)

  local tail = [["messages":[{"role":"user","content":"hello"}]}]]

  it("arrives byte for byte but for the model's name", function()
    local sent = '{ "unknown":[1.0e5, "\\u00e9\\/" , {}] ,\n\t"model" : "m","temperature":0.70,' .. tail:sub(1, -2)
                 .. ' , "big":12345678901234567890 }'
    assert.equal(200, chat(sent).status)
    assert.equal((sent:gsub('"m"', '"up"', 1)), last().body)
    assert.equal(200, chat('{"\\u006dodel":"\\u006d",' .. tail).status)
    assert.equal("up", last().json.model)
  end)

  it("needs a model that is a name", function()
    is_error(chat("{" .. tail), 400, "invalid_request", "model", "`model` is missing", "/v1/models")
    is_error(chat('{"model":null,' .. tail), 400, "invalid_request", "model", "missing")
    for _, value in ipairs { "1", "true", "[]", "{}", '""', '"m\\u0000"', '"\\n"', '"\\ud800"', '"m\\u007f"',
                             '"' .. ("m"):rep(257) .. '"' } do
      is_error(chat('{"model":' .. value .. "," .. tail), 400, "invalid_request", "model", "`model` has to be a text")
    end
  end)

  it("may not say twice what it is routed by", function()
    for _, name in ipairs { "model", "stream", "max_tokens", "max_completion_tokens", "n", "messages", "user", "metadata", "tools",
                            "stream_options", "response_format", "prompt_cache_key", "previous_response_id", "service_tier", "system",
                            "input", "prompt", "best_of", "prediction", "functions", "web_search_options", "modalities" } do
      local twice = ('{"%s":null,"model":"m","%s":null,%s'):format(name, name, tail)
      is_error(chat(twice), 400, "invalid_request", name, "`" .. name .. "` occurs twice")
    end
    is_error(chat('{"model":"m","mod\\u0065l":"deepseek-v3.2",' .. tail), 400, "invalid_request", "model", "occurs twice")
    assert.equal(200, chat('{"model":"m","other":1,"other":2,' .. tail).status)
  end)

  it("has fields of the right types", function()
    local function wrong(field, value, ...)
      is_error(chat('{"model":"m","' .. field .. '":' .. value .. "," .. tail), 400, "invalid_request", field, ...)
    end
    for _, value in ipairs { '"true"', "1", "[]" } do wrong("stream", value, "`stream` has to be true or false") end
    for _, value in ipairs { "0", "129", "1.5", '"2"', "-1", "1e400", "[1]" } do
      wrong("n", value, "`n` has to be a whole number from 1 to 128")
    end
    for _, value in ipairs { "-1", "0.5", '"9"', "99999999999", "true" } do
      wrong("max_tokens", value, "whole number")
      wrong("max_completion_tokens", value, "whole number")
    end
    for _, messages in ipairs { "null", '"hello"', "{}", "1" } do
      is_error(chat('{"model":"m","messages":' .. messages .. "}"), 400, "invalid_request", "messages", "a list of messages")
    end
    is_error(chat '{"model":"m"}', 400, "invalid_request", "messages", "has to be there")
    is_error(ask { path = "/v1/embeddings", body = [[{"model":"m"}]] }, 400, "invalid_request", "input", "a text or a list")
    is_error(ask { path = "/v1/completions", body = [[{"model":"m","prompt":{}}]] }, 400, "invalid_request", "prompt", "a text or a list")
  end)

  it("with nulls is as if they were not there", function()
    local nulls = '"stream":null,"n":null,"max_tokens":null,"user":null,"metadata":null,"tools":null,'
    assert.equal(200, chat('{"model":"m",' .. nulls .. tail).status)
  end)

  it("is JSON, or is told where it is not", function()
    for body, at in pairs {
      ["{"] = 1, ['{"model":"m",}'] = 13, ['{"model":"m" "x":1}'] = 13, ["[1]"] = 0, ['"m"'] = 0, ["null"] = 0, ['{"model":"m"}}'] = 13,
      ['{"model":"m","x":tru}'] = 17, ['{"model":"m","x":01}'] = 18, ["{'model':'m'}"] = 1, ['{"model":"\9"}'] = 10, ["\239\187\191{}"] = 0,
      ['{"model":"\255"}'] = 10, ['{"x":"\\x"}'] = 6, ['{"x":NaN}'] = 5, [" "] = 1,
    } do
      local answer = chat(body)
      is_error(answer, 400, "invalid_request", nil, "not a valid JSON object")
      local told = tonumber(answer.error.message:match "at byte (%d+):")
      assert(told and math.abs(told - at) <= 1, body .. " → " .. answer.error.message)
    end
    is_error(ask { path = "/v1/chat/completions", method = "POST" }, 400, "invalid_request", nil, "not a valid JSON object")
  end)

  it("is not nested deeper than 128, nor has numbers longer than 1000", function()
    local function nested(n) return '{"model":"m","x":' .. ("["):rep(n) .. ("]"):rep(n) .. "," .. tail end
    assert.equal(200, chat(nested(127)).status)
    is_error(chat(nested(128)), 400, "invalid_request", nil, "at byte")
    is_error(chat('{"model":"m","x":' .. ("["):rep(100000)), 400, "invalid_request", nil, "at byte")
    assert.equal(200, chat('{"model":"m","x":' .. ("1"):rep(1000) .. "," .. tail).status)
    is_error(chat('{"model":"m","x":' .. ("1"):rep(1001) .. "," .. tail), 400, "invalid_request", nil, "at byte")
  end)

  it("that is wrong never reaches a provider", function()
    local before = provider:count()
    chat "{" chat("{" .. tail) chat(question { model = "nothing" }) chat(question { n = 0 })
    assert.equal(before, provider:count())
  end)
end)

-- Every kind of the closed list, made by real sockets: seen in the log and in /metrics under its name, with what it says of the bill, and
-- hidden from the client wherever the rules say that somebody else may answer.
local e2e = require "support"
local tls = require "tls"

-- What the provider's script does when it is asked for this text. `kind`: how it ends. `only`: "whole" or "stream" (both, when not said).
local answers = {
  { "hangs up before the head", "reset", [[{ cut = "rst" }]] },
  { "cuts a body with a FIN", "cut", [[{ text = "a long enough text", cut = "fin" }]], only = "whole" },
  { "cuts a body in the middle of a chunk", "cut", [[{ text = "a long enough text", cut = "chunk" }]], only = "whole" },
  { "cuts a stream before its first event", "cut", [[{ events = { { raw = ": wait\n\n" } }, cut = "fin" }]], only = "stream" },
  { "ends a stream before its first event", "bad_answer", [[{ events = { { raw = ": wait\n\n" } } }]], only = "stream" },
  { "ends a stream with [DONE] alone", "bad_answer", [[{ events = { "[DONE]" } }]], only = "stream" },
  { "answers HTML", "bad_answer", [[{ body = "<html>hello</html>", headers = { ["content-type"] = "text/html" } }]] },
  { "answers HTML and calls it an event stream", "bad_answer",
    [[{ body = "<html>hello</html>", headers = { ["content-type"] = "text/event-stream" } }]] },
  { "answers half a JSON", "bad_answer", [[{ body = '{"choices":[{' }]] },
  { "answers nothing with 200", "bad_answer", [[{ body = "" }]] },
  { "answers a JSON list", "bad_answer", [=[{ body = "[1,2]" }]=] },
  { "answers an event that is no JSON", "bad_answer", [[{ events = { "hello" } }]], only = "stream" },
  { "answers a whole body where a stream was wanted", "bad_answer", [[{ body = { choices = {} } }]], only = "stream" },
  { "redirects", "bad_answer", [[{ status = 302, body = "{}", headers = { location = "http://127.0.0.1:1/" } }]] },
  { "says 429", "rate_limited", [[{ status = 429, body = { error = { message = "slower" } } }]] },
  { "says rate_limit_error in its first event", "rate_limited",
    [[{ events = { { error = { type = "rate_limit_error" } } } }]], only = "stream" },
  { "says 503", "overloaded", [[{ status = 503 }]] },
  { "says 529", "overloaded", [[{ status = 529 }]] },
  { "says overloaded_error in its first event", "overloaded",
    [[{ events = { { event = "error", data = { error = { type = "overloaded_error" } } } } }]], only = "stream" },
  { "says 500", "server_error", [[{ status = 500 }]] },
  { "says 502 in HTML", "server_error", [[{ status = 502, body = "<html>bad gateway</html>" }]] },
  { "says an error with 200", "server_error", [[{ body = { error = { message = "oh" } } }]] },
  { "says 401", "auth", [[{ status = 401, body = { error = { message = "wrong key sk-abc", code = "invalid_api_key" } } }]] },
  { "says 403", "auth", [[{ status = 403 }]] },
  { "says 402", "quota", [[{ status = 402 }]] },
  { "says insufficient_quota with 429", "quota", [[{ status = 429, body = { error = { code = "insufficient_quota" } } }]] },
  { "says 404", "not_found", [[{ status = 404, body = { error = { code = "model_not_found", message = "no such model" } } }]] },
  { "says 400", "bad_request", [[{ status = 400, body = { error = { message = "temperature is too hot" } } }]] },
  { "says 422", "bad_request", [[{ status = 422, body = { error = { message = "no" } } }]] },
  { "says context_length_exceeded", "too_long", [[{ status = 400, body = { error = { code = "context_length_exceeded" } } }]] },
  { "says in words that it is too long", "too_long",
    [[{ status = 400, body = { error = { message = "This model's maximum context length is 10 tokens" } } }]] },
  { "says 413", "too_long", [[{ status = 413 }]] },
  { "says content_filter", "filtered", [[{ status = 400, body = { error = { code = "content_filter", message = "no" } } }]] },
}

-- What the sockets do, whatever is asked: { what, kind, target }.
local sockets = {
  { "refuses connections", "connect_refused", "refused/x" },
  { "has a name that nobody knows", "dns", "unknown/x" },
  { "speaks no TLS", "tls", "plain/x" },
  { "has a certificate of an unknown CA", "tls", "untrusted/x" },
  { "has a certificate for another name", "tls", "misnamed/x" },
  { "does not accept", "connect_timeout", "deaf/x" },
  { "says nothing", "first_byte_timeout", "slow_first/x", "say nothing" },
  { "says nothing but pings", "first_byte_timeout", "slow_first/x", "ping", only = "stream" },
  { "falls silent behind its head", "idle_timeout", "slow_idle/x", "fall silent", only = "whole" },
  { "drips", "total_timeout", "slow_total/x", "drip" },
  { "has no connection free", "pool_full", "full/x" },
  { "has no turn free in its minute", "pool_full", "limited/x" },
}

-- What happens behind the first word of a stream, when nobody else may answer any more.
local late = {
  { "cut", [[cut = "fin"]] },
  { "cut", [[cut = "chunk"]] },
  { "cut", [[keep = true]], "ends, though nothing was finished" },
  { "idle_timeout", [[stall = true]], target = "slow_idle/x" },
  { "total_timeout", [[stall = true]], target = "slow_total/x" },
  { "bad_answer", [[ "{half" ]] },
  { "overloaded", [[ { error = { type = "overloaded_error", message = "much to do" } } ]] },
  { "server_error", [[ { error = { message = "oh" } } ]] },
}

local billed = {}           -- by kind: what the log is to say
for word in ("connect_refused dns tls connect_timeout pool_full rate_limited overloaded auth quota not_found bad_request too_long")
            :gmatch "%S+" do billed[word] = "no" end
for word in ("first_byte_timeout idle_timeout total_timeout reset cut bad_answer server_error filtered cancelled"):gmatch "%S+" do
  billed[word] = "maybe"
end
local statuses = { rate_limited = 429, pool_full = 429, quota = 429, overloaded = 503, bad_request = 400, too_long = 400, filtered = 400 }

local function script()
  local out = { "local piece = { choices = { { index = 0, delta = { content = \"word \" } } } }\nlocal answers = {\n" }
  for _, case in ipairs(answers) do out[#out + 1] = ("[%q] = function() return %s end,\n"):format(case[1], case[3]) end
  for i, case in ipairs(late) do
    local more = case[2]:find "^ " and "events = { piece, " .. case[2] .. " }" or "events = { piece }, " .. case[2]
    out[#out + 1] = ("[\"late %d\"] = function() return { status = 200, %s } end,\n"):format(i, more)
  end
  out[#out + 1] = [[
    ["say nothing"] = function() return { after = 600, text = "late" } end,
    ["ping"] = function() return { events = { { raw = ": ping\n\n" }, { event = "ping", data = {} } }, stall = true } end,
    ["fall silent"] = function() return { text = "late", stall = true } end,
    ["drip"] = function(request)
      local events = {}
      for i = 1, 100 do events[i] = { raw = ": drip\n\n" } end
      return request.stream and { events = events, every = 0.02 } or { text = "late", stall = true }
    end,
  }
  return function(request)
    local answer = answers[request.text]
    return answer and answer(request) or { text = "from a", usage = { input = 1, output = 1 } }
  end]]
  return table.concat(out)
end

local policy = [[
return { select = function(request, targets)
  local asked = targets:asked()
  return asked:steps { wait = 0, hedge_after = request.text == "hedge" and 0.05 or nil }
end }]]

local config = [[
local targets = { "a", "refused", "unknown", "plain", "untrusted", "misnamed", "deaf", "slow_first", "slow_idle", "slow_total", "full",
                  "limited", "stuck", "puppet" }
local a, front = env "A", env "FRONT"
local models = {}
for _, name in ipairs(targets) do
  local target = { provider = name, model = "x", requests_per_minute = name == "limited" and 1 or nil }
  models[name] = { target, { provider = "good", model = "x" } }
  models[name .. " alone"] = { target }
end
return {
  policy = "policy.lua", health = false, limits = { retries = false }, models = models,
  providers = {
    a = { base_url = a }, good = { base_url = env "GOOD" }, full = { base_url = a, connections = 1 }, limited = { base_url = a },
    stuck = { base_url = a }, puppet = { base_url = env "PUPPET" },
    refused = { base_url = env "REFUSED" }, unknown = { base_url = "http://" .. ("x"):rep(64) .. ".invalid/v1" },
    plain = { base_url = "https" .. a:sub(5) },
    untrusted = { base_url = "https://127.0.0.1:" .. front .. "/v1" },
    misnamed = { base_url = "https://localhost:" .. front .. "/v1", ca = env "CA" },
    deaf = { base_url = env "DEAF", timeouts = { connect = 0.3 } },
    slow_first = { base_url = a, timeouts = { first_byte = 0.3 } }, slow_idle = { base_url = a, timeouts = { idle = 0.3 } },
    slow_total = { base_url = a, timeouts = { total = 0.3 } },
  },
}]]

-- A port that refuses: it is taken, and nobody listens.
local function refused()
  local s = e2e.socket.tcp4()
  s:bind("127.0.0.1", 0)
  local _, port = s:getsockname()
  return "http://127.0.0.1:" .. port .. "/v1", s
end


describe("an attempt at a provider that", function()
  local a, good, g, crowd, occupant, puppet
  local asked = {}                    -- by name of the case: the answer

  local function name_of(what, stream, alone) return what .. (stream and ", streaming" or "") .. (alone and ", alone" or "") end

  -- All questions are sent at once and answered while the next ones are sent: clocks run beside each other.
  local function ask(what, provider, text, only)
    for _, stream in ipairs { false, true } do
      for _, alone in ipairs { false, true } do
        if only ~= (stream and "whole" or "stream") then
          asked[name_of(what, stream, alone)] = g:open { model = provider .. (alone and " alone" or ""), text = text, stream = stream }
        end
      end
    end
  end

  setup(function()
    local ca = tls.authority()
    a, good = e2e.provider(script()), e2e.provider [[return function() return { text = "from good" } end]]
    local front = tls.nginx { cert = ca:certificate "IP:127.0.0.1", to = good.port }
    local refused_url, taken = refused()
    crowd = { taken }
    puppet = e2e.puppet()
    g = e2e.gateway { config = config, files = { ["policy.lua"] = policy }, env = {
      A = a.url, GOOD = good.url, REFUSED = refused_url, DEAF = e2e.deaf(), PUPPET = puppet.url, FRONT = tostring(front.port),
      CA = ca.file } }
    occupant = g:open { model = "full alone", text = "say nothing" }
    g:chat { model = "limited alone", text = "the one of this minute" }
    e2e.eventually("the connection is taken", function() return a:count() == 2 end)
    for _, case in ipairs(answers) do ask(case[1], "a", case[1], case.only) end
    for _, case in ipairs(sockets) do ask(case[1], case[3]:match "^[^/]+", case[4] or "hello", case.only) end
    for i, case in ipairs(late) do
      asked["late " .. i] = g:open { model = (case.target or "a/x"):match "^[^/]+", text = "late " .. i, stream = true }
    end
    for name, visit in pairs(asked) do asked[name] = visit:rest() end
  end)
  teardown(function()
    occupant:leave()
    for _, c in ipairs(crowd) do c:close() end
    e2e.stop()
  end)

  local function check(case, kind, target, stream)
    local answer = asked[name_of(case[1], stream)]
    local line = g:line(answer)
    local first = line.attempts[1]
    assert.equal(target, first.target)
    assert.equal(kind, first.kind, first.detail)
    assert.equal(billed[kind], first.billed)
    if kind == "bad_request" then
      assert.equal(400, answer.status)
      assert.equal(1, #line.attempts)
    else
      assert.equal(200, answer.status, answer.body)
      assert.equal("from good", answer.text)
      assert.equal("good/x", answer.headers["x-lunette-target"])
      assert.equal("2", answer.headers["x-lunette-attempts"])
      assert.equal("true", answer.headers["x-lunette-fallback"])
      assert.is_true(answer.clean)
    end
    local alone = asked[name_of(case[1], stream, true)]
    assert.equal(statuses[kind] or 502, alone.status, alone.body)
    assert.equal(kind, g:line(alone).attempts[1].kind)
    assert.is_true(alone.clean)
    assert.equal("table", type(alone.error))
    if alone.status ~= 400 then assert.matches(kind, alone.error.message, 1, true) end
  end

  for _, case in ipairs(answers) do
    for _, stream in ipairs { false, true } do
      if case.only ~= (stream and "whole" or "stream") then
        it(case[1] .. " ends as " .. case[2] .. (stream and ", streaming" or ""), function() check(case, case[2], "a/x", stream) end)
      end
    end
  end
  for _, case in ipairs(sockets) do
    for _, stream in ipairs { false, true } do
      if case.only ~= (stream and "whole" or "stream") then
        it(case[1] .. " ends as " .. case[2] .. (stream and ", streaming" or ""), function() check(case, case[2], case[3], stream) end)
      end
    end
  end

  for i, case in ipairs(late) do
    it("behind a stream's first word " .. (case[3] or "goes wrong: " .. case[2]:gsub("^ *", "")) .. " ends as " .. case[1], function()
      local answer = asked["late " .. i]
      assert.equal(200, answer.status)
      assert.equal("word ", answer.text)
      assert.equal(case[1] == "overloaded" and "overloaded" or "upstream_failed", answer.code)
      assert.is_nil(answer.clean)
      assert.is_nil(answer.body:find("[DONE]", 1, true))
      local line = g:line(answer)
      assert.equal(1, #line.attempts)
      assert.equal(case[1], line.attempts[1].kind, line.attempts[1].detail)
      assert.is_true(line.torn)
    end)
  end

  it("resets its connection behind a stream's first word ends as cut", function()
    local visit = g:open { model = "puppet", stream = true }
    local call = puppet:accept()
    call:head()
    call:piece "word "
    visit:expect "word "
    call:reset()
    local answer = visit:rest()
    assert.equal("cut", g:line(answer).attempts[1].kind)
    assert.equal("upstream_failed", answer.code)
    assert.is_nil(answer.clean)
  end)

  it("is no longer wanted, because the client left, ends as cancelled", function()
    for _, stream in ipairs { false, true } do
      local before, left = a:count(), a:seen().left
      local visit = g:open { model = "stuck", text = "say nothing", stream = stream }
      e2e.eventually("the provider has it", function() return a:count() == before + 1 end)
      visit:leave()
      e2e.eventually("the provider is left", function() return a:seen().left == left + 1 end)
    end
    local lines = e2e.eventually("both are logged", function()
      local list = {}
      for _, line in ipairs(g:log()) do if line.status == 499 then list[#list + 1] = line end end
      return #list == 2 and list
    end)
    for _, line in ipairs(lines) do
      assert.equal(1, #line.attempts)
      assert.equal("cancelled", line.attempts[1].kind)
      assert.equal("maybe", line.attempts[1].billed)
    end
  end)

  it("is slower than the one started beside it ends as cancelled", function()
    for _, stream in ipairs { false, true } do
      local visit = g:open { model = "puppet", text = "hedge", stream = stream }
      local call = puppet:accept()
      local answer = visit:rest()
      assert.equal("from good", answer.text)
      assert.is_true(call:gone())
      local line = g:line(answer)
      assert.equal("cancelled", line.attempts[1].kind)
      assert.equal("maybe", line.attempts[1].billed)
      assert.is_true(line.attempts[2].hedge)
    end
  end)

  it("is counted in /metrics under the same names", function()
    local counts = {}
    for _, line in ipairs(g:log()) do
      for _, attempt in ipairs(line.attempts) do
        local series = ('lunette_attempts_total{target="%s",kind="%s"}'):format(attempt.target, attempt.kind)
        counts[series] = (counts[series] or 0) + 1
      end
    end
    local metrics = g:metrics()
    for series, n in pairs(counts) do assert.is_truthy(metrics:find(series .. " " .. n .. "\n", 1, true), series .. " is not " .. n) end
  end)

  it("there is one for each kind of the list", function()
    local seen = {}
    for _, line in ipairs(g:log()) do for _, attempt in ipairs(line.attempts) do seen[attempt.kind] = true end end
    for kind in e2e.read("core/state/outcome.h"):gmatch 'X%([%u_]+, +"([%l_]+)"' do
      if kind ~= "skipped" then assert.is_true(seen[kind], "nobody ended as " .. kind) end
    end
  end)
end)

-- /metrics: valid Prometheus text (exposition format 0.0.4), the OpenTelemetry GenAI names, bounded labels, true numbers.
local e2e = require "support"

-- 'a="b",c="d"' with its escapes (\\, \", \n), as a table.
local function labels_of(text, line)
  local list = {}
  while text ~= "" do
    local name, rest = text:match '^([%a_][%w_]*)="(.*)$'
    assert(name and not list[name], "labels: " .. line)
    local value, stop = {}, 1
    while rest:sub(stop, stop) ~= '"' do
      local c = rest:match("^[^\\\n]", stop) or rest:match('^\\[\\"n]', stop) or error("labels: " .. line)
      value[#value + 1], stop = c, stop + #c
    end
    list[name], text = table.concat(value), rest:sub(stop + 1):gsub("^,", "")
  end
  return list
end

-- Reads and checks: families by name, { help, type, samples = { { name, labels, value } } }.
local function parse(text)
  assert(text:sub(-1) == "\n", "the last line has no end")
  local families, current = {}, nil
  local function family_of(name)
    return families[name] or families[name:gsub("_bucket$", "")] or families[name:gsub("_sum$", "")] or families[name:gsub("_count$", "")]
  end
  for line in text:gmatch "([^\n]*)\n" do
    local what, name, rest = line:match "^# (%u+) ([%a_:][%w_:]*) (.+)$"
    if what == "HELP" then
      assert(not families[name], "two HELP of " .. name)
      current = { name = name, help = rest, samples = {}, seen = {} }
      families[name] = current
    elseif what == "TYPE" then
      assert(current and current.name == name and not current.type, "TYPE without its HELP: " .. line)
      assert(rest == "counter" or rest == "gauge" or rest == "histogram", line)
      current.type = rest
    else
      local sample, labels, value = line:match "^([%a_:][%w_:]*)(%b{}) (%S+)$"
      if not sample then sample, labels, value = line:match "^([%a_:][%w_:]*)() (%S+)$" end
      assert(sample, "not a sample: " .. line)
      assert(tonumber(value) or value == "+Inf" or value == "NaN", line)
      local list = labels_of(type(labels) == "string" and labels:sub(2, -2) or "", line)
      assert(family_of(sample) == current, "a sample outside its family: " .. line)
      assert(not current.seen[sample .. tostring(labels)], "twice: " .. line)
      current.seen[sample .. tostring(labels)] = true
      current.samples[#current.samples + 1] = { name = sample, labels = list, value = tonumber(value) or math.huge }
    end
  end
  return families
end

-- Buckets rise up to +Inf, which is the count.
local function check_histogram(family)
  local last, count = {}, {}
  local function key_of(labels)
    local parts = {}
    for name, value in pairs(labels) do if name ~= "le" then parts[#parts + 1] = name .. "=" .. value end end
    table.sort(parts)
    return table.concat(parts, ",")
  end
  for _, sample in ipairs(family.samples) do
    local key = key_of(sample.labels)
    if sample.name:find "_bucket$" then
      local le = sample.labels.le == "+Inf" and math.huge or assert(tonumber(sample.labels.le))
      local before = last[key] or { le = -math.huge, value = 0 }
      assert(le > before.le and sample.value >= before.value, family.name .. " does not rise")
      last[key] = { le = le, value = sample.value }
    elseif sample.name:find "_count$" then count[key] = sample.value end
  end
  for key, bucket in pairs(last) do
    assert(bucket.le == math.huge and bucket.value == count[key], family.name .. ": the last bucket is not the count")
  end
end

local names = {
  lunette_requests_total = "counter", lunette_attempts_total = "counter", lunette_fallbacks_total = "counter",
  lunette_hedges_total = "counter", lunette_retries_denied_total = "counter", lunette_plan_empty_total = "counter",
  lunette_policy_errors_total = "counter", lunette_policy_seconds = "histogram", lunette_cost_usd_total = "counter",
  lunette_requests_in_flight = "gauge", lunette_circuit_open = "gauge", lunette_overhead_seconds = "histogram",
  lunette_connections = "gauge", lunette_refused_total = "counter", lunette_log_dropped_total = "counter", lunette_build_info = "gauge",
  gen_ai_client_token_usage = "histogram", gen_ai_server_request_duration = "histogram",
  gen_ai_server_time_to_first_token = "histogram", gen_ai_server_time_per_output_token = "histogram",
}

describe("metrics", function()
  local gateway
  setup(function()
    local provider = e2e.provider [[return function(request)
      if request.text == "stall" then return { events = { { choices = { { index = 0, delta = { content = "a" } } } } }, stall = true } end
      if request.model == "down" then return { status = 500 } end
      return { text = "one two three", usage = { input = 1000, output = 3 } }
    end]]
    gateway = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" } }, policy = "p.lua", health = { failures = 1 },
        models = { m = { { provider = "a", model = "up", price = { input = 1000, output = 0 } } },
                   ["x/*"] = { { provider = "a", model = "*" } },
                   weak = { { provider = "a", model = "down" }, { provider = "a", model = "up", price = { input = 1000, output = 0 } } },
                   ['odd"\\name'] = { { provider = "a", model = "up3" } } } }]],
      files = { ["p.lua"] = [[local lunette = require "lunette"
        return { classify = function(r)
          lunette.metric("asked", 2)
          if r.user == "fails" then error "oops" end
        end, select = function(r, targets) if r.model == "weak" then return targets:asked() end end }]] },
    }
  end)
  teardown(e2e.stop)

  it("are valid, with each name promised, before anything has happened", function()
    local families = parse(gateway:metrics())
    for name, type in pairs(names) do assert.same({ name, type }, { name, families[name] and families[name].type }) end
  end)

  it("are valid and true after all kinds of things happened", function()
    assert.equal(200, gateway:chat({}).status)
    assert.equal(200, gateway:chat({ stream = true }).status)
    assert.equal(200, gateway:chat({ body = { user = "fails" } }).status)
    assert.equal(200, gateway:chat({ model = "x/some text of a client" }).status)
    assert.equal(200, gateway:chat({ model = 'odd"\\name' }).status)
    assert.equal("true", gateway:chat({ model = "weak" }).headers["x-lunette-fallback"])
    assert.equal(404, gateway:chat({ model = "text of a client" }).status)
    assert.equal(404, gateway:request({ path = "/text/of/a/client" }).status)
    local visit = gateway:open { text = "stall", stream = true }
    visit:expect "content"
    assert.equal(1, gateway:metric "lunette_requests_in_flight")
    visit:leave()
    e2e.eventually("it has left", function() return gateway:metric "lunette_requests_in_flight" == 0 end)

    local text = gateway:metrics()
    local families = parse(text)
    for _, family in pairs(families) do if family.type == "histogram" then check_histogram(family) end end
    assert.is_nil(text:find("of a client", 1, true), "labels hold no text of a client")

    local function value(series) return gateway:metric(series) end
    assert.equal(3, value [[lunette_requests_total{model="m",status="200"}]])
    assert.equal(1, value [[lunette_requests_total{model="m",status="499"}]])
    assert.equal(1, value [[lunette_requests_total{model="x/*",status="200"}]])
    assert.equal(1, value [[lunette_requests_total{model="",status="404"}]])
    assert.equal(1, value [[lunette_requests_total{model="odd\"\\name",status="200"}]])
    assert.equal(1, value [[lunette_refused_total{status="404"}]])
    assert.equal(1, value [[lunette_attempts_total{target="a/down",kind="server_error"}]])
    assert.equal(1, value [[lunette_attempts_total{target="a/up",kind="cancelled"}]])
    assert.equal(1, value [[lunette_fallbacks_total{model="weak"}]])
    assert.equal(1, value [[lunette_circuit_open{target="a/down"}]])
    assert.equal(0, value [[lunette_circuit_open{target="a/up"}]])
    assert.equal(1, value [[lunette_policy_errors_total{hook="classify",reason="error"}]])
    assert.truthy(value [[lunette_policy_asked]] >= 12)
    local function gen_ai(series, labels) return value("gen_ai_" .. series .. "{gen_ai_request_model=" .. labels .. "}") end
    assert.truthy(gen_ai("client_token_usage_count", [["m",gen_ai_provider_name="a",gen_ai_token_type="input"]]) >= 3)
    assert.equal(1, gen_ai("server_request_duration_count", [["weak",gen_ai_provider_name="a",error_type="server_error"]]))
    assert.truthy(gen_ai("server_time_to_first_token_count", [["m",gen_ai_provider_name="a"]]) >= 4)
    assert.equal(1, gen_ai("server_time_per_output_token_count", [["m",gen_ai_provider_name="a"]]))
  end)

  it("are Prometheus text by their type, for GET and HEAD alone", function()
    local answer = e2e.request(gateway.admin, { path = "/metrics" })
    assert.equal("text/plain; version=0.0.4; charset=utf-8", answer.headers["content-type"])
    assert.equal(200, e2e.request(gateway.admin, { path = "/metrics", method = "HEAD" }).status)
    assert.equal(405, e2e.request(gateway.admin, { path = "/metrics", method = "POST", body = "{}" }).status)
    assert.equal(404, e2e.request(gateway.admin, { path = "/metric" }).status)
  end)
end)

-- examples/deploy: Prometheus (Debian's) scrapes a gateway as prometheus.yml says, and every query of the dashboard and of the alerts returns
-- data. Providers misbehave, so that each series is there.
local e2e = require "support"

local deploy = "examples/deploy/"
local token = "a-token-of-32-characters-or-so-x"

local script = [[local asked = {}
  return function(request)
    local text = request.text or ""
    if request.headers.authorization == "Bearer sk-wrong" then return { status = 401 } end
    if request.headers["webhook-id"] then return { status = 410 } end
    if text:find "lie" then return { text = "fine", usage = { input = 20, output = 5000 } } end
    if text:find "dead" or (request.model == "one" and text:find "break") then return { status = 500 } end
    if text:find "limit" then
      asked[text] = (asked[text] or 0) + 1
      if asked[text] == 1 then return { status = 429, headers = { ["retry-after"] = "0" } } end
    end
    if text:find "stall" then return { stall = true } end
    if request.model == "one" and text:find "hedge" then return { text = "late", after = 0.2 } end
    return { text = "fine and good", usage = { input = 20, output = 100 } }
  end]]

local policy = [[local lunette = require "lunette"
  return { limits = { attempts = 4 },
    classify = function(request)
      if request.text:find "oops" then error "oops" end
      return request.text:match "^%a+"
    end,
    select = function(request, targets)
      lunette.canary(request.text:find "dead" and "bad" or "good", request.text)
      if request.text:find "hedge" then return targets:asked():steps { hedge_after = 0.02 } end
      return targets:asked()
    end,
    retry = function(request, attempt) if attempt.kind == "rate_limited" then return lunette.again(0.02) end end }]]

local config = [[return { policy = "p.lua", admin_token = secret "LUNETTE_ADMIN_TOKEN", webhook = env "HOOK",
  canaries = { bad = { stages = { 100 }, every = 3600, samples = 1, errors = 0, p99 = false, probe = false },
               good = { stages = { 50, 100 }, every = 3600, p99 = 60, errors = false, probe = false } },
  cache = { size = "1MiB", ttl = 300 }, budgets = { total = { limit = 2, per = "day" } }, limits = { output = 100 },
  providers = { a = { base_url = env "A", health = false, key = secret "RIGHT" }, gone = { base_url = "http://127.0.0.1:1/v1", health = { failures = 1 },
                             probe = { every = 1 } },
                b = { base_url = env "A", key = { secret "WRONG", secret "RIGHT" } } },
  models = {
    m = { { provider = "a", model = "one", price = { input = 1, output = 2 } }, { provider = "a", model = "two", price = { input = 10, output = 20 } } },
    weak = { { provider = "gone", model = "x", price = { input = 4, output = 4 } }, { provider = "b", model = "three", price = { input = 4, output = 4 } } },
    liar = { { provider = "a", model = "six", price = { input = 1, output = 1 } } },
    opus = { { provider = "a", model = "four", price = { input = 45, output = 45 } } },
    narrow = { { provider = "a", model = "five", requests_per_minute = 1, price = { input = 1, output = 1 } } } } }]]

local function encoded(text) return (text:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end)) end

describe("D3 what examples/deploy watches with", function()
  local g, prometheus, dashboard

  local function admin(path) return e2e.request(g.admin, { path = path, headers = { authorization = "Bearer " .. token } }).body end

  -- The sum over all series of that name.
  local function metric(name)
    local sum = 0
    for line in admin("/metrics"):gmatch "[^\n]+" do
      if line:match "^[%w_]+" == name then sum = sum + tonumber(line:match "(%S+)$") end
    end
    return sum
  end

  local function api(path)
    local answer = e2e.request(prometheus.port, { path = "/api/v1/" .. path })
    return answer.json and answer.json.status == "success" and answer.json.data, answer.body
  end

  -- The samples of an instant query.
  local function query(text)
    local data, body = api("query?query=" .. encoded(text))
    assert.truthy(data, text .. ": " .. tostring(body))
    return data.result
  end

  -- The dashboard's own words stand for times.
  local function spelt(text) return (text:gsub("%$__rate_interval", "1m"):gsub("%$__range", "1m")) end

  local function has_data(text, what)
    local result = query(spelt(text))
    assert.truthy(#result > 0, what .. " has no data: " .. text)
    for _, sample in ipairs(result) do if tonumber(sample.value[2]) and sample.value[2] ~= "NaN" then return result end end
    error(what .. " is no number: " .. text)
  end

  local function start_prometheus()
    local folder = e2e.folder()
    local settings = e2e.read(deploy .. "prometheus/prometheus.yml")
    for what, with in pairs { ["/run/secrets/LUNETTE_ADMIN_TOKEN"] = e2e.write(folder .. "/token", token), ["gateway:4001"] = "127.0.0.1:" .. g.admin,
                              ["scrape_interval: 10s"] = "scrape_interval: 1s", ["evaluation_interval: 10s"] = "evaluation_interval: 1s" } do
      local n
      settings, n = settings:gsub(what:gsub("%p", "%%%0"), with)
      assert.truthy(n >= 1, what)
    end
    e2e.write(folder .. "/prometheus.yml", settings)
    e2e.write(folder .. "/alerts.yml", e2e.read(deploy .. "prometheus/alerts.yml"))
    prometheus = e2e.start { "prometheus", "--config.file=" .. folder .. "/prometheus.yml", "--storage.tsdb.path=" .. folder .. "/data",
                             "--web.listen-address=127.0.0.1:0" }
    prometheus.folder = folder
    prometheus.port = e2e.eventually("Prometheus listens", function()
      return tonumber(prometheus:stderr():match 'msg="Listening on" address=127%.0%.0%.1:(%d+)')
    end)
    e2e.eventually("Prometheus is ready", function() return e2e.request(prometheus.port, { path = "/-/ready" }).status == 200 end)
  end

  -- Prometheus has what the gateway says now.
  local function scraped(name)
    e2e.eventually("Prometheus has scraped it", function()
      local result = query("sum(" .. name .. ")")
      return result[1] and math.abs(tonumber(result[1].value[2]) - metric(name)) < 1e-9
    end)
  end

  local function leave(text, model)
    local visit = g:open { text = text, model = model }
    e2e.eventually("it is under way", function() return metric "lunette_requests_in_flight" == 1 end)
    visit:leave()
    e2e.eventually("it is over", function() return metric "lunette_requests_in_flight" == 0 end)
  end

  local round = 0
  local function traffic()
    round = round + 1
    local function send(n, text, model)
      for i = 1, n do g:chat { model = model, text = ("%s %d of %d"):format(text, i, round) } end
    end
    send(10, "fast")
    send(3, "normal break")
    send(2, "deep limit")
    send(2, "deep hedge")
    send(12, "weak", "weak")
    send(2, "oops")
    send(15, "deep dead")                       -- more than the retry budget allows
    send(1, "best", "opus")
    send(1, "lie", "liar")
    for _ = 1, 2 do g:chat { text = "cached " .. round } end
    g:chat { text = "first", stream = true }
    g:chat { model = "nothing" }
    leave "left stall"
    if round == 1 then g:chat { model = "narrow", text = "narrow" } end
    leave("narrow again " .. round, "narrow")      -- no turn is left in this minute
    g:replace("p.lua", policy .. " nonsense")
    assert.equal(422, g:tell("reload", nil, { authorization = "Bearer " .. token }).status)
    g:replace("p.lua", policy)
  end

  setup(function()
    local provider = e2e.provider(script)
    g = e2e.gateway { config = config, files = { ["p.lua"] = policy }, workers = 2,
                      env = { A = provider.url, HOOK = provider.url .. "/hook",
                              RIGHT = "sk-right", WRONG = "sk-wrong", LUNETTE_ADMIN_TOKEN = token, LUNETTE_WATCH = "false" } }
    dashboard = e2e.json.decode(e2e.read(deploy .. "grafana/lunette.json"))
    start_prometheus()
    scraped "lunette_request_seconds_count"
    traffic()
    scraped "lunette_request_seconds_count"
    scraped "lunette_config_reloads_total"
    traffic()
    scraped "lunette_request_seconds_count"
    scraped "lunette_config_reloads_total"
    e2e.eventually("Prometheus has seen two probes", function() return #query "rate(lunette_probes_total[1m])" > 0 end)
  end)
  teardown(e2e.stop)

  it("is what promtool takes", function()
    for _, command in ipairs { { "promtool", "check", "config", prometheus.folder .. "/prometheus.yml" },
                               { "promtool", "check", "rules", deploy .. "prometheus/alerts.yml" },
                               { "promtool", "test", "rules", deploy .. "prometheus/alerts_test.yml" } } do
      local words = table.concat(command, " ")
      local status, out, err = e2e.run(command)
      assert.equal(0, status, words .. "\n" .. out .. err)
    end
  end)

  it("scrapes with the token, and without it nothing", function()
    assert.equal("1", query 'up{job="lunette"}'[1].value[2])
    assert.equal(401, e2e.request(g.admin, { path = "/metrics" }).status)
  end)

  it("has metrics that promtool finds nothing wrong with", function()
    local path = e2e.write(prometheus.folder .. "/metrics", admin "/metrics")
    local status, out, err = e2e.run { "sh", "-c", "promtool check metrics <" .. path }
    local faults = {}
    for line in (out .. "\n" .. err):gmatch "[^\n]+" do
      if not line:find("gen_ai_", 1, true) and not line:find("lunette_policy_", 1, true) then faults[#faults + 1] = line end
    end
    assert.same({}, faults)
    assert.truthy(status == 0 or status == 3)   -- 3: remarks; the names of gen_ai_ are OpenTelemetry's
  end)

  it("shows data in every panel of the dashboard", function()
    local queries = 0
    for _, panel in ipairs(dashboard.panels) do
      for _, target in ipairs(panel.targets or {}) do
        has_data(target.expr, "the panel " .. panel.title)
        queries = queries + 1
      end
    end
    assert.truthy(queries > 50)
    for _, annotation in ipairs(dashboard.annotations.list) do query(spelt(annotation.expr)) end
  end)

  it("has a panel for what each row of the systems reports", function()
    local found = {}
    for _, panel in ipairs(dashboard.panels) do
      for name in ((panel.description or ""):match "^([A-E]%d[, A-E%d]*):" or ""):gmatch "[A-E]%d" do found[name] = true end
    end
    for _, name in ipairs { "A1", "A2", "A3", "A4", "B1", "B2", "C1", "C2", "C3", "C4", "D1", "D2", "D3", "D4",
                            "D5", "D6", "E1", "E2", "E3", "E4", "E5", "E6" } do
      assert.truthy(found[name], name)
    end
  end)

  it("names no panel twice, lets none lie on another, and asks the datasource that is provisioned", function()
    local ids, titles, cells = {}, {}, {}
    assert.truthy(e2e.read(deploy .. "grafana/datasource.yml"):find("uid: " .. dashboard.panels[2].datasource.uid, 1, true))
    for _, panel in ipairs(dashboard.panels) do
      assert.is_nil(ids[panel.id], panel.title)
      assert.is_nil(titles[panel.title], panel.title)
      ids[panel.id], titles[panel.title] = true, true
      assert.truthy(panel.type == "row" or panel.datasource.uid == "prometheus", panel.title)
      local at = panel.gridPos
      assert.truthy(at.x + at.w <= 24, panel.title)
      for x = at.x, at.x + at.w - 1 do
        for y = at.y, at.y + at.h - 1 do
          local cell = x .. "," .. y
          assert.is_nil(cells[cell], ("%s lies on %s"):format(panel.title, tostring(cells[cell])))
          cells[cell] = panel.title
        end
      end
    end
  end)

  it("evaluates every alert; what each looks at is there", function()
    local rules = e2e.eventually("all rules were evaluated", function()
      local list = {}
      for _, group in ipairs(api("rules").groups) do
        for _, rule in ipairs(group.rules) do
          if rule.health == "unknown" then return nil end
          list[#list + 1] = rule
        end
      end
      return list
    end)
    assert.truthy(#rules >= 19)
    for _, rule in ipairs(rules) do
      assert.equal("ok", rule.health, rule.name .. ": " .. tostring(rule.lastError))
      local left = rule.query:match "^(.*) [<>=]=? [%d%.e+]+$"
      assert.truthy(left, rule.name .. " has no threshold at its end: " .. rule.query)
      has_data(left, rule.name)
    end
  end)

  it("has a page that names each alert, and no other", function()
    local page, rules = {}, {}
    for name in e2e.read(deploy .. "README.md"):gmatch "\n| `(Lunette%w+)` |" do page[name] = true end
    for name in e2e.read(deploy .. "prometheus/alerts.yml"):gmatch "alert: (Lunette%w+)" do rules[name] = true end
    assert.same(rules, page)
    local tests = e2e.read(deploy .. "prometheus/alerts_test.yml")
    for name in pairs(rules) do
      assert.truthy(tests:find("alertname: " .. name .. "\n        exp_alerts:", 1, true), name .. " has no test that it fires")
      assert.truthy(tests:find("alertname: " .. name .. " }", 1, true), name .. " has no test that it does not")
    end
  end)

  it("alerts of what is wrong here, and of nothing else", function()
    local expected = { LunetteProviderDown = "gone", LunetteCircuitOpen = "gone/x", LunetteKeyOut = "b", LunetteErrorRate = "",
                       LunettePolicyFails = "classify", LunetteTargetClosed = "a/six", LunetteWebhookFails = "127.0.0.1:" .. g.admin,
                       LunetteRetriesDenied = "", LunetteCanaryRolledBack = "bad", LunetteReloadRefused = "127.0.0.1:" .. g.admin, LunetteFallbacks = "" }
    local alerts = e2e.eventually("they are noticed", function()
      local found = {}
      for _, alert in ipairs(api("alerts").alerts) do
        local l = alert.labels
        found[l.alertname] = l.provider or l.target or l.canary or l.hook or l.instance or ""
      end
      for name in pairs(expected) do if not found[name] then return nil end end
      return found
    end)
    assert.same(expected, alerts)
  end)

  it("tells in numbers what was sent", function()
    local function number(text) return tonumber(query(text)[1].value[2]) end
    assert.equal(metric "lunette_stage_seconds_count", number "sum(lunette_stage_seconds_count)")
    assert.equal(2 * 10, number 'lunette_label_requests_total{label="fast",result="answered"}')
    assert.equal(2 * 2, number 'lunette_hedges_total{target="a/two"}')
    assert.equal(2, number 'sum(lunette_config_reloads_total{result="refused"})')
    assert.equal(2, number 'lunette_queue_seconds_count{target="a/five"}')
    assert.equal(0, number 'lunette_provider_state{provider="gone"}')
  end)
end)

-- What is written down about requests: the log line, and what clients say of themselves that stands in it.
local e2e = require "support"

local provider, gateway
local function start(log)
  provider = e2e.provider [[return function(request)
    local status = tonumber(request.text)
    if status then return { status = status, body = { error = { message = "because" } } } end
    return { text = "the secret answer", headers = { ["x-request-id"] = "req-1" }, usage = { input = 1000, output = 500, cached = 200 } }
  end]]
  gateway = e2e.gateway {
    env = { A = provider.url, SOME = e2e.hash "some", ALL = e2e.hash "all", NONE = e2e.hash "none" },
    config = [[return {
      providers = { a = { base_url = env "A" } },
      models = { m = { { provider = "a", model = "one", price = { input = 2, output = 8, cached_input = 1 } },
                       { provider = "a", model = "two", name = "second" } }, other = { { provider = "a", model = "three" } } },
      clients = { { name = "some", hash = env "SOME", team = "web", tags = { region = "eu" }, class = "interactive", task = "usual" },
                  { name = "all", hash = env "ALL", trust = { "task", "tags", "budget", "class" } },
                  { name = "none", hash = env "NONE", trust = {}, task = "fixed" } },
      teams = { web = {} }, health = { failures = 1000 },
      policy = "p.lua", ]] .. (log or "") .. [[ }]],
    files = { ["p.lua"] = [[
      local lunette = require "lunette"
      return {
        classify = function(r)
          local seen = { task = r.task or "-", class = r.class or "-", tier = r.tags.tier or "-", region = r.tags.region or "-" }
          if r.headers["x-note"] then lunette.note("seen", seen) end
          return "plain"
        end,
        budget = function(r) if r.task == "narrow" then return lunette.degrade "other" end end,
        select = function(r, targets)
          if r.task == "pick" then lunette.pick { "x", "y" } return targets:named "second" end
          if r.task == "odd" then return targets:of "other" .. targets:named "a/one" end
          return targets:named "a/one" .. targets:named "second"
        end }]] },
  }
end

-- options: key, text, headers, metadata, and what gateway:chat takes
local function chat(options)
  options = options or {}
  local headers = options.headers or {}
  headers.authorization = "Bearer " .. (options.key or "some")
  return gateway:chat { text = options.text, stream = options.stream, model = options.model, headers = headers,
                        body = { metadata = options.metadata, user = options.user, prompt_cache_key = options.cache_key } }
end
local function line(options) return gateway:line(chat(options)) end

describe("the log line", function()
  setup(start)
  teardown(e2e.stop)

  it("says who asked what, what was decided, what was tried and what it came to", function()
    local answer = chat { user = "u-1", cache_key = "s-1", headers = { ["x-lunette-tags"] = "tier=premium" } }
    local l = gateway:line(answer)
    assert.truthy(l.time:match "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$")
    assert.same({ answer.headers["x-lunette-request-id"], "chat", "m", 200, "a/one", "some", "web", "u-1", "s-1", "usual", "interactive" },
                { l.id, l.endpoint, l.model, l.status, l.target, l.key, l.team, l.user, l.session, l.task, l.class })
    assert.same({ tier = "premium", region = "eu" }, l.tags)
    assert.equal(answer.headers["x-lunette-policy"], l.policy)
    assert.same({ "plain" }, l.labels)
    assert.same({ input = 1000, cached = 200, output = 500 }, l.tokens)
    assert.equal(0.0058, l.cost)            -- 800 at 2, 200 at 1, 500 at 8
    assert.equal(answer.headers["x-lunette-cost"], tostring(l.cost))
    for _, name in ipairs { "latency_ms", "ttft_ms", "overhead_ms" } do assert.truthy(l[name] >= 0) end
    assert.equal(1, #l.attempts)
    local a = l.attempts[1]
    assert.same({ "a/one", "ok", 200, 0.0058, "req-1" }, { a.target, a.kind, a.status, a.cost, a.provider_request_id })
    for _, name in ipairs { "at_ms", "ms", "ttft_ms" } do assert.truthy(a[name] >= 0) end
    for _, name in ipairs { "stream", "torn", "fallback", "code", "text" } do assert.is_nil(l[name]) end
  end)

  it("of a stream says so", function()
    local l = line { stream = true }
    assert.same({ true, 200, 500 }, { l.stream, l.status, l.tokens.output })
  end)

  it("of a failure says its code, and each attempt's kind, status and words", function()
    local l = line { text = "500" }
    assert.same({ 502, "upstream_failed", 2 }, { l.status, l.code, #l.attempts })
    assert.is_nil(l.target)
    for i, target in ipairs { "a/one", "second" } do
      local a = l.attempts[i]
      assert.same({ target, "server_error", 500, "maybe", "because" }, { a.target, a.kind, a.status, a.billed, a.detail })
      assert.is_nil(a.ttft_ms)
    end
  end)

  it("of what was refused before a policy saw it says why", function()
    local l = line { model = "nothing" }
    assert.same({ 404, "model_not_found", "nothing", 0 }, { l.status, l.code, l.model, #l.attempts })
    local answer = gateway:request { path = "/v1/embeddings", body = "{", headers = { ["x-api-key"] = "some" } }
    l = gateway:line(answer)
    assert.same({ 400, "invalid_request", "embeddings" }, { l.status, l.code, l.endpoint })
  end)

  it("holds the probability of what was chosen by chance", function()
    local l = line { key = "all", headers = { ["x-lunette-task"] = "pick" } }
    assert.truthy(e2e.json.encode(l.notes):find("0.5", 1, true))
  end)

  it("of an explained request says which targets were left out, and why", function()
    local l = line { key = "all", headers = { ["x-lunette-explain"] = "1", ["x-lunette-task"] = "odd" } }
    assert.same({ second = "the plan does not hold it" }, l.dropped)
    l = line { key = "all", headers = { ["x-lunette-explain"] = "1", ["x-lunette-task"] = "narrow" } }
    assert.same({ ["a/one"] = "the hook `budget` left it out", second = "the hook `budget` left it out" }, l.dropped)
    assert.equal("a/three", l.target)
  end)

  it("of a failed one too", function()
    local l = line { key = "all", text = "500", headers = { ["x-lunette-task"] = "pick" } }
    assert.same({ 502, { ["a/one"] = "the plan does not hold it" } }, { l.status, l.dropped })
  end)

  it("of any other only now and then", function()
    local told = 0
    local c = gateway:connect()
    for _ = 1, 10 do
      c:send(e2e.bytes { path = "/v1/chat/completions", headers = { ["x-api-key"] = "all", ["x-lunette-task"] = "pick" },
                         body = { model = "m", messages = { { role = "user", content = "x" } } } })
      told = told + (gateway:line(assert(e2e.receive(c))).dropped and 1 or 0)
    end
    assert.truthy(told < 5)
  end)

  it("never holds what was said, nor any key", function()
    chat { text = "a very private question" }
    chat { text = "500 a very private question", stream = true }
    local all = e2e.eventually("both are there", function()
      local text = e2e.read(gateway.folder .. "/requests.jsonl")
      return select(2, text:gsub("\n", "")) >= 10 and text
    end)
    for _, words in ipairs { "private", "secret answer", "Bearer" } do assert.is_nil(all:find(words, 1, true)) end
  end)

  it("is at most 700 bytes long, at the median of a normal run", function()
    local lengths = {}
    for i = 1, 21 do
      local answer = chat { text = "question " .. i, user = "user-" .. i, cache_key = "session-" .. i, stream = i % 2 == 0,
                            headers = { ["x-lunette-tags"] = "tier=premium" } }
      local id = gateway:line(answer).id
      lengths[i] = #e2e.read(gateway.folder .. "/requests.jsonl"):match('[^\n]*"id":"' .. id .. '"[^\n]*\n')
    end
    table.sort(lengths)
    assert(lengths[11] <= 700, "the median is " .. lengths[11])
  end)

  it("is one line of JSON each, whatever clients send", function()
    for _, text in ipairs { "a\nb", 'quote " and \\', "\1\2", "\226\128\168", ("x"):rep(300) } do
      chat { key = "all", user = text, metadata = { tags = { [text] = text }, task = text }, cache_key = text, model = text }
      chat { key = "all", headers = { ["x-lunette-tags"] = "a=" .. text:gsub("[%c]", "\t") } }
    end
    gateway:log(20)
    for l in e2e.read(gateway.folder .. "/requests.jsonl"):gmatch "([^\n]*)\n" do assert.is_table(e2e.json.decode(l)) end
  end)

  it("goes into a new file once the old one was moved away and SIGUSR1 came", function()
    local path = gateway.folder .. "/requests.jsonl"
    local first = line {}
    assert(os.rename(path, path .. ".1"))
    gateway.process:signal(e2e.SIGUSR1)
    e2e.eventually("the file is there again", function()
      local f = io.open(path)
      return f and f:close()
    end)
    local answer = chat {}
    gateway:line(answer)
    assert.truthy(e2e.read(path .. ".1"):find(first.id, 1, true))
    assert.is_nil(e2e.read(path .. ".1"):find(answer.headers["x-lunette-request-id"], 1, true))
  end)
end)

describe("what a client says of itself", function()
  setup(start)
  teardown(e2e.stop)

  local headers = { ["x-lunette-task"] = "t", ["x-lunette-class"] = "batch", ["x-lunette-tags"] = "tier=premium , region=us ,x,=y",
                    ["x-note"] = "1" }
  local function copy() local t = {} for k, v in pairs(headers) do t[k] = v end return t end

  it("counts as far as it is trusted: task and tags where nothing is said, but for tags of its own", function()
    local l = line { headers = copy() }
    assert.same({ "t", "interactive", true, nil }, { l.task, l.class, l.notes.ignored_class, l.notes.ignored_task })
    assert.same({ task = "t", class = "interactive", tier = "premium", region = "eu" }, l.notes.seen)
  end)

  it("counts in full where all of it is trusted", function()
    local l = line { key = "all", headers = copy() }
    assert.same({ "t", "batch", "premium" }, { l.task, l.class, l.tags.tier })
    for name in pairs(l.notes) do assert.is_nil(name:find "ignored") end
  end)

  it("is ignored, and noted, where nothing is", function()
    local l = line { key = "none", headers = copy() }
    assert.same({ task = "fixed", class = "-", tier = "-", region = "-" }, l.notes.seen)
    assert.same({ "fixed", true, true, true }, { l.task, l.notes.ignored_task, l.notes.ignored_class, l.notes.ignored_tags })
    assert.is_nil(l.tags)
  end)

  it("may stand in metadata as well", function()
    local metadata = { task = "t", tags = { tier = "gold" }, user_id = "u-2", session_id = "s-2" }
    local l = line { metadata = metadata }
    assert.same({ "t", "gold", "u-2", "s-2" }, { l.task, l.tags.tier, l.user, l.session })
    l = line { key = "none", metadata = metadata }
    assert.same({ "fixed", nil, true }, { l.task, l.tags, l.notes.ignored_tags })
  end)

  it("gives its session by header too", function()
    assert.equal("s-3", line({ headers = { ["x-session-id"] = "s-3" } }).session)
    local one, other = line { text = "same beginning" }, line { text = "same beginning" }
    assert.equal(one.session, other.session)
    assert.not_equal(one.session, line({ text = "another" }).session)
  end)

  it("is not passed on to a provider by header", function()
    chat { headers = copy() }
    local seen = provider:seen().last
    for name in pairs(seen[#seen].headers) do assert.is_nil(name:find "lunette") end
  end)
end)

describe("text in the log", function()
  setup(function() start "log = { text = true }" end)
  teardown(e2e.stop)

  it("is there when it is asked for, cut at 8 KiB", function()
    assert.equal("my question", line({ text = "my question" }).text)
    assert.equal(8192, #line({ text = ("a"):rep(20000) }).text)
  end)
end)

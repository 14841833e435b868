-- The transcripts of policies/README.md: each policy runs there as it does here. `make docs` puts the page right (WRITE_PAGES=1).
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local PAGE = "policies/README.md"
local slow = { text = "too late", after = 60 }
local function limited(seconds) return { status = 429, headers = { ["retry-after"] = tostring(seconds) } } end

local shop = {
  teams = { shop = { budget = { limit = 100, per = "day" } } }, clients = { { name = "ann", team = "shop" } },
  models = { ["gpt-4.1"] = { { provider = "openai", name = "gpt-4.1", price = { input = 0, output = 24 } } },
             ["deepseek-v3.2"] = { { provider = "deepseek", name = "deepseek-v3.2", price = { input = 0, output = 0.84 } } } },
}

local function first_is_slow()
  local n, providers = 0, {}
  local function answer()
    n = n + 1
    return { text = "fine", after = n == 1 and 3 or 0.05 }
  end
  for _, name in ipairs { "deepseek", "moonshot", "google", "openai", "anthropic" } do providers[name] = answer end
  return providers
end

-- What a provider does, where it is not the simulated one that answers after 0.05 s; then who asks what. `spec`: another gateway than that of the example.
local scenes = {
  { "timeout_tiers", "deepseek says nothing for a minute", { deepseek = slow },
    { task = "faq", text = "When do you open?" }, { task = "analysis", text = "Why are sales down?" } },
  { "retry_manager", "openai: 500, 429, then well", { openai = { 500, 429, "fine" } },
    { model = "gpt-4.1", text = "Hello" } },
  { "degradation_chain", "openai is down", { openai = 503 },
    { text = "Phân tích và so sánh hai báo cáo này" }, { text = "Giải thích giúp tôi" }, { text = "Hi" } },
  { "exponential_backoff", "openai: 503 three times", { openai = { 503, 503, 503, "fine" } },
    { model = "gpt-4.1", text = "Hello" } },
  { "failover", "the first of two providers is gone, and is down after five", { first = { fail = "connect_refused" } },
    { text = "Hello" }, n = 6, spec = { targets = { "first", "second" } } },
  { "smart_router", "deepseek is down", { deepseek = 500 },
    { task = "simple_chat", text = "Hello" }, { task = "complex_reasoning", text = "Prove it" }, { task = "fast_response", text = "Quick!" } },
  { "rate_limits", "openai: 429, retry-after 20", { openai = { limited(20), "fine" } },
    { model = "gpt-4.1", text = "Hello" } },
  { "fallback_router", "deepseek is slow, moonshot down", { deepseek = slow, moonshot = 500 },
    { task = "legal", text = "May I?" }, { task = "summarize", text = "In short" } },
  { "load_balancer", "three targets, of which `b` has a full pool of connections", { b = { fail = "pool_full" } },
    { text = "One" }, { text = "Two" }, { text = "Three" }, spec = { targets = { "a", "b", "c" } } },
  { "intelligent_router", "google is down", { google = 500 },
    { text = "Hello" }, { text = "Which algorithm is best?" }, { text = "Hello", tags = { tier = "premium" } } },
  { "cheapest_healthy", "moonshot is down; the floor is 0.7, for code 0.8", { moonshot = 500 },
    { text = "Hello" }, { task = "code", text = "Sort this" }, { task = "legal", text = "May I?" } },
  { "tenant_budget", "team shop has spent 80 of its 100 USD", { openai = { text = "x", usage = { input = 0, output = 3333334 } } },
    { model = "gpt-4.1", text = "Hello" }, spec = shop, before = { model = "gpt-4.1", max_tokens = 3333334 } },
  { "classifier", "google's small model is asked first, then is late", { google = { "complaint", slow } },
    { text = "My kettle leaks" }, { text = "I want a refund" } },
  { "canary", "half of the users are new; moonshot is down", { moonshot = 500 },
    { user = "dora", text = "Hello" }, { user = "ann", text = "Hello" },
    spec = { models = { ["deepseek-v3.2"] = { "deepseek/d" }, ["kimi-k2"] = { "moonshot/k" } }, providers = { deepseek = "fine", moonshot = 500 },
             canaries = { ["kimi-k2"] = { provider = "moonshot", model = "kimi-k2", stages = { 50 } } } } },
  { "canary_policy", "half of the users are routed by the new policy", {},
    { user = "ann", text = "Hello" }, { user = "dora", text = "Hello" },
    spec = { targets = { "a", "b" }, providers = { a = "fine", b = "fine" }, canaries = { router = { probe = false, stages = { 50 } } } } },
  { "interactive_and_batch", "whoever is asked first takes 3 s", first_is_slow(),
    { text = "Hello" }, { text = "Sum up the day", headers = { ["x-lunette-class"] = "batch" } } },
}

local function gateway(scene)
  local g = scene.spec and support.gateway({ policy = "policies/" .. scene[1] .. ".lua", providers = scene[3] }, scene.spec)
    or support.example(scene[1], scene[3])
  if scene.before then g:ask(scene.before) end
  return g
end

local function asked(q)
  local words = {}
  for _, name in ipairs { "model", "task", "user" } do
    if q[name] then words[#words + 1] = name .. " " .. q[name] end
  end
  if q.tags then words[#words + 1] = "tier " .. q.tags.tier end
  if q.headers then words[#words + 1] = "class batch" end
  return ("> %s%s"):format(q.text, #words > 0 and "  (" .. table.concat(words, ", ") .. ")" or "")
end

local function answered(a)
  local words = { ("%d"):format(a.status) }
  if a.target then words[1] = words[1] .. " from " .. a.target end
  if a.labels and a.labels[1] then words[#words + 1] = table.concat(a.labels, " ") end
  if a.fallback then words[#words + 1] = "fallback" end
  words[#words + 1] = ("%.2f s"):format(a.latency)
  if a.headers["x-lunette-warning"] then words[#words + 1] = a.headers["x-lunette-warning"] end
  if a.notes and a.notes.saving then words[#words + 1] = ("saved %.1f %%"):format(a.notes.saving.percent) end
  return "< " .. table.concat(words, ", ")
end

local function put(out, scene)
  out[#out + 1] = ("**[%s](%s.lua)** · %s\n\n```"):format(scene[1], scene[1], scene[2])
  local g = gateway(scene)
  local function one(q)
    local a = g:ask(q)
    out[#out + 1] = asked(q)
    for _, attempt in ipairs(a.attempts or {}) do
      out[#out + 1] = ("  %6.2f s  %-18s %s"):format(attempt.at, attempt.target, attempt.kind .. (attempt.hedge and ", beside it" or ""))
    end
    out[#out + 1] = answered(a)
  end
  for i = 4, #scene do
    for _ = 1, scene.n or 1 do one(scene[i]) end
  end
  out[#out + 1] = "```\n"
end

local function transcripts()
  local out = {}
  for _, scene in ipairs(scenes) do put(out, scene) end
  return table.concat(out, "\n") .. "\n"
end

local function read()
  local file = assert(io.open(PAGE))
  local text = file:read "*a"
  file:close()
  return text
end

it("policies/README.md shows what the policies do", function()
  local page = read()
  local before, shown, after = page:match "^(.*<!%-%- transcripts %-%->\n)(.*)(<!%-%- end of transcripts %-%->.*)$"
  local now = transcripts()
  if os.getenv "WRITE_PAGES" and shown ~= now then
    local file = assert(io.open(PAGE, "w"))
    file:write(before, now, after)
    file:close()
  else
    assert.equal(now, shown)
  end
end)

it("every policy has a transcript", function()
  local seen = {}
  for _, scene in ipairs(scenes) do seen[scene[1]] = true end
  local pipe = assert(io.popen "ls policies/*.lua")
  for path in pipe:lines() do
    local name = path:match "([^/]+)%.lua$"
    assert.is_true(seen[name], "policies/" .. name .. ".lua has no transcript in " .. PAGE)
  end
  pipe:close()
end)

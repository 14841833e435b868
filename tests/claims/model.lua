-- What the experiment supposes, all of it, in figures. Where each comes from, and why, is told in README.md; it was written down before the first run
-- and is not changed to make a claim come true.
local model = {}

---- what is claimed ----

model.claims = {
  saving = 0.85,                                -- of the cost, through routing
  bill = { before = 4200, after = 680 },        -- USD a month
  uptime = { before = 0.962, after = 0.9997 },
  p50 = { before = 0.180, after = 0.065 },      -- seconds to the first byte of an answer
  p99 = { before = 0.420, after = 0.180 },
  requests = 50e6,                              -- a day
}

---- the providers' models ----

-- `p50` and `p99`: to the first token, as measured by one third party in one day, in ms; what counts is their ratio to those of `before`, which has
-- the claimed figures. `rate`: tokens a second afterwards.
model.before = "gpt-4.1"
model.models = {
  ["gpt-4.1"]           = { provider = "openai",    p50 = 726,  p99 = 1946, rate = 44.8 },
  ["gpt-4o-mini"]       = { provider = "openai",    p50 = 536,  p99 = 4461, rate = 105.3 },
  ["claude-sonnet-4.5"] = { provider = "anthropic", p50 = 941,  p99 = 4787, rate = 44.3 },
  ["claude-opus-3.5"]   = { provider = "anthropic", p50 = 1626, p99 = 3797, rate = 70.4 },
  ["gemini-2.5-flash"]  = { provider = "google",    p50 = 477,  p99 = 1309, rate = 235.6 },
  ["deepseek-v3.2"]     = { provider = "deepseek",  p50 = 1479, p99 = 2492, rate = 24.7 },
  ["deepseek-v3"]       = { provider = "deepseek",  p50 = 1479, p99 = 2492, rate = 24.7 },
  ["kimi-k2"]           = { provider = "moonshot",  p50 = 1479, p99 = 2492, rate = 24.7 },
}
-- Slow phases are part of that p99: so much of the traffic, so many times as slow.
model.slow = { share = 0.005, factor = 3, episodes = 2 }

-- Which models count as strong where answers are scored: the data knows two, a weak and a strong one.
model.strong = { ["gpt-4.1"] = true, ["claude-sonnet-4.5"] = true, ["claude-opus-3.5"] = true }

---- how providers fail ----

model.failures = {
  total = 0.038,                                -- of a provider's requests; 1 - 0.962
  brownout = { share = 0.024, fails = 0.5, episodes = 4 },
  limited = { share = 0.010, fails = 0.6, episodes = 8, retry_after = { 1, 20 } },     -- half of the 429 say when to come back
  single = 0.005,                               -- at any time
  cut = 0.0001,                                 -- of streams, in the middle, at any time; those under way when an outage begins are cut too
  common = { share = 0.0007, hits = 0.5 },      -- one cause for several providers: hits each with this chance
  outage = { episodes = 2 },                    -- the rest of the total: nothing works
  forms = {                                     -- of what fails in outages, brown-outs and singly
    { share = 0.25, status = 500, after = { 0.05, 0.5 } },
    { share = 0.15, status = 502, after = { 0.05, 0.5 } },
    { share = 0.25, status = 503, after = { 0.05, 0.5 } },
    { share = 0.05, status = 504, after = { 5, 5 } },
    { share = 0.10, fail = "connect_refused", after = { 0.001, 0.05 } },
    { share = 0.10, cut = "rst", after = { 0.05, 0.5 } },
    { share = 0.10, after = { 3600, 3600 } },   -- says nothing, ever
  },
}

---- the traffic ----

model.traffic = {
  peak = { at = 15, swing = 0.6 },              -- the hour; from 1 - swing to 1 + swing times the mean
  repeats = 0.18,                               -- exactly as an earlier question of the day
  vietnamese = 0.6,
  premium = { users = 0.056, asks = 3 },        -- of all users; so many times as often as others
  users = 2000,
  input = { median = 1020, sigma = 0.9, most = 30000 },        -- tokens, all of the conversation
  output = { median = 129, sigma = 1.0, most = 2000 },
}
-- `words`: median of the question's own; `output`: times the median; `one`, `two`: with one keyword of complexity, with two; `term`: with a technical
-- term; `fence`: with code in it. `class` and `task` are what a client says of it; `tasks`: where a policy has other words.
model.kinds = {
  { share = 0.36, name = "chat",     words = 12, output = 0.7, one = 0.03, two = 0.00, term = 0.01, fence = 0.0, class = "interactive", task = "simple_chat" },
  { share = 0.26, name = "guidance", words = 25, output = 1.2, one = 0.25, two = 0.05, term = 0.04, fence = 0.0, class = "interactive", task = "simple_chat" },
  { share = 0.03, name = "advice",   words = 40, output = 1.2, one = 0.25, two = 0.05, term = 0.00, fence = 0.0, class = "interactive", task = "medical" },
  { share = 0.24, name = "writing",  words = 80, output = 1.3, one = 0.08, two = 0.02, term = 0.02, fence = 0.0, task = "creative_writing",
    tasks = { fallback_router = "writing" } },
  { share = 0.06, name = "code",     words = 60, output = 2.0, one = 0.10, two = 0.03, term = 0.35, fence = 0.7, task = "code_generation",
    tasks = { fallback_router = "code" } },
  { share = 0.05, name = "analysis", words = 60, output = 2.5, one = 0.30, two = 0.70, term = 0.20, fence = 0.0, task = "complex_reasoning" },
}
model.words_sigma = 0.8

return model

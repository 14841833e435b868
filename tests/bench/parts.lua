-- parts.lua: what the parts of a request's work take, each alone, one line each.
local here = debug.getinfo(1, "S").source:match "^@(.*)/"
package.path = here .. "/?.lua;" .. here .. "/../e2e/?.lua;" .. package.path
local e2e, micro, rivals = require "support", require "micro", require "rivals"

local what = { head = "a head of ten fields read",
               copy = "20 KB copied (memcpy)",
               json = "20 KB scanned: whole grammar, UTF-8, the keys that are routed by",
               sse = "60 events of a stream found",
               recognise = "a 1 KB request recognised, tokens estimated",
               decide = "recognised, classified, one of eight selected",
               line = "a line of the request log", metrics = "the metrics of an attempt and its request",
               turn = "64 attempts noted in the journal, read from it, and committed to a ledger",
               predict = "a router asked about 100 words", predict_long = "about 4 KiB, all that it looks at" }

local function tell(name, text, ns, bytes)
  print(("%-12s %9.0f ns %s  %s"):format(name, ns, bytes > 0 and ("%6.2f GB/s"):format(bytes / ns) or "           ", text))
end

local found = {}
for _, name in ipairs { "head", "copy", "json", "sse", "recognise", "decide", "line", "metrics", "turn", "predict", "predict_long" } do
  local ns, bytes = micro.measure(name)
  found[name] = ns
  tell(name, what[name], ns, bytes)
  if name == "json" then tell("cjson", "the same text decoded by lua-cjson", micro.cjson(e2e.read(rivals.body(20480, {}))), bytes) end
end
tell("policy", "classify and select of that", found.decide - found.recognise, 0)
e2e.stop()

-- Requests with bytes changed, lost, doubled and put in, always the same ones: whatever comes, the gateway answers or closes, and goes on.
local e2e = require "support"

local state = 20260
local function random(n)                -- 1 to n; Park and Miller's generator, so that every run is the same
  state = state * 16807 % 2147483647
  return state % n + 1
end

local scraps = { "\r\n", "\n", "\0", " ", ":", ",", "\r\n\r\n", "0\r\n\r\n", "content-length: 5\r\n", "transfer-encoding: chunked\r\n", '"', "{", "[",
                 "\\u0000", "\255", "99999999999999999999", "HTTP/1.1", "x-lunette-budget: 1\r\n", "expect: 100-continue\r\n" }
local function mutate(bytes)
  for _ = 1, random(6) do
    local i, what = random(#bytes), random(5)
    local before, after = bytes:sub(1, i - 1), bytes:sub(i + 1)
    if what == 1 then bytes = before .. string.char(random(256) - 1) .. after
    elseif what == 2 then bytes = before .. bytes:sub(i + random(8))
    elseif what == 3 then bytes = before .. scraps[random(#scraps)] .. bytes:sub(i)
    elseif what == 4 then bytes = bytes:sub(1, i) .. bytes:sub(random(i), i) .. after
    else bytes = #before > 0 and before or bytes end
  end
  return bytes
end

local function chunked(body)
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
         .. body:gsub("..?.?.?.?.?.?", function(part) return ("%x\r\n%s\r\n"):format(#part, part) end) .. "0\r\n\r\n"
end
local body = [[{"model":"m","stream":true,"n":1,"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"h\u00e9"}]}],]]
             .. [["metadata":{"task":"t","tags":{"a":"b"},"budget":"0.5"},"user":"u","tools":[{}],"stream_options":{"include_usage":true}}]]
local whole = e2e.bytes { path = "/v1/chat/completions", body = body, headers = { te = "trailers", ["x-lunette-tags"] = "a=b, c=d" } }
local seeds = { whole, chunked(body), e2e.bytes { path = "/v1/embeddings", body = [=[{"model":"m","input":["a",[1,2]]}]=] },
                e2e.bytes { path = "/v1/models" } .. whole, whole:rep(3) }

describe("whatever bytes come,", function()
  local gateway
  setup(function()
    local provider = e2e.provider [[return function() return { text = "fine" } end]]
    gateway = e2e.gateway {
      env = { A = provider.url }, workers = 2,
      config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } } }]],
    }
  end)
  teardown(e2e.stop)

  it("they are answered or the connection closes, and the gateway goes on", function()
    local statuses = {}
    for _ = 1, 1500 do
      local c = gateway:connect()
      c:send(mutate(seeds[random(#seeds)]))
      c:shutdown "send"
      for _, answer in ipairs((e2e.receive_all(c))) do statuses[answer.status] = (statuses[answer.status] or 0) + 1 end
      c:close()
    end
    assert.truthy(statuses[200] and statuses[400])
    for status in pairs(statuses) do assert(status < 500, status) end
    e2e.eventually("all is over", function()
      return gateway:metric "lunette_requests_in_flight" == 0 and gateway:metric "lunette_connections" == 0
    end)
    assert.equal("fine", gateway:chat({}).text)
    for l in e2e.read(gateway.folder .. "/requests.jsonl"):gmatch "([^\n]*)\n" do assert.is_table(e2e.json.decode(l)) end
    assert.equal(0, gateway:stop())
  end)
end)

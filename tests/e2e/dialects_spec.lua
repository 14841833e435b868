-- Dialects on real sockets: a stream is told by its bytes, as without one, and its last event counts though its empty line is missing.
local e2e = require "support"

local dialect = [[return { request = function(body) return { path = "/odd", body = body } end, answer = function(body) return body end,
  event = function(e)
    return { { id = "c", object = "chat.completion.chunk", choices = { { index = 0, delta = { content = e.data.say }, finish_reason = e.data.stop } } } }
  end }]]
local config = [[return { limits = { retries = false }, providers = { a = { base_url = env "A", dialect = "odd", usage = false } },
  models = { m = { { provider = "a", model = "up" } } } }]]

describe("a dialect's stream", function()
  local a, g
  before_each(function()
    a = e2e.puppet()
    g = e2e.gateway { config = config, env = { A = a.url }, files = { ["dialects/odd.lua"] = dialect } }
  end)
  after_each(e2e.stop)

  for _, type in ipairs { "content-type: text/event-stream\r\n", "content-type: Text/Event-Stream\r\n", "content-type: text/plain\r\n", "" } do
    it("is translated under " .. (type ~= "" and type:sub(1, -3) or "no type"), function()
      local visit = g:open { stream = true }
      local call = a:accept()
      call:send("HTTP/1.1 200 OK\r\n" .. type .. "transfer-encoding: chunked\r\n\r\n")
      call:event { say = "hi" }
      call:event { say = "!", stop = "stop" }
      call:finish()
      local answer = visit:rest()
      assert.is_true(answer.clean)
      assert.equal("hi!", answer.text)
    end)
  end

  it("has its last event though the empty line behind it is missing, and half of one is nothing", function()
    for _, last in ipairs { 'data: {"say":"!","stop":"stop"}\n', 'data: {"say":"!","stop":"stop"}\n\ndata: {"say' } do
      local visit = g:open { stream = true }
      local call = a:accept()
      call:head(200)
      call:event { say = "hi" }
      call:chunk(last)
      call:finish()
      local answer = visit:rest()
      assert.is_true(answer.clean)
      assert.equal("hi!", answer.text)
    end
  end)
end)

-- Requests that two readers could understand in two ways: behind each stands a whole, good request, which must not be served, nor reach the
-- provider. RFC 9112 (messages), RFC 9110 (fields), RFC 3986 (targets).
local e2e = require "support"

local body = [[{"model":"m","messages":[{"role":"user","content":"hidden"}]}]]
local hidden = e2e.bytes { path = "/v1/chat/completions", body = body }

-- A head: request line, then lines; each ends with CRLF. Without a Host line of its own it has one.
local function head(lines, first)
  local all = table.concat(lines, "\r\n")
  local host = all:lower():find("host", 1, true) and "" or "host: x\r\n"
  return (first or "POST /v1/chat/completions HTTP/1.1") .. "\r\n" .. host .. all .. (lines[1] and "\r\n\r\n" or "\r\n")
end

local function line(text) return function() return text .. "\r\nhost: x\r\n\r\n" end end
local function field(...)
  local lines = { ... }
  return function() return head(lines) end
end
-- Two ways to frame this body: the lines, then it.
local function framed(...)
  local lines = { ... }
  return function() return head(lines) .. body end
end
local function chunks(raw)
  return function() return head { "transfer-encoding: chunked" } .. raw end
end
local function raw(bytes) return function() return bytes end end

local n = #body
local length, chunked = "content-length: " .. n, "transfer-encoding: chunked"
local whole = ("%x\r\n%s\r\n"):format(n, body)          -- one chunk, without the last

local forms = {
  { "two lengths that differ", framed(length, "content-length: 0") },
  { "two lengths that agree", framed(length, length) },
  { "two lengths in one field", framed("content-length: " .. n .. ", " .. n) },
  { "a length and another one in one field", framed("content-length: 0, " .. n) },
  { "a length with a plus", framed("content-length: +" .. n) },
  { "a negative length", field "content-length: -1" },
  { "a length of minus zero", field "content-length: -0" },
  { "a hexadecimal length", framed(("content-length: 0x%x"):format(n)) },
  { "a length with blanks inside", framed "content-length: 6 1" },
  { "a length with a fraction", framed("content-length: " .. n .. ".0") },
  { "a length with an exponent", framed "content-length: 1e1" },
  { "a length with an underscore", framed "content-length: 6_1" },
  { "a length with a comma behind", framed(length .. ",") },
  { "a length with a semicolon", framed(length .. ";a=b") },
  { "a quoted length", framed('content-length: "' .. n .. '"') },
  { "an empty length", field "content-length:" },
  { "a length over 64 bits", field "content-length: 18446744073709551616" },
  { "a length over 63 bits", field "content-length: 9223372036854775808" },
  { "a length that wraps to a true one", framed("content-length: 18446744073709551" .. (616 + n)) },
  { "a length with a vertical tab", framed("content-length:\v" .. n) },
  { "a length with a form feed behind", framed(length .. "\f") },
  { "a length with a NUL behind", framed(length .. "\0") },
  { "a length of full-width digits", field "content-length: \239\188\145" },

  { "length, then chunked", framed(length, chunked) },
  { "chunked, then length", framed(chunked, length) },
  { "length 0, then chunked", field("content-length: 0", chunked) },
  { "chunked twice", framed(chunked, chunked) },
  { "chunked twice in one field", framed "transfer-encoding: chunked, chunked" },
  { "chunked, then identity", framed(chunked, "transfer-encoding: identity") },
  { "identity with a length", framed(length, "transfer-encoding: identity") },
  { "gzip, then chunked", framed "transfer-encoding: gzip, chunked" },
  { "chunked, then gzip", framed "transfer-encoding: chunked, gzip" },
  { "gzip alone", framed "transfer-encoding: gzip" },
  { "an unknown coding", framed "transfer-encoding: xchunked" },
  { "a coding that begins with chunked", framed "transfer-encoding: chunkedx" },
  { "chunked with a parameter", framed "transfer-encoding: chunked;q=1" },
  { "chunked with a comma before", framed "transfer-encoding: ,chunked" },
  { "chunked with a comma behind", framed "transfer-encoding: chunked," },
  { "chunked in quotes", framed [[transfer-encoding: "chunked"]] },
  { "an empty coding", framed "transfer-encoding:" },
  { "an empty coding with a length", framed(length, "transfer-encoding:") },
  { "chunked behind a vertical tab", framed "transfer-encoding:\vchunked" },
  { "chunked behind a control character", framed "transfer-encoding: \1chunked" },
  { "chunked before a NUL", framed "transfer-encoding: chunked\0" },
  { "chunked before 0x80", framed "transfer-encoding: chunked\128" },
  { "chunked in HTTP/1.0", function() return head({ chunked }, "POST /v1/chat/completions HTTP/1.0") .. whole .. "0\r\n\r\n" end },
  { "chunked with a long s", framed "transfer-encoding: \197\191hunked" },

  { "a blank before the colon of the length", framed("content-length : " .. n) },
  { "a tab before the colon of the length", framed("content-length\t: " .. n) },
  { "a blank before the colon of the coding", framed "transfer-encoding : chunked" },
  { "a blank before the colon of any field", field "x-any : 1" },
  { "a blank in a name", field "content length: 1" },
  { "a blank before a name", field("x-any: 1", " " .. length) },
  { "a tab before a name", field("x-any: 1", "\t" .. chunked) },
  { "a folded value", field("x-any: 1", "  2") },
  { "a folded coding", field("transfer-encoding:", " chunked") },
  { "a blank before the first field", raw("GET /v1/models HTTP/1.1\r\n host: x\r\n\r\n") },
  { "a line of blanks", field("x-any: 1", "  ", length) },
  { "a field without a colon", field "x-any" },
  { "a field without a name", field ": 1" },
  { "a name with a NUL", field "x\0-any: 1" },
  { "a name with a control character", field "x\1any: 1" },
  { "a name with 0x80", field "x\128any: 1" },
  { "a name with a slash", field "x/any: 1" },
  { "a name in parentheses", field "(x): 1" },
  { "a name in quotes", field [["content-length": 1]] },
  { "a value with a NUL", field "x-any: a\0b" },
  { "a value with a control character", field "x-any: a\1b" },
  { "a value with DEL", field "x-any: a\127b" },
  { "a value with a CR", field "x-any: a\rb" },
  { "a value that ends with two CR", field "x-any: a\r" },
  { "a value with a bare LF, a length behind it", framed("x-any: a\ncontent-length: " .. n) },
  { "a value with a bare LF, a coding behind it", field "x-any: a\ntransfer-encoding: chunked" },
  { "a name with a bare CR before it", field "\rcontent-length: 5" },

  { "lines that end with LF", raw("POST /v1/chat/completions HTTP/1.1\nhost: x\n" .. length .. "\n\n" .. body) },
  { "a request line that ends with LF", raw("POST /v1/chat/completions HTTP/1.1\nhost: x\r\n" .. length .. "\r\n\r\n" .. body) },
  { "a head that ends with CRLF LF", raw("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" .. length .. "\r\n\n" .. body) },
  { "a head that ends with LF LF", raw("GET /v1/models HTTP/1.1\r\nhost: x\n\n") },
  { "a request line that ends with CR", raw("GET /v1/models HTTP/1.1\rhost: x\r\r") },
  { "two empty lines before the request", raw("\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n") },
  { "an LF before the request", raw("\nGET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n") },

  { "two blanks behind the method", line "GET  /v1/models HTTP/1.1" },
  { "two blanks before the version", line "GET /v1/models  HTTP/1.1" },
  { "a tab behind the method", line "GET\t/v1/models HTTP/1.1" },
  { "a blank before the method", line " GET /v1/models HTTP/1.1" },
  { "a blank behind the version", line "GET /v1/models HTTP/1.1 " },
  { "a blank in the target", line "GET /v1/models /x HTTP/1.1" },
  { "no version", line "GET /v1/models" },
  { "no target", line "GET HTTP/1.1" },
  { "no method", line "/v1/models HTTP/1.1" },
  { "HTTP/2.0", line "GET /v1/models HTTP/2.0" },
  { "HTTP/1.2", line "GET /v1/models HTTP/1.2" },
  { "HTTP/0.9", line "GET /v1/models HTTP/0.9" },
  { "HTTP/1.10", line "GET /v1/models HTTP/1.10" },
  { "HTTP/01.1", line "GET /v1/models HTTP/01.1" },
  { "http in small letters", line "GET /v1/models http/1.1" },
  { "another protocol", line "GET /v1/models XTTP/1.1" },
  { "the preface of HTTP/2", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
  { "a method with a NUL", line "GE\0T /v1/models HTTP/1.1" },
  { "a method with a colon", line "GET: /v1/models HTTP/1.1" },
  { "CONNECT", raw("CONNECT 127.0.0.1:80 HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n") },
  { "a target with a NUL", line "GET /v1/models\0 HTTP/1.1" },
  { "a target with 0x80", line "GET /v1/models\128 HTTP/1.1" },
  { "a target with a fragment", line "GET /v1/models#a HTTP/1.1" },
  { "a target with quotes", line [[GET /v1/"models" HTTP/1.1]] },
  { "a target with a backslash", line [[GET /v1\models HTTP/1.1]] },
  { "a target with half a percent", line "GET /v1/models%2 HTTP/1.1" },
  { "a target with a false percent", line "GET /v1/models%zz HTTP/1.1" },
  { "a target without a slash", line "GET v1/models HTTP/1.1" },
  { "a star that is not for OPTIONS", line "GET * HTTP/1.1" },
  { "an absolute target of another scheme", line "GET ftp://x/v1/models HTTP/1.1" },
  { "an absolute target without a host", line "GET http:///v1/models HTTP/1.1" },
  { "an absolute target with a user", line "GET http://a@x/v1/models HTTP/1.1" },
  { "an absolute target of another host", line "GET http://y/v1/models HTTP/1.1" },
  { "an absolute target of another port", line "GET http://x:81/v1/models HTTP/1.1" },

  { "no Host", raw("GET /v1/models HTTP/1.1\r\nx-any: 1\r\n\r\n") },
  { "two Hosts", field("host: x", "host: x") },
  { "two Hosts in one field", field "host: x, y" },
  { "an empty Host", field "host:" },
  { "a Host with a blank", field "host: a b" },
  { "a Host with a user", field "host: a@x" },
  { "a Host with a path", field "host: x/v1" },
  { "a Host with a false port", field "host: x:http" },
  { "a Host with a port over 65535", field "host: x:65536" },
  { "an unknown expectation", field("expect: 200-ok", length) },

  { "a chunk size that is no number", chunks("g\r\n" .. body .. "\r\n0\r\n\r\n") },
  { "an empty chunk size", chunks("\r\n" .. body .. "\r\n0\r\n\r\n") },
  { "a chunk size with a blank before", chunks(" " .. whole .. "0\r\n\r\n") },
  { "a chunk size with a blank behind", chunks(("%x \r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "a chunk size with a tab behind", chunks(("%x\t\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "a chunk size with 0x", chunks("0x" .. whole .. "0\r\n\r\n") },
  { "a chunk size with a plus", chunks("+" .. whole .. "0\r\n\r\n") },
  { "a negative chunk size", chunks("-1\r\n\r\n") },
  { "a chunk size with an underscore", chunks("3_d\r\n" .. body .. "\r\n0\r\n\r\n") },
  { "a chunk size over 64 bits", chunks("1" .. ("0"):rep(16) .. "\r\n\r\n0\r\n\r\n") },
  { "a chunk size that wraps to a true one", chunks(("f"):rep(16) .. "1\r\n\r\n0\r\n\r\n") },
  { "a chunk size of 17 digits", chunks(("0"):rep(16) .. "5\r\n12345\r\n0\r\n\r\n") },
  { "a chunk size that ends with LF", chunks(("%x\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "a chunk size that ends with CR", chunks(("%x\r%s\r\n0\r\n\r\n"):format(n, body)) },
  { "a chunk size with a NUL", chunks(("%x\0\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "a chunk longer than its size", chunks(("%x\r\n%s\r\n0\r\n\r\n"):format(n - 1, body)) },
  { "a chunk shorter than its size", chunks(("%x\r\n%s\r\n0\r\n\r\n"):format(n + 1, body)) },
  { "a chunk that ends with LF", chunks(("%x\r\n%s\n0\r\n\r\n"):format(n, body)) },
  { "a chunk that ends with CR", chunks(("%x\r\n%s\r0\r\n\r\n"):format(n, body)) },
  { "a chunk without an end of its line", chunks(("%x\r\n%s0\r\n\r\n"):format(n, body)) },
  { "a last chunk that ends with LF", chunks(whole .. "0\n\n") },
  { "a last chunk followed by LF", chunks(whole .. "0\r\n\n") },
  { "an extension with a bare LF", chunks(("%x;a\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "an extension with a quoted LF", chunks(("%x;a=\"b\nc\"\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "an extension with a quoted CRLF", chunks(("%x;a=\"b\r\nc\"\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "an extension that is not closed", chunks(("%x;a=\"b\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "an extension without a name", chunks(("%x;\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "an extension behind a blank", chunks(("%x ;a\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "an extension with a control character", chunks(("%x;a=\1\r\n%s\r\n0\r\n\r\n"):format(n, body)) },
  { "extensions without an end", chunks(("%x;a=%s\r\n%s\r\n0\r\n\r\n"):format(n, ("b"):rep(20000), body)) },
  { "a trailer with a length", chunks(whole .. "0\r\ncontent-length: 5\r\n\r\n") },
  { "a trailer with a coding", chunks(whole .. "0\r\ntransfer-encoding: chunked\r\n\r\n") },
  { "a trailer with a Host", chunks(whole .. "0\r\nhost: y\r\n\r\n") },
  { "a trailer with a key", chunks(whole .. "0\r\nauthorization: Bearer k\r\n\r\n") },
  { "a trailer with a blank before its colon", chunks(whole .. "0\r\nx-any : 1\r\n\r\n") },
  { "a folded trailer", chunks(whole .. "0\r\nx-any: 1\r\n 2\r\n\r\n") },
  { "a trailer with a bare LF", chunks(whole .. "0\r\nx-any: 1\nx: 2\r\n\r\n") },
  { "a trailer with a NUL", chunks(whole .. "0\r\nx-any: \0\r\n\r\n") },
  { "a trailer without a colon", chunks(whole .. "0\r\nx-any\r\n\r\n") },
  { "trailers without an end", chunks(whole .. "0\r\nx-any: " .. ("b"):rep(20000) .. "\r\n\r\n"), 431 },
}

describe("an ambiguous request is refused, and nothing behind it is served:", function()
  local provider, gateway
  setup(function()
    provider = e2e.provider [[return function() return { text = "served" } end]]
    gateway = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } } }]],
    }
  end)
  teardown(e2e.stop)

  local function refused(answers, why, status)
    assert.equal("closed", why)
    assert.equal(1, #answers)
    local answer = answers[1]
    assert.equal(status or 400, answer.status)
    assert.is_true(answer.clean)
    assert.equal("close", answer.headers.connection)
    assert.equal(status == 431 and "head_too_large" or "invalid_request", answer.code)
    assert.equal("invalid_request_error", answer.error.type)
    assert.equal(answer.status, answer.error.status)
    assert.equal(e2e.json.null, answer.error.param)
    assert.truthy(#answer.error.message > 10)
  end

  for _, form in ipairs(forms) do
    it(form[1], function()
      local before = provider:count()
      local c = gateway:connect()
      c:send(form[2]() .. hidden)
      local answers, why = e2e.receive_all(c)
      refused(answers, why, form[3])
      assert.equal(before, provider:count())
    end)
  end

  it("each of them also when it comes byte by byte", function()
    local before = provider:count()
    for _, form in ipairs(forms) do
      local c, bytes = gateway:connect(), form[2]()
      for i = 1, math.min(#bytes, 400) do c:send(bytes:sub(i, i)) end
      c:send(bytes:sub(401) .. hidden)
      local answers, why = e2e.receive_all(c)
      assert(why == "closed" and #answers == 1 and answers[1].status == (form[3] or 400), form[1])
    end
    assert.equal(before, provider:count())
  end)

  it("each of them also behind a good one, which is served", function()
    local before = provider:count()
    for _, form in ipairs(forms) do
      local c = gateway:connect()
      c:send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n" .. form[2]() .. hidden)
      local answers, why = e2e.receive_all(c)
      assert(why == "closed" and #answers == 2 and answers[1].status == 200 and answers[2].status == (form[3] or 400), form[1])
    end
    assert.equal(before, provider:count())
  end)

  it("all of them counted", function()
    local large = gateway:metric [[lunette_refused_total{status="431"}]]
    assert.equal(3, large)
    assert.equal(3 * #forms, large + gateway:metric [[lunette_refused_total{status="400"}]])
  end)

  it("the hidden request by itself is a good one", function()
    local c = gateway:connect()
    c:send(hidden)
    assert.equal("served", e2e.receive(c).text)
    assert.equal(1, provider:count())
  end)
end)

-- Every way in which a provider fails: a row for each, with what is expected of it (faults_spec.lua asks for each in every form).
--
-- A row is { what it does, its kind, how it does it }. `late`, `stream`, `whole`: the kind in that form, where it is another one;
-- `or_else`: one that it may be too. `only`: a form, or several. `timeouts` and `ca`: settings of the provider. `slow`: it takes as long as one of
-- these clocks, and others are asked meanwhile. `usage = false`: an answer that does not say what it cost. `raw`: the client sees bytes that are no text.
--
-- The forms: "whole" (a whole answer was asked for), "stream" (a stream, before its first event), "late" (a stream of which the client has the
-- first word).
local faults = {}

---- what follows from each kind, by the rules for outcomes and errors, said again by hand ----

-- status, code: of the error that the client gets when nobody else can answer (behind the first word: of the error event). health: "counts" (toward
-- the circuit), "rests" (it is left alone for a while, no circuit opens), "neither", "good". bill: "free", "hold" (nobody knows what it cost, so it
-- costs its hold), "usage". goes_on: the next step is taken (behind the first word: never).
faults.kinds = {
  connect_refused = { status = 502, code = "upstream_failed", health = "counts", bill = "free", goes_on = true },
  dns = { status = 502, code = "upstream_failed", health = "counts", bill = "free", goes_on = true },
  tls = { status = 502, code = "upstream_failed", health = "counts", bill = "free", goes_on = true },
  connect_timeout = { status = 502, code = "upstream_failed", health = "counts", bill = "free", goes_on = true },
  first_byte_timeout = { status = 502, code = "upstream_failed", health = "counts", bill = "hold", goes_on = true },
  idle_timeout = { status = 502, code = "upstream_failed", health = "counts", bill = "hold", goes_on = true },
  total_timeout = { status = 502, code = "upstream_failed", health = "counts", bill = "hold", goes_on = true },
  reset = { status = 502, code = "upstream_failed", health = "counts", bill = "hold", goes_on = true },
  cut = { status = 502, code = "upstream_failed", health = "counts", bill = "hold", goes_on = true },
  bad_answer = { status = 502, code = "upstream_failed", health = "counts", bill = "hold", goes_on = true },
  server_error = { status = 502, code = "upstream_failed", health = "counts", bill = "hold", goes_on = true },
  overloaded = { status = 503, code = "overloaded", health = "counts", bill = "free", goes_on = true },
  rate_limited = { status = 429, code = "rate_limited", health = "rests", bill = "free", goes_on = true },
  quota = { status = 429, code = "rate_limited", health = "rests", bill = "free", goes_on = true },
  auth = { status = 502, code = "upstream_failed", health = "rests", bill = "free", goes_on = true },
  not_found = { status = 502, code = "upstream_failed", health = "neither", bill = "free", goes_on = true },
  too_long = { status = 400, code = "invalid_request", health = "neither", bill = "free", goes_on = true },
  filtered = { status = 400, code = "invalid_request", health = "neither", bill = "hold", goes_on = true },
  bad_request = { status = 400, code = "invalid_request", health = "neither", bill = "free", goes_on = false },
  cancelled = { status = 504, code = "deadline_exceeded", health = "neither", bill = "hold", goes_on = false },
  ok = { status = 200, health = "good", bill = "usage", goes_on = false },
}

---- bytes ----

local function chunk(bytes) return ("%x\r\n"):format(#bytes) .. bytes .. "\r\n" end         -- %s would end at a zero
local function event(data) return "data: " .. data .. "\n\n" end
local function word(text, finish)
  return event(('{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}'):format(text, finish and '"' .. finish .. '"' or "null"))
end

local done, stop, counted = event "[DONE]", word("", "stop"), event '{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":10}}'
local answer = '{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}],'
  .. '"usage":{"prompt_tokens":10,"completion_tokens":10}}'
local whole, streamed = answer:format "from p", word "from p" .. stop .. counted .. done

local function head(status, headers, body)
  return ("HTTP/1.1 %s Because\r\n%scontent-length: %d\r\n\r\n"):format(status, headers or "content-type: application/json\r\n", #body) .. body
end

-- The head of a good answer, whose body comes in chunks.
function faults.head(form)
  return "HTTP/1.1 200 OK\r\ncontent-type: " .. (form == "whole" and "application/json" or "text/event-stream") .. "\r\ntransfer-encoding: chunked\r\n\r\n"
end
faults.first = chunk(word "word ")

-- What would be all of a good answer.
local function all(form) return form == "whole" and whole or streamed end
local function good(form) return faults.head(form) .. chunk(all(form)) .. "0\r\n\r\n" end
local function half(form) return form == "whole" and whole:sub(1, 60) or word("more"):sub(1, 40) end

---- ways to act: function(call, form) ----

local function says(bytes)
  return function(call, form) call:send(type(bytes) == "function" and bytes(form) or bytes) end
end
local function closes(bytes)
  return function(call, form)
    if bytes then says(bytes)(call, form) end
    call:close()
  end
end
local function resets(bytes)
  return function(call, form)
    if bytes then says(bytes)(call, form) end
    call:reset()
  end
end
-- Again and again, a moment between two.
local function drips(first, bytes)
  return function(call)
    call:send(first)
    call.drip = bytes
  end
end
-- As long as the other side takes it; bounded.
local function floods(first, bytes)
  return function(call)
    local sent = call:send(first)
    for _ = 1, 20000 do
      if not sent then break end
      sent = call:send(bytes)
    end
  end
end
-- A body that is all there is, in chunks, ended as it should be.
local function ends(bytes)
  return function(call, form)
    local body = type(bytes) == "function" and bytes(form) or bytes
    call:send((#body > 0 and chunk(body) or "") .. "0\r\n\r\n")
  end
end
-- The same as the event or the answer that it is.
local function tells(data, kind)
  return ends(function(form) return form == "whole" and data or (kind and "event: " .. kind .. "\n" or "") .. event(data) end)
end

---- before there is a connection ----

-- url: an address, or what faults_spec.lua knows by that name. act: function(c), the connection as it was accepted.
faults.connection = {
  { "refuses the connection", "connect_refused", url = "refused" },
  { "cannot be reached", "connect_refused", url = "http://127.255.255.255:9/v1" },
  { "has a name that nobody knows", "dns", url = "http://" .. ("x"):rep(64) .. ".invalid/v1" },
  { "does not accept", "connect_timeout", url = "deaf", timeouts = "connect = 0.3", slow = true },
  { "has a certificate of an unknown CA", "tls", url = "tls" },
  { "has a certificate for another name", "tls", url = "misnamed", ca = true },
  { "speaks no TLS", "tls", url = "plain" },
  { "closes in the TLS handshake", "tls", url = "handshake", act = closes() },
  { "says nothing in the TLS handshake", "connect_timeout", url = "handshake", act = function() end, timeouts = "connect = 0.3", slow = true },
  { "resets with the request unread", "reset", url = "knock", act = resets() },
}

---- in place of a head ----

local function lines(n) return ("x-more: 0123456789\r\n"):rep(n) end
local function error_body(text) return '{"error":{' .. text .. "}}" end
local gzip = "\31\139\8\0\0\0\0\0\0\3\171\86\74\203\204\75\87\178\82\80\74\43\202\207\85\40\80\170\5\0\104\31\154\126\18\0\0\0"

faults.head_rows = {
  { "says nothing", "first_byte_timeout", says "", timeouts = "first_byte = 0.5", slow = true },
  { "closes without a word", "reset", closes() },
  { "resets without a word", "reset", resets() },
  { "closes in its status line", "reset", closes "HTTP/1.1 2" },
  { "resets in its status line", "reset", resets "HTTP/1.1 2" },
  { "closes in its head", "reset", closes "HTTP/1.1 200 OK\r\ncontent-type: application/js" },
  { "resets in its head", "reset", resets "HTTP/1.1 200 OK\r\ncontent-type: application/js" },
  { "says half a head and no more", "first_byte_timeout", says "HTTP/1.1 200 OK\r\ncontent-ty", timeouts = "first_byte = 0.5", slow = true },
  { "drips its head", "first_byte_timeout", drips("HTTP/1.1 200 OK\r\n", "x: y\r\n"), timeouts = "first_byte = 0.5", slow = true },
  { "speaks another protocol", "bad_answer", says "SSH-2.0-OpenSSH_9.2\r\n\r\n" },
  { "speaks HTTP/0.9", "bad_answer", closes(whole) },
  { "has a giant header", "bad_answer", says("HTTP/1.1 200 OK\r\nx: " .. ("y"):rep(70000) .. "\r\n\r\n") },
  { "has a thousand headers", "bad_answer", says("HTTP/1.1 200 OK\r\n" .. lines(1000) .. "\r\n") },
  { "has an endless head", "bad_answer", floods("HTTP/1.1 200 OK\r\n", lines(100)) },
  { "has a head that is none", "bad_answer", says "HTTP/1.1 200 OK\r\nno header at all\r\n\r\n" },
  { "has a status of two digits", "bad_answer", says "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n" },
  { "has two lengths that differ", "bad_answer", says "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef" },
  { "has a length that is none", "bad_answer", says "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nabcdef" },
  { "has a length below nothing", "bad_answer", says "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nabcdef" },
  { "has a transfer coding that nobody asked for", "bad_answer", says "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n" },

  { "says 100 and 103 first", "ok", says(function(form) return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" .. good(form) end) },
  { "says 100 and no more", "first_byte_timeout", says "HTTP/1.1 100 Continue\r\n\r\n", timeouts = "first_byte = 0.5", slow = true },
  { "says 100 without end", "bad_answer", floods("HTTP/1.1 100 Continue\r\n\r\n", ("HTTP/1.1 100 Continue\r\n\r\n"):rep(100)) },
  { "switches protocols", "bad_answer", says "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" },
  { "says 204", "bad_answer", says "HTTP/1.1 204 No Content\r\n\r\n" },
  { "says 205", "bad_answer", says(head(205, nil, "")) },
  { "says 304", "bad_answer", says "HTTP/1.1 304 Not Modified\r\n\r\n" },

  { "has a length and ends before", "cut", closes("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" .. whole) },
  { "has a length and falls silent before", "idle_timeout", says("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" .. whole), stream = "first_byte_timeout",
    timeouts = "first_byte = 0.5, idle = 0.5", slow = true },
  { "has a length that ends in the middle", "bad_answer", says(function(form)
      return "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n" .. all(form)
    end) },
  { "has no length and closes in the middle", "bad_answer", closes(function(form) return "HTTP/1.1 200 OK\r\n\r\n" .. half(form) end) },
  { "has no length and closes at the end", "ok", closes(function(form) return "HTTP/1.1 200 OK\r\n\r\n" .. all(form) end) },

  { "answers nothing with 200", "bad_answer", says(head(200, nil, "")) },
  { "answers HTML with 200", "bad_answer", says(head(200, "content-type: text/html\r\n", "<html>hello</html>")) },
  { "answers gzip", "bad_answer", says(head(200, "content-type: application/json\r\ncontent-encoding: gzip\r\n", gzip)) },
  { "answers gzip that is cut", "cut", closes((head(200, "content-encoding: gzip\r\n", gzip):sub(1, -10))) },
  { "answers gzip that was cut before", "bad_answer", says(head(200, "content-encoding: gzip\r\n", gzip:sub(1, 20))) },
  { "answers gzip and does not say so", "bad_answer", says(head(200, nil, gzip)) },
  { "closes in its error's body", "server_error", closes "HTTP/1.1 500 Oh\r\ncontent-length: 1000\r\n\r\n{\"error\":" },
  { "says 429 and no more", "rate_limited", says "HTTP/1.1 429 Slow\r\ncontent-length: 1000\r\n\r\n{\"error\":",
    timeouts = "first_byte = 0.5, idle = 0.5", slow = true },
  { "says 503 and drips its body", "overloaded", drips("HTTP/1.1 503 Busy\r\ncontent-length: 100000\r\n\r\n", " "), timeouts = "total = 0.8", slow = true },
  { "says 500 with an endless body", "server_error", floods("HTTP/1.1 500 Oh\r\ncontent-length: 1000000000\r\n\r\n", ("x"):rep(65536)) },
  { "says 500 in HTML", "server_error", says(head(500, "content-type: text/html\r\n", "<html>oh</html>")) },
  { "says 500 in gzip", "server_error", says(head(500, "content-encoding: gzip\r\n", gzip)) },
}

-- They point to faults.trap, where nobody ever comes.
for _, status in ipairs { 300, 301, 302, 303, 305, 307, 308 } do
  table.insert(faults.head_rows, { "redirects with " .. status, "bad_answer", says(function()
    return head(status, "location: " .. faults.trap .. "\r\n", "{}")
  end) })
end

---- behind a good head, and behind the first word ----

local timeouts = "first_byte = 0.5, idle = 0.5"
local half_char = "\226\130"                        -- of a three-byte one

faults.body_rows = {
  { "closes", "cut", closes() },
  { "resets", "cut", resets(), or_else = "reset" },     -- what it takes with it may be the head
  { "closes in the middle", "cut", closes(function(form) return chunk(half(form)) end) },
  { "resets in the middle", "cut", resets(function(form) return chunk(half(form)) end), or_else = "reset" },
  { "closes in a chunk's size", "cut", closes "4" },
  { "resets in a chunk's size", "cut", resets "4", or_else = "reset" },
  { "closes in a chunk", "cut", closes(function(form) return "400\r\n" .. half(form) end) },
  { "closes before the last chunk", "cut", closes(function(form) return chunk(half(form)) end) },
  { "says nothing more", "idle_timeout", says "", stream = "first_byte_timeout", timeouts = timeouts, slow = true },
  { "falls silent in a chunk", "idle_timeout", says(function(form) return "400\r\n" .. half(form) end), stream = "first_byte_timeout", timeouts = timeouts,
    slow = true },
  { "drips", "total_timeout", drips("", chunk ":\n"), stream = "first_byte_timeout", timeouts = "first_byte = 0.5, total = 0.8", slow = true },
  { "pings without end", "total_timeout", drips("", chunk "event: ping\ndata: {}\n\n"), only = "stream late", stream = "first_byte_timeout",
    timeouts = "first_byte = 0.5, total = 0.8", slow = true },
  { "streams without end", "total_timeout", drips("", chunk(word "x")), only = "late", timeouts = "total = 0.8", slow = true },
  { "answers without end", "bad_answer", floods("", chunk((" "):rep(8192))), only = "whole" },

  { "has chunks that are none", "bad_answer", says "xyz\r\n" },
  { "has a chunk of a size below nothing", "bad_answer", says "-5\r\nabcde\r\n" },
  { "has a chunk of a size that no number is", "bad_answer", says "fffffffffffffffffffff\r\nabc" },
  { "has a chunk that is longer than it says", "bad_answer", says(function(form) return "5\r\n" .. half(form) .. "\r\n0\r\n\r\n" end) },
  { "has a chunk that is shorter than it says", "cut", closes(function(form) return "400\r\n" .. half(form) .. "\r\n0\r\n\r\n" end), stream = "bad_answer",
    late = "bad_answer" },              -- what came for its bytes ended an event

  { "ends without a word", "bad_answer", ends "", late = "cut" },
  { "ends in the middle", "bad_answer", ends(half), late = "cut" },
  { "is cut in a character", "cut", closes(function(form) return chunk(half(form):sub(1, 30) .. half_char) end) },
  { "ends in a character", "bad_answer", ends(function(form) return half(form):sub(1, 30) .. half_char end), late = "cut" },
  { "goes on in HTML", "bad_answer", ends "<html>bad gateway</html>", late = "cut" },
  { "goes on in gzip", "bad_answer", ends(gzip .. "\n\n"), late = "cut", raw = true },       -- lines that are no field pass as they came
  { "says a list", "bad_answer", tells "[1,2]" },
  { "says a text", "bad_answer", tells '"text"' },
  { "says half an object", "bad_answer", tells '{"choices":[{' },
  { "says words", "bad_answer", tells "hello" },
  { "says a giant piece", "bad_answer", tells('{"choices":[],"x":"' .. ("y"):rep(200000) .. '"}') },
  { "says a giant piece without end", "bad_answer", floods("", chunk(("data: " .. ("y"):rep(8192)))), only = "stream late" },

  { "says an error with 200", "server_error", tells(error_body '"message":"oh"') },
  { "says an error of its type", "server_error", tells(error_body '"message":"oh"', "error"), only = "stream late" },
  { "says that it is overloaded, with 200", "overloaded", tells(error_body '"type":"overloaded_error"') },
  { "says that there are too many, with 200", "rate_limited", tells(error_body '"type":"rate_limit_error"') },
  { "says that the quota is used up, with 200", "quota", tells(error_body '"code":"insufficient_quota"') },
  { "says that the key is wrong, with 200", "auth", tells(error_body '"code":"invalid_api_key"') },
  { "says that it is too long, with 200", "too_long", tells(error_body '"code":"context_length_exceeded"') },
  { "says that it was filtered, with 200", "filtered", tells(error_body '"code":"content_filter"') },
  { "says that there is no such model, with 200", "not_found", tells(error_body '"code":"model_not_found"') },
  { "says that the request is wrong, with 200", "bad_request", tells(error_body '"type":"invalid_request_error"') },
  { "says 503 in a number, with 200", "overloaded", tells(error_body '"code":503') },

  { "says [DONE] alone", "bad_answer", ends(done), only = "stream late", late = "ok", usage = false },
  { "forgets [DONE]", "ok", ends(word "more" .. stop .. counted), only = "stream late" },
  { "forgets [DONE] and usage", "ok", ends(word "more" .. stop), only = "stream late", usage = false },
  { "says more behind [DONE]", "ok", ends(word "more" .. stop .. counted .. done .. word "hidden" .. done), only = "stream late" },
  { "says an error behind [DONE]", "ok", ends(word "more" .. stop .. counted .. done .. event(error_body '"message":"late"')), only = "stream late" },
  { "closes behind [DONE]", "ok", closes(chunk(word "more" .. stop .. counted .. done)), only = "stream late" },
  { "falls silent behind [DONE]", "ok", says(chunk(word "more" .. stop .. counted .. done)), only = "stream late", slow = true },
  { "finishes twice", "ok", ends(word "more" .. stop .. word("", "length") .. counted .. done), only = "stream late" },
  { "closes when it has finished", "ok", closes(chunk(word "more" .. stop .. counted)), only = "stream late" },
  { "resets when it has finished", "ok", resets(chunk(word "more" .. stop)), only = "late", usage = false },
  { "says an error when it has finished", "ok", ends(word "more" .. stop .. event(error_body '"message":"late"')), only = "stream late", usage = false },
}

---- every status ----

-- Its kind by the design; of a 4xx that it does not name: the request is at fault.
local by_status = { [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "server_error", [413] = "too_long",
                    [429] = "rate_limited", [503] = "overloaded", [529] = "overloaded" }
faults.status_rows = {}
for status = 400, 599 do
  table.insert(faults.status_rows, { "says " .. status, by_status[status] or (status < 500 and "bad_request" or "server_error"),
                                     says(head(status, nil, error_body('"message":"because of ' .. status .. '"'))) })
end

---- Retry-After, and its relatives ----

local function date(format, ahead) return os.date("!" .. format, os.time() + ahead) end
local day = 86400

-- { headers, for how many seconds they say that it wants to be left alone }; none: nothing that can be read. `about`: said as a date.
faults.waits = {
  { "retry-after: 7", 7 }, { "Retry-After:   7  ", 7 }, { "retry-after: 2.5", 2.5 },
  { "retry-after-ms: 2500", 2.5 }, { "retry-after-ms: 2500\r\nretry-after: 9", 2.5 },
  { "retry-after: " .. date("%a, %d %b %Y %H:%M:%S GMT", 100), 100, about = true },
  { "retry-after: " .. date("%A, %d-%b-%y %H:%M:%S GMT", 100), 100, about = true },
  { "retry-after: " .. date("%a %b %e %H:%M:%S %Y", 100), 100, about = true },
  { "x-ratelimit-reset-requests: 1m30s", 90 }, { "x-ratelimit-reset-tokens: 20ms\r\nx-ratelimit-reset-requests: 6s", 6 },
  { "x-ratelimit-reset-requests: 90s\r\nx-ratelimit-remaining-requests: 5\r\nx-ratelimit-reset-tokens: 6s\r\nx-ratelimit-remaining-tokens: 0", 6 },
  { "anthropic-ratelimit-requests-reset: " .. date("%Y-%m-%dT%H:%M:%SZ", 100), 100, about = true },
  { "x-ratelimit-reset: " .. os.time() + 100, 100, about = true }, { "x-ratelimit-reset: " .. os.time() + 100 .. "000", 100, about = true },
  { "ratelimit-reset: 8", 8 },
  { "x-nothing: 1" }, { "retry-after:" }, { "retry-after: 0" }, { "retry-after: -5" }, { "retry-after: soon" }, { "retry-after: 7 apples" },
  { "retry-after: NaN" }, { "retry-after: Infinity" }, { "retry-after: 0x10" },
  { "retry-after: " .. date("%a, %d %b %Y %H:%M:%S GMT", -100) }, { "retry-after: Thu, 32 Foo 2026 25:61:61 GMT" },
  { "retry-after: 86401", day }, { "retry-after: 99999999999999999999999999", day }, { "retry-after: " .. ("9"):rep(300), day },
  { "retry-after: Fri, 31 Dec 9999 23:59:59 GMT", day },
}

return faults

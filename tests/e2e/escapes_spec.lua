-- Ways out of the sandbox, each tried by a policy that serves real requests: at files, processes, compiled code, other Lua libraries, the names and
-- objects of others, secrets, targets that are not there, lines of logs and headers. Each fails in the way named here; what it was after does not come
-- out anywhere.
local e2e = require "support"
local sanitized = e2e.lunette:find "build%-"

local planted = { key = "sk-planted-8c1f5be07a", client = "ck-planted-33d0e9a1c4", file = "planted-file-6b2e90", text = "planted-text-91fe7c" }

-- { what is tried, how, what the failure says }; `false`: nothing fails, but there is nothing to be had: the code says so by returning "nothing".
local escapes = {
  -- files and processes
  { "to open a file", "return io.open('secret.txt'):read '*a'", "global 'io'" },
  { "to read lines of a file", "for line in io.lines 'secret.txt' do return line end", "global 'io'" },
  { "to run a program", "return os.execute 'id'", "field 'execute'" },
  { "to read from a program", "return io.popen 'id':read '*a'", "global 'io'" },
  { "to end the process", "os.exit(1)", "field 'exit'" },
  { "to remove a file", "os.remove 'gateway.lua'", "field 'remove'" },
  { "to name a temporary file", "return os.tmpname()", "field 'tmpname'" },
  { "to change the locale", "os.setlocale 'C'", "field 'setlocale'" },
  { "to run a file", "return dofile 'secret.lua'", "global 'dofile'" },
  { "to load a file", "return loadfile 'secret.lua' ()", "global 'loadfile'" },
  { "to require a file that was not there when it was loaded", "return require 'late'", "there is no such module" },
  { "to require a file above", "return require '../secret'", "there is no such module" },
  { "to require a file above, by points", "return require '...secret'", "there is no such module" },
  { "to require an absolute path", "return require '/etc/passwd'", "there is no such module" },
  { "to require by a name with a NUL", "return require 'lunette\\0/../secret'", "there is no such module" },
  { "to require a name of 10,000 bytes", "return require(('a/'):rep(5000))", "require 'a/a/" },
  { "to ask for a file by http", "return lunette.http { url = 'file:///etc/passwd' }", "http: url: " },
  { "to ask for a file by a scheme in capitals", "return lunette.http { url = 'FILE:///etc/passwd' }", "http: url: " },
  { "to ask by another protocol", "return lunette.http { url = 'gopher://127.0.0.1:25/x' }", "http: url: " },
  { "to ask for a cloud's credentials", "local r, why = lunette.http { url = 'http://169.254.169.254/latest' } error(why or r.body)", "cannot be asked" },
  { "to ask for them by a number", "local r, why = lunette.http { url = 'http://2852039166/latest' } error(why or r.body)", "cannot be asked" },
  { "to ask for them in IPv6", "local r, why = lunette.http { url = 'http://[::ffff:169.254.169.254]/' } error(why or r.body)", "cannot be asked" },

  -- compiled code, and code out of texts
  { "to load a text", "return load 'return 1' ()", "global 'load'" },
  { "to load bytecode", "return loadstring '\\27LJ\\2\\0' ()", "global 'loadstring'" },
  { "to make bytecode", "return string.dump(function() end)", "field 'dump'" },
  { "to make bytecode by a method", "return ('x').dump(function() end)", "field 'dump'" },
  { "to turn the compiler on", "jit.on()", "global 'jit'" },
  { "to require the compiler", "return require 'jit'", "there is no such module" },
  { "to require its options", "return require 'jit.opt'", "there is no such module" },
  { "to require the FFI", "return require('ffi').C.getpid()", "there is no such module" },
  { "to require buffers, which hold pointers", "return require 'string.buffer'", "there is no such module" },
  { "to find loaded modules", "return package.loaded.ffi", "global 'package'" },
  { "to find what was loaded before", "return package.preload", "global 'package'" },
  { "to make a userdata", "return newproxy(true)", "global 'newproxy'" },

  -- the debug library and its relatives
  { "to read the registry", "return debug.getregistry()", "global 'debug'" },
  { "to set a hook", "debug.sethook()", "global 'debug'" },
  { "to read a local of a caller", "return debug.getlocal(2, 1)", "global 'debug'" },
  { "to set an upvalue", "debug.setupvalue(lunette.log, 1, 1)", "global 'debug'" },
  { "to require it", "return require 'debug'", "there is no such module" },
  { "to handle an error with a traceback", "return xpcall(error, debug.traceback)", "global 'debug'" },
  { "to read an environment", "return getfenv(lunette.log)", "global 'getfenv'" },
  { "to read the environment of a level", "return getfenv(1)", "global 'getfenv'" },
  { "to set an environment", "setfenv(1, {})", "global 'setfenv'" },
  { "to stop the collector", "collectgarbage 'stop'", "global 'collectgarbage'" },
  { "to run in a coroutine of its own", "return coroutine.wrap(function() while true do end end)()", "global 'coroutine'" },
  { "to yield by itself", "return coroutine.yield 'wish'", "global 'coroutine'" },

  -- what is everybody's
  { "to set a global", "leak = 1", "global 'leak' cannot be set" },
  { "to set a global by its table", "_G.leak = 1", "global 'leak' cannot be set" },
  { "to set a global raw", "rawset(_G, 'leak', 1)", "global 'rawset'" },
  { "to read a global raw", "return rawget(_G, 'pairs')", "global 'rawget'" },
  { "to give the globals a metatable", "setmetatable(_G, {})", "protected" },
  { "to replace a function", "pairs = function() end", "cannot be set" },
  { "to replace a function of texts", "string.rep = function() end", "read%-only" },
  { "to replace a method of texts", "('').rep = function() end", "attempt to index" },
  { "to get at the methods of texts", "getmetatable('').__index.rep = 1", "attempt to index" },
  { "to give texts other methods", "setmetatable('', { __index = {} })", "bad argument" },
  { "to give functions a metatable", "setmetatable(pairs, {})", "bad argument" },
  { "to sort the table of functions", "table.sort(table) return 'nothing'", false },
  { "to insert into it", "table.insert(table, 1)", "read%-only" },
  { "to change the module lunette", "lunette.note = nil", "read%-only" },
  { "to change the functions of the store", "lunette.store.get = nil", "read%-only" },
  { "to change the functions of JSON", "lunette.json.x = 1", "read%-only" },
  { "to find what lunette is made of", "return lunette.native.degrade_to", "field 'native'" },
  { "to require the sandbox itself", "return require 'lunette.sandbox'", "there is no such module" },
  { "to see a metatable", "return getmetatable(request).__index", "attempt to index" },

  -- objects
  { "to write into a request", "request.model = 'other'", "read%-only" },
  { "to write into targets", "request.targets[1] = nil", "read%-only" },
  { "to write into a target", "request.targets[1].weight = 1e9", "read%-only" },
  { "to write into headers", "request.headers.x = 'y'", "read%-only" },
  { "to sort targets in place", "table.sort(request.targets)", "read%-only" },
  { "to give a request a metatable", "setmetatable(request, {})", "bad argument" },
  { "to call a method of it on a table", "return request.message({}, 1)", "expected a request" },
  { "to call it on something that looks like one", "return request.message(setmetatable({}, { __index = request }), 1)", "expected a request" },
  { "to call it on another object", "return request.message(request.targets, 1)", "expected a request" },
  { "to call a method of targets on a request", "return request.targets.first(request, 1)", "expected a targets" },
  { "to read a metamethod as a field", "return request.__index", "no field" },
  { "to read the collector's metamethod", "return request.__gc", "no field" },
  { "to count on one that runs later",
    "setmetatable({}, { __gc = function() kept.leaked = 'leaked' end }) for i = 1, 1e4 do kept.waste = { i } end return kept.leaked or 'nothing'", false },
  { "to see an address", "return tostring(request):match '0x' or tostring({}):match '0x' or tostring(pairs):match '0x' or 'nothing'", false },
  { "to format an address", "return ('%p'):format(request)", "%%p" },
  { "to write an object as JSON", "return lunette.json.encode(request.targets[1]) or 'nothing'", false },
  { "to look for more in an object", "for k in pairs(request) do return k end", "to 'pairs'" },

  -- another request's objects, which the policy kept
  { "to read its text", "return kept.request.text", "request", kept = true },
  { "to read its headers", "return kept.request.headers['x-mark']", "request", kept = true },
  { "to read its body", "return kept.request:body()", "request", kept = true },
  { "to read who asked", "return kept.key.name", "request", kept = true },
  { "to read its targets", "return #kept.targets", "request", kept = true },
  { "to read a target", "return kept.target.name", "request", kept = true },
  { "to read a price", "return kept.target.price.input", "request", kept = true },
  { "to go through its targets", "for _, t in ipairs(kept.targets) do return t.name end", "request", kept = true },
  { "to join them with its own", "return #(request.targets .. kept.targets)", "request", kept = true },
  { "to narrow them", "return #kept.targets:healthy()", "request", kept = true },
  { "to make steps of them", "return kept.targets:steps {}", "request", kept = true },
  { "to call one of its functions later", "return kept.tell()", "request", kept = true },
  { "to read it under pcall", "local ok, text = pcall(function() return kept.request.text end) return ok and text or 'nothing'", false, kept = true },
  { "to read it while it waits", "lunette.sleep(0) return kept.request.text", "request", kept = true },
  { "to read it in a comparison", "table.sort({ 2, 1 }, function() return kept.request.words > 0 end)", "request", kept = true },

  -- secrets
  { "to read a variable", "return os.getenv 'A_KEY'", "field 'getenv'" },
  { "to ask for a secret as gateway.lua does", "return secret 'A_KEY'", "global 'secret'" },
  { "to ask for a variable as gateway.lua does", "return env 'A_KEY'", "global 'env'" },
  { "to read a provider's key", "return request.targets[1].provider.key", "no field" },
  { "to read a provider's headers", "return request.targets[1].provider.headers", "no field" },
  { "to read the configuration", "return request.snapshot", "no field" },
  { "to read the client's key", "return request.headers.authorization or request.headers['x-api-key'] or 'nothing'", false },
  { "to read the key's hash", "return request.key.hash", "no field" },
  { "to read it as a setting", "return lunette.setting 'A_KEY'", "has no setting" },
  { "to find it in the store", "return lunette.store.get 'A_KEY' or 'nothing'", false },

  -- what it may not decide
  { "to call a target by name", "return lunette.try 'nobody'", "nobody" },
  { "to have another pay", "return lunette.chat { model = 'm', text = 'x', pay = 'ann' }", "pay is" },
  { "to charge a tag without a budget", "lunette.charge { tenant = 'x' }", "tenant" },
  { "to set its model in the body", "return request.targets:steps { set = { model = 'gold' } }", "belongs to the gateway" },

  -- lines of others
  { "to end the line of a header by a label", "return 'a\\r\\nx-planted: 1'", "control character" },
  { "to make two labels of one", "return 'a,b'", "comma" },
  { "to end a line of the log", "lunette.log 'planted\\n2026 error: forged' return 'nothing'", false },
  { "to end a line of the metrics", "return lunette.metric('a 1\\nforged') or 'nothing'", false },
  { "to close the braces of a metric", "return lunette.metric('a{x=\"y\"}') or 'nothing'", false },
  { "to end a line of the request log", "lunette.note('k', 'a\\n{\"forged\":1}') return 'nothing'", false },
  { "to end the name of a note", "lunette.note('k\\n', 1) return 'nothing'", false },
  { "to end the line of a header it sends", "lunette.http { url = 'http://127.0.0.1:1/', headers = { a = 'a\\r\\nx-b: 1' } }", "character that no header has" },
  { "to smuggle one by its name", "lunette.http { url = 'http://127.0.0.1:1/', headers = { ['x: 1\\r\\ny'] = 'a' } }", "a character that no header has" },
  { "to send another length", "lunette.http { url = 'http://127.0.0.1:1/', headers = { ['Content-Length'] = '0' } }", "the gateway's to send" },
  { "to smuggle a request by its method", "lunette.http { url = 'http://127.0.0.1:1/', method = 'GET / HTTP/1.1\\r\\n' }", "no method" },
  { "to smuggle one by its address", "lunette.http { url = 'http://127.0.0.1:1/ HTTP/1.1\\r\\nx: y' }", "http: url: " },
  { "to open a tunnel", "lunette.http { url = 'http://127.0.0.1:1/', method = 'CONNECT' }", "no method" },
}

local config = [[
return {
  policy = "policy.lua", limits = { retries = false },
  providers = { a = { base_url = env "URL", key = secret "A_KEY" } }, models = { m = { { provider = "a", model = "up" } } },
  clients = { { name = "ann", hash = env "HASH" }, { name = "bob", hash = env "HASH_BOB" } },
}]]

local function policy()
  local out = { "local lunette = require 'lunette'\nlocal kept = {}\nlocal escapes = {\n" }
  for i, escape in ipairs(escapes) do out[#out + 1] = ("  [%d] = function(request) %s end,\n"):format(i, escape[2]) end
  out[#out + 1] = [[
}
return { classify = function(request)
  local try = request.headers["x-try"]
  if try then return escapes[tonumber(try)](request) end
  kept = { request = request, key = request.key, targets = request.targets, target = request.targets[1], tell = function() return request.text end }
  return "kept"
end }]]
  return table.concat(out)
end

describe("a policy that tries", function()
  local g, p
  teardown(e2e.stop)
  setup(function()
    p = e2e.provider 'return function(request, n) return { text = "fine" } end'
    local files = { ["policy.lua"] = policy(), ["secret.txt"] = planted.file, ["secret.lua"] = "return '" .. planted.file .. "'" }
    g = e2e.gateway { config = config, workers = 1, files = files,
                      env = { URL = p.url, A_KEY = planted.key, HASH = e2e.hash(planted.client), HASH_BOB = e2e.hash "bobs-own-key" } }
    e2e.write(g.folder .. "/late.lua", "return '" .. planted.file .. "'")
    local answer = g:chat { text = planted.text, headers = { authorization = "Bearer " .. planted.client, ["x-mark"] = planted.text } }
    assert.equal("kept", answer.headers["x-lunette-labels"])
  end)

  local function no_booty(what, text)
    for name, secret in pairs(planted) do assert.is_nil(text:find(secret, 1, true), what .. " shows the planted " .. name) end
  end

  for i, escape in ipairs(escapes) do
    it(escape[1] .. (escape.kept and ", of a request that is over," or "") .. " gets nothing", function()
      local function try() return g:chat { headers = { authorization = "Bearer bobs-own-key", ["x-try"] = tostring(i) } } end
      local answer = try()
      local first = g:line(answer).notes
      if sanitized and first and tostring(first.error_classify):find("ms of CPU time", 1, true) then answer = try() end     -- it is slow
      assert.equal(200, answer.status)
      assert.equal("fine", answer.text)
      local notes = g:line(answer).notes
      local said = notes and notes.error_classify
      if escape[3] == false then
        assert.same({ "nothing" }, { answer.headers["x-lunette-labels"], said })
      else
        assert.matches("policy%.lua:%d+: ", said)
        assert.matches(escape[3], said)
        assert.is_nil(answer.headers["x-lunette-labels"])
      end
      no_booty("the answer", answer.body .. e2e.json.encode(answer.headers))
    end)
  end

  it("all of this has left no trace of what it was after, nor a line that is none", function()
    for _, text in ipairs { g.process:said(), g:metrics(), e2e.read(g.folder .. "/requests.jsonl") } do
      no_booty("the gateway", text)
      assert.is_nil(("\n" .. text):find "\nforged" or ("\n" .. text):find "\n2026 error: forged" or text:find '\n{"forged"')
    end
    assert.equal(1 + #escapes, p:count())
    assert.equal(0, g:stop())
  end)
end)

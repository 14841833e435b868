-- Who is measured beside each other: the same upstream behind each, one worker, on one core.
--
--   local up = rivals.upstream { tls = cert, close = true }     -- up.port
--   local r = rivals.start("nginx", up, { ca = file })          -- r.port, r.pids; nil: it is not installed
local e2e = require "support"

local rivals = { here = debug.getinfo(1, "S").source:match "^@(.*)/", tools = e2e.lunette:match "^(.*)/" .. "/tests/bench_" }

local function output(command)
  local pipe = io.popen("{ " .. command .. "; } 2>/dev/null")
  local text = pipe:read "*a"
  pipe:close()
  return text
end
local function there(program) return output("command -v " .. program) ~= "" end

---- cores: a gateway has the first, all else the others; with one core they share it ----

local cores = tonumber(output "nproc")
local own_pid = output "echo $PPID":match "%d+"
local function on(list) if cores > 1 then os.execute(("taskset -cp %s %s >/dev/null"):format(list, own_pid)) end end
function rivals.beside() on("1-" .. cores - 1) end
function rivals.apart(f, ...)
  on "0"
  local started = f(...)
  rivals.beside()
  return started
end
function rivals.anywhere(f, ...)
  on("0-" .. cores - 1)
  local started = f(...)
  rivals.beside()
  return started
end

---- the upstream ----

function rivals.upstream(options)
  options = options or {}
  local command = { rivals.tools .. "upstream" }
  local function add(...) for _, word in ipairs { ... } do command[#command + 1] = word end end
  if options.tls then add("-tls", options.tls.file, options.tls.key) end
  if options.close then add "-close" end
  local up = { process = e2e.start(command), scheme = options.tls and "https" or "http" }
  up.port = tonumber(up.process:expect "^listening on (%d+)")
  -- requests, connections and resumed sessions up to now
  function up:seen()
    self.process:signal(10)
    local requests, made, resumed = self.process:expect "^seen requests=(%d+) connections=(%d+) resumed=(%d+)"
    return { requests = tonumber(requests), connections = tonumber(made), resumed = tonumber(resumed) }
  end
  return up
end

---- those that cannot be given port 0 ----

-- Below the range that the system gives to others: there a connection that was closed can hold it.
function rivals.a_port()
  local port = 20000 + math.random(0, 12000)
  local s = e2e.socket.bind("127.0.0.1", port)
  if not s then return rivals.a_port() end
  s:close()
  return port
end

local function descendants(pid, list)
  list[#list + 1] = pid
  for child in output("cat /proc/" .. pid .. "/task/*/children"):gmatch "%d+" do descendants(child, list) end
  return list
end

local function listens(process, port, limit)
  local due = e2e.socket.gettime() + (limit or 20)
  while e2e.socket.gettime() < due do
    local c = e2e.socket.connect("127.0.0.1", port)
    if c then return c:close() end
    e2e.socket.select(nil, nil, 0.02)
  end
  error("it does not listen. It said: " .. process:said(), 0)
end

function rivals.running(command, port, env, limit)
  local process = e2e.start(command, env)
  process.ends_by = e2e.SIGTERM                                 -- nginx's worker outlives a master that was killed
  listens(process, port, limit)
  return { process = process, port = port, pids = table.concat(descendants(tostring(process.pid), {}), ",") }
end

---- nginx ----

local nginx = [[
LOAD
worker_processes 1; daemon off; pid FOLDER/pid; error_log stderr warn; worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; client_body_buffer_size 256k;
  client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c; uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;
  upstream up { server 127.0.0.1:UPSTREAM; keepalive 512; keepalive_requests 100000000; }
  INIT
  server {
    listen 127.0.0.1:PORT backlog=4096;
    location / {
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      TLS
      LOCATION
    }
  }
}
]]
local verified = [[proxy_ssl_verify on; proxy_ssl_trusted_certificate CA; proxy_ssl_name upstream.test;
      proxy_ssl_protocols TLSv1.2 TLSv1.3;]]

local function start_nginx(up, options, words)
  local folder = e2e.folder()
  local all = { FOLDER = folder, UPSTREAM = up.port, PORT = rivals.a_port(), CA = options.ca, LOAD = "", INIT = "",
                LOCATION = "proxy_pass " .. up.scheme .. "://up;",
                TLS = options.ca and verified:gsub("CA", options.ca) or "" }
  for name, value in pairs(words or {}) do all[name] = value end
  e2e.write(folder .. "/nginx.conf", (nginx:gsub("%u%u+", all)))
  return rivals.running({ "nginx", "-p", folder, "-e", "stderr", "-c", folder .. "/nginx.conf" }, all.PORT)
end

-- The body is decoded, `model` rewritten, all of it encoded again: what a gateway in nginx's Lua does at least.
local rewriting = { INIT = [[init_by_lua_block { cjson = require "cjson"; routes = { auto = "up", small = "up" } }]], LOCATION = [[
      set $target "";
      access_by_lua_block {
        ngx.req.read_body()
        local good, body = pcall(cjson.decode, ngx.req.get_body_data() or "")
        if not good then return ngx.exit(400) end
        local target = routes[body.model]
        if not target then return ngx.exit(404) end
        body.model = "bench-" .. body.model
        ngx.req.set_body_data(cjson.encode(body))
        ngx.var.target = target
      }
      proxy_pass http://$target;]] }

local function lua_modules()
  local folder = there "nginx" and output "nginx -V 2>&1":match "%-%-modules%-path=(%S+)"
  local found = folder and e2e.read(folder .. "/ngx_http_lua_module.so") ~= ""
  return found and ("load_module %s/ndk_http_module.so; load_module %s/ngx_http_lua_module.so;"):format(folder, folder)
end

---- HAProxy ----

local haproxy = [[
global
    nbthread 1
    maxconn 4096
    tune.bufsize 65536
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    option http-keep-alive
    http-reuse always
    # without it the chunks of a stream are held back for up to 200 ms
    option http-no-delay
frontend in
    bind 127.0.0.1:PORT
    default_backend up
backend up
    server s1 127.0.0.1:UPSTREAM TLS
]]

local function start_haproxy(up, options)
  local folder, port = e2e.folder(), rivals.a_port()
  local words = { PORT = port, UPSTREAM = up.port, TLS = options.ca and "ssl verify required verifyhost upstream.test ca-file " .. options.ca or "" }
  e2e.write(folder .. "/haproxy.cfg", (haproxy:gsub("%u%u+", words)))
  return rivals.running({ "haproxy", "-db", "-q", "-f", folder .. "/haproxy.cfg" }, port)
end

---- Lunette, by gateway.lua and policy.lua of this folder ----

-- It says a line for each target before it serves: who does not read them holds it up.
function rivals.greeted(g) g.process:expect "^(curl )" end

function rivals.lunette(up, options)
  local env = { BENCH_UPSTREAM = up.scheme .. "://127.0.0.1:" .. up.port .. "/v1", BENCH_KEY = "sk-upstream", BENCH_CA = options.ca }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local g = e2e.gateway { config = e2e.read(rivals.here .. "/gateway.lua"), files = { ["policy.lua"] = e2e.read(rivals.here .. "/policy.lua") }, env = env,
                          workers = options.workers or 1, watched = true }
  g.pids = tostring(g.process.pid)
  rivals.greeted(g)
  return g
end

local known = {
  nginx = function(up, options) return there "nginx" and start_nginx(up, options) end,
  ["nginx+Lua"] = function(up, options)
    local modules = lua_modules()
    return modules and start_nginx(up, options, { LOAD = modules, INIT = rewriting.INIT, LOCATION = rewriting.LOCATION })
  end,
  HAProxy = function(up, options) return there "haproxy" and start_haproxy(up, options) end,
  Lunette = rivals.lunette,
}

function rivals.start(name, up, options)
  return rivals.apart(known[name], up, options or {}) or nil
end

---- the load ----

function rivals.begin(at, body, shape, ...)
  local command = { rivals.tools .. "load", tostring(at.port), body, shape }
  for _, number in ipairs { ... } do command[#command + 1] = tostring(number) end
  if at.pids then command[#command + 1], command[#command + 2] = "-pids", at.pids end
  return e2e.start(command, at.env)
end

function rivals.finish(process)
  local found = {}
  for name, value in process:expect("^(requests=.*)", 120):gmatch "(%S+)=(%S+)" do found[name] = tonumber(value) end
  process:wait()
  if found.errors > 0 then error(("%d of %d answers were wrong: %s"):format(found.errors, found.requests, process:stderr()), 0) end
  return found
end

-- Runs the load and gives its numbers: cpu_us, p50, p99, errors … (load.c).
function rivals.load(...) return rivals.finish(rivals.begin(...)) end

-- The same at 500 a second, while f is called every so many seconds.
function rivals.meanwhile(at, body, seconds, every, f)
  local process, since = rivals.begin(at, body, "rate", 500, seconds), e2e.socket.gettime()
  for n = 1, math.floor(seconds / every) - 1 do
    e2e.socket.select(nil, nil, math.max(0, since + n * every - e2e.socket.gettime()))
    f()
  end
  return rivals.finish(process)
end

-- Many streams that stay open, until :stop().
function rivals.open(at, body, n)
  local process = e2e.start { rivals.tools .. "load", tostring(at.port), body, "open", tostring(n) }
  local said = process:expect("^(%a+)", 60)
  if said ~= "ready" then error(said .. ": " .. process:stderr(), 0) end
  return process
end

-- A chat request of so many bytes. fields: more of its JSON.
function rivals.body(size, fields)
  local text = {}
  local head = '{"model":"' .. (fields.model or "auto") .. '","messages":[{"role":"system","content":"You are a helpful assistant."},'
    .. '{"role":"user","content":"No. 00000000 '         -- load.c counts there
  local tail = '"}],"temperature":0.7,"max_tokens":' .. (fields.max_tokens or 256) .. (fields.more or "") .. "}"
  local words = 'He said \\"hello\\" and left, as one does;\\n then came back. '
  local left = size - #head - #tail
  while left >= #words do
    text[#text + 1] = words
    left = left - #words
  end
  return e2e.write(e2e.folder() .. "/body.json", head .. table.concat(text) .. ("."):rep(left) .. tail)
end

return rivals

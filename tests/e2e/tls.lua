-- Certificates of a self-made CA, and nginx as a provider that speaks TLS and HTTP/2.
--
--   local ca = tls.authority()                   -- ca.file, for `ca =` of a provider
--   local cert = ca:certificate "IP:127.0.0.1"   -- cert.file, cert.key
--   local front = tls.nginx { cert = cert, to = provider.port, http2 = true }    -- front.port, front.process
local e2e = require "support"

local tls = {}
local Authority = {}
Authority.__index = Authority

local function openssl(folder, command)
  local line = ("cd '%s' && openssl %s 2>openssl.log"):format(folder, command)
  if os.execute(line) ~= 0 then error(line .. ": " .. e2e.read(folder .. "/openssl.log"), 3) end
end

local function new_key(extra) return "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes " .. extra end

function tls.authority()
  local folder = e2e.folder()
  openssl(folder, new_key "-x509 -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem")
  return setmetatable({ folder = folder, file = folder .. "/ca.pem", n = 0 }, Authority)
end

-- A certificate for these subject alternative names; days: how long it is good.
function Authority:certificate(names, days)
  self.n = self.n + 1
  local name = "cert" .. self.n
  e2e.write(("%s/%s.ext"):format(self.folder, name), "subjectAltName=" .. names)
  openssl(self.folder, new_key(("-subj /CN=test -keyout %s.key -out %s.csr"):format(name, name)))
  openssl(self.folder, ("x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days %d -extfile %s.ext -out %s.pem")
                       :format(name, days or 2, name, name))
  return { file = ("%s/%s.pem"):format(self.folder, name), key = ("%s/%s.key"):format(self.folder, name) }
end

local config = [[
daemon off; master_process off; pid FOLDER/pid; error_log stderr notice; worker_rlimit_nofile 512;
events { worker_connections 256; }
http {
  log_format short "$connection $connection_requests $server_protocol $status";
  access_log FOLDER/access.log short;
  client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c; uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;
  upstream behind { server 127.0.0.1:TO; keepalive 8; }
  server {
    listen 127.0.0.1:PORT ssl HTTP2;
    ssl_certificate CERT; ssl_certificate_key KEY; ssl_protocols TLSv1.2 TLSv1.3;
    client_max_body_size 64m; proxy_buffering off; proxy_request_buffering off;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 60s;
    location / { proxy_pass http://behind; }
  }
}
]]

-- nginx cannot be given port 0: one is tried that nobody has, below those that the system gives to others.
local function a_port()
  local port = 20000 + math.random(0, 12000)
  local s = e2e.socket.bind("127.0.0.1", port)
  if not s then return a_port() end
  s:close()
  return port
end

local function answers(process, port)
  return e2e.eventually("nginx listens", function()
    local said = process:stderr()
    if said:find "bind%(%) to" then return "taken" end
    if said:find "%[emerg%]" then error(said, 0) end
    local c = e2e.socket.connect("127.0.0.1", port)
    if c then c:close() end
    return c and "yes"
  end)
end

-- options: cert, to (the port that requests are passed on to), http2. Gives { port, process, folder }.
function tls.nginx(options)
  math.randomseed(math.floor(e2e.socket.gettime() * 1e6) % 2 ^ 31)
  local folder = e2e.folder()
  for _ = 1, 10 do
    local port = a_port()
    local words = { FOLDER = folder, TO = options.to, PORT = port, CERT = options.cert.file, KEY = options.cert.key,
                    HTTP2 = options.http2 and "http2" or "" }
    e2e.write(folder .. "/nginx.conf", (config:gsub("%u+2?", words)))
    local process = e2e.start { "nginx", "-p", folder, "-e", "stderr", "-c", folder .. "/nginx.conf" }
    if answers(process, port) == "yes" then return { port = port, process = process, folder = folder } end
    process:stop()
  end
  error("no free port for nginx", 2)
end

-- What nginx wrote down: a list of { connection =, number = (of the request on it), protocol =, status = }, once there are n.
function tls.log(front, n)
  return e2e.eventually("nginx has logged " .. n .. " requests", function()
    local list = {}
    for c, number, protocol, status in e2e.read(front.folder .. "/access.log"):gmatch "(%d+) (%d+) (%S+) (%d+)\n" do
      list[#list + 1] = { connection = tonumber(c), number = tonumber(number), protocol = protocol, status = tonumber(status) }
    end
    return #list >= n and list
  end)
end

return tls

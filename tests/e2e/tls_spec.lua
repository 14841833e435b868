-- TLS towards clients, on both listeners, with curl and openssl on the other side: what is served, what is refused at load, certificates that change.
local e2e = require "support"
local tls = require "tls"

local config = [[return {
  listen = { "127.0.0.1:0", tls = { certificate = "public.pem", key = "public.key" } }, %s
  providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } } }]]
local admin = [[admin = { "127.0.0.1:0", tls = { certificate = "public.pem", key = "public.key" } }, ]]

local ca, a
setup(function() ca, a = tls.authority(), e2e.puppet() end)
teardown(e2e.stop)

local function copy(folder, cert)
  for name, from in pairs { ["public.pem"] = cert.file, ["public.key"] = cert.key } do
    e2e.write(folder .. "/" .. name .. ".new", e2e.read(from))
    assert(os.rename(folder .. "/" .. name .. ".new", folder .. "/" .. name))
  end
end

local function serve(options)
  local cert = ca:certificate "IP:127.0.0.1"
  return e2e.gateway { config = config:format((options or {}).admin or ""), env = { A = a.url },
                       files = { ["public.pem"] = e2e.read(cert.file), ["public.key"] = e2e.read(cert.key) } }
end

local function curl(port, path, ...)
  return { "curl", "-sS", "--max-time", "10", "--cacert", ca.file, ("https://127.0.0.1:%d%s"):format(port, path), ... }
end
local function get(...)
  local status, out, err = e2e.run(curl(...))
  assert.same({ 0, "" }, { status, err })
  return out
end
local question = { "-N", "-H", "content-type: application/json", "-d", '{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}' }

-- The fingerprint of what a port shows.
local function shown(port)
  local pipe = io.popen(("openssl s_client -connect 127.0.0.1:%d </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256 2>&1"):format(port))
  local text = pipe:read "*a"
  pipe:close()
  return text:match "=(%S+)"
end
local function fingerprint(file)
  local pipe = io.popen("openssl x509 -noout -fingerprint -sha256 -in " .. file)
  local text = pipe:read "*a"
  pipe:close()
  return text:match "=(%S+)"
end

describe("TLS towards clients", function()
  it("serves requests one after the other on one connection, over 1.2 and 1.3, nothing older", function()
    local g = serve()
    local url = ("https://127.0.0.1:%d/health"):format(g.port)
    for _, version in ipairs { "1.2", "1.3" } do
      local status, out = e2e.run { "curl", "-sS", "--cacert", ca.file, "--tls-max", version, "-w", "%{num_connects} %{http_version}\n",
                                    "-o", "/dev/null", "-o", "/dev/null", url, url }
      assert.same({ 0, "1 1.1\n0 1.1" }, { status, out })
    end
    assert.equal(35, (e2e.run { "curl", "-sS", "--cacert", ca.file, "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", url }))
  end)

  it("tells plain HTTP in plain HTTP where to go, in the form of every error", function()
    local g = serve { admin = admin }
    for _, port in ipairs { g.port, g.admin } do
      local answer = e2e.request(port, { path = "/health" })
      assert.equal(400, answer.status)
      assert.truthy(answer.body:find("https://", 1, true))
    end
    assert.equal("invalid_request", e2e.request(g.port, { path = "/v1/models" }).json.error.code)
  end)

  it("is not lost by another address from the command line or the environment", function()
    local g = serve()                               -- --listen, as every gateway here
    assert.equal('{"status":"ok"}', get(g.port, "/health"))
    local status, out, err = e2e.run({ e2e.lunette, "check", g.folder .. "/gateway.lua", "--table" }, { A = a.url, LUNETTE_LISTEN = "127.0.0.1:4444" })
    assert.equal(0, status)
    assert.truthy((out .. err):find("gateway.lua:2: note: listen.tls.certificate: expires in less than 2 days", 1, true))
    assert.truthy(out:find('listen.address = "127.0.0.1:4444"', 1, true))
    assert.truthy(out:find('listen.tls.certificate = "public.pem"', 1, true))
  end)

  it("can come from the environment alone", function()
    local cert = ca:certificate "IP:127.0.0.1"
    local g = e2e.gateway { config = [[return { listen = "127.0.0.1:0", providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a" } } } }]],
                            env = { A = a.url, LUNETTE_LISTEN_TLS_CERTIFICATE = cert.file, LUNETTE_LISTEN_TLS_KEY = cert.key } }
    assert.equal('{"status":"ok"}', get(g.port, "/health"))
  end)
end)

describe("a certificate that changes", function()
  it("is shown to new connections, and a stream under way goes on", function()
    local g = serve()
    local another = ca:certificate "IP:127.0.0.1"
    local command = curl(g.port, "/v1/chat/completions", unpack(question))
    local client = e2e.start(command)
    local call = a:accept()
    call:head()
    call:piece "before"
    client:expect "(before)"
    copy(g.folder, another)
    e2e.eventually("the new one is shown", function() return shown(g.port) == fingerprint(another.file) end)
    call:piece("after", "stop")
    call:event "[DONE]"
    call:finish()
    client:expect "(after)"
    client:expect "(%[DONE%])"
    assert.equal(0, client:wait())
  end)

  it("is refused by name when the new pair is bad, and the old one is kept", function()
    local g = serve()
    local before, other = shown(g.port), ca:certificate "IP:127.0.0.1"
    local expired = ca:certificate("IP:127.0.0.1", -1)
    local function refused(what, files)
      for name, text in pairs(files) do g:replace(name, text) end
      local answer = g:tell "reload"
      assert.equal(422, answer.status)
      assert.truthy(answer.json.errors[1]:find(what, 1, true), answer.body)
      assert.is_nil(answer.body:find("PRIVATE", 1, true))
      assert.equal(before, shown(g.port))
    end
    refused('gateway.lua:2: listen.tls.key: "public.key" does not belong to the certificate', { ["public.key"] = e2e.read(other.key) })
    refused('listen.tls.key: "public.key" holds no key in PEM form', { ["public.key"] = "half a key" })
    refused('listen.tls.certificate: "public.pem" has expired on ', { ["public.pem"] = e2e.read(expired.file), ["public.key"] = e2e.read(expired.key) })
    copy(g.folder, other)
    assert.equal(200, g:tell("reload").status)
    assert.equal(fingerprint(other.file), shown(g.port))
  end)

  it("stops the start, named with its line", function()
    local g = serve()
    os.remove(g.folder .. "/public.key")
    for _, command in ipairs { "check", "serve" } do
      local folder = e2e.folder()
      e2e.write(folder .. "/gateway.lua", config:format "")
      e2e.write(folder .. "/public.pem", e2e.read(g.folder .. "/public.pem"))
      local status, out, err = e2e.run({ e2e.lunette, command, folder .. "/gateway.lua" }, { A = a.url })
      assert.equal(1, status)
      assert.truthy((out .. err):find('gateway.lua:2: listen.tls.key: "public.key" cannot be read: No such file or directory', 1, true), out .. err)
    end
  end)
end)

describe("the admin interface over TLS", function()
  it("is found by the commands, who know its key from gateway.lua", function()
    local g = serve { admin = (admin:gsub("127.0.0.1:0", "127.0.0.1:4001", 1)) }
    local function lunette(words) return e2e.run({ "sh", "-c", ("cd '%s' && exec '%s' %s"):format(g.folder, e2e.program(), words) }, { A = a.url }) end
    e2e.write(g.folder .. "/gateway.lua", (e2e.read(g.folder .. "/gateway.lua"):gsub("127.0.0.1:4001", "127.0.0.1:" .. g.admin)))
    local status, out, err = lunette "versions"
    assert.equal("", err)
    assert.equal(0, status)
    assert.truthy(out:find("default@", 1, true))
    status, out, err = lunette("versions --admin https://127.0.0.1:" .. g.admin)         -- signed by nobody whom the system trusts
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find("certificate", 1, true))
    copy(g.folder, ca:certificate "IP:127.0.0.1")
    e2e.eventually("the new one is shown", function() return shown(g.admin) == fingerprint(g.folder .. "/public.pem") end)
    assert.equal(0, (lunette "versions"))
    assert.equal(0, (lunette "reload"))
  end)
end)

-- A Redis of its own on a port that the system chose: redis() starts it; it remembers what it was told over a restart.
--
--   local store = redis()          -- store.url, store.port, store.process, store.folder
--   store:command("flushall")      -- redis-cli; what it printed
--   store:restart(), store:start()
local e2e = require "support"

local Redis = {}
Redis.__index = Redis

function Redis:start()
  self.process = e2e.start { "redis-server", "--port", tostring(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", "", "--appendonly", "yes",
                             "--appendfsync", "always", "--enable-debug-command", "yes" }
  self.process:expect "Ready to accept connections()"
end

function Redis:restart()
  self.process:stop()
  self:start()
end

function Redis:command(...)
  local status, out, err = e2e.run { "redis-cli", "-p", tostring(self.port), ... }
  assert(status == 0, out .. err)
  return out
end

return function()
  local probe = assert(e2e.socket.bind("127.0.0.1", 0))
  local _, port = probe:getsockname()
  probe:close()
  local r = setmetatable({ port = tonumber(port), folder = e2e.folder(), url = "redis://127.0.0.1:" .. port }, Redis)
  r:start()
  return r
end

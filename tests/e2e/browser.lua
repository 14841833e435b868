-- A browser (headless Chromium) in the hands of a spec, by chromedriver, spoken to directly: W3C WebDriver, and Chromium's own protocol for what that has no
-- word for (sizes, colours, pictures). It reaches 127.0.0.1 and nothing else.
--
--   local b = browser.start()
--   b:go("http://127.0.0.1:4001/")
--   b:run("return document.title")                  -- a script's answer; arguments as `arguments[0]`
--   b:eventually("it is live", "return …")          -- until it is neither null nor false
--   b:keys(browser.TAB, "text", browser.ENTER)
--   b:console()                                     -- what the page said or broke, since it was last asked
local e2e = require "support"
local access, mime = require("posix.unistd").access, require "mime"

local browser = { TAB = "\238\128\132", ENTER = "\238\128\135", ESCAPE = "\238\128\140" }      -- U+E004, U+E007, U+E00C: as WebDriver names keys
local Browser = {}
Browser.__index = Browser

local arguments = { "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                    "--disable-component-update", "--disable-default-apps", "--disable-extensions", "--disable-sync", "--no-proxy-server", "--hide-scrollbars",
                    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1" }

local function find(name)
  for folder in (os.getenv "PATH" .. ":/usr/bin"):gmatch "[^:]+" do
    if access(folder .. "/" .. name, "x") then return folder .. "/" .. name end
  end
  error(name .. " is not installed: the Debian packages chromium and chromium-driver are wanted, which `make test-deps` installs", 0)
end

local function ask(b, method, path, body)
  local answer = e2e.request(b.port, { method = method, path = path, body = body })
  local value = answer.json and answer.json.value
  if answer.status ~= 200 then
    error(("the browser refuses %s %s: %s"):format(method, path, type(value) == "table" and tostring(value.message) or answer.body), 0)
  end
  if value ~= e2e.json.null then return value end
end

local function tell(b, path, body) return ask(b, "POST", b.session .. path, body or "{}") end

function browser.start()
  local chromium, driver = find "chromium", find "chromedriver"
  local b = setmetatable({}, Browser)
  b.process = e2e.start({ driver, "--port=0" }, { HOME = e2e.folder() })
  b.port = tonumber(b.process:expect "started successfully on port (%d+)")
  local options = { binary = chromium, args = { "--user-data-dir=" .. e2e.folder(), unpack(arguments) } }
  local wanted = { ["goog:chromeOptions"] = options, ["goog:loggingPrefs"] = { browser = "ALL" } }
  local made = ask(b, "POST", "/session", { capabilities = { alwaysMatch = wanted } })
  b.session = "/session/" .. made.sessionId
  return b
end

-- Ends the browser too, which chromedriver alone would leave behind.
function Browser:stop()
  if self.session then ask(self, "DELETE", self.session) end
  self.process:stop(e2e.SIGTERM)
end

function Browser:go(url) tell(self, "/url", { url = url }) end

function Browser:run(script, ...)
  local given = {}
  for i = 1, select("#", ...) do given[i] = e2e.json.encode((select(i, ...))) end
  return tell(self, "/execute/sync", ('{"script":%s,"args":[%s]}'):format(e2e.json.encode(script), table.concat(given, ",")))
end

function Browser:eventually(what, script, ...)
  local given = { ... }
  return e2e.eventually(what, function() return self:run(script, unpack(given)) end)
end

-- Types: each is a text or one of the keys above. They go to what has the focus.
function Browser:keys(...)
  local actions = {}
  for _, text in ipairs { ... } do
    for key in text:gmatch "[%z\1-\127\194-\244][\128-\191]*" do
      actions[#actions + 1] = { type = "keyDown", value = key }
      actions[#actions + 1] = { type = "keyUp", value = key }
    end
  end
  tell(self, "/actions", { actions = { { type = "key", id = "keyboard", actions = actions } } })
end

function Browser:console()
  local lines = {}
  for _, entry in ipairs(tell(self, "/se/log", { type = "browser" })) do lines[#lines + 1] = entry.level .. ": " .. entry.message end
  return lines
end

local function chromium(b, command, parameters)
  return tell(b, "/goog/cdp/execute", ('{"cmd":"%s","params":%s}'):format(command, e2e.json.encode(parameters)))
end

-- How wide the window is, in CSS pixels, and whether its person likes it dark.
function Browser:look(options)
  chromium(self, "Emulation.setDeviceMetricsOverride", { width = options.width, height = options.height or 800, deviceScaleFactor = options.scale or 1,
                                                         mobile = options.width < 500 })
  chromium(self, "Emulation.setEmulatedMedia", { features = { { name = "prefers-color-scheme", value = options.dark and "dark" or "light" } } })
end

-- A picture of all of the page, into a file: .png or .webp.
function Browser:picture(path)
  local form = path:match "%.webp$" and { format = "webp", quality = 80 } or { format = "png" }
  form.captureBeyondViewport = true
  local answer = chromium(self, "Page.captureScreenshot", form)
  e2e.write(path, (mime.unb64(answer.data)))
end

return browser

-- The dashboard, in a browser: what it shows, by keyboard too; that nothing that is shown can do anything; how it looks. Pictures go into build/.
local e2e = require "support"
local browser = require "browser"

local hostile = "<img src=x onerror=window.broken=1>"
local config = ([[return { policy = "p.lua", %%s limits = { lag = false },
  providers = { a = { base_url = env "A" }, gone = { base_url = "http://127.0.0.1:1/v1", health = { failures = 1 } } },
  models = { fast = { { provider = "a", model = "small", price = { input = 1, output = 2 } } },
             weak = { { provider = "gone", model = "big", price = { input = 4, output = 4 } } },
             long = { { provider = "a", model = "a-rather-long-name-of-a-model-2026-11", price = { input = 4, output = 4 } } } },
  teams = { web = { budget = { limit = 0.02, per = "week", soft = 0.5 } } },
  budgets = { total = { limit = 5, per = "day" }, tags = { tenant = { from = "header:x-tenant", limit = 1, per = "hour" } } },
  clients = { { name = "app", hash = "%s", team = "web" } } }]]):format(e2e.hash "k")
local policy = [[return { classify = function(request) return #request.text < 60 and request.text:match "^[^,%c]+$" or "plain" end }]]

local provider, b
setup(function()
  provider = e2e.provider [[return function(request)
    return { text = "x", after = 0.01, status = request.text == "fail" and 500 or nil, usage = { input = 500, output = 500 } }
  end]]
  b = browser.start()
  b:look { width = 1100 }
end)
teardown(function()
  if b then b:stop() end
  e2e.stop()
end)

local function serve(more, env)
  env = env or {}
  env.A = provider.url
  return e2e.gateway { env = env, workers = 2, files = { ["p.lua"] = policy }, config = config:format(more or "") }
end
local function ask(g, options)
  options = options or {}
  options.headers = { authorization = "Bearer k", ["x-tenant"] = options.tenant or "acme" }
  options.model, options.body = options.model or "fast", { max_tokens = 500 }
  return g:chat(options)
end
local function show(g) b:go("http://127.0.0.1:" .. g.admin .. "/") end
local function live() b:eventually("it is live", [[return document.getElementById("state").textContent.startsWith("Live")]]) end
local function text(id) return b:run([[return document.getElementById(arguments[0]).innerText]], id) end
local function shows(id, words)
  local good = pcall(b.eventually, b, "", [[return document.getElementById(arguments[0]).innerText.includes(arguments[1])]], id, words)
  if not good then error(id .. " never shows " .. words .. ", but: " .. text(id), 2) end
end
local function focus(selector) b:run([[document.querySelector(arguments[0]).focus()]], selector) end
local function quiet() assert.same({}, b:console()) end
local function picture(name) b:picture((e2e.lunette:match "^(.*)/" or ".") .. "/page-" .. name .. ".png") end

describe("the dashboard", function()
  local g
  setup(function()
    g = serve()
    b:console()
    show(g)
    live()
  end)

  it("comes with a policy that lets its own script run, and nothing else", function()
    local answer = e2e.request(g.admin, { path = "/" })
    local says = answer.headers["content-security-policy"]
    for _, part in ipairs { "default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "base-uri 'none'",
                            "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'" } do
      assert.truthy(says:find(part, 1, true), part)
    end
    assert.is_nil(says:find("unsafe", 1, true))
    local h = answer.headers
    assert.same({ "text/html; charset=utf-8", "nosniff", "no-store" }, { h["content-type"], h["x-content-type-options"], h["cache-control"] })
    for _, wrong in ipairs { " on%l+=", " style=", "innerHTML", 'src="', "https?://[^w]" } do assert.is_nil(answer.body:find(wrong), wrong) end
    assert.truthy(#answer.body <= 40 * 1024)
    quiet()
  end)

  it("shows what is asked while it is looked at: requests, budgets, providers, models", function()
    for _ = 1, 3 do assert.equal(200, ask(g).status) end
    assert.equal(502, ask(g, { model = "weak" }).status)
    assert.equal(502, ask(g, { text = "fail" }).status)
    shows("figures", "requests in all\n5")
    shows("figures", "answered, last minute\n60.0 %")
    shows("budgets", "tag tenant=acme")
    shows("budgets", "$0.020 a week")
    shows("targets", "gone/big\topen")
    shows("models", "weak")
    assert.equal("3 of 4 good", b:run [[return document.querySelector('#targets tr[data-key="a/small"] svg').getAttribute("aria-label")]])
    quiet()
  end)

  it("opens one of the last requests by keyboard, and goes back to where one was", function()
    shows("last", "502")
    focus "#last tbody button"
    b:keys(browser.ENTER)
    b:eventually("it is open", [[return document.getElementById("detail").open && document.querySelector("#detail .tree")]])
    assert.truthy(text("detail"):find("a/small", 1, true))
    assert.truthy(text("detail"):find("gone/big", 1, true))     -- it failed: how it was decided is kept
    picture "explained"
    assert.truthy(text("detail"):find("500", 1, true))
    b:keys(browser.ESCAPE)
    b:eventually("it is closed", [[return !document.getElementById("detail").open]])
    assert.is_true(b:run [[return document.activeElement.matches("#last tbody button")]])
    quiet()
  end)

  it("shows hostile names of models and labels as text", function()
    assert.equal(404, ask(g, { model = hostile }).status)
    assert.equal(200, ask(g, { text = hostile }).status)
    b:eventually("the one with the label is the first", [[
      const rows = document.querySelector("#last tbody").rows;
      return rows[1].innerText.includes(arguments[0]) && rows[0].innerText.includes("200")]], hostile)
    focus "#last tbody button"
    b:keys(browser.ENTER)
    shows("detail", hostile)
    b:keys(browser.ESCAPE)
    assert.equal(0, b:run [[return document.querySelectorAll("main img, main script, dialog img, dialog script").length]])
    assert.is_nil(b:run [[return window.broken]])
    quiet()
  end)

  it("reloads and goes back, after asking, and says what came of it", function()
    local unwatched = serve "watch = false,"             -- or the file that is saved is in force before the button is pressed
    show(unwatched)
    live()
    local first = unwatched:look("versions").current
    unwatched:replace("p.lua", policy .. " -- another")
    focus "#reload"
    b:keys(browser.ENTER)
    b:eventually("it asks", [[return document.getElementById("confirm").open]])
    b:keys(browser.ESCAPE)
    b:eventually("it asks no more", [[return !document.getElementById("confirm").open]])
    focus "#reload"
    b:keys(browser.ENTER)
    b:eventually("it asks", [[return document.getElementById("confirm").open]])
    focus "#confirm-yes"
    b:keys(browser.ENTER)
    local second
    e2e.eventually("it is in force", function()
      second = unwatched:look("versions").current
      return second ~= first
    end)
    shows("said", second)
    assert.not_equal(first, second)
    shows("versions", second)
    assert.equal("good,", b:run [[return [...document.querySelectorAll("#versions tbody tr")].slice(0, 2).map(row => row.cells[1].className.trim()).join()]])
    live()
    focus "#rollback"
    b:keys(browser.ENTER)
    focus "#confirm-input"
    b:keys("it was worse", browser.ENTER)
    shows("said", "Version " .. first .. " is in force again.")
    shows("versions", "it was worse")
    assert.truthy(e2e.read(unwatched.process.errors):find("admin dashboard", 1, true))
    unwatched:replace("p.lua", "return {")
    focus "#reload"
    b:keys(browser.ENTER)
    focus "#confirm-yes"
    b:keys(browser.ENTER)
    shows("said", "p.lua:1")
    unwatched:stop()
    show(g)
    live()
    b:console()                         -- a refused reload is a line there
  end)

  it("tries a version as a shadow, shows how it does, and ends it", function()
    local unwatched = serve "watch = false,"
    show(unwatched)
    live()
    unwatched:replace("p.lua", "return { classify = function() return 'other' end }")
    focus "#try"
    b:keys(browser.ENTER)
    focus "#confirm-input"
    b:keys(browser.ENTER)
    shows("shadow-state", "running")
    assert.equal(200, ask(unwatched, { text = "x" }).status)
    shows("shadow-state", "1 requests compared: 0 decided the same, 1 not")
    shows("shadow-figures", "expected cost")
    focus "summary"
    b:keys(browser.ENTER)
    shows("shadow-samples", "other")
    picture "shadow"
    focus "#untry"
    b:keys(browser.ENTER)
    focus "#confirm-input"
    b:keys("seen enough", browser.ENTER)
    shows("shadow-state", "stopped")
    quiet()
    unwatched:stop()
    show(g)
    live()
    b:console()
  end)

  it("can be used without eyes: landmarks, headings, captions, scopes, names", function()
    assert.same({}, b:run [[
      const wrong = [], say = (what, list) => { for (const e of list) wrong.push(what + ": " + e.outerHTML.slice(0, 80)); };
      const all = (selector, bad) => [...document.querySelectorAll(selector)].filter(bad);
      say("no heading", all("main section, dialog", e => !document.getElementById(e.getAttribute("aria-labelledby"))?.matches("h2")));
      say("no caption", all("table", e => !e.caption?.textContent && !e.getAttribute("aria-label")));
      say("no scope", all("th", e => !e.scope));
      say("no name", all("button", e => !(e.textContent.trim() || e.getAttribute("aria-label"))  && e.id !== "confirm-yes"));
      say("no label", all("input", e => !e.labels.length));
      say("no alternative", all("svg, .bar", e => !e.getAttribute("aria-label")));
      if (document.querySelectorAll("h1, header, main").length !== 3 || !document.documentElement.lang || !document.title) wrong.push("landmarks");
      return wrong.length ? wrong : {};]])
  end)

  it("fits a phone and a screen, light and dark", function()
    for name, how in pairs { light = { width = 1100 }, dark = { width = 1100, dark = true }, phone = { width = 360, height = 740 },
                             ["phone-dark"] = { width = 360, height = 740, dark = true } } do
      b:look(how)
      b:eventually("it is drawn", [[return new Promise(done => requestAnimationFrame(() => done(true)))]])
      assert.equal(how.width, b:run [[return document.documentElement.scrollWidth]], name)
      assert.equal(how.dark and "dark" or "light", b:run [[return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"]])
      picture(name)
    end
    b:look { width = 1100 }
  end)

  it("does not take what happened while nobody looked for one second", function()
    local fresh = serve()
    show(fresh)
    live()
    local function hide(yes)
      b:run([[Object.defineProperty(document, "hidden", { value: arguments[0], configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));]], yes)
    end
    assert.equal(200, ask(fresh).status)
    shows("figures", "requests in all\n1")
    hide(true)
    for _ = 1, 5 do
      for _ = 1, 2 do assert.equal(200, ask(fresh).status) end
      e2e.run { "sleep", "0.8" }
    end
    hide(false)
    shows("figures", "requests in all\n11")
    local most = tonumber(b:run([[return document.getElementById("chart").getAttribute("aria-label")]]):match "at most (%d+)")
    assert.is_true(most < 9, most)
    fresh:stop()
    show(g)
    live()
    b:console()
  end)

  it("says that the gateway does not answer, and goes on when it does", function()
    g.process:stop()
    shows("state", "does not answer")
    local again = e2e.start({ e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:" .. g.admin,
                              "--workers", "1" }, g.env)
    again:expect "metrics on (%S+)"
    live()
    b:console()
  end)
end)

describe("with a token, the dashboard", function()
  it("asks for it, keeps it for the tab, and forgets it when told", function()
    local g = serve("", { LUNETTE_ADMIN_TOKEN = "correct-horse-battery" })
    show(g)
    b:eventually("it asks", [[return !document.getElementById("login").hidden && document.activeElement.id === "token"]])
    assert.is_true(b:run [[return [...document.querySelectorAll(".live")].every(e => e.hidden)]])
    b:keys("wrong", browser.ENTER)
    shows("token-wrong", "not its token")
    b:keys("correct-horse-battery", browser.ENTER)
    live()
    assert.equal(200, ask(g).status)
    shows("last", "200")
    assert.same({ 0, "", "" }, { b:run [[return localStorage.length]], b:run [[return document.cookie]], b:run [[return location.search + location.hash]] })
    show(g)
    live()                              -- still known to this tab
    focus "#leave"
    b:keys(browser.ENTER)
    b:eventually("it asks again", [[return !document.getElementById("login").hidden]])
    assert.equal(0, b:run [[return sessionStorage.length]])
  end)
end)

-- What providers and the web do in a spec, and how the simulation comes to ask for it. A failing function is remembered in
-- gateway.blamed, and raised where the spec asked.
local native, json = ...
local scenario = native.part "scenario" { json = json }

---- what a provider answers ----

local answer_fields = {}
for name in ("status headers after text finish_reason usage model body events every keep cut cut_at stall fail"):gmatch "%S+" do
  answer_fields[name] = true
end

-- Whether a table of `providers` says more about the provider than its answer.
local function is_settings(value)
  return type(value) == "table" and (value.answer ~= nil or value.keys ~= nil or value.key_probe ~= nil)
end

local function answer_in(value)
  if is_settings(value) then return value.answer or {} end
  return value
end

-- Every way to say what a provider does becomes a function(request, n).
local function script_of(what, name)
  local kind = type(what)
  if kind == "function" then return what end
  if kind == "string" then return function() return { text = what } end end
  if kind == "number" then return function() return { status = what, body = { error = { message = name .. " says " .. what } } } end end
  if kind ~= "table" then
    error("providers." .. name .. ": expected a text, a status, an answer, a list of them or a function(request, n), not a " .. kind, 0)
  end
  if what[1] == nil then return function() return what end end
  local list = {}
  for i = 1, #what do list[i] = script_of(what[i], name) end
  return function(request, n) return list[n < #list and n or #list](request, n) end
end

local function completed(answer, name)
  if type(answer) == "string" or type(answer) == "number" then answer = script_of(answer, name)() end
  if type(answer) == "table" and not answer.body and not answer.text and not answer.events and not answer.cut and not answer.fail then
    local copy = {}
    for field, value in pairs(answer) do copy[field] = value end
    local status = answer.status or 200
    if status < 300 then copy.text = "hello from " .. name
    else copy.body = { error = { message = name .. " says " .. status } } end
    return copy
  end
  return answer
end

-- The name of a field that an answer does not have, or nil.
local function wrong_field(what)
  if type(what) ~= "table" or is_settings(what) or what[1] ~= nil then return nil end
  for field in pairs(what) do
    if not answer_fields[field] then return tostring(field) end
  end
end

-- The scene that a provider plays; nil: it is not known (then a script of its own is played, if it has one).
local function scene_of(gateway, scripts, name, request, n)
  if scripts[name] == nil then
    if not gateway.simulation:has_script(name) then
      gateway.blamed = gateway.blamed or {
        missing = ("the provider `%s` was called, and the spec does not say what it answers (providers.%s)"):format(name, name) }
    end
    return nil
  end
  local script = script_of(answer_in(scripts[name]), name)
  return scenario(function(r, count) return completed(script(r, count), name) end)(request, n)
end

-- GET /models: every 30 s with a key that it had refused, and for canaries. That is none of the requests a spec speaks of.
local function probe_scene(gateway, scripts, name, request)
  local seen, what = gateway:provider(name), scripts[name]
  seen.probes = seen.probes + 1
  if what == nil and gateway.simulation:has_script(name) then return nil end
  local script = script_of(is_settings(what) and what.key_probe or seen.refused and 401 or 200, name)
  return scenario(function(r, n) return completed(script(r, n), name) end)(request, seen.probes)
end

-- `scripts` by name of provider, as in t.gateway.
local function player(gateway, scripts)
  return function(name, request)
    if request.method == "GET" then return probe_scene(gateway, scripts, name, request) end
    local seen = gateway:provider(name)
    seen.requests = seen.requests + 1
    request.at = gateway:now()
    seen.calls[seen.requests] = request
    local good, scene = xpcall(function() return scene_of(gateway, scripts, name, request, seen.requests) end, function(why)
      gateway.blamed = gateway.blamed or why
    end)
    seen.refused = seen.refused or (good and scene and scene.status == 401)
    return good and scene or nil
  end
end

---- what the web answers ----

local function web_answer(web, request)
  local said = web
  if type(web) == "function" then said = web(request)
  elseif type(web) == "table" then said = web[request.url] end
  if type(said) == "string" then said = { body = said } end
  if type(said) == "number" then said = { status = said } end
  if type(said) ~= "table" then
    error("web: expected { status =, body = }, a text or a status for " .. request.url .. ", got " .. type(said), 0)
  end
  local body = type(said.body) == "table" and json.encode(said.body) or said.body
  return { status = said.status, headers = said.headers, body = body, after = said.after, error = said.error }
end

-- `web` of t.gateway: a function(request), a table by URL, or one answer for all.
local function fetcher(gateway, web)
  return function(request)
    gateway.fetched[#gateway.fetched + 1] = request
    request.json = json.decode(request.body)
    local good, said = xpcall(function() return web_answer(web, request) end, function(why) gateway.blamed = gateway.blamed or why end)
    return good and said or nil
  end
end

return { player = player, fetcher = fetcher, is_settings = is_settings, wrong_field = wrong_field }

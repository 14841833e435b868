-- How hard a question is, from its text: words of a list, length, program code.
local lunette = require "lunette"
local options = require "lunette.options"

local error, ipairs, type = error, ipairs, type

local complexity = {}

-- What a level can ask for: any one of it is enough.
local LEVEL = {
  keywords = { "count", min = 1 },      -- so many different ones of the list
  over_chars = { "count" },             -- more characters than that
  over_words = { "count" },             -- more words
  code = { "boolean" },                 -- words of the list `code`, or, without one, request.has_code
}

local function fits(level, request, hard, code)
  if level.over_chars and request.chars > level.over_chars then return true end
  if level.over_words and request.words > level.over_words then return true end
  if level.keywords and hard(request.text) >= level.keywords then return true end
  if not level.code then return false end
  if code then return code(request.text) > 0 end
  return request.has_code
end

local function read_level(level)
  if type(level) ~= "table" or type(level[1]) ~= "string" then
    error('complexity.levels: a level is written { "name", keywords = 2, … }', 3)
  end
  options.read("complexity.levels: " .. level[1], level, LEVEL, { "text" }, 2)
  return level
end

-- levels { keywords = { "analyze", … }, { "hard", keywords = 2, over_chars = 500 }, { "medium", keywords = 1 }, otherwise = "simple" }: a function of
-- a request that gives the name of the first level of which anything is so. Of a question without text every level is `otherwise`.
function complexity.levels(given)
  if type(given) ~= "table" or #given == 0 then error("complexity.levels: a list of levels is wanted", 2) end
  local lists = options.read("complexity.levels", { keywords = given.keywords, code = given.code, otherwise = given.otherwise }, {
    keywords = { "texts" }, code = { "texts" }, otherwise = { "text", required = true },
  })
  local hard = lists.keywords and lunette.keywords(lists.keywords)
  local code = lists.code and lunette.keywords(lists.code)
  local levels = {}
  for i, level in ipairs(given) do
    levels[i] = read_level(level)
    if level.keywords and not hard then error("complexity.levels: " .. level[1] .. " counts keywords, but there is no list of them", 2) end
  end
  return function(request)
    for _, level in ipairs(levels) do
      if fits(level, request, hard, code) then return level[1] end
    end
    return lists.otherwise
  end
end

return complexity

-- Which models will do for which task.
local options = require "lunette.options"

local error, pairs, type = error, pairs, type

local tasks = {}

-- models { faq = { "small" }, report = { "large", "small" }, otherwise = "faq" }: a function of a task that gives its models, and the name under
-- which they stand: that of `otherwise` for a task that the table does not have.
function tasks.models(given)
  if type(given) ~= "table" then error("tasks.models: a table of tasks is wanted", 2) end
  local otherwise = given.otherwise
  for task, models in pairs(given) do
    local problem = task ~= "otherwise" and options.problem(task, models, { "models" })
    if problem then error("tasks.models: " .. problem, 2) end
  end
  if type(otherwise) ~= "string" or type(given[otherwise]) ~= "table" then error("tasks.models: otherwise is to be one of the tasks", 2) end
  return function(task)
    if task == nil or task == "otherwise" or given[task] == nil then task = otherwise end
    return given[task], task
  end
end

-- groups { high = { "legal", "medical" }, low = { … }, otherwise = "low" }: a function of a task that gives its group.
function tasks.groups(given)
  if type(given) ~= "table" then error("tasks.groups: a table of groups is wanted", 2) end
  local of = {}
  for group, list in pairs(given) do
    if group ~= "otherwise" then
      local problem = options.problem(group, list, { "texts" })
      if problem then error("tasks.groups: " .. problem, 2) end
      for _, task in pairs(list) do
        if of[task] then error("tasks.groups: the task '" .. task .. "' is in two groups", 2) end
        of[task] = group
      end
    end
  end
  if type(given.otherwise) ~= "string" then error("tasks.groups: otherwise is to be the name of a group", 2) end
  return function(task) return of[task or ""] or given.otherwise end
end

return tasks

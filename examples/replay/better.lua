-- The same gateway with another policy: what is to be tried.
local lunette = require "lunette"
return lunette.merge(require "gateway", { policy = "second.lua" })

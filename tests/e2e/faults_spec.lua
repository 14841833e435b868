-- The fault matrix, with each way to reach a provider.
local here = debug.getinfo(1, "S").source:match "^@(.*)/"
local matrix = assert(loadfile(here .. "/fault_matrix.lua"))
setfenv(matrix, getfenv(1))     -- that of a spec
for _, transport in ipairs { "direct", "curl" } do matrix(transport) end

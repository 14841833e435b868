local words = require "words"
return { select = function(_, targets) return targets:named(words.favourite) end }

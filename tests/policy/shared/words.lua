return { favourite = "b" }

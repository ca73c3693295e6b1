"""Floor 2: rules as data, the matcher, and the worklist that drives them."""

"""Tell whether a model would run on a target, and if not, which node and why."""

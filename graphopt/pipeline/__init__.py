"""Floor 3: passes, their registry, pipelines as text, the runner and its instruments."""

"""Floor 4: measurements of models: paired timing, comparison, the machine."""

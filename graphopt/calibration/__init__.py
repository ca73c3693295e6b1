"""Floor 3: tasks, the data that a model is judged and calibrated on."""

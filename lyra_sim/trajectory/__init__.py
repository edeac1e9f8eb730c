"""Camera paths: the planner and the presets."""

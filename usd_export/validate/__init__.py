"""Gates of a written scene: validators, distances, drop test."""

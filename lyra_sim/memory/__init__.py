"""Per-frame spatial memory: what was seen from where, retrieval by visibility, forward warping."""

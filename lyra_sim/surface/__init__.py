"""From the fused surface to clean, labelled, textured meshes and a repaired floor."""

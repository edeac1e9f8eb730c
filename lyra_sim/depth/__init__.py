"""Observe: metric depth, gravity and scale of a capture, and how sure that is. One file per backend."""

"""Flats and streets with known truth, and the exact renderer that shows them.

Owns truth; knows nothing of reconstruction."""

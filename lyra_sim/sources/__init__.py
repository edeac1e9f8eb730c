"""Readers of what people have: photos, RGB-D walks.

Owns discovery, bounded decoding and turning foreign conventions into ours."""

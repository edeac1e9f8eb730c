"""Flats and streets with known truth, the exact renderer that shows them, and writers that pass them off as inputs.

Owns: how a place is made from a seed (`flat.make_flat`, `street.make_street`), what a camera sees of it
(`render.render`), where a robot is truly free and how far a point truly is from a surface (`truth`), plausible walks
and photos (`cameras`), and files in the input formats with their truth beside them (`write`, `example`).

Does not own: anything about how such files are read or a world is made from them; it must not know, or its truth
would not be independent.

Start reading at `scene.py` (the record), then `flat.py` and `render.py`.
"""

"""Records and errors that every other package speaks in.

Owns: the frozen, shape-checked records that travel between stages (`records.py`), the decorator that checks and
freezes them (`record.py`), the error classes with their four-part messages (`errors.py`), the conventions
(`conventions.py`), which packages only networks need (`packages.py`).
Does not own: files, networks, algorithms. Start reading at `conventions.py`, then `records.py`.
"""

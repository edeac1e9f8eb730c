"""Codecs: records, images, video, meshes to and from files. Owns formats; does not own meaning.

Foreign images pass through `decode.py` (bounded, in a process of its own); everything else here writes or reads this
project's own files, the same content always as the same bytes. Start reading at `records.py` and `world.py`."""

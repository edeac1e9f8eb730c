"""`lyra-sim vectors`: our functions against reference numbers, one module per kind of file.

Start reading at `compare`.
"""

from pipelines.vectors.compare import compare

__all__ = ["compare"]

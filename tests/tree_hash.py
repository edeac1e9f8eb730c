"""`python -m tests.tree_hash OUT`: one hash over every byte of every world folder of an output folder."""

import hashlib
import sys
from pathlib import Path


def tree_hash(out: Path) -> str:
    """SHA-256 over the sorted relative paths and contents of all files in world folders (published and quarantined).

    World folders are those that hold a `report.json`.
    """
    digest = hashlib.sha256()
    worlds = sorted({p.parent for pattern in ("*/report.json", "quarantined/*/report.json") for p in out.glob(pattern)})
    for world in worlds:
        for path in sorted(p for p in world.rglob("*") if p.is_file()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(out).as_posix()} {content}\n".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    print(tree_hash(Path(sys.argv[1])))

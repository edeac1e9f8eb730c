"""`python -m tests.faults.engines`: every engine with one and two workers must write the same bytes.

Prints one JSON line per combination: engine, workers, seconds, exit code and tree hash. Exit 1 when a hash differs.
"""

import argparse
import contextlib
import itertools
import json
import sys
import tempfile
from pathlib import Path

from tests.faults.kill import undisturbed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--engine", action="append", choices=["local", "ray"])
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--folder", help="keep everything here; finished runs there are not made again")
    options = parser.parse_args()
    hashes, ok = set(), True
    with tempfile.TemporaryDirectory() if options.folder is None else contextlib.nullcontext(options.folder) as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for engine, workers in itertools.product(options.engine or ["local", "ray"], options.workers or [1, 2]):
            made = undisturbed(options.sources, Path(folder), engine=engine, workers=workers, sets=options.sets)
            print(json.dumps({"engine": engine, "workers": workers, **made}), flush=True)
            hashes.add(made["hash"])
            ok = ok and made["exit"] in (0, 3)
    return 0 if ok and len(hashes) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs a script, or a module after -m, of Isaac Lab with the tasks of this package registered.

./isaaclab.sh -p OUT/isaaclab/with_tasks.py scripts/reinforcement_learning/rsl_rl/train.py --task TASK --headless
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "source" / "lyra_sim_nav"))
import lyra_sim_nav  # noqa: F401  needs neither Kit nor Isaac Lab

if len(sys.argv) < 2:
    sys.exit(__doc__)
sys.argv = sys.argv[1:]
if sys.argv[0] == "-m":
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    runpy.run_path(sys.argv[0], run_name="__main__")

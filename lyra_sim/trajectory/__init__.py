"""Camera paths: where to look and walk next, and path files.

Owns: the map of known free floor (`freemap.py`), routes and goals on it (`route.py`), smooth motion (`motion.py`), the
planner of the loop that puts them together (`planner.py`), path files in and out (`path_file.py`, `keyframes.py`,
`pose_export.py`), known motions (`presets.py`, driven within the limits by `timing.py`), and what makes either of them
a path to drive (`given.py`). The next-best-view planner that is to follow it (`nextview.py`; measured by
`benchmarks/exploration.py`, not in the loop yet) knows space in voxels (`voxels.py`) beside the floor in cells
(`survey.py`), and what a view would newly show (`gain.py`, `ways.py`).
Does not own: robot maps and episodes (`robot_tasks`), which are made from the finished world.
Start reading at `planner.plan`, at `given.given_path`, or at `nextview.NextView.plan`.
"""

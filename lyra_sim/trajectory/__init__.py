"""Camera paths: where to look and walk next, and path files.

Owns: the map of known free floor (`freemap.py`), routes and goals on it (`route.py`), smooth motion (`motion.py`), the
planner that puts them together (`planner.py`), path files (`path_file.py`).
Does not own: robot maps and episodes (`robot_tasks`), which are made from the finished world.
Start reading at `planner.plan`.
"""

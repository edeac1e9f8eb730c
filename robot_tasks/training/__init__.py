"""Navigation policies: PPO over many finished worlds, evaluation on worlds that were kept from it, export.

Owns: which worlds are trained on and which are not, the training loop, scores with intervals, baselines in the same
run, pictures, the exported policy with its input contract; flats of boxes to compare with.
Does not own: the simulation (`robot_tasks.envs`), maps and episodes (the rest of `robot_tasks`). PPO, networks and
storage are those of rsl-rl, the library and the names that Isaac Lab uses.
Start reading at `ppo.py` (`Training`), then `evaluate.py`, `scores.py`, `export.py`. Needs the extra `train`.
"""

"""The light simulation: robots in many finished worlds at once, fast enough to train navigation policies on a CPU.

Owns: packing worlds (`atlas.py`), one control step compiled for a CPU core (`kernels.py`) or a GPU (`warp_kernels.py`,
`warp_engine.py`), depth pictures (`depth.py`), observations, rewards and episodes (`vector.py`, with `pool.py` and
`noise.py`), the interfaces of trainers (`gym.py`, `rsl.py`), policies that need no training (`baselines.py`),
evaluation (`evaluate.py`).
Does not own: reading worlds (`robot_tasks.worlds`), learning, physics engines.
Start reading at `vector.py`, then `kernels.py`.
"""

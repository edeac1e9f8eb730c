"""lyra-sim: photos in, robot training worlds out. Start reading at `lyra_sim/core/conventions.py`."""

__version__ = "0.1.0"

"""Boxes among the colliders of a stage, asked of PhysX. A program of its own, for an interpreter that has ovphysx:

    PYTHON _physx_boxes.py STAGE IN.npz OUT.npy

IN.npz: centre (N, 3), yaw (N,), half (N, 3), metres and radians. OUT.npy: (N,) bool, whether PhysX's overlap query
finds a collider in the box. Imports nothing of this project.
"""

import math
import sys
import warnings

import numpy as np


def open_stage(path: str):
    """PhysX on a CPU with the stage loaded, and the stage to keep."""
    import ovphysx
    import ovstage
    from ovphysx import PhysX
    from ovphysx.samples.python_samples.schema_support import physx_schema_paths

    PhysX.set_cpu_mode(True)
    physx = PhysX()
    roots = [*map(str, physx_schema_paths()), str(ovphysx.newton_schema_root())]
    ovstage.population.register_usd_schemas(roots)
    stage = ovstage.Stage("boxes")
    ovstage.population.open_usd(stage, path, ordinal=1, domains=ovstage.PopulationDomain.ALL)
    stage.advance_write_floor(ordinal=1).wait()
    physx.wait_task(physx.attach_ovstage(stage, read_ordinal=1))
    physx.warmup()
    physx.wait_all()
    return physx, stage


def main() -> int:
    warnings.simplefilter("ignore")  # its scene queries are called deprecated; nothing else asks for an overlap
    from ovphysx import SceneQueryGeometryType, SceneQueryMode

    physx, stage = open_stage(sys.argv[1])
    boxes = np.load(sys.argv[2])
    found = np.zeros(len(boxes["yaw"]), bool)
    for k, (centre, yaw, half) in enumerate(zip(boxes["centre"], boxes["yaw"], boxes["half"], strict=True)):
        found[k] = bool(
            physx.overlap(
                SceneQueryGeometryType.BOX, SceneQueryMode.ANY, half_extent=tuple(half), position=tuple(centre),
                rotation=(0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)),
            )
        )  # fmt: skip
    np.save(sys.argv[3], found)
    physx.wait_task(physx.detach_ovstage())
    physx.destroy()
    stage.destroy()
    return 0


if __name__ == "__main__":
    sys.exit(main())

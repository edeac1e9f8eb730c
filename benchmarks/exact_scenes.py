"""Exact procedural flats as USD scenes, for judging a physics check: what does it say of a collider without any error?

    python benchmarks/exact_scenes.py OUT [WALK...] [--flats 10] [--first-flat 41]

Writes OUT/NAME.usda for each example walk (a folder with truth/truth.json) and for procedural flats of three rooms with
changes of level: their exact triangles as static colliders, one a class, with friction and offsets as in finished
worlds. Balls that such a check drops on them and that do not come to rest are beside true low things: feet of lamps and
chairs, kerbs, thresholds.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from pxr import UsdPhysics

from lyra_sim.core.records import ColliderPart, Label
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.write import scene_of
from usd_export.colliders import colliders_stage
from usd_export.layers import ROOT, save


def parts_of(scene: ProceduralScene) -> list[ColliderPart]:
    """The exact triangles, one part for each class."""
    return [
        ColliderPart(
            name=Label(label).name.lower(),
            kind="trimesh",
            label=int(label),
            vertices=scene.vertices.astype(np.float32),
            faces=scene.faces[scene.face_label == label].astype(np.int32),
        )
        for label in np.unique(scene.face_label)
    ]


def main() -> int:
    """Write the scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("walks", nargs="*", type=Path)
    parser.add_argument("--flats", type=int, default=10)
    parser.add_argument("--first-flat", type=int, default=41)
    args = parser.parse_args()
    scenes = {walk.resolve().name: scene_of(walk)[0] for walk in args.walks}
    for seed in range(args.first_flat, args.first_flat + args.flats):
        scenes[f"flat_{seed}"] = make_flat(seed, rooms=3, level_changes=True)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, scene in scenes.items():
        stage, _ = colliders_stage(parts_of(scene))
        UsdPhysics.Scene.Define(stage, f"{ROOT}/PhysicsScene")
        save(stage, args.out / f"{name}.usda")
        print(args.out / f"{name}.usda")
    return 0


if __name__ == "__main__":
    sys.exit(main())

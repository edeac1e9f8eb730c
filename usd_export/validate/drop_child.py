"""The drop test's physics as a process of its own: `python -m usd_export.validate.drop_child PARENT IN.npz OUT.npz`.

The only file that knows Newton. A crash of the engine, or of its compiler, ends this process and nothing else.
"""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from lyra_sim.io.processes import die_with_parent

STEP_S = 1 / 120
SUBSTEPS = 2
FRICTION = 0.7


def main(source: str, target: str) -> None:
    """Drop balls on static colliders and write their last positions, last speeds and greatest speeds.

    In: `vertices`, `faces`, `part_vertices`, `part_faces`, `part_hull` (counts and kind per collider), `centres`
    (N, 3), `world_parts`, `world_balls` (counts per world; worlds do not meet), `radius`, `seconds`. Out: `centres`
    (N, 3), `speed` (N,), `fastest` (N,).
    """
    import warp

    warp.config.log_level = warp.LOG_WARNING
    # Nothing is differentiated here; without the backward kernels the first compilation takes half the time.
    warp.config.enable_backward = False
    import newton

    with np.load(source) as stored:
        scene = {name: stored[name] for name in stored.files}
    builder = newton.ModelBuilder(up_axis=newton.Axis.Z)
    colliders = _colliders(scene)
    balls = np.split(scene["centres"], np.cumsum(scene["world_balls"]))[:-1]
    for count, centres in zip(scene["world_parts"], balls, strict=True):
        builder.begin_world()
        _add_colliders(builder, itertools.islice(colliders, int(count)))
        _add_balls(builder, centres, float(scene["radius"]))
        builder.end_world()
    model = builder.finalize(device="cpu")
    solver = newton.solvers.SolverXPBD(model, iterations=4)
    # A body's own pose is set when it is added; without joints there are no kinematics to evaluate (and to compile).
    state: Any = model.state()
    other, control = model.state(), model.control()
    pipeline = newton.CollisionPipeline(model)
    contacts = pipeline.contacts()
    fastest = np.zeros(len(scene["centres"]))
    with warp.ScopedCapture(device="cpu", force_module_load=False) as step:
        pipeline.collide(state, contacts)  # the dear part on dense meshes: once per step
        for _ in range(SUBSTEPS):
            state.clear_forces()
            solver.step(state, other, control, contacts, STEP_S / SUBSTEPS)
            state, other = other, state
    graph: Any = step.graph
    for _ in range(round(float(scene["seconds"]) / STEP_S)):
        warp.capture_launch(graph)
        fastest = np.fmax(fastest, _speeds(state))
    np.savez(target, centres=state.body_q.numpy()[:, :3], speed=_speeds(state), fastest=fastest)


def _colliders(scene: dict[str, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Vertices, faces and whether it is a hull, of each collider."""
    vertices = np.split(scene["vertices"], np.cumsum(scene["part_vertices"]))[:-1]
    faces = np.split(scene["faces"], np.cumsum(scene["part_faces"]))[:-1]
    yield from zip(vertices, faces, scene["part_hull"].tolist(), strict=True)


def _add_colliders(builder: Any, colliders: Iterator[tuple[np.ndarray, np.ndarray, bool]]) -> None:
    import newton

    config = newton.ModelBuilder.ShapeConfig(mu=FRICTION, collision_group=1)
    for vertices, faces, hull in colliders:
        mesh = newton.Mesh(vertices, faces.ravel(), compute_inertia=False)
        (builder.add_shape_convex_hull if hull else builder.add_shape_mesh)(-1, mesh=mesh, cfg=config)


def _add_balls(builder: Any, centres: np.ndarray, radius: float) -> None:
    import newton
    import warp

    # Members of one negative group do not meet each other: every ball tests its own spot.
    config = newton.ModelBuilder.ShapeConfig(mu=FRICTION, collision_group=-1)
    for centre in centres.astype(float):
        body = builder.add_body(xform=warp.transform(tuple(centre), warp.quat_identity()))
        builder.add_shape_sphere(body, radius=radius, cfg=config)


def _speeds(state: Any) -> np.ndarray:
    """Speeds, m/s; one that is not finite counts as infinite."""
    speed = np.linalg.norm(state.body_qd.numpy()[:, :3], axis=1)
    return np.where(np.isfinite(speed), speed, np.inf)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    main(*sys.argv[2:])

"""The part of a scene that physics sees: static colliders with their approximation and friction stated, one layer per
variant, and the one merged mesh for sensors that accept a single mesh."""

from collections.abc import Sequence

import numpy as np
from pxr import Sdf, Usd, UsdGeom, UsdPhysics, UsdShade

from lyra_sim.core.records import ColliderPart, Colliders, Label
from usd_export import tessellate
from usd_export.layers import ROOT, new_stage, unique_path
from usd_export.meshes import clean, define_mesh

COLLIDERS = f"{ROOT}/Colliders"
MERGED = f"{ROOT}/NavCollision"
VARIANT_OF = {"static_mesh": "mesh", "convex": "convex"}
"""Name of the variant that holds the parts of a collider backend."""
LAYER_OF = {"mesh": "colliders.usdc", "convex": "colliders_convex.usdc"}
"""The layer whose colliders a variant loads."""
STATIC_FRICTION, DYNAMIC_FRICTION, RESTITUTION = 0.8, 0.7, 0.0
"""Rubber wheels on a dry hard floor. Stated, because an engine takes 0 where nothing is."""
CONTACT_OFFSET_M, REST_OFFSET_M = 0.02, 0.0
"""PhysX looks for contacts this far ahead, beside what the other body states. By its own choice, balls that fell on the
floor of two worlds were thrown aside by low things of another collider, 10 cm away, that they did not touch."""


def colliders_stage(parts: Sequence[ColliderPart]) -> tuple[Usd.Stage, dict[str, str]]:
    """The stage of one variant's layer and the class of each collider by prim path.

    Colliders are static (no rigid body), invisible to cameras (purpose guide), and bind a physics material. All lies
    below one prim, which a scene loads as a payload.
    """
    stage = new_stage()
    UsdGeom.Xform.Define(stage, COLLIDERS)
    UsdGeom.Scope.Define(stage, f"{COLLIDERS}/PhysicsMaterials")
    material = UsdShade.Material.Define(stage, f"{COLLIDERS}/PhysicsMaterials/Ground")
    physics = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    physics.CreateStaticFrictionAttr(STATIC_FRICTION)
    physics.CreateDynamicFrictionAttr(DYNAMIC_FRICTION)
    physics.CreateRestitutionAttr(RESTITUTION)
    classes = {}
    for part in parts:
        vertices, faces = realised(part)
        if len(faces) == 0:
            continue
        path = unique_path(stage, COLLIDERS, part.name)
        mesh = define_mesh(stage, path, vertices, faces, smooth=False)
        mesh.CreatePurposeAttr(UsdGeom.Tokens.guide)
        prim = mesh.GetPrim()
        UsdPhysics.CollisionAPI.Apply(prim).CreateCollisionEnabledAttr(True)
        approximation = UsdPhysics.Tokens.convexHull if part.kind == "hull" else UsdPhysics.Tokens.none
        UsdPhysics.MeshCollisionAPI.Apply(prim).CreateApproximationAttr(approximation)
        _state_offsets(prim)
        UsdShade.MaterialBindingAPI.Apply(prim).Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")
        classes[str(path)] = Label(part.label).name.lower()
    return stage, classes


def _state_offsets(prim: Usd.Prim) -> None:
    """By name, since usd-core has no PhysX schemas."""
    prim.AddAppliedSchema("PhysxCollisionAPI")
    for name, value in (("contactOffset", CONTACT_OFFSET_M), ("restOffset", REST_OFFSET_M)):
        prim.CreateAttribute(f"physxCollision:{name}", Sdf.ValueTypeNames.Float, custom=False).Set(value)


def realised(part: ColliderPart) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (float32) and faces of a part as it is written: the hull of a hull part, the triangles of a mesh,
    without empty triangles and unused points."""
    vertices, faces = part.vertices, part.faces
    if part.kind == "hull":
        vertices, faces = tessellate.hull(part.vertices)
        vertices = vertices.astype(np.float32)
    vertices, faces, _, _ = clean(vertices, faces)
    return vertices, faces


def merged(colliders: Colliders) -> tuple[np.ndarray, np.ndarray]:
    """All parts as one mesh, one after the other."""
    vertices, faces, offset = [], [], 0
    for part in colliders.parts:
        points, triangles = realised(part)
        vertices.append(points)
        faces.append(triangles + np.int32(offset))
        offset += len(points)
    return np.concatenate(vertices), np.concatenate(faces)


def merged_stage(colliders: Colliders) -> Usd.Stage:
    """The stage of `nav_collision.usdc`: one mesh with every collider's triangles and no physics, for ray-cast sensors
    that take exactly one mesh (Isaac Lab's RayCaster)."""
    stage = new_stage()
    vertices, faces = merged(colliders)
    mesh = define_mesh(stage, Sdf.Path(MERGED), vertices, faces, smooth=False)
    mesh.CreatePurposeAttr(UsdGeom.Tokens.guide)
    return stage

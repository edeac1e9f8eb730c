"""Worlds for other programs: textured meshes as GLB, points and splats as PLY, byte for byte the same every time."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import GaussianSplats, TexturedMesh
from lyra_sim.io.images import jpeg_bytes

FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
MAX_LOGIT = 15.0
"""Opacities of exactly 0 and 1 have no logit; this is as near as a viewer can tell."""


def write_glb(path: Path, textured: TexturedMesh, *, name: str = "world") -> None:
    """Write a textured mesh as binary glTF 2.0, unlit (the texture holds the light of the photos).

    glTF is Y up: (x, y, z) is written as (x, z, -y); this is the only export that rotates anything. Texture
    coordinates are flipped because glTF counts v from the top.
    """
    mesh = textured.mesh
    corner_vertex = mesh.faces.reshape(-1)
    # A vertex with several texture coordinates (seams) becomes several glTF vertices.
    keys = np.concatenate(
        [corner_vertex[:, None].astype(np.uint32), textured.uv.reshape(-1, 2).view(np.uint32).reshape(-1, 2)], axis=1
    )
    _, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    x, y, z = mesh.vertices[corner_vertex[first]].T
    positions = np.stack([x, z, -y], axis=1).astype("<f4")
    uv = textured.uv.reshape(-1, 2)[first]
    uv = np.stack([uv[:, 0], 1.0 - uv[:, 1]], axis=1).astype("<f4")
    chunks = [
        index.reshape(-1).astype("<u4").tobytes(),
        positions.tobytes(),
        uv.tobytes(),
        jpeg_bytes(textured.texture, quality=90),
    ]
    blob = bytearray()
    views: list[dict[str, int]] = []
    for chunk, target in zip(chunks, (ELEMENT_ARRAY_BUFFER, ARRAY_BUFFER, ARRAY_BUFFER, None), strict=True):
        view = {"buffer": 0, "byteOffset": len(blob), "byteLength": len(chunk)}
        views.append(view if target is None else {**view, "target": target})
        blob += chunk + b"\0" * (-len(chunk) % 4)
    _write_gltf(path, _gltf_tree(name, views, index.size, positions, len(blob)), bytes(blob))


def _gltf_tree(
    name: str, views: list[dict[str, int]], corners: int, positions: np.ndarray, blob_bytes: int
) -> dict[str, Any]:
    bounds = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()} if len(positions) else {}
    return {
        "asset": {"version": "2.0", "generator": "lyra-sim"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [
            {
                "name": name,
                "primitives": [{"attributes": {"POSITION": 1, "TEXCOORD_0": 2}, "indices": 0, "material": 0}],
            }
        ],
        "materials": [
            {
                "name": "photo",
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": 1.0,
                },
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": 3, "mimeType": "image/jpeg", "name": "texture"}],
        "accessors": [
            {"bufferView": 0, "componentType": UNSIGNED_INT, "count": corners, "type": "SCALAR"},
            {"bufferView": 1, "componentType": FLOAT, "count": len(positions), "type": "VEC3", **bounds},
            {"bufferView": 2, "componentType": FLOAT, "count": len(positions), "type": "VEC2"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": blob_bytes}],
    }


def _write_gltf(path: Path, tree: dict[str, Any], blob: bytes) -> None:
    text = json.dumps(tree, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(blob)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, total))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(blob), b"BIN\0") + blob)


def write_points_ply(path: Path, points: Float[np.ndarray, "N 3"], colors: UInt8[np.ndarray, "N 3"]) -> None:
    """Write coloured points (world frame, metres) as binary little-endian PLY."""
    fields = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    rows = np.empty(len(points), np.dtype(fields))
    for i in range(3):
        rows["xyz"[i]] = points[:, i]
        rows[("red", "green", "blue")[i]] = colors[:, i]
    _write_ply(path, rows)


def write_splats_ply(path: Path, splats: GaussianSplats) -> None:
    """Write splats as the PLY of Kerbl et al. 2023 (3D Gaussian Splatting), which viewers and converters read.

    There scales are natural logarithms, opacity is a logit, the quaternion is w x y z, and the higher spherical
    harmonics are channel-major (all of red, then green, then blue). Normals are written as zero, as there.
    """
    count, terms = splats.sh.shape[:2]
    opacity = np.clip(splats.opacity.astype(np.float64), 1e-300, 1.0)
    with np.errstate(divide="ignore"):
        logit = np.clip(np.log(opacity) - np.log1p(-opacity), -MAX_LOGIT, MAX_LOGIT)
    columns: dict[str, np.ndarray] = {axis: splats.means[:, i] for i, axis in enumerate("xyz")}
    columns |= {f"n{axis}": np.zeros(count) for axis in "xyz"}
    columns |= {f"f_dc_{i}": splats.sh[:, 0, i] for i in range(3)}
    rest = splats.sh[:, 1:].transpose(0, 2, 1).reshape(count, 3 * (terms - 1))
    columns |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    columns |= {"opacity": logit}
    columns |= {f"scale_{i}": np.log(np.maximum(splats.scales_m[:, i], 1e-10)) for i in range(3)}
    columns |= {f"rot_{i}": splats.quaternions[:, i] for i in range(4)}
    rows = np.empty(count, np.dtype([(name, "<f4") for name in columns]))
    for name, column in columns.items():
        rows[name] = column
    _write_ply(path, rows)


def read_splats_ply(path: Path) -> GaussianSplats:
    """Read back what `write_splats_ply` wrote (or another program, in the same binary layout).

    Raises:
        InputError: not such a file.
    """
    rows = _read_ply(path)
    names = rows.dtype.names or ()
    needed = ("x", "y", "z", "f_dc_0", "opacity", "scale_0", "rot_0", "rot_3")
    absent = [name for name in needed if name not in names]
    if absent:
        got = f"no {', '.join(absent)}"
        raise InputError(path, expected="a Gaussian splat PLY", got=got, todo="Export it in the layout of 3DGS.")

    def columns(*wanted: str) -> Float32[np.ndarray, "N C"]:
        return np.stack([rows[name].astype(np.float32) for name in wanted], axis=1)

    extra = sum(name.startswith("f_rest_") for name in names) // 3
    dc = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if extra:
        rest = columns(*(f"f_rest_{i}" for i in range(3 * extra))).reshape(len(rows), 3, extra).transpose(0, 2, 1)
        dc = np.concatenate([dc, rest], axis=1)
    turn = columns("rot_0", "rot_1", "rot_2", "rot_3")
    return GaussianSplats(
        means=columns("x", "y", "z"),
        quaternions=turn / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-12),
        scales_m=np.exp(columns("scale_0", "scale_1", "scale_2")),
        opacity=(1.0 / (1.0 + np.exp(-rows["opacity"].astype(np.float32)))).astype(np.float32),
        sh=np.ascontiguousarray(dc),
    )


def _write_ply(path: Path, rows: np.ndarray) -> None:
    kinds = {"f": "float", "u": "uchar"}
    names = rows.dtype.names
    assert names is not None
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    lines += [f"property {kinds[rows.dtype[name].kind]} {name}" for name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write("\n".join([*lines, "end_header\n"]).encode())
        file.write(rows.tobytes())


def _read_ply(path: Path) -> np.ndarray:
    todo = "Give a binary little-endian PLY whose only element are vertices."
    try:
        head, end, body = path.read_bytes().partition(b"end_header\n")
        lines = [line.split() for line in head.decode("ascii").splitlines() if not line.startswith("comment")]
        elements = [line for line in lines if line[0] == "element"]
        if not end or lines[1] != ["format", "binary_little_endian", "1.0"] or len(elements) != 1:
            raise InputError(path, expected="a binary little-endian PLY of vertices", got="another layout", todo=todo)
        kinds = {"float": "<f4", "float32": "<f4", "double": "<f8", "uchar": "u1", "uint8": "u1", "int": "<i4"}
        fields = [(line[2], kinds[line[1]]) for line in lines if line[0] == "property"]
        return np.frombuffer(body, np.dtype(fields), count=int(elements[0][2]))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(path, expected="a splat PLY", got=repr(error)[:200], todo=todo) from error

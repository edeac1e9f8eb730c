"""Records: checked shapes, frozen arrays, files and back."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from lyra_sim.core.errors import ConfigError, InputError
from lyra_sim.core.records import ColliderPart, Colliders, Frames, Intrinsics, PosedFrames, Provenance, WorldFrame
from lyra_sim.io.records import load_record, save_record

CAMERA = Intrinsics(fx=5.0, fy=5.0, cx=2.0, cy=1.5, width=4, height=3)


def frames(count=2, height=3, width=4, depth_width=4):
    return Frames(
        images=np.zeros((count, height, width, 3), np.uint8),
        depth_m=np.ones((count, height, depth_width), np.float32),
        valid=np.ones((count, height, width), bool),
        origin=np.ones((count, height, width), np.uint8),
        label=np.zeros((count, height, width), np.uint8),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
        intrinsics=CAMERA,
    )


def posed():
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.01, scale_sigma=0.01, T_world_source=np.eye(4)
    )
    made_by = Provenance(backend="sensor", version="1", config_hash="c", seed=0, inputs=("a",), licences=())
    return PosedFrames(frames=frames(), frame=frame, environment="indoor", provenance=made_by)


def test_fields_must_agree_in_shape_and_type():
    with pytest.raises(TypeCheckError):
        frames(depth_width=5)
    with pytest.raises(TypeCheckError):
        dataclasses.replace(frames(), depth_m=np.ones((2, 3, 4)))


def test_arrays_are_frozen_and_views_are_copied():
    base = np.zeros((2, 6, 4, 3), np.uint8)
    made = dataclasses.replace(frames(), images=base[:, :3])
    with pytest.raises(ValueError, match="read-only"):
        made.images[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.images = base
    base[:] = 9
    assert made.images.max() == 0


def test_record_survives_the_disk_byte_for_byte(tmp_path):
    save_record(posed(), tmp_path / "a")
    save_record(load_record(PosedFrames, tmp_path / "a"), tmp_path / "b")
    for name in ("arrays.npz", "record.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    back = load_record(PosedFrames, tmp_path / "b")
    assert dataclasses.asdict(back.frames.intrinsics) == dataclasses.asdict(CAMERA)
    np.testing.assert_array_equal(back.frames.depth_m, posed().frames.depth_m)


def test_tuples_of_records_survive_the_disk(tmp_path):
    part = ColliderPart(
        name="floor",
        kind="trimesh",
        label=1,
        vertices=np.eye(3, dtype=np.float32),
        faces=np.array([[0, 1, 2]], np.int32),
    )
    made = Colliders(
        backend="static_mesh",
        parts=(part, part),
        measured={"p95": 0.5},
        alternatives={"convex": {"p95": 1.0}},
        others={"convex": (part,)},
    )
    save_record(made, tmp_path)
    back = load_record(Colliders, tmp_path)
    assert len(back.parts) == 2 and back.parts[1].kind == "trimesh" and back.alternatives == {"convex": {"p95": 1.0}}
    np.testing.assert_array_equal(back.parts[1].faces, part.faces)
    np.testing.assert_array_equal(back.others["convex"][0].vertices, part.vertices)


def test_damaged_record_is_a_clear_error(tmp_path):
    save_record(posed(), tmp_path)
    (tmp_path / "arrays.npz").write_bytes(b"PK broken")
    with pytest.raises(InputError, match="--fresh"):
        load_record(PosedFrames, tmp_path)
    (tmp_path / "record.json").write_text(json.dumps({"frames": 3}))
    with pytest.raises(InputError):
        load_record(PosedFrames, tmp_path)


def test_errors_keep_their_four_parts_across_processes():
    error = ConfigError("a.yaml: x", expected="a number", got="'b'", todo="Correct it.")
    back = pickle.loads(pickle.dumps(error))
    assert (back.where, back.expected, back.got, back.todo) == ("a.yaml: x", "a number", "'b'", "Correct it.")
    assert back.exit_code == 2 and str(back) == str(error)


def test_scale_range_holds_the_95_percent_of_a_log_normal():
    frame = dataclasses.replace(posed().frame, scale_sigma=0.2)
    drawn = np.exp(np.random.default_rng(0).normal(0, 0.2, 200_000))
    np.testing.assert_allclose(frame.scale_range, np.percentile(drawn, [2.5, 97.5]), rtol=0.01)

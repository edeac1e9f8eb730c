"""`lyra-sim vectors` on files that are none, are broken, or miss an entry: each is told, the others are compared."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.spatial.transform import Rotation

from lyra_sim.core.errors import InputError
from lyra_sim.depth.align import normalise_cameras
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from pipelines.cli import main
from pipelines.vectors.compare import KINDS, open_vectors
from tests.worldgen.lyra2.tiny import SIZES, network

SCALE = 2.5


def good() -> dict[str, np.ndarray]:
    """Reference numbers of the kind `depth_align` whose similarity is known beforehand."""
    rng = np.random.default_rng(0)
    given, predicted = (np.tile(np.eye(4, dtype=np.float32), (6, 1, 1)) for _ in range(2))
    turn, shift = Rotation.random(rng=rng).as_matrix(), np.array([1.0, 2.0, 3.0])
    centres = rng.normal(size=(6, 3))
    given[:, :3, 3] = -centres
    predicted[:, :3, 3] = -(SCALE * centres @ turn.T + shift)
    depth = np.full((6, 4, 5), 3.0, np.float32)
    return {
        "general/given_w2c": given, "general/given_w2c_after_offsets": given, "general/predicted_w2c": predicted,
        "general/normalised_w2c": normalise_cameras(given), "general/rotation": turn, "general/translation": shift,
        "general/scale": np.array([SCALE]), "general/predicted_depth": depth, "general/scaled_depth": depth / SCALE,
    }  # fmt: skip


CASES = {"cases": json.dumps({"general": {"input_offsets_added": False, "retried_with_offsets": False}})}


@pytest.fixture
def call(monkeypatch, capsys):
    """(exit code, stdout, stderr) of the command on these files."""

    def run(*files: object) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["lyra-sim", "vectors", *map(str, files)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


@pytest.fixture
def right(tmp_path):
    save_file(good(), tmp_path / "right", CASES)
    return tmp_path / "right"


def broken(tmp_path, how: str):
    """A file that cannot be compared."""
    tensors, metadata, path = good(), dict(CASES), tmp_path / "broken"
    match how:
        case "missing":
            return path
        case "directory":
            path.mkdir()
            return path
        case "text":
            path.write_text("no tensors here\n" * 100)
            return path
        case "empty":
            path.touch()
            return path
        case "tensor":
            del tensors["general/scale"]
        case "metadata":
            del metadata["cases"]
        case "no json":
            metadata["cases"] = "{"
        case "other json":
            metadata["cases"] = metadata["cases"].replace("false", "{}")
        case "no case":
            metadata["cases"] = "{}"
        case "shape":
            tensors["general/predicted_w2c"] = tensors["general/predicted_w2c"][:, 0]
        case "kind":
            tensors = {"a": np.zeros(2)}
    save_file(tensors, path, metadata)
    if how == "truncated":
        os.truncate(path, path.stat().st_size - 100)
    return path


SAID = {
    "missing": "No such file", "directory": "got a folder", "text": "reference vectors", "empty": "reference vec",
    "truncated": "reference vectors", "kind": ", ".join(KINDS), "tensor": "a tensor 'general/scale'",
    "metadata": "'cases' of the metadata", "no json": "'cases' of the metadata in its form, got Invalid JSON",
    "other json": "got general: input_offsets_added: ", "shape": "that fit together",
    "no case": "at least one case of the kind depth_align",
}  # fmt: skip


def test_a_good_file_passes_and_a_wrong_number_is_missed(call, right, tmp_path):
    code, out, err = call(right)
    line = json.loads(out)
    assert code == 0 and line["ok"] and line["kind"] == "depth_align" and line["file"] == str(right)
    assert [figure["ok"] for figure in line["figures"]] == [True] * 7 and err.count("  ok ") == 7
    save_file(good() | {"general/scale": np.array([SCALE * 1.001])}, tmp_path / "off", CASES)
    code, out, err = call(tmp_path / "off", right)
    missed, kept = (json.loads(line) for line in out.splitlines())
    assert code == 1 and err.count("MISSED") == 1 and [missed["ok"], kept["ok"]] == [False, True]
    (figure,) = (figure for figure in missed["figures"] if not figure["ok"])
    assert figure["error"] == pytest.approx(0.001, rel=0.01) and figure["bar"] < figure["error"]


@pytest.mark.parametrize("how", SAID)
def test_a_wrong_file_is_one_clear_error(how, call, tmp_path):
    code, out, told = call(broken(tmp_path, how))
    assert code == 3 and not json.loads(out)["ok"] and json.loads(out)["error"] in told
    err = told[told.index("lyra-sim: ") :]
    assert err.startswith(f"lyra-sim: {tmp_path / 'broken'}: expected ") and ", got " in err and SAID[how] in err
    assert err.count("\n") == 1 and err.rstrip().endswith(".") and "Traceback" not in told


@pytest.mark.parametrize("error", [AssertionError, AttributeError, KeyError, TypeError])
def test_an_error_of_ours_is_not_laid_on_the_file(error, call, right, monkeypatch):
    def broken_code(_cameras):
        raise error("of ours")

    monkeypatch.setattr("pipelines.vectors.depth_align.separate_centres", broken_code)
    with pytest.raises(error, match="of ours"):  # which ends the program with its traceback and code 1
        call(right)


@pytest.mark.parametrize("how", ["missing", "kind", "tensor"])
def test_the_other_files_are_compared_all_the_same(how, call, right, tmp_path):
    alone = call(right)[1]
    code, out, err = call(broken(tmp_path, how), right)
    assert code == 3 and out.endswith(alone) and SAID[how] in err
    code, out, err = call(right, tmp_path / "nothing", right)
    lines = out.splitlines(keepends=True)
    assert code == 3 and lines[::2] == [alone, alone] and len(lines) == 3 and err.count("No such file") == 1


def test_a_missed_figure_counts_more_than_a_file_that_cannot_be_compared(call, tmp_path):
    save_file(good() | {"general/scale": np.array([1.0])}, tmp_path / "off", CASES)
    code, _, err = call(broken(tmp_path, "text"), tmp_path / "off")
    assert code == 1 and "MISSED" in err and "expected a safetensors file" in err


def test_weights_that_do_not_fit_the_described_network(call, tmp_path):
    net: LyraTransformer3DModel = network()
    state = {f"state/{name}": tensor.numpy() for name, tensor in net.state_dict().items()}
    left_out = next(iter(state))
    config = {name: value for name, value in SIZES.items() if name != "framepack_type"}
    metadata = {"config": json.dumps(config), "framepack": str(SIZES["framepack_type"])}
    given = {"in/x_B_C_T_H_W": np.zeros((1, 16, 45, 4, 8), np.float32)}
    save_file({k: v for k, v in state.items() if k != left_out} | given, tmp_path / "net", metadata)
    code, _, err = call(tmp_path / "net")
    assert code == 3 and left_out.removeprefix("state/") in err and "(dit_forward.py:" not in err
    save_file(state | given, tmp_path / "net", metadata | {"framepack": "nonsense"})
    assert call(tmp_path / "net")[0] == 3
    save_file(state | given, tmp_path / "net", metadata)
    code, _, err = call(tmp_path / "net")
    assert code == 3 and "'in/x_B_C_T_H_W' of shape (any, any, 11, any, any), got (1, 16, 45, 4, 8)" in err


def test_frames_that_do_not_fit_the_described_step(call, tmp_path):
    step = {"packing": "f1k1f2s1_g2", "num_retrieval_views": 1, "warp_chunk_size": 16}
    given = {"vae_weights": (16, 3), "a/in/history_latents": (1, 16, 4, 1, 1), "a/in/frames_u8": (4, 3, 8, 8)}
    save_file(
        {name: np.zeros(shape, np.float32) for name, shape in given.items()}, tmp_path / "x", {"a": json.dumps(step)}
    )
    code, _, err = call(tmp_path / "x")
    assert code == 3 and "'a/in/frames_u8' of shape (5, 3, 8, 8), got (4, 3, 8, 8)" in err


def test_an_entry_that_is_not_there_names_its_file(right):
    _, vectors = open_vectors(right)
    with pytest.raises(InputError, match="right: expected a tensor 'x', got none"):
        vectors["x"]
    with pytest.raises(InputError, match="'y' of the metadata"):
        vectors.metadata["y"]
    assert "x" not in vectors and "y" not in vectors.metadata

"""A tiny checkpoint in every layout gives the same velocity; what does not fit is refused by name."""

import ast
import io
import json
import pickle
import re
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.distributed import checkpoint as dcp

from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.memory.packing import RELEASED
from lyra_sim.worldgen.lyra2.checkpoint import COUNTERS, convert_transformer, empty_transformer, load_transformer
from lyra_sim.worldgen.lyra2.requirements import PARAMETERS
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from lyra_sim.worldgen.lyra2.weights import batches
from tests.data import shared_data
from tests.worldgen.lyra2.tiny import SIZES, network, velocity

LAYOUTS = ["dcp", "pth", "pth_net", "safetensors", "sharded", "pretrained", "converted"]
EXTRA_STATE = "blocks.0.self_attn.attn_op._extra_state"


def _released_beside() -> dict[str, torch.Tensor | io.BytesIO]:
    counters = {name: torch.tensor(3) for name in COUNTERS}
    return counters | {EXTRA_STATE: io.BytesIO(b"state"), EXTRA_STATE.replace("0", "1"): torch.zeros(2)}


def _write(folder: Path, layout: str, state: dict[str, torch.Tensor]) -> Path:
    """The state in one layout; those of the release with what the release has beside parameters."""
    beside = _released_beside()
    match layout:
        case "dcp":
            with warnings.catch_warnings(action="ignore"):
                dcp.save({f"net.{k}": v for k, v in (state | beside).items()}, checkpoint_id=folder / "model")
            return folder / "model"
        case "pth" | "pth_net":
            prefix = "net." if layout == "pth_net" else ""
            torch.save({prefix + k: v for k, v in (state | beside).items()}, folder / "model.pth")
            return folder / "model.pth"
        case "safetensors":
            save_file({f"net.{k}": v for k, v in state.items()}, folder / "model.safetensors")
            return folder / "model.safetensors"
        case "sharded":
            names = sorted(state)
            held = {name: f"part-{k % 2}.safetensors" for k, name in enumerate(names)}
            for file in set(held.values()):
                save_file({n: state[n] for n in names if held[n] == file}, folder / file)
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": held}))
            return folder
        case "converted":
            convert_transformer(
                _write(folder, "pth", state), folder / "out", sizes=SIZES, dtype=torch.float32, shard_bytes=60_000
            )
            return folder / "out"
    net = LyraTransformer3DModel(**SIZES)
    net.load_state_dict(state)
    net.save_pretrained(folder / "saved", max_shard_size="100KB")
    return folder / "saved"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return network().state_dict()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_velocity(tmp_path, state, layout):
    source = _write(tmp_path, layout, state)
    sizes = {} if layout in ("pretrained", "converted") else SIZES  # these folders bring their own
    net = load_transformer(source, sizes=sizes, dtype=torch.float32)
    assert torch.equal(velocity(net), velocity(network()))
    assert not any(parameter.is_meta for parameter in net.parameters()) and not net.training


@pytest.mark.parametrize("layout", ["dcp", "pth_net", "safetensors", "sharded"])
def test_one_missing_and_one_extra_name_are_errors_that_say_it(tmp_path, state, layout):
    missing, other = "blocks.1.cam_encoder.weight", "blocks.1.cam_decoder.weight"
    short = {k: v for k, v in state.items() if k != missing}
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError, match=f"1 missing: {re.escape(missing)}") as error:
        load_transformer(_write(tmp_path / "a", layout, short), sizes=SIZES)
    assert "unexpected" not in str(error.value)
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match=f"1 unexpected: {re.escape(other)}"):
        load_transformer(_write(tmp_path / "b", layout, state | {other: torch.zeros(2)}), sizes=SIZES)


def test_other_shapes_are_errors_with_both_shapes_and_the_count(tmp_path, state):
    source = _write(tmp_path, "pth", state)
    with pytest.raises(ConfigError, match=r"of another shape: .*weight \(24, 4\) \(wanted \(36, 4\)\)") as error:
        load_transformer(source, sizes=SIZES | {"dim": 36})
    assert "in all" in str(error.value)
    with pytest.raises(ConfigError, match="8 missing: clean_patch_embeddings"):
        load_transformer(source, sizes=SIZES | {"framepack_type": "f1k1f2s2f1s1" + "f1k1" * 6 + "_g2"})


@pytest.mark.parametrize("layout", ["dcp", "pth", "sharded"])
def test_damaged_files_are_refused(tmp_path, state, layout):
    source = _write(tmp_path, layout, state)
    file = max((f for f in tmp_path.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ConfigError):
        load_transformer(source, sizes=SIZES)


def test_nothing_there_says_how_to_get_it(tmp_path):
    with pytest.raises(ResourceError, match="lyra-sim check"):
        load_transformer(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"no \.metadata"):
        load_transformer(tmp_path)


class _Trap:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("name", ["model/.metadata", "model.pth"])
def test_what_a_file_says_is_never_executed(tmp_path, capsys, name):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps({"net.patch_embedding.weight": _Trap()}))
    with pytest.raises(ConfigError):
        load_transformer(file if file.suffix else file.parent)
    assert "executed" not in capsys.readouterr().out


def test_a_name_with_and_without_its_prefix_is_refused(tmp_path, state):
    torch.save(state | {"net.head.head.bias": torch.zeros(64)}, tmp_path / "model.pth")
    with pytest.raises(ConfigError, match=r"twice: head\.head\.bias"):
        load_transformer(tmp_path / "model.pth", sizes=SIZES)


def _save_shard(rank: int, folder: Path) -> None:
    """One of two processes that save their halves, as sharded training does."""
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    halves = {f"net.{k}": distribute_tensor(v, mesh, [Shard(0)]) for k, v in network().state_dict().items()}
    dcp.save(halves | {f"net.{EXTRA_STATE}": torch.zeros(1)}, checkpoint_id=folder / "model")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_a_checkpoint_saved_in_halves_by_two_processes(tmp_path):
    torch.multiprocessing.spawn(_save_shard, (tmp_path,), nprocs=2)
    assert len(list((tmp_path / "model").glob("*.distcp"))) == 2
    net = load_transformer(tmp_path / "model", sizes=SIZES, dtype=torch.float32)
    assert torch.equal(velocity(net), velocity(network()))


@given(st.lists(st.integers(1, 60), max_size=12), st.integers(1, 400))
def test_batches_hold_everything_in_order_within_the_limit(sizes, limit):
    shapes = {f"t{k}": (2, size) for k, size in enumerate(sizes)}
    made = list(batches(shapes, limit, 2))
    assert [name for names in made for name in names] == list(shapes) and all(made)
    for names in made:
        assert len(names) == 1 or sum(4 * shapes[name][1] for name in names) <= limit


def test_time_and_modulation_stay_float32(tmp_path, state):
    net = load_transformer(_write(tmp_path, "dcp", state), sizes=SIZES, dtype=torch.bfloat16)
    exact = {n for n, p in net.named_parameters() if p.dtype == torch.float32}
    assert exact == {n for n in state if n.startswith("time_") or n.endswith("modulation")}
    assert all(p.dtype == torch.bfloat16 for n, p in net.named_parameters() if n not in exact)
    saved = net.state_dict()
    assert all(torch.equal(saved[n], state[n].to(saved[n].dtype)) for n in state)


def test_a_converted_folder_is_whole_hashed_and_read_by_diffusers(tmp_path, state):
    out = _write(tmp_path, "converted", state)
    assert not (tmp_path / "out.partial").exists()
    net = LyraTransformer3DModel.from_pretrained(out, torch_dtype=torch.float32)
    assert torch.equal(velocity(net), velocity(network()))
    manifest = json.loads((out / "manifest.json").read_text())["sha256"]
    shards = sorted(out.glob("*.safetensors"))
    assert len(shards) > 1 and set(manifest) == {f.name for f in out.iterdir()} - {"manifest.json"}
    assert {n for shard in shards for n in load_file(shard)} == set(state)
    with pytest.raises(ConfigError, match="a new folder"):
        convert_transformer(tmp_path / "model.pth", out, sizes=SIZES)


def test_the_released_network_has_the_names_shapes_and_count_of_the_reference():
    text = Path(shared_data()).parent / "reference" / "lyra2_full_params.txt"
    if not text.exists():
        pytest.skip("reference list of parameters not on this machine: lyra2_full_params.txt")
    wanted: dict[str, tuple[int, ...]] = {}
    for line in text.read_text().splitlines():
        name, tab, shape = line.partition("\t")
        for k in range(40) if tab and name.startswith("blocks.0.") else [0]:
            if tab:  # the list shows one block of forty
                wanted[name.replace("blocks.0.", f"blocks.{k}.")] = ast.literal_eval(shape)
    net = empty_transformer({})
    assert {n: tuple(p.shape) for n, p in net.named_parameters()} == wanted and len(wanted) == 1435
    assert set(net.state_dict()) == set(wanted)
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS["transformer"] == 17_029_871_424
    assert sum(p.numel() for p in net.blocks[0].parameters()) == PARAMETERS["block"]
    assert net.config["framepack_type"] == RELEASED

"""LoRAs in every accepted spelling act as W + weight * (alpha / rank) * B @ A, computed here by hand."""

import copy
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.worldgen.lyra2.lora import NEGLIGIBLE, load_loras, read_lora
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from tests.worldgen.lyra2.tiny import network, velocity

MODULES = {  # with the rank of each: ranks may differ within a file
    "blocks.0.self_attn.q": 2, "blocks.1.self_attn.o": 3, "blocks.0.cross_attn.k_img": 2, "blocks.1.ffn.0": 4,
    "blocks.1.ffn.2": 2, "time_projection.1": 1, "head.head": 2, "blocks.0.cam_encoder": 2,  # this one has no bias
}  # fmt: skip


def _factors(net: LyraTransformer3DModel, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(seed)
    out = {}
    for name, rank in MODULES.items():
        rows, columns = net.get_parameter(f"{name}.weight").shape
        out[name] = tuple(torch.randn(s, generator=random) / 4 for s in ((rank, columns), (rows, rank)))
    return out


def _spelled(factors: dict[str, tuple[Tensor, Tensor]], spelling: str) -> dict[str, Tensor]:
    state = {}
    for name, (a, b) in factors.items():
        if spelling == "musubi":
            plain, down, up = "lora_unet_" + name.replace(".", "_"), "lora_down", "lora_up"
            state[f"{plain}.alpha"] = torch.tensor(3.0)
        else:
            prefix, down, up = {
                "comfy": ("diffusion_model.", "lora_A", "lora_B"),
                "net": ("net.", "lora_down", "lora_up"),
                "plain": ("", "lora_A", "lora_B"),
            }[spelling]
            plain = prefix + name
        state |= {f"{plain}.{down}.weight": a.contiguous(), f"{plain}.{up}.weight": b.contiguous()}
    return state


def _by_hand(changes: dict[str, Tensor]) -> Tensor:
    net = network()
    with torch.no_grad():
        for name, change in changes.items():
            net.get_parameter(name).add_(change)
    return velocity(net)


@pytest.mark.parametrize("spelling", ["comfy", "net", "plain", "musubi"])
def test_every_spelling_adds_the_product(tmp_path, spelling):
    net = network()
    factors = _factors(net, 2)
    save_file(_spelled(factors, spelling), tmp_path / "lora.safetensors")
    load_loras(net, [(tmp_path / "lora.safetensors", 0.6)])
    scale = {name: 3.0 / rank if spelling == "musubi" else 1.0 for name, rank in MODULES.items()}
    expected = _by_hand({f"{name}.weight": 0.6 * scale[name] * b @ a for name, (a, b) in factors.items()})
    assert torch.allclose(velocity(net), expected, atol=2e-5)
    assert not torch.allclose(velocity(network()), expected, atol=1e-2)


def test_several_are_added_by_weight_as_peft_does(tmp_path):
    first, second = _factors(network(), 2), _factors(network(), 3)
    del second["head.head"]
    for name, factors in (("a", first), ("b", second)):
        save_file(_spelled(factors, "musubi"), tmp_path / f"{name}.safetensors")
    net, adapted = network(), network()
    read = {name: read_lora(adapted, tmp_path / f"{name}.safetensors").for_peft() for name in ("a", "b")}
    load_loras(net, [(tmp_path / "a.safetensors", 0.4), (tmp_path / "b.safetensors", -0.7)])
    with pytest.warns(UserWarning):  # that there are several adapters
        for name, factors in read.items():
            adapted.load_lora_adapter(factors, prefix=None, adapter_name=name)
    adapted.set_adapters(["a", "b"], [0.4, -0.7])
    assert torch.allclose(velocity(net), velocity(adapted), atol=2e-5)
    assert net.state_dict().keys() == network().state_dict().keys(), "merged, not wrapped"


def test_weights_of_16_bits_are_rounded_once(tmp_path):
    """Two adapters that cancel leave the weights as they were, whatever their size."""
    net = network().to(torch.bfloat16)
    before = copy.deepcopy(net.state_dict())
    save_file(_spelled(_factors(net, 2), "comfy"), tmp_path / "lora.safetensors")
    load_loras(net, [(tmp_path / "lora.safetensors", 64.0), (tmp_path / "lora.safetensors", -64.0)])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def _drawn(name: str, largest: float) -> Tensor:
    values = torch.randn(network().get_parameter(name).shape, generator=torch.Generator().manual_seed(5))
    return values * largest / values.abs().max()


DIFFERENCES = {  # parameter, largest value: beside factors, alone, a small one, which counts for biases only
    "blocks.0.self_attn.q.bias": 0.5, "blocks.0.self_attn.v.bias": 0.3, "blocks.1.self_attn.v.bias": NEGLIGIBLE / 2,
    "blocks.1.ffn.0.weight": 0.5, "blocks.1.norm3.weight": 1.01 * NEGLIGIBLE, "blocks.0.norm3.weight": NEGLIGIBLE / 2,
}  # fmt: skip


def test_differences_of_biases_and_weights(tmp_path):
    """`diff` and `diff_b` beside factors and alone; a `diff` counts from the threshold of the release on."""
    net = network()
    factors, drawn = _factors(net, 2), {name: _drawn(name, largest) for name, largest in DIFFERENCES.items()}
    suffixes = {"weight": "diff", "bias": "diff_b"}
    spelled = {f"{m}.{suffixes[kind]}": drawn[f"{m}.{kind}"] for m, _, kind in (n.rpartition(".") for n in drawn)}
    save_file(_spelled(factors, "comfy") | spelled, tmp_path / "lora.safetensors")
    load_loras(net, [(tmp_path / "lora.safetensors", 0.8)])
    del drawn["blocks.0.norm3.weight"]
    products = {f"{name}.weight": b @ a for name, (a, b) in factors.items()}
    before = network()
    for name, value in net.named_parameters():
        change = 0.8 * (products.get(name, 0) + drawn.get(name, torch.zeros(())))
        assert torch.allclose(value, before.get_parameter(name) + change, atol=1e-6), name


def test_peft_gets_biases_for_all_modules_or_a_refusal(tmp_path):
    factors, bias = _factors(network(), 2), _drawn("blocks.0.self_attn.q.bias", 0.5)
    state = _spelled(factors, "plain") | {"blocks.0.self_attn.q.diff_b": bias}
    save_file(state, tmp_path / "lora.safetensors")
    net, adapted = network(), network()
    load_loras(net, [(tmp_path / "lora.safetensors", 1.0)])
    with warnings.catch_warnings(action="ignore"):  # PEFT tells that a base layer has no bias
        adapted.load_lora_adapter(read_lora(adapted, tmp_path / "lora.safetensors").for_peft(), prefix=None)
    assert torch.allclose(velocity(net), velocity(adapted), atol=2e-5)
    beyond = {"blocks.0.self_attn.v.bias": "diff_b", "blocks.1.ffn.0.weight": "diff"}
    for name, part in beyond.items():
        more = {f"{name.rpartition('.')[0]}.{part}": _drawn(name, 0.5)}
        save_file(state | more, tmp_path / "more.safetensors")
        with pytest.raises(ConfigError, match=f"for PEFT, got changes of {name}"):
            read_lora(network(), tmp_path / "more.safetensors").for_peft()


@pytest.mark.parametrize("fault", ["unknown", "half", "shape", "suffix", "rank"])
def test_what_adapts_nothing_here_is_an_error_by_name(tmp_path, fault):
    net = network()
    state = _spelled(_factors(net, 2), "comfy")
    name = "diffusion_model.blocks.0.self_attn.q.lora_A.weight"
    match fault:
        case "unknown":
            state["diffusion_model.blocks.7.self_attn.q.lora_A.weight"] = state.pop(name)
        case "half":
            del state[name]
        case "shape":
            state[name] = torch.zeros(2, 99)
        case "suffix":
            state["diffusion_model.blocks.0.self_attn.q.dora_scale"] = torch.zeros(2)
        case "rank":
            state[name] = state[name][:1].clone()
    save_file(state, tmp_path / "lora.safetensors")
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ConfigError, match=r"blocks\.[07]\.self_attn\.q"):
        load_loras(net, [(tmp_path / "lora.safetensors", 1.0)])
    assert before.keys() == net.state_dict().keys()


def test_a_file_that_is_not_there_is_a_missing_resource(tmp_path):
    with pytest.raises(ResourceError):
        load_loras(network(), [(tmp_path / "none.safetensors", 1.0)])

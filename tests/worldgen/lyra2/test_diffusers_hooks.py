"""What diffusers offers works on the network: saving, offload, 8-bit storage, checkpointing, attention backends."""

import pytest
import torch

from lyra_sim.config.lyra2 import Lyra2Config, RandomWeights
from lyra_sim.core.errors import ConfigError
from lyra_sim.worldgen.lyra2.network import place
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from tests.worldgen.lyra2.tiny import given, network, velocity


def _config(**fields: object) -> Lyra2Config:
    plain = {"random_weights": RandomWeights(), "device": "cpu", "dtype": "float32"}
    return Lyra2Config.model_validate(plain | fields)


def _relative(made: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((made - wanted).norm() / wanted.norm())


def test_saved_and_read_again_it_is_the_same(tmp_path):
    network().save_pretrained(tmp_path)
    assert torch.equal(velocity(LyraTransformer3DModel.from_pretrained(tmp_path)), velocity(network()))


def test_group_offload_changes_nothing():
    net = place(network(), _config(memory="offload"))
    assert torch.equal(velocity(net), velocity(network()))
    assert torch.equal(velocity(net), velocity(network())), "and again"


def test_offload_with_weights_in_8_bits_is_near():
    net = place(network(), _config(memory="offload_fp8"))
    kept = {name for name, p in net.named_parameters() if p.dtype == torch.float8_e4m3fn}
    assert "blocks.0.self_attn.q.weight" in kept and "blocks.1.ffn.2.weight" in kept
    assert not any(part in name for name in kept for part in ("time_", "norm", "head", "patch_embedding"))
    assert 0 < _relative(velocity(net), velocity(network())) < 0.03


@pytest.mark.parametrize("memory", ["plain", "offload"])
def test_blocks_are_compiled_as_one_graph(monkeypatch, memory):
    """Traced here without Inductor, which needs a compiler; a block of a plain network has no graph breaks."""
    compiled = []

    def traced(graph: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> object:
        compiled.append(graph)
        return graph.forward

    def compile_by(net: torch.nn.Module, **options: object) -> None:
        original(net, backend=traced, **options)

    original = LyraTransformer3DModel.compile_repeated_blocks
    monkeypatch.setattr(LyraTransformer3DModel, "compile_repeated_blocks", compile_by)
    torch._dynamo.reset()
    net = place(network(), _config(memory=memory, compile=True))
    assert torch.allclose(velocity(net), velocity(network()), atol=1e-5)
    assert len(compiled) == 1 if memory == "plain" else compiled, "blocks share one graph"
    torch._dynamo.reset()


def test_gradient_checkpointing_gives_the_same_gradients():
    plain, checkpointed = network().train(), network().train()
    checkpointed.enable_gradient_checkpointing()
    for net in (plain, checkpointed):
        net(*given()).square().mean().backward()
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None and torch.allclose(one.grad, other.grad)


def test_attention_backends_are_diffusers_own():
    net = network()
    net.set_attention_backend("native")
    assert torch.allclose(velocity(net), velocity(network()), atol=1e-6)
    net.set_attention_backend("_native_math")
    assert torch.allclose(velocity(net), velocity(network()), atol=1e-5)
    assert all(block.self_attn.processor._attention_backend is not None for block in net.blocks)
    with pytest.raises(ConfigError, match="nonsense"):
        place(network(), _config(attention="nonsense"))

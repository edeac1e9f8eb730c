"""The network to start with: Wan's weights under their own names, history embedded like new latents."""

import pytest
import torch
from safetensors.torch import save_file

from lyra_sim.core.errors import ConfigError
from lyra_sim.training.start import ADDED, start_clean_embeddings, start_from_wan
from lyra_sim.worldgen.lyra2.tokens import patches
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel

SIZES = {
    "dim": 24, "ffn_dim": 16, "num_heads": 2, "num_layers": 2, "freq_dim": 8, "text_dim": 4, "image_dim": 4,
    "in_dim": 6, "out_dim": 2, "camera_dim": 8, "buffer_in_dim": 8, "buffer_mlp_squeeze_dim": 2,
    "framepack_type": "f1k1f2s2f4k4f2k2_g2",
}  # fmt: skip


def _net(seed: int = 0) -> LyraTransformer3DModel:
    torch.manual_seed(seed)
    return LyraTransformer3DModel(**SIZES)


def test_history_of_equal_pixels_is_embedded_like_new_latents():
    """Latents enlarged by the stretch of their run give the tokens that the small ones give as new latents."""
    net = _net()
    start_clean_embeddings(net)
    for run, embedding in zip(net.packing.history, net.clean_patch_embeddings, strict=True):
        kt, kh, kw = run.stretch
        small = torch.randn(1, 6, 3, 4, 6)
        large = small.repeat_interleave(kt, 2).repeat_interleave(kh, 3).repeat_interleave(kw, 4)
        wanted = net.patch_embedding(patches(small, (1, 2, 2)))
        assert torch.allclose(embedding(patches(large, (kt, 2 * kh, 2 * kw))), wanted, atol=1e-5), run


def _wan(seed: int) -> dict[str, torch.Tensor]:
    state = {name: tensor.clone() for name, tensor in _net(seed).state_dict().items() if not ADDED.match(name)}
    state["patch_embedding.weight"] = state["patch_embedding.weight"].reshape(24, 6, 1, 2, 2)
    return state


def test_wans_weights_are_taken_and_the_rest_is_made(tmp_path):
    wan = _wan(1)
    save_file(wan, str(tmp_path / "wan.safetensors"))
    start_from_wan(tmp_path / "wan.safetensors", tmp_path / "out", sizes=SIZES, seed=5)
    state = LyraTransformer3DModel.from_pretrained(tmp_path / "out").state_dict()
    for name, tensor in wan.items():
        assert torch.equal(state[name], tensor.reshape(state[name].shape)), name
    assert torch.equal(state["clean_patch_embeddings.0.weight"], state["patch_embedding.weight"])
    for name in ("cam_encoder", "buffer_encoder.0", "buffer_encoder.1"):
        drawn = state[f"blocks.1.{name}.weight"]
        assert 0.5 * 24**-0.5 < drawn.std() < 1.5 * 24**-0.5 and drawn.abs().max() <= 3 * 24**-0.5
    start_from_wan(tmp_path / "wan.safetensors", tmp_path / "again", sizes=SIZES, seed=5)
    again = LyraTransformer3DModel.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)
    with pytest.raises(ConfigError, match="exists"):
        start_from_wan(tmp_path / "wan.safetensors", tmp_path / "out", sizes=SIZES)


@pytest.mark.parametrize("fault", ["missing", "unexpected", "of another shape"])
def test_a_file_that_is_not_wans_is_refused_with_the_name(tmp_path, fault):
    wan = _wan(1)
    match fault:
        case "missing":
            del wan["head.head.bias"]
        case "unexpected":
            wan["head.head.bias_2"] = torch.zeros(1)
        case _:
            wan["head.head.bias"] = torch.zeros(1)
    save_file(wan, str(tmp_path / "wan.safetensors"))
    with pytest.raises(ConfigError, match=rf"{fault}.*head\.head\.bias"):
        start_from_wan(tmp_path / "wan.safetensors", tmp_path / "out", sizes=SIZES)
    assert not (tmp_path / "out").exists()

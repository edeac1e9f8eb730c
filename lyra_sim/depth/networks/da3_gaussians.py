"""What the Gaussian head of Depth Anything 3 says, before anything is placed by predicted cameras.

The package places Gaussians by the cameras and the focal length that it predicts, scaled towards the given cameras by a
factor cut to a third to three times. Here cameras are known exactly, so that the last step of the package (its module
`gs_adapter`, which has no weights) is replaced by one that only keeps what it is handed.

Channels of the head, in order, as `gs_adapter` of version 0.1.1 reads them: offset in the image (2), extents (3),
quaternion x y z w in camera axes (4), harmonics (3 colours x (degree + 1)^2), offset of the distance (1). Distances are
along unit rays: the head's last channel makes up for depth being measured along the axis. Quaternions are turned into
the world of the predicted cameras and back: the package confuses their components on that way (`_as_rendered`).
"""

from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from lyra_sim.core.errors import ConfigError
from lyra_sim.depth.networks.prediction import PixelGaussians

_OFFSET, _EXTENT, _TURN, _COLOUR = slice(0, 2), slice(2, 5), slice(5, 9), 9
_SMALLEST = 1e-8


class Tap(nn.Module):
    """Takes the place of `gs_adapter`.

    Args:
        degree: of the harmonics.
        least, most: extents at the ends of the range of a sigmoid.
    """

    def __init__(self, degree: int, least: float, most: float) -> None:
        super().__init__()
        self.terms, self.least, self.most = (degree + 1) ** 2, least, most
        self.channels = _COLOUR + 3 * self.terms + 1
        self._kept: tuple[torch.Tensor, ...] = ()

    def forward(
        self,
        *,
        extrinsics: torch.Tensor,
        depths: torch.Tensor,
        opacities: torch.Tensor,
        raw_gaussians: torch.Tensor,
        **_: Any,
    ) -> None:
        """Keep predicted cameras (1, V, 4, 4), depth and opacity (1, V, H, W) and channels (1, V, H, W, C)."""
        assert raw_gaussians.shape[-1] == self.channels, (raw_gaussians.shape, self.channels)
        self._kept = (
            depths[0] + raw_gaussians[0, ..., -1],  # a new tensor: the package scales its depth in place later
            opacities[0].reshape(depths.shape[1:]),
            raw_gaussians[0],
            extrinsics[0, :, :3, :3],
        )

    def take(self, unit: float, w2c: np.ndarray) -> PixelGaussians:
        """What was kept, decoded; forgets it.

        Args:
            unit: what distances are multiplied with.
            w2c: (V, 4, 4) predicted cameras, in that unit already.
        """
        distance, opacity, raw, turned = self._kept
        self._kept = ()
        colour = raw[..., _COLOUR : _COLOUR + 3 * self.terms : self.terms]
        extent = self.least + (self.most - self.least) * raw[..., _EXTENT].float().sigmoid()
        turn = raw[..., _TURN].float()
        length = turn.norm(dim=-1, keepdim=True)
        whole = torch.where(length > _SMALLEST, turn, turn.new_tensor([0.0, 0.0, 0.0, 1.0]))  # none: no turn
        made = (distance * unit, raw[..., _OFFSET], extent, _as_rendered(whole, turned), colour, opacity)
        distance, offset, extent, turn, colour, opacity = (x.detach().float().cpu().numpy() for x in made)
        return PixelGaussians(
            distance=distance,
            offset_px=offset,
            extent=extent,
            quaternions_xyzw=turn,
            sh_dc=colour,
            opacity=opacity,
            w2c=w2c,
        )


def _as_rendered(raw: torch.Tensor, world_to_cam: torch.Tensor) -> torch.Tensor:
    """Quaternions x y z w (V, H, W, 4) in camera axes of what the package shows.

    It multiplies the camera's turn with w x y z as though they were x y z w, and hands the product's x y z w on as w x
    y z. For a camera that is not turned both cancel. Its networks are only known to look right this way.

    Args:
        raw: of the head.
        world_to_cam: (V, 3, 3) predicted.
    """
    quaternions = Rotation.from_matrix(world_to_cam.detach().double().cpu().numpy()).as_quat()
    to_cam = torch.tensor(quaternions, dtype=raw.dtype, device=raw.device)[:, None, None]
    to_world = to_cam * to_cam.new_tensor([-1.0, -1.0, -1.0, 1.0])
    world = _times(to_world, raw.roll(1, -1))
    return _times(to_cam, world.roll(-1, -1))


def _times(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Hamilton product of quaternions x y z w (..., 4)."""
    u, s, v, t = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    u, v = torch.broadcast_tensors(u, v)
    return torch.cat([s * v + t * u + torch.linalg.cross(u, v), s * t - (u * v).sum(-1, keepdim=True)], -1)


def tap_of(net: Any, name: str) -> Tap:
    """The tap of a network of the package, put in when it is first asked for.

    Raises:
        ConfigError: it has no Gaussian head, or one whose channels mean something else.
    """
    inner = getattr(net, "da3", net)  # nested networks: the many-view part
    adapter: Any = getattr(inner, "gs_adapter", None)
    if isinstance(adapter, Tap):
        return adapter
    if adapter is None or getattr(inner, "gs_head", None) is None:
        raise _another_head(name, "no Gaussian head")
    if adapter.pred_color or not (adapter.pred_offset_xy and adapter.pred_offset_depth):
        raise _another_head(name, "one with other channels")
    inner.gs_adapter = tap = Tap(
        int(adapter.sh_degree), float(adapter.gaussian_scale_min), float(adapter.gaussian_scale_max)
    )
    return tap


def _another_head(name: str, got: str) -> ConfigError:
    return ConfigError(
        name,
        expected="a Gaussian head with harmonics and offsets, as DA3-GIANT and DA3NESTED-GIANT-LARGE have",
        got=got,
        todo="Set reconstruct.weights to one of these, or reconstruct.backend=tsdf.",
    )

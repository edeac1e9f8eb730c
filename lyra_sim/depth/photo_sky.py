"""Street or room, and where the sky is: decided before anything else is read into a photo.

Sky is bright or blue, smooth, touches the upper image edge and lies above the horizon. White walls and ceilings are
all of that too, so a pale region counts only when it outshines the rest of the photo and is not cut by the long
straight lines that wall and ceiling make.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

_MIN_SKY_SHARE = 0.012


def find_sky(
    rgb: np.ndarray, lab: np.ndarray, elevation_sin: Float[np.ndarray, "H W"], valid: np.ndarray
) -> Bool[np.ndarray, "H W"]:
    """Sky pixels.

    Args:
        rgb: (H, W, 3) uint8.
        lab: (H, W, 3) float32, L 0..100.
        elevation_sin: sine of the elevation of each pixel's ray.
        valid: pixels that exist.
    """
    lightness = cv2.GaussianBlur(lab[..., 0], (0, 0), 1.5)
    chroma_b = cv2.GaussianBlur(lab[..., 2], (0, 0), 1.5)
    chroma_a = cv2.GaussianBlur(lab[..., 1], (0, 0), 1.5)
    busy = texture(lab[..., 0])
    above = (elevation_sin > -0.01) & valid
    low = np.percentile(lightness[valid], 60) if valid.any() else 0.0
    blue = (chroma_b < -8) & (chroma_a < 8) & (lightness > 35) & (chroma_a + 0.4 * chroma_b < 2)
    pale = (lightness > max(88.0, low + 12)) & (chroma_b < 6)
    cool = (lightness > max(60.0, low + 15)) & (chroma_b < -2)
    smooth = busy < 3.0
    sky = np.zeros(above.shape, bool)
    for kind in (blue | pale | cool,):
        mask = (kind & smooth & above).astype(np.uint8)
        count, part, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for index in range(1, count):
            if _is_sky(part == index, stats[index], lightness, chroma_b, rgb):
                sky |= part == index
    return sky


def texture(lightness: np.ndarray) -> Float[np.ndarray, "H W"]:
    """Local standard deviation of lightness, 7x7."""
    mean = cv2.blur(lightness, (7, 7))
    return np.sqrt(np.maximum(cv2.blur(lightness * lightness, (7, 7)) - mean * mean, 0))


def _is_sky(part: np.ndarray, stats: np.ndarray, lightness: np.ndarray, chroma_b: np.ndarray, rgb: np.ndarray) -> bool:
    height, width = part.shape
    if stats[cv2.CC_STAT_AREA] < _MIN_SKY_SHARE * height * width or stats[cv2.CC_STAT_TOP] > 0.02 * height:
        return False
    top_contact = part[: max(2, height // 50)].any(0).mean()
    blue_share = float((chroma_b[part] < -8).mean())
    clipped = float((rgb[part].min(-1) > 245).mean())
    if top_contact < 0.12:
        return False
    contrast = float(lightness[part].mean() - np.median(lightness[~part]))
    cool = float(chroma_b[part].mean()) < -4.0 and top_contact > 0.25 and contrast > 25
    return blue_share > 0.7 or cool or clipped > 0.6 or float(lightness[part].mean()) > 94.0

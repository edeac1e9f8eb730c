"""How much a levelled photo looks like those the height network learned from: what it says of others is worth less.

Mahalanobis distance of image statistics (gradients at three scales, colour, tone) and of the network's early responses,
whose means and spreads describe style rather than content (Lee et al. 2018; Gatys et al. 2016). Fitted to training
photos only.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_EARLY_STRIDE = 4
"""Pixels of the view per cell of the early responses."""


def statistics(
    colours: UInt8[np.ndarray, "H W 3"], seen: Bool[np.ndarray, "H W"], early: Float[np.ndarray, "C h w"]
) -> Float[np.ndarray, "N"]:
    """The numbers that are compared. A photo too small to have an inside is counted as a whole."""
    inner = _inside(seen, 5)
    lab = cv2.cvtColor(colours.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    out: list[float] = []
    for sigma in (0.0, 1.0, 2.0):
        light = cv2.GaussianBlur(lab[..., 0], (0, 0), sigma) if sigma else lab[..., 0]
        gx, gy = cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=0.125)
        out += list(np.log(np.percentile(np.hypot(gx, gy)[inner], [10, 30, 50, 70, 90]) + 0.05))
    chroma = np.hypot(lab[..., 1], lab[..., 2])[inner]
    out += list(np.log1p(np.percentile(chroma, [10, 50, 90])))
    out += list(np.percentile(lab[..., 0][inner], [5, 25, 50, 75, 95]) / 25)
    responses = early[:, _inside(seen, 9)[::_EARLY_STRIDE, ::_EARLY_STRIDE]]
    if not responses.size:
        responses = early.reshape(len(early), -1)
    return np.concatenate([out, np.log(responses.mean(1) + 0.02), np.log(responses.std(1) + 0.02)])


def _inside(seen: np.ndarray, size_px: int) -> np.ndarray:
    inner = cv2.erode(seen.astype(np.uint8), np.ones((size_px, size_px), np.uint8)).astype(bool)
    return inner if inner.any() else np.ones_like(seen)


def fit(samples: Float[np.ndarray, "M N"], held_out: Float[np.ndarray, "K N"]) -> dict[str, np.ndarray]:
    """Mean, precision, and the distance that 95 % of held-out photos stay below."""
    mean, covariance = samples.mean(0), np.cov(samples.T)
    ridge = 1e-2 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    found = {"mean": mean, "precision": np.linalg.inv(covariance + ridge), "limit": np.float64(1.0)}
    found["limit"] = np.percentile([strangeness(row, found) for row in held_out], 95)
    return {name: np.asarray(value) for name, value in found.items()}


def strangeness(values: Float[np.ndarray, "N"], fitted: dict[str, np.ndarray]) -> float:
    """Distance from the training photos; 1 is farther than 95 % of photos of their kind."""
    off = values - fitted["mean"]
    return float(np.sqrt(off @ fitted["precision"] @ off) / fitted["limit"])

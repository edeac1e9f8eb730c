"""Scale of predicted depths from camera centres, case by case."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lyra_sim.depth.align import fit_centres, normalise_cameras, separate_centres
from pipelines.vectors.figure import Figure, Vectors, differing, largest


@dataclass
class Facts:
    """Which guards a case needed."""

    input_offsets_added: bool
    retried_with_offsets: bool


def figures(vectors: Vectors) -> Iterator[Figure]:
    """Cameras as the network gets them, the fit, the scaled depths; whether guards were needed."""
    for case, facts in vectors.value("cases", dict[str, Facts]).items():
        given, predicted = vectors[f"{case}/given_w2c"], vectors[f"{case}/predicted_w2c"]
        apart = separate_centres(given)
        fit = fit_centres(apart, predicted)
        if fit is None:
            yield Figure(f"{case}: a fit", float("inf"), 0)
            continue
        yield largest(f"{case}: cameras after offsets", apart, vectors[f"{case}/given_w2c_after_offsets"], 1e-5)
        yield largest(f"{case}: normalised", normalise_cameras(apart), vectors[f"{case}/normalised_w2c"], 1e-5)
        yield largest(f"{case}: rotation", fit.sim3.rotation, vectors[f"{case}/rotation"], 1e-5)
        yield largest(f"{case}: translation", fit.sim3.translation, vectors[f"{case}/translation"], 1e-5)
        yield relative(f"{case}: scale", np.array([fit.sim3.scale]), vectors[f"{case}/scale"], 1e-5)
        depth = vectors[f"{case}/predicted_depth"] / fit.sim3.scale
        yield relative(f"{case}: depth", depth, vectors[f"{case}/scaled_depth"], 1e-5)
        flags = [bool((apart != given).any()), fit.offsets_added]
        wanted = [facts.input_offsets_added, facts.retried_with_offsets]
        yield differing(f"{case}: guards", np.array(flags), np.array(wanted))


def relative(name: str, made: np.ndarray, wanted: np.ndarray, bar: float) -> Figure:
    """The largest difference as a share of the reference value."""
    size = np.maximum(np.abs(wanted.astype(np.float64)), 1e-30)
    return largest(f"{name} (relative)", made / size, wanted / size, bar)

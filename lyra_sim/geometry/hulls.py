"""Convex hulls of points that were measured: some lie nearly on a plane, or nearly on each other."""

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull


def convex_hull(points: Float[np.ndarray, "K D"]) -> ConvexHull:
    """Hull by Qhull (Barber et al. 1996), triangulated. Corners a micrometre apart make facets that are wide by
    Qhull's measure and 1e-10 by ours, which it refuses unless told to allow them (option Q12).

    Raises:
        scipy.spatial.QhullError: the points span no volume (no area in two dimensions).
    """
    return ConvexHull(points, qhull_options="Qt Q12")

"""Layers that are fitted to outputs in closed form: no steps, no learning rate."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RIDGE = 1e-4  # of the mean energy of a feature: how much the data must say against the weights that are there


def fit_linear(features_and_targets: Iterable[tuple[Array, Array]], weights: Array) -> Array:
    """The linear map that gives the targets best, held back by the one that there is.

    Minimizes |F B - T|^2 + ridge |B - B0|^2, so it is never worse than B0 on the data, and where the data say nothing,
    B0 stays.

    Args:
        features_and_targets: batches of F [n, inputs] and T [n, outputs].
        weights: B0 [inputs, outputs].

    Returns:
        B [inputs, outputs].
    """
    before = np.asarray(weights, np.float64)
    gram, missing = np.zeros((len(before), len(before))), np.zeros_like(before)
    for features, targets in features_and_targets:
        features = np.asarray(features, np.float64)
        gram += features.T @ features
        missing += features.T @ (targets - features @ before)
    ridge = RIDGE * np.trace(gram) / len(gram)
    if not ridge:
        return before
    return before + np.linalg.solve(gram + ridge * np.eye(len(gram)), missing)

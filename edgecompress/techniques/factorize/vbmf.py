"""The rank that is signal and not noise: empirical variational Bayesian matrix factorization, in closed form.

Source: Nakajima et al., Global analytic solution of fully-observed variational Bayesian matrix factorization (JMLR 2013); the
threshold as in Nakajima et al., Perfect dimensionality recovery by variational Bayesian PCA (NIPS 2012). For networks: Kim et
al., Compression of deep convolutional neural networks (2016), section 3.2.
"""

import math

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from edgecompress.techniques.factorize.arrays import Array


def evbmf_rank(singular_values: Array, shape: tuple[int, int]) -> int:
    """Number of components that the empirical variational Bayesian solution keeps; the noise variance is estimated too.

    Args:
        singular_values: [min(shape)], falling.
        shape: of the matrix; which axis is which does not matter.

    Returns:
        0 (all noise) to min(shape).
    """
    small, large = min(shape), max(shape)
    values = np.asarray(singular_values, np.float64)
    if not values[0]:
        return 0
    squares = (values / values[0]) ** 2
    threshold = _threshold(small / large)
    variance = _noise_variance(squares, small, large, threshold)
    return int((squares > large * variance * threshold).sum())


def _threshold(aspect: float) -> float:
    """The least squared singular value that is kept, over large side and noise variance: (1 + tau)(1 + aspect / tau) where phi is 0."""

    def phi(z: float) -> float:
        return math.log1p(z) / z - 0.5

    tau = brentq(lambda z: phi(z) + phi(z / aspect), 1e-6 * aspect, 10.0)
    return (1 + tau) * (1 + aspect / tau)


def _noise_variance(squares: Array, small: int, large: int, threshold: float) -> float:
    """The variance at which the free energy is least, within the bounds that the theory gives."""
    aspect = small / large
    most_kept = min(math.ceil(small / (1 + aspect)) - 1, small - 1)
    lowest = max(squares[most_kept] / (large * threshold), squares[most_kept:].mean() / large)
    highest = squares.sum() / (small * large)
    if not lowest < highest:
        return float(highest)

    def energy(log_variance: float) -> float:
        return _free_energy(squares / (large * math.exp(log_variance)), aspect, threshold)

    # The energy has kinks where a singular value passes the threshold: the best cell of a grid, then its minimum.
    grid = np.linspace(math.log(max(lowest, np.finfo(float).tiny)), math.log(highest), 200)
    best = int(np.argmin([energy(point) for point in grid]))
    bounds = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    found = minimize_scalar(energy, bounds=bounds, method="bounded")
    return math.exp(found.x)


def _free_energy(x: Array, aspect: float, threshold: float) -> float:
    """Per large side, up to a constant; `x` are the squared singular values over large side and noise variance."""
    kept, noise = x[x > threshold], np.maximum(x[x <= threshold], np.finfo(float).tiny)
    apart = kept - (1 + aspect)
    tau = 0.5 * (apart + np.sqrt(apart**2 - 4 * aspect))
    signal = kept - tau + np.log((tau + 1) / kept) + aspect * np.log(tau / aspect + 1)
    return float((noise - np.log(noise)).sum() + signal.sum())

"""Which point is worth the next trial: expected gain of hypervolume under Gaussian processes, per work that is left to do.

Bytes, MACs and times differ by factors, and so do errors near a front, so everything is learned as a logarithm: a search for half
the bytes is as good wherever it begins.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import ndtr
from scipy.stats import qmc
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from edgecompress.search.axes import Axes

Floats = npt.NDArray[np.float64]
LEAST_ERROR = 0.005  # of a metric in [0, 1]: differences below half a point are noise of the split
NUM_PLACES = 2048  # of the space of objectives, on which gains are summed
MOST_LEARNED = 120  # trials; the newest
MOST_STEPS = 25  # of the fit of a kernel
MOST_MISSED = 1.0  # of a limit, as a fraction of it: beyond, more is no worse


@dataclass(frozen=True)
class Observed:
    """A trial as surrogates learn from it.

    Attributes:
        point: what was drawn.
        losses: one per objective, less is better, as `comparable` makes them; None where nothing was reached.
        misses: limit -> how far it was missed; at most 0 where it was met.
        is_full: whether the whole recipe ran.
    """

    point: Mapping[str, Any]
    losses: tuple[float, ...] | None
    misses: Mapping[str, float] = field(default_factory=dict)
    is_full: bool = True


def comparable(values: Sequence[float], rises: Sequence[bool]) -> tuple[float, ...] | None:
    """Objectives as logarithms of what should be small; None where one has no value.

    Args:
        values: one per objective, in its own unit.
        rises: whether more of each is better; such a metric is at most 1.
    """
    losses = [max(1 - value, LEAST_ERROR) if more else max(value, 1e-9) for value, more in zip(values, rises, strict=True)]
    return tuple(np.log10(losses).tolist()) if np.isfinite(losses).all() else None


class Surrogate:
    """What is believed of points that were not tried.

    Args:
        axes: of the space.
        observed: what was tried, the oldest first; at least one with losses.
    """

    def __init__(self, axes: Axes, observed: Sequence[Observed]) -> None:
        self._axes = axes
        everything = [one for one in observed if one.losses is not None]
        kept = [all(miss <= 0 for miss in one.misses.values()) for one in everything]
        self._losses = np.array([one.losses for one in everything])
        self._front = self._losses[kept]
        recent = observed[-MOST_LEARNED:]
        reached = [one for one in recent if one.losses is not None] or everything[-MOST_LEARNED:]
        losses = np.array([one.losses for one in reached])
        self._models = [_learn(self._features(reached), column, 1e-6) for column in losses.T]
        self._limits = [self._limit(name, recent) for name in dict.fromkeys(name for one in recent for name in one.misses)]

    def gains(self, points: Sequence[Mapping[str, Any]], pending: Sequence[Mapping[str, Any]] = ()) -> Floats:
        """Expected gain of hypervolume of each point, times the probability that it keeps all limits.

        The volume lies between the worst of each objective so far and a little beyond the best.

        Args:
            points: at least one.
            pending: points that others try at the moment; they are taken for what is expected of them.

        Returns:
            [points], in no unit.

        Source: Emmerich et al., Hypervolume-based expected improvement (2011), for independent objectives; Gardner et al., Bayesian
        optimization with inequality constraints (2014).
        """
        features = np.stack([self._axes.features(point) for point in points])
        front = self._front
        if pending:
            front = np.concatenate([front, self._expected(np.stack([self._axes.features(point) for point in pending]))])
        best, worst = self._losses.min(0), self._losses.max(0)
        width = np.maximum(worst - best, 1e-3)
        places = best - 0.2 * width + qmc.Halton(len(best), scramble=False).random(NUM_PLACES) * 1.3 * width
        if len(front):
            places = places[~(front[:, None, :] <= places[None, :, :]).all(2).any(0)]
        reached = np.ones((len(points), len(places)))
        for column, model in enumerate(self._models):
            mean, deviation = model(features)
            reached *= ndtr((places[None, :, column] - mean[:, None]) / deviation[:, None])
        gains: Floats = reached.sum(1) / NUM_PLACES
        for limit in self._limits:
            mean, deviation = limit(features)
            gains *= ndtr(-mean / deviation)
        return gains

    def _limit(self, name: str, observed: Sequence[Observed]) -> _Belief:
        """How far a limit is missed; what ended well without a word of it keeps it."""
        told = [one for one in observed if name in one.misses or one.losses is not None]
        values = [one.misses.get(name, -MOST_MISSED) for one in told]
        return _learn(self._features(told), np.clip(values, -MOST_MISSED, MOST_MISSED), MOST_MISSED)

    def _expected(self, features: Floats) -> Floats:
        return np.stack([model(features)[0] for model in self._models], 1)

    def _features(self, observed: Sequence[Observed]) -> Floats:
        return np.stack([self._axes.features(one.point) for one in observed])


@dataclass(frozen=True)
class _Belief:
    """One Gaussian process, and the scale that it learned on."""

    process: GaussianProcessRegressor | None
    mean: float
    scale: float

    def __call__(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation at each row."""
        if self.process is None:
            return np.full(len(features), self.mean), np.full(len(features), self.scale)
        mean, deviation = self.process.predict(features, return_std=True)
        return self.mean + self.scale * mean, self.scale * np.maximum(deviation, 1e-6)


def _learn(features: Floats, values: npt.ArrayLike, doubt: float) -> _Belief:
    """A process for one quantity; of one that did not change yet, only that, with a standard deviation of `doubt`."""
    array = np.asarray(values, float)
    mean, scale = float(array.mean()), float(array.std())
    if scale < 1e-9:
        return _Belief(None, mean, doubt)
    width = features.shape[1]
    kernel = ConstantKernel(1.0, (0.1, 20.0)) * Matern(np.ones(width), (0.1, 20.0), nu=2.5) + WhiteKernel(1e-2, (1e-5, 0.3))
    process = GaussianProcessRegressor(kernel, optimizer=_few_steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(features, (array - mean) / scale)
    return _Belief(process, mean, scale)


def _few_steps(objective: Any, initial: Floats, bounds: Floats) -> tuple[Floats, float]:
    """The kernel's own fit, which need not be exact and must not last."""
    found = minimize(objective, initial, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": MOST_STEPS})
    return found.x, found.fun

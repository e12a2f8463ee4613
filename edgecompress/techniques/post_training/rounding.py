"""Which way each weight should be rounded, given what its layer reads: arithmetic on arrays.

With e = rounded - exact, a layer that reads rows x gives x e more than it should. The mean of the square is e^T G e with G = mean(x x^T):
all that the samples say is in G, one matrix for a Dense layer or a convolution, one for each channel of a depthwise one. What the layers
before are already wrong by is in r = mean(x d), d what this layer should give less what it gives with exact weights:
cost = e^T G e - 2 e^T r, and the best weights may make up for some of it. Where a bias takes the mean of the error, G and r are
covariances.

Shapes: kernel [groups, taps, outputs], with one group but in depthwise layers; steps [groups, 1, outputs].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ON_GRID = 1e-4  # steps; a weight that is nearer to a multiple stays there, as the largest one must, which sets the scale
_STRETCH_LOW, _STRETCH_HIGH = -0.1, 1.1  # of the sigmoid, so that 0 and 1 are reached
_WARM_UP = 0.2  # of the iterations, without the pull to 0 and 1
_SHARP, _SOFT = 20.0, 2.0  # exponent of that pull, from first to last
_PULL = 3.0  # per weight, in parts of what rounding to nearest costs its output
_RATE = 0.02  # of Adam
_SEARCHED = np.linspace(0.5, 1.0, 26)  # of the largest weight


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the samples say about a layer.

    Attributes:
        gram: float64 [groups, taps, taps], G above.
        residual: float64 [groups, taps, outputs], r above.
    """

    gram: Array
    residual: Array

    def cost(self, error: Array) -> Array:
        """e^T G e - 2 e^T r of each output: [groups, taps, outputs] to [groups, 1, outputs]."""
        return (error * (self.gram @ error - 2 * self.residual)).sum(axis=1, keepdims=True)


def nearest(kernel: Array, steps: Array, most: int) -> Array:
    """The nearest integers in [-most, most], as float64."""
    return np.clip(np.round(_in_steps(kernel, steps)), -most, most)


def _in_steps(kernel: Array, steps: Array) -> Array:
    return np.divide(kernel, steps, out=np.zeros(np.broadcast(kernel, steps).shape), where=steps > 0)


def adaround(kernel: Array, steps: Array, most: int, evidence: Evidence, *, iterations: int = 500) -> Array:
    """Rounds each weight up or down so that the layer's output changes least.

    Minimizes cost + pull * sum(1 - |2 h - 1|^beta) over h = clip(1.2 sigmoid(v) - 0.1, 0, 1), the way from floor to ceiling, by Adam, beta
    falling from 20 to 2. An output channel that this makes worse than rounding to nearest is rounded to nearest.

    Args:
        kernel: float64 [groups, taps, outputs]; beyond [-most * steps, most * steps] it is clipped.
        steps: [groups, 1, outputs], size of an integer step; 0 for a channel of zeros.
        most: largest integer, 127 for 8 bits.
        evidence: of the layer's inputs.
        iterations: of Adam.

    Returns:
        Integers as float64 [groups, taps, outputs].

    Source: Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization (2020), section 3.3, equations 21 to 24, on second
    moments in the place of batches.
    """
    ratios, plain = np.clip(_in_steps(kernel, steps), -most, most), nearest(kernel, steps, most)
    free = np.abs(ratios - plain) > ON_GRID
    floors = np.where(free, np.floor(ratios), plain)
    ways = _descend(ratios - floors, floors * steps - kernel, free * steps, evidence, _unit(evidence, plain * steps - kernel), iterations)
    chosen = np.clip(floors + free * (ways >= 0.5), -most, most)
    return least_cost(plain, chosen, kernel, steps, evidence)


def _unit(evidence: Evidence, error: Array) -> Array:
    """What rounding to nearest costs each output, without what came before; 1 where that is nothing."""
    cost = (error * (evidence.gram @ error)).sum(axis=1, keepdims=True)
    return np.where(cost > 0, cost, 1.0)


def _descend(fractions: Array, from_floor: Array, steps: Array, evidence: Evidence, unit: Array, iterations: int) -> Array:
    """The ways h in [0, 1] after Adam; `from_floor` is floor - exact."""
    span = _STRETCH_HIGH - _STRETCH_LOW
    start = np.clip((fractions - _STRETCH_LOW) / span, 1e-3, 1 - 1e-3)
    values = np.log(start / (1 - start))
    momentum, variance = np.zeros_like(values), np.zeros_like(values)
    for turn in range(iterations):
        sigmoid = 1 / (1 + np.exp(-values))
        ways = np.clip(sigmoid * span + _STRETCH_LOW, 0, 1)
        slope = 2 * steps * (evidence.gram @ (from_floor + ways * steps) - evidence.residual) / unit
        if turn >= _WARM_UP * iterations:
            left = (turn / iterations - _WARM_UP) / (1 - _WARM_UP)
            beta = _SOFT + (_SHARP - _SOFT) * 0.5 * (1 + np.cos(np.pi * left))
            off = 2 * ways - 1
            slope = slope - _PULL / len(values[0]) * 2 * beta * np.abs(off) ** (beta - 1) * np.sign(off)
        gradient = slope * sigmoid * (1 - sigmoid) * span * ((ways > 0) & (ways < 1))
        momentum, variance = 0.9 * momentum + 0.1 * gradient, 0.999 * variance + 0.001 * gradient**2
        corrected = momentum / (1 - 0.9 ** (turn + 1)), variance / (1 - 0.999 ** (turn + 1))
        values = values - _RATE * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return np.clip(1 / (1 + np.exp(-values)) * span + _STRETCH_LOW, 0, 1)


def coordinate_descent(
    integers: Array, kernel: Array, steps: Array, most: int, evidence: Evidence, *, pinned: Array | None = None, sweeps: int = 4
) -> Array:
    """Moves one integer of each output at a time to where the cost is least, given all others. The cost never rises.

    Args:
        integers: to start from, float64 [groups, taps, outputs].
        kernel, steps, most, evidence: see `adaround`.
        pinned: bool [groups, taps, outputs], integers that stay; None: none.
        sweeps: over all taps, those that weigh most first.

    Source: the coordinate update of Frantar et al., GPTQ (2022), section 3, equation 2, repeated without freezing what was rounded.
    """
    integers, error = integers.copy(), integers * steps - kernel
    slope = evidence.gram @ error - evidence.residual
    weight = np.diagonal(evidence.gram, axis1=1, axis2=2)  # [groups, taps]
    for tap in np.tile(np.argsort(-weight.sum(axis=0)), sweeps):
        scaled = weight[:, tap, np.newaxis] * steps[:, 0]
        wish = integers[:, tap] - np.divide(slope[:, tap], scaled, out=np.zeros_like(slope[:, tap]), where=scaled > 0)
        moved = np.clip(np.round(wish), -most, most) - integers[:, tap]
        if pinned is not None:
            moved[pinned[:, tap]] = 0
        integers[:, tap] += moved
        slope += evidence.gram[:, :, tap, np.newaxis] * (moved * steps[:, 0])[:, np.newaxis]
    return integers


def least_cost(first: Array, second: Array, kernel: Array, steps: Array, evidence: Evidence) -> Array:
    """Of two sets of integers for each output the one that costs less."""
    better = evidence.cost(second * steps - kernel) < evidence.cost(first * steps - kernel)
    return np.where(better, second, first)


def search_scales(kernel: Array, most: int, evidence: Evidence) -> tuple[Array, Array]:
    """Integers and steps for few bits: of 26 scales for each output the one whose integers, after `coordinate_descent`, cost least.

    Weights of exactly 0 stay 0: they may be a mask that was promised.

    Args:
        kernel: float64 [groups, taps, outputs].
        most: largest integer, 7 for 4 bits.
        evidence: of the layer's inputs.

    Returns:
        (integers as float64 [groups, taps, outputs], steps [groups, 1, outputs]).
    """
    largest = np.abs(kernel).max(axis=1, keepdims=True)
    steps = largest / most
    integers, least = nearest(kernel, steps, most), np.full(steps.shape, np.inf)
    for part in _SEARCHED:
        tried = largest * part / most
        found = coordinate_descent(nearest(kernel, tried, most), kernel, tried, most, evidence, pinned=kernel == 0)
        cost = evidence.cost(found * tried - kernel)
        better = cost < least
        integers, steps, least = np.where(better, found, integers), np.where(better, tried, steps), np.minimum(cost, least)
    return integers, steps

"""Which weights go together when a kernel is pruned: each by itself, blocks, or two of every four. Pure functions on arrays.

Blocks and groups of four lie along input channels: the innermost axis of a kernel in a .tflite, [out, in] or [out, height, width, in],
so that a runtime finds each of them as neighbours in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kernel = npt.NDArray[np.floating]
Pooling = Literal["average", "max"]

STAYS = -1  # of a weight that belongs to no unit
GROUP = 4  # weights of the pattern 2:4
LEAST_KEPT = 0.01  # of each kernel: pruning globally must not cut a layer off


@dataclass(frozen=True, eq=False)
class Units:
    """What can be zeroed in a kernel, each unit as a whole.

    Attributes:
        scores: [units], at least 0: units of least score go first.
        of_weight: int64 in the shape of the kernel: each weight's unit, or STAYS.
    """

    scores: Kernel
    of_weight: npt.NDArray[np.int64]

    def mask(self, num_zeroed: int) -> npt.NDArray[np.bool_]:
        """False at the weights of the `num_zeroed` units of least score, exactly; of equal units the earlier in C order go first."""
        kept = np.ones(len(self.scores) + 1, bool)  # the last one is found by STAYS
        kept[np.argsort(self.scores, kind="stable")[:num_zeroed]] = False
        return kept[self.of_weight]


def single_weights(kernel: Kernel) -> Units:
    """Each weight by itself, scored by its magnitude."""
    return Units(np.abs(kernel).reshape(-1), np.arange(kernel.size).reshape(kernel.shape))


def blocks(kernel: Kernel, shape: Sequence[int], pooling: Pooling, channel_axis: int) -> Units:
    """Blocks of neighbours in output and input channels, at each position of a convolution's window.

    Args:
        kernel: [..., in, out], or [..., out, in].
        shape: output channels and input channels of a block; at the ends of the axes blocks are smaller.
        pooling: a block's score is the average or the largest magnitude in it.
        channel_axis: of the output channels: -1 or -2.

    Source: Narang et al., Block-Sparse Recurrent Neural Networks (2017), section 3, whose score is the largest magnitude.
    """
    num_out, num_in = kernel.shape[channel_axis], kernel.shape[_input_axis(channel_axis)]
    rows, columns = -(-num_out // shape[0]), -(-num_in // shape[1])
    grid = np.arange(num_out)[:, None] // shape[0] * columns + np.arange(num_in) // shape[1]
    positions = np.arange(np.prod(kernel.shape[:-2], dtype=np.int64)).reshape(*kernel.shape[:-2], 1, 1)
    of_weight = positions * (rows * columns) + (grid if channel_axis == -2 else grid.T)
    flat, magnitudes = of_weight.reshape(-1), np.abs(kernel).reshape(-1).astype(np.float64)
    if pooling == "average":
        scores = np.bincount(flat, weights=magnitudes) / np.bincount(flat)
    else:
        scores = np.zeros(flat.max() + 1)
        np.maximum.at(scores, flat, magnitudes)
    return Units(scores, of_weight)


def two_of_four(kernel: Kernel, channel_axis: int) -> Units:
    """The pattern 2:4: of each four consecutive input channels, the two of least magnitude make a unit.

    When every unit is zeroed, at most two of each four weights are left. A last group of three loses one weight; one or two weights
    fit the pattern as they are. A unit's score is the sum of its magnitudes: what is lost.

    Args:
        kernel: [..., in, out], or [..., out, in].
        channel_axis: of the output channels: -1 or -2.

    Source: Mishra et al., Accelerating Sparse Deep Neural Networks (2021), section 3.
    """
    magnitudes = np.moveaxis(np.abs(kernel), _input_axis(channel_axis), -1)
    num_in = magnitudes.shape[-1]
    padding = -num_in % GROUP
    padded = np.pad(magnitudes, [(0, 0)] * (magnitudes.ndim - 1) + [(0, padding)], constant_values=-1)  # goes before any weight
    groups = padded.reshape(-1, GROUP)
    goes = np.zeros(groups.shape, bool)
    np.put_along_axis(goes, np.argsort(groups, axis=1, kind="stable")[:, : GROUP // 2], True, axis=1)
    goes &= groups >= 0
    numbers = np.cumsum(goes.any(axis=1)) - 1
    of_weight = np.where(goes, numbers[:, None], STAYS).reshape(padded.shape)[..., :num_in]
    scores = np.where(goes, groups, 0).sum(axis=1, dtype=np.float64)[goes.any(axis=1)]
    return Units(scores, np.moveaxis(of_weight, -1, _input_axis(channel_axis)))


def zeroed_per_kernel(scores: Sequence[Kernel], fraction: float, scope: str) -> list[int]:
    """How many units of each kernel go. scope "layer": the same fraction of each; "global": those of least score of all.

    Source: Blalock et al., What is the State of Neural Network Pruning? (2020), section 2.3. Globally, one unit in a hundred of each
    kernel is kept whatever its score; the total stays exact as long as `fraction` allows it.
    """
    if scope == "layer":
        return [round(fraction * one.size) for one in scores]
    ranked = [one.astype(np.float64) for one in scores]
    for one in ranked:
        num_kept = max(1, int(LEAST_KEPT * one.size))
        one[np.argsort(one, kind="stable")[one.size - num_kept :]] = np.inf
    owner = np.repeat(np.arange(len(ranked)), [one.size for one in ranked])
    everything = np.concatenate(ranked)
    num_zeroed = min(round(fraction * everything.size), int(np.isfinite(everything).sum()))
    chosen = np.argsort(everything, kind="stable")[:num_zeroed]
    return [int(count) for count in np.bincount(owner[chosen], minlength=len(ranked))]


def _input_axis(channel_axis: int) -> int:
    """The axis of the input channels beside that of the output channels."""
    return -2 if channel_axis == -1 else -1

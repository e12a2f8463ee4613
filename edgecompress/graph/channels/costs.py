"""Parameters and multiply-accumulates of a model after a cut, without making it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.graph.channels.groups import ChannelGraph
from edgecompress.graph.channels.trace import Numbers
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.graph.layers import describe_layers, total


@dataclass(frozen=True)
class Cost:
    """Of a whole model; `macs` for one sample, as `describe_layers` counts both."""

    parameters: int
    macs: int


@dataclass(frozen=True, eq=False)
class _Weight:
    """A weight that gets smaller: size of the axes that stay, channels on the others, multiplications with each element."""

    size_of_rest: int
    axes: Sequence[Numbers]
    uses: float


@dataclass(frozen=True, eq=False)
class Costs:
    """What a model costs after any cut. A kernel multiplies each of its elements equally often, whatever its size.

    Attributes:
        whole: cost of the model as it is.
        macs_known: False where a layer has no formula; `macs` then leaves it out.
        weights: all that can get smaller.
        fixed: cost of all the rest.
    """

    whole: Cost
    macs_known: bool
    weights: tuple[_Weight, ...]
    fixed: Cost

    def after(self, gone: npt.NDArray[np.bool_]) -> Cost:
        """The cost once these channels are cut.

        Args:
            gone: bool [channels + 1], as `removed_channels` gives it.
        """
        stays = ~gone
        parameters, macs = self.fixed.parameters, float(self.fixed.macs)
        for weight in self.weights:
            size = weight.size_of_rest * prod(int(np.count_nonzero(stays[axis])) for axis in weight.axes)
            parameters += size
            macs += weight.uses * size
        return Cost(parameters, round(macs))


def channel_costs(model: Any, graph: ChannelGraph) -> Costs:
    """Prepares the counting for a model and its graph.

    Args:
        model: a Functional or Sequential model with a known input shape.
        graph: of this model.
    """
    layers = describe_layers(model)
    totals = total(layers)
    uses = _uses_of_kernels(model, {layer.name: layer.macs for layer in layers})
    axes: dict[tuple[str, str], list[Any]] = {}
    for axis in graph.weights:
        axes.setdefault((axis.layer, axis.weight), []).append(axis)
    weights = tuple(
        _Weight(
            prod(size for position, size in enumerate(parts[0].shape) if position not in {part.axis for part in parts}),
            [part.numbers for part in parts],
            uses.get(key, 0.0),
        )
        for key, parts in axes.items()
    )
    present = Costs(Cost(0, 0), totals.macs_known, weights, Cost(0, 0)).after(np.zeros(graph.num_channels + 1, bool))
    fixed = Cost(totals.parameters - present.parameters, totals.macs - present.macs)
    return Costs(Cost(totals.parameters, totals.macs), totals.macs_known, weights, fixed)


def _uses_of_kernels(model: Any, macs: Mapping[str, int]) -> dict[tuple[str, str], float]:
    """How often each element of a kernel is multiplied, over all calls of its layer for one sample."""
    sizes: dict[str, dict[str, int]] = {}
    for kernel in model_kernels(model):
        sizes.setdefault(kernel.layer, {})[kernel.weight.name] = int(np.prod(kernel.variable.shape))
    return {(layer, weight): macs[layer] / sum(kernels.values()) for layer, kernels in sizes.items() for weight in kernels}

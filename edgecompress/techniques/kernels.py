"""Which weights the techniques on single weights work on: the kernels of layers that hold almost all parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.graph.kernel_weights import KERNEL_WEIGHTS
from edgecompress.keeps import get_variable
from edgecompress.stage import LayerRecord
from edgecompress.techniques.chosen_layers import choose_layers

KERNELS = {kind: weight for kind, weights in KERNEL_WEIGHTS.items() for weight in weights if weight.name != "depthwise_kernel"}
"""Layer class to its large weight. Depthwise kernels are left out: few weights, much harm (TF-MOT leaves them too)."""


@dataclass(frozen=True)
class Kernel:
    """One weight to work on. `values` has the layer's own axis order, output channels along `channel_axis`."""

    layer: str
    type: str
    weight: str
    values: npt.NDArray[np.float32]
    channel_axis: int


def choose_kernels(
    model: keras.Model, layers: Sequence[str], skip: Sequence[str], supports: Callable[[keras.layers.Layer], bool] = lambda layer: True
) -> tuple[list[Kernel], list[LayerRecord]]:
    """The kernels of the chosen layers, and a record for each layer with weights that is left alone.

    Args:
        model: any functional or sequential model.
        layers: patterns; empty means every layer that has a kernel.
        skip: patterns of layers to leave alone.
        supports: whether the technique can work on a layer, where the layer's class alone does not say so.

    Raises:
        RecipeError: a pattern that matches no layer, or one of `layers` that matches none with a kernel.
        ModelError: nothing is left to work on.
    """

    def why_not(layer: keras.layers.Layer) -> str | None:
        kind = type(layer).__name__
        if kind not in KERNELS:
            return f"{kind} has no kernel that is pruned or clustered"
        return None if supports(layer) else f"TF-MOT does not work on {kind}" + ("" if layer.trainable else " that is frozen")

    chosen, records = choose_layers(model, layers, skip, why_not, f"layers of the classes {', '.join(KERNELS)}")
    return [_kernel(model, layer) for layer in chosen], records


def _kernel(model: keras.Model, layer: keras.layers.Layer) -> Kernel:
    """The large weight of a layer."""
    kind = type(layer).__name__
    weight = KERNELS[kind]
    return Kernel(layer.name, kind, weight.name, get_variable(model, layer.name, weight.name).numpy(), weight.channel_axis)


def pruning_supports(layer: keras.layers.Layer) -> bool:
    """Whether TF-MOT's pruning wrapper takes a layer."""
    from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry

    return bool(PruneRegistry.supports(layer))


def clustering_supports(layer: keras.layers.Layer) -> bool:
    """Whether TF-MOT's clustering wrapper takes a layer. Of a frozen layer it clusters nothing, or raises."""
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_registry import ClusteringRegistry

    return bool(layer.trainable and ClusteringRegistry.supports(layer))

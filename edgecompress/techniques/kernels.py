"""Which weights the techniques on single weights work on: the kernels of layers that hold almost all parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.kernel_weights import KERNEL_WEIGHTS, KernelWeight
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import get_variable
from edgecompress.stage import LayerRecord

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
        RecipeError: a pattern matches no layer.
        ModelError: nothing is left to work on.
    """
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    wanted = set(select_layers(names, layers, field="layers")) if layers else {name for name, _ in names}
    spared = set(select_layers(names, skip, field="skip")) if skip else set()
    kernels, records = [], []
    for layer in model.layers:
        kind = type(layer).__name__
        weight = KERNELS.get(kind)
        reason = _why_not(layer, weight, wanted, spared, supports)
        if reason is None and weight is not None:
            values = get_variable(model, layer.name, weight.name).numpy()
            kernels.append(Kernel(layer.name, kind, weight.name, values, weight.channel_axis))
        elif layer.weights and reason is not None:
            records.append(LayerRecord(layer.name, kind, "skipped", reason))
    if not kernels:
        reasons = "; ".join(sorted({record.reason for record in records})) or "no layer with weights"
        raise ModelError(f"no layer is left to work on: layers must be of the classes {', '.join(KERNELS)}. Received: {reasons}.")
    return kernels, records


def pruning_supports(layer: keras.layers.Layer) -> bool:
    """Whether TF-MOT's pruning wrapper takes a layer."""
    from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry

    return bool(PruneRegistry.supports(layer))


def clustering_supports(layer: keras.layers.Layer) -> bool:
    """Whether TF-MOT's clustering wrapper takes a layer. Of a frozen layer it clusters nothing, or raises."""
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_registry import ClusteringRegistry

    return bool(layer.trainable and ClusteringRegistry.supports(layer))


def _why_not(
    layer: keras.layers.Layer,
    weight: KernelWeight | None,
    wanted: set[str],
    spared: set[str],
    supports: Callable[[keras.layers.Layer], bool],
) -> str | None:
    """Why a layer is left alone; None if it is not."""
    if layer.name in spared:
        return "named in `skip`"
    if layer.name not in wanted:
        return "not named in `layers`"
    kind = type(layer).__name__
    if weight is None:
        return f"{kind} has no kernel that is pruned or clustered"
    return None if supports(layer) else f"TF-MOT does not work on {kind}" + ("" if layer.trainable else " that is frozen")

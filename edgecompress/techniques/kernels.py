"""Which weights the techniques on single weights work on: the kernels of layers that hold almost all parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import get_variable
from edgecompress.stage import LayerRecord

KERNELS = {
    "Dense": "kernel",
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Conv3D": "kernel",
    "Conv1DTranspose": "kernel",
    "Conv2DTranspose": "kernel",
    "SeparableConv1D": "pointwise_kernel",
    "SeparableConv2D": "pointwise_kernel",
    "Embedding": "embeddings",
}
"""Layer class to the name of its large weight. Depthwise kernels are left out: few weights, much harm (TF-MOT leaves them too)."""


@dataclass(frozen=True)
class Kernel:
    """One weight to work on. `values` has the layer's own axis order, output channels last."""

    layer: str
    type: str
    weight: str
    values: npt.NDArray[np.float32]


def choose_kernels(model: keras.Model, layers: Sequence[str], skip: Sequence[str]) -> tuple[list[Kernel], list[LayerRecord]]:
    """The kernels of the chosen layers, and a record for each layer with weights that is left alone.

    Args:
        model: any functional or sequential model.
        layers: patterns; empty means every layer that has a kernel.
        skip: patterns of layers to leave alone.

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
        reason = _why_not(layer, weight, wanted, spared)
        if reason is None and weight is not None:
            kernels.append(Kernel(layer.name, kind, weight, get_variable(model, layer.name, weight).numpy()))
        elif layer.weights and reason is not None:
            records.append(LayerRecord(layer.name, kind, "skipped", reason))
    if not kernels:
        raise ModelError(f"no layer is left to work on: layers must hold one of {', '.join(KERNELS)}. Received: {_types(names)}")
    return kernels, records


def _why_not(layer: keras.layers.Layer, weight: str | None, wanted: set[str], spared: set[str]) -> str | None:
    """Why a layer is left alone; None if it is not."""
    if layer.name in spared:
        return "named in `skip`"
    if layer.name not in wanted:
        return "not named in `layers`"
    return None if weight is not None else f"{type(layer).__name__} has no kernel that is pruned or clustered"


def _types(names: Sequence[tuple[str, str]]) -> str:
    """The layer classes of a model, for a message."""
    return ", ".join(sorted({kind for _, kind in names}))

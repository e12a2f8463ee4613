"""Which type the weights of each layer are to have in the file, from the recipe's `export:` and the model."""

from __future__ import annotations

from dataclasses import dataclass

from edgecompress.backend import keras
from edgecompress.errors import RecipeError
from edgecompress.graph.kernel_weights import LayerKernel, model_kernels
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.selection import MAX_LISTED, select_layers
from edgecompress.recipe.schema import Export
from edgecompress.recipe.weight_types import BITS, LOW_BIT_FORMATS, MIXABLE
from edgecompress.tflite import KerasKernel


@dataclass(frozen=True)
class Wanted:
    """What is asked for one kernel.

    Attributes:
        layer, type: name and class of the layer.
        kernel: to look for in the file; None: the file does not keep it apart.
        bits: 32, 8, 4 or 2.
        block: 4 bits: weights of an output that share a scale; 0: all of them.
    """

    layer: str
    type: str
    kernel: KerasKernel | None
    bits: int
    block: int = 0

    @property
    def not_in_blocks(self) -> str | None:
        """Why no runtime reads the block-wise scales that are asked for; None if it may, or none are."""
        if not self.block:
            return None
        if self.kernel is None or self.kernel.kind != "Dense":
            return "only Dense layers can have block-wise scales"
        return f"its {self.kernel.shape[0]} inputs are no multiple" if self.kernel.shape[0] % self.block else None


def is_mixed(export: Export) -> bool:
    """Whether this package writes the weights of the file, not the converter alone."""
    return export.format in LOW_BIT_FORMATS or bool(export.layers)


def wanted_types(model: keras.Model, export: Export) -> list[Wanted]:
    """One entry for each kernel of the model, in its order, then one for each other layer with matrices, such as an LSTM.

    Raises:
        RecipeError: a pattern that matches no layer, or only layers without weights that could have another type.
    """
    kernels = [_kernel(kernel) for kernel in model_kernels(model)]
    types = {layer: (kind, kernel is not None) for layer, kind, kernel in kernels}
    default = BITS[MIXABLE[export.format]]
    bits = dict.fromkeys(types, default)
    if export.only:
        chosen = set(_select(model, types, export.only, "export.only"))
        bits = {layer: default if layer in chosen else BITS["float32"] for layer in types}
    for pattern, weight_type in export.layers.items():
        bits |= dict.fromkeys(_select(model, types, [pattern], "export.layers"), BITS[weight_type])
    others = [Wanted(layer, kind, None, default) for layer, kind in _other_layers(model) if layer not in types]
    block = export.block or 0
    return [*(Wanted(layer, kind, kernel, bits[layer], block if bits[layer] == 4 else 0) for layer, kind, kernel in kernels), *others]


def _other_layers(model: keras.Model) -> list[tuple[str, str]]:
    """Layers whose weights are more than vectors, by name and class; models inside are not looked into."""
    layers = [wrapped_layer(layer) for layer in model.layers if not hasattr(layer, "_nodes_by_depth")]
    return [(layer.name, type(layer).__name__) for layer in layers if any(weight.shape.rank > 1 for weight in layer.weights)]


def _kernel(kernel: LayerKernel) -> tuple[str, str, KerasKernel | None]:
    """Layer, class and what to look for in a file."""
    kind = kernel.weight.kind_in_file
    found = None if kind is None else KerasKernel(kernel.layer, tuple(kernel.variable.shape), kind)
    return kernel.layer, kernel.type, found


def _select(model: keras.Model, types: dict[str, tuple[str, bool]], patterns: list[str], field: str) -> list[str]:
    """Layers with a kernel that the patterns match."""
    with_kernels = [(layer, kind) for layer, (kind, apart) in types.items() if apart]
    try:
        return select_layers(with_kernels, patterns, field=field)
    except RecipeError:
        others = [(wrapped_layer(layer).name, type(wrapped_layer(layer)).__name__) for layer in model.layers]
        matched = [f"{name} ({kind})" for name, kind in others if name in _matched(others, patterns, field)]
        if not matched:
            raise
        listed, kinds = ", ".join(matched[:MAX_LISTED]), ", ".join(sorted({kind for _, kind in with_kernels}))
        raise RecipeError(
            f"{field} must match a layer whose weights the file keeps as a kernel: {kinds}. "
            f"Received: {patterns[0]!r}, which matches {listed}."
        ) from None


def _matched(layers: list[tuple[str, str]], patterns: list[str], field: str) -> list[str]:
    """What patterns match among all layers; nothing where one matches none."""
    try:
        return select_layers(layers, patterns, field=field)
    except RecipeError:
        return []

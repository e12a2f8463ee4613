"""Trains with rounded kernels, and leaves a plain model whose kernels lie on their grids.

An export of as many bits finds the grids and stores their integers: nothing is rounded a second time, and folding a BatchNormalization
only changes the scale of a channel.
"""

from __future__ import annotations

import numpy as np

from edgecompress.backend import keras
from edgecompress.graph.kernel_weights import KERNEL_WEIGHTS, KernelWeight
from edgecompress.keeps import Keep
from edgecompress.models.copying import copy_model, set_weights, with_layers_wrapped
from edgecompress.recipe.stages import QuantizeAware
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.chosen_layers import choose_layers
from edgecompress.techniques.low_bits.estimators import Bits, level_bits
from edgecompress.techniques.low_bits.wrapper import LowBitWeights, channel_rows, from_channel_rows
from edgecompress.training import fit
from edgecompress.weight_grids import recover_scales, to_levels

WEIGHTS = {
    kind: weights for kind, weights in KERNEL_WEIGHTS.items() if all(weight.kind_in_file is not None for weight in weights)
}  # what a file can hold in fewer bits
BITS_IN_WORDS = {4: "4 bits (-7 to 7)", 2: "2 bits (-1, 0, 1)", "ternary": "ternary (-1, 0, 1)", "binary": "binary (-1, 1)"}


def apply(model: keras.Model, config: QuantizeAware, context: Context) -> StageResult:
    """Trains a copy of `model` with the chosen kernels rounded.

    Raises:
        RecipeError: a pattern that matches no layer, or only layers without a kernel.
        ModelError: nothing is left to work on.
    """
    layers, records = _choose(model, config)
    bits: Bits = config.bits  # type: ignore[assignment]  # 8 goes another way
    names = {layer.name for layer in layers}

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        return LowBitWeights(layer, WEIGHTS[type(layer).__name__], bits) if layer.name in names else layer

    trainee = with_layers_wrapped(model, wrap)
    held = [keep for keep in context.keeps if bits != "binary" or keep.kind != "mask" or keep.layer not in names]
    released = tuple(f"{keep.layer}: {keep.describe()}, a binary weight is never zero" for keep in context.keeps if keep not in held)
    epochs = fit(trainee, config.train, context, keeps=held)
    trained, grids = _plain(model, trainee, bits)
    return StageResult(trained, [*(_record(layer, bits) for layer in layers), *records], (*held, *grids), released, epochs)


def plan(model: keras.Model, config: QuantizeAware) -> tuple[keras.Model, list[LayerRecord]]:
    """Which layers would be trained with rounded kernels."""
    layers, records = _choose(model, config)
    return model, [*(_record(layer, config.bits) for layer in layers), *records]  # type: ignore[arg-type]  # as above


def _choose(model: keras.Model, config: QuantizeAware) -> tuple[list[keras.layers.Layer], list[LayerRecord]]:
    def why_not(layer: keras.layers.Layer) -> str | None:
        return None if type(layer).__name__ in WEIGHTS else f"{type(layer).__name__} has no kernel that a file holds in fewer bits"

    return choose_layers(model, config.layers, config.skip, why_not, f"layers of the classes {', '.join(WEIGHTS)}")


def _record(layer: keras.layers.Layer, bits: Bits) -> LayerRecord:
    return LayerRecord(
        layer.name, type(layer).__name__, "changed", f"trained as {BITS_IN_WORDS[bits]}", {"bits": 32}, {"bits": level_bits(bits)}
    )


def _plain(model: keras.Model, trainee: keras.Model, bits: Bits) -> tuple[keras.Model, list[Keep]]:
    """A copy of `model` with the trained weights, rounded kernels among them, and the keeps that say so."""
    plain, keeps = copy_model(model), []
    for layer in trainee.layers:
        inner = layer.layer if isinstance(layer, LowBitWeights) else layer
        if not inner.weights:
            continue
        target = plain.get_layer(inner.name)
        set_weights(target, inner.get_weights())
        if isinstance(layer, LowBitWeights):
            for kernel in WEIGHTS[type(inner).__name__]:
                rows = channel_rows(layer.rounded(kernel).numpy(), kernel)
                scales = recover_scales(rows, level_bits(bits))
                levels = to_levels(rows, scales, level_bits(bits))
                variable = getattr(target, kernel.name)
                shape = tuple(variable.shape)
                variable.assign(from_channel_rows(levels * scales[:, None], kernel, shape))  # to the last bit, where training was near it
                keeps += _grid_keep(inner.name, kernel, from_channel_rows(levels, kernel, shape))
    return plain, keeps


def _grid_keep(layer: str, kernel: KernelWeight, levels: np.ndarray) -> list[Keep]:
    """That weights of one level share a value; none for a depthwise kernel with several filters per channel, where levels differ."""
    if kernel.name == "depthwise_kernel" and levels.shape[-1] > 1:
        return []
    _, groups = np.unique(levels, return_inverse=True)
    return [Keep("centroids", layer, kernel.name, groups.reshape(levels.shape).astype(np.int32), kernel.channel_axis)]

"""A layer whose kernels are rounded to few levels each time that it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.graph.kernel_weights import KernelWeight
from edgecompress.techniques.low_bits.estimators import Bits, binary, first_scales, learned_steps, ternary


class LowBitWeights(keras.layers.Wrapper):
    """Calls a built layer with rounded kernels; its variables hold the weights before rounding, and are what is trained.

    Args:
        layer: built; its call is looked at again and again, so it must not be shared with another model.
        kernels: which of its weights are rounded.
        bits: 4, 2, ternary or binary.
    """

    def __init__(self, layer: keras.layers.Layer, kernels: Sequence[KernelWeight], bits: Bits) -> None:
        super().__init__(layer, name=layer.name)
        self._kernels, self._bits = list(kernels), bits
        self._first = {
            kernel.name: first_scales(channel_rows(getattr(layer, kernel.name).numpy(), kernel), bits)
            for kernel in kernels
            if bits in (2, 4)
        }
        self._logarithms: dict[str, tf.Variable] = {}

    def build(self, input_shape: Any) -> None:
        """Adds what LSQ learns: the logarithm of scale / first scale, so that a scale stays positive and steps are relative."""
        for name, first in self._first.items():
            self._logarithms[name] = self.add_weight(f"{name}_scale", shape=first.shape, initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """The layer's call. Past Keras' `setattr`, which would take the variables for gone."""
        variables = {kernel.name: getattr(self.layer, kernel.name) for kernel in self._kernels}
        try:
            for kernel in self._kernels:
                object.__setattr__(self.layer, kernel.name, self.rounded(kernel))
            return self.layer.call(inputs)
        finally:
            for name, variable in variables.items():
                object.__setattr__(self.layer, name, variable)

    def rounded(self, kernel: KernelWeight) -> tf.Tensor:
        """A kernel on its grid, with the gradients of the estimator."""
        weights = tf.convert_to_tensor(getattr(self.layer, kernel.name))
        axes = reduced_axes(kernel, len(weights.shape))
        if self._bits in (2, 4):
            scales = tf.reshape(
                self._first[kernel.name].astype(np.float32) * tf.exp(self._logarithms[kernel.name]), _broadcast(weights, axes)
            )
            return learned_steps(weights, scales, self._bits, int(np.prod([weights.shape[axis] for axis in axes])))
        return ternary(weights, axes) if self._bits == "ternary" else binary(weights, axes)


def reduced_axes(kernel: KernelWeight, rank: int) -> list[int]:
    """The axes of a kernel along which weights share a scale: all but the output channels; of a depthwise kernel, the taps."""
    if kernel.name == "depthwise_kernel":
        return list(range(rank - 2))
    return [axis for axis in range(rank) if axis != rank + kernel.channel_axis]


def channel_rows(values: np.ndarray, kernel: KernelWeight) -> np.ndarray:
    """A kernel as [channels, weights that share a scale]."""
    axes = reduced_axes(kernel, values.ndim)
    kept = [axis for axis in range(values.ndim) if axis not in axes]
    return values.transpose(*kept, *axes).reshape(int(np.prod([values.shape[axis] for axis in kept])), -1)


def from_channel_rows(rows: np.ndarray, kernel: KernelWeight, shape: Sequence[int]) -> np.ndarray:
    """`channel_rows` backwards: [channels, weights that share a scale] as a kernel of `shape`."""
    axes = reduced_axes(kernel, len(shape))
    order = [*(axis for axis in range(len(shape)) if axis not in axes), *axes]
    return rows.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def _broadcast(weights: tf.Tensor, axes: Sequence[int]) -> list[int]:
    """The shape of the scales beside the kernel."""
    return [1 if axis in axes else int(size) for axis, size in enumerate(weights.shape)]

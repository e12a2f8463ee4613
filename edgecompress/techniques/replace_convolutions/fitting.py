"""The weights that a block starts with: a fit to the convolution's kernel and to its outputs on the calibration samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.models.layer_samples import linear_part, patches, rows
from edgecompress.models.replacing import Weights, alone, chain
from edgecompress.techniques.replace_convolutions.fire import num_squeezed, num_wide, squeeze_weights
from edgecompress.techniques.replace_convolutions.separable import separable_kernels
from edgecompress.training.least_squares import fit_linear

Array = npt.NDArray[np.float64]
Samples = Callable[[], Iterator[Array]]
"""Batches of the layer's inputs, from the first one again at each call."""


def fit_separable(layer: keras.layers.Layer, samples: Samples, input_shape: tuple[int, ...]) -> list[Weights]:
    """The best depthwise filters for the kernel, then the pointwise kernel that gives the outputs best."""
    kernel, *bias = layer.get_weights()
    depthwise, pointwise = separable_kernels(kernel)
    config = {key: layer.get_config()[key] for key in ("kernel_size", "strides", "padding", "dilation_rate")}
    filtered = alone(chain((keras.layers.DepthwiseConv2D(use_bias=False, **config), [depthwise])), input_shape)
    linear = linear_part(layer, kernel, input_shape)
    pairs = ((rows(filtered(inputs)), rows(linear(inputs))) for inputs in samples())
    fitted = fit_linear(pairs, pointwise[0, 0])
    return [[depthwise], [fitted[np.newaxis, np.newaxis], *bias]]


def fit_fire(layer: keras.layers.Layer, samples: Samples, input_shape: tuple[int, ...], squeeze: float) -> list[Weights]:
    """The squeeze that keeps what the outputs need, then both expansions that give the outputs best."""
    kernel, bias = layer.get_weights() if layer.use_bias else (*layer.get_weights(), 0.0)
    mean, second_moment = _moments(samples(), kernel.shape[2])
    weights = squeeze_weights(kernel, mean, second_moment, num_squeezed(kernel.shape, squeeze))
    number = weights[1].size
    squeezed = alone(chain((keras.layers.Conv2D(number, 1, activation="relu"), list(weights))), input_shape)
    linear, first_wide = linear_part(layer, kernel, input_shape), kernel.shape[-1] - num_wide(kernel.shape[-1])
    geometry = {key: layer.get_config()[key] for key in ("strides", "padding", "dilation_rate")}
    expansions: list[Weights] = []
    for outputs, size in ((slice(0, first_wide), (1, 1)), (slice(first_wide, None), layer.kernel_size)):
        like = keras.layers.Conv2D(1, size, **geometry)  # holds the geometry only

        def pairs(outputs: slice = outputs, like: keras.layers.Layer = like) -> Iterator[tuple[Array, Array]]:
            for inputs in samples():
                seen = patches(like, squeezed(inputs))
                features = np.append(seen.reshape(len(seen), -1), np.ones((len(seen), 1)), axis=1)  # the last one is for the bias
                yield features, (rows(linear(inputs)) + bias)[:, outputs]

        num_features, num_outputs = number * size[0] * size[1], kernel[..., outputs].shape[-1]
        fitted = fit_linear(pairs(), np.zeros((num_features + 1, num_outputs)))
        expansions.append([fitted[:-1].reshape(*size, number, num_outputs), fitted[-1]])
    return [list(weights), *expansions]


def _moments(samples: Iterator[Array], num_channels: int) -> tuple[Array, Array]:
    """Mean [channels] and second moment [channels, channels] over samples and positions."""
    total, second, number = np.zeros(num_channels), np.zeros((num_channels, num_channels)), 0
    for inputs in samples:
        values = inputs.reshape(-1, num_channels).astype(np.float64)
        total += values.sum(axis=0)
        second += values.T @ values
        number += len(values)
    return total / max(number, 1), second / max(number, 1)

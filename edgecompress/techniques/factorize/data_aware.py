"""What a layer gives on real samples: what counts when factors are chosen for outputs and not for weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.data import Data
from edgecompress.models.layer_inputs import layer_inputs
from edgecompress.models.replacing import alone, chain
from edgecompress.techniques.factorize.arrays import Array
from edgecompress.techniques.factorize.candidate import Candidate
from edgecompress.techniques.factorize.chains import factor_chain
from edgecompress.techniques.factorize.decisions import Decision
from edgecompress.training.least_squares import fit_linear

BATCH_SIZE = 32  # samples whose features are in memory at a time


def measure_moments(model: keras.Model, candidate: Candidate, data: Data) -> Candidate:
    """The candidate with the second moments of its outputs on the calibration samples, without bias and activation."""
    moments = [np.zeros((kernel.shape[-1],) * 2) for kernel in candidate.kernels]
    linear, num_rows = _linear(candidate, candidate.kernel), 0
    for inputs in _inputs(model, candidate, data):
        outputs = _rows(linear(inputs))
        num_rows += len(outputs)
        for moment, part in zip(moments, np.split(outputs, candidate.groups, axis=-1), strict=True):
            moment += part.T @ part
    return replace(candidate, output_moments=tuple(moment / max(num_rows, 1) for moment in moments))


def fit_last(decision: Decision, model: keras.Model, data: Data) -> Decision:
    """The decision with the last factor fitted to the outputs: whatever the method, it is linear in that one."""
    candidate, factors = decision.candidate, decision.factors
    part = factor_chain(candidate.layer, candidate.method, factors, lambda ending: candidate.name + ending)
    *links, (last, _) = part.weights
    linear = _linear(candidate, candidate.kernel)
    until_last = alone(chain(*links), linear.input_shape[1:])
    by_group = np.split(factors[-1], candidate.groups, axis=-1)

    def batches(group: int) -> Iterator[tuple[Array, Array]]:
        for inputs in _inputs(model, candidate, data):
            features = _patches(last, until_last(inputs), candidate.groups)[:, :, group]
            targets = np.split(_rows(linear(inputs)), candidate.groups, axis=-1)[group]
            yield features.reshape(len(features), -1), targets

    fitted = [
        fit_linear(batches(group), factor.reshape(-1, factor.shape[-1])).reshape(factor.shape) for group, factor in enumerate(by_group)
    ]
    return replace(decision, factors=(*factors[:-1], np.concatenate(fitted, axis=-1)))


def measure_output_error(decision: Decision, model: keras.Model, data: Data) -> Decision:
    """The decision with the relative error of the layer's outputs on the calibration samples."""
    candidate, lost, energy = decision.candidate, 0.0, 0.0
    exact, approximate = (_linear(candidate, kernel) for kernel in (candidate.kernel, candidate.reconstruct(decision.factors)))
    for inputs in _inputs(model, candidate, data):
        outputs = _rows(exact(inputs))
        energy += float((outputs**2).sum())
        lost += float(((outputs - _rows(approximate(inputs))) ** 2).sum())
    return replace(decision, errors=(*decision.errors, ("output_error", float(np.sqrt(lost / energy)) if energy else 0.0)))


def _inputs(model: keras.Model, candidate: Candidate, data: Data) -> Iterator[Array]:
    return layer_inputs(model, candidate.name, data.calibration.dataset(BATCH_SIZE))


def _linear(candidate: Candidate, kernel: Array) -> keras.Model:
    """The layer with another kernel, without bias and activation, as a model."""
    config = candidate.layer.get_config()
    config |= {key: value for key, value in (("activation", "linear"), ("use_bias", False)) if key in config}
    return alone(chain((type(candidate.layer).from_config(config), [kernel])), candidate.input_shape)


def _rows(outputs: tf.Tensor) -> Array:
    """[positions, channels], in double precision: sums over them are long."""
    return np.asarray(outputs, np.float64).reshape(-1, outputs.shape[-1])


def _patches(layer: keras.layers.Layer, features: tf.Tensor, groups: int) -> Array:
    """What each output of a layer is a sum over: [positions, positions of the kernel, groups, channels of a group]."""
    num_positions = int(np.prod(getattr(layer, "kernel_size", (1,))))
    if num_positions > 1:
        features = tf.image.extract_patches(
            features, sizes=[1, *layer.kernel_size, 1], strides=[1, *layer.strides, 1], rates=[1, *layer.dilation_rate, 1],
            padding=layer.padding.upper(),
        )  # fmt: skip
    return np.asarray(features, np.float64).reshape(-1, num_positions, groups, features.shape[-1] // (num_positions * groups))

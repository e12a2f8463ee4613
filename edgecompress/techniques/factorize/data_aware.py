"""What a layer gives on real samples: what counts when factors are chosen for outputs and not for weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgecompress.backend import keras
from edgecompress.data import Data
from edgecompress.models.layer_samples import layer_inputs, linear_part, output_error, patches, rows
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
        outputs = rows(linear(inputs))
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
            features = np.split(patches(last, until_last(inputs)), candidate.groups, axis=-1)[group]
            targets = np.split(rows(linear(inputs)), candidate.groups, axis=-1)[group]
            yield features.reshape(len(features), -1), targets

    fitted = [
        fit_linear(batches(group), factor.reshape(-1, factor.shape[-1])).reshape(factor.shape) for group, factor in enumerate(by_group)
    ]
    return replace(decision, factors=(*factors[:-1], np.concatenate(fitted, axis=-1)))


def measure_output_error(decision: Decision, model: keras.Model, data: Data) -> Decision:
    """The decision with the relative error of the layer's outputs on the calibration samples."""
    candidate = decision.candidate
    exact, approximate = (_linear(candidate, kernel) for kernel in (candidate.kernel, candidate.reconstruct(decision.factors)))
    error = output_error(exact, approximate, _inputs(model, candidate, data))
    return replace(decision, errors=(*decision.errors, ("output_error", error)))


def _inputs(model: keras.Model, candidate: Candidate, data: Data) -> Iterator[Array]:
    return layer_inputs(model, candidate.name, data.calibration, BATCH_SIZE)


def _linear(candidate: Candidate, kernel: Array) -> keras.Model:
    return linear_part(candidate.layer, kernel, candidate.input_shape)

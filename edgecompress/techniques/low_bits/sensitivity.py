"""How much the bits of each layer's weights matter: one layer at a time is rounded, to fewer and fewer bits."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import numpy as np

from edgecompress.backend import keras
from edgecompress.graph.kernel_weights import LayerKernel, model_kernels
from edgecompress.models.copying import copy_model
from edgecompress.sensitivity import Sensitivity, Unit, measure
from edgecompress.stage import Context
from edgecompress.weight_grids import least_error_scales, to_levels

ALL_BITS = 32
BITS = (8, 6, 4, 3, 2)


def measure_bits(model: keras.Model, context: Context) -> Sensitivity:
    """The validation metric with the weights of one layer at a time rounded, per output channel, with the scale of least squared error.

    A level is the part of float32's bits that is gone: 0.75 stands for 8 bits, 0.875 for 4.

    Args:
        model: float; not changed.
        context: its folder gets `sensitivity_bits.json`.
    """
    kernels: dict[str, list[LayerKernel]] = defaultdict(list)
    for kernel in model_kernels(model):
        kernels[kernel.layer].append(kernel)
    metric, data = context.task.metrics[0], context.data
    levels = tuple(1 - bits / ALL_BITS for bits in BITS)
    units = [Unit(name, levels, partial(_rounded, model, name)) for name in kernels]
    return measure(
        units, model, lambda changed: context.evaluate(changed)[metric], metric=metric, rises=context.task.rises(metric),
        file=context.folder / "sensitivity_bits.json", shared=context.sensitivities, progress=context.progress,
        depends_on=["bits", data.fingerprint, context.task.model_dump(mode="json")], of="bits",
    )  # fmt: skip


def _rounded(model: keras.Model, layer: str, level: float) -> keras.Model:
    """A copy of the model with the kernels of one layer on a grid of the bits that are left."""
    changed, bits = copy_model(model), round(ALL_BITS * (1 - level))
    for kernel in model_kernels(changed):
        if kernel.layer == layer:
            values = np.moveaxis(kernel.variable.numpy(), kernel.weight.channel_axis, 0)
            rows = values.reshape(len(values), -1).astype(np.float64)
            scales = least_error_scales(rows, bits)
            grid = (to_levels(rows, scales, bits) * scales[:, None]).reshape(values.shape)
            kernel.variable.assign(np.moveaxis(grid, 0, kernel.weight.channel_axis).astype(np.float32))
    return changed

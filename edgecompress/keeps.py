"""Keeps: what a stage achieved and later stages must not undo, bound to one kernel.

A mask keeps zeros at zero; centroids keep weights that share a value sharing it. tf_keras applies a variable's constraint
after each optimizer update, inside the training graph, so a keep bound as a constraint holds through any training, also
under the wrappers of TF-MOT, whose `layer.kernel` is a symbolic tensor: keeps are bound to variables, found by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecompress.errors import ModelError
from edgecompress.graph.kernel_weights import named_variable
from edgecompress.graph.layers import wrapped_layer

if TYPE_CHECKING:
    from edgecompress.backend import keras, tf
    from edgecompress.graph.channels import Cut


@dataclass(frozen=True, eq=False)
class Keep:
    """One promise about one kernel.

    Attributes:
        kind: "mask" (zeros stay zero) or "centroids" (weights that share a value go on sharing one).
        layer: name of the Keras layer, without any wrapper's prefix.
        weight: name of the variable in the layer, such as "kernel".
        values: shape of the kernel. mask: bool, True where a weight may differ from zero. centroids: int32, the number
            of the group that the weight belongs to, from 0.
        channel_axis: of the output channels, which centroids are measured on one by one; a mask does not need it.
    """

    kind: Literal["mask", "centroids"]
    layer: str
    weight: str
    values: npt.NDArray[Any]
    channel_axis: int = -1

    def describe(self) -> str:
        """What is promised, in words."""
        if self.kind == "mask":
            return f"sparsity {1 - float(self.values.mean()):.4f}"
        return f"{int(self.values.max()) + 1} distinct values"

    def measure(self, kernel: npt.NDArray[Any]) -> float:
        """The promised quantity on a kernel in Keras axis order: fraction of zeros, or most distinct values per output channel.

        Distinct values are counted per output channel, because folding a BatchNormalization scales each channel on its own.
        """
        if self.kind == "mask":
            return float((kernel == 0).mean())
        return float(max(len(np.unique(channel)) for channel in self._channels(kernel)))

    def held(self, kernel: npt.NDArray[Any]) -> bool:
        """Whether `kernel` still keeps the promise."""
        if self.kind == "mask":
            return bool((kernel[~self.values] == 0).all())
        channels = zip(self._channels(self.values), self._channels(kernel), strict=True)
        return all(_one_value_per_group(groups, values) for groups, values in channels)

    def _channels(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One row per output channel."""
        return np.moveaxis(array, self.channel_axis, 0).reshape(array.shape[self.channel_axis], -1)


def _one_value_per_group(groups: npt.NDArray[Any], values: npt.NDArray[Any]) -> bool:
    """Whether equal group numbers always carry equal values."""
    order = np.argsort(groups, kind="stable")
    same_group = groups[order][1:] == groups[order][:-1]
    return bool((values[order][1:][same_group] == values[order][:-1][same_group]).all())


def project(keep: Keep, kernel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The nearest kernel (least squares) that keeps the promise: masked, or each group at its mean."""
    if keep.kind == "mask":
        return np.where(keep.values, kernel, np.zeros((), kernel.dtype))
    groups = keep.values.reshape(-1)
    sums = np.bincount(groups, weights=kernel.reshape(-1).astype(np.float64))
    means = (sums / np.maximum(np.bincount(groups), 1)).astype(kernel.dtype)
    return means[groups].reshape(kernel.shape)


def constraint(keep: Keep) -> Any:
    """`project` as a TensorFlow function of a variable, for the training graph."""
    from edgecompress.backend import tf

    if keep.kind == "mask":
        mask = tf.constant(keep.values)
        return lambda kernel: tf.where(mask, kernel, tf.zeros_like(kernel))
    groups = tf.constant(keep.values.reshape(-1))
    num_groups = int(keep.values.max()) + 1

    def share(kernel: tf.Tensor) -> tf.Tensor:
        means = tf.math.unsorted_segment_mean(tf.reshape(kernel, [-1]), groups, num_groups)
        return tf.reshape(tf.gather(means, groups), tf.shape(kernel))

    return share


def find_variable(model: keras.Model, layer: str, weight: str) -> tf.Variable | None:
    """The variable `weight` of the layer called `layer`, also inside the wrappers of TF-MOT; None if there is none."""
    outer = next((outer for outer in model.layers if wrapped_layer(outer).name == layer), None)
    return None if outer is None else named_variable(outer, weight)


def get_variable(model: keras.Model, layer: str, weight: str) -> tf.Variable:
    """`find_variable` for a variable that must be there."""
    variable = find_variable(model, layer, weight)
    if variable is None:
        raise ModelError(f"layer {layer!r} must hold the variable {weight!r}. Received: a model without it")
    return variable


@contextmanager
def enforced(model: keras.Model, keeps: Sequence[Keep]) -> Iterator[None]:
    """Projects the kernels of `model` now, and after each optimizer update until the exit.

    A constraint of the model's own, such as NonNeg, goes on being applied, before the keeps.
    Keeps of one kernel are applied in the order centroids, mask, so that zeros win. Keeps of kernels that the model does not
    hold are passed over: the stage that lost them says so.
    """
    bound: dict[str, tuple[tf.Variable, list[Any]]] = {}
    for keep in sorted(keeps, key=lambda keep: keep.kind):
        variable = find_variable(model, keep.layer, keep.weight)
        if variable is not None:
            variable.assign(project(keep, variable.numpy()))
            bound.setdefault(f"{keep.layer}/{keep.weight}", (variable, []))[1].append(constraint(keep))
    previous = {name: variable.constraint for name, (variable, _) in bound.items()}
    for name, (variable, constraints) in bound.items():
        own = [] if previous[name] is None else [previous[name]]
        variable._constraint = in_turn([*own, *constraints])  # the public property has no setter
    try:
        yield
    finally:
        for name, (variable, _) in bound.items():
            variable._constraint = previous[name]


def in_turn(functions: list[Any]) -> Any:
    """One function that applies `functions` one after the other."""

    def apply(kernel: tf.Tensor) -> tf.Tensor:
        for function in functions:
            kernel = function(kernel)
        return kernel

    return apply


def mask_of(layer: str, weight: str, kernel: npt.NDArray[Any]) -> Keep:
    """The keep that holds the present zeros of `kernel`."""
    return Keep("mask", layer, weight, kernel != 0)


def sliced(keep: Keep, cut: Cut) -> Keep:
    """What is left of a promise when channels are cut out of its kernel."""
    values = cut.slice(keep.layer, keep.weight, keep.values)
    if keep.kind == "centroids":
        _, groups = np.unique(values, return_inverse=True)  # a group that is gone leaves no gap in the numbers
        values = groups.reshape(values.shape).astype(np.int32)
    return replace(keep, values=values)


def centroids_of(layer: str, weight: str, kernel: npt.NDArray[Any], channel_axis: int) -> Keep:
    """The keep that holds the present sharing of values in `kernel`."""
    _, groups = np.unique(kernel, return_inverse=True)
    return Keep("centroids", layer, weight, groups.reshape(kernel.shape).astype(np.int32), channel_axis)

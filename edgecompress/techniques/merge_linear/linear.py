"""Two linear layers as one: arithmetic on kernels and biases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})
APART = TRANSPOSED | {"DepthwiseConv2D"}  # of two of a class no one is made: their kernels are not [..., in, out]
TRIVIAL = (1, 1, 1)  # kernel size, stride and dilation along an axis that is passed through


@dataclass(frozen=True, eq=False)
class Linear:
    """A layer that is linear, up to its activation.

    Attributes:
        kind: Dense, a convolution, or DepthwiseConv2D.
        config: of the Keras layer.
        kernel: in Keras' axis order, float64.
        bias: [out], float64.
    """

    kind: str
    config: dict[str, Any]
    kernel: Array
    bias: Array | None

    @property
    def num_parameters(self) -> int:
        return int(self.kernel.size) + (0 if self.bias is None else int(self.bias.size))

    @property
    def weights(self) -> list[Array]:
        return [self.kernel] if self.bias is None else [self.kernel, self.bias]

    def axes(self) -> list[tuple[int, int, int]]:
        """Kernel size, stride and dilation along each spatial axis."""
        return list(zip(self.kernel.shape[:-2], self.config["strides"], self.config["dilation_rate"], strict=True))


def fold_batch_normalization(layer: Linear, scale: Array, shift: Array) -> Linear:
    """The layer with scale * y + shift of its outputs y in its weights.

    Args:
        layer: without activation.
        scale: [out], gamma / sqrt(variance + epsilon).
        shift: [out], beta - mean * scale.
    """
    if layer.kind == "DepthwiseConv2D":
        kernel = layer.kernel * scale.reshape(layer.kernel.shape[-2:])
    elif layer.kind in TRANSPOSED:
        kernel = layer.kernel * scale[:, np.newaxis]
    else:
        kernel = layer.kernel * scale
    bias = shift if layer.bias is None else layer.bias * scale + shift
    return replace(layer, kernel=kernel, bias=bias, config={**layer.config, "use_bias": True})


def merge(first: Linear, second: Linear) -> Linear | str:
    """Both layers as one, with the second one's name and activation; or why there is no such layer.

    Args:
        first: without activation.
        second: of the same kind.
    """
    if first.kind != second.kind:
        return f"{first.kind} and {second.kind} make no single layer"
    if first.kind != "Dense" and (reason := _why_not(first, second)):
        return reason
    kernel = _product(first.kernel, second.kernel)
    bias = second.bias
    if first.bias is not None:
        through = first.bias @ second.kernel.reshape(-1, *second.kernel.shape[-2:]).sum(axis=0)
        bias = through if bias is None else bias + through
    config = {**second.config, "use_bias": bias is not None}
    if first.kind != "Dense":
        is_first = [axis != TRIVIAL for axis in first.axes()]
        for number, key in ((1, "strides"), (2, "dilation_rate")):
            pairs = zip(is_first, first.axes(), second.axes(), strict=True)
            config[key] = tuple(one[number] if first_has_it else two[number] for first_has_it, one, two in pairs)
        config |= {"kernel_size": kernel.shape[:-2], "padding": _padding(first, second)}
    return replace(second, config=config, kernel=kernel, bias=bias)


def _product(first: Array, second: Array) -> Array:
    """[..., in, out] of [..., in, between] and [..., between, out]; along each spatial axis one of them has length 1."""
    if first.ndim == 2:
        return first @ second
    spatial = tuple(one + two - 1 for one, two in zip(first.shape[:-2], second.shape[:-2], strict=True))
    outer = np.tensordot(first, second, axes=(-1, -2))  # [*first spatial, in, *second spatial, out]
    num_axes = len(spatial)
    order = [*range(num_axes), *range(num_axes + 1, 2 * num_axes + 1), num_axes, 2 * num_axes + 1]
    outer = outer.transpose(order)
    interleaved = [axis for pair in zip(range(num_axes), range(num_axes, 2 * num_axes), strict=True) for axis in pair]
    return outer.transpose([*interleaved, 2 * num_axes, 2 * num_axes + 1]).reshape(*spatial, first.shape[-2], second.shape[-1])


def _why_not(first: Linear, second: Linear) -> str | None:
    """Why two convolutions of one kind are no single one; None if they are."""
    if first.kind in APART:
        return f"two layers of the class {first.kind} are not merged"
    if first.config.get("groups", 1) > 1 or second.config.get("groups", 1) > 1:
        return "grouped convolutions are not merged"
    if any(one != TRIVIAL and two != TRIVIAL for one, two in zip(first.axes(), second.axes(), strict=True)):
        return "both work along the same axis"
    if _padding(first, second) is None:
        return "they pad differently"
    if first.bias is not None and _pads(second):
        return f"the bias of {first.config['name']} is not in the padding of {second.config['name']}"
    return None


def _pads(layer: Linear) -> bool:
    return layer.config["padding"] != "valid" and any(size > 1 for size, _, _ in layer.axes())


def _padding(first: Linear, second: Linear) -> str | None:
    """The padding of both together; None where they need two."""
    used = {layer.config["padding"] for layer in (first, second) if any(size > 1 for size, _, _ in layer.axes())}
    return used.pop() if len(used) == 1 else None if used else "valid"

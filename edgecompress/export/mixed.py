"""Weights of 8, 4 and 2 bits, layer by layer, in a file of the converter.

The kernels are those of the float32 file, rounded once. A type that the runtime does not compute rightly for an operator gives way to
the next wider one, and the record says why. So does a scale per block of weights to one per output channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecompress.export.weight_probe import WeightProbe
from edgecompress.export.weight_types import Wanted
from edgecompress.recipe.weight_types import BITS
from edgecompress.tflite import KerasKernel, find_kernels, parse, read_constant
from edgecompress.tflite.float_islands import FloatKernel, compute_in_float
from edgecompress.tflite.kernel_writing import Computes, IntegerKernel, RoomForBias, block_scales, channel_axis, write_kernels
from edgecompress.tflite.weights import WeightedOperator, weighted_operators
from edgecompress.weight_grids import quantize_rows, to_levels

NOT_APART = "the file does not keep its weights as a kernel of their own"
TOO_FAR = "its weights are too large or too small for scales in float16"
ON_GRID = "the weights lie on this grid: nothing is rounded"
COARSER = "where weights are next to nothing beside their bias, the grid is coarser so that the bias fits"
_WIDTHS = (2, 4, 8, 32)
_NAMES = {bits: name for name, bits in BITS.items()}


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one kernel in the file.

    Attributes:
        name, type: of the layer.
        wanted: type that was asked for.
        stored: type in the file; None: not found there.
        num_bytes: of its integers or floats in the file, and of block-wise scales; None: not found there.
        reason: why `stored` is not `wanted`, or what else there is to say; "" for nothing.
        wanted_block, block: weights that share a scale, asked for and in the file; 0: all of an output channel.
    """

    name: str
    type: str
    wanted: str
    stored: str | None
    num_bytes: int | None
    reason: str
    wanted_block: int = 0
    block: int = 0


def write_weights(base: bytes, in_float: bytes, wanted: Sequence[Wanted], computes: Computes) -> tuple[bytes, list[LayerWeights]]:
    """Gives each kernel the type that is wanted, as far as the runtime computes with it.

    Args:
        base: the float32 file itself, or the int8 file where `computes` is "integer".
        in_float: the float32 file of the same model.
        wanted: of `wanted_types`.
        computes: how operators work with integers.

    Returns:
        The file, and one record for each entry of `wanted`.

    Raises:
        ModelError: a kernel cannot be read.
    """
    sources, targets = _Kernels(in_float, wanted), _Kernels(base, wanted)
    probe, room = WeightProbe(base, computes), RoomForBias(base) if computes == "integer" else None
    integers: dict[int, IntegerKernel] = {}
    floats: dict[int, FloatKernel] = {}
    reasons: dict[Wanted, str] = {}
    for one in wanted:
        source, target = sources.find(one), targets.find(one)
        if source is None or target is None:
            reasons[one] = NOT_APART
            continue
        if one.bits == 32 and computes == "integer":
            floats[target.kernel_index] = FloatKernel(sources.values(source), sources.version(source))
        if one.bits == 32 or (one.bits == 8 and computes == "integer"):
            continue  # as the converter left it
        kernel, reasons[one] = _best(sources.values(source), target, one, probe, room)
        if kernel is not None:
            integers[target.kernel_index] = kernel
    content = write_kernels(base, integers, computes) if integers else base
    content = compute_in_float(content, floats) if floats else content
    return content, _records(content, wanted, reasons)


class _Kernels:
    """Where a file keeps kernels."""

    def __init__(self, content: bytes, wanted: Sequence[Wanted]) -> None:
        self._tflite = parse(content)
        self._users: dict[int, WeightedOperator] = {}
        for operator in weighted_operators(self._tflite):
            self._users.setdefault(operator.kernel_index, operator)
        kernels = [one.kernel for one in wanted if one.kernel is not None]
        self._found = dict(zip(kernels, find_kernels(self._tflite, kernels), strict=True))

    def find(self, one: Wanted) -> WeightedOperator | None:
        """The operator that uses a kernel."""
        stored = None if one.kernel is None else self._found[one.kernel]
        return None if stored is None else self._users.get(stored.tensor_index)

    def values(self, operator: WeightedOperator) -> np.ndarray:
        """The constant as the file holds it."""
        return read_constant(self._tflite, self._tflite.subgraphs[0].tensors[operator.kernel_index])

    def version(self, operator: WeightedOperator) -> int:
        return self._tflite.operator_codes[operator.operator.code].version


def _best(
    values: np.ndarray, operator: WeightedOperator, one: Wanted, probe: WeightProbe, room: RoomForBias | None
) -> tuple[IntegerKernel | None, str]:
    """The kernel with scales of blocks where they are wanted and can be; else as `_narrowest` gives it."""
    if not one.block:
        return _narrowest(values, operator, one.bits, probe, room)
    why_not = one.not_in_blocks
    if why_not is None:
        kernel = _quantize_blocks(values, one.bits, one.block)
        why_not = TOO_FAR if kernel is None else probe.why_not(operator, kernel)
        if why_not is None:
            return kernel, ""
    other, remark = _narrowest(values, operator, one.bits, probe, room)
    return other, "; ".join(part for part in (f"not in blocks of {one.block}: {why_not}", remark) if part)


def _quantize_blocks(values: np.ndarray, bits: int, block: int) -> IntegerKernel | None:
    """A Dense kernel [out, in] with a scale for each block of inputs; None where float16 cannot hold the scales."""
    blocks = values.reshape(-1, block)
    _, scales, _ = quantize_rows(blocks, bits)
    of_units, half = scales.reshape(len(values), -1), np.finfo(np.float16)
    largest = of_units.max(axis=1)[values.any(axis=1)]  # units of zeros are right with any scale
    if scales.max() > half.max or (largest < half.smallest_normal).any():
        return None
    scales = block_scales(scales)
    integers = to_levels(np.asarray(blocks, np.float64), scales.astype(np.float64), bits).astype(np.int8)
    return IntegerKernel(integers.reshape(values.shape), scales.reshape(of_units.shape), 0, bits, block)


def _narrowest(
    values: np.ndarray, operator: WeightedOperator, bits: int, probe: WeightProbe, room: RoomForBias | None
) -> tuple[IntegerKernel | None, str]:
    """The kernel in `bits`, or in the fewest more with which the runtime computes rightly, and why. None: it stays as it is.

    `room` is there where the file computes with integers.
    """
    refused = ""
    for width in _WIDTHS[_WIDTHS.index(bits) :]:
        if width == 32 or (width == 8 and room is not None):
            return None, refused
        kernel, exact = _quantize(values, operator.name, width)
        why_not = probe.why_not(operator, kernel) if width < 8 else None
        if why_not is None:
            stored = kernel if room is None else room.make(operator.kernel_index, kernel)
            remark = COARSER if _is_coarser(kernel, stored) else ON_GRID if exact else ""
            return stored, "; ".join(part for part in (refused, remark) if part)
        refused = refused or f"not {_NAMES[width]}: {why_not}"
    return None, refused


def _is_coarser(wanted: IntegerKernel, stored: IntegerKernel) -> bool:
    """Whether a channel that is not all zero has a wider scale."""
    rows = np.moveaxis(wanted.values, wanted.axis, 0).reshape(len(wanted.scales), -1)
    return bool((rows.any(axis=1) & (stored.scales > wanted.scales)).any())


def _quantize(values: np.ndarray, operator: str, bits: int) -> tuple[IntegerKernel, bool]:
    """The kernel on its own grid, or on the best one; and whether all of it lay on its own."""
    axis = channel_axis(operator)
    rows = np.moveaxis(values, axis, 0)
    integers, scales, exact = quantize_rows(rows.reshape(len(rows), -1), bits)
    return IntegerKernel(np.moveaxis(integers.reshape(rows.shape), 0, axis), scales, axis, bits), bool(exact.all())


def _records(content: bytes, wanted: Sequence[Wanted], reasons: dict[Wanted, str]) -> list[LayerWeights]:
    """What the file holds in the end, read from it."""
    tflite = parse(content)
    kernels: list[KerasKernel] = [one.kernel for one in wanted if one.kernel is not None]
    found = dict(zip(kernels, find_kernels(tflite, kernels), strict=True))
    records = []
    for one in wanted:
        stored = None if one.kernel is None else found[one.kernel]
        name, size = (None, None) if stored is None else (tflite.subgraphs[0].tensors[stored.tensor_index].dtype, int(stored.num_bytes))
        block = 0 if stored is None else stored.block
        records.append(LayerWeights(one.layer, one.type, _NAMES[one.bits], name, size, reasons.get(one, ""), one.block, block))
    return records

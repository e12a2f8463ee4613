"""Convolutions and fully connected operators in one form: outputs x taps x columns.

An output is activation(bias + sum of weights * (input - zero point)), rescaled where the types are integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.shrink.graph import OMITTED, Graph, integers, options_of
from edgecompress.tflite.shrink.quantized import Step, clamp_limits, rescale, taps_outside

OPTIONS = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}
_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # of the outputs in the stored kernel

# The built-in depthwise convolution rounds these many outputs at a time by vector instructions and what is left over one by one. The two
# round halves below zero in different directions, and nothing else. Measured with ai-edge-litert 2.3.0 on x86-64, whose vector code is
# that for Arm.
DEPTHWISE_GROUP = 8
BLOCK = 1 << 18  # weights that are looked at at a time: what is worked out of them takes many times their room

_INTEGERS: dict[int, Any] = {schema.TensorType.INT8: np.int8, schema.TensorType.UINT8: np.uint8, schema.TensorType.INT16: np.int16}
_FLOAT = schema.TensorType.FLOAT32


@dataclass(frozen=True, eq=False)
class Kernel:
    """One such operator.

    Attributes:
        operator: the `OperatorT`.
        data, result: tensors that it reads and writes.
        raw: the stored kernel.
        weights: [outputs, taps, columns], a view of `raw` in that order; depthwise: one column.
        zero_point: of the weights.
        bias: [outputs]; zeros where there is none.
        channels: [columns] the channel of `data` that a column reads; depthwise: [outputs].
        outside: bool [taps], those that ever lie on the padding.
        step, result_step: how data and result are stored; None: float.
        multipliers: float64 [outputs] or [1], from accumulator to result; 1 in float, the kernel's scales where only it is integers.
        limits: of the result, in stored numbers.
        is_depthwise, is_hybrid: the latter has integer weights and float data, which are quantized anew for each input.
    """

    operator: Any
    data: int
    result: int
    raw: np.ndarray
    weights: np.ndarray
    zero_point: int
    bias: np.ndarray
    channels: np.ndarray
    outside: np.ndarray
    step: Step | None
    result_step: Step | None
    multipliers: np.ndarray
    limits: tuple[float, float]
    is_depthwise: bool
    is_hybrid: bool

    @property
    def num_outputs(self) -> int:
        return int(self.weights.shape[0])

    @property
    def num_grouped(self) -> int:
        """How many outputs, from the first on, the built-in kernel rounds in groups; 0 where it makes no difference, as behind a ReLU."""
        can_be_negative = self.result_step is not None and self.limits[0] < self.result_step.zero_point
        return self.num_outputs // DEPTHWISE_GROUP * DEPTHWISE_GROUP if self.is_depthwise and can_be_negative else 0

    def nonzero(self) -> np.ndarray:
        """bool [outputs, taps, columns]."""
        return self.weights != self.zero_point

    def parts(self) -> Iterator["Kernel"]:
        """The same operator with some of its outputs at a time; `raw` stays whole."""
        num_rows = max(1, BLOCK // self.weights[0].size)
        for start in range(0, self.num_outputs, num_rows):
            rows = slice(start, start + num_rows)
            yield replace(
                self, weights=self.weights[rows], bias=self.bias[rows],
                multipliers=self.multipliers if len(self.multipliers) == 1 else self.multipliers[rows],
                channels=self.channels[rows] if self.is_depthwise else self.channels,
            )  # fmt: skip

    def terms(self, offsets: np.ndarray) -> np.ndarray:
        """What constant inputs add to each output where no tap lies outside, one by one.

        Args:
            offsets: [columns], depthwise [outputs]: inputs less their zero point; 0 for those that add nothing.

        Returns:
            [outputs, columns with an offset]; depthwise [outputs, 1].
        """
        wide = np.float64 if self.raw.dtype.kind == "f" else np.int64
        weights, factors = (
            (self.weights, offsets[:, None]) if self.is_depthwise else (self.weights[:, :, offsets != 0], offsets[offsets != 0])
        )
        return (weights.sum(axis=1, dtype=wide) - self.zero_point * self.weights.shape[1]) * factors

    def offsets(self, values: np.ndarray) -> np.ndarray:
        """Stored inputs less their zero point."""
        return values - (self.step.zero_point if self.step else 0)

    def constant_results(self, known: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which outputs are the same for every input and at every place, and their stored values.

        Args:
            known: bool [channels of `data`], those that are constant.
            values: [channels of `data`], their stored values; anything elsewhere.
        """
        found = [part._constant_results(known, values) for part in self.parts()]
        return np.concatenate([sure for sure, _ in found]), np.concatenate([results for _, results in found])

    def _constant_results(self, known: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All at once."""
        per_output = (slice(None), None) if self.is_depthwise else (None, slice(None))  # against [outputs, columns]
        offsets = np.where(known, self.offsets(values), 0)[self.channels]
        known, adds = known[self.channels][per_output], (offsets != 0)[per_output]
        nonzero = self.nonzero()
        touched = nonzero.any(axis=1)  # [outputs, columns]
        at_edges = nonzero[:, self.outside].any(axis=1)
        varies = (touched & ~known) | (at_edges & adds)
        if self.raw.dtype.kind == "f" or self.is_hybrid:  # only a sum of zeros is sure in float
            sure = ~(varies | (touched & adds)).any(axis=1)
            return sure, np.clip(self.bias, *self.limits).astype(np.float32)
        zero_point = self.result_step.zero_point if self.result_step else 0
        results, sure = rescale(self.bias + self.terms(offsets).sum(axis=1), self.multipliers, zero_point, self.limits)
        return ~varies.any(axis=1) & sure, results

    def absorbs(self, known: np.ndarray, values: np.ndarray, *, tolerant: bool) -> np.ndarray:
        """Which channels of `data` it can do without: bool [channels of `data`].

        Their weights are zero, or they are constant and what they add can go into the bias: wherever a tap lies on padding, it adds
        nothing either.

        Args:
            known, values: as in `constant_results`.
            tolerant: float sums may change by their rounding.
        """
        offsets = np.where(known, self.offsets(values), 0)[self.channels]
        is_zero, is_uniform, fits = np.ones(len(offsets), bool), np.ones(len(offsets), bool), True
        for part in self.parts():
            nonzero = part.nonzero()
            is_zero &= ~nonzero.any(axis=(0, 1))
            is_uniform &= ~nonzero[:, self.outside].any(axis=(0, 1))
            fits = fits and (self.step is None or part._fits(offsets))
        foldable = known[self.channels] & (is_uniform | (offsets == 0))
        if not fits or (self.step is None and (self.is_hybrid or not tolerant)):
            foldable &= offsets == 0
        result = np.ones(len(known), bool)
        np.logical_and.at(result, self.channels, (is_zero & (not self.is_hybrid)) | foldable)
        return result

    def _fits(self, offsets: np.ndarray) -> bool:
        """Whether the bias stays an int32 whatever of the constants goes into it."""
        return bool((np.abs(self.bias) + np.abs(self.terms(offsets)).sum(axis=1) < 2**31).all())


def read_kernel(graph: Graph, operator: Any) -> Kernel | None:
    """The operator in this form; None where anything about it is unusual, so that it is left alone."""
    name = graph.name(operator)
    inputs, outputs = integers(operator.inputs), integers(operator.outputs)
    if name not in OPTIONS or len(inputs) not in (2, 3) or len(outputs) != 1 or inputs[0] == OMITTED:
        return None
    options = options_of(operator, OPTIONS[name])
    raw, data, result = graph.constant(inputs[1]), graph.tensors[inputs[0]], graph.tensors[outputs[0]]
    if raw is None or raw.ndim != (2 if name == "FULLY_CONNECTED" else 4) or 0 in raw.shape or getattr(options, "weightsFormat", False):
        return None
    if name == "DEPTHWISE_CONV_2D" and raw.shape[0] != 1:
        return None
    weights = _in_order(raw, name)
    bias = _bias(graph, inputs, weights.shape[0])
    channels = _channels(name, weights, integers(data.shape))
    outside = _outside(name, raw, options, data)
    steps = _steps(graph, data, result, graph.tensors[inputs[1]], weights.shape[0], _AXIS[name])
    if bias is None or channels is None or outside is None or steps is None or integers(result.shape)[-1:] != [weights.shape[0]]:
        return None
    step, result_step, zero_point, multipliers = steps
    limits = clamp_limits(options.fusedActivationFunction, result_step)
    if limits is None:
        return None
    return Kernel(
        operator, inputs[0], outputs[0], raw, weights, zero_point, bias, channels, outside, step, result_step, multipliers, limits,
        name == "DEPTHWISE_CONV_2D", step is None and raw.dtype.kind != "f",
    )  # fmt: skip


def _in_order(raw: np.ndarray, name: str) -> np.ndarray:
    """The stored kernel as [outputs, taps, columns]."""
    if name == "FULLY_CONNECTED":
        return raw[:, None, :]
    if name == "DEPTHWISE_CONV_2D":  # [1, kh, kw, outputs]
        return raw.reshape(-1, raw.shape[3]).T[:, :, None]
    return raw.reshape(raw.shape[0], -1, raw.shape[3])


def _bias(graph: Graph, inputs: list[int], num_outputs: int) -> np.ndarray | None:
    """[outputs]; None for one that cannot be read."""
    if len(inputs) < 3 or inputs[2] == OMITTED:
        return np.zeros(num_outputs, np.int64)
    bias = graph.constant(inputs[2])
    if bias is None or bias.shape != (num_outputs,):
        return None
    return bias if bias.dtype.kind == "f" else bias.astype(np.int64)


def _channels(name: str, weights: np.ndarray, shape: list[int]) -> np.ndarray | None:
    """The channel of the data that each column (depthwise: each output) reads; None where they do not match."""
    depth = shape[-1] if shape else 0
    if name == "DEPTHWISE_CONV_2D":
        fits, channels = (
            depth > 0 and weights.shape[0] % depth == 0,
            np.arange(weights.shape[0]) // max(1, weights.shape[0] // max(1, depth)),
        )
    elif name == "CONV_2D":
        fits, channels = weights.shape[2] == depth, np.arange(weights.shape[2])
    else:  # the data are flattened; a column reads the same channel at another place
        fits, channels = depth > 0 and weights.shape[2] % depth == 0, np.arange(weights.shape[2]) % max(1, depth)
    return channels if fits else None


def _outside(name: str, raw: np.ndarray, options: Any, data: Any) -> np.ndarray | None:
    """bool [taps]; None for a geometry that makes no sense."""
    if name == "FULLY_CONNECTED":
        return np.zeros(1, bool)
    shape, signature = integers(data.shape), integers(data.shapeSignature)
    strides, dilations = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    if len(shape) != 4 or min(*strides, *dilations) < 1:
        return None
    same = options.padding == schema.Padding.SAME
    sizes = [None if signature[axis : axis + 1] == [-1] or shape[axis] < 1 else shape[axis] for axis in (1, 2)]
    rows, columns = (
        taps_outside(size, kernel, stride, dilation, same=same)
        for size, kernel, stride, dilation in zip(sizes, raw.shape[1:3], strides, dilations, strict=True)
    )
    return np.asarray(rows[:, None] | columns[None, :]).ravel()


def read_step(tensor: Any) -> Step | None:
    """How an integer tensor with one scale is stored; None for all others."""
    parameters = tensor.quantization
    if tensor.type not in _INTEGERS or parameters is None or parameters.details is not None or parameters.scale is None:
        return None
    zero_points = integers(parameters.zeroPoint)
    limits = np.iinfo(_INTEGERS[tensor.type])
    if len(parameters.scale) != 1 or len(zero_points) > 1 or not 0 < parameters.scale[0] < np.inf:
        return None
    return Step(float(parameters.scale[0]), zero_points[0] if zero_points else 0, int(limits.min), int(limits.max))


def _steps(
    graph: Graph, data: Any, result: Any, kernel: Any, num_outputs: int, axis: int
) -> tuple[Step | None, Step | None, int, np.ndarray] | None:
    """Steps of data and result, zero point of the weights, multipliers; None for a mix of types that is not known here."""
    parameters = kernel.quantization
    scales = np.empty(0, np.float32) if parameters is None or parameters.scale is None else np.asarray(parameters.scale, np.float64)
    zero_points = [] if parameters is None else integers(parameters.zeroPoint)
    if parameters is not None and parameters.details is not None:
        return None
    if data.type == _FLOAT and result.type == _FLOAT:
        if kernel.type == _FLOAT:
            return None, None, 0, np.ones(1)
        is_known = kernel.type == schema.TensorType.INT8 and not any(zero_points) and len(scales) in (1, num_outputs)
        return (None, None, 0, scales) if is_known else None
    step, result_step = read_step(data), read_step(result)
    if step is None or result_step is None or kernel.type not in (schema.TensorType.INT8, schema.TensorType.UINT8):
        return None
    per_output = len(scales) == num_outputs and (num_outputs == 1 or parameters.quantizedDimension == axis) and not any(zero_points)
    if not (per_output or len(scales) == 1) or not (np.isfinite(scales) & (scales > 0)).all():
        return None
    return step, result_step, zero_points[0] if zero_points else 0, step.scale * scales / result_step.scale

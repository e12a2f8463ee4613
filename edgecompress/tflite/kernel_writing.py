"""Kernels of a .tflite file in other types: integers of 8, 4 or 2 bits in their place, or float32 in a file of integers.

Three ways to compute with integer kernels:

- "hybrid": activations are float32 and rounded to 8 bits while the operator runs (TensorFlow Lite's dynamic range);
- "float": a DEQUANTIZE stands between kernel and operator, which computes in float32 (weight-only);
- "integer": activations are int8 in the file already.

Block-wise scales stand in a tensor of their own, as float16 with the 8 significant bits of bfloat16, which is what XNNPACK takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.errors import ModelError
from edgecompress.tflite.operator_forms import SHAPE_FIRST
from edgecompress.tflite.pack import pack
from edgecompress.tflite.packing import pack_integers
from edgecompress.tflite.parse import parse
from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.unpack import unpack
from edgecompress.tflite.weights import weighted_operators

Computes = Literal["hybrid", "float", "integer"]

# (way, bits) -> version of an operator with such a kernel, per channel. Source: op_version.cc of TensorFlow, commit
# 03f49db5a23ec2b22a59f3f3d72e5744469ea30b; where it names none, that of the int8 kernel: `operator_forms` knows what is newer.
_VERSIONS: dict[tuple[str, int], dict[str, int]] = {
    ("hybrid", 8): {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12, "TRANSPOSE_CONV": 2},
    ("hybrid", 4): {"CONV_2D": 5, "FULLY_CONNECTED": 12},
    ("hybrid", 2): {"FULLY_CONNECTED": 14},
    ("integer", 4): {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10},
    ("integer", 2): {"FULLY_CONNECTED": 14},
}
_ACTIVATIONS = {
    schema.ActivationFunctionType.RELU: "RELU", schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
    schema.ActivationFunctionType.RELU6: "RELU6", schema.ActivationFunctionType.TANH: "TANH",
}  # fmt: skip
_DEQUANTIZE_VERSIONS = {8: 5, 4: 6, 2: 7}
# Steps of a bias at most. XNNPACK computes with 16 times the sums of a 4-bit kernel, so 2^27 is too much: seen in ai-edge-litert 2.3.0.
LARGEST_BIAS = 2**24
_TYPES = {8: schema.TensorType.INT8, 4: schema.TensorType.INT4, 2: schema.TensorType.INT2}


@dataclass(frozen=True, eq=False)
class IntegerKernel:
    """What to store in the place of a kernel.

    Attributes:
        values: int8, in the shape of the constant, each within `bits`.
        scales: float32, one per index of `axis`: real = scale * value. Block-wise [output channels, blocks], see `block_scales`.
        axis: of the output channels.
        bits: 8, 4 or 2.
        block: values along the last axis that share a scale; 0: one scale per output channel.
    """

    values: np.ndarray
    scales: np.ndarray
    axis: int
    bits: int
    block: int = 0


def block_scales(scales: np.ndarray) -> np.ndarray:
    """The nearest scales that a file can hold block-wise: float32, 8 significant bits, within float16; none is 0."""
    mantissas, exponents = np.frexp(np.asarray(scales, np.float64))
    rounded = np.ldexp(np.round(mantissas * 256) / 256, exponents)
    half = np.finfo(np.float16)
    return np.clip(rounded, half.smallest_subnormal, half.max).astype(np.float16).astype(np.float32)


def channel_axis(operator: str) -> int:
    """The axis of the output channels in the constant of an operator such as CONV_2D."""
    return 3 if operator == "DEPTHWISE_CONV_2D" else 0


def write_kernels(content: bytes, kernels: Mapping[int, IntegerKernel], computes: Computes) -> bytes:
    """Stores integer kernels.

    Args:
        content: a file whose kernels are float32, or int8 where `computes` is "integer".
        kernels: by the index of the constant among the main subgraph's tensors.
        computes: how operators work with them.

    Raises:
        ModelError: a bias of a kernel is not a constant, where activations are integers.
    """
    writer, users = _open(content)
    for index, kernel in kernels.items():
        if computes == "integer":
            kernel = writer.with_room_for_bias(kernel, users[index])
        writer.store(index, kernel)
        if computes == "float":
            writer.decode(index, kernel.bits, [operator for _, operator in users[index]])
            continue
        for name, operator in users[index]:
            writer.raise_version(operator, name, _VERSIONS.get((computes, kernel.bits), {}).get(name, 1))
            if kernel.block:
                writer.detach_activation(operator)
            if computes == "integer":
                writer.rescale_bias(operator, name, kernel)
    return writer.finish()


def _open(content: bytes) -> tuple[GraphWriter, dict[int, list[tuple[str, Any]]]]:
    """A file in its object form, and per kernel the operators that use it, each with its name."""
    tflite, writer = parse(content), GraphWriter(unpack(content))
    users: dict[int, list[tuple[str, Any]]] = {}
    for found in weighted_operators(tflite):
        users.setdefault(found.kernel_index, []).append((found.name, writer.graph.operators[found.number]))
    return writer, users


class RoomForBias:
    """Kernels of an int8 file as `write_kernels` will store them: with scales that are wide enough for the biases beside them.

    Args:
        content: the file.
    """

    def __init__(self, content: bytes) -> None:
        self._writer, self._users = _open(content)

    def make(self, index: int, kernel: IntegerKernel) -> IntegerKernel:
        """The kernel itself, or one with wider scales; `index` is that of the constant.

        Raises:
            ModelError: a bias is not a constant.
        """
        return self._writer.with_room_for_bias(kernel, self._users[index])


class GraphWriter:
    """The object form of a file, and what is done to it."""

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.subgraphs[0]

    def finish(self) -> bytes:
        """The file, without the data that nothing refers to any more."""
        used = {tensor.buffer for subgraph in self.model.subgraphs for tensor in subgraph.tensors}
        used |= {entry.buffer for entry in self.model.metadata or []}
        for number, buffer in enumerate(self.model.buffers):
            if number not in used:
                buffer.data = None
        return pack(self.model)

    def add_buffer(self, data: np.ndarray) -> int:
        """A new buffer; constants may share one, so none is ever changed."""
        buffer = new_table("Buffer")
        buffer.data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def store(self, index: int, kernel: IntegerKernel) -> None:
        """The integers and scales of a constant."""
        tensor = self.graph.tensors[index]
        tensor.type = _TYPES[kernel.bits]
        tensor.buffer = self.add_buffer(pack_integers(kernel.values, kernel.bits))
        tensor.quantization = self._block_wise(tensor, kernel) if kernel.block else _quantization(kernel.scales, kernel.axis)

    def _block_wise(self, kernel_tensor: Any, kernel: IntegerKernel) -> Any:
        """A tensor of scales, and the reference to it."""
        made, details, scales = new_table("QuantizationParameters"), new_table("BlockwiseQuantization"), new_table("Tensor")
        scales.shape, scales.type = list(kernel.scales.shape), schema.TensorType.FLOAT16
        scales.name = bytes(kernel_tensor.name or b"") + b"_scales"
        scales.buffer = self.add_buffer(kernel.scales.astype("<f2"))
        self.graph.tensors.append(scales)
        details.scales, details.zeroPoints, details.blockSize = len(self.graph.tensors) - 1, -1, kernel.block
        made.detailsType, made.details = schema.QuantizationDetails.BlockwiseQuantization, details
        return made

    def detach_activation(self, operator: Any) -> None:
        """An operator of its own for a fused activation.

        TensorFlow Lite's own FULLY_CONNECTED leaves a fused one out where scales are block-wise: `EvalBlockwise4Bit` in
        tflite/kernels/fully_connected.cc of LiteRT, commit 02f540346b504eaae813e4112aaf18052d4126f7. Seen in ai-edge-litert 2.3.0.
        """
        options = operator.builtinOptions
        if options is None or options.fusedActivationFunction == schema.ActivationFunctionType.NONE:
            return
        name = _ACTIVATIONS[options.fusedActivationFunction]
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE
        result = int(operator.outputs[0])
        before, activation = copy(self.graph.tensors[result]), new_table("Operator")
        before.name = bytes(before.name or b"") + b"_before"
        self.graph.tensors.append(before)
        operator.outputs = np.array([len(self.graph.tensors) - 1], np.int32)
        activation.opcodeIndex = self.operator_code(getattr(schema.BuiltinOperator, name), 1)
        activation.inputs, activation.outputs = operator.outputs, np.array([result], np.int32)
        self.graph.operators.insert(self.graph.operators.index(operator) + 1, activation)

    def decode(self, index: int, bits: int, operators: Sequence[Any]) -> None:
        """A DEQUANTIZE between a constant and the operators that read it."""
        stored, decoded = self.graph.tensors[index], new_table("Tensor")
        decoded.shape, decoded.type, decoded.buffer = stored.shape, schema.TensorType.FLOAT32, 0
        decoded.name = bytes(stored.name or b"") + b"_dequantized"
        self.graph.tensors.append(decoded)
        dequantize = new_table("Operator")
        dequantize.opcodeIndex = self.operator_code(schema.BuiltinOperator.DEQUANTIZE, _DEQUANTIZE_VERSIONS[bits])
        dequantize.inputs = np.array([index], np.int32)
        dequantize.outputs = np.array([len(self.graph.tensors) - 1], np.int32)
        self.graph.operators.insert(min(self.graph.operators.index(operator) for operator in operators), dequantize)
        for operator in operators:
            operator.inputs = np.where(np.asarray(operator.inputs) == index, len(self.graph.tensors) - 1, operator.inputs).astype(np.int32)

    def raise_version(self, operator: Any, name: str, version: int) -> None:
        """Gives an operator at least this version, which keeps runtimes that are too old from loading the file."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        operator.opcodeIndex = self.operator_code(getattr(schema.BuiltinOperator, name), max(code.version, version))

    def operator_code(self, builtin: int, version: int) -> int:
        """The number of a kind of operator, which is added where the file has none such."""
        for number, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version == version:
                return number
        code = new_table("OperatorCode")
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, builtin, version  # both: all of these are below 127
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def with_room_for_bias(self, kernel: IntegerKernel, users: Sequence[tuple[str, Any]]) -> IntegerKernel:
        """The kernel, with wider scales where a channel's bias would have too many steps: beside it, its weights are next to nothing."""
        scales = kernel.scales.astype(np.float64)
        for name, operator in users:
            place, values = self._bias(operator, name)
            if place is not None:
                scales = np.maximum(scales, np.abs(values) / (self._input_scale(operator, name) * LARGEST_BIAS))
        if (scales <= kernel.scales).all():
            return kernel
        along = [-1 if axis == kernel.axis else 1 for axis in range(kernel.values.ndim)]
        integers = np.round(kernel.values * (kernel.scales / scales).reshape(along)).astype(np.int8)
        return replace(kernel, values=integers, scales=scales.astype(np.float32))

    def _input_scale(self, operator: Any, name: str) -> float:
        """Of the activations."""
        return float(self.graph.tensors[operator.inputs[2 if name in SHAPE_FIRST else 0]].quantization.scale[0])

    def _bias(self, operator: Any, name: str) -> tuple[int | None, np.ndarray]:
        """Its position among the inputs, and real values [channels]; None where there is none."""
        place = 3 if name in SHAPE_FIRST else 2
        if len(operator.inputs) <= place or operator.inputs[place] < 0:
            return None, np.empty(0)
        bias = self.graph.tensors[operator.inputs[place]]
        data = self.model.buffers[bias.buffer].data
        if data is None or bias.type != schema.TensorType.INT32:
            raise ModelError(f"the bias of tensor {bias.name!r} must be a constant of int32 to be rescaled. Received: type {bias.type}.")
        return place, np.asarray(data, np.uint8).view("<i4") * np.asarray(bias.quantization.scale, np.float64)

    def rescale_bias(self, operator: Any, name: str, kernel: IntegerKernel) -> None:
        """The int32 bias in steps of input scale times kernel scale, as the runtime adds it to the accumulator."""
        place, values = self._bias(operator, name)
        if place is None:
            return
        old = self.graph.tensors[operator.inputs[place]]
        scales = self._input_scale(operator, name) * kernel.scales.astype(np.float64)
        bias = new_table("Tensor")  # the old one may be another operator's too
        bias.shape, bias.type, bias.name = old.shape, old.type, old.name
        bias.buffer = self.add_buffer(np.clip(np.round(values / scales), -(2**31), 2**31 - 1).astype("<i4"))
        bias.quantization = _quantization(scales.astype(np.float32), 0)
        if sum(_reads(other, operator.inputs[place]) for other in self.graph.operators) == 1:
            self.graph.tensors[operator.inputs[place]] = bias
            return
        self.graph.tensors.append(bias)
        inputs = np.array(operator.inputs, np.int32)
        inputs[place] = len(self.graph.tensors) - 1
        operator.inputs = inputs


def _reads(operator: Any, index: int) -> bool:
    """Whether an operator reads a tensor."""
    return operator.inputs is not None and index in operator.inputs


def _quantization(scales: np.ndarray, axis: int) -> Any:
    """Symmetric scales along an axis."""
    made = new_table("QuantizationParameters")
    made.scale, made.zeroPoint, made.quantizedDimension = scales.astype(np.float32), np.zeros(len(scales), np.int64), axis
    return made

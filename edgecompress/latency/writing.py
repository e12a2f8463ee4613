"""Small .tflite files written operator by operator, for timing alone: their weights are of the right types and mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.latency.table import Format
from edgecompress.tflite.pack import pack
from edgecompress.tflite.schema_fields import new_table

SCALE = 0.05  # real size of a step of all int8 activations
KERNEL_SCALE = 0.01
VALUES = 1009  # weights repeat after so many, a prime: none of their rows is equal to the next, and the file goes over a wire packed
# Of the operators: the oldest that knows int8 (of weights beside float activations too), so that old runtimes load the files. Others: 2
VERSIONS = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 5, "HARD_SWISH": 1, "RESHAPE": 1, "QUANTIZE": 1}

Shape = tuple[int, ...]


class SmallNetwork:
    """A file in the making. Methods that add an operator take and give numbers of tensors.

    Args:
        format: float32; int8: weights, activations, in- and outputs; dynamic: int8 weights, float32 activations.
    """

    def __init__(self, format: Format) -> None:
        self._weights = "float32" if format == "float32" else "int8"
        self._type = "int8" if format == "int8" else "float32"
        self._model, self._graph = new_table("Model"), new_table("SubGraph")
        self._model.version, self._model.operatorCodes, self._model.buffers = 3, [], [new_table("Buffer")]
        self._model.subgraphs = [self._graph]
        self._graph.tensors, self._graph.operators, self._graph.inputs = [], [], []
        self._codes: dict[str, int] = {}

    def input(self, *shape: int, type: str | None = None) -> int:
        """A tensor that the network is given, of its own type of activations where none is named."""
        self._graph.inputs.append(self._tensor(shape, type or self._type))
        return int(self._graph.inputs[-1])

    def finish(self, *outputs: int) -> bytes:
        """The file."""
        self._graph.outputs = list(outputs)
        return pack(self._model)

    def shape(self, index: int) -> Shape:
        return tuple(self._graph.tensors[index].shape)

    def convolve(self, index: int, channels: int, kernel: tuple[int, int], stride: int = 1) -> int:
        """CONV_2D with same padding and ReLU."""
        _, height, width, depth = self.shape(index)
        constants = self._constants((channels, *kernel, depth), channels, 0)
        options = self._options("Conv2D", strideH=stride, strideW=stride, fusedActivationFunction=1)
        return self._add("CONV_2D", [index, *constants], (1, -(-height // stride), -(-width // stride), channels), options)

    def filter_depthwise(self, index: int, kernel: tuple[int, int], stride: int = 1) -> int:
        """DEPTHWISE_CONV_2D with same padding and ReLU."""
        _, height, width, channels = self.shape(index)
        constants = self._constants((1, *kernel, channels), channels, 3)
        options = self._options("DepthwiseConv2D", strideH=stride, strideW=stride, depthMultiplier=1, fusedActivationFunction=1)
        shape = (1, -(-height // stride), -(-width // stride), channels)
        return self._add("DEPTHWISE_CONV_2D", [index, *constants], shape, options)

    def connect(self, index: int, units: int) -> int:
        """FULLY_CONNECTED with ReLU."""
        constants = self._constants((units, self.shape(index)[-1]), units, 0)
        options = self._options("FullyConnected", fusedActivationFunction=1, asymmetricQuantizeInputs=True)
        return self._add("FULLY_CONNECTED", [index, *constants], (1, units), options)

    def pool(self, name: str, index: int, size: Sequence[int]) -> int:
        """MAX_POOL_2D or AVERAGE_POOL_2D of [height, width] values, without overlap."""
        shape, (high, wide) = self.shape(index), size
        options = self._options("Pool2D", strideH=high, strideW=wide, filterHeight=high, filterWidth=wide, padding=1)
        return self._add(name, [index], (1, max(1, shape[1] // high), max(1, shape[2] // wide), shape[3]), options)

    def average(self, index: int) -> int:
        """MEAN over height and width."""
        axes = self._constant(np.array([1, 2], "<i4"), "int32")
        return self._add("MEAN", [index, axes], (1, self.shape(index)[-1]), self._options("Reducer"))

    def reshape(self, index: int, *shape: int) -> int:
        target = self._constant(np.array(shape, "<i4"), "int32")
        return self._add("RESHAPE", [index, target], shape, self._options("Reshape", newShape=list(shape)))

    def combine(self, name: str, first: int, second: int) -> int:
        """ADD or MUL of two tensors of one shape."""
        return self._add(name, [first, second], self.shape(first), self._options(name.title()))

    def join(self, *indices: int) -> int:
        """CONCATENATION of channels."""
        *outer, _ = self.shape(indices[0])
        shape = (*outer, sum(self.shape(index)[-1] for index in indices))
        return self._add("CONCATENATION", list(indices), shape, self._options("Concatenation", axis=3))

    def pad(self, index: int) -> int:
        """PAD by one on each side."""
        _, height, width, channels = self.shape(index)
        amounts = self._constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], "<i4"), "int32")
        return self._add("PAD", [index, amounts], (1, height + 2, width + 2, channels), self._options("Pad"))

    def apply(self, name: str, index: int) -> int:
        """RELU, RELU6, LOGISTIC, TANH, HARD_SWISH or SOFTMAX."""
        options = self._options("Softmax", beta=1.0) if name == "SOFTMAX" else None
        steps = {"SOFTMAX": (1 / 256, -128), "LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}.get(name)  # the kernels take no others
        return self._add(name, [index], self.shape(index), options, steps=steps)

    def translate(self, index: int, type: str) -> int:
        """QUANTIZE to int8, or DEQUANTIZE to float32."""
        name = "QUANTIZE" if type == "int8" else "DEQUANTIZE"
        return self._add(name, [index], self.shape(index), self._options(name.title()), type=type)

    def _constants(self, shape: Shape, channels: int, axis: int) -> list[int]:
        """Weights and bias."""
        values = np.resize(np.arange(1, VALUES) * 367 % VALUES % 251 - 125, prod(shape)).reshape(shape)
        if self._weights == "float32":
            kernel, bias_type = self._constant((values * KERNEL_SCALE).astype("<f4"), "float32"), "float32"
        else:
            kernel = self._constant(values.astype("i1"), "int8")
            self._graph.tensors[kernel].quantization = _quantization([KERNEL_SCALE] * channels, axis)
            bias_type = "int32" if self._type == "int8" else "float32"
        bias = self._constant(np.ones(channels, "<i4" if bias_type == "int32" else "<f4"), bias_type)
        if bias_type == "int32":
            self._graph.tensors[bias].quantization = _quantization([SCALE * KERNEL_SCALE] * channels, 0)
        return [kernel, bias]

    def _constant(self, values: np.ndarray, type: str) -> int:
        buffer = new_table("Buffer")
        buffer.data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self._model.buffers.append(buffer)
        index = self._tensor(values.shape, type, steps=None)
        self._graph.tensors[index].buffer = len(self._model.buffers) - 1
        return index

    def _tensor(self, shape: Sequence[int], type: str, steps: tuple[float, int] | None = (SCALE, 0)) -> int:
        tensor = new_table("Tensor")
        tensor.shape, tensor.type, tensor.name = list(shape), getattr(schema.TensorType, type.upper()), ""
        if type == "int8" and steps is not None:
            tensor.quantization = _quantization([steps[0]], 0, steps[1])
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _add(
        self, name: str, inputs: list[int], shape: Shape, options: tuple[str, Any] | None, *, type: str | None = None,
        steps: tuple[float, int] | None = None,
    ) -> int:  # fmt: skip
        """An operator; the number of the tensor that it writes."""
        operator = new_table("Operator")
        operator.opcodeIndex, operator.inputs = self._code(name), inputs
        operator.outputs = [self._tensor(shape, type or self._type, steps or (SCALE, 0))]
        if options is not None:
            operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, options[0]), options[1]
        self._graph.operators.append(operator)
        return int(operator.outputs[0])

    def _code(self, name: str) -> int:
        if name not in self._codes:
            code = new_table("OperatorCode")
            code.builtinCode, code.version = getattr(schema.BuiltinOperator, name), VERSIONS.get(name, 2)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            self._codes[name] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        return self._codes[name]

    def _options(self, name: str, **values: Any) -> tuple[str, Any]:
        """The options of an operator: name of their table, and the table."""
        made = new_table(f"{name}Options")
        for key, value in values.items():
            setattr(made, key, value)
        return f"{name}Options", made


def _quantization(scales: list[float], axis: int, zero_point: int = 0) -> Any:
    made = new_table("QuantizationParameters")
    made.scale, made.zeroPoint = np.array(scales, np.float32), np.full(len(scales), zero_point, np.int64)
    made.quantizedDimension = axis
    return made

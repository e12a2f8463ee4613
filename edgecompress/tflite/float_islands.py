"""Operators of an int8 file that compute in float32: what they read is dequantized, what they give is quantized again.

Between two such operators nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.kernel_writing import GraphWriter
from edgecompress.tflite.operator_forms import SHAPE_FIRST
from edgecompress.tflite.parse import parse
from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.unpack import unpack
from edgecompress.tflite.weights import weighted_operators

_QUANTIZE, _DEQUANTIZE = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE
_QUANTIZE_VERSION, _DEQUANTIZE_VERSION = 1, 2  # of int8, per tensor


@dataclass(frozen=True, eq=False)
class FloatKernel:
    """What an operator gets in the place of its integers.

    Attributes:
        kernel: float32, in the shape of the constant.
        version: of the operator in float32.
    """

    kernel: np.ndarray
    version: int


def compute_in_float(content: bytes, kernels: Mapping[int, FloatKernel]) -> bytes:
    """Makes operators compute in float32.

    Args:
        content: a file with int8 activations.
        kernels: by the index of the constant among the main subgraph's tensors. The bias keeps the value of its int32.
    """
    tflite, writer = parse(content), GraphWriter(unpack(content))
    operators = {id(old): new for old, new in zip(tflite.subgraphs[0].operators, writer.graph.operators, strict=True)}
    islands = [(found.name, operators[id(found.operator)], kernels[found.kernel_index]) for found in weighted_operators(tflite)
               if found.kernel_index in kernels]  # fmt: skip
    for name, operator, kernel in islands:
        _to_float(writer, name, operator, kernel)
    _drop_unread(writer, {output for _, operator, _ in islands for output in _quantized_outputs(writer, operator)})
    return writer.finish()


def _to_float(writer: GraphWriter, name: str, operator: Any, kernel: FloatKernel) -> None:
    """One operator between a DEQUANTIZE and a QUANTIZE."""
    graph, inputs = writer.graph, np.array(operator.inputs, np.int32)
    place = 2 if name in SHAPE_FIRST else 0
    inputs[place] = _float_source(writer, operator, int(inputs[place]))
    inputs[1] = _add_tensor(writer, graph.tensors[inputs[1]], b"_float", kernel.kernel)
    place = 3 if name in SHAPE_FIRST else 2
    if len(inputs) > place and inputs[place] >= 0:
        bias = graph.tensors[inputs[place]]
        steps = np.asarray(writer.model.buffers[bias.buffer].data, np.uint8).view("<i4")
        inputs[place] = _add_tensor(writer, bias, b"_float", (steps * np.asarray(bias.quantization.scale, np.float64)).astype(np.float32))
    operator.inputs = inputs
    operator.opcodeIndex = writer.operator_code(getattr(schema.BuiltinOperator, name), kernel.version)
    quantized = int(operator.outputs[0])
    computed = _add_tensor(writer, graph.tensors[quantized], b"_float", None)
    operator.outputs = np.array([computed], np.int32)
    graph.operators.insert(graph.operators.index(operator) + 1, _operator(writer, _QUANTIZE, _QUANTIZE_VERSION, computed, quantized))


def _float_source(writer: GraphWriter, reader: Any, index: int) -> int:
    """The float32 form of an int8 tensor: what it was quantized from, or what a DEQUANTIZE before `reader` gives."""
    for operator in writer.graph.operators:
        code = writer.model.operatorCodes[operator.opcodeIndex]
        if code.builtinCode == _QUANTIZE and operator.outputs[0] == index:
            source = writer.graph.tensors[operator.inputs[0]]
            if source.type == schema.TensorType.FLOAT32:
                return int(operator.inputs[0])
    made = _add_tensor(writer, writer.graph.tensors[index], b"_float", None)
    dequantize = _operator(writer, _DEQUANTIZE, _DEQUANTIZE_VERSION, index, made)
    writer.graph.operators.insert(writer.graph.operators.index(reader), dequantize)
    return made


def _add_tensor(writer: GraphWriter, like: Any, suffix: bytes, values: np.ndarray | None) -> int:
    """A float32 tensor of the same shape; the number it has."""
    made = new_table("Tensor")
    made.shape, made.shapeSignature, made.type = like.shape, like.shapeSignature, schema.TensorType.FLOAT32
    made.name = bytes(like.name or b"") + suffix
    made.buffer = 0 if values is None else writer.add_buffer(values.astype(np.float32))
    writer.graph.tensors.append(made)
    return len(writer.graph.tensors) - 1


def _operator(writer: GraphWriter, builtin: int, version: int, source: int, result: int) -> Any:
    """A QUANTIZE or DEQUANTIZE."""
    made = new_table("Operator")
    made.opcodeIndex = writer.operator_code(builtin, version)
    made.inputs, made.outputs = np.array([source], np.int32), np.array([result], np.int32)
    return made


def _quantized_outputs(writer: GraphWriter, operator: Any) -> list[int]:
    """The int8 tensors that are made of what a float operator gives."""
    return [int(other.outputs[0]) for other in writer.graph.operators if len(other.inputs) == 1 and other.inputs[0] == operator.outputs[0]]


def _drop_unread(writer: GraphWriter, quantized: set[int]) -> None:
    """Takes out the QUANTIZE of what only float operators read, and hands a float output of the model on without rounding."""
    graph = writer.graph
    for index in quantized:
        maker = next(operator for operator in graph.operators if operator.outputs is not None and index in operator.outputs)
        readers = [operator for operator in graph.operators if operator.inputs is not None and index in operator.inputs]
        for reader in list(readers):
            code = writer.model.operatorCodes[reader.opcodeIndex]
            result = graph.tensors[reader.outputs[0]]
            if max(code.builtinCode, code.deprecatedBuiltinCode) == _DEQUANTIZE and result.type == schema.TensorType.FLOAT32:
                _replace(graph, int(reader.outputs[0]), int(maker.inputs[0]), writer.model)
                graph.operators.remove(reader)
                readers.remove(reader)
        if not readers and index not in graph.outputs:
            graph.operators.remove(maker)


def _replace(graph: Any, old: int, new: int, model: Any) -> None:
    """Lets everything that read or gave `old` take `new`, which gets its name: outputs are known by it."""
    graph.tensors[new].name = graph.tensors[old].name
    for operator in graph.operators:
        if operator.inputs is not None:
            operator.inputs = np.where(np.asarray(operator.inputs) == old, new, operator.inputs).astype(np.int32)
    graph.outputs = np.where(np.asarray(graph.outputs) == old, new, graph.outputs).astype(np.int32)
    for signature in model.signatureDefs or []:
        for entry in signature.outputs or []:
            if signature.subgraphIndex == 0 and entry.tensorIndex == old:
                entry.tensorIndex = new

"""An integer file computed in float: its activations before anything is rounded, tensor by tensor.

Constants become what they stand for, activations float32, and operators that only translate go. So the twin has the tensors of the file,
with the same numbers, and its weights are those that the file really has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.errors import ModelError
from edgecompress.tflite.operators import TRANSLATORS
from edgecompress.tflite.pack import pack
from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.shrink.graph import Graph, integers
from edgecompress.tflite.unpack import unpack


@dataclass(frozen=True)
class FloatTwin:
    """A float file.

    Attributes:
        content: its bytes.
        tensors: tensor of the integer file -> tensor of this one that holds the same values in float; activations only.
    """

    content: bytes
    tensors: Mapping[int, int]


def float_twin(content: bytes) -> FloatTwin:
    """The float twin of an int8 file.

    Raises:
        ModelError: a damaged file, or a constant that is not of int8, int32 or float32 with plain scales.
    """
    model = unpack(content)
    graph = Graph(model, model.subgraphs[0])
    same = _without_translators(graph)
    for index in range(len(graph.tensors)):
        _to_float(graph, index)
    computed = {index: same.get(index, index) for index in range(len(graph.tensors)) if not graph.has_data(index)}
    return FloatTwin(pack(model), computed)


def _without_translators(graph: Graph) -> dict[int, int]:
    """Lets everybody read what QUANTIZE and DEQUANTIZE read; returns for each tensor that they gave the one that it is now."""
    same: dict[int, int] = {}
    for operator in [operator for operator in graph.operators if graph.name(operator) in TRANSLATORS]:
        source, result = integers(operator.inputs)[0], integers(operator.outputs)[0]
        same[result] = same.get(source, source)
    graph.operators[:] = [operator for operator in graph.operators if graph.name(operator) not in TRANSLATORS]
    for operator in graph.operators:
        operator.inputs = [same.get(index, index) for index in integers(operator.inputs)]
    graph.subgraph.outputs = [same.get(index, index) for index in graph.outputs]
    for signature in graph.model.signatureDefs or []:
        for entry in signature.outputs or []:
            entry.tensorIndex = same.get(entry.tensorIndex, entry.tensorIndex)
    return same


def _to_float(graph: Graph, index: int) -> None:
    """Makes a quantized tensor a float one."""
    tensor = graph.tensors[index]
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return
    if graph.has_data(index):
        stored = graph.constant(index)
        if stored is None:
            raise ModelError(f"constants of the .tflite file must be of a plain type. Received: tensor {index}.")
        tensor.buffer = graph.add_buffer(dequantized(stored, parameters).astype(np.float32))
    tensor.type, tensor.quantization = schema.TensorType.FLOAT32, new_table("QuantizationParameters")


def dequantized(stored: np.ndarray, parameters: Any) -> np.ndarray:
    """Real numbers of a constant, float64, for a scale per tensor or per index of one axis."""
    scales = np.asarray(parameters.scale, np.float64)
    zero_points = np.zeros(1) if parameters.zeroPoint is None else np.asarray(parameters.zeroPoint, np.float64)
    if scales.size > 1:
        shape = [-1 if axis == parameters.quantizedDimension else 1 for axis in range(stored.ndim)]
        scales, zero_points = scales.reshape(shape), zero_points.reshape(shape if zero_points.size > 1 else [1] * stored.ndim)
    return (stored - zero_points) * scales

"""What an operator of a .tflite has to do, as far as its time depends on it: type, shapes, types of numbers."""

from __future__ import annotations

from math import prod
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgecompress.tflite.cut import constant_makers
from edgecompress.tflite.operators import operator_macs
from edgecompress.tflite.parse import DTYPES
from edgecompress.tflite.shrink.graph import OMITTED, Graph, graphs_of, integers
from edgecompress.tflite.unpack import unpack

WEIGHED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
BYTES = {"float32": 4.0, "float16": 2.0, "int32": 4.0, "int64": 8.0, "int16": 2.0, "int4": 0.5, "int2": 0.25}  # others: 1

Shape = tuple[int, ...]


class Workload(BaseModel):
    """One operator.

    Attributes:
        name: such as CONV_2D, or CUSTOM.
        activations: type of the first tensor that it reads and that is no constant.
        weights: type of its weights; "" without any.
        inputs: shapes of the tensors that it reads and that are no constants.
        output: shape of the first tensor that it writes.
        result: type of that tensor.
        kernel: of the weights as they are stored, or [height, width] of a pool; () for others.
        strides: [height, width]; () for operators without.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    activations: str
    weights: str = ""
    inputs: tuple[Shape, ...]
    output: Shape
    result: str
    kernel: Shape = ()
    strides: Shape = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates; for pools the values that are read. 0 for all other operators."""
        if self.weights and self.inputs:
            shapes = [self.output, self.kernel, self.inputs[0]] if self.name == "TRANSPOSE_CONV" else [self.inputs[0], self.kernel]
            return operator_macs(self.name, shapes, [self.output])
        return prod(self.output) * prod(self.kernel) if self.kernel else 0

    @property
    def weight_bytes(self) -> float:
        return prod(self.kernel) * BYTES.get(self.weights, 1.0) if self.weights else 0.0

    @property
    def read_bytes(self) -> float:
        """Of activations."""
        return sum(prod(shape) for shape in self.inputs) * BYTES.get(self.activations, 1.0)

    @property
    def written_bytes(self) -> float:
        return prod(self.output) * BYTES.get(self.result, 1.0)


def workloads(content: bytes) -> list[Workload]:
    """The operators of the main subgraph, in order, without those that work on constants alone: a runtime runs these once.

    Raises:
        ModelError: not a .tflite file, or a damaged one.
    """
    graph = graphs_of(unpack(content))[0]
    constants = constant_makers(graph)
    return [_workload(graph, operator, constants) for number, operator in enumerate(graph.operators) if number not in constants.values()]


def _workload(graph: Graph, operator: Any, constants: dict[int, int]) -> Workload:
    name, options = graph.name(operator), operator.builtinOptions
    read = [index for index in integers(operator.inputs) if index != OMITTED]
    computed = [index for index in read if index not in constants and (not graph.has_data(index) or index in graph.inputs)]
    written = integers(operator.outputs)
    weights = read[1] if name in WEIGHED and len(read) > 1 else None
    kernel: Shape = () if weights is None else _shape(graph, weights)
    if hasattr(options, "filterHeight"):
        kernel = (options.filterHeight, options.filterWidth)
    return Workload(
        name=name,
        activations=_type(graph, computed[0] if computed else written[0]) if computed or written else "",
        weights="" if weights is None else _type(graph, weights),
        inputs=tuple(_shape(graph, index) for index in computed),
        output=_shape(graph, written[0]) if written else (),
        result=_type(graph, written[0]) if written else "",
        kernel=kernel,
        strides=(options.strideH, options.strideW) if hasattr(options, "strideH") else (),
    )


def _shape(graph: Graph, index: int) -> Shape:
    return tuple(max(1, size) for size in integers(graph.tensors[index].shape))


def _type(graph: Graph, index: int) -> str:
    return str(DTYPES[graph.tensors[index].type])

"""Each operator of a .tflite as a file of its own, so that a device can time it alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from edgecompress.tflite.pack import pack
from edgecompress.tflite.parse import DTYPES
from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.shrink.graph import OMITTED, Graph, block_scales, graphs_of, integers
from edgecompress.tflite.unpack import unpack

UNTOUCHABLE = ("resource", "variant", "string")  # tensors that only the operators around it can fill


def cut_operators(content: bytes) -> dict[int, bytes]:
    """Cuts the main subgraph into files of one operator each.

    What is computed from constants alone (the DEQUANTIZE of float16 weights) comes along with the operator that reads it, as a runtime
    computes it once, not in every invoke.

    Args:
        content: of a .tflite.

    Returns:
        Number of the operator -> a .tflite that takes what it reads and gives what it writes. Left out: what works on constants alone,
        operators that call other subgraphs, and those on tensors that have no numbers.

    Raises:
        ModelError: not a .tflite file, or a damaged one.
    """
    graph = graphs_of(unpack(content))[0]
    constants = constant_makers(graph)
    pieces = {}
    for number, operator in enumerate(graph.operators):
        if number not in constants.values() and _stands_alone(graph, operator):
            pieces[number] = _file([*_ancestors(graph, operator, constants), operator], operator, graph)
    return pieces


def constant_makers(graph: Graph) -> dict[int, int]:
    """Tensor -> number of the operator that computes it from constants alone."""
    makers: dict[int, int] = {}
    for number, operator in enumerate(graph.operators):
        inputs = [index for index in integers(operator.inputs) if index != OMITTED]
        if inputs and all(index in makers or _is_constant(graph, index) for index in inputs):
            makers |= dict.fromkeys(integers(operator.outputs), number)
    return makers


def _is_constant(graph: Graph, index: int) -> bool:
    return graph.has_data(index) and index not in graph.inputs and not graph.tensors[index].isVariable


def _stands_alone(graph: Graph, operator: Any) -> bool:
    """Whether it needs nothing of the file but the values that it reads."""
    indices = [index for index in (*integers(operator.inputs), *integers(operator.outputs)) if index != OMITTED]
    if not integers(operator.inputs) or any(DTYPES[graph.tensors[index].type] in UNTOUCHABLE for index in indices):
        return False
    options = [made for made in (operator.builtinOptions, operator.builtinOptions2) if made is not None]
    return not any("subgraph" in name.lower() for made in options for name in vars(made))


def _ancestors(graph: Graph, operator: Any, constants: dict[int, int]) -> list[Any]:
    """The operators behind its constant inputs, in order."""
    numbers: set[int] = set()
    found = [operator]
    for one in found:
        new = {constants[index] for index in integers(one.inputs) if index in constants} - numbers
        numbers |= new
        found += [graph.operators[number] for number in new]
    return [graph.operators[number] for number in sorted(numbers)]


def _file(operators: Sequence[Any], last: Any, graph: Graph) -> bytes:
    """A .tflite of these operators, whose results are those of the last one."""
    made, subgraph, places = new_table("Model"), new_table("SubGraph"), _Places(graph)
    made.version, made.buffers, made.operatorCodes = 3, [new_table("Buffer")], []
    subgraph.operators, subgraph.tensors = [], places.tensors
    for operator in operators:
        cut = copy.copy(operator)
        cut.opcodeIndex = len(made.operatorCodes)
        made.operatorCodes.append(graph.model.operatorCodes[operator.opcodeIndex])
        for field in ("inputs", "outputs", "intermediates"):
            if getattr(operator, field) is not None:
                setattr(cut, field, [places.of(index) for index in integers(getattr(operator, field))])
        subgraph.operators.append(cut)
    computed = {index for operator in operators for index in integers(operator.outputs)}
    read = dict.fromkeys(index for operator in operators for index in integers(operator.inputs) if index != OMITTED)
    given = [index for index in read if index not in computed and not _is_constant(graph, index) and not graph.tensors[index].isVariable]
    subgraph.inputs = [places.of(index) for index in given]
    subgraph.outputs = [places.of(index) for index in integers(last.outputs) if index != OMITTED]
    for tensor, index in zip(places.tensors, places.numbers, strict=True):
        if _is_constant(graph, index):
            made.buffers.append(graph.model.buffers[tensor.buffer])
            tensor.buffer = len(made.buffers) - 1
        else:
            tensor.buffer = 0
    made.subgraphs = [subgraph]
    return pack(made)


class _Places:
    """New numbers for the tensors that are taken over, in the order in which they are asked for."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.tensors: list[Any] = []
        self.numbers: dict[int, int] = {}  # as in the whole file -> new

    def of(self, index: int) -> int:
        """The new number of a tensor."""
        if index == OMITTED:
            return OMITTED
        if index not in self.numbers:
            self.numbers[index] = len(self.tensors)
            tensor = copy.copy(self._graph.tensors[index])
            self.tensors.append(tensor)
            if (scheme := block_scales(tensor)) is not None:
                tensor.quantization, scheme = copy.copy(tensor.quantization), copy.copy(scheme)
                tensor.quantization.details = scheme
                scheme.scales, scheme.zeroPoints = self.of(scheme.scales), self.of(scheme.zeroPoints)
        return self.numbers[index]

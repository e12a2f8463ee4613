"""A .tflite file of a few operators out of another one: what a runtime makes of them can be tried apart from all else."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecompress.tflite.pack import pack
from edgecompress.tflite.parse import parse
from edgecompress.tflite.unpack import unpack


def cut_operator(content: bytes, position: int) -> bytes:
    """A file of one operator of the main subgraph. What it computes with becomes an input, what it gives an output.

    Operators that decode its constants (DEQUANTIZE of a packed kernel) come along.

    Args:
        content: the file.
        position: of the operator in the main subgraph.
    """
    tflite, model = parse(content), unpack(content)
    main, graph = tflite.subgraphs[0], model.subgraphs[0]
    producers = {output: index for index, operator in enumerate(main.operators) for output in operator.outputs}

    def is_decoder(index: int) -> bool:
        return all(number < 0 or tflite.has_data(main.tensors[number]) for number in main.operators[index].inputs)

    chosen = main.operators[position]
    decoders = sorted({producers[number] for number in chosen.inputs if number in producers and is_decoder(producers[number])})
    decoded = {output for index in decoders for output in main.operators[index].outputs}
    free = [number for number in chosen.inputs if number >= 0 and number not in decoded and not tflite.has_data(main.tensors[number])]
    graph.operators = [graph.operators[index] for index in (*decoders, position)]
    graph.inputs, graph.outputs = np.array([*dict.fromkeys(free)], np.int32), np.array(chosen.outputs, np.int32)
    _drop_unused_tensors(graph)
    model.subgraphs, model.signatureDefs, model.metadata = [graph], None, None
    _drop_unused_buffers(model)
    return pack(model)


def _drop_unused_tensors(graph: Any) -> None:
    """Keeps the tensors that in- and outputs and operators name, and renumbers."""
    lists = [graph.inputs, graph.outputs, *(part for operator in graph.operators for part in _tensor_lists(operator))]
    used = sorted({int(number) for numbers in lists for number in numbers if number >= 0})
    places = {number: place for place, number in enumerate(used)}

    def renumbered(numbers: Any) -> np.ndarray:
        return np.array([places.get(int(number), -1) for number in numbers], np.int32)

    graph.tensors = [graph.tensors[number] for number in used]
    graph.inputs, graph.outputs = renumbered(graph.inputs), renumbered(graph.outputs)
    for operator in graph.operators:
        operator.inputs, operator.outputs = renumbered(operator.inputs), renumbered(operator.outputs)
        operator.intermediates = None if operator.intermediates is None else renumbered(operator.intermediates)


def _tensor_lists(operator: Any) -> list[Any]:
    return [numbers for numbers in (operator.inputs, operator.outputs, operator.intermediates) if numbers is not None]


def _drop_unused_buffers(model: Any) -> None:
    """Keeps the buffers of the tensors that are left; number 0 stands for no data."""
    used = sorted({0, *(tensor.buffer for tensor in model.subgraphs[0].tensors)})
    places = {number: place for place, number in enumerate(used)}
    model.buffers = [model.buffers[number] for number in used]
    for tensor in model.subgraphs[0].tensors:
        tensor.buffer = places[tensor.buffer]

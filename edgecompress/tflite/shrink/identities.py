"""Removes operators that give back what they get, and pads that the convolution behind can do itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.shrink.graph import OMITTED, Graph, graphs_of, integers, options_of
from edgecompress.tflite.shrink.kernels import OPTIONS, read_step
from edgecompress.tflite.shrink.quantized import same_padding

HEIGHT, WIDTH = 1, 2  # axes


def remove_identities(model: Any) -> int:
    """Removes operators whose output is their input, to the last bit.

    Returns:
        How many were removed.
    """
    removed = 0
    for graph in graphs_of(model):
        for operator in [] if graph.is_bound() else list(graph.operators):
            source, outputs = _source(graph, operator), integers(operator.outputs)
            if source is not None and len(outputs) == 1 and _bypass(graph, operator, source, outputs[0]):
                removed += 1
    return removed


def _source(graph: Graph, operator: Any) -> int | None:
    """The tensor that the operator's output equals; None where it is not the same, or not surely."""
    name, inputs, outputs = graph.name(operator), integers(operator.inputs), integers(operator.outputs)
    if not inputs or OMITTED in inputs or len(outputs) != 1:
        return None
    if name == "QUANTIZE":
        producer = graph.producers().get(inputs[0])
        if producer is not None and graph.name(producer) == "DEQUANTIZE" and _is_same(graph, integers(producer.inputs)[0], outputs[0]):
            # scale * (q - z), divided by the scale again, is within 0.01 of q - z for at most 16 bits
            return integers(producer.inputs)[0] if read_step(graph.tensors[outputs[0]]) is not None else None
    check = _IDENTITIES.get(name)
    same = check is not None and _is_same(graph, inputs[0], outputs[0]) and check(graph, operator, inputs)
    return inputs[0] if same else None


def _is_same(graph: Graph, one: int, other: int) -> bool:
    """Whether two tensors have the same fixed shape, type and step, and no other scheme of quantization."""
    facts = []
    for tensor in (graph.tensors[one], graph.tensors[other]):
        if tensor.isVariable or tensor.sparsity is not None or -1 in integers(tensor.shapeSignature):
            return False
        parameters = tensor.quantization
        has_scales = parameters is not None and parameters.scale is not None and len(parameters.scale) > 0
        if (has_scales or (parameters is not None and parameters.details is not None)) and read_step(tensor) is None:
            return False
        facts.append((integers(tensor.shape), tensor.type, read_step(tensor)))
    return facts[0] == facts[1]


def _bypass(graph: Graph, operator: Any, source: int, result: int) -> bool:
    """Lets everybody read `source`; where `result` must stay, lets whoever computes `source` write there. False if neither can be."""
    old, new = result, source
    if result in graph.outputs:
        producer = graph.producers().get(source)
        if producer is None or source in graph.outputs or source in graph.inputs:
            return False
        old, new = source, result
        producer.outputs = [result if index == source else index for index in integers(producer.outputs)]
    graph.operators[:] = [other for other in graph.operators if other is not operator]
    for other in graph.operators:
        if old in integers(other.inputs):
            other.inputs = [new if index == old else index for index in integers(other.inputs)]
    return True


def _nothing_else(graph: Graph, operator: Any, inputs: list[int]) -> bool:
    """Equal shape, type and step are enough."""
    return True


def _one_input(graph: Graph, operator: Any, inputs: list[int]) -> bool:
    return len(inputs) == 1 and not options_of(operator, "ConcatenationOptions").fusedActivationFunction


def _second(accepts: Callable[[np.ndarray], bool]) -> Callable[[Graph, Any, list[int]], bool]:
    """The second input must be a constant that is accepted."""

    def check(graph: Graph, operator: Any, inputs: list[int]) -> bool:
        values = graph.constant(inputs[1]) if len(inputs) > 1 else None
        return values is not None and accepts(values)

    return check


_IDENTITIES: dict[str, Callable[[Graph, Any, list[int]], bool]] = {
    "CAST": _nothing_else,
    "QUANTIZE": _nothing_else,
    "RESHAPE": _nothing_else,
    "SQUEEZE": _nothing_else,
    "EXPAND_DIMS": _nothing_else,
    "CONCATENATION": _one_input,
    "TRANSPOSE": _second(lambda order: order.tolist() == list(range(order.size))),
    "PAD": _second(lambda margins: not margins.any()),
    "TILE": _second(lambda times: bool((times == 1).all())),
}


def fold_padding(model: Any) -> int:
    """Lets convolutions with padding SAME do what a PAD of zeros and a convolution without padding do.

    Returns:
        How many PAD operators were removed.
    """
    removed = 0
    for graph in graphs_of(model):
        if not graph.is_bound() and all(tensor.sparsity is None for tensor in graph.tensors):
            removed += sum(_fold_pad(graph, operator) for operator in list(graph.operators) if graph.name(operator) == "PAD")
    return removed


def _fold_pad(graph: Graph, pad: Any) -> bool:
    """One PAD, if all operators behind it can do without."""
    inputs, outputs = integers(pad.inputs), integers(pad.outputs)
    margins = graph.constant(inputs[1]) if len(inputs) == 2 and OMITTED not in inputs else None
    if margins is None or margins.shape != (4, 2) or margins[[0, 3]].any() or len(outputs) != 1 or outputs[0] in graph.outputs:
        return False
    source, padded = graph.tensors[inputs[0]], graph.tensors[outputs[0]]
    shape = integers(source.shape)
    if len(shape) != 4 or -1 in integers(source.shapeSignature) or min(shape) < 1 or read_step(source) != read_step(padded):
        return False
    users = graph.consumers().get(outputs[0], [])
    if not users or not all(_pads_itself(graph, user, outputs[0], shape, margins) for user in users):
        return False
    for user in users:
        options_of(user, OPTIONS[graph.name(user)]).padding = schema.Padding.SAME
        user.inputs = [inputs[0], *integers(user.inputs)[1:]]
    graph.operators[:] = [operator for operator in graph.operators if operator is not pad]
    return True


def _pads_itself(graph: Graph, operator: Any, padded: int, shape: list[int], margins: np.ndarray) -> bool:
    """Whether an operator with padding SAME, on an input of `shape`, would put the same margins there."""
    name, inputs = graph.name(operator), integers(operator.inputs)
    if name not in ("CONV_2D", "DEPTHWISE_CONV_2D") or inputs[0] != padded or padded in inputs[1:] or len(inputs) < 2:
        return False
    options, kernel = options_of(operator, OPTIONS[name]), graph.constant(inputs[1])
    result = integers(graph.tensors[integers(operator.outputs)[0]].shape)
    if (
        options is not operator.builtinOptions
        or options.padding != schema.Padding.VALID
        or kernel is None
        or kernel.ndim != 4
        or len(result) != 4
    ):
        return False
    strides = {HEIGHT: options.strideH, WIDTH: options.strideW}
    dilations = {HEIGHT: options.dilationHFactor, WIDTH: options.dilationWFactor}
    return all(
        strides[axis] > 0
        and same_padding(shape[axis], kernel.shape[axis], strides[axis], dilations[axis]) == tuple(margins[axis].tolist())
        and result[axis] == -(-shape[axis] // strides[axis])
        for axis in (HEIGHT, WIDTH)
    )

"""Computes at once what never changes: shapes, and whole numbers made of constants. What moves or counts elements is exact everywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgecompress.tflite.parse import DTYPES
from edgecompress.tflite.shrink.graph import Graph, graphs_of, integers, options_of

FREE_BYTES = 64  # of a result that may be larger than what it is made of
Fold = Callable[[Any, list[np.ndarray]], np.ndarray | None]


def fold_constants(model: Any) -> int:
    """Replaces operators on constants by their result, where the file does not grow by it.

    Returns:
        How many operators were replaced.
    """
    folded = 0
    for graph in graphs_of(model):
        for operator in [] if graph.is_bound() else list(graph.operators):
            values = _result(graph, operator)
            if values is not None and _write(graph, operator, values):
                folded += 1
    return folded


def _result(graph: Graph, operator: Any) -> np.ndarray | None:
    """What an operator gives whatever the input; None if that is not known here."""
    name, inputs, outputs = graph.name(operator), integers(operator.inputs), integers(operator.outputs)
    if len(outputs) != 1 or outputs[0] in graph.outputs or not inputs or min(inputs) < 0:
        return None
    if name == "SHAPE":
        return _shape(graph, inputs[0])
    read = [graph.constant(index) for index in inputs]
    values = [value for value in read if value is not None]
    if name not in _FOLDS or len(values) < len(inputs) or any(_scheme(graph, index) for index in (*inputs, *outputs)):
        return None
    try:
        return _FOLDS[name](operator, values)
    except (ValueError, IndexError):  # shapes that do not fit: the runtime's to refuse
        return None


def _scheme(graph: Graph, index: int) -> bool:
    """Whether a tensor is quantized: then equal integers may mean different numbers."""
    parameters = graph.tensors[index].quantization
    return parameters is not None and (parameters.details is not None or (parameters.scale is not None and len(parameters.scale) > 0))


def _shape(graph: Graph, index: int) -> np.ndarray | None:
    """A tensor's shape, in a graph that takes inputs of one shape only."""
    is_open = any(-1 in integers(graph.tensors[number].shapeSignature) for number in (index, *graph.inputs))
    shape = integers(graph.tensors[index].shape)
    return np.array(shape) if shape and min(shape) > 0 and not is_open else None


def _write(graph: Graph, operator: Any, values: np.ndarray) -> bool:
    """Makes the operator's output a constant, if its type and size allow it."""
    output = integers(operator.outputs)[0]
    tensor = graph.tensors[output]
    try:
        dtype = np.dtype(DTYPES[tensor.type])
    except TypeError:
        return False
    made = values.astype(dtype)
    constants = [graph.constant(index) for index in integers(operator.inputs)]
    room = sum(constant.nbytes for constant in constants if constant is not None)
    if not (made == values).all() or list(made.shape) != integers(tensor.shape) or tensor.isVariable or made.nbytes > max(FREE_BYTES, room):
        return False
    tensor.buffer = graph.add_buffer(made)
    graph.operators[:] = [other for other in graph.operators if other is not operator]
    return True


def _reshape(_: Any, values: list[np.ndarray]) -> np.ndarray | None:
    return values[0].reshape(values[1].tolist()) if len(values) == 2 and values[1].ndim == 1 else None


def _transpose(_: Any, values: list[np.ndarray]) -> np.ndarray:
    return values[0].transpose(values[1].tolist())


def _cast(_: Any, values: list[np.ndarray]) -> np.ndarray:
    """The values as they are: they count only if the output's type can hold them."""
    return values[0]


def _pack(operator: Any, values: list[np.ndarray]) -> np.ndarray:
    return np.stack(values, options_of(operator, "PackOptions").axis)


def _concatenate(operator: Any, values: list[np.ndarray]) -> np.ndarray | None:
    options = options_of(operator, "ConcatenationOptions")
    return None if options.fusedActivationFunction else np.concatenate(values, options.axis)


def _gather(operator: Any, values: list[np.ndarray]) -> np.ndarray | None:
    options = options_of(operator, "GatherOptions")
    in_range = values[1].size and values[1].min() >= 0 and values[1].max() < values[0].shape[options.axis]
    return values[0].take(values[1], options.axis) if in_range and not options.batchDims else None


def _strided_slice(operator: Any, values: list[np.ndarray]) -> np.ndarray | None:
    """Without new axes and ellipses."""
    options = options_of(operator, "StridedSliceOptions")
    if options.ellipsisMask or options.newAxisMask or getattr(options, "offset", False) or len(values) != 4:
        return None
    source, begins, ends, strides = values[0], *(value.tolist() for value in values[1:])
    index: list[Any] = []
    for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << axis
        if options.shrinkAxisMask & bit:
            index.append(begin)
        else:
            index.append(slice(None if options.beginMask & bit else begin, None if options.endMask & bit else end, stride))
    return source[tuple(index)]


def _arithmetic(operate: Callable[[np.ndarray, np.ndarray], np.ndarray], table: str) -> Fold:
    """Of whole numbers; what overflows the output's type does not count."""

    def fold(operator: Any, values: list[np.ndarray]) -> np.ndarray | None:
        if len(values) != 2 or any(value.dtype.kind not in "iu" or value.dtype.itemsize > 4 for value in values):
            return None
        is_plain = not options_of(operator, table).fusedActivationFunction
        return operate(values[0].astype(np.int64), values[1].astype(np.int64)) if is_plain else None

    return fold


_FOLDS: dict[str, Fold] = {
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "CAST": _cast,
    "PACK": _pack,
    "CONCATENATION": _concatenate,
    "GATHER": _gather,
    "STRIDED_SLICE": _strided_slice,
    "ADD": _arithmetic(np.add, "AddOptions"),
    "SUB": _arithmetic(np.subtract, "SubOptions"),
    "MUL": _arithmetic(np.multiply, "MulOptions"),
}

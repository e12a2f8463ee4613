"""What operators without weights make of constants, where all kernels agree on it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.shrink.channels import Compute
from edgecompress.tflite.shrink.graph import Graph, integers, options_of
from edgecompress.tflite.shrink.kernels import read_step
from edgecompress.tflite.shrink.quantized import Step, clamp_limits, rescale

SLACK = 0.05  # steps by which kernels of element-wise operators may differ
_CLAMPS = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}  # operator -> ActivationFunctionType
_ARITHMETIC = {"ADD": (np.add, "AddOptions"), "SUB": (np.subtract, "SubOptions"), "MUL": (np.multiply, "MulOptions")}


def unary_result(name: str, step: Step | None, result: Step | None) -> Compute | None:
    """Clamps and changes of type; other functions are not followed. `step` and `result` say how the numbers are stored, None: as floats."""
    limits = clamp_limits(_CLAMPS.get(name, 0), result)
    if limits is None or (name not in _CLAMPS and name not in ("QUANTIZE", "DEQUANTIZE")):
        return None
    if result is None:
        if step is None:
            return _if_known(lambda value: _clip(value, limits)) if name in _CLAMPS else None
        return _if_known(lambda value: float(np.float32(step.scale) * np.float32(value - step.zero_point)))
    if step is None:
        return _if_known(lambda value: _store(value, result, limits))
    return _if_known(lambda value: _store((value - step.zero_point) * step.scale, result, limits))


def binary_result(graph: Graph, operator: Any, name: str) -> Compute | None:
    """Sums, differences and products; a product with zero is zero whatever the other factor is."""
    if name not in _ARITHMETIC:
        return None
    operate, table = _ARITHMETIC[name]
    inputs, output = (integers(vector) for vector in (operator.inputs, operator.outputs))
    steps = [read_step(graph.tensors[index]) for index in (*inputs, *output)]
    limits = clamp_limits(options_of(operator, table).fusedActivationFunction, steps[2])
    if limits is None:
        return None
    if steps == [None, None, None] and all(graph.tensors[index].type == schema.TensorType.FLOAT32 for index in (*inputs, *output)):
        return _arithmetic(name, (lambda value: value, lambda value: value), lambda first, second: _clip(operate(first, second), limits))
    one, other, result = steps
    if one is None or other is None or result is None:
        return None
    readers = (lambda value: (value - one.zero_point) * one.scale, lambda value: (value - other.zero_point) * other.scale)
    return _arithmetic(name, readers, lambda first, second: _store(float(operate(first, second)), result, limits))


def _arithmetic(
    name: str, readers: Sequence[Callable[[float], float]], finish: Callable[[np.float32, np.float32], float | None]
) -> Compute:
    """Reads both operands as real numbers and works on them."""

    def compute(values: Sequence[float | None]) -> float | None:
        real = [None if value is None else np.float32(read(value)) for read, value in zip(readers, values, strict=True)]
        if name == "MUL" and 0 in real:
            return finish(np.float32(0), np.float32(0))
        return None if real[0] is None or real[1] is None else finish(real[0], real[1])

    return compute


def spatial_result(name: str, operator: Any, step: Step | None, result: Step | None) -> Compute | None:
    """A constant stays what it is where nothing is rescaled. In float, only zero does for sure when it is added up and divided."""
    limits = clamp_limits(options_of(operator, "Pool2DOptions").fusedActivationFunction, result)
    if step != result or limits is None:
        return None
    if name == "PAD":  # the margin is zero
        zero = step.zero_point if step else 0
        return _if_known(lambda value: value if value == zero else None)
    if name not in ("MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN"):
        return None
    return _if_known(lambda value: _clip(value, limits) if step or name == "MAX_POOL_2D" or value == 0 else None)


def _if_known(compute: Callable[[float], float | None]) -> Compute:
    """Of one constant."""
    return lambda values: None if values[0] is None else compute(values[0])


def _clip(value: float | np.float32, limits: tuple[float, float]) -> float:
    return float(min(max(value, limits[0]), limits[1]))


def _store(value: float, result: Step, limits: tuple[float, float]) -> float | None:
    """A real number as it is stored; None where kernels may differ."""
    stored, sure = rescale(np.array([value]), np.array([1 / result.scale]), result.zero_point, limits, margin=SLACK)
    return float(stored[0]) if sure[0] else None

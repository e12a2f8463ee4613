"""AVERAGE_POOL_2D over a whole map, which ties its output's scale to its input's, becomes MEAN, which does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.pack import pack
from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.shrink.graph import Graph, integers, options_of
from edgecompress.tflite.unpack import unpack

_MEAN_VERSION = 2  # int8
_IMAGE_AXES = np.array([1, 2], np.int32)


def pools_to_means(content: bytes) -> bytes:
    """The file with MEAN in the place of each int8 average pool over a whole map; the file itself where there is none."""
    model = unpack(content)
    graph = Graph(model, model.subgraphs[0])
    pools = [operator for operator in graph.operators if graph.name(operator) == "AVERAGE_POOL_2D" and _is_global(graph, operator)]
    if not pools:
        return content
    code = _operator_code(model)
    axes = graph.add_constant(_IMAGE_AXES, schema.TensorType.INT32)
    for operator in pools:
        options = new_table("ReducerOptions")
        options.keepDims = True
        operator.opcodeIndex, operator.inputs = code, [*integers(operator.inputs), axes]
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReducerOptions, options
    return pack(model)


def _is_global(graph: Graph, operator: Any) -> bool:
    """Whether a pool gives the mean over all positions of its input, and nothing else."""
    source, result = (graph.tensors[integers(indices)[0]] for indices in (operator.inputs, operator.outputs))
    options = options_of(operator, "Pool2DOptions")
    size = integers(source.shape)[1:3]
    covers = [options.filterHeight, options.filterWidth] == size and integers(result.shape)[1:3] == [1, 1]
    valid = options.padding == schema.Padding.VALID or [options.strideH, options.strideW] == size
    plain = options.fusedActivationFunction == schema.ActivationFunctionType.NONE
    return bool(covers and valid and plain and source.type == schema.TensorType.INT8)


def _operator_code(model: Any) -> int:
    """The index of MEAN among the file's operators; it is added where it is missing."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.MEAN:
            code.version = max(code.version, _MEAN_VERSION)
            return index
    code = new_table("OperatorCode")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MEAN
    code.version = _MEAN_VERSION
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1

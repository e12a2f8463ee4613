"""Leaves out what nothing uses: operators, tensors, buffers, operator codes. Merges equal buffers."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.shrink.graph import OMITTED, Graph, block_scales, graphs_of, integers

# Operators that do nothing but compute their outputs.
_PURE = """
ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CAST CEIL CONCATENATION CONV_2D
COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD
FULLY_CONNECTED GATHER GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD
PADV2 POW PRELU QUANTIZE RANGE RANK REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT SELECT_V2 SHAPE SIGN SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV
UNPACK WHERE ZEROS_LIKE"""
PURE = frozenset(_PURE.split())


def remove_unused(model: Any) -> int:
    """Leaves out operators whose results nobody reads, then tensors, buffers and operator codes that no one refers to.

    Returns:
        How many of them were left out.
    """
    removed = 0
    for graph in graphs_of(model):
        if not graph.is_bound():
            removed += _remove_operators(graph) + _remove_tensors(graph, model.signatureDefs or [])
    return removed + remove_buffers(model) + _remove_codes(model)


def _remove_operators(graph: Graph) -> int:
    """Backwards, so that a chain of unused operators goes in one round."""
    read, kept = set(graph.outputs), []
    for operator in reversed(graph.operators):
        is_variable = any(graph.tensors[index].isVariable for index in integers(operator.inputs) if index != OMITTED)
        if graph.name(operator) not in PURE or is_variable or read.intersection(integers(operator.outputs)):
            kept.append(operator)
            read.update(integers(operator.inputs))
    removed = len(graph.operators) - len(kept)
    graph.operators[:] = reversed(kept)
    return removed


def _remove_tensors(graph: Graph, signatures: Iterable[Any]) -> int:
    """Tensors that no operator, no signature and no other tensor's quantization names."""
    position = next(number for number, subgraph in enumerate(graph.model.subgraphs) if subgraph is graph.subgraph)
    entries = [
        entry
        for signature in signatures
        if signature.subgraphIndex == position
        for entry in (*(signature.inputs or []), *(signature.outputs or []))
    ]
    used = {*graph.inputs, *graph.outputs, *(entry.tensorIndex for entry in entries)}
    for operator in graph.operators:
        used.update(*(integers(vector) for vector in (operator.inputs, operator.outputs, operator.intermediates)))
    used.discard(OMITTED)
    schemes = [scheme for index in used if (scheme := block_scales(graph.tensors[index])) is not None]
    used.update(number for scheme in schemes for number in (scheme.scales, scheme.zeroPoints) if number != OMITTED)
    removed = len(graph.tensors) - len(used)
    if removed:
        new = {old: number for number, old in enumerate(sorted(used))} | {OMITTED: OMITTED}
        graph.tensors[:] = [graph.tensors[index] for index in sorted(used)]
        for owner in (graph.subgraph, *graph.operators):
            for attribute in ("inputs", "outputs", "intermediates"):
                if (vector := getattr(owner, attribute, None)) is not None:
                    setattr(owner, attribute, [new[index] for index in integers(vector)])
        for entry in entries:
            entry.tensorIndex = new[entry.tensorIndex]
        for scheme in {id(scheme): scheme for scheme in schemes}.values():  # tensors may share one
            scheme.scales, scheme.zeroPoints = new[scheme.scales], new[scheme.zeroPoints]
    return removed


def remove_buffers(model: Any) -> int:
    """Buffers that nobody refers to. The first one stands for "no data" and stays."""
    used = {0, *(entry.buffer for entry in model.metadata or [])}
    used.update(index for index in integers(model.metadataBuffer) if 0 <= index < len(model.buffers))  # no runtime reads, nor checks, these
    used.update(tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors)
    return _renumber_buffers(model, {index: index for index in used})


def share_buffers(model: Any) -> int:
    """Lets tensors with equal data use one buffer, and tensors without data the first one.

    Returns:
        How many buffers went.
    """
    first: dict[bytes, int] = {}
    same = {0: 0}
    variables = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors if tensor.isVariable}
    for index, buffer in enumerate(model.buffers):
        if index in variables or (index == 0 and buffer.data is not None and len(buffer.data)):
            same[index] = index
        elif buffer.data is None or not len(buffer.data):
            same[index] = 0
        else:
            same[index] = first.setdefault(hashlib.sha256(np.asarray(buffer.data, np.uint8).tobytes()).digest(), index)
    return _renumber_buffers(model, same)


def _renumber_buffers(model: Any, same: dict[int, int]) -> int:
    """Keeps the buffers that are values of `same`, and lets each user of a key use its value."""
    kept = sorted(set(same.values()))
    places = {index: place for place, index in enumerate(kept)}
    new = {index: places[target] for index, target in same.items()}
    for owner in (*(model.metadata or []), *(tensor for subgraph in model.subgraphs for tensor in subgraph.tensors)):
        owner.buffer = new[owner.buffer]
    if model.metadataBuffer is not None:
        model.metadataBuffer = [new.get(index, 0) for index in integers(model.metadataBuffer)]
    removed = len(model.buffers) - len(kept)
    model.buffers[:] = [model.buffers[index] for index in kept] or [new_table("Buffer")]
    return removed


def _remove_codes(model: Any) -> int:
    """Operator codes that no operator has; equal ones become one."""
    operators = [operator for subgraph in model.subgraphs for operator in subgraph.operators]
    keys = [tuple(vars(code).items()) for code in model.operatorCodes]
    codes = dict(zip(keys, model.operatorCodes, strict=True))
    kept = {key: place for place, key in enumerate(dict.fromkeys(keys[operator.opcodeIndex] for operator in operators))}
    for operator in operators:
        operator.opcodeIndex = kept[keys[operator.opcodeIndex]]
    model.operatorCodes[:] = [codes[key] for key in kept]
    return len(keys) - len(kept)

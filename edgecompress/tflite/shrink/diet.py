"""Leaves out what no runtime reads: names inside the graph, descriptions, records of the converter."""

from typing import Any

from edgecompress.tflite.shrink.graph import text

# Entries that only say how the file came to be. Others stay: a library, a delegate or an application may ask for them.
RECORDS = frozenset({"min_runtime_version", "CONVERSION_METADATA"})


def drop_names(model: Any) -> int:
    """Drops the names of tensors inside the graph and of subgraphs. Names of inputs and outputs, and signatures, stay.

    Returns:
        How many names were dropped.
    """
    dropped = 0
    for subgraph in model.subgraphs:
        kept = {int(index) for vector in (subgraph.inputs, subgraph.outputs) if vector is not None for index in vector}
        for index, tensor in enumerate(subgraph.tensors):
            if index not in kept and tensor.name is not None:
                tensor.name, dropped = None, dropped + 1
        if subgraph.name is not None:
            subgraph.name, dropped = None, dropped + 1
    return dropped


def drop_metadata(model: Any) -> int:
    """Drops the converter's records and description, and the ranges from which it derived scales.

    Returns:
        How many entries were dropped.
    """
    kept = [entry for entry in model.metadata or [] if text(entry.name) not in RECORDS]
    dropped = len(model.metadata or []) - len(kept) + (model.description is not None)
    model.metadata, model.description = kept or None, None
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            parameters = tensor.quantization
            if parameters is not None and (parameters.min is not None or parameters.max is not None):
                parameters.min = parameters.max = None
                dropped += 1
    return dropped

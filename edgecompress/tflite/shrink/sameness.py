"""Whether two files hold the same graphs, whatever their tensors are called and numbered: the proof for files that cannot run here."""

from typing import Any

import numpy as np

from edgecompress.tflite.schema_fields import fields_of, union_tables
from edgecompress.tflite.shrink.graph import OMITTED, Graph, block_scales, graphs_of, integers, text
from edgecompress.tflite.unpack import unpack


def same_graph(first: bytes, second: bytes) -> bool:
    """Whether both files have the same subgraphs, operators, options, constants and signatures.

    Not compared: names and numbers of tensors, names of subgraphs, what no operator uses, metadata, ranges behind scales.
    """
    one, two = unpack(first), unpack(second)
    graphs = list(zip(graphs_of(one), graphs_of(two), strict=False))
    if len(one.subgraphs) != len(two.subgraphs):
        return False
    pairs = [_pair_tensors(*both) for both in graphs]
    return all(found is not None for found in pairs) and _same_signatures(one, two, pairs)


def _pair_tensors(one: Graph, two: Graph) -> dict[int, int] | None:
    """Number of a tensor in one graph -> in the other; None if the graphs differ."""
    operators = list(zip(one.operators, two.operators, strict=False))
    if len(one.operators) != len(two.operators):
        return None
    pairs: dict[int, int] = {OMITTED: OMITTED}
    vectors = [(one.inputs, two.inputs), (one.outputs, two.outputs)]
    for first, second in operators:
        if _operator_facts(one, first) != _operator_facts(two, second):
            return None
        for attribute in ("inputs", "outputs", "intermediates"):
            vectors.append((integers(getattr(first, attribute)), integers(getattr(second, attribute))))
    for left, right in vectors:
        if len(left) != len(right) or any(pairs.setdefault(a, b) != b for a, b in zip(left, right, strict=True)):
            return None
    for a, b in [pair for pair in pairs.items() if pair[0] != OMITTED]:
        if any(pairs.setdefault(*both) != both[1] for both in zip(_scale_tensors(one, a), _scale_tensors(two, b), strict=False)):
            return None
    if len(set(pairs.values())) != len(pairs):
        return None
    same = all(_tensor_facts(one, a) == _tensor_facts(two, b) for a, b in pairs.items() if a != OMITTED)
    return pairs if same else None


def _operator_facts(graph: Graph, operator: Any) -> Any:
    """All of an operator but its tensors."""
    code = graph.model.operatorCodes[operator.opcodeIndex]
    return plain(code, "OperatorCode"), plain(operator, "Operator", {"inputs", "outputs", "intermediates", "opcodeIndex"})


def _tensor_facts(graph: Graph, index: int) -> Any:
    """All of a tensor but its name."""
    tensor = graph.tensors[index]
    data = graph.model.buffers[tensor.buffer].data
    parameters = tensor.quantization
    facts = plain(tensor, "Tensor", {"name", "buffer", "quantization"})
    scheme = None if parameters is None else plain(parameters, "QuantizationParameters", {"min", "max"})
    if scheme and block_scales(tensor) is not None:
        scheme["details"] = plain(parameters.details, "BlockwiseQuantization", {"scales", "zeroPoints"})
    return facts, scheme or None, b"" if data is None else np.asarray(data, np.uint8).tobytes()


def _scale_tensors(graph: Graph, index: int) -> tuple[int, ...]:
    """The tensors with a tensor's block-wise scales and zero points."""
    scheme = block_scales(graph.tensors[index])
    return () if scheme is None else (scheme.scales, scheme.zeroPoints)


def plain(made: Any, table: str, without: frozenset[str] | set[str] = frozenset()) -> Any:
    """The object form of a table as nested dictionaries of the fields that are not at their default."""
    facts = {}
    for field in fields_of(table):
        value = getattr(made, field.attribute)
        if field.attribute in without or value is None or (field.kind == "number" and value == field.default):
            continue
        if field.kind == "numbers":
            value = np.asarray(value, field.what).tobytes()
        elif field.kind == "text":
            value = text(value)
        elif field.kind == "tables":
            value = [plain(child, field.what) for child in value]
        elif field.kind != "number":
            value = plain(value, field.what or union_tables(field.attribute)[getattr(made, f"{field.attribute}Type")])
        facts[field.attribute] = value
    return facts


def _same_signatures(one: Any, two: Any, pairs: list[dict[int, int] | None]) -> bool:
    """Whether the signatures have the same keys and lead to the same tensors."""
    first, second = one.signatureDefs or [], two.signatureDefs or []
    return len(first) == len(second) and all(
        text(a.signatureKey) == text(b.signatureKey)
        and a.subgraphIndex == b.subgraphIndex
        and all(_entries(getattr(a, which), pairs[a.subgraphIndex]) == _entries(getattr(b, which), None) for which in ("inputs", "outputs"))
        for a, b in zip(first, second, strict=True)
    )


def _entries(entries: Any, pairs: dict[int, int] | None) -> list[tuple[str, int | None]]:
    """(argument, tensor) of one side of a signature, in the numbers of the second file."""
    return [(text(entry.name), entry.tensorIndex if pairs is None else pairs.get(entry.tensorIndex)) for entry in entries or []]

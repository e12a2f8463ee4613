"""What the report says about a .tflite file."""

import gzip
import hashlib
from collections import Counter
from typing import Any

from edgecompress.tflite.arena import plan_arena
from edgecompress.tflite.model import Tensor, Tflite
from edgecompress.tflite.parse import parse
from edgecompress.tflite.runtime_versions import least_runtime_version, operator_versions

OTHER = "other"  # names, scales, operators, metadata: all bytes that are not a constant's data


def describe(content: bytes) -> dict[str, Any]:
    """Measures a file, with the keys of `artifact` in report.json.

    Returns:
        bytes, gzip_bytes (level 6, like the gzip command), sha256, bytes_by_type (its values add up to `bytes`), ops (name -> how many),
        op_versions (name -> newest version used), min_runtime_version, inputs and outputs of the main subgraph, arena_bytes (see
        `arena`; None: too many tensors to plan).

    Raises:
        ModelError: not a .tflite file, or a damaged one.
    """
    tflite = parse(content)
    main = tflite.subgraphs[0]
    plan = plan_arena(tflite)
    versions: dict[str, int] = {}
    for name, version in operator_versions(tflite):
        versions[name] = max(version, versions.get(name, version))
    return {
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, compresslevel=6, mtime=0)),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes_by_type": bytes_by_type(tflite, len(content)),
        "ops": count_operators(tflite),
        "op_versions": versions,
        "min_runtime_version": str(least_runtime_version(tflite)),
        "inputs": [describe_tensor(main.tensors[index]) for index in main.inputs],
        "outputs": [describe_tensor(main.tensors[index]) for index in main.outputs],
        "arena_bytes": None if plan is None else plan.total,
    }


def bytes_by_type(tflite: Tflite, num_bytes: int) -> dict[str, int]:
    """Bytes of constants per type, and the rest of the file's `num_bytes`. What is shared, a buffer or its bytes, counts once."""
    totals: Counter[str] = Counter()
    for data, dtype in tflite.constants():
        totals[dtype] += data.size
    return {**{dtype: totals[dtype] for dtype in sorted(totals)}, OTHER: num_bytes - totals.total()}


def count_operators(tflite: Tflite) -> dict[str, int]:
    """Name -> number of operators in all subgraphs, in order of first use."""
    return dict(Counter(tflite.operator_codes[operator.code].name for subgraph in tflite.subgraphs for operator in subgraph.operators))


def describe_tensor(tensor: Tensor) -> dict[str, Any]:
    """Name, shape, type and, where there is one for the whole tensor, scale and zero point."""
    scale, zero_point = None, None
    if tensor.quantization is not None and tensor.quantization.scales.size == 1:
        scale = float(tensor.quantization.scales[0])
        zero_point = int(tensor.quantization.zero_points[0]) if tensor.quantization.zero_points.size else 0
    return {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype, "scale": scale, "zero_point": zero_point}

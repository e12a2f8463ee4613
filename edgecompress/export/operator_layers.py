"""Which Keras layer each operator of a file is part of, also after the lossless shrink, which drops the names and some operators."""

from __future__ import annotations

from collections.abc import Mapping

from edgecompress.report.layer_schema import OperatorReport
from edgecompress.tflite import Rewritten, Tflite, list_operators


def operator_reports(file: Rewritten, tensors: Mapping[str, int], kernels: Mapping[str, str]) -> list[OperatorReport]:
    """The operators of the main subgraph of the file that runs.

    Args:
        file: what the converter made of the model, before and after the shrink.
        tensors: layer -> index of the tensor of `file.before` that holds its output, see `layer_tensors`.
        kernels: what an operator is called by if it computes several layers, see `kernel_layers`.
    """
    before = _layers_of(file.before, tensors)
    layers = [before[file.number_before(number)] for number in range(len(file.after.subgraphs[0].operators))]
    return [
        OperatorReport(
            index=index, operator=info.name, layer=kernels.get(layers[index] or "", layers[index]),
            output=list(info.outputs[0].shape) if info.outputs else [], weight_bytes=info.weight_bytes, macs=info.macs,
        )
        for index, info in enumerate(one for one in list_operators(file.after) if one.subgraph == 0)
    ]  # fmt: skip


def _layers_of(file: Tflite, tensors: Mapping[str, int]) -> list[str | None]:
    """Per operator the layer whose output it computes, or helps to compute: the first one behind it."""
    main, names = file.subgraphs[0], {index: layer for layer, index in tensors.items()}
    readers: dict[int, int] = {}
    for number, operator in reversed(list(enumerate(main.operators))):
        readers |= dict.fromkeys(operator.inputs, number)  # the first one that reads it stays
    found: list[str | None] = [None] * len(main.operators)
    for number, operator in reversed(list(enumerate(main.operators))):
        own = next((names[index] for index in operator.outputs if index in names), None)
        behind = [readers[index] for index in operator.outputs if index in readers]
        found[number] = own if own is not None or not behind else found[behind[0]]
    return found

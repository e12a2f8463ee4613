"""What the final .tflite holds of each Keras layer: keeps measured on its integers, bytes per layer.

Layers lead to constants by names, which the shrink drops: so they are looked for in the converter's file, and followed from there.
"""

from collections.abc import Sequence
from math import prod

from edgecompress.backend import keras
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.graph.layers import FLOAT32_BYTES, describe_layers
from edgecompress.keeps import Keep
from edgecompress.record import keep_reports
from edgecompress.report.layer_schema import LayerBytes
from edgecompress.report.schema import KeepReport
from edgecompress.tflite import KerasKernel, Rewritten, StoredKernel, follow_kernels


def measure_keeps(model: keras.Model, keeps: Sequence[Keep], file: Rewritten) -> list[KeepReport]:
    """Each keep, measured on the last Keras model and, where its kernel is found, on the final file.

    Whether it held shows in the converter's file, weight by weight: what the shrink takes out, it takes out of a whole that held.
    """
    kernels = _kernels(model)
    stored = dict(zip(kernels, follow_kernels(file, list(kernels.values())), strict=True))
    reports = []
    for keep, report in zip(keeps, keep_reports(model, keeps), strict=True):
        if (found := stored.get((keep.layer, keep.weight))) is not None:
            before, after = found
            held = report.held and keep.held(before.values)
            report = report.model_copy(update={"on_tflite": keep.measure(after.values), "held": held})
        reports.append(report)
    return reports


def broken(keeps: Sequence[KeepReport]) -> list[str]:
    """A warning for each promise that does not hold in the end, or that could not be measured in the file."""
    warnings = []
    for keep in keeps:
        if not keep.held:
            in_file = "not found" if keep.on_tflite is None else keep.on_tflite
            warnings.append(f"{keep.layer}: {keep.what} was not kept: {keep.on_model} in Keras, {in_file} in the file")
        elif keep.on_tflite is None:
            warnings.append(f"{keep.layer}: {keep.what} could not be measured in the file")
    return warnings


def layer_bytes(baseline: keras.Model, final: keras.Model, file: Rewritten) -> list[LayerBytes]:
    """Bytes of each layer's kernels: as float32 in the baseline, and as the final file stores them.

    `final_bytes` is None where one of a layer's kernels is not found.
    """
    before: dict[str, int] = {}
    for kernel in _kernels(baseline).values():
        before[kernel.layer] = before.get(kernel.layer, 0) + FLOAT32_BYTES * prod(kernel.shape)
    found: dict[str, list[tuple[StoredKernel, StoredKernel] | None]] = {}
    wanted = list(_kernels(final).values())
    for kernel, stored in zip(wanted, follow_kernels(file, wanted), strict=True):
        found.setdefault(kernel.layer, []).append(stored)
    after = {layer: sum(part[1].num_bytes for part in parts if part) for layer, parts in found.items() if all(parts)}
    names = [layer.name for layer in describe_layers(baseline)] + [layer.name for layer in describe_layers(final)]
    present = [name for name in dict.fromkeys(names) if name in before or name in after]
    return [LayerBytes(name=name, baseline_bytes=before.get(name), final_bytes=after.get(name)) for name in present]


def _kernels(model: keras.Model) -> dict[tuple[str, str], KerasKernel]:
    """(layer, weight) to what to look for in the file, for each kernel that can be looked for, in the model's order."""
    return {
        (kernel.layer, kernel.weight.name): KerasKernel(kernel.layer, tuple(kernel.variable.shape), kernel.weight.kind_in_file)
        for kernel in model_kernels(model)
        if kernel.weight.kind_in_file is not None
    }

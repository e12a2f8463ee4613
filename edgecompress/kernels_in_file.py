"""What the final .tflite holds of each Keras layer: keeps measured on its integers, bytes per layer."""

from collections.abc import Sequence

from edgecompress.backend import keras
from edgecompress.graph.layers import describe_layers, wrapped_layer
from edgecompress.keeps import Keep
from edgecompress.record import keep_reports
from edgecompress.report.schema import KeepReport, LayerBytes
from edgecompress.tflite import KerasKernel, Tflite, find_kernels

# Layer class and weight name to the kind of operator that holds it.
_KINDS = {
    ("Conv1D", "kernel"): "Conv1D",
    ("Conv2D", "kernel"): "Conv2D",
    ("Conv2DTranspose", "kernel"): "Conv2DTranspose",
    ("DepthwiseConv2D", "depthwise_kernel"): "DepthwiseConv2D",
    ("Dense", "kernel"): "Dense",
    ("SeparableConv2D", "pointwise_kernel"): "Conv2D",
}


def measure_keeps(model: keras.Model, keeps: Sequence[Keep], file: Tflite) -> list[KeepReport]:
    """Each keep, measured on the last Keras model and, where its kernel is found, on the file."""
    types = {wrapped_layer(layer).name: type(wrapped_layer(layer)).__name__ for layer in model.layers}
    kinds = [_KINDS.get((types.get(keep.layer, ""), keep.weight)) for keep in keeps]
    wanted = [KerasKernel(keep.layer, keep.values.shape, kind) for keep, kind in zip(keeps, kinds, strict=True) if kind is not None]
    stored = dict(zip(wanted, find_kernels(file, wanted), strict=True))
    reports = []
    for keep, kind, report in zip(keeps, kinds, keep_reports(model, keeps), strict=True):
        kernel = stored[KerasKernel(keep.layer, keep.values.shape, kind)] if kind is not None else None
        if kernel is not None:
            held = report.held and keep.held(kernel.values)
            report = report.model_copy(update={"on_tflite": keep.measure(kernel.values), "held": held})
        reports.append(report)
    return reports


def broken(keeps: Sequence[KeepReport]) -> list[str]:
    """A warning for each promise that does not hold in the end."""
    return [
        f"{keep.layer}: {keep.what} was not kept: {keep.on_model} in Keras, {keep.on_tflite} in the file" for keep in keeps if not keep.held
    ]


def layer_bytes(baseline: keras.Model, final: keras.Model, file: Tflite) -> list[LayerBytes]:
    """Bytes of each layer's kernel: as float32 in the baseline, and as the final file stores it."""
    before = {kernel.layer: 4 * _size(kernel) for kernel in _kernels(baseline)}
    wanted = _kernels(final)
    after = {kernel.layer: stored.values.nbytes for kernel, stored in zip(wanted, find_kernels(file, wanted), strict=True) if stored}
    names = [layer.name for layer in describe_layers(baseline)] + [layer.name for layer in describe_layers(final)]
    present = [name for name in dict.fromkeys(names) if name in before or name in after]
    return [LayerBytes(name=name, baseline_bytes=before.get(name), final_bytes=after.get(name)) for name in present]


def _kernels(model: keras.Model) -> list[KerasKernel]:
    """The kernels of a model's layers."""
    kernels = []
    for layer in model.layers:
        inner = wrapped_layer(layer)
        for variable in layer.weights:
            kind = _KINDS.get((type(inner).__name__, variable.name.split("/")[-1].split(":")[0]))
            if kind is not None:
                kernels.append(KerasKernel(inner.name, tuple(variable.shape), kind))
    return kernels


def _size(kernel: KerasKernel) -> int:
    """Number of weights."""
    size = 1
    for length in kernel.shape:
        size *= length
    return size

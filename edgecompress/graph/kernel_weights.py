"""Which weights are kernels: one table for techniques, export and report, and the walk over a model that goes with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgecompress.graph.layers import wrapped_layer


@dataclass(frozen=True)
class KernelWeight:
    """One kernel of a layer class.

    Attributes:
        name: of the layer's attribute, and of its variable.
        channel_axis: axis of the output channels; of a depthwise kernel [..., in, multiplier], of the channels that are filtered.
        kind_in_file: as `edgecompress.tflite.KerasKernel.kind` names it; None: not looked for in a file.
    """

    name: str
    channel_axis: int
    kind_in_file: str | None


@dataclass(frozen=True, eq=False)
class LayerKernel:
    """A kernel of a model.

    Attributes:
        layer: the layer's name; `outer/inner` inside a nested model. Of a TF-MOT wrapper, the wrapped layer's.
        type: class name, such as Conv2D.
        weight: which kernel of the layer.
        variable: the tf.Variable.
    """

    layer: str
    type: str
    weight: KernelWeight
    variable: Any


KERNEL_WEIGHTS: dict[str, tuple[KernelWeight, ...]] = {
    "Dense": (KernelWeight("kernel", -1, "Dense"),),
    "Conv1D": (KernelWeight("kernel", -1, "Conv1D"),),
    "Conv2D": (KernelWeight("kernel", -1, "Conv2D"),),
    "Conv3D": (KernelWeight("kernel", -1, None),),
    "Conv1DTranspose": (KernelWeight("kernel", -2, "Conv1DTranspose"),),
    "Conv2DTranspose": (KernelWeight("kernel", -2, "Conv2DTranspose"),),
    "Conv3DTranspose": (KernelWeight("kernel", -2, None),),
    "DepthwiseConv1D": (KernelWeight("depthwise_kernel", -2, "DepthwiseConv1D"),),
    "DepthwiseConv2D": (KernelWeight("depthwise_kernel", -2, "DepthwiseConv2D"),),
    "SeparableConv1D": (KernelWeight("depthwise_kernel", -2, "DepthwiseConv1D"), KernelWeight("pointwise_kernel", -1, "Conv1D")),
    "SeparableConv2D": (KernelWeight("depthwise_kernel", -2, "DepthwiseConv2D"), KernelWeight("pointwise_kernel", -1, "Conv2D")),
    "Embedding": (KernelWeight("embeddings", -1, None),),
}
"""Layer class to its kernels. Kernels of transposed convolutions are [..., out, in], all others [..., in, out]."""


def model_kernels(model: Any, prefix: str = "") -> Iterator[LayerKernel]:
    """The kernels of all layers in the model's order; nested models are entered, TF-MOT's wrappers seen through.

    Args:
        model: a built Functional or Sequential model.
        prefix: path of `model` inside the model that it is nested in.
    """
    for outer in model.layers:
        layer = wrapped_layer(outer)
        if hasattr(layer, "_nodes_by_depth"):
            yield from model_kernels(layer, f"{prefix}{layer.name}/")
        for weight in KERNEL_WEIGHTS.get(type(layer).__name__, ()):
            variable = named_variable(outer, weight.name)
            if variable is not None:
                yield LayerKernel(prefix + layer.name, type(layer).__name__, weight, variable)


def named_variable(layer: Any, name: str) -> Any:
    """The variable of a layer, or of a wrapper around it, that is called `name`; None if there is none.

    Under TF-MOT's wrappers `layer.kernel` is a tensor, so a variable is known by its own name, such as conv/kernel:0.
    """
    return next((variable for variable in layer.weights if variable.name.split("/")[-1].split(":")[0] == name), None)

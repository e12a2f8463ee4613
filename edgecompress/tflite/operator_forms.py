"""Forms of operators that a runtime learned later than the version of the operator says.

A version says which operator a file needs, not always of which types: older runtimes then load the file and fail, or compute nonsense.

Source: measured. Files of one operator, made by TensorFlow 2.21's converter and by ai-edge-quantizer 0.10, were run by tflite-runtime
2.14.0 and by ai-edge-litert 1.0.1, 1.2.0, 1.4.0, 2.0.2, 2.1.0 and 2.3.0, and their outputs compared with the Keras model's. `since` is
the release of TensorFlow Lite that stands for the oldest of these that computed rightly.
"""

from dataclasses import dataclass
from typing import Literal

from edgecompress.tflite.model import Operator, Subgraph, Tensor

SHAPE_FIRST = ("TRANSPOSE_CONV",)  # inputs: shape, weights, activations; other operators': activations, weights


@dataclass(frozen=True)
class Form:
    """Types in which an operator is newer than its version says.

    Attributes:
        operator: name.
        activations: type of the activations.
        weights: type of the weights; None: the activations alone decide.
        scales: of the weights: per output channel, block-wise, or whatever they are.
        since: release of TensorFlow Lite.
    """

    operator: str
    activations: str
    weights: str | None
    scales: Literal["any", "per_channel", "block_wise"]
    since: str


FORMS = (
    Form("CONV_2D", "float32", "int4", "any", "2.19"),  # 2.14 gives NaN, ai-edge-litert 1.0.1 crashes
    Form("DEQUANTIZE", "int4", None, "any", "2.17"),
    Form("FULLY_CONNECTED", "float32", "int8", "per_channel", "2.17"),  # 2.14 uses the first scale for all channels
    Form("FULLY_CONNECTED", "float32", "int4", "block_wise", "2.23"),  # before ai-edge-litert 2.1: a crash, or nonsense
    Form("FULLY_CONNECTED", "float32", "int2", "any", "2.23"),
    Form("GELU", "int16", None, "any", "2.20"),
    Form("TILE", "int16", None, "any", "2.23"),
    Form("TRANSPOSE_CONV", "float32", "int8", "any", "2.17"),
)


def find_form(name: str, operator: Operator, subgraph: Subgraph) -> Form | None:
    """The form of an operator of a file, None where its version says all."""
    tensors = [subgraph.tensors[index] if index >= 0 else None for index in operator.inputs]
    activations, weights = (2, 1) if name in SHAPE_FIRST else (0, 1)
    return next((form for form in FORMS if form.operator == name and _fits(form, _at(tensors, activations), _at(tensors, weights))), None)


def _at(tensors: list[Tensor | None], position: int) -> Tensor | None:
    """An input; None where it is left out."""
    return tensors[position] if position < len(tensors) else None


def _fits(form: Form, activations: Tensor | None, weights: Tensor | None) -> bool:
    """Whether the inputs have the types of the form."""
    if activations is None or activations.dtype != form.activations:
        return False
    if form.weights is None:
        return True
    return weights is not None and weights.dtype == form.weights and form.scales in ("any", _scales(weights))


def _scales(weights: Tensor) -> str:
    """How the weights are scaled; scales of blocks are kept in a tensor of their own."""
    num_scales = 0 if weights.quantization is None else weights.quantization.scales.size
    return "per_channel" if num_scales > 1 else "per_tensor" if num_scales else "block_wise"

"""The format dynamic for chosen layers only: int8 weights where the recipe says so, float32 elsewhere.

The converter cannot choose layers, so ai-edge-quantizer quantizes a float32 file. It picks operators by the names of their outputs, skips
what it cannot do in silence, and leaves operator versions as they were, so that an old runtime would load the file and compute nonsense.
Hence the result is read back, and the versions are raised.
"""

import re
from collections.abc import Sequence

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from edgecompress.backend import keras
from edgecompress.errors import ConversionError, RecipeError
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.graph.selection import select_layers
from edgecompress.recipe.schema import Export
from edgecompress.tflite import KerasKernel, Tflite, find_kernels, parse
from edgecompress.tflite.parse import IDENTIFIER
from edgecompress.tflite.weights import WeightedOperator, weighted_operators

# Version of an operator with float activations and int8 weights, per channel and per tensor.
# Source: tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc, TensorFlow commit 03f49db5a23ec2b22a59f3f3d72e5744469ea30b.
_HYBRID_VERSIONS = {"CONV_2D": (5, 2), "DEPTHWISE_CONV_2D": (6, 4), "FULLY_CONNECTED": (12, 3), "TRANSPOSE_CONV": (2, 2)}


def choose_kernels(model: keras.Model, patterns: Sequence[str]) -> list[KerasKernel]:
    """The kernels of the chosen layers.

    Args:
        model: any Functional or Sequential model.
        patterns: layer patterns, matched against the layers that have a kernel.

    Raises:
        RecipeError: a pattern matches no layer with a kernel.
    """
    kernels = [
        (kernel.type, KerasKernel(kernel.layer, tuple(kernel.variable.shape), kernel.weight.kind_in_file))
        for kernel in model_kernels(model)
        if kernel.weight.kind_in_file is not None
    ]
    names = dict.fromkeys((kernel.layer, layer_type) for layer_type, kernel in kernels)
    chosen = set(select_layers([*names], patterns, field="export.only"))
    return [kernel for _, kernel in kernels if kernel.layer in chosen]


def choosable_layers(model: keras.Model) -> set[str]:
    """Names of the layers whose weights a file keeps as a kernel, so that `export.only` and `export.layers` can choose them."""
    return {kernel.layer for kernel in model_kernels(model) if kernel.weight.kind_in_file is not None}


def fitting(export: Export, model: keras.Model) -> Export:
    """The export for another model than the recipe's last: without the patterns of `only` and `layers` that match nothing there."""

    def matches(pattern: str) -> bool:
        try:
            return bool(choose_kernels(model, [pattern]))
        except RecipeError:
            return False

    only = [pattern for pattern in export.only if matches(pattern)]
    layers = {pattern: weight_type for pattern, weight_type in export.layers.items() if matches(pattern)}
    return export.model_copy(update={"only": only, "layers": layers})


def quantize_kernels(content: bytes, kernels: Sequence[KerasKernel], *, per_tensor_dense: bool) -> bytes:
    """Gives kernels of a float32 file int8 weights (activations stay float).

    Args:
        content: the float32 file.
        kernels: as `choose_kernels` gives them.
        per_tensor_dense: one scale for each Dense kernel, not one per output.

    Raises:
        ConversionError: a kernel is not found in the file, or did not become int8.
    """
    tflite = parse(content)
    operators = _find_operators(tflite, kernels)
    quantized = _quantize(_raise_versions(content, operators, per_tensor_dense), tflite, operators, per_tensor_dense)
    _check_chosen(parse(quantized), {_scope(tflite, operator) for operator in operators})
    return quantized


def _find_operators(tflite: Tflite, kernels: Sequence[KerasKernel]) -> list[WeightedOperator]:
    """The operators that use the kernels."""
    stored = find_kernels(tflite, kernels)
    if missing := [kernel.layer for kernel, found in zip(kernels, stored, strict=True) if found is None]:
        raise ConversionError(f"export.only must name layers that the file keeps apart. Received: {', '.join(dict.fromkeys(missing))}.")
    indices = {found.tensor_index for found in stored if found is not None}
    return [operator for operator in weighted_operators(tflite) if operator.kernel_index in indices]


def _scope(tflite: Tflite, operator: WeightedOperator) -> str:
    """What ai-edge-quantizer calls an operator: the names of its outputs."""
    return "".join(f"{tflite.subgraphs[0].tensors[index].name};" for index in operator.operator.outputs)


def _quantize(content: bytes, tflite: Tflite, operators: Sequence[WeightedOperator], per_tensor_dense: bool) -> bytes:
    """The file with the weights of `operators` in int8, symmetric, per output channel."""
    from ai_edge_quantizer import qtyping, quantizer

    granularity = qtyping.QuantGranularity
    work = quantizer.Quantizer(bytearray(content))
    for operator in operators:
        work.add_dynamic_config(
            regex=f"^{re.escape(_scope(tflite, operator))}$",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            num_bits=8,
            granularity=granularity.TENSORWISE if _is_per_tensor(operator, per_tensor_dense) else granularity.CHANNELWISE,
        )
    return bytes(work.quantize(enable_progress_report=False, enable_progress_bar=False).quantized_model)


def _raise_versions(content: bytes, operators: Sequence[WeightedOperator], per_tensor_dense: bool) -> bytes:
    """Gives the operators the versions that they need with int8 weights, which keeps older runtimes from loading the file."""
    model = schema.ModelT.InitFromPackedBuf(content)
    for operator in operators:
        code = model.operatorCodes[operator.operator.code]
        code.version = max(code.version, _HYBRID_VERSIONS[operator.name][_is_per_tensor(operator, per_tensor_dense)])
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _is_per_tensor(operator: WeightedOperator, per_tensor_dense: bool) -> bool:
    return per_tensor_dense and operator.name == "FULLY_CONNECTED"


def _check_chosen(tflite: Tflite, scopes: set[str]) -> None:
    """Raises ConversionError unless exactly the operators in `scopes` have int8 weights."""
    tensors = tflite.subgraphs[0].tensors
    for operator in weighted_operators(tflite):
        wanted = "int8" if _scope(tflite, operator) in scopes else "float32"
        if (received := tensors[operator.kernel_index].dtype) != wanted:
            name = tensors[operator.kernel_index].name
            raise ConversionError(f"weights {name!r} must be {wanted} after choosing layers with export.only. Received: {received}.")

"""The kernels of a .tflite file: which constant belongs to which Keras layer, and what it holds.

The converter names a constant after the operations that it was made of, joined by ";": `model/conv/Conv2D`, or, with folded
BatchNormalization, `model/relu/Relu;model/bn/FusedBatchNormV3;model/conv/depthwise`. After quantize-aware training the layers are called
`quant_conv`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecompress.errors import ModelError
from edgecompress.tflite.model import Operator, Quantization, Tensor, Tflite
from edgecompress.tflite.packing import PACKED_BITS, unpack_integers

QUANTIZE_AWARE_PREFIX = "quant_"

# Keras class -> operator, names that TensorFlow gives its operation. Shapes: see `_to_keras_order`.
_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Conv1D": ("CONV_2D", ("Conv1D", "Conv2D", "separable_conv2d")),
    "Conv2D": ("CONV_2D", ("Conv2D", "separable_conv2d")),
    "DepthwiseConv1D": ("DEPTHWISE_CONV_2D", ("depthwise",)),
    "DepthwiseConv2D": ("DEPTHWISE_CONV_2D", ("depthwise",)),
    "Conv1DTranspose": ("TRANSPOSE_CONV", ("conv1d_transpose",)),
    "Conv2DTranspose": ("TRANSPOSE_CONV", ("conv2d_transpose",)),
    "Dense": ("FULLY_CONNECTED", ("MatMul",)),
}
_DECODERS = ("DEQUANTIZE", "DENSIFY")  # stand between a stored constant and its operator


@dataclass(frozen=True)
class KerasKernel:
    """A kernel to look for.

    Attributes:
        layer: the layer's name; `outer/inner` inside a nested model.
        shape: of the Keras variable.
        kind: Conv1D, Conv2D, DepthwiseConv1D, DepthwiseConv2D, Conv1DTranspose, Conv2DTranspose or Dense. A separable convolution has
            one depthwise and one plain kernel.
    """

    layer: str
    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True, eq=False)
class StoredKernel:
    """A kernel as the file holds it.

    Attributes:
        values: as stored (int8 in a quantized file, also for packed types), in Keras' order of axes.
        scales: float32 [output channels] or [1]; empty in a float file. real = scale * (value - zero_point). Block-wise [output
            channels, blocks].
        zero_points: int64, as many as scales.
        tensor: name of the constant.
        tensor_index: of the constant among the main subgraph's tensors.
        num_bytes: that the file spends on the values, and on block-wise scales.
        block: values of the constant's last axis that share a scale; 0: not block-wise.
    """

    values: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray
    tensor: str
    tensor_index: int
    num_bytes: int
    block: int = 0


@dataclass(frozen=True)
class WeightedOperator:
    """An operator of the main subgraph with a constant kernel.

    Attributes:
        name: such as CONV_2D.
        operator: the operator.
        kernel_index: of the stored constant among the subgraph's tensors.
        number: of the operator in the subgraph.
    """

    name: str
    operator: Operator
    kernel_index: int
    number: int


@dataclass(frozen=True)
class Rewritten:
    """A file, and what became of it when operators and channels were taken out.

    Attributes:
        before, after: the two files.
        kept: per operator of the main subgraph of `after` its number in `before`; None: all are there.
    """

    before: Tflite
    after: Tflite
    kept: Sequence[int] | None = None

    def number_before(self, number: int) -> int:
        """The number that an operator of `after` had."""
        return number if self.kept is None else self.kept[number]


def weighted_operators(tflite: Tflite) -> list[WeightedOperator]:
    """All convolutions and fully connected operators of the main subgraph whose kernel is a constant, in order."""
    main = tflite.subgraphs[0]
    producers = {output: operator for operator in main.operators for output in operator.outputs}
    names = {name for name, _ in _KINDS.values()}
    found = []
    for number, operator in enumerate(main.operators):
        name = tflite.operator_codes[operator.code].name
        if name in names and len(operator.inputs) > 1 and operator.inputs[1] >= 0:
            index = _stored_constant(tflite, producers, operator.inputs[1])
            if tflite.has_data(main.tensors[index]):
                found.append(WeightedOperator(name, operator, index, number))
    return found


def _stored_constant(tflite: Tflite, producers: dict[int, Operator], index: int) -> int:
    """Follows a kernel back through a decoding operator: a float16 file stores what DEQUANTIZE gives."""
    producer = producers.get(index)
    if producer is None or not producer.inputs or producer.inputs[0] < 0 or tflite.operator_codes[producer.code].name not in _DECODERS:
        return index
    return producer.inputs[0]


def read_constant(tflite: Tflite, tensor: Tensor) -> np.ndarray:
    """The stored values of a constant, as a read-only view into the file.

    Raises:
        ModelError: the tensor has no data, is sparse, has a type that NumPy lacks, or as many bytes as its shape does not ask for.
    """
    data = tflite.buffers[tensor.buffer]
    try:
        values = data.view(np.dtype(tensor.dtype).newbyteorder("<")) if not tensor.is_sparse else None
    except (TypeError, ValueError):  # int4, string; or a number of bytes that does not divide
        values = None
    if values is None or not data.size or values.size != int(np.prod(tensor.shape, dtype=object)):
        raise ModelError(
            f"tensor {tensor.name!r} must be a dense constant of a plain type. "
            f"Received: {tensor.dtype} {list(tensor.shape)} with {data.size} bytes."
        )
    return values.reshape(tensor.shape)


def find_kernels(tflite: Tflite, kernels: Sequence[KerasKernel]) -> list[StoredKernel | None]:
    """The kernels of Keras layers, whatever the file's format.

    Names decide. Among kernels of one kind and shape that names leave open (a file without names), the order of the graph does, if the
    file holds as many as are open.

    Args:
        tflite: the converted model.
        kernels: of the layers, in the model's order.

    Returns:
        One entry per kernel; None where no constant fits, or several do.
    """
    operators = weighted_operators(tflite)
    found = {kernel: _by_name(tflite, _fitting(tflite, operators, kernel.kind, kernel.shape), kernel) for kernel in kernels}
    for kind, shape in dict.fromkeys((kernel.kind, kernel.shape) for kernel in kernels):
        taken = {index for index in found.values() if index is not None}
        free = [index for index in _fitting(tflite, operators, kind, shape) if index not in taken]
        still_open = [kernel for kernel in found if (kernel.kind, kernel.shape) == (kind, shape) and found[kernel] is None]
        if len(still_open) == len(free):
            found.update(zip(still_open, free, strict=True))
    return [_read_kernel(tflite, found[kernel], kernel) for kernel in kernels]


def follow_kernels(file: Rewritten, kernels: Sequence[KerasKernel]) -> list[tuple[StoredKernel, StoredKernel] | None]:
    """The kernels of Keras layers before and after a file was rewritten; the second ones may have fewer channels.

    Returns:
        One entry per kernel; None where `find_kernels` finds none in the first file, or the second one has lost its operator.
    """
    numbers = {operator.kernel_index: operator.number for operator in reversed(weighted_operators(file.before))}
    now = {file.number_before(operator.number): operator.kernel_index for operator in weighted_operators(file.after)}
    found: list[tuple[StoredKernel, StoredKernel] | None] = []
    for kernel, before in zip(kernels, find_kernels(file.before, kernels), strict=True):
        after = None if before is None else _read_kernel(file.after, now.get(numbers[before.tensor_index]), kernel)
        found.append(None if before is None or after is None else (before, after))
    return found


def layer_rank(tensor_name: str, layer: str, kind: str) -> int | None:
    """How well a constant's name says that it is a layer's kernel: 0 names layer and operation, 1 the layer only, None neither."""
    outer, _, inner = layer.rpartition("/")
    paths = (layer, f"{outer}/{QUANTIZE_AWARE_PREFIX}{inner}".lstrip("/"), QUANTIZE_AWARE_PREFIX + layer)  # a name may hold a "/" itself
    scope = "|".join(re.escape(path) for path in paths)
    operation = rf"(Tensordot/|separable_conv2d/)?({'|'.join(_KINDS[kind][1])})(_\d+)?\d*"
    segments = tensor_name.split(";")
    if any(re.search(rf"(^|/)({scope})/{operation}$", segment) for segment in segments):
        return 0
    return 1 if any(re.search(rf"(^|/)({scope})(/|$)", segment) for segment in segments) else None


def _fitting(tflite: Tflite, operators: Sequence[WeightedOperator], kind: str, shape: tuple[int, ...]) -> list[int]:
    """Indices of the constants that have the operator and the shape of a kernel, in the order of the graph, each once."""
    tensors, stored = tflite.subgraphs[0].tensors, _stored_shape(kind, shape)
    indices = [operator.kernel_index for operator in operators if operator.name == _KINDS[kind][0]]
    return list(dict.fromkeys(index for index in indices if tensors[index].shape == stored))


def _by_name(tflite: Tflite, indices: Sequence[int], kernel: KerasKernel) -> int | None:
    """The one constant whose name fits best; None where none does, or several do."""
    tensors = tflite.subgraphs[0].tensors
    ranks = {index: layer_rank(tensors[index].name, kernel.layer, kernel.kind) for index in indices}
    for rank in (0, 1):
        if best := [index for index in indices if ranks[index] == rank]:
            return best[0] if len(best) == 1 else None
    return None


def _stored_shape(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the constant for a Keras kernel."""
    operator = _KINDS[kind][0]
    if operator == "FULLY_CONNECTED":  # [in, out]
        return (shape[1], shape[0])
    height, width, first, last = shape if len(shape) == 4 else (1, *shape)  # the file has no convolutions of one dimension
    if operator == "TRANSPOSE_CONV":  # [height, width, out, in]
        return (first, height, width, last)
    if operator == "DEPTHWISE_CONV_2D":  # [height, width, in, multiplier]
        return (1, height, width, first * last)
    return (last, height, width, first)  # CONV_2D [height, width, in, out]


def _to_keras_order(stored: np.ndarray, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """The constant with the axes of the Keras kernel; it may have lost channels, a depthwise one then has them all on one axis."""
    if _KINDS[kind][0] == "DEPTHWISE_CONV_2D":
        return stored.reshape(shape if stored.size == np.prod(shape) else (*shape[:-2], -1, 1))
    moved = stored.transpose(1, 2, 0, 3) if _KINDS[kind][0] == "TRANSPOSE_CONV" else np.moveaxis(stored, 0, -1)
    return moved.reshape(moved.shape[moved.ndim - len(shape) :])  # the file has no convolutions of one dimension


def _read_kernel(tflite: Tflite, index: int | None, kernel: KerasKernel) -> StoredKernel | None:
    """None for a constant that cannot be read as plain numbers."""
    if index is None:
        return None
    tensor = tflite.subgraphs[0].tensors[index]
    try:
        values = _to_keras_order(_read_integers(tflite, tensor), kernel.kind, kernel.shape)
        quantization = tensor.quantization or Quantization(np.empty(0, np.float32), np.empty(0, np.int64), 0)
        size, scales = tflite.buffers[tensor.buffer].size, quantization.scales
        if quantization.block:
            apart = tflite.subgraphs[0].tensors[quantization.scale_tensor]
            scales, size = read_constant(tflite, apart).astype(np.float32), size + tflite.buffers[apart.buffer].size
    except ModelError:
        return None
    return StoredKernel(values, scales, quantization.zero_points, tensor.name, index, size, quantization.block)


def _read_integers(tflite: Tflite, tensor: Tensor) -> np.ndarray:
    """A constant, unpacked where it is packed."""
    if tensor.dtype in PACKED_BITS and not tensor.is_sparse:
        values = unpack_integers(tflite.buffers[tensor.buffer], PACKED_BITS[tensor.dtype], tensor.shape)
        if values is not None:
            return values
    return read_constant(tflite, tensor)

"""Which operators of a .tflite the Edge TPU would take, by the published rules, without its compiler.

Source: Coral, TensorFlow models on the Edge TPU, "Model requirements" and "Supported operations" (compiler 16, runtime 14). The rules are
necessary, not sufficient: where they say that an operator may stay on the CPU, only the compiler knows. Nothing here was run on an
Edge TPU; the rules agree with what Google's compiler did to its own test models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from edgecompress.tflite.model import Tflite
from edgecompress.tflite.parse import DTYPES
from edgecompress.tflite.shrink.graph import OMITTED, Graph, graphs_of, integers, options_of, product, text
from edgecompress.tflite.unpack import unpack

COMPILED = "CUSTOM:edgetpu-custom-op"  # what the compiler puts in the place of the operators that it took
STORED = ("int8", "uint8")
STATES = {"UNIDIRECTIONAL_SEQUENCE_LSTM": ("int8", "uint8", "int16")}  # types of what an LSTM keeps
MAX_SOFTMAX = 16_000  # elements
MAX_DIMENSIONS = 3  # innermost ones that may be above 1

Fate = Literal["maps", "may_not_map", "does_not_map", "behind"]
Finding = tuple[Fate, str]


@dataclass(frozen=True)
class Placement:
    """Where one operator would run.

    Attributes:
        index: of the operator, in the order of the main subgraph.
        operator: name, such as CONV_2D.
        output, output_index: name and number of its first output; "" and -1 where it has none.
        fate: maps; may_not_map: the compiler decides; does_not_map; behind: it could, but reads what an operator on the CPU makes.
        reason: why it does not, or may not; "" where it maps.
        rewrite: what to use in its place; "" where nothing is known.
    """

    index: int
    operator: str
    output: str
    output_index: int
    fate: Fate
    reason: str = ""
    rewrite: str = ""


def is_compiled(tflite: Tflite) -> bool:
    """Whether a file went through the Edge TPU's compiler: it then runs only beside an Edge TPU and its library."""
    return any(code.name == COMPILED for code in tflite.operator_codes)


def explain_compiled(tflite: Tflite) -> str:
    """One sentence about a compiled file: what runs where."""
    names = [tflite.operator_codes[operator.code].name for subgraph in tflite.subgraphs for operator in subgraph.operators]
    on_cpu = [name for name in names if name != COMPILED]
    rest = f"{len(on_cpu)} operators run on the CPU ({', '.join(dict.fromkeys(on_cpu))})" if on_cpu else "nothing is left for the CPU"
    return f"compiled for the Edge TPU: it runs only where an Edge TPU and libedgetpu are; {rest}"


def place_operators(content: bytes) -> list[Placement]:
    """Where each operator of the main subgraph would run after the Edge TPU's compiler.

    Raises:
        ModelError: not a .tflite file, or a damaged one.
    """
    graph = graphs_of(unpack(content))[0]
    from_cpu: set[int] = set()  # tensors
    placements = []
    for index, operator in enumerate(graph.operators):
        name, outputs = graph.name(operator), integers(operator.outputs)
        fate, reason = _judge(graph, operator, name)
        if fate == "maps" and from_cpu & set(integers(operator.inputs)):
            fate, reason = "behind", "it reads what an operator on the CPU makes; the compiler makes one part for the Edge TPU"
        if fate != "maps":
            from_cpu |= set(outputs)
        output, output_index = (text(graph.tensors[outputs[0]].name), outputs[0]) if outputs else ("", OMITTED)
        rewrite = REWRITES.get(name, "") if fate == "does_not_map" else ""
        placements.append(Placement(index, name, output, output_index, fate, reason, rewrite))
    return placements


def _judge(graph: Graph, operator: Any, name: str) -> Finding:
    """One operator by itself."""
    if name not in RULES:
        return "does_not_map", "the Edge TPU has no such operator"
    problem = _types(graph, operator, name) or _dimensions(graph, operator)
    return ("does_not_map", problem) if problem else RULES[name](graph, operator)


def _computed(graph: Graph, operator: Any) -> list[Any]:
    """The tensors that it reads and writes, without constants."""
    numbers = [number for number in (*integers(operator.inputs), *integers(operator.outputs)) if number != OMITTED]
    return [graph.tensors[number] for number in numbers if not graph.has_data(number)]


def _types(graph: Graph, operator: Any, name: str) -> str:
    """Why the types do not fit; "" where they do."""
    allowed = STATES.get(name, STORED)
    for tensor in _computed(graph, operator):
        if (dtype := DTYPES[tensor.type]) not in allowed:
            return f"tensors must be int8 or uint8. Received: {dtype} ({text(tensor.name)})"
        if -1 in integers(tensor.shapeSignature):
            return f"shapes must be fixed. Received: {integers(tensor.shapeSignature)} ({text(tensor.name)})"
    return ""


def _dimensions(graph: Graph, operator: Any) -> str:
    """Why the shapes do not fit; "" where they do."""
    for tensor in _computed(graph, operator):
        shape = integers(tensor.shape)
        if product(shape[:-MAX_DIMENSIONS]) != 1:
            return f"only the {MAX_DIMENSIONS} innermost dimensions may be above 1. Received: {shape} ({text(tensor.name)})"
    return ""


def _always(_: Graph, __: Any) -> Finding:
    return "maps", ""


def _no_activation(table: str) -> Callable[[Graph, Any], Finding]:
    """Rule: no activation inside."""

    def rule(_: Graph, operator: Any) -> Finding:
        fused = options_of(operator, table).fusedActivationFunction
        return ("maps", "") if not fused else ("does_not_map", "no activation may be fused into it")

    return rule


def _concatenation(graph: Graph, operator: Any) -> Finding:
    constants = [graph.constant(number) for number in integers(operator.inputs) if graph.has_data(number)]
    if constants and (len(integers(operator.inputs)) > 2 or any(values is None or values.any() for values in constants)):
        return "does_not_map", "a constant input must be all zeros, beside one other input"
    return _no_activation("ConcatenationOptions")(graph, operator)


def _dilation(table: str) -> Callable[[Graph, Any], Finding]:
    """Rule: the same dilation both ways. The published one allows none to depthwise kernels; the compiler took those of DeepLab."""

    def rule(_: Graph, operator: Any) -> Finding:
        options = options_of(operator, table)
        both = options.dilationHFactor, options.dilationWFactor
        return ("maps", "") if both[0] == both[1] else ("does_not_map", f"dilation must be the same both ways. Received: {both}")

    return rule


def _fully_connected(graph: Graph, operator: Any) -> Finding:
    inputs, output = integers(operator.inputs), graph.tensors[integers(operator.outputs)[0]]
    if options_of(operator, "FullyConnectedOptions").weightsFormat:
        return "does_not_map", "weights must be in the default format"
    if len(inputs) < 2 or not graph.has_data(inputs[1]):
        return "does_not_map", "weights must be constant"
    shape = integers(output.shape)
    if product(shape[:-1]) != 1:
        return "does_not_map", f"the output must have one dimension. Received: {shape}"
    quantization = graph.tensors[inputs[1]].quantization
    if quantization is not None and quantization.scale is not None and len(quantization.scale) > 1:
        return "may_not_map", "the compiler is older than weights with one scale per output; one scale for all is sure"
    return "maps", ""


def _within_image(allowed: tuple[int, ...], what: str) -> Callable[[Graph, Any], Finding]:
    """Rule of MEAN, SUM and the like: the axes, the second input, are among these of four."""

    def rule(graph: Graph, operator: Any) -> Finding:
        inputs = integers(operator.inputs)
        axes, rank = graph.constant(inputs[1]), len(integers(graph.tensors[inputs[0]].shape))
        if axes is None:
            return "does_not_map", "axes must be constant"
        found = {int(axis) % rank for axis in axes.ravel()} if rank else set()
        return ("maps", "") if rank != 4 or found <= set(allowed) else ("does_not_map", f"{what}. Received: axes {sorted(found)}")

    return rule


def _pad(graph: Graph, operator: Any) -> Finding:
    amounts = graph.constant(integers(operator.inputs)[1])
    if amounts is None or amounts.ndim != 2:
        return "does_not_map", "amounts must be constant"
    padded = [axis for axis, pair in enumerate(amounts) if pair.any()]
    image = {1, 2} if len(amounts) == 4 else set(range(len(amounts)))
    return ("maps", "") if set(padded) <= image else ("does_not_map", f"only height and width may be padded. Received: axes {padded}")


def _prelu(graph: Graph, operator: Any) -> Finding:
    shape = integers(graph.tensors[integers(operator.inputs)[1]].shape)
    return ("maps", "") if product(shape[:-1]) == 1 else ("does_not_map", f"slopes must be shared over height and width. Received: {shape}")


def _resize(_: Graph, __: Any) -> Finding:
    return "may_not_map", "it is left out where precision would be lost, which depends on the sizes"


def _softmax(graph: Graph, operator: Any) -> Finding:
    shape = integers(graph.tensors[integers(operator.inputs)[0]].shape)
    fits = product(shape[:-1]) == 1 and product(shape) <= MAX_SOFTMAX
    return ("maps", "") if fits else ("does_not_map", f"it must have one dimension of at most {MAX_SOFTMAX:,}. Received: {shape}")


def _squeeze(graph: Graph, operator: Any) -> Finding:
    shape = integers(graph.tensors[integers(operator.inputs)[0]].shape)
    leading = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    fits = all(size != 1 for size in shape[leading:]) or product(shape[leading:-1]) == 1
    return ("maps", "") if fits else ("may_not_map", f"only leading dimensions of 1 are sure to go. Received: {shape}")


def _strided_slice(graph: Graph, operator: Any) -> Finding:
    strides, options = graph.constant(integers(operator.inputs)[3]), options_of(operator, "StridedSliceOptions")
    fits = strides is not None and (strides == 1).all() and not options.ellipsisMask and not options.newAxisMask
    return ("maps", "") if fits else ("does_not_map", "all strides must be 1, without ellipsis or new axes")


RULES: dict[str, Callable[[Graph, Any], Finding]] = {
    **dict.fromkeys((
        "ADD", "EXPAND_DIMS", "L2_NORMALIZATION", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "PACK", "QUANTIZE", "RELU", "RELU6",
        "RELU_N1_TO_1", "RESHAPE", "RSQRT", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "SQUARED_DIFFERENCE", "SUB", "TANH",
        "TRANSPOSE", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM",
    ), _always),
    "AVERAGE_POOL_2D": _no_activation("Pool2DOptions"), "MAX_POOL_2D": _no_activation("Pool2DOptions"), "CONCATENATION": _concatenation,
    "CONV_2D": _dilation("Conv2DOptions"), "DEPTHWISE_CONV_2D": _dilation("DepthwiseConv2DOptions"),
    "FULLY_CONNECTED": _fully_connected, "PAD": _pad, "PRELU": _prelu,
    "MEAN": _within_image((1, 2), "it must reduce height, width or both"),
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN", "SUM"), _within_image((1, 2, 3), "it must not reduce the batch")),
    "RESIZE_BILINEAR": _resize, "RESIZE_NEAREST_NEIGHBOR": _resize, "SOFTMAX": _softmax, "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
}  # fmt: skip

REWRITES = {
    "ARG_MAX": "leave it out of the model and take the largest output in the program",
    "DEQUANTIZE": "export with io: int8 or uint8", "ELU": "use relu", "GELU": "use relu or relu6", "HARD_SWISH": "use relu6",
    "LEAKY_RELU": "use relu, or PReLU with shared_axes=[1, 2]", "DIV": "multiply by the inverse", "EXP": "leave it to the program",
}  # fmt: skip

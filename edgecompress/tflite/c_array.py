"""A .tflite file as C++ source for TensorFlow Lite Micro: the bytes, the operators to register, the memory to set aside."""

import re
from collections.abc import Iterator

from edgecompress.errors import ConversionError
from edgecompress.tflite.arena import micro_arena_bytes, plan_arena
from edgecompress.tflite.model import Tflite
from edgecompress.tflite.parse import parse

BYTES_PER_LINE = 16

# Operator -> method of MicroMutableOpResolver, where it is not just `Add` and the words of the name: see `_method`.
# Source: tensorflow/lite/micro/micro_mutable_op_resolver.h of tflite-micro, as of 2023; older chips' libraries have no more.
_METHODS = {
    "AVERAGE_POOL_2D": "AddAveragePool2D", "CONV_2D": "AddConv2D", "CUMSUM": "AddCumSum",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D", "L2_POOL_2D": "AddL2Pool2D", "MAX_POOL_2D": "AddMaxPool2D", "PADV2": "AddPadV2",
    "SELECT_V2": "AddSelectV2", "SPLIT_V": "AddSplitV", "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}  # fmt: skip
_REGULAR = """ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL
CONCATENATION COS DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD
FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND
LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PRELU QUANTIZE READ_VARIABLE
REDUCE_MAX RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR ROUND RSQRT SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNPACK VAR_HANDLE
WHILE ZEROS_LIKE"""
_REGULAR_NAMES = frozenset(_REGULAR.split())


def c_array(content: bytes, name: str) -> dict[str, str]:
    """The source files of a model.

    Args:
        content: the bytes of a .tflite file.
        name: of the model; becomes a C identifier.

    Returns:
        "model.h" and "model.cc" -> text.

    Raises:
        ConversionError: an operator that TensorFlow Lite Micro lacks.
        ModelError: not a .tflite file, or a damaged one.
    """
    tflite = parse(content)
    plan = plan_arena(tflite)
    if plan is None:
        raise ConversionError("a model for TensorFlow Lite Micro must have fewer tensors.")
    identifier = re.sub(r"\W", "_", name, flags=re.ASCII)
    identifier = identifier if not identifier[:1].isdigit() else f"_{identifier}"
    methods = resolver_methods(tflite)
    calls = "\n".join(f"  if (resolver.{method}() != kTfLiteOk) return kTfLiteError;" for method in methods)
    header = _HEADER.format(
        name=identifier, guard=f"{identifier.upper()}_H_", num_bytes=len(content), num_operators=len(methods), calls=calls,
        planned=plan.total, arena=micro_arena_bytes(tflite, plan),
    )  # fmt: skip
    body = "\n".join(_lines(content))
    return {"model.h": header, "model.cc": _SOURCE.format(name=identifier, num_bytes=len(content), body=body)}


def resolver_methods(tflite: Tflite) -> list[str]:
    """Methods of MicroMutableOpResolver that register what a file runs, in order of first use.

    Raises:
        ConversionError: an operator that TensorFlow Lite Micro lacks.
    """
    used = dict.fromkeys(operator.code for subgraph in tflite.subgraphs for operator in subgraph.operators)
    names = dict.fromkeys(tflite.operator_codes[code].name for code in used)
    if missing := [name for name in names if _method(name) is None]:
        raise ConversionError(f"operators must be ones that TensorFlow Lite Micro has. Received: {', '.join(missing)}.")
    return [method for name in names if (method := _method(name)) is not None]


def _method(name: str) -> str | None:
    """ADD_N -> AddAddN; None for an operator that is not there."""
    if name in _METHODS:
        return _METHODS[name]
    return f"Add{''.join(word.capitalize() for word in name.split('_'))}" if name in _REGULAR_NAMES else None


def _lines(content: bytes) -> Iterator[str]:
    """The bytes as hexadecimal numbers."""
    for start in range(0, len(content), BYTES_PER_LINE):
        yield "    " + " ".join(f"0x{value:02x}," for value in content[start : start + BYTES_PER_LINE])


_HEADER = """\
// Made by edgecompress. Needs TensorFlow Lite Micro.
#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/c/common.h"

constexpr size_t {name}_bytes = {num_bytes};
alignas(16) extern const uint8_t {name}_data[{name}_bytes];

// Tensors take {planned} bytes when they share memory. The rest is an estimate of what the interpreter keeps for itself on a 32-bit chip;
// optimized kernels may need more. interpreter.arena_used_bytes() tells the exact number.
constexpr size_t {name}_arena_bytes = {arena};

// tflite::MicroMutableOpResolver<{name}_num_operators> resolver; {name}_add_operators(resolver);
constexpr unsigned int {name}_num_operators = {num_operators};

template <typename Resolver>
TfLiteStatus {name}_add_operators(Resolver& resolver) {{
{calls}
  return kTfLiteOk;
}}

#endif  // {guard}
"""

_SOURCE = """\
// Made by edgecompress.
#include "model.h"

alignas(16) const uint8_t {name}_data[{name}_bytes] = {{
{body}
}};
static_assert(sizeof({name}_data) == {num_bytes}, "the array must be whole");
"""

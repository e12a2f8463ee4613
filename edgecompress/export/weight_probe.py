"""Whether the runtime computes an operator rightly with a packed kernel: tried, not looked up.

ai-edge-litert 2.3 loads a CONV_2D with float32 activations and int2 weights and gives NaN; other releases fail elsewhere. So each kind of
operator is cut out of the file and run twice, under both kernel families: with the integers in int8, and with the same packed.

Block-wise scales, tried so on x86 with ai-edge-litert 2.3.0 on FULLY_CONNECTED (blocks of 32, 64, 128 and 256): int4 with activations
rounded in the operator is right, from 4 units on. int8 and int2 are refused by XNNPACK and off by 100 % with TensorFlow Lite's own kernels,
which read per-channel scales that are not there; a DEQUANTIZE (weight-only) does so with any number of bits.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from edgecompress.errors import ModelError
from edgecompress.proof import Trials, prove
from edgecompress.tflite import parse
from edgecompress.tflite.cut import cut_operators
from edgecompress.tflite.kernel_writing import Computes, IntegerKernel, write_kernels
from edgecompress.tflite.weights import WeightedOperator, weighted_operators
from edgecompress.weight_grids import largest_level

# Of the largest output. 8-bit activations are rounded in other ways by other kernels (2.3 % was seen), nonsense is off by about 100 %.
TOLERANCE = 0.1
TRIALS = Trials(least=6, most=6, tolerance=TOLERANCE, keeps_delegates=False)
_BLOCK_EXPONENTS = 5  # scales of blocks differ by up to 2 to the 4th

_answers: dict[tuple[object, ...], str | None] = {}  # the runtime of a process stays the same


class WeightProbe:
    """Answers for the operators of one file; operators of one kind are tried once in a process.

    Args:
        content: float32, or int8 where `computes` is "integer".
        computes: how operators are to work with the kernels.
    """

    def __init__(self, content: bytes, computes: Computes) -> None:
        self._content, self._computes = content, computes
        self._tflite = parse(content)
        self._places = {operator.outputs: place for place, operator in enumerate(self._tflite.subgraphs[0].operators)}

    def why_not(self, operator: WeightedOperator, kernel: IntegerKernel) -> str | None:
        """Why the runtime cannot compute with this kernel; None if it does so rightly."""
        key = self._kind(operator, kernel)
        if key not in _answers:
            cut = cut_operators(self._content)[self._places[operator.operator.outputs]]
            _answers[key] = _try(cut, kernel, self._computes)
        return _answers[key]

    def _kind(self, operator: WeightedOperator, kernel: IntegerKernel) -> tuple[object, ...]:
        """What decides: the operator, the bits, and how values lie in bytes and kernels. Not the number of channels."""
        tensors = self._tflite.subgraphs[0].tensors
        depth = tensors[operator.operator.inputs[2 if operator.name == "TRANSPOSE_CONV" else 0]].shape[-1:]
        groups = kernel.values.shape[-1:] == depth
        row_is_whole = kernel.values.shape[-1] % (8 // kernel.bits) == 0
        return (
            self._computes,
            operator.name,
            kernel.bits,
            kernel.values.shape[1:-1],
            groups,
            row_is_whole,
            operator.operator.inputs[2:] != (),
            kernel.block,
            min(len(kernel.values), 16) if kernel.block else 0,  # TensorFlow Lite's own kernel computes wrongly for less than 4 units
        )


def _try(cut: bytes, kernel: IntegerKernel, computes: Computes) -> str | None:
    """Runs a file of one operator with a kernel like this one, as int8 and as it is."""
    (found,) = weighted_operators(parse(cut))
    packed = _specimen(kernel)
    wide = _widened(packed)
    try:
        before, after = (write_kernels(cut, {found.kernel_index: one}, computes) for one in (wide, packed))
        proof = prove(before, after, TRIALS)
    except ModelError as error:  # the operator does not even run as int8
        return str(error)
    if not proof.runs:
        return "; ".join(dict.fromkeys(proof.refused.values()))
    return None if proof.mismatch is None else _in_words(proof.mismatch)


def _specimen(kernel: IntegerKernel) -> IntegerKernel:
    """A kernel of the same form with values of its own, so that the answer does not depend on the network's.

    One value in five is negative: sums that cancel would leave nothing but the rounding of activations, which looks like nonsense.
    """
    generator, limit = np.random.default_rng(0), largest_level(kernel.bits)
    values = generator.integers(0, limit + 1, kernel.values.shape) * generator.choice([1, 1, 1, 1, -1], kernel.values.shape)
    scales = np.full_like(kernel.scales, 1 / limit)
    if kernel.block:  # powers of two, so that `_widened` is exact
        scales = np.ldexp(np.float32(1 / 128), generator.integers(0, _BLOCK_EXPONENTS, kernel.scales.shape)).astype(np.float32)
    return replace(kernel, values=values.astype(kernel.values.dtype), scales=scales)


def _widened(kernel: IntegerKernel) -> IntegerKernel:
    """The same weights in int8, with a scale per output channel."""
    if not kernel.block:
        return replace(kernel, bits=8)
    least = kernel.scales.min()
    factors = np.repeat(kernel.scales / least, kernel.block, axis=-1)  # at most 16, levels at most 7: 112 in all
    values = (kernel.values * factors).astype(np.int8)
    return replace(kernel, values=values, scales=np.full(len(values), least, np.float32), bits=8, block=0)


def _in_words(mismatch: str) -> str:
    """A mismatch as the reason of a layer."""
    if "differs" in mismatch:
        return "the runtime gives wrong values"
    cause = re.split(r" (?:refused|failed to run) the model: ", mismatch)[-1]
    return f"the runtime does not take it ({cause.split('Node number')[0].strip().removesuffix('.')})"

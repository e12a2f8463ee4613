"""How much memory a runtime needs for the tensors of a .tflite file: a plan in which tensors that do not live together share it."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from edgecompress.tflite.model import Subgraph, Tflite
from edgecompress.tflite.operators import tensor_bytes

ALIGNMENT = 16  # bytes; of every tensor in TensorFlow Lite Micro
MOST_TENSORS = 5000  # of a subgraph that is planned: the work grows with their square


@dataclass(frozen=True)
class Life:
    """One tensor as the planner sees it.

    Attributes:
        num_bytes: multiple of the alignment.
        first, last: the operators, by position, between which it must keep its value, both included.
    """

    num_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class ArenaPlan:
    """Memory of a file's tensors, in bytes.

    Attributes:
        shared: tensors that are computed, sharing memory; without what kernels need beside them.
        variables: tensors that keep their value from one invoke to the next.
    """

    shared: int
    variables: int

    @property
    def total(self) -> int:
        return self.shared + self.variables


def plan_arena(tflite: Tflite) -> ArenaPlan | None:
    """Plans the tensors of every subgraph, greedily by size; subgraphs do not share. None for a file with too many tensors to plan.

    Sizes are those of the shapes in the file: an open batch counts as it stands there.

    Source: Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference (2020), section 5.2 (greedy by size for offset
    calculation).
    """
    if max(len(subgraph.tensors) for subgraph in tflite.subgraphs) > MOST_TENSORS:
        return None
    shared = sum(place_greedily(_lives(tflite, subgraph)) for subgraph in tflite.subgraphs)
    variables = sum(aligned(size) for subgraph in tflite.subgraphs for size in _variable_sizes(tflite, subgraph))
    return ArenaPlan(shared, variables)


def _variable_sizes(tflite: Tflite, subgraph: Subgraph) -> list[int]:
    """Bytes of variable tensors, and of the resources that are read (those that are only written need no memory of their own)."""
    resources = {
        operator.inputs[0]: operator.outputs[0]
        for operator in subgraph.operators
        if tflite.operator_codes[operator.code].name == "READ_VARIABLE" and operator.inputs and operator.outputs
    }
    indices = [index for index, tensor in enumerate(subgraph.tensors) if tensor.is_variable] + list(resources.values())
    return [tensor_bytes(subgraph.tensors[index]) for index in indices]


def _lives(tflite: Tflite, subgraph: Subgraph) -> list[Life]:
    """The lives of all tensors that are computed. Inputs live from the start, outputs to the end."""
    end = len(subgraph.operators)
    first = dict.fromkeys(subgraph.inputs, 0)
    last = dict.fromkeys(subgraph.inputs, 0)
    for position, operator in enumerate(subgraph.operators):
        for index in operator.outputs:
            first.setdefault(index, position)
        for index in (*operator.inputs, *operator.outputs):
            last[index] = position
    last |= dict.fromkeys(subgraph.outputs, end)
    return [
        Life(aligned(tensor_bytes(subgraph.tensors[index])), start, last[index])
        for index, start in first.items()
        if index >= 0 and not tflite.has_data(subgraph.tensors[index]) and not subgraph.tensors[index].is_variable
    ]


def place_greedily(lives: Sequence[Life]) -> int:
    """Places the largest tensor first, each at the lowest gap among those that live at the same time; returns the bytes of all."""
    placed: list[tuple[int, Life]] = []  # (start, tensor), by start
    for life in sorted(lives, key=lambda life: -life.num_bytes):
        start = 0
        for other_start, other in placed:
            if other.first <= life.last and life.first <= other.last:
                if other_start - start >= life.num_bytes:
                    break
                start = max(start, other_start + other.num_bytes)
        insort(placed, (start, life), key=lambda pair: pair[0])
    return max((start + life.num_bytes for start, life in placed), default=0)


def aligned(num_bytes: int) -> int:
    """The next multiple of the alignment."""
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT


def micro_arena_bytes(tflite: Tflite, plan: ArenaPlan) -> int:
    """What to give TensorFlow Lite Micro as tensor arena on a 32-bit chip: the plan, and room for the interpreter's own records.

    Per tensor 12 bytes (TfLiteEvalTensor), per output channel of a quantized kernel 8 (multiplier and shift), per operator 300 (node,
    parameters, data of its kernel). It is an estimate from above for the portable kernels; optimized ones may ask for scratch memory
    beside it, and `interpreter.arena_used_bytes()` on the chip tells the exact number.
    """
    tensors = [tensor for subgraph in tflite.subgraphs for tensor in subgraph.tensors]
    channels = sum(
        tensor.quantization.scales.size
        for tensor in tensors
        if tensor.quantization is not None and tflite.has_data(tensor) and tensor.dtype == "int8"
    )
    num_operators = sum(len(subgraph.operators) for subgraph in tflite.subgraphs)
    return aligned(plan.total + 12 * len(tensors) + 8 * channels + 300 * num_operators)

"""Which layer of the student learns from which layer of the teacher: named by the recipe, or found in the two graphs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.graph.kernel_weights import KERNEL_WEIGHTS
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.selection import select_layers

Shape = tuple[int | None, ...]
Kind = Literal["map", "layer", "embedding"]  # what a loss looks at: positions with channels; those or vectors; one vector per sample


@dataclass(frozen=True)
class Pair:
    """Names of two layers."""

    teacher: str
    student: str


@dataclass(frozen=True)
class _End:
    """The last layer before the size of the maps changes; of layers that give vectors, each for itself."""

    name: str
    positions: Shape


def find_pairs(patterns: Sequence[Sequence[str]], teacher: keras.Model, student: keras.Model, kind: Kind) -> list[Pair]:
    """Pairs of layers, in the order of the student's graph where they are found.

    Args:
        patterns: [teacher layers, student layers] each; both sides of one must match equally many layers, which pair in the
            order of their graphs. Empty: found. Then maps pair by their size, and by depth where no size is in both; vectors
            pair by depth; for an embedding, the inputs of the last kernels pair.
        teacher, student: functional models.
        kind: what the loss looks at.

    Raises:
        RecipeError: a pattern that matches nothing (with near names), or sides that do not match equally many.
        ModelError: nothing is found.
    """
    if patterns:
        return [pair for ones, others in patterns for pair in _named(ones, others, teacher, student)]
    if kind == "embedding":
        return [Pair(_embedding(teacher), _embedding(student))]
    pairs = list(_found(list(_ends(teacher)), list(_ends(student)), vectors=kind == "layer"))
    if not pairs:
        what = "maps" if kind == "map" else "maps or vectors"
        raise ModelError(f"pairs must be named where both models do not have {what} before their last layer. Received: auto.")
    return pairs


def layer_output(model: keras.Model, name: str) -> Any:
    """The symbolic output of the layer called `name`, also inside the wrappers of TF-MOT.

    Raises:
        ModelError: the layer is called several times, so that it has no one output, or gives none that is a feature.
    """
    layer = next(layer for layer in model.layers if wrapped_layer(layer).name == name)
    if len(layer.inbound_nodes) != 1 or not keras.backend.is_keras_tensor(layer.output):
        raise ModelError(f"a layer of `pairs` must be called once and give one output. Received: {name!r} of {model.name}.")
    return layer.output


def _named(teacher_pattern: str, student_pattern: str, teacher: keras.Model, student: keras.Model) -> Iterator[Pair]:
    """The pairs of one pair of patterns."""
    sides = []
    for pattern, model in ((teacher_pattern, teacher), (student_pattern, student)):
        layers = [wrapped_layer(layer) for layer in model.layers]
        sides.append(select_layers([(layer.name, type(layer).__name__) for layer in layers], [pattern], field="pairs"))
    if len(sides[0]) != len(sides[1]):
        raise RecipeError(
            f"pairs must match equally many layers of teacher and student. Received: {teacher_pattern!r} matches {len(sides[0])}, "
            f"{student_pattern!r} matches {len(sides[1])}."
        )
    for names in zip(*sides, strict=True):
        yield Pair(*names)


def _ends(model: keras.Model) -> Iterator[_End]:
    """Ends of the stages of a network, without the one that holds an output, and without those that have no kernel."""
    outputs = {id(tensor) for tensor in model.outputs}
    open_end, has_kernel, before = None, False, None
    for layer in model.layers:
        shape = _single_shape(layer)
        if shape is None:
            continue
        positions, kernel = shape[1:-1], _has_kernel(layer)
        if positions != before or (kernel and not positions):
            if open_end is not None and has_kernel:
                yield open_end
            open_end, has_kernel, before = None, False, positions
        has_kernel = has_kernel or kernel
        if id(layer.output) in outputs:
            return
        if "Dropout" not in type(layer).__name__:
            open_end = _End(wrapped_layer(layer).name, positions)
    if open_end is not None and has_kernel:
        yield open_end


def _found(teacher: Sequence[_End], student: Sequence[_End], *, vectors: bool) -> Iterator[Pair]:
    """Ends of equal size, else of like depth; then vectors of like depth."""
    maps = [[end for end in ends if end.positions] for ends in (teacher, student)]
    sizes = [positions for positions in dict.fromkeys(end.positions for end in maps[1]) if positions in {end.positions for end in maps[0]}]
    groups = [[[end for end in side if end.positions == size] for side in maps] for size in sizes] or [maps]
    if vectors:
        groups.append([[end for end in ends if not end.positions] for ends in (teacher, student)])
    for ones, others in groups:
        num_pairs = min(len(ones), len(others))
        for number in range(1, num_pairs + 1):  # the last pair up, those before it at like fractions of the depth
            yield Pair(*(side[number * len(side) // num_pairs - 1].name for side in (ones, others)))


def _embedding(model: keras.Model) -> str:
    """The layer that feeds the last layer with a kernel: what the network knows before it decides."""
    last = next((layer for layer in reversed(model.layers) if _has_kernel(layer)), None)
    before = last
    while before is not None and (before is last or "Dropout" in type(before).__name__):
        inbound = before.inbound_nodes[0].inbound_layers
        before = inbound if isinstance(inbound, keras.layers.Layer) else None
    if before is None or isinstance(before, keras.layers.InputLayer):
        raise ModelError(
            f"pairs must be named where the last layer with a kernel has no layer before it. Received: auto, for {model.name}."
        )
    return wrapped_layer(before).name


def _has_kernel(layer: keras.layers.Layer) -> bool:
    return type(wrapped_layer(layer)).__name__ in KERNEL_WEIGHTS


def _single_shape(layer: keras.layers.Layer) -> Shape | None:
    """The shape of the one output of a layer that is called once, batch axis first; None for others and for inputs."""
    if isinstance(layer, keras.layers.InputLayer) or len(layer.inbound_nodes) != 1 or not keras.backend.is_keras_tensor(layer.output):
        return None
    return tuple(layer.output.shape)

"""The table of passes, and the one loop over it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgecompress.tflite.pack import pack
from edgecompress.tflite.shrink.appended import find_appended, move_appended
from edgecompress.tflite.shrink.channel_choice import remove_dead_channels
from edgecompress.tflite.shrink.channel_merge import merge_duplicate_channels
from edgecompress.tflite.shrink.diet import drop_metadata, drop_names
from edgecompress.tflite.shrink.folding import fold_constants
from edgecompress.tflite.shrink.identities import fold_padding, remove_identities
from edgecompress.tflite.shrink.unused import remove_unused, share_buffers
from edgecompress.tflite.unpack import unpack


@dataclass(frozen=True)
class Settings:
    """What a user may ask of the passes.

    Attributes:
        keep_names: the names of tensors inside the graph stay.
        keep_metadata: the converter's records, description and ranges stay.
        round_to: numbers of channels stay multiples of this, where they were.
        tolerance: 0: every bit stays; above it, float results may differ by so much, relative to the largest one where that is above 1.
    """

    keep_names: bool = False
    keep_metadata: bool = False
    round_to: int = 1
    tolerance: float = 0.0


@dataclass(frozen=True)
class PassResult:
    """What one pass did.

    Attributes:
        name: of the pass.
        changes: how many things it changed.
        bytes_saved: how much smaller the file is by it.
        notes: what it could not change, in words.
    """

    name: str
    changes: int
    bytes_saved: int
    notes: tuple[str, ...] = ()


class Passed(NamedTuple):
    """What the passes made of a file.

    Attributes:
        content: the new bytes.
        results: what each pass did. The first one, `write_once`, is what writing the file anew saves by itself.
        kept: per operator of the main subgraph its number before.
    """

    content: bytes
    results: list[PassResult]
    kept: list[int]


MOST_ROUNDS = 4  # two are the rule: one that works and one that finds nothing

# In this order: each pass leaves things for a later one to leave out.
PASSES: dict[str, Callable[[Any, Settings], tuple[int, tuple[str, ...]]]] = {
    "fold_constants": lambda model, _: (fold_constants(model), ()),
    "remove_identities": lambda model, _: (remove_identities(model), ()),
    "fold_padding": lambda model, _: (fold_padding(model), ()),
    "remove_dead_channels": lambda model, settings: remove_dead_channels(
        model, round_to=settings.round_to, tolerant=settings.tolerance > 0
    ),
    "merge_duplicate_channels": lambda model, settings: (merge_duplicate_channels(model, tolerant=settings.tolerance > 0), ()),
    "drop_names": lambda model, _: (drop_names(model), ()),
    "drop_metadata": lambda model, _: (drop_metadata(model), ()),
    "remove_unused": lambda model, _: (remove_unused(model), ()),
    "share_buffers": lambda model, _: (share_buffers(model), ()),
}
DIET = ("drop_names", "drop_metadata", "remove_unused", "share_buffers")  # they leave every operator and every constant as it is


def choose_passes(settings: Settings) -> list[str]:
    """The passes that the settings ask for."""
    left_out = {"drop_names"} if settings.keep_names else set()
    left_out |= {"drop_metadata"} if settings.keep_metadata else set()
    return [name for name in PASSES if name not in left_out]


def apply_passes(content: bytes, names: Collection[str], settings: Settings) -> Passed:
    """Runs some of the passes, in the order of the table, until they find nothing more.

    Args:
        content: the bytes of a .tflite file.
        names: of passes.
        settings: for all of them.

    Raises:
        ModelError: not a .tflite file, or a damaged one.
    """
    model = unpack(content)
    operators = list(model.subgraphs[0].operators)  # passes take some out, and make no new ones
    packed = pack(model)
    appended = find_appended(content)
    first = PassResult("write_once", 0, (len(content) if appended is None else appended) - len(packed))
    results = {name: PassResult(name, 0, 0) for name in PASSES if name in names}
    for _ in range(MOST_ROUNDS):  # what one pass leaves out may be all that kept another from its work
        num_before = sum(result.changes for result in results.values())
        for name, done in results.items():
            changes, notes = PASSES[name](model, settings)
            num_bytes = len(packed)
            if changes:
                packed = b""  # before the next one is made: a file and its copies fit into memory only so often
                packed = pack(model)
            results[name] = PassResult(name, done.changes + changes, done.bytes_saved + num_bytes - len(packed), notes)
        if sum(result.changes for result in results.values()) == num_before:
            break
    numbers = {id(operator): number for number, operator in enumerate(operators)}
    kept = [numbers[id(operator)] for operator in model.subgraphs[0].operators]
    return Passed(packed + move_appended(content, len(packed)), [first, *results.values()], kept)

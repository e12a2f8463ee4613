"""`shrink`: a smaller .tflite that computes the same, proved before it counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecompress.errors import DataError, ModelError
from edgecompress.progress import Progress
from edgecompress.proof import Proof, Trials, prove
from edgecompress.store import write_atomic
from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.shrink import DIET, Passed, PassResult, Settings, apply_passes, choose_passes
from edgecompress.tflite.shrink.sameness import same_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

CLEARLY_FASTER = 0.98  # of the other file's time; less is noise


@dataclass(frozen=True)
class Shrunk:
    """A file and what was done to it.

    Attributes:
        content: the new bytes; the old ones where nothing could be saved.
        passes: what each pass did, in order.
        left_out: pass -> why its result did not count.
        proof: of the new bytes against the old ones.
        kept: per operator of the main subgraph its number before; None: all are there.
    """

    content: bytes
    passes: list[PassResult]
    left_out: dict[str, str]
    proof: Proof
    kept: list[int] | None = None


def shrink(content: bytes, settings: Settings | None = None, trials: Trials | None = None) -> Shrunk:
    """Makes a .tflite smaller; every output of every signature stays bit-identical, under XNNPACK and under the built-in kernels.

    A pass whose result differs is found by bisection and left out. A file that needs operators which are not here gets the diet only,
    which is proved by comparing the graphs.

    Args:
        content: the bytes of any .tflite file.
        settings: of the passes.
        trials: how thoroughly the files are compared.

    Raises:
        ModelError: not a .tflite file, a damaged one, one that the runtime refuses, or one without fixed outputs.
    """
    settings, trials = settings or Settings(), trials or Trials()
    names, left_out = choose_passes(settings), dict[str, str]()
    while True:
        small, results, kept = apply_passes(content, names, settings)
        proof = prove(content, small, trials)
        if not proof.runs:
            small, results, kept = _by_structure(content, names, settings, proof)
        if proof.mismatch is None:
            break
        guilty = _find_guilty(content, names, settings, trials)
        if guilty is None:
            raise ModelError(f"the .tflite file must stay the same when it is only written anew. Received: {proof.mismatch}.")
        names.remove(guilty)
        left_out[guilty] = proof.mismatch
    if len(small) < len(content):
        return Shrunk(small, results, left_out, proof, kept)
    return Shrunk(content, results, left_out, proof)


def _by_structure(content: bytes, names: list[str], settings: Settings, proof: Proof) -> Passed:
    """The diet alone, for a file that cannot run here."""
    if not proof.lacks_parts:
        raise ModelError(
            f"the model must run to be compared with the smaller one. Received: {next(iter(proof.refused.values())).rstrip('.')}."
        )
    passed = apply_passes(content, [name for name in names if name in DIET], settings)
    if not same_graph(content, passed.content):
        raise ModelError("the graph of the .tflite file must stay the same. Received: another one; it is not written.")
    return passed


def _find_guilty(content: bytes, names: list[str], settings: Settings, trials: Trials) -> str | None:
    """The first pass with which the outputs differ; None if they differ without any."""

    def fails(number: int) -> bool:
        return prove(content, apply_passes(content, names[:number], settings).content, trials).mismatch is not None

    if fails(0):
        return None
    good, bad = 0, len(names)  # names[:good] is fine, names[:bad] is not
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if fails(middle) else (middle, bad)
    return names[bad - 1]


def _check_inputs(file: Path) -> None:
    """Raises DataError for what holds no inputs, which would else be told of the model that they are for."""
    expected = f"{file}: inputs must be an .npz file with input_0, input_1, ..."
    if not file.is_file():
        raise DataError(f"{expected} Received: nothing is there.")
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = list(archive)
            for name in names:
                archive[name]  # reads it
    except Exception as error:  # damaged, encrypted or hostile, a file can make NumPy and zipfile fail in any way
        raise DataError(f"{expected} Received: a file of another or damaged format.") from error
    if "input_0" not in names:
        raise DataError(f"{expected} Received: {', '.join(names[:5]) or 'nothing in it'}.")


def shrink_file(
    path: Path, out: Path | None = None, *, settings: Settings | None = None, trials: Trials | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Shrinks a .tflite file.

    With `settings.round_to`, the smallest file and the one with rounded numbers of channels are timed in turns, and the second one counts
    only if it is clearly faster.

    Args:
        path: the file; not changed, unless `out` is the same.
        out: the file to write; absent: `<name>_shrunk.tflite` beside the model.
        settings: of the passes.
        trials: how thoroughly the files are compared.
        progress: where bars and lines go.

    Returns:
        path, bytes_before, bytes, ratio, macs_before, macs, round_to, and the keys of `facts`.

    Raises:
        ModelError: no .tflite file, or one that cannot be shrunk, see `shrink`; nothing is written then.
        DataError: the inputs of the trials are missing.
        StorageError: the file cannot be written.
    """
    settings, trials, progress = settings or Settings(), trials or Trials(), progress or Progress()
    content = _read(path)
    if trials.inputs is not None:
        _check_inputs(trials.inputs)
    try:
        with progress.task("shrinking"):
            shrunk, round_to = shrink(content, replace(settings, round_to=1), trials), 1
        if settings.round_to > 1:
            rounded = shrink(content, settings, trials)
            if rounded.content != shrunk.content and _is_faster(rounded.content, shrunk.content, progress):
                shrunk, round_to = rounded, settings.round_to
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    out = out or path.with_name(f"{path.stem}_shrunk.tflite")
    write_atomic(out, shrunk.content)
    sizes = {"bytes_before": len(content), "bytes": len(shrunk.content), "ratio": len(content) / len(shrunk.content)}
    return {"path": str(out), **sizes, "macs_before": _macs(content), "macs": _macs(shrunk.content), "round_to": round_to, **facts(shrunk)}


@dataclass(frozen=True)
class ShrunkExport:
    """The last step of an export.

    Attributes:
        content: the bytes to deliver.
        facts: what was done; None: nothing.
        warnings: what could not be done.
        kept: per operator of the main subgraph its number in the converter's file; None: all are there.
    """

    content: bytes
    facts: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    kept: list[int] | None = None


def shrink_export(content: bytes) -> ShrunkExport:
    """Shrinks what a converter made. A file that cannot be proved to be the same is left as it is."""
    try:
        shrunk = shrink(content)
    except ModelError as error:
        return ShrunkExport(content, warnings=(f"the file was not shrunk: {error}",))
    warnings = tuple(f"{name} of the shrink was left out: {why}" for name, why in shrunk.left_out.items())
    return ShrunkExport(shrunk.content, {"bytes_before": len(content), **facts(shrunk)}, warnings, shrunk.kept)


def facts(shrunk: Shrunk) -> dict[str, Any]:
    """What was done, as plain values: passes, left_out, notes, proof."""
    return {
        "passes": [{"name": result.name, "changes": result.changes, "bytes_saved": result.bytes_saved} for result in shrunk.passes],
        "left_out": shrunk.left_out,
        "notes": [note for result in shrunk.passes for note in result.notes],
        "proof": {name: value for name, value in asdict(shrunk.proof).items() if name != "mismatch"},
    }


def _read(path: Path) -> bytes:
    """The file's bytes."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: must be a .tflite file. Received: {(error.strerror or str(error)).lower()}.") from error


def _macs(content: bytes) -> int:
    return sum(operator.macs for operator in list_operators(parse(content)))


def _is_faster(first: bytes, second: bytes, progress: Progress) -> bool:
    """Whether the first file is clearly faster than the second on this machine; in doubt, and where either cannot be timed, no."""
    from edgecompress.file_race import race_files

    one, other = (entry.p50_ms for entry in race_files({"first": first, "second": second}, progress).values())
    return bool(one and other and one < CLEARLY_FASTER * other)


def shrink_table(found: Mapping[str, Any]) -> RenderableType:
    """The result of `shrink_file` for the terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for position, name in enumerate(("pass", "changes", "bytes saved")):
        table.add_column(name, justify="right" if position else "left")
    for result in found["passes"]:
        if result["changes"] or result["bytes_saved"]:
            table.add_row(result["name"], f"{result['changes']:,}" if result["changes"] else "", f"{result['bytes_saved']:,}")
    macs = f", {found['macs']:,} MACs instead of {found['macs_before']:,}" if found["macs"] != found["macs_before"] else ""
    title = f"{found['path']}: {found['bytes']:,} bytes instead of {found['bytes_before']:,} ({found['ratio']:.2f} times smaller){macs}"
    lines = [_proof_text(found["proof"]), *(f"Left out: {name}: {why}" for name, why in found["left_out"].items()), *found["notes"]]
    return Group(Text(title, style="bold"), table, *(Text(line) for line in lines))


def _proof_text(proof: Mapping[str, Any]) -> str:
    """What the comparison showed, in one sentence."""
    if not proof["runs"]:
        return f"Not run here, only the graphs were compared: {next(iter(proof['refused'].values()))}"
    where = " and ".join(f"{number} inputs under {family} kernels" for family, number in proof["runs"].items())
    difference = proof["largest_difference"]
    same = f"Outputs within {difference:.3g}" if difference else "Outputs bit-identical"
    refused = "".join(f"; {family} kernels refuse the file as it was" for family in proof["refused"])
    return f"{same} on {where}{refused}."

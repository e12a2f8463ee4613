"""`shrink`: a smaller .tflite that computes the same, proved before it counts."""

from dataclasses import dataclass

from edgecompress.errors import ModelError
from edgecompress.proof import Proof, Trials, prove
from edgecompress.tflite.shrink import DIET, PassResult, Settings, apply_passes, choose_passes
from edgecompress.tflite.shrink.sameness import same_graph


@dataclass(frozen=True)
class Shrunk:
    """A file and what was done to it.

    Attributes:
        content: the new bytes; the old ones where nothing could be saved.
        passes: what each pass did, in order.
        left_out: pass -> why its result did not count.
        proof: of the new bytes against the old ones.
    """

    content: bytes
    passes: list[PassResult]
    left_out: dict[str, str]
    proof: Proof


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
        small, results = apply_passes(content, names, settings)
        proof = prove(content, small, trials)
        if not proof.runs:
            small, results = _by_structure(content, names, settings, proof)
        if proof.mismatch is None:
            break
        guilty = _find_guilty(content, names, settings, trials)
        if guilty is None:
            raise ModelError(f"the .tflite file must stay the same when it is only written anew. Received: {proof.mismatch}.")
        names.remove(guilty)
        left_out[guilty] = proof.mismatch
    return Shrunk(small if len(small) < len(content) else content, results, left_out, proof)


def _by_structure(content: bytes, names: list[str], settings: Settings, proof: Proof) -> tuple[bytes, list[PassResult]]:
    """The diet alone, for a file that cannot run here."""
    if not proof.lacks_parts:
        raise ModelError(f"the model must run to be compared with the smaller one. Received: {next(iter(proof.refused.values()))}.")
    small, results = apply_passes(content, [name for name in names if name in DIET], settings)
    if not same_graph(content, small):
        raise ModelError("the graph of the .tflite file must stay the same. Received: another one; it is not written.")
    return small, results


def _find_guilty(content: bytes, names: list[str], settings: Settings, trials: Trials) -> str | None:
    """The first pass with which the outputs differ; None if they differ without any."""

    def fails(number: int) -> bool:
        return prove(content, apply_passes(content, names[:number], settings)[0], trials).mismatch is not None

    if fails(0):
        return None
    good, bad = 0, len(names)  # names[:good] is fine, names[:bad] is not
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if fails(middle) else (middle, bad)
    return names[bad - 1]

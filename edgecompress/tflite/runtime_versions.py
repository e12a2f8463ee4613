"""Which runtime a .tflite file needs, from the versions of its operators."""

import re
from dataclasses import dataclass

from edgecompress.errors import RecipeError
from edgecompress.tflite.model import Tflite
from edgecompress.tflite.operator_forms import find_form
from edgecompress.tflite.operator_versions import NEWEST_RELEASE, SINCE

# ai-edge-litert release -> the TensorFlow Lite whose operators it has at least. Measured: the releases 1.0.1, 1.2.0, 1.4.0, 2.0.2,
# 2.1.0 and 2.3.0 were asked to load every version of every operator. (1.0.1 lacks CAST 7 and STABLEHLO_AND, _CASE, _SHIFT_LEFT of 2.17.)
LITERT_RELEASES = (("1.0", "2.17"), ("1.2", "2.19"), ("2.0", "2.20"), ("2.3", "2.23"))

FIRST_RELEASE = "1.5"  # of TensorFlow Lite
RECORDED_BYTES = 16  # of the metadata entry min_runtime_version

_RUNTIME = re.compile(r"(ai-edge-litert|tflite-runtime|tensorflow)==(\d{1,4}(?:\.\d{1,4}){1,2})")


@dataclass(frozen=True)
class LeastRuntime:
    """The oldest runtime for a file.

    Attributes:
        version: of TensorFlow Lite, such as "2.17.0".
        unknown: operators whose release is not known, such as "CUSTOM:Sinh version 1". They may need more.
    """

    version: str
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        """For people and reports."""
        return f"unknown, at least {self.version} ({', '.join(self.unknown)})" if self.unknown else self.version


def least_runtime_version(tflite: Tflite) -> LeastRuntime:
    """The release of the newest operator that the file runs; at least what its own metadata says."""
    releases = _releases(tflite)
    known = [_recorded_version(tflite), *(since for since in releases.values() if since is not None)]
    unknown = tuple(f"{name} version {version}" for (name, version), since in releases.items() if since is None)
    return LeastRuntime(_text(max(known)), unknown)


def refuses(tflite: Tflite, runtime: str) -> list[str]:
    """The operators of a file that a runtime is too old for.

    A custom operator is not judged: whether it is there depends on how the runtime was built.

    Args:
        tflite: the file.
        runtime: such as "tflite-runtime==2.14.0", "ai-edge-litert==2.3.0" or "tensorflow==2.21.0".

    Returns:
        One phrase per operator, such as "FULLY_CONNECTED version 12 (since 2.17.0)"; [] when the runtime is new enough.

    Raises:
        RecipeError: a runtime of another form.
    """
    release = _tensorflow_release(runtime)
    too_new = []
    for (name, version), since in _releases(tflite).items():
        if since is not None and since > release:
            too_new.append(f"{name} version {version} (since {_text(since)})")
        elif since is None and not name.startswith("CUSTOM:") and release < _numbers(NEWEST_RELEASE):
            too_new.append(f"{name} version {version} (not known up to {NEWEST_RELEASE})")
    return too_new


def operator_versions(tflite: Tflite) -> list[tuple[str, int]]:
    """(name, version) of every kind of operator that the file runs, in order of first use."""
    used = dict.fromkeys(operator.code for subgraph in tflite.subgraphs for operator in subgraph.operators)
    return [(tflite.operator_codes[code].name, tflite.operator_codes[code].version) for code in used]


def _releases(tflite: Tflite) -> dict[tuple[str, int], tuple[int, ...] | None]:
    """(name, version) -> first release, None where it is not known, of every kind of operator that the file runs."""
    releases = {pair: _since(*pair) for pair in operator_versions(tflite)}
    for subgraph in tflite.subgraphs:
        for operator in subgraph.operators:
            code = tflite.operator_codes[operator.code]
            form, since = find_form(code.name, operator, subgraph), releases[code.name, code.version]
            if form is not None and since is not None:
                releases[code.name, code.version] = max(since, _numbers(form.since))
    return releases


def _since(name: str, version: int) -> tuple[int, ...] | None:
    """The first release with this version of an operator."""
    releases = SINCE.get(name, "").split()
    known = 1 <= version <= len(releases) and releases[version - 1] != "-"
    return _numbers(releases[version - 1]) if known else None


def _recorded_version(tflite: Tflite) -> tuple[int, ...]:
    """The release that the converter wrote into the metadata; the first one of all where it wrote none."""
    for name, buffer in tflite.metadata:
        if name == "min_runtime_version":
            text = tflite.buffers[buffer][:RECORDED_BYTES].tobytes().rstrip(b"\0").decode("ascii", errors="replace")
            if re.fullmatch(r"\d{1,4}(\.\d{1,4}){1,2}", text):
                return _numbers(text)
    return _numbers(FIRST_RELEASE)


def _tensorflow_release(runtime: str) -> tuple[int, ...]:
    """The TensorFlow Lite release that a runtime stands for."""
    match = _RUNTIME.fullmatch(runtime)
    if match is None:
        raise RecipeError(
            "target.runtime must be ai-edge-litert, tflite-runtime or tensorflow with ==VERSION, such as tflite-runtime==2.14.0. "
            f"Received: {runtime!r}."
        )
    package, version = match.groups()
    if package != "ai-edge-litert":
        return _numbers(version)
    reached = [tensorflow for litert, tensorflow in LITERT_RELEASES if _numbers(litert) <= _numbers(version)]
    return _numbers(reached[-1] if reached else LITERT_RELEASES[0][1])


def _numbers(version: str) -> tuple[int, ...]:
    """ "2.17" -> (2, 17, 0)."""
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

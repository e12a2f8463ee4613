"""Benchmark entries as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .operators import describe_operators
from .scaling import describe_scaling
from .sustained import describe_sustained

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLUMNS = (
    "model",
    "threads",
    "kernels",
    "runs",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "mean ms",
    "std ms",
    "first ms",
    "init ms",
    "peak MB",
    "trusted",
)


def format_entries(entries: Sequence[Mapping[str, Any]]) -> str:
    """A table with a line per entry, then the runtime and the processor, then what failed or is doubtful, each said once."""
    rows = [_COLUMNS, *map(_row, entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    cpu = entries[0]["cpu"]
    runtimes = sorted({f"{entry['runtime']} {entry['runtime_version']}" for entry in entries if entry["runtime"]})
    about = [*runtimes, cpu["model"] or "unknown processor", f"{cpu['cores']} cores", f"governor {cpu['governor'] or 'unknown'}"]
    notes = [f"{entry['model']}, threads {entry['threads']}: failed: {entry['error']}" for entry in entries if entry["error"]]
    doubts = [f"not trusted: {reason}" for entry in entries for reason in entry["distrust_reasons"]]
    minutes = [f"{entry['model']}, {describe_sustained(entry['sustained'])}" for entry in entries if entry.get("sustained")]
    closer = [f"{entry['model']}: {sentence}" for entry in entries for sentence in describe_closer(entry)]
    return "\n".join([*lines, "", ", ".join(about), *describe_scaling(entries), *closer, *minutes, *notes, *dict.fromkeys(doubts)])


def find_failures(entry: Mapping[str, Any]) -> list[str]:
    """What failed of an entry, in words: the model itself, its minutes without a pause, its right answers, its operators as a whole."""
    parts = (entry.get(key) or {} for key in ("sustained", "accuracy", "operators"))
    return [words for words in (entry["error"], *(part.get("error") for part in parts)) if words]


def describe_closer(entry: Mapping[str, Any]) -> list[str]:
    """Golden outputs, right answers and operators of an entry, a sentence each, where they were looked at."""
    found = []
    golden, accuracy = entry.get("golden"), entry.get("accuracy")
    if golden and entry["model"] not in ("plain", "baseline"):  # it is the final one that matters
        found.append(f"golden outputs of {golden['samples']} samples agree with those of the {golden['kernels']} kernels{_across(golden)}")
    if accuracy and "error" in accuracy:
        found.append(f"right answers could not be counted: {accuracy['error']}")
    elif accuracy:
        found.append(f"{accuracy['accuracy']:.2%} right of {accuracy['samples']} test samples, counted there")
    if entry.get("operators"):
        found.append(describe_operators(entry["operators"]))
    return found


def _across(golden: Mapping[str, Any]) -> str:
    """How near they are to the other family's."""
    across = golden["across"]
    if across is None:
        return ""
    is_equal = across.get("equal", across["snr_db"] is None)  # programs of earlier versions did not tell
    ratio = "bit for bit" if is_equal else "no SNR, for want of a signal" if across["snr_db"] is None else f"SNR {across['snr_db']:.1f} dB"
    alike = "" if across["agreement"] is None else f", the same decision on {across['agreement']:.1%}"
    return f"; against the {across['kernels']} kernels: {ratio}{alike}"


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of one entry; a dash stands for what is not known."""
    times = [entry[key] for key in ("p50_ms", "p95_ms", "p99_ms", "mean_ms", "std_ms", "first_ms", "init_ms")]
    peak_rss_kb = entry["peak_rss_kb"]
    return (
        entry["model"],
        str(entry["threads"]),
        entry["kernels"] or "-",
        str(entry["runs"]),
        *("-" if value is None else f"{value:.4f}" for value in times),
        "-" if peak_rss_kb is None else f"{peak_rss_kb / 1000:.1f}",
        "yes" if entry["trusted"] else "failed" if entry["error"] else "no",
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The first column to the left, the others to the right."""
    return [row[0].ljust(widths[0]), *(row[column].rjust(widths[column]) for column in range(1, len(widths)))]

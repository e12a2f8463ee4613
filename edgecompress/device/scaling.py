"""What more threads bring: the curve of a sweep, and the number that is fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def scaling(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], dict[int, float]]:
    """Per (host, model, kernels) that was measured with several numbers of threads: number to speed, relative to the smallest number."""
    medians: dict[tuple[str, str, str], dict[int, float]] = {}
    for entry in entries:
        if entry["p50_ms"]:
            medians.setdefault((entry["host"], entry["model"], entry["kernels"]), {})[entry["threads"]] = entry["p50_ms"]
    curves = {}
    for place, times in medians.items():
        if len(times) > 1:
            curves[place] = {threads: times[min(times)] / times[threads] for threads in sorted(times)}
    return curves


def describe_scaling(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence per curve, and one per model with the speed that XNNPACK brings."""
    lines = []
    for (host, model, kernels), curve in scaling(entries).items():
        best = max(curve, key=lambda threads: (curve[threads], -threads))
        steps = ", ".join(f"{threads}: {speed:.2f} times" for threads, speed in curve.items())
        lines.append(f"{model} on {host}, {kernels} kernels, speed by threads: {steps}; {best} {'is' if best == 1 else 'are'} best")
    return lines + [
        f"{model} on {host}, threads {threads}: XNNPACK makes it {speed:.2f} times as fast"
        for (host, model, threads), speed in xnnpack_speed(entries).items()
    ]


def xnnpack_speed(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], float]:
    """Per (host, model, threads) that was measured with both kernel families: p50 of builtin / p50 of xnnpack."""
    medians: dict[tuple[str, str, int], dict[str, float]] = {}
    for entry in entries:
        if entry["p50_ms"] and entry.get("delegate") is None:
            medians.setdefault((entry["host"], entry["model"], entry["threads"]), {})[entry["kernels"]] = entry["p50_ms"]
    return {place: times["builtin"] / times["xnnpack"] for place, times in medians.items() if len(times) == 2}

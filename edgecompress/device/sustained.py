"""Latency over minutes: a board that warms up slows down, and what the first seconds show is not what it keeps."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .child import Child
from .fault import DeviceFault
from .machine import is_throttled, take_snapshot
from .power import PowerMeter, energy, find_meter, idle_power_w
from .timing import SLACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .runtime import Kernels

_WINDOW_S = 5.0
_IDLE_S, _IDLE_SHARE = 3.0, 0.05  # at least so long, and so much of the whole: an external meter may read once a second


def measure_sustained(
    model: str, golden: str | None, *, threads: int, kernels: Kernels = "xnnpack", minutes: float, timeout_s: float,
    on_progress: Callable[[int, int, str], None] | None,
) -> dict[str, Any]:  # fmt: skip
    """Runs a model without a pause, and looks at the machine after every window of about 5 seconds.

    Args:
        model, golden: Paths; the first golden sample is what it runs on.
        threads: Of the runtime.
        kernels: As in `benchmark_models`.
        minutes: How long.
        timeout_s: For loading and warming up, and for each window, beside what its runs need.
        on_progress: Called with (windows done, windows in all, what is done).

    Returns:
        minutes, threads, windows[]{at_s, invokes, p50_ms, max_ms, temperature_celsius, frequency_khz, throttled}, and `slowdown`: p50 of
        the last window / p50 of the first, `energy` (see `power`), and for a meter beside the machine `idle_unix_s`, `busy_unix_s`: from
        when to when it did nothing, and ran the model, in seconds since 1970. Or `error` alone.
    """
    windows: list[dict[str, Any]] = []
    name, file = find_meter() or (None, None)
    if on_progress is not None:
        on_progress(0, 1, "doing nothing, to know the power of that")
    idle_from, idle_w = time.time(), _rest(file, max(_IDLE_S, minutes * 60 * _IDLE_SHARE))
    idle_until = time.time()
    job = {"job": "benchmark", "model": model, "golden": golden, "threads": threads, "kernels": kernels}
    num_windows = max(1, round(minutes * 60 / _WINDOW_S))
    try:
        with Child(job, timeout_s=timeout_s) as child, contextlib.ExitStack() as sampling:
            invoke_ms = max(child.receive()["first_ms"], 1e-3)
            child.send({"step": "warm_up"})
            child.receive()
            meter = None if file is None else sampling.enter_context(PowerMeter(file))
            busy_from = time.time()
            start, invokes = time.monotonic(), max(1, int(_WINDOW_S / 10 * 1e3 / invoke_ms))
            while not windows or time.monotonic() - start < minutes * 60:
                if on_progress is not None:
                    on_progress(min(len(windows), num_windows), num_windows, f"{minutes:g} minutes without a pause")
                child.send({"step": "go_on", "runs": invokes})
                answer = child.receive(more_s=SLACK * invokes * invoke_ms / 1e3)
                windows.append(_window(np.array(answer["durations_ns"]) / 1e6, time.monotonic() - start))
                invoke_ms = windows[-1]["mean_ms"]
                invokes = max(1, int(_WINDOW_S * 1e3 / invoke_ms))
            busy_until = time.time()
            seconds, busy_w = time.monotonic() - start, None if meter is None else meter.mean_w()
            child.send({"step": "finish"})
            child.receive()
            child.finish()
    except DeviceFault as fault:
        return {"error": fault.reason}
    return {
        "minutes": minutes, "threads": threads, "windows": windows, "slowdown": windows[-1]["p50_ms"] / windows[0]["p50_ms"],
        "energy": energy(name, idle_w, busy_w, seconds, sum(window["invokes"] for window in windows)),
        "idle_unix_s": [idle_from, idle_until], "busy_unix_s": [busy_from, busy_until],
    }  # fmt: skip


def _rest(file: Path | None, seconds: float) -> float | None:
    """Does nothing; the mean power meanwhile, where there is a meter."""
    if file is not None:
        return idle_power_w(file, seconds)
    time.sleep(seconds)
    return None


def _window(times_ms: np.ndarray, at_s: float) -> dict[str, Any]:
    """The times of one window, and the machine at its end."""
    now = take_snapshot()
    return {
        "at_s": round(at_s, 3),
        "invokes": times_ms.size,
        "p50_ms": float(np.median(times_ms)),
        "mean_ms": float(times_ms.mean()),
        "max_ms": float(times_ms.max()),
        "temperature_celsius": now.temperature_celsius,
        "frequency_khz": now.frequency_khz,
        "throttled": is_throttled(now, now),
    }


def describe_sustained(found: dict[str, Any]) -> str:
    """One sentence."""
    if "error" in found:
        return f"sustained: failed: {found['error']}"
    first, last = found["windows"][0], found["windows"][-1]
    text = f"{found['minutes']:g} minutes without a pause: p50 {first['p50_ms']:.4f} ms at first, {last['p50_ms']:.4f} ms at the end"
    if first["temperature_celsius"] is not None and last["temperature_celsius"] is not None:
        text += f", {first['temperature_celsius']:.0f} to {last['temperature_celsius']:.0f} degrees Celsius"
    used = found["energy"]
    return text + (f", {used['mj_per_invoke']:.4g} mJ an invoke ({used['meter']})" if used["measured"] else ", energy not measured")

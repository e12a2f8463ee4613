"""The card of a bundle: what somebody who gets the .zip alone must know, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgecompress.report.schema import Report
from edgecompress.report.summary import metrics_on_test, scalar_metrics
from edgecompress.report.words import metric_text, metric_title


def card(report: Report, manifest: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        report: of the run.
        manifest: of the run.
    """
    artifact, target = report.artifact, (manifest.get("target") or {}).get("device")
    arena = "unknown" if artifact.arena_bytes is None else f"{artifact.arena_bytes:,} bytes"
    lines = [
        f"# {report.name}", "",
        f"Made by edgecompress {report.edgecompress_version}, {report.started_at[:10]}, from {report.data.source} data.", "",
        *([f"Meant for {target}.", ""] if target else []),
        "| file | bytes | " + " | ".join(map(metric_title, _metrics(report, "final"))) + " |",
        "|---|---|" + "---|" * len(_metrics(report, "final")),
        _row(report, "final", "model.tflite", artifact.bytes),
        _row(report, "plain", "plain.tflite: the converter alone", artifact.plain_bytes),
        _row(report, "baseline", "baseline.tflite: float32", artifact.baseline_bytes), "",
        f"Accuracy and the like: of these files, on {report.data.num_test:,} test samples.",
        f"Tensors in use take {arena} at a time.", "",
        "## In and out", "",
        *(f"- {kind} `{tensor.name}`: {tensor.dtype} {tensor.shape}{_scale(tensor)}"
          for kind, tensors in (("input", artifact.inputs), ("output", artifact.outputs)) for tensor in tensors),
        "- preprocessing, labels and scales: manifest.json", "",
        "## Operators", "",
        ", ".join(f"{name} x{number}" for name, number in sorted(artifact.ops.items())), "",
        f"Oldest runtime that has them: TensorFlow Lite {artifact.min_runtime_version or 'unknown'}.", "",
        "## Use", "",
        "    python3 benchmark_device.pyz doctor      # what this machine lacks, and the command that mends it",
        "    python3 predict.py image.png",
        "    python3 benchmark_device.pyz             # checks the files, measures, writes device.json", "",
        "## Known limits", "",
        *(f"- {warning}" for warning in report.warnings),
        "- The figures hold for data like the test split. Latency is what device.json says, not what another machine showed.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _metrics(report: Report, model: str) -> dict[str, float | None]:
    """The test metrics of a file."""
    return dict(scalar_metrics(metrics_on_test(report, model, "tflite")))


def _row(report: Report, model: str, words: str, size: int) -> str:
    """A row of the table of files."""
    metrics = _metrics(report, model)
    return f"| {words} | {size:,} | " + " | ".join(metric_text(name, metrics.get(name)) for name in _metrics(report, "final")) + " |"


def _scale(tensor: Any) -> str:
    """How the integers of a tensor stand for real numbers."""
    return "" if tensor.scale is None else f", real = {tensor.scale:.6g} * (q - {tensor.zero_point})"

"""The answer first: headline numbers, the three models side by side, goals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from edgecompress.report.document import Block, Card, Cell, Table, make_table
from edgecompress.report.latency import MODELS, first_entry, speedup
from edgecompress.report.schema import BenchmarkEntry, GoalResult, Report
from edgecompress.report.words import (
    NOT_KNOWN,
    bytes_text,
    date_text,
    drop_text,
    interval_text,
    metric_text,
    metric_title,
    ms_text,
    noise_text,
    number_text,
    ratio_text,
    seconds_text,
    threads_text,
    verdict_sentence,
)

GOAL_LABELS = {"macs": "MACs", "peak_rss": "peak memory"}


def byline(report: Report, made_by: str) -> list[str]:
    """The head of a report.

    Args:
        report: the run.
        made_by: stands before the version.
    """
    device = recipe_text(report, "target", "device")
    return [
        *([f"meant for {device}"] if device else []),
        date_text(report.started_at),
        f"took {seconds_text(report.seconds)}",
        f"seed {report.seed}",
        f"{made_by} {report.edgecompress_version}",
    ]


def recipe_text(report: Report, section: str, field: str) -> str:
    """A field of the recipe that ran; "" where it sets none, as recipes of earlier versions may."""
    values = report.recipe.get(section)
    value = values.get(field) if isinstance(values, dict) else None
    return "" if value is None else str(value)


def cards(report: Report) -> list[Card]:
    """Size, quality, speed and goals, each in one number."""
    return [*_size_card(report), *_quality_card(report), *_speed_card(report), *_goals_card(report)]


def _size_card(report: Report) -> Iterator[Card]:
    artifact = report.artifact
    detail = f"{bytes_text(artifact.baseline_bytes)} → {bytes_text(artifact.bytes)}, the file that runs"
    if artifact.ratio >= 1:
        yield Card("Size", f"{ratio_text(artifact.ratio)} smaller", detail)
    else:
        yield Card("Size", f"{ratio_text(1 / artifact.ratio)} larger", detail, "bad")


def _quality_card(report: Report) -> Iterator[Card]:
    verdict = report.verdict
    if verdict is None:
        return
    values = f"{metric_text(verdict.metric, verdict.test.baseline)} → {metric_text(verdict.metric, verdict.test.final)} on the test split"
    detail = ", ".join(part for part in (values, interval_text(verdict), noise_text(verdict)) if part)
    yield Card(metric_title(verdict.metric), drop_text(verdict), detail)


def _speed_card(report: Report) -> Iterator[Card]:
    found = speedup(report)
    if found is None:
        return
    place = f"{threads_text(found.final.threads)}, {found.final.host}"
    detail = f"p50 {ms_text(found.baseline.p50_ms)} → {ms_text(found.final.p50_ms)} ms, {place}"
    if found.baseline.kernels != found.final.kernels:
        detail += f"; {found.baseline.kernels} → {found.final.kernels} kernels"
    if found.distrust_reasons:
        detail += f"; not trusted: {found.distrust_reasons[0]}"
    if not found.distinguishable:
        yield Card("Latency", "no clear difference", f"{detail}; the intervals of both overlap")
    elif found.factor >= 1:
        yield Card("Latency", f"{ratio_text(found.factor)} faster", detail)
    else:
        yield Card("Latency", f"{ratio_text(1 / found.factor)} slower", detail, "bad")


def _goals_card(report: Report) -> Iterator[Card]:
    if not report.goals:
        return
    missed = [goal for goal in report.goals if not goal.met]
    detail = "; ".join(goal_text(report, goal) for goal in missed or report.goals)
    yield Card("Goals", f"{len(report.goals) - len(missed)} of {len(report.goals)} met", detail, "bad" if missed else "good")


def goal_values(report: Report, goal: GoalResult) -> tuple[str, str]:
    """Limit and value of a goal in the unit that its name ends with."""

    def text(value: float | None) -> str:
        if value is None:
            return "not measured"
        if goal.name == "metric_drop" and report.verdict is not None:
            unsigned = metric_text(report.verdict.metric, value)
            return unsigned.replace("%", "points")
        if goal.name.endswith("_ms"):
            return f"{ms_text(value)} ms"
        return f"{number_text(value)} kB" if goal.name.endswith("_kb") else number_text(value)

    return text(goal.limit), text(goal.value)


def goal_text(report: Report, goal: GoalResult) -> str:
    """`size 57.1 kB, limit 60 kB`."""
    limit, value = goal_values(report, goal)
    return f"{goal_label(goal)} {value}, limit {limit}"


def goal_label(goal: GoalResult) -> str:
    """The goal's name without its unit: `p95_ms` as "p95"."""
    name = goal.name.removesuffix("_kb").removesuffix("_ms")
    return GOAL_LABELS.get(name, name.replace("_", " "))


def goals_table(report: Report) -> Table:
    """Every goal with its limit, what was measured and whether it is met."""
    rows = []
    for goal in report.goals:
        limit, value = goal_values(report, goal)
        rows.append((goal_label(goal), limit, value, Cell("met", "good") if goal.met else Cell("missed", "bad")))
    return make_table(("Goal", ">Limit", ">Measured", ""), rows, title="Goals")


def model_title(report: Report, model: str) -> str:
    """`plain` as "Plain converter (int8)"."""
    words = {
        "baseline": "Baseline (float32)",
        "plain": f"Plain converter ({report.artifact.format})",
        "final": f"Final ({report.artifact.format})",
        "edgetpu": "Final, compiled for the Edge TPU",
    }
    return words.get(model, model)


def file_bytes(report: Report, model: str) -> int:
    """Size of one of the three .tflite files."""
    artifact = report.artifact
    return {"baseline": artifact.baseline_bytes, "plain": artifact.plain_bytes, "final": artifact.bytes}[model]


def scalar_metrics(metrics: dict[str, Any]) -> dict[str, float | None]:
    """The metrics that are one number, the first metric first."""
    return {name: value for name, value in metrics.items() if value is None or isinstance(value, int | float)}


def metrics_on_test(report: Report, model: str, kind: str) -> dict[str, Any]:
    """Test metrics of `model` as Keras model or .tflite (`kind`); empty where it was not evaluated."""
    metrics = cast(dict[str, dict[str, dict[str, Any]]], report.metrics)
    return metrics.get(model, {}).get(kind, {})


def side_by_side(report: Report) -> Table:
    """Baseline, plain converter and final: metrics, bytes, latency; the kernels too, where they did not run on the same."""
    names = list(dict.fromkeys(name for model in MODELS for name in scalar_metrics(metrics_on_test(report, model, "tflite"))))
    first = names[0] if names else (report.verdict.metric if report.verdict else "")
    rows = []
    for model in MODELS:
        tflite, in_keras = metrics_on_test(report, model, "tflite"), metrics_on_test(report, model, "keras")
        number, entry = file_bytes(report, model), first_entry(report, model)
        rows.append([
            model_title(report, model),
            *(metric_text(name, tflite.get(name)) for name in names),
            bytes_text(number),
            ratio_text(report.artifact.baseline_bytes / number) if number else NOT_KNOWN,
            ms_text(entry.p50_ms if entry else None),
            ms_text(entry.p95_ms if entry else None),
            _faster(first_entry(report, "baseline"), entry),
            metric_text(first, in_keras.get(first)),
        ])  # fmt: skip
    titles = [f">{metric_title(name)}" for name in names]
    columns = ["Model", *titles, ">File", ">Smaller", ">p50 ms", ">p95 ms", ">Faster", f">{metric_title(first)} in Keras"]
    ran_on = [entry.kernels if (entry := first_entry(report, model)) else None for model in MODELS]
    if len(set(filter(None, ran_on))) > 1:
        columns, rows = [*columns, "Kernels"], [[*row, kernels or NOT_KNOWN] for row, kernels in zip(rows, ran_on, strict=True)]
    return make_table(columns, rows)


def _faster(baseline: BenchmarkEntry | None, entry: BenchmarkEntry | None) -> str:
    """How many times faster than the baseline, by p50."""
    if baseline is None or entry is None or not baseline.p50_ms or not entry.p50_ms:
        return NOT_KNOWN
    return ratio_text(baseline.p50_ms / entry.p50_ms)


def _plain_sentence(report: Report) -> str:
    """What the plain file is, and what makes the final one differ from it."""
    ranges = recipe_text(report, "export", "ranges")
    work = ["the stages"] if len(report.stages) > 1 else []
    work += [f"the ranges of activations ({ranges}; the plain file has min_max)"] if ranges not in ("", "min_max") else []
    work += ["the lossless shrink"] if report.artifact.shrink else []
    listed = " and ".join(filter(None, (", ".join(work[:-1]), *work[-1:])))
    differs = f"the difference between its row and the last one is what {listed} did" if work else "here that is the final file too"
    return f"The plain converter gives the baseline in the format {report.artifact.format} without any stage: {differs}."


def comparison_block(report: Report) -> Block:
    """The three models side by side, with the verdict in a sentence."""
    sentences = [] if report.verdict is None else [verdict_sentence(report.verdict)]
    sentences.append("All metrics are of the test split, which was looked at once, at the end.")
    sentences.append(_plain_sentence(report))
    table = side_by_side(report)
    return Block("models", "Baseline, plain converter, final", tuple(sentences), plots=("tradeoff", "latency"), tables=(table,))

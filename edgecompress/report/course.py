"""The way from the baseline to the final file: stages, keeps, layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgecompress.report.document import Block, Cell, Table, make_table
from edgecompress.report.schema import LayerReport, Report, StageReport
from edgecompress.report.words import (
    NOT_KNOWN,
    bytes_text,
    count_text,
    difference_text,
    metric_label,
    metric_text,
    percent_text,
    seconds_text,
    short_count_text,
)


def stage_label(stage: StageReport) -> str:
    """`02 prune_weights`, or `02 cut` for a stage with an id."""
    return f"{stage.index:02d} {stage.id or stage.technique}"


def deciding_metric(report: Report) -> str | None:
    """The first metric, by which validation decides."""
    if report.verdict is not None:
        return report.verdict.metric
    return next(iter(validation_metrics(report.stages[0])), None)


def validation_metrics(stage: StageReport) -> dict[str, Any]:
    """Metrics of a stage's model on the validation split."""
    return dict(stage.metrics.get("validation") or {})


def course_blocks(report: Report) -> Iterator[Block]:
    """Stages, keeps and layers, those that have something to say."""
    yield _stages_block(report)
    if any(stage.keeps for stage in report.stages):
        yield _keeps_block(report)
    if report.layer_bytes or any(stage.layers for stage in report.stages):
        yield _layers_block(report)


def stages_table(report: Report) -> Table:
    """One row per stage, measured after it, and one for the export."""
    metric = deciding_metric(report)
    rows: list[list[str | Cell]] = []
    previous: float | None = None
    for stage in report.stages:
        value = validation_metrics(stage).get(metric or "")
        change = None if value is None or previous is None else value - previous
        rows.append([
            stage_label(stage), stage.technique if stage.id not in (None, stage.technique) else NOT_KNOWN,
            count_text(stage.parameters), percent_text(1 - stage.nonzero_parameters / stage.parameters) if stage.parameters else NOT_KNOWN,
            short_count_text(stage.macs), bytes_text(stage.bytes_float32),
            metric_text(metric or "", value), difference_text(metric or "", change),
            seconds_text(stage.seconds), _state(stage),
        ])  # fmt: skip
        previous = value if value is not None else previous
    final = report.verdict.validation.get("final") if report.verdict else None
    change = None if final is None or previous is None else final - previous
    rows.append([
        f"export {report.artifact.format}", NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, bytes_text(report.artifact.bytes),
        metric_text(metric or "", final), difference_text(metric or "", change), NOT_KNOWN, "",
    ])  # fmt: skip
    label = f">{metric_label(metric).capitalize()}, validation" if metric else ">Metric"
    return make_table(("Stage", "Technique", ">Parameters", ">Zeros", ">MACs", ">Bytes", label, ">Change", ">Time", "State"), rows)


def _state(stage: StageReport) -> Cell:
    if stage.status == "no_op":
        return Cell("no-op", "quiet")
    return Cell("from cache", "quiet") if stage.cached else Cell("")


def stage_notes(report: Report) -> list[str]:
    """Why stages did nothing, and what they had to break: one sentence each."""
    notes = []
    for stage in report.stages:
        notes += [f"{stage_label(stage)} left the model as it was: {reason}" for reason in stage.reasons]
        notes += [f"{stage_label(stage)} released a keep: {sentence}" for sentence in stage.released]
    return notes


def _stages_block(report: Report) -> Block:
    first = (
        "Each row is measured after its stage, on the validation split. Bytes of a stage are its parameters as float32; "
        "those of the export are the file's."
    )
    plots = ("stage_parameters", "stage_bytes", "stage_metric", "training_loss", "training_metric")
    return Block("stages", "Stages", (first, *stage_notes(report)), plots, (stages_table(report),))


def _keeps_block(report: Report) -> Block:
    """What later stages had to hold, measured again at the end."""
    rows = []
    for stage in report.stages:
        for keep in stage.keeps:
            held = Cell("held", "good") if keep.held else Cell("broken", "bad")
            rows.append(
                (
                    keep.layer,
                    stage_label(stage),
                    keep.what,
                    keep_measure(keep.kind, keep.on_model),
                    keep_measure(keep.kind, keep.on_tflite),
                    held,
                )
            )
    sentence = "What a stage achieved and later stages must not undo, measured again on the last Keras model and on the final .tflite."
    return Block(
        "keeps", "Keeps", (sentence,), (), (make_table(("Layer", "Made by", "Promise", ">In Keras", ">In the .tflite", ""), rows),)
    )


def keep_measure(kind: str, measured: Any) -> str:
    """A mask is measured by its fraction of zeros, centroids by the most distinct values in one output channel."""
    if measured is None:
        return "not found"
    if isinstance(measured, bool) or not isinstance(measured, int | float):
        return str(measured)
    return f"{percent_text(measured)} zeros" if kind == "mask" else f"{measured:g} values"


def _layers_block(report: Report) -> Block:
    tables = tuple(_layer_table(stage) for stage in report.stages if stage.layers)
    return Block("layers", "Layers", (), ("layer_bytes",), tables)


def _layer_table(stage: StageReport) -> Table:
    """What one stage did to each layer; folded away."""
    rows = [(layer.name, layer.type, Cell(layer.action, "plain" if layer.action == "changed" else "quiet"), *_facts(layer), layer.reason)
            for layer in stage.layers]  # fmt: skip
    num_changed = sum(layer.action == "changed" for layer in stage.layers)
    title = f"{stage_label(stage)}: {num_changed} changed, {len(rows) - num_changed} skipped"
    return make_table(("Layer", "Type", "Action", "Before → after", "Why"), rows, title=title, collapsed=True)


def _facts(layer: LayerReport) -> tuple[str]:
    """`sparsity 0 → 0.6, distinct values 871 → 16`."""
    parts = []
    for name in dict.fromkeys([*layer.before, *layer.after]):
        before, after = (_fact(facts.get(name)) for facts in (layer.before, layer.after))
        parts.append(f"{name.replace('_', ' ')} {before if before == after else f'{before} → {after}'}")
    return (", ".join(parts),)


def _fact(value: Any) -> str:
    if value is None:
        return NOT_KNOWN
    if isinstance(value, int) and not isinstance(value, bool):
        return count_text(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)

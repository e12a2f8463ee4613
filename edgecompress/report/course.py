"""The way from the baseline to the final file: stages, keeps, layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edgecompress.report.document import Block, Cell, Table, make_table
from edgecompress.report.schema import KeepReport, LayerReport, Report, StageReport
from edgecompress.report.sensitivity import sensitivity_block, sensitivity_key
from edgecompress.report.words import (
    NOT_KNOWN,
    bytes_text,
    closed,
    count_text,
    difference_text,
    difference_unit,
    metric_text,
    metric_title,
    percent_text,
    seconds_text,
    short_count_text,
)

MOST_KEEPS_SHOWN = 8


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


def final_on_validation(report: Report) -> float | None:
    """The deciding metric of the final .tflite on the validation split."""
    return report.verdict.validation.get("final") if report.verdict else None


def course_blocks(report: Report) -> Iterator[Block]:
    """Stages, keeps and layers, those that have something to say."""
    yield _stages_block(report)
    for stage in report.stages:
        if stage.sensitivity is not None:
            yield sensitivity_block(sensitivity_key(stage), f"Sensitivity before {stage_label(stage)}", stage.sensitivity)
    if report.stages[-1].keeps:
        yield _keeps_block(report)
    if report.layer_bytes or any(stage.layers for stage in report.stages):
        yield _layers_block(report)


def stages_table(report: Report) -> Table:
    """One row per stage, measured after it, and one for the export."""
    metric = deciding_metric(report) or ""
    rows: list[list[str | Cell]] = []
    before: float | None = None
    for stage in report.stages:
        value = validation_metrics(stage).get(metric)
        title = stage_label(stage) if stage.id in (None, stage.technique) else f"{stage_label(stage)} ({stage.technique})"
        zeros = percent_text(1 - stage.nonzero_parameters / stage.parameters) if stage.parameters else NOT_KNOWN
        rows.append([
            title, count_text(stage.parameters), zeros, short_count_text(stage.macs), bytes_text(stage.bytes_float32),
            metric_text(metric, value), _change(metric, before, value), seconds_text(stage.seconds), _state(stage),
        ])  # fmt: skip
        before = before if value is None else value
    final = final_on_validation(report)
    title, size = f"export {report.artifact.format}", bytes_text(report.artifact.bytes)
    last = ("", "") if final is None else (metric_text(metric, final), _change(metric, before, final))
    rows.append([title, "", "", "", size, *last, "", ""])
    label = f">{metric_title(metric)}, validation" if metric else ">Metric"
    change = f">Change{difference_unit(metric)}"
    return make_table(("Stage", ">Parameters", ">Zeros", ">MACs", ">Bytes", label, change, ">Time", "State"), rows)


def _change(metric: str, before: float | None, value: float | None) -> str:
    """The signed step from the stage before; nothing for the first."""
    return "" if value is None or before is None else difference_text(metric, value - before)


def _state(stage: StageReport) -> Cell:
    if stage.status == "no_op":
        return Cell("no-op", "quiet")
    return Cell("from cache", "quiet") if stage.cached else Cell("")


def stage_notes(report: Report) -> list[str]:
    """Why stages did nothing, what they had to break, and what else they say: one sentence each."""
    notes = []
    for stage in report.stages:
        notes += [f"{stage_label(stage)} left the model as it was: {reason}" for reason in stage.reasons]
        notes += [f"{stage_label(stage)} released a keep: {sentence}" for sentence in stage.released]
        notes += [f"{stage_label(stage)}: {sentence}" for sentence in stage.notes]
    return notes


def _stages_block(report: Report) -> Block:
    first = (
        "Each row is measured after its stage, on the validation split. Bytes of a stage are its parameters as float32; "
        "those of the export are the file's."
    )
    small_plots = ("stage_parameters", "stage_bytes", "stage_metric")
    plots = ("training_loss", "training_metric", "training_addends")
    return Block("stages", "Stages", (first, *map(closed, stage_notes(report))), small_plots, plots, (stages_table(report),))


def _keeps_block(report: Report) -> Block:
    """What later stages had to hold, measured again at the end. Many that held are folded away, broken ones never."""
    keeps = [(_maker(report, keep), keep) for keep in report.stages[-1].keeps]
    broken = [(stage, keep) for stage, keep in keeps if not keep.held]
    verdict = f"{len(keeps) - len(broken)} of {len(keeps)} held."
    sentences = ["What a stage achieved and later stages must not undo, measured again on the last Keras model and on the final .tflite."]
    if _num_channels_shrunk(report):
        sentences.append("The lossless shrink took channels out of it: zeros that went with them are counted no more.")
    tables = [_keeps_table(broken, "Broken keeps")] if broken else []
    tables.append(_keeps_table(keeps, "All keeps", collapsed=len(keeps) > MOST_KEEPS_SHOWN))
    return Block("keeps", "Keeps", (*sentences, verdict), tables=tuple(tables))


def _maker(report: Report, keep: KeepReport) -> StageReport:
    """The stage since which a keep is in force: each reports all that are in force after it."""
    maker = report.stages[-1]
    for stage in reversed(report.stages):
        if not any((one.layer, one.kind) == (keep.layer, keep.kind) for one in stage.keeps):
            break
        maker = stage
    return maker


def _num_channels_shrunk(report: Report) -> int:
    """Channels that are in the converter's file and not in the final one."""
    passes = report.artifact.shrink.passes if report.artifact.shrink else []
    return sum(one["changes"] for one in passes if one["name"] in ("remove_dead_channels", "merge_duplicate_channels"))


def _keeps_table(keeps: Sequence[tuple[StageReport, KeepReport]], title: str, *, collapsed: bool = False) -> Table:
    rows = []
    for stage, keep in keeps:
        held = Cell("held", "good") if keep.held else Cell("broken", "bad")
        measured = (keep_measure(keep.kind, keep.on_model), keep_measure(keep.kind, keep.on_tflite))
        rows.append((keep.layer, stage_label(stage), keep.what, *measured, held))
    return make_table(("Layer", "Since", "Promise", ">In Keras", ">In the .tflite", ""), rows, title=title, collapsed=collapsed)


def keep_measure(kind: str, measured: Any) -> str:
    """A mask is measured by its fraction of zeros, centroids by the most distinct values in one output channel."""
    if measured is None:
        return "not found"
    if isinstance(measured, bool) or not isinstance(measured, int | float):
        return str(measured)
    return f"{percent_text(measured)} zeros" if kind == "mask" else f"{measured:g} values"


def _layers_block(report: Report) -> Block:
    tables = tuple(_layer_table(stage) for stage in report.stages if stage.layers)
    return Block("layers", "Layers", plots=("layer_bytes",), tables=tables)


def _layer_table(stage: StageReport) -> Table:
    """What one stage did to each layer; folded away."""
    rows = []
    for layer in stage.layers:
        action = Cell(layer.action, "plain" if layer.action == "changed" else "quiet")
        rows.append((layer.name, layer.type, action, _facts(layer), layer.reason))
    num_changed = sum(layer.action == "changed" for layer in stage.layers)
    title = f"{stage_label(stage)}: {num_changed} changed, {len(rows) - num_changed} skipped"
    return make_table(("Layer", "Type", "Action", "Before → after", "Why"), rows, title=title, collapsed=True)


def _facts(layer: LayerReport) -> str:
    """`sparsity 0 → 0.6, distinct values 871 → 16`; one value where it did not change or was not known before."""
    parts = []
    for name in dict.fromkeys([*layer.before, *layer.after]):
        values = dict.fromkeys(_fact(facts[name]) for facts in (layer.before, layer.after) if facts.get(name) is not None)
        parts.append(f"{name.replace('_', ' ')} {' → '.join(values)}")
    return ", ".join(parts)


def _fact(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return count_text(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)

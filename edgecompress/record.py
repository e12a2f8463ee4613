"""A stage as measured and as stored: what the run folder keeps of it, and what the report says of it."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.layers import describe_layers, total
from edgecompress.keeps import Keep, find_variable
from edgecompress.models import load_model, save_model
from edgecompress.report.schema import KeepReport, StageReport
from edgecompress.stage import StageResult
from edgecompress.store import StageFolder, write_atomic


def stage_report(
    index: int, technique: str, identifier: str | None, result: StageResult, validation: dict[str, Any], seconds: float
) -> StageReport:
    """Measures the model that a stage left; nothing is taken from what the stage says of itself."""
    totals = total(describe_layers(result.model))
    untouched = bool(result.layers) and all(layer.action == "skipped" for layer in result.layers)
    return StageReport.model_validate({
        "index": index, "id": identifier, "technique": technique, "status": "no_op" if untouched else "done", "seconds": seconds,
        "parameters": totals.parameters, "nonzero_parameters": totals.nonzero_parameters,
        "macs": totals.macs if totals.macs_known else None, "bytes_float32": totals.bytes_float32,
        "metrics": {"validation": validation}, "layers": [asdict(layer) for layer in result.layers],
        "keeps": [keep.model_dump() for keep in keep_reports(result.model, result.keeps)],
        "training": result.training, "released": list(result.released), "notes": list(result.notes),
        "sensitivity": None if result.sensitivity is None else result.sensitivity.to_dict(),
        "reasons": sorted({layer.reason for layer in result.layers}) if untouched else [],
    })  # fmt: skip


def keep_reports(model: keras.Model, keeps: Sequence[Keep]) -> list[KeepReport]:
    """Each keep, measured on the Keras model."""
    reports = []
    for keep in keeps:
        variable = find_variable(model, keep.layer, keep.weight)
        kernel = variable.numpy() if variable is not None else None
        reports.append(KeepReport(
            layer=keep.layer, kind=keep.kind, what=keep.describe(), held=kernel is not None and keep.held(kernel),
            on_model=None if kernel is None else keep.measure(kernel),
        ))  # fmt: skip
    return reports


def save_stage(folder: StageFolder, result: StageResult, report: StageReport) -> None:
    """Stores model, keeps and record; the stage counts as finished from here on."""
    save_model(result.model, folder.partial / "model.h5")
    write_atomic(folder.partial / "keeps.npz", keeps_file(result.keeps))
    folder.commit({"report": report.model_dump(mode="json")})


def load_stage(folder: StageFolder, *, allow_code: bool) -> tuple[StageReport, keras.Model, tuple[Keep, ...]] | None:
    """What an earlier call left of a stage; None if it did not finish it, or if a file is damaged: then it is done again."""
    record = folder.finished()
    if record is None:
        return None
    try:
        model = load_model(folder.final / "model.h5", allow_code=allow_code)
        keeps = read_keeps(folder.final / "keeps.npz")
        return StageReport.model_validate(record["report"] | {"cached": True}), model, keeps
    except (ModelError, OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def keeps_file(keeps: Sequence[Keep]) -> bytes:
    """Keeps as the bytes of an .npz."""
    arrays = {f"{keep.kind}|{keep.weight}|{keep.channel_axis}|{keep.layer}": keep.values for keep in keeps}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # numpy's stub misses **arrays
    return content.getvalue()


def read_keeps(path: Path) -> tuple[Keep, ...]:
    """Keeps from such a file."""
    with np.load(path, allow_pickle=False) as file:
        return tuple(_keep(name, values) for name, values in file.items())


def _keep(name: str, values: Any) -> Keep:
    """A keep from its name in the archive. Layer names may hold any character, so they stand last."""
    kind, weight, channel_axis, layer = name.split("|", 3)
    return Keep(kind, layer, weight, values, int(channel_axis))  # type: ignore[arg-type]  # kind was checked when it was made

"""What a bundle holds, made from a run folder or from one .tflite. Its format is described in `device.bundle`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecompress import device
from edgecompress.benchmarking import EDGE_TPU_FILE, GOLDEN_FILES, RUN_FILES
from edgecompress.bundle.archive import archive
from edgecompress.bundle.card import card
from edgecompress.bundle.operators import OPERATORS, operators_archive
from edgecompress.bundle.samples import SAMPLES, draw_samples
from edgecompress.device.bundle import FORMAT, MANIFEST_FILE
from edgecompress.errors import DataError, ModelError
from edgecompress.report.schema import Report
from edgecompress.store import write_atomic

PROGRAM = "benchmark_device.pyz"
CARD = "CARD.md"
BOARD_FILES = {**RUN_FILES, "edgetpu": EDGE_TPU_FILE}
DEFAULTS = {"threads": [1], "runs": 200}
SETTINGS = ("threads", "runs", "kernels")  # of a recipe's `benchmark` that a device takes as they are
PREDICT = "predict.py"
_START = """import sys
from device.__main__ import run_beside
raise SystemExit(run_beside(sys.argv[0], sys.argv[1:]))
"""

Files = Mapping[str, bytes]


def run_bundle(run: Path, *, samples: int = 0, allow_code: bool = False) -> dict[str, bytes]:
    """The files of a bundle by name, from a finished run.

    Args:
        run: its folder.
        samples: so many test samples go along, for counting right answers on the device; they are read from the recipe's data.
        allow_code: for reading them.

    Raises:
        ModelError: the folder holds no models.
        DataError: its manifest or report is missing, a model is not the one that they describe, or there are no such samples.
    """
    models = {name: (run / file).read_bytes() for name, file in BOARD_FILES.items() if (run / file).exists()}
    if "final" not in models:
        raise ModelError(f"{run}: must be the folder of a finished run, with {RUN_FILES['final']}. Received: no such file.")
    report = Report.load(run)
    manifest = read_manifest(run)
    for name, content in models.items():
        if hashlib.sha256(content).hexdigest() != manifest["files"].get(name, {}).get("sha256"):
            raise DataError(
                f"{run / BOARD_FILES[name]}: must be the file that {MANIFEST_FILE} describes. Received: another. Run the recipe again."
            )
    golden = {name: (run / file).read_bytes() for name, file in GOLDEN_FILES.items() if name in models and (run / file).exists()}
    files = {
        **{BOARD_FILES[name]: content for name, content in models.items()},
        **{GOLDEN_FILES[name]: content for name, content in golden.items()},
        PROGRAM: program(), PREDICT: Path(__file__).with_name(PREDICT).read_bytes(), CARD: card(report, manifest).encode(),
        OPERATORS: operators_archive(models["final"]),
    }  # fmt: skip
    settings = report.recipe.get("benchmark") or {}
    section: dict[str, Any] = {
        "models": {name: {"path": BOARD_FILES[name], "golden": GOLDEN_FILES[name] if name in golden else None} for name in models},
        "operators": {"final": OPERATORS}, **{key: settings[key] for key in SETTINGS if key in settings},
        "times_operators": settings.get("operators", False),
    }  # fmt: skip
    if samples:
        paths = {name: run / BOARD_FILES[name] for name in models}
        files[SAMPLES], counted = draw_samples(report, paths, samples, allow_code=allow_code)
        section["samples"] = {"path": SAMPLES, "models": counted}
    return _with_manifest(files, manifest, section)


def model_bundle(model: Path, *, operators: bool = False) -> dict[str, bytes]:
    """The files that measure one .tflite on a device, with its operators cut out where they are wanted: no golden outputs, no card.

    Raises:
        ModelError: its operators cannot be cut out.
    """
    content = model.read_bytes()
    files = {model.name: content, PROGRAM: program()}
    section: dict[str, Any] = {"models": {model.stem: {"path": model.name, "golden": None}}}
    if operators:
        files[OPERATORS] = operators_archive(content)
        section["operators"] = {model.stem: OPERATORS}
    return _with_manifest(files, {"name": model.stem}, section)


def write_bundle(files: Files, path: Path) -> None:
    """Writes the .zip, atomically; the same files give the same bytes.

    Raises:
        StorageError: it cannot be written.
    """
    write_atomic(path, archive(files))


def program() -> bytes:
    """benchmark_device.pyz: the device package as one file that Python runs."""
    folder = Path(device.__file__).parent
    sources = {f"device/{path.name}": path.read_bytes() for path in sorted(folder.glob("*.py"))}
    return b"#!/usr/bin/env python3\n" + archive({**sources, "__main__.py": _START.encode()})


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        DataError: there is none that can be read.
    """
    path = run / MANIFEST_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: a run folder must hold a readable manifest; run the recipe again. Received: {error}") from error


def _with_manifest(files: Mapping[str, bytes], manifest: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, bytes]:
    """The files and the manifest with its `bundle` section, which a device reads."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps({**manifest, "bundle": {"format": FORMAT, "sha256": hashes, **DEFAULTS, **section}}, indent=2, ensure_ascii=False)
    return {MANIFEST_FILE: f"{text}\n".encode(), **files}

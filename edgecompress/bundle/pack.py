"""What a bundle holds, made from a run folder or from one .tflite. Its format is described in `device.bundle`."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecompress import device
from edgecompress.benchmarking import GOLDEN_FILES, RUN_FILES
from edgecompress.bundle.card import card
from edgecompress.device.bundle import FORMAT, MANIFEST_FILE
from edgecompress.errors import DataError, ModelError
from edgecompress.report.schema import Report
from edgecompress.store import write_atomic

PROGRAM = "benchmark_device.pyz"
CARD = "CARD.md"
PREDICT = "predict.py"
_START = """import sys
from device.__main__ import run_beside
raise SystemExit(run_beside(sys.argv[0], sys.argv[1:]))
"""

Files = Mapping[str, bytes]


def run_bundle(run: Path) -> dict[str, bytes]:
    """The files of a bundle by name, from a finished run.

    Raises:
        ModelError: the folder holds no models.
        DataError: its manifest or report is missing, or a model is not the one that they describe.
    """
    models = {name: (run / file).read_bytes() for name, file in RUN_FILES.items() if (run / file).exists()}
    if "final" not in models:
        raise ModelError(f"{run}: must be the folder of a finished run, with {RUN_FILES['final']}. Received: no such file.")
    report = Report.load(run)
    manifest = read_manifest(run)
    for name, content in models.items():
        if hashlib.sha256(content).hexdigest() != manifest["files"][name]["sha256"]:
            raise DataError(
                f"{run / RUN_FILES[name]}: must be the file that {MANIFEST_FILE} describes. Received: another. Run the recipe again."
            )
    golden = {name: (run / GOLDEN_FILES[name]).read_bytes() for name in models if (run / GOLDEN_FILES[name]).exists()}
    files = {
        **{RUN_FILES[name]: content for name, content in models.items()},
        **{GOLDEN_FILES[name]: content for name, content in golden.items()},
        PROGRAM: program(), PREDICT: Path(__file__).with_name(PREDICT).read_bytes(), CARD: card(report, manifest).encode(),
    }  # fmt: skip
    parts = {name: {"path": RUN_FILES[name], "golden": GOLDEN_FILES[name] if name in golden else None} for name in models}
    settings = report.recipe.get("benchmark") or {}
    return _with_manifest(files, manifest, parts, settings.get("threads", [1]), settings.get("runs", 200))


def model_bundle(model: Path) -> dict[str, bytes]:
    """The files that measure one .tflite on a device: no golden outputs, no card."""
    files = {model.name: model.read_bytes(), PROGRAM: program()}
    return _with_manifest(files, {"name": model.stem}, {model.stem: {"path": model.name, "golden": None}}, [1], 200)


def write_bundle(files: Files, path: Path) -> None:
    """Writes the .zip, atomically; the same files give the same bytes.

    Raises:
        StorageError: it cannot be written.
    """
    write_atomic(path, _zip(files))


def program() -> bytes:
    """benchmark_device.pyz: the device package as one file that Python runs."""
    folder = Path(device.__file__).parent
    sources = {f"device/{path.name}": path.read_bytes() for path in sorted(folder.glob("*.py"))}
    return b"#!/usr/bin/env python3\n" + _zip({**sources, "__main__.py": _START.encode()})


def _zip(files: Files) -> bytes:
    """A zip archive whose bytes depend on the files alone."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name.endswith((".py", ".pyz")) and "/" not in name else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return stream.getvalue()


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


def _with_manifest(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], models: Mapping[str, Any], threads: Sequence[int], runs: int
) -> dict[str, bytes]:
    """The files and the manifest with its `bundle` section, which a device reads."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    section = {"format": FORMAT, "models": models, "sha256": hashes, "threads": list(threads), "runs": runs}
    text = json.dumps({**manifest, "bundle": section}, indent=2, ensure_ascii=False) + "\n"
    return {MANIFEST_FILE: text.encode(), **files}

"""Post-training int8 of two MLPerf Tiny models: this project's export beside TensorFlow's converter used by hand.

    EDGECOMPRESS_DATA=DATA python scripts/benchmarks/post_training.py [--json FILE]

ad01.h5 is calibrated on every other window of MLPerf's one machine sound and measured on the windows between, keyword spotting is
calibrated on 200 Speech Commands features that are not among MLPerf's 1,000 samples, on which it is measured. Both files of a model
see the same samples in the same order. SNR is 10 log10(mean(float^2) / mean((float - int8)^2)) of the outputs.

Must reach, else exit code 1: ad01's SNR not below the converter's; keyword spotting within 0.5 points of float.
"""

import argparse
import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from plain_converter import by_hand
from rich.console import Console
from rich.table import Table

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.evaluation.parity import snr_db
from edgecompress.export import convert
from edgecompress.models import load_model
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export

NUM_CALIBRATION = 200
MOST_POINTS_LOST = 0.5
WINDOW, NUM_WINDOWS = 5, 196  # frames in an input of ad01, and inputs in the clip


def by_export(model: keras.Model, samples: np.ndarray) -> bytes:
    """The project's own way."""
    return convert(model, Export(format="int8"), calibration=samples, progress=Progress()).content


WAYS: dict[str, Callable[[keras.Model, np.ndarray], bytes]] = {"TF converter by hand": by_hand, "edgecompress": by_export}


def machine_sound(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Windows to calibrate with and windows to measure on, float32 [98, 640] each."""
    frames = np.fromfile(data / "mlperf_tiny/ad/normal_id_01_00000000_hist_librosa.bin", np.float32).reshape(-1, 128)
    windows = np.stack([frames[start : start + WINDOW].ravel() for start in range(NUM_WINDOWS)])
    return windows[::2], windows[1::2]


def keywords(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features to calibrate with [200, 49, 10, 1], MLPerf's samples [1000, 49, 10, 1] and their labels [1000]."""
    with np.load(data / "mlperf_tiny/kws/kws01_int8_features.npz") as stored:
        samples = (stored["x"].astype(np.float32) - stored["zero_point"]) * stored["scale"]
        labels = stored["y"].astype(int)
    with np.load(data / "speech_commands/sc_v2_test_mfcc49x10_f16.npz") as stored:
        others = stored["x"][~stored["in_kws01"]].astype(np.float32)[..., np.newaxis]
    rows = np.arange(NUM_CALIBRATION) * len(others) // NUM_CALIBRATION
    return others[rows], samples, labels


def measure(model: keras.Model, calibration: np.ndarray, samples: np.ndarray, labels: np.ndarray | None) -> dict[str, Any]:
    """Figures of the float model and of each way."""
    expected = model.predict(samples, verbose=0)
    found: dict[str, Any] = {}
    for name, make in WAYS.items():
        content = make(model, calibration)
        received = TfliteModel(content).predict(samples)
        found[name] = {"bytes": len(content), "snr_db": snr_db(expected, expected - received)}
        if labels is not None:
            classes = received.argmax(1)
            found[name] |= {"accuracy": float((classes == labels).mean()), "agreement": float((classes == expected.argmax(1)).mean())}
    if labels is not None:
        found["float"] = {"accuracy": float((expected.argmax(1) == labels).mean())}
    return found


def show(model: str, found: dict[str, Any]) -> Table:
    """The figures of one model."""
    table = Table("way", "bytes", "SNR dB", "top-1", "agrees with float", title=model)
    for name, row in found.items():
        cells = [f"{row[key]:{form}}" if key in row else "" for key, form in (("bytes", ","), ("snr_db", ".2f"), ("accuracy", ".3f"))]
        table.add_row(name, *cells, f"{row['agreement']:.3f}" if "agreement" in row else "")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not os.environ.get("EDGECOMPRESS_DATA"):
        parser.error("EDGECOMPRESS_DATA must name the folder of the data sets")
    data = Path(os.environ["EDGECOMPRESS_DATA"])
    sound_calibration, sound = machine_sound(data)
    speech_calibration, speech, labels = keywords(data)
    results = {
        "ad01": measure(load_model(data / "mlperf_tiny/ad/ad01.h5"), sound_calibration, sound, None),
        "keyword spotting": measure(
            load_model(data / "mlperf_tiny/kws/kws_ref_model", allow_code=True), speech_calibration, speech, labels
        ),
    }  # fmt: skip
    versions = {name: version(name) for name in ("tensorflow", "ai-edge-litert", "numpy")}
    console = Console()
    for model, found in results.items():
        console.print(show(model, found))
    lost = 100 * (results["keyword spotting"]["float"]["accuracy"] - results["keyword spotting"]["edgecompress"]["accuracy"])
    ours, theirs = (results["ad01"][way]["snr_db"] for way in ("edgecompress", "TF converter by hand"))
    met = {"ad01": ours >= theirs, "keyword spotting": lost <= MOST_POINTS_LOST}
    console.print(f"ad01: {ours - theirs:+.2f} dB against the converter; keyword spotting: {lost:.1f} points lost; met: {met}; {versions}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "results": results, "points_lost": lost, "met": met}, indent=1))
    return int(not all(met.values()))


if __name__ == "__main__":
    raise SystemExit(main())

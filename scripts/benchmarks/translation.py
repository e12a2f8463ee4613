"""Keras 3 networks translated to tf_keras: how exactly they compute the same, and how long it takes beside building them.

    python scripts/benchmarks/translation.py [--json FILE] [NAME ...]

Must reach: largest difference <= 1e-5, translation and proof < 5 s each beside building. A translation ends with a network of
tf_keras, so it builds one: the same network of tf_keras.applications is built for comparison, and those seconds do not count. The
first network also pays for what TensorFlow sets up once, so a small one is translated before and not counted.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edgecompress.backend import keras, keras_3
from edgecompress.models.keras3 import translate

NETWORKS = ("MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "DenseNet121", "NASNetMobile", "ConvNeXtTiny")
LIMIT_DIFFERENCE, LIMIT_S = 1e-5, 5.0
PIXELS, CLASSES = 224, 1000


def warm_up() -> None:
    """Translates a network of one layer."""
    new = keras_3()
    translate(new.Sequential([new.Input((8, 8, 3)), new.layers.Conv2D(2, 3)]))


def measure(name: str) -> dict[str, Any]:
    """Builds one network with random weights and translates it; builds it in tf_keras too."""
    settings = {"weights": None, "input_shape": (PIXELS, PIXELS, 3), "classes": CLASSES}
    started = time.perf_counter()
    getattr(keras.applications, name)(**settings)
    built = time.perf_counter()
    model = getattr(keras_3().applications, name)(**settings)
    ready = time.perf_counter()
    translated, difference = translate(model)
    done = time.perf_counter()
    return {
        "name": name, "parameters": model.count_params(), "layers": len(translated.layers), "difference": difference,
        "build_s": built - started, "translate_s": done - ready, "beside_building_s": done - ready - (built - started),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NETWORKS, metavar="NAME", help="of keras.applications; absent: all of the list")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warm_up()
    rows = [measure(name) for name in arguments.names]
    table = Table("network", "parameters", "layers", "largest difference", "build s", "translate s", "beside building s")
    for row in rows:
        numbers = (f"{row['parameters']:,}", str(row["layers"]), f"{row['difference']:.2g}", f"{row['build_s']:.2f}")
        table.add_row(row["name"], *numbers, f"{row['translate_s']:.2f}", f"{row['beside_building_s']:.2f}")
    versions = {name: version(name) for name in ("keras", "tf_keras", "tensorflow")}
    console = Console(width=140)
    console.print(table)
    console.print(f"limits: difference {LIMIT_DIFFERENCE:g}, translation {LIMIT_S:g} s; {versions}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "pixels": PIXELS, "rows": rows}, indent=1))
    raise SystemExit(any(row["difference"] > LIMIT_DIFFERENCE or row["beside_building_s"] >= LIMIT_S for row in rows))


if __name__ == "__main__":
    main()

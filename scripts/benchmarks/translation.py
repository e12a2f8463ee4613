"""Keras 3 networks translated to tf_keras: how exactly they compute the same, and how long it takes beside building them.

    python scripts/benchmarks/translation.py [--json FILE] [NAME ...]

Must reach: largest difference <= 1e-5, and < 5 s each beside building. Building is what either Keras takes to make the layers
and variables of the network, with no weights to bring: in Keras 3 by `keras.applications`, before the clock starts ("Keras 3
builds"); in tf_keras by `clone_model` of the translated network, after the clock has stopped ("Keras 2 builds"). A translation
makes a tf_keras network, so that time is in it: "in all" is the whole call of `translate`, "beside building" is the same less
"Keras 2 builds". That holds the reading of layers and settings, the weights, and the proof, which runs both networks.

The first network also pays for what TensorFlow sets up once, so a small one is translated before and not counted. Figures hold
for a machine that does nothing else.
"""

import argparse
import gc
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
    layers = keras_3().layers
    translate(keras_3().Sequential([keras_3().Input((8, 8, 3)), layers.Conv2D(2, 3)]))


def measure(name: str) -> dict[str, Any]:
    """Builds one network with random weights, translates it, and builds it again as what it became."""
    started = time.perf_counter()
    model = getattr(keras_3().applications, name)(weights=None, input_shape=(PIXELS, PIXELS, 3), classes=CLASSES)
    built = time.perf_counter()
    translated, difference = translate(model)
    done = time.perf_counter()
    gc.disable()  # as it is while `translate` builds
    keras.models.clone_model(translated)
    cloned = time.perf_counter()
    gc.enable()
    return {
        "name": name, "parameters": model.count_params(), "layers": len(translated.layers), "difference": difference,
        "keras_3_build_s": built - started, "keras_2_build_s": cloned - done, "translate_s": done - built,
        "beside_building_s": (done - built) - (cloned - done),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NETWORKS, metavar="NAME", help="of keras.applications; absent: all of the list")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warm_up()
    rows = [measure(name) for name in arguments.names]
    seconds = {
        "Keras 3 builds s": "keras_3_build_s", "Keras 2 builds s": "keras_2_build_s", "in all s": "translate_s",
        "beside building s": "beside_building_s",
    }  # fmt: skip
    table = Table("network", "parameters", "layers", "largest difference", *seconds)
    for row in rows:
        numbers = (f"{row['parameters']:,}", str(row["layers"]), f"{row['difference']:.2g}")
        table.add_row(row["name"], *numbers, *(f"{row[key]:.2f}" for key in seconds.values()))
    versions = {name: version(name) for name in ("keras", "tf_keras", "tensorflow")}
    console = Console(width=130)
    console.print(table)
    console.print(f"limits: difference {LIMIT_DIFFERENCE:g}, beside building {LIMIT_S:g} s; {versions}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "pixels": PIXELS, "rows": rows}, indent=1))
    raise SystemExit(any(row["difference"] > LIMIT_DIFFERENCE or row["beside_building_s"] >= LIMIT_S for row in rows))


if __name__ == "__main__":
    main()

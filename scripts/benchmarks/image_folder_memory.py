"""Peak memory of a run on an image folder, beside what TensorFlow takes by itself, for folders of growing size.

    python scripts/benchmarks/image_folder_memory.py [--sizes 1000,10000,100000] [--json FILE]

Each folder holds JPEG images of 96 x 96 pixels in ten classes, written here. A run trains a small network on it for one epoch, exports it
as int8 and evaluates it. Peaks are of a whole process. "TensorFlow" is a process that imports what a run imports and trains the same
network on one batch from memory. Must reach: < 1,500 MB beside TensorFlow, whatever the folder's size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

LIMIT_MB = 1500
NUM_CLASSES, PIXELS = 10, 96
NUM_DISTINCT = 1000  # images that are encoded; each is written under many names
RECIPE = """
name: memory
data: {{source: image_folder, path: {data}, preprocess: {{resize: [48, 48], scale: 1/255}}}}
model: {{source: builder, name: ds_cnn, width: 8, train: {{epochs: 1}}}}
export: {{format: int8}}
benchmark: null
"""
TENSORFLOW = """
import numpy as np
from edgecompress.backend import keras, model_optimization
import edgecompress.pipeline, edgecompress.report, matplotlib.pyplot, sklearn
model_optimization()
model = keras.Sequential([keras.Input((48, 48, 3)), keras.layers.Conv2D(8, 3), keras.layers.Flatten(), keras.layers.Dense(10)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(np.zeros((128, 48, 48, 3)), np.zeros(128), verbose=0)
"""


def encode_images() -> list[bytes]:
    """JPEG files of smooth random colours, as large as photos of this size: about 2,000 bytes."""
    from PIL import Image

    generator, files = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(NUM_DISTINCT):
            image = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
                (PIXELS, PIXELS), Image.Resampling.BICUBIC
            )
            image.save(Path(folder) / "image.jpg", quality=85)
            files.append((Path(folder) / "image.jpg").read_bytes())
    return files


def grow(folder: Path, files: list[bytes], start: int, stop: int) -> None:
    """Writes images number `start` to `stop` - 1, class by class in turns."""
    for name in range(NUM_CLASSES):
        (folder / f"class{name}").mkdir(parents=True, exist_ok=True)
    for index in range(start, stop):
        (folder / f"class{index % NUM_CLASSES}" / f"{index:07d}.jpg").write_bytes(files[index % len(files)])


def measure(*arguments: str) -> tuple[float, float]:
    """Peak resident megabytes (10^6 bytes) and wall seconds of a Python process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)}: {errors.decode()}")
    return usage.ru_maxrss * 1024 / 1e6, time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of images, rising")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    alone_mb, _ = measure("-c", TENSORFLOW)
    files, rows, written = encode_images(), [], 0
    table = Table("images", "folder MB", "peak MB", "beside TensorFlow MB", "seconds", title=f"TensorFlow {alone_mb:.0f} MB")
    with tempfile.TemporaryDirectory(prefix="edgecompress-memory-") as name:
        root = Path(name)
        (root / "recipe.yaml").write_text(RECIPE.format(data=root / "images"))
        for size in map(int, arguments.sizes.split(",")):
            grow(root / "images", files, written, size)
            written = size
            folder_mb = sum(len(files[index % len(files)]) for index in range(size)) / 1e6
            run = ["-m", "edgecompress", "run", str(root / "recipe.yaml"), "--out", str(root / f"run{size}"), "--quiet"]
            peak_mb, seconds = measure(*run)
            rows.append({"images": size, "folder_mb": folder_mb, "peak_mb": peak_mb, "beside_mb": peak_mb - alone_mb, "seconds": seconds})
            table.add_row(f"{size:,}", f"{folder_mb:.0f}", f"{peak_mb:.0f}", f"{peak_mb - alone_mb:.0f}", f"{seconds:.0f}")
    Console().print(table)
    if arguments.json:
        versions = {name: version(name) for name in ("tensorflow", "tf_keras", "numpy")}
        arguments.json.write_text(json.dumps({"versions": versions, "tensorflow_mb": alone_mb, "rows": rows}, indent=1))
    return int(max(row["beside_mb"] for row in rows) >= LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())

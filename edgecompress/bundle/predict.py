#!/usr/bin/env python3
"""Runs model.tflite on one sample: python3 predict.py image.png (or sample.npy, preprocessed). Needs NumPy and a TFLite runtime."""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def main(path: str) -> None:
    sys.path.insert(0, str(HERE / "benchmark_device.pyz"))  # holds a reader of PNG files that needs NumPy alone
    from device.images import preprocess, read_png

    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    model = Interpreter(str(HERE / "model.tflite"))
    model.allocate_tensors()
    source, target = model.get_input_details()[0], model.get_output_details()[0]

    sample = np.load(path) if path.endswith(".npy") else preprocess(read_png(path), manifest["preprocess"], source["shape"][1:])
    values = sample.reshape(source["shape"])
    scale, zero_point = source["quantization"]  # real = scale * (q - zero_point); scale 0: not quantized
    if scale:
        limits = np.iinfo(source["dtype"])
        values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    model.set_tensor(source["index"], values.astype(source["dtype"]))
    model.invoke()
    outputs = model.get_tensor(target["index"])[0].astype(np.float32)
    scale, zero_point = target["quantization"]
    if scale:
        outputs = scale * (outputs - zero_point)

    if "categorical_crossentropy" not in manifest["task"]["loss"]:
        print(outputs)
        return
    if manifest["task"]["from_logits"]:
        outputs = np.exp(outputs - outputs.max()) / np.exp(outputs - outputs.max()).sum()
    names = manifest["class_names"] or range(outputs.size)
    for index in np.argsort(-outputs)[:5]:
        print(f"{outputs[index]:6.1%}  {names[index]}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2] or ["--help"])
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}\nusage: python3 predict.py image.png")

#!/usr/bin/env python3
"""Runs model.tflite on one sample: python3 predict.py image.png (or sample.npy, preprocessed). Needs NumPy and a TFLite runtime."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def find_interpreter() -> Any:
    """The class of the runtime that is there."""
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        try:
            return importlib.import_module(module).Interpreter
        except ImportError:
            continue
    return importlib.import_module("tensorflow").lite.Interpreter


def reason(error: ImportError) -> str:
    """What is missing, and the command that mends it."""
    try:
        from device.doctor import describe_machine, lack_in_words
    except ImportError:
        return f"benchmark_device.pyz must lie beside this program. Received: {error}"
    return lack_in_words(describe_machine()) or str(error)


def main(path: str) -> None:
    import numpy as np
    from device.images import preprocess, read_png

    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    interpreter = find_interpreter()
    model = interpreter(str(HERE / "model.tflite"))
    model.allocate_tensors()
    names = [details["name"] for details in model.get_input_details()]
    if len(names) > 1:
        raise ValueError(f"the model must have one input for this program. Received: {len(names)} ({', '.join(names)})")
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
    labels = manifest["class_names"] or range(outputs.size)
    for index in np.argsort(-outputs)[:5]:
        print(f"{outputs[index]:6.1%}  {labels[index]}")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE / "benchmark_device.pyz"))  # holds a reader of PNG files that needs NumPy alone
    try:
        main(*sys.argv[1:2] or ["--help"])
    except ImportError as error:
        sys.exit(f"error: {reason(error)}")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}\nusage: python3 predict.py image.png")

#!/usr/bin/env python3
"""Times .tflite models on this machine: a door to edgecompress/device that needs no installation, only NumPy and a TFLite runtime.

python3 scripts/benchmark_device.py model.tflite --threads 1,2 --json device.json
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

sys.dont_write_bytecode = True  # a checkout may be read-only, and stays clean
spec = PathFinder.find_spec("device", [str(Path(__file__).resolve().parent.parent / "edgecompress")])
if spec is None or spec.loader is None:
    raise SystemExit("error: edgecompress/device must lie beside the folder of this script")
package = module_from_spec(spec)
sys.modules["device"] = package  # the folder alone: the rest of edgecompress needs more packages
spec.loader.exec_module(package)
raise SystemExit(import_module("device.__main__").main(["benchmark", *sys.argv[1:]], benchmark_program=Path(__file__).name))

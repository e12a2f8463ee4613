#!/usr/bin/env python3
"""Reads which operator versions a TFLite runtime loads, and compares them with edgecompress/tflite/operator_versions.py.

    python scripts/read_operator_versions.py RUNTIME [--python PATH]

RUNTIME names the runtime, such as tflite-runtime==2.14.0; PATH is a Python that can import it (absent: this one). The runtime is asked
to load one tiny file for each version of each operator, each of which lists that operator and runs nothing. Prints the newest
version of each operator that it loads, then what the table says otherwise; exit code 1 if there is anything.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite import parse, refuses
from edgecompress.tflite.operator_versions import SINCE
from edgecompress.tflite.parse import IDENTIFIER

VERSIONS_BEYOND = 1  # of each operator that are asked for although the table does not have them

# Runs in the other Python, which has a runtime and little else. Answers with the names of the files that loaded.
LOAD_ALL = """
import json, os, sys
try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter
loaded = []
for name in os.listdir(sys.argv[1]):
    try:
        Interpreter(os.path.join(sys.argv[1], name))
    except ValueError as error:
        if "Registration failed" not in str(error):
            raise
    else:
        loaded.append(name)
print(json.dumps(loaded))
"""


def file_with(name: str, version: int, *, used: bool) -> bytes:
    """A file of one tensor that lists one operator, and runs it if `used`."""
    code, tensor, graph, model = schema.OperatorCodeT(), schema.TensorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode, code.version = getattr(schema.BuiltinOperator, name), version
    code.deprecatedBuiltinCode = min(code.builtinCode, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    tensor.name, tensor.shape = "x", [1]
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], [schema.OperatorT()] if used else []
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def asked_versions() -> list[tuple[str, int]]:
    """Every (operator, version) of the table, and a few beyond."""
    return [(name, version) for name, releases in SINCE.items() for version in range(1, len(releases.split()) + VERSIONS_BEYOND + 1)]


def loaded_versions(python: str) -> set[tuple[str, int]]:
    """Those of `asked_versions` that the runtime of `python` loads."""
    with tempfile.TemporaryDirectory() as folder:
        for name, version in asked_versions():
            Path(folder, f"{name}.{version}").write_bytes(file_with(name, version, used=False))
        answer = subprocess.run([python, "-c", LOAD_ALL, folder], capture_output=True, text=True, check=True).stdout
    return {(name, int(version)) for name, version in (entry.split(".") for entry in json.loads(answer.splitlines()[-1]))}


def differences(runtime: str, loaded: set[tuple[str, int]]) -> list[str]:
    """What the table says of the runtime that is not so, one line each."""
    found = []
    for name, version in asked_versions():
        refused = bool(refuses(parse(file_with(name, version, used=True)), runtime))
        in_table = version <= len(SINCE[name].split())
        if refused and (name, version) in loaded:
            found.append(f"{name} version {version} loads; the table {'has it later' if in_table else 'lacks it'}")
        elif in_table and not refused and (name, version) not in loaded:
            found.append(f"{name} version {version} does not load; the table has it")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtime")
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    loaded = loaded_versions(arguments.python)
    for name in SINCE:
        print(f"{name} {max((version for operator, version in loaded if operator == name), default='-')}")
    found = differences(arguments.runtime, loaded)
    print("\n".join(["", *found]) if found else f"\nThe table agrees with {arguments.runtime}.")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())

"""Tiny .tflite files written byte by byte, and runtimes that misbehave on purpose. Nothing here needs TensorFlow or flatbuffers."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

# Numbers of the TFLite schema.
TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
ADD, DEQUANTIZE, SVDF, MAXIMUM, LESS_EQUAL, LOGICAL_NOT, WHILE = 0, 6, 27, 55, 63, 87, 119
SVDF_OPTIONS, WHILE_OPTIONS = 6, 93


class Scalar:
    """A number that stands inside its table, with its `struct` format."""

    def __init__(self, form, number):
        self.bytes = struct.pack("<" + form, number)


def flatbuffer(root):
    """A FlatBuffer: tables are dicts from field number to Scalar, str, array, list of tables or table."""
    buffer = bytearray(struct.pack("<I4s", 0, b"TFL3"))

    def write(value):
        if isinstance(value, dict):
            return write_table(value)
        buffer.extend(bytes(-(len(buffer) + 4) % 16))  # the elements start on a multiple of 16
        position = len(buffer)
        if isinstance(value, str):
            buffer.extend(struct.pack("<I", len(value)) + value.encode() + b"\0")
        elif isinstance(value, np.ndarray):
            buffer.extend(struct.pack("<I", value.size) + value.tobytes())
        else:
            buffer.extend(struct.pack("<I", len(value)) + bytes(4 * len(value)))
            for index, element in enumerate(value):
                link(position + 4 + 4 * index, element)
        return position

    def write_table(fields):
        count = max(fields) + 1 if fields else 0
        buffer.extend(bytes(-len(buffer) % 8))
        names = len(buffer)
        offsets = [8 + 8 * field if field in fields else 0 for field in range(count)]
        buffer.extend(struct.pack(f"<HH{count}H", 4 + 2 * count, 8 + 8 * count, *offsets))
        buffer.extend(bytes(-len(buffer) % 8))
        position = len(buffer)
        buffer.extend(struct.pack("<i", position - names) + bytes(4 + 8 * count))
        for field, value in fields.items():
            place = position + 8 + 8 * field
            if isinstance(value, Scalar):
                buffer[place : place + len(value.bytes)] = value.bytes
            else:
                link(place, value)
        return position

    def link(place, value):
        struct.pack_into("<I", buffer, place, write(value) - place)

    link(0, root)
    return bytes(buffer)


def tensor(name, shape, dtype, scale=None, zero_point=0):
    """A tensor without data."""
    fields = {0: np.array(shape, "<i4"), 1: Scalar("b", TYPES[dtype]), 2: Scalar("I", 0), 3: name}
    if scale is not None:
        fields[4] = {2: np.array([scale], "<f4"), 3: np.array([zero_point], "<i8")}
    return fields


def operator(code_index, inputs, outputs, **options):
    """An operator; `options` may hold its options' type and table."""
    fields = {0: Scalar("I", code_index), 1: np.array(inputs, "<i4"), 2: np.array(outputs, "<i4")}
    if options:
        fields.update({3: Scalar("B", options["type"]), 4: options["table"]})
    return fields


def subgraph(tensors, inputs, outputs, operators):
    return {0: tensors, 1: np.array(inputs, "<i4"), 2: np.array(outputs, "<i4"), 3: operators}


def tflite(codes, *subgraphs):
    """A .tflite of operators by code, with one empty buffer."""
    operator_codes = [{0: Scalar("b", code), 2: Scalar("i", 1), 3: Scalar("i", code)} for code in codes]
    return flatbuffer({0: Scalar("I", 3), 1: operator_codes, 2: list(subgraphs), 3: "test", 4: [{}]})


def double_model(shape=(1, 4), dtype="float32", scale=None, zero_point=0):
    """y = x + x."""
    tensors = [tensor("x", shape, dtype, scale, zero_point), tensor("y", shape, dtype, scale, zero_point)]
    return tflite([ADD], subgraph(tensors, [0], [1], [operator(0, [0, 0], [1])]))


def identity_model(shape, *dtypes):
    """One input and one output of each type; y = max(x, x), and y = not x for bool."""
    codes = [MAXIMUM, LOGICAL_NOT]
    tensors, operators = [], []
    for index, dtype in enumerate(dtypes):
        scale = 0.5 if dtype in ("int8", "uint8", "int16") else None
        tensors += [tensor(f"x_{dtype}", shape, dtype, scale), tensor(f"y_{dtype}", shape, dtype, scale)]
        inputs = [2 * index] if dtype == "bool" else [2 * index, 2 * index]
        operators.append(operator(int(dtype == "bool"), inputs, [2 * index + 1]))
    ends = range(len(dtypes))
    return tflite(codes, subgraph(tensors, [2 * end for end in ends], [2 * end + 1 for end in ends], operators))


def dequantized_model(scale):
    """int8 in, y = scale * x as float32 out."""
    tensors = [tensor("x", (1, 4), "int8", scale), tensor("y", (1, 4), "float32")]
    return tflite([DEQUANTIZE], subgraph(tensors, [0], [1], [operator(0, [0], [1])]))


def stateful_model():
    """y = time . (w x now, w x before): a filter that remembers one input, in a variable as an LSTM has."""
    tensors = [
        tensor(name, shape, "float32") for name, shape in (("x", (1, 1)), ("w", (1, 1)), ("time", (1, 2)), ("state", (1, 2)), ("y", (1, 1)))
    ]
    tensors[3][5] = Scalar("?", True)
    step = operator(0, [0, 1, 2, -1, 3], [4], type=SVDF_OPTIONS, table={0: Scalar("i", 1)})
    return tflite([SVDF], subgraph(tensors, [0, 1, 2], [4], [step]))


def endless_model():
    """while x <= x: x = max(x, x)."""
    loop = operator(0, [0], [1], type=WHILE_OPTIONS, table={0: Scalar("i", 1), 1: Scalar("i", 2)})
    numbers = [tensor("x", (1,), "int32"), tensor("y", (1,), "int32")]
    condition = [tensor("x", (1,), "int32"), tensor("goes_on", (1,), "bool")]
    return tflite(
        [WHILE, LESS_EQUAL, MAXIMUM],
        subgraph(numbers, [0], [1], [loop]),
        subgraph(condition, [0], [1], [operator(1, [0, 0], [1])]),
        subgraph(numbers, [0], [1], [operator(2, [0, 0], [1])]),
    )


@pytest.fixture(scope="session")
def tiny():
    """The tiny models by name: `tiny("double", shape=(1, 4))` gives the bytes of a .tflite."""
    makers = {
        "double": double_model, "identity": identity_model, "dequantized": dequantized_model, "stateful": stateful_model,
        "endless": endless_model,
    }  # fmt: skip
    return lambda name, *arguments, **options: makers[name](*arguments, **options)


@pytest.fixture
def tiny_file(tiny, tmp_path):
    """The same as files: the path of the .tflite."""

    def write(name, *arguments, **options):
        path = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}.tflite"
        path.write_bytes(tiny(name, *arguments, **options))
        return str(path)

    return write


FAKE_RUNTIME = """
import ctypes, enum, json, os, sys, time
import numpy as np

class OpResolverType(enum.Enum):
    AUTO = 0
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3

class Interpreter:
    def __init__(self, **options): pass
    def allocate_tensors(self): pass
    def reset_all_variables(self): pass
    def get_input_details(self):
        parameters = {{"scales": np.zeros(0), "zero_points": np.zeros(0)}}
        return [{{"name": "x", "index": 0, "shape": np.array([1]), "dtype": np.float32, "quantization_parameters": parameters}}]
    get_output_details = get_tensor_details = get_input_details
    def _get_ops_details(self): return []
    def set_tensor(self, index, value): self.value = value
    def get_tensor(self, index): return self.value
    def invoke(self):
        {invoke}
    def __del__(self):
        {delete}
"""


@pytest.fixture
def fake_runtime(tmp_path, monkeypatch):
    """Gives child processes a runtime whose `invoke` and `__del__` are the given statements. Returns the path of a model for it."""

    def install(invoke="pass", delete="pass"):
        package = tmp_path / "fake" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("__version__ = 'fake'")
        (package / "interpreter.py").write_text(FAKE_RUNTIME.format(invoke=invoke, delete=delete))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        model = tmp_path / "fake.tflite"
        model.write_bytes(b"any")
        return str(model)

    return install


@pytest.fixture
def num_children():
    """Counts this process's live child processes."""

    def count():
        parents = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents.append(int(status.read_text().rpartition(")")[2].split()[1]))
            except OSError:  # it ended meanwhile
                continue
        return parents.count(os.getpid())

    return count

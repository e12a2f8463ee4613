"""Small .tflite files made without TensorFlow, and one made from a Keras model."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema


def pack(model: schema.ModelT) -> bytes:
    """The bytes of a model in the generated object form."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tensor(name: str, shape: list[int], dtype: str = "FLOAT32", buffer: int = 0, scales=None) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, getattr(schema.TensorType, dtype), buffer
    if scales is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.asarray(scales, np.float32)
        made.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    return made


def code(name: str, version: int = 1, custom: str | None = None) -> schema.OperatorCodeT:
    made = schema.OperatorCodeT()
    made.builtinCode = getattr(schema.BuiltinOperator, name)
    made.deprecatedBuiltinCode, made.version, made.customCode = min(made.builtinCode, 127), version, custom
    return made


def operator(index: int, inputs: list[int], outputs: list[int]) -> schema.OperatorT:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = index, inputs, outputs
    return made


def file(codes, tensors, operators, buffers=(), inputs=(0,), outputs=(0,)) -> schema.ModelT:
    """A model of one subgraph. Buffer 0 is empty; `buffers` are 1, 2, ..."""
    made = schema.ModelT()
    made.version, made.description, made.operatorCodes, made.metadata, made.signatureDefs = 3, "by hand", list(codes), [], []
    made.buffers = [schema.BufferT()]
    for values in buffers:
        made.buffers.append(schema.BufferT())
        made.buffers[-1].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    graph = schema.SubGraphT()
    graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = (
        "main",
        list(tensors),
        list(operators),
        list(inputs),
        list(outputs),
    )
    made.subgraphs = [graph]
    return made


def add_metadata(model: schema.ModelT, name: str, content: bytes) -> None:
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers)
    model.metadata.append(entry)
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = np.frombuffer(content, np.uint8)


@pytest.fixture(scope="session")
def model_contents(data_folder):
    """Path -> bytes of every model file of the real data that has a subgraph, by content: many are named .bin."""
    found = {}
    for path in sorted(path for path in data_folder.rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            if file.read(8)[4:] == b"TFL3" and path.name != "0_subgraphs.bin":
                found[str(path.relative_to(data_folder))] = path.read_bytes()
    return found


@pytest.fixture(scope="session")
def by_hand():
    """The functions of this file, under one name (test folders are not packages)."""
    from types import SimpleNamespace

    return SimpleNamespace(pack=pack, tensor=tensor, code=code, operator=operator, file=file, add_metadata=add_metadata)


@pytest.fixture(scope="session")
def dense_model(by_hand):
    """input [1, 4] -> FULLY_CONNECTED with int8 weights [3, 4] and a bias -> output [1, 3]."""
    weights, bias = np.arange(12, dtype=np.int8).reshape(3, 4), np.array([1, 2, 3], np.int32)
    tensors = [
        by_hand.tensor("input", [1, 4], "INT8", scales=[0.5]),
        by_hand.tensor("model/dense/MatMul", [3, 4], "INT8", buffer=1, scales=[0.1, 0.2, 0.3]),
        by_hand.tensor("model/dense/BiasAdd", [3], "INT32", buffer=2),
        by_hand.tensor("output", [1, 3], "INT8", scales=[0.25]),
    ]
    codes, operators = [by_hand.code("FULLY_CONNECTED", 4)], [by_hand.operator(0, [0, 1, 2], [3])]
    return by_hand.file(codes, tensors, operators, buffers=[weights, bias], outputs=[3])


@pytest.fixture(scope="session")
def dense_file(by_hand, dense_model) -> bytes:
    return by_hand.pack(dense_model)

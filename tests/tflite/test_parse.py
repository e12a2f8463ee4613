"""Parsing against the generated accessors, and on files that are broken on purpose."""

import contextlib
import copy
import random
import re
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.errors import ModelError
from edgecompress.tflite import KerasKernel, describe, find_kernels, list_operators, parse, read_constant, refuses
from edgecompress.tflite.flatbuffer import Flatbuffer
from edgecompress.tflite.operators import float_operators
from edgecompress.tflite.weights import weighted_operators

NUM_MUTATIONS = 300
EXTREMES = (0, 1, 4, 0xFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


def read_everything(content: bytes) -> None:
    """All that the package does with a file."""
    described, tflite = describe(content), parse(content)
    if described["bytes"] != len(content) or sum(described["bytes_by_type"].values()) != len(content):
        raise AssertionError("bytes do not add up")
    list_operators(tflite), float_operators(tflite), refuses(tflite, "tflite-runtime==2.14.0")
    find_kernels(tflite, [KerasKernel("dense", (4, 3), "Dense")])
    for operator in weighted_operators(tflite):
        read_constant(tflite, tflite.subgraphs[0].tensors[operator.kernel_index])


def is_model(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(8)[4:] == b"TFL3"


def model_files(data_folder: Path) -> list[Path]:
    """Every model file of the real data, by content: many are named .bin."""
    return sorted(path for path in data_folder.rglob("*") if path.suffix in (".tflite", ".bin", "") and path.is_file() and is_model(path))


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Overwrites a few places, most of them where the tables are; sometimes cuts the end off."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        place = draw.choice((draw.randrange(len(damaged)), len(damaged) - 1 - draw.randrange(min(len(damaged), 3000))))
        kind = draw.randrange(4)
        if kind == 0:
            damaged[place] = draw.randrange(256)
        elif kind == 1:
            damaged[place : place + 4] = draw.choice(EXTREMES).to_bytes(4, "little")
        elif kind == 2:
            damaged[place : place + 4] = draw.randrange(len(damaged)).to_bytes(4, "little")
        else:
            other = draw.randrange(len(damaged))
            damaged[place : place + 16] = damaged[other : other + 16]
    damaged[4:8] = b"TFL3"
    return bytes(damaged[: draw.randrange(len(damaged))] if draw.random() < 0.15 else damaged)


def test_parse_reads_what_the_generated_accessors_read(data_folder):
    """The generated code is the oracle: it reads well-formed files rightly."""
    dtypes = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    for path in model_files(data_folder):
        content = path.read_bytes()
        oracle = schema.ModelT.InitFromPackedBuf(content)
        if not oracle.subgraphs:
            continue
        tflite = parse(content)
        assert [code.version for code in tflite.operator_codes] == [code.version for code in oracle.operatorCodes or []], path
        for subgraph, expected in zip(tflite.subgraphs, oracle.subgraphs, strict=True):
            assert list(subgraph.inputs) == [] if expected.inputs is None else list(subgraph.inputs) == list(expected.inputs)
            for tensor, other in zip(subgraph.tensors, expected.tensors, strict=True):
                assert tensor.name == (other.name or b"").decode("utf-8", errors="replace")
                assert (list(tensor.shape), tensor.dtype) == ([] if other.shape is None else list(other.shape), dtypes[other.type])
                assert tensor.is_sparse == (other.sparsity is not None)
                if tensor.quantization is not None:
                    assert tensor.quantization.axis == other.quantization.quantizedDimension
                    np.testing.assert_array_equal(tensor.quantization.scales, other.quantization.scale)
                    np.testing.assert_array_equal(tensor.quantization.zero_points, other.quantization.zeroPoint)
            for operator, other in zip(subgraph.operators, expected.operators or [], strict=True):
                assert list(operator.inputs) == [] if other.inputs is None else list(operator.inputs) == list(other.inputs)
                assert list(operator.outputs) == [] if other.outputs is None else list(operator.outputs) == list(other.outputs)
                assert operator.code == other.opcodeIndex
        for buffer, other in zip(tflite.buffers, oracle.buffers or [schema.BufferT()], strict=True):
            if other.offset <= 1:
                assert buffer.tobytes() == (b"" if other.data is None else bytes(other.data))


def test_every_real_file_gives_a_result_or_a_model_error(data_folder):
    paths = model_files(data_folder)
    assert len(paths) > 80
    refused = {}
    for path in paths:
        content = path.read_bytes()
        try:
            parse(content, path)
            assert describe(content)["bytes"] == len(content)
            list_operators(parse(content))
        except ModelError as error:
            refused[path.name] = str(error)
    assert list(refused) == ["0_subgraphs.bin"]
    assert re.search(r"0_subgraphs\.bin: .* at least one subgraph\. Received: none", refused["0_subgraphs.bin"])


def refusals(contents: Iterable[bytes]) -> list[str]:
    """The messages of those that are ModelErrors; any other exception fails the test."""
    messages = []
    for content in contents:
        try:
            read_everything(content)
        except ModelError as error:
            messages.append(str(error))
    return messages


def mutations(files: list[bytes], number: int, seed: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    return (mutate(draw.choice(files), draw) for _ in range(number))


def test_mutated_files_give_a_result_or_a_model_error_of_one_line(dense_file):
    messages = refusals(mutations([dense_file], NUM_MUTATIONS, seed=0))
    assert len(messages) > NUM_MUTATIONS / 2
    assert not any("\n" in message for message in messages)


def test_mutated_real_files_give_a_result_or_a_model_error_of_one_line(data_folder):
    files = [path.read_bytes() for path in model_files(data_folder / "tflite_odd") if path.stat().st_size < 10_000]
    messages = refusals(mutations(files, NUM_MUTATIONS, seed=1))
    assert len(messages) > NUM_MUTATIONS / 2
    assert not any("\n" in message for message in messages)


@pytest.mark.full
def test_many_mutated_files_give_a_result_or_a_model_error(data_folder):
    files = [path.read_bytes() for path in model_files(data_folder) if path.stat().st_size < 60_000]
    assert len(refusals(mutations(files, 20_000, seed=2))) > 10_000


@given(st.binary(max_size=200))
def test_any_bytes_with_the_right_identifier_give_a_result_or_a_model_error(tail):
    with contextlib.suppress(ModelError):
        read_everything(b"\x08\0\0\0TFL3" + tail)


def test_overlapping_lists_of_fields_do_not_fill_the_memory():
    """Each list has 32,765 fields and begins a field after the one before."""
    places = range(100_000, 101_600, 4)
    lists = b"\xfe\xff" * 50_000
    to_list = b"".join(struct.pack("<i", place - 2 * index) for index, place in enumerate(places))
    file = Flatbuffer(lists + to_list + bytes(70_000))
    tracemalloc.start()
    tables = [file.table(place) for place in places]
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert {table.num_fields for table in tables} == {32_765}
    assert memory < 500 * len(tables)  # bytes; a copy of one list takes 260,000 and more


def test_every_truncation_is_a_model_error_that_says_so(dense_file):
    messages = refusals(dense_file[:length] for length in range(len(dense_file)))
    assert len(messages) == len(dense_file)
    assert all("truncated" in message or "must be a .tflite file" in message for message in messages)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"not a model at all", b"\0" * 100, b"PK\3\4" + b"\0" * 40])
def test_other_bytes_are_said_to_be_no_tflite_file(content):
    with pytest.raises(ModelError, match=r"^the file must be a \.tflite file .*identifier TFL3.* Received: \d+ bytes"):
        parse(content)


def test_the_path_stands_in_the_message(dense_file):
    with pytest.raises(
        ModelError, match=r"^models/cut\.tflite: the \.tflite file must be complete: it is truncated or damaged\. Received: 100 bytes"
    ):
        parse(dense_file[:100], Path("models/cut.tflite"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda model: setattr(model, "version", 4), r"schema version .* must be 3\. Received: 4"),
        (lambda model: setattr(model, "subgraphs", []), r"at least one subgraph\. Received: none"),
        (lambda model: setattr(model.subgraphs[0], "inputs", [9]), r"indices of tensors .* \[0, 4\).* Received: 9"),
        (lambda model: setattr(model.subgraphs[0].operators[0], "outputs", [-2]), r"indices of tensors .* \[-1, 4\).* Received: -2"),
        (lambda model: setattr(model.subgraphs[0].operators[0], "opcodeIndex", 1), r"indices of operator codes .* \[0, 1\).* Received: 1"),
        (lambda model: setattr(model.subgraphs[0].tensors[1], "buffer", 7), r"indices of buffers .* \[0, 3\).* Received: 7"),
        (lambda model: setattr(model.subgraphs[0].tensors[1], "type", 99), r"newer schema.* Received: type 99"),
        (lambda model: setattr(model.operatorCodes[0], "builtinCode", 5000), r"newer schema.* Received: code 5000"),
    ],
)
def test_damaged_content_is_named(by_hand, dense_model, damage, message):
    model = copy.deepcopy(dense_model)
    damage(model)
    with pytest.raises(ModelError, match=message):
        parse(by_hand.pack(model))


def test_left_out_inputs_are_allowed(by_hand, dense_model):
    model = copy.deepcopy(dense_model)
    model.subgraphs[0].operators[0].inputs = [0, 1, -1]
    content = by_hand.pack(model)
    assert parse(content).subgraphs[0].operators[0].inputs == (0, 1, -1)
    assert [tensor.name for tensor in list_operators(parse(content))[0].inputs] == ["input", "model/dense/MatMul"]


def test_buffers_behind_the_flatbuffer_are_read(by_hand, dense_model):
    """Files over 2 GB, and those of ai-edge-quantizer, keep data after the flatbuffer, at `offset`."""
    model = copy.deepcopy(dense_model)
    weights = bytes(model.buffers[1].data)
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 2, len(weights)
    length = len(by_hand.pack(model))
    model.buffers[1].offset = length
    content = by_hand.pack(model) + weights
    assert parse(content).buffers[1].tobytes() == weights
    assert describe(content)["bytes_by_type"]["int8"] == len(weights)
    with pytest.raises(ModelError, match=rf"truncated or damaged\. Received: {length} bytes, of which bytes {length} to"):
        parse(content[:length])


def test_tables_shared_many_times_over_do_not_keep_the_reader_busy():
    """20,000 subgraphs that are one and the same, each with the same tensor 20,000 times: 400 million tables in 160 kB."""
    builder = flatbuffers.Builder(1024)
    schema.TensorStart(builder)
    tensor = schema.TensorEnd(builder)

    def vector(start, offset):
        start(builder, 20_000)
        for _ in range(20_000):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    tensors = vector(schema.SubGraphStartTensorsVector, tensor)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    subgraph = schema.SubGraphEnd(builder)
    subgraphs = vector(schema.ModelStartSubgraphsVector, subgraph)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    with pytest.raises(ModelError, match="must not hold the same tables many times over"):
        parse(bytes(builder.Output()))


def test_an_offset_to_before_the_file_is_refused(dense_file):
    """The flatbuffers package would read from the file's end instead."""
    (root,) = struct.unpack_from("<I", dense_file)
    damaged = dense_file[:root] + struct.pack("<i", 0x7000_0000) + dense_file[root + 4 :]
    with pytest.raises(ModelError, match=r"truncated or damaged"):
        parse(damaged)


def test_import_loads_no_tensorflow_and_is_quick():
    """1.5 s of work leave room for a busy machine: 0.15 to 0.3 s were measured, most of it NumPy."""
    code = """
import sys, time
start = time.process_time()
import edgecompress.tflite
seconds = time.process_time() - start
loaded = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tf_keras", "keras"))
print(seconds < 1.5, loaded)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ["True", "[]"]

"""Reading a file into its object form and writing it again."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecompress.errors import ModelError
from edgecompress.tflite import parse
from edgecompress.tflite.pack import pack
from edgecompress.tflite.shrink.sameness import plain
from edgecompress.tflite.unpack import unpack


def data_place(content: bytes, values: bytes) -> int:
    """Where a buffer's data start in the file."""
    (found,) = [buffer for buffer in parse(content).buffers if buffer.tobytes() == values]
    return found.__array_interface__["data"][0] - np.frombuffer(content, np.uint8).__array_interface__["data"][0]


def test_every_real_file_says_the_same_after_it_is_written_anew(model_contents):
    assert len(model_contents) > 80
    for path, content in model_contents.items():
        model = unpack(content)
        written = pack(model)
        assert plain(unpack(written), "Model") == plain(model, "Model"), path
        assert pack(unpack(written)) == written, path


def test_the_reader_reads_what_the_generated_one_reads(model_contents):
    """The generated code is the oracle: it reads well-formed files rightly."""
    for path, content in model_contents.items():
        oracle = schema.ModelT.InitFromPackedBuf(content)
        if not oracle.buffers or any(buffer.offset > 1 for buffer in oracle.buffers):  # what `unpack` completes
            continue
        assert plain(unpack(content), "Model") == plain(oracle, "Model"), path


def test_the_generated_reader_reads_what_the_writer_writes(dense_file):
    model = unpack(dense_file)
    assert plain(schema.ModelT.InitFromPackedBuf(pack(model)), "Model") == plain(model, "Model")


def test_equal_vectors_are_written_once(by_hand):
    scales = np.linspace(0.1, 1.0, 100, dtype=np.float32)
    tensors = [by_hand.tensor(f"t{index}", [100], "INT8", scales=scales) for index in range(5)]
    content = pack(unpack(by_hand.pack(by_hand.file([], tensors, []))))
    assert content.count(scales.tobytes()) == 1


@pytest.mark.parametrize(("dtype", "values", "alignment"), [
    ("FLOAT32", np.arange(1, 6, dtype=np.float32), 16), ("INT8", np.arange(1, 8, dtype=np.int8), 4),
    ("INT64", np.arange(1, 4, dtype=np.int64), 16), ("INT32", np.arange(1, 6, dtype=np.int32), 4),
])  # fmt: skip
def test_data_lie_where_their_kernels_can_read_them(by_hand, dtype, values, alignment):
    for extra in range(4):  # whatever stands around them
        tensors = [by_hand.tensor("t" * extra, [values.size], dtype, buffer=1), by_hand.tensor("u", [extra], "INT8", buffer=2)]
        content = pack(by_hand.file([], tensors, [], buffers=[values, np.full(extra, 7, np.int8)]))
        assert data_place(content, values.tobytes()) % alignment == 0


@pytest.mark.parametrize("is_old", [False, True])
def test_data_of_custom_operators_keep_the_full_alignment(by_hand, is_old):
    values = np.arange(1, 8, dtype=np.int8)
    code = by_hand.code("CUSTOM", custom="Mine")
    if is_old:  # before the field of more than 127 operators
        code.builtinCode, code.deprecatedBuiltinCode = 0, schema.BuiltinOperator.CUSTOM
    for extra in range(4):
        tensors = [by_hand.tensor("t" * extra, [7], "INT8", buffer=1), by_hand.tensor("u", [1], "INT8")]
        model = by_hand.file([code], tensors, [by_hand.operator(0, [0], [1])], buffers=[values])
        assert data_place(pack(model), values.tobytes()) % 16 == 0


def test_data_behind_the_flatbuffer_move_into_it(by_hand, dense_model):
    weights = np.arange(12, dtype=np.int8).tobytes()
    model = schema.ModelT.InitFromPackedBuf(by_hand.pack(dense_model))
    model.operatorCodes.append(by_hand.code("CUSTOM", custom="Mine"))
    model.subgraphs[0].operators.append(by_hand.operator(1, [0], [3]))
    owners = (model.buffers[1], "offset", "size"), (model.subgraphs[0].operators[1], "largeCustomOptionsOffset", "largeCustomOptionsSize")
    model.buffers[1].data = None
    for owner, offset, size in owners:
        setattr(owner, offset, 2)
        setattr(owner, size, 12)
    length = len(by_hand.pack(model))
    for owner, offset, _ in owners:
        setattr(owner, offset, length)
    read = unpack(pack(unpack(by_hand.pack(model) + weights)))
    assert read.buffers[1].data.tobytes() == read.subgraphs[0].operators[1].customOptions.tobytes() == weights
    assert read.buffers[1].offset == read.subgraphs[0].operators[1].largeCustomOptionsOffset == 0


def table_with_fields(number: int) -> bytes:
    """A model with `number` fields, the last of which is set, beside what a model needs."""
    builder = flatbuffers.Builder(256)
    subgraphs = []
    schema.SubGraphStart(builder)
    subgraphs.append(schema.SubGraphEnd(builder))
    schema.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(subgraphs[0])
    vector = builder.EndVector()
    builder.StartObject(number)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, vector)
    builder.PrependInt32Slot(number - 1, 5, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    return bytes(builder.Output())


def test_a_field_of_a_newer_schema_is_refused():
    with pytest.raises(ModelError, match=r"newer schema\. Received: Model field 19"):
        unpack(table_with_fields(20))


def test_options_of_a_newer_schema_are_refused(by_hand, dense_model):
    content = bytearray(by_hand.pack(dense_model))
    model = schema.ModelT.InitFromPackedBuf(bytes(content))
    model.subgraphs[0].operators[0].builtinOptionsType = schema.BuiltinOptions.AddOptions
    model.subgraphs[0].operators[0].builtinOptions = schema.AddOptionsT()
    content = bytearray(by_hand.pack(model))
    operator = schema.Model.GetRootAs(content).Subgraphs(0).Operators(0)
    content[operator._tab.Pos + operator._tab.Offset(4 + 2 * 3)] = 250
    with pytest.raises(ModelError, match=r"newer schema\. Received: builtinOptions of kind 250"):
        unpack(bytes(content))


def test_names_may_be_any_bytes(by_hand):
    model = by_hand.file([], [by_hand.tensor("t", [1])], [])
    model.subgraphs[0].tensors[0].name = b"\xff\xfe\x00not text"
    assert unpack(pack(model)).subgraphs[0].tensors[0].name == b"\xff\xfe\x00not text"
